//! Rows of COPY in all formats, cut at every byte.

use super::{Fault, Format, ROW_MAX, Row, Rows, Why};

type Read = (Vec<u8>, Option<Vec<u8>>, u64);

#[derive(Debug, PartialEq, Eq)]
struct Whole {
    header: Vec<u8>,
    rows: Vec<Read>,
    end: &'static [u8],
}

/// Reads these pieces.
fn read(format: &Format, position: usize, pieces: &[&[u8]]) -> Result<Whole, Fault> {
    let mut rows = Rows::new(format.clone(), position);
    let mut seen: Vec<Read> = Vec::new();
    let mut each = |row: Row<'_>| {
        seen.push((row.bytes.to_vec(), row.key.map(<[u8]>::to_vec), row.line));
        Ok(())
    };
    for piece in pieces {
        rows.push::<Fault>(piece, &mut each)?;
    }
    let end = rows.end::<Fault>(&mut each)?;
    Ok(Whole { header: rows.header().to_vec(), rows: seen, end })
}

/// The same, however the bytes are cut: in two anywhere, and byte by byte.
fn always(format: &Format, position: usize, bytes: &[u8]) -> Result<Whole, Fault> {
    let whole = read(format, position, &[bytes]);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        assert_eq!(read(format, position, &[first, second]), whole, "cut at {cut}");
    }
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(format, position, &each), whole, "byte by byte");
    whole
}

fn text() -> Format {
    Format::Text { delimiter: b'\t', null: b"\\N".as_slice().into(), header: false }
}

fn csv() -> Format {
    Format::Csv { delimiter: b',', quote: b'"', escape: b'"', null: b"".as_slice().into(), header: false, force_null: false, force_not_null: false }
}

/// The keys of the rows of these bytes, which the rows must be.
fn keys(format: &Format, position: usize, bytes: &[u8]) -> Vec<Option<String>> {
    let whole = always(format, position, bytes).unwrap_or_else(|fault| panic!("{fault:?}"));
    let joined: Vec<u8> = whole.header.iter().chain(whole.rows.iter().flat_map(|(bytes, ..)| bytes)).copied().collect();
    assert_eq!(joined, bytes, "the rows are the bytes");
    whole.rows.into_iter().map(|(_, key, _)| key.map(|key| String::from_utf8_lossy(&key).into_owned())).collect()
}

fn some(keys: &[&str]) -> Vec<Option<String>> {
    keys.iter().map(|key| Some((*key).to_owned()).filter(|key| key != "NULL")).collect()
}

fn why(format: &Format, position: usize, bytes: &[u8]) -> (Why, u64) {
    let fault = always(format, position, bytes).expect_err("it is no COPY");
    (fault.why, fault.line)
}

#[test]
fn fields_of_text_are_decoded() {
    assert_eq!(keys(&text(), 0, b"1\ta\n\\N\tb\n\tc"), some(&["1", "NULL", ""]));
    assert_eq!(keys(&text(), 1, b"1\ta\\tb\n2\t\\\\N\n3\t\\x41\\101\\x4\\7g\\q\\x\tz\n"), some(&["a\tb", "\\N", "AA\u{4}\u{7}gqx"]));
    // The delimiter and the line end may be escaped; a backslash at the end is nothing.
    assert_eq!(keys(&text(), 1, b"1\\\t2\t\\\n3\n4\t5\\"), some(&["\n3", "5"]));
    let piped = Format::Text { delimiter: b'|', null: b"".as_slice().into(), header: false };
    assert_eq!(keys(&piped, 1, b"1||\n2|\\||\n3|\\"), some(&["NULL", "|", "NULL"]));
    // A delimiter may be a hexadecimal digit, but not in a number.
    let odd = Format::Text { delimiter: b'A', null: b"\\N".as_slice().into(), header: false };
    assert_eq!(keys(&odd, 1, b"\\x1A1A2\n"), some(&["2"]));
    assert_eq!(keys(&text(), 0, b""), some(&[]));
    assert_eq!(keys(&text(), 0, b"\n\n"), some(&["", ""]));
}

