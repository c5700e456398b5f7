//! The first bytes of a connection: a startup packet, a request for encryption, or a cancel request. They have no type byte, so the length word and
//! the code behind it are all there is to tell them from garbage; a packet is refused as soon as its length word shows that PostgreSQL would
//! refuse it, before any of it is kept. Follows ProcessStartupPacket (src/backend/postmaster/postmaster.c). What to answer is left to `session`.

use super::cursor::Cursor;
use thiserror::Error;

/// The largest startup packet without its length word, in bytes: MAX_STARTUP_PACKET_LENGTH (src/include/libpq/pqcomm.h).
pub const MAX_STARTUP: usize = 10_000;

/// The only major protocol version that we speak, and PostgreSQL since 7.4.
pub const MAJOR: u16 = 3;

/// The newest minor version that we speak, as PostgreSQL 18 does. 3.2 has longer secrets in cancel keys and is otherwise 3.0; nobody speaks 3.1, but
/// PostgreSQL takes a client that asks for it, as 3.0 under another number.
pub const NEWEST_MINOR: u16 = 2;

/// The first minor version whose cancel keys are longer than 4 bytes.
pub const LONG_KEYS_MINOR: u16 = 2;

/// The bounds on the secret of a cancel request, in bytes: 4 until protocol 3.0, up to 256 from 3.2 on.
pub const CANCEL_KEY: std::ops::RangeInclusive<usize> = 4..=256;

/// The code in place of a version that asks to cancel a statement, major 1234.
pub(super) const CANCEL: u32 = 1234 << 16 | 5678;
const SSL: u32 = 1234 << 16 | 5679;
const GSS: u32 = 1234 << 16 | 5680;

/// First byte of a TLS record that carries a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Why the first bytes of a connection are refused; always the client's fault. The text is PostgreSQL's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StartupError {
    /// Too short, too long, or not PostgreSQL's protocol at all (HTTP, a port scanner). Close without a word.
    #[error("invalid length of startup packet")]
    Length,
    /// A TLS handshake with no SSLRequest before it, which PostgreSQL knows from version 17 on (sslnegotiation=direct). Close without a word.
    #[error("the client began a TLS handshake without an SSLRequest; direct TLS is not supported, use sslnegotiation=postgres")]
    DirectTls,
    /// A version that is not 3.x; also a second SSLRequest on one connection (1234.5679).
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// high half of the version word
        major: u16,
        /// low half of the version word
        minor: u16,
    },
    /// Names and values do not end exactly where the packet does.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// No user, or an empty one.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
}

impl StartupError {
    /// The SQLSTATE of the FATAL error to answer with; None = close without a word, as PostgreSQL does.
    pub const fn code(self) -> Option<&'static str> {
        match self {
            StartupError::Length | StartupError::DirectTls => None,
            StartupError::Version { .. } => Some("0A000"),
            StartupError::Layout => Some("08P01"),
            StartupError::NoUser => Some("28000"),
        }
    }

    /// The refusal of a second SSLRequest, which PostgreSQL takes for a version number.
    pub const fn second_ssl() -> Self {
        StartupError::Version { major: 1234, minor: 5679 }
    }

    /// The refusal of a second GSSENCRequest.
    pub const fn second_gss() -> Self {
        StartupError::Version { major: 1234, minor: 5680 }
    }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// SSLRequest: answer one byte, `S` or `N`. Bytes that came along with it unencrypted must end the connection when the answer is `S`.
    Ssl,
    /// GSSENCRequest: answer one byte, `G` or `N`.
    Gss,
    /// CancelRequest: no answer, whatever happens.
    Cancel {
        /// process id as BackendKeyData gave it
        pid: i32,
        /// the secret, 4 to 256 bytes
        key: &'a [u8],
    },
    /// A client that wants to talk.
    Startup(Startup<'a>),
}

/// A well-formed startup packet of protocol 3.x that names a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// minor protocol version asked for; above [`NEWEST_MINOR`], or with [`Startup::protocol_options`], the answer includes NegotiateProtocolVersion
    pub minor: u16,
    /// names and values, each ended by a zero byte, without the terminator of the list
    body: &'a [u8],
}

impl<'a> Startup<'a> {
    /// All names and values in the order sent, `user`, `database`, `options`, `replication` and `_pq_.` ones included. Bytes, since the encoding
    /// is not known this early. A name may come twice: the last one counts.
    pub fn parameters(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut cursor = Cursor(self.body);
        std::iter::from_fn(move || Some((cursor.text()?, cursor.text()?)))
    }

    /// The value that counts for a name.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.parameters().filter(|(found, _)| *found == name.as_bytes()).last().map(|(_, value)| value)
    }

    /// The user, never empty. PostgreSQL cuts it at 63 bytes.
    pub fn user(self) -> &'a [u8] {
        self.get("user").unwrap_or_default()
    }

    /// The database; the user's name when absent or empty. PostgreSQL cuts it at 63 bytes.
    pub fn database(self) -> &'a [u8] {
        self.get("database").filter(|name| !name.is_empty()).unwrap_or(self.user())
    }

    /// Names of protocol options. We know none: list all of them in NegotiateProtocolVersion.
    pub fn protocol_options(self) -> impl Iterator<Item = &'a [u8]> {
        self.parameters().map(|(name, _)| name).filter(|name| name.starts_with(b"_pq_."))
    }
}

