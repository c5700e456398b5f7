//! One client after its login: reads its messages and says where they go. It never holds bytes: what it has not consumed (a cut header, a message
//! that needs a server first, or must be there whole) the engine keeps and gives again.
//!
//! ```text
//!            Q P B D E C F             ReadyForQuery, all answered, status I
//! detached ───────────────▶ Want ──▶ attached ───────────────────────────────▶ detached
//! ```
//! Unless it is a session's, a server is shared, and a client must not notice. Its statements' names are its own (`naming`, `unnamed`), what its
//! texts may leave in the session is taken note of (`suspicion`), and a BEGIN is answered before there is a server and sent with what follows
//! (`bounds`). In statement mode BEGIN is refused (`control`). What else is wrong with a message is left to the server: it says so itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::snapshot::{PoolerMode, PreparedStatements};
use crate::route::request::Refused;
use crate::sql::look::{Look, look};
use crate::wire::client::query as query_message;
use crate::wire::frame::{self, FrameError, HEADER};
use crate::wire::server::{close_complete, parse_complete, ready};

use super::Verdicts;
use super::control::{Begins, LOOK_MAX, begins_transaction, commits};
use super::exchange::{Due, EVICT, Exchange, OUR_BEGIN, OUR_RESTORE, OUR_SYNC, REFUSED_QUERY, Refusal, UNKNOWN, refused_query};
use super::names::Names;
use super::naming::{STATEMENT_MAX, may_drop};
use super::parameters::Profile;
use super::restore::asks_sequences;
use super::shards::Shards;
use super::statements::{Front, NO_TRAITS, Traits};
use super::suspicion::{UNSEEN, is_large_object, traits};
use super::unnamed::Unnamed;
use crate::wire::client::{close_statement, sync};

/// Texts up to this size are waited for and looked at; larger ones pass, and are suspected of everything.
pub(super) const TEXT_MAX: usize = 64 * 1024;

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// everything whole is consumed; more bytes are needed
    More,
    /// the next message needs a server
    Want,
    /// replies must come first: too much is outstanding, or the next message depends on them
    Full,
    /// a helper has to read the next message's text first (`Shards::asks`)
    Unread,
    /// the next message is for several shards, or another than its transaction is on
    Over,
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
    /// unlike every other client's in the process
    pub(super) number: u64,
    pub(super) caching: PreparedStatements,
    /// bytes of the current message still to come
    body: usize,
    /// and whether they go to the server
    body_goes_on: bool,
    pub(super) unnamed: Unnamed,
    /// what the unnamed statement does each time, if that is anything
    unnamed_traits: Option<Box<Traits>>,
    pub(super) names: Option<Box<Names>>,
    pub(super) front: Option<Rc<RefCell<Front>>>,
    /// what it wants of the parameters now, and when it came
    pub(super) profile: Arc<Profile>,
    pub(super) startup: Arc<Profile>,
    /// its BEGIN, answered and not sent yet
    pub(super) begun: Option<Box<[u8]>>,
    /// a request in that transaction was answered with an error of ours: the server is to refuse all else in it
    pub(super) failed: bool,
    /// it has used the server at hand
    attached: bool,
    /// parameters that a RESET has taken and that have to be given back, behind the next Sync
    pub(super) restoring: Vec<String>,
    /// messages of our own making skip to Sync (no server was there to do it)
    pub(super) skipping: bool,
    /// bytes of a Query or Parse message beyond which it is not read without being asked about
    limit: usize,
    /// the next one may be larger
    large: bool,
    /// bytes of the message at hand that it waits for
    pub(super) needs: usize,
    /// on a database with shards
    pub(super) shards: Option<Box<Shards>>,
    /// simple queries, function calls and Syncs sent on
    pub requests: u64,
}

impl Client {
    /// `number` is unlike every other client's in the process.
    pub fn new(mode: PoolerMode, number: u64) -> Client {
        Client {
            mode,
            number,
            caching: PreparedStatements::Extended,
            body: 0,
            body_goes_on: false,
            unnamed: Unnamed::new(number),
            unnamed_traits: None,
            names: None,
            front: None,
            profile: Arc::default(),
            startup: Arc::default(),
            begun: None,
            failed: false,
            attached: false,
            restoring: Vec::new(),
            skipping: false,
            limit: usize::MAX,
            large: false,
            needs: 0,
            shards: None,
            requests: 0,
        }
    }

    /// The statements it shares with others, and how.
    pub fn share(&mut self, caching: PreparedStatements, front: Rc<RefCell<Front>>) {
        self.caching = caching;
        self.front = Some(front);
    }

    /// How it shares them from now on.
    #[inline]
    pub fn caches(&mut self, caching: PreparedStatements) {
        self.caching = caching;
    }

