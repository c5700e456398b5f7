//! Options of COPY, as the parser gives them.

use super::{CopyFormat, format};
use crate::sql::outline::Kind;
use crate::sql::outline_kind::outline;

fn of(options: &str) -> Result<CopyFormat, (&'static str, String)> {
    let statements = outline(&format!("COPY t FROM STDIN {options}"), true).expect("it is read");
    let Kind::Copy(copy) = &statements[0].kind else { panic!("a COPY") };
    format(&copy.options, "id").map_err(|refusal| (refusal.state, refusal.reason))
}

fn text(delimiter: u8, null: &str, header: bool) -> CopyFormat {
    CopyFormat::Text { delimiter, null: null.as_bytes().into(), header }
}

#[test]
fn a_format_is_what_the_options_say() {
    assert_eq!(of(""), Ok(text(b'\t', "\\N", false)));
    assert_eq!(of("WITH (DELIMITER '|', NULL '', HEADER)"), Ok(text(b'|', "", true)));
    assert_eq!(of("DELIMITERS '|'"), Ok(text(b'|', "\\N", false)));
    assert_eq!(of("(HEADER match)"), Ok(text(b'\t', "\\N", true)));
    assert_eq!(of("(HEADER false, FREEZE, ENCODING 'utf-8', ON_ERROR stop)"), Ok(text(b'\t', "\\N", false)));
    let csv = |delimiter, quote, escape, header, force_null, force_not_null| {
        Ok(CopyFormat::Csv { delimiter, quote, escape, null: b"".as_slice().into(), header, force_null, force_not_null })
    };
    assert_eq!(of("CSV"), csv(b',', b'"', b'"', false, false, false));
    assert_eq!(of("(FORMAT csv, HEADER 1)"), csv(b',', b'"', b'"', true, false, false));
    assert_eq!(of("(FORMAT 'csv', QUOTE '''', FORCE_NULL (name, id))"), csv(b',', b'\'', b'\'', false, true, false));
    assert_eq!(of("CSV HEADER DELIMITER ';' ESCAPE '\\' FORCE NOT NULL id"), csv(b';', b'"', b'\\', true, false, true));
    assert_eq!(of("(FORMAT csv, FORCE_NOT_NULL *, FORCE_NULL (name))"), csv(b',', b'"', b'"', false, false, true));
    assert_eq!(of("BINARY"), Ok(CopyFormat::Binary));
}

#[test]
fn what_cannot_be_cut_is_refused() {
    for options in ["(ENCODING 'LATIN1')", "(DEFAULT 'x')", "(ON_ERROR ignore)", "(REJECT_LIMIT 5)", "(DELIMITER 'ab')", "(DELIMITER 'ä')"] {
        assert_eq!(of(options).map_err(|(state, _)| state), Err("0A000"), "{options}");
    }
    assert_eq!(of("(FORMAT parquet)"), Err(("22023", "COPY format \"parquet\" not recognized".into())));
}
