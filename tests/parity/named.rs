//! Named statements: every sequence of three messages about two of them and the unnamed one, with errors, transactions and SQL's DEALLOCATE; and
//! chosen scripts about names that exist, that do not, that are closed and prepared again in one batch.

use super::script::Script;
use super::support::raw::{bind, close, describe, execute, flush, parse, query, sync};

/// What can be said, as letters.
const LETTERS: &[u8] = b"PpxQBbDdCcEeuSHqTRXAY";

/// One of them.
fn message(letter: u8) -> Vec<u8> {
    match letter {
        b'P' => parse("a", "SELECT 'a', $1::int", &[]),
        b'p' => parse("a", "SELECT 'another', $1::text AS a", &[]),
        b'x' => parse("x", "SELEC", &[]),
        b'Q' => parse("b", "SELECT 'b' AS b, 2", &[]),
        b'B' => bind("", "a", &[Some("1")]),
        b'b' => bind("", "b", &[]),
        b'D' => describe(b'S', "a"),
        b'd' => describe(b'S', "b"),
        b'C' => close(b'S', "a"),
        b'c' => close(b'S', "b"),
        b'E' => execute("", 0),
        b'e' => execute("missing", 0),
        b'u' => [parse("", "SELECT 'unnamed'", &[]), bind("", "", &[]), describe(b'P', "")].concat(),
        b'S' => sync(),
        b'H' => flush(),
        b'q' => query("SELECT 2 AS two"),
        b'T' => query("BEGIN"),
        b'R' => query("ROLLBACK"),
        b'X' => query("DEALLOCATE a"),
        b'A' => query("DEALLOCATE ALL"),
        _ => query("SELECT 1/0"),
    }
}

/// Every sequence of three; before it `a` has been prepared (`cached`), or neither.
pub fn sequences(cached: bool) -> Vec<Script> {
    let a = if cached { parse("a", "SELECT 'a', $1::int", &[]) } else { Vec::new() };
    let before = [close(b'S', "a"), close(b'S', "b"), a, sync()].concat();
    let after = [sync(), query("ROLLBACK"), bind("", "a", &[Some("7")]), execute("", 0), sync()].concat();
    let count = LETTERS.len();
    let one = |number: usize| {
        let letters = [LETTERS[number / count / count], LETTERS[number / count % count], LETTERS[number % count]];
        let name = format!("{}, cached {cached}", String::from_utf8_lossy(&letters));
        let messages: Vec<Vec<u8>> = letters.into_iter().map(message).collect();
        Script::new(name, std::slice::from_ref(&before)).then(b'Z', &[messages.concat(), after.clone()])
    };
    (0..count.pow(3)).map(one).collect()
}

/// Bind, Describe of the portal, Execute.
fn used(statement: &str, values: &[Option<&str>]) -> Vec<u8> {
    [bind("", statement, values), describe(b'P', ""), execute("", 0)].concat()
}

