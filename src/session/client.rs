//! One client after its login: reads its messages and says where they go. It never holds bytes: what it has not consumed (a cut header, a message
//! that needs a server first) the engine keeps and gives again.
//!
//! ```text
//!            Q P B D E C F             ReadyForQuery, all answered, status I
//! detached ───────────────▶ Want ──▶ attached ───────────────────────────────▶ detached
//! ```
//! In transaction mode two things would be another client's on a shared server: named prepared statements, which are refused (a server-side
//! failure stands in for them, so that skipping, transaction state and order are PostgreSQL's own), and the unnamed statement, which is prepared
//! again when the server at hand holds somebody else's.

use crate::config::snapshot::PoolerMode;
use crate::wire::client::{Peek, close_statement, statement_of};
use crate::wire::frame::{self, FrameError};
use crate::wire::server::ready;

use super::Verdicts;
use super::exchange::{Exchange, OUR_CLOSE, OUR_PARSE, REFUSED_NAMED, refused_message};

/// Bytes of an unnamed statement's Parse that are kept for a later Bind on another server; larger ones cannot be bound after their own batch.
pub const UNNAMED_MAX: usize = 16 * 1024;
/// Bytes of a message that are looked at to find a statement's name.
const NAMES_MAX: usize = 1024;

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// everything whole is consumed; more bytes are needed
    More,
    /// the next message needs a server
    Want,
    /// too much is outstanding, or what the server holds shows only by its replies: these must come first
    Full,
    /// the client said goodbye
    Terminate,
    /// the client broke the protocol
    Broken(Broken),
}

/// How a client broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Frame(FrameError),
    #[error("malformed message of type {0}")]
    Malformed(u8),
}

impl Broken {
    /// The SQLSTATE to tell the client before it is closed; None = without a word, as PostgreSQL does.
    pub fn code(self) -> Option<&'static str> {
        match self {
            Broken::Frame(error) => error.code(),
            Broken::Malformed(_) => Some("08P01"),
        }
    }
}

/// The unnamed statement as its client knows it.
#[derive(Debug, Default)]
struct Unnamed {
    /// unlike every other statement's in the process; 0 = the client has none
    tag: u64,
    /// the whole Parse message; empty when it was too large to keep
    parse: Vec<u8>,
}

/// One client's conversation.
#[derive(Debug)]
pub struct Client {
    mode: PoolerMode,
    /// bytes of the current message still to come
    body: usize,
    /// and whether they go to the server
    body_goes_on: bool,
    unnamed: Unnamed,
    /// next tag for an unnamed statement: the client's own number in the high bits
    next_tag: u64,
    /// messages of our own making skip to Sync (no server was there to do it)
    skipping: bool,
    /// simple queries, function calls and Syncs sent on
    pub requests: u64,
}

impl Client {
    /// `number` is unlike every other client's in the process (40 bits).
    pub fn new(mode: PoolerMode, number: u64) -> Client {
        Client { mode, body: 0, body_goes_on: false, unnamed: Unnamed::default(), next_tag: (number << 24) | 1, skipping: false, requests: 0 }
    }

    /// Transaction or session mode.
    pub fn mode(&self) -> PoolerMode {
        self.mode
    }

    /// Bytes kept of its statements.
    pub fn memory(&self) -> usize {
        self.unnamed.parse.capacity()
    }

    /// Between two messages.
    pub fn at_boundary(&self) -> bool {
        self.body == 0
    }

    /// Its request was answered with an error of ours, no server being there: extended-protocol messages are skipped to the next Sync.
    pub fn skip_to_sync(&mut self) {
        self.skipping = true;
    }

    /// The request at the start of `held` is answered with an error of ours. A simple one is passed over and its ReadyForQuery is due: returns how
    /// many bytes are consumed. One of the extended protocol (0): everything is skipped to its Sync, whose ReadyForQuery comes then.
    pub fn refuse_request(&mut self, held: &[u8]) -> usize {
        match frame::client_header(held) {
            Ok(Some(header)) if matches!(header.kind, b'Q' | b'F') => {
                self.requests += 1;
                self.body = header.body;
                self.body_goes_on = false;
                frame::HEADER
            }
            _ => {
                self.skip_to_sync();
                0
            }
        }
    }

