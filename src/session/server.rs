//! One server after its login: reads its messages, keeps the exchange, and says what goes to the client at hand. Like `client` it holds no bytes: a
//! cut header or a short message that must be seen whole stays with the engine until the rest is there.

use std::sync::Arc;

use crate::config::snapshot::PoolerMode;
use crate::wire::frame::{self, Header};
use crate::wire::server::{ErrorFields, error, error_fields, parse_parameter_status};

use super::Verdicts;
use super::exchange::{Exchange, OUR_QUERY, REFUSED_PARSE, REFUSED_QUERY, Reply, Status};
use super::greeting::{Reported, report};
use super::parameters::{Given, Profile, dirties};

/// Messages that are looked into are waited for up to this size; larger ones pass unseen.
const SEEN_MAX: usize = 8 * 1024;
/// Reported parameters kept from one checkout.
const CHANGED_MAX: usize = 32;

/// What a server's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// everything whole is consumed
    More,
    /// a ReadyForQuery left nothing outstanding and no transaction open
    Free,
    /// in statement mode, a request left a transaction open; its ReadyForQuery is not forwarded
    LeftOpen,
    /// the server said FATAL: it is closing this connection
    Fatal,
    /// the server said what it cannot say here; the connection is worthless
    OutOfStep(u8),
}

/// Counters of one server connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub queries: u64,
    pub transactions: u64,
    pub errors: u64,
    /// of clients: statements prepared, bound, closed
    pub parses: u64,
    pub binds: u64,
    pub closes: u64,
}

/// One server's conversation.
#[derive(Debug, Default)]
pub struct Server {
    pub exchange: Exchange,
    /// the client at hand may not leave a transaction open
    statement_mode: bool,
    /// pid and secret for cancel requests
    pub key: Option<(i32, Vec<u8>)>,
    given: Given,
    body: usize,
    body_goes_on: bool,
    /// parameters reported since the client at hand came
    changed: Vec<(String, String)>,
    /// a query of ours is at work that changes nothing but to reset, or to set what the client asked for
    fitting: bool,
    /// values that sessions begin with, reported because the server's configuration was reloaded
    reported: Reported,
    /// code and message of the last error that answered a query of ours
    pub ours_error: Option<(String, String)>,
    pub counts: Counts,
}

impl Server {
    /// Between two messages: it can change hands.
    pub fn at_boundary(&self) -> bool {
        self.body == 0
    }

    /// Whether this client can use the session as it is.
    #[inline]
    pub fn fits(&self, profile: &Arc<Profile>, client: u64) -> bool {
        self.changed.is_empty() && self.given.fits(profile, client)
    }

    /// A client comes.
    #[inline]
    pub fn meets(&mut self, mode: PoolerMode) {
        self.statement_mode = mode == PoolerMode::Statement;
        self.exchange.take_changed();
    }

    /// Makes the session fit for a client; the client's messages wait until the exchange is quiet again.
    pub fn bring_to(&mut self, profile: &Arc<Profile>, client: u64, out: &mut Verdicts) {
        // Reported changes that no client took over when it gave the server back: it had gone before.
        if !self.changed.is_empty() {
            self.given.dirty(0);
            self.changed.clear();
        }
        let Server { given, exchange, fitting, .. } = self;
        *fitting = true;
        out.to_server(|words| given.bring_to(profile, client, exchange, words));
    }

    /// Asks for nothing, to hear whether there is an answer.
    pub fn ask_if_alive(&mut self, out: &mut Verdicts) {
        // Fixed and short.
        out.to_server(|words| _ = crate::wire::client::query(words, b";"));
        self.exchange.sent(OUR_QUERY);
        self.fitting = true;
    }

    /// Makes the session like new (a client in session mode has gone).
    pub fn clean(&mut self, out: &mut Verdicts) {
        let Server { given, exchange, fitting, .. } = self;
        *fitting = true;
        out.to_server(|words| given.clean(exchange, words));
    }

    /// What was reported, since the last call, that holds for every session of the pool.
    #[inline]
    pub fn take_reported(&mut self) -> Option<Reported> {
        (!self.reported.is_empty()).then(|| std::mem::take(&mut self.reported))
    }

    /// What this client's own SETs made of its profile, if they changed a parameter that is carried along.
    pub fn changed_profile(&mut self, profile: &Arc<Profile>) -> Option<Profile> {
        if self.changed.is_empty() {
            return None;
        }
        let changed = profile.with(&self.changed);
        self.changed.clear();
        Some(changed)
    }

    /// The session is what `profile` says, by the client's own doing.
    pub fn adopt(&mut self, profile: Arc<Profile>) {
        self.given.adopt(profile);
    }

