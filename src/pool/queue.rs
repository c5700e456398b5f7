//! The clients of one core that wait for a server of one pool: first come, first served, and away in O(1) when one gives up.
//!
//! Invariant: the list from `first` along `next` holds every waiter once, oldest first. Slots are reused, tickets are not: a ticket names
//! one wait, and a late one finds nothing. Memory grows to the largest number of clients that ever waited at once (at most one wait per
//! client, so the limit on clients bounds it) and is then reused.

/// Names one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

/// One who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// the engine's number of the client
    pub client: u32,
    /// when it came, ns
    pub since: u64,
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    waiter: Waiter,
    generation: u32,
    waits: bool,
    before: u32,
    next: u32,
}

/// The waiting line.
#[derive(Debug)]
pub struct Queue {
    slots: Vec<Slot>,
    free: u32,
    first: u32,
    last: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { slots: Vec::new(), free: NONE, first: NONE, last: NONE, len: 0 }
    }
}

impl Queue {
    /// How many wait.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a client at the end.
    pub fn push(&mut self, client: u32, since: u64) -> Ticket {
        let waiter = Waiter { client, since };
        let before = self.last;
        let slot = if self.free == NONE {
            self.slots.push(Slot { waiter, generation: 0, waits: true, before, next: NONE });
            self.slots.len() as u32 - 1
        } else {
            let slot = self.free;
            let reused = &mut self.slots[slot as usize];
            self.free = reused.next;
            *reused = Slot { waiter, generation: reused.generation.wrapping_add(1), waits: true, before, next: NONE };
            slot
        };
        match before {
            NONE => self.first = slot,
            before => self.slots[before as usize].next = slot,
        }
        self.last = slot;
        self.len += 1;
        Ticket { slot, generation: self.slots[slot as usize].generation }
    }

    /// The one who waits longest.
    pub fn first(&self) -> Option<Waiter> {
        self.slots.get(self.first as usize).map(|slot| slot.waiter)
    }

    /// The waiter behind the first `ahead`, or the last one if fewer wait.
    pub fn nth(&self, ahead: u32) -> Option<Waiter> {
        let mut at = self.first;
        for _ in 0..ahead {
            match self.slots.get(at as usize) {
                Some(slot) if slot.next != NONE => at = slot.next,
                _ => break,
            }
        }
        self.slots.get(at as usize).map(|slot| slot.waiter)
    }

    /// Takes the one who waits longest.
    pub fn pop(&mut self) -> Option<Waiter> {
        (self.first != NONE).then(|| self.unlink(self.first))
    }

    /// Takes the waiter of that ticket, unless its wait is over.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        let slot = self.slots.get(ticket.slot as usize)?;
        (slot.waits && slot.generation == ticket.generation).then(|| self.unlink(ticket.slot))
    }

    /// Forgets everybody.
    pub fn clear(&mut self) {
        while self.pop().is_some() {}
    }

    fn unlink(&mut self, at: u32) -> Waiter {
        let slot = &mut self.slots[at as usize];
        let (waiter, before, next) = (slot.waiter, slot.before, slot.next);
        slot.waits = false;
        slot.next = self.free;
        self.free = at;
        match before {
            NONE => self.first = next,
            before => self.slots[before as usize].next = next,
        }
        match next {
            NONE => self.last = before,
            next => self.slots[next as usize].before = before,
        }
        self.len -= 1;
        waiter
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
