//! What a simulated client makes of the replies it gets.

use super::{Expected, FakeClient, Phase, Run, What};
use crate::language::Statement;
use crate::message::{Fields, Message, error_fields, put, text};

impl FakeClient {
    pub(super) fn message(&mut self, message: &Message) {
        // Notices and notifications come when they like.
        if matches!(message.kind, b'N' | b'A') {
            return;
        }
        if message.kind != b'S' {
            self.moved_at = self.world.now();
        }
        self.note(|| format!("heard {} {}", char::from(message.kind), message.body[..message.body.len().min(60)].escape_ascii()));
        match message.kind {
            b'S' => self.parameter(&message.body),
            b'E' => self.error(&message.body),
            b'R' | b'K' if self.phase == Phase::LoggingIn => self.login(message),
            b'Z' => self.ready(message.body[0]),
            kind => {
                let Some(front) = self.expected.front().cloned() else { self.wrong(&format!("a message {} came unasked", char::from(kind))) };
                if self.reply(&front, message) {
                    self.open_tags.extend(if let What::Run(run) = &front.what { Some(run.tag) } else { None });
                    self.expected.pop_front();
                    self.seen = 0;
                }
            }
        }
    }

    fn login(&mut self, message: &Message) {
        let mut fields = Fields(&message.body);
        match (message.kind, fields.i32()) {
            (b'R', 0) => {}
            (b'R', 3) => put(&mut self.out, b'p', |body| text(body, "secret")),
            (b'K', pid) => self.key = Some((pid, fields.0.to_vec())),
            (_, code) => self.wrong(&format!("authentication by {code} is asked for")),
        }
    }

    fn parameter(&mut self, body: &[u8]) {
        let mut fields = Fields(body);
        let (name, value) = (fields.text(), fields.text());
        if name == "application_name" {
            self.told_name = value;
        }
    }

    fn is_own_name(&self, name: &str) -> bool {
        if self.habits.anonymous {
            return name == "all";
        }
        name.strip_prefix('c').and_then(|rest| rest.split_once('-')).is_some_and(|(id, _)| id == self.id.to_string())
    }

    fn ready(&mut self, status: u8) {
        // Fitting a session may take a detour, but in the end what a client was told is what is.
        let true_name = match &self.name {
            Some(name) => self.told_name == *name,
            None => self.is_own_name(&self.told_name),
        };
        if !true_name {
            self.wrong(&format!("it was told that its application_name is {:?}, and not {:?}", self.told_name, self.name));
        }
        if self.phase == Phase::LoggingIn {
            self.phase = Phase::Working;
            self.ahead -= 1;
            return;
        }
        if !matches!(self.expected.front(), Some(Expected { what: What::Ready { .. }, .. })) {
            self.wrong("ReadyForQuery came before the replies were complete");
        }
        self.expected.pop_front();
        if !self.unsure && status != self.status {
            self.wrong(&format!("ReadyForQuery says {:?}, but it must be {:?}", char::from(status), char::from(self.status)));
        }
        self.ahead -= 1;
        self.status = status;
        self.unsure = false;
        if status == b'I' {
            self.believe();
            self.within = None;
            self.saved_name = self.name.clone();
        }
        if self.ahead == 0 {
            self.planned_open = status != b'I';
            let failed = std::mem::take(&mut self.failed);
            self.planned_unnamed = self.planned_unnamed.filter(|_| !failed);
            self.unnamed = self.planned_unnamed;
        }
    }

    fn error(&mut self, body: &[u8]) {
        let (severity, code, message) = error_fields(body);
        *self.census.borrow_mut().errors.entry(code.clone()).or_default() += 1;
        let end = self.habits.ends.contains(&code.as_str());
        if severity == "FATAL" {
            if !self.habits.forgives && matches!(code.as_str(), "08006" | "08007") {
                self.census.borrow_mut().excused += 1;
            } else if !self.habits.forgives || !end {
                self.wrong(&format!("FATAL {code}: {message}"));
            }
            self.phase = Phase::Leaving;
            self.told_to_go = true;
            self.expected.clear();
            return;
        }
        let Some(front) = self.expected.front().cloned() else { self.wrong(&format!("an error came unasked: {code}: {message}")) };
        let own = self.is_right_error(&front.what, &code, &message);
        if !(own || end && self.habits.forgives) {
            self.wrong(&format!("{code}: {message}"));
        }
        self.failed = true;
        self.unnamed = None;
        self.seen = 0;
        if !own {
            self.unsure = true;
            self.made = None;
            self.open_tags.clear();
            self.within = None;
            (self.name, self.saved_name) = (None, None);
        } else if self.status == b'I' {
            self.open_tags.clear();
            self.name = self.saved_name.clone();
        } else {
            self.status = b'E';
        }
        self.skip(front.simple);
    }

