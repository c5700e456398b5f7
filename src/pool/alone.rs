//! Connections that are one client's alone from their first byte on, because that client replicates: each holds a permit of the pool like any other
//! connection, and never rests in it.
//!
//! Invariant: such a connection counts in `alone` from its permit on, also while it is being opened (what waiters may expect to be opened for them
//! is in `opening`, and this is not for them), and then in `leaving` until the other end has let go of it. Whom it is for, and that nobody else gets
//! it, is left to the engine.

use super::ledger::add;
use super::queue::Ticket;
use super::slice::{Slice, less};
use super::verdict::After;

impl Slice {
    /// A client needs a connection of its own. True: open it, `alone_opened` or `alone_failed` is the answer. False: it waits in the queue like
    /// everybody, because others were first, or there is no permit, or none for the moment.
    pub fn open_alone(&mut self, now: u64) -> bool {
        let first = self.queue.is_empty() && self.ledger.neediest(self.me).is_none();
        let may = first && now >= self.ledger.retry_at() && !self.ledger.paused() && !self.ledger.others_first(now, now);
        let opens = may && self.enter_gate(u32::MAX);
        self.count_alone(u32::from(opens));
        opens
    }

    /// The connection that `After::Open` asked for is opened for this waiter alone, whose wait is over.
    pub fn open_alone_for(&mut self, ticket: Ticket) {
        self.set_opening(less(self.opening));
        self.count_alone(1);
        self.cancel_wait(ticket);
    }

    /// A server that was leaving has left, and its permit opens a connection for one client alone, which had got that server and cannot use it.
    pub fn inherit_alone(&mut self) {
        self.leaving = less(self.leaving);
        add(&self.statistics().closed, 1);
        self.ledger.stay();
        self.ledger.gate().enter_anyway();
        self.count_alone(1);
    }

    /// The connection is there.
    pub fn alone_opened(&mut self) {
        self.ledger.gate().leave();
        self.ledger.set_retry_at(0);
        add(&self.statistics().opened, 1);
        add(&self.statistics().grants, 1);
    }

    /// It could not be opened. With `half_open` the server has heard of it: it is on its way out, and `left` follows. What the server has against
    /// this client it need not have against others, so that nobody is kept from trying.
    pub fn alone_failed(&mut self, now: u64, half_open: bool) -> After {
        self.alone = less(self.alone);
        self.ledger.gate().leave();
        add(&self.statistics().failed, 1);
        if half_open {
            self.start_leaving();
        } else {
            self.ledger.give_back();
        }
        self.look(now)
    }

    /// It ended: it is closed at both ends.
    pub fn alone_died(&mut self, now: u64) -> After {
        self.alone = less(self.alone);
        self.freed(now)
    }

    /// It is being closed by us; call `left` when the other end has let go too.
    pub fn alone_leaves(&mut self) {
        self.alone = less(self.alone);
        self.start_leaving();
    }

    /// Connections here that are one client's alone, those that are being opened included.
    pub fn alone(&self) -> u32 {
        self.alone
    }

    /// The client who waits longest here.
    pub fn first_waiter(&self) -> Option<u32> {
        self.queue.first().map(|first| first.client)
    }

    /// The core to which we owe a free permit though a client waits here since `ours`, because one waits there who has waited longer by more than
    /// X. What a permit opens may stay with one client for ever, so that the order is not left to servers that are given back.
    pub(super) fn owes_permit(&self, ours: u64) -> Option<usize> {
        let (core, since) = self.ledger.neediest(self.me)?;
        (since.saturating_add(self.rules.fair) < ours && self.ledger.line(core).wants_permit()).then_some(core)
    }

    fn count_alone(&mut self, more: u32) {
        self.alone += more;
        self.show_gauges();
    }
}

#[cfg(test)]
#[path = "alone_tests.rs"]
mod tests;
