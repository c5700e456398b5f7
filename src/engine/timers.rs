//! What a core does when time passes. Deadlines are coarse (see `io::timer`); each names the use of the slot it was set for, so that a late one
//! does nothing.

use std::time::Duration;

use crate::admin::counts::Refusal;
use crate::io::Door;
use crate::mail::Desk;

use super::core::Core;
use super::peers::{Peer, SenderStage, ServerStage, Stage};

/// What a timer was set for.
#[derive(Clone, Copy, Debug)]
pub enum Timer {
    /// a client must be through its login
    Login { slot: u32, generation: u32 },
    /// a server connection, or a cancel request, must be through
    Connect { slot: u32, generation: u32 },
    /// a server must be clean again after its client has gone
    Clean { slot: u32, generation: u32 },
    /// last words must be out
    Linger { slot: u32, generation: u32 },
    /// promised servers in the middle of a message have had their time
    Lend,
    /// the first of a pool's waiters may have waited long enough
    Wait { pool: u32 },
    /// a pool may hold fewer servers than it should always have
    Minimum { pool: u32 },
    /// the server that rests longest may have rested long enough
    Rest { pool: u32 },
    /// pools that wait for a place at their server's gate look again
    Gate,
    /// a server must have let go of a connection that was closed here
    Leave { slot: u32, generation: u32 },
    /// a server that was long unheard of must have answered
    Probe { slot: u32, generation: u32 },
    /// clients may be taken again
    Accept,
    /// a client may have taken too long for something
    Watch { slot: u32, generation: u32 },
    /// a client may have done nothing for too long in a transaction that no server knows of
    Begun { slot: u32, generation: u32 },
    /// a client may have waited for long
    Notify { slot: u32, generation: u32 },
    /// the first of a pool's waiters may have waited so long that the reserve is for him
    Reserve { pool: u32 },
}

/// Nanoseconds; a duration too long for them is as good as never.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A timer has expired.
    pub(super) fn rang(&mut self, timer: Timer) {
        match timer {
            Timer::Login { slot, generation } if self.links.is_open(slot, generation) => {
                let late = matches!(self.peers[slot as usize].client().map(|client| &client.stage), Some(Stage::Login(_) | Stage::Greeted));
                if late {
                    self.shared.tallies[self.id].refuse(Refusal::Timeout);
                    self.client_fatal(slot, "57P05", "client login timeout", None);
                }
            }
            Timer::Connect { slot, generation } if self.links.is_open(slot, generation) => match &self.peers[slot as usize] {
                Peer::Server(server) if matches!(server.stage, ServerStage::Connecting | ServerStage::Greeting(_)) => {
                    self.open_failed(slot, false, "08001", "the server did not answer within connect_timeout");
                }
                Peer::Sender(sender) if matches!(sender.stage, SenderStage::Connecting | SenderStage::Greeting(_)) => {
                    self.sender_failed(slot, false, "08001", "the server did not answer within connect_timeout");
                }
                Peer::Leg(_) => self.leg_given_up(slot),
                _ => {}
            },
            Timer::Clean { slot, generation } if self.links.is_open(slot, generation) => {
                let Peer::Server(server) = &self.peers[slot as usize] else { return };
                if matches!(server.stage, ServerStage::Cleaning { .. } | ServerStage::Cancelled) {
                    self.give_up_server(slot);
                }
            }
            Timer::Linger { slot, generation } => self.links.abort_if(slot, generation),
            Timer::Lend => self.end_cut_lends(),
            Timer::Wait { pool } => self.expire_waiters(pool),
            Timer::Minimum { pool } => self.minimum_due(pool),
            Timer::Rest { pool } => self.close_rested(pool),
            Timer::Gate => self.gate_due(),
            Timer::Leave { slot, generation } if self.links.is_parting(slot, generation) => self.cut_off(slot),
            Timer::Probe { slot, generation } if self.links.is_open(slot, generation) => self.probe_due(slot),
            Timer::Accept => self.accept_again(),
            Timer::Watch { slot, generation } if self.links.is_open(slot, generation) => self.watch_due(slot),
            Timer::Begun { slot, generation } if self.links.is_open(slot, generation) => self.begun_due(slot),
            Timer::Notify { slot, generation } if self.links.is_open(slot, generation) => self.notify_due(slot),
            Timer::Reserve { pool } => self.reserve_due(pool),
            _ => {}
        }
    }
}
