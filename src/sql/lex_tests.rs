//! Tokens as PostgreSQL cuts them, and what cannot be cut for sure.

use super::*;

fn tokens(text: &[u8]) -> Vec<(Kind, String)> {
    let mut lexer = Lexer::new(text, 0);
    let mut found = Vec::new();
    loop {
        let token = lexer.token();
        if token.kind == Kind::End {
            return found;
        }
        found.push((token.kind, String::from_utf8_lossy(lexer.bytes(token)).into_owned()));
        if token.kind == Kind::Lost {
            return found;
        }
    }
}

/// Words, quoted words, strings and numbers without their kinds, marks too.
fn cut(text: &str) -> Vec<String> {
    tokens(text.as_bytes()).into_iter().map(|(_, token)| token).collect()
}

#[test]
fn words_numbers_and_marks() {
    assert_eq!(cut("SELECT a1, $1+2.5 FROM t$x"), ["SELECT", "a1", ",", "$1", "+", "2", ".", "5", "FROM", "t$x"]);
    assert_eq!(cut("a::int4 b:c"), ["a", "::", "int4", "b", ":", "c"]);
    assert_eq!(cut("\u{fc}ber\u{00a0}x"), ["\u{fc}ber\u{00a0}x"], "what is not ASCII is part of a word");
    assert_eq!(cut(" \t\r\n\x0b\x0cx"), ["x"]);
    assert!(cut("").is_empty());
}

#[test]
fn strings_end_where_postgresql_ends_them() {
    assert_eq!(cut("'a' 'b''c' x"), ["'a'", "'b''c'", "x"]);
    assert_eq!(cut("E'a\\'b' x"), ["E", "'a\\'b'", "x"]);
    assert_eq!(cut("e'a\\\\' x"), ["e", "'a\\\\'", "x"]);
    assert_eq!(cut("'a\\nb' x"), ["'a\\nb'", "x"], "a backslash that escapes no quote");
    assert_eq!(cut("'a\\\\' x"), ["'a\\\\'", "x"], "two of them, either way");
    assert_eq!(cut("N'a' B'1' X'f' U&'a'"), ["N", "'a'", "B", "'1'", "X", "'f'", "U", "&", "'a'"]);
    assert_eq!(cut("'a ; -- /* \" $$' x"), ["'a ; -- /* \" $$'", "x"]);
    assert_eq!(cut("'no end"), ["'no end"]);
}

#[test]
fn a_string_whose_end_depends_on_settings_or_the_encoding_loses_the_rest() {
    let lost = |text: &[u8]| tokens(text).last().is_some_and(|(kind, _)| *kind == Kind::Lost);
    assert!(lost(b"'a\\' x"), "standard_conforming_strings decides");
    assert!(lost(b"'a\\\\\\' x"));
    assert!(lost(b"fore'a\\' x"), "that is no E");
    assert!(lost(b"E'\x95\\' x"), "one character in SJIS, an escape elsewhere");
    assert!(lost(b"E'\x95\\\\' x"));
    assert!(lost(b"'\x95\\\\' x"));
    assert!(!lost(b"E'\x95\\n' x"));
    assert!(!lost("E'\u{fc} \\' x' y".as_bytes()));
}

#[test]
fn dollar_quotes() {
    assert_eq!(cut("$$a;'b$$ x"), ["$$a;'b$$", "x"]);
    assert_eq!(cut("$t$a$$b$T$c$t$ x"), ["$t$a$$b$T$c$t$", "x"]);
    assert_eq!(cut("$a$x$b$a$ y"), ["$a$x$b$a$", "y"]);
    assert_eq!(cut("$1$$a$$"), ["$1", "$$a$$"]);
    assert_eq!(cut("1$$a;$$"), ["1", "$$a;$$"], "a number ends before the mark");
    assert_eq!(cut("a$$b;c$$"), ["a$$b", ";", "c$$"], "a word does not");
    assert_eq!(cut("$t x"), ["$", "t", "x"]);
    assert_eq!(cut("$$no end"), ["$$no end"]);
    assert_eq!(cut("$"), ["$"]);
}

#[test]
fn quoted_words() {
    assert_eq!(cut("\"a\"\"b\".\"c;\" x"), ["\"a\"\"b\"", ".", "\"c;\"", "x"]);
    assert_eq!(cut("\"\\\" x"), ["\"\\\"", "x"], "a backslash means nothing");
    assert_eq!(cut("\"no end"), ["\"no end"]);
}

#[test]
fn comments_are_blanks() {
    assert_eq!(cut("a -- b '\n c"), ["a", "c"]);
    assert_eq!(cut("a -- b\r c"), ["a", "c"]);
    assert_eq!(cut("a/* b /* ' */ c */d"), ["a", "d"]);
    assert_eq!(cut("a/*/*b*/*/c"), ["a", "c"], "opened twice, closed twice");
    assert_eq!(cut("a/*/b*/*/c"), ["a", "*", "/", "c"], "opened once, closed once");
    assert_eq!(cut("a/**/b/***/c"), ["a", "b", "c"]);
    assert_eq!(cut("a*/*b*/c"), ["a", "*", "c"]);
    assert_eq!(cut("a+--b\n-c - -d"), ["a", "+", "-", "c", "-", "-", "d"]);
    assert_eq!(cut("a /* no end"), ["a"]);
    assert_eq!(cut("a -- no end"), ["a"]);
    assert_eq!(cut("a / b"), ["a", "/", "b"]);
}
