//! Transactions that begin and end without a server, by both protocols: what is answered, what is remembered, what is left to a server.

use super::*;
use crate::session::Verdict;
use crate::session::exchange::Exchange;
use crate::wire::client::{parse, query, sync};

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn p(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    parse(&mut out, name.as_bytes(), text.as_bytes(), &[]).expect("short");
    out
}

fn b(name: &str) -> Vec<u8> {
    framed(b'B', &[b"\0", name.as_bytes(), b"\0\0\0\0\0\0\0"].concat())
}

fn d(name: &str) -> Vec<u8> {
    framed(b'D', &[b"S", name.as_bytes(), b"\0"].concat())
}

fn q(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    query(&mut out, text.as_bytes()).expect("short");
    out
}

fn e() -> Vec<u8> {
    framed(b'E', b"\0\0\0\0\0")
}

fn portal() -> Vec<u8> {
    framed(b'D', b"P\0")
}

fn s() -> Vec<u8> {
    let mut out = Vec::new();
    sync(&mut out);
    out
}

/// Parse, Bind, Describe, Execute, Sync.
fn whole(text: &str) -> Vec<u8> {
    [p("", text), b(""), portal(), e(), s()].concat()
}

fn client() -> Client {
    Client::new(PoolerMode::Transaction, 3)
}

/// What the client's bytes come to: how many are consumed, why it stopped, what it is told, and the types of what the server is sent.
fn say(client: &mut Client, bytes: &[u8], link: Option<&mut Exchange>) -> (usize, Stop, Vec<u8>, String) {
    let mut out = Verdicts::default();
    let (consumed, stop) = client.on_bytes(bytes, link, &mut out);
    let (mut told, mut sent) = (Vec::new(), Vec::new());
    for verdict in &out.list {
        match verdict {
            Verdict::Forward(range) => sent.extend_from_slice(&bytes[range.clone()]),
            Verdict::ToServer(range) => sent.extend_from_slice(&out.words[range.clone()]),
            Verdict::ToClient(range) => told.extend_from_slice(&out.words[range.clone()]),
        }
    }
    let (mut kinds, mut at) = (String::new(), 0);
    while let Ok(Some(header)) = frame::client_header(&sent[at..]) {
        kinds.push(char::from(header.kind));
        at += header.total();
    }
    (consumed, stop, told, kinds)
}

/// The types of messages, a status behind each Z.
fn kinds(told: &[u8]) -> String {
    let (mut kinds, mut at) = (String::new(), 0);
    while at < told.len() {
        kinds.push(char::from(told[at]));
        let total = 1 + u32::from_be_bytes(told[at + 1..at + 5].try_into().expect("four")) as usize;
        if told[at] == b'Z' {
            kinds.push(char::from(told[at + 5]));
        }
        at += total;
    }
    kinds
}

/// All of it is answered without a server.
fn answered(client: &mut Client, bytes: &[u8]) -> String {
    let (consumed, stop, told, sent) = say(client, bytes, None);
    assert_eq!((consumed, stop, sent.as_str()), (bytes.len(), Stop::More, ""));
    kinds(&told)
}

/// None of it is.
fn wanted(client: &mut Client, bytes: &[u8]) {
    let (consumed, stop, told, _) = say(client, bytes, None);
    assert_eq!((consumed, stop, told.as_slice()), (0, Stop::Want, &b""[..]));
}

#[test]
fn a_batch_is_answered_whole_however_it_is_cut() {
    let named = [p("b", "BEGIN"), d("b"), s(), b("b"), e(), s(), p("c", "COMMIT"), d("c"), b("c"), portal(), e(), s(), d("b"), s()].concat();
    let both = [whole("start transaction isolation level serializable;"), whole("END")].concat();
    for (bytes, answer) in [(named, "1tnZI2CZT1tn2nCZItnZI"), (both, "12nCZT12nCZI")] {
        let expected = say(&mut client(), &bytes, None).2;
        assert_eq!(kinds(&expected), answer);
        for cut in 0..bytes.len() {
            let mut client = client();
            let (consumed, stop, mut told, _) = say(&mut client, &bytes[..cut], None);
            let (rest, then, more, _) = say(&mut client, &bytes[consumed..], None);
            told.extend(more);
            assert_eq!((stop, then, consumed + rest), (Stop::More, Stop::More, bytes.len()), "cut at {cut}");
            assert_eq!((told, client.requests), (expected.clone(), if answer.len() > 15 { 4 } else { 2 }), "cut at {cut}");
        }
    }
}

#[test]
fn tags_are_postgresqls() {
    let tag = |before: &str, text: &str| {
        let mut client = client();
        say(&mut client, &whole(before), None);
        let (_, _, told, _) = say(&mut client, &whole(text), None);
        String::from_utf8_lossy(&told[15 + 5..told.len() - 7]).into_owned()
    };
    assert_eq!((tag("", "begin work"), tag("", "START TRANSACTION READ ONLY")), ("BEGIN".into(), "START TRANSACTION".into()));
    assert_eq!((tag("BEGIN", "end"), tag("BEGIN", "abort")), ("COMMIT".into(), "ROLLBACK".into()));
}

#[test]
fn it_is_sent_in_front_of_the_first_statement() {
    let mut client = client();
    assert_eq!((answered(&mut client, &whole("BEGIN")), client.status()), ("12nCZT".into(), b'T'));
    let select = whole("SELECT 1");
    wanted(&mut client, &select);
    let mut link = Exchange::default();
    let (consumed, _, _, sent) = say(&mut client, &select, Some(&mut link));
    assert_eq!((consumed, sent.as_str()), (select.len(), "QPBDES"));
    assert!(link.has_begun() && !client.has_begun());
}

