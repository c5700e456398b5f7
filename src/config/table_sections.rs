//! Rows of every section but `[general]`.
//! Invariant and meaning of a row: see `table`. Rows of a section whose mere presence is refused or warned about have the kind of the section.

use super::table::Preset::{Bool, Empty, Int, Required, Text, Unset};
use super::table::{BYTE, BYTES, COUNT, MS, POOL, POOL_MIN, RETRIES, SERVER_PORT, Setting, Type, US, built, harmless, needed};
use super::table_general::MODES;
use super::table_routing::{PARSER_ENGINES, PARSER_LEVELS};

const HASHERS: Type = Type::Choice(&["postgres", "sha1"]);
const KEY_TYPES: Type = Type::Choice(&["bigint", "uuid", "varchar", "vector"]);
const SERVER_AUTH: Type = Type::Choice(&["password", "rds_iam", "azure_workload_identity", "vault_dynamic", "vault_static"]);
const PRIMARY_KEYS: Type = Type::Choice(&["error", "rewrite", "ignore", "rewrite_omni"]);
const REWRITES: Type = Type::Choice(&["error", "rewrite", "ignore"]);
/// PostgreSQL takes so many milliseconds and no more.
const SERVER_MS: Type = Type::Int { min: 0, max: i32::MAX as i64, unit: "ms" };
const CPU: Type = Type::Int { min: 0, max: 4_095, unit: "" };

pub(super) static CORES: &[Setting] = &[
    built("pin", Type::Ints, Empty, "CPUs of the data cores, in order; empty leaves the choice to the kernel.").restart(),
    built("control", CPU, Unset, "CPU of the control core.").restart(),
    built("spin_us", US, Int(0), "Time a core looks for a reply that is near before it sleeps; 0 is off, and pays only on reserved cores."),
    built("spread", Type::Bool, Bool(true), "A core with clearly more clients than the mean passes fresh ones on."),
    built("listeners", COUNT, Int(0), "How many cores listen; 0 is all.").restart(),
    // 3 ms: hardly any transaction then changes cores under load, while the slowest percentile stays near that of one queue for all cores.
    built("fair_us", US, Int(3_000), "How much longer another core's client must have waited to be served before our own."),
];

pub(super) static DATABASES: &[Setting] = &[
    built("name", Type::Name, Required, "Name that clients ask for."),
    built("host", Type::Name, Required, "Address or name of the server."),
    built("port", SERVER_PORT, Int(5_432), "Port of the server."),
    built("role", Type::Choice(&["primary", "replica", "auto"]), Text("primary"), "What the server is.").needs(&["replica", "auto"]),
    built("shard", COUNT, Int(0), "Number of the shard, from 0 without gaps."),
    built("database_name", Type::Name, Unset, "Name of the database on the server, if it differs."),
    built("user", Type::Name, Unset, "User on the server, whoever the client is; stronger than the user's own."),
    built("password", Type::Text, Unset, "Its password; stronger than the user's own."),
    built("pool_size", POOL, Unset, "default_pool_size for this database.").alias(&["max_pool_size"]),
    built("min_pool_size", POOL_MIN, Unset, "min_pool_size for this database."),
    built("pooler_mode", MODES, Unset, "pooler_mode for this database."),
    built("statement_timeout", SERVER_MS, Unset, "statement_timeout of the server connections."),
    built("lock_timeout", SERVER_MS, Unset, "lock_timeout of the server connections."),
    built("idle_timeout", MS, Unset, "idle_timeout for this database."),
    built("server_lifetime", MS, Unset, "server_lifetime for this database."),
    built("server_lifetime_jitter", MS, Unset, "server_lifetime_jitter for this database."),
    built("read_only", Type::Bool, Bool(false), "Makes transactions on the server connections read-only."),
    harmless("resharding_only", Type::Bool, Bool(false), "A replica that only gives rows while data moves."),
    harmless("lb_weight", BYTE, Int(255), "Share of the reads under weighted_round_robin."),
    built("pool_size_primary", POOL, Unset, "pool_size of the primary."),
    harmless("pool_size_replica", POOL, Unset, "pool_size of a replica."),
    built("min_pool_size_primary", POOL_MIN, Unset, "min_pool_size of the primary."),
    harmless("min_pool_size_replica", POOL_MIN, Unset, "min_pool_size of a replica."),
    built("idle_timeout_primary", MS, Unset, "idle_timeout of the primary."),
    harmless("idle_timeout_replica", MS, Unset, "idle_timeout of a replica."),
];

