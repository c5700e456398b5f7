//! The machine. `Door` is all that `engine` knows of it; `ring` is the real one (io_uring), `sim` the simulated one with the same manners.
//!
//! The manners, which both keep and the engine relies on:
//! - A completion carries the token of the operation that caused it. Tokens carry a generation, so a late one is recognised.
//! - `recv` is multishot: one completion per filled buffer with `more == true`, a last one with `more == false` (end of stream `res == 0`,
//!   error `res < 0`, no buffer left `-ENOBUFS`, cancelled `-ECANCELED`). A descriptor is closed and its slot reused only after the last one.
//! - A received buffer belongs to the engine until it hands it to `recycle`, which it does after the turn that sent its bytes on.
//! - `send` takes place when the turn's submissions go to the kernel. Success says nothing. A short or refused send posts one completion with
//!   `res` = bytes that went out (or a negative errno; `-EAGAIN` means none); such completions come back from the very next `turn`.
//!   At most one `send` per descriptor and turn; its memory must stay put until that `turn` has returned.
//! - `send_wait` always posts one completion (bytes sent or errno); its memory must stay put until then.
//! - `turn` returns only when every submission queued before it has been consumed by the kernel.

pub mod buffer;
pub mod clock;
mod inner;
pub mod limits;
pub mod links;
pub mod mailbox;
pub mod outgoing;
pub mod provided;
pub mod random;
pub mod ring;
pub mod sim;
pub mod socket;
mod still;
pub mod timer;

use std::io;

use socket::Address;

/// A file descriptor (in `sim`, a number that plays one).
pub type Fd = i32;

/// What an operation was; the top byte of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    /// multishot accept: `res` is the new descriptor
    Accept = 1,
    /// multishot recv on a server's socket
    ServerRecv = 2,
    /// multishot recv on a client's socket
    ClientRecv = 3,
    /// a `send` that did not go out whole
    Unsent = 4,
    /// a `send_wait` is done
    Sent = 5,
    /// a connect is done: `res` is 0 or a negative errno
    Connect = 6,
    /// the alarm rang
    Alarm = 7,
    /// another thread woke this core: look at the mailbox
    Wake = 8,
    /// nobody waits for this one (cancel requests, closes)
    Ignore = 9,
}

impl Op {
    fn from_bits(bits: u8) -> Op {
        match bits {
            1 => Op::Accept,
            2 => Op::ServerRecv,
            3 => Op::ClientRecv,
            4 => Op::Unsent,
            5 => Op::Sent,
            6 => Op::Connect,
            7 => Op::Alarm,
            8 => Op::Wake,
            _ => Op::Ignore,
        }
    }
}

/// Names one operation on one use of one slot: 8 bits operation, 24 bits generation, 32 bits slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

impl Token {
    /// The token of `op` on `slot` in its `generation`th use (the low 24 bits of it).
    pub fn new(op: Op, generation: u32, slot: u32) -> Token {
        Token(((op as u64) << 56) | (u64::from(generation & 0xff_ffff) << 32) | u64::from(slot))
    }

    /// What was asked.
    pub fn op(self) -> Op {
        Op::from_bits((self.0 >> 56) as u8)
    }

    /// Which use of the slot asked (24 bits).
    pub fn generation(self) -> u32 {
        ((self.0 >> 32) & 0xff_ffff) as u32
    }

    /// Which slot asked.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// Clients and servers receive into separate groups of buffers, so that waiting clients never starve replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Group {
    Clients = 0,
    Servers = 1,
}

/// One received buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId {
    pub group: Group,
    pub index: u16,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub token: Token,
    /// result as the kernel gives it: a count, a descriptor, or a negative errno
    pub res: i32,
    /// where received bytes lie
    pub buffer: Option<BufferId>,
    /// for multishot operations: more will come without being asked
    pub more: bool,
}

/// A range of memory to send. Raw, because ranges of receive buffers, blocks and carried bytes go out in one list; who queues it keeps the
/// memory in place (see the manners above).
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub at: *const u8,
    pub len: usize,
}

/// What the other side of a socket has said or done that nobody has read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    Nothing,
    /// the first byte of it
    Byte(u8),
    /// nothing, and nothing will come
    End,
}

/// What the machine has been asked so far, and how it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// times the kernel was called
    pub submissions: u64,
    /// of those, because no more submissions had room
    pub early: u64,
    /// times completions had no room
    pub overflows: u64,
}

/// What a core can ask of the machine. Static dispatch: the engine is generic over it.
pub trait Door {
    /// Nanoseconds of a monotonic clock, as read when the last `turn` returned.
    fn now(&self) -> u64;
    /// The same clock, read now. It costs as much as all else that a small turn counts: once per turn.
    fn clock(&self) -> u64;
    /// See `Figures`.
    fn figures(&self) -> Figures;
    /// Milliseconds since 1970 (UTC), for what people read.
    fn wall_ms(&self) -> u64;
    /// Starts a multishot accept on a listening socket.
    fn accept(&mut self, listener: Fd, token: Token);
    /// Opens a socket to `to` and starts connecting.
    fn connect(&mut self, to: &Address, token: Token) -> io::Result<Fd>;
    /// Starts a multishot recv into buffers of `group`.
    fn recv(&mut self, fd: Fd, group: Group, token: Token);
    /// Ends the operation of that token; its last completion follows in a later turn.
    fn cancel(&mut self, token: Token);
    /// Sends `segments` in order, as one write, if the socket takes them now.
    fn send(&mut self, fd: Fd, segments: &[Segment], token: Token);
    /// Sends, waiting for room.
    fn send_wait(&mut self, fd: Fd, segment: Segment, token: Token);
    /// What the other side of a socket without a recv has said that nobody has read, right now. A system call: for what happens seldom.
    fn unread(&self, fd: Fd) -> Unread;
    /// Ends both directions of a socket at once, without closing it.
    fn shutdown(&mut self, fd: Fd);
    /// Ends our direction of a socket at once: the other side reads what was sent, then the end. What it says can still be received.
    fn finish(&mut self, fd: Fd);
    /// Closes a descriptor on which nothing is pending any more.
    fn close(&mut self, fd: Fd);
    /// Rings once at `at` (nanoseconds of `now`), or soon after.
    fn alarm(&mut self, at: u64, token: Token);
    /// Makes another core's `turn` return.
    fn wake(&mut self, core: usize);
    /// Gives everything queued to the kernel, without waiting for anything.
    fn submit(&mut self) -> io::Result<()>;
    /// Gives everything queued to the kernel, waits for at least one completion if `wait`, and appends what happened to `out`.
    fn turn(&mut self, wait: bool, out: &mut Vec<Completion>) -> io::Result<()>;
    /// Memory of a received buffer: its start. Valid until it is recycled.
    fn bytes(&self, buffer: BufferId) -> *const u8;
    /// Gives a received buffer back.
    fn recycle(&mut self, buffer: BufferId);
}
