//! The pools: which users there are of which databases, each with its server, its secrets and its limits.
//! Invariant: one pool per user, database and shard, those of one database side by side in the order of their shards; and of several words on
//! one thing the nearest counts: the user's, then the database's, then that of `[general]`; only the login at the server goes the other way
//! round. An entry that names one database beats one with a list, and that one with all of them. What a secret proves is left to
//! `auth`; that a server answers, to the engine.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Block;
use super::hash;
use super::limits::Limits;
use super::problem::{At, Findings, What, printed};
use super::sharded::SHARDS_MAX;
use super::snapshot::{Admin, AuthType, ClientSecrets, Hash, PoolSpec, PoolerMode};

/// Passwords of one user, at most: each is a PBKDF2 when the user's verifier is made, and a login at a server that refuses it.
pub const PASSWORDS_MAX: usize = 16;

/// How an entry names its databases; the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    All,
    List,
    One,
}

/// Who claims a name (database, user), and where.
struct Claim<'b> {
    naming: Naming,
    user: &'b Block,
}

/// The pools while they are put together: one per user and its database.
pub(super) struct Pools<'b> {
    general: &'b Block,
    auth: AuthType,
    /// in the order of the file; the servers of each, by shard
    databases: Vec<(&'b str, Vec<(usize, &'b Block)>)>,
    by_database: HashMap<&'b str, usize>,
    claims: HashMap<(usize, &'b str), Claim<'b>>,
    pools: Vec<PoolSpec>,
}

/// Pools and by database and user the index of each, of the first shard's where there are several.
pub(super) type Built = (Vec<PoolSpec>, HashMap<(String, String), usize>);

/// What all pools of one entry of `[[users]]` share.
struct Login {
    client: Arc<ClientSecrets>,
    /// where neither the database nor `server_password` says another
    server_passwords: Arc<[String]>,
}

impl<'b> Pools<'b> {
    pub(super) fn build(general: &'b Block, auth: AuthType, admin: &Admin, blocks: &'b [Block], findings: &mut Findings) -> Built {
        let (databases, by_database, claims, pools) = Default::default();
        let mut this = Pools { general, auth, databases, by_database, claims, pools };
        let named = |name: &'static str| blocks.iter().filter(move |block| block.section.name == name);
        for block in named("databases") {
            this.database(block, admin, findings);
        }
        for (_, servers) in &mut this.databases {
            // Whether one is missing is looked at where their keys are (`sharding`).
            servers.sort_by_key(|(shard, _)| *shard);
            servers.truncate(SHARDS_MAX);
        }
        let users: Vec<(&Block, Naming, Vec<usize>)> = named("users").filter_map(|block| this.claims(block, findings)).collect();
        for (block, naming, databases) in &users {
            this.user(block, *naming, databases, findings);
        }
        let firsts = this.pools.iter().enumerate().filter(|(_, pool)| pool.shard == 0);
        let by_name = firsts.map(|(index, pool)| ((pool.database.clone(), pool.user.clone()), index)).collect();
        (this.pools, by_name)
    }

    fn database(&mut self, block: &'b Block, admin: &Admin, findings: &mut Findings) {
        let Some(name) = block.words("name") else { return };
        if name == admin.database {
            findings.warn(block.at, format!("[[databases]]: \"{}\" is the name of the admin database, which hides this one", printed(name)));
        }
        let index = *self.by_database.entry(name).or_insert_with(|| {
            self.databases.push((name, Vec::new()));
            self.databases.len() - 1
        });
        let shard = block.unsigned("shard").unwrap_or_default();
        let servers = &mut self.databases[index].1;
        match servers.iter().find(|(known, _)| *known == shard).map(|(_, first)| *first) {
            None => servers.push((shard, block)),
            Some(first) if first.says_what(block) => {
                findings.warn(block.at, format!("[[databases]]: \"{}\" is the same as {}", printed(name), first.at.other()));
            }
            Some(first) => findings.problem(block.at, What::SecondServer { database: printed(name), shard, first: first.at.other() }),
        }
    }

    /// The databases that an entry names, claimed where nobody has done so with more right.
    fn claims(&mut self, block: &'b Block, findings: &mut Findings) -> Option<(&'b Block, Naming, Vec<usize>)> {
        let name = block.words("name")?;
        let (naming, databases) = self.named(name, block, findings)?;
        for &database in &databases {
            let claim = Claim { naming, user: block };
            match self.claims.get(&(database, name)) {
                Some(first) if first.naming == naming => {
                    let (user, database) = (printed(name), printed(self.databases[database].0));
                    findings.problem(block.at, What::SecondUser { user, database, first: first.user.at.other() });
                    return None;
                }
                Some(first) if first.naming > naming => {}
                _ => _ = self.claims.insert((database, name), claim),
            }
        }
        Some((block, naming, databases))
    }

