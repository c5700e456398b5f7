//! A client as an application could be: it logs in, sends queries, pipelines, transactions, COPY and cancel requests in random pieces, and sometimes
//! vanishes. It knows for every reply what must be in it and panics at the first one that is not its own, out of order, or incomplete.
//!
//! What it expects is one flat list of replies in the order of its messages; an error shortens the list as PostgreSQL's rules say.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use pg_dog::io::sim::{Dice, PeerId, PeerRead, Way, World};

use crate::house::Happening;
use crate::language::Statement;
use crate::message::{Inbox, put_packet, text};

#[path = "replies.rs"]
mod replies;
#[path = "requests.rs"]
mod requests;

/// Bytes of rows that one request asks for at most.
const FILLING_MAX: u64 = 3000;
/// Bytes within which `Habits::cut` takes effect.
const CUT_MAX: u64 = 6000;
/// How often a client comes again.
const RETURNS_MAX: usize = 4;
/// Lines of what happened that each client keeps.
const HISTORY: usize = 40;

/// How a client behaves; chances are per mille and per request.
#[derive(Clone, Debug)]
pub struct Habits {
    pub requests: usize,
    /// vanishes, in mid-request or not
    pub vanishes: u32,
    /// sends a cancel request while something is outstanding
    pub cancels: u32,
    /// of these, such that go out twice, in part, or with a key that is nobody's or another's
    pub odd_cancels: u32,
    /// requests sent ahead of their replies
    pub ahead: usize,
    /// reads nothing for up to so long, now and then
    pub deaf_ns: u64,
    /// goes, or ends its side, after any of its first `CUT_MAX` bytes
    pub cut: u32,
    /// waits so long for a byte before it goes; 0 = for ever
    pub patience_ns: u64,
    /// comes again when it was hung up on
    pub returns: bool,
    /// says PREPARE, EXECUTE and DEALLOCATE
    pub prepares: u32,
    /// its slow statements take up to this long
    pub slow_us: u64,
    /// says nothing for up to this long between requests
    pub thinks_ns: u64,
    /// calls itself what all others do, so that servers go from one to the next as they are
    pub anonymous: bool,
    /// servers die or refuse here: errors that say so are right, and so is a closed connection
    pub forgives: bool,
    /// the SQLSTATEs of such errors
    pub ends: &'static [&'static str],
}

/// How a client goes before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Close,
    Reset,
    /// ends its side and listens on
    Half,
}

/// What all clients know together: a transaction of a server belongs to one of them.
#[derive(Default)]
pub struct Census {
    owners: BTreeMap<(u64, u64), usize>,
    /// tags of statements that must never be committed: their clients vanished before they had asked for it
    pub never: BTreeSet<u64>,
    /// tags of statements that clients were told are committed
    pub promised: BTreeSet<u64>,
    /// clients that may have gone in the middle of a message
    pub cut_off: usize,
    /// the operator had all connections closed
    pub told: bool,
    /// clients that lost their server where none goes but by `Mischief::dies_for_pool`
    pub excused: usize,
    /// clients that waited in vain for longer than anything may take
    pub gave_up: usize,
    /// and what they waited for
    pub in_vain: Vec<String>,
    /// replies that were checked
    pub rows: u64,
    pub errors: BTreeMap<String, u64>,
}

/// What the next replies must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Parsed,
    Bound,
    /// 't' and then as for a portal
    DescribedStatement,
    Described,
    Run(Run),
    Closed,
    /// function call result
    Value(u64),
    Ready {
        sync: bool,
    },
}

/// A statement that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    statement: Statement,
    tag: u64,
    /// which rows come
    rows: Range<usize>,
    /// the portal has more
    suspends: bool,
    /// CopyFail ends it
    fails: bool,
}

impl Run {
    fn whole(statement: &Statement, tag: u64) -> Run {
        let rows = match statement {
            Statement::Rows { rows, .. } | Statement::CopyOut { rows, .. } => *rows,
            _ => 0,
        };
        Run { statement: statement.clone(), tag, rows: 0..rows, suspends: false, fails: false }
    }
}

/// Data of a COPY that goes out when the server says CopyInResponse.
struct CopyData {
    tag: u64,
    bytes: Vec<u8>,
    /// if the server does not say so, a Sync goes out instead
    owes_sync: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    what: What,
    /// part of a simple query: an error ends at the next Ready; otherwise at the next Sync's
    simple: bool,
    /// bytes said until this was asked for
    ends_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    LoggingIn,
    Working,
    /// said goodbye, or was told to go
    Leaving,
    Gone,
}

