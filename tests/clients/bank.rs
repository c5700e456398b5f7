//! Transfers between accounts on three shards, while pg_dog is killed again and again, at any moment or just when a commit is half done, shards
//! crash, and each new pg_dog knows the servers by other names.
//!
//! In the end no money has come or gone; each transfer is on all of its shards or on none; what a client was told is so: committed is there, refused
//! is not. Nothing is left prepared. `PG_DOG_KILLS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use super::support::raw::{self, Raw};
use super::support::{Dog, Login, Postgres, SOON, Version, pace, poll, users, wait_until};

const SHARDS: usize = 3;
const CLIENTS: u64 = 6;
const ACCOUNTS: u64 = 48;
const MONEY: i64 = 1_000;
const KILLS: usize = 20;
/// A shard crashes with so many kills of pg_dog.
const CRASH_EVERY: usize = 4;
/// Long enough for transfers between two kills.
const LIFE: Duration = Duration::from_millis(1_500);
/// All that was left is finished: the grace, and what has to start again.
const RECOVERED: Duration = Duration::from_secs(60);
const TABLES: &str = "CREATE TABLE accounts (id bigint PRIMARY KEY, amount bigint NOT NULL);
CREATE TABLE moves (account bigint, transfer bigint, amount bigint NOT NULL, PRIMARY KEY (account, transfer));";
/// A server that crashes has what it has acknowledged.
const SETTINGS: &str = "listen_addresses = '127.0.0.1, ::1'\nmax_prepared_transactions = 100\nsynchronous_commit = on\n";
/// What the servers are called, one after the other.
const HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

/// When pg_dog is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Anytime,
    /// a part is prepared, and nothing is decided
    Prepared,
    /// it is decided, and a part is prepared
    Decided,
    /// it is decided, and one of two parts has been finished
    Half,
}

const POINTS: [Point; 4] = [Point::Anytime, Point::Prepared, Point::Decided, Point::Half];

/// What all clients share.
struct Bank {
    /// 0: there is no pg_dog
    port: AtomicU16,
    over: AtomicBool,
    committed: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
}

/// What a client was told of its transfers.
#[derive(Default)]
struct Told {
    committed: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn start(shards: &[Postgres], host: &str) -> Dog {
    let one = |shard: usize| {
        let port = shards[shard].port;
        format!("[[databases]]\nname = \"app\"\nhost = \"{host}\"\nport = {port}\nshard = {shard}\n")
    };
    let rule = |table: &str, column: &str| format!("[[sharded_tables]]\ndatabase = \"app\"\nname = \"{table}\"\ncolumn = \"{column}\"\n");
    let config = format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {{port}}\nworkers = 2\ndefault_pool_size = 10\nmin_pool_size = 0\n\
         two_phase_commit_recovery_interval = 200\n[admin]\npassword = \"admin-secret\"\n{}{}{}{}{}",
        one(0),
        one(1),
        one(2),
        rule("accounts", "id"),
        rule("moves", "account")
    );
    Dog::start(&config, &users(&shards[0], &[("app", "")]))
}

fn shards(version: Version) -> Vec<Postgres> {
    let one = |_| {
        let shard = Postgres::start_with(version, SETTINGS);
        let file = shard.sql("SHOW hba_file")[0][0].clone();
        shard.sql(&format!(
            "COPY (SELECT * FROM (VALUES ('local all all trust'), ('host all postgres 127.0.0.1/32 trust'), \
             ('host all all 127.0.0.1/32 scram-sha-256'), ('host all all ::1/128 scram-sha-256')) AS lines) TO '{file}'; SELECT pg_reload_conf()"
        ));
        Raw::login(&shard.login("app")).rows(TABLES);
        shard
    };
    (0..SHARDS).map(one).collect()
}

/// What came of one statement: its rows and tags, SQLSTATE, or nothing because the connection is gone.
enum Said {
    Done(String),
    Failed(String),
    Gone,
}

fn ask(client: &mut Raw, sql: &str) -> Said {
    let mut said = Said::Gone;
    if client.try_send(&raw::query(sql)).is_err() {
        return Said::Gone;
    }
    loop {
        match client.try_read() {
            Err(_) => return Said::Gone,
            Ok(message) => match message.tag {
                b'Z' => return said,
                b'E' => said = Said::Failed(message.sqlstate()),
                b'C' if !matches!(said, Said::Failed(_)) => said = Said::Done(message.text()),
                _ => {}
            },
        }
    }
}

