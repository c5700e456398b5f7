//! Views of every home, of one another, and not alike.

use super::{DEPTH_MAX, look};
use crate::config::sharded::{DataType, Hasher, Home, Sharded, ShardedSchema, ShardedTable};
use crate::route::schema::{Row, Schema, View};
use crate::route::topology::Topology;
use crate::sql::catalog::{Catalog, Fill, Placement};
use crate::sql::outline::Name;

fn row(fields: &[&str]) -> Row {
    fields.iter().map(|field| Some(field.as_bytes().to_vec())).collect()
}

fn topology() -> Topology {
    let table = ShardedTable {
        schema: None,
        table: Some("users".into()),
        column: "id".into(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let schemas = vec![ShardedSchema { name: Some("audit".into()), home: Home::Shard(1) }];
    Topology::first(&Sharded { database: "app".into(), shards: 2, tables: vec![table], schemas, omnisharded: Vec::new() }).expect("a map")
}

/// What the views are taken for, by their names. Each has a column `id`; shard 1 says what `other` says, if it says something.
fn seen(views: &[(&str, &str, &str)], other: Option<&[(&str, &str, &str)]>, asked: &[&str]) -> Vec<String> {
    let mut columns = vec![
        row(&["public", "users", "r", "id", "20", "-1", "t", "t"]),
        row(&["public", "kinds", "r", "id", "20", "-1", "t", "n"]),
        row(&["audit", "log", "r", "id", "20", "-1", "t", "n"]),
        row(&["public", "kept", "m", "id", "20", "-1", "t", "n"]),
    ];
    columns.extend(views.iter().map(|(schema, name, _)| row(&[schema, name, "v", "id", "20", "-1", "t", "n"])));
    let topology = topology();
    let schema = Schema::read(&columns, &[], &[row(&["public", "180000", "UTF8"])]).expect("an answer");
    let mut schema = schema.fitted(&topology);
    let said = |views: &[(&str, &str, &str)]| views.iter().map(|(schema, name, text)| row(&[schema, name, text, "f"])).collect::<Vec<Row>>();
    look(&mut schema, &topology, &[said(views), said(other.unwrap_or(views))]);
    let view = View { schema: &schema, topology: &topology, search_path: None, user: "app", listed: &[] };
    let told = |name: &&str| {
        let name = Name { schema: None, name: (*name).into() };
        let moving = view.columns(&name).is_some_and(|columns| columns[0].default == Fill::Moving);
        match view.table(&name) {
            Placement::Sharded(key) => format!("by {}{}", key.column, if moving { ", which moves" } else { "" }),
            Placement::View(reason) => reason.to_owned(),
            other => format!("{other:?}{}", if view.barrier(&name, false).is_some() { ", closed" } else { "" }),
        }
    };
    asked.iter().map(told).collect()
}

const PLAIN: &str = "SELECT id FROM public.users";

#[test]
fn a_view_is_what_its_tables_are() {
    let views = [
        ("public", "a", " SELECT id FROM public.b;"),
        ("public", "b", PLAIN),
        ("public", "c", "SELECT id FROM public.kinds"),
        ("audit", "d", "SELECT log.id FROM audit.log"),
        ("audit", "e", "SELECT id FROM public.kinds"),
        ("audit", "f", PLAIN),
        ("public", "g", "SELECT id FROM public.kept"),
    ];
    let found = seen(&views, None, &["a", "b", "c", "d", "e", "kept"]);
    let kept = "it is materialized, and on each shard it holds what that shard had when it was refreshed there";
    assert_eq!(found, ["by id, which moves", "by id, which moves", "Omni", "One(1)", "One(1), closed", kept]);
    let found = seen(&views, None, &["f", "g"]);
    assert_eq!(found[0], "its schema lives on one shard, and what it reads is on others too");
    assert!(found[1].contains("\"kept\"") && found[1].contains(kept), "{found:?}");
}

#[test]
fn what_is_not_alike_on_all_shards_is_refused() {
    let other = [("public", "v", "SELECT id FROM public.users WHERE id > 1")];
    let alike = "it is not defined alike on all shards";
    assert_eq!(seen(&[("public", "v", PLAIN)], Some(&other), &["v"]), [alike]);
    assert_eq!(seen(&[("public", "v", PLAIN)], Some(&[]), &["v"]), [alike]);
    // What lives on one shard is as that one says; the other need not have it.
    assert_eq!(seen(&[("audit", "v", "SELECT 2 AS id")], Some(&[("audit", "v", "SELECT 1 AS id")]), &["v"]), ["One(1), closed"]);
}

#[test]
fn views_of_views_end_somewhere() {
    let names: Vec<String> = (0..DEPTH_MAX + 2).map(|number| format!("v{number}")).collect();
    let text = |number: usize| if number == 0 { PLAIN.to_owned() } else { format!("SELECT id FROM public.v{}", number - 1) };
    let texts: Vec<String> = (0..names.len()).map(text).collect();
    let views: Vec<(&str, &str, &str)> = names.iter().zip(&texts).map(|(name, text)| ("public", name.as_str(), text.as_str())).collect();
    let found = seen(&views, None, &[&names[DEPTH_MAX - 1], &names[DEPTH_MAX], &names[DEPTH_MAX + 1]]);
    assert_eq!(found, ["by id, which moves", "it is a view of views of too many more", "it is a view of views of too many more"]);
    let round = [("public", "a", "SELECT id FROM public.b"), ("public", "b", "SELECT id FROM public.a")];
    assert_eq!(seen(&round, None, &["a"]), ["it is a view of views of too many more"]);
}

#[test]
fn nothing_is_written_through_a_view_of_one_shard_to_a_table_of_all() {
    let views =
        [("audit", "d", "SELECT log.id FROM audit.log"), ("audit", "e", "SELECT id FROM public.kinds"), ("audit", "f", "SELECT e.id FROM audit.e")];
    let all = [&views[..], &[("public", "g", "SELECT kinds.id FROM public.kinds WHERE kinds.id IN (SELECT log.id FROM audit.log)")]].concat();
    assert_eq!(seen(&all, None, &["d", "e", "f", "g"]), ["One(1)", "One(1), closed", "One(1), closed", "One(1), closed"]);
}