    fn named(&self, name: &str, block: &Block, findings: &mut Findings) -> Option<(Naming, Vec<usize>)> {
        let (one, list) = (block.words("database"), block.texts("databases"));
        let who = || format!("[[users]]: \"{}\"", printed(name));
        if block.flag("all_databases") {
            if one.is_some() || !list.is_empty() {
                findings.warn(block.at, format!("{} has `all_databases`, so its `database` and `databases` change nothing", who()));
            }
            return Some((Naming::All, (0..self.databases.len()).collect()));
        }
        if one.is_some() && !list.is_empty() {
            findings.warn(block.at, format!("{} has `database`, so its `databases` change nothing", who()));
        }
        let (naming, names) = one.map_or((Naming::List, list), |one| (Naming::One, vec![one]));
        if names.is_empty() {
            findings.warn(block.at, format!("{} has no `database`, so it cannot log in", who()));
            return None;
        }
        let mut known = Vec::with_capacity(names.len());
        for database in names {
            match self.by_database.get(database) {
                Some(index) => known.push(*index),
                None => findings.warn(block.at, format!("{} has the unknown database \"{}\", so it cannot log in", who(), printed(database))),
            }
        }
        known.sort_unstable();
        known.dedup();
        (!known.is_empty()).then_some((naming, known))
    }

    fn user(&mut self, user: &'b Block, naming: Naming, databases: &[usize], findings: &mut Findings) {
        let Some(name) = user.words("name") else { return };
        let own = |database: &&usize| self.claims.get(&(**database, name)).is_some_and(|claim| claim.naming == naming);
        let databases: Vec<usize> = databases.iter().filter(own).copied().collect();
        let Some(&first) = databases.first() else { return };
        let who = match naming {
            Naming::One => format!("[[users]]: \"{}\" of \"{}\"", printed(name), printed(self.databases[first].0)),
            Naming::List | Naming::All => format!("[[users]]: \"{}\"", printed(name)),
        };
        let Some(login) = self.login(user, &who, findings) else { return };
        let mut told = Told::default();
        for database in databases {
            for shard in 0..self.databases[database].1.len() {
                let pool = self.pool(name, (database, shard), user, &login, &mut told);
                self.pools.push(pool);
            }
        }
        told.warn(user.at, &who, findings);
    }

    /// The user's secrets. None: they cannot be used, which has been reported.
    fn login(&self, user: &Block, who: &str, findings: &mut Findings) -> Option<Login> {
        let mut passwords: Vec<String> = Vec::new();
        for password in user.texts("passwords").into_iter().chain(user.words("password")) {
            if !passwords.iter().any(|known| known == password) {
                passwords.push(password.to_owned());
            }
        }
        if passwords.len() > PASSWORDS_MAX {
            let user_name = user.words("name").map(printed).unwrap_or_default();
            findings.problem(user.at, What::Passwords { user: user_name, passwords: passwords.len(), limit: PASSWORDS_MAX });
            return None;
        }
        let written = user.words("password_hash");
        let hash = match written.map(|text| hash::parsed(text).ok_or(text)) {
            None => None,
            Some(Ok(hash)) => self.usable(hash, user.at, who, findings),
            Some(Err(_)) => {
                let name = user.words("name").map(printed).unwrap_or_default();
                findings.problem(user.at, What::Hash { user: name, iterations: hash::MAX_ITERATIONS });
                return None;
            }
        };
        let server_passwords = user.words("server_password").map_or_else(|| passwords.clone(), |one| vec![one.to_owned()]);
        if written.is_some() && server_passwords.is_empty() {
            findings
                .warn(user.at, format!("{who} has a `password_hash` and no `server_password`: only a server that asks for no password lets it in"));
        }
        let client = ClientSecrets { passwords, hash };
        if client.is_empty() && self.auth != AuthType::Trust {
            findings.warn(user.at, format!("{who} has no password, so it cannot log in"));
        }
        Some(Login { client: Arc::new(client), server_passwords: server_passwords.into() })
    }

    /// A hash can prove only what it was made for, and whatever is sent in clear.
    fn usable(&self, hash: Hash, at: At, who: &str, findings: &mut Findings) -> Option<Hash> {
        let (form, way) = match (&hash, self.auth) {
            (Hash::Md5(_), AuthType::Scram) => ("an md5 one", "scram"),
            (Hash::Scram(_), AuthType::Md5) => ("a SCRAM one", "md5"),
            _ => return Some(hash),
        };
        let what = format!("its `password_hash` is {form}, which cannot check a login by {way}: change the hash, or `auth_type` in [general]");
        findings.warn(at, format!("{who} cannot log in with the password of its hash: {what}"));
        None
    }

