//! PostgreSQL's own regression tests through pg_dog: each file is a session of psql, whose output has to be the one that PostgreSQL's people expect.
//!
//! The files that matter to sessions always run, in transaction mode on two servers, between other clients that change what they can of a session;
//! `PG_DOG_REGRESS_FILES=test_setup,guc` chooses others. `PG_DOG_REGRESS=all` runs the whole schedule three times: at PostgreSQL directly, in session
//! mode and in transaction mode. Whatever passes directly has to pass in both modes, but for the files of `EXPLAINED`. The tests come with the source
//! of PostgreSQL, which `bash tests/run` downloads; where that cannot be, they are skipped and say so, unless `PG_DOG_REGRESS` is set.

use super::house::general_of;
use super::support::place::Folder;
use super::support::tools::{folder, system_postgres};
use super::support::{Dog, Login, Postgres, Raw, Version, pace, poll};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one file may take.
const FILE: Duration = Duration::from_secs(240);

/// The files that matter to sessions, and before them what they need.
const SMALL: [&str; 30] = [
    "test_setup",
    "create_procedure",
    "copy",
    "copyselect",
    "create_index",
    "select_into",
    "transactions",
    "portals",
    "namespace",
    "prepared_xacts",
    "lock",
    "password",
    "misc_functions",
    "sysviews",
    "async",
    "create_role",
    "psql",
    "rules",
    "guc",
    "advisory_lock",
    "combocid",
    "dependency",
    "plancache",
    "limit",
    "plpgsql",
    "temp",
    "prepare",
    "sequence",
    "truncate",
    "largeobject",
];

/// Files whose output differs through pg_dog: in which mode (or both), by how many lines at most, and why. tests/README.md tells more.
const EXPLAINED: &[(&str, &str, usize, &str)] = &[
    ("guc", "both", 6, "a server that others have used has loaded plpgsql, whose prefix is reserved from then on"),
    ("limit", "transaction", 12, "as `sequence`"),
    ("sequence", "transaction", 24, "lastval() and currval() after another client: not yet defined"),
    ("stats", "session", 2, "a new client is not a new session of PostgreSQL: pg_stat_database does not count one more"),
    ("stats", "transaction", 30, "the same; and each server hands in what it has counted at its own time: pg_stat_force_next_flush() is told to one"),
    ("temp", "both", 1, "a server that has had temporary tables keeps their (empty) schema, so that a later transaction may be prepared"),
    ("triggers", "transaction", 40, "C code of the tests that keeps a switch (set_ttdummy) and plans (refint) in its process, which is another one"),
];

/// Where the tests lie, if they are here.
fn tests() -> Option<PathBuf> {
    let path = folder().join("regress");
    if path.join("parallel_schedule").exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("PG_DOG_REGRESS").is_none(),
        "PostgreSQL's regression tests are not in {}: `bash tests/run` downloads them",
        path.display()
    );
    println!("SKIPPED: PostgreSQL's regression tests are not in {}: `bash tests/run` could not download them", path.display());
    None
}

/// The files in the order of the schedule, one after the other.
fn schedule(tests: &Path) -> Vec<String> {
    let text = fs::read_to_string(tests.join("parallel_schedule")).expect("it was just found");
    let lines = text.lines().filter_map(|line| line.strip_prefix("test:"));
    lines.flat_map(str::split_whitespace).map(String::from).collect()
}

/// What one run needs: a PostgreSQL with a database of its own, and the files where both psql and PostgreSQL reach them.
struct Run {
    work: Folder,
    postgres: Postgres,
}

/// What the files see of each other's order.
type Outputs = BTreeMap<String, String>;

impl Run {
    fn new(tests: &Path) -> Run {
        let work = Folder::new("regress", true);
        for part in ["sql", "data", "regress.so", "refint.so", "autoinc.so"] {
            let copied = Command::new("cp").arg("-rL").arg(tests.join(part)).arg(&work.0).status();
            assert!(copied.is_ok_and(|status| status.success()), "{part} could not be copied");
        }
        fs::create_dir(work.0.join("results")).expect("our own folder");
        let anybody = Command::new("chmod").args(["-R", "a+rwX"]).arg(&work.0).status();
        assert!(anybody.is_ok_and(|status| status.success()));
        if let Some((user, group)) = super::support::place::unprivileged() {
            chown(work.0.join("results"), Some(user), Some(group)).expect("root may give folders away");
        }
        let postgres = Postgres::start_with(Version::Debian, "timezone = 'GMT'\nmax_prepared_transactions = 2\nautovacuum = on\n");
        let mut sets = vec!["CREATE DATABASE regression TEMPLATE template0".to_string()];
        for name in ["lc_messages", "lc_monetary", "lc_numeric", "lc_time"] {
            sets.push(format!("ALTER DATABASE regression SET {name} TO 'C'"));
        }
        sets.push("ALTER DATABASE regression SET bytea_output TO 'hex'".into());
        sets.push("ALTER DATABASE regression SET timezone_abbreviations TO 'Default'".into());
        for sql in &sets {
            postgres.psql(&["-q", "-c", sql]).expect_success();
        }
        Run { work, postgres }
    }

