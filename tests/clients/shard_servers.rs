//! Servers of shards while pg_dog runs: each new connection says which shard it leads to before anything is sent to it, so that a server which was
//! replaced by another shard's gets no statement, and is used again when it is right again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::shards::{Cluster, SHARDS, on_shard, refused, settings, shards, tags};
use super::support::{Dog, Postgres, Raw, SOON, Version, poll, users, wait_until};
use crate::on_both;

on_both!(
    a_server_replaced_by_another_shards_gets_no_statement,
    what_was_opened_before_anything_was_known_is_compared,
    unchecked_asks_nobody,
    who_replicates_has_to_name_a_server,
);

/// Databases change their names, and nobody is connected meanwhile.
fn swap(postgres: &Postgres, one: &str, other: &str) {
    for name in [one, other] {
        postgres.sql(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    }
    let others = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ('{one}', '{other}')");
    for sql in [
        others.as_str(),
        &format!("ALTER DATABASE {one} RENAME TO between"),
        &format!("ALTER DATABASE {other} RENAME TO {one}"),
        &format!("ALTER DATABASE between RENAME TO {other}"),
    ] {
        postgres.sql(sql);
    }
    for name in [one, other] {
        postgres.sql(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    }
}

/// One row of this key, by a client of its own: SQLSTATE and message of what went wrong.
fn store(cluster: &Cluster, key: u64) -> Result<(), (String, String)> {
    let mut client = Raw::try_login(&cluster.login(), &[]).map_err(|error| (error.sqlstate(), error.fields()[&'M'].clone()))?;
    client.send(&super::support::raw::query(&format!("INSERT INTO users VALUES ({key}, 'a name')")));
    loop {
        match client.try_read() {
            Ok(message) if message.tag == b'E' => return Err((message.sqlstate(), message.fields()[&'M'].clone())),
            Ok(message) if message.tag == b'Z' => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err((String::new(), error.to_string())),
        }
    }
}

fn a_server_replaced_by_another_shards_gets_no_statement(version: Version) {
    let cluster = Cluster::new(version);
    let (ends, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let errors = std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut errors = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                errors.extend(store(&cluster, next.fetch_add(1, Ordering::Relaxed)).err());
            }
            errors
        });
        wait_until("it works", SOON, || next.load(Ordering::Relaxed) > 50);
        swap(&cluster.postgres, "app_1", "app_2");
        let mut swapped = Vec::new();
        let seen = poll(SOON, || {
            swapped.extend(store(&cluster, next.fetch_add(1, Ordering::Relaxed)).err());
            cluster.dog.log().matches("says that it is shard").count() >= 2 && next.load(Ordering::Relaxed) > 300
        });
        ends.store(true, Ordering::Relaxed);
        let errors = [busy.join().expect("it did not panic"), swapped].concat();
        assert!(seen, "{errors:?}");
        errors
    });
    let wrong: Vec<_> = errors.iter().filter(|(_, message)| message.contains("says that it is shard")).collect();
    assert!(!wrong.is_empty() && wrong.iter().all(|(state, _)| state == "58000"), "{errors:?}");
    let (state, message) = wrong[0];
    assert!(message.contains("shard 1 of \"app\" (127.0.0.1:") || message.contains("shard 2 of \"app\" (127.0.0.1:"), "{state} {message}");
    // Those of the shard that stayed where it was are served.
    wait_until("shard 0 is served", SOON, || store(&cluster, next.fetch_add(1, Ordering::Relaxed)).is_ok());
    swap(&cluster.postgres, "app_1", "app_2");
    wait_until("all are served again", SOON, || (0..10).all(|_| store(&cluster, next.fetch_add(1, Ordering::Relaxed)).is_ok()));
    let (misplaced, all) = cluster.misplaced("users", "id", "by_number");
    assert_eq!(misplaced, 0, "of {all}");
    assert!(all > 60, "{all}");
}

/// Connections that were logged in while the cluster was not known have said who they are, and it counts as soon as it is.
fn what_was_opened_before_anything_was_known_is_compared(version: Version) {
    let Cluster { dog, postgres } = Cluster::new(version);
    drop(dog);
    let settings = settings(&postgres, [0, 1, 2]).replace("min_pool_size = 0", "min_pool_size = 2");
    let say = |shard: usize| {
        let mut client = on_shard(&postgres, 1);
        client.rows(&format!("UPDATE dog.identity SET shard = {shard}"));
    };
    say(7);
    let dog = Dog::start(&settings, &users(&postgres, &[("app", "")]));
    wait_until("it is seen", SOON, || dog.log().contains("the shards get no traffic"));
    // A client that is greeted makes its pools, and their connections.
    let login = dog.instead_of(&postgres.login("app"));
    let clients: Vec<Raw> = (0..4).map(|_| Raw::login(&login)).collect();
    let warm = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app_1' AND application_name <> 'pg_dog shards' AND usename = 'app'";
    wait_until("they are open", SOON, || postgres.sql(warm)[0][0].parse::<u32>().is_ok_and(|count| count >= 2));
    say(1);
    let cluster = Cluster { dog, postgres };
    wait_until("the cluster is right again", SOON, || cluster.dog.log().contains("the shards are who they should be"));
    wait_until("the others are closed", SOON, || cluster.dog.log().matches("a server connection is closed: shard 1 of \"app\"").count() >= 2);
    for key in 0..50 {
        wait_until("it is served", SOON, || store(&cluster, key).is_ok());
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 50));
    drop(clients);
}

fn unchecked_asks_nobody(version: Version) {
    let postgres = shards(version);
    let settings = settings(&postgres, [0, 1, 2]).replace("[general]\n", "[general]\nshard_identity = \"unchecked\"\n");
    let dog = Dog::start(&settings, &users(&postgres, &[("app", "")]));
    let cluster = Cluster { dog, postgres };
    wait_until("it works", SOON, || store(&cluster, 0).is_ok());
    for key in 1..30 {
        store(&cluster, key).expect("nobody is asked");
    }
    for shard in 0..SHARDS {
        assert_eq!(on_shard(&cluster.postgres, shard).rows("SELECT to_regnamespace('dog') IS NULL"), [["t"]]);
    }
    assert_eq!(cluster.misplaced("users", "id", "by_number"), (0, 30));
    // Checked from now on: connections that nobody has asked go.
    let servers = "SELECT pid FROM pg_stat_activity WHERE datname LIKE 'app\\__' AND application_name <> 'pg_dog shards' ORDER BY pid";
    let before = cluster.postgres.sql(servers);
    assert!(!before.is_empty());
    cluster.dog.write_config(&super::shards::settings(&cluster.postgres, [0, 1, 2]));
    super::support::admin(&cluster.dog, "RELOAD");
    wait_until("the cluster is asked", SOON, || cluster.postgres.sql(servers).iter().all(|pid| !before.contains(pid)));
    wait_until("it works", SOON, || store(&cluster, 100).is_ok());
}

fn who_replicates_has_to_name_a_server(version: Version) {
    let cluster = Cluster::new(version);
    for replication in ["database", "true"] {
        let error = Raw::try_login(&cluster.login(), &[("replication", replication)]).err().expect("it is refused");
        assert_eq!((error.sqlstate().as_str(), error.fields()[&'M'].contains("several shards")), ("0A000", true), "{error:?}");
    }
    assert_eq!(tags(&cluster.client().query("INSERT INTO users VALUES (1, 'one')")), "CZ");
    assert_eq!(refused(&cluster.client().query("INSERT INTO users VALUES ('x', 'one')")).0, "22P02");
}
