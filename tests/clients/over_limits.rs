//! What goes wrong while a client is on several shards: a server that ends, a cancelled request, a client that does not read, sessions of others, and
//! transactions that cannot be one.

use super::house::memory;
use super::shards::{Cluster, SHARDS, on_shard, refused, tags};
use super::support::raw::{cancel_request, query};
use super::support::{Raw, SOON, Version, wait_until};
use crate::on_both;

on_both!(
    a_server_that_ends_takes_the_transaction_with_it,
    a_cancel_reaches_every_shard,
    who_does_not_read_fills_no_memory,
    one_snapshot_is_one_shard,
    what_cannot_be_one_transaction_is_refused,
    sessions_of_others_are_not_met,
);

/// A cluster with thirty users, and three of them on shards 0, 1 and 2.
fn cluster(version: Version) -> (Cluster, Raw, [i64; SHARDS]) {
    let cluster = Cluster::new(version);
    let mut client = cluster.client();
    for number in 1..=30 {
        client.rows(&format!("INSERT INTO users VALUES ({number}, 'u{number}')"));
    }
    let one = |shard: usize| on_shard(&cluster.postgres, shard).rows("SELECT min(id) FROM users")[0][0].parse().expect("an id");
    let ids = [one(0), one(1), one(2)];
    (cluster, client, ids)
}

fn names(cluster: &Cluster, name: &str) -> usize {
    let sql = format!("SELECT 1 FROM users WHERE name = '{name}'");
    (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard).rows(&sql).len()).sum()
}

fn a_server_that_ends_takes_the_transaction_with_it(version: Version) {
    let (cluster, _, ids) = cluster(version);
    for victim in 0..SHARDS {
        let mut client = cluster.client();
        client.query("BEGIN");
        for id in ids {
            assert_eq!(tags(&client.query(&format!("UPDATE users SET name = 'lost' WHERE id = {id}"))), "CZ");
        }
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app_{victim}' AND state LIKE 'idle in%' AND query LIKE '%lost%'"
        );
        assert_eq!(cluster.postgres.sql(&end).len(), 1);
        client.send(&query("COMMIT"));
        let last = client.read_until_closed();
        assert!(last.iter().any(|message| message.tag == b'E') && last.iter().all(|message| message.tag != b'C'), "{last:?}");
        wait_until("nothing is left of it", SOON, || names(&cluster, "lost") == 0);
        assert!(cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
    }
    assert_eq!(cluster.client().rows("SELECT 1 FROM users").len(), 30);
}

fn a_cancel_reaches_every_shard(version: Version) {
    let (cluster, mut client, ids) = cluster(version);
    let mut holders: Vec<Raw> = (0..SHARDS).map(|shard| on_shard(&cluster.postgres, shard)).collect();
    for holder in &mut holders {
        holder.rows("BEGIN");
        holder.rows("SELECT 1 FROM users FOR UPDATE");
    }
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname LIKE 'app%' AND wait_event_type = 'Lock'";
    for begins in [false, true] {
        if begins {
            client.rows("BEGIN");
            client.rows(&format!("INSERT INTO users VALUES ({}, 'mine')", 1000 + ids[1]));
        }
        client.send(&query("UPDATE users SET name = 'slow'"));
        wait_until("all shards are at work", SOON, || cluster.postgres.sql(waits).len() == SHARDS);
        let key = client.key.clone().expect("a key");
        Raw::connect(cluster.login().port).send(&cancel_request(&key));
        let answer = client.read_until_ready();
        assert_eq!(refused(&answer).0, "57014", "{answer:?}");
        wait_until("nobody waits any more", SOON, || cluster.postgres.sql(waits).is_empty());
        if begins {
            assert_eq!(client.query("COMMIT")[0].text(), "ROLLBACK");
        }
        assert_eq!(client.rows("SELECT 1 FROM users").len(), 30);
    }
    assert_eq!(names(&cluster, "mine") + names(&cluster, "slow"), 0);
}

fn who_does_not_read_fills_no_memory(version: Version) {
    let (cluster, mut client, _) = cluster(version);
    let before = memory(cluster.dog.pid(), "VmRSS:");
    client.send(&query("SELECT id, repeat('x', 1000) FROM users, generate_series(1, 10000) AS n WHERE id < 7"));
    let blocked = "SELECT 1 FROM pg_stat_activity WHERE datname LIKE 'app%' AND wait_event = 'ClientWrite'";
    wait_until("the servers wait for their reader", SOON, || !cluster.postgres.sql(blocked).is_empty());
    let used = memory(cluster.dog.pid(), "VmRSS:").saturating_sub(before);
    assert!(used < 24 << 20, "{used} bytes are kept of an answer of 60 MB");
    client.set_deadline(SOON * 4);
    let messages = client.read_until_ready();
    assert_eq!(messages.iter().filter(|message| message.tag == b'D').count(), 60_000, "{:?}", messages.last());
}

