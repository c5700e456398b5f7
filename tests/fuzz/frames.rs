//! Where messages start and end: headers and startup packets against a second reading of the rules, and the two readers of a session, for which it
//! must not matter how the bytes were cut.

use pg_dog::config::snapshot::PoolerMode;
use pg_dog::session::client::{Client, Stop};
use pg_dog::session::exchange::Exchange;
use pg_dog::session::server::{Heard, Server};
use pg_dog::session::{Verdict, Verdicts};
use pg_dog::wire::frame::{client_header, header, login_header};
use pg_dog::wire::startup::{First, first, options};

use crate::Target;
use crate::bytes::{Reader, word};
use crate::dice::Dice;
use crate::raw;

pub const TARGET: Target = Target { name: "frames", rounds: 60_000, messages: true, run };

fn run(bytes: &[u8], dice: &mut Dice) {
    let mut lengths: Vec<usize> = (0..=bytes.len().min(16)).collect();
    lengths.extend((0..8).map(|_| dice.below(bytes.len() + 1)));
    lengths.push(bytes.len());
    lengths.sort_unstable();
    headers(bytes, &lengths);
    startup(bytes, &lengths);
    let pieces = dice.pieces(bytes.len());
    for (mode, attached) in [(PoolerMode::Transaction, true), (PoolerMode::Session, true), (PoolerMode::Transaction, false)] {
        let whole = client(&[bytes], mode, attached);
        let cut: Vec<&[u8]> = pieces.iter().map(|piece| &bytes[piece.clone()]).collect();
        assert_eq!(client(&cut, mode, attached), whole, "{mode:?}, attached: {attached}, cut at {pieces:?}");
        if mode == PoolerMode::Session {
            assert_eq!((whole.to_server, whole.consumed, whole.stop), passed_on(bytes));
        }
    }
    let sent: Vec<u8> = (0..dice.below(40)).map(|_| b"QQPBDESSFC"[dice.below(10)]).collect();
    let cut: Vec<&[u8]> = pieces.iter().map(|piece| &bytes[piece.clone()]).collect();
    assert_eq!(server(&cut, &sent), server(&[bytes], &sent), "sent {}, cut at {pieces:?}", sent.escape_ascii());
}

/// The largest length word that PostgreSQL takes of a client; 0: there is no such type.
fn limit(kind: u8) -> u32 {
    match kind {
        b'Q' | b'F' | b'B' | b'P' | b'd' => 1_073_741_822,
        b'X' | b'C' | b'D' | b'E' | b'H' | b'S' | b'c' | b'f' => 10_000,
        _ => 0,
    }
}

/// Whether these bytes begin a message of at most `limit`: None = not to be said yet, Err = no.
fn begins(bytes: &[u8], limit: u32) -> Result<Option<usize>, ()> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if limit == 0 {
        return Err(());
    }
    match word(&bytes[1..]) {
        None => Ok(None),
        Some(length) if length < 4 || length > limit => Err(()),
        Some(length) => Ok(Some(length as usize - 4)),
    }
}

fn headers(bytes: &[u8], lengths: &[usize]) {
    for part in lengths.iter().map(|&length| &bytes[..length]) {
        let kind = part.first().copied().unwrap_or_default();
        // A server may send one byte less than a gigabyte, and its length word counts itself.
        let readers = [(header(part), 0x4000_0002), (client_header(part), limit(kind)), (login_header(part), if kind == b'p' { 65_535 } else { 0 })];
        for (at, (read, limit)) in readers.into_iter().enumerate() {
            if let Ok(Some(header)) = read {
                assert_eq!((header.kind, header.total()), (kind, header.body + 5));
            }
            let read = read.map(|header| header.map(|header| header.body)).map_err(drop);
            assert_eq!(read, begins(part, limit), "reader {at} of {}", part[..part.len().min(5)].escape_ascii());
        }
    }
}

