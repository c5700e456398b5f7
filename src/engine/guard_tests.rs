//! One core over a simulated machine, a server that says what it is told, and clients of whom one meets a fault.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::admin::report::Report;
use crate::config::snapshot::{Admin, AuthType, ClientRecovery, Cores, General, LogFormat, PoolSpec, PoolerMode, Snapshot, Tcp};
use crate::engine::{Core, Parts, mailboxes};
use crate::io::sim::{Answer, Dice, Faults, Limits, PeerId, PeerRead, SimDoor, World};
use crate::mail::{Asker, Desk, Job, Mail, PoolState, Poster, Published, Shared, SharedPool, Word};
use crate::pool::ledger::Ledger;
use crate::session::FATAL_WORDS;
use crate::wire::{client, server};

use super::{Panicked, guard};

struct Nobody {
    dice: RefCell<Dice>,
    reports: Rc<RefCell<Vec<Report>>>,
}

impl Desk for Nobody {
    fn word(&self, word: Word) {
        if let Word::Report { report, .. } = word {
            self.reports.borrow_mut().push(*report);
        }
    }

    fn job(&self, asker: Asker, _job: Job) {
        panic!("core {} asks a helper for keys, which no login here needs", asker.core);
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.dice.borrow_mut().roll() as u8);
    }
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5432);

/// A whole pg_dog of one core, with a pool of `size`.
struct House {
    world: World,
    core: Core<SimDoor, Nobody>,
    shared: Arc<Shared>,
    outside: crate::engine::Outside,
    reports: Rc<RefCell<Vec<Report>>>,
    servers: Vec<FakeServer>,
    /// said by each fresh server before it is ready
    greeting: Vec<u8>,
}

struct FakeServer {
    peer: PeerId,
    logged_in: bool,
    received: VecDeque<u8>,
    in_transaction: bool,
    texts: Vec<String>,
}

impl House {
    fn new(mode: PoolerMode, size: usize) -> House {
        let world = World::new(1, 1, Faults::default(), Limits::default());
        world.serve(SERVER, Answer::Accept);
        let shared = Arc::new(Shared {
            published: ArcSwap::from_pointee(published(mode, size)),
            version: AtomicU64::new(1),
            clients: vec![Default::default()],
            next_client: AtomicU64::new(1),
            secret: [7; 32],
        });
        let (mut posts, outside) = mailboxes(1);
        let reports = Rc::new(RefCell::new(Vec::new()));
        let desk = Nobody { dice: RefCell::new(Dice::new(1)), reports: reports.clone() };
        let (post, listener) = (posts.remove(0), Some(world.listen(0)));
        let core = Core::new(Parts { id: 0, door: world.door(0), desk, post, shared: shared.clone(), listener });
        House { world, core, shared, outside, reports, servers: Vec::new(), greeting: Vec::new() }
    }

    /// Until nobody has anything to do but wait.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut progress = false;
            if self.world.core_runnable(0) {
                self.core.step().unwrap();
                progress = true;
            }
            while let Some(peer) = self.world.accepted(SERVER) {
                self.servers.push(FakeServer { peer, logged_in: false, received: VecDeque::new(), in_transaction: false, texts: Vec::new() });
                progress = true;
            }
            for server in &mut self.servers {
                progress |= server.poll(&self.world, &self.greeting);
            }
            if !progress {
                match self.world.next_event() {
                    Some(at) if at < self.world.now() + 1_000_000 => self.world.advance_to(at),
                    _ => return,
                }
            }
        }
        panic!("it does not come to rest");
    }

    fn write(&mut self, client: PeerId, bytes: &[u8]) {
        assert_eq!(self.world.peer_write(client, bytes), bytes.len());
        self.settle();
    }

    /// What has come for a client, by type: its tags, and the text of each message.
    fn read(&mut self, client: PeerId) -> (String, Vec<String>) {
        let mut bytes = Vec::new();
        while let PeerRead::Bytes(more) = self.world.peer_read(client, 4096) {
            bytes.extend(more);
        }
        let (mut tags, mut texts, mut at) = (String::new(), Vec::new(), 0);
        while at < bytes.len() {
            let header = crate::wire::frame::header(&bytes[at..]).unwrap().unwrap();
            tags.push(char::from(header.kind));
            texts.push(String::from_utf8_lossy(&bytes[at + 5..at + header.total()]).into_owned());
            at += header.total();
        }
        (tags, texts)
    }

    fn connect(&mut self, user: &str) -> PeerId {
        let client = self.world.connect_client(0);
        let mut words = Vec::new();
        client::startup(&mut words, &[("user", user), ("database", "app")]).unwrap();
        self.write(client, &words);
        client
    }

    fn login(&mut self) -> PeerId {
        let client = self.connect("app");
        let (tags, _) = self.read(client);
        assert!(tags.starts_with('R') && tags.ends_with("KZ"), "{tags}");
        client
    }

    fn ask(&mut self, client: PeerId, text: &str) -> (String, Vec<String>) {
        let mut words = Vec::new();
        client::query(&mut words, text.as_bytes()).unwrap();
        self.write(client, &words);
        self.read(client)
    }

    fn is_closed(&self, client: PeerId) -> bool {
        self.world.peer_readable(client) && matches!(self.world.peer_read(client, 1), PeerRead::End | PeerRead::Reset)
    }

    fn panics(&mut self) -> u64 {
        if self.outside.post(0, Mail::Report { request: 1 }) {
            self.world.wake(0);
        }
        self.settle();
        self.reports.borrow_mut().pop().unwrap().lists.panics
    }

    /// Connections of the pool, and those that are idle.
    fn permits(&self) -> (u32, u32) {
        let ledger = &self.shared.published.load().pools[0].state.ledger;
        let busy = ledger.statistics(0).busy.load(Ordering::Relaxed);
        assert_eq!(busy, 0, "servers count as busy that nobody uses");
        (ledger.open(), ledger.line(0).idle.count())
    }

    fn clients(&self) -> usize {
        self.shared.clients[0].0.load(Ordering::Relaxed)
    }
}

