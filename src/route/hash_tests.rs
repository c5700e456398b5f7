//! Tests of the hashes against values that PostgreSQL and sha1sum gave; the many keys are compared in `tests/clients/sharding_hash.rs`.

use super::*;

fn text(text: &str) -> Option<Key<'_>> {
    Some(Key::Text(text.as_bytes()))
}

/// What `hashint8extended(k, 8816678312871386365)` and `hashtextextended` gave on PostgreSQL 15.
#[test]
fn hashes_are_those_of_postgresql() {
    for (value, expected) in INTEGERS {
        assert_eq!(int(*value, PARTITION_SEED) as i64, *expected, "{value}");
    }
    for (value, expected) in TEXTS {
        assert_eq!(bytes_extended(value.as_bytes(), PARTITION_SEED) as i64, *expected, "{value}");
    }
    assert_eq!(bytes_extended(b"pg_dog", 0) as i64, UNSEEDED);
}

#[test]
fn what_is_null_hashes_to_zero() {
    assert_eq!([Hasher::Postgres, Hasher::Sha1].map(|hasher| of(hasher, None)), [0, 0]);
    assert_ne!(of(Hasher::Postgres, text("")), 0);
}

#[test]
fn numbers_are_printed_as_postgresql_prints_them() {
    for value in [0, 1, -1, 9, 10, -10, 1_234_567_890, i64::MAX, i64::MIN] {
        assert_eq!(decimal(value, &mut [0; DECIMAL_MAX]), value.to_string().as_bytes());
    }
}

/// `printf %s '...' | sha1sum`, last eight digits.
#[test]
fn sha1_is_taken_of_the_text() {
    let sha1 = |key| of(Hasher::Sha1, key);
    assert_eq!(sha1(text("abc")), 0x9cd0_d89d);
    assert_eq!(sha1(text("")), 0xafd8_0709);
    assert_eq!(sha1(Some(Key::Int(-42))), SHA1_OF_MINUS_42);
    assert_eq!(sha1(Some(Key::Uuid(*b"0123456789abcdef"))), SHA1_OF_DIGITS);
    assert_eq!(sha1(text("0123456789abcdef")), SHA1_OF_DIGITS);
}

const INTEGERS: &[(i64, i64)] = &[
    (0, -4403592609991167795),
    (1, 5968994663651403477),
    (-1, -5017072347659237694),
    (42, 7363975540656877951),
    (31_337, -3972037680401572397),
    (2_147_483_648, 4938542303000433043),
    (-2_147_483_649, -6050265599104649060),
    // The halves fold to the same word.
    (i64::MAX, 4938542303000433043),
    (i64::MIN, -6050265599104649060),
];

const TEXTS: &[(&str, i64)] = &[
    ("", -5700645584453517373),
    ("a", -6705225459120232837),
    ("abcdefgh", -7754745184861941070),
    ("abcdefghi", -7860738947571725408),
    ("abcdefghijk", -2046435308545367432),
    ("abcdefghijkl", -7876791541613377658),
    ("abcdefghijklm", -6785754114725280077),
    ("gr\u{fc}\u{df}e aus K\u{f6}ln, \u{65e5}\u{672c}\u{8a9e} und mehr", 603925300352919567),
];

/// `hashtextextended('pg_dog', 0)`.
const UNSEEDED: i64 = 4421728281293772502;

const SHA1_OF_MINUS_42: u64 = 0xabd7_364e;
const SHA1_OF_DIGITS: u64 = 0x6dff_8e29;
