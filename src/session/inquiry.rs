//! The question to a server what a client's transaction has left in its session, and what follows from the answer. It goes out behind the
//! client's own last answer, when something suspicious was seen, as one simple query; everything in it is spelled out with its schema.
//!
//! What it cannot show: parameters of which neither a text nor the client's profile tells the name, where PostgreSQL does not list them (custom
//! ones like `app.user`, set by a function).

use super::made::{MADE_MAX, Told, replayable};
use super::parameters::{Profile, is_custom, is_tracked};
use super::statements::PREFIX;
use super::suspicion::{Pins, Suspicion};
use crate::sql::may::May;
use crate::wire::server::data_row_values;
use crate::wire::set::literal;

/// Rows of one answer that are read; PostgreSQL has fewer than 400 parameters.
const ROWS_MAX: usize = 1000;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    /// all parameters that PostgreSQL lists, not only those with names here
    all: bool,
    /// parameters asked about by name, and why
    names: Vec<(String, Why)>,
    /// reasons to stay that were asked about
    pins: Pins,
    /// how statements of SQL's PREPARE were asked about
    made: Made,
}

/// What is asked about statements that go by names of their clients' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Made {
    /// whether there are any of SQL's PREPARE
    #[default]
    Any,
    /// which there are
    Names,
    /// which there are, and their texts, so that they need not stay
    Texts,
}

/// Why a parameter is asked about by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Set,
    Reset,
    /// it is one that PostgreSQL does not list
    Unlisted,
}

/// The parts of a question that ask for reasons to stay: what makes it worth asking, the reason, its letter, and SQL that has a row if there is one.
const PARTS: [(May, Pins, &str, &str); 5] = [
    // What DISCARD TEMP would drop: whatever depends on the schema, functions and types included (RemoveTempRelations in namespace.c).
    (
        May::TEMPORARY,
        Pins::TEMPORARY,
        "t",
        "EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
        AND refobjid = pg_catalog.pg_my_temp_schema())",
    ),
    (May::HOLDS, Pins::CURSORS, "h", "EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)"),
    (
        May::LOCKS,
        Pins::LOCKS,
        "a",
        "EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND granted)",
    ),
    (May::LISTENS, Pins::LISTENS, "l", "EXISTS (SELECT FROM pg_catalog.pg_listening_channels())"),
    (May::PREPARES, Pins::PREPARED, "s", "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)"),
];

/// The session speaks for somebody else than who logged in.
const OTHER_USER: &str = "session_user <> (SELECT rolname FROM pg_catalog.pg_roles WHERE oid = \
    (SELECT usesysid FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())))";

/// Name of the parameter by which a client keeps its server.
const PIN: &str = "pgdog.pin";

/// What there is to ask; None: nothing. `profile` is what the session was given, `pins` why the client stays already.
pub fn question(suspicion: &Suspicion, pins: Pins, profile: &Profile, made: Made) -> Option<Question> {
    let may = suspicion.may;
    // A function may give back what keeps the client here, as well as a text that says so.
    let ends = may.meets(May::FREES.with(May::CALLS).with(May::SETS));
    let again = !pins.is_empty() && ends || pins.contains(Pins::UNKNOWN);
    let all = may.contains(May::SETS) || pins.contains(Pins::UNKNOWN);
    let mut names: Vec<(String, Why)> = Vec::new();
    for (name, set) in &suspicion.names {
        // What is not ASCII here depends on the client's encoding: then the server is asked for everything, and kept.
        let name = String::from_utf8_lossy(name).into_owned();
        if !is_tracked(&name) {
            names.push((name, if *set { Why::Set } else { Why::Reset }));
        }
    }
    let mut parts: Vec<String> = Vec::new();
    let mut asked = Pins::NONE;
    for (flag, pin, letter, condition) in PARTS {
        if may.contains(flag) || (again && pins.contains(pin)) || pins.contains(Pins::UNKNOWN) {
            asked = asked.with(pin);
            parts.push(match made {
                _ if pin != Pins::PREPARED => format!("SELECT '{letter}','',NULL WHERE {condition}"),
                Made::Any => format!("SELECT '{letter}','',NULL WHERE {condition}"),
                Made::Names | Made::Texts => statements(made),
            });
        }
    }
    if parts.is_empty() && names.is_empty() && !all {
        return None;
    }
    if all {
        for name in profile.names().filter(|name| is_custom(name)).chain(["role"]) {
            if !names.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                names.push((name.to_string(), Why::Unlisted));
            }
        }
        let listed = "FROM pg_catalog.pg_settings WHERE source = 'session' \
            AND name NOT IN ('transaction_isolation','transaction_read_only','transaction_deferrable')";
        parts.push(format!("SELECT 'p',name,{} {listed}", hex("setting")));
        parts.push(format!("SELECT 'p','session_authorization',{} WHERE {OTHER_USER}", hex("session_user")));
    }
    for (name, _) in &names {
        let mut quoted = String::new();
        literal(&mut quoted, name);
        parts.push(format!("SELECT 'p',{quoted},{}", hex(&format!("pg_catalog.current_setting({quoted},true)"))));
    }
    let pins = if pins.contains(Pins::UNKNOWN) { asked.with(Pins::UNKNOWN) } else { asked };
    Some(Question { text: parts.join(" UNION ALL "), all, names, pins, made })
}

