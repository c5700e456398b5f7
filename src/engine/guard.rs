//! A panic inside a session ends that session's client, and nobody else. Sessions read what strangers send, so a fault in one of them is met by
//! whoever finds the bytes for it; the core that they share must outlive it. Each call into a session is one guard, one per fed chunk and never per
//! message: a landing pad that costs nothing until it is used.
//!
//! What a session holds after a panic is not believed any more: its client is told FATAL XX000 and closed, its server is given up. Verdicts that were
//! complete before are carried out for the client, so that its stream ends between two messages or in the middle of one that is known to be cut.
//!
//! Not guarded, by intent: the engine and the pool themselves. Their state is everybody's, and a core that went on with half of a change made would
//! lose permits or give a server to two clients; such a panic ends the process, and whoever supervises it starts a new one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::io::Door;
use crate::mail::Desk;

use super::core::Core;
use super::peers::{NOBODY, Peer};

/// What a client is told besides.
const FAULT: &str = "This is a fault of pg_dog; its log says more. Connect again.";
/// Bytes of a panic's message that are logged.
const WORDS_MAX: usize = 500;

/// A session panicked; what it said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked(String);

/// Runs one call into a session.
#[inline]
pub(super) fn guard<T>(session: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(session)).map_err(|payload| {
        let words = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
        Panicked(words.unwrap_or("no message").chars().take(WORDS_MAX).collect())
    })
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client's session panicked.
    #[cold]
    pub(super) fn client_panicked(&mut self, client: u32, why: &Panicked) {
        let Some(peer) = self.peers[client as usize].client() else { return };
        tracing::error!(user = %peer.user, database = %peer.database, "a client's session panicked, and that client is closed: {}", why.0);
        self.panics += 1;
        let server = peer.server;
        self.end_both(client, server, "XX000", "internal error", Some(FAULT));
    }

    /// A server's session panicked.
    #[cold]
    pub(super) fn server_panicked(&mut self, server: u32, why: &Panicked) {
        let Some(peer) = self.peers[server as usize].server() else { return };
        let spec = &peer.link.pool.spec;
        tracing::error!(user = %spec.user, database = %spec.database, "a server's session panicked, and that connection is closed: {}", why.0);
        self.panics += 1;
        let client = peer.client;
        self.end_both(client, server, "XX000", "internal error", Some(FAULT));
    }

    /// A login at a server panicked: as one that failed.
    #[cold]
    pub(super) fn greeting_panicked(&mut self, server: u32, why: &Panicked) {
        tracing::error!("a login at a server panicked, and that connection is closed: {}", why.0);
        self.panics += 1;
        self.open_failed(server, false, "XX000", "internal error");
    }

    /// Gives up the server and tells the client why it is closed, as far as they are there, without asking their sessions anything more.
    pub(super) fn end_both(&mut self, client: u32, server: u32, code: &str, message: &str, hint: Option<&str>) {
        let cut = self.is_in_mid_message(client);
        if server != NOBODY {
            self.account(server);
            if let Some(peer) = self.peers[server as usize].server() {
                peer.client = NOBODY;
                peer.client_number = 0;
            }
            if let Some(Peer::Client(peer)) = self.peers.get_mut(client as usize) {
                peer.server = NOBODY;
            }
            self.give_up_server(server);
        }
        if cut {
            self.client_gone(client);
        } else if client != NOBODY {
            self.client_fatal(client, code, message, hint);
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
