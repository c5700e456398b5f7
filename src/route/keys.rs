//! The keys of one request: their values in its text or its Bind, and the shards that these are on.
//!
//! Invariant: a value that cannot be read as the key's type is an error, never a guess; a key that is not there at all is nobody's, and the server
//! says so.

use crate::sql::literal::Literal;
use crate::sql::plan::{Key as Wanted, Refusal, Source};
use crate::sql::rows::Rows;

use super::array;
use super::cluster::Cluster;
use super::key::{self, Format, Key, KeyType, Server};
use super::over;
use super::refusals::{from_plan, refused, unread};
use super::request::{Refused, Where};
use super::router::{Bound, Says};
use super::schema::Schema;
use super::slots::Placement;

/// The verdict on one request.
pub(super) type Route = Result<Where, Box<Refused>>;

/// All that a plan's keys are looked up in.
pub(super) struct Ground<'a> {
    pub cluster: &'a Cluster,
    pub schema: &'a Schema,
    pub says: &'a Says<'a>,
    pub text: &'a [u8],
    pub literals: &'a [Literal],
    /// the rows of an INSERT, if somebody has found them before
    pub rows: Option<&'a Rows>,
    pub bound: Option<&'a Bound<'a>>,
}

/// The one shard of all keys.
pub(super) fn keyed(ground: &Ground<'_>, keys: &[Wanted], refusal: Option<&Refusal>) -> Route {
    let mut one = None;
    shards_of(ground, keys, &mut |shard| match *one.get_or_insert(shard) {
        first if first == shard => Ok(()),
        first => Err(refusal.map_or_else(
            || Refused::unsupported(format!("the keys of this statement are on several shards ({first} and {shard})"), "Send one for each key."),
            from_plan,
        )),
    })?;
    Ok(one.map_or(Where::Any, Where::One))
}

/// All shards of the keys, each of which answers for its own.
pub(super) fn united(ground: &Ground<'_>, keys: &[Wanted], writes: bool) -> Route {
    let mut one = None;
    let mut several = Vec::new();
    shards_of(ground, keys, &mut |shard| {
        let first = *one.get_or_insert(shard);
        if shard != first && several.is_empty() {
            several.push(first);
        }
        if shard != first && !several.contains(&shard) {
            several.push(shard);
        }
        Ok(())
    })?;
    if several.is_empty() { Ok(one.map_or(Where::Any, Where::One)) } else { Ok(over::union(several, writes)) }
}

/// Rows to insert, each with one key.
pub(super) fn rows(ground: &Ground<'_>, keys: &[Wanted]) -> Route {
    let shard_of = |key: &Wanted| keyed(ground, std::slice::from_ref(key), None);
    let mut all = Where::Any;
    for (at, key) in keys.iter().enumerate() {
        match shard_of(key)? {
            Where::One(shard) if at == 0 => all = Where::One(shard),
            other if other == all => {}
            Where::One(_) => all = Where::Any,
            // A parameter that is not there: the server says so.
            _ => return Ok(Where::Any),
        }
    }
    if all != Where::Any {
        return Ok(all);
    }
    let mut shards = Vec::with_capacity(keys.len());
    for key in keys {
        let Where::One(shard) = shard_of(key)? else { return Ok(Where::Any) };
        shards.push(shard);
    }
    over::rows(ground.text, ground.says.standard, ground.rows, &shards)
}

/// Calls `each` for the shards of all values of all keys.
fn shards_of(ground: &Ground<'_>, keys: &[Wanted], each: &mut dyn FnMut(u16) -> Result<(), Box<Refused>>) -> Result<(), Box<Refused>> {
    for wanted in keys {
        let Some(rule) = ground.cluster.topology.rules().get(wanted.rule as usize) else {
            return Err(refused("XX000", "a plan names a rule that is not there", "This is a bug of pg_dog; please report it."));
        };
        let mut place = |value: Option<Key<'_>>| -> Result<(), Box<Refused>> {
            within_limit(ground.schema, wanted.rule as usize, value)?;
            each(placed(&rule.placement, value)?)
        };
        value_of(ground, wanted, rule.key_type, &mut place)?;
    }
    Ok(())
}

