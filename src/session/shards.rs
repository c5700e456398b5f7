//! A client of a database with shards: which of them its next request goes to, before it has a server, and whether the one at hand is right for it,
//! when it has one.
//!
//! Invariant: nothing is sent to a shard before its route is known, from the very bytes that are sent: a Bind is routed by the text that the
//! statement has by then, with its own values. A request whose route is another shard than the transaction's is refused; it is never sent to the
//! shard at hand because that is there.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::snapshot::PoolerMode;
use crate::route::cluster::Cluster;
use crate::route::large::Question;
use crate::route::request::{Refused, Where};
use crate::route::router::{Bound, Router, Says};
use crate::sql::cursors::may_open;
use crate::sql::look::Look;
use crate::sql::may::May;
use crate::sql::transaction::{hides_route, may_control, starts};
use crate::wire::bind::Values;
use crate::wire::client::Peek;
use crate::wire::client::{bind_names, bind_values, statement_of};
use crate::wire::frame::{self, HEADER};

use super::client::Client;
use super::coordinator::Standing;
use super::exchange::{Exchange, Status};
use super::journal::Journal;
use super::names::Names;
use super::unnamed::Forgotten;

/// A message that decides about the route is waited for as a whole up to this size.
pub(super) const ROUTED_MAX: usize = 16 << 20;

/// What a client knows of its shards.
#[derive(Debug)]
pub struct Shards {
    pub(super) router: Rc<RefCell<Router>>,
    /// as which its statements are executed
    user: Box<str>,
    /// each of its requests goes to one shard
    one_shard: bool,
    /// its EXPLAINs show their route
    explains: bool,
    /// there is one server, and nothing comes of any route: a dry run
    pub(super) dry: bool,
    /// where those of its requests go that any shard can answer
    home: u16,
    /// the shard of the server at hand
    pub(super) at: u16,
    /// what the transaction at hand consists of, for those that join it late
    pub(super) journal: Journal,
    /// statements that may bound transactions, set parameters or open cursors, by their names; `None`: too many to be listed
    telling: Option<Vec<Box<[u8]>>>,
    /// transactions hold one snapshot unless they say otherwise
    pub(super) one_snapshot: bool,
    /// the transaction at hand is kept there by hand
    pub(super) held: bool,
    /// so many of the next Query and Bind messages have been routed, and go there
    pub(super) routed: usize,
    /// the unnamed statement (text, zero byte, types), if its Parse is part of the batch at hand
    pub(super) parsed: Option<Vec<u8>>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Goes {
    To(u16),
    /// more of it must be here first, see `Client::needs`
    More,
    Refused(Box<Refused>),
    /// a helper has to read its text first (`Shards::asks`)
    Unread,
    /// to several shards at once
    Over,
}

/// What the messages up to the next Sync need.
pub(super) enum Ahead {
    Any,
    One(u16),
    /// so many bytes must be here first
    More(usize),
    /// replies must come first
    Wait,
    Refused(Box<Refused>),
    Over,
}

/// The route of one message; None: it has none, and whoever gets it says what is wrong.
pub(super) type Route = Result<Option<Where>, Box<Refused>>;

impl Shards {
    /// For a client of this number, which spreads what any shard can answer.
    pub fn new(router: Rc<RefCell<Router>>, user: &str, number: u64) -> Shards {
        let shards = u64::from(router.borrow().shards().max(1));
        // Below a u16.
        let home = (number % shards) as u16;
        Shards {
            router,
            user: user.into(),
            one_shard: false,
            explains: false,
            dry: false,
            home,
            at: home,
            journal: Journal::default(),
            telling: Some(Vec::new()),
            one_snapshot: false,
            held: false,
            routed: 0,
            parsed: None,
        }
    }

    /// Each of its requests goes to one shard, or else to none.
    pub fn keep_to_one(&mut self, one_shard: bool) {
        self.one_shard = one_shard;
    }

    /// There are none: its requests are looked at as if there were, and go where they went.
    pub fn rehearse(&mut self) {
        self.dry = true;
    }

    /// Its EXPLAINs show their route.
    pub fn explain(&mut self, explains: bool) {
        self.explains = explains;
    }

    /// The text that a helper has to read before what was asked last has a route.
    pub fn asks(&self) -> Option<Arc<Question>> {
        self.router.borrow_mut().asks()
    }

    /// A helper has read it.
    pub fn answered(&self, question: Arc<Question>) {
        self.router.borrow_mut().answered(question);
    }

    /// The unnamed statement, if its Parse is part of the batch at hand.
    pub(super) fn parsed(&self, name: &[u8]) -> Option<&[u8]> {
        self.parsed.as_deref().filter(|_| name.is_empty())
    }

