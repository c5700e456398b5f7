//! Tests of the buckets: no gap, no overlap, and quantiles as exact as they can be.

use super::*;

#[test]
fn every_bucket_starts_where_the_one_before_ends() {
    for index in 0..BUCKETS {
        assert_eq!(bucket(start(index)), index);
        if index > 0 {
            assert_eq!(bucket(start(index) - 1), index - 1);
        }
        if index > 16 {
            let width = start(index) - start(index - 1);
            assert!(width * 8 <= start(index), "bucket {index} is wider than 12.5 %");
        }
    }
    assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    assert!(start(BUCKETS - 1) > 500_000_000_000, "nine minutes");
}

#[test]
fn powers_of_two_are_exact_bounds() {
    let histogram = Histogram::default();
    for power in 10..39 {
        histogram.record((1 << power) - 1);
        histogram.record(1 << power);
    }
    let mut read = Durations::default();
    histogram.read(&mut read);
    assert_eq!(read.count(), 58);
    for power in 10..39 {
        assert_eq!(read.below(1 << power), 2 * (power - 10) + 1, "2^{power} ns");
    }
}

#[test]
fn cores_add_up_and_a_period_is_a_difference() {
    let (one, other) = (Histogram::default(), Histogram::default());
    one.record_many(1_000_000, 3);
    other.record(5_000);
    let read = || {
        let mut read = Durations::default();
        one.read(&mut read);
        other.read(&mut read);
        read
    };
    let before = read();
    assert_eq!((before.count(), before.sum_ns), (4, 3_005_000));
    other.record(7_000);
    let since = read().since(&before);
    assert_eq!((since.count(), since.sum_ns, since.below(4096), since.below(8192)), (1, 7_000, 0, 1));
}

#[test]
fn quantiles_are_those_of_the_durations() {
    assert_eq!(Durations::default().quantiles([0.5]), None);
    let histogram = Histogram::default();
    (1..=10_000).for_each(|us| histogram.record(us * 1000));
    let mut read = Durations::default();
    histogram.read(&mut read);
    let found = read.quantiles([0.5, 0.99, 0.999, 1.0]).expect("there are some");
    for (found, exact) in found.into_iter().zip([5_000_000.0, 9_900_000.0, 9_990_000.0, 10_000_000.0]) {
        let off = (found as f64 - exact).abs() / exact;
        assert!(off < 0.07, "{found} instead of {exact}");
    }
}
