//! A whole pg_dog of one core for the tests of this folder: over a simulated machine, with servers that say what they are told.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::admin::report::{Report, Wants};
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};
use crate::config::snapshot::{Admin, AuthType, Cores, General, NEVER, PoolSpec, PoolerMode, Snapshot, Tcp};
use crate::engine::peers::Peer;
use crate::engine::{Core, Parts, mailboxes};
use crate::io::sim::{Answer, Dice, Faults, Limits, PeerId, PeerRead, SimDoor, World};
use crate::mail::{Asker, Desk, Job, Mail, Moved, Order, PoolState, Poster, Published, Shared, SharedPool, Word};
use crate::pool::ledger::Ledger;
use crate::pool::verdict::Take;
use crate::route::cluster::{Cluster, Commits, State};
use crate::route::schema::Schema;
use crate::route::topology::Topology;
use crate::wire::{client, server};

struct Nobody {
    dice: RefCell<Dice>,
    reports: Rc<RefCell<Vec<Report>>>,
    obeyed: Rc<RefCell<Vec<(u64, u64, bool)>>>,
    words: Rc<RefCell<Vec<Word>>>,
}

impl Desk for Nobody {
    fn word(&self, word: Word) {
        match word {
            Word::Report { report, .. } => self.reports.borrow_mut().push(*report),
            Word::Obeyed { request, count, orphaned } => self.obeyed.borrow_mut().push((request, count, orphaned)),
            Word::Listen(_) | Word::Unlisten { .. } => self.words.borrow_mut().push(word),
            _ => {}
        }
    }

    fn job(&self, asker: Asker, _job: Job) {
        panic!("core {} asks a helper for keys, which no login here needs", asker.core);
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.dice.borrow_mut().roll() as u8);
    }
}

pub const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5432);

/// A whole pg_dog of one core, with a pool of `size`.
pub struct House {
    pub world: World,
    core: Core<SimDoor, Nobody>,
    shared: Arc<Shared>,
    outside: crate::engine::Outside,
    reports: Rc<RefCell<Vec<Report>>>,
    obeyed: Rc<RefCell<Vec<(u64, u64, bool)>>>,
    /// what was said about channels
    pub words: Rc<RefCell<Vec<Word>>>,
    pub servers: Vec<FakeServer>,
    /// bodies of the cancel requests that came
    pub cancels: Vec<Vec<u8>>,
    /// said by each fresh server before it is ready
    pub greeting: Vec<u8>,
    /// said in front of every message of a server, and behind it
    pub noise: Vec<u8>,
    /// what clients were told: pid and secret
    pub keys: HashMap<PeerId, Vec<u8>>,
    /// the secret that fresh servers give
    pub key: Vec<u8>,
    /// servers of this database end when they are told a text that begins so
    pub deadly: Option<(&'static str, &'static str)>,
}

pub struct FakeServer {
    pub peer: PeerId,
    logged_in: bool,
    /// it was told goodbye
    over: bool,
    received: VecDeque<u8>,
    in_transaction: bool,
    /// its startup packet, as text
    pub packet: String,
    /// the queries that came
    pub texts: Vec<String>,
}

impl House {
    pub fn new(mode: PoolerMode, size: usize) -> House {
        House::with(mode, size, |_, _| {})
    }

    /// The same, with other settings.
    pub fn with(mode: PoolerMode, size: usize, change: impl FnOnce(&mut PoolSpec, &mut General)) -> House {
        House::of(published(mode, size, 1, change), HashMap::new())
    }

    /// Of a database with two shards whose key is `users.id`, with a pool of `size` for each.
    pub fn sharded(size: usize, commits: Commits) -> House {
        let of_type = DataType::Bigint;
        let (table, column) = (Some("users".into()), "id".into());
        let users = ShardedTable { schema: None, table, column, data_type: of_type, hasher: Hasher::Postgres, primary: false, mapping: None };
        let sharded = Sharded { database: "app".into(), shards: 2, tables: vec![users], schemas: Vec::new(), omnisharded: Vec::new() };
        let topology = Topology::first(&sharded).expect("a map");
        let row = |fields: &[&str]| fields.iter().map(|field| Some(field.as_bytes().to_vec())).collect::<Vec<_>>();
        let columns = [row(&["public", "users", "r", "id", "20", "-1", "t", "n"]), row(&["public", "users", "r", "name", "25", "-1", "t", "n"])];
        let schema = Schema::read(&columns, &[], &[row(&["public", "150015", "UTF8"])]).expect("an answer").fitted(&topology);
        let cluster = Cluster { state: State::Known(schema), topology, servers: Vec::new(), listed: Vec::new(), commits, number: 1 };
        let published = published(PoolerMode::Transaction, size, 2, |_, _| {});
        House::of(published, HashMap::from([("app".to_owned(), Arc::new(cluster))]))
    }

