//! What a second server is told of a transaction.

use super::*;

fn told(texts: &[&str]) -> Result<Vec<String>, &'static str> {
    let mut journal = Journal::default();
    texts.iter().for_each(|text| journal.note(text.as_bytes(), true));
    journal.replay().map(|all| all.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
}

#[test]
fn modes_settings_and_open_savepoints_in_their_order() {
    let told = told(&["BEGIN READ ONLY", "SET LOCAL a.b = 1", "savepoint A", "select 1", "set c.d = 2", "savepoint \"b\"\"c\""]).unwrap();
    assert_eq!(told, ["BEGIN READ ONLY", "SET LOCAL a.b = 1", "SAVEPOINT \"a\"", "set c.d = 2", "SAVEPOINT \"b\"\"c\""]);
}

#[test]
fn what_was_rolled_back_is_forgotten_and_what_was_released_is_none() {
    let back = told(&["begin", "savepoint a", "set x.y = 1", "savepoint a", "set x.y = 2", "rollback to a"]).unwrap();
    assert_eq!(back, ["begin", "SAVEPOINT \"a\"", "set x.y = 1", "SAVEPOINT \"a\""]);
    let released = told(&["begin", "savepoint a", "set x.y = 1", "savepoint b", "release a"]).unwrap();
    assert_eq!(released, ["begin", "set x.y = 1"]);
    assert_eq!(told(&["begin", "rollback to nowhere"]).unwrap(), ["begin"]);
}

#[test]
fn what_is_not_sure_is_not_joined() {
    assert!(told(&["select 1"]).is_err());
    assert!(told(&["begin", "set a.b = 1; select 2"]).is_err());
    let mut journal = Journal::default();
    journal.note(b"begin", true);
    journal.note(b"select set_config($1, $2, true)", false);
    assert!(journal.replay().is_err());
    let many: Vec<String> = (0..2000).map(|number| format!("savepoint s{number}")).collect();
    let texts: Vec<&str> = std::iter::once("begin").chain(many.iter().map(String::as_str)).collect();
    assert!(told(&texts).is_err());
}

#[test]
fn one_snapshot() {
    let needs = |texts: &[&str]| {
        let mut journal = Journal::default();
        texts.iter().for_each(|text| journal.note(text.as_bytes(), true));
        journal.needs_one_snapshot()
    };
    assert!(needs(&["begin isolation level REPEATABLE read"]));
    assert!(needs(&["begin", "set transaction isolation level serializable"]));
    assert!(!needs(&["begin isolation level read committed"]));
}

#[test]
fn cursors_are_where_they_were_opened() {
    let mut journal = Journal::default();
    journal.note(b"begin", true);
    journal.note_cursors(b"declare A cursor for select 1; declare \"B\" cursor with hold for select 2", 0);
    assert_eq!((journal.cursor(b"a"), journal.cursor(b"B"), journal.cursor(b"b"), journal.holds()), (Some(0), Some(0), None, true));
    journal.note(b"savepoint s", true);
    journal.note_cursors(b"declare c cursor for select 1", 2);
    journal.note(b"savepoint t", true);
    journal.note_cursors(b"declare d cursor for select 1", 1);
    journal.note(b"release t", true);
    assert_eq!((journal.cursor(b"d"), journal.has_cursors_beside(0), journal.open_cursors()), (Some(1), true, 4));
    // Others are told nothing of them.
    assert_eq!(journal.replay().unwrap(), [&b"begin"[..], b"SAVEPOINT \"s\""]);
    journal.close(b"a");
    journal.note(b"rollback to s", true);
    assert_eq!((journal.cursor(b"a"), journal.cursor(b"c"), journal.cursor(b"d"), journal.open_cursors()), (None, None, None, 1));
    journal.note(b"commit and chain", true);
    assert!(journal.holds());
    journal.note_cursors(b"close all", 0);
    assert!(!journal.holds());
    journal.note_cursors(&[&b"declare "[..], &[b'x'; 70], b" cursor for select 1"].concat(), 1);
    assert_eq!((journal.cursor(&[b'x'; 64]), journal.cursor(&[b'x'; 62])), (Some(1), None));
    journal.note(b"commit", true);
    assert_eq!(journal.open_cursors(), 0);
}

#[test]
fn too_many_cursors_are_not_joined() {
    let mut journal = Journal::default();
    journal.note(b"begin", true);
    (0..CURSORS_MAX).for_each(|number| journal.note_cursors(format!("declare c{number} cursor for select 1").as_bytes(), 0));
    assert!(journal.replay().is_ok());
    journal.note_cursors(b"declare more cursor for select 1", 0);
    assert!(journal.replay().is_err());
    assert_eq!(journal.open_cursors(), CURSORS_MAX);
    let mut journal = Journal::default();
    journal.note(b"begin", true);
    journal.note_cursors(b"select '\\'; declare more cursor for select 1", 0);
    assert!(journal.replay().is_err(), "it cannot be read");
}
