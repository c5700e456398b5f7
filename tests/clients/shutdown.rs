//! The end of pg_dog: on SIGTERM and on SHUTDOWN idle clients go at once, work is finished, and nobody waits longer than configured.

use super::house::{House, error, one, tags};
use super::support::{Raw, SOON, Version, admin, poll, raw};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// An idle client hears this when pg_dog ends.
fn hears_of_the_end(mut client: Raw) {
    let end = client.read_until_closed();
    assert_eq!((tags(&end).as_str(), error(&end)[&'S'].as_str(), error(&end)[&'C'].as_str()), ("E", "FATAL", "57P01"));
}

fn nobody_listens(port: u16) -> bool {
    poll(SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err())
}

#[test]
fn work_is_finished_first() {
    let mut house = House::new(Version::Debian, 4, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let mut watch = house.watch();
    let (idle, mut fresh, mut open, mut busy, mut batch) = (house.client(), house.client(), house.client(), house.client(), house.client());
    watch.direct.rows("SELECT pg_advisory_lock(7)");
    assert_eq!(one(&mut fresh, "SELECT 1"), "1");
    open.rows("BEGIN; INSERT INTO kept VALUES (0)");
    busy.send(&raw::query("SELECT 'whole' FROM pg_advisory_xact_lock(7)"));
    batch.send(&[super::house::extended("INSERT INTO kept VALUES (100)", &[]), raw::flush()].concat());
    batch.read_until(b'C');
    watch.wait_for_sessions(1, "wait_event_type = 'Lock'");
    house.dog.signal("TERM");
    hears_of_the_end(idle);
    hears_of_the_end(fresh);
    for i in 1..25 {
        assert_eq!(tags(&open.query(&format!("INSERT INTO kept VALUES ({i})"))), "CZ");
    }
    assert_eq!(tags(&open.query("COMMIT")), "CZ");
    hears_of_the_end(open);
    batch.send(&raw::sync());
    assert_eq!(tags(&batch.read_until_ready()), "Z");
    hears_of_the_end(batch);
    assert!(house.dog.is_running(), "somebody is still at work");
    watch.direct.rows("SELECT pg_advisory_unlock(7)");
    let answer = busy.read_until_ready();
    assert_eq!((tags(&answer).as_str(), answer[1].text().as_str()), ("TDCZ", "whole"));
    hears_of_the_end(busy);
    let (port, mut direct) = (house.dog.port, watch.direct);
    drop(watch.admin);
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
    assert!(nobody_listens(port));
    assert_eq!(one(&mut direct, "SELECT count(*) || ' ' || sum(a) FROM kept"), "26 400");
}

#[test]
fn new_clients_are_turned_away_and_waiting_ones_served_or_told() {
    let mut house = House::new(Version::Newest, 1, "checkout_timeout = 20000\nshutdown_timeout = 20000");
    let mut watch = house.watch();
    let (mut open, mut waiter) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    waiter.send(&raw::query("SELECT 'served'"));
    assert!(poll(SOON, || watch.pools("cl_waiting") == 1));
    let port = house.dog.port;
    house.dog.signal("TERM");
    assert!(nobody_listens(port), "it still takes new connections");
    open.rows("COMMIT");
    hears_of_the_end(open);
    let end = waiter.read_until_closed();
    assert!(tags(&end) == "TDCZE" || tags(&end) == "E", "{end:?}");
    assert_eq!(end.last().expect("an error").sqlstate(), "57P01");
    drop(watch);
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
}

/// The process stays until the last row is out, not only until the last server is free.
#[test]
fn a_result_that_is_read_slowly_arrives_whole() {
    let mut house = House::new(Version::Debian, 4, "");
    let mut watch = house.watch();
    let mut clients: Vec<Raw> = (0..4).map(|_| house.client()).collect();
    for client in &mut clients {
        client.send(&raw::query("SELECT repeat('z', 1000), i FROM generate_series(1, 20000) i"));
        client.read_until(b'T');
    }
    watch.wait_for_sessions(4, "wait_event = 'ClientWrite'");
    house.dog.signal("TERM");
    assert!(nobody_listens(house.dog.port));
    for client in &mut clients {
        let messages = client.read_until_closed();
        let rows = messages.iter().filter(|message| message.tag == b'D');
        let right = rows.enumerate().filter(|(i, row)| row.columns()[1] == Some((i + 1).to_string().into_bytes())).count();
        assert_eq!((right, tags(&messages[right..]).as_str()), (20_000, "CZE"));
        assert_eq!(messages.last().expect("an error").sqlstate(), "57P01");
    }
    drop(watch);
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut house = House::new(Version::Debian, 2, "");
    let mut open = house.client();
    open.rows("BEGIN; SELECT 1");
    let idle = house.client();
    house.dog.signal("TERM");
    hears_of_the_end(idle);
    assert!(house.dog.is_running());
    house.dog.signal("TERM");
    let status = house.dog.end(Duration::from_secs(3)).expect("it ends at once");
    assert!(!status.success(), "{status:?}");
    assert_eq!(open.read_until_closed(), []);
}

#[test]
fn the_time_to_finish_is_bounded() {
    let mut house = House::new(Version::Newest, 2, "shutdown_timeout = 500");
    let (mut open, mut busy) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    busy.send(&raw::query("SELECT pg_sleep(600)"));
    house.watch().wait_for_sessions(1, "wait_event = 'PgSleep'");
    let started = Instant::now();
    house.dog.signal("INT");
    let status = house.dog.end(Duration::from_secs(8)).expect("it ends when the time is over");
    assert!((Duration::from_millis(490)..Duration::from_secs(5)).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(status.code(), Some(0));
    open.read_until_closed();
    busy.read_until_closed();
}

#[test]
fn the_admin_shuts_down() {
    let mut house = House::new(Version::Debian, 2, "");
    let idle = house.client();
    let mut open = house.client();
    open.rows("BEGIN; SELECT 1");
    let mut console = Raw::login(&house.dog.admin_login());
    assert_eq!(tags(&console.query("SHUTDOWN")), "CZ");
    hears_of_the_end(idle);
    assert_eq!(tags(&open.query("COMMIT")), "CZ");
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
}

#[test]
fn an_idle_one_stops_in_an_orderly_way() {
    let mut house = House::new(Version::Newest, 2, "");
    assert_eq!(one(&mut house.client(), "SELECT 1"), "1");
    assert_eq!(admin(&house.dog, "SHOW VERSION").len(), 1);
    assert_eq!(house.dog.stop().and_then(|status| status.code()), Some(0));
    assert!(poll(SOON, || house.postgres.sql("SELECT FROM pg_stat_activity WHERE usename = 'app'").is_empty()));
}
