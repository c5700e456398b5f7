//! The network between pg_dog and PostgreSQL, and PostgreSQL's own processes, fail in every way but a plain end: stalls, resets, a server that
//! carries out and does not answer, one that stands still, and another one that takes its place.

use super::house::{House, error, extended, one, tags};
use super::support::raw::{self, Raw};
use super::support::{Cut, Postgres, SOON, Shim, Version, poll, wait_until};
use std::time::{Duration, Instant};

crate::on_both!(
    a_stalled_network_recovers,
    a_stalled_network_is_left_by_clients,
    carried_out_and_not_answered,
    a_reset_between_requests_is_nobodys_business,
    a_postmaster_that_stands_still,
    a_backend_that_stands_still,
    another_server_takes_over
);

/// A house with a relay in front of its PostgreSQL.
fn house(version: Version, size: usize, general: &str) -> (House, Shim) {
    let postgres = Postgres::start(version);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, size, &format!("checkout_timeout = 20000\n{general}"));
    house.postgres.sql("CREATE TABLE kept (tag text); GRANT ALL ON kept TO app");
    (house, shim)
}

/// Nothing passes for a while, one way, the other, or both, in the middle of everything: afterwards all goes on where it was.
fn a_stalled_network_recovers(version: Version) {
    let (house, shim) = house(version, 3, "");
    let mut clients: Vec<Raw> = (0..6).map(|_| house.client()).collect();
    for (round, (up, down)) in [(true, false), (false, true), (true, true)].into_iter().enumerate() {
        clients[0].query("BEGIN; SELECT 1");
        clients[1].send(&raw::query("COPY kept FROM STDIN"));
        clients[1].read_until(b'G');
        shim.stall_ways(up, down);
        clients[0].send(&raw::query(&format!("INSERT INTO kept VALUES ('in {round}')")));
        clients[1].send(&[raw::copy_data(format!("copied {round}\n").as_bytes()), raw::copy_done()].concat());
        for (i, client) in clients.iter_mut().enumerate().skip(2) {
            client.send(&[extended("SELECT $1", &[Some(&format!("{round}-{i}"))]), raw::sync()].concat());
            client.stream().set_read_timeout(Some(Duration::from_millis(20))).expect("a TCP socket");
            assert!(client.try_read().is_err(), "it was answered through a stalled network");
            client.set_deadline(SOON);
        }
        // The admin and the queue do not depend on it.
        let mut watch = house.watch();
        assert_eq!(watch.pools("sv_total"), 3);
        assert!(watch.pools("cl_waiting") >= 3);
        shim.stall(false);
        assert_eq!(tags(&clients[0].read_until_ready()), "CZ");
        assert_eq!(tags(&clients[0].query("COMMIT")), "CZ");
        assert_eq!(tags(&clients[1].read_until_ready()), "CZ");
        for (i, client) in clients.iter_mut().enumerate().skip(2) {
            assert_eq!(client.read_until_ready()[3].text(), format!("{round}-{i}"));
        }
    }
    assert_eq!(house.postgres.sql("SELECT count(*), count(DISTINCT tag) FROM kept"), [["6", "6"]]);
    assert_eq!(shim.connections(), 3, "a connection was given up for a stall");
    house.watch().wait_until_settled();
}

/// Clients leave a server behind a stalled network: it is given up in `rollback_timeout`, and the pool is whole again when the network is.
fn a_stalled_network_is_left_by_clients(version: Version) {
    let (house, shim) = house(version, 3, "rollback_timeout = 300\nconnect_timeout = 400");
    let mut clients: Vec<Raw> = (0..3).map(|_| house.client()).collect();
    for client in &mut clients {
        client.rows("BEGIN; INSERT INTO kept VALUES ('rolled back')");
    }
    shim.stall(true);
    for client in &mut clients {
        client.send(&raw::query("SELECT 1"));
    }
    let left = Instant::now();
    for (i, client) in clients.into_iter().enumerate() {
        if i % 2 == 0 { client.reset() } else { drop(client) }
    }
    let mut watch = house.watch();
    wait_until("they are given up", SOON, || watch.pools("sv_active") + watch.pools("sv_idle_xact") == 0);
    let took = left.elapsed();
    assert!((Duration::from_millis(280)..Duration::from_secs(3)).contains(&took), "it took {took:?}");
    shim.stall(false);
    wait_until("clients are served", SOON, || Raw::try_login(&house.login("app"), &[]).is_ok_and(|mut client| client.query("SELECT 1").len() == 4));
    watch.wait_until_settled();
    assert_eq!(house.postgres.sql("SELECT count(*) FROM kept"), [["0"]]);
}

