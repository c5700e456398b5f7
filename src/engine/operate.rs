//! What the operator asks of a core: orders about clients and servers, carried out in slices of bounded work between two turns of the loop, so that
//! dropping ten thousand clients stops nobody else. What is paused, held or disabled is in each pool's ledger, set before the order comes; who may
//! ask for what, and what the numbers of all cores mean together, is left to `control`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::admin::console::Scope;
use crate::config::snapshot::PoolerMode;
use crate::io::Door;
use crate::mail::{Asker, Desk, Order, Word};

use super::core::Core;
use super::lend::Pool;
use super::logins::place;
use super::peers::{ClientPeer, NOBODY, Peer, ServerPeer, ServerStage, Stage};
use super::report::Making;

/// Peers that one turn looks at for an order.
const SLICE: usize = 128;

/// How often, at most, the waiters of a pool that is held are looked at.
const HELD_LOOK_NS: u64 = 1_000_000_000;
/// How long after SUSPEND no time limit is looked at, ns.
const WAKE_NS: u64 = 200_000_000;

/// See the head of this file. Its lists are bounded by what control asks for at once.
#[derive(Default)]
pub struct Operate {
    /// reports that are being made, the one asked for first in front
    pub reports: VecDeque<Making>,
    orders: VecDeque<Obeying>,
    /// connections of these pools from before these times (ns) are to be replaced; one entry per scope, the database is one that exists
    replaced: Vec<(Scope, u64)>,
    /// some pools are held: clients in session mode have to be looked at
    pub holding: bool,
    /// no more clients are taken, those that are there go on
    pub closed: bool,
    /// nobody is listened to but the operator and who is on the way in, and no time is up
    pub suspended: bool,
    /// no time limit is looked at before then, ns: SUSPEND has ended just now
    pub punish_after: u64,
}

/// An order that is being carried out.
struct Obeying {
    request: u64,
    asker: Asker,
    order: Arc<Order>,
    /// the next socket to look at
    at: usize,
    count: u64,
}

