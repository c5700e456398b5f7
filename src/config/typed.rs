//! Typed reading of a block: what somebody set, else the default of the row.
//! Invariant: the types were checked against the same rows when the block was read, so nothing here can fail; a key that is neither set nor has a
//! default is None. What a value means is left to the readers.

use std::time::Duration;

use super::file::{Block, Value};
use super::snapshot::PoolerMode;
use super::table::Preset;

impl Block {
    fn preset(&self, key: &str) -> Option<Preset> {
        self.section.key(key).map(|row| row.default)
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        match (self.get(key), self.preset(key)) {
            (Some(Value::Bool(value)), _) => *value,
            (None, Some(Preset::Bool(value))) => value,
            _ => false,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        match (self.get(key), self.preset(key)) {
            (Some(Value::Int(value)), _) => Some(*value),
            (None, Some(Preset::Int(value))) => Some(value),
            _ => None,
        }
    }

    pub(super) fn unsigned<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.number(key).and_then(|number| T::try_from(number).ok())
    }

    pub(super) fn millis(&self, key: &str) -> Option<Duration> {
        self.unsigned(key).map(Duration::from_millis)
    }

    /// An empty string counts as not set.
    pub(super) fn words(&self, key: &str) -> Option<&str> {
        let text = match (self.get(key), self.preset(key)) {
            (Some(Value::Text(text)), _) => text.as_str(),
            (None, Some(Preset::Text(text))) => text,
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn owned(&self, key: &str) -> Option<String> {
        self.words(key).map(str::to_owned)
    }

    /// The strings of an array that are not empty.
    pub(super) fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key) {
            Some(Value::Texts(items)) => items.iter().map(String::as_str).filter(|text| !text.is_empty()).collect(),
            _ => Vec::new(),
        }
    }

    /// What somebody set, without the default.
    pub(super) fn said(&self, key: &str) -> Option<bool> {
        match self.get(key) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn mode(&self, key: &str) -> Option<PoolerMode> {
        self.words(key).map(|word| match word {
            "session" => PoolerMode::Session,
            "statement" => PoolerMode::Statement,
            _ => PoolerMode::Transaction,
        })
    }
}
