//! Recorded conversations replayed through the real engine, to count its instructions per transaction: `bench/replay` runs this under callgrind.
//!
//! The machine is a door that lies in memory: what is received points straight at the recorded bytes, what is sent is compared with what the
//! conversation says comes next, and its answer arrives some turns later. One seed decides how many. Clock, randomness and order come from nowhere
//! else, so two runs execute the same instructions. A wrong byte ends the run.
//!
//! It uses what is public in the library, so that it also builds inside older revisions (`bench/replay --against`): what those do not have yet stands
//! between `if FILE has TEXT:` and `end if`, and is left out there. Each function of the door stays a function (`inline(never)`), so that its
//! instructions can be told from the engine's.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
// if src/config/mod.rs has inputs:
use pg_dog::config::{Inputs, Source, load};
// end if
// if src/io/mod.rs has to: &Address:
use pg_dog::io::socket::Address as To;
// end if
// if src/io/mod.rs lacks to: &Address:
//- use std::net::SocketAddr as To;
// end if
// if src/config/mod.rs lacks inputs:
//- use pg_dog::config::{Source, load};
// end if
use pg_dog::control::publish::Publisher;
use pg_dog::engine::{Core, Parts, mailboxes};
use pg_dog::io::{BufferId, Completion, Door, Fd, Group, Op, Segment, Token};
use pg_dog::mail::{Asker, Desk, Job, Padded, Shared, Word};

// ---- what was said: recorded between pgbench -S and PostgreSQL 15 ----

const STARTUP: &[u8] = b"\0\0\0B\0\x03\0\0user\0postgres\0database\0postgres\0application_name\0pgbench\0\0";
const GREETING: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x16application_name\0\0S\0\0\0\x19client_encoding\0UTF8\0S\0\0\0\x17DateStyle\0ISO, MDY\0\
    S\0\0\0&default_transaction_read_only\0off\0S\0\0\0\x17in_hot_standby\0off\0S\0\0\0\x19integer_datetimes\0on\0\
    S\0\0\0\x1bIntervalStyle\0postgres\0S\0\0\0\x14is_superuser\0on\0S\0\0\0\x19server_encoding\0UTF8\0\
    S\0\0\0\x32server_version\x0015.20 (Debian 15.20-0+deb12u1)\0S\0\0\0#session_authorization\0postgres\0\
    S\0\0\0#standard_conforming_strings\0on\0S\0\0\0\x15TimeZone\0Etc/UTC\0K\0\0\0\x0c\0\0@(\xc4\xf70\x01Z\0\0\0\x05I";
/// What a server tells besides the row when it is given the parameters of its first client.
const SETTLED: &[u8] = b"S\0\0\0\x1dapplication_name\0pgbench\0";
const READY: &[u8] = b"Z\0\0\0\x05I";

const QUERY: &[u8] = b"Q\0\0\0=SELECT abalance FROM pgbench_accounts WHERE aid = 14538;\0";
const PARSE: &[u8] = b"P\0\0\0=\0SELECT abalance FROM pgbench_accounts WHERE aid = $1;\0\0\0";
const BOUND: &[u8] = b"B\0\0\0\x17\0\0\0\0\0\x01\0\0\0\x0563778\0\x01\0\0D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
const PARSED: &[u8] = b"1\0\0\0\x04";
const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
const ROW: &[u8] = b"T\0\0\0!\0\x01abalance\0\0\0@\x06\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x010\
    C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";

/// A conversation: what a client asks first and what it is told, and the same for every transaction after that.
struct Script {
    name: &'static str,
    first: (Vec<u8>, Vec<u8>),
    each: (Vec<u8>, Vec<u8>),
}

/// `simple` and `extended` are those of pgbench -S; `bound` is `extended` whose statement each client prepares once, and binds ever after.
fn scripts() -> [Script; 3] {
    let simple = (QUERY.to_vec(), ROW.to_vec());
    let extended = ([PARSE, BOUND].concat(), [PARSED, BIND_COMPLETE, ROW].concat());
    let bound = (BOUND.to_vec(), [BIND_COMPLETE, ROW].concat());
    [
        Script { name: "simple", first: simple.clone(), each: simple },
        Script { name: "extended", first: extended.clone(), each: extended.clone() },
        Script { name: "bound", first: extended, each: bound },
    ]
}

// ---- the machine ----

/// Places of the pieces that are received.
const AT_STARTUP: u16 = 0;
const AT_GREETING: u16 = 1;
const AT_SETTLED: u16 = 2;
const AT_FIRST_REQUEST: u16 = 3;
const AT_FIRST_REPLY: u16 = 4;
const AT_REQUEST: u16 = 5;
const AT_REPLY: u16 = 6;

