//! Cancel requests: they end the query they are for, from any core, also while it waits for a server, and never anybody else's.

use super::house::{House, cancel, error, extended, one, tags};
use super::support::{Raw, SOON, Version, raw, wait_until};
use std::sync::atomic::{AtomicUsize, Ordering};

crate::on_both!(
    every_client_cancels_its_own,
    the_next_query_is_not_hit,
    a_waiting_client_is_cancelled,
    nobody_else_is_hit,
    a_request_that_is_stuck_hits_nobody
);

/// Connections are spread over the cores by the kernel, so that among twelve requests some come in on another core than their client's.
fn every_client_cancels_its_own(version: Version) {
    let house = House::new(version, 12, "");
    let (login, mut watch) = (house.login("app"), house.watch());
    let mut clients: Vec<Raw> = (0..12).map(|_| house.client()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(&raw::query("SELECT pg_sleep(600)"));
        }
        watch.wait_for_sessions(12, "state = 'active' AND query LIKE '%pg_sleep%'");
        for (i, client) in clients.iter_mut().enumerate() {
            cancel(&login, client.key.as_ref().expect("it was told its key"));
            let end = client.read_until_ready();
            assert_eq!(error(&end)[&'C'], "57014", "round {round}");
            watch.wait_for_sessions(11 - i as u64, "state = 'active'");
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(one(client, &format!("SELECT 'client {i}'")), format!("client {i}"));
        }
    }
    watch.wait_until_settled();
}

/// Whoever waits for the end of the cancel request's connection, as libpq does, and for the end of the query, can ask the next thing: the request is
/// over. On a server that stays with its client (session mode, a transaction) nothing but that protects the next query.
fn the_next_query_is_not_hit(version: Version) {
    let house = House::new(version, 8, "pooler_mode = \"session\"");
    let login = &house.login("app");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut client = house.client();
            let key = client.key.clone().expect("it was told its key");
            scope.spawn(move || {
                for i in 0..60 {
                    // Some end by themselves, sooner or later. The long one fills PostgreSQL's buffer first, so that it is seen to run.
                    let sleeps = [600.0, 0.002, 0.0][i % 3];
                    client.send(&raw::query(&format!(
                        "SELECT repeat('x', 20000) FROM generate_series(1, 2) UNION ALL SELECT pg_sleep({sleeps})::text"
                    )));
                    if i % 3 == 0 {
                        client.read_until(b'D');
                    }
                    cancel(login, &key);
                    client.read_until_ready();
                    for j in 0..3 {
                        let tag = format!("{number}-{i}-{j}");
                        assert_eq!(client.rows(&format!("SELECT '{tag}', pg_sleep(0.001)")), [[tag.as_str(), ""]]);
                    }
                }
            });
        }
    });
    house.watch().wait_until_settled();
}

fn a_waiting_client_is_cancelled(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 60000");
    let (login, mut watch) = (house.login("app"), house.watch());
    let (mut holder, mut waiter) = (house.client(), house.client());
    holder.rows("BEGIN; SELECT 1");
    let key = waiter.key.clone().expect("it was told its key");
    let batch = [extended("SELECT 1", &[]), extended("SELECT 2", &[]), raw::sync()].concat();
    for (request, answer) in [(raw::query("SELECT 1"), "EZ"), (batch, "EZ")] {
        waiter.send(&request);
        wait_until("the client waits", SOON, || watch.pools("cl_waiting") == 1);
        cancel(&login, &key);
        let end = waiter.read_until_ready();
        assert_eq!((tags(&end).as_str(), error(&end)[&'C'].as_str(), waiter.status), (answer, "57014", b'I'));
        wait_until("the queue is empty", SOON, || watch.pools("cl_waiting") == 0);
    }
    assert_eq!(one(&mut holder, "SELECT 'undisturbed'"), "undisturbed");
    holder.rows("COMMIT");
    assert_eq!(one(&mut waiter, "SELECT 'served'"), "served");
    watch.wait_until_settled();
}

