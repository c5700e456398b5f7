//! More clients than servers, step by step, with a pool that is empty at first and one that is full: what is served must not fall off when clients
//! wait, and the pool never grows beyond its size.

use super::gauge::usage;
use super::house::House;
use super::support::place::Folder;
use super::support::raw::Raw;
use super::support::{SOON, Version, pgbench, wait_until};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

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

/// One step: its rate, and its rate and work relative to those of as many clients as servers. Measured in turns, so that the machine's noise hits both.
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
