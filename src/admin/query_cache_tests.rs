//! Tests of the rows.

use super::super::report::QueryCacheRow;
use super::*;

#[test]
fn each_core_has_its_row_below_its_database() {
    let row = |database: &str, core| QueryCacheRow {
        database: database.to_owned(),
        core,
        hits: 1,
        direct: 2,
        multi: 3,
        shapes: 4,
        bytes: 5,
        misses: 6,
        refused: 7,
        ..QueryCacheRow::default()
    };
    let mut report = Report { query_cache: vec![row("b", 0), row("a", 1)], ..Report::default() };
    report.absorb(Report { query_cache: vec![row("a", 0)], ..Report::default() });
    let mut seen = Vec::new();
    query_cache(&report, &mut |cells| {
        assert_eq!(cells.len(), QUERY_CACHE.len());
        assert_eq!(cells[..4], [Cell::Null, Cell::Number(1), Cell::Number(2), Cell::Number(3)]);
        assert_eq!(cells[6..], [Cell::Number(4), Cell::Number(5), Cell::Number(6), Cell::Number(7), Cell::Null]);
        seen.push(format!("{:?}", &cells[4..6]));
    });
    assert_eq!(seen, ["[Text(\"a\"), Number(0)]", "[Text(\"a\"), Number(1)]", "[Text(\"b\"), Number(0)]"]);
}

#[test]
fn what_a_dry_run_would_refuse_stands_below_its_core() {
    let plain = QueryCacheRow { database: "a".to_owned(), refused: 3, ..QueryCacheRow::default() };
    let remark = QueryCacheRow { query: Some("SELECT 1".to_owned()), reason: Some("0A000: no".to_owned()), refused: 2, ..plain.clone() };
    let mut seen = Vec::new();
    query_cache(&Report { query_cache: vec![remark, plain], ..Report::default() }, &mut |cells| {
        seen.push(format!("{:?} {:?}", cells[0], &cells[9..]));
    });
    assert_eq!(seen, ["Null [Number(3), Null]", "Text(\"SELECT 1\") [Number(2), Text(\"0A000: no\")]"]);
}