/// Turns ahead in which something can be due, and one more.
const SPAN: usize = 4;
/// How far the clock goes on in one turn: about what one with a few transactions in it takes.
const TURN_NS: u64 = 40_000;
/// More turns than any run takes.
const TURNS_MAX: u64 = 1_000_000;
/// Descriptors begin here: no real one has these numbers.
const FIRST_FD: Fd = 1_000_000;

/// One connection.
struct Socket {
    group: Group,
    /// whose multishot recv is armed
    armed: Option<(usize, Token)>,
    /// of a client: it has said its first word
    started: bool,
}

/// What one core has coming.
struct Seat {
    tick: usize,
    /// by the turn they are due in
    due: [Vec<(Fd, u16)>; SPAN],
    pending: usize,
    /// completions of everything but recv
    others: Vec<Completion>,
    accept: Option<Token>,
    /// by slot of the engine: its descriptor
    slots: Vec<Fd>,
    woken: bool,
    parked: bool,
    alarm: u64,
}

/// All of the machine.
struct World {
    pieces: Vec<Vec<u8>>,
    sockets: Vec<Socket>,
    seats: Vec<Seat>,
    now: u64,
    dice: u64,
    /// received buffers that the engine has not given back
    held: u64,
    turns: u64,
    /// servers that left a core for another
    lent: u64,
    /// transactions whose answer has reached the client
    done: u64,
    clients: u64,
    logged_in: u64,
}

fn segments_are(segments: &[Segment], want: &[u8]) -> bool {
    if segments.iter().map(|segment| segment.len).sum::<usize>() != want.len() {
        return false;
    }
    let mut at = 0;
    segments.iter().all(|segment| {
        let part = &want[at..at + segment.len];
        at += segment.len;
        // SAFETY: who sends keeps the memory in place and unchanged until its turn is over (the manners of `io`), and this is inside `send`.
        part == unsafe { std::slice::from_raw_parts(segment.at, segment.len) }
    })
}

fn joined(segments: &[Segment]) -> Vec<u8> {
    // SAFETY: as above.
    segments.iter().flat_map(|segment| unsafe { std::slice::from_raw_parts(segment.at, segment.len) }).copied().collect()
}

impl World {
    fn new(script: &Script, cores: usize) -> World {
        let first = script.first.clone();
        let each = script.each.clone();
        let seat = || Seat {
            tick: 0,
            due: Default::default(),
            pending: 0,
            others: Vec::new(),
            accept: None,
            slots: Vec::new(),
            woken: false,
            parked: false,
            alarm: u64::MAX,
        };
        World {
            pieces: vec![STARTUP.to_vec(), GREETING.to_vec(), [SETTLED, ROW].concat(), first.0, first.1, each.0, each.1],
            sockets: Vec::new(),
            seats: (0..cores).map(|_| seat()).collect(),
            now: 1_000_000_000,
            dice: 0x9e37_79b9_7f4a_7c15,
            held: 0,
            turns: 0,
            lent: 0,
            done: 0,
            clients: 0,
            logged_in: 0,
        }
    }

    fn numbers(&self) -> [u64; 3] {
        [self.done, self.turns, self.lent]
    }

    fn socket(&mut self, fd: Fd) -> &mut Socket {
        &mut self.sockets[(fd - FIRST_FD) as usize]
    }

    fn open(&mut self, group: Group) -> Fd {
        self.sockets.push(Socket { group, armed: None, started: false });
        FIRST_FD + self.sockets.len() as Fd - 1
    }

    /// A client connects to a core.
    fn invite(&mut self, core: usize) {
        let fd = self.open(Group::Clients);
        self.clients += 1;
        let token = self.seats[core].accept.expect("the core listens");
        self.other(core, token, fd);
    }

    fn other(&mut self, core: usize, token: Token, res: i32) {
        let more = token.op() == Op::Accept;
        self.seats[core].others.push(Completion { token, res, buffer: None, more });
    }

