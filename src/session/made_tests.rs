//! Which statements of SQL's PREPARE can be made again, and what becomes of those that are on a server.

use super::*;

#[test]
fn only_a_prepare_that_means_the_same_is_made_again() {
    for (name, text, again) in [
        ("mine", "PREPARE mine AS SELECT 1", true),
        ("mine", " prepare MINE (int) as SELECT $1; ", true),
        ("My name", "PREPARE \"My name\" AS SELECT 1", true),
        ("mine", "PREPARE other AS SELECT 1", false),
        ("mine", "PREPARE mine AS SELECT 1; SELECT 2", false),
        ("mine", "PREPARE mine AS SELECT 'now'::timestamptz", false),
        ("mine", "PREPARE mine AS SELECT 'ä'", false),
        ("mine", "SELECT 1", false),
        ("__pgdog_1", "PREPARE __pgdog_1 AS SELECT 1", false),
    ] {
        assert_eq!(replayable(name.as_bytes(), text.as_bytes()), again, "{text}");
    }
    let long = "x".repeat(70);
    assert!(replayable(&long.as_bytes()[..63], format!("PREPARE {long} AS SELECT 1").as_bytes()));
}

fn told(name: &str, text: Option<&str>, copy: bool) -> Told {
    Told { name: name.as_bytes().into(), copy, text: text.map(|text| text.as_bytes().into()) }
}

#[test]
fn what_the_server_tells_is_all_there_is() {
    let mut made = Made { client: 7, ..Made::default() };
    made.told(vec![told("a", Some("PREPARE a AS SELECT 1"), false), told("b", None, false), told("c", None, true)]);
    assert!(["a", "b", "c"].iter().all(|name| made.holds(name.as_bytes())));
    assert_eq!(made.news.drain(..).map(|news| (news.copy, news.text.is_some())).collect::<Vec<_>>(), [(false, true)]);
    // One of the protocol is gone, and one of SQL has come in its place.
    made.told(vec![told("c", Some("PREPARE c AS SELECT 1"), false)]);
    let mut gone: Vec<_> = made.news.drain(..).map(|news| (news.name[0], news.copy, news.text.is_some())).collect();
    gone.sort_unstable();
    assert_eq!(gone, [(b'a', false, false), (b'b', false, false), (b'c', false, true), (b'c', true, false)]);
}

#[test]
fn what_is_not_the_clients_own_goes() {
    let mut made = Made { client: 7, ..Made::default() };
    made.put(b"same", Some(b"same"[..].into()));
    made.put(b"other", Some(b"old"[..].into()));
    made.put(b"copy", None);
    made.found(b"found");
    assert!(made.has_strange());
    assert_eq!(made.strange(), [Box::from(&b"found"[..])]);
    made.client = 7;
    let mut gone = made.excess(|_, text| text == b"same");
    gone.sort_unstable();
    assert_eq!(gone, [Box::from(&b"copy"[..]), Box::from(&b"other"[..])]);
    made.client = 8;
    assert_eq!(made.excess(|_, _| true), [Box::from(&b"same"[..])]);
    assert!(made.is_empty());
}
