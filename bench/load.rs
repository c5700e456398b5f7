//! The load generator of `bench/compare`: few threads with many connections, closed or open loop, idle crowds, reconnects, login storms.
//! It is driven by lines on its standard input and answers with lines of JSON, so that whoever measures reads CPU clocks at the same moments:
//!
//! ```text
//! (all connections are logged in)    {"event":"ready","clients":10000,"seconds":2.1,"failed":0,"login":{...}}
//! begin                              {"event":"begun"}
//! end                                {"event":"window","seconds":2.0,"transactions":81234,"failed":0,"latency":{...},"login":{...},...}
//! (end of input)                     says goodbye to nobody and ends
//! ```
//!
//! Times are microseconds. `cargo bench --bench load -- --help` lists the options. A SCRAM login costs it what libpq would pay only once per salt.
#![allow(clippy::disallowed_methods, reason = "a load generator lives by the clock and by its threads")]

#[path = "load/client.rs"]
mod client;
#[path = "load/worker.rs"]
mod worker;

use std::io::{BufRead, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;

use client::{Script, Shared};
use worker::{Found, Plan, Ready, Word, Worker, bell, histogram, ring};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// `--clients` ask again as soon as they are answered
    Closed,
    /// queries at `--rate`, whatever the answers; latency from the planned start
    Open,
    /// nobody asks
    Idle,
    /// `--clients` connect, log in, ask once, leave, and again
    Reconnect,
    /// `--clients` log in as fast as `--connecting` allows, and stay
    Storm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Simple,
    Extended,
}