    fn of(published: Published, clusters: HashMap<String, Arc<Cluster>>) -> House {
        let world = World::new(1, 1, Faults::default(), Limits::default());
        world.serve(SERVER, Answer::Accept);
        let shared = Arc::new(Shared {
            published: ArcSwap::from_pointee(published),
            version: AtomicU64::new(1),
            clients: vec![Default::default()],
            tallies: vec![Default::default()],
            clients_max: usize::MAX,
            library: Arc::default(),
            clusters: ArcSwap::from_pointee(clusters),
            next_client: AtomicU64::new(1),
            secret: [7; 32],
        });
        let (mut posts, outside) = mailboxes(1);
        let reports = Rc::new(RefCell::new(Vec::new()));
        let obeyed = Rc::new(RefCell::new(Vec::new()));
        let words = Rc::new(RefCell::new(Vec::new()));
        let desk = Nobody { dice: RefCell::new(Dice::new(1)), reports: reports.clone(), obeyed: obeyed.clone(), words: words.clone() };
        let (post, listeners) = (posts.remove(0), vec![world.listen(0)]);
        let core = Core::new(Parts { id: 0, door: world.door(0), desk, post, shared: shared.clone(), listeners });
        House {
            world,
            core,
            shared,
            outside,
            reports,
            obeyed,
            words,
            servers: Vec::new(),
            cancels: Vec::new(),
            greeting: Vec::new(),
            noise: Vec::new(),
            keys: HashMap::new(),
            key: b"1234".to_vec(),
            deadly: None,
        }
    }

