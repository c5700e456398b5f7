//! One server after its login: reads its messages, keeps the exchange, and says what goes to the client at hand. Like `client` it holds no bytes:
//! a cut header or a short message that must be seen whole stays with the engine until the rest is there.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::snapshot::PoolerMode;
use crate::wire::frame::{self, Header};
use crate::wire::server::{ErrorFields, error, error_fields, parameter_status, parse_parameter_status, shape_of_rows};

use super::Verdicts;
use super::client::say_due;
use super::exchange::{Dropped, Exchange, OUR_ASK, OUR_MAKE, OUR_QUERY, OUR_REPLAY, Outcome, Refusal, Reply, Status};
use super::greeting::{Reported, report};
use super::inquiry::{Answer, Made, Question, question};
use super::made::left;
use super::parameters::{Given, Profile};
use super::shelf::Keep;
use super::speaker::{Speaker, is_spoken};
use super::statements::{PREFIX, id_in};
use super::suspicion::Pins;
use super::tags::matters;
use crate::sql::may::May;

/// Messages that are looked into are waited for up to this size; larger ones pass unseen.
const SEEN_MAX: usize = 8 * 1024;
/// The same for rows that answer a question of ours.
const ANSWER_MAX: usize = 64 * 1024;
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
    /// a query of our own in front of the client's messages failed: they were not meant for this session
    Unfit,
    /// the server said FATAL: it is closing this connection; whether its client was told
    Fatal(bool),
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
    /// questions of ours what a client has left
    pub asked: u64,
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
    /// what was reported of parameters that a client asked for, while they were set for it
    fitted: Vec<(String, String)>,
    /// a query of ours is at work that changes nothing but to reset, or to set what the client asked for
    fitting: bool,
    /// values that sessions begin with, reported because the server's configuration was reloaded
    reported: Reported,
    /// for whom the session speaks
    pub speaker: Speaker,
    /// a question of ours is at work, and what has been answered so far
    asking: Option<Box<(Question, Answer)>>,
    /// what the server has said of what its client has left, in order; taken whenever the server is free
    learned: Vec<(Question, Answer)>,
    /// the error of a statement that the server was to be given for the client's query at work
    withheld: Option<Box<[u8]>>,
    /// channels that the client at hand hears by another connection
    pub elsewhere: Option<Arc<[Box<[u8]>]>>,
    /// code and message of the last error that answered a query of ours
    pub ours_error: Option<(String, String)>,
    pub counts: Counts,
}

impl Server {
    /// Between two messages: it can change hands.
    pub fn at_boundary(&self) -> bool {
        self.body == 0
    }

    /// The client has no part of a message whose rest is still to come.
    pub fn client_at_boundary(&self) -> bool {
        self.body == 0 || !self.body_goes_on
    }

    /// Whether this client can use the session as it is.
    #[inline]
    pub fn fits(&self, profile: &Arc<Profile>, client: u64) -> bool {
        self.changed.is_empty() && self.given.fits(profile, client)
    }

    /// A client comes.
    #[inline]
    pub fn meets(&mut self, mode: PoolerMode, keep: Keep, schema: u64, now: u64) {
        self.statement_mode = mode == PoolerMode::Statement;
        self.exchange.meets();
        self.exchange.schema = schema;
        self.exchange.shelf.meets(keep, now);
        if !self.learned.is_empty() {
            // What the last client had left was told after it had gone, or too late for it.
            self.learned.clear();
            self.given.spoil();
        }
    }

    /// Makes the session fit for a client. True: the client's messages may follow at once; otherwise they wait until the exchange is quiet again.
    pub fn bring_to(&mut self, profile: &Arc<Profile>, client: u64, out: &mut Verdicts) -> bool {
        // Reported changes that no client took over when it gave the server back: it had gone before.
        if !self.changed.is_empty() {
            self.given.spoil();
            self.changed.clear();
        }
        let Server { given, exchange, fitting, .. } = self;
        *fitting = true;
        let mut sure = false;
        out.to_server(|words| sure = given.bring_to(profile, client, exchange, words));
        sure
    }