    /// pg_dog in front of it.
    fn dog(&self, mode: &str) -> Dog {
        let general = general_of(2, &format!("pooler_mode = \"{mode}\"\nauth_type = \"trust\"\ncheckout_timeout = 20000"));
        let config = format!(
            "[general]\nhost = \"127.0.0.1\"\nport = {{port}}\nworkers = 2\n{general}\n[admin]\npassword = \"admin-secret\"\n\
             [[databases]]\nname = \"regression\"\nhost = \"127.0.0.1\"\nport = {}\n",
            self.postgres.port
        );
        Dog::start(&config, "[[users]]\nname = \"postgres\"\ndatabase = \"regression\"\n")
    }

    /// What psql says to each file.
    fn outputs(&self, port: u16, files: &[String]) -> Outputs {
        let login = Login::new(port, "postgres", "", "regression");
        files.iter().map(|file| (file.clone(), self.output(&login, file))).collect()
    }

    fn output(&self, login: &Login, file: &str) -> String {
        let work = &self.work.0;
        let out = work.join("results").join(format!("{file}.out"));
        let stdout = fs::File::create(&out).expect("our own folder");
        let mut command = Command::new(system_postgres().join("psql"));
        command.args(["-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]).current_dir(work);
        login.give_to(&mut command);
        for (name, value) in [("PG_ABS_SRCDIR", work.as_path()), ("PG_ABS_BUILDDIR", work.as_path()), ("PG_LIBDIR", work.as_path())] {
            command.env(name, value);
        }
        // psql speaks of a password file that is no file.
        command.env("PGPASSFILE", work.join("none"));
        command.env("PG_DLSUFFIX", ".so").env("PGTZ", "America/Los_Angeles").env("PGDATESTYLE", "Postgres, MDY");
        command.env("PGOPTIONS", "-c intervalstyle=postgres_verbose").env("PGAPPNAME", format!("pg_regress/{file}"));
        command.env("LC_MESSAGES", "C").env_remove("LC_ALL").env_remove("LANG").env_remove("LANGUAGE");
        command.stdin(fs::File::open(work.join("sql").join(format!("{file}.sql"))).expect("the schedule names files"));
        command.stderr(stdout.try_clone().expect("a descriptor is free")).stdout(stdout);
        let mut child = command.spawn().expect("psql runs");
        let ended = poll(FILE, || child.try_wait().expect("our own child").is_some());
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        let text = String::from_utf8_lossy(&fs::read(&out).expect("it was just written")).into_owned();
        // Each run has a folder of its own.
        let text = text.replace(work.to_str().expect("a path in UTF-8"), "$WORK");
        if ended { text } else { format!("{text}\nNOT AT ITS END AFTER {FILE:?}\n") }
    }
}

/// Lines without white space: how the outputs are compared.
fn bare(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// Whether an output is one of the expected ones.
fn is_expected(tests: &Path, file: &str, output: &str) -> bool {
    let output = bare(output);
    let names = std::iter::once(format!("{file}.out")).chain((0..10).map(|i| format!("{file}_{i}.out")));
    let read = |name: String| fs::read(tests.join("expected").join(name)).ok();
    names.filter_map(read).any(|expected| bare(&String::from_utf8_lossy(&expected)) == output)
}

/// The first lines that differ.
fn first_difference(one: &str, other: &str) -> String {
    let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let at = (0..one.len().max(other.len())).find(|i| bare(one.get(*i).unwrap_or(&"")) != bare(other.get(*i).unwrap_or(&"")));
    let Some(at) = at else { return "nothing but white space".to_string() };
    let around = |lines: &[&str]| lines[at.saturating_sub(3).min(lines.len())..(at + 3).min(lines.len())].join("\n    ");
    format!("line {}:\n    {}\n  instead of\n    {}", at + 1, around(&one), around(&other))
}

/// Keeps the outputs of a run for whoever has to explain a difference, if `PG_DOG_REGRESS_OUTPUTS` names a folder.
fn keep(what: &str, outputs: &Outputs) {
    let Some(folder) = std::env::var_os("PG_DOG_REGRESS_OUTPUTS") else { return };
    let folder = PathBuf::from(folder).join(what);
    fs::create_dir_all(&folder).expect("the folder can be made");
    for (file, output) in outputs {
        fs::write(folder.join(format!("{file}.out")), output).expect("the folder can be written");
    }
}

/// What the others do to the servers in turn, so that no session of psql has the same one for long, or finds one as it left it.
const DISTURBS: [&str; 6] = [
    "BEGIN; SELECT pg_sleep(0.001); COMMIT",
    "SET search_path = nowhere, pg_temp",
    "SELECT set_config('DateStyle', 'German', false), set_config('TimeZone', 'Asia/Tokyo', false)",
    "SET extra_float_digits = -3; SET enable_seqscan = off; SET bytea_output = escape",
    "DO $$ BEGIN SET standard_conforming_strings = off; END $$",
    "PREPARE mine AS SELECT 1; DEALLOCATE mine; RESET ALL",
];

/// The others: each changes its session and is gone again.
fn disturb(login: &Login, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut client = Raw::login(login);
        client.set_deadline(Duration::from_secs(60));
        for sql in DISTURBS.iter().cycle().take(40) {
            client.query(sql);
            pace(Duration::from_millis(2));
        }
    }
}

/// One run at PostgreSQL directly (no mode) or through pg_dog.
fn outputs(tests: &Path, mode: Option<&str>, files: &[String]) -> Outputs {
    let run = Run::new(tests);
    let begun = Instant::now();
    let dog = mode.map(|mode| run.dog(mode));
    let port = dog.as_ref().map_or(run.postgres.port, |dog| dog.port);
    let over = AtomicBool::new(false);
    let outputs = std::thread::scope(|scope| {
        if mode == Some("transaction") {
            (0..3).for_each(|_| drop(scope.spawn(|| disturb(&Login::new(port, "postgres", "", "regression"), &over))));
        }
        let outputs = run.outputs(port, files);
        over.store(true, Ordering::Relaxed);
        outputs
    });
    let passed = outputs.iter().filter(|(file, output)| is_expected(tests, file, output)).count();
    println!("{}: {passed} of {} files are as expected, in {:.1?}", mode.unwrap_or("directly"), files.len(), begun.elapsed());
    keep(mode.unwrap_or("direct"), &outputs);
    outputs
}

/// How many lines only one of two outputs has.
fn lines_apart(one: &str, other: &str) -> usize {
    let mut counts: BTreeMap<String, isize> = BTreeMap::new();
    bare(one).into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
    bare(other).into_iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    counts.values().map(|count| count.unsigned_abs()).sum()
}

/// What is neither expected nor what PostgreSQL says here by itself: psql and the time zones may be newer than the tests.
fn failed(tests: &Path, mode: &str, files: &[String], direct: &Outputs) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, output) in outputs(tests, Some(mode), files) {
        if is_expected(tests, &file, &output) {
            continue;
        }
        let apart = lines_apart(&output, &direct[&file]);
        let allowed = EXPLAINED.iter().find(|(known, only, ..)| *known == file && [mode, "both"].contains(only)).map_or(0, |row| row.2);
        if apart > allowed || (apart == 0 && bare(&output) != bare(&direct[&file])) {
            wrong.push(format!("{mode}: {file}, {apart} lines, {}", first_difference(&output, &direct[&file])));
        }
    }
    wrong
}

