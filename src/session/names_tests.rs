//! Names through pipelines that fail: as if nothing had been asked for.

use super::*;
use crate::session::statements::{Traits, alone};

fn text(names: &Names, name: &str) -> Option<String> {
    names.get(name.as_bytes()).map(|entry| String::from_utf8_lossy(entry.statement.text()).into_owned())
}

fn parse(names: &mut Names, name: &str, sql: &str) {
    names.parse(name.as_bytes(), alone(format!("{sql}\0\0\0").as_bytes(), Traits::default()));
}

#[test]
fn what_was_skipped_is_undone_in_reverse() {
    let (mut names, mut link) = (Names::default(), Exchange::default());
    parse(&mut names, "a", "one");
    link.outcomes.push_back(Outcome::Done);
    names.settle(&mut link);
    names.close(b"a");
    parse(&mut names, "a", "two");
    parse(&mut names, "b", "three");
    assert_eq!((text(&names, "a"), text(&names, "b")), (Some("two".into()), Some("three".into())));
    link.outcomes.extend([Outcome::Undone; 3]);
    names.settle(&mut link);
    assert_eq!((text(&names, "a"), text(&names, "b"), names.len()), (Some("one".into()), None, 1));
    // The first half happened.
    names.close(b"a");
    parse(&mut names, "a", "four");
    link.outcomes.extend([Outcome::Done, Outcome::Undone]);
    names.settle(&mut link);
    assert_eq!((text(&names, "a"), names.is_empty(), names.memory()), (None, true, 0));
}

#[test]
fn texts_of_the_client_drop_one_or_all() {
    let (mut names, mut link) = (Names::default(), Exchange::default());
    for name in ["a", "b", "c"] {
        parse(&mut names, name, name);
        link.outcomes.push_back(Outcome::Done);
    }
    names.describe(b"c");
    link.outcomes.push_back(Outcome::Shape(5));
    names.settle(&mut link);
    assert_eq!(names.get(b"c").and_then(|entry| entry.shape), Some(5));
    names.deallocating.push_back(b"a"[..].into());
    link.outcomes.push_back(Outcome::Dropped(Dropped::One));
    names.settle(&mut link);
    assert_eq!((text(&names, "a"), names.len()), (None, 2));
    // What is asked for behind it, and answered in the same read, stays.
    parse(&mut names, "d", "d");
    link.outcomes.extend([Outcome::Dropped(Dropped::All), Outcome::Done]);
    names.settle(&mut link);
    assert_eq!((text(&names, "d"), names.len()), (Some("d".into()), 1));
    link.outcomes.push_back(Outcome::Dropped(Dropped::All));
    names.settle(&mut link);
    assert_eq!((names.len(), names.memory()), (0, 0));
    // Nothing went wrong, and nothing was asked for: nothing happens.
    names.deallocating.push_back(b"a"[..].into());
    names.detached(&mut link);
    assert!(names.deallocating.is_empty());
}

#[test]
fn a_client_prepares_so_much_and_no_more() {
    let mut names = Names::default();
    assert!(names.has_room(b"a", 1000) && !names.has_room(b"a", CLIENT_BYTES_MAX));
    let large = "x".repeat(CLIENT_BYTES_MAX / 2);
    parse(&mut names, "a", &large);
    assert!(names.has_room(b"b", 1000) && !names.has_room(b"b", CLIENT_BYTES_MAX / 2));
    names.close(b"a");
    assert!(names.has_room(b"b", CLIENT_BYTES_MAX / 2));
}
