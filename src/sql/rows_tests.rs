//! Rows of texts, and what is left of a text when some of them are.

use super::Rows;

/// The text with the rows of these numbers, and its parameters.
fn cut(text: &str, keep: &[usize]) -> (String, Vec<u16>) {
    let rows = Rows::find(text.as_bytes(), true).expect("rows");
    let (text, parameters) = rows.cut(text.as_bytes(), |number| keep.contains(&number));
    (String::from_utf8(text.into()).expect("text"), parameters.into())
}

#[test]
fn all_but_the_rows_stays_as_it_is() {
    let text = "/* a ) */ INSERT INTO t AS x (id, v) VALUES -- (0)\n (1, 'a(,)') , /* ( */ (2, (SELECT ')')), (3, ARRAY[1, 2]) RETURNING (id), v; ";
    assert_eq!(Rows::find(text.as_bytes(), true).map(|rows| (rows.count(), rows.even, rows.fewer)), Some((3, true, false)));
    let (head, tail) = ("/* a ) */ INSERT INTO t AS x (id, v) VALUES -- (0)\n ", " RETURNING (id), v; ");
    assert_eq!(cut(text, &[0]).0, format!("{head}(1, 'a(,)'){tail}"));
    assert_eq!(cut(text, &[0, 2]).0, format!("{head}(1, 'a(,)'), (3, ARRAY[1, 2]){tail}"));
    assert_eq!(cut(text, &[1]).0, format!("{head}(2, (SELECT ')')){tail}"));
}

#[test]
fn parameters_are_numbered_anew_and_known_by_their_old_numbers() {
    let text = "WITH w AS (SELECT $7::int) INSERT INTO t VALUES ($1, $2), ($3, $4), ($10, $4) ON CONFLICT (id) DO UPDATE SET v = $9 || $2";
    let new = |rows: &str, last: &str| format!("WITH w AS (SELECT $1::int) INSERT INTO t VALUES {rows} ON CONFLICT (id) DO UPDATE SET v = {last}");
    assert_eq!(cut(text, &[0]), (new("($2, $3)", "$4 || $3"), vec![7, 1, 2, 9]));
    assert_eq!(cut(text, &[1, 2]), (new("($2, $3), ($4, $3)", "$5 || $6"), vec![7, 3, 4, 10, 9, 2]));
}

#[test]
fn a_table_or_column_may_be_called_values() {
    assert_eq!(cut("INSERT INTO values (values, b) VALUES (1, 2), (3, 4)", &[1]).0, "INSERT INTO values (values, b) VALUES (3, 4)");
    assert_eq!(cut("INSERT INTO s.values AS values VALUES (1), (3)", &[1]).0, "INSERT INTO s.values AS values VALUES (3)");
    let text = "WITH x AS (VALUES (1), (2)) INSERT INTO t VALUES ((SELECT 1)), (4)";
    assert_eq!(cut(text, &[1]).0, "WITH x AS (VALUES (1), (2)) INSERT INTO t VALUES (4)");
}

#[test]
fn what_may_leave_rows_out_and_what_is_uneven_is_told() {
    let of = |text: &str| Rows::find(text.as_bytes(), true).map(|rows| (rows.even, rows.fewer));
    assert_eq!(of("INSERT INTO t VALUES (1), (2, 3)"), Some((false, false)));
    assert_eq!(of("INSERT INTO t VALUES (1), (2) ON CONFLICT DO NOTHING RETURNING id"), Some((true, true)));
    assert_eq!(of("INSERT INTO t VALUES (1), (2) ON CONFLICT (id) DO UPDATE SET v = 1 WHERE t.v > 0"), Some((true, true)));
    assert_eq!(of("INSERT INTO t VALUES (1), (2) ON CONFLICT (id) DO UPDATE SET v = 1"), Some((true, false)));
    assert_eq!(of("INSERT INTO t VALUES (1)"), None);
    assert_eq!(of("INSERT INTO t SELECT 1"), None);
    assert!(Rows::find(b"INSERT INTO t VALUES ('\\'), (2)", false).is_none());
}
