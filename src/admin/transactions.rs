//! SHOW TRANSACTIONS: commits over shards that are at work in this process, and what lies prepared on the shards and waits to be finished. PgDog's
//! columns, then ours. Gathering is left to `control` and `engine`.

use super::report::Report;
use super::show::Type::{Int8, Numeric, Text};
use super::show::{Cell, Column, OF_TRANSACTIONS, ShowDef, Sink};

const TRANSACTIONS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("transaction_name", Text),
    ("transaction_state", Text),
    ("shard", Numeric),
    ("client_id", Int8),
    ("since", Text),
    ("detail", Text),
];

/// The command.
pub(super) const SHOWS: &[ShowDef] = &[ShowDef::asked("transactions", TRANSACTIONS, OF_TRANSACTIONS, transactions)];

fn transactions(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.transactions.iter().collect();
    rows.sort();
    for row in rows {
        sink(&[
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            Cell::Text(&row.name),
            Cell::Text(row.state),
            row.shard.map_or(Cell::Null, |shard| Cell::Number(u64::from(shard))),
            row.client.map_or(Cell::Null, |id| Cell::Number(u64::from(id))),
            Cell::Text(&row.since),
            Cell::Text(&row.detail),
        ]);
    }
}

#[cfg(test)]
#[path = "transactions_tests.rs"]
mod tests;
