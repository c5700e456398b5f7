//! Cutting texts into their statements.

use super::super::outline_kind::outline;
use super::*;

fn cut(text: &str) -> Option<Vec<&str>> {
    let count = outline(text, true).expect("it is read").len();
    pieces(text.as_bytes(), true, count).map(|pieces| pieces.iter().map(|piece| &text[piece.clone()]).collect())
}

#[test]
fn each_statement_has_the_comments_in_front_of_it() {
    assert_eq!(cut("SELECT 1; SELECT 2"), Some(vec!["SELECT 1", " SELECT 2"]));
    assert_eq!(cut(";;SELECT 1;; -- a;\n ;/* b; */ SELECT 2; -- c"), Some(vec!["SELECT 1", "/* b; */ SELECT 2"]));
    assert_eq!(cut("SELECT ';', $$;$$, \";\", E'\\';' FROM a; SELECT 'b\\'; SELECT '\u{e4};'"), {
        Some(vec!["SELECT ';', $$;$$, \";\", E'\\';' FROM a", " SELECT 'b\\'", " SELECT '\u{e4};'"])
    });
    assert_eq!(cut(" -- nothing;"), Some(vec![]));
}

#[test]
fn what_has_semicolons_of_its_own_is_cut_at_its_end_or_not_at_all() {
    let rule = "CREATE RULE r AS ON INSERT TO a DO (DELETE FROM b; DELETE FROM c)";
    assert_eq!(cut(&format!("{rule}; SELECT 1")), Some(vec![rule, " SELECT 1"]));
    assert_eq!(cut("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1"), None);
}

#[test]
fn strings_whose_end_is_not_sure_are_not_cut() {
    let text = b"SELECT 'a\\'; SELECT 2";
    assert_eq!(pieces(text, false, 2), None);
    assert!(pieces(text, true, 2).is_some());
    assert_eq!(pieces(b"SELECT '", true, 1), None);
    assert_eq!(pieces(b"SELECT '\xff'; SELECT 1", true, 2), None);
}
