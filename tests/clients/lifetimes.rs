//! How long server connections live, how they are opened, and when one that was not heard of for long is asked whether it is still there.

use super::house::{House, error, one};
use super::support::raw::{self, Raw};
use super::support::{Postgres, SOON, Shim, Version, wait_until};
use std::collections::HashSet;
use std::time::{Duration, Instant};

crate::on_both!(idle_ones_go, old_ones_are_replaced, what_a_dead_client_leaves_is_kept_or_not);

/// A house with a relay in front of its PostgreSQL.
fn house(size: usize, general: &str) -> (House, Shim) {
    let postgres = Postgres::start(Version::Newest);
    let shim = Shim::before(postgres.port);
    (House::behind(postgres, shim.port, size, &format!("checkout_timeout = 20000\n{general}")), shim)
}

/// Has that many clients hold a server each at the same time.
fn fill(clients: &mut [Raw]) {
    clients.iter_mut().for_each(|client| drop(client.rows("BEGIN; SELECT 1")));
    clients.iter_mut().for_each(|client| drop(client.rows("COMMIT")));
}

fn idle_ones_go(version: Version) {
    let house = House::new(version, 5, "idle_timeout = 500");
    let mut watch = house.watch();
    let mut clients: Vec<Raw> = (0..5).map(|_| house.client()).collect();
    let filled = Instant::now();
    fill(&mut clients);
    assert_eq!(watch.sessions("true"), 5);
    // One that is used stays.
    wait_until("the idle ones have gone", SOON, || {
        assert_eq!(one(&mut clients[0], "SELECT 'here'"), "here");
        watch.sessions("true") == 1
    });
    assert!((Duration::from_millis(450)..Duration::from_secs(6)).contains(&filled.elapsed()), "they went after {:?}", filled.elapsed());
    watch.wait_until_settled();
    wait_until("the last has gone", SOON, || watch.sessions("true") == 0);
    fill(&mut clients);
    assert_eq!(watch.pools("sv_total"), 5);
}

/// Under load: nobody notices, and there are never more than the pool may have.
fn old_ones_are_replaced(version: Version) {
    let house = House::new(version, 3, "server_lifetime = 300\nserver_lifetime_jitter = 100\ncheckout_timeout = 20000");
    let (login, mut watch, begun) = (&house.login("app"), house.watch(), Instant::now());
    let lasts = Duration::from_secs(2);
    let (mut pids, mut most) = (HashSet::new(), 0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..9)
            .map(|number| {
                scope.spawn(move || {
                    let (mut client, mut i, mut pids) = (Raw::login(login), 0, HashSet::new());
                    while begun.elapsed() < lasts {
                        i += 1;
                        let tag = format!("{number}-{i}");
                        let rows = client.rows(&format!("SELECT '{tag}', pg_backend_pid(), pg_sleep(0.002)"));
                        assert_eq!(rows[0][0], tag);
                        pids.insert(rows[0][1].clone());
                    }
                    pids
                })
            })
            .collect();
        while begun.elapsed() < lasts {
            most = watch.sessions("true").max(most);
        }
        workers.into_iter().for_each(|worker| pids.extend(worker.join().expect("nobody notices")));
    });
    assert!(pids.len() >= 6, "servers of 0.3 s lasted for 2 s: {pids:?}");
    assert!(most <= 3, "{most} servers at once");
    watch.wait_until_settled();
}

/// `connection_recovery`: what a client leaves in the middle of its work is brought back, or closed.
fn what_a_dead_client_leaves_is_kept_or_not(version: Version) {
    for (recovery, transaction_kept, query_kept) in [("recover", true, true), ("rollback_only", true, false), ("drop", false, false)] {
        let house = House::new(version, 1, &format!("checkout_timeout = 20000\nrollback_timeout = 2000\nconnection_recovery = \"{recovery}\""));
        let mut watch = house.watch();
        for (leaves, kept) in [
            (raw::query("BEGIN; SELECT 1"), transaction_kept),
            (raw::query("BEGIN; SELECT repeat('x', 1000), generate_series(1, 30000)"), query_kept),
        ] {
            let mut client = house.client();
            let pid = one(&mut client, "SELECT pg_backend_pid()");
            client.send(&leaves);
            client.read();
            client.reset();
            let next = one(&mut house.client(), "SELECT pg_backend_pid()");
            assert_eq!(next == pid, kept, "{recovery}: after {}", leaves[5..].escape_ascii());
            watch.wait_until_settled();
        }
    }
}

