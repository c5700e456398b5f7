//! Tests of suggestions, of printed names and of the order of findings.

use super::*;

#[test]
fn distance_counts_edits() {
    for (left, right, edits) in [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
        assert_eq!(distance(left, right), edits, "{left} {right}");
    }
}

#[test]
fn nearest_takes_the_closest_and_nothing_far() {
    let known = ["port", "host", "workers", "default_pool_size", "min_pool_size"];
    for (typed, meant) in [
        ("defalt_pool_size", Some("default_pool_size")),
        ("prot", None),
        ("pont", Some("port")),
        ("worker", Some("workers")),
        ("completely_different", None),
        ("", None),
    ] {
        assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
    }
    assert_eq!(nearest(&"x".repeat(COMPARED_NAME + 1), known.into_iter()), None);
}

#[test]
fn printed_names_are_short_and_harmless() {
    assert_eq!(printed("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
    assert_eq!(printed(&"x".repeat(SHOWN_NAME)), "x".repeat(SHOWN_NAME));
    assert_eq!(printed(&"x".repeat(10_000)), format!("{}...", "x".repeat(SHOWN_NAME)));
}

#[test]
fn findings_come_in_the_order_of_the_files() {
    let mut findings = Findings::new("m", "u");
    findings.warn(At::Variable("V"), "d");
    findings.warn(At::Users(1), "c");
    findings.warn(At::Main(9), "b");
    findings.remark("a");
    assert_eq!(findings.verdict().unwrap(), ["a", "m:9: b", "u:1: c", "environment variable V: d"]);

    let mut findings = Findings::new("m", "u");
    findings.warn(At::Main(1), "not a problem");
    findings.problem(At::Users(2), What::VariableNotBuilt);
    findings.problem(At::Main(7), What::VariableNotBuilt);
    let places: Vec<String> = findings.verdict().unwrap_err().iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(places, ["m:7", "u:2"]);
}
