//! Runs a whole proxy: cores in any order, servers and clients in between, virtual time only when nobody has anything to do.

use std::cell::RefCell;
use std::rc::Rc;

use pg_dog::io::sim::{Dice, World};

use crate::fake_client::{Census, FakeClient};
use crate::fake_server::FakeServer;

/// Rounds after which a run is stuck in a circle.
const ROUNDS_MAX: u64 = 3_000_000;
/// Virtual time without a byte for any client after which one is forgotten.
const PATIENCE_NS: u64 = 600_000_000_000;
/// Virtual time in which a proxy without clients must have tidied up.
const QUIET_NS: u64 = 20_000_000_000;

/// One core of the proxy under test.
pub trait CoreUnderTest {
    /// One turn of its loop. Never waits.
    fn turn(&mut self);
}

/// A proxy, its servers and its clients.
pub struct House {
    pub world: World,
    pub dice: Dice,
    pub cores: Vec<Box<dyn CoreUnderTest>>,
    pub servers: Vec<FakeServer>,
    pub clients: Vec<FakeClient>,
    /// what is still to come, the last first: when, and what
    pub to_come: Vec<(u64, Happening)>,
    pub census: Rc<RefCell<Census>>,
    /// the last round came to nothing, but somebody was left out
    pub stalled: bool,
}

/// What happens when its time has come; perhaps somebody arrives.
pub type Happening = Box<dyn FnOnce(&World) -> Option<FakeClient>>;

impl House {
    /// Until every client has left; then until everything is quiet.
    pub fn run(&mut self) {
        let mut rounds = 0;
        while !(self.to_come.is_empty() && self.clients.iter().all(FakeClient::is_done)) {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the proxy runs in circles: {}", self.describe());
            self.round();
        }
        self.servers.iter_mut().for_each(FakeServer::calm_down);
        let until = self.world.now() + QUIET_NS;
        while self.world.now() < until {
            rounds += 1;
            assert!(rounds < 2 * ROUNDS_MAX, "the proxy does not come to rest: {}", self.describe());
            self.round();
        }
        let census = self.census.borrow();
        self.servers.iter().for_each(|server| server.check_quiet(&census.never));
    }

    fn describe(&self) -> String {
        let waiting: Vec<String> = self.clients.iter().filter(|client| !client.is_done()).map(FakeClient::describe).collect();
        format!("at {} ns, {} things to come\n{}", self.world.now(), self.to_come.len(), waiting.join("\n"))
    }

    /// Everybody once, in any order, some perhaps not; time moves if nobody did anything.
    fn round(&mut self) {
        let now = self.world.now();
        while self.to_come.last().is_some_and(|next| next.0 <= now) {
            if let Some((_, happen)) = self.to_come.pop() {
                self.clients.extend(happen(&self.world));
            }
        }
        let (cores, servers, clients) = (self.cores.len(), self.servers.len(), self.clients.len());
        let mut order: Vec<usize> = (0..cores + servers + clients).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.dice.below(last as u64 + 1) as usize);
        }
        let (mut progress, mut skipped) = (false, false);
        for who in order {
            if !self.stalled && self.dice.chance(250) {
                skipped = true;
            } else if who < cores {
                if self.world.core_runnable(who) {
                    self.cores[who].turn();
                    self.world.check();
                    progress = true;
                }
            } else if who < cores + servers {
                progress |= self.servers[who - cores].poll();
            } else {
                progress |= self.clients[who - cores - servers].poll();
            }
        }
        // Nobody is left out when nobody else did anything.
        self.stalled = !progress && skipped;
        if !progress && !skipped {
            self.pass_time();
        }
    }

    fn pass_time(&mut self) {
        let servers = self.servers.iter().filter_map(FakeServer::next_time);
        let clients = self.clients.iter().filter_map(FakeClient::next_time);
        let arrivals = self.to_come.last().map(|next| next.0);
        let next = self.world.next_event().into_iter().chain(servers).chain(clients).chain(arrivals).min();
        let idle = self.to_come.is_empty() && self.clients.iter().all(FakeClient::is_done);
        let Some(next) = next else {
            assert!(idle, "nothing will ever happen again: {}", self.describe());
            return self.world.advance_to(self.world.now() + QUIET_NS);
        };
        let moved = self.clients.iter().filter(|client| !client.is_done()).map(|client| client.moved_at).min();
        if let Some(moved) = moved {
            assert!(next < moved + PATIENCE_NS, "a client was forgotten: {}", self.describe());
        }
        self.world.advance_to(next);
        self.clients.retain(|client| !client.is_done());
    }
}
