//! Slices of several cores in one thread: the rules one by one, then a random world of cores with late mail, deaths and changes of mind.
//! (`tests/loom.rs` tries what this cannot: two cores in the middle of a decision.)
#![cfg(not(loom))]

use std::collections::{HashMap, VecDeque};

use super::*;
use crate::pool::ledger::Gate;

const MS: u64 = 1_000_000;

fn pool(cores: usize, limit: u32) -> (Arc<Ledger>, Vec<Slice>) {
    let ledger = Arc::new(Ledger::new(cores, limit));
    let slices = slices_of(&ledger);
    (ledger, slices)
}

fn slices_of(ledger: &Arc<Ledger>) -> Vec<Slice> {
    (0..ledger.cores()).map(|core| Slice::new(ledger.clone(), core, Rules::default())).collect()
}

/// Opens `links` on that slice; they rest there.
fn fill(slice: &mut Slice, links: std::ops::Range<u32>) {
    for link in links {
        assert!(slice.wanted_extra(u32::MAX, 0));
        assert_eq!(slice.opened(link, 0), Checkin::Idle { timer: None });
    }
}

fn wait(slice: &mut Slice, client: u32, now: u64) -> (Ticket, After) {
    match slice.checkout(client, now) {
        Checkout::Wait { ticket, then } => (ticket, then),
        grant => panic!("{grant:?}"),
    }
}

fn grant(slice: &mut Slice, client: u32, now: u64) -> LinkId {
    match slice.checkout(client, now) {
        Checkout::Grant(link) => link,
        wait => panic!("{wait:?}"),
    }
}

#[test]
fn own_idle_newest_first_then_a_new_one_then_the_queue() {
    let (ledger, mut slices) = pool(1, 3);
    let slice = &mut slices[0];
    fill(slice, 1..3);
    assert_eq!((grant(slice, 10, 0), grant(slice, 11, 0)), (2, 1));
    let (_, then) = wait(slice, 12, 5);
    assert_eq!((then, ledger.open(), slice.opening()), (After::Open, 3, 1));
    let (_, then) = wait(slice, 13, 6);
    assert_eq!(then, After::Nothing, "no permit is left");
    assert_eq!(slice.opened(3, 9), Checkin::Serve { client: 12, link: 3, waited_since: 5 });
    assert_eq!(slice.oldest_wait(10), 4);
    assert_eq!(slice.checkin(1, 10), Checkin::Serve { client: 13, link: 1, waited_since: 6 });
    assert_eq!(slice.checkin(3, 11), Checkin::Idle { timer: None });
    assert_eq!((slice.active(), slice.idle(), slice.waiting()), (2, 1, 0));
    assert_eq!(grant(slice, 14, 12), 3);
}

#[test]
fn no_more_connections_are_opened_than_clients_wait() {
    let (ledger, mut slices) = pool(1, 10);
    let slice = &mut slices[0];
    assert!(slice.wanted_extra(1, 0));
    let (ticket, then) = wait(slice, 1, 0);
    assert_eq!(then, After::Nothing, "one is being opened already");
    assert_eq!(wait(slice, 2, 0).1, After::Open);
    assert_eq!(slice.cancel_wait(ticket), Some(1));
    assert_eq!(slice.cancel_wait(ticket), None);
    assert_eq!(wait(slice, 3, 0).1, After::Nothing);
    assert_eq!(ledger.open(), 2);
}

#[test]
fn a_core_without_servers_asks_at_once() {
    let (ledger, mut slices) = pool(2, 4);
    fill(&mut slices[1], 1..3);
    let (_, then) = wait(&mut slices[0], 10, 0);
    assert_eq!(then, After::Ask { core: 1 });
    assert_eq!(ledger.line(1).idle.count(), 1);
    // The promised one is not for the owner any more, the other one is.
    assert_eq!(grant(&mut slices[1], 20, 0), 2);
    assert_eq!(wait(&mut slices[1], 21, 0).1, After::Open);
    assert_eq!(slices[1].take(), Take::Hand(1));
    assert_eq!(slices[0].handed(1, 50), Checkin::Serve { client: 10, link: 1, waited_since: 0 });
    assert_eq!(ledger.open(), 3);
}

#[test]
fn a_core_with_busy_servers_asks_after_y() {
    let (_, mut slices) = pool(2, 3);
    fill(&mut slices[0], 1..2);
    fill(&mut slices[1], 2..4);
    assert_eq!(grant(&mut slices[0], 10, 0), 1);
    let (_, then) = wait(&mut slices[0], 11, MS);
    assert_eq!(then, After::Timer { at: MS + 300_000 });
    let (_, then) = wait(&mut slices[0], 12, MS + 1000);
    assert_eq!(then, After::Nothing, "one timer per slice");
    assert_eq!(slices[0].look(MS + 299_999), After::Nothing);
    assert_eq!(slices[0].look(MS + 300_000), After::Ask { core: 1 });
    assert_eq!(slices[0].look(MS + 300_000), After::Timer { at: MS + 301_000 });
    assert_eq!(slices[0].look(MS + 301_000), After::Ask { core: 1 });
    assert_eq!(slices[0].look(MS + 301_000), After::Nothing);
}