/// Load on a PostgreSQL or pooler that listens on 127.0.0.1.
#[derive(Parser, Debug)]
struct Args {
    #[arg(long)]
    port: u16,
    #[arg(long, default_value = "bench")]
    user: String,
    #[arg(long, default_value = "bench")]
    password: String,
    #[arg(long, default_value = "bench")]
    database: String,
    #[arg(long, value_enum, default_value = "closed")]
    mode: Mode,
    #[arg(long, value_enum, default_value = "simple")]
    protocol: Protocol,
    /// connections that work
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// connections that are there besides
    #[arg(long, default_value_t = 0)]
    idle: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// logins under way at the same time; more than what a listener queues (somaxconn) would measure TCP's retries
    #[arg(long, default_value_t = 64)]
    connecting: usize,
    /// queries per second of the open loop
    #[arg(long)]
    rate: Option<f64>,
    /// rows of pgbench_accounts to choose from; 0 asks SELECT 1
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// what cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// The main thread's end of one worker.
struct Line {
    words: Option<SyncSender<Word>>,
    bell: Arc<OwnedFd>,
    ready: Receiver<Ready>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Line {
    fn say(&self, word: Word) -> Result<(), String> {
        let words = self.words.as_ref().ok_or("a thread of load was told to end")?;
        words.send(word).map_err(|_| "a thread of load has ended".to_string())?;
        ring(&self.bell);
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    if args.threads == 0 || args.connecting == 0 || (args.mode == Mode::Open) != args.rate.is_some_and(|rate| rate > 0.0) {
        return Err("--threads and --connecting are at least 1, and --rate belongs to --mode open".to_string());
    }
    let started = Instant::now();
    let mut lines = (0..args.threads).map(|thread| start_worker(args, thread)).collect::<Result<Vec<_>, _>>()?;
    let heard: Result<Vec<Ready>, _> = lines.iter().map(|line| line.ready.recv().map_err(|_| "a thread of load ended early".to_string())).collect();
    if let Err(error) = heard {
        return Err(lines.drain(..).map(hang_up).find_map(Result::err).unwrap_or(error));
    }
    tell(&ready_line(args, &heard?, started.elapsed().as_secs_f64()));
    let mut begun = Instant::now();
    for line in std::io::stdin().lock().lines() {
        match line.map_err(|error| error.to_string())?.trim() {
            "begin" => {
                lines.iter().try_for_each(|line| line.say(Word::Begin))?;
                begun = Instant::now();
                tell(r#"{"event":"begun"}"#);
            }
            "end" => {
                let seconds = begun.elapsed().as_secs_f64();
                let found = lines.iter().map(end_window).collect::<Result<Vec<_>, _>>()?;
                tell(&window_line(&found, seconds));
            }
            other => return Err(format!("`{other}` is neither begin nor end")),
        }
    }
    lines.drain(..).try_for_each(hang_up)
}

fn start_worker(args: &Args, thread: usize) -> Result<Line, String> {
    // What does not divide evenly goes to the first threads.
    let part = |all: usize| all / args.threads + usize::from(thread < all % args.threads);
    let works = matches!(args.mode, Mode::Closed | Mode::Open | Mode::Reconnect);
    let plan = Plan {
        port: args.port,
        idle: part(args.idle) + if works { 0 } else { part(args.clients) },
        active: if works { part(args.clients) } else { 0 },
        connecting: part(args.connecting).max(1),
        rate: args.rate.map(|rate| rate / args.threads as f64),
        reconnect: args.mode == Mode::Reconnect,
    };
    let (user, password, database) = (args.user.clone(), args.password.clone(), args.database.clone());
    let script = Script { user, password, database, extended: args.protocol == Protocol::Extended, rows: args.rows };
    let shared = Shared::new(script, args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(thread as u64 * 2));
    let bell = Arc::new(bell().map_err(|error| error.to_string())?);
    let own = bell.clone();
    let (words, heard) = sync_channel(4);
    let (told, ready) = sync_channel(1);
    let body = move || Worker::new(plan, shared, &own)?.run(&own, &heard, &told);
    let thread = std::thread::Builder::new().name(format!("load-{thread}")).spawn(body).map_err(|error| error.to_string())?;
    Ok(Line { words: Some(words), bell, ready, thread })
}

/// Ends a thread; the error that ended it earlier, if one did.
fn hang_up(mut line: Line) -> Result<(), String> {
    line.words = None;
    ring(&line.bell);
    match line.thread.join() {
        Ok(end) => end.map_err(|error| error.to_string()),
        Err(_) => Err("a thread of load panicked".to_string()),
    }
}

fn end_window(line: &Line) -> Result<Found, String> {
    let (answer, found) = sync_channel(1);
    line.say(Word::End(answer))?;
    found.recv().map_err(|_| "a thread of load has ended".to_string())
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever started us may have gone; then our input has ended as well.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn merged(all: impl Iterator<Item = Histogram<u64>>) -> Histogram<u64> {
    all.fold(histogram(), |mut sum, one| {
        sum += one;
        sum
    })
}

/// A histogram of nanoseconds, in microseconds.
fn spread(found: &Histogram<u64>) -> String {
    let at = |quantile| found.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        r#"{{"count":{},"mean":{:.1},"p50":{:.1},"p90":{:.1},"p99":{:.1},"p999":{:.1},"max":{:.1}}}"#,
        found.len(),
        found.mean() / 1000.0,
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        found.max() as f64 / 1000.0
    )
}

/// A text as JSON: what a server says may hold anything.
fn quoted(text: Option<&String>) -> String {
    let Some(text) = text else { return "null".to_string() };
    let safe: String = text.chars().map(|x| if x == '"' || x == '\\' || x.is_control() { '\'' } else { x }).collect();
    format!("\"{safe}\"")
}

fn ready_line(args: &Args, heard: &[Ready], seconds: f64) -> String {
    let login = merged(heard.iter().map(|one| one.login.clone()));
    let failed: u64 = heard.iter().map(|one| one.failed).sum();
    let error = quoted(heard.iter().find_map(|one| one.error.as_ref()));
    let clients = args.idle + args.clients;
    format!(r#"{{"event":"ready","clients":{clients},"seconds":{seconds:.6},"failed":{failed},"error":{error},"login":{}}}"#, spread(&login))
}

fn window_line(found: &[Found], seconds: f64) -> String {
    let latency = merged(found.iter().map(|one| one.latency.clone()));
    let login = merged(found.iter().map(|one| one.login.clone()));
    let sum = |of: fn(&Found) -> u64| found.iter().map(of).sum::<u64>();
    let (failed, planned, waiting, derived) = (sum(|one| one.failed), sum(|one| one.planned), sum(|one| one.waiting), sum(|one| one.derived));
    let error = quoted(found.iter().find_map(|one| one.error.as_ref()));
    let tps = latency.len() as f64 / seconds;
    let counts = format!(r#""transactions":{},"tps":{tps:.1},"failed":{failed},"error":{error}"#, latency.len());
    let open = format!(r#""planned":{planned},"waiting":{waiting},"derived":{derived}"#);
    let spreads = format!(r#""latency":{},"login":{}"#, spread(&latency), spread(&login));
    format!(r#"{{"event":"window","seconds":{seconds:.6},{counts},{open},{spreads}}}"#)
}
