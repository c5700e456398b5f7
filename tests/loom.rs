//! What crosses cores, tried in every order that the memory model permits (crate `loom`): the ledger, two slices in the middle of a
//! decision, the mailbox and its flag. Files come in by path, so that nothing else of the house is built under `cfg(loom)`.
//! Run by `cd tests/loom && cargo test --release`.
#![cfg(loom)]
#![allow(dead_code, reason = "the files come in whole by path, and each model uses its own part of them")]

#[path = "../src/io/mailbox.rs"]
mod mailbox;

#[path = "../src/pool"]
mod pool {
    mod alone;
    mod leaving;
    pub mod ledger;
    pub mod queue;
    pub mod slice;
    pub mod verdict;
}

use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

use mailbox::{Flag, channel};
use pool::ledger::Ledger;
use pool::slice::Slice;
use pool::verdict::{After, Checkin, Checkout, LinkId, Rules, Take};

/// Long enough for X and Y to have passed.
const LATE: u64 = 1_000_000_000;

/// Tries all orders with up to `switches` forced switches between threads.
fn model(switches: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(test);
}

fn ledger(cores: usize, limit: u32) -> Arc<Ledger> {
    Arc::new(Ledger::new(cores, limit))
}

fn slice(ledger: &Arc<Ledger>, core: usize) -> Slice {
    Slice::new(ledger.clone(), core, Rules::default())
}

/// A slice with one busy server.
fn with_busy(ledger: &Arc<Ledger>, core: usize, link: LinkId) -> Slice {
    let mut slice = slice(ledger, core);
    assert!(slice.wanted_extra(u32::MAX, 0));
    let _ = slice.opened(link, 0);
    assert_eq!(slice.checkout(99, 0), Checkout::Grant(link));
    slice
}

fn waits(slice: &mut Slice, now: u64) -> After {
    match slice.checkout(1, now) {
        Checkout::Wait { then, .. } => then,
        grant => panic!("{grant:?}"),
    }
}

/// At rest: nobody waits uncovered while a server is idle or a permit is free.
fn assert_nobody_forgotten(ledger: &Ledger) {
    let need: u32 = (0..ledger.cores()).map(|core| ledger.line(core).need.count()).sum();
    let idle: u32 = (0..ledger.cores()).map(|core| ledger.line(core).idle.count()).sum();
    assert!(need == 0 || idle == 0, "{need} wait and {idle} are idle");
    assert!(need == 0 || !ledger.has_room(), "{need} wait and a permit is free");
}

/// A core without servers begins to wait while the other checks its only server in: asked for, lent, or seen by a timer.
#[test]
fn a_waiter_and_a_check_in_meet() {
    model(5, || {
        let ledger = ledger(2, 1);
        let mut home = with_busy(&ledger, 1, 7);
        let mut waiting = slice(&ledger, 0);
        let thread = thread::spawn(move || (waits(&mut waiting, 0), waiting));
        let verdict = home.checkin(7, LATE);
        let Ok((then, mut waiting)) = thread.join() else { panic!("the waiting core panicked") };
        match (then, verdict) {
            (After::Ask { core: 1 }, Checkin::Idle { .. }) => {
                assert_eq!(home.take(), Take::Hand(7));
            }
            (After::Nothing, Checkin::Lend { core: 0, link: 7 }) => {}
            (After::Timer { .. }, Checkin::Lend { core: 0, link: 7 }) => {}
            (After::Timer { .. }, Checkin::Idle { .. }) | (_, Checkin::Idle { timer: Some(_) }) => {
                // Whose timer it is: the look settles it.
                let lent = matches!(home.look(LATE), After::Lend { core: 0, link: 7 });
                assert!(lent || waiting.look(LATE) == After::Ask { core: 1 } && home.take() == Take::Hand(7), "forgotten");
            }
            other => panic!("forgotten: {other:?}"),
        }
        assert!(matches!(waiting.handed(7, LATE), Checkin::Serve { client: 1, link: 7, .. }));
        assert_nobody_forgotten(&ledger);
        assert_eq!((home.check(), waiting.check()), (Ok(()), Ok(())));
    });
}

