//! The control core's one loop: what it hears, and what it does about it.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use glommio::timer::TimerActionOnce;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::console::Ending;
use crate::admin::report::{MemoryRow, Report};
use crate::io::clock;
use crate::io::ring::Waker;
use crate::mail::{Mail, Poster, Shared, Word};

use crate::io::random::random;

use super::console::Asked;
use super::cores::Cores;
use super::inbox::{Heard, Inbox};
use super::logs::Logs;
use super::metrics::{Metrics, Ports};
use super::operate::Ordered;
use super::publish::{Files, Publisher, resolve};
use super::pubsub::Hubs;
use super::reload::{By, Reloads};
use super::shards::Shards;
use super::standing::Standing;
use super::watch::watch;

/// A server's name is looked up again at most this often.
const RESOLVE_NS: u64 = 1_000_000_000;

/// The control core.
pub struct Control {
    pub(super) files: Files,
    pub(super) publisher: Arc<Publisher>,
    pub(super) shared: Arc<Shared>,
    outside: Arc<dyn Poster>,
    pub(super) inbox: Arc<Inbox>,
    /// SHOWs whose rows are being gathered
    pub(super) asked: HashMap<u64, Asked>,
    pub(super) next_request: u64,
    /// commands that data cores carry out
    pub(super) ordered: HashMap<u64, Ordered>,
    pub(super) standing: Standing,
    pub(super) reloads: Reloads,
    pub(super) instance_id: String,
    resolved_at: HashMap<u32, u64>,
    pub(super) ending: Option<Ending>,
    drained: Vec<bool>,
    /// memory that is the same all the time: the rings' receive buffers
    pub(super) fixed: Vec<MemoryRow>,
    pub(super) metrics: Arc<Metrics>,
    ports: Ports,
    pub(super) logs: Option<Arc<Logs>>,
}

/// What SHOW INSTANCE_ID shows: `NODE_ID` of the environment, as PgDog has it, or eight digits of chance.
fn instance_id() -> String {
    std::env::var("NODE_ID").ok().filter(|id| !id.is_empty()).unwrap_or_else(|| {
        let mut bytes = [0; 4];
        random(&mut bytes);
        format!("{:08x}", u32::from_ne_bytes(bytes))
    })
}

/// Watches signals on a thread of its own.
#[allow(clippy::disallowed_methods, reason = "a second signal means now: whoever sends it has waited for the drain long enough")]
pub fn watch_signals(inbox: Arc<Inbox>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut ends = 0;
        for signal in signals.forever() {
            if signal == SIGHUP {
                inbox.post(Heard::Reload);
                continue;
            }
            ends += 1;
            if ends > 1 {
                tracing::warn!("a second signal: exiting at once");
                std::process::exit(1);
            }
            inbox.post(Heard::End);
        }
    })?;
    Ok(())
}

impl Control {
    /// Not running yet.
    pub fn new(files: Files, publisher: Publisher, shared: Arc<Shared>, outside: Arc<dyn Poster>, inbox: Arc<Inbox>) -> Control {
        let cores = outside.cores();
        let metrics = Arc::new(Metrics::new(shared.clone(), Arc::default()));
        Control {
            files,
            publisher: Arc::new(publisher),
            shared,
            outside,
            inbox,
            asked: HashMap::new(),
            next_request: 0,
            ordered: HashMap::new(),
            standing: Standing::default(),
            reloads: Reloads::default(),
            instance_id: instance_id(),
            resolved_at: HashMap::new(),
            ending: None,
            drained: vec![false; cores],
            fixed: Vec::new(),
            metrics,
            ports: Ports::default(),
            logs: None,
        }
    }

    /// Adds rows to SHOW MEM that no core has to be asked for.
    pub fn with_fixed_memory(mut self, rows: Vec<MemoryRow>) -> Control {
        self.fixed = rows;
        self
    }

    /// Serves these ports, counts lines that the query log could not write, and lets the log follow reloads.
    pub fn with_watchers(mut self, ports: Ports, unwritten: Arc<AtomicU64>, logs: Option<Logs>) -> Control {
        self.ports = ports;
        self.logs = logs.map(Arc::new);
        self.metrics = Arc::new(Metrics::new(self.shared.clone(), unwritten));
        self
    }

