//! Texts of several statements that go to different shards: one transaction, one answer per statement, by the same script on one PostgreSQL and
//! through pg_dog over three. What cannot go apart is refused before anything runs.

use super::over::Twins;
use super::shards::{Cluster, SHARDS, on_shard, refused, settings, shards, tags};
use super::support::{Dog, Raw, SOON, Version, users, wait_until};
use crate::on_both;

on_both!(
    texts_over_shards,
    texts_in_transactions_over_shards,
    cursors_in_texts_over_shards,
    what_fails_in_a_text_undoes_all_of_it,
    texts_that_cannot_go_apart,
    texts_that_could_not_be_committed_as_one,
    a_hundred_texts_at_once,
);

/// One row for each of these users, in as many statements.
fn inserts(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("INSERT INTO users VALUES ({number}, 'n')")).collect::<Vec<_>>().join(";")
}

fn texts_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    twins.alike_sql(&[
        "INSERT INTO users VALUES (101, 'a;b'); INSERT INTO users VALUES (102, 'b'); SELECT 1 AS one",
        "SELECT 1 AS one; INSERT INTO users VALUES (103, 'c');; -- INSERT INTO users VALUES (1, 'd');\n SELECT * FROM users WHERE id = 101;",
        &format!("{}; SELECT * FROM users", inserts(110..130)),
        "INSERT INTO users VALUES (131, '') RETURNING *; UPDATE users SET name = 'x' WHERE id = 102 RETURNING id; DELETE FROM users WHERE id = 103",
        "INSERT INTO users VALUES (141, 'a'), (142, 'b'), (143, 'c') RETURNING id; SELECT * FROM users WHERE id IN (141, 142, 143)",
        "UPDATE users SET name = name || '!'; SELECT name FROM users WHERE id = 1; INSERT INTO kinds VALUES (9, 'nine'); SELECT * FROM kinds",
        "SELECT * FROM users; SELECT * FROM users WHERE name = 'none'",
        "SELECT name FROM users WHERE id = 1; SHOW transaction_isolation; SELECT name FROM users WHERE id = 2; COPY kinds TO STDOUT",
        "SELECT id FROM users WHERE id = 3; UPDATE kinds SET name = 'NINE' WHERE id = 9; TRUNCATE words; SELECT id FROM users WHERE id = 4",
        "DELETE FROM users WHERE id = 131; NOTIFY nobody; DELETE FROM users WHERE id = 141; DELETE FROM users WHERE id = 142",
        "SELECT id FROM users WHERE id = 5; SELECT * FROM users WHERE id IN (6, 7, 8); CREATE TABLE more (id int)",
        "DROP TABLE more",
    ]);
    assert_eq!(twins.cluster.misplaced("users", "id", "by_number").0, 0);
}

fn texts_in_transactions_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    let (first, second, third) = (inserts(201..209), inserts(211..219), inserts(221..229));
    twins.alike_sql(&[
        "BEGIN",
        &first,
        "SELECT * FROM users",
        "ROLLBACK",
        "BEGIN",
        "UPDATE users SET name = 'before' WHERE id = 1",
        &first,
        "COMMIT",
        "BEGIN",
        &second,
        "SAVEPOINT a",
        &format!("{third}; SELECT id / 0 FROM users WHERE id = 1; {third}"),
        &third,
        "SELECT 1; SELECT 2",
        "ROLLBACK TO a",
        &format!("{third}; SELECT * FROM users"),
        "COMMIT",
        "BEGIN",
        &format!("DELETE FROM users WHERE id = 1; DELETE FROM users WHERE id = 2; {first}"),
        "SELECT 1",
        "COMMIT",
        "SELECT * FROM users",
    ]);
}

fn cursors_in_texts_over_shards(version: Version) {
    let mut twins = Twins::new(version);
    let declares: String = (1..9).map(|id| format!("DECLARE c{id} CURSOR FOR SELECT * FROM users WHERE id = {id};")).collect();
    let fetches: String = (1..9).map(|id| format!("FETCH c{id};")).collect();
    twins.alike_sql(&[
        &format!("{declares} DECLARE k CURSOR FOR SELECT 1; {fetches} UPDATE kinds SET name = name; FETCH k; CLOSE c3; SELECT * FROM users"),
        "FETCH c1",
        "BEGIN",
        &format!("{declares} UPDATE kinds SET name = name"),
        "FETCH c2; SELECT * FROM users",
        &format!("{fetches} SELECT * FROM users"),
        "CLOSE c2; UPDATE users SET name = 'c'",
        "FETCH c5",
        "FETCH c2",
        "ROLLBACK",
    ]);
}

