//! Rows of `[general]`, first part: listening, pools, who may log in, time limits, encryption, health and logs.
//! Invariant and meaning of a row: see `table`. What concerns statements, shards and moving data stands in `table_routing`.

use super::table::Preset::{Bool, Int, Text, Unset};
use super::table::{BYTES, CONNECTS, COUNT, MS, POOL, POOL_MIN, PORT, Setting, Type, UNLIMITED, WORKERS, built, harmless, needed};

/// Words for `pooler_mode`, also in `[[databases]]` and `[[users]]`.
pub(super) const MODES: Type = Type::Choice(&["transaction", "session", "statement"]);

const AUTH: Type = Type::Choice(&["scram", "md5", "plain", "trust"]);
const PASSTHROUGH: Type = Type::Choice(&["disabled", "enabled", "enabled_plain", "enabled_allow_change", "enabled_plain_allow_change"]);
/// Ours: PgDog asks for 3.0 always. So do we unless told otherwise, because poolers and proxies older than PostgreSQL 18 refuse anything else.
const PROTOCOL: &str = "Version of the protocol to ask servers for; 3.2 (PostgreSQL 18) has longer secrets in cancel keys, older servers answer 3.0.";

const VERIFY: Type = Type::Choice(&["disabled", "prefer", "verify_ca", "verify_full"]);

