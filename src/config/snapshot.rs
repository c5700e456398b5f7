//! What the operator asked for, checked and immutable. Built on the control core, published whole, numbered; nothing here changes afterwards.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use super::sharded::Sharded;

/// A duration that the operator switched off. It is too long to be added to a point in time without a check.
pub const NEVER: Duration = Duration::from_millis(i64::MAX as u64);

/// How long a client keeps its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolerMode {
    Transaction,
    Session,
    /// like `Transaction`, and a transaction is never more than one request
    Statement,
}

impl fmt::Display for PoolerMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            PoolerMode::Transaction => "transaction",
            PoolerMode::Session => "session",
            PoolerMode::Statement => "statement",
        })
    }
}

/// How clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    Scram,
    Md5,
    Plain,
    Trust,
}

/// Which prepared statements clients share on servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreparedStatements {
    /// none: who prepares a named statement keeps its server
    Disabled,
    /// named ones of the protocol
    Extended,
    /// the unnamed one too
    ExtendedAnonymous,
    /// named ones of the protocol and of SQL
    Full,
}

/// What happens to a client whose checkout failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRecovery {
    /// it gets an error and stays
    Recover,
    /// it gets a FATAL and is closed
    Drop,
}

/// What is done with a server whose client went away in the middle of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// replies are awaited, what is open is rolled back
    Recover,
    /// an open transaction between two statements is rolled back; anything else closes the connection
    RollbackOnly,
    /// the connection is closed
    Drop,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
    /// JSON with the fields of an event beside its level and target
    Flat,
}

/// The built settings of `[general]`, in their own types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct General {
    pub host: String,
    pub port: u16,
    /// data cores, at least 1
    pub workers: usize,
    pub auth_type: AuthType,
    pub connect_timeout: Duration,
    /// tries before waiting clients are told, at least 1
    pub connect_attempts: u32,
    pub connect_attempt_delay: Duration,
    /// connections opened at one server at the same time, at least 1
    pub server_connects: u32,
    /// a server not heard of for so long is asked whether it lives before a client gets it; `NEVER` = not
    pub healthcheck_interval: Duration,
    pub healthcheck_timeout: Duration,
    pub checkout_timeout: Duration,
    pub client_login_timeout: Duration,
    pub rollback_timeout: Duration,
    pub shutdown_timeout: Duration,
    pub connection_recovery: Recovery,
    pub client_connection_recovery: ClientRecovery,
    pub prepared_statements: PreparedStatements,
    /// statements of ours that one server holds
    pub prepared_statements_limit: usize,
    /// age at which a statement is prepared again, and its spread; `NEVER` = at none
    pub prepared_statements_ttl: Duration,
    pub prepared_statements_ttl_jitter: Duration,
    /// every server is reset in front of another client, whatever was seen
    pub hygiene_always: bool,
    /// servers are asked which shard they are
    pub shard_identity: bool,
    /// databases with rules and one server are looked at as if they had shards
    pub dry_run: bool,
    /// EXPLAIN says where its statement goes
    pub expanded_explain: bool,
    /// the schema of a database with shards is read again after DDL
    pub reload_schema_on_ddl: bool,
    /// transactions over shards are committed in two phases
    pub two_phase_commit: bool,
    /// pause between two looks for commits that were left unfinished
    pub recovery_interval: Duration,
    /// functions that touch the shard they run on only
    pub shard_local_functions: Vec<String>,
    /// directory of the Unix socket, and its file mode
    pub unix_socket_dir: Option<String>,
    pub unix_socket_mode: u32,
    /// clients at once; `usize::MAX` = as many as there are descriptors for
    pub max_client_conn: usize,
    /// time a client waits before its pool uses its reserve
    pub reserve_pool_timeout: Duration,
    /// a client that has waited for so long gets a notice; `NEVER` = none does
    pub query_wait_notify: Duration,
    /// bytes of a Query or Parse message, its header included, beyond which it is logged, or refused when `query_size_block`
    pub query_size_limit: usize,
    pub query_size_block: bool,
    /// notifications of one channel that are kept for one client; 0 = LISTEN is the server's business
    pub pub_sub_channel_size: usize,
    /// the files are looked at every second
    pub config_watch: bool,
    /// bytes of unfinished requests and unread replies, over all cores, beyond which no more clients get in; 0 = half of what the machine has
    pub memory_limit: u64,
    pub log_level: String,
    pub log_format: LogFormat,
    pub log_connections: bool,
    pub log_disconnections: bool,
    pub watch: Watch,
    /// minor version of protocol 3 that servers are asked for
    pub server_minor: u16,
}