impl Operate {
    /// Something is to be done that needs no event.
    pub fn has_work(&self) -> bool {
        !self.reports.is_empty() || !self.orders.is_empty()
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// An order has come. What it changes at once is changed here, the rest in slices.
    pub(super) fn ordered(&mut self, request: u64, asker: Asker, order: Arc<Order>) {
        let mut count = 0;
        match &*order {
            Order::InUse(scope) => {
                count = self.pools.iter().flatten().filter(|pool| covers(scope, pool)).map(|pool| u64::from(pool.slice.active())).sum()
            }
            Order::Look(scope) => self.look_again(scope),
            Order::Replace(scope) => {
                self.operate.replaced.retain(|(other, _)| other != scope && !scope.is_all());
                self.operate.replaced.push((scope.clone(), self.now));
            }
            Order::DropClient(id) => count = u64::from(self.drop_client(*id)),
            Order::Hold { any, scope } => {
                self.operate.holding = *any;
                let now = self.now;
                for pool in self.pools.iter_mut().flatten().filter(|pool| covers(scope, pool)) {
                    if !pool.shared.state.ledger.held() {
                        pool.released_at = now;
                    }
                }
                self.look_again(scope);
            }
            Order::Close => {
                self.operate.closed = true;
                self.stop_listening();
                count = self.clients as u64;
            }
            Order::Suspend => self.operate.suspended = true,
            Order::Wake => {
                self.operate.suspended = false;
                // What has come meanwhile is read before anybody is told that he took too long.
                self.operate.punish_after = self.now + WAKE_NS;
            }
            Order::Closing(_) | Order::Drop(_) => {}
        }
        self.operate.orders.push_back(Obeying { request, asker, order, at: 0, count });
    }

    /// The next slice of the first order; the control core is told when it is carried out.
    pub(super) fn order_slice(&mut self) {
        let Some(mut obeying) = self.operate.orders.pop_front() else { return };
        let at_once = matches!(*obeying.order, Order::InUse(_) | Order::Look(_) | Order::DropClient(_) | Order::Close);
        let in_slices = !at_once;
        let end = if in_slices { self.peers.len().min(obeying.at + SLICE) } else { obeying.at };
        for slot in obeying.at..end {
            obeying.count += u64::from(self.obey(slot as u32, &obeying.order));
        }
        obeying.at = end;
        if in_slices && end < self.peers.len() {
            return self.operate.orders.push_front(obeying);
        }
        let Obeying { request, asker, order, count, .. } = obeying;
        let count = if *order == Order::Suspend { self.links.backlog_total() as u64 } else { count };
        let orphaned = asker.core == self.id && !self.links.is_open(asker.slot, asker.generation);
        self.desk.word(Word::Obeyed { request, count, orphaned });
    }

    /// One peer's part of an order; true when it counts.
    fn obey(&mut self, slot: u32, order: &Order) -> bool {
        match (order, &mut self.peers[slot as usize]) {
            (Order::Replace(scope), Peer::Server(server)) if of(scope, server) => {
                match server.stage {
                    ServerStage::Leaving => {}
                    ServerStage::Idle => self.let_go(slot, false),
                    _ => server.link.retire_at = 0,
                }
                true
            }
            (Order::Closing(scope), Peer::Server(server)) => of(scope, server) && is_closing(server),
            (Order::Drop(scope), Peer::Client(client)) => {
                let there = matches!(client.stage, Stage::Ready | Stage::Greeted | Stage::Replicating | Stage::Spread(_));
                let dropped = there && client.owner == NOBODY && scope.covers(&client.user, &client.database);
                if dropped {
                    self.dismiss(slot);
                }
                dropped
            }
            (Order::Drop(scope), Peer::Server(server)) if of(scope, server) => self.drop_server(slot),
            (Order::Suspend, Peer::Client(client)) if matches!(client.stage, Stage::Admin { .. } | Stage::Login(_)) => false,
            (Order::Suspend, Peer::Client(_) | Peer::Server(_) | Peer::Sender(_)) => {
                self.links.sleep(slot);
                false
            }
            (Order::Wake, Peer::Client(_) | Peer::Server(_) | Peer::Sender(_)) => {
                self.links.wake(slot);
                false
            }
            (Order::Hold { .. }, Peer::Client(_)) => {
                self.feed_later(slot);
                self.listen_to(slot);
                false
            }
            _ => false,
        }
    }

    fn dismiss(&mut self, client: u32) {
        self.client_fatal(client, "57P01", "terminating connection due to administrator command", None);
    }

    /// Drops a server at once, and its client before it. One that is still being opened goes as soon as it is there.
    fn drop_server(&mut self, slot: u32) -> bool {
        let Some(server) = self.peers[slot as usize].server() else { return false };
        let client = server.client;
        match server.stage {
            ServerStage::Leaving => return false,
            ServerStage::Connecting | ServerStage::Greeting(_) => {
                server.link.retire_at = 0;
                return true;
            }
            _ => {}
        }
        if client != NOBODY {
            self.dismiss(client);
        }
        let Some(server) = self.peers[slot as usize].server() else { return true };
        let (pool, active) = (server.pool, server.link.server.exchange.is_active());
        if matches!(server.stage, ServerStage::Leaving) {
            return true;
        }
        if server.client != NOBODY {
            // Somebody who waited has got it meanwhile: it goes when he is done with it.
            server.link.retire_at = 0;
            return true;
        }
        if active {
            self.send_cancel(slot);
        }
        if let Some(tally) = self.tally(pool) {
            tally.force_closed.add(u64::from(client != NOBODY));
        }
        self.let_go(slot, false);
        true
    }

    fn drop_client(&mut self, id: u32) -> bool {
        let Some((core, slot)) = i32::try_from(id).ok().and_then(place) else { return false };
        let here = core == self.id && matches!(self.peers.get(slot as usize), Some(Peer::Client(_)));
        if here {
            self.dismiss(slot);
        }
        here
    }

    /// A pause is over.
    fn look_again(&mut self, scope: &Scope) {
        for pool in 0..self.pools.len() {
            if self.pools[pool].as_ref().is_some_and(|pool| covers(scope, pool)) {
                self.look(pool as u32);
            }
        }
    }

    /// A server has come from another core or from its login: if it is one that is to be replaced it goes now, or when it is free.
    pub(super) fn replace_arrived(&mut self, slot: u32) {
        // It was to go before it was there.
        let doomed = |server: &ServerPeer| matches!(server.stage, ServerStage::Idle) && server.link.retire_at == 0;
        if matches!(self.peers.get(slot as usize), Some(Peer::Server(server)) if doomed(server)) {
            return self.let_go(slot, false);
        }
        if self.operate.replaced.is_empty() {
            return;
        }
        let Some(Peer::Server(server)) = self.peers.get_mut(slot as usize) else { return };
        let born = server.link.connected_at;
        if !self.operate.replaced.iter().any(|(scope, at)| born <= *at && of(scope, server)) {
            return;
        }
        match server.stage {
            ServerStage::Leaving => {}
            ServerStage::Idle => self.let_go(slot, false),
            _ => server.link.retire_at = 0,
        }
    }

    /// Until when the waiters of a pool are not told that they have waited too long: while it is held, and for a whole timeout afterwards.
    pub(super) fn spared_until(&self, pool: u32, timeout: u64) -> Option<u64> {
        let Some(Some(pool)) = self.pools.get(pool as usize) else { return None };
        if pool.shared.state.ledger.held() {
            return Some(self.now.saturating_add(timeout.max(HELD_LOOK_NS)));
        }
        let until = pool.released_at.saturating_add(timeout);
        (pool.released_at > 0 && until > self.now).then_some(until)
    }
}

fn covers(scope: &Scope, pool: &Pool) -> bool {
    let spec = &pool.shared.spec;
    scope.covers(&spec.user, &spec.database)
}

fn of(scope: &Scope, server: &ServerPeer) -> bool {
    let spec = &server.link.pool.spec;
    scope.covers(&spec.user, &spec.database)
}

/// It is being closed, or will be as soon as it is free.
pub(super) fn is_closing(server: &ServerPeer) -> bool {
    server.link.retire_at == 0 || matches!(server.stage, ServerStage::Leaving)
}

/// A client that keeps its server between transactions, at the end of one, in a pool that is held: what it asks next has to wait.
pub(super) fn is_held(client: &ClientPeer, server: &ServerPeer) -> bool {
    (client.client.mode() == PoolerMode::Session || !server.link.server.exchange.pins.is_empty())
        && client.client.at_boundary()
        && server.link.server.exchange.is_free()
        && client.pool.as_ref().is_some_and(|pool| pool.state.ledger.held())
}

#[cfg(test)]
#[path = "operate_tests.rs"]
mod tests;
