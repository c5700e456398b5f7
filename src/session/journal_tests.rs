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
