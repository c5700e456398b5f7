//! The table of settings: what a row says, and the list of sections that hold the rows.
//! Invariant: a key exists here or it does not exist; its type, default, environment variable and kind are said nowhere else, so the files,
//! SHOW CONFIG and the documentation follow from a row. The rows themselves stand in the `table_*` files; what values mean is left to `build`.

use super::{table_general, table_limits, table_routing, table_sections};

/// The largest pool: PostgreSQL cannot have more server processes than this (MAX_BACKENDS in its `postmaster.h`).
pub const MAX_POOL_SIZE: i64 = 0x3_FFFF;
/// The most data cores; more CPUs than this are not one machine that we know.
pub const MAX_WORKERS: i64 = 1024;
/// The value that PgDog stores for "never" in durations and "no limit" in sizes.
pub const UNLIMITED: i64 = i64::MAX;

/// What happens when a key, a section or one value of a key is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// it works
    Built,
    /// it does nothing yet, and nobody is hurt by that: one warning
    Harmless,
    /// it does nothing yet, and to ignore it could give a wrong answer, a hole or a limit that does not hold: refused
    Needed,
}

/// The type of a value in TOML. Integers and floats carry their inclusive bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    Bool,
    /// bounds, and the unit as it is printed ("" for a plain count)
    Int {
        min: i64,
        max: i64,
        unit: &'static str,
    },
    Float {
        min: f64,
        max: f64,
    },
    /// any string without a zero byte
    Text,
    /// a string with at least one character and no zero byte
    Name,
    /// one of these words
    Choice(&'static [&'static str]),
    /// array of strings
    Texts,
    /// array of integers from 0 up
    Ints,
    /// table of strings
    Map,
    /// array of tables, each one an instance of the section of this name
    Nested(&'static str),
    /// kept as it is and not looked at, because nothing built reads it
    Any,
}

/// What a key is when no file and no variable names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// leaving it out is an error
    Required,
    /// unset; SHOW CONFIG prints `default`
    Unset,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'static str),
    /// an empty list or map
    Empty,
}

/// One row: all that is known about one key.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    /// other names that the files may use for it
    pub aliases: &'static [&'static str],
    pub ty: Type,
    pub default: Preset,
    /// the whole name of the variable that fills it when the file does not
    pub env: Option<&'static str>,
    /// false: a reload notices the change and says that it waits for a restart
    pub reloadable: bool,
    pub kind: Kind,
    /// values that are `Needed` whatever `kind` says
    pub needs: &'static [&'static str],
    /// values that are `Harmless` whatever `kind` says
    pub lacks: &'static [&'static str],
    /// one sentence
    pub doc: &'static str,
}

/// `[name]` or `[[name]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Table,
    Array,
    /// an array of tables inside another section
    Nested,
}

/// Which file a section may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Main,
    Users,
    Both,
}

/// What an unknown key in a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// an error
    Refused,
    /// a warning, because PgDog accepts it silently there
    Tolerated,
}

/// One section: where it may stand, what its presence means, and its rows in groups.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub name: &'static str,
    pub shape: Shape,
    pub home: Home,
    pub unknown: Unknown,
    /// `Built`: look at each key. Otherwise the presence of the section decides and its keys are not warned about one by one.
    pub presence: Kind,
    pub doc: &'static str,
    groups: &'static [&'static [Setting]],
}

/// Every section, in the order of the documentation.
pub static SECTIONS: &[Section] = &[
    section("general", Shape::Table, "The service as a whole.", &[table_general::KEYS, table_limits::KEYS, table_routing::KEYS]),
    section("cores", Shape::Table, "Where data cores run and how they share work (ours; PgDog has no such section).", &[table_sections::CORES]),
    section(
        "databases",
        Shape::Array,
        "One PostgreSQL server of one database that clients can name.",
        &[table_sections::DATABASES, table_limits::DATABASE],
    ),
    section("users", Shape::Array, "One user of one database.", &[table_sections::USERS, table_limits::USER]).home(Home::Users),
    section("admin", Shape::Table, "The admin database; the one in the users file wins.", &[table_sections::ADMIN]).home(Home::Both),
    section("tcp", Shape::Table, "Socket options of client and server connections.", &[table_sections::TCP]),
    section("memory", Shape::Table, "Buffer sizes of PgDog; our buffers have their own bounds.", &[table_sections::MEMORY]),
    section("rewrite", Shape::Table, "Changes to statements on a sharded database.", &[table_sections::REWRITE]),
    section("sharded_tables", Shape::Array, "Tables whose rows are spread by a key.", &[table_sections::SHARDED_TABLES]),
    section("sharded_tables.mapping", Shape::Nested, "Rules from key values to shards.", &[table_sections::MAPPING]),
    section("sharded_mappings", Shape::Array, "Older form of the mapping rules.", &[table_sections::SHARDED_MAPPINGS]),
    section("sharded_schemas", Shape::Array, "Schemas that live on one shard.", &[table_sections::SHARDED_SCHEMAS]).tolerant(),
    section("omnisharded_tables", Shape::Array, "Tables that every shard holds whole.", &[table_sections::OMNISHARDED]).tolerant(),
    section("multi_tenant", Shape::Table, "Refuses statements that do not name the tenant.", &[table_sections::MULTI_TENANT])
        .presence(Kind::Needed)
        .tolerant(),
    section("plugins", Shape::Array, "Shared libraries that route statements.", &[table_sections::PLUGINS]).presence(Kind::Needed),
    section("mirroring", Shape::Array, "Copies traffic to a second database.", &[table_sections::MIRRORING]).presence(Kind::Needed),
    section("replica_lag", Shape::Table, "How old a replica may be (older form).", &[table_sections::REPLICA_LAG])
        .presence(Kind::Harmless)
        .tolerant(),
    section("replication", Shape::Table, "Tools for moving data.", &[table_sections::REPLICATION]).presence(Kind::Harmless).tolerant(),
    section("otel", Shape::Table, "Pushes metrics over OTLP.", &[table_sections::OTEL]).presence(Kind::Harmless),
    section("vault", Shape::Table, "Secrets from Vault; users that need one are refused by their own keys.", &[table_sections::VAULT])
        .presence(Kind::Harmless),
    section("query_parsers", Shape::Array, "The parser level of one database.", &[table_sections::QUERY_PARSERS]),
    section("control", Shape::Table, "PgDog Enterprise: its control plane.", &[table_sections::CONTROL]).presence(Kind::Harmless).tolerant(),
    section("qos", Shape::Table, "PgDog Enterprise: quality of service.", &[table_sections::QOS]).presence(Kind::Harmless).tolerant(),
    section("query_stats", Shape::Table, "PgDog Enterprise: statistics per query.", &[table_sections::QUERY_STATS])
        .presence(Kind::Harmless)
        .tolerant(),
    section("autodiscovery", Shape::Table, "PgDog Enterprise: finds databases by itself.", &[table_sections::AUTODISCOVERY])
        .presence(Kind::Harmless)
        .tolerant(),
    section("autodiscovery.databases", Shape::Nested, "PgDog Enterprise: databases to look for.", &[table_sections::AUTODISCOVERY_DATABASES])
        .presence(Kind::Harmless)
        .tolerant(),
];

