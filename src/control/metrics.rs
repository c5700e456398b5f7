//! The numbers of everything, read where the data cores write them: no core is asked or woken for them. Ends of the stats periods are taken here too,
//! by a task of the control core. The page made of the numbers is `admin::metrics`, the HTTP around it `endpoint`.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use glommio::timer::Timer;

use crate::admin::counts::{CoreTally, Counts, Period, Refusal, StatsRow};
use crate::admin::histogram::Durations;
use crate::admin::metrics::{Bars, CoreFigures, Form, PARTS, PoolFigures, QUANTILES, Scrape, TIMED, pool_labels, write};
use crate::io::{clock, socket};
use crate::mail::{Published, Shared, SharedPool};
use crate::session::shelf::SHELF_MAX;

use super::pubsub::Topics;
use super::recovery::Recovered;

use super::endpoint::{Answer, Answering, Request, bind, serve};

/// How often it is looked whether a period is over: a reload may have made it shorter.
const LOOK: Duration = Duration::from_millis(500);

/// What is kept of the last stats period.
#[derive(Default)]
struct Lately {
    /// when it ended, ns
    at: u64,
    /// by pool number; pools that nobody has used have none
    periods: HashMap<u32, Period>,
    /// all pools together, in the order of `TIMED`: at its end, and the quantiles of what was added in it
    durations: [Durations; TIMED.len()],
    quantiles: [Option<[u64; QUANTILES.len()]>; TIMED.len()],
    /// longest turns of the cores in it
    longest: Vec<u64>,
}

/// See the head of this file.
pub struct Metrics {
    shared: Arc<Shared>,
    started: u64,
    lately: ArcSwap<Lately>,
    ending: AtomicBool,
    /// lines that the query log could not write
    unwritten: Arc<AtomicU64>,
    /// channels that clients listen to
    pub topics: Topics,
    /// commits over shards that others left
    pub recovered: Arc<Recovered>,
}

/// The ports that others look at pg_dog by, bound.
#[derive(Default)]
pub struct Ports {
    metrics: Option<std::net::TcpListener>,
    health: Option<std::net::TcpListener>,
}

impl Ports {
    /// Binds what is configured.
    pub fn bind(watch: &crate::config::snapshot::Watch) -> Result<Ports, String> {
        let metrics = watch.openmetrics_port.map(|port| bind(&watch.openmetrics_host, port, "openmetrics_port")).transpose()?;
        let health = watch.healthcheck_port.map(|port| bind("0.0.0.0", port, "healthcheck_port")).transpose()?;
        Ok(Ports { metrics, health })
    }
}

impl Metrics {
    /// Nothing is read yet.
    pub fn new(shared: Arc<Shared>, unwritten: Arc<AtomicU64>) -> Metrics {
        let started = clock::monotonic_ns();
        let lately = ArcSwap::from_pointee(Lately { at: started, ..Lately::default() });
        Metrics { shared, started, lately, ending: AtomicBool::new(false), unwritten, topics: Topics::default(), recovered: Arc::default() }
    }

