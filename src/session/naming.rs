//! A client's messages about prepared statements, on a server it shares. A named statement goes by a name of ours (`Statement::name`), the same
//! for all clients that prepare the same; where a server lacks it, it is prepared there in front of the message that needs it, and where it is
//! there, a Parse is answered by us in its turn. So the client has the statements it has prepared, whichever server it is at, and never
//! another's.
//!
//! Nobody knows when a message is sent whether it will be carried out: an error skips all up to the Sync. Inside one batch that does not matter,
//! what depends on a change is skipped with it. Across batches it does: then the message waits (`Stop::Full`) until the earlier one is answered.
//! That happens when statements are prepared or closed in a pipeline, not when they are used.
//!
//! A statement whose rows were described to its client keeps their shape: prepared again after a change of the schema it might return other
//! columns than the client's driver decodes, which PostgreSQL refuses ("cached plan must not change result type"), and so do we.

use crate::config::snapshot::PreparedStatements;
use crate::route::request::Refused;
use crate::sql::look::{Look, Statement as Text};
use crate::sql::may::May;
use crate::wire::client::{Peek, bind_again, bind_names, describe_statement, parse, parse_again, statement_of};
use crate::wire::frame::{self, HEADER};

use super::Verdicts;
use super::client::{Client, Stop, evict};
use super::control::commits;
use super::exchange::{
    Exchange, FORGET, HAD_CLOSE, HAD_PARSE, NAMED_DESCRIBE, NAMED_PARSE, OUR_DESCRIBE, OUR_PREPARE, RAW_PARSE, REFUSED, REFUSED_QUERY, Refusal,
    Status, UNKNOWN, refused_message, refused_query,
};
use super::made::{SPEAKS, Spoken};
use super::names::{Entry, key};
use super::restore::asks_sequences;
use super::shelf::Has;
use super::statements::{Folds, PREFIX, SCRATCH, Statement, Traits, id_in, name_of};
use super::suspicion::{Pins, UNSEEN};
use super::unnamed::UNNAMED_MAX;

/// A named statement's Parse up to this size is kept to be prepared again; the client of a larger one keeps its server.
pub(super) const STATEMENT_MAX: usize = 256 * 1024;
/// Bytes of a message that are looked at to find a statement's name.
const NAMES_MAX: usize = 1024;

/// Where a message stands: its header, it and what follows it as far as that is here, where it begins in what was given.
type At<'a> = (frame::Header, &'a [u8], usize);

impl Client {
    /// A message of the extended protocol about statements; returns how much of it is consumed.
    pub(super) fn extended(&mut self, header: frame::Header, rest: &[u8], at: usize, link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        if header.kind == b'E' {
            self.unnamed.meet_aside(link, out);
            link.sent(b'E');
            return Ok(self.pass(header, at, out));
        }
        let body = &rest[HEADER..rest.len().min(header.total())];
        let peek = statement_of(header, &body[..body.len().min(NAMES_MAX)]);
        let name = match peek {
            Peek::Statement(name) => name,
            Peek::NeedMore if body.len() < header.body.min(NAMES_MAX) => return Err(Stop::More),
            Peek::NeedMore | Peek::TooLong if header.body > NAMES_MAX && header.kind != b'C' => {
                self.unnamed.meet(link, out);
                return Ok(self.refuse(header, Refusal::Unknown(b"(a name of more than 1000 bytes)"[..].into()), link, out));
            }
            // A portal's, or a malformed message, which the server refuses.
            _ => {
                if matches!((header.kind, peek), (b'C', Peek::Portal(_))) {
                    self.unnamed.pass(link, out);
                } else {
                    self.unnamed.meet(link, out);
                }
                return Ok(self.plain(header, at, link, out, UNKNOWN));
            }
        };
        let anonymous = self.caching == PreparedStatements::ExtendedAnonymous;
        let message = (header, rest, at);
        match header.kind {
            b'P' if name.is_empty() && (!anonymous || header.total() > STATEMENT_MAX) => {
                if let Some(names) = &mut self.names {
                    names.forget(b"");
                }
                self.unnamed_parse(message, link, out)
            }
            b'P' if self.caching == PreparedStatements::Disabled || header.total() > STATEMENT_MAX => self.raw_parse(message, name, link, out),
            b'P' => self.named_parse(message, name, link, out),
            b'C' if name.is_empty() && header.body == 2 && !anonymous => {
                self.unnamed.close(link);
                link.sent(FORGET);
                Ok(self.pass(header, at, out))
            }
            b'C' => self.named_close(message, name, link, out),
            _ => self.named_use(message, name, link, out),
        }
    }

