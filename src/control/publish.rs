//! From files to what the data cores use: reads and checks the configuration, and puts behind each pool what lives longer than a snapshot. A pool
//! whose server and server login are the same keeps its number, its connections and its keys; anything else is a new pool.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::snapshot::{PoolSpec, Snapshot};
use crate::config::{Inputs, Line, Loaded, Problem, Source, load};
use crate::mail::{PoolState, Published, Quota, SharedPool};
use crate::pool::ledger::{Gate, Ledger};

/// The text of both files. One that is not there is None: defaults and a warning.
#[derive(Default)]
pub struct Texts {
    main: Option<String>,
    users: Option<String>,
}

/// Reads both files.
pub fn read_texts(files: &Files) -> Result<Texts, Vec<String>> {
    match (read(&files.config), read(&files.users)) {
        (Ok(main), Ok(users)) => Ok(Texts { main, users }),
        (main, users) => Err([main.err(), users.err()].into_iter().flatten().collect()),
    }
}

/// Checks both texts together with the environment, the command line and `overrides` (what was SET in the admin database: key of `[general]` and
/// value, the last word on it).
pub fn load_texts(files: &Files, texts: &Texts, overrides: &[(String, String)], random: [u8; 16], number: u64) -> Result<Loaded, Vec<String>> {
    let (main_name, users_name) = (files.config.display().to_string(), files.users.display().to_string());
    let main = texts.main.as_deref().map(|text| Source { name: &main_name, text });
    let users = texts.users.as_deref().map(|text| Source { name: &users_name, text });
    let env = |name: &str| std::env::var(name).ok();
    let inputs = Inputs { main, users, env: &env, line: &files.line, overrides, cpus: files.cpus, random, number };
    load(&inputs).map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

/// Reads both files and checks them.
pub fn read_files(files: &Files, overrides: &[(String, String)], random: [u8; 16], number: u64) -> Result<Loaded, Vec<String>> {
    load_texts(files, &read_texts(files)?, overrides, random, number)
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
    }
}

/// Builds what is published; gives pools their numbers.
#[derive(Default)]
pub struct Publisher {
    next_pool: AtomicU32,
}

impl Publisher {
    /// Puts `snapshot` on top of what was published before. Server names that are new are resolved, which may take a while.
    pub fn build(&self, snapshot: Snapshot, before: Option<&Published>) -> Published {
        let cores = snapshot.general.workers;
        let mut resolved = HashMap::new();
        let known: HashMap<_, &Arc<SharedPool>> = before.iter().flat_map(|before| before.pools.iter()).map(|pool| (name(&pool.spec), pool)).collect();
        let mut pools = Vec::with_capacity(snapshot.pools.len());
        // One gate per server, for pools of before and new ones alike.
        let mut gates: HashMap<(String, u16), Arc<Gate>> = HashMap::new();
        for pool in before.iter().flat_map(|before| before.pools.iter()) {
            gates.entry((pool.spec.host.clone(), pool.spec.port)).or_insert_with(|| pool.state.ledger.gate().clone());
        }
        gates.values().for_each(|gate| gate.set_limit(snapshot.general.server_connects));
        let mut quotas = Quotas::of(before, &snapshot);
        for spec in &snapshot.pools {
            let old = known.get(&name(spec)).copied();
            let own = quotas.of_pool(spec);
            pools.push(match old {
                Some(old) if old.spec == *spec => old.clone(),
                Some(old) if same_server(&old.spec, spec) => Arc::new(kept(old, spec)),
                _ => {
                    let fresh = || Arc::new(Gate::new(snapshot.general.server_connects));
                    let gate = gates.entry((spec.host.clone(), spec.port)).or_insert_with(fresh).clone();
                    Arc::new(self.fresh(spec, cores, gate, own, &mut resolved))
                }
            });
        }
        let same_admin = before.filter(|before| {
            let (old, new) = (&before.snapshot.admin, &snapshot.admin);
            old.password == new.password && old.user == new.user
        });
        let admin_verifier = same_admin.map(|before| before.admin_verifier.clone()).unwrap_or_default();
        Published::new(snapshot, pools, admin_verifier)
    }

