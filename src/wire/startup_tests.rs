//! The first bytes of a connection: what PostgreSQL accepts, in every cut; what it refuses, and how.

use super::*;
use crate::wire::client;
use crate::wire::mutate::survives;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn v3(body: &[u8]) -> Vec<u8> {
    packet(3 << 16, body)
}

#[test]
fn a_startup_packet_is_read_as_written_in_every_cut() {
    let mut bytes = Vec::new();
    let parameters = [("user", "ann"), ("database", "shop"), ("options", "-c a=b"), ("application_name", "")];
    client::startup(&mut bytes, 0, &parameters).unwrap();
    let length = bytes.len();
    for cut in 0..length {
        assert_eq!(first(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    bytes.extend_from_slice(b"Q\0\0\0\x04");
    let Ok(Some((First::Startup(startup), taken))) = first(&bytes) else { panic!("{:?}", first(&bytes)) };
    assert_eq!((taken, startup.minor, startup.user(), startup.database()), (length, 0, &b"ann"[..], &b"shop"[..]));
    let read: Vec<_> = startup.parameters().map(|(name, value)| (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(read, parameters);
}

#[test]
fn requests_are_recognised_in_every_cut() {
    let mut cancel = Vec::new();
    client::cancel_request(&mut cancel, -7, &[1, 2, 3, 4]).unwrap();
    let mut long = Vec::new();
    client::cancel_request(&mut long, 7, &[9; 256]).unwrap();
    let cases = [
        (packet(80_877_103, b""), First::Ssl),
        (packet(80_877_104, b""), First::Gss),
        (cancel, First::Cancel { pid: -7, key: &[1, 2, 3, 4] }),
        (long, First::Cancel { pid: 7, key: &[9; 256] }),
    ];
    for (bytes, expected) in cases {
        for cut in 0..bytes.len() {
            assert_eq!(first(&bytes[..cut]), Ok(None));
        }
        assert_eq!(first(&bytes), Ok(Some((expected, bytes.len()))));
    }
}

#[test]
fn cancel_keys_have_four_to_256_bytes() {
    for (length, fine) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
        let bytes = packet(80_877_102, &vec![1; 4 + length]);
        assert_eq!(first(&bytes).is_ok(), fine, "{length}");
    }
    assert_eq!(first(&packet(80_877_102, b"")), Err(StartupError::Length));
}

#[test]
fn garbage_is_refused_on_its_first_bytes_and_in_silence() {
    for garbage in [&b"GET / HTTP/1.1\r\n"[..], b"G", b"\xff", b"\0\0\0\x07", b"\0\0\0\0", b"\0\0\x27\x15", b"\0\x01\0\0", b"\x80\0\0\x08"] {
        assert_eq!(first(garbage), Err(StartupError::Length), "{garbage:?}");
    }
    assert_eq!(first(b"\x16\x03\x01\x02\0"), Err(StartupError::DirectTls));
    assert_eq!((StartupError::Length.code(), StartupError::DirectTls.code()), (None, None));
    assert_eq!(first(b"\0\0\x27\x14"), Ok(None), "10004 is the largest");
}

#[test]
fn versions_are_refused_as_postgresql_does() {
    let refused = |code: u32| first(&packet(code, b"user\0a\0\0")).unwrap_err();
    assert_eq!(refused(2 << 16).to_string(), "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
    assert_eq!(refused(4 << 16 | 1), StartupError::Version { major: 4, minor: 1 });
    assert_eq!(refused(2 << 16).code(), Some("0A000"));
    assert_eq!(StartupError::second_ssl().to_string(), "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2");
    assert_eq!(StartupError::second_gss(), StartupError::Version { major: 1234, minor: 5680 });
}

#[test]
fn newer_minors_and_protocol_options_are_shown() {
    let bytes = packet(3 << 16 | 9999, b"_pq_.compression\0on\0user\0a\0_pq_.x\0\0\0");
    let Ok(Some((First::Startup(startup), _))) = first(&bytes) else { panic!() };
    assert_eq!(startup.minor, 9999);
    assert_eq!(startup.protocol_options().collect::<Vec<_>>(), [&b"_pq_.compression"[..], b"_pq_.x"]);
}

#[test]
fn the_last_of_a_name_counts_and_the_database_defaults_to_the_user() {
    let bytes = v3(b"user\0a\0database\0\0user\0\xff\0\0");
    let Ok(Some((First::Startup(startup), _))) = first(&bytes) else { panic!() };
    assert_eq!((startup.user(), startup.database(), startup.get("options")), (&b"\xff"[..], &b"\xff"[..], None));
}

#[test]
fn layouts_without_their_terminator_are_refused() {
    for body in [&b""[..], b"user\0a\0", b"user\0a", b"user\0", b"user", b"\0x", b"user\0a\0\0\0", b"user\0a\0x\0\0"] {
        assert_eq!(first(&v3(body)), Err(StartupError::Layout), "{body:?}");
    }
    assert_eq!(StartupError::Layout.code(), Some("08P01"));
    for body in [&b"\0"[..], b"database\0a\0\0", b"user\0\0\0", b"user\0a\0user\0\0\0"] {
        assert_eq!(first(&v3(body)), Err(StartupError::NoUser), "{body:?}");
    }
    assert_eq!(StartupError::NoUser.code(), Some("28000"));
}

#[test]
fn the_largest_packet_passes_and_one_more_byte_does_not() {
    let value = "x".repeat(MAX_STARTUP - 4 - b"user\0a\0n\0\0\0".len());
    let mut bytes = Vec::new();
    client::startup(&mut bytes, 0, &[("user", "a"), ("n", &value)]).unwrap();
    assert_eq!(bytes.len(), MAX_STARTUP + 4);
    assert!(matches!(first(&bytes), Ok(Some(_))));
    assert!(client::startup(&mut bytes, 0, &[("user", "a"), ("nn", &value)]).is_err());
    assert_eq!(bytes.len(), MAX_STARTUP + 4);
}

fn pairs(text: &str) -> Vec<(String, String)> {
    options(text).unwrap()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn options_are_split_as_postgresql_splits_them() {
    assert_eq!(pairs(""), []);
    assert_eq!(pairs(" \t\n"), []);
    assert_eq!(pairs("-c a=b --c-d=e  -cx.y=z=1"), [pair("a", "b"), pair("c_d", "e"), pair("x.y", "z=1")]);
    assert_eq!(pairs("-c\ta="), [pair("a", "")]);
    assert_eq!(pairs(r"-c search_path=a,\ b"), [pair("search_path", "a, b")]);
    assert_eq!(pairs(r"-c a=\\x\y\"), [pair("a", r"\xy")]);
    assert_eq!(pairs("-c a=grün"), [pair("a", "grün")]);
}

#[test]
fn options_that_name_no_parameter_are_refused() {
    assert_eq!(options("-c").unwrap_err().to_string(), "-c requires a value");
    assert_eq!(options("-c geqo").unwrap_err().to_string(), "-c geqo requires a value");
    assert_eq!(options("--geqo").unwrap_err().to_string(), "--geqo requires a value");
    assert_eq!(options("-c =x").unwrap_err().code(), "42601");
    for text in ["a=b", "--", "-", "-e", "-c a=b x", r"\-"] {
        assert!(options(text).is_err(), "{text}");
    }
}

#[test]
fn damaged_packets_and_options_are_survived() {
    let good = v3(b"user\0ann\0database\0shop\0options\0-c a=b\\ c\0\0");
    survives(&[&good, &packet(80_877_102, &[1; 36]), &packet(80_877_103, b""), &v3(b"\0")], 20_000, |bytes| {
        if let Ok(Some((packet, taken))) = first(bytes) {
            assert!(taken <= bytes.len() && taken <= MAX_STARTUP + 4);
            if let First::Startup(startup) = packet {
                assert!(!startup.user().is_empty() && !startup.database().is_empty());
                assert!(startup.parameters().all(|(name, _)| !name.is_empty()));
            }
        }
        let _ = options(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn what_is_to_be_replicated_is_read_as_postgresql_reads_it() {
    let all = |values: &[&str], meaning| values.iter().for_each(|value| assert_eq!(Replication::read(value), meaning, "{value:?}"));
    all(&["database"], Some(Some(Replication::Logical)));
    all(&["true", "TRUE", "tr", "t", "Yes", "y", "on", "ON", "1"], Some(Some(Replication::Physical)));
    all(&["false", "F", "no", "N", "off", "of", "0"], Some(None));
    all(&["", "o", "2", "10", "truex", "Database", "databas", "ja", " on", "offf"], None);
    for kind in [Replication::Physical, Replication::Logical] {
        assert_eq!(Replication::read(kind.word()), Some(Some(kind)));
    }
}
