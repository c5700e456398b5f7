//! The messages that cores send each other, and the few things all cores share: where engine and control meet.
//!
//! Each server, client and request has at most one message in flight, so that mailboxes are bounded by what exists. What is shared is either
//! immutable (`Published`), atomic (`Ledger`, counters) or set once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::admin::console::Scope;
use crate::admin::counts::{CoreTally, Tallies};
use crate::admin::report::{Report, Wants};
use crate::auth::scram::Verifier;
use crate::config::snapshot::{ClientSecrets, PoolSpec, Snapshot};
use crate::pool::ledger::{Gate, Ledger};
use crate::route::cluster::Cluster;
use crate::route::commit::Gid;
use crate::route::large::Question;
use crate::route::proof::Said;
use crate::session::greeting::{PasswordInUse, Reported, SaltedKeys, report};
use crate::session::login::Check;
use crate::session::server::Server;
use crate::session::statements::Library;

/// What a pool is beyond its settings: lives as long as anybody uses the pool, over reloads.
pub struct PoolState {
    pub ledger: Arc<Ledger>,
    /// where the server is, once its name is resolved; none for one that is reached by a Unix socket
    pub address: ArcSwapOption<SocketAddr>,
    /// what servers report when a session starts, and later when their configuration is reloaded; another list only when something differs
    pub parameters: ArcSwapOption<Reported>,
    /// number of that list, counted after it was changed: cheaper to compare than the list
    pub reports: AtomicU64,
    /// which of several passwords the server takes
    pub password: PasswordInUse,
    /// keys of our own login at the server, so that PBKDF2 runs once
    pub server_keys: ArcSwapOption<SaltedKeys>,
    /// what each core has counted, readable at any time
    pub tallies: Tallies,
    /// set while the server does not let us in
    pub barred: ArcSwapOption<Barred>,
    /// clients that belong to the pool, over all cores
    pub clients: AtomicU32,
    /// servers held by transactions that wait for a server of another shard
    pub stuck: AtomicU32,
    /// counts the changes of the schema that were seen
    pub schema: AtomicU64,
}

/// What the pools of one database, or of one user, have together.
#[derive(Debug)]
pub struct Quota {
    /// their server connections
    pub servers: Arc<Gate>,
    /// their clients
    pub clients: Gate,
}

impl Quota {
    /// At most so many of each; `u32::MAX` = no bound.
    pub fn new(servers: u32, clients: u32) -> Quota {
        Quota { servers: Arc::new(Gate::new(servers)), clients: Gate::new(clients) }
    }
}

impl Default for Quota {
    /// No bounds.
    fn default() -> Quota {
        Quota::new(u32::MAX, u32::MAX)
    }
}

/// A server that refuses our login: until then nobody asks again, and clients are told at once.
#[derive(Debug)]
pub struct Barred {
    /// ns of the monotonic clock
    pub until: u64,
    /// how long this pause is, ns; the next is longer
    pub pause: u64,
    pub code: String,
    pub message: String,
}

impl PoolState {
    /// Of a pool that nobody has used yet.
    pub fn new(ledger: Ledger, address: Option<SocketAddr>) -> PoolState {
        PoolState {
            tallies: Tallies::new(ledger.cores()),
            ledger: Arc::new(ledger),
            address: address.map(Arc::new).into(),
            parameters: None.into(),
            reports: AtomicU64::new(0),
            password: PasswordInUse::default(),
            server_keys: None.into(),
            barred: None.into(),
            clients: AtomicU32::new(0),
            stuck: AtomicU32::new(0),
            schema: AtomicU64::new(0),
        }
    }

    /// A server has reported all parameters.
    pub fn set_parameters(&self, reported: Reported) {
        if self.parameters.load().as_deref() != Some(&reported) {
            self.parameters.store(Some(Arc::new(reported)));
            self.reports.fetch_add(1, Ordering::Release);
        }
    }

