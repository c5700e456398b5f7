//! Everything at once: two hundred clients of three pools of two to eight servers on two cores do what clients do, among them some that vanish and
//! some that cancel, while servers are ended under them, pg_dog reloads, and PostgreSQL is restarted, in an orderly way and as by a crash.
//!
//! Each request carries a tag of its own, and every row that comes back must carry the same. Each row that was stored is stored once if its client
//! was told so, at most once if it heard nothing, and not at all if it was rolled back. Somebody looks at PostgreSQL directly all the time: never
//! more sessions than the pool's size, and what a dead client began is gone within a second. In the end nothing is left over.
//! `PG_DOG_SOAK_SECONDS` makes it longer.

#[path = "soak_sessions.rs"]
mod sessions;

use super::house::{House, cancel, extended};
use super::leftovers::{HELD, NOTHING};
use super::support::raw::{self, Message, Raw};
use super::support::{Dog, Login, Postgres, Version, pace, wait_until};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: usize = 200;

/// Users, and the sizes of their pools.
const POOLS: [(&str, usize); 3] = [("app", 2), ("other", 4), ("md5user", 8)];

/// Statements that a server may hold; the clients use more.
const STATEMENTS: usize = 5;

/// PostgreSQL is restarted this often, or three times if that is more.
const RESTARTS: Duration = Duration::from_secs(20);

/// How long a dead client's transaction may be seen.
const GONE_IN: Duration = Duration::from_secs(1);

/// What a client may hear when its server, or PostgreSQL as a whole, ends.
const OUTAGES: [&str; 7] = ["57P01", "57P02", "57P03", "08001", "08006", "08007", "53300"];

/// What happened, over all clients.
#[derive(Default)]
struct Tally {
    rows: AtomicUsize,
    stored: AtomicUsize,
    vanished: AtomicUsize,
    cancelled: AtomicUsize,
    lost: AtomicUsize,
    /// what needed a session and was right
    sessions: AtomicUsize,
    /// notifications of those who listened
    heard: AtomicUsize,
}

/// What everybody shares.
struct Scene {
    logins: Vec<Login>,
    tally: Tally,
    begun: Instant,
    /// per client: the last transaction that it left behind, and when (milliseconds), as one number
    deaths: Vec<AtomicU64>,
    over: AtomicBool,
}

/// What one client knows of the rows it wanted stored.
#[derive(Default)]
struct Ledger {
    once: Vec<String>,
    at_most_once: Vec<String>,
    never: Vec<String>,
}

/// One client; `cancels` says whether 57014 may ever come its way.
struct Walker<'a> {
    scene: &'a Scene,
    login: &'a Login,
    client: Raw,
    number: usize,
    request: usize,
    cancels: bool,
    chance: u64,
    ledger: Ledger,
    session: sessions::Session,
}

/// How a request ended.
#[derive(Debug, PartialEq)]
enum End {
    /// the last CommandComplete
    Done(String),
    /// it was answered, and nothing was executed
    Nothing,
    Failed,
    Gone,
}