/// What a first packet is: None = not to be said yet, Err = refused.
fn what(bytes: &[u8]) -> Result<Option<(&'static str, usize)>, ()> {
    match bytes.first() {
        None => return Ok(None),
        Some(0) => {}
        Some(_) => return Err(()),
    }
    let Some(length) = word(bytes) else { return Ok(None) };
    if !(8..=10_004).contains(&length) {
        return Err(());
    }
    let length = length as usize;
    let Some(code) = word(&bytes[4..]) else { return Ok(None) };
    if code == 80_877_102 && !(16..=268).contains(&length) {
        return Err(());
    }
    if bytes.len() < length {
        return Ok(None);
    }
    let kind = match code {
        80_877_103 => "ssl",
        80_877_104 => "gss",
        80_877_102 => "cancel",
        _ if code >> 16 == 3 && user_of(&bytes[8..length]).is_some_and(|user| !user.is_empty()) => "startup",
        _ => return Err(()),
    };
    Ok(Some((kind, length)))
}

/// The user in a well-formed list of names and values; None = malformed.
fn user_of(body: &[u8]) -> Option<Vec<u8>> {
    let (mut reader, mut user) = (Reader(body), Vec::new());
    loop {
        let name = reader.text()?;
        if name.is_empty() {
            return reader.0.is_empty().then_some(user);
        }
        let value = reader.text()?;
        if name == b"user" {
            user = value.to_vec();
        }
    }
}

fn startup(bytes: &[u8], lengths: &[usize]) {
    for part in lengths.iter().map(|&length| &bytes[..length]) {
        let read = first(part);
        let kind = |packet: &First<'_>| match packet {
            First::Ssl => "ssl",
            First::Gss => "gss",
            First::Cancel { .. } => "cancel",
            First::Startup(_) => "startup",
        };
        if let Ok(Some((First::Startup(startup), _))) = &read {
            let again = startup.parameters().flat_map(|(name, value)| [name, b"\0", value, b"\0"].concat()).collect::<Vec<u8>>();
            assert_eq!([&again[..], b"\0"].concat(), &part[8..word(part).unwrap_or_default() as usize], "what was parsed, written again");
            words_of_options(startup.get("options").unwrap_or_default());
        }
        assert_eq!(read.map(|read| read.map(|(packet, length)| (kind(&packet), length))).map_err(drop), what(part));
    }
    words_of_options(&bytes[..bytes.len().min(200)]);
}

/// Options that were understood, written again, mean the same.
fn words_of_options(text: &[u8]) {
    let Ok(found) = options(&String::from_utf8_lossy(text)) else { return };
    let quoted = |text: &str| text.chars().flat_map(|c| ['\\', c]).collect::<String>();
    let again: Vec<String> = found.iter().map(|(name, value)| format!("-c {}={}", quoted(name), quoted(value))).collect();
    assert_eq!(options(&again.join(" ")), Ok(found));
}

/// What became of a client's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    consumed: usize,
    stop: String,
}

/// Gives a client's reader the bytes piece by piece, as the engine does: what it did not consume comes again.
fn client(pieces: &[&[u8]], mode: PoolerMode, attached: bool) -> Read {
    let (mut client, mut link, mut out) = (Client::new(mode, 7), Exchange::default(), Verdicts::default());
    let (mut read, mut held) = (Read { stop: "More".to_string(), ..Read::default() }, Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        out.clear();
        let (consumed, stop) = client.on_bytes(&held, attached.then_some(&mut link), &mut out);
        assert!(consumed <= held.len(), "more consumed than given");
        for verdict in &out.list {
            match verdict {
                Verdict::Forward(range) => {
                    assert!(range.end <= consumed, "what was forwarded is not consumed");
                    read.to_server.extend_from_slice(&held[range.clone()]);
                }
                Verdict::ToServer(range) => read.to_server.extend_from_slice(&out.words[range.clone()]),
                Verdict::ToClient(range) => read.to_client.extend_from_slice(&out.words[range.clone()]),
            }
        }
        held.drain(..consumed);
        read.consumed += consumed;
        read.stop = format!("{stop:?}");
        if stop != Stop::More {
            break;
        }
    }
    read
}

/// A client in session mode: all of it goes on up to a goodbye or a fault.
fn passed_on(bytes: &[u8]) -> (Vec<u8>, usize, String) {
    let mut at = 0;
    let stop = loop {
        let rest = &bytes[at.min(bytes.len())..];
        let kind = rest.first().copied().unwrap_or_default();
        match begins(rest, limit(kind)) {
            Ok(Some(_)) if kind == b'X' => break "Terminate".to_string(),
            Ok(Some(body)) => at += 5 + body,
            Ok(None) => break "More".to_string(),
            Err(()) if limit(kind) == 0 => break format!("Broken(Kind({kind}))"),
            Err(()) => {
                let length = word(&rest[1..]).unwrap_or_default();
                break format!("Broken(Length {{ kind: {kind}, length: {length} }})");
            }
        }
    };
    let at = at.min(bytes.len());
    (bytes[..at].to_vec(), at, stop)
}

