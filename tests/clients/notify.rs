//! LISTEN and NOTIFY while clients share servers (`pub_sub_channel_size`): what PostgreSQL delivers comes, once and in order, and nothing else does;
//! what may be missing is said.

use super::house::{House, error, general_of, one, table, tags};
use super::support::place::Port;
use super::support::raw::{self, Message, Raw, parse};
use super::support::{Cut, Dog, Login, Postgres, SOON, Shim, Version, config, node, poll, python, users, wait_until};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

crate::on_both!(
    listeners_hear_everything_once_and_in_order,
    a_notification_comes_with_commit_and_never_otherwise,
    databases_stay_apart,
    a_lost_connection_is_told,
    who_unlistens_or_goes_hears_nothing,
);

const SIZE: &str = "pub_sub_channel_size = 4096";

/// A notification: its sender's process, its channel, its payload.
type Heard = (u32, String, String);

fn heard(message: &Message) -> Heard {
    assert_eq!(message.tag, b'A', "{message:?} is not a notification");
    let mut parts = message.body[4..].split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let pid = u32::from_be_bytes([message.body[0], message.body[1], message.body[2], message.body[3]]);
    (pid, parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The next `count` messages, all notifications; channel and payload of each.
fn next(client: &mut Raw, count: usize) -> Vec<(String, String)> {
    (0..count).map(|_| heard(&client.read())).map(|(_, channel, payload)| (channel, payload)).collect()
}

fn pair(channel: &str, payload: &str) -> (String, String) {
    (channel.to_string(), payload.to_string())
}

/// A client of the user `app` that listens.
fn listener(house: &House, channels: &[&str]) -> Raw {
    let mut client = house.client();
    for channel in channels {
        let answer = client.query(&format!("LISTEN {channel}"));
        assert_eq!((tags(&answer), answer[0].text()), ("CZ".to_string(), "LISTEN".to_string()), "{answer:?}");
    }
    client
}

/// Nothing that was sent before this has not come: whatever comes before a notification of our own is the answer.
fn rest(client: &mut Raw, notifier: &mut Raw, channel: &str) -> Vec<(String, String)> {
    notifier.query(&format!("NOTIFY {channel}, 'the end'"));
    let mut all = Vec::new();
    loop {
        let (_, from, payload) = heard(&client.read());
        if payload == "the end" {
            return all;
        }
        all.push((from, payload));
    }
}

/// Rows of SHOW LISTENERS: channel, listeners, received, dropped.
fn listeners(admin: &mut Raw) -> Vec<(String, u64, u64, u64)> {
    let number = |row: &HashMap<String, String>, name: &str| row[name].parse::<u64>().expect("a number");
    let rows = table(&admin.query("SHOW LISTENERS"));
    rows.iter().map(|row| (row["channel"].clone(), number(row, "listeners"), number(row, "received"), number(row, "dropped"))).collect()
}

/// Connections that listen, as PostgreSQL sees them.
const LISTENING: &str = "application_name = 'pg_dog listener'";

fn listeners_hear_everything_once_and_in_order(version: Version) {
    let house = House::new(version, 2, SIZE);
    // On two cores: the kernel and `spread` see to it.
    let mut clients: Vec<Raw> = (0..5).map(|_| listener(&house, &["news", "\"Quoted \"\"name\"\"\""])).collect();
    let mut watch = house.watch();
    assert_eq!(watch.sessions(LISTENING), 1);
    std::thread::scope(|scope| {
        for number in 0..5 {
            let house = &house;
            scope.spawn(move || {
                let mut notifier = house.client();
                for i in 0..10 {
                    notifier.query(&format!("NOTIFY news, '{number} {i}'"));
                }
            });
        }
    });
    for client in &mut clients {
        let all = next(client, 50);
        for number in 0..5 {
            let of: Vec<String> =
                all.iter().map(|(_, payload)| payload.clone()).filter(|payload| payload.starts_with(&format!("{number} "))).collect();
            assert_eq!(of, (0..10).map(|i| format!("{number} {i}")).collect::<Vec<_>>());
        }
    }
    let mut direct = Raw::login(&house.postgres.login("app"));
    let pid: u32 = one(&mut direct, "SELECT pg_backend_pid()").parse().unwrap();
    direct.rows("SELECT pg_notify('Quoted \"name\"', 'x')");
    for client in &mut clients {
        assert_eq!(heard(&client.read()), (pid, "Quoted \"name\"".to_string(), "x".to_string()));
    }
    // Nothing came twice.
    direct.query("NOTIFY news, 'last'");
    for client in &mut clients {
        assert_eq!(next(client, 1), [pair("news", "last")]);
    }
    // Its own as well, also where it does something else meanwhile.
    let mut alone = listener(&house, &["own"]);
    assert_eq!(tags(&alone.query("NOTIFY own, 'mine'")).replace('A', ""), "CZ");
    let rows = listeners(&mut watch.admin);
    assert_eq!(rows.iter().map(|row| (row.0.as_str(), row.1, row.3)).collect::<Vec<_>>(), [("Quoted \"name\"", 5, 0), ("news", 5, 0), ("own", 1, 0)]);
    assert_eq!((rows[0].2, rows[1].2), (1, 51));
    // Nobody of them keeps a server.
    wait_until("all servers rest", SOON, || watch.pools("sv_active") == 0);
    assert_eq!(watch.sessions(LISTENING), 1);
}

fn a_notification_comes_with_commit_and_never_otherwise(version: Version) {
    let house = House::new(version, 2, SIZE);
    house.postgres.sql("CREATE TABLE one (id int PRIMARY KEY)");
    house.postgres.sql("GRANT ALL ON one TO app");
    let (mut client, mut other) = (listener(&house, &["c"]), house.client());
    for end in ["ROLLBACK", "COMMIT"] {
        other.rows("BEGIN");
        other.query(&format!("NOTIFY c, '{end}'"));
        other.rows(end);
    }
    other.rows("BEGIN");
    other.query("NOTIFY c, 'failed'");
    assert_eq!(error(&other.query("SELECT 1/0"))[&'C'], "22012");
    assert_eq!(other.query("COMMIT")[0].text(), "ROLLBACK");
    other.rows("INSERT INTO one VALUES (1)");
    assert_eq!(error(&other.query("NOTIFY c, 'same text'; INSERT INTO one VALUES (1)"))[&'C'], "23505");
    other.rows("BEGIN; NOTIFY c, 'kept'; SAVEPOINT s; NOTIFY c, 'taken back'; ROLLBACK TO s; COMMIT");
    assert_eq!(rest(&mut client, &mut other, "c"), [pair("c", "COMMIT"), pair("c", "kept")]);
    // The listener itself in a transaction hears nothing until it is over, as with PostgreSQL.
    client.rows("BEGIN");
    assert_eq!(one(&mut client, "SELECT 1"), "1");
    other.query("NOTIFY c, 'meanwhile'");
    let mut watch = house.watch();
    wait_until("the notification has come", SOON, || listeners(&mut watch.admin)[0].2 == 4);
    assert_eq!(tags(&client.query("SELECT 2")), "TDCZ");
    client.send(&raw::query("COMMIT"));
    let mut after = client.read_until(b'A');
    if client.status != b'I' {
        after.extend(client.read_until_ready());
    }
    let notifications: Vec<Heard> = after.iter().filter(|message| message.tag == b'A').map(heard).collect();
    assert_eq!(notifications.len(), 1, "{after:?}");
    assert_eq!(notifications[0].2, "meanwhile");
}

/// The same channel in two databases of one server, and for two users of one database.
fn databases_stay_apart(version: Version) {
    let postgres = Postgres::start(version);
    postgres.sql("CREATE DATABASE second OWNER app");
    let more = format!("[[databases]]\nname = \"second\"\nhost = \"127.0.0.1\"\nport = {}\n", postgres.port);
    let both = users(&postgres, &[("app", ""), ("other", "")]);
    let second = both.replace("database = \"app\"", "database = \"second\"");
    let dog = Dog::start(&config(&postgres, &general_of(2, SIZE), &more), &format!("{both}{second}"));
    let login = |user: &str, database: &str| Login { database: database.into(), ..dog.instead_of(&postgres.login(user)) };
    let mut clients: Vec<Raw> = [("app", "app"), ("app", "second"), ("other", "app")].iter().map(|(u, d)| Raw::login(&login(u, d))).collect();
    for client in &mut clients {
        assert_eq!(tags(&client.query("LISTEN c")), "CZ");
    }
    let mut senders: Vec<Raw> =
        ["app", "second"].iter().map(|database| Raw::login(&Login { database: (*database).into(), ..postgres.login("app") })).collect();
    senders[0].query("NOTIFY c, 'for app'");
    senders[1].query("NOTIFY c, 'for second'");
    let [first, second, third] = &mut clients[..] else { unreachable!("three") };
    assert_eq!(
        (next(first, 1), next(second, 1), next(third, 1)),
        (vec![pair("c", "for app")], vec![pair("c", "for second")], vec![pair("c", "for app")])
    );
    assert_eq!(rest(first, &mut senders[0], "c"), []);
    assert_eq!(rest(second, &mut senders[1], "c"), []);
    // It has heard the end that was sent for the first.
    assert_eq!(next(third, 1), [pair("c", "the end")]);
    assert_eq!(rest(third, &mut senders[0], "c"), []);
    let mut admin = Raw::login(&dog.admin_login());
    let rows = table(&admin.query("SHOW LISTENERS"));
    let of = |row: &HashMap<String, String>| (row["database"].clone(), row["user"].clone(), row["listeners"].clone());
    let pairs: Vec<_> = rows.iter().map(of).collect();
    let expected =
        [("app", "app", "1"), ("app", "other", "1"), ("second", "app", "1")].map(|(d, u, n)| (d.to_string(), u.to_string(), n.to_string()));
    assert_eq!(pairs, expected);
}

/// The gap's notice among the next messages.
fn gap(client: &mut Raw) -> HashMap<char, String> {
    let notice = client.read();
    assert_eq!(notice.tag, b'N', "{notice:?}");
    notice.fields()
}

fn a_lost_connection_is_told(version: Version) {
    let mut house = House::new(version, 2, SIZE);
    let mut clients = [listener(&house, &["a", "b"]), listener(&house, &["b"])];
    house.postgres.restart("INT");
    for (client, names) in clients.iter_mut().zip(["channels \"a\", \"b\"", "channel \"b\""]) {
        let fields = gap(client);
        assert_eq!((fields[&'S'].as_str(), fields[&'C'].as_str()), ("WARNING", "01000"));
        assert!(fields[&'M'].starts_with(&format!("notifications on {names} that were sent between 20")), "{fields:?}");
        assert!(fields[&'M'].ends_with(" UTC may be missing"), "{fields:?}");
    }
    let mut direct = Raw::login(&house.postgres.login("app"));
    direct.query("NOTIFY b, 'again'");
    for client in &mut clients {
        assert_eq!(next(client, 1), [pair("b", "again")]);
    }
    // By the operator's wish.
    let mut watch = house.watch();
    let before = one(&mut watch.direct, &format!("SELECT pid FROM pg_stat_activity WHERE {LISTENING}"));
    assert_eq!(tags(&watch.admin.query("RECONNECT")), "CZ");
    for client in &mut clients {
        assert!(gap(client)[&'M'].contains("may be missing"));
    }
    assert_ne!(one(&mut watch.direct, &format!("SELECT pid FROM pg_stat_activity WHERE {LISTENING}")), before);
    // Thrown out by somebody.
    watch.direct.rows(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENING}"));
    for client in &mut clients {
        assert!(gap(client)[&'M'].contains("may be missing"));
    }
    direct.query("NOTIFY b, 'and again'");
    for client in &mut clients {
        assert_eq!(next(client, 1), [pair("b", "and again")]);
    }
}

fn who_unlistens_or_goes_hears_nothing(version: Version) {
    let house = House::new(version, 2, SIZE);
    let mut direct = Raw::login(&house.postgres.login("app"));
    let mut watch = house.watch();
    let (mut first, mut second) = (listener(&house, &["a", "b", "c"]), listener(&house, &["b"]));
    assert_eq!(first.query("UNLISTEN b")[0].text(), "UNLISTEN");
    assert_eq!(first.query("UNLISTEN nothing")[0].text(), "UNLISTEN");
    direct.query("NOTIFY b, 'x'");
    assert_eq!(next(&mut second, 1), [pair("b", "x")]);
    assert_eq!(rest(&mut first, &mut direct, "a"), []);
    // The last who listened to it.
    drop(second);
    wait_until("the client has gone", SOON, || listeners(&mut watch.admin).iter().map(|row| row.0.as_str()).collect::<Vec<_>>() == ["a", "c"]);
    assert_eq!(first.query("UNLISTEN *")[0].text(), "UNLISTEN");
    watch.wait_for_sessions(0, LISTENING);
    assert_eq!(listeners(&mut watch.admin), []);
    // And again from the start.
    assert_eq!(first.query("LISTEN a")[0].text(), "LISTEN");
    direct.query("NOTIFY b, 'nobody'");
    direct.query("NOTIFY a, 'y'");
    assert_eq!(next(&mut first, 1), [pair("a", "y")]);
    // Which says UNLISTEN * besides.
    assert_eq!(tags(&first.query("DISCARD ALL")), "CZ");
    watch.wait_for_sessions(0, LISTENING);
}

/// A message is what it was, however the client's requests fall: none comes in the middle of a reply.
#[test]
fn notifications_come_between_messages() {
    let house = House::new(Version::Newest, 2, SIZE);
    let mut client = listener(&house, &["c"]);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (house, over) = (&house, &over);
        let sender = scope.spawn(move || {
            let mut notifier = Raw::login(&house.postgres.login("app"));
            let mut sent = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                notifier.query(&format!("NOTIFY c, '{sent}'"));
                sent += 1;
            }
            sent
        });
        let mut came = Vec::new();
        for round in 0..200 {
            let answer = client.query(&format!("SELECT repeat('x', {}), g FROM generate_series(1, 20) g", round * 100));
            came.extend(answer.iter().filter(|message| message.tag == b'A').map(|message| heard(message).2));
            let rows: Vec<&Message> = answer.iter().filter(|message| message.tag == b'D').collect();
            assert!(rows.len() == 20 && rows.iter().all(|row| row.text().len() == round * 100));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let sent: usize = sender.join().expect("it notifies");
        while came.len() < sent {
            came.push(heard(&client.read()).2);
        }
        assert_eq!(came, (0..sent).map(|number| number.to_string()).collect::<Vec<_>>());
    });
}