    /// Reads `bytes`; returns how many are consumed and what they came to. `client` is the number of the client at hand, 0 for none: then nothing
    /// is forwarded.
    pub fn on_bytes(&mut self, bytes: &[u8], client: u64, out: &mut Verdicts) -> (usize, Heard) {
        let mut at = 0;
        loop {
            if self.body > 0 {
                let take = self.body.min(bytes.len() - at);
                if self.body_goes_on && client != 0 {
                    out.forward(at..at + take);
                }
                self.body -= take;
                at += take;
                if self.body > 0 {
                    return (at, Heard::More);
                }
            }
            let rest = &bytes[at..];
            let header = match frame::header(rest) {
                Ok(Some(header)) => header,
                // Nobody asked for anything: whoever comes next must not find the first bytes of a message that cannot be.
                Ok(None) if self.exchange.is_free() && rest.first().is_some_and(|kind| !matches!(kind, b'N' | b'A' | b'S' | b'E')) => {
                    return (at, Heard::OutOfStep(rest[0]));
                }
                Ok(None) => return (at, Heard::More),
                Err(_) => return (at, Heard::OutOfStep(rest[0])),
            };
            let seen = matches!(header.kind, b'Z' | b'C' | b'E' | b'S') && header.body <= SEEN_MAX;
            if seen && rest.len() < 5 + header.body {
                return (at, Heard::More);
            }
            let body = if seen { &rest[5..5 + header.body] } else { &[][..] };
            let (forward, end) = self.message(header, body, client, out);
            if let Some(Heard::OutOfStep(kind)) = end {
                return (at, Heard::OutOfStep(kind));
            }
            let forward = forward && client != 0;
            let taken = if seen { 5 + header.body } else { 5 };
            if forward {
                out.forward(at..at + taken);
            }
            at += taken;
            self.body = 5 + header.body - taken;
            self.body_goes_on = forward;
            if let Some(end) = end {
                return (at, end);
            }
        }
    }

    /// One message: whether it is the client's, and whether it ends something.
    #[inline]
    fn message(&mut self, header: Header, body: &[u8], client: u64, out: &mut Verdicts) -> (bool, Option<Heard>) {
        #[cfg(test)]
        super::panic_if_asked(body);
        if header.kind == b'Z' {
            return self.ready(body, client, out);
        }
        let ours = self.exchange.is_ours();
        match self.exchange.received(header.kind) {
            Reply::OutOfStep => (false, Some(Heard::OutOfStep(header.kind))),
            Reply::Refuse(kind) => {
                out.to_client(|words| refusal(kind, words));
                (false, None)
            }
            Reply::Swallow => {
                if header.kind == b'E' {
                    return (false, self.note_error(body, true));
                }
                (false, None)
            }
            Reply::Forward => {
                match header.kind {
                    b'C' if dirties(body) => self.given.dirty(client),
                    b'S' if !ours => self.note_parameter(body, client),
                    b'S' if self.fitting => self.note_default(body),
                    b'E' => return (true, self.note_error(body, false)),
                    b'1' => self.counts.parses += 1,
                    b'2' => self.counts.binds += 1,
                    b'3' => self.counts.closes += 1,
                    _ => {}
                }
                (true, None)
            }
        }
    }

    fn ready(&mut self, body: &[u8], client: u64, out: &mut Verdicts) -> (bool, Option<Heard>) {
        let Some(status) = body.first().copied().and_then(Status::from_byte) else {
            return (false, Some(Heard::OutOfStep(b'Z')));
        };
        let reply = self.exchange.ready(status);
        if reply == Reply::OutOfStep {
            return (false, Some(Heard::OutOfStep(b'Z')));
        }
        let forward = reply == Reply::Forward;
        if forward {
            self.counts.queries += 1;
            self.counts.transactions += u64::from(status == Status::Idle);
        }
        if forward && client != 0 && self.statement_mode && status != Status::Idle {
            return (false, Some(Heard::LeftOpen));
        }
        // Without a client this is left to `recovery`, in the middle of a client's message to its end.
        if client != 0 && self.exchange.is_doubtful() {
            let exchange = &mut self.exchange;
            out.to_server(|words| exchange.probe(words));
        }
        let free = self.exchange.is_free();
        self.fitting &= !free;
        (forward, free.then_some(Heard::Free))
    }

    fn note_error(&mut self, body: &[u8], ours: bool) -> Option<Heard> {
        self.counts.errors += 1;
        // An error without fields that can be read is an ordinary one.
        let parsed = error_fields(body).ok()?;
        if ours {
            self.ours_error = Some((parsed.sqlstate().to_string(), parsed.text().into_owned()));
        }
        parsed.is_fatal().then_some(Heard::Fatal)
    }

    /// What a session has when it is reset, but for what is set at once for its client, it would have had from the start.
    fn note_default(&mut self, body: &[u8]) {
        if let Some((name, value)) = parse_parameter_status(body).filter(|(name, _)| !self.given.asks(name)) {
            report(&mut self.reported, name, value);
        }
    }

    fn note_parameter(&mut self, body: &[u8], client: u64) {
        if let Some((name, value)) = parse_parameter_status(body) {
            // What a client's statement changes is reported before its last reply. Between statements nothing changes but the configuration.
            if client == 0 && self.exchange.is_free() {
                return report(&mut self.reported, name, value);
            }
            self.changed.retain(|(known, _)| known != name);
            if self.changed.len() < CHANGED_MAX {
                self.changed.push((name.to_string(), value.to_string()));
            }
        }
    }
}

/// The error a client gets for a message that a server sharing cannot carry.
fn refusal(kind: u8, words: &mut Vec<u8>) {
    if matches!(kind, REFUSED_QUERY | REFUSED_PARSE) {
        let fields = ErrorFields {
            severity: "ERROR",
            code: "58000",
            message: "transaction control statements are not supported in statement mode",
            detail: Some("The server goes to another client after each statement."),
            hint: Some("Use pooler_mode = \"transaction\" for this user, or send all statements of the transaction in one query."),
        };
        return error(words, &fields);
    }
    let fields = ErrorFields {
        severity: "ERROR",
        code: "0A000",
        message: "named prepared statements cannot be used in transaction mode yet",
        detail: Some("A named statement would live on one server, and the next transaction may use another."),
        hint: Some("Use pooler_mode = \"session\" for this user, or switch the driver's statement cache off (unnamed statements work)."),
    };
    error(words, &fields);
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
