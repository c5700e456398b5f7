//! What a reload or a SET changes, in words for the log and for the operator.
//! Invariant: no line holds a secret: of passwords only that they differ is told. Bounded, whatever the sizes of the two configurations.

use std::fmt::Display;

use super::problem::printed;
use super::shown::needs_restart;
use super::snapshot::{PoolSpec, Snapshot};

/// Most lines; the rest is counted.
pub const CHANGES_MAX: usize = 100;

/// What differs, one line per setting and pool: settings first, then pools in the new order, then pools that go. Empty: nothing does.
pub fn changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Lines::default();
    let fixed = needs_restart(old, new);
    for ((name, before), (_, now)) in old.shown.iter().zip(&new.shown).filter(|(old, new)| old != new) {
        let when = if fixed.contains(name) { " (at the next start)" } else { "" };
        lines.push(|| format!("{name}: {} -> {}{when}", printed(before), printed(now)));
    }
    if (&old.admin.database, &old.admin.user) != (&new.admin.database, &new.admin.user) {
        lines.push(|| format!("admin database: {}", step(login(&old.admin.database, &old.admin.user), login(&new.admin.database, &new.admin.user))));
    }
    // A password that nobody set is random, and another one each time.
    if old.admin.is_set && new.admin.is_set && old.admin.password != new.admin.password {
        lines.push(|| "admin database: another password".to_owned());
    }
    for sharded in &new.sharded {
        match old.sharded.iter().find(|before| before.database == sharded.database) {
            Some(before) if before == sharded => {}
            Some(before) if before.shards != sharded.shards => {
                lines.push(|| format!("database {}: shards {}", printed(&sharded.database), step(before.shards, sharded.shards)));
            }
            Some(_) | None => lines.push(|| format!("database {}: other rules for its shards", printed(&sharded.database))),
        }
    }
    for before in old.sharded.iter().filter(|before| new.sharded.iter().all(|sharded| sharded.database != before.database)) {
        lines.push(|| format!("database {}: no shards or rules", printed(&before.database)));
    }
    for pool in &new.pools {
        match old.pool_of_shard(&pool.database, &pool.user, pool.shard) {
            None => lines.push(|| format!("pool {}: new, on {}:{}", name(pool), printed(&pool.host), pool.port)),
            Some(before) if before != pool => lines.push(|| format!("pool {}: {}", name(pool), differences(before, pool).join(", "))),
            Some(_) => {}
        }
    }
    for pool in old.pools.iter().filter(|pool| new.pool_of_shard(&pool.database, &pool.user, pool.shard).is_none()) {
        lines.push(|| format!("pool {}: gone", name(pool)));
    }
    lines.done()
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    more: usize,
}

impl Lines {
    fn push(&mut self, line: impl FnOnce() -> String) {
        if self.lines.len() < CHANGES_MAX {
            self.lines.push(line());
        } else {
            self.more += 1;
        }
    }

    fn done(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more", self.more));
        }
        self.lines
    }
}

fn login(database: &str, user: &str) -> String {
    format!("{} of {}", printed(user), printed(database))
}

fn name(pool: &PoolSpec) -> String {
    let shard = if pool.shards > 1 || pool.shard > 0 { format!(" shard {}", pool.shard) } else { String::new() };
    login(&pool.database, &pool.user) + &shard
}

fn step(old: impl Display, new: impl Display) -> String {
    format!("{old} -> {new}")
}

/// What differs between two pools of one name.
fn differences(old: &PoolSpec, new: &PoolSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, differs: bool, values: String| {
        if differs {
            found.push(if values.is_empty() { format!("another {what}") } else { format!("{what} {values}") });
        }
    };
    let server = |pool: &PoolSpec| format!("{}:{}/{}", printed(&pool.host), pool.port, printed(&pool.server_database));
    differ("server", server(old) != server(new), step(server(old), server(new)));
    differ("user on the server", old.server_user != new.server_user, step(printed(&old.server_user), printed(&new.server_user)));
    differ("password on the server", old.server_passwords != new.server_passwords, String::new());
    differ("password of the client", old.client != new.client, String::new());
    let parameters = |pool: &PoolSpec| pool.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    differ("parameters", old.parameters != new.parameters, format!("[{}] -> [{}]", parameters(old), parameters(new)));
    differ("pool_size", old.pool_size != new.pool_size, step(old.pool_size, new.pool_size));
    differ("min_pool_size", old.min_pool_size != new.min_pool_size, step(old.min_pool_size, new.min_pool_size));
    differ("pooler_mode", old.mode != new.mode, step(old.mode, new.mode));
    let times = |pool: &PoolSpec| [pool.idle_timeout, pool.server_lifetime, pool.server_lifetime_jitter];
    for ((name, old), new) in ["idle_timeout", "server_lifetime", "server_lifetime_jitter"].into_iter().zip(times(old)).zip(times(new)) {
        differ(name, old != new, step(format!("{}ms", old.as_millis()), format!("{}ms", new.as_millis())));
    }
    differ("cross_shard_disabled", old.one_shard != new.one_shard, step(old.one_shard, new.one_shard));
    if old.limits != new.limits {
        found.push("limits changed".to_owned());
    }
    if found.is_empty() {
        found.push("changed".to_owned());
    }
    found
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