#[test]
fn check_in_without_waiters_lends_to_the_old_and_arms_for_the_young() {
    let (ledger, mut slices) = pool(3, 2);
    fill(&mut slices[0], 1..3);
    assert_eq!((grant(&mut slices[0], 1, 0), grant(&mut slices[0], 2, 0)), (2, 1));
    assert_eq!(wait(&mut slices[1], 10, MS).1, After::Nothing);
    assert_eq!(wait(&mut slices[2], 20, 2 * MS).1, After::Nothing);
    assert_eq!(slices[0].checkin(2, 2 * MS), Checkin::Lend { core: 1, link: 2 });
    let at = 2 * MS + 300_000;
    assert_eq!(slices[0].checkin(1, 2 * MS + 5), Checkin::Idle { timer: Some(at) });
    assert_eq!(slices[0].look(at), After::Lend { core: 2, link: 1 });
    assert_eq!((slices[0].idle(), slices[0].active(), ledger.open()), (0, 0, 2));
    assert!(slices[0].is_unused());
}

#[test]
fn check_in_with_waiters_lends_only_beyond_x() {
    let (_, mut slices) = pool(2, 2);
    fill(&mut slices[0], 1..3);
    let (a, b) = (grant(&mut slices[0], 1, 0), grant(&mut slices[0], 2, 0));
    let _ = wait(&mut slices[1], 10, MS);
    let _ = wait(&mut slices[0], 11, 4 * MS);
    let _ = wait(&mut slices[0], 12, 4 * MS + 1);
    assert_eq!(slices[0].checkin(a, 9 * MS), Checkin::Serve { client: 11, link: a, waited_since: 4 * MS }, "exactly X is not beyond X");
    assert_eq!(slices[0].checkin(b, 9 * MS), Checkin::Lend { core: 1, link: b }, "one more is");
    assert_eq!(slices[1].handed(b, 9 * MS), Checkin::Serve { client: 10, link: b, waited_since: MS });
}

#[test]
fn an_arrival_without_waiter_rests_before_it_goes_on() {
    let (_, mut slices) = pool(3, 1);
    fill(&mut slices[0], 1..2);
    let link = grant(&mut slices[0], 1, 0);
    let (ticket, _) = wait(&mut slices[1], 10, 0);
    let _ = wait(&mut slices[2], 20, MS);
    assert_eq!(slices[0].checkin(link, 9 * MS), Checkin::Lend { core: 1, link });
    assert_eq!(slices[1].cancel_wait(ticket), Some(10));
    let at = 9 * MS + 300_000;
    assert_eq!(slices[1].handed(link, 9 * MS), Checkin::Idle { timer: Some(at) });
    assert_eq!(slices[1].look(at), After::Lend { core: 2, link });
    assert_eq!(slices[2].handed(link, at), Checkin::Serve { client: 20, link, waited_since: MS });
}

#[test]
fn a_server_on_its_way_serves_who_comes_meanwhile() {
    let (ledger, mut slices) = pool(2, 1);
    fill(&mut slices[0], 1..2);
    let link = grant(&mut slices[0], 1, 0);
    let (ticket, _) = wait(&mut slices[1], 10, 0);
    assert_eq!(slices[0].checkin(link, MS), Checkin::Lend { core: 1, link });
    assert_eq!(slices[1].cancel_wait(ticket), Some(10));
    let _ = wait(&mut slices[1], 11, MS);
    assert_eq!(ledger.line(1).need.count(), 0, "covered by the server that comes");
    assert_eq!(slices[1].handed(link, 2 * MS), Checkin::Serve { client: 11, link, waited_since: MS });
}

#[test]
fn a_promised_server_that_died_is_refunded_or_replaced() {
    let (ledger, mut slices) = pool(2, 1);
    fill(&mut slices[1], 1..2);
    assert_eq!(wait(&mut slices[0], 10, 0).1, After::Ask { core: 1 });
    assert_eq!(slices[1].idle_died(1, 1), After::Nothing);
    assert_eq!((ledger.open(), slices[1].idle_died(1, 1)), (0, After::Nothing));
    assert_eq!(slices[1].take(), Take::Broken);
    assert_eq!(slices[0].refunded(2), After::Open);
    assert_eq!(slices[0].opened(2, 3), Checkin::Serve { client: 10, link: 2, waited_since: 0 });
    // The same again, but another server of that core gets free before the TAKE arrives.
    let (ledger, mut slices) = pool(2, 2);
    fill(&mut slices[1], 1..3);
    let busy = grant(&mut slices[1], 1, 0);
    assert_eq!(wait(&mut slices[0], 10, 0).1, After::Ask { core: 1 });
    assert_eq!(slices[1].idle_died(1, 1), After::Nothing);
    assert_eq!(slices[1].checkin(busy, 2), Checkin::Idle { timer: None });
    assert_eq!(ledger.line(1).idle.count(), 0, "it fills the gap of the promise");
    assert_eq!(slices[1].take(), Take::Hand(busy));
}