/// PostgreSQL carries something out, and the connection ends before its answer: the client hears that nobody knows, and nobody tries it again.
fn carried_out_and_not_answered(version: Version) {
    let (house, shim) = house(version, 2, "");
    let batch = |sql: &str| [extended(sql, &[]), raw::sync()].concat();
    let mut other = house.client();
    for (number, how) in [Cut::Reset, Cut::Finish].into_iter().enumerate() {
        let insert = |kind: &str| format!("INSERT INTO kept VALUES ('{kind} {number}')");
        for (begins, request, tag, code) in [
            (None, raw::query(&insert("simple")), "simple", "08006"),
            (None, batch(&insert("extended")), "extended", "08006"),
            (Some(insert("committed")), raw::query("COMMIT"), "committed", "08007"),
            (Some(insert("ended")), raw::query(" end;"), "ended", "08007"),
            (Some(insert("batched")), batch("commit"), "batched", "08007"),
        ] {
            let mut client = house.client();
            if let Some(insert) = begins {
                assert_eq!(tags(&client.query("BEGIN; SELECT 1")), "CTDCZ");
                assert_eq!(tags(&client.query(&insert)), "CZ");
            } else {
                assert_eq!(one(&mut client, "SELECT 1"), "1");
            }
            shim.cut_after(0, how);
            client.send(&request);
            let end = client.read_until_closed();
            let fields = error(&end);
            assert_eq!((tags(&end).as_str(), fields[&'S'].as_str(), fields[&'C'].as_str()), ("E", "FATAL", code), "{tag}, {how:?}");
            assert!(fields[&'H'].contains("may or may not"), "{fields:?}");
            assert!(shim.has_cut());
            let rows = || house.postgres.sql(&format!("SELECT count(*) FROM kept WHERE tag = '{tag} {number}'"));
            assert!(poll(SOON, || rows() == [["1"]]), "{tag}, {how:?}: {:?}", rows());
            assert_eq!(one(&mut other, "SELECT 'not disturbed'"), "not disturbed");
        }
        // What could not have happened is not called unknown: an open transaction ends with its connection.
        let mut client = house.client();
        client.query("BEGIN; SELECT 1");
        shim.cut_after(0, how);
        client.send(&raw::query(&insert("lost")));
        assert_eq!(error(&client.read_until_closed())[&'C'], "08006");
    }
    house.watch().wait_until_settled();
    assert_eq!(house.postgres.sql("SELECT count(*), count(DISTINCT tag) FROM kept"), [["10", "10"]], "something was carried out twice, or lost");
}

/// Idle servers are reset: nobody hears of it.
fn a_reset_between_requests_is_nobodys_business(version: Version) {
    let (house, shim) = house(version, 3, "");
    let (mut watch, mut clients) = (house.watch(), (0..3).map(|_| house.client()).collect::<Vec<Raw>>());
    for round in 0..5 {
        clients.iter_mut().for_each(|client| drop(client.query("BEGIN; SELECT 1")));
        clients.iter_mut().for_each(|client| drop(client.query("COMMIT")));
        assert_eq!(watch.pools("sv_total"), 3);
        shim.reset_all();
        wait_until("pg_dog has noticed", SOON, || watch.pools("sv_total") == 0);
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(one(client, &format!("SELECT '{round}-{i}'")), format!("{round}-{i}"));
        }
    }
    watch.wait_until_settled();
}

