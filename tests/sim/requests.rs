//! What a simulated client says: requests of every kind, with what must come back for them.

use super::{CopyData, Expected, FILLING_MAX, FakeClient, Leave, Phase, Run, What};
use crate::language::{Statement, Tag};
use crate::message::{count, put, put_packet, text};

impl FakeClient {
    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    pub(super) fn next_request(&mut self) {
        if self.requests >= self.habits.requests {
            // Politely, when everything is answered and no transaction is open; what is left open is rolled back by going.
            if self.ahead == 0 || self.dice.chance(100) {
                put(&mut self.out, b'X', |_| ());
                self.phase = Phase::Leaving;
            } else {
                self.wakes_at = self.world.now() + 1_000_000;
            }
            return;
        }
        self.requests += 1;
        if self.dice.chance(self.habits.vanishes) {
            let leave = if self.dice.chance(500) { Leave::Reset } else { Leave::Close };
            return self.leave(leave);
        }
        if self.ahead > 0 && self.dice.chance(self.habits.cancels) {
            self.cancel();
        }
        if self.ahead == 0 && self.dice.chance(self.habits.prepares) {
            return self.in_sql();
        }
        let bound_again = self.unnamed.is_some() && self.ahead == 0 && self.dice.chance(150);
        match self.dice.below(100) {
            _ if bound_again => self.bind_again(),
            0..=34 => self.simple(),
            35..=74 => self.extended(),
            75..=81 => self.copy_in(),
            82..=86 => self.call(),
            87..=90 => self.unsynced(),
            91..=93 => self.set(),
            94..=95 => self.named(),
            _ => self.bind_again(),
        }
        if self.dice.chance(300) {
            self.wakes_at = self.world.now() + self.dice.below(self.habits.thinks_ns + 1);
        }
    }

    fn cancel(&mut self) {
        let Some((pid, secret)) = self.key.clone() else { return };
        if !self.dice.chance(self.habits.odd_cancels) {
            self.cancelled = true;
            return self.say_cancel(pid, &secret, usize::MAX);
        }
        match self.dice.below(4) {
            0 => {
                self.cancelled = true;
                self.say_cancel(pid, &secret, usize::MAX);
                self.say_cancel(pid, &secret, usize::MAX);
            }
            // Whose ever these are, nobody may notice them.
            which @ (1 | 2) => {
                let off = if which == 1 { 0 } else { self.dice.between(1, 20) as i32 - 10 };
                let wrong = (self.dice.roll() as u32).to_be_bytes();
                self.say_cancel((pid + off).max(1), &wrong, usize::MAX);
            }
            _ => {
                let bytes = self.dice.below(16) as usize;
                self.say_cancel(pid, &secret, bytes);
            }
        }
    }

    /// A connection with a cancel request, of which `most` bytes are sent.
    fn say_cancel(&mut self, pid: i32, secret: &[u8], most: usize) {
        let core = self.dice.below(self.cores as u64) as usize;
        let peer = self.world.connect_client(core);
        let mut packet = Vec::new();
        put_packet(&mut packet, |body| {
            body.extend_from_slice(&80_877_102u32.to_be_bytes());
            body.extend_from_slice(&pid.to_be_bytes());
            body.extend_from_slice(secret);
        });
        let bytes = packet.len().min(most);
        let written = self.world.peer_write(peer, &packet[..bytes]);
        assert!(written == bytes || self.world.peer_gone(peer), "a fresh connection has room");
        self.note(|| format!("cancels {pid} through core {core} with {bytes} bytes"));
        if bytes < packet.len() {
            return self.world.peer_close(peer);
        }
        self.cancels.push(peer);
    }

    fn rows(&mut self, tag: Tag) -> Statement {
        let rows = self.dice.below(6) as usize;
        let bytes = self.dice.below(FILLING_MAX) as usize / (rows + 1);
        let slow_us = if self.dice.chance(200) { self.dice.below(self.habits.slow_us) } else { 0 };
        Statement::Rows { tag, mark: self.dice.below(1 << 30), rows, bytes, slow_us }
    }

