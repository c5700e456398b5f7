//! What can be wrong with a configuration, where it is, and what to do about it; and the list in which one run collects all of it.
//! Invariant: no text here repeats a value that could be a secret. Of what the files hold only names of keys, sections, users and databases,
//! numbers, booleans and unknown words for a fixed choice are ever printed, cut to a bounded length. Whether to stop is left to the caller.

use std::fmt;

/// Longest part of a name from a file that a message repeats, in characters.
const SHOWN_NAME: usize = 64;
/// Names longer than this are not compared with the known ones.
const COMPARED_NAME: usize = 64;

/// Where something stands. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File {
        name: String,
        line: u32,
    },
    Variable(&'static str),
    /// an argument of the command line, as it is typed
    Argument(&'static str),
    /// `SET` in the admin database
    Set,
    /// a numbered argument of `--database-url`
    Url(u32),
    /// a numbered variable
    UrlVariable(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { name, line } => write!(out, "{name}:{line}"),
            Place::Variable(name) => write!(out, "environment variable {name}"),
            Place::Argument(name) => out.write_str(name),
            Place::Set => out.write_str("SET"),
            Place::Url(number) => write!(out, "--database-url, number {number}"),
            Place::UrlVariable(number) => write!(out, "environment variable PGDOG_DATABASE_URL_{number}"),
        }
    }
}

/// One thing that keeps a configuration from being used. The fault is the operator's file or environment, always.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Problem {
    pub place: Place,
    pub what: What,
}

