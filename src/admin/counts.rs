//! What is counted about a pool: the list of the counters of SHOW STATS, as plain numbers (`Counts`) and as atomics that one core writes and anybody
//! reads (`Tally`), so that nobody has to be asked for them.
//! Invariant: of a tally only its own core writes, with plain stores; a reader may see two counters a moment apart, never half of one. When a core
//! counts what is left to `engine`, when ends of a period are taken to `control`, what a row looks like to `show` and `metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::histogram::Histogram;
use super::report::Role;

/// A number that one core writes and anybody reads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it. By the owning core alone, so that no read-modify-write is needed.
    #[inline]
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// By the owning core alone.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// As it was a moment ago.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes what is there and begins anew: for `longest` numbers, where a value that is lost between the two writers was as good as seen.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }

    /// Keeps the larger one. By the owning core alone.
    #[inline]
    pub fn raise(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }
}

/// What a counter's average is.
#[derive(Clone, Copy, Debug)]
pub enum Average {
    /// growth in the period / seconds in it
    PerSecond,
    /// growth of a time in the period / growth of the things that took it
    Per(fn(&Counts) -> u64),
}

/// One counter of SHOW STATS: the names of its two columns, where it lies, what its average is.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    pub total: &'static str,
    pub avg: &'static str,
    pub value: fn(&Counts) -> u64,
    pub average: Average,
}

/// What a time in nanoseconds is in the unit of its counter; other numbers are what they are.
macro_rules! scaled {
    ($number:expr) => {
        $number
    };
    ($number:expr, $per:ident) => {
        $number / 1000
    };
}

macro_rules! average {
    () => {
        Average::PerSecond
    };
    ($per:ident) => {
        Average::Per(|counts| counts.$per)
    };
}

// One line per counter, in the order of the columns: the field, and what a time is divided by for its average.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident $(/ $per:ident)?,)*) => {
        /// Everything that SHOW STATS counts, since the pool came up. What ends in `_time` is microseconds.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Adds another core's counts.
            pub fn add(&mut self, other: &Counts) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }

            /// What was counted since `earlier`; 0 where a counter went back.
            pub fn since(&self, earlier: &Counts) -> Counts {
                Counts { $($name: self.$name.saturating_sub(earlier.$name),)* }
            }
        }

        /// The same as they are counted on one core; what ends in `_time` is nanoseconds here.
        #[derive(Debug, Default)]
        pub struct Tallied {
            $($(#[$doc])* pub $name: Count,)*
        }

        impl Tallied {
            /// What was counted so far.
            pub fn read(&self) -> Counts {
                Counts { $($name: scaled!(self.$name.get() $(, $per)?),)* }
            }
        }

        /// The counters of SHOW STATS, in the order of its columns.
        pub const COUNTERS: &[Counter] = &[
            $(Counter {
                total: concat!("total_", stringify!($name)),
                avg: concat!("avg_", stringify!($name)),
                value: |counts| counts.$name,
                average: average!($($per)?),
            },)*
        ];
    };
}

counters! {
    xact_count,
    /// 0 until commits in two phases are built
    xact_2pc_count,
    query_count,
    /// how often a client was given a server
    server_assignment_count,
    /// bytes from clients
    received,
    /// bytes to clients
    sent,
    /// servers in a transaction
    xact_time / xact_count,
    /// of that, servers waiting for the client's next statement
    idle_xact_time / xact_count,
    query_time / query_count,
    /// clients waiting for a server
    wait_time / server_assignment_count,
    server_parse_count,
    bind_count,
    close_count,
    errors,
    /// servers that had to be cleaned before the next client
    cleaned,
    rollbacks,
    connect_time / connect_count,
    connect_count,
    /// 0 until statements are told apart
    reads,
    /// 0 until statements are told apart
    writes,
    /// logins at servers
    auth_attempts,
    rows_inserted,
    rows_updated,
    rows_deleted,
}

/// How long things took at one pool on one core. Times are those of the core's clock, which it reads once when a turn begins and once when it ends.
#[derive(Debug, Default)]
pub struct Times {
    /// a client's wait for a server, 0 when one was there
    pub wait: Histogram,
    /// from the turn that read a request to the turn that read its last reply; of requests sent without waiting for replies, from the reply before
    pub query: Histogram,
    /// from the turn that gave a client its server, or read the first request of a later transaction on it, to the turn that read its last reply
    pub transaction: Histogram,
    /// what pg_dog itself added to a transaction: the wait for a server, and of each turn that sent one of its requests or replies on all that the
    /// turn took until it gave them to the kernel. Not in it: how long bytes lay in a socket while this core was in an earlier turn (at most the
    /// longest turn, see `CoreTally`), and what the kernel did before and after.
    pub added: Histogram,
}

/// What one core counts of one pool. On cache lines of its own, made when the core first has to do with the pool.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Tally {
    pub counts: Tallied,
    /// connections brought back in step with what their client left behind
    pub re_synced: Count,
    /// connections closed because that failed
    pub out_of_sync: Count,
    /// connections closed while a client held them
    pub force_closed: Count,
    /// gauge: servers in a transaction whose client says nothing
    pub idle_in_transaction: Count,
    /// times a client began to keep its server, and ended to
    pub pinned: Count,
    pub unpinned: Count,
    times: OnceLock<Box<Times>>,
}

