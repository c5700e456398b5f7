//! What a server holds under names of its clients' own: statements of SQL's PREPARE, which with `prepared_statements = "full"` do not keep their
//! client at its server, and copies of a client's protocol statements, made for a text of SQL that speaks of them by name.
//!
//! Which statements SQL has made is not guessed from texts: behind a transaction that may have, the server is asked (`inquiry`), and its list says
//! their texts as well. A client keeps those (`Names::made`); where a text of its speaks of one that the server at hand lacks, the PREPARE goes there
//! in front of it once more. If that fails, the client gets its error in place of the one that its own text then comes to.
//!
//! Invariant: in front of a text that may speak of statements, the server holds nothing here but what the client at hand has by these names. What is
//! another's goes when a client comes (`excess`), or when it becomes known, by Closes, which cannot fail.

use std::sync::Arc;

use super::Verdicts;
use super::client::{Client, Stop};
use super::exchange::{Exchange, OUR_CLOSE, OUR_MAKE, OUR_REPLAY, OUR_STEP, OUR_SYNC, Refusal, Status};
use super::names::{Prepared, key};
use super::statements::{PREFIX, Traits};
use super::suspicion::{Pins, traits};
use crate::sql::look::{Look, Statement as Text, look};
use crate::sql::may::May;
use crate::sql::mention::{Named, mentions, named};
use crate::wire::client::{bind_again, close_portal, close_statement, execute, parse, parse_again, query, sync};
use crate::wire::server::data_row_values;

/// Bytes of a PREPARE up to which it is kept; the client of a larger one keeps its server.
pub const MADE_MAX: usize = 16 * 1024;
/// Names that a text may bring to a server in front of it; what is beyond that the server does not know, and says so.
const BRINGS_MAX: usize = 1000;
/// What a replay is called on a server while it is at work.
const REPLAY: &[u8] = b"__pgdog_replay";

/// SQL that lists what functions have prepared: its rows are read by `left`.
pub(super) const LEFT: &str = "SELECT 'left',pg_catalog.encode(pg_catalog.convert_to(name,'UTF8'),'hex') \
    FROM pg_catalog.pg_prepared_statements WHERE from_sql;";

/// A text may speak of statements by their names in SQL.
pub const SPEAKS: May = May::PREPARES.with(May::CALLS);

/// One name on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Here {
    name: Box<[u8]>,
    /// the client that has made it; 0 = nobody knows
    owner: u64,
    /// of a statement of the protocol
    copy: bool,
    /// its PREPARE, if it can be made elsewhere
    text: Option<Arc<[u8]>>,
}

/// One name as the server tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub name: Box<[u8]>,
    /// it is one of the protocol
    pub copy: bool,
    /// its PREPARE, if it can be made elsewhere
    pub text: Option<Arc<[u8]>>,
}

/// What has become known about a name of the client at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub name: Box<[u8]>,
    /// it is one of the protocol
    pub copy: bool,
    /// its PREPARE; None = it is gone
    pub text: Option<Arc<[u8]>>,
}

/// The names on one server.
#[derive(Debug, Default)]
pub struct Made {
    here: Vec<Here>,
    /// who is at hand
    client: u64,
    /// what the client at hand has not learned yet
    pub news: Vec<News>,
    /// there may be news: the server has told all that there is
    pub told: bool,
    /// the client at hand waits for that, and nothing but a message of ours keeps the server for it
    waits: bool,
    /// the server has been asked what others have left, and has not answered
    pub asked: bool,
}

