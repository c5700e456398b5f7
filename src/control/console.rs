//! Commands of the admin console: what SHOW shows is gathered and printed here, what acts is done by `operate` and `reload`.

use std::collections::{BTreeMap, HashMap};

use crate::admin::console::{Command, Show, parse};
use crate::admin::counts::Tally;
use crate::admin::report::{DatabaseRow, HostRow, PoolRow, PreparedRow, Report, UserRow};
use crate::admin::show;
use crate::mail::{Asker, Mail, Published};
use crate::session::statements::{Library, Listed};

use super::cores::Cores;
use super::reload::By;
use super::run::Control;
use super::sights;

/// A SHOW that waits for the data cores' rows.
pub struct Asked {
    pub asker: Asker,
    pub command: Command,
    pub report: Report,
    pub missing: usize,
}

/// SHOWs that may be gathered at once, and orders that may be carried out.
pub(super) const ASKED_MAX: usize = 1024;

/// Statements that are shown.
const PREPARED_MAX: usize = 10_000;

pub(super) fn answer(asker: Asker, bytes: Vec<u8>, cores: &mut Cores) {
    cores.post(asker.core, Mail::Answer { slot: asker.slot, generation: asker.generation, bytes });
}

impl Control {
    /// One command of one admin client; it gets exactly one answer.
    pub(super) fn command(&mut self, asker: Asker, text: &str, cores: &mut Cores) {
        let mut bytes = Vec::new();
        let command = match parse(text.as_bytes()) {
            Ok(command) => command,
            Err(refusal) => {
                show::error(&refusal, &mut bytes);
                return answer(asker, bytes, cores);
            }
        };
        match command {
            Command::Show(..) if self.asked.len() >= ASKED_MAX => show::failed("53000", "too many SHOW commands at once; retry", &mut bytes),
            Command::Show(..) => return self.gather(asker, command, cores),
            Command::Reload => return self.want_reload(By::Reload, Some(asker)),
            Command::Configure { key, value } => return self.want_set(key, value, asker),
            Command::ResetPrepared => {
                let gone = self.shared.library.sweep();
                tracing::info!(gone, "prepared statements that no client has are forgotten");
                show::done(command.tag(), &mut bytes);
            }
            Command::Set { .. } | Command::Empty => show::answer(&Report::default(), &command, &mut bytes),
            acting => match self.operate(&acting, asker, cores) {
                Ok(()) => return,
                Err((code, message)) => show::failed(code, &message, &mut bytes),
            },
        }
        answer(asker, bytes, cores);
    }

    fn gather(&mut self, asker: Asker, command: Command, cores: &mut Cores) {
        let wants = match &command {
            Command::Show(Show::Table(def), _) => def.wants,
            _ => None,
        };
        let asked = Asked { asker, command, report: Report::default(), missing: cores.count() };
        let Some(wants) = wants else { return self.show(asked, cores) };
        let request = self.next_request;
        self.next_request += 1;
        self.asked.insert(request, asked);
        cores.post_all(|| Mail::Report { request, wants });
    }

    pub(super) fn show(&mut self, mut asked: Asked, cores: &mut Cores) {
        let published = self.shared.published.load();
        let report = &mut asked.report;
        report.stats = self.metrics.stats();
        report.config = published.snapshot.shown.clone();
        report.memory.extend(&self.fixed);
        report.version = format!("pg_dog {}", env!("CARGO_PKG_VERSION"));
        report.instance_id = self.instance_id.clone();
        let name = match &asked.command {
            Command::Show(Show::Table(def), _) => def.name,
            _ => "",
        };
        // Each of these looks at every pool; only who asks for it pays.
        match name {
            "databases" | "lists" => report.databases = self.databases(&published),
            "users" => report.users = users(&published),
            "prepared" => report.prepared = prepared(&self.shared.library),
            "shards" => report.shards = sights::shards(&published, &self.shared.clusters.load()),
            "schema drift" => report.drift = sights::drift(&self.shared.clusters.load()),
            "transactions" => report.transactions.extend(self.metrics.recovered.rows()),
            "listeners" => report.listeners = self.metrics.topics.rows(),
            "dns_hosts" => report.hosts = hosts(&published),
            "state" => report.state = self.state(&published),
            "pools" => add_counts(&published, &mut report.pools),
            _ => {}
        }
        // The console itself is the last of the databases, and not counted.
        report.lists.databases = report.databases.len().saturating_sub(1) as u64;
        report.lists.users = published.pools.len() as u64;
        report.lists.pools = published.pools.len() as u64;
        let mut bytes = Vec::new();
        show::answer(report, &asked.command, &mut bytes);
        answer(asked.asker, bytes, cores);
    }

