//! What was done on a server goes into the tally of its pool and the counters of its client: how often, each time the server is free or loses its
//! client; how long, at every reply that ends a request. And what a turn of the loop took goes to the transactions that it served.
//!
//! Times are those of the core's clock: read when a turn begins (`now`) and once when it ends. Nothing here reads it.

use crate::io::Door;
use crate::mail::{Desk, ServerLink};

use super::core::Core;
use super::peers::{Peer, ServerPeer, ServerStage};

/// A server's own counters as they were when its pool last heard of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    queries: u64,
    transactions: u64,
    errors: u64,
    parses: u64,
    binds: u64,
    closes: u64,
    received: u64,
    sent: u64,
}

impl Told {
    /// All that a server has done so far.
    pub fn of(link: &ServerLink) -> Told {
        let counts = link.server.counts;
        Told {
            queries: counts.queries,
            transactions: counts.transactions,
            errors: counts.errors,
            parses: counts.parses,
            binds: counts.binds,
            closes: counts.closes,
            received: link.received,
            sent: link.sent,
        }
    }
}

/// Where a server is in its client's transaction; ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// its queries whose times are recorded
    queries: u64,
    /// when the request that it is at work on came, or the reply before it
    asked_at: u64,
    /// since when it waits for its client in a transaction; 0 = it does not
    rests_since: u64,
    /// what pg_dog has added to this transaction so far
    pub added: u64,
}

/// What ends with this turn, whose length nobody knows yet.
#[derive(Debug, Default)]
pub struct Turn {
    /// servers that were sent a request, or whose reply went on, in mid-transaction
    touched: Vec<u32>,
    /// transactions that ended: pool, how many, what was added to them before this turn
    ended: Vec<(u32, u64, u64)>,
}

/// What each of `count` things took that took `all` together; nearly always it is one, and a division costs more than all the rest.
#[inline]
fn share(all: u64, count: u64) -> u64 {
    if count == 1 { all } else { all.checked_div(count).unwrap_or(all) }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client got this server after it had waited so long for one.
    pub(super) fn account_grant(&mut self, server: u32, waited: u64) {
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        link.pace.added = waited;
        link.pace.queries = link.link.server.counts.queries;
        let Some(Some(pool)) = self.pools.get(link.pool as usize) else { return };
        pool.tally.counts.server_assignment_count.add(1);
        pool.tally.counts.wait_time.add(waited);
        pool.tally.times().wait.record(waited);
    }

    /// A server that had nothing to do was sent a request.
    #[inline]
    pub(super) fn account_request(&mut self, server: u32) {
        let now = self.now;
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        link.pace.asked_at = now;
        self.turn.touched.push(server);
        if link.pace.rests_since > 0 {
            self.ends_rest(server);
        }
    }

    /// The last reply to one or more requests came.
    #[inline]
    pub(super) fn account_replies(&mut self, server: u32) {
        let now = self.now;
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        let queries = link.link.server.counts.queries;
        let new = queries.wrapping_sub(link.pace.queries);
        if new == 0 {
            return;
        }
        let took = now.saturating_sub(link.pace.asked_at);
        (link.pace.queries, link.pace.asked_at) = (queries, now);
        let Some(Some(pool)) = self.pools.get(link.pool as usize) else { return };
        pool.tally.counts.query_time.add(took);
        pool.tally.times().query.record_many(share(took, new), new);
        if !link.link.server.exchange.is_free() {
            self.turn.touched.push(server);
            if link.link.server.exchange.is_quiet() && matches!(link.stage, ServerStage::Busy) && link.pace.rests_since == 0 {
                link.pace.rests_since = now.max(1);
                pool.tally.idle_in_transaction.add(1);
            }
        }
    }

    #[cold]
    fn ends_rest(&mut self, server: u32) {
        let now = self.now;
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        let since = std::mem::take(&mut link.pace.rests_since);
        let Some(Some(pool)) = self.pools.get(link.pool as usize) else { return };
        pool.tally.counts.idle_xact_time.add(now.saturating_sub(since));
        pool.tally.idle_in_transaction.set(pool.tally.idle_in_transaction.get().saturating_sub(1));
    }

    /// A client keeps this server between its transactions, or no longer does.
    pub(super) fn account_pin(&mut self, server: u32, pinned: bool) {
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        if std::mem::replace(&mut link.pinned, pinned) == pinned {
            return;
        }
        let Some(Some(pool)) = self.pools.get(link.pool as usize) else { return };
        if pinned { pool.tally.pinned.add(1) } else { pool.tally.unpinned.add(1) }
    }

    /// Adds what has happened on a server since the last time. Its times count from `granted_at`.
    pub(super) fn account(&mut self, server: u32) {
        let now = self.now;
        if matches!(self.peers.get(server as usize), Some(Peer::Server(link)) if link.pace.rests_since > 0) {
            self.ends_rest(server);
        }
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        let new = Told::of(&link.link);
        let old = std::mem::replace(&mut link.told, new);
        let busy_ns = now.saturating_sub(link.granted_at);
        link.granted_at = now;
        let (pool, client) = (link.pool, link.client);
        let transactions = new.transactions.saturating_sub(old.transactions);
        let added = if transactions > 0 { std::mem::take(&mut link.pace.added) } else { 0 };
        if let Some(Some(slice)) = self.pools.get(pool as usize) {
            let counts = &slice.tally.counts;
            counts.query_count.add(new.queries.saturating_sub(old.queries));
            counts.xact_count.add(transactions);
            counts.sent.add(new.received.saturating_sub(old.received));
            counts.received.add(new.sent.saturating_sub(old.sent));
            counts.xact_time.add(busy_ns);
            // Of most transactions these are as they were.
            if (new.errors, new.parses, new.closes) != (old.errors, old.parses, old.closes) || new.binds != old.binds {
                counts.errors.add(new.errors.saturating_sub(old.errors));
                counts.server_parse_count.add(new.parses.saturating_sub(old.parses));
                counts.bind_count.add(new.binds.saturating_sub(old.binds));
                counts.close_count.add(new.closes.saturating_sub(old.closes));
            }
            if transactions > 0 {
                slice.tally.times().transaction.record_many(share(busy_ns, transactions), transactions);
                self.turn.ended.push((pool, transactions, added));
            }
        }
        if let Some(Peer::Client(peer)) = self.peers.get_mut(client as usize) {
            peer.counts.transactions += transactions;
            peer.counts.transaction_ns += busy_ns;
        }
    }

    /// A turn ends: what it took goes to whom it served, and what this core did to its own tally.
    pub(super) fn account_turn(&mut self) {
        let took = self.links.door.clock().saturating_sub(self.now);
        let tally = &self.shared.tallies[self.id];
        tally.turns.record(took);
        tally.longest_turn.raise(took);
        tally.longest_lately.raise(took);
        let figures = self.links.door.figures();
        tally.submissions.set(figures.submissions);
        tally.early_submissions.set(figures.early);
        tally.overflows.set(figures.overflows);
        tally.starved.set(self.links.starvations());
        tally.panics.set(self.panics);
        for (pool, count, before) in self.turn.ended.drain(..) {
            if let Some(Some(pool)) = self.pools.get(pool as usize) {
                pool.tally.times().added.record_many(share(before + took, count), count);
            }
        }
        for server in self.turn.touched.drain(..) {
            if let Some(Peer::Server(ServerPeer { pace, .. })) = self.peers.get_mut(server as usize) {
                pace.added += took;
            }
        }
    }
}
