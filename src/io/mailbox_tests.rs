//! The ring between two real threads, at its bounds, and its leftovers. (`tests/loom.rs` tries the orders.)
#![cfg(not(loom))]

use super::*;
use std::sync::atomic::AtomicU32;

#[test]
fn refuses_when_full_keeps_order_and_rounds_up() {
    let (mut sender, mut receiver) = channel::<u32>(3);
    assert!((0..4).all(|n| sender.post(n).is_ok()), "three is rounded up to four");
    assert_eq!(sender.post(4), Err(4));
    assert_eq!(receiver.take(), Some(0));
    assert_eq!(sender.post(4), Ok(()));
    assert_eq!(sender.post(5), Err(5));
    assert_eq!(std::iter::from_fn(|| receiver.take()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(receiver.take(), None);
}

#[test]
fn a_ring_for_one_holds_one() {
    let (mut sender, mut receiver) = channel::<u32>(0);
    for n in 0..10 {
        assert_eq!(sender.post(n), Ok(()));
        assert_eq!(sender.post(n), Err(n));
        assert_eq!(receiver.take(), Some(n));
    }
}

#[test]
fn a_gone_side_shows() {
    let (mut sender, receiver) = channel::<u32>(4);
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.post(1), Err(1));
    let (mut sender, mut receiver) = channel::<u32>(4);
    assert_eq!(sender.post(1), Ok(()));
    drop(sender);
    assert!(receiver.is_closed());
    assert_eq!((receiver.take(), receiver.take()), (Some(1), None), "mail of a gone sender still arrives");
}

#[test]
fn leftovers_are_dropped_once() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Message;
    impl Drop for Message {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (mut sender, mut receiver) = channel::<Message>(8);
    for _ in 0..7 {
        assert!(sender.post(Message).is_ok());
    }
    drop(receiver.take());
    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
    drop((sender, receiver));
    assert_eq!(DROPPED.load(Ordering::SeqCst), 7);
}

#[test]
fn the_flag_wakes_once_until_cleared() {
    let flag = Flag::default();
    assert!(!flag.clear());
    assert!(flag.raise());
    assert!(!flag.raise());
    assert!(flag.is_raised());
    assert!(flag.clear());
    assert!(!flag.clear());
    assert!(flag.raise());
}

#[test]
fn two_threads_lose_nothing() {
    const MESSAGES: u64 = 200_000;
    let (mut sender, mut receiver) = channel::<Box<u64>>(16);
    let flag = Arc::new(Flag::default());
    let (theirs, me) = (flag.clone(), std::thread::current());
    #[allow(clippy::disallowed_methods, reason = "a test's thread that cannot start fails the test")]
    let thread = std::thread::spawn(move || {
        let mut woken = 0u64;
        for n in 0..MESSAGES {
            let mut message = Box::new(n);
            while let Err(back) = sender.post(message) {
                message = back;
                std::thread::yield_now();
            }
            if theirs.raise() {
                woken += 1;
                me.unpark();
            }
        }
        woken
    });
    let mut next = 0;
    while next < MESSAGES {
        if !flag.clear() {
            std::thread::park();
            continue;
        }
        while let Some(message) = receiver.take() {
            assert_eq!(*message, next);
            next += 1;
        }
    }
    let woken = thread.join().unwrap_or(u64::MAX);
    assert!((1..=MESSAGES).contains(&woken), "{woken} wakes");
}
