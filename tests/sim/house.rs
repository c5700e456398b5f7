//! Runs a whole proxy: cores in any order, servers and clients in between, virtual time only when nobody has anything to do. While it runs it watches
//! what must hold at every moment: limits, memory, and that nobody waits for what is there.

use std::cell::RefCell;
use std::rc::Rc;

use pg_dog::io::sim::{Dice, World};

use crate::fake_client::{Census, FakeClient};
use crate::fake_server::FakeServer;
use crate::proxy::Proxy;

/// Rounds after which a run is stuck in a circle.
const ROUNDS_MAX: u64 = 3_000_000;
/// Virtual time without a byte for any client after which one is forgotten.
const PATIENCE_NS: u64 = 600_000_000_000;
/// Virtual time in which a proxy without clients must have tidied up.
const QUIET_NS: u64 = 20_000_000_000;
/// Whether a server that pg_dog has hung up on counts until its process is gone. A pool that forgets a connection when its own side is closed holds
/// more than its limit at the server for a moment.
const COUNTS_LEAVING: bool = true;

/// One core of the proxy under test.
pub trait CoreUnderTest {
    /// One turn of its loop. Never waits.
    fn turn(&mut self);
    /// Panics when it keeps more bytes than it may.
    fn check_memory(&self) {}
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
    /// pg_dog, unless it is another proxy
    pub proxy: Option<Proxy>,
    /// the last round came to nothing, but somebody was left out
    pub stalled: bool,
}

/// What happens when its time has come.
pub type Happening = Box<dyn FnOnce(&mut House)>;

impl House {
    /// Adds what will happen at its time.
    pub fn later(&mut self, at: u64, what: Happening) {
        let place = self.to_come.partition_point(|next| next.0 > at);
        self.to_come.insert(place, (at, what));
    }

    /// Until every client has left; then until everything is quiet.
    pub fn run(&mut self) {
        let mut rounds = 0;
        while !(self.to_come.is_empty() && self.clients.iter().all(FakeClient::is_done)) {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the proxy runs in circles: {}", self.describe());
            self.round();
        }
        self.servers.iter_mut().for_each(FakeServer::calm_down);
        self.world.limit_sockets(None);
        let until = self.world.now() + QUIET_NS;
        while self.world.now() < until {
            rounds += 1;
            assert!(rounds < 2 * ROUNDS_MAX, "the proxy does not come to rest: {}", self.describe());
            self.round();
        }
        let census = self.census.borrow();
        self.servers.iter().for_each(|server| server.check_quiet(&census));
        let beside: usize = self.servers.iter().map(|server| server.lost_beside).sum();
        assert!(census.excused <= beside, "{} clients lost their servers, and only {beside} can have", census.excused);
        let stuck: usize = self.servers.iter().map(|server| server.stuck).sum();
        assert!(
            census.gave_up <= stuck,
            "{} clients waited in vain, but servers got stuck only {stuck} times:\n{}",
            census.gave_up,
            census.in_vain.join("\n")
        );
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
                happen(self);
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
                    self.cores[who].check_memory();
                    progress = true;
                }
            } else if who < cores + servers {
                progress |= self.servers[who - cores].poll();
                self.check_limits();
            } else {
                let client = &mut self.clients[who - cores - servers];
                progress |= client.poll();
                if let Some(next) = client.successor() {
                    let at = self.world.now() + self.dice.below(300_000_000);
                    self.later(at, next);
                }
            }
        }
        // Nobody is left out when nobody else did anything.
        self.stalled = !progress && skipped;
        if !progress && !skipped {
            self.pass_time();
        }
    }

    /// No pool has more connections than it may, as it counts them and as the server does.
    fn check_limits(&self) {
        let Some(proxy) = &self.proxy else { return };
        for (user, open, most) in proxy.limits() {
            let live: usize = self.servers.iter().map(|server| server.live(&user)).sum();
            assert!(open <= most, "the pool of {user} has {open} connections, and {most} are allowed");
            assert!(!COUNTS_LEAVING || live <= most, "the server has {live} processes for {user}, and {most} are allowed: {}", self.describe());
        }
    }

    fn pass_time(&mut self) {
        let servers = self.servers.iter().filter_map(FakeServer::next_time);
        let clients = self.clients.iter().filter_map(FakeClient::next_time);
        let arrivals = self.to_come.last().map(|next| next.0);
        let next = self.world.next_event().into_iter().chain(servers).chain(clients).chain(arrivals).min();
        let idle = self.to_come.is_empty() && self.clients.iter().all(FakeClient::is_done);
        if let Some(proxy) = &self.proxy {
            proxy.check_rest(self.world.now(), next.unwrap_or(u64::MAX));
        }
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
