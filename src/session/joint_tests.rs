//! Answers of shards in every order.

use super::*;
use crate::wire::server::{data_row, row_description};

fn row(text: &str) -> Vec<u8> {
    let mut words = Vec::new();
    data_row(&mut words, &[Some(text.as_bytes())]).unwrap();
    words
}

fn tag(text: &str) -> Vec<u8> {
    let mut words = Vec::new();
    command_complete(&mut words, text).unwrap();
    words
}

fn finished(joint: &mut Joint) -> Vec<u8> {
    let mut words = Vec::new();
    joint.finish(&mut words);
    words
}

#[test]
fn counts_add_up() {
    for (one, two, all) in
        [("INSERT 0 2", "INSERT 0 5", "INSERT 0 7"), ("UPDATE 0", "UPDATE 3", "UPDATE 3"), ("CREATE TABLE", "CREATE TABLE", "CREATE TABLE")]
    {
        let mut joint = Joint::new(Join::Union, vec![0, 2]);
        joint.hear(2, &tag(one), &mut Vec::new());
        joint.hear(0, &tag(two), &mut Vec::new());
        assert_eq!(finished(&mut joint), tag(all));
    }
    let mut joint = Joint::new(Join::Same, vec![0, 1]);
    joint.hear(0, &tag("UPDATE 3"), &mut Vec::new());
    joint.hear(1, &tag("UPDATE 3"), &mut Vec::new());
    assert_eq!(finished(&mut joint), tag("UPDATE 3"));
}

#[test]
fn returned_rows_come_in_the_order_of_the_rows_given() {
    let mut joint = Joint::new(Join::Rows { order: [1, 0, 0, 1].into() }, vec![0, 2]);
    let mut words = Vec::new();
    assert_eq!(joint.hear(0, &row("b"), &mut words), Shown::Nothing);
    assert_eq!(joint.hear(2, &row("a"), &mut words), Shown::Words);
    assert_eq!(words, [row("a"), row("b")].concat());
    words.clear();
    joint.hear(2, &row("d"), &mut words);
    joint.hear(0, &row("c"), &mut words);
    assert_eq!(words, [row("c"), row("d")].concat());
}

#[test]
fn columns_are_told_once_and_must_agree_but_for_their_tables() {
    let mut described = Vec::new();
    row_description(&mut described, &[("a", 23, 4)]).unwrap();
    let mut elsewhere = described.clone();
    // The table's OID is each shard's own.
    elsewhere[HEADER + 4] = 7;
    let mut joint = Joint::new(Join::Union, vec![0, 1]);
    assert_eq!(joint.hear(0, &described, &mut Vec::new()), Shown::Whole);
    assert_eq!(joint.hear(1, &elsewhere, &mut Vec::new()), Shown::Nothing);
    assert!(joint.error.is_none());
    let mut other = Vec::new();
    row_description(&mut other, &[("a", 20, 8)]).unwrap();
    let mut joint = Joint::new(Join::Union, vec![0, 1]);
    joint.hear(0, &described, &mut Vec::new());
    joint.hear(1, &other, &mut Vec::new());
    assert!(joint.error.is_some());
    assert_eq!(joint.hear(0, &row("a"), &mut Vec::new()), Shown::Nothing, "an answer that is wrong is not shown");
}

#[test]
fn what_all_do_alike_is_told_once() {
    let mut joint = Joint::new(Join::Same, vec![1, 2]);
    let mut notice = Vec::new();
    crate::wire::server::notice(&mut notice, &ErrorFields { severity: "NOTICE", code: "00000", message: "a", detail: None, hint: None });
    assert_eq!(joint.hear(2, &notice, &mut Vec::new()), Shown::Nothing);
    assert_eq!(joint.hear(1, &notice, &mut Vec::new()), Shown::Whole);
    assert_eq!(joint.hear(2, &row("a"), &mut Vec::new()), Shown::Nothing);
    assert_eq!(joint.hear(1, &row("a"), &mut Vec::new()), Shown::Whole);
}

#[test]
fn one_shard_answers_each_statement_of_a_text() {
    let mut joint = Joint::new(Join::Union, vec![1]);
    for said in ["UPDATE 1", "UPDATE 2"] {
        assert_eq!(joint.hear(1, &tag(said), &mut Vec::new()), Shown::Whole);
    }
    assert!(finished(&mut joint).is_empty());
}
