//! Clients that leave in the middle of a script, at every place in it: whoever comes next finds a server like new, at once.

use super::House;
use super::script::Script;
use super::scripts;
use super::support::Raw;
use super::support::raw::{self, bind, copy_data, copy_done, copy_fail, execute, parse, query, sync};
use std::time::{Duration, Instant};

/// How soon the next client must be served.
const SERVED: Duration = Duration::from_secs(1);

/// Scripts for cutting: the short ones in which much happens, and others up to `count` of them.
pub fn cut_scripts(count: usize) -> Vec<Script> {
    let mut all = scripts::to_be_cut();
    let known: Vec<String> = all.iter().map(|script| script.name.clone()).collect();
    let mut more: Vec<Script> = scripts::chosen();
    more.retain(|script| script.parts.len() == 1 && script.bytes().len() < 4000 && !known.contains(&script.name));
    // At even distances, so that all families are among them.
    let wanted = count.saturating_sub(all.len()).min(more.len());
    all.extend((0..wanted).map(|at| more[at * more.len() / wanted].clone()));
    all
}

/// Every offset of the first 400 bytes, and then every seventh.
pub fn offsets(length: usize) -> impl Iterator<Item = usize> {
    (1..length).filter(|at| *at <= 400 || at % 7 == 0)
}

/// The one who comes next, on the only server, and one who looks on from outside.
pub struct Next<'a> {
    house: &'a House,
    client: Raw,
    direct: Raw,
    pub slowest: Duration,
}

impl<'a> Next<'a> {
    pub fn new(house: &'a House) -> Next<'a> {
        Next { house, client: house.client(), direct: Raw::login(&house.postgres.login("postgres")), slowest: Duration::ZERO }
    }

    /// A client that sends these bytes, which pg_dog has read when this returns.
    pub fn guest(&mut self, bytes: &[u8]) -> Raw {
        let mut guest = self.house.client();
        guest.send(bytes);
        self.clock();
        guest
    }

    /// pg_dog answers this one itself, and there is one core: what was sent before has been read.
    pub fn clock(&mut self) {
        self.client.send(&sync());
        assert_eq!(self.client.read().tag, b'Z');
    }

    /// It leaves, orderly or not.
    pub fn leave(&mut self, guest: Raw, reset: bool) {
        if reset { guest.reset() } else { drop(guest) }
    }

    /// Served within a second, with nothing of the one before: no rows, no portal, no transaction, no cursor, and nobody idle in a transaction.
    pub fn expect_clean(&mut self, what: &str) {
        let began = Instant::now();
        self.client
            .send(&[execute("", 0), sync(), query("SELECT 'next', count(*), pg_current_xact_id_if_assigned() IS NULL FROM pg_cursors")].concat());
        let first = self.client.read_until_ready();
        let took = began.elapsed();
        self.slowest = self.slowest.max(took);
        assert!(took < SERVED, "{what}: the next client waited {took:?}");
        let tags = |replies: &[raw::Message]| replies.iter().map(|message| char::from(message.tag)).collect::<String>();
        assert_eq!((tags(&first), first[0].sqlstate(), first[1].body[0]), ("EZ".to_string(), "34000".to_string(), b'I'), "{what}");
        let second = self.client.read_until_ready();
        assert_eq!(tags(&second), "TDCZ", "{what}: {second:?}");
        let columns: Vec<String> =
            second[1].columns().into_iter().map(|value| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()).collect();
        assert_eq!(columns, ["next", "0", "t"], "{what}");
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in transaction%'";
        assert_eq!(self.direct.rows(sql), [["0"]], "{what}: idle in a transaction");
    }
}

/// Rows one by one, the `bad`-th of them bad (0: none).
fn rows(bad: usize) -> Vec<Vec<u8>> {
    (1..=5).map(|row| copy_data(if row == bad { b"x\n" } else { b"7\n" })).collect()
}

/// COPY to the server that fails at row k, that its client ends with CopyFail behind row k, or that its client leaves there.
pub fn copies(house: &House) -> Duration {
    let mut next = Next::new(house);
    let begin = |extended: bool| match extended {
        true => [parse("", "COPY copied FROM STDIN", &[]), bind("", "", &[]), execute("", 0), raw::flush()].concat(),
        false => query("COPY copied FROM STDIN"),
    };
    for (extended, reset) in [(false, false), (false, true), (true, false), (true, true)] {
        for k in 0..=5 {
            let what = format!("row {k}, extended: {extended}, reset: {reset}");
            let (rows, synced) = (rows(k), if extended { sync() } else { Vec::new() });
            // It fails at row k; the client goes on sending, as one does that has not heard of it.
            let mut guest = next.guest(&begin(extended));
            assert_eq!(guest.read_until(b'G').last().map(|message| message.tag), Some(b'G'));
            guest.send(&[rows.concat(), copy_done(), synced.clone()].concat());
            let replies = guest.read_until_ready();
            assert_eq!(replies.iter().any(|message| message.tag == b'E'), k > 0, "{what}: {replies:?}");
            next.expect_clean(&what);
            guest.send(&query("TRUNCATE copied"));
            guest.read_until_ready();
            // The client ends it.
            guest.send(&[begin(extended), self::rows(0)[..k.min(5)].concat(), copy_fail("no more"), synced].concat());
            assert!(guest.read_until_ready().iter().any(|message| message.tag == b'E' && message.sqlstate() == "57014"), "{what}");
            next.expect_clean(&what);
            // The client is gone, between two rows and in the middle of one.
            for cut in [0, 3] {
                let whole = self::rows(0).concat();
                let mut guest = next.guest(&begin(extended));
                guest.read_until(b'G');
                guest.send(&whole[..whole.len() * k / 5 - if k > 0 { cut } else { 0 }]);
                next.clock();
                next.leave(guest, reset);
                next.expect_clean(&format!("{what}, left at {cut}"));
            }
            // The client is gone before it heard that the COPY began, and before it heard that it failed.
            for bytes in [begin(extended), [begin(extended), rows.concat()].concat(), [begin(extended), sync(), rows.concat()].concat()] {
                let guest = next.guest(&bytes);
                next.leave(guest, reset);
                next.expect_clean(&format!("{what}, nothing heard"));
            }
            drop(guest);
        }
        // COPY to the client: it leaves at once, after the first row, and in the middle of very many.
        for rows in [3, 200_000] {
            let sql = format!("COPY (SELECT repeat('r', 100) FROM generate_series(1, {rows})) TO STDOUT");
            let bytes = if extended { [parse("", &sql, &[]), bind("", "", &[]), execute("", 0), sync()].concat() } else { query(&sql) };
            let guest = next.guest(&bytes);
            next.leave(guest, reset);
            next.expect_clean(&format!("COPY TO of {rows} rows, left at once"));
            let mut guest = next.guest(&bytes);
            guest.read_until(b'd');
            next.leave(guest, reset);
            next.expect_clean(&format!("COPY TO of {rows} rows, left at the first row"));
        }
    }
    assert_eq!(next.direct.rows("SELECT count(*) FROM copied"), [["0"]], "rows of a COPY that did not end are stored");
    next.slowest
}
