//! Blocks come back, stay within their bound, and the steady state allocates nothing.

use super::*;

#[test]
fn a_block_fits_and_is_empty() {
    let mut blocks = Blocks::default();
    for len in [0, 1, 256, 257, 1024, 4095, 4096, 4097, 16 << 10, 65_535, 64 << 10, 64 << 10 | 1, 1 << 20] {
        let mut block = blocks.take(len);
        assert!(block.is_empty() && block.capacity() >= len, "{len}");
        block.resize(len, 7);
        blocks.give(block);
        let again = blocks.take(len);
        assert!(again.is_empty() && again.capacity() >= len, "{len}");
        blocks.give(again);
    }
}

#[test]
fn blocks_in_use_are_counted() {
    let mut blocks = Blocks::new(8 << 10);
    let many: Vec<_> = [100, 4096, 1 << 20].into_iter().map(|len| blocks.take(len)).collect();
    assert_eq!(blocks.in_use(), 256 + 4096 + (1 << 20));
    many.into_iter().for_each(|block| blocks.give(block));
    blocks.give(Vec::with_capacity(512));
    assert_eq!(blocks.in_use(), 0, "one that comes from elsewhere counts for nothing");
}

#[test]
fn the_steady_state_allocates_nothing() {
    let mut blocks = Blocks::default();
    let mut held = Vec::new();
    let mut round = |blocks: &mut Blocks| {
        held.extend(CLASSES.iter().flat_map(|&size| [size, size - 1]).map(|len| blocks.take(len)));
        held.drain(..).for_each(|block| blocks.give(block));
    };
    round(&mut blocks);
    let warm = blocks.counts();
    assert_eq!((warm.taken, warm.allocated), (10, 10));
    (0..1000).for_each(|_| round(&mut blocks));
    let counts = blocks.counts();
    assert_eq!(counts, Counts { taken: 10_010, allocated: 10, given: 10_010, freed: 0 });
}

#[test]
fn shelves_keep_no_more_than_their_bound() {
    let mut blocks = Blocks::new(10 << 10);
    let many: Vec<_> = (0..20).map(|_| blocks.take(4096)).collect();
    many.into_iter().for_each(|block| blocks.give(block));
    assert_eq!((blocks.kept(), blocks.counts().freed), (8 << 10, 18));
    let large = blocks.take(64 << 10);
    blocks.give(large);
    assert_eq!((blocks.kept(), blocks.counts().freed), (8 << 10, 19));
    let mut none = Blocks::new(0);
    let block = none.take(1);
    none.give(block);
    assert_eq!(none.kept(), 0);
}

#[test]
fn a_block_that_grew_or_shrank_lies_where_it_fits() {
    let mut blocks = Blocks::default();
    blocks.give(Vec::with_capacity(5000)); // serves as 4 KiB
    assert_eq!(blocks.take(4096).capacity(), 5000);
    assert_eq!(blocks.kept(), 0);
    blocks.give(Vec::with_capacity(255)); // too small for any
    blocks.give(Vec::with_capacity(100_000)); // too large to keep
    assert_eq!((blocks.kept(), blocks.counts().freed), (0, 2));
}
