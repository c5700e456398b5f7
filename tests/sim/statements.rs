//! What a simulated server makes of its client's messages and statements.

use super::{Copy, FakeServer, Lie, Portal, description};
use crate::language::{Statement, Tag};
use crate::message::{Fields, Message, count, put};
use crate::own_words::{self, Own};

impl FakeServer {
    pub(super) fn message(&mut self, at: usize, message: &Message) {
        let backend = &mut self.backends[at];
        if backend.copy.is_some() {
            return self.copy_message(at, message);
        }
        if message.kind == b'X' {
            backend.closing = true;
            return;
        }
        if backend.skipping && message.kind != b'S' {
            return;
        }
        let mut fields = Fields(&message.body);
        match message.kind {
            b'Q' => {
                backend.statements.remove("");
                backend.portals.remove("");
                backend.simple = Some(Statement::read_all(&fields.text()).into());
            }
            b'P' => self.parse(at, fields),
            b'B' => self.bind(at, fields),
            b'D' => self.describe(at, fields),
            b'E' => {
                let (portal, limit) = (fields.text(), fields.i32() as usize);
                let Some(found) = backend.portals.get(&portal) else {
                    return self.fail(at, "34000", &format!("portal \"{portal}\" does not exist"));
                };
                let (statement, tag) = (found.statement.clone(), found.tag);
                self.run(at, &statement, tag, Some(limit), true);
            }
            b'C' => {
                let (what, name) = (fields.u8(), fields.text());
                if what == b'S' {
                    backend.statements.remove(&name);
                    backend.prepared.remove(&name);
                } else {
                    backend.portals.remove(&name);
                }
                put(&mut backend.out, b'3', |_| ());
            }
            b'S' => {
                backend.skipping = false;
                self.ready(at);
            }
            b'F' => {
                let tag = {
                    fields.i32();
                    let formats = fields.count();
                    fields.bytes(2 * formats);
                    assert_eq!(fields.count(), 1, "functions here have one argument");
                    fields.value().to_vec()
                };
                if backend.status == b'E' {
                    self.fail_aborted(at);
                } else {
                    put(&mut backend.out, b'V', |body| {
                        body.extend_from_slice(&(tag.len() as i32).to_be_bytes());
                        body.extend_from_slice(&tag);
                    });
                }
                self.ready(at);
            }
            // Flush, and what is left of a COPY that failed.
            b'H' | b'd' | b'c' | b'f' => {}
            other => panic!("a simulated server got a message of type {}", char::from(other)),
        }
    }

    fn parse(&mut self, at: usize, mut fields: Fields) {
        let backend = &mut self.backends[at];
        let (name, query) = (fields.text(), fields.text());
        let statement = Statement::read(&query);
        if backend.status == b'E' && !statement.ends_transaction() {
            return self.fail_aborted(at);
        }
        if !name.is_empty() && backend.statements.contains_key(&name) {
            return self.fail(at, "42P05", &format!("prepared statement \"{name}\" already exists"));
        }
        backend.statements.insert(name, statement);
        put(&mut backend.out, b'1', |_| ());
    }

    fn bind(&mut self, at: usize, mut fields: Fields) {
        let backend = &mut self.backends[at];
        let (portal, name) = (fields.text(), fields.text());
        let formats = fields.count();
        fields.bytes(2 * formats);
        let tag = (fields.count() > 0).then(|| String::from_utf8_lossy(fields.value()).parse().expect("parameters here are numbers"));
        let Some(statement) = backend.statements.get(&name).cloned() else { return self.no_statement(at, &name) };
        if backend.status == b'E' && !statement.ends_transaction() {
            return self.fail_aborted(at);
        }
        let wants = matches!(statement, Statement::Rows { tag: Tag::Bound, .. });
        assert_eq!(tag.is_some(), wants, "the parameters of one statement went to another: {statement:?}");
        backend.portals.insert(portal, Portal { statement, tag, sent: 0 });
        put(&mut backend.out, b'2', |_| ());
    }

    fn describe(&mut self, at: usize, mut fields: Fields) {
        let backend = &mut self.backends[at];
        let (what, name) = (fields.u8(), fields.text());
        let statement = match what {
            b'S' => backend.statements.get(&name).cloned(),
            _ => backend.portals.get(&name).map(|portal| portal.statement.clone()),
        };
        let Some(statement) = statement else { return self.no_statement(at, &name) };
        if backend.status == b'E' && statement.has_rows() {
            return self.fail_aborted(at);
        }
        if what == b'S' {
            let wants = matches!(statement, Statement::Rows { tag: Tag::Bound, .. });
            put(&mut backend.out, b't', |body| {
                count(body, usize::from(wants));
                body.extend_from_slice(if wants { &[0, 0, 0, 20] } else { &[] });
            });
        }
        if statement.has_rows() { description(&mut backend.out) } else { put(&mut backend.out, b'n', |_| ()) }
    }