fn one_snapshot_is_one_shard(version: Version) {
    let (_cluster, mut client, ids) = cluster(version);
    for (begin, more) in [
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", ""),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", ""),
        ("BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        ("BEGIN", "SET LOCAL transaction_isolation = 'serializable'"),
    ] {
        client.rows(begin);
        client.query(more);
        assert_eq!(client.rows(&format!("SELECT 1 FROM users WHERE id = {}", ids[0])).len(), 1);
        assert_eq!(refused(&client.query(&format!("SELECT 1 FROM users WHERE id = {}", ids[1]))).0, "0A000", "{begin} {more}");
        client.rows("ROLLBACK");
    }
    client.rows("SET default_transaction_isolation = 'repeatable read'");
    client.rows("BEGIN");
    client.rows(&format!("SELECT 1 FROM users WHERE id = {}", ids[0]));
    assert_eq!(refused(&client.query("SELECT * FROM users")).0, "0A000");
    client.rows("ROLLBACK");
    // By itself such a request holds the snapshot of each shard, as READ COMMITTED does.
    assert_eq!(client.rows("SELECT * FROM users").len(), 30);
}

fn what_cannot_be_one_transaction_is_refused(version: Version) {
    let (cluster, mut client, ids) = cluster(version);
    let both = |client: &mut Raw| {
        client.rows("BEGIN");
        client.rows(&format!("UPDATE users SET name = 'half' WHERE id = {}", ids[0]));
        client.rows(&format!("UPDATE users SET name = 'half' WHERE id = {}", ids[1]));
    };
    let other = format!("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM users WHERE id = {}", ids[0]);
    for text in [
        "PREPARE TRANSACTION 'mine'",
        "COMMIT AND CHAIN",
        "SELECT 1; COMMIT",
        "LISTEN a",
        "SET a.b = 1; SELECT 1",
        "DISCARD ALL",
        "SET LOCAL pgdog.shard = 1",
        "SELECT set_config('pgdog.shard', '1', true)",
        &other,
        "SELECT pg_advisory_lock(1)",
    ] {
        // Locks are shard 0's; the first shard of this transaction is another.
        client.rows("BEGIN");
        client.rows(&format!("UPDATE users SET name = 'half' WHERE id = {}", ids[2]));
        client.rows(&format!("UPDATE users SET name = 'half' WHERE id = {}", ids[1]));
        assert_eq!(refused(&client.query(text)).0, "0A000", "{text}");
        assert_eq!(refused(&client.query("SELECT 1")).0, "25P02", "{text}");
        client.rows("ROLLBACK");
    }
    // A function that sets the route would be read by nobody.
    assert_eq!(refused(&client.query("SELECT set_config('pgdog.shard', '1', false)")).0, "0A000");
    both(&mut client);
    client.rows("SELECT pg_notify('a', 'b')");
    assert_eq!(client.query("COMMIT")[0].text(), "COMMIT", "who has said NOTIFY decides");
    assert_eq!(names(&cluster, "half"), 2);
    assert!(cluster.postgres.sql("SELECT gid FROM pg_prepared_xacts").is_empty());
}

fn sessions_of_others_are_not_met(version: Version) {
    let (cluster, mut client, ids) = cluster(version);
    let mut other = cluster.client();
    for round in 0..5 {
        client.rows("BEGIN");
        client.rows(&format!("SET LOCAL a.b = 'round {round}'"));
        for id in ids {
            client.rows(&format!("UPDATE users SET name = current_setting('a.b') WHERE id = {id}"));
        }
        client.rows("SET c.d = 'kept'");
        client.rows(if round % 2 == 0 { "COMMIT" } else { "ROLLBACK" });
        let seen = "SELECT coalesce(current_setting('a.b', true), ''), coalesce(current_setting('c.d', true), '') FROM users WHERE id < 9";
        for row in other.rows(seen) {
            assert_eq!(row, ["", ""]);
        }
        for row in client.rows(seen) {
            assert_eq!(row, ["", "kept"]);
        }
    }
}
