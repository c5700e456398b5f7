//! The slices of one pool over two to four cores, by their public face alone, driven by bytes: two bytes are one event, in any order that mail,
//! clocks and clients can bring about. After each event the sums must add up; in the end, when all mail has come and all clients have finished,
//! nobody may still be waiting and every permit must be back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pg_dog::pool::{After, Checkin, Checkout, Gate, Ledger, LinkId, Rules, Slice, Take, Ticket};

use crate::Target;
use crate::dice::Dice;

pub const TARGET: Target = Target { name: "pools", rounds: 40_000, messages: false, run };

const MS: u64 = 1_000_000;
/// Clients that may wait on one core.
const WAITERS: usize = 20;

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
    Take(usize),
    Refund,
    Nudge,
    Look,
}

struct World {
    now: u64,
    ledger: Arc<Ledger>,
    slices: Vec<Slice>,
    /// (to, what); may arrive in any order
    mail: Vec<(usize, Mail)>,
    timers: Vec<Option<u64>>,
    /// cores that wait at the gate, and until when
    gated: Vec<Option<u64>>,
    opening: Vec<usize>,
    links: BTreeMap<LinkId, Place>,
    /// per core: (client, since, ticket)
    queues: Vec<VecDeque<(u32, u64, Ticket)>>,
    next: u32,
}

fn run(bytes: &[u8], _: &mut Dice) {
    let [cores, limit, events @ ..] = bytes else { return };
    // In the high bits: how many connects may be at work at once, 0 for any number.
    let mut world = World::new(2 + usize::from(cores % 3), 1 + u32::from(limit % 8), u32::from(limit / 64));
    for event in events.chunks(2) {
        world.event(event[0], usize::from(event.get(1).copied().unwrap_or_default()));
        world.check();
    }
    world.drain();
    let ledger = world.ledger.clone();
    drop(world);
    assert_eq!(ledger.open(), 0, "slices that end return their permits");
}

impl World {
    fn new(cores: usize, limit: u32, at_once: u32) -> World {
        let gate = Arc::new(if at_once == 0 { Gate::default() } else { Gate::new(at_once) });
        let ledger = Arc::new(Ledger::behind(gate, cores, limit));
        World {
            now: 1000,
            slices: (0..cores).map(|core| Slice::new(ledger.clone(), core, Rules::default())).collect(),
            ledger,
            mail: Vec::new(),
            timers: vec![None; cores],
            gated: vec![None; cores],
            opening: Vec::new(),
            links: BTreeMap::new(),
            queues: vec![VecDeque::new(); cores],
            next: 0,
        }
    }

    fn event(&mut self, kind: u8, choice: usize) {
        let core = choice % self.slices.len();
        match kind % 20 {
            0..=4 => self.checkout(core),
            5..=8 => {
                if let Some((link, core)) = self.pick(choice, |place| if let Place::Busy(core) = place { Some(core) } else { None }) {
                    self.checkin(link, core);
                }
            }
            9 | 10 if !self.mail.is_empty() => {
                let (core, mail) = self.mail.remove(choice % self.mail.len());
                self.deliver(core, mail);
            }
            11 if !self.opening.is_empty() => {
                let core = self.opening.remove(choice % self.opening.len());
                self.connected(core, choice < 200, choice.is_multiple_of(2));
            }
            12 => {
                if let Some((link, core)) = self.pick(choice, |place| if let Place::Busy(core) = place { Some(core) } else { None }) {
                    if choice < 128 {
                        self.links.remove(&link);
                        let after = self.slices[core].busy_died(self.now);
                        self.look(core, after);
                    } else {
                        self.slices[core].leave();
                        self.links.insert(link, Place::Leaving(core));
                    }
                }
            }
            13 => {
                if let Some((link, core)) = self.pick(choice, |place| if let Place::Idle(core) = place { Some(core) } else { None }) {
                    self.trouble(link, core, choice);
                }
            }
            14 if !self.queues[core].is_empty() => {
                let at = choice / 4 % self.queues[core].len();
                if let Some((client, _, ticket)) = self.queues[core].remove(at) {
                    assert_eq!(self.slices[core].cancel_wait(ticket), Some(client));
                    assert_eq!(self.slices[core].cancel_wait(ticket), None, "a wait ends once");
                }
            }
            15 => {
                while let Some(late) = self.slices[core].expired(self.now, 4 * MS) {
                    assert_eq!(self.queues[core].pop_front().map(|(client, ..)| client), Some(late.client));
                }
            }
            16 => self.pause(choice.is_multiple_of(4)),
            17 => {
                self.ledger.set_limit(1 + choice as u32 % 8);
                self.tell_all();
            }
            18 => {
                if self.slices[core].wanted_extra(3, self.now) {
                    self.opening.push(core);
                }
                self.close_one();
            }
            _ => self.pass([1_000, 100_000, 400_000, 3 * MS][choice % 4]),
        }
    }

