//! Bytes that no client sends in good faith. The connection ends, or waits for no longer than a login may take; memory stays, and others do not
//! notice.

use super::house::{House, error, memory, one, tags};
use super::support::raw::{self, Raw};
use super::support::{SOON, Version, wait_until};
use std::time::Duration;

/// The lengths that are wrong in one way or another.
const LENGTHS: [u32; 7] = [0, 1, 3, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, u32::MAX];

/// Memory that pg_dog may gain meanwhile, bytes.
const SLACK: usize = 16 << 20;

/// A pg_dog with a short time for logins, and somebody who works there all the time.
fn house(version: Version) -> (House, Raw) {
    let house = House::new(version, 3, "client_login_timeout = 1000\ncheckout_timeout = 20000");
    let mut calm = house.client();
    assert_eq!(one(&mut calm, "SELECT 'calm'"), "calm");
    (house, calm)
}

/// Nothing has changed: memory, the calm client, new ones.
fn unharmed(mut house: House, mut calm: Raw, before: usize) {
    assert!(house.dog.is_running());
    assert_eq!(one(&mut calm, "SELECT 'still calm'"), "still calm");
    assert_eq!(one(&mut house.client(), "SELECT 'new'"), "new");
    let after = memory(house.dog.pid(), "VmHWM:");
    assert!(after < before + SLACK, "memory grew from {before} to {after} bytes");
    drop(calm);
    let mut watch = house.watch();
    watch.wait_until_settled();
    wait_until("all connections are gone", SOON, || watch.show("CLIENTS").len() == 1);
}

fn peak(house: &House) -> usize {
    memory(house.dog.pid(), "VmHWM:")
}

/// What may come before a startup packet, and none of it is one.
fn openings() -> Vec<Vec<u8>> {
    let mut all = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().copied().chain([7; 508]).collect(),
        b"\x00".to_vec(),
        vec![0xff; 100_000],
        vec![0; 100_000],
        raw::untagged(&[0; 4]),
        raw::untagged(&0x0002_0000_u32.to_be_bytes()),
        raw::untagged(&0x0003_0000_u32.to_be_bytes()),
        raw::startup(&[]),
        raw::startup(&[("user", "")]),
        raw::startup(&[("database", "app")]),
        raw::untagged(&[&[0, 3, 0, 0][..], b"user\0app"].concat()),
        raw::untagged(&[&[0, 3, 0, 0][..], b"user\0app\0\0more"].concat()),
        [raw::ssl_request(), raw::startup(&[("user", "app"), ("database", "app")])].concat(),
        [raw::ssl_request(), raw::ssl_request()].concat(),
        [raw::gss_request(), raw::gss_request()].concat(),
        raw::cancel_request(&(1, Vec::new())),
        raw::cancel_request(&(1, vec![0; 5_000])),
        // A startup packet of 1 MB.
        raw::startup(&[("user", "app"), ("database", "app"), ("options", &"x".repeat(1 << 20))]),
        raw::startup(&[("user", "app"), ("replication", "perhaps")]),
        raw::startup(&[("user", "app"), ("options", "-c")]),
        raw::query("SELECT 1"),
    ];
    for length in LENGTHS {
        all.push(length.to_be_bytes().to_vec());
        all.push([&length.to_be_bytes()[..], &[0, 3, 0, 0], &[b'x'; 2000]].concat());
    }
    all
}

#[test]
fn openings_that_are_none() {
    let (house, calm) = house(Version::Debian);
    let before = peak(&house);
    for opening in openings() {
        let mut client = Raw::connect(house.dog.port);
        // It may be closed while it still sends.
        let _ = client.try_send(&opening);
        let start = &opening[..opening.len().min(60)];
        let end = loop {
            match client.try_read() {
                Ok(message) => assert!(matches!(message.tag, b'E' | b'N' | b'R'), "{}: {message:?}", start.escape_ascii()),
                Err(error) => break error.kind(),
            }
        };
        let closed = matches!(end, std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset);
        assert!(closed, "{}: {end:?}", start.escape_ascii());
    }
    unharmed(house, calm, before);
}

