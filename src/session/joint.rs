//! The answers of several shards to one request, made one. It sees whole messages of servers, and says what of them the client gets, and when.
//!
//! Invariant: rows are never shown as the whole answer unless every shard has given its part; a tag is said only when all have said theirs.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::route::cluster::Cluster;
use crate::route::request::Join;
use crate::wire::frame::HEADER;
use crate::wire::server::{ErrorFields, command_complete, data_row, error, parse_command_complete};

use super::numbers;

/// Bytes of rows that wait for the rows before them.
const ROWS_BYTES_MAX: usize = 64 << 20;

/// One request's answers.
#[derive(Debug)]
pub struct Joint {
    join: Join,
    /// shards in the order of the request's parts
    shards: Vec<u16>,
    /// the columns were told, as they are but for where they come from
    described: Option<Vec<u8>>,
    /// of `Join::Rows` and `Join::Plans`: rows that wait, by part, and how many have been told
    rows: Vec<VecDeque<Box<[u8]>>>,
    told: usize,
    bytes: usize,
    /// the last tag, and the sum of the counts
    tag: Option<Tag>,
    /// of `Join::Same`: tags of each shard, of which so many are told
    tags: Vec<usize>,
    tags_told: usize,
    /// and what the first shard has said from the first tag on that is not
    held: VecDeque<Box<[u8]>>,
    /// the first error
    pub error: Option<Box<[u8]>>,
    /// which shard has said it
    pub failed: Option<u16>,
    /// shards that have done their part
    pub done: Vec<u16>,
    /// who takes rows of a COPY
    pub copying: Vec<u16>,
    /// messages that are told once
    once: Vec<u8>,
    /// how many rows the client wants; 0 = all
    limit: u32,
    /// the tag of a single shard waits too
    keeps_tag: bool,
    rows_told: u32,
    /// said behind the tag
    late: Vec<u8>,
    /// a portal has more rows
    suspended: bool,
    /// rows came that the client does not want yet, and are gone
    pub left_out: bool,
    /// its rows are read shard by shard
    pub reading: Option<Reading>,
    /// what is known of the shards, if some type has another number on each of them
    pub numbers: Option<Arc<Cluster>>,
}

/// A portal whose rows the client wants in parts.
#[derive(Debug)]
pub struct Reading {
    pub portal: Box<[u8]>,
    /// which of its shards is read
    pub at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    words: String,
    count: Option<u64>,
}

/// What the client gets of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// the message as it is
    Whole,
    /// the words that were appended
    Words,
}

impl Joint {
    /// For a request to these shards, joined so.
    pub fn new(join: Join, shards: Vec<u16>) -> Joint {
        let rows = if matches!(join, Join::Rows { .. } | Join::Plans(_)) { shards.iter().map(|_| VecDeque::new()).collect() } else { Vec::new() };
        let tags = vec![0; if join == Join::Same { shards.len() } else { 0 }];
        Joint {
            join,
            shards,
            described: None,
            rows,
            told: 0,
            bytes: 0,
            tag: None,
            tags,
            tags_told: 0,
            held: VecDeque::new(),
            reading: None,
            numbers: None,
            error: None,
            failed: None,
            done: Vec::new(),
            copying: Vec::new(),
            once: Vec::new(),
            limit: 0,
            keeps_tag: false,
            late: Vec::new(),
            rows_told: 0,
            suspended: false,
            left_out: false,
        }
    }

    /// The client wants so many rows; 0: all.
    pub fn limit(&mut self, rows: u32) {
        self.limit = rows;
    }

    /// A shard has given what it was asked for: which one is read now, and for how many rows (0: all) if it has to be asked. None: nothing is read
    /// so. A shard that has said that it has more is gone on with when the client wants more.
    pub fn reads_on(&mut self) -> Option<(u16, &Reading, Option<u32>)> {
        let reading = self.reading.as_mut()?;
        let mut asks = None;
        if !self.suspended && reading.at + 1 < self.shards.len() {
            reading.at += 1;
            // PostgreSQL says that a portal has more as soon as it has given what was wanted, so that something is left to be wanted here.
            self.suspended = self.limit > 0 && self.rows_told >= self.limit;
            asks = (!self.suspended).then(|| self.limit.saturating_sub(self.rows_told));
        }
        Some((self.shards[reading.at], reading, asks))
    }