pub(super) static USERS: &[Setting] = &[
    built("name", Type::Name, Required, "Name that clients log in with."),
    built("database", Type::Text, Text(""), "The database that the user may use."),
    built("databases", Type::Texts, Empty, "Several databases; an entry with `database` is stronger for its own."),
    built("all_databases", Type::Bool, Bool(false), "Every database; entries that name a database are stronger for theirs."),
    built("password", Type::Text, Unset, "Password of the client, and on the server unless another is given."),
    built("passwords", Type::Texts, Empty, "More passwords, of clients and on the server, for a change without a pause; tried before `password`."),
    built("password_hash", Type::Text, Unset, "Verifier of the client's password (SCRAM-SHA-256 or md5, as in pg_authid); needs a server_password."),
    needed("identity", Type::Text, Unset, "Name in the client's certificate."),
    needed("tls_client_certificate_required", Type::Bool, Bool(false), "Demands a client certificate from this user."),
    built("pool_size", POOL, Unset, "pool_size for this user.").alias(&["max_pool_size"]),
    built("min_pool_size", POOL_MIN, Unset, "min_pool_size for this user."),
    built("pooler_mode", MODES, Unset, "pooler_mode for this user."),
    built("idle_timeout", MS, Unset, "idle_timeout for this user."),
    built("server_lifetime", MS, Unset, "server_lifetime for this user."),
    built("server_lifetime_jitter", MS, Unset, "server_lifetime_jitter for this user."),
    built("pool_size_primary", POOL, Unset, "pool_size on the primary."),
    harmless("pool_size_replica", POOL, Unset, "pool_size on a replica."),
    built("min_pool_size_primary", POOL_MIN, Unset, "min_pool_size on the primary."),
    harmless("min_pool_size_replica", POOL_MIN, Unset, "min_pool_size on a replica."),
    built("idle_timeout_primary", MS, Unset, "idle_timeout on the primary."),
    harmless("idle_timeout_replica", MS, Unset, "idle_timeout on a replica."),
    built("server_user", Type::Name, Unset, "User on the server, if it differs."),
    built("server_password", Type::Text, Unset, "Password on the server, if it differs."),
    needed("server_auth", SERVER_AUTH, Text("password"), "Where the password for the server comes from."),
    harmless("server_iam_region", Type::Text, Unset, "Region for rds_iam."),
    harmless("server_vault_path", Type::Text, Unset, "Path for vault_dynamic and vault_static."),
    harmless("vault_refresh_percent", Type::Int { min: 1, max: 80, unit: "%" }, Int(80), "Part of a lease after which it is renewed."),
    needed("vault_path", Type::Text, Unset, "Role in Vault that checks the client's password."),
    built("statement_timeout", SERVER_MS, Unset, "statement_timeout of the server connections."),
    built("lock_timeout", SERVER_MS, Unset, "lock_timeout of the server connections."),
    built("replication_mode", Type::Bool, Bool(false), "Its clients replicate without asking: each has a connection with replication=database."),
    harmless("replication_sharding", Type::Text, Unset, "Read by no code of PgDog either."),
    built("read_only", Type::Bool, Bool(false), "Makes transactions on the server connections read-only."),
    harmless("schema_admin", Type::Bool, Bool(false), "The user that loads schemas and moves data."),
    built("cross_shard_disabled", Type::Bool, Bool(false), "cross_shard_disabled for this user; stronger than its database's, either way."),
    needed("two_phase_commit", Type::Bool, Bool(true), "two_phase_commit for this user."),
    built("two_phase_commit_auto", Type::Bool, Bool(true), "two_phase_commit_auto for this user."),
];

pub(super) static ADMIN: &[Setting] = &[
    built("name", Type::Name, Text("admin"), "Name of the admin database."),
    built("user", Type::Name, Text("admin"), "The one user of the admin database."),
    built("password", Type::Text, Unset, "Its password; without one nobody can log in, because a random one is made.").env("PGDOG_ADMIN_PASSWORD"),
];

pub(super) static TCP: &[Setting] = &[
    built("keepalive", Type::Bool, Bool(true), "Sends keep-alives."),
    built("time", MS, Unset, "Idle time before the first keep-alive."),
    built("interval", MS, Unset, "Pause between keep-alives."),
    built("retries", RETRIES, Unset, "Unanswered keep-alives before the connection is given up."),
    built("user_timeout", MS, Unset, "Time that sent data may stay unacknowledged."),
    built("congestion_control", Type::Name, Unset, "Name of the kernel's congestion control."),
];

