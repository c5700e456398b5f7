//! Texts of one shape are parsed once; what must not be shared is not.

use super::super::catalog::{Column, Home, Placement, Routine};
use super::super::outline::Name;
use super::super::plan::Source;
use super::super::scan::{CORE, HELPER, HELPER_STACK};
use super::*;

/// Every table is on every shard.
struct Omni;

impl Catalog for Omni {
    fn table(&self, _: &Name) -> Placement<'_> {
        Placement::Omni
    }

    fn columns(&self, _: &Name) -> Option<&[Column]> {
        Some(&[])
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

const READING: Reading = Reading { standard: true, space: Space(0), limits: CORE };

fn parsed(texts: &mut Texts, text: &str, reading: Reading) -> u64 {
    let before = texts.parsed();
    assert!(matches!(texts.read(text.as_bytes(), reading, &Omni), Found::Plans(_)), "{text}");
    texts.parsed() - before
}

#[test]
fn a_shape_is_parsed_once_per_space() {
    let mut texts = Texts::new(SHAPES_BYTES);
    assert_eq!(parsed(&mut texts, "SELECT * FROM t WHERE a = 1", READING), 1);
    assert_eq!(parsed(&mut texts, "select * from t where a = 2 -- x", READING), 0);
    assert_eq!(parsed(&mut texts, "SELECT * FROM t WHERE a = 'x'", READING), 1);
    assert_eq!(parsed(&mut texts, "SELECT * FROM t WHERE a = 1", Reading { space: Space(1), ..READING }), 1);
    assert_eq!((texts.found(), texts.parsed(), texts.kept().0), (1, 3, 3));
    assert!(texts.kept().1 > 0);
}

#[test]
fn what_is_odd_or_wrong_is_parsed_each_time() {
    let mut texts = Texts::new(SHAPES_BYTES);
    let backslash = Reading { standard: false, ..READING };
    for text in ["SELECT 'a\\'' FROM t", "SELECT U&'\\0061' UESCAPE '!'"] {
        assert_eq!((parsed(&mut texts, text, backslash), parsed(&mut texts, text, backslash)), (1, 1), "{text}");
    }
    assert_eq!((parsed(&mut texts, "SELEC 1", READING), parsed(&mut texts, "SELEC 1", READING)), (1, 1));
    assert_eq!((texts.found(), texts.kept()), (0, (0, 0)));
}

#[test]
fn texts_beyond_the_limits_are_not_parsed() {
    let mut texts = Texts::new(SHAPES_BYTES);
    let deep = format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000));
    let size = match texts.read(deep.as_bytes(), READING, &Omni) {
        Found::Beyond(size) => size,
        found => panic!("{found:?}"),
    };
    assert!(!size.within(CORE) && size.within(HELPER));
    assert!(matches!(texts.read(&[b' '; CORE.bytes + 1], READING, &Omni), Found::Beyond(_)));
    assert!(matches!(texts.read(b"SELECT '\xe9'", READING, &Omni), Found::Foreign));
    assert_eq!(texts.parsed(), 0);
}

/// The longest repetition of `open` that is within `limits`.
fn deepest(open: &str, close: &str, limits: Limits) -> String {
    let text = |times: usize| format!("SELECT {}1{}", open.repeat(times), close.repeat(times));
    let fits = |times: usize| Scan::default().run(text(times).as_bytes(), true, limits) == Outcome::Shape;
    let (mut low, mut high) = (1, limits.tokens);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    text(low)
}

#[test]
fn the_deepest_texts_fit_their_stacks() {
    let forms =
        [("(", ")"), ("NOT ", ""), ("1 + ", ""), ("(SELECT ", ")"), ("ARRAY[", "]"), ("coalesce(", ")"), ("- ", ""), ("CASE WHEN ", " THEN 1 END")];
    for (limits, stack) in [(CORE, 2 << 20), (HELPER, HELPER_STACK)] {
        let thread = std::thread::Builder::new().stack_size(stack);
        let work = move || {
            for (open, close) in forms {
                let text = deepest(open, close, limits);
                assert!(text.len() > 20 * open.len(), "{open}");
                let mut texts = Texts::new(SHAPES_BYTES);
                assert!(matches!(texts.read(text.as_bytes(), Reading { limits, ..READING }, &Omni), Found::Plans(_)), "{open}");
            }
        };
        thread.spawn(work).expect("a thread").join().expect("nobody fails");
    }
}

#[test]
fn literals_belong_to_the_text_at_hand() {
    let mut texts = Texts::new(SHAPES_BYTES);
    for (text, value) in [("SELECT 1, 'a'", "'a'"), ("SELECT  22,  'bb'", "'bb'")] {
        let Found::Plans(read) = texts.read(text.as_bytes(), READING, &Omni) else { panic!("{text}") };
        assert_eq!(read.literals[1].bytes(text.as_bytes()), value.as_bytes());
        assert!(!matches!(&read.plans[0].target, Target::OneKey(key) if key.source == Source::Null));
    }
}

#[test]
fn a_text_that_comes_again_is_what_it_was() {
    let mut texts = Texts::new(SHAPES_BYTES);
    let again = |texts: &mut Texts, text: &str, reading: Reading| match texts.read_again(text.as_bytes(), reading, &Omni) {
        Found::Plans(read) => {
            (read.literals.iter().map(|literal| literal.bytes(text.as_bytes()).to_vec()).collect::<Vec<_>>(), read.directives.shard)
        }
        found => panic!("{text}: {found:?}"),
    };
    let (one, two) = ("/* pgdog_shard: 1 */ SELECT 5", "SELECT 6, 7");
    let expected = [again(&mut texts, one, READING), again(&mut texts, two, READING)];
    assert_eq!(expected, [(vec![b"5".to_vec()], Some(1)), (vec![b"6".to_vec(), b"7".to_vec()], None)]);
    assert_eq!([again(&mut texts, one, READING), again(&mut texts, two, READING)], expected);
    let parsed = texts.parsed();
    // An odd text has no shape, but it is the same text.
    let backslash = Reading { standard: false, ..READING };
    for _ in 0..3 {
        again(&mut texts, "SELECT 'a\\''", backslash);
    }
    assert_eq!(texts.parsed(), parsed + 1);
    again(&mut texts, one, Reading { space: Space(9), ..READING });
    assert_eq!(texts.parsed(), parsed + 2, "another space is another text");
    assert!(matches!(texts.read_again(&[0xff], READING, &Omni), Found::Foreign));
}

#[test]
fn whole_texts_do_not_depend_on_hashes() {
    let mut texts = Texts::with_one_hash(SHAPES_BYTES);
    for text in ["SELECT 1", "SELECT 1, 2", "SELECT 1"] {
        let Found::Plans(read) = texts.read_again(text.as_bytes(), READING, &Omni) else { panic!("{text}") };
        assert_eq!(read.literals.len(), text.matches(char::is_numeric).count(), "{text}");
    }
}