impl Walker<'_> {
    fn new(scene: &Scene, number: usize) -> Walker<'_> {
        let login = &scene.logins[number % POOLS.len()];
        let chance = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(std::process::id()) << 20) ^ (number as u64 + 1);
        let cancels = (number / POOLS.len()).is_multiple_of(5);
        Walker {
            scene,
            login,
            client: connect(login),
            number,
            request: 0,
            cancels,
            chance,
            ledger: Ledger::default(),
            session: sessions::Session::default(),
        }
    }

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
        let mut end = End::Nothing;
        let mut failed = false;
        while readies > 0 {
            let message = match self.client.try_read() {
                Ok(message) => message,
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "client {}, {tag}: silence", self.number);
                    self.scene.tally.lost.fetch_add(1, Ordering::Relaxed);
                    return End::Gone;
                }
            };
            match message.tag {
                b'D' => {
                    assert_eq!(message.text(), tag, "client {}: not its row, after {:#?}", self.number, self.session.said);
                    self.scene.tally.rows.fetch_add(1, Ordering::Relaxed);
                }
                b'd' => {
                    assert_eq!(String::from_utf8_lossy(&message.body).trim_end(), tag, "client {} got somebody else's copy", self.number);
                    self.scene.tally.rows.fetch_add(1, Ordering::Relaxed);
                }
                b'G' => {
                    let bytes = [raw::copy_data(tag.as_bytes()), raw::copy_data(b"\n"), raw::copy_done()].concat();
                    let _ = self.client.try_send(&bytes); // if it has gone, so says the next read
                }
                b'Z' => readies -= 1,
                b'E' => {
                    failed = true;
                    self.judge(tag, &message);
                }
                b'C' => end = End::Done(message.text()),
                b'A' => self.hear(&message.body),
                b'1' | b'2' | b'3' | b't' | b'T' | b'I' | b'S' | b'H' | b'c' | b'n' | b'N' => {}
                _ => panic!("client {}, {tag}: {message:?}", self.number),
            }
        }
        if failed { End::Failed } else { end }
    }

    fn judge(&self, tag: &str, message: &Message) {
        match message.sqlstate().as_str() {
            "57014" if self.cancels => drop(self.scene.tally.cancelled.fetch_add(1, Ordering::Relaxed)),
            // What came of a request that was cancelled: its transaction has failed, its statement was not prepared.
            "25P02" | "26000" if self.cancels => {}
            code if OUTAGES.contains(&code) => {}
            _ => panic!("client {}, {tag}: {:?}", self.number, message.fields()),
        }
    }

    /// Sends, reads; comes back with a new connection if this one broke.
    fn ask(&mut self, tag: &str, bytes: &[u8], readies: usize) -> End {
        let end = if self.client.try_send(bytes).is_ok() { self.answers(tag, readies) } else { self.answers(tag, readies + 1) };
        if end == End::Gone {
            self.client = connect(self.login);
            // Not a storm of logins while PostgreSQL is away.
            pace(Duration::from_millis(20));
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
        let ended = self.ask(tag, &raw::query(end), 1);
        self.leave_transaction(tag, &ended);
    }

    /// After the end of a transaction: a cancel request may have hit that end itself.
    fn leave_transaction(&mut self, tag: &str, ended: &End) {
        if *ended == End::Gone {
            return;
        }
        if self.cancels && self.client.status != b'I' && self.ask(tag, &raw::query("ROLLBACK"), 1) == End::Gone {
            return;
        }
        assert_eq!(self.client.status, b'I', "client {} is still in a transaction", self.number);
    }

    /// Has a row stored, in one of five ways, and notes what it was told about it.
    fn store(&mut self, tag: String) {
        self.scene.tally.stored.fetch_add(1, Ordering::Relaxed);
        let insert = format!("INSERT INTO ledger VALUES ('{tag}')");
        let end = match self.dice(5) {
            0 => self.ask(&tag, &raw::query(&insert), 1),
            1 => self.ask(&tag, &[extended("INSERT INTO ledger VALUES ($1)", &[Some(&tag)]), raw::sync()].concat(), 1),
            2 => self.ask(&tag, &raw::query("COPY ledger FROM STDIN"), 1),
            way => {
                for sql in ["BEGIN", insert.as_str()] {
                    match self.ask(&tag, &raw::query(sql), 1) {
                        End::Gone => return self.ledger.at_most_once.push(tag),
                        End::Done(_) => {}
                        End::Failed | End::Nothing => {
                            let end = self.ask(&tag, &raw::query("ROLLBACK"), 1);
                            self.leave_transaction(&tag, &end);
                            return self.ledger.never.push(tag);
                        }
                    }
                }
                let last = if way == 3 { raw::query("COMMIT") } else { raw::query("ROLLBACK") };
                let end = self.ask(&tag, &last, 1);
                self.leave_transaction(&tag, &end);
                end
            }
        };
        let list = match end {
            End::Done(done) if done == "ROLLBACK" => &mut self.ledger.never,
            End::Done(_) => &mut self.ledger.once,
            End::Failed | End::Nothing => &mut self.ledger.never,
            End::Gone => &mut self.ledger.at_most_once,
        };
        list.push(tag);
    }

    fn vanish(&mut self, tag: &str) {
        let bytes = match self.dice(6) {
            0 => raw::query(&format!("SELECT '{tag}', pg_sleep(0.002)")),
            1 => extended(&format!("SELECT '{tag}', i FROM generate_series(1, 2000) i"), &[]),
            2 => raw::query(&format!("SELECT '{tag}'"))[..8].to_vec(),
            3 => raw::query("COPY ledger FROM STDIN"),
            _ => return self.die_in_a_transaction(tag),
        };
        let mut old = std::mem::replace(&mut self.client, connect(self.login));
        let _ = old.try_send(&bytes);
        self.go(old);
    }

    fn go(&mut self, old: Raw) {
        if self.dice(2) == 0 {
            old.reset()
        } else {
            drop(old)
        }
        self.scene.tally.vanished.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves a transaction that has stored a row, and notes when.
    fn die_in_a_transaction(&mut self, tag: &str) {
        let fresh = connect(self.login);
        self.ledger.never.push(tag.to_string());
        for sql in ["BEGIN".to_string(), format!("INSERT INTO ledger VALUES ('{tag}')"), format!("SELECT '{tag}', 'doomed-{tag}.'")] {
            if self.client.try_send(&raw::query(&sql)).is_err() || self.answers(tag, 1) == End::Gone {
                break;
            }
        }
        let old = std::mem::replace(&mut self.client, fresh);
        self.go(old);
        let now = self.scene.begun.elapsed().as_millis() as u64;
        self.scene.deaths[self.number].store((self.request as u64) << 32 | now, Ordering::Release);
    }

    /// Asks for a cancel of its own request, which may come in time or not.
    fn cancelled(&mut self, tag: &str) {
        let key = self.client.key.clone().expect("it was told its key");
        if self.client.try_send(&raw::query(&format!("SELECT '{tag}', pg_sleep(0.003)"))).is_ok() {
            cancel(self.login, &key);
        }
        if self.answers(tag, 1) == End::Gone {
            self.client = connect(self.login);
        }
    }

    fn step(&mut self) {
        let tag = self.tag();
        let (request, readies) = match self.dice(22) {
            16.. => return self.session_step(&tag),
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
            7 => (raw::query(&format!("COPY (SELECT '{tag}' FROM generate_series(1, 200)) TO STDOUT")), 1),
            8..10 => return self.transaction(&tag),
            10..13 => return self.store(tag),
            13 => return self.vanish(&tag),
            _ if self.cancels => return self.cancelled(&tag),
            _ => (raw::query(&format!("SELECT '{tag}', repeat('x', 20000) FROM generate_series(1, 5)")), 1),
        };
        self.ask(&tag, &request, readies);
    }
}

/// A client that may wait long: the machine is busy, and PostgreSQL away at times.
fn connect(login: &Login) -> Raw {
    let mut client = Raw::login(login);
    client.set_deadline(Duration::from_secs(60));
    client
}

/// What was wrong with PostgreSQL's sessions, as seen from outside, and how often somebody looked.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    too_many: Vec<String>,
    too_long: Vec<String>,
}

