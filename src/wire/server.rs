//! Messages that a server sends: writing them, for clients of ours, and reading those that a pooler must understand, from servers of ours. An
//! encoder appends one whole message or, when it fails, nothing; a parser borrows from the body it was given and believes nothing about it.
//! Result rows are not parsed here, they pass through. When to send what is left to `session`.
//!
//! Format: PostgreSQL documentation, "Message Formats" and "Error and Notice Message Fields".

use super::cursor::Cursor;
use super::frame::{EncodeError, MAX_LENGTH, Writer};
use super::startup::{CANCEL_KEY, MAJOR};
use std::borrow::Cow;
use thiserror::Error;

/// The largest body of a server's message, in bytes.
const LIMIT: usize = MAX_LENGTH as usize - 4;

/// The longest text of one field of an error that we write, in bytes; what is longer is cut there.
pub const MAX_ERROR_FIELD: usize = 16 << 10;

/// A message of a server does not have the form of its type: the server's fault (or it is no PostgreSQL). Close the link.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("malformed message of type {kind} from the server; check that the address is a PostgreSQL server")]
pub struct Malformed {
    /// the type byte
    pub kind: u8,
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    out.extend_from_slice(b"R\0\0\0\x08\0\0\0\0");
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext_password(out: &mut Vec<u8>) {
    out.extend_from_slice(b"R\0\0\0\x08\0\0\0\x03");
}

/// AuthenticationMD5Password.
pub fn authentication_md5_password(out: &mut Vec<u8>, salt: [u8; 4]) {
    out.extend_from_slice(b"R\0\0\0\x0c\0\0\0\x05");
    out.extend_from_slice(&salt);
}

/// AuthenticationSASL with the names of the mechanisms, the preferred one first.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'R', LIMIT);
    message.i32(10);
    for mechanism in mechanisms {
        message.text(mechanism.as_bytes());
    }
    message.u8(0);
    message.finish()
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'R', LIMIT);
    message.i32(11).bytes(data);
    message.finish()
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'R', LIMIT);
    message.i32(12).bytes(data);
    message.finish()
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'S', LIMIT);
    message.text(name).text(value);
    message.finish()
}

/// BackendKeyData; `key` of 4 bytes for clients of protocol 3.0.
pub fn backend_key_data(out: &mut Vec<u8>, pid: i32, key: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'K', 4 + CANCEL_KEY.end());
    message.i32(pid).bytes(key);
    message.finish()
}

/// ReadyForQuery; `status` is `I` (idle), `T` (in a transaction) or `E` (in a failed one).
pub fn ready(out: &mut Vec<u8>, status: u8) {
    debug_assert!(matches!(status, b'I' | b'T' | b'E'));
    out.extend_from_slice(&[b'Z', 0, 0, 0, 5, status]);
}

/// What an ErrorResponse or NoticeResponse of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// `ERROR`, `FATAL`, `PANIC`; `WARNING`, `NOTICE`, `DEBUG`, `INFO`, `LOG` in notices. Not translated: fields S and V carry the same.
    pub severity: &'a str,
    /// SQLSTATE, five characters
    pub code: &'a str,
    /// one line: what happened
    pub message: &'a str,
    /// more about it
    pub detail: Option<&'a str>,
    /// what to do
    pub hint: Option<&'a str>,
}

/// ErrorResponse. Cannot fail, since it is how failures are told: a field ends at its first zero byte or at [`MAX_ERROR_FIELD`].
pub fn error(out: &mut Vec<u8>, fields: &ErrorFields<'_>) {
    report(out, b'E', fields);
}

/// NoticeResponse; as [`error`].
pub fn notice(out: &mut Vec<u8>, fields: &ErrorFields<'_>) {
    report(out, b'N', fields);
}

fn report(out: &mut Vec<u8>, kind: u8, fields: &ErrorFields<'_>) {
    let start = out.len();
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    let always = [(b'S', fields.severity), (b'V', fields.severity), (b'C', fields.code), (b'M', fields.message)];
    let sometimes = [fields.detail.map(|text| (b'D', text)), fields.hint.map(|text| (b'H', text))];
    for (field, text) in always.into_iter().chain(sometimes.into_iter().flatten()) {
        out.push(field);
        out.extend_from_slice(clipped(text).as_bytes());
        out.push(0);
    }
    out.push(0);
    // At most six fields of MAX_ERROR_FIELD bytes: far below the protocol's limit.
    let length = (out.len() - start - 1) as u32;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

/// The text up to its first zero byte, and whole characters within [`MAX_ERROR_FIELD`].
fn clipped(text: &str) -> &str {
    let mut end = text.bytes().take(MAX_ERROR_FIELD).position(|byte| byte == 0).unwrap_or(text.len().min(MAX_ERROR_FIELD));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// CommandComplete with a tag such as `SELECT 1`.
pub fn command_complete(out: &mut Vec<u8>, tag: &str) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'C', LIMIT);
    message.text(tag.as_bytes());
    message.finish()
}