impl Tally {
    /// How long things took; made at the first.
    #[inline]
    pub fn times(&self) -> &Times {
        self.times.get_or_init(Box::default)
    }

    /// The same, if anything was timed at all.
    pub fn timed(&self) -> Option<&Times> {
        self.times.get().map(|times| &**times)
    }
}

/// The tallies of one pool, by core.
#[derive(Debug)]
pub struct Tallies(Box<[OnceLock<Arc<Tally>>]>);

impl Tallies {
    /// Room for so many cores, and nothing else yet.
    pub fn new(cores: usize) -> Tallies {
        Tallies((0..cores).map(|_| OnceLock::new()).collect())
    }

    /// The tally of this core, made if it is not there.
    pub fn of(&self, core: usize) -> Arc<Tally> {
        self.0[core].get_or_init(Arc::default).clone()
    }

    /// Those that are there.
    pub fn iter(&self) -> impl Iterator<Item = &Tally> {
        self.0.iter().filter_map(|tally| tally.get().map(|tally| &**tally))
    }

    /// All cores together; None when none has had to do with the pool.
    pub fn counts(&self) -> Option<Counts> {
        self.iter().map(|tally| tally.counts.read()).reduce(|mut all, more| {
            all.add(&more);
            all
        })
    }
}

/// Why a client did not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// a wrong password, or a user or a database that is not configured: who reads the metrics must not learn from them which
    WrongPassword,
    /// too many clients, or too little memory for more
    NoRoom,
    Timeout,
    /// it said what no client may say here
    Protocol,
    ShuttingDown,
    /// the connection ended first
    Gone,
}

impl Refusal {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Refusal; 6] =
        [Refusal::WrongPassword, Refusal::NoRoom, Refusal::Timeout, Refusal::Protocol, Refusal::ShuttingDown, Refusal::Gone];

    /// Its label.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::WrongPassword => "wrong_password",
            Refusal::NoRoom => "no_room",
            Refusal::Timeout => "timeout",
            Refusal::Protocol => "protocol",
            Refusal::ShuttingDown => "shutting_down",
            Refusal::Gone => "gone",
        }
    }
}

/// What one core counts of itself.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct CoreTally {
    /// how long its turns took, from the return of the wait to the next submission
    pub turns: Histogram,
    /// the longest of them, ns: since the start, and since somebody took it
    pub longest_turn: Count,
    pub longest_lately: Count,
    /// things that happened and were told to it
    pub completions: Count,
    /// times it called the kernel
    pub submissions: Count,
    /// of those, because the submission queue was full in mid-turn
    pub early_submissions: Count,
    /// times the completion queue was full
    pub overflows: Count,
    /// times a socket found no receive buffer
    pub starved: Count,
    /// letters from other threads
    pub letters: Count,
    /// clients that got in
    pub logins: Count,
    refused: [Count; Refusal::ALL.len()],
    /// sessions that panicked
    pub panics: Count,
    /// texts that the query log had no room for
    pub unlogged: Count,
}

impl CoreTally {
    /// A client did not get in. By the owning core alone.
    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].add(1);
    }

    /// How many did not for this reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].get()
    }
}

/// The last full stats period: the counts at its two ends. The control core keeps one for each pool and turns it once per `stats_period`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    pub from: Counts,
    pub to: Counts,
    /// microseconds between the two; 0 before the first full period, and then every average is 0
    pub length_us: u64,
}

impl Period {
    /// A period ends: `now` are the counts at this moment, `length_us` the microseconds since the last turn.
    pub fn turn(&mut self, now: Counts, length_us: u64) {
        self.from = self.to;
        self.to = now;
        self.length_us = length_us;
    }

    /// The average of one counter over the period, in whole units per second, or in whole microseconds per item:
    /// `(to - from) * 1_000_000 / length_us`, and `(to.x_time - from.x_time) / (to.items - from.items)`. Both round down; nothing to divide by
    /// gives 0. The items are transactions for `xact_time` and `idle_xact_time`, queries for `query_time`, assignments for `wait_time` (where
    /// PgBouncer divides by seconds), connects for `connect_time`.
    pub fn average(&self, counter: &Counter) -> u64 {
        if self.length_us == 0 {
            return 0;
        }
        let growth = self.to.since(&self.from);
        let value = (counter.value)(&growth);
        match counter.average {
            Average::PerSecond => u64::try_from(u128::from(value) * 1_000_000 / u128::from(self.length_us)).unwrap_or(u64::MAX),
            Average::Per(items) => value.checked_div(items(&growth)).unwrap_or(0),
        }
    }
}

/// What one pool has done, or one core's slice of it; slices are told to belong together by `pool_id` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsRow {
    /// [`PoolRow::id`]; not shown
    pub pool_id: u64,
    pub database: String,
    pub user: String,
    pub addr: String,
    pub port: u16,
    pub shard: u32,
    pub role: Role,
    /// the totals now
    pub counts: Counts,
    pub period: Period,
}

impl StatsRow {
    /// Adds another core's slice. Periods of the cores begin and end together but for one turn of their loops, so ends add up and the longer
    /// length stands for both; a slice younger than a period has two equal ends and changes no average.
    pub fn merge(&mut self, other: &StatsRow) {
        self.counts.add(&other.counts);
        self.period.from.add(&other.period.from);
        self.period.to.add(&other.period.to);
        self.period.length_us = self.period.length_us.max(other.period.length_us);
    }
}
