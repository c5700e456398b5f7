//! The words of an exchange: what a message that was sent is called there, beyond PostgreSQL's own type bytes, what belongs to it, and which
//! rules go for it.

use std::collections::VecDeque;

use crate::route::request::Refused;

/// A simple query of our own: its replies are not the client's.
pub const OUR_QUERY: u8 = b'q';
/// A Parse of our own, sent before a client's Bind that needs it.
pub const OUR_PARSE: u8 = b'p';
/// A client's Parse that goes out under a name of ours.
pub const NAMED_PARSE: u8 = b'N';
/// A Parse of our own under a name of ours, in front of a message that needs it.
pub const OUR_PREPARE: u8 = b'n';
/// A client's Parse under a name of its own, which its client's server keeps for it alone.
pub const RAW_PARSE: u8 = b'R';
/// A client's Parse of what the server holds: nothing is sent, and it is answered when its turn comes.
pub const HAD_PARSE: u8 = b'1';
/// A client's Close of a name that is only ours: nothing is sent, and it is answered when its turn comes.
pub const HAD_CLOSE: u8 = b'3';
/// A client's Describe of a statement that has a name of ours.
pub const NAMED_DESCRIBE: u8 = b'T';
/// The same of our own.
pub const OUR_DESCRIBE: u8 = b't';
/// A Close of our own of a statement that has a name of ours.
pub const EVICT: u8 = b'v';
/// A simple query of our own that asks what a client's transaction has left in the session (see `inquiry`).
pub const OUR_ASK: u8 = b'a';
/// A client's BEGIN that it has been answered already.
pub const OUR_BEGIN: u8 = b'b';
/// A simple query of our own that gives back parameters a client's RESET has taken, or fails with the transaction it is in, or makes one fail.
pub const OUR_RESTORE: u8 = b'i';
/// A client's SQL PREPARE once more, as a simple query of our own in front of one that needs it (see `made`).
pub const OUR_REPLAY: u8 = b'm';
/// A Parse or Bind of our own on the way to such a PREPARE by the extended protocol.
pub const OUR_STEP: u8 = b'g';
/// Its Execute, or the Parse of a statement that a client has, under the client's own name.
pub const OUR_MAKE: u8 = b'k';
/// A message that stands in for one we refuse: made to fail, so that the server skips what it would have skipped and its transaction fails.
pub const REFUSED: u8 = b'r';
/// A simple query that stands in for one that we refuse: it fails and changes nothing.
pub const REFUSED_QUERY: u8 = b'W';
/// A client's Close of its unnamed statement.
pub const FORGET: u8 = b'u';
/// A Close of the unnamed statement of our own, in front of a client that has none, or another (see `unnamed`).
pub const OUR_FORGET: u8 = b'y';
/// A Close of our own, of nothing (see `probe`).
pub(super) const OUR_CLOSE: u8 = b'x';
/// A Sync of our own, behind a Close of our own.
pub(super) const OUR_SYNC: u8 = b's';
/// CopyDone or CopyFail, sent before we know whether the server is copying at all.
pub(super) const COPY_END: u8 = b'c';

/// Tag of an unnamed statement of which nobody can tell whose it is, or whether there is one.
pub const UNKNOWN: u128 = u128::MAX;

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// transaction control in statement mode
    Begins,
    /// a statement of this name exists
    Exists(Box<[u8]>),
    /// there is no statement of this name
    Unknown(Box<[u8]>),
    /// a statement's rows are not any more what its client was told they are
    Changed,
    /// the client has prepared more than it may
    TooMany,
    /// it has no way to the shards
    Route(Box<Refused>),
    /// a name that only ours may have
    Reserved,
}

/// What belongs to a message in `expected`, of those that have something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// what a Parse makes of the unnamed statement
    Unnamed(u128),
    /// a statement with a name of ours, and the batch in which this was sent
    Named(u64, u32),
    /// a name of the client's under which the server is being given a statement, and the batch
    Made(Box<[u8]>, u32),
    Refusal(Refusal),
}

impl Mark {
    fn is_named(&self) -> bool {
        matches!(self, Mark::Named(..) | Mark::Made(..))
    }
}

/// What belongs to messages that are outstanding, in their order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    list: VecDeque<Mark>,
    /// of statements by their names: those of earlier batches, and those of the batch at hand
    earlier: usize,
    now: usize,
}

impl Marks {
    #[inline]
    pub fn push(&mut self, mark: Mark) {
        self.now += usize::from(mark.is_named());
        self.list.push_back(mark);
    }

    pub fn pop(&mut self) -> Option<Mark> {
        let mark = self.list.pop_front();
        if mark.as_ref().is_some_and(Mark::is_named) {
            // The oldest goes first.
            *(if self.earlier > 0 { &mut self.earlier } else { &mut self.now }) -= 1;
        }
        mark
    }

    pub fn front(&self) -> Option<&Mark> {
        self.list.front()
    }

    /// Another batch begins.
    pub fn end_batch(&mut self) {
        self.earlier += std::mem::take(&mut self.now);
    }

    /// A statement by its name is among those of earlier batches.
    pub fn has_earlier(&self) -> bool {
        self.earlier > 0
    }

    #[cfg(test)]
    pub fn list(&self) -> &VecDeque<Mark> {
        &self.list
    }
}

/// What became of one thing a client did with its statements' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// it is as if it had never been asked for
    Undone,
    /// it was described: the shape of its rows
    Shape(u64),
    /// a text of the client's dropped statements
    Dropped(Dropped),
    /// a text of the client's prepared the next one that it names
    Prepared,
}

/// Something of ours that takes its turn among a server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    ParseComplete,
    CloseComplete,
}

/// Which of a client's statements a text of its own has dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// the next of those that were named
    One,
    All,
}

/// Whether the replies to such a message are nobody's.
pub(super) fn is_ours(kind: u8) -> bool {
    is_our_query(kind) || matches!(kind, OUR_PARSE | OUR_FORGET | OUR_CLOSE | OUR_SYNC | OUR_PREPARE | OUR_DESCRIBE | EVICT | OUR_STEP | OUR_MAKE)
}

/// Whether it is a simple query of our own.
pub(super) fn is_our_query(kind: u8) -> bool {
    matches!(kind, OUR_QUERY | OUR_ASK | OUR_BEGIN | OUR_RESTORE | OUR_REPLAY)
}

/// Whether it is one of the extended protocol that an error in front of it skips, but for the unnamed Parse, which says what it is besides.
pub(super) fn is_extended(kind: u8) -> bool {
    matches!(
        kind,
        b'B' | b'D'
            | b'E'
            | b'C'
            | FORGET
            | OUR_FORGET
            | OUR_CLOSE
            | REFUSED
            | NAMED_PARSE
            | OUR_PREPARE
            | NAMED_DESCRIBE
            | OUR_DESCRIBE
            | EVICT
            | RAW_PARSE
            | HAD_PARSE
            | HAD_CLOSE
            | OUR_STEP
            | OUR_MAKE
    )
}

pub(super) fn is_describe(kind: u8) -> bool {
    matches!(kind, b'D' | NAMED_DESCRIBE | OUR_DESCRIBE)
}

/// Whether there is something about it in `marks`.
pub(super) fn has_mark(kind: u8) -> bool {
    matches!(
        kind,
        b'P' | OUR_PARSE
            | NAMED_PARSE
            | OUR_PREPARE
            | NAMED_DESCRIBE
            | OUR_DESCRIBE
            | EVICT
            | REFUSED
            | REFUSED_QUERY
            | HAD_PARSE
            | HAD_CLOSE
            | OUR_REPLAY
            | OUR_MAKE
    )
}
