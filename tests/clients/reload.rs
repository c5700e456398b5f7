//! Reloads under load: of PostgreSQL's configuration (what clients are told, and what they get), and of pg_dog's own (nobody notices).

use super::house::{House, error, general_of, one, tags};
use super::support::raw::query;
use super::support::{Login, Raw, SOON, Version, config, pace, users, wait_until};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

crate::on_both!(a_reload_reaches_clients_old_and_new);

fn a_reload_reaches_clients_old_and_new(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000");
    let (mut before, mut chooser) = (house.client(), house.client());
    assert_eq!(chooser.query("SET TimeZone = 'Asia/Tokyo'").last().map(|message| message.tag), Some(b'Z'));
    let old = one(&mut before, "SHOW TimeZone");
    assert_ne!(old, "Pacific/Apia");
    let mut watch = house.watch();
    watch.direct.query("ALTER SYSTEM SET TimeZone = 'Pacific/Apia'");
    watch.direct.rows("SELECT pg_reload_conf()");
    wait_until("the reload", SOON, || one(&mut watch.direct, "SHOW TimeZone") == "Pacific/Apia");
    // It has its own, from before; the others have the new one, and are told so by the time they see it.
    assert_eq!(one(&mut chooser, "SHOW TimeZone"), "Asia/Tokyo");
    for _ in 0..3 {
        assert_eq!(one(&mut before, "SHOW TimeZone"), "Pacific/Apia");
        assert_eq!(one(&mut chooser, "SHOW TimeZone"), "Asia/Tokyo");
    }
    assert_eq!(before.parameter("TimeZone"), Some("Pacific/Apia"));
    let mut after = house.client();
    assert_eq!(one(&mut after, "SHOW TimeZone"), "Pacific/Apia");
    assert_eq!(tags(&after.query("SELECT 1")), "TDCZ");
    watch.wait_until_settled();
}

/// How long the load goes on while files change, and between two of those changes.
const LOAD: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(100);

/// The value below which so many of a thousand lie.
fn permille(sorted: &[Duration], permille: usize) -> Duration {
    sorted.get(sorted.len() * permille / 1000).copied().unwrap_or_default()
}

/// A client of a user who stays: what each of its transactions took, until `phase` says that it is over, by phase.
fn load(login: &Login, number: usize, phase: &AtomicU32) -> Vec<(u32, Duration)> {
    let mut client = Raw::login(login);
    let mut took = Vec::new();
    for i in 0.. {
        let now = phase.load(Ordering::Relaxed);
        if now > 1 {
            break;
        }
        let tag = format!("{number}-{i}");
        let from = Instant::now();
        // One statement, a transaction of several, and now and then another login.
        if i % 3 == 0 {
            client.rows("BEGIN; SELECT 1");
            assert_eq!(one(&mut client, &format!("SELECT '{tag}'")), tag);
            assert_eq!(tags(&client.query("COMMIT")), "CZ");
        } else {
            assert_eq!(one(&mut client, &format!("SELECT '{tag}'")), tag);
        }
        took.push((now, from.elapsed()));
        if i % 100 == 99 {
            client = Raw::login(login);
        }
        pace(Duration::from_millis(2));
    }
    took
}

