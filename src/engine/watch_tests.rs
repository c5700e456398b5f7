//! Tests of the time limits, in simulated time: what is too long ends, and what only looks like it goes on.

use std::time::Duration;

use crate::config::limits::Limits;
use crate::config::snapshot::PoolerMode::{Session, Transaction};
use crate::engine::house::House;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn limited(mode: crate::config::snapshot::PoolerMode, limits: Limits) -> House {
    House::with(mode, 1, |spec, _| spec.limits = limits)
}

#[test]
fn an_idle_client_goes_and_one_that_asks_in_time_stays() {
    for mode in [Transaction, Session] {
        let mut house = limited(mode, Limits { client_idle_timeout: MS(1_000), ..Limits::default() });
        let (idle, busy) = (house.login(), house.login());
        for _ in 0..4 {
            house.wait(600);
            if mode == Transaction {
                assert_eq!(house.ask(busy, "SELECT 1").0, "CZ");
            } else {
                // It keeps the one server, and is idle with it from time to time.
                house.ask(busy, "SELECT 1");
            }
        }
        let (tags, texts) = house.read(idle);
        assert!(tags.ends_with('E') && texts.last().unwrap().contains("C57P05"), "{mode:?}: {tags} {texts:?}");
        assert!(house.is_closed(idle), "{mode:?}");
        assert!(!house.is_closed(busy), "{mode:?}");
        house.wait(1_100);
        assert!(house.read(busy).1.iter().any(|text| text.contains("C57P05")), "{mode:?}");
    }
}

#[test]
fn nobody_is_idle_in_a_transaction() {
    let mut house = limited(Transaction, Limits { client_idle_timeout: MS(500), ..Limits::default() });
    let client = house.login();
    assert_eq!(house.ask(client, "BEGIN;SELECT 1").0, "CZ");
    house.wait(5_000);
    assert_eq!(house.ask(client, "COMMIT").0, "CZ");
}

#[test]
fn a_transaction_that_is_left_alone_is_rolled_back_and_its_server_kept() {
    let mut house = limited(Transaction, Limits { client_idle_in_transaction_timeout: MS(300), ..Limits::default() });
    let client = house.login();
    house.ask(client, "BEGIN;SELECT 1");
    for _ in 0..5 {
        house.wait(200);
        assert_eq!(house.ask(client, "SELECT 1").0, "CZ", "it says something in time");
    }
    house.wait(400);
    let (_, texts) = house.read(client);
    assert!(texts[0].contains("C25P03") && texts[0].contains("idle in transaction"), "{texts:?}");
    assert!(house.is_closed(client));
    assert_eq!(house.servers.len(), 1);
    assert_eq!(house.servers[0].texts.last().map(String::as_str), Some("ROLLBACK"));
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_silent_server_is_cancelled_and_given_up() {
    let mut house = limited(Transaction, Limits { query_timeout: MS(300), ..Limits::default() });
    let client = house.login();
    assert_eq!(house.ask(client, "SELECT 1").0, "CZ");
    house.wait(10_000);
    assert_eq!(house.ask(client, "SILENCE").0, "", "to be idle is no query");
    house.wait(250);
    assert_eq!(house.read(client).0, "");
    house.wait(100);
    let (_, texts) = house.read(client);
    assert!(texts[0].contains("C57014") && texts[0].contains("query_timeout"), "{texts:?}");
    assert!(house.is_closed(client));
    assert_eq!(house.cancels.len(), 1);
    house.wait(6_000);
    assert_eq!(house.permits().0, 0, "its connection is closed");
    let other = house.login();
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
}

#[test]
fn a_transaction_may_not_take_longer_however_busy_it_is() {
    for mode in [Transaction, Session] {
        let mut house = limited(mode, Limits { transaction_timeout: MS(1_000), ..Limits::default() });
        let client = house.login();
        for _ in 0..3 {
            // Many short ones are none that is long.
            house.wait(800);
            assert_eq!(house.ask(client, "SELECT 1").0, "CZ");
        }
        house.ask(client, "BEGIN;SELECT 1");
        for _ in 0..4 {
            house.wait(200);
            assert_eq!(house.ask(client, "SELECT 1").0, "CZ", "{mode:?}");
        }
        house.wait(250);
        let (_, texts) = house.read(client);
        assert!(texts[0].contains("C25P04"), "{mode:?}: {texts:?}");
        assert!(house.is_closed(client));
        let client = house.login();
        house.ask(client, "SILENCE in a transaction of its own");
        house.wait(1_050);
        assert!(house.read(client).1[0].contains("C25P04"), "{mode:?}");
    }
}

#[test]
fn who_waits_for_long_is_told_once() {
    let mut house = House::with(Transaction, 1, |_, general| general.query_wait_notify = MS(200));
    let (holder, waiter) = (house.login(), house.login());
    house.ask(holder, "BEGIN;SELECT 1");
    assert_eq!(house.ask(waiter, "SELECT 1").0, "");
    house.wait(100);
    assert_eq!(house.read(waiter).0, "");
    house.wait(1_000);
    assert_eq!(house.read(waiter).0, "N");
    house.ask(holder, "COMMIT");
    assert_eq!(house.read(waiter).0, "CZ");
    house.wait(1_000);
    assert_eq!(house.read(waiter).0, "");
}

#[test]
fn the_reserve_is_for_those_who_have_waited_for_long_and_goes_again() {
    let mut house = House::with(Transaction, 1, |spec, general| {
        spec.limits.reserve = 1;
        general.reserve_pool_timeout = MS(500);
    });
    let (holder, waiter) = (house.login(), house.login());
    house.ask(holder, "BEGIN;SELECT 1");
    assert_eq!(house.ask(waiter, "BEGIN;SELECT 1").0, "");
    house.wait(400);
    assert_eq!(house.servers.len(), 1);
    house.wait(200);
    assert_eq!((house.read(waiter).0.as_str(), house.servers.len()), ("CZ", 2));
    house.ask(holder, "COMMIT");
    house.ask(waiter, "COMMIT");
    house.wait(100);
    assert_eq!(house.permits(), (1, 1), "nobody waits, so the pool has its size again");
}

#[test]
fn a_large_query_is_refused_before_it_is_there_or_said_and_let_through() {
    for block in [true, false] {
        let mut house = House::with(Transaction, 1, |_, general| (general.query_size_limit, general.query_size_block) = (100, block));
        let client = house.login();
        assert_eq!(house.ask(client, &"x".repeat(94)).0, "CZ", "100 bytes with its header and its end");
        let mut words = Vec::new();
        crate::wire::client::query(&mut words, "x".repeat(95).as_bytes()).unwrap();
        if block {
            house.write(client, &words[..20]);
            let (_, texts) = house.read(client);
            assert!(texts[0].contains("C54000") && texts[0].contains("101") && texts[0].contains("100"), "{texts:?}");
            assert!(house.is_closed(client));
        } else {
            house.write(client, &words);
            assert_eq!(house.read(client).0, "CZ");
        }
    }
}
