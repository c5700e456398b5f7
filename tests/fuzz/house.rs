//! Two clients, one server, and between them what pg_dog has: the readers of `session`, joined as the engine joins them (checkout, fitting, release,
//! cleaning), with bytes on their way in both directions. The server is the model; every client has a model of its own besides, which gets the same
//! messages directly: what it says is what the client must get.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use pg_dog::config::snapshot::{PoolerMode, PreparedStatements};
use pg_dog::session::client::{Client, Stop};
use pg_dog::session::exchange::Status;
use pg_dog::session::parameters::Profile;
use pg_dog::session::server::{Heard, Server};
use pg_dog::session::shelf::Keep;
use pg_dog::session::statements::{Front, Library};
use pg_dog::session::suspicion::Pins;
use pg_dog::session::{Verdict, Verdicts};

use crate::bytes::messages;
use crate::dice::Dice;
use crate::model::Model;

/// A client and what it would get from a server of its own.
pub struct Side {
    pub client: Client,
    number: u64,
    /// what it wants of the parameters
    profile: Arc<Profile>,
    /// sent and not read by pg_dog yet
    coming: VecDeque<u8>,
    held: Vec<u8>,
    pub got: Vec<u8>,
    pub direct: Model,
    /// pg_dog has closed the connection, or the client has
    pub closed: bool,
    /// this closing is one that a direct connection does not know
    pub refused: bool,
}

impl Side {
    fn new(mode: PoolerMode, number: u64, front: &Rc<RefCell<Front>>) -> Side {
        let mut client = Client::new(mode, number);
        client.share(PreparedStatements::Extended, front.clone());
        Side {
            client,
            number,
            profile: Arc::default(),
            coming: VecDeque::new(),
            held: Vec::new(),
            got: Vec::new(),
            direct: Model::default(),
            closed: false,
            refused: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Fitting,
    Busy,
    Cleaning { discarded: bool },
}

/// Few statements per server, so that they have to go.
const KEEP: Keep = Keep { limit: 2, ttl: 0, jitter: 0, full: false };

pub struct House {
    mode: PoolerMode,
    keep: Keep,
    pub sides: [Side; 2],
    server: Server,
    model: Model,
    /// on their way to the model, and back
    asked: VecDeque<u8>,
    said: VecDeque<u8>,
    held: Vec<u8>,
    pub owner: Option<usize>,
    stage: Stage,
    queue: VecDeque<usize>,
    front: Rc<RefCell<Front>>,
    verdicts: Verdicts,
    next_number: u64,
    /// COPYs that had failed when the server was last free
    failed_before: u64,
    /// committed on servers that were given up
    pub stored: Vec<String>,
    /// what happened, for whoever has to find out why
    trail: String,
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() && !crate::is_quiet() {
            eprintln!("what happened:{}", self.trail);
        }
    }
}

impl House {
    pub fn new(mode: PoolerMode, full: bool) -> House {
        let front = Rc::new(RefCell::new(Front::new(Arc::new(Library::default()))));
        House {
            mode,
            keep: Keep { full, ..KEEP },
            sides: [Side::new(mode, 1, &front), Side::new(mode, 2, &front)],
            front,
            server: Server::default(),
            model: Model::default(),
            asked: VecDeque::new(),
            said: VecDeque::new(),
            held: Vec::new(),
            owner: None,
            stage: Stage::Idle,
            queue: VecDeque::new(),
            verdicts: Verdicts::default(),
            next_number: 3,
            failed_before: 0,
            stored: Vec::new(),
            trail: String::new(),
        }
    }

    /// A client sends: to its own model at once, through pg_dog some time.
    pub fn send(&mut self, who: usize, bytes: &[u8]) {
        self.note(&format!("client {who} sends"), bytes);
        let side = &mut self.sides[who];
        side.direct.read(bytes);
        side.coming.extend(bytes);
    }

    fn note(&mut self, what: &str, bytes: &[u8]) {
        self.trail.push_str(&format!("\n  {what} {}", bytes.escape_ascii()));
    }

    /// A client is gone, with bytes of its own on their way; what pg_dog has read of them counts.
    pub fn vanish(&mut self, who: usize) {
        self.sides[who].coming.clear();
        self.sides[who].direct.hang_up();
        if !self.sides[who].closed {
            self.gone(who);
        }
    }

