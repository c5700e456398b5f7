//! What clients say, from bytes: two bytes are one thing, so that damage to the bytes makes another conversation and not garbage. The first byte's
//! high bit says which of the two clients, the rest what it does; the second byte chooses among variants.

use crate::raw::{bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, frame, parse, query, sync, terminate};

/// One thing that a client does.
pub enum Act {
    Send(Vec<u8>),
    /// it is gone, with this much of its last message sent
    Vanish(Vec<u8>, usize),
    /// everything on its way arrives
    Wait,
    /// so many things happen
    Pass(usize),
}

/// The actions, in the order of their numbers.
pub const ACTS: &[&str] = &[
    "query",
    "query-fails",
    "query-syntax",
    "query-empty",
    "begin",
    "commit",
    "rollback",
    "put",
    "several",
    "parse",
    "parse-fails",
    "bind",
    "bind-fails",
    "describe-statement",
    "describe-portal",
    "execute",
    "execute-one",
    "execute-missing",
    "close-statement",
    "close-portal",
    "flush",
    "sync",
    "call",
    "copy-in",
    "data",
    "done",
    "fail",
    "copy-out",
    "batch",
    "copy-batch",
    "named",
    "sql",
    "other",
];

fn text(statement: &str) -> Vec<u8> {
    [parse("", statement, &[]), bind("", "", &[]), execute("", 0)].concat()
}

/// Statements for Parse; `tag` is unlike every other's.
fn statement(variant: u8, tag: &str) -> String {
    match variant % 8 {
        0..=2 => format!("row {tag} 2"),
        3 => format!("put {tag}"),
        4 => format!("fail {tag}"),
        5 => ["BEGIN", "COMMIT", "ROLLBACK", ""][usize::from(variant / 8 % 4)].to_string(),
        6 => format!("loud {tag}"),
        _ => format!("copyout {tag}"),
    }
}

/// A COPY's data and its end: Syncs in between, bad rows, early and late ends.
fn data(variant: u8, tag: &str) -> Vec<u8> {
    let row = copy_data(format!("{tag}\n").as_bytes());
    let bad = copy_data(b"bad\n");
    let mut all = match variant % 4 {
        0 => row.clone(),
        1 => [row.clone(), flush(), row].concat(),
        2 => [row, bad].concat(),
        _ => [bad, row].concat(),
    };
    if variant & 16 != 0 {
        all.extend(sync());
    }
    all.extend(if variant & 8 != 0 { copy_fail("no more") } else { copy_done() });
    all
}

fn batch(variant: u8, tag: &str) -> Vec<u8> {
    let mut all = parse("", &statement(variant, tag), &[]);
    if variant & 32 != 0 {
        all.extend(describe(b'S', ""));
    }
    all.extend(bind("", "", &[]));
    if variant & 64 != 0 {
        all.extend(describe(b'P', ""));
    }
    all.extend(execute("", u32::from(variant >> 7)));
    all.extend(sync());
    all
}

fn copy_batch(variant: u8, tag: &str) -> Vec<u8> {
    let verb = if variant & 128 != 0 { "guard" } else { "copyin" };
    if variant & 64 != 0 {
        return [query(&format!("{verb} {tag}")), data(variant, tag)].concat();
    }
    let first = if variant & 32 != 0 { sync() } else { Vec::new() };
    [text(&format!("{verb} {tag}")), first, data(variant, tag), sync()].concat()
}

