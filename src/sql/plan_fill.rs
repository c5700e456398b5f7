//! Whether what a statement writes to a table of every shard gets a part of its rows from a default that is another one on each shard: a sequence,
//! the time, chance. Then the shards would not be alike any more, and nobody would notice.
//!
//! Invariant: a column whose default moves is surely given a value, or the statement is refused. Where it cannot be seen, it is not sure.

use super::catalog::{Column, Fill};
use super::outline::{Block, Cell, Input, Output, Set, Shown, Write};

/// Whether a block that writes into a table with these columns leaves it to a moving default what some row holds.
pub(super) fn moves(blocks: &[Block], write: &Write, known: &[Column]) -> bool {
    let moving = || known.iter().enumerate().filter(|(_, column)| column.default == Fill::Moving);
    match write {
        Write::Insert { columns, input, conflict } => moving().any(|(at, column)| {
            let place = columns.as_ref().map_or(Some(at), |columns| columns.iter().position(|name| **name == *column.name));
            place.is_none_or(|place| !is_given(blocks, input, place, columns.is_some())) || is_reset(conflict, column)
        }),
        Write::Update(sets) => moving().any(|(_, column)| is_reset(sets, column)),
        Write::Delete => false,
        // What its INSERT and UPDATE give is not read.
        Write::Merge => moving().next().is_some(),
    }
}

/// Whether every row of an INSERT has a value of its own at this place. `named`: the columns are listed, so that a query has to give as many.
fn is_given(blocks: &[Block], input: &Input, place: usize, named: bool) -> bool {
    match input {
        Input::Defaults => false,
        Input::Rows(rows) => rows.iter().all(|row| row.get(place).is_some_and(|cell| *cell != Cell::Default)),
        Input::Query(_) if named => true,
        Input::Query(block) => {
            let outputs: &[Output] = blocks.get(*block).map_or(&[], |block| &block.outputs);
            outputs.len() > place && !outputs.iter().any(|output| output.what == Shown::Star)
        }
    }
}

fn is_reset(sets: &[Set], column: &Column) -> bool {
    sets.iter().any(|set| *set.column == *column.name && set.to == Shown::Default)
}
