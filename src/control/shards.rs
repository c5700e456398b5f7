//! Databases with shards, as the control core sees them: each is asked who its shards are and what its tables look like, at the start, after every
//! reload, and when its schema was changed; what comes of it is published, and until then nothing is routed there.
//!
//! Invariant: a database whose shards are not who they should be gets no traffic, and the reason names both sides. Asking goes on until it is
//! answered: a server that is down now may be right later, and what was known stays known meanwhile.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use glommio::Task;
use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::timer::Timer;

use crate::admin::console::Scope;
use crate::config::sharded::Sharded;
use crate::config::snapshot::Snapshot;
use crate::io::random::random;
use crate::mail::{Mail, Published, Shared, SharedPool};
use crate::route::cluster::{Cluster, Commits, State};
use crate::route::commit::{Gid, PREPARES};
use crate::route::drift::{Drift, FLAWS, Line, SHAPE, Seen, TYPES};
use crate::route::identity::{self, Found, IdentityError, Place, READ, Step, UNDO};
use crate::route::schema::{COLUMNS, FUNCTIONS, SETTINGS, Schema, at_home};
use crate::route::slots::SlotsError;
use crate::route::topology::Topology;
use crate::route::views::{self, VIEWS};

use super::cores::Cores;
use super::line::{Failure, LoggedIn, Rows, log_in, within};
use super::recovery::{Board, Recovered, Recovery};

/// Name of the connections in pg_stat_activity.
const NAME: &str = "pg_dog shards";
/// What is asked and answered has one encoding, whatever that of the database is.
const UTF8: (&str, &str) = ("client_encoding", "UTF8");
/// Pause before shards that could not be asked, or were not right, are asked again: at first, and at most; each is twice the last.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Between two questions about one schema: a migration of many statements is not followed by as many questions.
const TOGETHER: Duration = Duration::from_millis(200);
/// Steps of a cluster's beginning, at most: every shard has its identity written once, or loses a race for it.
const STEPS_PER_SHARD: usize = 4;

/// Shards of a dry run.
const IMAGINED: u16 = 64;

/// Numbers clusters over the whole process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The databases with shards that are being looked after.
#[derive(Default)]
pub struct Shards {
    /// of the configuration they are of
    number: u64,
    /// dropped with its database
    jobs: HashMap<String, Watched>,
    /// what is said to their recoveries
    boards: HashMap<String, Rc<Board>>,
}

/// One database that is being looked after.
struct Watched {
    _task: Task<()>,
    /// room for one: whoever asks while somebody has asked need not
    again: LocalSender<()>,
}

/// Every database with shards of a configuration, of which nothing is known yet; a database whose rules are the same keeps what is known of it.
pub fn unknown(published: &Published, before: &HashMap<String, Arc<Cluster>>) -> HashMap<String, Arc<Cluster>> {
    let snapshot = &published.snapshot;
    let sharded = snapshot.routed();
    let cluster = |sharded: &Sharded| {
        let state = match Topology::first(&imagined(sharded)) {
            Ok(topology) => return Some((sharded.database.clone(), asking(topology, snapshot, before.get(&sharded.database)))),
            Err(error @ (SlotsError::Shards { .. } | SlotsError::Length { .. } | SlotsError::NoShard { .. })) => error,
        };
        tracing::error!(database = sharded.database, "no map of keys: {state}");
        None
    };
    sharded.filter_map(cluster).collect()
}

/// A database with one server as it is looked at in a dry run: with so many shards that two keys are hardly ever on one.
fn imagined(sharded: &Sharded) -> Cow<'_, Sharded> {
    match sharded.shards {
        1 => Cow::Owned(Sharded { shards: IMAGINED, ..sharded.clone() }),
        _ => Cow::Borrowed(sharded),
    }
}

