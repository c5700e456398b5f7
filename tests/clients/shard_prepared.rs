//! SQL's PREPARE and EXECUTE on a database of three shards: what was prepared once is executed on the shard of each key.

use super::shards::{Cluster, SHARDS, databases, on_shard, refused, shards};
use super::support::raw::Message;
use super::support::{Dog, Raw, SOON, Version, config, users, wait_until};
use crate::on_both;

on_both!(
    executes_find_their_shards,
    transactions_execute_on_several_shards,
    what_has_no_route_is_refused_and_changes_nothing,
    what_stays_at_its_server_is_not_prepared,
);

const USERS: i64 = 30;

/// With `prepared_statements = "full"`, and these users.
fn cluster(version: Version) -> (Cluster, Raw) {
    let postgres = shards(version);
    let general = "default_pool_size = 4\nmin_pool_size = 0\nprepared_statements = \"full\"";
    let dog = Dog::start(&config(&postgres, general, &databases(&postgres, [0, 1, 2])), &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    let mut client = cluster.client();
    wait_until("the shards are known", SOON, || client.query("SELECT 1").iter().any(|message| message.tag == b'D'));
    client.rows("PREPARE add(bigint, text) AS INSERT INTO users VALUES ($1, $2)");
    for id in 1..=USERS {
        assert_eq!(tag(&client.query(&format!("EXECUTE add({id}, 'u{id}')"))), "INSERT 0 1");
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, USERS as u64));
    (cluster, client)
}

fn tag(messages: &[Message]) -> String {
    messages.iter().find(|message| message.tag == b'C').unwrap_or_else(|| panic!("no tag: {messages:?}")).text()
}

/// One user of each shard.
fn one_of_each(cluster: &Cluster) -> Vec<i64> {
    let first = |shard| on_shard(&cluster.postgres, shard).rows("SELECT min(id) FROM users")[0][0].parse().expect("a number");
    (0..SHARDS).map(first).collect()
}

fn all_users(cluster: &Cluster) -> usize {
    (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows("SELECT 1 FROM users").len()).sum()
}

fn executes_find_their_shards(version: Version) {
    let (cluster, mut one) = cluster(version);
    let mut other = cluster.client();
    one.rows("PREPARE q(bigint) AS SELECT name FROM users WHERE id = $1");
    other.rows("PREPARE q AS SELECT 'not ' || name FROM users WHERE id = $1");
    let mut twice = |round: &str| {
        for id in (1..=USERS).chain(1..=USERS) {
            assert_eq!(one.rows(&format!("EXECUTE q({id})")), [[format!("u{id}")]], "{round}");
            assert_eq!(other.rows(&format!("execute Q ('{id}')")), [[format!("not u{id}")]], "{round}");
            assert_eq!(one.rows("EXECUTE q(-1::int)"), [[""; 0]; 0], "{round}");
        }
    };
    twice("at first");
    cluster.postgres.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'");
    let mut third = cluster.client();
    let works = |client: &mut Raw| client.query("SELECT id FROM users").iter().filter(|message| message.tag == b'D').count() == USERS as usize;
    wait_until("servers are there again", SOON, || (0..8).all(|_| works(&mut third)));
    twice("after a reconnect");
    assert_eq!(refused(&third.query("EXECUTE q(1)")).0, "26000");
    one.rows("DEALLOCATE q");
    assert_eq!(refused(&one.query("EXECUTE q(1)")).0, "26000");
    assert_eq!(other.rows("EXECUTE q(1)"), [["not u1"]]);
}

fn transactions_execute_on_several_shards(version: Version) {
    let (cluster, mut client) = cluster(version);
    let ids = one_of_each(&cluster);
    client.rows("PREPARE name(bigint, text) AS UPDATE users SET name = $2 WHERE id = $1");
    for (end, name) in [("ROLLBACK", "undone"), ("COMMIT", "done")] {
        client.rows("BEGIN");
        // Each shard comes late once, and is there the second time.
        for id in ids.iter().chain(&ids) {
            assert_eq!(tag(&client.query(&format!("EXECUTE name({id}, '{name}')"))), "UPDATE 1", "{end}");
        }
        client.rows(end);
        let named = |shard| on_shard(&cluster.postgres, shard).rows(&format!("SELECT 1 FROM users WHERE name = '{name}'")).len();
        let count = usize::from(end == "COMMIT");
        assert_eq!((0..SHARDS).map(named).collect::<Vec<_>>(), [count; SHARDS], "{end}");
    }
    client.rows("BEGIN");
    client.rows(&format!("EXECUTE name({}, 'done')", ids[1]));
    client.rows("PREPARE fresh(bigint) AS SELECT name FROM users WHERE id = $1");
    for _ in 0..2 {
        assert_eq!(client.rows(&format!("EXECUTE fresh({})", ids[1])), [["done"]]);
    }
    assert_eq!(refused(&client.query(&format!("EXECUTE fresh({})", ids[2]))).0, "0A000");
    client.rows("ROLLBACK");
    for id in &ids {
        assert_eq!(client.rows(&format!("EXECUTE fresh({id})")), [["done"]]);
    }
    // What every shard has is written on every shard.
    client.rows("PREPARE kind(int) AS INSERT INTO kinds VALUES ($1, 'more')");
    assert_eq!(tag(&client.query("EXECUTE kind(7)")), "INSERT 0 1");
    for shard in 0..SHARDS {
        assert_eq!(on_shard(&cluster.postgres, shard).rows("SELECT name FROM kinds WHERE id = 7"), [["more"]]);
    }
}

fn what_has_no_route_is_refused_and_changes_nothing(version: Version) {
    let (cluster, mut client) = cluster(version);
    client.rows("PREPARE gone(bigint, bigint) AS DELETE FROM users WHERE id = $1 OR id = $2");
    client.rows("PREPARE all_gone AS DELETE FROM users");
    client.rows("PREPARE one_gone(bigint) AS DELETE FROM users WHERE id = $1");
    for text in
        ["EXECUTE all_gone", "EXECUTE one_gone(1 + 1)", "EXECUTE one_gone(5.4)", "EXECUTE gone(1, 2 + 1)", "EXECUTE one_gone(1); EXECUTE one_gone(2)"]
    {
        let (code, message) = refused(&client.query(text));
        assert_eq!(code, "0A000", "{text}: {message}");
        assert!(message.contains("EXECUTE"), "{text}: {message}");
    }
    assert_eq!(all_users(&cluster), USERS as usize);
    assert_eq!(tag(&client.query("EXECUTE one_gone(1)")), "DELETE 1");
    assert_eq!(all_users(&cluster), USERS as usize - 1);
}

fn what_stays_at_its_server_is_not_prepared(version: Version) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    let answer = client.query("PREPARE q(bigint) AS SELECT name FROM users WHERE id = $1");
    assert_eq!(refused(&answer).0, "0A000");
    let hint = answer.iter().find(|message| message.tag == b'E').expect("an error").fields()[&'H'].clone();
    assert!(hint.contains("prepared_statements = \"full\""), "{hint}");
    assert_eq!(refused(&client.query("EXECUTE q(1)")).0, "0A000");
}
