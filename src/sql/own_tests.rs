//! The two lists are found whole, in any case, and nothing else is.

use super::*;

#[test]
fn every_name_of_both_lists_is_known_in_any_case() {
    assert!(FUNCTIONS.lines().count() > 2700, "the list is there: {}", FUNCTIONS.lines().count());
    for name in FUNCTIONS.lines() {
        assert_eq!(known(name.as_bytes()), Known::Function, "{name}");
        assert_eq!(known(name.to_uppercase().as_bytes()), Known::Function, "{name}");
    }
    for word in KEYWORDS.lines() {
        assert_ne!(known(word.as_bytes()), Known::Unknown, "{word}");
    }
    assert_eq!(known(b"values"), Known::Keyword);
    assert_eq!(known(b"VaLuEs"), Known::Keyword);
}

#[test]
fn what_is_in_no_list_is_unknown() {
    for name in FUNCTIONS.lines().chain(KEYWORDS.lines()) {
        let longer = format!("{name}_of_mine");
        assert_eq!(known(longer.as_bytes()), Known::Unknown, "{longer}");
        let prefixed = format!("x{name}_");
        assert_eq!(known(prefixed.as_bytes()), Known::Unknown, "{prefixed}");
    }
    for name in ["", "a", "my_function", "\u{fc}ber", "set_config", "count\0"] {
        assert_eq!(known(name.as_bytes()), Known::Unknown, "{name}");
    }
}

#[test]
fn what_leaves_something_behind_is_in_no_list() {
    #[rustfmt::skip]
    let left = [
        "set_config", "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared", "pg_advisory_unlock",
        "pg_advisory_unlock_all", "pg_advisory_unlock_shared", "query_to_xml", "ts_stat", "ts_rewrite", "pg_backup_start",
        "pg_create_logical_replication_slot", "pg_replication_origin_session_setup", "binary_upgrade_set_next_pg_type_oid",
    ];
    for name in left {
        assert_eq!(known(name.as_bytes()), Known::Unknown, "{name}");
    }
    assert_eq!(known(b"pg_advisory_xact_lock"), Known::Function);
}

#[test]
fn names_are_sorted_lower_case_and_short_enough_for_the_table() {
    let names: Vec<&str> = FUNCTIONS.lines().collect();
    assert!(names.is_sorted());
    for name in names {
        assert!((1..=63).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
    }
    let used = TABLE.iter().filter(|entry| **entry != 0).count();
    assert!(used < SLOTS / 2, "a search ends soon: {used}");
}
