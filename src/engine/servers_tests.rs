//! What servers say, and what becomes of their clients.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::wire::server;

#[test]
fn a_transaction_left_open_in_statement_mode_ends_its_client_and_is_rolled_back() {
    let mut house = House::new(PoolerMode::Statement, 1);
    let (mine, other) = (house.login(), house.login());
    assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
    // Refused by its text; the server never sees it.
    let (tags, texts) = house.ask(mine, "BEGIN");
    assert!(tags == "EZ" && texts[0].contains("SERROR\0") && texts[0].contains("C58000\0"), "{tags} {texts:?}");
    assert!(house.servers[0].texts.iter().all(|text| text != "BEGIN"), "{:?}", house.servers[0].texts);
    // Not to be seen in its text.
    let (tags, texts) = house.ask(mine, "SELECT txid_current()");
    assert_eq!(tags, "CE");
    assert!(texts[1].contains("SFATAL\0") && texts[1].contains("C58000\0"), "{texts:?}");
    assert!(house.is_closed(mine) && !house.is_closed(other));
    assert_eq!(house.ask(other, "SELECT 2").0, "CZ");
    assert_eq!(house.servers[0].texts[2..], ["SELECT txid_current()", "ROLLBACK", "SELECT 2"]);
    assert_eq!((house.permits(), house.panics()), ((1, 1), 0));
    // In transaction mode it is nobody's fault.
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = house.login();
    assert_eq!(house.ask(mine, "SELECT txid_current()").0, "CZ");
    assert_eq!(house.ask(mine, "COMMIT").0, "CZ");
}

fn parameter(name: &str, value: &str) -> Vec<u8> {
    let mut words = Vec::new();
    server::parameter_status(&mut words, name.as_bytes(), value.as_bytes()).unwrap();
    words
}

/// A notice, a notification, and a parameter that nobody carries along.
fn noise() -> Vec<u8> {
    let mut words = Vec::new();
    server::notice(&mut words, &server::ErrorFields { severity: "NOTICE", code: "00000", message: "noise", detail: None, hint: None });
    words.extend_from_slice(b"A\0\0\0\x0c\0\0\0\x01a\0b\0");
    words.extend(parameter("noise", "on"));
    words
}

#[test]
fn what_an_idle_server_says_is_for_nobody() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let (mine, other) = (house.login(), house.login());
    assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
    let server = house.servers[0].peer;
    let said = [noise(), parameter("server_version", "15.2"), noise(), parameter("TimeZone", "Mars")].concat();
    // In pieces, too.
    for piece in [&said[..7], &said[7..40], &said[40..]] {
        house.world.peer_write(server, piece);
        house.settle();
    }
    assert_eq!((house.read(mine).0.as_str(), house.read(other).0.as_str()), ("", ""));
    // Who comes now is told at once, who was there before when it next has a server; once.
    let fresh = house.connect("app");
    let (tags, texts) = house.read(fresh);
    assert_eq!(tags, "RSSSKZ");
    assert_eq!(texts[1..4], ["server_version\u{0}15.2\u{0}", "noise\u{0}on\u{0}", "TimeZone\u{0}Mars\u{0}"]);
    assert_eq!(house.ask(fresh, "SELECT 1").0, "CZ");
    let (tags, texts) = house.ask(mine, "SELECT 1");
    assert_eq!((tags.as_str(), texts[..3].concat()), ("SSSCZ", [&*texts[0], "noise\u{0}on\u{0}", "TimeZone\u{0}Mars\u{0}"].concat()));
    assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
    // Nothing has to be undone for that.
    assert_eq!(house.servers[0].texts, ["SELECT 1"; 4]);
    assert_eq!(house.permits(), (1, 1));
    // Somebody who asked for another value when it came goes on with it.
    house.world.peer_write(server, &parameter("TimeZone", "Venus"));
    house.settle();
    let earthling = house.connect_with(&[("user", "app"), ("database", "app"), ("TimeZone", "Earth")]);
    assert!(house.read(earthling).1.contains(&"TimeZone\u{0}Earth\u{0}".to_string()));
    house.world.peer_write(server, &parameter("TimeZone", "Pluto"));
    house.settle();
    assert_eq!(house.ask(earthling, "SELECT 1").0, "CZ");
    let (tags, texts) = house.ask(other, "SELECT 1");
    assert!(tags == "SSSCZ" && texts.contains(&"TimeZone\u{0}Pluto\u{0}".to_string()), "{tags} {texts:?}");
}

#[test]
fn noise_between_any_two_messages_puts_nothing_out_of_step() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    house.noise = noise();
    let mut clients: Vec<_> =
        (0..3).map(|i| house.connect_with(&[("user", "app"), ("database", "app"), ("application_name", &format!("c{i}"))])).collect();
    for &client in &clients {
        assert_eq!(house.read(client).0, "RSSKZ");
    }
    for round in 0..5 {
        for &client in &clients {
            // It comes with the reply; what the server says while it is made to fit another client is not this one's.
            assert_eq!(house.ask(client, "SELECT 1").0.replace(['N', 'A', 'S'], ""), "CZ", "round {round}");
            house.ask(client, "BEGIN;SELECT 1");
            let (tags, _) = house.ask(client, "COMMIT");
            assert_eq!(tags, "NASCNASZ", "what is said behind the last reply is nobody's");
        }
        // One goes in the middle of a transaction.
        let gone = clients.remove(0);
        house.ask(gone, "BEGIN;SELECT 1");
        house.world.peer_close(gone);
        house.settle();
        let next = house.connect_with(&[("user", "app"), ("database", "app"), ("application_name", "next")]);
        assert_eq!(house.read(next).0, "RSSKZ");
        clients.push(next);
        assert_eq!(house.permits(), (1, 1));
    }
    assert_eq!(house.servers.len(), 1, "the server was never given up");
    assert_eq!(house.servers[0].texts.iter().filter(|&text| text == "ROLLBACK").count(), 5);
}
