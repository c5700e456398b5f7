//! Fresh connections, logins and ends, a few per turn: ten thousand clients that come or go at once (after a deployment, or after our own restart)
//! must not make those wait who are there already. A login costs some ten microseconds and nobody is in a hurry within the same millisecond.
//!
//! What has to wait is bounded by what exists: a descriptor for each fresh connection, a client for each login. Both go on in the order in which they
//! came, one turn later.

use std::collections::VecDeque;

use crate::io::links::Bytes;
use crate::io::{Door, Fd};
use crate::mail::Desk;

use super::core::Core;
use super::peers::{Peer, Stage};

/// Fresh connections that become clients in one turn.
const FRESH_MAX: usize = 32;
/// Messages of logins that are read in one turn.
const LOGINS_MAX: usize = 32;

/// Clients whose end is dealt with in one turn; it costs a microsecond or two.
const ENDS_MAX: usize = 256;

/// Who has to wait for a later turn.
#[derive(Default)]
pub(super) struct Rush {
    fresh: VecDeque<Fd>,
    logins: VecDeque<(u32, u32)>,
    /// clients that have gone
    ends: VecDeque<(u32, u32)>,
    /// read in this turn, and clients that went in it
    read: usize,
    gone: usize,
}

impl Rush {
    /// Somebody waits.
    pub fn has_work(&self) -> bool {
        !self.fresh.is_empty() || !self.logins.is_empty() || !self.ends.is_empty()
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A connection was accepted.
    pub(super) fn fresh_comes(&mut self, fd: Fd) {
        self.rush.fresh.push_back(fd);
    }

    /// True when a client's bytes have to wait for a later turn; they are kept.
    pub(super) fn must_wait(&mut self, slot: u32, bytes: Bytes) -> bool {
        let login = matches!(self.peers.get(slot as usize), Some(Peer::Client(peer)) if matches!(peer.stage, Stage::Login(_)));
        if !login {
            return false;
        }
        self.rush.read += 1;
        if self.rush.read <= LOGINS_MAX && self.rush.logins.is_empty() {
            return false;
        }
        self.hold_rest(slot, bytes);
        self.rush.logins.push_back((slot, self.links.generation(slot)));
        true
    }

    /// A client's socket has ended.
    pub(super) fn client_ended(&mut self, slot: u32) {
        self.rush.gone += 1;
        if self.rush.gone <= ENDS_MAX && self.rush.ends.is_empty() {
            return self.client_gone(slot);
        }
        self.rush.ends.push_back((slot, self.links.generation(slot)));
    }

    /// The next few, at the end of a turn.
    pub(super) fn serve_rush(&mut self) {
        for _ in self.rush.gone.min(ENDS_MAX)..ENDS_MAX {
            let Some((slot, generation)) = self.rush.ends.pop_front() else { break };
            if self.links.is_open(slot, generation) {
                self.client_gone(slot);
            }
        }
        self.rush.gone = 0;
        for _ in self.rush.read.min(LOGINS_MAX)..LOGINS_MAX {
            let Some((slot, generation)) = self.rush.logins.pop_front() else { break };
            if self.links.is_open(slot, generation) {
                self.feed_held(slot);
            }
        }
        self.rush.read = 0;
        for _ in 0..FRESH_MAX {
            let Some(fd) = self.rush.fresh.pop_front() else { break };
            self.fresh_client(fd);
        }
    }
}

#[cfg(test)]
#[path = "rush_tests.rs"]
mod tests;