/// It reads nothing: the others hear everything, pg_dog stays as small as it is, and what was dropped is counted and said.
#[test]
fn a_slow_client_loses_and_is_told() {
    let house = House::new(Version::Newest, 2, "pub_sub_channel_size = 100");
    let (mut slow, mut other) = (listener(&house, &["c"]), listener(&house, &["c"]));
    let mut direct = Raw::login(&house.postgres.login("app"));
    let mut watch = house.watch();
    let before = house.peak_memory();
    let payload = "x".repeat(7000);
    let mut sent = 0;
    wait_until("something is dropped", SOON, || {
        for _ in 0..50 {
            direct.rows(&format!("SELECT pg_notify('c', '{sent} {payload}')"));
            assert!(heard(&other.read()).2.starts_with(&format!("{sent} ")));
            sent += 1;
        }
        listeners(&mut watch.admin)[0].3 > 100
    });
    let (_, _, received, dropped) = listeners(&mut watch.admin).remove(0);
    assert_eq!(received, sent);
    assert!(house.peak_memory() - before < 64 << 20, "{} bytes more", house.peak_memory() - before);
    // It gets what was kept, in order, then the news of what was not, then what is new.
    let mut last = None;
    let mut count = 0;
    let notice = loop {
        let message = slow.read();
        if message.tag == b'N' {
            break message.fields();
        }
        let number: u64 = heard(&message).2.split(' ').next().expect("a number").parse().expect("a number");
        assert!(last.is_none_or(|last| number > last));
        (last, count) = (Some(number), count + 1);
    };
    assert_eq!(notice[&'C'], "01000");
    let said: u64 = notice[&'M'].split(' ').next().expect("a number").parse().expect("a number");
    assert_eq!((said, count + said), (dropped, sent));
    assert_eq!(notice[&'M'], format!("{said} notifications on channel \"c\" were dropped"));
    assert_eq!(rest(&mut slow, &mut direct, "c"), []);
}

