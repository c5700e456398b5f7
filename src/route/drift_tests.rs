//! What is said of shards that differ, and of schemas that reach beyond one shard.

use super::*;
use crate::config::sharded::{DataType, Hasher, Sharded, ShardedTable};

fn row(columns: &[&str]) -> Row {
    columns.iter().map(|column| (!column.is_empty()).then(|| column.as_bytes().to_vec())).collect()
}

fn topology() -> Topology {
    let table = |name: &str, column: &str| ShardedTable {
        schema: None,
        table: Some(name.to_owned()),
        column: column.to_owned(),
        data_type: DataType::Bigint,
        hasher: Hasher::Postgres,
        primary: false,
        mapping: None,
    };
    let tables = vec![table("users", "id"), table("posts", "user_id")];
    Topology::first(&Sharded { database: "app".to_owned(), shards: 2, tables, schemas: Vec::new(), omnisharded: Vec::new() }).expect("good")
}

fn schema() -> Schema {
    let column = |table: &str, name: &str| row(&["public", table, "r", name, "20", "-1", "t", "n"]);
    let columns = [column("users", "id"), column("posts", "id"), column("posts", "user_id"), column("kinds", "id")];
    Schema::read(&columns, &[], &[row(&["public", "170000", "UTF8"])]).expect("readable")
}

fn drift(seen: &[Seen]) -> Vec<(u16, String, &'static str, String)> {
    let drift = Drift::of(&topology(), &schema(), seen);
    drift.lines.into_iter().map(|line| (line.shard, line.table, line.what, line.detail)).collect()
}

fn whats(flaws: &[&[&str]]) -> Vec<(String, &'static str)> {
    let seen = Seen { flaws: flaws.iter().map(|columns| row(columns)).collect(), ..Seen::default() };
    drift(&[seen.clone(), seen]).into_iter().map(|(_, table, what, _)| (table, what)).collect()
}

#[test]
fn shards_that_are_alike_have_no_lines() {
    let seen = Seen {
        shape: vec![row(&["public", "users", "id", "bigint", "t"]), row(&["public", "empty", "", "", ""])],
        types: vec![row(&["public", "mood", "17000", "t"])],
        flaws: Vec::new(),
    };
    assert!(drift(&[seen.clone(), seen.clone(), seen]).is_empty());
    assert!(Drift::default().has_one_numbering());
}

