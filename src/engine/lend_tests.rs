//! Servers on their way between cores: what they say while nobody listens.

use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::mail::Mail;
use crate::wire::{client, server};

/// A server that ended on its way: whoever waited for it never hears of that, and nothing is sent to it.
#[test]
fn who_ended_between_two_cores_is_replaced() {
    let mut fatal = Vec::new();
    let message = "terminating connection due to administrator command";
    server::error(&mut fatal, &server::ErrorFields { severity: "FATAL", code: "57P01", message, detail: None, hint: None });
    for (said, ends) in [(fatal.clone(), true), (fatal, false), (Vec::new(), true)] {
        for waiting in [true, false] {
            let mut house = House::new(PoolerMode::Transaction, 1);
            let mine = house.login();
            assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
            let moved = house.depart();
            let mut request = Vec::new();
            client::query(&mut request, b"SELECT 2").expect("it is short");
            if waiting {
                house.write(mine, &request);
                assert_eq!(house.read(mine).0, "", "there is no server");
            }
            let old = house.servers[0].peer;
            house.world.peer_write(old, &said);
            if ends {
                house.world.peer_half_close(old);
            }
            house.pass(1_000_000);
            house.post(Mail::Hand(moved));
            if !waiting {
                house.write(mine, &request);
            }
            house.settle();
            assert_eq!(house.read(mine).0, "CZ", "{ends} {waiting}");
            assert_eq!(house.servers[0].texts, ["SELECT 1"]);
            assert_eq!(house.servers[1].texts, ["SELECT 2"]);
            assert_eq!((house.permits(), house.panics()), ((1, 1), 0));
        }
    }
}

/// What else a server says there is no reason to part with it.
#[test]
fn who_spoke_between_two_cores_is_heard() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = house.login();
    assert_eq!(house.ask(mine, "SELECT 1").0, "CZ");
    let moved = house.depart();
    let mut words = Vec::new();
    server::parameter_status(&mut words, b"server_version", b"15.2").expect("it is short");
    house.world.peer_write(house.servers[0].peer, &words);
    house.pass(1_000_000);
    house.post(Mail::Hand(moved));
    let (tags, texts) = house.ask(mine, "SELECT 2");
    assert!(tags.ends_with("CZ") && texts.iter().any(|text| text.contains("15.2")), "{tags} {texts:?}");
    assert_eq!((house.servers.len(), house.permits(), house.panics()), (1, (1, 1), 0));
}
