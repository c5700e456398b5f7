//! What is outstanding between one client and one server: which messages the server still has to answer, in order, and so which replies belong to
//! whom and when the server is free again. It sees message types only, never bodies.
//!
//! The rules are those of PostgreSQL's main loop (src/backend/tcop/postgres.c, `SocketBackend` and `PostgresMain`):
//! - an error while an extended-protocol message is at work makes the server skip everything, simple queries too, until Sync;
//! - a simple query, a function call and a Sync each end with one ReadyForQuery, errors or not, unless they were skipped;
//! - during COPY FROM STDIN the server ignores Flush and Sync (src/backend/commands/copyfromparse.c), outside it CopyData, CopyDone, CopyFail.
//!
//! Invariant: `expected` holds, oldest first, exactly the messages whose last reply has not come yet.

use std::collections::VecDeque;

/// Messages that may be outstanding at once; beyond it the client is not read until replies have come.
pub const OUTSTANDING_MAX: usize = 16 * 1024;

/// A simple query of our own: its replies are not the client's.
pub const OUR_QUERY: u8 = b'q';
/// A Parse of our own, sent before a client's Bind that needs it.
pub const OUR_PARSE: u8 = b'p';
/// A message that stands in for one we refuse because it names a prepared statement: made to fail, so that the server skips what it would have
/// skipped and its transaction fails.
pub const REFUSED_NAMED: u8 = b'r';
/// The same for a Bind or Describe of an unnamed statement that the client has not got.
pub const REFUSED_UNNAMED: u8 = b'u';
/// CopyDone or CopyFail, sent before we know whether the server is copying at all.
const COPY_END: u8 = b'c';

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// it is the client's
    Forward,
    /// it answers a message of our own
    Swallow,
    /// it is the error of a message that stands in for a refused one: the client gets our error instead
    Refuse(u8),
    /// a server that says this now is out of step: it cannot be used any more
    OutOfStep,
}

/// The messages outstanding on one server.
#[derive(Debug)]
pub struct Exchange {
    expected: VecDeque<u8>,
    status: Status,
    /// the server skips everything until a Sync that has not been sent yet
    skipping: bool,
    /// extended-protocol messages were sent since the last Sync or query
    unsynced: bool,
    /// the server copies from the client
    copying: bool,
    /// a query of our own failed
    ours_failed: bool,
    /// whose unnamed statement the server holds (see `client`); 0 = nobody's
    pub unnamed: u64,
    /// a Parse of an unnamed statement failed or was skipped since the last look
    unnamed_lost: bool,
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange {
            expected: VecDeque::with_capacity(16),
            status: Status::Idle,
            skipping: false,
            unsynced: false,
            copying: false,
            ours_failed: false,
            unnamed: 0,
            unnamed_lost: false,
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
        self.expected.is_empty() && !self.unsynced && !self.copying
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

    /// Extended-protocol messages stand without a Sync.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Whether a query of our own failed since the last call.
    pub fn take_ours_failed(&mut self) -> bool {
        std::mem::take(&mut self.ours_failed)
    }

    /// Whether a Parse failed or was skipped since the last call.
    pub fn take_unnamed_lost(&mut self) -> bool {
        std::mem::take(&mut self.unnamed_lost)
    }

    /// A message of type `kind` goes to the server.
    pub fn sent(&mut self, kind: u8) {
        match kind {
            b'c' | b'f' if self.copying => self.copying = false,
            b'c' | b'f' if !self.expected.is_empty() && !self.skipping => self.expected.push_back(COPY_END),
            b'd' | b'c' | b'f' => {}
            _ if self.copying => {} // Flush and Sync are ignored, anything else ends the connection
            b'S' => {
                self.skipping = false;
                self.unsynced = false;
                self.expected.push_back(b'S');
            }
            _ if self.skipping => {}
            b'Q' | b'F' | OUR_QUERY => {
                self.unsynced = false;
                self.unnamed = 0;
                self.expected.push_back(kind);
            }
            b'P' | b'B' | b'D' | b'E' | b'C' | OUR_PARSE | REFUSED_NAMED | REFUSED_UNNAMED => {
                self.unsynced = true;
                self.expected.push_back(kind);
            }
            _ => {} // Flush asks for nothing of its own
        }
    }

    /// A message of type `kind` came from the server; for ReadyForQuery see `ready`.
    pub fn received(&mut self, kind: u8) -> Reply {
        if matches!(kind, b'N' | b'A' | b'S') {
            // Notices may come at any time; those of our own queries are nobody's.
            return if kind == b'N' && self.head() == Some(OUR_QUERY) { Reply::Swallow } else { Reply::Forward };
        }
        let Some(head) = self.head_past_copy_ends() else {
            return if kind == b'E' { Reply::Forward } else { Reply::OutOfStep };
        };
        if kind == b'E' {
            return self.error(head);
        }
        let fits = match kind {
            b'1' => matches!(head, b'P' | OUR_PARSE),
            b'2' => head == b'B',
            b'3' => head == b'C',
            b't' | b'n' => head == b'D',
            b'T' => matches!(head, b'D' | b'Q' | OUR_QUERY),
            b'C' | b'I' | b'D' | b'H' | b'd' | b'c' => matches!(head, b'E' | b'Q' | OUR_QUERY),
            b'G' => matches!(head, b'E' | b'Q'),
            b's' => head == b'E',
            b'V' => head == b'F',
            _ => false,
        };
        if !fits {
            return Reply::OutOfStep;
        }
        match kind {
            b'1' | b'2' | b'3' | b'n' | b's' => self.pop(),
            b'T' if head == b'D' => self.pop(),
            b'C' | b'I' if head == b'E' => self.pop(),
            b'G' => self.copy_begins(),
            _ => {}
        }
        if matches!(head, OUR_QUERY | OUR_PARSE) { Reply::Swallow } else { Reply::Forward }
    }

    /// ReadyForQuery came.
    pub fn ready(&mut self, status: Status) -> Reply {
        match self.head_past_copy_ends() {
            Some(b'Q' | b'F' | b'S') => {
                self.pop();
                self.status = status;
                self.copying = false;
                // Ends of copies that never were lie in front of nothing now.
                self.head_past_copy_ends();
                Reply::Forward
            }
            Some(OUR_QUERY) => {
                self.pop();
                self.status = status;
                Reply::Swallow
            }
            _ => Reply::OutOfStep,
        }
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
            refused_message(words);
            self.sent(REFUSED_NAMED);
            crate::wire::client::sync(words);
            self.sent(b'S');
        } else if self.expected.is_empty() && self.status != Status::Idle {
            let _ = crate::wire::client::query(words, b"ROLLBACK");
            self.sent(OUR_QUERY);
        }
        words.len() > before
    }

