//! What the operator is shown, as plain numbers. Every data core fills a `Report` of its own slices, `control` absorbs them into one.
//! Invariant: absorbing is exact for counts (they add up), so the order in which the cores answer changes no total. The cores do not stop for a
//! report: a server that is lent while they are asked may stand in two lists or in none. Who gathers, and when, is left to `control`; what a row
//! looks like is left to `show`.

use std::collections::HashMap;

use crate::config::snapshot::PoolerMode;

pub use super::counts::{Average, COUNTERS, Counter, Counts, Period, StatsRow};

/// What a client or a server is doing, with the names that SHOW CLIENTS and SHOW SERVERS print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// not through its login yet (a client), or not connected yet (a server)
    Login,
    #[default]
    Idle,
    Active,
    /// a client in the queue of its pool
    Waiting,
    IdleInTransaction,
    /// in a transaction that failed and was not rolled back yet
    FailedTransaction,
    Closing,
}

impl State {
    /// The name in a `state` column; those of a transaction are PostgreSQL's own (pg_stat_activity).
    pub fn name(self) -> &'static str {
        match self {
            State::Login => "login",
            State::Idle => "idle",
            State::Active => "active",
            State::Waiting => "waiting",
            State::IdleInTransaction => "idle in transaction",
            State::FailedTransaction => "idle in transaction (aborted)",
            State::Closing => "closing",
        }
    }
}

/// What the server of a pool is to its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Primary,
    Replica,
    /// not found out yet
    Auto,
}

impl Role {
    /// The name in a `role` column, as in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Auto => "auto",
        }
    }
}

/// What a client replicates, with PgBouncer's names of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replication {
    #[default]
    None,
    Logical,
    Physical,
}

impl Replication {
    /// The name in a `replication` column.
    pub fn name(self) -> &'static str {
        match self {
            Replication::None => "none",
            Replication::Logical => "logical",
            Replication::Physical => "physical",
        }
    }
}

/// One client. Counters run since it connected; a field named `_us` is microseconds, one named `_ms` is milliseconds since 1970 (UTC).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientRow {
    /// the process id in the BackendKeyData we gave it
    pub id: u32,
    pub user: String,
    pub database: String,
    pub addr: String,
    /// 0 for a client on the Unix socket
    pub port: u16,
    pub state: State,
    pub replication: Replication,
    pub connect_ms: u64,
    /// None until its first request
    pub last_request_ms: Option<u64>,
    pub queries: u64,
    pub transactions: u64,
    /// transactions committed in two phases; 0 until that is built
    pub transactions_2pc: u64,
    /// waited for servers, a wait that is still going on included
    pub wait_us: u64,
    pub query_us: u64,
    pub transaction_us: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub errors: u64,
    pub application_name: String,
    /// it keeps its server between transactions
    pub locked: bool,
    /// of that, the wait that is still going on
    pub waiting_us: u64,
    /// descriptor of its socket
    pub fd: i32,
    /// process id of the server it holds
    pub server_pid: Option<u32>,
    pub prepared_statements: u64,
    /// why it keeps its server between transactions
    pub pinned: String,
}

/// One server connection. Units as in [`ClientRow`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerRow {
    pub pool_id: u64,
    pub database: String,
    pub user: String,
    pub addr: String,
    pub port: u16,
    pub state: State,
    pub connect_ms: u64,
    /// when it last began to serve a request; None until then
    pub request_ms: Option<u64>,
    /// the process id in the BackendKeyData the server gave us
    pub remote_pid: u32,
    /// [`ClientRow::id`] of who holds it
    pub client_id: Option<u32>,
    pub transactions: u64,
    pub queries: u64,
    pub rollbacks: u64,
    pub prepared_statements: u64,
    pub healthchecks: u64,
    pub errors: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// type byte of the last message to the server and from it; None until there was one
    pub last_sent: Option<u8>,
    pub last_received: Option<u8>,
    /// seconds since it connected
    pub age_s: u64,
    /// of the client it was last given to
    pub application_name: String,
    /// it will be closed as soon as it is free, or is being closed
    pub close_needed: bool,
    /// descriptor of its socket
    pub fd: i32,
}

/// One pool, or one core's slice of it; slices are told to belong together by `id` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRow {
    pub id: u64,
    pub database: String,
    pub user: String,
    pub addr: String,
    pub port: u16,
    /// 0 on a database without shards
    pub shard: u32,
    pub role: Role,
    pub cl_waiting: u64,
    pub sv_idle: u64,
    pub sv_active: u64,
    pub sv_idle_xact: u64,
    /// connections in any state
    pub sv_total: u64,
    /// how long the oldest waiter has waited, microseconds; 0 when nobody waits
    pub maxwait_us: u64,
    pub mode: PoolerMode,
    pub paused: bool,
    /// false until bans are built
    pub banned: bool,
    pub healthy: bool,
    pub errors: u64,
    /// connections brought back in step with what their client left behind
    pub re_synced: u64,
    /// connections closed because that failed
    pub out_of_sync: u64,
    /// connections closed while a client held them
    pub force_closed: u64,
    /// the pool gives out servers
    pub online: bool,
    /// false until schema changes are built
    pub schema_admin: bool,
}

