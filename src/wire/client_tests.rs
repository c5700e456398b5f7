//! A client's messages: written and read back, every cut of a body, every kind of damage.

use super::*;
use crate::wire::frame::{HEADER, client_header};
use crate::wire::mutate::survives;

fn message(write: impl FnOnce(&mut Vec<u8>)) -> (Header, Vec<u8>) {
    let mut out = vec![0xee];
    write(&mut out);
    let bytes = out.split_off(1);
    let header = if bytes[0] == b'p' { crate::wire::frame::login_header(&bytes) } else { client_header(&bytes) }.unwrap().unwrap();
    assert_eq!(header.total(), bytes.len());
    (header, bytes[HEADER..].to_vec())
}

fn header(kind: u8, body: &[u8]) -> Header {
    Header { kind, body: body.len() }
}

#[test]
fn names_are_found_and_no_cut_is_mistaken() {
    let (parse, parse_body) = message(|out| super::parse(out, b"s1", b"SELECT $1", &[23, 0]).unwrap());
    assert_eq!(parse_body, b"s1\0SELECT $1\0\0\x02\0\0\0\x17\0\0\0\0");
    let (describe, describe_body) = message(|out| describe_statement(out, b"s2").unwrap());
    let (close, close_body) = message(|out| close_statement(out, b"").unwrap());
    let bind_body = b"portal\0s3\0\0\0\0\0\0\0";
    let cases = [
        (parse, &parse_body[..], Peek::Statement(b"s1"), 3),
        (describe, &describe_body[..], Peek::Statement(b"s2"), 4),
        (close, &close_body[..], Peek::Statement(b""), 2),
        (header(b'B', bind_body), &bind_body[..], Peek::Statement(b"s3"), 10),
        (header(b'B', b"\0\0\0\0\0\0\0\0"), b"\0\0\0\0\0\0\0\0", Peek::Statement(b""), 2),
        (header(b'D', b"Pp\0"), b"Pp\0", Peek::Portal(b"p"), 3),
        (header(b'C', b"P\0"), b"P\0", Peek::Portal(b""), 2),
        (header(b'E', b"p\0\0\0\0\0"), b"p\0\0\0\0\0", Peek::Portal(b"p"), 2),
    ];
    for (header, body, expected, enough) in cases {
        for cut in 0..=body.len() {
            let peek = statement_of(header, &body[..cut]);
            assert_eq!(peek, if cut < enough { Peek::NeedMore } else { expected }, "{} cut at {cut}", header.kind as char);
        }
        let followed = [body, b"junk\0"].concat();
        assert_eq!(statement_of(header, &followed), expected);
    }
}

#[test]
fn bodies_without_their_names_are_malformed() {
    for (kind, body) in
        [(b'P', &b"s"[..]), (b'P', b""), (b'B', b"p\0s"), (b'B', b"p"), (b'D', b""), (b'D', b"S"), (b'C', b"X\0"), (b'E', b"p"), (b'Q', b"x\0")]
    {
        assert_eq!(statement_of(header(kind, body), body), Peek::Malformed, "{} {body:?}", kind as char);
    }
    // What lies behind the body belongs to the next message and must not end a name.
    assert_eq!(statement_of(Header { kind: b'P', body: 2 }, b"ab\0"), Peek::Malformed);
    assert_eq!(statement_of(Header { kind: b'D', body: 0 }, b"Sx\0"), Peek::Malformed);
}

#[test]
fn a_name_without_end_is_not_waited_for() {
    let long = vec![b'x'; MAX_NAME + 1];
    let header = Header { kind: b'P', body: 1 << 20 };
    assert_eq!(statement_of(header, &long[..MAX_NAME]), Peek::NeedMore);
    assert_eq!(statement_of(header, &long), Peek::TooLong);
    assert_eq!(statement_of(Header { kind: b'B', ..header }, &[b"p\0", &long[..]].concat()), Peek::TooLong);
    let exact = [&long[1..], b"\0"].concat();
    assert_eq!(statement_of(header, &exact), Peek::Statement(&long[1..]));
}

