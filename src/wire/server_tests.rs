//! A server's messages: written and read back, cut, damaged, and against bytes that a PostgreSQL server sent.

use super::*;
use crate::wire::frame::{HEADER, header};
use crate::wire::mutate::survives;

/// The body of the one message that `write` appends, after its header has been checked.
fn body(kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0xee];
    write(&mut out);
    let message = out.split_off(1);
    let header = header(&message).unwrap().unwrap();
    assert_eq!((header.kind, header.total()), (kind, message.len()));
    message[HEADER..].to_vec()
}

fn authentication(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    body(b'R', write)
}

#[test]
fn authentication_requests_round_trip() {
    let ok = authentication(authentication_ok);
    assert_eq!(parse_authentication(&ok), Ok(Authentication::Ok));
    let clear = authentication(authentication_cleartext_password);
    assert_eq!(parse_authentication(&clear), Ok(Authentication::CleartextPassword));
    let md5 = authentication(|out| authentication_md5_password(out, [0, 1, 2, 255]));
    assert_eq!(parse_authentication(&md5), Ok(Authentication::Md5Password { salt: [0, 1, 2, 255] }));
    let sasl = authentication(|out| authentication_sasl(out, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]).unwrap());
    let Ok(Authentication::Sasl(offered)) = parse_authentication(&sasl) else { panic!() };
    assert_eq!(offered.iter().collect::<Vec<_>>(), [&b"SCRAM-SHA-256-PLUS"[..], b"SCRAM-SHA-256"]);
    assert!(offered.offers("SCRAM-SHA-256") && !offered.offers("SCRAM-SHA") && !offered.offers(""));
    let next = authentication(|out| authentication_sasl_continue(out, b"r=x\0").unwrap());
    assert_eq!(parse_authentication(&next), Ok(Authentication::SaslContinue(b"r=x\0")));
    let last = authentication(|out| authentication_sasl_final(out, b"v=").unwrap());
    assert_eq!(parse_authentication(&last), Ok(Authentication::SaslFinal(b"v=")));
    assert_eq!(parse_authentication(b"\0\0\0\x07"), Ok(Authentication::Unsupported(7)));
    assert_eq!(parse_authentication(b"\xff\xff\xff\xff12"), Ok(Authentication::Unsupported(-1)));
}

#[test]
fn malformed_authentication_requests_are_refused() {
    for bytes in [&b""[..], b"\0\0\0", b"\0\0\0\0x", b"\0\0\0\x03\0", b"\0\0\0\x05abc", b"\0\0\0\x05abcde"] {
        assert_eq!(parse_authentication(bytes), Err(Malformed { kind: b'R' }), "{bytes:?}");
    }
    for bytes in [&b"\0\0\0\x0a"[..], b"\0\0\0\x0aX", b"\0\0\0\x0aX\0", b"\0\0\0\x0aX\0\0Y"] {
        assert_eq!(parse_authentication(bytes), Err(Malformed { kind: b'R' }), "{bytes:?}");
    }
}

#[test]
fn parameters_keys_and_states_round_trip() {
    let status = body(b'S', |out| parameter_status(out, b"TimeZone", "Zürich".as_bytes()).unwrap());
    assert_eq!(parse_parameter_status(&status), Some(("TimeZone", "Zürich")));
    assert_eq!(parse_parameter_status(b"a\0b"), None);
    assert_eq!(parse_parameter_status(b"a\0b\0\0"), None);
    assert_eq!(parse_parameter_status(b"a\0\xff\0"), None);
    for length in [4, 32, 256] {
        let key = vec![7; length];
        let data = body(b'K', |out| backend_key_data(out, i32::MIN, &key).unwrap());
        assert_eq!(parse_backend_key_data(&data), Some((i32::MIN, &key[..])));
    }
    assert_eq!(parse_backend_key_data(&[0; 7]), None);
    assert_eq!(parse_backend_key_data(&[0; 261]), None);
    assert!(backend_key_data(&mut Vec::new(), 1, &[0; 257]).is_err());
    for status in *b"ITE" {
        assert_eq!(parse_ready(&body(b'Z', |out| ready(out, status))), Some(status));
    }
    assert_eq!((parse_ready(b""), parse_ready(b"X"), parse_ready(b"II")), (None, None, None));
    let tag = body(b'C', |out| command_complete(out, "SELECT 1").unwrap());
    assert_eq!(parse_command_complete(&tag), Some(&b"SELECT 1"[..]));
    assert_eq!(parse_command_complete(b"SELECT 1"), None);
    for (kind, write) in
        [(b'I', empty_query as fn(&mut Vec<u8>)), (b'n', no_data), (b'1', parse_complete), (b'2', bind_complete), (b'3', close_complete)]
    {
        assert_eq!(body(kind, write), b"");
    }
    assert_eq!(body(b't', parameter_description), b"\0\0");
}

const FIELDS: ErrorFields<'static> = ErrorFields { severity: "FATAL", code: "28P01", message: "no", detail: Some("d"), hint: Some("h") };

