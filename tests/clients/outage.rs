//! PostgreSQL that is down, comes up, loses connections, or dies: who hears of it, with which code, and that the rest goes on.

use super::house::{House, error, extended, general_of, one, tags};
use super::support::{Dog, Postgres, Raw, SOON, Version, config, poll, query, raw, users, wait_until};
use std::time::{Duration, Instant};

crate::on_both!(
    down_at_start_and_then_up,
    the_minimum_is_restored,
    idle_servers_that_end_are_replaced,
    a_busy_server_that_ends,
    a_crash_in_mid_query
);

fn down_at_start_and_then_up(version: Version) {
    let mut postgres = Postgres::start(version);
    postgres.stop();
    let settings = general_of(3, "").replace("min_pool_size = 0", "min_pool_size = 1");
    let dog = Dog::start(&config(&postgres, &settings, ""), &users(&postgres, &[("app", "")]));
    let login = dog.instead_of(&postgres.login("app"));
    for _ in 0..3 {
        let started = Instant::now();
        let fields = Raw::try_login(&login, &[]).err().expect("nobody is there").fields();
        assert_eq!((fields[&'S'].as_str(), fields[&'C'].as_str()), ("FATAL", "08001"));
        assert!(fields[&'M'].contains("could not connect to the server"), "{fields:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "the error came after {:?}", started.elapsed());
    }
    postgres.crash_and_restart();
    wait_until("clients are served again", SOON, || Raw::try_login(&login, &[]).is_ok());
    let mut client = Raw::login(&login);
    assert_eq!(one(&mut client, "SELECT 'up'"), "up");
    // Down and up again under a client that is there already.
    let mut other = Raw::login(&login);
    postgres.stop();
    let refused = Instant::now();
    client.send(&raw::query("SELECT 1"));
    let end = client.read_until_closed();
    assert!(error(&end)[&'C'].starts_with("08"), "{end:?}");
    assert!(refused.elapsed() < Duration::from_secs(3));
    postgres.crash_and_restart();
    assert_eq!(one(&mut other, "SELECT 'again'"), "again");
    for i in 0..20 {
        assert_eq!(one(&mut other, &format!("SELECT {i}")), i.to_string());
    }
}

/// `min_pool_size` holds without a client: after servers have ended, and after the whole server was down.
fn the_minimum_is_restored(version: Version) {
    let mut postgres = Postgres::start(version);
    let settings = general_of(4, "").replace("min_pool_size = 0", "min_pool_size = 3");
    let _dog = Dog::start(&config(&postgres, &settings, ""), &users(&postgres, &[("app", "")]));
    let pids = |postgres: &Postgres| -> Vec<String> {
        let rows = postgres.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'app' ORDER BY pid");
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    };
    wait_until("three are open", SOON, || pids(&postgres).len() == 3);
    let first = pids(&postgres);
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    wait_until("three others are open", SOON, || {
        let now = pids(&postgres);
        now.len() == 3 && now.iter().all(|pid| !first.contains(pid))
    });
    postgres.crash_and_restart();
    wait_until("three are open again", SOON, || pids(&postgres).len() == 3);
}

fn idle_servers_that_end_are_replaced(version: Version) {
    let house = House::new(version, 3, "");
    let mut watch = house.watch();
    let mut clients: Vec<Raw> = (0..3).map(|_| house.client()).collect();
    for round in 0..3 {
        clients.iter_mut().for_each(|client| drop(client.rows("BEGIN; SELECT 1")));
        clients.iter_mut().for_each(|client| drop(client.rows("COMMIT")));
        assert_eq!(watch.sessions("true"), 3);
        watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
        watch.wait_for_sessions(0, "true");
        for i in 0..200 {
            let client = &mut clients[i % 3];
            match i % 2 {
                0 => assert_eq!(one(client, &format!("SELECT 'round {round}, {i}'")), format!("round {round}, {i}")),
                _ => {
                    client.send(&[extended("SELECT $1", &[Some(&i.to_string())]), raw::sync()].concat());
                    assert_eq!(client.read_until_ready()[3].text(), i.to_string());
                }
            }
        }
        watch.wait_until_settled();
    }
}

fn a_busy_server_that_ends(version: Version) {
    let house = House::new(version, 3, "");
    let mut watch = house.watch();
    let (mut busy, mut open, mut calm) = (house.client(), house.client(), house.client());
    busy.send(&raw::query("SELECT pg_sleep(600)"));
    open.rows("BEGIN; SELECT 1");
    assert_eq!(one(&mut calm, "SELECT 1"), "1");
    watch.wait_for_sessions(1, "wait_event = 'PgSleep'");
    watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' OR state = 'idle in transaction'");
    for client in [&mut busy, &mut open] {
        // PostgreSQL's own words, and then the end, as without pg_dog.
        let fields = error(&client.read_until_closed());
        assert_eq!((fields[&'S'].as_str(), fields[&'C'].as_str()), ("FATAL", "57P01"));
        assert!(fields[&'M'].contains("terminating connection due to administrator command"), "{fields:?}");
    }
    for i in 0..50 {
        assert_eq!(one(&mut calm, &format!("SELECT {i}")), i.to_string());
    }
    watch.wait_until_settled();
}

/// One of PostgreSQL's processes dies: PostgreSQL throws everybody out and recovers.
fn a_crash_in_mid_query(version: Version) {
    let house = House::new(version, 3, "");
    let mut watch = house.watch();
    let (mut busy, mut idle) = (house.client(), house.client());
    idle.rows("SELECT 1");
    busy.send(&raw::query("SELECT pg_sleep(600)"));
    watch.wait_for_sessions(1, "wait_event = 'PgSleep'");
    let pid = one(&mut watch.direct, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    let killed = std::process::Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    let end = busy.read_until_closed();
    let fields = error(&end);
    assert_eq!((tags(&end).as_str(), fields[&'S'].as_str(), fields[&'C'].as_str()), ("E", "FATAL", "08006"));
    // It throws everybody out and refuses us while it recovers; then all is as before, for the client that was idle too.
    watch.direct.read_until_closed();
    wait_until("PostgreSQL is back", SOON, || query(&house.postgres.login("postgres"), "SELECT 1").is_ok());
    assert_eq!(one(&mut idle, "SELECT 'back'"), "back");
    house.watch().wait_until_settled();
}

#[test]
fn a_postmaster_killed_in_mid_query() {
    let mut house = House::new(Version::Debian, 3, "");
    let mut watch = house.watch();
    let (mut simple, mut batch, mut open, mut idle) = (house.client(), house.client(), house.client(), house.client());
    idle.rows("SELECT 1");
    simple.send(&raw::query("SELECT pg_sleep(600)"));
    batch.send(&[extended("SELECT pg_sleep(600)", &[]), raw::sync()].concat());
    open.rows("BEGIN; SELECT 1");
    watch.wait_for_sessions(2, "wait_event = 'PgSleep'");
    house.postgres.signal("KILL");
    for client in [&mut simple, &mut batch] {
        let end = client.read_until_closed();
        assert_eq!(error(&end)[&'C'], "08006", "{end:?}");
    }
    // A session that waits for its client notices, and newer versions find the time to say so.
    let end = open.read_until_closed();
    assert!(["08006", "57P01"].contains(&error(&end)[&'C'].as_str()), "{end:?}");
    idle.send(&raw::query("SELECT 1"));
    assert!(error(&idle.read_until_closed())[&'C'].starts_with("08"));
}

/// Servers end again and again while clients work: nobody gets wrong rows, and only who was at work on one hears of it.
#[test]
fn terminations_under_load() {
    let house = House::new(Version::Newest, 3, "checkout_timeout = 20000");
    let login = &house.login("app");
    let mut watch = house.watch();
    house.warm_up();
    let mut losses = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..12)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut lost) = (Raw::login(login), 0);
                    for i in 0..60 {
                        let tag = format!("{number}-{i}");
                        client.send(&raw::query(&format!("SELECT '{tag}', pg_sleep(0.005)")));
                        let answer = loop {
                            match client.try_read() {
                                Ok(message) if message.tag == b'D' => assert_eq!(message.text(), tag),
                                Ok(message) if message.tag == b'Z' => break true,
                                Ok(message) if message.tag == b'E' => {
                                    let code = message.sqlstate();
                                    assert!(code == "57P01" || code == "08006", "{message:?}");
                                }
                                Ok(_) => {}
                                Err(_) => break false,
                            }
                        };
                        if !answer {
                            client = Raw::login(login);
                            lost += 1;
                        }
                    }
                    lost
                })
            })
            .collect();
        let mut ended = 0;
        let all_done = poll(SOON, || {
            let sql = "SELECT pg_terminate_backend(pid), pg_sleep(0.05) FROM pg_stat_activity WHERE usename = 'app' ORDER BY random() LIMIT 1";
            ended += watch.direct.rows(sql).len();
            workers.iter().all(|worker| worker.is_finished())
        });
        assert!(all_done, "the workers do not come to an end");
        losses = workers.into_iter().map(|worker| worker.join().expect("no wrong row")).sum();
        assert!(losses <= ended, "{losses} clients lost their connection, {ended} servers ended");
    });
    watch.wait_until_settled();
}