    /// A piece arrives on `fd` in one of the next three turns of the core that listens to it.
    fn arrive(&mut self, fd: Fd, piece: u16) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let later = 1 + ((self.dice >> 33) % (SPAN as u64 - 1)) as usize;
        let (core, _) = self.socket(fd).armed.expect("somebody listens to whom an answer comes");
        let seat = &mut self.seats[core];
        seat.due[(seat.tick + later) % SPAN].push((fd, piece));
        seat.pending += 1;
    }

    /// What a server answers.
    fn asked(&mut self, fd: Fd, segments: &[Segment]) {
        let answer = if segments_are(segments, &self.pieces[usize::from(AT_REQUEST)]) {
            AT_REPLY
        } else if segments_are(segments, &self.pieces[usize::from(AT_FIRST_REQUEST)]) {
            AT_FIRST_REPLY
        } else {
            match joined(segments).as_slice() {
                [0, ..] => AT_GREETING,
                // Whatever query it is that pg_dog sets parameters with.
                [b'Q', ..] => AT_SETTLED,
                other => panic!("a server was sent {:?}", String::from_utf8_lossy(other)),
            }
        };
        self.arrive(fd, answer);
    }

    /// What a client makes of an answer.
    fn told(&mut self, fd: Fd, segments: &[Segment]) {
        if segments_are(segments, &self.pieces[usize::from(AT_REPLY)]) || segments_are(segments, &self.pieces[usize::from(AT_FIRST_REPLY)]) {
            self.done += 1;
            return self.arrive(fd, AT_REQUEST);
        }
        let words = joined(segments);
        assert!(matches!(words.first(), Some(b'R' | b'S')), "a client was sent {:?}", String::from_utf8_lossy(&words));
        if words.ends_with(READY) {
            self.logged_in += 1;
            self.arrive(fd, AT_FIRST_REQUEST);
        }
    }

    fn turn(&mut self, core: usize, wait: bool, out: &mut Vec<Completion>) {
        self.now += TURN_NS;
        self.turns += 1;
        let seat = &mut self.seats[core];
        if seat.woken {
            seat.woken = false;
            out.push(Completion { token: Token::new(Op::Wake, 0, 0), res: 0, buffer: None, more: false });
        }
        if seat.alarm <= self.now {
            seat.alarm = u64::MAX;
            out.push(Completion { token: Token::new(Op::Alarm, 0, 0), res: -libc::ETIME, buffer: None, more: false });
        }
        out.append(&mut seat.others);
        seat.tick += 1;
        // Who waits sleeps until something comes, as in the kernel.
        while wait && out.is_empty() && seat.pending > 0 && seat.due[seat.tick % SPAN].is_empty() {
            seat.tick += 1;
        }
        let due = &mut seat.due[seat.tick % SPAN];
        for (fd, piece) in due.drain(..) {
            let socket = &self.sockets[(fd - FIRST_FD) as usize];
            let (listens, token) = socket.armed.expect("nobody stops listening while something is on its way");
            assert_eq!(listens, core, "a server changed cores with an answer on its way");
            seat.pending -= 1;
            self.held += 1;
            let buffer = Some(BufferId { group: socket.group, index: piece });
            out.push(Completion { token, res: self.pieces[usize::from(piece)].len() as i32, buffer, more: true });
        }
        seat.parked = wait && out.is_empty();
    }

    fn can_run(&self, core: usize) -> bool {
        let seat = &self.seats[core];
        !seat.parked || seat.woken || seat.pending > 0 || !seat.others.is_empty() || seat.alarm <= self.now
    }

    /// Nobody has anything to do: on to the next alarm.
    fn pass_time(&mut self) {
        let next = self.seats.iter().map(|seat| seat.alarm).min().filter(|&at| at != u64::MAX);
        self.now = self.now.max(next.expect("something will happen some time"));
    }
}

/// One core's door.
struct ScriptDoor {
    core: usize,
    now: u64,
    world: Rc<RefCell<World>>,
}

impl Door for ScriptDoor {
    fn now(&self) -> u64 {
        self.now
    }

    // if src/io/mod.rs has figures:
    #[inline(never)]
    fn clock(&self) -> u64 {
        self.now
    }

    #[inline(never)]
    fn figures(&self) -> pg_dog::io::Figures {
        pg_dog::io::Figures::default()
    }
    // end if

    #[inline(never)]
    fn wall_ms(&self) -> u64 {
        1_700_000_000_000 + self.now / 1_000_000
    }

    #[inline(never)]
    fn accept(&mut self, _: Fd, token: Token) {
        self.world.borrow_mut().seats[self.core].accept = Some(token);
    }

    #[inline(never)]
    fn connect(&mut self, _: &To, token: Token) -> io::Result<Fd> {
        let mut world = self.world.borrow_mut();
        let fd = world.open(Group::Servers);
        world.other(self.core, token, 0);
        Ok(fd)
    }

