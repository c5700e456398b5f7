//! Clients that replicate (pg_receivewal, pg_basebackup, standbys, subscribers, change data capture): each has a server that is its alone, opened
//! for it with its own startup parameters, and bytes go through as they are. That server is never one of the pool's idle ones and never becomes
//! one, but it holds one of the pool's permits, so that `pool_size` bounds both together, and its client waits for that permit in the pool's queue
//! like everybody. When the permit comes with a server attached, that server is closed, and its permit opens the right one (`ServerPeer::heir`).
//!
//! What one ends the other ends: a client that goes is followed by its server at once (what it is at work on is cancelled), a server that ends by its
//! client, after its last words and without any of ours, as without pg_dog. No limit of time applies between them, PAUSE does not wait for them and
//! does not stop them, and when pg_dog ends they are told at once (57P01), since a stream has no end that could be waited for. A connect is tried
//! once: whoever replicates tries again by himself.

use std::sync::Arc;

use crate::io::links::Bytes;
use crate::io::{Door, Group};
use crate::mail::{Asker, Desk, Job, Published, SharedPool, Word};
use crate::session::greeting::{Greeted, Greeting};
use crate::session::login::Login;
use crate::session::relay::{Relay, Said};
use crate::wire::server::{backend_key_data, parameter_status, ready};
use crate::wire::startup::Replication;

use super::core::Core;
use super::guard::guard;
use super::leaving::LEAVE_NS;
use super::logins::pid;
use super::peers::{NOBODY, Peer, Replicates, Sender, SenderStage, ServerPeer, ServerStage, Stage};
use super::servers::address;
use super::timers::{Timer, ns};

/// A server that does not hear that its client has gone is asked to stop again after so long, and then after twice as long.
const STOP_NS: u64 = 250_000_000;
/// What a client names that has no database to name: older programs for physical replication can say nothing else.
const NO_DATABASE: &str = "replication";