    /// `client` goes, and what was not seen of its doing is not trusted.
    pub fn was_used(&mut self, client: u64) {
        self.given.used(client);
    }

    /// Nobody knows what its client has left in the session.
    pub fn spoil(&mut self) {
        self.given.spoil();
    }

    /// Whether a change of the schema was seen, once.
    pub fn take_schema_changed(&mut self) -> bool {
        std::mem::take(&mut self.exchange.schema_changed)
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
        self.learned.clear();
        out.to_server(|words| given.clean(exchange, words));
    }

    /// What was reported, since the last call, that holds for every session of the pool.
    #[inline]
    pub fn take_reported(&mut self) -> Option<Reported> {
        (!self.reported.is_empty()).then(|| std::mem::take(&mut self.reported))
    }

    /// What this client's own doing made of its profile, if anything: by what was reported (`told` is what the server reports when nobody sets
    /// anything), and by what the server said when it was asked. What keeps the client here is in the exchange then.
    pub fn learn(&mut self, profile: &Profile, startup: &Profile, told: &[(String, String)]) -> Option<Profile> {
        let mut now = None;
        if !self.changed.is_empty() {
            now = profile.with(&self.changed, told);
            self.changed.clear();
        }
        for learned in self.learned.drain(..) {
            let (question, mut answer) = learned;
            if let Some(statements) = answer.take_statements(&question) {
                self.exchange.made.told(statements);
            }
            self.exchange.pins = answer.pins(&question, self.exchange.pins);
            let before = now.as_ref().unwrap_or(profile);
            now = answer.profile(&question, before, startup).or(now);
        }
        now
    }

    /// There is something that `learn` has not been told.
    pub fn has_unlearned(&self) -> bool {
        !self.learned.is_empty() || !self.changed.is_empty()
    }

