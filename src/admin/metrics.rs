//! The numbers of pools and cores as text for Prometheus: its own format 0.0.4, and OpenMetrics 1.0 for who asks for that.
//! Invariant: PgDog's metrics have PgDog's names, labels and units (milliseconds, three decimals) in both formats. OpenMetrics wants a counter to be
//! named `..._total`; those of PgDog's counters that are not stand there without a type (`unknown`), because a dashboard finds them by name. Ours are
//! named as OpenMetrics has it, in seconds. Gathering the numbers is left to `control`.

use std::fmt::Write;

use super::counts::{Average, COUNTERS, Counter, Counts, Period, Refusal};
use super::histogram::Durations;
use super::report::ListenerRow;

/// Bounds of the printed buckets, as powers of two of nanoseconds: 16 us to 34 s, which `Durations` knows exactly.
const BOUNDS: std::ops::RangeInclusive<u32> = 14..=35;
/// How many.
const BARS: usize = (*BOUNDS.end() - *BOUNDS.start() + 1) as usize;

/// One histogram as it is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bars {
    below: [u64; BARS],
    count: u64,
    sum_ns: u64,
}

impl From<&Durations> for Bars {
    fn from(durations: &Durations) -> Bars {
        let mut below = [0; BARS];
        below.iter_mut().zip(BOUNDS).for_each(|(below, power)| *below = durations.below(1 << power));
        Bars { below, count: durations.count(), sum_ns: durations.sum_ns }
    }
}

/// What is timed at each pool: the name of its metric, and what it says.
pub const TIMED: [(&str, &str); 4] = [
    ("wait_seconds", "Waits of clients for a server; 0 when one was there."),
    ("query_seconds", "Requests on servers, to the last reply."),
    ("transaction_seconds", "Transactions on servers."),
    ("added_seconds", "What pg_dog added to transactions: the wait, and its own turns from hearing of bytes to giving them to the kernel."),
];

/// Parts of all that the quantiles are told of.
pub const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// One pool.
#[derive(Clone, Debug, Default)]
pub struct PoolFigures {
    /// as they are printed, without braces
    pub labels: String,
    pub max_connections: u64,
    pub connections: u64,
    pub cl_waiting: u64,
    pub sv_active: u64,
    pub sv_idle: u64,
    pub sv_idle_xact: u64,
    /// servers that their clients keep between transactions, and how often one has begun to
    pub sv_pinned: u64,
    pub pins: u64,
    pub maxwait_us: u64,
    pub healthy: bool,
    pub paused: bool,
    pub counts: Counts,
    pub period: Period,
    pub re_synced: u64,
    pub out_of_sync: u64,
    pub force_closed: u64,
    /// clients that had to wait, and that waited in vain
    pub waits: u64,
    pub expired: u64,
    /// servers that went to another core, connects that failed, connections that ended
    pub lent: u64,
    pub failed: u64,
    pub closed: u64,
    /// in the order of `TIMED`; None: nothing was timed yet
    pub times: Option<[Bars; TIMED.len()]>,
}

/// One data core.
#[derive(Clone, Debug, Default)]
pub struct CoreFigures {
    pub clients: u64,
    pub turns: Bars,
    pub longest_turn_ns: u64,
    pub longest_lately_ns: u64,
    pub completions: u64,
    pub submissions: u64,
    pub early_submissions: u64,
    pub overflows: u64,
    pub starved: u64,
    pub letters: u64,
    pub logins: u64,
    /// in the order of `Refusal::ALL`
    pub refused: [u64; Refusal::ALL.len()],
    pub panics: u64,
    pub unlogged: u64,
}

