//! The simulated machine keeps the manners it promises, and notices who breaks them.

use super::super::{BufferId, Completion, Door};
use super::*;
use crate::io::{Op, Segment};

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5432);

fn token(op: Op, slot: u32) -> Token {
    Token::new(op, 1, slot)
}

fn segment(bytes: &[u8]) -> Segment {
    Segment { at: bytes.as_ptr(), len: bytes.len() }
}

fn tight() -> Limits {
    Limits { client_buffers: (2, 8), server_buffers: (1, 8), socket: (32, 32), completions: 64, submissions: 64, trace: 50 }
}

fn turn(door: &mut SimDoor) -> Vec<Completion> {
    let mut out = Vec::new();
    door.turn(true, &mut out).expect("a simulated turn does not fail");
    out
}

/// Turns until something comes, moving time when nothing else can.
fn until(world: &World, door: &mut SimDoor) -> Vec<Completion> {
    for _ in 0..10_000 {
        let out = turn(door);
        if !out.is_empty() {
            return out;
        }
        if let Some(at) = world.next_event() {
            world.advance_to(at);
        }
    }
    panic!("nothing ever happens");
}

/// A world of one core with one accepted client.
fn one_client(seed: u64, faults: Faults, limits: Limits) -> (World, SimDoor, Fd, PeerId) {
    let world = World::new(seed, 1, faults, limits);
    let mut door = world.door(0);
    let listener = world.listen(0);
    let peer = world.connect_client(0);
    door.accept(listener, token(Op::Accept, 0));
    let accepted = until(&world, &mut door);
    assert_eq!((accepted.len(), accepted[0].token.op(), accepted[0].more), (1, Op::Accept, true));
    (world, door, accepted[0].res, peer)
}

fn read(door: &SimDoor, completion: &Completion) -> Vec<u8> {
    let at = door.bytes(completion.buffer.expect("data lies in a buffer"));
    // SAFETY: the buffer was just handed out and holds `res` bytes.
    unsafe { std::slice::from_raw_parts(at, completion.res as usize) }.to_vec()
}

#[test]
fn received_bytes_come_in_order_and_whole_then_the_end() {
    for seed in 0..50 {
        let faults = Faults { torn_recv: 300, late_recv: 300, latency_ns: 10_000, ..Faults::default() };
        let (world, mut door, fd, peer) = one_client(seed, faults, tight());
        door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
        let sent: Vec<u8> = (0..=255).collect();
        let (mut written, mut got) = (0, Vec::new());
        let mut ended = false;
        while !ended {
            written += world.peer_write(peer, &sent[written..]);
            if written == sent.len() && !world.peer_gone(peer) {
                world.peer_half_close(peer);
            }
            let out = until(&world, &mut door);
            let mut kept = Vec::new();
            for completion in &out {
                match completion.res {
                    0 => (ended = true, assert!(!completion.more)).0,
                    res if res == -libc::ENOBUFS => assert!(!completion.more),
                    _ => (got.extend(read(&door, completion)), kept.push(completion.buffer.expect("checked"))).0,
                }
            }
            kept.into_iter().for_each(|buffer| door.recycle(buffer));
            if out.iter().any(|completion| completion.res == -libc::ENOBUFS) {
                door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
            }
        }
        assert_eq!(got, sent, "seed {seed}");
        door.close(fd);
        turn(&mut door);
        world.advance_to(world.now() + 10_000);
        assert_eq!((world.open_sockets(), world.peer_read(peer, 9)), (0, PeerRead::End));
    }
}

#[test]
fn without_a_free_buffer_the_recv_ends() {
    let (world, mut door, fd, peer) = one_client(1, Faults::default(), tight());
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    assert_eq!(world.peer_write(peer, &[7; 24]), 24);
    let out = turn(&mut door);
    let seen: Vec<(i32, bool)> = out.iter().map(|one| (one.res, one.more)).collect();
    assert_eq!(seen, [(8, true), (8, true), (-libc::ENOBUFS, false)]);
    assert_eq!(world.held(0, Group::Clients), 2);
}