/// One transfer: some money from one account to another, some to a third. Accounts are taken in their order, so that nobody waits in a circle.
fn transfer(client: &mut Raw, number: u64, dice: &mut Dice) -> Option<Said> {
    let mut accounts = BTreeSet::new();
    let parts = 2 + dice.roll(2) as usize;
    while accounts.len() < parts {
        accounts.insert(dice.roll(ACCOUNTS));
    }
    let amount = 1 + dice.roll(20) as i64;
    let shares = if parts == 2 { vec![-amount, amount] } else { vec![amount, -amount - 1, 1] };
    let mut texts = vec!["BEGIN".to_owned()];
    for (account, share) in accounts.iter().zip(shares) {
        texts.push(format!("UPDATE accounts SET amount = amount + {share} WHERE id = {account}"));
        texts.push(format!("INSERT INTO moves VALUES ({account}, {number}, {share})"));
    }
    for text in &texts {
        match ask(client, text) {
            Said::Done(_) => {}
            // It never came to a COMMIT.
            Said::Failed(_) => return Some(if matches!(ask(client, "ROLLBACK"), Said::Gone) { Said::Gone } else { Said::Failed(String::new()) }),
            Said::Gone => return Some(Said::Failed("gone".to_owned())),
        }
    }
    Some(ask(client, "COMMIT"))
}

fn work(bank: &Bank, login: &Login, me: u64) -> Told {
    let (mut told, mut dice, mut number) = (Told::default(), Dice(0x9E37_79B9_7F4A_7C15 ^ (me + 1)), me << 32);
    let mut client: Option<Raw> = None;
    while !bank.over.load(Ordering::Relaxed) {
        let Some(open) = client.as_mut() else {
            let port = bank.port.load(Ordering::Relaxed);
            client = if port == 0 { None } else { Raw::reach(&Login { port, ..login.clone() }).ok().and_then(Result::ok) };
            pace(Duration::from_millis(5));
            continue;
        };
        number += 1;
        match transfer(open, number, &mut dice) {
            Some(Said::Done(tag)) if tag == "COMMIT" => {
                told.committed.insert(number);
                bank.committed.fetch_add(1, Ordering::Relaxed);
            }
            Some(Said::Done(tag)) => panic!("COMMIT was answered {tag}"),
            // 08007 and 40003 say that it is not known; a server that goes down (57P..) may do so behind the commit.
            Some(Said::Failed(code)) if code == "08007" || code == "40003" || code.starts_with("57P") => {
                _ = bank.unknown.fetch_add(1, Ordering::Relaxed)
            }
            Some(Said::Failed(code)) => {
                told.refused.insert(number);
                bank.refused.fetch_add(1, Ordering::Relaxed);
                if code == "gone" {
                    client = None;
                }
                pace(Duration::from_millis(5));
            }
            Some(Said::Gone) | None => {
                bank.unknown.fetch_add(1, Ordering::Relaxed);
                client = None;
            }
        }
    }
    told
}

/// Somebody who looks at the shards directly.
struct Onlooker(Vec<Raw>);

impl Onlooker {
    fn new(shards: &[Postgres]) -> Onlooker {
        Onlooker(shards.iter().map(|shard| Raw::login(&shard.login("postgres"))).collect())
    }

    /// A commit is at that point now.
    fn sees(&mut self, point: Point) -> bool {
        let mut prepared: BTreeMap<String, usize> = BTreeMap::new();
        let mut decided = BTreeSet::new();
        for shard in &mut self.0 {
            let rows = shard.rows("SELECT gid, NULL FROM pg_prepared_xacts UNION ALL SELECT NULL, gid FROM dog.decided WHERE verdict = 'c'");
            for row in rows {
                match row[0].rsplit_once(':') {
                    Some((gid, _)) => *prepared.entry(gid.to_owned()).or_default() += 1,
                    None => _ = decided.insert(row[1].clone()),
                }
            }
        }
        match point {
            Point::Anytime => true,
            Point::Prepared => prepared.keys().any(|gid| !decided.contains(gid)),
            Point::Decided => prepared.keys().any(|gid| decided.contains(gid)),
            Point::Half => prepared.iter().any(|(gid, parts)| decided.contains(gid) && *parts == 1),
        }
    }
}