impl FakeServer {
    fn poll(&mut self, world: &World, greeting: &[u8]) -> bool {
        let PeerRead::Bytes(bytes) = world.peer_read(self.peer, 4096) else { return false };
        self.received.extend(bytes);
        let mut words = Vec::new();
        while let Some(reply) = self.next(greeting) {
            words.extend(reply);
        }
        assert_eq!(world.peer_write(self.peer, &words), words.len());
        true
    }

    /// The reply to the next whole message.
    fn next(&mut self, greeting: &[u8]) -> Option<Vec<u8>> {
        let bytes = self.received.make_contiguous();
        let start = usize::from(self.logged_in);
        let length = u32::from_be_bytes(*bytes.get(start..)?.first_chunk::<4>()?) as usize;
        let message: Vec<u8> = bytes.get(..start + length)?.to_vec();
        self.received.drain(..start + length);
        let mut words = Vec::new();
        if !self.logged_in {
            self.logged_in = true;
            server::authentication_ok(&mut words);
            words.extend_from_slice(greeting);
            server::parameter_status(&mut words, b"server_version", b"15.1").unwrap();
            server::backend_key_data(&mut words, 7, b"1234").unwrap();
        } else if message[0] == b'Q' {
            let text = String::from_utf8_lossy(&message[5..message.len() - 1]).into_owned();
            match text.as_str() {
                "BEGIN" | "SELECT begins()" => self.in_transaction = true,
                "COMMIT" | "ROLLBACK" => self.in_transaction = false,
                _ => {}
            }
            // What this server is told to say is its command's tag.
            server::command_complete(&mut words, text.strip_prefix("SAY ").unwrap_or("SELECT 1")).unwrap();
            self.texts.push(text);
        } else {
            return Some(Vec::new());
        }
        server::ready(&mut words, if self.in_transaction { b'T' } else { b'I' });
        Some(words)
    }
}

fn published(mode: PoolerMode, size: usize) -> Published {
    let spec = PoolSpec {
        database: "app".into(),
        user: "app".into(),
        host: SERVER.ip().to_string(),
        port: SERVER.port(),
        server_database: "app".into(),
        server_user: "app".into(),
        server_password: None,
        client_password: None,
        pool_size: size,
        min_pool_size: 0,
        mode,
    };
    let state = PoolState {
        ledger: Arc::new(Ledger::new(1, size as u32)),
        address: ArcSwapOption::from_pointee(SERVER),
        parameters: ArcSwapOption::empty(),
        server_keys: ArcSwapOption::empty(),
    };
    let pool = Arc::new(SharedPool { id: 0, spec: spec.clone(), state: Arc::new(state), verifier: Arc::new(ArcSwapOption::empty()) });
    let snapshot = Snapshot {
        number: 1,
        general: General {
            host: "127.0.0.1".into(),
            port: 6432,
            workers: 1,
            auth_type: AuthType::Trust,
            connect_timeout: Duration::from_secs(5),
            checkout_timeout: Duration::from_secs(5),
            client_login_timeout: Duration::from_secs(60),
            rollback_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(60),
            client_connection_recovery: ClientRecovery::Drop,
            log_level: "info".into(),
            log_format: LogFormat::Text,
            log_connections: false,
            log_disconnections: false,
        },
        cores: Cores::default(),
        admin: Admin { database: "admin".into(), user: "admin".into(), password: "secret".into() },
        tcp: Tcp { keepalive: true, time: None, interval: None, retries: None, user_timeout: None, congestion_control: None },
        pools: vec![spec],
        by_name: HashMap::from([(("app".to_string(), "app".to_string()), 0)]),
        shown: Vec::new(),
    };
    Published { snapshot, by_id: HashMap::from([(0, pool.clone())]), pools: vec![pool], admin_verifier: Arc::new(ArcSwapOption::empty()) }
}

