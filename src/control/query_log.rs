//! The query log: texts of clients, as they were typed, to a file or to pg_dog's own log. A thread of its own writes, from a bounded queue, so that a
//! data core never waits for a disk: what finds no room is counted where it was dropped, what cannot be written is counted here.
//!
//! A line of the file is: time (UTC), database, user, text, apart by tabs and escaped as in COPY's text format, so that `COPY ... FROM` reads it.
//! The file is opened again after every reload, so that it can be moved away before one. It is created for its owner alone: texts hold what
//! statements hold, passwords in `ALTER ROLE` too.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::admin::show::moment;
use crate::io::clock;
use crate::mail::{Asked, Shared};

/// Texts that may wait to be written.
pub const WAITING_MAX: usize = 8192;
/// Of a file that is made.
const MODE: u32 = 0o600;

/// Starts the thread; it ends with the last sender. The counter: lines that could not be written.
pub fn start(shared: Arc<Shared>, unwritten: Arc<AtomicU64>) -> io::Result<SyncSender<Asked>> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    std::thread::Builder::new().name("query-log".into()).spawn(move || run(&receiver, &shared, &unwritten))?;
    Ok(sender)
}

/// Where lines go, under one snapshot.
struct Sink {
    snapshot: u64,
    file: Option<BufWriter<File>>,
    /// a line failed since the file was opened, which was said
    broken: bool,
    to_log: bool,
}

fn run(receiver: &Receiver<Asked>, shared: &Shared, unwritten: &AtomicU64) {
    let mut sink = Sink { snapshot: 0, file: None, broken: false, to_log: false };
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        while let Some(asked) = next {
            sink.follow(shared);
            sink.write(&asked, unwritten);
            next = receiver.try_recv().ok();
        }
        // Nobody waits for more: it is on its way to the disk before this thread sleeps.
        if let Some(Err(error)) = sink.file.as_mut().map(Write::flush) {
            sink.fail(&error, unwritten);
        }
    }
}

impl Sink {
    /// A reload may have changed everything, or the file may have been moved away before it.
    fn follow(&mut self, shared: &Shared) {
        let published = shared.published.load();
        if published.snapshot.number == self.snapshot {
            return;
        }
        let watch = &published.snapshot.general.watch;
        // What was gathered goes to the file of before.
        *self = Sink { snapshot: published.snapshot.number, file: None, broken: false, to_log: watch.query_log_stdout };
        let Some(path) = &watch.query_log else { return };
        match OpenOptions::new().append(true).create(true).mode(MODE).open(path) {
            Ok(file) => self.file = Some(BufWriter::new(file)),
            Err(error) => {
                tracing::error!(path, "the query log cannot be opened, texts are lost until a reload finds it well: {error}");
                self.broken = true;
            }
        }
    }

    fn write(&mut self, asked: &Asked, unwritten: &AtomicU64) {
        if self.to_log {
            tracing::info!(target: "pg_dog::query", database = %asked.database, user = %asked.user, "{}", asked.text);
        }
        match self.file.as_mut().map(|file| file.write_all(line(asked, clock::wall_ms()).as_bytes())) {
            Some(Err(error)) => self.fail(&error, unwritten),
            None if self.broken => _ = unwritten.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
    }

    #[cold]
    fn fail(&mut self, error: &io::Error, unwritten: &AtomicU64) {
        unwritten.fetch_add(1, Ordering::Relaxed);
        if !self.broken {
            self.broken = true;
            tracing::error!("the query log cannot be written, texts are lost: {error}");
        }
    }
}

/// One line of the file.
fn line(asked: &Asked, wall_ms: u64) -> String {
    let mut line = moment(wall_ms);
    for field in [&asked.database, &asked.user, &asked.text] {
        line.push('\t');
        for char in field.chars() {
            match char {
                '\\' => line.push_str("\\\\"),
                '\t' => line.push_str("\\t"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                char => line.push(char),
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
#[path = "query_log_tests.rs"]
mod tests;