#[test]
fn errors_round_trip() {
    let bytes = body(b'E', |out| error(out, &FIELDS));
    assert_eq!(bytes, b"SFATAL\0VFATAL\0C28P01\0Mno\0Dd\0Hh\0\0");
    let parsed = error_fields(&bytes).unwrap();
    let expected = ParsedError { severity: b"FATAL", code: b"28P01", message: b"no", detail: Some(b"d"), hint: Some(b"h"), routine: b"" };
    assert_eq!((parsed, parsed.sqlstate(), parsed.is_fatal(), &*parsed.text()), (expected, "28P01", true, "no"));
    let bytes = body(b'N', |out| notice(out, &ErrorFields { severity: "WARNING", detail: None, hint: None, ..FIELDS }));
    assert_eq!(bytes, b"SWARNING\0VWARNING\0C28P01\0Mno\0\0");
    assert!(!error_fields(&bytes).unwrap().is_fatal());
}

#[test]
fn errors_of_postgresql_and_of_odd_servers_are_read() {
    let real = b"SFEHLER\0VERROR\0C42P01\0MRelation \xbbx\xab existiert nicht\0P15\0Fparse_relation.c\0L1392\0RparserOpenTable\0\0";
    let parsed = error_fields(real).unwrap();
    assert_eq!((parsed.severity, parsed.sqlstate(), parsed.is_fatal(), parsed.detail), (&b"ERROR"[..], "42P01", false, None));
    assert_eq!(parsed.text(), "Relation \u{fffd}x\u{fffd} existiert nicht");
    let old = error_fields(b"SFATAL\0Mbye\0\0").unwrap();
    assert_eq!((old.severity, old.code, old.sqlstate(), old.is_fatal()), (&b"FATAL"[..], &b""[..], "XX000", true));
    assert_eq!(error_fields(b"C\xff2345\0\0").unwrap().sqlstate(), "XX000");
    assert_eq!(error_fields(b"").unwrap(), ParsedError::default());
    assert_eq!(error_fields(b"Mno end\0").unwrap().message, b"no end");
    assert_eq!(error_fields(b"Mno end"), Err(Malformed { kind: b'E' }));
}

#[test]
fn an_error_of_ours_is_cut_rather_than_refused() {
    let long = format!("{}ü", "x".repeat(MAX_ERROR_FIELD - 1));
    let bytes = body(b'E', |out| error(out, &ErrorFields { message: &long, detail: Some("a\0Mb"), ..FIELDS }));
    let parsed = error_fields(&bytes).unwrap();
    assert_eq!((parsed.message.len(), parsed.detail), (MAX_ERROR_FIELD - 1, Some(&b"a"[..])));
    let bytes = body(b'E', |out| error(out, &ErrorFields { message: &"y".repeat(MAX_ERROR_FIELD * 2), ..FIELDS }));
    assert_eq!(error_fields(&bytes).unwrap().message.len(), MAX_ERROR_FIELD);
}

#[test]
fn rows_are_written_as_postgresql_writes_them() {
    let description = body(b'T', |out| row_description(out, &[("a", 25, -1), ("n", 23, 4)]).unwrap());
    let expected = b"\0\x02a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
    assert_eq!(description, expected);
    let row = body(b'D', |out| data_row(out, &[Some(b"x"), None, Some(b"")]).unwrap());
    assert_eq!(row, b"\0\x03\0\0\0\x01x\xff\xff\xff\xff\0\0\0\0");
    let mut out = Vec::new();
    assert!(data_row(&mut out, &vec![None; 32_768]).is_err());
    assert!(row_description(&mut out, &[("a\0b", 25, -1)]).is_err());
    assert!(parameter_status(&mut out, b"a", b"b\0c").is_err());
    assert!(out.is_empty());
}

#[test]
fn protocol_negotiation_carries_the_whole_version() {
    let bytes = body(b'v', |out| negotiate_protocol_version(out, 0, &[b"_pq_.a", b"_pq_.b"]).unwrap());
    assert_eq!(bytes, b"\0\x03\0\0\0\0\0\x02_pq_.a\0_pq_.b\0");
    assert_eq!(parse_negotiate_protocol_version(&bytes), Some(0));
    assert_eq!(parse_negotiate_protocol_version(&body(b'v', |out| negotiate_protocol_version(out, 2, &[]).unwrap())), Some(2));
}

#[test]
fn damaged_bodies_are_survived() {
    let error = body(b'E', |out| error(out, &FIELDS));
    let sasl = authentication(|out| authentication_sasl(out, &["SCRAM-SHA-256"]).unwrap());
    survives(
        &[&error, &sasl, b"\0\0\0\x05abcd", b"TimeZone\0UTC\0", b"\0\0\0\x01abcd", b"I", b"SELECT 1\0", b"\0\x03\0\0\0\0\0\x01_pq_.a\0"],
        10_000,
        |bytes| {
            if let Ok(parsed) = error_fields(bytes) {
                assert_eq!(parsed.sqlstate().len(), 5);
                let _ = parsed.text();
            }
            if let Ok(Authentication::Sasl(offered)) = parse_authentication(bytes) {
                assert!(offered.iter().count() <= bytes.len());
            }
            let _ = parse_parameter_status(bytes);
            let _ = parse_command_complete(bytes);
            let _ = parse_negotiate_protocol_version(bytes);
            assert!(parse_backend_key_data(bytes).is_none_or(|(_, key)| CANCEL_KEY.contains(&key.len())));
            assert!(parse_ready(bytes).is_none() || bytes.len() == 1);
        },
    );
}
