//! How long things took: counts of durations in buckets, which one core fills and anybody reads.
//! Invariant: one writer, plain stores; a reader sees every bucket as it was at some moment, and a sum that may be a moment older. Buckets are
//! log-linear: eight to each power of two from 1 us on, so that a duration is known to 12.5 %, up to nine minutes; below and above are the ends.
//! What a duration was, and when it is recorded, is left to `engine`; how buckets are printed to `metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// The finest a duration is told apart: 128 ns.
const UNIT: u32 = 7;
/// Buckets to each power of two, as a power of two.
const FINE: u32 = 3;
/// Powers of two of units, beyond the first eight buckets, which are one unit wide.
const POWERS: usize = 29;
/// Buckets of one histogram.
pub const BUCKETS: usize = (POWERS + 1) << FINE;

/// The bucket of a duration. Those too long for any stand in the last.
#[inline]
pub fn bucket(ns: u64) -> usize {
    let units = ns >> UNIT;
    if units < 1 << FINE {
        return units as usize;
    }
    let power = 63 - units.leading_zeros();
    let within = (units >> (power - FINE)) as usize & ((1 << FINE) - 1);
    (((power - FINE + 1) as usize) << FINE | within).min(BUCKETS - 1)
}

/// The shortest duration of a bucket, ns.
pub fn start(bucket: usize) -> u64 {
    let (power, within) = (bucket >> FINE, (bucket & ((1 << FINE) - 1)) as u64);
    match power {
        0 => within << UNIT,
        power => ((1 << FINE) + within) << (power as u32 - 1 + UNIT),
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Something took `ns`. By the owning core alone.
    #[inline]
    pub fn record(&self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// `count` things took `ns` each.
    #[inline]
    pub fn record_many(&self, ns: u64, count: u64) {
        let more = |number: &AtomicU64, by: u64| number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        more(&self.buckets[bucket(ns)], count);
        more(&self.sum_ns, ns.wrapping_mul(count));
    }

    /// Adds what was counted so far to `into`.
    pub fn read(&self, into: &mut Durations) {
        for (number, count) in self.buckets.iter().zip(into.buckets.iter_mut()) {
            *count = count.saturating_add(number.load(Ordering::Relaxed));
        }
        into.sum_ns = into.sum_ns.saturating_add(self.sum_ns.load(Ordering::Relaxed));
    }
}

/// What histograms held when they were read, of several cores or pools together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations {
    buckets: Box<[u64; BUCKETS]>,
    pub sum_ns: u64,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations { buckets: Box::new([0; BUCKETS]), sum_ns: 0 }
    }
}

/// Significant digits of a quantile; the buckets are no finer.
const DIGITS: u8 = 2;

impl Durations {
    /// How many durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many were shorter than `ns`, which should be where a bucket starts: a power of two from 1024 on.
    pub fn below(&self, ns: u64) -> u64 {
        self.buckets[..bucket(ns)].iter().sum()
    }

    /// What was added since `earlier` was read.
    pub fn since(&self, earlier: &Durations) -> Durations {
        let mut since = self.clone();
        for (count, before) in since.buckets.iter_mut().zip(earlier.buckets.iter()) {
            *count = count.saturating_sub(*before);
        }
        since.sum_ns = since.sum_ns.saturating_sub(earlier.sum_ns);
        since
    }

    /// The durations (ns) that these parts (0 to 1) of all were not longer than; None when there are none.
    pub fn quantiles<const N: usize>(&self, parts: [f64; N]) -> Option<[u64; N]> {
        let longest = start(BUCKETS - 1) * 2;
        // It refuses only bounds and digits that make no sense, and these are fixed.
        let mut all = hdrhistogram::Histogram::<u64>::new_with_bounds(1, longest, DIGITS).ok()?;
        for (index, &count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let end = if index + 1 < BUCKETS { start(index + 1) } else { longest };
            all.saturating_record_n((start(index) + end) / 2, count);
        }
        (!all.is_empty()).then(|| parts.map(|part| all.value_at_quantile(part)))
    }
}

#[cfg(test)]
#[path = "histogram_tests.rs"]
mod tests;