    /// A statement that goes on from where the transaction will be.
    fn statement(&mut self) -> Statement {
        match self.dice.below(100) {
            0..=19 if self.planned_open => {
                self.planned_open = false;
                if self.dice.chance(700) { Statement::Commit } else { Statement::Rollback }
            }
            0..=14 => {
                self.planned_open = true;
                Statement::Begin
            }
            20..=25 => Statement::Error(self.tag()),
            26..=30 => Statement::CopyOut { tag: self.tag(), rows: self.dice.below(20) as usize },
            31..=33 => Statement::Empty,
            _ => {
                let tag = self.tag();
                self.rows(Tag::Is(tag))
            }
        }
    }

    /// Remembers what must never be committed because it goes now.
    pub(super) fn renounce(&mut self) {
        let sent = |one: &Expected| matches!(one.what, What::Ready { .. }) && one.ends_at <= self.written;
        let whole = self.expected.iter().rposition(sent).map_or(0, |last| last + 1);
        let tags = |one: &Expected| match &one.what {
            What::Run(run) => Some(run.tag),
            _ => None,
        };
        let ends = |one: &Expected| matches!(&one.what, What::Run(run) if run.statement.ends_transaction());
        let mut census = self.census.borrow_mut();
        if !self.expected.range(whole..).any(ends) {
            census.never.extend(self.expected.range(whole..).filter_map(tags));
        }
        if self.status != b'I' && !self.expected.iter().any(ends) {
            census.never.extend(&self.open_tags);
        }
    }

    fn expect(&mut self, what: What, simple: bool) {
        self.ahead += usize::from(matches!(what, What::Ready { .. }));
        self.note(|| format!("said what brings {what:?}"));
        self.expected.push_back(Expected { what, simple, ends_at: self.written + self.out.len() as u64 });
    }

    fn simple(&mut self) {
        let count = if self.dice.chance(700) { 1 } else { self.dice.between(2, 4) };
        let mut statements: Vec<Statement> = (0..count).map(|_| self.statement()).collect();
        if count > 1 {
            // Empty ones among others answer nothing.
            statements.retain(|one| *one != Statement::Empty);
        }
        if statements.is_empty() {
            statements.push(Statement::Empty);
        }
        self.query(&statements);
    }

    fn query(&mut self, statements: &[Statement]) {
        let texts: Vec<String> = statements.iter().map(Statement::write).collect();
        put(&mut self.out, b'Q', |body| text(body, &texts.join("; ")));
        self.planned_unnamed = None;
        for statement in statements {
            self.expect(What::Run(Run::whole(statement, plain_tag(statement))), true);
        }
        self.expect(What::Ready { sync: false }, true);
    }

    fn parse(&mut self, name: &str, statement: &Statement) {
        let query = statement.write();
        put(&mut self.out, b'P', |body| {
            text(body, name);
            text(body, &query);
            count(body, 0);
        });
    }

    fn bind(&mut self, name: &str, tag: Option<u64>) {
        put(&mut self.out, b'B', |body| {
            text(body, "");
            text(body, name);
            count(body, 0);
            count(body, usize::from(tag.is_some()));
            if let Some(tag) = tag.map(|tag| tag.to_string()) {
                body.extend_from_slice(&(tag.len() as i32).to_be_bytes());
                body.extend_from_slice(tag.as_bytes());
            }
            count(body, 0);
        });
        self.expect(What::Bound, false);
    }

    /// Execute, of `limit` rows at most (0: all).
    fn execute(&mut self, run: Run, limit: usize) {
        put(&mut self.out, b'E', |body| {
            text(body, "");
            body.extend_from_slice(&(limit as i32).to_be_bytes());
        });
        self.expect(What::Run(run), false);
    }

    fn describe_it(&mut self, statement: bool) {
        put(&mut self.out, b'D', |body| {
            body.push(if statement { b'S' } else { b'P' });
            text(body, "");
        });
        self.expect(if statement { What::DescribedStatement } else { What::Described }, false);
    }

