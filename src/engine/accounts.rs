//! What was done on a server goes into the counters of its pool and of its client, each time the server is free or loses its client.

use crate::io::Door;
use crate::mail::{Desk, ServerLink};

use super::core::Core;
use super::peers::Peer;

/// A server's own counters as they were when its pool last heard of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    queries: u64,
    transactions: u64,
    errors: u64,
    received: u64,
    sent: u64,
}

impl Told {
    /// All that a server has done so far.
    pub fn of(link: &ServerLink) -> Told {
        let counts = link.server.counts;
        Told { queries: counts.queries, transactions: counts.transactions, errors: counts.errors, received: link.received, sent: link.sent }
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// Adds what has happened on a server since the last time. Its times count from `granted_at`.
    pub(super) fn account(&mut self, server: u32) {
        let now = self.now;
        let Some(Peer::Server(link)) = self.peers.get_mut(server as usize) else { return };
        let new = Told::of(&link.link);
        let old = std::mem::replace(&mut link.told, new);
        let busy_ns = now.saturating_sub(link.granted_at);
        link.granted_at = now;
        let (pool, client) = (link.pool, link.client);
        let transactions = new.transactions.saturating_sub(old.transactions);
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            let counts = &mut pool.counts;
            counts.query_count += new.queries.saturating_sub(old.queries);
            counts.xact_count += transactions;
            counts.errors += new.errors.saturating_sub(old.errors);
            counts.sent += new.received.saturating_sub(old.received);
            counts.received += new.sent.saturating_sub(old.sent);
            counts.xact_time += busy_ns / 1000;
            counts.query_time += busy_ns / 1000;
        }
        if let Some(Peer::Client(peer)) = self.peers.get_mut(client as usize) {
            peer.counts.transactions += transactions;
            peer.counts.transaction_ns += busy_ns;
        }
    }
}