#[test]
fn a_wrong_secret_is_ignored() {
    let house = House::new(Version::Debian, 2, "");
    let (login, mut watch) = (house.login("app"), house.watch());
    watch.direct.rows("SELECT pg_advisory_lock(7)");
    let mut client = house.client();
    let (pid, secret) = client.key.clone().expect("it was told its key");
    client.send(&raw::query("SELECT 'whole' FROM pg_advisory_xact_lock(7)"));
    watch.wait_for_sessions(1, "wait_event_type = 'Lock'");
    let flipped: Vec<u8> = secret.iter().map(|byte| !byte).collect();
    let other = house.client().key.expect("it was told its key");
    let long = [secret.as_slice(), &[0; 4]].concat();
    for key in [(pid, flipped), (pid, long), (pid ^ 1, secret.clone()), (u32::MAX, secret.clone()), (0, secret.clone()), (1 << 30, secret), other] {
        cancel(&login, &key);
    }
    assert_eq!(watch.sessions("wait_event_type = 'Lock'"), 1, "a query was cancelled with a wrong key");
    watch.direct.rows("SELECT pg_advisory_unlock(7)");
    let answer = client.read_until_ready();
    assert_eq!((tags(&answer).as_str(), answer[1].text().as_str()), ("TDCZ", "whole"));
    // Nothing runs: nothing to cancel, now or later.
    cancel(&login, client.key.as_ref().expect("it was told its key"));
    for i in 0..20 {
        assert_eq!(one(&mut client, &format!("SELECT {i}")), i.to_string());
    }
}

#[test]
fn keys_cannot_be_guessed() {
    let house = House::new(Version::Newest, 1, "");
    let mut secrets: Vec<Vec<u8>> = (0..100).map(|_| house.client().key.expect("it was told its key").1).collect();
    secrets.sort();
    secrets.dedup();
    assert_eq!(secrets.len(), 100, "secrets repeat");
    // Of 100 random words of 32 bits each bit is set in some and clear in others.
    for bit in 0..32 {
        let set = secrets.iter().filter(|secret| secret[bit / 8] >> (bit % 8) & 1 == 1).count();
        assert!((15..=85).contains(&set), "bit {bit} is set in {set} of 100 secrets");
    }
}

/// Thirty clients on four servers, half of them cancelled again and again at no particular moment.
fn nobody_else_is_hit(version: Version) {
    let house = House::new(version, 4, "checkout_timeout = 20000");
    let login = &house.login("app");
    let (hits, busy) = (&AtomicUsize::new(0), &AtomicUsize::new(15));
    std::thread::scope(|scope| {
        for number in 0..15 {
            let (mut calm, mut cancelled) = (house.client(), house.client());
            scope.spawn(move || {
                for i in 0..80 {
                    let tag = format!("calm {number}-{i}");
                    assert_eq!(calm.rows(&format!("SELECT '{tag}', pg_sleep(0.002)")), [[tag.as_str(), ""]]);
                }
                busy.fetch_sub(1, Ordering::Relaxed);
            });
            let key = cancelled.key.clone().expect("it was told its key");
            scope.spawn(move || {
                while busy.load(Ordering::Relaxed) > 0 {
                    cancel(login, &key);
                }
            });
            scope.spawn(move || {
                let mut i = 0;
                while busy.load(Ordering::Relaxed) > 0 {
                    i += 1;
                    let tag = format!("cancelled {number}-{i}");
                    let answer = cancelled.query(&format!("SELECT '{tag}', pg_sleep(0.004)"));
                    match tags(&answer).as_str() {
                        "TDCZ" => assert_eq!(answer[1].text(), tag),
                        _ => {
                            assert_eq!(error(&answer)[&'C'], "57014");
                            hits.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(hits.load(Ordering::Relaxed) > 0, "no cancel request did anything");
    house.watch().wait_until_settled();
}

/// The cancel connection gets no answer within `connect_timeout`. The signal may still come at any time, so that nobody else gets that server.
fn a_request_that_is_stuck_hits_nobody(version: Version) {
    let mut house = House::new(version, 1, "connect_timeout = 300\ncheckout_timeout = 20000\nclient_connection_recovery = \"recover\"");
    let login = house.login("app");
    let (mut client, mut other) = (house.client(), house.client());
    let before = one(&mut client, "SELECT pg_backend_pid()");
    let mut watch = house.watch();
    client.send(&raw::query("SELECT pg_sleep(2)"));
    watch.wait_for_sessions(1, "state = 'active' AND query LIKE '%pg_sleep%'");
    // The postmaster, which would take the cancel connection, stands still; its children go on.
    house.postgres.signal("STOP");
    cancel(&login, client.key.as_ref().expect("it was told its key"));
    let end = client.read_until_ready();
    house.postgres.signal("CONT");
    assert!(end.iter().all(|message| message.tag != b'E'), "nobody could cancel it: {end:?}");
    wait_until("another server answers", SOON, || {
        other.send(&raw::query("SELECT pg_backend_pid()"));
        let rows = other.read_until_ready();
        rows.iter().any(|message| message.tag == b'D' && message.text() != before)
    });
    watch.wait_until_settled();
}
