//! Tests of SET and of the command line's keys.

use crate::config::inputs::{Inputs, Line};
use crate::config::snapshot::{General, PoolerMode};
use crate::config::{Loaded, Source, load};

const MAIN: &str = "[general]\ncheckout_timeout = 7\npooler_mode = \"transaction\"\ndefault_pool_size = 3\n\
    [[databases]]\nname = \"db\"\nhost = \"h\"\n";
const USERS: &str = "[admin]\npassword = \"p\"\n[[users]]\nname = \"u\"\ndatabase = \"db\"\npassword = \"p\"\n";

fn run(line: &Line, sets: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let overrides: Vec<(String, String)> = sets.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let (main, users) = (Source { name: "m", text: MAIN }, Source { name: "u", text: USERS });
    let inputs = Inputs { main: Some(main), users: Some(users), line, overrides: &overrides, ..Inputs::default() };
    load(&inputs).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn set(sets: &[(&str, &str)]) -> General {
    run(&Line::default(), sets).unwrap_or_else(|problems| panic!("{problems:?}")).snapshot.general
}

#[test]
fn the_last_set_wins_over_the_file() {
    assert_eq!(set(&[]).checkout_timeout.as_millis(), 7);
    let general = set(&[("checkout_timeout", "8"), ("log_connections", "OFF"), ("auth_type", "Md5"), ("checkout_timeout", "9")]);
    assert_eq!((general.checkout_timeout.as_millis(), general.log_connections), (9, false));
    assert_eq!(general.auth_type, crate::config::snapshot::AuthType::Md5);
    let loaded = run(&Line::default(), &[("max_pool_size", "5"), ("pooler_mode", "session")]).unwrap();
    assert_eq!((loaded.snapshot.pools[0].pool_size, loaded.snapshot.pools[0].mode), (5, PoolerMode::Session));
    assert!(loaded.snapshot.shown.contains(&("default_pool_size".to_owned(), "5".to_owned())));
}

#[test]
fn each_mistake_has_its_own_words() {
    for (key, value, expected) in [
        ("checkout_timout", "5", "SET: [general] has no key `checkout_timout`; did you mean `checkout_timeout`?"),
        ("port", "7000", "SET: [general]: `port` takes effect at a restart only; write it into the file and restart pg_dog"),
        ("checkout_timeout", "soon", "SET: [general]: `checkout_timeout` has to be an integer of milliseconds from 0"),
        ("checkout_timeout", "-1", "SET: [general]: `checkout_timeout` has to be an integer of milliseconds from 0"),
        ("auth_type", "sesame", "SET: [general]: `auth_type` has to be one of \"scram\", \"md5\", \"plain\", \"trust\""),
        ("log_connections", "maybe", "SET: [general]: `log_connections` has to be true or false"),
        ("tls_client_required", "true", "SET: [general]: `tls_client_required` = true is not built yet"),
        ("tls_certificate", "/secret/path", "SET: [general]: `tls_certificate` is not built yet"),
        ("lsn_check_interval", "77", "SET: [general]: `lsn_check_interval` = 77 is not built yet"),
        ("tls_verify", "verify_full", "SET: [general]: `tls_verify` = \"verify_full\" is not built yet"),
    ] {
        assert_eq!(run(&Line::default(), &[(key, value)]).expect_err(key), [expected]);
    }
    // All of them at once; a default needs nothing built.
    assert_eq!(run(&Line::default(), &[("a", "1"), ("host", "h"), ("tls_client_required", "false")]).unwrap_err().len(), 2);
}

#[test]
fn the_command_line_beats_the_file_and_set_beats_both() {
    let line = Line { pool_size: Some(6), min_pool_size: Some(2), session_mode: Some(true), ..Line::default() };
    let pool = run(&line, &[]).unwrap().snapshot.pools.remove(0);
    assert_eq!((pool.pool_size, pool.min_pool_size, pool.mode), (6, 2, PoolerMode::Session));
    let pool = run(&line, &[("default_pool_size", "4")]).unwrap().snapshot.pools.remove(0);
    assert_eq!((pool.pool_size, pool.min_pool_size), (4, 2));
    let pool = run(&Line { session_mode: Some(false), ..Line::default() }, &[]).unwrap().snapshot.pools.remove(0);
    assert_eq!((pool.pool_size, pool.min_pool_size, pool.mode), (3, 1, PoolerMode::Transaction));
    let line = Line { pool_size: Some(0), ..Line::default() };
    assert_eq!(run(&line, &[]).unwrap_err(), ["--pool-size: [general]: `default_pool_size` has to be an integer of connections from 1 to 262143"]);
}
