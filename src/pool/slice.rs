//! One core's slice of one pool: its idle servers, its waiters, and every decision about who gets which server.
//!
//! Sans-io: it gets the time and says what is to be done; the engine does it. What a verdict says has already happened in the ledger, so
//! the engine must carry it out or say why it could not (`refunded`, `undeliverable`, `open_failed`).
//!
//! Invariants (`check` tests those that one core can see):
//! - Every server of this core is idle here, busy, being opened, leaving (closed by us, the other end still has to let go), or one client's alone
//!   (see `alone`), and holds one permit in each. A server handed over is nobody's until it arrives and keeps its permit meanwhile:
//!   open = idle + busy + opening + leaving + alone over all cores + in flight.
//! - `shown` = the semaphore `idle` + takes on their way to us. It equals the idle servers, unless more are promised than are left (some
//!   died): the next idle one then fills the gap, or a take ends `Broken`.
//! - `asked` = the semaphore `need` + servers on their way to us. It equals the waiters, unless more servers come than clients wait.
//! - Waiters are served in the order in which they came. Nobody is served past the queue.
//! - At rest no waiter without a server on its way has an idle server or a free permit anywhere in the pool, unless a timer is armed.
//!
//! Left to the engine: timers, mail, connections, and not lending a server that is not clean (it waits with the handover instead).

use std::sync::Arc;

use super::ledger::{Ledger, Line, NOBODY, Statistics, add, set};
use super::queue::{Queue, Ticket, Waiter};

pub use super::verdict::{After, Checkin, Checkout, LinkId, Rules, Take};

/// How often a decision tries again after another core was faster, before it leaves the rest to a timer.
const TRIES: usize = 8;

/// How much longer, ns, somebody in another pool under the same bound must have waited before a connection is closed for him: about ten times what
/// it costs to open one.
const CAP_FAIR: u64 = 50_000_000;

/// How far into the queue `oldest` looks for the first uncovered waiter. With more servers than that on their way here it names one that
/// waits longer, so that the others lend a little early.
const COVERED_SEEN: u32 = 64;

/// A server that rests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub link: LinkId,
    /// ns
    pub since: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Slice {
    pub(super) ledger: Arc<Ledger>,
    pub(super) me: usize,
    pub(super) rules: Rules,
    /// newest last
    pub(super) idle: Vec<Rest>,
    pub(super) queue: Queue,
    pub(super) busy: u32,
    pub(super) opening: u32,
    pub(super) leaving: u32,
    pub(super) alone: u32,
    shown: u32,
    asked: u32,
    timer: Option<u64>,
    oldest: u64,
}

impl Slice {
    /// The slice of core `me`.
    pub fn new(ledger: Arc<Ledger>, me: usize, rules: Rules) -> Slice {
        let (idle, queue) = (Vec::new(), Queue::default());
        Slice { ledger, me, rules, idle, queue, busy: 0, opening: 0, leaving: 0, alone: 0, shown: 0, asked: 0, timer: None, oldest: NOBODY }
    }

    /// The pool's ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// A reload changed the rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// A client needs a server.
    pub fn checkout(&mut self, client: u32, now: u64) -> Checkout {
        let paused = self.ledger.paused();
        if !paused
            && self.queue.is_empty()
            && let Some(link) = self.claim_idle()
        {
            self.busy += 1;
            add(&self.statistics().grants, 1);
            self.show_gauges();
            return Checkout::Grant(link);
        }
        let ticket = self.queue.push(client, now);
        add(&self.statistics().waits, 1);
        self.settle_need();
        let then = if paused { After::Nothing } else { self.serve_or_search(now) };
        self.show_gauges();
        Checkout::Wait { ticket, then }
    }

    /// A client gave its server back, clean.
    pub fn checkin(&mut self, link: LinkId, now: u64) -> Checkin {
        self.busy = less(self.busy);
        let verdict = self.place(link, now, false);
        self.show_gauges();
        verdict
    }

    /// A server arrived that another core handed over.
    pub fn handed(&mut self, link: LinkId, now: u64) -> Checkin {
        self.asked = less(self.asked);
        if self.queue.is_empty() {
            add(&self.statistics().surplus, 1);
        }
        let verdict = self.place(link, now, true);
        self.settle_need();
        self.show_gauges();
        verdict
    }

