//! Requests and transactions over several shards: the same script on one PostgreSQL and through pg_dog over three, compared message by message.
//! Rows that no ORDER BY sorts are compared as a set.

use super::house::extended;
use super::shards::{Cluster, SHARDS, TABLES, on_shard, tags};
use super::support::raw::{Message, bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, parse, query, sync};
use super::support::{Login, Raw, SOON, Version, wait_until};
use crate::on_both;

on_both!(
    simple_requests_over_shards,
    transactions_over_shards,
    savepoints_over_shards,
    the_extended_protocol_over_shards,
    batches_over_shards,
    settings_come_along,
    tables_that_every_shard_has,
    definitions_go_everywhere,
    what_fails_on_one_shard_is_nowhere,
    who_goes_leaves_nothing,
    a_hundred_transactions_at_once,
    copies_over_shards,
    copies_by_the_extended_protocol,
    rows_in_parts,
);

/// One PostgreSQL beside the cluster, with the same tables and rows.
pub(super) struct Twins {
    pub(super) cluster: Cluster,
    pub(super) one: Raw,
    pub(super) over: Raw,
}

/// Users of all three shards.
const USERS: &str = "INSERT INTO users SELECT n, 'u' || n FROM generate_series(1, 30) n";

impl Twins {
    pub(super) fn new(version: Version) -> Twins {
        let cluster = Cluster::new(version);
        cluster.postgres.psql(&["-c", "CREATE DATABASE one OWNER app"]).expect_success();
        let mut one = Raw::login(&Login { database: "one".into(), ..cluster.postgres.login("app") });
        one.rows(TABLES);
        one.rows(USERS);
        let mut over = cluster.client();
        for number in 1..=30 {
            over.rows(&format!("INSERT INTO users VALUES ({number}, 'u{number}')"));
        }
        Twins { cluster, one, over }
    }

    /// What both answer to each of these, until ReadyForQuery, is the same.
    pub(super) fn alike(&mut self, script: &[Vec<u8>]) {
        for (number, bytes) in script.iter().enumerate() {
            self.one.send(bytes);
            // Cut somewhere else each time.
            let (first, rest) = bytes.split_at(number * 7919 % bytes.len());
            self.over.send(first);
            self.over.send(rest);
            let (one, over) = (self.one.read_until_ready(), self.over.read_until_ready());
            assert_eq!(shown(&over), shown(&one), "message {number} of the script: {:?}", String::from_utf8_lossy(bytes));
        }
        self.same_rows();
    }

    pub(super) fn alike_sql(&mut self, script: &[&str]) {
        self.alike(&script.iter().map(|sql| query(sql)).collect::<Vec<_>>());
    }

    /// All shards together have the rows that the one has, and nothing is left prepared.
    pub(super) fn same_rows(&mut self) {
        for table in ["users", "words", "things"] {
            let all = format!("SELECT * FROM {table} ORDER BY 1, 2");
            let mut rows: Vec<Vec<String>> = (0..SHARDS).flat_map(|shard| on_shard(&self.cluster.postgres, shard).rows(&all)).collect();
            rows.sort();
            let mut one = Raw::login(&Login { database: "one".into(), ..self.cluster.postgres.login("app") }).rows(&all);
            one.sort();
            assert_eq!(rows, one, "{table}");
        }
        let kinds: Vec<_> = (0..SHARDS).map(|shard| on_shard(&self.cluster.postgres, shard).rows("SELECT * FROM kinds ORDER BY 1")).collect();
        assert!(kinds.windows(2).all(|pair| pair[0] == pair[1]), "{kinds:?}");
        assert!(self.cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
    }
}

/// Messages as they are compared: rows next to each other are sorted.
fn shown(messages: &[Message]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut rows: Vec<String> = Vec::new();
    for message in messages {
        if message.tag == b'D' {
            rows.push(format!("{:?}", message.columns()));
            continue;
        }
        rows.sort();
        shown.append(&mut rows);
        shown.push(match message.tag {
            b'E' | b'N' => format!("{} {}", char::from(message.tag), message.fields()[&'C']),
            b'C' => format!("C {}", message.text()),
            b'T' => format!("T {}", columns(&message.body)),
            b'Z' => format!("Z {}", char::from(message.body[0])),
            tag => char::from(tag).to_string(),
        });
    }
    shown
}

/// The names and types of a RowDescription; where columns come from is each database's own.
fn columns(body: &[u8]) -> String {
    let mut names = Vec::new();
    let mut at = 2;
    while let Some(end) = body[at..].iter().position(|byte| *byte == 0) {
        names.push(format!("{} {:?}", String::from_utf8_lossy(&body[at..at + end]), &body[at + end + 7..at + end + 19]));
        at += end + 19;
    }
    names.join(", ")
}

fn simple_requests_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "SELECT * FROM users",
        "SELECT name, id FROM users WHERE name LIKE 'u1%'",
        "SELECT * FROM users WHERE false",
        "SELECT * FROM users WHERE id IN (1, 2, 3, 4, 5)",
        "UPDATE users SET name = 'x' || id WHERE id < 10",
        "UPDATE users SET name = name",
        "UPDATE users SET name = 'y' WHERE id IN (3, 4, 5) RETURNING id, name",
        "DELETE FROM users WHERE name = 'x7'",
        "DELETE FROM users WHERE id > 25 RETURNING *",
        "SELECT id / 0 FROM users",
        "SELECT * FROM users",
        "/* pgdog_shard: 1 */ SELECT 1",
    ]);
}

