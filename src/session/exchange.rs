//! What is outstanding between one client and one server: which messages the server still has to answer, in order, and so which replies belong to
//! whom and when the server is free again. It sees message types only, never bodies.
//!
//! The rules are those of PostgreSQL's main loop (src/backend/tcop/postgres.c, `SocketBackend` and `PostgresMain`):
//! - an error while an extended-protocol message is at work makes the server skip everything, simple queries too, until Sync;
//! - a simple query, a function call and a Sync each end with one ReadyForQuery, errors or not, unless they were skipped;
//! - during COPY FROM STDIN the server ignores Flush and Sync (src/backend/commands/copyfromparse.c), outside it CopyData, CopyDone, CopyFail.
//!
//! One thing cannot be seen from outside. A Sync sent while a COPY FROM STDIN is at work is ignored when the COPY reads it, and answered when the
//! COPY has failed before: the replies do not tell which. So after a failed COPY that many more ReadyForQuery may come (`extra`), in front of any
//! other reply, and before the server counts as free a harmless question of our own (`probe`) has to be answered.
//!
//! Invariant: `expected` holds, oldest first, exactly the messages whose last reply has not come yet.

use std::collections::VecDeque;

pub use super::kinds::*;
use super::made::Made;
use super::shelf::Shelf;
use super::suspicion::{Pins, Suspicion};

/// Messages that may be outstanding at once; beyond it the client is not read until replies have come.
pub const OUTSTANDING_MAX: usize = 16 * 1024;

/// Transaction status as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Idle,
    InTransaction,
    Failed,
}

impl Status {
    /// From the byte of ReadyForQuery.
    pub fn from_byte(byte: u8) -> Option<Status> {
        match byte {
            b'I' => Some(Status::Idle),
            b'T' => Some(Status::InTransaction),
            b'E' => Some(Status::Failed),
            _ => None,
        }
    }
}

/// What to do with a server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// it is the client's
    Forward,
    /// it answers a message of our own
    Swallow,
    /// it is the error of a message that stands in for a refused one: the client gets our error instead
    Refuse(Refusal),
    /// a server that says this now is out of step: it cannot be used any more
    OutOfStep,
}

/// The messages outstanding on one server.
#[derive(Debug)]
pub struct Exchange {
    pub(super) expected: VecDeque<u8>,
    pub(super) status: Status,
    /// the server skips everything until a Sync that has not been sent yet
    pub(super) skipping: bool,
    /// extended-protocol messages were sent since the last Sync or query
    pub(super) unsynced: bool,
    /// a Bind is among them
    pub(super) bound: bool,
    /// the server copies from the client
    pub(super) copying: bool,
    /// Syncs that the COPY at work ignores, if it gets as far
    pub(super) ignored: usize,
    /// ReadyForQuery messages that may still come, for Syncs that a failed COPY has perhaps not read
    pub(super) extra: usize,
    /// the client sent more where nobody knows whether the server skips: the replies cannot be told apart any more
    pub(super) lost: bool,
    /// the client's last message has only been sent in part: nothing of ours may come in between
    pub cut: bool,
    /// the server's last message has only come in part: nothing of ours may come in between
    pub mid_message: bool,
    /// counts the changes of the schema that were seen, as the pool knew at the client's coming
    pub schema: u64,
    /// a change of the schema was seen, after which the same text may return other columns
    pub schema_changed: bool,
    /// any change of the schema was seen
    pub altered: bool,
    /// a COMMIT is among what has not been answered
    pub committing: bool,
    /// a query of our own failed
    pub(super) ours_failed: bool,
    /// which unnamed statement the server holds, as its replies have told so far (see `unnamed`); 0 = none
    pub unnamed: u128,
    /// what the client at hand has made of it, had there been no queries of ours
    pub theirs: u128,
    /// simple queries of ours so far, each of which drops it
    pub our_queries: u32,
    /// what belongs to those messages in `expected` that have something, in order
    pub(super) marks: Marks,
    /// which statements of ours the server holds
    pub shelf: Shelf,
    /// and which under names of clients' own
    pub made: Made,
    /// counts Syncs and all else that ends a batch
    pub(super) batch: u32,
    /// what became of what the client at hand did with its statements' names, in order
    pub outcomes: VecDeque<Outcome>,
    /// a Flush of ours stands behind what was sent last
    pub(super) flushed: bool,
    /// a text is at work that changes which statements the client has
    pub barrier: bool,
    /// what the client at hand may have left in the session
    pub suspicion: Suspicion,
    /// why the client at hand keeps this server
    pub pins: Pins,
    /// the client at hand has changed it
    pub(super) changed: bool,
    /// the simple query at the head of `expected` failed
    pub(super) head_failed: bool,
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange {
            expected: VecDeque::with_capacity(16),
            status: Status::Idle,
            skipping: false,
            unsynced: false,
            bound: false,
            copying: false,
            ignored: 0,
            extra: 0,
            lost: false,
            cut: false,
            mid_message: false,
            schema: 0,
            schema_changed: false,
            altered: false,
            committing: false,
            ours_failed: false,
            unnamed: 0,
            theirs: 0,
            our_queries: 0,
            marks: Marks::default(),
            shelf: Shelf::default(),
            made: Made::default(),
            batch: 0,
            outcomes: VecDeque::new(),
            flushed: false,
            barrier: false,
            suspicion: Suspicion::default(),
            pins: Pins::NONE,
            changed: false,
            head_failed: false,
        }
    }
}

