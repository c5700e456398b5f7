//! Where the shards of one database differ in what they should have alike, and what in their schema reaches beyond one shard though no statement
//! shows it: foreign keys, triggers and rules that lead to another sharded table, unique constraints that hold on one shard only, sequences.
//!
//! Invariant: nothing is refused because of a line here; the lines are for the operator. What a merge of answers has to know besides is kept: which
//! numbers the types have that users have made, because each shard numbers its own.

use std::collections::{BTreeMap, BTreeSet};

use super::schema::{Row, Schema, View};
use super::topology::Topology;
use crate::sql::catalog::{Catalog, Placement, ShardKey};
use crate::sql::outline::Name;

/// The columns of all tables: schema, table, column, type, NOT NULL.
pub const SHAPE: &str = "SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't' \
     AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'dog')";
/// The types that are not PostgreSQL's own: schema, name, OID, and whether a column of a table has it.
pub const TYPES: &str = "SELECT n.nspname, t.typname, t.oid, EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c \
     ON c.oid = a.attrelid WHERE a.atttypid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p')) \
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'dog') AND n.nspname NOT LIKE 'pg\\_t%'";
/// See the text.
pub const FLAWS: &str = include_str!("drift.sql");

/// Lines that are kept; of more the last says how many there are.
pub const LINES_MAX: usize = 1_000;

/// One line for the operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub shard: u16,
    /// with its schema; of what is no table its name
    pub table: String,
    /// a few words, the same for all lines of a kind
    pub what: &'static str,
    pub detail: String,
}

/// What became of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    pub lines: Vec<Line>,
    /// by shard: of each type whose OID is another one than on shard 0, its OID there, and on shard 0
    types: Vec<BTreeMap<u32, u32>>,
}

/// The answers of one shard to `SHAPE`, `TYPES` and `FLAWS`.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub shape: Vec<Row>,
    pub types: Vec<Row>,
    pub flaws: Vec<Row>,
}

impl Drift {
    /// The OID on shard 0 of a type with this OID on `shard`: the same, unless users have made it.
    pub fn on_first(&self, shard: u16, oid: u32) -> u32 {
        self.types.get(usize::from(shard)).and_then(|types| types.get(&oid)).copied().unwrap_or(oid)
    }

    /// Whether this is the OID of a type that has another one somewhere: on shard 0, or on another shard.
    pub fn differs(&self, oid: u32) -> bool {
        // Below are PostgreSQL's own (FirstNormalObjectId, src/include/access/transam.h).
        oid >= 16_384 && self.types.iter().any(|types| types.contains_key(&oid) || types.values().any(|first| *first == oid))
    }

    /// Whether every type has one OID on all shards.
    pub fn has_one_numbering(&self) -> bool {
        self.types.iter().all(BTreeMap::is_empty)
    }

    /// Compares what all shards have said, in their order; `schema` is that of shard 0.
    pub fn of(topology: &Topology, schema: &Schema, seen: &[Seen]) -> Drift {
        let mut drift = Drift::default();
        let view = View { schema, topology, search_path: None, user: "", listed: &[] };
        let shapes: Vec<Shape<'_>> = seen.iter().map(|seen| shape(topology, &seen.shape)).collect();
        let types: Vec<Types<'_>> = seen.iter().map(|seen| types(&seen.types)).collect();
        let mut known: BTreeSet<(String, &str, String)> = BTreeSet::new();
        for (shard, said) in seen.iter().enumerate() {
            let number = shard as u16;
            drift.compare_shapes(number, &shapes[0], &shapes[shard]);
            drift.compare_types(number, &types[0], &types[shard]);
            for (table, what, detail) in said.flaws.iter().filter_map(|row| flaw(&view, row)) {
                if known.insert((table.clone(), what, detail.clone())) {
                    drift.lines.push(Line { shard: number, table, what, detail });
                }
            }
        }
        drift.lines.sort();
        let more = drift.lines.len().saturating_sub(LINES_MAX);
        if more > 0 {
            drift.lines.truncate(LINES_MAX);
            drift.lines.push(Line { shard: 0, table: String::new(), what: "more", detail: format!("{more} lines are not shown") });
        }
        drift
    }

    fn add(&mut self, shard: u16, (schema, table): &(&str, &str), what: &'static str, detail: String) {
        self.lines.push(Line { shard, table: format!("{schema}.{table}"), what, detail });
    }

    fn compare_shapes(&mut self, shard: u16, first: &Shape<'_>, this: &Shape<'_>) {
        for (table, columns) in first {
            let Some(here) = this.get(table) else {
                self.add(shard, table, "missing table", "shard 0 has it".to_owned());
                continue;
            };
            for (column, of_type) in columns {
                match here.get(column) {
                    None => self.add(shard, table, "missing column", format!("\"{column}\" {of_type}, which shard 0 has")),
                    Some(other) if other != of_type => {
                        self.add(shard, table, "other type", format!("\"{column}\" is {other}, and {of_type} on shard 0"));
                    }
                    Some(_) => {}
                }
            }
            for (column, of_type) in here.iter().filter(|(column, _)| !columns.contains_key(*column)) {
                self.add(shard, table, "extra column", format!("\"{column}\" {of_type}, which shard 0 does not have"));
            }
        }
        for table in this.keys().filter(|table| !first.contains_key(*table)) {
            self.add(shard, table, "extra table", "shard 0 does not have it".to_owned());
        }
    }

