//! Names of parameters among values: which are, and that a Bind with some is waited for.

use super::*;
use crate::config::snapshot::PoolerMode;
use crate::session::Verdicts;
use crate::wire::client::parse;

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn bind(values: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 1];
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend_from_slice(value);
    }
    framed(b'B', &[body.as_slice(), &[0, 0]].concat())
}

#[test]
fn names_are_words_with_dots() {
    for name in ["my.param", "_a.b1.c$", "My.Param"] {
        assert!(is_custom_name(name.as_bytes()), "{name}");
    }
    for name in ["", ".", "a", "a.", ".b", "1.5", "a.1", "a b.c", "a.b'", "é.b", "work_mem"] {
        assert!(!is_custom_name(name.as_bytes()), "{name}");
    }
    assert!(!is_custom_name(&[&b"a."[..], &[b'x'; NAME_MAX]].concat()));
}

/// The names that are asked about after this text and these values, in two pieces.
fn asked(text: &str, values: &[&[u8]], cut: usize) -> Vec<String> {
    let mut client = Client::new(PoolerMode::Transaction, 3);
    let mut link = Exchange::default();
    let mut bytes = Vec::new();
    parse(&mut bytes, b"", text.as_bytes(), &[]).expect("short");
    bytes.extend(bind(values));
    let (consumed, _) = client.on_bytes(&bytes[..cut.min(bytes.len())], Some(&mut link), &mut Verdicts::default());
    let (rest, _) = client.on_bytes(&bytes[consumed..], Some(&mut link), &mut Verdicts::default());
    assert_eq!(consumed + rest, bytes.len());
    link.suspicion.names.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

#[test]
fn values_that_may_be_names_are_asked_about() {
    for cut in 0..100 {
        assert_eq!(asked("SELECT set_config($1, $2, false)", &[b"my.param", b"mine"], cut), ["my.param"], "{cut}");
    }
    assert_eq!(asked("SELECT set_config(n, v, false) FROM unnest($1, $2) x(n, v)", &[b"{a.b}", b"c.d"], 0), ["c.d"]);
    assert_eq!(asked("SELECT set_config(n, 'x', false) FROM (VALUES ('a.b'), ('c d')) x(n)", &[], 0), ["a.b"]);
    assert_eq!(asked("SELECT set_config('a.b', $1, false)", &[b"c.d"], 0), ["a.b"], "a value is no name");
    assert_eq!(asked("SELECT $1", &[b"c.d"], 0), Vec::<String>::new());
    assert_eq!(asked("SELECT set_config($1, $2, false)", &[b"my.param", &[b'x'; BIND_MAX]], 60), Vec::<String>::new(), "too large to wait for");
}
