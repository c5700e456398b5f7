//! Values that are hard to quote: quotes, backslashes, other encodings, and what is special to pg_dog's own texts. Random clients set parameters to
//! such values, other clients use the server in between, and PostgreSQL is asked what a twin of each client has.

use super::house::House;
use super::support::{Login, Version, raw};
use super::twins::{Others, Twins};

crate::on_both!(hard_values_stay_what_they_are);

/// Parameters whose value is any text. A search_path has to be a list.
const NAMES: [&str; 4] = ["application_name", "my.param", "search_path", "my.other"];

/// What the values are, whatever the encoding of the client. A custom one that is no more may leave an empty one behind.
const VALUES: &str = "SELECT encode(convert_to(current_setting('application_name'), 'UTF8'), 'hex'), \
    encode(convert_to(coalesce(current_setting('my.param', true), ''), 'UTF8'), 'hex'), \
    encode(convert_to(coalesce(current_setting('my.other', true), ''), 'UTF8'), 'hex'), \
    encode(convert_to(current_setting('search_path'), 'UTF8'), 'hex'), current_setting('client_encoding'), \
    current_setting('standard_conforming_strings')";

/// Units of values in every encoding.
const PLAIN: [&[u8]; 22] = [
    b"'", b"'", b"\"", b"\\", b"\\", b"\\\\", b"$$", b"$x$", b";", b"--", b"/*", b"*/", b",", b" ", b"=", b"\n", b"\t", b"%s", b"+", b"E", b"a",
    b"Z9_",
];

/// Encodings with units of their own. The second byte of some of SJIS is a backslash.
const ENCODINGS: [(&str, &[&[u8]]); 4] = [
    ("UTF8", &["é".as_bytes(), "日本".as_bytes(), "🐕".as_bytes(), "ソ".as_bytes()]),
    ("LATIN1", &[b"\xe9", b"\xff", b"\xa7"]),
    ("SJIS", &[b"\x83\x5c", b"\x95\x5c", b"\x93\xfa"]),
    ("EUC_JP", &[b"\xa5\xbd", b"\xc6\xfc"]),
];

/// A generator of its own (xorshift), so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// A value in units, so that a backslash is told from half a letter.
    fn value(&mut self, encoding: usize) -> Vec<&'static [u8]> {
        let own = ENCODINGS[encoding].1;
        let len = self.roll(7);
        (0..len).map(|_| if self.roll(3) == 0 { own[self.roll(own.len())] } else { PLAIN[self.roll(PLAIN.len())] }).collect()
    }
}

/// Each unit as it is, but for these replacements.
fn with(units: &[&[u8]], replaced: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in units {
        match unit {
            // A letter of an encoding of its own.
            [first, ..] if *first >= 0x80 => bytes.extend_from_slice(unit),
            _ => {
                for byte in *unit {
                    let known = replaced.iter().find(|(special, _)| special == byte);
                    bytes.extend_from_slice(known.map_or(std::slice::from_ref(byte), |(_, words)| words));
                }
            }
        }
    }
    bytes
}

