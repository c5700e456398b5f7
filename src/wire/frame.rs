//! Where a message starts and ends: the five bytes before every message after startup, the limits on what they may say, and the one writer that
//! all encoders use. A length from the wire is compared with its limit as the unsigned 32 bits that it is, before anything is computed from it,
//! and a length that we write has been compared with the same limit: none can wrap. What the body means is left to `client` and `server`.

use thiserror::Error;

/// Bytes before the body of a typed message: its type and its length word.
pub const HEADER: usize = 5;

/// The largest length word of any message. A PostgreSQL server builds messages in a buffer of at most MaxAllocSize - 1 = 0x3fff_fffe bytes (src/
/// common/stringinfo.c) and adds the 4 bytes of the length word itself; what clients may send is smaller, see [`client_limit`].
pub const MAX_LENGTH: u32 = 0x3fff_fffe + 4;

/// The largest length word of a client's long messages: PQ_LARGE_MESSAGE_LIMIT (src/include/libpq/libpq.h) is MaxAllocSize - 1, and PostgreSQL
/// compares it with the length word, which counts its own 4 bytes.
const LARGE: usize = 0x3fff_fffe;

/// The largest length word of a client's short messages: PQ_SMALL_MESSAGE_LIMIT.
const SMALL: usize = 10_000;

/// The largest body of a password or SASL message: PG_MAX_AUTH_TOKEN_LENGTH (src/backend/libpq/auth.c) less the length word. PostgreSQL takes SASL
/// messages up to 1024 bytes only; `auth::scram` applies that bound.
pub const LOGIN_LIMIT: usize = 65_535 - 4;

/// Why bytes cannot be a message. All of these are the sender's fault, and the stream cannot be followed beyond them: close the connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The length word is below 4 or above the limit of its type. PostgreSQL logs this and closes without a word to the client.
    #[error("invalid message length {length} in a message of type {kind}")]
    Length {
        /// the type byte
        kind: u8,
        /// the length word as sent
        length: u32,
    },
    /// A client sent a type that no client message has. PostgreSQL answers FATAL 08P01 with exactly this text.
    #[error("invalid frontend message type {0}")]
    Kind(u8),
    /// A client that was asked for a password sent something else. PostgreSQL answers FATAL 08P01 with exactly this text.
    #[error("expected password response, got message type {0}")]
    NotPassword(u8),
}

impl FrameError {
    /// The SQLSTATE to tell the peer before closing; None = close without a word, as PostgreSQL does.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            FrameError::Length { .. } => None,
            FrameError::Kind(_) | FrameError::NotPassword(_) => Some("08P01"),
        }
    }
}

/// The five bytes before a body, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// the type byte
    pub kind: u8,
    /// bytes that follow the header, at most `MAX_LENGTH - 4`
    pub body: usize,
}

impl Header {
    /// Bytes of the whole message, header included.
    #[inline]
    pub const fn total(self) -> usize {
        HEADER + self.body
    }
}

/// Reads the header of a typed message. None = fewer than five bytes. Hot: no allocation, no loop.
///
/// Fails when the length word is below 4 or above [`MAX_LENGTH`]; any type byte passes. For bytes of a client use [`client_header`].
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some(&[kind, a, b, c, d]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if !(4..=MAX_LENGTH).contains(&length) {
        return Err(FrameError::Length { kind, length });
    }
    Ok(Some(Header { kind, body: length as usize - 4 }))
}

/// The largest body that PostgreSQL takes in a client message of this type between login and end, in bytes; None = no such message.
///
/// As SocketBackend in src/backend/tcop/postgres.c: `Q F B P d` are long, `X C D E H S c f` are short, everything else loses the connection.
#[inline]
pub const fn client_limit(kind: u8) -> Option<usize> {
    match kind {
        b'Q' | b'F' | b'B' | b'P' | b'd' => Some(LARGE - 4),
        b'X' | b'C' | b'D' | b'E' | b'H' | b'S' | b'c' | b'f' => Some(SMALL - 4),
        _ => None,
    }
}

/// [`header`] with the rules for a client that has logged in: the type must exist (refused on the first byte, before the length arrives) and the
/// body must keep within [`client_limit`]. Hot: no allocation, no loop.
#[inline]
pub fn client_header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some(&kind) = bytes.first() else { return Ok(None) };
    let Some(limit) = client_limit(kind) else { return Err(FrameError::Kind(kind)) };
    within(header(bytes)?, limit)
}