    /// The message goes to the server as it is.
    fn plain(&mut self, header: frame::Header, at: usize, link: &mut Exchange, out: &mut Verdicts, tag: u128) -> usize {
        link.sent_as(header.kind, tag);
        self.pass(header, at, out)
    }

    /// The message is refused, and skips what follows as any other.
    pub(super) fn refuse(&mut self, header: frame::Header, why: Refusal, link: &mut Exchange, out: &mut Verdicts) -> usize {
        link.sent_refused(REFUSED, why);
        out.to_server(refused_message);
        self.drop_message(header)
    }

    /// The message waits until what was sent is answered.
    pub(super) fn wait(&mut self, link: &mut Exchange, out: &mut Verdicts) -> Stop {
        out.to_server(|words| link.flush(words));
        Stop::Full
    }

    /// A Parse of the unnamed statement, which must be there whole first.
    #[inline]
    fn unnamed_parse(&mut self, (header, rest, at): At<'_>, link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        let body = self.text_of(header, rest, UNNAMED_MAX)?;
        let whole = header.total();
        let message = &rest[..rest.len().min(whole)];
        // Behind the empty name.
        let text = text_in(&body[1..]);
        if self.is_refused(text) {
            self.unnamed.meet(link, out);
            return Ok(self.refuse(header, Refusal::Begins, link, out));
        }
        let (look, traits) = self.look_at(text, message.len() < whole);
        if let Some(names) = &mut self.names {
            names.unnamed_drops = None;
        }
        if let Text::Deallocate { name } = &look.statement
            && self.is_ours(&name.name())
        {
            let name: Box<[u8]> = name.name().as_ref().into();
            return self.parse_deallocate(header, &name, traits, link, out);
        }
        if speaks(&look)
            && let Some(why) = self.speaks(text, &look, Spoken::Extended, link, out)?
        {
            self.unnamed.meet(link, out);
            return Ok(self.refuse(header, why, link, out));
        }
        self.tells(text, &look, link);
        link.barrier |= matches!(look.statement, Text::DeallocateAll | Text::DiscardAll) || may_drop(&traits);
        asks_sequences(&traits, link, out);
        self.restores(&traits);
        if traits.is_nothing() && self.unnamed_does_nothing() {
            // As nearly always.
        } else if link.is_active() {
            // This Parse may be skipped, and leave the one before.
            let before = self.unnamed_does(Traits::default());
            self.unnamed_does(Traits {
                may: before.may | traits.may,
                sets: [before.sets, traits.sets].concat(),
                values: before.values || traits.values,
                ..traits
            });
        } else {
            self.unnamed_does(traits);
        }
        link.committing |= commits(text);
        let tag = self.unnamed.parse(message, whole, link, out);
        Ok(self.plain(header, at, link, out, tag))
    }

    /// A Parse that is not kept: its client stays where it is.
    fn raw_parse(&mut self, (header, _, at): At<'_>, name: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        self.unnamed.meet(link, out);
        if name.starts_with(PREFIX) {
            return Ok(self.refuse(header, Refusal::Exists(name.into()), link, out));
        }
        if self.is_routed() {
            return Ok(self.refuse(header, Refusal::Route(not_kept()), link, out));
        }
        if self.names.as_ref().is_some_and(|names| names.get(name).is_some()) {
            // Prepared when `prepared_statements` was another.
            return Ok(self.refuse(header, Refusal::Exists(name.into()), link, out));
        }
        link.pins = link.pins.with(Pins::NAMED);
        link.suspicion.add(&Traits { may: UNSEEN, ..Traits::default() });
        link.sent(RAW_PARSE);
        Ok(self.pass(header, at, out))
    }

