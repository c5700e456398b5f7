//! psql and pgbench: what people have at hand, compared with what they say without pg_dog.

use super::house::{House, one};
use super::support::place::Folder;
use super::support::tools::{start_psql, system_postgres};
use super::support::{Login, SOON, Version, pgbench, psql, query};
use std::time::Duration;

/// How long a pgbench run of these tests may take.
const RUN: Duration = Duration::from_secs(60);

crate::on_both!(psql_describes_as_without, psql_copies_both_ways, ctrl_c_cancels_in_psql, pgbench_keeps_the_books, prepared_pgbench_in_session_mode);

fn psql_describes_as_without(version: Version) {
    let house = House::new(version, 2, "");
    let direct = house.postgres.login("app");
    let make = "CREATE TABLE kinds (id bigserial PRIMARY KEY, name text NOT NULL DEFAULT 'x' CHECK (name <> ''), at timestamptz, doc jsonb);
        CREATE INDEX by_name ON kinds (name, at DESC);
        CREATE VIEW named AS SELECT id, name FROM kinds;
        CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
        COMMENT ON TABLE kinds IS 'kinds of things';
        INSERT INTO kinds (name, doc) SELECT 'n' || i, jsonb_build_object('i', i) FROM generate_series(1, 30) i";
    psql(&house.login("app"), &["-q", "-c", make]).expect_success();
    let folder = Folder::new("script", false);
    let script = folder.0.join("script.sql");
    let commands = [
        "\\d",
        "\\d kinds",
        "\\d+ kinds",
        "\\dt",
        "\\di+ by_name",
        "\\dv",
        "\\df twice",
        "\\sf twice",
        "\\dn",
        "\\du app",
        "\\encoding",
        "TABLE kinds ORDER BY id;",
        "\\x on",
        "SELECT * FROM named WHERE id = 7;",
        "SELECT 1 AS one \\gdesc",
        "\\echo :ROW_COUNT :SERVER_VERSION_NUM",
        "SELECT 1 \\; SELECT 2;",
        "SELECT $1 AS bound \\bind 'value' \\g",
        "BEGIN;",
        "SELECT 3 AS three;",
        "\\echo :ERROR",
        "COMMIT;",
        "SELECT 'SELECT ' || i FROM generate_series(1, 3) i \\gexec",
        "\\set FETCH_COUNT 7",
        "SELECT i FROM generate_series(1, 50) i;",
    ];
    let commands = commands.into_iter().filter(|command| !command.contains("\\bind") || version_of_psql() >= 16);
    std::fs::write(&script, commands.collect::<Vec<_>>().join("\n")).expect("our own folder");
    let arguments = ["-f", script.to_str().expect("a path in UTF-8")];
    let without = psql(&direct, &arguments).expect_success();
    let with = psql(&house.login("app"), &arguments).expect_success();
    assert!(without.contains("by_name") && without.contains("jsonb"), "{without}");
    assert_eq!(with, without);
}

