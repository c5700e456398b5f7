//! Tests of names and texts; the SQL runs in `tests/clients/recovery.rs`.

use super::*;

const CLUSTER: [u8; 16] = [0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn gid(decider: u16) -> Gid {
    Gid::new(&CLUSTER, decider, [0xcd; 16])
}

fn row(columns: &[&str]) -> Vec<Option<Vec<u8>>> {
    columns.iter().map(|column| Some(column.as_bytes().to_vec())).collect()
}

#[test]
fn a_name_is_read_as_it_was_written() {
    for decider in [0, 7, 1023, u16::MAX] {
        for participant in [0, 12, u16::MAX] {
            let text = format!("{}:{participant}", gid(decider));
            assert_eq!(Gid::parse(&text), Some((gid(decider), participant)));
            assert!(text.len() <= GID_MAX && is_ours(text.as_bytes()));
        }
    }
    assert_eq!(gid(3).to_string(), "dog:ab01020304050607:3:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd");
    assert_eq!(decision(gid(3).to_string().as_bytes()), Some(gid(3)));
    assert!(gid(3).is_of(&CLUSTER) && !gid(3).is_of(&[1; 16]));
    let beginning_only: [u8; 16] = std::array::from_fn(|at| if at < 8 { CLUSTER[at] } else { 0 });
    assert!(gid(3).is_of(&beginning_only), "the first half names a cluster");
}

#[test]
fn what_we_would_not_write_is_not_ours_to_finish() {
    let good = format!("{}:2", gid(3));
    for bad in [
        "",
        "dog:",
        "dog",
        &good[1..],
        &good[..good.len() - 2],
        &format!("{good}:1"),
        &format!("{good}:"),
        &format!("{good}2222222"),
        &good.replace("ab01", "AB01"),
        &good.replace("ab01", "ab0"),
        &good.replace("ab01", "ab0g"),
        &good.replace("ab01", "+b01"),
        &good.replace(":3:", ":03:"),
        &good.replace(":3:", ":+3:"),
        &good.replace(":3:", ":65536:"),
        &good.replace(":3:", "::"),
        &good.replace("cdcd", "cd\u{e9}d"),
        &good.replace("dog:", "DOG:"),
        &good.replace("dog:", " dog:"),
    ] {
        assert_eq!(Gid::parse(bad), None, "{bad}");
    }
    assert_eq!(decision(b"\xff"), None);
    assert_eq!(decision(good.as_bytes()), None);
    for (name, ours) in [("dog:", true), ("dog:mine", true), ("dogs", false), ("Dog:x", false), ("", false)] {
        assert_eq!(is_ours(name.as_bytes()), ours, "{name}");
    }
}

#[test]
fn texts_name_the_commit() {
    let name = gid(3).to_string();
    assert_eq!(gid(3).decide(), format!("SELECT dog.decide('{name}')"));
    assert_eq!(gid(3).prepare(2), format!("PREPARE TRANSACTION '{name}:2'"));
    assert_eq!(gid(3).commit_prepared(0), format!("COMMIT PREPARED '{name}:0'"));
    assert_eq!(gid(3).rollback_prepared(1), format!("ROLLBACK PREPARED '{name}:1'"));
    assert!(gid(3).resolve().ends_with(&format!("FROM dog.resolve('{name}') AS d")));
    assert!(orphans(&CLUSTER).contains("LIKE 'dog:ab01020304050607:%' AND"));
    assert_eq!(forget([&gid(3), &gid(4)]), format!("SELECT dog.forget('{{{name},{}}}')", gid(4)));
}

#[test]
fn verdicts_are_read() {
    assert_eq!(Verdict::read(&[]), Some(Verdict::Forgotten));
    assert_eq!(Verdict::read(&[row(&["c", "app"])]), Some(Verdict::Committed { owner: "app".to_owned() }));
    assert_eq!(Verdict::read(&[row(&["a", "dba"])]), Some(Verdict::Refused));
    for bad in
        [vec![row(&["x", "app"])], vec![row(&["c"])], vec![vec![None, None]], vec![row(&["c", "app"]); 2], vec![vec![Some(b"c".to_vec()), None]]]
    {
        assert_eq!(Verdict::read(&bad), None, "{bad:?}");
    }
}

#[test]
fn orphans_are_read() {
    let name = format!("{}:2", gid(3));
    let orphan = Orphan::read(&row(&[&name, "app", "2026-01-01 00:00:00+00", "2500"])).expect("one of ours");
    assert_eq!((orphan.gid, orphan.participant, &*orphan.owner, orphan.age), (gid(3), 2, "app", Duration::from_millis(2500)));
    assert_eq!(Orphan::read(&row(&[&name, "app", "later", "-7"])).map(|orphan| orphan.age), Some(Duration::ZERO));
    for bad in [row(&["dog:ab01020304050607:by hand", "app", "", "1"]), row(&[&name, "app", "", "x"]), row(&[&name, "app"])] {
        assert_eq!(Orphan::read(&bad), None);
    }
}
