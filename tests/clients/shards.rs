//! One database over three shards, as a client sees it: every statement with a key goes to its shard, whatever way it comes; what has no way is
//! refused and changes nothing; a cluster that is not what it should be gets no traffic.

use super::support::raw::{self, bind, describe, execute, frame, parse, query, sync};
use super::support::{Dog, Login, Postgres, Raw, SOON, Version, config, users, wait_until};
use crate::on_both;

on_both!(
    every_row_is_where_its_key_is,
    the_answer_is_that_of_one_database,
    by_hand,
    what_has_no_way_is_refused_and_changes_nothing,
    swapped_servers_get_no_traffic,
    a_server_that_comes_later,
    a_reload_that_swaps_servers_misroutes_nothing,
    statements_of_a_pipeline_find_their_shards,
    statements_are_described_before_they_are_bound,
    a_session_routes_what_it_can_see,
);

pub(super) const SHARDS: usize = 3;
pub(super) const TABLES: &str = "CREATE TABLE users (id bigint PRIMARY KEY, name text);
CREATE TABLE words (id bigint, key text, PRIMARY KEY (key, id));
CREATE TABLE things (id uuid PRIMARY KEY, name text);
CREATE TABLE kinds (id int PRIMARY KEY, name text);
INSERT INTO kinds VALUES (1, 'text'), (2, 'picture');
CREATE TABLE by_number (id bigint) PARTITION BY HASH (id);
CREATE TABLE by_word (id text) PARTITION BY HASH (id);
CREATE TABLE by_thing (id uuid) PARTITION BY HASH (id);";
const RULES: &str = "[[sharded_tables]]\ndatabase = \"app\"\nname = \"users\"\ncolumn = \"id\"\n\
    [[sharded_tables]]\ndatabase = \"app\"\nname = \"words\"\ncolumn = \"key\"\ndata_type = \"varchar\"\n\
    [[sharded_tables]]\ndatabase = \"app\"\nname = \"things\"\ncolumn = \"id\"\ndata_type = \"uuid\"\n";

/// pg_dog in front of three databases of one PostgreSQL.
pub(super) struct Cluster {
    pub(super) dog: Dog,
    pub(super) postgres: Postgres,
}

/// The databases of a configuration, in this order.
pub(super) fn databases(postgres: &Postgres, order: [usize; SHARDS]) -> String {
    let port = postgres.port;
    let more = |shard: usize| {
        let database = order[shard];
        format!("[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\nport = {port}\nshard = {shard}\ndatabase_name = \"app_{database}\"\n")
    };
    format!("database_name = \"app_{}\"\n{}{}{RULES}", order[0], more(1), more(2))
}

/// The shards, with their tables.
pub(super) fn shards(version: Version) -> Postgres {
    let postgres = Postgres::start(version);
    for shard in 0..SHARDS {
        postgres.psql(&["-c", &format!("CREATE DATABASE app_{shard} OWNER app")]).expect_success();
        on_shard(&postgres, shard).rows(TABLES);
    }
    postgres
}

/// A client of one shard.
pub(super) fn on_shard(postgres: &Postgres, shard: usize) -> Raw {
    Raw::login(&Login { database: format!("app_{shard}"), ..postgres.login("app") })
}

pub(super) fn settings(postgres: &Postgres, order: [usize; SHARDS]) -> String {
    config(postgres, "default_pool_size = 4\nmin_pool_size = 0", &databases(postgres, order))
}

impl Cluster {
    pub(super) fn new(version: Version) -> Cluster {
        let postgres = shards(version);
        let dog = Dog::start(&settings(&postgres, [0, 1, 2]), &users(&postgres, &[("app", "")]));
        let cluster = Cluster { dog, postgres };
        let mut first = cluster.client();
        wait_until("the shards are known", SOON, || first.query("SELECT 1").iter().any(|message| message.tag == b'D'));
        cluster
    }

    pub(super) fn login(&self) -> Login {
        self.dog.instead_of(&self.postgres.login("app"))
    }

    pub(super) fn client(&self) -> Raw {
        Raw::login(&self.login())
    }

