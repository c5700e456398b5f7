//! Tests of the input rules of each type: what is read as what, and with which SQLSTATE the rest is refused.

use super::*;

const BASED: Format = Format::Text(Server::Based);
const DECIMAL: Format = Format::Text(Server::Decimal);

fn read(key_type: KeyType, format: Format, text: &str) -> Result<Option<Key<'_>>, &'static str> {
    parse(key_type, format, Some(text.as_bytes())).map_err(|error| error.sqlstate())
}

fn int8(format: Format, text: &str) -> Result<i64, &'static str> {
    match read(KeyType::Int8, format, text)? {
        Some(Key::Int(value)) => Ok(value),
        other => panic!("{other:?} is no integer"),
    }
}

#[test]
fn null_is_no_key_and_no_error() {
    for key_type in [KeyType::Int2, KeyType::Int4, KeyType::Int8, KeyType::Uuid, KeyType::Text, KeyType::Bpchar] {
        for format in [BASED, DECIMAL, Format::Binary] {
            assert_eq!(parse(key_type, format, None), Ok(None));
        }
    }
}

#[test]
fn decimal_integers_are_read_by_every_version() {
    for format in [BASED, DECIMAL] {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            (" \t\n\u{b}\u{c}\r42 \r\n ", 42),
            ("00000000000000000000000000000012", 12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int8(format, text), Ok(value), "{text}");
        }
        for wrong in
            ["", " ", "-", "+", "--1", "+-1", "- 1", "1 1", "1.0", "1e3", "a", "1a", "\u{a0}1", "_1", "1_", "1__0", "0x", "0x_", "0b2", "0o8"]
        {
            assert_eq!(int8(format, wrong), Err("22P02"), "{wrong}");
        }
        for large in ["9223372036854775808", "-9223372036854775809", "99999999999999999999", "99999999999999999999x", "18446744073709551616"] {
            assert_eq!(int8(format, large), Err("22003"), "{large}");
        }
    }
}

#[test]
fn other_bases_and_underscores_came_with_16() {
    for (text, value) in [
        ("0x1F", 31),
        ("0X_ff", 255),
        ("-0o17", -15),
        ("0B1_0", 2),
        ("1_000", 1000),
        ("0x7FFFFFFFFFFFFFFF", i64::MAX),
        ("-0x8000000000000000", i64::MIN),
        ("-0b1000000000000000000000000000000000000000000000000000000000000000", i64::MIN),
    ] {
        assert_eq!(int8(BASED, text), Ok(value), "{text}");
        assert_eq!(int8(DECIMAL, text), Err("22P02"), "{text}");
    }
    assert_eq!(int8(BASED, "0x8000000000000000"), Err("22003"));
    assert_eq!(int8(BASED, "0o7777777777777777777777777777"), Err("22003"));
    // Which fault is named when there are two.
    assert_eq!((int8(BASED, "9223372036854775809x"), int8(DECIMAL, "9223372036854775809x")), (Err("22P02"), Err("22003")));
    assert_eq!((Server::of(15), Server::of(16)), (Server::Decimal, Server::Based));
}

#[test]
fn narrow_integers_have_their_own_bounds() {
    let int = |value| Ok(Some(Key::Int(value)));
    for format in [BASED, DECIMAL] {
        assert_eq!(read(KeyType::Int2, format, "-32768"), int(-32_768));
        assert_eq!(read(KeyType::Int2, format, "32767"), int(32_767));
        assert_eq!(read(KeyType::Int2, format, "32768"), Err("22003"));
        assert_eq!(read(KeyType::Int4, format, "-2147483648"), int(-2_147_483_648));
        assert_eq!(read(KeyType::Int4, format, "-2147483649"), Err("22003"));
        assert_eq!(read(KeyType::Int4, format, "2147483648"), Err("22003"));
    }
}

#[test]
fn binary_values_have_the_length_of_their_type() {
    let read = |key_type, bytes: &'static [u8]| parse(key_type, Format::Binary, Some(bytes)).map_err(|error| error.sqlstate());
    assert_eq!(read(KeyType::Int8, &[0xff; 8]), Ok(Some(Key::Int(-1))));
    assert_eq!(read(KeyType::Int8, &[0x80, 0, 0, 1]), Ok(Some(Key::Int(-2_147_483_647))));
    assert_eq!(read(KeyType::Int8, &[0x7f, 0xff]), Ok(Some(Key::Int(32_767))));
    assert_eq!(read(KeyType::Int2, &[0, 0, 0, 0, 0, 1, 0, 0]), Ok(Some(Key::Int(65_536))));
    assert_eq!([&[][..], &[0; 3], &[0; 7]].map(|bytes| read(KeyType::Int8, bytes)), [Err("08P01"); 3]);
    assert_eq!(read(KeyType::Int8, &[0; 9]), Err("22P03"));
    assert_eq!(read(KeyType::Uuid, &[7; 16]), Ok(Some(Key::Uuid([7; 16]))));
    assert_eq!((read(KeyType::Uuid, &[7; 15]), read(KeyType::Uuid, &[7; 17])), (Err("08P01"), Err("22P03")));
    assert_eq!(read(KeyType::Text, b"42 "), Ok(Some(Key::Text(b"42 "))));
}

