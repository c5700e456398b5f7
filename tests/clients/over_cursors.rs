//! Cursors in transactions over several shards: the same script on one PostgreSQL and through pg_dog over three, and what is refused with its reason.

use super::house::tags;
use super::over::Twins;
use super::shards::{SHARDS, on_shard, refused};
use super::support::raw::{bind, close, describe, execute, parse, query, sync};
use super::support::{Raw, Version};
use crate::on_both;

on_both!(
    cursors_are_read_where_they_are,
    cursors_go_with_their_savepoints,
    cursors_by_the_extended_protocol,
    a_row_under_a_cursor_is_changed_on_its_shard,
    a_name_is_taken_once,
    cursors_that_outlive_their_transaction,
    cursors_over_several_shards_are_refused,
    cursors_are_bounded,
);

/// Two users of each shard.
fn ids(twins: &Twins) -> [[i64; 2]; SHARDS] {
    let of = |shard: usize| {
        let rows = on_shard(&twins.cluster.postgres, shard).rows("SELECT id FROM users ORDER BY id LIMIT 2");
        [0, 1].map(|row| rows[row][0].parse().expect("an id"))
    };
    [of(0), of(1), of(2)]
}

/// A transaction that has been on shard 0 and writes on it.
fn begin(ids: [[i64; 2]; SHARDS]) -> String {
    format!("UPDATE users SET name = 'first' WHERE id = {}", ids[0][0])
}

fn declare(name: &str, [one, two]: [i64; 2]) -> String {
    // The planner sees both keys, and that they are on one shard.
    format!("DECLARE {name} SCROLL CURSOR FOR SELECT * FROM users WHERE id IN ({one}, {two}) ORDER BY id")
}

/// A cursor of one shard that can be written through.
fn simple(name: &str, id: i64) -> String {
    format!("DECLARE {name} CURSOR FOR SELECT * FROM users WHERE id = {id}")
}

fn cursors_are_read_where_they_are(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    twins.alike_sql(&[
        "BEGIN",
        &begin(ids),
        &simple("a", ids[0][0]),
        &simple("b", ids[1][0]),
        &format!("/* c */ {}", simple("\"C c\"", ids[2][0])),
        "FETCH 1 FROM b",
        "FETCH ALL IN \"C c\"",
        "FETCH a",
        "FETCH b",
        "MOVE BACKWARD ALL FROM B",
        "FETCH ALL FROM b",
        "CLOSE b",
        &simple("b", ids[2][1]),
        "FETCH b",
        "FETCH b; CLOSE b; SELECT 1",
        &format!("{}; FETCH b; CLOSE b", simple("b", ids[1][1])),
        &format!("{}; FETCH b", simple("b", ids[1][1])),
        "FETCH NEXT FROM b",
        "FETCH a",
        "SELECT count(*) FROM kinds",
        "COMMIT",
        "FETCH b",
        "BEGIN",
        "FETCH b",
        "ROLLBACK",
        // All are closed, wherever they are.
        "BEGIN",
        &begin(ids),
        &simple("a", ids[0][0]),
        &simple("b", ids[1][0]),
        "CLOSE ALL",
        &simple("b", ids[2][0]),
        "FETCH b",
        "FETCH a",
        "SELECT 1",
        "ROLLBACK",
        // What is not there is nowhere.
        "BEGIN",
        &begin(ids),
        &simple("b", ids[1][0]),
        "FETCH c",
        "FETCH b",
        "COMMIT",
        "BEGIN",
        &begin(ids),
        "SELECT 1",
        &simple("b", ids[1][0]),
        "CLOSE b",
        "CLOSE b",
        "ROLLBACK",
        // An error at the cursor's shard is the transaction's.
        "BEGIN",
        &begin(ids),
        &format!("DECLARE e CURSOR FOR SELECT 1 / (id - {0}) FROM users WHERE id = {0}", ids[1][0]),
        &simple("b", ids[2][0]),
        "FETCH e",
        "FETCH b",
        "COMMIT",
        "SELECT name FROM users",
    ]);
    // Several keys of one shard.
    let read = |client: &mut Raw| {
        client.rows("BEGIN");
        client.rows(&begin(ids));
        client.rows(&declare("d", ids[2]));
        let all = client.rows("FETCH ALL FROM d");
        let back = client.rows("FETCH BACKWARD 1 FROM d");
        client.rows("COMMIT");
        (all, back)
    };
    let expected = read(&mut twins.one);
    assert_eq!(expected.0.len(), 2);
    assert_eq!(read(&mut twins.over), expected);
}