impl Exchange {
    /// Transaction status at the last ReadyForQuery.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Nothing is outstanding and no transaction is open.
    pub fn is_free(&self) -> bool {
        self.is_quiet() && self.status == Status::Idle
    }

    /// Nothing is outstanding: the server waits for a message that starts something.
    pub fn is_quiet(&self) -> bool {
        self.expected.is_empty() && !self.unsynced && !self.copying && self.extra == 0
    }

    /// The server is at work on something, or soon will be.
    pub fn is_active(&self) -> bool {
        !self.expected.is_empty()
    }

    /// No more messages may be sent before replies have come.
    pub fn is_full(&self) -> bool {
        self.expected.len() >= OUTSTANDING_MAX
    }

    /// The server is at work on a query of our own.
    pub fn is_ours(&self) -> bool {
        self.head() == Some(OUR_QUERY)
    }

    /// The server copies from the client.
    pub fn is_copying(&self) -> bool {
        self.copying
    }

    /// The server skips everything until a Sync that has not been sent yet.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Nothing is outstanding that we know of, and perhaps a ReadyForQuery all the same: `probe` has to be sent.
    #[inline]
    pub fn is_doubtful(&self) -> bool {
        self.extra > 0 && !self.cut && self.expected.is_empty() && !self.unsynced && !self.copying
    }

    /// Extended-protocol messages stand without a Sync.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// The server has been asked what a client left, and answers now.
    pub fn is_asked(&self) -> bool {
        self.head() == Some(OUR_ASK)
    }

    /// Whether a query of our own failed since the last call.
    pub fn take_ours_failed(&mut self) -> bool {
        std::mem::take(&mut self.ours_failed)
    }

    /// Whether a client has changed the unnamed statement since `take_changed`.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// The same, and begins anew: for the client that goes, or for the one that comes.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// A message of type `kind` goes to the server.
    #[inline]
    pub fn sent(&mut self, kind: u8) {
        self.sent_as(kind, UNKNOWN);
    }

    /// The same; a Parse of the unnamed statement makes it `tag`.
    pub fn sent_as(&mut self, kind: u8, tag: u128) {
        self.flushed = false;
        match kind {
            b'c' | b'f' if self.copying => self.copying = false,
            b'c' | b'f' if !self.expected.is_empty() && !self.skipping => self.expected.push_back(COPY_END),
            b'd' | b'c' | b'f' => {}
            b'S' if self.copying => self.ignored += 1,
            b'H' => {} // Flush asks for nothing of its own, and a COPY ignores it
            _ if self.copying => {
                // Either this ends the connection, or the COPY has failed by now and this is answered.
                self.copying = false;
                self.sent_as(kind, tag);
            }
            b'S' => {
                self.skipping = false;
                (self.unsynced, self.bound) = (false, false);
                self.batch = self.batch.wrapping_add(1);
                self.marks.end_batch();
                self.expected.push_back(b'S');
            }
            _ if self.skipping => self.lost |= self.extra > 0,
            OUR_SYNC => {
                (self.unsynced, self.bound) = (false, false);
                self.expected.push_back(kind);
            }
            b'Q' | b'F' | OUR_QUERY | REFUSED_QUERY | OUR_ASK | OUR_BEGIN | OUR_RESTORE | OUR_REPLAY => {
                (self.unsynced, self.bound) = (false, false);
                self.our_queries = self.our_queries.wrapping_add(u32::from(is_our_query(kind)));
                self.expected.push_back(kind);
            }
            b'P' | OUR_PARSE => {
                self.unsynced = true;
                self.expected.push_back(kind);
                self.marks.push(Mark::Unnamed(tag));
            }
            _ if is_extended(kind) => {
                self.unsynced = true;
                self.bound |= matches!(kind, b'B' | OUR_STEP);
                self.expected.push_back(kind);
            }
            _ => {}
        }
    }

