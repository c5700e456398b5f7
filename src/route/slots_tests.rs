//! Tests of maps and rules: where the first map places a key, what a rule holds at its edges, and what is no map.

use super::*;
use crate::config::sharded::Range;

fn int(value: i64) -> Option<Key<'static>> {
    Some(Key::Int(value))
}

#[test]
fn the_first_map_is_the_remainder_of_the_hash() {
    for shards in [1, 2, 3, 5, 7, 64, SHARDS_MAX] {
        let slots = Slots::first(shards).expect("a good number");
        assert_eq!((slots.len(), slots.version(), usize::from(slots.first_shards())), (shards * 1024, 1, shards));
        assert!(!slots.is_empty());
        for key in (-500..500).map(|key| key * 7_919) {
            let hash = hash::of(Hasher::Postgres, int(key));
            assert_eq!(u64::from(slots.shard(hash)), hash % shards as u64, "{key} on {shards}");
        }
        assert_eq!(slots.shard(u64::MAX), (u64::MAX % shards as u64) as u16);
    }
}

#[test]
fn null_lives_in_slot_zero() {
    let mut map: Vec<u16> = Slots::first(3).expect("a good number").map().to_vec();
    map[0] = 2;
    let slots = Slots::new(3, 2, map.into(), 3).expect("a good map");
    for hasher in [Hasher::Postgres, Hasher::Sha1] {
        let placement = Placement::Hash(hasher, slots.clone());
        assert_eq!((placement.slot(None), placement.shard(None)), (Some(0), Some(2)));
    }
}

#[test]
fn what_is_no_map_is_refused() {
    for shards in [0, SHARDS_MAX + 1, 1 << 20] {
        assert_eq!(Slots::first(shards), Err(SlotsError::Shards { shards }));
        assert_eq!(Slots::new(shards, 1, Arc::new([]), 1), Err(SlotsError::Shards { shards }));
        assert_eq!(Slots::new(1, 1, Arc::new([]), shards), Err(SlotsError::Shards { shards }));
    }
    let error = Slots::new(2, 1, vec![0; 1024].into(), 2).expect_err("too short");
    assert_eq!(error.to_string(), "the map has 1024 slots, 2048 belong to its 2 first shards");
    let mut map = vec![0; 2048];
    map[77] = 3;
    let error = Slots::new(2, 1, map.clone().into(), 3).expect_err("no such shard");
    assert_eq!(error.to_string(), "slot 77 is on shard 3, and there are 3");
    // A shard that joined later is one of them.
    assert_eq!(Slots::new(2, 9, map.into(), 4).map(|slots| slots.map()[77]), Ok(3));
}

fn rules(list: &[(i64, u16)], ranges: &[(Option<i64>, Option<i64>, u16)], default: Option<u16>) -> Placement {
    let range =
        |&(start, end, shard): &(Option<i64>, Option<i64>, u16)| Range { start: start.map(KeyValue::Int), end: end.map(KeyValue::Int), shard };
    let list = list.iter().map(|&(value, shard)| (KeyValue::Int(value), shard)).collect();
    Placement::Rules(Arc::new(Mapping { list, ranges: ranges.iter().map(range).collect(), default }))
}

#[test]
fn a_range_holds_its_start_and_not_its_end() {
    let placement = rules(&[], &[(None, Some(0), 3), (Some(0), Some(10), 1), (Some(20), Some(21), 2), (Some(30), None, 0)], None);
    let found: Vec<Option<u16>> = [i64::MIN, -1, 0, 9, 10, 19, 20, 21, 29, 30, i64::MAX].map(|key| placement.shard(int(key))).to_vec();
    let expected = [Some(3), Some(3), Some(1), Some(1), None, None, Some(2), None, None, Some(0), Some(0)];
    assert_eq!(found, expected);
    assert_eq!(placement.slot(int(0)), None);
    assert_eq!(placement.shard(None), None, "no range holds NULL");
    assert_eq!(rules(&[], &[(None, None, 5)], None).shard(int(i64::MIN)), Some(5));
    assert_eq!(rules(&[], &[(None, None, 5)], None).shard(None), None);
}

#[test]
fn the_list_counts_first_and_the_default_last() {
    let placement = rules(&[(-5, 4), (3, 5), (100, 6)], &[(Some(0), Some(10), 1)], Some(2));
    let found: Vec<Option<u16>> = [-6, -5, 0, 3, 10, 100].map(|key| placement.shard(int(key))).to_vec();
    assert_eq!(found, [Some(2), Some(4), Some(1), Some(5), Some(2), Some(6)]);
    assert_eq!(placement.shard(None), Some(2));
    assert_eq!(rules(&[(1, 0)], &[], None).shard(int(2)), None);
    assert_eq!(rules(&[], &[], None).shard(int(2)), None);
}

#[test]
fn texts_and_uuids_order_by_their_bytes() {
    let text = |text: &str| KeyValue::Text(text.to_owned());
    let mapping = Mapping {
        list: vec![(text("b"), 3)],
        ranges: vec![
            Range { start: Some(text("B")), end: Some(text("a")), shard: 1 },
            Range { start: Some(text("a")), end: Some(text("b\u{e4}")), shard: 2 },
        ],
        default: None,
    };
    let placement = Placement::Rules(Arc::new(mapping));
    let found = ["A", "B", "Z", "a", "az", "b", "bz", "b\u{e3}", "b\u{e4}"].map(|key| placement.shard(Some(Key::Text(key.as_bytes()))));
    assert_eq!(found, [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(2), Some(2), None]);
    let (low, high) = ([0x7f; 16], [0x80; 16]);
    let mapping = Mapping { ranges: vec![Range { start: Some(KeyValue::Uuid(high)), end: None, shard: 0 }], ..Mapping::default() };
    let placement = Placement::Rules(Arc::new(mapping));
    assert_eq!([low, high].map(|key| placement.shard(Some(Key::Uuid(key)))), [None, Some(0)]);
}