    /// A Parse is part of the batch at hand.
    pub(super) fn keep_parsed(&mut self, body: &[u8]) {
        if let Some((b"", text)) = parse_names(body) {
            let mut kept = self.parsed.take().unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(text);
            self.parsed = Some(kept);
        }
    }

    /// There is none any more.
    pub(super) fn forget_parsed(&mut self) {
        self.parsed = None;
    }

    /// What is known of them.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.router.borrow().cluster()
    }

    /// The route of a simple query's text, or of a Bind; what any shard can answer goes to `here`.
    pub(super) fn route(&self, text: &[u8], bound: Option<&Bound<'_>>, says: &Says<'_>, here: u16) -> Result<Where, Box<Refused>> {
        let says = Says { one_shard: self.one_shard, explains: self.explains.then_some(here), ..*says };
        let mut router = self.router.borrow_mut();
        if self.dry { router.rehearse(text, bound, &says, &self.user) } else { router.route(text, bound, &says, &self.user) }
    }
}

impl Shards {
    /// Where what any shard can answer goes.
    fn here(&self, link: Option<&Exchange>) -> u16 {
        if link.is_some() { self.at } else { self.home }
    }
}

impl Client {
    /// It belongs to a database with shards; None: it does not, or no longer.
    pub fn spread(&mut self, shards: Option<Shards>) {
        self.shards = shards.map(Box::new);
    }

    /// What it knows of its shards, if it has some and no coordinator has it.
    pub fn shards(&self) -> Option<&Shards> {
        self.shards.as_deref()
    }

    /// Where the request at the start of `bytes` goes, no server being at hand.
    pub fn goes(&mut self, bytes: &[u8]) -> Goes {
        let Some(mut shards) = self.shards.take() else { return Goes::Refused(nothing_known()) };
        (shards.parsed, shards.held) = (None, false);
        shards.journal.clear();
        if let Some(text) = &self.begun {
            shards.journal.begins(text);
        }
        let goes = match self.look_ahead(&mut shards, bytes, None) {
            Ahead::Any => Goes::To(shards.home),
            Ahead::One(shard) => Goes::To(shard),
            Ahead::More(needs) => {
                self.needs = needs;
                Goes::More
            }
            // Only a server's replies are waited for.
            Ahead::Wait => Goes::To(shards.home),
            Ahead::Refused(refused) if refused.is_unread() => Goes::Unread,
            Ahead::Refused(refused) => Goes::Refused(refused),
            // What a session has set is known to its own server alone.
            Ahead::Over if self.mode() == PoolerMode::Session => Goes::Refused(kept(shards.at, None)),
            Ahead::Over => Goes::Over,
        };
        if let Goes::To(shard) = goes {
            shards.at = shard;
        }
        self.shards = Some(shards);
        goes
    }

    /// Reads on to the first message that says where the request goes.
    pub(super) fn look_ahead(&self, shards: &mut Shards, bytes: &[u8], link: Option<&Exchange>) -> Ahead {
        let mut at = 0;
        let mut parsed: Vec<(&[u8], &[u8])> = Vec::new();
        shards.routed = 0;
        let mut routed = 0;
        let ahead = loop {
            let header = match frame::client_header(&bytes[at..]) {
                Ok(Some(header)) => header,
                Ok(None) => return Ahead::More(at + HEADER),
                // Whoever reads it says so.
                Err(_) => break Ahead::Any,
            };
            if header.total() > ROUTED_MAX {
                return Ahead::Refused(too_large(header.total()));
            }
            let Some(body) = bytes[at..].get(HEADER..header.total()) else { return Ahead::More(at + header.total()) };
            let route = match header.kind {
                b'Q' if self.awaits_names(text_of_query(body), link) => return Ahead::Wait,
                b'Q' => self.route(shards, text_of_query(body), None, link, shards.here(link)).map(Some),
                b'P' => {
                    parsed.extend(parse_names(body));
                    Ok(None)
                }
                b'B' => {
                    let unnamed = matches!(statement_of(header, body), Peek::Statement(b""));
                    let here = unnamed && parsed.iter().any(|(name, _)| name.is_empty());
                    if !here && link.is_some_and(|link| link.is_unsure() || unnamed && !link.is_quiet_but_for_ours()) {
                        return Ahead::Wait;
                    }
                    self.route_of_bind(shards, body, &parsed, link)
                }
                b'F' => Err(function_call()),
                b'S' | b'H' => break Ahead::Any,
                _ => Ok(None),
            };
            at += header.total();
            routed += usize::from(matches!(header.kind, b'Q' | b'B'));
            match route {
                Ok(Some(Where::One(shard))) => break Ahead::One(shard),
                Ok(Some(Where::Held(shard))) => {
                    shards.held = true;
                    break Ahead::One(shard);
                }
                Ok(Some(Where::Over(_))) => return Ahead::Over,
                Ok(_) if header.kind == b'Q' => break Ahead::Any,
                Ok(_) => {}
                Err(refused) => return Ahead::Refused(refused),
            }
        };
        shards.routed = routed;
        ahead
    }

