//! EXPLAIN under `expanded_explain`: it goes wherever its statement would go, each shard gives its plan, and lines behind them say why these shards.
//!
//! Invariant: the route is that of the statement; what is refused by itself is refused here too. Where the statement is run (ANALYZE) and writes, its
//! shards commit as one. How plans and lines become rows is left to `session`.

use crate::sql::explained::Explained;
use crate::sql::plan::{Any, Key, Source, Target};

use super::request::{Join, Over, Part, Refused, Where};
use super::topology::Topology;

/// Keys that one line names.
const KEYS_MAX: usize = 8;

/// Who has said where a statement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Comment,
    Session,
    Statement,
}

/// The request that an EXPLAIN becomes whose statement goes to `place`; any shard is `here`.
pub(super) fn plans(topology: &Topology, place: Where, why: Why, explained: &Explained, here: u16) -> Result<Where, Box<Refused>> {
    let mut writes = false;
    let shards: Vec<u16> = match place {
        Where::Any => vec![here],
        Where::One(shard) | Where::Held(shard) => vec![shard],
        Where::Over(over) => {
            if !matches!(over.join, Join::Union | Join::Same) || over.alone || over.parts.iter().any(|part| part.cut.is_some()) {
                let hint = "EXPLAIN it for one of its rows, or name a shard: /* pgdog_shard: 0 */.";
                return Err(Refused::unsupported("EXPLAIN of a statement of which each shard gets a part of its own", hint));
            }
            writes = over.writes && explained.runs;
            over.parts.iter().map(|part| part.shard).collect()
        }
    };
    let lines = lines(topology, &shards, &reason(topology, why, &explained.target));
    let parts = shards.into_iter().map(|shard| Part { shard, cut: None }).collect();
    Ok(Where::Over(Box::new(Over { parts, join: Join::Plans(lines), writes, alone: false })))
}

/// PgDog's heading and summary, and a line for each shard.
fn lines(topology: &Topology, shards: &[u16], reason: &str) -> Box<[Box<str>]> {
    let names: Vec<String> = shards.iter().map(u16::to_string).collect();
    let all = shards.len() > 1 && shards.len() == usize::from(topology.shards());
    let names = if all { "all".to_owned() } else { names.join(",") };
    let head = [String::new(), "PgDog Routing:".to_owned(), format!("  Summary: shard={names} role=primary")];
    head.into_iter().chain(shards.iter().map(|shard| format!("  Shard {shard}: {reason}"))).map(Into::into).collect()
}

fn reason(topology: &Topology, why: Why, target: &Target) -> String {
    let words = match (why, target) {
        (Why::Comment, _) => "a comment names it",
        (Why::Session, _) => "the session names it (pgdog.shard or pgdog.sharding_key)",
        (_, Target::AnyShard(Any::First)) => "what acts on one server does so on the first shard",
        (_, Target::AnyShard(Any::Cursor)) => "the cursor that it names decides",
        (_, Target::AnyShard(_)) => "every shard has all that it asks for",
        (_, Target::Shard(_)) => "its tables are there only",
        (_, Target::AllShards) => "no sharding key says which rows are meant",
        (_, Target::AllWrite { .. }) => "the table is on every shard",
        (_, target) => return keyed(topology, target.keys()),
    };
    words.to_owned()
}

fn keyed(topology: &Topology, keys: &[Key]) -> String {
    let mut all: Vec<String> = Vec::new();
    for key in keys {
        let Some(rule) = topology.rules().get(key.rule as usize) else { continue };
        let value = match &key.source {
            Source::Literal { .. } | Source::Constant(_) => "a constant".to_owned(),
            Source::Parameter(number) => format!("${number}"),
            Source::Null => "NULL".to_owned(),
        };
        let (table, verb) = (rule.table.as_deref().unwrap_or("*"), if key.array { "in" } else { "=" });
        let line = format!("{table}.{} {verb} {value}", rule.column);
        if !all.contains(&line) {
            if all.len() == KEYS_MAX {
                all.push("...".to_owned());
                break;
            }
            all.push(line);
        }
    }
    format!("sharding key: {}", all.join(", "))
}
