//! A whole proxy in one thread, many times over: simulated cores, servers, clients and faults, all decided by one seed.
//!
//! `PG_DOG_SEED=n` runs that seed alone and tells what happened; `PG_DOG_SEEDS=n` runs the first n seeds instead of the usual few hundred.
#![allow(clippy::disallowed_methods, reason = "the clock is read to tell how long the seeds took")]

mod fake_client;
mod fake_server;
mod house;
mod language;
mod message;
mod proxy;
mod relay;
mod weather;

#[path = "../support/own_words.rs"]
mod own_words;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pg_dog::config::snapshot::PoolerMode;
use pg_dog::io::sim::{Dice, Faults, Limits, World};

use fake_client::{Census, FakeClient, Habits};
use fake_server::{FakeServer, Lie, Mischief};
use house::{CoreUnderTest, House};
use proxy::Proxy;
use relay::{Fault, Relay};
use weather::{Mix, Weather};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5432);

/// Runs `run` with each seed; the first that fails is named with the way to repeat it.
#[allow(clippy::disallowed_methods, reason = "how long a seed takes is told, and decides nothing")]
fn for_seeds(usual: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("PG_DOG_SEED") {
        return run(seed);
    }
    let mut slowest = (Duration::ZERO, 0);
    let (seeds, began) = (number("PG_DOG_SEEDS").unwrap_or(usual), Instant::now());
    for seed in 0..seeds {
        let began = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed} failed; repeat it with PG_DOG_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
        slowest = slowest.max((began.elapsed(), seed));
    }
    println!("{seeds} seeds in {:?}; the slowest was {}, {:?}", began.elapsed(), slowest.1, slowest.0);
}