/// All numbers of one look.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub namespace: String,
    pub version: &'static str,
    pub uptime_s: u64,
    pub clients: u64,
    pub max_clients: u64,
    /// the configuration in use, counted from 1
    pub snapshot: u64,
    pub pools: Vec<PoolFigures>,
    pub cores: Vec<CoreFigures>,
    /// of the last full stats period, all pools together, ns; in the orders of `TIMED` and `QUANTILES`
    pub lately: [Option<[u64; QUANTILES.len()]>; TIMED.len()],
    /// channels that clients listen to
    pub listeners: Vec<ListenerRow>,
    /// prepared statements that clients share, their bytes, and how many one server holds at most
    pub prepared: [u64; 3],
    /// parts of commits over shards that recovery has committed and rolled back, and those that wait
    pub recovered: [u64; 3],
    /// lines that the query log could not write
    pub query_log_failed: u64,
}

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus text 0.0.4
    Text,
    /// OpenMetrics 1.0
    Open,
}

impl Form {
    /// The one that an Accept header asks for, if any; quality values are not weighed: who names OpenMetrics can read it.
    pub fn accepted(accept: &str) -> Form {
        if accept.split(',').any(|kind| kind.trim().starts_with("application/openmetrics-text")) { Form::Open } else { Form::Text }
    }

    /// Its name in a Content-Type header.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The labels of a pool.
pub fn pool_labels(user: &str, database: &str, host: &str, port: u16, shard: u16) -> String {
    // Until roles are built there is one.
    let (port, shard) = (port.to_string(), shard.to_string());
    labels([("user", user), ("database", database), ("host", host), ("port", &port), ("shard", &shard), ("role", "primary")])
}

/// Names and values as they are printed. Values may hold anything that a name may.
fn labels<const N: usize>(pairs: [(&str, &str); N]) -> String {
    let mut labels = String::new();
    for (name, value) in pairs {
        if !labels.is_empty() {
            labels.push(',');
        }
        labels.push_str(name);
        labels.push_str("=\"");
        for char in value.chars() {
            match char {
                '\\' => labels.push_str("\\\\"),
                '"' => labels.push_str("\\\""),
                '\n' => labels.push_str("\\n"),
                char => labels.push(char),
            }
        }
        labels.push('"');
    }
    labels
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// A number as it is printed.
#[derive(Clone, Copy)]
enum Value {
    Int(u64),
    /// microseconds, as milliseconds
    Millis(u64),
    /// microseconds, as seconds with three decimals
    Seconds(u64),
    /// nanoseconds, as seconds
    Exact(u64),
}

/// One metric of every pool.
struct PoolMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&PoolFigures) -> Value,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&PoolFigures) -> Value) -> PoolMetric {
    PoolMetric { name, kind: Kind::Gauge, help, value }
}

const fn counter(name: &'static str, help: &'static str, value: fn(&PoolFigures) -> Value) -> PoolMetric {
    PoolMetric { name, kind: Kind::Counter, help, value }
}

