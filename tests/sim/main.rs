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

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use pg_dog::config::snapshot::{AuthType, ClientRecovery, NEVER, PoolerMode, Recovery};
use pg_dog::io::sim::{Answer, Dice, Faults, Limits, World};

use fake_client::{Census, FakeClient, Habits};
use fake_server::{FakeServer, Lie, Mischief};
use house::{CoreUnderTest, Happening, House};
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
        house.to_come.push((at, Box::new(move |world| Some(FakeClient::new(id, world, dice, cores, habits, user, &census)))));
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
        anonymous: false,
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

/// What happens to pg_dog in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// servers live for ever, so that no error is right but those that PostgreSQL itself would give; pools may be paused and resized
    Calm,
    /// servers die, refuse and are away
    Storm,
    /// pg_dog is told to end
    Dusk,
}

/// A time that matters within a run, or never.
fn some_time(dice: &mut Dice, below_ms: u64) -> Duration {
    if dice.chance(500) { NEVER } else { Duration::from_millis(dice.below(below_ms)) }
}

fn setup(dice: &mut Dice, weather: Weather) -> Setup {
    let pool_size = dice.between(1, 6) as usize;
    let storm = weather == Weather::Storm;
    Setup {
        cores: if dice.chance(500) { 2 } else { 4 },
        users: if dice.chance(300) { vec!["app", "other"] } else { vec!["app"] },
        pool_size,
        min_pool_size: if dice.chance(700) { 0 } else { dice.between(1, pool_size as u64) as usize },
        mode: if dice.chance(200) { PoolerMode::Session } else { PoolerMode::Transaction },
        auth: if dice.chance(500) { AuthType::Trust } else { AuthType::Plain },
        recovery: if dice.chance(500) { ClientRecovery::Recover } else { ClientRecovery::Drop },
        spread: dice.chance(500),
        fair_us: dice.below(3000),
        checkout_timeout: if storm { Some(Duration::from_millis(dice.between(5, 5000))) } else { None },
        connect_timeout: Duration::from_secs(if storm { 1 } else { 600 }),
        login_timeout: Duration::from_secs(if storm { 5 } else { 600 }),
        connect_attempts: dice.between(1, 3) as u32,
        connect_attempt_delay: Duration::from_millis(dice.below(2) * dice.below(20)),
        server_connects: dice.between(1, 8) as u32,
        idle_timeout: some_time(dice, 50),
        server_lifetime: some_time(dice, 100),
        healthcheck_interval: some_time(dice, 20),
        connection_recovery: [Recovery::Recover, Recovery::Recover, Recovery::RollbackOnly, Recovery::Drop][dice.below(4) as usize],
    }
}

fn mischief(dice: &mut Dice, weather: Weather) -> Mischief {
    let chats_ns = dice.below(2) * dice.between(100_000, 5_000_000);
    let mut mischief = Mischief { login_ns: dice.below(2_000_000), cancel_ns: dice.below(2_000_000), chats_ns, ..Mischief::default() };
    if weather == Weather::Storm {
        mischief.dies = dice.below(30) as u32;
        mischief.lifetime_ns = dice.below(3) * dice.below(50_000_000);
        mischief.refuses_login = dice.below(2) as u32 * dice.below(300) as u32;
    }
    mischief
}

/// What the operator and the network do in a run.
fn plan(house: &mut House, proxy: &Proxy, weather: Weather) {
    let mut fate = house.dice.fork();
    let mut at = |from: u64, to: u64, what: Happening| house.to_come.push((house.dice.between(from * 1_000_000, to * 1_000_000), what));
    let told = |tell: fn(&Proxy, &World)| -> Happening {
        let proxy = proxy.clone();
        Box::new(move |world| {
            tell(&proxy, world);
            None
        })
    };
    match weather {
        Weather::Calm => {
            if fate.chance(200) {
                at(5, 40, told(|proxy, _| proxy.pause()));
                at(45, 90, told(|proxy, world| proxy.resume(world)));
            }
            if fate.chance(300) {
                at(5, 60, told(|proxy, world| proxy.resize(world, 1)));
                at(60, 120, told(|proxy, world| proxy.resize(world, 4)));
            }
        }
        Weather::Storm => {
            for answer in [Answer::Refuse, Answer::Silent] {
                if fate.chance(200) {
                    let happening = |answer| -> Happening {
                        Box::new(move |world| {
                            world.serve(SERVER, answer);
                            None
                        })
                    };
                    at(0, 40, happening(answer));
                    at(41, 3000, happening(Answer::Accept));
                }
            }
        }
        Weather::Dusk => at(52, 150, told(|proxy, world| proxy.drain(world))),
    }
    house.to_come.sort_by_key(|next| std::cmp::Reverse(next.0));
}

/// One run of pg_dog; returns how many rows were checked.
fn pooled(seed: u64, weather: Weather, lie: Option<Lie>) -> u64 {
    let mut dice = Dice::new(seed);
    let limits = Limits { trace: if std::env::var("PG_DOG_SEED").is_ok() { 60 } else { 0 }, ..Limits::seeded(&mut dice) };
    let mut faults = Faults::seeded(&mut dice);
    if weather != Weather::Storm {
        (faults.no_socket, faults.refused_connect) = (0, 0);
    }
    let setup = setup(&mut dice, weather);
    let world = World::new(seed, setup.cores, faults, limits);
    let mischief = mischief(&mut dice, weather);
    let servers = vec![FakeServer::new(&world, dice.fork(), SERVER, mischief, lie)];
    let (proxy, cores) = Proxy::start(&world, &mut dice, &setup, SERVER);
    let habits = Habits {
        requests: dice.between(5, 40) as usize,
        session_mode: setup.mode == PoolerMode::Session,
        anonymous: dice.chance(300),
        vanishes: if dice.chance(500) { 20 } else { 0 },
        cancels: if dice.chance(500) { 50 } else { 0 },
        thinks_ns: dice.below(5_000_000),
        forgives: weather != Weather::Calm,
    };
    let census = Rc::new(RefCell::new(Census::default()));
    let clients = dice.between(2, 24) as usize;
    let mut house = House { world: world.clone(), dice, cores, servers, clients: Vec::new(), to_come: Vec::new(), census, stalled: false };
    invite(&mut house, clients, &setup.users, &habits);
    plan(&mut house, &proxy, weather);
    house.run();
    proxy.check_quiet();
    let open = proxy.open();
    assert_eq!((house.servers[0].open(), world.open_sockets()), (open, open), "connections at the server, sockets, and permits");
    let mut drained = proxy.drained.borrow().clone();
    drained.sort_unstable();
    assert_eq!(
        drained,
        (0..if weather == Weather::Dusk { setup.cores } else { 0 }).collect::<Vec<_>>(),
        "cores that have said that they are drained"
    );
    house.census.take().rows
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
