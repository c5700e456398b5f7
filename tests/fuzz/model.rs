//! A PostgreSQL server's main loop, from its rules and from nothing of pg_dog's: what each message is answered with, byte by byte, and what of it
//! stays.
//!
//! - An error of the extended protocol makes it skip everything up to Sync. A simple query, a function call and a Sync end with ReadyForQuery each.
//! - What was done since the last Sync (or simple query) outside of a transaction is one transaction: an error undoes all of it, a Sync commits it.
//! - During COPY FROM STDIN it ignores Sync and Flush, and ends the connection on anything but CopyData, CopyDone,
//!   CopyFail. Outside it ignores those.
//! - A simple query ends the unnamed statement and the unnamed portal; a Parse of the unnamed one, too, before it can fail; portals end with their
//!   transaction. Named statements stay until they are closed, whatever becomes of the transaction; what was SET goes with it.
//!
//! - PREPARE makes a named statement like the protocol's, and DEALLOCATE drops either; neither is undone with its transaction. DISCARD ALL drops all
//!   of them, and all that was SET.
//!
//! Bodies are PostgreSQL's, statements a small language of their own: `row x n`, `put x`, `fail`, `copyin`, `copyout`, `show x`, ...

use std::collections::BTreeMap;

use crate::bytes::{Reader, messages, word};
use crate::own_words::{self, Own};
use crate::raw::frame;

/// Where a COPY FROM STDIN was begun.
#[derive(Clone, Debug)]
enum Copying {
    /// by an Execute
    Extended,
    /// by a simple query, of which these statements are left
    Simple(Vec<String>),
}

#[derive(Clone, Debug)]
struct Portal {
    statement: String,
    /// rows given so far; None: it has come to its end
    given: Option<usize>,
}

/// One server process and its client's database.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// a transaction block: open, failed
    open: bool,
    failed: bool,
    skipping: bool,
    unsynced: bool,
    copying: Option<Copying>,
    statements: BTreeMap<Vec<u8>, String>,
    /// the texts of those that SQL has prepared
    prepared: BTreeMap<Vec<u8>, String>,
    portals: BTreeMap<Vec<u8>, Portal>,
    /// `put` in the transaction at work, and for good
    pending: Vec<String>,
    pub stored: Vec<String>,
    /// what was SET in the session, now and before the transaction at work
    pub settings: BTreeMap<String, String>,
    saved: BTreeMap<String, String>,
    /// it closed the connection
    pub ended: bool,
    /// COPYs from the client that have failed
    pub failed_copies: u64,
    /// the beginning of a message
    pub input: Vec<u8>,
    pub output: Vec<u8>,
}

impl Model {
    /// Reads bytes and answers every whole message.
    pub fn read(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let (all, rest) = messages(&input);
        for (kind, body) in all {
            if !self.ended {
                self.message(kind, body);
            }
        }
        self.input = rest.to_vec();
    }

    /// It waits for a message that starts something, outside of any transaction.
    pub fn is_idle(&self) -> bool {
        !(self.open || self.skipping || self.unsynced || self.copying.is_some())
    }

    /// The connection is gone: what was not committed is undone.
    pub fn hang_up(&mut self) {
        self.ended = true;
        self.pending.clear();
    }

    fn say(&mut self, kind: u8, body: &[u8]) {
        self.output.extend(frame(kind, body));
    }

    fn complete(&mut self, tag: &str) {
        self.say(b'C', &[tag.as_bytes(), b"\0"].concat());
    }

    fn ready(&mut self) {
        let status = if self.failed { b'E' } else { [b'I', b'T'][usize::from(self.open)] };
        self.say(b'Z', &[status]);
    }

