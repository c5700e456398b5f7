//! From the bytes of a literal or a parameter to a key, by PostgreSQL's own input rules.
//! Invariant: a value that PostgreSQL would take for the type is the same value here, and one that it would not take is an error with the
//! SQLSTATE that it would give; nothing is rounded, cut or guessed, and nothing is allocated. Texts must come in the encoding of the server: who
//! speaks another one is left to the caller, as are values that the column changes when it stores them (what `varchar(n)` cuts off).

use std::fmt;

use crate::config::sharded::{DataType, uuid};

/// The type of a column whose values are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    Int2,
    Int4,
    Int8,
    Uuid,
    /// text and varchar, under a deterministic collation: under another one equal texts have different bytes, and the column is refused as a key
    Text,
    /// character(n): blanks at its end do not count
    Bpchar,
}

impl From<DataType> for KeyType {
    fn from(data_type: DataType) -> KeyType {
        match data_type {
            DataType::Bigint => KeyType::Int8,
            DataType::Uuid => KeyType::Uuid,
            DataType::Varchar => KeyType::Text,
        }
    }
}

/// Why a column cannot hold keys as it is configured. The fault is the configuration's or the schema's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    #[error("`data_type` is {configured}, and the column is of another type: keys would be looked for where they are not")]
    Other { configured: DataType },
    #[error("the column has a nondeterministic collation, under which equal texts have different bytes and so different shards; use another one")]
    Collation,
}

impl KeyType {
    /// The type of a column, by the OID of its type and whether its collation is deterministic (true where there is none). Types that are not
    /// listed, such as domains and numeric, hash differently or not at all.
    pub fn of_column(configured: DataType, oid: u32, deterministic: bool) -> Result<KeyType, ColumnError> {
        match (configured, oid) {
            (DataType::Bigint, 20) => Ok(KeyType::Int8),
            (DataType::Bigint, 23) => Ok(KeyType::Int4),
            (DataType::Bigint, 21) => Ok(KeyType::Int2),
            (DataType::Uuid, 2950) => Ok(KeyType::Uuid),
            (DataType::Varchar, 25 | 1042 | 1043) if !deterministic => Err(ColumnError::Collation),
            (DataType::Varchar, 25 | 1043) => Ok(KeyType::Text),
            (DataType::Varchar, 1042) => Ok(KeyType::Bpchar),
            _ => Err(ColumnError::Other { configured }),
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            KeyType::Int2 => "smallint",
            KeyType::Int4 => "integer",
            KeyType::Int8 => "bigint",
            KeyType::Uuid => "uuid",
            KeyType::Text => "text",
            KeyType::Bpchar => "character",
        })
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// what the input function of the type reads, by the rules of the server's version
    Text(Server),
    /// what its receive function reads
    Binary,
}

/// Versions of PostgreSQL that read integers differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// up to 15: decimal digits and nothing else
    Decimal,
    /// from 16 on: `0x`, `0o`, `0b` and underscores too
    Based,
}

impl Server {
    /// By the number of the major version.
    pub fn of(major: u32) -> Server {
        if major < 16 { Server::Decimal } else { Server::Based }
    }
}

/// A key. Integers of every width are the same key when they are equal, as they are the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    Int(i64),
    Uuid([u8; 16]),
    Text(&'a [u8]),
}

/// Why a value is no key of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// its text is not one of the type
    Syntax,
    /// it is an integer that the type does not hold
    Range,
    /// fewer bytes than the binary form has
    Short,
    /// more bytes than the binary form has
    Long,
    /// a text with a zero byte
    Zero,
}

/// A value that is no key. It is the client's fault, as it would be at the server, and the same statement fails again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a value of type {key_type}")]
pub struct KeyError {
    pub key_type: KeyType,
    pub why: Why,
}

/// Bytes of a value that a message repeats.
const SHOWN_VALUE: usize = 256;

impl KeyError {
    /// The SQLSTATE that PostgreSQL gives.
    pub fn sqlstate(&self) -> &'static str {
        match self.why {
            Why::Syntax => "22P02",
            Why::Range => "22003",
            Why::Short => "08P01",
            Why::Long => "22P03",
            Why::Zero => "22021",
        }
    }

    /// What is wrong, in PostgreSQL's words; `value` is what was given to `parse`.
    pub fn message(&self, value: &[u8]) -> String {
        let key_type = self.key_type;
        match self.why {
            Why::Syntax => format!("invalid input syntax for type {key_type}: \"{}\"", shown(value)),
            Why::Range => format!("value \"{}\" is out of range for type {key_type}", shown(value)),
            Why::Short => "insufficient data left in message".to_owned(),
            Why::Long => format!("incorrect binary data format for type {key_type}"),
            Why::Zero => "invalid byte sequence for encoding \"UTF8\": 0x00".to_owned(),
        }
    }
}

fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN_VALUE)]);
    let more = if value.len() > SHOWN_VALUE { "..." } else { "" };
    format!("{text}{more}")
}

/// The key that a value is; None for NULL.
pub fn parse(key_type: KeyType, format: Format, value: Option<&[u8]>) -> Result<Option<Key<'_>>, KeyError> {
    let Some(value) = value else { return Ok(None) };
    let key = match key_type {
        KeyType::Int2 => integer(format, value, 2).map(Key::Int),
        KeyType::Int4 => integer(format, value, 4).map(Key::Int),
        KeyType::Int8 => integer(format, value, 8).map(Key::Int),
        KeyType::Uuid => uuid_of(format, value).map(Key::Uuid),
        // The binary form of a text is the text.
        KeyType::Text | KeyType::Bpchar if value.contains(&0) => Err(Why::Zero),
        KeyType::Text => Ok(Key::Text(value)),
        KeyType::Bpchar => Ok(Key::Text(unpadded(value))),
    };
    key.map(Some).map_err(|why| KeyError { key_type, why })
}

/// The key as a column varchar(`limit`) stores it: PostgreSQL cuts off blanks that are too many, silently. It refuses the row when something else
/// is too much, so then the shard does not matter. A comparison stores nothing and cuts nothing.
pub fn stored(key: Key<'_>, limit: usize) -> Key<'_> {
    match key {
        // A character has a byte that does not continue another one.
        Key::Text(text) if text.len() > limit => {
            let starts = text.iter().enumerate().filter(|(_, byte)| **byte & 0xc0 != 0x80);
            let end = starts.map(|(at, _)| at).nth(limit).unwrap_or(text.len());
            Key::Text(&text[..end])
        }
        key => key,
    }
}

fn unpadded(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

fn uuid_of(format: Format, value: &[u8]) -> Result<[u8; 16], Why> {
    match format {
        Format::Text(_) => uuid(value).ok_or(Why::Syntax),
        Format::Binary => value.try_into().map_err(|_| if value.len() < 16 { Why::Short } else { Why::Long }),
    }
}

fn integer(format: Format, value: &[u8], width: usize) -> Result<i64, Why> {
    match (format, value) {
        (Format::Text(server), text) => integer_text(text, 1 << (width * 8 - 1), server),
        // A parameter may be declared as any of the three; which one it is shows in its length.
        (Format::Binary, &[a, b]) => Ok(i16::from_be_bytes([a, b]).into()),
        (Format::Binary, &[a, b, c, d]) => Ok(i32::from_be_bytes([a, b, c, d]).into()),
        (Format::Binary, &[a, b, c, d, e, f, g, h]) => Ok(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        (Format::Binary, bytes) => Err(if bytes.len() < width { Why::Short } else { Why::Long }),
    }
}

/// What `isspace` finds in the C locale.
fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// `bound` is the magnitude of the smallest value of the type.
fn integer_text(text: &[u8], bound: u64, server: Server) -> Result<i64, Why> {
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let (negative, digits) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let largest = if negative { bound } else { bound - 1 };
    let (magnitude, rest) = match server {
        Server::Decimal => {
            let (magnitude, rest) = digits_of(digits, 10, false, bound)?;
            // Up to 15 the digit that is too many is noticed before anything that stands behind it.
            if magnitude > bound {
                return Err(Why::Range);
            }
            (magnitude, rest)
        }
        Server::Based => match digits {
            [b'0', b'x' | b'X', rest @ ..] => digits_of(rest, 16, true, bound)?,
            [b'0', b'o' | b'O', rest @ ..] => digits_of(rest, 8, true, bound)?,
            [b'0', b'b' | b'B', rest @ ..] => digits_of(rest, 2, true, bound)?,
            [b'_', ..] => return Err(Why::Syntax),
            rest => digits_of(rest, 10, true, bound)?,
        },
    };
    if !rest.iter().all(is_blank) {
        return Err(Why::Syntax);
    }
    if magnitude > largest {
        return Err(Why::Range);
    }
    Ok(if negative { (magnitude as i64).wrapping_neg() } else { magnitude as i64 })
}

/// The number that the digits at the front make, at least one, and what stands behind them. More than one digit beyond `bound` is an error at once,
/// whatever follows; so the number never overflows.
fn digits_of(text: &[u8], base: u8, underscores: bool, bound: u64) -> Result<(u64, &[u8]), Why> {
    let (mut value, mut at) = (0u64, 0);
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(base.into()));
    loop {
        if underscores && text.get(at) == Some(&b'_') {
            at += 1;
            if digit(at).is_none() {
                return Err(Why::Syntax);
            }
        }
        let Some(next) = digit(at) else { break };
        if value > bound / u64::from(base) {
            return Err(Why::Range);
        }
        value = value * u64::from(base) + u64::from(next);
        at += 1;
    }
    if at == 0 { Err(Why::Syntax) } else { Ok((value, &text[at..])) }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
