//! Which requests are a wish, however they come; the answers are those of a server.

use super::*;
use crate::wire::client;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn query(text: &str) -> Vec<u8> {
    let mut words = Vec::new();
    client::query(&mut words, text.as_bytes()).unwrap();
    words
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    let mut words = Vec::new();
    client::parse(&mut words, name.as_bytes(), text.as_bytes(), &[]).unwrap();
    words
}

fn bind(statement: &str) -> Vec<u8> {
    message(b'B', &[b"\0", statement.as_bytes(), &[0; 7]].concat())
}

fn of(bytes: &[u8]) -> Begins {
    begins(bytes, |name| (name == b"mine").then_some(b"LISTEN c".as_slice()))
}

const DESCRIBE: &[u8] = b"D\0\0\0\x06P\0";
const EXECUTE: &[u8] = b"E\0\0\0\x09\0\0\0\0\0";
const SYNC: &[u8] = b"S\0\0\0\x04";

#[test]
fn texts_that_are_one_wish() {
    for (text, wish) in [
        ("LISTEN c", Wish::Listen(b"c".to_vec())),
        ("  listen  \"A \"\"b\" ; ", Wish::Listen(b"A \"b".to_vec())),
        ("/* x */ Listen Foo -- y", Wish::Listen(b"foo".to_vec())),
        ("UNLISTEN Bar;", Wish::Unlisten(b"bar".to_vec())),
        ("unlisten *", Wish::UnlistenAll),
    ] {
        assert_eq!(of_text(text.as_bytes()), Some(wish), "{text}");
    }
    let long = format!("LISTEN {}", "x".repeat(2000));
    for text in ["", "LISTEN", "LISTEN a; LISTEN b", "LISTEN a, b", "SELECT 1", "LISTEN 'a'", "UNLISTEN a b", "BEGIN; LISTEN a", &long] {
        assert_eq!(of_text(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn requests_that_are_one_wish() {
    let wish = || Wish::Listen(b"c".to_vec());
    let whole = [parse("", "LISTEN c"), bind(""), DESCRIBE.to_vec(), EXECUTE.to_vec(), SYNC.to_vec()].concat();
    let form = Form { parse: true, bind: true, describe: true };
    assert_eq!(of(&whole), Begins::Wish(wish(), form, whole.len()));
    let short = [parse("", "LISTEN c"), bind(""), EXECUTE.to_vec(), SYNC.to_vec()].concat();
    assert_eq!(of(&short), Begins::Wish(wish(), Form { describe: false, ..form }, short.len()));
    let named = [bind("mine"), EXECUTE.to_vec(), SYNC.to_vec()].concat();
    assert_eq!(of(&named), Begins::Wish(wish(), Form { parse: false, bind: true, describe: false }, named.len()));
    let simple = query("LISTEN c");
    assert_eq!(of(&simple), Begins::Wish(wish(), Form::default(), simple.len()));
    // Whatever follows is another request's; whatever is not there yet is waited for.
    for request in [&whole, &named, &simple] {
        let more = [request.as_slice(), &query("SELECT 1")].concat();
        assert_eq!(of(&more), of(request));
        for cut in 1..request.len() {
            assert_eq!(of(&request[..cut]), Begins::More, "{cut} of {request:?}");
        }
    }
    let mut words = Vec::new();
    form.done("LISTEN", &mut words);
    assert_eq!(words, b"1\0\0\0\x042\0\0\0\x04n\0\0\0\x04C\0\0\0\x0bLISTEN\0Z\0\0\0\x05I");
    words.clear();
    Form::default().failed(&ErrorFields { severity: "ERROR", code: "08001", message: "no", detail: None, hint: None }, &mut words);
    assert!(words.starts_with(b"E") && words.ends_with(b"Z\0\0\0\x05I"));
}

#[test]
fn other_requests_are_their_servers() {
    let listen = parse("", "LISTEN c");
    for other in [
        query("SELECT 1"),
        SYNC.to_vec(),
        parse("named", "LISTEN c"),
        [&parse("", "SELECT 1")[..], &bind("")].concat(),
        [&listen[..], SYNC].concat(),
        [&listen[..], &listen].concat(),
        [&listen[..], &bind("mine")].concat(),
        [&listen[..], &bind(""), SYNC].concat(),
        [&listen[..], &bind(""), EXECUTE, EXECUTE].concat(),
        [&listen[..], &bind(""), EXECUTE, &listen].concat(),
        [&bind("")[..], EXECUTE, SYNC].concat(),
        [&bind("unknown")[..], EXECUTE, SYNC].concat(),
        // A parameter that the statement does not have: the server says so.
        message(b'B', b"\0mine\0\0\0\0\x01\0\0\0\x01x\0\0"),
        message(b'P', b"\0LISTEN c\0\0\x01\0\0\0\x17"),
        message(b'Q', b"LISTEN c"),
    ] {
        assert_eq!(of(&other), Begins::Other, "{other:?}");
    }
}
