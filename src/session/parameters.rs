//! Session parameters as pg_dog knows them: what a client wants, and what a server's session has been given. A server is brought to a client's
//! profile in front of that client's first message; while all clients of a pool want the same, nothing is ever sent.
//!
//! What a client wants begins as what it asked for when it came. Its own SETs come in by two ways: reported parameters by their reports, all
//! others by the server's answer to a question (`inquiry`), so that rollbacks, savepoints and functions need not be understood here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::wire::client::query;
use crate::wire::set::settings;

use super::exchange::{Exchange, OUR_QUERY};
use super::made::LEFT;

/// Parameters that every PostgreSQL reports (ParameterStatus) when a client's SET changes them.
pub const TRACKED: [&str; 6] = ["client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "standard_conforming_strings", "application_name"];

/// The same, of later versions only.
const LATER: [&str; 3] = ["default_transaction_read_only", "search_path", "scram_iterations"];

/// Parameters that parse analysis reads: literals are folded under them, names looked up, texts read.
const FOLDING: [&str; 16] = [
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "search_path",
    "standard_conforming_strings",
    "client_encoding",
    "role",
    "session_authorization",
    "xmloption",
    "backslash_quote",
    "array_nulls",
    "transform_null_equals",
    "lc_monetary",
    "lc_messages",
    "timezone_abbreviations",
    "default_text_search_config",
];

/// Parameters whose values may be refused though they were taken before: because roles, schemas or access methods come and go.
const DOUBTFUL: [&str; 8] = [
    "role",
    "session_authorization",
    "default_tablespace",
    "temp_tablespaces",
    "default_table_access_method",
    "default_text_search_config",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// Bytes of a name in PostgreSQL.
const NAME_MAX: usize = 63;

/// Those that say for whom the session speaks; all else may depend on them.
const SPEAKERS: [&str; 2] = ["session_authorization", "role"];

/// Parameters that one client wants on every server it uses.
#[derive(Debug, Default)]
pub struct Profile {
    /// in the order they were named; `SPEAKERS` come last
    sets: Vec<(String, String)>,
    /// what parse analysis reads of them
    folds: Arc<str>,
    /// a server has taken them all
    proven: AtomicBool,
}

impl Clone for Profile {
    fn clone(&self) -> Profile {
        Profile { sets: self.sets.clone(), folds: self.folds.clone(), proven: AtomicBool::new(self.is_proven()) }
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Profile) -> bool {
        self.sets == other.sets
    }
}

impl Eq for Profile {}

impl Profile {
    /// Later values of a name replace earlier ones; names are compared as PostgreSQL does, without case.
    pub fn new(sets: impl IntoIterator<Item = (String, String)>) -> Profile {
        let mut profile = Profile::default();
        for (name, value) in sets {
            profile.set(name, value);
        }
        profile.settle();
        profile
    }

    /// Wants this; `settle` when all is said.
    pub fn set(&mut self, name: String, value: String) {
        match self.sets.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some(known) => known.1 = value,
            None => self.sets.push((name, value)),
        }
    }

    /// Wants the server's own value of it; `settle` when all is said.
    pub fn unset(&mut self, name: &str) {
        self.sets.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Keeps those that `keep` says; `settle` when all is said.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.sets.retain(|(name, _)| keep(name));
    }

    /// After changes.
    pub fn settle(&mut self) {
        self.sets.sort_by_key(|(name, _)| SPEAKERS.iter().position(|speaker| speaker.eq_ignore_ascii_case(name)).map_or(0, |at| at + 1));
        let folding = |name: &str| FOLDING.iter().find(|known| known.eq_ignore_ascii_case(name));
        let mut folds: Vec<(&str, &str)> = self.sets.iter().filter_map(|(name, value)| Some((*folding(name)?, value.as_str()))).collect();
        folds.sort_unstable();
        let mut text = String::new();
        for (name, value) in folds {
            text.extend([name, "\u{1}", value, "\u{2}"]);
        }
        self.folds = text.into();
    }

    /// This one, with what the server reported on top; None when that changes nothing. `told` is what it reports when nobody sets anything.
    pub fn with(&self, changed: &[(String, String)], told: &[(String, String)]) -> Option<Profile> {
        let mut profile = self.clone();
        for (name, value) in changed.iter().filter(|(name, _)| is_tracked(name) || LATER.contains(&name.as_str())) {
            let own = told.iter().any(|(known, own)| known.eq_ignore_ascii_case(name) && own == value);
            if own && self.get(name).is_none() {
                continue;
            }
            profile.set(name.clone(), value.clone());
        }
        profile.settle();
        (profile != *self).then_some(profile)
    }

    /// What the client wants `name` to be.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.sets.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The names of all that it wants.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().map(|(name, _)| name.as_str())
    }

    /// What parse analysis reads of it.
    pub fn folds(&self) -> &Arc<str> {
        &self.folds
    }

    /// It wants nothing.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// A server has taken all of it.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// A server has taken all of it, just now.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Appends the text of a query that sets all of it.
    fn set_all(&self, text: &mut String) {
        let all: Vec<(&str, Cow<str>)> = self.sets.iter().map(|(name, value)| (name.as_str(), as_set(name, value))).collect();
        text.push_str(&settings(all.iter().map(|(name, value)| (*name, Some(&**value)))));
    }

    fn has_speaker(&self) -> bool {
        self.names().any(is_speaker)
    }
}

