//! Seeded sequences of four and five messages over everything that a client can say, COPY and function calls included, against PostgreSQL: byte by
//! byte the same, in one write, in two, and message by message.
//!
//! Two differences are known, and counted: a Bind in the middle of a COPY ends the connection in slightly other words; and a failed COPY
//! whose Syncs cannot be told apart ends in 08P01 (see `src/session/exchange.rs`).

use super::House;
use super::script::Seeded;
use super::scripts;
use super::support::Raw;
use super::support::raw::{Message, bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, parse, query, sync};
use std::io::ErrorKind;

/// What a sequence is made of. `q` fails, `e` is empty, `s` and `D` describe, `1` executes for one row, `x` and `X` close; `<` begins a COPY, `d c
/// f` go on with it, `>` is one to the client; `( ) !` begin, commit and roll back.
const LETTERS: &[u8] = b"QqePBsDE1xXHSF()!<dcf>";

fn message(letter: u8, extended: bool) -> Vec<u8> {
    match letter {
        b'Q' => query("SELECT 2 AS two"),
        b'q' => query("SELECT 1/0"),
        b'e' => query(""),
        b'P' => parse("", "SELECT generate_series(1, 2)", &[]),
        b'B' => bind("", "", &[]),
        b's' => describe(b'S', ""),
        b'D' => describe(b'P', ""),
        b'E' => execute("", 0),
        b'1' => execute("", 1),
        b'x' => close(b'S', ""),
        b'X' => close(b'P', ""),
        b'H' => flush(),
        b'S' => sync(),
        b'F' => scripts::call(177, &["40", "2"]),
        b'(' => query("BEGIN"),
        b')' => query("COMMIT"),
        b'!' => query("ROLLBACK"),
        b'<' if extended => [parse("", "COPY copied FROM STDIN", &[]), bind("", "", &[]), execute("", 0)].concat(),
        b'<' => query("COPY copied FROM STDIN"),
        b'd' => copy_data(if extended { b"1\n" } else { b"x\n" }),
        b'c' => copy_done(),
        b'f' => copy_fail("no more"),
        _ => query("COPY (SELECT 1) TO STDOUT"),
    }
}

/// A sequence by its number, beginning with those of four.
struct Sequence {
    letters: Vec<u8>,
    /// an unnamed statement is there before
    prepared: bool,
    extended: bool,
}

impl Sequence {
    fn number(mut number: usize, length: usize, flags: usize) -> Sequence {
        let mut letters = Vec::new();
        for _ in 0..length {
            letters.push(LETTERS[number % LETTERS.len()]);
            number /= LETTERS.len();
        }
        Sequence { letters, prepared: flags & 1 != 0, extended: flags & 2 != 0 }
    }

    fn messages(&self) -> Vec<Vec<u8>> {
        self.letters.iter().map(|&letter| message(letter, self.extended)).collect()
    }

    fn name(&self) -> String {
        format!("{} (prepared: {}, COPY extended: {})", String::from_utf8_lossy(&self.letters), self.prepared, self.extended)
    }

    /// A COPY with a Sync in it, which may fail before or behind that Sync.
    fn is_copy_with_sync(&self) -> bool {
        self.letters.iter().position(|&letter| letter == b'<').is_some_and(|at| self.letters[at..].contains(&b'S'))
    }
}

/// A connection that is made again when it ends.
struct Ear<'a> {
    connect: Box<dyn Fn() -> Raw + 'a>,
    client: Option<Raw>,
}

