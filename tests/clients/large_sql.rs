//! Statements too large for a data core on a database of several shards: a helper reads them, and they go where small ones would.

use super::shards::{Cluster, SHARDS, on_shard, refused, tags};
use super::support::Version;
use super::support::raw::{bind, execute, parse, sync};
use crate::on_both;

on_both!(
    an_insert_of_fifty_thousand_rows,
    a_long_list_of_keys,
    in_a_transaction_and_behind_others,
    beyond_the_bounds_it_is_refused_and_the_session_lives,
    others_are_answered_meanwhile,
);

/// Rows `from..to`, each of about `width` bytes.
fn insert(from: i64, to: i64, width: usize) -> String {
    let name = "n".repeat(width);
    let rows: Vec<String> = (from..to).map(|id| format!("({id}, '{name} {id}')")).collect();
    format!("INSERT INTO users (id, name) VALUES {}", rows.join(", "))
}

fn tag(messages: &[super::support::raw::Message]) -> String {
    messages.iter().find(|message| message.tag == b'C').unwrap_or_else(|| panic!("no tag: {}", tags(messages))).text()
}

fn an_insert_of_fifty_thousand_rows(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let text = insert(0, 50_000, 85);
    assert!(text.len() > 5_000_000);
    assert_eq!(tag(&client.query(&text)), "INSERT 0 50000");
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 50_000));
    let text = insert(50_000, 100_000, 85) + " RETURNING id";
    client.send(&[parse("", &text, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
    let messages = client.read_until_ready();
    assert_eq!(tag(&messages), "INSERT 0 50000");
    let ids: Vec<i64> = messages.iter().filter(|message| message.tag == b'D').map(|row| number(&row.columns()[0])).collect();
    assert!(ids.iter().copied().eq(50_000..100_000), "in the order of the rows");
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 100_000));
    for shard in 0..SHARDS {
        let names = "SELECT count(*) FROM users WHERE name <> repeat('n', 85) || ' ' || id";
        assert_eq!(on_shard(&cluster.postgres, shard).rows(names), [["0"]]);
    }
}

fn number(column: &Option<Vec<u8>>) -> i64 {
    String::from_utf8_lossy(column.as_deref().unwrap_or_default()).parse().expect("a number")
}

fn a_long_list_of_keys(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    client.query(&insert(0, 1_000, 5));
    for count in [5_000, 30_000] {
        let list: Vec<String> = (0..count).map(|id| (id * 2).to_string()).collect();
        let text = format!("SELECT id FROM users WHERE id IN ({}) AND name <> $1", list.join(", "));
        assert!(text.len() > 20_000);
        client.send(&[parse("many", &text, &[]), sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "1Z");
        for (name, expected) in [("x", "SELECT 500"), ("nnnnn 4", "SELECT 499")] {
            client.send(&[bind("", "many", &[Some(name)]), execute("", 0), sync()].concat());
            assert_eq!(tag(&client.read_until_ready()), expected);
        }
        assert_eq!(tag(&client.query(&text.replace("$1", "''"))), "SELECT 500");
        client.send(&[super::support::raw::close(b'S', "many"), sync()].concat());
        client.read_until_ready();
    }
}

fn in_a_transaction_and_behind_others(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    // On one shard first, then on all of them.
    client.query("BEGIN");
    client.query("INSERT INTO users VALUES (-1, 'first')");
    assert_eq!(tag(&client.query(&insert(0, 3_000, 20))), "INSERT 0 3000");
    assert_eq!(tag(&client.query(&insert(3_000, 6_000, 20))), "INSERT 0 3000");
    client.query("ROLLBACK");
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 0));
    // A pipeline: what stands behind waits, and comes after it.
    let words = |text: &str| [parse("", text, &[]), bind("", "", &[]), execute("", 0)].concat();
    for (from, to) in [(-20, -10), (0, 3_000)] {
        let first = format!("INSERT INTO users VALUES ({}, 'first')", from - 1);
        let seen = format!("SELECT id FROM users WHERE id = {}", to - 1);
        client.send(&[words(&first), words(&insert(from, to, 20)), words(&seen), sync()].concat());
        let messages = client.read_until_ready();
        let told: Vec<String> = messages.iter().filter(|message| message.tag == b'C').map(|message| message.text()).collect();
        assert_eq!(
            (tags(&messages).as_str(), told),
            ("12C12C12DCZ", vec!["INSERT 0 1".into(), format!("INSERT 0 {}", to - from), "SELECT 1".into()]),
            "{from}"
        );
    }
    client
        .send(&[super::support::raw::query(&insert(3_000, 6_000, 20)), super::support::raw::query("SELECT id FROM users WHERE id = 5999")].concat());
    assert_eq!(tags(&client.read_until_ready()), "CZ");
    assert_eq!(tags(&client.read_until_ready()), "TDCZ");
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 6_012));
}

fn beyond_the_bounds_it_is_refused_and_the_session_lives(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let deep = format!("SELECT id FROM users WHERE id = {}1", "- ".repeat(6_000));
    assert_eq!(refused(&client.query(&deep)).0, "54001");
    client.send(&[parse("", &deep, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
    assert_eq!(refused(&client.read_until_ready()).0, "54001");
    assert_eq!(refused(&client.query(&format!("{} SELECT", insert(0, 3_000, 20)))).0, "42601");
    client.query("BEGIN");
    assert_eq!(refused(&client.query(&deep)).0, "54001");
    assert_eq!(refused(&client.query("SELECT 1")).0, "25P02");
    client.query("ROLLBACK");
    assert_eq!(client.rows("SELECT 1"), [["1"]]);
}

/// The core goes on while a helper reads, also when whoever has asked goes.
fn others_are_answered_meanwhile(version: Version) {
    let cluster = Cluster::new(version);
    let text = insert(0, 50_000, 85);
    let (mut one, mut other) = (cluster.client(), cluster.client());
    one.send(&super::support::raw::query(&text));
    let mut answered = 0;
    one.stream().set_nonblocking(true).expect("a socket");
    let mut byte = [0];
    while one.stream().peek(&mut byte).is_err() {
        assert_eq!(other.rows("SELECT count(*) FROM users WHERE id = 1").len(), 1);
        answered += 1;
    }
    one.stream().set_nonblocking(false).expect("a socket");
    assert!(answered > 10, "{answered}");
    assert_eq!(tag(&one.read_until_ready()), "INSERT 0 50000");
    let mut gone = cluster.client();
    gone.send(&super::support::raw::query(&insert(100_000, 150_000, 85)));
    drop(gone);
    assert_eq!(tag(&other.query(&insert(50_000, 53_000, 85))), "INSERT 0 3000");
}
