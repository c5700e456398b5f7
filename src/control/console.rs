//! Commands of the admin console, carried out.

use crate::admin::console::{Command, parse};
use crate::admin::report::Report;
use crate::admin::show;
use crate::mail::{Asker, Mail, SharedPool};

use super::cores::Cores;
use super::run::Control;

/// A SHOW that waits for the data cores' rows.
pub struct Asked {
    pub asker: Asker,
    pub command: Command,
    pub report: Report,
    pub missing: usize,
}

/// SHOWs that may be gathered at once.
const ASKED_MAX: usize = 1024;

fn answer(asker: Asker, bytes: Vec<u8>, cores: &mut Cores) {
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
        match &command {
            Command::Show(..) if self.asked.len() >= ASKED_MAX => show::failed("53000", "too many SHOW commands at once; retry", &mut bytes),
            Command::Show(..) => return self.gather(asker, command, cores),
            Command::Reload => match self.reload(cores) {
                Ok(()) => show::done(command.tag(), &mut bytes),
                Err(problems) => show::failed("F0000", &format!("nothing was changed: {}", problems.join("; ")), &mut bytes),
            },
            Command::Pause { user, database } => match self.pause(user, database, true, cores) {
                Ok(()) => show::done(command.tag(), &mut bytes),
                Err(message) => show::failed("08P01", &message, &mut bytes),
            },
            Command::Resume { user, database } => match self.pause(user, database, false, cores) {
                Ok(()) => show::done(command.tag(), &mut bytes),
                Err(message) => show::failed("08P01", &message, &mut bytes),
            },
            Command::Shutdown => {
                show::done(command.tag(), &mut bytes);
                answer(asker, bytes, cores);
                return self.end(cores);
            }
            Command::Set { .. } | Command::Empty => show::answer(&Report::default(), &command, &mut bytes),
        }
        answer(asker, bytes, cores);
    }

    fn gather(&mut self, asker: Asker, command: Command, cores: &mut Cores) {
        let request = self.next_request;
        self.next_request += 1;
        self.asked.insert(request, Asked { asker, command, report: Report::default(), missing: cores.count() });
        cores.post_all(|| Mail::Report { request });
    }

    pub(super) fn show(&mut self, mut asked: Asked, cores: &mut Cores) {
        let published = self.shared.published.load();
        let report = &mut asked.report;
        report.config = published.snapshot.shown.clone();
        report.memory.extend(&self.fixed);
        report.version = format!("pg_dog {}", env!("CARGO_PKG_VERSION"));
        let mut databases: Vec<&str> = published.pools.iter().map(|pool| pool.spec.database.as_str()).collect();
        databases.sort_unstable();
        databases.dedup();
        report.lists.databases = databases.len() as u64;
        report.lists.users = published.pools.len() as u64;
        report.lists.pools = published.pools.len() as u64;
        let mut bytes = Vec::new();
        show::answer(report, &asked.command, &mut bytes);
        answer(asked.asker, bytes, cores);
    }

    /// Stops or allows checkouts of the pools that are named; without names of all.
    fn pause(&mut self, user: &Option<String>, database: &Option<String>, paused: bool, cores: &mut Cores) -> Result<(), String> {
        let published = self.shared.published.load_full();
        let named = |pool: &&std::sync::Arc<SharedPool>| {
            user.as_ref().is_none_or(|user| pool.spec.user == *user) && database.as_ref().is_none_or(|database| pool.spec.database == *database)
        };
        let pools: Vec<_> = published.pools.iter().filter(named).collect();
        if pools.is_empty() && (user.is_some() || database.is_some()) {
            return Err("there is no such database or user".to_string());
        }
        for pool in pools {
            pool.state.ledger.set_paused(paused);
            if !paused {
                let pool = pool.id;
                cores.post_all(|| Mail::Resume { pool });
            }
        }
        Ok(())
    }
}
