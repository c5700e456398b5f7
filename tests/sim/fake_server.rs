//! A PostgreSQL server as far as a pooler can tell: startup, both query protocols with the exact rules of errors and transactions, COPY, session
//! parameters, cancel requests; and ways to die. It watches from its side: no statement may run twice, no CopyData may be another's.
//!
//! Rules from PostgreSQL: `PostgresMain` in src/backend/tcop/postgres.c, COPY in src/backend/commands/copyfromparse.c, parameter reports in
//! `ReportChangedGUCOptions`, cancel in src/backend/postmaster/postmaster.c.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use pg_dog::io::sim::{Answer, Dice, PeerId, PeerRead, World};

use crate::language::{Statement, Tag};
use crate::message::{Fields, Inbox, Message, count, put, put_error, text};

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
    /// connections that were ever logged in
    pub logins: u64,
}

impl FakeServer {
    /// A server at `address`; `lie` breaks the rules on purpose.
    pub fn new(world: &World, dice: Dice, address: SocketAddr, mischief: Mischief, lie: Option<Lie>) -> FakeServer {
        world.serve(address, Answer::Accept);
        let (backends, requests) = (Vec::new(), Vec::new());
        FakeServer { world: world.clone(), dice, address, mischief, lie, backends, requests, next_pid: 1000, begun: BTreeSet::new(), logins: 0 }
    }

    /// No more mischief: what is there runs on in peace.
    pub fn calm_down(&mut self) {
        self.mischief = Mischief::default();
        self.world.serve(self.address, Answer::Accept);
        self.backends.iter_mut().for_each(|backend| backend.dies_at = u64::MAX);
    }

    /// Connections that are logged in and not over.
    pub fn open(&self) -> usize {
        self.backends.iter().filter(|backend| backend.started && !backend.closing).count()
    }

    /// What must hold when no client is there any more.
    pub fn check_quiet(&self) {
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
        let busy = self.backends.iter().flat_map(|backend| [backend.busy_until, backend.dies_at]);
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

    fn message(&mut self, at: usize, message: &Message) {
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
    fn run(&mut self, at: usize, statement: &Statement, bound: Option<u64>, limit: Option<usize>, extended: bool) {
        let backend = &mut self.backends[at];
        if backend.status == b'E' && !statement.ends_transaction() {
            return self.fail_aborted(at);
        }
        let tag = match statement {
            Statement::Rows { tag: Tag::Is(tag), .. } | Statement::CopyIn(tag) | Statement::CopyOut { tag, .. } | Statement::Error(tag) => Some(*tag),
            _ => bound,
        };
        let fresh = !extended || backend.portals.get("").is_none_or(|portal| portal.sent == 0);
        if let Some(tag) = tag.filter(|_| fresh) {
            assert!(self.begun.insert(tag), "the statement with tag {tag} ran twice");
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
                if rolls_back {
                    backend.settings = backend.saved.clone();
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
            Statement::SetConfig(all) => {
                backend.settings.extend(all.iter().cloned());
                if !extended {
                    description(&mut backend.out);
                }
                put(&mut backend.out, b'D', |body| count(body, 0));
                self.complete(at, "SELECT 1");
            }
            Statement::ResetAll => {
                if self.lie != Some(Lie::KeepsSession) {
                    backend.settings = backend.defaults.clone();
                }
                self.complete(at, "RESET");
            }
            Statement::DiscardAll if backend.status != b'I' => self.fail(at, "25001", "DISCARD ALL cannot run inside a transaction block"),
            Statement::DiscardAll => {
                if self.lie != Some(Lie::KeepsSession) {
                    backend.settings = backend.defaults.clone();
                }
                backend.statements.clear();
                backend.portals.clear();
                self.complete(at, "DISCARD ALL");
            }
        }
    }

    fn finish_rows(&mut self, at: usize, statement: &Statement, tag: Option<u64>, limit: Option<usize>) {
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
        if !simple {
            if let Some(portal) = backend.portals.get_mut("") {
                portal.sent = until;
            }
        }
        // PostgreSQL suspends a portal as soon as the limit is reached, whether or not there are more rows.
        if until - from == most {
            put(&mut backend.out, b's', |_| ());
        } else {
            self.complete(at, &format!("SELECT {}", until - from));
        }
        let dies = self.dice.chance(self.mischief.dies);
        let backend = &mut self.backends[at];
        if dies {
            let cut = self.dice.between(before as u64, backend.out.len() as u64) as usize;
            backend.out.truncate(cut);
            backend.closing = true;
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
