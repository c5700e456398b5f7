//! A whole proxy in one thread, many times over: simulated cores, servers, clients and faults, all decided by one seed.
//!
//! `PG_DOG_SEED=n` runs that seed alone and tells what happened; `PG_DOG_SEEDS=n` runs the first n seeds instead of the usual few hundred.

mod fake_client;
mod fake_server;
mod house;
mod language;
mod message;
mod relay;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pg_dog::io::sim::{Dice, Faults, Limits, World};

use fake_client::{Census, FakeClient, Habits};
use fake_server::{FakeServer, Lie, Mischief};
use house::{CoreUnderTest, House};
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
fn invite(house: &mut House, clients: usize, habits: &Habits) {
    let cores = house.cores.len();
    for id in (1..=clients).rev() {
        let (at, dice, habits, census) = (house.dice.below(50_000_000), house.dice.fork(), habits.clone(), house.census.clone());
        house.to_come.push((at, Box::new(move |world| FakeClient::new(id, world, dice, cores, habits, "app", &census))));
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
    let mut house = House { world: world.clone(), dice, cores, servers, clients: Vec::new(), to_come: Vec::new(), census: census.clone() };
    invite(&mut house, 8, &habits);
    house.run();
    assert_eq!((world.open_sockets(), house.servers[0].open()), (0, 0), "the relay left connections open");
    census.borrow().rows
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
