//! SHOW LISTENERS: channels that clients listen to while they share servers, with PgDog's columns. Counting is left to `control` and `engine`.

use super::report::Report;
use super::show::Type::{Numeric, Text};
use super::show::{Cell, Column, ShowDef, Sink};

const LISTENERS: &[Column] =
    &[("database", Text), ("user", Text), ("shard", Numeric), ("channel", Text), ("listeners", Numeric), ("received", Numeric), ("dropped", Numeric)];

/// The command.
pub(super) const SHOWS: &[ShowDef] = &[ShowDef::known("listeners", LISTENERS, listeners)];

fn listeners(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.listeners {
        sink(&[
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            // Until shards are built there is one.
            Cell::Number(0),
            Cell::Text(&row.channel),
            Cell::Number(row.listeners),
            Cell::Number(row.received),
            Cell::Number(row.dropped),
        ]);
    }
}
