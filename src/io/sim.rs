//! The simulated machine: one `World` holds descriptors, connections, buffers and time for a number of cores, and `SimDoor` is one core's door to
//! it with the manners that the folder's head lists. Nothing here waits: virtual time stands still until the test moves it, and one seed decides
//! every delay, short send and order, so that a failing run can be repeated.
//!
//! Invariants: bytes keep their order and none is lost except by a reset; a misuse of the door (a buffer recycled twice, a descriptor closed with
//! something pending, memory sent after it was given back) panics with the seed. Who the peers are and what they say is left to the test.

#[path = "sim_door.rs"]
mod door;
#[path = "sim_kernel.rs"]
mod kernel;
#[path = "sim_memory.rs"]
mod memory;
#[path = "sim_pipe.rs"]
mod pipe;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Fd, Group, Token};
pub use door::SimDoor;
use kernel::CoreState;
pub use pipe::Dice;
use pipe::{End, Pipe};

/// The first descriptor: far above those of a real process, so that a system call on one fails and harms nobody. Numbers are never used twice.
const FIRST_FD: Fd = 1 << 24;
/// Wall time at virtual time 0: 2024-01-01 00:00 UTC in milliseconds.
const WALL_START_MS: u64 = 1_704_067_200_000;

/// Sizes of the simulated machine. Small by intent: every bound is met often.
#[derive(Clone, Debug)]
pub struct Limits {
    /// receive buffers for clients on each core: number, at least 1, and bytes each
    pub client_buffers: (u16, usize),
    /// receive buffers for servers on each core
    pub server_buffers: (u16, usize),
    /// bytes a direction of a connection holds: smallest and largest, thrown per direction
    pub socket: (usize, usize),
    /// completions that one turn hands out at most, at least 1; a turn throws a number up to it. Those of sends and those with data come out at
    /// once, whatever the number: a kernel whose completion queue is larger than all buffers never keeps them back either
    pub completions: usize,
    /// submissions that fit before they go to the kernel early, at least 1
    pub submissions: usize,
    /// lines of what happened that are kept for the message of a panic; 0 keeps none
    pub trace: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { client_buffers: (16, 1024), server_buffers: (16, 1024), socket: (4 << 10, 64 << 10), completions: 64, submissions: 1024, trace: 0 }
    }
}

impl Limits {
    /// Sizes thrown with `dice`: from one buffer of 64 bytes to comfortable ones.
    pub fn seeded(dice: &mut Dice) -> Limits {
        let group = |dice: &mut Dice| {
            let few = dice.chance(400);
            (dice.between(1, if few { 8 } else { 64 }) as u16, 1 << dice.between(6, 13))
        };
        let client_buffers = group(dice);
        let server_buffers = group(dice);
        let smallest = 1 << dice.between(9, 13);
        Limits {
            client_buffers,
            server_buffers,
            socket: (smallest, smallest << dice.between(0, 4)),
            completions: dice.between(1, 64) as usize,
            submissions: dice.between(1, 128) as usize,
            trace: 0,
        }
    }
}

/// How unkind the machine is; chances are per mille, times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// a `send` takes only a part although there is room
    pub short_send: u32,
    /// a `send` takes nothing although there is room
    pub refused_send: u32,
    /// a received piece ends before the buffer is full and before the bytes are
    pub torn_recv: u32,
    /// a readable socket is left for a later turn
    pub late_recv: u32,
    /// a submission takes in what has arrived before it looks at what is queued
    pub eager: u32,
    /// the last completion of a cancelled operation is late
    pub late_last: u32,
    /// and by up to this much
    pub late_last_ns: u64,
    /// bytes, connects and wakes take up to this long
    pub latency_ns: u64,
    /// opening a socket fails at once (no descriptors left)
    pub no_socket: u32,
    /// a connect is refused although somebody listens
    pub refused_connect: u32,
}

