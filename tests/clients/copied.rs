//! The rows of a COPY, against PostgreSQL itself: what `wire::copy` finds in a field is what the server stores in that column, for generated rows
//! full of what the formats treat specially, in all formats; and what the server takes, it takes.

use std::fmt::Write;

use pg_dog::wire::copy::{Fault, Format, Row, Rows, Why};

use super::support::{Postgres, Raw, Version, raw};
use crate::on_both;

on_both!(what_is_found_is_what_is_stored, tuples_are_what_is_stored);

/// COPYs of each format.
const COPIES: usize = 1_500;

/// Chance, the same in every run: a counter through the finaliser of splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

/// What the server makes of a COPY: the stored keys in hexadecimal, or an error's code and message.
fn stored(client: &mut Raw, options: &str, data: &[u8]) -> Result<Vec<String>, (String, String)> {
    client.query("BEGIN");
    client.send(&raw::query(&format!("COPY copied (a, k, z) FROM STDIN ({options})")));
    let answer = client.read();
    assert_eq!(answer.tag, b'G', "{options}: {answer:?}");
    client.send(&[raw::copy_data(data), raw::copy_done()].concat());
    let replies = client.read_until_ready();
    let failed = replies.iter().find(|message| message.tag == b'E').map(|error| (error.sqlstate(), error.fields()[&'M'].clone()));
    let result = match failed {
        Some(error) => Err(error),
        None => {
            let rows = client.rows("SELECT coalesce(encode(convert_to(k, 'UTF8'), 'hex'), 'NULL') FROM copied ORDER BY n");
            Ok(rows.into_iter().map(|mut row| row.remove(0)).collect())
        }
    };
    client.query("ROLLBACK");
    result
}

/// What `Rows` makes of it, given in two pieces.
fn found(format: &Format, data: &[u8], cut: usize) -> Result<Vec<String>, Fault> {
    let mut rows = Rows::new(format.clone(), 1);
    let mut keys = Vec::new();
    let mut each = |row: Row<'_>| {
        keys.push(row.key.map_or("NULL".to_owned(), |key| {
            key.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a string takes all");
                hex
            })
        }));
        Ok(())
    };
    rows.push::<Fault>(&data[..cut], &mut each)?;
    rows.push::<Fault>(&data[cut..], &mut each)?;
    rows.end::<Fault>(&mut each)?;
    Ok(keys)
}

/// Compares the two; says whether there were rows to compare.
fn alike(client: &mut Raw, format: &Format, options: &str, data: &[u8], cut: usize) -> bool {
    let (server, ours) = (stored(client, options, data), found(format, data, cut));
    let shown = String::from_utf8_lossy(data);
    match (&server, &ours) {
        (Ok(stored), Ok(found)) => {
            assert_eq!(found, stored, "{options}: {shown:?}");
            !found.is_empty()
        }
        // It sees more than one field of a row; but what both see they call the same.
        (Err((code, message)), Err(fault)) => {
            if fault.code() == code && code == "22P04" && message.contains("carriage") {
                assert_eq!(&fault.message("k"), message, "{options}: {shown:?}");
            }
            false
        }
        (Err(_), Ok(_)) => false,
        // What versions read differently.
        (Ok(_), Err(fault)) => {
            assert!(matches!(fault.why, Why::MarkerInCsv | Why::MarkerNotAlone), "{options}: {shown:?} is stored as {server:?}, and is {fault:?}");
            false
        }
    }
}

fn client(postgres: &Postgres) -> Raw {
    let mut client = Raw::login(&postgres.login("app"));
    client.query("CREATE TABLE copied (n bigserial, a text, k text, z text)");
    client
}

/// Lines of three fields, mostly: pieces of what may stand in one.
fn lines(chance: &mut Chance, pieces: &[&[u8]], delimiter: u8) -> Vec<u8> {
    let end = chance.pick(&[b"\n", b"\n", b"\r", b"\r\n"]);
    let mut out = Vec::new();
    for _ in 0..chance.below(5) {
        for field in 0..3 {
            if field > 0 {
                out.push(delimiter);
            }
            for _ in 0..chance.below(4) {
                out.extend_from_slice(chance.pick(pieces));
            }
        }
        out.extend_from_slice(end);
    }
    if chance.below(20) == 0 {
        out.extend_from_slice(chance.pick(&[b"\\.\n", b"\\.", b"\\.\r\n", b"x", b"\\", b"\r"]));
    }
    if chance.below(4) == 0 && !out.is_empty() {
        out.truncate(out.len() - 1);
    }
    out
}

