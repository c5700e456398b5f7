//! Mail between two threads: a ring for one sender and one receiver, and the flag that saves waking a receiver who is awake.
//!
//! Invariants:
//! - Messages arrive in the order in which they were posted, each once; those left in a dropped ring are dropped with it.
//! - A full ring refuses and gives the message back. It never waits. The capacity is the caller's bound; what must be delivered it keeps in
//!   a list of its own and posts later.
//! - **No wake is lost**: a sender posts and then raises the flag; a receiver clears the flag and then drains. Both are read-modify-writes of
//!   one word, so a sender who finds the flag raised knows that the clearing, and the draining after it, are still to come.
//!
//! Waking itself (`Door::wake`) is left to the sender, and the meaning of messages to everybody. The atomics come from a cfg alias, so that
//! `tests/loom.rs` can try every order.

use std::mem::MaybeUninit;

#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// A place for one message: `UnsafeCell`, or loom's, which notices two threads in one place.
#[cfg(not(loom))]
struct Place<T>(std::cell::UnsafeCell<MaybeUninit<T>>);

#[cfg(not(loom))]
impl<T> Place<T> {
    fn new() -> Place<T> {
        Place(std::cell::UnsafeCell::new(MaybeUninit::uninit()))
    }

    fn with_mut<R>(&self, f: impl FnOnce(*mut MaybeUninit<T>) -> R) -> R {
        f(self.0.get())
    }
}

#[cfg(loom)]
struct Place<T>(loom::cell::UnsafeCell<MaybeUninit<T>>);

#[cfg(loom)]
impl<T> Place<T> {
    fn new() -> Place<T> {
        Place(loom::cell::UnsafeCell::new(MaybeUninit::uninit()))
    }

    fn with_mut<R>(&self, f: impl FnOnce(*mut MaybeUninit<T>) -> R) -> R {
        self.0.with_mut(f)
    }
}

/// An index on cache lines of its own (two, because processors fetch them in pairs), so that the two sides do not slow each other.
#[repr(align(128))]
struct Index(AtomicUsize);

struct Ring<T> {
    places: Box<[Place<T>]>,
    /// messages posted, ever (wrapping); the sender writes it
    posted: Index,
    /// messages taken, ever (wrapping); the receiver writes it
    taken: Index,
    /// one of the two sides is gone
    closed: AtomicBool,
}

// SAFETY: a place is touched by one side at a time: by the sender while it is free (between `taken + capacity` and `posted`), by the
// receiver while it is full; `posted` and `taken` are released by one side and acquired by the other in between. So a `T` is moved from
// one thread to another, which `T: Send` permits, and never shared.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above; `&Ring` alone reaches no place, only `Sender` and `Receiver` do, and there is one of each.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    fn place(&self, index: usize) -> &Place<T> {
        // The capacity is a power of two.
        &self.places[index & (self.places.len() - 1)]
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let end = self.posted.0.load(Ordering::Acquire);
        let mut at = self.taken.0.load(Ordering::Acquire);
        while at != end {
            // SAFETY: both sides are gone, and the places from `taken` to `posted` hold messages that nobody took.
            self.place(at).with_mut(|message| unsafe { (*message).assume_init_drop() });
            at = at.wrapping_add(1);
        }
    }
}

/// The end that posts.
pub struct Sender<T> {
    ring: Arc<Ring<T>>,
    posted: usize,
    /// `taken` as last read
    taken: usize,
}

/// The end that takes.
pub struct Receiver<T> {
    ring: Arc<Ring<T>>,
    taken: usize,
    /// `posted` as last read
    posted: usize,
}

/// A ring for at least `capacity` messages (rounded up to a power of two, at least 1).
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let ring = Arc::new(Ring {
        places: (0..capacity).map(|_| Place::new()).collect(),
        posted: Index(AtomicUsize::new(0)),
        taken: Index(AtomicUsize::new(0)),
        closed: AtomicBool::new(false),
    });
    (Sender { ring: ring.clone(), posted: 0, taken: 0 }, Receiver { ring, taken: 0, posted: 0 })
}

impl<T: Send> Sender<T> {
    /// Posts a message. Gives it back when the ring is full or the receiver is gone (`is_closed` tells which). Then raise the receiver's
    /// flag, once for all messages of a turn.
    pub fn post(&mut self, message: T) -> Result<(), T> {
        let ring = &*self.ring;
        if self.posted.wrapping_sub(self.taken) == ring.places.len() {
            self.taken = ring.taken.0.load(Ordering::Acquire);
            if self.posted.wrapping_sub(self.taken) == ring.places.len() {
                return Err(message);
            }
        }
        if self.is_closed() {
            return Err(message);
        }
        ring.place(self.posted).with_mut(|place| {
            // SAFETY: this place is free: fewer than `capacity` messages lie between `taken` (acquired) and `posted`, and only this sender,
            // of which there is one and which is borrowed mutably, writes to free places.
            unsafe { (*place).write(message) };
        });
        self.posted = self.posted.wrapping_add(1);
        ring.posted.0.store(self.posted, Ordering::Release);
        Ok(())
    }

    /// The receiver is gone: nothing will arrive any more. Messages posted just before may be lost too.
    pub fn is_closed(&self) -> bool {
        self.ring.closed.load(Ordering::Acquire)
    }
}

impl<T: Send> Receiver<T> {
    /// Takes the next message. First clear the flag, then take until None.
    pub fn take(&mut self) -> Option<T> {
        let ring = &*self.ring;
        if self.taken == self.posted {
            self.posted = ring.posted.0.load(Ordering::Acquire);
            if self.taken == self.posted {
                return None;
            }
        }
        // SAFETY: this place holds a message: it lies between `taken` and `posted` (acquired), and only this receiver, of which there is one
        // and which is borrowed mutably, reads it, once, because `taken` moves on.
        let message = ring.place(self.taken).with_mut(|place| unsafe { (*place).assume_init_read() });
        self.taken = self.taken.wrapping_add(1);
        ring.taken.0.store(self.taken, Ordering::Release);
        Some(message)
    }

    /// The sender is gone: what `take` still finds is all.
    pub fn is_closed(&self) -> bool {
        self.ring.closed.load(Ordering::Acquire)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.ring.closed.store(true, Ordering::Release);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.ring.closed.store(true, Ordering::Release);
    }
}

/// "There is mail": one per receiver, shared by all who post to it.
#[repr(align(128))]
pub struct Flag(AtomicBool);

impl Default for Flag {
    fn default() -> Flag {
        Flag(AtomicBool::new(false))
    }
}

impl Flag {
    /// After posting. True when the receiver must be woken; false when somebody has seen to that already.
    pub fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Before draining. True when there may be mail. The look first, so that a turn without mail writes nothing: who raises the flag just
    /// after it wakes us, and there is a next turn.
    pub fn clear(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }

    /// True when there may be mail; for a core that looks before it sleeps.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