/// A thousand channels, and a restart in between.
#[test]
fn a_thousand_channels() {
    let mut house = House::new(Version::Newest, 2, SIZE);
    let mut clients: Vec<Raw> = (0..4).map(|_| house.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        // All at once: each is answered in its turn.
        let mut words = Vec::new();
        (0..250).for_each(|i| words.extend(raw::query(&format!("LISTEN channel_{}", number * 250 + i))));
        client.send(&words);
    }
    for client in &mut clients {
        for _ in 0..250 {
            assert_eq!(tags(&client.read_until_ready()), "CZ");
        }
    }
    let mut watch = house.watch();
    assert_eq!(listeners(&mut watch.admin).len(), 1000);
    let mut direct = Raw::login(&house.postgres.login("app"));
    for round in 0..2 {
        direct.rows("SELECT pg_notify('channel_' || i, i::text) FROM generate_series(0, 999) i");
        for (number, client) in clients.iter_mut().enumerate() {
            let mut all: Vec<usize> = next(client, 250).iter().map(|(_, payload)| payload.parse().expect("a number")).collect();
            all.sort();
            assert_eq!(all, (number * 250..number * 250 + 250).collect::<Vec<_>>());
        }
        if round == 0 {
            house.postgres.restart("QUIT");
            for client in &mut clients {
                assert!(gap(client)[&'M'].contains("and 240 more that were sent between"));
            }
            direct = Raw::login(&house.postgres.login("app"));
        }
    }
    assert!(listeners(&mut house.watch().admin).iter().all(|row| (row.1, row.2, row.3) == (1, 2, 0)));
}