    fn named_parse(&mut self, (header, rest, at): At<'_>, name: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        let body = self.text_of(header, rest, STATEMENT_MAX)?;
        if link.is_unsure() {
            return Err(self.wait(link, out));
        }
        self.unnamed.meet_aside(link, out);
        let behind = &body[name.len() + 1..];
        let text = text_in(behind);
        if !is_parse(behind, text.len()) {
            link.sent(RAW_PARSE);
            return Ok(self.pass(header, at, out));
        }
        if self.is_refused(text) {
            return Ok(self.refuse(header, Refusal::Begins, link, out));
        }
        let (look, _) = self.look_at(text, false);
        if speaks(&look)
            && let Some(why) = self.speaks(text, &look, Spoken::Extended, link, out)?
        {
            return Ok(self.refuse(header, why, link, out));
        }
        let names = self.names.get_or_insert_default();
        let exists = !name.is_empty() && names.exists(name);
        if !names.has_room(name, behind.len()) {
            return Ok(self.refuse(header, Refusal::TooMany, link, out));
        }
        let statement = self.statement(behind, text, link);
        asks_sequences(&statement.traits, link, out);
        let hidden = !exists && self.may_be_hidden(name, link);
        let had = match link.shelf.has(statement.id, link.batch()) {
            Has::Unsure => return Err(self.wait(link, out)),
            // In a failed transaction most texts are refused, and only the server says which.
            Has::Yes(_) if link.has_earlier() => return Err(self.wait(link, out)),
            Has::Yes(_) => true,
            Has::Old => {
                evict(statement.id, link, out);
                link.shelf.is_gone(statement.id);
                false
            }
            Has::No => false,
        };
        if had && !exists && !hidden {
            link.sent_named(HAD_PARSE, statement.id);
        } else if !had {
            self.make_room(link, out);
            // Longer by our name at most, and bounded by `STATEMENT_MAX`.
            out.to_server(|words| _ = parse_again(words, &statement.name, &statement.rest));
            link.sent_named(if exists || hidden { OUR_PREPARE } else { NAMED_PARSE }, statement.id);
        }
        if hidden {
            self.claim(name, link, out);
            link.sent_named(HAD_PARSE, statement.id);
        }
        if exists {
            // What is wrong with the text comes first.
            return Ok(self.refuse(header, Refusal::Exists(name.into()), link, out));
        }
        if let Some(names) = &mut self.names {
            names.parse(name, statement);
        }
        Ok(header.total())
    }

    /// The statement of a Parse, shared if it can be.
    fn statement(&self, behind: &[u8], text: &[u8], link: &Exchange) -> std::sync::Arc<Statement> {
        let (look, traits) = self.look_at(text, false);
        let Some(front) = &self.front else { return super::statements::alone(behind, traits) };
        let mut front = front.borrow_mut();
        // What its literals mean depends on when it is parsed, or on parameters that nobody knows now.
        // In a failed transaction only the server says what is refused: under a name that it surely has not.
        let refused = link.status() == Status::Failed && !ends_transaction(text);
        // What EXECUTE stands for is its client's own.
        if traits.may.meets(May::NOW.with(May::PREPARES)) || link.suspicion.parameters() || refused {
            return front.library().private(behind, traits);
        }
        // No literals, no names: one for all, which may have been prepared without a server.
        if matches!(look.statement, Text::Begin | Text::Commit | Text::Rollback) {
            return front.find(behind, &Folds::default(), || traits);
        }
        let folds = Folds { parameters: self.profile.folds().clone(), schema: link.schema };
        front.find(behind, &folds, || traits)
    }

    /// One more statement comes to the server: another may have to go.
    fn make_room(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        if let Some(id) = link.shelf.victim() {
            evict(id, link, out);
        }
    }

    fn named_close(&mut self, (header, rest, at): At<'_>, name: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        let known = self.names.as_ref().is_some_and(|names| names.get(name).is_some()) && header.body == name.len() + 2;
        // A PREPARE that is at work may be the one that this Close closes.
        let preparing = self.names.as_ref().is_some_and(|names| !names.preparing.is_empty());
        if (known || preparing) && link.is_unsure() {
            return Err(self.wait(link, out));
        }
        self.unnamed.pass(link, out);
        match &mut self.names {
            Some(names) if known && rest.len() >= header.total() => {
                link.sent_named(HAD_CLOSE, SCRATCH);
                names.close(name);
                self.drop_copy(name, Spoken::Extended, link, out);
                Ok(header.total())
            }
            // Closing what does not exist is no error. What is ours is not the client's to close.
            _ if name.starts_with(PREFIX) => {
                link.sent_named(HAD_CLOSE, SCRATCH);
                self.names.get_or_insert_default().close(name);
                Ok(self.drop_message(header))
            }
            _ => {
                self.uses_made(name, link, out);
                if let Some(names) = &mut self.names {
                    names.closes(name);
                }
                Ok(self.plain(header, at, link, out, UNKNOWN))
            }
        }
    }

