//! Who a shard is: the SQL that writes it into schema `dog` of the shard, the SQL that reads it back, and the comparison with what is configured.
//! Invariant: a server that is another shard, of another cluster, or that knows another number of shards, another map or other rules gets no
//! traffic, and the error names both sides; what is missing is written only where nothing says that it has been there. So neither a reload, a
//! restart nor two lines that changed places in a file can send a key to where its rows are not. Sans-io: texts and rows go through the hands of
//! the caller, who runs one step after the other, each on its shard, by a connection of its own and with client_encoding UTF8.

use std::collections::BTreeSet;

use super::hash::{self, PARTITION_SEED};
use super::topology::{Facts, Topology};
use crate::config::sharded::{KeyValue, uuid};

/// Asks a shard who it is. One row of `COLUMNS` columns, as text; without a schema `dog` it fails, see `refusal`.
pub const READ: &str = "SELECT i.cluster, i.shard, i.first_shards, i.slots, i.founded, m.version, \
     pg_catalog.hashtextextended(pg_catalog.array_to_string(m.shards, ',') COLLATE pg_catalog.\"C\", 0), \
     (SELECT pg_catalog.string_agg(pg_catalog.concat(name, E'\\x01', fact), E'\\x02' ORDER BY name COLLATE pg_catalog.\"C\") FROM dog.fact), \
     pg_catalog.hashint8extended(-2, 8816678312871386365), \
     (SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE oid = 'dog'::pg_catalog.regnamespace) \
     FROM (SELECT 1) AS one LEFT JOIN dog.identity AS i ON true \
     LEFT JOIN (SELECT version, shards FROM dog.map ORDER BY version DESC LIMIT 1) AS m ON true";

/// Columns of the answer to `READ`.
pub const COLUMNS: usize = 10;

/// Behind a failed text of a step: it began a transaction.
pub const UNDO: &str = "ROLLBACK";

/// Marks on shard 0 that every shard has had its identity: from then on one without is another database.
const FOUND: &str = "UPDATE dog.identity SET founded = true";

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL client_min_messages = warning; SET LOCAL synchronous_commit = on;\n";

const SCHEMA: &str = include_str!("identity.sql");

/// Bytes of a message of a server that an error of ours repeats.
const SHOWN_MESSAGE: usize = 300;

/// What a shard says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: [u8; 16],
    pub shard: u64,
    pub first_shards: u64,
    pub slots: u64,
    /// shard 0 only
    pub founded: bool,
    pub version: u64,
    /// hash of the newest map
    pub map: i64,
    pub facts: Facts,
    /// role that owns the schema, and so could change all of this
    pub owner: String,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// the shard has no identity
    Nothing,
    Identity(Box<Identity>),
}

