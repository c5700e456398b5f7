//! Where a key lives, against PostgreSQL itself: what `route` computes for a key is the remainder that `satisfies_hash_partition` finds, for every
//! type, on both versions; and what its input rules make of a text is what the server makes of it.
//! `PG_DOG_HASH_KEYS` is another number of keys of each type.

use std::fmt::Write;

use pg_dog::config::sharded::{Hasher, KeyValue, Sharded};
use pg_dog::route::hash;
use pg_dog::route::identity::{Found, Place, Step, next};
use pg_dog::route::key::{Format, Key, KeyType, Server, parse, stored};
use pg_dog::route::slots::Slots;
use pg_dog::route::topology::Topology;

use super::support::{Postgres, Raw, Version, raw};

/// Keys of each type, unless said otherwise: a second or two for each.
const KEYS: usize = 1_000_000;

/// Chance, the same in every run: a counter through the finaliser of splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A value as both formats send it.
struct Sample {
    text: String,
    binary: Vec<u8>,
}

fn integer(value: i64, width: usize) -> Sample {
    Sample { text: value.to_string(), binary: value.to_be_bytes()[8 - width..].to_vec() }
}

fn integer_sample(chance: &mut Chance, at: usize, width: usize) -> Sample {
    let bits = width * 8;
    let (least, most) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
    let edges = [least, least + 1, -2, -1, 0, 1, 2, most - 1, most];
    // Of every magnitude, not only of the largest.
    let random = chance.next() as i64 >> (64 - bits) >> chance.below(bits - 1);
    integer(edges.get(at).copied().unwrap_or(random), width)
}

