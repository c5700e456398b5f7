//! SQL's PREPARE and EXECUTE on a database with shards. With `prepared_statements = "full"` a PREPAREd statement goes with its client (`made`), to
//! whichever server needs it, so that an EXECUTE goes where its statement with its arguments would go.
//!
//! Invariant: an EXECUTE is routed by the very statement that its name stands for at that moment. Where that is not known for sure (something may
//! have prepared another one under its name that no text has shown), it is refused.

use crate::config::snapshot::{PoolerMode, PreparedStatements};
use crate::route::request::{CARRY, Join, Over, Refused, Where};
use crate::route::router::{Bound, Says};
use crate::sql::directive::may_be_in;
use crate::sql::executes::{Argument, STRANGE, arguments, is_either, prepare};
use crate::sql::look::{Look, Statement as Text, look};
use crate::sql::may::May;
use crate::wire::bind::Values;

use super::client::Client;
use super::exchange::{Exchange, Status};
use super::shards::Shards;
use super::suspicion::Pins;

/// What a refused EXECUTE may do instead.
const INSTEAD: &str = "Send the statement itself, or prepare it by the protocol.";

impl Client {
    /// The route of a simple query's text, or of a Bind; what any shard can answer goes to `here`.
    pub(super) fn route(&self, shards: &Shards, text: &[u8], bound: Option<&Bound<'_>>, link: Option<&Exchange>, here: u16) -> Verdict {
        let says = self.says(link);
        if !is_either(text) {
            return shards.route(text, bound, &says, here);
        }
        let look = look(text);
        match look.statement {
            Text::Prepare { .. } => prepares(shards, text, bound, &says, here),
            // Who says where it goes is obeyed.
            Text::Execute { name } if says.shard.is_none() && says.key.is_none() && !may_be_in(text) => {
                self.executes(shards, (text, &look, &name.name()), link, &says, here)
            }
            _ => shards.route(text, bound, &says, here),
        }
    }

    /// A text is an EXECUTE, or a PREPARE, and what its name stands for is known when the server has answered.
    pub(super) fn awaits_names(&self, text: &[u8], link: Option<&Exchange>) -> bool {
        link.is_some_and(Exchange::is_active) && is_either(text)
    }

    /// Its PREPAREd statements go with it.
    pub(super) fn carries_prepared(&self) -> bool {
        self.caching == PreparedStatements::Full && self.mode() != PoolerMode::Session
    }

    /// What a text may leave behind; what an EXECUTE runs is known.
    pub(super) fn may_leave(&self, text: &[u8]) -> May {
        let look = look(text);
        match look.statement {
            Text::Execute { .. } => self.traits_of(&look, text, false).may.without(May::PREPARES),
            _ => look.may,
        }
    }

