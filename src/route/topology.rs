//! What is sharded in one database, by which key, and how the keys find their shard: the checked sections of the configuration, made ready for
//! questions about tables.
//! Invariant: a table has one key or none. A table that two rules fit equally well, or that lacks the column of the rule that names it, is an
//! error; to take it for a table that every shard holds would put its rows everywhere. Names come as PostgreSQL stores them. Which schema an
//! unqualified name means, and which columns a table has, is left to the caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hash;
use super::key::KeyType;
use super::proof::facts_hash;
use super::slots::{Placement, Slots, SlotsError};
use crate::config::sharded::{Home, Mapping, Sharded, ShardedTable};

/// A rule and what became of it.
#[derive(Clone, Debug)]
pub struct Sharding {
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: String,
    pub key_type: KeyType,
    pub placement: Placement,
    /// equal keys of tables whose rules are of one group live on one shard
    pub group: u32,
}

/// Why it cannot be said by which key a table is sharded. The fault is the configuration's, and no statement on the table can be routed before it
/// is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    #[error("table \"{schema}\".\"{table}\" has no column \"{column}\", which [[sharded_tables]] names as its sharding key")]
    NoColumn { schema: String, table: String, column: String },
    #[error(
        "table \"{schema}\".\"{table}\" has the columns \"{first}\" and \"{second}\", and [[sharded_tables]] has both as sharding keys of any table: \
         add an entry with its `name` that says which one counts"
    )]
    TwoKeys { schema: String, table: String, first: String, second: String },
}

/// Everything that is known about one database.
#[derive(Clone, Debug)]
pub struct Topology {
    database: String,
    shards: u16,
    slots: Slots,
    /// in the order of the file
    rules: Vec<Sharding>,
    homes: BTreeMap<String, Home>,
    /// of every schema that is not in `homes`
    other_homes: Option<Home>,
    whole: BTreeMap<String, bool>,
    facts: Facts,
    /// the cluster that its shards belong to and the hash of the facts, once they have been asked
    cluster: Option<([u8; 16], i64)>,
}

/// What the rows of a database depend on, besides the map: one line for each rule, by what it is for. It is stored beside the map, so that a rule
/// which changes in the file alone does not send keys to where their rows are not.
pub type Facts = BTreeMap<String, String>;

/// Bytes of a fact; of a longer one the beginning and a hash are kept.
pub const FACT_MAX: usize = 4_096;

impl Topology {
    /// The database as a cluster of its shards begins.
    pub fn first(sharded: &Sharded) -> Result<Topology, SlotsError> {
        Topology::new(sharded, Slots::first(sharded.shards.into())?)
    }

    /// The database under this map, which must lead to its shards and to no others.
    pub fn new(sharded: &Sharded, slots: Slots) -> Result<Topology, SlotsError> {
        let slots = Slots::new(slots.first_shards().into(), slots.version(), slots.map().into(), sharded.shards.into())?;
        let by = |table: &ShardedTable| if table.mapping.is_none() { Some(table.hasher) } else { None };
        let alike =
            |one: &ShardedTable, other: &ShardedTable| one.data_type == other.data_type && one.mapping == other.mapping && by(one) == by(other);
        let group = |table: &ShardedTable| sharded.tables.iter().position(|first| alike(first, table)).unwrap_or(0);
        let rule = |table: &ShardedTable| Sharding {
            group: group(table) as u32,
            schema: table.schema.clone(),
            table: table.table.clone(),
            column: table.column.clone(),
            key_type: table.data_type.into(),
            placement: match &table.mapping {
                None => Placement::Hash(table.hasher, slots.clone()),
                Some(mapping) => Placement::Rules(Arc::new(mapping.clone())),
            },
        };
        let rules = sharded.tables.iter().map(rule).collect();
        let homes = sharded.schemas.iter().filter_map(|schema| Some((schema.name.clone()?, schema.home))).collect();
        let other_homes = sharded.schemas.iter().find(|schema| schema.name.is_none()).map(|schema| schema.home);
        let mut whole = BTreeMap::new();
        for table in &sharded.omnisharded {
            *whole.entry(table.table.clone()).or_insert(false) |= table.sticky;
        }
        let database = sharded.database.clone();
        Ok(Topology { database, shards: sharded.shards, slots, rules, homes, other_homes, whole, facts: facts(sharded), cluster: None })
    }

    /// The same, of shards that have said that they are this cluster's: from now on every connection to one of them has to say so.
    pub fn of_cluster(mut self, cluster: [u8; 16]) -> Topology {
        self.cluster = Some((cluster, facts_hash(&self.facts)));
        self
    }

    /// The cluster that the shards belong to, with the hash of what they remember; None: they were not asked.
    pub fn cluster(&self) -> Option<(&[u8; 16], i64)> {
        self.cluster.as_ref().map(|(cluster, facts)| (cluster, *facts))
    }