    /// Parse, Bind, Execute of one statement, with or without Describe.
    fn parse_bind_execute(&mut self, statement: Statement) {
        let (mut statement, mut bound) = (statement, None);
        if let Statement::Rows { tag: tag @ Tag::Is(_), .. } = &mut statement
            && self.dice.chance(500)
        {
            bound = match std::mem::replace(tag, Tag::Bound) {
                Tag::Is(tag) => Some(tag),
                Tag::Bound => None,
            };
        }
        self.parse("", &statement);
        self.expect(What::Parsed, false);
        self.planned_unnamed = None;
        if self.dice.chance(200) {
            self.describe_it(true);
        }
        self.bind("", bound);
        if self.dice.chance(400) {
            self.describe_it(false);
        }
        let tag = bound.unwrap_or_else(|| plain_tag(&statement));
        let rows = if let Statement::Rows { rows, .. } = statement { rows } else { 0 };
        if rows > 1 && self.dice.chance(300) {
            // A cursor: PostgreSQL suspends the portal between the parts.
            let first = self.dice.between(1, rows as u64 - 1) as usize;
            let whole = Run::whole(&statement, tag);
            self.execute(Run { rows: 0..first, suspends: true, ..whole.clone() }, first);
            if self.dice.chance(300) {
                put(&mut self.out, b'H', |_| ());
            }
            self.execute(Run { rows: first..rows, ..whole }, 0);
        } else {
            self.execute(Run::whole(&statement, tag), 0);
        }
    }

    fn sync(&mut self) {
        put(&mut self.out, b'S', |_| ());
        self.expect(What::Ready { sync: true }, false);
    }

    fn extended(&mut self) {
        for _ in 0..if self.dice.chance(700) { 1 } else { self.dice.between(2, 4) } {
            let statement = self.statement();
            self.parse_bind_execute(statement);
        }
        if self.dice.chance(400) {
            // One that a later request may bind again.
            let mark = self.dice.below(1 << 30);
            self.parse("", &again(mark));
            self.expect(What::Parsed, false);
            self.planned_unnamed = Some(mark);
        }
        self.sync();
    }

    /// Binds the statement of an earlier request, wherever that ran.
    fn bind_again(&mut self) {
        let (Some(mark), true) = (self.unnamed, self.ahead == 0) else { return self.simple() };
        let tag = self.tag();
        self.bind("", Some(tag));
        self.execute(Run::whole(&again(mark), tag), 0);
        self.sync();
    }

    /// Extended-protocol messages without a Sync in front of a query, as drivers with savepoints send them.
    fn unsynced(&mut self) {
        let tag = self.tag();
        let first = if self.dice.chance(200) { Statement::Error(tag) } else { self.rows(Tag::Is(tag)) };
        self.parse_bind_execute(first);
        let tag = self.tag();
        let second = self.rows(Tag::Is(tag));
        self.query(&[second]);
        self.sync();
    }

    fn set(&mut self) {
        let statement = if !self.habits.anonymous && self.dice.chance(600) {
            self.names += 1;
            Statement::Set("application_name".to_string(), format!("c{}-{}", self.id, self.names))
        } else {
            Statement::Set("work_mem".to_string(), format!("c{}", self.id))
        };
        if self.dice.chance(500) {
            return self.query(&[statement]);
        }
        self.parse_bind_execute(statement);
        self.sync();
    }

    fn named(&mut self) {
        let tag = self.tag();
        let statement = self.rows(Tag::Is(tag));
        put(&mut self.out, b'C', |body| {
            body.push(b'S');
            text(body, "mine");
        });
        self.expect(What::Closed, false);
        self.parse("mine", &statement);
        self.expect(What::Parsed, false);
        self.bind("mine", None);
        self.execute(Run::whole(&statement, tag), 0);
        self.sync();
    }

