//! Clients of databases with shards: the pool that a request's server comes from is that of its shard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::io::Door;
use crate::mail::{Desk, SharedPool};
use crate::route::request::Refused;
use crate::route::router::Router;
use crate::session::shards::{Goes, Shards};
use crate::wire::server::{ErrorFields, error, ready};

use super::core::Core;
use super::guard::guard;

/// The routers of this core, one per database, made anew with each snapshot.
#[derive(Default)]
pub struct Routers {
    version: u64,
    known: HashMap<String, Rc<RefCell<Router>>>,
}

impl Routers {
    fn of(&mut self, pool: &SharedPool, version: u64) -> Rc<RefCell<Router>> {
        if std::mem::replace(&mut self.version, version) != version {
            self.known.clear();
        }
        let router = || Rc::new(RefCell::new(Router::new(pool.spec.shards)));
        self.known.entry(pool.spec.database.clone()).or_insert_with(router).clone()
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client has joined its pools: its session hears of the shards, if there are some.
    pub(super) fn spread(&mut self, client: u32) {
        let version = self.version;
        let Some(peer) = self.peers[client as usize].client() else { return };
        let sharded = peer.pool.as_ref().filter(|pool| pool.spec.shards > 1);
        let shards = sharded.map(|pool| Shards::new(self.routers.of(pool, version), peer.number));
        peer.client.spread(shards);
    }

    /// The request at the start of `rest` needs a server: of the shard that it goes to. Err: it has to wait for more bytes (None), or goes nowhere
    /// and its client has been told so; so many bytes of it are consumed.
    pub(super) fn choose_shard(&mut self, slot: u32, rest: &[u8]) -> Result<(), Option<usize>> {
        let Some(peer) = self.peers[slot as usize].client() else { return Err(None) };
        if peer.shards.is_empty() {
            return Ok(());
        }
        let goes = match guard(|| peer.client.goes(rest)) {
            Ok(goes) => goes,
            Err(why) => {
                self.client_panicked(slot, &why);
                return Err(None);
            }
        };
        match goes {
            Goes::To(shard) => {
                let pool = peer.shards.get(usize::from(shard)).cloned();
                if pool.as_ref().map(|pool| pool.id) != peer.pool.as_ref().map(|pool| pool.id) {
                    // Its servers' reports are counted by themselves.
                    peer.told_number = u64::MAX;
                    peer.pool = pool;
                }
                Ok(())
            }
            Goes::More => Err(None),
            Goes::Refused(refused) => self.refuse_route(slot, rest, &refused).map_err(Some),
        }
    }

    /// Answers a request that goes nowhere; Err: so many bytes are consumed.
    #[cold]
    fn refuse_route(&mut self, slot: u32, rest: &[u8], refused: &Refused) -> Result<(), usize> {
        let Some(peer) = self.peers[slot as usize].client() else { return Err(0) };
        let mut words = Vec::new();
        let (detail, hint) = (refused.detail.as_deref(), refused.hint);
        let failed = peer.client.status() == b'E';
        let fields = ErrorFields { severity: "ERROR", code: refused.code, message: &refused.message, detail, hint };
        let aborted = "current transaction is aborted, commands ignored until end of transaction block";
        let again = ErrorFields { severity: "ERROR", code: "25P02", message: aborted, detail: None, hint: None };
        error(&mut words, if failed { &again } else { &fields });
        peer.counts.errors += 1;
        let consumed = match guard(|| peer.client.refuse_request(rest)) {
            Ok(consumed) => consumed,
            Err(why) => {
                self.client_panicked(slot, &why);
                return Err(0);
            }
        };
        if consumed > 0 {
            ready(&mut words, peer.client.status());
        }
        self.links.say(slot, &words);
        Err(consumed)
    }
}
