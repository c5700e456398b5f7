//! Real clients, real drivers and hostile bytes, through a real pg_dog to real PostgreSQLs (the operating system's and the newest). Two data
//! cores, and fewer servers than clients. Every test asserts values, not only that nothing failed; nothing waits for time to pass.
#![allow(clippy::disallowed_methods, reason = "tests run on real machines with a real clock, and read it to measure")]

mod support;

#[path = "clients/admin.rs"]
mod admin;
#[path = "clients/auth.rs"]
mod auth;
#[path = "clients/bank.rs"]
mod bank;
#[path = "clients/bounds.rs"]
mod bounds;
#[path = "clients/cancel.rs"]
mod cancel;
#[path = "clients/checkout.rs"]
mod checkout;
#[path = "clients/copied.rs"]
mod copied;
#[path = "clients/corners.rs"]
mod corners;
#[path = "clients/drivers.rs"]
mod drivers;
#[path = "clients/dump.rs"]
mod dump;
#[path = "clients/faults.rs"]
mod faults;
#[path = "clients/full.rs"]
mod full;
#[path = "clients/gauge.rs"]
mod gauge;
#[path = "clients/gucs.rs"]
mod gucs;
#[path = "clients/hostile.rs"]
mod hostile;
#[path = "clients/house.rs"]
mod house;
#[path = "clients/large.rs"]
mod large;
#[path = "clients/large_sql.rs"]
mod large_sql;
#[path = "clients/leftovers.rs"]
mod leftovers;
#[path = "clients/lifetimes.rs"]
mod lifetimes;
#[path = "clients/limits.rs"]
mod limits;
#[path = "clients/messenger.rs"]
mod messenger;
#[path = "clients/metrics.rs"]
mod metrics;
#[path = "clients/network.rs"]
mod network;
#[path = "clients/notify.rs"]
mod notify;
#[path = "clients/operate.rs"]
mod operate;
#[path = "clients/outage.rs"]
mod outage;
#[path = "clients/over.rs"]
mod over;
#[path = "clients/over_cursors.rs"]
mod over_cursors;
#[path = "clients/over_limits.rs"]
mod over_limits;
#[path = "clients/over_texts.rs"]
mod over_texts;
#[path = "clients/placement.rs"]
mod placement;
#[path = "clients/portals.rs"]
mod portals;
#[path = "clients/prepared.rs"]
mod prepared;
#[path = "clients/pressure.rs"]
mod pressure;
#[path = "clients/programs.rs"]
mod programs;
#[path = "clients/quoting.rs"]
mod quoting;
#[path = "clients/recovery.rs"]
mod recovery;
#[path = "clients/regress.rs"]
mod regress;
#[path = "clients/reload.rs"]
mod reload;
#[path = "clients/replicate.rs"]
mod replicate;
#[path = "clients/replication.rs"]
mod replication;
#[path = "clients/rust_driver.rs"]
mod rust_driver;
#[path = "clients/settings.rs"]
mod settings;
#[path = "clients/shard_equality.rs"]
mod shard_equality;
#[path = "clients/shard_explain.rs"]
mod shard_explain;
#[path = "clients/shard_prepared.rs"]
mod shard_prepared;
#[path = "clients/shard_schema.rs"]
mod shard_schema;
#[path = "clients/shard_servers.rs"]
mod shard_servers;
#[path = "clients/sharding_hash.rs"]
mod sharding_hash;
#[path = "clients/sharding_identity.rs"]
mod sharding_identity;
#[path = "clients/shards.rs"]
mod shards;
#[path = "clients/shutdown.rs"]
mod shutdown;
#[path = "clients/soak.rs"]
mod soak;
#[path = "clients/start.rs"]
mod start;
#[path = "clients/state.rs"]
mod state;
#[path = "clients/statements.rs"]
mod statements;
#[path = "clients/step.rs"]
mod step;
#[path = "clients/storm.rs"]
mod storm;
#[path = "clients/twins.rs"]
mod twins;
#[path = "clients/vanish.rs"]
mod vanish;
#[path = "clients/versions.rs"]
mod versions;
