//! More clients than servers, step by step, with a pool that is empty at first and one that is full: what is served must not fall off when clients
//! wait, and the pool never grows beyond its size.

use super::gauge::usage;
use super::house::House;
use super::support::place::Folder;
use super::support::raw::Raw;
use super::support::{SOON, Version, pgbench, wait_until};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Servers of the pool.
const SERVERS: usize = 8;

/// Rounds of each step; the median counts.
const ROUNDS: usize = 3;

/// How often a step that seems too slow is measured again. Only the machine's noise is a reason, and each time is printed.
const RETRIES: usize = 3;

/// What is served, relative to what as many clients as servers get.
const LEAST: f64 = 0.9;

/// What pg_dog may work for one transaction, relative to the same.
const MOST_WORK: f64 = 1.5;

/// What was served in a second, and what pg_dog worked for all of it.
#[derive(Clone, Copy)]
struct Served {
    rate: f64,
    work: f64,
}

/// A script of pgbench, and about how many transactions of it a second sees.
#[derive(Clone, Copy)]
struct Script<'a> {
    arguments: &'a [&'a str],
    transactions: usize,
}

/// A second or so of that many clients with that script. Counted by transactions and not by time: pgbench's time runs while it still connects.
fn served(house: &House, script: Script<'_>, clients: usize) -> Served {
    let (count, each, before) = (clients.to_string(), (script.transactions / clients).to_string(), usage(house).cpu);
    let arguments = [script.arguments, &["-n", "-t", &each, "-j", "2", "-c", &count]].concat();
    let output = pgbench(&house.login("app"), &arguments, Duration::from_secs(60)).expect_success();
    let line = output.lines().find_map(|line| line.strip_prefix("tps = ")).expect("pgbench says it");
    let rate = line.split(' ').next().expect("a number").parse::<f64>().expect("a number");
    Served { rate, work: (usage(house).cpu - before).as_secs_f64() }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One step: its rate, and its rate and work relative to those of as many clients as servers. Measured in turns, so that the machine's noise hits
/// both.
fn step(house: &House, script: Script<'_>, clients: usize, rounds: usize) -> (f64, f64, f64) {
    let rounds: Vec<(Served, Served)> = (0..rounds).map(|_| (served(house, script, SERVERS), served(house, script, clients))).collect();
    let rate = median(rounds.iter().map(|(_, step)| step.rate));
    (rate, median(rounds.iter().map(|(base, step)| step.rate / base.rate)), median(rounds.iter().map(|(base, step)| step.work / base.work)))
}

#[test]
fn throughput_does_not_fall_off_when_clients_wait() {
    let house = House::new(Version::Debian, SERVERS, "checkout_timeout = 20000\nlog_connections = false\nlog_disconnections = false");
    let direct = house.postgres.login("app");
    pgbench(&direct, &["-i", "-q"], Duration::from_secs(60)).expect_success();
    let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let mut watcher = Raw::login(&house.postgres.login("postgres"));
        let (most, over) = (&most, &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let rows = watcher.rows("SELECT count(*), pg_sleep(0.002) FROM pg_stat_activity WHERE usename = 'app'");
                most.fetch_max(rows[0][0].parse().expect("a count"), Ordering::Relaxed);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| steps(&house)));
        over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    println!("servers at most: {}", most.load(Ordering::Relaxed));
    assert_eq!(most.load(Ordering::Relaxed), SERVERS as u64, "the pool was not used whole, or was more than whole");
    house.watch().wait_until_settled();
}

