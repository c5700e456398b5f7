//! The provided buffers of one group on one simulated core, and the only places where the simulator touches raw memory.
//!
//! Invariant: a buffer is free, posted (filled, its completion not handed out yet) or held by the engine, and it moves in that circle only.
//! A buffer that comes home is overwritten, so that whoever still reads it sees rubbish.

use std::cell::UnsafeCell;
use std::collections::VecDeque;

use super::super::Segment;

/// What a buffer is overwritten with when it comes home.
const RUBBISH: u8 = 0xdd;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Posted,
    /// since this turn
    Held(u64),
}

/// One group of buffers.
pub(super) struct Memory {
    bytes: Box<[UnsafeCell<u8>]>,
    size: usize,
    places: Vec<Place>,
    free: VecDeque<u16>,
}

impl Memory {
    /// `count` free buffers of `size` bytes, at least one of each.
    pub(super) fn new((count, size): (u16, usize)) -> Memory {
        let (count, size) = (count.max(1), size.max(1));
        let bytes = (0..usize::from(count) * size).map(|_| UnsafeCell::new(RUBBISH)).collect();
        Memory { bytes, size, places: vec![Place::Free; usize::from(count)], free: (0..count).collect() }
    }

    /// Bytes in one buffer.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether a buffer can be filled.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Buffers with the engine.
    pub(super) fn held(&self) -> usize {
        self.places.iter().filter(|place| matches!(place, Place::Held(_))).count()
    }

    /// A held buffer from a turn before `turn`.
    pub(super) fn overdue(&self, turn: u64) -> Option<u16> {
        self.places.iter().position(|place| matches!(place, Place::Held(since) if *since < turn)).map(|index| index as u16)
    }

    /// The first byte of a buffer; stays where it is as long as the world exists.
    pub(super) fn at(&self, index: u16) -> Option<*const u8> {
        let start = usize::from(index) * self.size;
        self.bytes.get(start..start + self.size).map(|buffer| buffer.as_ptr().cast::<u8>())
    }

    /// Fills the next free buffer with `bytes`, which fit.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Option<u16> {
        assert!(bytes.len() <= self.size, "a piece fits its buffer");
        let index = self.free.pop_front()?;
        self.places[usize::from(index)] = Place::Posted;
        self.overwrite(index, bytes.iter().copied());
        Some(index)
    }

    /// The completion of a filled buffer was handed out in `turn`.
    pub(super) fn hand_out(&mut self, index: u16, turn: u64) {
        self.places[usize::from(index)] = Place::Held(turn);
    }

    /// Takes a buffer back; false if the engine does not hold it.
    pub(super) fn take_home(&mut self, index: u16) -> bool {
        if !matches!(self.places.get(usize::from(index)), Some(Place::Held(_))) {
            return false;
        }
        self.overwrite(index, std::iter::repeat_n(RUBBISH, self.size));
        self.places[usize::from(index)] = Place::Free;
        self.free.push_back(index);
        true
    }

    /// Whether `segment` touches a buffer that the engine does not hold.
    pub(super) fn is_stale(&self, segment: Segment) -> bool {
        let start = self.bytes.as_ptr() as usize;
        let (from, to) = (segment.at as usize, segment.at as usize + segment.len);
        if to <= start || from >= start + self.bytes.len() {
            return false;
        }
        let first = from.saturating_sub(start) / self.size;
        let last = (to - 1 - start).min(self.bytes.len() - 1) / self.size;
        !self.places[first..=last].iter().all(|place| matches!(place, Place::Held(_)))
    }

    fn overwrite(&mut self, index: u16, bytes: impl Iterator<Item = u8>) {
        let start = usize::from(index) * self.size;
        for (cell, byte) in self.bytes[start..start + self.size].iter().zip(bytes) {
            // SAFETY: the cell is ours, and nobody holds a reference into it while the world runs: the engine reads its buffers between calls
            // of its door, on the same thread.
            unsafe { *cell.get() = byte };
        }
    }
}

/// Copies what `segments` name, in order.
pub(super) fn gather(segments: &[Segment]) -> Vec<u8> {
    let mut all = Vec::with_capacity(segments.iter().map(|segment| segment.len).sum());
    for segment in segments.iter().filter(|segment| segment.len > 0) {
        // SAFETY: who queued the segment keeps its memory in place and unchanged until the submission (a `send`) or the completion
        // (a `send_wait`); the manners of the folder's head promise it, and stale receive buffers were sorted out before.
        all.extend_from_slice(unsafe { std::slice::from_raw_parts(segment.at, segment.len) });
    }
    all
}
