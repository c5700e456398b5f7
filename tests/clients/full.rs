//! SQL's PREPARE with `prepared_statements = "full"`: its statements go with their client from server to server, and no other client ever meets them;
//! and what SQL says about statements of the protocol, in whatever text.

use super::house::{House, error, one, tags};
use super::support::raw::{bind, close, describe, execute, parse, query, sync};
use super::support::{Raw, SOON, Version, poll};

crate::on_both!(
    what_sql_prepares_goes_with_its_client,
    what_is_dropped_is_dropped_everywhere,
    the_same_name_means_its_own_to_everybody,
    what_cannot_be_made_again_says_why,
    what_cannot_be_followed_keeps_its_server,
    the_protocol_and_sql_share_their_names,
    sql_speaks_of_the_protocols_statements,
    our_names_are_nobodys,
    functions_run_what_their_client_has,
    the_setting_changes_for_those_who_are_there,
);

const FULL: &str = "prepared_statements = \"full\"\ncheckout_timeout = 20000";
const WHERE: &str = "SELECT pg_backend_pid()";

fn state(client: &mut Raw, text: &str) -> (String, String) {
    let fields = error(&client.query(text));
    (fields[&'C'].clone(), fields[&'M'].clone())
}

fn unknown(name: &str) -> (String, String) {
    ("26000".to_string(), format!("prepared statement \"{name}\" does not exist"))
}

/// Calls `each` with the client at one server of two, and at the other.
fn at_both(house: &House, client: &mut Raw, mut each: impl FnMut(&mut Raw)) {
    let mut holders = [house.client(), house.client()];
    let mut seen = Vec::new();
    for round in 0..4 {
        // Both are taken; the one that is let go is where the client comes.
        for holder in &mut holders {
            holder.rows("BEGIN");
            holder.rows("SELECT 1");
        }
        holders[round % 2].rows("COMMIT");
        each(client);
        seen.push(one(client, WHERE));
        holders[1 - round % 2].rows("COMMIT");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2, "it has been at both");
}

/// Why clients keep their servers, once that is known.
fn pinned(house: &House, expected: &str) {
    let (mut watch, mut found) = (house.watch(), Vec::new());
    let same = poll(SOON, || {
        found = watch.show("CLIENTS").into_iter().map(|row| row["pinned"].clone()).filter(|reason| !reason.is_empty()).collect();
        found.concat() == expected
    });
    assert!(same, "{found:?} instead of {expected:?}");
}

