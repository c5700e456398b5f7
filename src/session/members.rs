//! Who takes part in a request over shards, what each of them owes, and the words in which a coordinator says what is to be done.

use std::collections::VecDeque;
use std::ops::Range;

use crate::route::commit::Gid;
use crate::route::request::Refused;
use crate::wire::frame::FrameError;

/// What is to be done, in order. Ranges lie in `Acts::words`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// for the participant on this shard, which is there from now on
    Tell(u16, Range<usize>),
    /// for the client
    Say(Range<usize>),
    /// that participant keeps its server until all is over
    Keep(u16),
    /// something is prepared of which nobody here will hear the end
    InDoubt(Gid),
    /// all is over: the client goes on with its own session
    Done,
    /// the client is closed, and with it all participants
    Close,
}

/// What one call wants done.
#[derive(Debug, Default)]
pub struct Acts {
    pub list: Vec<Act>,
    pub words: Vec<u8>,
}

impl Acts {
    /// Words for a participant.
    pub fn tell(&mut self, shard: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.words.len();
        write(&mut self.words);
        self.list.push(Act::Tell(shard, from..self.words.len()));
    }

    /// Words for the client.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.words.len();
        write(&mut self.words);
        if self.words.len() > from {
            self.list.push(Act::Say(from..self.words.len()));
        }
    }
}

/// Why reading a client's bytes stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Halt {
    /// so many bytes have to be here
    More(usize),
    /// participants have to answer first
    Wait,
    /// a helper has to read the next message's text first (`Shards::asks`)
    Unread,
    Terminate,
    Broken(FrameError),
}

/// What a participant owes, in the order in which it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owe {
    /// the answer to a simple query of the client's
    Query,
    /// one to a text that lets it join the transaction
    Joining,
    /// whether it has written
    Wrote,
    /// the answer to a turn of the commit
    Turn,
    /// ReadyForQuery for a Sync
    Sync,
    /// a message of the extended protocol, for the client if `shown`
    Step { kind: u8, shown: bool },
}

impl Owe {
    pub fn is_step(self) -> bool {
        matches!(self, Owe::Step { .. })
    }
}

/// One shard's part in it.
#[derive(Debug)]
pub(super) struct Member {
    pub shard: u16,
    /// as its last ReadyForQuery said
    pub status: u8,
    /// it stands in the transaction
    pub joined: bool,
    /// messages without a Sync behind them
    pub unsynced: bool,
    pub owes: VecDeque<Owe>,
    /// names of statements that it was given here
    pub known: Vec<Box<[u8]>>,
    /// it has written; None: it was not asked
    pub wrote: Option<bool>,
    /// it cannot be prepared
    pub fixed: bool,
    /// what a turn has said
    pub tag: Option<Box<[u8]>>,
    pub error: Option<Box<[u8]>>,
    /// what its servers' settings have become, to be said behind the tag
    pub late: Vec<u8>,
    pub prepared: bool,
    pub lost: bool,
}

impl Member {
    pub fn new(shard: u16) -> Member {
        Member {
            shard,
            status: b'I',
            joined: false,
            unsynced: false,
            owes: VecDeque::new(),
            known: Vec::new(),
            wrote: None,
            fixed: false,
            tag: None,
            error: None,
            late: Vec::new(),
            prepared: false,
            lost: false,
        }
    }
}

pub(super) const ALONE: &str = "Send each of them by itself.";

pub(super) fn aborted() -> Box<Refused> {
    let message = "current transaction is aborted, commands ignored until end of transaction block".into();
    Box::new(Refused { code: "25P02", message, detail: None, hint: None })
}

pub(super) fn in_copy(kind: u8) -> Box<Refused> {
    let message = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
    Box::new(Refused { code: "08P01", message, detail: None, hint: None })
}

pub(super) fn not_atomic() -> Box<Refused> {
    let hint = "Set two_phase_commit = true, or write to one shard at a time.";
    Refused::unsupported("a statement that writes on several shards would not be atomic: two_phase_commit is off", hint)
}

pub(super) fn in_transaction() -> Box<Refused> {
    let message = "this statement cannot run inside a transaction block, and not over shards in one".into();
    Box::new(Refused { code: "25001", message, detail: None, hint: Some("Send it by itself, outside of a transaction.") })
}

pub(super) fn one_snapshot() -> Box<Refused> {
    let hint = "Use READ COMMITTED for transactions over shards.";
    Refused::unsupported("REPEATABLE READ and SERIALIZABLE hold on one shard only: their snapshots would not be one", hint)
}

pub(super) fn cannot_join(why: &'static str) -> Box<Refused> {
    let hint = "Begin it by a BEGIN of its own, and set parameters by SET LOCAL without bound values.";
    Refused::unsupported(format!("a second shard cannot join the transaction: {why}"), hint)
}

pub(super) fn lost(shard: u16) -> Box<Refused> {
    let message = format!("the server of shard {shard} closed the connection unexpectedly");
    Box::new(Refused { code: "08006", message, detail: None, hint: Some("What was not committed is rolled back on the other shards.") })
}