fn what_fails_in_a_text_undoes_all_of_it(version: Version) {
    let mut twins = Twins::new(version);
    let late = "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN IF NEW.name = ''late'' THEN RAISE ''late''; END IF; RETURN NULL; END'; CREATE CONSTRAINT TRIGGER late \
        AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()";
    (0..SHARDS).for_each(|shard| _ = on_shard(&twins.cluster.postgres, shard).rows(late));
    twins.one.rows(late);
    let more = inserts(301..307);
    twins.alike_sql(&[
        &format!("{more}; INSERT INTO users VALUES (1, 'twice'); {}", inserts(311..317)),
        &format!("INSERT INTO users VALUES (1, 'twice'); {more}"),
        &format!("{more}; INSERT INTO users VALUES (2, 'twice')"),
        &format!("{more}; SELECT id / 0 FROM users"),
        &format!("{more}; INSERT INTO users VALUES (401, 'a'), (402, 'b'), (403, 'c'), (1, 'd'); SELECT 1"),
        &format!("{more}; INSERT INTO kinds VALUES (1, 'twice'); SELECT 1"),
        // Refused by the commit, behind all but the last tag.
        &format!("UPDATE users SET name = 'late' WHERE id = 3; {more}"),
        &format!("{more}; UPDATE users SET name = 'late' WHERE id = 3"),
        "SELECT * FROM users",
        &more,
    ]);
    // Where in the text, in characters.
    let text = "SELECT '\u{e4}\u{f6}', id FROM users WHERE id = 1; /* ? */ SELECT nothing FROM users WHERE id = 2; SELECT 1";
    let position = |client: &mut Raw| client.query(text).iter().find(|message| message.tag == b'E').expect("an error").fields()[&'P'].clone();
    let expected = 1 + text.chars().take_while(|letter| *letter != '?').count() + "? */ SELECT ".len();
    assert_eq!((position(&mut twins.one), position(&mut twins.over)), (expected.to_string(), expected.to_string()));
}

fn texts_that_cannot_go_apart(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let (first, last) = (inserts(1..9), inserts(11..19));
    for middle in [
        "COMMIT",
        "BEGIN",
        "SAVEPOINT a",
        "SET statement_timeout = 0",
        "SELECT set_config('a.b', 'c', false)",
        "VACUUM kinds",
        "COPY users FROM STDIN",
        "COPY kinds FROM STDIN",
        "CREATE TABLE a (id int)",
        "SELECT count(*) FROM users",
        "PREPARE a AS SELECT 1",
        "LISTEN a",
        "DISCARD ALL",
    ] {
        let said = client.query(&format!("{first}; {middle}; {last}"));
        assert_eq!((tags(&said).as_str(), refused(&said).0.as_str()), ("EZ", "0A000"), "{middle}: {said:?}");
    }
    let said = client.query(&format!("BEGIN; {first}; COMMIT"));
    assert_eq!((tags(&said).as_str(), refused(&said).0.as_str()), ("EZ", "0A000"), "{said:?}");
    assert!((0..SHARDS).all(|shard| on_shard(&cluster.postgres, shard).rows("SELECT 1 FROM users").is_empty()), "nothing ran");
    // One snapshot holds on one shard.
    client.rows("SET default_transaction_isolation TO 'repeatable read'");
    assert_eq!(refused(&client.query(&first)).0, "0A000");
    client.rows("RESET default_transaction_isolation");
    client.rows("BEGIN ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(refused(&client.query(&first)).0, "0A000");
    client.rows("ROLLBACK");
    assert_eq!(tags(&client.query(&first)), "CCCCCCCCZ");
}

fn texts_that_could_not_be_committed_as_one(version: Version) {
    let postgres = shards(version);
    let settings = settings(&postgres, [0, 1, 2]).replace("[general]\n", "[general]\ntwo_phase_commit = false\n");
    let dog = Dog::start(&settings, &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    wait_until("the shards are known", SOON, || tags(&cluster.client().query("SELECT 1")).contains('D'));
    let mut client = cluster.client();
    assert_eq!(refused(&client.query(&inserts(1..9))).0, "0A000");
    for number in 1..9 {
        client.rows(&inserts(number..number + 1));
    }
    let reads: String = (1..9).map(|number| format!("SELECT name FROM users WHERE id = {number};")).collect();
    assert_eq!(tags(&client.query(&reads)), "TDC".repeat(8) + "Z");
}

fn a_hundred_texts_at_once(version: Version) {
    let twins = Twins::new(version);
    let cluster = &twins.cluster;
    std::thread::scope(|scope| {
        for number in 0..20 {
            let login = cluster.login();
            scope.spawn(move || {
                let until = std::time::Instant::now() + SOON;
                let mut client = Raw::login(&login);
                let (mut done, mut round) = (0, 0);
                while done < 5 {
                    round += 1;
                    assert!(std::time::Instant::now() < until, "{round} rounds, {done} done");
                    let (from, to) = (1 + number, 21 + (number * 3 + round) % 10);
                    let update = |sign: &str, id: u32| format!("UPDATE users SET name = name || '{sign}' WHERE id = {id}");
                    let said = client.query(&format!("{}; {}", update("-", from), update("+", to)));
                    match tags(&said).as_str() {
                        "CCZ" => done += 1,
                        // Twenty transactions over pools of four.
                        _ => assert_eq!(refused(&said).0, "40P01", "{said:?}"),
                    }
                }
            });
        }
    });
    let marks = |sign: &str| -> usize {
        let sql = format!("SELECT coalesce(sum(length(name) - length(replace(name, '{sign}', ''))), 0) FROM users");
        (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows(&sql)[0][0].parse::<usize>().expect("a sum")).sum()
    };
    assert_eq!((marks("-"), marks("+")), (100, 100));
    assert!(cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
}
