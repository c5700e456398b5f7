//! What all cores know of one pool: how many connections are open, who has idle ones, who waits and since when.
//!
//! Invariants:
//! - `open` never rises above the limit: it grows by `try_reserve` alone, before the connect, and falls when the server is known to have let
//!   go of the connection, not when we did: else the server would hold more of them than the limit for a moment. A lower limit
//!   makes nobody close at once; `try_shed` names exactly as many connections as are too many.
//! - `idle` and `need` of a core are semaphores. Only their core raises them. Whoever lowers `idle` owns one of that core's idle servers;
//!   whoever lowers `need` owes that core one server. So an ask never hears "no" and two cores never serve one waiter.
//! - **No waiter is forgotten.** A waiter raises `need` and then looks at `idle`, a check-in raises `idle` and then looks at `need`, a
//!   closed connection lowers `open` and then looks at `need`: each a sequentially consistent read-modify-write followed by sequentially
//!   consistent reads, so of two that cross, at least one sees the other.
//!
//! What to do about what one sees is left to `slice`. The atomics come from a cfg alias, so that `tests/loom.rs` can try every order.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use std::sync::Arc;
use std::sync::atomic as plain;

/// `oldest` of a core where nobody waits uncovered.
pub const NOBODY: u64 = u64::MAX;

/// How long what somebody said he wants is believed, ns: he says it again every 10 ms.
const WANTED_NS: u64 = 100_000_000;
/// How long nobody makes room again after somebody has, ns: for one connection to end and another to be opened.
const ROOM_NS: u64 = 100_000_000;

/// `open` lies in the low half of the word of permits, the connections among them that are on their way out in the high half.
const LEAVING: u64 = 1 << 32;

/// Loom takes a sequentially consistent access for an acquiring and releasing one, so there a fence says what the accesses themselves say
/// to the memory model (and to the processor: on x86-64 the locked instruction is the barrier).
#[inline(always)]
fn after_publishing() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// A count of units that cores take from each other. Who takes one owns it.
#[derive(Debug)]
pub struct Semaphore(AtomicU32);

impl Semaphore {
    fn new() -> Semaphore {
        Semaphore(AtomicU32::new(0))
    }

    /// Puts one unit up. What the caller looks at next is at least as new as what anybody saw who missed this unit.
    pub fn put(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        after_publishing();
    }

