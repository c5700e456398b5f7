//! How long clients may take: a query, a transaction, a pause inside one, a pause outside, and a wait before it is told. Nothing of this costs a
//! transaction anything: one timer per client that has a limit, armed when it gets a server and not before, which looks how things are when it
//! rings and arms itself again for the earliest time at which something can be too long.
//!
//! What is measured, each from the last time that anything moved between us and the other side:
//! - a query: the server owes an answer, and neither sends nor takes anything (a result that is being read, however slowly, is progress; a COPY that
//!   waits for its client is the client's);
//! - idle in a transaction: the client owes the next statement;
//! - idle: no transaction is open.
//!
//! A transaction is measured from its first statement on.

use std::time::Duration;

use crate::config::limits::Limits;
use crate::io::Door;
use crate::mail::Desk;
use crate::wire::server::{ErrorFields, notice};

use super::core::Core;
use super::peers::{NOBODY, Peer, ServerStage, Stage};
use super::timers::{Timer, ns};

/// What a client has done for too long.
enum TooLong {
    Query(Duration),
    Transaction { limit: Duration, active: bool },
    IdleInTransaction(Duration),
    Idle(Duration),
}

/// How a client stands.
enum Standing {
    TooLong(TooLong),
    /// look again then; `None` = when it has a server again
    Look(Option<u64>),
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client with limits has a server, or was greeted: it is looked after from now on.
    pub(super) fn watch(&mut self, client: u32) {
        let now = self.now;
        let generation = self.links.generation(client);
        let Some(peer) = self.peers[client as usize].client() else { return };
        let Some(limits) = peer.pool.as_ref().map(|pool| &pool.spec.limits) else { return };
        let shortest = ns(limits.shortest());
        if peer.watched || shortest == u64::MAX {
            return;
        }
        peer.watched = true;
        self.wheel.arm(now.saturating_add(shortest), Timer::Watch { slot: client, generation });
    }

    /// The timer of `watch`.
    pub(super) fn watch_due(&mut self, client: u32) {
        match self.standing(client) {
            Some(Standing::TooLong(what)) => self.took_too_long(client, &what),
            Some(Standing::Look(Some(at))) => {
                let generation = self.links.generation(client);
                self.wheel.arm(at, Timer::Watch { slot: client, generation });
            }
            Some(Standing::Look(None)) | None => {
                if let Some(peer) = self.peers[client as usize].client() {
                    peer.watched = false;
                }
            }
        }
    }

    fn standing(&self, client: u32) -> Option<Standing> {
        let Some(Peer::Client(peer)) = self.peers.get(client as usize) else { return None };
        let pool = peer.pool.as_ref()?;
        // As a reload has it now, unless the pool has gone.
        let limits: &Limits = self.published.by_id.get(&pool.id).map_or(&pool.spec.limits, |now| &now.spec.limits);
        let mut look = Look { now: self.now, at: u64::MAX };
        let Some(Peer::Server(server)) = self.peers.get(peer.server as usize) else {
            // Waiting has its own limit. Without one for idle clients nothing can be too long before there is a server.
            let idle = peer.ticket.is_none() && matches!(peer.stage, Stage::Ready) && !peer.client.has_begun();
            if idle && look.is_over(peer.idle_since, limits.client_idle_timeout) {
                return Some(Standing::TooLong(TooLong::Idle(limits.client_idle_timeout)));
            }
            look.later(limits.client_idle_timeout);
            return Some(Standing::Look((look.at != u64::MAX).then_some(look.at)));
        };
        let exchange = &server.link.server.exchange;
        let busy = matches!(server.stage, ServerStage::Busy);
        if busy && !exchange.is_free() && look.is_over(server.granted_at, limits.transaction_timeout) {
            return Some(Standing::TooLong(TooLong::Transaction { limit: limits.transaction_timeout, active: exchange.is_active() }));
        }
        if busy && exchange.is_active() {
            // The client reads slowly, or has more to send: then it is not the server that keeps somebody waiting.
            let ours = self.links.is_paused(peer.server) || self.links.backlog(client) > 0 || exchange.is_copying();
            if !ours && look.is_over(server.moved_at, limits.query_timeout) {
                return Some(Standing::TooLong(TooLong::Query(limits.query_timeout)));
            }
        } else if busy && self.links.held(client) == 0 {
            let (limit, what) = if exchange.is_free() {
                (limits.client_idle_timeout, TooLong::Idle(limits.client_idle_timeout))
            } else {
                (limits.client_idle_in_transaction_timeout, TooLong::IdleInTransaction(limits.client_idle_in_transaction_timeout))
            };
            if look.is_over(server.moved_at, limit) {
                return Some(Standing::TooLong(what));
            }
        }
        // Whatever begins from now on.
        look.later(limits.shortest());
        Some(Standing::Look((look.at != u64::MAX).then_some(look.at)))
    }

