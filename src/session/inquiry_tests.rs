//! Questions and what is made of the answers.

use super::*;
use crate::session::suspicion::traits;
use crate::sql::look::look;
use crate::wire::server::data_row;

fn profile(sets: &[(&str, &str)]) -> Profile {
    Profile::new(sets.iter().map(|&(name, value)| (name.to_string(), value.to_string())))
}

fn suspicion(texts: &[&str]) -> Suspicion {
    let mut suspicion = Suspicion::default();
    texts.iter().for_each(|text| suspicion.add(&traits(&look(text.as_bytes()), text.as_bytes(), false)));
    suspicion
}

fn ask(texts: &[&str], pins: Pins, given: &Profile) -> Option<Question> {
    question(&suspicion(texts), pins, given, Made::Any)
}

fn answer(rows: &[(&str, &str, Option<&str>)]) -> Answer {
    let mut answer = Answer::default();
    for (kind, name, value) in rows {
        let hex: Option<String> = value.map(|value| value.bytes().map(|byte| format!("{byte:02x}")).collect());
        let mut words = Vec::new();
        data_row(&mut words, &[Some(kind.as_bytes()), Some(name.as_bytes()), hex.as_ref().map(|hex| hex.as_bytes())]).expect("short");
        answer.row(&words[5..]);
    }
    answer
}

#[test]
fn only_what_is_suspicious_is_asked_about() {
    let given = Profile::default();
    for text in ["SELECT 1", "INSERT INTO t (a) VALUES (now())", "SET LOCAL work_mem = '1MB'", "SET TimeZone = 'UTC'", "BEGIN", "SELECT my_own()"] {
        assert_eq!(ask(&[text], Pins::NONE, &given), None, "{text}");
    }
    for (text, part) in [
        ("SET work_mem = '1MB'", "current_setting('work_mem',true)"),
        ("RESET \"My.Var\"", "current_setting('My.Var',true)"),
        ("SELECT set_config('a.b', 'c', false)", "pg_settings"),
        ("RESET ALL", "'role'"),
        ("CREATE TEMP TABLE t (a int)", "pg_my_temp_schema"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "pg_cursors"),
        ("SELECT pg_advisory_lock(1)", "pg_locks"),
        ("LISTEN x", "pg_listening_channels"),
        ("PREPARE x AS SELECT 1", "pg_prepared_statements"),
    ] {
        let question = ask(&[text], Pins::NONE, &given).expect(text);
        assert!(question.text.contains(part), "{text}: {}", question.text);
    }
    // What keeps the client is asked about again when it may be over.
    assert_eq!(ask(&["SELECT 1"], Pins::LOCKS, &given), None);
    assert!(ask(&["SELECT pg_advisory_unlock(1)"], Pins::LOCKS, &given).expect("asked").text.contains("pg_locks"));
    assert!(ask(&[], Pins::UNKNOWN, &given).expect("asked").text.contains("pg_settings"));
    // Names that PostgreSQL does not list are asked about one by one.
    assert!(ask(&["RESET ALL"], Pins::NONE, &profile(&[("app.x", "1")])).expect("asked").text.contains("'app.x'"));
}

#[test]
fn what_the_server_says_is_what_the_client_wants() {
    let (before, startup) = (profile(&[("work_mem", "1MB"), ("app.x", "1")]), profile(&[("lock_timeout", "5s")]));
    let learn = |texts: &[&str], rows: &[(&str, &str, Option<&str>)]| {
        let question = ask(texts, Pins::NONE, &before).expect("asked");
        answer(rows).profile(&question, &before, &startup)
    };
    let set = learn(&["SET search_path = a"], &[("p", "search_path", Some("a"))]).expect("changed");
    assert_eq!((set.get("search_path"), set.get("work_mem")), (Some("a"), Some("1MB")));
    assert_eq!(learn(&["SET work_mem = '2MB'"], &[("p", "work_mem", Some("1MB"))]), None, "it was rolled back");
    let reset = learn(&["RESET work_mem"], &[("p", "work_mem", Some("4MB"))]).expect("changed");
    assert_eq!(reset.get("work_mem"), None);
    assert_eq!(learn(&["RESET work_mem"], &[("p", "work_mem", Some("1MB"))]), None, "the reset was rolled back");
    let both = learn(&["SET work_mem = '4MB'", "RESET work_mem"], &[("p", "work_mem", Some("4MB"))]).expect("changed");
    assert_eq!(both.get("work_mem"), Some("4MB"));
    let restored = learn(&["RESET lock_timeout"], &[("p", "lock_timeout", Some("5s"))]).expect("changed");
    assert_eq!(restored.get("lock_timeout"), Some("5s"));
    // All of them: what is not said is not set.
    let all = learn(&["RESET ALL"], &[("p", "lock_timeout", Some("5s")), ("p", "role", Some("none")), ("p", "app.x", Some(""))]).expect("changed");
    assert_eq!(all, profile(&[("lock_timeout", "5s")]));
    let role = learn(&["DO $$ BEGIN SET role TO x; END $$"], &[("p", "role", Some("x")), ("p", "app.x", Some("1")), ("p", "work_mem", Some("1MB"))]);
    assert_eq!(role.expect("changed").get("role"), Some("x"));
    // Reported ones come by their reports.
    assert_eq!(
        learn(&["SELECT set_config($1, $2, false)"], &[("p", "TimeZone", Some("UTC")), ("p", "work_mem", Some("1MB")), ("p", "app.x", Some("1"))]),
        None
    );
}

#[test]
fn reasons_to_stay_come_and_go() {
    let question = |text: &str, pins| ask(&[text], pins, &Profile::default()).expect("asked");
    let temp = question("CREATE TEMP TABLE t (a int)", Pins::NONE);
    assert_eq!(answer(&[("t", "", None)]).pins(&temp, Pins::NONE), Pins::TEMPORARY);
    assert_eq!(answer(&[]).pins(&temp, Pins::NONE), Pins::NONE, "it was dropped at once");
    let unlock = question("SELECT pg_advisory_unlock(1)", Pins::LOCKS.with(Pins::NAMED));
    assert_eq!(answer(&[]).pins(&unlock, Pins::LOCKS.with(Pins::NAMED)), Pins::NAMED);
    let hand = question("SET pgdog.pin TO true", Pins::NONE);
    assert_eq!(answer(&[("p", "pgdog.pin", Some("true"))]).pins(&hand, Pins::NONE), Pins::BY_HAND);
    assert_eq!(answer(&[("p", "pgdog.pin", Some("off"))]).pins(&hand, Pins::BY_HAND), Pins::NONE);
    // An answer that cannot be had, or read, keeps the client where it is until one can.
    let mut bad = answer(&[("p", "pgdog.pin", Some("off"))]);
    bad.row(b"nonsense");
    assert_eq!(bad.pins(&hand, Pins::NONE), Pins::UNKNOWN);
    assert_eq!(bad.profile(&hand, &Profile::default(), &Profile::default()), None);
    let again = question("SELECT 1", Pins::UNKNOWN);
    assert_eq!(answer(&[]).pins(&again, Pins::UNKNOWN), Pins::NONE);
    assert_eq!(Pins::TEMPORARY.with(Pins::LOCKS).words(), "temporary tables, advisory locks");
}