/// One client.
pub struct FakeClient {
    id: usize,
    user: String,
    world: World,
    dice: Dice,
    habits: Habits,
    census: Rc<RefCell<Census>>,
    peer: PeerId,
    cores: usize,
    pub phase: Phase,
    inbox: Inbox,
    out: Vec<u8>,
    expected: VecDeque<Expected>,
    /// replies to the front one that came already
    seen: usize,
    /// Ready messages that are still to come
    ahead: usize,
    next_tag: u64,
    requests: usize,
    /// what the requests sent so far will lead to, if nothing fails
    planned_open: bool,
    copy_data: Option<CopyData>,
    /// mark of the unnamed statement that the session has for sure
    unnamed: Option<u64>,
    /// the same, if nothing fails
    planned_unnamed: Option<u64>,
    /// name and mark of the statement that it has prepared in SQL, if that is sure
    made: Option<(String, u64)>,
    /// how many it has prepared
    prepared: u64,
    /// something failed since nothing was outstanding
    failed: bool,
    status: u8,
    /// after an error that a server's end caused, the next Ready says what the status is
    unsure: bool,
    /// bytes written so far
    written: u64,
    /// tags of what ran in the open transaction
    open_tags: Vec<u64>,
    /// (backend, transaction) of the open transaction
    within: Option<(u64, u64)>,
    /// what a cancel request must name
    key: Option<(i32, Vec<u8>)>,
    cancelled: bool,
    cancels: Vec<PeerId>,
    /// application_name: now, and at the beginning of the transaction; None = not sure
    name: Option<String>,
    saved_name: Option<String>,
    /// as the last ParameterStatus told it
    told_name: String,
    names: u64,
    wakes_at: u64,
    deaf_until: u64,
    /// goes when it has written so much
    leaves: Option<(u64, Leave)>,
    /// a FATAL came
    told_to_go: bool,
    /// the connection was ended from the other side
    hung_up: bool,
    /// its network stalls: whatever it waits for, nobody is to blame
    stalled: bool,
    /// the last things said and heard, for the message of a failure
    history: VecDeque<String>,
    /// last time when something came that it waits for, or when something went
    pub moved_at: u64,
}

impl FakeClient {
    /// Client number `id`, connected to one of `cores` cores.
    pub fn new(id: usize, world: &World, mut dice: Dice, cores: usize, habits: Habits, user: &str, census: &Rc<RefCell<Census>>) -> FakeClient {
        let peer = world.connect_client(dice.below(cores as u64) as usize);
        let name = if habits.anonymous { "all".to_string() } else { format!("c{id}-0") };
        let mut out = Vec::new();
        put_packet(&mut out, |body| {
            body.extend_from_slice(&0x3_0000u32.to_be_bytes());
            for (key, value) in [("user", user), ("database", "app"), ("application_name", &name)] {
                text(body, key);
                text(body, value);
            }
            body.push(0);
        });
        let now = world.now();
        let leave = [Leave::Close, Leave::Reset, Leave::Half][dice.below(3) as usize];
        let leaves = dice.chance(habits.cut).then(|| (dice.below(CUT_MAX), leave));
        FakeClient {
            id,
            user: user.to_string(),
            world: world.clone(),
            dice,
            habits,
            census: census.clone(),
            peer,
            cores,
            phase: Phase::LoggingIn,
            inbox: Inbox::default(),
            out,
            expected: VecDeque::new(),
            seen: 0,
            ahead: 1,
            next_tag: id as u64 * 10_000,
            requests: 0,
            planned_open: false,
            copy_data: None,
            unnamed: None,
            planned_unnamed: None,
            made: None,
            prepared: 0,
            failed: false,
            status: b'I',
            unsure: false,
            written: 0,
            open_tags: Vec::new(),
            within: None,
            key: None,
            cancelled: false,
            cancels: Vec::new(),
            name: Some(name.clone()),
            saved_name: Some(name),
            told_name: String::new(),
            names: 0,
            wakes_at: 0,
            deaf_until: 0,
            leaves,
            told_to_go: false,
            hung_up: false,
            stalled: false,
            history: VecDeque::new(),
            moved_at: now,
        }
    }

