//! Sockets that are not listened to for a while, whatever their owner wants of them meanwhile. Invariant: a socket that wakes is listened to exactly
//! if it would be had it never slept; bytes that were on their way when it fell asleep still come. What it is sent goes out as ever.

use super::Door;
use super::links::{Links, Recv, recv_token};

impl<D: Door> Links<D> {
    /// Listens to this socket no more until it is woken.
    pub fn sleep(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.asleep || !slot.in_use {
            return;
        }
        slot.asleep = true;
        if slot.recv == Recv::Armed {
            slot.recv = Recv::Ending;
            let token = recv_token(slot, index);
            self.door.cancel(token);
        }
    }

    /// Listens to this socket again, if anybody wants that.
    pub fn wake(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !std::mem::take(&mut slot.asleep) || !slot.in_use {
            return;
        }
        if slot.wanted && slot.recv == Recv::Off && !slot.starved {
            self.arm(index);
        }
    }
}