fn fatal_words() -> &'static str {
    std::str::from_utf8(FATAL_WORDS).unwrap()
}

#[test]
fn a_guard_returns_what_was_said() {
    assert_eq!(guard(|| 5), Ok(5));
    assert_eq!(guard(|| -> u8 { panic!("said {}", 1) }), Err(Panicked("said 1".into())));
    assert_eq!(guard(|| -> u8 { panic!("fixed") }), Err(Panicked("fixed".into())));
    assert_eq!(guard(|| -> u8 { std::panic::panic_any(5) }), Err(Panicked("no message".into())));
}

/// The profiles must unwind, or a guard guards nothing.
#[test]
fn nothing_is_built_to_abort() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(!manifest.contains("panic"), "a profile sets panic = ...");
    assert!(cfg!(panic = "unwind"));
}

#[test]
fn a_panic_in_a_clients_session_ends_that_client_alone() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (other, mine) = (house.login(), house.login());
    // One on a server of its own, in a transaction; one with a transaction of its own on the other server, so that both are busy.
    assert_eq!(house.ask(other, "BEGIN").0, "CZ");
    assert_eq!(house.ask(mine, "BEGIN").0, "CZ");
    let (tags, texts) = house.ask(mine, fatal_words());
    assert_eq!(tags, "E");
    assert!(texts[0].contains("SFATAL\0") && texts[0].contains("CXX000\0Minternal error\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    assert_eq!(house.permits(), (1, 1), "the server of the client that ended is given up, the other one rests");
    // As many as before find room, and again.
    for round in 2..5 {
        let mine = house.login();
        assert_eq!(house.ask(mine, "BEGIN").0, "CZ");
        assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
        house.ask(mine, fatal_words());
        assert_eq!((house.panics(), house.clients()), (round, 1));
        assert_eq!(house.permits().1, house.permits().0);
    }
}

#[test]
fn a_panic_in_a_servers_session_ends_its_client_alone() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (other, mine) = (house.login(), house.login());
    assert_eq!(house.ask(other, "BEGIN").0, "CZ");
    let (tags, texts) = house.ask(mine, &format!("SAY {}", fatal_words()));
    assert_eq!(tags, "E");
    assert!(texts[0].contains("CXX000\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_login_that_panics_ends_alone() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let other = house.login();
    let mine = house.connect(fatal_words());
    let (tags, texts) = house.read(mine);
    assert!(tags == "E" && texts[0].contains("CXX000\0"), "{texts:?}");
    assert!(house.is_closed(mine));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
}

#[test]
fn a_login_at_a_server_that_panics_is_one_that_failed() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mut words = Vec::new();
    server::notice(&mut words, &server::ErrorFields { severity: "NOTICE", code: "00000", message: fatal_words(), detail: None, hint: None });
    house.greeting = words;
    let mine = house.connect("app");
    let (tags, texts) = house.read(mine);
    assert!(tags == "RE" && texts[1].contains("CXX000\0"), "{tags} {texts:?}");
    assert_eq!((house.panics(), house.clients()), (1, 0));
    assert_eq!(house.permits(), (0, 0));
    // It is tried again for the next one.
    house.greeting.clear();
    house.world.advance_to(house.world.now() + 1_000_000_000);
    let next = house.login();
    assert_eq!(house.ask(next, "SELECT 1").0, "CZ");
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_client_that_has_half_a_message_gets_no_words() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = house.login();
    let server = house.servers[0].peer;
    house.write(mine, b"H\0\0\0\x04");
    // A query whose answer is a row in two pieces; between them the client says the fatal words.
    let mut words = Vec::new();
    client::query(&mut words, b"BEGIN").unwrap();
    house.write(mine, &words);
    house.read(mine);
    let mut parse = Vec::new();
    client::parse(&mut parse, b"", b"SELECT 1", &[]).unwrap();
    client::describe_statement(&mut parse, b"").unwrap();
    house.write(mine, &parse);
    house.world.peer_write(server, b"1\0\0\0\x04T\0\0\x40\0half");
    house.settle();
    let mut words = Vec::new();
    client::query(&mut words, FATAL_WORDS).unwrap();
    house.write(mine, &words);
    let mut bytes = Vec::new();
    while let PeerRead::Bytes(more) = house.world.peer_read(mine, 4096) {
        bytes.extend(more);
    }
    assert_eq!(bytes, b"1\0\0\0\x04T\0\0\x40\0half");
    assert!(house.is_closed(mine));
    assert_eq!((house.panics(), house.permits()), (1, (0, 0)));
}