/// Clients that come one after the other, with habits thrown from `dice`.
fn invite(house: &mut House, clients: usize, users: &[&'static str], habits: &Habits) {
    let cores = house.cores.len();
    for id in (1..=clients).rev() {
        let (at, dice, habits, census) = (house.dice.below(50_000_000), house.dice.fork(), habits.clone(), house.census.clone());
        let user = users[id % users.len()];
        house.later(at, Box::new(move |house| house.clients.push(FakeClient::new(id, &house.world, dice, cores, habits, user, &census))));
    }
}

/// One run through the relay; returns how many rows were checked.
fn relayed(seed: u64, fault: Fault, lie: Option<Lie>) -> u64 {
    let mut dice = Dice::new(seed);
    let limits = Limits { trace: 0, ..Limits::seeded(&mut dice) };
    let world = World::new(seed, 2, Faults { no_socket: 0, refused_connect: 0, ..Faults::seeded(&mut dice) }, limits);
    let relay = |core: usize, dice: &mut Dice| -> Box<dyn CoreUnderTest> {
        Box::new(Relay::new(world.door(core), world.listen(core), SERVER, dice.fork(), fault))
    };
    let cores = vec![relay(0, &mut dice), relay(1, &mut dice)];
    let mischief = Mischief { login_ns: 1_000_000, cancel_ns: 1_000_000, ..Mischief::default() };
    let servers = vec![FakeServer::new(&world, dice.fork(), SERVER, mischief, lie)];
    let habits = Habits {
        requests: 30,
        anonymous: false,
        vanishes: if dice.chance(500) { 10 } else { 0 },
        cancels: if dice.chance(500) { 50 } else { 0 },
        prepares: 100,
        odd_cancels: 0,
        slow_us: 3000,
        ahead: 4,
        deaf_ns: 2_000_000,
        cut: 0,
        patience_ns: 0,
        returns: false,
        thinks_ns: 3_000_000,
        forgives: false,
        ends: &[],
    };
    let census = Rc::new(RefCell::new(Census::default()));
    let mut house = House {
        world: world.clone(),
        dice,
        cores,
        servers,
        clients: Vec::new(),
        to_come: Vec::new(),
        census: census.clone(),
        proxy: None,
        stalled: false,
    };
    invite(&mut house, 8, &["app"], &habits);
    house.run();
    assert_eq!((world.open_sockets(), house.servers[0].open()), (0, 0), "the relay left connections open");
    census.borrow().rows
}

/// One run of pg_dog; returns how many rows were checked.
fn pooled(seed: u64, weather: Weather, lie: Option<Lie>) -> u64 {
    let mut dice = Dice::new(seed);
    let limits = Limits { trace: if std::env::var("PG_DOG_SEED").is_ok() { 60 } else { 0 }, ..Limits::seeded(&mut dice) };
    let mix = Mix::of(weather, &mut dice);
    let faults = mix.faults(&mut dice);
    let setup = mix.setup(&mut dice, &limits);
    let world = World::new(seed, setup.cores, faults, limits);
    let servers = vec![FakeServer::new(&world, dice.fork(), SERVER, mix.mischief(&mut dice), lie)];
    let (proxy, cores) = Proxy::start(&world, &mut dice, &setup, SERVER);
    // In transaction mode statements of SQL go with their clients; otherwise they keep servers, of which there are fewer than clients.
    let habits = Habits { prepares: if setup.full || setup.mode == PoolerMode::Session { 120 } else { 0 }, ..mix.habits(&mut dice) };
    let census = Rc::new(RefCell::new(Census::default()));
    let clients = dice.between(2, 24) as usize;
    let mut house = House {
        world: world.clone(),
        dice,
        cores,
        servers,
        clients: Vec::new(),
        to_come: Vec::new(),
        census,
        proxy: Some(proxy.clone()),
        stalled: false,
    };
    invite(&mut house, clients, &setup.users, &habits);
    mix.plan(&mut house, &proxy);
    house.run();
    proxy.check_quiet();
    let open = proxy.open();
    assert_eq!((house.servers[0].open(), world.open_sockets()), (open, open), "connections at the server, sockets, and permits");
    let mut drained = proxy.drained.borrow().clone();
    drained.sort_unstable();
    assert_eq!(drained, (0..if mix.dusk { setup.cores } else { 0 }).collect::<Vec<_>>(), "cores that have said that they are drained");
    let census = house.census.take();
    let closed = house.servers[0].logins - open - house.servers[0].lost;
    assert!(
        !mix.keeps_servers(&setup) || census.told || closed <= census.cut_off,
        "{closed} servers were closed, though only {} clients were cut off",
        census.cut_off
    );
    census.rows
}

#[test]
fn every_reply_belongs_to_its_request() {
    let rows = Cell::new(0);
    for_seeds(250, |seed| rows.set(rows.get() + pooled(seed, Weather::Calm, None)));
    assert!(rows.get() > 0, "not one row came");
}

#[test]
fn servers_that_die_take_nothing_with_them_but_their_own() {
    for_seeds(250, |seed| {
        pooled(seed, Weather::Storm, None);
    });
}

#[test]
fn who_is_told_to_end_lets_its_clients_finish() {
    for_seeds(100, |seed| {
        pooled(seed, Weather::Dusk, None);
    });
}

#[test]
fn whole_servers_restart_and_fail_over() {
    for_seeds(200, |seed| {
        pooled(seed, Weather::Quake, None);
    });
}

#[test]
fn what_hangs_holds_up_nobody_else() {
    for_seeds(200, |seed| {
        pooled(seed, Weather::Fog, None);
    });
}

#[test]
fn nonsense_of_a_server_is_its_own_end_only() {
    for_seeds(200, |seed| {
        pooled(seed, Weather::Babel, None);
    });
}

#[test]
fn clients_of_any_manners_harm_nobody_else() {
    for_seeds(200, |seed| {
        pooled(seed, Weather::Rabble, None);
    });
}

#[test]
fn everything_at_once() {
    for_seeds(300, |seed| {
        pooled(seed, Weather::Chaos, None);
    });
}

#[test]
fn a_seed_is_a_run() {
    for_seeds(5, |seed| assert_eq!(pooled(seed, Weather::Storm, None), pooled(seed, Weather::Storm, None)));
}

#[test]
fn clients_and_servers_understand_each_other() {
    for_seeds(40, |seed| assert!(relayed(seed, Fault::None, None) > 50, "hardly anything happened"));
}

/// The tests of the tests: whatever breaks a promise must be noticed, in nearly every run.
#[test]
fn what_is_wrong_is_noticed() {
    let caught_of = |runs: u64, run: &dyn Fn(u64)| (0..runs).filter(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err()).count();
    let caught = |run: &dyn Fn(u64)| caught_of(10, run);
    for fault in [Fault::Misdelivers, Fault::LosesByte, Fault::RepeatsPiece, Fault::Forgets] {
        let caught = caught(&|seed| assert!(relayed(seed, fault, None) > 0));
        assert!(caught >= 9, "{fault:?} was noticed in {caught} runs of 10");
    }
    for lie in [Lie::WrongTag, Lie::ExtraRow, Lie::MissingReady, Lie::WrongStatus] {
        let caught = caught(&|seed| assert!(relayed(seed, Fault::None, Some(lie)) > 0));
        assert!(caught >= 9, "{lie:?} was noticed in {caught} runs of 10");
    }
    // A session that is not cleaned shows only when servers change hands, which some settings prevent.
    let caught = caught_of(30, &|seed| assert!(pooled(seed, Weather::Calm, Some(Lie::KeepsSession)) > 0));
    assert!(caught >= 5, "kept sessions were noticed in {caught} runs of 30");
}