#[test]
fn blanks_count_in_texts_and_not_in_characters() {
    let text = |text: &'static str| Ok(Some(Key::Text(text.as_bytes())));
    assert_eq!(read(KeyType::Text, BASED, " a "), text(" a "));
    assert_eq!(read(KeyType::Bpchar, BASED, " a  "), text(" a"));
    assert_eq!(read(KeyType::Bpchar, BASED, "  "), text(""));
    assert_eq!(read(KeyType::Bpchar, BASED, "a\t"), text("a\t"));
    assert_eq!(read(KeyType::Text, BASED, "a\0"), Err("22021"));
}

#[test]
fn errors_say_it_as_postgresql_does() {
    let message = |key_type, text: &str| {
        let error = parse(key_type, BASED, Some(text.as_bytes())).expect_err(text);
        error.message(text.as_bytes())
    };
    assert_eq!(message(KeyType::Int8, "x"), "invalid input syntax for type bigint: \"x\"");
    assert_eq!(message(KeyType::Int2, "99999"), "value \"99999\" is out of range for type smallint");
    assert_eq!(message(KeyType::Uuid, "x"), "invalid input syntax for type uuid: \"x\"");
    assert!(message(KeyType::Int4, &"x".repeat(1000)).len() < 320);
}

#[test]
fn columns_that_hold_no_keys_are_refused() {
    use DataType::{Bigint, Uuid, Varchar};
    let of = |configured, oid| KeyType::of_column(configured, oid, true).ok();
    let ints = [(20, KeyType::Int8), (21, KeyType::Int2), (23, KeyType::Int4)];
    for (oid, key_type) in ints {
        assert_eq!([Bigint, Uuid, Varchar].map(|configured| of(configured, oid)), [Some(key_type), None, None]);
    }
    assert_eq!([Bigint, Uuid, Varchar].map(|configured| of(configured, 2950)), [None, Some(KeyType::Uuid), None]);
    for (oid, key_type) in [(25, KeyType::Text), (1043, KeyType::Text), (1042, KeyType::Bpchar)] {
        assert_eq!([Bigint, Uuid, Varchar].map(|configured| of(configured, oid)), [None, None, Some(key_type)]);
        assert_eq!(KeyType::of_column(Varchar, oid, false), Err(ColumnError::Collation));
    }
    // numeric, name, bytea, and a domain.
    for oid in [1700, 19, 17, 16_400] {
        assert_eq!([Bigint, Uuid, Varchar].map(|configured| of(configured, oid)), [None; 3]);
    }
}

#[test]
fn what_is_stored_is_cut_by_characters() {
    let cut = |text: &'static str, limit| match stored(Key::Text(text.as_bytes()), limit) {
        Key::Text(text) => std::str::from_utf8(text).expect("whole characters"),
        other => panic!("{other:?}"),
    };
    assert_eq!([cut("ab  ", 3), cut("ab ", 3), cut("ab", 3), cut("", 3), cut("   ", 1)], ["ab ", "ab ", "ab", "", " "]);
    assert_eq!(
        [cut("\u{e4}\u{65e5}\u{1f600}   ", 3), cut("\u{e4}\u{65e5}", 2), cut("\u{e4}\u{65e5} ", 2)],
        ["\u{e4}\u{65e5}\u{1f600}", "\u{e4}\u{65e5}", "\u{e4}\u{65e5}"]
    );
    assert_eq!(stored(Key::Int(1234), 1), Key::Int(1234));
}

/// Whatever a client sends is a key or an error.
#[test]
fn hostile_bytes_are_answered() {
    let (mut state, mut good) = (1u64, 0);
    for _ in 0..20_000 {
        let mut value = [0; 24];
        for byte in &mut value {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = if state >> 62 == 0 { (state >> 40) as u8 } else { b"0123456789abcdef-+_x{} \t"[(state >> 33) as usize % 24] };
        }
        let length = (state >> 50) as usize % 25;
        for key_type in [KeyType::Int2, KeyType::Int4, KeyType::Int8, KeyType::Uuid, KeyType::Text, KeyType::Bpchar] {
            for format in [BASED, DECIMAL, Format::Binary] {
                match parse(key_type, format, Some(&value[..length])) {
                    Ok(key) => good += usize::from(key.is_some()),
                    Err(error) => assert!(!error.message(&value[..length]).is_empty()),
                }
            }
        }
    }
    assert!(good > 20_000);
}
