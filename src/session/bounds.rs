//! What begins and ends a transaction while no server is at hand. A BEGIN is answered here and sent in front of the first statement
//! (`Client::attach`); a COMMIT or ROLLBACK of a transaction in which nothing was done is answered here too. By a simple query, or by the extended
//! protocol: then a whole batch up to its Sync is about one such statement, and prepares, describes, executes it, as drivers do.
//!
//! Invariant: what is answered here is answered as PostgreSQL would, message by message. A batch that is not plain (values to bind, a portal with a
//! name, another statement behind it) is left to a server whole, and nothing of it is consumed before.

use std::rc::Rc;
use std::sync::Arc;

use crate::config::snapshot::{PoolerMode, PreparedStatements};
use crate::sql::look::{Statement as Text, look};
use crate::wire::frame::{self, HEADER};
use crate::wire::server::{bind_complete, command_complete, no_data, parameter_description, parse_complete, ready};

use super::Verdicts;
use super::client::{Client, Stop, TEXT_MAX};
use super::control::LOOK_MAX;
use super::statements::{Folds, Statement, alone};

/// Messages of a batch that are longer have nothing to do with a transaction's bounds.
const MESSAGE_MAX: usize = 1024;
/// Messages of one batch, its Sync not counted.
const MESSAGES_MAX: usize = 6;

/// Whether a text may be one that begins or ends a transaction, by its first letters. Hardly any other text begins like that.
#[inline]
pub(super) fn may_bound(text: &[u8]) -> bool {
    let [first, second, ..] = text else { return false };
    matches!((first | 0x20, second | 0x20), (b'b', b'e') | (b's', b't') | (b'c', b'o') | (b'e', b'n') | (b'r', b'o') | (b'a', b'b'))
}

/// What a batch is about, as far as it has been read.
#[derive(Default)]
struct Batch<'a> {
    name: &'a [u8],
    /// of the Parse: the whole message, and its body behind the name
    parse: Option<(&'a [u8], &'a [u8])>,
    /// what was said, as it is answered: Parse, describe, Bind, Describe of the portal, Execute
    said: [u8; MESSAGES_MAX],
    count: usize,
    bound: bool,
    executed: bool,
}

impl<'a> Batch<'a> {
    /// One more message; whether it belongs to a plain batch. `message` is the whole of it.
    fn take(&mut self, kind: u8, message: &'a [u8]) -> bool {
        let body = &message[HEADER..];
        let said = match (kind, body) {
            _ if self.count == MESSAGES_MAX => return false,
            (b'P', _) if self.count == 0 => {
                let Some((name, rest)) = cut(body) else { return false };
                // The text, its end, and no types of parameters.
                if cut(rest).is_none_or(|(_, types)| types != [0, 0]) {
                    return false;
                }
                (self.name, self.parse) = (name, Some((message, rest)));
                b'P'
            }
            (b'B', [0, rest @ ..]) if !self.bound => {
                let Some((name, rest)) = cut(rest) else { return false };
                self.bound = true;
                if !self.is_about(name) || !binds_nothing(rest) {
                    return false;
                }
                b'B'
            }
            (b'D', [b'S', name @ .., 0]) if !self.executed && !name.contains(&0) && self.is_about(name) => b'd',
            (b'D', [b'P', 0]) if self.bound && !self.executed => b'D',
            (b'E', [0, _, _, _, _]) if self.bound && !self.executed => {
                self.executed = true;
                b'E'
            }
            _ => return false,
        };
        self.said[self.count] = said;
        self.count += 1;
        true
    }

    /// Whether a message about this name is about the batch's statement, which the first message names.
    fn is_about(&mut self, name: &'a [u8]) -> bool {
        if self.count == 0 {
            self.name = name;
        }
        self.name == name
    }

    /// A portal that is bound and not run may be run later.
    fn is_whole(&self) -> bool {
        self.count > 0 && self.bound == self.executed
    }

    fn answer(&self, tag: &str, status: u8, words: &mut Vec<u8>) {
        for said in &self.said[..self.count] {
            match said {
                b'P' => parse_complete(words),
                b'd' => {
                    parameter_description(words);
                    no_data(words);
                }
                b'B' => bind_complete(words),
                b'D' => no_data(words),
                // Fixed and short.
                _ => _ = command_complete(words, tag),
            }
        }
        ready(words, status);
    }
}

/// What is in front of the first zero byte, and what is behind it.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The rest of a Bind: no formats of values, no values, any formats of results.
fn binds_nothing(rest: &[u8]) -> bool {
    let [0, 0, 0, 0, high, low, formats @ ..] = rest else { return false };
    // Nobody looks at the formats of a statement without rows.
    formats.len() == 2 * usize::from(u16::from_be_bytes([*high, *low]))
}

/// What a statement of a transaction's bounds comes to.
struct Outcome {
    tag: &'static str,
    /// what ReadyForQuery says then
    status: u8,
}

impl Client {
    /// What this text does to a transaction that no server knows of, or begins one; None: a server has to say.
    fn outcome(&self, text: &[u8]) -> Option<Outcome> {
        let (tag, status) = match (look(text).statement, self.has_begun()) {
            (Text::Begin, false) => (if text[0].eq_ignore_ascii_case(&b'b') { "BEGIN" } else { "START TRANSACTION" }, b'T'),
            (Text::Commit, true) if !self.failed => ("COMMIT", b'I'),
            (Text::Commit | Text::Rollback, true) => ("ROLLBACK", b'I'),
            _ => return None,
        };
        Some(Outcome { tag, status })
    }