#[test]
fn what_is_not_plain_is_left_to_a_server() {
    let bound = |rest: &[u8]| [p("", "BEGIN"), framed(b'B', rest), e(), s()].concat();
    for bytes in [
        [p("", "BEGIN"), b(""), e(), p("", "SELECT 1"), b(""), e(), s()].concat(),
        [p("", "BEGIN"), b(""), s()].concat(),
        [p("", "BEGIN"), b(""), e(), e(), s()].concat(),
        [p("", "BEGIN"), b("other"), e(), s()].concat(),
        [p("", "BEGIN"), d("other"), s()].concat(),
        [p("", "BEGIN"), e(), s()].concat(),
        [p("", "BEGIN"), b(""), framed(b'E', b"p\0\0\0\0\0"), s()].concat(),
        [p("", "BEGIN"), b(""), e(), framed(b'H', b"")].concat(),
        [p("", "BEGIN"), b(""), e(), framed(b'S', b"\0")].concat(),
        [p("", "BEGIN"), d(""), d(""), d(""), d(""), d(""), d(""), s()].concat(),
        bound(b"\0\0\0\0\0\x01\0\0\0\x011\0\0"),
        bound(b"\0\0\0\x01\0\0\0\0\0\0"),
        bound(b"\0\0\0\0\0\0\0\x01\0"),
        bound(b"p\0\0\0\0\0\0\0\0"),
        [framed(b'P', b"\0BEGIN\0\0\x01\0\0\0\x17"), b(""), e(), s()].concat(),
        [framed(b'P', b"\0BEGIN\0\0"), b(""), e(), s()].concat(),
        whole("COMMIT"),
        whole("BEGIN; SELECT 1"),
        whole("BEGIN READ ONLY READ WRITE"),
        whole("SET x = 1"),
        whole("COMMENT ON TABLE t IS ''"),
        [b("b"), e(), s()].concat(),
    ] {
        wanted(&mut client(), &bytes);
    }
    let mut session = Client::new(PoolerMode::Session, 3);
    wanted(&mut session, &whole("BEGIN"));
    let mut begun = client();
    answered(&mut begun, &whole("BEGIN"));
    wanted(&mut begun, &whole("BEGIN"));
    wanted(&mut begun, &whole("COMMIT AND CHAIN"));
    assert_eq!(answered(&mut begun, &whole("COMMIT")), "12nCZI");
}

#[test]
fn a_named_one_is_the_clients_like_any_other() {
    let mut client = client();
    assert_eq!(answered(&mut client, &[p("b", "BEGIN"), s()].concat()), "1ZI");
    assert_eq!((client.statements(), client.text_of_name(b"b")), (1, Some(&b"BEGIN"[..])));
    // It is there already, as the server will say.
    wanted(&mut client, &[p("b", "BEGIN"), s()].concat());
    // Another of its statements is not waited for.
    client.names.get_or_insert_default().prepare(b"other", alone(b"SELECT 1\0\0\0", Default::default()));
    wanted(&mut client, &b("other"));
    let batch = [b("b"), e(), s()].concat();
    let (_, _, _, sent) = say(&mut client, &batch, Some(&mut Exchange::default()));
    assert_eq!(sent, "PBES", "a server that has it not is given it");
    let mut disabled = Client::new(PoolerMode::Transaction, 3);
    disabled.caching = PreparedStatements::Disabled;
    wanted(&mut disabled, &[p("b", "BEGIN"), s()].concat());
    assert_eq!(answered(&mut disabled, &whole("BEGIN")), "12nCZT");
}

#[test]
fn the_unnamed_one_is_there_afterwards() {
    let again = [b(""), e(), s()].concat();
    for caching in [PreparedStatements::Extended, PreparedStatements::ExtendedAnonymous] {
        let mut client = client();
        client.caching = caching;
        answered(&mut client, &whole("BEGIN"));
        answered(&mut client, &whole("COMMIT"));
        if caching == PreparedStatements::Extended {
            wanted(&mut client, &again);
        }
        let (_, _, _, sent) = say(&mut client, &again, Some(&mut Exchange::default()));
        assert_eq!(sent, "PBES", "{caching:?}");
        // A simple query leaves none.
        let mut client = self::client();
        client.caching = caching;
        answered(&mut client, &[whole("BEGIN"), q("COMMIT")].concat());
        let (_, _, _, sent) = say(&mut client, &again, Some(&mut Exchange::default()));
        assert_eq!(sent, "BES", "{caching:?}");
    }
}

#[test]
fn a_failed_one_takes_only_its_end() {
    let failed = || {
        let mut client = client();
        answered(&mut client, &whole("BEGIN"));
        let select = whole("SELECT 1");
        wanted(&mut client, &select);
        assert_eq!(client.refuse_request(&select), 0);
        assert_eq!(answered(&mut client, &select), "ZE");
        client
    };
    let mut client = failed();
    wanted(&mut client, &[p("b", "BEGIN"), s()].concat());
    assert_eq!(answered(&mut client, &[p("c", "COMMIT"), s()].concat()), "1ZE");
    let (_, _, told, _) = say(&mut client, &[b("c"), e(), s()].concat(), None);
    assert!(told.windows(9).any(|window| window == b"ROLLBACK\0"), "{told:?}");
    assert_eq!(client.status(), b'I');
    // On a server what it had without a name does not stand in the way of its end.
    let mut client = failed();
    let (_, _, _, sent) = say(&mut client, &[b("c"), e(), s()].concat(), Some(&mut Exchange::default()));
    assert_eq!(sent, "QQBES");
}