    #[inline(never)]
    fn recv(&mut self, fd: Fd, _: Group, token: Token) {
        let mut world = self.world.borrow_mut();
        let slots = &mut world.seats[self.core].slots;
        let slot = token.slot() as usize;
        slots.resize(slots.len().max(slot + 1), -1);
        slots[slot] = fd;
        let socket = world.socket(fd);
        assert!(socket.armed.is_none(), "one recv at a time");
        socket.armed = Some((self.core, token));
        if socket.group == Group::Clients && !socket.started {
            socket.started = true;
            world.arrive(fd, AT_STARTUP);
        }
    }

    #[inline(never)]
    fn cancel(&mut self, token: Token) {
        let mut world = self.world.borrow_mut();
        let fd = world.seats[self.core].slots[token.slot() as usize];
        let armed = world.socket(fd).armed.take();
        assert_eq!(armed, Some((self.core, token)), "what is cancelled is under way");
        // Nobody's socket is full and nobody leaves, so that there is no other reason.
        world.lent += 1;
        world.other(self.core, token, -libc::ECANCELED);
    }

    #[inline(never)]
    fn send(&mut self, fd: Fd, segments: &[Segment], _: Token) {
        let mut world = self.world.borrow_mut();
        match world.socket(fd).group {
            Group::Servers => world.asked(fd, segments),
            Group::Clients => world.told(fd, segments),
        }
    }

    fn send_wait(&mut self, fd: Fd, _: Segment, _: Token) {
        panic!("no socket is ever full here, {fd} neither");
    }

    fn shutdown(&mut self, fd: Fd) {
        panic!("nobody leaves, {fd} neither");
    }

    // if src/io/mod.rs has fn unread:
    fn unread(&self, _: i32) -> pg_dog::io::Unread {
        panic!("servers stay where they are")
    }
    // end if

    // if src/io/mod.rs has fn finish:
    fn finish(&mut self, fd: Fd) {
        panic!("nobody leaves, {fd} neither");
    }
    // end if

    fn close(&mut self, fd: Fd) {
        panic!("nobody leaves, {fd} neither");
    }

    #[inline(never)]
    fn alarm(&mut self, at: u64, _: Token) {
        let mut world = self.world.borrow_mut();
        let seat = &mut world.seats[self.core];
        seat.alarm = seat.alarm.min(at);
    }

    #[inline(never)]
    fn wake(&mut self, core: usize) {
        self.world.borrow_mut().seats[core].woken = true;
    }

    #[inline(never)]
    fn submit(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline(never)]
    fn turn(&mut self, wait: bool, out: &mut Vec<Completion>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        world.turn(self.core, wait, out);
        self.now = world.now;
        Ok(())
    }

    #[inline(never)]
    fn bytes(&self, buffer: BufferId) -> *const u8 {
        self.world.borrow().pieces[usize::from(buffer.index)].as_ptr()
    }

    #[inline(never)]
    fn recycle(&mut self, _: BufferId) {
        self.world.borrow_mut().held -= 1;
    }
}

/// Nobody is needed behind it.
struct EmptyDesk(Cell<u8>);

impl Desk for EmptyDesk {
    fn word(&self, word: Word) {
        if let Word::Failed { core, why } = word {
            panic!("core {core} has failed: {why}");
        }
    }

    fn job(&self, _: Asker, _: Job) {
        panic!("no login here needs a helper");
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| {
            self.0.set(self.0.get().wrapping_mul(5).wrapping_add(3));
            self.0.get()
        });
    }
}

// ---- a run ----

type OneCore = Core<ScriptDoor, EmptyDesk>;

