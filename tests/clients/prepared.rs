//! Prepared statements in transaction mode: what a client has prepared is there at every server and for nobody else, within the limits that are set.

use super::house::{House, error, one, tags};
use super::support::raw::{Message, bind, close, describe, execute, flush, parse, query, sync};
use super::support::{Raw, SOON, Version, wait_until};
use std::collections::HashMap;

crate::on_both!(
    a_thousand_clients_call_theirs_alike,
    a_limit_of_two_is_kept,
    a_limit_is_kept_by_many,
    prepared_again_where_it_is_missing,
    a_name_is_its_clients_own,
    what_failed_is_not_remembered,
    a_failed_transaction_is_left_by_name,
    deallocate_and_discard_all,
    a_changed_table,
    a_change_seen_elsewhere,
    old_statements_are_prepared_again,
    each_mode,
    two_time_zones,
    now_is_not_shared,
    who_leaves_before_sync,
    the_operator_sees_what_is_shared,
    the_operator_lowers_the_limit,
);

fn the_operator_lowers_the_limit(version: Version) {
    let house = House::new(version, 1, "prepared_statements_limit = 20");
    let mut client = house.client();
    for i in 0..15 {
        prepare(&mut client, &format!("s{i}"), &format!("SELECT 's{i}'"));
    }
    assert_eq!(one(&mut client, "SELECT count(*) FROM pg_prepared_statements"), "15");
    super::support::admin(&house.dog, "SET prepared_statements_limit TO 3");
    wait_until("the server holds no more", SOON, || one(&mut client, "SELECT count(*) <= 3 FROM pg_prepared_statements") == "t");
    for i in 0..15 {
        assert_eq!(value(&mut client, &format!("s{i}"), &[]), format!("s{i}"));
    }
}

/// What a named statement is used by: its name and values.
fn used(name: &str, values: &[Option<&str>]) -> Vec<u8> {
    [bind("", name, values), execute("", 0)].concat()
}

/// Prepares and waits.
fn prepare(client: &mut Raw, name: &str, text: &str) {
    client.send(&[parse(name, text, &[]), sync()].concat());
    let messages = client.read_until_ready();
    assert_eq!(tags(&messages), "1Z", "{name}: {text}: {messages:?}");
}

/// Uses and waits; all messages.
fn answer(client: &mut Raw, name: &str, values: &[Option<&str>]) -> Vec<Message> {
    client.send(&[used(name, values), sync()].concat());
    client.read_until_ready()
}

/// The first value of the only row.
fn value(client: &mut Raw, name: &str, values: &[Option<&str>]) -> String {
    let messages = answer(client, name, values);
    assert_eq!(tags(&messages), "2DCZ", "{name}: {messages:?}");
    messages[1].text()
}

/// SQLSTATE and words of the error of a use.
fn refusal(client: &mut Raw, name: &str) -> (String, String) {
    let messages = answer(client, name, &[]);
    assert_eq!(tags(&messages), "EZ", "{name}: {messages:?}");
    state_and_words(&messages)
}

fn state_and_words(messages: &[Message]) -> (String, String) {
    let fields = error(messages);
    (fields[&'C'].clone(), fields[&'M'].clone())
}

fn unknown(name: &str) -> (String, String) {
    ("26000".to_string(), format!("prepared statement \"{name}\" does not exist"))
}

/// For each server of a pool of `size`, the names of the statements it holds.
fn held(house: &House, size: usize) -> Vec<Vec<String>> {
    let mut clients: Vec<Raw> = (0..size).map(|_| house.client()).collect();
    let look = |client: &mut Raw| {
        client.rows("BEGIN");
        client.rows("SELECT name FROM pg_prepared_statements ORDER BY prepare_time, name").concat()
    };
    let all = clients.iter_mut().map(look).collect();
    for client in &mut clients {
        client.rows("COMMIT");
    }
    all
}

/// The process at which a client's next transaction runs, by a statement that it has prepared.
fn whereabouts(client: &mut Raw) -> String {
    value(client, "where", &[])
}

const WHERE: &str = "SELECT pg_backend_pid()";