fn uuid_sample(chance: &mut Chance, at: usize) -> Sample {
    let value = match at {
        0 => 0,
        1 => u128::MAX,
        _ => u128::from(chance.next()) << 64 | u128::from(chance.next()),
    };
    let digits = format!("{value:032x}");
    let text = match at % 4 {
        0 => digits,
        1 => format!("{{{}-{}}}", &digits[..16], &digits[16..]),
        2 => digits.to_uppercase(),
        _ => [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"),
    };
    Sample { text, binary: value.to_be_bytes().to_vec() }
}

fn text_sample(chance: &mut Chance, at: usize, most: usize) -> Sample {
    const CHARACTERS: [char; 14] = ['a', 'Z', '0', ' ', '\t', '\n', '\r', '\\', '\'', '\u{e4}', '\u{df}', '\u{65e5}', '\u{1f600}', '\u{301}'];
    let length = match at {
        0 => 0,
        1..50 => at.min(most),
        // Some are long.
        _ if at.is_multiple_of(5_000) => most.min(20_000),
        _ => chance.below(most.min(40) + 1),
    };
    let text: String = (0..length).map(|_| CHARACTERS[chance.below(CHARACTERS.len())]).collect();
    Sample { binary: text.clone().into_bytes(), text }
}

/// The types of columns: how PostgreSQL calls one, what it is here, and its samples.
type Kind = (&'static str, KeyType, fn(&mut Chance, usize) -> Sample);

const KINDS: &[Kind] = &[
    ("bigint", KeyType::Int8, |chance, at| integer_sample(chance, at, 8)),
    ("integer", KeyType::Int4, |chance, at| integer_sample(chance, at, 4)),
    ("smallint", KeyType::Int2, |chance, at| integer_sample(chance, at, 2)),
    ("uuid", KeyType::Uuid, uuid_sample),
    ("text", KeyType::Text, |chance, at| text_sample(chance, at, usize::MAX)),
    ("varchar", KeyType::Text, |chance, at| text_sample(chance, at, usize::MAX)),
    ("char(60)", KeyType::Bpchar, |chance, at| text_sample(chance, at, 60)),
];

fn keys() -> usize {
    std::env::var("PG_DOG_HASH_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(KEYS)
}

/// A value as COPY reads it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out
}

/// Fills `keys` with samples of a type and the slot that we find for each.
fn fill(client: &mut Raw, kind: &Kind, slots: &Slots, number: usize) {
    let (name, key_type, sample) = *kind;
    client.rows(&format!(
        "DROP TABLE IF EXISTS keys, parts; CREATE UNLOGGED TABLE keys (k {name}, slot int); CREATE TABLE parts (k {name}) PARTITION BY HASH (k)"
    ));
    client.send(&raw::query("COPY keys FROM STDIN"));
    client.read_until(b'G');
    let mut chance = Chance(number as u64);
    let slot_of = |key: Option<Key<'_>>| slots.slot(hash::of(Hasher::Postgres, key));
    let mut lines = format!("\\N\t{}\n", slot_of(None));
    for at in 0..number {
        let Sample { text, binary } = sample(&mut chance, at);
        let key = parse(key_type, Format::Text(Server::Decimal), Some(text.as_bytes())).expect(&text);
        let same = parse(key_type, Format::Binary, Some(&binary)).expect(&text);
        assert_eq!(key, same, "{text} as a {name} in both formats");
        writeln!(lines, "{}\t{}", escaped(&text), slot_of(key)).expect("a string has no end");
        if lines.len() > 1 << 16 {
            client.send(&raw::copy_data(lines.as_bytes()));
            lines.clear();
        }
    }
    client.send(&raw::copy_data(lines.as_bytes()));
    client.send(&raw::copy_done());
    let end = client.read_until_ready();
    assert!(end.iter().all(|message| message.tag != b'E'), "{end:?}");
}

fn every_key_lives_where_postgresql_has_it(version: Version) {
    let postgres = Postgres::start(version);
    let mut client = Raw::login(&postgres.login("postgres"));
    let (number, slots) = (keys(), Slots::first(5).expect("a good number"));
    let sharded = Sharded { database: "app".to_owned(), shards: 5, tables: Vec::new(), schemas: Vec::new(), omnisharded: Vec::new() };
    let topology = Topology::new(&sharded, slots.clone()).expect("a good number");
    match next(&[Place { shard: 0, place: "here" }], &topology, [1; 16], &[Found::Nothing]) {
        Ok(Step::Run { sql, .. }) => client.rows(&sql),
        other => panic!("{other:?}"),
    };
    for kind in KINDS {
        fill(&mut client, kind, &slots, number);
        let differ = "SELECT count(*) FILTER (WHERE NOT satisfies_hash_partition('parts'::regclass, $, slot, k)), count(*) FROM keys";
        let counts = client.rows(&differ.replace('$', &slots.len().to_string()));
        assert_eq!(counts, [["0".to_owned(), (number + 1).to_string()]], "{}: keys elsewhere, and all", kind.0);
        // So does the function for rows that move.
        let differ = "SELECT count(*) FROM keys WHERE dog.slot(k, $) <> slot";
        assert_eq!(client.rows(&differ.replace('$', &slots.len().to_string())), [["0"]], "{}: dog.slot", kind.0);
        // A shard is the remainder of the hash too, by the first map.
        let differ = "SELECT count(*) FROM keys WHERE NOT satisfies_hash_partition('parts'::regclass, 5, slot % 5, k)";
        assert_eq!(client.rows(differ), [["0"]], "{}: shards", kind.0);
    }
}

#[test]
fn every_key_lives_where_the_newest_postgresql_has_it() {
    every_key_lives_where_postgresql_has_it(Version::Newest);
}

#[test]
fn every_key_lives_where_the_older_postgresql_has_it() {
    every_key_lives_where_postgresql_has_it(Version::Debian);
}

/// What the server makes of a text: the value as it prints it, or the SQLSTATE.
fn server_reads(client: &mut Raw, name: &str, text: &str) -> Result<String, String> {
    client.send(&raw::parse("", &format!("SELECT $1::{name}"), &[]));
    client.send(&raw::bind("", "", &[Some(text)]));
    client.send(&raw::execute("", 0));
    client.send(&raw::sync());
    let messages = client.read_until_ready();
    match messages.iter().find(|message| message.tag == b'E') {
        Some(error) => Err(error.sqlstate()),
        None => Ok(messages.iter().find(|message| message.tag == b'D').expect("a row").text()),
    }
}

/// What we make of it, printed alike.
fn we_read(key_type: KeyType, server: Server, text: &str) -> Result<String, String> {
    match parse(key_type, Format::Text(server), Some(text.as_bytes())) {
        Ok(Some(Key::Int(value))) => Ok(value.to_string()),
        Ok(Some(Key::Uuid(bytes))) => Ok(KeyValue::Uuid(bytes).to_string()),
        Ok(other) => panic!("{other:?} from {text:?}"),
        Err(error) => Err(error.sqlstate().to_owned()),
    }
}

/// Texts put together of what means something to one of the two input functions.
fn hostile(chance: &mut Chance) -> String {
    const PARTS: [&str; 26] = [
        "0",
        "1",
        "7",
        "9",
        "f",
        "F",
        "g",
        "x",
        "0x",
        "0b",
        "0o",
        "_",
        "-",
        "+",
        " ",
        "\t",
        "\n",
        "\u{b}",
        "{",
        "}",
        "32767",
        "32768",
        "2147483648",
        "922337203685477580",
        "\u{a0}",
        "a0eebc99",
    ];
    (0..chance.below(7)).map(|_| PARTS[chance.below(PARTS.len())]).collect()
}

#[test]
fn texts_are_read_as_the_server_reads_them() {
    for (version, server) in [(Version::Debian, Server::of(15)), (Version::Newest, Server::of(18))] {
        let postgres = Postgres::start(version);
        let mut client = Raw::login(&postgres.login("postgres"));
        let mut chance = Chance(7);
        let (mut good, mut states) = (0, std::collections::BTreeSet::new());
        for at in 0..4_000 {
            let text = match at % 8 {
                // Nearly right: a value with one character too many.
                0 => {
                    let (mut text, extra) = (uuid_sample(&mut chance, at / 8).text, ["-", "{", "}", " ", "g", "0", ""][chance.below(7)]);
                    text.insert_str(chance.below(text.len() + 1), extra);
                    text
                }
                _ => hostile(&mut chance),
            };
            for &(name, key_type, _) in &KINDS[..4] {
                let theirs = server_reads(&mut client, name, &text);
                assert_eq!(we_read(key_type, server, &text), theirs, "{text:?} as a {name} on {version:?}");
                match theirs {
                    Ok(_) => good += 1,
                    Err(state) => _ = states.insert(state),
                }
            }
        }
        assert!(good > 500, "{good} values were good ones");
        assert_eq!(states.into_iter().collect::<Vec<_>>(), ["22003", "22P02"]);
    }
}

#[test]
fn what_a_column_cuts_off_is_cut_here() {
    let postgres = Postgres::start(Version::Newest);
    let mut client = Raw::login(&postgres.login("postgres"));
    client.rows("CREATE TABLE cut (k varchar(3))");
    for text in ["", "   ", "    ", "abc", "abc ", "ab  ", "ab       ", "\u{e4}\u{65e5}\u{1f600}  ", "\u{e4} \u{65e5} "] {
        let rows = client.rows(&format!("INSERT INTO cut VALUES ('{text}') RETURNING k"));
        assert_eq!(stored(Key::Text(text.as_bytes()), 3), Key::Text(rows[0][0].as_bytes()), "{text:?}");
    }
}