    /// The servers report what somebody was told, who was told by another pool perhaps. Where that is the same in another list, this pool takes that
    /// list, and both are one from then on.
    pub fn reports_as(&self, told: &Arc<Reported>) -> bool {
        let now = self.parameters.load();
        match &*now {
            Some(now) if Arc::ptr_eq(now, told) => true,
            Some(same) if **same == **told => {
                self.parameters.compare_and_swap(&now, Some(told.clone()));
                true
            }
            _ => false,
        }
    }

    /// A server has reported some parameters. Of two cores that hear of one reload at once, both say the same.
    pub fn change_parameters(&self, changed: &Reported) {
        let Some(mut parameters) = self.parameters.load_full().map(|known| (*known).clone()) else { return };
        for (name, value) in changed {
            report(&mut parameters, name, value);
        }
        self.set_parameters(parameters);
    }
}

/// One pool as all cores see it.
pub struct SharedPool {
    /// never given to another pool; a changed address or server login makes a new one
    pub id: u32,
    pub spec: PoolSpec,
    pub state: Arc<PoolState>,
    pub verifier: Arc<VerifierCell>,
    /// of its database and of its user
    pub quotas: [Arc<Quota>; 2],
}

impl SharedPool {
    /// A pool whose database and user have no bounds.
    pub fn new(id: u32, spec: PoolSpec, state: PoolState) -> SharedPool {
        SharedPool { id, spec, state: Arc::new(state), verifier: Arc::default(), quotas: Default::default() }
    }
}

/// Made by the first login that needs it, so that PBKDF2 runs once.
pub type VerifierCell = ArcSwapOption<Verifier>;

/// A snapshot with what lives behind it.
pub struct Published {
    pub snapshot: Snapshot,
    /// in the snapshot's order
    pub pools: Vec<Arc<SharedPool>>,
    pub by_id: HashMap<u32, Arc<SharedPool>>,
    /// those that keep their minimum from the start on
    pub warm: Vec<Arc<SharedPool>>,
    /// of the admin user
    pub admin_verifier: Arc<VerifierCell>,
}

impl Published {
    /// Puts together what all cores look at.
    pub fn new(snapshot: Snapshot, pools: Vec<Arc<SharedPool>>, admin_verifier: Arc<VerifierCell>) -> Published {
        let by_id = pools.iter().map(|pool| (pool.id, pool.clone())).collect();
        let warm = pools.iter().filter(|pool| pool.spec.warm && pool.spec.min_pool_size > 0).cloned().collect();
        Published { snapshot, pools, by_id, warm, admin_verifier }
    }

    /// The pool for a user of a database, as clients name them.
    pub fn find(&self, database: &str, user: &str) -> Option<&Arc<SharedPool>> {
        // Looked up at login and after a reload only, so that the two owned names do not matter.
        let index = self.snapshot.by_name.get(&(database.to_string(), user.to_string()))?;
        self.pools.get(*index)
    }

    /// The pools of all shards of a database, for one of its pools; that one alone where there are no shards.
    pub fn shards(&self, pool: &SharedPool) -> &[Arc<SharedPool>] {
        let Some(&first) = self.snapshot.by_name.get(&(pool.spec.database.clone(), pool.spec.user.clone())) else { return &[] };
        self.pools.get(first..first + usize::from(pool.spec.shards)).unwrap_or_default()
    }
}

/// What all data cores share.
pub struct Shared {
    pub published: ArcSwap<Published>,
    /// number of what is in `published`; compared between turns
    pub version: AtomicU64,
    /// clients on each core, for spreading fresh ones
    pub clients: Vec<Padded>,
    /// what each core counts of itself, readable at any time
    pub tallies: Vec<CoreTally>,
    /// clients that may be there at once, over all cores
    pub clients_max: usize,
    /// the texts that clients prepare
    pub library: Arc<Library>,
    /// next number for a client; never given twice
    pub next_client: AtomicU64,
    /// the databases with shards, by name; another table whenever something about one of them is known
    pub clusters: ArcSwap<HashMap<String, Arc<Cluster>>>,
    /// identifies this process to nobody but itself: salts for users that do not exist
    pub secret: [u8; 32],
}