pub(super) static KEYS: &[Setting] = &[
    built("host", Type::Name, Text("0.0.0.0"), "Address that clients connect to.").env("PGDOG_HOST").restart(),
    built("port", PORT, Int(6432), "Port that clients connect to.").env("PGDOG_PORT").restart(),
    built("workers", WORKERS, Int(2), "Number of data cores; 0 and 1 both mean one.").env("PGDOG_WORKERS").restart(),
    built("default_pool_size", POOL, Int(10), "Most server connections of one pool (user, database, server), over all cores.")
        .alias(&["max_pool_size"])
        .env("PGDOG_DEFAULT_POOL_SIZE"),
    built("min_pool_size", POOL_MIN, Int(1), "Server connections that a pool keeps open.").env("PGDOG_MIN_POOL_SIZE"),
    built("pooler_mode", MODES, Text("transaction"), "How long a client keeps its server: for a transaction, its whole session, or one statement.")
        .env("PGDOG_POOLER_MODE"),
    built("server_protocol", Type::Choice(&["3.0", "3.2"]), Text("3.0"), PROTOCOL),
    built("auth_type", AUTH, Text("scram"), "How clients prove who they are.").env("PGDOG_AUTH_TYPE"),
    needed("passthrough_auth", PASSTHROUGH, Text("disabled"), "Lets the server judge the passwords of users that no file lists.")
        .env("PGDOG_PASSTHROUGH_AUTH"),
    // Time limits.
    built("connect_timeout", MS, Int(5_000), "Time to reach a server and to log in there.").env("PGDOG_CONNECT_TIMEOUT"),
    built("connect_attempts", COUNT, Int(1), "Tries to reach a server before a checkout fails.").env("PGDOG_CONNECT_ATTEMPTS"),
    built("connect_attempt_delay", MS, Int(0), "Pause between two such tries.").env("PGDOG_CONNECT_ATTEMPT_DELAY"),
    built("server_connects", CONNECTS, Int(16), "Connections that are opened at one server at the same time, for all its pools (ours)."),
    built("checkout_timeout", MS, Int(5_000), "Time a client waits for a server before it gets an error.").env("PGDOG_CHECKOUT_TIMEOUT"),
    // The name of the variable has no IN in it; that is how PgDog spells it.
    built("client_login_timeout", MS, Int(60_000), "Time a client has to log in.").env("PGDOG_CLIENT_LOG_TIMEOUT"),
    built("rollback_timeout", MS, Int(5_000), "Time to clean a server that a client left in the middle of its work.").env("PGDOG_ROLLBACK_TIMEOUT"),
    built("shutdown_timeout", MS, Int(60_000), "Time clients have to finish after a request to stop.").env("PGDOG_SHUTDOWN_TIMEOUT"),
    built(
        "shutdown_delay",
        MS,
        Int(0),
        "Time between the first /ready that says no and the end of new clients, for load balancers to notice (ours).",
    ),
    harmless("shutdown_termination_timeout", MS, Unset, "Time between cancelling what still runs after the drain and the end.")
        .env("PGDOG_SHUTDOWN_TERMINATION_TIMEOUT"),
    built("idle_timeout", MS, Int(60_000), "Closes server connections above the minimum that are idle this long.").env("PGDOG_IDLE_TIMEOUT"),
    built("server_lifetime", MS, Int(86_400_000), "Retires server connections of this age at check-in.").env("PGDOG_SERVER_LIFETIME"),
    built("server_lifetime_jitter", MS, Int(0), "Spreads that age by up to this much either way.").env("PGDOG_SERVER_LIFETIME_JITTER"),
    // What is done when somebody leaves early.
    built(
        "connection_recovery",
        Type::Choice(&["recover", "rollback_only", "drop"]),
        Text("recover"),
        "What is done with a server left in mid-work.",
    )
    .env("PGDOG_CONNECTION_RECOVERY"),
    built("client_connection_recovery", Type::Choice(&["recover", "drop"]), Text("drop"), "Keeps or closes a client whose checkout failed.")
        .env("PGDOG_CLIENT_CONNECTION_RECOVERY"),
    built(
        "connection_hygiene",
        Type::Choice(&["tracked", "always"]),
        Text("tracked"),
        "Resets a server when a statement may have changed it, or always (ours).",
    ),
    // Encryption.
    needed("tls_certificate", Type::Text, Unset, "PEM file with the certificate shown to clients.").env("PGDOG_TLS_CERTIFICATE"),
    needed("tls_private_key", Type::Text, Unset, "PEM file with its private key.").env("PGDOG_TLS_PRIVATE_KEY"),
    needed("tls_client_required", Type::Bool, Bool(false), "Refuses clients that do not encrypt."),
    needed("tls_client_ca_certificate", Type::Text, Unset, "PEM file with the authorities that sign client certificates.")
        .env("PGDOG_TLS_CLIENT_CA_CERTIFICATE"),
    built("tls_verify", VERIFY, Text("prefer"), "Encryption to servers; until it is built, prefer connects without it.")
        .env("PGDOG_TLS_VERIFY")
        .needs(&["verify_ca", "verify_full"]),
    needed("tls_server_ca_certificate", Type::Text, Unset, "PEM file with the authorities that sign server certificates.")
        .env("PGDOG_TLS_SERVER_CA_CERTIFICATE"),
    needed("tls_server_certificate", Type::Text, Unset, "PEM file with the certificate that pg_dog shows to servers.")
        .env("PGDOG_TLS_SERVER_CERTIFICATE"),
    needed("tls_server_private_key", Type::Text, Unset, "PEM file with its private key.").env("PGDOG_TLS_SERVER_PRIVATE_KEY"),
    // Health.
    built("healthcheck_interval", MS, Int(30_000), "A server not checked for this long is checked at checkout.").env("PGDOG_HEALTHCHECK_INTERVAL"),
    harmless("idle_healthcheck_interval", MS, Int(30_000), "Pause between checks of a pool in the background; 0 is off.")
        .env("PGDOG_IDLE_HEALTHCHECK_INTERVAL"),
    harmless("idle_healthcheck_delay", MS, Int(5_000), "Wait before the first of them.").env("PGDOG_IDLE_HEALTHCHECK_DELAY"),
    built("healthcheck_timeout", MS, Int(5_000), "Time one check may take.").env("PGDOG_HEALTHCHECK_TIMEOUT"),
    built("healthcheck_port", PORT, Unset, "Port of an HTTP endpoint, for anybody, that says up or down, /ready and /live; unset is off.")
        .env("PGDOG_HEALTHCHECK_PORT")
        .restart(),
    harmless("require_healthcheck_on_discovery", Type::Bool, Bool(false), "New servers are checked before they get traffic.")
        .env("PGDOG_REQUIRE_HEALTHCHECK_ON_DISCOVERY"),
    harmless("ban_timeout", MS, Int(300_000), "Time a failed server is out of use.").env("PGDOG_BAN_TIMEOUT"),
    harmless("ban_replica_lag", MS, Int(UNLIMITED), "Takes a replica that is older than this out of use.").env("PGDOG_BAN_REPLICA_LAG"),
    harmless("ban_replica_lag_bytes", BYTES, Int(UNLIMITED), "The same in bytes of WAL.").env("PGDOG_BAN_REPLICA_LAG_BYTES"),
    harmless("dns_ttl", MS, Unset, "Time that a looked-up address stays good.").env("PGDOG_DNS_TTL"),
    harmless("broadcast_address", Type::Text, Unset, "Multicast address on which proxies find each other.").env("PGDOG_BROADCAST_ADDRESS"),
    harmless("broadcast_port", PORT, Int(6433), "UDP port for that.").env("PGDOG_BROADCAST_PORT"),
    // Logs and metrics.
    built("log_level", Type::Name, Text("info"), "Filter for the log: a level, or level per module.").env("RUST_LOG"),
    built("log_format", Type::Choice(&["text", "json", "json_flattened"]), Text("text"), "Shape of a log line.").env("PGDOG_LOG_FORMAT").restart(),
    built("log_connections", Type::Bool, Bool(true), "Logs clients that come.").env("PGDOG_LOG_CONNECTIONS"),
    built("log_disconnections", Type::Bool, Bool(true), "Logs clients that go.").env("PGDOG_LOG_DISCONNECTIONS"),
    built("log_dedup_window", MS, Int(0), "Joins equal log lines within this time; 0 is off."),
    built("log_dedup_threshold", COUNT, Int(0), "Number of equal lines that pass before they are joined; 0 is off."),
    built("query_log", Type::Text, Unset, "File that every query is appended to, with its database and user, as it was typed.")
        .env("PGDOG_QUERY_LOG"),
    built("query_log_stdout", Type::Bool, Bool(false), "Logs every query with its database and user.").env("PGDOG_QUERY_LOG_STDOUT"),
    harmless("log_min_duration_parse", MS, Unset, "Warns when parsing a query takes longer.").env("PGDOG_LOG_MIN_DURATION_PARSE"),
    built("log_query_sample_length", COUNT, Int(1_000), "Characters of a query kept in a log line, 64 Ki at most.")
        .env("PGDOG_LOG_QUERY_SAMPLE_LENGTH"),
    built("openmetrics_host", Type::Name, Text("0.0.0.0"), "Address of the metrics endpoint, which asks nobody for a password.")
        .env("PGDOG_OPENMETRICS_HOST")
        .restart(),
    built("openmetrics_port", PORT, Unset, "Port of the metrics endpoint; unset is off.").env("PGDOG_OPENMETRICS_PORT").restart(),
    built("openmetrics_namespace", Type::Text, Unset, "Put before every metric name as it is.").env("PGDOG_OPENMETRICS_NAMESPACE"),
    built("stats_period", MS, Int(15_000), "Window of the averages in SHOW STATS and of recent metrics; 100 ms at least.").env("PGDOG_STATS_PERIOD"),
];