#[test]
fn a_send_says_nothing_when_it_went_out_and_how_far_it_came_otherwise() {
    let (world, mut door, fd, peer) = one_client(1, Faults::default(), tight());
    let bytes: Vec<u8> = (0..40).collect();
    door.send(fd, &[segment(&bytes[..10]), segment(&bytes[10..20])], token(Op::Unsent, 1));
    assert!(world.core_runnable(0) && turn(&mut door).is_empty());
    assert!(!world.core_runnable(0));
    door.send(fd, &[segment(&bytes[20..])], token(Op::Unsent, 1));
    let out = turn(&mut door);
    assert_eq!((out.len(), out[0].token.op(), out[0].res, out[0].more), (1, Op::Unsent, 12, false));
    door.send(fd, &[segment(&bytes[32..])], token(Op::Unsent, 1));
    assert_eq!(turn(&mut door)[0].res, -libc::EAGAIN);
    door.send_wait(fd, segment(&bytes[32..]), token(Op::Sent, 1));
    assert!(turn(&mut door).is_empty());
    assert_eq!(world.peer_read(peer, 100), PeerRead::Bytes(bytes[..32].to_vec()));
    assert!(world.core_runnable(0));
    assert_eq!(turn(&mut door)[0].res, 8);
    assert_eq!(world.peer_read(peer, 100), PeerRead::Bytes(bytes[32..].to_vec()));
}

#[test]
fn refused_and_short_sends_lose_nothing() {
    for seed in 0..50 {
        let faults = Faults { short_send: 500, refused_send: 300, ..Faults::default() };
        let (world, mut door, fd, peer) = one_client(seed, faults, Limits { completions: 1, ..tight() });
        let bytes: Vec<u8> = (0..200).collect();
        let (mut out, mut got) = (0, Vec::new());
        while got.len() < bytes.len() {
            if out < bytes.len() {
                door.send(fd, &[segment(&bytes[out..])], token(Op::Unsent, 1));
                let back = turn(&mut door);
                out = match back.iter().find(|one| one.token.op() == Op::Unsent).map(|one| one.res) {
                    None => bytes.len(),
                    Some(res) => out + res.max(0) as usize,
                };
            }
            if let PeerRead::Bytes(some) = world.peer_read(peer, 5) {
                got.extend(some);
            }
        }
        assert_eq!(got, bytes, "seed {seed}");
    }
}

#[test]
fn a_core_that_does_not_wait_is_not_parked_and_must_not_spin() {
    let world = World::new(1, 1, Faults::default(), tight());
    let mut door = world.door(0);
    assert!(turn(&mut door).is_empty() && !world.core_runnable(0));
    door.turn(false, &mut Vec::new()).expect("a simulated turn does not fail");
    assert!(world.core_runnable(0));
    let spun = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (0..30_000).try_for_each(|_| door.turn(false, &mut Vec::new()))));
    assert!(spun.expect_err("spinning is noticed").downcast::<String>().expect("with a text").contains("turns and turns"));
}

#[test]
fn a_cancelled_recv_ends_late_and_leaves_the_rest_in_the_socket() {
    let faults = Faults { late_last: 1000, late_last_ns: 1_000_000, ..Faults::default() };
    let world = World::new(3, 2, faults, tight());
    let (mut one, mut two) = (world.door(0), world.door(1));
    world.serve(SERVER, Answer::Accept);
    let fd = one.connect(&SERVER.into(), token(Op::Connect, 5)).expect("no fault was asked for");
    assert_eq!(until(&world, &mut one)[0].res, 0);
    let peer = world.accepted(SERVER).expect("it connected");
    one.recv(fd, Group::Servers, token(Op::ServerRecv, 5));
    assert!(turn(&mut one).is_empty());
    one.cancel(token(Op::ServerRecv, 5));
    assert!(turn(&mut one).is_empty());
    world.peer_write(peer, b"left");
    let last = until(&world, &mut one);
    assert_eq!((last.len(), last[0].res, last[0].more, last[0].token), (1, -libc::ECANCELED, false, token(Op::ServerRecv, 5)));
    two.recv(fd, Group::Servers, token(Op::ServerRecv, 9));
    let out = until(&world, &mut two);
    assert_eq!((read(&two, &out[0]), out[0].token.slot()), (b"left".to_vec(), 9));
}

#[test]
fn connects_are_refused_answered_or_never() {
    let world = World::new(1, 1, Faults::default(), tight());
    let mut door = world.door(0);
    let lost = door.connect(&SERVER.into(), token(Op::Connect, 1)).expect("no fault was asked for");
    assert_eq!(turn(&mut door)[0].res, -libc::ECONNREFUSED);
    door.close(lost);
    world.serve(SERVER, Answer::Silent);
    let silent = door.connect(&SERVER.into(), token(Op::Connect, 2)).expect("no fault was asked for");
    assert!(turn(&mut door).is_empty() && world.next_event().is_none());
    door.cancel(token(Op::Connect, 2));
    assert_eq!(until(&world, &mut door)[0].res, -libc::ECANCELED);
    door.close(silent);
    let shut = door.connect(&SERVER.into(), token(Op::Connect, 3)).expect("no fault was asked for");
    assert!(turn(&mut door).is_empty());
    door.shutdown(shut);
    assert_eq!(turn(&mut door)[0].res, -libc::ECONNRESET);
    door.close(shut);
    turn(&mut door);
    assert_eq!(world.open_sockets(), 0);
    let none = World::new(1, 1, Faults { no_socket: 1000, ..Faults::default() }, tight()).door(0).connect(&SERVER.into(), token(Op::Connect, 1));
    assert_eq!(none.map_err(|error| error.raw_os_error()), Err(Some(libc::EMFILE)));
}