    /// Until nobody has anything to do but wait.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let mut progress = false;
            if self.world.core_runnable(0) {
                self.core.step().unwrap();
                progress = true;
            }
            while let Some(peer) = self.world.accepted(SERVER) {
                self.servers.push(FakeServer {
                    peer,
                    logged_in: false,
                    over: false,
                    received: VecDeque::new(),
                    in_transaction: false,
                    packet: String::new(),
                    texts: Vec::new(),
                });
                progress = true;
            }
            for server in &mut self.servers {
                progress |= server.poll(&self.world, &self.greeting, &self.noise, &self.key, self.deadly, &mut self.cancels);
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

    /// Time passes.
    pub fn wait(&mut self, millis: u64) {
        let until = self.world.now() + millis * 1_000_000;
        while let Some(at) = self.world.next_event().filter(|at| *at <= until) {
            self.world.advance_to(at.max(self.world.now()));
            self.settle();
        }
        self.world.advance_to(until.max(self.world.now()));
        self.settle();
    }

    pub fn write(&mut self, client: PeerId, bytes: &[u8]) {
        assert_eq!(self.world.peer_write(client, bytes), bytes.len());
        self.settle();
    }

    /// What has come for a client, by type: its tags, and the text of each message.
    pub fn read(&mut self, client: PeerId) -> (String, Vec<String>) {
        let mut bytes = Vec::new();
        while let PeerRead::Bytes(more) = self.world.peer_read(client, 4096) {
            bytes.extend(more);
        }
        let (mut tags, mut texts, mut at) = (String::new(), Vec::new(), 0);
        while at < bytes.len() {
            let header = crate::wire::frame::header(&bytes[at..]).unwrap().unwrap();
            tags.push(char::from(header.kind));
            if header.kind == b'K' {
                self.keys.insert(client, bytes[at + 5..at + header.total()].to_vec());
            }
            texts.push(String::from_utf8_lossy(&bytes[at + 5..at + header.total()]).into_owned());
            at += header.total();
        }
        (tags, texts)
    }

    pub fn connect(&mut self, user: &str) -> PeerId {
        self.connect_with(&[("user", user), ("database", "app")])
    }

    pub fn connect_with(&mut self, parameters: &[(&str, &str)]) -> PeerId {
        let client = self.world.connect_client(0);
        let mut words = Vec::new();
        client::startup(&mut words, 0, parameters).unwrap();
        self.write(client, &words);
        client
    }

    pub fn login(&mut self) -> PeerId {
        let client = self.connect("app");
        let (tags, _) = self.read(client);
        assert!(tags.starts_with('R') && tags.ends_with("KZ"), "{tags}");
        client
    }

    pub fn ask(&mut self, client: PeerId, text: &str) -> (String, Vec<String>) {
        let mut words = Vec::new();
        client::query(&mut words, text.as_bytes()).unwrap();
        self.write(client, &words);
        self.read(client)
    }

    /// Asks, over a connection of its own, that what this client does be cancelled.
    pub fn request_cancel(&mut self, client: PeerId) {
        let leg = self.world.connect_client(0);
        let key = &self.keys[&client];
        let words = [&(8 + key.len() as u32).to_be_bytes()[..], &80_877_102u32.to_be_bytes(), key].concat();
        self.write(leg, &words);
        assert!(self.is_closed(leg));
    }

    pub fn is_closed(&self, client: PeerId) -> bool {
        self.world.peer_readable(client) && matches!(self.world.peer_read(client, 1), PeerRead::End | PeerRead::Reset)
    }

    pub fn panics(&mut self) -> u64 {
        self.report(Wants::default()).lists.panics
    }

    pub fn report(&mut self, wants: Wants) -> Report {
        self.post(Mail::Report { request: 1, wants });
        self.settle();
        self.reports.borrow_mut().pop().unwrap()
    }

    /// Has an order carried out; what it counted.
    pub fn order(&mut self, order: Order) -> u64 {
        let nobody = Asker { core: 1, slot: 0, generation: 0 };
        self.post(Mail::Order { request: 7, asker: nobody, order: Arc::new(order) });
        self.settle();
        let (request, count, orphaned) = self.obeyed.borrow_mut().pop().expect("it is carried out");
        assert_eq!((request, orphaned), (7, false));
        count
    }

    pub fn post(&mut self, mail: Mail) {
        if self.outside.post(0, mail) {
            self.world.wake(0);
        }
    }

    /// The one idle server leaves for another core, which nobody has: it is given back by `Mail::Hand`, and nobody hears it until then.
    pub fn depart(&mut self) -> Moved {
        let found = self.core.peers.iter().position(|peer| matches!(peer, Peer::Server(_))).expect("there is a server");
        let Peer::Server(peer) = &self.core.peers[found] else { unreachable!("just looked at") };
        let (slot, pool) = (found as u32, peer.pool);
        assert!(self.ledger().line(0).idle.take(), "it is idle");
        let slice = &mut self.core.pools[pool as usize].as_mut().expect("it is in use").slice;
        let taken = slice.take();
        slice.expect_one();
        assert!(matches!(taken, Take::Hand(link) if link == slot), "{taken:?}");
        self.core.links.pause(slot);
        self.settle();
        assert!(self.core.may_leave(slot));
        let Peer::Server(peer) = std::mem::take(&mut self.core.peers[found]) else { unreachable!("it is idle") };
        Moved { pool, fd: self.core.links.give_away(slot), server: peer.link }
    }

    /// One turn of the core; true when it has something left to do.
    pub fn turn(&mut self) -> bool {
        self.core.step().unwrap();
        self.world.core_runnable(0)
    }

    /// Reports that have come.
    pub fn reported(&self) -> usize {
        self.reports.borrow().len()
    }

    /// Lets time pass and whatever was due happen.
    pub fn pass(&mut self, ns: u64) {
        let until = self.world.now() + ns;
        while let Some(at) = self.world.next_event().filter(|&at| at <= until) {
            self.world.advance_to(at);
            self.settle();
        }
        self.world.advance_to(until);
        self.settle();
    }

    pub fn ledger(&self) -> Arc<Ledger> {
        self.shared.published.load().pools[0].state.ledger.clone()
    }

    /// Connections of the pool, and those that are idle.
    pub fn permits(&self) -> (u32, u32) {
        let ledger = &self.shared.published.load().pools[0].state.ledger;
        let busy = ledger.statistics(0).busy.load(Ordering::Relaxed);
        assert_eq!(busy, 0, "servers count as busy that nobody uses");
        (ledger.open(), ledger.line(0).idle.count())
    }

    pub fn clients(&self) -> usize {
        self.shared.clients[0].0.load(Ordering::Relaxed)
    }
}

impl FakeServer {
    fn poll(&mut self, world: &World, greeting: &[u8], noise: &[u8], key: &[u8], deadly: Option<(&str, &str)>, cancels: &mut Vec<Vec<u8>>) -> bool {
        let bytes = match world.peer_read(self.peer, 4096) {
            PeerRead::Bytes(bytes) => bytes,
            PeerRead::End if !self.over => {
                self.over = true;
                world.peer_close(self.peer);
                return true;
            }
            _ => return false,
        };
        self.received.extend(bytes);
        let mut words = Vec::new();
        let before = cancels.len();
        while let Some(reply) = self.next(greeting, key, cancels) {
            let mut rest = reply.as_slice();
            while let Ok(Some(header)) = crate::wire::frame::header(rest) {
                words.extend_from_slice(noise);
                words.extend_from_slice(&rest[..header.total()]);
                rest = &rest[header.total()..];
            }
            words.extend_from_slice(noise);
        }
        let dies = |(database, text): (&str, &str)| {
            self.packet.contains(&format!(" {database} ")) && self.texts.last().is_some_and(|last| last.starts_with(text))
        };
        if !self.over && deadly.is_some_and(dies) {
            self.over = true;
            world.peer_close(self.peer);
            return true;
        }
        assert_eq!(world.peer_write(self.peer, &words), words.len());
        if cancels.len() > before || self.over {
            self.over = true;
            world.peer_close(self.peer);
        }
        true
    }

