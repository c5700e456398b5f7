//! The loop of one data core.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::counts::Refusal;
use crate::config::snapshot::{NEVER, PreparedStatements};
use crate::io::links::{Links, Received};
use crate::io::timer::Timers;
use crate::io::{Completion, Door, Fd, Group, Op, Token, limits};
use crate::mail::{Desk, Published, Shared, VerifierCell};
use crate::session::Verdicts;
use crate::session::parameters::Profile;
use crate::session::shelf::Keep;
use crate::session::statements::Front;

use super::accounts::Turn;
use super::coordinate::Ended;
use super::lend::Pool;
use super::operate::Operate;
use super::peers::{NOBODY, Peer, ServerPeer, Stage};
use super::post::Post;
use super::pubsub::PubSub;
use super::rush::Rush;
use super::shards::Routers;
use super::timers::{Timer, ns};

/// How long no client is accepted after an accept has failed, and how often that is said.
const ACCEPT_PAUSE_NS: u64 = 100_000_000;
const ACCEPT_SAID_NS: u64 = 1_000_000_000;

/// What a core is made of.
pub struct Parts<D: Door, K: Desk> {
    pub id: usize,
    pub door: D,
    pub desk: K,
    pub post: Post,
    pub shared: Arc<Shared>,
    /// sockets that clients come by; none: this core only gets clients from others
    pub listeners: Vec<Fd>,
}

/// A socket that clients come by.
pub(super) struct Listener {
    fd: Fd,
    /// it is being listened to
    accepting: bool,
}

/// One data core.
pub struct Core<D: Door, K: Desk> {
    pub(super) id: usize,
    pub(super) links: Links<D>,
    pub(super) desk: K,
    pub(super) post: Post,
    pub(super) shared: Arc<Shared>,
    pub(super) published: Arc<Published>,
    pub(super) version: u64,
    /// by the slot of their tokens; a closed one is gone from the end only
    pub(super) listeners: Vec<Option<Listener>>,
    pub(super) draining: bool,
    /// nobody is left, and what was said last goes out with the next turn
    pub(super) parting: bool,
    /// the control core has been told that nobody is left
    pub(super) drained: bool,
    /// clients, admin ones apart
    pub(super) clients: usize,
    /// by slot
    pub(super) peers: Vec<Peer>,
    /// by pool number
    pub(super) pools: Vec<Option<Box<Pool>>>,
    pub(super) profiles: Vec<Arc<Profile>>,
    /// what this core has seen of the texts that clients prepare
    pub(super) front: Rc<RefCell<Front>>,
    /// of the databases with shards
    pub(super) routers: Routers,
    /// what the configuration says about statements on servers
    pub(super) keep: Keep,
    /// how clients share their statements
    pub(super) caching: PreparedStatements,
    pub(super) wheel: Timers<Timer>,
    pub(super) alarm_at: u64,
    /// the earliest `look_at` of the pools
    pub(super) next_look: u64,
    pub(super) now: u64,
    completions: Vec<Completion>,
    pub(super) verdicts: Option<Box<Verdicts>>,
    /// clients whose server is there: fed before other clients are heard
    pub(super) granted: VecDeque<(u32, u32)>,
    /// clients with bytes held that may go on
    pub(super) again: VecDeque<(u32, u32)>,
    /// servers promised to other cores
    pub(super) lending: Vec<(u32, u32, usize)>,
    /// pools that may not open connections before others of their servers have been opened
    pub(super) gated: Vec<u32>,
    /// a `Timer::Gate` is armed
    pub(super) gate_timer: bool,
    /// a `Timer::Lend` is armed
    pub(super) lend_timer: bool,
    expired: Vec<Timer>,
    /// whom this turn serves
    pub(super) turn: Turn,
    /// panics of sessions that were survived
    pub(super) panics: u64,
    /// connects that failed at once, and why
    pub(super) unopened: Vec<(u32, String)>,
    /// clients that replicate, whose own connect failed at once: slot, generation, pool, and why
    pub(super) unsent: Vec<(u32, u32, u32, String)>,
    /// clients that began to wait while their server does not let us in
    pub(super) barred: Vec<(u32, u32)>,
    /// a server not heard of for longer is asked whether it lives before a client gets it
    pub(super) stale_ns: u64,
    /// clients, over all cores, beyond which no more get in
    pub(super) clients_max: usize,
    /// bytes of blocks in use on this core beyond which no more clients get in
    pub(super) memory_max: usize,
    /// characters of clients' texts that are logged; None: none are
    pub(super) query_sample: Option<usize>,
    /// when it was last said that no connection can be accepted
    said_full_at: u64,
    /// logins that wait for a helper, by slot and generation, and the cell in which their verifier will be
    pub(super) verifying: HashMap<(u32, u32), Arc<VerifierCell>>,
    /// connections and logins that wait for a later turn
    pub(super) rush: Rush,
    /// what the operator has asked for
    pub(super) operate: Operate,
    /// who listens to channels
    pub(super) pubsub: PubSub,
    /// participants that have ended, and that their coordinators have not been told of
    pub(super) ended: Vec<Ended>,
}