    /// Runs until all data cores have drained, `shutdown_timeout` is over, or one of them fails.
    pub async fn run(mut self, waker: Waker) -> Result<(), String> {
        let mut cores = Cores::new(self.outside.clone(), waker);
        let hubs = Hubs::new(self.shared.clone(), self.metrics.clone(), cores.clone());
        self.metrics.start(std::mem::take(&mut self.ports));
        if let Some(logs) = self.logs.clone() {
            logs.start();
        }
        self.remember_texts();
        let mut shards = Shards::default();
        shards.apply(&self.shared, &cores, &self.metrics.recovered);
        glommio::spawn_local(watch(self.files.clone(), self.inbox.clone(), self.shared.clone())).detach();
        loop {
            let inbox = self.inbox.clone();
            match inbox.next().await {
                Heard::End => self.end(Ending::Drain, &mut cores),
                Heard::Drain => self.drain(&mut cores),
                Heard::Reload => self.want_reload(By::Signal, None),
                Heard::Changed => self.want_reload(By::Watch, None),
                Heard::Loaded(outcome) => {
                    self.loaded(*outcome, &mut cores);
                    hubs.published(clock::wall_ms());
                    shards.apply(&self.shared, &cores, &self.metrics.recovered);
                }
                Heard::Relisten(scope) => {
                    hubs.replace(&scope);
                    shards.again(&scope);
                }
                Heard::Word(Word::Altered { pool }) => shards.altered(pool, &self.shared),
                Heard::Word(Word::Listen(listen)) => hubs.listen(*listen),
                Heard::Word(Word::Unlisten { core, topics }) => hubs.unlisten(core, &topics),
                Heard::Again(request) => self.ask_cores(request, &mut cores),
                Heard::Word(Word::Command { asker, text }) => self.command(asker, &text, &mut cores),
                Heard::Word(Word::Report { request, report }) => self.reported(request, *report, &mut cores),
                Heard::Word(Word::Obeyed { request, count, orphaned }) => self.obeyed(request, count, orphaned, &mut cores),
                Heard::Word(Word::Interrupted { asker }) => self.interrupted(asker, &mut cores),
                Heard::Word(Word::Unreachable { pool }) => self.resolve_again(pool),
                Heard::Word(Word::Outdated(published)) => drop(published),
                Heard::Word(Word::InDoubt { database, gid }) => shards.in_doubt(&database, gid),
                Heard::Word(Word::Drained { core }) => self.drained[core] = true,
                Heard::Word(Word::Failed { core, why }) => return Err(format!("data core {core} ended: {why}")),
            }
            if self.ending.is_some() && self.drained.iter().all(|&drained| drained) {
                tracing::info!("all clients have gone");
                return Ok(());
            }
        }
    }

    /// Begins to end: readiness says no at once, clients are refused after `shutdown_delay`. Who has said `Ending::Servers` may still say
    /// `Ending::Drain`.
    pub(super) fn end(&mut self, how: Ending, cores: &mut Cores) {
        if self.ending == Some(Ending::Drain) || self.ending == Some(how) {
            return;
        }
        let first = self.ending.replace(how).is_none();
        self.metrics.not_ready();
        let delay = self.shared.published.load().snapshot.general.watch.shutdown_delay;
        if delay.is_zero() || !first {
            return self.drain(cores);
        }
        tracing::info!(?delay, "shutting down: not ready any more, new clients are refused after shutdown_delay");
        let inbox = self.inbox.clone();
        // It runs on this executor until the process ends.
        std::mem::forget(TimerActionOnce::do_in(delay, async move { inbox.post(Heard::Drain) }));
    }

    /// Lets clients finish: for `shutdown_timeout` at most, or, with `Ending::Servers`, for as long as it takes.
    fn drain(&mut self, cores: &mut Cores) {
        cores.post_all(|| Mail::Drain);
        if self.ending != Some(Ending::Drain) {
            tracing::info!("shutting down: no new clients, transactions may finish");
            return;
        }
        let timeout = self.shared.published.load().snapshot.general.shutdown_timeout;
        tracing::info!(?timeout, "shutting down: no new clients, transactions may finish");
        let inbox = self.inbox.clone();
        let count = cores.count();
        // A timeout beyond centuries is none.
        if timeout < Duration::from_secs(1 << 32) {
            let timer = TimerActionOnce::do_in(timeout, async move {
                tracing::warn!("shutdown_timeout is over; clients that are still busy are cut off");
                (0..count).for_each(|core| inbox.post(Heard::Word(Word::Drained { core })));
            });
            // It runs on this executor until the process ends.
            std::mem::forget(timer);
        }
    }

    /// A server could not be reached: its name may have moved.
    fn resolve_again(&mut self, pool: u32) {
        let now = clock::monotonic_ns();
        let last = self.resolved_at.entry(pool).or_insert(0);
        if now.saturating_sub(*last) < RESOLVE_NS && *last > 0 {
            return;
        }
        *last = now;
        let published = self.shared.published.load_full();
        let Some(pool) = published.by_id.get(&pool).cloned() else { return };
        if pool.spec.host.starts_with('/') || pool.spec.host.parse::<std::net::IpAddr>().is_ok() {
            return;
        }
        glommio::spawn_local(async move {
            let name = (pool.spec.host.clone(), pool.spec.port);
            let address = glommio::executor().spawn_blocking(move || resolve(&name.0, name.1)).await;
            if let Some(address) = address {
                pool.state.address.store(Some(Arc::new(address)));
            }
        })
        .detach();
    }

    /// One core's rows for a SHOW.
    fn reported(&mut self, request: u64, report: Report, cores: &mut Cores) {
        let Some(asked) = self.asked.get_mut(&request) else { return };
        asked.report.absorb(report);
        asked.missing -= 1;
        if asked.missing == 0
            && let Some(asked) = self.asked.remove(&request)
        {
            self.show(asked, cores);
        }
    }
}
