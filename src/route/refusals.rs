//! What the router refuses requests with, in the words that their clients get.

use crate::sql::plan::Refusal;

use super::request::{CARRY, Refused};

/// Characters of a text that an error repeats.
const SHOWN_TEXT: usize = 1_000;

pub(super) fn refused(code: &'static str, message: impl Into<String>, hint: &'static str) -> Box<Refused> {
    Box::new(Refused { code, message: message.into(), detail: None, hint: Some(hint) })
}

pub(super) fn from_plan(refusal: &Refusal) -> Box<Refused> {
    let hint = Some(refusal.hint).filter(|hint| !hint.is_empty());
    Box::new(Refused { code: refusal.state, message: refusal.reason.clone(), detail: None, hint })
}

pub(super) fn unread() -> Box<Refused> {
    Refused::unsupported("the value of the sharding key cannot be read from this statement", "Write it as a plain literal or a parameter.")
}

/// A request for several shards, where the operator wants none.
#[cold]
pub(super) fn forbidden(text: &[u8]) -> Box<Refused> {
    let message = "the query goes to several shards, and cross_shard_disabled forbids that".to_owned();
    let detail = Some(String::from_utf8_lossy(text).chars().take(SHOWN_TEXT).collect());
    Box::new(Refused { code: "58000", message, detail, hint: Some("Give it a sharding key, or name a shard: /* pgdog_shard: 0 */.") })
}

pub(super) fn too_large(text: &[u8]) -> Box<Refused> {
    let message = format!("a statement of {} bytes, or so deeply nested, is too large to find its shard", text.len());
    refused("54001", message, "Split it, or SET pgdog.shard.")
}

pub(super) fn lost() -> Box<Refused> {
    refused("XX000", "the statement could not be read", "This is a bug of pg_dog; please report it. SET pgdog.shard names its shard.")
}

pub(super) fn foreign() -> Box<Refused> {
    Refused::unsupported("a statement that is not UTF-8 has no route", "Use client_encoding = UTF8, or SET pgdog.shard.")
}

/// What SQL prepares would be known to one server of one shard only.
pub(super) fn not_carried() -> Box<Refused> {
    Refused::unsupported("PREPARE on a database of several shards", CARRY)
}

pub(super) fn nobody_knows() -> Box<Refused> {
    Refused::unsupported("it is not known which shard has the prepared transaction", "Name the shard: /* pgdog_shard: 0 */.")
}
