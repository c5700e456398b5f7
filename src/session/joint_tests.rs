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

#[test]
fn every_statement_of_a_text_that_all_do_alike_has_its_tag() {
    let mut select = Vec::new();
    row_description(&mut select, &[("a", 23, 4)]).unwrap();
    let script = [tag("CREATE TABLE"), select, row("1"), tag("SELECT 1"), tag("DROP TABLE")];
    // Each of the shards may be ahead of the other by any number of messages.
    for ahead in 0..=script.len() {
        let mut joint = Joint::new(Join::Same, vec![0, 2]);
        let mut told = Vec::new();
        let mut hear = |joint: &mut Joint, shard: u16, message: &[u8]| {
            if joint.hear(shard, message, &mut told) == Shown::Whole {
                told.extend_from_slice(message);
            }
            told.len()
        };
        script[..ahead].iter().for_each(|message| _ = hear(&mut joint, 2, message));
        for (number, message) in script.iter().enumerate() {
            let told = hear(&mut joint, 0, message);
            assert!(number > 0 || told == 0, "the first tag may be the last");
        }
        let all = script.concat();
        for message in &script[ahead..] {
            assert!(hear(&mut joint, 2, message) < all.len(), "the last tag is told when all is well");
        }
        joint.finish(&mut told);
        assert_eq!(told, all, "{ahead}");
    }
}

#[test]
fn the_tags_in_front_of_an_error_are_those_that_all_shards_have_said() {
    let failure = differ();
    // An error that is heard first does not take away what the others did before it.
    let mut select = Vec::new();
    row_description(&mut select, &[("a", 23, 4)]).unwrap();
    let done = [select.clone(), row("1"), tag("SELECT 1")];
    let mut joint = Joint::new(Join::Same, vec![0, 1]);
    for (shard, message) in done.iter().map(|message| (1, message)).chain([(1, &failure.to_vec())]).chain(done.iter().map(|message| (0, message))) {
        assert_eq!(joint.hear(shard, message, &mut Vec::new()), Shown::Nothing);
    }
    joint.hear(0, &select, &mut Vec::new());
    joint.hear(0, &failure, &mut Vec::new());
    let error = joint.error.take().unwrap();
    assert_eq!(joint.done_before(error).to_vec(), [done.concat(), failure.to_vec()].concat());
    for (said, shown) in [(&["CREATE TABLE", "DROP TABLE"][..], 1), (&[], 0)] {
        let mut joint = Joint::new(Join::Same, vec![0, 1]);
        let mut told = Vec::new();
        joint.hear(0, &tag("CREATE TABLE"), &mut told);
        said.iter().for_each(|said| _ = joint.hear(1, &tag(said), &mut told));
        joint.hear(1, &failure, &mut told);
        joint.hear(0, &failure, &mut told);
        assert!(told.is_empty());
        let error = joint.error.take().unwrap();
        let before = if shown == 1 { tag("CREATE TABLE") } else { Vec::new() };
        assert_eq!(joint.done_before(error).to_vec(), [before, failure.to_vec()].concat());
    }
}

#[test]
fn a_copy_of_all_shards_begins_behind_the_tags_in_front_of_it() {
    let mut joint = Joint::new(Join::Same, vec![0, 1]);
    let (mut told, begins) = (Vec::new(), [b'G', 0, 0, 0, 7, 0, 0, 0]);
    for shard in [1, 0] {
        assert_eq!(joint.hear(shard, &tag("INSERT 0 1"), &mut told), Shown::Nothing);
    }
    assert_eq!(joint.hear(1, &begins, &mut told), Shown::Nothing);
    assert_eq!(joint.hear(0, &begins, &mut told), Shown::Words);
    assert_eq!(told, [tag("INSERT 0 1"), begins.to_vec()].concat());
    assert!(finished(&mut joint).is_empty());
}

#[test]
fn plans_stand_one_after_the_other_and_the_route_behind_them() {
    let lines: Box<[Box<str>]> = ["".into(), "Routing".into()].into();
    let asked = |shards: &[u16], limit: u32| {
        let mut joint = Joint::new(Join::Plans(lines.clone()), shards.to_vec());
        joint.limit(limit);
        let mut words = Vec::new();
        let mut columns = Vec::new();
        row_description(&mut columns, &[("QUERY PLAN", 25, -1)]).unwrap();
        // The last shard is the fastest.
        for (at, shard) in shards.iter().rev().enumerate() {
            assert_eq!(joint.hear(*shard, &columns, &mut words), if at == 0 { Shown::Whole } else { Shown::Nothing });
            assert_eq!(joint.hear(*shard, &row(&format!("Scan {shard}")), &mut words), Shown::Nothing);
            assert_eq!(joint.hear(*shard, &tag("EXPLAIN"), &mut words), Shown::Nothing);
        }
        assert!(words.is_empty());
        (finished(&mut joint), joint.left_out)
    };
    assert_eq!(asked(&[1], 0), ([row("Scan 1"), row(""), row("Routing"), tag("EXPLAIN")].concat(), false));
    let plans = [row("Shard 0:"), row("Scan 0"), row("Shard 2:"), row("Scan 2")].concat();
    assert_eq!(asked(&[0, 2], 0), ([&plans[..], &row(""), &row("Routing"), &tag("EXPLAIN")].concat(), false));
    assert_eq!(asked(&[0, 2], 6), ([&plans[..], &row(""), &row("Routing"), &tag("EXPLAIN")].concat(), false));
    assert_eq!(asked(&[0, 2], 4), ([&plans[..], b"s\0\0\0\x04"].concat(), true));
    // Only described.
    assert_eq!(finished(&mut Joint::new(Join::Plans(lines.clone()), vec![1])), b"");
}
