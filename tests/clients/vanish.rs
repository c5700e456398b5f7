//! Clients that go without a word, in an orderly way and with a reset, at every stage of a request. Afterwards nothing of theirs runs, is locked,
//! or is stored, all servers are back, and whoever comes next finds a server like new.

use super::house::{House, Watch, extended, one};
use super::support::{Raw, SOON, Version, raw, wait_until};
use std::time::{Duration, Instant};

crate::on_both!(
    while_idle,
    in_a_transaction,
    in_a_failed_transaction,
    in_mid_message,
    in_mid_message_of_a_transaction,
    with_a_batch_not_synced,
    with_a_batch_flushed_not_synced,
    after_a_parse_alone,
    in_mid_result,
    in_mid_copy_in,
    in_mid_extended_copy_in,
    in_mid_copy_out,
    while_a_query_runs,
    while_waiting_for_a_server,
    with_answers_not_read,
);

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Finish,
    Reset,
}

fn leave(client: Raw, way: Way) {
    match way {
        Way::Finish => drop(client),
        Way::Reset => client.reset(),
    }
}

/// One server, so that the next client gets what the last one left. `scene` lets a client go; what is wrong afterwards fails.
fn each_way(version: Version, scene: impl Fn(&House, &mut Watch, Way)) {
    let house = House::new(version, 1, "rollback_timeout = 400\ncheckout_timeout = 20000");
    house.postgres.sql("CREATE TABLE stored (a int); GRANT ALL ON stored TO app");
    let mut watch = house.watch();
    // One who stays all the time.
    let mut witness = house.client();
    for way in [Way::Finish, Way::Reset, Way::Finish] {
        scene(&house, &mut watch, way);
        watch.wait_until_settled();
        assert!(watch.sessions("true") <= 1, "{way:?}: a server was left over");
        for client in [&mut house.client(), &mut witness] {
            assert_eq!(client.rows("SELECT count(*), 'clean' FROM stored"), [["0", "clean"]], "{way:?}");
            assert_eq!(client.status, b'I');
            client.send(&[extended("SELECT 'after'", &[]), raw::sync()].concat());
            assert_eq!(client.read_until_ready()[3].text(), "after");
        }
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype IN ('relation', 'advisory') AND pid <> pg_backend_pid()";
        assert_eq!(one(&mut watch.direct, locks), "0", "{way:?}: locks are left");
    }
}

fn while_idle(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.rows("SELECT 1");
        leave(client, way);
        leave(house.client(), way);
    });
}

fn in_a_transaction(version: Version) {
    each_way(version, |house, watch, way| {
        let mut client = house.client();
        client.rows("BEGIN; INSERT INTO stored VALUES (1)");
        let pid = one(&mut client, "SELECT pg_backend_pid()");
        leave(client, way);
        watch.wait_until_settled();
        assert_eq!(one(&mut house.client(), "SELECT pg_backend_pid()"), pid, "a server that could be cleaned was dropped");
    });
}

fn in_a_failed_transaction(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.rows("BEGIN; INSERT INTO stored VALUES (1)");
        client.query("SELECT 1/0");
        assert_eq!(client.status, b'E');
        leave(client, way);
    });
}

fn in_mid_message(version: Version) {
    each_way(version, |house, _, way| {
        let whole = [raw::query("INSERT INTO stored VALUES (1)"), extended("INSERT INTO stored VALUES (2)", &[]), raw::sync()];
        for message in whole {
            for cut in [1, 4, 5, 6, message.len() - 1] {
                let mut client = house.client();
                client.send(&message[..cut.min(message.len() - 1)]);
                leave(client, way);
            }
        }
    });
}

fn in_mid_message_of_a_transaction(version: Version) {
    each_way(version, |house, _, way| {
        let message = raw::query("INSERT INTO stored VALUES (1)");
        for cut in [1, 4, 5, 6, message.len() - 1] {
            let mut client = house.client();
            client.rows("BEGIN; INSERT INTO stored VALUES (1)");
            client.send(&message[..cut]);
            leave(client, way);
        }
    });
}

fn with_a_batch_not_synced(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.send(&extended("INSERT INTO stored VALUES (1)", &[]));
        leave(client, way);
    });
}

/// The row is in and its client knows; without a Sync it is not committed.
fn with_a_batch_flushed_not_synced(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.send(&[extended("INSERT INTO stored VALUES (1)", &[]), raw::flush()].concat());
        assert_eq!(client.read_until(b'C').last().map(|message| message.text()), Some("INSERT 0 1".to_string()));
        leave(client, way);
    });
}

fn after_a_parse_alone(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.send(&raw::parse("", "INSERT INTO stored VALUES (1)", &[]));
        leave(client, way);
        let mut client = house.client();
        client.send(&[raw::parse("", "SELECT syntax error here", &[]), raw::flush()].concat());
        client.read_until(b'E');
        leave(client, way);
    });
}

