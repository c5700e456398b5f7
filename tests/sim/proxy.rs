//! pg_dog itself in the simulation: its cores over simulated doors, what they share, and a desk with nobody behind it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use pg_dog::admin::console::Scope;
use pg_dog::admin::report::Wants;
use pg_dog::config::snapshot::{
    Admin, AuthType, ClientRecovery, ClientSecrets, Cores, General, NEVER, PoolSpec, PoolerMode, PreparedStatements, Recovery, Snapshot, Tcp,
};
use pg_dog::engine::{Core, Outside, Parts, mailboxes};
use pg_dog::io::sim::{Dice, SimDoor, World};
use pg_dog::mail::Poster as _;
use pg_dog::mail::{Asker, Desk, Job, Mail, Order, PoolState, Published, Shared, SharedPool, Word};
use pg_dog::pool::ledger::{Gate, Ledger, Line};

use crate::house::CoreUnderTest;

/// How pg_dog is configured in one run.
#[derive(Clone, Debug)]
pub struct Setup {
    pub cores: usize,
    pub users: Vec<&'static str>,
    pub pool_size: usize,
    pub min_pool_size: usize,
    pub mode: PoolerMode,
    /// `prepared_statements = "full"`
    pub full: bool,
    pub auth: AuthType,
    pub recovery: ClientRecovery,
    pub spread: bool,
    pub fair_us: u64,
    /// None: never
    pub checkout_timeout: Option<Duration>,
    pub connect_timeout: Duration,
    pub connect_attempts: u32,
    pub connect_attempt_delay: Duration,
    pub server_connects: u32,
    pub login_timeout: Duration,
    pub idle_timeout: Duration,
    pub server_lifetime: Duration,
    pub healthcheck_interval: Duration,
    pub connection_recovery: Recovery,
    /// bytes of all receive buffers of a core, of each group
    pub buffers: [usize; 2],
}

/// Bytes that a socket may hold or keep beyond what all receive buffers of a core hold: two messages that are looked into and words of our own.
const KEPT_MAX: usize = 48 << 10;
/// As the head of `io::buffer` has it: five classes of blocks.
const BLOCKS_MAX: usize = 5 << 20;
/// So long nobody waits while a server is idle: all pauses that the lending rule makes are shorter.
const REST_NS: u64 = 20_000_000;
/// And so long nobody waits while a connection could be opened, or for a promised server that fell silent in the middle of a message: the pause after
/// a connect that failed is shorter, and so is the patience with such a server.
const RETRY_NS: u64 = 120_000_000;

/// The control core and the helpers are not simulated: what is said to them is dropped, and logins here need no helper.
struct NobodyAtTheDesk {
    dice: RefCell<Dice>,
    drained: Rc<RefCell<Vec<usize>>>,
}