    /// Which shards have a row.
    fn holders(&self, sql: &str) -> Vec<usize> {
        (0..SHARDS).filter(|shard| !on_shard(&self.postgres, *shard).rows(sql).is_empty()).collect()
    }

    /// Rows that are not on the shard of their key, and all rows.
    pub(super) fn misplaced(&self, table: &str, column: &str, like: &str) -> (u64, u64) {
        let count = |shard: usize, condition: &str| -> u64 {
            let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
            on_shard(&self.postgres, shard).rows(&sql)[0][0].parse().expect("a count")
        };
        let here = |shard| format!("NOT satisfies_hash_partition('{like}'::regclass, {SHARDS}, {shard}, {column})");
        (0..SHARDS).fold((0, 0), |(wrong, all), shard| (wrong + count(shard, &here(shard)), all + count(shard, "true")))
    }
}

pub(super) fn refused(messages: &[raw::Message]) -> (String, String) {
    let error = messages.iter().find(|message| message.tag == b'E').unwrap_or_else(|| panic!("no error: {messages:?}"));
    (error.sqlstate(), error.fields()[&'M'].clone())
}

pub(super) fn tags(messages: &[raw::Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// A Bind with one value in binary format.
fn bind_binary(statement: &str, value: &[u8]) -> Vec<u8> {
    let mut body = [b"\0", statement.as_bytes(), b"\0\0\x01\0\x01\0\x01"].concat();
    body.extend((value.len() as i32).to_be_bytes());
    body.extend(value);
    body.extend([0, 0]);
    frame(b'B', &body)
}

fn every_row_is_where_its_key_is(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    client.send(&[parse("store", "INSERT INTO users (id, name) VALUES ($1, 'prepared')", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    let mut count = 0;
    for number in (-200i64..200).chain([i64::MIN, i64::MAX]) {
        // Each key once, by one of the ways.
        let messages = match number.rem_euclid(5) {
            0 => client.query(&format!("INSERT INTO users VALUES ({number}, 'simple')")),
            1 => {
                let words = number.to_string();
                let text = "INSERT INTO users VALUES ($1, 'extended')";
                client.send(&[parse("", text, &[]), bind("", "", &[Some(&words)]), execute("", 0), sync()].concat());
                client.read_until_ready()
            }
            2 => {
                client.send(&[bind_binary("store", &number.to_be_bytes()), execute("", 0), sync()].concat());
                client.read_until_ready()
            }
            3 => {
                client.query("BEGIN");
                let messages = client.query(&format!("INSERT INTO users (name, id) VALUES ('transaction', '{number}')"));
                assert_eq!(tags(&client.query("COMMIT")), "CZ");
                messages
            }
            _ => client.query(&format!("BEGIN; INSERT INTO public.users VALUES ('{number}'::bigint, 'many'); COMMIT")),
        };
        assert!(messages.iter().all(|message| message.tag != b'E'), "{number}: {messages:?}");
        count += 1;
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, count));
    for number in 0..60 {
        let key = format!("wörd{number}{}", "x".repeat(number));
        client.rows(&format!("INSERT INTO words VALUES ({number}, '{key}')"));
        let id = format!("{number:08x}-9c0b-4ef8-bb6d-6bb9bd380a11");
        client.rows(&format!("INSERT INTO things VALUES ('{id}', 'a thing')"));
        assert_eq!(client.rows(&format!("SELECT id FROM words WHERE key = '{key}'")), [[number.to_string()]]);
        assert_eq!(client.rows(&format!("SELECT name FROM things WHERE id = '{id}'")), [["a thing"]]);
    }
    assert_eq!(cluster.misplaced("words", "key", "by_word"), (0, 60));
    assert_eq!(cluster.misplaced("things", "id", "by_thing"), (0, 60));
    // Every shard has had some.
    assert_eq!(cluster.holders("SELECT FROM users"), [0, 1, 2]);
}

fn the_answer_is_that_of_one_database(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let mut one = Raw::login(&cluster.postgres.login("app"));
    one.rows(TABLES);
    let keys: Vec<i64> = (0..40).collect();
    for key in &keys {
        for client in [&mut client, &mut one] {
            client.rows(&format!("INSERT INTO users VALUES ({key}, 'name {key}')"));
        }
    }
    for key in &keys {
        for sql in [
            format!("SELECT * FROM users WHERE id = {key}"),
            format!("SELECT u.name, k.name FROM users u JOIN kinds k ON k.id = 1 WHERE u.id = '{key}'"),
            format!("SELECT count(*), max(name) FROM users WHERE id = {key} AND name LIKE 'n%'"),
            format!("SELECT name FROM users WHERE id IN ({key}, {key}) ORDER BY name LIMIT 3"),
            format!("WITH u AS (SELECT * FROM users WHERE id = {key}) SELECT name FROM u"),
            format!("UPDATE users SET name = name || '!' WHERE id = {key} RETURNING id, name"),
            format!("SELECT * FROM users WHERE id = {key} FOR UPDATE"),
            format!("DELETE FROM users WHERE id = {key} AND name = 'nobody'"),
            format!("INSERT INTO users VALUES ({key}, 'again') ON CONFLICT (id) DO UPDATE SET name = excluded.name || users.name RETURNING name"),
            format!("INSERT INTO users VALUES ({key}, 'again')"),
            format!("EXPLAIN (COSTS OFF) SELECT * FROM users WHERE id = {key}"),
        ] {
            let seen = |client: &mut Raw| {
                let messages = client.query(&sql);
                messages
                    .iter()
                    .map(|message| (message.tag, if message.tag == b'E' { message.sqlstate().into_bytes() } else { message.body.clone() }))
                    .collect::<Vec<_>>()
            };
            // The table's number in RowDescription is each database's own.
            let mine: Vec<_> = seen(&mut client).into_iter().filter(|(tag, _)| *tag != b'T').collect();
            let theirs: Vec<_> = seen(&mut one).into_iter().filter(|(tag, _)| *tag != b'T').collect();
            assert_eq!(mine, theirs, "{sql}");
        }
    }
    // What no shard has to do with.
    for sql in ["SELECT 1", "SELECT name FROM kinds ORDER BY id", "SHOW server_version", "SELECT count(*) FROM pg_class WHERE relname = 'users'", ""]
    {
        assert_eq!(client.rows(sql), one.rows(sql), "{sql}");
    }
}

fn by_hand(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let database = "SELECT current_database()";
    for shard in 0..SHARDS {
        let name = format!("app_{shard}");
        assert_eq!(client.rows(&format!("/* pgdog_shard: {shard} */ {database}")), [[name.clone()]]);
        client.rows(&format!("SET pgdog.shard TO {shard}"));
        for _ in 0..3 {
            assert_eq!(client.rows(database), [[name.clone()]]);
        }
        client.rows("RESET pgdog.shard");
        client.rows("BEGIN");
        client.rows(&format!("SET LOCAL pgdog.shard TO '{shard}'"));
        assert_eq!(client.rows(database), [[name.clone()]]);
        // What is said by hand holds, whatever the keys say.
        client.rows(&format!("INSERT INTO users SELECT 10 * {shard} + n, 'by hand' FROM generate_series(1, 9) n"));
        client.rows(&format!("UPDATE users SET name = 'changed' WHERE id = {}", 10 * shard + 5));
        assert_eq!(client.rows(&format!("SELECT name FROM users WHERE id = {}", 10 * shard + 5)), [["changed"]]);
        client.rows("COMMIT");
        assert_eq!(cluster.holders("SELECT FROM users WHERE name = 'changed'"), (0..=shard).collect::<Vec<_>>());
        let login = cluster.login();
        let number = shard.to_string();
        let mut other = Raw::try_login(&login, &[("pgdog.shard", &number)]).expect("a login");
        assert_eq!(other.rows(database), [[name]]);
    }
    for bad in ["/* pgdog_shard: 3 */ SELECT 1", "/* pgdog_shard: x */ SELECT 1", "SET pgdog.shard TO 7", "SET pgdog.shard TO 'first'"] {
        assert_eq!(refused(&client.query(bad)).0, "22023", "{bad}");
    }
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
}

fn what_has_no_way_is_refused_and_changes_nothing(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    client.rows("INSERT INTO users VALUES (1, 'one')");
    for sql in [
        "SELECT count(*) FROM users",
        "SELECT * FROM users ORDER BY name LIMIT 1",
        "UPDATE users SET id = 2 WHERE id = 1",
        "DO $$ BEGIN DELETE FROM users; END $$",
        "SELECT * FROM nowhere",
        "SELECT * FROM users WHERE id = 'x'",
    ] {
        let (state, message) = refused(&client.query(sql));
        assert!(matches!(state.as_str(), "0A000" | "22P02"), "{sql}: {state} {message}");
        // By the extended protocol too, whose session goes on as well.
        client.send(&[parse("", sql, &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
        assert_eq!(refused(&client.read_until_ready()).0, state, "{sql}");
        assert_eq!(client.rows("SELECT name FROM users WHERE id = 1"), [["one"]], "{sql}");
    }
    // A value that is no number of its type is refused in PostgreSQL's words.
    let (state, message) = refused(&client.query("SELECT * FROM users WHERE id = 'x'"));
    assert_eq!((state.as_str(), message.as_str()), ("22P02", "invalid input syntax for type bigint: \"x\""));
}

fn swapped_servers_get_no_traffic(version: Version) {
    let cluster = Cluster::new(version);
    let Cluster { dog, postgres } = cluster;
    drop(dog);
    let dog = Dog::start(&settings(&postgres, [0, 2, 1]), &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    wait_until("the swap is seen", SOON, || cluster.dog.log().contains("have changed places"));
    // Whoever comes is refused; its session lives on.
    let Err(refusal) = Raw::try_login(&cluster.login(), &[]) else {
        let mut client = cluster.client();
        for sql in ["SELECT 1", "INSERT INTO users VALUES (5, 'lost')"] {
            let (state, _) = refused(&client.query(sql));
            assert_eq!(state, "58000");
        }
        for shard in 0..SHARDS {
            assert_eq!(on_shard(&cluster.postgres, shard).rows("SELECT count(*) FROM users WHERE id = 5"), [["0"]]);
        }
        return;
    };
    panic!("{refusal:?}");
}

/// What was known of the servers of before says nothing of those that took their places.
fn a_reload_that_swaps_servers_misroutes_nothing(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    cluster.dog.write_config(&settings(&cluster.postgres, [0, 2, 1]));
    super::support::admin(&cluster.dog, "RELOAD");
    for key in 0..300 {
        let messages = client.query(&format!("INSERT INTO users VALUES ({key}, 'swapped')"));
        assert!(matches!(refused(&messages).0.as_str(), "57P03" | "58000"), "{messages:?}");
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 0));
}

fn a_server_that_comes_later(version: Version) {
    let mut postgres = shards(version);
    // Commits of these servers do not wait for the disk.
    postgres.sql("CHECKPOINT");
    postgres.stop();
    let dog = Dog::start(&settings(&postgres, [0, 1, 2]), &users(&postgres, &[("app", "")]));
    wait_until("it is seen", SOON, || dog.log().contains("the shards get no traffic"));
    postgres.restart("INT");
    let cluster = Cluster { dog, postgres };
    wait_until("they are asked again", SOON, || {
        Raw::try_login(&cluster.login(), &[]).is_ok_and(|mut client| tags(&client.query("INSERT INTO users VALUES (9, 'nine')")) == "CZ")
    });
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 1));
}

/// In session mode a server is kept, and so is its shard.
fn a_session_routes_what_it_can_see(version: Version) {
    let cluster = Cluster::new(version);
    let settings = settings(&cluster.postgres, [0, 1, 2]).replace("[general]\n", "[general]\npooler_mode = \"session\"\n");
    let dog = Dog::start(&settings, &users(&cluster.postgres, &[("app", "")]));
    let login = dog.instead_of(&cluster.postgres.login("app"));
    wait_until("the shards are known", SOON, || Raw::login(&login).query("SELECT 1").iter().any(|message| message.tag == b'D'));
    let (mut stored, mut refusals) = (0, 0);
    for key in 0..30 {
        let mut client = Raw::login(&login);
        for key in [key, key + 100] {
            let messages = client.query(&format!("INSERT INTO users VALUES ({key}, 'session')"));
            match tags(&messages).as_str() {
                "CZ" => stored += 1,
                _ => {
                    assert_eq!(refused(&messages).0, "0A000");
                    refusals += 1;
                }
            }
        }
        // Prepared in one batch, bound in another: nobody has kept its text.
        client.send(&[parse("named", "INSERT INTO users VALUES ($1, 'prepared')", &[]), sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "1Z");
        client.send(&[bind("", "named", &[Some("77")]), execute("", 0), sync()].concat());
        assert_eq!(refused(&client.read_until_ready()).0, "0A000");
    }
    assert!(stored >= 30 && refusals > 0, "{stored} {refusals}");
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, stored));
}

fn statements_of_a_pipeline_find_their_shards(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    client.send(&[parse("store", "INSERT INTO users VALUES ($1, $2) RETURNING id", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    let mut batches = Vec::new();
    for number in 0..200 {
        let key = number.to_string();
        batches.extend(match number % 3 {
            0 => query(&format!("INSERT INTO users VALUES ({number}, 'query') RETURNING id")),
            1 => [bind("", "store", &[Some(&key), Some("named")]), execute("", 0), sync()].concat(),
            _ => {
                let text = "INSERT INTO users VALUES ($1, 'unnamed') RETURNING id";
                [parse("", text, &[]), bind("", "", &[Some(&key)]), describe(b'P', ""), execute("", 0), sync()].concat()
            }
        });
    }
    client.send(&batches);
    for number in 0..200 {
        let messages = client.read_until_ready();
        let row = messages.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{number}: {messages:?}"));
        assert_eq!(row.text(), number.to_string());
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 200));
}

/// As asyncpg asks: Parse, Describe and Flush; when that is answered, Bind, Execute and Sync.
fn statements_are_described_before_they_are_bound(version: Version) {
    let cluster = Cluster::new(version);
    let store = "INSERT INTO users VALUES ($1, 'later') RETURNING id";
    let described = |name: &str, text: &str| [parse(name, text, &[]), describe(b'S', name), raw::flush()].concat();
    let bound = |name: &str, value: &str| [bind("", name, &[Some(value)]), execute("", 0), sync()].concat();
    let mut count = 0;
    for number in 0..60 {
        let mut client = cluster.client();
        let name = if number % 2 == 0 { "" } else { "named" };
        let (first, second) = (number.to_string(), (number + 100).to_string());
        if number % 3 == 0 {
            // All of it at once.
            client.send(&[described(name, store), bound(name, &first)].concat());
        } else {
            client.send(&described(name, store));
            assert_eq!(tags(&client.read_until(b'T')), "1tT");
            client.send(&bound(name, &first));
        }
        let messages = client.read_until_ready();
        assert!(tags(&messages).ends_with("2DCZ"), "{number}: {messages:?}");
        // Another key goes elsewhere as well.
        client.send(&[described("more", store), bound("more", &second)].concat());
        assert_eq!(tags(&client.read_until_ready()), "1tT2DCZ", "{number}");
        // So does a simple query that comes instead of the Bind.
        client.send(&[described("", store), query(&format!("INSERT INTO users VALUES ({}, 'query')", number + 300))].concat());
        assert_eq!(tags(&client.read_until_ready()), "1tTCZ", "{number}");
        count += 3;
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, count));
    for number in 200..230 {
        let (mut client, key) = (cluster.client(), number.to_string());
        // What fails in between makes the rest be skipped, wherever it would have gone.
        client.send(&[described("one", store), parse("two", "SELECT nonsense", &[]), bound("one", &key)].concat());
        assert_eq!(tags(&client.read_until_ready()), "1tTEZ");
        assert_eq!(client.rows(&format!("SELECT FROM users WHERE id = {number}")).len(), 0);
        // What is bound keeps the batch where it is, and what it did is undone with it.
        client.send(&[described("three", store), bind("", "three", &[Some(&key)]), execute("", 0), raw::flush()].concat());
        assert_eq!(tags(&client.read_until(b'C')), "1tT2DC");
        // There already, here or elsewhere.
        client.send(&bound("three", "7"));
        let state = refused(&client.read_until_ready()).0;
        assert!(matches!(state.as_str(), "0A000" | "23505"), "{state}");
        assert_eq!(client.rows(&format!("SELECT FROM users WHERE id = {number}")).len(), 0);
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number").0, 0);
}
