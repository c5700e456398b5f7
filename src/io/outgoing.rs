//! The sending half of `links`: pieces of this turn, the one send per socket that carries them, and what becomes of a send that was short.

use super::links::{ARENA, Bytes, End, Links, NONE, Piece};
use super::ring::SEGMENTS_MAX;
use super::{Completion, Door, Op, Segment, Token};

/// Bytes that a slot without a socket catches before it counts as one that does not read.
const CAUGHT_MAX: usize = 64 * 1024;

impl<D: Door> Links<D> {
    /// Queues bytes of this turn as they are.
    pub fn forward(&mut self, index: u32, bytes: Bytes) {
        if bytes.len == 0 {
            return;
        }
        let slot = &mut self.slots[index as usize];
        if slot.end != End::Open {
            return;
        }
        if let Some(caught) = &mut slot.caught {
            caught.push(bytes.view());
            return self.spoken.push(index);
        }
        if slot.backlog.is_some() || slot.pieces as usize == SEGMENTS_MAX - 1 {
            return self.forward_slow(index, bytes);
        }
        let number = self.pieces.len() as u32;
        self.pieces.push(Piece { at: bytes.at, len: bytes.len, next: NONE });
        if slot.first == NONE {
            slot.first = number;
            self.dirty.push(index);
        } else {
            self.pieces[slot.last as usize].next = number;
        }
        slot.last = number;
        slot.pieces += 1;
    }

    /// Behind a backlog, or too many pieces for one send: copied.
    fn forward_slow(&mut self, index: u32, bytes: Bytes) {
        if self.slots[index as usize].backlog.is_some() {
            return self.append_backlog(index, bytes.view());
        }
        let slot = &mut self.slots[index as usize];
        let mut total = bytes.len;
        let mut at = slot.first;
        while at != NONE {
            total += self.pieces[at as usize].len;
            at = self.pieces[at as usize].next;
        }
        let mut joined = self.blocks.take(total);
        let mut at = slot.first;
        while at != NONE {
            let piece = self.pieces[at as usize];
            joined.extend_from_slice(Bytes { at: piece.at, len: piece.len }.view());
            at = piece.next;
        }
        joined.extend_from_slice(bytes.view());
        let first = slot.first;
        self.pieces[first as usize] = Piece { at: joined.as_ptr(), len: joined.len(), next: NONE };
        slot.last = first;
        slot.pieces = 1;
        self.keep(joined);
    }

    /// Queues a copy of `words`.
    pub fn say(&mut self, index: u32, words: &[u8]) {
        if words.is_empty() {
            return;
        }
        if words.len() > ARENA {
            let mut block = self.blocks.take(words.len());
            block.extend_from_slice(words);
            let bytes = Bytes::of(&block);
            self.keep(block);
            return self.forward(index, bytes);
        }
        if self.arena.capacity() - self.arena.len() < words.len() {
            let fresh = self.blocks.take(ARENA);
            let full = std::mem::replace(&mut self.arena, fresh);
            self.keep(full);
        }
        let from = self.arena.len();
        self.arena.extend_from_slice(words);
        let bytes = Bytes::of(&self.arena[from..]);
        self.forward(index, bytes);
    }

    fn append_backlog(&mut self, index: u32, bytes: &[u8]) {
        let slot = &mut self.slots[index as usize];
        let backlog = slot.backlog.get_or_insert_default();
        backlog.bytes += bytes.len();
        self.backlog_bytes += bytes.len();
        // The first block may be with the kernel: it must not move.
        let fits = backlog.blocks.len() > 1 && backlog.blocks.back().is_some_and(|block| block.capacity() - block.len() >= bytes.len());
        if !fits {
            backlog.blocks.push_back(self.blocks.take(bytes.len().max(4096)));
        }
        if let Some(block) = backlog.blocks.back_mut() {
            block.extend_from_slice(bytes);
        }
    }