    fn took_too_long(&mut self, client: u32, what: &TooLong) {
        let millis = |limit: &Duration| limit.as_millis();
        let (code, message, cut_off) = match what {
            TooLong::Query(limit) => {
                let message = format!("the server did not answer within query_timeout ({} ms); the query was cancelled", millis(limit));
                ("57014", message, true)
            }
            TooLong::Transaction { limit, active } => {
                let message = format!("terminating connection: the transaction took longer than transaction_timeout ({} ms)", millis(limit));
                ("25P04", message, *active)
            }
            TooLong::IdleInTransaction(limit) => {
                let key = "client_idle_in_transaction_timeout";
                ("25P03", format!("terminating connection: idle in transaction for longer than {key} ({} ms)", millis(limit)), false)
            }
            TooLong::Idle(limit) => {
                ("57P05", format!("terminating connection: idle for longer than client_idle_timeout ({} ms)", millis(limit)), false)
            }
        };
        if !cut_off {
            return self.client_fatal(client, code, &message, None);
        }
        let Some(server) = self.peers[client as usize].client().map(|peer| peer.server) else { return };
        if let Some(pool) = self.peers[server as usize].server().map(|peer| peer.pool)
            && let Some(tally) = self.tally(pool)
        {
            tally.force_closed.add(1);
        }
        self.end_both(client, server, code, &message, Some("What was running may or may not have been carried out."));
    }

    /// A client has begun a transaction, and no server knows of it.
    pub(super) fn has_begun(&mut self, client: u32) {
        let now = self.now;
        let Some(peer) = self.peers[client as usize].client() else { return };
        peer.idle_since = now;
        let limit = peer.pool.as_ref().map_or(u64::MAX, |pool| ns(pool.spec.limits.client_idle_in_transaction_timeout));
        if limit != u64::MAX && !std::mem::replace(&mut peer.begun_watched, true) {
            let generation = self.links.generation(client);
            self.wheel.arm(now.saturating_add(limit), Timer::Begun { slot: client, generation });
        }
    }

    /// The timer of `has_begun`; that transaction may be over, and another one begun.
    pub(super) fn begun_due(&mut self, client: u32) {
        let now = self.now;
        let Some(peer) = self.peers[client as usize].client() else { return };
        peer.begun_watched = false;
        let Some(pool) = &peer.pool else { return };
        let limit = pool.spec.limits.client_idle_in_transaction_timeout;
        if peer.server != NOBODY || peer.ticket.is_some() || !peer.client.has_begun() {
            return;
        }
        let at = peer.idle_since.saturating_add(ns(limit));
        if at <= now {
            return self.took_too_long(client, &TooLong::IdleInTransaction(limit));
        }
        peer.begun_watched = true;
        let generation = self.links.generation(client);
        self.wheel.arm(at, Timer::Begun { slot: client, generation });
    }

    /// A client has begun to wait: it is told so if that takes long.
    pub(super) fn notify_later(&mut self, client: u32) {
        let after = ns(self.published.snapshot.general.query_wait_notify);
        if after != u64::MAX {
            let generation = self.links.generation(client);
            self.wheel.arm(self.now.saturating_add(after), Timer::Notify { slot: client, generation });
        }
    }

    /// The timer of `notify_later`; the wait it was for may be over, and another one begun.
    pub(super) fn notify_due(&mut self, client: u32) {
        let (now, after) = (self.now, ns(self.published.snapshot.general.query_wait_notify));
        let Some(peer) = self.peers[client as usize].client() else { return };
        if peer.ticket.is_none() || now.saturating_sub(peer.waits_since) < after || !matches!(peer.stage, Stage::Ready) || peer.server != NOBODY {
            return;
        }
        let mut words = Vec::new();
        let message = "no server connection is free, the client is queued";
        notice(&mut words, &ErrorFields { severity: "NOTICE", code: "00000", message, detail: None, hint: None });
        self.links.say(client, &words);
    }
}

/// The earliest time at which something can be too long.
struct Look {
    now: u64,
    at: u64,
}

impl Look {
    /// Whether what began at `since` has taken `limit`; if not, when it will have.
    fn is_over(&mut self, since: u64, limit: Duration) -> bool {
        let at = since.saturating_add(ns(limit));
        if at > self.now {
            self.at = self.at.min(at);
        }
        at <= self.now
    }

    /// Something that begins now may take `limit`.
    fn later(&mut self, limit: Duration) {
        self.at = self.at.min(self.now.saturating_add(ns(limit)));
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
