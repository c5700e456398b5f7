//! The bytes of a COPY FROM STDIN → its rows, each as it came, with the one field that is asked for decoded. Rows and everything else may be cut
//! anywhere over messages.
//!
//! Invariant: the rows, with what `header` and `end` give around them, are the bytes that came in, none left out and none twice, and rows end where
//! PostgreSQL ends them (`src/backend/commands/copyfromparse.c`); what two of its versions read differently is refused. A row that lies whole in
//! the input costs no allocation; what is kept of one that does not is bounded by `ROW_MAX`. All that the field does not depend on (the number of
//! fields, their values, the encoding) is left to the server; the field itself is found by `copy_key`.

use super::copy_key;
use super::cursor::Cursor;

/// Bytes of a row; the server takes up to 1 GB, but the row is kept here until it is whole.
pub const ROW_MAX: usize = 64 << 20;
/// A buffer larger than this is not kept for the next row.
const KEPT_BYTES: usize = 1 << 20;

/// What a COPY's options say about its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Text {
        delimiter: u8,
        null: Box<[u8]>,
        header: bool,
    },
    /// the two last are for the field that is asked for
    Csv {
        delimiter: u8,
        quote: u8,
        escape: u8,
        null: Box<[u8]>,
        header: bool,
        force_null: bool,
        force_not_null: bool,
    },
    Binary,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// unchanged, with its line end
    pub bytes: &'a [u8],
    /// the field that was asked for, as the type's input or receive function gets it; None: NULL
    pub key: Option<&'a [u8]>,
    /// as PostgreSQL counts lines; of binary rows, the number of the row
    pub line: u64,
}

/// Why bytes are no rows. The fault is the client's, and the same bytes fail again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub why: Why,
    pub line: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// the row ends before the field
    Missing,
    Unterminated,
    LiteralReturn,
    UnquotedReturn,
    LiteralNewline,
    UnquotedNewline,
    /// `\.` and something else
    MarkerCorrupt,
    MarkerNotAlone,
    /// `\.` in CSV: an end to some versions, a value to others
    MarkerInCsv,
    TooLarge,
    Signature,
    HeaderFlags,
    HeaderLength,
    FieldCount,
    FieldSize,
    UnexpectedEnd,
    AfterEnd,
}

impl Fault {
    /// SQLSTATE.
    pub fn code(&self) -> &'static str {
        if self.why == Why::TooLarge { "54000" } else { "22P04" }
    }

    /// In PostgreSQL's words; `column` is the field's.
    pub fn message(&self, column: &str) -> String {
        match self.why {
            Why::Missing => format!("missing data for column \"{column}\""),
            Why::Unterminated => "unterminated CSV quoted field".into(),
            Why::LiteralReturn => "literal carriage return found in data".into(),
            Why::UnquotedReturn => "unquoted carriage return found in data".into(),
            Why::LiteralNewline => "literal newline found in data".into(),
            Why::UnquotedNewline => "unquoted newline found in data".into(),
            Why::MarkerCorrupt => "end-of-copy marker corrupt".into(),
            Why::MarkerNotAlone => "end-of-copy marker is not alone on its line".into(),
            Why::MarkerInCsv => "\\. alone on a line of CSV, which some versions of PostgreSQL take for the end and others for a value".into(),
            Why::TooLarge => format!("a row of COPY is larger than {ROW_MAX} bytes"),
            Why::Signature => "COPY file signature not recognized".into(),
            Why::HeaderFlags => "unrecognized critical flags in COPY file header".into(),
            Why::HeaderLength => "invalid COPY file header (missing length)".into(),
            Why::FieldCount => format!("row field count is too small for column \"{column}\""),
            Why::FieldSize => "invalid field size".into(),
            Why::UnexpectedEnd => "unexpected EOF in COPY data".into(),
            Why::AfterEnd => "received copy data after EOF marker".into(),
        }
    }
}

/// What ends a line, once the first has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eol {
    Unknown,
    Lf,
    Cr,
    CrLf,
}

/// How far the bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    /// behind the end that the data itself has
    Ended,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Behind the last row of a binary COPY.
const TRAILER: &[u8] = &[0xff, 0xff];

/// Reads the bytes of one COPY.
#[derive(Debug)]
pub struct Rows {
    format: Format,
    position: usize,
    stage: Stage,
    header: Vec<u8>,
    /// of the row that is not whole yet
    carry: Vec<u8>,
    /// of binary: not before so many bytes of the row are here is it looked at again
    needs: usize,
    spare: Vec<u8>,
    line: u64,
    eol: Eol,
    /// the last byte was a carriage return that may end the line
    returned: bool,
    /// the last byte was a backslash, or CSV's escape within quotes
    escaped: bool,
    quoted: bool,
    /// `\.` was seen in the line
    marked: bool,
}

/// Gets the rows.
pub type Each<'a, E> = dyn FnMut(Row<'_>) -> Result<(), E> + 'a;

