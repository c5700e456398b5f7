//! Tests of what is told about a reload.

use super::*;
use crate::config::inputs::Inputs;
use crate::config::sharded::{Omnisharded, Sharded};
use crate::config::{Source, load};

fn snapshot(main: &str, users: &str) -> Snapshot {
    let (main, users) = (Source { name: "m", text: main }, Source { name: "u", text: users });
    load(&Inputs { main: Some(main), users: Some(users), ..Inputs::default() }).unwrap_or_else(|problems| panic!("{problems:?}")).snapshot
}

fn database(name: &str, more: &str) -> String {
    format!("[[databases]]\nname = \"{name}\"\nhost = \"h\"\n{more}\n")
}

fn user(name: &str, database: &str, more: &str) -> String {
    format!("[[users]]\nname = \"{name}\"\ndatabase = \"{database}\"\n{more}\n")
}

#[test]
fn nothing_is_no_line() {
    let (main, users) = (database("a", ""), user("u", "a", "password = \"p\""));
    // The admin's random password is another one each time.
    let (old, new) = (snapshot(&main, &users), load_with_random(&main, &users));
    assert_eq!(changes(&old, &new), [""; 0]);
}

fn load_with_random(main: &str, users: &str) -> Snapshot {
    let (main, users) = (Source { name: "m", text: main }, Source { name: "u", text: users });
    load(&Inputs { main: Some(main), users: Some(users), random: [9; 16], ..Inputs::default() }).unwrap().snapshot
}

#[test]
fn settings_and_pools_are_told_and_secrets_are_not() {
    let admin = "[admin]\npassword = \"sesame1\"\n";
    let old = snapshot(
        &format!("[general]\ncheckout_timeout = 5000\nport = 1\n{}{}", database("a", ""), database("b", "")),
        &format!("{admin}{}{}", user("u", "a", "password = \"sesame2\""), user("v", "b", "password = \"sesame3\"")),
    );
    let new = snapshot(
        &format!("[general]\ncheckout_timeout = 1500\nport = 2\n{}{}", database("a", "port = 5433\npassword = \"sesame4\""), database("c", "")),
        &format!(
            "[admin]\npassword = \"sesame5\"\nuser = \"boss\"\n{}{}",
            user("w", "c", "password = \"sesame3\""),
            user(
                "u",
                "a",
                "password = \"sesame6\"\npool_size = 3\npooler_mode = \"session\"\nidle_timeout = 7\nquery_timeout = 5\nserver_user = \"s\""
            )
        ),
    );
    assert_eq!(
        changes(&old, &new),
        [
            "port: 1 -> 2 (at the next start)",
            "checkout_timeout: 5s -> 1500ms",
            "admin database: admin of admin -> boss of admin",
            "admin database: another password",
            "pool w of c: new, on h:5432",
            "pool u of a: server h:5432/a -> h:5433/a, user on the server u -> s, another password on the server, another password of the client, \
             pool_size 10 -> 3, pooler_mode transaction -> session, idle_timeout 60000ms -> 7ms, limits changed",
            "pool v of b: gone",
        ]
    );
    assert!(!changes(&old, &new).concat().contains("sesame"));
}

#[test]
fn shards_and_their_rules_are_told() {
    let of =
        |database: &str, shards| Sharded { database: database.to_owned(), shards, tables: Vec::new(), schemas: Vec::new(), omnisharded: Vec::new() };
    let (mut old, mut new) = (snapshot("", ""), snapshot("", ""));
    old.sharded = vec![of("a", 2), of("b", 2), of("c", 2), of("d", 2)];
    new.sharded = vec![of("b", 3), of("c", 2), of("d", 2), of("e", 2)];
    new.sharded[1].omnisharded.push(Omnisharded { table: "t".to_owned(), sticky: true });
    let expected = ["database b: shards 2 -> 3", "database c: other rules for its shards", "database e: other rules for its shards"];
    assert_eq!(changes(&old, &new), [&expected[..], &["database a: no shards or rules"]].concat());
}

#[test]
fn a_thousand_changes_are_counted() {
    let all = |pools: usize| (0..pools).map(|n| user(&format!("u{n}"), "a", "password = \"p\"")).collect::<String>();
    let lines = changes(&snapshot(&database("a", ""), ""), &snapshot(&database("a", ""), &all(1_000)));
    assert_eq!((lines.len(), lines[CHANGES_MAX].as_str()), (CHANGES_MAX + 1, "and 900 more"));
}