    /// The unnamed statement may be a DEALLOCATE, parsed in an earlier batch.
    fn unnamed_drops(&mut self, link: &mut Exchange, out: &mut Verdicts) -> Result<(), Stop> {
        let Some(names) = self.names.as_deref_mut() else { return Ok(()) };
        let Some(name) = names.unnamed_drops.as_ref().filter(|name| !names.deallocating.contains(name)).cloned() else { return Ok(()) };
        if link.is_unsure() {
            return Err(self.wait(link, out));
        }
        // Without it the server says that there is none.
        if names.get(&name).is_some() {
            names.deallocating.push_back(name.clone());
            self.unnamed.meet(link, out);
            prepare_scratch(link, out);
            self.drop_copy(&name, Spoken::Extended, link, out);
        }
        Ok(())
    }

    /// The protocol speaks of what SQL may have made.
    fn uses_made(&mut self, name: &[u8], link: &mut Exchange, out: &mut Verdicts) {
        let made = self.names.as_ref().is_some_and(|names| names.made(name).is_some());
        if made && !link.made.holds(name) {
            self.unnamed.meet(link, out);
            self.bring_statement(name, Spoken::Extended, link, out);
        }
        if made || link.pins.contains(Pins::PREPARED) || link.pins.contains(Pins::NAMED) {
            link.suspicion.add(&Traits { may: UNSEEN, ..Traits::default() });
        }
    }

    /// The same of the unnamed statement.
    fn unnamed_use(&mut self, (header, rest, at): At<'_>, link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        if self.unnamed_traits().may.meets(SPEAKS)
            && let Some(why) = self.unnamed_speaks(link, out)?
        {
            self.unnamed.meet(link, out);
            return Ok(self.refuse(header, why, link, out));
        }
        if header.kind == b'B' {
            self.binds_names(self.unnamed_traits().values, header, rest, link)?;
            self.unnamed_drops(link, out)?;
            asks_sequences(self.unnamed_traits(), link, out);
            link.suspicion.add(self.unnamed_traits());
            link.barrier |= may_drop(self.unnamed_traits());
        }
        self.unnamed.meet(link, out);
        Ok(self.plain(header, at, link, out, UNKNOWN))
    }

    /// A Bind, or a Describe of a statement.
    fn named_use(&mut self, (header, rest, at): At<'_>, name: &[u8], link: &mut Exchange, out: &mut Verdicts) -> Result<usize, Stop> {
        let entry = self.names.as_ref().and_then(|names| names.get(name)).cloned();
        if name.is_empty() && entry.is_none() {
            return self.unnamed_use((header, rest, at), link, out);
        }
        if link.is_unsure() {
            return Err(self.wait(link, out));
        }
        let Some(Entry { statement, shape }) = entry else {
            self.unnamed.meet(link, out);
            if name.starts_with(PREFIX) {
                return Ok(self.refuse(header, Refusal::Unknown(name.into()), link, out));
            }
            // The server says that there is none, or has it by PREPARE, of whatever kind it is.
            self.uses_made(name, link, out);
            return Ok(self.plain(header, at, link, out, UNKNOWN));
        };
        if header.kind == b'B' {
            self.binds_names(statement.traits.values, header, rest, link)?;
            asks_sequences(&statement.traits, link, out);
        }
        self.unnamed.meet_aside(link, out);
        if statement.traits.may.meets(SPEAKS) && !link.is_skipping() {
            let (look, _) = self.look_at(statement.text(), false);
            if let Some(why) = self.speaks(statement.text(), &look, Spoken::Extended, link, out)? {
                return Ok(self.refuse(header, why, link, out));
            }
        }
        if let Some(stop) = self.ensure(&statement, shape, link, out) {
            let Some(stop) = stop else {
                // Whoever prepares this text from now on is not to meet what was made of it before, at whichever server.
                if statement.schema() == link.schema {
                    link.schema_has_changed();
                }
                return Ok(self.refuse(header, Refusal::Changed, link, out));
            };
            return Err(stop);
        }
        if header.kind == b'D' {
            // Ours is short.
            out.to_server(|words| _ = describe_statement(words, &statement.name));
            link.sent_named(NAMED_DESCRIBE, statement.id);
            if let Some(names) = &mut self.names {
                names.describe(name);
            }
            return Ok(self.drop_message(header));
        }
        link.suspicion.add(&statement.traits);
        if statement.traits.may.contains(May::PREPARES) {
            let (look, _) = self.look_at(statement.text(), false);
            self.tells(statement.text(), &look, link);
        }
        link.barrier |= may_drop(&statement.traits);
        self.restores(&statement.traits);
        link.committing |= commits(&statement.rest);
        let Some((portal, _)) = bind_names(&rest[HEADER..]) else { return Ok(self.plain(header, at, link, out, UNKNOWN)) };
        let taken = HEADER + portal.len() + name.len() + 2;
        out.to_server(|words| bind_again(words, portal, &statement.name, header.total() - taken));
        link.sent(b'B');
        out.forward(at + taken..at + taken);
        Ok(self.rest_goes_on(header, taken))
    }