    /// Nothing more will come from this one.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Gone && self.cancels.is_empty()
    }

    /// What it waits for, for the message of a failure.
    pub fn describe(&self) -> String {
        let front: Vec<&What> = self.expected.iter().take(3).map(|one| &one.what).collect();
        let history: Vec<&str> = self.history.iter().map(String::as_str).collect();
        let (id, phase, requests, left) = (self.id, self.phase, self.requests, self.out.len());
        format!("client {id}: {phase:?}, {requests} requests, {left} bytes to write, expects {front:?}\n  {}", history.join("\n  "))
    }

    /// When it does something by itself.
    pub fn next_time(&self) -> Option<u64> {
        let now = self.world.now();
        let times = [self.wakes_at, self.deaf_until, self.gives_up_at()];
        if self.phase == Phase::Gone { None } else { times.into_iter().filter(|at| *at > now).min() }
    }

    fn wrong(&self, what: &str) -> ! {
        let (history, next) = (self.history.iter().map(String::as_str).collect::<Vec<_>>(), self.expected.iter().take(3).collect::<Vec<_>>());
        panic!("client {} at {} ns: {what}; expected {next:?}; it was so:\n  {}", self.id, self.world.now(), history.join("\n  "));
    }

    /// Keeps a line for the message of a failure.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(format!("{} {}", self.world.now(), line()));
    }

    fn gives_up_at(&self) -> u64 {
        if self.habits.patience_ns == 0 { 0 } else { self.moved_at + self.habits.patience_ns }
    }

    /// The network between it and the proxy stalls.
    pub fn stall(&mut self, way: Way, until: u64) {
        self.world.stall(self.peer, way, until);
        self.stalled = true;
    }

    /// Whoever comes in its place, once, when it was hung up on before it had said all.
    pub fn successor(&mut self) -> Option<Happening> {
        if !std::mem::take(&mut self.hung_up) || !self.habits.returns || self.id > RETURNS_MAX * 1000 {
            return None;
        }
        let habits = Habits { requests: self.habits.requests.saturating_sub(self.requests).max(1), ..self.habits.clone() };
        let (id, dice, cores, user, census) = (self.id + 1000, self.dice.fork(), self.cores, self.user.clone(), self.census.clone());
        Some(Box::new(move |house| house.clients.push(FakeClient::new(id, &house.world, dice, cores, habits, &user, &census))))
    }

    /// Does what can be done now; false if that was nothing.
    pub fn poll(&mut self) -> bool {
        let mut progress = self.poll_cancels();
        if self.phase == Phase::Gone {
            return progress;
        }
        let now = self.world.now();
        progress |= self.write();
        if self.habits.patience_ns > 0 && now >= self.gives_up_at() && !progress {
            self.give_up();
            return true;
        }
        if self.phase != Phase::Gone && now >= self.deaf_until {
            progress |= self.read();
        }
        if self.phase == Phase::Working && now >= self.wakes_at && self.ahead < self.habits.ahead && self.copy_data.is_none() && self.out.len() < 2048
        {
            self.next_request();
            progress = true;
        }
        progress
    }

    fn poll_cancels(&mut self) -> bool {
        let before = self.cancels.len();
        let (world, forgives) = (self.world.clone(), self.habits.forgives);
        self.cancels.retain(|peer| match world.peer_read(*peer, 16) {
            PeerRead::Empty => true,
            // Whoever was told to end, or has waited too long, says so before it knows what the connection is for.
            PeerRead::Bytes(_) if forgives => true,
            PeerRead::Bytes(_) => panic!("a cancel request was answered"),
            PeerRead::End | PeerRead::Reset => {
                world.peer_close(*peer);
                false
            }
        });
        self.cancels.len() < before
    }

    fn write(&mut self) -> bool {
        if let Some((_, leave)) = self.leaves.filter(|(bytes, _)| *bytes <= self.written) {
            self.leave(leave);
            return true;
        }
        if self.out.is_empty() {
            return false;
        }
        let piece = if self.dice.chance(500) { self.out.len() } else { self.dice.between(1, self.out.len() as u64) as usize };
        let most = self.leaves.map_or(usize::MAX, |(bytes, _)| (bytes - self.written.min(bytes)) as usize);
        let written = self.world.peer_write(self.peer, &self.out[..piece.min(most)]);
        if written > 0 {
            self.moved_at = self.world.now();
        }
        self.out.drain(..written);
        self.written += written as u64;
        written > 0
    }

    /// Goes in the middle of whatever it is.
    fn leave(&mut self, leave: Leave) {
        self.note(|| format!("leaves: {leave:?}"));
        self.renounce();
        // A reset loses what is under way, wherever that ends.
        self.census.borrow_mut().cut_off += usize::from(leave == Leave::Reset || !self.out.is_empty());
        self.leaves = None;
        self.out.clear();
        let phase = std::mem::replace(&mut self.phase, Phase::Gone);
        match leave {
            Leave::Reset => self.world.peer_reset(self.peer),
            Leave::Half if phase == Phase::LoggingIn => self.world.peer_close(self.peer),
            Leave::Close => self.world.peer_close(self.peer),
            Leave::Half => {
                self.world.peer_half_close(self.peer);
                self.phase = Phase::Leaving;
            }
        }
    }

    /// Has waited for longer than anything may take.
    fn give_up(&mut self) {
        if !self.stalled {
            self.note(|| "gives up".to_string());
            let line = self.describe();
            let mut census = self.census.borrow_mut();
            census.gave_up += 1;
            census.in_vain.push(line);
        }
        self.leave(Leave::Reset);
    }

    fn read(&mut self) -> bool {
        match self.world.peer_read(self.peer, self.dice.between(1, 4096) as usize) {
            PeerRead::Bytes(bytes) => {
                self.inbox.push(&bytes);
                while let Some(message) = self.inbox.message() {
                    self.message(&message);
                }
                if self.dice.chance(20) {
                    self.deaf_until = self.world.now() + self.dice.below(self.habits.deaf_ns);
                }
                true
            }
            PeerRead::Empty => false,
            end => {
                if self.phase != Phase::Leaving && !self.habits.forgives {
                    self.wrong(&format!("the connection ended ({end:?})"));
                }
                self.hung_up = self.phase != Phase::Leaving || self.told_to_go;
                self.go();
                true
            }
        }
    }

    fn go(&mut self) {
        self.world.peer_close(self.peer);
        self.phase = Phase::Gone;
    }
}
