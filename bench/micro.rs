//! Micro-benchmarks of what every transaction does: scanning frames, looking at a text, a step of both sessions, a checkout with its check-in, and
//! from the value of a key to its shard.
//! `cargo bench --bench micro`; compare with an earlier run by criterion's own `--baseline`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pg_dog::config::sharded::{Hasher, KeyValue, Mapping, Range};
use pg_dog::config::snapshot::PoolerMode;
use pg_dog::pool::{Checkin, Checkout, Ledger, Rules, Slice};
use pg_dog::route::key::{Format, KeyType, Server as Version, parse};
use pg_dog::route::slots::{Placement, Slots};
use pg_dog::session::Verdicts;
use pg_dog::session::client::Client;
use pg_dog::session::server::Server;
use pg_dog::sql::catalog::{Catalog, Column, Placement as Home, Routine, ShardKey};
use pg_dog::sql::look;
use pg_dog::sql::outline::{Family, Name};
use pg_dog::sql::scan::{CORE, Scan};
use pg_dog::sql::shapes::Space;
use pg_dog::sql::texts::{Found, Reading, SHAPES_BYTES, Texts};
use pg_dog::wire::{client, frame, server};

/// What pgbench -S sends.
fn select() -> Vec<u8> {
    let mut bytes = Vec::new();
    client::query(&mut bytes, b"SELECT abalance FROM pgbench_accounts WHERE aid = 31337;").expect("a short query");
    bytes
}

/// The same by the extended protocol.
fn extended() -> Vec<u8> {
    let mut bytes = Vec::new();
    client::parse(&mut bytes, b"", b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;", &[]).expect("a short statement");
    bytes.extend_from_slice(b"B\0\0\0\x15\0\0\0\0\0\x01\0\0\0\x0531337\0\0");
    bytes.extend_from_slice(b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0");
    client::sync(&mut bytes);
    bytes
}

/// What PostgreSQL answers to `select`, with so many rows.
fn reply(rows: usize, parts: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if parts {
        server::parse_complete(&mut bytes);
        server::bind_complete(&mut bytes);
    }
    server::row_description(&mut bytes, &[("abalance", 23, 4)]).expect("one column");
    for _ in 0..rows {
        server::data_row(&mut bytes, &[Some(b"12345")]).expect("a short row");
    }
    server::command_complete(&mut bytes, "SELECT 1").expect("a short tag");
    server::ready(&mut bytes, b'I');
    bytes
}

/// One sharded table.
struct Accounts;

impl Catalog for Accounts {
    fn table(&self, _: &Name) -> Home<'_> {
        Home::Sharded(ShardKey { column: "aid", family: Family::Integer, rule: 0, group: 0 })
    }

    fn columns(&self, _: &Name) -> Option<&[Column]> {
        None
    }

    fn function(&self, _: &Name) -> Routine {
        Routine::Hidden
    }

    fn home(&self, _: &Name) -> pg_dog::sql::catalog::Home {
        pg_dog::sql::catalog::Home::All
    }

    fn returns_sets(&self, _: &Name) -> bool {
        false
    }
}

/// From a text to its plan, when its shape is known: the lexer alone, our pass over its tokens, and all of it.
fn plans(c: &mut Criterion) {
    let reading = Reading { standard: true, space: Space(0), limits: CORE };
    let text = "SELECT abalance FROM pgbench_accounts WHERE aid = 31337";
    let long = format!("SELECT {} FROM pgbench_accounts WHERE aid = 31337 AND filler IN ('a', 'b')", vec!["abalance"; 50].join(", "));
    let mut group = c.benchmark_group("plan");
    group.bench_function("lexer", |b| b.iter(|| pg_query::scan_tokens(black_box(text)).map(|tokens| tokens.len()).unwrap_or(0)));
    let mut scan = Scan::default();
    group.bench_function("scan", |b| b.iter(|| scan.run(black_box(text.as_bytes()), true, CORE)));
    for (name, text) in [("hit", text), ("hit, 50 columns", &long)] {
        let mut texts = Texts::new(SHAPES_BYTES);
        group.bench_function(name, |b| {
            b.iter(|| match texts.read(black_box(text.as_bytes()), reading, &Accounts) {
                Found::Plans(read) => read.plans.len() + read.literals.len(),
                _ => 0,
            });
        });
    }
    let mut texts = Texts::new(SHAPES_BYTES);
    group.bench_function("the same text again", |b| {
        b.iter(|| match texts.read_again(black_box(text.as_bytes()), reading, &Accounts) {
            Found::Plans(read) => read.plans.len() + read.literals.len(),
            _ => 0,
        });
    });
    group.bench_function("miss", |b| {
        let mut texts = Texts::new(0);
        b.iter(|| matches!(texts.read(black_box(text.as_bytes()), reading, &Accounts), Found::Plans(_)));
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    let bytes = reply(100, false);
    let mut group = c.benchmark_group("frame scan");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("a reply of 100 rows", |b| {
        b.iter(|| {
            let (mut at, mut messages) = (0, 0);
            while let Ok(Some(header)) = frame::header(black_box(&bytes[at..])) {
                at += header.total();
                messages += 1;
            }
            messages
        });
    });
    group.finish();
}

fn looks(c: &mut Criterion) {
    let mut group = c.benchmark_group("look");
    let ordinary = [
        ("a short SELECT", "SELECT abalance FROM pgbench_accounts WHERE aid = 1"),
        ("a short INSERT", "INSERT INTO t (a) VALUES (1)"),
        ("BEGIN", "BEGIN"),
        ("SET", "SET application_name = 'x'"),
        ("a function of a user", "SELECT count(*), mine(a) FROM \"t\" WHERE b IN ('x', 'y')"),
    ];
    for (name, text) in ordinary {
        group.bench_function(name, |b| b.iter(|| look(black_box(text.as_bytes()))));
    }
    let long = format!("INSERT INTO t (a, b) VALUES (0, ''){}", ", (12345, 'some text of nobody')".repeat(1 << 15));
    group.throughput(Throughput::Bytes(long.len() as u64));
    group.bench_function("an INSERT of a megabyte", |b| b.iter(|| look(black_box(long.as_bytes()))));
    group.finish();
}

fn sessions(c: &mut Criterion) {
    let mut group = c.benchmark_group("session step");
    for (name, request, reply) in [("simple", select(), reply(1, false)), ("extended", extended(), reply(1, true))] {
        let (mut client, mut server, mut verdicts) = (Client::new(PoolerMode::Transaction, 1), Server::default(), Verdicts::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                verdicts.clear();
                let sent = client.on_bytes(black_box(&request), Some(&mut server.exchange), &mut verdicts);
                verdicts.clear();
                let heard = server.on_bytes(black_box(&reply), 1, &mut verdicts);
                assert!(server.exchange.is_free(), "the request was answered whole: {sent:?} {heard:?}");
            });
        });
    }
    group.finish();
}

