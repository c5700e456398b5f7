//! What goes wrong at a simulated server: connections that end or hang at any byte, FATAL at any point, words that no server says, things said
//! unasked, processes that take their time to go, restarts and failovers. The chances are the weather's; what must hold all the same is the
//! clients' to check.

use pg_dog::io::sim::{Answer, Dice, Way};

use super::{Backend, FakeServer};
use crate::message::{put, put_error, text};

/// What goes wrong at a server; chances per mille, times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Mischief {
    /// a statement's reply is cut somewhere and the connection breaks
    pub dies: u32,
    /// a connection lives at most this long, then it ends with 57P01 or breaks; 0 = for ever
    pub lifetime_ns: u64,
    /// a login is refused with one of `REFUSALS`, at once or half way
    pub refuses_login: u32,
    /// a login takes up to this long
    pub login_ns: u64,
    /// wants a password
    pub asks_password: bool,
    /// says something unasked that often at most, and during logins; 0 = never
    pub chats_ns: u64,
    /// and says more than notices
    pub chats_more: bool,
    /// a cancel request takes up to this long
    pub cancel_ns: u64,
    /// a cancel request is never answered, or its connection breaks unread
    pub cancels_stick: u32,
    /// a connection ends or hangs after some of its first `CUT_MAX` bytes
    pub cut: u32,
    /// and hangs rather than ends
    pub hangs: u32,
    /// a reply is never finished
    pub reply_hangs: u32,
    /// ends when the pooler itself says something, in the middle of the answer or with 57P01 in its place
    pub dies_for_pool: u32,
    /// in place of a reply, or while nothing is at work, comes what no server says
    pub nonsense: u32,
    /// a process takes up to this long to go after its connection has ended
    pub lingers_ns: u64,
}

/// Bytes within which `Mischief::cut` ends a connection.
const CUT_MAX: u64 = 3000;
/// How a server refuses a login.
const REFUSALS: [(&str, &str); 3] = [
    ("53300", "sorry, too many clients already"),
    ("57P03", "the database system is starting up"),
    ("57P01", "terminating connection due to administrator command"),
];
/// A hang that does not end by itself.
pub const NEVER: u64 = u64::MAX;

/// What becomes of a connection when it has said so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    End,
    Reset,
    /// until then
    Hang(u64),
}

/// How all connections of a server end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// 57P01, as a fast shutdown says
    Told,
    /// 57P02, a warning, as after a crash of another process
    Warned,
    /// the process is killed
    Reset,
    /// the machine is gone: nobody says anything any more
    Silent,
}

impl Mischief {
    /// The fate of a fresh connection.
    pub(super) fn fate(&self, now: u64, dice: &mut Dice) -> Option<(u64, Fate)> {
        if !dice.chance(self.cut) {
            return None;
        }
        let fate = match dice.chance(self.hangs) {
            true => Fate::Hang(hang(now, dice)),
            false if dice.chance(500) => Fate::End,
            false => Fate::Reset,
        };
        Some((dice.below(CUT_MAX), fate))
    }
}

/// Some hangs end.
fn hang(now: u64, dice: &mut Dice) -> u64 {
    if dice.chance(500) { NEVER } else { now + dice.below(10_000_000_000) }
}

impl FakeServer {
    /// Writes what the connection takes and the fate lets through; true when something happened.
    pub(super) fn write(&mut self, at: usize) -> bool {
        let now = self.world.now();
        let backend = &mut self.backends[at];
        let most = backend.fate.map_or(usize::MAX, |(bytes, _)| bytes.saturating_sub(backend.wrote) as usize);
        // Now and then a message comes in two parts with some time in between.
        let whole = backend.out.len().min(most);
        let rests = backend.simple.is_none() && backend.held.is_none() && backend.copy.is_none() && backend.inbox.is_empty();
        let pieces = whole > 1 && self.dice.chance(if rests { 250 } else { 30 });
        let piece = if pieces { self.dice.between(1, whole as u64 - 1) as usize } else { whole };
        let written = self.world.peer_write(backend.peer, &backend.out[..piece]);
        backend.written(written);
        if pieces {
            backend.hung_until = now + self.dice.below(1_000_000);
        }
        let Some((bytes, fate)) = backend.fate.filter(|(bytes, _)| *bytes <= backend.wrote) else { return written > 0 };
        debug_assert!(bytes <= backend.wrote, "not before its time");
        backend.fate = None;
        match fate {
            Fate::End => {
                backend.out.clear();
                self.close(at);
            }
            Fate::Reset => {
                self.world.peer_reset(backend.peer);
                backend.gone = true;
            }
            Fate::Hang(until) => {
                (backend.hung_until, backend.stuck) = (until.max(now), true);
                self.stuck += 1;
            }
        }
        true
    }

