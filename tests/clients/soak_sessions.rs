//! The soak's clients have sessions: parameters of their own, statements by names that others use for other texts, temporary tables, locks, channels.
//! Each checks by itself that it has its own, and only that. After a failure it does not know what it has, and comes anew.

use super::{End, Walker, connect};
use crate::support::{pace, raw};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Values for TimeZone and search_path.
const ZONES: [&str; 5] = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Sydney"];
const PATHS: [&str; 4] = ["public", "public, nowhere", "\"Odd one\", public", "pg_catalog, public"];

/// Texts of named statements: more than servers may hold.
const TEXTS: u64 = 12;

/// Names of them; every client uses the same.
const NAMES: u64 = 4;

/// What a client knows of its session.
#[derive(Default)]
pub struct Session {
    /// of the connection that it is about
    key: Option<(u32, Vec<u8>)>,
    zone: Option<&'static str>,
    path: Option<&'static str>,
    own: Option<String>,
    /// which text each name stands for
    statements: BTreeMap<u64, u64>,
    /// notifications that were heard
    pub heard: usize,
    /// what it said, for whoever has to find out why it is not as it should be
    pub said: Vec<String>,
}

/// A text by its number: it tells whether it is the one that was meant.
fn text(number: u64) -> String {
    format!("SELECT CASE WHEN $2 = '{number}' THEN $1 ELSE 'statement {number} instead of ' || $2 END")
}