    /// A connection that `Open` or `wanted_extra` asked for is there.
    pub fn opened(&mut self, link: LinkId, now: u64) -> Checkin {
        self.set_opening(less(self.opening));
        self.ledger.gate().leave();
        self.ledger.set_retry_at(0);
        add(&self.statistics().opened, 1);
        let verdict = self.place(link, now, true);
        self.show_gauges();
        verdict
    }

    /// The core that a server was to be handed to is gone: the server stays.
    pub fn undeliverable(&mut self, link: LinkId, now: u64) -> Checkin {
        let verdict = self.place(link, now, true);
        self.show_gauges();
        verdict
    }

    /// Another core asks for the idle server that it took from the ledger.
    pub fn take(&mut self) -> Take {
        self.shown = less(self.shown);
        let verdict = match self.idle.pop() {
            Some(rest) => {
                add(&self.statistics().lent, 1);
                Take::Hand(rest.link)
            }
            None => {
                add(&self.statistics().broken, 1);
                Take::Broken
            }
        };
        self.show_gauges();
        verdict
    }

    /// A server that was on its way to us will not come: `Broken`, or the asked core is gone.
    pub fn refunded(&mut self, now: u64) -> After {
        self.asked = less(self.asked);
        self.settle_need();
        self.look(now)
    }

    /// Takes an idle server out of the pool, to check or to close it; it then counts as busy (`checkin` or `busy_died` ends that). False
    /// when it is not idle here, or all are promised to others.
    pub fn withdraw(&mut self, link: LinkId) -> bool {
        if !self.idle.iter().any(|idle| idle.link == link) || !self.take_own_idle() {
            return false;
        }
        self.remove_idle(link);
        self.busy += 1;
        self.show_gauges();
        true
    }

    /// True when the pool holds fewer than `min` connections: open one here.
    pub fn wanted_extra(&mut self, min: u32, now: u64) -> bool {
        let wanted = now >= self.ledger.retry_at()
            && !self.ledger.paused()
            && self.ledger.open() < min
            && !self.ledger.others_first(now, now)
            && self.enter_gate(min);
        if wanted {
            self.set_opening(self.opening + 1);
            self.show_gauges();
        }
        wanted
    }

    /// A waiting client is gone. Returns it, unless its wait was over already.
    pub fn cancel_wait(&mut self, ticket: Ticket) -> Option<u32> {
        let waiter = self.queue.remove(ticket)?;
        self.settle_need();
        self.show_gauges();
        Some(waiter.client)
    }

    /// The next client that has waited for `timeout` ns; its wait is over. Until None.
    pub fn expired(&mut self, now: u64, timeout: u64) -> Option<Waiter> {
        let late = self.queue.first().is_some_and(|first| now.saturating_sub(first.since) >= timeout);
        let waiter = if late { self.queue.pop() } else { None };
        if waiter.is_some() {
            add(&self.statistics().expired, 1);
            self.settle_need();
            self.show_gauges();
        }
        waiter
    }

    /// When `expired` has somebody, if nothing else happens before.
    pub fn next_expiry(&self, timeout: u64) -> Option<u64> {
        self.queue.first().map(|first| first.since.saturating_add(timeout))
    }

    /// Looks again for the waiters: a timer fired, the limit was raised, the pause is over. Call it until `Nothing` or `Timer`.
    pub fn look(&mut self, now: u64) -> After {
        if self.timer.is_some_and(|at| at <= now) {
            self.timer = None;
        }
        let after = if self.ledger.paused() { After::Nothing } else { self.find(now) };
        self.show_gauges();
        after
    }

    /// Another core says that a permit is free. Then `look` until `Nothing` or `Timer`.
    pub fn nudged(&mut self, now: u64) -> After {
        self.line().nudge_arrived();
        self.look(now)
    }

    /// This core gives its slice up (it ends, or the pool does): its permits return, its waiters are forgotten, nobody will lend to it.
    /// Servers still on their way here are undeliverable; of those found in its mailbox each returns its permit by `Ledger::give_back`.
    pub fn abandon(&mut self) -> After {
        self.let_go();
        self.pass_permit()
    }