/// Kills and starts, until it is enough; how often at each point.
fn disturb(bank: &Bank, shards: &mut [Postgres], mut dog: Dog, kills: usize) -> (Dog, BTreeMap<Point, usize>) {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut hit = BTreeMap::new();
    let hosts: &[&str] = if TcpListener::bind("[::1]:0").is_ok() { &HOSTS } else { &HOSTS[..2] };
    for kill in 0..kills {
        let before = bank.committed.load(Ordering::Relaxed);
        poll(LIFE * 4, || bank.committed.load(Ordering::Relaxed) > before + 3);
        pace(Duration::from_millis(dice.roll(300)));
        let point = POINTS[kill % POINTS.len()];
        let mut onlooker = Onlooker::new(shards);
        if poll(LIFE, || onlooker.sees(point)) {
            *hit.entry(point).or_default() += 1;
        }
        dog.signal("KILL");
        bank.port.store(0, Ordering::Relaxed);
        drop(dog);
        drop(onlooker);
        if kill % CRASH_EVERY == CRASH_EVERY - 1 {
            let at = dice.roll(SHARDS as u64) as usize;
            shards[at].crash_and_restart();
        }
        dog = start(shards, hosts[kill % hosts.len()]);
        bank.port.store(dog.port, Ordering::Relaxed);
        if kill % CRASH_EVERY == 1 {
            // Under the hands of a pg_dog that goes on.
            let before = bank.committed.load(Ordering::Relaxed);
            poll(LIFE * 4, || bank.committed.load(Ordering::Relaxed) > before + 3);
            let at = dice.roll(SHARDS as u64) as usize;
            shards[at].crash_and_restart();
        }
    }
    (dog, hit)
}

fn counted(bank: &Bank) -> [usize; 3] {
    [&bank.committed, &bank.refused, &bank.unknown].map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn no_money_comes_or_goes() {
    let kills = std::env::var("PG_DOG_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut shards = shards(if kills.is_multiple_of(2) { Version::Newest } else { Version::Debian });
    let dog = start(&shards, HOSTS[0]);
    let login = dog.instead_of(&shards[0].login("app"));
    let mut first = Raw::login(&login);
    wait_until("the shards are known", SOON, || first.query("SELECT 1").iter().any(|message| message.tag == b'D'));
    for id in 0..ACCOUNTS {
        first.rows(&format!("INSERT INTO accounts VALUES ({id}, {MONEY})"));
    }
    shards.iter().for_each(|shard| drop(shard.sql("CHECKPOINT")));
    let [committed, refused, unknown] = [0; 3].map(AtomicUsize::new);
    let bank = Bank { port: AtomicU16::new(dog.port), over: AtomicBool::new(false), committed, refused, unknown };
    let (told, hit, dog) = std::thread::scope(|scope| {
        let (bank, login) = (&bank, &login);
        let clients: Vec<_> = (0..CLIENTS).map(|me| scope.spawn(move || work(bank, login, me))).collect();
        // Whatever happens to us, they end.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = Over(&bank.over);
        let (dog, hit) = disturb(bank, &mut shards, dog, kills);
        let before = bank.committed.load(Ordering::Relaxed);
        wait_until("they go on afterwards", RECOVERED, || bank.committed.load(Ordering::Relaxed) > before);
        drop(over);
        let told: Vec<Told> = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        (told, hit, dog)
    });
    let prepared = || shards.iter().map(|shard| Raw::login(&shard.login("postgres")).rows("SELECT gid FROM pg_prepared_xacts").len()).sum::<usize>();
    wait_until("nothing is left prepared", RECOVERED, || prepared() == 0);
    println!("{:?} transfers committed, refused, unknown; kills at {hit:?}", counted(&bank));
    drop(dog);
    let mut moves: BTreeMap<u64, Vec<(usize, u64, i64)>> = BTreeMap::new();
    let (mut money, mut unbooked) = (0, Vec::new());
    for (at, shard) in shards.iter().enumerate() {
        for row in shard.sql("SELECT id, amount - (SELECT coalesce(sum(m.amount), 0) FROM moves m WHERE m.account = id), amount FROM accounts") {
            let number = |column: usize| row[column].parse::<i64>().expect("a number");
            money += number(2);
            if number(1) != MONEY {
                unbooked.push((at, number(0), number(1) - MONEY));
            }
        }
        for row in shard.sql("SELECT transfer, account, amount FROM moves") {
            let number = |column: usize| row[column].parse::<i64>().expect("a number");
            moves.entry(number(0) as u64).or_default().push((at, number(1) as u64, number(2)));
        }
    }
    let torn: Vec<_> = moves.iter().filter(|(_, parts)| parts.len() < 2 || parts.iter().map(|part| part.2).sum::<i64>() != 0).collect();
    assert!(torn.is_empty(), "transfers in part (shard, account, amount): {torn:?}");
    // A part of a transaction that was begun anew on another connection would show here.
    assert!(unbooked.is_empty(), "amounts that no transfer explains (shard, account, amount): {unbooked:?}");
    assert_eq!(money, ACCOUNTS as i64 * MONEY, "money has come or gone");
    for told in &told {
        assert!(told.committed.iter().all(|number| moves.contains_key(number)), "a client was told of a commit that is not there");
        assert!(told.refused.iter().all(|number| !moves.contains_key(number)), "a client was told of a failure, and it is there");
    }
    assert!(moves.len() > kills, "too little happened: {:?}", counted(&bank));
    assert!(hit.len() > 2, "no commit was met half done: {hit:?}");
}
