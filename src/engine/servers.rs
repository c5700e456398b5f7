//! Servers: connecting, logging in, their replies, fitting and cleaning their sessions, their end.

use std::sync::Arc;

use crate::config::snapshot::PoolSpec;
use crate::io::links::Bytes;
use crate::io::socket::Address;
use crate::io::{Completion, Door, Group};
use crate::mail::{Asker, Barred, Desk, Job, Proof, ServerLink, SharedPool};
use crate::session::greeting::{Greeted, Greeting};
use crate::session::server::{Heard, Server};
use crate::session::{Verdict, Verdicts};

use super::core::{Core, spare};
use super::guard::guard;
use super::leaving::is_leaving;
use super::peers::{NOBODY, Peer, ServerPeer, ServerStage};
use super::timers::{Timer, ns};

/// After a failed connect no core tries that pool again for so long.
const RETRY_PAUSE_NS: u64 = 100_000_000;
/// The same when the server does not let us in: at first, doubled with each further refusal, and at most. Whoever asks again and again with a wrong
/// password is locked out by some providers.
const BARRED_NS: u64 = 1_000_000_000;
const BARRED_MAX_NS: u64 = 15_000_000_000;

/// A server that is not the shard that it should be: nobody may use it, as if it had refused us.
const WRONG_SHARD: &str = "58000";

/// How a connect failed.
#[derive(Clone, Copy)]
struct Failure {
    /// when it began
    started: u64,
    /// the server has heard of it and has still to let go
    half_open: bool,
    /// the password that was tried
    password: Option<usize>,
}