fn steps(house: &House) {
    let folder = Folder::new("script", false);
    let path = folder.0.join("waits.sql");
    std::fs::write(&path, "SELECT pg_sleep(0.02);\n").expect("our own folder");
    // Most of the time of the first is waiting, so that the processors are not what limits it, whoever else uses them: its rate must not fall. The
    // second is nothing but work: its rate says more about the machine than about pg_dog, whose part of the work must not rise.
    let waits = Script { arguments: &["-f", path.to_str().expect("a path in UTF-8")], transactions: 480 };
    let works = Script { arguments: &["-S"], transactions: 16_000 };
    for times in [0.5, 2.0, 5.0, 10.0, 20.0] {
        let clients = (times * SERVERS as f64) as usize;
        let least = LEAST * f64::min(times, 1.0);
        for attempt in 1.. {
            // Cold: nothing is open when they come.
            let mut watch = house.watch();
            watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
            wait_until("all servers have gone", SOON, || watch.pools("sv_total") == 0);
            let cold = served(house, waits, clients).rate;
            let (rate, share, _) = step(house, waits, clients, ROUNDS);
            let cold_share = cold * share / rate;
            println!("{times} clients per server, waiting: {cold:.0} a second cold, {rate:.0} warm, {cold_share:.2} and {share:.2} of 1.0's");
            if share >= least && cold_share >= least {
                break;
            }
            assert!(attempt < RETRIES, "{times} clients per server get {cold_share:.2} and {share:.2} of what 1.0 get, {attempt} times");
        }
        for attempt in 1.. {
            let (rate, share, work) = step(house, works, clients, 1);
            println!("{times} clients per server, working: {rate:.0} a second, {share:.2} of 1.0's, each with {work:.2} of 1.0's work in pg_dog");
            if work <= MOST_WORK {
                break;
            }
            assert!(attempt < RETRIES, "{times} clients per server cost {work:.2} of the work of 1.0 for each transaction, {attempt} times");
        }
    }
}

/// How even these counts are: 1 when all are the same, 1/n when one has everything (Jain's index).
fn evenness(counts: &[f64]) -> f64 {
    let (sum, squares): (f64, f64) = counts.iter().fold((0.0, 0.0), |(sum, squares), count| (sum + count, squares + count * count));
    sum * sum / (squares * counts.len() as f64)
}

/// Three users at equal load, ten clients for each two servers, on two cores: nobody gets more turns than others.
#[test]
fn everybody_gets_as_many_turns() {
    const EACH: usize = 10;
    let names = ["app", "other", "md5user"];
    let house = House::with_users(Version::Newest, 2, "checkout_timeout = 20000", &names.map(|name| (name, "")));
    let logins = names.map(|name| house.login(name));
    logins.iter().for_each(|login| wait_until("the first login", SOON, || Raw::try_login(login, &[]).is_ok()));
    let clients: Vec<Raw> = (0..EACH * names.len()).map(|i| Raw::login(&logins[i / EACH])).collect();
    let begun = Instant::now();
    let work = |mut client: Raw| {
        move || {
            let mut count = 0.0;
            while begun.elapsed() < Duration::from_secs(3) {
                assert_eq!(client.rows("SELECT pg_sleep(0.005)"), [[""]]);
                count += 1.0;
            }
            count
        }
    };
    let workers: Vec<_> = clients.into_iter().map(|client| std::thread::spawn(work(client))).collect();
    let counts: Vec<f64> = workers.into_iter().map(|worker| worker.join().expect("everybody is served")).collect();
    let users: Vec<f64> = counts.chunks(EACH).map(|of_one| of_one.iter().sum()).collect();
    println!("turns by user: {users:?}, evenness {:.3}; by client {:.3}", evenness(&users), evenness(&counts));
    assert!(evenness(&users) > 0.95 && evenness(&counts) > 0.95, "turns are uneven: {counts:?}");
    house.watch().wait_until_settled();
}

/// A thousand clients that do nothing cost those that do something nothing.
#[test]
fn idle_clients_cost_nothing() {
    let house = House::new(Version::Debian, SERVERS, "auth_type = \"trust\"\nlog_connections = false\nlog_disconnections = false");
    pgbench(&house.postgres.login("app"), &["-i", "-q"], Duration::from_secs(60)).expect_success();
    let works = Script { arguments: &["-S"], transactions: 16_000 };
    let measured = || median((0..ROUNDS).map(|_| served(&house, works, 2 * SERVERS).work));
    measured();
    let alone = measured();
    let idle: Vec<Raw> = (0..1_000).map(|_| house.client()).collect();
    let beside = measured();
    println!("16000 transactions are {alone:.2} s of work in pg_dog alone, {beside:.2} s beside {} idle clients", idle.len());
    // The kernel counts time in hundredths of a second.
    assert!(beside < alone * MOST_WORK + 0.05, "{} idle clients make {alone} s of work {beside} s", idle.len());
}