    fn executes(
        &self,
        shards: &Shards,
        (text, look, name): (&[u8], &Look<'_>, &[u8]),
        link: Option<&Exchange>,
        says: &Says<'_>,
        here: u16,
    ) -> Verdict {
        let shown = String::from_utf8_lossy(name);
        let refused = |why: &str, hint| Err(Refused::unsupported(format!("EXECUTE of \"{shown}\" has no route to a shard: {why}"), hint));
        if link.is_some_and(|link| link.status() == Status::Failed) {
            // The server says so.
            return Ok(Where::Any);
        }
        if !self.carries_prepared() {
            return refused("what was prepared stays at its server", CARRY);
        }
        let names = self.names.as_deref();
        let changing = names.is_some_and(|names| !names.preparing.is_empty() || !names.deallocating.is_empty());
        let hidden = link.is_some_and(|link| {
            let pinned = [Pins::PREPARED, Pins::NAMED, Pins::UNKNOWN].into_iter().any(|pin| link.pins.contains(pin));
            pinned || link.suspicion.may.contains(May::CALLS)
        });
        if changing || hidden {
            return refused("functions, or statements that are not kept, may have changed what its name stands for", INSTEAD);
        }
        let Some(prepared) = names.and_then(|names| names.prepared(name)) else {
            if names.is_some_and(|names| names.exists(name)) {
                return refused("its PREPARE is not kept, or it is a statement of the protocol", INSTEAD);
            }
            let message = format!("prepared statement \"{shown}\" does not exist");
            return Err(Box::new(Refused { code: "26000", message, detail: None, hint: None }));
        };
        if prepared.traits.may.contains(May::SETS) {
            return refused("it sets parameters", "Use SET.");
        }
        let (Some(inside), Some(arguments)) = (prepare(&prepared.text), arguments(text)) else {
            return refused("it cannot be read", INSTEAD);
        };
        let others = arguments.contains(&Argument::Other);
        if others && look.may.meets(May::CALLS.with(May::SETS)) {
            return refused("its arguments call functions that may read rows of any shard, or set parameters", "Compute the values first.");
        }
        let (values, types) = bind(&arguments, &inside.types);
        let Some(values) = Values::read(&values) else { return refused("it has too many arguments", INSTEAD) };
        let route = shards.route(inside.query, Some(&Bound { values, types: &types }), says, here);
        match route.map(|place| if place == Where::Any && others && may_call(text) { FIRST } else { place }) {
            Err(refusal) if others && refusal.code == STRANGE_TYPE => {
                refused("its sharding key is no constant", "Give it a plain number or string, with no cast but to the key's type.")
            }
            Ok(Where::Over(over)) if others || !is_alike(&over) => refused("its statement goes to several shards", INSTEAD),
            Ok(place) if place != Where::Any && place != Where::One(here) && names.is_some_and(|names| names.is_fresh(name)) => {
                refused("it was prepared in this transaction, at another shard's server", "Prepare it before the transaction.")
            }
            route => route,
        }
    }
}

/// The verdict on one request.
type Verdict = Result<Where, Box<Refused>>;

/// SQLSTATE of a parameter that is no key for its type.
const STRANGE_TYPE: &str = "42804";

/// Any server can prepare what any can run; what is of one shard is prepared there.
fn prepares(shards: &Shards, text: &[u8], bound: Option<&Bound<'_>>, says: &Says<'_>, here: u16) -> Verdict {
    let whole = shards.route(text, bound, says, here)?;
    if whole != Where::Any {
        return Ok(whole);
    }
    match prepare(text).map(|inside| shards.route(inside.query, None, says, here)) {
        Some(Ok(place @ Where::One(_))) => Ok(place),
        // Why it has no route is said when it is executed.
        _ => Ok(whole),
    }
}

/// Where sequences and locks are, if any shard could answer.
const FIRST: Where = Where::One(0);

/// An argument may call a function: then there is a parenthesis besides that of the arguments.
fn may_call(text: &[u8]) -> bool {
    text.iter().filter(|byte| **byte == b'(').count() > 1
}

/// All shards do it alike, in the same words.
fn is_alike(over: &Over) -> bool {
    over.join == Join::Same && !over.alone && over.parts.iter().all(|part| part.cut.is_none())
}

/// Arguments as a Bind would bring them, and the types of their parameters as a Parse would say them. What is no constant has a strange type.
fn bind(arguments: &[Argument], types: &[u32]) -> (Vec<u8>, Vec<u8>) {
    let count = u16::try_from(arguments.len()).unwrap_or(u16::MAX);
    let mut values = [&[0, 0][..], &count.to_be_bytes()].concat();
    let mut numbers = Vec::with_capacity(4 * arguments.len());
    for (at, argument) in arguments.iter().enumerate() {
        let declared = types.get(at).copied().unwrap_or(0);
        let strange = *argument == Argument::Other;
        numbers.extend_from_slice(&(if strange { STRANGE } else { declared }).to_be_bytes());
        match argument {
            Argument::Constant(value) => {
                // Part of one message.
                values.extend_from_slice(&i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
                values.extend_from_slice(value);
            }
            Argument::Null | Argument::Other => values.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }
    (values, numbers)
}

#[cfg(test)]
#[path = "executed_tests.rs"]
mod tests;