#[rustfmt::skip]
fn text_pieces() -> Vec<&'static [u8]> {
    vec![
        b"a",
        b"bc", b"\xc3\xa9", b" ", b"\\N", b"N", b"\\n", b"\\r", b"\\t", b"\\\\", b"\\x4", b"\\x41", b"\\x", b"4", b"1", b"\\1", b"\\101", b"\\8",
        b"\\q", b"\\\t", b"\\|", b"\\\n", b"\"", b"nil", b"\\xc3\\xa9", b"\\v\\f\\b", b"\\.x",
    ]
}

#[rustfmt::skip]
fn csv_pieces() -> Vec<&'static [u8]> {
    vec![
        b"a",
        b"bc", b"\xc3\xa9", b" ", b"nil", b"\"\"", b"\"a\"", b"\"x,y\"", b"\"l\nm\"", b"\"l\r\nm\"", b"\"l\rm\"", b"\"\"\"\"", b"\"nil\"", b"\\N",
        b"\\.", b"'", b"''", b"'x;,y'", b"'a\\'b'", b"'\\\\'", b"'\\x'", b"\\", b"'\n'", b"\"a\"\"b\"", b"\"a\"b\"c\"", b"\"\\.\n\"",
    ]
}

fn what_is_found_is_what_is_stored(version: Version) {
    let postgres = Postgres::start(version);
    let mut client = client(&postgres);
    let null = |word: &str| Box::<[u8]>::from(word.as_bytes());
    let csv = |delimiter, quote, escape, null, header, force_null, force_not_null| Format::Csv {
        delimiter,
        quote,
        escape,
        null,
        header,
        force_null,
        force_not_null,
    };
    let formats = [
        ("FORMAT text", Format::Text { delimiter: b'\t', null: null("\\N"), header: false }, b'\t'),
        ("DELIMITER '|', NULL ''", Format::Text { delimiter: b'|', null: null(""), header: false }, b'|'),
        ("DELIMITER 'A', NULL 'nil', HEADER", Format::Text { delimiter: b'A', null: null("nil"), header: true }, b'A'),
        ("FORMAT csv", csv(b',', b'"', b'"', null(""), false, false, false), b','),
        ("FORMAT csv, HEADER, NULL 'nil', FORCE_NULL (k)", csv(b',', b'"', b'"', null("nil"), true, true, false), b','),
        ("FORMAT csv, DELIMITER ';', QUOTE '''', ESCAPE '\\', NULL 'nil'", csv(b';', b'\'', b'\\', null("nil"), false, false, false), b';'),
        ("FORMAT csv, NULL 'nil', FORCE_NULL (k), FORCE_NOT_NULL (k), ESCAPE '\\'", csv(b',', b'"', b'\\', null("nil"), false, true, true), b','),
    ];
    let mut chance = Chance(7);
    for (options, format, delimiter) in formats {
        let pieces = if matches!(format, Format::Text { .. }) { text_pieces() } else { csv_pieces() };
        let mut compared = 0;
        for _ in 0..COPIES {
            let data = lines(&mut chance, &pieces, delimiter);
            let cut = chance.below(data.len() + 1);
            compared += usize::from(alike(&mut client, &format, options, &data, cut));
        }
        assert!(compared > COPIES / 10, "{options}: only {compared} were taken");
    }
}

fn tuples_are_what_is_stored(version: Version) {
    let postgres = Postgres::start(version);
    let mut client = client(&postgres);
    let mut chance = Chance(11);
    let mut compared = 0;
    for _ in 0..COPIES {
        let extension = vec![b'e'; chance.below(3)];
        let mut data = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0".as_slice(), &[extension.len() as u8], &extension].concat();
        for _ in 0..chance.below(5) {
            data.extend_from_slice(&[0, 3]);
            for _ in 0..3 {
                let value = vec![b'v'; chance.below(300)];
                let null = chance.below(4) == 0;
                data.extend_from_slice(&if null { -1i32 } else { value.len() as i32 }.to_be_bytes());
                data.extend_from_slice(if null { b"" } else { &value });
            }
        }
        data.extend_from_slice(chance.pick(&[b"\xff\xff", b"\xff\xff", b"", b"\0", b"\xff\xffx"]));
        if chance.below(10) == 0 {
            data.truncate(chance.below(data.len()));
        }
        let cut = chance.below(data.len() + 1);
        compared += usize::from(alike(&mut client, &Format::Binary, "FORMAT binary", &data, cut));
    }
    assert!(compared > COPIES / 4, "only {compared} were taken");
}
