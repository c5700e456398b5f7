//! A text that is too large is asked about once, and then routed as a small one.

use super::super::router::{Bound, Router, tests};
use super::*;
use crate::route::request::{Join, Where};
use crate::sql::scan::{CORE, HELPER, HELPER_STACK};
use crate::wire::bind::Values;

const PLAIN: Says<'_> = tests::PLAIN;

/// What a helper would do.
fn help(router: &mut Router) {
    let question = router.asks().expect("a question");
    let asked = question.clone();
    std::thread::Builder::new().stack_size(HELPER_STACK).spawn(move || asked.read()).expect("a thread").join().expect("nobody fails");
    router.answered(question);
}

fn routed(router: &mut Router, text: &str, bound: Option<&Bound<'_>>) -> Route {
    let first = router.route(text.as_bytes(), bound, &PLAIN, "app");
    assert!(matches!(&first, Err(refused) if refused.is_unread()), "{first:?}");
    help(router);
    router.route(text.as_bytes(), bound, &PLAIN, "app")
}

/// Rows for all shards, more than a core reads.
fn insert(rows: i64) -> String {
    let rows: Vec<String> = (0..rows).map(|id| format!("({id}, 'name of {id}')")).collect();
    format!("INSERT INTO users (id, name) VALUES {} RETURNING id", rows.join(", "))
}

#[test]
fn a_large_insert_goes_where_its_rows_go() {
    let mut router = tests::router();
    let text = insert(5_000);
    assert!(text.len() > CORE.bytes);
    let Ok(Where::Over(over)) = routed(&mut router, &text, None) else { panic!("several shards") };
    let Join::Rows { order } = &over.join else { panic!("{:?}", over.join) };
    for (id, part) in order.iter().enumerate() {
        let part = &over.parts[usize::from(*part)];
        let one = format!("({id}, 'name of {id}')");
        let alone = router.route(format!("INSERT INTO users (id, name) VALUES {one}").as_bytes(), None, &PLAIN, "app");
        assert_eq!(alone, Ok(Where::One(part.shard)), "{id}");
        let cut = part.cut.as_ref().expect("a part of the text");
        assert!(cut.text.windows(one.len()).any(|piece| piece == one.as_bytes()), "{id}");
    }
    let bytes: usize = over.parts.iter().map(|part| part.cut.as_ref().map_or(0, |cut| cut.text.len())).sum();
    assert!(bytes < text.len() + 200, "each row is there once");
    // Not asked again, but another text is.
    assert_eq!(router.route(text.as_bytes(), None, &PLAIN, "app"), Ok(Where::Over(over)));
    assert!(router.asks().is_none());
    assert!(router.route(insert(5_001).as_bytes(), None, &PLAIN, "app").is_err_and(|refused| refused.is_unread()));
}

#[test]
fn parameters_of_a_large_text_decide_each_time() {
    let mut router = tests::router();
    let text = format!("SELECT * FROM users WHERE id IN ({} $1)", "1, ".repeat(CORE.tokens));
    let key = |value: &'static [u8]| [&[0, 0, 0, 1][..], &(value.len() as i32).to_be_bytes(), value, &[0, 0]].concat();
    let (same, other) = (key(b"1"), key(b"2"));
    let bound = |values| Bound { values: Values::read(values).expect("whole"), types: &[] };
    let one = routed(&mut router, &text, Some(&bound(&same)));
    assert!(matches!(one, Ok(Where::One(_))), "{one:?}");
    let two = router.route(text.as_bytes(), Some(&bound(&other)), &PLAIN, "app");
    let short = router.route(b"SELECT * FROM users WHERE id IN (1, 2)", None, &PLAIN, "app");
    assert_eq!(two, short);
    assert_ne!(one, two);
}

#[test]
fn what_is_said_by_hand_is_obeyed() {
    let mut router = tests::router();
    let text = insert(5_000);
    let says = Says { shard: Some("1"), ..PLAIN };
    assert_eq!(router.route(text.as_bytes(), None, &says, "app"), Ok(Where::One(1)), "nobody has to read it");
    let commented = format!("{text} /* pgdog_shard: 2 */");
    assert!(router.route(commented.as_bytes(), None, &says, "app").is_err_and(|refused| refused.is_unread()));
    help(&mut router);
    assert_eq!(router.route(commented.as_bytes(), None, &says, "app"), Ok(Where::One(2)));
}

#[test]
fn beyond_the_bounds_it_is_refused_and_not_asked_again() {
    let mut router = tests::router();
    let code = |route: Route| route.map_err(|refused| refused.code);
    let long = format!("SELECT '{}'", "x".repeat(ROWS.bytes));
    assert_eq!(code(router.route(long.as_bytes(), None, &PLAIN, "app")), Err("54001"));
    assert!(router.asks().is_none());
    let deep = format!("SELECT {}1", "- ".repeat(HELPER.depth + 10));
    assert_eq!(code(routed(&mut router, &deep, None)), Err("54001"));
    assert!(router.asks().is_none());
}

#[test]
fn answers_are_kept_within_bounds_and_for_their_circumstances() {
    let mut router = tests::router();
    let text = insert(2_000);
    assert!(routed(&mut router, &text, None).is_ok());
    let elsewhere = Says { search_path: Some("other"), ..PLAIN };
    assert!(router.route(text.as_bytes(), None, &elsewhere, "app").is_err_and(|refused| refused.is_unread()));
    for more in 1..=KEPT_MAX as i64 {
        assert!(routed(&mut router, &insert(2_000 + more), None).is_ok());
    }
    assert!(router.route(text.as_bytes(), None, &PLAIN, "app").is_err_and(|refused| refused.is_unread()), "the oldest has gone");
    let lost = router.asks().expect("a question");
    router.answered(lost);
    assert_eq!(router.route(text.as_bytes(), None, &PLAIN, "app").map_err(|refused| refused.code), Err("XX000"), "a helper has failed");
}

#[test]
fn an_answer_about_a_database_that_has_changed_is_not_taken() {
    let mut router = tests::router();
    let text = insert(2_000);
    assert!(router.route(text.as_bytes(), None, &PLAIN, "app").is_err_and(|refused| refused.is_unread()));
    let question = router.asks().expect("a question");
    router.learn(tests::cluster(2, tests::known));
    question.read();
    router.answered(question);
    let again = router.route(text.as_bytes(), None, &PLAIN, "app");
    assert!(again.is_err_and(|refused| refused.is_unread()), "it was asked before the change");
    help(&mut router);
    assert!(router.route(text.as_bytes(), None, &PLAIN, "app").is_ok());
}
