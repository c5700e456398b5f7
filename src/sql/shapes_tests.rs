//! The cache of shapes: compared in full, bounded, whatever the hash.

use super::super::plan::Any;
use super::*;

fn plan(shard: u32) -> Arc<[Plan]> {
    Arc::new([Plan { write: false, target: Target::Shard(shard), keep: true, explained: None }])
}

fn shard(found: Option<Arc<[Plan]>>) -> Option<u32> {
    found.map(|plans| match plans[0].target {
        Target::Shard(shard) => shard,
        _ => u32::MAX,
    })
}

#[test]
fn shapes_of_one_hash_are_told_apart() {
    let mut shapes = Shapes::new(1 << 20);
    shapes.put(Space(0), 7, b"a", plan(1));
    shapes.put(Space(0), 7, b"b", plan(2));
    shapes.put(Space(1), 7, b"a", plan(3));
    assert_eq!(shard(shapes.get(Space(0), 7, b"a")), Some(1));
    assert_eq!(shard(shapes.get(Space(0), 7, b"b")), Some(2));
    assert_eq!(shard(shapes.get(Space(1), 7, b"a")), Some(3));
    assert_eq!(shard(shapes.get(Space(1), 7, b"b")), None);
    assert_eq!(shard(shapes.get(Space(0), 8, b"a")), None);
}

#[test]
fn one_hash_holds_only_so_many() {
    let mut shapes = Shapes::new(1 << 20);
    for number in 0..=CHAIN_MAX as u32 {
        shapes.put(Space(0), 7, &number.to_le_bytes(), plan(number));
    }
    assert_eq!(shard(shapes.get(Space(0), 7, &0u32.to_le_bytes())), None);
    for number in 1..=CHAIN_MAX as u32 {
        assert_eq!(shard(shapes.get(Space(0), 7, &number.to_le_bytes())), Some(number));
    }
    assert_eq!(shapes.len(), CHAIN_MAX, "who went is not counted");
}

#[test]
fn bytes_are_bounded_and_the_unused_goes_first() {
    let mut shapes = Shapes::new(8 << 10);
    for number in 0..1000u32 {
        shapes.put(Space(0), u64::from(number), &[number as u8; 100], plan(number));
        assert!(shapes.bytes() <= 8 << 10);
        assert_eq!(shard(shapes.get(Space(0), 0, &[0; 100])), Some(0), "what is used stays");
    }
    assert_eq!(shard(shapes.get(Space(0), 1, &[1; 100])), None);
    assert_eq!(shard(shapes.get(Space(0), 999, &[999u32 as u8; 100])), Some(999));
    let there = (0..1000u32).filter(|number| shapes.get(Space(0), u64::from(*number), &[*number as u8; 100]).is_some()).count();
    assert_eq!((shapes.len(), shapes.is_empty()), (there, false));
    shapes.clear();
    assert!(shapes.is_empty());
    assert_eq!((shapes.bytes(), shard(shapes.get(Space(0), 0, &[0; 100]))), (0, None));
}

#[test]
fn what_is_too_large_is_not_kept() {
    let mut shapes = Shapes::new(4 << 10);
    shapes.put(Space(0), 1, &[0; 2 << 10], Arc::new([Plan { write: false, target: Target::AnyShard(Any::Either), keep: true, explained: None }]));
    assert_eq!((shapes.bytes(), shapes.get(Space(0), 1, &[0; 2 << 10]).is_none()), (0, true));
}