fn transactions_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "BEGIN",
        "UPDATE users SET name = 'a' WHERE id = 1",
        "UPDATE users SET name = 'b' WHERE id = 2",
        "UPDATE users SET name = 'c' WHERE id = 3",
        "SELECT name FROM users WHERE id = 1",
        "SELECT name FROM users WHERE id = 2",
        "SELECT * FROM users WHERE id < 8",
        "COMMIT",
        "BEGIN",
        "SELECT 1",
        "DELETE FROM users WHERE id = 4",
        "INSERT INTO users VALUES (104, 'new'), (105, 'newer')",
        "SELECT * FROM users",
        "ROLLBACK",
        "SELECT * FROM users",
        "START TRANSACTION READ ONLY",
        "SELECT name FROM users WHERE id = 1",
        "UPDATE users SET name = 'no' WHERE id = 2",
        "SELECT 1",
        "COMMIT",
        "BEGIN",
        "UPDATE users SET name = 'only one writes' WHERE id = 1",
        "SELECT name FROM users WHERE id = 2",
        "SELECT name FROM users WHERE id = 3",
        "END",
        "BEGIN",
        "SELECT name FROM users WHERE id = 1",
        "SELECT name FROM users WHERE id = 2",
        "COMMIT",
        "BEGIN",
        "UPDATE users SET name = 'd' WHERE id = 1",
        "BEGIN",
        "UPDATE users SET name = 'e' WHERE id = 2",
        "BEGIN",
        "COMMIT",
        "COMMIT",
    ]);
}

fn savepoints_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "BEGIN",
        "UPDATE users SET name = 'a' WHERE id = 1",
        "SAVEPOINT one",
        "UPDATE users SET name = 'b' WHERE id = 2",
        "SAVEPOINT \"Two\"",
        "UPDATE users SET name = 'c' WHERE id = 3",
        "UPDATE users SET name = 'd' WHERE id = 5",
        "ROLLBACK TO \"Two\"",
        "SELECT * FROM users WHERE id IN (1, 2, 3, 5)",
        "SELECT id / 0 FROM users WHERE id = 2",
        "SELECT 1",
        "ROLLBACK TO SAVEPOINT one",
        "UPDATE users SET name = 'e' WHERE id = 3",
        "RELEASE one",
        "ROLLBACK TO one",
        "SELECT 1",
        "ROLLBACK",
        "BEGIN",
        "UPDATE users SET name = 'f' WHERE id = 1",
        "SAVEPOINT a",
        "INSERT INTO users VALUES (1, 'twice')",
        "ROLLBACK TO a",
        "UPDATE users SET name = 'g' WHERE id = 2",
        "INSERT INTO users VALUES (2, 'twice')",
        "ROLLBACK TO a",
        "UPDATE users SET name = 'h' WHERE id = 3",
        "COMMIT",
    ]);
}

