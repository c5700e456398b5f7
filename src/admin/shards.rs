//! SHOW SHARDS and SHOW SCHEMA DRIFT: the shards of each database and who they say they are, and what they do not have alike. PgDog has neither.
//! Which there are is left to `control`.

use super::report::Report;
use super::show::Type::{Numeric, Text};
use super::show::{Cell, Column, ShowDef, Sink};

const SHARDS: &[Column] = &[
    ("database", Text),
    ("shard", Numeric),
    ("host", Text),
    ("port", Numeric),
    ("server_database", Text),
    ("pool", Text),
    ("identity", Text),
    ("cluster", Text),
    ("map_version", Numeric),
    ("slots", Numeric),
    ("tables", Numeric),
    ("sharded_tables", Numeric),
    ("reason", Text),
];

const DRIFT: &[Column] = &[("database", Text), ("shard", Numeric), ("table", Text), ("what", Text), ("detail", Text)];

/// The commands.
pub(super) const SHOWS: &[ShowDef] = &[ShowDef::known("shards", SHARDS, shards), ShowDef::known("schema drift", DRIFT, drift)];

fn shards(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.shards {
        sink(&[
            Cell::Text(&row.database),
            Cell::Number(row.shard.into()),
            Cell::Text(&row.host),
            Cell::Number(row.port.into()),
            Cell::Text(&row.server_database),
            Cell::Text(row.pool),
            Cell::Text(row.identity),
            row.cluster.as_deref().map_or(Cell::Null, Cell::Text),
            Cell::Number(row.map_version),
            Cell::Number(row.slots),
            row.tables.map_or(Cell::Null, Cell::Number),
            row.sharded_tables.map_or(Cell::Null, Cell::Number),
            row.reason.as_deref().map_or(Cell::Null, Cell::Text),
        ]);
    }
}

fn drift(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.drift {
        sink(&[Cell::Text(&row.database), Cell::Number(row.shard.into()), Cell::Text(&row.table), Cell::Text(row.what), Cell::Text(&row.detail)]);
    }
}