impl Faults {
    /// Faults thrown with `dice`; some worlds are calm.
    pub fn seeded(dice: &mut Dice) -> Faults {
        let one = |dice: &mut Dice, most: u64| if dice.chance(300) { 0 } else { dice.below(most) as u32 };
        Faults {
            short_send: one(dice, 300),
            refused_send: one(dice, 300),
            torn_recv: one(dice, 500),
            late_recv: one(dice, 500),
            eager: one(dice, 500),
            late_last: one(dice, 800),
            late_last_ns: dice.below(2_000_000),
            latency_ns: dice.below(500_000),
            no_socket: one(dice, 20),
            refused_connect: one(dice, 50),
        }
    }
}

/// The far end of a connection, as an actor holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(usize);

/// Directions of a connection, as seen from its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToProxy,
    ToPeer,
    Both,
}

/// What an actor finds when it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRead {
    /// at least one byte
    Bytes(Vec<u8>),
    /// nothing now
    Empty,
    /// the other side is done writing, and everything was read
    End,
    /// the connection broke
    Reset,
}

/// What happens to somebody who connects to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// the connection is made and waits in `accepted`
    Accept,
    /// ECONNREFUSED
    Refuse,
    /// nothing, until the connecting side gives up
    Silent,
}

struct Acceptor {
    answer: Answer,
    made: VecDeque<PeerId>,
}

/// Two pipes and who still holds an end of them.
struct Connection {
    to_peer: Pipe,
    to_proxy: Pipe,
    connected: bool,
    proxy_closed: bool,
    peer_closed: bool,
    /// the proxy's side was shut down: it reads what is there and then the end
    shut: bool,
}

enum Kind {
    /// connections made and not accepted yet, with the time of their arrival
    Listener(VecDeque<(u64, PeerId)>),
    Socket(usize),
}

struct Descriptor {
    kind: Kind,
    /// the core that used it last
    owner: usize,
    closed: bool,
}

struct State {
    seed: u64,
    now: u64,
    dice: Dice,
    faults: Faults,
    limits: Limits,
    cores: Vec<CoreState>,
    descriptors: Vec<Descriptor>,
    connections: Vec<Connection>,
    /// connections of which one side is not closed yet
    live: Vec<usize>,
    acceptors: BTreeMap<SocketAddr, Acceptor>,
    /// sockets of the proxy that are open, and how many the process may have
    open: usize,
    open_max: usize,
    /// how far the wall clock has been set from where it would be
    wall_off_ms: i64,
    trace: VecDeque<String>,
    digest: u64,
}

impl State {
    fn latency(&mut self) -> u64 {
        self.now + self.dice.below(self.faults.latency_ns + 1)
    }