/// A counter on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
pub struct Padded(pub AtomicUsize);

/// A server on its way from one core to another.
pub struct Moved {
    pub pool: u32,
    pub fd: i32,
    pub server: Box<ServerLink>,
}

/// All of a server that moves with it.
pub struct ServerLink {
    pub server: Server,
    pub pool: Arc<SharedPool>,
    /// nanoseconds (monotonic) and milliseconds since 1970 when it was connected
    pub connected_at: u64,
    pub connected_wall: u64,
    pub received: u64,
    pub sent: u64,
    /// when it last went to a client
    pub used_at: u64,
    /// when its last reply was complete
    pub heard_at: u64,
    /// when it is old enough to be closed as soon as it is free
    pub retire_at: u64,
    /// how often it was asked whether it lives
    pub checks: u64,
    pub proof: Proof,
}

/// Whether a server is the shard that it should be.
#[derive(Debug, Default)]
pub enum Proof {
    /// it was not asked: there are no shards, or nobody wants to know
    #[default]
    Unasked,
    /// what it said is not compared yet: nothing was known to compare it with
    Open(Box<Said>),
    Right,
}

/// A channel as the clients of one pool name it; lives as long as one of them listens. They count together what the control core counts apart.
#[derive(Debug, Default)]
pub struct Topic {
    /// never given to another
    pub id: u64,
    /// the pool's, as clients say them
    pub database: String,
    pub user: String,
    /// as PostgreSQL keeps it
    pub channel: Box<[u8]>,
    /// clients that listen
    pub listeners: AtomicU64,
    /// notifications that came
    pub received: AtomicU64,
    /// and those that were not given to one of the clients, because it read too slowly
    pub dropped: AtomicU64,
}

/// What a listening client has asked for.
pub struct ListenTo {
    pub asker: Asker,
    pub pool: Arc<SharedPool>,
    pub channel: Box<[u8]>,
    /// the encoding in which it reads, where that is not the one that its servers begin with
    pub encoding: Option<String>,
}

/// The number of a topic, and a whole message for all who listen to it.
pub type Notification = (u64, Arc<[u8]>);

/// News of channels. A data core reads them one after the other, as they came.
pub enum Airmail {
    /// the answer to `Word::Listen`: from here on the client listens; else SQLSTATE and message
    Listening { slot: u32, generation: u32, heard: Result<Arc<Topic>, (String, String)> },
    /// notifications, each a whole message, by the number of their topic. Whoever has sent them counts the tickets that are left.
    Notified { notifications: Vec<Notification>, ticket: Arc<()> },
    /// nobody listened for these topics between two moments
    Gap { topics: Arc<[u64]>, since: Arc<str>, until: Arc<str> },
}

/// To a data core.
pub enum Mail {
    /// a server changes cores for good
    Hand(Moved),
    /// a waiter of core `from` was promised an idle server of yours
    Take { pool: u32, from: usize },
    /// a permit of this pool is free
    Nudge { pool: u32 },
    /// this pool's database or user has as many connections as may be: close an idle one of theirs
    MakeRoom { pool: u32 },
    /// this pool has no clients any more
    Deserted { pool: u32 },
    /// the server you were promised has died meanwhile
    Refund { pool: u32 },
    /// a fresh connection that you have more room for
    Client { fd: i32 },
    /// a cancel request for a client of yours
    Cancel { slot: u32, secret: Box<[u8]> },
    /// a helper has made what the client or server in that slot waits for
    Made { slot: u32, generation: u32 },
    /// look at `Shared::version`
    Published,
    /// say what you have; the answer goes to the control core
    Report { request: u64, wants: Wants },
    /// bytes for an admin client, then ready for its next command
    Answer { slot: u32, generation: u32, bytes: Vec<u8> },
    /// the operator wants something done; `Word::Obeyed` says that it was
    Order { request: u64, asker: Asker, order: Arc<Order> },
    /// take no more clients, let the others finish; then say `Drained`
    Drain,
    /// news of channels
    Air(Airmail),
}