    /// The name that clients ask for.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// At least 1.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The map that every hashed key goes by.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The rules, in the order of the file; `key` gives places in this list, which a plan can keep.
    pub fn rules(&self) -> &[Sharding] {
        &self.rules
    }

    /// The first rule that puts equal keys on the same shards as this one does.
    pub fn group(&self, rule: usize) -> usize {
        let alike = |other: &Sharding, this: &Sharding| other.key_type == this.key_type && other.placement == this.placement;
        self.rules.iter().position(|other| alike(other, &self.rules[rule])).unwrap_or(rule)
    }

    /// What the shards remember of the rules.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The rule by which a table is sharded, None if it is not. The nearest rule counts: one that names schema and table, then one that names the
    /// table, then one for a schema, then one for every table with the column.
    pub fn key(&self, schema: &str, table: &str, has_column: impl Fn(&str) -> bool) -> Result<Option<usize>, TopologyError> {
        let fits = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        let near = |rule: &Sharding| (rule.table.is_some(), rule.schema.is_some());
        let mut best: Option<usize> = None;
        let mut second = None;
        for (at, rule) in self.rules.iter().enumerate() {
            if !fits(&rule.schema, schema) || !fits(&rule.table, table) || (rule.table.is_none() && !has_column(&rule.column)) {
                continue;
            }
            match best.map(|best| near(&self.rules[best]).cmp(&near(rule))) {
                Some(std::cmp::Ordering::Greater) => {}
                Some(std::cmp::Ordering::Equal) => second = Some(at),
                Some(std::cmp::Ordering::Less) | None => (best, second) = (Some(at), None),
            }
        }
        let (Some(at), schema, table) = (best, schema.to_owned(), table.to_owned()) else { return Ok(None) };
        let column = self.rules[at].column.clone();
        match second {
            Some(second) => Err(TopologyError::TwoKeys { schema, table, first: column, second: self.rules[second].column.clone() }),
            None if !has_column(&column) => Err(TopologyError::NoColumn { schema, table, column }),
            None => Ok(Some(at)),
        }
    }

    /// Where a schema lives, if schemas have homes. The system's own schemas are everywhere: who asks knows them.
    pub fn home(&self, schema: &str) -> Option<Home> {
        self.homes.get(schema).copied().or(self.other_homes)
    }

    /// Whether some schema lives on one shard only.
    pub fn has_homes(&self) -> bool {
        self.homes.values().chain(&self.other_homes).any(|home| matches!(home, Home::Shard(_)))
    }

    /// The only shard of a schema that is not the system's own.
    pub fn shard_of(&self, schema: &str) -> Option<u16> {
        let system = matches!(schema, "pg_catalog" | "information_schema" | "pg_toast" | "pg_temp" | "dog");
        if let Some(Home::Shard(shard)) = self.home(schema).filter(|_| !system) { Some(shard) } else { None }
    }

    /// Whether a client's reads of a table that every shard holds stay on one shard.
    pub fn is_sticky(&self, table: &str) -> bool {
        self.whole.get(table).copied().unwrap_or(false)
    }

    /// Nothing here puts a row on one shard rather than another.
    pub fn has_no_rules(&self) -> bool {
        self.rules.is_empty() && self.homes.is_empty() && self.other_homes.is_none()
    }
}

fn facts(sharded: &Sharded) -> Facts {
    let name = |name: &Option<String>| name.as_ref().map_or("*".to_owned(), |name| format!("{name:?}"));
    let tables = sharded.tables.iter().map(|table| {
        let way = match &table.mapping {
            None => format!("{} hash {}", table.data_type, table.hasher),
            Some(mapping) => format!("{} {}", table.data_type, rules(mapping)),
        };
        (format!("{}.{}.{:?}", name(&table.schema), name(&table.table), table.column), way)
    });
    let schemas = sharded.schemas.iter().map(|schema| {
        let home = match schema.home {
            Home::Shard(shard) => format!("shard {shard}"),
            Home::All => "all".to_owned(),
        };
        (format!("schema {}", name(&schema.name)), home)
    });
    tables.chain(schemas).map(|(name, fact)| (bounded(name), bounded(fact))).collect()
}

fn rules(mapping: &Mapping) -> String {
    let bound = |value: &Option<_>| value.as_ref().map_or("*".to_owned(), ToString::to_string);
    let list = mapping.list.iter().map(|(value, shard)| format!("{value}: {shard}"));
    let ranges = mapping.ranges.iter().map(|range| format!("{} to {}: {}", bound(&range.start), bound(&range.end), range.shard));
    let default = mapping.default.map(|shard| format!("default: {shard}"));
    list.chain(ranges).chain(default).collect::<Vec<_>>().join(", ")
}

fn bounded(mut text: String) -> String {
    if text.len() > FACT_MAX {
        let hash = hash::bytes_extended(text.as_bytes(), 0);
        let end = (0..=FACT_MAX - 32).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(&format!("... {hash:016x}"));
    }
    text
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
