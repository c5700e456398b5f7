//! Servers that go: because they ended, failed, are too old or too many, or rest for too long. A connection that we close is told goodbye and heard
//! to its end, and only then its permit is free: PostgreSQL's process is gone by then, so that the server never has more of them than the pool may
//! hold. Who does not let go in time is cut off.

use std::sync::Arc;

use crate::io::Door;
use crate::mail::{Desk, Mail};
use crate::pool::ledger::Gate;

use super::core::Core;
use super::lend::Pool;
use super::peers::{NOBODY, Peer, ServerPeer, ServerStage};
use super::timers::Timer;

/// How long a server may take to let go of a connection. A process that is at work on something was asked to stop; one that does not, or a network
/// that is down, must not hold a permit for ever.
pub(super) const LEAVE_NS: u64 = 5_000_000_000;
/// A pool that may not open connections because as many as may be are being opened at its server looks again after so long, if none of this core's
/// ends before.
const GATE_NS: u64 = 10_000_000;

impl<D: Door, K: Desk> Core<D, K> {
    /// Takes a server out of its pool; its client, if there is one, is no longer its. `ended`: the other end has closed the connection.
    pub(super) fn let_go(&mut self, slot: u32, ended: bool) {
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let pool = peer.pool;
        let lent = matches!(peer.stage, ServerStage::Idle).then(|| self.lending.iter().position(|&(lent, ..)| lent == slot)).flatten();
        let idle = matches!(peer.stage, ServerStage::Idle);
        if let Some(at) = lent {
            // Promised to another core and not on its way yet: who asked is told.
            let (_, _, core) = self.lending.swap_remove(at);
            self.post.send(core, Mail::Refund { pool }, &mut self.links.door);
        }
        self.account(slot);
        self.account_pin(slot, false);
        let Some(Some(slice)) = self.pools.get_mut(pool as usize).map(Option::as_mut) else { return };
        let slice = &mut slice.slice;
        if ended {
            self.peers[slot as usize] = Peer::None;
            self.links.abort(slot);
            let after = match (lent, idle) {
                (Some(_), _) => {
                    // Its permit was on its way with it.
                    slice.leave_lent();
                    slice.left(now)
                }
                (None, true) => slice.idle_died(slot, now),
                (None, false) => slice.busy_died(now),
            };
            self.after(pool, after);
            self.end_unused(pool);
        } else {
            match (lent, idle) {
                (Some(_), _) => slice.leave_lent(),
                (None, true) => _ = slice.leave_idle(slot),
                (None, false) => slice.leave(),
            }
            self.say_goodbye(slot);
        }
        self.minimum_later(pool);
    }

    /// Says goodbye to a server that its pool counts as leaving.
    pub(super) fn say_goodbye(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (client, number) = (NOBODY, 0);
        (peer.client, peer.client_number) = (client, number);
        let stage = std::mem::replace(&mut peer.stage, ServerStage::Leaving);
        // In the middle of a login or of a client's message nothing can be said; the end of the stream is understood everywhere.
        if !matches!(stage, ServerStage::Connecting | ServerStage::Greeting(_)) && !peer.link.server.exchange.cut {
            let mut words = Vec::new();
            crate::wire::client::terminate(&mut words);
            self.links.say(slot, &words);
        }
        self.links.part(slot);
        let generation = self.links.generation(slot);
        self.wheel.arm(self.now + LEAVE_NS, Timer::Leave { slot, generation });
    }

    /// The other end has let go of a connection that we are closing.
    pub(super) fn left(&mut self, slot: u32) {
        let now = self.now;
        let Peer::Server(peer) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        self.links.abort(slot);
        if self.inherits(&peer) {
            return;
        }
        if let Some(Some(slice)) = self.pools.get_mut(peer.pool as usize) {
            let after = slice.slice.left(now);
            self.after(peer.pool, after);
            self.end_unused(peer.pool);
        }
        self.look_at_gate();
    }

    /// It has not let go in time.
    pub(super) fn cut_off(&mut self, slot: u32) {
        if let Peer::Sender(_) = &self.peers[slot as usize] {
            return self.sender_stays(slot);
        }
        if let Some(peer) = self.peers[slot as usize].server() {
            let spec = &peer.link.pool.spec;
            let (pid, server) = (peer.link.server.key.as_ref().map(|(pid, _)| *pid), format!("{}:{}", spec.host, spec.port));
            let what = "a server does not let go of a connection that pg_dog has closed";
            tracing::warn!(database = %spec.database, user = %spec.user, server, pid, "{what}");
        }
        self.left(slot);
    }

    /// What runs on a server is of no use to anybody any more: it is cancelled, and the connection closed.
    pub(super) fn give_up_server(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (pool, active) = (peer.pool, peer.link.server.exchange.is_active());
        if active {
            self.send_cancel(slot);
        }
        if let Some(tally) = self.tally(pool) {
            tally.out_of_sync.add(1);
        }
        self.let_go(slot, false);
    }