    /// Has the server hold the statement. Some: it cannot be used now, because replies must come first, or (None) because its rows have changed.
    fn ensure(&mut self, statement: &Statement, shape: Option<u64>, link: &mut Exchange, out: &mut Verdicts) -> Option<Option<Stop>> {
        match (link.shelf.has(statement.id, link.batch()), shape) {
            (Has::Yes(_), None) => return None,
            (Has::Yes(Some(now)), Some(told)) => return (now != told).then_some(None),
            (Has::Yes(None), Some(_)) if link.awaits_shape() => return Some(Some(self.wait(link, out))),
            (Has::Yes(None), Some(_)) => {}
            (Has::Unsure, _) => return Some(Some(self.wait(link, out))),
            (has @ (Has::Old | Has::No), _) => {
                if has == Has::Old {
                    evict(statement.id, link, out);
                    link.shelf.is_gone(statement.id);
                }
                self.make_room(link, out);
                out.to_server(|words| _ = parse_again(words, &statement.name, &statement.rest));
                link.sent_named(OUR_PREPARE, statement.id);
                shape?;
            }
        }
        out.to_server(|words| _ = describe_statement(words, &statement.name));
        link.sent_named(OUR_DESCRIBE, statement.id);
        Some(Some(self.wait(link, out)))
    }

    /// A name of SQL's that the protocol has given; what is cut there is for the server to say.
    fn is_ours(&self, name: &[u8]) -> bool {
        key(name) == name && self.names.as_ref().is_some_and(|names| names.get(name).is_some())
    }

    /// What a simple query says about statements by their names; Some = it is dealt with.
    pub(super) fn statements_in(
        &mut self,
        text: &[u8],
        look: &Look<'_>,
        header: frame::Header,
        link: &mut Exchange,
        out: &mut Verdicts,
    ) -> Result<Option<usize>, Stop> {
        match &look.statement {
            Text::DeallocateAll | Text::DiscardAll => {
                link.barrier = true;
                Ok(None)
            }
            Text::Deallocate { name } if self.is_ours(&name.name()) => {
                let name = name.name();
                // Closing a copy takes a Sync of ours, which must not end what the server skips.
                if link.is_unsure() || link.made.holds(&name) && !link.is_unsynced() && !link.is_quiet_but_for_ours() {
                    return Err(self.wait(link, out));
                }
                self.drop_copy(&name, Spoken::Query, link, out);
                if let Some(names) = &mut self.names {
                    names.deallocating.push_back(name.as_ref().into());
                }
                prepare_scratch(link, out);
                // Fixed and short.
                out.to_server(|words| _ = crate::wire::client::query(words, &deallocate_scratch()));
                link.barrier = true;
                self.unnamed.query();
                self.requests += 1;
                link.sent(b'Q');
                Ok(Some(self.drop_message(header)))
            }
            _ if !speaks(look) => Ok(None),
            _ => match self.speaks(text, look, Spoken::Query, link, out)? {
                None => {
                    self.tells(text, look, link);
                    Ok(None)
                }
                Some(why) => {
                    self.unnamed.query();
                    self.requests += 1;
                    link.sent_refused(REFUSED_QUERY, why);
                    out.to_server(refused_query);
                    Ok(Some(self.drop_message(header)))
                }
            },
        }
    }