    fn fresh(
        &self,
        spec: &PoolSpec,
        cores: usize,
        gate: Arc<Gate>,
        quotas: [Arc<Quota>; 2],
        resolved: &mut HashMap<(String, u16), Option<SocketAddr>>,
    ) -> SharedPool {
        // A directory is the place of a Unix socket.
        let named = !spec.host.starts_with('/');
        let address = if named { *resolved.entry((spec.host.clone(), spec.port)).or_insert_with(|| resolve(&spec.host, spec.port)) } else { None };
        let ledger = Ledger::behind(gate, cores, spec.pool_size as u32).capped(quotas.each_ref().map(|quota| quota.servers.clone()));
        set_bounds(&ledger, spec);
        let state = PoolState::new(ledger, address);
        let id = self.next_pool.fetch_add(1, Ordering::Relaxed);
        SharedPool { quotas, ..SharedPool::new(id, spec.clone(), state) }
    }
}

/// What databases and users have together, by name: over reloads as long as one of their pools is configured.
struct Quotas(HashMap<(bool, String), Arc<Quota>>);

impl Quotas {
    /// Those of before, under the bounds of now. A user that stands in the file more than once has the smallest of its bounds.
    fn of(before: Option<&Published>, now: &Snapshot) -> Quotas {
        let mut known = HashMap::new();
        for pool in before.iter().flat_map(|before| before.pools.iter()) {
            let [database, user] = &pool.quotas;
            known.entry((true, pool.spec.database.clone())).or_insert_with(|| database.clone());
            known.entry((false, pool.spec.user.clone())).or_insert_with(|| user.clone());
        }
        let mut bounds: HashMap<(bool, &str), (u32, u32)> = HashMap::new();
        for spec in &now.pools {
            let limits = &spec.limits;
            for (key, servers, clients) in [
                ((true, spec.database.as_str()), limits.database_servers, limits.database_clients),
                ((false, spec.user.as_str()), limits.user_servers, limits.user_clients),
            ] {
                let bound = bounds.entry(key).or_insert((u32::MAX, u32::MAX));
                *bound = (bound.0.min(servers), bound.1.min(clients));
            }
        }
        for ((is_database, name), (servers, clients)) in bounds {
            let quota = known.entry((is_database, name.to_owned())).or_default();
            quota.servers.set_limit(servers);
            quota.clients.set_limit(clients);
        }
        Quotas(known)
    }

    fn of_pool(&mut self, spec: &PoolSpec) -> [Arc<Quota>; 2] {
        [(true, spec.database.clone()), (false, spec.user.clone())].map(|key| self.0.entry(key).or_default().clone())
    }
}

/// What a pool is known by over reloads.
fn name(spec: &PoolSpec) -> (&str, &str, u16) {
    (&spec.database, &spec.user, spec.shard)
}

/// What a ledger has to know of its pool's settings.
fn set_bounds(ledger: &Ledger, spec: &PoolSpec) {
    ledger.set_limit(spec.pool_size as u32);
    ledger.set_reserve(spec.limits.reserve);
    ledger.set_capped((spec.limits.database_servers, spec.limits.user_servers) != (u32::MAX, u32::MAX));
}

fn same_server(old: &PoolSpec, new: &PoolSpec) -> bool {
    (&old.host, old.port, &old.server_database, &old.server_user, &old.server_passwords, &old.parameters)
        == (&new.host, new.port, &new.server_database, &new.server_user, &new.server_passwords, &new.parameters)
}

/// The same pool under new settings.
fn kept(old: &SharedPool, spec: &PoolSpec) -> SharedPool {
    set_bounds(&old.state.ledger, spec);
    let verifier = if old.spec.client == spec.client { old.verifier.clone() } else { Arc::default() };
    SharedPool { id: old.id, spec: spec.clone(), state: old.state.clone(), verifier, quotas: old.quotas.clone() }
}

/// The first address of a name; IPv4 before IPv6, as servers on both usually listen on it. Logged when there is none.
pub fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => {
            let all: Vec<SocketAddr> = addresses.collect();
            all.iter().find(|address| address.is_ipv4()).or(all.first()).copied()
        }
        Err(error) => {
            tracing::error!(host, "the server's name cannot be resolved: {error}");
            None
        }
    }
}

/// Where the configuration comes from, for reloads as for the start.
#[derive(Clone, Default)]
pub struct Files {
    pub config: PathBuf,
    pub users: PathBuf,
    pub line: Line,
    /// CPUs that this process may use; 0 = not known. Asked at the start, before any thread is pinned.
    pub cpus: usize,
}

impl Files {
    /// For this process.
    pub fn new(config: PathBuf, users: PathBuf, line: Line) -> Files {
        Files { config, users, line, cpus: core_affinity::get_core_ids().map_or(0, |cpus| cpus.len()) }
    }
}