    fn head(&self) -> Option<u8> {
        self.expected.front().copied()
    }

    /// The oldest outstanding message; ends of copies that turned out not to be one are passed over, as the server does.
    fn head_past_copy_ends(&mut self) -> Option<u8> {
        while self.head() == Some(COPY_END) {
            self.pop();
        }
        self.head()
    }

    fn pop(&mut self) {
        self.expected.pop_front();
    }

    fn error(&mut self, head: u8) -> Reply {
        self.copying = false;
        match head {
            b'P' | b'B' | b'D' | b'E' | b'C' | OUR_PARSE | REFUSED_NAMED | REFUSED_UNNAMED => {
                while let Some(kind) = self.head().filter(|&kind| kind != b'S') {
                    if matches!(kind, b'P' | OUR_PARSE) {
                        self.unnamed = 0;
                        self.unnamed_lost = true;
                    }
                    self.pop();
                }
                // Without a Sync on its way the server skips until one comes.
                self.skipping = self.expected.is_empty();
                self.unsynced = self.skipping || self.unsynced;
                if matches!(head, REFUSED_NAMED | REFUSED_UNNAMED) { Reply::Refuse(head) } else { Reply::Forward }
            }
            OUR_QUERY => {
                self.ours_failed = true;
                Reply::Swallow
            }
            _ => Reply::Forward,
        }
    }

    /// CopyInResponse. What was sent behind the COPY before we knew: Syncs that the server will ignore, perhaps the end already.
    fn copy_begins(&mut self) {
        self.copying = true;
        while let Some(&next) = self.expected.get(1) {
            match next {
                b'S' => {
                    self.expected.remove(1);
                    // What an extended-protocol COPY did stays uncommitted until a Sync that counts.
                    self.unsynced |= self.head() == Some(b'E');
                }
                COPY_END => {
                    self.expected.remove(1);
                    self.copying = false;
                    return;
                }
                _ => return,
            }
        }
    }
}

/// Name of a statement that never exists.
const NO_STATEMENT: &[u8] = b"pg_dog refuses";

/// A message that always fails and changes nothing: Describe of a statement that does not exist.
pub fn refused_message(words: &mut Vec<u8>) {
    // Fixed and short.
    let _ = crate::wire::client::describe_statement(words, NO_STATEMENT);
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