/// What the operator wants done to clients and servers. Each core answers with a number, of which the sum over all cores means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// count the servers in use
    InUse(Scope),
    /// look whether waiters can be served again
    Look(Scope),
    /// close every server connection as soon as it is free
    Replace(Scope),
    /// count the connections that are still to be closed, or are being closed
    Closing(Scope),
    /// drop clients and servers at once; count them
    Drop(Scope),
    /// drop the client of this id, if it is there; count it
    DropClient(u32),
    /// pools of this scope are held, or are no longer (see `Ledger::held`): who was held back goes on; `any`: some pools are
    Hold { any: bool, scope: Scope },
    /// take no more clients; count those that are there
    Close,
    /// listen to nobody but the operator; count what is still to be sent, bytes
    Suspend,
    /// the end of that
    Wake,
}

/// Work for a helper; it takes milliseconds, and large texts more.
pub enum Job {
    /// PBKDF2 for a client's login; the result goes to `cell`
    Verifier { cell: Arc<VerifierCell>, secrets: Arc<ClientSecrets>, salt: [u8; 16] },
    /// PBKDF2 for a password that a client sent in clear; the result goes into it
    Check(Arc<Check>),
    /// PBKDF2 for our login at a server with one of the pool's passwords; the result goes to `pool.state.server_keys`
    ServerKeys { pool: Arc<SharedPool>, password: usize, salt: Vec<u8>, iterations: u32 },
    /// to read a text that is too large for a data core; the answer goes into it
    Read(Arc<Question>),
}

/// Who waits for a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub core: usize,
    pub slot: u32,
    pub generation: u32,
}

/// To the control core.
pub enum Word {
    /// an admin client's command
    Command { asker: Asker, text: String },
    /// the answer to `Mail::Report`
    Report { request: u64, report: Box<Report> },
    /// the answer to `Mail::Order`; `orphaned`: the asker was a client of that core and has gone
    Obeyed { request: u64, count: u64, orphaned: bool },
    /// an admin client does not want to wait for its answer
    Interrupted { asker: Asker },
    /// a pool's server could not be reached: its name may have moved
    Unreachable { pool: u32 },
    /// the schema of this pool's database was changed, which has shards
    Altered { pool: u32 },
    /// a snapshot that this core no longer looks at; to free it may take long
    Outdated(Arc<Published>),
    /// a commit over shards whose coordinator cannot go on: the reply to its decider's COMMIT was lost, or a prepared part
    /// cannot be finished; without a name, recovery looks often for a while
    InDoubt { database: String, gid: Option<Gid> },
    /// a client wants to listen; `Airmail::Listening` answers
    Listen(Box<ListenTo>),
    /// of each of these topics, one client of this core listens no more
    Unlisten { core: usize, topics: Vec<u64> },
    /// the last client of a draining core has gone
    Drained { core: usize },
    /// a data core cannot go on
    Failed { core: usize, why: String },
}

/// How control and helpers write to data cores.
pub trait Poster: Send + Sync {
    /// True: that core must be woken.
    fn post(&self, core: usize, mail: Mail) -> bool;
    /// How many data cores there are.
    fn cores(&self) -> usize;
}

/// A text that a client sent to be carried out, for the query log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub database: String,
    pub user: String,
    pub text: String,
}

/// How data cores reach everybody else; the simulator has its own.
pub trait Desk {
    /// Posts to the control core.
    fn word(&self, word: Word);
    /// Gives work to a helper; `Mail::Keys` comes when it is done.
    fn job(&self, asker: Asker, job: Job);
    /// Gives a text to the query log; false when it has no room.
    fn asked(&self, _: Asked) -> bool {
        false
    }
    /// Fills `bytes` with random ones.
    fn random(&self, bytes: &mut [u8]);
}