    /// The reply to the next whole message.
    fn next(&mut self, greeting: &[u8], key: &[u8], cancels: &mut Vec<Vec<u8>>) -> Option<Vec<u8>> {
        let bytes = self.received.make_contiguous();
        let start = usize::from(self.logged_in);
        let length = u32::from_be_bytes(*bytes.get(start..)?.first_chunk::<4>()?) as usize;
        let message: Vec<u8> = bytes.get(..start + length)?.to_vec();
        self.received.drain(..start + length);
        let mut words = Vec::new();
        if !self.logged_in && message[4..8] == 80_877_102u32.to_be_bytes() {
            cancels.push(message[8..].to_vec());
            return Some(Vec::new());
        } else if !self.logged_in {
            self.logged_in = true;
            self.packet = String::from_utf8_lossy(&message[8..]).replace('\0', " ");
            server::authentication_ok(&mut words);
            words.extend_from_slice(greeting);
            server::parameter_status(&mut words, b"server_version", b"15.1").unwrap();
            server::backend_key_data(&mut words, 7, key).unwrap();
        } else if message[0] == b'Q' {
            let text = String::from_utf8_lossy(&message[5..message.len() - 1]).into_owned();
            match text.as_str() {
                "BEGIN" | "BEGIN;SELECT 1" | "SELECT txid_current()" => self.in_transaction = true,
                "COMMIT" | "ROLLBACK" => self.in_transaction = false,
                _ if text.starts_with("PREPARE TRANSACTION") => self.in_transaction = false,
                _ => {}
            }
            let fields = server::ErrorFields { severity: "ERROR", code: "42601", message: "syntax error", detail: None, hint: None };
            if text.starts_with("SILENCE") {
                self.texts.push(text);
                return Some(Vec::new());
            }
            // What this server is told to say is its command's tag.
            if text.starts_with("pg_dog refuses") {
                server::error(&mut words, &fields);
            } else {
                let ends = ["PREPARE TRANSACTION", "COMMIT PREPARED", "ROLLBACK PREPARED", "COMMIT"].into_iter().find(|tag| text.starts_with(tag));
                server::command_complete(&mut words, text.strip_prefix("SAY ").or(ends).unwrap_or("SELECT 1")).unwrap();
            }
            self.texts.push(text);
        } else {
            self.over = message[0] == b'X';
            return Some(Vec::new());
        }
        server::ready(&mut words, if self.in_transaction { b'T' } else { b'I' });
        Some(words)
    }
}

fn published(mode: PoolerMode, size: usize, shards: u16, change: impl FnOnce(&mut PoolSpec, &mut General)) -> Published {
    let mut general = General { workers: 1, auth_type: AuthType::Trust, log_connections: false, log_disconnections: false, ..General::default() };
    let mut spec = PoolSpec {
        database: "app".into(),
        user: "app".into(),
        host: SERVER.ip().to_string(),
        port: SERVER.port(),
        server_database: "app".into(),
        server_user: "app".into(),
        pool_size: size,
        min_pool_size: 0,
        mode,
        idle_timeout: NEVER,
        server_lifetime: NEVER,
        server_lifetime_jitter: Duration::ZERO,
        shards,
        ..PoolSpec::default()
    };
    if shards > 1 {
        general.shard_identity = false;
    }
    change(&mut spec, &mut general);
    let specs: Vec<PoolSpec> = (0..shards)
        .map(|shard| {
            let server_database = if shards > 1 { format!("app_{shard}") } else { spec.server_database.clone() };
            PoolSpec { shard, server_database, ..spec.clone() }
        })
        .collect();
    let pools = specs.iter().enumerate().map(|(id, spec)| {
        let ledger = Ledger::new(1, spec.pool_size as u32);
        ledger.set_reserve(spec.limits.reserve);
        Arc::new(SharedPool::new(id as u32, spec.clone(), PoolState::new(ledger, Some(SERVER))))
    });
    let pools = pools.collect();
    let snapshot = Snapshot {
        number: 1,
        general,
        cores: Cores::default(),
        admin: Admin { database: "admin".into(), user: "admin".into(), password: "secret".into(), is_set: true },
        tcp: Tcp { keepalive: true, time: None, interval: None, retries: None, user_timeout: None, congestion_control: None },
        pools: specs,
        by_name: HashMap::from([(("app".to_string(), "app".to_string()), 0)]),
        sharded: Vec::new(),
        shown: Vec::new(),
    };
    Published::new(snapshot, pools, Arc::new(ArcSwapOption::empty()))
}
