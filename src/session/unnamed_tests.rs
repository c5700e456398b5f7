//! Clients that share servers against clients with a server each: whatever is sent, skipped, or fails, each Bind finds the same statement.
//!
//! The server here is a model of PostgreSQL's own rules, written from postgres.c and not from the code under test.

use crate::config::snapshot::PoolerMode;
use crate::session::client::{Client, Stop};
use crate::session::exchange::{Exchange, Reply, Status};
use crate::session::{Verdict, Verdicts};
use crate::wire::client::{close_statement, describe_statement, parse, query, sync};
use crate::wire::frame;

/// What a server answers: a type, and for a Bind the statement it found.
type Answer = (u8, Option<String>);

/// PostgreSQL, as far as the unnamed statement goes.
#[derive(Default)]
struct Model {
    unnamed: Option<String>,
    skipping: bool,
}

impl Model {
    fn hear(&mut self, kind: u8, body: &[u8]) -> Vec<Answer> {
        if kind == b'S' {
            self.skipping = false;
            return vec![(b'Z', None)];
        }
        if self.skipping {
            return Vec::new();
        }
        let (answers, failed) = self.carry_out(kind, body);
        self.skipping = failed && !matches!(kind, b'Q' | b'F');
        answers
    }

    fn carry_out(&mut self, kind: u8, body: &[u8]) -> (Vec<Answer>, bool) {
        let fine = |kind: u8| (vec![(kind, None)], false);
        let fail = || (vec![(b'E', None)], true);
        match kind {
            b'P' => {
                let Some(text) = body.strip_prefix(b"\0").and_then(|rest| rest.strip_suffix(b"\0\0\0")) else { return fail() };
                // Text in another encoding than the client said is found before anything is dropped.
                let Ok(text) = std::str::from_utf8(text) else { return fail() };
                self.unnamed = None;
                if text.starts_with("bad") {
                    return fail();
                }
                self.unnamed = Some(text.to_string());
                fine(b'1')
            }
            b'Q' => {
                let Some(text) = body.strip_suffix(b"\0") else { return (vec![(b'E', None), (b'Z', None)], true) };
                self.unnamed = None;
                let first = if text.starts_with(b"bad") { b'E' } else { b'C' };
                (vec![(first, None), (b'Z', None)], false)
            }
            b'B' => match &self.unnamed {
                Some(text) => (vec![(b'2', Some(text.clone()))], false),
                None => fail(),
            },
            b'D' if body == b"S\0" && self.unnamed.is_some() => (vec![(b't', self.unnamed.clone()), (b'n', None)], false),
            b'C' if body == b"S\0" => {
                self.unnamed = None;
                fine(b'3')
            }
            b'C' if body[0] == b'S' || body[0] == b'P' => fine(b'3'),
            b'F' => (vec![(if body == b"bad" { b'E' } else { b'V' }, None), (b'Z', None)], false),
            _ => fail(),
        }
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Server {
    link: Exchange,
    model: Model,
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

/// A message of client `who`; every statement says whose it is.
fn message(chance: &mut Chance, who: usize, number: u64, hostile: bool) -> Vec<u8> {
    let text = |bad: &str| format!("{bad}client {who} statement {number}");
    match chance.below(if hostile { 17 } else { 14 }) {
        0..=2 => words(|out| parse(out, b"", text("").as_bytes(), &[]).unwrap()),
        3 => words(|out| parse(out, b"", text("bad ").as_bytes(), &[]).unwrap()),
        4..=6 => framed(b'B', b"\0\0\0\0\0\0\0\0"),
        7 => words(|out| describe_statement(out, b"").unwrap()),
        8 => framed(b'E', b"missing\0\0\0\0\0"),
        9 => words(|out| close_statement(out, b"").unwrap()),
        10 => framed(b'C', b"Pportal\0"),
        11 => words(|out| query(out, if chance_of(number) { b"bad" } else { b"fine" }).unwrap()),
        12 => framed(b'F', if chance_of(number) { b"bad" } else { b"fine" }),
        13 => framed(b'C', b"X\0"),
        // What PostgreSQL cannot read, so that it drops nothing.
        14 => framed(b'P', b"\0no end"),
        15 => framed(b'Q', b"no end"),
        _ => words(|out| parse(out, b"", &[text("").as_bytes(), b"\xff"].concat(), &[]).unwrap()),
    }
}

fn chance_of(number: u64) -> bool {
    number.is_multiple_of(3)
}

/// Sends `bytes` of a client to a server at hand; what comes back for the client.
fn through(client: &mut Client, server: &mut Server, bytes: &[u8]) -> Vec<Answer> {
    let mut out = Verdicts::default();
    let (consumed, stop) = client.on_bytes(bytes, Some(&mut server.link), &mut out);
    assert_eq!((consumed, stop), (bytes.len(), Stop::More));
    let mut sent = Vec::new();
    for verdict in &out.list {
        match verdict {
            Verdict::Forward(range) => sent.extend_from_slice(&bytes[range.clone()]),
            Verdict::ToServer(range) => sent.extend_from_slice(&out.words[range.clone()]),
            Verdict::ToClient(_) => panic!("a server is at hand"),
        }
    }
    let mut answers = Vec::new();
    for (kind, body) in messages(&sent) {
        for answer in server.model.hear(kind, body) {
            let reply = if answer.0 == b'Z' { server.link.ready(Status::Idle) } else { server.link.received(answer.0) };
            assert_ne!(reply, Reply::OutOfStep, "{}", char::from(answer.0));
            if reply != Reply::Swallow {
                answers.push(answer);
            }
        }
    }
    answers
}

fn messages(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = Vec::new();
    while let Some(header) = frame::client_header(bytes).unwrap() {
        all.push((header.kind, &bytes[frame::HEADER..header.total()]));
        bytes = &bytes[header.total()..];
    }
    all
}

/// Three clients on two servers, tenancies of one to four bursts, each burst ended by a Sync or not, all bytes of a burst in one piece.
fn run(seed: u64, hostile: bool) -> (u64, u64) {
    let mut chance = Chance(seed);
    let mut clients: Vec<(Client, Model)> = (0..3).map(|who| (Client::new(PoolerMode::Transaction, who + 1), Model::default())).collect();
    let mut servers: Vec<Server> = (0..2).map(|_| Server { link: Exchange::default(), model: Model::default() }).collect();
    let (mut bound, mut number) = (0, 0);
    for _ in 0..60 {
        let who = chance.below(3) as usize;
        let (client, direct) = &mut clients[who];
        let server = &mut servers[chance.below(2) as usize];
        server.link.take_changed();
        let bursts = 1 + chance.below(4);
        for burst in 0..bursts {
            let mut bytes = Vec::new();
            let mut parses = 0;
            for _ in 0..chance.below(7) {
                number += 1;
                let one = message(&mut chance, who, number, hostile);
                parses += usize::from(one[0] == b'P');
                // More than are kept at once is another test's.
                if parses < super::VERSIONS_MAX || one[0] != b'P' {
                    bytes.extend(one);
                }
                if chance.below(3) == 0 {
                    bytes.extend(words(sync));
                }
            }
            if burst + 1 == bursts || chance.below(2) == 0 {
                bytes.extend(words(sync));
            }
            let expected: Vec<Answer> = messages(&bytes).into_iter().flat_map(|(kind, body)| direct.hear(kind, body)).collect();
            let answers = through(client, server, &bytes);
            for (_, text) in answers.iter().filter(|answer| answer.1.is_some()) {
                bound += 1;
                assert!(text.as_ref().unwrap().contains(&format!("client {who} ")), "seed {seed}: client {who} met {text:?}");
            }
            if !hostile {
                assert_eq!(answers, expected, "seed {seed}, statement {number}, client {who}");
            }
        }
        assert!(server.link.is_free(), "seed {seed}");
        client.detached(&mut server.link);
    }
    (bound, number)
}

#[test]
fn shared_servers_answer_as_one_of_ones_own() {
    let bound: u64 = (0..2000).map(|seed| run(seed, false).0).sum();
    assert!(bound > 50_000, "{bound} statements were met");
}

/// Messages that the server cannot read leave what it has. Then a client may lose its statement, and never meets another's.
#[test]
fn no_message_leads_to_anothers_statement() {
    let bound: u64 = (0..2000).map(|seed| run(seed, true).0).sum();
    assert!(bound > 20_000, "{bound} statements were met");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut client = Client::new(PoolerMode::Transaction, 1);
    let mut server = Server { link: Exchange::default(), model: Model::default() };
    let mut bytes = Vec::new();
    for number in 0..100 {
        bytes.extend(words(|out| parse(out, b"", format!("client 0 statement {number}").as_bytes(), &[]).unwrap()));
    }
    bytes.extend(words(sync));
    let answers = through(&mut client, &mut server, &bytes);
    assert_eq!(answers.len(), 101);
    client.detached(&mut server.link);
    // The last one counts, and is there on another server too.
    let mut other = Server { link: Exchange::default(), model: Model::default() };
    let bind = [framed(b'B', b"\0\0\0\0\0\0\0\0"), words(sync)].concat();
    assert_eq!(through(&mut client, &mut other, &bind)[0], (b'2', Some("client 0 statement 99".into())));
    // Large ones are bounded by their bytes, and leave one of them and one buffer behind.
    client.detached(&mut other.link);
    let text = "x".repeat(super::UNNAMED_MAX - 100);
    let large = words(|out| parse(out, b"", text.as_bytes(), &[]).unwrap());
    let mut out = Verdicts::default();
    client.on_bytes(&large.repeat(50), Some(&mut other.link), &mut out);
    assert!(client.memory() <= super::VERSIONS_BYTES_MAX + super::UNNAMED_MAX, "{}", client.memory());
    let mut other = Server { link: Exchange::default(), model: Model::default() };
    client.detached(&mut other.link);
    assert!(client.memory() <= 2 * super::UNNAMED_MAX, "{}", client.memory());
    through(&mut client, &mut other, &[words(|out| parse(out, b"", b"client 0 again", &[]).unwrap()), words(sync)].concat());
    // One that is too large to keep can be bound where it is, and nowhere else.
    client.detached(&mut other.link);
    let large = words(|out| parse(out, b"", "x".repeat(super::UNNAMED_MAX).as_bytes(), &[]).unwrap());
    let answers = through(&mut client, &mut other, &[large, bind.clone()].concat());
    assert_eq!(answers.iter().map(|answer| answer.0).collect::<Vec<u8>>(), b"12Z");
    client.detached(&mut other.link);
    assert_eq!(through(&mut client, &mut server, &bind)[0].0, b'E');
    client.detached(&mut server.link);
}
