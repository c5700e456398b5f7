//! Messages of the extended protocol made of a client's: as they were, those about one portal together, or for the part of a statement that one
//! shard gets.

use crate::route::request::Cut;
use crate::wire::bind::Values;
use crate::wire::client::{bind_again, parse};
use crate::wire::frame::{self, HEADER};

/// The number of rows behind the name in an Execute; 0 = all.
pub fn limit_in(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| i32::from_be_bytes(*bytes).max(0) as u32)
}

/// A message as it was.
pub fn whole(words: &mut Vec<u8>, kind: u8, body: &[u8]) {
    words.push(kind);
    // It was a message's, and so fits one.
    words.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    words.extend_from_slice(body);
}

/// The types that a Parse says for its parameters.
pub fn types_of(rest: &[u8]) -> Vec<u32> {
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let types = rest.get(end + 3..).unwrap_or_default();
    types.chunks_exact(4).map(|oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]])).collect()
}

/// Parse and Bind of a part of the client's statement: `values` are what stands behind the names in its Bind.
pub fn cut_bind(words: &mut Vec<u8>, cut: &Cut, (portal, made): (&[u8], &[u8]), types: &[u32], values: &[u8]) {
    let wanted = cut.parameters.iter().map(|number| usize::from(*number));
    let types: Vec<u32> =
        if types.is_empty() { Vec::new() } else { wanted.clone().map(|number| types.get(number - 1).copied().unwrap_or(0)).collect() };
    // Not longer than the client's.
    let _ = parse(words, made, &cut.text, &types);
    let Some(all) = Values::read(values) else { return };
    let mut rest = Vec::with_capacity(values.len());
    let count = cut.parameters.len() as u16;
    rest.extend_from_slice(&count.to_be_bytes());
    for number in wanted.clone() {
        let binary = all.get(number).is_some_and(|value| value.binary);
        rest.extend_from_slice(&u16::from(binary).to_be_bytes());
    }
    rest.extend_from_slice(&count.to_be_bytes());
    for number in wanted {
        match all.get(number).and_then(|value| value.bytes) {
            Some(bytes) => {
                rest.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                rest.extend_from_slice(bytes);
            }
            None => rest.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    rest.extend_from_slice(all.behind());
    bind_again(words, portal, made, rest.len());
    words.extend_from_slice(&rest);
}

/// What stands right behind a Bind about its portal.
#[derive(Default)]
pub struct Group {
    /// the messages
    pub words: Vec<u8>,
    pub kinds: Vec<u8>,
    pub bytes: usize,
    /// it is executed, for so many rows; 0 = all
    pub execute: Option<u32>,
    /// where in the messages that stands
    execute_at: usize,
}

impl Group {
    /// What a shard is told; `bound`: without the Execute.
    pub fn said_to(&self, bound: bool) -> (&[u8], &[u8]) {
        match (bound, &self.kinds[..]) {
            (true, [kinds @ .., b'E']) => (&self.words[..self.execute_at], kinds),
            (_, kinds) => (&self.words, kinds),
        }
    }

    /// What `following` begins with about this portal.
    pub fn read(portal: &[u8], following: &[u8]) -> Group {
        let mut group = Group::default();
        while let Ok(Some(header)) = frame::client_header(&following[group.bytes..]) {
            let Some(message) = following[group.bytes..].get(..header.total()) else { break };
            let body = &message[HEADER..];
            let about = match header.kind {
                b'D' if group.kinds.is_empty() => body.strip_prefix(b"P").and_then(|name| name.strip_suffix(b"\0")) == Some(portal),
                b'E' => body.strip_prefix(portal).is_some_and(|rest| rest.len() == 5 && rest[0] == 0),
                _ => false,
            };
            if !about {
                break;
            }
            group.execute_at = group.bytes;
            group.bytes += message.len();
            group.words.extend_from_slice(message);
            group.kinds.push(header.kind);
            if header.kind == b'E' {
                group.execute = limit_in(&body[portal.len() + 1..]);
                break;
            }
        }
        group
    }
}