#[test]
fn files_about_sessions_are_as_expected() {
    let Some(tests) = tests() else { return };
    let chosen = std::env::var("PG_DOG_REGRESS_FILES").ok();
    let files: Vec<String> = match &chosen {
        Some(chosen) => chosen.split(',').map(String::from).collect(),
        None => SMALL.iter().map(ToString::to_string).collect(),
    };
    let direct = outputs(&tests, None, &files);
    let failed = failed(&tests, "transaction", &files, &direct);
    assert!(failed.is_empty(), "{} of {} files:\n{}", failed.len(), files.len(), failed.join("\n"));
}

#[test]
fn the_whole_schedule_is_as_expected() {
    if std::env::var("PG_DOG_REGRESS").as_deref() != Ok("all") {
        println!("SKIPPED: takes minutes, PG_DOG_REGRESS=all runs it");
        return;
    }
    let tests = tests().expect("looked for above");
    let files = schedule(&tests);
    assert!(files.len() > 150, "{files:?}");
    let direct = outputs(&tests, None, &files);
    let failed: Vec<String> = ["session", "transaction"].iter().flat_map(|mode| failed(&tests, mode, &files, &direct)).collect();
    assert!(failed.is_empty(), "{} files:\n{}", failed.len(), failed.join("\n"));
}
