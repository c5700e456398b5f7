//! Where a statement goes that makes or changes tables: to all shards, or to the one on which a schema lives with all that is in it.
//!
//! Invariant: what it names is all on every shard or all on one: PostgreSQL checks names against what the shard has that runs it, and a table that
//! was made where its schema does not live would be found by nobody.

use super::catalog::{Catalog, Home};
use super::outline::{Name, Statement};
use super::plan::{Refusal, Target, Verdict};

/// The target of what every shard has to do alike.
pub fn everywhere(statement: &Statement, catalog: &impl Catalog, what: &str) -> Verdict<Target> {
    if statement.marks.temporary {
        return Err(Refusal::new(format!("{what} of a temporary table would be on one server of one shard only")));
    }
    Ok(match home(statement, catalog)? {
        Some(shard) => Target::Shard(shard),
        None => Target::AllWrite { alone: statement.marks.alone },
    })
}

/// The target of a query whose rows, which `target` gives, are a new table.
pub fn into(statement: &Statement, catalog: &impl Catalog, target: Target) -> Verdict<Target> {
    match (home(statement, catalog)?, target) {
        (None, Target::Shard(_)) => Err(Refusal::new("rows of one shard cannot be made a table that is on every shard")),
        (Some(home), Target::Shard(shard)) if home != shard => Err(Refusal::new("rows of one shard cannot be made a table of another")),
        // Every shard has these rows.
        (Some(home), Target::AllWrite { .. }) => Ok(Target::Shard(home)),
        (_, target) => Ok(target),
    }
}

/// The only shard of what a statement names, None if that is on every shard.
fn home(statement: &Statement, catalog: &impl Catalog) -> Verdict<Option<u32>> {
    let mut found: Option<Option<u32>> = None;
    for name in &statement.named {
        let here = match catalog.home(name) {
            Home::All => None,
            Home::One(shard) => Some(shard),
            Home::Unknown => return Err(unknown(name)),
        };
        if *found.get_or_insert(here) != here {
            return Err(Refusal::new("the statement names tables of several homes: on every shard, or on different ones"));
        }
    }
    Ok(found.flatten())
}

fn unknown(name: &Name) -> Refusal {
    let reason = format!("in which schema \"{}\" is, or will be, is not known, and schemas of search_path live on different shards", name.name);
    Refusal { hint: "Write the schema in front of the name.", ..Refusal::new(reason) }
}