#[test]
fn a_free_permit_reaches_a_waiter_on_another_core_once() {
    let (ledger, mut slices) = pool(3, 2);
    fill(&mut slices[0], 1..3);
    assert_eq!((grant(&mut slices[0], 1, 0), grant(&mut slices[0], 2, 0)), (2, 1));
    assert_eq!(wait(&mut slices[1], 10, 0).1, After::Nothing);
    assert_eq!(wait(&mut slices[2], 20, 1).1, After::Nothing);
    assert_eq!(slices[0].busy_died(MS), After::Nudge { core: 1 });
    assert_eq!(slices[0].look(MS), After::Nothing, "one nudge is on its way");
    assert_eq!(slices[0].busy_died(MS), After::Nothing);
    assert_eq!(slices[1].nudged(MS), After::Open);
    assert_eq!(slices[1].look(MS), After::Nudge { core: 2 });
    assert_eq!(slices[2].nudged(MS), After::Open);
    assert_eq!(slices[2].look(MS), After::Nothing);
    assert_eq!(ledger.open(), 2);
}

#[test]
fn a_failed_connect_returns_its_permit_and_holds_back_all_cores() {
    let (ledger, mut slices) = pool(2, 5);
    assert_eq!(wait(&mut slices[0], 10, 0).1, After::Open);
    assert_eq!(slices[0].open_failed(MS, 20 * MS, false), After::Timer { at: 21 * MS });
    assert_eq!(ledger.open(), 0);
    assert_eq!(wait(&mut slices[1], 11, 2 * MS).1, After::Timer { at: 21 * MS });
    assert!(!slices[1].wanted_extra(2, 2 * MS));
    assert_eq!(slices[0].expired(2 * MS, 0), Some(Waiter { client: 10, since: 0 }));
    assert_eq!(slices[0].look(21 * MS), After::Nudge { core: 1 });
    assert_eq!(slices[1].look(21 * MS), After::Open);
    assert_eq!(slices[1].opened(1, 22 * MS), Checkin::Serve { client: 11, link: 1, waited_since: 2 * MS });
    assert_eq!(ledger.retry_at(), 0);
}

#[test]
fn held_back_cores_do_not_send_a_permit_round_in_circles() {
    let (_, mut slices) = pool(3, 5);
    for (core, slice) in slices.iter_mut().enumerate() {
        assert_eq!(wait(slice, core as u32, 0).1, After::Open);
    }
    for slice in &mut slices {
        assert_eq!(slice.open_failed(MS, 20 * MS, false), After::Timer { at: 21 * MS });
    }
    for slice in &mut slices {
        assert_eq!((slice.nudged(2 * MS), slice.look(2 * MS)), (After::Nothing, After::Nothing));
    }
}

#[test]
fn pause_keeps_all_waiting_and_resume_serves_in_order() {
    let (ledger, mut slices) = pool(1, 2);
    let slice = &mut slices[0];
    fill(slice, 1..3);
    let link = grant(slice, 1, 0);
    ledger.set_paused(true);
    for client in 10..13 {
        assert_eq!(wait(slice, client, u64::from(client)).1, After::Nothing);
    }
    assert_eq!(slice.checkin(link, 20), Checkin::Idle { timer: None });
    assert!(!slice.wanted_extra(5, 20));
    assert_eq!((slice.look(30), slice.idle()), (After::Nothing, 2));
    ledger.set_paused(false);
    assert_eq!(slice.look(40), After::Serve { client: 10, link, waited_since: 10 });
    assert_eq!(slice.look(40), After::Serve { client: 11, link: 1, waited_since: 11 });
    assert_eq!(slice.look(40), After::Nothing);
}