    fn error_words(&mut self, severity: &str, code: &str, what: &str) {
        self.say(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{what}\0\0").as_bytes());
    }

    /// An error: the transaction is undone, and what follows from it is the protocol's.
    fn fail(&mut self, extended: bool, code: &str, what: &str) {
        self.error_words("ERROR", code, what);
        self.pending.clear();
        self.portals.clear();
        if !self.open {
            self.settings = self.saved.clone();
        }
        self.failed = self.open;
        self.skipping = extended;
        if self.copying.take().is_some() {
            self.failed_copies += 1;
        }
        if !extended {
            self.unsynced = false;
            self.ready();
        }
    }

    fn commit(&mut self) {
        self.stored.append(&mut self.pending);
        self.saved = self.settings.clone();
        self.portals.clear();
    }

    fn message(&mut self, kind: u8, body: &[u8]) {
        if let Some(copying) = self.copying.clone() {
            return self.copy_message(copying, kind, body);
        }
        match kind {
            b'X' => self.hang_up(),
            b'd' | b'c' | b'f' | b'H' => {}
            _ if self.skipping && kind != b'S' => {}
            b'S' => {
                (self.skipping, self.unsynced) = (false, false);
                if !self.open {
                    self.commit();
                }
                self.ready();
            }
            b'Q' => {
                self.statements.remove(&b""[..]);
                self.portals.remove(&b""[..]);
                let text = String::from_utf8_lossy(Reader(body).text().unwrap_or_default()).into_owned();
                let all: Vec<String> = text.split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_string).collect();
                if all.iter().any(|text| text == "SELEC") {
                    return self.fail(false, "42601", "syntax error");
                }
                if all.is_empty() {
                    self.say(b'I', b"");
                }
                self.simple(all);
            }
            b'F' => {
                let oid = word(body).unwrap_or_default();
                if self.failed {
                    return self.fail(false, "25P02", ABORTED);
                }
                if oid % 2 == 1 {
                    return self.fail(false, "42883", "no such function");
                }
                self.say(b'V', &[&[0, 0, 0, 4], &oid.to_be_bytes()[..]].concat());
                self.unsynced = false;
                if !self.open {
                    self.commit();
                }
                self.ready();
            }
            _ => {
                self.unsynced = true;
                if let Err((code, what)) = self.extended(kind, body) {
                    self.fail(true, code, &what);
                }
            }
        }
    }

