//! Named statements on shared servers: what goes to the server, and what the client is told.

use super::*;
use crate::config::snapshot::PoolerMode;
use crate::session::Verdict;
use crate::session::exchange::{Reply, Status as Now};
use crate::session::shelf::Keep;
use crate::session::statements::{Front, Library};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Clients of one core.
struct Desk {
    client: Client,
    link: Exchange,
    held: Vec<u8>,
    to_client: Vec<u8>,
}

impl Desk {
    fn new(caching: PreparedStatements, front: &Rc<RefCell<Front>>) -> Desk {
        let mut client = Client::new(PoolerMode::Transaction, 3);
        client.share(caching, front.clone());
        Desk { client, link: Exchange::default(), held: Vec::new(), to_client: Vec::new() }
    }

    fn extended() -> Desk {
        Desk::new(PreparedStatements::Extended, &front())
    }

    /// What goes to the server for this: the types, and in brackets the names of Parse, Bind, Describe, Close.
    fn say(&mut self, messages: &[Vec<u8>]) -> (String, Stop) {
        self.held.extend(messages.concat());
        let held = std::mem::take(&mut self.held);
        let (mut out, mut sent) = (Verdicts::default(), Vec::new());
        let (consumed, stop) = self.client.on_bytes(&held, Some(&mut self.link), &mut out);
        for verdict in &out.list {
            match verdict {
                Verdict::Forward(range) => sent.extend_from_slice(&held[range.clone()]),
                Verdict::ToServer(range) => sent.extend_from_slice(&out.words[range.clone()]),
                Verdict::ToClient(range) => self.to_client.extend_from_slice(&out.words[range.clone()]),
            }
        }
        self.held = held[consumed..].to_vec();
        (shown(&sent), stop)
    }

    /// The server answers: as types, `e` an error.
    fn hear(&mut self, replies: &[u8]) {
        for &kind in replies {
            if matches!(kind, b'T' | b'n') && self.link.is_describing() {
                self.link.described(Some(if kind == b'T' { 7 } else { 0 }));
            }
            let reply = if kind == b'Z' { self.link.ready(Now::Idle) } else { self.link.received(kind) };
            assert_ne!(reply, Reply::OutOfStep, "{}", char::from(kind));
            while let Some(due) = self.link.due() {
                crate::session::client::say_due(due, &mut self.to_client);
            }
        }
    }

    /// Another server is at hand.
    fn change(&mut self, link: Exchange) -> Exchange {
        self.client.detached(&mut self.link);
        let mut old = std::mem::replace(&mut self.link, link);
        old.meets();
        self.link.meets();
        self.link.shelf.meets(Keep { limit: 2, ..Keep::default() }, 0);
        old
    }
}

fn front() -> Rc<RefCell<Front>> {
    Rc::new(RefCell::new(Front::new(Arc::new(Library::default()))))
}

