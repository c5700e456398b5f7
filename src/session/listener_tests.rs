//! What is said, what is heard, and in which order; names as PostgreSQL has them.

use super::*;
use crate::wire::server;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn notification(pid: u32, channel: &str, payload: &str) -> Vec<u8> {
    message(b'A', &[&pid.to_be_bytes()[..], channel.as_bytes(), b"\0", payload.as_bytes(), b"\0"].concat())
}

fn done(tag: &str) -> Vec<u8> {
    let mut words = Vec::new();
    server::command_complete(&mut words, tag).unwrap();
    server::ready(&mut words, b'I');
    words
}

fn refusal(severity: &str) -> Vec<u8> {
    let mut words = Vec::new();
    server::error(&mut words, &server::ErrorFields { severity, code: "25006", message: "no", detail: None, hint: None });
    words
}

/// What is told of these bytes, as text, and how many were read.
fn told(listener: &mut Listener, bytes: &[u8]) -> (Vec<String>, Result<usize, OutOfStep>) {
    let mut all = Vec::new();
    let read = listener.on_bytes(bytes, &mut |told| {
        all.push(match told {
            Told::Done => "done".to_string(),
            Told::Refused(code, message) => format!("refused {code} {message}"),
            Told::Fatal(code, message) => format!("fatal {code} {message}"),
            Told::Notified { channel, frame } => format!("{} {}", String::from_utf8_lossy(channel), frame.len()),
        })
    });
    (all, read)
}

fn asked(listener: &mut Listener, ask: Ask) -> String {
    let mut words = Vec::new();
    listener.ask(&ask, &mut words);
    assert_eq!(words[0], b'Q');
    String::from_utf8(words[5..words.len() - 1].to_vec()).unwrap()
}

#[test]
fn names_are_quoted_so_that_they_mean_themselves() {
    let listener = &mut Listener::default();
    assert_eq!(asked(listener, Ask::Listen(b"a".as_slice().into())), "LISTEN \"a\"");
    assert_eq!(asked(listener, Ask::Listen(b"a\"; DROP TABLE x; --".as_slice().into())), "LISTEN \"a\"\"; DROP TABLE x; --\"");
    assert_eq!(asked(listener, Ask::Unlisten("Ä b".as_bytes().into())), "UNLISTEN \"Ä b\"");
    assert_eq!(asked(listener, Ask::Alive), ";");
}

#[test]
fn names_are_as_long_as_postgresql_keeps_them() {
    assert_eq!(truncated(b"abc"), b"abc");
    assert_eq!(truncated(&[b'x'; 63]), &[b'x'; 63][..]);
    assert_eq!(truncated(&[b'x'; 64]), &[b'x'; 63][..]);
    let wide = "ä".repeat(40);
    assert_eq!(truncated(wide.as_bytes()), "ä".repeat(31).as_bytes());
    let four = format!("{}😀", "x".repeat(61));
    assert_eq!(truncated(four.as_bytes()), "x".repeat(61).as_bytes());
    // Not UTF-8: cut all the same.
    assert_eq!(truncated(&[0x80; 70]).len(), CHANNEL_MAX - 4);
}

#[test]
fn answers_and_notifications_come_in_order() {
    let listener = &mut Listener::default();
    asked(listener, Ask::Listen(b"a".as_slice().into()));
    asked(listener, Ask::Alive);
    assert!(listener.waits());
    let empty = [message(b'I', b""), message(b'Z', b"I")].concat();
    let bytes = [notification(7, "a", "early"), done("LISTEN"), notification(7, "a", ""), empty, notification(7, "b", "x")].concat();
    // Whole, and cut at every place: the same is told.
    for cut in 0..=bytes.len() {
        let listener = &mut Listener::default();
        asked(listener, Ask::Listen(b"a".as_slice().into()));
        asked(listener, Ask::Alive);
        let (mut all, read) = told(listener, &bytes[..cut]);
        let read = read.unwrap();
        let (rest, last) = told(listener, &bytes[read..]);
        all.extend(rest);
        assert_eq!(read + last.unwrap(), bytes.len());
        assert_eq!(all, ["a 17", "done", "a 12", "done", "b 13"], "{cut}");
        assert!(!listener.waits());
    }
}

#[test]
fn refusals_and_the_end_are_told() {
    let listener = &mut Listener::default();
    asked(listener, Ask::Listen(b"a".as_slice().into()));
    let bytes = [refusal("ERROR"), message(b'Z', b"I"), refusal("FATAL")].concat();
    assert_eq!(told(listener, &bytes).0, ["refused 25006 no", "fatal 25006 no"]);
    assert!(!listener.waits());
}

#[test]
fn what_nobody_asked_for_ends_it() {
    for bytes in [done("LISTEN"), message(b'Z', b"I"), message(b'T', b""), message(b'A', b"123"), refusal("ERROR")] {
        let (all, read) = told(&mut Listener::default(), &bytes);
        assert!(all.is_empty() && read.is_err(), "{bytes:?}");
    }
    let listener = &mut Listener::default();
    asked(listener, Ask::Alive);
    // An answer twice, or none at all.
    assert!(told(listener, &[message(b'I', b""), message(b'I', b"")].concat()).1.is_err());
    let listener = &mut Listener::default();
    asked(listener, Ask::Alive);
    assert!(told(listener, &message(b'Z', b"I")).1.is_err());
    assert!(told(listener, &[b'A', 0x7f, 0, 0, 0]).1.is_err());
    assert!(told(listener, &[b'A', 0, 0, 0, 0]).1.is_err());
}

#[test]
fn no_more_is_asked_than_may_be_outstanding() {
    let listener = &mut Listener::default();
    for _ in 0..OUTSTANDING_MAX {
        assert!(listener.has_room());
        asked(listener, Ask::Alive);
    }
    assert!(!listener.has_room());
    told(listener, &[message(b'I', b""), message(b'Z', b"I")].concat()).1.unwrap();
    assert!(listener.has_room());
}
