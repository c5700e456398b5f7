//! The client's reader: every cut of its bytes comes to the same, statements stay its own, and hostile headers end it.

use super::*;
use crate::session::Verdict;
use crate::session::exchange::{Reply, Status};
use crate::wire::client::{describe_statement, parse, query, sync, terminate};

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
            assert_eq!((desk.client.requests, desk.client.unnamed.tag), (whole.client.requests, whole.client.unnamed.tag), "cut at {cut}");
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
    // A server on which another client left its own has not.
    desk.hear(b"2Z");
    desk.link.as_mut().expect("a server").unnamed = 77;
    desk.say(&[bind(), synced()].concat());
    assert_eq!(desk.sent(), "PBS");
}

#[test]
fn two_clients_never_take_each_others_statement_for_theirs() {
    let (mut one, mut two) = (Client::new(PoolerMode::Transaction, 1), Client::new(PoolerMode::Transaction, 2));
    let mut link = Exchange::default();
    let mut out = Verdicts::default();
    one.on_bytes(&unnamed("SELECT 1"), Some(&mut link), &mut out);
    let first = link.unnamed;
    two.on_bytes(&unnamed("SELECT 1"), Some(&mut link), &mut out);
    assert!(first != 0 && link.unnamed != 0 && first != link.unnamed);
}

#[test]
fn an_unnamed_statement_that_is_not_there_is_the_servers_to_refuse() {
    // Whatever the server holds is closed first, so that its own error comes.
    let mut desk = Desk::attached();
    desk.link.as_mut().expect("a server").unnamed = 77;
    desk.say(&[bind(), synced()].concat());
    assert!(desk.to_server.starts_with(&framed(b'C', b"S\0")));
    assert_eq!(desk.sent(), "CBS");
    desk.hear(b"3EZ");
    for gone in [words(|out| query(out, b"").expect("short")), framed(b'C', b"S\0")] {
        let mut desk = Desk::attached();
        desk.say(&[unnamed("SELECT 1"), gone, bind(), synced()].concat());
        assert!(desk.sent().ends_with("CBS"));
    }
    // A Parse that failed leaves none, seen at the next message or when the server goes back.
    for back in [false, true] {
        let mut desk = Desk::attached();
        desk.say(&[unnamed("SELEC"), synced()].concat());
        desk.hear(b"EZ");
        if back {
            desk.change(Some(Exchange::default()));
        }
        desk.say(&[bind(), synced()].concat());
        assert_eq!(desk.sent(), "PSCBS");
    }
    // One that is too large to keep can be bound where it is, and nowhere else.
    let mut desk = Desk::attached();
    let large = unnamed(&"x".repeat(UNNAMED_MAX));
    desk.say(&large[..100]);
    assert_eq!(desk.to_server.len(), 100, "it is not held back");
    desk.say(&[&large[100..], &bind(), &synced()].concat());
    assert_eq!(desk.sent(), "PBS");
    desk.hear(b"12Z");
    desk.change(Some(Exchange::default()));
    desk.say(&[bind(), synced()].concat());
    assert_eq!(desk.sent(), "CBS");
}

#[test]
fn what_the_server_skips_changes_nothing() {
    for skipped in [unnamed("SELECT 2"), words(|out| query(out, b"").expect("short")), framed(b'C', b"S\0"), bind()] {
        let mut desk = Desk::attached();
        desk.say(&[unnamed("SELECT 1"), synced()].concat());
        desk.hear(b"1Z");
        let mut other = Exchange::default();
        other.sent(b'E');
        other.unnamed = 77;
        assert_eq!(other.received(b'E'), Reply::Forward);
        desk.change(Some(other));
        desk.to_server.clear();
        desk.say(&[skipped, synced()].concat());
        assert_eq!(desk.sent().len(), 2, "nothing of ours comes in between");
        desk.hear(b"Z");
        assert_eq!(desk.link.as_ref().map(|link| link.unnamed), Some(77));
        desk.say(&[bind(), synced()].concat());
        assert!(desk.to_server.starts_with(&unnamed("SELECT 1")));
    }
}