/// A list of quoted identifiers for a search_path, else the value itself. PostgreSQL 18 reports the search_path, and fails over and over when the
/// client's encoding does not know a letter of it.
fn fitting(name: &str, value: Vec<&'static [u8]>) -> Vec<&'static [u8]> {
    if name != "search_path" {
        return value;
    }
    let doubled = value.into_iter().filter(|unit| unit.is_ascii()).flat_map(|unit| if unit == b"\"" { vec![unit, unit] } else { vec![unit] });
    [vec![&b"public, \""[..], b"x"], doubled.collect(), vec![b"\""]].concat()
}

/// One client's knowledge of how its texts are read.
struct Writer {
    encoding: usize,
    /// standard_conforming_strings
    conforms: bool,
}

impl Writer {
    fn literal(&self, units: &[&[u8]], dice: &mut Dice) -> Vec<u8> {
        if dice.roll(3) == 0 {
            return [b" E'", with(units, &[(b'\'', b"\\'"), (b'\\', b"\\\\"), (b'\n', b"\\n")]).as_slice(), b"'"].concat();
        }
        let backslash: &[u8] = if self.conforms { b"\\" } else { b"\\\\" };
        [b"'", with(units, &[(b'\'', b"''"), (b'\\', backslash)]).as_slice(), b"'"].concat()
    }

    /// A step of a client: how it is told, its bytes, and how many ReadyForQuery answer it.
    fn step(&mut self, dice: &mut Dice) -> (String, Vec<u8>, usize) {
        let query = |text: Vec<u8>| (text.escape_ascii().to_string(), raw::frame(b'Q', &[text.as_slice(), b"\0"].concat()), 1);
        let name = NAMES[dice.roll(NAMES.len())];
        let (before, after) =
            [("", ""), ("", ""), ("BEGIN; ", "; COMMIT"), ("BEGIN; ", "; ROLLBACK"), ("BEGIN; SAVEPOINT a; ", "; ROLLBACK TO a; COMMIT")]
                [dice.roll(5)];
        let way = dice.roll(12);
        match way {
            0 | 1 => {
                self.conforms = way == 0;
                return query(format!("SET standard_conforming_strings = {}", if self.conforms { "on" } else { "off" }).into_bytes());
            }
            2 => {
                self.encoding = dice.roll(ENCODINGS.len());
                return query(format!("SET client_encoding TO '{}'", ENCODINGS[self.encoding].0).into_bytes());
            }
            3 => return query(format!("{before}RESET {name}{after}").into_bytes()),
            _ => {}
        }
        let units = fitting(name, dice.value(self.encoding));
        if way < 6 {
            let value = with(&units, &[]);
            let text = format!("SELECT set_config('{name}', $1, false) IS NULL");
            let bytes = [raw::parse("", &text, &[25]), bind_bytes(&[&value]), raw::execute("", 0), raw::sync()].concat();
            return (format!("bound: {name} = {}", value.escape_ascii()), bytes, 1);
        }
        let literal = self.literal(&units, dice);
        let text = match way {
            6 | 7 => [b"SELECT set_config('", name.as_bytes(), b"', ", &literal, b", false) IS NULL"].concat(),
            8 if !literal.contains(&b'$') => {
                [b"DO $do$ BEGIN PERFORM set_config('", name.as_bytes(), b"', ", &literal, b", false); END $do$"].concat()
            }
            // As a name, a list has one element.
            _ => [b"SET ", name.as_bytes(), b" = ", &literal].concat(),
        };
        query([before.as_bytes(), &text, after.as_bytes()].concat())
    }
}

/// Bind of the unnamed statement to any bytes.
fn bind_bytes(values: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend_from_slice(value);
    }
    body.extend([0, 0]);
    raw::frame(b'B', &body)
}

/// What a client asks for when it connects: as parameters, or all in `options`.
fn asked(dice: &mut Dice) -> Vec<(String, String)> {
    let text = |dice: &mut Dice, name: &str| String::from_utf8(with(&fitting(name, dice.value(0)), &[])).expect("the first encoding is UTF-8");
    let values: Vec<(String, String)> = NAMES.iter().map(|name| (name.to_string(), text(dice, name))).collect();
    match dice.roll(3) {
        0 => Vec::new(),
        1 => values,
        _ => {
            let escaped =
                |value: &str| value.chars().flat_map(|c| if c == '\\' || c.is_whitespace() { vec!['\\', c] } else { vec![c] }).collect::<String>();
            let words: Vec<String> = values.iter().map(|(name, value)| format!("-c {name}={}", escaped(value))).collect();
            vec![("options".to_string(), words.join(" "))]
        }
    }
}

fn hard_values_stay_what_they_are(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 5000");
    let direct: Login = house.postgres.login("app");
    let through = house.dog.instead_of(&direct);
    let mut others = Others::new(&through, &direct);
    for seed in 1..=25u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let asked = asked(&mut dice);
        let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut twins = Twins::new(&through, &direct, &asked);
        twins.send_as(&format!("seed {seed}"), &raw::query(VALUES), 1);
        let mut writer = Writer { encoding: 0, conforms: true };
        for _ in 0..15 {
            let (told, bytes, readies) = writer.step(&mut dice);
            twins.send_as(&told, &bytes, readies);
            if twins.is_inside() {
                twins.say("ROLLBACK");
            }
            others.look(&|| twins.story());
            let answer = twins.send(&raw::query(VALUES), 1);
            assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?} after {}", twins.story());
        }
    }
    drop(others);
    house.watch().wait_until_settled();
}