#[test]
fn simple_messages_have_their_bytes() {
    assert_eq!(message(|out| query(out, b"SELECT 1").unwrap()), (Header { kind: b'Q', body: 9 }, b"SELECT 1\0".to_vec()));
    assert_eq!(message(|out| copy_fail(out, "no").unwrap()), (Header { kind: b'f', body: 3 }, b"no\0".to_vec()));
    for (kind, write) in [(b'S', sync as fn(&mut Vec<u8>)), (b'H', flush), (b'X', terminate)] {
        assert_eq!(message(write), (Header { kind, body: 0 }, Vec::new()));
    }
    assert_eq!((query_text(b"a\0"), query_text(b"\0"), query_text(b"a"), query_text(b"a\0\0")), (Some(&b"a"[..]), Some(&b""[..]), None, None));
}

#[test]
fn login_messages_round_trip() {
    let (_, body) = message(|out| password(out, "grün".as_bytes()).unwrap());
    assert_eq!(password_message(&body), Ok("grün".as_bytes()));
    let (_, body) = message(|out| sasl_initial(out, "SCRAM-SHA-256", b"n,,n=,r=x").unwrap());
    assert_eq!(sasl_initial_response(&body), Ok((&b"SCRAM-SHA-256"[..], Some(&b"n,,n=,r=x"[..]))));
    let (_, body) = message(|out| sasl_response(out, b"c=biws").unwrap());
    assert_eq!(body, b"c=biws");
    assert_eq!(sasl_initial_response(b"M\0\xff\xff\xff\xff"), Ok((&b"M"[..], None)));
    assert_eq!(sasl_initial_response(b"M\0\0\0\0\0"), Ok((&b"M"[..], Some(&b""[..]))));
}

#[test]
fn malformed_login_messages_are_refused_as_postgresql_does() {
    for body in [&b""[..], b"x", b"x\0y", b"x\0\0"] {
        assert_eq!(password_message(body), Err(LoginError::Size), "{body:?}");
    }
    assert_eq!((password_message(b"\0"), LoginError::Empty.code(), LoginError::Size.code()), (Err(LoginError::Empty), "28P01", "08P01"));
    for body in [
        &b"M"[..],
        b"M\0",
        b"M\0\0\0\0",
        b"M\0\0\0\0\x02x",
        b"M\0\0\0\0\x01xy",
        b"M\0\xff\xff\xff\xfe",
        b"M\0\x7f\xff\xff\xffx",
        b"M\0\xff\xff\xff\xff\0",
    ] {
        assert_eq!(sasl_initial_response(body), Err(LoginError::Format), "{body:?}");
    }
}

#[test]
fn encoders_keep_the_limits_of_the_receiver() {
    let mut out = Vec::new();
    assert!(describe_statement(&mut out, &[b'x'; 9994]).is_ok());
    out.clear();
    assert!(describe_statement(&mut out, &[b'x'; 9995]).is_err());
    assert!(copy_fail(&mut out, &"x".repeat(9996)).is_err());
    assert!(password(&mut out, &[b'x'; LOGIN_LIMIT]).is_err());
    assert!(cancel_request(&mut out, 1, &[0; 257]).is_err());
    assert!(parse(&mut out, b"", b"", &[0; 32_768]).is_err());
    assert!(query(&mut out, b"SELECT 1\0; DROP").is_err());
    assert!(startup(&mut out, 0, &[("user", "a\0options\0x")]).is_err());
    assert!(out.is_empty());
}

#[test]
fn damaged_bodies_are_survived() {
    survives(&[b"portal\0s3\0\0\0\0\0\0\0", b"Ss1\0", b"SCRAM-SHA-256\0\0\0\0\x03abc", b"secret\0"], 10_000, |bytes| {
        for kind in *b"PBEDCQ" {
            for body in [0, bytes.len() / 2, bytes.len(), bytes.len() + 1] {
                let peek = statement_of(Header { kind, body }, bytes);
                assert!(peek != Peek::NeedMore || body > bytes.len());
            }
        }
        assert!(password_message(bytes).is_err() || bytes.len() > 1);
        let _ = sasl_initial_response(bytes);
        let _ = query_text(bytes);
    });
}
