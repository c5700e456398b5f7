//! A client as an application could be: it logs in, sends queries, pipelines, transactions, COPY and cancel requests in random pieces, and sometimes
//! vanishes. It knows for every reply what must be in it and panics at the first one that is not its own, out of order, or incomplete.
//!
//! What it expects is one flat list of replies in the order of its messages; an error shortens the list as PostgreSQL's rules say.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use pg_dog::io::sim::{Dice, PeerId, PeerRead, World};

use crate::language::{Statement, Tag};
use crate::message::{Inbox, count, put, put_packet, text};

#[path = "replies.rs"]
mod replies;

/// Requests that a client sends ahead of their replies.
const AHEAD_MAX: usize = 4;
/// Bytes of rows that one request asks for at most.
const FILLING_MAX: u64 = 3000;
/// Lines of what happened that each client keeps.
const HISTORY: usize = 40;

/// How a client behaves; chances are per mille and per request.
#[derive(Clone, Debug)]
pub struct Habits {
    pub requests: usize,
    pub session_mode: bool,
    /// vanishes, in mid-request or not
    pub vanishes: u32,
    /// sends a cancel request while something is outstanding
    pub cancels: u32,
    /// says nothing for up to this long between requests
    pub thinks_ns: u64,
    /// servers die or refuse here: errors that say so are right, and so is a closed connection
    pub forgives: bool,
}

/// What all clients know together: a transaction of a server belongs to one of them.
#[derive(Default)]
pub struct Census {
    owners: BTreeMap<(u64, u64), usize>,
    /// replies that were checked
    pub rows: u64,
    pub errors: BTreeMap<String, u64>,
}

/// What the next replies must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Parsed,
    Bound,
    /// 't' and then as for a portal
    DescribedStatement,
    Described,
    Run(Run),
    /// this must be refused
    NamedRefused,
    /// function call result
    Value(u64),
    Ready {
        sync: bool,
    },
}

/// A statement that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    statement: Statement,
    tag: u64,
    /// which rows come
    rows: Range<usize>,
    /// the portal has more
    suspends: bool,
    /// CopyFail ends it
    fails: bool,
}

impl Run {
    fn whole(statement: &Statement, tag: u64) -> Run {
        let rows = match statement {
            Statement::Rows { rows, .. } | Statement::CopyOut { rows, .. } => *rows,
            _ => 0,
        };
        Run { statement: statement.clone(), tag, rows: 0..rows, suspends: false, fails: false }
    }
}

/// Data of a COPY that goes out when the server says CopyInResponse.
struct CopyData {
    tag: u64,
    bytes: Vec<u8>,
    /// if the server does not say so, a Sync goes out instead
    owes_sync: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    what: What,
    /// part of a simple query: an error ends at the next Ready; otherwise at the next Sync's
    simple: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    LoggingIn,
    Working,
    /// said goodbye, or was told to go
    Leaving,
    Gone,
}

/// One client.
pub struct FakeClient {
    id: usize,
    user: String,
    world: World,
    dice: Dice,
    habits: Habits,
    census: Rc<RefCell<Census>>,
    peer: PeerId,
    cores: usize,
    pub phase: Phase,
    inbox: Inbox,
    out: Vec<u8>,
    expected: VecDeque<Expected>,
    /// replies to the front one that came already
    seen: usize,
    /// Ready messages that are still to come
    ahead: usize,
    next_tag: u64,
    requests: usize,
    /// what the requests sent so far will lead to, if nothing fails
    planned_open: bool,
    copy_data: Option<CopyData>,
    /// mark of the unnamed statement that the session has for sure
    unnamed: Option<u64>,
    /// the same, if nothing fails
    planned_unnamed: Option<u64>,
    /// something failed since nothing was outstanding
    failed: bool,
    status: u8,
    /// after an error that a server's end caused, the next Ready says what the status is
    unsure: bool,
    /// (backend, transaction) of the open transaction
    within: Option<(u64, u64)>,
    /// what a cancel request must name
    key: Option<(i32, Vec<u8>)>,
    cancelled: bool,
    cancels: Vec<PeerId>,
    /// application_name: now, and at the beginning of the transaction; None = not sure
    name: Option<String>,
    saved_name: Option<String>,
    /// as the last ParameterStatus told it
    told_name: String,
    names: u64,
    wakes_at: u64,
    deaf_until: u64,
    /// the last things said and heard, for the message of a failure
    history: VecDeque<String>,
    /// last time when something came or went
    pub moved_at: u64,
}