/// Milliseconds; `UNLIMITED` means never.
pub(super) const CONNECTS: Type = Type::Int { min: 1, max: 10_000, unit: "" };
pub(super) const MS: Type = Type::Int { min: 0, max: i64::MAX, unit: "ms" };
pub(super) const US: Type = Type::Int { min: 0, max: i64::MAX, unit: "us" };
pub(super) const BYTES: Type = Type::Int { min: 0, max: i64::MAX, unit: "bytes" };
pub(super) const COUNT: Type = Type::Int { min: 0, max: i64::MAX, unit: "" };
pub(super) const PORT: Type = Type::Int { min: 0, max: u16::MAX as i64, unit: "" };
pub(super) const SERVER_PORT: Type = Type::Int { min: 1, max: u16::MAX as i64, unit: "" };
pub(super) const BYTE: Type = Type::Int { min: 0, max: u8::MAX as i64, unit: "" };
pub(super) const RETRIES: Type = Type::Int { min: 0, max: u32::MAX as i64, unit: "" };
pub(super) const WORKERS: Type = Type::Int { min: 0, max: MAX_WORKERS, unit: "cores" };
pub(super) const POOL: Type = Type::Int { min: 1, max: MAX_POOL_SIZE, unit: "connections" };
pub(super) const POOL_MIN: Type = Type::Int { min: 0, max: MAX_POOL_SIZE, unit: "connections" };

const fn section(name: &'static str, shape: Shape, doc: &'static str, groups: &'static [&'static [Setting]]) -> Section {
    Section { name, shape, home: Home::Main, unknown: Unknown::Refused, presence: Kind::Built, doc, groups }
}

const fn row(name: &'static str, ty: Type, default: Preset, kind: Kind, doc: &'static str) -> Setting {
    Setting { name, aliases: &[], ty, default, env: None, reloadable: true, kind, needs: &[], lacks: &[], doc }
}

pub(super) const fn built(name: &'static str, ty: Type, default: Preset, doc: &'static str) -> Setting {
    row(name, ty, default, Kind::Built, doc)
}

pub(super) const fn harmless(name: &'static str, ty: Type, default: Preset, doc: &'static str) -> Setting {
    row(name, ty, default, Kind::Harmless, doc)
}

pub(super) const fn needed(name: &'static str, ty: Type, default: Preset, doc: &'static str) -> Setting {
    row(name, ty, default, Kind::Needed, doc)
}

impl Setting {
    pub(super) const fn env(mut self, variable: &'static str) -> Self {
        self.env = Some(variable);
        self
    }

    pub(super) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn restart(mut self) -> Self {
        self.reloadable = false;
        self
    }

    pub(super) const fn needs(mut self, values: &'static [&'static str]) -> Self {
        self.needs = values;
        self
    }

    /// The unit as it is printed, "" for none.
    pub fn unit(&self) -> &'static str {
        match self.ty {
            Type::Int { unit, .. } => unit,
            _ => "",
        }
    }
}

impl Section {
    const fn home(mut self, home: Home) -> Self {
        self.home = home;
        self
    }

    const fn presence(mut self, kind: Kind) -> Self {
        self.presence = kind;
        self
    }

    const fn tolerant(mut self) -> Self {
        self.unknown = Unknown::Tolerated;
        self
    }

    /// The rows, in the order of the documentation and of SHOW CONFIG.
    pub fn keys(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The row of this name or alias.
    pub fn key(&self, name: &str) -> Option<&'static Setting> {
        self.keys().find(|row| row.name == name || row.aliases.contains(&name))
    }

    /// How the section is written in a file.
    pub fn heading(&self) -> String {
        match self.shape {
            Shape::Table => format!("[{}]", self.name),
            Shape::Array | Shape::Nested => format!("[[{}]]", self.name),
        }
    }
}

/// The section of this name.
pub fn section_named(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
