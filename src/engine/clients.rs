//! Clients after their login: their bytes, their wait for a server, their end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::snapshot::{ClientRecovery, PoolerMode};
use crate::io::Door;
use crate::io::links::Bytes;
use crate::mail::Desk;
use crate::session::Verdict;
use crate::session::client::Stop;
use crate::wire::frame::FrameError;
use crate::wire::server::{ErrorFields, error, ready};

use super::core::{Core, spare};
use super::guard::guard;
use super::operate::is_held;
use super::peers::{NOBODY, Peer, ServerStage, Stage};
use super::timers::Timer;
use super::{HELD_MAX, UNREAD_MAX};

/// How long last words may take to get out.
const LINGER_NS: u64 = 5_000_000_000;

impl<D: Door, K: Desk> Core<D, K> {
    /// Bytes from a client's socket.
    pub(super) fn client_bytes(&mut self, slot: u32, bytes: Bytes) {
        let Some(Peer::Client(peer)) = self.peers.get_mut(slot as usize) else { return };
        peer.counts.received += bytes.view().len() as u64;
        if self.links.held(slot) == 0 && self.may_go_on(slot) {
            let consumed = self.feed(slot, bytes);
            if self.links.is_open(slot, self.links.generation(slot)) {
                self.hold_rest(slot, bytes.part(consumed..bytes.view().len()));
            }
            return;
        }
        self.hold_rest(slot, bytes);
        // To look at it again before all of it is there would make long messages cost the square of their length.
        let needs = self.peers[slot as usize].client().map_or(0, |peer| peer.client.needs());
        if self.links.held(slot) >= needs && self.may_go_on(slot) {
            self.feed_held(slot);
        }
    }

    pub(super) fn hold_rest(&mut self, slot: u32, rest: Bytes) {
        self.links.hold(slot, rest.view());
        // A message that has to be there whole is waited for, whatever it takes.
        let needs = self.peers[slot as usize].client().map_or(0, |peer| peer.client.needs());
        if self.links.held(slot) >= HELD_MAX.max(needs) {
            self.links.pause(slot);
        }
    }

    /// A client that does not read what it is answered, while no server is at work whose answers could not go on either.
    fn has_enough(&self, slot: u32, server: u32) -> bool {
        self.links.backlog(slot) > UNREAD_MAX
            && !matches!(self.peers.get(server as usize), Some(Peer::Server(peer)) if peer.link.server.exchange.is_active())
    }

    /// Whether a client's bytes can be read now; otherwise something it waits for will have them read later.
    fn may_go_on(&self, slot: u32) -> bool {
        let Some(Peer::Client(peer)) = self.peers.get(slot as usize) else { return false };
        if self.has_enough(slot, peer.server) {
            return false;
        }
        if peer.unread.is_some() {
            return false;
        }
        match &peer.stage {
            Stage::Login(login) => !login.is_waiting(),
            Stage::Greeted => false,
            Stage::Admin { busy, .. } => !busy,
            Stage::Replicating => !self.is_being_cancelled(peer.server),
            Stage::Spread(spread) => spread.as_ref().is_some_and(|spread| self.spread_goes_on(spread)),
            Stage::Ready if peer.ticket.is_some() || self.asks_to_listen(slot) => false,
            Stage::Ready if peer.server == NOBODY => true,
            Stage::Ready => match &self.peers[peer.server as usize] {
                // A cancel request that is still on its way is for what was asked before: it must not hit what is asked next.
                Peer::Server(server) => {
                    // What was asked about its last transaction has to be known before its next.
                    let asked = server.link.server.exchange.is_asked();
                    let busy = matches!(server.stage, ServerStage::Busy) && !asked && (!server.leg || server.link.server.exchange.is_active());
                    busy && !(self.operate.holding && is_held(peer, server))
                }
                _ => false,
            },
        }
    }

    /// Reads what was held for a client.
    pub(super) fn feed_held(&mut self, slot: u32) {
        if self.links.held(slot) == 0 || !self.may_go_on(slot) {
            return;
        }
        let generation = self.links.generation(slot);
        let held = self.links.take_held(slot);
        let bytes = Bytes::of(&held);
        let consumed = self.feed(slot, bytes);
        if self.links.is_open(slot, generation) {
            self.links.hold(slot, &held[consumed..]);
            self.listen_to(slot);
        }
        // What was forwarded lies in it until the turn is settled.
        self.links.keep(held);
    }