    /// Takes one unit, if there is one.
    pub fn take(&self) -> bool {
        let mut seen = self.0.load(Ordering::SeqCst);
        while seen > 0 {
            match self.0.compare_exchange_weak(seen, seen - 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Units up for taking.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Declares the numbers that one core writes and anybody reads.
macro_rules! statistics {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Numbers of one core's slice, for SHOW POOLS, SHOW STATS and the metrics. Their core writes them with plain stores; a reader may
        /// see them a moment apart. Never read by a decision, hence not modelled by loom.
        #[repr(align(128))]
        #[derive(Debug, Default)]
        pub struct Statistics { $($(#[$doc])* pub $name: plain::AtomicU64),* }
    };
}

statistics! {
    /// gauge: clients waiting
    waiting,
    /// gauge: idle servers, promised ones included
    idle,
    /// gauge: servers in use
    busy,
    /// gauge: connections being opened
    opening,
    /// gauge: when the first waiter began to wait, ns; 0 = nobody waits
    waiting_since,
    /// grants to clients, at once or after a wait
    grants,
    /// clients that had to wait
    waits,
    /// ns waited by those that were served
    waited_ns,
    /// servers handed over to another core, unasked or asked
    lent,
    /// servers asked for at another core
    asked,
    /// asks that came to nothing because the server had died
    broken,
    /// servers that arrived from another core when nobody waited any more
    surplus,
    /// connections opened
    opened,
    /// connections that could not be opened
    failed,
    /// connections that ended, by themselves or by us
    closed,
    /// waits that were given up by the clock
    expired,
}

/// Sets a number of ours. Only the owning core writes, so no read-modify-write is needed.
pub fn set(number: &plain::AtomicU64, value: u64) {
    number.store(value, plain::Ordering::Relaxed);
}

/// Adds to a number of ours.
pub fn add(number: &plain::AtomicU64, more: u64) {
    set(number, number.load(plain::Ordering::Relaxed).wrapping_add(more));
}

/// One core's line: what the others need to know of it.
#[repr(align(128))]
#[derive(Debug)]
pub struct Line {
    /// idle servers here that are promised to nobody
    pub idle: Semaphore,
    /// waiters here to whom no server is on its way
    pub need: Semaphore,
    /// since when the first of those waits, ns; written before `need` is raised
    oldest: AtomicU64,
    /// connections being opened here; `need` beyond this number wants a free permit
    opening: AtomicU32,
    /// a message "a permit is free" is on its way here
    nudged: AtomicBool,
}

impl Line {
    fn new() -> Line {
        Line {
            idle: Semaphore::new(),
            need: Semaphore::new(),
            oldest: AtomicU64::new(NOBODY),
            opening: AtomicU32::new(0),
            nudged: AtomicBool::new(false),
        }
    }

    /// Says since when the first uncovered waiter waits. Own core only.
    pub fn show_oldest(&self, since: u64) {
        self.oldest.store(since, Ordering::Release);
    }

    /// Says how many connections are being opened. Own core only, before it lowers `open` or raises `need`.
    pub fn show_opening(&self, opening: u32) {
        self.opening.store(opening, Ordering::Release);
    }

    /// Somebody waits here who could use a free permit.
    pub fn wants_permit(&self) -> bool {
        self.need.count() > self.opening.load(Ordering::Acquire)
    }

    /// True when this core has to be told of a free permit and no such message is on its way yet.
    pub fn nudge(&self) -> bool {
        !self.nudged.swap(true, Ordering::SeqCst)
    }

    /// The message has arrived. Before the core looks: a permit freed from here on sends a new one.
    pub fn nudge_arrived(&self) {
        self.nudged.swap(false, Ordering::SeqCst);
        after_publishing();
    }
}

/// A bound that pools share: connections that are being opened at one server at the same time (it forks a process for each: a thousand at once,
/// after its restart or ours, would delay every one of them), or connections of one database or one user, over all cores.
#[derive(Debug)]
pub struct Gate {
    inside: AtomicU32,
    limit: AtomicU32,
    /// since when somebody has waited for a place, and when that was said last, ns. A hint: it is said again and again while it is true
    wanted_since: plain::AtomicU64,
    wanted_at: plain::AtomicU64,
    /// when a connection was last closed for somebody who waited, ns
    made_room_at: plain::AtomicU64,
}

impl Gate {
    /// At most `limit` at once; 0 is taken as 1.
    pub fn new(limit: u32) -> Gate {
        let time = plain::AtomicU64::new;
        let (inside, limit) = (AtomicU32::new(0), AtomicU32::new(limit.max(1)));
        Gate { inside, limit, wanted_since: time(NOBODY), wanted_at: time(0), made_room_at: time(0) }
    }

    /// A reload changed the limit. Who is inside stays.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit.max(1), Ordering::Relaxed);
    }

    /// True: the caller may open a connection, and says `leave` when that has worked or failed.
    pub fn enter(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut seen = self.inside.load(Ordering::Relaxed);
        while seen < limit {
            match self.inside.compare_exchange_weak(seen, seen + 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// The same, whatever the limit: PostgreSQL has just ended a process that this connection takes the place of.
    pub fn enter_anyway(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
    }

    /// True when `enter` would have failed just now.
    pub fn is_full(&self) -> bool {
        self.inside.load(Ordering::SeqCst) >= self.limit.load(Ordering::Relaxed)
    }

    /// Somebody waits for a place since then (ns), and says so at `now`.
    pub fn want(&self, since: u64, now: u64) {
        if !self.is_wanted_before(since, now) {
            self.wanted_since.store(since, plain::Ordering::Relaxed);
            self.wanted_at.store(now, plain::Ordering::Relaxed);
        }
    }

    /// Somebody has waited for a place since before then (ns), and has said so lately.
    pub fn is_wanted_before(&self, since: u64, now: u64) -> bool {
        let known = self.wanted_since.load(plain::Ordering::Relaxed);
        known < since && now.saturating_sub(self.wanted_at.load(plain::Ordering::Relaxed)) < WANTED_NS
    }

    /// Somebody who has waited since then has a place: the next may say so.
    fn wanted_no_more(&self, since: u64) {
        if since <= self.wanted_since.load(plain::Ordering::Relaxed) {
            self.wanted_since.store(NOBODY, plain::Ordering::Relaxed);
        }
    }

    /// True when the caller should make room for who has waited since before then; for one caller, and then for nobody until that may have helped.
    fn owes_room(&self, since: u64, now: u64) -> bool {
        self.is_wanted_before(since, now) && self.is_full() && self.may_make_room(now)
    }

    /// True for one caller, and then for nobody until the room that he makes may have been of use.
    pub fn may_make_room(&self, now: u64) -> bool {
        let last = self.made_room_at.load(plain::Ordering::Relaxed);
        now.saturating_sub(last) > ROOM_NS
            && self.made_room_at.compare_exchange(last, now, plain::Ordering::Relaxed, plain::Ordering::Relaxed).is_ok()
    }

    /// The connection that `enter` was for is open, or will never be; of a bound on connections: it is closed.
    pub fn leave(&self) {
        let before = self.inside.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "somebody left the gate who had not come in");
    }

    /// Connections being opened.
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }
}

impl Default for Gate {
    /// As good as none.
    fn default() -> Gate {
        Gate::new(u32::MAX)
    }
}

/// One pool, as all cores see it. Shared by `Arc`, one line per data core.
#[derive(Debug)]
pub struct Ledger {
    permits: AtomicU64,
    /// `size`, and the reserve while it is open
    limit: AtomicU32,
    size: plain::AtomicU32,
    reserve: plain::AtomicU32,
    paused: AtomicBool,
    /// read only where somebody waits too long, logs in, or is held back: no order between cores hangs on them
    held: plain::AtomicBool,
    disabled: plain::AtomicBool,
    /// no connect before this time, ns
    retry_at: AtomicU64,
    gate: Arc<Gate>,
    /// of the database and of the user; a connection has a place in each
    caps: Option<[Arc<Gate>; 2]>,
    /// one of them is a bound at all
    capped: plain::AtomicBool,
    lines: Box<[Line]>,
    statistics: Box<[Statistics]>,
}

/// Connections of the word that are not on their way out.
fn lasting(word: u64) -> u64 {
    u64::from(word as u32).saturating_sub(word >> 32)
}

impl Ledger {
    /// A pool over `cores` data cores that may hold `limit` connections in all, at a server without a gate.
    pub fn new(cores: usize, limit: u32) -> Ledger {
        Ledger::behind(Arc::default(), cores, limit)
    }

    /// The same, at a server whose pools share `gate`.
    pub fn behind(gate: Arc<Gate>, cores: usize, limit: u32) -> Ledger {
        Ledger {
            permits: AtomicU64::new(0),
            limit: AtomicU32::new(limit),
            size: plain::AtomicU32::new(limit),
            reserve: plain::AtomicU32::new(0),
            paused: AtomicBool::new(false),
            held: plain::AtomicBool::new(false),
            disabled: plain::AtomicBool::new(false),
            retry_at: AtomicU64::new(0),
            gate,
            caps: None,
            capped: plain::AtomicBool::new(false),
            lines: (0..cores).map(|_| Line::new()).collect(),
            statistics: (0..cores).map(|_| Statistics::default()).collect(),
        }
    }

    /// The same, whose connections also count for these two bounds.
    pub fn capped(mut self, caps: [Arc<Gate>; 2]) -> Ledger {
        self.caps = Some(caps);
        self
    }

    /// Data cores.
    pub fn cores(&self) -> usize {
        self.lines.len()
    }

    /// The line of `core`.
    pub fn line(&self, core: usize) -> &Line {
        &self.lines[core]
    }

    /// The numbers of `core`.
    pub fn statistics(&self, core: usize) -> &Statistics {
        &self.statistics[core]
    }

    /// Connections open or being opened, over all cores.
    pub fn open(&self) -> u32 {
        self.permits.load(Ordering::SeqCst) as u32
    }

    /// Connections the pool may hold.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// A reload changed the limit. Every core then has to `look` (raised) or to `shed` (lowered).
    pub fn set_limit(&self, limit: u32) {
        self.size.store(limit, plain::Ordering::Relaxed);
        self.limit.store(limit, Ordering::SeqCst);
    }

    /// How many connections more there may be once somebody has waited for long.
    pub fn set_reserve(&self, reserve: u32) {
        self.reserve.store(reserve, plain::Ordering::Relaxed);
    }

    /// Somebody has waited for long: the pool may hold more connections for a while. False when it has no reserve, or holds them already.
    /// Every core then has to `look`.
    pub fn open_reserve(&self) -> bool {
        let reserve = self.reserve.load(plain::Ordering::Relaxed);
        let larger = self.size.load(plain::Ordering::Relaxed).saturating_add(reserve);
        reserve > 0 && self.limit.swap(larger, Ordering::SeqCst) < larger
    }

    /// Whether `open_reserve` holds.
    pub fn reserve_is_open(&self) -> bool {
        self.limit() > self.size.load(plain::Ordering::Relaxed)
    }

    /// Nobody waits any more: connections beyond the pool's size go as they are given back.
    pub fn close_reserve(&self) {
        self.limit.store(self.size.load(plain::Ordering::Relaxed), Ordering::SeqCst);
    }

    /// Whether one of the shared bounds is one.
    pub fn set_capped(&self, capped: bool) {
        self.capped.store(capped, plain::Ordering::Relaxed);
    }

    /// The bound of the database or the user that keeps this pool from opening a connection, if one does.
    pub fn full_cap(&self) -> Option<&Arc<Gate>> {
        self.caps.iter().flatten().find(|cap| cap.is_full())
    }

    /// Connections of this pool count for that bound.
    pub fn is_capped_by(&self, cap: &Arc<Gate>) -> bool {
        self.caps.iter().flatten().any(|own| Arc::ptr_eq(own, cap))
    }

    /// True when another pool of the same database or user has waited since before `since` (ns) for a connection that this one should give up.
    pub fn owes_before(&self, since: u64, now: u64) -> bool {
        self.is_capped() && self.caps.iter().flatten().any(|cap| cap.owes_room(since, now))
    }

    /// True when another pool of the same database or user has waited longer for a connection than somebody who has since `since`.
    pub fn others_first(&self, since: u64, now: u64) -> bool {
        self.is_capped() && self.caps.iter().flatten().any(|cap| cap.is_wanted_before(since, now))
    }

    /// Somebody who has waited since then may open a connection.
    pub fn wanted_no_more(&self, since: u64) {
        if self.is_capped() {
            self.caps.iter().flatten().for_each(|cap| cap.wanted_no_more(since));
        }
    }

    /// Whether a shared bound is one at all.
    pub fn is_capped(&self) -> bool {
        self.capped.load(plain::Ordering::Relaxed)
    }

    fn enter_caps(&self) -> bool {
        let Some([first, second]) = &self.caps else { return true };
        if !first.enter() {
            return false;
        }
        let both = second.enter();
        if !both {
            first.leave();
        }
        both
    }

    fn leave_caps(&self) {
        self.caps.iter().flatten().for_each(|cap| cap.leave());
    }

    /// Takes the permit for one more connection.
    pub fn try_reserve(&self) -> bool {
        self.reserve_below(self.limit())
    }

    /// Takes the permit for one more connection while fewer than `floor` are open (and never above the limit).
    pub fn reserve_below(&self, floor: u32) -> bool {
        let below = floor.min(self.limit());
        // The shared bounds first: who finds one of them full for this moment looks again by itself, who finds no permit is told of the next.
        if !self.enter_caps() {
            return false;
        }
        let reserved = self.permits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| ((word as u32) < below).then(|| word + 1)).is_ok();
        if !reserved {
            self.leave_caps();
        }
        reserved
    }

    /// True when `try_reserve` would have worked just now.
    pub fn has_room(&self) -> bool {
        self.open() < self.limit()
    }

    /// A connection was closed, or could not be opened: its permit is free.
    pub fn give_back(&self) {
        self.leave_caps();
        let before = self.permits.fetch_sub(1, Ordering::SeqCst);
        after_publishing();
        debug_assert!(before as u32 > 0, "a permit was returned twice");
    }

    /// True when a connection of the caller has to close because the limit was lowered. Its permit returns by `give_back_left`.
    pub fn try_shed(&self) -> bool {
        self.leave_above(self.limit())
    }

    /// True when more than `keep` connections are open that are not on their way out already: one of the caller's has to close.
    /// Its permit returns by `give_back_left`.
    pub fn leave_above(&self, keep: u32) -> bool {
        let excess = |word: u64| lasting(word) > u64::from(keep);
        // The plain look first: a check-in must not write to this line.
        excess(self.permits.load(Ordering::Relaxed))
            && self.permits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| excess(word).then(|| word + LEAVING)).is_ok()
    }

    /// A connection of the caller closes, for whatever reason. Its permit returns by `give_back_left`.
    pub fn leave(&self) {
        self.permits.fetch_add(LEAVING, Ordering::SeqCst);
    }

    /// The caller found nothing to close after all.
    pub fn stay(&self) {
        self.permits.fetch_sub(LEAVING, Ordering::SeqCst);
    }

    /// A connection on its way out is closed at both ends.
    pub fn give_back_left(&self) {
        self.leave_caps();
        self.permits.fetch_sub(LEAVING + 1, Ordering::SeqCst);
        after_publishing();
    }

    /// Connections open or being opened that are not on their way out.
    pub fn lasting(&self) -> u32 {
        lasting(self.permits.load(Ordering::Relaxed)) as u32
    }

    /// What all pools of this server share.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// PAUSE: nobody is served until RESUME.
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Sets or ends the pause. After the end every core has to `look`.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    /// MAINTENANCE: a pause that waiters wait out, however long it takes.
    pub fn held(&self) -> bool {
        self.held.load(plain::Ordering::Acquire)
    }

    /// Sets or ends that. It is a pause as well, so that `set_paused` comes with it.
    pub fn set_held(&self, held: bool) {
        self.held.store(held, plain::Ordering::Release);
    }

    /// DISABLE: no new clients.
    pub fn disabled(&self) -> bool {
        self.disabled.load(plain::Ordering::Acquire)
    }

    /// Refuses new clients, or takes them again.
    pub fn set_disabled(&self, disabled: bool) {
        self.disabled.store(disabled, plain::Ordering::Release);
    }

    /// No connect before this time (ns), because the last one failed.
    pub fn retry_at(&self) -> u64 {
        self.retry_at.load(Ordering::Acquire)
    }

    /// A connect failed (wait until `at`), or worked (`0`).
    pub fn set_retry_at(&self, at: u64) {
        if self.retry_at() != at {
            self.retry_at.store(at, Ordering::Release);
        }
    }

    fn others(&self, me: usize) -> impl Iterator<Item = (usize, &Line)> {
        // Beginning with the next core, so that equals do not all pick the first.
        let cores = self.cores();
        (1..cores).map(move |step| (me + step) % cores).map(|core| (core, &self.lines[core]))
    }

    /// The other core whose first uncovered waiter waits longest, and since when.
    pub fn neediest(&self, me: usize) -> Option<(usize, u64)> {
        let waiting = self.others(me).filter(|(_, line)| line.need.count() > 0);
        let since = waiting.map(|(core, line)| (core, line.oldest.load(Ordering::Acquire)));
        since.filter(|&(_, since)| since != NOBODY).min_by_key(|&(_, since)| since)
    }

    /// The other core that shows most idle servers.
    pub fn richest(&self, me: usize) -> Option<usize> {
        let mut best = None;
        let mut most = 0;
        for (core, line) in self.others(me) {
            let idle = line.idle.count();
            if idle > most {
                (best, most) = (Some(core), idle);
            }
        }
        best
    }

    /// The other core that could use a free permit and whose first uncovered waiter waits longest.
    pub fn wanting(&self, me: usize) -> Option<usize> {
        let wanting = self.others(me).filter(|(_, line)| line.wants_permit());
        wanting.min_by_key(|(_, line)| line.oldest.load(Ordering::Acquire)).map(|(core, _)| core)
    }
}
