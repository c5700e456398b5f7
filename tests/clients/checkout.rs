//! Clients that find no server: they wait, are told in time, and stay or go as configured.

use super::house::{House, error, extended, one, tags};
use super::support::{Raw, SOON, Version, raw, wait_until};
use std::time::{Duration, Instant};

/// Everything that finds no server, and what is answered.
fn requests() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (raw::query("SELECT 1"), "EZ"),
        ([extended("SELECT 1", &[]), raw::sync()].concat(), "EZ"),
        ([extended("SELECT 1", &[]), raw::flush(), extended("SELECT 2", &[]), raw::sync()].concat(), "EZ"),
        (raw::query(&format!("SELECT '{}'", "x".repeat(100_000))), "EZ"),
    ]
}

#[test]
fn a_client_that_recovers_stays() {
    let house = House::new(Version::Debian, 1, "checkout_timeout = 300\nclient_connection_recovery = \"recover\"");
    house.warm_up();
    let (mut holder, mut late) = (house.client(), house.client());
    holder.rows("BEGIN; SELECT 1");
    for (request, answer) in requests() {
        let started = Instant::now();
        late.send(&request);
        let end = late.read_until_ready();
        let waited = started.elapsed();
        let fields = error(&end);
        assert_eq!((tags(&end).as_str(), fields[&'S'].as_str(), fields[&'C'].as_str(), late.status), (answer, "ERROR", "53300", b'I'));
        assert!((Duration::from_millis(290)..Duration::from_secs(5)).contains(&waited), "it waited {waited:?}");
    }
    // Two requests in one write: each gets its own answer.
    late.send(&[raw::query("SELECT 1"), raw::query("SELECT 2")].concat());
    assert_eq!((tags(&late.read_until_ready()).as_str(), tags(&late.read_until_ready()).as_str()), ("EZ", "EZ"));
    holder.rows("COMMIT");
    for i in 0..10 {
        assert_eq!(one(&mut late, &format!("SELECT {i}")), i.to_string());
    }
    house.watch().wait_until_settled();
}

#[test]
fn a_client_is_dropped_otherwise() {
    let house = House::new(Version::Newest, 1, "checkout_timeout = 300");
    house.warm_up();
    let mut holder = house.client();
    holder.rows("BEGIN; SELECT 1");
    for (request, _) in requests() {
        let mut late = house.client();
        late.send(&request);
        let end = late.read_until_closed();
        let fields = error(&end);
        assert_eq!((tags(&end).as_str(), fields[&'S'].as_str(), fields[&'C'].as_str()), ("E", "FATAL", "53300"));
    }
    assert_eq!(one(&mut holder, "SELECT 'mine'"), "mine");
    holder.rows("COMMIT");
    assert_eq!(one(&mut house.client(), "SELECT 'next'"), "next");
    house.watch().wait_until_settled();
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    let house = House::new(Version::Debian, 1, "checkout_timeout = 30000");
    let mut watch = house.watch();
    watch.direct.rows("CREATE SEQUENCE turn; GRANT ALL ON turn TO app");
    let (mut holder, mut waiters) = (house.client(), (0..8).map(|_| house.client()).collect::<Vec<Raw>>());
    holder.rows("BEGIN; SELECT 1");
    for (i, waiter) in waiters.iter_mut().enumerate() {
        waiter.send(&raw::query("SELECT nextval('turn')"));
        wait_until("it waits", SOON, || watch.pools("cl_waiting") == i as u64 + 1);
        // Over two cores the order is exact only between clients that come a few milliseconds apart.
        watch.direct.rows("SELECT pg_sleep(0.02)");
    }
    holder.rows("COMMIT");
    let turns: Vec<i64> = waiters.iter_mut().map(|waiter| waiter.read_until_ready()[1].text().parse().expect("a number")).collect();
    assert_eq!(turns, (1..=8).collect::<Vec<i64>>());
    watch.wait_until_settled();
}

#[test]
fn clients_far_beyond_the_pool_are_all_served() {
    let house = House::new(Version::Newest, 3, "checkout_timeout = 30000");
    let (login, mut watch) = (house.login("app"), house.watch());
    std::thread::scope(|scope| {
        for number in 0..60 {
            let login = &login;
            scope.spawn(move || {
                let mut client = Raw::login(login);
                for i in 0..15 {
                    let tag = format!("{number}-{i}");
                    assert_eq!(client.rows(&format!("BEGIN; SELECT '{tag}'; COMMIT")), [[tag.as_str()]]);
                    client.send(&[extended("SELECT $1", &[Some(&tag)]), raw::sync()].concat());
                    let answer = client.read_until_ready();
                    assert_eq!((tags(&answer).as_str(), answer[3].text().as_str()), ("12TDCZ", tag.as_str()));
                }
            });
        }
        for _ in 0..20 {
            assert!(watch.sessions("true") <= 3, "pg_dog has more servers than its pool allows");
        }
    });
    watch.wait_until_settled();
}

/// A transaction takes a server with its first statement, by whichever protocol it begins.
#[test]
fn a_transaction_without_a_statement_takes_no_server() {
    let house = House::new(Version::Newest, 1, "checkout_timeout = 300");
    let (mut first, mut second) = (house.client(), house.client());
    let run = |client: &mut Raw, sql: &str| {
        client.send(&[extended(sql, &[]), raw::sync()].concat());
        (tags(&client.read_until_ready()), client.status)
    };
    let prepared = |client: &mut Raw, name: &str, sql: &str| {
        client.send(&[raw::parse(name, sql, &[]), raw::describe(b'S', name), raw::sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "1tnZ");
    };
    let by_name = |client: &mut Raw, name: &str| {
        client.send(&[raw::bind("", name, &[]), raw::execute("", 0), raw::sync()].concat());
        (tags(&client.read_until_ready()), client.status)
    };
    // All of these happen on the only server, with a transaction of the other one's open.
    assert_eq!(run(&mut first, "BEGIN"), ("12nCZ".into(), b'T'));
    prepared(&mut second, "b", "START TRANSACTION READ ONLY");
    prepared(&mut second, "c", "COMMIT");
    assert_eq!(by_name(&mut second, "b"), ("2CZ".into(), b'T'));
    assert_eq!(one(&mut second, "SHOW transaction_read_only"), "on");
    assert_eq!(by_name(&mut second, "c"), ("2CZ".into(), b'I'));
    assert_eq!(one(&mut first, "SHOW transaction_read_only"), "off");
    assert_eq!(first.status, b'T');
    assert_eq!(by_name(&mut second, "b"), ("2CZ".into(), b'T'));
    assert_eq!(by_name(&mut second, "c"), ("2CZ".into(), b'I'));
    assert_eq!(run(&mut first, "ROLLBACK"), ("12nCZ".into(), b'I'));
    house.watch().wait_until_settled();
}