fn cursors_go_with_their_savepoints(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    twins.alike_sql(&[
        "BEGIN",
        &begin(ids),
        &simple("kept", ids[1][0]),
        "SAVEPOINT s",
        &simple("gone", ids[2][0]),
        "FETCH gone",
        "SAVEPOINT t",
        &simple("released", ids[1][1]),
        "RELEASE t",
        "FETCH released",
        "ROLLBACK TO s",
        // Each name is free again, on another shard as well.
        &simple("gone", ids[1][1]),
        &simple("released", ids[2][1]),
        "FETCH gone",
        "FETCH released",
        "FETCH kept",
        "RELEASE s",
        "FETCH released",
        "SAVEPOINT u",
        "FETCH nothing",
        "ROLLBACK TO u",
        // It is mended where it has not failed, too.
        "FETCH released",
        "CLOSE kept",
        "ROLLBACK TO u",
        "FETCH kept",
        "ROLLBACK TO u",
        &simple("kept", ids[2][0]),
        "FETCH kept",
        "ROLLBACK TO u",
        "FETCH kept",
        "ROLLBACK",
    ]);
}

fn cursors_by_the_extended_protocol(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    let whole = |sql: &str, values: &[Option<&str>]| [parse("", sql, &[]), bind("", "", values), describe(b'P', ""), execute("", 0), sync()].concat();
    let keyed = |name: &str, id: i64| whole(&format!("DECLARE {name} CURSOR FOR SELECT id, name FROM users WHERE id = $1"), &[Some(&id.to_string())]);
    twins.alike(&[
        whole("BEGIN", &[]),
        whole(&begin(ids), &[]),
        keyed("b", ids[1][0]),
        // psycopg asks so for the columns of its cursor.
        [describe(b'P', "b"), sync()].concat(),
        whole("FETCH FORWARD 5 FROM b", &[]),
        keyed("c", ids[2][0]),
        [execute("c", 1), sync()].concat(),
        whole("FETCH c", &[]),
        [parse("closes", "CLOSE c", &[]), bind("", "closes", &[]), execute("", 0), sync()].concat(),
        keyed("c", ids[1][1]),
        whole("FETCH c", &[]),
        [bind("", "closes", &[]), execute("", 0), sync()].concat(),
        keyed("c", ids[2][1]),
        whole("FETCH c", &[]),
        [close(b'P', "c"), sync()].concat(),
        keyed("c", ids[1][1]),
        whole("FETCH c", &[]),
        query("FETCH c"),
        // A portal is a cursor by its name.
        [parse("", "SELECT id FROM users WHERE id = $1", &[]), bind("p", "", &[Some(&ids[2][0].to_string())]), sync()].concat(),
        query("FETCH p"),
        [execute("p", 0), sync()].concat(),
        // And its name is taken.
        [parse("", "SELECT id FROM users WHERE id = $1", &[]), bind("c", "", &[Some(&ids[2][0].to_string())]), execute("c", 0), sync()].concat(),
        whole("FETCH c", &[]),
        whole("ROLLBACK", &[]),
        // From the first shard on.
        whole("BEGIN", &[]),
        keyed("a", ids[0][0]),
        keyed("b", ids[1][0]),
        [describe(b'P', "a"), describe(b'P', "b"), sync()].concat(),
        whole("FETCH a", &[]),
        whole("FETCH b", &[]),
        whole("CLOSE ALL", &[]),
        whole("FETCH b", &[]),
        whole("COMMIT", &[]),
    ]);
}