const POOL_METRICS: &[PoolMetric] = &[
    gauge("max_connections", "Most server connections of the pool.", |pool| Value::Int(pool.max_connections)),
    gauge("cl_waiting", "Clients that wait for a server.", |pool| Value::Int(pool.cl_waiting)),
    gauge("sv_active", "Servers in use.", |pool| Value::Int(pool.sv_active)),
    gauge("sv_idle", "Servers that rest.", |pool| Value::Int(pool.sv_idle)),
    gauge("sv_idle_xact", "Servers in a transaction whose client says nothing.", |pool| Value::Int(pool.sv_idle_xact)),
    gauge("sv_locked", "Servers that their clients keep between transactions.", |pool| Value::Int(pool.sv_pinned)),
    gauge("maxwait", "How long the first client in the queue has waited.", |pool| Value::Seconds(pool.maxwait_us)),
    counter("errors", "Errors of servers, and of getting one.", |pool| Value::Int(pool.counts.errors)),
    counter("out_of_sync", "Server connections closed because they could not be brought back in step.", |pool| Value::Int(pool.out_of_sync)),
    // Ours.
    counter("pins", "Times a client began to keep its server between transactions.", |pool| Value::Int(pool.pins)),
    gauge("sv_total", "Server connections in any state.", |pool| Value::Int(pool.connections)),
    gauge("pool_healthy", "1 unless the last try to reach the server failed.", |pool| Value::Int(u64::from(pool.healthy))),
    gauge("pool_paused", "1 while PAUSE holds the pool.", |pool| Value::Int(u64::from(pool.paused))),
    counter("server_assignments_total", "Servers given to clients.", |pool| Value::Int(pool.counts.server_assignment_count)),
    counter("waits_total", "Clients that had to wait for a server.", |pool| Value::Int(pool.waits)),
    counter("waits_expired_total", "Waits that ended without a server.", |pool| Value::Int(pool.expired)),
    counter("re_synced_total", "Server connections brought back in step.", |pool| Value::Int(pool.re_synced)),
    counter("force_closed_total", "Server connections closed while a client held them.", |pool| Value::Int(pool.force_closed)),
    counter("connects_failed_total", "Connections that could not be opened.", |pool| Value::Int(pool.failed)),
    counter("connections_closed_total", "Server connections that ended.", |pool| Value::Int(pool.closed)),
    counter("servers_lent_total", "Servers handed from one core to another.", |pool| Value::Int(pool.lent)),
    counter("parses_total", "Statements prepared for clients.", |pool| Value::Int(pool.counts.server_parse_count)),
    counter("binds_total", "Statements bound.", |pool| Value::Int(pool.counts.bind_count)),
    counter("closes_total", "Statements and portals closed.", |pool| Value::Int(pool.counts.close_count)),
];

/// PgDog's names behind `total_` and `avg_`, and the counter of SHOW STATS that each is, as far as it is counted.
const COUNTED: [(&str, &str); 20] = [
    ("xact_count", "xact_count"),
    ("xact_2pc_count", "xact_2pc_count"),
    ("query_count", "query_count"),
    ("received", "received"),
    ("sent", "sent"),
    ("xact_time", "xact_time"),
    ("idle_xact_time", "idle_xact_time"),
    ("query_time", "query_time"),
    ("prepared_evictions", ""),
    ("server_errors", "errors"),
    ("cleaned", "cleaned"),
    ("rollbacks", "rollbacks"),
    ("connect_time", "connect_time"),
    ("connect_count", "connect_count"),
    ("reads", "reads"),
    ("writes", "writes"),
    ("auth_attempts", "auth_attempts"),
    ("rows_inserted", "rows_inserted"),
    ("rows_updated", "rows_updated"),
    ("rows_deleted", "rows_deleted"),
];

/// PgDog's metrics without labels that stand for what is not built here: (name, kind, what).
const UNBUILT: [(&str, Kind, &str); 21] = [
    ("clients_locked", Kind::Gauge, "Clients that keep their server between transactions"),
    ("query_cache_limit", Kind::Gauge, "Parsed statements kept at most"),
    ("query_cache_size", Kind::Gauge, "Parsed statements kept"),
    ("query_cache_hits", Kind::Counter, "Statements found parsed"),
    ("query_cache_misses", Kind::Counter, "Statements parsed"),
    ("query_cache_direct", Kind::Counter, "Statements for one shard"),
    ("query_cache_cross", Kind::Counter, "Statements for several shards"),
    ("query_cache_parse_time", Kind::Counter, "Time spent parsing"),
    ("query_cache_fingerprints", Kind::Counter, "Statements told apart by shape"),
    ("mirror_total_count", Kind::Counter, "Requests that could be mirrored"),
    ("mirror_mirrored_count", Kind::Counter, "Requests mirrored"),
    ("mirror_dropped_count", Kind::Counter, "Requests not mirrored"),
    ("mirror_error_count", Kind::Counter, "Mirrored requests that failed"),
    ("mirror_queue_length", Kind::Gauge, "Requests waiting to be mirrored"),
    ("sharding_lookup_cache_hits", Kind::Counter, "Keys found in the lookup cache"),
    ("sharding_lookup_cache_misses", Kind::Counter, "Keys not found there"),
    ("sharding_lookup_cache_evictions", Kind::Counter, "Keys that left it"),
    ("sharding_lookup_queries", Kind::Counter, "Keys asked for at a server"),
    ("sharding_lookup_query_time", Kind::Counter, "Time spent on that"),
    ("sharding_lookup_cache_bytes", Kind::Gauge, "Bytes of the lookup cache"),
    ("sharding_lookup_cache_entries", Kind::Gauge, "Keys in the lookup cache"),
];

