//! EXPLAIN under `expanded_explain`: the plan of every shard, and lines that say why there, by both protocols, in transactions and out of them.

use super::shards::{Cluster, SHARDS, on_shard, refused, settings, shards, tags};
use super::support::raw::{Message, bind, describe, execute, parse, sync};
use super::support::{Dog, SOON, Version, admin, users, wait_until};
use crate::on_both;

on_both!(an_explain_shows_its_route, an_explain_that_runs_is_atomic, what_takes_no_lines_stays_as_it_was);

fn cluster(version: Version, general: &str) -> Cluster {
    let postgres = shards(version);
    let settings = settings(&postgres, [0, 1, 2]).replace("[general]\n", &format!("[general]\n{general}\n"));
    let dog = Dog::start(&settings, &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    wait_until("the shards are known", SOON, || tags(&cluster.client().query("SELECT 1")).contains('D'));
    cluster
}

/// The lines of an answer, its tag last.
fn lines(messages: &[Message]) -> Vec<String> {
    let text = |message: &Message| match message.tag {
        b'D' => Some(String::from_utf8_lossy(message.columns()[0].as_deref().expect("a line")).into_owned()),
        b'C' => Some(message.text()),
        b'E' => panic!("{messages:?}"),
        _ => None,
    };
    messages.iter().filter_map(text).collect()
}

/// Of the lines those that are ours, and how many are not.
fn ours(lines: &[String]) -> (Vec<&str>, usize) {
    let ours = |line: &&String| line.is_empty() || ["PgDog ", "  Summary", "  Shard ", "Shard "].iter().any(|begin| line.starts_with(begin));
    let found: Vec<&str> = lines.iter().filter(ours).map(String::as_str).collect();
    let others = lines.len() - found.len();
    (found, others)
}

fn an_explain_shows_its_route(version: Version) {
    let cluster = cluster(version, "expanded_explain = true");
    let mut client = cluster.client();
    client.rows("INSERT INTO users VALUES (77, 'x')");
    let home = (0..SHARDS).find(|shard| !on_shard(&cluster.postgres, *shard).rows("SELECT 1 FROM users").is_empty()).expect("a row");
    let keyed = |value: &str| {
        let (summary, why) = (format!("  Summary: shard={home} role=primary"), format!("  Shard {home}: sharding key: users.id = {value}"));
        vec![String::new(), "PgDog Routing:".to_owned(), summary, why]
    };
    let simple = "EXPLAIN (COSTS off, ANALYZE, TIMING off) SELECT * FROM users WHERE id = 77";
    let said = client.query(simple);
    assert!(tags(&said).starts_with("TD") && tags(&said).ends_with("DCZ"), "{}", tags(&said));
    let found = lines(&said);
    assert!(found[0].contains("actual rows=1"), "the shard of the row has answered: {found:?}");
    assert_eq!(found.last().map(String::as_str), Some("EXPLAIN"));
    assert_eq!(ours(&found).0, keyed("a constant"));

    // The extended protocol: described first, as many drivers do, then executed twice.
    let text = "EXPLAIN (COSTS off) SELECT * FROM users WHERE id = $1";
    client.send(&[parse("plan", text, &[20]), describe(b'S', "plan"), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1tTZ");
    for _ in 0..2 {
        client.send(&[bind("", "plan", &[Some("77")]), describe(b'P', ""), execute("", 0), sync()].concat());
        let said = client.read_until_ready();
        assert!(tags(&said).starts_with("2TD") && tags(&said).ends_with("DCZ"), "{}", tags(&said));
        assert_eq!(ours(&lines(&said)).0, keyed("$1"));
    }
    client.send(&[parse("", text, &[20]), bind("", "", &[Some("77")]), execute("", 1), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "12DsZ", "one row was asked for");

    // Several shards: one plan each.
    let said = lines(&client.query("EXPLAIN (COSTS off) SELECT * FROM users"));
    let (found, plans) = ours(&said);
    let why = |shard| format!("  Shard {shard}: no sharding key says which rows are meant");
    let expected = ["Shard 0:", "Shard 1:", "Shard 2:", "", "PgDog Routing:", "  Summary: shard=all role=primary", &why(0), &why(1), &why(2)];
    assert_eq!((found, plans), (expected.to_vec(), SHARDS + 1), "{said:?}");

    // In a transaction, which goes on.
    client.rows("BEGIN");
    client.rows("INSERT INTO users VALUES (78, 'y')");
    assert_eq!(ours(&lines(&client.query(simple))).0, keyed("a constant"));
    client.rows("COMMIT");
    assert_eq!(client.rows("SELECT name FROM users WHERE id = 78"), [["y"]]);
    assert_eq!(refused(&client.query("EXPLAIN SELECT * FROM users ORDER BY name")).0, "0A000");
    assert_eq!(tags(&client.query("EXPLAIN SELECT * FROM users WHERE id = 77")).chars().last(), Some('Z'));
}

fn an_explain_that_runs_is_atomic(version: Version) {
    let cluster = cluster(version, "expanded_explain = true\ntwo_phase_commit = false");
    let mut client = cluster.client();
    for key in 0..30 {
        client.rows(&format!("INSERT INTO users VALUES ({key}, 'x')"));
    }
    let count = || -> u32 { (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows("SELECT 1 FROM users").len() as u32).sum() };
    // Plans alone delete nothing, and need no transaction.
    assert_eq!(ours(&lines(&client.query("EXPLAIN DELETE FROM users"))).0.len(), 9);
    assert_eq!(count(), 30);
    let deletes = "EXPLAIN ANALYZE DELETE FROM users";
    assert_ne!(refused(&client.query(deletes)).0, "", "there is no way to commit it everywhere or nowhere");
    assert_eq!(count(), 30);
    client.rows("/* pgdog_shard: 0 */ EXPLAIN ANALYZE DELETE FROM users");
    assert!(count() < 30 && count() > 0);
}

fn what_takes_no_lines_stays_as_it_was(version: Version) {
    let cluster = cluster(version, "");
    let mut client = cluster.client();
    let one = "EXPLAIN (COSTS off) SELECT * FROM users WHERE id = 77";
    let plain = lines(&client.query(one));
    assert_eq!(ours(&plain).0.len(), 0, "{plain:?}");
    assert_eq!(refused(&client.query("EXPLAIN SELECT * FROM users")).0, "0A000");
    admin(&cluster.dog, "SET expanded_explain TO true");
    wait_until("it is on", SOON, || lines(&client.query(one)).len() > plain.len());
    let json = client.rows("EXPLAIN (FORMAT json) SELECT * FROM users WHERE id = 77");
    assert!(json.len() == 1 && json[0][0].trim_start().starts_with('[') && !json[0][0].contains("PgDog"), "{json:?}");
    assert_eq!(refused(&client.query("EXPLAIN (FORMAT json) SELECT * FROM users")).0, "0A000");
    let two = client.query(&format!("{one}; {one}"));
    assert_eq!(tags(&two).matches('C').count(), 2);
    assert_eq!(ours(&lines(&two)).0.len(), 0);
}
