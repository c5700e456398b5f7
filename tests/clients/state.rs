//! What one client leaves in a session never reaches the next, and what it asked for when it connected is always there.

use super::house::{House, one};
use super::support::{Raw, Version, raw};

crate::on_both!(nothing_is_inherited, what_was_asked_for_stays, session_mode_starts_clean);

/// What a client may leave, what the next one looks for, and what it has to find.
const LEFT: &[(&str, &str, &str)] = &[
    ("SET work_mem = '77MB'", "SHOW work_mem", "4MB"),
    ("SET search_path = pg_temp, nowhere", "SHOW search_path", "\"$user\", public"),
    ("SET default_transaction_read_only = on", "SHOW default_transaction_read_only", "off"),
    ("SET statement_timeout = '1h'", "SHOW statement_timeout", "0"),
    ("SET my.own = 'mine'", "SELECT coalesce(current_setting('my.own', true), '')", ""),
    ("BEGIN; SET work_mem = '77MB'; COMMIT", "SHOW work_mem", "4MB"),
    ("DO $$ BEGIN SET work_mem = '77MB'; END $$", "SHOW work_mem", "4MB"),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SHOW default_transaction_isolation", "read committed"),
    ("CREATE TEMP TABLE stays (a int)", "SELECT to_regclass('pg_temp.stays') IS NULL", "t"),
    ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()", "0"),
    ("PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements", "0"),
    ("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT", "SELECT count(*) FROM pg_cursors", "0"),
    ("SET TimeZone = 'Asia/Tokyo'", "SHOW TimeZone", "UTC"),
    ("SET DateStyle = 'German'", "SHOW DateStyle", "ISO, MDY"),
    ("SET application_name = 'left'", "SHOW application_name", ""),
    ("SET client_encoding = 'LATIN1'", "SHOW client_encoding", "UTF8"),
    ("SET standard_conforming_strings = off", "SHOW standard_conforming_strings", "on"),
];

fn nothing_is_inherited(version: Version) {
    // Two servers: what is left keeps its client at one of them, or is left for the next client.
    let house = House::new(version, 2, "");
    let mut others: Vec<Raw> = (0..3).map(|_| house.client()).collect();
    for (i, (leaves, looks, finds)) in LEFT.iter().enumerate() {
        let mut client = house.client();
        client.rows(leaves);
        let other = &mut others[i % 3];
        assert_eq!(one(other, looks), *finds, "{leaves}, while its client is there");
        drop(client);
        assert_eq!(one(&mut house.client(), looks), *finds, "{leaves}, after its client has gone");
        let mut client = house.client();
        client.rows(leaves);
        client.send(&raw::terminate());
        client.read_until_closed();
        assert_eq!(one(other, looks), *finds, "{leaves}, after its client has said goodbye");
    }
    let mut watch = house.watch();
    watch.wait_until_settled();
    let own = "SELECT name, setting FROM pg_settings WHERE source = 'session'";
    assert_eq!(others[0].rows(own), watch.direct.rows(own), "a session has settings of its own");
}

fn what_was_asked_for_stays(version: Version) {
    let house = House::new(version, 2, "checkout_timeout = 20000");
    let asked = |name: &str| {
        let options = format!("-c work_mem={}MB -c statement_timeout=10{}s", 10 + name.len(), name.len());
        let parameters = [("application_name", name), ("TimeZone", if name.len() > 3 { "Asia/Tokyo" } else { "UTC" }), ("options", options.as_str())];
        Raw::try_login(&house.login("app"), &parameters).expect("the login is right")
    };
    let mut clients: Vec<(usize, Raw)> = ["a", "bb", "ccc", "dddd", "eeeee"].iter().map(|name| (name.len(), asked(name))).collect();
    for _ in 0..5 {
        for (len, client) in &mut clients {
            let shown = client.rows("SELECT current_setting('work_mem'), length(current_setting('application_name')), current_setting('TimeZone')");
            let zone = if *len > 3 { "Asia/Tokyo" } else { "UTC" };
            assert_eq!(shown, [[format!("{}MB", 10 + *len), len.to_string(), zone.to_string()]]);
            assert_eq!(client.parameter("TimeZone"), Some(zone));
        }
        let mut plain = house.client();
        assert_eq!(plain.rows("SELECT current_setting('work_mem'), current_setting('application_name')"), [["4MB", ""]]);
    }
    // A tracked parameter that a client sets by itself goes with it to its next server.
    let (_, first) = &mut clients[0];
    first.rows("SET TimeZone = 'Europe/Berlin'");
    let mut holder = house.client();
    for _ in 0..3 {
        holder.rows("BEGIN");
        let (_, first) = &mut clients[0];
        assert_eq!(one(first, "SHOW TimeZone"), "Europe/Berlin");
        assert_eq!(one(&mut clients[3].1, "SHOW TimeZone"), "Asia/Tokyo");
        holder.rows("COMMIT");
    }
    // What the server does not take is the client's error.
    let refused = Raw::try_login(&house.login("app"), &[("work_mem", "lots")]);
    let fields = match refused {
        Err(refusal) => refusal.fields(),
        Ok(mut client) => {
            client.send(&raw::query("SELECT 1"));
            client.read_until(b'E').pop().expect("an error").fields()
        }
    };
    assert!(fields[&'C'] == "22023" && fields[&'M'].contains("work_mem"), "{fields:?}");
    drop((clients, holder));
    house.watch().wait_until_settled();
}

fn session_mode_starts_clean(version: Version) {
    let house = House::new(version, 1, "pooler_mode = \"session\"\ncheckout_timeout = 20000");
    for (leaves, looks, finds) in LEFT {
        let mut client = house.client();
        let pid = one(&mut client, "SELECT pg_backend_pid()");
        client.rows(leaves);
        client.rows("SELECT set_config('work_mem', '88MB', false), pg_advisory_lock(5)");
        drop(client);
        let mut next = house.client();
        assert_eq!(one(&mut next, looks), *finds, "{leaves}");
        assert_eq!(next.rows("SELECT current_setting('work_mem'), pg_backend_pid()"), [["4MB", pid.as_str()]], "{leaves}");
        assert_eq!(one(&mut next, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0", "{leaves}");
    }
}