    /// What it was told is done must be.
    fn believe(&mut self) {
        self.census.borrow_mut().promised.extend(self.open_tags.drain(..).filter(|tag| *tag != 0));
    }

    /// Forgets what the server skips after an error.
    fn skip(&mut self, simple: bool) {
        while let Some(front) = self.expected.front() {
            match front.what {
                What::Ready { sync } if sync || simple => break,
                What::Ready { .. } => self.ahead -= 1,
                What::Run(Run { statement: Statement::CopyIn(tag), .. }) => {
                    let data = self.copy_data.take_if(|data| data.tag == tag);
                    if data.is_some_and(|data| data.owes_sync) {
                        put(&mut self.out, b'S', |_| ());
                    }
                }
                _ => {}
            }
            self.expected.pop_front();
        }
    }

    /// Whether PostgreSQL itself would answer so.
    fn is_right_error(&self, what: &What, code: &str, message: &str) -> bool {
        let cancelled = self.cancelled && code == "57014" && message == "canceling statement due to user request";
        let aborted = self.status == b'E' && code == "25P02";
        match what {
            What::Ready { .. } => false,
            _ if cancelled => true,
            What::Closed => false,
            What::Run(run) => match &run.statement {
                statement if aborted => !statement.ends_transaction(),
                Statement::Error(tag) => code == "22012" && message == format!("failed as asked: {tag}"),
                Statement::CopyIn(tag) => run.fails && code == "57014" && message == format!("COPY from stdin failed: no more of {tag}"),
                _ => false,
            },
            _ => aborted,
        }
    }

    /// One message of the reply that is expected next; true if it is the last.
    fn reply(&mut self, front: &Expected, message: &Message) -> bool {
        match (&front.what, message.kind) {
            (What::Parsed, b'1') | (What::Bound, b'2') | (What::Closed, b'3') | (What::Described, b'T' | b'n') => true,
            (What::DescribedStatement, b't') => {
                self.expected[0].what = What::Described;
                false
            }
            (What::Value(tag), b'V') if self.status != b'E' => {
                let got = String::from_utf8_lossy(Fields(&message.body).value()).into_owned();
                if got != tag.to_string() {
                    self.wrong(&format!("the function returned {got}"));
                }
                true
            }
            (What::Run(run), kind) => self.run(run, front.simple, kind, &message.body),
            (_, kind) => self.wrong(&format!("a message {} came", char::from(kind))),
        }
    }

