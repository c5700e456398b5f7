//! Slots without a socket: both ends are this core's own. What is sent there is caught here, and what comes from there is `hold`'s.

use super::links::Links;
use super::{Door, Group};

/// What was sent to a slot without a socket.
#[derive(Default)]
pub(super) struct Caught(pub Vec<u8>);

impl<D: Door> Links<D> {
    /// A slot without a socket: what is sent there is caught, and its receiving side is fed by `hold`.
    pub fn inner(&mut self) -> u32 {
        let index = self.adopt(-1, Group::Clients);
        self.slots[index as usize].caught = Some(Box::default());
        index
    }

    /// What was sent to a slot without a socket; what of it is not understood yet goes back by `give_caught`.
    pub fn take_caught(&mut self, index: u32) -> Vec<u8> {
        self.slots[index as usize].caught.as_mut().map(|caught| std::mem::take(&mut caught.0)).unwrap_or_default()
    }

    /// In front of what was sent since.
    pub fn give_caught(&mut self, index: u32, mut before: Vec<u8>) {
        if let Some(caught) = &mut self.slots[index as usize].caught {
            before.extend_from_slice(&caught.0);
            caught.0 = before;
        }
    }
}