fn asking(topology: Topology, snapshot: &Snapshot, before: Option<&Arc<Cluster>>) -> Arc<Cluster> {
    let listed = snapshot.general.shard_local_functions.clone();
    let servers = servers(snapshot, topology.database());
    if let Some(before) = before
        && before.listed == listed
        && before.servers == servers
        && before.topology.facts() == topology.facts()
        && before.topology.shards() == topology.shards()
        && (before.topology.cluster().is_some() == (snapshot.general.shard_identity && before.servers.len() > 1)
            || !matches!(before.state, State::Known(_)))
    {
        return before.clone();
    }
    Arc::new(Cluster { topology, state: State::Asking, servers, listed, commits: Commits::default(), number: NEXT.fetch_add(1, Ordering::Relaxed) })
}

/// Where the shards of a database are.
fn servers(snapshot: &Snapshot, database: &str) -> Vec<String> {
    let pools = snapshot.pools.iter().filter(|pool| pool.database == database);
    let mut servers: Vec<String> = pools.map(|pool| format!("{:05} {}:{}/{}", pool.shard, pool.host, pool.port, pool.server_database)).collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

impl Shards {
    /// A configuration is in use: its databases are asked anew.
    pub fn apply(&mut self, shared: &Arc<Shared>, cores: &Cores, recovered: &Arc<Recovered>) {
        let published = shared.published.load_full();
        if std::mem::replace(&mut self.number, published.snapshot.number) == published.snapshot.number {
            return;
        }
        self.jobs.clear();
        for sharded in published.snapshot.routed() {
            let cores = Rc::new(RefCell::new(cores.clone()));
            let board = self.boards.entry(sharded.database.clone()).or_default().clone();
            let job = Job {
                inquiry: Inquiry { sharded: sharded.clone(), published: published.clone(), tells: true },
                shared: shared.clone(),
                cores,
                told: RefCell::default(),
                board,
                recovered: recovered.clone(),
                recovery: RefCell::default(),
            };
            let (again, wanted) = local_channel::new_bounded(1);
            self.jobs.insert(sharded.database.clone(), Watched { _task: glommio::spawn_local(job.run(wanted)), again });
        }
    }

    /// Databases of this scope are asked again.
    pub fn again(&self, scope: &Scope) {
        for (_, job) in self.jobs.iter().filter(|(database, _)| scope.database.as_ref().is_none_or(|named| named == *database)) {
            // Somebody has asked for it already, and it has not begun.
            let _ = job.again.try_send(());
        }
    }

    /// Somebody has changed the schema by way of this pool.
    pub fn altered(&self, pool: u32, shared: &Shared) {
        let published = shared.published.load();
        let pool = published.by_id.get(&pool).filter(|_| published.snapshot.general.reload_schema_on_ddl);
        if let Some(pool) = pool {
            self.again(&Scope::database(Some(pool.spec.database.clone())));
        }
    }

    /// A commit of one of them lost its coordinator. Where nobody looks after them, it is found by its age later.
    pub fn in_doubt(&self, database: &str, gid: Option<Gid>) {
        if let Some(board) = self.boards.get(database) {
            board.doubt(gid);
        }
    }
}

/// One database.
struct Job {
    inquiry: Inquiry,
    shared: Arc<Shared>,
    cores: Rc<RefCell<Cores>>,
    /// what has been logged of the schema
    told: RefCell<BTreeSet<Line>>,
    board: Rc<Board>,
    recovered: Arc<Recovered>,
    /// who finishes what others began, once the cluster of this id is known; ends with the job
    recovery: RefCell<Option<([u8; 16], Task<()>)>>,
}

/// How one database is asked.
pub(super) struct Inquiry {
    pub(super) sharded: Sharded,
    pub(super) published: Arc<Published>,
    /// shards that have not been told who they are, are told
    pub(super) tells: bool,
}

/// Why a database is not known.
pub(super) struct Trouble {
    pub(super) why: String,
    /// a shard is not what it should be; else it could not be asked
    wrong: bool,
}

impl Trouble {
    fn unasked(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), wrong: false }
    }
}

impl From<IdentityError> for Trouble {
    fn from(error: IdentityError) -> Trouble {
        Trouble { why: error.to_string(), wrong: !matches!(error, IdentityError::Server { .. }) }
    }
}

/// A connection to each shard, and how each is called in messages.
struct Asked {
    lines: Vec<LoggedIn>,
    places: Vec<String>,
    found: Vec<Found>,
}