/// Session mode, and transaction mode without the setting: the server listens itself.
#[test]
fn a_session_listens_itself() {
    let house = House::new(Version::Newest, 2, "pooler_mode = \"session\"\npub_sub_channel_size = 10");
    let mut client = listener(&house, &["c"]);
    let mut direct = Raw::login(&house.postgres.login("app"));
    direct.query("NOTIFY c, 'x'");
    assert_eq!(next(&mut client, 1), [pair("c", "x")]);
    let mut watch = house.watch();
    assert_eq!((listeners(&mut watch.admin).len(), watch.sessions(LISTENING)), (0, 0));
    assert_eq!(client.query("UNLISTEN c")[0].text(), "UNLISTEN");
    direct.query("NOTIFY c, 'y'");
    assert_eq!(tags(&client.query("SELECT 1")), "TDCZ");
}

/// A server that is away: the client is told why, lives, and may try again.
#[test]
fn a_server_that_is_away_is_told() {
    let mut house = House::new(Version::Newest, 2, SIZE);
    let mut client = house.client();
    assert_eq!(one(&mut client, "SELECT 1"), "1");
    house.postgres.stop();
    let fields = error(&client.query("LISTEN c"));
    assert_eq!(fields[&'C'], "08001");
    assert!(fields[&'M'].starts_with("cannot listen: could not connect to the server: "), "{fields:?}");
    house.postgres.restart("QUIT");
    assert_eq!(client.query("LISTEN c")[0].text(), "LISTEN");
    let mut direct = Raw::login(&house.postgres.login("app"));
    assert_eq!(rest(&mut client, &mut direct, "c"), []);
}