/// The same with a young waiter on a core that has a busy server: both may see each other, one of them must arm a timer.
#[test]
fn a_young_waiter_and_a_check_in_leave_a_timer() {
    model(5, || {
        let ledger = ledger(2, 2);
        let mut home = with_busy(&ledger, 1, 7);
        let mut waiting = with_busy(&ledger, 0, 8);
        let thread = thread::spawn(move || (waits(&mut waiting, 5), waiting));
        let verdict = home.checkin(7, 10);
        let Ok((then, waiting)) = thread.join() else { panic!("the waiting core panicked") };
        let armed = matches!(then, After::Timer { .. }) || matches!(verdict, Checkin::Idle { timer: Some(_) });
        assert!(armed, "forgotten: {then:?} {verdict:?}");
        drop((home, waiting));
    });
}

/// Two cores wait, a third checks one server in: one waiter gets it, the other still shows.
#[test]
fn one_server_is_promised_once() {
    model(3, || {
        let ledger = ledger(3, 1);
        let mut home = with_busy(&ledger, 2, 7);
        let threads = [0, 1].map(|core| {
            let mut waiting = slice(&ledger, core);
            thread::spawn(move || (waits(&mut waiting, 0), waiting))
        });
        let verdict = home.checkin(7, LATE);
        let [first, second] = threads.map(|thread| thread.join());
        let (Ok(first), Ok(second)) = (first, second) else { panic!("a waiting core panicked") };
        let asks = [first.0, second.0].iter().filter(|&&then| then == After::Ask { core: 2 }).count();
        let timers = [first.0, second.0].iter().any(|then| matches!(then, After::Timer { .. }));
        match verdict {
            Checkin::Lend { .. } => assert_eq!(asks, 0, "promised twice"),
            Checkin::Idle { timer } => assert!(asks == 1 || asks == 0 && (timers || timer.is_some()), "{asks} asks"),
            other => panic!("{other:?}"),
        }
        let need: u32 = [0, 1].map(|core| ledger.line(core).need.count()).iter().sum();
        let promised = asks + usize::from(matches!(verdict, Checkin::Lend { .. }));
        assert_eq!((need as usize + promised, ledger.line(2).idle.count() as usize), (2, usize::from(promised == 0)));
    });
}

/// A waiter finds no permit while the last connection elsewhere ends: it opens one itself, or is nudged.
#[test]
fn a_waiter_and_a_freed_permit_meet() {
    model(5, || {
        let ledger = ledger(2, 1);
        let mut home = with_busy(&ledger, 1, 7);
        let mut waiting = slice(&ledger, 0);
        let thread = thread::spawn(move || (waits(&mut waiting, 0), waiting));
        let after = home.busy_died(1);
        let Ok((then, mut waiting)) = thread.join() else { panic!("the waiting core panicked") };
        match (then, after) {
            (After::Open, After::Nothing) => {}
            (After::Open, After::Nudge { core: 0 }) => assert_eq!(waiting.nudged(2), After::Nothing),
            (After::Nothing, After::Nudge { core: 0 }) => assert_eq!(waiting.nudged(2), After::Open),
            other => panic!("forgotten: {other:?}"),
        }
        assert_eq!(ledger.open(), 1);
    });
}

/// Two permits come free while the first nudge is being handled: the second is seen, or sends a new nudge.
#[test]
fn a_nudge_is_not_swallowed() {
    model(5, || {
        let ledger = ledger(2, 2);
        let mut home = with_busy(&ledger, 1, 7);
        assert!(home.wanted_extra(u32::MAX, 0));
        let mut waiting = slice(&ledger, 0);
        assert_eq!((waits(&mut waiting, 0), waits(&mut waiting, 0)), (After::Nothing, After::Nothing));
        assert_eq!(home.busy_died(1), After::Nudge { core: 0 });
        let thread = thread::spawn(move || {
            let mut opened = usize::from(waiting.nudged(1) == After::Open);
            opened += usize::from(waiting.look(1) == After::Open);
            (opened, waiting)
        });
        let after = home.open_failed(2, 0, false);
        let Ok((mut opened, mut waiting)) = thread.join() else { panic!("the waiting core panicked") };
        if after == (After::Nudge { core: 0 }) {
            opened += usize::from(waiting.nudged(2) == After::Open);
        }
        assert_eq!((opened, ledger.open()), (2, 2), "a permit is free and somebody waits");
    });
}

