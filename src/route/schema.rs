//! What one database's tables, columns and functions are, as the planner has to know them, loaded from shard 0 when nothing is known or something
//! has changed; and the planner's questions about them, answered for one session.
//!
//! Invariant: an answer that could be wrong is `Unknown` or `Hidden`, which the planner refuses: a name that means another table under another
//! search_path, a column whose type is not that of the rule, a table that the rules disagree about.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::catalog::{self, Catalog, Column, Fill, Placement, Routine, ShardKey};
use crate::sql::outline::{Family, Name};
use crate::sql::view::Seen;

use super::drift::Drift;
use super::key::KeyType;
use super::topology::Topology;
use crate::config::sharded::Home;

/// One row per column, in the columns' order (or one row for a table without columns): schema, table, kind, column, type's OID and modifier, whether
/// its collation is deterministic, whether a value that is not given moves (`t`), is constant (`c`), NULL (`n`) or computed from the others (`g`).
pub const COLUMNS: &str = "SELECT n.nspname, c.relname, c.relkind, a.attname, a.atttypid, a.atttypmod, coalesce(o.collisdeterministic, true), \
     CASE WHEN a.attidentity <> '' THEN 't' WHEN a.attgenerated <> '' THEN 'g' WHEN d.adbin IS NULL THEN 'n' \
     WHEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ '^(''([^'']|'''')*''(::[a-z ]+)?|-?[0-9.]+|true|false)$' THEN 'c' ELSE 't' END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT IN ('pg_toast', 'information_schema') \
     AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%' AND (n.nspname <> 'pg_catalog' OR a.attnum = 1) \
     ORDER BY n.nspname, c.relname, a.attnum";
/// Functions that are not PostgreSQL's own: schema, name, whether all of that name are immutable, whether all are aggregates, whether one returns
/// a set.
pub const FUNCTIONS: &str = "SELECT n.nspname, p.proname, bool_and(p.provolatile = 'i'), bool_and(p.prokind = 'a'), bool_or(p.proretset) \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1, 2";
/// What a session without a word of its own has: search_path, the server's version as a number, and its encoding.
pub const SETTINGS: &str = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('server_version_num'), \
     pg_catalog.current_setting('server_encoding')";

/// OID of varchar (src/include/catalog/pg_type.dat).
const VARCHAR: u32 = 1043;

/// Columns of the answers to `COLUMNS` and `FUNCTIONS`.
const COLUMN_FIELDS: usize = 8;
const FUNCTION_FIELDS: usize = 5;

/// Why such a view is not read over shards.
const MATERIALIZED: &str = "it is materialized, and on each shard it holds what that shard had when it was refreshed there";
const UNSEEN: &str = "its definition is not known";

/// An answer's row; None is NULL.
pub type Row = Vec<Option<Vec<u8>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Table,
    View,
    /// what it shows was made on each shard at its own time
    Materialized,
    /// a sequence or a foreign table: not for statements
    Else,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Type {
    oid: u32,
    /// of varchar(n): n + 4; -1 = none
    modifier: i32,
    /// of its collation, if it has one
    deterministic: bool,
}

impl Type {
    /// By its number alone.
    fn family(self) -> Option<Family> {
        match self.oid {
            20 | 21 | 23 => Some(Family::Integer),
            2950 => Some(Family::Uuid),
            25 | VARCHAR => Some(Family::Text),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) sort: Sort,
    pub(super) columns: Vec<Column>,
    /// the type of each
    types: Vec<Type>,
    /// of a view, once it was looked into
    pub(super) seen: Option<Box<Seen>>,
}

/// What is known of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// by schema and name
    pub(super) tables: BTreeMap<(Box<str>, Box<str>), Table>,
    /// schemas in which there is something of a name
    homes: BTreeMap<Box<str>, Vec<Box<str>>>,
    functions: BTreeMap<Box<str>, BTreeMap<Box<str>, Routine>>,
    /// names of functions of which one returns a set
    sets: BTreeSet<Box<str>>,
    /// names of pg_catalog
    system: BTreeSet<Box<str>>,
    search_path: String,
    /// characters of the keys of each rule, at most
    limits: Vec<Option<usize>>,
    /// texts are kept as UTF-8; else a text's hash is another one there than here
    utf8: bool,
    /// major version
    pub major: u32,
    /// what the shards do not have alike, and what reaches beyond one of them
    pub drift: Drift,
}