impl Default for PoolRow {
    /// A pool without connections that works: healthy and online, so that merging into it hides nothing.
    fn default() -> PoolRow {
        PoolRow {
            id: 0,
            database: String::new(),
            user: String::new(),
            addr: String::new(),
            port: 0,
            shard: 0,
            role: Role::default(),
            cl_waiting: 0,
            sv_idle: 0,
            sv_active: 0,
            sv_idle_xact: 0,
            sv_total: 0,
            maxwait_us: 0,
            mode: PoolerMode::Transaction,
            paused: false,
            banned: false,
            healthy: true,
            errors: 0,
            re_synced: 0,
            out_of_sync: 0,
            force_closed: 0,
            online: true,
            schema_admin: false,
        }
    }
}

impl PoolRow {
    /// Adds another core's slice: counts add up, the longest wait wins. The pool is paused, healthy or online when every slice is (an operator who
    /// reads `paused` relies on no core giving out a server), and banned when one is. Names are those of the first.
    pub fn merge(&mut self, other: &PoolRow) {
        self.cl_waiting = self.cl_waiting.saturating_add(other.cl_waiting);
        self.sv_idle = self.sv_idle.saturating_add(other.sv_idle);
        self.sv_active = self.sv_active.saturating_add(other.sv_active);
        self.sv_idle_xact = self.sv_idle_xact.saturating_add(other.sv_idle_xact);
        self.sv_total = self.sv_total.saturating_add(other.sv_total);
        self.maxwait_us = self.maxwait_us.max(other.maxwait_us);
        self.errors = self.errors.saturating_add(other.errors);
        self.re_synced = self.re_synced.saturating_add(other.re_synced);
        self.out_of_sync = self.out_of_sync.saturating_add(other.out_of_sync);
        self.force_closed = self.force_closed.saturating_add(other.force_closed);
        self.paused &= other.paused;
        self.healthy &= other.healthy;
        self.online &= other.online;
        self.banned |= other.banned;
        self.schema_admin |= other.schema_admin;
    }
}

/// The numbers of SHOW LISTS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// configured; filled by `control` alone, a core leaves 0
    pub databases: u64,
    pub users: u64,
    pub pools: u64,
    /// 0: we keep no client slots in reserve
    pub free_clients: u64,
    pub used_clients: u64,
    /// idle ones
    pub free_servers: u64,
    pub used_servers: u64,
    /// of sessions, since the start; each ended one client
    pub panics: u64,
}

impl Lists {
    /// Adds another core's numbers; what is configured is the same for all.
    pub fn merge(&mut self, other: &Lists) {
        self.databases = self.databases.max(other.databases);
        self.users = self.users.max(other.users);
        self.pools = self.pools.max(other.pools);
        self.free_clients = self.free_clients.saturating_add(other.free_clients);
        self.used_clients = self.used_clients.saturating_add(other.used_clients);
        self.free_servers = self.free_servers.saturating_add(other.free_servers);
        self.used_servers = self.used_servers.saturating_add(other.used_servers);
        self.panics = self.panics.saturating_add(other.panics);
    }
}

/// A row of SHOW MEM: memory of one use, over all cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryRow {
    pub name: &'static str,
    /// bytes of one piece; 0 = pieces differ
    pub size: u64,
    /// pieces in use, and pieces kept for later
    pub used: u64,
    pub free: u64,
    /// bytes of both
    pub bytes: u64,
}

impl MemoryRow {
    /// Adds another core's.
    pub fn merge(&mut self, other: &MemoryRow) {
        self.size = self.size.max(other.size);
        self.used = self.used.saturating_add(other.used);
        self.free = self.free.saturating_add(other.free);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Which rows of a report are needed; numbers that are not rows are in every report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    pub clients: bool,
    pub servers: bool,
    /// of SHOW POOLS and of SHOW STATS
    pub pools: bool,
    /// commits over shards at work
    pub transactions: bool,
    /// plans of statements on databases with shards
    pub query_cache: bool,
}

/// One database, as PgBouncer's SHOW DATABASES has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseRow {
    pub name: String,
    /// None for the admin database, which has no server
    pub host: Option<String>,
    pub port: u16,
    pub server_database: String,
    /// set when all its users log in at the server as this one
    pub force_user: Option<String>,
    /// of its largest pool
    pub pool_size: u64,
    pub min_pool_size: u64,
    /// None: its users' modes differ
    pub mode: Option<PoolerMode>,
    /// all its pools are
    pub paused: bool,
    pub disabled: bool,
}

/// One user, over all databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRow {
    pub name: String,
    /// None: it differs from database to database
    pub mode: Option<PoolerMode>,
}

/// One server's name and what it resolved to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRow {
    pub name: String,
    pub address: Option<String>,
}