/// Writes one format into one text.
struct Page<'a> {
    out: &'a mut String,
    form: Form,
    namespace: &'a str,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let word = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter if self.form == Form::Open && !name.ends_with("_total") => "unknown",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let counter = self.form == Form::Open && word == "counter";
        let family = if counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let namespace = self.namespace;
        let _ = writeln!(self.out, "# TYPE {namespace}{family} {word}");
        // OpenMetrics wants the unit at the end of the name, which is PgDog's.
        if name == "maxwait" && self.form == Form::Text {
            let _ = writeln!(self.out, "# UNIT {namespace}{family} seconds");
        }
        let _ = writeln!(self.out, "# HELP {namespace}{family} {help}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: Value) {
        self.out.push_str(self.namespace);
        self.out.push_str(name);
        if !labels.is_empty() {
            self.out.push('{');
            self.out.push_str(labels);
            self.out.push('}');
        }
        let _ = match value {
            Value::Int(number) => writeln!(self.out, " {number}"),
            Value::Millis(us) => writeln!(self.out, " {}.{:03}", us / 1000, us % 1000),
            Value::Seconds(us) => writeln!(self.out, " {}.{:03}", us / 1_000_000, us / 1000 % 1000),
            Value::Exact(ns) => writeln!(self.out, " {}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000),
        };
    }

    fn bars(&mut self, name: &str, labels: &str, bars: &Bars) {
        let between = if labels.is_empty() { "" } else { "," };
        let namespace = self.namespace;
        for (below, power) in bars.below.iter().zip(BOUNDS) {
            let bound = 1u64 << power;
            let (whole, part) = (bound / 1_000_000_000, bound % 1_000_000_000);
            let _ = writeln!(self.out, "{namespace}{name}_bucket{{{labels}{between}le=\"{whole}.{part:09}\"}} {below}");
        }
        let _ = writeln!(self.out, "{namespace}{name}_bucket{{{labels}{between}le=\"+Inf\"}} {}", bars.count);
        self.sample(&format!("{name}_sum"), labels, Value::Exact(bars.sum_ns));
        self.sample(&format!("{name}_count"), labels, Value::Int(bars.count));
    }

    /// One metric without labels.
    fn single(&mut self, name: &str, kind: Kind, help: &str, value: Value) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    fn process(&mut self, scrape: &Scrape) {
        self.single("clients", Kind::Gauge, "Clients connected.", Value::Int(scrape.clients));
        for (name, kind, what) in UNBUILT {
            let value = if name.ends_with("_time") { Value::Millis(0) } else { Value::Int(0) };
            self.single(name, kind, &format!("{what}; 0 until that is built."), value);
        }
        let [prepared, bytes, limit] = scrape.prepared.map(Value::Int);
        self.single("prepared_statements", Kind::Gauge, "Prepared statements that clients share.", prepared);
        self.single("prepared_statements_memory_used", Kind::Gauge, "Bytes of their texts.", bytes);
        self.single("prepared_statements_limit", Kind::Gauge, "Prepared statements that a server holds at most.", limit);
        self.listeners(&scrape.listeners);
        let [committed, rolled_back, waiting] = scrape.recovered;
        let help = "Parts of commits over shards that were finished after a failure.";
        self.single("two_pc_recovered_total", Kind::Counter, help, Value::Int(committed.saturating_add(rolled_back)));
        let help = "Of those, rolled back because nothing was decided.";
        self.single("two_pc_rolled_back_total", Kind::Counter, help, Value::Int(rolled_back));
        self.single("two_pc_waiting", Kind::Gauge, "Parts of commits over shards that lie prepared and wait to be finished.", Value::Int(waiting));
        self.family("build_info", Kind::Gauge, "1, with the version as label.");
        self.sample("build_info", &format!("version=\"{}\"", scrape.version), Value::Int(1));
        self.single("uptime_seconds", Kind::Gauge, "Time since the start.", Value::Int(scrape.uptime_s));
        self.single("clients_max", Kind::Gauge, "Clients there is room for.", Value::Int(scrape.max_clients));
        self.single("configuration_number", Kind::Gauge, "The configuration in use, counted from 1.", Value::Int(scrape.snapshot));
        let failed = "Lines of the query log that could not be written.";
        self.single("query_log_failed_total", Kind::Counter, failed, Value::Int(scrape.query_log_failed));
        for ((name, help), quantiles) in TIMED.iter().zip(&scrape.lately) {
            let name = format!("recent_{name}");
            self.family(&name, Kind::Gauge, &format!("In the last full stats period, over all pools: {help}"));
            for (part, ns) in QUANTILES.iter().zip(quantiles.iter().flatten()) {
                self.sample(&name, &format!("quantile=\"{part}\""), Value::Exact(*ns));
            }
        }
    }

    fn listeners(&mut self, rows: &[ListenerRow]) {
        type Read = fn(&ListenerRow) -> u64;
        let each: [(&str, Kind, &str, Read); 3] = [
            ("pub_sub_listeners", Kind::Gauge, "Clients that listen to the channel and share servers.", |row| row.listeners),
            ("pub_sub_listener_received", Kind::Counter, "Notifications of the channel that came.", |row| row.received),
            ("pub_sub_listener_dropped", Kind::Counter, "Notifications that a client was not given because it read too slowly.", |row| row.dropped),
        ];
        for (name, kind, help, value) in each {
            self.family(name, kind, help);
            for row in rows {
                let names = labels([("database", row.database.as_str()), ("user", &row.user), ("shard", "0"), ("channel", &row.channel)]);
                self.sample(name, &names, Value::Int(value(row)));
            }
        }
    }

    fn counted(&mut self, pools: &[PoolFigures], (name, counted): (&str, &str), average: bool) {
        let counter = COUNTERS.iter().find(|counter| counter.total.strip_prefix("total_") == Some(counted));
        let time = name.ends_with("_time");
        let value = |pool: &PoolFigures, counter: Option<&Counter>| match counter {
            None => 0,
            Some(counter) if average => pool.period.average(counter),
            Some(counter) => (counter.value)(&pool.counts),
        };
        let help = match (average, counter.map(|counter| counter.average)) {
            (false, _) => format!("{name} since the start{}.", if time { ", ms" } else { "" }),
            (true, Some(Average::Per(_))) => format!("{name} per item in the last full stats period, ms."),
            (true, _) => format!("{name} per second in the last full stats period."),
        };
        let full = if average { format!("avg_{name}") } else { format!("total_{name}") };
        // PgDog calls this average a counter.
        let kind = if average && name != "received" { Kind::Gauge } else { Kind::Counter };
        self.family(&full, kind, &help);
        for pool in pools {
            let number = value(pool, counter);
            self.sample(&full, &pool.labels, if time { Value::Millis(number) } else { Value::Int(number) });
        }
    }

    fn cores(&mut self, cores: &[CoreFigures]) {
        type Read = fn(&CoreFigures) -> Value;
        let each: [(&str, Kind, &str, Read); 12] = [
            ("core_clients", Kind::Gauge, "Clients of the core.", |core| Value::Int(core.clients)),
            ("core_longest_turn_seconds", Kind::Gauge, "The longest turn since the start.", |core| Value::Exact(core.longest_turn_ns)),
            ("core_recent_longest_turn_seconds", Kind::Gauge, "The longest turn in the last one to two stats periods.", |core| {
                Value::Exact(core.longest_lately_ns)
            }),
            ("core_completions_total", Kind::Counter, "Things the kernel told the core.", |core| Value::Int(core.completions)),
            ("core_submissions_total", Kind::Counter, "Calls of the kernel.", |core| Value::Int(core.submissions)),
            ("core_early_submissions_total", Kind::Counter, "Of those, because the submission queue was full.", |core| {
                Value::Int(core.early_submissions)
            }),
            ("core_overflows_total", Kind::Counter, "Times the completion queue was full.", |core| Value::Int(core.overflows)),
            ("core_starved_total", Kind::Counter, "Times a socket found no receive buffer.", |core| Value::Int(core.starved)),
            ("core_letters_total", Kind::Counter, "Letters from other threads.", |core| Value::Int(core.letters)),
            ("logins_total", Kind::Counter, "Clients that got in.", |core| Value::Int(core.logins)),
            ("session_panics_total", Kind::Counter, "Sessions that panicked; each ended one client.", |core| Value::Int(core.panics)),
            ("query_log_dropped_total", Kind::Counter, "Texts that the query log had no room for.", |core| Value::Int(core.unlogged)),
        ];
        for (name, kind, help, value) in each {
            self.family(name, kind, help);
            cores.iter().enumerate().for_each(|(id, core)| self.sample(name, &format!("core=\"{id}\""), value(core)));
        }
        self.family("core_turn_seconds", Kind::Histogram, "Turns of the core's loop, from the end of a wait to the next submission.");
        cores.iter().enumerate().for_each(|(id, core)| self.bars("core_turn_seconds", &format!("core=\"{id}\""), &core.turns));
        let name = "login_failures_total";
        self.family(name, Kind::Counter, "Clients that did not get in, by reason.");
        for (place, why) in Refusal::ALL.into_iter().enumerate() {
            let count = cores.iter().map(|core| core.refused[place]).sum();
            self.sample(name, &format!("reason=\"{}\"", why.name()), Value::Int(count));
        }
    }
}

