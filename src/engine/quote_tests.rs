//! Tests of finding texts, cut at every place.

use super::*;
use crate::wire::client;

fn found(pieces: &[&[u8]], left: usize, sample: usize) -> Vec<String> {
    let mut quoter = Quoter::default();
    let mut texts = Vec::new();
    let mut body = left;
    for piece in pieces {
        quoter.consumed(piece, body, sample, &mut |text| texts.push(text));
        body = quoter.left;
    }
    texts
}

fn messages() -> Vec<u8> {
    let mut bytes = Vec::new();
    client::query(&mut bytes, b"SELECT 1").expect("it is short");
    for (kind, body) in [(b'P', &b"name\0SELECT $1\0\0\0"[..]), (b'B', b"\0name\0\0\0\0\0\0\0"), (b'S', b""), (b'Q', b"\0")] {
        bytes.push(kind);
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
    }
    bytes
}

#[test]
fn texts_are_found_however_they_come() {
    let bytes = messages();
    let expected = ["SELECT 1", "SELECT $1", ""];
    assert_eq!(found(&[&bytes], 0, 100), expected);
    // A session never consumes a part of a header, so cuts lie in bodies.
    for (at, length) in [(0, 9), (14, 17)] {
        for cut in at + HEADER..at + HEADER + length {
            assert_eq!(found(&[&bytes[..cut], &bytes[cut..]], 0, 100), expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_long_text_is_cut_and_kept_no_longer() {
    let mut bytes = Vec::new();
    client::query(&mut bytes, "ü".repeat(1000).as_bytes()).expect("it is short");
    assert_eq!(found(&[&bytes], 0, 7), ["ü".repeat(7)]);
    let mut quoter = Quoter::default();
    quoter.consumed(&bytes[..1500], 0, 7, &mut |_| panic!("it is not there yet"));
    assert!(quoter.body.len() <= 7 * 4 + NAME_MAX);
}

#[test]
fn what_began_unseen_is_passed_over() {
    let bytes = messages();
    // The log was switched on when ten bytes of something were still to come.
    let all = [&[b'x'; 10][..], &bytes].concat();
    assert_eq!(found(&[&all], 10, 100), ["SELECT 1", "SELECT $1", ""]);
    // And a message that somebody else has consumed in between.
    let mut quoter = Quoter::default();
    let mut texts = Vec::new();
    quoter.consumed(&bytes[..8], 0, 100, &mut |text| texts.push(text));
    quoter.consumed(&bytes, 0, 100, &mut |text| texts.push(text));
    assert_eq!(texts, ["SELECT 1", "SELECT $1", ""]);
}