/// What a session's verdicts are written into: taken from `Core::verdicts`, where it goes back when they are carried out. It is made anew where
/// that was forgotten.
#[inline]
pub(super) fn spare(verdicts: &mut Option<Box<Verdicts>>) -> Box<Verdicts> {
    let mut verdicts = verdicts.take().unwrap_or_default();
    verdicts.clear();
    verdicts
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A core without clients; it takes what is published now.
    pub fn new(parts: Parts<D, K>) -> Core<D, K> {
        let published = parts.shared.published.load_full();
        let now = parts.door.now();
        let front = Rc::new(RefCell::new(Front::new(parts.shared.library.clone())));
        let mut core = Core {
            id: parts.id,
            now,
            links: Links::new(parts.door),
            desk: parts.desk,
            post: parts.post,
            version: published.snapshot.number,
            published,
            shared: parts.shared,
            listeners: parts.listeners.into_iter().map(|fd| Some(Listener { fd, accepting: false })).collect(),
            draining: false,
            parting: false,
            drained: false,
            clients: 0,
            peers: Vec::new(),
            pools: Vec::new(),
            profiles: Vec::new(),
            routers: Routers::default(),
            front,
            keep: Keep::default(),
            caching: PreparedStatements::Extended,
            wheel: Timers::new(now),
            alarm_at: u64::MAX,
            next_look: u64::MAX,
            completions: Vec::with_capacity(1024),
            verdicts: None,
            granted: VecDeque::with_capacity(64),
            again: VecDeque::with_capacity(64),
            lending: Vec::with_capacity(16),
            gated: Vec::new(),
            gate_timer: false,
            lend_timer: false,
            expired: Vec::new(),
            turn: Turn::default(),
            panics: 0,
            unopened: Vec::new(),
            unsent: Vec::new(),
            barred: Vec::new(),
            stale_ns: 0,
            clients_max: usize::MAX,
            memory_max: usize::MAX,
            query_sample: None,
            said_full_at: 0,
            verifying: HashMap::new(),
            rush: Rush::default(),
            operate: Operate::default(),
            pubsub: PubSub::default(),
            ended: Vec::new(),
        };
        core.note_settings();
        core.accept_again();
        core.keep_warm();
        core
    }

    /// What is looked at often comes out of the snapshot once.
    pub(super) fn note_settings(&mut self) {
        let general = &self.published.snapshot.general;
        self.stale_ns = ns(general.healthcheck_interval);
        let ttl = if general.prepared_statements_ttl == NEVER { 0 } else { ns(general.prepared_statements_ttl) };
        self.caching = general.prepared_statements;
        let full = self.caching == PreparedStatements::Full;
        self.keep = Keep { limit: general.prepared_statements_limit, ttl, jitter: ns(general.prepared_statements_ttl_jitter), full };
        self.query_sample = general.watch.logs_queries();
        self.clients_max = self.shared.clients_max.min(general.max_client_conn);
        let limit = if general.memory_limit == 0 { limits::memory() / 2 } else { general.memory_limit };
        self.memory_max = usize::try_from(limit).unwrap_or(usize::MAX) / self.shared.clients.len();
    }

    /// One turn. Errors mean that the machine itself is broken.
    pub fn step(&mut self) -> io::Result<()> {
        self.links.flush();
        self.give_away();
        let idle = !self.post.send_waiting(&mut self.links.door) && self.nothing_waits();
        self.set_alarm();
        self.account_turn();
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        self.links.turn(idle, &mut completions)?;
        self.now = self.links.door.now();
        self.shared.tallies[self.id].completions.add(completions.len() as u64);
        self.read_blocked();
        for completion in &completions {
            match completion.token.op() {
                Op::ServerRecv => self.server_received(completion),
                Op::Sent => self.backlog_sent(completion),
                Op::Connect => self.server_connected(completion),
                Op::Alarm => self.alarm_at = u64::MAX,
                _ => {}
            }
        }
        self.read_mail();
        if !self.operate.suspended {
            if self.now >= self.operate.punish_after {
                self.expire();
            }
            self.look_due();
        }
        self.serve_granted();
        for completion in &completions {
            match completion.token.op() {
                Op::ClientRecv => self.client_received(completion),
                Op::Accept => self.accepted(completion),
                _ => {}
            }
        }
        self.fail_unopened();
        self.fail_unsent();
        self.serve_again();
        self.hear_participants();
        self.serve_rush();
        self.report_slice();
        self.order_slice();
        self.air_slice();
        self.completions = completions;
        if self.draining {
            self.tell_if_drained();
        }
        Ok(())
    }

    /// Nothing is left that this core can do without hearing of anything.
    fn nothing_waits(&self) -> bool {
        let parting = self.parting && !self.drained;
        // A promised server that is in the middle of something goes when that is over, of which the core hears.
        let settling = self.lending.iter().any(|&(slot, _, _)| self.links.is_settling(slot) || self.may_leave(slot));
        let asked = self.operate.has_work() || self.rush.has_work() || self.pubsub.has_work();
        let spread = !self.links.spoken.is_empty() || !self.ended.is_empty();
        let failed = spread || !self.unopened.is_empty() || !self.unsent.is_empty();
        !parting && !settling && !asked && !failed && self.barred.is_empty() && self.granted.is_empty() && self.again.is_empty()
    }

    /// Runs until the machine breaks; a core has no other end.
    pub fn run(&mut self) -> io::Error {
        loop {
            if let Err(error) = self.step() {
                return error;
            }
        }
    }

    /// What its sockets keep, see `Links::kept`: for those who watch that it stays bounded.
    pub fn kept(&self) -> (usize, usize, usize) {
        self.links.kept()
    }

    /// Puts a peer behind a socket.
    pub(super) fn seat(&mut self, slot: u32, peer: Peer) {
        let index = slot as usize;
        if self.peers.len() <= index {
            self.peers.resize_with(index + 1, Peer::default);
        }
        self.peers[index] = peer;
    }

    /// A client and the server at hand, both at once.
    pub(super) fn pair(&mut self, client: u32, server: u32) -> (&mut Peer, Option<&mut Peer>) {
        if server == NOBODY {
            return (&mut self.peers[client as usize], None);
        }
        match self.peers.get_disjoint_mut([client as usize, server as usize]) {
            Ok([client, server]) => (client, Some(server)),
            Err(_) => unreachable!("a client is not its own server"),
        }
    }

    fn server_received(&mut self, completion: &Completion) {
        let slot = completion.token.slot();
        match self.links.received(completion) {
            // A cancel request has no answer: bytes of its connection are nobody's.
            Received::Bytes(bytes) => {
                if matches!(self.peers.get(slot as usize), Some(Peer::Server(_))) {
                    self.server_bytes(slot, bytes);
                } else {
                    self.sender_bytes(slot, bytes);
                }
            }
            Received::End => match self.peers.get(slot as usize) {
                Some(Peer::Server(_)) => self.server_ended(slot),
                Some(Peer::Sender(_)) => self.sender_ended(slot),
                Some(Peer::Leg(_)) => self.leg_ended(slot),
                _ => {}
            },
            Received::Nothing => {}
        }
    }

    fn client_received(&mut self, completion: &Completion) {
        let slot = completion.token.slot();
        match self.links.received(completion) {
            Received::Bytes(bytes) if self.must_wait(slot, bytes) => {}
            Received::Bytes(bytes) => self.client_bytes(slot, bytes),
            Received::End => {
                if matches!(self.peers.get(slot as usize), Some(Peer::Client(peer)) if matches!(peer.stage, Stage::Login(_) | Stage::Greeted)) {
                    self.shared.tallies[self.id].refuse(Refusal::Gone);
                }
                self.client_ended(slot);
            }
            Received::Nothing => {}
        }
    }

    /// Sockets that took less than they were sent: whoever feeds them is not heard until they have caught up.
    fn read_blocked(&mut self) {
        while let Some(slot) = self.links.blocked.pop() {
            match self.peers.get(slot as usize) {
                Some(Peer::Client(client)) if client.server != NOBODY => self.links.pause(client.server),
                Some(Peer::Server(server)) if server.client != NOBODY => self.links.pause(server.client),
                Some(Peer::Sender(sender)) if sender.client != NOBODY => self.links.pause(sender.client),
                _ => {}
            }
        }
    }

    fn backlog_sent(&mut self, completion: &Completion) {
        if !self.links.sent(completion) {
            return;
        }
        match self.peers.get(completion.token.slot() as usize) {
            Some(Peer::Client(client)) => {
                if client.server != NOBODY {
                    self.links.resume(client.server);
                }
                self.hear_again_spread(completion.token.slot());
                self.go_on_with(completion.token.slot());
                self.hear_again(completion.token.slot());
            }
            Some(&Peer::Server(ServerPeer { client, .. })) if client != NOBODY => self.go_on_with(client),
            Some(Peer::Sender(sender)) if sender.client != NOBODY => self.go_on_with(sender.client),
            _ => {}
        }
    }

    /// What a client waited for may be there.
    pub(super) fn go_on_with(&mut self, client: u32) {
        if let Some(Peer::Client(peer)) = self.peers.get(client as usize)
            && peer.owner != NOBODY
        {
            let owner = peer.owner;
            self.feed_later(client);
            return self.go_on_with(owner);
        }
        self.listen_to(client);
        self.feed_later(client);
    }

    /// Reads a client's socket again, if nothing speaks against it.
    pub(super) fn listen_to(&mut self, client: u32) {
        let Some(Peer::Client(peer)) = self.peers.get(client as usize) else { return };
        let blocked = peer.server != NOBODY && self.links.backlog(peer.server) > 0;
        // A message that has to be there whole is waited for, whatever it takes.
        let most = super::HELD_MAX.max(peer.client.needs());
        if self.links.is_paused(client) && !blocked && self.links.held(client) < most {
            self.links.resume(client);
        }
    }

    /// The client's held bytes are looked at again before this turn ends.
    pub(super) fn feed_later(&mut self, client: u32) {
        if self.links.held(client) > 0 {
            self.again.push_back((client, self.links.generation(client)));
        }
    }

    fn expire(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(self.now, &mut expired);
        for timer in expired.drain(..) {
            self.rang(timer);
        }
        self.expired = expired;
    }

    fn set_alarm(&mut self) {
        if self.operate.suspended {
            return;
        }
        let at = self.wheel.next().map_or(u64::MAX, |at| at.max(self.operate.punish_after)).min(self.next_look);
        if at < self.alarm_at {
            self.alarm_at = at;
            self.links.door.alarm(at, Token::new(Op::Alarm, 0, 0));
        }
    }

    fn accepted(&mut self, completion: &Completion) {
        let index = completion.token.slot() as usize;
        if let Some(Some(listener)) = self.listeners.get_mut(index) {
            listener.accepting = completion.more;
        }
        let failed = completion.res < 0 && completion.res != -libc::ECANCELED;
        if completion.res >= 0 {
            self.fresh_comes(completion.res);
        } else if failed && self.now.saturating_sub(self.said_full_at) >= ACCEPT_SAID_NS {
            self.said_full_at = self.now;
            tracing::warn!("cannot accept a connection, new ones have to wait: {}", io::Error::from_raw_os_error(-completion.res));
        }
        if completion.more {
            return;
        }
        // Closed while draining, so that the kernel refuses who comes now instead of letting them wait for the end.
        if self.draining || self.operate.closed {
            self.stop_listening();
        } else if failed {
            // Out of descriptors or memory: asking again at once would fail at once.
            self.wheel.arm(self.now + ACCEPT_PAUSE_NS, Timer::Accept);
        } else {
            self.accept_again();
        }
    }

    /// Takes clients (again).
    pub(super) fn accept_again(&mut self) {
        if self.draining || self.operate.closed {
            return;
        }
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if let Some(listener) = listener.as_mut().filter(|listener| !listener.accepting) {
                listener.accepting = true;
                self.links.door.accept(listener.fd, Token::new(Op::Accept, 0, index as u32));
            }
        }
    }

    /// Takes no more clients; a listening socket closes as soon as nothing is pending on it.
    pub(super) fn stop_listening(&mut self) {
        for (index, place) in self.listeners.iter_mut().enumerate() {
            match place {
                Some(listener) if listener.accepting => self.links.door.cancel(Token::new(Op::Accept, 0, index as u32)),
                Some(listener) => {
                    self.links.door.close(listener.fd);
                    *place = None;
                }
                None => {}
            }
        }
    }

    /// A fresh connection stays here, or goes to a core with clearly fewer clients.
    pub(super) fn fresh_client(&mut self, fd: Fd) {
        if self.published.snapshot.cores.spread
            && let Some(core) = self.emptier_core()
        {
            self.shared.clients[core].0.fetch_add(1, Ordering::Relaxed);
            return self.post.send(core, crate::mail::Mail::Client { fd }, &mut self.links.door);
        }
        self.shared.clients[self.id].0.fetch_add(1, Ordering::Relaxed);
        self.seat_client(fd);
    }

    /// "Clearly": a sixteenth more than the mean, and at least two. Passing one on costs a letter; a lopsided core costs its clients the tail.
    fn emptier_core(&self) -> Option<usize> {
        let count = |core: usize| self.shared.clients[core].0.load(Ordering::Relaxed);
        let cores = self.shared.clients.len();
        let mine = count(self.id);
        let mean = (0..cores).map(count).sum::<usize>() / cores;
        if mine < mean + mean / 16 + 2 {
            return None;
        }
        (0..cores).filter(|&core| core != self.id).min_by_key(|&core| count(core))
    }

    pub(super) fn adopt_client(&mut self, fd: Fd) -> u32 {
        self.links.adopt(fd, Group::Clients)
    }
}
