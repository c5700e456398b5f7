//! A client that replicates and the server that is its alone: bytes go through as they are, both ways. Where messages begin and end is followed all
//! the same, so that a word of ours never lands inside one, and so that it is known whether the server is at work.
//!
//! Invariant: what `on_client` and `on_server` say was consumed has to go on, all of it and nothing else; what they did not consume (a cut header) is
//! given again with more behind it. What a message means is left to the two who speak: statements, replication commands and the stream itself.

use crate::wire::frame::{self, FrameError, HEADER};

/// What a client's bytes came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// everything whole is consumed
    More,
    /// the client said goodbye, which is not consumed
    Terminate,
    /// the client broke the protocol
    Broken(FrameError),
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Relay {
    /// bytes of the message at hand still to come, from the client and from the server
    from_client: usize,
    from_server: usize,
    /// queries, function calls and Syncs of the client whose ReadyForQuery has not come
    outstanding: u32,
    /// both sides are in a stream (CopyBoth), in which the server listens
    streaming: bool,
    /// queries, function calls and Syncs so far
    pub requests: u64,
}

impl Relay {
    /// The client's bytes end between two messages: the server can be told something else.
    pub fn client_at_boundary(&self) -> bool {
        self.from_client == 0
    }

    /// The server's bytes end between two messages: the client can be told something else.
    pub fn server_at_boundary(&self) -> bool {
        self.from_server == 0
    }

    /// Bytes of the client's message at hand still to come.
    pub fn left(&self) -> usize {
        self.from_client
    }

    /// The server has something to do for the client.
    pub fn is_active(&self) -> bool {
        self.outstanding > 0
    }

    /// The server sends, and does not look up before it is done: only a cancel request reaches it.
    pub fn is_deaf(&self) -> bool {
        self.outstanding > 0 && !self.streaming
    }

    /// Bytes of the client; returns how many are consumed.
    pub fn on_client(&mut self, bytes: &[u8]) -> (usize, Said) {
        let mut at = skip(&mut self.from_client, bytes);
        while self.from_client == 0 {
            let header = match frame::client_header(&bytes[at..]) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => return (at, Said::Broken(error)),
            };
            match header.kind {
                b'X' => return (at, Said::Terminate),
                b'Q' | b'F' | b'S' => {
                    self.requests += 1;
                    // In a stream the server passes over these.
                    self.outstanding = self.outstanding.saturating_add(u32::from(!self.streaming));
                }
                _ => {}
            }
            self.from_client = header.body;
            at += HEADER;
            at += skip(&mut self.from_client, &bytes[at..]);
        }
        (at, Said::More)
    }

    /// Bytes of the server; returns how many are consumed, and what is wrong with the next ones.
    pub fn on_server(&mut self, bytes: &[u8]) -> (usize, Option<FrameError>) {
        let mut at = skip(&mut self.from_server, bytes);
        while self.from_server == 0 {
            let header = match frame::header(&bytes[at..]) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => return (at, Some(error)),
            };
            match header.kind {
                b'W' => self.streaming = true,
                b'E' => self.streaming = false,
                b'Z' => {
                    self.streaming = false;
                    self.outstanding = self.outstanding.saturating_sub(1);
                }
                _ => {}
            }
            self.from_server = header.body;
            at += HEADER;
            at += skip(&mut self.from_server, &bytes[at..]);
        }
        (at, None)
    }

    /// As `on_server`, but to the end of the message at hand only.
    pub fn rest_of_message(&mut self, bytes: &[u8]) -> usize {
        skip(&mut self.from_server, bytes)
    }
}

/// As much of a body as is there; returns how much that is.
fn skip(left: &mut usize, bytes: &[u8]) -> usize {
    let here = bytes.len().min(*left);
    *left -= here;
    here
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
