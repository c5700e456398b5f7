//! The conversation with a server that listens for others: LISTEN and UNLISTEN go out, their answers and all notifications come back. It logs in
//! by `greeting` and knows no client; which clients a channel has is left to `control`.
//!
//! Invariant: statements are answered in the order in which they were said, and what is told in between is told in the order in which the server
//! said it, so that a notification that comes behind the answer to a LISTEN was committed behind it. At most `OUTSTANDING_MAX` statements wait for
//! their answers: together they are so short that the server has room for all of them even while it reads none, and neither side can block.

use std::collections::VecDeque;

use crate::wire::client;
use crate::wire::frame::{self, FrameError, HEADER};
use crate::wire::server::error_fields;

/// Statements that wait for their answers.
pub const OUTSTANDING_MAX: usize = 64;
/// No message of a listening server is larger in good faith: a notification has 8,000 bytes and its channel at most.
const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of a channel's name, as PostgreSQL has it (NAMEDATALEN - 1).
pub const CHANNEL_MAX: usize = 63;

/// What a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Listen(Box<[u8]>),
    Unlisten(Box<[u8]>),
    /// nothing, to hear whether there is an answer
    Alive,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// the oldest statement is done
    Done,
    /// the oldest statement was refused: SQLSTATE and message
    Refused(String, String),
    /// a notification: its channel, and the whole message
    Notified { channel: &'a [u8], frame: &'a [u8] },
    /// the server ends this connection: SQLSTATE and message
    Fatal(String, String),
}

/// Why bytes cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfStep {
    #[error("the server does not speak PostgreSQL's protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("the server sent a message of type {0:?} and {1} bytes to a connection that only listens")]
    Unexpected(char, usize),
}

/// One conversation, after its login.
#[derive(Debug, Default)]
pub struct Listener {
    /// of the statements that wait for ReadyForQuery, oldest first: whether they were answered already
    outstanding: VecDeque<bool>,
}

impl Listener {
    /// Whether another statement may be said.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING_MAX
    }

    /// Whether an answer is due.
    pub fn waits(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Appends a statement to `words`.
    pub fn ask(&mut self, ask: &Ask, words: &mut Vec<u8>) {
        let text = match ask {
            Ask::Listen(channel) => [b"LISTEN ", &quoted(channel)[..]].concat(),
            Ask::Unlisten(channel) => [b"UNLISTEN ", &quoted(channel)[..]].concat(),
            Ask::Alive => b";".to_vec(),
        };
        // A channel's name is short, and came out of a text without zero bytes.
        if client::query(words, &text).is_ok() {
            self.outstanding.push_back(false);
        }
    }

    /// Reads whole messages out of `bytes`; returns how many bytes they have. `told` is called for each that matters, in order.
    pub fn on_bytes(&mut self, bytes: &[u8], told: &mut dyn FnMut(Told<'_>)) -> Result<usize, OutOfStep> {
        let mut at = 0;
        loop {
            let Some(header) = frame::header(&bytes[at..])? else { return Ok(at) };
            if header.body > MESSAGE_MAX {
                return Err(OutOfStep::Unexpected(char::from(header.kind), header.body));
            }
            let Some(frame) = bytes.get(at..at + header.total()) else { return Ok(at) };
            at += header.total();
            self.message(header.kind, frame, told)?;
        }
    }

    fn message(&mut self, kind: u8, frame: &[u8], told: &mut dyn FnMut(Told<'_>)) -> Result<(), OutOfStep> {
        let body = &frame[HEADER..];
        let unexpected = OutOfStep::Unexpected(char::from(kind), body.len());
        match kind {
            b'A' => {
                let channel = body.get(4..).and_then(|rest| rest.split(|byte| *byte == 0).next());
                told(Told::Notified { channel: channel.ok_or(unexpected)?, frame });
            }
            // EmptyQueryResponse answers `Ask::Alive`.
            b'C' | b'I' => {
                *self.outstanding.front_mut().filter(|answered| !**answered).ok_or(unexpected)? = true;
                told(Told::Done);
            }
            b'E' => {
                let fields = error_fields(body).unwrap_or_default();
                let (code, message) = (fields.sqlstate().to_string(), fields.text().into_owned());
                if fields.is_fatal() {
                    told(Told::Fatal(code, message));
                } else {
                    *self.outstanding.front_mut().filter(|answered| !**answered).ok_or(unexpected)? = true;
                    told(Told::Refused(code, message));
                }
            }
            b'Z' => _ = self.outstanding.pop_front().filter(|answered| *answered).ok_or(unexpected)?,
            // Notices and changed parameters are for nobody here.
            b'N' | b'S' => {}
            _ => return Err(unexpected),
        }
        Ok(())
    }
}

/// A name as an identifier that means exactly this name.
fn quoted(name: &[u8]) -> Vec<u8> {
    let mut text = vec![b'"'];
    for &byte in name {
        if byte == b'"' {
            text.push(b'"');
        }
        text.push(byte);
    }
    text.push(b'"');
    text
}

/// A name as PostgreSQL keeps it: at most `CHANNEL_MAX` bytes of whole characters.
pub fn truncated(name: &[u8]) -> &[u8] {
    if name.len() <= CHANNEL_MAX {
        return name;
    }
    let mut end = CHANNEL_MAX;
    // The byte behind the cut continues a character of UTF-8: the character goes as a whole. Four bytes are the longest.
    while end > CHANNEL_MAX - 4 && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
