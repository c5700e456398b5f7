//! Tests of the rows.

use super::super::report::QueryCacheRow;
use super::*;

#[test]
fn each_core_has_its_row_below_its_database() {
    let row =
        |database: &str, core| QueryCacheRow { database: database.to_owned(), core, hits: 1, direct: 2, multi: 3, shapes: 4, bytes: 5, misses: 6 };
    let mut report = Report { query_cache: vec![row("b", 0), row("a", 1)], ..Report::default() };
    report.absorb(Report { query_cache: vec![row("a", 0)], ..Report::default() });
    let mut seen = Vec::new();
    query_cache(&report, &mut |cells| {
        assert_eq!(cells.len(), QUERY_CACHE.len());
        assert_eq!(cells[..4], [Cell::Null, Cell::Number(1), Cell::Number(2), Cell::Number(3)]);
        assert_eq!(cells[6..], [Cell::Number(4), Cell::Number(5), Cell::Number(6)]);
        seen.push(format!("{:?}", &cells[4..6]));
    });
    assert_eq!(seen, ["[Text(\"a\"), Number(0)]", "[Text(\"a\"), Number(1)]", "[Text(\"b\"), Number(0)]"]);
}