impl<D: Door, K: Desk> Core<D, K> {
    /// Opens a connection for a pool; the ledger has granted the permit.
    pub(super) fn open_server(&mut self, pool: u32) {
        if self.open_for_first(pool) {
            return;
        }
        let Some((shared, retire_at)) = self.pools[pool as usize].as_ref().map(|pool| (pool.shared.clone(), self.retire_at(pool))) else { return };
        let Some(address) = address(&shared) else {
            self.desk.word(crate::mail::Word::Unreachable { pool });
            let why = format!("the address of the server {:?} is not known; see the log", shared.spec.host);
            return self.unopened.push((pool, why));
        };
        let slot = match self.links.connect(&address, Group::Servers) {
            Ok(slot) => slot,
            Err(error) => return self.unopened.push((pool, format!("could not connect to the server: {error}"))),
        };
        let link = Box::new(ServerLink {
            server: Server::default(),
            pool: shared,
            connected_at: self.now,
            connected_wall: self.links.door.wall_ms(),
            received: 0,
            sent: 0,
            used_at: 0,
            heard_at: self.now,
            retire_at,
            checks: 0,
            proof: Proof::default(),
        });
        self.seat(slot, Peer::Server(ServerPeer::new(link, pool, ServerStage::Connecting)));
        let generation = self.links.generation(slot);
        let timeout = ns(self.published.snapshot.general.connect_timeout);
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Connect { slot, generation });
        if let Some(tally) = self.tally(pool) {
            tally.counts.connect_count.add(1);
            tally.counts.auth_attempts.add(1);
        }
    }

    /// Connects that failed at once. Told only now, when whoever asked for them keeps its request where it can be answered.
    pub(super) fn fail_unopened(&mut self) {
        let started = self.now;
        for (pool, why) in std::mem::take(&mut self.unopened) {
            self.no_server(pool, Failure { started, half_open: false, password: None }, "08001", &why);
        }
        for (client, generation) in std::mem::take(&mut self.barred) {
            self.turn_away(client, generation);
        }
    }

    /// A client that began to wait while its server does not let us in.
    fn turn_away(&mut self, client: u32, generation: u32) {
        if !self.links.is_open(client, generation) {
            return;
        }
        let Some(peer) = self.peers[client as usize].client() else { return };
        let Some(barred) = peer.pool.as_ref().and_then(|pool| pool.state.barred.load_full()) else { return };
        let (Some(ticket), Some(pool)) = (peer.ticket.take(), peer.pool.as_ref().map(|pool| pool.id)) else { return };
        if let Some(Some(slice)) = self.pools.get_mut(pool as usize) {
            slice.slice.cancel_wait(ticket);
        }
        self.checkout_failed(client, &barred.code, &barred.message);
    }

    /// A connect is done, of a server or of a cancel request.
    pub(super) fn server_connected(&mut self, completion: &Completion) {
        if !self.links.connected(completion.token) {
            return;
        }
        let slot = completion.token.slot();
        if !self.links.is_open(slot, completion.token.generation()) {
            return;
        }
        match &mut self.peers[slot as usize] {
            Peer::Leg(_) => self.leg_connected(slot, completion.res),
            Peer::Sender(_) => self.sender_connected(slot, completion.res),
            Peer::Server(_) if completion.res < 0 => {
                let why = std::io::Error::from_raw_os_error(-completion.res);
                self.open_failed(slot, true, "08001", &format!("could not connect to the server: {why}"));
            }
            Peer::Server(peer) => {
                let mut words = Vec::new();
                let greeting = Greeting::start(&peer.link.pool.spec, self.published.snapshot.general.server_minor, &mut words);
                let greeting = greeting.trying(peer.link.pool.state.password.which());
                let asks = peer.link.pool.spec.shards > 1 && self.published.snapshot.general.shard_identity;
                let greeting = if asks { greeting.asking_who() } else { greeting };
                peer.stage = ServerStage::Greeting(Box::new(greeting));
                self.links.say(slot, &words);
                self.links.resume(slot);
            }
            _ => {}
        }
    }

    /// Bytes from a server.
    pub(super) fn server_bytes(&mut self, slot: u32, bytes: Bytes) {
        let generation = self.links.generation(slot);
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        peer.link.received += bytes.view().len() as u64;
        peer.moved_at = now;
        if is_leaving(peer) {
            return; // whatever it still says is for nobody
        }
        if self.links.held(slot) == 0 {
            let consumed = self.feed_server(slot, bytes);
            if self.links.is_open(slot, generation) {
                self.links.hold(slot, &bytes.view()[consumed..]);
            }
            return;
        }
        self.links.hold(slot, bytes.view());
        let held = self.links.take_held(slot);
        let bytes = Bytes::of(&held);
        let consumed = self.feed_server(slot, bytes);
        if self.links.is_open(slot, generation) {
            self.links.hold(slot, &held[consumed..]);
        }
        self.links.keep(held);
    }

    /// Reads bytes; returns how many are consumed.
    fn feed_server(&mut self, slot: u32, bytes: Bytes) -> usize {
        let len = bytes.view().len();
        let generation = self.links.generation(slot);
        let mut at = 0;
        while at < len {
            let Some(peer) = self.peers[slot as usize].server() else { return len };
            if matches!(peer.stage, ServerStage::Greeting(_)) {
                let consumed = self.feed_greeting(slot, bytes.part(at..len));
                at += consumed;
                if consumed == 0 || !self.links.is_open(slot, generation) {
                    break;
                }
                continue;
            }
            // What it says before the client's first message went to it is not for the client.
            let before = matches!(peer.stage, ServerStage::Granted | ServerStage::Fitting);
            let (client, number) = (peer.client, if before { 0 } else { peer.client_number });
            let mut verdicts = spare(&mut self.verdicts);
            let heard = guard(|| peer.link.server.on_bytes(bytes.part(at..len).view(), number, &mut verdicts));
            self.carry_out_server(slot, client, bytes.part(at..len), &verdicts);
            self.verdicts = Some(verdicts);
            let (consumed, heard) = match heard {
                Ok(heard) => heard,
                Err(why) => {
                    self.server_panicked(slot, &why);
                    return len;
                }
            };
            at += consumed;
            self.account_replies(slot);
            match heard {
                Heard::More => break,
                Heard::Free => self.became_free(slot),
                Heard::LeftOpen => self.left_open(slot),
                Heard::Unfit => {
                    self.unfit(slot);
                    return len;
                }
                Heard::Fatal(told) => {
                    self.server_fatal(slot, told);
                    return len;
                }
                Heard::OutOfStep(kind) => {
                    tracing::error!(kind = %char::from(kind), "a server sent a message that it cannot send here; its connection is closed");
                    self.server_lost(slot, false, "08P01", "the server broke the protocol");
                    return len;
                }
            }
            if !self.links.is_open(slot, generation) {
                return len;
            }
        }
        self.after_replies(slot);
        at
    }

    fn carry_out_server(&mut self, server: u32, client: u32, bytes: Bytes, verdicts: &Verdicts) {
        if client == NOBODY {
            return;
        }
        let mut sent = 0;
        for verdict in &verdicts.list {
            match verdict {
                Verdict::Forward(range) => {
                    sent += range.len() as u64;
                    self.links.forward(client, bytes.part(range.clone()));
                }
                Verdict::ToClient(range) => {
                    let words = &verdicts.words[range.clone()];
                    let own = self.peers[client as usize].client().filter(|_| verdicts.names_ours && words.first() == Some(&b'E'));
                    let own = own.and_then(|peer| peer.client.in_its_words(words));
                    self.links.say(client, own.as_deref().unwrap_or(words));
                }
                Verdict::ToServer(range) => self.links.say(server, &verdicts.words[range.clone()]),
            }
        }
        if let Some(client) = self.peers[client as usize].client() {
            client.counts.sent += sent;
        }
        if self.links.backlog(client) > 0 {
            self.links.pause(server);
        }
    }

    /// A ReadyForQuery left nothing outstanding.
    fn became_free(&mut self, slot: u32) {
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let client = peer.client;
        match peer.stage {
            ServerStage::Fitting => {
                peer.link.heard_at = now;
                if peer.link.server.exchange.take_ours_failed() {
                    let (code, message) = peer.link.server.ours_error.take().unwrap_or_default();
                    self.client_fatal(client, &code, &message, Some("A parameter that the client asked for when it connected was refused."));
                } else {
                    if let Some(Peer::Client(peer)) = self.peers.get(client as usize) {
                        peer.profile.prove();
                    }
                    if let Some(peer) = self.peers[slot as usize].server() {
                        peer.stage = ServerStage::Granted;
                    }
                    self.granted.push_back((client, self.links.generation(client)));
                }
            }
            ServerStage::Busy => {
                self.account(slot);
                self.release_if_free(client);
            }
            _ => {}
        }
    }

    /// A client in statement mode left a transaction open. It is closed, and the transaction rolled back before anybody else gets the server.
    fn left_open(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let client = peer.client;
        let hint = "Use pooler_mode = \"transaction\" for this user. What was done in the transaction is rolled back.";
        self.client_fatal(client, "58000", "a transaction was left open, which is not supported in statement mode", Some(hint));
    }

    /// What replies make possible besides: a blocked client may go on, a cleaning may take its next step.
    fn after_replies(&mut self, slot: u32) {
        let Some(Peer::Server(peer)) = self.peers.get_mut(slot as usize) else { return };
        if let Some(reported) = peer.link.server.take_reported() {
            peer.link.pool.state.change_parameters(&reported);
        }
        if peer.cancel_due && !peer.link.server.exchange.is_ours() {
            peer.cancel_due = false;
            if matches!(peer.stage, ServerStage::Busy) && peer.link.server.exchange.is_active() {
                return self.send_cancel(slot);
            }
        }
        match peer.stage {
            ServerStage::Cleaning { .. } => self.go_on_cleaning(slot),
            ServerStage::Busy if !peer.link.server.exchange.is_full() => {
                let client = peer.client;
                // Held back because too much was outstanding, or until a reply tells what the server holds.
                if self.links.is_paused(client) || self.links.held(client) > 0 {
                    self.feed_later(client);
                    self.listen_to(client);
                }
            }
            _ => {}
        }
    }

    fn feed_greeting(&mut self, slot: u32, bytes: Bytes) -> usize {
        let mut verdicts = spare(&mut self.verdicts);
        let mut nonce = [0; 18];
        self.desk.random(&mut nonce);
        let Some(peer) = self.peers[slot as usize].server() else { return 0 };
        let ServerStage::Greeting(greeting) = &mut peer.stage else { return 0 };
        let keys = peer.link.pool.state.server_keys.load();
        let spec = &peer.link.pool.spec;
        let heard = guard(|| greeting.on_bytes(bytes.view(), spec, keys.as_deref(), &nonce, &mut verdicts.words));
        drop(keys);
        let (consumed, greeted) = match heard {
            Ok(heard) => heard,
            Err(why) => {
                self.verdicts = Some(verdicts);
                self.greeting_panicked(slot, &why);
                return bytes.view().len();
            }
        };
        self.links.say(slot, &verdicts.words);
        self.verdicts = Some(verdicts);
        self.greeted(slot, greeted);
        consumed
    }

    fn greeted(&mut self, slot: u32, greeted: Greeted) {
        match greeted {
            Greeted::More => {}
            Greeted::NeedKeys { salt, iterations } => {
                let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
                if let Some(peer) = self.peers[slot as usize].server()
                    && let ServerStage::Greeting(greeting) = &peer.stage
                {
                    let (pool, password) = (peer.link.pool.clone(), greeting.password_tried());
                    self.desk.job(asker, Job::ServerKeys { pool, password, salt, iterations });
                }
            }
            Greeted::Ready => self.server_ready(slot),
            Greeted::Failed { code, message } => self.open_failed(slot, false, &code, &message),
        }
    }

    /// Keys that a server's login waited for are there.
    pub(super) fn server_keys_made(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let ServerStage::Greeting(greeting) = &mut peer.stage else { return };
        let keys = peer.link.pool.state.server_keys.load_full();
        let mut words = Vec::new();
        let greeted = match guard(|| greeting.keys_made(keys.as_deref(), &mut words)) {
            Ok(greeted) => greeted,
            Err(why) => return self.greeting_panicked(slot, &why),
        };
        self.links.say(slot, &words);
        self.greeted(slot, greeted);
    }

    fn server_ready(&mut self, slot: u32) {
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        if let ServerStage::Greeting(greeting) = &mut peer.stage
            && let Some(said) = greeting.take_said()
        {
            peer.link.proof = Proof::Open(Box::new(said));
            if let Err(wrong) = self.prove(slot) {
                return self.open_failed(slot, false, wrong.sqlstate(), &wrong.to_string());
            }
        }
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let ServerStage::Greeting(greeting) = std::mem::replace(&mut peer.stage, ServerStage::Idle) else { return };
        let (key, parameters) = greeting.into_parts();
        peer.link.server.key = key;
        peer.link.server.speaker.begins(&parameters);
        peer.link.pool.state.set_parameters(parameters);
        peer.link.heard_at = now;
        let (pool, took) = (peer.pool, now.saturating_sub(peer.link.connected_at));
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            pool.tally.counts.connect_time.add(took);
            pool.rounds = 0;
            pool.shared.state.password.right();
            if pool.shared.state.barred.load().is_some() {
                pool.shared.state.barred.store(None);
            }
        }
        self.pool_opened(slot);
    }

    /// A connection could not be made or logged in. `ended`: there is none, or the other end has closed it.
    pub(super) fn open_failed(&mut self, slot: u32, ended: bool, code: &str, message: &str) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (pool, started) = (peer.pool, peer.link.connected_at);
        // A server that has not said a word has no process of ours yet: there is nothing to wait for.
        let half_open = !ended && matches!(peer.stage, ServerStage::Greeting(_)) && peer.link.received > 0;
        let password = match &peer.stage {
            ServerStage::Greeting(greeting) => Some(greeting.password_tried()),
            _ => None,
        };
        if half_open {
            self.say_goodbye(slot);
        } else {
            self.peers[slot as usize] = Peer::None;
            self.links.abort(slot);
        }
        self.desk.word(crate::mail::Word::Unreachable { pool });
        self.no_server(pool, Failure { started, half_open, password }, code, message);
    }

    /// No connection came of a permit: it goes back, and waiters are told if that was the last try.
    fn no_server(&mut self, pool: u32, failure: Failure, code: &str, message: &str) {
        let now = self.now;
        let general = &self.published.snapshot.general;
        let (attempts, delay) = (general.connect_attempts, ns(general.connect_attempt_delay));
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        slice.tally.counts.errors.add(1);
        // Connects that ran side by side are one try.
        let fresh = failure.started >= slice.failed_at;
        slice.rounds += u32::from(fresh);
        slice.failed_at = now;
        // One of several passwords is tried after the other, at once: only a server that has refused them all does not let us in.
        let passwords = slice.shared.spec.server_passwords.len();
        let another = failure.password.filter(|_| code == "28P01").is_some_and(|which| slice.shared.state.password.wrong(which, passwords));
        if another {
            slice.rounds = 0;
            let PoolSpec { database, user, .. } = &slice.shared.spec;
            tracing::warn!(%database, %user, "the server refuses one of the passwords; the next is tried");
        } else {
            slice.say_down(now, code, message);
        }
        let barred = !another && (code.starts_with("28") || matches!(code, "3D000" | "0A000" | WRONG_SHARD));
        let last = barred || slice.rounds >= attempts;
        let mut pause = match last {
            true => RETRY_PAUSE_NS,
            false if another => 0,
            false => delay,
        };
        if barred {
            let before = slice.shared.state.barred.load().as_ref().map(|before| before.pause);
            pause = before.map_or(BARRED_NS, |pause| if fresh { (pause * 2).min(BARRED_MAX_NS) } else { pause });
            let barred = Barred { until: now.saturating_add(pause), pause, code: code.to_string(), message: message.to_string() };
            slice.shared.state.barred.store(Some(Arc::new(barred)));
        }
        // While the pool has other connections its clients are served by those; otherwise nobody who waits here can be.
        if last && slice.shared.state.ledger.lasting() <= 1 {
            while let Some(waiter) = slice.slice.expired(now, 0) {
                slice.failed.push(waiter.client);
            }
        }
        if last {
            slice.rounds = 0;
        }
        let after = slice.slice.open_failed(now, pause, failure.half_open);
        let failed = std::mem::take(&mut slice.failed);
        for &client in &failed {
            if let Some(peer) = self.peers[client as usize].client() {
                peer.ticket = None;
            }
            self.checkout_failed(client, code, message);
        }
        if let Some(slice) = self.pools[pool as usize].as_mut() {
            slice.failed = failed;
            slice.failed.clear();
        }
        self.after(pool, after);
        self.look_at_gate();
        self.minimum_later(pool);
    }

    /// The server's socket has ended.
    pub(super) fn server_ended(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        match peer.stage {
            ServerStage::Connecting | ServerStage::Greeting(_) => {
                self.open_failed(slot, true, "08006", "the server closed the connection during login");
            }
            ServerStage::Leaving => self.left(slot),
            _ => self.server_lost(slot, true, "08006", "the server closed the connection unexpectedly"),
        }
    }

    /// The server said FATAL. If that has been forwarded (`told`) its client ends as it would with the server itself.
    fn server_fatal(&mut self, slot: u32, told: bool) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (client, granted) = (peer.client, matches!(peer.stage, ServerStage::Granted | ServerStage::Fitting));
        if client != NOBODY && !granted && told {
            peer.client = NOBODY;
            if let Some(client) = self.peers[client as usize].client() {
                client.server = NOBODY;
            }
            self.client_gone(client);
        }
        self.server_lost(slot, false, "08006", "the server closed the connection unexpectedly");
    }

    /// The connection to the server is gone (`ended`), or worthless. A client whose request has not reached it gets another server; one whose
    /// request has, an error: nobody knows whether it was carried out.
    pub(super) fn server_lost(&mut self, slot: u32, ended: bool, code: &str, message: &str) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (client, pool) = (peer.client, peer.pool);
        let untouched = matches!(peer.stage, ServerStage::Granted | ServerStage::Fitting);
        let at_boundary = peer.link.server.client_at_boundary();
        let committing = code == "08006" && peer.link.server.exchange.committing;
        let spoken = peer.link.server.speaker.leaves();
        if let Some(client) = self.peers.get_mut(client as usize).and_then(Peer::client) {
            client.server = NOBODY;
            client.spoken = spoken;
        }
        self.let_go(slot, ended);
        if client == NOBODY {
            return;
        }
        if untouched {
            if self.checkout(client) {
                self.begin(client);
            }
            return;
        }
        if let Some(tally) = self.tally(pool) {
            tally.counts.errors.add(1);
        }
        if !at_boundary {
            // The client has the first part of a message; words of ours would be taken for the rest.
            return self.client_gone(client);
        }
        if committing {
            let hint = "The transaction may or may not have been committed: look at the data before it is tried again.";
            return self.client_fatal(client, "08007", "the server closed the connection while it was asked to commit", Some(hint));
        }
        self.client_fatal(client, code, message, Some("The statement that was running may or may not have been carried out."));
    }
}

/// Where a pool's server is; None while its name has no address.
pub(super) fn address(pool: &SharedPool) -> Option<Address> {
    let spec = &pool.spec;
    if spec.host.starts_with('/') {
        return Some(Address::in_directory(&spec.host, spec.port));
    }
    pool.state.address.load().as_deref().copied().map(Address::Tcp)
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