/// RowDescription of columns (name, type's oid, type's length or -1 or -2) in text format that belong to no table.
pub fn row_description(out: &mut Vec<u8>, columns: &[(&str, u32, i16)]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'T', LIMIT);
    message.count(columns.len());
    for &(name, type_oid, type_len) in columns {
        message.text(name.as_bytes());
        // Table, column number; type, its length, its modifier (none); format (text).
        message.u32(0).i16(0).u32(type_oid).i16(type_len).i32(-1).i16(0);
    }
    message.finish()
}

/// DataRow; None is NULL.
pub fn data_row(out: &mut Vec<u8>, values: &[Option<&[u8]>]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'D', LIMIT);
    message.count(values.len());
    for value in values {
        message.value(*value);
    }
    message.finish()
}

/// EmptyQueryResponse.
pub fn empty_query(out: &mut Vec<u8>) {
    bare(out, b'I');
}

/// NoData.
pub fn no_data(out: &mut Vec<u8>) {
    bare(out, b'n');
}

/// ParameterDescription of a statement that has none.
pub fn parameter_description(out: &mut Vec<u8>) {
    out.extend_from_slice(b"t\0\0\0\x06\0\0");
}

/// ParseComplete.
pub fn parse_complete(out: &mut Vec<u8>) {
    bare(out, b'1');
}

/// BindComplete.
pub fn bind_complete(out: &mut Vec<u8>) {
    bare(out, b'2');
}

/// CloseComplete.
pub fn close_complete(out: &mut Vec<u8>) {
    bare(out, b'3');
}

fn bare(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[kind, 0, 0, 0, 4]);
}

/// NegotiateProtocolVersion: the minor version that will be spoken, and the protocol options that we do not know.
///
/// PostgreSQL writes the whole version word, 3 in its high half, where the documentation speaks of the minor version alone
/// (SendNegotiateProtocolVersion, src/backend/postmaster/postmaster.c); clients expect what it writes.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, unknown: &[&[u8]]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'v', LIMIT);
    // A startup packet bounds the number of options far below 2^31.
    message.u32(u32::from(MAJOR) << 16 | u32::from(minor)).u32(unknown.len() as u32);
    for name in unknown {
        message.text(name);
    }
    message.finish()
}

/// Reads the body of a NegotiateProtocolVersion: the minor version that the server will speak. None = malformed, or another major version.
pub fn parse_negotiate_protocol_version(body: &[u8]) -> Option<u16> {
    let mut cursor = Cursor(body);
    let version = cursor.i32()?;
    let unknown = u32::try_from(cursor.i32()?).ok()?;
    // Each name ends with a zero byte, so that the body bounds this loop whatever the count says.
    for _ in 0..unknown {
        cursor.text()?;
    }
    (cursor.at_end() && version >> 16 == i32::from(MAJOR)).then_some(version as u16)
}

/// An ErrorResponse or NoticeResponse, as sent. Bytes, because nothing says in which encoding a server writes before a client has logged in.
/// A field that the server did not send is empty, or None where PostgreSQL omits it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParsedError<'a> {
    /// never translated when the server sent field V (PostgreSQL 9.6 and later), else field S
    pub severity: &'a [u8],
    /// SQLSTATE; empty when the server sent none, as some poolers do. See [`ParsedError::sqlstate`]
    pub code: &'a [u8],
    /// one line: what happened
    pub message: &'a [u8],
    /// more about it
    pub detail: Option<&'a [u8]>,
    /// what to do
    pub hint: Option<&'a [u8]>,
    /// the function of PostgreSQL that said so
    pub routine: &'a [u8],
}

impl<'a> ParsedError<'a> {
    /// The SQLSTATE, or XX000 (internal error) when there is none that has five letters and digits.
    pub fn sqlstate(&self) -> &'a str {
        let good = self.code.len() == 5 && self.code.iter().all(u8::is_ascii_alphanumeric);
        std::str::from_utf8(self.code).ok().filter(|_| good).unwrap_or("XX000")
    }

    /// Whether the server ends the connection after this.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity, b"FATAL" | b"PANIC")
    }

    /// The message for a log or another client; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.message)
    }
}

/// Reads the body of an ErrorResponse or NoticeResponse. Unknown fields are skipped, of a repeated one the last counts, and the terminator may be
/// missing; only a field without its zero byte is malformed.
pub fn error_fields(body: &[u8]) -> Result<ParsedError<'_>, Malformed> {
    let mut cursor = Cursor(body);
    let (mut parsed, mut translated) = (ParsedError::default(), &b""[..]);
    while let Some(field) = cursor.u8().filter(|&field| field != 0) {
        let text = cursor.text().ok_or(Malformed { kind: b'E' })?;
        match field {
            b'V' => parsed.severity = text,
            b'S' => translated = text,
            b'C' => parsed.code = text,
            b'M' => parsed.message = text,
            b'D' => parsed.detail = Some(text),
            b'H' => parsed.hint = Some(text),
            b'R' => parsed.routine = text,
            _ => {}
        }
    }
    if parsed.severity.is_empty() {
        parsed.severity = translated;
    }
    Ok(parsed)
}