/// Whether a client's own change of this parameter is seen by its report.
pub fn is_tracked(name: &str) -> bool {
    TRACKED.iter().any(|tracked| tracked.eq_ignore_ascii_case(name))
}

/// Whether it is a parameter of an extension or of the application, of which PostgreSQL keeps no list.
pub fn is_custom(name: &str) -> bool {
    name.contains('.')
}

fn is_speaker(name: &str) -> bool {
    SPEAKERS.iter().any(|speaker| speaker.eq_ignore_ascii_case(name))
}

fn is_doubtful(name: &str) -> bool {
    is_custom(name) || DOUBTFUL.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A reported value as it can be set again. From version 16 on PostgreSQL spells what is not ASCII in an application_name as `\xe3`, after it has
/// cut the name (`check_application_name` in guc.c, GUC_IS_NAME): said again it would be cut again.
fn as_set<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.len() <= NAME_MAX || !name.eq_ignore_ascii_case("application_name") {
        return Cow::Borrowed(value);
    }
    let byte = |text: &[u8]| match text {
        [b'\\', b'x', high, low, ..] => u8::from_str_radix(str::from_utf8(&[*high, *low]).ok()?, 16).ok(),
        _ => None,
    };
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        // What is ASCII was said so.
        let spelled = byte(rest).filter(|byte| !matches!(byte, b' '..=b'~' | 0));
        bytes.push(spelled.unwrap_or(first));
        rest = if spelled.is_some() { &rest[4..] } else { behind };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(value), Cow::Owned)
}

/// What is in a session besides what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Dirt {
    #[default]
    None,
    /// parameters that functions of this client's may have set
    Calls(u64),
    /// whatever this client's statements may have left that was not seen
    Used(u64),
    /// anything
    Anything,
}

/// What makes a session nearly like new, and leaves the statements that all clients share.
const THOROUGH: &str = "CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ALL;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();\
    DISCARD TEMP;DISCARD SEQUENCES;";

/// What a server's session has been given.
#[derive(Debug, Default)]
pub struct Given {
    profile: Arc<Profile>,
    dirt: Dirt,
}

impl Given {
    /// Nobody knows what is in the session.
    pub fn spoil(&mut self) {
        self.dirt = Dirt::Anything;
    }