fn a_row_under_a_cursor_is_changed_on_its_shard(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    twins.alike_sql(&[
        // On one shard there is nothing to it.
        "BEGIN",
        &simple("a", ids[2][1]),
        "FETCH a",
        "UPDATE users SET name = 'alone' WHERE CURRENT OF a",
        "COMMIT",
        "BEGIN",
        &begin(ids),
        &format!("{} FOR UPDATE", simple("b", ids[1][0])),
        &simple("c", ids[2][0]),
        "FETCH b",
        "FETCH c",
        "UPDATE users SET name = 'under b' WHERE CURRENT OF b",
        "UPDATE users SET name = 'under c' || $$ CURRENT OF b $$ WHERE CURRENT OF \"c\" RETURNING *",
        "DELETE FROM users WHERE CURRENT OF c",
        "UPDATE users SET name = 'again' WHERE CURRENT OF c",
        "COMMIT",
        "BEGIN",
        &begin(ids),
        &simple("b", ids[1][1]),
        "UPDATE users SET name = 'too early' WHERE CURRENT OF b",
        "ROLLBACK",
        "UPDATE users SET name = 'nothing' WHERE CURRENT OF b",
        "SELECT * FROM users",
    ]);
    let over = &mut twins.over;
    for text in [
        "UPDATE users SET id = 7 WHERE CURRENT OF b",
        "UPDATE kinds SET name = 'x' WHERE CURRENT OF b",
        "DELETE FROM users USING words w WHERE CURRENT OF b",
    ] {
        over.rows("BEGIN");
        over.rows(&begin(ids));
        over.rows(&simple("b", ids[1][0]));
        over.rows("FETCH b");
        assert_eq!(refused(&over.query(text)).0, "0A000", "{text}");
        over.rows("ROLLBACK");
    }
}

fn a_name_is_taken_once(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    // Declared before the transaction came to a second shard, or after; by the same shard, or by us.
    for (first, second) in [(0, 1), (1, 0), (1, 2), (1, 1), (0, 0)] {
        twins.alike_sql(&[
            "BEGIN",
            &simple("c", ids[first][0]),
            &format!("SELECT name FROM users WHERE id = {}", ids[2][1]),
            "SAVEPOINT s",
            &simple("\"c\"", ids[second][0]),
            "SELECT 1",
            "ROLLBACK TO s",
            "FETCH c",
            "ROLLBACK",
        ]);
        let over = &mut twins.over;
        over.rows("BEGIN");
        over.rows(&begin(ids));
        over.rows(&simple("c", ids[first][0]));
        let (code, message) = refused(&over.query(&simple("C", ids[second][0])));
        assert_eq!((&*code, &*message), ("42P03", "cursor \"c\" already exists"), "{first} {second}");
        over.rows("ROLLBACK");
    }
}

fn cursors_that_outlive_their_transaction(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    let hold = |id: i64| format!("DECLARE h CURSOR WITH HOLD FOR SELECT * FROM users WHERE id = {id}");
    twins.alike_sql(&[
        // On the first shard, whose session goes on: its commit decides.
        "BEGIN",
        &begin(ids),
        &hold(ids[0][0]),
        &format!("UPDATE users SET name = 'second' WHERE id = {}", ids[1][0]),
        &format!("UPDATE users SET name = 'third' WHERE id = {}", ids[2][0]),
        "COMMIT",
        "FETCH h",
        "CLOSE h",
        "BEGIN",
        &begin(ids),
        &format!("UPDATE users SET name = 'second again' WHERE id = {}", ids[1][0]),
        &hold(ids[0][1]),
        &simple("c", ids[1][0]),
        "FETCH c",
        "COMMIT",
        "FETCH h",
        "FETCH c",
        "CLOSE h",
    ]);
    let over = &mut twins.over;
    over.rows("BEGIN");
    over.rows(&begin(ids));
    let (code, message) = refused(&over.query(&hold(ids[1][0])));
    assert_eq!(code, "0A000");
    assert!(message.contains("WITH HOLD on another shard"), "{message}");
    over.rows("ROLLBACK");
    // While one is kept, another shard's cursors might have its name.
    over.rows("BEGIN");
    over.rows(&hold(ids[0][0]));
    over.rows("COMMIT");
    over.rows("BEGIN");
    over.rows(&begin(ids));
    let (code, message) = refused(&over.query(&simple("h", ids[1][0])));
    assert_eq!(code, "0A000");
    assert!(message.contains("keeps cursors WITH HOLD"), "{message}");
    over.rows("ROLLBACK");
    assert_eq!(over.rows("FETCH h").len(), 1);
    over.rows("CLOSE h");
}

