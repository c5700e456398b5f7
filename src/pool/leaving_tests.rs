//! Servers that leave: the permit comes back when the other end has let go, and no earlier.
#![cfg(not(loom))]

use std::sync::Arc;

use crate::pool::ledger::{Gate, Ledger};
use crate::pool::slice::Slice;
use crate::pool::verdict::{After, Checkin, Checkout, Rules};

const MS: u64 = 1_000_000;

fn slice(limit: u32, servers: u32) -> (Arc<Ledger>, Slice) {
    let ledger = Arc::new(Ledger::new(1, limit));
    let mut slice = Slice::new(ledger.clone(), 0, Rules::default());
    for link in 0..servers {
        assert!(slice.wanted_extra(u32::MAX, 0));
        assert_eq!(slice.opened(link, u64::from(link) * MS), Checkin::Idle { timer: None });
    }
    (ledger, slice)
}

fn wait(slice: &mut Slice, client: u32, now: u64) -> After {
    match slice.checkout(client, now) {
        Checkout::Wait { then, .. } => then,
        grant => panic!("{grant:?}"),
    }
}

#[test]
fn a_permit_returns_when_the_other_end_has_let_go() {
    let (ledger, mut slice) = slice(1, 1);
    assert_eq!(slice.checkout(7, 0), Checkout::Grant(0));
    slice.leave();
    assert_eq!(wait(&mut slice, 8, MS), After::Nothing, "the server still has the old connection");
    assert_eq!((ledger.open(), ledger.lasting(), slice.leaving(), slice.active()), (1, 0, 1, 0));
    assert_eq!(slice.left(2 * MS), After::Open);
    assert_eq!((ledger.open(), slice.leaving(), slice.opening()), (1, 0, 1));
}

#[test]
fn a_login_that_fails_half_way_keeps_its_permit_until_then() {
    let (ledger, mut slice) = slice(1, 0);
    assert_eq!(wait(&mut slice, 8, 0), After::Open);
    assert_eq!(slice.open_failed(MS, 0, true), After::Nothing);
    assert_eq!((ledger.open(), slice.leaving(), ledger.gate().inside()), (1, 1, 0));
    assert_eq!(slice.left(2 * MS), After::Open);
}

#[test]
fn an_idle_one_that_is_promised_leaves_too_and_the_promise_is_broken() {
    let (ledger, mut slice) = slice(2, 1);
    assert!(ledger.line(0).idle.take(), "another core asks for it");
    assert!(slice.leave_idle(0));
    assert!(!slice.leave_idle(0), "once");
    assert_eq!((slice.idle(), slice.leaving(), slice.check()), (0, 1, Ok(())));
    assert_eq!(slice.take(), crate::pool::Take::Broken);
}

#[test]
fn who_rests_long_goes_down_to_what_is_to_be_kept() {
    let (ledger, mut slice) = slice(5, 4);
    assert_eq!(slice.next_rested(10 * MS, 2), Some(10 * MS));
    assert_eq!(slice.rested(9 * MS, 10 * MS, 2), None, "nobody has rested long enough");
    assert_eq!(slice.rested(30 * MS, 10 * MS, 2), Some(0), "the one that rests longest");
    assert_eq!(slice.rested(30 * MS, 10 * MS, 2), Some(1));
    assert_eq!(slice.rested(30 * MS, 10 * MS, 2), None, "two are kept, though two more are still on their way out");
    assert_eq!((slice.next_rested(10 * MS, 2), ledger.open(), ledger.lasting()), (None, 4, 2));
}

#[test]
fn a_full_gate_is_waited_at() {
    let gate = Arc::new(Gate::new(1));
    let pool = |limit| Slice::new(Arc::new(Ledger::behind(gate.clone(), 1, limit)), 0, Rules::default());
    let (mut first, mut second) = (pool(2), pool(1));
    assert_eq!(wait(&mut first, 1, 0), After::Open);
    assert_eq!(wait(&mut first, 2, 0), After::Gated, "one at a time");
    assert_eq!(wait(&mut second, 3, 0), After::Gated, "over all pools of the server");
    assert!(!second.wanted_extra(1, 0));
    assert_eq!(first.opened(9, MS), Checkin::Serve { client: 1, link: 9, waited_since: 0 });
    assert_eq!(second.look(MS), After::Open);
    assert_eq!((first.look(MS), gate.inside()), (After::Gated, 1));
    assert_eq!(second.open_failed(MS, 0, false), After::Open, "it waits still");
    drop(second);
    assert_eq!((gate.inside(), first.look(MS)), (0, After::Open));
}

#[test]
fn a_failure_never_shortens_the_pause_of_another() {
    let (ledger, mut slice) = slice(4, 0);
    for client in 0..2 {
        assert_eq!(wait(&mut slice, client, 0), After::Open);
    }
    assert_eq!(slice.open_failed(MS, 20 * MS, false), After::Timer { at: 21 * MS });
    assert_eq!(slice.open_failed(MS, 0, false), After::Nothing, "the timer is armed already");
    assert_eq!(ledger.retry_at(), 21 * MS, "who failed beside it wanted to try again at once");
}