impl Desk for NobodyAtTheDesk {
    fn word(&self, word: Word) {
        match word {
            Word::Failed { core, why } => panic!("core {core} has failed: {why}"),
            Word::Drained { core } => self.drained.borrow_mut().push(core),
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

/// Since when a waiter waits, and since when it does so beside an idle server.
type Beside = Option<(u64, u64)>;

/// What the data cores share, and the way to write to them.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    outside: Outside,
    setup: Setup,
    address: SocketAddr,
    /// the largest limit that any pool has had
    most: Rc<Cell<usize>>,
    /// of each pool: since when its first waiter waits, and since when that one waits beside an idle server
    beside: Rc<RefCell<Vec<Beside>>>,
    /// cores that have said so
    pub drained: Rc<RefCell<Vec<usize>>>,
}

struct OneCore {
    core: Core<SimDoor, NobodyAtTheDesk>,
    kept_max: usize,
}

impl CoreUnderTest for OneCore {
    fn turn(&mut self) {
        self.core.step().expect("a simulated machine does not break");
    }

    fn check_memory(&self) {
        let (held, backlog, blocks) = self.core.kept();
        let most = self.kept_max;
        assert!(held <= most && backlog <= most, "a socket holds {held} bytes and keeps {backlog} to be sent, {most} are allowed");
        assert!(blocks <= BLOCKS_MAX, "{blocks} bytes lie in blocks that nobody uses");
    }
}

impl Proxy {
    /// pg_dog as `setup` says, in front of the server at `address`.
    pub fn start(world: &World, dice: &mut Dice, setup: &Setup, address: SocketAddr) -> (Proxy, Vec<Box<dyn CoreUnderTest>>) {
        let shared = Arc::new(Shared {
            published: ArcSwap::from_pointee(published(setup, address)),
            version: AtomicU64::new(1),
            clients: (0..setup.cores).map(|_| Default::default()).collect(),
            tallies: (0..setup.cores).map(|_| Default::default()).collect(),
            clients_max: usize::MAX,
            library: Arc::default(),
            clusters: Default::default(),
            next_client: AtomicU64::new(1),
            secret: [7; 32],
        });
        let (posts, outside) = mailboxes(setup.cores);
        let drained = Rc::new(RefCell::new(Vec::new()));
        let cores = posts.into_iter().enumerate().map(|(id, post)| -> Box<dyn CoreUnderTest> {
            let desk = NobodyAtTheDesk { dice: RefCell::new(dice.fork()), drained: drained.clone() };
            let listeners = vec![world.listen(id)];
            let core = Core::new(Parts { id, door: world.door(id), desk, post, shared: shared.clone(), listeners });
            Box::new(OneCore { core, kept_max: KEPT_MAX + 2 * setup.buffers.iter().sum::<usize>() })
        });
        let cores = cores.collect();
        let most = Rc::new(Cell::new(setup.pool_size));
        (Proxy { shared: shared.clone(), outside, setup: setup.clone(), address, most, beside: Rc::default(), drained: drained.clone() }, cores)
    }

    /// Of each pool: its user, the connections it has, and the most it may ever have had.
    pub fn limits(&self) -> Vec<(String, usize, usize)> {
        let published = self.shared.published.load();
        let one = |pool: &Arc<SharedPool>| (pool.spec.user.clone(), pool.state.ledger.open() as usize, self.most.get());
        published.pools.iter().map(one).collect()
    }

    /// Nobody waits for long while servers are idle, promised or not.
    fn check_first_waiters(&self, now: u64) {
        let mut beside = self.beside.borrow_mut();
        beside.resize(self.setup.users.len(), None);
        for (ledger, known) in self.ledgers().zip(beside.iter_mut()) {
            let of = |number: fn(&pg_dog::pool::ledger::Statistics) -> &AtomicU64| (0..ledger.cores()).map(move |core| (core, number));
            let read = |(core, number): (usize, fn(&pg_dog::pool::ledger::Statistics) -> &AtomicU64)| {
                number(ledger.statistics(core)).load(Ordering::Relaxed)
            };
            let first = of(|one| &one.waiting_since).map(read).filter(|since| *since > 0).min();
            let idle: u64 = of(|one| &one.idle).map(read).sum();
            *known = match first.filter(|_| idle > 0 && !ledger.paused()) {
                Some(since) => known.filter(|(before, _)| *before == since).or(Some((since, now))),
                None => None,
            };
            let long = known.is_some_and(|(_, from)| now > from + RETRY_NS);
            assert!(!long, "at {now} the first waiter has waited since {first:?}, and since {known:?} there are idle servers: {idle}");
        }
    }

    /// Nothing happens between `now` and `next`: nobody may wait all that time for what is there.
    pub fn check_rest(&self, now: u64, next: u64) {
        self.check_first_waiters(now);
        if next < now + REST_NS {
            return;
        }
        for ledger in self.ledgers().filter(|ledger| !ledger.paused()) {
            let sum = |number: fn(&pg_dog::pool::ledger::Statistics) -> &AtomicU64| -> u64 {
                (0..ledger.cores()).map(|core| number(ledger.statistics(core)).load(Ordering::Relaxed)).sum()
            };
            let (waiting, idle, opening) = (sum(|one| &one.waiting), sum(|one| &one.idle), sum(|one| &one.opening));
            // Without those that are promised, and those to whom one is promised.
            let count = |semaphore: fn(&Line) -> u32| -> u64 { (0..ledger.cores()).map(|core| u64::from(semaphore(ledger.line(core)))).sum() };
            let (shown, needed) = (count(|line| line.idle.count()), count(|line| line.need.count()));
            let idle = if next < now + RETRY_NS { shown.min(needed) } else { idle };
            let room = waiting > opening && ledger.has_room() && next > now.max(ledger.retry_at()) + RETRY_NS;
            let (open, limit) = (ledger.open(), ledger.limit());
            assert!(
                waiting == 0 || idle == 0 && !room,
                "from {now} to {next} {waiting} clients wait, with {idle} idle servers and {open} of {limit} connections"
            );
        }
    }

    /// Writes to every core, as the control core does.
    fn tell(&self, world: &World, mail: impl Fn() -> Mail) {
        for core in 0..self.setup.cores {
            if self.outside.post(core, mail()) {
                world.wake(core);
            }
        }
    }

    /// PAUSE of all pools.
    pub fn pause(&self) {
        self.ledgers().for_each(|ledger| ledger.set_paused(true));
    }

    /// RESUME of all pools.
    pub fn resume(&self, world: &World) {
        self.ledgers().for_each(|ledger| ledger.set_paused(false));
        self.order(world, Order::Look(Scope::default()));
    }

    /// RECONNECT of all pools.
    pub fn replace(&self, world: &World) {
        self.order(world, Order::Replace(Scope::default()));
    }

    /// SHOW of everything; the answer is nobody's.
    pub fn report(&self, world: &World) {
        self.tell(world, || Mail::Report {
            request: 0,
            wants: Wants { clients: true, servers: true, pools: true, transactions: true, query_cache: true },
        });
    }

    fn order(&self, world: &World, order: Order) {
        let (nobody, order) = (Asker { core: usize::MAX, slot: 0, generation: 0 }, Arc::new(order));
        self.tell(world, || Mail::Order { request: 0, asker: nobody, order: order.clone() });
    }

    /// A reload that gives all pools another size.
    pub fn resize(&self, world: &World, pool_size: usize) {
        let before = self.shared.published.load_full();
        self.most.set(self.most.get().max(pool_size));
        let setup = Setup { pool_size, min_pool_size: self.setup.min_pool_size.min(pool_size), ..self.setup.clone() };
        let mut snapshot = snapshot(&setup, self.address);
        snapshot.number = before.snapshot.number + 1;
        let pools = before.pools.iter().zip(&snapshot.pools).map(|(old, spec)| {
            old.state.ledger.set_limit(spec.pool_size as u32);
            let (state, verifier, quotas) = (old.state.clone(), old.verifier.clone(), old.quotas.clone());
            Arc::new(SharedPool { id: old.id, spec: spec.clone(), state, verifier, quotas })
        });
        let pools: Vec<Arc<SharedPool>> = pools.collect();
        let number = snapshot.number;
        self.shared.published.store(Arc::new(Published::new(snapshot, pools, before.admin_verifier.clone())));
        self.shared.version.store(number, Ordering::Release);
        self.tell(world, || Mail::Published);
    }

    /// No more clients; those that are there may finish.
    pub fn drain(&self, world: &World) {
        self.tell(world, || Mail::Drain);
    }

    /// Connections of all pools.
    pub fn open(&self) -> usize {
        self.ledgers().map(|ledger| ledger.open() as usize).sum()
    }

    /// What must hold when no client is there and nothing is on its way.
    pub fn check_quiet(&self) {
        for ledger in self.ledgers() {
            let sum = |number: fn(&pg_dog::pool::ledger::Statistics) -> &AtomicU64| -> u64 {
                (0..ledger.cores()).map(|core| number(ledger.statistics(core)).load(Ordering::Relaxed)).sum()
            };
            let (idle, busy, opening, waiting) = (sum(|one| &one.idle), sum(|one| &one.busy), sum(|one| &one.opening), sum(|one| &one.waiting));
            let shown: u64 = (0..ledger.cores()).map(|core| u64::from(ledger.line(core).idle.count())).sum();
            let needed: u64 = (0..ledger.cores()).map(|core| u64::from(ledger.line(core).need.count())).sum();
            assert_eq!((busy, opening, waiting, needed), (0, 0, 0, 0), "busy, opening, waiting and needed servers of a pool without clients");
            // Those that were told goodbye may take their time; that each of them is a socket still, the caller sees.
            assert_eq!((u64::from(ledger.lasting()), shown), (idle, idle), "open and shown servers are the idle ones");
            assert!(ledger.open() <= ledger.limit(), "{} connections with a limit of {}", ledger.open(), ledger.limit());
        }
        let counted: usize = self.shared.clients.iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
        assert_eq!(counted, 0, "clients are counted that are not there");
    }

    fn ledgers(&self) -> impl Iterator<Item = Arc<Ledger>> {
        let published = self.shared.published.load_full();
        (0..published.pools.len()).map(move |pool| published.pools[pool].state.ledger.clone())
    }
}

fn published(setup: &Setup, address: SocketAddr) -> Published {
    let snapshot = snapshot(setup, address);
    let gate = Arc::new(Gate::new(setup.server_connects));
    let pools = snapshot.pools.iter().enumerate().map(|(id, spec)| {
        let ledger = Ledger::behind(gate.clone(), setup.cores, spec.pool_size as u32);
        Arc::new(SharedPool::new(id as u32, spec.clone(), PoolState::new(ledger, Some(address))))
    });
    let pools: Vec<Arc<SharedPool>> = pools.collect();
    Published::new(snapshot, pools, Arc::new(ArcSwapOption::empty()))
}

fn snapshot(setup: &Setup, address: SocketAddr) -> Snapshot {
    let pools = setup.users.iter().map(|user| PoolSpec {
        database: "app".to_string(),
        user: user.to_string(),
        host: address.ip().to_string(),
        port: address.port(),
        server_database: "app".to_string(),
        server_user: user.to_string(),
        server_passwords: ["secret".to_string()].into(),
        client: Arc::new(ClientSecrets::password("secret")),
        pool_size: setup.pool_size,
        min_pool_size: setup.min_pool_size,
        mode: setup.mode,
        idle_timeout: setup.idle_timeout,
        server_lifetime: setup.server_lifetime,
        server_lifetime_jitter: if setup.server_lifetime == NEVER { Duration::ZERO } else { setup.server_lifetime / 4 },
        ..PoolSpec::default()
    });
    let pools: Vec<PoolSpec> = pools.collect();
    let by_name: HashMap<(String, String), usize> =
        pools.iter().enumerate().map(|(index, pool)| ((pool.database.clone(), pool.user.clone()), index)).collect();
    Snapshot {
        number: 1,
        general: General {
            host: "127.0.0.1".to_string(),
            port: 6432,
            workers: setup.cores,
            auth_type: setup.auth,
            connect_timeout: setup.connect_timeout,
            connect_attempts: setup.connect_attempts,
            connect_attempt_delay: setup.connect_attempt_delay,
            healthcheck_interval: setup.healthcheck_interval,
            healthcheck_timeout: Duration::from_millis(500),
            checkout_timeout: setup.checkout_timeout.unwrap_or(NEVER),
            client_login_timeout: setup.login_timeout,
            connection_recovery: setup.connection_recovery,
            client_connection_recovery: setup.recovery,
            log_connections: false,
            log_disconnections: false,
            prepared_statements: if setup.full { PreparedStatements::Full } else { PreparedStatements::Extended },
            ..General::default()
        },
        cores: Cores { spread: setup.spread, fair_us: setup.fair_us, ..Cores::default() },
        admin: Admin { database: "admin".to_string(), user: "admin".to_string(), password: "secret".to_string(), is_set: true },
        tcp: Tcp { keepalive: true, time: None, interval: None, retries: None, user_timeout: None, congestion_control: None },
        pools,
        by_name,
        sharded: Vec::new(),
        shown: Vec::new(),
    }
}
