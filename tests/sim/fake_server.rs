//! A PostgreSQL server as far as a pooler can tell: startup, both query protocols with the exact rules of errors and transactions, COPY, session
//! parameters, cancel requests; and ways to die. It watches from its side: no statement may run twice, no CopyData may be another's.
//!
//! Rules from PostgreSQL: `PostgresMain` in src/backend/tcop/postgres.c, COPY in src/backend/commands/copyfromparse.c, parameter reports in
//! `ReportChangedGUCOptions`, cancel in src/backend/postmaster/postmaster.c.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use pg_dog::io::sim::{Answer, Dice, PeerId, PeerRead, World};

use crate::language::Statement;
use crate::message::{Fields, Inbox, count, put, put_error, text};

#[path = "statements.rs"]
mod statements;

/// Bytes a server writes ahead of its client before it waits.
const OUT_MAX: usize = 8 << 10;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Parameters of a session that are reported.
const REPORTED: [&str; 1] = ["application_name"];

/// What goes wrong at a server; chances per mille, times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Mischief {
    /// a statement's reply is cut somewhere and the connection breaks
    pub dies: u32,
    /// a connection lives at most this long, then it ends with 57P01 or breaks; 0 = for ever
    pub lifetime_ns: u64,
    /// a login is refused with 53300
    pub refuses_login: u32,
    /// a login takes up to this long
    pub login_ns: u64,
    /// says something unasked that often at most; 0 = never
    pub chats_ns: u64,
    /// a cancel request takes up to this long
    pub cancel_ns: u64,
}

/// How a server breaks PostgreSQL's rules, to see whether the tests notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    WrongTag,
    ExtraRow,
    MissingReady,
    WrongStatus,
    KeepsSession,
}

struct Copy {
    tag: u64,
    rows: u64,
}

struct Portal {
    statement: Statement,
    tag: Option<u64>,
    sent: usize,
}

/// One connection.
struct Backend {
    peer: PeerId,
    pid: i32,
    secret: i32,
    started: bool,
    inbox: Inbox,
    out: Vec<u8>,
    status: u8,
    /// counts what happens between two idle moments
    transaction: u64,
    skipping: bool,
    copy: Option<Copy>,
    /// statements of a simple query that are still to run; None = no simple query at work
    simple: Option<VecDeque<Statement>>,
    /// nothing is done before this time
    busy_until: u64,
    /// a statement that waits for `busy_until`
    held: Option<(Statement, Option<u64>, Option<usize>)>,
    cancelled: bool,
    statements: BTreeMap<String, Statement>,
    portals: BTreeMap<String, Portal>,
    defaults: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    /// as they were when the transaction began
    saved: BTreeMap<String, String>,
    reported: BTreeMap<String, String>,
    /// tags of what the open transaction did
    done: Vec<u64>,
    /// when it says something unasked
    chats_at: u64,
    user: String,
    dies_at: u64,
    /// closes when everything is written
    closing: bool,
    gone: bool,
}

/// Cancel requests under way.
struct Request {
    peer: PeerId,
    pid: i32,
    secret: i32,
    at: u64,
}

/// One server.
pub struct FakeServer {
    world: World,
    dice: Dice,
    address: SocketAddr,
    mischief: Mischief,
    lie: Option<Lie>,
    backends: Vec<Backend>,
    requests: Vec<Request>,
    next_pid: i32,
    /// tags of statements that were begun
    begun: BTreeSet<u64>,
    /// and of those that were committed
    committed: BTreeSet<u64>,
    /// connections that were ever logged in
    pub logins: u64,
}

impl FakeServer {
    /// A server at `address`; `lie` breaks the rules on purpose.
    pub fn new(world: &World, dice: Dice, address: SocketAddr, mischief: Mischief, lie: Option<Lie>) -> FakeServer {
        world.serve(address, Answer::Accept);
        let (backends, requests) = (Vec::new(), Vec::new());
        FakeServer {
            world: world.clone(),
            dice,
            address,
            mischief,
            lie,
            backends,
            requests,
            next_pid: 1000,
            begun: BTreeSet::new(),
            committed: BTreeSet::new(),
            logins: 0,
        }
    }

    /// No more mischief: what is there runs on in peace.
    pub fn calm_down(&mut self) {
        self.mischief = Mischief::default();
        self.world.serve(self.address, Answer::Accept);
        self.backends.iter_mut().for_each(|backend| (backend.dies_at, backend.chats_at) = (u64::MAX, u64::MAX));
    }

    /// Connections that are logged in and not over.
    pub fn open(&self) -> usize {
        self.backends.iter().filter(|backend| backend.started && !backend.closing).count()
    }