    /// What it asked for when it came.
    pub fn starts_with(&mut self, profile: Arc<Profile>) {
        self.profile = profile.clone();
        self.startup = profile;
    }

    /// What it asked for when it came.
    pub fn startup(&self) -> &Arc<Profile> {
        &self.startup
    }

    /// What it wants now.
    pub fn wants(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
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

    /// What the unnamed statement does each time.
    pub(super) fn unnamed_traits(&self) -> &Traits {
        self.unnamed_traits.as_deref().unwrap_or(NO_TRAITS)
    }

    /// What it does is nothing.
    #[inline]
    pub(super) fn unnamed_does_nothing(&self) -> bool {
        self.unnamed_traits.is_none()
    }

    /// The unnamed statement is another one; returns what the one before did. Of most there is nothing to be kept.
    pub(super) fn unnamed_does(&mut self, traits: Traits) -> Traits {
        let kept = (traits != *NO_TRAITS).then(|| Box::new(traits));
        std::mem::replace(&mut self.unnamed_traits, kept).map_or_else(Traits::default, |before| *before)
    }

    /// Bytes kept of its statements.
    pub fn memory(&self) -> usize {
        self.unnamed.memory() + self.names.as_ref().map_or(0, |names| names.memory())
    }

    /// Names of statements that it has.
    pub fn statements(&self) -> usize {
        self.names.as_ref().map_or(0, |names| names.len())
    }

    /// What ReadyForQuery says while no server is at hand.
    pub fn status(&self) -> u8 {
        match (self.has_begun(), self.failed) {
            (false, _) => b'I',
            (_, false) => b'T',
            (_, true) => b'E',
        }
    }

    /// It is in a transaction of which no server knows yet.
    pub fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Bytes of the message at hand still to come.
    pub fn left(&self) -> usize {
        self.body
    }

    /// Bytes that have to be there before the next message can be read.
    pub fn needs(&self) -> usize {
        self.needs
    }

    /// Whoever reads for it waits for so many bytes.
    pub fn wait_for(&mut self, bytes: usize) {
        self.needs = bytes;
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
    /// many bytes are consumed. One of the extended protocol (0): everything is skipped to its Sync, whose ReadyForQuery comes then. A transaction
    /// that no server knows of has failed.
    pub fn refuse_request(&mut self, held: &[u8]) -> usize {
        if self.has_begun() {
            self.failed = true;
            // A Parse that fails drops it, as a simple query does.
            self.unnamed.dropped();
        }
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

    /// The text of a statement that it has prepared under this name.
    pub fn text_of_name(&self, name: &[u8]) -> Option<&[u8]> {
        let entry = self.names.as_ref()?.get(name)?;
        entry.statement.rest.split(|byte| *byte == 0).next()
    }

    /// A whole request was answered without a server and without being read here.
    pub fn was_answered(&mut self) {
        self.requests += 1;
        self.unnamed.dropped();
    }

    /// The server goes back: what it tells about our statements is taken note of.
    pub fn detached(&mut self, link: &mut Exchange) {
        self.attached = false;
        self.restoring.clear();
        self.unnamed.settle(link);
        self.settle(link);
        if let Some(names) = &mut self.names {
            names.detached(link);
        }
    }

    /// What has become of statements by their names is taken note of.
    #[inline]
    fn settle(&mut self, link: &mut Exchange) {
        if link.made.told {
            self.names.get_or_insert_default();
        }
        if let Some(names) = &mut self.names {
            names.settle(link);
        }
    }

    /// Reads `bytes`; returns how many are consumed and why it stopped. `link` is the server at hand, if there is one.
    pub fn on_bytes(&mut self, bytes: &[u8], mut link: Option<&mut Exchange>, out: &mut Verdicts) -> (usize, Stop) {
        self.needs = 0;
        if let Some(link) = link.as_deref_mut() {
            self.settle(link);
            if !self.attached {
                self.clears(link, out);
                if self.mode != PoolerMode::Session {
                    self.attach(link, out);
                }
            }
            self.attached = true;
        }
        let read = self.read(bytes, link.as_deref_mut(), out);
        if let Some(link) = link {
            link.cut = self.body > 0 && self.body_goes_on;
            if link.is_doubtful() {
                out.to_server(|words| link.probe(words));
            }
        }
        read
    }

    /// The first words to a server that has just come: what it holds too much goes, and the BEGIN that the client has been answered.
    fn attach(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        let mut evicted = false;
        while let Some(id) = link.shelf.excess() {
            evict(id, link, out);
            evicted = true;
        }
        if evicted {
            out.to_server(sync);
            link.sent(OUR_SYNC);
        }
        if let Some(text) = self.begun.take() {
            // A client's text that was whole.
            out.to_server(|words| _ = query_message(words, &text));
            link.sent(OUR_BEGIN);
            if std::mem::take(&mut self.failed) {
                // Fixed and short; it is made to fail, which is no news to anybody.
                out.to_server(|words| _ = query_message(words, b"pg_dog fails a transaction that it had no server for"));
                link.sent(OUR_RESTORE);
            }
        }
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
            let taken = match link.as_deref_mut() {
                Some(link) => self.attached_message(header, rest, at, link, out),
                None => self.detached_message(header, rest, out),
            };
            match taken {
                Ok(taken) => at += taken,
                Err(stop) => return (at, stop),
            }
            self.large = false;
        }
    }

    /// A message while no server is at hand; returns how much of it is consumed.
    fn detached_message(&mut self, header: frame::Header, rest: &[u8], out: &mut Verdicts) -> Result<usize, Stop> {
        match header.kind {
            b'S' => {
                self.skipping = false;
                self.requests += 1;
                let status = self.status();
                out.answer(|words| ready(words, status));
            }
            // PostgreSQL ignores these outside COPY, and a Flush with nothing to flush.
            b'H' | b'd' | b'c' | b'f' => {}
            b'Q' if self.mode == PoolerMode::Transaction => return self.detached_query(header, rest, out),
            _ if self.skipping => {}
            b'P' | b'B' | b'D' if self.may_begin_batch(header, rest) => match self.detached_batch(rest, out)? {
                0 => return Err(Stop::Want),
                taken => return Ok(taken),
            },
            b'C' if self.closes_at_once(header, rest)? => out.answer(close_complete),
            b'P' => return Err(self.want_whole(header, rest, STATEMENT_MAX)),
            b'Q' => return Err(self.want_whole(header, rest, TEXT_MAX)),
            _ => return Err(Stop::Want),
        }
        self.body = header.body;
        self.body_goes_on = false;
        Ok(HEADER)
    }

    /// The message needs a server; one that has to be looked at whole takes none before it is there.
    pub(super) fn want_whole(&mut self, header: frame::Header, rest: &[u8], most: usize) -> Stop {
        if header.total() > most || rest.len() >= header.total() || self.mode == PoolerMode::Session {
            return Stop::Want;
        }
        self.needs = header.total();
        Stop::More
    }

    /// A message for the server at hand; `at` is where it starts. Returns how much of it is consumed.
    #[inline(always)]
    fn attached_message(&mut self, header: frame::Header, rest: &[u8], at: usize, link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        if link.is_full() {
            return Err(Stop::Full);
        }
        let strayed = match self.strays(header, rest, link) {
            Err(Stop::Full) if link.is_unsynced() => return Err(self.waits_or_ends(link, out)),
            strayed => strayed?,
        };
        if let Some(refused) = strayed {
            return Ok(self.refuse_route(header, refused, link, out));
        }
        // What a server is known to skip changes nothing there, so it needs no look.
        let shared = self.mode != PoolerMode::Session && !link.is_skipping();
        match header.kind {
            b'Q' => self.query(header, rest, at, link, out, shared),
            b'S' => {
                self.requests += 1;
                link.sent(b'S');
                let taken = self.pass(header, at, out);
                self.restore(link, out);
                Ok(taken)
            }
            b'P' | b'B' | b'D' | b'C' | b'E' if shared => {
                let taken = self.extended(header, rest, at, link, out)?;
                self.give_what_is_due(link, out);
                Ok(taken)
            }
            kind => {
                self.requests += u64::from(kind == b'F');
                if kind == b'F' && shared && !is_large_object(rest) {
                    link.suspicion.add(&Traits { may: UNSEEN, ..Traits::default() });
                }
                link.sent_as(kind, UNKNOWN);
                // If it fails, what is brought for a named statement behind it could not be there.
                link.barrier |= kind == b'F' && shared;
                if kind == b'P' {
                    let mut parts = rest[HEADER..].splitn(2, |byte| *byte == 0);
                    link.committing |= parts.nth(1).is_some_and(commits);
                }
                Ok(self.pass(header, at, out))
            }
        }
    }

    /// The message has no way to its shard: the server at hand is made to refuse it.
    #[cold]
    fn refuse_route(&mut self, header: frame::Header, refused: Box<Refused>, link: &mut Exchange, out: &mut Verdicts) -> usize {
        if matches!(header.kind, b'Q' | b'F') {
            self.requests += 1;
            self.unnamed.query();
            link.sent_refused(REFUSED_QUERY, Refusal::Route(refused));
            out.to_server(refused_query);
            return self.drop_message(header);
        }
        self.unnamed.meet(link, out);
        self.refuse(header, Refusal::Route(refused), link, out)
    }

    /// The message goes to the server as it is.
    #[inline]
    pub(super) fn pass(&mut self, header: frame::Header, at: usize, out: &mut Verdicts) -> usize {
        out.forward(at..at + HEADER);
        self.body = header.body;
        self.body_goes_on = true;
        HEADER
    }

    /// Something stands in for the message, which goes nowhere.
    pub(super) fn drop_message(&mut self, header: frame::Header) -> usize {
        self.body = header.body;
        self.body_goes_on = false;
        HEADER
    }

    /// The message is consumed up to `taken`, and the rest of it goes to the server.
    pub(super) fn rest_goes_on(&mut self, header: frame::Header, taken: usize) -> usize {
        self.body = header.total() - taken;
        self.body_goes_on = true;
        taken
    }

    /// Answers of ours whose turn it is.
    #[inline]
    fn give_what_is_due(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        while let Some(due) = link.due() {
            out.answer(|words| say_due(due, words));
        }
    }

    /// The message, if it is small enough to be waited for, or as much of it as is here.
    pub(super) fn text_of<'a>(&mut self, header: frame::Header, rest: &'a [u8], most: usize) -> Result<&'a [u8], Stop> {
        let whole = header.total();
        if whole <= most && rest.len() < whole {
            self.needs = whole;
            return Err(Stop::More);
        }
        Ok(&rest[HEADER..rest.len().min(whole)])
    }

