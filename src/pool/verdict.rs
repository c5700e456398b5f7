//! What a slice decides and the engine then carries out, and the two times of the lending rule.
//!
//! Invariant: a verdict names what has already happened in the ledger; dropping one loses a server or a waiter. Who decides is `slice`.

use super::queue::Ticket;

/// Names a server connection of this core; the engine's number.
pub type LinkId = u32;

/// The lending rule's two times, in ns. See `pool` for what they trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// X: a core with waiters of its own gives a server away only to a waiter who has waited this much longer. Must be finite.
    pub fair: u64,
    /// Y: a core without waiters gives a server away only to a waiter who has waited this long.
    pub young: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { fair: 3_000_000, young: 300_000 }
    }
}

/// The answer to a client that needs a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Checkout {
    /// it has this one
    Grant(LinkId),
    /// it waits under this ticket, and the engine does `then`
    Wait { ticket: Ticket, then: After },
}

/// What the engine has to do for the waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum After {
    /// nothing
    Nothing,
    /// this waiter's wait is over: it has this server
    Serve { client: u32, link: LinkId, waited_since: u64 },
    /// hand this server over to that core; its `handed` is the answer
    Lend { core: usize, link: LinkId },
    /// send that core a TAKE; `handed` or `refunded` is the answer
    Ask { core: usize },
    /// open a connection here; `opened` or `open_failed` is the answer
    Open,
    /// as many connections as may be are being opened at this server, or are open for the database or the user (`Ledger::full_cap`): call `look`
    /// when one of them has ended, or a little later
    Gated,
    /// tell that core that a permit is free; it calls `nudged`
    Nudge { core: usize },
    /// call `look` at this time (ns), or soon after. Replaces an earlier timer of this slice
    Timer { at: u64 },
}

/// What becomes of a server that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Checkin {
    /// this waiter's wait is over: it has this server
    Serve { client: u32, link: LinkId, waited_since: u64 },
    /// hand it over to that core; its `handed` is the answer
    Lend { core: usize, link: LinkId },
    /// it rests here; with `timer`, call `look` at that time (ns), or soon after
    Idle { timer: Option<u64> },
    /// the limit was lowered, or another pool needs its place: close it, then call `left`
    Retire,
}

/// The answer to a TAKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Take {
    /// hand this one over to the asker
    Hand(LinkId),
    /// the promised one is dead: the asker calls `refunded`
    Broken,
}
