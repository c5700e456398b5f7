//! Tests of SHOW CONFIG's rows.

use super::*;
use crate::config::build::load;
use crate::config::file::Source;
use crate::config::inputs::Inputs;

fn snapshot(text: &str) -> Snapshot {
    let users = "[admin]\npassword = \"sesame\"\n[[users]]\nname = \"u\"\ndatabase = \"d\"\npassword = \"sesame\"\n";
    let main = format!("{text}\n[[databases]]\nname = \"d\"\nhost = \"h\"\npassword = \"sesame\"\n");
    let (main, users) = (Source { name: "m", text: &main }, Source { name: "u", text: users });
    load(&Inputs { main: Some(main), users: Some(users), ..Inputs::default() }).unwrap().snapshot
}

fn value(snapshot: &Snapshot, name: &str) -> String {
    snapshot.shown.iter().find(|row| row.0 == name).unwrap_or_else(|| panic!("{name}")).1.clone()
}

#[test]
fn values_are_printed_for_people() {
    let defaults = snapshot("");
    for (name, expected) in [
        ("host", "0.0.0.0"),
        ("port", "6432"),
        ("checkout_timeout", "5s"),
        ("client_login_timeout", "1m"),
        ("server_lifetime", "1d"),
        ("query_timeout", "9223372036854775807ms"),
        ("connect_attempt_delay", "0ms"),
        ("prepared_statements_limit", "9223372036854775807"),
        ("tls_certificate", "default"),
        ("log_connections", "true"),
        ("mirror_exposure", "1"),
        ("tcp_keepalive", "true"),
        ("tcp_time", "default"),
        ("memory_net_buffer", "4096"),
        ("cores_pin", "[]"),
        ("cutover_timeout_action", "abort"),
    ] {
        assert_eq!(value(&defaults, name), expected, "{name}");
    }
    let set = snapshot("[general]\ncheckout_timeout = 90000\nhost = \"::\"\nconnect_timeout = 1500\n[tcp]\ntime = 7200000\n[cores]\npin = [1, 3]\n");
    for (name, expected) in [("checkout_timeout", "90s"), ("host", "::"), ("connect_timeout", "1500ms"), ("tcp_time", "2h"), ("cores_pin", "[1, 3]")]
    {
        assert_eq!(value(&set, name), expected, "{name}");
    }
}

#[test]
fn general_comes_first_and_no_secret_comes_at_all() {
    let snapshot = snapshot("");
    let names: Vec<&str> = snapshot.shown.iter().map(|row| row.0.as_str()).collect();
    let first = |prefix: &str| names.iter().position(|name| name.starts_with(prefix)).unwrap();
    assert_eq!(names[0], "host");
    assert!(first("tcp_") < first("memory_") && first("memory_") < first("cores_"));
    assert!(snapshot.shown.iter().all(|(name, value)| !name.contains("password") && !value.contains("sesame")));
}

#[test]
fn changes_that_wait_for_a_restart_are_named() {
    let old = snapshot("");
    let new = snapshot("[general]\nport = 7000\ndefault_pool_size = 5\n[cores]\nlisteners = 1\nfair_us = 1\n");
    assert_eq!(needs_restart(&old, &new), ["port", "cores_listeners"]);
    assert!(needs_restart(&old, &old).is_empty());
}