/// Parts that `write` writes one by one, so that who has other things to do can do them in between.
pub const PARTS: usize = 1 + POOL_METRICS.len() + 2 * COUNTED.len() + TIMED.len() + 2;

/// Appends one part of the page; all of them in order are the page.
pub fn write(scrape: &Scrape, form: Form, part: usize, out: &mut String) {
    let mut page = Page { out, form, namespace: &scrape.namespace };
    let Some(at) = part.checked_sub(1) else { return page.process(scrape) };
    if let Some(metric) = POOL_METRICS.get(at) {
        page.family(metric.name, metric.kind, metric.help);
        return scrape.pools.iter().for_each(|pool| page.sample(metric.name, &pool.labels, (metric.value)(pool)));
    }
    let at = at - POOL_METRICS.len();
    if let Some(counted) = COUNTED.get(at % COUNTED.len()).filter(|_| at < 2 * COUNTED.len()) {
        return page.counted(&scrape.pools, *counted, at >= COUNTED.len());
    }
    let at = at - 2 * COUNTED.len();
    if let Some((name, help)) = TIMED.get(at) {
        page.family(name, Kind::Histogram, help);
        for pool in &scrape.pools {
            let Some(times) = &pool.times else { continue };
            page.bars(name, &pool.labels, &times[at]);
        }
        return;
    }
    match at - TIMED.len() {
        0 => page.cores(&scrape.cores),
        1 if form == Form::Open => out.push_str("# EOF\n"),
        _ => {}
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
