//! The library: what is one statement and what is not, and that it stays small.

use super::*;

fn folds(parameters: &str, schema: u64) -> Folds {
    Folds { parameters: parameters.into(), schema }
}

#[test]
fn the_same_text_is_one_statement_on_all_cores() {
    let library = Arc::new(Library::default());
    let (mut one, mut other) = (Front::new(library.clone()), Front::new(library.clone()));
    let first = one.find(b"select 1\0\0\0", &folds("", 0), Traits::default);
    let again = one.find(b"select 1\0\0\0", &folds("", 0), || panic!("known"));
    let elsewhere = other.find(b"select 1\0\0\0", &folds("", 0), || panic!("known"));
    assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &elsewhere));
    assert_eq!((first.text(), &*first.name, library.size().0), (&b"select 1"[..], &b"__pgdog_1"[..], 1));
    for (rest, folds) in [
        (&b"select 2\0\0\0"[..], folds("", 0)),
        (b"select 1\0\0\x01\0\0\0\x17", folds("", 0)),
        (b"select 1\0\0\0", folds("TimeZone=UTC", 0)),
        (b"select 1\0\0\0", folds("", 1)),
    ] {
        assert_ne!(one.find(rest, &folds, Traits::default).id, first.id, "{}", rest.escape_ascii());
    }
    assert_ne!(library.private(b"select 1\0\0\0", Traits::default()).id, first.id);
}

#[test]
fn what_nobody_uses_goes_when_there_is_too_much() {
    let library = Arc::new(Library::new(160_000, 7));
    let mut front = Front::new(library.clone());
    let kept = front.find(b"kept\0\0\0", &Folds::default(), Traits::default);
    for number in 0..100_000 {
        front.find(format!("select {number}\0\0\0").as_bytes(), &Folds::default(), Traits::default);
        if number % 1000 == 0 {
            front.clear();
        }
    }
    let (count, bytes) = library.size();
    assert!(bytes <= 160_000 && (100..800).contains(&count), "{count} statements of {bytes} bytes");
    assert_eq!(front.find(b"kept\0\0\0", &Folds::default(), Traits::default).id, kept.id);
    front.clear();
    library.sweep();
    assert_eq!((library.size().0, library.list(10).len()), (1, 1));
    assert_eq!((library.list(10)[0].text.as_str(), library.list(10)[0].uses), ("kept", 1));
}

#[test]
fn who_only_knows_a_statement_does_not_use_it() {
    let library = Arc::new(Library::default());
    let mut fronts = [Front::new(library.clone()), Front::new(library.clone())];
    let used = fronts[0].find(b"used\0\0\0", &Folds::default(), Traits::default);
    let again = fronts[1].find(b"used\0\0\0", &Folds::default(), Traits::default);
    fronts[0].find(b"known\0\0\0", &Folds::default(), Traits::default);
    let mut uses: Vec<_> = library.list(10).into_iter().map(|listed| (listed.text, listed.uses)).collect();
    uses.sort_unstable();
    assert_eq!(uses, [("known".to_string(), 0), ("used".to_string(), 2)]);
    assert_eq!(library.list(1).len(), 1);
    assert_eq!((library.sweep(), library.size().0), (1, 1));
    // The fronts forget it too, and what is used is what it was.
    assert_eq!(fronts[0].find(b"used\0\0\0", &Folds::default(), Traits::default).id, used.id);
    assert_eq!(fronts[0].known.len(), 1);
    drop((used, again));
    assert_eq!((library.sweep(), library.size()), (1, (0, 0)));
}
