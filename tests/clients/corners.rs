//! What hardly any driver does and PostgreSQL answers all the same: each row of behaviours.md here is answered as by PostgreSQL itself.

use super::house::{House, error, one, tags};
use super::support::raw::{bind, close, describe, execute, flush, frame, parse, query, sync, terminate};
use super::support::{Postgres, Raw, SOON, Shim, Version, poll, wait_until};
use std::time::{Duration, Instant};

crate::on_both!(
    an_unnamed_execute_goes_with_its_client,
    names_that_no_text_shows,
    unlisten_at_a_server_counts,
    a_failing_call_and_the_way_out,
    goodbye_behind_a_request,
    a_named_copy,
    many_names_cost_nothing,
    cleanings_are_counted,
    a_login_while_all_servers_are_down,
    a_jitter_above_the_lifetime,
);

const FULL: &str = "prepared_statements = \"full\"\ncheckout_timeout = 20000";

/// Calls `each` with the client at one server of two and at the other, twice.
fn at_each(house: &House, client: &mut Raw, mut each: impl FnMut(&mut Raw)) {
    let mut holders = [house.client(), house.client()];
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..4 {
        for holder in &mut holders {
            holder.rows("BEGIN");
        }
        let pids = [0, 1].map(|i| one(&mut holders[i], "SELECT pg_backend_pid()"));
        // Whoever of them has the server that was not the last one.
        let free = usize::from(seen.last() == Some(&pids[0]));
        holders[free].rows("COMMIT");
        each(client);
        seen.push(pids[free].clone());
        holders[1 - free].rows("COMMIT");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2, "it has been at both");
}