/// What is wrong. Names come as they are printed: cut and with control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum What {
    #[error("the file has {bytes} bytes, which is more than {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("this is not TOML: {reason}")]
    Syntax { reason: String },
    #[error("unknown section [{section}]{}", suggestion(.nearest))]
    UnknownSection { section: String, nearest: Option<&'static str> },
    #[error("{heading} belongs in the {belongs} file")]
    WrongFile { heading: String, belongs: &'static str },
    #[error("`{key}` stands outside of any section; it belongs below {heading}")]
    NoSection { key: String, heading: String },
    #[error("{section} has to be written as {heading}, this is {found}")]
    WrongShape { section: &'static str, heading: String, found: String },
    #[error("{section}: unknown key `{key}`{}", suggestion(.nearest))]
    UnknownKey { section: String, key: String, nearest: Option<&'static str> },
    #[error("{section}: `{key}` has to be {expected}, this is {found}")]
    WrongValue { section: String, key: &'static str, expected: String, found: String },
    #[error("{section}: `{key}` is missing")]
    Missing { section: String, key: &'static str },
    #[error("{section}: `{key}` and `{alias}` are the same key; keep one of them")]
    Twice { section: String, key: &'static str, alias: String },
    #[error("{section}: `{key}`{value} is not built yet, and to ignore it would not be safe; remove it{preset}")]
    NotBuilt { section: String, key: &'static str, value: String, preset: String },
    #[error("{heading} is not built yet, and to ignore it would not be safe; remove it")]
    SectionNotBuilt { heading: String },
    #[error("the variable is not built yet, and to ignore it would not be safe; unset it")]
    VariableNotBuilt,
    #[error(
        "[[databases]]: `name` \"{database}\" with `shard` = {shard} is used {first} already; give the shards of one database different numbers. A \
         second server for the same shard is not built yet"
    )]
    SecondServer { database: String, shard: usize, first: String },
    #[error("[[users]]: `name` \"{user}\" with `database` \"{database}\" stands {first} already; remove one")]
    SecondUser { user: String, database: String, first: String },
    #[error(
        "[[users]]: `password_hash` of \"{user}\" has to be SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key> with up to {iterations} \
         iterations, or md5 and 32 hexadecimal digits, as pg_authid.rolpassword holds it"
    )]
    Hash { user: String, iterations: u32 },
    #[error("[[users]]: \"{user}\" has {passwords} passwords, more than {limit}; each costs milliseconds when a client logs in, so keep few")]
    Passwords { user: String, passwords: usize, limit: usize },
    #[error("this is not the URL of a database: {reason}")]
    Url { reason: &'static str },
    #[error("`{key}` in a URL has to be {expected}")]
    UrlKey { key: &'static str, expected: String },
    #[error("`sslmode` in a URL asks for encryption to the server, which is not built yet, and to ignore it would not be safe; remove it")]
    UrlEncrypted,
    #[error(
        "[general]: `workers` = {workers}, but this process may use {cpus} CPUs only: data cores that share a CPU are slower than one; lower it, \
         or allow more CPUs (taskset, cpuset, systemd CPUAffinity=)"
    )]
    Workers { workers: usize, cpus: usize },
    #[error("{section}: {what}")]
    Sharding { section: &'static str, what: String },
    #[error("[general] has no key `{key}`{}", suggestion(.nearest))]
    UnknownSetting { key: String, nearest: Option<&'static str> },
    #[error("[general]: `{key}` takes effect at a restart only; write it into the file and restart pg_dog")]
    NeedsRestart { key: &'static str },
    #[error("[general]: `{key}`{value} is not built yet")]
    SettingNotBuilt { key: &'static str, value: String },
    #[error("[general]: `{key}` has to be {expected}")]
    WrongSetting { key: &'static str, expected: String },
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// Where something stands, small enough to be kept with every value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Main(u32),
    Users(u32),
    Variable(&'static str),
    Argument(&'static str),
    Set,
    /// URLs are numbered from 1
    Url(u32),
    UrlVariable(u32),
}

impl At {
    /// The line, 0 for what stands in no file.
    pub(super) fn line(self) -> u32 {
        match self {
            At::Main(line) | At::Users(line) => line,
            At::Variable(_) | At::Argument(_) | At::Set | At::Url(_) | At::UrlVariable(_) => 0,
        }
    }

    /// The place as a message about another place of the same kind names it.
    pub(super) fn other(self) -> String {
        match self {
            At::Url(number) | At::UrlVariable(number) => format!("in URL {number}"),
            at => format!("on line {}", at.line()),
        }
    }
}

/// Everything found in one run. Bounded by the sizes of the files: each key of a file adds at most one entry, each table a fixed few more.
pub(super) struct Findings {
    main: String,
    users: String,
    problems: Vec<(At, Problem)>,
    warnings: Vec<(Option<At>, String)>,
}

impl Findings {
    /// The names of the two files, for the messages.
    pub(super) fn new(main: &str, users: &str) -> Self {
        Findings { main: main.to_owned(), users: users.to_owned(), problems: Vec::new(), warnings: Vec::new() }
    }

    /// How much has been found.
    pub(super) fn len(&self) -> usize {
        self.problems.len() + self.warnings.len()
    }

    fn place(&self, at: At) -> Place {
        match at {
            At::Main(line) => Place::File { name: self.main.clone(), line },
            At::Users(line) => Place::File { name: self.users.clone(), line },
            At::Variable(name) => Place::Variable(name),
            At::Argument(name) => Place::Argument(name),
            At::Set => Place::Set,
            At::Url(number) => Place::Url(number),
            At::UrlVariable(number) => Place::UrlVariable(number),
        }
    }

    pub(super) fn problem(&mut self, at: At, what: What) {
        let problem = Problem { place: self.place(at), what };
        self.problems.push((at, problem));
    }

    pub(super) fn warn(&mut self, at: At, text: impl fmt::Display) {
        let text = format!("{}: {text}", self.place(at));
        self.warnings.push((Some(at), text));
    }

    /// A warning about nothing that stands anywhere.
    pub(super) fn remark(&mut self, text: impl fmt::Display) {
        self.warnings.push((None, text.to_string()));
    }

    /// The warnings if there is no problem, else the problems; both in the order of the files.
    pub(super) fn verdict(mut self) -> Result<Vec<String>, Vec<Problem>> {
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|(at, _)| order(Some(*at)));
            return Err(self.problems.into_iter().map(|(_, problem)| problem).collect());
        }
        self.warnings.sort_by_key(|(at, _)| order(*at));
        Ok(self.warnings.into_iter().map(|(_, text)| text).collect())
    }
}

fn order(at: Option<At>) -> (u8, u32) {
    match at {
        None => (0, 0),
        Some(At::Main(line)) => (1, line),
        Some(At::Users(line)) => (2, line),
        Some(At::Variable(_)) => (3, 0),
        Some(At::Argument(_)) => (4, 0),
        Some(At::Url(number) | At::UrlVariable(number)) => (5, number),
        Some(At::Set) => (6, 0),
    }
}

/// A name from a file as messages print it: control characters escaped, cut to a bounded length.
pub(super) fn printed(name: &str) -> String {
    let mut text: String = name.chars().take(SHOWN_NAME).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN_NAME).is_some() {
        text.push_str("...");
    }
    text
}

/// The known name that a typing error most likely meant: a third of its characters may differ.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > COMPARED_NAME {
        return None;
    }
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's edit distance over bytes, with one row of memory.
fn distance(left: &str, right: &str) -> usize {
    let right = right.as_bytes();
    let mut costs: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.bytes().enumerate() {
        let mut diagonal = row;
        let mut before = row + 1;
        costs[0] = before;
        for (cost, to) in costs[1..].iter_mut().zip(right) {
            let changed = diagonal + usize::from(from != *to);
            diagonal = *cost;
            before = changed.min(before + 1).min(diagonal + 1);
            *cost = before;
        }
    }
    costs.last().copied().unwrap_or(0)
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