pub(super) static MEMORY: &[Setting] = &[
    harmless("net_buffer", BYTES, Int(4_096), "Buffer of one socket."),
    harmless("message_buffer", BYTES, Int(4_096), "Buffer for one message."),
    harmless("stack_size", BYTES, Int(2_097_152), "Stack of one thread."),
    built(
        "limit",
        BYTES,
        Int(0),
        "Bytes of unfinished requests and unread replies beyond which no more clients get in; 0 is half of what there is (ours).",
    ),
];

pub(super) static REWRITE: &[Setting] = &[
    harmless("enabled", Type::Bool, Bool(false), "Allows changes to statements."),
    harmless("shard_key", REWRITES, Text("error"), "What happens to an UPDATE of a sharding key."),
    harmless("split_inserts", REWRITES, Text("error"), "What happens to an INSERT of several rows."),
    needed("primary_key", PRIMARY_KEYS, Text("ignore"), "What happens to an INSERT without a primary key."),
];

pub(super) static SHARDED_TABLES: &[Setting] = &[
    built("database", Type::Name, Required, "Database that the rule is for."),
    built("name", Type::Name, Unset, "Table; unset is every table with the column."),
    built("schema", Type::Name, Unset, "Schema of the table."),
    built("column", Type::Text, Text(""), "Column with the sharding key."),
    built("primary", Type::Bool, Bool(false), "The table that the key belongs to."),
    built("data_type", KEY_TYPES, Text("bigint"), "Type of the key."),
    built("hasher", HASHERS, Text("postgres"), "Hash of the key."),
    needed("centroids", Type::Any, Empty, "Centres of clusters of vectors."),
    needed("centroids_path", Type::Text, Unset, "File with those centres."),
    needed("centroid_probes", COUNT, Int(0), "How many near centres are asked; 0 is the square root of all."),
    built("mapping", Type::Nested("sharded_tables.mapping"), Empty, "Rules from values to shards."),
    needed("lookup_query", Type::Text, Unset, "SQL that turns a key into another key or a shard."),
    needed("lookup_result", Type::Choice(&["value", "shard"]), Text("value"), "What that SQL gives."),
];

pub(super) static MAPPING: &[Setting] = &[
    built("shard", COUNT, Required, "Shard that the rule leads to."),
    built("values", Type::Any, Empty, "Values of a list."),
    built("start", Type::Any, Unset, "First value of a range."),
    built("end", Type::Any, Unset, "First value after a range."),
];

pub(super) static SHARDED_MAPPINGS: &[Setting] = &[
    built("database", Type::Name, Required, "Database that the rule is for."),
    built("column", Type::Name, Required, "Column with the sharding key."),
    built("table", Type::Name, Unset, "Table that the rule is for."),
    built("schema", Type::Name, Unset, "Schema of the table."),
    built("kind", Type::Choice(&["list", "range", "default"]), Required, "Form of the rule."),
    built("start", Type::Any, Unset, "First value of a range."),
    built("end", Type::Any, Unset, "First value after a range."),
    built("values", Type::Any, Empty, "Values of a list."),
    built("shard", COUNT, Required, "Shard that the rule leads to."),
];

pub(super) static SHARDED_SCHEMAS: &[Setting] = &[
    built("database", Type::Name, Required, "Database that the rule is for."),
    built("name", Type::Name, Unset, "Schema; unset is the rule for all others."),
    built("shard", COUNT, Int(0), "Shard that holds it."),
    built("all", Type::Bool, Bool(false), "Every shard holds it."),
];

pub(super) static OMNISHARDED: &[Setting] = &[
    built("database", Type::Name, Required, "Database that the rule is for."),
    built("tables", Type::Texts, Required, "Tables that every shard holds."),
    built("sticky", Type::Bool, Bool(false), "Keeps a client's reads of them on one shard."),
];

pub(super) static MULTI_TENANT: &[Setting] = &[needed("column", Type::Name, Required, "Column that names the tenant.")];

pub(super) static PLUGINS: &[Setting] =
    &[needed("name", Type::Name, Required, "Library to load.").restart(), needed("config", Type::Text, Unset, "File with its settings.").restart()];