fn cores(world: &Rc<RefCell<World>>, size: Size) -> Vec<OneCore> {
    let Size { cores: count, servers, fair_us, .. } = size;
    let main = format!(
        "[general]\nworkers = {count}\nauth_type = \"trust\"\ndefault_pool_size = {servers}\n[cores]\nfair_us = {fair_us}\n\
         [[databases]]\nname = \"postgres\"\nhost = \"127.0.0.1\"\n"
    );
    let users = "[[users]]\nname = \"postgres\"\ndatabase = \"postgres\"\npassword = \"secret\"\n[admin]\npassword = \"secret-too\"\n";
    let (main, users) = (Source { name: "pgdog.toml", text: &main }, Source { name: "users.toml", text: users });
    // if src/config/mod.rs lacks inputs:
    //- let loaded = load(Some(main), Some(users), &|_| None, [1; 16], 1);
    // end if
    // if src/config/mod.rs has inputs:
    let loaded = load(&Inputs { main: Some(main), users: Some(users), random: [1; 16], ..Inputs::default() });
    // end if
    let snapshot = loaded.unwrap_or_else(|problems| panic!("the configuration is not right: {problems:?}")).snapshot;
    let shared = Arc::new(Shared {
        published: ArcSwap::from_pointee(Publisher::default().build(snapshot, None)),
        version: AtomicU64::new(1),
        clients: (0..count).map(|_| Padded::default()).collect(),
        library: Arc::default(),
        // if src/mail.rs has clusters:
        clusters: Default::default(),
        // end if
        next_client: AtomicU64::new(1),
        // if src/mail.rs has clients_max:
        clients_max: usize::MAX,
        // end if
        // if src/mail.rs has tallies:
        tallies: (0..count).map(|_| Default::default()).collect(),
        // end if
        secret: [7; 32],
    });
    let (posts, _outside) = mailboxes(count);
    let core = |(id, post)| {
        let door = ScriptDoor { core: id, now: world.borrow().now, world: world.clone() };
        // if src/engine/core.rs has listeners:
        Core::new(Parts { id, door, desk: EmptyDesk(Cell::new(id as u8)), post, shared: shared.clone(), listeners: vec![FIRST_FD - 1] })
        // end if
        // if src/engine/core.rs lacks listeners:
        //- Core::new(Parts { id, door, desk: EmptyDesk(Cell::new(id as u8)), post, shared: shared.clone(), listener: Some(FIRST_FD - 1) })
        // end if
    };
    posts.into_iter().enumerate().map(core).collect()
}

/// Everybody once who has anything to do.
fn step_all(cores: &mut [OneCore], world: &RefCell<World>) {
    let mut idle = true;
    for (id, core) in cores.iter_mut().enumerate() {
        if world.borrow().can_run(id) {
            idle = false;
            core.step().expect("a machine in memory does not break");
        }
    }
    if idle {
        world.borrow_mut().pass_time();
    }
}

/// Until so many transactions are done.
fn run_until(cores: &mut [OneCore], world: &RefCell<World>, done: u64) {
    let start = world.borrow().turns;
    while world.borrow().done < done {
        step_all(cores, world);
        assert!(world.borrow().turns - start < TURNS_MAX, "the conversation has stopped: a byte too few reached somebody");
    }
}

/// What is counted: callgrind is told this name.
#[inline(never)]
fn counted_part(cores: &mut [OneCore], world: &RefCell<World>, done: u64) {
    run_until(cores, std::hint::black_box(world), done);
}

/// How much of what.
#[derive(Clone, Copy)]
struct Size {
    cores: usize,
    clients: usize,
    servers: usize,
    /// how much longer a client of the other core must have waited to be served first; small: servers change cores often
    fair_us: u64,
    warm_up: u64,
    counted: u64,
}

/// Runs a script and says how many transactions were counted, how many turns they took, and how many servers changed cores meanwhile.
fn replay(script: &Script, size: Size) -> [u64; 3] {
    let world = Rc::new(RefCell::new(World::new(script, size.cores)));
    let mut cores = cores(&world, size);
    for client in 0..size.clients {
        world.borrow_mut().invite(client % size.cores);
    }
    run_until(&mut cores, &world, size.warm_up);
    let [done, turns, lent] = world.borrow().numbers();
    counted_part(&mut cores, &world, done + size.counted);
    let world = world.borrow();
    assert_eq!(world.logged_in, world.clients, "every client is at work");
    assert!(world.held <= world.clients, "received buffers are given back");
    let after = world.numbers();
    [after[0] - done, after[1] - turns, after[2] - lent]
}

fn main() {
    // `cargo bench` adds a flag of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let numbers: Vec<u64> = words.iter().skip(1).map(|word| word.parse().expect("a number")).collect();
    let scripts = scripts();
    if let (Some(name), &[cores, clients, servers, fair_us, warm_up, counted]) = (words.first(), numbers.as_slice()) {
        let script = scripts.iter().find(|script| script.name == name).expect("the name of a script");
        let (cores, clients, servers) = (cores as usize, clients as usize, servers as usize);
        let [transactions, turns, lent] = replay(script, Size { cores, clients, servers, fair_us, warm_up, counted });
        return println!("{transactions} {turns} {lent}");
    }
    assert!(words.is_empty(), "either nothing, or: SCRIPT CORES CLIENTS SERVERS FAIR_US WARM_UP COUNTED");
    for script in &scripts {
        let [transactions, turns, lent] = replay(script, Size { cores: 2, clients: 32, servers: 8, fair_us: 100, warm_up: 1000, counted: 1000 });
        println!("{}: {transactions} transactions, {turns} turns, {lent} servers lent (bench/replay counts instructions)", script.name);
    }
}