    /// A message of type `kind` came from the server; for ReadyForQuery see `ready`.
    pub fn received(&mut self, kind: u8) -> Reply {
        if matches!(kind, b'N' | b'A' | b'S') {
            // Notices may come at any time; those of our own queries are nobody's.
            return if kind == b'N' && self.head().is_some_and(is_ours) { Reply::Swallow } else { Reply::Forward };
        }
        if self.lost {
            return Reply::OutOfStep;
        }
        let Some(head) = self.head_past_copy_ends() else {
            return if kind == b'E' { Reply::Forward } else { Reply::OutOfStep };
        };
        if kind == b'E' {
            return self.error(head);
        }
        let fits = match kind {
            b'1' => matches!(head, b'P' | OUR_PARSE | NAMED_PARSE | OUR_PREPARE | RAW_PARSE | OUR_STEP | OUR_MAKE),
            b'2' => matches!(head, b'B' | OUR_STEP),
            b'3' => matches!(head, b'C' | FORGET | OUR_FORGET | OUR_CLOSE | EVICT),
            b't' | b'n' => matches!(head, b'D' | NAMED_DESCRIBE | OUR_DESCRIBE),
            b'T' => matches!(head, b'D' | NAMED_DESCRIBE | OUR_DESCRIBE | b'Q') || is_our_query(head),
            b'C' | b'I' | b'D' | b'H' | b'd' | b'c' => matches!(head, b'E' | b'Q' | OUR_MAKE) || is_our_query(head),
            b'G' => matches!(head, b'E' | b'Q'),
            b's' => head == b'E',
            b'V' => head == b'F',
            _ => false,
        };
        if !fits {
            return Reply::OutOfStep;
        }
        self.extra = 0;
        match kind {
            b'1' | b'3' => self.completed(head),
            b'2' | b's' => self.pop(),
            b'n' | b'T' if is_describe(head) => {
                if head != b'D' {
                    self.marks.pop();
                }
                self.pop();
            }
            b'C' | b'I' => {
                // Whatever Syncs a COPY that came to its end has met, it has ignored.
                self.ignored = 0;
                match head {
                    b'E' => self.pop(),
                    OUR_MAKE => self.completed(head),
                    _ => {}
                }
            }
            b'G' => self.copy_begins(),
            _ => {}
        }
        if is_ours(head) { Reply::Swallow } else { Reply::Forward }
    }

    /// ReadyForQuery came.
    pub fn ready(&mut self, status: Status) -> Reply {
        let head = self.head_past_copy_ends();
        let known = match head {
            Some(b'S') => true,
            // A query's own ReadyForQuery never comes first, and what comes before it leaves no `extra`.
            Some(kind) if matches!(kind, b'Q' | b'F' | OUR_SYNC | REFUSED_QUERY) || is_our_query(kind) => self.extra == 0,
            _ => false,
        };
        if self.lost || !known && self.extra == 0 {
            return Reply::OutOfStep;
        }
        self.status = status;
        if !known {
            self.extra -= 1;
            if self.expected.is_empty() {
                self.unsynced &= !std::mem::take(&mut self.skipping);
            }
            return Reply::Forward;
        }
        match head {
            Some(b'Q' | REFUSED_QUERY) => self.queried(true),
            Some(OUR_REPLAY) => {
                if !self.head_failed {
                    self.was_made(true);
                }
                self.queried(false);
            }
            Some(kind) if is_our_query(kind) => self.queried(false),
            _ => {}
        }
        self.pop();
        self.copying = false;
        self.committing &= !self.expected.is_empty();
        // Ends of copies that never were lie in front of nothing now.
        self.head_past_copy_ends();
        if head.is_some_and(is_ours) { Reply::Swallow } else { Reply::Forward }
    }