    /// A new client in place of one that is gone; what the old one left behind it: what it got, and its model.
    pub fn replace(&mut self, who: usize) -> Side {
        assert!(self.sides[who].closed);
        let number = self.next_number;
        self.next_number += 1;
        std::mem::replace(&mut self.sides[who], Side::new(self.mode, number, &self.front))
    }

    /// One thing happens: bytes of a client arrive, the server reads some, bytes of the server arrive. False: nothing is on its way.
    pub fn happen(&mut self, dice: &mut Dice) -> bool {
        let ways = [!self.sides[0].coming.is_empty(), !self.sides[1].coming.is_empty(), !self.asked.is_empty(), !self.said.is_empty()];
        let open: Vec<usize> = (0..4).filter(|&way| ways[way]).collect();
        let Some(&way) = open.get(dice.below(open.len())) else { return false };
        let most = [1, 3, 7, 40, 4000][dice.below(5)];
        match way {
            2 => {
                let bytes: Vec<u8> = self.asked.drain(..self.asked.len().min(most)).collect();
                self.model.read(&bytes);
                self.note("the server reads", &bytes);
                let output = std::mem::take(&mut self.model.output);
                self.note("the server says", &output);
                self.said.extend(output);
            }
            3 => {
                let bytes: Vec<u8> = self.said.drain(..self.said.len().min(most)).collect();
                self.note("pg_dog hears", &bytes);
                self.hear(&bytes);
            }
            who => {
                let coming = &mut self.sides[who].coming;
                let bytes: Vec<u8> = coming.drain(..coming.len().min(most)).collect();
                if !self.sides[who].closed {
                    self.note(&format!("pg_dog reads of client {who}"), &bytes);
                    self.sides[who].held.extend_from_slice(&bytes);
                    self.feed(who);
                }
            }
        }
        self.check();
        true
    }

    /// Until nothing is on its way.
    pub fn settle(&mut self, dice: &mut Dice) {
        let mut happened = 0;
        while self.happen(dice) {
            happened += 1;
            assert!(happened < 200_000, "it does not come to rest");
        }
        if matches!(self.stage, Stage::Cleaning { .. }) {
            // Where nothing helps any more the engine's clock gives the server up.
            let failed = self.model.failed_copies > self.failed_before || self.model.ended;
            assert!(failed || self.mode == PoolerMode::Session, "a server cannot be cleaned: {:?}", self.server.exchange);
            self.give_up();
            while self.happen(dice) {}
        }
    }

    /// What must hold at every moment: the exchange says free exactly when the server is idle and nothing is on its way.
    fn check(&mut self) {
        let exchange = &self.server.exchange;
        let asked: Vec<u8> = self.model.input.iter().chain(&self.asked).copied().collect();
        let (on_the_way, cut) = messages(&asked);
        let asks = on_the_way.iter().any(|(kind, _)| !matches!(kind, b'd' | b'c' | b'f' | b'H')) || !cut.is_empty();
        let on_its_way = asks || !self.said.is_empty() || !self.held.is_empty();
        if exchange.is_free() && !self.cut() {
            assert!(self.model.is_idle() && !on_its_way, "free, and the server is not: {exchange:?}");
        } else if !on_its_way && self.model.is_idle() && !self.model.ended && !self.cut() {
            // What was answered by us may stand without a Sync, too.
            let lost = self.model.failed_copies > self.failed_before || self.owner.is_some() && exchange.is_unsynced();
            assert!(exchange.is_free() || lost, "the server is idle, and the exchange does not know: {exchange:?}");
        }
        if exchange.is_free() {
            self.failed_before = self.model.failed_copies;
            assert!(exchange.status() == Status::Idle);
        }
    }

    /// A message of the client at hand has gone to the server in part.
    fn cut(&self) -> bool {
        self.owner.is_some_and(|owner| !self.sides[owner].client.at_boundary())
    }

    fn may_go_on(&self, who: usize) -> bool {
        // What was asked about its last transaction has to be known before its next.
        let busy = self.stage == Stage::Busy && !self.server.exchange.is_asked();
        !self.sides[who].closed && !self.queue.contains(&who) && (self.owner != Some(who) || busy)
    }

