//! From the text of a file, or of a variable, to values that are of the type that the table demands.
//! Invariant: every value that leaves here has been checked against its row, its line is known, and every mistake of a file has been reported.
//! What a value means, whether it is built and which of several wins is left to `judge` and `build`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{At, Findings, What, nearest, printed};
use super::table::{Home, Preset, SECTIONS, Section, Setting, Shape, Type, Unknown, section_named};

/// The largest file that is looked at: 64 bytes per key and half a million keys.
pub const MAX_FILE: usize = 32 << 20;

/// Mistakes after which no more nearest keys are looked for: each look compares with every key of the section.
const SUGGESTIONS_MAX: usize = 1_000;

/// A file that the caller has read: its name as the operator gave it, for messages, and all of its text.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Main,
    Users,
}

/// A value of the type of its row.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    /// integers and strings, mixed
    List(Vec<Value>),
    /// the tables of a nested section
    Blocks(Vec<Block>),
    /// set, and of a shape that nothing built reads; true: it has no elements
    Other(bool),
}

/// A value and where it stands.
#[derive(Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) at: At,
}

/// One table of a section with the keys that were set. Two are equal if they say the same, wherever they stand.
#[derive(Clone)]
pub(super) struct Block {
    pub(super) section: &'static Section,
    pub(super) at: At,
    pub(super) entries: BTreeMap<&'static str, Entry>,
}

impl PartialEq for Block {
    fn eq(&self, other: &Block) -> bool {
        self.section.name == other.section.name && self.says_what(other)
    }
}

impl Block {
    /// A table in which nothing is set.
    pub(super) fn empty(section: &'static Section, at: At) -> Self {
        Block { section, at, entries: BTreeMap::new() }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        debug_assert!(self.section.key(key).is_some(), "no row {key} in {}", self.section.name);
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// True if both set the same keys to the same values.
    pub(super) fn says_what(&self, other: &Block) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|(key, entry)| other.entries.get(key).is_some_and(|other| other.value == entry.value))
    }
}

/// Reads one file. `None` when it is not TOML: then nothing can be said about what it would have held.
pub(super) fn read(which: Which, source: Source<'_>, findings: &mut Findings) -> Option<Vec<Block>> {
    let mut reader = Reader { which, lines: Vec::new(), findings };
    if source.text.len() > MAX_FILE {
        reader.problem(0, What::TooLarge { bytes: source.text.len(), limit: MAX_FILE });
        return None;
    }
    reader.lines = source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset).collect();
    let (root, errors) = DeTable::parse_recoverable(source.text);
    for error in &errors {
        // Only the message: the whole error would quote the line, which may hold a password.
        let offset = error.span().map_or(0, |span| span.start);
        reader.problem(offset, What::Syntax { reason: error.message().to_owned() });
    }
    if !errors.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    for (name, value) in root.get_ref().iter() {
        reader.section(name, value, &mut blocks);
    }
    blocks.sort_by_key(|block| block.at.line());
    Some(blocks)
}

struct Reader<'f> {
    which: Which,
    /// offsets of the line ends
    lines: Vec<usize>,
    findings: &'f mut Findings,
}

