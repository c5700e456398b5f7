//! SHOW QUERY_CACHE: the plans that each core keeps of the statements on databases with shards, and how often they served.
//! The columns are PgDog's, then ours.
//! Invariant: one row per core and database, whose numbers are sums over all statements: a shape is no text, so that it shows no `query`; and in a
//! dry run one for each reason to refuse one, with the first such text. Counting is left to `sql` and `route`, gathering to `engine`.

use super::report::Report;
use super::show::Type::{Numeric, Text};
use super::show::{Cell, Column, OF_QUERY_CACHE, ShowDef, Sink};

const QUERY_CACHE: &[Column] = &[
    ("query", Text),
    ("hits", Numeric),
    ("direct", Numeric),
    ("multi", Numeric),
    ("database", Text),
    ("core", Numeric),
    ("shapes", Numeric),
    ("bytes", Numeric),
    ("misses", Numeric),
    ("refused", Numeric),
    ("reason", Text),
];

/// The command.
pub(super) const SHOWS: &[ShowDef] = &[ShowDef::asked("query_cache", QUERY_CACHE, OF_QUERY_CACHE, query_cache)];

fn query_cache(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.query_cache.iter().collect();
    rows.sort();
    for row in rows {
        sink(&[
            row.query.as_deref().map_or(Cell::Null, Cell::Text),
            Cell::Number(row.hits),
            Cell::Number(row.direct),
            Cell::Number(row.multi),
            Cell::Text(&row.database),
            Cell::Number(row.core),
            Cell::Number(row.shapes),
            Cell::Number(row.bytes),
            Cell::Number(row.misses),
            Cell::Number(row.refused),
            row.reason.as_deref().map_or(Cell::Null, Cell::Text),
        ]);
    }
}

#[cfg(test)]
#[path = "query_cache_tests.rs"]
mod tests;
