//! Tests of which rule a table has, and of what is remembered of the rules.

use super::*;
use crate::config::sharded::{DataType, Hasher, KeyValue, Omnisharded, Range, ShardedSchema};
use crate::route::key::Key;

fn table(schema: &str, table: &str, column: &str) -> ShardedTable {
    let given = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    ShardedTable {
        schema: given(schema),
        table: given(table),
        column: column.to_owned(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    }
}

fn sharded(tables: Vec<ShardedTable>) -> Sharded {
    Sharded { database: "db".to_owned(), shards: 3, tables, schemas: Vec::new(), omnisharded: Vec::new() }
}

fn topology(tables: Vec<ShardedTable>) -> Topology {
    Topology::first(&sharded(tables)).expect("three shards")
}

#[test]
fn the_nearest_rule_counts() {
    let topology = topology(vec![table("", "", "tenant"), table("", "orders", "customer"), table("old", "orders", "id"), table("log", "", "day")]);
    let columns = |column: &str| ["tenant", "customer", "id"].contains(&column);
    assert_eq!(topology.key("public", "orders", columns), Ok(Some(1)));
    assert_eq!(topology.key("old", "orders", columns), Ok(Some(2)));
    assert_eq!(topology.key("public", "lines", columns), Ok(Some(0)));
    assert_eq!(topology.key("log", "lines", columns), Ok(Some(0)), "no column of the nearer rule");
    assert_eq!(topology.key("log", "lines", |_| true), Ok(Some(3)));
    assert_eq!(topology.key("log", "orders", |_| true), Ok(Some(1)), "a table is nearer than a schema");
    assert_eq!(topology.key("public", "lines", |_| false), Ok(None));
    assert_eq!(topology.rules()[2].column, "id");
    assert!(!topology.has_no_rules());
}

#[test]
fn a_table_with_two_keys_or_without_its_key_is_an_error() {
    let topology = topology(vec![table("", "", "a"), table("", "", "b"), table("", "t", "k")]);
    let error = topology.key("s", "u", |_| true).expect_err("two keys");
    assert!(error.to_string().starts_with("table \"s\".\"u\" has the columns \"a\" and \"b\""), "{error}");
    assert_eq!(topology.key("s", "u", |column| column == "b"), Ok(Some(1)));
    assert_eq!(topology.key("s", "t", |_| true), Ok(Some(2)), "its own entry decides");
    let error = topology.key("s", "t", |column| column == "a").expect_err("no key");
    assert_eq!(error.to_string(), "table \"s\".\"t\" has no column \"k\", which [[sharded_tables]] names as its sharding key");
}

#[test]
fn keys_go_by_the_map_or_by_their_rules() {
    let mapping = Mapping { list: vec![(KeyValue::Int(7), 2)], ..Mapping::default() };
    let tables = vec![table("", "a", "k"), ShardedTable { mapping: Some(mapping), ..table("", "b", "k") }];
    let topology = topology(tables.clone());
    let shard = |topology: &Topology, rule: usize, key| topology.rules()[rule].placement.shard(Some(Key::Int(key)));
    let hashed = hash::of(Hasher::Postgres, Some(Key::Int(7)));
    assert_eq!(shard(&topology, 0, 7), Some((hashed % 3) as u16));
    assert_eq!((shard(&topology, 1, 7), shard(&topology, 1, 8)), (Some(2), None));
    assert_eq!(topology.rules()[0].key_type, KeyType::Int8);

    let mut map = topology.slots().map().to_vec();
    map[topology.slots().slot(hashed)] = 1;
    let moved = Slots::new(3, 2, map.into(), 3).expect("a good map");
    let moved = Topology::new(&sharded(tables), moved).expect("the same shards");
    assert_eq!((shard(&moved, 0, 7), moved.slots().version()), (Some(1), 2));
    assert!(Topology::new(&sharded(Vec::new()), Slots::first(4).expect("a good number")).is_err(), "a map that leads to a fourth shard");
}

#[test]
fn tables_of_one_group_keep_equal_keys_together() {
    let mapping = |default| Some(Mapping { default: Some(default), ..Mapping::default() });
    let sha1 = |mapping| ShardedTable { hasher: Hasher::Sha1, mapping, ..table("", "t", "k") };
    let mapped = |default| ShardedTable { mapping: mapping(default), ..table("", "t", "k") };
    let uuid = ShardedTable { data_type: DataType::Uuid, ..table("", "t", "k") };
    let all = vec![table("", "", "a"), uuid, table("s", "", "b"), sha1(None), mapped(1), mapped(2), mapped(1), sha1(mapping(1)), sha1(None)];
    // A hasher means nothing beside a mapping.
    assert_eq!(topology(all).rules().iter().map(|rule| rule.group).collect::<Vec<_>>(), [0, 1, 0, 3, 4, 5, 4, 4, 3]);
}

#[test]
fn schemas_and_whole_tables_are_found() {
    let schema = |name: Option<&str>, home| ShardedSchema { name: name.map(str::to_owned), home };
    let mut sharded = sharded(Vec::new());
    assert!(Topology::first(&sharded).expect("three shards").has_no_rules());
    sharded.schemas = vec![schema(Some("a"), Home::Shard(2)), schema(Some("b"), Home::All)];
    let whole = |table: &str, sticky| Omnisharded { table: table.to_owned(), sticky };
    sharded.omnisharded = vec![whole("x", false), whole("y", true), whole("y", false)];
    let topology = Topology::first(&sharded).expect("three shards");
    assert_eq!(["a", "b", "c"].map(|name| topology.home(name)), [Some(Home::Shard(2)), Some(Home::All), None]);
    assert_eq!(["x", "y", "z"].map(|name| topology.is_sticky(name)), [false, true, false]);
    assert!(!topology.has_no_rules());
    sharded.schemas.push(schema(None, Home::Shard(1)));
    let topology = Topology::first(&sharded).expect("three shards");
    assert_eq!(["a", "c"].map(|name| topology.home(name)), [Some(Home::Shard(2)), Some(Home::Shard(1))]);
    assert_eq!((topology.database(), topology.shards()), ("db", 3));
}

#[test]
fn what_rows_depend_on_is_remembered() {
    let text = |text: &str| KeyValue::Text(text.to_owned());
    let mapping = Mapping {
        list: vec![(text("a\"b"), 1)],
        ranges: vec![Range { start: None, end: Some(text("m")), shard: 0 }, Range { start: Some(text("m")), end: None, shard: 2 }],
        default: Some(1),
    };
    let mapped = ShardedTable { mapping: Some(mapping), data_type: DataType::Varchar, ..table("s", "T", "k") };
    let mut sharded = sharded(vec![table("", "", "k"), mapped, ShardedTable { hasher: Hasher::Sha1, ..table("", "u", "k") }]);
    sharded.schemas = vec![ShardedSchema { name: None, home: Home::All }, ShardedSchema { name: Some("x".to_owned()), home: Home::Shard(2) }];
    let facts = Topology::first(&sharded).expect("three shards").facts().clone();
    let expected = [
        (r#""s"."T"."k""#, r#"varchar "a\"b": 1, * to "m": 0, "m" to *: 2, default: 1"#),
        (r#"*."u"."k""#, "bigint hash sha1"),
        (r#"*.*."k""#, "bigint hash postgres"),
        (r#"schema "x""#, "shard 2"),
        ("schema *", "all"),
    ];
    assert_eq!(facts, expected.into_iter().map(|(name, fact)| (name.to_owned(), fact.to_owned())).collect());
    // A long one differs where only its end does.
    let long = |last: i64| {
        let list = (0..2_000).chain([last]).map(|value| (KeyValue::Int(value), 0)).collect();
        let mapped = ShardedTable { mapping: Some(Mapping { list, ..Mapping::default() }), ..table("", "t", "k") };
        let sharded = Sharded { tables: vec![mapped], ..sharded.clone() };
        Topology::first(&sharded).expect("three shards").facts()["*.\"t\".\"k\""].clone()
    };
    assert!(long(5_000).len() <= FACT_MAX);
    assert_ne!(long(5_000), long(5_001));
}