/// One channel that clients of a pool listen to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerRow {
    /// the pool's
    pub database: String,
    pub user: String,
    pub channel: String,
    /// clients
    pub listeners: u64,
    /// notifications that came, and those that a client was not given because it read too slowly
    pub received: u64,
    pub dropped: u64,
}

/// One text that clients share as a prepared statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PreparedRow {
    /// on servers
    pub name: String,
    pub statement: String,
    /// names of clients that stand for it
    pub used_by: u64,
    /// bytes
    pub memory_used: u64,
}

/// One shard of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardRow {
    pub database: String,
    pub shard: u16,
    pub host: String,
    pub port: u16,
    pub server_database: String,
    /// of its pools
    pub pool: &'static str,
    /// how far it is known who it is
    pub identity: &'static str,
    /// the cluster it has said that it belongs to
    pub cluster: Option<String>,
    pub map_version: u64,
    /// of the map that lead here
    pub slots: u64,
    /// None: the schema is not known
    pub tables: Option<u64>,
    pub sharded_tables: Option<u64>,
    /// why it gets no traffic
    pub reason: Option<String>,
}

/// What shards do not have alike, or what reaches beyond one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriftRow {
    pub database: String,
    pub shard: u16,
    pub table: String,
    pub what: &'static str,
    pub detail: String,
}

/// One commit over shards that is at work, or one shard's part of it that waits to be finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionRow {
    pub database: String,
    /// the client's, or the role that prepared
    pub user: String,
    /// what all shards call it
    pub name: String,
    /// of the commit
    pub state: &'static str,
    /// where it is prepared; None: the whole of it
    pub shard: Option<u32>,
    /// [`ClientRow::id`] of whose it is; None: nobody's of this process
    pub client: Option<u32>,
    /// a date and time
    pub since: String,
    /// its participants, or why it waits
    pub detail: String,
}

/// What one core keeps of the statements on one database with shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryCacheRow {
    pub database: String,
    pub core: u64,
    /// of a dry run: a text that would be refused, and why; else the row is about all texts
    pub query: Option<String>,
    pub reason: Option<String>,
    /// texts whose plans were kept, and texts that were parsed
    pub hits: u64,
    pub misses: u64,
    /// verdicts that named one shard, and several
    pub direct: u64,
    pub multi: u64,
    /// those that named none
    pub refused: u64,
    /// kept now, and its bytes
    pub shapes: u64,
    pub bytes: u64,
}

/// All that the SHOW commands print. Its size is bounded by what it lists: clients, server connections and pools have their limits elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub clients: Vec<ClientRow>,
    pub servers: Vec<ServerRow>,
    pub pools: Vec<PoolRow>,
    pub stats: Vec<StatsRow>,
    /// (name, value) in the order of SHOW CONFIG; filled by `control` alone
    pub config: Vec<(String, String)>,
    pub lists: Lists,
    /// the same uses in the same order from every core
    pub memory: Vec<MemoryRow>,
    /// what SHOW VERSION and SHOW server_version print; filled by `control` alone, as all that follows
    pub version: String,
    pub instance_id: String,
    pub databases: Vec<DatabaseRow>,
    pub users: Vec<UserRow>,
    pub hosts: Vec<HostRow>,
    pub listeners: Vec<ListenerRow>,
    pub prepared: Vec<PreparedRow>,
    pub shards: Vec<ShardRow>,
    pub drift: Vec<DriftRow>,
    /// those at work from the data cores, the others from `control`
    pub transactions: Vec<TransactionRow>,
    /// from the data cores
    pub query_cache: Vec<QueryCacheRow>,
    /// (key, value) in the order of SHOW STATE
    pub state: Vec<(&'static str, String)>,
}

impl Report {
    /// Takes in another core's report. Rows of pools and stats merge by the pool's id; clients and servers are listed one after the other.
    pub fn absorb(&mut self, other: Report) {
        self.clients.extend(other.clients);
        self.servers.extend(other.servers);
        self.transactions.extend(other.transactions);
        self.query_cache.extend(other.query_cache);
        join(&mut self.pools, other.pools, |row| row.id, PoolRow::merge);
        join(&mut self.stats, other.stats, |row| row.pool_id, StatsRow::merge);
        self.lists.merge(&other.lists);
        for row in other.memory {
            match self.memory.iter_mut().find(|known| known.name == row.name) {
                Some(known) => known.merge(&row),
                None => self.memory.push(row),
            }
        }
        if self.config.is_empty() {
            self.config = other.config;
        }
        if self.version.is_empty() {
            self.version = other.version;
        }
    }
}

/// Merges each row into the one with the same id, or appends it.
fn join<Row>(rows: &mut Vec<Row>, others: Vec<Row>, id: fn(&Row) -> u64, merge: fn(&mut Row, &Row)) {
    let mut places: HashMap<u64, usize> = rows.iter().enumerate().map(|(place, row)| (id(row), place)).collect();
    for other in others {
        match places.get(&id(&other)).and_then(|place| rows.get_mut(*place)) {
            Some(row) => merge(row, &other),
            None => {
                places.insert(id(&other), rows.len());
                rows.push(other);
            }
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