    /// The route of a Bind.
    pub(super) fn route_of_bind(&self, shards: &Shards, body: &[u8], parsed: &[(&[u8], &[u8])], link: Option<&Exchange>) -> Route {
        let Some((portal, name)) = bind_names(body) else { return Ok(None) };
        let Some(values) = Values::read(&body[portal.len() + name.len() + 2..]) else { return Ok(None) };
        let here = parsed.iter().rev().find(|(known, _)| *known == name).map(|(_, rest)| *rest);
        let prepared = || self.names.as_ref()?.get(name).map(|entry| &*entry.statement.rest);
        let rest = match here.or_else(prepared) {
            None if name.is_empty() => match self.unnamed.rest(link) {
                Ok(rest) => rest,
                Err(Forgotten) => return Err(forgotten()),
            },
            rest => rest,
        };
        let Some(rest) = rest else {
            // A session's own statements are not known here.
            return if self.mode() == PoolerMode::Session { Err(forgotten()) } else { Ok(None) };
        };
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        // Behind the text and the number of types.
        let bound = Bound { values, types: rest.get(end + 3..).unwrap_or_default() };
        self.route(shards, &rest[..end], Some(&bound), link, shards.here(link)).map(Some)
    }

    /// What the session's parameters say about its route, and how its texts are read.
    pub(super) fn says(&self, link: Option<&Exchange>) -> Says<'_> {
        let said = |name| self.profile.get(name);
        Says {
            // What was reset is empty.
            shard: said("pgdog.shard").filter(|shard| !shard.is_empty()),
            key: said("pgdog.sharding_key").filter(|key| !key.is_empty()),
            standard: said("standard_conforming_strings") != Some("off"),
            search_path: said("search_path"),
            encoding: said("client_encoding"),
            unsure: link.is_some_and(|link| link.suspicion.parameters()),
            prepares: self.carries_prepared(),
            // Its shards know.
            one_shard: false,
            explains: None,
        }
    }

    /// Its requests go where their routes lead.
    pub(super) fn is_routed(&self) -> bool {
        self.shards.as_ref().is_some_and(|shards| !shards.dry)
    }

    /// A text sets by a function where statements go: nobody would read it here.
    #[inline]
    pub(super) fn hides_route(&self, look: &Look<'_>, text: &[u8]) -> Option<Box<Refused>> {
        let hides = self.is_routed() && look.may.meets(May::SETS) && hides_route(text, std::iter::empty());
        hides.then(hidden)
    }

    /// What those would have to be told that join this transaction later; or why the message may not pass.
    pub(super) fn note(&self, shards: &mut Shards, kind: u8, body: &[u8], link: &Exchange) -> Option<Box<Refused>> {
        if link.is_free() && matches!(kind, b'Q' | b'P' | b'B') {
            shards.journal.clear();
        }
        match kind {
            b'Q' => {
                let text = text_of_query(body);
                // Outside of a transaction only what begins one matters.
                if (starts(text) || !link.is_free()) && may_control(text) {
                    shards.journal.note(text, true);
                }
                if !link.is_free() && may_open(text) {
                    shards.journal.note_cursors(text, shards.at);
                }
            }
            b'P' => {
                let (name, rest) = parse_names(body)?;
                let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                if let Some(telling) = &mut shards.telling {
                    telling.retain(|known| **known != *name);
                    match (may_control(text) || may_open(text), telling.len() < TELLING_MAX) {
                        (false, _) => {}
                        (true, true) => telling.push(name.into()),
                        (true, false) => shards.telling = None,
                    }
                }
            }
            b'B' => {
                let (portal, name) = bind_names(body)?;
                let tells = shards.telling.as_ref().is_none_or(|telling| telling.iter().any(|known| **known == *name));
                let text = if tells { self.text_bound(shards, name, link) } else { None };
                if let Some(text) = text.filter(|text| may_control(text) || may_open(text)) {
                    if hides_route(&text, bind_values(body)) {
                        return Some(hidden());
                    }
                    let values = Values::read(&body[portal.len() + name.len() + 2..]);
                    shards.journal.note(&text, values.is_some_and(|values| values.is_empty()));
                    if may_open(&text) {
                        shards.journal.note_cursors(&text, shards.at);
                    }
                }
            }
            _ => {}
        }
        None
    }

    /// The text of the statement that a Bind names.
    fn text_bound(&self, shards: &Shards, name: &[u8], link: &Exchange) -> Option<Box<[u8]>> {
        let parsed = shards.parsed.as_deref().filter(|_| name.is_empty());
        let rest = parsed.or_else(|| self.statement_rest(name, Some(link)))?;
        rest.split(|byte| *byte == 0).next().map(Into::into)
    }

    /// A statement that it has prepared: its text, a zero byte, its parameters' types.
    pub(super) fn statement_rest(&self, name: &[u8], link: Option<&Exchange>) -> Option<&[u8]> {
        let known = self.names.as_ref().and_then(|names| names.get(name)).map(|entry| &*entry.statement.rest);
        known.or_else(|| if name.is_empty() { self.unnamed.rest(link).ok().flatten() } else { None })
    }

    /// The text of the statement without a name is not known here any more, so that nobody may say where it goes.
    pub(super) fn has_forgotten(&self, name: &[u8], link: Option<&Exchange>) -> bool {
        name.is_empty() && self.unnamed.rest(link).is_err()
    }

    /// Where its session stands, for whoever takes over.
    pub fn standing(&self, link: Option<&Exchange>) -> Standing {
        let unsynced = link.is_some_and(Exchange::is_unsynced);
        let told = link.is_some_and(|link| link.status() != Status::Idle);
        // In the batch at hand nobody has told yet.
        let noted = unsynced && self.shards.as_ref().is_some_and(|shards| shards.journal.has_begun());
        Standing { begun: told || noted || self.has_begun(), unsynced }
    }

    /// Its view of the shards goes to whoever takes over.
    pub fn take_shards(&mut self) -> Option<Box<Shards>> {
        self.shards.take()
    }

    /// And comes back.
    pub fn give_shards(&mut self, shards: Box<Shards>) {
        self.shards = Some(shards);
    }

    /// A session of the same client for another shard: it wants the same parameters, shares its statements the same way, and has what SQL has
    /// prepared.
    pub fn sibling(&self) -> Client {
        let mut sibling = Client::new(self.mode(), self.number);
        sibling.caching = self.caching;
        sibling.front.clone_from(&self.front);
        sibling.profile.clone_from(&self.profile);
        sibling.startup.clone_from(&self.startup);
        sibling.names = self.names.as_deref().and_then(Names::carried).map(Box::new);
        sibling
    }
}

