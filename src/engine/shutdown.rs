//! Ends: of a client's hold on its server, and of the core's work.

use crate::config::snapshot::Recovery;
use crate::io::Door;
use crate::mail::{Desk, Word};
use crate::session::client::Client;

use super::core::{Core, spare};
use super::guard::guard;
use super::peers::{NOBODY, Peer, ServerStage, Stage};
use super::timers::{Timer, ns};

impl<D: Door, K: Desk> Core<D, K> {
    /// The client of this server has gone: the server is brought back to a clean state, or dropped when that cannot be.
    pub(super) fn client_left(&mut self, server: u32, client: &mut Client) {
        if matches!(self.peers[server as usize], Peer::Sender(_)) {
            return self.sender_orphaned(server);
        }
        self.account(server);
        self.account_pin(server, false);
        let recovery = self.published.snapshot.general.connection_recovery;
        let Some(link) = self.peers[server as usize].server() else { return };
        let exchange = &link.link.server.exchange;
        let unknown = !exchange.pins.is_empty() || !exchange.suspicion.is_empty() || exchange.is_asked() || link.link.server.has_unlearned();
        if let Err(why) = guard(|| client.detached(&mut link.link.server.exchange)) {
            return self.server_panicked(server, &why);
        }
        // What its transaction may have left is not asked about any more.
        let session = unknown || client.mode() == crate::config::snapshot::PoolerMode::Session;
        link.client = NOBODY;
        link.client_number = 0;
        if self.links.is_paused(server) {
            self.links.resume(server);
        }
        if !client.at_boundary() {
            // A message that ends in the middle can never be finished.
            return self.give_up_server(server);
        }
        let Some(link) = self.peers[server as usize].server() else { return };
        let exchange = &link.link.server.exchange;
        let in_transaction = !exchange.is_free();
        let spared = match recovery {
            Recovery::Recover => true,
            Recovery::RollbackOnly => exchange.is_quiet(),
            Recovery::Drop => !in_transaction,
        };
        let pool = link.pool;
        if in_transaction && let Some(tally) = self.tally(pool) {
            tally.counts.rollbacks.add(1);
        }
        if !spared {
            return self.give_up_server(server);
        }
        self.start_cleaning(server, !session);
    }

    /// A client in session mode has gone, politely or not.
    pub(super) fn clean_server(&mut self, server: u32) {
        self.start_cleaning(server, false);
    }

    fn start_cleaning(&mut self, server: u32, discarded: bool) {
        let Some(link) = self.peers[server as usize].server() else { return };
        link.stage = ServerStage::Cleaning { discarded };
        let generation = self.links.generation(server);
        let timeout = ns(self.published.snapshot.general.rollback_timeout);
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Clean { slot: server, generation });
        self.go_on_cleaning(server);
    }

    /// The next step of a cleaning, as far as the replies so far allow.
    pub(super) fn go_on_cleaning(&mut self, server: u32) {
        let Some(link) = self.peers[server as usize].server() else { return };
        let ServerStage::Cleaning { discarded } = &mut link.stage else { return };
        let exchange = &mut link.link.server.exchange;
        let mut verdicts = spare(&mut self.verdicts);
        if !exchange.is_free() {
            if let Err(why) = guard(|| exchange.recovery(&mut verdicts.words)) {
                self.verdicts = Some(verdicts);
                return self.server_panicked(server, &why);
            }
        } else if !*discarded {
            *discarded = true;
            link.link.server.clean(&mut verdicts);
            let pool = link.pool;
            if let Some(tally) = self.tally(pool) {
                tally.counts.cleaned.add(1);
            }
        } else {
            let failed = exchange.take_ours_failed();
            let pool = link.pool;
            self.verdicts = Some(verdicts);
            if failed {
                return self.give_up_server(server);
            }
            if let Some(tally) = self.tally(pool) {
                tally.re_synced.add(1);
            }
            return self.server_free(server);
        }
        self.links.say(server, &verdicts.words);
        self.verdicts = Some(verdicts);
    }

    /// Takes no more clients and lets the others finish.
    pub(super) fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        if std::mem::take(&mut self.operate.suspended) {
            // Who has something to finish has to be heard for that.
            (0..self.peers.len() as u32).for_each(|slot| self.links.wake(slot));
        }
        for pool in self.pools.iter().flatten() {
            let counts = pool.shared.state.ledger.statistics(self.id);
            let read = |number: &std::sync::atomic::AtomicU64| number.load(std::sync::atomic::Ordering::Relaxed);
            let (grants, lent, asked, surplus) = (read(&counts.grants), read(&counts.lent), read(&counts.asked), read(&counts.surplus));
            tracing::debug!(core = self.id, database = %pool.shared.spec.database, grants, lent, asked, surplus, "lending so far");
        }
        self.stop_listening();
        for slot in 0..self.peers.len() as u32 {
            let Peer::Client(peer) = &self.peers[slot as usize] else { continue };
            if peer.owner != NOBODY {
                continue;
            }
            let idle = match &peer.stage {
                Stage::Ready => {
                    // Who waits in a pause would wait for the operator, who has left.
                    let waits = peer.ticket.is_some() && !peer.pool.as_ref().is_some_and(|pool| pool.state.ledger.paused());
                    !waits && peer.client.at_boundary() && (peer.server == NOBODY || self.is_between_transactions(peer.server))
                }
                Stage::Login(_) | Stage::Greeted => true,
                // A stream has no end that could be waited for.
                Stage::Replicating => self.ends_between_messages(slot),
                Stage::Admin { .. } | Stage::Spread(_) => false,
            };
            if idle {
                self.client_fatal(slot, "57P01", "pg_dog is shutting down", None);
            }
        }
    }

    fn is_between_transactions(&self, server: u32) -> bool {
        matches!(&self.peers[server as usize], Peer::Server(link) if link.link.server.exchange.is_free())
    }

    /// A client that would begin something new while the core drains is told so; true when it was.
    pub(super) fn refuse_while_draining(&mut self, client: u32) -> bool {
        self.client_fatal(client, "57P01", "pg_dog is shutting down", None);
        true
    }

    /// Once, when the last client has gone, its servers are clean, and all that was said is with the kernel: the process may end right then.
    pub(super) fn tell_if_drained(&mut self) {
        let busy = self.clients > 0
            || self.rush.has_work()
            || self.links.backlog_total() > 0
            || self.peers.iter().any(|peer| matches!(peer, Peer::Server(link) if matches!(link.stage, ServerStage::Cleaning { .. })));
        let parted = std::mem::replace(&mut self.parting, !busy);
        if parted && !busy && !self.drained {
            self.drained = true;
            self.desk.word(Word::Drained { core: self.id });
        }
    }
}
