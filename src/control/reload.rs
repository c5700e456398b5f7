//! Reloads: by RELOAD, by SIGHUP, by the files' change, and by SET, which is a reload with one more word in it. Files are read and checked, and
//! names resolved, on a thread of its own, one at a time, so that the console stays responsive whatever a disk or a name server does; only what is
//! right is published, here. Invariant: a reload that was asked for is answered by one that has read the files afterwards; those that wait together
//! are one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::show;
use crate::config::shown::needs_restart;
use crate::config::{Loaded, changes};
use crate::io::clock;
use crate::io::random::random;
use crate::mail::{Asker, Mail, Published};

use super::console::answer;
use super::cores::Cores;
use super::inbox::Heard;
use super::publish::{Texts, load_texts, read_texts};
use super::run::Control;
use super::shards::unknown;

/// Who asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Reload,
    Signal,
    /// the files have changed
    Watch,
    Set,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            By::Reload => "RELOAD",
            By::Signal => "SIGHUP",
            By::Watch => "config_watch",
            By::Set => "SET",
        }
    }
}

/// One reload that waits for its turn.
struct Wanted {
    by: By,
    /// a setting that was SET, and its value; None: the files are read again, and what was SET is forgotten
    set: Option<(String, String)>,
    askers: Vec<Asker>,
}

/// What came of one.
pub struct Outcome {
    by: By,
    askers: Vec<Asker>,
    overrides: Vec<(String, String)>,
    result: Result<Ready, Vec<String>>,
}

/// A configuration that is right, not published yet.
struct Ready {
    published: Published,
    texts: Arc<Texts>,
    warnings: Vec<String>,
}

/// Reloads: those that wait, and what came of the last.
#[derive(Default)]
pub struct Reloads {
    running: bool,
    /// bounded by the admin clients that wait for an answer: signals and the watch join one that is there
    wanted: VecDeque<Wanted>,
    /// of the configuration that is published
    texts: Option<Arc<Texts>>,
    overrides: Vec<(String, String)>,
    pub done: u64,
    pub failed: u64,
    pub last: Option<Last>,
}

/// The last reload, for SHOW STATE.
pub struct Last {
    pub wall_ms: u64,
    pub by: &'static str,
    pub result: String,
}

impl Reloads {
    /// What was SET since the files were read.
    pub fn overrides(&self) -> &[(String, String)] {
        &self.overrides
    }
}

impl Control {
    /// Asks for a reload; whoever is to be answered is answered when it is done.
    pub(super) fn want_reload(&mut self, by: By, asker: Option<Asker>) {
        match self.reloads.wanted.back_mut() {
            Some(last) if last.set.is_none() => last.askers.extend(asker),
            _ => self.reloads.wanted.push_back(Wanted { by, set: None, askers: asker.into_iter().collect() }),
        }
        self.next_reload();
    }

    /// A setting is to change until the next reload.
    pub(super) fn want_set(&mut self, key: &str, value: String, asker: Asker) {
        self.reloads.wanted.push_back(Wanted { by: By::Set, set: Some((key.to_string(), value)), askers: vec![asker] });
        self.next_reload();
    }

    /// Begins the next reload, if none is at work.
    fn next_reload(&mut self) {
        if self.reloads.running {
            return;
        }
        let Some(Wanted { by, set, askers }) = self.reloads.wanted.pop_front() else { return };
        let mut overrides = Vec::new();
        // What was SET is based on the files as they were read, not as they are now: those may be half written.
        let mut texts = None;
        if let Some((key, value)) = set {
            texts = self.reloads.texts.clone();
            overrides = self.reloads.overrides.clone();
            overrides.retain(|(other, _)| *other != key);
            overrides.push((key, value));
        }
        let (files, publisher, before, inbox) = (self.files.clone(), self.publisher.clone(), self.shared.published.load_full(), self.inbox.clone());
        let job = move || {
            let make = || {
                let texts = texts.map_or_else(|| read_texts(&files).map(Arc::new), Ok)?;
                let mut seed = [0; 16];
                random(&mut seed);
                let Loaded { mut snapshot, warnings } = load_texts(&files, &texts, &overrides, seed, before.snapshot.number + 1)?;
                snapshot.general.workers = before.snapshot.general.workers;
                Ok(Ready { published: publisher.build(snapshot, Some(&before)), texts, warnings })
            };
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make));
            let result = made.unwrap_or_else(|_| Err(vec!["pg_dog has a bug: reading the configuration panicked; see the log".to_string()]));
            inbox.post(Heard::Loaded(Box::new(Outcome { by, askers, overrides, result })));
        };
        self.reloads.running = true;
        if let Err(error) = std::thread::Builder::new().name("reload".into()).spawn(job) {
            // The job, and with it who asked, is lost; clients of the console hang up by themselves.
            self.reloads.running = false;
            tracing::error!("a reload cannot start: {error}");
        }
    }

    /// A reload has been made: what is right is published, what is not changes nothing; who asked is told.
    pub(super) fn loaded(&mut self, outcome: Outcome, cores: &mut Cores) {
        let Outcome { by, askers, overrides, result } = outcome;
        let mut bytes = Vec::new();
        let result = match result {
            Ok(ready) => {
                self.reloads.done += 1;
                self.reloads.overrides = overrides;
                let changes = self.publish(ready, by, cores);
                show::done(if by == By::Set { "SET" } else { "RELOAD" }, &mut bytes);
                format!("ok: {changes} changes")
            }
            Err(problems) => {
                self.reloads.failed += 1;
                tracing::error!("{} changed nothing:\n  {}", by.name(), problems.join("\n  "));
                let code = if by == By::Set { "22023" } else { "F0000" };
                show::failed(code, &format!("nothing was changed: {}", problems.join("; ")), &mut bytes);
                format!("failed, nothing was changed: {}", problems.join("; "))
            }
        };
        self.reloads.last = Some(Last { wall_ms: clock::wall_ms(), by: by.name(), result });
        askers.into_iter().for_each(|asker| answer(asker, bytes.clone(), cores));
        self.reloads.running = false;
        self.next_reload();
    }

    /// Publishes, and logs what is new; how many changes there are.
    fn publish(&mut self, ready: Ready, by: By, cores: &mut Cores) -> usize {
        let Ready { published, texts, warnings } = ready;
        let before = self.shared.published.load_full();
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let restart = needs_restart(&before.snapshot, &published.snapshot);
        if !restart.is_empty() {
            tracing::warn!("these settings need a restart and stay as they were: {}", restart.join(", "));
        }
        let changes = changes(&before.snapshot, &published.snapshot);
        changes.iter().for_each(|change| tracing::info!("{}: {change}", by.name()));
        self.standing.apply(&published.pools);
        if let Some(logs) = &self.logs {
            logs.reloaded(&before.snapshot.general, &published.snapshot.general);
        }
        let number = published.snapshot.number;
        let published = Arc::new(published);
        // Before a core can meet a client of a database with shards that it knows nothing of.
        self.shared.clusters.store(Arc::new(unknown(&published, &self.shared.clusters.load())));
        self.shared.published.store(published);
        self.shared.version.store(number, Ordering::Release);
        cores.post_all(|| Mail::Published);
        tracing::info!(number, "configuration reloaded by {}", by.name());
        self.reloads.texts = Some(texts);
        changes.len()
    }

    /// The files as they are when pg_dog starts, so that a SET is based on them.
    pub(super) fn remember_texts(&mut self) {
        self.reloads.texts = read_texts(&self.files).ok().map(Arc::new);
    }
}