fn a_thousand_clients_call_theirs_alike(version: Version) {
    // Logins without a proof take no time.
    let house = House::with_users(version, 3, "auth_type = \"trust\"\ncheckout_timeout = 60000", &[("app", "")]);
    let login = house.login("app");
    let mut clients: Vec<Raw> = (0..1000).map(|_| Raw::login(&login)).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&[parse("S_1", &format!("SELECT 'client {i}', $1::int + {i}"), &[]), sync()].concat());
    }
    for client in &mut clients {
        assert_eq!(tags(&client.read_until_ready()), "1Z");
    }
    // In an order in which each comes to a server where others were before.
    for step in [7, 333, 991] {
        let order: Vec<usize> = (0..1000).map(|at| at * step % 1000).collect();
        for chunk in order.chunks(100) {
            for &i in chunk {
                clients[i].send(&[used("S_1", &[Some(&step.to_string())]), sync()].concat());
            }
            for &i in chunk {
                let messages = clients[i].read_until_ready();
                let row = messages[1].columns().into_iter().flatten().map(|value| String::from_utf8_lossy(&value).into_owned()).collect::<Vec<_>>();
                assert_eq!((tags(&messages).as_str(), row), ("2DCZ", vec![format!("client {i}"), (i + step).to_string()]));
            }
        }
    }
    house.watch().wait_until_settled();
}