#[test]
fn a_lower_limit_retires_exactly_the_excess() {
    let (ledger, mut slices) = pool(2, 4);
    fill(&mut slices[0], 1..4);
    fill(&mut slices[1], 4..5);
    let (a, b) = (grant(&mut slices[0], 1, 0), grant(&mut slices[1], 2, 0));
    let _ = wait(&mut slices[1], 11, 0);
    ledger.set_limit(2);
    assert_eq!(slices[1].checkin(b, 1), Checkin::Retire);
    assert_eq!((slices[0].shed(), slices[0].shed()), (Some(1), None), "the one that rests longest, and only one");
    assert_eq!(slices[0].checkin(a, 1), Checkin::Idle { timer: Some(300_000) }, "enough have gone");
    assert_eq!((ledger.open(), slices[0].leaving(), slices[1].leaving()), (4, 1, 1), "permits return when closed");
    assert!(!ledger.try_reserve());
    assert_eq!(slices[0].left(2), After::Nothing);
    ledger.set_limit(5);
    assert_eq!(slices[1].left(2), After::Ask { core: 0 }, "an idle server goes before a new one");
    assert_eq!((ledger.open(), slices[0].leaving(), slices[1].leaving()), (2, 0, 0));
}

#[test]
fn withdrawn_servers_are_not_lent() {
    let (ledger, mut slices) = pool(2, 2);
    fill(&mut slices[0], 1..3);
    assert!(!slices[0].withdraw(9));
    assert!(slices[0].withdraw(1));
    assert_eq!((slices[0].idle_links().collect::<Vec<_>>(), slices[0].active(), ledger.line(0).idle.count()), (vec![2], 1, 1));
    assert_eq!(wait(&mut slices[1], 10, 0).1, After::Ask { core: 0 });
    assert!(!slices[0].withdraw(2), "promised");
    assert_eq!(slices[0].busy_died(0), After::Nothing);
    assert_eq!((slices[0].take(), ledger.open()), (Take::Hand(2), 1));
}

#[test]
fn waits_end_by_the_clock_in_order() {
    let (_, mut slices) = pool(1, 1);
    let slice = &mut slices[0];
    assert_eq!(slice.next_expiry(5), None);
    for (client, at) in [(1, 10), (2, 20), (3, 30)] {
        let _ = wait(slice, client, at);
    }
    assert_eq!(slice.next_expiry(100), Some(110));
    assert_eq!(slice.expired(109, 100), None);
    assert_eq!(slice.expired(120, 100).map(|w| w.client), Some(1));
    assert_eq!(slice.expired(120, 100).map(|w| w.client), Some(2));
    assert_eq!((slice.expired(120, 100), slice.waiting()), (None, 1));
}

#[test]
fn the_minimum_is_kept_over_all_cores() {
    let (ledger, mut slices) = pool(2, 3);
    assert!(slices[0].wanted_extra(2, 0) && slices[1].wanted_extra(2, 0));
    assert!(!slices[0].wanted_extra(2, 0) && !slices[1].wanted_extra(2, 0));
    assert!(slices[0].wanted_extra(9, 0) && !slices[0].wanted_extra(9, 0), "never above the limit");
    assert_eq!(ledger.open(), 3);
}

#[test]
fn a_core_that_ends_returns_its_permits() {
    let (ledger, mut slices) = pool(2, 4);
    fill(&mut slices[0], 1..4);
    let _ = (grant(&mut slices[0], 1, 0), grant(&mut slices[0], 2, 0));
    assert!(slices[0].wanted_extra(9, 0));
    ledger.set_limit(3);
    assert_eq!(slices[0].checkin(3, 0), Checkin::Retire);
    for client in 10..13 {
        let _ = wait(&mut slices[1], client, 0);
    }
    assert_eq!(ledger.open(), 4);
    // One was promised to core 1: that permit must come back too, and the promise be refunded by who posts the TAKE.
    assert_eq!(slices[0].abandon(), After::Nudge { core: 1 });
    assert_eq!((ledger.open(), ledger.line(0).idle.count()), (0, 0));
    assert_eq!(slices[1].refunded(1), After::Open);
    drop(slices);
    assert_eq!(ledger.open(), 0);
}

#[test]
fn an_undeliverable_server_stays() {
    let (ledger, mut slices) = pool(2, 1);
    fill(&mut slices[0], 1..2);
    let link = grant(&mut slices[0], 1, 0);
    let _ = wait(&mut slices[1], 10, 0);
    assert_eq!(slices[0].checkin(link, MS), Checkin::Lend { core: 1, link });
    let _ = slices[1].abandon();
    assert_eq!(slices[0].undeliverable(link, MS), Checkin::Idle { timer: None });
    assert_eq!((grant(&mut slices[0], 2, MS), ledger.open()), (link, 1));
}

