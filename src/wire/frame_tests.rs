//! Frames: hostile lengths, cut messages, the limits of every type, and encoders at tiny limits.

use super::*;
use crate::wire::mutate::survives;

fn bytes(kind: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [kind, a, b, c, d]
}

#[test]
fn hostile_lengths_are_refused() {
    for length in [0, 1, 2, 3, MAX_LENGTH + 1, 0x7fff_ffff, 0x8000_0000, 0x8000_0004, 0xffff_fffb, 0xffff_ffff] {
        assert_eq!(header(&bytes(b'D', length)), Err(FrameError::Length { kind: b'D', length }));
        assert_eq!(client_header(&bytes(b'Q', length)), Err(FrameError::Length { kind: b'Q', length }));
        assert_eq!(login_header(&bytes(b'p', length)), Err(FrameError::Length { kind: b'p', length }));
    }
    assert_eq!(header(&bytes(b'D', 4)), Ok(Some(Header { kind: b'D', body: 0 })));
    assert_eq!(header(&bytes(b'D', MAX_LENGTH)), Ok(Some(Header { kind: b'D', body: MAX_LENGTH as usize - 4 })));
}

#[test]
fn a_cut_header_waits() {
    for cut in 0..5 {
        assert_eq!(header(&bytes(b'Z', 5)[..cut]), Ok(None));
        assert_eq!(client_header(&bytes(b'Q', 5)[..cut]), Ok(None));
        assert_eq!(login_header(&bytes(b'p', 5)[..cut]), Ok(None));
    }
    assert_eq!(header(b"Z\0\0\0\x05Iabc").map(|header| header.map(Header::total)), Ok(Some(6)));
}

#[test]
fn limits_of_client_types_are_those_of_postgresql() {
    let (mut long, mut short, mut unknown) = (Vec::new(), Vec::new(), 0);
    for kind in 0..=255 {
        match client_limit(kind) {
            Some(0x3fff_fffa) => long.push(kind),
            Some(9996) => short.push(kind),
            None => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&long[..], &short[..], unknown), (&b"BFPQd"[..], &b"CDEHSXcf"[..], 243));
}

#[test]
fn a_client_keeps_within_its_types_limits() {
    assert_eq!(client_header(&bytes(b'D', 10_000)), Ok(Some(Header { kind: b'D', body: 9996 })));
    assert_eq!(client_header(&bytes(b'D', 10_001)), Err(FrameError::Length { kind: b'D', length: 10_001 }));
    assert_eq!(client_header(&bytes(b'Q', 0x3fff_fffe)), Ok(Some(Header { kind: b'Q', body: 0x3fff_fffa })));
    assert_eq!(client_header(&bytes(b'Q', 0x3fff_ffff)), Err(FrameError::Length { kind: b'Q', length: 0x3fff_ffff }));
    assert_eq!(client_header(b"p"), Err(FrameError::Kind(112)));
    assert_eq!(FrameError::Kind(112).to_string(), "invalid frontend message type 112");
    assert_eq!((FrameError::Kind(1).code(), FrameError::Length { kind: 1, length: 1 }.code()), (Some("08P01"), None));
    assert_eq!(login_header(&bytes(b'p', 65_535)), Ok(Some(Header { kind: b'p', body: LOGIN_LIMIT })));
    assert_eq!(login_header(&bytes(b'p', 65_536)), Err(FrameError::Length { kind: b'p', length: 65_536 }));
    assert_eq!(login_header(b"Q"), Err(FrameError::NotPassword(81)));
}

#[test]
fn a_message_above_its_limit_leaves_no_trace() {
    for limit in 0..12 {
        let mut out = b"before".to_vec();
        let mut message = Writer::typed(&mut out, b'x', limit);
        message.text(b"abc").value(Some(b"de")).u8(7);
        let result = message.finish();
        if limit < 11 {
            assert_eq!(result, Err(EncodeError::TooLarge { kind: b'x', limit }));
            assert_eq!(out, b"before");
        } else {
            assert_eq!((result, &out[..]), (Ok(()), &b"beforex\0\0\0\x0fabc\0\0\0\0\x02de\x07"[..]));
        }
    }
}

#[test]
fn nothing_is_copied_after_the_first_failure() {
    let mut out = Vec::new();
    let mut message = Writer::untyped(&mut out, 8);
    message.bytes(&[1; 9]).bytes(&[2; 2]);
    assert_eq!(message.out.len(), 4);
    assert_eq!(message.finish(), Err(EncodeError::TooLarge { kind: 0, limit: 8 }));
    assert!(out.is_empty());
}

/// A slice longer than the protocol allows, without the memory for it: zero pages are not touched unless they are copied.
#[test]
fn a_body_of_more_than_two_gigabytes_is_refused_before_it_is_copied() {
    let huge = vec![0u8; (1 << 31) + 5];
    let mut out = Vec::new();
    let mut message = Writer::typed(&mut out, b'D', usize::MAX);
    message.value(Some(&huge));
    assert_eq!(message.finish(), Err(EncodeError::TooLarge { kind: b'D', limit: MAX_LENGTH as usize - 4 }));
    assert!(out.is_empty() && out.capacity() < 1024);
}

#[test]
fn counts_and_zero_bytes_are_refused() {
    let mut out = Vec::new();
    let mut message = Writer::typed(&mut out, b'T', 100);
    message.count(32_768);
    assert_eq!(message.finish(), Err(EncodeError::TooMany { kind: b'T', limit: 32_767 }));
    let mut message = Writer::typed(&mut out, b'T', 100);
    message.text(b"a\0b");
    assert_eq!(message.finish(), Err(EncodeError::ZeroByte { kind: b'T' }));
    assert!(out.is_empty());
}

#[test]
fn damaged_headers_never_promise_more_than_the_limit() {
    survives(&[b"Q\0\0\0\x05\0", b"D\x3f\xff\xff\xff", b"p\0\0\xff\xff"], 20_000, |bytes| {
        if let Ok(Some(header)) = header(bytes) {
            assert!(header.total() <= MAX_LENGTH as usize + 1);
        }
        if let Ok(Some(header)) = client_header(bytes) {
            assert!(Some(header.body) <= client_limit(header.kind));
        }
        if let Ok(Some(header)) = login_header(bytes) {
            assert!(header.body <= LOGIN_LIMIT);
        }
    });
}
