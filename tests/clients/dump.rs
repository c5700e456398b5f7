//! pg_dump, pg_restore and pg_dumpall through the ordinary pool: what they write is what they write without pg_dog, while others work on the same
//! servers. They set many parameters, prepare statements in SQL, and several workers share one snapshot.

use super::house::{House, one};
use super::support::place::Folder;
use super::support::tools::start_program;
use super::support::{Login, Version, beside, pgbench, psql};
use std::time::Duration;

/// How long a program may take on a busy machine.
const RUN: Duration = Duration::from_secs(90);

/// Tables, views, functions, types, a sequence, comments and rights, in two schemas, with values that depend on parameters.
const THINGS: &str = "
    CREATE SCHEMA inner_one;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
    CREATE TABLE kinds (id bigserial PRIMARY KEY, name text NOT NULL DEFAULT 'x' CHECK (name <> ''), at timestamptz, took interval, day date,
        exact float8, m mood, raw bytea);
    CREATE TABLE inner_one.kinds (id int REFERENCES kinds (id), doc jsonb);
    CREATE INDEX by_name ON kinds (name, at DESC);
    CREATE VIEW inner_one.named AS SELECT k.id, k.name, i.doc FROM kinds k JOIN inner_one.kinds i USING (id);
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
    COMMENT ON TABLE kinds IS 'kinds of things';
    GRANT SELECT ON kinds TO other;
    INSERT INTO kinds (name, at, took, day, exact, m, raw)
        SELECT 'n' || i, '2024-06-01 12:00:00+00'::timestamptz + i * interval '7 hours', i * interval '1 day 2 hours', date '2024-01-01' + i,
            1.0 / i, (ARRAY['sad', 'ok', 'happy']::mood[])[1 + i % 3], decode(md5(i::text), 'hex') FROM generate_series(1, 300) i;
    INSERT INTO inner_one.kinds SELECT i, jsonb_build_object('i', i) FROM generate_series(1, 300) i;
";

fn house(size: usize) -> House {
    let house = House::new(Version::Debian, size, "checkout_timeout = 60000");
    house.postgres.sql("GRANT CREATE ON DATABASE app TO app");
    psql(&house.postgres.login("app"), &["-q", "-c", THINGS]).expect_success();
    house
}

fn run(login: &Login, name: &str, arguments: &[&str]) -> String {
    start_program(login, name, arguments).finish(RUN).expect_success()
}

/// Newer programs write a line of their own that differs from run to run.
fn comparable(dump: &str) -> String {
    dump.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")).collect::<Vec<_>>().join("\n")
}

/// Others with other parameters on the same servers, all the time, in the database `app` and in tables of their own.
fn beside_others(house: &House, work: impl FnOnce()) {
    let login = house.login("other");
    pgbench(&login, &["-i", "-q", "-I", "dtgvp"], RUN).expect_success();
    let folder = Folder::new("script", false);
    let script = folder.0.join("script.sql");
    let text = "SET TimeZone = 'Asia/Tokyo';\nSET DateStyle = 'German';\nSET search_path = inner_one, public;\nSET extra_float_digits = 0;\n\
        BEGIN;\nSELECT pg_sleep(0.001);\nCOMMIT;\n";
    std::fs::write(&script, text).expect("our own folder");
    let run = || drop(pgbench(&login, &["-n", "-c", "6", "-t", "10", "-f", script.to_str().expect("a path in UTF-8")], RUN).expect_success());
    beside(run, work);
}

#[test]
fn a_dump_is_as_without() {
    let house = house(3);
    let (direct, through) = (house.postgres.login("app"), house.login("app"));
    beside_others(&house, || {
        for arguments in [
            &["-n", "inner_one", "-n", "public", "-T", "pgbench_*"][..],
            &["-s", "-n", "inner_one"],
            &["--inserts", "-t", "kinds", "--rows-per-insert=7"],
        ] {
            let (without, with) = (run(&direct, "pg_dump", arguments), run(&through, "pg_dump", arguments));
            assert!(without.contains("kinds"), "{without}");
            assert_eq!(comparable(&with), comparable(&without), "{arguments:?}");
        }
    });
    house.watch().wait_until_settled();
}

#[test]
fn workers_share_a_snapshot_and_what_they_wrote_is_restored() {
    let house = house(4);
    let (direct, through) = (house.postgres.login("app"), house.login("app"));
    let folder = Folder::new("dump", false);
    let dump = folder.0.join("dump");
    let dump = dump.to_str().expect("a path in UTF-8");
    beside_others(&house, || {
        run(&through, "pg_dump", &["-Fd", "-j", "2", "-f", dump, "-T", "pgbench_*"]);
    });
    let script = run(&direct, "pg_restore", &["-f", "-", dump]);
    let without = run(&direct, "pg_dump", &["-T", "pgbench_*"]);
    assert_eq!(comparable(&script), comparable(&without));
    house.postgres.sql("DROP SCHEMA inner_one CASCADE");
    house.postgres.sql("DROP TABLE kinds CASCADE; DROP TYPE mood; DROP FUNCTION twice");
    run(&through, "pg_restore", &["-d", "app", "-j", "2", "--exit-on-error", dump]);
    let count = "SELECT count(*) || ' ' || sum(id) || ' ' || max(at) || ' ' || sum((doc ->> 'i')::int) FROM inner_one.named JOIN kinds USING (id)";
    assert_eq!(one(&mut house.client(), count), one(&mut super::support::Raw::login(&direct), count));
    assert_eq!(comparable(&run(&direct, "pg_dump", &["-T", "pgbench_*"])), comparable(&without));
}

#[test]
fn roles_are_dumped() {
    let house = House::with_users(Version::Debian, 2, "", &[("postgres", "password = \"any\""), ("app", "")]);
    let login = Login { password: "any".into(), ..house.login("postgres") };
    let arguments = ["--roles-only", "-l", "app"];
    let (without, with) = (run(&house.postgres.login("postgres"), "pg_dumpall", &arguments), run(&login, "pg_dumpall", &arguments));
    assert!(without.contains("CREATE ROLE app"), "{without}");
    assert_eq!(comparable(&with), comparable(&without));
}
