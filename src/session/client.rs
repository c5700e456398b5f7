//! One client after its login: reads its messages and says where they go. It never holds bytes: what it has not consumed (a cut header, a message
//! that needs a server first) the engine keeps and gives again.
//!
//! ```text
//!            Q P B D E C F             ReadyForQuery, all answered, status I
//! detached ───────────────▶ Want ──▶ attached ───────────────────────────────▶ detached
//! ```
//! Unless it is a session's, a server is shared, and two things would be another client's there: named prepared statements, which are refused (a
//! server-side failure stands in for them, so that skipping, transaction state and order are PostgreSQL's own), and the unnamed statement, which is
//! prepared again when the server at hand holds somebody else's (`unnamed`). In statement mode BEGIN is refused in the same way (`control`).
//! What else is wrong with a message is left to the server: it says so itself.

use crate::config::snapshot::PoolerMode;
use crate::wire::client::{Peek, statement_of};
use crate::wire::frame::{self, FrameError};
use crate::wire::server::ready;

use super::Verdicts;
use super::control::{Begins, LOOK_MAX, begins_transaction};
use super::exchange::{Exchange, FORGET, REFUSED_NAMED, REFUSED_PARSE, REFUSED_QUERY, UNKNOWN, refused_message, refused_query};
use super::unnamed::{UNNAMED_MAX, Unnamed};

/// Bytes of a message that are looked at to find a statement's name.
const NAMES_MAX: usize = 1024;

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// everything whole is consumed; more bytes are needed
    More,
    /// the next message needs a server
    Want,
    /// too much is outstanding: replies must come first
    Full,
    /// a Query or Parse message of so many bytes, above the limit; it is read when `allow_large` was called
    Large(usize),
    /// the client said goodbye
    Terminate,
    /// the client broke the protocol
    Broken(FrameError),
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
    /// messages of our own making skip to Sync (no server was there to do it)
    skipping: bool,
    /// bytes of a Query or Parse message beyond which it is not read without being asked about
    limit: usize,
    /// the next one may be larger
    large: bool,
    /// simple queries, function calls and Syncs sent on
    pub requests: u64,
}

impl Client {
    /// `number` is unlike every other client's in the process.
    pub fn new(mode: PoolerMode, number: u64) -> Client {
        Client { mode, body: 0, body_goes_on: false, unnamed: Unnamed::new(number), skipping: false, limit: usize::MAX, large: false, requests: 0 }
    }