fn shown(bytes: &[u8]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Ok(Some(header)) = frame::client_header(&bytes[at..]) {
        text.push(char::from(header.kind));
        if let Peek::Statement(name) = statement_of(header, &bytes[at + HEADER..])
            && !name.is_empty()
        {
            text.push_str(&format!("[{}]", String::from_utf8_lossy(name).replace("__pgdog_", "")));
        }
        at += header.total();
    }
    assert_eq!(at, bytes.len(), "whole messages");
    text
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn p(name: &str, text: &str) -> Vec<u8> {
    framed(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

fn b(name: &str) -> Vec<u8> {
    framed(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

fn d(name: &str) -> Vec<u8> {
    framed(b'D', format!("S{name}\0").as_bytes())
}

fn c(name: &str) -> Vec<u8> {
    framed(b'C', format!("S{name}\0").as_bytes())
}

fn e() -> Vec<u8> {
    framed(b'E', b"\0\0\0\0\0")
}

fn s() -> Vec<u8> {
    framed(b'S', b"")
}

fn q(text: &str) -> Vec<u8> {
    framed(b'Q', format!("{text}\0").as_bytes())
}

fn more(text: &str) -> (String, Stop) {
    (text.to_string(), Stop::More)
}

#[test]
fn a_statement_goes_with_its_client() {
    let mut desk = Desk::extended();
    assert_eq!(desk.say(&[p("a", "SELECT 1"), b("a"), e(), s()]), more("P[1]B[1]ES"));
    desk.hear(b"12CZ");
    assert_eq!(desk.say(&[b("a"), e(), s()]), more("B[1]ES"));
    desk.hear(b"2CZ");
    let first = desk.change(Exchange::default());
    assert_eq!(desk.say(&[b("a"), e(), b("a"), e(), s()]), more("P[1]B[1]EB[1]ES"), "prepared where it is missing, once");
    desk.hear(b"12C2CZ");
    assert!(desk.to_client.is_empty());
    desk.change(first);
    assert_eq!(desk.say(&[b("a"), e(), s()]), more("B[1]ES"), "the first one has it still");
}

#[test]
fn clients_share_texts_and_not_names() {
    let front = front();
    let mut one = Desk::new(PreparedStatements::Extended, &front);
    one.say(&[p("s", "SELECT 1"), s()]);
    one.hear(b"1Z");
    let server = one.change(Exchange::default());
    let mut other = Desk::new(PreparedStatements::Extended, &front);
    other.change(server);
    assert_eq!(other.say(&[b("s"), s()]), more("B[s]S"), "the server says that there is none");
    other.hear(b"EZ");
    assert_eq!(other.say(&[p("s", "SELECT 2"), p("t", "SELECT 1"), b("t"), e(), s()]), more("P[2]B[1]ES"));
    assert!(other.to_client.is_empty(), "the answer of ours waits for its turn");
    other.hear(b"1");
    assert_eq!(other.to_client, b"1\0\0\0\x04");
    other.hear(b"2CZ");
    assert!(other.link.is_free());
}

#[test]
fn names_are_used_once_and_free_after_their_close() {
    let mut desk = Desk::extended();
    desk.say(&[p("a", "SELECT 1"), s()]);
    desk.hear(b"1Z");
    // What is wrong with the text comes first.
    assert_eq!(desk.say(&[p("a", "SELECT 2"), s()]).0, "P[2]D[pg_dog refuses]S");
    assert_eq!(desk.link.received(b'1'), Reply::Swallow);
    assert_eq!(desk.link.received(b'E'), Reply::Refuse(Refusal::Exists(b"a"[..].into())));
    desk.hear(b"Z");
    assert_eq!(desk.say(&[c("a"), p("a", "SELECT 2"), b("a"), s()]), more("B[2]S"));
    assert_eq!(desk.to_client, b"3\0\0\0\x041\0\0\0\x04");
    desk.hear(b"2Z");
    // Ours are nobody's to name.
    assert_eq!(desk.say(&[b("__pgdog_2"), s()]).0, "D[pg_dog refuses]S");
    desk.hear(b"EZ");
    assert_eq!(desk.say(&[c("__pgdog_2"), s()]), more("S"));
}

#[test]
fn what_failed_was_never_prepared() {
    let mut desk = Desk::extended();
    desk.say(&[p("a", "SELEC"), b("a"), e(), s()]);
    desk.hear(b"EZ");
    assert_eq!(desk.say(&[b("a"), s()]), more("B[a]S"));
    desk.hear(b"EZ");
    assert_eq!(desk.say(&[p("a", "SELECT 1"), s()]), more("P[2]S"));
    desk.hear(b"1Z");
    // A Close that was skipped has not happened, a statement that went for another is still there.
    desk.say(&[b("x"), c("a"), s()]);
    desk.hear(b"EZ");
    assert_eq!(desk.say(&[b("a"), s()]), more("B[2]S"));
}

#[test]
fn across_batches_a_change_is_waited_for() {
    let mut desk = Desk::extended();
    assert_eq!(desk.say(&[p("a", "SELECT 1"), s(), b("a"), e(), s()]), ("P[1]SH".into(), Stop::Full));
    assert_eq!(desk.say(&[]), (String::new(), Stop::Full), "one Flush is enough");
    desk.hear(b"1Z");
    assert_eq!(desk.say(&[]), more("B[1]ES"));
    desk.hear(b"2CZ");
    // What is only used needs no waiting.
    assert_eq!(desk.say(&[b("a"), e(), s(), b("a"), e(), s()]), more("B[1]ESB[1]ES"));
}

#[test]
fn a_server_keeps_so_many() {
    let mut desk = Desk::extended();
    desk.change(Exchange::default());
    for name in ["a", "b", "c"] {
        desk.say(&[p(name, name), s()]);
        desk.hear(b"1Z");
    }
    assert_eq!(desk.link.shelf.len(), 3, "in use by this checkout");
    let server = desk.change(Exchange::default());
    desk.change(server);
    assert_eq!(desk.say(&[b("a"), s()]), more("C[1]SC[2]P[1]B[1]S"), "the oldest goes, and comes again");
    desk.hear(b"3Z312Z");
    assert!(desk.link.is_free());
}

#[test]
fn rows_that_were_described_keep_their_shape() {
    let mut desk = Desk::extended();
    desk.say(&[p("a", "SELECT *"), d("a"), s()]);
    desk.hear(b"1tTZ");
    desk.change(Exchange::default());
    assert_eq!(desk.say(&[b("a"), e(), s()]), ("P[1]D[1]H".into(), Stop::Full), "prepared again, and looked at first");
    desk.hear(b"1tT");
    assert_eq!(desk.say(&[]), more("B[1]ES"));
    desk.hear(b"2CZ");
    desk.change(Exchange::default());
    desk.say(&[b("a"), e(), s()]);
    desk.hear(b"1tn");
    assert_eq!(desk.say(&[]).0, "D[pg_dog refuses]ES");
    assert_eq!(desk.link.received(b'E'), Reply::Refuse(Refusal::Changed));
}

#[test]
fn deallocate_means_the_clients_own() {
    let mut desk = Desk::extended();
    desk.say(&[p("a", "SELECT 1"), s()]);
    desk.hear(b"1Z");
    assert_eq!(desk.say(&[q("DEALLOCATE other")]), more("Q"));
    desk.hear(b"EZ");
    assert_eq!(desk.say(&[q("DEALLOCATE a"), b("a"), s()]), ("P[0]QH".into(), Stop::Full));
    desk.hear(b"1C");
    desk.link.tagged(crate::session::exchange::Outcome::Dropped(crate::session::exchange::Dropped::One));
    desk.hear(b"Z");
    assert_eq!(desk.say(&[]), more("B[a]S"));
}

#[test]
fn unnamed_ones_can_be_shared_too() {
    let mut desk = Desk::new(PreparedStatements::ExtendedAnonymous, &front());
    assert_eq!(desk.say(&[p("", "SELECT 1"), b(""), e(), s()]), more("P[1]B[1]ES"));
    desk.hear(b"12CZ");
    assert_eq!(desk.say(&[p("", "SELECT 1"), b(""), e(), p("", "SELECT 2"), b(""), e(), s()]), more("B[1]EP[2]B[2]ES"));
    desk.hear(b"2C12CZ");
    assert_eq!(desk.say(&[q("SELECT 1"), b(""), s()]).0, "QBS", "a simple query drops it, and the server says so");
}

#[test]
fn who_shares_nothing_stays_where_it_is() {
    let mut desk = Desk::new(PreparedStatements::Disabled, &front());
    assert_eq!(desk.say(&[p("a", "SELECT 1"), b("a"), e(), s()]), more("P[a]B[a]ES"));
    assert_eq!(desk.link.pins, Pins::NAMED);
    let mut desk = Desk::extended();
    let large = "x".repeat(STATEMENT_MAX);
    assert_eq!(desk.say(&[p("a", &large), b("a"), s()]), more("P[a]B[a]S"));
    assert_eq!(desk.link.pins, Pins::NAMED);
}

#[test]
fn literals_that_depend_on_when_are_nobody_elses() {
    let front = front();
    let mut desk = Desk::new(PreparedStatements::Extended, &front);
    assert_eq!(desk.say(&[p("a", "SELECT 'now'::text"), p("b", "SELECT 'now'::text"), s()]), more("P[1]P[2]S"));
    desk.hear(b"11Z");
    // So are texts that are parsed under parameters nobody knows yet.
    assert_eq!(desk.say(&[q("SET search_path = x"), p("c", "SELECT 1"), p("d", "SELECT 1"), s()]), more("QP[3]P[4]S"));
}

#[test]
fn what_was_skipped_leaves_the_unnamed_statement_as_it_was() {
    let mut desk = Desk::extended();
    desk.say(&[p("", "SELECT 1"), s()]);
    desk.hear(b"1Z");
    desk.say(&[d("other"), q("SELECT 2"), p("", "SELECT 3"), s()]);
    desk.hear(b"EZ");
    desk.link.sent(crate::session::exchange::OUR_ASK);
    assert!(desk.say(&[b(""), e(), s()]).0.starts_with('P'), "the first one");
    desk.say(&[d("other"), q("SELECT 2"), s()]);
}