/// The permit of a nudge was taken by somebody else, and comes free again while the nudge is being handled: it is seen, or nudges again.
#[test]
fn a_late_nudge_hides_no_new_permit() {
    model(5, || {
        let ledger = ledger(2, 1);
        let mut home = with_busy(&ledger, 1, 7);
        let mut waiting = slice(&ledger, 0);
        assert_eq!(waits(&mut waiting, 0), After::Nothing);
        assert_eq!(home.busy_died(1), After::Nudge { core: 0 });
        assert!(home.wanted_extra(1, 1));
        let thread = thread::spawn(move || (waiting.nudged(2), waiting));
        let after = home.open_failed(2, 0, false);
        let Ok((first, mut waiting)) = thread.join() else { panic!("the waiting core panicked") };
        let again = if after == (After::Nudge { core: 0 }) { waiting.nudged(3) } else { After::Nothing };
        assert!((first == After::Open) != (again == After::Open), "forgotten: {first:?} {after:?} {again:?}");
        assert_eq!(ledger.open(), 1);
    });
}

/// An asker and the owner's next client race for one idle server: one gets it.
#[test]
fn an_idle_server_has_one_taker() {
    model(5, || {
        let ledger = ledger(2, 1);
        let mut home = slice(&ledger, 1);
        assert!(home.wanted_extra(1, 0));
        let _ = home.opened(7, 0);
        let mut asking = slice(&ledger, 0);
        let thread = thread::spawn(move || (waits(&mut asking, 0), asking));
        let own = home.checkout(2, 0);
        let Ok((then, asking)) = thread.join() else { panic!("the asking core panicked") };
        let asked = then == After::Ask { core: 1 };
        assert_ne!(asked, own == Checkout::Grant(7), "{then:?} {own:?}");
        assert_eq!(home.check(), Ok(()));
        assert_eq!(asking.check(), Ok(()));
        let needs = [0, 1].map(|core| ledger.line(core).need.count()).iter().sum::<u32>();
        assert_eq!((needs, ledger.line(1).idle.count()), (1 - u32::from(asked) + u32::from(own != Checkout::Grant(7)), 0));
    });
}

/// A promised server dies while it is being asked for, and a new one comes to rest: the promise is kept or broken, never doubled.
#[test]
fn a_dying_server_is_promised_or_not() {
    model(3, || {
        let ledger = ledger(2, 2);
        let mut home = with_busy(&ledger, 1, 7);
        assert!(home.wanted_extra(2, 0));
        let _ = home.opened(8, 0);
        let mut asking = slice(&ledger, 0);
        let thread = thread::spawn(move || (waits(&mut asking, 0), asking));
        let died = home.idle_died(8, 1);
        let verdict = home.checkin(7, LATE);
        let Ok((then, mut asking)) = thread.join() else { panic!("the asking core panicked") };
        if then == (After::Ask { core: 1 }) {
            assert_eq!(home.take(), Take::Hand(7));
            assert!(matches!(asking.handed(7, LATE), Checkin::Serve { .. }));
        } else {
            assert!(then == After::Open || matches!(died, After::Nudge { .. }) || verdict != Checkin::Idle { timer: None }, "forgotten");
        }
        assert_eq!((home.check(), asking.check()), (Ok(()), Ok(())));
    });
}

#[test]
fn the_limit_holds() {
    model(3, || {
        let ledger = ledger(1, 2);
        assert!(ledger.try_reserve());
        let threads = [(); 2].map(|()| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let got = ledger.try_reserve();
                assert!(ledger.open() <= 2, "above the limit");
                got
            })
        });
        ledger.give_back();
        let again = ledger.try_reserve();
        assert!(ledger.open() <= 2, "above the limit");
        let got = threads.map(|thread| thread.join().unwrap_or(false));
        let granted = got.iter().filter(|&&got| got).count() + usize::from(again);
        assert_eq!((granted, ledger.open()), (2, 2));
    });
}