fn what_sql_prepares_goes_with_its_client(version: Version) {
    let house = House::new(version, 2, FULL);
    let mut client = house.client();
    client.rows("PREPARE mine (int) AS SELECT 'mine', $1 + 1");
    // PREPARE is not undone with its transaction.
    client.rows("BEGIN");
    client.rows("PREPARE \"Odd name\" AS SELECT 'odd'");
    client.rows("ROLLBACK");
    client.query("BEGIN; PREPARE third AS SELECT 3; SELECT 1/0");
    client.rows("ROLLBACK");
    client.rows("DO $$ BEGIN EXECUTE 'PREPARE fourth AS SELECT 4'; END $$");
    // One text of several statements cannot be followed.
    pinned(&house, "prepare");
    client.rows("DEALLOCATE third");
    pinned(&house, "");
    at_both(&house, &mut client, |client| {
        assert_eq!(client.rows("EXECUTE mine(4)"), [["mine", "5"]]);
        assert_eq!(client.rows("SELECT 1; EXECUTE \"Odd name\"; execute MINE (6)").concat(), ["1", "odd", "mine", "7"]);
        assert_eq!(client.rows("EXPLAIN (COSTS OFF) EXECUTE fourth"), [["Result"]]);
        client.rows("BEGIN");
        assert_eq!(client.rows("EXECUTE mine(1)"), [["mine", "2"]]);
        client.rows("COMMIT");
        client.rows("DROP TABLE IF EXISTS pg_temp.made");
        client.send(&[parse("", "EXECUTE mine(7)", &[]), bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!((tags(&messages).as_str(), messages[3].columns()[1].as_deref()), ("12TDCZ", Some(&b"8"[..])), "{messages:?}");
        // In the middle of a batch, which fails or not as a whole.
        let batch =
            [parse("", "SELECT 'before'", &[]), bind("", "", &[]), execute("", 0), parse("", "EXECUTE mine(8)", &[]), bind("", "", &[])].concat();
        client.send(&[batch, execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), "12DC12DCZ", "{messages:?}");
    });
    // Prepared by the protocol to be used at either.
    client.send(&[parse("p", "EXECUTE mine(9)", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    at_both(&house, &mut client, |client| {
        client.send(&[bind("", "p", &[]), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), "2DCZ", "{messages:?}");
    });
    pinned(&house, "");
    house.watch().wait_until_settled();
}

fn what_is_dropped_is_dropped_everywhere(version: Version) {
    let house = House::new(version, 2, FULL);
    let mut client = house.client();
    for (drops, tag) in [
        ("DEALLOCATE mine", 1),
        ("DEALLOCATE ALL", 2),
        ("DISCARD ALL", 2),
        ("SELECT 1; DEALLOCATE mine", 1),
        ("BEGIN; DEALLOCATE mine; ROLLBACK", 1),
        ("DO $$ BEGIN EXECUTE 'DEALLOCATE mine'; END $$", 1),
        ("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", 2),
    ] {
        client.rows("PREPARE mine AS SELECT 'the first'");
        client.rows("PREPARE stays AS SELECT 'it is there'");
        at_both(&house, &mut client, |client| assert_eq!(client.rows("EXECUTE mine; EXECUTE stays"), [["the first"], ["it is there"]]));
        client.query(drops);
        at_both(&house, &mut client, |client| {
            assert_eq!(state(client, "EXECUTE mine"), unknown("mine"), "{drops}");
            if tag == 2 {
                assert_eq!(state(client, "EXECUTE stays"), unknown("stays"), "{drops}");
            } else {
                assert_eq!(one(client, "EXECUTE stays"), "it is there", "{drops}");
            }
        });
        client.rows("PREPARE mine AS SELECT 'the second'");
        at_both(&house, &mut client, |client| assert_eq!(one(client, "EXECUTE mine"), "the second", "{drops}"));
        client.rows("DEALLOCATE ALL");
    }
    house.watch().wait_until_settled();
}

fn the_same_name_means_its_own_to_everybody(version: Version) {
    let house = House::new(version, 2, FULL);
    let mut clients: Vec<Raw> = (0..5).map(|_| house.client()).collect();
    let mut nobody = house.client();
    for (i, client) in clients.iter_mut().enumerate() {
        client.rows(&format!("PREPARE mine AS SELECT 'of client {i}'"));
        client.rows(&format!("PREPARE own{i} AS SELECT 'own {i}'"));
    }
    for round in 0..20 {
        for i in 0..5 {
            clients[(i * 3 + round) % 5].send(&query("EXECUTE mine"));
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read_until_ready()[1].text(), format!("of client {i}"));
        }
        let i = round % 5;
        assert_eq!(state(&mut clients[(i + 1) % 5], &format!("EXECUTE own{i}")), unknown(&format!("own{i}")));
        assert_eq!(state(&mut nobody, "EXECUTE mine"), unknown("mine"));
        assert_eq!(one(&mut nobody, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"), "0");
        nobody.rows("PREPARE mine AS SELECT 'of nobody'");
        nobody.rows("DEALLOCATE mine");
        let exists = ("42P05".to_string(), "prepared statement \"mine\" already exists".to_string());
        assert_eq!(state(&mut clients[i], "PREPARE mine AS SELECT 2"), exists);
        assert_eq!(state(&mut clients[i], "PREPARE mine AS SELEC").0, "42601");
        assert_eq!(state(&mut clients[i], "PREPARE mine AS TABLE missing").0, "42P01");
    }
    drop(clients);
    assert_eq!(state(&mut nobody, "EXECUTE mine"), unknown("mine"));
    house.watch().wait_until_settled();
}

fn what_cannot_be_made_again_says_why(version: Version) {
    let house = House::new(version, 2, FULL);
    let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
    house.postgres.psql(&["-c", "CREATE TABLE goes (a int)", "-c", "ALTER TABLE goes OWNER TO app"]).expect_success();
    for client in [&mut client, &mut direct] {
        client.rows("PREPARE mine AS SELECT * FROM goes");
        client.rows("PREPARE stays AS SELECT 1");
    }
    client.rows("EXECUTE mine");
    direct.rows("DROP TABLE goes");
    let expected = state(&mut direct, "EXECUTE mine");
    assert_eq!(expected.0, "42P01");
    at_both(&house, &mut client, |client| {
        assert_eq!(state(client, "EXECUTE mine"), expected);
        assert_eq!(one(client, "EXECUTE stays"), "1");
        client.rows("BEGIN");
        assert_eq!(state(client, "EXECUTE mine"), expected);
        assert_eq!(state(client, "SELECT 1").0, "25P02");
        client.rows("ROLLBACK");
        client.send(&[parse("", "EXECUTE mine", &[]), bind("", "", &[]), execute("", 0), sync()].concat());
        let fields = error(&client.read_until_ready());
        assert_eq!((fields[&'C'].clone(), fields[&'M'].clone()), expected);
    });
    house.postgres.psql(&["-c", "CREATE TABLE goes (a int)", "-c", "ALTER TABLE goes OWNER TO app"]).expect_success();
    at_both(&house, &mut client, |client| assert!(client.rows("EXECUTE mine").is_empty()));
}

fn what_cannot_be_followed_keeps_its_server(version: Version) {
    let house = House::new(version, 2, FULL);
    let large = format!("PREPARE mine AS SELECT 'it is mine' /* {} */", "x".repeat(20_000));
    for prepares in [
        "SELECT 1; PREPARE mine AS SELECT 'it is mine'",
        "PREPARE mine AS SELECT 'it is mine', 'ä'",
        &large,
        "PREPARE mine AS SELECT 'it is mine', 'now'::date",
    ] {
        let (mut client, mut other) = (house.client(), house.client());
        client.rows(prepares);
        pinned(&house, "prepare");
        for _ in 0..3 {
            assert_eq!(client.rows("EXECUTE mine")[0][0], "it is mine");
            assert_eq!(state(&mut other, "EXECUTE mine"), unknown("mine"));
        }
        client.rows("DEALLOCATE mine");
        pinned(&house, "");
    }
    house.watch().wait_until_settled();
}

fn the_protocol_and_sql_share_their_names(version: Version) {
    let house = House::new(version, 2, FULL);
    let mut client = house.client();
    client.rows("PREPARE mine (int) AS SELECT 'mine', $1");
    at_both(&house, &mut client, |client| {
        client.send(&[describe(b'S', "mine"), bind("", "mine", &[Some("3")]), execute("", 0), sync()].concat());
        let messages = client.read_until_ready();
        assert_eq!(tags(&messages), "tT2DCZ", "{messages:?}");
        client.send(&[parse("mine", "SELECT 1", &[]), sync()].concat());
        assert_eq!(error(&client.read_until_ready())[&'C'], "42P05");
        client.send(&[parse("mine", "SELEC", &[]), sync()].concat());
        assert_eq!(error(&client.read_until_ready())[&'C'], "42601");
    });
    client.send(&[close(b'S', "mine"), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "3Z");
    at_both(&house, &mut client, |client| assert_eq!(state(client, "EXECUTE mine(1)"), unknown("mine")));
    client.send(&[parse("mine", "SELECT 'of the protocol'", &[]), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "1Z");
    at_both(&house, &mut client, |client| {
        assert_eq!(state(client, "PREPARE mine AS SELECT 1").0, "42P05");
        assert_eq!(state(client, "PREPARE mine AS SELEC").0, "42601");
        assert_eq!(one(client, "EXECUTE mine"), "of the protocol");
    });
    pinned(&house, "");
}

fn sql_speaks_of_the_protocols_statements(version: Version) {
    for mode in ["extended", "full"] {
        let house = House::new(version, 2, &format!("prepared_statements = \"{mode}\"\ncheckout_timeout = 20000"));
        let (mut client, mut other) = (house.client(), house.client());
        let prepare = |client: &mut Raw, text: &str| {
            client.send(&[parse("mine", text, &[]), sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "1Z", "{mode}");
        };
        let used = |client: &mut Raw| {
            client.send(&[bind("", "mine", &[Some("5")]), execute("", 0), sync()].concat());
            client.read_until_ready()
        };
        prepare(&mut client, "SELECT 'mine', $1::int");
        prepare(&mut other, "SELECT 'not mine', $1::int");
        at_both(&house, &mut client, |client| {
            assert_eq!(client.rows("EXECUTE mine(5)"), [["mine", "5"]], "{mode}");
            assert_eq!(client.rows("SELECT 'a', 'b'; EXECUTE mine(6)"), [["a", "b"], ["mine", "6"]], "{mode}");
            assert_eq!(tags(&used(client)), "2DCZ", "{mode}");
            assert_eq!(other.rows("EXECUTE mine(7)"), [["not mine", "7"]], "{mode}");
        });
        for drops in [
            "SELECT 1; DEALLOCATE mine",
            "BEGIN; DEALLOCATE mine; ROLLBACK",
            "DEALLOCATE mine; SELECT 1",
            "DO $$ BEGIN EXECUTE 'DEALLOCATE mine'; END $$",
        ] {
            client.query(drops);
            at_both(&house, &mut client, |client| {
                assert_eq!(error(&used(client))[&'C'], "26000", "{mode}: {drops}");
                assert_eq!(state(client, "SELECT 1; EXECUTE mine(1)"), unknown("mine"), "{mode}: {drops}");
            });
            prepare(&mut client, "SELECT 'mine again', $1::int");
            assert_eq!(client.rows("EXECUTE mine(5)"), [["mine again", "5"]], "{mode}: {drops}");
        }
        // What goes by the protocol goes for SQL too, at once.
        client.send(&[close(b'S', "mine"), parse("mine", "SELECT 'a third', $1::int", &[]), sync(), query("EXECUTE mine(1)")].concat());
        assert_eq!(tags(&client.read_until_ready()), "31Z", "{mode}");
        assert_eq!(client.read_until_ready()[1].text(), "a third", "{mode}");
        client.rows("DEALLOCATE mine");
        assert_eq!(state(&mut client, "EXECUTE mine(1)"), unknown("mine"), "{mode}");
        assert_eq!(other.rows("EXECUTE mine(7)"), [["not mine", "7"]], "{mode}");
        pinned(&house, "");
        house.watch().wait_until_settled();
    }
}

fn our_names_are_nobodys(version: Version) {
    let house = House::new(version, 1, FULL);
    let (mut client, mut other) = (house.client(), house.client());
    other.send(&[parse("theirs", "SELECT 'theirs'", &[]), sync()].concat());
    assert_eq!(tags(&other.read_until_ready()), "1Z");
    let name = one(&mut other, "SELECT name FROM pg_prepared_statements");
    let pid = one(&mut other, WHERE);
    for text in ["EXECUTE", "DEALLOCATE"] {
        for name in [name.as_str(), "__pgdog_999"] {
            assert_eq!(state(&mut client, &format!("{text} {name}")), unknown(name));
            assert_eq!(state(&mut client, &format!("SELECT 1; {text} {name}")).0, "42602");
            assert_eq!(state(&mut client, &format!("DO $$ BEGIN EXECUTE '{text} {name}'; PERFORM 'prepare'; END $$")).0, "42602");
            client.send(&[parse("", &format!("{text} {name}"), &[]), bind("", "", &[]), execute("", 0), sync()].concat());
            assert_eq!(error(&client.read_until_ready())[&'C'], "26000");
        }
    }
    assert_eq!(state(&mut client, "PREPARE __pgdog_7 AS SELECT 1").0, "42602");
    // And nothing was made anew for it.
    assert_eq!(one(&mut client, "SELECT string_agg(name, ' ') FROM pg_prepared_statements"), name);
    assert_eq!(one(&mut client, WHERE), pid);
    assert_eq!(one(&mut client, "SELECT '__pgdog_1'"), "__pgdog_1");
}

fn functions_run_what_their_client_has(version: Version) {
    let house = House::new(version, 2, FULL);
    let sql = "CREATE FUNCTION runs(what text) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN EXECUTE what; RETURN 1; END $f$";
    house.postgres.psql(&["-q", "-c", sql]).expect_success();
    let (mut client, mut other) = (house.client(), house.client());
    client.rows("PREPARE mine AS SELECT 1");
    at_both(&house, &mut client, |client| assert_eq!(one(client, "SELECT runs('DEALLOCATE mine; PREPARE mine AS SELECT 1')"), "1"));
    at_both(&house, &mut other, |other| assert_eq!(state(other, "SELECT runs('DEALLOCATE mine')"), unknown("mine")));
}

fn the_setting_changes_for_those_who_are_there(version: Version) {
    let house = House::new(version, 2, "prepared_statements = \"extended\"\ncheckout_timeout = 20000");
    let mut watch = house.watch();
    let mut client = house.client();
    client.rows("PREPARE mine AS SELECT 'mine'");
    pinned(&house, "prepare");
    client.rows("DEALLOCATE mine");
    pinned(&house, "");
    let set = |watch: &mut super::house::Watch, mode: &str| {
        watch.admin.query(&format!("SET prepared_statements TO '{mode}'"));
        let same = poll(SOON, || watch.show("CONFIG").iter().any(|row| row["name"] == "prepared_statements" && row["value"] == mode));
        assert!(same, "{mode}");
    };
    set(&mut watch, "full");
    client.rows("PREPARE mine AS SELECT 'mine'");
    at_both(&house, &mut client, |client| assert_eq!(one(client, "EXECUTE mine"), "mine"));
    pinned(&house, "");
    let prepare = |client: &mut Raw, name: &str| {
        client.send(&[parse(name, "SELECT 'by the protocol'", &[]), bind("", name, &[]), execute("", 0), sync()].concat());
        tags(&client.read_until_ready())
    };
    assert_eq!(prepare(&mut client, "shared"), "12DCZ");
    // One that is at the server would be a reason to stay as well.
    client.rows("DEALLOCATE mine");
    set(&mut watch, "disabled");
    // What it had it has, and what comes now keeps its server.
    client.send(&[bind("", "shared", &[]), execute("", 0), sync()].concat());
    assert_eq!(tags(&client.read_until_ready()), "2DCZ");
    assert_eq!(prepare(&mut client, "shared"), "EZ");
    assert_eq!(prepare(&mut client, "kept"), "12DCZ");
    pinned(&house, "named statements");
    client.rows("DISCARD ALL");
    pinned(&house, "");
    house.watch().wait_until_settled();
}