    /// Reads bytes; returns how many are consumed.
    fn feed(&mut self, slot: u32, bytes: Bytes) -> usize {
        match self.peers[slot as usize].client().map(|client| &client.stage) {
            Some(Stage::Ready) => self.feed_session(slot, bytes),
            Some(Stage::Replicating) => self.feed_relay(slot, bytes),
            Some(Stage::Spread(_)) => self.feed_spread(slot, bytes),
            Some(Stage::Login(_)) => self.feed_login(slot, bytes),
            Some(Stage::Admin { .. }) => self.feed_admin(slot, bytes),
            _ => 0,
        }
    }

    fn feed_session(&mut self, slot: u32, bytes: Bytes) -> usize {
        let mut at = 0;
        let now = self.now;
        loop {
            let rest = bytes.part(at..bytes.view().len());
            let Some(server) = self.peers[slot as usize].client().map(|client| client.server) else { return at };
            let mut verdicts = spare(&mut self.verdicts);
            let (peer, link) = self.pair(slot, server);
            let mut quiet = false;
            let exchange = link.and_then(Peer::server).map(|server| {
                quiet = server.link.server.exchange.is_quiet_but_for_ours();
                if server.link.server.exchange.is_free() {
                    server.granted_at = now;
                }
                &mut server.link.server.exchange
            });
            let Some(peer) = peer.client() else { return at };
            let (left, begun) = (peer.client.left(), peer.client.has_begun());
            let fed = guard(|| peer.client.on_bytes(rest.view(), exchange, &mut verdicts));
            let (consumed, stop) = match fed {
                Ok(fed) => fed,
                Err(why) => {
                    self.verdicts = Some(verdicts);
                    self.client_panicked(slot, &why);
                    return at;
                }
            };
            let begins = !begun && peer.client.has_begun();
            self.carry_out_client(slot, server, rest, &verdicts, begins);
            self.verdicts = Some(verdicts);
            if let Some(sample) = self.query_sample {
                self.quote(slot, rest.part(0..consumed), left, sample);
            }
            if quiet && consumed > 0 {
                self.account_request(server);
            }
            at += consumed;
            match stop {
                Stop::More => break,
                Stop::Want if self.draining && !self.is_participant(slot) && self.refuse_while_draining(slot) => return at,
                Stop::Want => match self.want_server(slot, bytes.part(at..bytes.view().len())) {
                    Ok(taken) => at += taken,
                    Err(taken) => return at + taken + self.feed_if_spread(slot, bytes.part(at + taken..bytes.view().len())),
                },
                Stop::Over => {
                    self.coordinate(slot);
                    return at + self.feed_if_spread(slot, bytes.part(at..bytes.view().len()));
                }
                Stop::Full | Stop::Unread => return self.waits(slot, at, stop),
                Stop::Large(bytes) if self.refuse_large(slot, bytes) => return at,
                Stop::Large(_) => {}
                // What was asked before is answered first, as PostgreSQL does; who closes its socket does not want to know.
                Stop::Terminate if self.is_owed(server) => return at,
                Stop::Terminate => {
                    self.client_gone(slot);
                    return at;
                }
                Stop::Broken(broken) => {
                    self.client_broke(slot, broken);
                    return at;
                }
            }
        }
        self.release_if_free(slot);
        at
    }

    /// A client that others have to answer first, or a helper; `at` bytes of its were consumed.
    fn waits(&mut self, slot: u32, at: usize, stop: Stop) -> usize {
        self.links.pause(slot);
        if stop == Stop::Unread {
            self.have_read(slot);
        }
        at
    }

    fn is_participant(&self, slot: u32) -> bool {
        matches!(&self.peers[slot as usize], Peer::Client(peer) if peer.owner != NOBODY)
    }

    /// What is left for a client that has just come to be on several shards.
    fn feed_if_spread(&mut self, slot: u32, rest: Bytes) -> usize {
        match self.peers[slot as usize].client().map(|peer| &peer.stage) {
            Some(Stage::Spread(_)) => self.feed_spread(slot, rest),
            _ => 0,
        }
    }

    /// A server has been asked what it has not answered yet.
    fn is_owed(&self, server: u32) -> bool {
        matches!(self.peers.get(server as usize), Some(Peer::Server(peer)) if peer.link.server.exchange.owes_answers())
    }

