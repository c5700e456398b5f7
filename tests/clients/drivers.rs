//! Drivers of other languages, with the settings that they have by themselves. Their scripts lie beside this file, assert by themselves, and say at
//! the end that all is well. Each of them also passes without pg_dog: what it expects is what PostgreSQL does.

use super::house::{House, one};
use super::support::tools::Output;
use super::support::{Login, Version, go, java, node, psql, python, tools};
use std::process::Command;
use std::time::Duration;

/// How long a script may take on a busy machine; Go compiles its own first.
const RUN: Duration = Duration::from_secs(150);

crate::on_both!(psycopg, psycopg_2, asyncpg, asyncpg_in_session_mode, sqlalchemy, django, node_postgres, postgres_js, jdbc, go_drivers, sqlx);

/// Runs a script with twelve connections on a few servers; afterwards all is at rest, no server is left over, and nothing is left on those that are.
/// A runner that gives None could not run.
fn drive(version: Version, mode: &str, servers: usize, script: &str, run: impl FnOnce(&Login, &[&str]) -> Option<Output>) {
    let house = House::new(version, servers, &format!("pooler_mode = \"{mode}\"\ncheckout_timeout = 20000"));
    house.postgres.sql("CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz)");
    house.postgres.sql("GRANT ALL ON items TO app");
    let script = format!("tests/clients/{script}");
    let Some(output) = run(&house.login("app"), &[&script, mode, &house.postgres.port.to_string()]) else { return };
    let said = output.expect_success();
    assert!(said.ends_with("all is well\n"), "{said}");
    let mut watch = house.watch();
    watch.wait_until_settled();
    assert!(watch.sessions("true") <= servers as u64, "pg_dog has more servers than its pool allows");
    // Who comes now finds every server as if it were new.
    let mut clients: Vec<_> = (0..servers).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| assert!(client.rows("BEGIN; SELECT 1") == [["1"]]));
    for client in &mut clients {
        let left = "SELECT (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_cursors) + \
                    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)";
        assert_eq!(one(client, left), "0");
        let set = "SELECT coalesce(string_agg(name || ' = ' || setting, ', '), '') FROM pg_settings WHERE source = 'session'";
        assert_eq!(one(client, set), "", "somebody's parameters were left behind");
    }
}

/// The same in transaction mode on two servers.
fn share(version: Version, script: &str, run: fn(&Login, &[&str], Duration) -> Output) {
    drive(version, "transaction", 2, script, |login, arguments| Some(run(login, arguments, RUN)));
}

fn psycopg(version: Version) {
    share(version, "drive_psycopg.py", python);
}

fn psycopg_2(version: Version) {
    share(version, "drive_psycopg2.py", python);
}

fn asyncpg(version: Version) {
    share(version, "drive_asyncpg.py", python);
}

fn asyncpg_in_session_mode(version: Version) {
    drive(version, "session", 3, "drive_asyncpg.py", |login, arguments| Some(python(login, arguments, RUN)));
}

fn sqlalchemy(version: Version) {
    share(version, "drive_sqlalchemy.py", python);
}

fn django(version: Version) {
    share(version, "drive_django.py", python);
}

fn node_postgres(version: Version) {
    share(version, "drive_node.js", node);
}

fn postgres_js(version: Version) {
    share(version, "drive_postgresjs.js", node);
}

fn jdbc(version: Version) {
    drive(version, "transaction", 2, "DriveJdbc.java", |login, arguments| java(login, arguments, RUN));
}

fn sqlx(version: Version) {
    drive(version, "transaction", 2, "sqlx", |login, arguments| tools::sqlx(login, arguments, RUN));
}

fn go_drivers(version: Version) {
    drive(version, "transaction", 2, "drive_go.go", |login, arguments| go(login, arguments, RUN));
}

/// psycopg 2 and 3 and pgcli on the console, with what each of them asks by itself when it connects.
#[test]
fn the_console_speaks_with_what_operators_use() {
    let house = House::new(Version::Newest, 3, "");
    let mut client = house.client();
    client.rows("BEGIN; SELECT 1");
    let said = python(&house.dog.admin_login(), &["tests/clients/drive_admin.py"], RUN).expect_success();
    assert!(said.ends_with("all is well\n"), "{said}");
    // It shows what it can; the queries behind \\d are refused, and the console stays usable.
    let said = psql(&house.dog.admin_login(), &["-v", "ON_ERROR_STOP=0", "-c", "\\d", "-c", "SHOW POOLS"]);
    assert!(said.stderr.contains("admin database") && said.stdout.contains("pool_mode"), "{said:?}");
    let mut pgcli = Command::new(tools::folder().join("venv/bin/pgcli"));
    let login = house.dog.admin_login();
    let address = format!("postgresql://{}:{}@{}:{}/{}?sslmode=disable", login.user, login.password, login.host, login.port, login.database);
    let home = std::env::temp_dir();
    pgcli.args(["--no-password", "--command", "SHOW DATABASES", &address]).env("HOME", &home).env("XDG_CONFIG_HOME", &home).env("TERM", "dumb");
    let said = tools::run(&mut pgcli, RUN);
    assert!(said.success() && said.stdout.contains("force_user") && said.stdout.contains("127.0.0.1"), "{said:?}");
    client.rows("COMMIT");
    house.watch().wait_until_settled();
}