    /// Of one statement: its tag is said by `finish`.
    pub fn keep_tag(&mut self) {
        self.keeps_tag = true;
    }

    /// Whose answers they are.
    pub fn shards(&self) -> &[u16] {
        &self.shards
    }

    /// One shard alone answers.
    pub fn is_single(&self) -> bool {
        self.shards.len() == 1
    }

    /// A message of a shard's answer; ReadyForQuery and what ends a step of the extended protocol are whoever asks's own business.
    pub fn hear(&mut self, shard: u16, message: &[u8], words: &mut Vec<u8>) -> Shown {
        match self.numbers.as_ref().and_then(|cluster| numbers::on_first(cluster, shard, message)) {
            None => self.read(shard, message, words),
            Some(message) => match self.read(shard, &message, words) {
                Shown::Whole => {
                    words.extend_from_slice(&message);
                    Shown::Words
                }
                shown => shown,
            },
        }
    }

    fn read(&mut self, shard: u16, message: &[u8], words: &mut Vec<u8>) -> Shown {
        let first = self.shards.first() == Some(&shard);
        // Behind the rows of a plan there is more to come.
        let single = self.is_single() && !matches!(self.join, Join::Plans(_));
        match message[0] {
            b'E' => {
                if self.error.is_none() {
                    self.error = Some(message.into());
                    self.failed = Some(shard);
                }
                Shown::Nothing
            }
            // One shard answers a text of several statements with as many tags.
            b'C' | b'I' | b'S' if single && !self.keeps_tag => Shown::Whole,
            b'C' | b'I' | b'T' | b'D' | b'N' if self.join == Join::Same => self.alike(shard, message, words),
            b'C' | b'I' => self.tagged(shard, message),
            b'S' | b'A' if !first => Shown::Nothing,
            // PostgreSQL reports what has changed behind the tag, which is still to come here.
            b'S' if self.done.contains(&shard) => {
                self.late.extend_from_slice(message);
                Shown::Nothing
            }
            b'N' | b'S' | b'A' => Shown::Whole,
            b'G' => {
                self.copying.push(shard);
                match self.copying.len() == self.shards.len() && self.error.is_none() {
                    false => Shown::Nothing,
                    true if self.held.is_empty() => Shown::Whole,
                    true => {
                        // Behind the statements in front of it, which all have done.
                        while self.let_go(words) {}
                        words.extend_from_slice(message);
                        Shown::Words
                    }
                }
            }
            _ if single => Shown::Whole,
            b'T' => self.columns(message),
            b'D' => self.row(shard, message, words),
            b's' => {
                self.suspended = true;
                Shown::Nothing
            }
            kind @ (b'1' | b'2' | b'3' | b't' | b'n') if !self.once.contains(&kind) => {
                self.once.push(kind);
                Shown::Whole
            }
            _ => Shown::Nothing,
        }
    }

    fn tagged(&mut self, shard: u16, message: &[u8]) -> Shown {
        if !self.done.contains(&shard) {
            self.done.push(shard);
        }
        let said = if message[0] == b'I' { Some(&b""[..]) } else { parse_command_complete(&message[HEADER..]) };
        let tag = Tag::read(&String::from_utf8_lossy(said.unwrap_or_default()));
        self.tag = Some(match self.tag.take() {
            Some(before) => Tag { count: before.count.zip(tag.count).map(|(a, b)| a + b), ..tag },
            None => tag,
        });
        Shown::Nothing
    }