impl Ear<'_> {
    /// Sends a sequence and what ends everything that it may have begun; the replies, and whether the connection is there still. `pieces`: how many
    /// messages go into one write.
    fn ask(&mut self, sequence: &Sequence, pieces: usize) -> (Vec<Message>, bool) {
        let client = self.client.get_or_insert_with(&self.connect);
        let mut gone = false;
        if sequence.prepared {
            client.send(&[parse("", "SELECT 3 AS three", &[]), sync()].concat());
            client.read_until_ready();
        }
        let mut all = sequence.messages();
        all.push([copy_fail("the end"), sync(), query("ROLLBACK"), query("SELECT 'the end of a sequence'")].concat());
        for piece in all.chunks(pieces) {
            gone |= client.try_send(&piece.concat()).is_err();
        }
        let mut replies: Vec<Message> = Vec::new();
        let is_mark = |row: &Message| row.tag == b'D' && row.text() == "the end of a sequence";
        let ended = |replies: &[Message]| matches!(replies, [.., row, _, last] if last.tag == b'Z' && is_mark(row));
        while !ended(&replies) {
            match client.try_read() {
                Ok(message) => replies.push(message),
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    gone = true;
                    break;
                }
                Err(error) => panic!("{}: {error} after {replies:?}", sequence.name()),
            }
        }
        if gone {
            self.client = None;
        }
        (replies, !gone)
    }
}

/// What came of many sequences.
#[derive(Debug, Default)]
pub struct Tally {
    pub sequences: usize,
    /// PostgreSQL itself closed the connection: something else in a COPY
    pub closed: usize,
    /// known differences; the first: what may not come in a COPY is named by the type of a message of ours that went before it
    pub other_words: usize,
    pub lost_copies: usize,
}

/// The replies are PostgreSQL's.
fn same(direct: &mut Ear, dog: &mut Ear, sequence: &Sequence, pieces: usize, tally: &mut Tally) {
    let (expected, stays) = direct.ask(sequence, 9);
    let (got, stayed) = dog.ask(sequence, pieces);
    tally.sequences += 1;
    tally.closed += usize::from(!stays);
    let equal = expected.iter().zip(&got).take_while(|(one, other)| one == other).count();
    if (equal == expected.len() && equal == got.len() && stays == stayed) || (!stays && !stayed && equal + 1 >= got.len()) {
        return;
    }
    let differs = got.get(equal);
    let is_error = |state: &str| differs.is_some_and(|message| message.tag == b'E' && message.sqlstate() == state);
    let unexpected =
        |replies: &[Message]| replies.get(equal).is_some_and(|one| one.tag == b'E' && one.fields()[&'M'].starts_with("unexpected message type"));
    if !stays && !stayed && unexpected(&expected) && unexpected(&got) && expected.len() == got.len() {
        tally.other_words += 1;
    } else if !stayed && is_error("08P01") && sequence.is_copy_with_sync() {
        tally.lost_copies += 1;
    } else {
        panic!(
            "{} in writes of {pieces}: after {equal} messages {:#?} (stays: {stayed}), not {:#?} (stays: {stays})",
            sequence.name(),
            &got[equal..],
            &expected[equal..]
        );
    }
}

/// `count` sequences from a seed; with `all` every one of four and of five.
pub fn run(house: &House, count: usize, seed: u64, all: bool, mut until: impl FnMut() -> bool) -> Tally {
    let (mut direct, mut dog) =
        (Ear { connect: Box::new(|| house.direct()), client: None }, Ear { connect: Box::new(|| house.client()), client: None });
    let (mut tally, mut seeded) = (Tally::default(), Seeded(seed));
    let of = |length: u32| LETTERS.len().pow(length);
    let total = if all { of(4) + of(5) } else { count };
    for at in 0..total {
        let (number, length) = match (all, at < of(4)) {
            (true, true) => (at, 4),
            // A prime step through all of them, so that a part of a run is not all alike.
            (true, false) => ((at - of(4)) * 2_147_483_647 % of(5), 5),
            _ => (seeded.below(of(5)), 4 + seeded.below(2)),
        };
        let sequence = Sequence::number(number, length, seeded.below(4));
        same(&mut direct, &mut dog, &sequence, [9, 1, 2, 3][seeded.below(4)], &mut tally);
        if at % 64 == 0 && until() {
            break;
        }
    }
    tally
}