    /// DEALLOCATE of a named statement by the extended protocol.
    fn parse_deallocate(
        &mut self,
        header: frame::Header,
        name: &[u8],
        traits: Traits,
        link: &mut Exchange,
        out: &mut Verdicts,
    ) -> Result<usize, Stop> {
        if link.is_unsure() {
            return Err(self.wait(link, out));
        }
        if let Some(names) = &mut self.names {
            names.deallocating.push_back(name.into());
            names.unnamed_drops = Some(name.into());
        }
        self.unnamed.meet(link, out);
        self.drop_copy(name, Spoken::Extended, link, out);
        prepare_scratch(link, out);
        let mut message = Vec::new();
        // Fixed and short.
        let _ = parse(&mut message, b"", &deallocate_scratch(), &[]);
        let tag = self.unnamed.parse(&message, message.len(), link, out);
        out.to_server(|words| words.extend_from_slice(&message));
        link.sent_as(b'P', tag);
        link.barrier = true;
        self.unnamed_does(traits);
        Ok(self.drop_message(header))
    }

    /// An error of the server's that names a statement of ours, with the client's own name in its place.
    #[cold]
    pub fn in_its_words(&self, message: &[u8]) -> Option<Vec<u8>> {
        let id = id_in(message)?;
        let ours = name_of(id);
        let at = message.windows(ours.len()).position(|window| *window == *ours)?;
        let name = self.names.as_ref()?.of(id)?;
        let mut said = [&message[..at], name, &message[at + ours.len()..]].concat();
        let length = u32::try_from(said.len() - 1).ok()?;
        said[1..HEADER].copy_from_slice(&length.to_be_bytes());
        Some(said)
    }

    /// Whether a Close, no server being at hand, is done with by forgetting the name.
    pub(super) fn closes_at_once(&mut self, header: frame::Header, rest: &[u8]) -> Result<bool, Stop> {
        let body = &rest[HEADER..rest.len().min(header.total())];
        let name = match statement_of(header, &body[..body.len().min(NAMES_MAX)]) {
            Peek::Statement(name) if !name.is_empty() && header.body == name.len() + 2 => name,
            Peek::NeedMore if body.len() < header.body.min(NAMES_MAX) => return Err(Stop::More),
            _ => return Ok(false),
        };
        let Some(names) = self.names.as_mut().filter(|names| names.get(name).is_some()) else { return Ok(false) };
        names.forget(name);
        Ok(true)
    }
}

fn prepare_scratch(link: &mut Exchange, out: &mut Verdicts) {
    if link.shelf.has(SCRATCH, link.batch()) == Has::No {
        // Fixed and short.
        out.to_server(|words| _ = parse(words, &name_of(SCRATCH), b"", &[]));
        link.sent_named(OUR_PREPARE, SCRATCH);
    }
}

fn deallocate_scratch() -> Vec<u8> {
    [&b"DEALLOCATE "[..], &name_of(SCRATCH)].concat()
}

/// Whether a text may speak of statements by their names in SQL.
#[inline]
fn speaks(look: &Look<'_>) -> bool {
    look.may.meets(SPEAKS) || look.statement.name_of_statement().is_some()
}

/// Whether a text may drop statements.
#[inline]
pub(super) fn may_drop(traits: &Traits) -> bool {
    traits.may.contains(May::FREES) && traits.may.meets(May::PREPARES.with(May::SETS))
}

/// Whether PostgreSQL takes such a text in a failed transaction (IsTransactionExitStmt in src/backend/tcop/postgres.c).
fn ends_transaction(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    [&b"rollback"[..], b"abort", b"commit", b"end", b"prepare transaction"]
        .iter()
        .any(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

/// Whether what follows the name is a text and parameter types to the end, as PostgreSQL reads it.
fn is_parse(behind: &[u8], text: usize) -> bool {
    let types = behind.get(text + 1..).and_then(|rest| rest.split_first_chunk::<2>());
    types.is_some_and(|(count, types)| types.len() == 4 * usize::from(u16::from_be_bytes(*count)))
}

fn not_kept() -> Box<Refused> {
    Refused::unsupported(
        "a named statement that is not kept has no route to a shard",
        "Leave prepared_statements at \"extended\", and prepare statements of up to 256 KB only.",
    )
}

/// The text at the start of a Parse's body behind the name, as far as it is here.
fn text_in(behind: &[u8]) -> &[u8] {
    &behind[..behind.iter().position(|&byte| byte == 0).unwrap_or(behind.len())]
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
