//! Names wherever they stand.

use super::{mentions, named};

fn all(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    mentions(text.as_bytes(), |word| all.push(String::from_utf8_lossy(word).into_owned()));
    all
}

#[test]
fn names_are_found_as_postgresql_reads_them() {
    for (text, name) in [
        ("EXECUTE mine", "mine"),
        ("execute MINE(1)", "mine"),
        ("SELECT 1; EXECUTE \"My \"\"own\"\"\"", "My \"own\""),
        ("DO $$ BEGIN EXECUTE 'EXECUTE Mine(1)'; END $$", "mine"),
        ("DO $$ BEGIN EXECUTE 'EXECUTE \"Mine\"'; END $$", "Mine"),
        ("DO $a$ BEGIN EXECUTE $b$ EXECUTE \"a b\" $b$; END $a$", "a b"),
        ("DO 'BEGIN EXECUTE ''EXECUTE mine''; END'", "mine"),
        (r"SELECT '\'; EXECUTE mine", "mine"),
    ] {
        assert!(all(text).iter().any(|word| word == name), "{text}: {:?}", all(text));
    }
    assert!(!all("EXECUTE other -- mine\n/* mine */").iter().any(|word| word == "mine"));
}

#[test]
fn deep_strings_end() {
    let text = format!("{}x{}", "$a$ '".repeat(10_000), "' $a$".repeat(10_000));
    assert!(all(&text).contains(&"x".to_string()));
}

#[test]
fn what_is_prepared_and_dropped_is_told_in_order() {
    let words = |all: &[super::Word<'_>]| all.iter().map(|name| String::from_utf8_lossy(&name.name()).into_owned()).collect::<Vec<_>>();
    let names = |text: &str| {
        let named = named(text.as_bytes());
        (words(&named.prepared), words(&named.deallocated))
    };
    let (prepared, dropped) = names(
        "DEALLOCATE a; SELECT 'DEALLOCATE x'; deallocate PREPARE \"B\"; DEALLOCATE ALL; PREPARE C AS SELECT 1; DEALLOCATE prepare; \
        PREPARE TRANSACTION 'x'; PREPARE transaction AS SELECT 2",
    );
    assert_eq!((prepared, dropped), (vec!["c".to_string(), "transaction".to_string()], ["a", "B", "prepare"].map(String::from).to_vec()));
    assert_eq!(names("SELECT deallocate FROM prepare; DEALLOCATE"), (vec![], vec![]));
}