/// The server is away for a moment: whoever needs it then waits for another try.
#[test]
fn a_connect_is_tried_again() {
    let (house, shim) = house(1, "connect_attempts = 20\nconnect_attempt_delay = 50");
    house.warm_up();
    let (mut client, mut watch) = (house.client(), house.watch());
    shim.refuse(true);
    shim.reset_all();
    wait_until("pg_dog has noticed", SOON, || watch.pools("sv_total") == 0);
    client.send(&raw::query("SELECT 'at last'"));
    wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
    client.stream().set_read_timeout(Some(Duration::from_millis(300))).expect("a TCP socket");
    assert!(client.try_read().is_err(), "it was answered although there is no server");
    client.set_deadline(SOON);
    shim.refuse(false);
    assert_eq!(client.read_until_ready()[1].text(), "at last");
    // When the tries are used up, it is told.
    shim.refuse(true);
    shim.reset_all();
    wait_until("pg_dog has noticed", SOON, || watch.pools("sv_total") == 0);
    let asked = Instant::now();
    client.send(&raw::query("SELECT 'never'"));
    assert!(error(&client.read_until_closed())[&'C'].starts_with("08"));
    assert!((Duration::from_millis(500)..Duration::from_secs(8)).contains(&asked.elapsed()), "it was told after {:?}", asked.elapsed());
}

/// A cold pool and many clients: PostgreSQL is asked for a few connections at a time, and all clients are served.
#[test]
fn connects_are_bounded() {
    const AT_ONCE: usize = 3;
    let (house, shim) = house(20, &format!("server_connects = {AT_ONCE}\nconnect_timeout = 20000"));
    house.warm_up();
    let mut clients: Vec<Raw> = (0..40).map(|_| house.client()).collect();
    let mut watch = house.watch();
    shim.reset_all();
    wait_until("pg_dog has noticed", SOON, || watch.pools("sv_total") == 0);
    let before = shim.connections();
    shim.stall(true);
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&raw::query(&format!("SELECT '{i}', pg_sleep(0.01)")));
    }
    wait_until("the first are being made", SOON, || shim.connections() - before == AT_ONCE);
    wait_until("everybody waits", SOON, || watch.pools("cl_waiting") == 40);
    assert_eq!(shim.connections() - before, AT_ONCE, "more connects at once than `server_connects`");
    shim.stall(false);
    for (i, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read_until_ready()[1].text(), i.to_string());
    }
    assert!(shim.connections() - before <= 20);
    watch.wait_until_settled();
}

/// A network has forgotten idle connections without a word: they are found out by a question of ours, and the request goes to a new one.
#[test]
fn silent_connections_are_asked_first() {
    // One place is free: those of the dead ones are not, as long as nobody knows whether PostgreSQL has noticed.
    let (house, shim) = house(3, "healthcheck_interval = 300\nhealthcheck_timeout = 400\nconnect_timeout = 3000");
    house.postgres.sql("CREATE TABLE kept (a int); GRANT ALL ON kept TO app");
    let mut clients: Vec<Raw> = (0..2).map(|_| house.client()).collect();
    fill(&mut clients);
    let (mut watch, old) = (house.watch(), shim.connections());
    // Longer than the interval without a word from them.
    watch.direct.rows("SELECT pg_sleep(0.5)");
    shim.forget_all();
    let asked = Instant::now();
    assert_eq!(one(&mut clients[0], "INSERT INTO kept VALUES (1) RETURNING 'stored'"), "stored");
    assert!(asked.elapsed() < Duration::from_secs(3), "it took {:?}", asked.elapsed());
    assert!(shim.connections() > old, "nothing was forgotten");
    assert_eq!(one(&mut clients[1], "SELECT count(*) FROM kept"), "1");
}