/// The major version of psql, which is the operating system's.
fn version_of_psql() -> u32 {
    let output = std::process::Command::new(system_postgres().join("psql")).arg("--version").output().expect("psql runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).and_then(|word| word.split('.').next()?.parse().ok()).expect("psql tells its version")
}

fn psql_copies_both_ways(version: Version) {
    let house = House::new(version, 2, "");
    let login = house.login("app");
    let folder = Folder::new("copy", false);
    let (given, got) = (folder.0.join("given.csv"), folder.0.join("got.csv"));
    let lines: String = (0..30_000).map(|i| format!("{i},\"line {i}, with \"\"quotes\"\"\"\n")).collect();
    std::fs::write(&given, &lines).expect("our own folder");
    let (from, to) = (format!("\\copy lines FROM '{}' CSV", given.display()), format!("\\copy (TABLE lines ORDER BY i) TO '{}' CSV", got.display()));
    let steps = ["-q", "-c", "CREATE TABLE lines (i int, line text)", "-c", &from, "-c", "SELECT count(*), sum(i) FROM lines", "-c", &to];
    let said = psql(&login, &[&["--csv", "-t"], &steps[..]].concat()).expect_success();
    assert!(said.contains("30000,449985000"), "{said}");
    let back = std::fs::read_to_string(&got).expect("psql wrote it");
    assert!(back == lines, "the rows came back otherwise: {}", &back[..200]);
    // A row that the server refuses ends the COPY, not the session.
    std::fs::write(&given, "1,one\nno number,two\n").expect("our own folder");
    let failed = psql(&login, &["-v", "ON_ERROR_STOP=0", "-c", &from, "-c", "SELECT count(*) FROM lines"]);
    assert!(failed.stderr.contains("invalid input syntax for type integer") && failed.stdout.contains("30000"), "{failed:?}");
    house.watch().wait_until_settled();
}

fn ctrl_c_cancels_in_psql(version: Version) {
    let house = House::new(version, 2, "");
    let mut watch = house.watch();
    let mut client = start_psql(&house.login("app"), &["-v", "ON_ERROR_STOP=0", "-c", "SELECT pg_sleep(600)"]);
    watch.wait_for_sessions(1, "query LIKE '%pg_sleep(600)%' AND state = 'active'");
    client.signal("INT");
    let output = client.finish(SOON);
    assert!(output.stderr.contains("canceling statement due to user request"), "{output:?}");
    watch.wait_until_settled();
    assert_eq!(query(&house.login("app"), "SELECT 'alive'"), Ok(vec![vec!["alive".to_string()]]));
}

/// Runs pgbench to its end; the whole of its report.
fn bench(login: &Login, arguments: &[&str], transactions: usize) {
    let output = pgbench(login, arguments, RUN);
    let shown = format!("{output:?}");
    let report = output.expect_success();
    assert!(report.contains(&format!("processed: {transactions}/{transactions}")), "{arguments:?}: {shown}");
    assert!(report.contains("failed transactions: 0 "), "{arguments:?}: {shown}");
}

fn pgbench_keeps_the_books(version: Version) {
    let house = House::new(version, 4, "checkout_timeout = 30000");
    let login = house.login("app");
    pgbench(&login, &["-i", "-q", "-s", "2", "-I", "dtgvp"], RUN).expect_success();
    for protocol in ["simple", "extended", "prepared"] {
        // While it prepares for one client pgbench answers no other of the same thread: with fewer servers than those it would wait for itself.
        let threads = if protocol == "prepared" { "16" } else { "2" };
        bench(&login, &["-n", "-S", "-c", "16", "-j", threads, "-t", "100", "-M", protocol], 1600);
        bench(&login, &["-n", "-c", "16", "-j", threads, "-t", "25", "-M", protocol], 400);
    }
    let mut watch = house.watch();
    watch.wait_until_settled();
    assert!(watch.sessions("true") <= 4, "pg_dog has more servers than its pool allows");
    let books = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta), (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta),
        (SELECT sum(bbalance) FROM pgbench_branches) = sum(delta), count(*) FROM pgbench_history";
    let truth = ["t", "t", "t", "1200"].map(String::from);
    assert_eq!(house.postgres.psql(&["--csv", "-t", "-c", books]).expect_success().trim().split(',').map(String::from).collect::<Vec<_>>(), truth);
}

fn prepared_pgbench_in_session_mode(version: Version) {
    // Fewer servers than clients: whoever comes late has the server of one who has finished.
    let house = House::new(version, 4, "pooler_mode = \"session\"\ncheckout_timeout = 30000");
    let login = house.login("app");
    pgbench(&login, &["-i", "-q", "-I", "dtgvp"], RUN).expect_success();
    // A thread each, because preparing blocks a thread.
    bench(&login, &["-n", "-S", "-c", "8", "-j", "8", "-t", "50", "-M", "prepared"], 400);
    bench(&login, &["-n", "-c", "8", "-j", "8", "-t", "20", "-M", "prepared"], 160);
    let mut watch = house.watch();
    watch.wait_until_settled();
    assert_eq!(one(&mut house.client(), "SELECT count(*) FROM pg_prepared_statements"), "0");
    assert_eq!(one(&mut watch.direct, "SELECT count(*) FROM pgbench_history"), "160");
}
