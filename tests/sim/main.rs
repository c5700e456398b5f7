//! A whole proxy in one thread, many times over: simulated cores, servers, clients and faults, all decided by one seed.
//!
//! `PG_DOG_SEED=n` runs that seed alone and tells what happened; `PG_DOG_SEEDS=n` runs the first n seeds instead of the usual few hundred.

mod fake_client;
mod fake_server;
mod house;
mod language;
mod message;
mod proxy;
mod relay;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use pg_dog::io::sim::{Dice, Faults, Limits, World};

use fake_client::{Census, FakeClient, Habits};
use fake_server::{FakeServer, Lie, Mischief};
use house::{CoreUnderTest, House};
use pg_dog::config::snapshot::{AuthType, ClientRecovery, PoolerMode};
use proxy::{Proxy, Setup};
use relay::{Fault, Relay};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5432);

/// Runs `run` with each seed; the first that fails is named with the way to repeat it.
fn for_seeds(usual: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("PG_DOG_SEED") {
        return run(seed);
    }
    for seed in 0..number("PG_DOG_SEEDS").unwrap_or(usual) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("seed {seed} failed; repeat it with PG_DOG_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Clients that come one after the other, with habits thrown from `dice`.
fn invite(house: &mut House, clients: usize, users: &[&'static str], habits: &Habits) {
    let cores = house.cores.len();
    for id in (1..=clients).rev() {
        let (at, dice, habits, census) = (house.dice.below(50_000_000), house.dice.fork(), habits.clone(), house.census.clone());
        let user = users[id % users.len()];
        house.to_come.push((at, Box::new(move |world| FakeClient::new(id, world, dice, cores, habits, user, &census))));
    }
    house.to_come.sort_by_key(|next| std::cmp::Reverse(next.0));
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
        session_mode: true,
        vanishes: if dice.chance(500) { 10 } else { 0 },
        cancels: if dice.chance(500) { 50 } else { 0 },
        thinks_ns: 3_000_000,
        forgives: false,
    };
    let census = Rc::new(RefCell::new(Census::default()));
    let mut house =
        House { world: world.clone(), dice, cores, servers, clients: Vec::new(), to_come: Vec::new(), census: census.clone(), stalled: false };
    invite(&mut house, 8, &["app"], &habits);
    house.run();
    assert_eq!((world.open_sockets(), house.servers[0].open()), (0, 0), "the relay left connections open");
    census.borrow().rows
}

/// One run of pg_dog. In calm ones servers live for ever, so that no error at all is right but those that PostgreSQL itself would give.
fn pooled(seed: u64, calm: bool, lie: Option<Lie>) -> u64 {
    let mut dice = Dice::new(seed);
    let limits = Limits { trace: if std::env::var("PG_DOG_SEED").is_ok() { 60 } else { 0 }, ..Limits::seeded(&mut dice) };
    let mut faults = Faults::seeded(&mut dice);
    if calm {
        (faults.no_socket, faults.refused_connect) = (0, 0);
    }
    let pool_size = dice.between(1, 6) as usize;
    let session = dice.chance(200);
    let setup = Setup {
        cores: if dice.chance(500) { 2 } else { 4 },
        users: if dice.chance(300) { vec!["app", "other"] } else { vec!["app"] },
        pool_size,
        min_pool_size: if dice.chance(700) { 0 } else { dice.between(1, pool_size as u64) as usize },
        mode: if session { PoolerMode::Session } else { PoolerMode::Transaction },
        auth: if dice.chance(500) { AuthType::Trust } else { AuthType::Plain },
        recovery: if dice.chance(500) { ClientRecovery::Recover } else { ClientRecovery::Drop },
        spread: dice.chance(500),
        fair_us: dice.below(3000),
        checkout_timeout: if calm { None } else { Some(Duration::from_millis(dice.between(5, 5000))) },
        connect_timeout: Duration::from_secs(if calm { 600 } else { 1 }),
        login_timeout: Duration::from_secs(if calm { 600 } else { 5 }),
    };
    let mut mischief = Mischief { login_ns: dice.below(2_000_000), cancel_ns: dice.below(2_000_000), ..Mischief::default() };
    if !calm {
        mischief.dies = dice.below(30) as u32;
        mischief.lifetime_ns = dice.below(3) * dice.below(50_000_000);
        mischief.refuses_login = dice.below(2) as u32 * dice.below(300) as u32;
    }
    let world = World::new(seed, setup.cores, faults, limits);
    let servers = vec![FakeServer::new(&world, dice.fork(), SERVER, mischief, lie)];
    let (proxy, cores) = Proxy::start(&world, &mut dice, &setup, SERVER);
    let habits = Habits {
        requests: dice.between(5, 40) as usize,
        session_mode: session,
        vanishes: if dice.chance(500) { 20 } else { 0 },
        cancels: if dice.chance(500) { 50 } else { 0 },
        thinks_ns: dice.below(5_000_000),
        forgives: !calm,
    };
    let census = Rc::new(RefCell::new(Census::default()));
    let clients = dice.between(2, 24) as usize;
    let mut house =
        House { world: world.clone(), dice, cores, servers, clients: Vec::new(), to_come: Vec::new(), census: census.clone(), stalled: false };
    invite(&mut house, clients, &setup.users, &habits);
    house.run();
    proxy.check_quiet();
    assert_eq!((house.servers[0].open(), world.open_sockets()), (proxy.open(), proxy.open()), "connections at the server, sockets, and permits");
    census.borrow().rows
}

#[test]
fn every_reply_belongs_to_its_request() {
    for_seeds(200, |seed| drop(format!("{}", pooled(seed, true, None))));
}

#[test]
fn servers_that_die_take_nothing_with_them_but_their_own() {
    for_seeds(200, |seed| drop(format!("{}", pooled(seed, false, None))));
}

#[test]
fn clients_and_servers_understand_each_other() {
    for_seeds(40, |seed| assert!(relayed(seed, Fault::None, None) > 50, "hardly anything happened"));
}

/// The tests of the tests: whatever breaks a promise must be noticed, in nearly every run.
#[test]
fn what_is_wrong_is_noticed() {
    let caught = |run: &dyn Fn(u64)| (0..10).filter(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err()).count();
    for fault in [Fault::Misdelivers, Fault::LosesByte, Fault::RepeatsPiece, Fault::Forgets] {
        let caught = caught(&|seed| assert!(relayed(seed, fault, None) > 0));
        assert!(caught >= 9, "{fault:?} was noticed in {caught} runs of 10");
    }
    for lie in [Lie::WrongTag, Lie::ExtraRow, Lie::MissingReady, Lie::WrongStatus] {
        let caught = caught(&|seed| assert!(relayed(seed, Fault::None, Some(lie)) > 0));
        assert!(caught >= 9, "{lie:?} was noticed in {caught} runs of 10");
    }
}