impl Made {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.here.is_empty()
    }

    /// The server has one of this name.
    pub fn holds(&self, name: &[u8]) -> bool {
        self.here.iter().any(|known| *known.name == *key(name))
    }

    /// The server is being given one.
    fn put(&mut self, name: &[u8], text: Option<Arc<[u8]>>) {
        self.remove(name);
        self.here.push(Here { name: key(name).into(), owner: self.client, copy: text.is_none(), text });
    }

    /// It has not come there, or goes.
    pub fn remove(&mut self, name: &[u8]) {
        self.here.retain(|known| *known.name != *key(name));
    }

    /// All are gone.
    pub fn clear(&mut self) {
        self.here.clear();
        self.news.clear();
    }

    /// Something is there that nobody at hand has made.
    pub fn found(&mut self, name: &[u8]) {
        if !self.holds(name) && self.here.len() < BRINGS_MAX {
            self.here.push(Here { name: name.into(), owner: 0, copy: false, text: None });
        }
    }

    /// The server has said all that there is.
    pub fn told(&mut self, all: Vec<Told>) {
        self.told = true;
        for known in std::mem::take(&mut self.here) {
            if known.owner == self.client && !all.iter().any(|told| (&told.name, told.copy) == (&known.name, known.copy)) {
                self.news.push(News { name: known.name, copy: known.copy, text: None });
            }
        }
        for Told { name, copy, text } in all {
            if text.is_some() {
                self.news.push(News { name: name.clone(), copy, text: text.clone() });
            }
            self.here.push(Here { name, owner: self.client, copy, text });
        }
    }

    /// A client has come: names that it does not have so, which go.
    fn excess(&mut self, has: impl Fn(&[u8], &[u8]) -> bool) -> Vec<Box<[u8]>> {
        let client = self.client;
        self.take(|known| known.owner == client && known.text.as_ref().is_some_and(|text| has(&known.name, text)))
    }

    /// What nobody at hand has made, which goes.
    fn strange(&mut self) -> Vec<Box<[u8]>> {
        let client = self.client;
        self.take(|known| known.owner == client)
    }

    fn has_strange(&self) -> bool {
        self.here.iter().any(|known| known.owner != self.client)
    }

    fn take(&mut self, stays: impl Fn(&Here) -> bool) -> Vec<Box<[u8]>> {
        let (stay, go) = std::mem::take(&mut self.here).into_iter().partition(stays);
        self.here = stay;
        go.into_iter().map(|known| known.name).collect()
    }
}

/// The PREPARE of a statement as the server tells it, if another server can be given the same by it: it is one statement, and means the same there.
pub fn replayable(name: &[u8], text: &[u8]) -> bool {
    let look = look(text);
    let same = matches!(look.statement, Text::Prepare { name: said } if key(&said.name()) == name);
    same && text.is_ascii() && !look.may.contains(May::NOW) && !name.starts_with(PREFIX)
}

/// What the client at hand is to a text that speaks of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// a simple query
    Query,
    /// a message of the extended protocol
    Extended,
}

impl Client {
    /// A client comes to a server: what is there of others, or not any more of its own, goes.
    #[inline]
    pub(super) fn clears(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        link.made.client = self.number;
        link.made.waits = false;
        if !link.made.is_empty() {
            let names = self.names.as_deref();
            let has = |name: &[u8], text: &[u8]| names.and_then(|names| names.made(name)).is_some_and(|made| *made.text == *text);
            let go = link.made.excess(has);
            close_all(&go, Spoken::Query, link, out);
        }
    }