    fn pool(&self, name: &str, (database, shard): (usize, usize), user: &Block, login: &Login, told: &mut Told) -> PoolSpec {
        let (database, servers) = &self.databases[database];
        let (database, server) = (*database, servers[shard].1);
        let server_passwords = server.owned("password").map_or_else(|| login.server_passwords.clone(), |one| Arc::new([one]));
        // A shard has one server, which is the primary, so its own word counts before the one for all of them.
        let size = |[primary, any]: [&str; 2]| {
            let of = |block: &Block| block.unsigned(primary).or_else(|| block.unsigned::<usize>(any));
            of(user).or_else(|| of(server))
        };
        let pool_size = size(["pool_size_primary", "pool_size"]).or_else(|| self.general.unsigned("default_pool_size")).unwrap_or(1).max(1);
        let replicates = user.flag("replication_mode");
        let least = size(["min_pool_size_primary", "min_pool_size"]).or_else(|| self.general.unsigned("min_pool_size")).unwrap_or_default();
        let time = |key| user.millis(key).or_else(|| server.millis(key)).or_else(|| self.general.millis(key)).unwrap_or_default();
        let idle = |block: &Block| block.millis("idle_timeout_primary").or_else(|| block.millis("idle_timeout"));
        PoolSpec {
            database: database.to_owned(),
            user: name.to_owned(),
            // Bounded by `SHARDS_MAX`.
            shard: shard as u16,
            shards: servers.len() as u16,
            host: server.owned("host").unwrap_or_default(),
            port: server.unsigned("port").unwrap_or_default(),
            server_database: server.owned("database_name").unwrap_or_else(|| database.to_owned()),
            server_user: server.owned("user").or_else(|| user.owned("server_user")).unwrap_or_else(|| name.to_owned()),
            client: login.client.clone(),
            parameters: parameters(user, server),
            pool_size,
            // Nobody there could use a connection that was opened before he came.
            min_pool_size: if replicates { 0 } else { told.least(least, pool_size, !server_passwords.is_empty()) },
            server_passwords,
            mode: user
                .mode("pooler_mode")
                .or_else(|| server.mode("pooler_mode"))
                .or_else(|| self.general.mode("pooler_mode"))
                .unwrap_or(PoolerMode::Transaction),
            idle_timeout: idle(user).or_else(|| idle(server)).unwrap_or_else(|| time("idle_timeout")),
            server_lifetime: time("server_lifetime"),
            server_lifetime_jitter: time("server_lifetime_jitter"),
            warm: [user, server, self.general]
                .iter()
                .any(|block| block.entries.contains_key("min_pool_size") || block.entries.contains_key("min_pool_size_primary")),
            limits: Limits::of(user, server, self.general),
            one_shard: one_shard(user, servers).unwrap_or_else(|| self.general.flag("cross_shard_disabled")),
            replicates,
        }
    }
}

/// What a user, or else any of the servers of its database, says of requests over shards: they are all one database.
fn one_shard(user: &Block, servers: &[(usize, &Block)]) -> Option<bool> {
    let of = |block: &Block| block.said("cross_shard_disabled");
    of(user).or_else(|| servers.iter().filter_map(|(_, server)| of(server)).reduce(|one, other| one || other))
}

/// What sessions on the server begin with. A client's own word in its startup packet or a SET is stronger, for that client.
fn parameters(user: &Block, server: &Block) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    for name in ["statement_timeout", "lock_timeout"] {
        if let Some(ms) = user.number(name).or_else(|| server.number(name)) {
            parameters.push((name, ms.to_string()));
        }
    }
    if let Some(read_only) = user.said("read_only").or_else(|| server.said("read_only")) {
        // Where nobody asked for it the server's own default stays.
        if read_only || server.flag("read_only") {
            parameters.push(("default_transaction_read_only", if read_only { "on" } else { "off" }.to_owned()));
        }
    }
    parameters
}

/// What is said once about all pools of one entry.
#[derive(Default)]
struct Told {
    /// min_pool_size of the first pool that has no password for its server, and how many there are
    bare: Option<(usize, usize)>,
    /// (min_pool_size, pool_size) of the first pool whose minimum is cut, and how many there are
    cut: Option<((usize, usize), usize)>,
}

impl Told {
    /// The minimum that holds.
    fn least(&mut self, least: usize, size: usize, has_password: bool) -> usize {
        if least > 0 && !has_password {
            self.bare.get_or_insert((least, 0)).1 += 1;
            return 0;
        }
        if least > size {
            self.cut.get_or_insert(((least, size), 0)).1 += 1;
        }
        least.min(size)
    }

    fn warn(self, at: At, who: &str, findings: &mut Findings) {
        let times = |pools: usize| if pools > 1 { format!(" ({pools} pools)") } else { String::new() };
        if let Some((least, pools)) = self.bare {
            let more = times(pools);
            findings.warn(at, format!("{who} has no password for the server, so its min_pool_size is 0 instead of {least}{more}"));
        }
        if let Some(((least, size), pools)) = self.cut {
            let more = times(pools);
            findings.warn(at, format!("{who} has a min_pool_size of {least}, which is cut to its pool_size of {size}{more}"));
        }
    }
}

#[cfg(test)]
#[path = "pools_tests.rs"]
mod tests;