    /// The session is what `profile` says, by the client's own doing.
    pub fn adopt(&mut self, profile: Arc<Profile>) {
        profile.prove();
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
                self.exchange.mid_message = self.body > 0;
                if self.body > 0 {
                    return (at, Heard::More);
                }
            }
            while let Some(due) = self.exchange.due() {
                out.to_client(|words| say_due(due, words));
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
            let seen = self.looks_into(header);
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
            self.exchange.mid_message = self.body > 0;
            if let Some(end) = end {
                return (at, end);
            }
        }
    }

    #[inline]
    fn looks_into(&self, header: Header) -> bool {
        match header.kind {
            b'Z' | b'C' | b'E' | b'S' => header.body <= SEEN_MAX,
            b'T' => header.body <= SEEN_MAX && self.exchange.is_describing(),
            b'D' => header.body <= ANSWER_MAX && (self.exchange.is_asked() || self.exchange.made.asked && self.exchange.is_fitting()),
            b'A' => self.elsewhere.is_some() && header.body <= SEEN_MAX,
            _ => false,
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
        let head = self.exchange.head();
        let ours = head == Some(OUR_QUERY);
        if matches!(header.kind, b'T' | b'n') && self.exchange.is_describing() {
            self.exchange.described(if header.kind == b'n' { Some(0) } else { shape_of_rows(body) });
        }
        match self.exchange.received(header.kind) {
            Reply::OutOfStep => (false, Some(Heard::OutOfStep(header.kind))),
            Reply::Refuse(why) => {
                let failed = self.exchange.status() == Status::Failed;
                out.to_client(|words| refusal(&why, failed, words));
                (false, None)
            }
            Reply::Swallow => {
                match (header.kind, &mut self.asking) {
                    (b'E', _) => {
                        if matches!(head, Some(OUR_REPLAY | OUR_MAKE)) {
                            self.withheld = Some(body.into());
                        }
                        return (false, self.note_error(body, true));
                    }
                    (b'D', Some(asking)) if head == Some(OUR_ASK) => asking.1.row(body),
                    (b'D', _) if ours && self.exchange.made.asked => self.note_left(body),
                    _ => {}
                }
                (false, None)
            }
            Reply::Forward => {
                match header.kind {
                    b'C' if matters(body) => self.note_tag(body),
                    b'S' if ours => {
                        self.note_fitted(body);
                        return (false, None);
                    }
                    b'S' => self.note_parameter(body, client),
                    b'E' if self.withheld.is_some() && self.fails_for_want(body) => {
                        let withheld = self.withheld.take().unwrap_or_default();
                        out.to_client(|words| repeat(header, &withheld, words));
                        return (false, self.note_error(body, false));
                    }
                    b'E' => {
                        let end = self.note_error(body, false);
                        let ours = body.windows(PREFIX.len()).any(|window| window == PREFIX);
                        if ours {
                            self.heal(body);
                        }
                        let ours = ours && client != 0;
                        if ours {
                            out.names_ours = true;
                            out.to_client(|words| repeat(header, body, words));
                        }
                        return (!ours, end);
                    }
                    b'A' if self.is_elsewhere(body) => return (false, None),
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
        let asked = self.exchange.is_asked();
        self.exchange.made.asked &= !self.exchange.is_fitting();
        // A client's BEGIN that was answered before there was a server.
        let begun = self.exchange.is_beginning();
        let reply = self.exchange.ready(status);
        if reply == Reply::OutOfStep {
            return (false, Some(Heard::OutOfStep(b'Z')));
        }
        // Another query of ours may follow: what the first one cleans is set by the second.
        if !self.fitted.is_empty() && !self.exchange.is_fitting() {
            self.tell_fitted(client, out);
        }
        if client != 0 && self.speaker.is_news() && !self.exchange.is_fitting() {
            out.to_client(|words| self.speaker.tell(words));
        }
        if asked {
            self.learned.extend(self.asking.take().map(|asked| *asked));
        }
        let forward = reply == Reply::Forward;
        if forward {
            self.withheld = None;
        }
        self.counts.queries += u64::from(begun);
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
        self.fitting &= self.exchange.is_active();
        if client != 0 && self.exchange.ours_failed_in_front() {
            return (false, Some(Heard::Unfit));
        }
        if !self.exchange.is_free() {
            return (forward, None);
        }
        // Once it has been asked there is nothing new; what could not be told is asked about when the client has done something else.
        let suspected = self.is_suspected() || self.exchange.pins.contains(Pins::UNKNOWN);
        if client != 0 && suspected && !asked && !self.exchange.cut && self.ask(client, out) {
            return (forward, None);
        }
        (forward, Some(Heard::Free))
    }

    /// The client's transactions may have left something that the server has not been asked about: in the middle of a client's message it cannot be.
    #[inline]
    pub fn is_suspected(&self) -> bool {
        !self.exchange.suspicion.is_empty()
    }

    /// The client's transaction is over, and it may have left something: the server is asked what, behind the client's last answer.
    #[cold]
    pub fn ask(&mut self, client: u64, out: &mut Verdicts) -> bool {
        let exchange = &mut self.exchange;
        // Parameters whose names nobody knows are gone before another client comes.
        if exchange.suspicion.may.meets(May::CALLS.with(May::SETS)) {
            self.given.called(client);
        }
        // What earlier answers said, and nobody has learned yet, may be over by now.
        let pins = self.learned.iter().fold(exchange.pins, |pins, learned| learned.1.pins(&learned.0, pins));
        let mut wanted = Cow::Borrowed(&**self.given.profile());
        for name in self.learned.iter().flat_map(|learned| learned.1.customs()) {
            wanted.to_mut().set(name.to_string(), String::new());
        }
        let made = match (exchange.shelf.is_full(), exchange.made.is_empty()) {
            (true, _) => Made::Texts,
            (_, false) => Made::Names,
            _ => Made::Any,
        };
        let question = question(&exchange.suspicion, pins, &wanted, made);
        exchange.suspicion.clear();
        let Some(question) = question else { return false };
        // Names of parameters are short, and there are few.
        out.to_server(|words| _ = crate::wire::client::query(words, question.text.as_bytes()));
        exchange.sent(OUR_ASK);
        self.counts.asked += 1;
        self.asking = Some(Box::new((question, Answer::default())));
        true
    }

    /// What a command's tag tells about statements and the schema.
    #[cold]
    fn note_tag(&mut self, tag: &[u8]) {
        match tag.strip_suffix(b"\0").unwrap_or(tag) {
            b"DEALLOCATE ALL" | b"DISCARD ALL" => {
                self.exchange.shelf.clear();
                self.exchange.made.clear();
                self.exchange.tagged(Outcome::Dropped(Dropped::All));
                self.exchange.pins = self.exchange.pins.without(Pins::NAMED);
            }
            b"PREPARE" => self.exchange.tagged(Outcome::Prepared),
            b"DEALLOCATE" => {
                self.exchange.shelf.is_gone(0);
                self.exchange.tagged(Outcome::Dropped(Dropped::One));
            }
            b"ROLLBACK" => self.exchange.suspicion.unlistens.clear(),
            tag => self.exchange.altered_by(tag),
        }
    }

    fn note_error(&mut self, body: &[u8], ours: bool) -> Option<Heard> {
        self.counts.errors += 1;
        // An error without fields that can be read is an ordinary one.
        let parsed = error_fields(body).ok()?;
        if ours && let Some(asking) = &mut self.asking {
            asking.1.fail();
        }
        if parsed.sqlstate() == "0A000" && parsed.routine == b"RevalidateCachedQuery" {
            // What was prepared before a change of the schema is prepared anew, for whoever does not build on what its rows were.
            self.exchange.shelf.all_old();
            self.exchange.schema_changed = true;
        }
        if ours {
            self.ours_error = Some((parsed.sqlstate().to_string(), parsed.text().into_owned()));
        }
        parsed.is_fatal().then_some(Heard::Fatal(!ours))
    }

    /// Somebody's function has prepared a statement, which is nobody's.
    #[cold]
    fn note_left(&mut self, body: &[u8]) {
        let Some(name) = left(body) else { return };
        if !name.is_ascii() {
            // By which bytes it can be closed depends on who comes.
            self.given.spoil();
        }
        self.exchange.made.found(&name);
    }

    /// The client's query lacks what the server could not be given.
    #[cold]
    fn fails_for_want(&self, body: &[u8]) -> bool {
        error_fields(body).is_ok_and(|fields| matches!(fields.sqlstate(), "26000" | "25P02"))
    }

    /// A notification that the client at hand is given by another connection: it has listened there, and then here in a transaction.
    #[cold]
    fn is_elsewhere(&self, notification: &[u8]) -> bool {
        let channel = notification.get(4..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        channel.is_some_and(|channel| self.elsewhere.iter().flat_map(|channels| channels.iter()).any(|known| **known == *channel))
    }

    /// What a session has when it is reset, but for what is set at once for its client, it would have had from the start.
    fn note_default(&mut self, body: &[u8]) {
        if let Some((name, value)) = parse_parameter_status(body).filter(|_| self.fitting) {
            report(&mut self.reported, name, value);
        }
    }

    /// An error names a statement of ours. One that is not where it should be, or is where it should not, was dropped or made by something no text
    /// showed: all of them go before anybody else comes. Whoever keeps the server has them prepared anew.
    #[cold]
    fn heal(&mut self, body: &[u8]) {
        let Some(id) = id_in(body).filter(|id| *id != 0) else { return };
        let found = error_fields(body).is_ok_and(|fields| fields.sqlstate() == "42P05");
        if found || error_fields(body).is_ok_and(|fields| fields.sqlstate() == "26000") {
            if found {
                let batch = self.exchange.batch();
                self.exchange.shelf.is_back(id, batch);
            }
            self.exchange.shelf.all_old();
            self.given.spoil();
        }
    }

    /// A query of ours is at work that makes the session fit, and this is what it comes to, so far.
    fn note_fitted(&mut self, body: &[u8]) {
        let Some((name, value)) = parse_parameter_status(body) else { return };
        if is_spoken(name) {
            self.speaker.says(name, value, false);
        } else if !self.given.asks(name) {
            self.note_default(body);
        } else if self.fitted.len() < CHANGED_MAX {
            self.fitted.retain(|(known, _)| known != name);
            self.fitted.push((name.to_string(), value.to_string()));
        }
    }

    /// The session fits. A value that PostgreSQL spells otherwise than the client did is news to the client.
    #[cold]
    fn tell_fitted(&mut self, client: u64, out: &mut Verdicts) {
        for (name, value) in self.fitted.drain(..).filter(|_| client != 0) {
            if self.given.profile().get(&name) != Some(&value) {
                // It came in one message.
                out.to_client(|words| _ = parameter_status(words, name.as_bytes(), value.as_bytes()));
                self.changed.push((name, value));
            }
        }
    }

    fn note_parameter(&mut self, body: &[u8], client: u64) {
        if let Some((name, value)) = parse_parameter_status(body) {
            self.speaker.says(name, value, client != 0);
            // What a client's statement changes is reported before its last reply. Between statements nothing changes but the configuration.
            if client == 0 && self.exchange.is_free() {
                if !is_spoken(name) {
                    report(&mut self.reported, name, value);
                }
                return;
            }
            self.exchange.suspicion.reported();
            self.changed.retain(|(known, _)| known != name);
            if self.changed.len() < CHANGED_MAX {
                self.changed.push((name.to_string(), value.to_string()));
            }
        }
    }
}

/// Appends a message again.
fn repeat(header: Header, body: &[u8], words: &mut Vec<u8>) {
    words.push(header.kind);
    words.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    words.extend_from_slice(body);
}

/// The error a client gets for a message that a server sharing cannot carry, in PostgreSQL's words where it has some.
fn refusal(why: &Refusal, failed: bool, words: &mut Vec<u8>) {
    let plain = |code: &'static str, message: String, hint: Option<&'static str>| (code, message, None, hint);
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let (code, message, detail, hint) = match why {
        _ if failed => plain("25P02", "current transaction is aborted, commands ignored until end of transaction block".into(), None),
        Refusal::Begins => (
            "58000",
            "transaction control statements are not supported in statement mode".into(),
            Some("The server goes to another client after each statement."),
            Some("Use pooler_mode = \"transaction\" for this user, or send all statements of the transaction in one query."),
        ),
        Refusal::Exists(known) => plain("42P05", format!("prepared statement \"{}\" already exists", name(known)), None),
        Refusal::Unknown(unknown) if unknown.is_empty() => plain("26000", "unnamed prepared statement does not exist".into(), None),
        Refusal::Unknown(unknown) => plain("26000", format!("prepared statement \"{}\" does not exist", name(unknown)), None),
        Refusal::Changed => plain("0A000", "cached plan must not change result type".into(), Some("Prepare the statement again.")),
        Refusal::Route(refused) => (refused.code, refused.message.clone(), refused.detail.as_deref(), refused.hint),
        Refusal::Reserved => {
            plain("42602", format!("names that begin with \"{}\" are pg_dog's own", name(PREFIX)), Some("Call the prepared statement otherwise."))
        }
        Refusal::TooMany => plain("53200", "too many prepared statements".into(), Some("Close statements that are not used any more.")),
    };
    error(words, &ErrorFields { severity: "ERROR", code, message: &message, detail, hint });
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
