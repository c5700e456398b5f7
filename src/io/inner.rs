//! Slots without a socket: both ends are this core's own. What is sent there is caught here, and what comes from there is `hold`'s.

use super::links::Links;
use super::{Door, Group};

/// What was sent to a slot without a socket, and how much of it has been read.
#[derive(Default)]
pub(super) struct Caught {
    bytes: Vec<u8>,
    at: usize,
}

impl Caught {
    /// Bytes that have not been read.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

impl<D: Door> Links<D> {
    /// A slot without a socket: what is sent there is caught, and its receiving side is fed by `hold`.
    pub fn inner(&mut self) -> u32 {
        let index = self.adopt(-1, Group::Clients);
        self.slots[index as usize].caught = Some(Box::default());
        index
    }

    /// All that was sent to a slot without a socket.
    pub fn take_caught(&mut self, index: u32) -> Vec<u8> {
        let (mut bytes, at) = self.read_caught(index);
        bytes.drain(..at);
        bytes
    }

    /// The same, with what has been read already in front: so many bytes. What of it is not read goes back by `give_caught`.
    pub fn read_caught(&mut self, index: u32) -> (Vec<u8>, usize) {
        let caught = self.slots[index as usize].caught.as_mut().map(|caught| std::mem::take(&mut **caught)).unwrap_or_default();
        (caught.bytes, caught.at)
    }

    /// In front of what was sent since; `at` bytes of it have been read.
    pub fn give_caught(&mut self, index: u32, mut bytes: Vec<u8>, mut at: usize) {
        let Some(caught) = &mut self.slots[index as usize].caught else { return };
        // What has been read is moved over when it is most of it, and forgotten when it is all.
        if at > bytes.len() / 2 {
            bytes.drain(..at);
            at = 0;
        }
        bytes.extend_from_slice(&caught.bytes);
        if bytes.is_empty() && bytes.capacity() > KEPT_MAX {
            bytes = Vec::new();
        }
        (caught.bytes, caught.at) = (bytes, at);
    }
}

/// A buffer that is larger is not kept for the next answer.
const KEPT_MAX: usize = 64 * 1024;