#[test]
fn alarms_ring_when_time_has_come_and_wakes_cross_cores() {
    let world = World::new(1, 2, Faults::default(), tight());
    let (mut one, mut two) = (world.door(0), world.door(1));
    one.alarm(1_000_000, token(Op::Alarm, 0));
    one.wake(1);
    assert!(turn(&mut two).is_empty() && !world.core_runnable(1));
    assert!(turn(&mut one).is_empty());
    assert!(world.core_runnable(1));
    assert_eq!(turn(&mut two)[0].token.op(), Op::Wake);
    assert_eq!(world.next_event(), Some(1_000_000));
    assert!(!world.core_runnable(0));
    world.advance_to(1_000_000);
    let out = turn(&mut one);
    assert_eq!((out[0].token.op(), one.now() > 1_000_000), (Op::Alarm, true));
}

#[test]
fn a_small_completion_queue_keeps_the_order() {
    let world = World::new(5, 1, Faults::default(), Limits { completions: 2, ..tight() });
    let mut door = world.door(0);
    (0..8).for_each(|slot| door.alarm(0, token(Op::Alarm, slot)));
    let (mut got, mut turns) = (Vec::new(), 0);
    while got.len() < 8 {
        let out = turn(&mut door);
        assert!(out.len() <= 2);
        got.extend(out.iter().map(|one| one.token.slot()));
        turns += 1;
    }
    got.sort_unstable();
    assert_eq!((got, turns >= 4), ((0..8).collect(), true));
    // Data and what becomes of sends is not kept back.
    let (world, mut door, fd, peer) = one_client(5, Faults::default(), Limits { client_buffers: (8, 1), completions: 1, ..tight() });
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    world.peer_write(peer, b"abcdefgh");
    assert_eq!(turn(&mut door).iter().flat_map(|one| read(&door, one)).collect::<Vec<u8>>(), b"abcdefgh");
}

#[test]
fn a_peer_that_vanishes_is_seen_as_linux_shows_it() {
    let (world, mut door, fd, peer) = one_client(1, Faults::default(), tight());
    let bytes = [1u8; 8];
    world.peer_close(peer);
    // The first send after the end goes out and brings a reset; later ones break.
    door.send(fd, &[segment(&bytes)], token(Op::Unsent, 1));
    assert!(turn(&mut door).is_empty());
    door.send(fd, &[segment(&bytes)], token(Op::Unsent, 1));
    assert_eq!(turn(&mut door)[0].res, -libc::EPIPE);
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    assert_eq!(turn(&mut door)[0].res, -libc::ECONNRESET);

    let (world, mut door, fd, peer) = one_client(1, Faults::default(), tight());
    world.peer_write(peer, b"unread");
    door.shutdown(fd);
    assert_eq!(world.peer_read(peer, 9), PeerRead::End);
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    let seen: Vec<i32> = turn(&mut door).iter().map(|one| one.res).collect();
    assert_eq!(seen, [6, 0]);
}

#[test]
fn a_closed_listener_breaks_who_was_not_accepted() {
    let world = World::new(1, 1, Faults::default(), tight());
    let mut door = world.door(0);
    let listener = world.listen(0);
    let early = world.connect_client(0);
    assert_eq!(world.peer_read(early, 1), PeerRead::Empty);
    door.close(listener);
    turn(&mut door);
    let late = world.connect_client(0);
    assert_eq!([world.peer_read(early, 1), world.peer_read(late, 1)], [PeerRead::Reset, PeerRead::Reset]);
}