/// The pool of whoever logs in. Physical replication belongs to no database: who names none gets a server that the user has.
pub(super) fn pool_of<'a>(published: &'a Published, login: &Login) -> Option<&'a Arc<SharedPool>> {
    let nameless = login.replication == Some(Replication::Physical) && (login.database == NO_DATABASE || login.database == login.user);
    let found = published.find(&login.database, &login.user);
    if nameless && found.is_none() { published.pools.iter().find(|pool| pool.spec.user == login.user) } else { found }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// Takes note of what a client wants to replicate, if it does; false when it was told why it cannot.
    pub(super) fn may_replicate(&mut self, client: u32, login: &Login, pool: &SharedPool) -> bool {
        let Some(kind) = login.replication.or(pool.spec.replicates.then_some(Replication::Logical)) else { return true };
        if pool.spec.database != login.database {
            let theirs = |other: &&Arc<SharedPool>| other.spec.user == login.user;
            let server = |spec: &crate::config::snapshot::PoolSpec| (spec.host.clone(), spec.port);
            if self.published.pools.iter().filter(theirs).any(|other| server(&other.spec) != server(&pool.spec)) {
                let message = "the databases of this user are on several servers, and the client does not say which one it means";
                let hint = "Name one of them in the connection string, as in -d \"dbname=app\" (pg_basebackup and pg_receivewal take \
                            that from version 17 on), or replicate as a user that has only one.";
                self.client_fatal(client, "3D000", message, Some(hint));
                return false;
            }
        }
        if pool.spec.shards > 1 && pool.spec.database == login.database {
            let message = "a replication connection speaks to one server, and this database has several shards";
            let hint = "Replicate from each shard's own server, or give each a [[databases]] entry under a name of its own.";
            self.client_fatal(client, "0A000", message, Some(hint));
            return false;
        }
        let Some(peer) = self.peers[client as usize].client() else { return false };
        peer.database.clone_from(&pool.spec.database);
        peer.replicates = Some(Box::new(Replicates { kind, wishes: login.parameters.clone() }));
        true
    }

    /// It needs a server that is its alone.
    pub(super) fn replicates(&self, client: u32) -> bool {
        matches!(self.peers.get(client as usize), Some(Peer::Client(peer)) if peer.replicates.is_some())
    }

    /// The connection that the pool wants opened is for the first waiter, who needs one that is his alone: true when it was.
    pub(super) fn open_for_first(&mut self, pool: u32) -> bool {
        let now = self.now;
        let first = self.pools.get(pool as usize).and_then(Option::as_ref).and_then(|pool| pool.slice.first_waiter());
        let Some(client) = first.filter(|&client| self.replicates(client)) else { return false };
        let Some(peer) = self.peers[client as usize].client() else { return false };
        let Some(ticket) = peer.ticket.take() else { return false };
        peer.counts.wait_ns += now.saturating_sub(peer.waits_since);
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            pool.slice.open_alone_for(ticket);
        }
        self.open_sender(client, pool);
        true
    }

    /// A client that replicates got a server that it cannot use: that one goes, and what it leaves free is for this client.
    pub(super) fn make_place(&mut self, client: u32, server: u32) {
        let (now, generation) = (self.now, self.links.generation(client));
        let Some(peer) = self.peers[client as usize].client() else { return };
        if peer.ticket.take().is_some() {
            peer.counts.wait_ns += now.saturating_sub(peer.waits_since);
        }
        let Some(link) = self.peers[server as usize].server() else { return };
        // It counts as in use since it was given.
        link.stage = ServerStage::Granted;
        link.heir = Some((client, generation));
        self.let_go(server, false);
    }

    /// A server has left whose permit is for a client that replicates; false when that one has gone meanwhile.
    pub(super) fn inherits(&mut self, left: &ServerPeer) -> bool {
        let Some((client, generation)) = left.heir else { return false };
        if !self.links.is_open(client, generation) || !self.replicates(client) {
            return false;
        }
        let Some(Some(pool)) = self.pools.get_mut(left.pool as usize) else { return false };
        pool.slice.inherit_alone();
        self.open_sender(client, left.pool);
        true
    }

    /// Opens a server for this client alone; the pool counts it already.
    pub(super) fn open_sender(&mut self, client: u32, pool: u32) {
        let Some(shared) = self.pools[pool as usize].as_ref().map(|pool| pool.shared.clone()) else { return };
        let opened = match address(&shared) {
            Some(address) => self.links.connect(&address, Group::Servers).map_err(|error| format!("could not connect to the server: {error}")),
            None => Err(format!("the address of the server {:?} is not known; see the log", shared.spec.host)),
        };
        let slot = match opened {
            Ok(slot) => slot,
            Err(why) => return self.unsent.push((client, self.links.generation(client), pool, why)),
        };
        let sender = Sender {
            pool: shared,
            stage: SenderStage::Connecting,
            client,
            relay: Relay::default(),
            key: None,
            leg: false,
            cancel_again: false,
            ending: false,
            connected_at: self.now,
            connected_wall: self.links.door.wall_ms(),
            left_at: 0,
            received: 0,
            sent: 0,
            told: (0, 0, 0),
        };
        self.seat(slot, Peer::Sender(Box::new(sender)));
        if let Some(peer) = self.peers[client as usize].client() {
            peer.server = slot;
        }
        let timeout = ns(self.published.snapshot.general.connect_timeout);
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Connect { slot, generation: self.links.generation(slot) });
        if let Some(tally) = self.tally(pool) {
            tally.counts.connect_count.add(1);
            tally.counts.auth_attempts.add(1);
        }
    }

    /// Connects that failed at once. Told only now, when nobody is in the middle of asking for them.
    pub(super) fn fail_unsent(&mut self) {
        for (client, generation, pool, why) in std::mem::take(&mut self.unsent) {
            self.desk.word(Word::Unreachable { pool });
            self.say_no_sender(pool, "08001", &why);
            self.no_sender(pool, false);
            if self.links.is_open(client, generation) {
                self.client_fatal(client, "08001", &why, None);
            }
        }
    }

    /// The connect is done.
    pub(super) fn sender_connected(&mut self, slot: u32, res: i32) {
        if res < 0 {
            let why = std::io::Error::from_raw_os_error(-res);
            return self.sender_failed(slot, true, "08001", &format!("could not connect to the server: {why}"));
        }
        let minor = self.published.snapshot.general.server_minor;
        let Some(client) = self.peers[slot as usize].sender().map(|sender| sender.client) else { return };
        let Some(asked) = self.peers[client as usize].client().and_then(|peer| peer.replicates.clone()) else { return };
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let mut words = Vec::new();
        match Greeting::replicating(&sender.pool.spec, minor, asked.kind, &asked.wishes, &mut words) {
            Ok(greeting) => sender.stage = SenderStage::Greeting(Box::new(greeting.trying(sender.pool.state.password.which()))),
            Err(error) => return self.sender_failed(slot, false, "54000", &format!("too many startup parameters for the server: {error}")),
        }
        self.links.say(slot, &words);
        self.links.resume(slot);
    }

    /// Bytes from the server.
    pub(super) fn sender_bytes(&mut self, slot: u32, bytes: Bytes) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        sender.received += bytes.view().len() as u64;
        if matches!(sender.stage, SenderStage::Leaving) {
            return; // whatever it still says is for nobody
        }
        let generation = self.links.generation(slot);
        if self.links.held(slot) == 0 {
            let consumed = self.feed_sender(slot, bytes);
            if self.links.is_open(slot, generation) {
                self.links.hold(slot, &bytes.view()[consumed..]);
            }
            return;
        }
        self.links.hold(slot, bytes.view());
        let held = self.links.take_held(slot);
        let consumed = self.feed_sender(slot, Bytes::of(&held));
        if self.links.is_open(slot, generation) {
            self.links.hold(slot, &held[consumed..]);
        }
        self.links.keep(held);
    }

    /// Reads bytes; returns how many are consumed.
    fn feed_sender(&mut self, slot: u32, bytes: Bytes) -> usize {
        let (mut at, len) = (0, bytes.view().len());
        while at < len {
            let rest = bytes.part(at..len);
            let consumed = match self.peers[slot as usize].sender().map(|sender| &sender.stage) {
                Some(SenderStage::Greeting(_)) => self.feed_sender_greeting(slot, rest),
                Some(SenderStage::Relaying) => self.relay_to_client(slot, rest),
                _ => return len,
            };
            at += consumed;
            if consumed == 0 {
                break;
            }
        }
        at
    }

    fn feed_sender_greeting(&mut self, slot: u32, bytes: Bytes) -> usize {
        let mut nonce = [0; 18];
        self.desk.random(&mut nonce);
        let Some(sender) = self.peers[slot as usize].sender() else { return 0 };
        let SenderStage::Greeting(greeting) = &mut sender.stage else { return 0 };
        let keys = sender.pool.state.server_keys.load_full();
        let mut words = Vec::new();
        let heard = guard(|| greeting.on_bytes(bytes.view(), &sender.pool.spec, keys.as_deref(), &nonce, &mut words));
        let Ok((consumed, greeted)) = heard else {
            self.panics += 1;
            self.sender_failed(slot, false, "XX000", "internal error");
            return bytes.view().len();
        };
        self.links.say(slot, &words);
        self.sender_greeted(slot, greeted);
        consumed
    }

    fn sender_greeted(&mut self, slot: u32, greeted: Greeted) {
        match greeted {
            Greeted::More => {}
            Greeted::NeedKeys { salt, iterations } => {
                let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
                if let Peer::Sender(sender) = &self.peers[slot as usize]
                    && let SenderStage::Greeting(greeting) = &sender.stage
                {
                    self.desk.job(asker, Job::ServerKeys { pool: sender.pool.clone(), password: greeting.password_tried(), salt, iterations });
                }
            }
            Greeted::Ready => self.sender_ready(slot),
            Greeted::Failed { code, message } => self.sender_failed(slot, false, &code, &message),
        }
    }

    /// Keys that its login waited for are there.
    pub(super) fn sender_keys_made(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let SenderStage::Greeting(greeting) = &mut sender.stage else { return };
        let keys = sender.pool.state.server_keys.load_full();
        let mut words = Vec::new();
        let greeted = match guard(|| greeting.keys_made(keys.as_deref(), &mut words)) {
            Ok(greeted) => greeted,
            Err(_) => {
                self.panics += 1;
                return self.sender_failed(slot, false, "XX000", "internal error");
            }
        };
        self.links.say(slot, &words);
        self.sender_greeted(slot, greeted);
    }

    /// The server is ready, and its client is told what the server told: these parameters are nobody else's.
    fn sender_ready(&mut self, slot: u32) {
        let now = self.now;
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let SenderStage::Greeting(greeting) = std::mem::replace(&mut sender.stage, SenderStage::Relaying) else { return };
        let (key, parameters) = greeting.into_parts();
        sender.key = key;
        sender.pool.state.password.right();
        let (client, pool, took) = (sender.client, sender.pool.id, now.saturating_sub(sender.connected_at));
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            pool.slice.alone_opened();
            pool.tally.counts.connect_time.add(took);
            pool.tally.counts.server_assignment_count.add(1);
        }
        self.look_at_gate();
        let core = self.id;
        let Some(peer) = self.peers[client as usize].client() else { return };
        let mut words = Vec::new();
        for (name, value) in &parameters {
            // These came in one message each.
            let _ = parameter_status(&mut words, name.as_bytes(), value.as_bytes());
        }
        let _ = backend_key_data(&mut words, pid(core, client), peer.secret());
        ready(&mut words, b'I');
        peer.stage = Stage::Replicating;
        self.links.say(client, &words);
        if self.operate.suspended {
            self.links.sleep(slot);
        }
        self.go_on_with(client);
    }

    /// Bytes of the server for its client.
    fn relay_to_client(&mut self, slot: u32, bytes: Bytes) -> usize {
        let Some(sender) = self.peers[slot as usize].sender() else { return 0 };
        let (client, ending, relay) = (sender.client, sender.ending, &mut sender.relay);
        let heard = guard(|| if ending { (relay.rest_of_message(bytes.view()), None) } else { relay.on_server(bytes.view()) });
        let Ok((consumed, broken)) = heard else { return self.relay_panicked(client, bytes) };
        let over = ending && relay.server_at_boundary();
        self.links.forward(client, bytes.part(0..consumed));
        if self.links.backlog(client) > 0 {
            self.links.pause(slot);
        }
        if let Some(peer) = self.peers[client as usize].client() {
            peer.counts.sent += consumed as u64;
        }
        self.account_sender(slot);
        if over {
            self.client_fatal(client, "57P01", "pg_dog is shutting down", None);
        } else if broken.is_some() {
            self.client_fatal(client, "08P01", "the server broke the protocol", None);
        }
        consumed
    }

    /// Bytes of a client for its server.
    pub(super) fn feed_relay(&mut self, client: u32, bytes: Bytes) -> usize {
        let Some(server) = self.peers[client as usize].client().map(|peer| peer.server) else { return 0 };
        let Some(sender) = self.peers[server as usize].sender() else { return 0 };
        let (before, left, relay) = (sender.relay.requests, sender.relay.left(), &mut sender.relay);
        let Ok((consumed, said)) = guard(|| relay.on_client(bytes.view())) else { return self.relay_panicked(client, bytes) };
        sender.sent += consumed as u64;
        let requests = relay.requests - before;
        if let Some(peer) = self.peers[client as usize].client() {
            peer.client.requests += requests;
        }
        self.links.forward(server, bytes.part(0..consumed));
        if self.links.backlog(server) > 0 {
            self.links.pause(client);
        }
        if let Some(sample) = self.query_sample {
            self.quote(client, bytes.part(0..consumed), left, sample);
        }
        match said {
            Said::More => {}
            Said::Terminate => self.client_gone(client),
            Said::Broken(broken) => self.client_broke(client, broken),
        }
        consumed
    }

    #[cold]
    fn relay_panicked(&mut self, client: u32, bytes: Bytes) -> usize {
        tracing::error!("the relay of a client that replicates panicked, and that client is closed");
        self.panics += 1;
        self.client_gone(client);
        bytes.view().len()
    }

    /// What went through since the last time goes into the tally of the pool.
    fn account_sender(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let new = (sender.relay.requests, sender.received, sender.sent);
        let (old, pool) = (std::mem::replace(&mut sender.told, new), sender.pool.id);
        if let Some(tally) = self.tally(pool) {
            tally.counts.query_count.add(new.0 - old.0);
            tally.counts.sent.add(new.1 - old.1);
            tally.counts.received.add(new.2 - old.2);
        }
    }

    /// pg_dog ends. True: the client can be told now; false: as soon as the message at hand has passed.
    pub(super) fn ends_between_messages(&mut self, client: u32) -> bool {
        let Some(server) = self.peers[client as usize].client().map(|peer| peer.server) else { return true };
        let Some(sender) = self.peers[server as usize].sender() else { return true };
        sender.ending = true;
        sender.relay.server_at_boundary()
    }

    /// The server's socket has ended.
    pub(super) fn sender_ended(&mut self, slot: u32) {
        let now = self.now;
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        match sender.stage {
            SenderStage::Connecting | SenderStage::Greeting(_) => {
                self.sender_failed(slot, true, "08006", "the server closed the connection during login")
            }
            SenderStage::Leaving => self.sender_left(slot),
            SenderStage::Relaying => {
                let (client, pool) = (sender.client, sender.pool.id);
                self.account_sender(slot);
                self.peers[slot as usize] = Peer::None;
                self.links.abort(slot);
                if let Some(peer) = self.peers[client as usize].client() {
                    peer.server = NOBODY;
                }
                self.client_gone(client);
                if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
                    let after = slice.slice.alone_died(now);
                    self.after(pool, after);
                    self.end_unused(pool);
                }
            }
        }
    }

    /// The connection could not be made or logged in. `ended`: there is none, or the other end has closed it. The client is told why, unless the
    /// server takes perhaps another password.
    pub(super) fn sender_failed(&mut self, slot: u32, ended: bool, code: &str, message: &str) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let (client, shared) = (sender.client, sender.pool.clone());
        let tried = if let SenderStage::Greeting(greeting) = &sender.stage { Some(greeting.password_tried()) } else { None };
        if let Some(peer) = self.peers[client as usize].client() {
            peer.server = NOBODY;
        }
        self.say_no_sender(shared.id, code, message);
        self.drop_half_open(slot, ended);
        if !code.starts_with("28") && code != "42501" {
            self.desk.word(Word::Unreachable { pool: shared.id });
        }
        let passwords = shared.spec.server_passwords.len();
        if code == "28P01" && tried.is_some_and(|which| shared.state.password.wrong(which, passwords)) {
            self.checkout(client);
            return;
        }
        self.client_fatal(client, code, message, None);
    }

    /// A connection that is not logged in yet is of no use any more.
    fn drop_half_open(&mut self, slot: u32, ended: bool) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        // A server that has not said a word has no process of ours yet: there is nothing to wait for.
        let half_open = !ended && matches!(sender.stage, SenderStage::Greeting(_)) && sender.received > 0;
        let pool = sender.pool.id;
        if half_open {
            self.sender_leaves(slot, false);
        } else {
            self.peers[slot as usize] = Peer::None;
            self.links.abort(slot);
        }
        self.no_sender(pool, half_open);
    }

    fn say_no_sender(&mut self, pool: u32, code: &str, message: &str) {
        let now = self.now;
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            pool.tally.counts.errors.add(1);
            pool.say_down(now, code, message);
        }
    }

    /// No connection came of a permit.
    fn no_sender(&mut self, pool: u32, half_open: bool) {
        let now = self.now;
        let Some(Some(slice)) = self.pools.get_mut(pool as usize) else { return };
        let after = slice.slice.alone_failed(now, half_open);
        self.after(pool, after);
        self.look_at_gate();
        self.end_unused(pool);
    }

    /// The client of this server has gone: so does the server.
    pub(super) fn sender_orphaned(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        match sender.stage {
            SenderStage::Connecting | SenderStage::Greeting(_) => self.drop_half_open(slot, false),
            SenderStage::Leaving => {}
            SenderStage::Relaying => {
                let pool = sender.pool.id;
                self.stop_sender(slot);
                self.account_sender(slot);
                if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
                    slice.slice.alone_leaves();
                }
                self.sender_leaves(slot, true);
            }
        }
    }

    /// Says goodbye, where that can be understood, and waits for the other end to let go.
    fn sender_leaves(&mut self, slot: u32, logged_in: bool) {
        let now = self.now;
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        (sender.client, sender.left_at) = (NOBODY, now);
        sender.stage = SenderStage::Leaving;
        let again = if sender.relay.is_deaf() { STOP_NS } else { LEAVE_NS };
        if logged_in && sender.relay.client_at_boundary() {
            let mut words = Vec::new();
            crate::wire::client::terminate(&mut words);
            self.links.say(slot, &words);
        }
        self.links.part(slot);
        let generation = self.links.generation(slot);
        self.wheel.arm(now + again, Timer::Leave { slot, generation });
    }

    /// It has not let go yet. A cancel request may have come before the query that it was for had begun: it is sent again, until the time is over.
    pub(super) fn sender_stays(&mut self, slot: u32) {
        let now = self.now;
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        let (left_at, since) = (sender.left_at, now.saturating_sub(sender.left_at));
        if since >= LEAVE_NS {
            let spec = &sender.pool.spec;
            let (pid, server) = (sender.key.as_ref().map(|(pid, _)| *pid), format!("{}:{}", spec.host, spec.port));
            let what = "a server does not let go of a replication connection that pg_dog has closed";
            tracing::warn!(database = %spec.database, user = %spec.user, server, pid, "{what}");
            return self.sender_left(slot);
        }
        self.stop_sender(slot);
        let generation = self.links.generation(slot);
        self.wheel.arm(left_at + (since * 2).clamp(STOP_NS, LEAVE_NS), Timer::Leave { slot, generation });
    }

    /// Asks a server whose client has gone to stop what it would not look up from.
    fn stop_sender(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        if let (true, Some(key), Some(address)) = (sender.relay.is_deaf(), sender.key.clone(), address(&sender.pool)) {
            self.open_leg(slot, key, &address);
        }
    }

    /// The other end has let go of a connection that we are closing, or has had its time to do so.
    pub(super) fn sender_left(&mut self, slot: u32) {
        let now = self.now;
        let Peer::Sender(sender) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        self.links.abort(slot);
        let pool = sender.pool.id;
        if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
            let after = slice.slice.left(now);
            self.after(pool, after);
            self.end_unused(pool);
        }
        self.look_at_gate();
    }

    /// Asks the server to stop what it does for its client; PostgreSQL ignores that when it does nothing, and so do we.
    pub(super) fn cancel_sender(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        if !matches!(sender.stage, SenderStage::Relaying) || !sender.relay.is_active() {
            return;
        }
        if sender.leg {
            sender.cancel_again = true;
            return;
        }
        let (Some(key), Some(address)) = (sender.key.clone(), address(&sender.pool)) else { return };
        if self.open_leg(slot, key, &address)
            && let Some(sender) = self.peers[slot as usize].sender()
        {
            (sender.leg, sender.cancel_again) = (true, false);
        }
    }

    /// PostgreSQL has closed the cancel connection: the signal has been sent, or never will be.
    pub(super) fn sender_cancelled(&mut self, slot: u32) {
        let Some(sender) = self.peers[slot as usize].sender() else { return };
        sender.leg = false;
        let (again, client) = (std::mem::take(&mut sender.cancel_again), sender.client);
        if again {
            self.cancel_sender(slot);
        }
        if client != NOBODY {
            self.go_on_with(client);
        }
    }

    /// A cancel request is on its way for what this client asked before: it must not hit what is asked next.
    pub(super) fn is_being_cancelled(&self, server: u32) -> bool {
        matches!(self.peers.get(server as usize), Some(Peer::Sender(sender)) if sender.leg && !sender.relay.is_active())
    }
}

#[cfg(test)]
#[path = "replication_tests.rs"]
mod tests;