#[test]
fn x_bounds_the_wait_of_a_core_that_lost_its_servers() {
    // Core 0 holds the only two servers and always has waiters; core 1 has one waiter and nothing else.
    let (_, mut slices) = pool(2, 2);
    fill(&mut slices[0], 1..3);
    let mut busy = VecDeque::from([grant(&mut slices[0], 1, 0), grant(&mut slices[0], 2, 0)]);
    let _ = wait(&mut slices[1], 1000, 0);
    for client in 0..20 {
        let _ = wait(&mut slices[0], client, 0);
    }
    let mut now = 0;
    let served_at = loop {
        now += 100_000;
        assert!(now < 20 * MS, "starved");
        let _ = wait(&mut slices[0], now as u32, now);
        let Some(link) = busy.pop_front() else { panic!("no server is busy") };
        match slices[0].checkin(link, now) {
            Checkin::Serve { link, .. } => busy.push_back(link),
            Checkin::Lend { core: 1, .. } => break now,
            other => panic!("{other:?}"),
        }
    };
    // The queue is 2 ms long (20 clients, one served per 0.1 ms); then X.
    assert!(served_at <= 2 * MS + 3 * MS + 200_000, "{served_at}");
}

// ---- the random world ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Idle(usize),
    Busy(usize),
    Flying,
    Leaving(usize),
}

#[derive(Clone, Copy, Debug)]
enum Mail {
    Hand(LinkId),
    Take { from: usize },
    Refund,
    Nudge,
    Look,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    client: u32,
    since: u64,
    ticket: Ticket,
}

struct World {
    seed: u64,
    random: u64,
    now: u64,
    ledger: Arc<Ledger>,
    slices: Vec<Slice>,
    /// (when, to, what)
    mail: Vec<(u64, usize, Mail)>,
    timers: Vec<Option<u64>>,
    gated: Vec<Option<u64>>,
    /// (when, where)
    opening: Vec<(u64, usize)>,
    links: HashMap<LinkId, Place>,
    queues: Vec<VecDeque<Waits>>,
    /// servers on their way to a core
    coming: Vec<u32>,
    next: u32,
    served: u64,
    lent: u64,
    refunds: u64,
}