    /// A simple query.
    #[inline]
    fn query(&mut self, header: frame::Header, rest: &[u8], at: usize, link: &mut Exchange, out: &mut Verdicts, shared: bool) -> Result<usize, Stop> {
        let looks = shared || !self.startup.is_empty() && !link.is_skipping();
        if looks {
            let body = self.text_of(header, rest, TEXT_MAX)?;
            let text = body.strip_suffix(b"\0").unwrap_or(body);
            if self.mode == PoolerMode::Statement && begins_transaction(&text[..text.len().min(LOOK_MAX)], true) == Begins::Yes {
                self.requests += 1;
                link.sent_refused(REFUSED_QUERY, Refusal::Begins);
                out.to_server(refused_query);
                return Ok(self.drop_message(header));
            }
            let look = look(text);
            let traits = self.traits_of(&look, text, body.len() < header.body);
            if let Some(refused) = self.hides_route(&look, text) {
                return Ok(self.refuse_route(header, refused, link, out));
            }
            if shared {
                if let Some(taken) = self.statements_in(text, &look, header, link, out)? {
                    return Ok(taken);
                }
                self.unnamed.query();
                if self.caching == PreparedStatements::ExtendedAnonymous
                    && let Some(names) = &mut self.names
                {
                    names.forget(b"");
                }
                asks_sequences(&traits, link, out);
                link.barrier |= may_drop(&traits);
                link.suspicion.add(&traits);
            }
            self.restores(&traits);
        }
        self.requests += 1;
        link.committing |= commits(&rest[HEADER..]);
        link.sent(b'Q');
        if !self.restoring.is_empty() && rest.len() >= header.total() {
            out.forward(at..at + header.total());
            self.restore(link, out);
            return Ok(header.total());
        }
        Ok(self.pass(header, at, out))
    }

