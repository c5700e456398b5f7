//! Clients and servers that meet a fault in a session, and others that go on.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::io::sim::PeerRead;
use crate::session::FATAL_WORDS;
use crate::wire::{client, server};

use super::{Panicked, guard};

fn fatal_words() -> &'static str {
    std::str::from_utf8(FATAL_WORDS).unwrap()
}

#[test]
fn a_guard_returns_what_was_said() {
    assert_eq!(guard(|| 5), Ok(5));
    assert_eq!(guard(|| -> u8 { panic!("said {}", 1) }), Err(Panicked("said 1".into())));
    assert_eq!(guard(|| -> u8 { panic!("fixed") }), Err(Panicked("fixed".into())));
    assert_eq!(guard(|| -> u8 { std::panic::panic_any(5) }), Err(Panicked("no message".into())));
}

/// The profiles must unwind, or a guard guards nothing.
#[test]
fn nothing_is_built_to_abort() {
    let manifest = include_str!("../../Cargo.toml");
    assert!(!manifest.contains("panic"), "a profile sets panic = ...");
    const { assert!(cfg!(panic = "unwind")) };
}

#[test]
fn a_panic_in_a_clients_session_ends_that_client_alone() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (other, mine) = (house.login(), house.login());
    // One on a server of its own, in a transaction; one with a transaction of its own on the other server, so that both are busy.
    assert_eq!(house.ask(other, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.ask(mine, "BEGIN;SELECT 1").0, "CZ");
    let (tags, texts) = house.ask(mine, fatal_words());
    assert_eq!(tags, "E");
    assert!(texts[0].contains("SFATAL\0") && texts[0].contains("CXX000\0Minternal error\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    assert_eq!(house.permits(), (1, 1), "the server of the client that ended is given up, the other one rests");
    // As many as before find room, and again.
    for round in 2..5 {
        let mine = house.login();
        assert_eq!(house.ask(mine, "BEGIN;SELECT 1").0, "CZ");
        assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
        house.ask(mine, fatal_words());
        assert_eq!((house.panics(), house.clients()), (round, 1));
        assert_eq!(house.permits().1, house.permits().0);
    }
}

#[test]
fn a_panic_in_a_servers_session_ends_its_client_alone() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (other, mine) = (house.login(), house.login());
    assert_eq!(house.ask(other, "BEGIN;SELECT 1").0, "CZ");
    let (tags, texts) = house.ask(mine, &format!("SAY {}", fatal_words()));
    assert_eq!(tags, "E");
    assert!(texts[0].contains("CXX000\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_login_that_panics_ends_alone() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let other = house.login();
    let mine = house.connect(fatal_words());
    let (tags, texts) = house.read(mine);
    assert!(tags == "E" && texts[0].contains("CXX000\0"), "{texts:?}");
    assert!(house.is_closed(mine));
    assert_eq!((house.panics(), house.clients()), (1, 1));
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
}

#[test]
fn a_login_at_a_server_that_panics_is_one_that_failed() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mut words = Vec::new();
    server::notice(&mut words, &server::ErrorFields { severity: "NOTICE", code: "00000", message: fatal_words(), detail: None, hint: None });
    house.greeting = words;
    let mine = house.connect("app");
    let (tags, texts) = house.read(mine);
    assert!(tags == "RE" && texts[1].contains("CXX000\0"), "{tags} {texts:?}");
    assert_eq!((house.panics(), house.clients()), (1, 0));
    assert_eq!(house.permits(), (0, 0));
    // It is tried again for the next one.
    house.greeting.clear();
    house.world.advance_to(house.world.now() + 1_000_000_000);
    let next = house.login();
    assert_eq!(house.ask(next, "SELECT 1").0, "CZ");
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_client_that_has_half_a_message_gets_no_words() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = house.login();
    let server = house.servers[0].peer;
    house.write(mine, b"H\0\0\0\x04");
    // A query whose answer is a row in two pieces; between them the client says the fatal words.
    let mut words = Vec::new();
    client::query(&mut words, b"BEGIN;SELECT 1").unwrap();
    house.write(mine, &words);
    house.read(mine);
    let mut parse = Vec::new();
    client::parse(&mut parse, b"", b"SELECT 1", &[]).unwrap();
    client::describe_statement(&mut parse, b"").unwrap();
    house.write(mine, &parse);
    house.world.peer_write(server, b"1\0\0\0\x04T\0\0\x40\0half");
    house.settle();
    let mut words = Vec::new();
    client::query(&mut words, FATAL_WORDS).unwrap();
    house.write(mine, &words);
    let mut bytes = Vec::new();
    while let PeerRead::Bytes(more) = house.world.peer_read(mine, 4096) {
        bytes.extend(more);
    }
    assert_eq!(bytes, b"1\0\0\0\x04T\0\0\x40\0half");
    assert!(house.is_closed(mine));
    assert_eq!((house.panics(), house.permits()), (1, (0, 0)));
}