    /// Of what all do alike the first one's answer is told, statement by statement of its text: a tag when all have said theirs, and the last only
    /// when all is well.
    fn alike(&mut self, shard: u16, message: &[u8], words: &mut Vec<u8>) -> Shown {
        let Some(part) = self.shards.iter().position(|known| *known == shard) else { return Shown::Nothing };
        let tag = is_tag(message);
        if tag {
            self.tags[part] += 1;
            if !self.done.contains(&shard) {
                self.done.push(shard);
            }
        }
        if part == 0 {
            if self.held.is_empty() && !tag && self.error.is_none() {
                return Shown::Whole;
            }
            self.bytes += message.len();
            if self.bytes > ROWS_BYTES_MAX {
                self.error.get_or_insert_with(too_far_ahead);
                return Shown::Nothing;
            }
            self.held.push_back(message.into());
        }
        let before = words.len();
        // With something behind it a tag is not the last.
        while self.error.is_none() && self.held.len() > 1 && self.let_go(words) {}
        if words.len() > before { Shown::Words } else { Shown::Nothing }
    }

    /// The next held message, if it may be told.
    fn let_go(&mut self, words: &mut Vec<u8>) -> bool {
        let Some(next) = self.held.front() else { return false };
        if is_tag(next) {
            if self.tags.iter().any(|tags| *tags <= self.tags_told) {
                return false;
            }
            self.tags_told += 1;
        }
        self.bytes -= next.len();
        words.extend_from_slice(next);
        self.held.pop_front();
        true
    }

    /// What stands in front of the error: the answers to those statements that all shards have done.
    pub fn done_before(&mut self, error: Box<[u8]>) -> Box<[u8]> {
        if self.held.is_empty() {
            return error;
        }
        let (mut words, mut done) = (Vec::new(), 0);
        let mut told = self.tags_told;
        while self.let_go(&mut words) {
            if std::mem::replace(&mut told, self.tags_told) < self.tags_told {
                done = words.len();
            }
        }
        words.truncate(done);
        words.extend_from_slice(&error);
        words.into()
    }

    /// RowDescription: the first is told, the others have to be like it.
    fn columns(&mut self, message: &[u8]) -> Shown {
        let columns = without_origin(&message[HEADER..]);
        match &self.described {
            None => {
                self.described = Some(columns);
                Shown::Whole
            }
            Some(known) => {
                if *known != columns && self.error.is_none() {
                    self.error = Some(differ());
                }
                Shown::Nothing
            }
        }
    }

    fn row(&mut self, shard: u16, message: &[u8], words: &mut Vec<u8>) -> Shown {
        match &self.join {
            // What is known to be wrong is not told.
            _ if self.error.is_some() => Shown::Nothing,
            Join::Union | Join::Copy(_) if self.limit > 0 && self.rows_told == self.limit => {
                (self.left_out, self.suspended) = (true, true);
                Shown::Nothing
            }
            Join::Union | Join::Copy(_) => {
                self.rows_told += 1;
                Shown::Whole
            }
            // It does not come to this.
            Join::Same | Join::Each(_) => Shown::Nothing,
            Join::Rows { .. } | Join::Plans(_) => {
                let Some(part) = self.shards.iter().position(|known| *known == shard) else { return Shown::Nothing };
                self.bytes += message.len();
                if self.bytes > ROWS_BYTES_MAX {
                    self.error = Some(too_many(&self.join));
                    return Shown::Nothing;
                }
                self.rows[part].push_back(message.into());
                self.tell_rows(words)
            }
        }
    }

    /// Rows whose turn it is.
    fn tell_rows(&mut self, words: &mut Vec<u8>) -> Shown {
        let Join::Rows { order } = &self.join else { return Shown::Nothing };
        let before = words.len();
        while let Some(row) = order.get(self.told).and_then(|part| self.rows.get_mut(usize::from(*part))?.pop_front()) {
            self.bytes -= row.len();
            self.told += 1;
            words.extend_from_slice(&row);
        }
        if words.len() > before { Shown::Words } else { Shown::Nothing }
    }

    /// Every shard has answered: rows that are left, if fewer came than the request has (`ON CONFLICT DO NOTHING`), and the tag.
    pub fn finish(&mut self, words: &mut Vec<u8>) {
        self.tell_rest(words);
        words.append(&mut self.late);
    }

