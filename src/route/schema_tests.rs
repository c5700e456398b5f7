//! Answers about a schema, and what is told of them.

use super::{Schema, path};

fn row(fields: &[Option<&str>]) -> super::Row {
    fields.iter().map(|field| field.map(|field| field.as_bytes().to_vec())).collect()
}

#[test]
fn answers_that_make_no_sense_are_not_guessed_at() {
    let settings = [row(&[Some("public"), Some("180004"), Some("UTF8")])];
    let good = row(&[Some("public"), Some("t"), Some("r"), Some("id"), Some("20"), Some("-1"), Some("t"), Some("n")]);
    assert_eq!(Schema::read(std::slice::from_ref(&good), &[], &settings).map(|schema| schema.major).ok(), Some(18));
    for at in [0, 1, 2, 4, 5, 7] {
        let mut bad = good.clone();
        bad[at] = None;
        assert!(Schema::read(&[bad], &[], &settings).is_err(), "{at}");
    }
    assert!(Schema::read(&[good[..7].to_vec()], &[], &settings).is_err());
    assert!(Schema::read(&[], &[], &[]).is_err());
    assert!(Schema::read(&[], &[row(&[Some("public"), Some("f"), Some("t")])], &settings).is_err());
}

#[test]
fn a_path_is_read_as_postgresql_reads_it_or_not_at_all() {
    assert_eq!(path("\"$user\", public"), Some(vec!["$user", "public"]));
    assert_eq!(path("a,\"B\""), Some(vec!["a", "B"]));
    for odd in ["Public", "\"a\"\"b\"", "\"a"] {
        assert_eq!(path(odd), None, "{odd}");
    }
}
