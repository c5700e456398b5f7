//! Pools over time: who belongs to one, what it keeps open, what a reload makes of it, and its end. A pool exists on a core from its first client
//! there (or from the start, where somebody asked for a minimum by hand) until nothing of it is left, so that what nobody uses costs nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::snapshot::NEVER;
use crate::io::Door;
use crate::mail::{Desk, Mail, SharedPool, Word};
use crate::pool::verdict::Rules;

use super::core::Core;
use super::peers::{NOBODY, Peer};
use super::timers::{Timer, ns};

/// How long a pool may be below `min_pool_size` before it is brought back to it; also the pause between attempts while the server is down.
const MINIMUM_NS: u64 = 1_000_000_000;
/// How often a pool whose clients have waited for long looks whether it may use its reserve.
const RESERVE_NS: u64 = 100_000_000;

impl<D: Door, K: Desk> Core<D, K> {
    /// After a reload: the pool of a client is perhaps another one.
    pub(super) fn find_again(&mut self, client: u32) {
        let version = self.version;
        let limit = self.published.snapshot.general.query_size_limit;
        let Some(peer) = self.peers[client as usize].client() else { return };
        peer.version = version;
        peer.client.limit_messages(limit);
        // Another pool counts its servers' reports anew: the list itself is compared.
        peer.told_number = u64::MAX;
        let found = self.published.find(&peer.database, &peer.user);
        if peer.owner != NOBODY {
            // One of its coordinator's: it stays on its shard.
            let old = peer.pool.take();
            let shard = old.as_ref().map_or(0, |pool| usize::from(pool.spec.shard));
            if let Some(pool) = found.and_then(|pool| self.published.shards(pool).get(shard)) {
                peer.join(pool.clone(), &[]);
            }
            return self.left_pools(old, &[]);
        }
        let (old, old_shards) = (peer.pool.take(), std::mem::take(&mut peer.shards));
        if let Some(pool) = found {
            let shards = if pool.spec.shards > 1 { self.published.shards(pool) } else { &[] };
            // It stays with its shard, if there still is one of that number.
            let at = old.as_ref().and_then(|old| shards.get(usize::from(old.spec.shard))).unwrap_or(pool);
            peer.join(at.clone(), shards);
        }
        self.spread(client);
        self.left_pools(old, &old_shards);
    }

    /// A client no longer belongs to its pools: that of its database, or those of its shards.
    pub(super) fn left_pools(&mut self, pool: Option<Arc<SharedPool>>, shards: &[Arc<SharedPool>]) {
        if shards.is_empty() {
            pool.iter().for_each(|pool| self.left_pool(pool));
        } else {
            shards.iter().for_each(|pool| self.left_pool(pool));
        }
    }

    /// A client no longer belongs to a pool.
    fn left_pool(&mut self, pool: &SharedPool) {
        let last = pool.state.clients.fetch_sub(1, Ordering::Relaxed) == 1;
        if last {
            // Its minimum is no longer kept, on no core.
            self.deserted(pool.id);
            for core in (0..self.shared.clients.len()).filter(|&core| core != self.id) {
                self.post.send(core, Mail::Deserted { pool: pool.id }, &mut self.links.door);
            }
        }
    }

    /// A pool of which nothing is left here goes; the first client that comes back to it makes it again.
    pub(super) fn end_unused(&mut self, pool: u32) {
        let Some(Some(slice)) = self.pools.get(pool as usize) else { return };
        let nobody = slice.retired || slice.shared.state.clients.load(Ordering::Relaxed) == 0;
        if !slice.slice.is_unused() || slice.minimum() > 0 || !nobody {
            return;
        }
        // One that is promised to another core and has not left yet is in no count, and may still end here.
        let promised = |&(slot, ..): &(u32, u32, usize)| matches!(&self.peers[slot as usize], Peer::Server(server) if server.pool == pool);
        if !self.lending.iter().any(promised) {
            self.pools[pool as usize] = None;
        }
    }

    /// As `arm_wait`, for the time after which a pool uses its reserve.
    pub(super) fn arm_reserve(&mut self, pool: u32) {
        let timeout = ns(self.published.snapshot.general.reserve_pool_timeout);
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        if slice.reserve_timer || slice.shared.spec.limits.reserve == 0 {
            return;
        }
        if let Some(at) = slice.slice.next_expiry(timeout) {
            slice.reserve_timer = true;
            self.wheel.arm(at, Timer::Reserve { pool });
        }
    }

    /// The timer of `arm_reserve`.
    pub(super) fn reserve_due(&mut self, pool: u32) {
        let (now, timeout) = (self.now, ns(self.published.snapshot.general.reserve_pool_timeout));
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        slice.reserve_timer = false;
        let ledger = slice.shared.state.ledger.clone();
        if slice.slice.next_expiry(timeout).is_some_and(|at| at <= now) && ledger.open_reserve() {
            let spec = &slice.shared.spec;
            let reserve = spec.limits.reserve;
            tracing::warn!(database = %spec.database, user = %spec.user, reserve, "clients wait for long: the pool uses its reserve");
            self.look(pool);
        }
        self.arm_reserve_again(pool);
    }