    fn run(&mut self, run: &Run, simple: bool, kind: u8, body: &[u8]) -> bool {
        if self.status == b'E' && !run.statement.ends_transaction() {
            self.wrong("a statement ran in a failed transaction");
        }
        self.seen += 1;
        let (seen, wanted) = (self.seen, run.rows.len());
        let tag = if kind == b'C' { Fields(body).text() } else { String::new() };
        match (&run.statement, kind) {
            (Statement::Empty, b'I') => true,
            (Statement::Begin, b'C') if tag == "BEGIN" => {
                self.status = b'T';
                true
            }
            (Statement::Commit | Statement::Rollback, b'C') => {
                let rolls_back = self.status == b'E' || run.statement == Statement::Rollback;
                if tag != if rolls_back { "ROLLBACK" } else { "COMMIT" } {
                    self.wrong(&format!("the end of a transaction was a {tag}"));
                }
                if rolls_back {
                    self.name = self.saved_name.clone();
                    self.open_tags.clear();
                } else {
                    self.believe();
                }
                self.saved_name = self.name.clone();
                self.status = b'I';
                true
            }
            (Statement::Set(name, value), b'C') if tag == "SET" => {
                if name == "application_name" {
                    self.name = Some(value.clone());
                }
                true
            }
            (Statement::Prepare(name, what), b'C') if tag == "PREPARE" => {
                let Statement::Rows { mark, .. } = **what else { return true };
                self.made = Some((name.clone(), mark));
                true
            }
            (Statement::Deallocate(_), b'C') if tag == "DEALLOCATE" => {
                self.made = None;
                true
            }
            (Statement::DeallocateAll, b'C') if tag == "DEALLOCATE ALL" => {
                self.made = None;
                true
            }
            (Statement::CopyIn(tag), b'G') if seen == 1 => {
                if let Some(data) = self.copy_data.take_if(|data| data.tag == *tag) {
                    self.out.extend_from_slice(&data.bytes);
                }
                false
            }
            (Statement::CopyIn(_), b'C') if seen == 2 && !run.fails && tag == format!("COPY {wanted}") => true,
            (Statement::CopyOut { .. }, b'H') if seen == 1 => false,
            (Statement::CopyOut { tag, .. }, b'd') if (2..wanted + 2).contains(&seen) => {
                if body != format!("copy {tag} {}\n", seen - 2).as_bytes() {
                    self.wrong(&format!("CopyData {:?} came", String::from_utf8_lossy(body)));
                }
                false
            }
            (Statement::CopyOut { .. }, b'c') if seen == wanted + 2 => false,
            (Statement::CopyOut { .. }, b'C') if seen == wanted + 3 && tag == format!("COPY {wanted}") => true,
            (Statement::Rows { .. }, b'T') if simple && seen == 1 => false,
            (Statement::Rows { .. }, b'D') if seen > usize::from(simple) && seen - usize::from(simple) <= wanted => {
                self.row(run, run.rows.start + seen - 1 - usize::from(simple), body);
                false
            }
            (Statement::Rows { .. }, b'C') if seen == wanted + 1 + usize::from(simple) && !run.suspends && tag == format!("SELECT {wanted}") => true,
            (Statement::Rows { .. }, b's') if seen == wanted + 1 && run.suspends => true,
            _ => self.wrong(&format!("a message {} {tag} came as number {seen}", char::from(kind))),
        }
    }

    fn row(&mut self, run: &Run, number: usize, body: &[u8]) {
        let Statement::Rows { mark, bytes, .. } = &run.statement else { return };
        let mut fields = Fields(body);
        assert_eq!(fields.count(), 7, "rows here have seven columns");
        let mut column = || String::from_utf8(fields.value().to_vec()).expect("rows are text");
        let (tag, got_mark, pid, transaction, row, state, filling) = (column(), column(), column(), column(), column(), column(), column());
        if (tag.as_str(), got_mark.as_str(), row.as_str()) != (&run.tag.to_string(), &mark.to_string(), &number.to_string()) {
            self.wrong(&format!("a row of tag {tag}, mark {got_mark}, number {row} came as number {number}"));
        }
        if filling.len() != *bytes || filling.bytes().any(|byte| byte != b'a' + (run.tag % 26) as u8) {
            self.wrong(&format!("the filling is {} bytes of another row", filling.len()));
        }
        let key = (pid.parse().expect("a number"), transaction.parse().expect("a number"));
        if self.within.is_some_and(|within| within != key) {
            self.wrong(&format!("the transaction moved from {:?} to {key:?}", self.within));
        }
        self.within = Some(key);
        let owner = *self.census.borrow_mut().owners.entry(key).or_insert(self.id);
        if owner != self.id {
            self.wrong(&format!("the transaction {key:?} is client {owner}'s"));
        }
        self.census.borrow_mut().rows += 1;
        self.session_state(&state);
    }

    /// The session must be as this client made it.
    fn session_state(&self, state: &str) {
        let mut name = None;
        for (key, value) in state.split(',').filter_map(|one| one.split_once('=')) {
            match key {
                "application_name" => name = Some(value),
                "user" if value == self.user => {}
                "work_mem" if value == format!("c{}", self.id) => {}
                _ => self.wrong(&format!("the session has {key} = {value}")),
            }
        }
        match (name, &self.name) {
            (Some(got), Some(known)) if got == known => {}
            (Some(got), None) if self.is_own_name(got) => {}
            (got, known) => self.wrong(&format!("application_name is {got:?}, not {known:?}")),
        }
    }
}
