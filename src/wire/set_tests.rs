//! The SQL that sets parameters: readable for plain values, harmless for hostile ones.

use super::*;
use crate::wire::mutate::survives;

#[test]
fn plain_values_stay_readable() {
    assert_eq!(set_statement("search_path", "\"$user\", public"), "SELECT pg_catalog.set_config('search_path', '\"$user\", public', false) IS NULL");
    let two = settings([("DateStyle", Some("ISO, DMY")), ("a.b", Some("")), ("role", None)]);
    assert_eq!(
        two,
        "SELECT pg_catalog.set_config('DateStyle', 'ISO, DMY', false) IS NULL, pg_catalog.set_config('a.b', '', false) IS NULL, \
         pg_catalog.set_config('role', NULL, false) IS NULL"
    );
    assert_eq!(settings([]), "");
}

#[test]
fn hostile_values_stay_inside_their_literal() {
    assert_eq!(
        set_statement("a", "x', false); DROP TABLE t; --"),
        "SELECT pg_catalog.set_config('a', 'x'', false); DROP TABLE t; --', false) IS NULL"
    );
    assert_eq!(set_statement("a'b", r"\'"), r"SELECT pg_catalog.set_config('a''b', E'\\''', false) IS NULL");
    assert_eq!(set_statement("a", "ü😀\0"), r"SELECT pg_catalog.set_config('a', E'\U000000FC\U0001F600\U00000000', false) IS NULL");
}

#[test]
fn many_parameters_take_several_selects() {
    let names: Vec<String> = (0..2001).map(|number| format!("p.n{number}")).collect();
    let text = settings(names.iter().map(|name| (name.as_str(), Some("v"))));
    assert_eq!((text.matches("SELECT ").count(), text.matches("set_config(").count()), (3, 2001));
    assert!(text.split("; ").all(|select| select.starts_with("SELECT ") && select.matches("set_config(").count() <= 1664));
}

/// Reads literals as PostgreSQL's lexer does and returns what they mean, and the text with `?` in their place.
fn literals(text: &str) -> (Vec<String>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == 'E' && chars.peek() == Some(&'\'');
        if escapes {
            chars.next();
        }
        if c != '\'' && !escapes {
            rest.push(c);
            continue;
        }
        let mut value = String::new();
        loop {
            match chars.next().expect("a literal without end") {
                '\'' if chars.next_if_eq(&'\'').is_none() => break,
                '\\' if escapes => match chars.next().unwrap() {
                    'U' => {
                        let digits: String = chars.by_ref().take(8).collect();
                        value.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                    }
                    c => value.push(c),
                },
                '\\' => panic!("a backslash whose meaning depends on standard_conforming_strings"),
                c => value.push(c),
            }
        }
        found.push(value);
        rest.push('?');
    }
    (found, rest)
}

#[test]
fn any_value_is_read_back_as_it_was() {
    survives(&["it's \\ \u{fc} E'x' -- $$".as_bytes(), b"a'b\\'c\\\\'", "\\\u{4e}\u{ac00}'".as_bytes()], 10_000, |bytes| {
        let value = String::from_utf8_lossy(bytes);
        let text = set_statement(&value, &value);
        assert!(text.is_ascii() && !text.contains('\0'));
        let (found, rest) = literals(&text);
        assert_eq!((&found[..], &rest[..]), (&[value.to_string(), value.to_string()][..], "SELECT pg_catalog.set_config(?, ?, false) IS NULL"));
    });
}