    /// From now on nobody new should come.
    pub fn not_ready(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// As PgDog sees it: down when there are pools and none of them could reach its server when it last tried.
    pub fn is_up(&self) -> bool {
        let published = self.shared.published.load();
        published.pools.is_empty() || published.pools.iter().any(|pool| is_healthy(pool))
    }

    /// The rows of SHOW STATS: of the pools that a core has had to do with.
    pub fn stats(&self) -> Vec<StatsRow> {
        let lately = self.lately.load();
        let row = |pool: &Arc<SharedPool>| {
            let counts = pool.state.tallies.counts()?;
            let spec = &pool.spec;
            Some(StatsRow {
                pool_id: u64::from(pool.id),
                database: spec.database.clone(),
                user: spec.user.clone(),
                addr: spec.host.clone(),
                port: spec.port,
                counts,
                period: lately.periods.get(&pool.id).copied().unwrap_or_default(),
                ..StatsRow::default()
            })
        };
        self.shared.published.load().pools.iter().filter_map(row).collect()
    }

    /// Ends a stats period.
    pub fn end_period(&self, now: u64) {
        let before = self.lately.load();
        let length_us = now.saturating_sub(before.at) / 1000;
        let published = self.shared.published.load_full();
        let mut lately = Lately { at: now, ..Lately::default() };
        for pool in &published.pools {
            let Some(counts) = pool.state.tallies.counts() else { continue };
            let mut period = before.periods.get(&pool.id).copied().unwrap_or_default();
            period.turn(counts, length_us);
            lately.periods.insert(pool.id, period);
            for times in pool.state.tallies.iter().filter_map(|tally| tally.timed()) {
                let all = [&times.wait, &times.query, &times.transaction, &times.added];
                all.iter().zip(&mut lately.durations).for_each(|(histogram, sum)| histogram.read(sum));
            }
        }
        for ((now, before), found) in lately.durations.iter().zip(&before.durations).zip(&mut lately.quantiles) {
            *found = now.since(before).quantiles(QUANTILES);
        }
        lately.longest = self.shared.tallies.iter().map(|core| core.longest_lately.take()).collect();
        self.lately.store(Arc::new(lately));
    }

    /// All numbers, now.
    pub fn scrape(&self) -> Scrape {
        let (now, lately) = (clock::monotonic_ns(), self.lately.load());
        let published = self.shared.published.load();
        let clients = |core: usize| self.shared.clients.get(core).map_or(0, |clients| clients.0.load(Ordering::Relaxed) as u64);
        let core = |(id, tally): (usize, &CoreTally)| CoreFigures {
            clients: clients(id),
            longest_lately_ns: tally.longest_lately.get().max(lately.longest.get(id).copied().unwrap_or(0)),
            ..core_figures(tally)
        };
        let pools = published.pools.iter().filter_map(|pool| {
            let counts = pool.state.tallies.counts()?;
            Some(pool_figures(pool, counts, lately.periods.get(&pool.id).copied().unwrap_or_default(), now))
        });
        Scrape {
            namespace: published.snapshot.general.watch.openmetrics_namespace.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.saturating_sub(self.started) / 1_000_000_000,
            clients: (0..self.shared.clients.len()).map(clients).sum(),
            max_clients: self.shared.clients_max as u64,
            snapshot: published.snapshot.number,
            pools: pools.collect(),
            cores: self.shared.tallies.iter().enumerate().map(core).collect(),
            lately: lately.quantiles,
            listeners: self.topics.rows(),
            prepared: self.prepared(&published),
            recovered: self.recovered.counts(),
            query_log_failed: self.unwritten.load(Ordering::Relaxed),
        }
    }

    /// Prepared statements that clients share, their bytes, and how many a server holds at most.
    fn prepared(&self, published: &Published) -> [u64; 3] {
        let (count, bytes) = self.shared.library.size();
        [count, bytes, published.snapshot.general.prepared_statements_limit.clamp(1, SHELF_MAX)].map(|number| number as u64)
    }

    /// Starts what serves the ports and ends the periods; they go on as long as the executor they are called on.
    pub fn start(self: &Arc<Metrics>, ports: Ports) {
        if let Some(listener) = ports.metrics {
            let metrics = self.clone();
            let answering: Answering = Rc::new(move |request| Box::pin(page(metrics.clone(), request)));
            spawn(listener, "metrics", answering);
        }
        if let Some(listener) = ports.health {
            let metrics = self.clone();
            let answering: Answering = Rc::new(move |request| Box::pin(std::future::ready(metrics.health(&request.path))));
            spawn(listener, "health", answering);
        }
        let metrics = self.clone();
        glommio::spawn_local(async move {
            loop {
                let period = metrics.shared.published.load().snapshot.general.watch.stats_period;
                let gone = Duration::from_nanos(clock::monotonic_ns().saturating_sub(metrics.lately.load().at));
                if gone >= period {
                    metrics.end_period(clock::monotonic_ns());
                } else {
                    Timer::new((period - gone).min(LOOK)).await;
                }
            }
        })
        .detach();
    }

    /// Health, readiness, liveness.
    fn health(&self, path: &str) -> Answer {
        match path {
            // A data core that fails ends the process, so that whoever answers is alive.
            "/live" => Answer::text(200, "alive"),
            "/ready" if self.ending.load(Ordering::Relaxed) => Answer::text(503, "shutting down"),
            "/ready" if !self.is_up() => Answer::text(503, "no pool can reach its server"),
            "/ready" => Answer::text(200, "ready"),
            _ if self.is_up() => Answer::text(200, "up"),
            _ => Answer::text(502, "down"),
        }
    }
}

fn spawn(listener: std::net::TcpListener, what: &str, answering: Answering) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "{what} can be asked for by anybody who reaches this port");
    }
    glommio::spawn_local(serve(socket::on_this_executor(listener), answering)).detach();
}