    /// Query and Parse messages of more bytes, their header included, stop the reading with `Large`.
    pub fn limit_messages(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// The message that stopped the reading with `Large` may pass.
    pub fn allow_large(&mut self) {
        self.large = true;
    }

    /// How long it keeps a server.
    pub fn mode(&self) -> PoolerMode {
        self.mode
    }

    /// Bytes kept of its statements.
    pub fn memory(&self) -> usize {
        self.unnamed.memory()
    }

    /// Bytes of the message at hand still to come.
    pub fn left(&self) -> usize {
        self.body
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
        self.unnamed.settle(link);
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
                Err(error) => return (at, Stop::Broken(error)),
            };
            if header.kind == b'X' {
                return (at, Stop::Terminate);
            }
            if header.total() > self.limit && matches!(header.kind, b'Q' | b'P') && !self.large {
                return (at, Stop::Large(header.total()));
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
            self.large = false;
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
        // What a server is known to skip changes nothing there, so it needs no look.
        let shared = self.mode != PoolerMode::Session && !link.is_skipping();
        let mut sent = Goes { on: true, kind: header.kind, tag: UNKNOWN };
        match header.kind {
            b'Q' => {
                if shared {
                    match self.query(header, rest) {
                        Some(goes) => sent = goes,
                        None => return Some(Stop::More),
                    }
                }
                self.requests += 1;
                link.committing |= commits(&rest[frame::HEADER..]);
            }
            b'S' | b'F' => self.requests += 1,
            b'P' | b'B' | b'D' | b'C' | b'E' if shared => match self.statement(header, rest, link, out) {
                Some(goes) => sent = goes,
                None => return Some(Stop::More),
            },
            _ => {}
        }
        link.sent_as(sent.kind, sent.tag);
        if sent.kind == b'P' {
            let mut parts = rest[frame::HEADER..].splitn(2, |byte| *byte == 0);
            link.committing |= parts.nth(1).is_some_and(commits);
        }
        match sent.kind {
            _ if sent.on => out.forward(at..at + 5),
            REFUSED_QUERY => out.to_server(refused_query),
            _ => out.to_server(refused_message),
        }
        self.body = header.body;
        self.body_goes_on = sent.on;
        None
    }

    /// A simple query for a shared server; None = more of it must be there first.
    fn query(&mut self, header: frame::Header, rest: &[u8]) -> Option<Goes> {
        let refused = self.begins(&rest[5..rest.len().min(5 + header.body)], header.body)?;
        self.unnamed.query();
        Some(Goes { on: !refused, kind: if refused { REFUSED_QUERY } else { b'Q' }, tag: UNKNOWN })
    }

    /// Whether a text of `length` bytes, of which `text` is here, is refused because it begins a transaction; None = more of it must be there first.
    #[inline]
    fn begins(&self, text: &[u8], length: usize) -> Option<bool> {
        if self.mode != PoolerMode::Statement {
            return Some(false);
        }
        match begins_transaction(&text[..text.len().min(LOOK_MAX)], text.len() >= length) {
            Begins::Yes => Some(true),
            Begins::No => Some(false),
            Begins::NeedMore => None,
        }
    }

    /// What a message of the extended protocol means on a shared server; None = more of it must be there first.
    fn statement(&mut self, header: frame::Header, rest: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Option<Goes> {
        let on = Goes { on: true, kind: header.kind, tag: UNKNOWN };
        let refuse = |kind| Goes { on: false, kind, tag: UNKNOWN };
        if header.kind == b'E' {
            self.unnamed.meet(link, out);
            return Some(on);
        }
        let body = &rest[5..rest.len().min(5 + header.body)];
        let peek = statement_of(header, &body[..body.len().min(NAMES_MAX)]);
        let name = match peek {
            Peek::Statement(name) => Some(name),
            Peek::NeedMore if body.len() < header.body.min(NAMES_MAX) => return None,
            Peek::NeedMore | Peek::TooLong if header.body > NAMES_MAX => {
                self.unnamed.meet(link, out);
                return Some(refuse(REFUSED_NAMED));
            }
            // A portal's, or a malformed message, which the server refuses.
            _ => None,
        };
        let unnamed = name.is_some_and(<[u8]>::is_empty);
        match header.kind {
            b'P' if unnamed => return self.parse(header, rest, link, out),
            // Closing what does not exist is no error, and nothing with a name exists here.
            b'C' if unnamed && header.body == 2 => {
                self.unnamed.close();
                return Some(Goes { kind: FORGET, ..on });
            }
            b'C' if name.is_some() || matches!(peek, Peek::Portal(_)) => self.unnamed.pass(link, out),
            _ => self.unnamed.meet(link, out),
        }
        Some(if header.kind != b'C' && name.is_some() && !unnamed { refuse(REFUSED_NAMED) } else { on })
    }

    /// A Parse of the unnamed statement; None = it must be there whole first.
    fn parse(&mut self, header: frame::Header, rest: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Option<Goes> {
        let whole = header.total();
        if whole <= UNNAMED_MAX && rest.len() < whole {
            return None;
        }
        let parse = &rest[..rest.len().min(whole)];
        // Behind the empty name.
        if self.begins(&parse[6..], whole - 6)? {
            self.unnamed.meet(link, out);
            return Some(Goes { on: false, kind: REFUSED_PARSE, tag: UNKNOWN });
        }
        Some(Goes { on: true, kind: b'P', tag: self.unnamed.parse(parse, whole, link, out) })
    }
}

/// Whether this text, as far as it is there, begins with COMMIT or END. It only decides what a client is told when its server is lost meanwhile, so
/// that comments and several statements in one text need not be understood.
#[inline]
fn commits(sql: &[u8]) -> bool {
    // Hardly any other text begins like that.
    matches!(sql.first(), Some(b'c' | b'C' | b'e' | b'E' | b' ' | b'\n' | b'\t' | b'\r')) && is_commit(sql.trim_ascii_start())
}

fn is_commit(sql: &[u8]) -> bool {
    [&b"COMMIT"[..], b"END"].iter().any(|word| {
        let begins = sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        begins && !sql.get(word.len()).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
    })
}

/// How a message goes to the server.
struct Goes {
    /// as it is; otherwise something that fails stands in for it
    on: bool,
    /// what the exchange is told
    kind: u8,
    /// of an unnamed statement
    tag: u128,
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