impl Default for General {
    /// What the table of settings says when nobody sets anything (a test compares the two).
    fn default() -> General {
        let seconds = Duration::from_secs;
        General {
            host: "0.0.0.0".into(),
            port: 6432,
            workers: 2,
            auth_type: AuthType::Scram,
            connect_timeout: seconds(5),
            connect_attempts: 1,
            connect_attempt_delay: Duration::ZERO,
            server_connects: 16,
            healthcheck_interval: seconds(30),
            healthcheck_timeout: seconds(5),
            checkout_timeout: seconds(5),
            client_login_timeout: seconds(60),
            rollback_timeout: seconds(5),
            shutdown_timeout: seconds(60),
            connection_recovery: Recovery::Recover,
            client_connection_recovery: ClientRecovery::Drop,
            prepared_statements: PreparedStatements::Extended,
            prepared_statements_limit: usize::MAX,
            prepared_statements_ttl: NEVER,
            prepared_statements_ttl_jitter: seconds(30),
            hygiene_always: false,
            shard_identity: true,
            dry_run: false,
            expanded_explain: false,
            reload_schema_on_ddl: true,
            two_phase_commit: true,
            recovery_interval: seconds(5),
            shard_local_functions: Vec::new(),
            unix_socket_dir: None,
            unix_socket_mode: 0o600,
            max_client_conn: usize::MAX,
            reserve_pool_timeout: seconds(5),
            query_wait_notify: NEVER,
            query_size_limit: usize::MAX,
            query_size_block: false,
            pub_sub_channel_size: 0,
            config_watch: false,
            memory_limit: 0,
            log_level: "info".into(),
            log_format: LogFormat::Text,
            log_connections: true,
            log_disconnections: true,
            watch: Watch::default(),
            server_minor: 0,
        }
    }
}

/// Metrics, health and the query log: what others look at pg_dog by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    pub openmetrics_host: String,
    pub openmetrics_port: Option<u16>,
    /// before every name, as it is
    pub openmetrics_namespace: String,
    pub healthcheck_port: Option<u16>,
    /// at least `PERIOD_MIN`
    pub stats_period: Duration,
    /// how long readiness says no before clients are refused
    pub shutdown_delay: Duration,
    pub query_log: Option<String>,
    pub query_log_stdout: bool,
    /// characters of a text that are logged, at most `SAMPLE_MAX`
    pub query_sample: usize,
    pub dedup_window: Duration,
    pub dedup_threshold: u64,
}

/// A shorter `stats_period` counts as this: the control core takes a look at every pool for each.
pub const PERIOD_MIN: Duration = Duration::from_millis(100);
/// The most notifications of one channel that are kept for one client, whatever `pub_sub_channel_size` says.
pub const QUEUE_MAX: usize = 1 << 20;
/// The longest text in the query log.
pub const SAMPLE_MAX: usize = 64 * 1024;

impl Watch {
    /// Whether texts are logged at all: then how many characters of each.
    pub fn logs_queries(&self) -> Option<usize> {
        (self.query_log.is_some() || self.query_log_stdout).then_some(self.query_sample)
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            openmetrics_host: "0.0.0.0".into(),
            openmetrics_port: None,
            openmetrics_namespace: String::new(),
            healthcheck_port: None,
            stats_period: Duration::from_secs(15),
            shutdown_delay: Duration::ZERO,
            query_log: None,
            query_log_stdout: false,
            query_sample: 1000,
            dedup_window: Duration::ZERO,
            dedup_threshold: 0,
        }
    }
}

/// `[cores]`, ours: where data cores run and how long they look before they sleep.
#[derive(Clone, Debug, Default)]
pub struct Cores {
    /// CPUs for the data cores, in order; empty = not pinned
    pub pin: Vec<usize>,
    /// CPU for the control core
    pub control: Option<usize>,
    /// microseconds a core looks at its ring before it sleeps, while a reply is likely; 0 = off
    pub spin_us: u64,
    /// a core with clearly more clients than the mean passes fresh ones on
    pub spread: bool,
    /// how many cores listen; 0 = all
    pub listeners: usize,
    /// X of the lending rule, microseconds (see `pool`)
    pub fair_us: u64,
}

/// `[admin]`. Its password is never printed.
#[derive(Clone)]
pub struct Admin {
    pub database: String,
    pub user: String,
    /// never empty
    pub password: String,
    /// false: nobody set a password, it is random
    pub is_set: bool,
}

impl fmt::Debug for Admin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Admin").field("database", &self.database).field("user", &self.user).finish_non_exhaustive()
    }
}

/// `[tcp]`, set on both legs.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub keepalive: bool,
    pub time: Option<Duration>,
    pub interval: Option<Duration>,
    pub retries: Option<u32>,
    pub user_timeout: Option<Duration>,
    pub congestion_control: Option<String>,
}

/// A stored form of a password, as `pg_authid.rolpassword` holds it. What it proves is left to `auth`.
#[derive(Clone, PartialEq, Eq)]
pub enum Hash {
    /// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`
    Scram(String),
    /// `md5` and the hexadecimal digest of password and user
    Md5(String),
}

/// Any of these lets a client in. They are never printed, and no password is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSecrets {
    pub passwords: Vec<String>,
    /// one that the auth_type can use
    pub hash: Option<Hash>,
}

impl ClientSecrets {
    /// One password.
    pub fn password(password: impl Into<String>) -> ClientSecrets {
        ClientSecrets { passwords: vec![password.into()], hash: None }
    }

    /// No client can prove itself.
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty() && self.hash.is_none()
    }
}

