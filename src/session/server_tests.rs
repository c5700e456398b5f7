//! The server's reader: every cut of its bytes comes to the same, what is the client's reaches it, what is not does not.

use super::*;
use crate::session::Verdict;
use crate::session::exchange::{OUR_BEGIN, OUR_QUERY, REFUSED, Refusal};
use crate::wire::server as write;

const CLIENT: u64 = 5;

/// A server with what the engine does for it.
#[derive(Default)]
struct Desk {
    server: Server,
    held: Vec<u8>,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    heard: Vec<Heard>,
}

impl Desk {
    fn sent(kinds: &[u8]) -> Desk {
        let mut desk = Desk::default();
        for &kind in kinds {
            match kind {
                REFUSED => desk.server.exchange.sent_refused(REFUSED, Refusal::Begins),
                _ => desk.server.exchange.sent(kind),
            }
        }
        desk
    }

    fn hear(&mut self, bytes: &[u8], client: u64) {
        self.held.extend_from_slice(bytes);
        loop {
            let held = std::mem::take(&mut self.held);
            let mut out = Verdicts::default();
            let (consumed, heard) = self.server.on_bytes(&held, client, &mut out);
            for verdict in &out.list {
                match verdict {
                    Verdict::Forward(range) => self.to_client.extend_from_slice(&held[range.clone()]),
                    Verdict::ToServer(range) => self.to_server.extend_from_slice(&out.words[range.clone()]),
                    Verdict::ToClient(range) => self.to_client.extend_from_slice(&out.words[range.clone()]),
                }
            }
            self.held = held[consumed..].to_vec();
            match heard {
                Heard::More => return,
                Heard::Free | Heard::LeftOpen => self.heard.push(heard),
                Heard::Fatal(_) | Heard::Unfit | Heard::OutOfStep(_) => return self.heard.push(heard),
            }
        }
    }
}