    /// The server goes back: what it tells about our statements is taken note of.
    pub fn detached(&mut self, link: &mut Exchange) {
        if link.take_unnamed_lost() {
            self.forget_unnamed();
        }
    }

    /// Reads `bytes`; returns how many are consumed and why it stopped. `link` is the server at hand, if there is one.
    pub fn on_bytes(&mut self, bytes: &[u8], mut link: Option<&mut Exchange>, out: &mut Verdicts) -> (usize, Stop) {
        let read = self.read(bytes, link.as_deref_mut(), out);
        if let Some(link) = link {
            link.cut = self.body > 0 && self.body_goes_on;
            if link.is_doubtful() {
                out.to_server(|words| link.probe(words));
            }
        }
        read
    }

    fn read(&mut self, bytes: &[u8], mut link: Option<&mut Exchange>, out: &mut Verdicts) -> (usize, Stop) {
        let mut at = 0;
        loop {
            if self.body > 0 {
                let take = self.body.min(bytes.len() - at);
                if self.body_goes_on {
                    out.forward(at..at + take);
                }
                self.body -= take;
                at += take;
                if self.body > 0 {
                    return (at, Stop::More);
                }
            }
            let rest = &bytes[at..];
            let header = match frame::client_header(rest) {
                Ok(Some(header)) => header,
                Ok(None) => return (at, Stop::More),
                Err(error) => return (at, Stop::Broken(Broken::Frame(error))),
            };
            if header.kind == b'X' {
                return (at, Stop::Terminate);
            }
            #[cfg(test)]
            super::panic_if_asked(rest);
            let stop = match link.as_deref_mut() {
                Some(link) => self.attached(header, rest, at, link, out),
                None => self.detached_message(header.kind, header.body, out),
            };
            if let Some(stop) = stop {
                return (at, stop);
            }
            at += 5;
        }
    }

    /// A message while no server is at hand.
    fn detached_message(&mut self, kind: u8, body: usize, out: &mut Verdicts) -> Option<Stop> {
        match kind {
            b'S' => {
                self.skipping = false;
                self.requests += 1;
                out.to_client(|words| ready(words, b'I'));
            }
            // PostgreSQL ignores these outside COPY, and a Flush with nothing to flush.
            b'H' | b'd' | b'c' | b'f' => {}
            _ if self.skipping => {}
            _ => return Some(Stop::Want),
        }
        self.body = body;
        self.body_goes_on = false;
        None
    }

    /// A message for the server at hand; `at` is where it starts.
    #[inline]
    fn attached(&mut self, header: frame::Header, rest: &[u8], at: usize, link: &mut Exchange, out: &mut Verdicts) -> Option<Stop> {
        if link.is_full() {
            return Some(Stop::Full);
        }
        // What a server is known to skip changes nothing there, so nothing is noted of it here.
        let tells = self.mode == PoolerMode::Transaction && !link.is_skipping();
        match header.kind {
            b'Q' => {
                self.requests += 1;
                link.committing |= commits(&rest[frame::HEADER..]);
                if self.unnamed.tag != 0 && !link.is_skipping() {
                    self.forget_unnamed();
                }
            }
            b'S' | b'F' => self.requests += 1,
            b'P' | b'B' | b'D' | b'C' if tells => match self.statement(header, rest, link, out) {
                Named::Forward => {}
                Named::NeedMore => return Some(Stop::More),
                Named::NeedReplies => return Some(Stop::Full),
                Named::Malformed => return Some(Stop::Broken(Broken::Malformed(header.kind))),
                Named::Refuse(kind) => {
                    link.sent(kind);
                    out.to_server(refused_message);
                    self.body = header.body;
                    self.body_goes_on = false;
                    return None;
                }
            },
            _ => {}
        }
        link.sent(header.kind);
        if header.kind == b'P' {
            let mut parts = rest[frame::HEADER..].splitn(2, |byte| *byte == 0);
            link.committing |= parts.nth(1).is_some_and(commits);
            if tells {
                link.unnamed = self.unnamed.tag;
            }
        }
        out.forward(at..at + 5);
        self.body = header.body;
        self.body_goes_on = true;
        None
    }

