//! The same, cut at every offset: what is consumed, and what is known afterwards, does not depend on where bytes are cut.

use super::*;

fn message(kind: u8, body: usize) -> Vec<u8> {
    let mut words = vec![kind];
    words.extend_from_slice(&(body as u32 + 4).to_be_bytes());
    words.resize(words.len() + body, b'x');
    words
}

/// Gives `bytes` in two parts, what was not consumed of the first in front of the second; returns how many were consumed.
fn in_two(bytes: &[u8], cut: usize, mut take: impl FnMut(&[u8]) -> usize) -> usize {
    let first = take(&bytes[..cut]);
    assert!(first <= cut && cut - first < HEADER, "more is held than a header");
    first + take(&bytes[first..])
}

#[test]
fn a_conversation_is_followed_wherever_it_is_cut() {
    let asks = [message(b'Q', 30), message(b'd', 40), message(b'd', 0), message(b'c', 0), message(b'Q', 3)].concat();
    let answers = [message(b'T', 20), message(b'D', 0), message(b'C', 9), message(b'Z', 1)].concat();
    for cut in 0..=asks.len() {
        let mut relay = Relay::default();
        assert_eq!(in_two(&asks, cut, |bytes| relay.on_client(bytes).0), asks.len());
        assert_eq!((relay.requests, relay.is_active(), relay.client_at_boundary()), (2, true, true));
    }
    for cut in 0..=answers.len() {
        let mut relay = Relay::default();
        relay.on_client(&message(b'Q', 3));
        assert_eq!(in_two(&answers, cut, |bytes| relay.on_server(bytes).0), answers.len());
        assert_eq!((relay.is_active(), relay.server_at_boundary()), (false, true));
    }
}

#[test]
fn a_message_at_hand_is_known_and_can_be_ended_alone() {
    let mut relay = Relay::default();
    let two = [message(b'd', 100), message(b'd', 7)].concat();
    assert_eq!(relay.on_server(&two[..50]), (50, None));
    assert!(!relay.server_at_boundary());
    assert_eq!(relay.rest_of_message(&two[50..80]), 30);
    assert!(!relay.server_at_boundary());
    assert_eq!((relay.rest_of_message(&two[80..]), relay.server_at_boundary()), (25, true));
    assert_eq!(relay.on_client(&two[..9]), (9, Said::More));
    assert_eq!((relay.client_at_boundary(), relay.left()), (false, 96));
}

#[test]
fn a_stream_listens_and_a_backup_does_not() {
    let mut relay = Relay::default();
    relay.on_client(&message(b'Q', 3));
    assert!(relay.is_deaf());
    relay.on_server(&message(b'H', 3));
    assert!(relay.is_deaf());
    relay.on_server(&message(b'W', 3));
    assert!(relay.is_active() && !relay.is_deaf());
    relay.on_client(&[message(b'd', 34), message(b'S', 0)].concat());
    relay.on_server(&[message(b'd', 200), message(b'c', 0), message(b'C', 7), message(b'Z', 1)].concat());
    assert!(!relay.is_active(), "the Sync was passed over");
    relay.on_client(&message(b'Q', 3));
    relay.on_server(&message(b'W', 3));
    relay.on_server(&message(b'E', 30));
    assert!(relay.is_deaf(), "the stream has failed, and the query has not ended yet");
    relay.on_server(&[message(b'Z', 1), message(b'Z', 1)].concat());
    assert!(!relay.is_active(), "one too many changes nothing");
}

#[test]
fn goodbyes_and_nonsense_stop_in_front_of_themselves() {
    let mut relay = Relay::default();
    let bytes = [message(b'Q', 3), message(b'X', 0), message(b'Q', 1)].concat();
    assert_eq!(relay.on_client(&bytes), (8, Said::Terminate));
    assert_eq!(relay.on_client(b"?"), (0, Said::Broken(FrameError::Kind(b'?'))));
    let bytes = [message(b'd', 3), b"Z\x00\x00\x00\x03".to_vec()].concat();
    assert_eq!(relay.on_server(&bytes), (8, Some(FrameError::Length { kind: b'Z', length: 3 })));
}
