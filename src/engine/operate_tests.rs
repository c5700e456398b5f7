//! Orders of the operator, each over a simulated machine: who goes, who stays, who waits, and how much of it is done in one turn.

use crate::admin::console::Scope;
use crate::admin::report::{State, Wants};
use crate::config::snapshot::PoolerMode;
use crate::engine::house::House;
use crate::mail::{Mail, Order};

use super::SLICE;

fn app() -> Scope {
    Scope::database(Some("app".into()))
}

fn elsewhere() -> Scope {
    Scope::database(Some("elsewhere".into()))
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn servers_in_use_are_counted() {
    let mut house = House::new(PoolerMode::Transaction, 3);
    let (open, idle) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.ask(idle, "SELECT 1").0, "CZ");
    assert_eq!((house.order(Order::InUse(app())), house.order(Order::InUse(elsewhere()))), (1, 0));
    assert_eq!(house.ask(open, "COMMIT").0, "CZ");
    assert_eq!(house.order(Order::InUse(Scope::default())), 0);
}

#[test]
fn connections_are_replaced_as_soon_as_they_are_free() {
    let mut house = House::new(PoolerMode::Transaction, 3);
    let (open, idle) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.ask(idle, "SELECT 1").0, "CZ");
    assert_eq!(house.ledger().open(), 2);
    assert_eq!(house.order(Order::Replace(elsewhere())), 0);
    assert_eq!(house.order(Order::Closing(Scope::default())), 0);
    assert_eq!(house.order(Order::Replace(app())), 2);
    assert_eq!((house.ledger().open(), house.order(Order::Closing(app()))), (1, 1), "the idle one went at once");
    let servers = house.servers.len();
    assert_eq!(house.ask(open, "SELECT 2").0, "CZ");
    assert_eq!(house.ask(open, "COMMIT").0, "CZ");
    assert_eq!((house.ledger().open(), house.order(Order::Closing(app()))), (0, 0), "the other one when it was free");
    // What comes after is not replaced.
    assert_eq!(house.ask(idle, "SELECT 3").0, "CZ");
    assert_eq!(house.ask(open, "SELECT 4").0, "CZ");
    assert_eq!((house.servers.len(), house.ledger().open()), (servers + 1, 1));
}

#[test]
fn all_of_a_database_are_dropped_and_nobody_else() {
    let mut house = House::new(PoolerMode::Transaction, 3);
    let (open, idle) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.order(Order::Drop(elsewhere())), 0);
    assert_eq!(house.ask(idle, "SELECT 1").0, "CZ");
    house.ledger().set_paused(true);
    assert_eq!(house.order(Order::Drop(app())), 4, "two clients and two servers");
    for client in [open, idle] {
        let (tags, texts) = house.read(client);
        assert!(tags == "E" && texts[0].contains("C57P01\0"), "{tags} {texts:?}");
        assert!(house.is_closed(client));
    }
    house.pass(SECOND);
    assert_eq!((house.clients(), house.ledger().open()), (0, 0));
    // Who comes now waits for RESUME.
    let late = house.login();
    assert_eq!(house.ask(late, "SELECT 2").0, "");
    house.ledger().set_paused(false);
    house.order(Order::Look(app()));
    assert_eq!(house.read(late).0, "CZ");
}

#[test]
fn one_client_is_dropped_by_its_id() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (one, other) = (house.login(), house.login());
    let ids: Vec<u32> = house.report(Wants { clients: true, ..Wants::default() }).clients.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(house.order(Order::DropClient(ids[0])), 1);
    assert!(house.read(one).1[0].contains("C57P01\0") && house.is_closed(one) && !house.is_closed(other));
    for nobody in [ids[0], 0, u32::MAX, ids[1] + 1000, ids[1] | 1 << 25] {
        assert_eq!(house.order(Order::DropClient(nobody)), 0, "{nobody}");
    }
    assert_eq!(house.ask(other, "SELECT 1").0, "CZ");
}

#[test]
fn a_pool_that_is_held_lets_open_transactions_go_on_and_nobody_wait_too_long() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let (open, waits) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    house.ledger().set_held(true);
    house.ledger().set_paused(true);
    house.order(Order::Hold { any: true, scope: app() });
    assert_eq!(house.ask(waits, "SELECT 1").0, "");
    // Far longer than checkout_timeout.
    for _ in 0..60 {
        house.pass(SECOND);
    }
    assert_eq!(house.read(waits).0, "");
    assert_eq!(house.ask(open, "COMMIT").0, "CZ");
    assert_eq!(house.read(waits).0, "");
    house.ledger().set_paused(false);
    house.ledger().set_held(false);
    house.order(Order::Hold { any: false, scope: app() });
    assert_eq!(house.read(waits).0, "CZ");
}