    fn let_go(&mut self) {
        self.queue.clear();
        while self.line().need.take() {}
        while self.line().idle.take() {}
        let permits = self.idle.len() as u32 + self.busy + self.alone + self.opening;
        for _ in 0..self.opening {
            self.ledger.gate().leave();
        }
        self.idle.clear();
        self.set_opening(0);
        for _ in 0..permits {
            self.ledger.give_back();
        }
        for _ in 0..self.leaving {
            self.ledger.give_back_left();
        }
        (self.busy, self.leaving, self.alone, self.shown, self.asked) = (0, 0, 0, 0, 0);
        self.show_oldest();
        self.show_gauges();
    }

    /// Clients that wait here.
    pub fn waiting(&self) -> u32 {
        self.queue.len()
    }

    /// Servers that rest here, promised ones included.
    pub fn idle(&self) -> u32 {
        self.idle.len() as u32
    }

    /// The idle servers, the one that rests longest first.
    pub fn idle_links(&self) -> impl Iterator<Item = LinkId> {
        self.idle.iter().map(|rest| rest.link)
    }

    /// Servers in use here.
    pub fn active(&self) -> u32 {
        self.busy
    }

    /// Connections being opened here.
    pub fn opening(&self) -> u32 {
        self.opening
    }

    /// Servers that are being closed.
    pub fn leaving(&self) -> u32 {
        self.leaving
    }

    /// Nothing of the pool is on this core, nor on its way here.
    pub fn is_unused(&self) -> bool {
        self.idle.is_empty() && self.queue.is_empty() && self.busy + self.alone + self.opening + self.leaving + self.shown + self.asked == 0
    }