/// Why a server is not used. The fault is the operator's: nothing is wrong with the statement, and it may be sent again when this is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "{place}: this server may not be told or asked who it is: {message}; let a user with CREATE on the database do it, or set \
         `shard_identity` = \"unchecked\" and watch the order of the servers yourself"
    )]
    NoRight { place: String, message: String },
    #[error("{place}: asking the server who it is failed with {sqlstate}: {message}")]
    Server { place: String, sqlstate: String, message: String },
    #[error("{place}: the answer to who it is cannot be read; was schema dog changed by hand?")]
    Answer { place: String },
    #[error("{place}: this server hashes keys differently, as machines of the other byte order do, and cannot be a shard")]
    Hash { place: String },
    #[error("{place} belongs to cluster {found}, and {other} to cluster {wanted}: these servers are not shards of one database")]
    Foreign { place: String, found: String, other: String, wanted: String },
    #[error("{place} says that it is shard {found} of cluster {cluster}: entries of [[databases]] have changed places, or one stands there twice")]
    Swapped { place: String, found: u64, cluster: String },
    #[error(
        "{place} belongs to a cluster that began with {found} shards ({found_slots} slots), and {wanted} ({wanted_slots} slots) are configured: with \
         another number keys would be looked for where they are not"
    )]
    Shards { place: String, found: u64, found_slots: u64, wanted: u64, wanted_slots: u64 },
    #[error("{place} has version {found} of the map of keys, and version {wanted} is in use here{}", same_version(.found, .wanted))]
    Map { place: String, found: u64, wanted: u64 },
    #[error(
        "{place} remembers {name} as \"{found}\", and [[sharded_tables]] or [[sharded_schemas]] say {}: rows written before lie by the old rule; \
         when they have been moved, delete the row of dog.fact",
        configured(.wanted)
    )]
    Fact { place: String, name: String, found: String, wanted: Option<String> },
    #[error(
        "{place} remembers other rules of what is sharded than [[sharded_tables]] and [[sharded_schemas]] say here: another pg_dog has others, \
         or a RELOAD says which"
    )]
    Rules { place: String },
    #[error("{place} does not remember {name}, which was written there: it is another database, or schema dog was changed by hand")]
    Forgotten { place: String, name: String },
    #[error(
        "{place} has no identity, and cluster {cluster} of {other} was complete: this is another database, or an empty one; if it is right, \
         UPDATE dog.identity SET founded = false on {other}"
    )]
    Lost { place: String, cluster: String, other: String },
    #[error(
        "{place} has no identity, and {other} belongs to cluster {cluster} already: a cluster begins at its shard 0, so this one is another database"
    )]
    Late { place: String, cluster: String, other: String },
}

fn same_version(found: &u64, wanted: &u64) -> &'static str {
    if found == wanted { ", but it is another map" } else { "" }
}

fn configured(wanted: &Option<String>) -> String {
    wanted.as_ref().map_or("nothing of it".to_owned(), |wanted| format!("\"{wanted}\""))
}

impl IdentityError {
    /// The SQLSTATE for a client that cannot be served because of it.
    pub fn sqlstate(&self) -> &'static str {
        "58000"
    }
}

/// One shard as it is configured; `place` says so in messages, with number, address and name: `shard 1 of "app" (10.0.0.2:5432/app)`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub shard: u16,
    pub place: &'a str,
}

/// What comes next until a cluster is ready. Each text runs on its shard as one simple query, after which that shard is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Run {
        shard: u16,
        sql: String,
    },
    /// every shard is who it should be; the id is what servers are compared with from now on
    Ready {
        cluster: [u8; 16],
    },
}

/// Reads the answer to `READ`: its columns as text, None for NULL.
pub fn read(place: Place<'_>, columns: &[Option<&[u8]>]) -> Result<Found, IdentityError> {
    let unreadable = || IdentityError::Answer { place: place.place.to_owned() };
    let &[cluster, shard, first_shards, slots, founded, version, map, facts, probe, owner] = columns else { return Err(unreadable()) };
    let text = |column: Option<&[u8]>| column.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    let number = |column| text(column).and_then(|text| text.parse::<u64>().ok());
    let hash = |column| text(column).and_then(|text| text.parse::<i64>().ok());
    if hash(probe).ok_or_else(unreadable)? != hash::int(-2, PARTITION_SEED) as i64 {
        return Err(IdentityError::Hash { place: place.place.to_owned() });
    }
    if cluster.is_none() {
        return Ok(Found::Nothing);
    }
    let facts = match facts {
        None => Some(Facts::new()),
        Some(_) => text(facts).and_then(|text| {
            let pair = |line: &str| line.split_once('\u{1}').map(|(name, fact)| (name.to_owned(), fact.to_owned()));
            text.split('\u{2}').map(pair).collect()
        }),
    };
    let identity = || {
        Some(Identity {
            cluster: uuid(cluster?)?,
            shard: number(shard)?,
            first_shards: number(first_shards)?,
            slots: number(slots)?,
            founded: founded? == b"t",
            version: number(version)?,
            map: hash(map)?,
            facts: facts?,
            owner: text(owner)?,
        })
    };
    identity().map(|identity| Found::Identity(Box::new(identity))).ok_or_else(unreadable)
}

