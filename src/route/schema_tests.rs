//! Answers about a schema, and what is told of them.

use super::{Schema, View, path};
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};
use crate::route::topology::Topology;
use crate::sql::catalog::{Catalog, Placement};
use crate::sql::outline::{Family, Name};

fn row(fields: &[Option<&str>]) -> super::Row {
    fields.iter().map(|field| field.map(|field| field.as_bytes().to_vec())).collect()
}

#[test]
fn answers_that_make_no_sense_are_not_guessed_at() {
    let settings = [row(&[Some("public"), Some("180004"), Some("UTF8")])];
    let good = row(&[Some("public"), Some("t"), Some("r"), Some("id"), Some("20"), Some("-1"), Some("t"), Some("n")]);
    assert_eq!(Schema::read(std::slice::from_ref(&good), &[], &settings).map(|schema| schema.major).ok(), Some(18));
    for at in [0, 1, 2, 4, 5, 7] {
        let mut bad = good.clone();
        bad[at] = None;
        assert!(Schema::read(&[bad], &[], &settings).is_err(), "{at}");
    }
    assert!(Schema::read(&[good[..7].to_vec()], &[], &settings).is_err());
    assert!(Schema::read(&[], &[], &[]).is_err());
    assert!(Schema::read(&[], &[row(&[Some("public"), Some("f"), Some("t")])], &settings).is_err());
}

#[test]
fn a_path_is_read_as_postgresql_reads_it_or_not_at_all() {
    assert_eq!(path("\"$user\", public"), Some(vec!["$user", "public"]));
    assert_eq!(path("a,\"B\""), Some(vec!["a", "B"]));
    for odd in ["Public", "\"a\"\"b\"", "\"a"] {
        assert_eq!(path(odd), None, "{odd}");
    }
}

/// By the type of a key's column and its collation: what its table is, whether a key may come from there by `=`, and what the operator is told.
fn judged(data_type: DataType, oid: &str, deterministic: &str) -> (bool, Option<Family>, String) {
    let table = ShardedTable {
        schema: None,
        table: Some("t".into()),
        column: "k".into(),
        data_type,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let sharded = Sharded { database: "app".into(), shards: 2, tables: vec![table], schemas: Vec::new(), omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    let columns = [row(&["public", "t", "r", "k", oid, "-1", deterministic, "n"].map(Some))];
    let schema = Schema::read(&columns, &[], &[row(&[Some("public"), Some("180000"), Some("UTF8")])]).expect("an answer").fitted(&topology);
    let view = View { schema: &schema, topology: &topology, search_path: None, user: "app", listed: &[] };
    let name = Name { schema: None, name: "t".into() };
    let family = view.columns(&name).and_then(|columns| columns[0].family);
    (matches!(view.table(&name), Placement::Sharded(_)), family, schema.complaints(&topology).join("; "))
}

#[test]
fn only_what_is_equal_when_its_bytes_are_is_a_key() {
    assert_eq!(judged(DataType::Varchar, "25", "t"), (true, Some(Family::Text), String::new()));
    assert_eq!(judged(DataType::Varchar, "1043", "t"), (true, Some(Family::Text), String::new()));
    assert_eq!(judged(DataType::Bigint, "21", "t"), (true, Some(Family::Integer), String::new()));
    assert_eq!(judged(DataType::Uuid, "2950", "t"), (true, Some(Family::Uuid), String::new()));
    for oid in ["25", "1043"] {
        let (sharded, family, complaint) = judged(DataType::Varchar, oid, "f");
        assert_eq!((sharded, family), (false, None), "{oid}");
        assert!(complaint.contains("under which different texts are equal"), "{complaint}");
    }
    // character(n), name, numeric, and what has no number of its own: citext, a domain.
    for (data_type, oid) in [(DataType::Varchar, "1042"), (DataType::Varchar, "19"), (DataType::Bigint, "1700"), (DataType::Varchar, "16999")] {
        let (sharded, family, complaint) = judged(data_type, oid, "t");
        assert_eq!((sharded, family), (false, None), "{oid}");
        assert!(complaint.contains("is not of the type that [[sharded_tables]] says"), "{complaint}");
    }
}
