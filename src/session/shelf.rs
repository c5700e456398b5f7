//! Which prepared statements of ours a server holds, and which of them goes when there are too many. Nothing is forgotten that the checkout at
//! hand has used: portals and pipelines of its client may need it still.
//!
//! Invariant: a statement is `sure` when the server has said so. Until then its fate is that of the batch it was sent in.

use lru::LruCache;

/// Statements that one server holds at most, whatever the configuration allows: PostgreSQL keeps a plan of some 10 KB for each.
pub const SHELF_MAX: usize = 10_000;

/// What the configuration says about statements on servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// statements per server
    pub limit: usize,
    /// age, ns, at which a statement is prepared again; 0 = never
    pub ttl: u64,
    /// spreads that age by so much either way
    pub jitter: u64,
    /// statements of SQL's PREPARE go with their clients
    pub full: bool,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { limit: SHELF_MAX, ttl: 0, jitter: 0, full: false }
    }
}

#[derive(Debug)]
struct Held {
    sure: bool,
    /// the batch it was sent in
    batch: u32,
    /// the checkout that used it last
    turn: u32,
    /// when it is to be prepared again
    due: u64,
    /// of its rows, if they were described here; Some(0) = no rows
    shape: Option<u64>,
}

/// How a statement can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// it must be prepared first
    No,
    /// it is there, but too old: it must be closed and prepared again
    Old,
    /// it was sent in an earlier batch that has not been answered
    Unsure,
    /// it is there, or will be if this batch gets as far; the shape of its rows, if it is known
    Yes(Option<u64>),
}

/// The statements of one server.
#[derive(Debug, Default)]
pub struct Shelf {
    held: Option<Box<LruCache<u64, Held>>>,
    keep: Keep,
    now: u64,
    turn: u32,
}

impl Shelf {
    /// A client comes.
    pub fn meets(&mut self, keep: Keep, now: u64) {
        self.keep = keep;
        self.now = now;
        self.turn = self.turn.wrapping_add(1);
    }

    /// Whether statements of SQL's PREPARE go with the client at hand.
    pub fn is_full(&self) -> bool {
        self.keep.full
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `id` can be used in `batch`; counts as a use.
    #[inline]
    pub fn has(&mut self, id: u64, batch: u32) -> Has {
        let (turn, now) = (self.turn, self.now);
        let Some(held) = self.held.as_mut().and_then(|held| held.get_mut(&id)) else { return Has::No };
        if !held.sure && held.batch != batch {
            return Has::Unsure;
        }
        // What this checkout uses already stays as it is.
        if held.due <= now && held.turn != turn {
            return Has::Old;
        }
        held.turn = turn;
        Has::Yes(held.shape)
    }

    /// `id` is being prepared in `batch`.
    pub fn sent(&mut self, id: u64, batch: u32) {
        let due = self.due(id);
        let turn = self.turn;
        let held = self.held.get_or_insert_with(|| Box::new(LruCache::unbounded()));
        held.put(id, Held { sure: false, batch, turn, due, shape: None });
    }

    /// It has been prepared.
    pub fn is_there(&mut self, id: u64) {
        if let Some(held) = self.held.as_mut().and_then(|held| held.peek_mut(&id)) {
            held.sure = true;
        }
    }

    /// It has not, or is no longer there.
    pub fn is_gone(&mut self, id: u64) {
        if let Some(held) = &mut self.held {
            held.pop(&id);
        }
    }

    /// Its Close was skipped: it is there still.
    pub fn is_back(&mut self, id: u64, batch: u32) {
        self.sent(id, batch);
        self.is_there(id);
    }

    /// The shape of its rows became known.
    pub fn describe(&mut self, id: u64, shape: u64) {
        if let Some(held) = self.held.as_mut().and_then(|held| held.peek_mut(&id)) {
            held.shape = Some(shape);
        }
    }

    /// Everything has to be prepared again before its next use: what it was made of has changed.
    pub fn all_old(&mut self) {
        for (_, held) in self.held.iter_mut().flat_map(|held| held.iter_mut()) {
            held.due = 0;
            held.turn = self.turn.wrapping_sub(1);
        }
    }

    /// The server was told to forget all statements, in front of all that are not sure yet.
    pub fn clear(&mut self) {
        let Some(held) = &mut self.held else { return };
        let sure: Vec<u64> = held.iter().filter(|(_, held)| held.sure).map(|(id, _)| *id).collect();
        for id in sure {
            held.pop(&id);
        }
    }

    /// What has to go for one more: the one unused for longest, unless the checkout at hand has used even that.
    pub fn victim(&mut self) -> Option<u64> {
        self.over(1)
    }

    /// What has to go because there are too many.
    pub fn excess(&mut self) -> Option<u64> {
        self.over(0)
    }

    fn over(&mut self, more: usize) -> Option<u64> {
        let limit = self.keep.limit.clamp(1, SHELF_MAX);
        let (turn, held) = (self.turn, self.held.as_mut()?);
        if held.len() + more <= limit {
            return None;
        }
        let (&id, oldest) = held.peek_lru()?;
        // One whose Parse is still on its way could come back behind its Close. A client that keeps its server for long does not keep all that it
        // has used.
        let kept = oldest.turn == turn && held.len() < limit.saturating_mul(2).saturating_add(8);
        if kept || !oldest.sure {
            return None;
        }
        held.pop(&id);
        Some(id)
    }

    fn due(&self, id: u64) -> u64 {
        if self.keep.ttl == 0 {
            return u64::MAX;
        }
        // Spread by the statement and by when: no source of chance is needed, only that not all are due at once.
        let jitter = self.keep.jitter.min(self.keep.ttl.saturating_sub(1));
        let spread = (id.wrapping_add(self.now).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % jitter.saturating_mul(2).saturating_add(1);
        self.now.saturating_add(self.keep.ttl.saturating_add(spread).saturating_sub(jitter))
    }
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
