//! Literals: their kinds and values.

use super::*;

fn literal(token: &str) -> Literal {
    let kind = match token.as_bytes()[0] {
        b'0'..=b'9' => Kind::of_number(token.as_bytes()),
        _ => Kind::of_string(token.as_bytes()),
    };
    Literal { start: 0, end: token.len() as u32, kind }
}

#[test]
fn strings_have_the_values_that_postgres_reads() {
    let cases = [
        ("''", Some("")),
        ("'abc'", Some("abc")),
        ("'it''s'", Some("it's")),
        ("''''", Some("'")),
        ("'a''''b'", Some("a''b")),
        ("E'a''b'", Some("a'b")),
        ("e'x'", Some("x")),
        ("E'a\\nb'", None),
        ("'a'\n'b'", None),
        ("$$it's$$", Some("it's")),
        ("$tag$a $$ b$tag$", Some("a $$ b")),
        ("$$now$$", Some("now")),
        ("' today '", Some(" today ")),
        ("U&'x'", None),
    ];
    for (token, value) in cases {
        let mut spare = Vec::new();
        assert_eq!(literal(token).string(token.as_bytes(), &mut spare), value.map(str::as_bytes), "{token}");
    }
}

#[test]
fn integers_are_read_in_every_notation() {
    let cases = [
        ("0", Some(0)),
        ("31337", Some(31337)),
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("1_000", Some(1000)),
        ("0x1F", Some(31)),
        ("0o17", Some(15)),
        ("0b101", Some(5)),
        ("0x_ff", Some(255)),
        ("0x", None),
        ("5.0", None),
        ("5.", None),
        ("1e3", None),
    ];
    for (token, value) in cases {
        assert_eq!(integer(token.as_bytes()), value, "{token}");
    }
    assert_eq!(literal("5.0").integer(b"5.0"), None);
    assert_eq!(Kind::of_number(b"9223372036854775808"), Kind::Numeric);
    assert_eq!(Kind::of_number(b"5000000000"), Kind::Wide);
}

#[test]
fn what_means_the_present_is_a_kind_of_its_own() {
    for clock in ["'now'", "'NOW'", "' today'", "'tomorrow 10:00'", "E'yesterday'", "'today 10:00 UTC'"] {
        assert_eq!(literal(clock).kind, Kind::Clock, "{clock}");
    }
    for text in ["'know'", "'nowhere'", "'2024-01-01'", "'x'", "'not now'", "'now or never'", "'today is monday'"] {
        assert_eq!(literal(text).kind, Kind::Text, "{text}");
    }
}

#[test]
fn a_place_outside_of_the_text_has_no_value() {
    let literal = Literal { start: 5, end: 9, kind: Kind::Text };
    assert_eq!(literal.string(b"'a'", &mut Vec::new()), None);
    assert_eq!(literal.integer(b"12"), None);
}