    /// By name, and the console last.
    fn databases(&self, published: &Published) -> Vec<DatabaseRow> {
        let mut rows: BTreeMap<&str, DatabaseRow> = BTreeMap::new();
        for pool in &published.pools {
            let spec = &pool.spec;
            let paused = self.standing.paused.says(&spec.user, &spec.database) || self.standing.held.says(&spec.user, &spec.database);
            let row = rows.entry(&spec.database).or_insert_with(|| DatabaseRow {
                name: spec.database.clone(),
                host: Some(spec.host.clone()),
                port: spec.port,
                server_database: spec.server_database.clone(),
                force_user: (spec.server_user != spec.user).then(|| spec.server_user.clone()),
                mode: Some(spec.mode),
                paused: true,
                disabled: self.standing.disabled.contains(&spec.database),
                ..DatabaseRow::default()
            });
            row.pool_size = row.pool_size.max(spec.pool_size as u64);
            row.min_pool_size = row.min_pool_size.max(spec.min_pool_size as u64);
            row.mode = row.mode.filter(|mode| *mode == spec.mode);
            row.force_user = row.force_user.take().filter(|user| *user == spec.server_user);
            row.paused &= paused;
        }
        let admin = &published.snapshot.admin;
        let console = DatabaseRow {
            name: admin.database.clone(),
            port: published.snapshot.general.port,
            server_database: admin.database.clone(),
            force_user: Some(admin.user.clone()),
            ..DatabaseRow::default()
        };
        rows.into_values().chain([console]).collect()
    }

    /// What pg_dog as a whole is doing; the first three keys are PgBouncer's.
    fn state(&self, published: &Published) -> Vec<(&'static str, String)> {
        let yes = |holds: bool| if holds { "yes" } else { "no" }.to_string();
        let of = |words: &super::standing::Words| if words.all() || !words.any() { yes(words.all()) } else { "some".to_string() };
        let (paused, held) = (of(&self.standing.paused), of(&self.standing.held));
        let ending = self.ending.is_some() || self.closing();
        let disabled: Vec<&str> = self.standing.disabled.iter().map(String::as_str).collect();
        let set: Vec<&str> = self.reloads.overrides().iter().map(|(key, _)| key.as_str()).collect();
        let mut rows = vec![
            ("active", yes(paused != "yes" && held != "yes" && !self.standing.suspended && !ending)),
            ("paused", paused),
            ("suspended", yes(self.standing.suspended)),
            ("maintenance", held),
            ("shutting_down", yes(ending)),
            ("disabled", disabled.join(", ")),
            ("config_number", published.snapshot.number.to_string()),
            ("config_set", set.join(", ")),
            ("reloads", self.reloads.done.to_string()),
            ("reloads_failed", self.reloads.failed.to_string()),
        ];
        if let Some(last) = &self.reloads.last {
            rows.push(("last_reload", show::moment(last.wall_ms)));
            rows.push(("last_reload_by", last.by.to_string()));
            rows.push(("last_reload_result", last.result.clone()));
        }
        rows
    }
}

/// By name, the console's last.
fn users(published: &Published) -> Vec<UserRow> {
    let mut rows: BTreeMap<&str, UserRow> = BTreeMap::new();
    for pool in &published.pools {
        let (name, mode) = (&pool.spec.user, pool.spec.mode);
        let row = rows.entry(name).or_insert_with(|| UserRow { name: name.clone(), mode: Some(mode) });
        row.mode = row.mode.filter(|other| *other == mode);
    }
    let console = UserRow { name: published.snapshot.admin.user.clone(), mode: None };
    rows.into_values().chain([console]).collect()
}

/// By their numbers.
fn prepared(library: &Library) -> Vec<PreparedRow> {
    let row =
        |listed: Listed| PreparedRow { name: listed.name, statement: listed.text, used_by: listed.uses as u64, memory_used: listed.bytes as u64 };
    let mut rows: Vec<PreparedRow> = library.list(PREPARED_MAX).into_iter().map(row).collect();
    rows.sort_unstable_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    rows
}

/// Names of servers that have to be resolved.
fn hosts(published: &Published) -> Vec<HostRow> {
    let mut rows: BTreeMap<&str, HostRow> = BTreeMap::new();
    let named = |host: &str| host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('/');
    for pool in published.pools.iter().filter(|pool| named(&pool.spec.host)) {
        let address = pool.state.address.load().as_ref().map(|address| address.ip().to_string());
        rows.entry(&pool.spec.host).or_insert_with(|| HostRow { name: pool.spec.host.clone(), address });
    }
    rows.into_values().collect()
}

/// What pools have counted comes from all cores' tallies, also from cores where nothing of them is left; one that has ended everywhere is shown as
/// long as it is configured.
fn add_counts(published: &Published, rows: &mut Vec<PoolRow>) {
    let places: HashMap<u64, usize> = rows.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
    for pool in &published.pools {
        let Some(counts) = pool.state.tallies.counts() else { continue };
        let place = places.get(&u64::from(pool.id)).copied().unwrap_or(rows.len());
        if place == rows.len() {
            rows.push(PoolRow {
                id: u64::from(pool.id),
                database: pool.spec.database.clone(),
                user: pool.spec.user.clone(),
                addr: pool.spec.host.clone(),
                port: pool.spec.port,
                shard: u32::from(pool.spec.shard),
                mode: pool.spec.mode,
                paused: pool.state.ledger.paused(),
                healthy: pool.state.ledger.retry_at() == 0,
                ..PoolRow::default()
            });
        }
        let sum = |number: fn(&Tally) -> u64| pool.state.tallies.iter().map(number).sum();
        let row = &mut rows[place];
        row.errors = counts.errors;
        row.re_synced = sum(|tally| tally.re_synced.get());
        row.out_of_sync = sum(|tally| tally.out_of_sync.get());
        row.force_closed = sum(|tally| tally.force_closed.get());
    }
}