impl Job {
    async fn run(self, wanted: LocalReceiver<()>) {
        loop {
            self.ask_until_answered().await;
            Timer::new(TOGETHER).await;
            if wanted.recv().await.is_none() {
                return;
            }
        }
    }

    async fn ask_until_answered(&self) {
        let (mut pause, mut told) = (PAUSE, None);
        loop {
            match self.inquiry.ask().await {
                Ok(cluster) => {
                    self.say(&cluster);
                    self.recover(cluster.commits.id);
                    return self.publish_news(cluster);
                }
                Err(Trouble { why, wrong }) => {
                    let known = self.known().is_some_and(|known| matches!(known.state, State::Known(_)));
                    if told.as_ref() == Some(&why) {
                    } else if self.inquiry.sharded.shards == 1 {
                        tracing::warn!(database = self.inquiry.sharded.database, "dry_run looks at no statement yet: {why}");
                    } else if known && !wrong {
                        tracing::warn!(
                            database = self.inquiry.sharded.database,
                            "the shards cannot be asked again, and what is known of them stays: {why}"
                        );
                    } else {
                        tracing::error!(database = self.inquiry.sharded.database, "the shards get no traffic: {why}");
                        self.recover(None);
                        self.wrong(&why);
                    }
                    told = Some(why);
                }
            }
            Timer::new(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// From here on what others left unfinished in this cluster is finished.
    fn recover(&self, id: Option<[u8; 16]>) {
        let mut recovery = self.recovery.borrow_mut();
        if recovery.as_ref().map(|(known, _)| *known) != id {
            *recovery = id.map(|id| {
                let (pools, database) = (self.inquiry.pools(), &self.inquiry.sharded.database);
                let new = Recovery::new(self.inquiry.published.clone(), database, id, pools, self.board.clone(), self.recovered.clone());
                (id, glommio::spawn_local(new.run()))
            });
        }
    }

    /// What is published of it.
    fn known(&self) -> Option<Arc<Cluster>> {
        self.shared.clusters.load().get(&self.inquiry.sharded.database).cloned()
    }

    fn say(&self, cluster: &Cluster) {
        let State::Known(schema) = &cluster.state else { return };
        let database = &self.inquiry.sharded.database;
        let (tables, sharded) = schema.count(&cluster.topology);
        match self.inquiry.sharded.shards {
            1 => tracing::info!(database, tables, sharded, "dry_run looks at the statements; SHOW QUERY_CACHE shows what it finds"),
            shards => tracing::info!(database, shards, tables, sharded, "the shards are who they should be"),
        }
        for complaint in schema.complaints(&cluster.topology) {
            tracing::warn!(database, "statements on this table are refused: {complaint}");
        }
        let new: BTreeSet<Line> = schema.drift.lines.iter().cloned().collect();
        let before = self.told.replace(new);
        for Line { shard, table, what, detail } in schema.drift.lines.iter().filter(|line| !before.contains(*line)) {
            tracing::warn!(database, shard, table, "SHOW SCHEMA DRIFT: {what}: {detail}");
        }
    }

    /// Publishes what differs from what is known: who routes by it begins anew.
    fn publish_news(&self, cluster: Cluster) {
        let same = self.known().is_some_and(|known| match (&known.state, &cluster.state) {
            (State::Known(before), State::Known(now)) => {
                before == now && known.commits == cluster.commits && known.topology.cluster() == cluster.topology.cluster()
            }
            _ => false,
        });
        if !same {
            self.publish(cluster);
        }
    }

    fn wrong(&self, why: &str) {
        let Ok(topology) = self.inquiry.topology() else { return };
        let listed = self.inquiry.published.snapshot.general.shard_local_functions.clone();
        let servers = servers(&self.inquiry.published.snapshot, &self.inquiry.sharded.database);
        let (state, commits) = (State::Wrong(why.to_owned()), Commits::default());
        self.publish(Cluster { topology, state, servers, listed, commits, number: NEXT.fetch_add(1, Ordering::Relaxed) });
    }

    fn publish(&self, cluster: Cluster) {
        let mut clusters = (**self.shared.clusters.load()).clone();
        clusters.insert(self.inquiry.sharded.database.clone(), Arc::new(cluster));
        self.shared.clusters.store(Arc::new(clusters));
        self.cores.borrow_mut().post_all(|| Mail::Published);
    }
}

impl Inquiry {
    /// Its rules, before its shards are asked.
    fn topology(&self) -> Result<Topology, SlotsError> {
        Topology::first(&imagined(&self.sharded))
    }

    /// What is known of it once all its shards have answered.
    pub(super) async fn ask(&self) -> Result<Cluster, Trouble> {
        let mut topology = self.topology().map_err(|error| Trouble::unasked(error.to_string()))?;
        let mut asked = self.connect().await?;
        // Of one server nothing can be taken for another, and in a dry run nothing is written.
        let checked = self.published.snapshot.general.shard_identity && self.sharded.shards > 1;
        let mut commits = Commits::default();
        if checked {
            let cluster = self.identify(&mut asked, &topology).await?;
            commits.id = cluster;
            topology = cluster.map_or(topology.clone(), |cluster| topology.of_cluster(cluster));
        }
        for line in &mut asked.lines {
            let rows = self.question(line, PREPARES).await?;
            commits.prepares.push(matches!(rows.as_slice(), [row] if matches!(row.as_slice(), [Some(said)] if said == b"t")));
        }
        let first = &mut asked.lines[0];
        let mut columns = at_home(&topology, 0, self.question(first, COLUMNS).await?);
        let functions = self.question(first, FUNCTIONS).await?;
        let settings = self.question(first, SETTINGS).await?;
        for (shard, line) in asked.lines.iter_mut().enumerate().skip(1).filter(|_| topology.has_homes()) {
            columns.extend(at_home(&topology, shard as u16, self.question(line, COLUMNS).await?));
        }
        let mut views = Vec::new();
        for line in &mut asked.lines {
            views.push(self.question(line, VIEWS).await?);
        }
        let schema = Schema::read(&columns, &functions, &settings);
        let mut schema = schema.map_err(|error| Trouble::unasked(format!("{}: {error}", asked.places[0])))?.fitted(&topology);
        views::look(&mut schema, &topology, &views);
        schema.drift = Drift::of(&topology, &schema, &self.see(&mut asked).await?);
        for line in asked.lines {
            line.leave().await;
        }
        let listed = self.published.snapshot.general.shard_local_functions.clone();
        let state = State::Known(schema);
        let servers = servers(&self.published.snapshot, &self.sharded.database);
        Ok(Cluster { topology, state, servers, listed, commits, number: NEXT.fetch_add(1, Ordering::Relaxed) })
    }

    /// The pools of one user, who can log in everywhere: one with a password for the server, if there is one.
    pub(super) fn pools(&self) -> Vec<Arc<SharedPool>> {
        let of_database = |pool: &&Arc<SharedPool>| pool.spec.database == self.sharded.database && pool.spec.shard == 0;
        let firsts: Vec<&Arc<SharedPool>> = self.published.pools.iter().filter(of_database).collect();
        let best = firsts.iter().find(|pool| !pool.spec.server_passwords.is_empty()).or(firsts.first());
        best.map(|pool| self.published.shards(pool).to_vec()).unwrap_or_default()
    }

    async fn connect(&self) -> Result<Asked, Trouble> {
        let pools = self.pools();
        if pools.is_empty() {
            return Err(Trouble::unasked(format!("database \"{}\" has no user, as whom its shards could be asked", self.sharded.database)));
        }
        let mut asked = Asked { lines: Vec::new(), places: Vec::new(), found: Vec::new() };
        for pool in &pools {
            let place = pool.spec.place();
            let limit = self.published.snapshot.general.connect_timeout;
            let line = within(limit, log_in(pool, &self.published.snapshot, NAME, Some((UTF8.0, UTF8.1.to_owned())))).await;
            match line {
                Some(Ok(line)) => asked.lines.push(line),
                Some(Err(failure)) => return Err(Trouble::unasked(format!("{place}: {}", failure.message))),
                None => return Err(Trouble::unasked(format!("{place}: the server did not answer within connect_timeout"))),
            }
            asked.places.push(place);
        }
        Ok(asked)
    }

    /// What the shards have to have alike, as each has it.
    async fn see(&self, asked: &mut Asked) -> Result<Vec<Seen>, Trouble> {
        let mut all = Vec::new();
        for line in &mut asked.lines {
            let (shape, types) = (self.question(line, SHAPE).await?, self.question(line, TYPES).await?);
            all.push(Seen { shape, types, flaws: self.question(line, FLAWS).await? });
        }
        Ok(all)
    }

    async fn question(&self, line: &mut LoggedIn, sql: &str) -> Result<Rows, Trouble> {
        self.answer(line, sql).await.map_err(|failure| Trouble::unasked(failure.message))
    }

    async fn answer(&self, line: &mut LoggedIn, sql: &str) -> Result<Rows, Failure> {
        let limit = self.published.snapshot.general.healthcheck_timeout;
        let late = || Failure::new("08006", "a shard does not answer within healthcheck_timeout");
        within(limit, line.ask(sql)).await.unwrap_or_else(|| Err(late()))
    }

    /// Who the shards say they are, with the id of their cluster; those who have not been told yet are told. None: they are not, nor contradict.
    async fn identify(&self, asked: &mut Asked, topology: &Topology) -> Result<Option<[u8; 16]>, Trouble> {
        for shard in 0..asked.lines.len() {
            let found = self.read(asked, shard).await?;
            asked.found.push(found);
        }
        let mut fresh = [0; 16];
        random(&mut fresh);
        for _ in 0..STEPS_PER_SHARD * asked.lines.len() {
            let names = asked.places.clone();
            let place = |(shard, place): (usize, &'_ String)| (shard as u16, place.clone());
            let named: Vec<(u16, String)> = names.iter().enumerate().map(place).collect();
            let places: Vec<Place<'_>> = named.iter().map(|(shard, place)| Place { shard: *shard, place }).collect();
            match identity::next(&places, topology, fresh, &asked.found)? {
                Step::Ready { cluster } => {
                    self.remark(asked, &places);
                    return Ok(Some(cluster));
                }
                Step::Run { .. } if !self.tells => return Ok(None),
                Step::Run { shard, sql } => {
                    let at = usize::from(shard);
                    if let Err(failure) = self.answer(&mut asked.lines[at], &sql).await {
                        let _ = self.answer(&mut asked.lines[at], UNDO).await;
                        // Another proxy may have been faster: what it wrote is read below. No right is no race.
                        if failure.code == "42501" {
                            identity::refusal(places[at], &failure.code, &failure.message)?;
                        }
                    }
                    asked.found[at] = self.read(asked, at).await?;
                }
            }
        }
        Err(Trouble::unasked("other proxies write into schema dog all the time; see their logs"))
    }

    fn remark(&self, asked: &Asked, places: &[Place<'_>]) {
        let pools = self.published.pools.iter().filter(|pool| pool.spec.database == self.sharded.database);
        let users: BTreeSet<&str> = pools.map(|pool| pool.spec.server_user.as_str()).collect();
        for (place, found) in places.iter().zip(&asked.found) {
            let Found::Identity(identity) = found else { continue };
            if let Some(remark) = identity::owner_remark(*place, identity, &users) {
                tracing::warn!(database = self.sharded.database, "{remark}");
            }
        }
    }

    async fn read(&self, asked: &mut Asked, shard: usize) -> Result<Found, Trouble> {
        let place = asked.places[shard].clone();
        let place = Place { shard: shard as u16, place: &place };
        match self.answer(&mut asked.lines[shard], READ).await {
            Ok(rows) => {
                let row = rows.first().map(|row| row.iter().map(Option::as_deref).collect::<Vec<_>>()).unwrap_or_default();
                Ok(identity::read(place, &row)?)
            }
            Err(failure) => Ok(identity::refusal(place, &failure.code, &failure.message)?),
        }
    }
}
