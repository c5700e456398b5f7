//! Commits over shards that somebody began and did not finish: what he prepared is found on the shards and finished as was decided, or refused if
//! nothing was. One task per database with shards, on connections of its own.
//!
//! Invariant: nothing is finished but by the decider's own word, asked after the prepared transaction was seen; so any number of pg_dogs may be at it
//! at once, and each may die anywhere. A word that is not the owner's own, a shard that is not who it should be, a decider that does not answer: the
//! transaction stays, and the log says why and what to do. Decisions are forgotten only after every shard has said that it has nothing prepared for
//! them. What the texts mean is left to `route::commit`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::admin::report::TransactionRow;
use crate::config::sharded::KeyValue;
use crate::io::clock;
use crate::mail::{Published, SharedPool};
use crate::route::commit::{self, FORGET_MAX, GONE, GRACE, Gid, ORPHANS_MAX, Orphan, Verdict, WHO};

use super::line::{Failure, LoggedIn, Rows, log_in, within};

/// Name of the connections in pg_stat_activity.
const NAME: &str = "pg_dog recovery";
/// Behind the login: a decider in flight is waited for no longer, and what the user of the pool has as defaults does not matter.
const SETTINGS: &str = "SET lock_timeout = 200; SET statement_timeout = 0; SET default_transaction_isolation = 'read committed'; \
    SET default_transaction_read_only = off; SET default_transaction_deferrable = off; SET synchronous_commit = on; SET TimeZone = 'UTC'";
/// Pause before what could not be done is tried again, when somebody waits for it or there is more.
const AGAIN: Duration = Duration::from_millis(250);
/// So long somebody is taken to wait for a commit in doubt.
const URGENT_NS: u64 = 60_000_000_000;
/// And one without a name is looked for: until it is older than the grace.
const RESTLESS_NS: u64 = 5_000_000_000;
/// Commits in doubt that are known as such; what is beyond is found by its age.
const URGENT_MAX: usize = 1_024;
/// The same trouble with the same commit is told again after so long.
const TELL_NS: u64 = 60_000_000_000;
/// Every so many rounds, decisions of every user are forgotten, not only those of the one who asks.
const ALL_USERS: u64 = 12;
/// Users of a shard as whom somebody else's transaction is tried to be finished.
const HANDS_MAX: usize = 8;
/// Resolving, at 200 ms each at most, that one round does before it looks anew.
const RESOLVE_MAX: usize = 100;

/// What recovery has done since the start, for metrics.
#[derive(Debug, Default)]
pub struct Recovered {
    committed: AtomicU64,
    rolled_back: AtomicU64,
    /// by database, what the last round has left; the control core alone writes it
    rows: ArcSwap<BTreeMap<String, Vec<TransactionRow>>>,
}

impl Recovered {
    /// What lies prepared on shards and waits.
    pub fn rows(&self) -> Vec<TransactionRow> {
        self.rows.load().values().flatten().cloned().collect()
    }

    /// Committed, rolled back, waiting.
    pub fn counts(&self) -> [u64; 3] {
        let waiting = self.rows.load().values().map(|rows| rows.len() as u64).sum();
        [self.committed.load(Ordering::Relaxed), self.rolled_back.load(Ordering::Relaxed), waiting]
    }

    fn show(&self, database: &str, rows: Vec<TransactionRow>) {
        let before = self.rows.load();
        if rows.is_empty() && !before.contains_key(database) {
            return;
        }
        let mut all = (**before).clone();
        all.insert(database.to_owned(), rows);
        all.retain(|_, rows| !rows.is_empty());
        self.rows.store(Arc::new(all));
    }
}

/// What others say to a recovery.
#[derive(Default)]
pub(super) struct Board {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    doubts: RefCell<Vec<Gid>>,
    /// one of them has no name
    nameless: Cell<bool>,
}

