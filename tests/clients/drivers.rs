//! Drivers of other languages. Their scripts lie beside this file, assert by themselves, and say at the end what they did.

use super::house::House;
use super::support::tools::Output;
use super::support::{Login, Version, node, psql, python, tools};
use std::process::Command;
use std::time::Duration;

/// How long a script may take on a busy machine.
const RUN: Duration = Duration::from_secs(60);

/// What runs a script.
type Runner = fn(&Login, &[&str], Duration) -> Output;

crate::on_both!(psycopg, asyncpg, asyncpg_in_session_mode, node_postgres);

/// Runs a script with twelve connections on three servers; afterwards all is at rest and no server is left over.
fn drive(version: Version, mode: &str, run: Runner, script: &str) {
    let house = House::new(version, 3, &format!("pooler_mode = \"{mode}\"\ncheckout_timeout = 20000"));
    house.postgres.sql("CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz)");
    house.postgres.sql("GRANT ALL ON items TO app");
    let said = run(&house.login("app"), &[&format!("tests/clients/{script}"), mode], RUN).expect_success();
    assert!(said.ends_with("all is well\n"), "{said}");
    let mut watch = house.watch();
    watch.wait_until_settled();
    assert!(watch.sessions("true") <= 3, "pg_dog has more servers than its pool allows");
}

fn psycopg(version: Version) {
    drive(version, "transaction", python, "drive_psycopg.py");
}

fn asyncpg(version: Version) {
    drive(version, "transaction", python, "drive_asyncpg.py");
}

/// With a statement cache and prepared statements, as asyncpg is without settings.
fn asyncpg_in_session_mode(version: Version) {
    drive(version, "session", python, "drive_asyncpg.py");
}

fn node_postgres(version: Version) {
    drive(version, "transaction", node, "drive_node.js");
}

/// psycopg 2 and 3 and pgcli on the console, with what each of them asks by itself when it connects.
#[test]
fn the_console_speaks_with_what_operators_use() {
    let house = House::new(Version::Newest, 3, "");
    let mut client = house.client();
    client.rows("BEGIN");
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
