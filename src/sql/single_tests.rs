//! Every form, in several spellings, and what only looks like one.

use super::super::look;
use super::*;

fn read(text: &str) -> Statement<'_> {
    look::look(text.as_bytes()).statement
}

fn word(word: &str) -> Word<'_> {
    Word(word.as_bytes())
}

fn set(name: &str) -> Statement<'_> {
    Statement::Set { name: word(name), local: false }
}

#[test]
fn a_transaction_begins() {
    #[rustfmt::skip]
    let texts = [
        "BEGIN", "begin;", " ; BEGIN ; ; ", "BEGIN WORK", "BeGiN TRANSACTION;", "START TRANSACTION", "/* a */BEGIN -- b", "BEGIN/**/READ--\nONLY",
        "BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE",
        "BEGIN TRANSACTION READ WRITE NOT DEFERRABLE ISOLATION LEVEL READ COMMITTED", "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ WRITE;",
    ];
    for text in texts {
        assert_eq!(look::look(text.as_bytes()), look::Look { statement: Statement::Begin, may: super::super::May::NOTHING }, "{text}");
    }
    #[rustfmt::skip]
    let texts = [
        "START", "START WORK", "BEGIN READ", "BEGIN READ ONLY,", "BEGIN , READ ONLY", "BEGIN READ ONLY, , READ WRITE", "BEGIN READ ONLY READ WRITE",
        "BEGIN ISOLATION", "BEGIN ISOLATION LEVEL", "BEGIN ISOLATION LEVEL READ", "BEGIN ISOLATION LEVEL SNAPSHOT", "BEGIN NOT", "BEGIN ATOMIC",
        "BEGIN x", "BEGIN 'a'", "BEGIN WORK TRANSACTION", "\"begin\"", "BEGIN; SELECT 1", "BEGINX", "BEGIN $1", "START TRANSACTION WORK",
        "BEGIN \"work\"",
    ];
    for text in texts {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn a_transaction_ends() {
    for text in ["COMMIT", "end;", "COMMIT WORK", "END TRANSACTION ;", "COMMIT AND NO CHAIN", "COMMIT TRANSACTION AND NO CHAIN"] {
        assert_eq!(read(text), Statement::Commit, "{text}");
    }
    for text in ["ROLLBACK", "abort", "ROLLBACK WORK;", "ABORT TRANSACTION", "ROLLBACK AND NO CHAIN"] {
        assert_eq!(read(text), Statement::Rollback, "{text}");
    }
    #[rustfmt::skip]
    let texts = [
        "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "ROLLBACK WORK TO a", "COMMIT PREPARED 'a'",
        "ROLLBACK PREPARED 'a'", "COMMIT AND", "COMMIT AND NO", "COMMIT x", "COMMIT; COMMIT", "SAVEPOINT a", "RELEASE a",
    ];
    for text in texts {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn parameters_are_set() {
    assert_eq!(read("SET a = 1"), set("a"));
    assert_eq!(read("set Search_Path to a, b;"), set("Search_Path"));
    assert_eq!(read("SET SESSION a TO DEFAULT"), set("a"));
    assert_eq!(read("SET/**/a.b.c='x;y'"), set("a.b.c"));
    assert_eq!(read("SET \"TimeZone\" TO 'UTC'"), set("\"TimeZone\""));
    assert_eq!(read("SET LOCAL a = 1"), Statement::Set { name: word("a"), local: true });
    assert_eq!(read("SET session.a = 1"), set("session.a"));
    assert_eq!(read("SET local = 1"), set("local"));
    assert_eq!(read("SET TIME ZONE 'UTC'"), set("TimeZone"));
    assert_eq!(read("SET LOCAL TIME ZONE LOCAL"), Statement::Set { name: word("TimeZone"), local: true });
    assert_eq!(read("SET SESSION TIME ZONE 3"), set("TimeZone"));
    assert_eq!(read("SET NAMES 'latin1'"), set("client_encoding"));
    assert_eq!(read("SET NAMES"), set("client_encoding"));
    assert_eq!(read("SET ROLE NONE"), set("role"));
    assert_eq!(read("SET LOCAL ROLE x"), Statement::Set { name: word("role"), local: true });
    assert_eq!(read("SET role TO x"), set("role"));
    assert_eq!(read("SET SESSION AUTHORIZATION DEFAULT"), set("session_authorization"));
    assert_eq!(read("SET SESSION SESSION AUTHORIZATION x"), set("session_authorization"));
    assert_eq!(read("SET LOCAL SESSION AUTHORIZATION x"), Statement::Set { name: word("session_authorization"), local: true });
    assert_eq!(read("SET SCHEMA 'a'"), set("search_path"));
    assert_eq!(read("SET XML OPTION DOCUMENT"), set("xmloption"));
    assert_eq!(read("SET seed TO 0.5"), set("seed"));
    #[rustfmt::skip]
    let texts = [
        "SET", "SET a", "SET LOCAL", "SET TRANSACTION READ ONLY", "SET LOCAL TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED",
        "SET a . b = 1", "SET a.=1", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET a FROM CURRENT", "SET U&\"a\" = 1",
        "SET a = 1; SET b = 2", "SET 'a' = 1", "SET TIME ZONE", "SET ROLE", "SET SCHEMA", "SET \"\" = 1",
    ];
    for text in texts {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn parameters_are_reset() {
    let reset = |name| Statement::Reset { name: word(name) };
    assert_eq!(read("RESET a"), reset("a"));
    assert_eq!(read("reset a.B;"), reset("a.B"));
    assert_eq!(read("RESET TIME ZONE"), reset("TimeZone"));
    assert_eq!(read("RESET time"), reset("time"));
    assert_eq!(read("RESET SESSION AUTHORIZATION"), reset("session_authorization"));
    assert_eq!(read("RESET ROLE"), reset("ROLE"));
    assert_eq!(read("RESET ALL"), Statement::ResetAll);
    assert_eq!(read("RESET \"all\""), reset("\"all\""));
    for text in ["RESET", "RESET a b", "RESET ALL a", "RESET TRANSACTION ISOLATION LEVEL", "RESET a; RESET b", "RESET SESSION"] {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn statements_are_prepared_run_and_dropped() {
    assert_eq!(read("PREPARE a AS SELECT 1"), Statement::Prepare { name: word("a") });
    assert_eq!(read("PREPARE \"A\"(int, text) AS SELECT $1;"), Statement::Prepare { name: word("\"A\"") });
    assert_eq!(read("PREPARE transaction AS SELECT 1"), Statement::Prepare { name: word("transaction") });
    assert_eq!(read("EXECUTE a"), Statement::Execute { name: word("a") });
    assert_eq!(read("EXECUTE a(1, now());"), Statement::Execute { name: word("a") });
    assert_eq!(read("DEALLOCATE a"), Statement::Deallocate { name: word("a") });
    assert_eq!(read("DEALLOCATE PREPARE a;"), Statement::Deallocate { name: word("a") });
    assert_eq!(read("DEALLOCATE prepare"), Statement::Deallocate { name: word("prepare") });
    assert_eq!(read("DEALLOCATE ALL"), Statement::DeallocateAll);
    assert_eq!(read("DEALLOCATE PREPARE ALL"), Statement::DeallocateAll);
    assert_eq!(read("DEALLOCATE \"all\""), Statement::Deallocate { name: word("\"all\"") });
    for text in ["PREPARE TRANSACTION 'a'", "PREPARE", "PREPARE a", "EXECUTE", "EXECUTE a b", "DEALLOCATE", "DEALLOCATE a b", "DEALLOCATE ALL a"] {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn the_rest() {
    assert_eq!(read("LISTEN a"), Statement::Listen { channel: word("a") });
    assert_eq!(read("UNLISTEN A;"), Statement::Unlisten { channel: word("A") });
    assert_eq!(read("UNLISTEN *"), Statement::UnlistenAll);
    assert_eq!(read("DISCARD ALL"), Statement::DiscardAll);
    for text in ["", " ", ";", " ; ;\n", "-- a", "/* a */;", "/* a", "\t\r\n\x0b\x0c"] {
        assert_eq!(look::look(text.as_bytes()), look::Look { statement: Statement::Empty, may: super::super::May::NOTHING }, "{text:?}");
    }
    for text in
        ["LISTEN", "LISTEN a b", "LISTEN 'a'", "UNLISTEN", "UNLISTEN * a", "DISCARD", "DISCARD PLANS", "DISCARD ALL a", "SELECT 1", "(BEGIN)", "1"]
    {
        assert_eq!(read(text), Statement::Other, "{text}");
    }
}

#[test]
fn names_are_folded_as_postgresql_does() {
    let name = |text: &'static str| word(text).name().into_owned();
    assert_eq!(name("abc_1$"), b"abc_1$");
    assert_eq!(name("ABC"), b"abc");
    assert_eq!(name("\"ABC\""), b"ABC");
    assert_eq!(name("\"a\"\"B\"\"\""), b"a\"B\"");
    assert_eq!(name("A.\"B\".C"), b"a.B.c");
    assert_eq!(name("\u{c4}B"), "\u{c4}b".as_bytes(), "what is not ASCII is left alone");
    assert!(matches!(word("abc").name(), Cow::Borrowed(b"abc")), "nothing to fold, nothing to allocate");
    assert_eq!(word("\"A\"").raw(), b"\"A\"");
}