/// The page, written part by part, so that a large one holds up nothing else of the control core.
async fn page(metrics: Arc<Metrics>, request: Request) -> Answer {
    let scrape = metrics.scrape();
    let form = Form::accepted(&request.accept);
    let mut body = String::new();
    for part in 0..PARTS {
        write(&scrape, form, part, &mut body);
        glommio::yield_if_needed().await;
    }
    Answer { status: 200, kind: form.content_type(), body }
}

/// A pool is unhealthy while connects fail and it has no other connections. When nobody has tried for a while nobody knows, and somebody has to be
/// let in to find out.
fn is_healthy(pool: &SharedPool) -> bool {
    let ledger = &pool.state.ledger;
    let retry_at = ledger.retry_at();
    retry_at == 0 || ledger.lasting() > 0 || clock::monotonic_ns().saturating_sub(retry_at) > UNTRIED_NS
}

/// How long after the pause that follows a failed connect nobody has tried again, ns.
const UNTRIED_NS: u64 = 5_000_000_000;

fn pool_figures(pool: &SharedPool, counts: Counts, period: Period, now: u64) -> PoolFigures {
    let (spec, ledger, tallies) = (&pool.spec, &pool.state.ledger, &pool.state.tallies);
    let mut figures = PoolFigures {
        labels: pool_labels(&spec.user, &spec.database, &spec.host, spec.port, spec.shard),
        max_connections: u64::from(ledger.limit()),
        connections: u64::from(ledger.open()),
        healthy: is_healthy(pool),
        paused: ledger.paused(),
        counts,
        period,
        ..PoolFigures::default()
    };
    for core in 0..ledger.cores() {
        let statistics = ledger.statistics(core);
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        figures.cl_waiting += read(&statistics.waiting);
        figures.sv_idle += read(&statistics.idle);
        figures.sv_active += read(&statistics.busy);
        figures.waits += read(&statistics.waits);
        figures.expired += read(&statistics.expired);
        figures.lent += read(&statistics.lent);
        figures.failed += read(&statistics.failed);
        figures.closed += read(&statistics.closed);
        let since = read(&statistics.waiting_since);
        figures.maxwait_us = figures.maxwait_us.max(if since == 0 { 0 } else { now.saturating_sub(since) / 1000 });
    }
    let mut durations: [Durations; TIMED.len()] = Default::default();
    let mut timed = false;
    for tally in tallies.iter() {
        figures.re_synced += tally.re_synced.get();
        figures.out_of_sync += tally.out_of_sync.get();
        figures.force_closed += tally.force_closed.get();
        figures.sv_idle_xact += tally.idle_in_transaction.get();
        figures.pins += tally.pinned.get();
        figures.sv_pinned += tally.pinned.get().saturating_sub(tally.unpinned.get());
        let Some(times) = tally.timed() else { continue };
        timed = true;
        let all = [&times.wait, &times.query, &times.transaction, &times.added];
        all.iter().zip(&mut durations).for_each(|(histogram, sum)| histogram.read(sum));
    }
    figures.sv_active = figures.sv_active.saturating_sub(figures.sv_idle_xact);
    figures.times = timed.then(|| durations.each_ref().map(Bars::from));
    figures
}

fn core_figures(tally: &CoreTally) -> CoreFigures {
    let mut turns = Durations::default();
    tally.turns.read(&mut turns);
    CoreFigures {
        clients: 0,
        turns: Bars::from(&turns),
        longest_turn_ns: tally.longest_turn.get(),
        longest_lately_ns: 0,
        completions: tally.completions.get(),
        submissions: tally.submissions.get(),
        early_submissions: tally.early_submissions.get(),
        overflows: tally.overflows.get(),
        starved: tally.starved.get(),
        letters: tally.letters.get(),
        logins: tally.logins.get(),
        refused: Refusal::ALL.map(|why| tally.refused(why)),
        panics: tally.panics.get(),
        unlogged: tally.unlogged.get(),
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
