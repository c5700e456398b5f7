//! Texts whose statements go to different shards. PostgreSQL runs such a text as one transaction, statement by statement; so does a coordinator over
//! the shards, if nothing in the text is against that.
//!
//! Invariant: what goes apart means behind the other statements what it means by itself, and can be undone. Nothing runs before all of it has a
//! route. The statements are run by `session`.

use crate::sql::outline::Session;
use crate::sql::pieces::pieces;
use crate::sql::plan::{Plan, Target};
use crate::sql::transaction::first_word;

use super::keys::{Ground, Route};
use super::request::{Join, Over, Part, Refused, Where};
use super::router::planned;

/// Statements of one text that go apart.
pub const STATEMENTS_MAX: usize = 1000;
/// Bytes of such a text.
pub const TEXT_MAX: usize = 256 << 10;

/// What a statement for all shards begins with that leaves the schema as it is.
const ROWS: [&[u8]; 9] = [b"insert", b"update", b"delete", b"merge", b"truncate", b"lock", b"analyze", b"comment", b"grant"];

/// A text whose statements have no place in common, which is said by `why`.
#[cold]
pub(super) fn apart(ground: &Ground<'_>, plans: &[Plan], why: Box<Refused>) -> Route {
    if ground.bound.is_some() {
        // No server takes several statements in one Parse.
        return Err(why);
    }
    if plans.len() > STATEMENTS_MAX || ground.text.len() > TEXT_MAX {
        let message = format!("a query whose statements go to different shards has at most {STATEMENTS_MAX} of them, and {TEXT_MAX} bytes");
        return Err(Box::new(Refused { code: "54000", message, detail: None, hint: Some("Send it in parts, in a transaction.") }));
    }
    let Some(ranges) = pieces(ground.text, ground.says.standard, plans.len()) else {
        return Err(Refused::unsupported("the statements of this query go to several shards, and cannot be told apart", "Send them one by one."));
    };
    let mut shards = Vec::new();
    for (number, (plan, range)) in plans.iter().zip(&*ranges).enumerate() {
        let verb = first_word(&ground.text[range.clone()]);
        if let Some(what) = against(plan, verb, number + 1 == plans.len()) {
            let message = format!("a query whose statements go to different shards, with {what} among them");
            return Err(Refused::unsupported(message, "Send that by itself."));
        }
        match planned(ground, &plan.target, plan.write)? {
            Where::Any => {}
            Where::One(shard) | Where::Held(shard) => shards.push(shard),
            Where::Over(over) => shards.extend(over.parts.iter().map(|part| part.shard)),
        }
    }
    shards.sort_unstable();
    shards.dedup();
    let parts = shards.into_iter().map(|shard| Part { shard, cut: None }).collect();
    let writes = plans.iter().any(|plan| plan.write);
    Ok(Where::Over(Box::new(Over { parts, join: Join::Each(ranges), writes, alone: false })))
}

/// Why a statement cannot be one of them.
fn against(plan: &Plan, verb: &[u8], last: bool) -> Option<&'static str> {
    let is = |words: &[&[u8]]| words.iter().any(|word| verb.eq_ignore_ascii_case(word));
    match &plan.target {
        Target::Session(Session::Show | Session::Notify | Session::Cursor) => None,
        Target::Session(Session::Transaction) => Some("a transaction command"),
        Target::Session(Session::Set | Session::Path | Session::Encoding) => Some("a change of parameters"),
        Target::Session(_) => Some("a statement that changes the session"),
        Target::CopyRows { .. } => Some("COPY FROM"),
        _ if plan.write && is(&[b"copy"]) => Some("COPY FROM"),
        Target::AllWrite { alone: true } => Some("a statement that cannot run in a transaction"),
        // Where those behind it go was looked up before it.
        Target::AllWrite { .. } if !last && !is(&ROWS) => Some("a change of the schema"),
        _ => None,
    }
}
