//! What a client leaves in its session in transaction mode: it goes on using it on the very server that has it, which is nobody else's until it is
//! gone; the reason is shown; and whoever comes after its end finds nothing of it.

use super::house::{House, Watch, error, general_of, one};
use super::support::{Raw, SOON, Version, config, poll, raw, wait_until};

crate::on_both!(
    left_overs_stay_their_clients_own,
    nothing_is_left_by_those_who_go,
    what_was_undone_is_no_reason,
    what_no_text_shows_reaches_nobody,
    a_pinned_server_is_worth_waiting_for,
    large_objects_need_no_server
);

/// Something that can be left.
struct LeftOver {
    /// how it comes to be
    leaves: &'static str,
    /// a query and its only value, as long as it is there
    uses: (&'static str, &'static str),
    /// how it goes
    frees: &'static str,
    /// why its client keeps its server, as SHOW CLIENTS says it
    reason: &'static str,
}

const fn left(leaves: &'static str, uses: (&'static str, &'static str), frees: &'static str, reason: &'static str) -> LeftOver {
    LeftOver { leaves, uses, frees, reason }
}

const OWN_LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";

const LEFT_OVERS: [LeftOver; 21] = [
    left("CREATE TEMP TABLE stays AS SELECT 7 AS a", ("SELECT a FROM stays", "7"), "DROP TABLE stays", "temporary tables"),
    left("SELECT 8 AS a INTO TEMP stays", ("SELECT a FROM pg_temp.stays", "8"), "DISCARD TEMP", "temporary tables"),
    left("CREATE TABLE pg_temp.stays AS SELECT 9 AS a", ("SELECT a FROM stays", "9"), "DROP TABLE pg_temp.stays", "temporary tables"),
    left("CREATE TEMPORARY SEQUENCE stays START 5", ("SELECT last_value FROM stays", "5"), "DISCARD ALL", "temporary tables"),
    left("CREATE TEMP VIEW stays AS SELECT 4 AS a", ("SELECT a FROM stays", "4"), "BEGIN; DROP VIEW stays; COMMIT", "temporary tables"),
    left(
        "BEGIN; CREATE TEMP TABLE stays (a int) ON COMMIT DELETE ROWS; INSERT INTO stays VALUES (1); COMMIT",
        ("SELECT count(*) FROM stays", "0"),
        "DROP TABLE stays",
        "temporary tables",
    ),
    left("DO $$ BEGIN CREATE TEMP TABLE stays AS SELECT 3 AS a; END $$", ("SELECT a FROM stays", "3"), "DROP TABLE stays", "temporary tables"),
    left(
        "CREATE FUNCTION pg_temp.stays() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        ("SELECT pg_temp.stays()", "2"),
        "DROP FUNCTION pg_temp.stays()",
        "temporary tables",
    ),
    left("CREATE TYPE pg_temp.stays AS ENUM ('glad')", ("SELECT 'glad'::stays", "glad"), "DROP TYPE stays", "temporary tables"),
    left("CREATE DOMAIN pg_temp.stays AS int CHECK (value > 0)", ("SELECT 1::stays", "1"), "DISCARD TEMP", "temporary tables"),
    left("BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 9; COMMIT", ("FETCH ABSOLUTE 1 FROM c", "9"), "CLOSE c", "cursors with hold"),
    left("BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 8; COMMIT", ("FETCH FIRST IN c", "8"), "CLOSE ALL", "cursors with hold"),
    left("SELECT pg_advisory_lock(5)", (OWN_LOCKS, "1"), "SELECT pg_advisory_unlock(5)", "advisory locks"),
    left("SELECT pg_try_advisory_lock(5, 6)", (OWN_LOCKS, "1"), "SELECT pg_advisory_unlock_all()", "advisory locks"),
    left("BEGIN; SELECT pg_advisory_lock_shared(5); ROLLBACK", (OWN_LOCKS, "1"), "SELECT pg_advisory_unlock_shared(5)", "advisory locks"),
    left("LISTEN news", ("SELECT count(*) FROM pg_listening_channels()", "1"), "UNLISTEN news", "listen"),
    left("BEGIN; LISTEN \"Odd news\"; COMMIT", ("SELECT pg_listening_channels()", "Odd news"), "UNLISTEN *", "listen"),
    left("PREPARE mine AS SELECT 11", ("EXECUTE mine", "11"), "DEALLOCATE mine", "prepare"),
    left("PREPARE mine (int) AS SELECT $1 + 1", ("EXECUTE mine (11)", "12"), "DEALLOCATE ALL", "prepare"),
    left("SET pgdog.pin TO true", ("SHOW pgdog.pin", "true"), "SET pgdog.pin TO false", "pgdog.pin"),
    left("SET pgdog.pin = 'on'", ("SHOW pgdog.pin", "on"), "RESET pgdog.pin", "pgdog.pin"),
];

