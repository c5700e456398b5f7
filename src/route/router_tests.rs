//! Routes: keys of every source, comments, what the session says, and what is refused.

use std::sync::Arc;

use super::{Bound, Router, Says};
use crate::config::sharded::{DataType, Hasher, Home, Sharded, ShardedSchema, ShardedTable};
use crate::route::cluster::{Cluster, State};
use crate::route::request::{CopyFormat, Join, Over, Split, Where};
use crate::route::schema::{Row, Schema, at_home};
use crate::route::topology::Topology;
use crate::wire::bind::Values;

fn row(fields: &[&str]) -> Row {
    fields.iter().map(|field| Some(field.as_bytes().to_vec())).collect()
}

fn table(name: &str, column: &str, data_type: DataType) -> ShardedTable {
    ShardedTable { schema: None, table: Some(name.into()), column: column.into(), data_type, hasher: Hasher::Postgres, primary: false, mapping: None }
}

pub fn cluster(number: u64, state: impl FnOnce(&Topology) -> State) -> Arc<Cluster> {
    let tables = vec![table("users", "id", DataType::Bigint), table("words", "key", DataType::Varchar)];
    let sharded = Sharded { database: "app".into(), shards: 3, tables, schemas: Vec::new(), omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    Arc::new(Cluster { state: state(&topology), topology, servers: Vec::new(), listed: Vec::new(), commits: Default::default(), number })
}

pub fn known(topology: &Topology) -> State {
    let columns = [
        row(&["public", "kinds", "r", "id", "23", "-1", "t", "n"]),
        row(&["public", "users", "r", "id", "20", "-1", "t", "n"]),
        row(&["public", "users", "r", "name", "25", "-1", "t", "n"]),
        row(&["other", "kinds", "r", "id", "23", "-1", "t", "n"]),
        row(&["public", "words", "r", "key", "1043", "14", "t", "n"]),
        row(&["public", "labels", "r", "plain", "25", "-1", "t", "n"]),
        row(&["public", "labels", "r", "caseless", "25", "-1", "f", "n"]),
        row(&["public", "labels", "r", "fixed", "1042", "9", "t", "n"]),
        row(&["public", "labels", "r", "of_a_domain", "16999", "-1", "t", "n"]),
        row(&["public", "labels", "r", "number", "1700", "-1", "t", "n"]),
        row(&["pg_catalog", "pg_class", "r", "oid", "26", "-1", "t", "n"]),
    ];
    let schema = Schema::read(&columns, &[], &[row(&["\"$user\", public", "150015", "UTF8"])]).expect("an answer");
    State::Known(schema.fitted(topology))
}

pub fn router() -> Router {
    Router::new(cluster(1, known))
}

pub const PLAIN: Says<'_> = Says::NOTHING;

fn route(text: &str) -> Result<Where, String> {
    router().route(text.as_bytes(), None, &PLAIN, "app").map_err(|refused| refused.code.to_owned())
}

/// What stands behind the names of a Bind with one value.
fn behind(binary: bool, value: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![0, 1, 0, u8::from(binary), 0, 1];
    out.extend(value.map_or(-1i32, |value| value.len() as i32).to_be_bytes());
    out.extend(value.unwrap_or_default());
    out.extend([0, 0]);
    out
}

fn bound(text: &str, types: &[u8], binary: bool, value: Option<&[u8]>) -> Result<Where, String> {
    let message = behind(binary, value);
    let bound = Bound { values: Values::read(&message).expect("whole"), types };
    router().route(text.as_bytes(), Some(&bound), &PLAIN, "app").map_err(|refused| refused.code.to_owned())
}

#[test]
fn one_key_is_one_shard_wherever_its_value_stands() {
    let expected = route("SELECT * FROM users WHERE id = 77");
    assert!(matches!(expected, Ok(Where::One(_))));
    for text in [
        "select * from public.users where 77 = id",
        "SELECT * FROM users u WHERE u.id = '77'",
        "SELECT * FROM users WHERE id = 77::bigint",
        "UPDATE users SET name = 'x' WHERE id IN (77, 77)",
        "INSERT INTO users (name, id) VALUES ('x', 77)",
        "SELECT * FROM users WHERE id = ANY('{77}')",
        "BEGIN; DELETE FROM users WHERE id = 77; COMMIT",
    ] {
        assert_eq!(route(text), expected, "{text}");
    }
    let by_parameter = "SELECT * FROM users WHERE id = $1";
    assert_eq!(bound(by_parameter, &[], false, Some(b"77")), expected);
    assert_eq!(bound(by_parameter, &[], true, Some(&77i64.to_be_bytes())), expected);
    assert_eq!(bound(by_parameter, &[0, 0, 0, 23], true, Some(&77i32.to_be_bytes())), expected);
    assert_eq!(bound("SELECT * FROM users WHERE id = ANY($1)", &[], false, Some(b"{77,NULL}")), expected);
    // A float has the same number of bytes.
    assert_eq!(bound(by_parameter, &701u32.to_be_bytes(), true, Some(&77f64.to_be_bytes())), Err("42804".into()));
    assert_eq!(bound(by_parameter, &[], false, Some(b"x")), Err("22P02".into()));
    assert_eq!(bound(by_parameter, &[], true, Some(b"x")), Err("08P01".into()));
}

#[test]
fn negative_keys_are_other_keys() {
    let mut several = 0;
    for key in 1..40 {
        let (plus, minus) = (route(&format!("SELECT * FROM users WHERE id = {key}")), route(&format!("SELECT * FROM users WHERE id = -{key}")));
        assert_eq!(minus, route(&format!("SELECT * FROM users WHERE id = '-{key}'")));
        several += usize::from(plus != minus);
    }
    assert!(several > 10, "{several}");
}

#[test]
fn comments_and_settings_come_before_keys() {
    assert_eq!(route("/* pgdog_shard: 2 */ SELECT 1"), Ok(Where::One(2)));
    assert_eq!(route("/* pgdog_shard: 3 */ SELECT 1"), Err("22023".into()));
    assert_eq!(route("SET pgdog.shard TO 1"), Ok(Where::Held(1)));
    assert_eq!(route("SET LOCAL pgdog.shard = '2'"), Ok(Where::Held(2)));
    assert_eq!(route("BEGIN; SET LOCAL pgdog.shard TO 1; DELETE FROM users WHERE id = 77"), Err("0A000".into()));
    assert_eq!(route("SET statement_timeout TO 1"), Ok(Where::Any));
    let says = Says { shard: Some("1"), ..PLAIN };
    let mut router = router();
    let mut with = |text: &str| router.route(text.as_bytes(), None, &says, "app").map_err(|refused| refused.code.to_owned());
    assert_eq!(with("UPDATE users SET name = 'everybody'"), Ok(Where::One(1)));
    assert_eq!(with("/* pgdog_shard: 2 */ UPDATE users SET name = 'everybody'"), Ok(Where::One(2)));
    // There are two ways from a key to a shard.
    assert_eq!(route("/* pgdog_sharding_key: 5 */ SELECT 1"), Err("22023".into()));
}

fn over(text: &str) -> Over {
    match route(text) {
        Ok(Where::Over(over)) => *over,
        other => panic!("{text}: {other:?}"),
    }
}

fn shard(key: i64) -> u16 {
    match route(&format!("SELECT * FROM users WHERE id = {key}")) {
        Ok(Where::One(shard)) => shard,
        other => panic!("{other:?}"),
    }
}

/// Three keys, of two shards: the first and the last are of one.
fn keys() -> [i64; 3] {
    let other = (2..).find(|key| shard(*key) != shard(1)).expect("some key");
    let same = (other..).find(|key| shard(*key) == shard(1)).expect("some key");
    [1, other, same]
}

fn shards_of(over: &Over) -> Vec<u16> {
    over.parts.iter().map(|part| part.shard).collect()
}

#[test]
fn what_is_no_key_and_no_answer_is_refused_with_a_reason() {
    for text in ["UPDATE users SET id = id + 1", "SELECT count(*) FROM users", "SELECT * FROM nowhere", "DECLARE c CURSOR FOR SELECT * FROM users"] {
        assert_eq!(route(text), Err("0A000".into()), "{text}");
    }
    assert_eq!(route("SELEC"), Err("42601".into()));
    // PostgreSQL cuts blanks off what is too long.
    assert!(matches!(route("SELECT * FROM words WHERE key = 'ten letter'"), Ok(Where::One(_))));
    assert_eq!(route("INSERT INTO words VALUES ('ten letter ')"), Err("22001".into()));
}

#[test]
fn a_union_is_of_the_shards_of_its_keys_or_of_all() {
    let [one, other, same] = keys();
    let both = over(&format!("SELECT * FROM users WHERE id IN ({other}, {one}, {same})"));
    let mut shards = vec![shard(one), shard(other)];
    shards.sort_unstable();
    assert_eq!((shards_of(&both), both.join, both.writes, both.alone), (shards, Join::Union, false, false));
    assert!(both.parts.iter().all(|part| part.cut.is_none()));
    assert_eq!(route(&format!("SELECT * FROM users WHERE id IN ({one}, {same})")), Ok(Where::One(shard(one))));
    assert!(matches!(over(&format!("UPDATE users SET name = '' WHERE id IN ({one}, {other})")), Over { join: Join::Union, writes: true, .. }));
    let all = over("SELECT * FROM users");
    assert_eq!((shards_of(&all), all.join, all.writes), (vec![0, 1, 2], Join::Union, false));
    assert!(matches!(over("DELETE FROM users WHERE name = ''"), Over { join: Join::Union, writes: true, .. }));
    // A sum of sums is not built.
    assert_eq!(route(&format!("SELECT count(*) FROM users WHERE id IN ({one}, {other})")), Err("0A000".into()));
}

#[test]
fn rows_go_to_their_shards_and_keep_their_order() {
    let [one, other, same] = keys();
    let text = |row: i64| format!("({row}, 'name of {row}')");
    let insert = |rows: &str| format!("/* x */ INSERT INTO users (id, name) VALUES {rows} RETURNING id");
    let (a, b, c) = (text(one), text(other), text(same));
    let found = over(&insert(&format!("{a}, {b},{c}")));
    let first = u16::from(shard(one) > shard(other));
    let cut = |part: usize| String::from_utf8(found.parts[part].cut.as_ref().expect("a part").text.to_vec()).expect("text");
    assert_eq!(cut(first.into()), insert(&format!("{a}, {c}")));
    assert_eq!(cut(1 - usize::from(first)), insert(&b));
    assert_eq!(found.parts[usize::from(first)].shard, shard(one));
    assert_eq!((found.join, found.writes), (Join::Rows { order: [first, 1 - first, first].into() }, true));
    assert_eq!(route(&insert(&format!("{a}, {c}"))), Ok(Where::One(shard(one))));
    assert_eq!(route(&insert(&format!("{a}, ({other})"))), Err("42601".into()));
    assert_eq!(over(&format!("INSERT INTO users (id) VALUES ({one}), ({other}) ON CONFLICT DO NOTHING")).join, Join::Union);
    // With others in the text it goes apart from them.
    assert!(matches!(over(&format!("SELECT 1; {}", insert(&format!("{a}, {b}")))).join, Join::Each(pieces) if pieces.len() == 2));
}

#[test]
fn parameters_of_rows_go_with_them() {
    let [one, other, _] = keys();
    let text = format!("INSERT INTO users (name, id) VALUES ('a', {other}), ('b', $1) ON CONFLICT (id) DO UPDATE SET name = $1");
    let Ok(Where::Over(found)) = bound(&text, &[], false, Some(one.to_string().as_bytes())) else { panic!("{text}") };
    assert!(found.parts.iter().all(|part| *part.cut.as_ref().expect("a part").parameters == [1]));
    let text = format!("INSERT INTO users (name, id) VALUES ('a', {other}), ('b', $1)");
    let Ok(Where::Over(found)) = bound(&text, &[], true, Some(&one.to_be_bytes())) else { panic!("{text}") };
    let parameters = |of: i64| found.parts.iter().find(|part| part.shard == shard(of)).and_then(|part| part.cut.clone()).expect("a part").parameters;
    assert_eq!((&*parameters(one), &*parameters(other)), (&[1][..], &[][..]));
    // The server says what is missing.
    assert_eq!(route(&text), Ok(Where::Any));
}

#[test]
fn what_all_shards_do_alike_may_stand_together() {
    let all = over("INSERT INTO kinds VALUES (1)");
    assert_eq!((shards_of(&all), all.join, all.writes, all.alone), (vec![0, 1, 2], Join::Same, true, false));
    assert!(matches!(over("CREATE TABLE a (id int); SELECT 1; DROP TABLE b"), Over { join: Join::Same, writes: true, alone: false, .. }));
    assert!(matches!(over("COPY kinds FROM STDIN"), Over { join: Join::Same, .. }));
    assert!(over("CREATE INDEX CONCURRENTLY i ON users (name)").alone);
    assert!(over("SELECT 1; VACUUM kinds").alone);
    for text in ["CREATE TABLE a (id int); DELETE FROM users WHERE id = 1", "BEGIN; CREATE TABLE a (id int); COMMIT"] {
        assert_eq!(route(text), Err("0A000".into()), "{text}");
    }
}

#[test]
fn statements_of_one_text_go_apart_unless_something_is_against_that() {
    let (one, other) = (1, (2..).find(|id| shard(*id) != shard(1)).expect("another shard"));
    let apart = |text: &str| {
        let over = over(text);
        let Join::Each(ranges) = &over.join else { panic!("{text}: {over:?}") };
        let pieces: Vec<String> = ranges.iter().map(|range| text[range.clone()].trim().to_owned()).collect();
        (shards_of(&over), over.writes, pieces.join("|"))
    };
    let (insert, select) = (format!("INSERT INTO users VALUES ({one}, 'a;b')"), format!("SELECT name FROM users WHERE id = {other}"));
    let both = if shard(one) < shard(other) { vec![shard(one), shard(other)] } else { vec![shard(other), shard(one)] };
    assert_eq!(apart(&format!("{insert}; SELECT 1;\n{select};")), (both.clone(), true, format!("{insert}|SELECT 1|{select}")));
    assert!(!apart(&format!("SELECT 1 FROM users WHERE id = {one}; {select}")).1);
    assert_eq!(apart("SELECT 1; SELECT * FROM users").0, [0, 1, 2]);
    assert_eq!(apart(&format!("{insert}; UPDATE kinds SET name = 'x'; CREATE TABLE a (id int)")).0, [0, 1, 2]);
    assert!(apart(&format!("{insert}; NOTIFY a; {select}")).1);
    for middle in [
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "SET a.b = 1",
        "SET search_path TO a",
        "SET client_encoding TO utf8",
        "RESET ALL",
        "SET CONSTRAINTS ALL DEFERRED",
        "DISCARD ALL",
        "LISTEN a",
        "PREPARE a AS SELECT 1",
        "DEALLOCATE a",
        "COPY users FROM STDIN",
        "COPY kinds FROM STDIN",
        "/* COPY */ copy kinds from stdin",
        "VACUUM kinds",
        "CREATE TABLE a (id int)",
        "ALTER TABLE users RENAME id TO name",
        "SELECT 1 INTO a",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "SELECT count(*) FROM users",
        "INSERT INTO users VALUES ('x', 'a')",
        "SET pgdog.shard TO 1",
    ] {
        let text = format!("{insert}; {middle}; {select}");
        assert!(matches!(route(&text), Err(code) if code == "0A000" || middle.contains("'x'") && code == "22P02"), "{text}: {:?}", route(&text));
    }
    // Who says where it goes is obeyed, for all of it.
    assert_eq!(route(&format!("{insert}; /* pgdog_shard: 2 */ {select}")), Ok(Where::One(2)));
    // No server takes several by one Parse.
    assert_eq!(bound(&format!("{insert}; {select}"), &[], false, None), Err("0A000".into()));
    let many = |count: usize| format!("{}{insert}", format!("{select};").repeat(count - 1));
    let limit = super::super::apart::STATEMENTS_MAX;
    let (mut helped, mut text) = (router(), many(limit));
    let asked = helped.route(text.as_bytes(), None, &PLAIN, "app");
    assert!(matches!(asked, Err(refused) if refused.is_unread()), "it is for a helper");
    let mut helped_route = |text: &str| {
        if let Some(question) = helped.asks() {
            question.read();
            helped.answered(question);
        }
        helped.route(text.as_bytes(), None, &PLAIN, "app")
    };
    assert!(matches!(helped_route(&text), Ok(Where::Over(over)) if matches!(&over.join, Join::Each(ranges) if ranges.len() == limit)));
    text = many(limit + 1);
    assert!(matches!(helped_route(&text), Err(refused) if refused.is_unread()));
    assert_eq!(helped_route(&text).map_err(|refused| refused.code), Err("54000"));
}

#[test]
fn a_copy_splits_its_rows_by_their_key() {
    let split = |text: &str| match over(text) {
        Over { join: Join::Copy(split), writes: true, parts, .. } if parts.len() == 3 => *split,
        other => panic!("{text}: {other:?}"),
    };
    let text = |delimiter: u8| CopyFormat::Text { delimiter, null: b"\\N".as_slice().into(), header: false };
    assert_eq!(split("COPY users (name, id) FROM STDIN"), Split { rule: 0, position: 1, format: text(b'\t') });
    assert_eq!(split("COPY users FROM STDIN BINARY"), Split { rule: 0, position: 0, format: CopyFormat::Binary });
    // One shape, two plans.
    let mut router = router();
    for delimiter in [b'|', b';'] {
        let copy = format!("COPY words FROM STDIN (DELIMITER '{}')", char::from(delimiter));
        let Ok(Where::Over(found)) = router.route(copy.as_bytes(), None, &PLAIN, "app") else { panic!("{copy}") };
        assert_eq!(found.join, Join::Copy(Box::new(Split { rule: 1, position: 0, format: text(delimiter) })));
    }
    let says = Says { encoding: Some("LATIN1"), ..PLAIN };
    assert!(router.route(b"COPY users FROM STDIN", None, &says, "app").is_err(), "keys of another encoding");
}

#[test]
fn names_of_our_prepared_transactions_are_ours() {
    let name = "dog:0000000000000000:0:00000000000000000000000000000000:1";
    let begins = ["PREPARE TRANSACTION", "commit prepared", "ROLLBACK /* now */ PREPARED"];
    for begin in begins {
        for text in [format!("{begin} '{name}'"), format!("/* pgdog_shard: 1 */ {begin} '{name}'"), format!("{begin} E'\\x64og:1'")] {
            assert_eq!(route(&text), Err("42939".into()), "{text}");
        }
    }
    assert_eq!(route(&format!("BEGIN; PREPARE TRANSACTION '{name}'")), Err("42939".into()));
    assert_eq!(route(&format!("BEGIN; PREPARE TRANSACTION/**/'{name}'")), Err("42939".into()));
    assert_eq!(route("BEGIN; SELECT 'dog: a pet'; COMMIT"), Ok(Where::Any));
    assert_eq!(route(&format!("SELECT '{name}'")), Ok(Where::Any));
    assert_eq!(route("PREPARE TRANSACTION 'mine'"), Ok(Where::Any));
    assert_eq!(route("COMMIT PREPARED 'mine'"), Err("0A000".into()));
    assert_eq!(route("/* pgdog_shard: 1 */ COMMIT PREPARED 'mine'"), Ok(Where::One(1)));
    assert_eq!(route("COMMIT"), Ok(Where::Any));
}

#[test]
fn a_name_in_two_schemas_is_the_first_of_the_path() {
    assert_eq!(route("SELECT * FROM kinds"), Ok(Where::Any));
    let says = Says { unsure: true, ..PLAIN };
    let changed = router().route(b"SELECT * FROM kinds", None, &says, "app");
    assert!(changed.is_err(), "the path may be another one by now");
}

#[test]
fn what_is_behind_another_path_is_not_read_under_this_one() {
    let select = "SELECT * FROM users WHERE id = 1";
    let sets = ["SET search_path TO other", "SET LOCAL search_path = 'other'", "SET SCHEMA 'other'", "RESET search_path", "RESET ALL", "SET ROLE x"];
    for set in sets.into_iter().chain(["SET \"Search_Path\" TO other", "RESET ROLE", "SET SESSION AUTHORIZATION x", "RESET SESSION AUTHORIZATION"]) {
        assert_eq!(route(&format!("{set}; {select}")), Err("0A000".into()), "{set}");
        assert_eq!(route(&format!("BEGIN; {set}; SELECT 1; COMMIT")), Err("0A000".into()), "{set}");
        assert_eq!(route(&format!("{select}; {set}")), route(select), "{set}");
        assert_eq!(route(&format!("BEGIN; {set}; SET ROLE y; COMMIT")), Ok(Where::Any), "{set}");
        assert_eq!(route(&format!("/* pgdog_shard: 2 */ {set}; {select}")), Ok(Where::One(2)), "{set}");
    }
    for harmless in ["SET statement_timeout TO 1", "SET standard_conforming_strings TO off", "SET client_encoding TO LATIN1"] {
        assert_eq!(route(&format!("{harmless}; {select}")), route(select), "{harmless}");
    }
    for set in ["SET client_encoding TO LATIN1", "SET NAMES 'LATIN1'", "RESET ALL"] {
        assert_eq!(route(&format!("{set}; COPY users FROM STDIN")), Err("0A000".into()), "{set}");
    }
}

#[test]
fn set_config_is_a_set_wherever_it_stands() {
    for name in ["'search_path'", "'Search_Path'", "E'search\\x5fpath'", "$$role$$", "'search_' || 'path'", "lower('X')", "/* x */ 'jit'"] {
        for call in ["set_config(", "pg_catalog.SET_CONFIG (", "\"set_config\"(", "U&\"set\\005fconfig\"("] {
            let text = format!("SELECT {call}{name}, 'other', false); SELECT * FROM kinds");
            assert_eq!(route(&text), Err("0A000".into()), "{text}");
        }
    }
    assert_eq!(route("SELECT set_config('jit', 'off', false); SELECT * FROM kinds"), Ok(Where::One(0)));
    assert_eq!(route("SELECT 'set_config(search_path)'; SELECT * FROM kinds"), Ok(Where::Any));
    assert_eq!(route("SELECT set_config('search_path', 'other', false)"), Ok(Where::One(0)));
}

#[test]
fn a_key_comes_through_no_column_that_is_equal_otherwise() {
    let all = route("SELECT * FROM words").expect("all of them");
    let text = |column: &str| format!("SELECT * FROM labels l JOIN words w ON l.{column} = w.key WHERE l.{column} = 'x'");
    let within = |column: &str| format!("SELECT * FROM words WHERE key IN (SELECT {column} FROM labels WHERE {column} = 'x')");
    let using = |column: &str| format!("SELECT * FROM (SELECT {column} AS key FROM labels) l JOIN words USING (key) WHERE key = 'x'");
    for text in [text, within, using] as [fn(&str) -> String; 3] {
        assert_eq!(route(&text("plain")), route("SELECT * FROM words WHERE key = 'x'"), "{}", text("plain"));
        for column in ["caseless", "fixed", "of_a_domain"] {
            assert_eq!(route(&text(column)), Ok(all.clone()), "{}", text(column));
        }
    }
    assert_eq!(route("SELECT * FROM labels l JOIN users u ON l.number = u.id WHERE l.number = 7"), Ok(all.clone()));
    for text in [
        "SELECT * FROM words WHERE key = 'x' COLLATE \"caseless\"",
        "SELECT * FROM words WHERE key COLLATE \"caseless\" IN ('x', 'y')",
        "SELECT * FROM words WHERE key = ANY (ARRAY['x' COLLATE \"caseless\"])",
        "SELECT * FROM words WHERE key = 'x'::character(3)",
        "SELECT * FROM (SELECT key COLLATE \"caseless\" AS key FROM words) w WHERE key = 'x'",
        "SELECT * FROM users WHERE id = 1.0",
        "SELECT * FROM users WHERE id IN (1, 2.0)",
    ] {
        assert_eq!(route(text), Ok(all.clone()), "{text}");
    }
}

#[test]
fn rows_with_sets_are_no_rows() {
    for function in ["generate_series(1, 2)", "pg_catalog.unnest('{1,2}'::int[])", "1 + abs(generate_series(1, 2))"] {
        assert_eq!(route(&format!("INSERT INTO users (id, name) VALUES (1, {function}), (2, 'x')")), Err("0A000".into()), "{function}");
    }
    let [one, other, _] = keys();
    assert!(matches!(route(&format!("INSERT INTO users (id, name) VALUES ({one}, upper('x')), ({other}, 'x')")), Ok(Where::Over(_))));
    assert!(matches!(route("INSERT INTO users (id, name) VALUES (1, generate_series(1, 2))"), Ok(Where::One(_))));
}

/// Schema `audit` lives on shard 1, and `known` has no table of it.
fn with_home(text: &str, says: &Says<'_>) -> Result<Where, String> {
    let schemas = vec![ShardedSchema { name: Some("audit".into()), home: Home::Shard(1) }];
    let tables = vec![table("users", "id", DataType::Bigint)];
    let sharded = Sharded { database: "app".into(), shards: 3, tables, schemas, omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    let state = known(&topology);
    let cluster = Cluster { state, topology, servers: Vec::new(), listed: Vec::new(), commits: Default::default(), number: 1 };
    Router::new(Arc::new(cluster)).route(text.as_bytes(), None, says, "app").map_err(|refused| refused.code.to_owned())
}

#[test]
fn what_is_made_in_a_schema_is_made_where_it_lives() {
    for text in
        ["CREATE TABLE audit.x (id int)", "DROP TABLE audit.x", "TRUNCATE audit.x, audit.y", "VACUUM audit.x", "COMMENT ON COLUMN audit.x.a IS ''"]
    {
        assert_eq!(with_home(text, &PLAIN), Ok(Where::One(1)), "{text}");
    }
    let on = |path| Says { search_path: Some(path), ..PLAIN };
    assert_eq!(with_home("CREATE TABLE x (id int)", &on("audit")), Ok(Where::One(1)));
    assert!(matches!(with_home("CREATE TABLE x (id int)", &PLAIN), Ok(Where::Over(_))));
    assert!(matches!(with_home("TRUNCATE users", &on("audit, public")), Ok(Where::Over(_))), "it is where it is");
    // The first schema that exists; which do is not known.
    assert_eq!(with_home("CREATE TABLE x (id int)", &on("audit, public")), Err("0A000".into()));
    assert_eq!(with_home("CREATE TABLE x (id int)", &on("Audit")), Err("0A000".into()));
    assert_eq!(with_home("TRUNCATE audit.x, users", &PLAIN), Err("0A000".into()));
}

#[test]
fn the_tables_of_a_schema_are_those_of_its_shard() {
    let schemas = vec![ShardedSchema { name: Some("audit".into()), home: Home::Shard(1) }, ShardedSchema { name: None, home: Home::Shard(2) }];
    let sharded = Sharded { database: "app".into(), shards: 3, tables: Vec::new(), schemas, omnisharded: Vec::new() };
    let topology = Topology::first(&sharded).expect("a map");
    let rows = ["audit", "public", "pg_catalog", "dog"].map(|schema| row(&[schema, "t"]));
    let of = |shard| {
        at_home(&topology, shard, rows.to_vec())
            .iter()
            .map(|row| String::from_utf8_lossy(row[0].as_deref().unwrap_or_default()).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1), of(2)), (vec!["pg_catalog".to_owned(), "dog".into()], vec!["audit".to_owned()], vec!["public".to_owned()]));
}

#[test]
fn texts_of_another_encoding_would_be_other_keys() {
    let mut router = router();
    let mut with = |encoding, text: &str| router.route(text.as_bytes(), None, &Says { encoding: Some(encoding), ..PLAIN }, "app");
    let expected = with("UTF8", "SELECT * FROM words WHERE key = 'wörd'");
    assert!(matches!(expected, Ok(Where::One(_))));
    assert_eq!(with("unicode", "SELECT * FROM words WHERE key = 'wörd'"), expected);
    assert!(matches!(with("LATIN1", "SELECT * FROM words WHERE key = 'word'"), Ok(Where::One(_))));
    assert!(with("LATIN1", "SELECT * FROM words WHERE key = 'wörd'").is_err());
}

#[test]
fn nothing_goes_where_nothing_is_known() {
    let mut router = Router::new(cluster(1, |_| State::Asking));
    let refused = router.route(b"SELECT 1", None, &PLAIN, "app").expect_err("nothing is known");
    assert_eq!(refused.code, "57P03");
    router.learn(cluster(2, |_| State::Wrong("shard 1 says that it is shard 2".into())));
    let refused = router.route(b"SELECT 1", None, &PLAIN, "app").expect_err("it is wrong");
    assert_eq!((refused.code, refused.detail.as_deref()), ("58000", Some("shard 1 says that it is shard 2")));
    router.learn(cluster(3, known));
    assert_eq!(router.route(b"SELECT 1", None, &PLAIN, "app"), Ok(Where::Any));
}

#[test]
fn what_is_done_is_counted() {
    let mut router = router();
    let mut route = |text: &str| router.route(text.as_bytes(), None, &PLAIN, "app").is_ok();
    assert!(route("SELECT * FROM users WHERE id = 1"));
    assert!(route("SELECT * FROM users WHERE id = 2"));
    assert!(route("SELECT * FROM users"));
    assert!(!route("SELECT * FROM users ORDER BY id"));
    let done = router.done();
    assert_eq!((done.hits, done.misses, done.direct, done.multi, done.shapes), (1, 3, 2, 1, 3));
    assert!(done.bytes > 0);
}

#[test]
fn who_is_kept_to_one_shard_is_refused_several() {
    let says = Says { one_shard: true, ..PLAIN };
    let mut router = router();
    let mut with = |text: &str| router.route(text.as_bytes(), None, &says, "app");
    let refused = with("SELECT * FROM users").expect_err("several");
    assert_eq!((refused.code, refused.detail.as_deref()), ("58000", Some("SELECT * FROM users")));
    assert_eq!(with("INSERT INTO public.kinds VALUES (1)").expect_err("all").code, "58000");
    for text in ["SELECT * FROM users WHERE id = 77", "/* pgdog_shard: 2 */ SELECT * FROM users", "SELECT 1", "RESET ALL", "BEGIN"] {
        assert!(with(text).is_ok(), "{text}");
    }
}

/// The shards of an EXPLAIN that shows its route, its lines, and whether it writes; or why it goes nowhere.
fn explained(text: &str, says: Says<'_>) -> Result<(Vec<u16>, String, bool), String> {
    let says = Says { explains: Some(2), ..says };
    match router().route(text.as_bytes(), None, &says, "app").map_err(|refused| refused.code.to_owned())? {
        Where::Over(over) => {
            let Join::Plans(lines) = over.join else { panic!("{text}: {over:?}") };
            Ok((over.parts.iter().map(|part| part.shard).collect(), lines.join("\n"), over.writes))
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_explain_says_where_its_statement_goes() {
    let one = shard(77);
    let head = |names: &str| format!("\nPgDog Routing:\n  Summary: shard={names} role=primary\n");
    let all = |why: &str| (0..3).map(|shard| format!("  Shard {shard}: {why}")).collect::<Vec<_>>().join("\n");
    let line = |shard: u16, why: &str| head(&shard.to_string()) + &format!("  Shard {shard}: {why}");
    let nowhere = "no sharding key says which rows are meant";
    for (text, shards, lines, writes) in [
        ("EXPLAIN SELECT * FROM users WHERE id = 77", vec![one], line(one, "sharding key: users.id = a constant"), false),
        ("EXPLAIN (FORMAT text) SELECT * FROM users WHERE id = 77", vec![one], line(one, "sharding key: users.id = a constant"), false),
        ("/* pgdog_shard: 1 */ EXPLAIN SELECT * FROM users", vec![1], line(1, "a comment names it"), false),
        ("EXPLAIN SELECT 1", vec![2], line(2, "every shard has all that it asks for"), false),
        ("EXPLAIN SELECT * FROM users", vec![0, 1, 2], head("all") + &all(nowhere), false),
        ("EXPLAIN DELETE FROM users", vec![0, 1, 2], head("all") + &all(nowhere), false),
        ("EXPLAIN ANALYZE DELETE FROM users", vec![0, 1, 2], head("all") + &all(nowhere), true),
        ("EXPLAIN (ANALYZE) INSERT INTO public.kinds VALUES (1)", vec![0, 1, 2], head("all") + &all("the table is on every shard"), true),
    ] {
        assert_eq!(explained(text, PLAIN), Ok((shards, lines, writes)), "{text}");
    }
    let says = Says { shard: Some("0"), ..PLAIN };
    assert_eq!(explained("EXPLAIN SELECT * FROM users", says).unwrap().1, line(0, "the session names it (pgdog.shard or pgdog.sharding_key)"));
    // What goes nowhere by itself goes nowhere so.
    assert_eq!(explained("EXPLAIN SELECT * FROM users ORDER BY name", PLAIN), Err("0A000".into()));
    assert_eq!(explained("EXPLAIN SELECT * FROM users WHERE id = 'x'", PLAIN), Err("22P02".into()));
    assert_eq!(explained("EXPLAIN SELECT * FROM users", Says { one_shard: true, ..PLAIN }), Err("58000".into()));
    assert_eq!(explained("EXPLAIN SELECT * FROM users WHERE id = 77", Says { one_shard: true, ..PLAIN }).unwrap().0, [one]);
}

#[test]
fn what_has_no_room_for_lines_is_left_as_it_is() {
    let mut router = router();
    let says = Says { explains: Some(2), ..PLAIN };
    let mut with = |text: &str| router.route(text.as_bytes(), None, &says, "app").map_err(|refused| refused.code.to_owned());
    // The same shape, with another literal: the one must not be taken for the other.
    assert!(matches!(with("EXPLAIN (FORMAT 'text') SELECT * FROM users WHERE id = 77"), Ok(Where::Over(_))));
    assert_eq!(with("EXPLAIN (FORMAT 'json') SELECT * FROM users WHERE id = 77"), Ok(Where::One(shard(77))));
    assert_eq!(with("EXPLAIN (FORMAT yaml) SELECT 1"), Ok(Where::Any));
    assert_eq!(with("EXPLAIN (FORMAT json) SELECT * FROM users"), Err("0A000".into()));
    assert_eq!(with("SELECT 1; EXPLAIN SELECT * FROM users WHERE id = 77"), Ok(Where::One(shard(77))));
    assert_eq!(with("SELECT * FROM users WHERE id = 77"), Ok(Where::One(shard(77))));
    // Unless somebody wants it.
    assert_eq!(route("EXPLAIN SELECT * FROM users WHERE id = 77"), Ok(Where::One(shard(77))));
    assert_eq!(route("EXPLAIN SELECT * FROM users"), Err("0A000".into()));
}
