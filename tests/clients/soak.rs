//! Everything at once for ten seconds: sixty clients on three servers and two cores do what clients do, among them some that vanish and some that
//! cancel, while servers are ended under them. Each request carries a tag of its own, and every row that comes back must carry the same.

use super::house::{House, cancel, extended};
use super::support::raw::{self, Raw};
use super::support::{Login, Version};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 60;
const SERVERS: usize = 3;
const LASTS: Duration = Duration::from_secs(10);

/// What happened, over all clients.
#[derive(Default)]
struct Tally {
    rows: AtomicUsize,
    vanished: AtomicUsize,
    cancelled: AtomicUsize,
    lost: AtomicUsize,
}

/// One client; `cancels` says whether 57014 may ever come its way.
struct Walker<'a> {
    login: &'a Login,
    tally: &'a Tally,
    client: Raw,
    number: usize,
    request: usize,
    cancels: bool,
    chance: u64,
}

/// How a request ended.
#[derive(PartialEq)]
enum End {
    Ready,
    Gone,
}

impl Walker<'_> {
    /// A small generator of its own (xorshift), so that each client goes its own way, and another one in the next run.
    fn dice(&mut self, sides: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % sides
    }

    fn tag(&mut self) -> String {
        self.request += 1;
        format!("{}-{}", self.number, self.request)
    }

    /// Reads until as many ReadyForQuery as given; every row's first column has to be the tag.
    fn answers(&mut self, tag: &str, mut readies: usize) -> End {
        while readies > 0 {
            let Ok(message) = self.client.try_read() else {
                self.tally.lost.fetch_add(1, Ordering::Relaxed);
                return End::Gone;
            };
            match message.tag {
                b'D' => {
                    assert_eq!(message.text(), tag, "client {} got somebody else's row", self.number);
                    self.tally.rows.fetch_add(1, Ordering::Relaxed);
                }
                b'Z' => readies -= 1,
                b'E' => match message.sqlstate().as_str() {
                    "57014" if self.cancels => drop(self.tally.cancelled.fetch_add(1, Ordering::Relaxed)),
                    // What came of a request that was cancelled: its transaction has failed, its statement was not prepared.
                    "25P02" | "26000" if self.cancels => {}
                    "57P01" | "08006" => {}
                    _ => panic!("client {}, {tag}: {message:?}", self.number),
                },
                b'1' | b'2' | b'T' | b'C' | b'I' | b'S' => {}
                _ => panic!("client {}, {tag}: {message:?}", self.number),
            }
        }
        End::Ready
    }

    /// Sends, reads; comes back with a new connection if this one broke.
    fn ask(&mut self, tag: &str, bytes: &[u8], readies: usize) -> End {
        let end = if self.client.try_send(bytes).is_ok() { self.answers(tag, readies) } else { End::Gone };
        if end == End::Gone {
            self.client = Raw::login(self.login);
        }
        end
    }

    fn transaction(&mut self, tag: &str) {
        if self.ask(tag, &raw::query("BEGIN"), 1) == End::Gone {
            return;
        }
        for _ in 0..=self.dice(3) {
            let text = format!("SELECT '{tag}', txid_current(), pg_sleep(0.0005 * {})", self.dice(4));
            if self.ask(tag, &raw::query(&text), 1) == End::Gone {
                return;
            }
        }
        let end = ["COMMIT", "ROLLBACK"][self.dice(2) as usize];
        let mut ended = self.ask(tag, &raw::query(end), 1);
        if self.cancels && self.client.status != b'I' {
            // The end was what the cancel request hit.
            ended = self.ask(tag, &raw::query("ROLLBACK"), 1);
        }
        if ended == End::Ready && !self.cancels {
            assert_eq!(self.client.status, b'I', "client {} is still in a transaction", self.number);
        }
    }

    fn vanish(&mut self, tag: &str) {
        let bytes = match self.dice(5) {
            0 => raw::query(&format!("SELECT '{tag}', pg_sleep(0.002)")),
            1 => extended(&format!("SELECT '{tag}', i FROM generate_series(1, 2000) i"), &[]),
            2 => raw::query(&format!("BEGIN; SELECT '{tag}'")),
            3 => raw::query(&format!("SELECT '{tag}'"))[..8].to_vec(),
            _ => raw::query("COPY noted FROM STDIN"),
        };
        let fresh = Raw::login(self.login);
        let mut old = std::mem::replace(&mut self.client, fresh);
        let _ = old.try_send(&bytes);
        if self.dice(2) == 0 {
            old.reset()
        } else {
            drop(old)
        }
        self.tally.vanished.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for a cancel of its own request, which may come in time or not.
    fn cancelled(&mut self, tag: &str) {
        let key = self.client.key.clone().expect("it was told its key");
        if self.client.try_send(&raw::query(&format!("SELECT '{tag}', pg_sleep(0.003)"))).is_ok() {
            cancel(self.login, &key);
        }
        if self.answers(tag, 1) == End::Gone {
            self.client = Raw::login(self.login);
        }
    }

    fn step(&mut self) {
        let tag = self.tag();
        let (request, readies) = match self.dice(12) {
            0..3 => (raw::query(&format!("SELECT '{tag}', pg_sleep(0.0005 * {})", self.request % 5)), 1),
            3..5 => ([extended("SELECT $1, i FROM generate_series(1, 30) i", &[Some(&tag)]), raw::sync()].concat(), 1),
            5 => {
                let (first, last) = (raw::query(&format!("SELECT '{tag}'")), raw::query(&format!("SELECT '{tag}', 3")));
                ([first, extended("SELECT $1", &[Some(&tag)]), raw::sync(), last].concat(), 3)
            }
            6 => {
                // The statement is parsed in one request and bound in another, which may get another server.
                if self.ask(&tag, &[raw::parse("", "SELECT $1", &[]), raw::sync()].concat(), 1) == End::Gone {
                    return;
                }
                ([raw::bind("", "", &[Some(&tag)]), raw::execute("", 0), raw::sync()].concat(), 1)
            }
            7..10 => return self.transaction(&tag),
            10 => return self.vanish(&tag),
            _ if self.cancels => return self.cancelled(&tag),
            _ => (raw::query(&format!("SELECT '{tag}', repeat('x', 20000) FROM generate_series(1, 20)")), 1),
        };
        self.ask(&tag, &request, readies);
    }
}