/// Everything that a session may hold; all 0 in a fresh one.
pub const HELD: &str = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()), (SELECT count(*) FROM pg_cursors),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
    (SELECT count(*) FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val)";

/// What there is in a fresh one.
pub const NOTHING: [&str; 7] = ["0"; 7];

fn pid(client: &mut Raw) -> String {
    one(client, "SELECT pg_backend_pid()")
}

/// Why clients keep their servers, of all who do.
fn reasons(watch: &mut Watch) -> Vec<String> {
    let rows = watch.show("CLIENTS").into_iter();
    rows.map(|row| row["pinned"].clone()).filter(|reason| !reason.is_empty()).collect()
}

/// Waits until exactly these reasons are shown: the server is asked behind the client's own answer.
fn wait_for_reasons(watch: &mut Watch, expected: &[&str], after: &str) {
    let mut found = Vec::new();
    let same = poll(SOON, || {
        found = reasons(watch);
        found == expected
    });
    assert!(same, "{found:?} instead of {expected:?} after {after}");
}

/// Both servers are anybody's, and there is nothing in them.
fn both_are_shared_and_empty(two: &mut [Raw; 2], after: &str) {
    for client in &mut *two {
        client.rows("BEGIN");
        client.rows("SELECT 1");
    }
    for client in &mut *two {
        assert_eq!(client.rows(HELD), [NOTHING], "{after}");
        client.rows("COMMIT");
    }
}

fn left_overs_stay_their_clients_own(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 10000");
    let mut watch = house.watch();
    let mut others = [house.client(), house.client()];
    let mut client = house.client();
    for LeftOver { leaves, uses: (uses, value), frees, reason } in LEFT_OVERS {
        client.rows(leaves);
        let mine = pid(&mut client);
        wait_for_reasons(&mut watch, &[reason], leaves);
        for _ in 0..3 {
            // Both want a server, and get the other one in turn.
            for other in &mut others {
                assert_ne!(pid(other), mine, "{leaves}");
                assert_eq!(other.rows(HELD), [NOTHING], "{leaves}");
            }
            assert_eq!(one(&mut client, uses), value, "{leaves}");
            assert_eq!(pid(&mut client), mine, "{leaves}");
        }
        client.rows(frees);
        wait_for_reasons(&mut watch, &[], frees);
        both_are_shared_and_empty(&mut others, leaves);
    }
    drop(client);
    watch.wait_until_settled();
}

fn nothing_is_left_by_those_who_go(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 10000");
    let mut watch = house.watch();
    let mut others = [house.client(), house.client()];
    for (i, LeftOver { leaves, reason, .. }) in LEFT_OVERS.iter().enumerate() {
        let mut client = house.client();
        client.rows(leaves);
        client.rows("SET work_mem = '77MB'");
        // Every other time pg_dog itself has hardly heard of it.
        if i % 8 < 4 {
            wait_for_reasons(&mut watch, &[reason], leaves);
        }
        match i % 4 {
            0 => drop(client),
            1 => client.reset(),
            2 => {
                client.send(&raw::terminate());
                client.read_until_closed();
            }
            // In a transaction that has failed.
            _ => {
                client.query("BEGIN; SELECT 1/0");
                drop(client);
            }
        }
        both_are_shared_and_empty(&mut others, leaves);
    }
    watch.wait_until_settled();
}

fn what_was_undone_is_no_reason(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 10000");
    let mut watch = house.watch();
    let (mut client, mut other) = (house.client(), house.client());
    for text in [
        "BEGIN; CREATE TEMP TABLE gone (a int); ROLLBACK",
        "BEGIN; CREATE TEMP TABLE gone (a int) ON COMMIT DROP; COMMIT",
        "CREATE TEMP TABLE gone (a int); DROP TABLE gone",
        "CREATE TEMP TABLE gone (a int); SELECT 1/0",
        "BEGIN; SAVEPOINT a; CREATE TEMP TABLE gone (a int); ROLLBACK TO a; COMMIT",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT",
        "BEGIN; SELECT pg_advisory_xact_lock(5); COMMIT",
        "SELECT pg_advisory_lock(5), pg_advisory_unlock(5)",
        "BEGIN; LISTEN news; ROLLBACK",
        "PREPARE gone AS SELECT 1; DEALLOCATE gone",
        "BEGIN; SET pgdog.pin TO true; ROLLBACK",
        "BEGIN; SET LOCAL pgdog.pin TO true; COMMIT",
        "SELECT 'CREATE TEMP TABLE t (a int); LISTEN x; PREPARE y AS SELECT pg_advisory_lock(1)' /* LISTEN z */ -- PREPARE q",
    ] {
        client.query(text);
        // With one server, the other one could not have an answer.
        assert_eq!(other.rows(HELD), [NOTHING], "{text}");
        wait_for_reasons(&mut watch, &[], text);
    }
    watch.wait_until_settled();
}