fn in_mid_result(version: Version) {
    each_way(version, |house, _, way| {
        for sql in ["SELECT repeat('x', 1000), i FROM generate_series(1, 100000) i", "SELECT repeat('x', 50000000)"] {
            let mut client = house.client();
            client.send(&raw::query(sql));
            client.read_until(b'T');
            leave(client, way);
            let mut client = house.client();
            client.send(&[raw::query("BEGIN; INSERT INTO stored VALUES (1)"), raw::query(sql)].concat());
            client.read_until(b'T');
            leave(client, way);
        }
    });
}

fn in_mid_copy_in(version: Version) {
    each_way(version, |house, _, way| {
        for tail in [raw::copy_data(b"2\n"), raw::copy_data(b"2\n")[..3].to_vec(), raw::copy_data(&b"3\n".repeat(200_000)), Vec::new()] {
            let mut client = house.client();
            client.send(&raw::query("COPY stored FROM STDIN"));
            client.read_until(b'G');
            client.send(&raw::copy_data(b"1\n"));
            client.send(&tail);
            leave(client, way);
        }
    });
}

fn in_mid_extended_copy_in(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.send(&[extended("COPY stored FROM STDIN", &[]), raw::sync()].concat());
        client.read_until(b'G');
        client.send(&raw::copy_data(b"1\n"));
        leave(client, way);
    });
}

fn in_mid_copy_out(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        client.send(&raw::query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"));
        client.read_until(b'd');
        leave(client, way);
    });
}

/// Within `rollback_timeout` the query is cancelled, and long before it would have ended.
fn while_a_query_runs(version: Version) {
    each_way(version, |house, watch, way| {
        for sql in ["SELECT pg_sleep(600)", "BEGIN; INSERT INTO stored VALUES (1); SELECT pg_sleep(600)"] {
            let mut client = house.client();
            client.send(&raw::query(sql));
            watch.wait_for_sessions(1, "state = 'active' AND wait_event = 'PgSleep'");
            let left = Instant::now();
            leave(client, way);
            watch.wait_for_sessions(0, "state = 'active'");
            assert!(left.elapsed() < Duration::from_secs(5), "the query ran on for {:?}", left.elapsed());
        }
    });
}

fn while_waiting_for_a_server(version: Version) {
    each_way(version, |house, watch, way| {
        let mut holder = house.client();
        holder.rows("BEGIN; SELECT 1");
        let waiters: Vec<Raw> = (0..4).map(|_| house.client()).collect();
        for mut waiter in waiters {
            waiter.send(&raw::query("INSERT INTO stored VALUES (1)"));
            wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
            leave(waiter, way);
            wait_until("nobody waits", SOON, || watch.pools("cl_waiting") == 0);
        }
        holder.rows("ROLLBACK");
    });
}

fn with_answers_not_read(version: Version) {
    each_way(version, |house, _, way| {
        let mut client = house.client();
        let many: Vec<u8> = (0..200).flat_map(|i| raw::query(&format!("SELECT {i}, repeat('y', 20000)"))).collect();
        client.send(&many);
        leave(client, way);
        let mut client = house.client();
        client.send(&[raw::query("BEGIN"), raw::query("INSERT INTO stored VALUES (1)"), raw::query("SELECT 1/0"), raw::query("SELECT 1")].concat());
        leave(client, way);
    });
}

/// A polite end inside a transaction is an end too.
#[test]
fn goodbye_inside_a_transaction_rolls_back() {
    each_way(Version::Debian, |house, _, _| {
        let mut client = house.client();
        client.rows("BEGIN; INSERT INTO stored VALUES (1)");
        client.send(&raw::terminate());
        assert_eq!(client.read_until_closed(), []);
    });
}

#[test]
fn a_hundred_at_once_leave_nothing() {
    let house = House::new(Version::Newest, 3, "rollback_timeout = 400\ncheckout_timeout = 20000");
    house.postgres.sql("CREATE TABLE stored (a int); GRANT ALL ON stored TO app");
    let mut watch = house.watch();
    for round in 0..4 {
        let clients: Vec<Raw> = (0..25)
            .map(|i| {
                let mut client = house.client();
                match i % 5 {
                    0 => client.send(&raw::query("BEGIN; INSERT INTO stored VALUES (1)")),
                    1 => client.send(&extended("INSERT INTO stored VALUES (1)", &[])),
                    2 => client.send(&raw::query("SELECT pg_sleep(600)")),
                    3 => client.send(&raw::query("COPY stored FROM STDIN")),
                    _ => client.send(&raw::query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)")),
                }
                client
            })
            .collect();
        for (i, client) in clients.into_iter().enumerate() {
            leave(client, if (i + round) % 2 == 0 { Way::Finish } else { Way::Reset });
        }
    }
    watch.wait_until_settled();
    assert!(watch.sessions("true") <= 3);
    assert_eq!(one(&mut house.client(), "SELECT count(*) FROM stored"), "0");
    assert_eq!(watch.show("CLIENTS").iter().filter(|row| row["user"] == "app").count(), 0);
}