    /// Keeps a line for the message of a panic, if anybody wants them.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.limits.trace == 0 {
            return;
        }
        if self.trace.len() == self.limits.trace {
            self.trace.pop_front();
        }
        let line = format!("{:>12} {}", self.now, line());
        self.trace.push_back(line);
    }

    /// The engine broke the manners: says which, and how to see it again.
    fn bug(&self, core: usize, what: &str) -> ! {
        let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        panic!("the engine broke the manners of its door (seed {}, core {core}, at {} ns): {what}\n{}", self.seed, self.now, lines.join("\n"));
    }

    fn digest(&mut self, value: u64) {
        self.digest = (self.digest ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }

    /// The open descriptor behind `fd`.
    fn descriptor(&mut self, core: usize, fd: Fd, what: &str) -> &mut Descriptor {
        let index = (fd - FIRST_FD) as usize;
        match self.descriptors.get(index) {
            None => self.bug(core, &format!("{what} on descriptor {fd}, which never was")),
            Some(found) if found.closed => self.bug(core, &format!("{what} on descriptor {fd}, which is closed")),
            Some(_) => &mut self.descriptors[index],
        }
    }

    /// The connection behind `fd`; also makes `core` its owner, which no other core may hinder by something pending.
    fn socket(&mut self, core: usize, fd: Fd, what: &str) -> usize {
        let descriptor = self.descriptor(core, fd, what);
        let owner = descriptor.owner;
        let Kind::Socket(connection) = descriptor.kind else { self.bug(core, &format!("{what} on descriptor {fd}, which listens")) };
        if owner != core {
            if let Some(pending) = self.at_work_on(fd) {
                self.bug(core, &format!("{what} on descriptor {fd}, on which core {owner} still has {pending} at work"));
            }
            self.descriptor(core, fd, what).owner = core;
            // Last completions that are outstanding there have nothing to do with the descriptor any more, not even when it comes back.
            self.cores[owner].pending.iter_mut().filter(|one| one.fd == fd).for_each(|one| one.fd = -1);
            self.note(|| format!("descriptor {fd} moves from core {owner} to core {core}"));
        }
        connection
    }

    fn add_connection(&mut self, connected: bool) -> usize {
        let (low, high) = self.limits.socket;
        let mut pipe = || Pipe::new(self.dice.between(low as u64, high as u64) as usize);
        let (to_peer, to_proxy) = (pipe(), pipe());
        self.connections.push(Connection { to_peer, to_proxy, connected, proxy_closed: false, peer_closed: false, shut: false });
        self.live.push(self.connections.len() - 1);
        self.connections.len() - 1
    }

    fn add_descriptor(&mut self, kind: Kind, owner: usize) -> Fd {
        self.open += usize::from(matches!(kind, Kind::Socket(_)));
        self.descriptors.push(Descriptor { kind, owner, closed: false });
        FIRST_FD + self.descriptors.len() as Fd - 1
    }

    /// The proxy's side of a connection is gone.
    fn proxy_closes(&mut self, index: usize) {
        let at = self.latency();
        let connection = &mut self.connections[index];
        // As in Linux: closing with bytes unread breaks the connection, closing without ends it; what was sent can still be read.
        let end = if connection.to_proxy.is_empty() { End::Fin } else { End::Reset };
        connection.to_peer.finish(at, end);
        connection.to_proxy.lose(0);
        connection.proxy_closed = true;
        self.forget_dead(index);
    }

    fn forget_dead(&mut self, index: usize) {
        if self.connections[index].proxy_closed && self.connections[index].peer_closed {
            self.live.retain(|live| *live != index);
        }
    }
}

/// The simulated machine. Clones are handles to the same one.
#[derive(Clone)]
pub struct World(Rc<RefCell<State>>);

impl World {
    /// A machine of `cores` cores at virtual time 0.
    pub fn new(seed: u64, cores: usize, faults: Faults, limits: Limits) -> World {
        let cores = (0..cores).map(|_| CoreState::new(&limits)).collect();
        World(Rc::new(RefCell::new(State {
            seed,
            now: 1,
            dice: Dice::new(seed),
            faults,
            limits,
            cores,
            descriptors: Vec::new(),
            connections: Vec::new(),
            live: Vec::new(),
            acceptors: BTreeMap::new(),
            open: 0,
            open_max: usize::MAX,
            wall_off_ms: 0,
            trace: VecDeque::new(),
            digest: 0xcbf2_9ce4_8422_2325,
        })))
    }

    /// The door of one core; there is one of each.
    pub fn door(&self, core: usize) -> SimDoor {
        let mut state = self.0.borrow_mut();
        assert!(!std::mem::replace(&mut state.cores[core].has_door, true), "core {core} has its door already");
        drop(state);
        SimDoor::new(core, self.0.clone())
    }

    /// A listening socket of `core`.
    pub fn listen(&self, core: usize) -> Fd {
        let mut state = self.0.borrow_mut();
        let fd = state.add_descriptor(Kind::Listener(VecDeque::new()), core);
        state.cores[core].listener = Some(fd);
        fd
    }