#[test]
fn what_differs_is_said_of_the_shard_that_differs() {
    let one = Seen {
        shape: vec![
            row(&["public", "users", "id", "bigint", "t"]),
            row(&["public", "users", "name", "text", "f"]),
            row(&["public", "users", "age", "integer", "f"]),
            row(&["public", "kinds", "id", "integer", "t"]),
        ],
        types: vec![row(&["public", "mood", "17000", "t"]), row(&["public", "_mood", "17001", "f"]), row(&["public", "old", "17002", "t"])],
        flaws: Vec::new(),
    };
    let two = Seen {
        shape: vec![
            row(&["public", "users", "id", "bigint", "t"]),
            row(&["public", "users", "name", "text", "t"]),
            row(&["public", "users", "size", "real", "f"]),
            row(&["public", "more", "id", "integer", "t"]),
        ],
        types: vec![row(&["public", "mood", "18000", "t"]), row(&["public", "_mood", "18001", "f"]), row(&["public", "new", "17002", "t"])],
        flaws: Vec::new(),
    };
    let drifted = Drift::of(&topology(), &schema(), &[one.clone(), two, one]);
    let lines: Vec<(u16, &str, &str)> = drifted.lines.iter().map(|line| (line.shard, line.table.as_str(), line.what)).collect();
    let expected = [
        (1, "public.kinds", "missing table"),
        (1, "public.mood", "other type OID"),
        (1, "public.more", "extra table"),
        (1, "public.users", "extra column"),
        (1, "public.users", "missing column"),
        (1, "public.users", "other type"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(drifted.lines[5].detail, "\"name\" is text NOT NULL, and text on shard 0");
    assert_eq!([18000, 18001, 17002, 25].map(|oid| drifted.on_first(1, oid)), [17000, 17001, 17002, 25]);
    assert_eq!(drifted.on_first(2, 18000), 18000);
    assert!(!drifted.has_one_numbering());
}

#[test]
fn foreign_keys_that_follow_the_keys_are_right() {
    let right: &[&str] = &["f", "public", "posts", "owner", "user_id", "public", "users", "id"];
    let pair: &[&str] = &["f", "public", "posts", "owner", "id\u{1}user_id", "public", "users", "x\u{1}id"];
    let kind: &[&str] = &["f", "public", "posts", "kind", "kind", "public", "kinds", "id"];
    assert!(whats(&[right, pair, kind]).is_empty());
    let crossed: &[&str] = &["f", "public", "posts", "crossed", "id\u{1}user_id", "public", "users", "id\u{1}x"];
    let other: &[&str] = &["f", "public", "posts", "other", "id", "public", "users", "id"];
    let whole: &[&str] = &["f", "public", "kinds", "founder", "founder", "public", "users", "id"];
    let found = whats(&[crossed, other, whole]);
    assert_eq!(found.iter().map(|(table, _)| table.as_str()).collect::<Vec<_>>(), ["public.kinds", "public.posts", "public.posts"]);
    assert!(found.iter().all(|(_, what)| *what == "foreign key to another shard"), "{found:?}");
}

#[test]
fn what_holds_on_one_shard_only_is_named() {
    let found = whats(&[
        &["u", "public", "posts", "posts_pkey", "id"],
        &["u", "public", "posts", "posts_both", "user_id\u{1}id"],
        &["u", "public", "posts", "by_expression", ""],
        &["u", "public", "kinds", "kinds_pkey", "id"],
        &["s", "public", "posts", "id"],
        &["s", "public", "kinds", "id"],
    ]);
    let expected = [("public.posts".to_owned(), "sequence of each shard"), ("public.posts".to_owned(), "unique on one shard only")];
    assert_eq!(found, [&expected[..], &[("public.posts".to_owned(), "unique on one shard only")]].concat());
}

#[test]
fn triggers_and_rules_that_reach_another_table_are_named() {
    let trigger = |table: &str, body: &str| whats(&[&["t", "public", table, "after", "", "", "f", body]]).len();
    for (table, body, lines) in [
        ("posts", "BEGIN UPDATE users SET posts = posts + 1; RETURN NEW; END", 1),
        ("posts", "BEGIN UPDATE public.users SET x = 1; END", 1),
        ("posts", "BEGIN UPDATE \"public\".\"users\" SET x = 1; END", 1),
        ("posts", "BEGIN UPDATE other.users SET x = 1; END", 0),
        ("posts", "BEGIN INSERT INTO kinds VALUES (1); END", 0),
        ("posts", "BEGIN UPDATE posts SET x = 1; END", 0),
        ("kinds", "BEGIN DELETE FROM posts; END", 1),
        ("kinds", "", 0),
    ] {
        assert_eq!(trigger(table, body), lines, "{table}: {body}");
    }
    let found = whats(&[&["r", "public", "kinds", "copy", "", "public", "users", ""], &["r", "public", "kinds", "copy", "", "public", "kinds", ""]]);
    assert_eq!(found, [("public.kinds".to_owned(), "rule to another table")]);
}

#[test]
fn lines_are_bounded() {
    let shape: Vec<Row> = (0..LINES_MAX + 5).map(|number| row(&["public", &format!("t{number}"), "id", "bigint", "t"])).collect();
    let lines = drift(&[Seen { shape, ..Seen::default() }, Seen::default()]);
    assert_eq!((lines.len(), lines[LINES_MAX].3.as_str()), (LINES_MAX + 1, "5 lines are not shown"));
}
