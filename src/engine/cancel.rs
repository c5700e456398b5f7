//! Cancel requests: from any core to the client's, from there to the server, and never to another client. PostgreSQL gives no answer to a cancel
//! request; it closes the connection when it has sent the signal. Until then the server is not given to anybody else.

use crate::auth::secrets::constant_time_eq;
use crate::io::socket::Address;
use crate::io::{Door, Group};
use crate::mail::{Asker, Desk, Mail, Word};
use crate::session::login::LONG_KEY;

use super::core::Core;
use super::logins::place;
use super::peers::{CancelLeg, NOBODY, Peer, ServerStage, Stage};
use super::servers::address;
use super::timers::{Timer, ns};

impl<D: Door, K: Desk> Core<D, K> {
    /// A client asks, on a connection of its own, that a query be cancelled.
    pub(super) fn cancel_requested(&mut self, pid: i32, key: &[u8]) {
        let Some((core, slot)) = place(pid) else { return };
        if core == self.id {
            self.cancel_client(slot, key);
        } else if core < self.shared.clients.len() && key.len() <= LONG_KEY {
            self.post.send(core, Mail::Cancel { slot, secret: key.into() }, &mut self.links.door);
        }
    }

    /// The client is ours, if its secret is right.
    pub(super) fn cancel_client(&mut self, slot: u32, secret: &[u8]) {
        let Some(Peer::Client(peer)) = self.peers.get_mut(slot as usize) else { return };
        // Before the client has been told its key it has none, and there is no empty one.
        if secret.is_empty() || !constant_time_eq(peer.secret(), secret) {
            return;
        }
        if matches!(peer.stage, Stage::Admin { busy: true, .. }) {
            let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
            return self.desk.word(Word::Interrupted { asker });
        }
        if matches!(peer.stage, Stage::Spread(_)) {
            return self.cancel_spread(slot);
        }
        self.cancel_at(slot);
    }

    /// Cancels what a client waits for.
    pub(super) fn cancel_at(&mut self, slot: u32) {
        let Some(Peer::Client(peer)) = self.peers.get_mut(slot as usize) else { return };
        if peer.ticket.is_some() {
            return self.give_up_waiting(slot, "57014", "canceling statement due to user request");
        }
        let server = peer.server;
        if server == NOBODY {
            return;
        }
        if let Peer::Sender(_) = &self.peers[server as usize] {
            return self.cancel_sender(server);
        }
        let Some(link) = self.peers[server as usize].server() else { return };
        // A server that waits for its client has nothing to cancel; PostgreSQL would ignore it too.
        // What is ours in front of the client's request must not be hit: it would run without.
        let exchange = &link.link.server.exchange;
        let ours = exchange.is_ours() && exchange.is_active();
        link.cancel_due |= ours && !exchange.is_asked();
        if matches!(link.stage, ServerStage::Busy) && exchange.is_active() && !ours {
            if link.leg { link.cancel_again = true } else { self.send_cancel(server) }
        }
    }

    /// A client does not wait for a server any more, and is told why.
    pub(super) fn give_up_waiting(&mut self, slot: u32, code: &str, message: &str) {
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let (Some(ticket), Some(pool)) = (peer.ticket.take(), peer.pool.as_ref().map(|pool| pool.id)) else { return };
        if let Some(Some(pool)) = self.pools.get_mut(pool as usize) {
            pool.slice.cancel_wait(ticket);
        }
        self.answer_for_server(slot, code, message);
    }

    /// Opens a connection to cancel what a server is doing.
    pub(super) fn send_cancel(&mut self, server: u32) {
        let Some(link) = self.peers[server as usize].server() else { return };
        let (Some(key), Some(address)) = (link.link.server.key.clone(), address(&link.link.pool)) else { return };
        if self.open_leg(server, key, &address)
            && let Some(link) = self.peers[server as usize].server()
        {
            link.leg = true;
            link.cancel_again = false;
        }
    }

    /// Opens a connection that carries one cancel request; false when that cannot be.
    pub(super) fn open_leg(&mut self, server: u32, (pid, key): (i32, Vec<u8>), address: &Address) -> bool {
        let Ok(slot) = self.links.connect(address, Group::Servers) else { return false };
        let generation = self.links.generation(server);
        self.seat(slot, Peer::Leg(Box::new(CancelLeg { server, generation, pid, key })));
        let timeout = ns(self.published.snapshot.general.connect_timeout);
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Connect { slot, generation: self.links.generation(slot) });
        true
    }

    pub(super) fn leg_connected(&mut self, slot: u32, res: i32) {
        if res < 0 {
            return self.leg_ended(slot);
        }
        let Peer::Leg(leg) = &self.peers[slot as usize] else { return };
        let mut words = Vec::new();
        // The key came from the server in this very form.
        let _ = crate::wire::client::cancel_request(&mut words, leg.pid, &leg.key);
        self.links.say(slot, &words);
        self.links.resume(slot);
    }

    /// PostgreSQL has not closed the cancel connection in time: nobody knows whether the signal is still to come.
    pub(super) fn leg_given_up(&mut self, slot: u32) {
        let Peer::Leg(leg) = &self.peers[slot as usize] else { return };
        let (server, generation) = (leg.server, leg.generation);
        if self.links.is_open(server, generation)
            && let Some(link) = self.peers[server as usize].server()
        {
            link.suspect = true;
        }
        self.leg_ended(slot);
    }

    /// PostgreSQL has closed the cancel connection: the signal has been sent, or never will be.
    pub(super) fn leg_ended(&mut self, slot: u32) {
        let Peer::Leg(leg) = std::mem::take(&mut self.peers[slot as usize]) else { return };
        self.links.abort(slot);
        if !self.links.is_open(leg.server, leg.generation) {
            return;
        }
        if let Peer::Sender(_) = &self.peers[leg.server as usize] {
            return self.sender_cancelled(leg.server);
        }
        let Some(link) = self.peers[leg.server as usize].server() else { return };
        link.leg = false;
        let again = std::mem::take(&mut link.cancel_again);
        match link.stage {
            ServerStage::Cancelled => self.server_free(leg.server),
            ServerStage::Busy if again && link.link.server.exchange.is_active() => self.send_cancel(leg.server),
            ServerStage::Busy => {
                let client = link.client;
                self.go_on_with(client);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "cancel_tests.rs"]
mod tests;
