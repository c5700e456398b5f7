//! Two clients that alternate on one server, against the model: what a client gets is, byte by byte, what a server of its own would have said,
//! nothing of the other's ever reaches it, what it committed stays and nothing else, and the server counts as free exactly when it is.

use pg_dog::config::snapshot::PoolerMode;

use crate::Target;
use crate::bytes::messages;
use crate::dice::Dice;
use crate::house::{House, Side};
use crate::raw::{query, sync};
use crate::scripts::{ACTS, Act, act};

pub const TARGET: Target = Target { name: "sessions", rounds: 50_000, messages: false, run };

fn run(bytes: &[u8], dice: &mut Dice) {
    let Some((&script_mode, script)) = bytes.split_first() else { return };
    let mode = if script_mode % 4 == 3 { PoolerMode::Session } else { PoolerMode::Transaction };
    let mut house = House::new(mode, script_mode / 4 % 2 == 1);
    let mut left = [Left::default(), Left::default()];
    let pace = 1 + dice.below(12);
    for (at, choice) in script.chunks(2).enumerate() {
        let who = usize::from(choice[0] >> 7);
        let tag = format!("{}{at}", ["A", "B"][who]);
        if house.sides[who].closed || house.sides[who].direct.ended {
            house.vanish(who);
            left[who].take(who, house.replace(who));
        }
        match act(choice[0] & 127, choice.get(1).copied().unwrap_or_default(), &tag) {
            Act::Send(bytes) => house.send(who, &bytes),
            Act::Vanish(last, length) => {
                house.send(who, &last[..length.min(last.len())]);
                (0..dice.below(6)).for_each(|_| _ = house.happen(dice));
                house.vanish(who);
            }
            Act::Wait => house.settle(dice),
            Act::Pass(times) => (0..times).for_each(|_| _ = house.happen(dice)),
        }
        (0..dice.below(pace)).for_each(|_| _ = house.happen(dice));
    }
    finish(&mut house, &mut left, dice);
}

/// What clients in one place have left behind.
#[derive(Default)]
struct Left {
    /// committed by those that stayed to the end: exactly this must be stored
    sure: Vec<String>,
    /// committed by those that went: this may be stored
    perhaps: Vec<String>,
}

/// Rows name who asked for them: nobody gets another one's.
fn assert_own(who: usize, got: &[u8]) {
    let other = [b'B', b'A'][who];
    let rows = messages(got).0.into_iter().filter(|(kind, _)| matches!(kind, b'D' | b'd'));
    for (_, body) in rows {
        assert!(!body.contains(&other), "client {who} got a row of the other: {}", body.escape_ascii());
    }
}

impl Left {
    fn take(&mut self, who: usize, side: Side) {
        assert_own(who, &side.got);
        let (got, said) = (normal(&side.got, true), normal(&side.direct.output, false));
        assert!(said.starts_with(&got), "one who went got {}, not {}", shown(&got), shown(&said));
        self.perhaps.extend(side.direct.stored);
    }
}

/// Ends what is open, lets everything arrive, and compares.
fn finish(house: &mut House, left: &mut [Left; 2], dice: &mut Dice) {
    for who in [0, 1] {
        // A Sync ends what is skipped, and a COPY ends with the first of these that it does not ignore.
        for last in [crate::raw::copy_fail("the end"), sync(), query("ROLLBACK")] {
            house.send(who, &last);
        }
    }
    house.settle(dice);
    // In session mode one of them may have the server still, and the other one waits until it goes.
    for who in if house.owner == Some(1) { [1, 0] } else { [0, 1] } {
        let side = &house.sides[who];
        let (got, said) = (normal(&side.got, side.closed), normal(&side.direct.output, false));
        assert_own(who, &side.got);
        if side.direct.ended || side.refused {
            assert!(said.starts_with(&got), "client {who}, which was closed, got {}, not {}", shown(&got), shown(&said));
            left[who].perhaps.extend(side.direct.stored.iter().cloned());
        } else {
            let same = got.iter().zip(&said).take_while(|(got, said)| got == said).count();
            assert!(got == said, "client {who}: after {same} messages, {} and not {}", shown(&got[same..]), shown(&said[same..]));
            assert!(!side.closed);
            left[who].sure.extend(side.direct.stored.iter().cloned());
        }
        house.vanish(who);
        house.settle(dice);
    }
    let stored = house.all_stored();
    for text in &stored {
        let known = left.iter().any(|left| left.sure.contains(text) || left.perhaps.contains(text));
        assert!(known, "{text} is stored, and nobody committed it");
    }
    for text in left.iter().flat_map(|left| &left.sure) {
        let times = |all: &[String]| all.iter().filter(|stored| *stored == text).count();
        let expected: usize = left.iter().map(|left| times(&left.sure)).sum();
        assert_eq!(times(&stored), expected, "{text} was committed");
    }
}

/// Messages as text.
fn normal(bytes: &[u8], may_be_cut: bool) -> Vec<Vec<u8>> {
    let (all, rest) = messages(bytes);
    assert!(rest.is_empty() || may_be_cut, "a message was cut: {}", rest.escape_ascii());
    all.into_iter().map(|(kind, body)| [&[kind, b' '], body].concat()).collect()
}

fn shown(all: &[Vec<u8>]) -> String {
    all.iter().map(|one| one.escape_ascii().to_string()).collect::<Vec<_>>().join(" | ")
}

