//! A PostgreSQL server as far as a pooler can tell: startup, both query protocols with the exact rules of errors and transactions, COPY, session
//! parameters, cancel requests; and ways to die. It watches from its side: no statement may run twice, no CopyData may be another's.
//!
//! Rules from PostgreSQL: `PostgresMain` in src/backend/tcop/postgres.c, COPY in src/backend/commands/copyfromparse.c, parameter reports in
//! `ReportChangedGUCOptions`, cancel in src/backend/postmaster/postmaster.c.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use pg_dog::io::sim::{Answer, Dice, PeerId, PeerRead, World};

use crate::fake_client::Census;
use crate::language::Statement;
use crate::message::{Fields, Inbox, count, put, put_error, text};

#[path = "mischief.rs"]
mod mischief;
#[path = "statements.rs"]
mod statements;

use mischief::Fate;
pub use mischief::{Doom, Mischief};

/// Bytes a server writes ahead of its client before it waits.
const OUT_MAX: usize = 8 << 10;
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Parameters of a session that are reported.
const REPORTED: [&str; 1] = ["application_name"];

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
    /// of those, SQL's PREPAREs
    prepared: BTreeMap<String, String>,
    portals: BTreeMap<String, Portal>,
    defaults: BTreeMap<String, String>,
    settings: BTreeMap<String, String>,
    /// as they were when the transaction began
    saved: BTreeMap<String, String>,
    reported: BTreeMap<String, String>,
    /// tags of what the open transaction did
    done: Vec<u64>,
    /// when it says something unasked, and how often it has since it was last told anything
    chats_at: u64,
    chats: u32,
    user: String,
    dies_at: u64,
    /// closes when everything is written
    closing: bool,
    /// bytes that are out, and how many of `out` are the rest of a message
    wrote: u64,
    cut: usize,
    /// what happens after so many bytes
    fate: Option<(u64, Fate)>,
    /// asked for a password
    asked: bool,
    /// says no when it knows who it is
    refused: bool,
    /// does nothing before this time
    hung_until: u64,
    /// hung, or its network stalled, at some time: it cannot know that its client has gone
    stuck: bool,
    /// has talked nonsense: waits for being hung up on
    mad: bool,
    /// the connection is over; the process goes then
    leaves_at: Option<u64>,
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
    /// refuses logins: it is not ready yet
    starting: bool,
    /// how often somebody can have waited in vain: hangs and stalls
    pub stuck: usize,
    /// connections that ended by their own doing
    pub lost: usize,
    /// those of them that may have had a client's words
    pub lost_beside: usize,
    /// connections whose network stalls, or did
    stalled: Vec<PeerId>,
    /// tags of statements that were begun
    begun: BTreeSet<u64>,
    /// and of those that were committed
    committed: BTreeSet<u64>,
    /// connections that were ever logged in
    pub logins: usize,
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
            starting: false,
            stuck: 0,
            lost: 0,
            lost_beside: 0,
            stalled: Vec::new(),
            begun: BTreeSet::new(),
            committed: BTreeSet::new(),
            logins: 0,
        }
    }

    /// Connections that are logged in and not over.
    pub fn open(&self) -> usize {
        self.backends.iter().filter(|backend| backend.started && !backend.closing && backend.leaves_at.is_none()).count()
    }

    /// Processes for this user, as pg_stat_activity has them, without those that cannot know that they are no longer wanted.
    pub fn live(&self, user: &str) -> usize {
        self.backends.iter().filter(|backend| backend.started && backend.user == user && !backend.stuck).count()
    }

    /// What must hold when no client is there any more.
    pub fn check_quiet(&self, census: &Census) {
        let wrong: Vec<&u64> = self.committed.intersection(&census.never).collect();
        assert!(wrong.is_empty(), "statements {wrong:?} were committed, but their clients vanished before they had asked for it");
        let lost: Vec<&u64> = census.promised.difference(&self.committed).collect();
        assert!(lost.is_empty(), "clients were told that statements {lost:?} are done, but they were not committed");
        for backend in &self.backends {
            let pid = backend.pid;
            assert!(!backend.mad, "backend {pid} has talked nonsense and is still connected");
            assert!(backend.started && !backend.closing && backend.leaves_at.is_none(), "backend {pid} was left half open");
            assert_eq!(char::from(backend.status), 'I', "backend {pid} was left in a transaction");
            assert!(backend.copy.is_none() && backend.simple.is_none() && !backend.skipping, "backend {pid} was left in the middle of something");
            assert!(backend.inbox.is_empty() && backend.out.is_empty(), "backend {pid} was left with unread messages");
        }
        assert!(self.requests.is_empty(), "a cancel request was left");
    }

    /// When something happens here by itself.
    pub fn next_time(&self) -> Option<u64> {
        let now = self.world.now();
        let times = |backend: &Backend| match backend.hung_until > now {
            true => [backend.hung_until, u64::MAX, u64::MAX, u64::MAX],
            false => [backend.busy_until, backend.dies_at, backend.chats_at, backend.leaves_at.unwrap_or(u64::MAX)],
        };
        let busy = self.backends.iter().flat_map(times);
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
        let fate = self.mischief.fate(now, &mut self.dice);
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
            fate,
            wrote: 0,
            cut: 0,
            asked: false,
            refused: false,
            hung_until: 0,
            stuck: false,
            mad: false,
            leaves_at: None,
            held: None,
            cancelled: false,
            statements: BTreeMap::new(),
            prepared: BTreeMap::new(),
            portals: BTreeMap::new(),
            defaults: BTreeMap::new(),
            settings: BTreeMap::new(),
            saved: BTreeMap::new(),
            reported: BTreeMap::new(),
            done: Vec::new(),
            chats_at: now + self.dice.below(self.mischief.chats_ns + 1),
            chats: 0,
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
        if backend.gone || backend.hung_until > now {
            return false;
        }
        if let Some(leaves_at) = backend.leaves_at {
            if leaves_at > now {
                return false;
            }
            self.world.peer_close(backend.peer);
            backend.gone = true;
            return true;
        }
        let written = self.write(at);
        let backend = &mut self.backends[at];
        if backend.gone || backend.hung_until > now || backend.leaves_at.is_some() {
            return true;
        }
        if backend.closing {
            if backend.out.is_empty() || self.world.peer_gone(backend.peer) {
                self.close(at);
                return true;
            }
            return written;
        }
        if backend.mad {
            return self.wait_for_end(at) || written;
        }
        if backend.dies_at <= now {
            self.dies(at);
            return true;
        }
        if backend.out.len() > OUT_MAX {
            if self.world.peer_gone(backend.peer) {
                self.close(at);
                return true;
            }
            return written;
        }
        if backend.cancelled {
            backend.cancelled = false;
            self.fail(at, "57014", "canceling statement due to user request");
            return true;
        }
        if self.mischief.chats_ns > 0 && backend.started && backend.chats_at <= now {
            // Less and less often, while nothing else happens.
            backend.chats_at = now + (self.dice.between(self.mischief.chats_ns / 10, self.mischief.chats_ns) << backend.chats.min(20));
            backend.chats += 1;
            self.chat(at);
            if self.dice.chance(self.mischief.nonsense / 10) {
                self.talk_nonsense(at, None);
            }
            return true;
        }
        if backend.busy_until > now {
            return written;
        }
        if let Some((statement, tag, limit)) = backend.held.take() {
            self.finish_rows(at, &statement, tag, limit);
            return true;
        }
        self.work(at) || written
    }

    /// Reads and forgets, until nobody is there any more.
    fn wait_for_end(&mut self, at: usize) -> bool {
        match self.world.peer_read(self.backends[at].peer, 4096) {
            PeerRead::Bytes(_) => {}
            PeerRead::Empty => return false,
            PeerRead::End | PeerRead::Reset => self.close(at),
        }
        true
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
        if !backend.started && backend.asked {
            if let Some(message) = backend.inbox.message() {
                assert_eq!((message.kind, &message.body[..]), (b'p', &b"secret\0"[..]), "the password for a server");
                backend.asked = false;
                self.welcome(at);
                return true;
            }
        } else if !backend.started {
            if let Some((code, body)) = backend.inbox.packet() {
                self.startup(at, code, &body);
                return true;
            }
        } else if let Some(message) = backend.inbox.message() {
            let settled = backend.copy.is_none() && !backend.skipping && message.kind != b'X';
            backend.chats = 0;
            if settled && self.dice.chance(self.mischief.nonsense) {
                self.talk_nonsense(at, Some(message.kind));
            } else {
                self.message(at, &message);
            }
            return true;
        }
        match self.world.peer_read(backend.peer, self.dice.between(1, 4096) as usize) {
            PeerRead::Bytes(bytes) => backend.inbox.push(&bytes),
            PeerRead::Empty => return false,
            PeerRead::End | PeerRead::Reset => self.close(at),
        }
        true
    }

    fn startup(&mut self, at: usize, code: u32, body: &[u8]) {
        let mut fields = Fields(body);
        match code {
            SSL | GSS => self.backends[at].out.push(b'N'),
            CANCEL => {
                let (pid, secret) = (fields.i32(), fields.i32());
                self.cancel_asked(at, pid, secret);
            }
            0x3_0000 => {
                let backend = &mut self.backends[at];
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
                let refused = self.starting || self.dice.chance(self.mischief.refuses_login);
                if refused && self.dice.chance(500) {
                    return self.refuse(at);
                }
                self.backends[at].refused = refused;
                self.chat_in_login(at);
                if self.mischief.asks_password {
                    put(&mut self.backends[at].out, b'R', |body| body.extend_from_slice(&3i32.to_be_bytes()));
                    self.backends[at].asked = true;
                } else {
                    self.welcome(at);
                }
            }
            other => panic!("a simulated server got a startup packet of version {other:#x}"),
        }
    }

    /// A cancel request has no answer but the end of its connection.
    fn cancel_asked(&mut self, at: usize, pid: i32, secret: i32) {
        let (now, peer) = (self.world.now(), self.backends[at].peer);
        let sticks = self.dice.chance(self.mischief.cancels_stick);
        self.backends[at].gone = true;
        if sticks && self.dice.chance(300) {
            return self.world.peer_reset(peer);
        }
        // One that sticks is signalled late, or when everything is over.
        let takes = match sticks {
            true if self.dice.chance(500) => return self.requests.push(Request { peer, pid, secret, at: mischief::NEVER }),
            true => self.dice.below(4_000_000_000),
            false => self.dice.below(self.mischief.cancel_ns + 1),
        };
        self.requests.push(Request { peer, pid, secret, at: now + takes });
    }

    /// The login is through, unless it is refused late.
    fn welcome(&mut self, at: usize) {
        put(&mut self.backends[at].out, b'R', |body| body.extend_from_slice(&[0; 4]));
        self.chat_in_login(at);
        if self.backends[at].refused {
            return self.refuse(at);
        }
        let backend = &mut self.backends[at];
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
        self.chat_in_login(at);
        let backend = &mut self.backends[at];
        put(&mut backend.out, b'Z', |body| body.push(b'I'));
        (backend.started, backend.cut) = (true, 0);
        self.logins += 1;
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