impl World {
    fn new(seed: u64, cores: usize) -> World {
        let gate = Arc::new(if seed.is_multiple_of(2) { Gate::default() } else { Gate::new(1 + (seed % 3) as u32) });
        let ledger = Arc::new(Ledger::behind(gate, cores, 1 + (seed % 9) as u32));
        let slices = slices_of(&ledger);
        World {
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: 1000,
            ledger,
            slices,
            mail: Vec::new(),
            timers: vec![None; cores],
            gated: vec![None; cores],
            opening: Vec::new(),
            links: HashMap::new(),
            queues: vec![VecDeque::new(); cores],
            coming: vec![0; cores],
            next: 0,
            served: 0,
            lent: 0,
            refunds: 0,
        }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn post(&mut self, to: usize, mail: Mail) {
        let late = [2_000, 50_000, 2 * MS][self.roll(3) as usize];
        let at = self.now + self.roll(late);
        self.mail.push((at, to, mail));
    }

    fn serve(&mut self, core: usize, client: u32, link: LinkId, since: u64) {
        let first = self.queues[core].pop_front();
        assert_eq!(first.map(|w| (w.client, w.since)), Some((client, since)), "seed {}: served past the queue", self.seed);
        self.links.insert(link, Place::Busy(core));
        self.served += 1;
    }

    fn fly(&mut self, to: usize, link: LinkId) {
        let before = self.links.insert(link, Place::Flying);
        assert!(matches!(before, Some(Place::Idle(_) | Place::Busy(_) | Place::Flying)), "seed {}: {before:?} was lent", self.seed);
        self.lent += 1;
        self.post(to, Mail::Hand(link));
    }

    fn carry_out(&mut self, core: usize, after: After) {
        match after {
            After::Nothing => {}
            After::Serve { client, link, waited_since } => {
                assert_eq!(self.links.get(&link), Some(&Place::Idle(core)), "seed {}: two owners", self.seed);
                self.serve(core, client, link, waited_since);
            }
            After::Lend { core: to, link } => {
                assert_eq!(self.links.get(&link), Some(&Place::Idle(core)), "seed {}: two owners", self.seed);
                self.coming[to] += 1;
                self.fly(to, link);
            }
            After::Ask { core: of } => {
                self.coming[core] += 1;
                self.post(of, Mail::Take { from: core });
            }
            After::Gated => {
                // The engine looks again when a connection has been opened somewhere, or a little later.
                self.gated[core].get_or_insert(self.now + 10 * MS);
            }
            After::Open => {
                let at = self.now + 100_000 + self.roll(5 * MS);
                self.opening.push((at, core));
            }
            After::Nudge { core: to } => self.post(to, Mail::Nudge),
            After::Timer { at } => self.timers[core] = Some(at),
        }
    }

    /// What the engine does after anything but a checkout.
    fn look(&mut self, core: usize, mut after: After) {
        for _ in 0..1000 {
            self.carry_out(core, after);
            if matches!(after, After::Timer { .. } | After::Gated) {
                return;
            }
            let again = self.slices[core].look(self.now);
            if after == After::Nothing && again == After::Nothing {
                return;
            }
            after = again;
        }
        panic!("seed {}: looks without end", self.seed);
    }

    fn placed(&mut self, core: usize, link: LinkId, verdict: Checkin) {
        match verdict {
            Checkin::Serve { client, link: served, waited_since } => {
                assert_eq!(served, link);
                self.serve(core, client, link, waited_since);
            }
            Checkin::Lend { core: to, link: lent } => {
                assert_eq!(lent, link);
                self.coming[to] += 1;
                self.fly(to, link);
            }
            Checkin::Idle { timer } => {
                self.links.insert(link, Place::Idle(core));
                if timer.is_some() {
                    self.timers[core] = timer;
                }
            }
            Checkin::Retire => {
                self.links.insert(link, Place::Leaving(core));
            }
        }
    }

    fn deliver(&mut self, core: usize, mail: Mail) {
        match mail {
            Mail::Hand(link) => {
                assert_eq!(self.links.get(&link), Some(&Place::Flying), "seed {}", self.seed);
                self.coming[core] -= 1;
                let verdict = self.slices[core].handed(link, self.now);
                self.placed(core, link, verdict);
            }
            Mail::Take { from } => match self.slices[core].take() {
                Take::Hand(link) => {
                    assert_eq!(self.links.get(&link), Some(&Place::Idle(core)), "seed {}: two owners", self.seed);
                    self.fly(from, link);
                }
                Take::Broken => self.post(from, Mail::Refund),
            },
            Mail::Refund => {
                self.refunds += 1;
                self.coming[core] -= 1;
                let after = self.slices[core].refunded(self.now);
                self.look(core, after);
            }
            Mail::Nudge => {
                let after = self.slices[core].nudged(self.now);
                self.look(core, after);
            }
            Mail::Look => {
                while let Some(link) = self.slices[core].shed() {
                    assert_eq!(self.links.insert(link, Place::Leaving(core)), Some(Place::Idle(core)), "seed {}", self.seed);
                }
                self.look(core, After::Nothing);
            }
        }
    }

    fn connected(&mut self, core: usize, works: bool) {
        if works {
            self.next += 1;
            let link = self.next;
            let verdict = self.slices[core].opened(link, self.now);
            self.placed(core, link, verdict);
        } else {
            let (pause, half_open) = (self.roll(2) * MS, self.roll(2) == 0);
            let after = self.slices[core].open_failed(self.now, pause, half_open);
            if half_open {
                self.next += 1;
                self.links.insert(self.next, Place::Leaving(core));
            }
            self.look(core, after);
            if self.roll(2) == 0
                && let Some(told) = self.slices[core].expired(self.now, 0)
            {
                assert_eq!(self.queues[core].pop_front().map(|w| w.client), Some(told.client));
            }
        }
    }

    /// Lets everything happen whose time has come. `faults`: connects may fail.
    fn happen(&mut self, faults: bool) {
        while let Some(at) = self.mail.iter().position(|&(at, ..)| at <= self.now) {
            let (_, core, mail) = self.mail.swap_remove(at);
            self.deliver(core, mail);
        }
        while let Some(at) = self.opening.iter().position(|&(at, _)| at <= self.now) {
            let (_, core) = self.opening.swap_remove(at);
            let works = !faults || self.roll(4) > 0;
            self.connected(core, works);
        }
        for core in 0..self.slices.len() {
            let now = self.now;
            let rang = [&mut self.timers, &mut self.gated].map(|rings| rings[core].take_if(|at| *at <= now).is_some());
            if rang.contains(&true) {
                self.look(core, After::Nothing);
            }
        }
    }

    fn checkout(&mut self, core: usize) {
        self.next += 1;
        let client = self.next;
        match self.slices[core].checkout(client, self.now) {
            Checkout::Grant(link) => {
                assert!(self.queues[core].is_empty(), "seed {}: served past the queue", self.seed);
                assert_eq!(self.links.insert(link, Place::Busy(core)), Some(Place::Idle(core)), "seed {}: two owners", self.seed);
            }
            Checkout::Wait { ticket, then } => {
                self.queues[core].push_back(Waits { client, since: self.now, ticket });
                self.carry_out(core, then);
            }
        }
    }

    fn some_link(&mut self, wanted: impl Fn(Place) -> Option<usize>) -> Option<(LinkId, usize)> {
        let mut links: Vec<_> = self.links.iter().filter_map(|(&link, &place)| Some((link, wanted(place)?))).collect();
        links.sort_unstable();
        if links.is_empty() {
            return None;
        }
        let at = self.roll(links.len() as u64) as usize;
        Some(links[at])
    }

    fn some_busy(&mut self) -> Option<(LinkId, usize)> {
        self.some_link(|place| if let Place::Busy(core) = place { Some(core) } else { None })
    }

    fn checkin(&mut self, link: LinkId, core: usize) {
        let verdict = self.slices[core].checkin(link, self.now);
        if let Checkin::Serve { waited_since, .. } = verdict {
            self.assert_fair(core, waited_since);
        }
        self.placed(core, link, verdict);
    }

    /// Nobody elsewhere to whom no server is on its way has waited longer by more than X than who is served now.
    fn assert_fair(&self, core: usize, served: u64) {
        for other in (0..self.slices.len()).filter(|&other| other != core) {
            if let Some(first) = self.queues[other].get(self.coming[other] as usize) {
                let fair = first.since + Rules::default().fair >= served;
                assert!(fair, "seed {}: {first:?} on {other} was passed over for one of {served}", self.seed);
            }
        }
    }

    fn step(&mut self) {
        let core = self.roll(self.slices.len() as u64) as usize;
        match self.roll(100) {
            0..35 => {
                if self.queues[core].len() < 30 {
                    // Clients lean to core 0.
                    let core = if self.roll(3) == 0 { 0 } else { core };
                    self.checkout(core);
                }
            }
            35..70 => {
                if let Some((link, core)) = self.some_busy() {
                    self.checkin(link, core);
                }
            }
            70..73 => {
                if let Some((link, core)) = self.some_busy() {
                    if self.roll(2) == 0 {
                        self.slices[core].leave();
                        self.links.insert(link, Place::Leaving(core));
                    } else {
                        self.links.remove(&link);
                        let after = self.slices[core].busy_died(self.now);
                        self.look(core, after);
                    }
                }
            }
            73..76 => {
                if let Some((link, core)) = self.some_link(|place| if let Place::Idle(core) = place { Some(core) } else { None }) {
                    let fate = self.roll(4);
                    if fate == 0 {
                        self.links.remove(&link);
                        let after = self.slices[core].idle_died(link, self.now);
                        self.look(core, after);
                    } else if fate == 1 {
                        assert!(self.slices[core].leave_idle(link));
                        self.links.insert(link, Place::Leaving(core));
                    } else if fate == 2 {
                        let keep = self.roll(4) as u32;
                        while let Some(link) = self.slices[core].rested(self.now, 100_000, keep) {
                            assert!(self.ledger.lasting() >= keep, "seed {}: fewer are left than should be kept", self.seed);
                            assert_eq!(self.links.insert(link, Place::Leaving(core)), Some(Place::Idle(core)));
                        }
                    } else if self.slices[core].withdraw(link) {
                        self.links.insert(link, Place::Busy(core));
                    }
                }
            }
            76..82 => {
                if !self.queues[core].is_empty() {
                    let at = self.roll(self.queues[core].len() as u64) as usize;
                    if let Some(gone) = self.queues[core].remove(at) {
                        assert_eq!(self.slices[core].cancel_wait(gone.ticket), Some(gone.client));
                        assert_eq!(self.slices[core].cancel_wait(gone.ticket), None);
                    }
                }
            }
            82..84 => {
                while let Some(late) = self.slices[core].expired(self.now, 4 * MS) {
                    assert_eq!(self.queues[core].pop_front().map(|w| w.client), Some(late.client));
                }
            }
            84 => self.set_paused(true),
            85..89 => self.set_paused(false),
            89 => {
                let limit = 1 + self.roll(9) as u32;
                self.ledger.set_limit(limit);
                self.tell_all();
            }
            90..92 => {
                if self.slices[core].wanted_extra(3, self.now) {
                    self.carry_out(core, After::Open);
                }
            }
            92..95 => {
                self.close_one();
            }
            _ => {
                let far = [1_000, 200_000, 3 * MS][self.roll(3) as usize];
                self.now += self.roll(far);
            }
        }
        self.now += self.roll(30_000);
        self.happen(true);
    }

    fn close_one(&mut self) -> bool {
        let leaving = self.some_link(|place| if let Place::Leaving(core) = place { Some(core) } else { None });
        if let Some((link, core)) = leaving {
            self.links.remove(&link);
            let after = self.slices[core].left(self.now);
            self.look(core, after);
        }
        leaving.is_some()
    }

    fn set_paused(&mut self, paused: bool) {
        self.ledger.set_paused(paused);
        if !paused {
            self.tell_all();
        }
    }

    fn tell_all(&mut self) {
        for core in 0..self.slices.len() {
            self.post(core, Mail::Look);
        }
    }

    fn count(&self, wanted: impl Fn(Place) -> bool) -> u32 {
        self.links.values().filter(|&&place| wanted(place)).count() as u32
    }

    /// Sums add up, each slice holds its invariants, each server has one owner.
    fn check(&self) {
        let seed = self.seed;
        assert_eq!(self.ledger.gate().inside() as usize, self.opening.len(), "seed {seed}: at the gate");
        assert_eq!(self.ledger.open(), self.links.len() as u32 + self.opening.len() as u32, "seed {seed}: permits");
        for (core, slice) in self.slices.iter().enumerate() {
            assert_eq!(slice.check(), Ok(()), "seed {seed}: core {core}");
            assert_eq!(slice.idle(), self.count(|place| place == Place::Idle(core)), "seed {seed}: idle of {core}");
            assert_eq!(slice.active(), self.count(|place| place == Place::Busy(core)), "seed {seed}: busy of {core}");
            assert_eq!(slice.leaving(), self.count(|place| place == Place::Leaving(core)), "seed {seed}: leaving of {core}");
            assert_eq!(slice.opening() as usize, self.opening.iter().filter(|&&(_, at)| at == core).count(), "seed {seed}: opening of {core}");
            assert_eq!(slice.waiting() as usize, self.queues[core].len(), "seed {seed}: waiting of {core}");
            let uncovered = (self.queues[core].len() as u32).saturating_sub(self.coming[core]);
            assert_eq!(self.ledger.line(core).need.count(), uncovered, "seed {seed}: need of {core}");
            if uncovered > 0 {
                let first = self.queues[core][self.coming[core] as usize].since;
                assert!(slice.oldest <= first, "seed {seed}: core {core} claims younger waiters than it has");
            }
        }
    }

    /// Everything on its way arrives; clients keep the servers that they have.
    fn quiet(&mut self) {
        self.set_paused(false);
        for _ in 0..10_000 {
            let times = self
                .mail
                .iter()
                .map(|&(at, ..)| at)
                .chain(self.timers.iter().chain(&self.gated).filter_map(|&at| at))
                .chain(self.opening.iter().map(|&(at, _)| at));
            let Some(next) = times.min() else {
                if self.close_one() {
                    continue;
                }
                return;
            };
            self.now = self.now.max(next);
            self.happen(false);
            self.check();
        }
        panic!("seed {}: the world does not come to rest", self.seed);
    }

    fn assert_nobody_forgotten(&self) {
        let waiting: usize = self.queues.iter().map(VecDeque::len).sum();
        let idle = self.count(|place| matches!(place, Place::Idle(_)));
        assert!(waiting == 0 || idle == 0, "seed {}: {waiting} wait and {idle} servers are idle", self.seed);
        assert!(waiting == 0 || !self.ledger.has_room(), "seed {}: {waiting} wait and a permit is free", self.seed);
    }

    /// Clients finish until nobody waits.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            self.quiet();
            self.assert_nobody_forgotten();
            let Some((link, core)) = self.some_busy() else { break };
            self.checkin(link, core);
        }
        assert!(self.queues.iter().all(VecDeque::is_empty), "seed {}: a waiter was forgotten", self.seed);
        assert!(self.ledger.open() <= self.ledger.limit(), "seed {}: above the limit", self.seed);
    }
}

