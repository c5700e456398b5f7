//! The scripts: every sequence of three messages with an error at each place, and chosen ones about COPY, transactions, function calls, notices.

use super::script::{Script, Seeded};
use super::support::raw::{bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, frame, parse, query, sync};

/// What every database of these tests holds.
pub const SCHEMA: &str = "
    CREATE TABLE copied (a int CHECK (a <> 13));
    CREATE TABLE guarded (a int);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'guarded'; END $$;
    CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH STATEMENT EXECUTE FUNCTION refuse();
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION loud(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'heard %', $1; RETURN $1; END $$;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
";

/// The kinds of message, as letters; `d` and `D`, `c` and `C` are about statement and portal.
pub const KINDS: &[u8] = b"PBdDEcCHSQ";

/// One message; None where that kind of message cannot fail (or PostgreSQL does not call it an error).
pub fn message(kind: u8, fails: bool, name: &str) -> Option<Vec<u8>> {
    Some(match (kind, fails) {
        (b'P', false) => parse(name, "SELECT 1 AS one, 'x'::text", &[]),
        (b'P', true) => parse(name, "SELEC 1", &[]),
        (b'B', false) => bind("", name, &[]),
        (b'B', true) => bind("", name, &[Some("one too many")]),
        (b'd', false) => describe(b'S', name),
        (b'D', false) => describe(b'P', ""),
        (b'D', true) => describe(b'P', "missing"),
        (b'E', false) => execute("", 0),
        (b'E', true) => execute("missing", 0),
        (b'c', false) => close(b'S', name),
        (b'C', false) => close(b'P', ""),
        (b'H', false) => flush(),
        (b'S', false) => sync(),
        (b'Q', false) => query("SELECT 2 AS two"),
        (b'Q', true) => query("SELECT 1/0"),
        _ => return None,
    })
}

/// Every sequence of three kinds and a Sync: without an error, and with one at each place. In half of them (`fresh`) no unnamed statement exists
/// before, in the others there is one.
pub fn sequences(name: &str, fresh: bool) -> Vec<Script> {
    // In a write and with a reply of its own, so that a pooler may change servers in between.
    let before =
        if fresh { [close(b'S', name), query("")].concat() } else { [close(b'S', name), parse(name, "SELECT 3 AS three", &[]), sync()].concat() };
    let mut all = Vec::new();
    for number in 0..KINDS.len().pow(3) {
        let kinds = [KINDS[number / 100], KINDS[number / 10 % 10], KINDS[number % 10]];
        for failing in 0..4 {
            let messages: Option<Vec<Vec<u8>>> = (0..3).map(|at| message(kinds[at], at == failing, name)).collect();
            let Some(messages) = messages else { continue };
            let title = format!("{} failing at {failing}, fresh {fresh}, name {name:?}", String::from_utf8_lossy(&kinds));
            all.push(Script::new(title, std::slice::from_ref(&before)).then(b'Z', &[messages.concat(), sync()]));
        }
    }
    all
}

/// `count` of them, always the same.
pub fn sample(mut all: Vec<Script>, count: usize, seed: u64) -> Vec<Script> {
    let mut seeded = Seeded(seed);
    while all.len() > count {
        let at = seeded.below(all.len());
        all.swap_remove(at);
    }
    all
}

fn extended(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn row(text: &str) -> Vec<u8> {
    copy_data(format!("{text}\n").as_bytes())
}

/// FunctionCall of a function by its oid, with arguments and result as text.
pub fn call(oid: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = [oid.to_be_bytes().as_slice(), &[0, 0], &(arguments.len() as u16).to_be_bytes()].concat();
    for argument in arguments {
        body.extend((argument.len() as u32).to_be_bytes());
        body.extend(argument.as_bytes());
    }
    body.extend([0, 0]);
    frame(b'F', &body)
}

const IN: &str = "COPY copied FROM STDIN";
const GUARDED: &str = "COPY guarded FROM STDIN";

/// COPY in everything that can go wrong around it: in one write, so that the data come before anybody knows whether there is a COPY.
fn copies_at_once() -> Vec<Script> {
    let done = copy_done;
    let mut all = Vec::new();
    for (what, sql, rows) in [
        ("good", IN, vec![row("1"), row("2"), row("3")]),
        ("no rows", IN, vec![]),
        ("bad first row", IN, vec![row("x"), row("2")]),
        ("bad row 2", IN, vec![row("1"), row("x"), row("3")]),
        ("bad last row", IN, vec![row("1"), row("2"), row("13")]),
        ("rows cut anywhere", IN, vec![copy_data(b"1"), copy_data(b"2\n3"), copy_data(b""), copy_data(b"\n")]),
        ("before trigger", GUARDED, vec![row("1")]),
        ("no such table", "COPY missing FROM STDIN", vec![row("1")]),
        ("no COPY", "SELECT 1", vec![row("1")]),
        ("COPY TO", "COPY (SELECT generate_series(1, 3)) TO STDOUT", vec![row("1")]),
    ] {
        let rows = rows.concat();
        let mut add = |how: &str, messages: &[Vec<u8>]| all.push(Script::new(format!("COPY {what}: {how}"), messages));
        for (end, last) in [("done", done()), ("failed", copy_fail("no more")), ("done twice", [done(), done()].concat())] {
            add(&format!("simple, {end}"), &[query(sql), rows.clone(), last.clone()]);
            add(&format!("simple and a query, {end}"), &[query(sql), rows.clone(), last.clone(), query("SELECT 5"), sync()]);
            add(&format!("simple with Sync in it, {end}"), &[query(sql), sync(), rows.clone(), sync(), flush(), last.clone(), sync()]);
            add(&format!("extended, {end}"), &[extended(sql), rows.clone(), last.clone(), sync()]);
            add(&format!("extended, Sync first, {end}"), &[extended(sql), sync(), rows.clone(), last.clone(), sync()]);
            add(&format!("extended, Sync behind, {end}"), &[extended(sql), rows.clone(), sync(), flush(), last.clone(), sync()]);
            add(&format!("extended, Syncs all over, {end}"), &[extended(sql), sync(), rows.clone(), sync(), sync(), last.clone(), sync(), sync()]);
            add(&format!("extended and more, {end}"), &[extended(sql), sync(), rows.clone(), last.clone(), sync(), extended("SELECT 6"), sync()]);
            add(&format!("extended and a query, {end}"), &[extended(sql), rows.clone(), last.clone(), query("SELECT 7"), sync()]);
        }
        add("in a transaction", &[query("BEGIN"), query(sql), rows.clone(), done(), query("SELECT 8"), query("ROLLBACK")]);
        add("extended in a transaction", &[query("BEGIN"), extended(sql), sync(), rows.clone(), done(), sync(), query("ROLLBACK")]);
        add("two in one query", &[query(&format!("{sql}; {IN}")), rows.clone(), done(), row("4"), done(), query("SELECT 9")]);
        add("after an error", &[parse("", "SELEC", &[]), extended(sql), sync(), extended(sql), rows.clone(), done(), sync()]);
    }
    all
}

/// The same when the client waits for CopyInResponse, as most do.
fn copies_in_turn() -> Vec<Script> {
    let mut all = Vec::new();
    for (what, rows) in [("good", [row("1"), row("2")]), ("bad row 1", [row("x"), row("2")]), ("bad row 2", [row("1"), row("x")])] {
        let rows = rows.concat();
        for (end, last) in [("done", copy_done()), ("failed", copy_fail("no more")), ("done twice", [copy_done(), copy_done()].concat())] {
            let mut add = |how: &str, first: &[Vec<u8>], then: &[Vec<u8>]| {
                all.push(Script::new(format!("COPY in turn, {what}: {how}, {end}"), first).then(b'G', then));
            };
            add("simple", &[query(IN)], &[rows.clone(), last.clone()]);
            add("simple with Sync", &[query(IN), sync()], &[rows.clone(), sync(), last.clone(), sync()]);
            add("extended", &[extended(IN), flush()], &[rows.clone(), last.clone(), sync()]);
            add("Sync first", &[extended(IN), sync()], &[rows.clone(), last.clone(), sync()]);
            add("Sync behind", &[extended(IN), flush()], &[rows.clone(), sync(), flush(), last.clone(), sync()]);
            add("Syncs all over", &[extended(IN), sync()], &[sync(), rows.clone(), sync(), last.clone(), sync(), sync()]);
            add("and more", &[extended(IN), sync()], &[rows.clone(), last.clone(), sync(), extended("SELECT 5"), sync(), query("SELECT 6")]);
        }
    }
    let mut guarded = |how: &str, first: &[Vec<u8>], tag: u8, then: &[Vec<u8>]| {
        all.push(Script::new(format!("COPY in turn, before trigger: {how}"), first).then(tag, then));
    };
    guarded("simple", &[query(GUARDED)], b'G', &[row("1"), copy_done()]);
    guarded("Sync first", &[extended(GUARDED), sync()], b'G', &[row("1"), copy_done(), sync()]);
    guarded("Sync first, seen", &[extended(GUARDED), sync()], b'E', &[copy_done(), sync()]);
    guarded("Sync first, all seen", &[extended(GUARDED), sync()], b'Z', &[query("SELECT 5")]);
    guarded("simple, Sync first", &[query(GUARDED), sync(), sync()], b'Z', &[query("SELECT 6")]);
    let script = Script::new("COPY in turn, before trigger: in a transaction", &[query("BEGIN")]);
    all.push(script.then(b'Z', &[extended(GUARDED), sync()]).then(b'E', &[]).then(b'Z', &[query("ROLLBACK"), sync()]));
    all
}

fn calls_and_transactions() -> Vec<Script> {
    let script = |name: &str, messages: &[Vec<u8>]| Script::new(name, messages);
    let broken = || parse("", "SELEC", &[]);
    vec![
        script("function calls", &[call(177, &["40", "2"]), call(154, &["1", "0"]), call(177, &["1"]), call(1, &[]), sync()]),
        script("a function call is skipped", &[broken(), call(177, &["40", "2"]), query("SELECT 1"), sync(), call(177, &["1", "2"])]),
        script("a function call in a failed transaction", &[query("BEGIN"), query("SELEC"), call(177, &["1", "2"]), query("ROLLBACK")]),
        script("several statements", &[query("SELECT 1; SELECT 2; SELECT 3")]),
        script("several statements, one fails", &[query("SELECT 1; SELECT 1/0; SELECT 3"), query("SELECT 4")]),
        script("several with a transaction", &[query("BEGIN; SELECT 1; COMMIT; SELECT 2"), query("SELECT 1; BEGIN"), query("COMMIT; SELECT 2")]),
        script("empty ones", &[query(""), query(";;"), query("-- nothing"), extended(""), sync(), extended(" ; "), sync(), sync(), flush()]),
        script("nothing but Syncs", &[sync(), sync(), flush(), sync()]),
        script("COPY messages outside of COPY", &[copy_done(), copy_data(b"x"), copy_fail("y"), sync(), copy_done(), query("SELECT 1"), copy_done()]),
        script(
            "savepoints",
            &[
                query("BEGIN"),
                query("SAVEPOINT a"),
                query("SELECT 1/0"),
                query("SELECT 1"),
                query("ROLLBACK TO a"),
                query("SELECT 2"),
                extended("SELECT 1/(random() * 0)::int"),
                query("SELECT 3"),
                sync(),
                query("ROLLBACK TO a"),
                extended("RELEASE a"),
                sync(),
                query("COMMIT"),
            ],
        ),
        script(
            "a transaction by the extended protocol",
            &[
                extended("BEGIN"),
                extended("SELECT 1"),
                extended("SELECT 1/(random() * 0)::int"),
                extended("SELECT 2"),
                sync(),
                extended("SELECT 3"),
                sync(),
                extended("ROLLBACK"),
                sync(),
            ],
        ),
        script("COMMIT of a failed transaction", &[query("BEGIN"), query("SELEC"), query("COMMIT"), query("COMMIT"), query("ROLLBACK")]),
        script(
            "a portal over Syncs",
            &[
                query("BEGIN"),
                parse("", "SELECT generate_series(1, 5)", &[]),
                bind("p", "", &[]),
                execute("p", 2),
                sync(),
                execute("p", 2),
                flush(),
                describe(b'P', "p"),
                execute("p", 2),
                execute("p", 2),
                sync(),
                close(b'P', "p"),
                execute("p", 0),
                sync(),
                query("COMMIT"),
            ],
        ),
        script(
            "suspended",
            &[parse("", "SELECT generate_series(1, 3)", &[]), bind("", "", &[]), execute("", 1), execute("", 1), execute("", 5), sync()],
        ),
        script(
            "fails at run time",
            &[extended("SELECT 1/(random() * 0)::int"), extended("SELECT 1"), query("SELECT 2"), sync(), extended("SELECT 3"), sync()],
        ),
        script(
            "parameters",
            &[
                parse("", "SELECT $1::int + $2, $3", &[23, 0, 25]),
                describe(b'S', ""),
                bind("", "", &[Some("1"), Some("2"), None]),
                describe(b'P', ""),
                execute("", 0),
                bind("", "", &[Some("x"), None, None]),
                execute("", 0),
                sync(),
                bind("", "", &[None, None, Some("y")]),
                execute("", 0),
                sync(),
            ],
        ),
        script(
            "malformed bodies",
            &[
                frame(b'E', b""),
                sync(),
                frame(b'P', b"\0SELECT 1\0\0\x05"),
                sync(),
                parse("", "SELECT 1", &[]),
                frame(b'B', b"\0\0\0\x01\0\0"),
                sync(),
                frame(b'Q', b"SELECT 1\0\0"),
                sync(),
            ],
        ),
        script("a deferred constraint at COMMIT", &[query("BEGIN; INSERT INTO child VALUES (1)"), query("COMMIT"), query("SELECT 1")]),
        script("a deferred constraint at Sync", &[extended("INSERT INTO child VALUES (1)"), sync(), extended("SELECT 1"), sync()]),
        script("a deferred constraint at the end of a query", &[query("INSERT INTO child VALUES (1); SELECT 1"), query("SELECT 2")]),
        script("a deferred constraint before a query", &[extended("INSERT INTO child VALUES (1)"), query("SELECT 1"), sync(), query("SELECT 2")]),
        script(
            "a deferred constraint checked at once",
            &[extended("INSERT INTO child VALUES (1)"), extended("SET CONSTRAINTS ALL IMMEDIATE"), extended("SELECT 1"), sync()],
        ),
    ]
}

fn notices_and_sizes() -> Vec<Script> {
    let script = |name: &str, messages: &[Vec<u8>]| Script::new(name, messages);
    let long = "y".repeat(70_000);
    let rows = copy_data("7\n".repeat(40_000).as_bytes());
    vec![
        script("notices in rows", &[query("SELECT loud('a'), loud('b')"), extended("SELECT loud('c')"), sync(), query("SELECT loud('d'), 1/0")]),
        script("a notice at COMMIT", &[query("COMMIT"), extended("ROLLBACK"), sync(), query("SELECT 1")]),
        script("a notice in Parse", &[extended(&format!("SELECT 1 AS {}", "n".repeat(70))), sync()]),
        script("a notice in COPY", &[query("COPY (SELECT loud(g::text) FROM generate_series(1, 3) g) TO STDOUT")]),
        script(
            "a notice and an error",
            &[extended("SELECT loud('e') || 1/(random() * 0)::int"), query("SELECT loud('f')"), sync(), query("SELECT loud('g')")],
        ),
        script(
            "a long row",
            &[
                query("SELECT repeat('x', 300000), 1"),
                query("SELECT repeat('x', 7), repeat('z', 70000)"),
                extended("SELECT repeat('y', 100000)"),
                sync(),
            ],
        ),
        script("a long error", &[query("SELECT repeat('x', 20000)::int"), extended("SELECT repeat('x', 20000)::int"), sync(), query("SELECT 1")]),
        script("a long query", &[query(&format!("SELECT length('{long}')")), extended(&format!("SELECT length('{long}')")), sync()]),
        script("a long parameter", &[parse("", "SELECT length($1)", &[25]), bind("", "", &[Some(&long)]), execute("", 0), sync()]),
        script("a long COPY", &[query(IN), rows.clone(), rows.clone(), copy_done(), query("TRUNCATE copied")]),
        script("a long COPY with a bad end", &[extended(IN), rows.clone(), rows, row("x"), copy_done(), sync()]),
        script("many rows", &[query("SELECT generate_series(1, 5000)"), extended("SELECT generate_series(1, 5000)"), sync()]),
        script("a deep pipeline", &vec![extended("SELECT 1"); 500].into_iter().chain([sync()]).collect::<Vec<_>>()),
        script("many Syncs", &vec![[extended("SELECT 1"), sync()].concat(); 500]),
        script("many errors", &vec![[extended("SELECT 1/(random() * 0)::int"), extended("SELECT 2"), query("SELECT 3"), sync()].concat(); 100]),
    ]
}

/// Transactions that begin and end by the extended protocol, in every form, and what is nearly one.
fn bounds() -> Vec<Script> {
    let mut all = Vec::new();
    let begin = |text: &str| [parse("", text, &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat();
    let run = |name: &str| [bind("", name, &[]), execute("", 0), sync()].concat();
    let shows = || query("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), now() = statement_timestamp()");
    let mut add = |name: &str, parts: &[Vec<u8>]| {
        // Each part by itself, so that a pooler may change servers in between, and all at once.
        let mut script = Script::new(format!("bounds: {name}, in turn"), &parts[..1]);
        for part in &parts[1..] {
            script = script.then(b'Z', std::slice::from_ref(part));
        }
        let end = [sync(), query("ROLLBACK"), query("DEALLOCATE ALL")].concat();
        all.push(script.then(b'Z', std::slice::from_ref(&end)));
        all.push(Script::new(format!("bounds: {name}"), &[parts.concat(), end]));
    };
    add("nothing", &[begin("BEGIN"), begin("COMMIT")]);
    add("nothing rolled back", &[begin("START TRANSACTION"), begin("ROLLBACK"), begin("begin work"), begin("ABORT"), begin("Begin;"), begin("end;")]);
    add("simple and extended", &[query("BEGIN"), begin("COMMIT"), begin("BEGIN"), query("COMMIT"), begin("BEGIN"), query("SELECT 1"), begin("END")]);
    for modes in ["ISOLATION LEVEL SERIALIZABLE, READ ONLY", "READ WRITE", "ISOLATION LEVEL REPEATABLE READ READ ONLY DEFERRABLE"] {
        add(modes, &[begin(&format!("BEGIN {modes}")), shows(), begin("SELECT 2"), begin("COMMIT")]);
    }
    add("errors", &[begin("BEGIN"), query("SELECT 1/0"), begin("SELECT 1"), begin("COMMIT"), begin("BEGIN"), begin("SELEC"), begin("ROLLBACK")]);
    add("twice", &[begin("BEGIN"), begin("BEGIN"), begin("COMMIT"), begin("COMMIT"), begin("ROLLBACK")]);
    add("chained", &[begin("BEGIN"), begin("COMMIT AND CHAIN"), begin("COMMIT AND NO CHAIN")]);
    let named = |name: &str, text: &str| [parse(name, text, &[]), describe(b'S', name), sync()].concat();
    add(
        "by names",
        &[
            named("b", "BEGIN"),
            named("c", "COMMIT"),
            run("b"),
            run("c"),
            run("b"),
            begin("SELECT 1"),
            run("c"),
            run("b"),
            run("b"),
            run("c"),
            run("c"),
        ],
    );
    add("a name twice", &[named("b", "BEGIN"), named("b", "BEGIN"), run("b"), named("b", "BEGIN"), begin("SELECT 1"), begin("END")]);
    add("a name closed", &[named("b", "BEGIN"), [close(b'S', "b"), sync()].concat(), run("b"), named("b", "SELECT 1"), run("b")]);
    add("a name dropped", &[named("b", "BEGIN"), query("DEALLOCATE b"), run("b"), named("b", "BEGIN"), query("DEALLOCATE ALL"), run("b")]);
    add("a name of a transaction that is rolled back", &[begin("BEGIN"), named("c", "COMMIT"), begin("ROLLBACK"), begin("BEGIN"), run("c")]);
    add("the unnamed one again", &[begin("BEGIN"), run(""), begin("SELECT 1"), run(""), begin("COMMIT"), run(""), run("")]);
    add("the unnamed one in between", &[named("", "SELECT 'kept'"), named("b", "BEGIN"), run("b"), run(""), begin("COMMIT"), run("")]);
    add("the unnamed one dropped", &[begin("BEGIN"), query("COMMIT"), run("")]);
    add("more behind it", &[[extended("BEGIN"), extended("SELECT 1"), sync()].concat(), begin("COMMIT")]);
    add("more in front of it", &[[extended("SELECT 1"), extended("BEGIN"), sync()].concat(), begin("COMMIT")]);
    add(
        "both in a batch",
        &[[extended("BEGIN"), extended("COMMIT"), sync()].concat(), [extended("BEGIN"), extended("SELECT 1"), begin("COMMIT")].concat()],
    );
    add("a query behind it", &[[extended("BEGIN"), query("SELECT 1")].concat(), begin("COMMIT")]);
    add("without a Sync", &[[extended("BEGIN"), flush(), extended("COMMIT"), flush(), sync()].concat()]);
    add("without Execute", &[[parse("", "BEGIN", &[]), bind("", "", &[]), sync()].concat(), begin("BEGIN"), begin("COMMIT")]);
    add("with a limit", &[[parse("", "BEGIN", &[]), bind("", "", &[]), execute("", 1), sync()].concat(), begin("COMMIT")]);
    add("executed twice", &[[extended("BEGIN"), execute("", 0), sync()].concat(), begin("COMMIT")]);
    add("with a portal's name", &[[parse("", "BEGIN", &[]), bind("p", "", &[]), execute("p", 0), sync()].concat(), begin("COMMIT")]);
    add("one value too many", &[[parse("", "BEGIN", &[]), bind("", "", &[Some("1")]), execute("", 0), sync()].concat(), begin("COMMIT")]);
    add("with types", &[[parse("", "BEGIN", &[23]), describe(b'S', ""), bind("", "", &[]), execute("", 0), sync()].concat(), begin("COMMIT")]);
    let formats = |formats: &[u8]| [parse("", "BEGIN", &[]), frame(b'B', formats), execute("", 0), sync()].concat();
    add("formats of results", &[formats(b"\0\0\0\0\0\0\0\x02\0\x01\0\x01"), begin("COMMIT"), formats(b"\0\0\0\0\0\0\0\x02\0\x01")]);
    add("formats of values", &[formats(b"\0\0\0\x01\0\x01\0\0\0\0"), begin("COMMIT"), formats(b"\0\0\0\x02\0\x01\0\x01\0\0\0\0")]);
    add("skipped", &[[execute("missing", 0), begin("BEGIN")].concat(), begin("SELECT 1"), [execute("missing", 0), begin("COMMIT")].concat()]);
    // What fails is known when the transaction is ended, as with drivers.
    let fails = call(154, &["1", "0"]);
    add("a call that fails", &[named("r", "ROLLBACK"), begin("BEGIN"), fails.clone(), run("r"), begin("BEGIN"), fails.clone(), begin("ROLLBACK")]);
    add("a call that fails, and a name", &[begin("BEGIN"), fails.clone(), named("r", "ROLLBACK"), run("r"), run(""), fails, run("r"), begin("END")]);
    all.retain(|script| script.parts.len() > 1 || !script.name.contains("a call that fails"));
    all
}

/// Queries that say nothing, in every form, alone and among others, in transactions that are well and that have failed.
fn empty_ones() -> Vec<Script> {
    let mut all = Vec::new();
    for (name, text) in [("nothing", ""), ("blanks", " \t\n "), ("semicolons", ";;; ;"), ("comments", "-- a\n/* b /* c */ */;")] {
        let mut add = |how: &str, messages: &[Vec<u8>]| all.push(Script::new(format!("{name}: {how}"), messages));
        let described = [parse("", text, &[]), describe(b'S', ""), bind("", "", &[]), describe(b'P', ""), execute("", 0), execute("", 1)].concat();
        add("simple", &[query(text), query(text)]);
        add("extended", &[described.clone(), sync(), extended(text), extended("SELECT 1"), extended(text), sync()]);
        add("in a transaction", &[query("BEGIN"), query(text), described.clone(), sync(), query("COMMIT")]);
        add(
            "in a failed transaction",
            &[query("BEGIN"), query("SELEC"), query(text), described.clone(), sync(), extended(text), sync(), query("END")],
        );
        add("skipped", &[execute("missing", 0), query(text), described, sync(), query(text)]);
        add("between statements", &[query(&format!("SELECT 1;{text};SELECT 2")), query(&format!("{text};SELECT 1/0;{text}"))]);
    }
    all
}

/// FunctionCall, alone and everywhere in a pipeline: 177 is int4pl, 154 int4div, 1598 random().
fn function_calls() -> Vec<Script> {
    let script = |name: &str, messages: &[Vec<u8>]| Script::new(name, messages);
    let (good, bad, sleepless) = (call(177, &["40", "2"]), call(154, &["1", "0"]), call(177, &["1", "2", "3"]));
    // As binary, of NULL, with formats for each argument; and bodies that are none.
    let binary = frame(b'F', b"\0\0\0\xb1\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x28\0\0\0\x04\0\0\0\x02\0\x01");
    let null = frame(b'F', b"\0\0\0\xb1\0\0\0\x02\xff\xff\xff\xff\0\0\0\x011\0\0");
    let cut = frame(b'F', b"\0\0\0\xb1\0\0\0\x02\0\0\0\x011");
    vec![
        script("calls in every form", &[good.clone(), binary.clone(), null, sleepless, cut, frame(b'F', b""), good.clone()]),
        script("calls among queries", &[query("SELECT 1"), good.clone(), query("SELECT 2"), bad.clone(), query("SELECT 3"), good.clone()]),
        script("calls in a batch", &[extended("SELECT 1"), good.clone(), extended("SELECT 2"), bad.clone(), extended("SELECT 3"), sync()]),
        script("a failing call ends what came before", &[extended("INSERT INTO copied VALUES (1)"), bad.clone(), extended("SELECT 1"), sync()]),
        script("calls are skipped", &[parse("", "SELEC", &[]), good.clone(), bad.clone(), query("SELECT 1"), good.clone(), sync(), good.clone()]),
        script("calls in a transaction", &[query("BEGIN"), good.clone(), extended("SELECT 1"), sync(), bad, good.clone(), query("ROLLBACK")]),
        script("a call and Syncs", &[sync(), good.clone(), sync(), sync(), binary, flush(), sync(), good]),
    ]
}

/// Portals with limits of rows: across Flush and Sync, closed, replaced, gone with their transaction.
fn portals() -> Vec<Script> {
    let script = |name: &str, messages: &[Vec<u8>]| Script::new(name, messages);
    let series = |name: &str, rows: u32| [parse("", &format!("SELECT generate_series(1, {rows})"), &[]), bind(name, "", &[])].concat();
    let page = |name: &str, rows: u32| [execute(name, rows), flush()].concat();
    let paged = |name: &str, pages: usize| [series(name, 1000), page(name, 100).repeat(pages)].concat();
    let mut all = vec![
        script("pages of a thousand rows", &[paged("", 11), sync(), paged("p", 5), sync(), execute("p", 1), sync()]),
        script("pages over Syncs", &[query("BEGIN"), series("p", 10), [execute("p", 3), sync()].concat().repeat(5), query("COMMIT")]),
        script(
            "two portals by turns",
            &[query("BEGIN"), series("a", 5), series("b", 5), [execute("a", 2), execute("b", 2), sync()].concat().repeat(3), query("COMMIT")],
        ),
        script(
            "a portal ends with its transaction",
            &[query("BEGIN"), series("p", 5), execute("p", 2), sync(), query("COMMIT"), execute("p", 2), sync()],
        ),
        script("a portal ends at Sync", &[series("p", 5), execute("p", 2), sync(), execute("p", 2), sync(), describe(b'P', "p"), sync()]),
        script("a portal ends with a query", &[series("p", 5), execute("p", 2), query("SELECT 1"), execute("p", 2), sync()]),
        script(
            "portals closed",
            &[
                query("BEGIN"),
                series("p", 5),
                execute("p", 1),
                close(b'P', "p"),
                close(b'P', "p"),
                close(b'P', "never"),
                execute("p", 1),
                sync(),
                query("END"),
            ],
        ),
        script("a portal's name twice", &[query("BEGIN"), series("p", 5), bind("p", "", &[]), sync(), query("END")]),
        script(
            "the unnamed portal twice",
            &[series("", 5), execute("", 2), bind("", "", &[]), execute("", 2), execute("", 9), execute("", 1), sync()],
        ),
        script("what is not rows, with a limit", &[parse("", "INSERT INTO copied VALUES (1), (2)", &[]), bind("", "", &[]), execute("", 1), sync()]),
        script(
            "rows of a command, with a limit",
            &[
                parse("", "INSERT INTO copied VALUES (1), (2) RETURNING a", &[]),
                bind("", "", &[]),
                execute("", 1),
                execute("", 1),
                execute("", 1),
                sync(),
            ],
        ),
        script(
            "SHOW, with a limit",
            &[parse("", "SHOW DateStyle", &[]), bind("", "", &[]), describe(b'P', ""), execute("", 1), execute("", 1), sync()],
        ),
        script(
            "a page fails",
            &[parse("", "SELECT 1/(3 - g) FROM generate_series(1, 5) g", &[]), bind("", "", &[]), page("", 1).repeat(5), sync(), page("", 1), sync()],
        ),
        script(
            "cursors",
            &[
                query("BEGIN"),
                query("DECLARE c CURSOR FOR SELECT generate_series(1, 7)"),
                query("FETCH 3 FROM c"),
                [execute("c", 2), sync()].concat(),
                extended("FETCH 3 FROM c"),
                describe(b'P', "c"),
                sync(),
                close(b'P', "c"),
                sync(),
                query("FETCH 1 FROM c"),
                query("ROLLBACK"),
            ],
        ),
        script(
            "pages of COPY TO",
            &[parse("", "COPY (SELECT generate_series(1, 9)) TO STDOUT", &[]), bind("", "", &[]), execute("", 2), execute("", 2), sync()],
        ),
    ];
    // As drivers do: the next page is asked for when the one before is here.
    let more = [page("", 2)];
    let waits = Script::new("pages in turn", &[series("", 7), page("", 2)]).then(b's', &more).then(b's', &more).then(b's', &more);
    all.push(waits.then(b'C', &[sync()]));
    all
}

/// The unnamed statement behind errors, with Syncs between: what was skipped leaves it, what failed does not.
fn unnamed_ones() -> Vec<Script> {
    let kept = [parse("", "SELECT 'kept'", &[]), sync()].concat();
    let used = [bind("", "", &[]), describe(b'S', ""), execute("", 0), sync()].concat();
    let mut all = Vec::new();
    for (what, changes) in [
        ("Parse", parse("", "SELECT 'never'", &[])),
        ("a failing Parse", parse("", "SELEC", &[])),
        ("Query", query("SELECT 'never'")),
        ("an empty Query", query("")),
        ("a failing Query", query("SELEC")),
        ("Close", close(b'S', "")),
        ("Parse and Close", [parse("", "SELECT 'never'", &[]), close(b'S', "")].concat()),
        ("a call", call(177, &["1", "2"])),
        ("Close of nothing known", frame(b'C', b"X\0")),
        ("Describe of nothing known", frame(b'D', b"X\0")),
        ("Close without a name", frame(b'C', b"S")),
        ("Bind without names", frame(b'B', b"")),
        ("a named Parse", parse("", "SELECT 1/0", &[])),
    ] {
        let mut add = |how: &str, messages: &[Vec<u8>]| all.push(Script::new(format!("{what} {how}"), messages));
        add("happens", &[kept.clone(), changes.clone(), sync(), used.clone()]);
        add("is skipped", &[kept.clone(), execute("missing", 0), changes.clone(), sync(), used.clone()]);
        add("is skipped behind one that fails", &[kept.clone(), parse("", "SELEC", &[]), changes.clone(), sync(), used.clone()]);
        add("is skipped, then happens", &[kept.clone(), execute("missing", 0), changes.clone(), sync(), changes.clone(), sync(), used.clone()]);
        add(
            "happens, then all is skipped",
            &[kept.clone(), changes.clone(), execute("missing", 0), parse("", "SELECT 0", &[]), sync(), used.clone()],
        );
        all.push(
            Script::new(format!("{what} is skipped on another server"), std::slice::from_ref(&kept))
                .then(b'Z', &[execute("missing", 0), changes.clone(), sync(), used.clone(), kept.clone()])
                .then(b'Z', std::slice::from_ref(&used)),
        );
    }
    all
}

/// All that are chosen by hand.
pub fn chosen() -> Vec<Script> {
    let sessions = [copies_at_once(), copies_in_turn(), calls_and_transactions(), bounds()].concat();
    [sessions, notices_and_sizes(), empty_ones(), function_calls(), portals(), unnamed_ones()].concat()
}

/// Short ones among them in which much happens, to be cut at every byte.
pub fn to_be_cut() -> Vec<Script> {
    let mut all: Vec<Script> = [copies_at_once(), calls_and_transactions(), notices_and_sizes()].concat();
    all.retain(|script| script.bytes().len() < 260 && !script.name.contains("done twice") && !script.name.contains("failed, "));
    let names = [
        "COPY good: simple, done",
        "COPY good: extended, Sync first, done",
        "COPY bad row 2: extended, Syncs all over, done",
        "COPY bad first row: simple with Sync in it, failed",
        "COPY before trigger: extended, done",
        "COPY no COPY: extended and a query, done",
        "COPY TO: in a transaction",
        "function calls",
        "a function call is skipped",
        "several statements, one fails",
        "empty ones",
        "COPY messages outside of COPY",
        "COMMIT of a failed transaction",
        "suspended",
        "fails at run time",
        "a deferred constraint at Sync",
        "notices in rows",
        "a notice at COMMIT",
        "a portal over Syncs",
    ];
    all.retain(|script| names.contains(&script.name.as_str()));
    let forms = ["nothing", "errors", "a name closed", "the unnamed one again", "more behind it", "one value too many"];
    all.extend(bounds().into_iter().filter(|script| script.name.strip_prefix("bounds: ").is_some_and(|name| forms.contains(&name))));
    all.push(Script::new(
        "several at once",
        &[extended("SELECT 1"), sync(), query("SELECT 2"), parse("", "SELECT 3", &[]), sync(), bind("", "", &[]), execute("", 0), sync()],
    ));
    all.push(Script::new(
        "described",
        &[
            parse("", "SELECT $1", &[]),
            describe(b'S', ""),
            bind("", "", &[Some("v")]),
            describe(b'P', ""),
            execute("", 1),
            close(b'P', ""),
            close(b'S', ""),
            sync(),
        ],
    ));
    all
}
