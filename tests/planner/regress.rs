//! PostgreSQL's regression tests through scan, parser, outline and plan: thousands of statements that nobody wrote for a pooler, many of them wrong.
//! Nothing may fail but a text; and what a cache says of a text is what its text says.

use std::fs;
use std::path::Path;

use pg_dog::sql::scan::CORE;
use pg_dog::sql::shapes::Space;
use pg_dog::sql::texts::{Found, Reading, SHAPES_BYTES, Texts};

use super::describe::plans;
use super::schema::Schema;

const READING: Reading = Reading { standard: true, space: Space(0), limits: CORE };

/// What psql would send of a file, about: statements end with `;` at the end of a line. What is cut wrongly is as good a text as any.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('\\')) {
        piece.push_str(line);
        piece.push('\n');
        if line.trim_end().ends_with(';') {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    pieces.push(piece);
    pieces
}

#[test]
fn the_regression_tests_of_postgres_are_read_without_a_fault() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/regress/sql");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("SKIPPED: PostgreSQL's regression tests are not in {}", folder.display());
        return;
    };
    let schema = Schema::new();
    let (mut one, mut texts, mut count, mut planned) = (Texts::with_one_hash(64 << 10), Texts::new(SHAPES_BYTES), 0, 0);
    for file in files.map(|file| file.expect("an entry").path()) {
        let text = String::from_utf8_lossy(&fs::read(&file).expect("a file")).into_owned();
        for piece in pieces(&text) {
            let say = |texts: &mut Texts, standard| match texts.read(piece.as_bytes(), Reading { standard, ..READING }, &schema) {
                Found::Plans(read) => Some(plans(&read, &piece)),
                Found::Beyond(_) | Found::Foreign => None,
            };
            let alone = say(&mut Texts::new(SHAPES_BYTES), true);
            assert_eq!(say(&mut texts, true), alone, "{piece}");
            assert_eq!(say(&mut one, true), alone, "{piece}");
            say(&mut Texts::new(SHAPES_BYTES), false);
            count += 1;
            planned += usize::from(alone.is_some_and(|plan| !plan.contains("refused 42601")));
        }
    }
    assert!(count > 10_000 && planned * 10 > count * 9, "{planned} of {count} texts were planned");
}