#[test]
fn exactly_the_excess_is_shed() {
    model(3, || {
        let ledger = ledger(1, 3);
        assert!((0..3).all(|_| ledger.try_reserve()));
        ledger.set_limit(2);
        let threads = [(); 2].map(|()| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let shed = ledger.try_shed();
                if shed {
                    ledger.give_back_left();
                }
                shed
            })
        });
        assert!(!ledger.try_reserve());
        let shed = threads.map(|thread| thread.join().unwrap_or(false));
        assert_eq!((shed.iter().filter(|&&shed| shed).count(), ledger.open()), (1, 2));
    });
}

#[test]
fn a_semaphore_gives_what_was_put() {
    model(3, || {
        let ledger = ledger(1, 1);
        ledger.line(0).idle.put();
        let threads = [(); 2].map(|()| {
            let ledger = ledger.clone();
            thread::spawn(move || ledger.line(0).idle.take())
        });
        ledger.line(0).idle.put();
        let mine = ledger.line(0).idle.take();
        let taken = threads.map(|thread| thread.join().unwrap_or(false)).iter().filter(|&&taken| taken).count() + usize::from(mine);
        assert!(taken <= 2 && ledger.line(0).idle.count() as usize == 2 - taken, "{taken} taken");
    });
}

/// Three messages through a ring for two: in order, none lost, none twice, leftovers dropped.
#[test]
fn mail_arrives_in_order() {
    model(5, || {
        let (mut sender, mut receiver) = channel::<Box<u32>>(2);
        let thread = thread::spawn(move || {
            let mut refused = 0;
            for n in 0..3u32 {
                let mut message = Box::new(n);
                while let Err(back) = sender.post(message) {
                    refused += 1;
                    if refused > 2 {
                        return n;
                    }
                    message = back;
                    thread::yield_now();
                }
            }
            3
        });
        let mut got = 0;
        for _ in 0..2 {
            while let Some(message) = receiver.take() {
                assert_eq!(*message, got);
                got += 1;
            }
            thread::yield_now();
        }
        let Ok(posted) = thread.join() else { panic!("the sender panicked") };
        if posted == 3 {
            while let Some(message) = receiver.take() {
                assert_eq!(*message, got);
                got += 1;
            }
            assert_eq!(got, 3);
        }
    });
}

/// Two senders, one receiver that sleeps whenever it found nothing: were a wake lost, loom would report a deadlock.
#[test]
fn no_wake_is_lost() {
    struct Bell {
        flag: Flag,
        rung: Mutex<bool>,
        heard: Condvar,
    }
    model(3, || {
        let bell = Arc::new(Bell { flag: Flag::default(), rung: Mutex::new(false), heard: Condvar::new() });
        let mut receivers = Vec::new();
        let threads = [2u32, 1].map(|messages| {
            let (mut sender, receiver) = channel::<u32>(2);
            receivers.push(receiver);
            let bell = bell.clone();
            thread::spawn(move || {
                for n in 0..messages {
                    assert_eq!(sender.post(n), Ok(()));
                    if bell.flag.raise() {
                        if let Ok(mut rung) = bell.rung.lock() {
                            *rung = true;
                        }
                        bell.heard.notify_one();
                    }
                }
            })
        });
        let mut got = 0;
        loop {
            bell.flag.clear();
            for receiver in &mut receivers {
                got += std::iter::from_fn(|| receiver.take()).count();
            }
            if got == 3 {
                break;
            }
            let Ok(mut rung) = bell.rung.lock() else { panic!("the bell is broken") };
            while !*rung {
                rung = match bell.heard.wait(rung) {
                    Ok(rung) => rung,
                    Err(_) => panic!("the bell is broken"),
                };
            }
            *rung = false;
        }
        assert!(threads.map(|thread| thread.join().is_ok()).iter().all(|&ok| ok));
    });
}