    fn compare_types(&mut self, shard: u16, first: &Types<'_>, this: &Types<'_>) {
        let mut other = BTreeMap::new();
        for (name, (oid, used)) in this {
            let Some((wanted, _)) = first.get(name) else { continue };
            if oid == wanted {
                continue;
            }
            other.insert(*oid, *wanted);
            if *used {
                let detail = format!("its OID is {oid}, and {wanted} on shard 0: answers of several shards say that, and those of this one its own");
                self.add(shard, name, "other type OID", detail);
            }
        }
        self.types.push(other);
    }
}

/// By schema and table, the columns with their types.
type Shape<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<&'a str, String>>;
/// By schema and name, the OID, and whether a table has it.
type Types<'a> = BTreeMap<(&'a str, &'a str), (u32, bool)>;

/// A row's columns as text; what is missing or not text is empty.
fn texts<const N: usize>(row: &Row) -> [&str; N] {
    let mut texts = [""; N];
    for (text, column) in texts.iter_mut().zip(row) {
        *text = column.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    }
    texts
}

/// Of what lives on one shard there is nothing to compare.
fn shape<'a>(topology: &Topology, rows: &'a [Row]) -> Shape<'a> {
    let mut shape = Shape::new();
    for row in rows {
        let [schema, table, column, of_type, not_null] = texts(row);
        if topology.shard_of(schema).is_some() {
            continue;
        }
        let columns = shape.entry((schema, table)).or_default();
        if !column.is_empty() {
            columns.insert(column, format!("{of_type}{}", if not_null == "t" { " NOT NULL" } else { "" }));
        }
    }
    shape
}

fn types(rows: &[Row]) -> Types<'_> {
    let row = |row| {
        let [schema, name, oid, used] = texts(row);
        Some(((schema, name), (oid.parse().ok()?, used == "t")))
    };
    rows.iter().filter_map(row).collect()
}

/// What a row of the answer to `FLAWS` means under these rules, if anything: table, what, detail.
fn flaw(view: &View<'_>, row: &Row) -> Option<(String, &'static str, String)> {
    let [kind, schema, table, name, columns, other_schema, other_table, more] = texts(row);
    let key_of = |schema: &str, table: &str| match view.table(&Name { schema: Some(schema.into()), name: table.into() }) {
        Placement::Sharded(key) => Some(key),
        _ => None,
    };
    let key = key_of(schema, table);
    let columns: Vec<&str> = columns.split('\u{1}').filter(|column| !column.is_empty()).collect();
    let has_key = |key: ShardKey<'_>| columns.contains(&key.column);
    let (what, detail) = match (kind, key) {
        ("f", _) => {
            let other = key_of(other_schema, other_table)?;
            let others: Vec<&str> = more.split('\u{1}').collect();
            let on_keys = |key: ShardKey<'_>| columns.iter().zip(&others).any(|(one, two)| *one == key.column && *two == other.column);
            if key.is_some_and(|key| key.group == other.group && on_keys(key)) {
                return None;
            }
            let detail = format!("\"{name}\" leads to {other_schema}.{other_table}, whose rows are on the shards of their own keys");
            ("foreign key to another shard", detail)
        }
        ("u", Some(key)) if !has_key(key) => {
            ("unique on one shard only", format!("\"{name}\" does not have the sharding key \"{}\" in it", key.column))
        }
        ("s", Some(_)) => ("sequence of each shard", format!("\"{name}\" of the primary key counts on each shard by itself")),
        ("t", _) => {
            let own = schema;
            let reached = words(more).find(|(schema, word)| {
                let same = *word == table && schema.is_none_or(|named| named == own);
                !same && reaches(view, *schema, word)
            })?;
            let detail = format!("\"{name}\" runs {other_table}(), which speaks of \"{}\" and sees this shard only", reached.1);
            ("trigger to another table", detail)
        }
        ("r", _) => {
            key_of(other_schema, other_table)?;
            ("rule to another table", format!("\"{name}\" leads to {other_schema}.{other_table} on this shard only"))
        }
        _ => return None,
    };
    Some((format!("{schema}.{table}"), what, detail))
}

/// Whether a name in a function's text is that of a sharded table.
fn reaches(view: &View<'_>, schema: Option<&str>, word: &str) -> bool {
    matches!(view.table(&Name { schema: schema.map(Into::into), name: word.into() }), Placement::Sharded(_))
}

/// The words of a text that may be names of tables, each with the one in front of it, if a dot is between them.
fn words(text: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let mut last: Option<(usize, &str)> = None;
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let spans = text.split(move |letter| !is_part(letter)).filter(|word| !word.is_empty());
    spans.map(move |word| {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        let schema = last.filter(|(end, _)| text[*end..at].trim_matches('"') == ".").map(|(_, word)| word);
        last = Some((at + word.len(), word));
        (schema, word)
    })
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