/// A reload leads the pool to another server: what was listened to is listened to there.
#[test]
fn a_reload_moves_what_is_listened_to() {
    let house = House::new(Version::Newest, 2, SIZE);
    let second = Postgres::start(Version::Newest);
    let mut client = listener(&house, &["c"]);
    house.dog.write_config(&config(&second, &general_of(2, SIZE), ""));
    let mut watch = house.watch();
    assert_eq!(tags(&watch.admin.query("RELOAD")), "CZ");
    assert!(gap(&mut client)[&'M'].contains("channel \"c\""));
    watch.wait_for_sessions(0, LISTENING);
    let mut direct = Raw::login(&house.postgres.login("app"));
    direct.query("NOTIFY c, 'the old one'");
    let mut direct = Raw::login(&second.login("app"));
    direct.query("NOTIFY c, 'the new one'");
    assert_eq!(next(&mut client, 1), [pair("c", "the new one")]);
    assert_eq!(client.query("UNLISTEN c")[0].text(), "UNLISTEN");
    let mut there = Raw::login(&second.login("postgres"));
    wait_until("it is closed", SOON, || one(&mut there, &format!("SELECT count(*) FROM pg_stat_activity WHERE {LISTENING}")) == "0");
}

/// What a client reads is in its own encoding.
#[test]
fn payloads_are_in_the_clients_encoding() {
    let house = House::new(Version::Newest, 2, SIZE);
    let mut latin = Raw::try_login(&house.login("app"), &[("client_encoding", "LATIN1")]).expect("it may");
    let mut utf = Raw::try_login(&house.login("app"), &[("client_encoding", "utf-8")]).expect("it may");
    for client in [&mut latin, &mut utf] {
        assert_eq!(client.query("LISTEN c")[0].text(), "LISTEN");
    }
    let mut direct = Raw::login(&house.postgres.login("app"));
    direct.query("NOTIFY c, 'ä'");
    assert!(utf.read().body.ends_with("c\0ä\0".as_bytes()));
    assert!(latin.read().body.ends_with(b"c\0\xe4\0"));
    assert_eq!(house.watch().sessions(LISTENING), 2);
}