fn cursors_over_several_shards_are_refused(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    let over = &mut twins.over;
    // What every shard does goes apart from a cursor in its text.
    let beside = format!("{}; UPDATE kinds SET name = name; FETCH d", simple("d", ids[1][0]));
    over.rows("BEGIN");
    assert_eq!(tags(&over.query(&beside)), "CCTDCZ");
    assert_eq!(tags(&over.query("MOVE BACKWARD ALL IN d; FETCH d")), "CTDCZ");
    let all = over.query("SELECT * FROM users");
    let both = over.query("MOVE BACKWARD ALL IN d; FETCH d; SELECT * FROM users");
    assert_eq!(tags(&both), format!("CTDC{}", tags(&all)));
    over.rows("ROLLBACK");
    let elsewhere = format!("FETCH b; SELECT * FROM users WHERE id = {}", ids[2][0]);
    for text in ["DECLARE d CURSOR FOR SELECT * FROM users", &elsewhere, "FETCH b; FETCH c", "CLOSE ALL; SELECT 1"] {
        over.rows("BEGIN");
        over.rows(&begin(ids));
        over.rows(&simple("b", ids[1][0]));
        over.rows(&simple("c", ids[2][0]));
        assert_eq!(refused(&over.query(text)).0, "0A000", "{text}");
        assert_eq!(refused(&over.query("FETCH b")).0, "25P02", "{text}");
        over.rows("ROLLBACK");
    }
    // Nothing of it stays.
    assert_eq!(refused(&over.query("FETCH b")).0, "34000");
}

fn cursors_are_bounded(version: Version) {
    let mut twins = Twins::new(version);
    let ids = ids(&twins);
    let over = &mut twins.over;
    over.rows("BEGIN");
    over.rows(&begin(ids));
    // Closed ones do not count.
    for number in 0..600 {
        over.rows(&format!("{}; CLOSE c{number}", simple(&format!("c{number}"), ids[1][0])));
    }
    let many: Vec<String> = (0..500).map(|number| simple(&format!("c{number}"), ids[1][0])).collect();
    over.rows(&many.join("; "));
    over.rows("SAVEPOINT s");
    assert_eq!(refused(&over.query(&simple("more", ids[2][0]))).0, "54000");
    over.rows("ROLLBACK TO s");
    assert_eq!(over.rows("FETCH c499").len(), 1);
    over.rows("CLOSE c7");
    over.rows(&simple("more", ids[2][0]));
    assert_eq!(over.rows("FETCH more").len(), 1);
    let many = vec!["CLOSE nothing"; 1001].join("; ");
    assert_eq!(refused(&over.query(&many)).0, "54000");
    over.rows("ROLLBACK");
    // On its first shard alone a transaction may have more of them, and comes to no other then.
    over.rows("BEGIN");
    for number in 0..600 {
        over.rows(&simple(&format!("c{number}"), ids[1][0]));
    }
    assert_eq!(over.rows("FETCH c599").len(), 1);
    assert_eq!(refused(&over.query(&begin(ids))).0, "0A000");
    over.rows("ROLLBACK");
}
