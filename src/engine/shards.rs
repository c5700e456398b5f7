//! Clients of databases with shards: the pool that a request's server comes from is that of its shard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::report::QueryCacheRow;
use crate::config::snapshot::PoolerMode;
use crate::io::Door;
use crate::mail::{Asker, Desk, Job, Shared, Word};
use crate::route::cluster::Cluster;
use crate::route::request::Refused;
use crate::route::router::{Done, Router};
use crate::session::shards::{Goes, Shards};
use crate::wire::server::{ErrorFields, error, ready};

use super::core::Core;
use super::guard::guard;
use super::peers::{ClientPeer, Stage};

/// The routers of this core, one per database.
#[derive(Default)]
pub struct Routers {
    known: HashMap<String, Rc<RefCell<Router>>>,
    /// what this core knows of the databases. All of it is taken at once, and servers that were not compared with it before are then, so that no
    /// request is routed by what a server at hand has not been compared with.
    clusters: Option<Clusters>,
}

type Clusters = Arc<HashMap<String, Arc<Cluster>>>;

impl Routers {
    fn of(&mut self, database: &str, shared: &Shared) -> Option<Rc<RefCell<Router>>> {
        if let Some(router) = self.known.get(database) {
            return Some(router.clone());
        }
        let cluster = self.cluster(database, shared)?;
        let router = Rc::new(RefCell::new(Router::new(cluster)));
        self.known.insert(database.to_owned(), router.clone());
        Some(router)
    }

    /// What this core knows of a database.
    pub(super) fn cluster(&mut self, database: &str, shared: &Shared) -> Option<Arc<Cluster>> {
        self.clusters.get_or_insert_with(|| shared.clusters.load_full()).get(database).cloned()
    }

    /// What each router of this core has done, one row per database that its clients have come to, and one for each remark of a dry run.
    pub(super) fn rows(&self, core: usize) -> Vec<QueryCacheRow> {
        let mut rows = Vec::new();
        for (database, router) in &self.known {
            let (router, empty) = (router.borrow(), QueryCacheRow { database: database.clone(), core: core as u64, ..QueryCacheRow::default() });
            let Done { hits, misses, direct, multi, refused, shapes, bytes } = router.done();
            rows.push(QueryCacheRow { hits, misses, direct, multi, refused, shapes, bytes, ..empty.clone() });
            rows.extend(router.remarks().iter().map(|remark| QueryCacheRow {
                query: Some(remark.text.clone()),
                reason: Some(remark.reason.clone()),
                refused: remark.times,
                ..empty.clone()
            }));
        }
        rows
    }

    /// Something has become known about some database: true if there is one.
    pub(super) fn learn(&mut self, shared: &Shared) -> bool {
        let clusters = shared.clusters.load_full();
        let news = self.clusters.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &clusters));
        self.clusters = Some(clusters.clone());
        self.known.retain(|database, router| match clusters.get(database) {
            Some(cluster) => {
                router.borrow_mut().learn(cluster.clone());
                true
            }
            None => false,
        });
        news && !clusters.is_empty()
    }
}

/// What a client knows of its shards, or its coordinator.
fn shards_of(peer: &ClientPeer) -> Option<&Shards> {
    match &peer.stage {
        Stage::Spread(spread) => spread.as_ref().map(|spread| spread.knows()),
        _ => peer.client.shards(),
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client has joined its pools: its session hears of the shards, if there are some.
    pub(super) fn spread(&mut self, client: u32) {
        let (explains, dry) = (self.published.snapshot.general.expanded_explain, self.published.snapshot.general.dry_run);
        let Some(peer) = self.peers[client as usize].client() else { return };
        // A replicating client has its server for itself, and says nothing that has a route.
        let sharded = peer.pool.as_ref().filter(|pool| pool.spec.shards > 1 || dry && !pool.spec.replicates);
        let router = sharded.and_then(|pool| Some((self.routers.of(&pool.spec.database, &self.shared)?, pool)));
        let shards = router.map(|(router, pool)| {
            let mut shards = Shards::new(router, &pool.spec.server_user, peer.number);
            shards.keep_to_one(pool.spec.one_shard);
            if pool.spec.shards == 1 {
                shards.rehearse();
            }
            // A session's server is its own: nobody else speaks to it.
            shards.explain(explains && pool.spec.shards > 1 && pool.spec.mode != PoolerMode::Session);
            shards
        });
        peer.client.spread(shards);
    }

    /// The request at the start of `rest` needs a server: of the shard that it goes to. Err: it has to wait for more bytes (None), or goes nowhere
    /// and its client has been told so; so many bytes of it are consumed.
    pub(super) fn choose_shard(&mut self, slot: u32, rest: &[u8]) -> Result<(), Option<usize>> {
        let version = self.version;
        let Some(peer) = self.peers[slot as usize].client() else { return Err(None) };
        if peer.shards.is_empty() {
            return Ok(());
        }
        if peer.version != version {
            // What it may do is asked before it is known where that is done.
            self.find_again(slot);
        }
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
            Goes::Unread => {
                self.have_read(slot);
                Err(None)
            }
            Goes::Refused(refused) => self.refuse_route(slot, rest, &refused).map_err(Some),
            Goes::Over => {
                self.coordinate(slot);
                Err(None)
            }
        }
    }

    /// The next text of a client is too large for this core: a helper reads it, and the client waits.
    #[cold]
    pub(super) fn have_read(&mut self, slot: u32) {
        let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let Some(question) = shards_of(peer).and_then(Shards::asks) else { return };
        peer.unread = Some(question.clone());
        self.links.pause(slot);
        self.desk.job(asker, Job::Read(question));
    }

    /// A helper has read it; true if that is what was made.
    pub(super) fn was_read(&mut self, slot: u32) -> bool {
        let Some(peer) = self.peers[slot as usize].client() else { return false };
        let Some(question) = peer.unread.take() else { return false };
        if let Some(shards) = shards_of(peer) {
            shards.answered(question);
        }
        // At once: what others have asked would take its place.
        self.feed_held(slot);
        self.listen_to(slot);
        true
    }

    /// Whoever has this server may have changed the schema with it: the pool's servers hear of it, and on a database with shards the control core.
    #[inline]
    pub(super) fn notice_alteration(&mut self, server: u32) {
        let dry = self.published.snapshot.general.dry_run;
        let Some(peer) = self.peers[server as usize].server() else { return };
        if peer.link.server.take_schema_changed() {
            peer.link.pool.state.schema.fetch_add(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut peer.link.server.exchange.altered) && (peer.link.pool.spec.shards > 1 || dry) {
            let pool = peer.pool;
            self.desk.word(Word::Altered { pool });
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