fn pools(c: &mut Criterion) {
    let mut group = c.benchmark_group("pool step");
    let mut slice = Slice::new(Arc::new(Ledger::new(2, 20)), 0, Rules::default());
    let Checkout::Wait { .. } = slice.checkout(0, 1) else { unreachable!("there is no server yet") };
    let Checkin::Serve { link, .. } = slice.opened(7, 2) else { unreachable!("somebody waits") };
    let mut held = link;
    let _ = slice.checkin(held, 3);
    group.bench_function("checkout and check-in, a server is idle", |b| {
        b.iter(|| {
            let Checkout::Grant(link) = slice.checkout(black_box(1), 10) else { unreachable!("it is idle") };
            slice.checkin(link, 11)
        });
    });
    let Checkout::Grant(link) = slice.checkout(1, 20) else { unreachable!("it is idle") };
    held = link;
    // A queue of waiters, each served by the check-in before: the saturated pool.
    group.bench_function("checkout and check-in, everybody waits", |b| {
        b.iter(|| {
            let waits = slice.checkout(black_box(2), 30);
            match slice.checkin(held, 31) {
                Checkin::Serve { link, .. } => held = link,
                other => unreachable!("a client waits: {waits:?} {other:?}"),
            }
        });
    });
    group.finish();
}

/// From the bytes of a value to a shard: to read it, to hash it, to look it up.
fn places(c: &mut Criterion) {
    let mut group = c.benchmark_group("place of a key");
    let slots = Slots::first(7).expect("a good number");
    let ranges = (0..1_000).map(|at| Range { start: Some(KeyValue::Int(at * 100)), end: Some(KeyValue::Int(at * 100 + 100)), shard: at as u16 % 7 });
    let mapping = Arc::new(Mapping { ranges: ranges.collect(), ..Mapping::default() });
    let (hash, sha1) = (Placement::Hash(Hasher::Postgres, slots.clone()), Placement::Hash(Hasher::Sha1, slots));
    let text = Format::Text(Version::Based);
    let uuid = b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for (name, placement, key_type, format, value) in [
        ("bigint as text", &hash, KeyType::Int8, text, &b"7301942"[..]),
        ("bigint as binary", &hash, KeyType::Int8, Format::Binary, &[0, 0, 0, 0, 0, 0x6f, 0x6b, 0x36]),
        ("uuid as text", &hash, KeyType::Uuid, text, uuid),
        ("uuid as binary", &hash, KeyType::Uuid, Format::Binary, &uuid[..16]),
        ("text of 8 bytes", &hash, KeyType::Text, text, b"customer"),
        ("text of 32 bytes", &hash, KeyType::Text, text, b"somebody.with.a@long.example.com"),
        ("bigint as text, sha1", &sha1, KeyType::Int8, text, b"7301942"),
        ("bigint as text, one of 1,000 ranges", &Placement::Rules(mapping), KeyType::Int8, text, b"73019"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| placement.shard(parse(key_type, format, Some(black_box(value))).expect("a good value")));
        });
    }
    group.finish();
}

criterion_group!(micro, plans, frames, looks, sessions, pools, places);
criterion_main!(micro);