impl Reader<'_> {
    fn at(&self, offset: usize) -> At {
        let line = u32::try_from(self.lines.partition_point(|end| *end < offset) + 1).unwrap_or(u32::MAX);
        match self.which {
            Which::Main => At::Main(line),
            Which::Users => At::Users(line),
        }
    }

    fn problem(&mut self, offset: usize, what: What) {
        let at = self.at(offset);
        self.findings.problem(at, what);
    }

    fn section(&mut self, name: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>, blocks: &mut Vec<Block>) {
        let offset = name.span().start;
        let known = SECTIONS.iter().filter(|section| section.shape != Shape::Nested);
        let Some(section) = known.clone().find(|section| section.name == name.get_ref().as_ref()) else {
            return self.unknown_section(offset, name.get_ref(), value.get_ref(), known);
        };
        let misplaced = match (section.home, self.which) {
            (Home::Main, Which::Users) => Some("main (pgdog.toml)"),
            (Home::Users, Which::Main) => Some("users (users.toml)"),
            _ => None,
        };
        if let Some(belongs) = misplaced {
            return self.problem(offset, What::WrongFile { heading: section.heading(), belongs });
        }
        match (section.shape, value.get_ref()) {
            (Shape::Table, DeValue::Table(table)) => blocks.push(self.table(section, self.at(offset), table)),
            (Shape::Array, DeValue::Array(items)) => {
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::Table(table) => blocks.push(self.table(section, self.at(item.span().start), table)),
                        other => self.wrong_shape(item.span().start, section, other),
                    }
                }
            }
            (_, other) => self.wrong_shape(value.span().start, section, other),
        }
    }

    fn unknown_section(&mut self, offset: usize, name: &str, value: &DeValue<'_>, known: impl Iterator<Item = &'static Section>) {
        // A key above the first heading is a common slip; it is worth a better word than "unknown section".
        let is_scalar = !matches!(value, DeValue::Table(_) | DeValue::Array(_));
        let general = section_named("general").filter(|general| is_scalar && general.key(name).is_some());
        match general {
            Some(general) => self.problem(offset, What::NoSection { key: printed(name), heading: general.heading() }),
            None => {
                let nearest = nearest(name, known.map(|section| section.name));
                self.problem(offset, What::UnknownSection { section: printed(name), nearest });
            }
        }
    }

    fn wrong_shape(&mut self, offset: usize, section: &'static Section, found: &DeValue<'_>) {
        self.problem(offset, What::WrongShape { section: section.name, heading: section.heading(), found: with_article(found) });
    }

    fn table(&mut self, section: &'static Section, at: At, table: &DeTable<'_>) -> Block {
        let mut block = Block::empty(section, at);
        for (name, value) in table.iter() {
            let offset = name.span().start;
            let key = name.get_ref().as_ref();
            let Some(row) = section.key(key) else {
                self.unknown_key(section, offset, key);
                continue;
            };
            if block.entries.contains_key(row.name) {
                let alias = row.aliases.first().copied().unwrap_or(key).to_owned();
                self.problem(offset, What::Twice { section: section.heading(), key: row.name, alias });
                continue;
            }
            match self.value(row, value.get_ref()) {
                Ok(value) => {
                    block.entries.insert(row.name, Entry { value, at: self.at(offset) });
                }
                Err(found) => {
                    let what = What::WrongValue { section: section.heading(), key: row.name, expected: expected(row), found };
                    self.problem(offset, what);
                }
            }
        }
        self.missing(&block, table);
        block
    }

    fn unknown_key(&mut self, section: &'static Section, offset: usize, key: &str) {
        let names = section.keys().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()));
        let nearest = if self.findings.len() < SUGGESTIONS_MAX { nearest(key, names) } else { None };
        let what = What::UnknownKey { section: section.heading(), key: printed(key), nearest };
        match section.unknown {
            Unknown::Refused => self.problem(offset, what),
            Unknown::Tolerated => {
                let at = self.at(offset);
                self.findings.warn(at, format!("{what} (ignored)"));
            }
        }
    }

    fn missing(&mut self, block: &Block, table: &DeTable<'_>) {
        for row in block.section.keys().filter(|row| row.default == Preset::Required) {
            let written = |name: &str| table.iter().any(|(key, _)| key.get_ref().as_ref() == name);
            // A key that is there with a wrong value has been reported as that.
            if !block.entries.contains_key(row.name) && !written(row.name) {
                self.findings.problem(block.at, What::Missing { section: block.section.heading(), key: row.name });
            }
        }
    }

    /// The value in the row's type, or what it is instead.
    fn value(&mut self, row: &'static Setting, value: &DeValue<'_>) -> Result<Value, String> {
        let wrong = || Err(with_article(value));
        match (row.ty, value) {
            (Type::Bool, DeValue::Boolean(flag)) => Ok(Value::Bool(*flag)),
            (Type::Int { min, max, .. }, DeValue::Integer(_)) => match integer(value) {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Int(number)),
                Some(number) => Err(number.to_string()),
                None => Err("an integer of more than 64 bits".to_owned()),
            },
            (Type::Float { min, max }, DeValue::Integer(_) | DeValue::Float(_)) => match float(value) {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Float(number)),
                Some(number) => Err(number.to_string()),
                None => wrong(),
            },
            (Type::Text | Type::Name | Type::Choice(_), DeValue::String(text)) => self::text(row, text),
            (Type::Texts, DeValue::Array(items)) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().filter(|text| !text.contains('\0')).map(str::to_owned));
                texts.collect::<Option<Vec<_>>>().map(Value::Texts).ok_or_else(|| "an array with something else in it".to_owned())
            }
            (Type::Ints, DeValue::Array(items)) => {
                let numbers = items.iter().map(|item| integer(item.get_ref()).filter(|number| *number >= 0));
                numbers.collect::<Option<Vec<_>>>().map(Value::Ints).ok_or_else(|| "an array with something else in it".to_owned())
            }
            (Type::Map, DeValue::Table(table)) if table.iter().all(|(_, item)| item.get_ref().is_str()) => Ok(Value::Other(table.is_empty())),
            (Type::Map, DeValue::Table(_)) => Err("a table with something else in it".to_owned()),
            (Type::Nested(section), DeValue::Array(items)) => self.nested(section, items),
            (Type::Any, value) => Ok(plain(value)),
            _ => wrong(),
        }
    }

    /// Reads the tables inside a key. They are two levels deep at most, because no nested section has a nested key.
    fn nested(&mut self, section: &'static str, items: &toml::de::DeArray<'_>) -> Result<Value, String> {
        let mut blocks = Vec::with_capacity(items.len());
        for item in items.iter() {
            match (section_named(section), item.get_ref()) {
                (Some(section), DeValue::Table(table)) => {
                    let at = self.at(item.span().start);
                    blocks.push(self.table(section, at, table));
                }
                (_, other) => return Err(format!("an array with {} in it", with_article(other))),
            }
        }
        Ok(Value::Blocks(blocks))
    }
}

