//! Where EXECUTE goes: where its statement would go, and nowhere while that is not known.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::route::router::tests::router;
use crate::session::exchange::Outcome;
use crate::session::made::Told;

/// A client with `prepared_statements = "full"` that has prepared these by the names `a`, `b`, ...
fn client(texts: &[&str]) -> Client {
    let mut client = Client::new(PoolerMode::Transaction, 3);
    client.caches(PreparedStatements::Full);
    let mut link = Exchange::default();
    let told = |(at, text): (usize, &&str)| Told { name: vec![b'a' + at as u8].into(), copy: false, text: Some(text.as_bytes().into()) };
    link.made.told(texts.iter().enumerate().map(told).collect());
    client.names.get_or_insert_default().settle(&mut link);
    client
}

fn shards() -> Shards {
    Shards::new(Rc::new(RefCell::new(router())), "app", 0)
}

fn at(client: &Client, link: Option<&Exchange>, text: &str) -> Result<Where, &'static str> {
    client.route(&shards(), text.as_bytes(), None, link, 0).map_err(|refused| refused.code)
}

const BY_KEY: &str = "PREPARE a (bigint, text) AS SELECT * FROM users WHERE id = $1";

#[test]
fn an_execute_goes_where_its_statement_would_go() {
    let client =
        client(&[BY_KEY, "PREPARE b AS SELECT * FROM users WHERE id = 5", "PREPARE c(text) AS SELECT $1", "PREPARE d AS SELECT id FROM users"]);
    for key in -50..50 {
        let there = at(&client, None, &format!("SELECT * FROM users WHERE id = {key}"));
        assert!(matches!(there, Ok(Where::One(_))));
        for text in [
            format!("EXECUTE a({key}, 'x')"),
            format!(" execute A ('{key}', now());"),
            format!("EXECUTE \"a\"({key}::int, NULL)"),
            format!("/* for {key} */ EXECUTE a('{key}'::bigint, f.x)"),
        ] {
            assert_eq!(at(&client, None, &text), there, "{text}");
        }
    }
    assert_eq!(at(&client, None, "EXECUTE b"), at(&client, None, "SELECT * FROM users WHERE id = 5"));
    assert_eq!(at(&client, None, "EXECUTE c('x')"), Ok(Where::Any));
    // Sequences and locks are on the first shard, whoever asks for them.
    for text in ["EXECUTE c(nextval('s'))", "EXECUTE c(pg_try_advisory_xact_lock(1)::text)"] {
        assert_eq!(client.route(&shards(), text.as_bytes(), None, None, 2).map_err(|refused| refused.code), Ok(Where::One(0)), "{text}");
    }
    assert_eq!(at(&client, None, "/* pgdog_shard: 1 */ EXECUTE d"), Ok(Where::One(1)));
}

#[test]
fn what_has_no_route_is_refused() {
    let client = client(&[
        BY_KEY,
        "PREPARE b(numeric) AS SELECT * FROM users WHERE id = $1",
        "PREPARE c AS SELECT id FROM users",
        "PREPARE d(text) AS SELECT set_config('work_mem', $1, false)",
    ]);
    for text in [
        "EXECUTE a(2 + 3, 'x')",
        "EXECUTE a('5'::numeric, 'x')",
        "EXECUTE a(5, f(1))",
        "EXECUTE a(5, set_config('search_path', 'other', false))",
        "EXECUTE c",
        "EXECUTE d('1MB')",
        "EXECUTE a(5, 'x'); SELECT 1",
    ] {
        assert_eq!(at(&client, None, text), Err("0A000"), "{text}");
    }
    // What is no key by its type says so itself.
    assert_eq!(at(&client, None, "EXECUTE b(5)"), Err("42804"));
    assert_eq!(at(&client, None, "EXECUTE nobody(5)"), Err("26000"));
    assert_eq!(at(&client, None, "EXECUTE a('x', 'x')"), Err("22P02"));
}

#[test]
fn nothing_is_routed_by_a_name_that_may_have_changed() {
    let mut client = client(&[BY_KEY]);
    let mut link = Exchange::default();
    let text = "EXECUTE a(5, 'x')";
    assert!(matches!(at(&client, Some(&link), text), Ok(Where::One(_))));
    link.suspicion.may = May::CALLS;
    assert_eq!(at(&client, Some(&link), text), Err("0A000"));
    let mut link = Exchange::default();
    link.pins = link.pins.with(Pins::PREPARED);
    assert_eq!(at(&client, Some(&link), text), Err("0A000"));
    client.names.get_or_insert_default().deallocating.push_back(b"a"[..].into());
    assert_eq!(at(&client, None, text), Err("0A000"));
}

#[test]
fn what_one_server_alone_has_is_executed_there_only() {
    let mut client = client(&[BY_KEY]);
    let names = client.names.get_or_insert_default();
    let mut link = Exchange::default();
    link.barrier |= true;
    names.preparing.push_back((b"x"[..].into(), Some(b"PREPARE x(int) AS SELECT * FROM users WHERE id = $1"[..].into())));
    names.preparing.push_back((b"y"[..].into(), None));
    link.outcomes.extend([Outcome::Prepared, Outcome::Prepared]);
    names.settle(&mut link);
    let Ok(Where::One(there)) = at(&client, Some(&link), "EXECUTE a(5, 'x')") else { panic!("a route") };
    let route = |here| client.route(&shards(), b"EXECUTE x(5)", None, Some(&link), here).map_err(|refused| refused.code);
    assert_eq!(route(there), Ok(Where::One(there)));
    assert_eq!(route(there + 1), Err("0A000"));
    assert_eq!(at(&client, Some(&link), "EXECUTE y"), Err("0A000"));
}

#[test]
fn a_prepare_goes_to_any_shard_if_it_goes_with_its_client() {
    let mut client = client(&[]);
    assert_eq!(at(&client, None, BY_KEY), Ok(Where::Any));
    assert_eq!(at(&client, None, "PREPARE x AS SELECT count(*) FROM users"), Ok(Where::Any));
    let there = at(&client, None, "SELECT * FROM users WHERE id = 5");
    assert_eq!(at(&client, None, "PREPARE x AS SELECT * FROM users WHERE id = 5"), there);
    client.caches(PreparedStatements::Extended);
    assert_eq!(at(&client, None, BY_KEY), Err("0A000"));
    assert_eq!(at(&client, None, "/* pgdog_shard: 1 */ PREPARE x AS SELECT 1"), Ok(Where::One(1)));
    assert_eq!(at(&client, None, "EXECUTE a(5, 'x')"), Err("0A000"));
}

#[test]
fn another_shards_session_has_what_was_prepared() {
    let client = client(&[BY_KEY]);
    let sibling = client.sibling();
    let text = |client: &Client| client.names.as_ref().and_then(|names| names.made(b"a")).map(|made| made.text.to_vec());
    assert_eq!(text(&sibling), Some(BY_KEY.into()));
    assert!(super::super::client::Client::new(PoolerMode::Transaction, 3).sibling().names.is_none());
}