    fn copy_message(&mut self, at: usize, message: &Message) {
        let backend = &mut self.backends[at];
        let Some(copy) = backend.copy.as_mut() else { return };
        match message.kind {
            b'd' => {
                let expected = format!("copy {} {}\n", copy.tag, copy.rows);
                assert_eq!(String::from_utf8_lossy(&message.body), expected, "CopyData of another COPY, or out of order, on backend {}", backend.pid);
                copy.rows += 1;
            }
            b'c' => {
                let rows = copy.rows;
                backend.copy = None;
                self.complete(at, &format!("COPY {rows}"));
            }
            b'f' => {
                let reason = Fields(&message.body).text();
                self.fail(at, "57014", &format!("COPY from stdin failed: {reason}"));
            }
            b'H' | b'S' => {}
            b'X' => backend.closing = true,
            other => self.fail(at, "08P01", &format!("unexpected message type 0x{other:02X} during COPY from stdin")),
        }
    }

    /// Runs one statement, of a simple query or by Execute.
    pub(super) fn run(&mut self, at: usize, statement: &Statement, bound: Option<u64>, limit: Option<usize>, extended: bool) {
        let from = self.backends[at].out.len();
        self.run_it(at, statement, bound, limit, extended);
        // Clients here say none of these.
        if let Statement::Own(own) = statement
            && !extended
            && *own != Own::Fails
        {
            self.answer_pool(at, from, *own == Own::DiscardAll);
        }
    }

    fn run_it(&mut self, at: usize, statement: &Statement, bound: Option<u64>, limit: Option<usize>, extended: bool) {
        let backend = &mut self.backends[at];
        if backend.status == b'E' && !statement.ends_transaction() {
            return self.fail_aborted(at);
        }
        if let Statement::Execute(name, tag) = statement {
            let Some(prepared) = backend.statements.get(name).cloned() else { return self.no_statement(at, name) };
            return self.run_it(at, &prepared, Some(*tag), limit, extended);
        }
        let tag = match statement {
            Statement::Rows { tag: Tag::Is(tag), .. } | Statement::CopyIn(tag) | Statement::CopyOut { tag, .. } | Statement::Error(tag) => Some(*tag),
            _ => bound,
        };
        let fresh = !extended || backend.portals.get("").is_none_or(|portal| portal.sent == 0);
        if let Some(tag) = tag.filter(|_| fresh) {
            assert!(self.begun.insert(tag), "the statement with tag {tag} ran twice");
            backend.done.push(tag);
        }
        match statement {
            Statement::Empty => put(&mut backend.out, b'I', |_| ()),
            Statement::Rows { slow_us, .. } => {
                backend.busy_until = self.world.now() + slow_us * 1000;
                backend.held = Some((statement.clone(), tag, limit));
            }
            Statement::Error(tag) => self.fail(at, "22012", &format!("failed as asked: {tag}")),
            Statement::Begin => {
                backend.status = b'T';
                self.complete(at, "BEGIN");
            }
            Statement::Commit | Statement::Rollback => {
                let rolls_back = backend.status == b'E' || *statement == Statement::Rollback;
                let done = std::mem::take(&mut backend.done);
                if rolls_back {
                    backend.settings = backend.saved.clone();
                } else {
                    self.committed.extend(done);
                }
                if self.lie != Some(Lie::WrongStatus) {
                    backend.status = b'I';
                }
                backend.saved = backend.settings.clone();
                backend.portals.clear();
                self.complete(at, if rolls_back { "ROLLBACK" } else { "COMMIT" });
            }
            Statement::CopyIn(tag) => {
                backend.copy = Some(Copy { tag: *tag, rows: 0 });
                put(&mut backend.out, b'G', |body| body.extend_from_slice(&[0; 3]));
            }
            Statement::CopyOut { tag, rows } => {
                put(&mut backend.out, b'H', |body| body.extend_from_slice(&[0; 3]));
                for row in 0..*rows {
                    put(&mut backend.out, b'd', |body| body.extend_from_slice(format!("copy {tag} {row}\n").as_bytes()));
                }
                put(&mut backend.out, b'c', |_| ());
                self.complete(at, &format!("COPY {rows}"));
            }
            Statement::Set(name, value) => {
                backend.settings.insert(name.clone(), value.clone());
                self.complete(at, "SET");
            }
            Statement::Prepare(name, _) if backend.statements.contains_key(name) => {
                self.fail(at, "42P05", &format!("prepared statement \"{name}\" already exists"));
            }
            Statement::Prepare(name, what) => {
                backend.prepared.insert(name.clone(), statement.write());
                backend.statements.insert(name.clone(), (**what).clone());
                self.complete(at, "PREPARE");
            }
            Statement::Deallocate(name) => {
                backend.prepared.remove(name);
                match backend.statements.remove(name) {
                    Some(_) => self.complete(at, "DEALLOCATE"),
                    None => self.no_statement(at, name),
                }
            }
            Statement::DeallocateAll => {
                backend.statements.clear();
                backend.prepared.clear();
                self.complete(at, "DEALLOCATE ALL");
            }
            Statement::Execute(..) => unreachable!("it was just run"),
            Statement::Own(own) => self.run_own(at, own),
        }
    }