/// An integer or a string, or an array of those, as it is; of anything else only that it is there.
fn plain(value: &DeValue<'_>) -> Value {
    let scalar = |value: &DeValue<'_>| match value {
        DeValue::Integer(_) => integer(value).map(Value::Int),
        DeValue::String(text) => Some(Value::Text(text.clone().into_owned())),
        _ => None,
    };
    let Some(items) = value.as_array() else { return scalar(value).unwrap_or(Value::Other(false)) };
    let items: Option<Vec<Value>> = items.iter().map(|item| scalar(item.get_ref())).collect();
    items.map_or(Value::Other(false), Value::List)
}

/// The TOML type of a value, in words.
fn with_article(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(_) | DeValue::Array(_) => format!("an {}", value.type_str()),
        _ => format!("a {}", value.type_str()),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(_) => integer(value).map(|number| number as f64),
        _ => None,
    }
}

/// A string in the type of its row, or what is wrong with it.
fn text(row: &Setting, text: &str) -> Result<Value, String> {
    match row.ty {
        // Strings end up in messages to the server, where a zero byte ends them: what follows it would be read as something else.
        Type::Text | Type::Name if text.contains('\0') => Err("a string with a zero byte".to_owned()),
        Type::Name if text.is_empty() => Err("an empty string".to_owned()),
        Type::Choice(words) if !words.contains(&text) => Err(format!("\"{}\"", printed(text))),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// What a row takes, in words.
fn expected(row: &Setting) -> String {
    let with_unit = |unit: &str| match unit {
        "" => String::new(),
        "ms" => " of milliseconds".to_owned(),
        "us" => " of microseconds".to_owned(),
        "s" => " of seconds".to_owned(),
        "%" => " of percent".to_owned(),
        other => format!(" of {other}"),
    };
    match row.ty {
        Type::Bool => "true or false".to_owned(),
        Type::Int { min, max: i64::MAX, unit } => format!("an integer{} from {min}", with_unit(unit)),
        Type::Int { min, max, unit } => format!("an integer{} from {min} to {max}", with_unit(unit)),
        Type::Float { min, max } => format!("a number from {min} to {max}"),
        Type::Text => "a string without a zero byte".to_owned(),
        Type::Name => "a string that is not empty and has no zero byte".to_owned(),
        Type::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
        Type::Texts => "an array of strings".to_owned(),
        Type::Ints => "an array of integers from 0".to_owned(),
        Type::Map => "a table of strings".to_owned(),
        Type::Nested(_) => "an array of tables".to_owned(),
        Type::Any => "anything".to_owned(),
    }
}

/// The value of a variable in the row's type; the error says what it has to be.
pub(super) fn from_variable(row: &'static Setting, text: &str) -> Result<Value, String> {
    let value = match row.ty {
        Type::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Value::Bool(true)),
            "false" | "0" | "no" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        Type::Int { min, max, .. } => text.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Int),
        Type::Float { min, max } => text.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Float),
        Type::Choice(words) => choice(words, text).map(|word| Value::Text(word.to_owned())),
        Type::Text | Type::Name => self::text(row, text).ok(),
        Type::Texts | Type::Ints | Type::Map | Type::Nested(_) | Type::Any => None,
    };
    value.ok_or_else(|| expected(row))
}

/// Variables spell words in any case and without the underscores (`rollbackonly`).
fn choice(words: &'static [&'static str], text: &str) -> Option<&'static str> {
    let plain = |word: &str| word.replace('_', "").to_ascii_lowercase();
    let text = plain(text);
    words.iter().copied().find(|word| plain(word) == text)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