    /// Appends to `words` a question that changes nothing, behind whose answer no ReadyForQuery of before can come.
    pub fn probe(&mut self, words: &mut Vec<u8>) {
        // Fixed and short.
        let _ = crate::wire::client::close_statement(words, NO_STATEMENT);
        self.sent(OUR_CLOSE);
        crate::wire::client::sync(words);
        self.sent(OUR_SYNC);
    }

    /// Appends to `words` what brings the server nearer to being free after its client has gone. False: nothing to send now, either because it is
    /// free or because replies must come first; asked again after each of them.
    pub fn recovery(&mut self, words: &mut Vec<u8>) -> bool {
        let before = words.len();
        if self.copying {
            // Fixed and short, as all words of this function.
            let _ = crate::wire::client::copy_fail(words, "the client has gone");
            self.sent(b'f');
            // The end of an extended-protocol COPY leaves the server skipping to a Sync.
            if self.expected.iter().any(|&kind| kind == b'E') {
                crate::wire::client::sync(words);
                self.sent(b'S');
            }
        } else if self.unsynced {
            // A bare Sync would commit what the client never finished; an error first makes the server roll it back.
            if !self.skipping {
                refused_message(words);
                self.sent_refused(REFUSED, Refusal::Unknown(Box::default()));
            }
            crate::wire::client::sync(words);
            self.sent(b'S');
        } else if self.is_doubtful() {
            self.probe(words);
        } else if self.expected.is_empty() && self.status != Status::Idle {
            let _ = crate::wire::client::query(words, b"ROLLBACK");
            self.sent(OUR_QUERY);
        }
        words.len() > before
    }

    pub(super) fn head(&self) -> Option<u8> {
        self.expected.front().copied()
    }

    /// The oldest outstanding message; ends of copies that turned out not to be one are passed over, as the server does.
    pub(super) fn head_past_copy_ends(&mut self) -> Option<u8> {
        let mut head = self.head();
        while head == Some(COPY_END) {
            self.pop();
            head = self.head();
        }
        head
    }

    pub(super) fn pop(&mut self) {
        self.expected.pop_front();
        self.barrier &= !self.expected.is_empty();
    }

    /// A Parse or Close has been carried out.
    fn completed(&mut self, head: u8) {
        self.pop();
        match head {
            b'P' | OUR_PARSE => {
                if let Some(Mark::Unnamed(tag)) = self.marks.pop() {
                    self.unnamed = tag;
                    self.note_theirs(head == b'P');
                }
            }
            NAMED_PARSE | OUR_PREPARE => {
                if let Some(Mark::Named(id, _)) = self.marks.pop() {
                    self.shelf.is_there(id);
                }
                if head == NAMED_PARSE {
                    self.outcomes.push_back(Outcome::Done);
                }
            }
            EVICT => _ = self.marks.pop(),
            OUR_MAKE => self.was_made(true),
            FORGET | OUR_FORGET => {
                self.unnamed = 0;
                self.note_theirs(head == FORGET);
            }
            _ => {}
        }
    }

    /// The unnamed statement has changed, by the client's doing or by ours.
    fn note_theirs(&mut self, theirs: bool) {
        if theirs {
            self.theirs = self.unnamed;
            self.changed = true;
        }
    }

    /// A simple query has dropped the unnamed statement. One that failed has done so too, unless PostgreSQL could not read it at all.
    fn queried(&mut self, theirs: bool) {
        self.unnamed = if std::mem::take(&mut self.head_failed) { UNKNOWN } else { 0 };
        self.note_theirs(theirs);
    }