    /// Tests the invariants that this core can see. Err names the broken one.
    pub fn check(&self) -> Result<(), &'static str> {
        let (idle, need) = (self.line().idle.count(), self.line().need.count());
        let waiting = self.queue.len();
        let tests = [
            (idle <= self.shown, "more idle servers shown than put up"),
            (idle <= self.idle(), "more idle servers shown than there are"),
            (self.shown >= self.idle(), "an idle server is not shown"),
            (self.shown == self.idle() || idle == 0, "a dead server is still shown"),
            (need <= self.asked, "more waiters shown than put up"),
            (need <= waiting, "more waiters shown than there are"),
            (self.asked >= waiting, "a waiter is not shown"),
            (self.asked == waiting || need == 0, "a waiter that left is still shown"),
        ];
        tests.iter().find(|(holds, _)| !holds).map_or(Ok(()), |&(_, broken)| Err(broken))
    }

    /// Finds a free server its place: a waiter here, a waiter elsewhere, or rest. One that only just `arrived` is not sent on at once, so
    /// that it cannot travel from core to core without serving anybody.
    fn place(&mut self, link: LinkId, now: u64, arrived: bool) -> Checkin {
        if self.ledger.reserve_is_open() && self.queue.is_empty() && self.ledger.neediest(self.me).is_none() {
            self.ledger.close_reserve();
        }
        if self.ledger.try_shed() {
            self.leaving += 1;
            return Checkin::Retire;
        }
        // Another pool of the same database or user has waited much longer than anybody here, and all they may have together are in use.
        if !arrived && self.ledger.is_capped() {
            let here = self.queue.first().map_or(now, |first| first.since);
            let ours = self.ledger.neediest(self.me).map_or(here, |(_, there)| there.min(here));
            if self.ledger.owes_before(ours.saturating_sub(CAP_FAIR), now) {
                self.ledger.leave();
                self.leaving += 1;
                return Checkin::Retire;
            }
        }
        let paused = self.ledger.paused();
        if let (false, Some(first)) = (paused, self.queue.first()) {
            if !arrived && let Some(core) = self.waits_much_longer(first.since) {
                add(&self.statistics().lent, 1);
                return Checkin::Lend { core, link };
            }
            self.serve_first(first, now);
            return Checkin::Serve { client: first.client, link, waited_since: first.since };
        }
        self.idle.push(Rest { link, since: now });
        self.settle_idle();
        if paused {
            return Checkin::Idle { timer: None };
        }
        match self.offer(now, arrived) {
            After::Lend { core, link } => Checkin::Lend { core, link },
            After::Timer { at } => Checkin::Idle { timer: Some(at) },
            _ => Checkin::Idle { timer: None },
        }
    }

    /// X: the core to which we owe a server though a client waits here since `ours`; its need is taken.
    fn waits_much_longer(&self, ours: u64) -> Option<usize> {
        for _ in 0..TRIES {
            let (core, since) = self.ledger.neediest(self.me)?;
            if since.saturating_add(self.rules.fair) >= ours {
                return None;
            }
            if self.ledger.line(core).need.take() {
                return Some(core);
            }
        }
        None
    }

    /// Everything `look` looks for, most urgent first.
    fn find(&mut self, now: u64) -> After {
        let found = if self.queue.is_empty() { self.offer(now, false) } else { self.serve_or_search(now) };
        if found == After::Nothing { self.pass_permit() } else { found }
    }

    /// For a waiter of ours: a server that rests here (after a pause), or one from elsewhere.
    fn serve_or_search(&mut self, now: u64) -> After {
        if let Some(first) = self.queue.first()
            && let Some(link) = self.claim_idle()
        {
            self.serve_first(first, now);
            return After::Serve { client: first.client, link, waited_since: first.since };
        }
        self.seek(now)
    }

    /// Looks for a server for the first uncovered waiter: another core's idle one, or a new one.
    fn seek(&mut self, now: u64) -> After {
        for _ in 0..TRIES {
            if self.line().need.count() == 0 {
                return After::Nothing;
            }
            let Some(core) = self.ledger.richest(self.me) else { return self.seek_permit(now) };
            let old = self.oldest.saturating_add(self.rules.young);
            let back_soon = self.busy > 0 || self.opening > 0;
            if back_soon && now < old {
                return self.arm(old);
            }
            // Our own unit first: when the other one is gone we can put ours up again and look again, as any waiter does.
            if !self.line().need.take() {
                return After::Nothing;
            }
            if self.ledger.line(core).idle.take() {
                self.show_oldest();
                add(&self.statistics().asked, 1);
                return After::Ask { core };
            }
            self.line().need.put();
        }
        self.arm(now.saturating_add(self.rules.young))
    }

    fn seek_permit(&mut self, now: u64) -> After {
        if self.opening >= self.line().need.count() {
            return After::Nothing;
        }
        let retry_at = self.ledger.retry_at();
        if !self.ledger.has_room() {
            return After::Nothing;
        }
        if now < retry_at {
            return self.arm(retry_at);
        }
        let since = self.queue.first().map_or(now, |first| first.since);
        if let Some(core) = self.owes_permit(since) {
            return if self.ledger.line(core).nudge() { After::Nudge { core } } else { self.arm(now.saturating_add(self.rules.fair)) };
        }
        if self.ledger.others_first(since, now) {
            return After::Gated;
        }
        if !self.enter_gate(u32::MAX) {
            // No room after all: who makes some tells us. A full gate: the engine looks again.
            return if self.ledger.has_room() { After::Gated } else { After::Nothing };
        }
        self.ledger.wanted_no_more(since);
        self.set_opening(self.opening + 1);
        After::Open
    }

    /// Takes what one more connection needs: a place at the server's gate and a permit, while fewer than `below` are open.
    pub(super) fn enter_gate(&self, below: u32) -> bool {
        let gate = self.ledger.gate();
        if !gate.enter() {
            return false;
        }
        let reserved = self.ledger.reserve_below(below);
        if !reserved {
            gate.leave();
        }
        reserved
    }

    /// Y: looks for a waiter elsewhere, old enough to get an idle server of ours. With `later` none is old enough yet.
    fn offer(&mut self, now: u64, later: bool) -> After {
        for _ in 0..TRIES {
            if self.line().idle.count() == 0 {
                return After::Nothing;
            }
            let Some((core, since)) = self.ledger.neediest(self.me) else { return After::Nothing };
            let soonest = if later { now.saturating_add(self.rules.young) } else { now };
            let old = since.saturating_add(self.rules.young).max(soonest);
            if now < old {
                return self.arm(old);
            }
            // Our own unit first, as in `seek`.
            if !self.take_own_idle() {
                return After::Nothing;
            }
            if !self.ledger.line(core).need.take() {
                self.settle_idle();
                continue;
            }
            add(&self.statistics().lent, 1);
            return self.idle.pop().map_or(After::Nothing, |rest| After::Lend { core, link: rest.link });
        }
        self.arm(now.saturating_add(self.rules.young))
    }

    /// A connection of ours is closed: its permit is free.
    pub(super) fn freed(&mut self, now: u64) -> After {
        add(&self.statistics().closed, 1);
        self.ledger.give_back();
        self.look(now)
    }

    /// A free permit that nobody here needs goes to the core that does, if it does not hear of one already. That core does the same, so a
    /// permit ends where it is used, or where a timer holds it, or where nobody is left who wants it.
    fn pass_permit(&self) -> After {
        // Who wants it too and could not take it now holds a timer for it. Passing it on from there would send it round in circles.
        let ours = self.line().need.count() > self.opening;
        let wanting = if !ours && self.ledger.has_room() { self.ledger.wanting(self.me) } else { None };
        match wanting {
            Some(core) if self.ledger.line(core).nudge() => After::Nudge { core },
            _ => After::Nothing,
        }
    }

    fn line(&self) -> &Line {
        self.ledger.line(self.me)
    }

    pub(super) fn statistics(&self) -> &Statistics {
        self.ledger.statistics(self.me)
    }

    /// One timer per slice: a later one waits for the look of the earlier.
    fn arm(&mut self, at: u64) -> After {
        if self.timer.is_some_and(|armed| armed <= at) {
            return After::Nothing;
        }
        self.timer = Some(at);
        After::Timer { at }
    }

    /// The first waiter gets a server.
    fn serve_first(&mut self, first: Waiter, now: u64) {
        self.queue.pop();
        self.busy += 1;
        self.settle_need();
        let statistics = self.statistics();
        add(&statistics.grants, 1);
        add(&statistics.waited_ns, now.saturating_sub(first.since));
    }

    /// Takes one of our own idle servers from the semaphore: it is not promised to anybody. The caller takes it from the list.
    pub(super) fn take_own_idle(&mut self) -> bool {
        let taken = self.line().idle.take();
        if taken {
            self.shown = less(self.shown);
        }
        taken
    }

    /// The newest idle server, unless all are promised.
    fn claim_idle(&mut self) -> Option<LinkId> {
        if self.take_own_idle() { self.idle.pop().map(|rest| rest.link) } else { None }
    }

    /// Brings the semaphore `idle` in line with the list.
    pub(super) fn settle_idle(&mut self) {
        let idle = self.idle.len() as u32;
        while self.shown > idle && self.take_own_idle() {}
        while self.shown < idle {
            self.line().idle.put();
            self.shown += 1;
        }
    }

    /// Brings the semaphore `need` in line with the queue.
    pub(super) fn settle_need(&mut self) {
        let waiting = self.queue.len();
        while self.asked > waiting && self.line().need.take() {
            self.asked -= 1;
        }
        self.show_oldest();
        while self.asked < waiting {
            self.line().need.put();
            self.asked += 1;
        }
    }

    /// Shows since when the first uncovered waiter waits: the first `asked - need` are covered by servers on their way.
    fn show_oldest(&mut self) {
        let covered = self.asked.saturating_sub(self.line().need.count());
        let uncovered = covered < self.queue.len();
        let oldest = if uncovered { self.queue.nth(covered.min(COVERED_SEEN)).map_or(NOBODY, |waiter| waiter.since) } else { NOBODY };
        if self.oldest != oldest {
            self.oldest = oldest;
            self.line().show_oldest(oldest);
        }
    }

    pub(super) fn set_opening(&mut self, opening: u32) {
        self.opening = opening;
        self.line().show_opening(opening);
    }

    pub(super) fn show_gauges(&self) {
        let statistics = self.statistics();
        set(&statistics.waiting, u64::from(self.queue.len()));
        set(&statistics.idle, self.idle.len() as u64);
        set(&statistics.busy, u64::from(self.busy + self.alone));
        set(&statistics.opening, u64::from(self.opening));
        set(&statistics.waiting_since, self.queue.first().map_or(0, |first| first.since));
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        // Not `abandon`: nobody would carry its verdict out.
        self.let_go();
    }
}

/// One less of something that is there. (The engine says everything once; if it ever does not, the count stays at 0.)
pub(super) fn less(count: u32) -> u32 {
    debug_assert!(count > 0, "something ended that had not begun");
    count.saturating_sub(1)
}

#[cfg(test)]
#[path = "slice_tests.rs"]
mod tests;
