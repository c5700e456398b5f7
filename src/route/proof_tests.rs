//! What a connection says of its shard, compared with what is in use.

use super::*;
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};

const PLACE: Place<'static> = Place { shard: 1, place: "shard 1 (two)" };

fn topology(shards: u16, name: &str) -> Topology {
    let table = ShardedTable {
        schema: None,
        table: Some(name.to_owned()),
        column: "id".to_owned(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let sharded = Sharded { database: "app".to_owned(), shards, tables: vec![table], schemas: Vec::new(), omnisharded: Vec::new() };
    Topology::first(&sharded).expect("a good number")
}

fn right(topology: &Topology) -> Known {
    let slots = topology.slots().len() as u64;
    Known { cluster: [1; 16], shard: 1, first_shards: 2, slots, version: 1, facts: facts_hash(topology.facts()) }
}

#[test]
fn only_what_is_right_in_everything_passes() {
    let open = topology(2, "users");
    let known = right(&open);
    let wrong = Known { shard: 0, ..known.clone() };
    assert_eq!(prove(PLACE, &open, &Said::Known(wrong)), Ok(()), "nothing is known yet to compare it with");
    let topology = open.of_cluster([1; 16]);
    assert_eq!(prove(PLACE, &topology, &Said::Known(known.clone())), Ok(()));
    let all = [
        (Known { cluster: [2; 16], ..known.clone() }, "shard 1 (two) belongs to cluster 02020202-0202-"),
        (Known { shard: 0, ..known.clone() }, "shard 1 (two) says that it is shard 0 of cluster 01010101-0101-"),
        (Known { first_shards: 3, slots: 3072, ..known.clone() }, "shard 1 (two) belongs to a cluster that began with 3 shards (3072 slots), and 2"),
        (Known { version: 2, ..known.clone() }, "shard 1 (two) has version 2 of the map of keys, and version 1 is in use here"),
        (Known { facts: 7, ..known }, "shard 1 (two) remembers other rules of what is sharded"),
    ];
    for (known, words) in all {
        let error = prove(PLACE, &topology, &Said::Known(known)).expect_err("it is wrong");
        assert!(error.to_string().starts_with(words), "{error}");
        assert_eq!(error.sqlstate(), "58000");
    }
    for (said, words) in [
        (Said::Nothing, "has no identity, and cluster 01010101-"),
        (Said::Error("3F000".into(), "schema \"dog\" does not exist".into()), "has no identity, and cluster 01010101-"),
        (Said::Error("42501".into(), "permission denied for schema dog".into()), "permission denied for schema dog"),
        (Said::Error("57014".into(), "canceling statement".into()), "failed with 57014: canceling statement"),
        (Said::Unreadable, "cannot be read"),
    ] {
        let error = prove(PLACE, &topology, &said).expect_err("it is wrong").to_string();
        assert!(error.starts_with("shard 1 (two)") && error.contains(words), "{error}");
    }
}

#[test]
fn answers_are_read() {
    let columns = |version: &'static [u8]| {
        [Some(&b"01010101-0101-0101-0101-010101010101"[..]), Some(&b"1"[..]), Some(&b"2"[..]), Some(&b"2048"[..]), Some(version), Some(&b"-5"[..])]
    };
    let known = Known { cluster: [1; 16], shard: 1, first_shards: 2, slots: 2048, version: 3, facts: -5 };
    assert_eq!(read(&columns(b"3")), Said::Known(known));
    assert_eq!(read(&columns(b"x")), Said::Unreadable);
    assert_eq!(read(&[None; COLUMNS]), Said::Nothing);
    let mut no_map = columns(b"3");
    no_map[4] = None;
    assert_eq!(read(&no_map), Said::Unreadable);
}

#[test]
fn facts_count_by_all_that_they_say() {
    let hash = |pairs: &[(&str, &str)]| facts_hash(&pairs.iter().map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())).collect());
    assert_eq!(hash(&[]), 0);
    let all = [hash(&[("a", "b")]), hash(&[("a", "c")]), hash(&[("ab", "")]), hash(&[("a", "b"), ("c", "d")]), hash(&[("\u{e4}", "b")])];
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one), "{at}");
    }
}