/// Names as PostgreSQL has them.
#[test]
fn names_are_folded_and_cut() {
    let house = House::new(Version::Newest, 2, SIZE);
    let long = "x".repeat(70);
    let mut client = listener(&house, &["MiXed", &long, "\"Ä; DROP TABLE\""]);
    let mut direct = Raw::login(&house.postgres.login("app"));
    direct.query(&format!("NOTIFY mixed; NOTIFY {long}; NOTIFY \"Ä; DROP TABLE\", 'x'; NOTIFY \"MiXed\""));
    assert_eq!(next(&mut client, 3), [pair("mixed", ""), pair(&long[..63], ""), pair("Ä; DROP TABLE", "x")]);
    assert_eq!(rest(&mut client, &mut direct, "mixed"), []);
}

/// With the extended protocol, in a transaction, in one text with others: the client listens all the same.
#[test]
fn other_ways_to_listen() {
    let house = House::new(Version::Newest, 4, SIZE);
    let mut direct = Raw::login(&house.postgres.login("app"));
    let texts: [&dyn Fn(&mut Raw); 3] = [
        &|client| {
            client.send(&[parse("", "LISTEN c", &[]), raw::bind("", "", &[]), raw::execute("", 0), raw::sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "12CZ");
        },
        &|client| {
            client.rows("BEGIN");
            client.rows("LISTEN c");
            client.rows("COMMIT");
        },
        &|client| _ = client.rows("SELECT 1; LISTEN c"),
    ];
    for listen in texts {
        let mut client = house.client();
        listen(&mut client);
        direct.query("NOTIFY c, 'x'");
        assert_eq!(next(&mut client, 1), [pair("c", "x")]);
    }
}

/// However often, and by whichever connection a client listens to a channel: what is sent there comes once.
#[test]
fn who_listens_twice_hears_once() {
    let house = House::new(Version::Newest, 4, SIZE);
    let mut direct = Raw::login(&house.postgres.login("app"));
    let batch = |sql: &str| [parse("", sql, &[]), raw::bind("", "", &[]), raw::execute("", 0)].concat();
    let ways: [Vec<Vec<u8>>; 5] = [
        ["LISTEN c"; 3].map(raw::query).to_vec(),
        ["BEGIN", "LISTEN c", "LISTEN c", "COMMIT"].map(raw::query).to_vec(),
        ["LISTEN c", "BEGIN", "LISTEN c", "LISTEN c", "COMMIT", "LISTEN c"].map(raw::query).to_vec(),
        vec![raw::query("LISTEN c"), raw::query("SELECT 1; LISTEN c; LISTEN d"), raw::query("LISTEN \"c\"")],
        vec![
            [batch("LISTEN c"), raw::sync()].concat(),
            [batch("BEGIN"), batch("LISTEN c"), batch("LISTEN c"), batch("COMMIT"), raw::sync()].concat(),
        ],
    ];
    for (number, way) in ways.iter().enumerate() {
        let mut client = house.client();
        for bytes in way {
            client.send(bytes);
            client.read_until_ready();
        }
        let sent: Vec<String> = (0..20).map(|at| at.to_string()).collect();
        for payload in &sent {
            direct.query(&format!("NOTIFY c, '{payload}'"));
        }
        let mut came = Vec::new();
        while came.last() != sent.last() {
            came.extend(next(&mut client, 1).into_iter().map(|(_, payload)| payload));
        }
        came.extend(rest(&mut client, &mut direct, "c").into_iter().map(|(_, payload)| payload));
        assert_eq!(came, sent, "{number}");
        // Between transactions nothing is in the way of a late one.
        assert_eq!(tags(&client.query("SELECT 1")), "TDCZ", "{number}");
    }
}

#[test]
fn drivers_listen() {
    let house = House::new(Version::Newest, 2, SIZE);
    type Runner = fn(&Login, &[&str], Duration) -> super::support::Output;
    for (run, script) in [(python as Runner, "notify_drivers.py"), (node, "notify_node.js")] {
        let said = run(&house.login("app"), &[&format!("tests/clients/{script}")], Duration::from_secs(60)).expect_success();
        assert!(said.ends_with("all is well\n"), "{script}: {said}");
    }
    let mut watch = house.watch();
    assert!(poll(SOON, || listeners(&mut watch.admin).is_empty()));
}

/// A pg_dog whose network can be told what to do.
fn networked(general: &str) -> (House, Shim) {
    let postgres = Postgres::start(Version::Newest);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, 2, &format!("{SIZE}\n{general}"));
    (house, shim)
}

