//! What the pool decides, carried out: grants, opens, servers that rest, retire, or go to another core.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::counts::Tally;
use crate::config::snapshot::NEVER;
use crate::io::{Door, Group, Unread};
use crate::mail::{Desk, Mail, Moved, SharedPool};
use crate::pool::queue::Ticket;
use crate::pool::slice::Slice;
use crate::pool::verdict::{After, Checkin, Checkout, Rules, Take};

use super::accounts::{Pace, Told};
use super::core::Core;
use super::peers::{ClientPeer, NOBODY, Peer, ServerPeer, ServerStage};
use super::timers::{Timer, ns};

/// One core's slice of a pool and what is counted about it.
pub struct Pool {
    pub shared: Arc<SharedPool>,
    pub slice: Slice,
    pub tally: Arc<Tally>,
    /// waiters to be told of a failure; a buffer
    pub failed: Vec<u32>,
    pub said_down_at: u64,
    /// of connects: rounds that have failed since the last that worked or was told, and when the last did
    pub rounds: u32,
    pub failed_at: u64,
    wait_timer: bool,
    pub minimum_timer: bool,
    pub rest_timer: bool,
    /// in the list of those that wait for a place at the gate
    pub at_gate: bool,
    /// when `Slice::look` is due; checked every turn, so that it is on time while the core is busy
    pub look_at: u64,
    /// no longer in the configuration: its servers go when they are free
    pub retired: bool,
    /// its clients may not take as long as they like for everything
    pub has_limits: bool,
    /// a `Timer::Reserve` is armed
    pub reserve_timer: bool,
    /// when MAINTENANCE ended, ns: its waiters' time counts from here
    pub released_at: u64,
}

impl Pool {
    /// Connections that are kept though nobody uses them.
    pub fn minimum(&self) -> u32 {
        let spec = &self.shared.spec;
        let kept = !self.retired && (spec.warm || self.shared.state.clients.load(Ordering::Relaxed) > 0);
        if kept { spec.min_pool_size as u32 } else { 0 }
    }

    /// Logs that no connection can be had, once a second at most.
    pub fn say_down(&mut self, now: u64, code: &str, message: &str) {
        if self.said_down_at == 0 || now.saturating_sub(self.said_down_at) > 1_000_000_000 {
            self.said_down_at = now;
            let spec = &self.shared.spec;
            let server = format!("{}:{}", spec.host, spec.port);
            tracing::error!(database = %spec.database, user = %spec.user, server, code, "no server connection: {message}");
        }
    }
}

/// How long a promised server may take for the rest of a message.
const CUT_NS: u64 = 100_000_000;

impl<D: Door, K: Desk> Core<D, K> {
    /// This core's slice of a pool, made when first needed.
    pub(super) fn pool(&mut self, shared: &Arc<SharedPool>) -> &mut Pool {
        let index = shared.id as usize;
        if self.pools.len() <= index {
            self.pools.resize_with(index + 1, || None);
        }
        let id = self.id;
        let rules = Rules { fair: self.published.snapshot.cores.fair_us * 1000, ..Rules::default() };
        // A server of a pool that has gone may still come from another core.
        let retired = self.pools[index].is_none() && !self.published.by_id.contains_key(&shared.id);
        self.pools[index].get_or_insert_with(|| {
            Box::new(Pool {
                shared: shared.clone(),
                slice: Slice::new(shared.state.ledger.clone(), id, rules),
                tally: shared.state.tallies.of(id),
                failed: Vec::new(),
                said_down_at: 0,
                rounds: 0,
                failed_at: 0,
                wait_timer: false,
                minimum_timer: false,
                rest_timer: false,
                at_gate: false,
                look_at: u64::MAX,
                retired,
                has_limits: shared.spec.limits.shortest() != NEVER,
                reserve_timer: false,
                released_at: 0,
            })
        })
    }

    /// What this core counts of a pool.
    pub(super) fn tally(&self, pool: u32) -> Option<&Tally> {
        self.pools.get(pool as usize)?.as_ref().map(|pool| &*pool.tally)
    }