    /// SQL about prepared statements. All clients give them the same names, and each means its own.
    fn in_sql(&mut self) {
        let Some((name, mark)) = self.made.clone() else {
            self.prepared += 1;
            let (name, mark) = (format!("p{}", self.prepared), self.dice.below(1 << 30));
            return self.query(&[Statement::Prepare(name, Box::new(again(mark)))]);
        };
        let tag = self.tag();
        let run = Run::whole(&again(mark), tag);
        let text = Statement::Execute(name.clone(), tag);
        match self.dice.below(10) {
            0 => self.query(&[Statement::Deallocate(name)]),
            1 => self.query(&[Statement::DeallocateAll]),
            2..=6 => {
                put(&mut self.out, b'Q', |body| super::text(body, &text.write()));
                self.planned_unnamed = None;
                self.expect(What::Run(run), true);
                self.expect(What::Ready { sync: false }, true);
            }
            _ => {
                self.parse("", &text);
                self.expect(What::Parsed, false);
                self.planned_unnamed = None;
                self.bind("", None);
                self.execute(run, 0);
                self.sync();
            }
        }
    }

    fn call(&mut self) {
        let tag = self.tag();
        put(&mut self.out, b'F', |body| {
            body.extend_from_slice(&77i32.to_be_bytes());
            count(body, 0);
            count(body, 1);
            let tag = tag.to_string();
            body.extend_from_slice(&(tag.len() as i32).to_be_bytes());
            body.extend_from_slice(tag.as_bytes());
            count(body, 0);
        });
        self.planned_unnamed = None;
        self.expect(What::Value(tag), true);
        self.expect(What::Ready { sync: false }, true);
    }

    fn copy_in(&mut self) {
        let tag = self.tag();
        let statement = Statement::CopyIn(tag);
        let rows = self.dice.below(30);
        let mut data = Vec::new();
        for row in 0..rows {
            put(&mut data, b'd', |body| body.extend_from_slice(format!("copy {tag} {row}\n").as_bytes()));
        }
        let fails = self.dice.chance(200);
        if fails {
            put(&mut data, b'f', |body| text(body, &format!("no more of {tag}")));
        } else {
            put(&mut data, b'c', |_| ());
        }
        let run = What::Run(Run { rows: 0..rows as usize, fails, ..Run::whole(&statement, tag) });
        let eager = self.dice.chance(400);
        let mut owes_sync = false;
        if self.dice.chance(500) {
            put(&mut self.out, b'Q', |body| text(body, &statement.write()));
            self.planned_unnamed = None;
            self.expect(run, true);
            self.expect(What::Ready { sync: false }, true);
        } else {
            self.parse("", &statement);
            self.expect(What::Parsed, false);
            self.planned_unnamed = None;
            self.bind("", None);
            put(&mut self.out, b'E', |body| body.extend_from_slice(&[0; 5]));
            self.expect(run, false);
            put(&mut data, b'S', |_| ());
            self.expect(What::Ready { sync: true }, false);
            if !eager && self.habits.cancels == 0 && self.dice.chance(500) {
                // As libpq does: a Sync at once, which PostgreSQL ignores if the COPY has begun, and answers if it has failed. A cancel request
                // between the two makes PostgreSQL answer both Syncs, so whoever cancels does not do it.
                put(&mut self.out, b'S', |_| ());
            } else if !eager {
                put(&mut self.out, b'H', |_| ());
                owes_sync = true;
            }
        }
        if eager {
            self.out.extend_from_slice(&data);
        } else {
            self.copy_data = Some(CopyData { tag, bytes: data, owes_sync });
        }
    }
}

/// A statement to be bound again and again.
fn again(mark: u64) -> Statement {
    Statement::Rows { tag: Tag::Bound, mark, rows: 1, bytes: 10, slow_us: 0 }
}

/// The tag in a statement's text.
fn plain_tag(statement: &Statement) -> u64 {
    match statement {
        Statement::Rows { tag: Tag::Is(tag), .. } | Statement::CopyIn(tag) | Statement::CopyOut { tag, .. } | Statement::Error(tag) => *tag,
        _ => 0,
    }
}
