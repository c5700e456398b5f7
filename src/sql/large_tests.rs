//! What is read in parts is what it is as a whole.

use super::super::catalog::{Column, Fill, Home, Placement, Routine, ShardKey};
use super::super::outline::{Family, Name};
use super::super::scan::HELPER_STACK;
use super::*;

/// `t` is sharded by `id`, `everywhere` is on every shard.
struct Sharded(Vec<Column>);

impl Catalog for Sharded {
    fn table(&self, name: &Name) -> Placement<'_> {
        match &*name.name {
            "t" => Placement::Sharded(ShardKey { column: "id", family: Family::Integer, rule: 3, group: 0 }),
            "everywhere" => Placement::Omni,
            _ => Placement::Unknown,
        }
    }

    fn columns(&self, _: &Name) -> Option<&[Column]> {
        Some(&self.0)
    }

    fn function(&self, _: &Name) -> Routine {
        Routine::Hidden
    }

    fn home(&self, _: &Name) -> Home {
        Home::All
    }

    fn returns_sets(&self, _: &Name) -> bool {
        false
    }
}

fn catalog() -> Sharded {
    let column = |name: &str, family| Column { name: name.into(), family, default: Fill::Null };
    Sharded(vec![column("name", Some(Family::Text)), column("id", Some(Family::Integer)), column("more", None)])
}

/// Reads on a stack as a helper's.
fn read_here(text: &str) -> Outlook {
    let text = text.to_owned();
    let reads = move || read(text.as_bytes(), true, &catalog());
    std::thread::Builder::new().stack_size(HELPER_STACK).spawn(reads).expect("a thread").join().expect("nobody fails")
}

fn large(text: &str) -> Large {
    match read_here(text) {
        Outlook::Read(large) => large,
        other => panic!("{other:?}"),
    }
}

/// An INSERT whose rows are of many kinds, larger than what is read as one tree.
fn insert(table: &str, tail: &str) -> String {
    let row = |number: usize| {
        let id = match number % 7 {
            0 => "NULL".to_owned(),
            1 => format!("'{number}'"),
            2 => format!("-{number}"),
            3 => format!("{number}::bigint"),
            4 => "$1".to_owned(),
            _ => number.to_string(),
        };
        let more = if number.is_multiple_of(11) { "DEFAULT".to_owned() } else { format!("lower('A, (b') || {number}") };
        format!("('it''s {number}', {id}, {more})")
    };
    let rows: Vec<String> = (0..4_000).map(row).collect();
    format!("/* rows: */ INSERT INTO {table} AS x (name, id, more) VALUES {} {tail}", rows.join(if tail.is_empty() { "," } else { " , -- (\n " }))
}

#[test]
fn rows_read_in_parts_are_planned_as_the_whole() {
    for tail in ["", "ON CONFLICT (id) DO UPDATE SET more = 'a' WHERE x.id > 7 RETURNING 5, id"] {
        let text = insert("t", tail);
        let mut scan = Scan::default();
        assert_eq!(scan.run(text.as_bytes(), true, ROWS), Outcome::Shape);
        assert!(!scan.size.within(TREE));
        let rows = Rows::find(text.as_bytes(), true).expect("rows");
        let parts = by_rows(text.as_bytes(), &rows, &scan.literals, true, &catalog()).expect("an INSERT");
        let [one] = &*whole(text.as_bytes(), true, &scan.literals, &catalog()) else { panic!("one statement") };
        assert_eq!((parts.write, &parts.target), (one.write, &one.target));
        assert!(matches!(&parts.target, Target::Rows(keys) if keys.len() == 4_000));
        let found = large(&text);
        assert_eq!((found.plans, found.rows), (vec![parts], Some(rows)));
    }
}

#[test]
fn what_is_no_insert_of_rows_alone_is_read_as_a_whole() {
    let insert = insert("t", "");
    let others = [
        format!("{insert}; SELECT 1"),
        format!("{insert} UNION ALL SELECT '', 1, ''"),
        format!("EXPLAIN {insert}"),
        format!("SELECT 1 WHERE 'x' IN ({})", vec!["'y'"; 40_000].join(",")),
    ];
    for text in others {
        let mut scan = Scan::default();
        scan.run(text.as_bytes(), true, ROWS);
        let parts = Rows::find(text.as_bytes(), true).and_then(|rows| by_rows(text.as_bytes(), &rows, &scan.literals, true, &catalog()));
        assert!(parts.is_none_or(|plan| matches!(plan.target, Target::Refused(_))), "{}", &text[text.len() - 40..]);
        let targets = |plans: Vec<Plan>| plans.into_iter().map(|plan| plan.target).collect::<Vec<_>>();
        assert_eq!(targets(large(&text).plans), targets(whole(text.as_bytes(), true, &scan.literals, &catalog())));
    }
}

#[test]
fn one_row_that_cannot_be_planned_refuses_all() {
    let text = insert("t", "");
    assert!(matches!(&*large(&text).plans, [Plan { target: Target::Rows(_), .. }]));
    for (from, to) in [("lower('A, (b') || 3017", "secret()"), ("3013::bigint", "now()"), ("'it''s 3017'", "'a' 'b'")] {
        let text = text.replacen(from, to, 1);
        assert!(matches!(&*large(&text).plans, [Plan { target: Target::Refused(_), .. }]), "{to}");
    }
}

#[test]
fn rows_for_every_shard_are_not_told_apart() {
    let text = insert("everywhere", "");
    let found = large(&text);
    assert!(matches!(&*found.plans, [Plan { target: Target::AllWrite { alone: false }, .. }]), "{:?}", found.plans);
    assert!(matches!(&*large(&text.replacen("|| 3017", "|| now()", 1)).plans, [Plan { target: Target::Refused(_), .. }]));
}

#[test]
fn beyond_the_bounds_nobody_reads() {
    let many = |count: usize| format!("SELECT 1 WHERE 1 IN ({})", vec!["2"; count].join(","));
    assert!(matches!(read_here(&many(HELPER.tokens / 2 + 10)), Outlook::Beyond(_)));
    assert!(matches!(read_here(&format!("SELECT '{}'", "x".repeat(ROWS.bytes))), Outlook::Beyond(_)));
    assert!(matches!(read_here(&format!("SELECT {}1", "- ".repeat(HELPER.depth + 10))), Outlook::Beyond(_)));
    assert!(matches!(read(b"SELECT '\xff'", true, &catalog()), Outlook::Foreign));
}