/// Gives a server's reader the bytes piece by piece: what the client gets, how much was consumed, and every end it announced.
fn server(pieces: &[&[u8]], sent: &[u8]) -> (Vec<u8>, usize, Vec<Heard>) {
    let (mut server, mut out) = (Server::default(), Verdicts::default());
    sent.iter().for_each(|&kind| server.exchange.sent(kind));
    let (mut got, mut total, mut ends, mut held) = (Vec::new(), 0, Vec::new(), Vec::new());
    'pieces: for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            out.clear();
            let (consumed, heard) = server.on_bytes(&held, 9, &mut out);
            assert!(consumed <= held.len(), "more consumed than given");
            for verdict in &out.list {
                match verdict {
                    Verdict::Forward(range) => got.extend_from_slice(&held[range.clone()]),
                    Verdict::ToClient(range) => got.extend_from_slice(&out.words[range.clone()]),
                    Verdict::ToServer(_) => {}
                }
            }
            held.drain(..consumed);
            total += consumed;
            match heard {
                Heard::More => break,
                Heard::Free | Heard::LeftOpen => ends.push(heard),
                Heard::Fatal(_) | Heard::Unfit | Heard::OutOfStep(_) => {
                    ends.push(heard);
                    break 'pieces;
                }
            }
        }
    }
    (got, total, ends)
}

/// Conversations of real clients, and bytes of those that are none.
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let login = raw::startup(&[("user", "ann"), ("database", "shop"), ("options", "-c geqo=off --work-mem=4MB"), ("application_name", "x")]);
    let extended = [
        raw::parse("", "SELECT $1::int", &[23]),
        raw::describe(b'S', ""),
        raw::bind("", "", &[Some("1")]),
        raw::describe(b'P', ""),
        raw::execute("", 1),
        raw::flush(),
        raw::execute("", 0),
        raw::close(b'P', ""),
        raw::close(b'S', "named"),
        raw::sync(),
    ];
    let copy = [raw::query("COPY t FROM STDIN"), raw::copy_data(b"1\n2\n"), raw::copy_data(b""), raw::copy_done(), raw::copy_fail("no"), raw::sync()];
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let reply = [
        raw::frame(b'T', b"\0\x01one\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
        raw::frame(b'D', b"\0\x01\0\0\0\x011"),
        raw::frame(b'C', b"SELECT 1\0"),
        raw::frame(b'Z', b"I"),
        raw::frame(b'1', b""),
        raw::frame(b'2', b""),
        raw::frame(b's', b""),
        raw::frame(b'N', b"SNOTICE\0C00000\0Mlook\0\0"),
        raw::frame(b'S', b"TimeZone\0UTC\0"),
        raw::frame(b'A', b"\0\0\0\x01channel\0\0"),
        raw::frame(b'E', b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0"),
        raw::frame(b'Z', b"T"),
    ];
    let long = [raw::query(&"x".repeat(2000)), raw::parse(&"n".repeat(1100), "SELECT 1", &[]), raw::sync(), raw::terminate(), raw::sync()];
    let named = [raw::parse("a", "SELECT 1", &[]), raw::bind("", "a", &[]), raw::execute("", 0), raw::sync(), raw::query("")];
    vec![
        ("startup", login),
        ("startup-requests", [raw::ssl_request(), raw::gss_request()].concat()),
        ("cancel", raw::cancel_request(&(4711, vec![1, 2, 3, 4]))),
        ("cancel-long-key", raw::cancel_request(&(4711, vec![9; 256]))),
        ("extended", extended.concat()),
        ("named", named.concat()),
        ("copy", copy.concat()),
        ("function-call", [raw::frame(b'F', b"\0\0\0\xb1\0\0\0\0\0\0"), raw::terminate()].concat()),
        ("long-names", long.concat()),
        ("replies", reply.concat()),
        ("hostile-http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("hostile-tls", tls),
        ("hostile-zeros", vec![0; 64]),
    ]
}
