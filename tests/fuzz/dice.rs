//! Chance from a seed: the same on every machine.

use std::ops::Range;

/// splitmix64: every seed, 0 too, gives a good row of numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Evenly from 0 to `end` - 1; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 11) as usize % end.max(1)
    }

    /// Cuts `len` bytes into pieces, in order: all at once, byte by byte, short ones, long ones, two.
    pub fn pieces(&mut self, len: usize) -> Vec<Range<usize>> {
        let style = self.below(5);
        let half = self.below(len + 1);
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < len {
            let size = match style {
                0 => len,
                1 => 1,
                2 => 1 + self.below(16),
                3 => 1 + self.below(len),
                _ if at < half => half,
                _ => len,
            };
            pieces.push(at..(at + size).min(len));
            at += size;
        }
        pieces
    }
}