    /// Functions of `client`'s may have set parameters.
    pub fn called(&mut self, client: u64) {
        self.dirt = match self.dirt {
            Dirt::None => Dirt::Calls(client),
            Dirt::Calls(before) | Dirt::Used(before) if before == client => self.dirt,
            _ => Dirt::Anything,
        };
    }

    /// `client` has used the session, and nothing is believed of what was seen.
    pub fn used(&mut self, client: u64) {
        if self.dirt != Dirt::Anything {
            self.dirt = Dirt::Used(client);
        }
    }

    /// Whether the client asked for a value of `name`.
    pub fn asks(&self, name: &str) -> bool {
        self.profile.get(name).is_some()
    }

    /// What the session has been given.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The client's own SETs made the session what `profile` says.
    pub fn adopt(&mut self, profile: Arc<Profile>) {
        self.profile = profile;
    }

    /// Whether `client` can use the session as it is.
    #[inline]
    pub fn fits(&self, profile: &Arc<Profile>, client: u64) -> bool {
        let clean = match self.dirt {
            Dirt::None => true,
            Dirt::Calls(who) | Dirt::Used(who) => who == client,
            Dirt::Anything => false,
        };
        clean && (Arc::ptr_eq(&self.profile, profile) || self.profile == *profile)
    }

    /// Appends the queries that make the session fit; their answers are ours. True: they cannot fail, so that the client's own messages may follow at
    /// once.
    pub fn bring_to(&mut self, profile: &Arc<Profile>, client: u64, exchange: &mut Exchange, words: &mut Vec<u8>) -> bool {
        let mut text = String::new();
        let mut sure = profile.is_proven();
        match self.dirt {
            Dirt::Anything => {
                self.clean(exchange, words);
                profile.set_all(&mut text);
                sure &= !profile.names().any(is_doubtful);
            }
            Dirt::Calls(who) | Dirt::Used(who) if who != client => {
                text.push_str(THOROUGH);
                // To drop all would drop what all clients share.
                text.push_str(LEFT);
                exchange.made.asked = true;
                profile.set_all(&mut text);
                sure &= !profile.names().any(is_doubtful);
            }
            _ => sure &= self.change_to(profile, &mut text),
        }
        if !text.is_empty() {
            // A text beyond the protocol's limit cannot come out of one startup packet and the bounded answers of a server.
            let _ = query(words, text.as_bytes());
            exchange.sent(OUR_QUERY);
        }
        if !matches!(self.dirt, Dirt::Calls(who) | Dirt::Used(who) if who == client) {
            self.dirt = Dirt::None;
        }
        self.profile = profile.clone();
        sure
    }

    /// Appends what leads from what the session was given to `profile`; whether none of that can be refused.
    fn change_to(&self, profile: &Profile, text: &mut String) -> bool {
        let old = &*self.profile;
        // Whoever the session speaks for may not be allowed to set what another has set.
        let anew = old.has_speaker();
        let speakers = old.names().filter(|name| is_speaker(name)).map(|name| (name, None));
        let gone = old.names().filter(|name| !is_speaker(name) && profile.get(name).is_none()).map(|name| (name, None));
        let changed = profile.sets.iter().filter(|(name, value)| old.get(name) != Some(value) || anew && is_speaker(name));
        let changed = changed.map(|(name, value)| (name.as_str(), Some(as_set(name, value))));
        let all: Vec<(&str, Option<Cow<str>>)> = speakers.chain(gone).chain(changed).collect();
        text.push_str(&settings(all.iter().map(|(name, value)| (*name, value.as_deref()))));
        !all.iter().any(|(name, value)| value.is_some() && is_doubtful(name))
    }

    /// Appends what makes the session like new.
    pub fn clean(&mut self, exchange: &mut Exchange, words: &mut Vec<u8>) {
        // Fixed and short.
        let _ = query(words, b"DISCARD ALL");
        exchange.sent(OUR_QUERY);
        exchange.shelf.clear();
        exchange.made.clear();
        self.profile = Arc::new(Profile::default());
        self.dirt = Dirt::None;
    }
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