/// Reads the first packet of a connection and how many bytes it took. None = more bytes are needed, never more than `MAX_STARTUP + 4` in total.
///
/// After SSLRequest or GSSENCRequest was answered call it again for what follows; a second request of the same kind is the caller's to refuse with
/// [`StartupError::second_ssl`] or [`StartupError::second_gss`].
pub fn first(bytes: &[u8]) -> Result<Option<(First<'_>, usize)>, StartupError> {
    // A length within bounds begins with two zero bytes, so that garbage shows on its first byte.
    match bytes.first() {
        None | Some(0) => {}
        Some(&TLS_HANDSHAKE) => return Err(StartupError::DirectTls),
        Some(_) => return Err(StartupError::Length),
    }
    let Some((word, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*word);
    if !(8..=MAX_STARTUP as u32 + 4).contains(&length) {
        return Err(StartupError::Length);
    }
    let Some((code, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let code = u32::from_be_bytes(*code);
    let length = length as usize;
    if code == CANCEL && !CANCEL_KEY.contains(&length.saturating_sub(12)) {
        return Err(StartupError::Length);
    }
    let Some(body) = bytes.get(8..length) else { return Ok(None) };
    let (major, minor) = ((code >> 16) as u16, code as u16);
    let packet = match code {
        SSL => First::Ssl,
        GSS => First::Gss,
        CANCEL => {
            let mut cursor = Cursor(body);
            First::Cancel { pid: cursor.i32().ok_or(StartupError::Length)?, key: cursor.0 }
        }
        // Refused only now that the packet is complete: closing a socket with unread bytes resets it, and the client would not see the error.
        _ if major != MAJOR => return Err(StartupError::Version { major, minor }),
        _ => First::Startup(parameters(minor, body)?),
    };
    Ok(Some((packet, length)))
}

/// Checks that a body is a list of names and values whose terminator is its last byte, and that it names a user.
fn parameters(minor: u16, body: &[u8]) -> Result<Startup<'_>, StartupError> {
    let mut cursor = Cursor(body);
    loop {
        let name = cursor.text().ok_or(StartupError::Layout)?;
        if name.is_empty() {
            break;
        }
        cursor.text().ok_or(StartupError::Layout)?;
    }
    if !cursor.at_end() {
        return Err(StartupError::Layout);
    }
    let startup = Startup { minor, body: &body[..body.len() - 1] };
    if startup.user().is_empty() { Err(StartupError::NoUser) } else { Ok(startup) }
}

/// What a connection replicates that asks for it in its startup packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// the write-ahead log of the whole server; such a connection belongs to no database and takes no SQL but SHOW
    Physical,
    /// changes of one database, which takes SQL as well
    Logical,
}

impl Replication {
    /// Reads the startup parameter `replication`, as ProcessStartupPacket and parse_bool (src/backend/utils/adt/bool.c) do: `database`, or something
    /// true, or something false (`Some(None)`). None = a value that PostgreSQL does not take.
    pub fn read(value: &str) -> Option<Option<Replication>> {
        let word = value.to_ascii_lowercase();
        let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
        match word.as_str() {
            _ if value == "database" => Some(Some(Replication::Logical)),
            _ if word == "1" || word == "on" || begins("true", 1) || begins("yes", 1) => Some(Some(Replication::Physical)),
            _ if word == "0" || begins("off", 2) || begins("false", 1) || begins("no", 1) => Some(None),
            _ => None,
        }
    }

    /// The value that asks for it.
    pub const fn word(self) -> &'static str {
        match self {
            Replication::Physical => "true",
            Replication::Logical => "database",
        }
    }
}

/// Why the `options` of a startup packet are refused; the client's fault, FATAL 42601.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OptionsError {
    /// A `-c` or `--` without a name and a value.
    #[error("{0} requires a value")]
    NoValue(String),
    /// A word that is neither `-c name=value` nor `--name=value`. PostgreSQL has further switches for developers; name the parameter instead.
    #[error("invalid command-line argument for server process: {0}")]
    Unknown(String),
}

impl OptionsError {
    /// The SQLSTATE of the FATAL error to answer with.
    pub const fn code(&self) -> &'static str {
        "42601"
    }
}

/// Splits the startup parameter `options` into names and values: words as pg_split_opts (src/backend/utils/init/postinit.c) takes them, separated
/// by white space, a backslash before a character takes it literally; each `-c name=value` or `--name=value`, `-` in a name standing for `_`.
pub fn options(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    let mut found = Vec::new();
    let mut words = split(text).into_iter();
    while let Some(word) = words.next() {
        let (switch, setting) = if word == "-c" {
            ("-c ", words.next().ok_or(OptionsError::NoValue(word))?)
        } else if let Some(rest) = word.strip_prefix("--").filter(|rest| !rest.is_empty()) {
            ("--", rest.to_owned())
        } else if let Some(rest) = word.strip_prefix("-c") {
            ("-c ", rest.to_owned())
        } else {
            return Err(OptionsError::Unknown(word));
        };
        match setting.split_once('=') {
            Some((name, value)) if !name.is_empty() => found.push((name.replace('-', "_"), value.to_owned())),
            _ => return Err(OptionsError::NoValue(format!("{switch}{setting}"))),
        }
    }
    Ok(found)
}

fn split(text: &str) -> Vec<String> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|&c| space(c)).is_some() {}
        if chars.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|&c| !space(c)) {
            // A backslash at the very end stands for nothing.
            if c == '\\' { word.extend(chars.next()) } else { word.push(c) }
        }
        words.push(word);
    }
}

#[cfg(test)]
#[path = "startup_tests.rs"]
mod tests;