/// Runs a scripted echo of one client and returns the world's digest.
fn echo(seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let (faults, limits) = (Faults::seeded(&mut dice), Limits { submissions: 3, ..Limits::seeded(&mut dice) });
    let (world, mut door, fd, peer) = one_client(seed, faults, limits);
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    let (mut written, mut echoed) = (0, Vec::new());
    let sent: Vec<u8> = (0..2000).map(|at| at as u8).collect();
    while echoed.len() < sent.len() {
        written += world.peer_write(peer, &sent[written..]);
        let mut bytes = Vec::new();
        for completion in turn(&mut door) {
            if let Some(buffer) = completion.buffer {
                bytes.extend(read(&door, &completion));
                door.recycle(buffer);
            } else if completion.token.op() == Op::ClientRecv {
                door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
            }
        }
        let mut out = 0;
        while out < bytes.len() {
            door.send(fd, &[segment(&bytes[out..])], token(Op::Unsent, 1));
            let (mut rest, mut back) = (bytes.len(), Vec::new());
            door.turn(false, &mut back).expect("a simulated turn does not fail");
            for completion in back {
                match (completion.token.op(), completion.buffer) {
                    (Op::Unsent, _) => rest = out + completion.res.max(0) as usize,
                    (_, Some(buffer)) => (bytes.extend(read(&door, &completion)), door.recycle(buffer)).0,
                    _ => door.recv(fd, Group::Clients, token(Op::ClientRecv, 1)),
                }
            }
            // What was received meanwhile moved the memory, so the next round names it anew.
            out = rest;
            if let PeerRead::Bytes(some) = world.peer_read(peer, 5000) {
                echoed.extend(some);
            }
            world.next_event().into_iter().for_each(|at| world.advance_to(at));
        }
        if let PeerRead::Bytes(some) = world.peer_read(peer, 5000) {
            echoed.extend(some);
        }
        world.next_event().into_iter().for_each(|at| world.advance_to(at));
    }
    assert_eq!(echoed, sent, "seed {seed}");
    world.digest()
}

#[test]
fn a_seed_is_a_world() {
    let first: Vec<u64> = (0..40).map(echo).collect();
    let again: Vec<u64> = (0..40).map(echo).collect();
    assert_eq!(first, again);
    let different: std::collections::BTreeSet<u64> = first.iter().copied().collect();
    assert_eq!(different.len(), 40);
}

/// Every way to misuse the door that must be noticed: what the panic says, and how it is done.
#[test]
fn misuse_is_noticed() {
    type Misuse = fn(&World, &mut SimDoor, Fd, PeerId);
    let cases: [(&str, Misuse); 12] = [
        ("closed", |_, door, fd, _| {
            door.close(fd);
            turn(door);
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
        }),
        ("a recv pending", |_, door, fd, _| {
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
            turn(door);
            door.close(fd);
        }),
        ("closed twice", |_, door, fd, _| {
            door.close(fd);
            door.close(fd);
        }),
        ("does not hold it", |_, door, _, _| door.recycle(BufferId { group: Group::Clients, index: 0 })),
        ("does not hold it", |world, door, fd, peer| {
            let buffer = received(world, door, fd, peer);
            door.recycle(buffer);
            door.recycle(buffer);
        }),
        ("kept beyond the turn", |world, door, fd, peer| {
            received(world, door, fd, peer);
            turn(door);
            world.check();
        }),
        ("was given back", |world, door, fd, peer| {
            let buffer = received(world, door, fd, peer);
            let at = door.bytes(buffer);
            door.send(fd, &[Segment { at, len: 3 }], token(Op::Unsent, 1));
            door.recycle(buffer);
            turn(door);
        }),
        ("a second send", |_, door, fd, _| {
            door.send(fd, &[segment(b"one")], token(Op::Unsent, 1));
            door.send(fd, &[segment(b"two")], token(Op::Unsent, 1));
        }),
        ("which an unfinished operation has", |_, door, fd, _| {
            door.send_wait(fd, segment(b"one"), token(Op::ClientRecv, 1));
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
        }),
        ("on which another is at work", |_, door, fd, _| {
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
            turn(door);
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 2));
        }),
        ("tells the group by the token", |_, door, fd, _| door.recv(fd, Group::Servers, token(Op::ClientRecv, 1))),
        ("still has a recv at work", |world, door, fd, _| {
            door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
            turn(door);
            SimDoor::new(1, world.0.clone()).send(fd, &[segment(b"mine")], token(Op::Unsent, 1));
        }),
    ];
    for (says, misuse) in cases {
        let done = std::panic::catch_unwind(|| {
            let (world, mut door, fd, peer) = one_client(1, Faults::default(), tight());
            misuse(&world, &mut door, fd, peer);
        });
        let message = done.expect_err(says).downcast::<String>().expect("the door panics with a text");
        assert!(message.contains(says) && message.contains("seed 1"), "expected {says:?}, got {message:?}");
    }
}

fn received(world: &World, door: &mut SimDoor, fd: Fd, peer: PeerId) -> BufferId {
    door.recv(fd, Group::Clients, token(Op::ClientRecv, 1));
    world.peer_write(peer, b"abc");
    turn(door)[0].buffer.expect("data lies in a buffer")
}
