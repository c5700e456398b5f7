//! What the operator sees of databases with shards: rows of SHOW SHARDS and SHOW SCHEMA DRIFT, made of what is published and of the pools' state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::admin::report::{DriftRow, ShardRow};
use crate::config::sharded::KeyValue;
use crate::mail::{Published, SharedPool};
use crate::route::cluster::{Cluster, State};

/// Letters of a cluster's id that are shown: enough to tell two apart.
const CLUSTER_SHOWN: usize = 8;

type Clusters = HashMap<String, Arc<Cluster>>;

/// One row for each shard, by database and number.
pub(super) fn shards(published: &Published, clusters: &Clusters) -> Vec<ShardRow> {
    let mut pools: BTreeMap<(&str, u16), Vec<&SharedPool>> = BTreeMap::new();
    for pool in published.pools.iter().filter(|pool| pool.spec.shards > 1) {
        pools.entry((&pool.spec.database, pool.spec.shard)).or_default().push(pool);
    }
    pools.into_values().filter_map(|pools| shard(&pools, clusters)).collect()
}

fn shard(pools: &[&SharedPool], clusters: &Clusters) -> Option<ShardRow> {
    let spec = &pools.first()?.spec;
    let barred = pools.iter().find_map(|pool| pool.state.barred.load_full());
    let mut row = ShardRow {
        database: spec.database.clone(),
        shard: spec.shard,
        host: spec.host.clone(),
        port: spec.port,
        server_database: spec.server_database.clone(),
        pool: if barred.is_some() { "barred" } else { pool_state(pools) },
        identity: "wrong",
        reason: barred.as_ref().map(|barred| barred.message.clone()),
        ..ShardRow::default()
    };
    let Some(cluster) = clusters.get(&spec.database) else { return Some(row) };
    let slots = cluster.topology.slots();
    row.map_version = slots.version();
    row.slots = slots.map().iter().filter(|shard| **shard == spec.shard).count() as u64;
    row.cluster = cluster.topology.cluster().map(|(id, _)| KeyValue::Uuid(*id).to_string().chars().take(CLUSTER_SHOWN).collect());
    match &cluster.state {
        State::Asking => row.identity = "asking",
        State::Wrong(why) => row.reason = Some(why.clone()),
        State::Known(schema) => {
            let (tables, sharded) = schema.count(&cluster.topology);
            (row.tables, row.sharded_tables) = (Some(tables as u64), Some(sharded as u64));
            let misled = barred.is_some_and(|barred| barred.code == "58000");
            row.identity = match (misled, cluster.topology.cluster()) {
                (true, _) => "wrong",
                (false, Some(_)) => "known",
                (false, None) => "unchecked",
            };
        }
    }
    Some(row)
}

fn pool_state(pools: &[&SharedPool]) -> &'static str {
    let ledgers = || pools.iter().map(|pool| &pool.state.ledger);
    match () {
        () if ledgers().any(|ledger| ledger.retry_at() != 0) => "down",
        () if ledgers().all(|ledger| ledger.paused()) => "paused",
        () if ledgers().any(|ledger| ledger.open() > 0) => "open",
        () => "unused",
    }
}

/// By database.
pub(super) fn drift(clusters: &Clusters) -> Vec<DriftRow> {
    let mut rows = Vec::new();
    let sorted: BTreeMap<&String, &Arc<Cluster>> = clusters.iter().collect();
    for (database, cluster) in sorted {
        let State::Known(schema) = &cluster.state else { continue };
        rows.extend(schema.drift.lines.iter().map(|line| DriftRow {
            database: database.clone(),
            shard: line.shard,
            table: line.table.clone(),
            what: line.what,
            detail: line.detail.clone(),
        }));
    }
    rows
}
