//! Rows of `[general]`, third part: how many clients and connections there may be, and for how long; and the same rows for one database or user.
//! Invariant and meaning of a row: see `table`. PgBouncer's names where PgDog has no such key; times are milliseconds as everywhere.

use super::table::Preset::{Bool, Int, Text, Unset};
use super::table::{BYTES, COUNT, MS, Setting, Type, UNLIMITED, built};

const WAIT_NOTIFY: &str = "A client that has waited this long for a server gets a notice; 0 is off (ours, as PgBouncer's).";
const RESERVE: &str = "Connections beyond a pool's size while a client has waited for reserve_pool_timeout (ours, as PgBouncer's).";
const DIRECTORY: &str = "Directory of the Unix socket, which is .s.PGSQL.<port> in it; unset is none (ours, as PgBouncer's).";
const MODE: &str = "Who may connect to the Unix socket, as octal digits of its file mode (ours, as PgBouncer's).";
const MOST_CLIENTS: &str = "Most clients at once; 0 is as many as there are file descriptors for (ours, as PgBouncer's).";
const QUERY: &str = "Time in which a server must answer or take something, while a query of a client runs.";
const TRANSACTION: &str = "Time a transaction may take from its first statement on (ours, as PgBouncer's).";

pub(super) static KEYS: &[Setting] = &[
    built("unix_socket_dir", Type::Text, Unset, DIRECTORY).restart(),
    built("unix_socket_mode", Type::Name, Text("0600"), MODE).restart(),
    built("max_client_conn", COUNT, Int(0), MOST_CLIENTS),
    built("max_db_client_connections", COUNT, Int(0), "Most clients of one database; 0 is no bound (ours, as PgBouncer's)."),
    built("max_user_client_connections", COUNT, Int(0), "Most clients of one user; 0 is no bound (ours, as PgBouncer's)."),
    built("max_db_connections", COUNT, Int(0), "Most server connections of one database, over all its pools; 0 is no bound (ours, as PgBouncer's)."),
    built("max_user_connections", COUNT, Int(0), "Most server connections of one user, over all its pools; 0 is no bound (ours, as PgBouncer's)."),
    built("reserve_pool_size", COUNT, Int(0), RESERVE),
    built("reserve_pool_timeout", MS, Int(5_000), "Time a client waits before its pool uses its reserve (ours, as PgBouncer's)."),
    built("query_wait_notify", MS, Int(0), WAIT_NOTIFY),
    built("query_timeout", MS, Int(UNLIMITED), QUERY).env("PGDOG_QUERY_TIMEOUT"),
    built("transaction_timeout", MS, Int(UNLIMITED), TRANSACTION),
    built("client_idle_timeout", MS, Int(UNLIMITED), "Closes clients that ask for nothing this long.").env("PGDOG_CLIENT_IDLE_TIMEOUT"),
    built(
        "client_idle_in_transaction_timeout",
        MS,
        Int(UNLIMITED),
        "Closes clients that leave a transaction open and idle this long; it is rolled back.",
    )
    .env("PGDOG_CLIENT_IDLE_IN_TRANSACTION_TIMEOUT"),
    built("query_size_limit", BYTES, Unset, "Size from which a Query or Parse message is logged or refused.").env("PGDOG_QUERY_SIZE_LIMIT"),
    built("query_size_limit_action", Type::Choice(&["warn", "block"]), Text("warn"), "What happens to a message above that size.")
        .env("PGDOG_QUERY_SIZE_LIMIT_ACTION"),
    built("config_watch", Type::Bool, Bool(false), "Looks every second whether the files have changed, and reloads them (ours)."),
];

/// What a database may say otherwise.
pub(super) static DATABASE: &[Setting] = &[
    built("max_db_client_connections", COUNT, Unset, "max_db_client_connections for this database (ours)."),
    built("max_db_connections", COUNT, Unset, "max_db_connections for this database (ours)."),
    built("reserve_pool_size", COUNT, Unset, "reserve_pool_size for this database (ours)."),
    built("query_timeout", MS, Unset, "query_timeout for this database (ours)."),
    built("cross_shard_disabled", Type::Bool, Bool(false), "cross_shard_disabled for this database; one of its entries is enough (ours)."),
    built("transaction_timeout", MS, Unset, "transaction_timeout for this database (ours)."),
    built("client_idle_timeout", MS, Unset, "client_idle_timeout for this database (ours)."),
    built("client_idle_in_transaction_timeout", MS, Unset, "client_idle_in_transaction_timeout for this database (ours)."),
];

/// What a user may say otherwise.
pub(super) static USER: &[Setting] = &[
    built("max_user_client_connections", COUNT, Unset, "max_user_client_connections for this user (ours)."),
    built("max_user_connections", COUNT, Unset, "max_user_connections for this user (ours)."),
    built("reserve_pool_size", COUNT, Unset, "reserve_pool_size for this user (ours)."),
    built("query_timeout", MS, Unset, "query_timeout for this user (ours)."),
    built("transaction_timeout", MS, Unset, "transaction_timeout for this user (ours)."),
    built("client_idle_timeout", MS, Unset, "client_idle_timeout for this user (ours)."),
    built("client_idle_in_transaction_timeout", MS, Unset, "client_idle_in_transaction_timeout for this user (ours)."),
];