impl FakeClient {
    /// Client number `id`, connected to one of `cores` cores.
    pub fn new(id: usize, world: &World, mut dice: Dice, cores: usize, habits: Habits, user: &str, census: &Rc<RefCell<Census>>) -> FakeClient {
        let peer = world.connect_client(dice.below(cores as u64) as usize);
        let name = format!("c{id}-0");
        let mut out = Vec::new();
        put_packet(&mut out, |body| {
            body.extend_from_slice(&0x3_0000u32.to_be_bytes());
            for (key, value) in [("user", user), ("database", "app"), ("application_name", &name)] {
                text(body, key);
                text(body, value);
            }
            body.push(0);
        });
        let now = world.now();
        FakeClient {
            id,
            user: user.to_string(),
            world: world.clone(),
            dice,
            habits,
            census: census.clone(),
            peer,
            cores,
            phase: Phase::LoggingIn,
            inbox: Inbox::default(),
            out,
            expected: VecDeque::new(),
            seen: 0,
            ahead: 1,
            next_tag: id as u64 * 10_000,
            requests: 0,
            planned_open: false,
            copy_data: None,
            unnamed: None,
            planned_unnamed: None,
            failed: false,
            status: b'I',
            unsure: false,
            within: None,
            key: None,
            cancelled: false,
            cancels: Vec::new(),
            name: Some(name.clone()),
            saved_name: Some(name),
            told_name: String::new(),
            names: 0,
            wakes_at: 0,
            deaf_until: 0,
            history: VecDeque::new(),
            moved_at: now,
        }
    }