fn words(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn tag(text: &str) -> Vec<u8> {
    words(|out| write::command_complete(out, text).expect("short"))
}

fn row(bytes: usize) -> Vec<u8> {
    words(|out| write::data_row(out, &[Some(&vec![b'x'; bytes])]).expect("short"))
}

fn ready(status: u8) -> Vec<u8> {
    words(|out| write::ready(out, status))
}

fn report(severity: &str, code: &str) -> Vec<u8> {
    words(|out| write::error(out, &ErrorFields { severity, code, message: "because", detail: None, hint: None }))
}

fn parameter(name: &str, value: &str) -> Vec<u8> {
    words(|out| write::parameter_status(out, name.as_bytes(), value.as_bytes()).expect("short"))
}

#[test]
fn every_cut_comes_to_the_same() {
    let sent = [OUR_QUERY, b'Q', b'P', REFUSED, b'B', b'E', b'S', b'Q'];
    let bytes = [
        [framed(b'T', b"\0\0"), row(9), tag("SELECT 1"), ready(b'I')].concat(),
        [framed(b'T', b"\0\0"), row(10), row(2000), framed(b'N', b"SNOTICE\0\0"), tag("SET"), parameter("TimeZone", "UTC"), ready(b'T')].concat(),
        [framed(b'1', b""), report("ERROR", "26000"), ready(b'E')].concat(),
        [tag("ROLLBACK"), parameter("TimeZone", "Asia/Tokyo"), ready(b'I')].concat(),
    ]
    .concat();
    let mut whole = Desk::sent(&sent);
    whole.hear(&bytes, CLIENT);
    assert_eq!(whole.heard, [Heard::Free]);
    assert_eq!((whole.server.counts.queries, whole.server.counts.transactions), (3, 1));
    for cut in 0..=bytes.len() {
        let mut desk = Desk::sent(&sent);
        desk.hear(&bytes[..cut], CLIENT);
        desk.hear(&bytes[cut..], CLIENT);
        assert!(desk.to_client == whole.to_client && desk.heard == whole.heard, "cut at {cut}");
        assert!(desk.server.at_boundary() && desk.held.is_empty());
        assert_eq!(desk.server.changed, whole.server.changed);
    }
    let mut desk = Desk::sent(&sent);
    bytes.iter().for_each(|&byte| desk.hear(&[byte], CLIENT));
    assert!(desk.to_client == whole.to_client && desk.heard == whole.heard);
    // Ours is not in it, the refusal is another, the rest is as it came.
    let ours = [framed(b'T', b"\0\0"), row(9), tag("SELECT 1"), ready(b'I')].concat().len();
    let theirs = report("ERROR", "26000");
    let at = bytes.windows(theirs.len()).position(|part| part == theirs).expect("it is there");
    let refused = words(|out| refusal(&Refusal::Begins, false, out));
    assert_eq!(whole.to_client, [&bytes[ours..at], &refused[..], &bytes[at + theirs.len()..]].concat());
}

#[test]
fn a_transaction_left_open_shows_in_statement_mode_alone() {
    for status in *b"TE" {
        for (mode, client, expected) in [
            (PoolerMode::Statement, CLIENT, &[Heard::LeftOpen, Heard::Free][..]),
            (PoolerMode::Statement, 0, &[Heard::Free]),
            (PoolerMode::Transaction, CLIENT, &[Heard::Free]),
        ] {
            let mut desk = Desk::sent(b"QQ");
            desk.server.meets(mode, Keep::default(), 0, 0);
            let first = [tag("DO"), ready(status)].concat();
            desk.hear(&[first.clone(), tag("SELECT 1"), ready(b'I')].concat(), client);
            assert_eq!(desk.heard, expected, "{mode:?}");
            let shown = desk.to_client.starts_with(&first);
            assert_eq!(shown, client != 0 && mode == PoolerMode::Transaction, "a client that ends is not told that it is ready");
        }
    }
}

#[test]
fn reports_on_an_idle_server_are_the_pools() {
    let profile = Arc::new(Profile::default());
    let mut desk = Desk::default();
    desk.hear(&[parameter("TimeZone", "Mars"), framed(b'N', b"SNOTICE\0\0"), parameter("a", "1"), parameter("TimeZone", "Venus")].concat(), 0);
    assert!(desk.server.fits(&profile, CLIENT) && desk.to_client.is_empty());
    let reported = desk.server.take_reported();
    assert_eq!(reported, Some(vec![("TimeZone".to_string(), "Venus".to_string()), ("a".to_string(), "1".to_string())]));
    assert_eq!(desk.server.take_reported(), None);
    // What a reset brings to light is the pool's too, but not what is set for the client at once.
    let asked = Arc::new(Profile::new([("DateStyle".to_string(), "German".to_string())]));
    let mut out = Verdicts::default();
    desk.server.bring_to(&asked, CLIENT, &mut out);
    desk.hear(&[tag("SELECT 1"), parameter("DateStyle", "German, DMY"), parameter("TimeZone", "Pluto"), ready(b'I')].concat(), 0);
    assert_eq!(desk.server.take_reported(), Some(vec![("TimeZone".to_string(), "Pluto".to_string())]));
    assert!(desk.server.fits(&asked, CLIENT));
    // A ROLLBACK of ours brings back what the client had set before.
    desk.server.exchange.sent(OUR_QUERY);
    desk.hear(&[tag("ROLLBACK"), parameter("TimeZone", "Mars"), ready(b'I')].concat(), 0);
    assert_eq!(desk.server.take_reported(), None);
    // With somebody there, or with something outstanding of somebody who has gone, they are that one's.
    for (sent, client) in [(&b""[..], CLIENT), (b"Q", 0), (b"Q", CLIENT)] {
        let mut desk = Desk::sent(sent);
        desk.hear(&parameter("TimeZone", "Mars"), client);
        assert_eq!(desk.server.take_reported(), None);
        assert!(!desk.server.fits(&profile, CLIENT));
    }
}

#[test]
fn nothing_is_forwarded_to_nobody() {
    let mut desk = Desk::sent(b"QPBES");
    desk.hear(&[row(100), tag("SELECT 1"), ready(b'I'), report("ERROR", "22012"), ready(b'I')].concat(), 0);
    assert_eq!((desk.to_client.len(), desk.heard), (0, vec![Heard::Free]));
}

#[test]
fn a_fatal_error_ends_the_server_after_it_was_forwarded() {
    for (sent, severity) in [(&b"Q"[..], "FATAL"), (b"Q", "PANIC"), (b"", "FATAL"), (b"BES", "FATAL"), (b"S", "FATAL")] {
        let mut desk = Desk::sent(sent);
        desk.hear(&[report(severity, "57P01"), ready(b'I')].concat(), CLIENT);
        assert_eq!((desk.heard.as_slice(), &desk.to_client), (&[Heard::Fatal(true)][..], &report(severity, "57P01")));
    }
    // Of a query of our own it is nobody's.
    let mut desk = Desk::sent(&[OUR_QUERY]);
    desk.hear(&report("FATAL", "57P01"), CLIENT);
    assert_eq!((desk.heard.as_slice(), desk.to_client.len()), (&[Heard::Fatal(false)][..], 0));
    // Without fields, or too long to be looked at, it is an ordinary one.
    for body in [&b""[..], b"\0", b"no end", &[b'M'; 9000]] {
        let mut desk = Desk::sent(b"Q");
        desk.hear(&[framed(b'E', body), ready(b'I')].concat(), CLIENT);
        assert_eq!(desk.heard, [Heard::Free], "{}", body.len());
        assert_eq!(desk.to_client, [framed(b'E', body), ready(b'I')].concat());
    }
}

#[test]
fn a_server_that_says_what_it_cannot_is_out_of_step() {
    for bytes in [
        framed(b'Z', b""),
        framed(b'Z', b"X"),
        framed(b'Z', &[b'I'; 9000]),
        framed(b'R', b"\0\0\0\0"),
        framed(b'G', b""),
        framed(b'!', b""),
        vec![b'D', 0, 0, 0, 3],
        vec![b'D', 0xff, 0xff, 0xff, 0xff],
        vec![0; 5],
    ] {
        let mut desk = Desk::sent(b"F");
        desk.hear(&bytes, CLIENT);
        assert_eq!(desk.heard, [Heard::OutOfStep(bytes[0])], "{}", bytes[..5].escape_ascii());
        assert_eq!(desk.to_client.len(), 0);
    }
    let mut desk = Desk::default();
    desk.hear(&row(3), CLIENT);
    assert_eq!(desk.heard, [Heard::OutOfStep(b'D')], "rows that nobody asked for go to nobody");
    // Nor is the first byte of one kept for the next client; what may come at any time is.
    let mut desk = Desk::sent(b"Q");
    desk.hear(&[tag("SELECT 0"), ready(b'I'), vec![b'D', 0]].concat(), CLIENT);
    assert_eq!(desk.heard, [Heard::Free, Heard::OutOfStep(b'D')]);
    for kind in *b"NASE" {
        let mut desk = Desk::sent(b"Q");
        desk.hear(&[tag("SELECT 0"), ready(b'I'), vec![kind, 0]].concat(), CLIENT);
        assert_eq!(desk.heard, [Heard::Free], "{}", char::from(kind));
    }
}

#[test]
fn errors_of_our_own_queries_are_kept() {
    let mut desk = Desk::sent(&[OUR_QUERY]);
    desk.hear(&[report("ERROR", "22023"), ready(b'I')].concat(), CLIENT);
    assert_eq!(desk.server.ours_error, Some(("22023".to_string(), "because".to_string())));
    assert!(desk.server.exchange.take_ours_failed() && desk.to_client.is_empty());
}

#[test]
fn parameters_that_a_client_changed_are_noted() {
    let profile = Arc::new(Profile::new([("TimeZone".to_string(), "UTC".to_string())]));
    let mut desk = Desk::sent(b"QQ");
    desk.hear(&[tag("SET"), parameter("TimeZone", "Asia/Tokyo"), parameter("TimeZone", "CET"), ready(b'I')].concat(), CLIENT);
    desk.hear(&[tag("SET"), parameter("is_superuser", "on"), ready(b'I')].concat(), CLIENT);
    let changed = desk.server.learn(&profile, &profile, &[]).expect("it changed");
    assert_eq!((changed.get("timezone"), changed.get("is_superuser")), (Some("CET"), None));
    assert_eq!(desk.server.learn(&profile, &profile, &[]), None, "told once");
    // What our own query brought about is no change of the client's.
    let mut desk = Desk::sent(&[OUR_QUERY]);
    desk.hear(&[parameter("TimeZone", "CET"), tag("SELECT 1"), ready(b'I')].concat(), CLIENT);
    assert_eq!(desk.server.learn(&profile, &profile, &[]), None);
    // So many and no more.
    let mut desk = Desk::default();
    (0..100).for_each(|number| desk.hear(&parameter(&format!("x.{number}"), "1"), CLIENT));
    assert_eq!(desk.server.changed.len(), CHANGED_MAX);
}

#[test]
fn what_a_client_changed_before_it_vanished_is_cleaned() {
    let profile = Arc::new(Profile::default());
    {
        for client in [0, CLIENT] {
            let reply = parameter("TimeZone", "CET");
            let mut desk = Desk::sent(b"Q");
            desk.hear(&[reply.clone(), ready(b'I')].concat(), client);
            assert!(!desk.server.fits(&profile, 6));
            let mut out = Verdicts::default();
            desk.server.bring_to(&profile, 6, &mut out);
            assert!(out.words.windows(11).any(|part| part == b"DISCARD ALL"));
            assert!(desk.server.fits(&profile, 6) && desk.server.learn(&profile, &profile, &[]).is_none());
        }
    }
}

#[test]
fn a_client_that_asks_for_something_else_gets_it() {
    let profile = |zone: &str| Arc::new(Profile::new([("TimeZone".to_string(), zone.to_string())]));
    let mut server = Server::default();
    let mut out = Verdicts::default();
    server.bring_to(&profile("UTC"), 1, &mut out);
    assert!(String::from_utf8_lossy(&out.words).contains("'UTC'") && server.exchange.is_ours());
    assert!(server.fits(&profile("UTC"), 2) && !server.fits(&profile("CET"), 1));
    out.clear();
    assert!(!server.bring_to(&profile("CET"), 2, &mut out), "nobody has taken that value yet");
    assert!(String::from_utf8_lossy(&out.words).contains("set_config('TimeZone', 'CET', false)"));
    server.adopt(profile("UTC"));
    assert!(server.fits(&profile("UTC"), 3));
    // What was taken once can follow at once; what may be refused all the same cannot.
    let proven = profile("CET");
    proven.prove();
    assert!(server.bring_to(&proven, 2, &mut out));
    let role = Arc::new(Profile::new([("role".to_string(), "x".to_string()), ("work_mem".to_string(), "1MB".to_string())]));
    role.prove();
    out.clear();
    assert!(!server.bring_to(&role, 2, &mut out));
    let text = String::from_utf8_lossy(&out.words).into_owned();
    assert!(text.contains("set_config('TimeZone', NULL, false)") && text.find("work_mem") < text.find("role"), "{text}");
    out.clear();
    server.bring_to(&proven, 2, &mut out);
    let text = String::from_utf8_lossy(&out.words).into_owned();
    assert!(text.find("'role', NULL") < text.find("'work_mem', NULL"), "who it speaks for first: {text}");
}

#[test]
fn a_server_in_doubt_is_asked_and_free_after_its_answer() {
    for (client, asked) in [(CLIENT, true), (0, false)] {
        let mut desk = Desk::sent(b"QScQ");
        desk.hear(&[framed(b'G', b"\0\0\0"), report("ERROR", "22P02"), ready(b'I'), tag("SELECT 1"), ready(b'I')].concat(), client);
        assert_eq!((desk.heard.as_slice(), desk.to_server.is_empty()), (&[Heard::Free][..], true), "the next reply says it");
        let mut desk = Desk::sent(b"QSc");
        desk.hear(&[framed(b'G', b"\0\0\0"), report("ERROR", "22P02"), ready(b'I')].concat(), client);
        assert_eq!((desk.heard.len(), !desk.to_server.is_empty()), (0, asked));
        let mut words = Vec::new();
        assert_eq!(desk.server.exchange.recovery(&mut words), !asked);
        let before = desk.to_client.len();
        desk.hear(&[framed(b'3', b""), ready(b'I')].concat(), client);
        assert_eq!((desk.heard.as_slice(), desk.to_client.len()), (&[Heard::Free][..], before));
    }
}

/// A client's Parse failed when the client had gone: that says nothing of the next client's statement.
#[test]
fn a_statement_lost_by_a_client_that_has_gone_is_not_the_next_ones() {
    let mut desk = Desk::sent(b"PS");
    desk.hear(&[report("ERROR", "42601"), ready(b'I')].concat(), 0);
    assert_eq!(desk.heard, [Heard::Free]);
    assert!(desk.server.exchange.has_changed());
    desk.server.meets(PoolerMode::Transaction, Keep::default(), 0, 0);
    assert!(!desk.server.exchange.has_changed());
}

/// What is sent in front of a client's first message may fail before any of that message has gone out.
#[test]
fn what_fails_in_front_of_a_client_is_never_passed_over() {
    for (ours, behind) in [(OUR_QUERY, &b""[..]), (OUR_BEGIN, b""), (OUR_QUERY, b"Q"), (OUR_BEGIN, b"PBES")] {
        let mut desk = Desk::sent(&[&[ours], behind].concat());
        desk.hear(&[report("ERROR", "57014"), ready(b'I')].concat(), CLIENT);
        assert_eq!((desk.heard.as_slice(), desk.to_client.len()), (&[Heard::Unfit][..], 0));
    }
}

/// A server whose client has sent a SET as a simple query.
fn suspected() -> Desk {
    let mut desk = Desk::sent(b"Q");
    desk.server.exchange.suspicion.names.push((b"work_mem"[..].into(), true));
    desk
}

#[test]
fn nothing_is_asked_in_the_middle_of_a_clients_message() {
    let mut desk = suspected();
    desk.server.exchange.cut = true;
    desk.hear(&[tag("SET"), ready(b'I')].concat(), CLIENT);
    assert_eq!((desk.heard.as_slice(), desk.to_server.len(), desk.server.is_suspected()), (&[Heard::Free][..], 0, true));
    let mut out = Verdicts::default();
    assert!(desk.server.ask(CLIENT, &mut out) && !desk.server.is_suspected() && desk.server.exchange.is_asked());
}

#[test]
fn a_question_without_an_answer_is_asked_again_when_the_client_has_done_more() {
    let mut desk = suspected();
    desk.hear(&[tag("SET"), ready(b'I'), report("ERROR", "57014"), ready(b'I')].concat(), CLIENT);
    let asked = desk.to_server.len();
    assert_eq!((desk.heard.as_slice(), asked > 0), (&[Heard::Free][..], true));
    desk.server.learn(&Profile::default(), &Profile::default(), &[]);
    assert_eq!(desk.server.exchange.pins, Pins::UNKNOWN);
    desk.server.exchange.sent(b'Q');
    desk.hear(&[tag("SELECT 1"), ready(b'I'), framed(b'T', b"\0\0"), tag("SELECT 0"), ready(b'I')].concat(), CLIENT);
    assert_eq!((desk.heard.len(), desk.to_server.len() > asked), (2, true));
    desk.server.learn(&Profile::default(), &Profile::default(), &[]);
    assert!(desk.server.exchange.pins.is_empty());
}

#[test]
fn what_was_told_too_late_spoils_the_session() {
    let mut desk = suspected();
    desk.hear(&[tag("SET"), ready(b'I'), framed(b'T', b"\0\0"), tag("SELECT 0"), ready(b'I')].concat(), CLIENT);
    let (profile, mut out) = (Arc::new(Profile::default()), Verdicts::default());
    desk.server.meets(PoolerMode::Transaction, Keep::default(), 0, 0);
    assert!(!desk.server.fits(&profile, CLIENT + 1));
    desk.server.bring_to(&profile, CLIENT + 1, &mut out);
    assert!(out.words.windows(11).any(|words| words == b"DISCARD ALL"));
}

#[test]
fn an_answer_to_a_query_of_ours_is_nothing_that_the_client_has_in_part() {
    for (sent, whole) in [(OUR_QUERY, true), (b'Q', false)] {
        let mut desk = Desk::sent(&[sent]);
        desk.hear(&framed(b'D', &[0; 100])[..50], CLIENT);
        assert_eq!((desk.server.at_boundary(), desk.server.client_at_boundary(), desk.to_client.is_empty()), (false, whole, whole));
    }
}

/// A session is cleaned and given its client's parameters by two queries: only what it comes to in the end is news.
#[test]
fn what_is_cleaned_first_and_set_then_is_no_news() {
    let mut desk = Desk::default();
    let profile = Arc::new(Profile::new([("application_name".to_string(), "mine".to_string())]));
    desk.server.spoil();
    desk.server.bring_to(&profile, CLIENT, &mut Verdicts::default());
    let cleaned = [tag("DISCARD ALL"), parameter("application_name", ""), ready(b'I')].concat();
    let set = [framed(b'T', b"\0\0"), row(1), tag("SELECT 1"), parameter("application_name", "mine"), ready(b'I')].concat();
    desk.hear(&[cleaned, set].concat(), CLIENT);
    assert!(desk.to_client.is_empty(), "{}", desk.to_client.escape_ascii());
    assert!(desk.server.fits(&profile, CLIENT));
}
