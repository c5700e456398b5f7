//! Clients that replicate beside others: whose server is whose, what becomes of both when one ends, and that permits come back.

use crate::admin::console::Scope;
use crate::admin::report::{Replication, State, Wants};
use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::io::sim::{Answer, PeerId};
use crate::mail::{Mail, Order};
use crate::wire::{client, server};

use super::super::house::SERVER;

const ALL: Wants = Wants { clients: true, servers: true, pools: true, transactions: true, query_cache: true };

fn replicating(house: &mut House, word: &str) -> PeerId {
    house.connect_with(&[("user", "app"), ("database", "app"), ("replication", word), ("application_name", "standby")])
}

/// A client that replicates and has its server.
fn standby(house: &mut House) -> PeerId {
    let standby = replicating(house, "database");
    let (tags, _) = house.read(standby);
    assert!(tags.starts_with('R') && tags.ends_with("KZ"), "{tags}");
    standby
}

fn parameter(name: &str, value: &str) -> Vec<u8> {
    let mut words = Vec::new();
    server::parameter_status(&mut words, name.as_bytes(), value.as_bytes()).unwrap();
    words
}

fn query(text: &str) -> Vec<u8> {
    let mut words = Vec::new();
    client::query(&mut words, text.as_bytes()).unwrap();
    words
}

/// What the server says, of this number.
fn says(house: &mut House, server: usize, words: &[u8]) {
    let peer = house.servers[server].peer;
    assert_eq!(house.world.peer_write(peer, words), words.len());
    house.settle();
}

fn copy_data(body: usize) -> Vec<u8> {
    let mut words = vec![b'd'];
    words.extend_from_slice(&(body as u32 + 4).to_be_bytes());
    words.resize(body + 5, b'.');
    words
}

/// Connections of the pool, and those that are idle, when some are one client's alone.
fn open_and_idle(house: &House) -> (u32, u32) {
    let ledger = house.ledger();
    (ledger.open(), ledger.line(0).idle.count())
}

#[test]
fn it_has_a_server_opened_with_its_own_words_that_is_nobody_elses() {
    let mut house = House::new(PoolerMode::Transaction, 3);
    let other = house.login();
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
    house.greeting = parameter("application_name", "standby");
    let mine = replicating(&mut house, "database");
    let (tags, texts) = house.read(mine);
    assert_eq!(tags, "RSSKZ");
    assert!(texts[1..3] == ["application_name\0standby\0", "server_version\x0015.1\0"], "{texts:?}");
    house.greeting.clear();
    assert_eq!(house.servers.len(), 2);
    assert!(!house.servers[0].packet.contains("replication"));
    assert_eq!(house.servers[1].packet, "user app database app replication database application_name standby  ");
    // What it says goes to its own server, which nobody else gets, whatever he waits for.
    assert_eq!(house.ask(mine, "IDENTIFY_SYSTEM").0, "CZ");
    assert_eq!((house.ask(other, "BEGIN;SELECT 1").0.as_str(), open_and_idle(&house)), ("CZ", (2, 0)));
    let third = house.login();
    assert_eq!(house.ask(third, "SELECT 3").0, "CZ");
    assert_eq!(
        house.servers.iter().map(|server| server.texts.join(",")).collect::<Vec<_>>(),
        ["SELECT 1,BEGIN;SELECT 1", "IDENTIFY_SYSTEM", "SELECT 3"]
    );
    // Nor are its parameters anybody else's.
    let fresh = house.connect("app");
    assert_eq!(house.read(fresh).0, "RSKZ");
    // When it goes, its server does.
    house.world.peer_close(mine);
    house.settle();
    assert!(house.world.peer_gone(house.servers[1].peer));
    assert_eq!(house.ask(other, "COMMIT").0, "CZ");
    assert_eq!(house.permits(), (2, 2));
}