    fn feed(&mut self, who: usize) {
        while self.may_go_on(who) {
            let held = std::mem::take(&mut self.sides[who].held);
            let mut verdicts = std::mem::take(&mut self.verdicts);
            verdicts.clear();
            let link = (self.owner == Some(who)).then_some(&mut self.server.exchange);
            let (consumed, stop) = self.sides[who].client.on_bytes(&held, link, &mut verdicts);
            assert!(consumed <= held.len());
            self.carry_out(Some(who), &held, &verdicts, true);
            self.verdicts = verdicts;
            self.sides[who].held = held[consumed..].to_vec();
            match stop {
                Stop::More => break,
                Stop::Want => self.checkout(who),
                Stop::Full => return,
                Stop::Large(bytes) => panic!("there is no limit, and {bytes} bytes are above it"),
                Stop::Terminate => return self.gone(who),
                Stop::Over | Stop::Unread => panic!("there are no shards"),
                Stop::Broken(why) => panic!("a client broke the protocol: {why:?}"),
            }
        }
        self.release_if_free(who);
    }

    fn carry_out(&mut self, client: Option<usize>, bytes: &[u8], verdicts: &Verdicts, of_client: bool) {
        for verdict in &verdicts.list {
            match verdict {
                Verdict::Forward(range) if of_client => self.asked.extend(&bytes[range.clone()]),
                Verdict::Forward(range) => {
                    let Some(client) = client else { panic!("something is forwarded to nobody") };
                    self.sides[client].got.extend_from_slice(&bytes[range.clone()]);
                }
                Verdict::ToServer(range) => self.asked.extend(&verdicts.words[range.clone()]),
                Verdict::ToClient(range) => {
                    if let Some(client) = client {
                        self.sides[client].got.extend_from_slice(&verdicts.words[range.clone()]);
                    }
                }
            }
        }
    }

    fn checkout(&mut self, who: usize) {
        if self.owner.is_some() || self.stage != Stage::Idle {
            return self.queue.push_back(who);
        }
        self.owner = Some(who);
        self.note(&format!("client {who} gets the server"), b"");
        self.fit(who);
    }

    fn fit(&mut self, who: usize) {
        let (number, profile) = (self.sides[who].number, self.sides[who].profile.clone());
        self.stage = Stage::Busy;
        assert!(self.model.is_idle(), "a client gets a server that is at work");
        self.server.meets(self.mode, self.keep, 0, 0);
        if !self.server.fits(&profile, number) {
            let mut verdicts = std::mem::take(&mut self.verdicts);
            verdicts.clear();
            let sure = self.server.bring_to(&profile, number, &mut verdicts);
            if !verdicts.words.is_empty() && !sure {
                self.stage = Stage::Fitting;
            }
            self.carry_out(Some(who), &[], &verdicts, true);
            self.verdicts = verdicts;
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let client = if matches!(self.stage, Stage::Busy | Stage::Fitting) { self.owner } else { None };
            let number = client.filter(|_| self.stage == Stage::Busy).map_or(0, |client| self.sides[client].number);
            let mut verdicts = std::mem::take(&mut self.verdicts);
            verdicts.clear();
            let (consumed, heard) = self.server.on_bytes(&held[at..], number, &mut verdicts);
            assert!(consumed <= held.len() - at);
            self.carry_out(client, &held[at..], &verdicts, false);
            self.verdicts = verdicts;
            at += consumed;
            match heard {
                Heard::More => break,
                Heard::Free => self.became_free(),
                Heard::LeftOpen => unreachable!("nobody here is in statement mode"),
                Heard::Unfit => unreachable!("what is sent in front here is what a server has taken before"),
                Heard::Fatal(_) => return self.lost(false),
                Heard::OutOfStep(kind) => {
                    let excused = self.model.failed_copies > self.failed_before || self.model.ended;
                    assert!(excused, "out of step at {}: {:?}", char::from(kind), self.server.exchange);
                    return self.lost(true);
                }
            }
        }
        self.held = held[at..].to_vec();
        match (self.stage, self.owner) {
            (Stage::Cleaning { .. }, _) => self.go_on_cleaning(),
            (Stage::Busy, Some(owner)) => self.feed(owner),
            _ => {}
        }
    }

