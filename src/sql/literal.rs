//! A literal of a text: where it is, of which kind, and what value it has. The kinds are so fine that two literals of one kind can be exchanged
//! without changing how PostgreSQL reads the rest: `5`, `5000000000` and `5.5` have three types, and `'now'` is no constant.
//!
//! Values are read as PostgreSQL's lexer reads them; what needs more than to undouble quotes is `Odd` and left to the parser.

/// What a literal is. The numbers are part of the shapes in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// an int4
    Integer = 1,
    /// an int8
    Wide,
    /// a numeric
    Numeric,
    /// a string whose value is what stands between its quotes, doubled quotes undoubled
    Text,
    /// such a string that may mean the time at which it is read: `now`, `today`, `tomorrow`, `yesterday`
    Clock,
    /// `$tag$...$tag$`
    Dollar,
    /// a string that only the parser can read: with escapes, with Unicode escapes, in several parts
    Odd,
    /// `b'...'`, `x'...'`
    Bits,
}

impl Kind {
    /// Of a number that is no int4.
    pub fn of_number(bytes: &[u8]) -> Kind {
        if integer(bytes).is_some() { Kind::Wide } else { Kind::Numeric }
    }

    /// Of a string token with all that belongs to it.
    pub fn of_string(token: &[u8]) -> Kind {
        let escapes = matches!(token.first(), Some(b'e' | b'E'));
        let kind = match token.get(usize::from(escapes)..) {
            Some([b'\'', inner @ .., b'\'']) => {
                if (escapes && inner.contains(&b'\\')) || !is_one_part(inner) {
                    return Kind::Odd;
                }
                Kind::Text
            }
            Some([b'$', ..]) if !escapes => Kind::Dollar,
            _ => return Kind::Odd,
        };
        if says_clock(token) { Kind::Clock } else { kind }
    }
}

/// Where a literal is in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    pub start: u32,
    pub end: u32,
    pub kind: Kind,
}

impl Literal {
    /// Its bytes in the text it was found in.
    pub fn bytes<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The value of an integer, without the sign before it.
    pub fn integer(&self, text: &[u8]) -> Option<i64> {
        matches!(self.kind, Kind::Integer | Kind::Wide).then(|| integer(self.bytes(text))).flatten()
    }

    /// The value of a string; `spare` is used if it is not there in one piece.
    pub fn string<'a>(&self, text: &'a [u8], spare: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let token = self.bytes(text);
        match (self.kind, token) {
            (Kind::Text | Kind::Clock, [b'e' | b'E', b'\'', inner @ .., b'\''] | [b'\'', inner @ .., b'\'']) => {
                if !inner.contains(&b'\'') {
                    return Some(inner);
                }
                spare.clear();
                let mut parts = inner.split(|byte| *byte == b'\'');
                // Every quote inside is doubled, so between two parts that are there lies an empty one.
                spare.extend_from_slice(parts.next().unwrap_or_default());
                while parts.next().is_some() {
                    spare.push(b'\'');
                    spare.extend_from_slice(parts.next().unwrap_or_default());
                }
                Some(spare)
            }
            (Kind::Dollar | Kind::Clock, [b'$', rest @ ..]) => {
                let tag = rest.iter().position(|byte| *byte == b'$')? + 2;
                token.get(tag..token.len().checked_sub(tag)?)
            }
            _ => None,
        }
    }
}

/// Whether every quote inside a string is doubled: else it is several strings on several lines.
fn is_one_part(inner: &[u8]) -> bool {
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\'' && bytes.next() != Some(&b'\'') {
            return false;
        }
    }
    true
}

/// Strings longer than this are no dates.
const DATE_BYTES: usize = 64;

/// Whether PostgreSQL's date and time types read a string as the present: such a word, and behind it at most a time and a zone.
fn says_clock(token: &[u8]) -> bool {
    if !(5..=DATE_BYTES).contains(&token.len()) {
        return false;
    }
    let skip = if matches!(token[0], b'e' | b'E') { 1 } else { 0 };
    let mut words = token[skip..].split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let (first, second, third) = (words.next().unwrap_or_default(), words.next(), words.next());
    let clock = ["now", "today", "tomorrow", "yesterday"].iter().any(|known| first.eq_ignore_ascii_case(known.as_bytes()));
    clock && third.is_none() && second.is_none_or(|word| word.len() <= 5)
}

/// An integer as PostgreSQL writes them: decimal, `0x`, `0o`, `0b`, with `_` between digits. None when an int8 does not hold it.
pub fn integer(bytes: &[u8]) -> Option<i64> {
    let (radix, digits) = match bytes {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        _ => (10, bytes),
    };
    let mut value: Option<i64> = None;
    for byte in digits.iter().filter(|byte| **byte != b'_') {
        let digit = char::from(*byte).to_digit(radix)?;
        value = Some(value.unwrap_or(0).checked_mul(i64::from(radix))?.checked_add(i64::from(digit))?);
    }
    value
}

#[cfg(test)]
#[path = "literal_tests.rs"]
mod tests;