impl Walker<'_> {
    /// One of the things that need a session.
    pub fn session_step(&mut self, tag: &str) {
        if self.session.key != self.client.key {
            self.session = Session { key: self.client.key.clone(), ..Session::default() };
        }
        let done = match self.dice(9) {
            0..2 => self.sets(tag),
            2 => self.checks(tag),
            3..6 => self.uses_statement(tag),
            6 => self.uses_table(tag),
            7 => self.locks(tag),
            _ => self.listens(tag),
        };
        if done.is_none() && self.session.key == self.client.key {
            self.client = connect(self.login);
        }
        if done.is_some() {
            self.scene.tally.sessions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A query that has to succeed for the step to go on.
    fn must(&mut self, tag: &str, sql: &str) -> Option<String> {
        self.session.said.push(sql.to_string());
        if self.session.said.len() > 24 {
            self.session.said.remove(0);
        }
        match self.ask(tag, &raw::query(sql), 1) {
            End::Done(done) => Some(done),
            End::Nothing | End::Failed | End::Gone => None,
        }
    }

    /// Sets one of its parameters, by one of some means, and may take it back.
    fn sets(&mut self, tag: &str) -> Option<()> {
        let (zone, path) = (ZONES[self.dice(5) as usize], PATHS[self.dice(4) as usize]);
        let own = format!("it's {tag}");
        let literal = own.replace('\'', "''");
        let which = self.dice(3);
        let (set, config) = match which {
            0 => (format!("SET TimeZone = '{zone}'"), format!("set_config('TimeZone', '{zone}', false)")),
            1 => (format!("SET search_path = {path}"), format!("set_config('search_path', '{path}', false)")),
            _ => (format!("SET app.me = '{literal}'"), format!("set_config('app.me', '{literal}', false)")),
        };
        let set = if self.dice(2) == 0 || which == 2 { set } else { format!("SELECT '{tag}', {config}") };
        match self.dice(5) {
            0 => {
                for sql in ["BEGIN", &set, "ROLLBACK"] {
                    self.must(tag, sql)?;
                }
                return self.checks(tag);
            }
            1 => {
                for sql in ["BEGIN", &set] {
                    self.must(tag, sql)?;
                }
                if self.must(tag, "COMMIT")? != "COMMIT" {
                    return None;
                }
            }
            2 => drop(self.must(tag, &format!("{set}; SELECT '{tag}'"))?),
            _ => drop(self.must(tag, &set)?),
        }
        match which {
            0 => self.session.zone = Some(zone),
            1 => self.session.path = Some(path),
            _ => self.session.own = Some(own),
        }
        if self.dice(6) == 0 {
            let way = ["RESET ALL", "DISCARD ALL"][self.dice(2) as usize];
            self.must(tag, way)?;
            // DISCARD ALL may take the statements along: their names are not used any more.
            self.session = Session { key: self.session.key.take(), said: std::mem::take(&mut self.session.said), ..Session::default() };
            return self.forget_statements(tag);
        }
        self.checks(tag)
    }

    /// Closes all names, so that they can be given anew.
    fn forget_statements(&mut self, tag: &str) -> Option<()> {
        let closes: Vec<u8> = (0..NAMES).flat_map(|name| raw::close(b'S', &format!("s{name}"))).collect();
        matches!(self.ask(tag, &[closes, raw::sync()].concat(), 1), End::Done(_) | End::Nothing).then_some(())
    }

    /// All its parameters are as it set them.
    fn checks(&mut self, tag: &str) -> Option<()> {
        let Session { zone, path, own, .. } = &self.session;
        let (zone, path, own) = (zone.unwrap_or("UTC"), path.unwrap_or("\"$user\", public"), own.clone().unwrap_or_default());
        let own = own.replace('\'', "''");
        let right = format!(
            "current_setting('TimeZone') = '{zone}' AND current_setting('search_path') = '{path}' \
            AND coalesce(current_setting('app.me', true), '') = '{own}'"
        );
        let shown = "concat_ws('; ', current_setting('TimeZone'), current_setting('search_path'), current_setting('app.me', true))";
        self.must(
            tag,
            &format!("SELECT CASE WHEN {right} THEN '{tag}' ELSE {shown} || ' instead of {zone}; {} ; {own}' END", path.replace('\'', "''")),
        )?;
        Some(())
    }

    /// Executes a statement by one of its names, which it may give anew before.
    fn uses_statement(&mut self, tag: &str) -> Option<()> {
        let (name, number) = (self.dice(NAMES), self.dice(TEXTS));
        let called = format!("s{name}");
        let mut bytes = Vec::new();
        let known = self.session.statements.get(&name).copied();
        if known.is_none() || self.dice(4) == 0 {
            if known.is_some() {
                bytes.extend(raw::close(b'S', &called));
            }
            bytes.extend(raw::parse(&called, &text(number), &[25, 25]));
            if self.dice(2) == 0 {
                bytes.extend(raw::describe(b'S', &called));
            }
            self.session.statements.insert(name, number);
            if self.dice(2) == 0 {
                // It is executed in a request of its own, by another server perhaps.
                bytes.extend(raw::sync());
                if !matches!(self.ask(tag, &std::mem::take(&mut bytes), 1), End::Nothing) {
                    return None;
                }
            }
        }
        let meant = self.session.statements[&name].to_string();
        for _ in 0..=self.dice(3) {
            bytes.extend(raw::bind("", &called, &[Some(tag), Some(&meant)]));
            bytes.extend(raw::execute("", 0));
        }
        bytes.extend(raw::sync());
        matches!(self.ask(tag, &bytes, 1), End::Done(_)).then_some(())
    }

    /// Has a temporary table for some requests; drops it, or goes.
    fn uses_table(&mut self, tag: &str) -> Option<()> {
        self.must(tag, &format!("CREATE TEMP TABLE mine AS SELECT '{tag}' AS tag"))?;
        for _ in 0..=self.dice(3) {
            self.must(tag, "SELECT tag FROM mine")?;
        }
        match self.dice(4) {
            // Whoever goes leaves it to pg_dog.
            0 => return None,
            1 => self.must(tag, "DISCARD TEMP")?,
            _ => self.must(tag, "DROP TABLE pg_temp.mine")?,
        };
        Some(())
    }

    /// Holds a lock of its own for some requests.
    fn locks(&mut self, tag: &str) -> Option<()> {
        let number = self.number;
        self.must(tag, &format!("SELECT '{tag}' FROM pg_advisory_lock({number})"))?;
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        self.must(tag, &format!("SELECT CASE WHEN ({held}) = 1 THEN '{tag}' ELSE 'another number of locks' END"))?;
        if self.dice(4) == 0 {
            return None;
        }
        self.must(tag, &format!("SELECT CASE WHEN pg_advisory_unlock({number}) THEN '{tag}' ELSE 'not locked' END"))?;
        Some(())
    }

    /// Listens to a channel of its own, and hears what it says itself.
    fn listens(&mut self, tag: &str) -> Option<()> {
        let number = self.number;
        self.must(tag, &format!("LISTEN channel_{number}"))?;
        let before = self.session.heard;
        self.must(tag, &format!("NOTIFY channel_{number}, '{tag}'"))?;
        // It comes by another connection, and not at all if that one was ended meanwhile.
        for _ in 0..20 {
            self.must(tag, &format!("SELECT '{tag}'"))?;
            if self.session.heard > before {
                break;
            }
            pace(Duration::from_millis(5));
        }
        assert!(self.session.heard <= before + 1, "client {number}, {tag}: what it said once is heard more than once");
        self.scene.tally.heard.fetch_add(self.session.heard - before, Ordering::Relaxed);
        if self.dice(4) == 0 {
            return None;
        }
        self.must(tag, "UNLISTEN *")?;
        Some(())
    }

    /// A notification: of its own channel, by itself.
    pub fn hear(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(&body[4..]).into_owned();
        let own = format!("channel_{0}\0{0}-", self.number);
        assert!(text.starts_with(&own), "client {} heard {text:?}", self.number);
        self.session.heard += 1;
    }
}