fn the_extended_protocol_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    let whole = |name: &str, sql: &str, values: &[Option<&str>]| {
        [parse(name, sql, &[]), bind("", name, values), describe(b'P', ""), execute("", 0), sync()].concat()
    };
    let again = |name: &str, values: &[Option<&str>]| [bind("", name, values), execute("", 0), sync()].concat();
    twins.alike(&[
        whole("", "SELECT * FROM users WHERE name LIKE $1", &[Some("u1%")]),
        again("", &[Some("u2%")]),
        [parse("all", "SELECT id, name FROM users WHERE id < $1", &[20]), describe(b'S', "all"), sync()].concat(),
        again("all", &[Some("9")]),
        again("all", &[None]),
        again("all", &[Some("x")]),
        whole("", "BEGIN", &[]),
        whole("set", "UPDATE users SET name = $2 WHERE id = $1", &[Some("1"), Some("a")]),
        again("set", &[Some("2"), Some("b")]),
        again("set", &[Some("3"), Some("c")]),
        again("all", &[Some("4")]),
        whole("save", "SAVEPOINT s", &[]),
        again("set", &[Some("5"), Some("d")]),
        whole("", "ROLLBACK TO s", &[]),
        again("set", &[Some("6"), Some("e")]),
        whole("end", "COMMIT", &[]),
        again("all", &[Some("8")]),
        whole("begin", "BEGIN", &[]),
        again("set", &[Some("1"), Some("aa")]),
        again("set", &[Some("2"), Some("bb")]),
        again("set", &[Some("x"), Some("cc")]),
        again("set", &[Some("3"), Some("dd")]),
        again("end", &[]),
        again("all", &[Some("8")]),
        again("begin", &[]),
        again("set", &[Some("2"), Some("f")]),
        again("set", &[Some("1"), Some("g")]),
        again("end", &[]),
        [close(b'S', "all"), close(b'S', "nothing"), sync()].concat(),
        again("all", &[Some("8")]),
        query("SELECT * FROM users"),
    ]);
}

fn batches_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    let run = |id: &str, name: &str| [bind("", "set", &[Some(id), Some(name)]), execute("", 0)].concat();
    twins.alike(&[
        [parse("set", "UPDATE users SET name = $2 WHERE id = $1", &[]), sync()].concat(),
        // As executemany sends it: the batch is one transaction.
        [run("1", "a"), run("2", "b"), run("3", "c"), run("4", "d"), run("5", "e"), sync()].concat(),
        [run("1", "f"), run("2", "g"), run("x", "no"), run("3", "h"), sync()].concat(),
        query("SELECT * FROM users WHERE id < 8"),
        [run("7", "i"), sync()].concat(),
        [bind("", "set", &[Some("1"), Some("j")]), execute("", 0), bind("", "nowhere", &[]), execute("", 0), sync()].concat(),
        [parse("", "BEGIN", &[]), bind("", "", &[]), execute("", 0), run("1", "k"), run("2", "l"), sync()].concat(),
        [run("3", "m"), parse("", "COMMIT", &[]), bind("", "", &[]), execute("", 0), sync()].concat(),
        query("SELECT * FROM users"),
    ]);
}

fn settings_come_along(version: Version) {
    let mut twins = Twins::new(version);
    let shown = "SELECT id, current_setting('a.b', true), current_setting('TimeZone') FROM users WHERE id IN (1, 2, 3, 4, 5, 6)";
    twins.alike_sql(&[
        "SET TimeZone = 'Asia/Tokyo'",
        shown,
        "BEGIN",
        "SET LOCAL a.b = 'one'",
        "UPDATE users SET name = current_setting('a.b') WHERE id = 1",
        shown,
        "SELECT set_config('a.b', 'two', true)",
        "UPDATE users SET name = current_setting('a.b') WHERE id = 2",
        "SET TimeZone = 'UTC'",
        shown,
        "COMMIT",
        shown,
        "BEGIN",
        "SELECT name FROM users WHERE id = 1",
        "SELECT name FROM users WHERE id = 2",
        "SET TimeZone = 'Europe/Berlin'",
        "ROLLBACK",
        shown,
        "RESET TimeZone",
    ]);
}

fn tables_that_every_shard_has(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "INSERT INTO kinds VALUES (3, 'video') RETURNING id",
        "INSERT INTO kinds VALUES (3, 'again')",
        "SELECT name FROM kinds WHERE id = 3",
        "UPDATE kinds SET name = 'film' WHERE id = 3",
        "BEGIN",
        "DELETE FROM kinds WHERE id = 1",
        "UPDATE users SET name = 'a' WHERE id = 1",
        "SELECT count(*) FROM kinds",
        "ROLLBACK",
        "BEGIN",
        "UPDATE users SET name = 'b' WHERE id = 2",
        "DELETE FROM kinds WHERE id = 1",
        "COMMIT",
        "SELECT * FROM kinds",
    ]);
}