    fn run_own(&mut self, at: usize, own: &Own) {
        let keeps = self.lie == Some(Lie::KeepsSession);
        let backend = &mut self.backends[at];
        match own {
            Own::Set(all) => {
                for (name, value) in all {
                    match value.as_ref().or(backend.defaults.get(name)).cloned() {
                        Some(value) => _ = backend.settings.insert(name.clone(), value),
                        None => _ = backend.settings.remove(name),
                    }
                }
                description(&mut backend.out);
                put(&mut backend.out, b'D', |body| count(body, 0));
                self.complete(at, "SELECT 1");
            }
            Own::Ask(parts) => {
                let set: Vec<(String, String)> = backend.settings.clone().into_iter().collect();
                let value = |name: &str| backend.settings.get(name).cloned();
                let names = backend.statements.keys().filter(|name| !name.is_empty());
                let prepared: Vec<own_words::Prepared> = names.map(|name| (name.clone(), backend.prepared.get(name).cloned())).collect();
                let rows = own_words::answer(parts, |letter| letter == 's' && !backend.prepared.is_empty(), &set, value, &prepared);
                description(&mut backend.out);
                for row in &rows {
                    put(&mut backend.out, b'D', |body| body.extend(own_words::row_body(row)));
                }
                self.complete(at, &format!("SELECT {}", rows.len()));
            }
            Own::ResetAll => {
                if !keeps {
                    backend.settings = backend.defaults.clone();
                }
                self.complete(at, "RESET");
            }
            Own::DiscardAll if backend.status != b'I' => self.fail(at, "25001", "DISCARD ALL cannot run inside a transaction block"),
            Own::DiscardAll => {
                if !keeps {
                    backend.settings = backend.defaults.clone();
                }
                backend.statements.clear();
                backend.prepared.clear();
                backend.portals.clear();
                self.complete(at, "DISCARD ALL");
            }
            Own::Left => {
                let rows = own_words::left(backend.prepared.keys().map(String::as_str));
                description(&mut backend.out);
                for row in &rows {
                    put(&mut backend.out, b'D', |body| body.extend(own_words::row_body(row)));
                }
                self.complete(at, &format!("SELECT {}", rows.len()));
            }
            Own::DiscardTemp => self.complete(at, "DISCARD TEMP"),
            Own::Deallocate(name) => match backend.statements.remove(name) {
                Some(_) => self.complete(at, "DEALLOCATE"),
                None => self.no_statement(at, name),
            },
            Own::Fails => self.fail(at, "42601", "syntax error"),
            Own::Other(tag) => self.complete(at, tag),
        }
    }

    pub(super) fn finish_rows(&mut self, at: usize, statement: &Statement, tag: Option<u64>, limit: Option<usize>) {
        let Statement::Rows { mark, rows, bytes, .. } = statement else { return };
        let (lie, backend) = (self.lie, &mut self.backends[at]);
        let simple = limit.is_none();
        if simple {
            description(&mut backend.out);
        }
        let mut tag = tag.expect("rows have a tag");
        if lie == Some(Lie::WrongTag) && self.dice.chance(20) {
            tag += 1_000_000;
        }
        let from = if simple { 0 } else { backend.portals.get("").map_or(0, |portal| portal.sent) };
        let extra = usize::from(lie == Some(Lie::ExtraRow) && self.dice.chance(20));
        let most = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let until = (rows + extra).min(from.saturating_add(most));
        let settings = backend.settings.iter().map(|(name, value)| format!("{name}={value}"));
        let state: Vec<String> = settings.chain([format!("user={}", backend.user)]).collect();
        let before = backend.out.len();
        for row in from..until {
            let filling = vec![b'a' + (tag % 26) as u8; *bytes];
            let numbers = [tag, *mark, backend.pid as u64, backend.transaction, row as u64].map(|number| number.to_string().into_bytes());
            let columns = numbers.into_iter().chain([state.join(",").into_bytes(), filling]);
            put(&mut backend.out, b'D', |body| {
                count(body, 7);
                for column in columns {
                    body.extend_from_slice(&(column.len() as i32).to_be_bytes());
                    body.extend_from_slice(&column);
                }
            });
        }
        if let Some(portal) = backend.portals.get_mut("").filter(|_| !simple) {
            portal.sent = until;
        }
        // PostgreSQL suspends a portal as soon as the limit is reached, whether or not there are more rows.
        if until - from == most {
            put(&mut backend.out, b's', |_| ());
        } else {
            self.complete(at, &format!("SELECT {}", until - from));
        }
        let dies = self.dice.chance(self.mischief.dies);
        if dies || self.dice.chance(self.mischief.reply_hangs) {
            self.cut_reply(at, before, dies);
        }
    }
}