    /// The message at the start of `rest` needs a server, or is one that the control core answers. Ok: the client goes on; Err: later; both with how
    /// many bytes are consumed.
    #[inline]
    fn want_server(&mut self, slot: u32, rest: Bytes) -> Result<usize, usize> {
        let taken = self.take_listen(slot, rest);
        if let (Some(taken), Some(sample)) = (taken, self.query_sample) {
            self.quote(slot, rest.part(0..taken), 0, sample);
        }
        match taken {
            Some(taken) if taken > 0 && !self.asks_to_listen(slot) => Ok(taken),
            Some(taken) => Err(taken),
            None => match self.choose_shard(slot, rest.view()) {
                Ok(()) if self.checkout(slot) && self.fit_at_hand(slot) => Ok(0),
                Ok(()) | Err(None) => Err(0),
                Err(Some(taken)) => Ok(taken),
            },
        }
    }

    /// A Query or Parse message above `query_size_limit`; true when the client is closed for it.
    #[cold]
    fn refuse_large(&mut self, slot: u32, bytes: usize) -> bool {
        let general = &self.published.snapshot.general;
        let (limit, block) = (general.query_size_limit, general.query_size_block);
        let Some(Peer::Client(peer)) = self.peers.get_mut(slot as usize) else { return true };
        if block {
            let message = format!("a message of {bytes} bytes is larger than query_size_limit ({limit} bytes)");
            self.client_fatal(slot, "54000", &message, Some("Send a smaller statement, or raise query_size_limit."));
            return true;
        }
        tracing::warn!(user = %peer.user, database = %peer.database, bytes, limit, "a message is larger than query_size_limit");
        peer.client.allow_large();
        false
    }

    fn carry_out_client(&mut self, client: u32, server: u32, bytes: Bytes, verdicts: &crate::session::Verdicts, begins: bool) {
        if begins {
            self.has_begun(client);
        }
        for verdict in &verdicts.list {
            match verdict {
                Verdict::Forward(range) => {
                    self.count_sent_to_server(server, range.len());
                    self.links.forward(server, bytes.part(range.clone()));
                }
                Verdict::ToServer(range) => {
                    self.count_sent_to_server(server, range.len());
                    self.links.say(server, &verdicts.words[range.clone()]);
                }
                Verdict::ToClient(range) => self.links.say(client, &verdicts.words[range.clone()]),
            }
        }
        if server != NOBODY && self.links.backlog(server) > 0 {
            self.links.pause(client);
        }
    }

    fn count_sent_to_server(&mut self, server: u32, bytes: usize) {
        let now = self.now;
        if let Some(server) = self.peers[server as usize].server() {
            server.link.sent += bytes as u64;
            server.moved_at = now;
        }
    }

    /// A client between transactions gives its server back.
    pub(super) fn release_if_free(&mut self, slot: u32) {
        let Some(Peer::Client(peer)) = self.peers.get(slot as usize) else { return };
        let server = peer.server;
        let keeps = peer.client.mode() == PoolerMode::Session && !(self.draining && peer.owner == NOBODY);
        if server == NOBODY || keeps || peer.keeps || !peer.client.at_boundary() {
            return;
        }
        let free = matches!(&self.peers[server as usize],
            Peer::Server(peer) if matches!(peer.stage, ServerStage::Busy) && peer.link.server.exchange.is_free());
        let suspected = free && matches!(&self.peers[server as usize], Peer::Server(peer) if peer.link.server.is_suspected());
        if suspected && self.ask(slot, server) {
            return;
        }
        if free {
            self.learn(slot, server);
        }
        let pinned = matches!(&self.peers[server as usize], Peer::Server(peer) if !peer.link.server.exchange.pins.is_empty());
        if free {
            self.account_pin(server, pinned);
        }
        if free && (!pinned || self.draining && !self.is_participant(slot)) {
            self.release(slot, server);
        }
    }

    /// Asks a server what its client has left, if that could not be done in the middle of the client's message.
    #[cold]
    fn ask(&mut self, client: u32, server: u32) -> bool {
        let mut verdicts = spare(&mut self.verdicts);
        let link = self.peers[server as usize].server();
        let asked = guard(|| link.is_some_and(|link| link.link.server.ask(link.client_number, &mut verdicts)));
        if !verdicts.words.is_empty() {
            self.count_sent_to_server(server, verdicts.words.len());
            self.links.say(server, &verdicts.words);
        }
        self.verdicts = Some(verdicts);
        asked.unwrap_or_else(|why| {
            self.client_panicked(client, &why);
            true
        })
    }

