//! What the operator sees of shards, and how soon a changed schema is known: SHOW SHARDS, SHOW SCHEMA DRIFT, SHOW QUERY_CACHE, `dry_run`,
//! `pg_dog route`, DDL that passed by and DDL that did not.

use std::collections::HashMap;

use super::shards::{Cluster, SHARDS, on_shard, settings, shards, tags};
use super::support::raw::{bind, describe, execute, parse, sync};
use super::support::{Dog, Postgres, Raw, SOON, Version, admin, config, users, wait_until};
use crate::on_both;

on_both!(
    several_shards_can_be_forbidden,
    several_shards_can_be_forbidden_to_some,
    what_a_client_creates_is_routed_soon,
    what_was_created_elsewhere_is_known_after_reconnect,
    views_are_routed_by_the_key_they_show,
    views_that_need_more_are_refused,
    shards_are_shown,
    drift_is_shown,
    answers_of_several_shards_say_the_first_ones_types,
    plans_are_counted,
    statements_are_routed_without_being_run,
    a_dry_run_counts_and_changes_nothing,
);

const NOTES: &str = "CREATE TABLE notes (id bigint, user_id bigint NOT NULL, PRIMARY KEY (user_id, id))";
const RULE: &str = "[[sharded_tables]]\ndatabase = \"app\"\nname = \"notes\"\ncolumn = \"user_id\"\n";