impl Rows {
    /// For a COPY that has the field asked for at `position`, from 0.
    pub fn new(format: Format, position: usize) -> Rows {
        let stage = match format {
            Format::Binary => Stage::Header,
            Format::Text { header, .. } | Format::Csv { header, .. } => {
                if header {
                    Stage::Header
                } else {
                    Stage::Rows
                }
            }
        };
        Rows {
            format,
            position,
            stage,
            header: Vec::new(),
            carry: Vec::new(),
            needs: 0,
            spare: Vec::new(),
            line: 0,
            eol: Eol::Unknown,
            returned: false,
            escaped: false,
            quoted: false,
            marked: false,
        }
    }

    /// What every server must get in front of its rows; it is all there when the first row is.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The next bytes: the body of a CopyData message. After an error nothing more may be given to it.
    pub fn push<E: From<Fault>>(&mut self, bytes: &[u8], each: &mut Each<'_, E>) -> Result<(), E> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match (self.stage, &self.format) {
                (Stage::Ended, Format::Binary) => return Err(self.fault(Why::AfterEnd).into()),
                // So does the server.
                (Stage::Ended, _) => return Ok(()),
                _ => {}
            }
            let end = if self.format == Format::Binary { self.tuple_end(rest)? } else { self.line_end(rest)? };
            let Some(end) = end else {
                self.bounded(rest.len())?;
                self.carry.extend_from_slice(rest);
                return Ok(());
            };
            let (last, more) = rest.split_at(end);
            self.whole(last, each)?;
            rest = more;
        }
        Ok(())
    }

    /// All has come: the last row may have no line end. Gives what every server must get behind its rows.
    pub fn end<E: From<Fault>>(&mut self, each: &mut Each<'_, E>) -> Result<&'static [u8], E> {
        if self.format == Format::Binary {
            return match self.stage {
                Stage::Header => Err(self.fault(Why::Signature).into()),
                // One byte is no number of fields, and the server takes it for the end.
                Stage::Rows if self.carry.len() > 1 => Err(self.fault(Why::UnexpectedEnd).into()),
                Stage::Rows | Stage::Ended => Ok(TRAILER),
            };
        }
        if self.returned {
            match self.eol {
                Eol::CrLf => return Err(self.fault(self.strange_return()).into()),
                _ => self.eol = Eol::Cr,
            }
            self.returned = false;
        } else if !self.carry.is_empty() {
            self.eol = Eol::Unknown;
        }
        if !self.carry.is_empty() {
            self.whole(b"", each)?;
        }
        Ok(b"")
    }

    /// `last` is the end of a row, whose beginning is in `carry`, if it is not all of it.
    fn whole<E: From<Fault>>(&mut self, last: &[u8], each: &mut Each<'_, E>) -> Result<(), E> {
        self.bounded(last.len())?;
        if self.carry.is_empty() {
            return self.row(last, each);
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(last);
        self.row(&carry, each)?;
        if carry.capacity() <= KEPT_BYTES {
            carry.clear();
            self.carry = carry;
        }
        Ok(())
    }

    fn row<E: From<Fault>>(&mut self, bytes: &[u8], each: &mut Each<'_, E>) -> Result<(), E> {
        self.line += 1;
        self.needs = 0;
        if self.format == Format::Binary && self.stage == Stage::Rows && bytes == TRAILER {
            self.stage = Stage::Ended;
            return Ok(());
        }
        let content = &bytes[..bytes.len() - self.eol_bytes(bytes)];
        if std::mem::take(&mut self.marked) {
            if content == b"\\." {
                self.stage = Stage::Ended;
                return Ok(());
            }
            let why = if content.starts_with(b"\\.") { Why::MarkerCorrupt } else { Why::MarkerNotAlone };
            return Err(Fault { why, line: self.line }.into());
        }
        if self.stage == Stage::Header {
            self.header.extend_from_slice(bytes);
            self.stage = Stage::Rows;
            if self.format == Format::Binary {
                self.line = 0;
            }
            return Ok(());
        }
        if content == b"\\." && matches!(self.format, Format::Csv { .. }) {
            return Err(Fault { why: Why::MarkerInCsv, line: self.line }.into());
        }
        let line = self.line;
        let key = copy_key::find(&self.format, self.position, content, &mut self.spare).map_err(|why| Fault { why, line })?;
        each(Row { bytes, key, line })
    }

    /// How many bytes of a whole line are its end.
    fn eol_bytes(&self, line: &[u8]) -> usize {
        let ending: &[u8] = match (&self.format, self.eol) {
            (Format::Binary, _) | (_, Eol::Unknown) => b"",
            (_, Eol::Lf) => b"\n",
            (_, Eol::Cr) => b"\r",
            (_, Eol::CrLf) => b"\r\n",
        };
        if line.ends_with(ending) { ending.len() } else { 0 }
    }

    /// Where the line at hand ends in `bytes`, the ones behind `carry`. None: not in these.
    fn line_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let (quote, escape) = match self.format {
            Format::Csv { quote, escape, .. } => (Some(quote), Some(escape).filter(|escape| *escape != quote)),
            _ => (None, None),
        };
        for (at, byte) in bytes.iter().enumerate() {
            if self.returned {
                self.returned = false;
                match (self.eol, *byte) {
                    (_, b'\n') => {
                        self.eol = Eol::CrLf;
                        return Ok(Some(at + 1));
                    }
                    (Eol::CrLf, _) => return Err(self.fault(self.strange_return())),
                    _ => {
                        self.eol = Eol::Cr;
                        return Ok(Some(at));
                    }
                }
            }
            match quote {
                Some(quote) => {
                    self.escaped = if self.quoted && Some(*byte) == escape { !self.escaped } else { self.escaped };
                    self.quoted ^= *byte == quote && !self.escaped;
                    self.escaped &= Some(*byte) == escape;
                    if self.quoted {
                        self.line += u64::from(*byte == if self.eol == Eol::Lf { b'\n' } else { b'\r' });
                        continue;
                    }
                }
                None if self.escaped => {
                    self.escaped = false;
                    self.marked |= *byte == b'.';
                    continue;
                }
                None => self.escaped = *byte == b'\\',
            }
            match (*byte, self.eol) {
                (b'\r', Eol::Unknown | Eol::CrLf) => self.returned = true,
                (b'\r', Eol::Lf) => return Err(self.fault(self.strange_return())),
                (b'\n', Eol::Cr | Eol::CrLf) => return Err(self.fault(if quote.is_some() { Why::UnquotedNewline } else { Why::LiteralNewline })),
                (b'\n', _) => {
                    self.eol = Eol::Lf;
                    return Ok(Some(at + 1));
                }
                (b'\r', Eol::Cr) => return Ok(Some(at + 1)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Where the tuple at hand, or the header in front of all, ends in `bytes`, the ones behind `carry`. None: not in these.
    fn tuple_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let before = self.carry.len();
        if before + bytes.len() < self.needs {
            return Ok(None);
        }
        let length = if before == 0 {
            length(self.stage, bytes)
        } else {
            // Most of a tuple has come when it is looked at again.
            self.bounded(bytes.len())?;
            self.carry.extend_from_slice(bytes);
            let length = length(self.stage, &self.carry);
            self.carry.truncate(before);
            length
        };
        let length = length.map_err(|why| Fault { why, line: self.line + 1 })?;
        self.needs = length;
        if length > ROW_MAX {
            return Err(self.fault(Why::TooLarge));
        }
        // What is here by now is less than what it needs, or it would have ended before.
        Ok((before + bytes.len() >= length).then(|| length.saturating_sub(before)))
    }

    fn bounded(&self, more: usize) -> Result<(), Fault> {
        if self.carry.len() + more > ROW_MAX { Err(self.fault(Why::TooLarge)) } else { Ok(()) }
    }

    fn strange_return(&self) -> Why {
        if matches!(self.format, Format::Csv { .. }) { Why::UnquotedReturn } else { Why::LiteralReturn }
    }

    fn fault(&self, why: Why) -> Fault {
        Fault { why, line: self.line + 1 }
    }
}

/// The bytes of the header or tuple that `bytes` begin with; if they are not all there, at least as many as are needed to know more.
fn length(stage: Stage, bytes: &[u8]) -> Result<usize, Why> {
    let whole = bytes.len();
    let mut cursor = Cursor(bytes);
    let read = |cursor: &Cursor<'_>| whole - cursor.0.len();
    if stage == Stage::Header {
        let seen = whole.min(SIGNATURE.len());
        if bytes[..seen] != SIGNATURE[..seen] {
            return Err(Why::Signature);
        }
        cursor.bytes(seen);
        let Some(flags) = cursor.i32() else { return Ok(SIGNATURE.len() + 8) };
        if flags as u32 >> 16 != 0 {
            return Err(Why::HeaderFlags);
        }
        let Some(extension) = cursor.i32() else { return Ok(SIGNATURE.len() + 8) };
        let extension = usize::try_from(extension).map_err(|_| Why::HeaderLength)?;
        return Ok(read(&cursor) + extension);
    }
    let Some(count) = cursor.u16() else { return Ok(2) };
    if count == u16::MAX {
        return Ok(2);
    }
    for _ in 0..i16::try_from(count).map_err(|_| Why::FieldCount)? {
        let Some(size) = cursor.i32() else { return Ok(read(&cursor) + 4) };
        let size = if size == -1 { 0 } else { usize::try_from(size).map_err(|_| Why::FieldSize)? };
        if cursor.bytes(size).is_none() {
            return Ok(read(&cursor) + size);
        }
    }
    Ok(read(&cursor))
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