    /// Waiters that have waited for long already have had their look; the next one's time is still to come.
    fn arm_reserve_again(&mut self, pool: u32) {
        let timeout = ns(self.published.snapshot.general.reserve_pool_timeout);
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        if let Some(at) = slice.slice.next_expiry(timeout) {
            slice.reserve_timer = true;
            self.wheel.arm(at.max(self.now + RESERVE_NS), Timer::Reserve { pool });
        }
    }

    /// Opens what `min_pool_size` asks for where somebody set it by hand. Elsewhere it is kept from a pool's first client on.
    pub(super) fn keep_warm(&mut self) {
        let published = self.published.clone();
        for shared in &published.warm {
            self.pool(shared);
            self.restore_minimum(shared.id);
        }
    }

    /// A pool has lost a server, or could not get one: a little later it is looked at whether it still has its minimum.
    pub(super) fn minimum_later(&mut self, pool: u32) {
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        if slice.minimum_timer || slice.minimum() == 0 {
            return;
        }
        slice.minimum_timer = true;
        self.wheel.arm(self.now + MINIMUM_NS, Timer::Minimum { pool });
    }

    /// The timer of `minimum_later`.
    pub(super) fn minimum_due(&mut self, pool: u32) {
        if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
            slice.minimum_timer = false;
        }
        self.restore_minimum(pool);
    }

    /// Opens what a pool lacks of its minimum, as far as that can be done now.
    pub(super) fn restore_minimum(&mut self, pool: u32) {
        let now = self.now;
        loop {
            let draining = self.draining;
            let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
            let minimum = slice.minimum();
            if draining || minimum == 0 {
                return;
            }
            if !slice.slice.wanted_extra(minimum, now) {
                let ledger = &slice.shared.state.ledger;
                let lacks = ledger.open() < minimum;
                // A bound that other pools fill may stay full for long.
                if lacks && now >= ledger.retry_at() && !ledger.paused() && ledger.full_cap().is_none() {
                    self.wait_at_gate(pool);
                } else if lacks {
                    self.minimum_later(pool);
                }
                return;
            }
            self.open_server(pool);
        }
    }

    /// A new snapshot: pools that are gone or smaller lose servers, larger ones look again. Costs what has changed of the pools in use here.
    pub(super) fn take_published(&mut self) {
        let published = self.shared.published.load_full();
        if self.routers.learn(&self.shared) {
            self.prove_all();
        }
        if published.snapshot.number == self.version {
            return;
        }
        self.version = published.snapshot.number;
        let before = std::mem::replace(&mut self.published, published.clone());
        self.note_settings();
        let (old, new) = (before.snapshot.cores.fair_us, published.snapshot.cores.fair_us);
        let rules = (old != new).then(|| Rules { fair: new * 1000, ..Rules::default() });
        for index in 0..self.pools.len() {
            let Some(pool) = self.pools[index].as_mut() else { continue };
            if let Some(rules) = rules {
                pool.slice.set_rules(rules);
            }
            match published.by_id.get(&(index as u32)) {
                Some(shared) if Arc::ptr_eq(shared, &pool.shared) => {}
                found => {
                    let found = found.cloned();
                    self.pool_changed(index as u32, found);
                }
            }
        }
        if published.snapshot.general.checkout_timeout < before.snapshot.general.checkout_timeout {
            // Timers are set for the longer one; who has waited for the shorter one is told now, and the others have a timer of their own.
            (0..self.pools.len()).for_each(|pool| self.expire_waiters(pool as u32));
        }
        self.keep_warm();
        // With thousands of pools it takes its time to free.
        self.desk.word(Word::Outdated(before));
    }

    /// Who waits in a pool that is no longer configured waits in the one that took its place: the old one may be paused for ever, or its server gone.
    fn move_waiters(&mut self, id: u32) {
        let mut moved = Vec::new();
        while let Some(waiter) = self.pools[id as usize].as_mut().and_then(|pool| pool.slice.turn_away()) {
            moved.push(waiter.client);
        }
        for client in moved {
            if let Some(peer) = self.peers[client as usize].client() {
                peer.ticket = None;
            }
            if self.checkout(client) {
                self.begin(client);
            }
        }
    }

    /// The last client of a pool has left, on another core: what is kept here for its clients is not kept any more.
    pub(super) fn deserted(&mut self, pool: u32) {
        self.rest_later(pool);
        self.end_unused(pool);
    }

    fn pool_changed(&mut self, id: u32, found: Option<Arc<SharedPool>>) {
        let now = self.now;
        let Some(pool) = self.pools[id as usize].as_mut() else { return };
        match found {
            Some(shared) => {
                pool.has_limits = shared.spec.limits.shortest() != NEVER;
                pool.shared = shared;
            }
            None => pool.retired = true,
        }
        while let Some(slot) = self.pools[id as usize].as_mut().and_then(|pool| pool.slice.shed()) {
            self.say_goodbye(slot);
        }
        let Some(pool) = self.pools[id as usize].as_mut() else { return };
        let (retired, after) = (pool.retired, pool.slice.look(now));
        self.after(id, after);
        if retired {
            self.move_waiters(id);
            self.dismiss_idle(id);
            self.end_unused(id);
        } else {
            self.restore_minimum(id);
            self.rest_later(id);
        }
    }
}