    fn extended(&mut self, kind: u8, body: &[u8]) -> Result<(), (&'static str, String)> {
        let mut reader = Reader(body);
        let malformed = || ("08P01", "invalid message format".to_string());
        let what = if matches!(kind, b'D' | b'C') { reader.byte().ok_or_else(malformed)? } else { 0 };
        let first = reader.text().ok_or_else(malformed)?.to_vec();
        let second = if matches!(kind, b'P' | b'B') { reader.text().ok_or_else(malformed)?.to_vec() } else { Vec::new() };
        let aborted = || ("25P02", ABORTED.to_string());
        match kind {
            b'P' => {
                let text = String::from_utf8_lossy(&second).into_owned();
                if first.is_empty() {
                    self.statements.remove(&first);
                }
                if text == "SELEC" {
                    return Err(("42601", "syntax error".to_string()));
                }
                // Nothing at all may be parsed.
                if self.failed && !ends_transaction(&text) && !text.is_empty() {
                    return Err(aborted());
                }
                self.is_new(&first)?;
                self.statements.insert(first, text);
                self.say(b'1', b"");
            }
            b'B' => {
                let statement = self.known(&second)?;
                if self.failed && !ends_transaction(&statement) {
                    return Err(aborted());
                }
                if reader.0.get(2..4).is_some_and(|count| count != [0, 0]) {
                    return Err(("08P01", "too many parameters".to_string()));
                }
                if !first.is_empty() && self.portals.contains_key(&first) {
                    return Err(("42P03", "that portal exists already".to_string()));
                }
                self.portals.insert(first, Portal { statement, given: Some(0) });
                self.say(b'2', b"");
            }
            b'D' if what == b'S' => {
                let statement = self.known(&first)?;
                self.say(b't', b"\0\0");
                self.describe(&statement);
            }
            b'D' => {
                let statement = self.portals.get(&first).map(|portal| portal.statement.clone()).ok_or(("34000", "no such portal".to_string()))?;
                self.describe(&statement);
            }
            b'C' => {
                if what == b'S' {
                    self.statements.remove(&first);
                    self.prepared.remove(&first);
                } else {
                    self.portals.remove(&first);
                }
                self.say(b'3', b"");
            }
            b'E' => {
                let limit = reader.word().ok_or_else(malformed)? as usize;
                return self.execute(&first, limit);
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn is_new(&self, name: &[u8]) -> Result<(), (&'static str, String)> {
        let known = !name.is_empty() && self.statements.contains_key(name);
        if known { Err(("42P05", format!("prepared statement \"{}\" already exists", String::from_utf8_lossy(name)))) } else { Ok(()) }
    }

    fn known(&self, name: &[u8]) -> Result<String, (&'static str, String)> {
        let unknown = || match name {
            b"" => "unnamed prepared statement does not exist".to_string(),
            name => format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name)),
        };
        self.statements.get(name).cloned().ok_or_else(|| ("26000", unknown()))
    }

    fn describe(&mut self, statement: &str) {
        match has_rows(statement) {
            true => self.say(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
            false => self.say(b'n', b""),
        }
    }

    fn execute(&mut self, name: &[u8], limit: usize) -> Result<(), (&'static str, String)> {
        let portal = self.portals.get_mut(name).ok_or(("34000", "no such portal".to_string()))?;
        let statement = portal.statement.clone();
        if self.failed && !ends_transaction(&statement) {
            return Err(("25P02", ABORTED.to_string()));
        }
        if statement.is_empty() {
            self.say(b'I', b"");
            return Ok(());
        }
        if has_rows(&statement) {
            let (text, rows) = rows_of(&statement, &self.settings);
            let portal = self.portals.get_mut(name).ok_or(("34000", "no such portal".to_string()))?;
            let given = portal.given.unwrap_or(rows);
            let now = if limit == 0 { rows - given } else { limit.min(rows - given) };
            let suspended = limit > 0 && now == limit;
            portal.given = if suspended { Some(given + now) } else { None };
            (0..now).for_each(|_| self.row(&text));
            match suspended {
                true => self.say(b's', b""),
                false => self.complete(&format!("SELECT {now}")),
            }
            return Ok(());
        }
        if portal.given.take().is_none() {
            return Err(("55000", "that portal cannot be run anymore".to_string()));
        }
        match statement.split(' ').next() {
            Some("copyin" | "guard") => {
                self.copying = Some(Copying::Extended);
                self.say(b'G', b"\0\0\x01\0\0");
                if statement.starts_with("guard") {
                    return Err(("P0001", "guarded".to_string()));
                }
                Ok(())
            }
            _ => {
                let done = self.statement(&statement);
                // A transaction that an Execute began stays one with what was done before; one that it ended is over.
                if !self.open && ends_transaction(&statement) {
                    self.commit();
                }
                done
            }
        }
    }

    fn row(&mut self, text: &str) {
        self.say(b'D', &[&[0, 1], &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat());
    }

    /// The statements of a simple query, from the first or from one behind a COPY.
    fn simple(&mut self, all: Vec<String>) {
        for (at, statement) in all.iter().enumerate() {
            if self.failed && !ends_transaction(statement) {
                return self.fail(false, "25P02", ABORTED);
            }
            let executed = match statement.strip_prefix("EXECUTE ").map(|name| self.known(name.as_bytes())) {
                Some(Err((code, what))) => return self.fail(false, code, &what),
                Some(Ok(executed)) => executed,
                None => statement.clone(),
            };
            let statement = &executed;
            match statement.split(' ').next() {
                Some("row" | "show") => {
                    let (text, rows) = rows_of(statement, &self.settings);
                    self.describe(statement);
                    (0..rows).for_each(|_| self.row(&text));
                    self.complete(&format!("SELECT {rows}"));
                }
                Some("copyin" | "guard") => {
                    self.copying = Some(Copying::Simple(all[at + 1..].to_vec()));
                    self.say(b'G', b"\0\0\x01\0\0");
                    if statement.starts_with("guard") {
                        self.fail(false, "P0001", "guarded");
                    }
                    return;
                }
                _ => {
                    if let Err((code, what)) = self.statement(statement) {
                        return self.fail(false, code, &what);
                    }
                }
            }
        }
        self.unsynced = false;
        if !self.open {
            self.commit();
        }
        self.ready();
    }

    /// What needs no portal and reads nothing.
    fn statement(&mut self, statement: &str) -> Result<(), (&'static str, String)> {
        let (verb, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        match verb {
            "BEGIN" => {
                self.open = true;
                self.complete("BEGIN");
            }
            "COMMIT" | "ROLLBACK" => {
                if self.failed || verb == "ROLLBACK" {
                    self.pending.clear();
                    self.settings = self.saved.clone();
                }
                if !self.open {
                    self.say(b'N', b"SWARNING\0VWARNING\0C25P01\0Mthere is no transaction in progress\0\0");
                }
                self.complete(if self.failed { "ROLLBACK" } else { verb });
                (self.open, self.failed) = (false, false);
                self.commit();
            }
            "put" => {
                self.pending.push(rest.to_string());
                self.complete("INSERT 0 1");
            }
            "loud" => {
                self.say(b'N', format!("SNOTICE\0VNOTICE\0C00000\0M{rest}\0\0").as_bytes());
                self.complete("UPDATE 0");
            }
            "SET" if rest.contains(" TO ") => {
                let (name, value) = rest.split_once(" TO ").unwrap_or_default();
                self.settings.insert(name.to_string(), value.to_string());
                self.complete("SET");
            }
            "RESET" if rest != "ALL" && rest != "SESSION AUTHORIZATION" => {
                self.settings.remove(rest);
                self.complete("RESET");
            }
            "PREPARE" => {
                let (name, what) = rest.split_once(" AS ").unwrap_or_default();
                self.is_new(name.as_bytes())?;
                self.statements.insert(name.into(), what.to_string());
                self.prepared.insert(name.into(), statement.to_string());
                self.complete("PREPARE");
            }
            "DEALLOCATE" if rest == "ALL" => {
                self.drop_named();
                self.complete("DEALLOCATE ALL");
            }
            "DEALLOCATE" => {
                self.known(rest.as_bytes())?;
                self.statements.remove(rest.as_bytes());
                self.prepared.remove(rest.as_bytes());
                self.complete("DEALLOCATE");
            }
            "copyout" => {
                self.say(b'H', b"\0\0\x01\0\0");
                (0..3).for_each(|_| self.say(b'd', format!("{rest}\n").as_bytes()));
                self.say(b'c', b"");
                self.complete("COPY 3");
            }
            _ => match own_words::read(statement) {
                Some(own) => return self.own(own),
                None => return Err(("22012", format!("{statement} fails"))),
            },
        }
        Ok(())
    }

    /// What pg_dog says of its own accord; clients may say some of it, too.
    fn own(&mut self, own: Own) -> Result<(), (&'static str, String)> {
        match own {
            Own::Set(all) => {
                for (name, value) in all {
                    match value {
                        Some(value) => _ = self.settings.insert(name, value),
                        None => _ = self.settings.remove(&name),
                    }
                }
                self.describe("row");
                self.row("f");
                self.complete("SELECT 1");
            }
            Own::Ask(parts) => {
                let all: Vec<(String, String)> = self.settings.clone().into_iter().collect();
                let value = |name: &str| self.settings.get(name).cloned();
                let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                let named = self.statements.keys().filter(|key| !key.is_empty());
                let prepared: Vec<own_words::Prepared> = named.map(|key| (name(key), self.prepared.get(key).cloned())).collect();
                let rows = own_words::answer(&parts, |letter| letter == 's' && !self.prepared.is_empty(), &all, value, &prepared);
                self.describe("row");
                rows.iter().for_each(|row| self.say(b'D', &own_words::row_body(row)));
                self.complete(&format!("SELECT {}", rows.len()));
            }
            Own::ResetAll => {
                self.settings.clear();
                self.complete("RESET");
            }
            Own::DiscardAll if self.open => return Err(("25001", "DISCARD ALL cannot run inside a transaction block".to_string())),
            Own::DiscardAll => {
                self.drop_named();
                self.portals.clear();
                self.settings.clear();
                self.complete("DISCARD ALL");
            }
            Own::Left => {
                let names: Vec<String> = self.prepared.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                let rows = own_words::left(names.iter().map(String::as_str));
                rows.iter().for_each(|row| self.say(b'D', &own_words::row_body(row)));
                self.complete(&format!("SELECT {}", rows.len()));
            }
            Own::DiscardTemp => self.complete("DISCARD TEMP"),
            // Read before, as a client's own.
            Own::Deallocate(_) => {}
            Own::Fails => return Err(("42601", "syntax error".to_string())),
            Own::Other(tag) => self.complete(tag),
        }
        Ok(())
    }

    /// The unnamed one is none of SQL's.
    fn drop_named(&mut self) {
        self.statements.retain(|name, _| name.is_empty());
        self.prepared.clear();
    }

    fn copy_message(&mut self, copying: Copying, kind: u8, body: &[u8]) {
        let extended = matches!(copying, Copying::Extended);
        match kind {
            b'd' if !body.starts_with(b"bad") => self.pending.push(String::from_utf8_lossy(body).trim().to_string()),
            b'd' => self.fail(extended, "22P02", "invalid input syntax"),
            b'f' => self.fail(extended, "57014", "COPY from stdin failed"),
            b'c' => {
                self.copying = None;
                self.complete("COPY");
                if let Copying::Simple(rest) = copying {
                    self.simple(rest);
                }
            }
            b'H' | b'S' => {}
            _ => {
                self.error_words("ERROR", "08P01", "unexpected message type during COPY from stdin");
                self.error_words("FATAL", "08P01", "terminating connection because protocol synchronization was lost");
                self.hang_up();
            }
        }
    }
}

fn number(text: Option<&str>) -> usize {
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

const ABORTED: &str = "current transaction is aborted, commands ignored until end of transaction block";

fn has_rows(statement: &str) -> bool {
    matches!(statement.split(' ').next(), Some("row" | "show"))
}

/// What its rows say, and how many there are.
fn rows_of(statement: &str, settings: &BTreeMap<String, String>) -> (String, usize) {
    let mut words = statement.split(' ');
    let (verb, text) = (words.next(), words.next().unwrap_or_default());
    match verb {
        Some("show") => (settings.get(text).cloned().unwrap_or_default(), 1),
        _ => (text.to_string(), number(words.next())),
    }
}

fn ends_transaction(statement: &str) -> bool {
    matches!(statement, "COMMIT" | "ROLLBACK")
}
