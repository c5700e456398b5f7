//! A coarse timer wheel for one thread: timeouts by the hundred thousand, at no cost while they do not fire.
//!
//! Time is cut into ticks of 2^22 ns (about 4 ms). Seven levels of 64 slots span all of `u64`: level 0 holds the timers of the current 64
//! ticks, each level above 64 times as many. A timer lies on the level of the highest digit in which its tick differs from the wheel's, so
//! timers of a lower level always ring first; when the wheel reaches a slot of a higher level, its timers move down.
//!
//! Invariants: no timer fires before its time, and `expire` leaves none whose tick has come; `clock` never goes back. A slot's list holds
//! exactly the armed timers of that slot; its bit is set while the list is not empty; `soonest` is at most the earliest tick in it.
//!
//! Memory grows to the largest number of timers armed at once and is reused; who arms has the bound (one or two per connection). Reading
//! the clock and ringing (`Door::alarm`) are left to the caller.

/// A tick is 2^22 ns.
const TICK_BITS: u32 = 22;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// 7 digits of 6 bits are the 42 bits that a tick has.
const LEVELS: usize = 7;
const LAST_TICK: u64 = u64::MAX >> TICK_BITS;
const NONE: u32 = u32::MAX;

/// Names one armed timer; of no use once it fired or was disarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy)]
struct Entry<T> {
    what: T,
    tick: u64,
    before: u32,
    next: u32,
    generation: u32,
    /// level × 64 + slot; unused entries have `NONE`
    place: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    soonest: u64,
}

/// The wheel. `T` says what a timer is for.
pub struct Timers<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    armed: usize,
    /// the tick up to which everything has fired
    clock: u64,
    used: [u64; LEVELS],
    slots: Box<[Slot]>,
}

impl<T: Copy> Timers<T> {
    /// An empty wheel at `now` (ns).
    pub fn new(now: u64) -> Timers<T> {
        let slots = vec![Slot { first: NONE, soonest: u64::MAX }; LEVELS * SLOTS].into_boxed_slice();
        Timers { entries: Vec::new(), free: NONE, armed: 0, clock: now >> TICK_BITS, used: [0; LEVELS], slots }
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// True when none is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Arms a timer for `at` (ns); it fires in the first `expire` at or after `at` rounded up to the tick. A time that has passed fires in
    /// the next one.
    pub fn arm(&mut self, at: u64, what: T) -> TimerId {
        let tick = at.div_ceil(1 << TICK_BITS).clamp(self.clock, LAST_TICK);
        let entry = Entry { what, tick, before: NONE, next: NONE, generation: 0, place: NONE };
        let index = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.free;
            let reused = &mut self.entries[index as usize];
            self.free = reused.next;
            *reused = Entry { generation: reused.generation, ..entry };
            index
        };
        self.armed += 1;
        self.link(index);
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Disarms a timer. False when it has fired or was disarmed before.
    pub fn disarm(&mut self, id: TimerId) -> bool {
        let armed = self.entries.get(id.index as usize).is_some_and(|entry| entry.generation == id.generation && entry.place != NONE);
        if armed {
            self.unlink(id.index);
            self.release(id.index);
        }
        armed
    }

    /// Appends what is due at `now` (ns) to `out`, tick by tick in order.
    pub fn expire(&mut self, now: u64, out: &mut Vec<T>) {
        let now = now >> TICK_BITS;
        if now < self.clock {
            return;
        }
        while let Some((level, slot)) = self.first_slot() {
            let start = self.start(level, slot);
            if start > now {
                break;
            }
            self.clock = self.clock.max(start);
            self.empty(level, slot, out);
        }
        self.clock = now;
    }

    /// When to call `expire` next (ns): not before the first armed timer's tick unless one that would have rung sooner was disarmed.
    pub fn next(&self) -> Option<u64> {
        let (level, slot) = self.first_slot()?;
        Some(self.slots[level * SLOTS + slot].soonest << TICK_BITS)
    }

    /// The first slot that is not empty. Lower levels come first, and within a level the slots lie ahead of the clock's digit.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.used.iter().position(|&used| used != 0)?;
        Some((level, self.used[level].trailing_zeros() as usize))
    }

    /// The first tick of a slot: the clock's digits above the level, the slot, zeros.
    fn start(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        let above = shift + DIGIT_BITS;
        ((self.clock >> above) << above) | ((slot as u64) << shift)
    }

    /// Empties a slot whose time has come: level 0 fires, others move down.
    fn empty(&mut self, level: usize, slot: usize, out: &mut Vec<T>) {
        let place = level * SLOTS + slot;
        let mut at = self.slots[place].first;
        self.slots[place] = Slot { first: NONE, soonest: u64::MAX };
        self.used[level] &= !(1 << slot);
        while at != NONE {
            let Entry { what, next, .. } = self.entries[at as usize];
            if level == 0 {
                out.push(what);
                self.release(at);
            } else {
                self.link(at);
            }
            at = next;
        }
    }

    fn link(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let differs = entry.tick ^ self.clock;
        let level = ((63 - (differs | 1).leading_zeros()) / DIGIT_BITS) as usize;
        let slot = (entry.tick >> (DIGIT_BITS * level as u32)) as usize % SLOTS;
        let place = level * SLOTS + slot;
        let head = &mut self.slots[place];
        (entry.before, entry.next, entry.place) = (NONE, head.first, place as u32);
        head.soonest = head.soonest.min(entry.tick);
        let behind = std::mem::replace(&mut head.first, index);
        if behind != NONE {
            self.entries[behind as usize].before = index;
        }
        self.used[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Entry { before, next, place, .. } = self.entries[index as usize];
        let place = place as usize;
        if next != NONE {
            self.entries[next as usize].before = before;
        }
        if before != NONE {
            self.entries[before as usize].next = next;
        } else {
            self.slots[place].first = next;
        }
        if self.slots[place].first == NONE {
            self.slots[place].soonest = u64::MAX;
            self.used[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.place = NONE;
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.armed -= 1;
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
