//! Reasons in number and length.

use super::*;

fn refused(message: &str) -> Refused {
    Refused { code: "0A000", message: message.to_owned(), detail: None, hint: None }
}

#[test]
fn each_reason_is_kept_once_with_its_first_text() {
    let mut remarks = Remarks::default();
    for (text, message) in [("SELECT 1", "one"), ("SELECT 2", "two"), ("SELECT 3", "one")] {
        remarks.add(text.as_bytes(), &refused(message));
    }
    let found: Vec<(&str, &str, u64)> = remarks.all().iter().map(|one| (one.reason.as_str(), one.text.as_str(), one.times)).collect();
    assert_eq!(found, [("0A000: one", "SELECT 1", 2), ("0A000: two", "SELECT 2", 1)]);
}

#[test]
fn there_is_room_for_so_many_of_such_a_length() {
    let mut remarks = Remarks::default();
    for number in 0..REMARKS_MAX + 10 {
        remarks.add(&vec![b'x'; 3 * TEXT_MAX], &refused(&number.to_string()));
    }
    assert_eq!(remarks.all().len(), REMARKS_MAX);
    assert!(remarks.all().iter().all(|one| one.text.len() == TEXT_MAX && one.times == 1));
    // One that is cut is still found again, or not kept again.
    let long = "y".repeat(3 * TEXT_MAX);
    let mut remarks = Remarks::default();
    (0..2 * REMARKS_MAX).for_each(|_| remarks.add(b"", &refused(&long)));
    assert!(remarks.all().len() <= REMARKS_MAX);
}
