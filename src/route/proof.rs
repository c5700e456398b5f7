//! What every new connection to a shard says of itself before it is used: less than the control core asks for at the start, in one row of fixed size,
//! and compared with what all shards said then.
//! Invariant: a connection passes only if cluster, shard, number of shards, slots, version of the map and rules are those in use here. What is wrong
//! with a map whose version is right, and which rule differs, is found when the cluster is asked as a whole (`identity`).

use super::hash;
use super::identity::{Found, IdentityError, Place, printed, refusal};
use super::topology::{Facts, Topology};
use crate::config::sharded::uuid;

/// Asks a connection where it leads: one row of `COLUMNS` columns, whatever its client_encoding is; without a schema `dog` it fails.
pub const PROVE: &str = "SELECT i.cluster, i.shard, i.first_shards, i.slots, (SELECT pg_catalog.max(version) FROM dog.map), \
     (SELECT pg_catalog.hashtextextended(pg_catalog.encode(pg_catalog.string_agg(\
     pg_catalog.convert_to(pg_catalog.concat(name, E'\\x01', fact), 'UTF8'), E'\\\\x02' ORDER BY pg_catalog.convert_to(name, 'UTF8')), 'hex') \
     COLLATE pg_catalog.\"C\", 0) FROM dog.fact) \
     FROM (SELECT 1) AS one LEFT JOIN dog.identity AS i ON true";

/// Columns of the answer to `PROVE`.
pub const COLUMNS: usize = 6;

/// What one connection said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Known(Known),
    /// the server has a schema `dog` in which nothing stands
    Nothing,
    /// SQLSTATE and message
    Error(String, String),
    Unreadable,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub cluster: [u8; 16],
    pub shard: u64,
    pub first_shards: u64,
    pub slots: u64,
    pub version: u64,
    /// hash of all facts
    pub facts: i64,
}

/// Reads the answer to `PROVE`: its columns as text, None for NULL.
pub fn read(columns: &[Option<&[u8]>; COLUMNS]) -> Said {
    let [cluster, shard, first_shards, slots, version, facts] = columns.map(|column| column.and_then(|bytes| std::str::from_utf8(bytes).ok()));
    if columns[0].is_none() {
        return Said::Nothing;
    }
    let known = || {
        Some(Known {
            cluster: uuid(cluster?.as_bytes())?,
            shard: shard?.parse().ok()?,
            first_shards: first_shards?.parse().ok()?,
            slots: slots?.parse().ok()?,
            version: version?.parse().ok()?,
            facts: facts.map_or(Some(0), |hash| hash.parse().ok())?,
        })
    };
    known().map_or(Said::Unreadable, Said::Known)
}

/// The hash of these facts, as `PROVE` makes it: of their bytes as UTF-8, whatever encoding the database has.
pub fn facts_hash(facts: &Facts) -> i64 {
    let lines: Vec<String> = facts.iter().map(|(name, fact)| format!("{name}\u{1}{fact}")).collect();
    if lines.is_empty() {
        return 0;
    }
    let hex: String = lines.join("\u{2}").bytes().map(|byte| format!("{byte:02x}")).collect();
    hash::bytes_extended(hex.as_bytes(), 0) as i64
}

/// Compares a connection with what is in use here; Ok also while nothing is: `Topology::cluster` says who the shards belong to.
pub fn prove(place: Place<'_>, topology: &Topology, said: &Said) -> Result<(), IdentityError> {
    let Some((cluster, facts)) = topology.cluster() else { return Ok(()) };
    let (name, other) = (place.place.to_owned(), || format!("the rest of \"{}\"", topology.database()));
    let lost = || IdentityError::Lost { place: name.clone(), cluster: printed(cluster), other: other() };
    let known = match said {
        Said::Known(known) => known,
        Said::Nothing => return Err(lost()),
        Said::Unreadable => return Err(IdentityError::Answer { place: name }),
        Said::Error(sqlstate, message) => {
            return match refusal(place, sqlstate, message)? {
                Found::Nothing => Err(lost()),
                Found::Identity(_) => Err(IdentityError::Answer { place: name }),
            };
        }
    };
    if known.cluster != *cluster {
        return Err(IdentityError::Foreign { place: name, found: printed(&known.cluster), other: other(), wanted: printed(cluster) });
    }
    if known.shard != u64::from(place.shard) {
        return Err(IdentityError::Swapped { place: name, found: known.shard, cluster: printed(cluster) });
    }
    let slots = topology.slots();
    let (wanted, wanted_slots) = (u64::from(slots.first_shards()), slots.len() as u64);
    if (known.first_shards, known.slots) != (wanted, wanted_slots) {
        return Err(IdentityError::Shards { place: name, found: known.first_shards, found_slots: known.slots, wanted, wanted_slots });
    }
    if known.version != slots.version() {
        return Err(IdentityError::Map { place: name, found: known.version, wanted: slots.version() });
    }
    if known.facts != facts {
        return Err(IdentityError::Rules { place: name });
    }
    Ok(())
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