fn definitions_go_everywhere(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "CREATE TABLE IF NOT EXISTS users (id int)",
        "ALTER TABLE users ADD COLUMN more text DEFAULT 'd'",
        "ALTER TABLE users ADD COLUMN more text",
        "BEGIN",
        "ALTER TABLE users DROP COLUMN more",
        "ROLLBACK",
        "UPDATE users SET more = 'x' WHERE id = 1",
        "TRUNCATE kinds",
        "ALTER TABLE users DROP COLUMN more",
        // Each statement of a text has its tag, and what stands in front of an error is said.
        "CREATE TABLE more (id int); SELECT 1 AS one; DROP TABLE more",
        "SELECT 1 AS one; CREATE TABLE more (id int); SELECT 1 / 0",
        "BEGIN",
        "CREATE TABLE more (id int); DROP TABLE more; SELECT 2 AS two",
        "COMMIT",
    ]);
}

fn what_fails_on_one_shard_is_nowhere(version: Version) {
    let mut twins = Twins::new(version);
    let postgres = &twins.cluster.postgres;
    let held = on_shard(postgres, 1).rows("SELECT min(id) FROM users")[0][0].clone();
    let alter = format!("ALTER TABLE users ADD CONSTRAINT odd CHECK (id <> {held} OR name <> 'bad')");
    on_shard(postgres, 1).rows(&alter);
    twins.one.rows(&alter);
    let late = "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN IF NEW.name = ''late'' THEN RAISE ''late''; END IF; RETURN NULL; END'; CREATE CONSTRAINT TRIGGER late \
        AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()";
    on_shard(postgres, 2).rows(late);
    twins.one.rows(late);
    let deferred = on_shard(postgres, 2).rows("SELECT min(id) FROM users")[0][0].clone();
    twins.alike_sql(&[
        "UPDATE users SET name = 'bad'",
        "UPDATE users SET name = 'good'",
        "BEGIN",
        "UPDATE users SET name = 'better'",
        "UPDATE users SET name = 'bad'",
        "COMMIT",
        "BEGIN",
        "UPDATE users SET name = 'late'",
        "COMMIT",
        "UPDATE users SET name = 'late'",
        "SELECT * FROM users",
        "BEGIN",
        "UPDATE users SET name = 'in time' WHERE id < 20",
        &format!("UPDATE users SET name = 'late' WHERE id = {deferred}"),
        "COMMIT",
        "SELECT * FROM users",
    ]);
}

fn who_goes_leaves_nothing(version: Version) {
    let mut twins = Twins::new(version);
    for number in 0..6 {
        let mut client = twins.cluster.client();
        client.query("BEGIN");
        client.query("UPDATE users SET name = 'gone' WHERE id = 1");
        client.query("UPDATE users SET name = 'gone' WHERE id = 2");
        client.query("UPDATE users SET name = 'gone' WHERE id = 3");
        if number % 2 == 0 {
            client.send(&query("SELECT pg_sleep(10), id FROM users WHERE id IN (1, 2, 3)"));
        }
        client.reset();
    }
    wait_until("all is rolled back", SOON, || {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE datname LIKE 'app%' AND state <> 'idle' AND pid <> pg_backend_pid()";
        twins.cluster.postgres.sql(sql).is_empty()
    });
    twins.alike_sql(&["SELECT * FROM users", "UPDATE users SET name = 'here'"]);
}

