//! What the sharding sections say of one database, as plain values: how many shards there are, and which rule leads where.
//! Invariant: what stands in these structs has been checked (`sharding` does it): shards exist, values are of the type of their key, no value
//! belongs to two shards. What a statement makes of it, and how a rule is looked up quickly, is left to `route`.

use std::fmt;

/// The most shards of one database. Their map has 1,024 slots for each, and names a shard in two bytes.
pub const SHARDS_MAX: usize = 1_024;
/// Rules of one sharded table: values and ranges.
pub const RULES_MAX: usize = 100_000;

/// `data_type`: what the column of a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// also smallint and integer
    Bigint,
    Uuid,
    /// also text
    Varchar,
}

impl fmt::Display for DataType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            DataType::Bigint => "bigint",
            DataType::Uuid => "uuid",
            DataType::Varchar => "varchar",
        })
    }
}

/// `hasher`: the function from a key to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hasher {
    /// that of `PARTITION BY HASH`
    Postgres,
    /// the last four bytes of a SHA-1
    Sha1,
}

impl fmt::Display for Hasher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Hasher::Postgres => "postgres",
            Hasher::Sha1 => "sha1",
        })
    }
}

/// A value of a mapping, in the type of its table's key. Values of one type order as rules compare them: texts by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyValue {
    Int(i64),
    Uuid([u8; 16]),
    Text(String),
}

impl fmt::Display for KeyValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyValue::Int(value) => write!(out, "{value}"),
            KeyValue::Uuid(bytes) => {
                for (at, byte) in bytes.iter().enumerate() {
                    let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(out, "{hyphen}{byte:02x}")?;
                }
                Ok(())
            }
            KeyValue::Text(text) => write!(out, "{text:?}"),
        }
    }
}

/// Keys from `start` on and before `end`; without one of them there is no bound on that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Option<KeyValue>,
    pub end: Option<KeyValue>,
    pub shard: u16,
}

/// Rules from values to shards; the list is asked first, then the ranges, then the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// in order, each value once
    pub list: Vec<(KeyValue, u16)>,
    /// in order, and no two overlap
    pub ranges: Vec<Range>,
    pub default: Option<u16>,
}

/// One `[[sharded_tables]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedTable {
    /// None: in every schema
    pub schema: Option<String>,
    /// None: every table that has the column
    pub table: Option<String>,
    pub column: String,
    pub data_type: DataType,
    pub hasher: Hasher,
    /// the table that the key belongs to
    pub primary: bool,
    /// None: by hash
    pub mapping: Option<Mapping>,
}

/// Where a schema lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Shard(u16),
    All,
}

/// One `[[sharded_schemas]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardedSchema {
    /// None: every schema without a rule of its own
    pub name: Option<String>,
    pub home: Home,
}

/// One table of an `[[omnisharded_tables]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Omnisharded {
    pub table: String,
    /// a client's reads of it stay on one shard
    pub sticky: bool,
}

/// All that is said of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharded {
    pub database: String,
    /// at least 1, at most `SHARDS_MAX`
    pub shards: u16,
    pub tables: Vec<ShardedTable>,
    pub schemas: Vec<ShardedSchema>,
    pub omnisharded: Vec<Omnisharded>,
}

/// A uuid in one of the ways in which PostgreSQL reads them: 32 hexadecimal digits, a hyphen behind any two bytes or none, braces around all of
/// it or none, and nothing else, no blank either.
pub fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut rest = match text {
        [b'{', inner @ .., b'}'] => inner,
        bare => bare,
    };
    let mut value = [0; 16];
    for (at, byte) in value.iter_mut().enumerate() {
        let [high, low, behind @ ..] = rest else { return None };
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        if high | low > 15 {
            return None;
        }
        *byte = high << 4 | low;
        rest = match behind {
            [b'-', behind @ ..] if at % 2 == 1 && at < 15 => behind,
            behind => behind,
        };
    }
    rest.is_empty().then_some(value)
}

/// The value of each hexadecimal digit, 255 for what is none: a key of 36 characters is read with each statement.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
#[path = "sharded_tests.rs"]
mod tests;
