//! The machine gives no more: descriptors run out. And the end of pg_dog while its clients are in every state there is.

use super::gauge::usage_of;
use super::house::{House, error, extended, general_of, one, tags};
use super::support::raw::{self, Raw};
use super::support::{Dog, Postgres, SOON, Shim, Version, config, pace, poll, users, wait_until};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// Descriptors that pg_dog gets: as few as it takes.
const FILES: usize = 256;

/// Descriptors run out while clients connect. Who is there goes on; nobody spins; who waits gets in when somebody leaves.
#[test]
fn no_descriptors_are_left() {
    let postgres = Postgres::start(Version::Debian);
    let settings = general_of(3, "checkout_timeout = 20000\nclient_login_timeout = 60000\nlog_connections = false\nlog_disconnections = false");
    let dog = Dog::start_limited(&config(&postgres, &settings, ""), &users(&postgres, &[("app", "")]), FILES);
    let house = House { dog, postgres };
    let mut inside: Vec<Raw> = (0..6).map(|_| house.client()).collect();
    inside.iter_mut().for_each(|client| drop(client.query("BEGIN; SELECT 1; COMMIT")));
    let pid = house.dog.pid();
    // The kernel takes their connections; pg_dog cannot take all of them from the kernel.
    let outside: Vec<TcpStream> =
        (0..FILES + 50).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, house.dog.port)).expect("there is a queue")).collect();
    wait_until("descriptors have run out", SOON, || usage_of(pid).files >= FILES);
    let (start, begun) = (usage_of(pid).cpu, Instant::now());
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let client = asked % inside.len();
        assert_eq!(one(&mut inside[client], &format!("SELECT {asked}")), asked.to_string());
        asked += 1;
        pace(Duration::from_millis(20));
    }
    let used = usage_of(pid).cpu - start;
    println!("with no descriptor left: {used:?} of processor time in {:?}", begun.elapsed());
    assert!(used < begun.elapsed() / 10, "pg_dog used {used:?} of processor time in {:?} although there is nothing to do", begun.elapsed());
    assert!(house.dog.log().contains("cannot accept"), "nobody was told");
    assert!(house.dog.log().lines().count() < 100, "the log is flooded");
    drop(outside);
    wait_until("a new client gets in", SOON, || {
        let mut client = Raw::connect(house.dog.port);
        let login = house.login("app");
        client.set_deadline(Duration::from_secs(2));
        let _ = client.try_send(&raw::startup(&[("user", &login.user), ("database", &login.database)]));
        matches!(client.try_read(), Ok(message) if message.tag == b'R')
    });
    assert_eq!(one(&mut house.client(), "SELECT 'in'"), "in");
    inside.iter_mut().for_each(|client| assert_eq!(one(client, "SELECT 'still there'"), "still there"));
    house.watch().wait_until_settled();
}

/// Requests that wait fill the memory that may be used: who is there is served, who comes is told, the operator gets in.
#[test]
fn memory_is_full() {
    let postgres = Postgres::start(Version::Debian);
    let text = config(&postgres, &general_of(1, "checkout_timeout = 60000"), "[memory]\nlimit = 300000").replace("workers = 2", "workers = 1");
    let house = House { dog: Dog::start(&text, &users(&postgres, &[("app", "")])), postgres };
    let mut holder = house.client();
    holder.rows("BEGIN; SELECT 1");
    let mut waiting: Vec<Raw> = (0..30).map(|_| house.client()).collect();
    let long = raw::query(&format!("SELECT 1 /* {} */", "x".repeat(12_000)));
    waiting.iter_mut().for_each(|client| client.send(&long));
    wait_until("no more clients get in", SOON, || match Raw::try_login(&house.login("app"), &[]) {
        Ok(_) => false,
        Err(refusal) => {
            assert_eq!((refusal.sqlstate().as_str(), refusal.fields()[&'S'].as_str()), ("53200", "FATAL"));
            true
        }
    });
    let mut operator = Raw::login(&house.dog.admin_login());
    let received = operator.rows("SHOW MEM").into_iter().find(|row| row[0] == "received").expect("a row of SHOW MEM");
    assert!(received[4].parse::<usize>().expect("bytes") > 300_000, "{received:?}");
    holder.rows("COMMIT");
    waiting.iter_mut().for_each(|client| assert_eq!(client.read_until_ready().len(), 4));
    wait_until("clients get in again", SOON, || Raw::try_login(&house.login("app"), &[]).is_ok());
    house.watch().wait_until_settled();
}

/// The last word to a client that has nothing open.
fn is_told(name: &str, client: &mut Raw) {
    let end = client.read_until_closed();
    let fields = error(&end);
    assert_eq!((tags(&end).as_str(), fields[&'S'].as_str(), fields[&'C'].as_str()), ("E", "FATAL", "57P01"), "{name}");
}