/// With one more rule, for a table that is not there yet.
fn without_notes(version: Version, general: &str) -> Cluster {
    let postgres = shards(version);
    let settings = settings(&postgres, [0, 1, 2]).replace("[general]\n", &format!("[general]\n{general}\n"));
    let dog = Dog::start(&format!("{settings}{RULE}"), &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    wait_until("the shards are known", SOON, || tags(&cluster.client().query("SELECT 1")).contains('D'));
    let refused = cluster.client().query("INSERT INTO notes VALUES (1, 1)");
    assert_eq!(refused[0].sqlstate(), "0A000", "{refused:?}");
    cluster
}

fn count(cluster: &Cluster) -> Vec<String> {
    (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows("SELECT count(*) FROM notes")[0][0].clone()).collect()
}

fn works(cluster: &Cluster) {
    let mut client = cluster.client();
    wait_until("it is known", SOON, || tags(&client.query("INSERT INTO notes VALUES (1, 1)")) == "CZ");
    for user in 2..60 {
        client.rows(&format!("INSERT INTO notes VALUES (1, {user})"));
    }
    let counts = count(cluster);
    assert_eq!(counts.iter().map(|count| count.parse::<u32>().expect("a number")).sum::<u32>(), 59);
    assert!(!counts.contains(&"0".to_string()), "{counts:?}");
}

fn what_a_client_creates_is_routed_soon(version: Version) {
    let cluster = without_notes(version, "");
    let mut client = cluster.client();
    for shard in 0..SHARDS {
        client.rows(&format!("SET pgdog.shard TO {shard}"));
        client.rows(NOTES);
    }
    works(&cluster);
    let text = "ALTER TABLE notes DROP COLUMN id";
    for shard in 0..SHARDS {
        client.rows(&format!("SET pgdog.shard TO {shard}"));
        client.rows(text);
    }
    client.rows("RESET pgdog.shard");
    wait_until("the column is gone", SOON, || tags(&client.query("INSERT INTO notes VALUES (77)")) == "CZ");
}

fn what_was_created_elsewhere_is_known_after_reconnect(version: Version) {
    let cluster = without_notes(version, "reload_schema_on_ddl = false");
    for shard in 0..SHARDS {
        on_shard(&cluster.postgres, shard).rows(NOTES);
    }
    assert_eq!(cluster.client().query("INSERT INTO notes VALUES (1, 1)")[0].sqlstate(), "0A000");
    admin(&cluster.dog, "RECONNECT app");
    works(&cluster);
}

/// The answer's message of an error, or nothing.
fn complaint(client: &mut Raw, text: &str) -> String {
    let answer = client.query(text);
    let error = answer.iter().find(|message| message.tag == b'E');
    error.map(|error| format!("{} {}", error.sqlstate(), error.fields()[&'M'])).unwrap_or_default()
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

fn views_are_routed_by_the_key_they_show(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    for user in 1..30 {
        client.rows(&format!("INSERT INTO users VALUES ({user}, '{}')", ["seen", "hidden"][usize::from(user % 5 == 0)]));
    }
    client.rows("CREATE VIEW people AS SELECT name, id AS person FROM users WHERE name <> 'hidden'");
    client.rows("CREATE VIEW persons AS SELECT person AS number, name FROM people");
    client.rows("CREATE VIEW sorts AS SELECT name, id FROM kinds");
    wait_until("the views are known", SOON, || complaint(&mut client, "SELECT * FROM persons").is_empty());
    for user in 1..30 {
        let table = client.rows(&format!("SELECT name, id FROM users WHERE name <> 'hidden' AND id = {user}"));
        assert_eq!(table.len(), usize::from(user % 5 != 0));
        assert_eq!(client.rows(&format!("SELECT * FROM people WHERE person = {user}")), table);
        assert_eq!(client.rows(&format!("SELECT name, number FROM persons WHERE number = {user}")), table);
    }
    let all = sorted(client.rows("SELECT name, id FROM users WHERE name <> 'hidden'"));
    assert_eq!(sorted(client.rows("SELECT * FROM people")), all);
    assert_eq!(sorted(client.rows("SELECT p.name, s.number FROM people p JOIN persons s ON s.number = p.person")), all);
    assert_eq!(sorted(client.rows("SELECT name FROM sorts")), [["picture"], ["text"]]);
    // What is written through a view is where the table's rows are looked for.
    let rows: Vec<String> = (100..130).map(|user| format!("('new', {user})")).collect();
    client.rows(&format!("INSERT INTO people VALUES {}", rows.join(", ")));
    for user in 100..130 {
        assert_eq!(client.rows(&format!("SELECT name FROM users WHERE id = {user}")), [["new"]]);
        client.rows(&format!("UPDATE persons SET name = 'newer' WHERE number = {user}"));
        assert_eq!(client.rows(&format!("SELECT name FROM users WHERE id = {user}")), [["newer"]]);
    }
    client.rows("DELETE FROM people WHERE person = 100");
    client.rows("DELETE FROM persons WHERE name = 'newer'");
    assert_eq!(client.rows("SELECT id FROM users WHERE id >= 100").len(), 0);
}

fn views_that_need_more_are_refused(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    client.rows("INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')");
    client.rows("CREATE VIEW people AS SELECT id, name FROM users");
    wait_until("the view is known", SOON, || complaint(&mut client, "SELECT * FROM people").is_empty());
    client.rows("CREATE OR REPLACE VIEW people AS SELECT id, max(name) AS name FROM users GROUP BY id");
    wait_until("the change is known", SOON, || !complaint(&mut client, "SELECT * FROM people").is_empty());
    let refused = complaint(&mut client, "SELECT * FROM people");
    assert!(refused.starts_with("0A000 ") && refused.contains("\"people\"") && refused.contains("GROUP BY"), "{refused}");
    let pinned: usize = (0..SHARDS).map(|shard| client.rows(&format!("/* pgdog_shard: {shard} */ SELECT * FROM people")).len()).sum();
    assert_eq!(pinned, 4);
    // Of one shard only, a definition is no definition.
    client.rows("CREATE OR REPLACE VIEW people AS SELECT id, name FROM users");
    wait_until("the change is known", SOON, || complaint(&mut client, "SELECT * FROM people").is_empty());
    on_shard(&cluster.postgres, 1).rows("CREATE OR REPLACE VIEW people AS SELECT id, name FROM users WHERE id > 1");
    admin(&cluster.dog, "RECONNECT");
    wait_until("the difference is known", SOON, || complaint(&mut client, "SELECT * FROM people").contains("not defined alike"));
    client.rows("DROP VIEW people");
    for shard in 0..SHARDS {
        on_shard(&cluster.postgres, shard).rows("CREATE MATERIALIZED VIEW people AS SELECT id, name FROM users");
    }
    admin(&cluster.dog, "RECONNECT");
    wait_until("it is materialized", SOON, || complaint(&mut client, "SELECT * FROM people").contains("it is materialized"));
}

fn column<'a>(rows: &'a [HashMap<String, String>], name: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[name].as_str()).collect()
}