/// Conversations by the names of their actions: (client, action, variant).
pub fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let script = |mode: u8, acts: &[(usize, &str, u8)]| {
        let number = |name: &str| ACTS.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no action {name}")) as u8;
        let one = |(who, name, variant): &(usize, &str, u8)| [(*who as u8) << 7 | number(name), *variant];
        [mode].into_iter().chain(acts.iter().flat_map(one)).collect::<Vec<u8>>()
    };
    let simple = [(0, "query", 2), (1, "query", 1), (0, "begin", 0), (0, "put", 0), (1, "query", 3), (0, "commit", 0), (1, "query-fails", 0)];
    let extended = [
        (0, "parse", 0),
        (0, "bind", 0),
        (0, "describe-portal", 0),
        (0, "execute-one", 0),
        (0, "execute", 0),
        (0, "sync", 0),
        (1, "batch", 3),
        (0, "bind", 0),
        (0, "execute", 0),
        (0, "sync", 0),
        (1, "bind", 0),
        (1, "sync", 0),
        (1, "batch", 96),
        (0, "close-statement", 0),
        (0, "sync", 0),
    ];
    let errors = [
        (0, "parse-fails", 0),
        (0, "query", 1),
        (0, "bind", 0),
        (0, "call", 2),
        (1, "put", 0),
        (0, "sync", 0),
        (0, "batch", 4),
        (1, "batch", 3),
        (0, "begin", 0),
        (0, "query-fails", 0),
        (0, "bind", 0),
        (0, "sync", 0),
        (0, "commit", 0),
        (0, "execute-missing", 0),
        (0, "flush", 0),
        (0, "sync", 0),
    ];
    let copies = [
        (0, "copy-in", 0),
        (0, "data", 1),
        (0, "data", 1),
        (0, "done", 0),
        (1, "copy-batch", 0),
        (0, "copy-batch", 2),
        (1, "copy-batch", 48),
        (0, "copy-batch", 34),
        (1, "query", 1),
        (0, "copy-batch", 66),
        (1, "copy-batch", 128),
        (0, "copy-batch", 200),
        (1, "copy-out", 0),
        (0, "done", 0),
        (0, "copy-batch", 18),
        (1, "copy-batch", 50),
        (0, "other", 10),
        (1, "query", 1),
    ];
    let vanish = [
        (0, "begin", 0),
        (0, "put", 0),
        (0, "other", 1),
        (1, "query", 1),
        (0, "parse", 3),
        (0, "bind", 0),
        (0, "execute", 0),
        (0, "other", 1),
        (1, "query", 1),
        (0, "copy-in", 0),
        (0, "data", 1),
        (0, "other", 1),
        (1, "put", 0),
        (0, "other", 26),
        (1, "batch", 3),
        (0, "other", 27),
        (1, "batch", 0),
        (0, "other", 100),
        (1, "query", 2),
        (0, "put", 0),
        (0, "other", 0),
        (1, "query", 1),
    ];
    let settings =
        [(0, "other", 6), (1, "query", 1), (0, "other", 7), (1, "batch", 0), (1, "other", 6), (0, "bind", 0), (0, "sync", 0), (0, "query", 1)];
    let named = [
        (0, "named", 0),
        (0, "named", 2),
        (0, "execute", 0),
        (0, "sync", 0),
        (0, "named", 3),
        (0, "sync", 0),
        (0, "parse", 0),
        (0, "named", 5),
        (0, "named", 6),
        (0, "named", 6),
        (0, "named", 7),
        (0, "sync", 0),
        (0, "named", 4),
        (0, "sync", 0),
        (0, "other", 1),
        (1, "named", 2),
        (1, "sync", 0),
    ];
    let sql = [
        (0, "sql", 0),
        (1, "sql", 2),
        (0, "sql", 2),
        (1, "sql", 0),
        (0, "sql", 66),
        (1, "sql", 2),
        (0, "other", 11),
        (0, "begin", 0),
        (0, "sql", 128),
        (0, "rollback", 0),
        (1, "query", 1),
        (0, "sql", 130),
        (0, "sql", 4),
        (1, "sql", 2),
        (0, "sql", 2),
        (0, "named", 0),
        (0, "sync", 0),
        (1, "call", 0),
        (0, "sql", 66),
        (0, "sql", 68),
        (0, "named", 2),
        (0, "sync", 0),
        (1, "sql", 7),
        (0, "sql", 130),
        (1, "sql", 2),
        (0, "sql", 37),
        (0, "sql", 130),
        (0, "sql", 14),
        (1, "sql", 64),
        (0, "query", 1),
        (1, "sql", 2),
    ];
    let mut pipeline = vec![];
    for round in 0..12u8 {
        pipeline.extend([
            (0, "batch", round.wrapping_mul(21)),
            (1, "several", round.wrapping_mul(37)),
            (0, "call", round),
            (1, "batch", round.wrapping_mul(11)),
        ]);
    }
    vec![
        ("simple", script(0, &simple)),
        ("extended", script(0, &extended)),
        ("errors", script(1, &errors)),
        ("copies", script(0, &copies)),
        ("vanish", script(0, &vanish)),
        ("settings", script(2, &settings)),
        ("named", script(0, &named)),
        ("named-in-session-mode", script(3, &named)),
        ("copies-in-session-mode", script(3, &copies)),
        ("vanish-in-session-mode", script(3, &vanish)),
        ("pipeline", script(1, &pipeline)),
        ("sql", script(0, &sql)),
        ("sql-that-goes-with-its-client", script(4, &sql)),
        ("sql-in-session-mode", script(3, &sql)),
    ]
}