#[test]
fn what_it_may_say_and_what_it_may_not() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let physical = house.connect_with(&[("user", "app"), ("database", "replication"), ("replication", "yes")]);
    assert_eq!(house.read(physical).0, "RSKZ");
    assert_eq!(house.servers[0].packet, "user app database app replication true  ");
    let rows = house.report(ALL).clients;
    assert_eq!((rows[0].database.as_str(), rows[0].replication, rows[0].state), ("app", Replication::Physical, State::Idle));
    house.write(physical, b"X\0\0\0\x04");
    assert!(house.is_closed(physical));
    // A name that is none, of a database or in logical replication, is refused as a wrong password is.
    for (database, word) in [("shop", "yes"), ("replication", "database"), ("app2", "database")] {
        let client = house.connect_with(&[("user", "app"), ("database", database), ("replication", word)]);
        let (tags, texts) = house.read(client);
        assert!(tags == "E" && texts[0].contains("C28000\0"), "{database}: {tags} {texts:?}");
    }
    let admin = house.connect_with(&[("user", "eve"), ("database", "replication"), ("replication", "yes")]);
    assert!(house.read(admin).1[0].contains("C28000\0"), "nobody is let in without a user");
    assert_eq!(house.permits(), (0, 0));
    // A user whose clients all replicate.
    let mut house = House::with(PoolerMode::Transaction, 2, |spec, _| spec.replicates = true);
    let client = house.connect("app");
    assert_eq!(house.read(client).0, "RSKZ");
    assert_eq!(house.servers[0].packet, "user app database app replication database  ");
    assert_eq!(house.ask(client, "IDENTIFY_SYSTEM").0, "CZ");
}

#[test]
fn a_place_is_made_where_servers_rest() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let other = house.login();
    assert_eq!((house.ask(other, "SELECT 1").0.as_str(), house.permits()), ("CZ", (1, 1)));
    let mine = standby(&mut house);
    assert_eq!((house.servers.len(), open_and_idle(&house)), (2, (1, 0)));
    assert!(house.world.peer_gone(house.servers[0].peer), "its place was needed");
    // Now others wait for it, until it goes.
    house.write(other, &query("SELECT 2"));
    assert_eq!(house.read(other).0, "");
    assert_eq!(house.ask(mine, "IDENTIFY_SYSTEM").0, "CZ");
    house.write(mine, b"X\0\0\0\x04");
    assert_eq!(house.read(other).0, "CZ");
    assert_eq!((house.servers[2].texts.join(","), house.permits()), ("SELECT 2".to_string(), (1, 1)));
}

#[test]
fn it_waits_like_everybody_and_nobody_overtakes_it() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let (first, last) = (house.login(), house.login());
    assert_eq!(house.ask(first, "BEGIN;SELECT 1").0, "CZ");
    let (mine, gone) = (replicating(&mut house, "database"), replicating(&mut house, "database"));
    house.write(last, &query("SELECT 'last'"));
    assert_eq!((house.read(mine).0.as_str(), house.read(last).0.as_str()), ("R", ""));
    assert_eq!(house.report(ALL).pools[0].cl_waiting, 3);
    house.world.peer_close(gone);
    assert_eq!(house.ask(first, "COMMIT").0, "CZ");
    assert_eq!((house.read(mine).0.as_str(), house.read(last).0.as_str()), ("SKZ", ""));
    assert_eq!(house.servers[1].packet.matches("replication database").count(), 1);
    house.world.peer_close(mine);
    house.settle();
    assert_eq!((house.read(last).0.as_str(), house.permits()), ("CZ", (1, 1)));
    // A place that is free is not filled with what he who waits cannot use.
    let (mine, next) = (standby(&mut house), replicating(&mut house, "database"));
    let before = house.servers.len();
    house.world.peer_close(mine);
    house.settle();
    assert!(house.read(next).0.ends_with("KZ"));
    assert_eq!((house.servers.len(), house.servers[before].packet.contains("replication")), (before + 1, true));
    house.world.peer_close(next);
    house.settle();
    // One who waits too long is told.
    assert_eq!(house.ask(first, "BEGIN;SELECT 1").0, "CZ");
    let late = replicating(&mut house, "true");
    house.wait(6_000);
    let (tags, texts) = house.read(late);
    assert!(tags == "RE" && texts[1].contains("C53300\0"), "{tags} {texts:?}");
}