/// What an error of the server means, to `READ` or to the text of a step.
pub fn refusal(place: Place<'_>, sqlstate: &str, message: &str) -> Result<Found, IdentityError> {
    let (place, message) = (place.place.to_owned(), message.chars().take(SHOWN_MESSAGE).collect());
    match sqlstate {
        // No such schema, or no such table in it.
        "3F000" | "42P01" => Ok(Found::Nothing),
        "42501" => Err(IdentityError::NoRight { place, message }),
        _ => Err(IdentityError::Server { place, sqlstate: sqlstate.to_owned(), message }),
    }
}

/// Compares a server with what is configured, at its first use; `cluster` comes from `Step::Ready`.
pub fn compare(place: Place<'_>, cluster: &[u8; 16], topology: &Topology, found: &Found) -> Result<(), IdentityError> {
    let (name, other) = (place.place.to_owned(), || format!("the rest of \"{}\"", topology.database()));
    match found {
        Found::Nothing => Err(IdentityError::Lost { place: name, cluster: printed(cluster), other: other() }),
        Found::Identity(found) if found.cluster != *cluster => {
            Err(IdentityError::Foreign { place: name, found: printed(&found.cluster), other: other(), wanted: printed(cluster) })
        }
        Found::Identity(found) => {
            agrees(place, topology, found)?;
            match topology.facts().iter().find(|(name, _)| !found.facts.contains_key(*name)) {
                Some((fact, _)) => Err(IdentityError::Forgotten { place: name, name: fact.clone() }),
                None => Ok(()),
            }
        }
    }
}