    /// A client connects to `core`'s listener. The connection exists at once; the core accepts it when it comes to it.
    pub fn connect_client(&self, core: usize) -> PeerId {
        let mut state = self.0.borrow_mut();
        let listener = state.cores[core].listener.expect("the core listens");
        let at = state.latency();
        let connection = state.add_connection(true);
        match &mut state.descriptors[(listener - FIRST_FD) as usize] {
            Descriptor { kind: Kind::Listener(backlog), closed: false, .. } => backlog.push_back((at, PeerId(connection))),
            _ => {
                // Nobody listens any more: as good as refused.
                state.connections[connection].to_peer.finish(at, End::Reset);
                state.proxy_closes(connection);
            }
        }
        PeerId(connection)
    }

    /// Says what happens to connects to `address` from now on. Without it they are refused.
    pub fn serve(&self, address: SocketAddr, answer: Answer) {
        let mut state = self.0.borrow_mut();
        state.acceptors.entry(address).or_insert(Acceptor { answer, made: VecDeque::new() }).answer = answer;
    }

    /// The oldest connection made to `address` that nobody took yet.
    pub fn accepted(&self, address: SocketAddr) -> Option<PeerId> {
        self.0.borrow_mut().acceptors.get_mut(&address)?.made.pop_front()
    }

    /// Writes from the peer's side; returns how many bytes were taken (0: no room now, or nobody to read: see `peer_gone`).
    pub fn peer_write(&self, peer: PeerId, bytes: &[u8]) -> usize {
        let mut state = self.0.borrow_mut();
        let (now, at) = (state.now, state.latency());
        let connection = &mut state.connections[peer.0];
        if connection.peer_closed || connection.to_proxy.is_ended() || connection.to_peer.broken(now) {
            return 0;
        }
        if connection.proxy_closed {
            // The other side is gone and answers with a reset, which comes after what it had sent.
            connection.to_peer.finish(at, End::Reset);
            return bytes.len();
        }
        connection.to_proxy.write(at, bytes)
    }

    /// Reads up to `max` bytes on the peer's side.
    pub fn peer_read(&self, peer: PeerId, max: usize) -> PeerRead {
        let mut state = self.0.borrow_mut();
        let now = state.now;
        let pipe = &mut state.connections[peer.0].to_peer;
        let bytes = pipe.read(now, max);
        match pipe.ended(now) {
            _ if !bytes.is_empty() => PeerRead::Bytes(bytes),
            Some(End::Fin) => PeerRead::End,
            Some(End::Reset) => PeerRead::Reset,
            None => PeerRead::Empty,
        }
    }

    /// Whether reading on the peer's side would find something.
    pub fn peer_readable(&self, peer: PeerId) -> bool {
        let state = self.0.borrow();
        let pipe = &state.connections[peer.0].to_peer;
        pipe.readable(state.now) > 0 || pipe.ended(state.now).is_some()
    }

    /// How many bytes the peer could write now.
    pub fn peer_room(&self, peer: PeerId) -> usize {
        let state = self.0.borrow();
        let connection = &state.connections[peer.0];
        if connection.peer_closed || connection.to_proxy.is_ended() { 0 } else { connection.to_proxy.room() }
    }

    /// Whether writing on the peer's side is pointless: it was closed or half-closed here, or the connection broke.
    pub fn peer_gone(&self, peer: PeerId) -> bool {
        let state = self.0.borrow();
        let connection = &state.connections[peer.0];
        connection.peer_closed || connection.to_proxy.is_ended() || connection.to_peer.broken(state.now)
    }

    /// Closes the peer's side as a process that exits does: an orderly end, or a reset if it left bytes unread.
    pub fn peer_close(&self, peer: PeerId) {
        let mut state = self.0.borrow_mut();
        let at = state.latency();
        let connection = &mut state.connections[peer.0];
        let end = if connection.to_peer.is_empty() { End::Fin } else { End::Reset };
        connection.to_proxy.finish(at, end);
        connection.to_peer.lose(0);
        connection.peer_closed = true;
        state.forget_dead(peer.0);
    }

