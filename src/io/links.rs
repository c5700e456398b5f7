//! Sockets in use: what goes out and in what order, what came in and how long it may be looked at. Sits on a `Door`; knows bytes, not messages.
//!
//! One turn of a core: `flush` queues one send per socket that has something to say, `turn` gives all to the kernel and comes back with what
//! happened, and settles the turn before: what was sent short is copied and goes on as a waiting send, then the receive buffers and blocks of that
//! turn are free again. So a received range may be queued for sending as it is, without a copy, in the turn that received it, and only then.
//!
//! A socket is closed in order: what it has to say goes out, its recv is cancelled, its last completion awaited, then its slot is used anew.

use std::collections::VecDeque;
use std::io;

use super::buffer::{self, Blocks};
use super::inner::Caught;
use super::ring::SEGMENTS_MAX;
use super::socket::Address;
use super::{BufferId, Completion, Door, Fd, Group, Op, Segment, Token};

pub(super) const NONE: u32 = u32::MAX;
/// Words of our own are gathered in blocks of this size.
pub(super) const ARENA: usize = 16 * 1024;

/// Bytes in a receive buffer or a kept block.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    pub(super) at: *const u8,
    pub(super) len: usize,
}

impl Bytes {
    /// Points into `block`, which must be handed to `Links::keep` in this turn.
    pub fn of(block: &[u8]) -> Bytes {
        Bytes { at: block.as_ptr(), len: block.len() }
    }

    /// A look at them, in the turn that received them.
    #[inline]
    pub fn view<'a>(self) -> &'a [u8] {
        // SAFETY: the memory is a receive buffer or a kept block; both stay put until the next turn is settled, and no view outlives its turn
        // because the engine keeps none beyond the handling of one completion.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    /// A part of them.
    #[inline]
    pub fn part(self, range: std::ops::Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.len, "a part lies within");
        // SAFETY: within the same memory, as just asserted.
        Bytes { at: unsafe { self.at.add(range.start) }, len: range.end - range.start }
    }
}

/// What a recv completion meant.
#[derive(Debug)]
pub enum Received {
    Bytes(Bytes),
    /// the other side has finished, or the connection is broken
    End,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recv {
    Off,
    Armed,
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    /// says what it has to say, then ends its own direction and waits for the other side to end its
    Parting,
    /// has ended its own direction
    Parted,
    /// says what it has to say, then closes
    Closing,
}

impl End {
    /// What the other side says is still of interest.
    fn listens(self) -> bool {
        matches!(self, End::Open | End::Parting | End::Parted)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub at: *const u8,
    pub len: usize,
    pub next: u32,
}

#[derive(Default)]
pub(super) struct Backlog {
    pub blocks: VecDeque<Vec<u8>>,
    /// bytes of the first block that have gone out
    pub gone: usize,
    pub bytes: usize,
}

pub(super) struct Slot {
    pub generation: u32,
    pub fd: Fd,
    group: Group,
    pub recv: Recv,
    pub wanted: bool,
    pub starved: bool,
    /// not listened to, whatever the engine wants (see `still`)
    pub asleep: bool,
    pub end: End,
    /// a waiting send is with the kernel
    pub sending: bool,
    /// this turn's pieces
    pub first: u32,
    pub last: u32,
    pub pieces: u32,
    /// pieces given to the kernel with the last turn
    pub flying: u32,
    pub backlog: Option<Box<Backlog>>,
    /// received, not consumed
    held: Vec<u8>,
    pub in_use: bool,
    /// nobody is at the other end: what is sent there is kept here
    pub caught: Option<Box<Caught>>,
}

/// What a core's sockets keep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub slots: usize,
    pub slot_bytes: usize,
    /// sockets with bytes that were received and not consumed, and those bytes
    pub held: usize,
    pub held_bytes: usize,
    /// sockets that take less than is sent, and the bytes that wait
    pub backlogs: usize,
    pub backlog_bytes: usize,
    /// bytes of blocks kept for later
    pub kept: usize,
}

/// All sockets of a core.
pub struct Links<D: Door> {
    pub door: D,
    pub(super) slots: Vec<Slot>,
    free: Vec<u32>,
    pub(super) pieces: Vec<Piece>,
    pub(super) flying: Vec<Piece>,
    pub(super) dirty: Vec<u32>,
    pub(super) flown: Vec<u32>,
    pub(super) segments: Vec<Segment>,
    /// buffers received in this turn and the one before
    received: Vec<BufferId>,
    pub(super) arena: Vec<u8>,
    pub(super) kept: Vec<Vec<u8>>,
    pub(super) kept_flying: Vec<Vec<u8>>,
    starved: VecDeque<(u32, u32)>,
    /// how often that was
    starvations: u64,
    pub(super) closing: Vec<u32>,
    /// sockets that took less than was sent since the engine last looked: who feeds them should be paused
    pub blocked: Vec<u32>,
    /// slots without a socket that have been sent something since they were last read
    pub spoken: Vec<u32>,
    pub blocks: Blocks,
    pub(super) backlog_bytes: usize,
}

impl<D: Door> Links<D> {
    /// No sockets yet.
    pub fn new(door: D) -> Links<D> {
        Links {
            door,
            slots: Vec::new(),
            free: Vec::new(),
            pieces: Vec::with_capacity(1024),
            flying: Vec::with_capacity(1024),
            dirty: Vec::with_capacity(1024),
            flown: Vec::with_capacity(1024),
            segments: Vec::with_capacity(SEGMENTS_MAX),
            received: Vec::with_capacity(1024),
            arena: Vec::with_capacity(ARENA),
            kept: Vec::with_capacity(256),
            kept_flying: Vec::with_capacity(256),
            starved: VecDeque::new(),
            starvations: 0,
            closing: Vec::new(),
            blocked: Vec::with_capacity(64),
            spoken: Vec::new(),
            blocks: Blocks::default(),
            backlog_bytes: 0,
        }
    }

