//! Seeded damage for tests of parsers: the same seed gives the same bytes on every machine, so that a failure can be repeated.

/// A xorshift generator (Marsaglia, 2003); good enough to damage bytes, for nothing else.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Calls `parse` with `rounds` damaged copies of each seed: bytes replaced, inserted, removed, cut, repeated. The parser must come back.
pub(crate) fn survives(seeds: &[&[u8]], rounds: u64, mut parse: impl FnMut(&[u8])) {
    const HOSTILE: [u8; 12] = [0, 1, 3, 4, 0x7f, 0x80, 0xff, b'\\', b'=', b',', b'$', b'\''];
    for (index, seed) in seeds.iter().enumerate() {
        for round in 0..rounds {
            let mut random = Random::new(round * 1009 + index as u64);
            let mut bytes = seed.to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                let byte = if random.below(2) == 0 { HOSTILE[random.below(HOSTILE.len())] } else { random.next() as u8 };
                match random.below(5) {
                    0 => bytes.insert(at, byte),
                    1 => bytes.truncate(at),
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    3 => bytes.extend_from_within(at..),
                    _ if at < bytes.len() => bytes[at] = byte,
                    _ => {}
                }
            }
            parse(&bytes);
        }
    }
}