impl fmt::Debug for ClientSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientSecrets").field("passwords", &self.passwords.len()).field("hash", &self.hash.is_some()).finish()
    }
}

/// One pool: one user of one database on one server. Limits are for the process, over all cores. Its passwords are never printed, and never
/// empty: an empty one in a file counts as none.
#[derive(Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// names as clients say them
    pub database: String,
    pub user: String,
    /// which shard of the database it is, and how many there are
    pub shard: u16,
    pub shards: u16,
    /// the server
    pub host: String,
    pub port: u16,
    pub server_database: String,
    pub server_user: String,
    /// tried in this order; empty: the server must let us in without one
    pub server_passwords: Arc<[String]>,
    /// what clients prove themselves with
    pub client: Arc<ClientSecrets>,
    /// what our sessions on the server begin with, and go back to when they are reset
    pub parameters: Vec<(&'static str, String)>,
    /// at least 1
    pub pool_size: usize,
    /// at most `pool_size`; 0 without a server password
    pub min_pool_size: usize,
    /// somebody asked for that minimum by hand: it is there from the start on; else only while the pool has clients
    pub warm: bool,
    pub mode: PoolerMode,
    /// how long a connection above `min_pool_size` may be idle
    pub idle_timeout: Duration,
    /// age at which a connection is closed when it is given back
    pub server_lifetime: Duration,
    /// spreads that age by up to so much either way
    pub server_lifetime_jitter: Duration,
    pub limits: Limits,
    /// one request of its clients goes to one shard
    pub one_shard: bool,
    /// every client of it replicates, whether it says so or not
    pub replicates: bool,
}

impl PoolSpec {
    /// Which shard it is, and where, for messages about that.
    pub fn place(&self) -> String {
        format!("shard {} of \"{}\" ({}:{}/{})", self.shard, self.database, self.host, self.port, self.server_database)
    }
}

impl Default for PoolSpec {
    /// A pool of one connection that nobody can log in to, and that is never closed for its age.
    fn default() -> PoolSpec {
        PoolSpec {
            database: String::new(),
            user: String::new(),
            shard: 0,
            shards: 1,
            host: String::new(),
            port: 5432,
            server_database: String::new(),
            server_user: String::new(),
            server_passwords: Arc::default(),
            client: Arc::default(),
            parameters: Vec::new(),
            pool_size: 1,
            min_pool_size: 0,
            warm: false,
            mode: PoolerMode::Transaction,
            idle_timeout: NEVER,
            server_lifetime: NEVER,
            server_lifetime_jitter: Duration::ZERO,
            limits: Limits::default(),
            one_shard: false,
            replicates: false,
        }
    }
}

impl fmt::Debug for PoolSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PoolSpec")
            .field("database", &self.database)
            .field("user", &self.user)
            .field("shard", &self.shard)
            .field("shards", &self.shards)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("server_database", &self.server_database)
            .field("server_user", &self.server_user)
            .field("server_passwords", &self.server_passwords.len())
            .field("client", &self.client)
            .field("parameters", &self.parameters)
            .field("pool_size", &self.pool_size)
            .field("min_pool_size", &self.min_pool_size)
            .field("warm", &self.warm)
            .field("mode", &self.mode)
            .field("idle_timeout", &self.idle_timeout)
            .field("server_lifetime", &self.server_lifetime)
            .field("server_lifetime_jitter", &self.server_lifetime_jitter)
            .field("limits", &self.limits)
            .field("one_shard", &self.one_shard)
            .field("replicates", &self.replicates)
            .finish()
    }
}

/// Everything the operator asked for.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// 1 for the first, then counted up by every reload
    pub number: u64,
    pub general: General,
    pub cores: Cores,
    pub admin: Admin,
    pub tcp: Tcp,
    pub pools: Vec<PoolSpec>,
    /// (database, user) → index into `pools`, of the first shard; the others follow it in order
    pub by_name: HashMap<(String, String), usize>,
    /// the databases that have shards or rules for them
    pub sharded: Vec<Sharded>,
    /// what SHOW CONFIG prints: (name, value), in its order
    pub shown: Vec<(String, String)>,
}

impl Snapshot {
    /// The pool of this user of this database, as clients name them.
    pub fn pool(&self, database: &str, user: &str) -> Option<&PoolSpec> {
        let index = *self.by_name.get(&(database.to_owned(), user.to_owned()))?;
        self.pools.get(index)
    }

    /// The databases whose statements have routes: those with shards, and those that are looked at as if they had some.
    pub fn routed(&self) -> impl Iterator<Item = &Sharded> {
        let dry = |sharded: &Sharded| self.general.dry_run && !(sharded.tables.is_empty() && sharded.schemas.is_empty());
        self.sharded.iter().filter(move |sharded| sharded.shards > 1 || dry(sharded))
    }

    /// The same for one shard of the database.
    pub fn pool_of_shard(&self, database: &str, user: &str, shard: u16) -> Option<&PoolSpec> {
        let index = *self.by_name.get(&(database.to_owned(), user.to_owned()))?;
        self.pools.get(index + usize::from(shard)).filter(|pool| pool.shard == shard && pool.database == database && pool.user == user)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