    /// A RESET goes back to what the client asked for when it came, which the server does not know.
    #[inline]
    fn restore(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        if !self.restoring.is_empty() {
            self.give_back(link, out);
        }
    }

    /// Whether a text of `length` bytes, of which `text` is here, is refused because it begins a transaction.
    pub(super) fn is_refused(&self, text: &[u8]) -> bool {
        self.mode == PoolerMode::Statement && begins_transaction(&text[..text.len().min(LOOK_MAX)], true) == Begins::Yes
    }

    /// What a text does to the session, and what it says, as far as it is here.
    pub(super) fn look_at<'a>(&self, text: &'a [u8], cut: bool) -> (Look<'a>, Traits) {
        let look = look(text);
        let traits = traits(&look, text, cut);
        (look, traits)
    }
}

/// Appends a Close of our own.
pub(super) fn evict(id: u64, link: &mut Exchange, out: &mut Verdicts) {
    let name = super::statements::name_of(id);
    // Fixed and short.
    out.to_server(|words| _ = close_statement(words, &name));
    link.sent_named(EVICT, id);
}

/// Appends what takes its turn among a server's answers.
pub(super) fn say_due(due: Due, words: &mut Vec<u8>) {
    match due {
        Due::ParseComplete => parse_complete(words),
        Due::CloseComplete => close_complete(words),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
