//! Requests of a client without a server that are a LISTEN or an UNLISTEN and nothing else: as a simple query, or as one batch of the extended
//! protocol (Parse of the unnamed statement or none, Bind, perhaps Describe, Execute, Sync), as drivers send them. Whoever answers them says what a
//! server would have said. Anything else is None and its server's business.

use std::borrow::Cow;

use crate::sql::look::{Statement, look};
use crate::wire::frame::{HEADER, client_header};
use crate::wire::server::{ErrorFields, bind_complete, command_complete, error, no_data, parse_complete, ready};

/// Longer requests are no LISTEN that anybody writes.
const REQUEST_MAX: usize = 1024;

/// What is wished; a channel's name as PostgreSQL reads it, not cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Listen(Vec<u8>),
    Unlisten(Vec<u8>),
    UnlistenAll,
}

/// What a request has besides its Execute and Sync, or its Query: each is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    parse: bool,
    bind: bool,
    describe: bool,
}

impl Form {
    /// Appends the answer of a request that is carried out.
    pub fn done(self, tag: &str, words: &mut Vec<u8>) {
        self.begin(words);
        // Fixed and short.
        let _ = command_complete(words, tag);
        ready(words, b'I');
    }

    /// Appends the answer of one that is not.
    pub fn failed(self, fields: &ErrorFields<'_>, words: &mut Vec<u8>) {
        self.begin(words);
        error(words, fields);
        ready(words, b'I');
    }

    fn begin(self, words: &mut Vec<u8>) {
        if self.parse {
            parse_complete(words);
        }
        if self.bind {
            bind_complete(words);
        }
        if self.describe {
            no_data(words);
        }
    }
}

/// What the bytes of a client begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begins {
    /// a wish, and how many bytes its request has
    Wish(Wish, Form, usize),
    /// with what may become one: more bytes must come first
    More,
    Other,
}

/// What a text does to the channels of its session, if it does nothing else.
pub fn of_text(text: &[u8]) -> Option<Wish> {
    // Hardly any other text begins like that.
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'l' | b'L' | b'u' | b'U' | b'-' | b'/' | b';') || text.len() > REQUEST_MAX {
        return None;
    }
    match look(text).statement {
        Statement::Listen { channel } => Some(Wish::Listen(owned(channel.name()))),
        Statement::Unlisten { channel } => Some(Wish::Unlisten(owned(channel.name()))),
        Statement::UnlistenAll => Some(Wish::UnlistenAll),
        _ => None,
    }
}

fn owned(name: Cow<'_, [u8]>) -> Vec<u8> {
    name.into_owned()
}

/// Reads the request at the start of `bytes`. `named` gives the text of a statement that the client has prepared.
pub fn begins<'a>(bytes: &[u8], named: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Begins {
    match bytes.first() {
        Some(b'Q') => simple(bytes),
        Some(b'P' | b'B') => batch(bytes, named),
        _ => Begins::Other,
    }
}

/// A message at the start of `bytes`: its type and body, and how long it is.
fn message(bytes: &[u8]) -> Result<(u8, &[u8], usize), Begins> {
    match client_header(bytes) {
        Ok(Some(header)) if header.total() > REQUEST_MAX => Err(Begins::Other),
        Ok(Some(header)) => Ok((header.kind, bytes.get(HEADER..header.total()).ok_or(Begins::More)?, header.total())),
        Ok(None) => Err(Begins::More),
        Err(_) => Err(Begins::Other),
    }
}

fn simple(bytes: &[u8]) -> Begins {
    match message(bytes) {
        Ok((_, body, total)) => match body.strip_suffix(b"\0").and_then(of_text) {
            Some(wish) => Begins::Wish(wish, Form::default(), total),
            None => Begins::Other,
        },
        Err(begins) => begins,
    }
}

fn batch<'a>(bytes: &[u8], named: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Begins {
    let (mut at, mut form, mut wish, mut executed) = (0, Form::default(), None, false);
    loop {
        let (kind, body, total) = match message(&bytes[at..]) {
            Ok(message) => message,
            // What has begun as something else needs no more bytes to be that.
            Err(begins) => return if wish.is_some() || at == 0 { begins } else { Begins::Other },
        };
        at += total;
        match (kind, body) {
            (b'P', [0, rest @ ..]) if wish.is_none() => {
                form.parse = true;
                wish = rest.strip_suffix(b"\0\0\0").and_then(of_text);
            }
            // The unnamed portal of the unnamed statement, and nothing to bind; results may be in any format, as there are none.
            (b'B', [0, 0, 0, 0, 0, 0, ..]) if form.parse && !form.bind => form.bind = true,
            (b'B', [0, rest @ ..]) if wish.is_none() => {
                form.bind = true;
                let mut parts = rest.splitn(2, |byte| *byte == 0);
                let name = parts.next().filter(|name| !name.is_empty());
                let nothing = parts.next().is_some_and(|rest| rest.starts_with(&[0, 0, 0, 0]));
                wish = name.filter(|_| nothing).and_then(&named).and_then(of_text);
            }
            (b'D', [b'P', 0]) if form.bind && !form.describe && !executed => form.describe = true,
            (b'E', [0, ..]) if form.bind && !executed => executed = true,
            (b'S', []) if executed => return wish.map_or(Begins::Other, |wish| Begins::Wish(wish, form, at)),
            _ => return Begins::Other,
        }
        if wish.is_none() {
            return Begins::Other;
        }
    }
}

#[cfg(test)]
#[path = "wishes_tests.rs"]
mod tests;