/// Scripts that begin without any statement and leave none.
pub fn chosen() -> Vec<Script> {
    let mut all = Vec::new();
    let mut add = |name: &str, messages: &[Vec<u8>]| {
        let whole = [messages.concat(), sync(), query("ROLLBACK"), query("DEALLOCATE ALL")].concat();
        all.push(Script::new(format!("named: {name}"), &[whole]));
    };
    let p = |name: &str, text: &str| parse(name, text, &[]);
    let one_of_three = || [p("a", "SELECT 'a'"), p("b", "SELECT 'b', $1::int"), p("c", "SELECT 'c', $1::text, $2::int")].concat();
    let all_three = || [used("a", &[]), used("b", &[Some("2")]), used("c", &[Some("x"), Some("3")])].concat();
    add("three in a batch", &[one_of_three(), all_three()]);
    add("three in batches", &[one_of_three(), sync(), all_three(), sync(), all_three(), used("a", &[])]);
    add(
        "three in three batches",
        &[p("a", "SELECT 1"), sync(), p("b", "SELECT 2"), sync(), p("c", "SELECT 3"), sync(), used("a", &[]), used("b", &[])],
    );
    add(
        "the same text by two names",
        &[p("a", "SELECT 'x'"), p("b", "SELECT 'x'"), used("a", &[]), used("b", &[]), close(b'S', "a"), used("b", &[])],
    );
    add("a text that was there already", &[p("a", "SELECT 'x'"), sync(), p("b", "SELECT 'x'"), used("b", &[]), sync(), used("a", &[])]);
    add("a name that exists", &[p("a", "SELECT 1"), sync(), p("a", "SELECT 1"), used("a", &[]), sync(), used("a", &[])]);
    add("a name that exists in the batch", &[p("a", "SELECT 1"), p("a", "SELECT 2"), used("a", &[]), sync(), used("a", &[])]);
    add("closed and prepared again", &[p("a", "SELECT 1"), sync(), close(b'S', "a"), p("a", "SELECT 2, 3"), used("a", &[]), sync(), used("a", &[])]);
    add("prepared, closed, prepared", &[p("a", "SELECT 1"), close(b'S', "a"), p("a", "SELECT 2"), used("a", &[]), close(b'S', "a"), used("a", &[])]);
    add("closed twice", &[p("a", "SELECT 1"), close(b'S', "a"), close(b'S', "a"), sync(), close(b'S', "a"), sync()]);
    add(
        "a portal outlives its statement's Close",
        &[p("a", "SELECT 1"), bind("p", "a", &[]), close(b'S', "a"), execute("p", 0), bind("q", "a", &[])],
    );
    add("a portal's Close keeps the statement", &[p("a", "SELECT 1"), bind("p", "a", &[]), close(b'P', "p"), used("a", &[]), execute("p", 0)]);
    add("a failing Parse", &[p("a", "SELEC"), used("a", &[]), sync(), used("a", &[]), sync(), p("a", "SELECT 1"), used("a", &[])]);
    add("a Parse that was skipped", &[execute("missing", 0), p("a", "SELECT 1"), sync(), used("a", &[]), sync(), p("a", "SELECT 2"), used("a", &[])]);
    add("a Close that was skipped", &[p("a", "SELECT 1"), sync(), execute("missing", 0), close(b'S', "a"), sync(), used("a", &[])]);
    add(
        "a Close that was skipped, then another Parse",
        &[
            p("a", "SELECT 1"),
            sync(),
            execute("missing", 0),
            close(b'S', "a"),
            p("a", "SELECT 2"),
            sync(),
            p("a", "SELECT 3"),
            sync(),
            used("a", &[]),
        ],
    );
    add("a Describe of nothing", &[describe(b'S', "missing"), p("a", "SELECT 1"), sync(), used("a", &[]), sync(), describe(b'S', "missing")]);
    add("a Bind with too many", &[p("a", "SELECT 1"), bind("", "a", &[Some("1")]), execute("", 0), sync(), used("a", &[])]);
    add("in a failed transaction", &[query("BEGIN"), query("SELECT 1/0"), p("a", "SELECT 1"), sync(), query("ROLLBACK"), used("a", &[])]);
    add(
        "what ends a failed transaction",
        &[
            p("r", "ROLLBACK"),
            p("a", "SELECT 1"),
            sync(),
            query("BEGIN"),
            query("SELECT 1/0"),
            used("a", &[]),
            sync(),
            used("r", &[]),
            sync(),
            used("a", &[]),
        ],
    );
    add(
        "prepared in a failed transaction to end it",
        &[query("BEGIN"), query("SELECT 1/0"), p("r", "ROLLBACK"), used("r", &[]), sync(), used("r", &[])],
    );
    add("prepared in a transaction that is rolled back", &[query("BEGIN"), p("a", "SELECT 1"), sync(), query("ROLLBACK"), used("a", &[])]);
    add("transactions by names", &[p("b", "BEGIN"), p("c", "COMMIT"), used("b", &[]), used("b", &[]), used("c", &[]), sync(), used("c", &[])]);
    add("DEALLOCATE", &[p("a", "SELECT 1"), sync(), query("DEALLOCATE a"), used("a", &[]), sync(), p("a", "SELECT 2"), used("a", &[])]);
    add(
        "DEALLOCATE of nothing",
        &[query("DEALLOCATE a"), query("DEALLOCATE PREPARE \"A\""), p("a", "SELECT 1"), sync(), query("DEALLOCATE PREPARE A")],
    );
    add("DEALLOCATE in one batch", &[p("a", "SELECT 1"), p("", "DEALLOCATE a"), used("", &[]), used("a", &[])]);
    add("DEALLOCATE ALL", &[p("a", "SELECT 1"), p("b", "SELECT 2"), sync(), query("DEALLOCATE ALL"), used("a", &[]), sync(), used("b", &[])]);
    add("DISCARD ALL", &[p("a", "SELECT 1"), sync(), query("DISCARD ALL"), used("a", &[]), sync(), p("a", "SELECT 2"), used("a", &[])]);
    add("DEALLOCATE ALL by the extended protocol", &[p("a", "SELECT 1"), sync(), p("", "DEALLOCATE ALL"), used("", &[]), sync(), used("a", &[])]);
    add(
        "DEALLOCATE in a transaction that is rolled back",
        &[p("a", "SELECT 1"), sync(), query("BEGIN"), query("DEALLOCATE a"), query("ROLLBACK"), used("a", &[])],
    );
    add("DEALLOCATE ALL in a query that fails", &[p("a", "SELECT 1"), sync(), query("DEALLOCATE ALL; SELECT 1/0"), used("a", &[])]);
    add("PREPARE and the protocol share their names", &[query("PREPARE s(int) AS SELECT $1"), used("s", &[Some("5")]), query("EXECUTE s(6)")]);
    add("an unnamed one in between", &[p("a", "SELECT 1"), p("", "SELECT 2"), used("a", &[]), used("", &[]), sync(), used("a", &[]), used("", &[])]);
    add("types are part of it", &[parse("a", "SELECT $1", &[23]), parse("b", "SELECT $1", &[25]), used("a", &[Some("1")]), used("b", &[Some("x")])]);
    add("an empty one", &[p("a", ""), describe(b'S', "a"), used("a", &[]), p("b", "-- nothing"), used("b", &[])]);
    add("two statements in one", &[p("a", "SELECT 1; SELECT 2"), sync(), used("a", &[]), sync()]);
    add(
        "a table that comes later",
        &[p("a", "TABLE later"), sync(), query("CREATE TABLE later ()"), p("a", "TABLE later"), used("a", &[]), query("DROP TABLE later")],
    );
    add(
        "Flushes all over",
        &[p("a", "SELECT 1"), flush(), bind("", "a", &[]), flush(), execute("", 0), flush(), close(b'S', "a"), flush(), used("a", &[])],
    );
    add(
        "a bad text under a name that exists",
        &[p("a", "SELECT 1"), sync(), p("a", "SELEC"), sync(), p("a", "TABLE missing"), sync(), used("a", &[])],
    );
    add("a bad text under a name of the same batch", &[p("a", "SELECT 1"), p("a", "SELEC"), used("a", &[]), sync(), used("a", &[])]);
    let long = |last: char| format!("{}{last}", "n".repeat(63));
    add("names are told apart by 63 bytes", &[p(&long('a'), "SELECT 1"), sync(), p(&long('b'), "SELECT 2"), sync(), used(&long('c'), &[])]);
    add("long names that are dropped", &[p(&long('a'), "SELECT 1"), sync(), close(b'S', &long('b')), used(&long('a'), &[]), sync()]);
    add("a name that is too long in SQL", &[p(&long('a'), "SELECT 1"), sync(), query(&format!("DEALLOCATE {}", long('b'))), used(&long('a'), &[])]);
    add(
        "EXECUTE of the protocol's",
        &[p("a", "SELECT $1::int"), sync(), query("EXECUTE a(3)"), query("SELECT 1; EXECUTE a(4)"), used("a", &[Some("5")])],
    );
    add(
        "DEALLOCATE among others",
        &[p("a", "SELECT 1"), p("b", "SELECT 2"), sync(), query("SELECT 1; DEALLOCATE a"), query("EXECUTE a"), query("EXECUTE b")],
    );
    add(
        "a name that exists, then DEALLOCATE ALL and once more",
        &[
            p("a", "SELECT 1"),
            sync(),
            p("a", "SELECT 1"),
            sync(),
            query("DEALLOCATE ALL"),
            p("a", "SELECT 2"),
            used("a", &[]),
            sync(),
            used("a", &[]),
        ],
    );
    add(
        "DEALLOCATE ALL that fails, and a use behind it",
        &[p("a", "SELECT 1"), sync(), query("DEALLOCATE ALL; SELECT 1/0"), used("a", &[]), sync(), p("a", "SELECT 2"), used("a", &[])],
    );
    add(
        "DEALLOCATE in two batches",
        &[
            p("a", "SELECT 1"),
            p("b", "SELECT 2"),
            p("", "DEALLOCATE a"),
            sync(),
            bind("", "", &[]),
            execute("", 0),
            sync(),
            used("a", &[]),
            sync(),
            used("b", &[]),
        ],
    );
    add(
        "DEALLOCATE in two batches, of what has gone",
        &[
            p("a", "SELECT 1"),
            p("", "DEALLOCATE a"),
            sync(),
            bind("", "", &[]),
            execute("", 0),
            execute("", 0),
            sync(),
            bind("", "", &[]),
            execute("", 0),
        ],
    );
    add(
        "DEALLOCATE ALL in two batches",
        &[p("a", "SELECT 1"), p("", "DEALLOCATE ALL"), sync(), bind("", "", &[]), execute("", 0), p("a", "SELECT 2"), sync(), used("a", &[])],
    );
    add(
        "EXECUTE by the protocol",
        &[p("a", "SELECT $1::int"), p("e", "EXECUTE a(7)"), used("e", &[]), sync(), used("e", &[]), sync(), p("", "EXECUTE a(8)"), used("", &[])],
    );
    add("names that look like ours", &[used("__pgdog_999999", &[]), sync(), describe(b'S', "__pgdog_999999"), sync(), query("SELECT 1")]);
    all
}
