//! The programs that people replicate with, through pg_dog: pg_receivewal, pg_recvlogical, pg_basebackup, psycopg2, a subscriber. What they bring
//! home is compared with what is there. Those of the operating system's PostgreSQL do not speak with a newer one.

use super::house::{House, one};
use super::replication::{house, wait_for_walsenders, walsenders};
use super::support::place::Folder;
use super::support::tools::{Running, start_program, system_postgres};
use super::support::{Login, Postgres, SOON, Version, beside, pgbench, python, raw::Raw, wait_until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a program may take on a busy machine.
const RUN: Duration = Duration::from_secs(90);

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Starts one of the programs and leaves it running.
fn start(login: &Login, name: &str, arguments: &[&str]) -> Running {
    start_program(login, name, arguments)
}

/// Runs one of the programs to its end, which must be a good one; what it said.
fn run(login: &Login, name: &str, arguments: &[&str]) -> String {
    start(login, name, arguments).finish(RUN).expect_success()
}

/// Others who work all the time, so that what is replicated does not stand still.
fn beside_others(house: &House, work: impl FnOnce()) {
    let login = house.login("other");
    pgbench(&login, &["-i", "-q", "-I", "dtgvp"], RUN).expect_success();
    let run = || drop(pgbench(&login, &["-n", "-c", "4", "-t", "20"], RUN).expect_success());
    beside(run, work);
}

#[test]
fn pg_receivewal_keeps_the_log() {
    let house = house(Version::Debian, 3, "checkout_timeout = 60000");
    let (login, mut watch) = (house.login("app"), house.watch());
    let folder = Folder::new("log", false);
    run(&login, "pg_receivewal", &["--create-slot", "--slot", "keeps"]);
    let mut program = start(&login, "pg_receivewal", &["-D", text(&folder.0), "--slot", "keeps", "--no-loop"]);
    wait_until("it streams", SOON, || one(&mut watch.direct, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1");
    assert!(watch.show("CLIENTS").iter().any(|row| row["replication"] == "physical" && row["application_name"] == "pg_receivewal"));
    let segment = one(&mut watch.direct, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
    beside_others(&house, || {
        for _ in 0..5 {
            watch.direct.rows("SELECT pg_logical_emit_message(false, 'x', repeat('y', 700000))");
        }
        watch.direct.rows("SELECT pg_switch_wal()");
        wait_until("the first whole file is there", SOON, || folder.0.join(&segment).exists());
    });
    let here = format!("{:032x}", md5_of(&std::fs::read(folder.0.join(&segment)).expect("our own folder")));
    assert_eq!(one(&mut watch.direct, &format!("SELECT md5(pg_read_binary_file('pg_wal/{segment}'))")), here);
    program.signal("INT");
    assert!(program.finish(RUN).success());
    wait_for_walsenders(&mut watch.direct, 0);
    run(&login, "pg_receivewal", &["--drop-slot", "--slot", "keeps"]);
    assert_eq!(one(&mut watch.direct, "SELECT count(*) FROM pg_replication_slots"), "0");
}

fn md5_of(bytes: &[u8]) -> u128 {
    use md5::Digest;
    u128::from_be_bytes(md5::Md5::digest(bytes).into())
}

#[test]
fn pg_recvlogical_hears_of_every_row() {
    let house = house(Version::Debian, 3, "checkout_timeout = 60000");
    let (login, mut watch) = (house.login("app"), house.watch());
    house.postgres.sql("CREATE TABLE items (a int PRIMARY KEY, b text); ALTER TABLE items OWNER TO app");
    let folder = Folder::new("rows", false);
    let file = folder.0.join("rows");
    let on = ["-d", "app", "--slot", "hears"];
    run(&login, "pg_recvlogical", &[&on[..], &["--create-slot", "--plugin", "test_decoding"]].concat());
    let listen = [&on[..], &["--start", "-f", text(&file), "-o", "include-xids=0", "--no-loop", "-F", "0", "-s", "1"]].concat();
    let mut program = start(&login, "pg_recvlogical", &listen);
    wait_until("it streams", SOON, || one(&mut watch.direct, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1");
    assert!(watch.show("CLIENTS").iter().any(|row| row["replication"] == "logical"));
    let mut client = house.client();
    for i in 0..200 {
        client.rows(&format!("INSERT INTO items VALUES ({i}, 'row {i}')"));
    }
    client.rows("UPDATE items SET b = 'changed' WHERE a = 7; DELETE FROM items WHERE a = 8");
    let heard = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_until("it has heard of the last one", SOON, || heard().contains("DELETE: a[integer]:8"));
    program.signal("INT");
    assert!(program.finish(RUN).success());
    let rows: Vec<String> = heard().lines().filter(|line| line.starts_with("table")).map(str::to_string).collect();
    let mut expected: Vec<String> = (0..200).map(|i| format!("table public.items: INSERT: a[integer]:{i} b[text]:'row {i}'")).collect();
    expected.push("table public.items: UPDATE: a[integer]:7 b[text]:'changed'".into());
    expected.push("table public.items: DELETE: a[integer]:8".into());
    assert_eq!(rows, expected);
    wait_for_walsenders(&mut watch.direct, 0);
    run(&login, "pg_recvlogical", &[&on[..], &["--drop-slot"]].concat());
    assert_eq!(one(&mut watch.direct, "SELECT count(*) FROM pg_replication_slots"), "0");
}

#[test]
fn pg_basebackup_brings_a_whole_cluster() {
    let house = house(Version::Debian, 5, "checkout_timeout = 60000");
    let login = house.login("app");
    house.postgres.sql("CREATE TABLE large AS SELECT i, repeat('x', 900) AS b FROM generate_series(1, 20000) i");
    beside_others(&house, || {
        for method in ["stream", "fetch"] {
            let folder = Folder::new("backup", false);
            run(&login, "pg_basebackup", &["-D", text(&folder.0.join("data")), "-X", method, "-c", "fast", "--no-sync"]);
            let mut verify = Command::new(system_postgres().join("pg_verifybackup"));
            let said = Running::start(verify.arg(folder.0.join("data"))).finish(RUN).expect_success();
            assert!(said.contains("successfully verified"), "{said}");
        }
    });
    let mut watch = house.watch();
    wait_for_walsenders(&mut watch.direct, 0);
    watch.wait_until_settled();
}

/// Whoever kills a program in the middle of its work leaves nothing behind.
#[test]
fn programs_that_are_killed_leave_no_walsender() {
    let house = house(Version::Debian, 4, "");
    let (login, mut watch) = (house.login("app"), house.watch());
    house.postgres.sql("CREATE TABLE large AS SELECT i, repeat('x', 900) AS b FROM generate_series(1, 20000) i");
    let folder = Folder::new("killed", false);
    let (log, data) = (folder.0.join("log"), folder.0.join("data"));
    std::fs::create_dir(&log).expect("our own folder");
    for round in 0..3 {
        let backup = format!("{}-{round}", text(&data));
        let mut programs = [
            start(&login, "pg_receivewal", &["-D", text(&log), "--no-loop"]),
            start(&login, "pg_basebackup", &["-D", &backup, "-X", "none", "-c", "fast", "--max-rate", "100", "--no-manifest"]),
        ];
        let at_work = "SELECT count(*) FROM pg_stat_replication WHERE state IN ('streaming', 'backup')";
        wait_until("both are at work", SOON, || one(&mut watch.direct, at_work) == "2");
        programs.iter_mut().for_each(|program| program.signal("KILL"));
        wait_for_walsenders(&mut watch.direct, 0);
        drop(programs);
    }
    watch.wait_until_settled();
    assert_eq!(watch.pools("sv_total"), 0);
}

crate::on_both!(psycopg2_replicates, a_subscriber_keeps_up);

fn psycopg2_replicates(version: Version) {
    let house = house(version, 4, "checkout_timeout = 60000");
    house.postgres.sql("CREATE TABLE items (a int PRIMARY KEY, b text); ALTER TABLE items OWNER TO app");
    let said = python(&house.login("app"), &["tests/clients/drive_replication.py"], RUN).expect_success();
    assert!(said.ends_with("all is well\n"), "{said}");
    let mut watch = house.watch();
    wait_for_walsenders(&mut watch.direct, 0);
    watch.wait_until_settled();
}

/// Another PostgreSQL whose subscription goes through pg_dog: the copy of what is there, and what comes later; also after pg_dog's server went.
fn a_subscriber_keeps_up(version: Version) {
    let mut house = house(version, 5, "checkout_timeout = 60000");
    let mut watch = house.watch();
    let make = "CREATE TABLE items (a int PRIMARY KEY, b text)";
    house.postgres.sql(&format!("{make}; ALTER TABLE items OWNER TO app; INSERT INTO items SELECT i, 'old' FROM generate_series(1, 5000) i"));
    house.postgres.sql("CREATE PUBLICATION all_items FOR TABLE items");
    let subscriber = Postgres::start_with(version, "wal_retrieve_retry_interval = '50ms'\n");
    subscriber.sql(make);
    let login = house.login("app");
    let at = format!("host=127.0.0.1 port={} user=app password=app-secret dbname=app", login.port);
    subscriber.sql(&format!("CREATE SUBSCRIPTION through CONNECTION '{at}' PUBLICATION all_items"));
    let mut there = Raw::login(&subscriber.login("postgres"));
    let count = "SELECT count(*) || ' ' || sum(a) || ' ' || count(*) FILTER (WHERE b = 'old') FROM items";
    let mut same = |house: &House, what: &str| {
        let here = house.postgres.sql(count)[0][0].clone();
        wait_until(what, SOON, || one(&mut there, count) == here);
    };
    same(&house, "the copy is there");
    let mut client = house.client();
    for i in 0..300 {
        client.rows(&format!("INSERT INTO items VALUES ({}, 'new')", 10_000 + i));
    }
    client.rows("BEGIN; UPDATE items SET b = 'changed' WHERE a % 2 = 0; DELETE FROM items WHERE a % 3 = 0; COMMIT");
    same(&house, "the changes are there");
    watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'");
    client.rows("INSERT INTO items VALUES (20000, 'later')");
    same(&house, "it has come back by itself");
    drop((watch, client));
    house.postgres.crash_and_restart();
    house.postgres.sql("INSERT INTO items VALUES (20001, 'later still')");
    same(&house, "it has come back after a crash");
    drop(there);
    subscriber.sql("ALTER SUBSCRIPTION through DISABLE");
    subscriber.sql("DROP SUBSCRIPTION through");
    let mut direct = Raw::login(&house.postgres.login("postgres"));
    wait_for_walsenders(&mut direct, 0);
    assert_eq!((walsenders(&mut direct), one(&mut direct, "SELECT count(*) FROM pg_replication_slots")), (0, "0".to_string()));
}