    fn tell_rest(&mut self, words: &mut Vec<u8>) {
        if let Join::Plans(lines) = &self.join {
            let lines = lines.clone();
            self.tell_plans(&lines, words);
        }
        self.held.drain(..).for_each(|message| words.extend_from_slice(&message));
        for mut rows in std::mem::take(&mut self.rows) {
            rows.drain(..).for_each(|row| words.extend_from_slice(&row));
        }
        if self.suspended {
            self.left_out = true;
            return words.extend_from_slice(&[b's', 0, 0, 0, 4]);
        }
        let Some(tag) = self.tag.take() else { return };
        if tag.words.is_empty() {
            return crate::wire::server::empty_query(words);
        }
        // As short as the servers' own.
        let _ = command_complete(words, &tag.text());
    }
}

impl Joint {
    /// The plans, under the number of their shard where there are several, and the lines behind them: as many rows as the client wants.
    fn tell_plans(&mut self, lines: &[Box<str>], words: &mut Vec<u8>) {
        if self.tag.is_none() && !self.suspended {
            // Nothing was executed.
            return;
        }
        let mut rows = Vec::new();
        for (shard, plan) in self.shards.iter().zip(std::mem::take(&mut self.rows)) {
            if self.shards.len() > 1 {
                rows.push(line(&format!("Shard {shard}:")));
            }
            rows.extend(plan);
        }
        if !self.suspended {
            rows.extend(lines.iter().map(|text| line(text)));
        }
        let wanted = if self.limit == 0 { usize::MAX } else { self.limit as usize };
        self.suspended |= rows.len() > wanted;
        rows.iter().take(wanted).for_each(|row| words.extend_from_slice(row));
    }
}

/// A row of one text.
fn line(text: &str) -> Box<[u8]> {
    let mut row = Vec::new();
    // Ours, and short.
    let _ = data_row(&mut row, &[Some(text.as_bytes())]);
    row.into()
}

impl Tag {
    /// `INSERT 0 3` is `INSERT 0` and 3; `BEGIN` has no count.
    fn read(tag: &str) -> Tag {
        match tag.rsplit_once(' ') {
            Some((words, count)) if count.bytes().all(|byte| byte.is_ascii_digit()) => Tag { words: words.into(), count: count.parse().ok() },
            _ => Tag { words: tag.into(), count: None },
        }
    }

    fn text(&self) -> String {
        self.count.map_or_else(|| self.words.clone(), |count| format!("{} {count}", self.words))
    }
}

/// The end of one statement's answer.
fn is_tag(message: &[u8]) -> bool {
    matches!(message.first(), Some(b'C' | b'I'))
}

/// A RowDescription's body without the OID and number of each column in its table, which are each shard's own.
fn without_origin(body: &[u8]) -> Vec<u8> {
    let mut columns = body.to_vec();
    let mut at = 2;
    while let Some(end) = columns.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        let origin = at + end + 1;
        let Some(bytes) = columns.get_mut(origin..origin + 6) else { break };
        bytes.fill(0);
        // Behind the origin: type, size, modifier, format.
        at = origin + 18;
    }
    columns
}

fn differ() -> Box<[u8]> {
    let mut words = Vec::new();
    let hint = Some("SHOW SCHEMA DRIFT on the admin database lists what differs.");
    let message = "the shards answer with different columns";
    error(&mut words, &ErrorFields { severity: "ERROR", code: "0A000", message, detail: None, hint });
    words.into()
}

fn too_far_ahead() -> Box<[u8]> {
    let mut words = Vec::new();
    let hint = Some("Send the statements of the text one by one.");
    let message = "what one shard has answered to a text of several statements takes too much memory while another is at work on the first of them";
    error(&mut words, &ErrorFields { severity: "ERROR", code: "54000", message, detail: None, hint });
    words.into()
}

fn too_many(join: &Join) -> Box<[u8]> {
    let mut words = Vec::new();
    let (message, hint) = match join {
        Join::Plans(_) => ("the plans of the shards take too much memory to be put in order", Some("Name a shard: /* pgdog_shard: 0 */.")),
        _ => {
            let hint = Some("Insert fewer rows at once, or leave out RETURNING.");
            ("the returned rows of an INSERT over shards take too much memory to be put in order", hint)
        }
    };
    error(&mut words, &ErrorFields { severity: "ERROR", code: "54000", message, detail: None, hint });
    words.into()
}

#[cfg(test)]
#[path = "joint_tests.rs"]
mod tests;
