//! The plans of shapes that were seen, one cache per core, bounded in bytes. The least recently used goes first.
//!
//! Invariant: an entry is found only if the whole shape and its `space` are equal; a hash is where the search begins, and any number of shapes may
//! share one. What else a plan depends on (database, snapshot, schema, search_path, standard_conforming_strings) is the caller's: it gives each
//! combination a number, never the same one to two of them.

use std::sync::Arc;

use lru::LruCache;

use super::plan::{Plan, Source, Target};

/// Shapes under one hash. More of them are a fault of the hash or somebody's intent: the oldest of them goes.
pub const CHAIN_MAX: usize = 4;
/// What an entry costs besides its shape and plans, about.
const ENTRY_BYTES: usize = 160;

/// Says which plans hold: see the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space(pub u64);

#[derive(Debug)]
struct Entry {
    space: Space,
    shape: Box<[u8]>,
    plans: Arc<[Plan]>,
    bytes: usize,
}

/// The cache.
#[derive(Debug)]
pub struct Shapes {
    chains: LruCache<u64, Vec<Entry>>,
    /// entries of all chains
    len: usize,
    bytes: usize,
    limit: usize,
}

impl Shapes {
    /// Holds at most `limit` bytes.
    pub fn new(limit: usize) -> Shapes {
        Shapes { chains: LruCache::unbounded(), len: 0, bytes: 0, limit }
    }

    /// The plans of a shape.
    #[inline]
    pub fn get(&mut self, space: Space, hash: u64, shape: &[u8]) -> Option<Arc<[Plan]>> {
        let chain = self.chains.get(&hash)?;
        chain.iter().find(|entry| entry.space == space && *entry.shape == *shape).map(|entry| entry.plans.clone())
    }

    /// Keeps the plans of a shape that is not there.
    pub fn put(&mut self, space: Space, hash: u64, shape: &[u8], plans: Arc<[Plan]>) {
        let bytes = ENTRY_BYTES + shape.len() + plans.iter().map(bytes_of).sum::<usize>();
        // What would drive out all others is not worth it.
        if bytes > self.limit / 4 {
            return;
        }
        let entry = Entry { space, shape: shape.into(), plans, bytes };
        let chain = self.chains.get_or_insert_mut(hash, Vec::new);
        if chain.len() >= CHAIN_MAX {
            self.bytes -= chain.remove(0).bytes;
            self.len -= 1;
        }
        chain.push(entry);
        self.len += 1;
        self.bytes += bytes;
        while self.bytes > self.limit {
            let Some((_, chain)) = self.chains.pop_lru() else { break };
            self.bytes -= chain.iter().map(|entry| entry.bytes).sum::<usize>();
            self.len -= chain.len();
        }
    }

    /// Forgets everything: no space that was used is used again.
    pub fn clear(&mut self) {
        self.chains.clear();
        (self.len, self.bytes) = (0, 0);
    }

    /// How many there are, also of spaces that are not used any more: those go as the others do.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes in use.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(plan: &Plan) -> usize {
    let explained = plan.explained.as_ref().map_or(0, |explained| size_of_val(&**explained) + bytes_beside(&explained.target));
    size_of::<Plan>() + bytes_beside(&plan.target) + explained
}

/// What a target points at.
fn bytes_beside(target: &Target) -> usize {
    let keys = target.keys();
    let constants = keys.iter().map(|key| if let Source::Constant(text) = &key.source { text.len() } else { 0 });
    let reason = if let Target::Refused(refusal) = target { refusal.reason.len() } else { 0 };
    size_of_val(keys) + constants.sum::<usize>() + reason
}

#[cfg(test)]
#[path = "shapes_tests.rs"]
mod tests;