/// Reads the body of a ParameterStatus: name and value. None = malformed, or not UTF-8.
pub fn parse_parameter_status(body: &[u8]) -> Option<(&str, &str)> {
    let mut cursor = Cursor(body);
    let (name, value) = (cursor.text()?, cursor.text()?);
    if !cursor.at_end() {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

/// Reads the body of a BackendKeyData: process id and secret. None = malformed, or a secret outside of [`CANCEL_KEY`].
pub fn parse_backend_key_data(body: &[u8]) -> Option<(i32, &[u8])> {
    let mut cursor = Cursor(body);
    let pid = cursor.i32()?;
    CANCEL_KEY.contains(&cursor.0.len()).then_some((pid, cursor.0))
}

/// Reads the body of a ReadyForQuery: `I`, `T` or `E`. None = malformed.
#[inline]
pub fn parse_ready(body: &[u8]) -> Option<u8> {
    match body {
        &[status @ (b'I' | b'T' | b'E')] => Some(status),
        _ => None,
    }
}

/// Reads the body of a CommandComplete: its tag. None = malformed.
pub fn parse_command_complete(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(body);
    cursor.text().filter(|_| cursor.at_end())
}

/// Reads the body of a DataRow; None is NULL. None = malformed.
pub fn data_row_list(body: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let mut cursor = Cursor(body);
    let count = cursor.u16()?;
    (0..count)
        .map(|_| match cursor.i32()? {
            -1 => Some(None),
            length => Some(Some(cursor.bytes(usize::try_from(length).ok()?)?.to_vec())),
        })
        .collect()
}

/// The same of a row of exactly `N` values, where they stand. None = malformed, or another number of them.
pub fn data_row_values<const N: usize>(body: &[u8]) -> Option<[Option<&[u8]>; N]> {
    let mut cursor = Cursor(body);
    if usize::from(cursor.u16()?) != N {
        return None;
    }
    let mut values = [None; N];
    for value in &mut values {
        *value = match cursor.i32()? {
            -1 => None,
            length => Some(cursor.bytes(usize::try_from(length).ok()?)?),
        };
    }
    cursor.at_end().then_some(values)
}

/// Reads the body of a RowDescription: a number made of what a client's driver builds on, the names and types of its columns. Not of the table they
/// come from: PostgreSQL takes a plan for unchanged when these agree (equalTupleDescs in src/backend/access/common/tupdesc.c). None = malformed.
pub fn shape_of_rows(body: &[u8]) -> Option<u64> {
    let mut cursor = Cursor(body);
    let columns = cursor.u16()?;
    // FNV-1a, 64 bits: draft-eastlake-fnv.
    let mut shape: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |bytes: &[u8]| bytes.iter().for_each(|byte| shape = (shape ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    for _ in 0..columns {
        mix(cursor.text()?);
        mix(&[0]);
        // Behind the table's oid and the column's number: type, length, modifier. The format is not the statement's.
        mix(&cursor.bytes(18)?[6..16]);
    }
    // 0 stands for no rows at all.
    Some(shape.max(1))
}

/// What a server wants before it lets us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// nothing, or nothing more
    Ok,
    /// the password as it is
    CleartextPassword,
    /// `auth::md5`
    Md5Password {
        /// four random bytes of the server's
        salt: [u8; 4],
    },
    /// one of these mechanisms
    Sasl(Mechanisms<'a>),
    /// the mechanism's next challenge
    SaslContinue(&'a [u8]),
    /// the mechanism's last word; Ok must follow
    SaslFinal(&'a [u8]),
    /// a method that we do not speak: 2 Kerberos V5, 6 SCM credentials, 7 GSSAPI, 8 its continuation, 9 SSPI, or unknown
    Unsupported(i32),
}

/// The names of SASL mechanisms that a server offers, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a [u8]);

impl<'a> Mechanisms<'a> {
    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || cursor.text().filter(|name| !name.is_empty()))
    }

    /// Whether the server offers this one.
    pub fn offers(self, name: &str) -> bool {
        self.iter().any(|offered| offered == name.as_bytes())
    }
}

/// Reads the body of an Authentication message.
pub fn parse_authentication(body: &[u8]) -> Result<Authentication<'_>, Malformed> {
    let malformed = Malformed { kind: b'R' };
    let mut cursor = Cursor(body);
    let parsed = match cursor.i32().ok_or(malformed)? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = cursor.bytes(4).and_then(|salt| salt.try_into().ok()).ok_or(malformed)?;
            Authentication::Md5Password { salt }
        }
        10 => {
            let names = cursor.0;
            while !cursor.text().ok_or(malformed)?.is_empty() {}
            if !cursor.at_end() {
                return Err(malformed);
            }
            return Ok(Authentication::Sasl(Mechanisms(names)));
        }
        11 => return Ok(Authentication::SaslContinue(cursor.0)),
        12 => return Ok(Authentication::SaslFinal(cursor.0)),
        other => return Ok(Authentication::Unsupported(other)),
    };
    if cursor.at_end() { Ok(parsed) } else { Err(malformed) }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
