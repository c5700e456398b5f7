//! Tests of a line of the query log.

use super::*;

#[test]
fn a_line_is_a_row_of_copy() {
    let asked = Asked { database: "d\tb".into(), user: "u".into(), text: "SELECT '\\',\r\n1".into() };
    assert_eq!(line(&asked, 0), "1970-01-01 00:00:00.000 UTC\td\\tb\tu\tSELECT '\\\\',\\r\\n1\n");
}
