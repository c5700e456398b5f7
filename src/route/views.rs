//! The views of a database: their definitions as the shards tell them, and what the planner may take each for, one after the other, so that a view
//! of views is judged when they are.
//!
//! Invariant: a view counts as something only if all shards that have it define it alike; what is too deep, too much or not alike is refused.

use std::collections::BTreeMap;

use super::schema::{Row, Schema, Sort, View};
use super::topology::Topology;
use crate::config::sharded::Home;
use crate::sql::catalog::Fill;
use crate::sql::view::{Definition, Seen};

/// One row per view: schema, name, definition, whether triggers or rules of its own decide what becomes of what is written. With an empty
/// search_path, which lasts for the question, a definition names everything in full.
pub const VIEWS: &str = "SELECT n.nspname, c.relname, pg_catalog.pg_get_viewdef(c.oid), \
     EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) \
     OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1') \
     FROM (SELECT pg_catalog.set_config('search_path', '', true) AS said OFFSET 0) path, \
     pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE path.said IS NOT NULL AND c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'dog') \
     AND n.nspname NOT LIKE 'pg\\_temp\\_%'";

/// Views that are looked into; the others are refused.
pub const VIEWS_MAX: usize = 10_000;
/// Views of views of views.
pub const DEPTH_MAX: usize = 32;

/// Columns of the answer to `VIEWS`.
const FIELDS: usize = 4;

/// Schema and name.
type Key = (Box<str>, Box<str>);

/// A view that is still to be judged.
struct Waiting {
    definition: Definition,
    ruled: bool,
}

/// Looks into the views of a schema; `answers` are those of all shards to `VIEWS`, in their order.
pub fn look(schema: &mut Schema, topology: &Topology, answers: &[Vec<Row>]) {
    let mut waiting: BTreeMap<Key, Waiting> = BTreeMap::new();
    for (key, (definition, ruled)) in alike(schema, topology, answers) {
        match definition.and_then(|text| Definition::read(&text)) {
            Ok(definition) => drop(waiting.insert(key, Waiting { definition, ruled })),
            Err(reason) => settle(schema, &key, Seen::hidden(reason)),
        }
    }
    for _ in 0..DEPTH_MAX {
        let ready: Vec<Key> = waiting.iter().filter(|(_, view)| is_ready(view, &waiting)).map(|(key, _)| key.clone()).collect();
        let mut judged = Vec::with_capacity(ready.len());
        for key in ready {
            if let Some(Waiting { definition, ruled }) = waiting.remove(&key) {
                let columns = schema.tables.get(&key).map_or(0, |table| table.columns.len());
                let view = View { schema, topology, search_path: Some(""), user: "", listed: &[] };
                let seen = definition.judge(columns, ruled, &view);
                let seen = match topology.home(&key.0) {
                    Some(Home::Shard(shard)) => seen.living_on(shard.into()),
                    Some(Home::All) | None => seen,
                };
                judged.push((key, seen));
            }
        }
        if judged.is_empty() {
            break;
        }
        judged.into_iter().for_each(|(key, seen)| settle(schema, &key, seen));
    }
    for key in waiting.into_keys() {
        settle(schema, &key, Seen::hidden("it is a view of views of too many more"));
    }
}

/// Whether no view that it names is still waiting.
fn is_ready(view: &Waiting, waiting: &BTreeMap<Key, Waiting>) -> bool {
    let mut named = view.definition.names().filter_map(|name| Some((name.schema.clone()?, name.name.clone())));
    !named.any(|key| waiting.contains_key(&key))
}

/// The definitions that all shards have alike which have to; Err for the others.
fn alike(schema: &Schema, topology: &Topology, answers: &[Vec<Row>]) -> BTreeMap<Key, (Result<String, String>, bool)> {
    let told: Vec<BTreeMap<Key, (&str, bool)>> = answers.iter().map(|rows| rows.iter().filter_map(read).collect()).collect();
    let views = schema.tables.iter().filter(|(_, table)| table.sort == Sort::View);
    let definition = |(number, key): (usize, &Key)| {
        let home = topology.shard_of(&key.0);
        let first = told.get(usize::from(home.unwrap_or(0))).and_then(|told| told.get(key));
        let same = home.is_some() || told.iter().all(|told| told.get(key) == first);
        let text = match first {
            _ if number >= VIEWS_MAX => Err(format!("the database has more than {VIEWS_MAX} views")),
            Some((text, _)) if same => Ok((*text).to_owned()),
            _ => Err("it is not defined alike on all shards".to_owned()),
        };
        (key.clone(), (text, first.is_none_or(|(_, ruled)| *ruled)))
    };
    views.map(|(key, _)| key).enumerate().map(definition).collect()
}

fn read(row: &Row) -> Option<(Key, (&str, bool))> {
    let [schema, name, text, ruled] = <&[_; FIELDS]>::try_from(row.as_slice()).ok()?;
    let text_of = |field: &'_ Option<Vec<u8>>| std::str::from_utf8(field.as_ref()?).ok().map(str::to_owned);
    let definition = std::str::from_utf8(text.as_ref()?).ok()?;
    Some(((text_of(schema)?.into(), text_of(name)?.into()), (definition, ruled.as_deref() == Some(b"t"))))
}

/// What a view is, is known; and what its columns get that are its table's, unless it has a default of its own for them.
fn settle(schema: &mut Schema, key: &Key, seen: Seen) {
    let Some(table) = schema.tables.get_mut(key) else { return };
    for (column, fill) in table.columns.iter_mut().zip(&seen.fills) {
        if column.default == Fill::Null {
            column.default = *fill;
        }
    }
    table.seen = Some(Box::new(seen));
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