/// The answer to LISTEN is the server's: while that one is not heard, there is none; and what is sent behind it comes.
#[test]
fn nobody_is_answered_before_the_server_listens() {
    let (house, shim) = networked("");
    let (mut first, mut client) = (listener(&house, &["a"]), house.client());
    let mut direct = Raw::login(&house.postgres.login("app"));
    for (channel, name) in [("b", "another channel"), ("a", "one that is listened to already")] {
        shim.stall(true);
        client.send(&[raw::query(&format!("LISTEN {channel}")), raw::query(";")].concat());
        client.set_deadline(Duration::from_millis(200));
        assert_eq!(client.try_read().map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "{name}");
        client.set_deadline(SOON);
        shim.stall(false);
        assert_eq!(tags(&client.read_until_ready()), "CZ", "{name}");
        direct.query(&format!("NOTIFY {channel}, 'behind'"));
        // In front of the answer to what was asked last, or behind it.
        let mut seen = tags(&client.read_until(b'A'));
        if seen == "A" {
            seen += &tags(&client.read_until_ready());
        }
        assert!(matches!(seen.as_str(), "AIZ" | "IZA"), "{seen}");
    }
    assert_eq!(next(&mut first, 1), [pair("a", "behind")]);
    // Many, one by one.
    for number in 0..200 {
        assert_eq!(client.query(&format!("LISTEN \"{number}\""))[0].text(), "LISTEN");
        direct.query(&format!("NOTIFY \"{number}\", 'x'"));
        assert_eq!(next(&mut client, 1), [pair(&number.to_string(), "x")]);
        if number % 2 == 0 {
            client.query(&format!("UNLISTEN \"{number}\""));
        }
    }
}

