//! Servers of databases with shards: each says which shard it is when it logs in, and no request reaches one that is another.
//! Invariant: a server that has not been compared with what this core knows of its cluster has no request, because until something is known nothing
//! is routed there; when it becomes known, all servers that are there are compared before the next request is looked at.

use std::sync::Arc;

use crate::io::Door;
use crate::mail::{Desk, Proof};
use crate::route::cluster::State;
use crate::route::identity::{IdentityError, Place};
use crate::route::proof::prove;

use super::core::Core;
use super::peers::{Peer, ServerStage};

impl<D: Door, K: Desk> Core<D, K> {
    /// Compares what a server has said with what is known of its cluster, if something is.
    pub(super) fn prove(&mut self, slot: u32) -> Result<(), IdentityError> {
        let Some(peer) = self.peers[slot as usize].server() else { return Ok(()) };
        let spec = &peer.link.pool.spec;
        if spec.shards < 2 || matches!(peer.link.proof, Proof::Right) {
            return Ok(());
        }
        let Some(cluster) = self.routers.cluster(&spec.database, &self.shared) else { return Ok(()) };
        if !matches!(cluster.state, State::Known(_)) || cluster.topology.cluster().is_none() {
            return Ok(());
        }
        match &peer.link.proof {
            Proof::Open(said) => {
                let proved = prove(Place { shard: spec.shard, place: &spec.place() }, &cluster.topology, said);
                if proved.is_err() && self.shared.clusters.load().get(&spec.database).is_none_or(|newest| !Arc::ptr_eq(newest, &cluster)) {
                    // It may be right by what this core has not heard of yet.
                    return Ok(());
                }
                proved?;
                peer.link.proof = Proof::Right;
            }
            // It comes from before anybody wanted to know: it goes when it is free.
            Proof::Unasked => peer.link.retire_at = 0,
            Proof::Right => {}
        }
        Ok(())
    }

    /// The same for a server in use, or at rest: one that is wrong goes at once.
    pub(super) fn prove_late(&mut self, slot: u32) {
        let logged_in = |peer: &Peer| {
            let Peer::Server(server) = peer else { return false };
            server.link.pool.spec.shards > 1
                && !matches!(server.link.proof, Proof::Right)
                && !matches!(server.stage, ServerStage::Connecting | ServerStage::Greeting(_) | ServerStage::Leaving)
        };
        if !self.peers.get(slot as usize).is_some_and(logged_in) {
            return;
        }
        let proved = self.prove(slot);
        let Some(peer) = self.peers[slot as usize].server() else { return };
        let Err(wrong) = proved else {
            if peer.link.retire_at == 0 && matches!(peer.stage, ServerStage::Idle) {
                self.let_go(slot, false);
            }
            return;
        };
        let spec = &peer.link.pool.spec;
        if matches!(wrong, IdentityError::Lost { .. }) {
            // It is older than the cluster, which has begun meanwhile; a new one says who it is.
            tracing::debug!(database = %spec.database, user = %spec.user, "a server connection is closed: {wrong}");
        } else {
            tracing::error!(database = %spec.database, user = %spec.user, "a server connection is closed: {wrong}");
        }
        self.server_lost(slot, false, wrong.sqlstate(), &wrong.to_string());
    }

    /// Something has become known of a cluster.
    #[cold]
    pub(super) fn prove_all(&mut self) {
        for slot in 0..self.peers.len() {
            self.prove_late(slot as u32);
        }
    }
}
