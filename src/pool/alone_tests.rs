//! Connections of one client alone: every one holds a permit and a place at the gate exactly as long as it should, and nobody is forgotten for it.
#![cfg(not(loom))]

use std::sync::Arc;

use crate::pool::ledger::{Gate, Ledger};
use crate::pool::queue::Ticket;
use crate::pool::slice::Slice;
use crate::pool::verdict::{After, Checkin, Checkout, Rules};

const MS: u64 = 1_000_000;

fn slice(limit: u32) -> (Arc<Ledger>, Slice) {
    let ledger = Arc::new(Ledger::new(1, limit));
    (ledger.clone(), Slice::new(ledger, 0, Rules::default()))
}

fn wait(slice: &mut Slice, client: u32) -> (Ticket, After) {
    match slice.checkout(client, 0) {
        Checkout::Wait { ticket, then } => (ticket, then),
        grant => panic!("{grant:?}"),
    }
}

/// Permits, places at the gate, connections of one client alone.
fn counts(ledger: &Ledger, slice: &Slice) -> (u32, u32, u32) {
    (ledger.open(), ledger.gate().inside(), slice.alone())
}

#[test]
fn one_takes_a_permit_until_its_other_end_has_let_go() {
    let (ledger, mut slice) = slice(1);
    assert!(slice.open_alone(0));
    assert_eq!((counts(&ledger, &slice), slice.active(), slice.opening(), slice.is_unused()), ((1, 1, 1), 0, 0, false));
    slice.alone_opened();
    assert_eq!(counts(&ledger, &slice), (1, 0, 1));
    assert!(!slice.open_alone(0), "there is no second permit");
    assert_eq!(wait(&mut slice, 5).1, After::Nothing);
    slice.alone_leaves();
    assert_eq!((counts(&ledger, &slice), slice.leaving()), ((1, 0, 0), 1));
    assert_eq!(slice.left(MS), After::Open, "now it is the waiter's");
}

#[test]
fn its_end_and_its_failure_give_the_permit_to_who_waits() {
    let (ledger, mut slice) = slice(1);
    assert!(slice.open_alone(0));
    slice.alone_opened();
    let (ticket, _) = wait(&mut slice, 5);
    assert_eq!(slice.alone_died(MS), After::Open);
    slice.open_alone_for(ticket);
    assert_eq!((counts(&ledger, &slice), slice.opening(), slice.waiting()), ((1, 1, 1), 0, 0));
    assert_eq!(slice.alone_failed(MS, true), After::Nothing, "the server still has it");
    assert_eq!((counts(&ledger, &slice), slice.leaving()), ((1, 0, 0), 1));
    assert_eq!(slice.left(MS), After::Nothing);
    assert!(slice.open_alone(2 * MS), "a failure keeps nobody from trying");
    assert_eq!(slice.alone_failed(2 * MS, false), After::Nothing);
    assert_eq!((counts(&ledger, &slice), slice.is_unused(), slice.check()), ((0, 0, 0), true, Ok(())));
}

/// What is opened for one client alone is nothing that another may wait for.
#[test]
fn others_are_opened_for_beside_it() {
    let (_, mut slice) = slice(2);
    let (first, then) = wait(&mut slice, 5);
    assert_eq!(then, After::Open);
    assert_eq!(slice.first_waiter(), Some(5));
    assert_eq!(wait(&mut slice, 6).1, After::Open, "the second permit");
    slice.open_alone_for(first);
    assert_eq!((slice.first_waiter(), slice.waiting(), slice.opening(), slice.alone()), (Some(6), 1, 1, 1));
    assert_eq!(slice.opened(9, MS), Checkin::Serve { client: 6, link: 9, waited_since: 0 });
    assert_eq!(slice.check(), Ok(()));
}

#[test]
fn who_got_a_server_that_he_cannot_use_inherits_its_permit() {
    let gate = Arc::new(Gate::new(1));
    let ledger = Arc::new(Ledger::behind(gate.clone(), 1, 1));
    let mut slice = Slice::new(ledger.clone(), 0, Rules::default());
    assert!(slice.wanted_extra(1, 0));
    assert_eq!(slice.opened(3, 0), Checkin::Idle { timer: None });
    assert!(!slice.open_alone(0), "the permit is the idle server's");
    assert_eq!(slice.checkout(5, 0), Checkout::Grant(3));
    slice.leave();
    assert_eq!(wait(&mut slice, 6).1, After::Nothing);
    assert!(gate.enter(), "somebody else is at the gate");
    slice.inherit_alone();
    assert_eq!((counts(&ledger, &slice), ledger.lasting(), slice.leaving()), ((1, 2, 1), 1, 0));
    slice.alone_opened();
    gate.leave();
    assert_eq!(slice.alone_died(MS), After::Open, "then it is the next one's turn");
}

#[test]
fn nobody_overtakes_who_waits_already_nor_a_pause() {
    let (ledger, mut slice) = slice(2);
    ledger.set_paused(true);
    assert!(!slice.open_alone(0), "the pool is paused");
    let (ticket, _) = wait(&mut slice, 5);
    ledger.set_paused(false);
    assert!(!slice.open_alone(0), "somebody is first");
    assert_eq!(slice.cancel_wait(ticket), Some(5));
    ledger.set_retry_at(10 * MS);
    assert!(!slice.open_alone(9 * MS), "the server could not be reached just now");
    assert!(slice.open_alone(10 * MS));
}

/// Two cores: a permit that is freed on one goes to who has waited longer on the other.
#[test]
fn a_permit_goes_to_who_has_waited_longest_on_any_core() {
    let ledger = Arc::new(Ledger::new(2, 1));
    let mut slices: Vec<Slice> = (0..2).map(|core| Slice::new(ledger.clone(), core, Rules::default())).collect();
    assert!(slices[0].open_alone(0));
    slices[0].alone_opened();
    let wait = |slice: &mut Slice, client, now| match slice.checkout(client, now) {
        Checkout::Wait { then, .. } => assert_eq!(then, After::Nothing),
        grant => panic!("{grant:?}"),
    };
    wait(&mut slices[1], 5, MS);
    wait(&mut slices[0], 6, 10 * MS);
    assert_eq!(slices[0].alone_died(20 * MS), After::Nudge { core: 1 }, "not the waiter of the core where it is free");
    // Until that one has taken it this one looks again, so that it is not forgotten should the other go.
    assert_eq!(slices[0].look(20 * MS), After::Timer { at: 23 * MS });
    assert!(!slices[0].open_alone(20 * MS));
    assert_eq!(slices[1].nudged(21 * MS), After::Open);
    assert_eq!(slices[0].look(23 * MS), After::Nothing);
    // Who waits as long as the other, but for a moment, takes it where it is.
    assert_eq!(slices[1].opened(9, 22 * MS), Checkin::Serve { client: 5, link: 9, waited_since: MS });
    wait(&mut slices[1], 7, 12 * MS);
    assert_eq!(slices[1].busy_died(30 * MS), After::Open);
}