    /// An idle server ends, is closed, is taken out, or has rested for too long.
    fn trouble(&mut self, link: LinkId, core: usize, choice: usize) {
        match choice / 64 {
            0 => {
                self.links.remove(&link);
                let after = self.slices[core].idle_died(link, self.now);
                self.look(core, after);
            }
            1 => {
                assert!(self.slices[core].leave_idle(link));
                self.move_link(link, Place::Idle(core), Place::Leaving(core));
            }
            2 => {
                if self.slices[core].withdraw(link) {
                    self.move_link(link, Place::Idle(core), Place::Busy(core));
                }
            }
            _ => {
                let keep = choice as u32 % 4;
                while let Some(link) = self.slices[core].rested(self.now, 100_000, keep) {
                    assert!(self.ledger.lasting() >= keep, "fewer are left than should be kept");
                    self.move_link(link, Place::Idle(core), Place::Leaving(core));
                }
            }
        }
    }

    /// A link in some place, by choice.
    fn pick(&self, choice: usize, wanted: impl Fn(Place) -> Option<usize>) -> Option<(LinkId, usize)> {
        let all: Vec<(LinkId, usize)> = self.links.iter().filter_map(|(&link, &place)| Some((link, wanted(place)?))).collect();
        all.get(choice % all.len().max(1)).copied()
    }

    fn pass(&mut self, time: u64) {
        self.now += time;
        for core in 0..self.slices.len() {
            let now = self.now;
            let rang = [&mut self.timers, &mut self.gated].map(|rings| rings[core].take_if(|at| *at <= now).is_some());
            if rang.contains(&true) {
                self.look(core, After::Nothing);
            }
        }
    }

    fn pause(&mut self, paused: bool) {
        self.ledger.set_paused(paused);
        if !paused {
            self.tell_all();
        }
    }

    fn tell_all(&mut self) {
        self.mail.extend((0..self.slices.len()).map(|core| (core, Mail::Look)));
    }

    fn move_link(&mut self, link: LinkId, from: Place, to: Place) {
        assert_eq!(self.links.insert(link, to), Some(from), "server {link} has two owners");
    }

    fn serve(&mut self, core: usize, client: u32, since: u64) {
        let first = self.queues[core].pop_front().map(|(client, since, _)| (client, since));
        assert_eq!(first, Some((client, since)), "served past the queue");
    }

    fn checkout(&mut self, core: usize) {
        if self.queues[core].len() >= WAITERS {
            return;
        }
        self.next += 1;
        match self.slices[core].checkout(self.next, self.now) {
            Checkout::Grant(link) => {
                assert!(self.queues[core].is_empty() && !self.ledger.paused(), "served past the queue");
                self.move_link(link, Place::Idle(core), Place::Busy(core));
            }
            Checkout::Wait { ticket, then } => {
                self.queues[core].push_back((self.next, self.now, ticket));
                self.carry_out(core, then);
            }
        }
    }

    fn checkin(&mut self, link: LinkId, core: usize) {
        let verdict = self.slices[core].checkin(link, self.now);
        self.placed(core, link, verdict);
    }

