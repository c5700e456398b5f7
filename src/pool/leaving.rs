//! How servers leave a slice: they end by themselves, or are closed because they are too many, too old, or of no use any more.
//!
//! Invariant: a permit returns when the other end has let go of the connection, not when this one did. In between the server counts as leaving.
//! Who leaves is the engine's decision, or the ledger's (a lowered limit, servers that rest).

use super::ledger::add;
use super::queue::Waiter;
use super::slice::{Slice, less};
use super::verdict::{After, LinkId};

impl Slice {
    /// An idle server ended: its connection is closed at both ends. Nothing happens if it is not idle here (any more): it was handed over before.
    pub fn idle_died(&mut self, link: LinkId, now: u64) -> After {
        if !self.remove_idle(link) {
            return After::Nothing;
        }
        self.settle_idle();
        self.freed(now)
    }

    /// A server in use ended: its connection is closed at both ends.
    pub fn busy_died(&mut self, now: u64) -> After {
        self.busy = less(self.busy);
        self.freed(now)
    }

    /// A server in use is being closed by us; call `left` when the other end has let go too.
    pub fn leave(&mut self) {
        self.busy = less(self.busy);
        self.start_leaving();
    }

    /// The same for an idle server, promised or not. False when it is not idle here (any more).
    pub fn leave_idle(&mut self, link: LinkId) -> bool {
        let known = self.remove_idle(link);
        if known {
            self.settle_idle();
            self.start_leaving();
        }
        known
    }

    /// The same for a server whose hand-over came to nothing: it is in nobody's count any more.
    pub fn leave_lent(&mut self) {
        self.start_leaving();
    }

    pub(super) fn start_leaving(&mut self) {
        self.leaving += 1;
        self.ledger.leave();
        self.show_gauges();
    }

    /// A server that was being closed is closed at both ends: its permit is free.
    pub fn left(&mut self, now: u64) -> After {
        self.leaving = less(self.leaving);
        add(&self.statistics().closed, 1);
        self.ledger.give_back_left();
        self.look(now)
    }

    /// A connection could not be opened. No core tries again before `now + pause` ns. Whether a waiter is told is up to the engine
    /// (`expired` with a timeout of 0 takes the first). With `half_open` the server has heard of it: it is on its way out, and `left` follows.
    pub fn open_failed(&mut self, now: u64, pause: u64, half_open: bool) -> After {
        self.set_opening(less(self.opening));
        self.ledger.gate().leave();
        // One that failed beside it may have asked for a longer pause, which stands.
        let at = if pause == 0 { 0 } else { now.saturating_add(pause) };
        self.ledger.set_retry_at(at.max(self.ledger.retry_at()));
        add(&self.statistics().failed, 1);
        if half_open {
            self.start_leaving();
        } else {
            self.ledger.give_back();
        }
        self.look(now)
    }

    /// After a lowered limit: an idle server to close, then call `left`. Until None.
    pub fn shed(&mut self) -> Option<LinkId> {
        self.shed_above(self.ledger.limit())
    }

    /// An idle server that has rested for `timeout` ns while the pool holds more than `keep`: to close, then call `left`. Until None.
    pub fn rested(&mut self, now: u64, timeout: u64, keep: u32) -> Option<LinkId> {
        let first = self.idle.first()?;
        if now.saturating_sub(first.since) < timeout { None } else { self.shed_above(keep) }
    }

    /// The first waiter, who is to wait somewhere else. Until None.
    pub fn turn_away(&mut self) -> Option<Waiter> {
        let waiter = self.queue.pop()?;
        self.settle_need();
        self.show_gauges();
        Some(waiter)
    }

    /// How long the first waiter has waited, ns.
    pub fn oldest_wait(&self, now: u64) -> u64 {
        self.queue.first().map_or(0, |first| now.saturating_sub(first.since))
    }

    /// An idle server that nobody here waits for: to close, because another pool needs its place; then call `left`.
    pub fn evict(&mut self) -> Option<LinkId> {
        if self.waiting() == 0 { self.shed_above(0) } else { None }
    }

    /// When `rested` has a server, if nothing else happens before and more than `keep` are open.
    pub fn next_rested(&self, timeout: u64, keep: u32) -> Option<u64> {
        let first = self.idle.first()?;
        (self.ledger.lasting() > keep).then(|| first.since.saturating_add(timeout))
    }

    fn shed_above(&mut self, keep: u32) -> Option<LinkId> {
        if self.idle.is_empty() || !self.ledger.leave_above(keep) {
            return None;
        }
        if !self.take_own_idle() {
            self.ledger.stay();
            return None;
        }
        self.leaving += 1;
        // The oldest: the newest is the warmest.
        let rest = self.idle.remove(0);
        self.show_gauges();
        Some(rest.link)
    }

    pub(super) fn remove_idle(&mut self, link: LinkId) -> bool {
        let at = self.idle.iter().rposition(|idle| idle.link == link);
        if let Some(at) = at {
            self.idle.remove(at);
        }
        at.is_some()
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
