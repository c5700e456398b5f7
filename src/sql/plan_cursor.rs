//! Where `UPDATE` and `DELETE ... WHERE CURRENT OF` go: to the shard of the cursor, which whoever has opened it knows.
//!
//! Invariant: what it changes is one row of one shard, which stays there.

use super::catalog::{Catalog, Placement};
use super::outline::{Kind, Relation, Statement, Write};
use super::plan::{Any, Refusal, Target, Verdict};
use super::plan_refusals::{moves, unplaced};

/// The target of a statement that names a cursor; its calls have been looked at.
pub fn current(statement: &Statement, catalog: &impl Catalog) -> Verdict<Target> {
    let refused = |reason: &str| Err(Refusal { hint: "Name the rows by their keys.", ..Refusal::new(reason) });
    let alone = match &*statement.blocks {
        [block] if block.sources.len() == 1 && statement.kind == Kind::Query => Some(block),
        _ => None,
    };
    let Some(block) = alone else { return refused("WHERE CURRENT OF beside other tables or queries") };
    let Some(Relation::Table(name)) = block.sources.first().map(|source| &source.relation) else {
        return refused("WHERE CURRENT OF of what is no table");
    };
    match catalog.table(name) {
        Placement::Sharded(key) => match &block.write {
            Some(Write::Update(sets)) if sets.iter().any(|set| *set.column == *key.column) => Err(moves(key)),
            _ => Ok(Target::AnyShard(Any::Cursor)),
        },
        Placement::One(shard) => Ok(Target::Shard(shard)),
        Placement::Omni => refused("WHERE CURRENT OF would change a table that is on every shard on the cursor's shard alone"),
        placement => Err(unplaced(name, placement)),
    }
}