pub(super) static MIRRORING: &[Setting] = &[
    needed("source_db", Type::Name, Required, "Database whose traffic is copied."),
    needed("destination_db", Type::Name, Required, "Database that gets the copy."),
    needed("queue_length", COUNT, Unset, "mirror_queue for this pair."),
    needed("exposure", Type::Float { min: 0.0, max: 1.0 }, Unset, "mirror_exposure for this pair."),
    needed("level", Type::Choice(&["all", "dml", "ddl"]), Text("all"), "Which statements are copied."),
];

pub(super) static REPLICA_LAG: &[Setting] = &[
    harmless("check_interval", MS, Int(1_000), "Pause between two checks."),
    harmless("max_age", MS, Int(25), "Lag from which a replica is not used."),
];

pub(super) static REPLICATION: &[Setting] = &[harmless("pg_dump_path", Type::Name, Text("pg_dump"), "The pg_dump to run.")];

pub(super) static OTEL: &[Setting] = &[
    harmless("endpoint", Type::Text, Unset, "URL that metrics are sent to."),
    harmless("namespace", Type::Text, Text("pgdog"), "Put before every metric name."),
    harmless("headers", Type::Map, Empty, "Headers of every request."),
    harmless("datadog_api_key", Type::Text, Unset, "Key for Datadog."),
    harmless("push_interval", MS, Int(10_000), "Pause between two requests."),
];

pub(super) static VAULT: &[Setting] = &[
    harmless("url", Type::Name, Required, "Where Vault is."),
    harmless("namespace", Type::Text, Unset, "Namespace in Vault."),
    harmless("auth_method", Type::Choice(&["kubernetes", "approle"]), Required, "How pg_dog logs in to Vault."),
    harmless("auth_mount", Type::Text, Unset, "Mount of that method; unset is its name."),
    harmless("kubernetes_role", Type::Text, Unset, "Role for kubernetes."),
    harmless("kubernetes_jwt_path", Type::Text, Text("/var/run/secrets/kubernetes.io/serviceaccount/token"), "File with the token for kubernetes."),
    harmless("approle_role_id", Type::Text, Unset, "Role for approle."),
    harmless("approle_secret_id_file", Type::Text, Unset, "File with the secret for approle."),
    harmless("client_token_ttl", Type::Int { min: 0, max: i64::MAX, unit: "s" }, Int(60), "Time a checked password stays good."),
];

pub(super) static QUERY_PARSERS: &[Setting] = &[
    harmless("database", Type::Name, Required, "Database that the rule is for."),
    harmless("level", PARSER_LEVELS, Text("auto"), "query_parser for this database."),
    harmless("engine", PARSER_ENGINES, Text("pg_query_protobuf"), "query_parser_engine for this database."),
];

pub(super) static CONTROL: &[Setting] = &[
    harmless("endpoint", Type::Any, Unset, "URL of the control plane."),
    harmless("token", Type::Any, Unset, "Secret for it."),
    harmless("metrics_interval", Type::Any, Int(1_000), "Pause between metrics."),
    harmless("stats_interval", Type::Any, Int(5_000), "Pause between statistics."),
    harmless("active_queries_interval", Type::Any, Int(5_000), "Pause between lists of running queries."),
    harmless("request_timeout", Type::Any, Int(1_000), "Time one request may take."),
];

pub(super) static QOS: &[Setting] =
    &[harmless("enabled", Type::Any, Unset, "Turns it on."), harmless("max_entries", Type::Any, Unset, "Entries kept.")];

pub(super) static QUERY_STATS: &[Setting] = &[
    harmless("enabled", Type::Any, Unset, "Turns it on."),
    harmless("query_plans_threshold", Type::Any, Unset, "Duration from which plans are kept."),
    harmless("query_plans_sample_rate", Type::Any, Unset, "Part of the plans that is kept."),
    harmless("query_plans_cache", Type::Any, Unset, "Plans kept."),
    harmless("query_plans_max_age", Type::Any, Unset, "Time a plan is kept."),
];

pub(super) static AUTODISCOVERY: &[Setting] = &[
    harmless("enabled", Type::Any, Unset, "Turns it on."),
    harmless("check_interval", Type::Any, Unset, "Pause between two looks."),
    harmless("databases", Type::Nested("autodiscovery.databases"), Empty, "Databases to look for."),
];

pub(super) static AUTODISCOVERY_DATABASES: &[Setting] =
    &[harmless("name", Type::Any, Unset, "Name of the database."), harmless("replicas_only", Type::Any, Unset, "Looks for replicas only.")];