impl Board {
    /// This commit lost its coordinator: it is looked at now, however young it is; without a name, as soon as it is old enough.
    pub(super) fn doubt(&self, gid: Option<Gid>) {
        let mut doubts = self.doubts.borrow_mut();
        match gid {
            Some(gid) if doubts.len() < URGENT_MAX => doubts.push(gid),
            _ => self.nameless.set(true),
        }
        self.rung.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    async fn rings(&self) {
        poll_fn(|context| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// One database whose shards are known.
pub(super) struct Recovery {
    published: Arc<Published>,
    database: String,
    cluster: [u8; 16],
    /// by shard, one user's pools
    pools: Vec<Arc<SharedPool>>,
    lines: Vec<Line>,
    board: Rc<Board>,
    recovered: Arc<Recovered>,
    /// commits in doubt, until when
    urgent: BTreeMap<Gid, u64>,
    /// until when it is looked often for one without a name
    restless: u64,
    /// when each trouble was told last
    told: HashMap<String, u64>,
    rounds: u64,
}

/// The way to one shard.
enum Line {
    Closed,
    Open(LoggedIn),
    /// not again in this round
    Failed(String),
}

/// What became of an orphan.
enum Outcome {
    Committed,
    RolledBack,
    /// by somebody else, just now
    Gone,
    /// it is too young, or being decided: nobody has to know
    Later(&'static str),
    Waits(String),
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.recovered.show(&self.database, Vec::new());
    }
}

impl Recovery {
    /// Of a cluster that said that it is this one; `pools` are those of one user, by shard.
    pub(super) fn new(
        published: Arc<Published>,
        database: &str,
        cluster: [u8; 16],
        pools: Vec<Arc<SharedPool>>,
        board: Rc<Board>,
        recovered: Arc<Recovered>,
    ) -> Recovery {
        Recovery {
            published,
            database: database.to_owned(),
            cluster,
            lines: pools.iter().map(|_| Line::Closed).collect(),
            pools,
            board,
            recovered,
            urgent: BTreeMap::new(),
            restless: 0,
            told: HashMap::new(),
            rounds: 0,
        }
    }

    /// Until its database is configured anew.
    pub(super) async fn run(mut self) {
        loop {
            let more = self.round().await;
            let soon = more || !self.urgent.is_empty() || self.restless > clock::monotonic_ns();
            let pause = if soon { AGAIN } else { self.published.snapshot.general.recovery_interval };
            within(pause, self.board.rings()).await;
        }
    }

    /// Looks at all shards once; true: there is more to do.
    async fn round(&mut self) -> bool {
        let now = clock::monotonic_ns();
        self.rounds += 1;
        self.urgent.retain(|_, until| *until > now);
        self.told.retain(|_, at| now.saturating_sub(*at) < TELL_NS);
        if self.board.nameless.take() {
            self.restless = now + RESTLESS_NS;
        }
        let doubts = std::mem::take(&mut *self.board.doubts.borrow_mut());
        let room = URGENT_MAX.saturating_sub(self.urgent.len());
        self.urgent.extend(doubts.into_iter().take(room).map(|gid| (gid, now + URGENT_NS)));
        self.lines.iter_mut().filter(|line| matches!(line, Line::Failed(_))).for_each(|line| *line = Line::Closed);

        // What is decided is read before what is prepared, so that whoever prepared for it stands in the lists.
        let decisions = self.decisions().await;
        let (mut orphans, whole) = self.list().await;
        orphans.sort_by_key(|(_, orphan)| !self.urgent.contains_key(&orphan.gid));
        let prepared: BTreeSet<Gid> = orphans.iter().map(|(_, orphan)| orphan.gid).collect();
        let mut verdicts = BTreeMap::new();
        let mut rows = Vec::new();
        for (shard, orphan) in &orphans {
            let outcome = self.finish(*shard, orphan, &mut verdicts).await;
            self.tell(*shard, orphan, &outcome, &mut rows);
        }
        if whole {
            // Nothing of it is left anywhere.
            self.urgent.retain(|gid, _| prepared.contains(gid));
        }
        self.recovered.show(&self.database, rows);
        let full = decisions.iter().any(|(_, _, gids)| gids.len() >= FORGET_MAX);
        if whole {
            for (shard, user, gids) in decisions {
                self.forget(shard, user, gids.difference(&prepared)).await;
            }
        }
        full && whole || verdicts.len() >= RESOLVE_MAX
    }

    /// What each shard has prepared; whether all have said all of it.
    async fn list(&mut self) -> (Vec<(u16, Orphan)>, bool) {
        let (mut orphans, mut whole) = (Vec::new(), true);
        let question = commit::orphans(&self.cluster);
        for shard in 0..self.pools.len() as u16 {
            match self.ask(shard, &question).await {
                Ok(rows) => {
                    whole &= rows.len() < ORPHANS_MAX;
                    orphans.extend(rows.iter().filter_map(|row| Orphan::read(row)).map(|orphan| (shard, orphan)));
                }
                Err(failure) => {
                    whole = false;
                    self.warn(&format!("shard {shard} cannot be asked what it has prepared: {}", failure.message));
                }
            }
        }
        (orphans, whole)
    }

    async fn finish(&mut self, shard: u16, orphan: &Orphan, verdicts: &mut BTreeMap<Gid, Result<Verdict, Outcome>>) -> Outcome {
        if orphan.age < GRACE && !self.urgent.contains_key(&orphan.gid) {
            return Outcome::Later("at work");
        }
        if orphan.participant != shard {
            return Outcome::Waits(format!("it was prepared for shard {}, which this is not: somebody has copied or moved it", orphan.participant));
        }
        if usize::from(orphan.gid.decider) >= self.pools.len() {
            return Outcome::Waits(format!("shard {} decides about it, and is not configured", orphan.gid.decider));
        }
        if !verdicts.contains_key(&orphan.gid) {
            if verdicts.len() >= RESOLVE_MAX {
                return Outcome::Later("to be looked at");
            }
            let verdict = self.resolve(&orphan.gid).await;
            verdicts.insert(orphan.gid, verdict);
        }
        let (sql, done) = match verdicts.get(&orphan.gid) {
            Some(Ok(Verdict::Committed { owner })) if self.is_theirs(&orphan.gid, owner, shard, &orphan.owner) => {
                (orphan.gid.commit_prepared(shard), Outcome::Committed)
            }
            Some(Ok(Verdict::Committed { owner })) => {
                return Outcome::Waits(format!(
                    "role \"{owner}\" says that it is committed, and \"{}\" has prepared it; ask both, then COMMIT PREPARED or ROLLBACK PREPARED it",
                    orphan.owner
                ));
            }
            Some(Ok(Verdict::Refused)) => (orphan.gid.rollback_prepared(shard), Outcome::RolledBack),
            Some(Ok(Verdict::Forgotten)) | None => return Outcome::Later("being finished by another"),
            Some(Err(Outcome::Waits(why))) => return Outcome::Waits(why.clone()),
            Some(Err(_)) => return Outcome::Later("being decided"),
        };
        match self.act(shard, &orphan.owner, &sql).await {
            Ok(()) => done,
            Err(failure) if failure.code == GONE => Outcome::Gone,
            // Another one is at it.
            Err(failure) if failure.code == "55000" && failure.message.contains("busy") => Outcome::Later("being finished by another"),
            Err(failure) => Outcome::Waits(failure.message),
        }
    }

    /// Asks the decider; Err: it cannot be said now.
    async fn resolve(&mut self, gid: &Gid) -> Result<Verdict, Outcome> {
        let rows = match self.ask(gid.decider, &gid.resolve()).await {
            // As an older pg_dog has made it.
            Err(failure) if failure.code == "42883" || failure.code == "42703" => match self.ask(gid.decider, &commit::upgrade()).await {
                Ok(_) => self.ask(gid.decider, &gid.resolve()).await,
                Err(failure) => Err(failure),
            },
            answer => answer,
        };
        match rows {
            Ok(rows) => Verdict::read(&rows).ok_or_else(|| Outcome::Waits("the decider's answer cannot be read; was schema dog changed?".to_owned())),
            Err(failure) if failure.code == "55P03" => Err(Outcome::Later("being decided")),
            Err(failure) => Err(Outcome::Waits(format!("shard {}, which decides, cannot be asked: {}", gid.decider, failure.message))),
        }
    }

    /// Whether what one role decided is about what another prepared: it is the same role, or one user of ours is both.
    fn is_theirs(&self, gid: &Gid, decided: &str, shard: u16, prepared: &str) -> bool {
        let users = |shard: u16, role: &str| -> BTreeSet<&str> {
            let pools = self.published.pools.iter().map(|pool| &pool.spec);
            let there = pools.filter(|spec| spec.database == self.database && spec.shard == shard && spec.server_user == role);
            there.map(|spec| spec.user.as_str()).collect()
        };
        decided == prepared || !users(gid.decider, decided).is_disjoint(&users(shard, prepared))
    }

    /// Runs a text as this role: as a user of ours who is it, or who may become it.
    async fn act(&mut self, shard: u16, owner: &str, sql: &str) -> Result<(), Failure> {
        let mut last = Failure::new("28000", "no user of this database can log in there");
        for pool in self.hands(shard, owner) {
            let own = pool.spec.server_user == owner;
            let first = self.pools.get(usize::from(shard)).is_some_and(|first| first.id == pool.id);
            let become_it = format!("SET ROLE \"{}\"", owner.replace('"', "\"\""));
            let done = if first {
                match if own { Ok(Rows::new()) } else { self.ask(shard, &become_it).await } {
                    Ok(_) => {
                        let done = self.ask(shard, sql).await;
                        if !own && self.ask(shard, "RESET ROLE").await.is_err() {
                            self.close(shard);
                        }
                        done
                    }
                    Err(failure) => Err(may_not(failure, &pool, owner)),
                }
            } else {
                self.act_as(&pool, shard, (!own).then_some(&become_it), owner, sql).await
            };
            match done {
                Ok(_) => return Ok(()),
                Err(failure) if failure.code == "42501" || failure.is_barred() => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    async fn act_as(&self, pool: &Arc<SharedPool>, shard: u16, become_it: Option<&String>, owner: &str, sql: &str) -> Result<Rows, Failure> {
        let mut line = self.open(pool, shard).await?;
        if let Some(become_it) = become_it {
            self.answer(&mut line, become_it).await.map_err(|failure| may_not(failure, pool, owner))?;
        }
        let done = self.answer(&mut line, sql).await;
        line.leave().await;
        done
    }

    /// The pools of the users of a shard, the role itself first, then who asks.
    fn hands(&self, shard: u16, owner: &str) -> Vec<Arc<SharedPool>> {
        let here = |pool: &&Arc<SharedPool>| pool.spec.database == self.database && pool.spec.shard == shard;
        let mut hands: Vec<Arc<SharedPool>> = self.pools.get(usize::from(shard)).into_iter().cloned().collect();
        hands.extend(self.published.pools.iter().filter(here).cloned());
        let mut known = BTreeSet::new();
        hands.retain(|pool| known.insert(pool.spec.server_user.clone()));
        hands.sort_by_key(|pool| pool.spec.server_user != owner);
        hands.truncate(HANDS_MAX);
        hands
    }

    /// Decisions that nobody may need any more, of each shard and by whom they were found; they can go unless a shard lists them afterwards.
    async fn decisions(&mut self) -> Vec<(u16, Option<Arc<SharedPool>>, BTreeSet<Gid>)> {
        let mut all = Vec::new();
        if !self.urgent.is_empty() {
            return all;
        }
        let question = commit::decisions(&self.cluster);
        let read = |rows: Rows| rows.iter().filter_map(|row| commit::decision(row.first()?.as_deref()?)).collect::<BTreeSet<_>>();
        for shard in 0..self.pools.len() as u16 {
            // A shard that cannot be asked is told of when it is asked what it has prepared.
            if let Ok(rows) = self.ask(shard, &question).await {
                all.push((shard, None, read(rows)));
            }
            if self.rounds % ALL_USERS != 1 {
                continue;
            }
            for pool in self.hands(shard, "").into_iter().skip(1) {
                let Ok(mut line) = self.open(&pool, shard).await else { continue };
                if let Ok(rows) = self.answer(&mut line, &question).await {
                    all.push((shard, Some(pool), read(rows)));
                }
                line.leave().await;
            }
        }
        all
    }

    async fn forget(&mut self, shard: u16, user: Option<Arc<SharedPool>>, gids: impl Iterator<Item = &Gid>) {
        let mut gids = gids.peekable();
        if gids.peek().is_none() {
            return;
        }
        let sql = commit::forget(gids);
        let done = match user {
            None => self.ask(shard, &sql).await,
            Some(pool) => self.act_as(&pool, shard, None, "", &sql).await,
        };
        if let Err(failure) = done {
            self.warn(&format!("shard {shard} does not forget what was decided long ago: {}", failure.message));
        }
    }

    /// Asks a shard on the connection that is kept to it.
    async fn ask(&mut self, shard: u16, sql: &str) -> Result<Rows, Failure> {
        let at = usize::from(shard);
        let Some(pool) = self.pools.get(at).cloned() else { return Err(Failure::new("08001", "there is no such shard")) };
        let mut line = match std::mem::replace(&mut self.lines[at], Line::Closed) {
            Line::Open(line) => line,
            Line::Closed => match self.open(&pool, shard).await {
                Ok(line) => line,
                Err(failure) => {
                    self.lines[at] = Line::Failed(failure.message.clone());
                    return Err(failure);
                }
            },
            Line::Failed(why) => {
                self.lines[at] = Line::Failed(why.clone());
                return Err(Failure::new("08006", why));
            }
        };
        let answer = self.answer(&mut line, sql).await;
        let broken = |failure: &Failure| failure.code.starts_with("08") || failure.code.starts_with("57P");
        if !answer.as_ref().is_err_and(broken) {
            self.lines[at] = Line::Open(line);
        }
        answer
    }

    fn close(&mut self, shard: u16) {
        if let Some(line) = self.lines.get_mut(usize::from(shard)) {
            *line = Line::Closed;
        }
    }

    async fn answer(&self, line: &mut LoggedIn, sql: &str) -> Result<Rows, Failure> {
        let limit = self.published.snapshot.general.healthcheck_timeout;
        let late = || Failure::new("08006", "the shard does not answer within healthcheck_timeout");
        within(limit, line.ask(sql)).await.unwrap_or_else(|| Err(late()))
    }

    /// A connection to a shard that has said that it is this shard.
    async fn open(&self, pool: &Arc<SharedPool>, shard: u16) -> Result<LoggedIn, Failure> {
        let late = || Failure::new("08001", "the server did not answer within connect_timeout");
        let limit = self.published.snapshot.general.connect_timeout;
        let mut line = within(limit, log_in(pool, &self.published.snapshot, NAME, None)).await.unwrap_or_else(|| Err(late()))?;
        self.answer(&mut line, SETTINGS).await?;
        let rows = self.answer(&mut line, WHO).await?;
        let expected = [KeyValue::Uuid(self.cluster).to_string().into_bytes(), shard.to_string().into_bytes()].map(Some);
        if rows != [expected] {
            return Err(Failure::new("08001", "the server does not say that it is this shard"));
        }
        Ok(line)
    }

    fn tell(&mut self, shard: u16, orphan: &Orphan, outcome: &Outcome, rows: &mut Vec<TransactionRow>) {
        let (database, gid, owner) = (self.database.clone(), orphan.gid, orphan.owner.clone());
        let (state, detail) = match outcome {
            Outcome::Committed => {
                self.recovered.committed.fetch_add(1, Ordering::Relaxed);
                return tracing::info!(database, %gid, shard, owner, "a commit over shards that was decided is finished: COMMIT PREPARED");
            }
            Outcome::RolledBack => {
                self.recovered.rolled_back.fetch_add(1, Ordering::Relaxed);
                return tracing::info!(database, %gid, shard, owner, "a commit over shards that was not decided is refused: ROLLBACK PREPARED");
            }
            Outcome::Gone => return,
            Outcome::Later(why) => ("prepared", (*why).to_owned()),
            Outcome::Waits(why) => {
                self.warn(&format!("{gid} lies prepared on shard {shard} since {} and keeps its locks: {why}", orphan.prepared));
                ("in doubt", why.clone())
            }
        };
        rows.push(TransactionRow {
            database,
            user: owner,
            name: gid.to_string(),
            state,
            shard: Some(u32::from(shard)),
            client: None,
            since: orphan.prepared.clone(),
            detail,
        });
    }

    /// Once a minute.
    fn warn(&mut self, trouble: &str) {
        let now = clock::monotonic_ns();
        if self.told.len() < ORPHANS_MAX && !self.told.contains_key(trouble) {
            self.told.insert(trouble.to_owned(), now);
            tracing::warn!(database = self.database, "commits over shards: {trouble}");
        }
    }
}

/// A role that cannot be taken on, with what to do about it.
fn may_not(failure: Failure, pool: &SharedPool, owner: &str) -> Failure {
    let user = &pool.spec.server_user;
    Failure {
        message: format!("\"{user}\" may not finish what \"{owner}\" prepared ({}): GRANT \"{owner}\" TO \"{user}\"", failure.message),
        ..failure
    }
}
