//! Tests of the rows.

use super::super::report::TransactionRow;
use super::*;

#[test]
fn a_commit_stands_before_what_waits_and_parts_without_a_client_are_null() {
    let row = |name: &str, shard, client| TransactionRow {
        database: "app".to_owned(),
        user: "u".to_owned(),
        name: name.to_owned(),
        state: "prepared",
        shard,
        client,
        since: "now".to_owned(),
        detail: "why".to_owned(),
    };
    let report = Report { transactions: vec![row("b", Some(2), None), row("a", None, Some(7))], ..Report::default() };
    let mut seen = Vec::new();
    transactions(&report, &mut |cells| {
        assert_eq!(cells.len(), TRANSACTIONS.len());
        seen.push(format!("{:?}", &cells[2..6]));
    });
    assert_eq!(seen.len(), 2);
    assert!(seen[0].starts_with("[Text(\"a\"), Text(\"prepared\"), Null, Number(7)]"), "{seen:?}");
    assert!(seen[1].starts_with("[Text(\"b\"), Text(\"prepared\"), Number(2), Null]"), "{seen:?}");
}