/// What is called for a value of a key.
type Each<'a> = dyn FnMut(Option<Key<'_>>) -> Result<(), Box<Refused>> + 'a;

/// Calls `each` for the values of a key. A parameter that is not there is nobody's key: the server says so.
fn value_of(ground: &Ground<'_>, wanted: &Wanted, key_type: KeyType, each: &mut Each<'_>) -> Result<(), Box<Refused>> {
    let text = Format::Text(Server::of(ground.schema.major));
    let mut one = |format: Format, bytes: Option<&[u8]>| match key::parse(key_type, format, bytes) {
        Ok(key) => each(key),
        Err(error) => Err(refused(error.sqlstate(), error.message(bytes.unwrap_or_default()), "Give a value of the sharding key's type.")),
    };
    let mut spare = Vec::new();
    let (format, bytes) = match &wanted.source {
        Source::Null => return each(None),
        Source::Constant(value) => (text, Some(value.as_bytes())),
        Source::Literal { number, negative } => {
            let Some(literal) = ground.literals.get(*number as usize) else { return Err(unread()) };
            if let Some(number) = literal.integer(ground.text) {
                if key_type == KeyType::Uuid || key_type == KeyType::Text {
                    return Err(unread());
                }
                return each(Some(Key::Int(if *negative { number.wrapping_neg() } else { number })));
            }
            (text, Some(literal.string(ground.text, &mut spare).ok_or_else(unread)?))
        }
        Source::Parameter(number) => {
            let Some(bound) = ground.bound else { return Ok(()) };
            let Some(value) = bound.values.get(*number as usize) else { return Ok(()) };
            if !fits(key_type, wanted.array, declared(bound.types, *number as usize)) {
                return Err(refused("42804", format!("parameter ${number} is not declared as a value of the sharding key's type"), "Declare it so."));
            }
            (if value.binary { Format::Binary } else { text }, value.bytes)
        }
    };
    match (wanted.array, bytes) {
        (false, bytes) => one(format, bytes),
        // No row has a key that is one of nothing.
        (true, None) => Ok(()),
        (true, Some(bytes)) => array::elements(bytes, format == Format::Binary, &mut |element| match element {
            // Nothing equals NULL.
            None => Ok(()),
            some => one(format, some),
        })
        .map_err(|error| error.unwrap_or_else(unread)),
    }
}

/// A text that is longer than its column allows is no key: what PostgreSQL would store of it is another one.
pub(super) fn within_limit(schema: &Schema, rule: usize, value: Option<Key<'_>>) -> Result<(), Box<Refused>> {
    if let (Some(Key::Text(text)), Some(limit)) = (value, schema.limit(rule))
        && text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() > limit
    {
        return Err(refused("22001", format!("value too long for the sharding key: it has more than {limit} characters"), "Shorten it."));
    }
    Ok(())
}

/// The type that a Parse says for a parameter, 0 if it says none.
fn declared(types: &[u8], number: usize) -> u32 {
    let at = number.saturating_sub(1) * 4;
    types.get(at..at + 4).map_or(0, |oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]]))
}

/// Whether a parameter of this type is read as a key (`src/include/catalog/pg_type.dat`). A text goes for a text only.
fn fits(key_type: KeyType, array: bool, oid: u32) -> bool {
    match (key_type, array) {
        (_, _) if oid == 0 => true,
        (KeyType::Int2 | KeyType::Int4 | KeyType::Int8, false) => matches!(oid, 20 | 21 | 23),
        (KeyType::Int2 | KeyType::Int4 | KeyType::Int8, true) => matches!(oid, 1005 | 1007 | 1016),
        (KeyType::Uuid, false) => oid == 2950,
        (KeyType::Uuid, true) => oid == 2951,
        (KeyType::Text | KeyType::Bpchar, false) => matches!(oid, 25 | 1043 | 705),
        (KeyType::Text | KeyType::Bpchar, true) => matches!(oid, 1009 | 1015),
    }
}

pub(super) fn placed(placement: &Placement, key: Option<Key<'_>>) -> Result<u16, Box<Refused>> {
    placement.shard(key).ok_or_else(|| {
        refused("22023", "no rule leads from this sharding key to a shard", "Add a rule for it, or a default, to the mapping of [[sharded_tables]].")
    })
}