fn a_hundred_transactions_at_once(version: Version) {
    let twins = Twins::new(version);
    let cluster = &twins.cluster;
    std::thread::scope(|scope| {
        for number in 0..20 {
            let login = cluster.login();
            scope.spawn(move || {
                // By then something is not right.
                let until = std::time::Instant::now() + SOON;
                let mut client = Raw::login(&login);
                let (mut done, mut round) = (0, 0);
                while done < 5 {
                    round += 1;
                    assert!(std::time::Instant::now() < until, "{round} rounds, {done} done");
                    // Nobody waits for a row while he may wait for a server; the order of shards is any.
                    let (from, to) = (1 + number, 21 + (number * 3 + round) % 10);
                    client.query("BEGIN");
                    let one = client.query(&format!("UPDATE users SET name = name || '-' WHERE id = {from}"));
                    assert_eq!(tags(&one), "CZ", "{one:?}");
                    let two = client.query(&format!("UPDATE users SET name = name || '+' WHERE id = {to}"));
                    let end = client.query("COMMIT");
                    // Twenty transactions over pools of four: who would close a circle is told so at once, and tries again.
                    match tags(&two).as_str() {
                        "CZ" => assert_eq!(end[0].text(), "COMMIT", "{end:?}"),
                        _ => assert_eq!((two[0].sqlstate().as_str(), end[0].text().as_str()), ("40P01", "ROLLBACK"), "{two:?} {end:?}"),
                    }
                    done += usize::from(tags(&two) == "CZ");
                }
            });
        }
    });
    let marks = |sign: &str| -> usize {
        let sql = format!("SELECT coalesce(sum(length(name) - length(replace(name, '{sign}', ''))), 0) FROM users");
        (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows(&sql)[0][0].parse::<usize>().unwrap()).sum()
    };
    assert_eq!((marks("-"), marks("+")), (100, 100));
    assert!(cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
}

fn copies_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    let copy = |sql: &str, parts: &[&[u8]], end: Vec<u8>| {
        let data: Vec<u8> = parts.iter().flat_map(|part| copy_data(part)).collect();
        [query(sql), data, end].concat()
    };
    let lines: String = (100..400).map(|id| format!("{id}\tname {id}\n")).collect();
    // Cut in the middle of rows.
    let cut: Vec<&[u8]> = lines.as_bytes().chunks(37).collect();
    let mut binary = [&b"PGCOPY\n\xff\r\n\0"[..], &[0; 8]].concat();
    for id in 500_i64..530 {
        binary.extend([&[0, 2, 0, 0, 0, 8][..], &id.to_be_bytes(), &[0, 0, 0, 1, b'b']].concat());
    }
    binary.extend([0xff, 0xff]);
    let binary: Vec<&[u8]> = binary.chunks(11).collect();
    twins.alike(&[
        copy("COPY users FROM STDIN", &cut, copy_done()),
        copy("COPY users (name, id) FROM STDIN (FORMAT csv, HEADER)", &[b"name,id\n\"a\nb\",4", b"50\nc,451\n,452\n\"x\"\"y\",453"], copy_done()),
        copy("COPY users FROM STDIN (FORMAT binary)", &binary, copy_done()),
        copy("COPY users FROM STDIN", &[b"600\ta\n", b"601\tb\n", b"x\tc\n", b"602\td\n"], copy_done()),
        copy("COPY users FROM STDIN", &[b"610\ta\n611\tb\n612\tc\n", b"1\ttwice\n"], copy_done()),
        copy("COPY users FROM STDIN", &[b"620\ta\n621\tb\n"], copy_fail("enough")),
        copy("COPY users FROM STDIN", &[], copy_done()),
        copy("COPY kinds FROM STDIN", &[b"7\tseven\n8\t", b"eight\n"], copy_done()),
        query("BEGIN"),
        query("UPDATE users SET name = 'before' WHERE id = 1"),
        copy("COPY users FROM STDIN", &[b"700\ta\n701\tb\n702\tc\n703\td\n"], copy_done()),
        query("SELECT name FROM users WHERE id = 702"),
        query("ROLLBACK"),
        query("BEGIN"),
        copy("COPY users FROM STDIN", &[b"710\ta\n711\tb\n712\tc\n713\td\n"], copy_done()),
        query("COMMIT"),
        query("SELECT * FROM users WHERE id > 99"),
    ]);
    assert_eq!(twins.cluster.misplaced("users", "id", "by_number").0, 0);
}

