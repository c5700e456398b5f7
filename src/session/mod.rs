//! One client's conversation and one server's, without a socket or a clock: they get bytes and say what should be done with them.
//!
//! `login` proves who a client is, `client` reads its messages, `greeting` logs in at a server, `server` reads that server's messages (and their
//! `tags`), `exchange` is what is outstanding between the two (in the words of `kinds`). What makes a shared server look like one's own: `naming` and
//! `names` for a client's named statements, `statements` for their texts, `shelf` for what a server holds of them, `made` for those of SQL's PREPARE,
//! `unnamed` for the one without a name; `parameters` for what a session was given, `suspicion` for what may have changed there, `inquiry` for the
//! question what has, `values` for names of parameters that only values show, `spelling` and `speaker` for what a client is told of its session.
//! `bounds` is BEGIN and COMMIT without a server, `shards` which shard a request goes to and `strays` whether the one at hand is it, `coordinator` a
//! client on several of them: what its texts are for (`targets`), its `cursors` and `members`,
//! the `steps` of the extended protocol (and `cuts` of its messages), the `pieces` of a text of several statements, `joint` answers,
//! the `turns` of a commit, the `journal` for who joins late, `spread_copy`, type `numbers`. `control` is what statement mode
//! refuses, `relay` all there is between a client that replicates and its server.
//! The engine owns all of them, carries out their verdicts, and asks the pool for servers when a client wants one.

mod bounds;
pub mod client;
pub mod control;
pub mod coordinator;
mod cursors;
mod cuts;
pub mod exchange;
mod executed;
pub mod greeting;
pub mod inquiry;
mod joint;
mod journal;
pub mod kinds;
pub mod listener;
pub mod login;
pub mod made;
mod marks;
mod members;
pub mod names;
mod naming;
mod numbers;
pub mod parameters;
mod pieces;
pub mod relay;
mod restore;
pub mod server;
pub mod shards;
pub mod shelf;
pub mod speaker;
pub mod spelling;
mod spread_copy;
pub mod statements;
mod steps;
mod strays;
pub mod suspicion;
mod tags;
mod targets;
mod turns;
pub mod unnamed;
mod values;
pub mod wishes;

use std::ops::Range;

/// What should be done, in order. Ranges of `Forward` lie in the bytes just given, all others in `words`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// goes to the other side as it is
    Forward(Range<usize>),
    /// words of our own for the server
    ToServer(Range<usize>),
    /// words of our own for the client
    ToClient(Range<usize>),
}

/// Words that make a session panic wherever it meets them, so that tests see what becomes of everybody else.
#[cfg(test)]
pub const FATAL_WORDS: &[u8] = b"this session panics";

/// Panics if a test has put the fatal words there.
#[cfg(test)]
fn panic_if_asked(bytes: &[u8]) {
    assert!(!bytes.windows(FATAL_WORDS.len()).any(|window| window == FATAL_WORDS), "asked to panic");
}

/// Verdicts of one call and the words they speak of; reused from call to call.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub list: Vec<Verdict>,
    pub words: Vec<u8>,
    /// an error of the server's is among the words for the client, and names a statement of ours
    pub names_ours: bool,
}

impl Verdicts {
    /// Forgets the last call's.
    pub fn clear(&mut self) {
        self.list.clear();
        self.words.clear();
        self.names_ours = false;
    }

    /// Forwards `range`, joined to the range before it where they touch.
    #[inline]
    pub fn forward(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if let Some(Verdict::Forward(last)) = self.list.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.list.push(Verdict::Forward(range));
    }

    /// Words for the client, as `write` appends them.
    pub fn to_client(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.words.len();
        write(&mut self.words);
        self.list.push(Verdict::ToClient(from..self.words.len()));
    }

    /// Words for the client that answer its own messages one by one: joined to those before them, so that a thousand of them are one piece.
    pub fn answer(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.words.len();
        write(&mut self.words);
        match self.list.last_mut() {
            Some(Verdict::ToClient(last)) if last.end == from => last.end = self.words.len(),
            _ => self.list.push(Verdict::ToClient(from..self.words.len())),
        }
    }

    /// Words for the server, as `write` appends them.
    pub fn to_server(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.words.len();
        write(&mut self.words);
        self.list.push(Verdict::ToServer(from..self.words.len()));
    }
}
