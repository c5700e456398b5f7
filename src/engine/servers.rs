//! Servers: connecting, logging in, their replies, fitting and cleaning their sessions, their end.

use std::sync::Arc;

use crate::io::links::Bytes;
use crate::io::{Completion, Door, Group};
use crate::mail::{Asker, Desk, Job, ServerLink};
use crate::session::greeting::{Greeted, Greeting};
use crate::session::server::{Heard, Server};
use crate::session::{Verdict, Verdicts};

use super::core::Core;
use super::peers::{NOBODY, Peer, ServerPeer, ServerStage};
use super::timers::Timer;

/// After a failed connect no core tries that pool again for so long.
const RETRY_PAUSE_NS: u64 = 100_000_000;

impl<D: Door, K: Desk> Core<D, K> {
    /// Opens a connection for a pool; the ledger has granted the permit.
    pub(super) fn open_server(&mut self, pool: u32) {
        let Some(shared) = self.pools[pool as usize].as_ref().map(|pool| pool.shared.clone()) else { return };
        let Some(address) = shared.state.address.load_full() else {
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
        });
        self.seat(slot, Peer::Server(ServerPeer::new(link, pool, ServerStage::Connecting)));
        let generation = self.links.generation(slot);
        let timeout = self.published.snapshot.general.connect_timeout.as_nanos() as u64;
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Connect { slot, generation });
        if let Some(counts) = self.pool_counts(pool) {
            counts.connect_count += 1;
            counts.auth_attempts += 1;
        }
    }

    /// Connects that failed at once. Told only now, when whoever asked for them keeps its request where it can be answered.
    pub(super) fn fail_unopened(&mut self) {
        for (pool, why) in std::mem::take(&mut self.unopened) {
            self.no_server(pool, "08001", &why);
        }
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
            Peer::Server(_) if completion.res < 0 => {
                let why = std::io::Error::from_raw_os_error(-completion.res);
                self.open_failed(slot, "08001", &format!("could not connect to the server: {why}"));
            }
            Peer::Server(peer) => {
                let mut words = Vec::new();
                let greeting = Greeting::start(&peer.link.pool.spec, &mut words);
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
        if let Some(peer) = self.peers[slot as usize].server() {
            peer.link.received += bytes.view().len() as u64;
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
            let mut verdicts = std::mem::take(&mut self.verdicts);
            verdicts.clear();
            let (consumed, heard) = peer.link.server.on_bytes(bytes.part(at..len).view(), number, &mut verdicts);
            self.carry_out_server(slot, client, bytes.part(at..len), &verdicts);
            self.verdicts = verdicts;
            at += consumed;
            match heard {
                Heard::More => break,
                Heard::Free => self.became_free(slot),
                Heard::Fatal => {
                    self.server_fatal(slot);
                    return len;
                }
                Heard::OutOfStep(kind) => {
                    tracing::error!(kind = %char::from(kind), "a server sent a message that it cannot send here; its connection is closed");
                    self.server_lost(slot, "08P01", "the server broke the protocol");
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
                Verdict::ToClient(range) => self.links.say(client, &verdicts.words[range.clone()]),
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
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let client = peer.client;
        match peer.stage {
            ServerStage::Fitting => {
                if peer.link.server.exchange.take_ours_failed() {
                    let (code, message) = peer.link.server.ours_error.take().unwrap_or_default();
                    self.client_fatal(client, &code, &message, Some("A parameter that the client asked for when it connected was refused."));
                } else {
                    peer.stage = ServerStage::Granted;
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

    /// What replies make possible besides: a blocked client may go on, a cleaning may take its next step.
    fn after_replies(&mut self, slot: u32) {
        let Some(Peer::Server(peer)) = self.peers.get(slot as usize) else { return };
        match peer.stage {
            ServerStage::Cleaning { .. } => self.go_on_cleaning(slot),
            ServerStage::Busy if !peer.link.server.exchange.is_full() => {
                let client = peer.client;
                if self.links.is_paused(client) {
                    self.feed_later(client);
                    self.listen_to(client);
                }
            }
            _ => {}
        }
    }

    fn feed_greeting(&mut self, slot: u32, bytes: Bytes) -> usize {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.clear();
        let mut nonce = [0; 18];
        self.desk.random(&mut nonce);
        let Some(peer) = self.peers[slot as usize].server() else { return 0 };
        let ServerStage::Greeting(greeting) = &mut peer.stage else { return 0 };
        let keys = peer.link.pool.state.server_keys.load();
        let (consumed, greeted) = greeting.on_bytes(bytes.view(), &peer.link.pool.spec, keys.as_deref(), &nonce, &mut verdicts.words);
        drop(keys);
        self.links.say(slot, &verdicts.words);
        self.verdicts = verdicts;
        self.greeted(slot, greeted);
        consumed
    }

    fn greeted(&mut self, slot: u32, greeted: Greeted) {
        match greeted {
            Greeted::More => {}
            Greeted::NeedKeys { salt, iterations } => {
                let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
                if let Some(peer) = self.peers[slot as usize].server() {
                    self.desk.job(asker, Job::ServerKeys { pool: peer.link.pool.clone(), salt, iterations });
                }
            }
            Greeted::Ready => self.server_ready(slot),
            Greeted::Failed { code, message } => self.open_failed(slot, &code, &message),
        }
    }

    /// Keys that a server's login waited for are there.
    pub(super) fn server_keys_made(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let ServerStage::Greeting(greeting) = &mut peer.stage else { return };
        let keys = peer.link.pool.state.server_keys.load_full();
        let mut words = Vec::new();
        let greeted = greeting.keys_made(keys.as_deref(), &mut words);
        self.links.say(slot, &words);
        self.greeted(slot, greeted);
    }

    fn server_ready(&mut self, slot: u32) {
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let ServerStage::Greeting(greeting) = std::mem::replace(&mut peer.stage, ServerStage::Idle) else { return };
        let (key, parameters) = greeting.into_parts();
        peer.link.server.key = key;
        peer.link.pool.state.parameters.store(Some(Arc::new(parameters)));
        let (pool, took) = (peer.pool, now.saturating_sub(peer.link.connected_at));
        if let Some(counts) = self.pool_counts(pool) {
            counts.connect_time += took / 1000;
        }
        self.pool_opened(slot);
    }

    /// A connection could not be made or logged in.
    pub(super) fn open_failed(&mut self, slot: u32, code: &str, message: &str) {
        let Peer::Server(peer) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        self.links.abort(slot);
        self.desk.word(crate::mail::Word::Unreachable { pool: peer.pool });
        self.no_server(peer.pool, code, message);
    }

    /// No connection came of a permit: waiters are told, the permit goes back.
    fn no_server(&mut self, pool: u32, code: &str, message: &str) {
        let now = self.now;
        let Some(slice) = self.pools[pool as usize].as_mut() else { return };
        if slice.said_down_at == 0 || now.saturating_sub(slice.said_down_at) > 1_000_000_000 {
            slice.said_down_at = now;
            let spec = &slice.shared.spec;
            let server = format!("{}:{}", spec.host, spec.port);
            tracing::error!(database = %spec.database, user = %spec.user, server, code, "no server connection: {message}");
        }
        slice.counts.errors += 1;
        let alone = slice.shared.state.ledger.open() <= 1;
        // The client that has waited longest hears of it; if the pool has no other connection at all, everybody does.
        while let Some(waiter) = slice.slice.expired(now, 0) {
            slice.failed.push(waiter.client);
            if !alone {
                break;
            }
        }
        let after = slice.slice.open_failed(now, RETRY_PAUSE_NS);
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
        self.minimum_later(pool);
    }

    /// The server's socket has ended.
    pub(super) fn server_ended(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        match peer.stage {
            ServerStage::Connecting | ServerStage::Greeting(_) => self.open_failed(slot, "08006", "the server closed the connection during login"),
            _ => self.server_lost(slot, "08006", "the server closed the connection unexpectedly"),
        }
    }

    /// The server said FATAL, which has been forwarded: its client ends as it would with the server itself.
    fn server_fatal(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let (client, granted) = (peer.client, matches!(peer.stage, ServerStage::Granted | ServerStage::Fitting));
        if client != NOBODY && !granted {
            peer.client = NOBODY;
            if let Some(client) = self.peers[client as usize].client() {
                client.server = NOBODY;
            }
            self.client_gone(client);
        }
        self.server_lost(slot, "08006", "the server closed the connection unexpectedly");
    }

    /// The connection to the server is gone. A client whose request has not reached it gets another server; one whose request has, an error: nobody
    /// knows whether it was carried out.
    pub(super) fn server_lost(&mut self, slot: u32, code: &str, message: &str) {
        let Peer::Server(peer) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        self.links.abort(slot);
        self.server_out(slot, &peer);
        let client = peer.client;
        if client == NOBODY {
            return;
        }
        if let Some(client) = self.peers[client as usize].client() {
            client.server = NOBODY;
        }
        if matches!(peer.stage, ServerStage::Granted | ServerStage::Fitting) {
            if self.checkout(client) {
                self.begin(client);
            }
            return;
        }
        if let Some(counts) = self.pool_counts(peer.pool) {
            counts.errors += 1;
        }
        if !peer.link.server.at_boundary() {
            // The client has the first part of a message; words of ours would be taken for the rest.
            return self.client_gone(client);
        }
        self.client_fatal(client, code, message, Some("The statement that was running may or may not have been carried out."));
    }

    /// Closes a server that cannot be brought back; what runs on it is cancelled.
    pub(super) fn give_up_server(&mut self, slot: u32) {
        if let Some(peer) = self.peers[slot as usize].server()
            && peer.link.server.exchange.is_active()
        {
            self.send_cancel(slot);
        }
        if let Peer::Server(peer) = std::mem::take(&mut self.peers[slot as usize]) {
            self.links.abort(slot);
            self.server_out(slot, &peer);
            if let Some(pool) = self.pools[peer.pool as usize].as_mut() {
                pool.out_of_sync += 1;
            }
        }
    }

    /// Makes a server's session fit the client at hand; true when the client's messages can go to it now.
    pub(super) fn fit(&mut self, client: u32, server: u32) -> bool {
        let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) else { return false };
        if link.link.server.fits(&peer.profile, peer.number) {
            link.stage = ServerStage::Busy;
            return true;
        }
        let (profile, number) = (peer.profile.clone(), peer.number);
        link.stage = ServerStage::Fitting;
        let mut verdicts = std::mem::take(&mut self.verdicts);
        verdicts.clear();
        if let Some(link) = self.peers[server as usize].server() {
            link.link.server.bring_to(&profile, number, &mut verdicts);
        }
        self.links.say(server, &verdicts.words);
        let nothing = verdicts.words.is_empty();
        self.verdicts = verdicts;
        if nothing && let Some(link) = self.peers[server as usize].server() {
            link.stage = ServerStage::Busy;
        }
        nothing
    }
}