    /// What a message that names a statement means on a shared server.
    fn statement(&mut self, header: frame::Header, rest: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Named {
        let body = &rest[5..rest.len().min(5 + header.body)];
        let name = match statement_of(header, &body[..body.len().min(NAMES_MAX)]) {
            Peek::Statement(name) => name,
            Peek::Portal(_) => return Named::Forward,
            Peek::NeedMore if body.len() < header.body.min(NAMES_MAX) => return Named::NeedMore,
            Peek::NeedMore | Peek::TooLong if header.body > NAMES_MAX => return Named::Refuse(REFUSED_NAMED),
            Peek::NeedMore | Peek::TooLong | Peek::Malformed => return Named::Malformed,
        };
        match header.kind {
            // Closing what does not exist is no error, and nothing with a name exists here.
            b'C' => {
                if name.is_empty() {
                    link.unnamed = 0;
                    self.forget_unnamed();
                }
                Named::Forward
            }
            _ if !name.is_empty() => Named::Refuse(REFUSED_NAMED),
            b'P' if header.body + 5 <= UNNAMED_MAX && rest.len() < header.body + 5 => Named::NeedMore,
            b'P' => {
                link.take_unnamed_lost();
                self.remember_unnamed(&rest[..rest.len().min(header.body + 5)], header.body + 5);
                Named::Forward
            }
            _ => self.recall_unnamed(link, out),
        }
    }

    fn remember_unnamed(&mut self, parse: &[u8], whole: usize) {
        self.unnamed.tag = self.next_tag;
        self.next_tag += 1;
        self.unnamed.parse.clear();
        if parse.len() == whole && whole <= UNNAMED_MAX {
            self.unnamed.parse.extend_from_slice(parse);
        }
    }

    fn forget_unnamed(&mut self) {
        self.unnamed.tag = 0;
        self.unnamed.parse.clear();
    }

    /// Bind or Describe of the unnamed statement: the server must hold ours.
    fn recall_unnamed(&mut self, link: &mut Exchange, out: &mut Verdicts) -> Named {
        if link.take_unnamed_lost() {
            self.forget_unnamed();
        }
        let in_doubt = link.parse_in_doubt();
        // Skipped or not? Had it been, the statement bound now would be an older one, perhaps another client's.
        if self.unnamed.tag != 0 && in_doubt == Some(b'P') {
            return Named::NeedReplies;
        }
        if self.unnamed.tag != 0 && link.unnamed == self.unnamed.tag && in_doubt.is_none() {
            return Named::Forward;
        }
        if self.unnamed.tag == 0 || self.unnamed.parse.is_empty() {
            // The server shall say so in its own words: it has none either, then.
            // Fixed and short.
            out.to_server(|words| _ = close_statement(words, b""));
            link.sent(OUR_CLOSE);
            link.unnamed = 0;
            return Named::Forward;
        }
        out.to_server(|words| words.extend_from_slice(&self.unnamed.parse));
        link.sent(OUR_PARSE);
        link.unnamed = self.unnamed.tag;
        Named::Forward
    }
}

/// Whether this text, as far as it is there, begins with COMMIT or END. It only decides what a client is told when its server is lost meanwhile, so
/// that comments and several statements in one text need not be understood.
fn commits(sql: &[u8]) -> bool {
    let sql = sql.trim_ascii_start();
    [&b"COMMIT"[..], b"END"].iter().any(|word| {
        let begins = sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        begins && !sql.get(word.len()).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
    })
}

enum Named {
    Forward,
    NeedMore,
    NeedReplies,
    Malformed,
    Refuse(u8),
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
