//! One field of a row of COPY, as PostgreSQL cuts and decodes it (`CopyReadAttributesText`, `CopyReadAttributesCSV`, `CopyReadBinaryAttribute` of
//! `src/backend/commands/copyfromparse.c`). The row is whole, without its line end; nothing is allocated but room for a value with escapes.

use super::copy::{Format, Why};
use super::cursor::Cursor;

/// Field `position` of a row; `spare` holds its value if that does not stand in the row as it is. None: NULL.
pub(super) fn find<'a>(format: &Format, position: usize, row: &'a [u8], spare: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Why> {
    match format {
        Format::Text { delimiter, null, .. } => {
            let mut rest = row;
            for _ in 0..position {
                let (_, behind) = text_field(rest, *delimiter, &mut |_| {});
                rest = behind.ok_or(Why::Missing)?;
            }
            text(rest, *delimiter, null, spare)
        }
        Format::Csv { delimiter, quote, escape, null, force_null, force_not_null, .. } => {
            let csv = Csv { delimiter: *delimiter, quote: *quote, escape: *escape };
            let mut rest = row;
            for _ in 0..position {
                let field = csv.field(rest, &mut |_| {})?;
                rest = field.behind.ok_or(Why::Missing)?;
            }
            spare.clear();
            let field = csv.field(rest, &mut |byte| spare.push(byte))?;
            let raw = &rest[..field.raw];
            let value = if field.quoted { &**spare } else { raw };
            Ok(if !field.quoted && *raw == **null {
                force_not_null.then_some(raw)
            } else {
                Some(value).filter(|value| !*force_null || **value != **null)
            })
        }
        Format::Binary => binary(position, row),
    }
}

fn binary(position: usize, row: &[u8]) -> Result<Option<&[u8]>, Why> {
    let mut cursor = Cursor(row);
    let count = cursor.u16().ok_or(Why::UnexpectedEnd)?;
    if position >= usize::from(count) {
        return Err(Why::FieldCount);
    }
    let mut field = None;
    for _ in 0..=position {
        field = match cursor.i32().ok_or(Why::UnexpectedEnd)? {
            -1 => None,
            size => Some(cursor.bytes(usize::try_from(size).map_err(|_| Why::FieldSize)?).ok_or(Why::UnexpectedEnd)?),
        };
    }
    Ok(field)
}

fn text<'a>(rest: &'a [u8], delimiter: u8, null: &[u8], spare: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Why> {
    spare.clear();
    let (raw, _) = text_field(rest, delimiter, &mut |byte| spare.push(byte));
    let raw = &rest[..raw];
    Ok(if *raw == *null {
        None
    } else if raw.contains(&b'\\') {
        Some(spare)
    } else {
        Some(raw)
    })
}

/// Reads a field: gives its bytes to `out`, and tells how long it is as it stands, and what is behind its delimiter.
fn text_field<'a>(field: &'a [u8], delimiter: u8, out: &mut dyn FnMut(u8)) -> (usize, Option<&'a [u8]>) {
    let mut at = 0;
    while let Some(byte) = field.get(at) {
        if *byte == delimiter {
            return (at, Some(&field[at + 1..]));
        }
        if *byte != b'\\' {
            out(*byte);
            at += 1;
            continue;
        }
        // A backslash at the very end is nothing.
        let Some(next) = field.get(at + 1) else { return (at, None) };
        at += 2;
        let value = match next {
            b'0'..=b'7' => digits(field, &mut at, 8, 2, u32::from(next - b'0')),
            b'x' if field.get(at).is_some_and(u8::is_ascii_hexdigit) => digits(field, &mut at, 16, 2, 0),
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            other => *other,
        };
        out(value);
    }
    (at, None)
}

/// At most `count` more digits of a byte.
fn digits(field: &[u8], at: &mut usize, radix: u32, count: usize, first: u32) -> u8 {
    let mut value = first;
    for _ in 0..count {
        let Some(digit) = field.get(*at).and_then(|byte| char::from(*byte).to_digit(radix)) else { break };
        value = value * radix + digit;
        *at += 1;
    }
    (value & 0xff) as u8
}

struct Csv {
    delimiter: u8,
    quote: u8,
    escape: u8,
}

/// What is known of a field of CSV.
struct Field<'a> {
    /// its length as it stands
    raw: usize,
    /// some of it is in quotes
    quoted: bool,
    behind: Option<&'a [u8]>,
}

impl Csv {
    fn field<'a>(&self, field: &'a [u8], out: &mut dyn FnMut(u8)) -> Result<Field<'a>, Why> {
        let (mut at, mut quoted, mut inside) = (0, false, false);
        while let Some(byte) = field.get(at) {
            at += 1;
            if !inside && *byte == self.delimiter {
                return Ok(Field { raw: at - 1, quoted, behind: Some(&field[at..]) });
            }
            if !inside && *byte == self.quote {
                (quoted, inside) = (true, true);
                continue;
            }
            let next = field.get(at).filter(|next| inside && *byte == self.escape && (**next == self.escape || **next == self.quote));
            if let Some(next) = next {
                out(*next);
                at += 1;
            } else if inside && *byte == self.quote {
                inside = false;
            } else {
                out(*byte);
            }
        }
        if inside { Err(Why::Unterminated) } else { Ok(Field { raw: at, quoted, behind: None }) }
    }
}
