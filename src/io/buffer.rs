//! Blocks of memory that a core uses again and again, so that the steady state allocates nothing.
//!
//! Invariants: `take(len)` returns an empty block of at least `len` bytes; a block kept on shelf `i` has at least `CLASSES[i]` bytes; no shelf
//! keeps more than `bound` bytes. Larger blocks than the largest class are allocated plainly and freed when they come back.
//!
//! One per core, never shared. What a block holds, and giving it back, is left to who took it.

/// Sizes of blocks, bytes.
pub const CLASSES: [usize; 5] = [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];

/// Bytes that each shelf keeps unless the caller says otherwise.
pub const KEPT_PER_CLASS: usize = 1 << 20;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// blocks taken
    pub taken: u64,
    /// of those, blocks that had to be allocated
    pub allocated: u64,
    /// blocks given back
    pub given: u64,
    /// of those, blocks that were freed: too large, too small, or the shelf was full
    pub freed: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

/// The blocks of one core.
#[derive(Debug)]
pub struct Blocks {
    shelves: [Shelf; CLASSES.len()],
    bound: usize,
    counts: Counts,
    /// bytes of blocks that were taken and have not come back; about, because a block may grow meanwhile
    out: usize,
}

impl Default for Blocks {
    fn default() -> Blocks {
        Blocks::new(KEPT_PER_CLASS)
    }
}

/// Room for `needed` bytes of what may grow on: beyond every class half as much again, so that a long message is not copied for each piece of it
/// that comes.
pub fn grown(needed: usize) -> usize {
    if needed > CLASSES[CLASSES.len() - 1] { needed + needed / 2 } else { needed }
}

impl Blocks {
    /// No blocks yet; each class will keep up to `bound` bytes.
    pub fn new(bound: usize) -> Blocks {
        Blocks { shelves: Default::default(), bound, counts: Counts::default(), out: 0 }
    }

    /// An empty block with room for at least `len` bytes.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        self.counts.taken += 1;
        let class = CLASSES.iter().position(|&size| len <= size);
        let kept = class.and_then(|class| {
            let shelf = &mut self.shelves[class];
            let block = shelf.blocks.pop()?;
            shelf.bytes -= block.capacity();
            Some(block)
        });
        let block = kept.unwrap_or_else(|| {
            self.counts.allocated += 1;
            Vec::with_capacity(class.map_or(len, |class| CLASSES[class]))
        });
        self.out += block.capacity();
        block
    }

    /// Gives a block back, whatever became of it since: it may have grown, or come from elsewhere.
    pub fn give(&mut self, mut block: Vec<u8>) {
        self.counts.given += 1;
        let capacity = block.capacity();
        self.out = self.out.saturating_sub(capacity);
        let class = CLASSES.iter().rposition(|&size| size <= capacity);
        match class {
            Some(class) if capacity <= CLASSES[CLASSES.len() - 1] && self.shelves[class].bytes + capacity <= self.bound => {
                block.clear();
                let shelf = &mut self.shelves[class];
                shelf.bytes += capacity;
                shelf.blocks.push(block);
            }
            _ => self.counts.freed += 1,
        }
    }

    /// Bytes of blocks in use now.
    pub fn in_use(&self) -> usize {
        self.out
    }

    /// Bytes kept now.
    pub fn kept(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.bytes).sum()
    }

    /// How often what happened, since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