#[test]
fn the_first_line_end_is_that_of_all() {
    assert_eq!(keys(&text(), 0, b"1\r2\r3"), some(&["1", "2", "3"]));
    assert_eq!(keys(&text(), 0, b"1\r\n2\r\n3"), some(&["1", "2", "3"]));
    assert_eq!(keys(&text(), 0, b"1\r"), some(&["1"]));
    assert_eq!(why(&text(), 0, b"1\n2\r3\n"), (Why::LiteralReturn, 2));
    assert_eq!(why(&text(), 0, b"1\n2\r\n"), (Why::LiteralReturn, 2));
    assert_eq!(why(&text(), 0, b"1\r\n2\r3\r\n"), (Why::LiteralReturn, 2));
    assert_eq!(why(&text(), 0, b"1\r\n2\r"), (Why::LiteralReturn, 2));
    assert_eq!(why(&text(), 0, b"1\r\n2\n"), (Why::LiteralNewline, 2));
    assert_eq!(why(&text(), 0, b"1\r2\n"), (Why::LiteralNewline, 2));
    assert_eq!(why(&csv(), 0, b"1\r2\n"), (Why::UnquotedNewline, 2));
    assert_eq!(why(&csv(), 0, b"1\n2\r3"), (Why::UnquotedReturn, 2));
}

#[test]
fn a_marker_ends_text_and_nothing_else() {
    let whole = always(&text(), 0, b"1\n\\.\n2\n").expect("rows");
    assert_eq!(whole.rows.len(), 1);
    assert_eq!(always(&text(), 0, b"1\r\n\\.\r\nrest").map(|whole| whole.rows.len()), Ok(1));
    assert_eq!(why(&text(), 0, b"1\n\\.x\n"), (Why::MarkerCorrupt, 2));
    assert_eq!(why(&text(), 0, b"1\n2\\.\n"), (Why::MarkerNotAlone, 2));
    assert_eq!(keys(&text(), 0, b"1\n\\\\.\n"), some(&["1", "\\."]));
    assert_eq!(why(&csv(), 0, b"1\n\\.\n"), (Why::MarkerInCsv, 2));
    assert_eq!(keys(&csv(), 0, b"1\n\"\\.\"\n\\.2\n"), some(&["1", "\\.", "\\.2"]));
}

#[test]
fn fields_of_csv_are_decoded() {
    assert_eq!(keys(&csv(), 0, b"1,a\n,b\n\"\",c\n\"d\"\"e\",f\nx\"y,z\"\"\"\n"), some(&["1", "NULL", "", "d\"e", "xy,z\""]));
    assert_eq!(keys(&csv(), 1, b"\"a\nb\r,\"\"\",\"c\r\nd\"\ne,f"), some(&["c\r\nd", "f"]));
    let Format::Csv { delimiter, null, header, .. } = csv() else { panic!("a CSV") };
    let with = |quote, escape, null: Box<[u8]>, force_null, force_not_null| Format::Csv {
        delimiter,
        quote,
        escape,
        null,
        header,
        force_null,
        force_not_null,
    };
    let slashed = with(b'\'', b'\\', null, false, false);
    assert_eq!(keys(&slashed, 0, b"'a\\'b',1\n'\\\\',2\n'\\x\n',3\n\\',4\n',5\n"), some(&["a'b", "\\", "\\x\n", "\\,4\n"]));
    let nulls = |force_null, force_not_null| with(b'"', b'"', b"nil".as_slice().into(), force_null, force_not_null);
    assert_eq!(keys(&nulls(false, false), 0, b"nil\n\"nil\"\n"), some(&["NULL", "nil"]));
    assert_eq!(keys(&nulls(true, false), 0, b"nil\n\"nil\"\n"), some(&["NULL", "NULL"]));
    assert_eq!(keys(&nulls(false, true), 0, b"nil\n\"nil\"\n"), some(&["nil", "nil"]));
    assert_eq!(why(&csv(), 0, b"1\n\"2\n3"), (Why::Unterminated, 3));
    assert_eq!(why(&csv(), 1, b"1,2\n3\n"), (Why::Missing, 2));
    assert_eq!(Fault { why: Why::Missing, line: 2 }.message("id"), "missing data for column \"id\"");
}

