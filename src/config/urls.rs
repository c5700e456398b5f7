//! Databases and users out of URLs, as the command line (`--database-url`) or the environment (`PGDOG_DATABASE_URL_1`, `_2`, ...) give them.
//! Invariant: a URL ends as the same blocks that files end as, so that everything said about those holds here too; and no message repeats a URL,
//! because most hold a password. That they replace the files' lists is all that is decided here; what blocks mean is left to `pools`.
//!
//! `postgres://user:password@host:port/database?key=value&...`; everything may be left out, and every part percent-encoded. The keys are those of
//! `[[databases]]` that PgDog reads, besides `host` and `port`, with which libpq names the directory of a Unix socket.

use std::collections::HashMap;

use super::file::{Block, Entry, Value, from_variable};
use super::inputs::Inputs;
use super::problem::{At, Findings, What, printed};
use super::table::{Section, section_named};

/// URLs taken from the environment at most.
const URLS_MAX: u32 = 10_000;
/// What stands in for what a URL leaves out, as PgDog has it.
const HOST: &str = "127.0.0.1";
const NAME: &str = "postgres";
/// The keys of a query that are keys of `[[databases]]`.
const KEYS: &[&str] = &[
    "database_name",
    "role",
    "shard",
    "user",
    "password",
    "pool_size",
    "min_pool_size",
    "pooler_mode",
    "statement_timeout",
    "lock_timeout",
    "idle_timeout",
    "read_only",
    "server_lifetime",
    "server_lifetime_jitter",
];
/// libpq's words for an encryption that may not be left out.
const ENCRYPTED: &[&str] = &["require", "verify-ca", "verify-full"];

/// Every URL there is, with its place: those of the command line, else those of the environment.
pub(super) fn given(inputs: &Inputs<'_>) -> Vec<(At, String)> {
    let line = &inputs.line.database_urls;
    if !line.is_empty() {
        return line.iter().zip(1..).map(|(url, number)| (At::Url(number), url.clone())).collect();
    }
    let variables = (1..=URLS_MAX).map_while(|number| Some((number, (inputs.env)(&format!("PGDOG_DATABASE_URL_{number}"))?)));
    variables.map(|(number, url)| (At::UrlVariable(number), url)).collect()
}

/// The blocks of `[[databases]]` and `[[users]]` that these URLs stand for. A database or user that is named twice with the same words stands once.
pub(super) fn blocks(urls: &[(At, String)], user: Option<String>, findings: &mut Findings) -> Vec<Block> {
    let (Some(databases), Some(users)) = (section_named("databases"), section_named("users")) else { return Vec::new() };
    let mut blocks: Vec<Block> = Vec::new();
    // The first block of a section, name and database; a later one with other words is judged where those of files are.
    let mut firsts: HashMap<(&str, String, String), usize> = HashMap::new();
    for (at, url) in urls {
        let parts = match Parts::of(url) {
            Ok(parts) => parts,
            Err(reason) => {
                findings.problem(*at, What::Url { reason });
                continue;
            }
        };
        let mut maker = Maker { at: *at, findings };
        let name = if parts.path.is_empty() { NAME.to_owned() } else { parts.path.clone() };
        for block in [maker.database(databases, &name, &parts), maker.user(users, &name, &parts, user.as_deref())] {
            let word = |key: &str| match block.entries.get(key).map(|entry| &entry.value) {
                Some(Value::Text(text)) => text.clone(),
                _ => String::new(),
            };
            let first = *firsts.entry((block.section.name, word("name"), word("database"))).or_insert(blocks.len());
            if blocks.get(first).is_none_or(|first| !first.says_what(&block)) {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// A URL taken apart and decoded.
#[derive(Default)]
struct Parts {
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: String,
    /// name of the database
    path: String,
    query: Vec<(String, String)>,
}

impl Parts {
    fn of(url: &str) -> Result<Parts, &'static str> {
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or("it has to begin with postgres:// or postgresql://")?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
        if place.contains(',') {
            return Err("it names several hosts; only one server per database is built");
        }
        let mut parts = Parts { path: decoded(path)?, ..Parts::default() };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
            parts.user = Some(decoded(user)?).filter(|user| !user.is_empty());
            parts.password = password.map(decoded).transpose()?.filter(|password| !password.is_empty());
        }
        let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((address, port))) => (address, port.strip_prefix(':').unwrap_or(port)),
            Some(None) => return Err("the bracket of its address is not closed"),
            None => place.rsplit_once(':').unwrap_or((place, "")),
        };
        (parts.host, parts.port) = (decoded(host)?, decoded(port)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decoded(key)?, decoded(value)?);
            match key.as_str() {
                "host" => parts.host = value,
                "port" => parts.port = value,
                _ => parts.query.push((key, value)),
            }
        }
        Ok(parts)
    }
}

/// Percent-decoding. A `+` is a plus, as libpq reads it.
fn decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => bytes.push(high << 4 | low),
                _ => return Err("a % in it is not followed by two hexadecimal digits; write %25 for the sign itself"),
            },
            byte => bytes.push(byte),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| "decoded, it is not UTF-8")?;
    if text.contains('\0') { Err("it has a zero byte in it") } else { Ok(text) }
}

/// Makes the blocks of one URL.
struct Maker<'f> {
    at: At,
    findings: &'f mut Findings,
}

impl Maker<'_> {
    fn put(&mut self, block: &mut Block, key: &str, text: &str) {
        let Some(row) = block.section.key(key) else { return };
        match from_variable(row, text) {
            Ok(value) => {
                block.entries.insert(row.name, Entry { value, at: self.at });
            }
            Err(expected) => self.findings.problem(self.at, What::UrlKey { key: row.name, expected }),
        }
    }

    fn database(&mut self, section: &'static Section, name: &str, parts: &Parts) -> Block {
        let mut block = Block::empty(section, self.at);
        self.put(&mut block, "name", name);
        self.put(&mut block, "host", if parts.host.is_empty() { HOST } else { &parts.host });
        if !parts.port.is_empty() {
            self.put(&mut block, "port", &parts.port);
        }
        for (key, value) in &parts.query {
            match key.as_str() {
                known if KEYS.contains(&known) => self.put(&mut block, known, value),
                "sslmode" if ENCRYPTED.contains(&value.as_str()) => self.findings.problem(self.at, What::UrlEncrypted),
                "sslmode" => {}
                unknown => self.findings.warn(self.at, format!("the key \"{}\" is not known and changes nothing", printed(unknown))),
            }
        }
        block
    }

    fn user(&mut self, section: &'static Section, database: &str, parts: &Parts, user: Option<&str>) -> Block {
        let mut block = Block::empty(section, self.at);
        self.put(&mut block, "name", parts.user.as_deref().or(user).unwrap_or(NAME));
        self.put(&mut block, "database", database);
        if parts.password.is_none() {
            self.findings.warn(self.at, format!("it has no password, so the password is \"{NAME}\", as in PgDog"));
        }
        self.put(&mut block, "password", parts.password.as_deref().unwrap_or(NAME));
        block
    }
}

#[cfg(test)]
#[path = "urls_tests.rs"]
mod tests;
