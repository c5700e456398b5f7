//! What a text's comments say about its route: `/* pgdog_shard: 1 */`, `/* pgdog_sharding_key: 'k' */`, `/* pgdog_role: replica */`, as PgDog reads
//! them: anywhere in the text, in comments of this form only, and of several that say the same the first holds.
//!
//! A directive that cannot be read is never passed over: the statement would go where nobody sent it.

use std::ops::Range;

/// Which of a shard's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

/// What the comments of one text ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub shard: Option<u32>,
    /// where the key is in the text, its quotes left out
    pub key: Option<Range<usize>>,
    pub role: Option<Role>,
    /// there is one that cannot be read
    pub broken: bool,
}

const PREFIX: &[u8] = b"pgdog_";

/// Whether some comment of a text may hold one; cheaper than to look.
pub fn may_be_in(text: &[u8]) -> bool {
    find(text, PREFIX).is_some()
}

impl Directives {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shard.is_none() && self.key.is_none() && self.role.is_none() && !self.broken
    }

    /// Reads one comment, which begins at `at` in its text.
    pub fn comment(&mut self, at: usize, comment: &[u8]) {
        let mut from = 0;
        while let Some(found) = find(&comment[from..], PREFIX) {
            from += found + PREFIX.len();
            let Some(colon) = comment[from..].iter().position(|byte| !byte.is_ascii_lowercase() && *byte != b'_') else { return };
            if comment[from + colon] != b':' {
                continue;
            }
            let name = &comment[from..from + colon];
            let value = from + colon + 1;
            match name {
                b"shard" => self.shard(&comment[value..]),
                b"sharding_key" => self.key(at + value, &comment[value..]),
                b"role" => self.role(&comment[value..]),
                _ => {}
            }
            from = value;
        }
    }

    /// The text cannot be cut into tokens, so what looks like a directive may be part of a string.
    pub fn lost(&mut self, text: &[u8]) {
        self.broken = find(text, PREFIX).is_some();
    }

    fn shard(&mut self, value: &[u8]) {
        let word = bare(value);
        let number = std::str::from_utf8(&value[word.clone()]).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        match number.and_then(|number| number.parse().ok()) {
            Some(number) if ends(&value[word.end..]) => self.shard = self.shard.or(Some(number)),
            _ => self.broken = true,
        }
    }

    fn role(&mut self, value: &[u8]) {
        let word = bare(value);
        let role = match &value[word.clone()] {
            b"primary" => Role::Primary,
            b"replica" => Role::Replica,
            _ => return self.broken = true,
        };
        if !ends(&value[word.end..]) {
            return self.broken = true;
        }
        self.role = self.role.or(Some(role));
    }

    fn key(&mut self, at: usize, value: &[u8]) {
        let start = blanks(value);
        let range = match value.get(start) {
            Some(quote @ (b'"' | b'\'')) => {
                let inner = start + 1;
                let Some(length) = value[inner..].iter().position(|byte| byte == quote) else { return self.broken = true };
                inner..inner + length
            }
            _ => {
                let word = bare(value);
                if word.is_empty() || !ends(&value[word.end..]) {
                    return self.broken = true;
                }
                word
            }
        };
        if self.key.is_none() {
            self.key = Some(at + range.start..at + range.end);
        }
    }
}

fn blanks(value: &[u8]) -> usize {
    value.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The word that a value begins with.
fn bare(value: &[u8]) -> Range<usize> {
    let start = blanks(value);
    start..start + value[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count()
}

/// Whether a value is over: half a key would lead to another shard.
fn ends(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'*' | b',' | b';')) || rest[0].is_ascii_whitespace()
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
#[path = "directive_tests.rs"]
mod tests;