    /// Bytes that wait for room in the socket.
    pub fn backlog(&self, index: u32) -> usize {
        let slot = &self.slots[index as usize];
        if let Some(caught) = &slot.caught {
            return caught.len().saturating_sub(CAUGHT_MAX);
        }
        slot.backlog.as_ref().map_or(0, |backlog| backlog.bytes)
    }

    /// The same over all sockets.
    pub fn backlog_total(&self) -> usize {
        self.backlog_bytes
    }

    /// Queues this turn's sends.
    pub fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for &index in &dirty {
            let slot = &mut self.slots[index as usize];
            let (mut at, fd) = (slot.first, slot.fd);
            slot.flying = slot.first;
            slot.first = NONE;
            slot.last = NONE;
            slot.pieces = 0;
            self.segments.clear();
            while at != NONE {
                let piece = self.pieces[at as usize];
                self.segments.push(Segment { at: piece.at, len: piece.len });
                at = piece.next;
            }
            let token = Token::new(Op::Unsent, slot.generation, index);
            self.door.send(fd, &self.segments, token);
        }
        std::mem::swap(&mut self.pieces, &mut self.flying);
        std::mem::swap(&mut self.flown, &mut dirty);
        dirty.clear();
        self.dirty = dirty;
        std::mem::swap(&mut self.kept, &mut self.kept_flying);
        // Words in the arena fly too: it is kept whole and a fresh one begun.
        if !self.arena.is_empty() {
            let fresh = self.blocks.take(ARENA);
            self.kept_flying.push(std::mem::replace(&mut self.arena, fresh));
        }
        let mut closing = std::mem::take(&mut self.closing);
        closing.retain(|&index| !self.finish(index));
        self.closing = closing;
    }

    /// The rest of a short send goes on as a waiting one.
    pub(super) fn unsent(&mut self, completion: &Completion) {
        if !self.is_current(completion.token) {
            return;
        }
        let index = completion.token.slot();
        let mut skip = completion.res.max(0) as usize;
        if completion.res < 0 && completion.res != -libc::EAGAIN {
            // The connection is broken: its recv says so too, and the engine acts on that.
            return;
        }
        let mut at = self.slots[index as usize].flying;
        while at != NONE {
            let piece = self.flying[at as usize];
            let bytes = Bytes { at: piece.at, len: piece.len };
            let from = skip.min(piece.len);
            skip -= from;
            if from < piece.len {
                self.append_backlog(index, bytes.part(from..piece.len).view());
            }
            at = piece.next;
        }
        self.blocked.push(index);
        self.push_backlog(index);
    }

    fn push_backlog(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(backlog) = &slot.backlog else { return };
        if slot.sending {
            return;
        }
        if let Some(block) = backlog.blocks.front() {
            slot.sending = true;
            let rest = Bytes::of(block).part(backlog.gone..block.len());
            let token = Token::new(Op::Sent, slot.generation, index);
            self.door.send_wait(slot.fd, Segment { at: rest.at, len: rest.len }, token);
        }
    }

    /// Reads a `Op::Sent` completion; true when the backlog is gone and the other side may be heard again.
    pub fn sent(&mut self, completion: &Completion) -> bool {
        if !self.is_current(completion.token) {
            return false;
        }
        let index = completion.token.slot();
        let slot = &mut self.slots[index as usize];
        slot.sending = false;
        let Some(backlog) = &mut slot.backlog else {
            self.closing.push(index);
            return false;
        };
        if completion.res < 0 && completion.res != -libc::EINTR && completion.res != -libc::EAGAIN {
            self.backlog_bytes -= backlog.bytes;
            slot.backlog = None;
            self.closing.push(index);
            return false;
        }
        let went = completion.res.max(0) as usize;
        backlog.gone += went;
        backlog.bytes -= went;
        self.backlog_bytes -= went;
        if backlog.blocks.front().is_some_and(|block| backlog.gone == block.len()) {
            backlog.gone = 0;
            if let Some(block) = backlog.blocks.pop_front() {
                self.blocks.give(block);
            }
        }
        if backlog.blocks.is_empty() {
            slot.backlog = None;
            self.closing.push(index);
            return true;
        }
        self.push_backlog(index);
        false
    }
}
