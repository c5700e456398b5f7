//! Session parameters as pg_dog knows them: what a client asked for when it started, and what a server's session has been given. A server is brought
//! to a client's profile before that client's first message goes to it; while all clients of a pool ask for the same, nothing is ever sent.

use std::sync::Arc;

use crate::wire::client::query;
use crate::wire::set::set_statement;

use super::exchange::{Exchange, OUR_QUERY};

/// Reported parameters (ParameterStatus) that a client's own SET changes for all its later servers, as PgBouncer has them.
pub const TRACKED: [&str; 6] = ["client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "standard_conforming_strings", "application_name"];

/// Parameters that one client wants on every server it uses, in the order it named them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Profile {
    sets: Vec<(String, String)>,
}

impl Profile {
    /// Later values of a name replace earlier ones; names are compared as PostgreSQL does, without case.
    pub fn new(sets: impl IntoIterator<Item = (String, String)>) -> Profile {
        let mut profile = Profile::default();
        for (name, value) in sets {
            profile.set(name, value);
        }
        profile
    }

    fn set(&mut self, name: String, value: String) {
        match self.sets.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some(known) => known.1 = value,
            None => self.sets.push((name, value)),
        }
    }

    /// This one, with what the server reported on top.
    pub fn with(&self, changed: &[(String, String)]) -> Profile {
        let mut profile = Profile { sets: self.sets.clone() };
        for (name, value) in changed.iter().filter(|(name, _)| is_tracked(name)) {
            profile.set(name.clone(), value.clone());
        }
        profile
    }

    /// What the client asked `name` to be.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.sets.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// These are not undone by RESET ALL (GUC_NO_RESET_ALL in guc_tables.c), only by DISCARD ALL.
    fn outlives_reset(&self) -> bool {
        self.get("role").is_some() || self.get("session_authorization").is_some()
    }
}

/// Whether a client's own change of this parameter is carried from server to server.
pub fn is_tracked(name: &str) -> bool {
    TRACKED.iter().any(|tracked| tracked.eq_ignore_ascii_case(name))
}

/// A number that no client has.
const GONE: u64 = u64::MAX;

/// What a server's session has been given.
#[derive(Debug, Default)]
pub struct Given {
    profile: Arc<Profile>,
    /// number of the client that changed more than we know (SET, LISTEN, temporary tables, ...); 0 = nobody
    dirtied_by: u64,
}

impl Given {
    /// The session's state was changed by `client` in ways that only DISCARD ALL undoes for sure.
    pub fn dirty(&mut self, client: u64) {
        // One who has gone since (0) is nobody who could come back.
        self.dirtied_by = if client == 0 { GONE } else { client };
    }

    /// Whether the client asked for a value of `name`.
    pub fn asks(&self, name: &str) -> bool {
        self.profile.get(name).is_some()
    }

    /// The client's own SETs made the session what `profile` says.
    pub fn adopt(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
    }

    /// Whether `client` can use the session as it is.
    #[inline]
    pub fn fits(&self, profile: &Arc<Profile>, client: u64) -> bool {
        (self.dirtied_by == 0 || self.dirtied_by == client) && (Arc::ptr_eq(&self.profile, profile) || self.profile == *profile)
    }

    /// Appends the queries that make the session fit; their answers are ours.
    pub fn bring_to(&mut self, profile: &Arc<Profile>, client: u64, exchange: &mut Exchange, words: &mut Vec<u8>) {
        let mut text = String::new();
        if self.dirtied_by != 0 && self.dirtied_by != client || self.profile.outlives_reset() {
            self.clean(exchange, words);
        } else if !self.profile.is_empty() {
            text.push_str("RESET ALL;");
        }
        for (name, value) in &profile.sets {
            text.push_str(&set_statement(name, value));
            text.push(';');
        }
        if !text.is_empty() {
            // A text beyond the protocol's limit cannot come out of one startup packet and six reported values.
            let _ = query(words, text.as_bytes());
            exchange.sent(OUR_QUERY);
        }
        self.profile = profile.clone();
    }

    /// Appends what makes the session like new.
    pub fn clean(&mut self, exchange: &mut Exchange, words: &mut Vec<u8>) {
        // Fixed and short.
        let _ = query(words, b"DISCARD ALL");
        exchange.sent(OUR_QUERY);
        self.profile = Arc::new(Profile::default());
        self.dirtied_by = 0;
    }
}

/// Whether a command's tag (the body of CommandComplete) tells that it may have left something in the session. What no tag shows (`set_config` and
/// advisory locks in a SELECT, SELECT INTO of a temporary table) is documented.
pub fn dirties(tag: &[u8]) -> bool {
    const TAGS: [&[u8]; 8] = [b"SET", b"LISTEN", b"PREPARE", b"DECLARE CURSOR", b"CREATE ", b"DO", b"CALL", b"LOAD"];
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    // The commonest tags are told apart by their first bytes.
    match tag.first() {
        Some(b'S') => tag.starts_with(b"SET"),
        Some(b'I' | b'U' | b'B' | b'R') => false,
        Some(b'P') => tag == b"PREPARE",
        Some(b'C') if tag.starts_with(b"COMMIT") || tag.starts_with(b"COPY") => false,
        _ => TAGS.iter().any(|known| tag.starts_with(known)),
    }
}
