//! The simplest proxy there is: every client gets a server connection of its own, and bytes go through unread. It shows that simulated clients and
//! servers understand each other, and, breaking something on purpose, that they notice.

use std::collections::VecDeque;
use std::net::SocketAddr;

use pg_dog::io::sim::{Dice, SimDoor};
use pg_dog::io::{Completion, Door, Fd, Group, Op, Segment, Token};

use crate::house::CoreUnderTest;

/// What the relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// a piece of a reply goes to another client
    Misdelivers,
    LosesByte,
    RepeatsPiece,
    /// the replies to one client stop
    Forgets,
}

/// One direction of one link.
#[derive(Default)]
struct Side {
    fd: Fd,
    /// a recv is armed
    armed: bool,
    /// nothing more comes from here
    ended: bool,
    /// to be sent to this side
    out: Vec<u8>,
    /// what `send` was given this turn
    sending: usize,
    /// what `send_wait` was given
    waiting: Option<Box<[u8]>>,
    broken: bool,
}

struct Link {
    connected: bool,
    shut: bool,
    closed: bool,
    /// client, server
    sides: [Side; 2],
}

/// One core's relay.
pub struct Relay {
    door: SimDoor,
    server: SocketAddr,
    links: Vec<Link>,
    dice: Dice,
    fault: Fault,
    starved: VecDeque<(usize, usize)>,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

fn token(op: Op, link: usize, side: usize) -> Token {
    Token::new(op, 1, (link * 2 + side) as u32)
}

impl Relay {
    pub fn new(door: SimDoor, listener: Fd, server: SocketAddr, dice: Dice, fault: Fault) -> Relay {
        let mut relay = Relay { door, server, links: Vec::new(), dice, fault, starved: VecDeque::new() };
        relay.door.accept(listener, Token::new(Op::Accept, 0, 0));
        relay
    }

    fn arm(&mut self, link: usize, side: usize) {
        let one = &mut self.links[link].sides[side];
        one.armed = true;
        let (group, op) = if side == CLIENT { (Group::Clients, Op::ClientRecv) } else { (Group::Servers, Op::ServerRecv) };
        self.door.recv(one.fd, group, token(op, link, side));
    }

    fn accepted(&mut self, fd: Fd) {
        let link = self.links.len();
        match self.door.connect(&self.server.into(), token(Op::Connect, link, SERVER)) {
            Ok(server) => {
                let sides = [Side { fd, ..Side::default() }, Side { fd: server, ..Side::default() }];
                self.links.push(Link { connected: false, shut: false, closed: false, sides });
            }
            Err(_) => self.door.close(fd),
        }
    }

    fn completed(&mut self, completion: Completion) {
        let (link, side) = ((completion.token.slot() / 2) as usize, (completion.token.slot() % 2) as usize);
        match completion.token.op() {
            Op::Accept => self.accepted(completion.res),
            Op::Connect if completion.res == 0 => {
                self.links[link].connected = true;
                self.arm(link, CLIENT);
                self.arm(link, SERVER);
            }
            Op::Connect => {
                self.links[link].connected = true;
                self.links[link].sides.iter_mut().for_each(|side| side.ended = true);
            }
            Op::ClientRecv | Op::ServerRecv => self.received(link, side, completion),
            Op::Sent => {
                let one = &mut self.links[link].sides[side];
                let waiting = one.waiting.take().unwrap_or_default();
                one.broken |= completion.res < 0;
                let rest = &waiting[completion.res.max(0) as usize..];
                one.out.splice(0..0, rest.iter().copied());
            }
            // `turn` has looked at these.
            _ => {}
        }
    }

    fn received(&mut self, link: usize, side: usize, completion: Completion) {
        if let Some(buffer) = completion.buffer {
            let mut bytes = self.door.copy(buffer, completion.res as usize);
            self.door.recycle(buffer);
            let links = self.links.len() as u64;
            let mut to = link;
            if side == SERVER && self.dice.chance(20) {
                match self.fault {
                    Fault::Misdelivers => to = self.dice.below(links) as usize,
                    Fault::LosesByte => drop(bytes.pop()),
                    Fault::RepeatsPiece => bytes.extend_from_within(..),
                    Fault::Forgets => bytes.clear(),
                    Fault::None => {}
                }
            }
            self.links[to].sides[1 - side].out.extend_from_slice(&bytes);
        }
        if !completion.more {
            self.links[link].sides[side].armed = false;
            match completion.res {
                res if res == -libc::ENOBUFS => self.starved.push_back((link, side)),
                _ => self.links[link].sides[side].ended = true,
            }
        }
    }

    fn queue_sends(&mut self) {
        for link in 0..self.links.len() {
            for side in [CLIENT, SERVER] {
                let (connected, closed) = (self.links[link].connected, self.links[link].closed);
                let one = &mut self.links[link].sides[side];
                if one.broken {
                    one.out.clear();
                }
                if !connected || closed || one.out.is_empty() || one.waiting.is_some() {
                    continue;
                }
                one.sending = one.out.len();
                self.door.send(one.fd, &[Segment { at: one.out.as_ptr(), len: one.out.len() }], token(Op::Unsent, link, side));
            }
        }
    }

    /// What `send` did not take waits for room.
    fn settle_sends(&mut self, out: &[Completion]) {
        for completion in out.iter().filter(|one| one.token.op() == Op::Unsent) {
            let (link, side) = ((completion.token.slot() / 2) as usize, (completion.token.slot() % 2) as usize);
            let one = &mut self.links[link].sides[side];
            let taken = completion.res.max(0) as usize;
            one.broken |= completion.res < 0 && completion.res != -libc::EAGAIN;
            let rest: Box<[u8]> = one.out[taken..one.sending].into();
            one.out.drain(..one.sending);
            one.sending = 0;
            if !one.broken {
                self.door.send_wait(one.fd, Segment { at: rest.as_ptr(), len: rest.len() }, token(Op::Sent, link, side));
                one.waiting = Some(rest);
            }
        }
        for one in self.links.iter_mut().flat_map(|link| &mut link.sides) {
            one.out.drain(..one.sending);
            one.sending = 0;
        }
    }

    /// Links of which one side has ended: what is left goes out, then both are closed.
    fn close_ended(&mut self) {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if link.closed || !link.connected || !link.sides.iter().any(|side| side.ended || side.broken) {
                continue;
            }
            let [client, server] = &link.sides;
            let flushed = |one: &Side, other: &Side| one.broken || other.broken || (one.out.is_empty() && one.waiting.is_none()) || one.ended;
            if !link.shut && flushed(client, server) && flushed(server, client) {
                link.shut = true;
                let fds = [client.fd, server.fd];
                fds.into_iter().for_each(|fd| self.door.shutdown(fd));
            }
            let link = &mut self.links[at];
            let idle = link.sides.iter().all(|side| !side.armed && side.waiting.is_none());
            if link.shut && idle && !self.starved.iter().any(|starved| starved.0 == at) {
                link.closed = true;
                let fds = [link.sides[CLIENT].fd, link.sides[SERVER].fd];
                fds.into_iter().for_each(|fd| self.door.close(fd));
            }
        }
    }
}

impl CoreUnderTest for Relay {
    fn turn(&mut self) {
        let mut out = Vec::new();
        self.queue_sends();
        let wait = self.starved.is_empty();
        for (link, side) in std::mem::take(&mut self.starved) {
            self.arm(link, side);
        }
        self.door.turn(wait, &mut out).expect("a simulated turn does not fail");
        self.settle_sends(&out);
        out.into_iter().for_each(|completion| self.completed(completion));
        self.close_ended();
    }
}
