//! Columns and parameters in the numbers of shard 0.

use super::*;
use crate::wire::server::row_description;

fn double(oid: u32) -> u32 {
    if oid > 16_000 { oid * 2 } else { oid }
}

#[test]
fn only_the_numbers_of_types_change() {
    let columns = |one: u32, three: u32| {
        let mut words = Vec::new();
        row_description(&mut words, &[("a", one, 4), ("b", 23, 4), ("", three, -1)]).expect("short");
        words
    };
    assert_eq!(renumbered(&columns(16_400, 16_500), double), Some(columns(32_800, 33_000)));
    assert_eq!(renumbered(&columns(25, 20), double), None);
    let parameters = |oid: u32| [&[b't', 0, 0, 0, 14, 0, 2, 0, 0, 0, 23][..], &oid.to_be_bytes()].concat();
    assert_eq!(renumbered(&parameters(16_400), double), Some(parameters(32_800)));
    assert_eq!(renumbered(&parameters(25), double), None);
}

#[test]
fn what_is_cut_short_is_left_as_it_is() {
    let mut whole = Vec::new();
    row_description(&mut whole, &[("a", 16_400, 4), ("b", 16_500, 4)]).expect("short");
    for end in HEADER..whole.len() {
        if let Some(made) = renumbered(&whole[..end], double) {
            assert_eq!(made.len(), end);
        }
    }
    assert_eq!(renumbered(&[b't', 0, 0, 0, 6, 0, 0], double), None);
}
