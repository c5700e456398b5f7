//! The values of a Bind message, where they stand. What a value means is left to whoever knows its type.

use super::cursor::Cursor;

/// One value of a Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// as the type's receive function reads it, not as its input function does
    pub binary: bool,
    /// None: NULL
    pub bytes: Option<&'a [u8]>,
}

/// The values of one Bind.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    formats: &'a [u8],
    count: u16,
    values: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Values<'a> {
    /// From what stands behind the two names in the body of a Bind. None: it is malformed, and the server says so.
    pub fn read(behind: &'a [u8]) -> Option<Values<'a>> {
        let mut cursor = Cursor(behind);
        let formats = cursor.u16()?;
        let formats = cursor.bytes(2 * usize::from(formats))?;
        let count = cursor.u16()?;
        let values = cursor.0;
        if !matches!(formats.len() / 2, 0 | 1) && formats.len() / 2 != usize::from(count) {
            return None;
        }
        for _ in 0..count {
            value(&mut cursor)?;
        }
        Some(Values { formats, count, values, behind: cursor.0 })
    }

    /// What stands behind them: the formats of the results.
    pub fn behind(&self) -> &'a [u8] {
        self.behind
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all texts among them are ASCII.
    pub fn are_ascii(&self) -> bool {
        let text = |value: Value<'_>| value.binary || value.bytes.is_none_or(<[u8]>::is_ascii);
        (1..=self.len()).all(|number| self.get(number).is_none_or(text))
    }

    /// The value of `$number`, counted from 1. Costs a step for each value before it.
    pub fn get(&self, number: usize) -> Option<Value<'a>> {
        let index = number.checked_sub(1).filter(|index| *index < self.len())?;
        let mut cursor = Cursor(self.values);
        for _ in 0..index {
            value(&mut cursor)?;
        }
        let format = match self.formats.len() / 2 {
            0 => &[0, 0],
            1 => self.formats,
            _ => &self.formats[2 * index..2 * index + 2],
        };
        Some(Value { binary: format != [0, 0], bytes: value(&mut cursor)? })
    }
}

/// The next value; the outer None: it is not all there, or its length is none.
fn value<'a>(cursor: &mut Cursor<'a>) -> Option<Option<&'a [u8]>> {
    match cursor.i32()? {
        -1 => Some(None),
        length => Some(Some(cursor.bytes(usize::try_from(length).ok()?)?)),
    }
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