    /// Asks for a server; true when it is there at once (`Granted`), false when the client waits or has been told that there is none.
    pub(super) fn checkout(&mut self, client: u32) -> bool {
        let Some(pool) = self.pool_of(client) else {
            self.client_fatal(client, "3D000", "this database is no longer configured", None);
            return false;
        };
        let now = self.now;
        let replicates = self.replicates(client);
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return false };
        if replicates && slice.slice.open_alone(now) {
            self.open_sender(client, pool);
            return false;
        }
        match slice.slice.checkout(client, now) {
            Checkout::Grant(server) => {
                self.attach(client, server);
                !replicates
            }
            Checkout::Wait { ticket, then } => {
                if let Some(peer) = self.peers[client as usize].client() {
                    peer.ticket = Some(ticket);
                    peer.waits_since = now;
                }
                self.arm_wait(pool);
                self.arm_reserve(pool);
                self.notify_later(client);
                self.after(pool, then);
                if self.is_barred(pool) {
                    self.barred.push((client, self.links.generation(client)));
                }
                false
            }
        }
    }

    /// The server does not let us in, and there is no connection of before.
    fn is_barred(&self, pool: u32) -> bool {
        let Some(Some(pool)) = self.pools.get(pool as usize) else { return false };
        let state = &pool.shared.state;
        state.ledger.lasting() == 0 && state.barred.load().as_ref().is_some_and(|barred| self.now < barred.until)
    }

    /// The pool a client belongs to, found again after a reload; its slice is there.
    fn pool_of(&mut self, client: u32) -> Option<u32> {
        let version = self.version;
        if self.peers[client as usize].client()?.version != version {
            self.find_again(client);
        }
        let shared = self.peers[client as usize].client()?.pool.as_ref()?;
        let id = shared.id;
        if !matches!(self.pools.get(id as usize), Some(Some(_))) {
            let shared = shared.clone();
            self.pool(&shared);
            self.restore_minimum(id);
        }
        Some(id)
    }

    fn attach(&mut self, client: u32, server: u32) {
        if self.replicates(client) {
            return self.make_place(client, server);
        }
        let now = self.now;
        let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) else { return };
        let waited = if peer.ticket.take().is_some() { now.saturating_sub(peer.waits_since) } else { 0 };
        peer.server = server;
        peer.counts.wait_ns += waited;
        link.client = client;
        link.client_number = peer.number;
        link.link.server.speaker.meets(peer.spoken.take());
        link.stage = ServerStage::Granted;
        link.granted_at = now;
        link.link.used_at = now;
        link.moved_at = now;
        let (pool, watched) = (link.pool, peer.watched);
        self.account_grant(server, waited);
        if !watched && matches!(self.pools.get(pool as usize), Some(Some(pool)) if pool.has_limits) {
            self.watch(client);
        }
    }

    /// Carries out what the slice wants done, until it wants nothing more.
    pub(super) fn after(&mut self, pool: u32, mut after: After) {
        loop {
            match after {
                After::Nothing => return,
                After::Timer { at } => return self.look_later(pool, at),
                After::Serve { client, link, .. } => {
                    self.attach(client, link);
                    self.granted.push_back((client, self.links.generation(client)));
                }
                After::Lend { core, link } => self.lend(link, core),
                After::Ask { core } => self.post.send(core, Mail::Take { pool, from: self.id }, &mut self.links.door),
                After::Open => self.open_server(pool),
                After::Gated => return self.wait_at_gate(pool),
                After::Nudge { core } => self.post.send(core, Mail::Nudge { pool }, &mut self.links.door),
            }
            let now = self.now;
            let Some(slice) = self.pools[pool as usize].as_mut() else { return };
            after = slice.slice.look(now);
        }
    }

    fn look_later(&mut self, pool: u32, at: u64) {
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        slice.look_at = at;
        self.next_look = self.next_look.min(at);
    }

    /// Slices whose time to look has come. Looks are due within fractions of a millisecond, so they have no place in the coarse wheel.
    pub(super) fn look_due(&mut self) {
        if self.now < self.next_look {
            return;
        }
        self.next_look = u64::MAX;
        for pool in 0..self.pools.len() {
            let Some(slice) = self.pools[pool].as_mut().filter(|slice| slice.look_at != u64::MAX) else { continue };
            if slice.look_at <= self.now {
                slice.look_at = u64::MAX;
                self.look(pool as u32);
            } else {
                self.next_look = self.next_look.min(slice.look_at);
            }
        }
    }

    pub(super) fn look(&mut self, pool: u32) {
        let now = self.now;
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        let after = slice.slice.look(now);
        self.after(pool, after);
    }

    fn placed(&mut self, pool: u32, verdict: Checkin) {
        match verdict {
            Checkin::Serve { client, link, .. } => {
                self.attach(client, link);
                self.granted.push_back((client, self.links.generation(client)));
            }
            Checkin::Lend { core, link } => self.lend(link, core),
            Checkin::Idle { timer } => {
                if let Some(at) = timer {
                    self.look_later(pool, at);
                }
                self.rest_later(pool);
            }
            Checkin::Retire => {}
        }
    }

    /// A server whose login is through.
    pub(super) fn pool_opened(&mut self, slot: u32) {
        self.check_in(slot, |slice, now| slice.opened(slot, now));
        self.replace_arrived(slot);
        self.look_at_gate();
    }

    /// A server is free: to the pool with it, unless a cancel request may still hit it.
    pub(super) fn server_free(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        if peer.suspect {
            return self.give_up_server(slot);
        }
        if peer.leg {
            peer.stage = ServerStage::Cancelled;
            let generation = self.links.generation(slot);
            let timeout = ns(self.published.snapshot.general.rollback_timeout);
            self.wheel.arm(self.now.saturating_add(timeout), Timer::Clean { slot, generation });
            return;
        }
        peer.link.heard_at = self.now;
        if self.now >= peer.link.retire_at {
            return self.let_go(slot, false);
        }
        self.check_in(slot, |slice, now| slice.checkin(slot, now));
    }

    fn check_in(&mut self, slot: u32, place: impl FnOnce(&mut Slice, u64) -> Checkin) {
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        peer.stage = ServerStage::Idle;
        let pool = peer.pool;
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        let verdict = place(&mut slice.slice, now);
        if verdict == Checkin::Retire {
            return self.say_goodbye(slot);
        }
        let retired = slice.retired;
        self.placed(pool, verdict);
        if retired {
            self.dismiss_idle(pool);
        }
    }

    /// Promises a server to another core; it leaves when nothing is on its way to or from it.
    fn lend(&mut self, slot: u32, core: usize) {
        self.lending.push((slot, self.links.generation(slot), core));
    }

    /// Sends promised servers on their way. Their recv ends first, and what it still brought is read here: no byte can come to the wrong core.
    pub(super) fn give_away(&mut self) {
        let mut at = 0;
        while at < self.lending.len() {
            let (slot, _, core) = self.lending[at];
            if !self.may_leave(slot) {
                self.prepare_to_leave(slot);
                at += 1;
                continue;
            }
            self.lending.swap_remove(at);
            if let Peer::Server(peer) = std::mem::take(&mut self.peers[slot as usize]) {
                let fd = self.links.give_away(slot);
                let moved = Moved { pool: peer.pool, fd, server: peer.link };
                self.post.send(core, Mail::Hand(moved), &mut self.links.door);
            }
        }
    }

    /// A promised server is not heard any more, unless it is in the middle of a message: then it is heard to the end of that, but not for ever.
    fn prepare_to_leave(&mut self, slot: u32) {
        let paused = self.links.is_paused(slot);
        if !self.is_cut(slot) {
            if !paused {
                self.links.pause(slot);
            }
            return;
        }
        if paused {
            self.links.resume(slot);
        }
        if !self.lend_timer {
            self.lend_timer = true;
            self.wheel.arm(self.now + CUT_NS, Timer::Lend);
        }
    }

    /// Nothing is on its way to or from this server, and no message is cut.
    pub(super) fn may_leave(&self, slot: u32) -> bool {
        self.links.is_movable(slot) && matches!(&self.peers[slot as usize], Peer::Server(peer) if peer.link.server.at_boundary())
    }

    /// The first part of a message came from this server, and not yet the rest.
    fn is_cut(&self, slot: u32) -> bool {
        self.links.held(slot) > 0 || !matches!(&self.peers[slot as usize], Peer::Server(peer) if peer.link.server.at_boundary())
    }

    /// Promised servers that fell silent in the middle of a message: whoever waits for them looks for others.
    pub(super) fn end_cut_lends(&mut self) {
        self.lend_timer = false;
        while let Some(&(slot, _, _)) = self.lending.iter().find(|&&(slot, _, _)| self.is_cut(slot)) {
            self.let_go(slot, false);
        }
    }

    /// A server comes from another core.
    pub(super) fn handed(&mut self, moved: Moved) {
        let slot = self.links.adopt(moved.fd, Group::Servers);
        let unread = self.links.door.unread(moved.fd);
        let shared = moved.server.pool.clone();
        self.seat(slot, Peer::Server(ServerPeer::new(moved.server, moved.pool, ServerStage::Idle)));
        self.links.resume(slot);
        self.pool(&shared);
        self.check_in(slot, |slice, now| slice.handed(slot, now));
        // It ended where nobody listened to it, between that core's recv and ours: who has been given it gets another one.
        if matches!(&self.peers[slot as usize], Peer::Server(peer) if !matches!(peer.stage, ServerStage::Leaving)) {
            match unread {
                Unread::End => return self.server_ended(slot),
                // Its farewell; PostgreSQL counts it until it is gone.
                Unread::Byte(b'E') => return self.server_lost(slot, false, "08006", "the server closed the connection unexpectedly"),
                Unread::Byte(_) | Unread::Nothing => {}
            }
        }
        self.replace_arrived(slot);
        self.prove_late(slot);
    }

    /// Another core took one of our idle servers from the ledger.
    pub(super) fn taken(&mut self, pool: u32, from: usize) {
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else {
            return self.post.send(from, Mail::Refund { pool }, &mut self.links.door);
        };
        match slice.slice.take() {
            Take::Hand(link) => self.lend(link, from),
            Take::Broken => self.post.send(from, Mail::Refund { pool }, &mut self.links.door),
        }
    }

    pub(super) fn refunded(&mut self, pool: u32) {
        let now = self.now;
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        let after = slice.slice.refunded(now);
        self.after(pool, after);
    }

    pub(super) fn nudged(&mut self, pool: u32) {
        let now = self.now;
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else {
            // The pool has ended here meanwhile, and may begin again: the next one must get through.
            if let Some(shared) = self.published.by_id.get(&pool) {
                shared.state.ledger.line(self.id).nudge_arrived();
            }
            return;
        };
        let after = slice.slice.nudged(now);
        self.after(pool, after);
    }

    /// A client gives up its place in the queue.
    pub(super) fn leave_queue(&mut self, peer: &ClientPeer, ticket: Ticket) {
        let Some(pool) = peer.pool.as_ref().map(|pool| pool.id) else { return };
        if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
            slice.slice.cancel_wait(ticket);
            self.end_unused(pool);
        }
    }

    /// One timer per pool for `checkout_timeout`: waiters stand in the order of their deadlines.
    fn arm_wait(&mut self, pool: u32) {
        let timeout = ns(self.published.snapshot.general.checkout_timeout);
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        if slice.wait_timer {
            return;
        }
        if let Some(at) = slice.slice.next_expiry(timeout) {
            slice.wait_timer = true;
            self.wheel.arm(at, Timer::Wait { pool });
        }
    }

    pub(super) fn expire_waiters(&mut self, pool: u32) {
        let timeout = ns(self.published.snapshot.general.checkout_timeout);
        let now = self.now;
        if let Some(at) = self.spared_until(pool, timeout) {
            self.wheel.arm(at, Timer::Wait { pool });
            return;
        }
        loop {
            let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
            slice.wait_timer = false;
            let Some(waiter) = slice.slice.expired(now, timeout) else { break };
            slice.tally.counts.errors.add(1);
            if let Some(peer) = self.peers[waiter.client as usize].client() {
                peer.ticket = None;
            }
            let message = "no server connection became free within checkout_timeout; retry later, or raise the pool's size";
            self.checkout_failed(waiter.client, "53300", message);
        }
        self.arm_wait(pool);
    }
}

impl ServerPeer {
    /// A server without a client.
    pub fn new(link: Box<crate::mail::ServerLink>, pool: u32, stage: ServerStage) -> ServerPeer {
        // What it did on another core has been counted there.
        let told = Told::of(&link);
        ServerPeer {
            link,
            pool,
            stage,
            client: NOBODY,
            client_number: 0,
            granted_at: 0,
            moved_at: 0,
            told,
            pace: Pace::default(),
            leg: false,
            suspect: false,
            pinned: false,
            cancel_due: false,
            cancel_again: false,
            heir: None,
        }
    }
}

#[cfg(test)]
#[path = "lend_tests.rs"]
mod tests;
