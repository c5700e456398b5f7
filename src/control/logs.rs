//! pg_dog's own log: lines as text or JSON, to a descriptor of their own. The level and the joining of equal lines follow a reload.
//!
//! The descriptor is a copy of stderr made at the start: a library that redirects stderr for a moment (libpg_query does while it parses) cannot make
//! lines go astray. A line is one write.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
#[allow(clippy::disallowed_types, reason = "only tried, never waited for")]
use std::sync::Mutex;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

use crate::config::snapshot::{General, LogFormat};
use crate::io::clock;

/// Different lines that are counted at once; others pass.
const LINES_MAX: usize = 1024;
/// Characters of a line that are said again when it is told how often it came.
const ECHO_MAX: usize = 200;
/// How often it is looked which windows are over.
const TELL: Duration = Duration::from_millis(500);
/// Lines that say how often others came; never joined themselves.
const REPEATS: &str = "pg_dog::repeats";

/// What a reload can change.
pub struct Logs {
    level: Option<Box<dyn Fn(EnvFilter) + Send + Sync>>,
    joined: Arc<Joined>,
}

impl Logs {
    /// Sets up the process's log.
    pub fn set_up(general: &General) -> Logs {
        let joined = Arc::new(Joined::default());
        let (filter, handle) = reload::Layer::new(filter(&general.log_level));
        // Without descriptors nothing would start anyway.
        let lines = match io::stderr().as_fd().try_clone_to_owned() {
            Ok(copy) => lines(general.log_format, Arc::new(File::from(copy))),
            Err(_) => lines(general.log_format, io::stderr),
        };
        let set = tracing_subscriber::registry().with(filter).with(lines.with_filter(Joining(joined.clone()))).try_init();
        // A program that embeds pg_dog may have set up its own.
        let level = set.is_ok().then(|| -> Box<dyn Fn(EnvFilter) + Send + Sync> {
            Box::new(move |filter| {
                let _ = handle.reload(filter);
            })
        });
        let logs = Logs { level, joined };
        logs.joined.set(general);
        logs
    }

    /// A reload may have changed what is logged.
    pub fn reloaded(&self, before: &General, general: &General) {
        self.joined.set(general);
        if let Some(level) = self.level.as_ref().filter(|_| before.log_level != general.log_level) {
            level(filter(&general.log_level));
        }
    }

    /// Says again and again how often lines came whose time is over, as long as the executor runs that this is called on.
    pub fn start(self: Arc<Logs>) {
        glommio::spawn_local(async move {
            loop {
                glommio::timer::Timer::new(TELL).await;
                self.joined.tell(clock::monotonic_ns());
            }
        })
        .detach();
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|error| {
        eprintln!("pg_dog: log_level = {level:?} is not understood ({error}); it counts as info");
        EnvFilter::new("info")
    })
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
        LogFormat::Flat => layer.json().flatten_event(true).boxed(),
    }
}

/// A line that came more than once.
struct Line {
    since: u64,
    count: u64,
    level: Level,
    text: String,
}

#[derive(Default)]
struct Table {
    window_ns: u64,
    threshold: u64,
    lines: HashMap<u64, Line>,
    hashing: std::hash::RandomState,
}

/// Equal lines within a window, counted.
#[derive(Default)]
#[allow(clippy::disallowed_types, reason = "only tried, never waited for")]
struct Joined(Mutex<Table>);

struct Joining(Arc<Joined>);

impl<S: Subscriber> Filter<S> for Joining {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.0.passes(event, clock::monotonic_ns())
    }
}

/// The text of an event's fields, so that equal lines are known.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}

impl Joined {
    fn set(&self, general: &General) {
        // Called by the control core alone; a line that is being looked at right now makes it miss, and the next reload sets it again.
        for _ in 0..1000 {
            if let Ok(mut table) = self.0.try_lock() {
                table.window_ns = u64::try_from(general.watch.dedup_window.as_nanos()).unwrap_or(u64::MAX);
                table.threshold = general.watch.dedup_threshold;
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Whether a line is written. Two lines at the very same time both are.
    fn passes(&self, event: &Event<'_>, now: u64) -> bool {
        let metadata = event.metadata();
        let Ok(mut table) = self.0.try_lock() else { return true };
        if table.window_ns == 0 || table.threshold == 0 || metadata.target() == REPEATS {
            return true;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        table.count(*metadata.level(), metadata.target(), &fields.0, now)
    }

    fn tell(&self, now: u64) {
        let over: Vec<Line> = match self.0.try_lock() {
            Ok(mut table) => table.over(now),
            Err(_) => return,
        };
        for Line { level, count, text, .. } in over {
            let again = format!("{count} more times: {text}");
            match level {
                Level::ERROR => tracing::error!(target: REPEATS, "{again}"),
                Level::WARN => tracing::warn!(target: REPEATS, "{again}"),
                _ => tracing::info!(target: REPEATS, "{again}"),
            }
        }
    }
}

impl Table {
    /// Counts a line; false when as many as may pass have passed in its window.
    fn count(&mut self, level: Level, target: &str, text: &str, now: u64) -> bool {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(level.as_str().as_bytes());
        hasher.write(target.as_bytes());
        hasher.write(text.as_bytes());
        let (key, window, threshold) = (hasher.finish(), self.window_ns, self.threshold);
        if let Some(line) = self.lines.get_mut(&key) {
            // What was kept back in a window that is over is told by `over`, so that such a line stays joined until then.
            if now.saturating_sub(line.since) < window || line.count > threshold {
                line.count += 1;
                return line.count <= threshold;
            }
            (line.since, line.count) = (now, 1);
            return true;
        }
        if self.lines.len() < LINES_MAX {
            let text = text.trim_end().chars().take(ECHO_MAX).collect();
            self.lines.insert(key, Line { since: now, count: 1, level, text });
        }
        true
    }

    /// Lines whose window is over and of which some were kept back, `count` being how many; all whose window is over are forgotten.
    fn over(&mut self, now: u64) -> Vec<Line> {
        let (window, threshold) = (self.window_ns, self.threshold);
        let over = self.lines.extract_if(|_, line| now.saturating_sub(line.since) >= window);
        let told = over.filter(|(_, line)| line.count > threshold);
        told.map(|(_, line)| Line { count: line.count - threshold, ..line }).collect()
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
