//! Texts that begin a transaction, texts that look as if they did, and every cut of both.

use super::*;

const YES: &[&str] = &[
    "BEGIN",
    "begin",
    "bEgIn;",
    "BEGIN; SELECT 1; COMMIT",
    "BEGIN WORK ISOLATION LEVEL SERIALIZABLE",
    "BEGIN/**/READ ONLY",
    "BEGIN--\n",
    " \t\r\n\x0b\x0cBEGIN",
    ";;; ;BEGIN",
    "-- a comment\nBEGIN",
    "-- BEGIN is not here\r -- nor here\nSTART TRANSACTION",
    "/* a /* nested */ comment */ BEGIN",
    "/**/;/* ; */ start /* x */ -- y\n transaction READ WRITE",
    "START\nTRANSACTION;",
];

const NO: &[&str] = &[
    "",
    ";",
    " -- BEGIN",
    "/* BEGIN",
    "/* BEGIN */",
    "SELECT 1; BEGIN",
    "BEGINS",
    "BEGIN_WORK",
    "BEGIN$1",
    "BEGIN\u{e9}",
    "beginning",
    "\"BEGIN\"",
    "'BEGIN'",
    "(BEGIN)",
    "START",
    "START;TRANSACTION",
    "START TRANSACTIONS",
    "STARTTRANSACTION",
    "START_REPLICATION SLOT x",
    "SAVEPOINT a",
    "COMMIT",
    "ROLLBACK",
    "END",
    "DO $$ BEGIN END $$",
    "- BEGIN",
    "/ BEGIN",
    "*/ BEGIN",
];

#[test]
fn the_first_words_decide() {
    for (texts, expected) in [(YES, Begins::Yes), (NO, Begins::No)] {
        for text in texts {
            assert_eq!(begins_transaction(text.as_bytes(), true), expected, "{text:?}");
            assert_eq!(begins_transaction(&[text.as_bytes(), b"\0"].concat(), true), expected, "{text:?}");
            for cut in 0..text.len() {
                let seen = begins_transaction(&text.as_bytes()[..cut], false);
                assert!(seen == Begins::NeedMore || seen == expected, "{text:?} cut at {cut}: {seen:?}");
            }
        }
    }
}

#[test]
fn no_text_is_looked_at_without_end() {
    for text in [" ".repeat(LOOK_MAX), "/*".repeat(LOOK_MAX), "-".repeat(LOOK_MAX), ";".repeat(LOOK_MAX), "b".repeat(LOOK_MAX)] {
        assert_eq!(begins_transaction(&text.as_bytes()[..LOOK_MAX - 1], false), Begins::NeedMore);
        assert_eq!(begins_transaction(&text.as_bytes()[..LOOK_MAX], false), Begins::No);
    }
}