fn an_unnamed_execute_goes_with_its_client(version: Version) {
    let house = House::new(version, 2, FULL);
    let mut client = house.client();
    client.rows("PREPARE mine (int) AS SELECT 'mine', $1 + 1");
    client.send(&[parse("", "EXECUTE mine(4)", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    at_each(&house, &mut client, |client| {
        client.send(&[bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!((tags(&messages).as_str(), messages[2].columns()[1].as_deref()), ("2TDCZ", Some(&b"5"[..])), "{messages:?}");
    });
    // What it returns is known before it is bound.
    at_each(&house, &mut client, |client| {
        client.send(&[describe(b'S', ""), bind("", "", &[]), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), "tT2DCZ", "{messages:?}");
    });
    // One that is dropped is dropped, wherever its client is.
    client.send(&[parse("", "DEALLOCATE mine", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    let mut first = true;
    at_each(&house, &mut client, |client| {
        client.send(&[bind("", "", &[]), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), if first { "2CZ" } else { "2EZ" }, "{messages:?}");
        first = false;
    });
    assert_eq!(error(&client.query("EXECUTE mine(1)"))[&'C'], "26000");
    house.watch().wait_until_settled();
}

/// What a DO or a function has prepared exists, and its name cannot be given again.
fn names_that_no_text_shows(version: Version) {
    for general in [FULL, "checkout_timeout = 20000"] {
        let house = House::new(version, 2, general);
        let body = "BEGIN EXECUTE 'PREPARE hidden AS SELECT 1'; END";
        let create = format!("CREATE FUNCTION prepares() RETURNS void LANGUAGE plpgsql AS $$ {body} $$");
        house.postgres.psql(&["-q", "-c", &create]).expect_success();
        let mut others = house.client();
        for text in [&format!("DO $$ {body} $$"), "SELECT prepares()"] {
            for ends in ["", "COMMIT", "ROLLBACK"] {
                let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
                for client in [&mut client, &mut direct] {
                    client.rows("BEGIN");
                    client.rows(text);
                    if !ends.is_empty() {
                        client.rows(ends);
                    }
                    // Others come and go without one.
                    client.send(&[parse("free", "SELECT 'free'", &[]), bind("", "free", &[]), execute("", 0), sync()].concat());
                    assert_eq!(tags(&client.read_until_ready()), "12DCZ", "{text}; {ends}");
                    client.send(&[parse("wrong", "SELEC", &[]), sync()].concat());
                    assert_eq!(error(&client.read_until_ready())[&'C'], "42601");
                    client.query("ROLLBACK");
                    client.query("DEALLOCATE hidden");
                    client.rows("BEGIN");
                    client.rows(text);
                    let ends = if ends.is_empty() { Vec::new() } else { query(ends) };
                    // In one write with what makes it.
                    let skipped = [bind("", "free", &[]), execute("", 0), sync()].concat();
                    client.send(&[ends.clone(), parse("hidden", "SELECT 'another'", &[]), skipped].concat());
                    if !ends.is_empty() {
                        assert_eq!(tags(&client.read_until_ready()), "CZ");
                    }
                    let messages = client.read_until_ready();
                    assert_eq!((tags(&messages).as_str(), error(&messages)[&'C'].as_str()), ("EZ", "42P05"), "{text}: {messages:?}");
                    assert_eq!(error(&messages)[&'M'], "prepared statement \"hidden\" already exists");
                    client.query("ROLLBACK");
                    assert_eq!(one(client, "EXECUTE hidden"), "1");
                    client.send(&[bind("", "free", &[]), execute("", 0), close(b'S', "free"), sync()].concat());
                    assert_eq!(tags(&client.read_until_ready()), "2DC3Z");
                    client.rows("DEALLOCATE hidden");
                    client.send(&[parse("hidden", "SELECT 'another'", &[]), bind("", "hidden", &[]), execute("", 0), sync()].concat());
                    assert_eq!(tags(&client.read_until_ready()), "12DCZ", "it is free again");
                    client.rows("DEALLOCATE hidden");
                }
                // And nobody else has anything of it.
                others.rows("BEGIN");
                others.rows("SELECT pg_catalog.now(); DO $$ BEGIN END $$");
                others.send(&[parse("hidden", "SELECT 'of others'", &[]), bind("", "hidden", &[]), execute("", 0), sync()].concat());
                assert_eq!(tags(&others.read_until_ready()), "12DCZ");
                others.rows("COMMIT");
                others.send(&[close(b'S', "hidden"), sync()].concat());
                others.read_until_ready();
            }
        }
    }
}

/// A subscription that pg_dog keeps ends with an UNLISTEN, also one that is said at a server, unless that is undone.
fn unlisten_at_a_server_counts(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000\npub_sub_channel_size = 100");
    let mut other = house.client();
    let extended = |text: &str| [parse("", text, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
    let named = [parse("u", "UNLISTEN news", &[]), bind("", "u", &[]), execute("", 0), close(b'S', "u"), sync()].concat();
    let cases: [(Vec<Vec<u8>>, bool); 9] = [
        (vec![query("BEGIN"), query("UNLISTEN news"), query("COMMIT")], false),
        (vec![query("BEGIN"), query("UNLISTEN news"), query("ROLLBACK")], true),
        (vec![query("BEGIN"), query("UNLISTEN news"), query("SELECT 1/0"), query("COMMIT")], true),
        (vec![query("BEGIN"), query("SELECT 1"), extended("UNLISTEN *"), query("COMMIT")], false),
        (vec![query("BEGIN"), query("SELECT 1"), named.clone(), query("COMMIT")], false),
        (vec![query("BEGIN"), query("SELECT 1"), named.clone(), query("ROLLBACK")], true),
        (vec![query("CREATE TEMP TABLE pins (a int)"), query("UNLISTEN \"news\""), query("DROP TABLE pins")], false),
        (vec![query("CREATE TEMP TABLE pins (a int)"), query("UNLISTEN old_news"), query("DROP TABLE pins")], true),
        (vec![query("CREATE TEMP TABLE pins (a int)"), query("DISCARD ALL")], false),
    ];
    for (i, (says, hears)) in cases.iter().enumerate() {
        let mut client = house.client();
        client.rows("LISTEN news");
        for words in says {
            client.send(words);
            client.read_until_ready();
        }
        client.rows("LISTEN fence");
        other.rows("SELECT pg_notify('news', ''), pg_notify('fence', '')");
        let heard: Vec<String> = std::iter::from_fn(|| {
            let message = client.read_until(b'A').pop().expect("a notification");
            let channel = message.body[4..].split(|byte| *byte == 0).next().expect("a name").escape_ascii().to_string();
            Some(channel).filter(|channel| channel != "fence")
        })
        .collect();
        assert_eq!(heard.concat(), if *hears { "news" } else { "" }, "case {i}");
    }
}

/// A function call that fails in a transaction, and the named statement that ends it, in one write.
fn a_failing_call_and_the_way_out(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    let call = frame(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
    for client in [&mut client, &mut direct] {
        client.send(&[parse("out", "ROLLBACK", &[]), sync()].concat());
        assert_eq!(tags(&client.read_until_ready()), "1Z");
    }
    let mut both = [client, direct];
    for round in 0..4 {
        for client in &mut both {
            client.send(&[parse("", "SELECT 'unnamed'", &[]), sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "1Z");
        }
        // The client comes to another server, which does not have it.
        let mut holder = house.client();
        if round % 2 == 0 {
            holder.rows("BEGIN; SELECT 1");
        }
        for client in &mut both {
            client.send(&[parse("begin", "BEGIN", &[]), bind("", "begin", &[]), execute("", 0), close(b'S', "begin"), sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "12C3Z");
            client.send(&[call.clone(), bind("", "out", &[]), execute("", 0), sync()].concat());
            assert_eq!((tags(&client.read_until_ready()).as_str(), client.status), ("EZ", b'E'));
            let messages = client.read_until_ready();
            assert_eq!((tags(&messages).as_str(), client.status), ("2CZ", b'I'), "round {round}: {messages:?}");
            client.send(&[bind("", "", &[]), execute("", 0), sync()].concat());
            let messages = client.read_until_ready();
            assert_eq!(tags(&messages), "2DCZ", "round {round}: {messages:?}");
        }
    }
}

/// What was asked in front of a Terminate is answered, and then the connection ends.
fn goodbye_behind_a_request(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000\nrollback_timeout = 500");
    house.postgres.sql("CREATE TABLE items (id int); GRANT ALL ON items TO app");
    let batch = |text: &str| [parse("", text, &[]), bind("", "", &[]), execute("", 0), sync()].concat();
    let mut watch = house.watch();
    for (says, hears) in [
        (query("SELECT pg_sleep(0.05), 'here'"), "TDCZ"),
        (batch("SELECT pg_sleep(0.05)"), "12DCZ"),
        ([query("SELECT 1"), batch("SELECT 1/0"), query("SELECT pg_sleep(0.01)")].concat(), "TDCZ1EZTDCZ"),
        ([query("BEGIN"), query("INSERT INTO items VALUES (1)")].concat(), "CZCZ"),
        (query("COPY items TO STDOUT; SELECT pg_sleep(0.05)"), "HcCTDCZ"),
        (Vec::new(), ""),
    ] {
        for busy in [false, true] {
            let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
            let mut holder = house.client();
            if busy {
                holder.rows("BEGIN; SELECT 1");
            }
            for client in [&mut client, &mut direct] {
                client.send(&[says.clone(), terminate()].concat());
            }
            assert_eq!(tags(&direct.read_until_closed()), hears);
            if busy {
                holder.rows("COMMIT");
            }
            assert_eq!(tags(&client.read_until_closed()), hears, "{} busy {busy}", says.escape_ascii());
        }
    }
    // Whose last batch has no end is gone at once, and so is who copies; what runs for somebody who closes his socket is cancelled as ever.
    for says in [
        [parse("", "SELECT pg_sleep(60)", &[]), bind("", "", &[]), execute("", 0), flush(), terminate()].concat(),
        [query("COPY items FROM STDIN"), terminate()].concat(),
    ] {
        let mut client = house.client();
        client.send(&says);
        client.read_until_closed();
        assert_eq!(one(&mut house.client(), "SELECT 'next'"), "next");
    }
    let mut client = house.client();
    client.send(&[query("SELECT pg_sleep(60)"), terminate()].concat());
    assert!(poll(SOON, || watch.sessions("wait_event = 'PgSleep'") == 1));
    drop(client);
    watch.wait_until_settled();
    assert_eq!(house.postgres.sql("SELECT count(*) FROM items"), [["0"]]);
}

/// COPY both ways by a named statement, at either server, again and again.
fn a_named_copy(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE items (id int PRIMARY KEY); GRANT ALL ON items TO app");
    let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
    let prepare = [parse("in", "COPY items FROM STDIN", &[]), parse("out", "COPY items TO STDOUT", &[]), sync()].concat();
    let start = [bind("", "in", &[]), execute("", 0)].concat();
    let rows = |from: u32, to: u32| (from..to).flat_map(|id| frame(b'd', format!("{id}\n").as_bytes())).collect::<Vec<u8>>();
    let (done, failed) = (frame(b'c', &[]), frame(b'f', b"no more\0"));
    let out = [bind("", "out", &[]), execute("", 0), sync()].concat();
    let mut said: [Vec<String>; 2] = Default::default();
    for (said, client) in said.iter_mut().zip([&mut client, &mut direct]) {
        client.send(&prepare);
        said.push(tags(&client.read_until_ready()));
        let mut holder = house.client();
        for round in 0..4 {
            if round % 2 == 0 {
                holder.rows("BEGIN; SELECT 1");
            }
            let (from, to) = (round * 100, round * 100 + 100);
            client.send(&[start.clone(), rows(from, to), done.clone(), sync()].concat());
            let messages = client.read_until_ready();
            said.push(format!("{} {}", tags(&messages), messages[messages.len() - 2].text()));
            // The client gives up; a key that is there already.
            for (rows, end) in [(rows(1000, 1010), &failed), (rows(from, to), &done)] {
                client.send(&[start.clone(), rows, end.clone(), sync()].concat());
                let messages = client.read_until_ready();
                said.push(format!("{} {}", tags(&messages), error(&messages)[&'C']));
            }
            client.send(&out);
            said.push(tags(&client.read_until_ready()));
            if round % 2 == 0 {
                holder.rows("COMMIT");
            }
        }
        house.postgres.sql("TRUNCATE items");
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].contains(&"2GCZ COPY 100".to_string()), "{said:?}");
}

/// A client with fifty thousand prepared statements is served as quickly as it was with one.
fn many_names_cost_nothing(version: Version) {
    let house = House::new(version, 1, "prepared_statements_limit = 100\ncheckout_timeout = 20000");
    let (mut client, mut other) = (house.client(), house.client());
    let prepares = |client: &mut Raw, names: std::ops::Range<u32>| {
        for from in names.step_by(1000) {
            let all: Vec<u8> = (from..from + 1000).flat_map(|i| parse(&format!("s{i}"), &format!("SELECT {i}"), &[])).collect();
            client.send(&[all, sync()].concat());
            assert_eq!(client.read_until_ready().len(), 1001);
        }
    };
    let mut median = |client: &mut Raw, names: [u32; 2]| {
        let mut times: Vec<Duration> = (0..400)
            .map(|i| {
                let name = names[i % 2];
                let asked = Instant::now();
                client.send(&[bind("", &format!("s{name}"), &[]), execute("", 0), sync()].concat());
                let messages = client.read_until_ready();
                assert_eq!(messages[1].text(), name.to_string());
                asked.elapsed()
            })
            .collect();
        times.sort_unstable();
        assert_eq!(one(&mut other, "SELECT 'others'"), "others");
        times[200]
    };
    prepares(&mut client, 0..1000);
    let few = median(&mut client, [7, 990]);
    prepares(&mut client, 1000..50_000);
    let many = median(&mut client, [7, 49_990]);
    println!("a query with a thousand names took {few:?}, with fifty thousand {many:?}");
    assert!(many < few * 4 + Duration::from_millis(1), "{few:?}, then {many:?}");
    assert!(one(&mut client, "SELECT count(*) FROM pg_prepared_statements").parse::<u32>().expect("a count") <= 100);
}

/// `cleaned` counts servers that were made like new for the next client, and nothing else.
fn cleanings_are_counted(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 20000");
    let mut watch = house.watch();
    let mut cleaned = || watch.show("STATS").iter().map(|row| row["total_cleaned"].parse::<u64>().expect("a number")).sum::<u64>();
    let mut clients = [house.client(), house.client()];
    for _ in 0..3 {
        for client in &mut clients {
            client.rows("SET work_mem = '7MB'");
            client.rows("BEGIN; CREATE TEMP TABLE gone (a int) ON COMMIT DROP; COMMIT");
        }
    }
    assert_eq!(cleaned(), 0, "what differs is set, and nothing more");
    for times in 1..=2 {
        let mut leaves = house.client();
        leaves.rows("CREATE TEMP TABLE stays (a int)");
        drop(leaves);
        assert_eq!(one(&mut clients[0], "SELECT to_regclass('pg_temp.stays') IS NULL"), "t");
        assert_eq!(cleaned(), times);
    }
}

/// What servers say to everybody is known once one has said it: from then on a login needs none.
fn a_login_while_all_servers_are_down(version: Version) {
    let postgres = Postgres::start(version);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, 1, "checkout_timeout = 300\nconnect_attempts = 1");
    house.warm_up();
    let told = house.client().parameter("server_version").map(str::to_string);
    shim.refuse(true);
    shim.reset_all();
    let mut watch = house.watch();
    wait_until("pg_dog has noticed", SOON, || watch.pools("sv_total") == 0);
    for parameters in [&[][..], &[("application_name", "late"), ("DateStyle", "German, DMY")]] {
        let mut client = Raw::try_login(&house.login("app"), parameters).expect("a login needs no server");
        assert_eq!(client.parameter("server_version").map(str::to_string), told);
        assert_eq!(client.parameter("client_encoding"), Some("UTF8"));
        client.send(&query("SELECT 1"));
        assert!(error(&client.read_until_closed())[&'C'].starts_with("08"), "and all else does");
    }
    shim.refuse(false);
    wait_until("they are back", SOON, || Raw::try_login(&house.login("app"), &[]).is_ok_and(|mut client| client.query("SELECT 1").len() == 4));
}

/// `server_lifetime_jitter` above `server_lifetime`: about half of all connections end as soon as they may, and the others later than anybody waits.
fn a_jitter_above_the_lifetime(version: Version) {
    let house = House::new(version, 24, "server_lifetime = 60000\nserver_lifetime_jitter = 3600000\ncheckout_timeout = 20000");
    let mut clients: Vec<Raw> = (0..24).map(|_| house.client()).collect();
    let mut round = || {
        let pids: Vec<String> = clients.iter_mut().map(|client| client.rows("BEGIN; SELECT pg_backend_pid()").concat().concat()).collect();
        clients.iter_mut().for_each(|client| drop(client.rows("COMMIT")));
        pids
    };
    let (first, second) = (round(), round());
    let stay = first.iter().filter(|pid| second.contains(pid)).count();
    // All or none of them: once in eight million runs.
    assert!((1..24).contains(&stay), "{stay} of 24 stay");
    house.watch().wait_until_settled();
}