/// SQL that lists statements: `s` those of PREPARE, `c` those of the protocol whose names are not ours.
fn statements(made: Made) -> String {
    let text = match made {
        Made::Texts => format!("CASE WHEN from_sql AND pg_catalog.octet_length(statement)<={MADE_MAX} THEN {} END", hex("statement")),
        _ => "NULL".to_string(),
    };
    let ours = String::from_utf8_lossy(PREFIX);
    let (name, length) = (hex("name"), PREFIX.len());
    format!(
        "SELECT CASE WHEN from_sql THEN 's' ELSE 'c' END,{name},{text} FROM pg_catalog.pg_prepared_statements \
        WHERE from_sql OR pg_catalog.left(name,{length})<>'{ours}'"
    )
}

/// An expression's value in letters that every client_encoding has.
fn hex(value: &str) -> String {
    format!("pg_catalog.encode(pg_catalog.convert_to({value},'UTF8'),'hex')")
}

/// What the server says.
#[derive(Debug, Default)]
pub struct Answer {
    values: Vec<(String, Option<String>)>,
    statements: Vec<Told>,
    /// of those of PREPARE, one cannot be made elsewhere
    stays: bool,
    pins: Pins,
    /// it failed, or cannot be read
    bad: bool,
}

impl Answer {
    /// One row of it.
    pub fn row(&mut self, body: &[u8]) {
        let Some([kind, name, value]) = data_row_values(body) else { return self.fail() };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match (kind, name.and_then(text)) {
            (Some(b"p"), Some(name)) if self.values.len() < ROWS_MAX => match value.map(decode) {
                Some(None) => self.fail(),
                value => self.values.push((name, value.flatten())),
            },
            (Some(kind @ (b"s" | b"c")), Some(name)) if !name.is_empty() && self.statements.len() < ROWS_MAX => {
                self.statement(kind == b"c", &name, value)
            }
            (Some(letter), Some(name)) if name.is_empty() => match PARTS.iter().find(|(_, _, known, _)| known.as_bytes() == letter) {
                Some(&(_, pin, ..)) => self.pins = self.pins.with(pin),
                None => self.fail(),
            },
            _ => self.fail(),
        }
    }

    fn statement(&mut self, copy: bool, name: &str, text: Option<&[u8]>) {
        let Some(name) = decode(name.as_bytes()) else { return self.fail() };
        let text = text.and_then(decode).filter(|text| replayable(name.as_bytes(), text.as_bytes()));
        if !copy {
            self.pins = self.pins.with(Pins::PREPARED);
            self.stays |= text.is_none();
        }
        self.statements.push(Told { name: name.as_bytes().into(), copy, text: text.map(|text| text.as_bytes().into()) });
    }

    /// The statements that there are, if that was asked and can be told.
    pub fn take_statements(&mut self, question: &Question) -> Option<Vec<Told>> {
        let told = question.made != Made::Any && question.pins.contains(Pins::PREPARED) && !self.bad;
        told.then(|| std::mem::take(&mut self.statements))
    }

    /// It cannot be had.
    pub fn fail(&mut self) {
        self.bad = true;
    }

    /// What keeps the client at its server now.
    pub fn pins(&self, question: &Question, before: Pins) -> Pins {
        if self.bad {
            return before.with(Pins::UNKNOWN);
        }
        let mut pins = before.without(question.pins).with(self.pins);
        if question.made == Made::Texts && !self.stays {
            // They go with their client.
            pins = pins.without(Pins::PREPARED);
        }
        if let Some((_, value)) = self.values.iter().find(|(name, _)| name.eq_ignore_ascii_case(PIN)) {
            let held = value.as_deref().is_some_and(is_true);
            pins = if held { pins.with(Pins::BY_HAND) } else { pins.without(Pins::BY_HAND) };
        }
        pins
    }

    /// Parameters in it that PostgreSQL does not list.
    pub fn customs(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str()).filter(|name| is_custom(name))
    }

    /// What the client wants from now on, given what it wanted before and what it asked for when it came; None: nothing else.
    pub fn profile(&self, question: &Question, before: &Profile, startup: &Profile) -> Option<Profile> {
        if self.bad {
            return None;
        }
        let mut after = before.clone();
        if question.all {
            let found = |name: &str| self.values.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
            after.retain(|name| is_tracked(name) || is_custom(name) || found(name));
        }
        for (name, value) in &self.values {
            if is_tracked(name) {
                continue;
            }
            let why = question.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(Why::Set, |(_, why)| *why);
            // A parameter of the application's own is there for good, and empty when it is reset.
            let stays = why == Why::Reset && is_custom(name) && before.get(name).is_some();
            let Some(value) = value.as_deref().filter(|value| stays || !is_default(name, value, why)) else {
                after.unset(name);
                continue;
            };
            // Reset, and neither as it was nor as the client wanted it at first: it is the server's own value.
            if why != Why::Reset || stays || before.get(name) == Some(value) || startup.get(name).is_some() {
                after.set(name.clone(), value.to_string());
            } else {
                after.unset(name);
            }
        }
        after.settle();
        (after != *before).then_some(after)
    }
}

/// Whether such a value is what nobody has set.
fn is_default(name: &str, value: &str, why: Why) -> bool {
    name.eq_ignore_ascii_case("role") && value == "none" || value.is_empty() && is_custom(name) && why != Why::Set
}

/// As parse_bool (src/backend/utils/adt/bool.c) takes it.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1")
}

fn decode(hex: &[u8]) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let bytes: Option<Vec<u8>> = hex.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
#[path = "inquiry_tests.rs"]
mod tests;