    fn error(&mut self, head: u8) -> Reply {
        self.copying = false;
        self.suspicion.unlistens.clear();
        self.extra = std::mem::take(&mut self.ignored);
        match head {
            _ if is_extended(head) || matches!(head, b'P' | OUR_PARSE) => {
                let refusal = match self.marks.front() {
                    Some(Mark::Refusal(why)) if head == REFUSED => Some(why.clone()),
                    _ => None,
                };
                if matches!(head, b'P' | OUR_PARSE) {
                    // A Parse that fails has dropped the one before, unless PostgreSQL could not read it at all.
                    self.unnamed = UNKNOWN;
                    self.note_theirs(head == b'P');
                }
                let skipped = self.skip();
                // What lies between a Sync that perhaps counted and one that does was skipped or not: its replies could pass for later ones.
                self.lost |= self.extra > 0 && skipped > 1;
                // Without a Sync on its way the server skips until one comes.
                self.skipping = self.expected.is_empty();
                self.unsynced |= self.skipping;
                // What was in front of a simple query is not the client's: that fails in its own turn.
                let in_front = matches!(head, OUR_MAKE | OUR_STEP) && self.head() == Some(OUR_SYNC);
                refusal.map_or(if in_front { Reply::Swallow } else { Reply::Forward }, Reply::Refuse)
            }
            b'Q' | REFUSED_QUERY => {
                self.head_failed = true;
                let refusal = match (head, self.marks.front()) {
                    (REFUSED_QUERY, Some(Mark::Refusal(_))) => self.marks.pop(),
                    _ => None,
                };
                if self.extra > 0 {
                    // What is missing of it is a ReadyForQuery and nothing else, as of a Sync.
                    self.expected[0] = b'S';
                    self.queried(true);
                }
                if let Some(Mark::Refusal(why)) = refusal { Reply::Refuse(why) } else { Reply::Forward }
            }
            OUR_ASK | OUR_RESTORE => {
                self.head_failed = true;
                Reply::Swallow
            }
            OUR_REPLAY => {
                self.head_failed = true;
                self.was_made(false);
                Reply::Swallow
            }
            OUR_BEGIN | OUR_QUERY => {
                self.head_failed = true;
                self.ours_failed = true;
                Reply::Swallow
            }
            _ => Reply::Forward,
        }
    }

    /// The server passes over everything in front of the next Sync: so many messages.
    fn skip(&mut self) -> usize {
        let mut skipped = 0;
        let mut undone = Vec::new();
        while let Some(kind) = self.head().filter(|&kind| !matches!(kind, b'S' | OUR_SYNC)) {
            skipped += usize::from(kind != COPY_END);
            match has_mark(kind).then(|| self.marks.pop()).flatten() {
                Some(Mark::Named(id, batch)) if matches!(kind, NAMED_PARSE | OUR_PREPARE | EVICT) => undone.push((kind, id, batch)),
                Some(Mark::Made(name, _)) => self.made.remove(&name),
                _ => {}
            }
            if matches!(kind, NAMED_PARSE | HAD_PARSE | HAD_CLOSE | NAMED_DESCRIBE) {
                self.outcomes.push_back(Outcome::Undone);
            }
            self.pop();
        }
        // Backwards: a statement that went and came again in what was skipped is there as before.
        for (kind, id, batch) in undone.into_iter().rev() {
            if kind == EVICT { self.shelf.is_back(id, batch) } else { self.shelf.is_gone(id) }
        }
        skipped
    }

    /// CopyInResponse. What was sent behind the COPY before we knew: Syncs that the server will ignore, perhaps the end already.
    fn copy_begins(&mut self) {
        self.copying = true;
        while let Some(&next) = self.expected.get(1) {
            match next {
                b'S' => {
                    self.expected.remove(1);
                    self.ignored += 1;
                }
                COPY_END => {
                    self.expected.remove(1);
                    self.copying = false;
                    break;
                }
                _ => {
                    // See `sent`: that does not belong into a COPY, and what came behind it is none of this one's.
                    self.copying = false;
                    break;
                }
            }
        }
        // What an extended-protocol COPY did stays uncommitted until a Sync that counts.
        self.unsynced |= self.head() == Some(b'E') && !self.expected.contains(&b'S');
    }
}

/// Name of a statement that never exists.
const NO_STATEMENT: &[u8] = b"pg_dog refuses";

/// A message that always fails and changes nothing: Describe of a statement that does not exist.
pub fn refused_message(words: &mut Vec<u8>) {
    // Fixed and short.
    let _ = crate::wire::client::describe_statement(words, NO_STATEMENT);
}

/// A simple query that always fails and changes nothing; its text explains itself in the server's log.
pub fn refused_query(words: &mut Vec<u8>) {
    // Fixed and short.
    let _ = crate::wire::client::query(words, b"pg_dog refuses what its client has asked for");
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