/// Wherever it goes, a place is free again.
#[test]
fn who_goes_before_his_server_is_there_leaves_nothing() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let other = house.login();
    for _ in 0..3 {
        // While the idle server is still leaving for it.
        assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
        let mine = house.world.connect_client(0);
        let mut words = Vec::new();
        client::startup(&mut words, 0, &[("user", "app"), ("database", "app"), ("replication", "1")]).unwrap();
        house.world.peer_write(mine, &words);
        while house.ledger().line(0).idle.count() > 0 {
            if !house.turn()
                && let Some(at) = house.world.next_event()
            {
                house.world.advance_to(at);
            }
        }
        house.world.peer_close(mine);
        house.settle();
        assert_eq!((open_and_idle(&house), house.clients()), ((0, 0), 1));
    }
    // While its own server does not say a word.
    house.world.serve(SERVER, Answer::Silent);
    let mine = replicating(&mut house, "1");
    assert_eq!((house.read(mine).0.as_str(), open_and_idle(&house)), ("R", (1, 0)));
    house.world.peer_close(mine);
    house.settle();
    assert_eq!(house.permits(), (0, 0));
    // And one who waits for that is told.
    let mine = replicating(&mut house, "1");
    house.wait(6_000);
    let (tags, texts) = house.read(mine);
    assert!(tags == "RE" && texts[1].contains("C08001\0"), "{tags} {texts:?}");
    house.world.serve(SERVER, Answer::Refuse);
    let mine = replicating(&mut house, "1");
    let (tags, texts) = house.read(mine);
    assert!(tags == "RE" && texts[1].contains("C08001\0"), "{tags} {texts:?}");
    house.world.serve(SERVER, Answer::Accept);
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ", "its failures keep nobody waiting");
    assert_eq!((house.permits(), house.panics()), ((1, 1), 0));
}

#[test]
fn a_server_that_refuses_it_says_why_and_nobody_else_suffers() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let other = house.login();
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
    let message = "must be superuser or replication role to start walsender";
    let mut words = Vec::new();
    server::error(&mut words, &server::ErrorFields { severity: "FATAL", code: "42501", message, detail: None, hint: None });
    house.greeting = words;
    let mine = replicating(&mut house, "on");
    let (tags, texts) = house.read(mine);
    assert!(tags == "RE" && texts[1].contains("SFATAL\0") && texts[1].contains(&format!("C42501\0M{message}\0")), "{tags} {texts:?}");
    assert!(house.is_closed(mine));
    house.greeting.clear();
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
    house.wait(6_000);
    assert_eq!(house.permits(), (1, 1));
}

#[test]
fn a_server_that_ends_ends_its_client_after_its_last_words() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let mine = standby(&mut house);
    says(&mut house, 0, &[&copy_data(30)[..], b"c\0\0\0\x04"].concat());
    let peer = house.servers[0].peer;
    house.world.peer_close(peer);
    house.settle();
    assert_eq!(house.read(mine).0, "dc");
    assert!(house.is_closed(mine));
    assert_eq!((house.permits(), house.clients()), ((0, 0), 0));
    // In the middle of a message too.
    let mine = standby(&mut house);
    says(&mut house, 1, &copy_data(30)[..20]);
    let peer = house.servers[1].peer;
    house.world.peer_reset(peer);
    house.settle();
    assert_eq!(house.world.peer_read(mine, 100), crate::io::sim::PeerRead::Bytes(copy_data(30)[..20].to_vec()));
    assert!(house.is_closed(mine));
    // One that speaks no PostgreSQL is not listened to.
    let mine = standby(&mut house);
    says(&mut house, 2, &[&copy_data(3)[..], b"H\0\0\0\0"].concat());
    let (tags, texts) = house.read(mine);
    assert!(tags == "dE" && texts[1].contains("C08P01\0"), "{tags} {texts:?}");
    // Nor is such a client.
    let mine = standby(&mut house);
    house.write(mine, b"\0HELLO");
    let (tags, texts) = house.read(mine);
    assert!(tags == "E" && texts[0].contains("C08P01\0"), "{tags} {texts:?}");
    assert_eq!((house.permits(), house.panics()), ((0, 0), 0));
}

