//! Damaged and random inputs against everything that reads bytes of strangers, on stable Rust and with oracles of their own: what is checked is not
//! that nothing panics, but that the answer is the one an independent reading of PostgreSQL's rules gives.
//!
//! Each target replays its corpus (`corpus/<target>/`, see `corpus/README.md`) and then runs rounds; a round is decided by its number alone.
//! `PG_DOG_SEEDS=n` runs n rounds per target instead of the usual number, `PG_DOG_SEED=n` that one round alone. An input that fails is made smaller
//! and printed as hexadecimal digits; written into a file of the corpus, it is replayed first from then on.

#![allow(clippy::disallowed_methods, reason = "the clock is read to tell how long a target took")]

#[path = "../support/own_words.rs"]
mod own_words;
#[path = "../support/raw.rs"]
#[allow(dead_code, reason = "the fuzz targets write messages with it and open no connection")]
mod raw;

mod bytes;
mod corpus;
mod dice;
mod fields;
mod frames;
mod greetings;
mod house;
mod logins;
mod model;
mod mutate;
mod pools;
mod scram;
mod scripts;
mod sessions;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use dice::Dice;

/// How a user logs in, for `raw`.
#[derive(Clone, Debug)]
pub struct Login {
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
}

/// Bytes of one input, at most.
const INPUT_MAX: usize = 24 * 1024;
/// How often an input of the corpus is replayed, cut in other places each time.
const REPLAYS: u64 = 8;
/// Runs that making a failing input smaller may take.
const SMALLER_MAX: usize = 4000;

/// Something that reads bytes. `run` panics when an oracle says no.
pub struct Target {
    pub name: &'static str,
    pub rounds: u64,
    /// whether the bytes are messages (or a list of choices, where no length fields are)
    pub messages: bool,
    pub run: fn(&[u8], &mut Dice),
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Whether an oracle says no; what it says is printed unless `quiet`.
fn fails(target: &Target, input: &[u8], seed: u64, quiet: bool) -> bool {
    QUIET.set(quiet);
    let failed = catch_unwind(AssertUnwindSafe(|| (target.run)(input, &mut Dice::new(seed)))).is_err();
    QUIET.set(false);
    failed
}

/// An input is being made smaller: nothing is to be printed.
fn is_quiet() -> bool {
    QUIET.get()
}

/// Panics of inputs that are being made smaller are not shown.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
}

/// A smaller input that fails as well: pieces are left out, halves first, as long as that works.
fn smaller(target: &Target, input: &[u8], seed: u64) -> Vec<u8> {
    let (mut best, mut runs) = (input.to_vec(), 0);
    let mut piece = best.len() / 2;
    while piece > 0 && runs < SMALLER_MAX {
        let (mut at, before) = (0, best.len());
        while at < best.len() && runs < SMALLER_MAX {
            let mut shorter = best[..at].to_vec();
            shorter.extend_from_slice(&best[(at + piece).min(best.len())..]);
            runs += 1;
            if fails(target, &shorter, seed, true) {
                best = shorter;
            } else {
                at += piece;
            }
        }
        if best.len() == before || piece > 1 {
            piece /= 2;
        }
    }
    best
}

fn report(target: &Target, input: &[u8], seed: u64, what: &str) -> ! {
    let small = smaller(target, input, seed);
    // Once more, for what it says.
    fails(target, &small, seed, false);
    let hex: String = small.iter().map(|byte| format!("{byte:02x}")).collect();
    panic!("target {}: {what} fails (of {} bytes, cut by seed {seed}); made smaller, {} bytes: {hex}", target.name, input.len(), small.len());
}

/// The input of a round: one of the corpus, damaged.
fn input(target: &Target, corpus: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].1.clone();
    let other = &corpus[dice.below(corpus.len())].1;
    // One in sixteen stays whole, and is only cut elsewhere.
    let times = if dice.below(16) == 0 { 0 } else { 1 + dice.below(4) };
    for _ in 0..times {
        mutate::mutate(&mut bytes, other, target.messages, dice);
    }
    bytes.truncate(INPUT_MAX);
    bytes
}

/// Replays the corpus and runs the rounds.
fn fuzz(target: &Target) {
    hush();
    let corpus = corpus::read(target.name);
    assert!(!corpus.is_empty(), "no corpus for {}", target.name);
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (one, began) = (number("PG_DOG_SEED"), Instant::now());
    if one.is_none() {
        for (name, bytes) in &corpus {
            if let Some(seed) = (0..REPLAYS).find(|&seed| fails(target, bytes, seed, true)) {
                report(target, bytes, seed, &format!("corpus file {name}"));
            }
        }
    }
    let rounds = number("PG_DOG_SEEDS").unwrap_or(target.rounds);
    for round in one.map_or(0..rounds, |one| one..one + 1) {
        let bytes = input(target, &corpus, &mut Dice::new(round));
        if fails(target, &bytes, round, true) {
            report(target, &bytes, round, &format!("round {round} (repeat it with PG_DOG_SEED={round})"));
        }
    }
    println!("{}: {} files and {rounds} rounds in {:.1?}", target.name, corpus.len(), began.elapsed());
}

#[test]
fn frames_and_startup_packets() {
    fuzz(&frames::TARGET);
}

#[test]
fn bodies_of_a_servers_messages() {
    fuzz(&fields::TARGET);
}

#[test]
fn scram_by_itself() {
    fuzz(&scram::TARGET);
}

#[test]
fn logins_of_clients() {
    fuzz(&logins::TARGET);
}

#[test]
fn our_logins_at_servers() {
    fuzz(&greetings::TARGET);
}

#[test]
fn two_clients_on_one_server() {
    fuzz(&sessions::TARGET);
}

#[test]
fn pools_over_cores() {
    fuzz(&pools::TARGET);
}

#[test]
fn the_corpus_is_what_its_scripts_make() {
    corpus::compare();
}

/// What makes the fuzzing worth anything: it finds a fault that is put there, and makes the input small.
#[test]
fn a_fault_is_found_and_made_small() {
    hush();
    let run = |bytes: &[u8], _: &mut Dice| assert!(!bytes.windows(2).any(|pair| pair == [0x7f, 0xff]), "a length was taken for good");
    let target = Target { name: "frames", rounds: 0, messages: true, run };
    let corpus = corpus::read("frames");
    let found = (0..5000).find(|&round| fails(&target, &input(&target, &corpus, &mut Dice::new(round)), round, true));
    let Some(round) = found else { panic!("not found in 5000 rounds") };
    let small = smaller(&target, &input(&target, &corpus, &mut Dice::new(round)), round);
    assert_eq!(small, [0x7f, 0xff], "found in round {round}");
}