/// Ten times a second, and now and then twice at once, users, passwords, sizes and databases come, change and go, with bad files in between. Clients
/// of a user who stays see no error; how long their transactions take is printed, with and without reloads.
#[test]
fn reloads_are_nobodys_business() {
    let house = House::new(Version::Newest, 4, "");
    let (login, phase) = (house.login("app"), AtomicU32::new(0));
    let mut console = Raw::login(&house.dog.admin_login());
    let (mut done, mut refused) = (0, 0);
    let mut took = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..8).map(|number| (number, &login, &phase)).map(|(number, login, phase)| scope.spawn(move || load(login, number, phase))).collect();
        pace(LOAD / 3);
        phase.store(1, Ordering::Relaxed);
        let until = Instant::now() + LOAD;
        for round in 0.. {
            if Instant::now() > until || workers.iter().any(|worker| worker.is_finished()) {
                break;
            }
            match round % 5 {
                4 => house.dog.write_config(["[general", "[general]\nport = {port}\nnonsense = 1\n"][round % 2]),
                _ => {
                    let (general, rest) = (format!("default_pool_size = {}\nmin_pool_size = {}", 2 + round % 4, round % 3), second(&house, round));
                    house.dog.write_config(&config(&house.postgres, &general, &rest));
                    house.dog.write_users(&changing_users(&house, round));
                }
            }
            if round % 7 == 0 {
                // Two at once are one, or two.
                assert!(
                    std::process::Command::new("kill").args(["-HUP", &house.dog.pid().to_string()]).status().is_ok_and(|status| status.success())
                );
            }
            let answer = console.query("RELOAD");
            match tags(&answer).as_str() {
                "CZ" => done += 1,
                _ => {
                    assert_eq!((error(&answer)[&'C'].as_str(), round % 5), ("F0000", 4), "{answer:?}");
                    refused += 1;
                }
            }
            pace(BETWEEN);
        }
        phase.store(2, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().expect("nobody noticed")).collect::<Vec<_>>()
    });
    took.sort();
    let of = |phase| -> Vec<Duration> { took.iter().filter(|(at, _)| *at == phase).map(|(_, took)| *took).collect() };
    for (phase, what) in [(0, "without reloads"), (1, "with reloads")] {
        let took = of(phase);
        println!(
            "{what}: {} transactions, p50 {:?}, p99 {:?}, p99.9 {:?}",
            took.len(),
            permille(&took, 500),
            permille(&took, 990),
            permille(&took, 999)
        );
    }
    println!("{done} reloads, {refused} refused");
    assert!(done > 20 && refused > 5 && of(1).len() > 1000, "{done} {refused} {}", of(1).len());
    house.dog.write_config(&config(&house.postgres, "default_pool_size = 4\nmin_pool_size = 0", ""));
    assert_eq!(tags(&console.query("RELOAD")), "CZ");
    house.watch().wait_until_settled();
}

/// A database that comes and goes.
fn second(house: &House, round: usize) -> String {
    let port = house.postgres.port;
    if round.is_multiple_of(2) {
        String::new()
    } else {
        format!("[[databases]]\nname = \"second\"\nhost = \"127.0.0.1\"\nport = {port}\ndatabase_name = \"app\"\n")
    }
}

/// `app` stays, with other settings each time; the others come, go, and change their passwords, for clients and at the server.
fn changing_users(house: &House, round: usize) -> String {
    let size = format!("pool_size = {}\n", 2 + round % 3);
    let mut text = users(&house.postgres, &[("app", &size)]);
    if !round.is_multiple_of(3) {
        text.push_str(&users(&house.postgres, &[("other", "server_password = \"other-secret\"\n")]).replacen(
            "other-secret",
            &format!("secret-{round}"),
            1,
        ));
    }
    if !round.is_multiple_of(4) {
        text.push_str(&users(&house.postgres, &[("md5user", "")]));
    }
    text
}

/// Who waits in a pool whose server a reload changes is served by the new one, also when the old one was held or paused.
#[test]
fn who_waits_follows_the_pool() {
    for (hold, release) in [("MAINTENANCE ON", "MAINTENANCE OFF"), ("PAUSE", "RESUME")] {
        let house = House::new(Version::Debian, 1, "checkout_timeout = 20000");
        house.warm_up();
        let (mut watch, mut operator) = (house.watch(), Raw::login(&house.dog.admin_login()));
        operator.query(hold);
        let mut client = house.client();
        client.send(&query("SELECT 'served'"));
        wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
        let text = config(&house.postgres, &general_of(1, "checkout_timeout = 20000"), "");
        house.dog.write_config(&text.replace("name = \"app\"\nhost = \"127.0.0.1\"", "name = \"app\"\nhost = \"localhost\""));
        operator.query("RELOAD");
        wait_until("another pool is there", SOON, || watch.show("POOLS").iter().any(|row| row["addr"] == "localhost"));
        operator.query(release);
        let said = client.read_until_ready();
        assert!(said.iter().any(|message| message.tag == b'D' && message.text() == "served"), "{hold}: {said:?}");
    }
}