    /// A text may speak of statements by their names in SQL: the server shall know them, and no others. Some: it is refused.
    #[cold]
    pub(super) fn speaks(
        &mut self,
        text: &[u8],
        look: &Look<'_>,
        how: Spoken,
        link: &mut Exchange,
        out: &mut Verdicts,
    ) -> Result<Option<Refusal>, Stop> {
        let says = look.may.contains(May::PREPARES) || look.statement.name_of_statement().is_some();
        if !says && self.names.as_ref().is_none_or(|names| names.all_made().next().is_none()) {
            return Ok(None);
        }
        // What others have left goes first, and nothing may skip that.
        if link.made.asked && !link.is_unsynced() {
            // Whoever waits keeps the server.
            out.to_server(|words| _ = close_statement(words, REPLAY));
            link.sent(OUR_CLOSE);
            link.made.waits = true;
        }
        if link.made.asked || link.made.has_strange() && !link.is_quiet_but_for_ours() && link.is_active() {
            return Err(self.wait(link, out));
        }
        if std::mem::take(&mut link.made.waits) && how == Spoken::Query {
            out.to_server(sync);
            link.sent(OUR_SYNC);
        }
        if says && let Some(refusal) = reserved(text, look) {
            return Ok(Some(refusal));
        }
        let strange = link.made.strange();
        close_all(&strange, how, link, out);
        let mut wanted = self.wanted(text, look, says);
        if !wanted.is_empty() && link.is_unsure() {
            return Err(self.wait(link, out));
        }
        wanted.retain(|name| !link.made.holds(name));
        if link.status() == Status::Failed {
            // The server refuses all that would use them, unless the transaction ends with what is not answered yet.
            let decided = wanted.is_empty() || !link.is_active();
            return if decided { Ok(None) } else { Err(self.wait(link, out)) };
        }
        // A Sync of ours must not end what the server skips: nothing that it may skip is outstanding then.
        let syncs = how == Spoken::Query && !link.is_unsynced();
        if !wanted.is_empty() && syncs && !link.is_quiet_but_for_ours() {
            return Err(self.wait(link, out));
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        // What the client has not ended goes on, and nothing in between may end it.
        let how = if link.is_unsynced() { Spoken::Extended } else { how };
        if how == Spoken::Extended {
            self.unnamed.meet(link, out);
        }
        for name in wanted {
            self.bring_statement(&name, how, link, out);
        }
        Ok(None)
    }

    /// A text goes to the server to be carried out: the tags of its statements come in their order.
    pub(super) fn tells(&mut self, text: &[u8], look: &Look<'_>, link: &mut Exchange) {
        if !look.may.contains(May::PREPARES) && look.statement.name_of_statement().is_none() {
            return;
        }
        let Named { prepared, deallocated } = named(text);
        if !(prepared.is_empty() && deallocated.is_empty()) {
            let carries = self.carries_prepared();
            let names = self.names.get_or_insert_default();
            let kept = |name: &[u8]| (carries && text.len() <= MADE_MAX && replayable(name, text)).then(|| text.into());
            let made = prepared.into_iter().take(BRINGS_MAX).map(|name| (name.name().as_ref().into(), kept(&name.name())));
            names.preparing.extend(made);
            names.deallocating.extend(deallocated.into_iter().take(BRINGS_MAX).map(|name| name.name().as_ref().into()));
            link.barrier = true;
        }
    }

    /// The names of the client's that a text speaks of, or may.
    fn wanted(&self, text: &[u8], look: &Look<'_>, says: bool) -> Vec<Box<[u8]>> {
        let Some(names) = self.names.as_deref() else { return Vec::new() };
        let mut wanted: Vec<Box<[u8]>> = Vec::new();
        if says {
            mentions(text, |word| {
                let known = !word.is_empty() && (names.made(word).is_some() || names.get(word).is_some());
                if known && wanted.len() < BRINGS_MAX {
                    wanted.push(key(word).into());
                }
            });
        }
        // What a function runs no text shows.
        if look.may.contains(May::CALLS) {
            wanted.extend(names.all_made().take(BRINGS_MAX).map(Box::from));
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Gives the server one that the client has.
    pub(super) fn bring_statement(&mut self, name: &[u8], how: Spoken, link: &mut Exchange, out: &mut Verdicts) {
        let Some(names) = self.names.as_deref() else { return };
        match (names.made(name).map(|made| made.text.clone()), how) {
            (Some(text), Spoken::Query) => {
                link.made.put(name, Some(text.clone()));
                // It came in one message.
                out.to_server(|words| _ = query(words, &text));
                link.sent_made(OUR_REPLAY, name);
            }
            (Some(text), Spoken::Extended) => {
                link.made.put(name, Some(text.clone()));
                out.to_server(|words| replay(words, &text));
                [OUR_CLOSE, OUR_CLOSE, OUR_STEP, OUR_STEP].into_iter().for_each(|kind| link.sent(kind));
                link.sent_made(OUR_MAKE, name);
            }
            (None, _) => {
                let Some(entry) = names.get(name) else { return };
                link.made.put(name, None);
                out.to_server(|words| {
                    // As long as the client's own were.
                    let _ = close_statement(words, name);
                    let _ = parse_again(words, name, &entry.statement.rest);
                });
                link.sent(OUR_CLOSE);
                link.sent_made(OUR_MAKE, name);
                if how == Spoken::Query {
                    out.to_server(sync);
                    link.sent(OUR_SYNC);
                }
            }
        }
    }

    /// The unnamed statement was parsed at another server, and may speak of statements by their names: the one at hand shall know those too, and in
    /// front of it, because PostgreSQL looks up what EXECUTE returns when that is parsed. Some: it is refused.
    #[cold]
    pub(super) fn unnamed_speaks(&mut self, link: &mut Exchange, out: &mut Verdicts) -> Result<Option<Refusal>, Stop> {
        // A DEALLOCATE that stands for another has a way of its own.
        if !self.unnamed.is_elsewhere() || self.names.as_ref().is_none_or(|names| names.unnamed_drops.is_some()) {
            return Ok(None);
        }
        let Ok(Some(rest)) = self.unnamed.rest(None) else { return Ok(None) };
        let text: Box<[u8]> = rest.split(|byte| *byte == 0).next().unwrap_or_default().into();
        let (look, _) = self.look_at(&text, false);
        let refusal = self.speaks(&text, &look, Spoken::Extended, link, out)?;
        if refusal.is_none() {
            self.unnamed.again(link, out);
            self.tells(&text, &look, link);
        }
        Ok(refusal)
    }

    /// Whether something that no text showed, a DO or a function, may have prepared one of this name at the server at hand. In a failed transaction
    /// the server refuses most texts before it looks at their names.
    pub(super) fn may_be_hidden(&self, name: &[u8], link: &Exchange) -> bool {
        let may = link.suspicion.may.meets(SPEAKS) || link.pins.contains(Pins::PREPARED);
        may && !name.is_empty() && !name.starts_with(PREFIX) && !link.made.asked && link.status() != Status::Failed
    }

    /// The server refuses the client's Parse in its own words if it has one of this name: it is given one that does nothing, which goes at once.
    #[cold]
    pub(super) fn claim(&mut self, name: &[u8], link: &mut Exchange, out: &mut Verdicts) {
        // Others' are not the client's.
        let strange = link.made.strange();
        close_all(&strange, Spoken::Extended, link, out);
        out.to_server(|words| {
            // As long as the client's own was.
            let _ = parse(words, name, b"", &[]);
            let _ = close_statement(words, name);
        });
        link.sent(OUR_STEP);
        link.sent(OUR_CLOSE);
    }

    /// The copy of a statement goes with it.
    pub(super) fn drop_copy(&mut self, name: &[u8], how: Spoken, link: &mut Exchange, out: &mut Verdicts) {
        if link.made.holds(name) && !link.is_skipping() {
            link.made.remove(name);
            close_all(&[key(name).into()], how, link, out);
        }
    }

    /// What a text does; what EXECUTE runs is known if its statement is.
    pub(super) fn traits_of(&self, look: &Look<'_>, text: &[u8], cut: bool) -> Traits {
        let known = match &look.statement {
            Text::Execute { name } if !cut => self.names.as_deref().and_then(|names| names.prepared(&name.name())),
            _ => None,
        };
        known.map_or_else(|| traits(look, text, cut), |made| Traits { may: look.may | made.traits.may, ..made.traits.clone() })
    }
}

/// A text that speaks of statements says a name that only ours have.
fn reserved(text: &[u8], look: &Look<'_>) -> Option<Refusal> {
    let mut ours = false;
    mentions(text, |word| ours |= word.starts_with(PREFIX));
    ours.then(|| match look.statement {
        Text::Execute { name } | Text::Deallocate { name } if name.name().starts_with(PREFIX) => Refusal::Unknown(name.name().as_ref().into()),
        _ => Refusal::Reserved,
    })
}

/// A row of the answer what others have left.
pub(super) fn left(body: &[u8]) -> Option<Vec<u8>> {
    let [kind, name] = data_row_values(body)?;
    let name = name.filter(|_| kind == Some(b"left"))?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    name.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Appends the protocol's messages that run a PREPARE between those of a client.
fn replay(words: &mut Vec<u8>, text: &[u8]) {
    // They came in one message, and the rest is fixed and short.
    let _ = close_statement(words, REPLAY);
    let _ = close_portal(words, REPLAY);
    let _ = parse(words, REPLAY, text, &[]);
    bind_again(words, REPLAY, REPLAY, 6);
    words.extend_from_slice(&[0; 6]);
    let _ = execute(words, REPLAY);
}

/// Closes these, between whatever else is sent.
fn close_all(names: &[Box<[u8]>], how: Spoken, link: &mut Exchange, out: &mut Verdicts) {
    let inside = link.is_unsynced() || how == Spoken::Extended;
    for name in names {
        // They have been names before.
        out.to_server(|words| _ = close_statement(words, name));
        link.sent(OUR_CLOSE);
    }
    if !names.is_empty() && !inside {
        out.to_server(sync);
        link.sent(OUR_SYNC);
    }
}

/// What is kept of a PREPARE.
pub(super) fn prepared(text: Arc<[u8]>) -> Prepared {
    let look = look(&text);
    let traits = traits(&look, &text, false);
    let may = traits.may.without(May::PREPARES);
    Prepared { traits: Traits { may, ..traits }, text }
}

#[cfg(test)]
#[path = "made_tests.rs"]
mod tests;
