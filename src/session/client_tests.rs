//! The client's reader: every cut of its bytes comes to the same, statements stay its own, and hostile headers end it.

use super::*;
use crate::session::Verdict;
use crate::session::exchange::{Reply, Status};
use crate::wire::client::{parse, query, sync, terminate};

/// A client with what the engine does for it: bytes held, words carried out.
struct Desk {
    client: Client,
    link: Option<Exchange>,
    held: Vec<u8>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Desk {
    fn new(mode: PoolerMode, link: Option<Exchange>) -> Desk {
        Desk { client: Client::new(mode, 3), link, held: Vec::new(), to_server: Vec::new(), to_client: Vec::new() }
    }

    fn attached() -> Desk {
        Desk::new(PoolerMode::Transaction, Some(Exchange::default()))
    }

    fn say(&mut self, bytes: &[u8]) -> Stop {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut out = Verdicts::default();
        let (consumed, stop) = self.client.on_bytes(&held, self.link.as_mut(), &mut out);
        for verdict in &out.list {
            match verdict {
                Verdict::Forward(range) => self.to_server.extend_from_slice(&held[range.clone()]),
                Verdict::ToServer(range) => self.to_server.extend_from_slice(&out.words[range.clone()]),
                Verdict::ToClient(range) => self.to_client.extend_from_slice(&out.words[range.clone()]),
            }
        }
        self.held = held[consumed..].to_vec();
        stop
    }

    /// What it sent to the server since the last call, as types.
    fn sent(&mut self) -> String {
        let mut kinds = String::new();
        let bytes = std::mem::take(&mut self.to_server);
        let mut at = 0;
        while let Ok(Some(header)) = frame::client_header(&bytes[at..]) {
            kinds.push(char::from(header.kind));
            at += header.total();
        }
        assert_eq!(at, bytes.len(), "whole messages");
        kinds
    }

    fn hear(&mut self, replies: &[u8]) {
        let link = self.link.as_mut().expect("a server");
        for &kind in replies {
            let reply = if kind == b'Z' { link.ready(Status::Idle) } else { link.received(kind) };
            assert_ne!(reply, Reply::OutOfStep, "{}", char::from(kind));
        }
    }

    /// Another server is at hand, or none.
    fn change(&mut self, link: Option<Exchange>) -> Option<Exchange> {
        if let Some(old) = self.link.as_mut() {
            self.client.detached(old);
        }
        std::mem::replace(&mut self.link, link)
    }
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn unnamed(text: &str) -> Vec<u8> {
    words(|out| parse(out, b"", text.as_bytes(), &[]).expect("short"))
}

fn bind() -> Vec<u8> {
    framed(b'B', b"\0\0\0\0\0\0\0\0")
}

fn synced() -> Vec<u8> {
    words(sync)
}

/// A server that holds another client's statement.
fn foreign() -> Exchange {
    Exchange { unnamed: 77, ..Exchange::default() }
}

/// A conversation with everything in it.
fn conversation() -> Vec<u8> {
    [
        words(|out| query(out, b"SELECT 1").expect("short")),
        bind(),
        synced(),
        unnamed("SELECT $1"),
        bind(),
        framed(b'E', b"\0\0\0\0\0"),
        framed(b'H', b""),
        framed(b'D', b"P\0"),
        framed(b'D', b"S\0"),
        framed(b'D', b"Sname\0"),
        framed(b'C', b"S\0"),
        framed(b'C', b"Sname\0"),
        framed(b'P', b"name\0SELECT 2\0\0\0"),
        framed(b'B', b"portal\0name\0\0\0\0\0\0\0"),
        synced(),
        framed(b'd', b"1\n2\n"),
        framed(b'c', b""),
        framed(b'f', b"why\0"),
        framed(b'F', b"\0\0\0\xb1\0\0\0\0\0\0"),
        unnamed(&"x".repeat(300)),
        bind(),
        synced(),
    ]
    .concat()
}

#[test]
fn every_cut_comes_to_the_same() {
    let bytes = conversation();
    for mode in [PoolerMode::Transaction, PoolerMode::Session] {
        let whole = {
            let mut desk = Desk::new(mode, Some(Exchange::default()));
            assert_eq!(desk.say(&bytes), Stop::More);
            assert!(desk.held.is_empty() && desk.client.at_boundary());
            desk
        };
        assert_eq!(whole.to_server == bytes, mode == PoolerMode::Session, "a session's bytes go on as they are");
        for cut in 0..=bytes.len() {
            let mut desk = Desk::new(mode, Some(Exchange::default()));
            assert_eq!((desk.say(&bytes[..cut]), desk.say(&bytes[cut..])), (Stop::More, Stop::More));
            assert!(desk.to_server == whole.to_server && desk.to_client == whole.to_client, "cut at {cut}");
            assert_eq!(desk.client.requests, whole.client.requests, "cut at {cut}");
        }
        let mut desk = Desk::new(mode, Some(Exchange::default()));
        bytes.iter().for_each(|&byte| assert_eq!(desk.say(&[byte]), Stop::More));
        assert_eq!(desk.to_server, whole.to_server);
    }
}

#[test]
fn without_a_server_only_sync_is_answered() {
    let alone = [framed(b'H', b""), framed(b'd', b"x"), framed(b'c', b""), framed(b'f', b"\0"), synced(), synced()].concat();
    for cut in 0..=alone.len() {
        let mut desk = Desk::new(PoolerMode::Transaction, None);
        desk.say(&alone[..cut]);
        assert_eq!(desk.say(&alone[cut..]), Stop::More);
        assert_eq!((desk.to_client.as_slice(), desk.client.requests), (&b"Z\0\0\0\x05IZ\0\0\0\x05I"[..], 2));
    }
    for kind in *b"QPBDECF" {
        let mut desk = Desk::new(PoolerMode::Transaction, None);
        let message = framed(kind, b"\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(desk.say(&message), Stop::Want);
        assert_eq!(desk.held, message, "it is read again when a server is there");
    }
    let mut desk = Desk::attached();
    assert_eq!(desk.say(&[synced(), words(terminate)].concat()), Stop::Terminate);
    assert_eq!(desk.sent(), "S");
}

#[test]
fn a_refused_request_is_passed_over() {
    let query = words(|out| query(out, b"SELECT 1").expect("short"));
    let mut desk = Desk::new(PoolerMode::Transaction, None);
    assert_eq!(desk.say(&[query.clone(), synced()].concat()), Stop::Want);
    let consumed = desk.client.refuse_request(&desk.held.clone());
    desk.held.drain(..consumed);
    assert_eq!((desk.say(b""), desk.to_client.as_slice()), (Stop::More, &b"Z\0\0\0\x05I"[..]));
    // One of the extended protocol takes everything to its Sync with it.
    let mut desk = Desk::new(PoolerMode::Transaction, None);
    assert_eq!(desk.say(&[unnamed("SELECT 1"), bind()].concat()), Stop::Want);
    assert_eq!(desk.client.refuse_request(&desk.held.clone()), 0);
    assert_eq!(desk.say(&[query.clone(), bind()].concat()), Stop::More);
    assert!(desk.held.is_empty() && desk.to_client.is_empty());
    assert_eq!(desk.say(&[synced(), query].concat()), Stop::Want);
    assert_eq!(desk.to_client, b"Z\0\0\0\x05I");
}

/// A transaction that no server knows of fails like any other: what follows in it must not be carried out by itself.
#[test]
fn a_refused_request_fails_its_transaction() {
    let said = |text: &str| words(|out| query(out, text.as_bytes()).expect("short"));
    let mut desk = Desk::new(PoolerMode::Transaction, None);
    assert_eq!(desk.say(&[said("BEGIN"), said("SELECT 1")].concat()), Stop::Want);
    let consumed = desk.client.refuse_request(&desk.held.clone());
    desk.held.drain(..consumed);
    assert_eq!((desk.client.status(), desk.say(&synced())), (b'E', Stop::More));
    assert!(desk.to_client.ends_with(b"Z\0\0\0\x05E"));
    assert_eq!(desk.say(&said("SELECT 2")), Stop::Want);
    desk.link = Some(Exchange::default());
    assert_eq!((desk.say(b""), desk.sent()), (Stop::More, "QQQ".to_string()), "the transaction fails there first");
    for (replies, status) in [("C", Status::InTransaction), ("E", Status::Failed)] {
        let link = desk.link.as_mut().expect("a server");
        replies.bytes().for_each(|kind| assert_eq!(link.received(kind), Reply::Swallow));
        assert_eq!(link.ready(status), Reply::Swallow);
    }
    // At its end nothing is left of it.
    let mut desk = Desk::new(PoolerMode::Transaction, None);
    desk.say(&[said("BEGIN"), unnamed("SELECT 1")].concat());
    assert_eq!(desk.client.refuse_request(&desk.held.clone()), 0);
    desk.say(&[synced(), said("COMMIT")].concat());
    assert!(desk.to_client.ends_with(b"Z\0\0\0\x05EC\0\0\0\rROLLBACK\0Z\0\0\0\x05I"));
    assert_eq!(desk.client.status(), b'I');
}

#[test]
fn the_unnamed_statement_follows_its_client() {
    let mut desk = Desk::attached();
    desk.say(&[unnamed("SELECT 1"), synced()].concat());
    assert_eq!(desk.sent(), "PS");
    desk.hear(b"1Z");
    let first = desk.change(Some(Exchange::default()));
    // Another server has not got it: it is prepared there, once.
    desk.say(&[bind(), bind(), framed(b'D', b"S\0"), synced()].concat());
    assert!(desk.to_server.starts_with(&unnamed("SELECT 1")));
    assert_eq!(desk.sent(), "PBBDS");
    desk.hear(b"122tnZ");
    // The first one still has it.
    desk.change(first);
    desk.say(&[bind(), synced()].concat());
    assert_eq!(desk.sent(), "BS");
    desk.hear(b"2Z");
    // A server on which another client left its own has not.
    desk.change(Some(foreign()));
    desk.say(&[bind(), synced()].concat());
    assert_eq!(desk.sent(), "PBS");
}

/// What goes in front of the first message on a server that holds another client's statement, for a client that has one and for one that has none.
#[test]
fn anothers_statement_is_gone_before_it_could_be_met() {
    let malformed = framed(b'P', b"\0SELECT 1\0\0\x01");
    let foreign_text = unnamed("SELECT '\u{e9}'");
    for (message, with, without) in [
        (unnamed("SELECT 2"), "P", "P"),
        (foreign_text, "CP", "CP"),
        (malformed, "CP", "CP"),
        (bind(), "PB", "CB"),
        (framed(b'B', b"no end"), "PB", "CB"),
        (framed(b'D', b"S\0"), "PD", "CD"),
        (framed(b'D', b"P\0"), "PD", "CD"),
        (framed(b'D', b"X\0"), "PD", "CD"),
        (framed(b'E', b"\0\0\0\0\0"), "PE", "CE"),
        (framed(b'P', b"named\0SELECT 1\0\0\0"), "PP", "CP"),
        (framed(b'C', b"S\0"), "C", "C"),
        (framed(b'C', b"Pa\0"), "CC", "CC"),
        (framed(b'C', b"S\0more"), "CC", "CC"),
        (framed(b'C', b"X\0"), "PC", "CC"),
        (words(|out| query(out, b"SELECT 1").expect("short")), "Q", "Q"),
    ] {
        for (has, expected) in [(true, with), (false, without)] {
            let mut desk = Desk::attached();
            if has {
                desk.say(&[unnamed("SELECT 1"), synced()].concat());
                desk.hear(b"1Z");
            }
            desk.sent();
            desk.change(Some(foreign()));
            desk.say(&message);
            assert_eq!(desk.sent(), expected, "{} with {has}", message.escape_ascii());
            // Once is enough.
            desk.say(&bind());
            let again = if expected.ends_with(['Q']) || expected == "CC" { desk.sent().len() <= 2 } else { desk.sent() == "B" };
            assert!(again, "{}", message.escape_ascii());
        }
    }
}

#[test]
fn statements_in_statement_mode() {
    for begin in ["BEGIN", " /* x */ start\ttransaction", ";begin;"] {
        for cut in 0..40 {
            let mut desk = Desk::new(PoolerMode::Statement, Some(Exchange::default()));
            let message = words(|out| query(out, begin.as_bytes()).expect("short"));
            let cut = cut.min(message.len());
            desk.say(&message[..cut]);
            assert_eq!(desk.say(&message[cut..]), Stop::More);
            assert_eq!(desk.to_server, words(refused_query), "{begin} cut at {cut}");
            let link = desk.link.as_mut().expect("a server");
            assert_eq!(link.received(b'E'), Reply::Refuse(Refusal::Begins));
            assert_eq!((link.ready(Status::Idle), link.is_free(), desk.client.requests), (Reply::Forward, true, 1));
        }
        let mut desk = Desk::new(PoolerMode::Statement, Some(Exchange::default()));
        desk.say(&[unnamed(begin), bind(), framed(b'E', b"\0\0\0\0\0"), synced()].concat());
        assert_eq!(desk.sent(), "DBES");
        let link = desk.link.as_mut().expect("a server");
        assert_eq!(link.received(b'E'), Reply::Refuse(Refusal::Begins));
        assert_eq!((link.ready(Status::Idle), link.is_free()), (Reply::Forward, true));
    }
    // Everything else goes on, and in the other modes these do too.
    let long = format!("{}BEGIN", " ".repeat(LOOK_MAX));
    for (mode, text) in [
        (PoolerMode::Statement, "COMMIT"),
        (PoolerMode::Statement, "SELECT 1; BEGIN"),
        (PoolerMode::Statement, &long),
        (PoolerMode::Transaction, "BEGIN"),
        (PoolerMode::Session, "BEGIN"),
    ] {
        let mut desk = Desk::new(mode, Some(Exchange::default()));
        let bytes = [words(|out| query(out, text.as_bytes()).expect("short")), unnamed(text), synced()].concat();
        desk.say(&bytes);
        assert!(desk.to_server == bytes, "{mode:?} {text}");
    }
}

#[test]
fn hostile_headers_end_the_client() {
    let known = b"QPBDECHSFXdcf";
    for kind in (0..=255).filter(|kind| !known.contains(kind)) {
        for link in [None, Some(Exchange::default())] {
            let mut desk = Desk::new(PoolerMode::Transaction, link);
            // Refused at the first byte, whatever length it claims.
            assert_eq!(desk.say(&[kind]), Stop::Broken(FrameError::Kind(kind)));
            assert!(desk.to_server.is_empty());
        }
        assert_eq!(FrameError::Kind(kind).code(), Some("08P01"));
    }
    for &kind in known {
        let short = [0, 1, 3, 0x8000_0000, 0xffff_ffff, 0x4000_0000];
        let small = if b"QPBFd".contains(&kind) { vec![] } else { vec![10_001, 70_000] };
        for length in short.into_iter().chain(small) {
            let mut desk = Desk::attached();
            let header = [&[kind][..], &u32::to_be_bytes(length)].concat();
            let stop = desk.say(&header);
            assert_eq!(stop, Stop::Broken(FrameError::Length { kind, length }), "{} {length}", char::from(kind));
            assert!(desk.to_server.is_empty());
        }
    }
    // A whole message with a body that is none is the server's to refuse.
    for (kind, body) in [(b'P', &b"no end"[..]), (b'B', b"no end"), (b'B', b"p\0no end"), (b'D', b""), (b'D', b"Sx"), (b'C', b"X\0"), (b'P', b"")] {
        let mut desk = Desk::attached();
        assert_eq!(desk.say(&framed(kind, body)), Stop::More);
        assert_eq!(desk.to_server, framed(kind, body));
    }
}

#[test]
fn a_full_exchange_stops_the_client_and_loses_nothing() {
    let mut desk = Desk::attached();
    let burst = synced().repeat(crate::session::exchange::OUTSTANDING_MAX + 1);
    assert_eq!(desk.say(&burst), Stop::Full);
    assert_eq!(desk.held, synced());
    desk.hear(b"Z");
    assert_eq!(desk.say(b""), Stop::More);
    assert_eq!(desk.sent().len(), crate::session::exchange::OUTSTANDING_MAX + 1);
}

#[test]
fn a_question_of_ours_waits_for_the_end_of_a_message() {
    let mut desk = Desk::attached();
    let copy = [bind(), framed(b'E', b"\0\0\0\0\0"), synced(), framed(b'c', b""), synced()].concat();
    desk.say(&[unnamed("COPY t FROM STDIN"), copy].concat());
    let long = framed(b'f', b"a reason\0");
    desk.say(&long[..8]);
    desk.hear(b"12GEZ");
    assert!(!desk.link.as_ref().expect("a server").is_doubtful(), "not in the middle of a message");
    desk.say(&long[8..]);
    assert_eq!(desk.sent(), "PBEScSfCS");
    desk.hear(b"3Z");
    assert!(desk.link.as_ref().expect("a server").is_free());
}

#[test]
fn a_commit_is_outstanding_until_its_end() {
    for text in ["COMMIT", " commit;", "\n\tEnd", "END TRANSACTION", "COMMIT PREPARED 'x'", "Commit and chain"] {
        for bytes in [words(|out| query(out, text.as_bytes()).expect("short")), [unnamed(text), bind(), synced()].concat()] {
            let mut desk = Desk::attached();
            desk.say(&bytes);
            assert!(desk.link.as_ref().is_some_and(|link| link.committing), "{text}: {}", bytes.escape_ascii());
            let replies: &[u8] = if bytes[0] == b'Q' { b"CZ" } else { b"12Z" };
            desk.hear(&replies[..replies.len() - 1]);
            assert!(desk.link.as_ref().is_some_and(|link| link.committing), "{text} has not ended");
            desk.hear(b"Z");
            assert!(desk.link.as_ref().is_some_and(|link| !link.committing), "{text} has ended");
        }
    }
    for text in ["", "BEGIN", "SELECT 'COMMIT'", "COMMITS", "ending", "end_1", "COM"] {
        let mut desk = Desk::attached();
        desk.say(&words(|out| query(out, text.as_bytes()).expect("short")));
        assert!(desk.link.as_ref().is_some_and(|link| !link.committing), "{text}");
    }
}

/// A Parse behind an error in its batch leaves on a server what was there: that is this client's own by then, or nothing.
#[test]
fn a_parse_that_may_have_been_skipped_leaves_nothing_of_others() {
    for first in [bind(), framed(b'D', b"S\0")] {
        for (has, expected) in [(false, "CEPSBS"), (true, "PEPSBS")] {
            let mut desk = Desk::attached();
            if has {
                desk.say(&[unnamed("SELECT 0"), synced()].concat());
                desk.hear(b"1Z");
                desk.sent();
            }
            desk.change(Some(foreign()));
            let batch = [framed(b'E', b"missing\0\0\0\0\0"), unnamed("SELECT 1"), synced()].concat();
            assert_eq!(desk.say(&[batch, first.clone(), synced()].concat()), Stop::More, "nobody waits for replies");
            assert_eq!(desk.sent(), expected.replace("SB", if first[0] == b'B' { "SB" } else { "SD" }));
            desk.hear(if has { b"1EZ" } else { b"3EZ" });
            let held = desk.link.as_ref().expect("a server").unnamed;
            assert_eq!((held == 0, held == 77), (!has, false));
        }
    }
}