    fn placed(&mut self, core: usize, link: LinkId, verdict: Checkin) {
        let to = match verdict {
            Checkin::Serve { client, link: served, waited_since } => {
                assert_eq!(served, link);
                self.serve(core, client, waited_since);
                Place::Busy(core)
            }
            Checkin::Lend { core: to, link: lent } => {
                assert!(lent == link && to != core);
                self.mail.push((to, Mail::Hand(link)));
                Place::Flying
            }
            Checkin::Idle { timer } => {
                self.timers[core] = timer.or(self.timers[core]);
                Place::Idle(core)
            }
            Checkin::Retire => Place::Leaving(core),
        };
        self.links.insert(link, to);
    }

    fn carry_out(&mut self, core: usize, after: After) {
        match after {
            After::Nothing => {}
            After::Serve { client, link, waited_since } => {
                self.move_link(link, Place::Idle(core), Place::Busy(core));
                self.serve(core, client, waited_since);
            }
            After::Lend { core: to, link } => {
                self.move_link(link, Place::Idle(core), Place::Flying);
                self.mail.push((to, Mail::Hand(link)));
            }
            After::Ask { core: of } => self.mail.push((of, Mail::Take(core))),
            After::Open => self.opening.push(core),
            After::Nudge { core: to } => self.mail.push((to, Mail::Nudge)),
            After::Timer { at } => self.timers[core] = Some(at),
            After::Gated => {
                // The engine looks again when a connection has been opened somewhere, or a little later.
                self.gated[core].get_or_insert(self.now + 10 * MS);
            }
        }
    }

    fn look(&mut self, core: usize, mut after: After) {
        for _ in 0..200 {
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
        panic!("core {core} looks without end");
    }

    fn deliver(&mut self, core: usize, mail: Mail) {
        match mail {
            Mail::Hand(link) => {
                assert_eq!(self.links.get(&link), Some(&Place::Flying));
                let verdict = self.slices[core].handed(link, self.now);
                self.placed(core, link, verdict);
            }
            Mail::Take(asker) => match self.slices[core].take() {
                Take::Hand(link) => {
                    self.move_link(link, Place::Idle(core), Place::Flying);
                    self.mail.push((asker, Mail::Hand(link)));
                }
                Take::Broken => self.mail.push((asker, Mail::Refund)),
            },
            Mail::Refund => {
                let after = self.slices[core].refunded(self.now);
                self.look(core, after);
            }
            Mail::Nudge => {
                let after = self.slices[core].nudged(self.now);
                self.look(core, after);
            }
            Mail::Look => {
                while let Some(link) = self.slices[core].shed() {
                    self.move_link(link, Place::Idle(core), Place::Leaving(core));
                }
                self.look(core, After::Nothing);
            }
        }
    }

    fn connected(&mut self, core: usize, works: bool, tell: bool) {
        if works {
            self.next += 1;
            let verdict = self.slices[core].opened(self.next, self.now);
            return self.placed(core, self.next, verdict);
        }
        let half_open = self.next.is_multiple_of(2);
        let after = self.slices[core].open_failed(self.now, MS, half_open);
        if half_open {
            self.next += 1;
            self.links.insert(self.next, Place::Leaving(core));
        }
        self.look(core, after);
        if tell && let Some(told) = self.slices[core].expired(self.now, 0) {
            assert_eq!(self.queues[core].pop_front().map(|(client, ..)| client), Some(told.client));
        }
    }

    fn close_one(&mut self) -> bool {
        let leaving = self.pick(0, |place| if let Place::Leaving(core) = place { Some(core) } else { None });
        if let Some((link, core)) = leaving {
            self.links.remove(&link);
            let after = self.slices[core].left(self.now);
            self.look(core, after);
        }
        leaving.is_some()
    }

    fn count(&self, wanted: Place) -> u32 {
        self.links.values().filter(|&&place| place == wanted).count() as u32
    }

    /// Permits add up, each slice holds its invariants and knows what it has.
    fn check(&self) {
        assert_eq!(self.ledger.open() as usize, self.links.len() + self.opening.len(), "permits");
        assert_eq!(self.ledger.gate().inside() as usize, self.opening.len(), "at the gate");
        for (core, slice) in self.slices.iter().enumerate() {
            assert_eq!(slice.check(), Ok(()), "core {core}");
            let counts = [slice.idle(), slice.active(), slice.leaving(), slice.opening(), slice.waiting()];
            let opening = self.opening.iter().filter(|&&at| at == core).count() as u32;
            let ours = [Place::Idle(core), Place::Busy(core), Place::Leaving(core)].map(|place| self.count(place));
            assert_eq!(counts, [ours[0], ours[1], ours[2], opening, self.queues[core].len() as u32], "core {core}");
        }
    }

    /// Everything on its way arrives; clients keep the servers that they have. Then nobody waits while there is a server or a permit for him.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            if let Some((core, mail)) = self.mail.pop() {
                self.deliver(core, mail);
            } else if let Some(core) = self.opening.pop() {
                self.connected(core, true, false);
            } else if let Some(at) = self.timers.iter().chain(&self.gated).flatten().min().copied() {
                self.pass(at.saturating_sub(self.now));
            } else if !self.close_one() {
                let waiting: usize = self.queues.iter().map(VecDeque::len).sum();
                let idle = self.links.values().any(|place| matches!(place, Place::Idle(_)));
                assert!(waiting == 0 || !idle, "{waiting} wait and a server is idle");
                assert!(waiting == 0 || !self.ledger.has_room(), "{waiting} wait and a permit is free");
                return;
            }
            self.check();
        }
        panic!("no rest: {:?}", self.mail);
    }

    /// Clients finish, one after the other, until nobody has a server.
    fn drain(&mut self) {
        self.pause(false);
        loop {
            self.rest();
            let Some((link, core)) = self.pick(0, |place| if let Place::Busy(core) = place { Some(core) } else { None }) else { break };
            self.checkin(link, core);
        }
        assert!(self.queues.iter().all(VecDeque::is_empty), "a waiter was forgotten");
        assert!(self.ledger.open() <= self.ledger.limit(), "more open than allowed");
    }
}