#[test]
fn names_are_refused_in_transaction_mode_only() {
    for (message, refused) in [
        (framed(b'P', b"a\0SELECT 1\0\0\0"), true),
        (framed(b'B', b"\0a\0\0\0\0\0\0\0"), true),
        (framed(b'D', b"Sa\0"), true),
        (framed(b'C', b"Sa\0"), false),
        (framed(b'D', b"Pa\0"), false),
        (framed(b'C', b"Pa\0"), false),
        (framed(b'E', b"a\0\0\0\0\0"), false),
        (framed(b'P', &[&[b'n'; 2000][..], b"\0SELECT 1\0\0\0"].concat()), true),
    ] {
        for cut in 0..message.len() {
            let mut desk = Desk::attached();
            desk.say(&message[..cut]);
            assert_eq!(desk.say(&message[cut..]), Stop::More);
            let expected = if refused { words(refused_message) } else { message.clone() };
            assert_eq!(desk.to_server, expected, "{} cut at {cut}", message.escape_ascii());
        }
        let mut desk = Desk::new(PoolerMode::Session, Some(Exchange::default()));
        assert_eq!(desk.say(&message), Stop::More);
        assert_eq!(desk.to_server, message);
    }
    let failing = words(|out| describe_statement(out, b"pg_dog refuses").expect("short"));
    assert_eq!(words(refused_message), failing);
}

#[test]
fn hostile_headers_end_the_client() {
    let known = b"QPBDECHSFXdcf";
    for kind in (0..=255).filter(|kind| !known.contains(kind)) {
        for link in [None, Some(Exchange::default())] {
            let mut desk = Desk::new(PoolerMode::Transaction, link);
            // Refused at the first byte, whatever length it claims.
            assert_eq!(desk.say(&[kind]), Stop::Broken(Broken::Frame(FrameError::Kind(kind))));
            assert!(desk.to_server.is_empty());
        }
        assert_eq!(Broken::Frame(FrameError::Kind(kind)).code(), Some("08P01"));
    }
    for &kind in known {
        let short = [0, 1, 3, 0x8000_0000, 0xffff_ffff, 0x4000_0000];
        let small = if b"QPBFd".contains(&kind) { vec![] } else { vec![10_001, 70_000] };
        for length in short.into_iter().chain(small) {
            let mut desk = Desk::attached();
            let header = [&[kind][..], &u32::to_be_bytes(length)].concat();
            let stop = desk.say(&header);
            assert_eq!(stop, Stop::Broken(Broken::Frame(FrameError::Length { kind, length })), "{} {length}", char::from(kind));
            assert!(desk.to_server.is_empty());
        }
    }
    for (kind, body) in [(b'P', &b"no end"[..]), (b'B', b"no end"), (b'B', b"p\0no end"), (b'D', b""), (b'D', b"Sx"), (b'C', b"X\0"), (b'P', b"")] {
        let mut desk = Desk::attached();
        assert_eq!(desk.say(&framed(kind, body)), Stop::Broken(Broken::Malformed(kind)), "{} {}", char::from(kind), body.escape_ascii());
        assert_eq!(Broken::Malformed(kind).code(), Some("08P01"));
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

/// A server that skipped the Parse holds another client's statement still.
#[test]
fn a_parse_that_may_have_been_skipped_is_not_relied_upon() {
    let use_it = [bind(), framed(b'D', b"S\0")];
    for (replies, then) in [(&b"EZ"[..], "CBS"), (b"2EZ", "CBS"), (b"2C12CZ", "BS")] {
        for first in &use_it {
            let mut desk = Desk::attached();
            desk.link.as_mut().expect("a server").unnamed = 77;
            let execute = framed(b'E', b"missing\0\0\0\0\0");
            // Within its own batch it is either carried out with what follows, or skipped with it.
            assert_eq!(desk.say(&[bind(), execute.clone(), unnamed("SELECT 1"), bind(), execute, synced()].concat()), Stop::More);
            assert_eq!(desk.sent(), "CBEPBES");
            assert_eq!(desk.say(&[first.clone(), synced()].concat()), Stop::Full);
            assert_eq!((desk.sent().as_str(), desk.held.len()), ("", first.len() + 5));
            desk.hear(b"3");
            desk.hear(replies);
            assert_eq!(desk.say(b""), Stop::More);
            assert_eq!(desk.sent(), then.replace('B', if first[0] == b'B' { "B" } else { "D" }), "after {}", replies.escape_ascii());
        }
    }
    // One of our own is sent once more: the client has it, whatever became of the first.
    let mut desk = Desk::attached();
    desk.say(&[unnamed("SELECT 1"), synced()].concat());
    desk.hear(b"1Z");
    desk.change(Some(Exchange::default()));
    desk.sent();
    assert_eq!(desk.say(&[bind(), synced(), bind(), synced()].concat()), Stop::More);
    assert_eq!(desk.sent(), "PBSPBS");
    desk.hear(b"12Z12Z");
    assert_eq!(desk.say(&[bind(), synced()].concat()), Stop::More);
    assert_eq!(desk.sent(), "BS");
}