/// Looks at PostgreSQL's sessions until all is over. PostgreSQL may be away; then it looks again.
fn look(scene: &Scene, postgres: &Login) -> Seen {
    let sql = "SELECT usename, count(*), coalesce(string_agg(substring(query FROM 'doomed-([0-9]+-[0-9]+)\\.'), ',')
        FILTER (WHERE state LIKE 'idle in transaction%'), '')
        FROM pg_stat_activity WHERE usename <> 'postgres' AND backend_type = 'client backend' GROUP BY usename";
    let mut seen = Seen::default();
    while !scene.over.load(Ordering::Relaxed) {
        let Ok(Ok(mut eye)) = Raw::reach(postgres) else {
            pace(Duration::from_millis(5));
            continue;
        };
        while !scene.over.load(Ordering::Relaxed) {
            let asked = scene.begun.elapsed().as_millis() as u64;
            if eye.try_send(&raw::query(sql)).is_err() {
                break;
            }
            let mut messages: Vec<Message> = Vec::new();
            while messages.last().is_none_or(|message| message.tag != b'Z') {
                let Ok(message) = eye.try_read() else { break };
                messages.push(message);
            }
            if messages.last().is_none_or(|message| message.tag != b'Z') {
                break;
            }
            seen.looks += 1;
            for row in messages.iter().filter(|message| message.tag == b'D') {
                note(scene, asked, row, &mut seen);
            }
            pace(Duration::from_millis(2));
        }
    }
    seen
}