/// As drivers do it that prepare everything: the Sync behind the Execute belongs to the COPY, which ignores it.
fn copies_by_the_extended_protocol(version: Version) {
    let mut twins = Twins::new(version);
    let data = |parts: &[&[u8]]| parts.iter().flat_map(|part| copy_data(part)).collect::<Vec<u8>>();
    let begun = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0)].concat();
    let copy = |sql: &str, parts: &[&[u8]], end: Vec<u8>| [begun(sql), sync(), data(parts), end, sync()].concat();
    let later = [parse("s", "COPY users FROM STDIN", &[]), bind("p", "s", &[]), flush(), execute("p", 0)].concat();
    twins.alike(&[
        copy("COPY users FROM STDIN", &[b"100\ta\n101\tb\n10", b"2\tc\n103\td\n"], copy_done()),
        copy("COPY users (name, id) FROM STDIN (FORMAT csv)", &[b"\"a\nb\",14", b"50\nc,1451\n,1452\n"], copy_done()),
        // Nothing remains, and what stands behind is heard.
        copy("COPY users FROM STDIN", &[b"600\ta\n601\tb\nx\tc\n", b"602\td\n"], copy_done()),
        copy("COPY users FROM STDIN", &[b"610\ta\n611\tb\n", b"1\ttwice\n"], copy_done()),
        copy("COPY users FROM STDIN", &[b"620\ta\n621\tb\n"], copy_fail("enough")),
        copy("COPY users FROM STDIN", &[], copy_done()),
        query("SELECT * FROM users WHERE id = 610"),
        [&later[..], &data(&[b"630\ta\n631\tb\n632\tc\n"]), &copy_done(), &sync()].concat(),
        // In the middle of a batch: all of it is one transaction.
        [extended("INSERT INTO users VALUES (640, 'a')", &[]), begun("COPY users FROM STDIN"), data(&[b"641\tb\n642\tc\n"]), copy_done(), sync()]
            .concat(),
        [
            &extended("INSERT INTO users VALUES (650, 'a')", &[])[..],
            &begun("COPY users FROM STDIN"),
            &data(&[b"651\tb\n652\tc\n"]),
            &copy_done(),
            &extended("INSERT INTO users VALUES (1, 'twice')", &[]),
            &sync(),
        ]
        .concat(),
        query("BEGIN"),
        copy("COPY users FROM STDIN", &[b"700\ta\n701\tb\n702\tc\n703\td\n"], copy_done()),
        query("ROLLBACK"),
        query("SELECT * FROM users WHERE id > 99"),
    ]);
    assert_eq!(twins.cluster.misplaced("users", "id", "by_number").0, 0);
}

/// As drivers read with a fetch size: so many rows per Execute, from one shard after the other. No order is promised, so that only what is told when,
/// and all rows together, are compared.
fn rows_in_parts(version: Version) {
    let mut twins = Twins::new(version);
    let insert: Vec<String> = (100..160).map(|id| format!("({id}, 'name {id}')")).collect();
    twins.alike_sql(&[&format!("INSERT INTO users VALUES {}", insert.join(", ")), "BEGIN"]);
    let begun = |rows: u32, first: bool| {
        let described = if first { describe(b'P', "p") } else { Vec::new() };
        [parse("", "SELECT id FROM users WHERE id >= 100", &[]), bind("p", "", &[]), described, execute("p", rows), sync()].concat()
    };
    let on = |rows: u32| [execute("p", rows), sync()].concat();
    for script in [
        // Sixty rows: in the end there is nothing left, which is only known when more is wanted.
        vec![begun(25, true), on(25), on(10), on(5), on(5)],
        vec![begun(1, false), on(1), on(30), on(0), on(0)],
        vec![begun(7, true), [execute("p", 7), execute("p", 7), execute("p", 100), sync()].concat()],
        vec![begun(60, true), on(1), on(1)],
        vec![begun(61, true), on(1)],
        vec![begun(20, true), close(b'P', "p"), sync()],
        // Bound first, executed later; and two at once.
        vec![[parse("", "SELECT id FROM users WHERE id >= 100", &[]), bind("p", "", &[]), sync()].concat(), on(59), on(2), on(3)],
    ] {
        let (mut kinds, mut rows) = ([String::new(), String::new()], [Vec::new(), Vec::new()]);
        let script = script.concat();
        let syncs = script_syncs(&script);
        for (at, link) in [&mut twins.one, &mut twins.over].into_iter().enumerate() {
            link.send(&script);
            for message in (0..syncs).flat_map(|_| link.read_until_ready()) {
                match message.tag {
                    b'D' => rows[at].push(message.text()),
                    b'C' => kinds[at].push_str(&format!("[{}]", message.text())),
                    _ => {}
                }
                kinds[at].push(char::from(message.tag));
            }
            rows[at].sort();
        }
        assert_eq!(kinds[1], kinds[0]);
        assert_eq!(rows[1].len(), rows[0].len());
        if kinds[0].contains("[SELECT 0]") {
            assert_eq!(rows[1], rows[0]);
        }
    }
    twins.alike(&[query("COMMIT")]);
}

/// How many Syncs a script has.
fn script_syncs(mut script: &[u8]) -> usize {
    let mut syncs = 0;
    while let Some((&kind, rest)) = script.split_first() {
        syncs += usize::from(kind == b'S');
        let size = rest.first_chunk().map_or(rest.len(), |size| u32::from_be_bytes(*size) as usize);
        script = &rest[size..];
    }
    syncs
}