/// [`header`] with the rules for a client that has been asked for a password or a SASL response: type `p`, body up to [`LOGIN_LIMIT`].
pub fn login_header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'p') => within(header(bytes)?, LOGIN_LIMIT),
        Some(&kind) => Err(FrameError::NotPassword(kind)),
    }
}

#[inline]
fn within(header: Option<Header>, limit: usize) -> Result<Option<Header>, FrameError> {
    match header {
        // The sum fits: a header's body is at most MAX_LENGTH - 4.
        Some(Header { kind, body }) if body > limit => Err(FrameError::Length { kind, length: body as u32 + 4 }),
        other => Ok(other),
    }
}

/// Why a message was not written. The buffer is as it was before the call; nothing of the message went out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// The message would be longer than the protocol or the receiver allows. The caller's data is too large: 54000 to whoever supplied it.
    #[error("a message of type {kind} would be longer than the {limit} bytes that the protocol allows; send less in one message")]
    TooLarge {
        /// the type byte, 0 for the untyped startup messages
        kind: u8,
        /// the largest body, in bytes
        limit: usize,
    },
    /// A text that the protocol ends with a zero byte holds one. Sent as it is, its rest would be read as the next field.
    #[error("a text in a message of type {kind} contains a zero byte; PostgreSQL has no way to carry it")]
    ZeroByte {
        /// the type byte, 0 for the untyped startup messages
        kind: u8,
    },
    /// More elements than a 16-bit count can hold.
    #[error("a message of type {kind} would hold more than {limit} elements; send fewer columns or parameters")]
    TooMany {
        /// the type byte
        kind: u8,
        /// the largest count
        limit: usize,
    },
}

/// The largest count that a 16-bit field carries: PostgreSQL reads and writes these as signed.
pub(super) const MAX_COUNT: usize = i16::MAX as usize;

/// Appends one message to a buffer: reserves the length word, collects the body, and writes the length in the end. The first failure sticks, and
/// from then on nothing is copied, so that an oversized body is refused before it is built.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    kind: u8,
    left: usize,
    limit: usize,
    failed: Option<EncodeError>,
}

impl<'a> Writer<'a> {
    /// Starts a typed message whose body may have `limit` bytes; a limit above the protocol's own counts as that.
    pub(super) fn typed(out: &'a mut Vec<u8>, kind: u8, limit: usize) -> Self {
        let start = out.len();
        out.extend_from_slice(&[kind, 0, 0, 0, 0]);
        Self::new(out, start, kind, limit)
    }

    /// Starts a message without a type byte, as startup packets are.
    pub(super) fn untyped(out: &'a mut Vec<u8>, limit: usize) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        Self::new(out, start, 0, limit)
    }

    fn new(out: &'a mut Vec<u8>, start: usize, kind: u8, limit: usize) -> Self {
        let limit = limit.min(MAX_LENGTH as usize - 4);
        Self { out, start, kind, left: limit, limit, failed: None }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() > self.left {
            self.fail(EncodeError::TooLarge { kind: self.kind, limit: self.limit });
        }
        if self.failed.is_none() {
            self.left -= bytes.len();
            self.out.extend_from_slice(bytes);
        }
        self
    }

    /// A text and the zero byte that ends it.
    pub(super) fn text(&mut self, text: &[u8]) -> &mut Self {
        if text.len() < self.left && text.contains(&0) {
            self.fail(EncodeError::ZeroByte { kind: self.kind });
        }
        self.bytes(text).u8(0)
    }

    pub(super) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A 16-bit count of elements.
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        match i16::try_from(count) {
            Ok(count) => self.i16(count),
            Err(_) => {
                self.fail(EncodeError::TooMany { kind: self.kind, limit: MAX_COUNT });
                self
            }
        }
    }

    /// A value with its 32-bit length before it; None is the length -1.
    pub(super) fn value(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.i32(-1),
            // The cast cannot wrap: whatever exceeds the limit, which is below i32::MAX, fails in `bytes` and nothing of it goes out.
            Some(value) => self.u32(value.len() as u32).bytes(value),
        }
    }

    fn fail(&mut self, error: EncodeError) {
        self.failed.get_or_insert(error);
    }

    /// Writes the length word, or takes back what was appended.
    pub(super) fn finish(self) -> Result<(), EncodeError> {
        if let Some(error) = self.failed {
            self.out.truncate(self.start);
            return Err(error);
        }
        let at = self.start + usize::from(self.kind != 0);
        // The cast cannot wrap: the body is within a limit that is at most MAX_LENGTH - 4.
        let length = (self.out.len() - at) as u32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
