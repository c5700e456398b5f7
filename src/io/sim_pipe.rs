//! One direction of a simulated connection, and the dice that the whole simulation is thrown with.
//!
//! Invariant: bytes leave a pipe in the order in which they entered it, none twice, and its end comes after all of them.
//! When something is written and who may read it is `sim`'s and the test's affair.

use std::collections::VecDeque;

/// A seeded source of numbers (splitmix64): the same seed gives the same world.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same `seed`.
    pub fn new(seed: u64) -> Dice {
        Dice(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.roll() % bound }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// Other dice, independent of what these do next.
    pub fn fork(&mut self) -> Dice {
        Dice::new(self.roll())
    }
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// the writer is done: end of stream
    Fin,
    /// the connection broke
    Reset,
}

/// Bytes under way and arrived, `capacity` of them at most, then perhaps an end.
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// (when it arrives, how many bytes), in order; sums to `bytes.len()`
    arrivals: VecDeque<(u64, usize)>,
    capacity: usize,
    end: Option<(u64, End)>,
    /// nothing comes out before this time
    stalled_until: u64,
}

impl Pipe {
    /// An empty pipe that holds `capacity` bytes, at least one.
    pub(super) fn new(capacity: usize) -> Pipe {
        Pipe { bytes: VecDeque::new(), arrivals: VecDeque::new(), capacity: capacity.max(1), end: None, stalled_until: 0 }
    }

    /// The byte that a reader would get first at `now`.
    pub(super) fn first(&self, now: u64) -> Option<u8> {
        (self.readable(now) > 0).then(|| self.bytes.front().copied()).flatten()
    }

    /// How many bytes can enter now.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// Lets nothing arrive before `until`; what has arrived and was not read is held back too.
    pub(super) fn stall(&mut self, until: u64) {
        self.stalled_until = until;
    }

    /// Whether an end was put in, arrived or not.
    pub(super) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Takes what fits of `bytes`, to arrive at `at` (never before what was written earlier), and says how much that was.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if taken == 0 || self.end.is_some() {
            return 0;
        }
        let at = self.arrivals.back().map_or(at, |last| last.0.max(at));
        self.bytes.extend(&bytes[..taken]);
        match self.arrivals.back_mut() {
            Some(last) if last.0 == at => last.1 += taken,
            _ => self.arrivals.push_back((at, taken)),
        }
        taken
    }

    /// Ends the direction behind the bytes in it, at `at` or when the last byte arrives. A reset replaces an orderly end, never the other way round.
    pub(super) fn finish(&mut self, at: u64, end: End) {
        if end == End::Reset || self.end.is_none() {
            let at = self.arrivals.back().map_or(at, |last| last.0.max(at));
            self.end = Some((at, end));
        }
    }

    /// Loses what is in the pipe behind the first `keep` bytes.
    pub(super) fn lose(&mut self, keep: usize) {
        self.bytes.truncate(keep);
        let mut left = self.bytes.len();
        self.arrivals.retain_mut(|arrival| {
            arrival.1 = arrival.1.min(left);
            left -= arrival.1;
            arrival.1 > 0
        });
    }

    /// How many bytes have arrived by `now`.
    pub(super) fn readable(&self, now: u64) -> usize {
        if now < self.stalled_until {
            return 0;
        }
        self.arrivals.iter().take_while(|arrival| arrival.0 <= now).map(|arrival| arrival.1).sum()
    }

    /// Whether anything is inside, arrived or not.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes up to `max` bytes that have arrived by `now`.
    pub(super) fn read(&mut self, now: u64, max: usize) -> Vec<u8> {
        let taken = self.readable(now).min(max);
        let mut left = taken;
        while left > 0 {
            let Some(first) = self.arrivals.front_mut() else { break };
            let part = first.1.min(left);
            first.1 -= part;
            left -= part;
            if first.1 == 0 {
                self.arrivals.pop_front();
            }
        }
        self.bytes.drain(..taken).collect()
    }

    /// The end, once all bytes are out and it has arrived.
    pub(super) fn ended(&self, now: u64) -> Option<End> {
        match self.end {
            Some((at, end)) if at.max(self.stalled_until) <= now && self.bytes.is_empty() => Some(end),
            _ => None,
        }
    }

    /// Whether a break has arrived, even if bytes are still to be read.
    pub(super) fn broken(&self, now: u64) -> bool {
        matches!(self.end, Some((at, End::Reset)) if at.max(self.stalled_until) <= now)
    }

    /// When something arrives next, after `now`.
    pub(super) fn next_arrival(&self, now: u64) -> Option<u64> {
        let bytes = self.arrivals.iter().map(|arrival| arrival.0.max(self.stalled_until)).find(|at| *at > now);
        let end = self.end.map(|end| end.0.max(self.stalled_until)).filter(|at| *at > now);
        bytes.into_iter().chain(end).filter(|at| *at != u64::MAX).min()
    }
}