fn a_limit_of_two_is_kept(version: Version) {
    let house = House::new(version, 1, "prepared_statements_limit = 2");
    let (mut client, mut other) = (house.client(), house.client());
    for i in 0..5 {
        prepare(&mut client, &format!("s{i}"), &format!("SELECT 's{i}'"));
    }
    prepare(&mut other, "s0", "SELECT 'of the other'");
    for round in 0..40 {
        let name = format!("s{}", round * 3 % 5);
        assert_eq!(value(&mut client, &name, &[]), name);
        assert_eq!(value(&mut other, "s0", &[]), "of the other");
        assert!(one(&mut other, "SELECT count(*) FROM pg_prepared_statements").parse::<u32>().expect("a count") <= 2);
    }
    // A batch that needs more than there may be has them all, and the next one finds no more than there may be.
    for _ in 0..3 {
        let names = ["s0", "s1", "s2", "s3", "s4", "s0"];
        client.send(&[names.map(|name| used(name, &[])).concat(), sync()].concat());
        let messages = client.read_until_ready();
        let rows: Vec<String> = messages.iter().filter(|message| message.tag == b'D').map(Message::text).collect();
        assert_eq!(rows, names);
        assert_eq!(value(&mut other, "s0", &[]), "of the other");
        assert!(held(&house, 1)[0].len() <= 2);
    }
    // An error in the middle skips what is behind, and what it would have evicted or prepared is what it was.
    for i in 0..5 {
        let (first, second) = (format!("s{i}"), format!("s{}", (i + 2) % 5));
        client.send(&[used(&first, &[]), parse("bad", "SELEC", &[]), used(&second, &[]), close(b'S', &first), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!((tags(&messages).as_str(), messages[1].text(), error(&messages)[&'C'].as_str()), ("2DCEZ", first.clone(), "42601"));
        assert_eq!(refusal(&mut client, "bad"), unknown("bad"));
        assert_eq!((value(&mut client, &second, &[]), value(&mut client, &first, &[])), (second, first));
    }
    prepare(&mut client, "bad", "SELECT 'good'");
    assert_eq!(value(&mut client, "bad", &[]), "good");
    assert!(held(&house, 1)[0].len() <= 2);
}

fn a_limit_is_kept_by_many(version: Version) {
    let house = House::new(version, 2, "prepared_statements_limit = 5\ncheckout_timeout = 60000");
    let mut clients: Vec<Raw> = (0..10).map(|_| house.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        for j in 0..20 {
            prepare(client, &format!("s{j}"), &format!("SELECT '{} {j}'", i % 5));
        }
    }
    for j in 0..20 {
        for client in &mut clients {
            client.send(&[used(&format!("s{j}"), &[]), sync()].concat());
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read_until_ready()[1].text(), format!("{} {j}", i % 5));
        }
    }
    let held = held(&house, 2);
    assert!(held.iter().all(|names| names.len() <= 5 && names.iter().all(|name| name.starts_with("__pgdog_"))), "{held:?}");
}

fn prepared_again_where_it_is_missing(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    let (mut client, mut one_holder, mut other) = (house.client(), house.client(), house.client());
    prepare(&mut client, "where", WHERE);
    prepare(&mut client, "value", "SELECT 'value ' || $1");
    let mut seen: Vec<String> = Vec::new();
    for round in 0..6 {
        // The client is at one server, a holder at the other; another takes the first when the client lets go, and the other becomes free.
        client.rows("BEGIN");
        let before = whereabouts(&mut client);
        one_holder.rows("BEGIN");
        assert_ne!(one(&mut one_holder, WHERE), before);
        client.rows("COMMIT");
        other.rows("BEGIN");
        assert_eq!(one(&mut other, WHERE), before);
        one_holder.rows("COMMIT");
        let after = whereabouts(&mut client);
        assert_ne!(after, before);
        assert_eq!(value(&mut client, "value", &[Some(&round.to_string())]), format!("value {round}"));
        other.rows("COMMIT");
        seen.push(before);
    }
    // Both are ended, the statement is not.
    let mut watch = house.watch();
    watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    watch.wait_for_sessions(0, "true");
    wait_until("pg_dog has seen it", SOON, || watch.pools("sv_total") == 0);
    assert!(!seen.contains(&whereabouts(&mut client)), "a new server");
    watch.wait_until_settled();
}

fn a_name_is_its_clients_own(version: Version) {
    let house = House::new(version, 1, "");
    let (mut client, mut other) = (house.client(), house.client());
    prepare(&mut client, "mine", "SELECT 'mine'");
    let on_server = held(&house, 1).concat();
    assert_eq!(on_server.len(), 1);
    for name in ["mine", on_server[0].as_str(), "__pgdog_0", "nobody's"] {
        assert_eq!(refusal(&mut other, name), unknown(name));
        other.send(&[describe(b'S', name), sync()].concat());
        let messages = other.read_until_ready();
        assert_eq!((tags(&messages).as_str(), state_and_words(&messages)), ("EZ", unknown(name)));
        // Closing what does not exist is no error, and closes nothing.
        other.send(&[close(b'S', name), sync()].concat());
        assert_eq!(tags(&other.read_until_ready()), "3Z", "{name}");
        assert_eq!(value(&mut client, "mine", &[]), "mine");
    }
    assert_eq!(refusal(&mut client, &on_server[0]), unknown(&on_server[0]), "not even by its other name");
    // The same text is one statement on the server, under two names.
    prepare(&mut other, "yours", "SELECT 'mine'");
    assert_eq!((value(&mut other, "yours", &[]).as_str(), held(&house, 1).concat().len()), ("mine", 1));
    // A name that exists is refused, and stays what it was; closed in the same batch it is another.
    client.send(&[parse("mine", "SELECT 'another'", &[]), used("mine", &[]), sync()].concat());
    let messages = client.read_until_ready();
    let exists = ("42P05".to_string(), "prepared statement \"mine\" already exists".to_string());
    assert_eq!((tags(&messages).as_str(), state_and_words(&messages)), ("EZ", exists));
    assert_eq!(value(&mut client, "mine", &[]), "mine");
    client.send(&[close(b'S', "mine"), parse("mine", "SELECT 'another'", &[]), used("mine", &[]), sync()].concat());
    let messages = client.read_until_ready();
    assert_eq!((tags(&messages).as_str(), messages[3].text()), ("312DCZ", "another".to_string()));
    // The unnamed one, twice in a batch.
    let unnamed = |text: &str, value| [parse("", text, &[]), bind("", "", &[Some(value)]), execute("", 0)].concat();
    client.send(&[unnamed("SELECT $1 || ' first'", "the"), unnamed("SELECT 'the second', $1::int", "2"), sync()].concat());
    let messages = client.read_until_ready();
    assert_eq!(tags(&messages), "12DC12DCZ");
    assert_eq!((messages[2].text(), messages[6].text()), ("the first".to_string(), "the second".to_string()));
}

fn what_failed_is_not_remembered(version: Version) {
    let house = House::new(version, 1, "");
    let (mut client, mut other) = (house.client(), house.client());
    let text = "SELECT 'it is there' FROM later";
    for _ in 0..2 {
        client.send(&[parse("later", text, &[]), used("later", &[]), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!((tags(&messages).as_str(), error(&messages)[&'C'].as_str()), ("EZ", "42P01"));
        assert_eq!(refusal(&mut client, "later"), unknown("later"));
    }
    other.send(&[parse("also", text, &[]), sync()].concat());
    assert_eq!(error(&other.read_until_ready())[&'C'], "42P01");
    house.postgres.psql(&["-c", "CREATE TABLE later AS SELECT 1", "-c", "GRANT ALL ON later TO PUBLIC"]).expect_success();
    prepare(&mut client, "later", text);
    assert_eq!(value(&mut client, "later", &[]), "it is there");
    prepare(&mut other, "also", text);
    assert_eq!(value(&mut other, "also", &[]), "it is there");
    // In a failed transaction nothing is prepared, also not what is at the server already.
    for text in [text, "SELECT 'new'"] {
        client.rows("BEGIN");
        client.query("SELECT 1/0");
        client.send(&[parse("failed", text, &[]), sync()].concat());
        assert_eq!(error(&client.read_until_ready())[&'C'], "25P02");
        client.rows("ROLLBACK");
        assert_eq!(refusal(&mut client, "failed"), unknown("failed"));
        prepare(&mut client, "failed", text);
        assert_eq!(tags(&answer(&mut client, "failed", &[])), "2DCZ");
        client.send(&[close(b'S', "failed"), sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "3Z");
    }
}

fn a_failed_transaction_is_left_by_name(version: Version) {
    let house = House::new(version, 2, "");
    let (mut client, mut holder) = (house.client(), house.client());
    prepare(&mut client, "rollback", "ROLLBACK");
    prepare(&mut client, "one", "SELECT 1");
    for round in 0..6 {
        // At one server or the other.
        if round % 2 == 1 {
            holder.rows("BEGIN");
            holder.rows("SELECT 1");
        }
        client.rows("BEGIN");
        assert_eq!(tags(&client.query("SELECT 1/0")), "EZ");
        let messages = answer(&mut client, "one", &[]);
        let fields = error(&messages);
        let words = "current transaction is aborted, commands ignored until end of transaction block";
        assert_eq!((fields[&'C'].as_str(), fields[&'M'].as_str(), client.status), ("25P02", words, b'E'));
        let messages = answer(&mut client, "rollback", &[]);
        assert_eq!((tags(&messages).as_str(), messages[1].text().as_str(), client.status), ("2CZ", "ROLLBACK", b'I'));
        assert_eq!(value(&mut client, "one", &[]), "1");
        if round % 2 == 1 {
            holder.rows("COMMIT");
        }
    }
}

fn deallocate_and_discard_all(version: Version) {
    let house = House::new(version, 2, "");
    let (mut client, mut other) = (house.client(), house.client());
    prepare(&mut other, "a", "SELECT 'a'");
    let texts = [
        ("DEALLOCATE a", "DEALLOCATE"),
        ("deallocate prepare A;", "DEALLOCATE"),
        ("DEALLOCATE ALL", "DEALLOCATE ALL"),
        ("DISCARD ALL", "DISCARD ALL"),
    ];
    for (text, tag) in texts {
        for extended in [false, true] {
            prepare(&mut client, "a", "SELECT 'a'");
            prepare(&mut client, "b", "SELECT 'b'");
            let messages = if extended {
                client.send(&[parse("", text, &[]), bind("", "", &[]), execute("", 0), sync()].concat());
                client.read_until_ready()
            } else {
                client.query(text)
            };
            assert_eq!(tags(&messages), if extended { "12CZ" } else { "CZ" }, "{text}: {messages:?}");
            assert_eq!(messages[messages.len() - 2].text(), tag);
            assert_eq!(refusal(&mut client, "a"), unknown("a"), "{text}");
            let all = tag.ends_with("ALL");
            if all {
                assert_eq!(refusal(&mut client, "b"), unknown("b"), "{text}");
            } else {
                assert_eq!(value(&mut client, "b", &[]), "b", "{text}");
                client.rows("DEALLOCATE b");
            }
            // The other's is the same at the server, and is there.
            for _ in 0..3 {
                assert_eq!(value(&mut other, "a", &[]), "a", "{text}");
            }
        }
    }
    // While others work with the same statements, at the same servers.
    for i in 0..50 {
        prepare(&mut client, "a", "SELECT 'a'");
        other.send(&[used("a", &[]), sync()].concat());
        client.send(&query(if i % 2 == 0 { "DISCARD ALL" } else { "DEALLOCATE ALL" }));
        assert_eq!(other.read_until_ready()[1].text(), "a");
        assert_eq!(tags(&client.read_until_ready()), "CZ");
    }
    let messages = client.query("DEALLOCATE nothing");
    assert_eq!(state_and_words(&messages), unknown("nothing"));
}

fn a_changed_table(version: Version) {
    let house = House::new(version, 2, "");
    house.postgres.psql(&["-c", "CREATE TABLE wide AS SELECT 1 AS a", "-c", "ALTER TABLE wide OWNER TO app"]).expect_success();
    let mut direct = Raw::login(&house.postgres.login("app"));
    let mut clients = [house.client(), house.client()];
    let mut holder = house.client();
    let text = "SELECT * FROM wide";
    let mut columns = 1;
    for through in [false, true] {
        for client in clients.iter_mut().chain([&mut direct]) {
            client.send(&[close(b'S', "wide"), parse("wide", text, &[]), describe(b'S', "wide"), used("wide", &[]), sync()].concat());
            let messages = client.read_until_ready();
            assert_eq!(tags(&messages), "31tT2DCZ", "through pg_dog: {through}: {messages:?}");
            assert_eq!(messages[5].columns().len(), columns);
        }
        let alter = format!("ALTER TABLE wide ADD COLUMN c{columns} int");
        if through {
            holder.rows(&alter);
        } else {
            direct.rows(&alter);
        }
        columns += 1;
        let expected = answer(&mut direct, "wide", &[]);
        assert_eq!(error(&expected)[&'C'], "0A000");
        for round in 0..4 {
            // At either server; also where the statement has never been.
            if round % 2 == 0 {
                holder.rows("BEGIN");
                holder.rows("SELECT 1");
            }
            for client in &mut clients {
                let messages = answer(client, "wide", &[]);
                assert_eq!((tags(&messages), state_and_words(&messages)), (tags(&expected), state_and_words(&expected)));
            }
            // Who comes now, or prepares again, gets what is there now.
            let mut fresh = house.client();
            fresh.send(&[parse("wide", text, &[]), describe(b'S', "wide"), used("wide", &[]), sync()].concat());
            let messages = fresh.read_until_ready();
            assert_eq!(tags(&messages), "1tT2DCZ", "round {round}, through pg_dog: {through}: {messages:?}");
            assert_eq!(messages[4].columns().len(), columns);
            if round % 2 == 0 {
                holder.rows("COMMIT");
            }
        }
    }
}

/// That a table has changed may be known from a server that has not said so: the statement was prepared there for the first time.
fn a_change_seen_elsewhere(version: Version) {
    let house = House::new(version, 2, "");
    house.postgres.psql(&["-c", "CREATE TABLE wide AS SELECT 1 AS a", "-c", "ALTER TABLE wide OWNER TO app"]).expect_success();
    let [mut holder, mut other, mut client, mut fresh] = std::array::from_fn(|_| house.client());
    let described = |client: &mut Raw| {
        client.send(&[parse("wide", "SELECT * FROM wide", &[]), describe(b'S', "wide"), used("wide", &[]), sync()].concat());
        tags(&client.read_until_ready())
    };
    assert_eq!(described(&mut client), "1tT2DCZ");
    house.postgres.psql(&["-c", "ALTER TABLE wide ADD COLUMN b int"]).expect_success();
    holder.rows("BEGIN; SELECT 1");
    assert_eq!(error(&answer(&mut client, "wide", &[]))[&'C'], "0A000");
    other.rows("BEGIN; SELECT 1");
    holder.rows("COMMIT");
    // The server at rest is the one where the statement is as the table was.
    assert_eq!(described(&mut fresh), "1tT2DCZ");
}

fn old_statements_are_prepared_again(version: Version) {
    let house = House::new(version, 1, "prepared_statements_ttl = 1\nprepared_statements_ttl_jitter = 0");
    let mut client = house.client();
    prepare(&mut client, "when", "SELECT 'when'");
    let when = |client: &mut Raw| one(client, "SELECT prepare_time FROM pg_prepared_statements WHERE statement = 'SELECT ''when'''");
    let first = when(&mut client);
    wait_until("it is prepared again", SOON, || {
        assert_eq!(value(&mut client, "when", &[]), "when");
        when(&mut client) != first
    });
    // Not in the middle of what a client does with it.
    client.rows("BEGIN");
    assert_eq!(value(&mut client, "when", &[]), "when");
    let first = when(&mut client);
    for _ in 0..20 {
        assert_eq!(value(&mut client, "when", &[]), "when");
    }
    assert_eq!(when(&mut client), first);
    client.rows("COMMIT");
    assert_eq!(held(&house, 1).concat().len(), 1);
}

fn each_mode(version: Version) {
    for mode in ["disabled", "extended", "extended_anonymous", "full"] {
        let house = House::new(version, 2, &format!("prepared_statements = \"{mode}\"\ncheckout_timeout = 20000"));
        let (mut client, mut other) = (house.client(), house.client());
        prepare(&mut client, "where", WHERE);
        prepare(&mut client, "named", "SELECT 'mine', $1::int");
        // What it is called at the server.
        let own = one(&mut client, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'named'") == "1";
        assert_eq!(own, mode == "disabled", "{mode}");
        let pid = whereabouts(&mut client);
        let mut moved = false;
        for round in 0..12 {
            if round % 3 == 0 {
                other.rows("BEGIN");
                other.rows("SELECT 1");
            }
            assert_eq!(value(&mut client, "named", &[Some("7")]), "mine", "{mode}");
            moved |= whereabouts(&mut client) != pid;
            if round % 3 == 2 {
                other.rows("COMMIT");
                if whereabouts(&mut client) == pid {
                    // Somebody else takes the one at which the client was.
                    let mut third = house.client();
                    third.rows("BEGIN");
                    let held = one(&mut third, WHERE);
                    assert!(mode != "disabled" || held != pid, "a pinned client keeps its server");
                    moved |= whereabouts(&mut client) != pid;
                    third.rows("COMMIT");
                }
            }
        }
        assert!(mode != "disabled" || !moved, "{mode}: it has stayed at its server");
        // The unnamed one is the client's own in every mode.
        for (client, text) in [(&mut client, "SELECT 'mine'"), (&mut other, "SELECT 'the other''s'")] {
            client.send(&[parse("", text, &[]), sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "1Z");
        }
        assert_eq!((value(&mut client, "", &[]).as_str(), value(&mut other, "", &[]).as_str()), ("mine", "the other's"), "{mode}");
        // SQL's PREPARE works in every mode, for who has said it.
        client.rows("PREPARE sql(int) AS SELECT 'by SQL', $1");
        for _ in 0..3 {
            assert_eq!(client.rows("EXECUTE sql(5)"), [["by SQL", "5"]], "{mode}");
            assert_eq!(state_and_words(&other.query("EXECUTE sql(5)")), unknown("sql"), "{mode}");
            assert_eq!(value(&mut client, "named", &[Some("8")]), "mine", "{mode}");
        }
        client.rows("DEALLOCATE sql");
        assert_eq!(state_and_words(&client.query("EXECUTE sql(5)")), unknown("sql"), "{mode}");
    }
}

/// PostgreSQL folds a literal when it parses it.
fn two_time_zones(version: Version) {
    let house = House::new(version, 1, "");
    let zones: HashMap<&str, &str> = [("UTC", "1704067200"), ("Asia/Tokyo", "1704034800"), ("America/New_York", "1704085200")].into();
    let text = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::bigint";
    let mut clients: Vec<(&str, Raw)> =
        zones.keys().map(|zone| (*zone, Raw::try_login(&house.login("app"), &[("TimeZone", zone)]).expect("the login is right"))).collect();
    for round in 0..3 {
        for (zone, client) in &mut clients {
            if round != 1 {
                client.send(&[close(b'S', "when"), parse("when", text, &[]), sync()].concat());
                assert_eq!(tags(&client.read_until_ready()), "31Z");
            }
            assert_eq!(value(client, "when", &[]), zones[*zone], "{zone} in round {round}");
        }
    }
    // The same by SET, and by search_path for names.
    let (mut one_client, mut other) = (house.client(), house.client());
    one_client.rows("SET TimeZone = 'Asia/Tokyo'");
    for (client, zone) in [(&mut one_client, "Asia/Tokyo"), (&mut other, "UTC")] {
        prepare(client, "when", text);
        assert_eq!(value(client, "when", &[]), zones[zone]);
    }
    house
        .postgres
        .psql(&["-c", "CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t AS SELECT 'a' AS t; CREATE TABLE b.t AS SELECT 'b' AS t"])
        .expect_success();
    house.postgres.psql(&["-c", "GRANT ALL ON SCHEMA a, b TO PUBLIC; GRANT ALL ON a.t, b.t TO PUBLIC"]).expect_success();
    one_client.rows("SET search_path = a");
    other.rows("SET search_path = b");
    for (client, path) in [(&mut one_client, "a"), (&mut other, "b")] {
        prepare(client, "t", "SELECT t FROM t");
        assert_eq!(value(client, "t", &[]), path);
    }
    assert_eq!((value(&mut one_client, "t", &[]), value(&mut other, "t", &[])), ("a".to_string(), "b".to_string()));
}

fn now_is_not_shared(version: Version) {
    let house = House::new(version, 1, "");
    let mut last = String::new();
    for literal in ["'now'", "' NOW '", "'now'", "$$now$$"] {
        let mut client = house.client();
        let before = one(&mut client, "SELECT clock_timestamp()");
        prepare(&mut client, "now", &format!("SELECT {literal}::timestamptz >= $1::timestamptz, {literal}::timestamptz"));
        let messages = answer(&mut client, "now", &[Some(&before)]);
        let row = messages[1].columns();
        assert_eq!(row[0].as_deref(), Some(&b"t"[..]), "{literal} means when its client prepared it");
        let now = String::from_utf8_lossy(row[1].as_deref().unwrap_or_default()).into_owned();
        assert_ne!(now, last);
        last = now;
    }
}

fn who_leaves_before_sync(version: Version) {
    let house = House::new(version, 1, "prepared_statements_limit = 2");
    let mut stays = house.client();
    for name in ["a", "b", "c"] {
        prepare(&mut stays, name, &format!("SELECT '{name}'"));
    }
    for round in 0..12 {
        let mut leaves = house.client();
        let messages = [
            parse("a", "SELECT 'a'", &[]),
            parse("mine", &format!("SELECT 'round {round}'"), &[]),
            used("mine", &[]),
            close(b'S', "a"),
            parse("bad", "SELEC", &[]),
            parse("b", "SELECT 'b'", &[]),
        ];
        leaves.send(&[messages[..=round % 6].concat(), if round < 6 { flush() } else { Vec::new() }].concat());
        if round < 6 {
            // All the way to the server.
            leaves.read();
        }
        if round % 2 == 0 {
            drop(leaves);
        } else {
            leaves.reset();
        }
        for name in ["a", "b", "c"] {
            assert_eq!(value(&mut stays, name, &[]), name, "round {round}");
        }
        assert_eq!(refusal(&mut stays, "mine"), unknown("mine"));
    }
    assert!(held(&house, 1)[0].len() <= 2);
    house.watch().wait_until_settled();
}

fn the_operator_sees_what_is_shared(version: Version) {
    let house = House::new(version, 2, "");
    let mut watch = house.watch();
    assert_eq!(watch.show("PREPARED").len(), 0);
    let (mut client, mut other) = (house.client(), house.client());
    prepare(&mut client, "mine", "SELECT 'shared'");
    prepare(&mut other, "theirs", "SELECT 'shared'");
    prepare(&mut other, "own", "SELECT 'own'");
    let rows = watch.show("PREPARED");
    let texts: Vec<(&str, &str)> = rows.iter().map(|row| (row["statement"].as_str(), row["used_by"].as_str())).collect();
    assert_eq!(texts, [("SELECT 'shared'", "2"), ("SELECT 'own'", "1")]);
    assert!(rows.iter().all(|row| row["name"].starts_with("__pgdog_") && row["memory_used"].parse::<u32>().expect("a number") > 15), "{rows:?}");
    let mut names: Vec<String> = held(&house, 2).concat();
    names.sort_unstable();
    names.dedup();
    let shown: Vec<&str> = rows.iter().map(|row| row["name"].as_str()).collect();
    assert!(names.iter().all(|name| shown.contains(&name.as_str())), "{names:?} are called so at the servers: {shown:?}");
    // What is in use stays, and is what it was.
    assert_eq!(watch.admin.query("RESET PREPARED")[0].text(), "RESET");
    assert_eq!(watch.show("PREPARED").len(), 2);
    client.send(&[close(b'S', "mine"), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "3Z");
    drop(other);
    wait_until("nobody uses them", SOON, || watch.show("PREPARED").iter().all(|row| row["used_by"] == "0"));
    watch.admin.query("RESET PREPARED");
    assert_eq!(watch.show("PREPARED").len(), 0);
    prepare(&mut client, "mine", "SELECT 'shared'");
    assert_eq!((value(&mut client, "mine", &[]).as_str(), watch.show("PREPARED").len()), ("shared", 1));
}