/// The postmaster takes no connections, and its children go on: who has a server or finds one is served, whose pool has none is told in
/// `connect_timeout`.
fn a_postmaster_that_stands_still(version: Version) {
    let mut house = House::new(version, 2, "connect_timeout = 400\ncheckout_timeout = 20000\nclient_connection_recovery = \"recover\"");
    let (mut holder, mut late, mut other) = (house.client(), house.client(), Raw::login(&house.login("other")));
    holder.rows("BEGIN; SELECT 1");
    let mut watch = house.watch();
    watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'other'");
    watch.wait_for_sessions(1, "true");
    house.postgres.signal("STOP");
    late.send(&raw::query("SELECT 'late'"));
    // As often as the pool has places: each that was tried is kept until PostgreSQL lets go, or has had its time to.
    for _ in 0..2 {
        let asked = Instant::now();
        other.send(&raw::query("SELECT 'none'"));
        while asked.elapsed() < Duration::from_millis(200) {
            assert_eq!(one(&mut holder, "SELECT 'served'"), "served");
        }
        let end = other.read_until_ready();
        let fields = error(&end);
        assert_eq!((tags(&end).as_str(), fields[&'C'].as_str()), ("EZ", "08001"), "{fields:?}");
        assert!(asked.elapsed() < Duration::from_secs(3), "it was told after {:?}", asked.elapsed());
    }
    // The one that there is serves both clients of its pool.
    holder.rows("COMMIT");
    assert_eq!(late.read_until_ready()[1].text(), "late");
    house.postgres.signal("CONT");
    holder.rows("BEGIN; SELECT 1");
    assert_eq!(one(&mut late, "SELECT 'second'"), "second");
    holder.rows("COMMIT");
    wait_until("the other pool is well", SOON, || other.query("SELECT 'well'").len() == 4);
    watch.wait_until_settled();
}

/// One of PostgreSQL's processes stands still: its client waits or leaves, the others are served, and the pool gets its place back.
fn a_backend_that_stands_still(version: Version) {
    let house = House::new(version, 2, "rollback_timeout = 300\ncheckout_timeout = 20000");
    let (mut stuck, mut other) = (house.client(), house.client());
    let mut watch = house.watch();
    stuck.rows("BEGIN; SELECT 1");
    let pid = one(&mut stuck, "SELECT pg_backend_pid()");
    signal(&pid, "STOP");
    stuck.send(&raw::query("SELECT 'never'"));
    for i in 0..50 {
        assert_eq!(one(&mut other, &format!("SELECT {i}")), i.to_string());
    }
    let left = Instant::now();
    stuck.reset();
    wait_until("it is given up", SOON, || watch.pools("sv_active") + watch.pools("sv_idle_xact") == 0);
    assert!(left.elapsed() < Duration::from_secs(3), "it took {:?}", left.elapsed());
    assert_eq!(one(&mut other, "SELECT 'later'"), "later");
    signal(&pid, "CONT");
    watch.wait_until_settled();
}

/// SIGSTOP and the like to one of PostgreSQL's processes.
fn signal(pid: &str, name: &str) {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// A failover as clients see it: the old server ends, at the same address another one stands with the same data.
fn another_server_takes_over(version: Version) {
    let (mut house, shim) = house(version, 3, "connect_timeout = 2000");
    let next = Postgres::start(version);
    next.sql("CREATE TABLE kept (tag text); GRANT ALL ON kept TO app; INSERT INTO kept VALUES ('of the next')");
    let (mut open, mut busy) = (house.client(), house.client());
    let mut idle: Vec<Raw> = (0..10).map(|_| house.client()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(one(client, "SELECT count(*) FROM kept"), "0"));
    open.rows("BEGIN; INSERT INTO kept VALUES ('lost')");
    busy.send(&raw::query("SELECT pg_sleep(600)"));
    house.watch().wait_for_sessions(1, "wait_event = 'PgSleep'");
    house.postgres.stop();
    shim.aim(next.port);
    for client in [&mut open, &mut busy] {
        let end = client.read_until_closed();
        let code = error(&end)[&'C'].clone();
        assert!(["57P01", "57P02", "08006"].contains(&code.as_str()), "{end:?}");
    }
    // Whoever was idle asks as if nothing had been.
    for client in &mut idle {
        assert_eq!(client.rows("SELECT tag FROM kept"), [["of the next"]]);
    }
    assert_eq!(one(&mut house.client(), "SELECT count(*) FROM kept"), "1");
    let counted = next.sql("SELECT count(*) BETWEEN 1 AND 3 FROM pg_stat_activity WHERE usename = 'app'");
    assert_eq!(counted, [["t"]]);
}