/// What two bytes mean; `tag` names this message.
pub fn act(kind: u8, variant: u8, tag: &str) -> Act {
    let send = |bytes: Vec<u8>| Act::Send(bytes);
    send(match ACTS[usize::from(kind) % ACTS.len()] {
        "query" => query(&format!("row {tag} {}", variant % 4)),
        "query-fails" => query(&format!("fail {tag}")),
        "query-syntax" => query("SELEC"),
        "query-empty" => query(["", ";", " ; ; "][usize::from(variant % 3)]),
        "begin" => query("BEGIN"),
        "commit" => query("COMMIT"),
        "rollback" => query("ROLLBACK"),
        "put" => query(&format!("put {tag}")),
        "several" => query(&format!("{}; {}; {}", statement(variant, tag), statement(variant / 8, tag), statement(variant / 32, tag))),
        "parse" => parse("", &statement(variant, tag), &[]),
        "parse-fails" => parse("", "SELEC", &[]),
        "bind" => bind("", "", &[]),
        "bind-fails" => bind("", "", &[Some("one too many")]),
        "describe-statement" => describe(b'S', ""),
        "describe-portal" => describe(b'P', ""),
        "execute" => execute("", 0),
        "execute-one" => execute("", 1),
        "execute-missing" => execute("missing", 0),
        "close-statement" => close(b'S', ""),
        "close-portal" => close(b'P', ""),
        "flush" => flush(),
        "sync" => sync(),
        "call" => frame(b'F', &[0, 0, 0, variant, 0, 0, 0, 0, 0, 0]),
        "copy-in" => query(&format!("copyin {tag}")),
        "data" => copy_data(format!("{}{tag}\n", if variant.is_multiple_of(4) { "bad" } else { "" }).as_bytes()),
        "done" => copy_done(),
        "fail" => copy_fail("no more"),
        "copy-out" => query(&format!("copyout {tag}")),
        "batch" => batch(variant, tag),
        "copy-batch" => copy_batch(variant, tag),
        "named" => match variant % 8 {
            0 | 1 => parse("n", &statement(variant / 8, tag), &[]),
            2 => bind("", "n", &[]),
            3 => describe(b'S', "n"),
            4 => close(b'S', "n"),
            5 => bind("p", "", &[]),
            6 => execute("p", 1),
            _ => close(b'P', "p"),
        },
        "sql" => sql(variant, tag),
        _ => return other(variant, tag),
    })
}

/// What SQL says about prepared statements, its own and the protocol's, and about what was set; alone, among others, or by the extended protocol.
fn sql(variant: u8, tag: &str) -> Vec<u8> {
    let name = ["n", "m"][usize::from(variant / 128)];
    let said = match variant % 8 {
        0 | 1 => format!("PREPARE {name} AS row {tag} 2"),
        2 | 3 => format!("EXECUTE {name}"),
        4 => format!("DEALLOCATE {name}"),
        5 => "DEALLOCATE ALL".to_string(),
        6 => ["RESET work_mem", "RESET ALL"][usize::from(variant / 8 % 2)].to_string(),
        _ => return query("DISCARD ALL"),
    };
    match variant / 32 % 4 {
        // The rows of an EXECUTE are told when it runs, which this server does for simple queries only.
        1 if variant % 8 > 3 => [text(&said), sync()].concat(),
        2 => query(&format!("row {tag} 1; {said}; put {tag}")),
        3 => query(&format!("{said}; fail {tag}")),
        _ => query(&said),
    }
}

fn parameter(variant: u8) -> &'static str {
    ["work_mem", "app.tag"][usize::from(variant / 12 % 2)]
}

fn other(variant: u8, tag: &str) -> Act {
    match variant % 12 {
        0 => Act::Send(terminate()),
        1 => Act::Vanish(Vec::new(), 0),
        2 => Act::Vanish(query(&format!("put {tag}")), usize::from(variant / 12)),
        3 => Act::Vanish(batch(3, tag), usize::from(variant)),
        4 => Act::Vanish(copy_batch(variant & !128, tag), usize::from(variant)),
        5 => Act::Send(frame(b'E', b"")),
        6 => Act::Send(query(&format!("SET {} TO {tag}", parameter(variant)))),
        7 => Act::Send([text(&format!("SET {} TO {tag}", parameter(variant))), sync()].concat()),
        8 | 9 => Act::Pass(usize::from(variant)),
        10 => Act::Send(query(&format!("show {}", parameter(variant)))),
        _ => Act::Wait,
    }
}