fn what_no_text_shows_reaches_nobody(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 10000");
    for (name, body) in [
        ("makes", "CREATE TEMP TABLE stays AS SELECT 1 AS a"),
        ("locks", "PERFORM pg_advisory_lock(5)"),
        ("listens", "LISTEN news"),
        ("sets", "SET work_mem = '77MB'"),
        ("opens", "EXECUTE 'PREPARE stays AS SELECT 1; PREPARE \"stays too\" AS SELECT 2'"),
    ] {
        let sql = format!("CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {body}; RETURN 1; END $f$");
        house.postgres.psql(&["-q", "-c", &sql]).expect_success();
    }
    let (mut client, mut other) = (house.client(), house.client());
    for name in ["makes", "locks", "listens", "sets"] {
        client.rows(&format!("SELECT {name}()"));
        assert_eq!(other.rows(HELD), [NOTHING], "{name}");
    }
    // What is prepared is there until somebody speaks of prepared statements, and nobody uses it.
    for text in
        ["EXECUTE stays", "DEALLOCATE stays", "SELECT 1; EXECUTE \"stays too\"", "DO $$ BEGIN EXECUTE 'DEALLOCATE stays'; END $$ /* prepare */"]
    {
        client.rows("SELECT opens()");
        assert_eq!(error(&other.query(text))[&'C'], "26000", "{text}");
        client.rows("SELECT opens()");
        other.rows("PREPARE stays AS SELECT 'of the other'");
        assert_eq!(one(&mut other, "EXECUTE stays"), "of the other");
        other.rows("DEALLOCATE stays");
        client.rows("SELECT opens()");
        other.rows("SELECT 1");
        assert_eq!(client.rows(HELD), [NOTHING], "the third finds nothing at all");
    }
    // A parameter whose name is a value.
    let bound = [raw::bind("", "", &[Some("my.param"), Some("mine")]), raw::execute("", 0), raw::sync()].concat();
    client.send(&[raw::parse("", "SELECT set_config($1, $2, false)", &[]), bound].concat());
    client.read_until_ready();
    assert_eq!(one(&mut other, "SELECT coalesce(current_setting('my.param', true), '')"), "");
    assert_eq!(one(&mut client, "SELECT current_setting('my.param', true)"), "mine");
    house.watch().wait_until_settled();
}

fn a_pinned_server_is_worth_waiting_for(version: Version) {
    let house = House::new(version, 1, "checkout_timeout = 300\nclient_connection_recovery = \"recover\"");
    house.warm_up();
    let (mut client, mut other) = (house.client(), house.client());
    client.rows("CREATE TEMP TABLE stays (a int)");
    let refused = other.query("SELECT 1");
    assert!(refused.iter().any(|message| message.tag == b'E'), "{refused:?}");
    // Who waits has the server as soon as it is anybody's, clean.
    let mut house = house;
    house.dog.write_config(&config(&house.postgres, &general_of(1, "checkout_timeout = 15000"), ""));
    house.dog.signal("HUP");
    let mut watch = house.watch();
    wait_until("the reload", SOON, || watch.show("CONFIG").iter().any(|row| row["name"] == "checkout_timeout" && row["value"] == "15s"));
    other.send(&raw::query(HELD));
    wait_until("it waits", SOON, || watch.pools("cl_waiting") == 1);
    client.rows("DROP TABLE stays");
    let answer = other.read_until_ready();
    let row = answer.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{answer:?}"));
    assert_eq!(row.columns(), vec![Some(b"0".to_vec()); 7]);
    other.send(&raw::query("SELECT 'next'"));
    assert_eq!(other.read_until_ready()[1].text(), "next");
    watch.wait_until_settled();
}

fn large_objects_need_no_server(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 10000");
    let mut watch = house.watch();
    let (mut client, mut other) = (house.client(), house.client());
    let object = one(&mut client, "SELECT lo_from_bytea(0, 'written')");
    client.rows("BEGIN");
    assert_eq!(one(&mut client, &format!("SELECT lo_open({object}, 393216)")), "0");
    assert_eq!(one(&mut client, "SELECT lowrite(0, 'WRIT')"), "4");
    client.rows("COMMIT");
    wait_for_reasons(&mut watch, &[], "a large object");
    // A descriptor ends with its transaction.
    assert!(client.query("SELECT loread(0, 4)").iter().any(|message| message.tag == b'E'));
    assert_eq!(one(&mut other, &format!("SELECT convert_from(lo_get({object}), 'UTF8')")), "WRITten");
    client.rows(&format!("SELECT lo_unlink({object})"));
    watch.wait_until_settled();
}
