//! What PREPARE and EXECUTE say, and what of it is not a constant.

use super::{Argument, Prepare, STRANGE, arguments, prepare};

fn one(argument: &str) -> Argument {
    let all = arguments(format!("EXECUTE q({argument})").as_bytes()).expect("one EXECUTE");
    assert_eq!(all.len(), 1, "{argument}");
    all[0].clone()
}

#[test]
fn a_prepare_has_types_and_a_statement() {
    let read = |text: &'static str| prepare(text.as_bytes()).map(|Prepare { types, query }| (types, std::str::from_utf8(query).unwrap()));
    assert_eq!(read("PREPARE q AS SELECT 1"), Some((vec![], " SELECT 1")));
    assert_eq!(
        read("/* a */ prepare \"Q q\" ( bigint,INT , varchar(3), pg_catalog.int8 ) as/**/select $1"),
        Some((vec![20, 23, 1043, 20], "/**/select $1"))
    );
    assert_eq!(read("PREPARE q(int8[], uuid, unknown, character varying (3), text) AS x"), Some((vec![1016, 2950, 0, 1043, 25], " x")));
    let strange = vec![STRANGE; 6];
    assert_eq!(read("PREPARE q(numeric(3, 1), mine.bigint, \"bigint\", char, timestamp with time zone, bigint.x) AS x"), Some((strange, " x")));
    for text in ["PREPARE q", "PREPARE q(int", "PREPARE q(int) SELECT 1", "PREPARE TRANSACTION 'x'", "EXECUTE q", ""] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn constants_are_read_as_their_types_read_them() {
    for (text, value) in [
        ("5", "5"),
        ("-5", "-5"),
        ("007", "7"),
        ("0x1f", "31"),
        ("'5'", "5"),
        ("'it''s'", "it's"),
        ("$a$b'c$a$", "b'c"),
        ("5::bigint", "5"),
        ("' 05 '::int", "5"),
        ("'-5'::int8", "-5"),
        ("'x y'::text", "x y"),
        ("'4f0c2c4e-0000-4000-8000-0000000000ab'::uuid", "4f0c2c4e-0000-4000-8000-0000000000ab"),
    ] {
        assert_eq!(one(text), Argument::Constant(value.into()), "{text}");
    }
    for text in ["NULL", "null::bigint"] {
        assert_eq!(one(text), Argument::Null, "{text}");
    }
    assert_eq!(arguments(b"EXECUTE q"), Some(vec![]));
    assert_eq!(arguments(b"execute Q (1, f(2, 3), ARRAY[4, 5]);").map(|all| all.len()), Some(3));
}

#[test]
fn what_another_type_would_read_otherwise_is_no_constant() {
    for text in [
        "5.5",
        "5e3",
        "-'5'",
        "+5",
        "5 + 1",
        "f(5)",
        "$1",
        "TRUE",
        "'5.5'::int",
        "'0x1f'::int",
        "'a\\b'",
        "E'\\x35'",
        "U&'5'",
        "B'101'",
        "x",
        "- - 5",
        "5::numeric",
        "'5'::varchar(1)",
        "'5'::mine.int",
        "'4F0C2C4E-0000-4000-8000-0000000000AB'::uuid",
        "99999999999999999999",
        "5::int::text",
        "(5)",
        "CAST(5 AS int)",
        "5::text",
        "ARRAY[1]",
        "",
        "'a'\n'b'",
    ] {
        assert_eq!(one(text), Argument::Other, "{text}");
    }
    assert_eq!(arguments(b"EXECUTE q(5"), None);
    assert_eq!(arguments(b"EXECUTE q(5; 6)"), None);
}