/// SIGTERM while clients are in every state: who has nothing open is told so at once, what is begun ends as it would have, and the process ends when
/// the last of it has.
#[test]
fn an_end_in_every_state() {
    let postgres = Postgres::start(Version::Newest);
    let shim = Shim::before(postgres.port);
    let mut house = House::behind(postgres, shim.port, 6, "checkout_timeout = 60000\nshutdown_timeout = 60000");
    house.postgres.sql("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let mut watch = house.watch();
    let mut silent = Raw::connect(house.dog.port);
    let mut half = Raw::connect(house.dog.port);
    half.send(&raw::startup(&[("user", "app"), ("database", "app")])[..9]);
    let mut asked = Raw::connect(house.dog.port);
    asked.send(&raw::startup(&[("user", "app"), ("database", "app")]));
    assert_eq!(asked.read().tag, b'R');
    let [mut idle, mut parsed, mut open, mut failed, mut copies, mut reads, mut slow, mut hit] = std::array::from_fn(|_| house.client());
    let (mut waiter, mut console) = (house.client(), Raw::login(&house.dog.admin_login()));
    assert_eq!(one(&mut idle, "SELECT 1"), "1");
    parsed.send(&[raw::parse("", "SELECT 'parsed'", &[]), raw::sync()].concat());
    parsed.read_until_ready();
    open.rows("BEGIN; INSERT INTO kept VALUES (1)");
    failed.query("BEGIN; SELECT 1/0");
    copies.send(&raw::query("COPY kept FROM STDIN"));
    copies.read_until(b'G');
    copies.send(&raw::copy_data(b"10\n"));
    for client in [&reads, &slow] {
        socket2::SockRef::from(client.stream()).set_recv_buffer_size(32 << 10).expect("a TCP socket");
    }
    reads.send(&raw::query("COPY (SELECT i, repeat('y', 1000) FROM generate_series(1, 40000) i) TO STDOUT"));
    reads.read_until(b'd');
    slow.send(&raw::query("SELECT repeat('z', 1000), i FROM generate_series(1, 40000) i"));
    slow.read_until(b'T');
    // A cancel request that is on its way when the end begins.
    hit.send(&[raw::query("SELECT pg_sleep(600)")].concat());
    watch.wait_for_sessions(1, "wait_event = 'PgSleep'");
    watch.wait_for_sessions(2, "wait_event = 'ClientWrite'");
    waiter.send(&raw::query("SELECT 'never or later'"));
    wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
    shim.delay_cancels(Duration::from_millis(400));
    super::house::cancel(&house.login("app"), hit.key.as_ref().expect("it was told its key"));
    drop(watch);
    house.dog.signal("TERM");
    for (name, client) in [("silent", &mut silent), ("half a login", &mut half), ("asked for a password", &mut asked)] {
        is_told(name, client);
    }
    is_told("idle", &mut idle);
    is_told("idle with a statement", &mut parsed);
    assert!(poll(SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, house.dog.port)).is_err()), "it still takes new connections");
    let end = hit.read_until_closed();
    assert_eq!(tags(&end).replace('T', ""), "EZE", "{end:?}");
    assert_eq!((end[end.len() - 3].sqlstate().as_str(), end[end.len() - 1].sqlstate().as_str()), ("57014", "57P01"));
    assert_eq!(tags(&open.query("INSERT INTO kept VALUES (2)")), "CZ");
    open.send(&[extended("INSERT INTO kept VALUES (3)", &[]), raw::sync()].concat());
    assert_eq!(tags(&open.read_until_ready()), "12nCZ");
    assert_eq!(tags(&open.query("COMMIT")), "CZ");
    is_told("after its COMMIT", &mut open);
    assert_eq!(tags(&failed.query("ROLLBACK")), "CZ");
    is_told("after its ROLLBACK", &mut failed);
    for i in 11..1_000 {
        copies.send(&raw::copy_data(format!("{i}\n").as_bytes()));
    }
    copies.send(&raw::copy_done());
    assert_eq!(copies.read_until_ready()[0].text(), "COPY 990");
    is_told("after its COPY", &mut copies);
    let end = waiter.read_until_closed();
    assert!(tags(&end) == "TDCZE" || tags(&end) == "E", "{end:?}");
    assert_eq!(end.last().expect("an error").sqlstate(), "57P01");
    // The admin may look on until the end.
    assert!(tags(&console.query("SHOW VERSION")).starts_with("TD"));
    assert!(house.dog.is_running(), "two results are not through");
    let rest = reads.read_until_closed();
    let sum: u64 = rest.iter().filter(|message| message.tag == b'd').map(|message| number(&message.body)).sum();
    assert_eq!((sum + 1, tags(&rest[rest.len() - 4..])), (40_000 * 40_001 / 2, "cCZE".to_string()));
    let rest = slow.read_until_closed();
    let rows = rest.iter().filter(|message| message.tag == b'D').enumerate();
    assert_eq!(rows.filter(|(i, row)| row.columns()[1] == Some((i + 1).to_string().into_bytes())).count(), 40_000);
    assert_eq!(tags(&rest[40_000..]), "CZE");
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
    assert_eq!(house.postgres.sql("SELECT count(*), sum(a) FROM kept"), [["993", &(6 + (10..1_000).sum::<u32>()).to_string()]]);
}

/// The number that a line of COPY begins with.
fn number(line: &[u8]) -> u64 {
    String::from_utf8_lossy(line).split('\t').next().expect("a column").parse().expect("a number")
}