/// Of a shard's answer to `COLUMNS` what counts: the tables of a schema that lives on one shard are those that this shard has, all others those of
/// shard 0.
pub fn at_home(topology: &Topology, shard: u16, mut rows: Vec<Row>) -> Vec<Row> {
    let home = |row: &Row| row.first().and_then(|schema| topology.shard_of(text(schema.as_ref()?)?));
    rows.retain(|row| home(row).unwrap_or(0) == shard);
    rows
}

/// An answer that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer about {0} cannot be read")]
pub struct Unreadable(&'static str);

impl Schema {
    /// From the answers to `COLUMNS`, `FUNCTIONS` and `SETTINGS`.
    pub fn read(columns: &[Row], functions: &[Row], settings: &[Row]) -> Result<Schema, Unreadable> {
        let mut schema = Schema::default();
        columns.iter().try_for_each(|row| schema.column(row).ok_or(Unreadable("tables")))?;
        functions.iter().try_for_each(|row| schema.routine(row).ok_or(Unreadable("functions")))?;
        let said = |at: usize| settings.first().and_then(|row| text(row.get(at)?.as_ref()?)).ok_or(Unreadable("settings"));
        schema.search_path = said(0)?.to_owned();
        schema.utf8 = said(2)? == "UTF8";
        schema.major = said(1)?.parse::<u32>().map_err(|_| Unreadable("settings"))? / 10_000;
        for (home, name) in schema.tables.keys() {
            schema.homes.entry(name.clone()).or_default().push(home.clone());
        }
        Ok(schema)
    }

    fn column(&mut self, row: &Row) -> Option<()> {
        let [home, name, sort, column, of_type, modifier, deterministic, default] = <&[_; COLUMN_FIELDS]>::try_from(row.as_slice()).ok()?;
        let (home, name) = (text(home.as_ref()?)?, text(name.as_ref()?)?);
        if home == "pg_catalog" {
            self.system.insert(name.into());
            return Some(());
        }
        let sort = match text(sort.as_ref()?)? {
            "r" | "p" => Sort::Table,
            "v" => Sort::View,
            "m" => Sort::Materialized,
            _ => Sort::Else,
        };
        let new = || Table { sort, columns: Vec::new(), types: Vec::new(), seen: None };
        let table = self.tables.entry((home.into(), name.into())).or_insert_with(new);
        let Some(column) = column else { return Some(()) };
        let oid = text(of_type.as_ref()?)?.parse().ok()?;
        let default = match text(default.as_ref()?)? {
            "n" => Fill::Null,
            "c" => Fill::Constant,
            "g" => Fill::Computed,
            _ => Fill::Moving,
        };
        let modifier = text(modifier.as_ref()?)?.parse().ok()?;
        let of_type = Type { oid, modifier, deterministic: deterministic.as_deref() == Some(b"t") };
        table.columns.push(Column { name: text(column)?.into(), family: family_of(of_type), default });
        table.types.push(of_type);
        Some(())
    }

    fn routine(&mut self, row: &Row) -> Option<()> {
        let [home, name, immutable, aggregate, set] = <&[_; FUNCTION_FIELDS]>::try_from(row.as_slice()).ok()?;
        let (home, name) = (text(home.as_ref()?)?, text(name.as_ref()?)?);
        let is = |column: &Option<Vec<u8>>| column.as_deref() == Some(b"t");
        let routine = match (is(immutable), is(aggregate)) {
            (true, true) => Routine::Aggregate,
            (true, false) => Routine::Immutable,
            _ => Routine::Hidden,
        };
        if is(set) {
            self.sets.insert(name.into());
        }
        self.functions.entry(name.into()).or_default().insert(home.into(), routine);
        Some(())
    }

    /// Remembers what the rules have to know of their columns.
    pub fn fitted(mut self, topology: &Topology) -> Schema {
        self.limits = vec![None; topology.rules().len()];
        for ((home, name), table) in &self.tables {
            let Ok(Some(rule)) = rule_of(topology, home, name, table) else { continue };
            let column = table.columns.iter().position(|column| *column.name == *topology.rules()[rule].column);
            let limit = column.and_then(|at| table.types.get(at)).filter(|of_type| of_type.oid == VARCHAR && of_type.modifier >= 4);
            let limit = limit.map(|of_type| of_type.modifier as usize - 4);
            self.limits[rule] = self.limits[rule].into_iter().chain(limit).min();
        }
        self
    }

    /// The characters that a key of a rule has at most: PostgreSQL cuts off blanks beyond them, and the row is stored under another key.
    pub fn limit(&self, rule: usize) -> Option<usize> {
        self.limits.get(rule).copied().flatten()
    }

    /// Whether some name is in several schemas, so that it matters which comes first.
    pub fn depends_on_path(&self) -> bool {
        self.homes.values().any(|homes| homes.len() > 1)
    }

    /// How many tables there are, of which so many belong to a rule.
    pub fn count(&self, topology: &Topology) -> (usize, usize) {
        let tables = self.tables.iter().filter(|(_, table)| table.sort == Sort::Table);
        let sharded = tables.clone().filter(|((home, name), table)| matches!(rule_of(topology, home, name, table), Ok(Some(_))));
        (tables.clone().count(), sharded.count())
    }

    /// What is wrong between the rules and the tables, one line each: statements on these tables are refused.
    pub fn complaints(&self, topology: &Topology) -> Vec<String> {
        let tables = self.tables.iter().filter(|(_, table)| table.sort == Sort::Table);
        let texts = topology.rules().iter().any(|rule| matches!(rule.key_type, KeyType::Text | KeyType::Bpchar)) && !self.utf8;
        let encoding = texts.then(|| "tables whose key is a text: the database's encoding is not UTF8".to_owned());
        tables.filter_map(|((home, name), table)| rule_of(topology, home, name, table).err()).chain(encoding).collect()
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The types of which equality is that of their hash (`src/include/catalog/pg_type.dat`). Under a nondeterministic collation texts are equal that
/// have different hashes, so that the key which equals such a column's value may be any of them.
fn family_of(of_type: Type) -> Option<Family> {
    of_type.family().filter(|_| of_type.deterministic)
}

fn family(key_type: KeyType) -> Option<Family> {
    match key_type {
        KeyType::Int2 | KeyType::Int4 | KeyType::Int8 => Some(Family::Integer),
        KeyType::Uuid => Some(Family::Uuid),
        KeyType::Text => Some(Family::Text),
        KeyType::Bpchar => None,
    }
}

/// The rule of a table, None if every shard has all of it.
fn rule_of(topology: &Topology, home: &str, name: &str, table: &Table) -> Result<Option<usize>, String> {
    let column = |wanted: &str| table.columns.iter().position(|column| *column.name == *wanted);
    let Some(rule) = topology.key(home, name, |wanted| column(wanted).is_some()).map_err(|error| error.to_string())? else { return Ok(None) };
    let sharding = &topology.rules()[rule];
    let at = column(&sharding.column).unwrap_or(usize::MAX);
    let of_type = table.types.get(at).copied();
    let fits = of_type.and_then(Type::family).is_some_and(|of_type| Some(of_type) == family(sharding.key_type));
    let deterministic = of_type.is_some_and(|of_type| of_type.deterministic);
    match (fits, deterministic) {
        (true, true) => Ok(Some(rule)),
        (false, _) => Err(format!(
            "column \"{}\" of table \"{home}\".\"{name}\" is not of the type that [[sharded_tables]] says ({})",
            sharding.column, sharding.key_type
        )),
        (_, false) => Err(format!(
            "column \"{}\" of table \"{home}\".\"{name}\" has a collation under which different texts are equal, and cannot be a sharding key",
            sharding.column
        )),
    }
}

/// The planner's questions of one session.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub schema: &'a Schema,
    pub topology: &'a Topology,
    /// `search_path`, if the session has a word of its own on it
    pub search_path: Option<&'a str>,
    pub user: &'a str,
    /// `shard_local_functions`
    pub listed: &'a [String],
}

impl<'a> View<'a> {
    /// The table that a name means, with its schema.
    fn find(&self, name: &Name) -> Option<(&'a str, &'a Table)> {
        let home = match &name.schema {
            Some(schema) => schema.clone(),
            None => {
                let homes = self.schema.homes.get(&name.name)?;
                match homes.as_slice() {
                    [one] => one.clone(),
                    several => self.first_of(several)?.into(),
                }
            }
        };
        let ((home, _), table) = self.schema.tables.get_key_value(&(home, name.name.clone()))?;
        Some((home, table))
    }

    /// The first schema of the path among these. A path that cannot be read could mean any.
    fn first_of(&self, homes: &'a [Box<str>]) -> Option<&'a str> {
        let path = path(self.search_path.unwrap_or(&self.schema.search_path))?;
        let place = |place: &&str| if *place == "$user" { self.user.to_owned() } else { (*place).to_owned() };
        path.iter().map(place).find_map(|place| homes.iter().find(|home| ***home == *place)).map(|home| &**home)
    }

    fn is_system(&self, name: &Name) -> bool {
        match name.schema.as_deref() {
            Some(schema) => matches!(schema, "pg_catalog" | "information_schema" | "pg_toast"),
            None => self.schema.system.contains(&name.name),
        }
    }
}

/// The names in a search_path, as `SplitIdentifierString` of src/backend/utils/adt/varlena.c reads them.
fn path(text: &str) -> Option<Vec<&str>> {
    let parts = text.split(',').map(|part| {
        let part = part.trim();
        match part.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').filter(|name| !name.contains('"')),
            None if part.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'"') => None,
            None => Some(part),
        }
    });
    parts.collect()
}

impl Catalog for View<'_> {
    fn table(&self, name: &Name) -> Placement<'_> {
        if self.is_system(name) {
            return Placement::System;
        }
        let Some((home, table)) = self.find(name) else { return Placement::Unknown };
        let lives = self.topology.home(home);
        match (table.sort, &table.seen) {
            (Sort::View, Some(seen)) => return seen.placement(),
            (Sort::View, None) => return Placement::View(UNSEEN),
            (Sort::Materialized, _) if !matches!(lives, Some(Home::Shard(_))) => return Placement::View(MATERIALIZED),
            (Sort::Else, _) => return Placement::Unknown,
            (Sort::Table | Sort::Materialized, _) => {}
        }
        match lives {
            Some(Home::Shard(shard)) => return Placement::One(shard.into()),
            Some(Home::All) => return Placement::Omni,
            None => {}
        }
        match rule_of(self.topology, home, &name.name, table) {
            Ok(Some(rule)) => {
                let sharding = &self.topology.rules()[rule];
                let family = family(sharding.key_type).filter(|family| *family != Family::Text || self.schema.utf8);
                let Some(family) = family else { return Placement::Unknown };
                Placement::Sharded(ShardKey { column: &sharding.column, family, rule: rule as u32, group: self.topology.group(rule) as u32 })
            }
            Ok(None) => Placement::Omni,
            Err(_) => Placement::Unknown,
        }
    }

    fn home(&self, name: &Name) -> catalog::Home {
        if !self.topology.has_homes() {
            return catalog::Home::All;
        }
        let of = |schema: &str| self.topology.shard_of(schema).map_or(catalog::Home::All, |shard| catalog::Home::One(shard.into()));
        if let Some(schema) = name.schema.as_deref().or_else(|| self.find(name).map(|(home, _)| home)) {
            return of(schema);
        }
        let Some(path) = path(self.search_path.unwrap_or(&self.schema.search_path)) else { return catalog::Home::Unknown };
        let mut homes = path.iter().map(|place| of(if *place == "$user" { self.user } else { place }));
        let first = homes.next().unwrap_or(catalog::Home::All);
        if homes.all(|home| home == first) { first } else { catalog::Home::Unknown }
    }

    fn columns(&self, name: &Name) -> Option<&[Column]> {
        self.find(name).map(|(_, table)| table.columns.as_slice())
    }

    fn function(&self, name: &Name) -> Routine {
        if self.listed.iter().any(|listed| *listed == *name.name) {
            return Routine::Listed;
        }
        let Some(homes) = self.schema.functions.get(&name.name) else { return Routine::Hidden };
        match &name.schema {
            Some(schema) => homes.get(schema).copied().unwrap_or(Routine::Hidden),
            // Whichever of them is meant.
            None => {
                let mut all = homes.values();
                let first = all.next().copied().unwrap_or(Routine::Hidden);
                if all.all(|routine| *routine == first) { first } else { Routine::Hidden }
            }
        }
    }

    fn barrier(&self, name: &Name, adds: bool) -> Option<&'static str> {
        self.find(name).and_then(|(_, table)| table.seen.as_ref()?.barrier(adds))
    }

    /// One that is not known is listed, or refused anyhow.
    fn returns_sets(&self, name: &Name) -> bool {
        self.schema.sets.contains(&name.name) || !self.schema.functions.contains_key(&name.name) && self.listed.iter().any(|one| *one == *name.name)
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