/// Days in the life of a pool.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    // Checkouts, openings, check-ins.
    let calm: Vec<u8> = (0..40u8).flat_map(|at| [0, at, 11, at, 19, at, 5, at]).collect();
    // One core takes all, the others wait and ask.
    let lent: Vec<u8> = (0..30u8).flat_map(|at| [0, at % 2, 11, 0, 0, 1, 9, at, 19, 2, 5, at, 9, 0, 10, at]).collect();
    // Servers die, busy and idle, and connects fail.
    let deaths: Vec<u8> = (0..30u8).flat_map(|at| [0, at, 1, at / 2, 11, at.wrapping_mul(8), 12, at, 13, at * 5, 9, at, 19, at, 6, at]).collect();
    // Waits end by the clock and by the client.
    let waits: Vec<u8> = (0..30u8).flat_map(|at| [0, at, 0, at, 0, at, 14, at * 4, 19, 3, 15, at, 11, 1, 5, at]).collect();
    // The limit falls and rises, and everything stands still for a while.
    let changes: Vec<u8> = (0..30u8).flat_map(|at| [0, at, 11, at, 17, at * 3, 9, 0, 16, at, 0, at, 18, at, 5, at, 9, at, 19, at]).collect();
    let with = |cores: u8, limit: u8, events: &[u8]| [&[cores, limit], events].concat();
    vec![
        ("calm", with(0, 3, &calm)),
        ("lent", with(0, 1, &lent)),
        ("lent-over-four", with(2, 2, &lent)),
        ("deaths", with(1, 4, &deaths)),
        ("waits", with(2, 0, &waits)),
        ("changes", with(1, 7, &changes)),
        ("one-connect-at-a-time", with(1, 64 + 5, &deaths)),
        ("two-connects-at-a-time", with(2, 128 + 3, &changes)),
    ]
}