    /// Takes over what the client's own doing has made of its session's parameters.
    fn learn(&mut self, client: u32, server: u32) {
        self.notice_alteration(server);
        let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) else { return };
        if !link.link.server.has_unlearned() && link.link.server.exchange.suspicion.unlistens.is_empty() {
            return;
        }
        let told = peer.told.clone().unwrap_or_default();
        let unlistens = std::mem::take(&mut link.link.server.exchange.suspicion.unlistens);
        let startup = peer.client.startup().clone();
        let learned = match guard(|| link.link.server.learn(&peer.profile, &startup, &told)) {
            Ok(learned) => learned,
            Err(why) => return self.client_panicked(client, &why),
        };
        for channel in unlistens {
            self.listens_no_more(client, Some(&*channel).filter(|channel| !channel.is_empty()));
        }
        let Some(learned) = learned else { return };
        let profile = self.intern(learned);
        if let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) {
            peer.client.wants(profile.clone());
            peer.profile = profile.clone();
            link.link.server.adopt(profile);
        }
    }

    /// Takes the server from its client and gives it back to the pool.
    fn release(&mut self, client: u32, server: u32) {
        let (now, always) = (self.now, self.published.snapshot.general.hygiene_always);
        let (Peer::Client(peer), Some(Peer::Server(link))) = self.pair(client, server) else { return };
        if let Err(why) = guard(|| peer.client.detached(&mut link.link.server.exchange)) {
            return self.client_panicked(client, &why);
        }
        peer.server = NOBODY;
        peer.spoken = link.link.server.speaker.leaves();
        peer.idle_since = now;
        // One that was kept is only taken from its client to end.
        let session_mode = peer.client.mode() == PoolerMode::Session || !link.link.server.exchange.pins.is_empty();
        if always {
            link.link.server.was_used(link.client_number);
        }
        link.client = NOBODY;
        link.client_number = 0;
        if self.links.is_paused(server) {
            self.links.resume(server);
        }
        if session_mode {
            self.clean_server(server)
        } else {
            self.server_free(server)
        }
        if self.draining && !self.is_participant(client) {
            return self.client_fatal(client, "57P01", "pg_dog is shutting down", None);
        }
        self.feed_later(client);
        self.listen_to(client);
    }

    /// One profile for all clients of this core that ask for the same.
    pub(super) fn intern(&mut self, profile: crate::session::parameters::Profile) -> Arc<crate::session::parameters::Profile> {
        if let Some(known) = self.profiles.iter().find(|known| ***known == profile) {
            return known.clone();
        }
        if self.profiles.len() >= PROFILES_MAX {
            self.profiles.retain(|known| Arc::strong_count(known) > 1);
        }
        let profile = Arc::new(profile);
        if self.profiles.len() < PROFILES_MAX {
            self.profiles.push(profile.clone());
        }
        profile
    }

    /// Clients whose server has come: their held bytes go to it.
    pub(super) fn serve_granted(&mut self) {
        while let Some((client, generation)) = self.granted.pop_front() {
            if self.links.is_open(client, generation) {
                self.begin(client);
            }
        }
    }

    /// Clients with held bytes that may go on.
    pub(super) fn serve_again(&mut self) {
        for _ in 0..self.again.len() {
            let Some((client, generation)) = self.again.pop_front() else { break };
            if self.links.is_open(client, generation) {
                self.feed_held(client);
            }
        }
        self.serve_granted();
    }

    /// A client's server is there: it is made to fit, or the client's messages go to it at once.
    pub(super) fn begin(&mut self, client: u32) {
        if !self.fit_at_hand(client) {
            return;
        }
        match self.peers[client as usize].client().map(|peer| &peer.stage) {
            Some(Stage::Greeted) => self.greet(client),
            _ => self.feed_held(client),
        }
        self.participant_begins(client);
        self.listen_to(client);
    }

    /// Makes the server that was just granted fit; true when the client's messages can go to it now.
    fn fit_at_hand(&mut self, client: u32) -> bool {
        let Some(server) = self.peers[client as usize].client().map(|peer| peer.server) else { return false };
        let granted = server != NOBODY && matches!(&self.peers[server as usize], Peer::Server(peer) if matches!(peer.stage, ServerStage::Granted));
        granted && self.fit(client, server)
    }

    /// The client's wait came to nothing: it is told, and stays or goes as `client_connection_recovery` says.
    pub(super) fn checkout_failed(&mut self, slot: u32, code: &str, message: &str) {
        let recovery = self.published.snapshot.general.client_connection_recovery;
        let ready_stage = matches!(self.peers[slot as usize].client().map(|peer| &peer.stage), Some(Stage::Ready));
        if recovery == ClientRecovery::Drop || !ready_stage {
            return self.client_fatal(slot, code, message, None);
        }
        self.answer_for_server(slot, code, message);
    }

    /// Answers the request a waiting client has made with an error of ours, as a server would.
    pub(super) fn answer_for_server(&mut self, slot: u32, code: &str, message: &str) {
        let held = self.links.take_held(slot);
        let mut verdicts = spare(&mut self.verdicts);
        let words = &mut verdicts.words;
        error(words, &ErrorFields { severity: "ERROR", code, message, detail: None, hint: None });
        let Some(peer) = self.peers[slot as usize].client() else { return };
        peer.counts.errors += 1;
        let consumed = match guard(|| peer.client.refuse_request(&held)) {
            Ok(consumed) => consumed,
            Err(why) => return self.client_panicked(slot, &why),
        };
        if consumed > 0 {
            ready(words, peer.client.status());
        }
        self.links.say(slot, words);
        self.verdicts = Some(verdicts);
        self.links.hold(slot, &held[consumed..]);
        self.links.keep(held);
        self.feed_later(slot);
        self.listen_to(slot);
    }

    pub(super) fn client_broke(&mut self, slot: u32, broken: FrameError) {
        match broken.code() {
            Some(code) => self.client_fatal(slot, code, &broken.to_string(), None),
            None => self.client_gone(slot),
        }
    }

    /// Tells a client why, and closes it.
    pub(super) fn client_fatal(&mut self, slot: u32, code: &str, message: &str, hint: Option<&str>) {
        if self.is_in_mid_message(slot) {
            // Words now would be taken for the rest of the server's message.
            return self.client_gone(slot);
        }
        let mut words = Vec::new();
        error(&mut words, &ErrorFields { severity: "FATAL", code, message, detail: None, hint });
        self.links.say(slot, &words);
        if let Some(peer) = self.peers[slot as usize].client() {
            peer.counts.errors += 1;
        }
        self.client_gone(slot);
    }

    /// A message of its server has reached the client in part.
    pub(super) fn is_in_mid_message(&self, client: u32) -> bool {
        let Some(Peer::Client(peer)) = self.peers.get(client as usize) else { return false };
        match self.peers.get(peer.server as usize) {
            Some(Peer::Server(server)) => !server.link.server.client_at_boundary(),
            Some(Peer::Sender(sender)) => !sender.relay.server_at_boundary(),
            _ => false,
        }
    }

    /// The client has gone, or must go: what it held goes back, its queue place is free, its socket closes when its last words are out.
    pub(super) fn client_gone(&mut self, slot: u32) {
        if self.is_participant(slot) {
            return self.participant_ends(slot);
        }
        if self.finishes_commit(slot) {
            return;
        }
        self.unseat_all(slot);
        let Peer::Client(mut peer) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        if self.published.snapshot.general.log_disconnections && matches!(peer.stage, Stage::Ready | Stage::Replicating) {
            tracing::info!(user = %peer.user, database = %peer.database, "client disconnected");
        }
        if let Some(ticket) = peer.ticket.take() {
            self.leave_queue(&peer, ticket);
        }
        self.silence(slot);
        if peer.server != NOBODY {
            self.client_left(peer.server, &mut peer.client);
        }
        peer.quotas.iter().flat_map(|quotas| quotas.iter()).for_each(|quota| quota.clients.leave());
        self.left_pools(peer.pool.take(), &peer.shards);
        if !matches!(peer.stage, Stage::Admin { .. }) {
            self.clients -= 1;
        }
        self.shared.clients[self.id].0.fetch_sub(1, Ordering::Relaxed);
        let generation = self.links.generation(slot);
        self.links.close(slot);
        if self.links.backlog(slot) > 0 {
            self.wheel.arm(self.now + LINGER_NS, Timer::Linger { slot, generation });
        }
    }
}

/// Profiles kept for comparing by address; more are compared by content.
const PROFILES_MAX: usize = 1024;