    /// Takes a connected descriptor; its recv is not armed yet.
    pub fn adopt(&mut self, fd: Fd, group: Group) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                fd: -1,
                group,
                recv: Recv::Off,
                wanted: false,
                starved: false,
                asleep: false,
                end: End::Open,
                sending: false,
                first: NONE,
                last: NONE,
                pieces: 0,
                flying: NONE,
                backlog: None,
                held: Vec::new(),
                in_use: false,
                caught: None,
            });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.fd = fd;
        slot.group = group;
        slot.end = End::Open;
        slot.wanted = false;
        slot.starved = false;
        slot.asleep = false;
        slot.in_use = true;
        index
    }

    /// Opens a connection; `Op::Connect` completes on the slot.
    pub fn connect(&mut self, to: &Address, group: Group) -> io::Result<u32> {
        let index = self.adopt(-1, group);
        let token = Token::new(Op::Connect, self.slots[index as usize].generation, index);
        match self.door.connect(to, token) {
            Ok(fd) => {
                self.slots[index as usize].fd = fd;
                self.slots[index as usize].sending = true; // until the connect completes the slot must stay
                Ok(index)
            }
            Err(error) => {
                self.release(index);
                Err(error)
            }
        }
    }

    /// Call for every `Op::Connect` completion; false when it is of an earlier use of the slot.
    pub fn connected(&mut self, token: Token) -> bool {
        let known = self.is_current(token);
        if known {
            let slot = &mut self.slots[token.slot() as usize];
            slot.sending = false;
            if slot.end != End::Open {
                self.closing.push(token.slot());
            }
        }
        known
    }

    /// The other end is a process of root or of this one's account, on this machine.
    pub fn is_local(&self, index: u32) -> bool {
        super::socket::peer_is_us(self.slots[index as usize].fd)
    }

    /// The use of a slot, for tokens and letters that come back later.
    pub fn generation(&self, index: u32) -> u32 {
        self.slots[index as usize].generation & 0xff_ffff
    }

    /// Whether that use of the slot still lasts.
    pub fn is_open(&self, index: u32, generation: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.in_use && slot.end == End::Open && slot.generation & 0xff_ffff == generation)
    }

    pub(super) fn is_current(&self, token: Token) -> bool {
        self.slots.get(token.slot() as usize).is_some_and(|slot| slot.in_use && slot.generation & 0xff_ffff == token.generation())
    }

    /// The descriptor behind a slot.
    pub fn fd(&self, index: u32) -> Fd {
        self.slots[index as usize].fd
    }

    /// The most bytes that any socket holds, and keeps to be sent; and bytes in blocks that nobody uses.
    pub fn kept(&self) -> (usize, usize, usize) {
        let held = self.slots.iter().map(|slot| slot.held.len()).max();
        let backlog = self.slots.iter().filter_map(|slot| slot.backlog.as_ref()).map(|backlog| backlog.bytes).max();
        (held.unwrap_or(0), backlog.unwrap_or(0), self.blocks.kept())
    }

    /// How often a socket found no receive buffer.
    pub fn starvations(&self) -> u64 {
        self.starvations
    }

    /// How many slots there are, used or not.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no slot at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Wants what the other side sends.
    pub fn resume(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.wanted = true;
        if slot.recv == Recv::Off && !slot.starved {
            self.arm(index);
        }
    }

    /// Wants no more for now; what is on its way may still come.
    pub fn pause(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.wanted = false;
        if slot.recv == Recv::Armed {
            slot.recv = Recv::Ending;
            let token = recv_token(slot, index);
            self.door.cancel(token);
        }
    }

    /// Whether it listens to the other side.
    pub fn is_paused(&self, index: u32) -> bool {
        !self.slots[index as usize].wanted
    }

    pub(super) fn arm(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.end.listens() || slot.asleep || slot.caught.is_some() {
            return;
        }
        slot.recv = Recv::Armed;
        let token = recv_token(slot, index);
        self.door.recv(slot.fd, slot.group, token);
    }

    /// Reads a recv completion.
    pub fn received(&mut self, completion: &Completion) -> Received {
        if let Some(buffer) = completion.buffer {
            self.received.push(buffer);
        }
        if !self.is_current(completion.token) {
            return Received::Nothing;
        }
        let index = completion.token.slot();
        let slot = &mut self.slots[index as usize];
        let ended = !completion.more;
        if ended {
            slot.recv = Recv::Off;
            if slot.end != End::Open {
                self.closing.push(index);
            }
        }
        let slot = &mut self.slots[index as usize];
        let open = slot.end.listens();
        match completion.res {
            n if n > 0 => {
                if ended && slot.wanted && open {
                    self.arm(index);
                }
                let Some(buffer) = completion.buffer.filter(|_| open) else { return Received::Nothing };
                Received::Bytes(Bytes { at: self.door.bytes(buffer), len: n as usize })
            }
            error if error == -libc::ENOBUFS => {
                slot.starved = true;
                self.starvations += 1;
                self.starved.push_back((index, slot.generation));
                Received::Nothing
            }
            error if error == -libc::ECANCELED || error == -libc::EINTR || error == -libc::EAGAIN => {
                if ended && slot.wanted && open {
                    self.arm(index);
                }
                Received::Nothing
            }
            _ if open => Received::End,
            _ => Received::Nothing,
        }
    }

    /// Bytes received and not consumed.
    pub fn held(&self, index: u32) -> usize {
        self.slots[index as usize].held.len()
    }

    /// Keeps bytes until the engine asks for them.
    #[inline]
    pub fn hold(&mut self, index: u32, bytes: &[u8]) {
        // Mostly there are none.
        if !bytes.is_empty() {
            self.hold_some(index, bytes);
        }
    }

    fn hold_some(&mut self, index: u32, bytes: &[u8]) {
        let needed = self.slots[index as usize].held.len() + bytes.len();
        if self.slots[index as usize].held.capacity() < needed {
            let mut larger = self.blocks.take(buffer::grown(needed));
            let slot = &mut self.slots[index as usize];
            larger.extend_from_slice(&slot.held);
            let old = std::mem::replace(&mut slot.held, larger);
            self.blocks.give(old);
        }
        self.slots[index as usize].held.extend_from_slice(bytes);
    }

    /// Bytes that are kept for whatever reason: received and not consumed, waiting for room in a socket, blocks for later.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory { slots: self.slots.len(), slot_bytes: size_of::<Slot>(), kept: self.blocks.kept(), ..Memory::default() };
        for slot in self.slots.iter().filter(|slot| slot.in_use) {
            memory.held += usize::from(slot.held.capacity() > 0);
            memory.held_bytes += slot.held.capacity();
            if let Some(backlog) = &slot.backlog {
                memory.backlogs += 1;
                memory.backlog_bytes += backlog.blocks.iter().map(Vec::capacity).sum::<usize>();
            }
        }
        memory
    }

    /// What was held, to be handed to `keep` or back to `hold`.
    pub fn take_held(&mut self, index: u32) -> Vec<u8> {
        std::mem::take(&mut self.slots[index as usize].held)
    }

    /// Keeps a block in place until this turn is settled.
    pub fn keep(&mut self, block: Vec<u8>) {
        self.kept.push(block);
    }

    /// Nothing is queued or on its way out.
    pub fn is_silent(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.first == NONE && slot.flying == NONE && slot.backlog.is_none() && !slot.sending
    }

    /// Whether the socket can be given to another core now: it was paused, nothing is on its way in either direction, nothing is held.
    pub fn is_movable(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        self.is_silent(index) && !slot.wanted && slot.recv == Recv::Off && slot.held.is_empty() && slot.end == End::Open
    }

    /// Whether the next turn alone brings it nearer to being movable: what goes out goes with it.
    pub fn is_settling(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.first != NONE || slot.flying != NONE
    }

    /// Lets go of the descriptor of a movable socket.
    pub fn give_away(&mut self, index: u32) -> Fd {
        debug_assert!(self.is_movable(index), "only movable sockets are given away");
        let fd = self.slots[index as usize].fd;
        self.release(index);
        fd
    }

    /// Says no more after what is queued; then the other side is heard to its end, whatever it still says.
    pub fn part(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.end == End::Open && slot.in_use {
            slot.end = End::Parting;
            self.closing.push(index);
            self.resume(index);
        }
    }

    /// Whether that use of the slot lasts and waits for the other side to end.
    pub fn is_parting(&self, index: u32, generation: u32) -> bool {
        let slot = self.slots.get(index as usize).filter(|slot| slot.in_use && slot.generation & 0xff_ffff == generation);
        slot.is_some_and(|slot| matches!(slot.end, End::Parting | End::Parted))
    }

    /// Closes after what is queued has gone out.
    pub fn close(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.end == End::Open && slot.in_use {
            slot.end = End::Closing;
            slot.wanted = false;
            self.closing.push(index);
        }
    }

    /// Closes without saying what is left to say.
    pub fn abort(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.in_use {
            return;
        }
        slot.end = End::Closing;
        slot.wanted = false;
        if slot.sending {
            // The waiting send or connect ends with an error; its completion finishes the close.
            self.door.shutdown(slot.fd);
        }
        self.closing.push(index);
    }

    /// `abort`, if that use of the slot still lasts and only its last words keep it.
    pub fn abort_if(&mut self, index: u32, generation: u32) {
        let slot = &self.slots[index as usize];
        if slot.in_use && slot.generation & 0xff_ffff == generation && slot.end == End::Closing {
            self.abort(index);
        }
    }

    /// One step of a closing socket; true when it needs no more looking at.
    pub(super) fn finish(&mut self, index: u32) -> bool {
        let slot = &mut self.slots[index as usize];
        if !slot.in_use || slot.end == End::Open {
            return true;
        }
        if matches!(slot.end, End::Closing | End::Parting) {
            if slot.flying != NONE || slot.first != NONE {
                return false;
            }
            if slot.backlog.is_some() || slot.sending {
                return true; // its Sent completion brings it back here
            }
        }
        if slot.end == End::Parting {
            slot.end = End::Parted;
            self.door.finish(slot.fd);
        }
        if slot.end == End::Parted {
            return true;
        }
        match slot.recv {
            Recv::Armed => {
                slot.recv = Recv::Ending;
                let token = recv_token(slot, index);
                self.door.cancel(token);
                true // and its last completion too
            }
            Recv::Ending => true,
            Recv::Off => {
                if slot.end == End::Closing && slot.caught.is_none() {
                    self.door.close(slot.fd);
                }
                self.release(index);
                true
            }
        }
    }

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.in_use = false;
        slot.generation = slot.generation.wrapping_add(1);
        slot.fd = -1;
        slot.backlog = None;
        slot.caught = None;
        let held = std::mem::take(&mut slot.held);
        self.blocks.give(held);
        self.free.push(index);
    }

    /// Waits for what happens (if `wait`), settles the turn before, and appends to `out` what the engine has to look at.
    pub fn turn(&mut self, wait: bool, out: &mut Vec<Completion>) -> io::Result<()> {
        // What waits to be looked at must not wait for the kernel: closing sockets whose last words are with it, starved ones.
        let wait = wait && self.closing.is_empty() && self.starved.is_empty();
        self.door.turn(wait, out)?;
        out.retain(|completion| match completion.token.op() {
            Op::Unsent => {
                self.unsent(completion);
                false
            }
            _ => true,
        });
        for index in self.flown.drain(..) {
            self.slots[index as usize].flying = NONE;
        }
        self.flying.clear();
        while let Some(block) = self.kept_flying.pop() {
            self.blocks.give(block);
        }
        while let Some(buffer) = self.received.pop() {
            self.door.recycle(buffer);
        }
        for _ in 0..self.starved.len() {
            let Some((index, generation)) = self.starved.pop_front() else { break };
            let slot = &mut self.slots[index as usize];
            if slot.in_use && slot.generation == generation {
                slot.starved = false;
                if slot.wanted && slot.recv == Recv::Off {
                    self.arm(index);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn recv_token(slot: &Slot, index: u32) -> Token {
    let op = if slot.group == Group::Servers { Op::ServerRecv } else { Op::ClientRecv };
    Token::new(op, slot.generation, index)
}
