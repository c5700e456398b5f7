//! Requests over several shards: which of them, and what part each gets.
//!
//! Invariant: the parts together are the request, each row of it once; a request that one shard can do is none of this. What becomes of their answers
//! the `join` says, and somebody else does it.

use crate::sql::copy::CopyFormat;
use crate::sql::rows::Rows;

use super::request::{Cut, Join, Over, Part, Refused, Split, Where};

type Route = Result<Where, Box<Refused>>;

/// The request as it is for each of these shards, ascending.
fn whole(shards: impl Iterator<Item = u16>, join: Join, writes: bool, alone: bool) -> Where {
    let parts = shards.map(|shard| Part { shard, cut: None }).collect();
    Where::Over(Box::new(Over { parts, join, writes, alone }))
}

/// A request whose answer is the union of the answers of these shards.
pub fn union(mut shards: Vec<u16>, writes: bool) -> Where {
    shards.sort_unstable();
    whole(shards.into_iter(), Join::Union, writes, false)
}

/// A request that all shards do alike.
pub fn same(shards: u16, alone: bool) -> Where {
    whole(0..shards, Join::Same, true, alone)
}

/// A COPY FROM whose rows go to the shards of their keys.
pub fn copied(shards: u16, rule: usize, position: usize, format: CopyFormat) -> Where {
    whole(0..shards, Join::Copy(Box::new(Split { rule, position, format })), true, false)
}

/// An INSERT whose rows go to these shards, one each. `standard` is the session's `standard_conforming_strings`.
/// `known` are its rows, if somebody has found them before.
pub fn rows(text: &[u8], standard: bool, known: Option<&Rows>, shards: &[u16]) -> Route {
    let unread = || Refused::unsupported("the rows of this INSERT cannot be told apart", "Send one INSERT for each row.");
    let found = if known.is_none() { Rows::find(text, standard) } else { None };
    let rows = known.or(found.as_ref()).filter(|rows| rows.count() == shards.len()).ok_or_else(unread)?;
    if !rows.even {
        let message = "VALUES lists must all be the same length".to_owned();
        return Err(Box::new(Refused { code: "42601", message, detail: None, hint: None }));
    }
    let mut distinct = shards.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let part = |shard: &u16| {
        let (text, parameters) = rows.cut(text, |row| shards[row] == *shard);
        Part { shard: *shard, cut: Some(Cut { text: text.into(), parameters }) }
    };
    let place = |shard: &u16| distinct.binary_search(shard).unwrap_or(0) as u16;
    // Whose row is missing nobody can tell.
    let join = if rows.fewer { Join::Union } else { Join::Rows { order: shards.iter().map(place).collect() } };
    let parts = distinct.iter().map(part).collect();
    Ok(Where::Over(Box::new(Over { parts, join, writes: true, alone: false })))
}

/// The one place of two statements of a text. What is over shards stands alone, unless all shards do the same.
pub fn both(left: Where, right: Where) -> Route {
    match (left, right) {
        (Where::Over(over), _) | (_, Where::Over(over)) if over.join != Join::Same => Err(Refused::unsupported(
            "a statement that goes to several shards stands among others in one query",
            "Send it by itself, or name a shard: /* pgdog_shard: 0 */.",
        )),
        (Where::Any, other) | (other, Where::Any) => Ok(other),
        (Where::Over(mut left), Where::Over(right)) => {
            (left.writes, left.alone) = (left.writes || right.writes, left.alone || right.alone);
            Ok(Where::Over(left))
        }
        // What is said by hand holds for what stands behind it.
        (Where::Held(shard), _) => Ok(Where::Held(shard)),
        (Where::One(left), Where::Held(right)) if left == right => Ok(Where::Held(left)),
        (Where::One(left), Where::One(right)) if left == right => Ok(Where::One(left)),
        (Where::One(left), Where::One(right) | Where::Held(right)) => Err(Refused::unsupported(
            format!("the statements of this query go to several shards ({left} and {right})"),
            "Send one statement for each shard.",
        )),
        (Where::One(one), Where::Over(_)) | (Where::Over(_), Where::One(one) | Where::Held(one)) => Err(Refused::unsupported(
            format!("of the statements of this query one goes to shard {one}, and another to all shards"),
            "Send them one by one.",
        )),
    }
}