/// Both servers are taken when the maintenance is over: who waits has a whole checkout_timeout from there, and no more.
#[test]
fn a_wait_counts_from_the_end_of_the_maintenance() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let (open, waits) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    house.ledger().set_held(true);
    house.ledger().set_paused(true);
    house.order(Order::Hold { any: true, scope: app() });
    assert_eq!(house.ask(waits, "SELECT 1").0, "");
    house.pass(30 * SECOND);
    house.ledger().set_paused(false);
    house.ledger().set_held(false);
    house.order(Order::Hold { any: false, scope: app() });
    house.pass(4 * SECOND);
    assert_eq!(house.read(waits).0, "");
    house.pass(2 * SECOND);
    let (tags, texts) = house.read(waits);
    assert!(tags == "E" && texts[0].contains("C53300\0"), "{tags} {texts:?}");
}

#[test]
fn a_client_that_keeps_its_server_is_held_between_transactions() {
    let mut house = House::new(PoolerMode::Session, 2);
    let (open, idle) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.ask(idle, "SELECT 1").0, "CZ");
    house.ledger().set_held(true);
    house.ledger().set_paused(true);
    house.order(Order::Hold { any: true, scope: app() });
    assert_eq!(house.ask(idle, "SELECT 2").0, "");
    assert_eq!(house.ask(open, "SELECT 3").0, "CZ", "in its transaction");
    assert_eq!(house.ask(open, "COMMIT").0, "CZ");
    assert_eq!(house.ask(open, "SELECT 4").0, "");
    house.pass(60 * SECOND);
    house.ledger().set_paused(false);
    house.ledger().set_held(false);
    house.order(Order::Hold { any: false, scope: app() });
    assert_eq!((house.read(idle).0.as_str(), house.read(open).0.as_str()), ("CZ", "CZ"));
}

#[test]
fn who_is_disabled_lets_nobody_in_and_keeps_who_is_there() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let stays = house.login();
    house.ledger().set_disabled(true);
    let refused = house.connect("app");
    let (tags, texts) = house.read(refused);
    assert!(tags.ends_with('E') && texts.last().unwrap().contains("C57P03\0"), "{tags} {texts:?}");
    assert!(house.is_closed(refused));
    assert_eq!(house.ask(stays, "SELECT 1").0, "CZ");
    house.ledger().set_disabled(false);
    house.login();
}

#[test]
fn a_closed_door_takes_nobody_and_counts_who_is_inside() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let stays = house.login();
    assert_eq!(house.order(Order::Close), 1);
    assert_eq!(house.ask(stays, "SELECT 1").0, "CZ");
    assert_eq!(house.order(Order::Close), 1);
    let mut words = Vec::new();
    crate::wire::client::terminate(&mut words);
    house.write(stays, &words);
    assert_eq!(house.order(Order::Close), 0);
}

/// Nothing moves and no time is up until it is over; somebody who knows the console still gets in.
#[test]
fn a_suspended_core_listens_to_nobody() {
    let mut house = House::new(PoolerMode::Transaction, 1);
    let (open, waits) = (house.login(), house.login());
    assert_eq!(house.ask(open, "BEGIN;SELECT 1").0, "CZ");
    assert_eq!(house.order(Order::Suspend), 0);
    assert_eq!(house.ask(open, "SELECT 1").0, "");
    assert_eq!(house.ask(waits, "SELECT 2").0, "");
    let late = house.connect("app");
    let (tags, _) = house.read(late);
    assert!(tags.ends_with('Z'), "{tags}");
    assert_eq!(house.ask(late, "SELECT 3").0, "");
    house.pass(600 * SECOND);
    assert_eq!(house.order(Order::Suspend), 0, "once more, as control does while something is still to be sent");
    assert_eq!(house.servers[0].texts, ["BEGIN;SELECT 1"]);
    house.order(Order::Wake);
    assert_eq!(house.read(open).0, "CZ");
    assert_eq!(house.ask(open, "COMMIT").0, "CZ");
    assert_eq!((house.read(waits).0.as_str(), house.read(late).0.as_str()), ("CZ", "CZ"));
}

/// Many more clients than a slice holds: a report takes several turns, in which others are served, and lists everybody who stays once.
#[test]
fn a_report_is_made_in_slices() {
    let mut house = House::new(PoolerMode::Transaction, 2);
    let clients: Vec<_> = (0..5 * SLICE).map(|_| house.login()).collect();
    assert_eq!(house.ask(clients[3], "BEGIN;SELECT 1").0, "CZ");
    house.post(Mail::Report { request: 1, wants: Wants { clients: true, servers: true, pools: true, transactions: true, query_cache: true } });
    let mut turns = 0;
    while house.reported() == 0 {
        turns += 1;
        assert!(turns < 100);
        house.turn();
    }
    assert!(turns >= 5, "{turns} turns");
    let report = house.report(Wants { clients: true, servers: true, pools: true, transactions: true, query_cache: true });
    let mut ids: Vec<u32> = report.clients.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), report.clients.len()), (clients.len(), clients.len()));
    let open = report.clients.iter().filter(|row| row.state == State::IdleInTransaction).count();
    assert_eq!((open, report.pools[0].sv_idle_xact, report.pools.len()), (1, 1, 1));
    let few = house.report(Wants::default());
    assert!(few.clients.is_empty() && few.servers.is_empty() && few.pools.is_empty());
    assert_eq!(few.lists.used_clients + few.lists.free_clients, clients.len() as u64);
}