    /// The pooler has said something of its own, and perhaps never hears the end of the answer. No client has anything to do with it, unless the
    /// pooler had said it together with a client's words, or behind them: never what cleans a session (`alone`).
    pub(super) fn answer_pool(&mut self, at: usize, from: usize, alone: bool) {
        if !self.dice.chance(self.mischief.dies_for_pool) {
            return;
        }
        self.lost += 1;
        self.lost_beside += usize::from(!alone);
        let backend = &mut self.backends[at];
        if self.dice.chance(400) {
            backend.out.truncate(from);
            put_error(&mut backend.out, "FATAL", "57P01", "terminating connection due to administrator command");
            backend.closing = true;
        } else {
            // Never whole: then the client's own words could be on their way already.
            let cut = backend.wrote + self.dice.between(from as u64, backend.out.len() as u64 - 1);
            backend.fate = Some((cut, if self.dice.chance(500) { Fate::End } else { Fate::Reset }));
        }
    }

    /// Of the reply that begins at `from` in what is still to be written only a part goes out.
    pub(super) fn cut_reply(&mut self, at: usize, from: usize, dies: bool) {
        let now = self.world.now();
        let backend = &self.backends[at];
        let cut = backend.wrote + self.dice.between(from as u64, backend.out.len() as u64);
        let fate = match dies {
            true if self.dice.chance(500) => Fate::End,
            true => Fate::Reset,
            false => Fate::Hang(hang(now, &mut self.dice)),
        };
        self.backends[at].fate = Some((cut, fate));
    }

    /// Says what no server says here, at a moment when the next reply is to a message of this type; it waits for being hung up on.
    pub(super) fn talk_nonsense(&mut self, at: usize, kind: Option<u8>) {
        let which = self.dice.below(6);
        let small = self.dice.below(4) as u8;
        let backend = &mut self.backends[at];
        let out = &mut backend.out;
        match (which, kind) {
            (0, _) => put(out, b'R', |body| body.extend_from_slice(&[0; 4])),
            (1, _) => out.extend_from_slice(&[b'D', 0, 0, 0, small]),
            (2, _) => out.extend_from_slice(&[b'C', 0xff, 0xff, 0xff, 0xf0]),
            (3, _) => put(out, b'!', |_| ()),
            // Out of order.
            (4, Some(b'Q')) => put(out, b'2', |_| ()),
            (4, Some(b'B' | b'E' | b'D' | b'S')) => put(out, b'1', |_| ()),
            _ => put(out, b'Z', |body| body.push(b'X')),
        }
        backend.mad = true;
    }

    /// Something that nobody asked for, between any two messages that are not out yet.
    pub(super) fn chat(&mut self, at: usize) {
        let mut words = Vec::new();
        self.unasked(&mut words);
        let places = self.backends[at].boundaries();
        let place = places[self.dice.below(places.len() as u64) as usize];
        let length = words.len() as u64;
        self.backends[at].out.splice(place..place, words);
        if self.dice.chance(self.mischief.reply_hangs * 10) {
            let cut = self.backends[at].wrote + place as u64 + self.dice.between(1, length - 1);
            self.backends[at].fate = Some((cut, Fate::Hang(hang(self.world.now(), &mut self.dice))));
        }
    }

    fn unasked(&mut self, words: &mut Vec<u8>) {
        match self.dice.below(if self.mischief.chats_more { 3 } else { 1 }) {
            0 => put(words, b'N', |body| body.extend_from_slice(b"SNOTICE\0VNOTICE\0C00000\0Mby the way\0\0")),
            1 => put(words, b'S', |body| {
                text(body, "in_hot_standby");
                text(body, "off");
            }),
            _ => put(words, b'A', |body| {
                body.extend_from_slice(&77i32.to_be_bytes());
                text(body, "channel");
                text(body, "payload");
            }),
        }
    }

    /// Perhaps something unasked in the middle of a login, where nobody can listen to anything yet.
    pub(super) fn chat_in_login(&mut self, at: usize) {
        if self.mischief.chats_ns > 0 && self.dice.chance(300) {
            put(&mut self.backends[at].out, b'N', |body| body.extend_from_slice(b"SWARNING\0VWARNING\0C01000\0Mjust so\0\0"));
        }
    }

    /// A login that is refused.
    pub(super) fn refuse(&mut self, at: usize) {
        let (code, message) = REFUSALS[self.dice.below(REFUSALS.len() as u64) as usize];
        put_error(&mut self.backends[at].out, "FATAL", code, message);
        self.backends[at].closing = true;
    }