    /// Nothing more will come from this one.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Gone && self.cancels.is_empty()
    }

    /// What it waits for, for the message of a failure.
    pub fn describe(&self) -> String {
        let front: Vec<&What> = self.expected.iter().take(3).map(|one| &one.what).collect();
        let history: Vec<&str> = self.history.iter().map(String::as_str).collect();
        let (id, phase, requests, left) = (self.id, self.phase, self.requests, self.out.len());
        format!("client {id}: {phase:?}, {requests} requests, {left} bytes to write, expects {front:?}\n  {}", history.join("\n  "))
    }

    /// When it does something by itself.
    pub fn next_time(&self) -> Option<u64> {
        let now = self.world.now();
        let times = [self.wakes_at, self.deaf_until];
        if self.phase == Phase::Gone { None } else { times.into_iter().filter(|at| *at > now).min() }
    }

    fn wrong(&self, what: &str) -> ! {
        let (history, next) = (self.history.iter().map(String::as_str).collect::<Vec<_>>(), self.expected.iter().take(3).collect::<Vec<_>>());
        panic!("client {} at {} ns: {what}; expected {next:?}; it was so:\n  {}", self.id, self.world.now(), history.join("\n  "));
    }

    /// Keeps a line for the message of a failure.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(format!("{} {}", self.world.now(), line()));
    }

    /// Does what can be done now; false if that was nothing.
    pub fn poll(&mut self) -> bool {
        let mut progress = self.poll_cancels();
        if self.phase == Phase::Gone {
            return progress;
        }
        let now = self.world.now();
        progress |= self.write();
        if now >= self.deaf_until {
            progress |= self.read();
        }
        if self.phase == Phase::Working && now >= self.wakes_at && self.ahead < AHEAD_MAX && self.copy_data.is_none() && self.out.len() < 2048 {
            self.next_request();
            progress = true;
        }
        if progress {
            self.moved_at = now;
        }
        progress
    }

    fn poll_cancels(&mut self) -> bool {
        let before = self.cancels.len();
        let world = self.world.clone();
        self.cancels.retain(|peer| match world.peer_read(*peer, 16) {
            PeerRead::Empty => true,
            PeerRead::Bytes(_) => panic!("a cancel request was answered"),
            PeerRead::End | PeerRead::Reset => {
                world.peer_close(*peer);
                false
            }
        });
        self.cancels.len() < before
    }

    fn write(&mut self) -> bool {
        if self.out.is_empty() {
            return false;
        }
        let piece = if self.dice.chance(500) { self.out.len() } else { self.dice.between(1, self.out.len() as u64) as usize };
        let written = self.world.peer_write(self.peer, &self.out[..piece]);
        self.out.drain(..written);
        written > 0
    }

    fn read(&mut self) -> bool {
        match self.world.peer_read(self.peer, self.dice.between(1, 4096) as usize) {
            PeerRead::Bytes(bytes) => {
                self.inbox.push(&bytes);
                while let Some(message) = self.inbox.message() {
                    self.message(&message);
                }
                if self.dice.chance(20) {
                    self.deaf_until = self.world.now() + self.dice.below(2_000_000);
                }
                true
            }
            PeerRead::Empty => false,
            end => {
                if self.phase != Phase::Leaving && !self.habits.forgives {
                    self.wrong(&format!("the connection ended ({end:?})"));
                }
                self.go();
                true
            }
        }
    }

    fn go(&mut self) {
        self.world.peer_close(self.peer);
        self.phase = Phase::Gone;
    }

    // ---- what it says ----

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    fn next_request(&mut self) {
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
            if self.dice.chance(500) {
                self.world.peer_reset(self.peer)
            } else {
                self.world.peer_close(self.peer)
            }
            self.phase = Phase::Gone;
            return;
        }
        if self.ahead > 0 && self.dice.chance(self.habits.cancels) {
            self.cancel();
        }
        match self.dice.below(100) {
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
        let core = self.dice.below(self.cores as u64) as usize;
        let peer = self.world.connect_client(core);
        let mut packet = Vec::new();
        put_packet(&mut packet, |body| {
            body.extend_from_slice(&80_877_102u32.to_be_bytes());
            body.extend_from_slice(&pid.to_be_bytes());
            body.extend_from_slice(&secret);
        });
        assert_eq!(self.world.peer_write(peer, &packet), packet.len(), "a fresh connection has room");
        self.cancels.push(peer);
        self.note(|| format!("cancels through core {core}"));
        self.cancelled = true;
    }

    fn rows(&mut self, tag: Tag) -> Statement {
        let rows = self.dice.below(6) as usize;
        let bytes = self.dice.below(FILLING_MAX) as usize / (rows + 1);
        let slow_us = if self.dice.chance(200) { self.dice.below(3000) } else { 0 };
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

    fn expect(&mut self, what: What, simple: bool) {
        self.ahead += usize::from(matches!(what, What::Ready { .. }));
        self.note(|| format!("said what brings {what:?}"));
        self.expected.push_back(Expected { what, simple });
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
        if let Statement::Rows { tag: tag @ Tag::Is(_), .. } = &mut statement {
            if self.dice.chance(500) {
                bound = match std::mem::replace(tag, Tag::Bound) {
                    Tag::Is(tag) => Some(tag),
                    Tag::Bound => None,
                };
            }
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
        if self.dice.chance(200) {
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
        let statement = if self.dice.chance(600) {
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
        if self.habits.session_mode {
            return self.simple();
        }
        let tag = self.tag();
        let statement = self.rows(Tag::Is(tag));
        self.parse("mine", &statement);
        self.expect(What::NamedRefused, false);
        self.bind("mine", None);
        self.execute(Run::whole(&statement, tag), 0);
        self.sync();
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