fn shards_are_shown(version: Version) {
    let cluster = Cluster::new(version);
    let rows = admin(&cluster.dog, "SHOW SHARDS");
    assert_eq!(column(&rows, "shard"), ["0", "1", "2"]);
    assert_eq!(column(&rows, "server_database"), ["app_0", "app_1", "app_2"]);
    for (name, value) in [("database", "app"), ("host", "127.0.0.1"), ("identity", "known"), ("map_version", "1"), ("slots", "1024")] {
        assert_eq!(column(&rows, name), [value; SHARDS], "{name}");
    }
    for (name, value) in [("tables", "11"), ("sharded_tables", "3"), ("reason", "")] {
        assert_eq!(column(&rows, name), [value; SHARDS], "{name}: {rows:?}");
    }
    let id = on_shard(&cluster.postgres, 0).rows("SELECT left(cluster::text, 8) FROM dog.identity");
    assert_eq!(column(&rows, "cluster"), [id[0][0].as_str(); SHARDS]);
    assert!(column(&rows, "pool").contains(&"open"), "{rows:?}");
    // One of them becomes another's.
    on_shard(&cluster.postgres, 1).rows("UPDATE dog.identity SET shard = 2");
    admin(&cluster.dog, "RECONNECT");
    wait_until("it is shown", SOON, || column(&admin(&cluster.dog, "SHOW SHARDS"), "identity") == ["wrong"; SHARDS]);
    let rows = admin(&cluster.dog, "SHOW SHARDS");
    assert!(column(&rows, "reason")[0].contains("shard 1 of \"app\"") && column(&rows, "reason")[0].contains("says that it is shard 2"), "{rows:?}");
}

fn drift_is_shown(version: Version) {
    let cluster = Cluster::new(version);
    let of = |rows: &[HashMap<String, String>]| {
        let line = |row: &HashMap<String, String>| format!("{} {} {}", row["shard"], row["table"], row["what"]);
        rows.iter().map(line).collect::<Vec<String>>()
    };
    let before = of(&admin(&cluster.dog, "SHOW SCHEMA DRIFT"));
    assert!(before.is_empty(), "{before:?}");
    for shard in 0..SHARDS {
        let mut client = on_shard(&cluster.postgres, shard);
        if shard == 1 {
            client.rows("CREATE TYPE in_front AS ENUM ('x'); ALTER TABLE kinds ADD more int; DROP TABLE things");
        }
        client.rows("CREATE TYPE mood AS ENUM ('sad', 'happy'); ALTER TABLE users ADD mood mood");
        client.rows(
            "CREATE TABLE logs (id serial PRIMARY KEY, user_id bigint REFERENCES users);
            CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE public.users SET name = 1; RETURN NEW; END';
            CREATE TRIGGER follows AFTER INSERT ON words FOR EACH ROW EXECUTE FUNCTION follow();
            CREATE RULE copies AS ON INSERT TO kinds DO ALSO INSERT INTO users VALUES (NEW.id);
            CREATE UNIQUE INDEX by_name ON users (name) INCLUDE (id)",
        );
    }
    admin(&cluster.dog, "RECONNECT");
    let expected = [
        "0 public.kinds rule to another table",
        "0 public.logs foreign key to another shard",
        "0 public.users unique on one shard only",
        "0 public.words trigger to another table",
        "1 public.kinds extra column",
        "1 public.mood other type OID",
        "1 public.things missing table",
    ];
    wait_until("it is shown", SOON, || !admin(&cluster.dog, "SHOW SCHEMA DRIFT").is_empty());
    let rows = admin(&cluster.dog, "SHOW SCHEMA DRIFT");
    let mut found = of(&rows);
    // Databases of one PostgreSQL count their OIDs together.
    found.retain(|line| *line != "2 public.mood other type OID");
    assert_eq!(found, expected, "{rows:?}");
    assert_eq!(column(&rows, "database"), vec!["app"; rows.len()]);
    let log = cluster.dog.log();
    for detail in ["\"copies\" leads to public.users", "\"follows\" runs follow(), which speaks of \"users\"", "shard 0 has it"] {
        assert_eq!(log.matches(detail).count(), 1, "{detail} in {log}");
    }
}

