//! Participants that end: what becomes of the client, of its other participants, and of those who come to their places.

use crate::engine::house::House;
use crate::io::sim::PeerId;
use crate::route::cluster::Commits;
use crate::wire::client;

/// Shard 0 can prepare and shard 1 cannot, so that this one decides.
fn house() -> House {
    House::sharded(2, Commits { id: Some([7; 16]), prepares: vec![true, false] })
}

/// What the servers of a shard were told, in order.
fn told(house: &House, shard: u16) -> Vec<&str> {
    let of = format!(" app_{shard} ");
    house.servers.iter().filter(|server| server.packet.contains(&of)).flat_map(|server| server.texts.iter().map(String::as_str)).collect()
}

/// A user of each shard: the servers say which one it is.
fn ids(house: &mut House) -> [u32; 2] {
    let client = house.login();
    let mut of = |shard: u16| {
        (1..100)
            .find(|id| {
                let text = format!("SELECT name FROM users WHERE id = {id}");
                house.ask(client, &text);
                told(house, shard).contains(&text.as_str())
            })
            .expect("an id")
    };
    [of(0), of(1)]
}

/// A client that has written on both shards, first on this one.
fn written(house: &mut House, [first, second]: [u32; 2]) -> PeerId {
    let client = house.login();
    assert_eq!(house.ask(client, "BEGIN").0, "CZ");
    for id in [first, second] {
        let (tags, texts) = house.ask(client, &format!("UPDATE users SET name = 'x' WHERE id = {id}"));
        assert_eq!(tags, "CZ", "{texts:?}");
    }
    client
}

#[test]
fn a_commit_over_shards_is_one() {
    let mut house = house();
    let ids = ids(&mut house);
    let client = written(&mut house, ids);
    let (tags, texts) = house.ask(client, "COMMIT");
    assert_eq!((tags.as_str(), texts[0].as_str()), ("CZ", "COMMIT\0"));
    let (one, two) = (told(&house, 0), told(&house, 1));
    assert!(one[one.len() - 2].starts_with("PREPARE TRANSACTION") && one[one.len() - 1].starts_with("COMMIT PREPARED"), "{one:?}");
    assert!(two[two.len() - 2].starts_with("SELECT dog.decide") && two[two.len() - 1] == "COMMIT", "{two:?}");
    assert_eq!((house.ask(client, "SELECT 1").0.as_str(), house.panics()), ("CZ", 0));
}

#[test]
fn a_client_whose_own_session_is_lost_in_the_last_turn_of_its_commit_is_told_so() {
    let mut house = house();
    let ids = ids(&mut house);
    let client = written(&mut house, ids);
    house.deadly = Some(("app_0", "COMMIT PREPARED"));
    let (tags, texts) = house.ask(client, "COMMIT");
    // It is committed, and nothing more is said there.
    assert_eq!(tags, "NCZE", "{texts:?}");
    assert!(texts[1].starts_with("COMMIT") && texts[3].contains("SFATAL\0") && texts[3].contains("C08006\0"), "{texts:?}");
    assert!(house.is_closed(client));
    house.deadly = None;
    // Both pools have all their places again.
    let others = [written(&mut house, ids), written(&mut house, ids)];
    for other in others {
        assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    }
    assert_eq!(house.panics(), 0);
}

#[test]
fn a_place_that_was_a_lost_participants_is_anothers() {
    let mut house = house();
    let [zero, one] = ids(&mut house);
    for (shard, text) in [("app_0", "PREPARE"), ("app_0", "SELECT pg_catalog"), ("app_0", "ROLLBACK"), ("app_1", "SELECT dog"), ("app_1", "COMMIT")] {
        // Its own session is the one on shard 1; that on shard 0 has a place of its own.
        let client = written(&mut house, [one, zero]);
        house.deadly = Some((shard, text));
        let mut words = Vec::new();
        client::query(&mut words, if text == "ROLLBACK" { b"ROLLBACK" } else { b"COMMIT" }).unwrap();
        house.write(client, &words);
        house.deadly = None;
        let (tags, texts) = house.read(client);
        let gone = text != "ROLLBACK";
        assert_eq!((tags.as_str(), house.is_closed(client)), (if gone { "E" } else { "CZ" }, gone), "{shard} {text} {texts:?}");
        // Whoever comes now gets its place, and hears what it has asked for and nothing else.
        let strangers = [house.login(), house.login(), house.login()];
        for stranger in strangers {
            assert_eq!(house.read(stranger).0, "", "{shard} {text}");
            let (tags, texts) = house.ask(stranger, "SELECT 1");
            assert_eq!(tags, "CZ", "{shard} {text} {texts:?}");
        }
        let other = written(&mut house, [one, zero]);
        assert_eq!(house.ask(other, "COMMIT").0, "CZ", "{shard} {text}");
    }
    assert_eq!(house.panics(), 0);
}
