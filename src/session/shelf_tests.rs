//! What a server holds: limits, ages, what a checkout protects.

use super::*;

fn shelf(limit: usize, ttl: u64, jitter: u64) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.meets(Keep { limit, ttl, jitter, full: false }, 0);
    shelf
}

fn prepare(shelf: &mut Shelf, id: u64) -> Option<u64> {
    let victim = shelf.victim();
    shelf.sent(id, 0);
    shelf.is_there(id);
    victim
}

#[test]
fn a_statement_can_be_used_in_its_own_batch_and_when_it_is_sure() {
    let mut shelf = shelf(10, 0, 0);
    assert_eq!(shelf.has(1, 5), Has::No);
    shelf.sent(1, 5);
    assert_eq!((shelf.has(1, 5), shelf.has(1, 6)), (Has::Yes(None), Has::Unsure));
    shelf.is_there(1);
    shelf.describe(1, 77);
    assert_eq!(shelf.has(1, 6), Has::Yes(Some(77)));
    shelf.is_gone(1);
    assert_eq!(shelf.has(1, 6), Has::No);
    shelf.is_back(1, 6);
    assert_eq!(shelf.has(1, 9), Has::Yes(None));
    shelf.clear();
    assert_eq!((shelf.has(1, 9), shelf.len()), (Has::No, 0));
}

#[test]
fn the_oldest_goes_but_none_that_the_checkout_uses() {
    let mut shelf = shelf(2, 0, 0);
    assert_eq!([1, 2, 3].map(|id| prepare(&mut shelf, id)), [None, None, None], "all of them are in use");
    assert_eq!((shelf.len(), shelf.excess()), (3, None));
    shelf.meets(shelf.keep, 1);
    assert_eq!(shelf.has(1, 0), Has::Yes(None));
    assert_eq!((shelf.excess(), shelf.excess()), (Some(2), None));
    assert_eq!((prepare(&mut shelf, 4), prepare(&mut shelf, 5)), (Some(3), None), "1 and 4 are in use");
    shelf.meets(shelf.keep, 2);
    assert_eq!((shelf.excess(), prepare(&mut shelf, 6)), (Some(1), Some(4)));
    shelf.meets(Keep { limit: 1, ..shelf.keep }, 3);
    shelf.sent(7, 9);
    assert_eq!((shelf.excess(), shelf.excess(), shelf.excess()), (Some(5), Some(6), None));
}

#[test]
fn the_old_are_prepared_again_once_and_not_all_at_the_same_time() {
    let mut shelf = shelf(1000, 1000, 100);
    (0..100).for_each(|id| _ = prepare(&mut shelf, id));
    let old = |shelf: &mut Shelf, now| {
        shelf.meets(shelf.keep, now);
        (0..100).filter(|&id| shelf.has(id, 0) == Has::Old).count()
    };
    assert_eq!(old(&mut shelf, 899), 0);
    assert!((10..90).contains(&old(&mut shelf, 1000)));
    assert_eq!(old(&mut shelf, 1101), 100);
    (0..100).for_each(|id| _ = prepare(&mut shelf, id));
    assert_eq!(old(&mut shelf, 1102), 0);
    shelf.all_old();
    assert_eq!(old(&mut shelf, 1103), 100);
    // In the middle of a checkout what it uses stays.
    shelf.sent(7, 0);
    shelf.is_there(7);
    shelf.now = 5000;
    assert_eq!(shelf.has(7, 0), Has::Yes(None));
}
