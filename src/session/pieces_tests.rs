//! Errors of one statement, told as errors of its text.

use super::*;

#[test]
fn the_position_of_an_error_is_that_in_the_whole_text() {
    let message = |fields: &[u8]| [&b"E"[..], &(fields.len() as u32 + 4).to_be_bytes(), fields].concat();
    let moved = |fields: &[u8], by| moved(&message(fields), by).map(Vec::from);
    assert_eq!(moved(b"SERROR\0C42601\0P8\0Fa.c\0\0", 95), Some(message(b"SERROR\0C42601\0P103\0Fa.c\0\0")));
    assert_eq!(moved(b"SERROR\0C42601\0Mno P8\0p8\0\0", 95), None);
    // Whatever comes, it is told as it is.
    for fields in [&b""[..], b"\0", b"P", b"P\0\0", b"P-1\0\0", b"P99999999999999999999999\0\0", b"Sx"] {
        assert_eq!(moved(fields, 1), None, "{fields:?}");
    }
    assert_eq!(moved(b"P18446744073709551615\0\0", 1), Some(message(b"P18446744073709551615\0\0")));
    assert_eq!(characters("a\u{e4}\u{1f600};".as_bytes()), 4);
}