    /// What must hold when no client is there any more.
    pub fn check_quiet(&self, never: &BTreeSet<u64>) {
        let wrong: Vec<&u64> = self.committed.intersection(never).collect();
        assert!(wrong.is_empty(), "statements {wrong:?} were committed, but their clients vanished before they had asked for it");
        for backend in self.backends.iter().filter(|backend| backend.started && !backend.closing) {
            let pid = backend.pid;
            assert_eq!(char::from(backend.status), 'I', "backend {pid} was left in a transaction");
            assert!(backend.copy.is_none() && backend.simple.is_none() && !backend.skipping, "backend {pid} was left in the middle of something");
            assert!(backend.inbox.is_empty() && backend.out.is_empty(), "backend {pid} was left with unread messages");
        }
        assert!(self.requests.is_empty(), "a cancel request was left");
    }

    /// When something happens here by itself.
    pub fn next_time(&self) -> Option<u64> {
        let now = self.world.now();
        let busy = self.backends.iter().flat_map(|backend| [backend.busy_until, backend.dies_at, backend.chats_at]);
        busy.chain(self.requests.iter().map(|request| request.at)).filter(|at| *at > now && *at != u64::MAX).min()
    }

    /// Does what can be done now; false if that was nothing.
    pub fn poll(&mut self) -> bool {
        let mut progress = false;
        while let Some(peer) = self.world.accepted(self.address) {
            self.accept(peer);
            progress = true;
        }
        let now = self.world.now();
        while let Some(at) = self.requests.iter().position(|request| request.at <= now) {
            let request = self.requests.remove(at);
            for backend in self.backends.iter_mut().filter(|backend| backend.pid == request.pid && backend.secret == request.secret) {
                // The signal of an idle backend does nothing.
                let at_work = backend.simple.as_ref().is_some_and(|rest| !rest.is_empty()) || backend.held.is_some() || backend.copy.is_some();
                backend.cancelled |= at_work;
            }
            self.world.peer_close(request.peer);
            progress = true;
        }
        for at in 0..self.backends.len() {
            while self.step(at) {
                progress = true;
            }
        }
        self.backends.retain(|backend| !backend.gone);
        progress
    }

    fn accept(&mut self, peer: PeerId) {
        self.next_pid += 1;
        let lifetime = self.mischief.lifetime_ns;
        let now = self.world.now();
        self.backends.push(Backend {
            peer,
            pid: self.next_pid,
            secret: self.dice.roll() as i32,
            started: false,
            inbox: Inbox::default(),
            out: Vec::new(),
            status: b'I',
            transaction: 0,
            skipping: false,
            copy: None,
            simple: None,
            busy_until: now + self.dice.below(self.mischief.login_ns + 1),
            held: None,
            cancelled: false,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            defaults: BTreeMap::new(),
            settings: BTreeMap::new(),
            saved: BTreeMap::new(),
            reported: BTreeMap::new(),
            done: Vec::new(),
            chats_at: now + self.dice.below(self.mischief.chats_ns + 1),
            user: String::new(),
            dies_at: if lifetime == 0 { u64::MAX } else { now + self.dice.between(lifetime / 10, lifetime) },
            closing: false,
            gone: false,
        });
    }

    /// One thing on one connection.
    fn step(&mut self, at: usize) -> bool {
        let now = self.world.now();
        let backend = &mut self.backends[at];
        if backend.gone {
            return false;
        }
        let written = self.world.peer_write(backend.peer, &backend.out);
        backend.out.drain(..written);
        if backend.closing {
            if backend.out.is_empty() || self.world.peer_gone(backend.peer) {
                self.world.peer_close(backend.peer);
                backend.gone = true;
                return true;
            }
            return written > 0;
        }
        if backend.dies_at <= now {
            self.dies(at);
            return true;
        }
        if backend.out.len() > OUT_MAX {
            if self.world.peer_gone(backend.peer) {
                self.world.peer_close(backend.peer);
                backend.gone = true;
                return true;
            }
            return written > 0;
        }
        if backend.cancelled {
            backend.cancelled = false;
            self.fail(at, "57014", "canceling statement due to user request");
            return true;
        }
        if self.mischief.chats_ns > 0 && backend.started && backend.chats_at <= now {
            backend.chats_at = now + self.dice.between(1, self.mischief.chats_ns);
            put(&mut backend.out, b'N', |body| body.extend_from_slice(b"SNOTICE\0VNOTICE\0C00000\0Mby the way\0\0"));
            return true;
        }
        if backend.busy_until > now {
            return written > 0;
        }
        if let Some((statement, tag, limit)) = backend.held.take() {
            self.finish_rows(at, &statement, tag, limit);
            return true;
        }
        self.work(at) || written > 0
    }

    fn dies(&mut self, at: usize) {
        let backend = &mut self.backends[at];
        backend.dies_at = u64::MAX;
        if backend.started && self.dice.chance(500) {
            put_error(&mut backend.out, "FATAL", "57P01", "terminating connection due to administrator command");
            backend.closing = true;
        } else {
            self.world.peer_reset(backend.peer);
            backend.gone = true;
        }
    }

