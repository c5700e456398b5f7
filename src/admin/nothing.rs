//! The SHOWs of things that pg_dog does not have: no bans, no mirrors, no tasks. Invariant: no rows is the truth for each of them, so that a
//! dashboard made for PgDog or PgBouncer keeps working; what would be a lie is refused by `console` instead. Columns are those of the program that
//! has the command.

use super::report::Report;
use super::show::Column;
use super::show::ShowDef;
use super::show::Sink;
use super::show::Type::{Bool, Int4, Int8, Numeric, Text};

fn none(_: &Report, _: &mut Sink<'_>) {}

const fn empty(name: &'static str, columns: &'static [Column]) -> ShowDef {
    ShowDef::known(name, columns, none)
}

const BANS: &[Column] = &[
    ("id", Int8),
    ("database", Text),
    ("user", Text),
    ("addr", Text),
    ("port", Numeric),
    ("shard", Numeric),
    ("role", Text),
    ("ban_reason", Text),
    ("ban_time_left", Numeric),
];

const MIRRORS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("total_count", Numeric),
    ("mirrored_count", Numeric),
    ("dropped_count", Numeric),
    ("error_count", Numeric),
    ("queue_length", Numeric),
];

const TASKS: &[Column] = &[
    ("id", Int8),
    ("scope", Text),
    ("type", Text),
    ("status", Text),
    ("inner_status", Text),
    ("started_at", Text),
    ("updated_at", Text),
    ("elapsed", Text),
    ("elapsed_ms", Int8),
];

const TABLE_COPIES: &[Column] = &[
    ("schema", Text),
    ("table", Text),
    ("status", Text),
    ("rows", Int8),
    ("rows_human", Text),
    ("bytes", Int8),
    ("bytes_human", Text),
    ("bytes_per_sec", Int8),
    ("bytes_per_sec_human", Text),
    ("elapsed", Text),
    ("elapsed_ms", Int8),
    ("sql", Text),
];

const REPLICATION_SLOTS: &[Column] = &[
    ("host", Text),
    ("port", Int8),
    ("database_name", Text),
    ("name", Text),
    ("lsn", Text),
    ("lag", Text),
    ("lag_bytes", Int8),
    ("copy_data", Bool),
    ("last_transaction", Text),
    ("last_transaction_ms", Int8),
];

const SCHEMA_SYNC: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("shard", Int8),
    ("kind", Text),
    ("sync_state", Text),
    ("started_at", Text),
    ("elapsed", Text),
    ("elapsed_ms", Int8),
    ("table_schema", Text),
    ("table_name", Text),
    ("sql", Text),
];

/// PgBouncer 1.19 and later.
const PEER_POOLS: &[Column] =
    &[("peer_id", Int4), ("cl_active_cancel_req", Int4), ("cl_waiting_cancel_req", Int4), ("sv_active_cancel", Int4), ("sv_login", Int4)];

/// See the head of this file.
pub(super) const SHOWS: &[ShowDef] = &[
    // Nothing is ever banned, mirrored or moved.
    empty("bans", BANS),
    empty("mirrors", MIRRORS),
    empty("tasks", TASKS),
    empty("table_copies", TABLE_COPIES),
    empty("replication_slots", REPLICATION_SLOTS),
    empty("schema_sync", SCHEMA_SYNC),
    // No process knows of another.
    empty("peers", &[("addr", Text), ("last_seen", Text), ("clients", Numeric)]),
    empty("peer_pools", PEER_POOLS),
    // Statements are not parsed.
    // Names are resolved, zones are not watched.
    empty("dns_zones", &[("zonename", Text), ("serial", Int8), ("count", Int4)]),
];