    /// The connection is over for the process behind it, which goes as soon as it comes to it.
    pub(super) fn close(&mut self, at: usize) {
        let now = self.world.now();
        let lingers = self.dice.below(self.mischief.lingers_ns + 1);
        let backend = &mut self.backends[at];
        if backend.leaves_at.is_none() {
            backend.leaves_at = Some(now + lingers);
        }
    }

    /// A connection ends by itself.
    pub(super) fn dies(&mut self, at: usize) {
        let backend = &mut self.backends[at];
        backend.dies_at = u64::MAX;
        if backend.started && self.dice.chance(500) {
            put_error(&mut backend.out, "FATAL", "57P01", "terminating connection due to administrator command");
            backend.closing = true;
        } else {
            self.world.peer_reset(backend.peer);
            backend.gone = true;
        }
    }

    /// All connections end; until `back_at` nobody answers, or whoever answers is not ready yet.
    pub fn fall(&mut self, doom: Doom, away: Option<Answer>) {
        for at in 0..self.backends.len() {
            let backend = &mut self.backends[at];
            if backend.gone || backend.leaves_at.is_some() {
                continue;
            }
            match doom {
                Doom::Told if backend.started && !backend.mad => {
                    put_error(&mut backend.out, "FATAL", "57P01", "terminating connection due to administrator command");
                    backend.closing = true;
                }
                Doom::Warned if backend.started && !backend.mad => {
                    put(&mut backend.out, b'N', |body| body.extend_from_slice(b"SWARNING\0VWARNING\0C57P02\0Mterminating connection\0\0"));
                    backend.closing = true;
                }
                Doom::Silent => {
                    self.world.stall(backend.peer, Way::Both, NEVER);
                    self.stalled.push(backend.peer);
                    (backend.hung_until, backend.stuck) = (NEVER, true);
                    self.stuck += 1;
                }
                _ => {
                    self.world.peer_reset(backend.peer);
                    backend.gone = true;
                }
            }
        }
        match away {
            Some(answer) => self.world.serve(self.address, answer),
            None => self.starting = true,
        }
    }

    /// What happens to whoever connects from now on.
    pub fn answer(&mut self, answer: Answer) {
        self.world.serve(self.address, answer);
    }

    /// It answers again.
    pub fn rise(&mut self) {
        self.starting = false;
        self.world.serve(self.address, Answer::Accept);
    }

    /// The network to one of its connections stalls, one way or both, until then.
    pub fn stall_one(&mut self) {
        if self.backends.is_empty() {
            return;
        }
        let (at, way) = (self.dice.below(self.backends.len() as u64) as usize, self.dice.below(3));
        let until = hang(self.world.now(), &mut self.dice);
        let backend = &mut self.backends[at];
        let way = [Way::Both, Way::ToPeer, Way::ToProxy][way as usize];
        self.world.stall(backend.peer, way, until);
        self.stalled.push(backend.peer);
        backend.stuck = true;
        self.stuck += 1;
    }

    /// No more mischief: what is there runs on in peace.
    pub fn calm_down(&mut self) {
        self.mischief = Mischief::default();
        self.rise();
        for backend in &mut self.backends {
            (backend.dies_at, backend.chats_at, backend.fate) = (u64::MAX, u64::MAX, None);
            backend.hung_until = 0;
        }
        // Those too whose process is gone: the end of their connection is still on its way.
        self.stalled.drain(..).for_each(|peer| self.world.stall(peer, Way::Both, 0));
        let now = self.world.now();
        self.requests.iter_mut().for_each(|request| request.at = request.at.min(now));
    }
}

impl Backend {
    /// So many bytes of `out` are on their way.
    fn written(&mut self, bytes: usize) {
        self.wrote += bytes as u64;
        let mut left = bytes;
        let mut from = 0;
        while left > 0 && self.started && !self.mad {
            if self.cut == 0 {
                self.cut = 1 + length_at(&self.out, from);
            }
            let part = self.cut.min(left);
            (self.cut, left, from) = (self.cut - part, left - part, from + part);
        }
        self.out.drain(..bytes);
    }

    /// Where in `out` a message can be put in.
    fn boundaries(&self) -> Vec<usize> {
        let mut places = vec![self.cut];
        let mut at = self.cut;
        while at < self.out.len() {
            at += 1 + length_at(&self.out, at);
            places.push(at);
        }
        places
    }
}

/// The length of the message that starts at `at`, as the message says it.
fn length_at(out: &[u8], at: usize) -> usize {
    u32::from_be_bytes(out[at + 1..at + 5].try_into().expect("four bytes")) as usize
}
