//! SHOW PREPARED: the texts that clients share as prepared statements, with PgDog's columns. Which there are is left to `control`.

use super::report::Report;
use super::show::Type::{Numeric, Text};
use super::show::{Cell, Column, ShowDef, Sink};

const PREPARED: &[Column] = &[("name", Text), ("statement", Text), ("rewrite", Text), ("used_by", Numeric), ("memory_used", Numeric)];

/// The command.
pub(super) const SHOWS: &[ShowDef] = &[ShowDef::known("prepared", PREPARED, prepared)];

fn prepared(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.prepared {
        // Until statements are rewritten for shards they are what their clients said.
        sink(&[Cell::Text(&row.name), Cell::Text(&row.statement), Cell::Null, Cell::Number(row.used_by), Cell::Number(row.memory_used)]);
    }
}