#[test]
fn bytes_go_through_as_they_are_wherever_they_are_cut() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let mine = standby(&mut house);
    let stream = [b"W\0\0\0\x07\0\0\0".to_vec(), copy_data(0), copy_data(700), copy_data(3)].concat();
    for cut in (0..30).chain([stream.len() - 4, stream.len() - 1]) {
        says(&mut house, 0, &stream[..cut]);
        says(&mut house, 0, &stream[cut..]);
        assert_eq!(house.read(mine).0, "Wddd", "cut at {cut}");
    }
    // As many queries as there are cuts, each in two parts.
    let text = query("SAY x");
    for cut in 1..text.len() {
        house.write(mine, &text[..cut]);
        house.write(mine, &text[cut..]);
        assert_eq!(house.read(mine).0, "CZ", "cut at {cut}");
    }
    let report = house.report(ALL);
    let (row, sent) = (&report.servers[0], text.len() * (text.len() - 1));
    assert_eq!((row.queries as usize, row.state, row.client_id), (text.len() - 1, State::Idle, Some(report.clients[0].id)));
    assert!(row.bytes_sent as usize == sent && row.bytes_received as usize > 32 * stream.len(), "{row:?}");
    assert_eq!((report.pools[0].sv_active, report.pools[0].sv_total), (1, 1));
}

#[test]
fn when_pg_dog_ends_it_is_told_between_two_messages() {
    let mut house = House::new(PoolerMode::Transaction, 3);
    let (quiet, cut, other) = (standby(&mut house), standby(&mut house), house.login());
    assert_eq!(house.ask(other, "BEGIN;SELECT 1").0, "CZ");
    let stream = [copy_data(40), copy_data(40)].concat();
    says(&mut house, 1, &stream[..20]);
    house.post(Mail::Drain);
    house.settle();
    let (tags, texts) = house.read(quiet);
    assert!(tags == "E" && texts[0].contains("SFATAL\0") && texts[0].contains("C57P01\0"), "{tags} {texts:?}");
    assert!(house.is_closed(quiet));
    says(&mut house, 1, &stream[20..30]);
    assert_eq!(house.world.peer_read(cut, 1000), crate::io::sim::PeerRead::Bytes(stream[..30].to_vec()));
    says(&mut house, 1, &stream[30..60]);
    let crate::io::sim::PeerRead::Bytes(rest) = house.world.peer_read(cut, 1000) else { panic!("it hears the end of the message") };
    assert!(rest[..15] == stream[30..45] && rest[15] == b'E' && String::from_utf8_lossy(&rest).contains("57P01"), "{}", rest.escape_ascii());
    assert!(house.is_closed(cut) && !house.is_closed(other));
    assert_eq!(house.ask(other, "COMMIT").0, "CZE");
}

#[test]
fn a_cancel_request_reaches_its_server_while_that_is_at_work() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let mine = standby(&mut house);
    house.request_cancel(mine);
    assert!(house.cancels.is_empty(), "there is nothing to cancel");
    house.write(mine, &query("SILENCE"));
    house.request_cancel(mine);
    assert_eq!(house.cancels.len(), 1);
    assert_eq!(house.cancels[0][4..], house.key[..]);
    // What it was at work on when its client goes, and would not hear otherwise, is cancelled as well.
    house.world.peer_close(mine);
    house.settle();
    assert_eq!((house.cancels.len(), house.permits()), (2, (0, 0)));
    // A stream hears that it is over.
    let mine = standby(&mut house);
    let last = house.servers.len() - 1;
    house.write(mine, &query("SILENCE"));
    says(&mut house, last, b"W\0\0\0\x07\0\0\0");
    house.world.peer_close(mine);
    house.settle();
    assert_eq!((house.cancels.len(), house.permits()), (2, (0, 0)));
}

#[test]
fn the_operator_sees_it_and_ends_it_and_no_pause_waits_for_it() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let mine = standby(&mut house);
    assert_eq!(house.order(Order::InUse(Scope::default())), 0);
    let row = &house.report(ALL).clients[0];
    assert_eq!((row.replication, row.application_name.as_str()), (Replication::Logical, "standby"));
    house.order(Order::Suspend);
    house.world.peer_write(mine, &query("SELECT 1"));
    house.settle();
    assert_eq!(house.read(mine).0, "");
    house.order(Order::Wake);
    assert_eq!(house.read(mine).0, "CZ");
    assert_eq!(house.order(Order::Drop(Scope::default())), 1);
    let (tags, texts) = house.read(mine);
    assert!(tags == "E" && texts[0].contains("C57P01\0"), "{tags} {texts:?}");
    assert_eq!((house.permits(), house.clients()), ((0, 0), 0));
}
