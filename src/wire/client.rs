//! Messages that a client sends: writing them, to servers of ours, and looking into those that a pooler must understand, from clients of ours. An
//! encoder appends one whole message within the limits that PostgreSQL puts on its type or, when it fails, nothing; the looks borrow from the body.
//! What a statement says is left to `sql`, what follows from it to `session`.
//!
//! Format: PostgreSQL documentation, "Message Formats"; limits: SocketBackend in src/backend/tcop/postgres.c.

use super::cursor::Cursor;
use super::frame::{EncodeError, Header, LOGIN_LIMIT, Writer, client_limit};
use super::startup::{CANCEL, CANCEL_KEY, MAJOR, MAX_STARTUP};
use thiserror::Error;

/// The longest name of a statement or portal that [`statement_of`] waits for, in bytes. PostgreSQL tells names apart by their first 63 bytes; the
/// bound is that of the short messages, in which longer names could not come anyway.
pub const MAX_NAME: usize = 10_000;

/// StartupMessage of protocol 3.`minor`. Names must not be empty, since an empty one ends the list; `user` has to be among them.
pub fn startup(out: &mut Vec<u8>, minor: u16, parameters: &[(&str, &str)]) -> Result<(), EncodeError> {
    debug_assert!(parameters.iter().all(|(name, _)| !name.is_empty()));
    let mut message = Writer::untyped(out, MAX_STARTUP);
    message.u32(u32::from(MAJOR) << 16 | u32::from(minor));
    for (name, value) in parameters.iter().filter(|(name, _)| !name.is_empty()) {
        message.text(name.as_bytes()).text(value.as_bytes());
    }
    message.u8(0);
    message.finish()
}

/// CancelRequest, alone on its own connection; `key` of 4 to 256 bytes as the server gave it.
pub fn cancel_request(out: &mut Vec<u8>, pid: i32, key: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::untyped(out, 8 + CANCEL_KEY.end());
    message.u32(CANCEL).i32(pid).bytes(key);
    message.finish()
}

/// PasswordMessage: the password itself, or the answer to an MD5 challenge.
pub fn password(out: &mut Vec<u8>, password: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'p', LOGIN_LIMIT);
    message.text(password);
    message.finish()
}

/// SASLInitialResponse.
pub fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, data: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'p', LOGIN_LIMIT);
    message.text(mechanism.as_bytes()).value(Some(data));
    message.finish()
}

/// SASLResponse.
pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) -> Result<(), EncodeError> {
    let mut message = Writer::typed(out, b'p', LOGIN_LIMIT);
    message.bytes(data);
    message.finish()
}

fn regular(out: &mut Vec<u8>, kind: u8) -> Writer<'_> {
    Writer::typed(out, kind, client_limit(kind).unwrap_or_default())
}

/// Query.
pub fn query(out: &mut Vec<u8>, text: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'Q');
    message.text(text);
    message.finish()
}

/// Parse; `types` are oids, 0 = to be inferred.
pub fn parse(out: &mut Vec<u8>, name: &[u8], text: &[u8], types: &[u32]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'P');
    message.text(name).text(text).count(types.len());
    for &oid in types {
        message.u32(oid);
    }
    message.finish()
}

/// Parse of a statement of ours: `rest` is what follows the name in the body of the client's, so that nothing is read again.
pub fn parse_again(out: &mut Vec<u8>, name: &[u8], rest: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'P');
    message.text(name).bytes(rest);
    message.finish()
}

/// The beginning of a Bind, of which `rest` more bytes follow: it names another statement than the client's did. A portal's name and ours are short,
/// so that what was within PostgreSQL's limits still is.
pub fn bind_again(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: usize) {
    let length = 4 + portal.len() + statement.len() + 2 + rest;
    out.push(b'B');
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(portal);
    out.push(0);
    out.extend_from_slice(statement);
    out.push(0);
}

/// The names in a Bind's body: of the portal and of the statement. None: they are not all there.
pub fn bind_names(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor(body);
    Some((cursor.text()?, cursor.text()?))
}

/// The values in a Bind's body, but for NULLs, as far as they are all there.
pub fn bind_values(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor(body);
    let count = bind_head(&mut cursor).unwrap_or_default();
    // A NULL has a length of -1 and no bytes.
    let value = move |_| usize::try_from(cursor.i32()?).map_or(Some(None), |length| cursor.bytes(length).map(Some));
    (0..count).map_while(value).flatten()
}

/// Passes over what is in front of the values; how many there are.
fn bind_head(cursor: &mut Cursor<'_>) -> Option<u16> {
    cursor.text()?;
    cursor.text()?;
    let formats = cursor.u16()?;
    cursor.bytes(2 * usize::from(formats))?;
    cursor.u16()
}

/// Describe of a prepared statement.
pub fn describe_statement(out: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'D');
    message.u8(b'S').text(name);
    message.finish()
}

/// Close of a prepared statement.
pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'C');
    message.u8(b'S').text(name);
    message.finish()
}

/// Close of a portal.
pub fn close_portal(out: &mut Vec<u8>, name: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'C');
    message.u8(b'P').text(name);
    message.finish()
}

