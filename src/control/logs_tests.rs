//! Tests of joining equal lines; what a line looks like is tested on a running pg_dog.

use super::*;

fn table(window_ns: u64, threshold: u64) -> Table {
    Table { window_ns, threshold, ..Table::default() }
}

#[test]
fn equal_lines_are_joined_and_told() {
    let mut table = table(100, 2);
    let mut say = |text: &str, at| table.count(Level::WARN, "here", text, at);
    assert_eq!([say("a", 0), say("a", 1), say("a", 2), say("a", 99)], [true, true, false, false]);
    assert!(say("b", 50), "another line passes");
    assert!(!say("a", 150), "until it was told how often it came");
    let told = table.over(150);
    assert_eq!(told.iter().map(|line| (line.text.as_str(), line.count, line.level)).collect::<Vec<_>>(), [("a", 3, Level::WARN)]);
    assert!(table.over(150).is_empty() && table.lines.is_empty(), "b came once only");
    assert!(table.count(Level::WARN, "here", "a", 151), "it begins anew");
}

#[test]
fn a_line_of_another_level_or_place_is_another() {
    let mut table = table(100, 1);
    for (level, target) in [(Level::WARN, "here"), (Level::ERROR, "here"), (Level::WARN, "there")] {
        assert!(table.count(level, target, "a", 0));
        assert!(!table.count(level, target, "a", 0));
    }
}

#[test]
fn a_window_without_repeats_begins_anew() {
    let mut table = table(100, 1);
    assert!([0, 100, 200].into_iter().all(|at| table.count(Level::INFO, "here", "a", at)));
    assert!(!table.count(Level::INFO, "here", "a", 299));
}

#[test]
fn the_table_is_bounded_and_what_does_not_fit_passes() {
    let mut table = table(100, 1);
    for line in 0..LINES_MAX + 10 {
        assert!(table.count(Level::INFO, "here", &line.to_string(), 0));
    }
    assert_eq!(table.lines.len(), LINES_MAX);
    assert!(table.count(Level::INFO, "here", &(LINES_MAX + 5).to_string(), 0));
    assert!(!table.count(Level::INFO, "here", "5", 0));
}