/// Names of statements that are remembered because they may matter to those who join late; beyond it every Bind is looked at.
const TELLING_MAX: usize = 64;

/// A route that is set where nobody reads it here.
pub(super) fn hidden() -> Box<Refused> {
    Refused::unsupported("set_config() of a parameter that decides where statements go", "Use SET pgdog.shard or SET pgdog.sharding_key.")
}

pub(super) fn kept(at: u16, shard: Option<u16>) -> Box<Refused> {
    let needs = shard.map_or("several shards".to_string(), |shard| format!("shard {shard}"));
    Refused::unsupported(
        format!("the session is kept on shard {at}, and this statement needs {needs}"),
        "SHOW CLIENTS says why it is kept: temporary tables, cursors WITH HOLD, advisory locks, or pooler_mode = \"session\".",
    )
}

fn nothing_known() -> Box<Refused> {
    Refused::unsupported("nothing is known of the shards of this database", "Look at the log of pg_dog.")
}

pub(super) fn text_of_query(body: &[u8]) -> &[u8] {
    body.strip_suffix(b"\0").unwrap_or(body)
}

pub(super) fn forgotten() -> Box<Refused> {
    Refused::unsupported("the text of the prepared statement is not known here, so that it has no route", "Send its Parse and its Bind in one batch.")
}

/// A Parse's name, and what stands behind it.
pub(super) fn parse_names(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = body.splitn(2, |byte| *byte == 0);
    Some((parts.next()?, parts.next()?))
}

pub(super) fn function_call() -> Box<Refused> {
    Refused::unsupported("a function call by the fast path has no route to a shard", "Call the function in a SELECT.")
}

pub(super) fn too_large(bytes: usize) -> Box<Refused> {
    let message = format!("a message of {bytes} bytes is too large to find its shard (the most is {ROUTED_MAX})");
    Box::new(Refused { code: "54000", message, detail: None, hint: Some("Send large values in parts, or name the shard by pgdog.shard.") })
}

#[cfg(test)]
#[path = "shards_tests.rs"]
mod tests;