#[test]
fn random_worlds_forget_nobody_and_add_up() {
    let (mut served, mut lent, mut refunds) = (0, 0, 0);
    for seed in 0..150 {
        let mut world = World::new(seed, [2, 4, 2, 3][seed as usize % 4]);
        for round in 0..4 {
            for _ in 0..500 {
                world.step();
                world.check();
            }
            world.quiet();
            world.assert_nobody_forgotten();
            if round % 2 == 1 {
                world.drain();
            }
        }
        served += world.served;
        lent += world.lent;
        refunds += world.refunds;
        let ledger = world.ledger.clone();
        drop(world);
        assert_eq!(ledger.open(), 0, "seed {seed}: dropped slices return their permits");
    }
    // The worlds must not be dull.
    assert!(served > 10_000 && lent > 5_000 && refunds > 50, "{served} served, {lent} lent, {refunds} refunds");
}

#[test]
fn the_steady_state_takes_no_more_memory() {
    let (_, mut slices) = pool(1, 4);
    let slice = &mut slices[0];
    fill(slice, 1..5);
    let mut busy: VecDeque<LinkId> = (0..4).map(|client| grant(slice, client, 0)).collect();
    for client in 0..64 {
        let _ = wait(slice, client, 1);
    }
    let size = |slice: &Slice| (slice.idle.capacity(), format!("{:?}", slice.queue).matches("Slot {").count());
    let before = size(slice);
    for now in 2..5000u64 {
        let Some(link) = busy.pop_front() else { break };
        match slice.checkin(link, now) {
            Checkin::Serve { link, .. } => busy.push_back(link),
            other => panic!("{other:?}"),
        }
        let _ = wait(slice, now as u32, now);
    }
    assert_eq!(size(slice), before);
}

impl Slice {
    /// As though this core had asked another one for a server.
    pub fn expect_one(&mut self) {
        self.asked += 1;
    }
}