/// Execute of a portal to its end.
pub fn execute(out: &mut Vec<u8>, portal: &[u8]) -> Result<(), EncodeError> {
    let mut message = regular(out, b'E');
    message.text(portal).u32(0);
    message.finish()
}

/// CopyFail with the reason, which PostgreSQL repeats in its error.
pub fn copy_fail(out: &mut Vec<u8>, reason: &str) -> Result<(), EncodeError> {
    let mut message = regular(out, b'f');
    message.text(reason.as_bytes());
    message.finish()
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    bare(out, b'S');
}

/// Flush.
pub fn flush(out: &mut Vec<u8>) {
    bare(out, b'H');
}

/// Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    bare(out, b'X');
}

fn bare(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[kind, 0, 0, 0, 4]);
}

/// What a message of the extended protocol is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek<'a> {
    /// The name is not complete: ask again with more of the body. Never said of a whole body, nor of more than [`MAX_NAME`] bytes per name.
    NeedMore,
    /// a prepared statement; the empty name is the unnamed one
    Statement(&'a [u8]),
    /// a portal; the empty name is the unnamed one
    Portal(&'a [u8]),
    /// A name is longer than [`MAX_NAME`]; the client's fault, 54000.
    TooLong,
    /// The body ends before its names do, or it is of a type that has none; the client's fault, 08P01. PostgreSQL says so itself when it gets it.
    Malformed,
}

/// Which statement or portal a Parse, Bind, Execute, Describe or Close names: for Parse, Bind and Describe/Close `S` a statement, for Execute and
/// Describe/Close `P` a portal. `prefix` is as much of the body as there is, more than `header.body` bytes are not looked at. Hot: no allocation.
#[inline(always)]
pub fn statement_of(header: Header, prefix: &[u8]) -> Peek<'_> {
    let whole = prefix.len() >= header.body;
    let mut rest = if whole { &prefix[..header.body] } else { prefix };
    let portal = match header.kind {
        b'P' => false,
        b'E' => true,
        b'B' => match name(rest, whole) {
            Ok(portal) => {
                rest = &rest[portal.len() + 1..];
                false
            }
            Err(peek) => return peek,
        },
        b'D' | b'C' => {
            let Some((&what, after)) = rest.split_first() else { return if whole { Peek::Malformed } else { Peek::NeedMore } };
            rest = after;
            match what {
                b'S' => false,
                b'P' => true,
                _ => return Peek::Malformed,
            }
        }
        _ => return Peek::Malformed,
    };
    match name(rest, whole) {
        Ok(name) if portal => Peek::Portal(name),
        Ok(name) => Peek::Statement(name),
        Err(peek) => peek,
    }
}

/// The text at the start of `rest`; when there is none, why.
#[inline]
fn name(rest: &[u8], whole: bool) -> Result<&[u8], Peek<'_>> {
    let window = &rest[..rest.len().min(MAX_NAME + 1)];
    match window.iter().position(|&byte| byte == 0) {
        Some(end) => Ok(&window[..end]),
        None if window.len() > MAX_NAME => Err(Peek::TooLong),
        None if whole => Err(Peek::Malformed),
        None => Err(Peek::NeedMore),
    }
}

/// The text of a Query's body. None = no zero byte, or not at the end: 08P01 `invalid message format`.
#[inline]
pub fn query_text(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(body);
    cursor.text().filter(|_| cursor.at_end())
}

/// Why an answer of a client to a password or SASL request is refused; the client's fault. The text is PostgreSQL's, to be sent as FATAL.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoginError {
    /// The password is not ended by the message's last byte, or by an earlier one.
    #[error("invalid password packet size")]
    Size,
    /// No password at all: as a wrong one.
    #[error("empty password returned by client")]
    Empty,
    /// Fields and message do not end together.
    #[error("invalid message format")]
    Format,
}

impl LoginError {
    /// The SQLSTATE to answer with.
    pub const fn code(self) -> &'static str {
        match self {
            LoginError::Empty => "28P01",
            LoginError::Size | LoginError::Format => "08P01",
        }
    }
}

/// Reads the body of a PasswordMessage. As recv_password_packet in src/backend/libpq/auth.c.
pub fn password_message(body: &[u8]) -> Result<&[u8], LoginError> {
    match query_text(body) {
        None => Err(LoginError::Size),
        Some([]) => Err(LoginError::Empty),
        Some(password) => Ok(password),
    }
}

/// Reads the body of a SASLInitialResponse: the mechanism, and the first response if the client sent one at once (otherwise answer with an empty
/// AuthenticationSASLContinue). The body of a SASLResponse is the response itself. As CheckSASLAuth in src/backend/libpq/auth-sasl.c.
pub fn sasl_initial_response(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), LoginError> {
    let mut cursor = Cursor(body);
    let mechanism = cursor.text().ok_or(LoginError::Format)?;
    let data = match cursor.i32().ok_or(LoginError::Format)? {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| LoginError::Format)?;
            Some(cursor.bytes(length).ok_or(LoginError::Format)?)
        }
    };
    if cursor.at_end() { Ok((mechanism, data)) } else { Err(LoginError::Format) }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