fn soak(version: Version) {
    let house =
        House::new(version, SERVERS, "checkout_timeout = 20000\nrollback_timeout = 2000\nlog_connections = false\nlog_disconnections = false");
    house.postgres.sql("CREATE TABLE noted (a int); GRANT ALL ON noted TO app");
    let (login, tally, mut watch) = (&house.login("app"), &Tally::default(), house.watch());
    house.warm_up();
    let end = Instant::now() + LASTS;
    let mut ended = 0;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let chance = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(std::process::id()) << 20) ^ (number as u64 + 1);
                let mut walker = Walker { login, tally, client: Raw::login(login), number, request: 0, cancels: number % 6 == 0, chance };
                while Instant::now() < end {
                    walker.step();
                }
            });
        }
        while Instant::now() < end {
            let sql = "SELECT pg_terminate_backend(pid), pg_sleep(0.25) FROM pg_stat_activity WHERE usename = 'app' ORDER BY random() LIMIT 1";
            ended += watch.direct.rows(sql).len();
        }
    });
    let seen = [&tally.rows, &tally.vanished, &tally.cancelled, &tally.lost].map(|count| count.load(Ordering::Relaxed));
    println!("rows, vanished, cancelled, lost: {seen:?}; servers ended: {ended}");
    assert!(seen[0] > 1000 && seen[1] > 10 && seen[2] > 0 && ended > 5, "too little happened: {seen:?}, {ended}");
    // A client loses its connection only when its server ends, or while PostgreSQL is not there for a new one.
    assert!(seen[3] <= ended, "{} clients lost their connection, {ended} servers ended", seen[3]);
    watch.wait_until_settled();
    assert!(watch.sessions("true") <= SERVERS as u64, "a server was left over");
    assert!(watch.show("CLIENTS").iter().all(|row| row["user"] != "app"), "a client was left over");
    assert_eq!(house.postgres.sql("SELECT count(*) FROM noted"), [["0"]]);
}

crate::on_both!(soak);
