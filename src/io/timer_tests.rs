//! The wheel against a plain list, at its bounds, and with many timers.

use super::*;

const TICK: u64 = 1 << TICK_BITS;

fn rounded(at: u64) -> u64 {
    at.div_ceil(TICK).saturating_mul(TICK)
}

fn fired(timers: &mut Timers<u32>, now: u64) -> Vec<u32> {
    let mut out = Vec::new();
    timers.expire(now, &mut out);
    out
}

#[test]
fn fires_at_its_tick_and_never_before() {
    let start = 123_456_789_012;
    let mut timers = Timers::new(start);
    let at = start + 5 * TICK + 17;
    let id = timers.arm(at, 1);
    assert_eq!(timers.next(), Some(rounded(at)));
    assert!(fired(&mut timers, at).is_empty());
    assert!(fired(&mut timers, rounded(at) - 1).is_empty());
    assert_eq!(fired(&mut timers, rounded(at)), [1]);
    assert!(!timers.disarm(id));
    assert_eq!((timers.next(), timers.is_empty()), (None, true));
}

#[test]
fn the_past_fires_next_and_the_end_of_time_is_held() {
    let mut timers = Timers::new(1000 * TICK);
    timers.arm(3, 1);
    timers.arm(1000 * TICK, 2);
    let never = timers.arm(u64::MAX, 3);
    let mut due = fired(&mut timers, 1000 * TICK);
    due.sort_unstable();
    assert_eq!(due, [1, 2]);
    assert_eq!(timers.next(), Some(LAST_TICK << TICK_BITS));
    assert!(fired(&mut timers, u64::MAX / 2).is_empty());
    assert!(timers.disarm(never));
    assert!(!timers.disarm(never));
    assert_eq!(timers.next(), None);
}

#[test]
fn a_late_id_does_not_disarm_its_successor() {
    let mut timers = Timers::new(0);
    let first = timers.arm(TICK, 1);
    assert!(timers.disarm(first));
    let second = timers.arm(TICK, 2);
    assert_eq!(first.index, second.index, "the entry is reused");
    assert!(!timers.disarm(first));
    assert_eq!(fired(&mut timers, TICK), [2]);
}

#[test]
fn a_jump_of_years_fires_everything_in_order() {
    let year = 365 * 86_400 * 1_000_000_000u64;
    let mut timers = Timers::new(7);
    for n in (0..40u32).rev() {
        timers.arm(7 + u64::from(n) * year / 4, n);
    }
    assert_eq!(fired(&mut timers, 20 * year), (0..40).collect::<Vec<_>>());
    timers.arm(21 * year, 77);
    assert_eq!(timers.next(), Some(rounded(21 * year)));
    assert!(fired(&mut timers, year).is_empty(), "a clock that goes back does nothing");
    assert_eq!(fired(&mut timers, 22 * year), [77]);
}

#[test]
fn a_hundred_thousand_in_steady_state_take_no_more_memory() {
    let mut timers = Timers::new(0);
    let mut ids: Vec<TimerId> = (0..100_000u32).map(|n| timers.arm(u64::from(n) * 1_000_000 + 5_000_000_000, n)).collect();
    let capacity = timers.entries.capacity();
    for round in 0..5u64 {
        for (n, id) in ids.iter_mut().enumerate() {
            assert!(timers.disarm(*id));
            *id = timers.arm((round + 1) * 1_000_000_000 + n as u64 * 1_000_000 + 5_000_000_000, n as u32);
        }
    }
    assert_eq!((timers.len(), timers.entries.len(), timers.entries.capacity()), (100_000, 100_000, capacity));
    assert_eq!(fired(&mut timers, u64::MAX / 4).len(), 100_000);
}

/// Random arming, disarming and jumping against a list that is searched whole.
#[test]
fn behaves_as_a_list() {
    for seed in 1..40u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let mut now = roll(1 << 50);
        let mut timers = Timers::new(now);
        let mut list: Vec<(TimerId, u64, u32)> = Vec::new();
        for step in 0..3000u32 {
            match roll(10) {
                0..5 => {
                    let bits = 10 + roll(45);
                    let at = now + roll(1 << bits);
                    list.push((timers.arm(at, step), at, step));
                }
                5..7 if !list.is_empty() => {
                    let at = roll(list.len() as u64) as usize;
                    assert!(timers.disarm(list.swap_remove(at).0));
                }
                _ => {
                    let bits = 10 + roll(40);
                    now += roll(1 << bits);
                    let mut due = fired(&mut timers, now);
                    due.sort_unstable();
                    let ripe = |at: u64| rounded(at) <= now;
                    let mut expected: Vec<u32> = list.iter().filter(|&&(_, at, _)| ripe(at)).map(|&(_, _, what)| what).collect();
                    list.retain(|&(_, at, _)| !ripe(at));
                    expected.sort_unstable();
                    assert_eq!(due, expected, "seed {seed} step {step}");
                }
            }
            assert_eq!(timers.len(), list.len());
            let soonest = list.iter().map(|&(_, at, _)| rounded(at)).min();
            match (timers.next(), soonest) {
                (None, None) => {}
                (Some(next), Some(soonest)) => assert!(next <= soonest, "seed {seed} step {step}: {next} rings after {soonest}"),
                other => panic!("seed {seed} step {step}: {other:?}"),
            }
        }
    }
}

/// `next` is exact as long as nothing is disarmed: every ring fires something.
#[test]
fn no_ring_in_vain() {
    let mut timers = Timers::new(0);
    let mut random = 88_172_645_463_325_252u64;
    for n in 0..2000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        timers.arm(random >> (20 + random % 20), n);
    }
    let mut total = 0;
    while let Some(at) = timers.next() {
        let due = fired(&mut timers, at).len();
        assert!(due > 0, "rang in vain at {at}");
        total += due;
    }
    assert_eq!(total, 2000);
}