#[test]
fn passwords_that_are_none() {
    for how in ["scram", "md5", "plain"] {
        let house = House::new(Version::Newest, 2, &format!("client_login_timeout = 1000\nauth_type = \"{how}\""));
        let calm = house.client();
        let before = peak(&house);
        let mut answers =
            vec![raw::query("SELECT 1"), raw::frame(b'p', &[]), raw::frame(b'p', b"no end"), raw::frame(b'p', &[0; 100_000]), raw::sync()];
        answers.push(raw::frame(b'p', b"SCRAM-SHA-256\0\0\0\0\x04oops"));
        answers.push(raw::frame(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xfe"));
        answers.push(raw::frame(b'p', b"SCRAM-SHA-256-PLUS\0\0\0\0\x08n,,n=,r="));
        answers.push(raw::frame(b'p', b"SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=\xff\xff"));
        answers.extend(LENGTHS.map(|length| [&[b'p'][..], &length.to_be_bytes(), b"some bytes"].concat()));
        for answer in answers {
            let mut client = Raw::connect(house.dog.port);
            client.send(&raw::startup(&[("user", "app"), ("database", "app")]));
            assert_eq!(client.read().tag, b'R');
            let _ = client.try_send(&answer);
            let end = client.read_until_closed();
            assert!(end.iter().all(|message| matches!(message.tag, b'E' | b'R')), "{how} {}: {end:?}", answer[..answer.len().min(40)].escape_ascii());
        }
        unharmed(house, calm, before);
    }
}

#[test]
fn messages_with_impossible_lengths() {
    let (house, calm) = house(Version::Newest);
    let before = peak(&house);
    for attached in [false, true] {
        for tag in *b"QPBDECSHFXdcf" {
            for length in LENGTHS {
                let mut client = house.client();
                if attached {
                    client.rows("BEGIN; SELECT 1");
                }
                let _ = client.try_send(&[&[tag][..], &length.to_be_bytes(), b"SELECT 1\0"].concat());
                if tag == b'X' && length >= 4 || (1 << 30..1 << 31).contains(&length) && tag != b'X' {
                    // As long as it could be true, more is waited for; the client's end is the end of it.
                    drop(client);
                    continue;
                }
                let end = client.read_until_closed();
                assert!(end.iter().all(|message| message.tag == b'E'), "{} with length {length}: {end:?}", char::from(tag));
            }
        }
    }
    unharmed(house, calm, before);
}

#[test]
fn messages_that_are_none() {
    let (house, calm) = house(Version::Debian);
    let before = peak(&house);
    let bad = [
        raw::frame(b'?', b"what"),
        raw::frame(0, b""),
        raw::frame(b'p', b"secret\0"),
        raw::frame(b'Z', b"I"),
        raw::frame(b'P', b"no end"),
        raw::frame(b'B', b"\0"),
        raw::frame(b'D', b"S"),
        raw::frame(b'C', b""),
        raw::frame(b'Q', b"no end"),
        raw::frame(b'E', b"\0"),
        raw::frame(b'F', b"\0\0"),
        raw::startup(&[("user", "app")]),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 10_000],
    ];
    for message in &bad {
        for prefix in [Vec::new(), raw::query("BEGIN")] {
            let mut client = house.client();
            let _ = client.try_send(&[&prefix[..], message, &raw::sync()].concat());
            // An error and then the end, or an error and a session that goes on; silence is neither.
            let mut seen = String::new();
            while let Ok(answer) = client.try_read() {
                seen.push(char::from(answer.tag));
                if seen.ends_with("EZ") {
                    break;
                }
            }
            assert!(seen.contains('E'), "{}: answered with {seen:?}", message[..message.len().min(40)].escape_ascii());
        }
    }
    unharmed(house, calm, before);
}

/// Every byte alone, and silence: a login takes its time, but not for ever.
#[test]
fn slow_logins_end_in_time() {
    let (house, calm) = house(Version::Debian);
    let before = peak(&house);
    let silent: Vec<Raw> = (0..50).map(|_| Raw::connect(house.dog.port)).collect();
    let mut half = Raw::connect(house.dog.port);
    half.send(&raw::startup(&[("user", "app"), ("database", "app")])[..9]);
    let login = house.login("app");
    let mut slow = Raw::connect(house.dog.port);
    for byte in raw::startup(&[("user", "app"), ("database", "app")]) {
        slow.send(&[byte]);
    }
    slow.authenticate(&login.user, &login.password).expect("slow, but right");
    assert_eq!(one(&mut slow, "SELECT 'slow'"), "slow");
    for mut client in silent.into_iter().chain([half]) {
        client.set_deadline(Duration::from_secs(8));
        let end = client.read_until_closed();
        assert_eq!((tags(&end).as_str(), error(&end)[&'C'].as_str()), ("E", "57P05"));
    }
    assert_eq!(one(&mut slow, "SELECT 'later'"), "later");
    drop(slow);
    unharmed(house, calm, before);
}

/// Requests in pieces of every size give the same answers.
#[test]
fn requests_in_pieces() {
    let (house, _calm) = house(Version::Newest);
    let batch = super::house::extended("SELECT $1, 'b'", &[Some("a")]);
    let script = [raw::query("SELECT 1"), batch, raw::sync(), raw::query("BEGIN; SELECT 2"), raw::query("ROLLBACK")].concat();
    let mut client = house.client();
    for size in [1, 2, 3, 5, 7, 11, 64, script.len()] {
        for piece in script.chunks(size) {
            client.send(piece);
        }
        let answers: String = (0..4).map(|_| tags(&client.read_until_ready())).collect();
        assert_eq!(answers, "TDCZ12TDCZCTDCZCZ", "in pieces of {size} bytes");
        assert_eq!(client.status, b'I');
    }
}
