//! The ground that the other tests stand on, tried without pg_dog: both PostgreSQLs start, every kind of login works, a wrong one does not.

mod support;

use support::{Postgres, Raw, Version, psql, query, raw};

fn every_login_works(version: Version) {
    let postgres = Postgres::start(version);
    for user in ["app", "other", "md5user", "plain", "trusted", "postgres"] {
        let login = postgres.login(user);
        let mut client = Raw::login(&login);
        assert_eq!(client.rows("SELECT current_user, NULL, current_database()"), [[user, "NULL", "app"]]);
        assert_eq!(client.status, b'I');
        assert!(client.key.is_some() && client.parameter("server_version").is_some());
        assert_eq!(query(&login, "SELECT 'a,\"b\"', 2"), Ok(vec![vec!["a,\"b\"".to_string(), "2".to_string()]]));
    }
    for user in ["app", "md5user", "plain"] {
        let mut wrong = postgres.login(user);
        wrong.password = "wrong".to_string();
        let refusal = Raw::try_login(&wrong, &[]).err().expect("a wrong password is refused");
        assert_eq!(refusal.sqlstate(), "28P01");
    }
    let output = psql(&postgres.login("app"), &["-c", "SELECT 1/0"]);
    assert!(!output.success() && output.stderr.contains("division by zero"), "{output:?}");
}

#[test]
fn the_system_postgres_lets_its_users_in() {
    every_login_works(Version::Debian);
}

#[test]
fn the_newest_postgres_lets_its_users_in() {
    every_login_works(Version::Newest);
}

#[test]
fn a_crash_ends_connections_and_the_data_comes_back() {
    let mut postgres = Postgres::start_with(Version::Debian, "fsync = on\nsynchronous_commit = on\n");
    postgres.sql("CREATE TABLE t (a int); INSERT INTO t VALUES (7)");
    let mut client = Raw::login(&postgres.login("app"));
    postgres.crash_and_restart();
    client.read_until_closed();
    assert_eq!(postgres.sql("SELECT a FROM t"), [["7"]]);
}

#[test]
fn the_extended_protocol_is_spoken_right() {
    let postgres = Postgres::start(Version::Debian);
    let mut client = Raw::login(&postgres.login("trusted"));
    let values = [Some("x"), None];
    client.send(&[raw::parse("s", "SELECT $1::text, $2::text", &[]), raw::bind("", "s", &values), raw::execute("", 0), raw::sync()].concat());
    let messages = client.read_until_ready();
    assert_eq!(messages.iter().map(|message| message.tag).collect::<Vec<_>>(), b"12DCZ");
    assert_eq!(messages[2].columns(), [Some(b"x".to_vec()), None]);
    client.send(&raw::terminate());
    assert_eq!(client.read_until_closed(), []);
}