/// A network that has forgotten the connection says nothing: it is asked, and made anew.
#[test]
fn a_silent_network_is_noticed() {
    let (house, shim) = networked("healthcheck_interval = 300\nhealthcheck_timeout = 400");
    let mut client = listener(&house, &["c"]);
    let connections = shim.connections();
    // Healthy and quiet: asked again and again, and left alone.
    let mut watch = house.watch();
    let changed = "SELECT state_change FROM pg_stat_activity WHERE application_name = 'pg_dog listener'";
    let before = one(&mut watch.direct, changed);
    wait_until("it is asked", SOON, || one(&mut watch.direct, changed) != before);
    assert_eq!(shim.connections(), connections);
    shim.forget_all();
    assert!(gap(&mut client)[&'M'].contains("may be missing"));
    let mut direct = Raw::login(&house.postgres.login("app"));
    assert_eq!(rest(&mut client, &mut direct, "c"), []);
}

/// Nobody answers: the client is told within the time that a server has, lives, and may try again.
#[test]
fn a_server_that_says_nothing_is_told() {
    let (house, shim) = networked("healthcheck_timeout = 300\nconnect_timeout = 300");
    let mut client = listener(&house, &["c"]);
    shim.stall(true);
    let fields = error(&client.query("LISTEN d"));
    assert_eq!((fields[&'C'].as_str(), fields[&'M'].as_str()), ("08001", "cannot listen: the server did not answer within connect_timeout"));
    shim.stall(false);
    assert!(gap(&mut client)[&'M'].contains("channel \"c\""));
    assert_eq!(client.query("LISTEN d")[0].text(), "LISTEN");
    let mut direct = Raw::login(&house.postgres.login("app"));
    assert_eq!(rest(&mut client, &mut direct, "d"), []);
}

/// The connection is cut at many places: what comes is whole, in order, and the gap is said where something is missing.
#[test]
fn a_cut_connection_gives_nothing_in_part() {
    let (house, shim) = networked("");
    let mut client = listener(&house, &["c"]);
    let mut direct = Raw::login(&house.postgres.login("app"));
    for (round, bytes) in [1, 4, 5, 9, 11, 60, 67, 100, 133].into_iter().enumerate() {
        shim.cut_after(bytes, if round % 2 == 0 { Cut::Reset } else { Cut::Finish });
        direct.rows(&format!("SELECT pg_notify('c', '{round} ' || i || repeat('x', 40)) FROM generate_series(0, 9) i"));
        wait_until("the cut", SOON, || shim.has_cut());
        let mut came = 0;
        loop {
            let message = client.read();
            if message.tag == b'N' {
                assert!(message.fields()[&'M'].contains("may be missing"));
                break;
            }
            assert_eq!(heard(&message).2, format!("{round} {came}{}", "x".repeat(40)));
            came += 1;
        }
        assert!(came < 10, "{came} in round {round}");
        assert_eq!(rest(&mut client, &mut direct, "c"), []);
    }
}

/// The numbers of the metrics are those of SHOW LISTENERS; the server may be reached by its Unix socket.
#[test]
fn metrics_and_unix_sockets() {
    let port = Port::claim();
    let postgres = Postgres::start(Version::Debian);
    let general = format!("{SIZE}\nopenmetrics_host = \"127.0.0.1\"\nopenmetrics_port = {}", port.number);
    let text = config(&postgres, &general_of(2, &general), "");
    let socket = format!("host = \"{}\"\nport = {}", postgres.socket_folder().display(), postgres.port);
    let text = text.replace(&format!("host = \"127.0.0.1\"\nport = {}", postgres.port), &socket);
    assert!(text.contains(&socket), "{text}");
    let dog = Dog::start(&text, &users(&postgres, &[("app", "")]));
    let mut client = Raw::login(&dog.instead_of(&postgres.login("app")));
    assert_eq!(client.query("LISTEN c")[0].text(), "LISTEN");
    client.query("NOTIFY c, 'x'");
    let mut direct = Raw::login(&postgres.login("app"));
    assert!(rest(&mut client, &mut direct, "c").len() <= 1);
    let mut stream = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port.number)).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    for (name, value) in [("pub_sub_listeners", 1), ("pub_sub_listener_received", 2), ("pub_sub_listener_dropped", 0)] {
        let line = format!("\n{name}{{database=\"app\",user=\"app\",shard=\"0\",channel=\"c\"}} {value}\n");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}