    fn became_free(&mut self) {
        let Some(owner) = self.owner else { return };
        match self.stage {
            Stage::Fitting => {
                assert!(!self.server.exchange.take_ours_failed());
                self.stage = Stage::Busy;
                let side = &self.sides[owner];
                assert!(self.server.fits(&side.profile, side.number));
                side.profile.prove();
                self.feed(owner);
            }
            Stage::Busy => {
                self.release_if_free(owner);
                // It may have held something back until the replies had come.
                self.feed(owner);
            }
            _ => {}
        }
    }

    fn release_if_free(&mut self, who: usize) {
        let free = self.owner == Some(who) && self.stage == Stage::Busy && self.server.exchange.is_free();
        if free && self.mode == PoolerMode::Transaction && self.sides[who].client.at_boundary() {
            assert!(self.server.at_boundary());
            let mut verdicts = std::mem::take(&mut self.verdicts);
            verdicts.clear();
            let asked = self.server.is_suspected() && self.server.ask(self.sides[who].number, &mut verdicts);
            self.carry_out(Some(who), &[], &verdicts, true);
            self.verdicts = verdicts;
            if asked {
                return;
            }
            self.learn(who);
            if !self.server.exchange.pins.is_empty() {
                return;
            }
            self.note(&format!("client {who} gives the server back"), b"");
            self.sides[who].client.detached(&mut self.server.exchange);
            self.owner = None;
            self.rest();
        }
    }

    /// What the client's own doing has made of its session.
    fn learn(&mut self, who: usize) {
        let side = &mut self.sides[who];
        let startup = side.client.startup().clone();
        if let Some(learned) = self.server.learn(&side.profile, &startup, &[]) {
            let learned = Arc::new(learned);
            side.client.wants(learned.clone());
            side.profile = learned.clone();
            self.server.adopt(learned);
        }
        assert!(!self.server.exchange.pins.contains(Pins::UNKNOWN), "the model answers what it is asked");
    }

    /// The server is free: the next one's turn.
    fn rest(&mut self) {
        self.stage = Stage::Idle;
        if let Some(next) = self.queue.pop_front() {
            self.checkout(next);
            self.feed(next);
        }
    }

    /// A client has gone, or must go.
    fn gone(&mut self, who: usize) {
        self.sides[who].closed = true;
        self.queue.retain(|&waiting| waiting != who);
        if self.owner != Some(who) {
            return;
        }
        self.owner = None;
        let exchange = &self.server.exchange;
        let unknown = !exchange.pins.is_empty() || !exchange.suspicion.is_empty() || exchange.is_asked();
        let client = &mut self.sides[who].client;
        client.detached(&mut self.server.exchange);
        if !client.at_boundary() {
            return self.give_up();
        }
        self.stage = Stage::Cleaning { discarded: !unknown && self.mode == PoolerMode::Transaction };
        self.go_on_cleaning();
    }

    fn go_on_cleaning(&mut self) {
        let Stage::Cleaning { discarded } = self.stage else { return };
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.clear();
        if !self.server.exchange.is_free() {
            self.server.exchange.recovery(&mut verdicts.words);
            let all = 0..verdicts.words.len();
            verdicts.list.push(Verdict::ToServer(all));
        } else if !discarded {
            self.stage = Stage::Cleaning { discarded: true };
            self.server.clean(&mut verdicts);
        } else {
            self.verdicts = verdicts;
            assert!(!self.server.exchange.take_ours_failed());
            assert!(self.model.is_idle(), "cleaned, and not idle");
            return self.rest();
        }
        self.carry_out(None, &[], &verdicts, true);
        self.verdicts = verdicts;
    }

    /// The server ended, or was given up for what it said: its client ends, too.
    fn lost(&mut self, refused: bool) {
        if let Some(owner) = self.owner.take() {
            let side = &mut self.sides[owner];
            side.refused |= refused;
            side.closed = true;
        }
        self.give_up();
    }

    /// A new server in place of this one, which may or may not have read what was on its way to it.
    fn give_up(&mut self) {
        let whole: Vec<u8> = self.asked.drain(..).collect();
        self.model.read(&whole);
        self.model.hang_up();
        self.stored.append(&mut self.model.stored);
        (self.model, self.server) = (Model::default(), Server::default());
        self.said.clear();
        self.held.clear();
        self.failed_before = 0;
        self.rest();
    }

    /// Everything that was committed.
    pub fn all_stored(&self) -> Vec<String> {
        self.stored.iter().chain(&self.model.stored).cloned().collect()
    }
}
