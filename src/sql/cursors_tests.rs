//! Every way in which a text speaks of a cursor, and what only looks like one.

use super::*;

fn told(text: &str) -> Vec<String> {
    assert!(may_act(text.as_bytes()), "{text}");
    let acts = acts(text.as_bytes());
    assert!(!acts.beyond, "{text}");
    let name = |word: Word<'_>| String::from_utf8_lossy(&word.name()).into_owned();
    let tell = |act| match act {
        Act::Declares { name: word, holds } => format!("{} {}", if holds { "holds" } else { "declares" }, name(word)),
        Act::Uses(word) => format!("uses {}", name(word)),
        Act::Closes(word) => format!("closes {}", name(word)),
        Act::ClosesAll => "closes all".into(),
    };
    acts.list.into_iter().map(tell).collect()
}

#[test]
fn names_are_found_in_every_form() {
    for (text, expected) in [
        ("DECLARE c CURSOR FOR SELECT 1", "declares c"),
        ("declare C binary insensitive no scroll cursor without hold for select 1", "declares c"),
        ("DECLARE \"C d\" SCROLL CURSOR /* with */ WITH\nHOLD FOR SELECT 1;", "holds C d"),
        ("DECLARE c CURSOR FOR WITH hold AS (SELECT 1) SELECT * FROM hold", "declares c"),
        ("/* a */ -- b\n DECLARE c CURSOR FOR SELECT 1", "declares c"),
        ("FETCH c", "uses c"),
        ("fetch next from c;", "uses c"),
        ("FETCH FORWARD 10 IN \"a\"\"b\"", "uses a\"b"),
        ("FETCH -5 FROM c", "uses c"),
        ("MOVE ABSOLUTE 3 C", "uses c"),
        ("MOVE BACKWARD ALL FROM c", "uses c"),
        ("CLOSE c", "closes c"),
        ("CLOSE \"all\"", "closes all"),
        ("close ALL ;", "closes all"),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", "uses c"),
        ("DELETE FROM t WHERE current /* */ of \"C\" RETURNING *", "uses C"),
    ] {
        assert_eq!(told(text), [expected], "{text}");
    }
    assert_eq!(acts(b"CLOSE \"all\"").list, [Act::Closes(Word::new(b"\"all\""))]);
    assert_eq!(acts(b"CLOSE All").list, [Act::ClosesAll]);
    assert_eq!(told("DECLARE a CURSOR FOR SELECT ';'; FETCH 1 FROM a; ; CLOSE a"), ["declares a", "uses a", "closes a"]);
    assert_eq!(acts(b";DECLARE a CURSOR FOR TABLE t; FETCH a;").statements, 2);
}

#[test]
fn what_is_no_cursor_is_none() {
    for text in ["UPDATE t SET a = 1 WHERE b = 'current of c'", "DELETE FROM t", "close", "fetch", "/* close c */ SELECT 1", "SELECT 1; SELECT 2", ""]
    {
        assert_eq!(acts(text.as_bytes()).list, [], "{text}");
    }
    for text in ["SELECT current of FROM t", "INSERT INTO t VALUES (1)", "", "COMMIT", "define", "drop table t", "fe"] {
        assert!(!may_act(text.as_bytes()) && !may_open(text.as_bytes()), "{text}");
    }
    for text in ["DECLARE c CURSOR FOR TABLE t", "close c", "SELECT 1; CLOSE c", "/**/close c", "update t set a = 1; close c"] {
        assert!(may_open(text.as_bytes()), "{text}");
    }
    for text in ["FETCH c", "MOVE c", "UPDATE t SET a = 1 WHERE CURRENT OF c"] {
        assert!(!may_open(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_is_not_read_is_said() {
    assert!(!acts("CLOSE c;".repeat(ACTS_MAX).as_bytes()).beyond);
    assert!(acts("CLOSE c;".repeat(ACTS_MAX + 1).as_bytes()).beyond);
    assert!(acts(b"SELECT 'a\\'; CLOSE c").beyond);
}
