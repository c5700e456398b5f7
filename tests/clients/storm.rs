//! Cancel requests by the thousand, and cancel requests that are late. Who did not ask for a cancel is never hit, nor made to wait, and what a storm
//! needs of the machine is given back.

use super::gauge::{percentile, steady_while, usage};
use super::house::{House, error, one, tags};
use super::support::raw::{self, Raw};
use super::support::{Postgres, SOON, Shim, Version, pace, wait_until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

crate::on_both!(late_cancels_hit_nobody_else);

const CLIENTS: usize = 200;
const SERVERS: usize = 8;
const REQUESTS: usize = 25;

/// Sends a cancel request and does not care what becomes of it: the connection ends at once, so that whoever asked goes on while it is on its way.
fn cancel_and_go(port: u16, key: &(u32, Vec<u8>)) {
    let mut leg = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("pg_dog listens");
    leg.write_all(&raw::cancel_request(key)).expect("it is taken");
}

/// Two hundred clients on eight servers, half of them cancel at random; every cancel request needs up to 30 ms to PostgreSQL, in which its server
/// could be with somebody else.
fn late_cancels_hit_nobody_else(version: Version) {
    let postgres = Postgres::start(version);
    let shim = Shim::before(postgres.port);
    shim.delay_cancels(Duration::from_millis(30));
    let house = House::behind(postgres, shim.port, SERVERS, "checkout_timeout = 60000\nlog_connections = false\nlog_disconnections = false");
    let (login, port) = (&house.login("app"), house.dog.port);
    let hits = &AtomicUsize::new(0);
    house.warm_up();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = Raw::login(login);
                client.set_deadline(Duration::from_secs(60));
                let key = client.key.clone().expect("it was told its key");
                for i in 0..REQUESTS {
                    let tag = format!("{number}-{i}");
                    // More than PostgreSQL's buffer holds, so that the first row is seen while the query runs.
                    let sleeps = 0.003 * (i % 4) as f32;
                    client.send(&raw::query(&format!(
                        "SELECT '{tag}', repeat('x', 20000) UNION ALL SELECT '{tag}', '' UNION ALL SELECT '{tag}', pg_sleep({sleeps})::text"
                    )));
                    let cancels = number % 2 == 0 && i % 3 != 2;
                    let mut answer = if i % 3 == 1 { vec![client.read()] } else { Vec::new() };
                    if cancels {
                        cancel_and_go(port, &key);
                    }
                    while answer.last().is_none_or(|message| message.tag != b'Z') {
                        answer.push(client.read());
                    }
                    for row in answer.iter().filter(|message| message.tag == b'D') {
                        assert_eq!(row.text(), tag);
                    }
                    match tags(&answer).as_str() {
                        "TDDDCZ" => {}
                        _ => {
                            assert_eq!((error(&answer)[&'C'].as_str(), number % 2), ("57014", 0), "client {tag}: {answer:?}");
                            hits.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let (sent, most) = shim.cancels();
    println!("cancel requests that reached the server's side: {sent}, at most {most} at once; queries cancelled: {}", hits.load(Ordering::Relaxed));
    assert!(hits.load(Ordering::Relaxed) > 20 && sent > 20, "no cancel request did anything");
    assert!(most <= SERVERS, "{most} connections for cancel requests at once, for {SERVERS} servers");
    house.watch().wait_until_settled();
}

/// Cancel requests as fast as the machine sends them, wrong and right ones, while twenty clients work.
#[test]
fn a_storm_of_cancels_disturbs_nobody() {
    const LASTS: Duration = Duration::from_secs(4);
    let house = House::new(Version::Debian, SERVERS, "checkout_timeout = 20000\nlog_connections = false\nlog_disconnections = false");
    let login = house.login("app");
    let quiet = || pace(Duration::from_secs(2));
    let (mut before, ()) = steady_while(&login, quiet);
    let mut victims: Vec<Raw> = (0..4).map(|_| house.client()).collect();
    let idle: Vec<Raw> = (0..20).map(|_| house.client()).collect();
    // The right keys of clients that run something now and then, those of idle ones, and wrong ones.
    let key = |client: &Raw| client.key.clone().expect("it was told its key");
    let mut keys: Vec<(u32, Vec<u8>)> = victims.iter().chain(&idle).map(key).collect();
    keys.extend(keys.clone().into_iter().map(|(pid, secret)| (pid, secret.iter().map(|byte| !byte).collect())));
    keys.extend((0..40).map(|i| (i * 0x0101_0101, vec![i as u8; 4])));
    let start = usage(&house);
    let (port, sent, over) = (house.dog.port, AtomicUsize::new(0), AtomicBool::new(false));
    let storm = || {
        let (mut cancelled, begun) = (0, Instant::now());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (keys, sent, over) = (&keys, &sent, &over);
                scope.spawn(move || {
                    let mut at = thread * 7;
                    while !over.load(Ordering::Relaxed) {
                        at += 1;
                        let mut leg = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("pg_dog listens");
                        leg.write_all(&raw::cancel_request(&keys[at % keys.len()])).expect("it is taken");
                        assert!(matches!(leg.read(&mut [0]), Ok(0)), "a cancel request has no answer");
                        // A reset leaves no connection behind that waits for stray packets; there are not so many ports.
                        socket2::SockRef::from(&leg).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while begun.elapsed() < LASTS {
                for victim in &mut victims {
                    victim.send(&raw::query("SELECT pg_sleep(600)"));
                }
                for victim in &mut victims {
                    assert_eq!(error(&victim.read_until_ready())[&'C'], "57014");
                    cancelled += 1;
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        (cancelled, begun.elapsed())
    };
    let (mut during, (cancelled, lasted)) = steady_while(&login, storm);
    let rate = sent.load(Ordering::Relaxed) as f64 / lasted.as_secs_f64();
    let (p99_before, p99_during) = (percentile(&mut before, 99), percentile(&mut during, 99));
    println!("{rate:.0} cancel requests a second, {cancelled} queries cancelled; p99 of the others {p99_before:?} before, {p99_during:?} during");
    assert!(rate > 500.0 && cancelled > 4, "that was no storm");
    // The storm, its senders and the steady clients share the processors: what is asserted is that nobody is locked out.
    assert!(p99_during < p99_before * 20 + Duration::from_millis(200), "p99 went from {p99_before:?} to {p99_during:?}");
    let end = std::cell::Cell::new(start);
    wait_until("its descriptors are free again", SOON, || {
        end.set(usage(&house));
        // Servers that were opened meanwhile stay.
        end.get().files <= start.files + SERVERS
    });
    assert!(end.get().memory < start.memory + (16 << 20), "memory: {start:?}, then {:?}", end.get());
    drop((victims, idle));
    house.watch().wait_until_settled();
}

/// Nobody waits for a server to be told that the wait is over: the answer comes at once, also when the servers are stuck.
#[test]
fn a_waiting_client_is_answered_at_once() {
    let postgres = Postgres::start(Version::Newest);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, 1, "checkout_timeout = 60000");
    let (mut holder, mut waiter, mut watch) = (house.client(), house.client(), house.watch());
    holder.rows("BEGIN; SELECT 1");
    shim.stall(true);
    holder.send(&raw::query("SELECT 'late'"));
    for _ in 0..20 {
        waiter.send(&raw::query("SELECT 1"));
        wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
        let asked = Instant::now();
        cancel_and_go(house.dog.port, waiter.key.as_ref().expect("it was told its key"));
        assert_eq!(error(&waiter.read_until_ready())[&'C'], "57014");
        assert!(asked.elapsed() < Duration::from_secs(1), "the answer took {:?}", asked.elapsed());
    }
    assert_eq!(shim.cancels().0, 0, "a client that only waited had somebody's query cancelled");
    shim.stall(false);
    assert_eq!(holder.read_until_ready()[1].text(), "late");
    holder.rows("COMMIT");
    house.watch().wait_until_settled();
}

/// Somebody who loses patience and asks fifty times: PostgreSQL hears of it once, or twice, and never by two connections at a time.
#[test]
fn many_cancels_of_one_query_are_one() {
    let postgres = Postgres::start(Version::Debian);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, 2, "checkout_timeout = 20000");
    let (mut client, mut watch) = (house.client(), house.watch());
    let key = client.key.clone().expect("it was told its key");
    client.send(&raw::query("SELECT pg_sleep(600)"));
    watch.wait_for_sessions(1, "wait_event = 'PgSleep'");
    // The first is on its way for as long as the others need to come.
    shim.stall(true);
    for _ in 0..50 {
        super::house::cancel(&house.login("app"), &key);
    }
    shim.stall(false);
    assert_eq!(error(&client.read_until_ready())[&'C'], "57014");
    watch.wait_until_settled();
    let (sent, most) = shim.cancels();
    assert!((1..=2).contains(&sent) && most == 1, "{sent} connections for cancel requests, {most} at once");
    assert_eq!(one(&mut client, "SELECT 'next'"), "next");
}

/// Logins as fast as the machine makes them, right and wrong ones: those who are in notice no more of it than who asks PostgreSQL itself meanwhile,
/// on the same machine.
#[test]
fn a_storm_of_logins_disturbs_nobody() {
    const LOGINS: usize = 2000;
    let house =
        House::new(Version::Newest, SERVERS, "checkout_timeout = 20000\nlog_connections = false\nlog_disconnections = false\nlog_level = \"error\"");
    let login = house.login("app");
    let direct = house.postgres.login("app");
    house.warm_up();
    let wrong = super::support::Login { password: "wrong".into(), ..login.clone() };
    let start = usage(&house);
    let storm = || {
        let (begun, count) = (Instant::now(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (login, wrong, count) = (&login, &wrong, &count);
                scope.spawn(move || {
                    let mut i = thread;
                    while count.fetch_add(1, Ordering::Relaxed) < LOGINS {
                        i += 1;
                        match i % 4 {
                            0 => drop(Raw::connect(login.port)),
                            1 => assert_eq!(Raw::try_login(wrong, &[]).err().map(|refusal| refusal.sqlstate()), Some("28000".to_string())),
                            2 => Raw::login(login).reset(),
                            _ => drop(Raw::login(login)),
                        }
                    }
                });
            }
        });
        LOGINS as f64 / begun.elapsed().as_secs_f64()
    };
    let (mut at_postgres, (mut through, rate)) = steady_while(&direct, || steady_while(&login, storm));
    let (p99_direct, p99_through) = (percentile(&mut at_postgres, 99), percentile(&mut through, 99));
    println!("{rate:.0} logins a second; p99 of the others {p99_through:?}, at PostgreSQL itself {p99_direct:?}");
    assert!(p99_through < p99_direct * 20 + Duration::from_millis(200), "p99 was {p99_through:?}, at PostgreSQL itself {p99_direct:?}");
    wait_until("its descriptors are free again", SOON, || usage(&house).files <= start.files + SERVERS);
    assert!(usage(&house).memory < start.memory + (16 << 20), "memory: {start:?}, then {:?}", usage(&house));
}
