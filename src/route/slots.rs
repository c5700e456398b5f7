//! From a key to its shard: by the map of slots, or by list, range and default.
//! Invariant: `shard(key) = map[hash(key) mod S]`, where S is 1,024 for each of the N0 shards that there were when the map was first written; so
//! the first map places every key where `hash mod N0` does, and no row moves by having a map. Every entry names a shard that exists. A rule that
//! no value fits gives no shard at all: never every shard, never a guess. Whether the servers agree is left to `identity`.

use std::cmp::Ordering;
use std::sync::Arc;

use super::hash;
use super::key::Key;
use crate::config::sharded::{Hasher, KeyValue, Mapping, SHARDS_MAX};

/// Slots for each of the first shards.
pub const SLOTS_PER_SHARD: usize = 1_024;
/// Version of the map that a cluster begins with.
pub const FIRST_VERSION: u64 = 1;

/// What is wrong with a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotsError {
    #[error("{shards} shards: there can be 1 to {SHARDS_MAX}")]
    Shards { shards: usize },
    #[error("the map has {slots} slots, {expected} belong to its {shards} first shards")]
    Length { slots: usize, expected: usize, shards: usize },
    #[error("slot {slot} is on shard {shard}, and there are {shards}")]
    NoShard { slot: usize, shard: u16, shards: usize },
}

/// The map of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    map: Arc<[u16]>,
    /// N0
    first: u16,
    version: u64,
}

impl Slots {
    /// The map that a cluster of so many shards begins with.
    pub fn first(shards: usize) -> Result<Slots, SlotsError> {
        let first = counted(shards)?;
        let map = (0..shards * SLOTS_PER_SHARD).map(|slot| (slot % shards) as u16).collect();
        Ok(Slots { map, first, version: FIRST_VERSION })
    }

    /// A map as it was read from somewhere; `shards` is the number of shards there are now.
    pub fn new(first: usize, version: u64, map: Arc<[u16]>, shards: usize) -> Result<Slots, SlotsError> {
        let (n0, expected) = (counted(first)?, first * SLOTS_PER_SHARD);
        counted(shards)?;
        if map.len() != expected {
            return Err(SlotsError::Length { slots: map.len(), expected, shards: first });
        }
        match map.iter().position(|shard| usize::from(*shard) >= shards) {
            Some(slot) => Err(SlotsError::NoShard { slot, shard: map[slot], shards }),
            None => Ok(Slots { map, first: n0, version }),
        }
    }

    /// S, at least 1,024 and even.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: a map has slots.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// N0, the number of shards when the map was first written.
    pub fn first_shards(&self) -> u16 {
        self.first
    }

    /// Counted up whenever a slot moves.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The shard of each slot.
    pub fn map(&self) -> &[u16] {
        &self.map
    }

    /// The slot of a hash, below `len`.
    pub fn slot(&self, hash: u64) -> usize {
        (hash % self.map.len() as u64) as usize
    }

    /// The shard of a hash.
    pub fn shard(&self, hash: u64) -> u16 {
        self.map[self.slot(hash)]
    }
}

fn counted(shards: usize) -> Result<u16, SlotsError> {
    match u16::try_from(shards) {
        Ok(number) if (1..=SHARDS_MAX).contains(&shards) => Ok(number),
        _ => Err(SlotsError::Shards { shards }),
    }
}

/// How the keys of one table find their shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    Hash(Hasher, Slots),
    Rules(Arc<Mapping>),
}

impl Placement {
    /// The shard of a key, None for NULL. None when no rule leads anywhere: then no shard holds such rows, and a row with such a key has no place.
    /// By hash NULL lives in slot 0; a list or a range holds no NULL, so there it goes where the default rule leads, as with PostgreSQL's partitions.
    pub fn shard(&self, key: Option<Key<'_>>) -> Option<u16> {
        match self {
            Placement::Hash(hasher, slots) => Some(slots.shard(hash::of(*hasher, key))),
            Placement::Rules(mapping) => key.and_then(|key| by_rules(mapping, &key)).or(mapping.default),
        }
    }

    /// The slot of a key, where there are slots.
    pub fn slot(&self, key: Option<Key<'_>>) -> Option<usize> {
        match self {
            Placement::Hash(hasher, slots) => Some(slots.slot(hash::of(*hasher, key))),
            Placement::Rules(_) => None,
        }
    }
}

fn by_rules(mapping: &Mapping, key: &Key<'_>) -> Option<u16> {
    if let Ok(at) = mapping.list.binary_search_by(|(value, _)| order(value, key)) {
        return Some(mapping.list[at].1);
    }
    // The last range that begins at the key or before it is the only one that can hold it, because no two overlap.
    let begun = mapping.ranges.partition_point(|range| range.start.as_ref().is_none_or(|start| order(start, key) != Ordering::Greater));
    let range = &mapping.ranges[begun.checked_sub(1)?];
    range.end.as_ref().is_none_or(|end| order(end, key) == Ordering::Greater).then_some(range.shard)
}

/// How a value of a rule compares with a key. Both are of the type of the table's key; if they were not, the types themselves have an order.
fn order(value: &KeyValue, key: &Key<'_>) -> Ordering {
    match (value, key) {
        (KeyValue::Int(value), Key::Int(key)) => value.cmp(key),
        (KeyValue::Uuid(value), Key::Uuid(key)) => value.cmp(key),
        (KeyValue::Text(value), Key::Text(key)) => value.as_bytes().cmp(key),
        (KeyValue::Int(_), _) | (KeyValue::Uuid(_), Key::Text(_)) => Ordering::Less,
        (KeyValue::Uuid(_) | KeyValue::Text(_), _) => Ordering::Greater,
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