    /// Breaks the connection from the peer's side: what the proxy had not read is cut somewhere.
    pub fn peer_reset(&self, peer: PeerId) {
        let mut state = self.0.borrow_mut();
        let (at, now) = (state.latency(), state.now);
        let arrived = state.connections[peer.0].to_proxy.readable(now);
        let keep = state.dice.below(arrived as u64 + 1) as usize;
        let connection = &mut state.connections[peer.0];
        connection.to_proxy.lose(keep);
        connection.to_proxy.finish(at, End::Reset);
        connection.to_peer.lose(0);
        connection.peer_closed = true;
        state.forget_dead(peer.0);
    }

    /// Ends the peer's writing; it still reads.
    pub fn peer_half_close(&self, peer: PeerId) {
        let mut state = self.0.borrow_mut();
        let at = state.latency();
        state.connections[peer.0].to_proxy.finish(at, End::Fin);
    }

    /// Lets nothing through `way` before `until` (`u64::MAX`: never), bytes and ends alike; 0 ends a stall. Writers go on until it is full.
    pub fn stall(&self, peer: PeerId, way: Way, until: u64) {
        let mut state = self.0.borrow_mut();
        let connection = &mut state.connections[peer.0];
        if way != Way::ToPeer {
            connection.to_proxy.stall(until);
        }
        if way != Way::ToProxy {
            connection.to_peer.stall(until);
        }
    }

    /// How many sockets the process may have from now on: accepts and connects beyond it fail with EMFILE. None: any number.
    pub fn limit_sockets(&self, most: Option<usize>) {
        self.0.borrow_mut().open_max = most.unwrap_or(usize::MAX);
    }

    /// Somebody sets the wall clock, by so many milliseconds. The monotonic one does not care.
    pub fn step_wall(&self, by_ms: i64) {
        self.0.borrow_mut().wall_off_ms += by_ms;
    }

    /// Makes a core's turn return, as another thread of the process does.
    pub fn wake(&self, core: usize) {
        self.0.borrow_mut().wake(core);
    }

    /// Virtual time, nanoseconds.
    pub fn now(&self) -> u64 {
        self.0.borrow().now
    }

    /// Moves virtual time to `at`, never back.
    pub fn advance_to(&self, at: u64) {
        let mut state = self.0.borrow_mut();
        state.now = state.now.max(at);
    }

    /// When something happens next by itself, if time passes: an arrival, a late completion, an alarm. Always in the future.
    pub fn next_event(&self) -> Option<u64> {
        self.0.borrow().next_event()
    }

    /// Whether `core` has something to do: a turn would submit or return something, or its last turn did not wait, as one that has more to do does.
    pub fn core_runnable(&self, core: usize) -> bool {
        self.0.borrow().runnable(core)
    }

    /// Sockets of the proxy that are open, listeners not counted.
    pub fn open_sockets(&self) -> usize {
        self.0.borrow().open
    }

    /// Buffers of `group` that `core`'s engine holds.
    pub fn held(&self, core: usize, group: Group) -> usize {
        self.0.borrow().cores[core].memory(group).held()
    }

    /// Panics unless every core has given back the buffers of all turns but its last one.
    pub fn check(&self) {
        let state = self.0.borrow();
        for core in 0..state.cores.len() {
            state.check_homes(core, state.cores[core].turns);
        }
    }

    /// A number that two runs share only if the same completions came in the same order at the same times.
    pub fn digest(&self) -> u64 {
        self.0.borrow().digest
    }

    /// The last things that happened, if `Limits::trace` asks for them.
    pub fn trace(&self) -> Vec<String> {
        self.0.borrow().trace.iter().cloned().collect()
    }
}

/// Nobody waits for these, so their completions are not handed out (as the ring drops them).
fn is_ignored(token: Token) -> bool {
    token.op() == super::Op::Ignore
}

#[cfg(test)]
#[path = "sim_tests.rs"]
mod tests;
