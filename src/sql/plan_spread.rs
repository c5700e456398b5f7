//! Whether the union of the shards' answers to a statement is its answer. It is when the rows that the whole query gives are given one by one by
//! the rows of some sharded table (the anchor), and all other sharded tables of the statement hold, wherever they matter, the anchor's key.
//!
//! Then the answer is the union over all keys K of the answer with only the anchor's rows of K, each of which one shard can give; and that shard
//! gives the union over all of its keys. What counts, sorts or limits the whole needs a step behind the union, which is not built yet.

use super::catalog::{Catalog, returns_sets};
use super::outline::{Block, Place, Relation, Statement};
use super::plan::Refusal;
use super::plan_bind::{Binder, aggregates};

/// Whether a statement may go to several shards as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    Union,
    Refused(&'static str),
}

/// What `statement` needs beyond the union.
pub fn spread<C: Catalog>(statement: &Statement, catalog: &C, binder: &Binder<'_, C>) -> Spread {
    let Some(root) = statement.root() else { return Spread::Refused("there is no query") };
    if let Some(what) = step(root, catalog) {
        return Spread::Refused(what);
    }
    if statement.marks.system {
        return Spread::Refused("ctid and the like mean another row on each shard");
    }
    if statement.marks.sample {
        return Spread::Refused("TABLESAMPLE would be taken of each shard");
    }
    let writes = statement.blocks.iter().enumerate().any(|(number, block)| number > 0 && block.write.is_some());
    if writes {
        return Spread::Refused("WITH writes");
    }
    // Which rows such a subquery gives is left to each shard.
    let loose = |block: &Block| block.has.limit && !block.has.order && matches!(block.place, Place::Derived | Place::Cte);
    if statement.blocks.iter().any(loose) {
        return Spread::Refused("LIMIT without ORDER BY would take other rows on each shard");
    }
    let mut todo = vec![0];
    while let Some(number) = todo.pop() {
        let block = &statement.blocks[number];
        // Of a statement that writes, the written rows are the ones that count.
        let sources = if block.write.is_some() { 0..1 } else { 0..block.sources.len() };
        for source in sources.filter(|source| !block.sources[*source].nullable) {
            let anchor = binder.instances.iter().find(|instance| instance.block == number && instance.source == source);
            if anchor.is_some_and(|anchor| binder.together(anchor)) {
                return Spread::Union;
            }
            match &block.sources[source].relation {
                Relation::Derived(inner) if step(&statement.blocks[*inner], catalog).is_none() => todo.push(*inner),
                Relation::Cte(owner, cte) => {
                    let cte = &statement.blocks[*owner].ctes[*cte];
                    if cte.uses == 1 && !cte.closed && step(&statement.blocks[cte.block], catalog).is_none() {
                        todo.push(cte.block);
                    }
                }
                _ => {}
            }
        }
    }
    Spread::Refused("what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys")
}

/// What of a block is more than a union of what its rows give.
fn step(block: &Block, catalog: &impl Catalog) -> Option<&'static str> {
    let has = block.has;
    let windows = has.window || block.functions.iter().any(|function| function.window);
    let steps = [
        (has.set, "UNION, INTERSECT and EXCEPT need one place to compare the rows"),
        (has.values, "VALUES"),
        (has.distinct, "DISTINCT needs one place to compare the rows"),
        (has.group || has.having, "GROUP BY needs one place to join the groups"),
        (windows, "window functions need one place to see all rows"),
        (aggregates(block, catalog), "aggregates need one place to be finished"),
        (has.limit, "LIMIT needs one place to count the rows"),
        (has.order, "ORDER BY needs one place to sort the rows"),
        (block.full, "FULL JOIN"),
    ];
    steps.into_iter().find(|(there, _)| *there).map(|(_, what)| what)
}

/// A function that makes rows of one has no place in one of several rows: PostgreSQL says so of the whole, but not of the one row that a shard gets.
pub fn sets_in_rows(block: &Block, catalog: &impl Catalog) -> Result<(), Refusal> {
    match block.functions.iter().any(|function| returns_sets(&function.name, catalog)) {
        true => Err(Refusal { hint: "", ..Refusal::new("set-returning functions are not allowed in VALUES") }),
        false => Ok(()),
    }
}