fn note(scene: &Scene, asked: u64, row: &Message, seen: &mut Seen) {
    let values: Vec<String> = row.columns().into_iter().map(|value| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()).collect();
    let size = POOLS.iter().find(|(user, _)| *user == values[0]).map_or(0, |(_, size)| *size);
    if values[1].parse::<usize>().expect("a count") > size {
        seen.too_many.push(format!("{} of {size} for {} at {asked} ms", values[1], values[0]));
    }
    for doomed in values[2].split(',').filter(|doomed| !doomed.is_empty()) {
        let (number, request) = doomed.split_once('-').expect("as it was written");
        let death = scene.deaths[number.parse::<usize>().expect("a number")].load(Ordering::Acquire);
        let (which, died) = (death >> 32, death & 0xFFFF_FFFF);
        if which == request.parse::<u64>().expect("a number") && asked.saturating_sub(died) > GONE_IN.as_millis() as u64 {
            seen.too_long.push(format!("{doomed}, which died {} ms before", asked - died));
        }
    }
}

/// Ends servers one by one, and now and then all of them with their PostgreSQL; how many times each. pg_dog reads its files again meanwhile.
fn disturb(dog: &mut Dog, postgres: &mut Postgres, lasts: Duration, begun: Instant) -> (usize, usize) {
    let (mut ended, mut restarts) = (0, 0);
    let every = RESTARTS.min(lasts / 3);
    while begun.elapsed() < lasts {
        if begun.elapsed() > every * (restarts as u32 + 1) {
            postgres.restart(["INT", "QUIT"][restarts % 2]);
            restarts += 1;
        }
        let Ok(Ok(mut hand)) = Raw::reach(&postgres.login("postgres")) else { continue };
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> 'postgres' AND backend_type = 'client backend'
            ORDER BY random() LIMIT 1";
        ended += hand.rows(sql).len();
        dog.signal("HUP");
        pace(Duration::from_millis(250));
    }
    (ended, restarts)
}

/// Compares what is stored with what the clients were told.
fn audit(postgres: &Postgres, ledgers: Vec<Ledger>) {
    let rows = postgres.sql("SELECT tag, count(*) FROM ledger GROUP BY tag");
    let mut stored: HashMap<String, usize> = rows.into_iter().map(|mut row| (row.remove(0), row.remove(0).parse().expect("a count"))).collect();
    let (mut once, mut unsure) = (0, 0);
    for ledger in ledgers {
        for tag in ledger.once {
            assert_eq!(stored.remove(&tag), Some(1), "{tag} was told to be stored");
            once += 1;
        }
        for tag in ledger.at_most_once {
            assert!(stored.remove(&tag).unwrap_or(0) <= 1, "{tag} is stored twice");
            unsure += 1;
        }
        for tag in ledger.never {
            assert_eq!(stored.remove(&tag), None, "{tag} was told not to be stored");
        }
    }
    assert!(stored.is_empty(), "nobody stored {stored:?}");
    println!("{once} rows are stored as told, of {unsure} nobody could know");
    assert!(once > 100, "too little was stored");
}

