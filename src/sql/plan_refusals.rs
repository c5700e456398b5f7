//! The words in which the planner refuses what it cannot do with a table: each says what is in the way, and what helps. When they are said is
//! left to `plan`.

use super::catalog::{Placement, ShardKey};
use super::outline::Name;
use super::plan::Refusal;

/// Why a table's rows cannot be found.
pub fn unplaced(table: &Name, placement: Placement<'_>) -> Refusal {
    if let Placement::View(reason) = placement {
        return Refusal::new(format!("the view \"{}\" cannot be used over shards: {reason}", table.name));
    }
    if placement == Placement::Loose {
        return Refusal::new(format!("the view \"{}\" may give other rows on each shard, and what is written to them would differ", table.name));
    }
    let reason = format!("where the rows of \"{}\" are is not known: it was made since the schema was read, or is no table or view", table.name);
    Refusal { hint: "RELOAD reads the schema again. /* pgdog_shard: 0 */ names the shard of a statement.", ..Refusal::new(reason) }
}

/// A row of a table that is on every shard would differ.
pub fn differs(table: &Name) -> Refusal {
    let reason = format!("\"{}\" is on every shard, and a default of its columns would give each another value", table.name);
    Refusal { hint: "Give all columns a value.", ..Refusal::new(reason) }
}

/// A row is given no key.
pub fn missing(table: &Name, key: ShardKey<'_>) -> Refusal {
    let reason = format!("rows of \"{}\" need a value for their sharding key \"{}\"", table.name, key.column);
    Refusal { hint: "Name the column and give it a literal or a parameter.", ..Refusal::new(reason) }
}

/// A row's key cannot be read from the statement.
pub fn not_a_key(key: ShardKey<'_>) -> Refusal {
    let reason = format!("what is inserted for the sharding key \"{}\" is no literal or parameter of its type", key.column);
    Refusal { hint: "Give a literal or a parameter.", ..Refusal::new(reason) }
}

/// A row's key would become another one.
pub fn moves(key: ShardKey<'_>) -> Refusal {
    let reason = format!("the sharding key \"{}\" cannot be set: the row might belong to another shard", key.column);
    Refusal { hint: "DELETE the row and INSERT it anew.", ..Refusal::new(reason) }
}