    /// The next statement, the next message, or the next bytes.
    fn work(&mut self, at: usize) -> bool {
        let backend = &mut self.backends[at];
        if backend.copy.is_none() {
            match backend.simple.as_mut().map(VecDeque::pop_front) {
                Some(Some(statement)) => {
                    self.run(at, &statement, None, None, false);
                    return true;
                }
                Some(None) => {
                    self.backends[at].simple = None;
                    self.ready(at);
                    return true;
                }
                None => {}
            }
        }
        let backend = &mut self.backends[at];
        if !backend.started {
            if let Some((code, body)) = backend.inbox.packet() {
                self.startup(at, code, &body);
                return true;
            }
        } else if let Some(message) = backend.inbox.message() {
            self.message(at, &message);
            return true;
        }
        match self.world.peer_read(backend.peer, self.dice.between(1, 4096) as usize) {
            PeerRead::Bytes(bytes) => backend.inbox.push(&bytes),
            PeerRead::Empty => return false,
            PeerRead::End | PeerRead::Reset => {
                self.world.peer_close(backend.peer);
                backend.gone = true;
            }
        }
        true
    }

    fn startup(&mut self, at: usize, code: u32, body: &[u8]) {
        let refused = self.dice.chance(self.mischief.refuses_login);
        let backend = &mut self.backends[at];
        let mut fields = Fields(body);
        match code {
            SSL | GSS => backend.out.push(b'N'),
            CANCEL => {
                let (pid, secret) = (fields.i32(), fields.i32());
                let at_time = self.world.now() + self.dice.below(self.mischief.cancel_ns + 1);
                self.requests.push(Request { peer: backend.peer, pid, secret, at: at_time });
                backend.gone = true;
            }
            0x3_0000 if refused => {
                put_error(&mut backend.out, "FATAL", "53300", "sorry, too many clients already");
                backend.closing = true;
            }
            0x3_0000 => {
                while fields.0.len() > 1 {
                    let (name, value) = (fields.text().to_ascii_lowercase(), fields.text());
                    if name == "user" {
                        backend.user = value;
                    } else if name != "database" {
                        backend.defaults.insert(name, value);
                    }
                }
                backend.settings = backend.defaults.clone();
                backend.saved = backend.defaults.clone();
                backend.started = true;
                put(&mut backend.out, b'R', |body| body.extend_from_slice(&[0; 4]));
                for (name, value) in [("server_version", "17.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on")] {
                    put(&mut backend.out, b'S', |body| {
                        text(body, name);
                        text(body, value);
                    });
                }
                backend.report();
                let (pid, secret) = (backend.pid, backend.secret);
                put(&mut backend.out, b'K', |body| {
                    body.extend_from_slice(&pid.to_be_bytes());
                    body.extend_from_slice(&secret.to_be_bytes());
                });
                put(&mut backend.out, b'Z', |body| body.push(b'I'));
                self.logins += 1;
            }
            other => panic!("a simulated server got a startup packet of version {other:#x}"),
        }
    }

    /// CommandComplete.
    fn complete(&mut self, at: usize, tag: &str) {
        put(&mut self.backends[at].out, b'C', |body| text(body, tag));
    }

    fn fail_aborted(&mut self, at: usize) {
        self.fail(at, "25P02", "current transaction is aborted, commands ignored until end of transaction block");
    }

    fn no_statement(&mut self, at: usize, name: &str) {
        self.fail(at, "26000", &format!("prepared statement \"{name}\" does not exist"));
    }

    /// An error: the transaction fails, the rest of the query or the messages up to Sync are skipped.
    fn fail(&mut self, at: usize, code: &str, message: &str) {
        let backend = &mut self.backends[at];
        put_error(&mut backend.out, "ERROR", code, message);
        if backend.status == b'I' {
            backend.done.clear();
            backend.settings = backend.saved.clone();
        } else {
            backend.status = b'E';
        }
        backend.busy_until = 0;
        backend.held = None;
        backend.copy = None;
        match backend.simple.as_mut() {
            Some(rest) => rest.clear(),
            None => backend.skipping = true,
        }
    }

    fn ready(&mut self, at: usize) {
        let silent = self.lie == Some(Lie::MissingReady) && self.dice.chance(20);
        let backend = &mut self.backends[at];
        // A function call that failed skips nothing.
        backend.skipping = false;
        backend.report();
        if backend.status == b'I' {
            self.committed.extend(backend.done.drain(..));
            backend.saved = backend.settings.clone();
            backend.portals.clear();
            backend.transaction += 1;
        }
        let status = backend.status;
        if !silent {
            put(&mut backend.out, b'Z', |body| body.push(status));
        }
    }
}

impl Backend {
    /// Tells of reported parameters that have changed.
    fn report(&mut self) {
        for name in REPORTED {
            let value = self.settings.get(name).cloned().unwrap_or_default();
            if self.reported.get(name) != Some(&value) {
                put(&mut self.out, b'S', |body| {
                    text(body, name);
                    text(body, &value);
                });
                self.reported.insert(name.to_string(), value);
            }
        }
    }
}

/// RowDescription; columns do not matter here.
fn description(out: &mut Vec<u8>) {
    put(out, b'T', |body| count(body, 0));
}