    /// A pool that is no longer configured keeps no idle servers.
    pub(super) fn dismiss_idle(&mut self, pool: u32) {
        while let Some(slot) = self.pools.get(pool as usize).and_then(Option::as_ref).and_then(|pool| pool.slice.idle_links().next()) {
            self.let_go(slot, false);
        }
    }

    /// Arms the timer for servers that rest too long, if there is one to come and none is armed.
    pub(super) fn rest_later(&mut self, pool: u32) {
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        if slice.rest_timer {
            return;
        }
        let (timeout, keep) = resting(slice);
        if timeout != u64::MAX
            && let Some(at) = slice.slice.next_rested(timeout, keep)
        {
            slice.rest_timer = true;
            self.wheel.arm(at, Timer::Rest { pool });
        }
    }

    /// Closes servers that have rested for `idle_timeout`, down to `min_pool_size`.
    pub(super) fn close_rested(&mut self, pool: u32) {
        let now = self.now;
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        slice.rest_timer = false;
        while let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
            let (timeout, keep) = resting(slice);
            let Some(slot) = slice.slice.rested(now, timeout, keep) else { break };
            self.say_goodbye(slot);
        }
        self.rest_later(pool);
    }

    /// This pool may not open a connection now: as many as may be are being opened at its server.
    pub(super) fn wait_at_gate(&mut self, pool: u32) {
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        if slice.at_gate {
            return;
        }
        slice.at_gate = true;
        let since = self.now.saturating_sub(slice.slice.oldest_wait(self.now));
        let waiting = slice.slice.waiting() > 0;
        let full = slice.shared.state.ledger.full_cap().cloned();
        if !self.gate_timer {
            self.gate_timer = true;
            self.wheel.arm(self.now + GATE_NS, Timer::Gate);
        }
        self.gated.push(pool);
        // Only who has somebody waiting asks others to give something up.
        let Some(cap) = full.filter(|_| waiting) else { return };
        cap.want(since, self.now);
        if cap.may_make_room(self.now) && !self.make_room(&cap) {
            for core in (0..self.shared.clients.len()).filter(|&core| core != self.id) {
                self.post.send(core, Mail::MakeRoom { pool }, &mut self.links.door);
            }
        }
    }

    /// A pool of another core may open nothing, because its database or its user has as many connections as may be.
    pub(super) fn make_room_for(&mut self, pool: u32) {
        let cap = self.published.by_id.get(&pool).and_then(|pool| pool.state.ledger.full_cap().cloned());
        if let Some(cap) = cap {
            self.make_room(&cap);
        }
    }

    /// Closes an idle server of another pool under this bound; true when there was one.
    fn make_room(&mut self, cap: &Arc<Gate>) -> bool {
        let mine = |pool: &&mut Box<Pool>| pool.shared.state.ledger.is_capped_by(cap);
        let evicted = self.pools.iter_mut().flatten().filter(mine).find_map(|pool| pool.slice.evict());
        if let Some(slot) = evicted {
            self.say_goodbye(slot);
        }
        evicted.is_some()
    }

    /// The timer of `wait_at_gate`.
    pub(super) fn gate_due(&mut self) {
        self.gate_timer = false;
        self.look_at_gate();
    }

    /// A connection has been opened, or will never be: who waits for that looks again.
    pub(super) fn look_at_gate(&mut self) {
        if self.gated.is_empty() {
            return;
        }
        for pool in std::mem::take(&mut self.gated) {
            if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
                slice.at_gate = false;
            }
            self.look(pool);
            self.restore_minimum(pool);
        }
    }

    /// Age at which a new connection is closed when it is given back.
    pub(super) fn retire_at(&self, pool: &Pool) -> u64 {
        let spec = &pool.shared.spec;
        let (life, jitter) = (spec.server_lifetime.as_nanos() as u64, spec.server_lifetime_jitter.as_nanos() as u64);
        let mut random = [0; 8];
        self.desk.random(&mut random);
        let spread = u64::from_le_bytes(random) % jitter.saturating_mul(2).saturating_add(1).max(1);
        self.now.saturating_add(life.saturating_add(spread).saturating_sub(jitter))
    }
}

/// After how long a server of this pool has rested too long, and how many are kept all the same.
fn resting(pool: &Pool) -> (u64, u32) {
    let spec = &pool.shared.spec;
    // A time that cannot be expressed is as good as never.
    let timeout = u64::try_from(spec.idle_timeout.as_nanos()).unwrap_or(u64::MAX);
    (timeout, pool.minimum())
}

/// A server that leaves is nobody's.
pub(super) fn is_leaving(peer: &ServerPeer) -> bool {
    matches!(peer.stage, ServerStage::Leaving)
}