/// The type's OID of the first column.
fn type_of(columns: &[u8]) -> u32 {
    let name = columns[2..].iter().position(|byte| *byte == 0).expect("a name");
    u32::from_be_bytes(columns[name + 9..name + 13].try_into().expect("four bytes"))
}

fn answers_of_several_shards_say_the_first_ones_types(version: Version) {
    let cluster = Cluster::new(version);
    let oids: Vec<u32> = (0..SHARDS)
        .map(|shard| {
            let mut client = on_shard(&cluster.postgres, shard);
            client.rows("CREATE TYPE mood AS ENUM ('sad', 'happy'); ALTER TABLE users ADD mood mood, ADD moods mood[]");
            for user in 1..20 {
                client.rows(&format!("INSERT INTO users (id, mood, moods) SELECT {user}, 'sad', '{{sad}}' WHERE {user} % 3 = {shard}"));
            }
            client.rows("SELECT 'mood'::regtype::oid")[0][0].parse().expect("an OID")
        })
        .collect();
    assert!(oids[1] != oids[0] && oids[2] != oids[0], "{oids:?}");
    let array: u32 = on_shard(&cluster.postgres, 0).rows("SELECT 'mood[]'::regtype::oid")[0][0].parse().expect("an OID");
    admin(&cluster.dog, "RECONNECT");
    let mut client = cluster.client();
    wait_until("the types are known", SOON, || !tags(&client.query("SELECT mood FROM users")).contains('E'));
    for (text, oid) in [("SELECT mood, id FROM users", oids[0]), ("SELECT moods FROM users", array)] {
        let answer = client.query(text);
        assert_eq!((type_of(&answer[0].body), answer.iter().filter(|message| message.tag == b'D').count()), (oid, 19), "{text}");
        client.send(&[parse("", text, &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
        let answer = client.read_until_ready();
        let columns = answer.iter().find(|message| message.tag == b'T').expect("columns");
        assert_eq!(type_of(&columns.body), oid, "{text}: {answer:?}");
    }
    // What a type's number means is not the same everywhere.
    client.send(&[parse("", "SELECT id FROM users WHERE mood = $1", &[oids[0]]), bind("", "", &[Some("sad")]), execute("", 0), sync()].concat());
    let refused = client.read_until_ready();
    assert!(refused.iter().any(|message| message.tag == b'E') && refused.iter().all(|message| message.tag != b'D'), "{refused:?}");
    client.send(&[parse("", "SELECT id FROM users WHERE mood = $1", &[]), bind("", "", &[Some("sad")]), execute("", 0), sync()].concat());
    assert_eq!(client.read_until_ready().iter().filter(|message| message.tag == b'D').count(), 19);
}

fn several_shards_can_be_forbidden(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let several = "SELECT name FROM users";
    assert!(!tags(&client.query(several)).contains('E'));
    admin(&cluster.dog, "SET cross_shard_disabled TO true");
    wait_until("it is forbidden", SOON, || tags(&client.query(several)).contains('E'));
    let refused = client.query(several);
    let fields = refused[0].fields();
    assert_eq!((refused[0].sqlstate().as_str(), fields[&'D'].as_str()), ("58000", several));
    assert!(fields[&'M'].contains("cross_shard_disabled"), "{fields:?}");
    // What goes to one shard, and what says something of the session, goes on.
    for key in 0..20 {
        client.rows(&format!("INSERT INTO users VALUES ({key}, 'one')"));
    }
    client.rows("SET statement_timeout TO '10s'");
    client.rows("RESET statement_timeout");
    let here = client.rows("/* pgdog_shard: 1 */ SELECT id FROM users").len();
    assert!(here > 0 && here < 20, "{here}");
    admin(&cluster.dog, "RELOAD");
    wait_until("it is allowed", SOON, || !tags(&client.query(several)).contains('E'));
    assert_eq!(client.rows(several).len(), 20);
}

fn several_shards_can_be_forbidden_to_some(version: Version) {
    let postgres = shards(version);
    let plain = settings(&postgres, [0, 1, 2]);
    let of_database = plain.replace("shard = 1\n", "shard = 1\ncross_shard_disabled = true\n");
    assert_ne!(plain, of_database);
    for (settings, user, forbidden) in
        [(&plain, "cross_shard_disabled = true", true), (&of_database, "", true), (&of_database, "cross_shard_disabled = false", false)]
    {
        let dog = Dog::start(settings, &users(&postgres, &[("app", user)]));
        let mut client = Raw::login(&dog.instead_of(&postgres.login("app")));
        wait_until("the shards are known", SOON, || tags(&client.query("SELECT 1")).contains('D'));
        let said = client.query("SELECT name FROM users");
        assert_eq!(tags(&said).contains('E'), forbidden, "{user}: {said:?}");
        assert!(!forbidden || said[0].sqlstate() == "58000", "{said:?}");
        client.rows("SELECT name FROM users WHERE id = 1");
    }
}

fn plans_are_counted(version: Version) {
    let cluster = Cluster::new(version);
    let sum = |name: &str| -> u64 {
        let rows = admin(&cluster.dog, "SHOW QUERY_CACHE");
        assert!(rows.iter().all(|row| row["database"] == "app" && row["query"].is_empty()), "{rows:?}");
        column(&rows, name).iter().map(|number| number.parse::<u64>().expect("a number")).sum()
    };
    let names = ["hits", "misses", "shapes", "direct", "multi"];
    let before = names.map(sum);
    // All of them on one connection, so on one core.
    let mut client = cluster.client();
    for user in 0..5 {
        client.rows(&format!("SELECT name FROM users WHERE id = {user}"));
    }
    client.rows("SELECT id FROM users");
    let after = names.map(sum);
    let grown: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    // What goes to several shards is looked at when it comes, and again by who coordinates it.
    assert_eq!(grown, [5, 2, 2, 5, 2], "{names:?}");
    assert!(sum("bytes") > 0);
}

fn statements_are_routed_without_being_run(version: Version) {
    let cluster = Cluster::new(version);
    cluster.client().rows("INSERT INTO users VALUES (77, 'x')");
    let home = (0..SHARDS).find(|shard| !on_shard(&cluster.postgres, *shard).rows("SELECT 1 FROM users").is_empty()).expect("a row");
    let route = ["route", "--database", "app"];
    let (code, out, _) = cluster.dog.command(&route, "SELECT * FROM users WHERE id = 77; DELETE FROM users;");
    let tables = "   tables: users (sharded by id)\n";
    let expected = format!(
        "1: SELECT * FROM users WHERE id = 77\n{tables}   keys: id = 77\n   read, shard {home}\n\
         2: DELETE FROM users\n{tables}   write, shards 0, 1, 2: "
    );
    assert!(code == Some(0) && out.starts_with(&expected), "{code:?} {out}");
    assert_eq!(on_shard(&cluster.postgres, home).rows("SELECT count(*) FROM users"), [["1"]], "nothing was run");
    let (code, out, _) = cluster.dog.command(&[&route[..], &["SELECT * FROM users ORDER BY name"]].concat(), "");
    assert!(code == Some(1) && out.contains("refused, 0A000: ") && out.contains("hint: "), "{code:?} {out}");
    let (code, _, error) = cluster.dog.command(&[&route[..], &["--user", "stranger", "SELECT 1"]].concat(), "");
    assert!(code == Some(2) && error.contains("no user \"stranger\""), "{error}");
    let (code, out, error) = cluster.dog.command(&["route", "--database", "nobody", "SELECT 1"], "");
    assert_eq!((code, out.as_str(), error.contains("\"nobody\": it is not configured")), (Some(2), "", true), "{error}");
    // Shards that were never told who they are stay so.
    for shard in 0..SHARDS {
        on_shard(&cluster.postgres, shard).rows("DROP SCHEMA dog CASCADE");
    }
    let (code, out, error) = cluster.dog.command(&[&route[..], &["SELECT * FROM users WHERE id = 77"]].concat(), "");
    assert!(code == Some(0) && out.ends_with(&format!("shard {home}\n")), "{code:?} {out} {error}");
    let there = on_shard(&cluster.postgres, 0).rows("SELECT to_regnamespace('dog') IS NULL");
    assert_eq!(there, [["t"]]);
}

fn a_dry_run_counts_and_changes_nothing(version: Version) {
    let postgres = Postgres::start(version);
    postgres.sql("CREATE TABLE users (id bigint PRIMARY KEY, name text); GRANT ALL ON users TO app");
    let rules = "[[sharded_tables]]\ndatabase = \"app\"\nname = \"users\"\ncolumn = \"id\"\n";
    let dog =
        Dog::start(&config(&postgres, "workers = 1\ndry_run = true", rules).replacen("workers = 2\n", "", 1), &users(&postgres, &[("app", "")]));
    let mut client = Raw::login(&dog.instead_of(&postgres.login("app")));
    let shown = || admin(&dog, "SHOW QUERY_CACHE");
    let numbers = || -> Vec<u64> {
        let rows = shown();
        let all = rows.iter().find(|row| row["query"].is_empty());
        ["direct", "multi", "refused"].map(|name| all.map_or(0, |row| row[name].parse().expect("a number"))).to_vec()
    };
    wait_until("the schema is known", SOON, || {
        client.rows("SELECT 1");
        numbers()[0] > 0
    });
    let before = numbers();
    client.rows("INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    // On shards this would be refused; here it is as right as without any rule.
    assert_eq!(client.rows("SELECT name FROM users ORDER BY name LIMIT 2"), [["a"], ["b"]]);
    assert_eq!(client.rows("SELECT count(*) FROM users WHERE id IN (1, 2)"), [["2"]]);
    assert_eq!(client.rows("SELECT name FROM users ORDER BY name LIMIT 1"), [["a"]]);
    assert_eq!(client.rows("/* pgdog_shard: 5 */ SELECT name FROM users WHERE id = 1"), [["a"]]);
    client.send(&[parse("", "SELECT name FROM users WHERE id = $1", &[20]), bind("", "", &[Some("3")]), execute("", 0), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "12DCZ");
    client.send(&[parse("all", "SELECT name FROM users", &[]), bind("", "all", &[]), execute("", 0), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "12DDDCZ");
    let grown: Vec<u64> = numbers().iter().zip(before).map(|(now, before)| now - before).collect();
    assert_eq!(grown, [2, 2, 3], "{:?}", shown());
    let refused: Vec<(String, String)> =
        shown().iter().filter(|row| !row["query"].is_empty()).map(|row| (row["query"].clone(), row["refused"].clone())).collect();
    assert!(refused.contains(&("SELECT name FROM users ORDER BY name LIMIT 2".to_owned(), "2".to_owned())), "{refused:?}");
    assert!(shown().iter().any(|row| row["reason"].starts_with("0A000: ")), "{:?}", shown());
    // Nothing was written to say which shard this is.
    assert_eq!(client.rows("SELECT to_regnamespace('dog') IS NULL"), [["t"]]);
    admin(&dog, "SET dry_run TO false");
    wait_until("it is over", SOON, || {
        client.rows("SELECT 1");
        shown().is_empty()
    });
}
