//! The planner over a corpus of statements: `tests/corpus/*.sql` hold one statement per line and behind it, after `=>`, its tables and its plan.
//! `PLANS=write cargo test --test planner` writes what the planner says now; look at the difference before it is kept.
//!
//! Every statement is read four times: alone, again from the cache, in a cache where all shapes have one hash, and with its literals changed.

#[path = "planner/describe.rs"]
mod describe;
#[path = "planner/regress.rs"]
mod regress;
#[path = "planner/schema.rs"]
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use pg_dog::sql::scan::{HELPER, Limits};
use pg_dog::sql::shapes::Space;
use pg_dog::sql::texts::{Found, Reading, SHAPES_BYTES, Texts};

use describe::{plans, tables};
use schema::Schema;

const READING: Reading = Reading { standard: true, space: Space(0), limits: LIMITS };
const LIMITS: Limits = HELPER;

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    files
}

/// The lines of a file that are statements, and what follows each.
fn statements(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("   => ") {
            Some(plan) => found.last_mut().expect("a plan follows a statement").1.push_str(plan),
            None if line.is_empty() || line.starts_with("-- ") => {}
            // A line feed within a statement is written so.
            None => found.push((line.replace("\\n", "\n"), String::new())),
        }
    }
    found
}

fn read(texts: &mut Texts, schema: &Schema, text: &str) -> String {
    match texts.read(text.as_bytes(), READING, schema) {
        Found::Plans(read) => format!("{}{}", plans(&read, text), tables(text)),
        Found::Beyond(size) => format!("beyond: {size:?}"),
        Found::Foreign => "foreign".to_string(),
    }
}

#[test]
fn every_statement_has_the_plan_that_is_written_down() {
    let (schema, mut wrong, mut count) = (Schema::new(), Vec::new(), 0);
    for file in corpus() {
        let text = fs::read_to_string(&file).expect("a file of the corpus");
        let mut written = String::new();
        for line in text.lines().filter(|line| !line.starts_with("   => ")) {
            written.push_str(line);
            written.push('\n');
            if line.is_empty() || line.starts_with("-- ") {
                continue;
            }
            let plan = read(&mut Texts::new(SHAPES_BYTES), &schema, &line.replace("\\n", "\n"));
            written.push_str(&format!("   => {plan}\n"));
            count += 1;
        }
        if std::env::var_os("PLANS").is_some_and(|word| word == "write") {
            fs::write(&file, &written).expect("the corpus can be written");
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (old, new) = (statements(&text), statements(&written));
        let changed = old.iter().zip(&new).filter(|(old, new)| old != new);
        wrong.extend(changed.map(|(old, new)| format!("{name}: {}\n  was {}\n  is  {}", old.0, old.1, new.1)));
    }
    assert!(count >= 500, "only {count} statements");
    assert!(wrong.is_empty() || std::env::var_os("PLANS").is_some(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// All statements one after the other in one cache, twice: what another statement left must not matter.
fn in_one_cache(mut texts: Texts) -> u64 {
    let schema = Schema::new();
    for _ in 0..2 {
        for file in corpus() {
            for (statement, plan) in statements(&fs::read_to_string(&file).expect("a file of the corpus")) {
                assert_eq!(read(&mut texts, &schema, &statement), plan, "{statement}");
            }
        }
    }
    texts.parsed()
}

#[test]
fn plans_do_not_depend_on_what_is_in_the_cache() {
    let total: usize = corpus().iter().map(|file| statements(&fs::read_to_string(file).expect("a file")).len()).sum();
    let parsed = in_one_cache(Texts::new(SHAPES_BYTES));
    assert!(parsed < total as u64 * 3 / 2, "{parsed} of {total} statements, read twice, were parsed: nothing is kept");
}

#[test]
fn plans_do_not_depend_on_hashes() {
    in_one_cache(Texts::with_one_hash(SHAPES_BYTES));
}

#[test]
fn plans_do_not_depend_on_room_in_the_cache() {
    in_one_cache(Texts::new(4 << 10));
}

/// Digits and letters of strings are exchanged, which leaves the shape what it is; the plan must be the one that the changed text gets by itself.
#[test]
fn a_shape_has_one_plan_whatever_its_literals() {
    let schema = Schema::new();
    let mut checked = 0;
    for file in corpus() {
        for (statement, _) in statements(&fs::read_to_string(&file).expect("a file of the corpus")) {
            let mut texts = Texts::new(SHAPES_BYTES);
            let literals = match texts.read(statement.as_bytes(), READING, &schema) {
                Found::Plans(read) => read.literals.to_vec(),
                _ => continue,
            };
            let mut changed = statement.clone().into_bytes();
            for literal in literals {
                let range = literal.start as usize..literal.end as usize;
                let numbers = statement.as_bytes()[range.start].is_ascii_digit();
                for byte in changed[range].iter_mut().filter(|byte| byte.is_ascii_digit() && (numbers || **byte != b'0')) {
                    *byte = if *byte == b'1' { b'2' } else { b'1' };
                }
            }
            let changed = String::from_utf8(changed).expect("digits were exchanged for digits");
            let alone = read(&mut Texts::new(SHAPES_BYTES), &schema, &changed);
            let before = texts.parsed();
            assert_eq!(read(&mut texts, &schema, &changed), alone, "{statement}\n{changed}");
            checked += usize::from(texts.parsed() == before);
        }
    }
    assert!(checked > 300, "only {checked} came from the cache");
}
