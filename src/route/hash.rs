//! From a key to a number, bit for bit as `PARTITION BY HASH` over one column does it, and PgDog's `sha1` beside it.
//! Invariant: `hash % n` of `Hasher::Postgres` is the remainder that `satisfies_hash_partition` finds for n partitions, on a server of the usual
//! byte order (`route::identity` finds out at the first question when a server has the other one). No allocation; a key costs some ten
//! nanoseconds. What type a value is of is left to `key`.

use sha1::{Digest, Sha1};

use super::key::Key;
use crate::config::sharded::Hasher;

/// PostgreSQL's seed for partitions, so that they do not follow the buckets of its hash joins.
pub const PARTITION_SEED: u64 = 0x7a5b_2236_7996_dcfd;

/// The number of a key. NULL is 0, as PostgreSQL has it: partitioning skips what is NULL.
pub fn of(hasher: Hasher, key: Option<Key<'_>>) -> u64 {
    let Some(key) = key else { return 0 };
    match hasher {
        Hasher::Postgres => combined(match key {
            Key::Int(value) => int(value, PARTITION_SEED),
            Key::Uuid(bytes) => bytes_extended(&bytes, PARTITION_SEED),
            Key::Text(text) => bytes_extended(text, PARTITION_SEED),
        }),
        Hasher::Sha1 => match key {
            Key::Int(value) => sha1(decimal(value, &mut [0; DECIMAL_MAX])),
            Key::Uuid(bytes) => sha1(&bytes),
            Key::Text(text) => sha1(text),
        },
    }
}

/// What one column adds to the hash of a row, which is zero before.
fn combined(column: u64) -> u64 {
    column.wrapping_add(0x49a0_f4dd_15e5_a8e3)
}

/// `hashint8extended`, which is `hashint4extended` and `hashint2extended` for what fits those: the halves are folded so that it is.
pub fn int(value: i64, seed: u64) -> u64 {
    let high = (value >> 32) as u32;
    word_extended(value as u32 ^ if value < 0 { !high } else { high }, seed)
}

/// `hash_uint32_extended`.
fn word_extended(word: u32, seed: u64) -> u64 {
    let mut state = State::seeded(4, seed);
    state.a = state.a.wrapping_add(word);
    state.end()
}

/// `hash_bytes_extended`: of texts under a deterministic collation, and of uuids.
pub fn bytes_extended(bytes: &[u8], seed: u64) -> u64 {
    // Lengths count modulo 2^32, as they do there.
    let mut state = State::seeded(bytes.len() as u32, seed);
    let (blocks, rest) = bytes.as_chunks::<12>();
    for block in blocks {
        state.add(block);
        state.mix();
    }
    // The lowest byte of the last word is kept for the length: what is left over fills the eleven others.
    let mut last = [0; 12];
    let (head, tail) = rest.split_at(rest.len().min(8));
    last[..head.len()].copy_from_slice(head);
    last[9..9 + tail.len()].copy_from_slice(tail);
    state.add(&last);
    state.end()
}

/// The three words of Bob Jenkins's hash (lookup3, public domain).
struct State {
    a: u32,
    b: u32,
    c: u32,
}

impl State {
    fn seeded(length: u32, seed: u64) -> State {
        let start = length.wrapping_add(0x9e37_79b9).wrapping_add(3_923_095);
        let mut state = State { a: start, b: start, c: start };
        if seed != 0 {
            state.a = state.a.wrapping_add((seed >> 32) as u32);
            state.b = state.b.wrapping_add(seed as u32);
            state.mix();
        }
        state
    }

    fn add(&mut self, block: &[u8; 12]) {
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        self.a = self.a.wrapping_add(word(0));
        self.b = self.b.wrapping_add(word(4));
        self.c = self.c.wrapping_add(word(8));
    }

    fn mix(&mut self) {
        let State { a, b, c } = self;
        for turns in [[4, 6, 8], [16, 19, 4]] {
            *a = a.wrapping_sub(*c) ^ c.rotate_left(turns[0]);
            *c = c.wrapping_add(*b);
            *b = b.wrapping_sub(*a) ^ a.rotate_left(turns[1]);
            *a = a.wrapping_add(*c);
            *c = c.wrapping_sub(*b) ^ b.rotate_left(turns[2]);
            *b = b.wrapping_add(*a);
        }
    }

    fn end(self) -> u64 {
        let State { mut a, mut b, mut c } = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        u64::from(b) << 32 | u64::from(c)
    }
}

/// The last four bytes of the SHA-1, the highest first.
fn sha1(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    u64::from(u32::from_be_bytes([digest[16], digest[17], digest[18], digest[19]]))
}

/// Characters of the longest bigint.
const DECIMAL_MAX: usize = 20;

/// A number as PostgreSQL prints it.
fn decimal(value: i64, into: &mut [u8; DECIMAL_MAX]) -> &[u8] {
    let (mut rest, mut at) = (value.unsigned_abs(), DECIMAL_MAX);
    loop {
        at -= 1;
        into[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        into[at] = b'-';
    }
    &into[at..]
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
