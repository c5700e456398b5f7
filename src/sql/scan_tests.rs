//! The scan of a text: what is one shape and what is not, what is given up, how large a text is.

use super::*;

fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    assert_eq!(scan.run(text.as_bytes(), true, HELPER), Outcome::Shape, "{text}");
    scan
}

fn outcome(text: &str, standard: bool) -> Outcome {
    Scan::default().run(text.as_bytes(), standard, HELPER)
}

fn same(one: &str, other: &str) -> bool {
    let (one, other) = (scan(one), scan(other));
    assert_eq!(one.shape == other.shape, one.hash == other.hash);
    one.shape == other.shape
}

#[test]
fn literals_comments_and_blanks_are_not_part_of_a_shape() {
    let text = "SELECT abalance FROM pgbench_accounts WHERE aid = 31337";
    assert!(same(text, "select\tabalance\nfrom pgbench_accounts -- why\n where aid=1"));
    assert!(same(text, "SELECT /* x */ abalance FROM pgbench_accounts WHERE aid = /* pgdog_shard: 1 */ 5"));
    assert!(!same(text, "SELECT abalance FROM pgbench_accounts WHERE bid = 31337"));
    assert!(!same(text, "SELECT abalance FROM pgbench_accounts WHERE aid > 31337"));
    assert!(!same(text, "SELECT abalance FROM pgbench_accounts WHERE aid = -31337"));
}

#[test]
fn literals_of_different_types_make_different_shapes() {
    let texts = ["5", "5000000000", "5.5", "9223372036854775808", "'5'", "x'5'", "E'\\n'", "$$a$$", "$1", "$2", "'now'", "NULL", "true", "-5"];
    for one in texts {
        for other in texts {
            let equal = one == other || [one, other].iter().all(|text| ["5.5", "9223372036854775808"].contains(text));
            assert_eq!(same(&format!("SELECT {one}"), &format!("SELECT {other}")), equal, "{one} {other}");
        }
    }
}

#[test]
fn names_that_run_together_are_not_confused() {
    assert!(!same("SELECT a b", "SELECT ab"));
    assert!(!same("SELECT \"a\"", "SELECT a"));
    assert!(!same("SELECT a.b", "SELECT a, b"));
    assert!(!same("SELECT a @> b", "SELECT a <@ b"));
    assert!(!same("SELECT $1", "SELECT $11"));
}

#[test]
fn literals_are_where_they_are() {
    let text = "INSERT INTO t VALUES (1, 'it''s', $2, 2.5, $x$ y $x$)";
    let found: Vec<(&str, Kind)> =
        scan(text).literals.iter().map(|literal| (&text[literal.start as usize..literal.end as usize], literal.kind)).collect();
    let wanted = [("1", Kind::Integer), ("'it''s'", Kind::Text), ("2.5", Kind::Numeric), ("$x$ y $x$", Kind::Dollar)];
    assert_eq!(found, wanted);
}

#[test]
fn what_the_lexer_cannot_know_is_parsed() {
    assert_eq!(outcome(r"SELECT 'a\'", true), Outcome::Shape);
    assert_eq!(outcome(r"SELECT 'a\'", false), Outcome::Odd);
    assert_eq!(outcome(r"SELECT 'a\\b'", false), Outcome::Odd);
    assert_eq!(outcome(r"SELECT E'a\\b', $$\$$", false), Outcome::Shape);
    assert_eq!(outcome("SELECT U&'d!0061t' UESCAPE '!'", true), Outcome::Odd);
    assert_eq!(outcome("SELECT 'no end", true), Outcome::Odd);
    assert_eq!(outcome("SELECT 1 /* no end", true), Outcome::Odd);
    assert_eq!(Scan::default().run(b"SELECT '\xff'", true, HELPER), Outcome::Foreign);
    assert_eq!(outcome("SELECT 1\0", true), Outcome::Odd);
}

#[test]
fn a_directive_in_a_text_that_cannot_be_cut_is_broken() {
    let mut scan = Scan::default();
    assert_eq!(scan.run(br"/* pgdog_shard: 1 */ SELECT 'a\'b'", false, HELPER), Outcome::Odd);
    assert!(scan.directives.broken && scan.directives.shard.is_none());
}

#[test]
fn texts_without_tokens_have_an_empty_shape() {
    for text in ["", " ", "\n\t\r\u{b}\u{c}"] {
        assert!(scan(text).shape.is_empty());
    }
    assert!(scan("/* only this */").shape.is_empty());
}

#[test]
fn sizes_bound_what_is_parsed() {
    let limits = Limits { bytes: 100, tokens: 10, depth: 5 };
    let run = |text: &str| Scan::default().run(text.as_bytes(), true, limits);
    assert_eq!(run("SELECT 1"), Outcome::Shape);
    assert_eq!(run(&format!("SELECT '{}'", "x".repeat(100))), Outcome::Beyond);
    assert_eq!(run("SELECT 1,2,3,4,5,6"), Outcome::Beyond);
    assert_eq!(run("SELECT (((((1)))))"), Outcome::Beyond);
}

#[test]
fn depth_follows_operators_and_parentheses_but_not_lists() {
    let depth = |text: &str| scan(text).size.depth;
    assert!(depth(&format!("SELECT 1{}", "+1".repeat(500))) >= 500);
    assert!(depth(&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500))) >= 500);
    assert!(depth(&format!("SELECT 1,2{}", " UNION SELECT 1,2".repeat(500))) >= 500);
    assert!(depth(&format!("SELECT a{}", "::int".repeat(500))) >= 500);
    assert!(depth(&format!("SELECT a{}", "[1]".repeat(500))) >= 500);
    assert!(depth(&format!("SELECT {}1", "NOT ".repeat(500))) >= 500);
    assert!(depth(&format!("INSERT INTO t VALUES (1, 2){}", ", (1, 2 + 3)".repeat(500))) < 10);
    assert!(depth(&format!("SELECT a{} FROM t", ", b + c".repeat(500))) < 10);
    assert!(depth(&"SELECT 1 + 1;".repeat(500)) < 10);
}