#[test]
fn a_header_is_no_row() {
    let headed = Format::Text { delimiter: b'\t', null: b"\\N".as_slice().into(), header: true };
    let whole = always(&headed, 1, b"a\n1\t2\n").expect("rows");
    assert_eq!((whole.header, whole.rows), (b"a\n".to_vec(), vec![(b"1\t2\n".to_vec(), Some(b"2".to_vec()), 2)]));
    let Format::Csv { delimiter, quote, escape, null, force_null, force_not_null, .. } = csv() else { panic!("a CSV") };
    let headed = Format::Csv { delimiter, quote, escape, null, header: true, force_null, force_not_null };
    let whole = always(&headed, 0, b"\"a\nb\",c\n1,2").expect("rows");
    assert_eq!((whole.header.len(), whole.rows.len()), (8, 1));
}

fn header(flags: u32, extension: &[u8]) -> Vec<u8> {
    [b"PGCOPY\n\xff\r\n\0".as_slice(), &flags.to_be_bytes(), &(extension.len() as u32).to_be_bytes(), extension].concat()
}

fn tuple(fields: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = (fields.len() as u16).to_be_bytes().to_vec();
    for field in fields {
        out.extend(field.map_or(-1i32, |field| field.len() as i32).to_be_bytes());
        out.extend(field.unwrap_or_default());
    }
    out
}

#[test]
fn tuples_of_a_binary_copy_are_rows() {
    let tuples = [tuple(&[Some(b"\0\0\0\x05"), Some(b"")]), tuple(&[None, Some(b"x\ny")]), tuple(&[Some(b""), Some(b"ab")])];
    let all = [header(0, b"more"), tuples.concat(), vec![0xff, 0xff]].concat();
    let whole = always(&Format::Binary, 0, &all).expect("rows");
    assert_eq!((whole.header, whole.end), (header(0, b"more"), &[0xff, 0xff][..]));
    let keys = [Some(b"\0\0\0\x05".to_vec()), None, Some(Vec::new())];
    assert_eq!(whole.rows, (1..).zip(keys).zip(&tuples).map(|((line, key), tuple)| (tuple.clone(), key, line)).collect::<Vec<_>>());
    let second = always(&Format::Binary, 1, &[header(0, b""), tuples[1].clone()].concat()).expect("no trailer is none");
    assert_eq!(second.rows[0].1.as_deref(), Some(&b"x\ny"[..]));
}

#[test]
fn what_is_no_binary_copy_is_told() {
    let with = |more: &[u8]| [header(0, b""), more.to_vec()].concat();
    assert_eq!(why(&Format::Binary, 0, b"1\t2\n").0, Why::Signature);
    assert_eq!(why(&Format::Binary, 0, b"PGCOPY").0, Why::Signature);
    assert_eq!(why(&Format::Binary, 0, &header(1 << 16, b"")).0, Why::HeaderFlags);
    assert_eq!(why(&Format::Binary, 0, &with(&tuple(&[Some(b"12")])[..7])), (Why::UnexpectedEnd, 1));
    assert_eq!(why(&Format::Binary, 1, &with(&tuple(&[Some(b"12")]))), (Why::FieldCount, 1));
    assert_eq!(why(&Format::Binary, 0, &with(b"\0\x01\xff\xff\xff\xfe")), (Why::FieldSize, 1));
    assert_eq!(why(&Format::Binary, 0, &with(b"\xff\xffx")).0, Why::AfterEnd);
    assert_eq!(why(&Format::Binary, 0, &with(b"\0\x01\x7f\xff\xff\xff")).0, Why::TooLarge);
}

#[test]
fn a_row_that_never_ends_is_too_large() {
    let mut rows = Rows::new(text(), 0);
    let piece = vec![b'x'; ROW_MAX / 8];
    let mut each = |_: Row<'_>| Ok::<(), Fault>(());
    let pushed: Vec<_> = (0..9).map(|_| rows.push(&piece, &mut each)).collect();
    assert!(pushed[..8].iter().all(Result::is_ok));
    assert_eq!(pushed[8].map_err(|fault| fault.code()), Err("54000"));
}