/// Looks into all servers of a pool at once: nobody's session is there, and no more statements than there may be.
fn nothing_is_left(login: &Login, size: usize) {
    let mut clients: Vec<Raw> = (0..size).map(|_| connect(login)).collect();
    for client in &mut clients {
        client.rows("BEGIN");
        assert_eq!(client.rows(HELD), [NOTHING]);
    }
    for client in &mut clients {
        let held = client.rows("SELECT count(*) FROM pg_prepared_statements").remove(0).remove(0);
        assert!(held.parse::<usize>().expect("a count") <= STATEMENTS, "a server holds {held} statements");
    }
}

fn soak(version: Version) {
    let lasts = std::env::var("PG_DOG_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).map_or(Duration::from_secs(30), Duration::from_secs);
    // What was committed must outlive a crash of the server (not of the machine).
    let postgres = Postgres::start_with(version, "synchronous_commit = on\n");
    let lines = POOLS.map(|(_, size)| format!("pool_size = {size}"));
    let users: Vec<(&str, &str)> = POOLS.iter().zip(&lines).map(|((user, _), line)| (*user, line.as_str())).collect();
    let general = format!(
        "prepared_statements_limit = {STATEMENTS}\n\
        checkout_timeout = 40000\nrollback_timeout = 800\nlog_connections = false\nlog_disconnections = false\n\
        server_lifetime = 5000\nserver_lifetime_jitter = 2000\nidle_timeout = 2000"
    );
    let mut house = House::around(postgres, 1, &general, &users);
    house.postgres.sql("CREATE TABLE ledger (tag text); GRANT ALL ON ledger TO PUBLIC");
    let logins = POOLS.map(|(user, _)| house.login(user)).to_vec();
    logins.iter().for_each(|login| wait_until("the first login", Duration::from_secs(20), || Raw::try_login(login, &[]).is_ok()));
    let deaths = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    let scene = &Scene { logins, tally: Tally::default(), begun: Instant::now(), deaths, over: AtomicBool::new(false) };
    let eye = house.postgres.login("postgres");
    let (ledgers, seen, (ended, restarts)) = std::thread::scope(|scope| {
        let walk = |number: usize| {
            move || {
                let mut walker = Walker::new(scene, number);
                while scene.begun.elapsed() < lasts {
                    walker.step();
                }
                walker.ledger
            }
        };
        let walkers: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(walk(number))).collect();
        let looks = scope.spawn(|| look(scene, &eye));
        let disturbed = disturb(&mut house.dog, &mut house.postgres, lasts, scene.begun);
        let ledgers: Vec<_> = walkers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        scene.over.store(true, Ordering::Relaxed);
        let seen = looks.join().expect("it only looks");
        let ledgers: Vec<Ledger> = ledgers.into_iter().map(|ledger| ledger.expect("a client was content")).collect();
        (ledgers, seen, disturbed)
    });
    let tally = &scene.tally;
    let counts = [&tally.rows, &tally.stored, &tally.vanished, &tally.cancelled, &tally.sessions, &tally.heard, &tally.lost]
        .map(|count| count.load(Ordering::Relaxed));
    println!(
        "rows, stored, vanished, cancelled, sessions, heard, lost: {counts:?}; servers ended: {ended}, restarts: {restarts}, looks: {}",
        seen.looks
    );
    assert!(counts[..6].iter().all(|count| *count > 10) && ended > 5 && restarts >= 2 && seen.looks > 100, "too little happened");
    audit(&house.postgres, ledgers);
    assert!(seen.too_many.is_empty(), "more sessions than the pool may have, {} times: {:?}", seen.too_many.len(), seen.too_many.first());
    assert!(seen.too_long.is_empty(), "a dead client's transaction lived on, {} times: {:?}", seen.too_long.len(), seen.too_long.first());
    let mut watch = house.watch();
    watch.wait_until_settled();
    scene.logins.iter().zip(POOLS).for_each(|(login, (_, size))| nothing_is_left(login, size));
    let sizes: usize = POOLS.iter().map(|(_, size)| size).sum();
    assert!(watch.sessions("true") <= sizes as u64, "a server was left over");
    assert!(watch.show("CLIENTS").iter().all(|row| row["user"] == "admin"), "a client was left over");
}

crate::on_both!(soak);