    /// It is carried out.
    fn bounded(&mut self, text: &[u8], outcome: &Outcome) {
        match outcome.status {
            b'I' => (self.begun, self.failed) = (None, false),
            _ => self.begun = Some(text.into()),
        }
    }

    /// A simple query while no server is at hand.
    pub(super) fn detached_query(&mut self, header: frame::Header, rest: &[u8], out: &mut Verdicts) -> Result<usize, Stop> {
        if self.skipping {
            return Ok(self.drop_message(header));
        }
        let Some(message) = rest.get(HEADER..header.total()).filter(|message| message.len() <= LOOK_MAX) else {
            return Err(self.want_whole(header, rest, TEXT_MAX));
        };
        let Some((0, text)) = message.split_last() else { return Err(Stop::Want) };
        let Some(outcome) = may_bound(text).then(|| self.outcome(text)).flatten() else { return Err(Stop::Want) };
        self.bounded(text, &outcome);
        self.requests += 1;
        self.unnamed.dropped();
        if self.caching == PreparedStatements::ExtendedAnonymous
            && let Some(names) = &mut self.names
        {
            names.forget(b"");
        }
        out.answer(|words| {
            // Fixed and short.
            let _ = command_complete(words, outcome.tag);
            ready(words, outcome.status);
        });
        Ok(header.total())
    }

    /// Whether a message may be the first of a batch about a transaction's bounds.
    #[inline]
    pub(super) fn may_begin_batch(&self, header: frame::Header, rest: &[u8]) -> bool {
        if self.mode() != PoolerMode::Transaction || header.total() > MESSAGE_MAX {
            return false;
        }
        match header.kind {
            b'P' => rest.get(HEADER..header.total()).and_then(cut).is_some_and(|(_, text)| may_bound(text)),
            _ => self.names.as_ref().is_some_and(|names| names.has_bounds()),
        }
    }

    /// A batch that begins so; returns how long it is, 0 if it is a server's business.
    #[cold]
    pub(super) fn detached_batch(&mut self, rest: &[u8], out: &mut Verdicts) -> Result<usize, Stop> {
        let (mut at, mut batch) = (0, Batch::default());
        // Of a statement that the client has prepared.
        let mut known: Option<Arc<Statement>> = None;
        loop {
            let header = match frame::client_header(&rest[at..]) {
                Ok(Some(header)) if header.total() <= MESSAGE_MAX => header,
                Ok(None) => return Err(Stop::More),
                _ => return Ok(0),
            };
            let Some(message) = rest.get(at..at + header.total()) else { return Err(Stop::More) };
            at += header.total();
            if header.kind == b'S' && header.body == 0 {
                break;
            }
            if !batch.take(header.kind, message) {
                return Ok(0);
            }
            if batch.count == 1 && batch.parse.is_none() {
                known = self.names.as_ref().and_then(|names| names.get(batch.name)).map(|entry| entry.statement.clone());
                // Whatever else it is should not wait for its Sync.
                if known.as_ref().is_none_or(|known| !may_bound(known.text()) || known.rest.len() != known.text().len() + 3) {
                    return Ok(0);
                }
            }
        }
        let text = match (&batch.parse, &known) {
            (Some((_, behind)), _) => cut(behind).map_or(&[][..], |(text, _)| text),
            (None, Some(known)) => known.text(),
            (None, None) => return Ok(0),
        };
        let Some(outcome) = batch.is_whole().then(|| self.outcome_of(text, batch.executed)).flatten() else { return Ok(0) };
        if let Some((message, behind)) = batch.parse
            && !self.parses(batch.name, message, behind)
        {
            return Ok(0);
        }
        if batch.executed {
            self.bounded(text, &outcome);
        }
        self.requests += 1;
        let status = self.status();
        out.answer(|words| batch.answer(outcome.tag, status, words));
        Ok(at)
    }

    /// The same as `outcome`; one that is only prepared does nothing, whatever it is.
    fn outcome_of(&self, text: &[u8], executed: bool) -> Option<Outcome> {
        if executed {
            return self.outcome(text);
        }
        // In a failed transaction PostgreSQL takes only what ends it.
        let statement = look(text).statement;
        let taken = matches!(statement, Text::Commit | Text::Rollback) || statement == Text::Begin && !self.failed;
        taken.then_some(Outcome { tag: "", status: 0 })
    }

    /// The client has prepared one of these without a server, as if there had been one; false: a server has to say something else.
    fn parses(&mut self, name: &[u8], message: &[u8], behind: &[u8]) -> bool {
        let text = cut(behind).map_or(behind, |(text, _)| text);
        let (_, traits) = self.look_at(text, false);
        if name.is_empty() && self.caching != PreparedStatements::ExtendedAnonymous {
            if let Some(names) = &mut self.names {
                names.forget(b"");
            }
            self.unnamed.keep(message);
            self.unnamed_does(traits);
            return true;
        }
        let names = self.names.get_or_insert_default();
        let taken = !name.is_empty() && names.get(name).is_some();
        if self.caching == PreparedStatements::Disabled || taken || !names.has_room(name, behind.len()) {
            return false;
        }
        let statement = match self.front.as_ref().map(Rc::clone) {
            Some(front) => front.borrow_mut().find(behind, &Folds::default(), || traits),
            None => alone(behind, traits),
        };
        names.prepare(name, statement);
        true
    }
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
