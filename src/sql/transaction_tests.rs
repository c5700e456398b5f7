//! Every form of the words that bound a transaction, and what looks like them.

use super::*;

fn named(control: Control<'_>) -> (u8, String) {
    let (kind, word) = match control {
        Control::Savepoint(word) => (b's', word),
        Control::Release(word) => (b'r', word),
        Control::RollbackTo(word) => (b't', word),
        _ => return (0, String::new()),
    };
    (kind, String::from_utf8_lossy(&word.name()).into_owned())
}

#[test]
fn bounds_of_transactions() {
    for text in ["begin", "BEGIN WORK", "/* a */ start transaction read only", "begin;", " begin isolation level serializable ; "] {
        assert_eq!(control(text.as_bytes()), Control::Begin, "{text}");
    }
    for (text, chain) in [("commit", false), ("END", false), ("commit work and chain", true), ("end and no chain", false), ("-- a\ncommit", false)] {
        assert_eq!(control(text.as_bytes()), Control::Commit { chain }, "{text}");
    }
    for (text, chain) in [("rollback", false), ("abort transaction", false), ("rollback and chain", true), ("ROLLBACK WORK AND NO CHAIN", false)] {
        assert_eq!(control(text.as_bytes()), Control::Rollback { chain }, "{text}");
    }
    for text in ["prepare transaction 'a'", "commit prepared 'a'", "rollback prepared 'a'"] {
        assert_eq!(control(text.as_bytes()), Control::Prepare, "{text}");
    }
}

#[test]
fn savepoints_by_name() {
    assert_eq!(named(control(b"savepoint A")), (b's', "a".into()));
    assert_eq!(named(control(b"SAVEPOINT \"A b\"")), (b's', "A b".into()));
    assert_eq!(named(control(b"release savepoint x;")), (b'r', "x".into()));
    assert_eq!(named(control(b"release x")), (b'r', "x".into()));
    assert_eq!(named(control(b"rollback to x")), (b't', "x".into()));
    assert_eq!(named(control(b"/* c */ rollback transaction to savepoint x")), (b't', "x".into()));
}

#[test]
fn what_others_must_hear() {
    for text in ["set local a.b = 1", "reset all", "SET TRANSACTION READ ONLY", "set constraints all deferred"] {
        assert_eq!(control(text.as_bytes()), Control::Set, "{text}");
    }
    assert_eq!(control(b"select set_config('a.b', 'c', true)"), Control::Sets);
    assert_eq!(control(b"select pg_catalog.SET_CONFIG('a.b', 'c', true)"), Control::Sets);
    assert_eq!(control(b"notify a"), Control::Notify);
    assert_eq!(control(b"select pg_notify('a', 'b')"), Control::Notify);
    assert_eq!(control(b"unlisten *"), Control::Listen);
    assert_eq!(control(b"set a = 1; select 2"), Control::Unclear);
    assert_eq!(control(b"discard all"), Control::Unclear);
}

#[test]
fn several_statements_with_bounds_are_mixed() {
    for text in ["begin; select 1", "select 1; commit", "commit; begin", "select 1;/**/rollback"] {
        assert_eq!(control(text.as_bytes()), Control::Mixed, "{text}");
    }
}

#[test]
fn what_only_looks_like_it() {
    let texts =
        ["select 'commit'", "select 1", "update begin set a = 1", "select 1;", "prepare a as select 1", "settle", "", ";", "select a_b, set_c"];
    for text in texts {
        assert_eq!(control(text.as_bytes()), Control::Nothing, "{text}");
    }
}