/// The next step from what all shards said; `places` and `found` are those of all shards in order. Shard 0 has to be read before the others: what
/// is missing elsewhere is only then known to be missing because nobody has written it yet. `fresh` is sixteen random bytes, the id of the
/// cluster if it begins here; of several proxies that begin it at once one writes shard 0, and the others find and take over what it wrote.
pub fn next(places: &[Place<'_>], topology: &Topology, fresh: [u8; 16], found: &[Found]) -> Result<Step, IdentityError> {
    let of = |found: &'_ Found| match found {
        Found::Nothing => None,
        Found::Identity(identity) => Some(identity.clone()),
    };
    let shards: Vec<(Place<'_>, Option<Box<Identity>>)> = places.iter().copied().zip(found.iter().map(of)).collect();
    let Some((first, founder)) = shards.first() else { return Ok(Step::Ready { cluster: fresh }) };
    let Some(founder) = founder else {
        return match shards.iter().find_map(|(place, identity)| Some((place, identity.as_ref()?))) {
            None => Ok(Step::Run { shard: first.shard, sql: create(fresh, first.shard, topology) }),
            Some((other, identity)) => {
                let (place, cluster, other) = (first.place.to_owned(), printed(&identity.cluster), other.place.to_owned());
                Err(IdentityError::Late { place, cluster, other })
            }
        };
    };
    for (place, identity) in shards.iter().filter_map(|(place, identity)| Some((*place, identity.as_ref()?))) {
        if identity.cluster != founder.cluster {
            let (found, wanted) = (printed(&identity.cluster), printed(&founder.cluster));
            return Err(IdentityError::Foreign { place: place.place.to_owned(), found, other: first.place.to_owned(), wanted });
        }
        agrees(place, topology, identity)?;
    }
    for (place, identity) in &shards {
        let sql = match identity {
            None if founder.founded => {
                let (place, cluster, other) = (place.place.to_owned(), printed(&founder.cluster), first.place.to_owned());
                return Err(IdentityError::Lost { place, cluster, other });
            }
            None => create(founder.cluster, place.shard, topology),
            Some(identity) => match remember(topology.facts(), &identity.facts) {
                inserts if inserts.is_empty() => continue,
                inserts => inserts,
            },
        };
        return Ok(Step::Run { shard: place.shard, sql });
    }
    match founder.founded {
        true => Ok(Step::Ready { cluster: founder.cluster }),
        false => Ok(Step::Run { shard: first.shard, sql: FOUND.to_owned() }),
    }
}

/// What the operator is told of a schema that one of the application's own roles owns: whoever has the password of that role can change it.
pub fn owner_remark(place: Place<'_>, identity: &Identity, applications: &BTreeSet<&str>) -> Option<String> {
    let owner = identity.owner.as_str();
    applications.contains(owner).then(|| {
        format!(
            "{}: schema dog belongs to \"{owner}\", as which clients work too, so that they could change where keys live; give it another owner",
            place.place
        )
    })
}

/// Everything but the cluster; facts that the shard does not have yet are no contradiction.
fn agrees(place: Place<'_>, topology: &Topology, found: &Identity) -> Result<(), IdentityError> {
    let (name, slots) = (place.place.to_owned(), topology.slots());
    if found.shard != u64::from(place.shard) {
        return Err(IdentityError::Swapped { place: name, found: found.shard, cluster: printed(&found.cluster) });
    }
    let (wanted, wanted_slots) = (u64::from(slots.first_shards()), slots.len() as u64);
    if (found.first_shards, found.slots) != (wanted, wanted_slots) {
        return Err(IdentityError::Shards { place: name, found: found.first_shards, found_slots: found.slots, wanted, wanted_slots });
    }
    if (found.version, found.map) != (slots.version(), map_hash(slots.map())) {
        return Err(IdentityError::Map { place: name, found: found.version, wanted: slots.version() });
    }
    for (fact, said) in &found.facts {
        let wanted = topology.facts().get(fact);
        if wanted != Some(said) {
            return Err(IdentityError::Fact { place: name, name: fact.clone(), found: said.clone(), wanted: wanted.cloned() });
        }
    }
    Ok(())
}

fn map_text(map: &[u16]) -> String {
    map.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

fn map_hash(map: &[u16]) -> i64 {
    hash::bytes_extended(map_text(map).as_bytes(), 0) as i64
}

/// As messages name a cluster.
pub(super) fn printed(cluster: &[u8; 16]) -> String {
    KeyValue::Uuid(*cluster).to_string()
}

/// Makes the schema and says who the shard is. What another proxy wrote first stays as it is; reading it again shows which of the two it is.
fn create(cluster: [u8; 16], shard: u16, topology: &Topology) -> String {
    let slots = topology.slots();
    let (cluster, first, number) = (printed(&cluster), slots.first_shards(), slots.len());
    let rows = format!(
        "INSERT INTO dog.identity (cluster, shard, first_shards, slots) VALUES ('{cluster}', {shard}, {first}, {number}) ON CONFLICT DO NOTHING;\n\
         INSERT INTO dog.map (version, shards) SELECT {}, '{{{}}}' WHERE NOT EXISTS (SELECT FROM dog.map) ON CONFLICT DO NOTHING;\n",
        slots.version(),
        map_text(slots.map()),
    );
    format!("{BEGIN}{SCHEMA}{rows}{}COMMIT", remember(topology.facts(), &Facts::new()))
}

/// The schema alone, for one that an older version of pg_dog has made; only its owner can.
pub(super) fn schema() -> String {
    format!("{BEGIN}{SCHEMA}COMMIT")
}

/// Adds what a shard does not have yet; empty if it has all.
fn remember(facts: &Facts, known: &Facts) -> String {
    let new = facts.iter().filter(|(name, _)| !known.contains_key(*name));
    new.map(|(name, fact)| format!("INSERT INTO dog.fact VALUES ({}, {}) ON CONFLICT DO NOTHING;\n", quoted(name), quoted(fact))).collect()
}

/// A literal that means the same whatever standard_conforming_strings is.
fn quoted(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
