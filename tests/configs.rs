//! What is shipped beside the program works: the configurations are right, the systemd unit is one, pg_dog runs under its system-call filter and
//! under the seccomp profile for containers, and what the container would hold is enough to start.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Dog, Postgres, Version, config, query, users};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The values of a key of the systemd unit, in order.
fn unit(key: &str) -> Vec<String> {
    let of = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::to_string);
    text("configs/systemd/pg_dog.service").lines().filter_map(of).collect()
}

/// A program that starts others under a filter.
fn under_seccomp(words: &[&str]) -> Vec<String> {
    let helper = root().join("tests/configs/under_seccomp.py");
    ["python3".to_string(), helper.display().to_string()].into_iter().chain(words.iter().map(ToString::to_string)).collect()
}

fn path(relative: &str) -> String {
    root().join(relative).display().to_string()
}

/// Starts pg_dog under a filter and asks through it.
fn answers_under(filter: &[&str]) {
    let postgres = Postgres::start(Version::Debian);
    let words = under_seccomp(filter);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut dog = Dog::start_under(&config(&postgres, "", ""), &users(&postgres, &[("app", "")]), &words);
    let login = dog.instead_of(&postgres.login("app"));
    assert_eq!(query(&login, "SELECT 41 + 1"), Ok(vec![vec!["42".to_string()]]));
    dog.signal("HUP");
    assert_eq!(query(&login, "SELECT 6 * 7"), Ok(vec![vec!["42".to_string()]]));
    assert!(dog.stop().is_some_and(|status| status.success()), "it ends in order");
}

#[test]
fn every_configuration_is_right() {
    let mut checked = 0;
    for entry in std::fs::read_dir(root().join("configs")).expect("the folder is there") {
        let folder = entry.expect("the folder can be read").path();
        if !folder.join("pgdog.toml").exists() {
            continue;
        }
        let check = Command::new(env!("CARGO_BIN_EXE_pg_dog"))
            .arg("--config")
            .arg(folder.join("pgdog.toml"))
            .arg("--users")
            .arg(folder.join("users.toml"))
            .arg("configcheck")
            .output()
            .expect("the program was built");
        assert!(check.status.success() && !said(&check).contains("warning"), "{}: {}", folder.display(), said(&check));
        checked += 1;
    }
    assert!(checked >= 3, "only {checked} configurations were found");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let folder = support::place::Folder::new("unit", false);
    let copy = folder.0.join("pg_dog.service");
    let program = env!("CARGO_BIN_EXE_pg_dog");
    let user = text("/etc/passwd").lines().next().and_then(|line| line.split(':').next().map(str::to_string)).expect("there are users");
    let here = text("configs/systemd/pg_dog.service").replace("/usr/local/bin/pg_dog", program);
    std::fs::write(&copy, here.replace("User=pg_dog\nGroup=pg_dog", &format!("User={user}"))).expect("our own folder");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&copy).output().expect("systemd-analyze is installed (tests/run does that)");
    assert!(verified.status.success() && said(&verified).trim().is_empty(), "{}", said(&verified));
}

#[test]
fn the_unit_gives_what_pg_dog_needs() {
    assert_eq!(unit("ExecReload"), ["/bin/kill -HUP $MAINPID"]);
    assert_eq!(unit("KillSignal"), ["SIGTERM"]);
    assert_eq!(unit("LimitMEMLOCK"), ["infinity"]);
    assert!(unit("LimitNOFILE")[0].parse::<u64>().is_ok_and(|files| files >= 100_000));
    // The drain must end before systemd kills: the default of shutdown_timeout, with time to spare.
    let pg_dog::config::table::Preset::Int(drain) =
        pg_dog::config::table::section_named("general").and_then(|general| general.key("shutdown_timeout")).expect("the setting exists").default
    else {
        panic!("shutdown_timeout is a number");
    };
    let stop: i64 = unit("TimeoutStopSec")[0].trim_end_matches('s').parse().expect("seconds");
    assert!(stop * 1000 >= drain + 10_000, "TimeoutStopSec={stop}s, shutdown_timeout is {drain} ms");
}

#[test]
fn pg_dog_runs_under_the_filter_of_the_unit() {
    answers_under(&["--unit", &path("configs/systemd/pg_dog.service")]);
}

#[test]
fn pg_dog_runs_under_the_seccomp_profile() {
    answers_under(&[&path("configs/seccomp/pg_dog.json")]);
}

#[test]
fn without_its_rule_the_seccomp_profile_forbids_io_uring() {
    let postgres = Postgres::start(Version::Debian);
    let words = under_seccomp(&[&path("configs/seccomp/pg_dog.json"), "--without", "io_uring_setup,io_uring_enter,io_uring_register"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (status, log) = Dog::refused_under(&config(&postgres, "", ""), &users(&postgres, &[("app", "")]), &words);
    assert!(!status.success() && log.contains("io_uring") && log.contains("seccomp"), "{log}");
}

#[test]
fn the_container_holds_all_that_the_program_needs() {
    let folder = support::place::Folder::new("image", false);
    let made = Command::new(root().join("configs/docker/image")).arg(env!("CARGO_BIN_EXE_pg_dog")).arg(&folder.0).output().expect("a script");
    assert!(made.status.success(), "{}", said(&made));
    let libraries: Vec<PathBuf> = libraries(&folder.0);
    let loader = libraries.iter().find(|path| path.to_string_lossy().contains("/ld-linux")).expect("the loader is one of them");
    let places: Vec<String> = libraries.iter().filter_map(|path| path.parent()).map(|path| path.display().to_string()).collect();
    let run = Command::new(loader)
        .args(["--inhibit-cache", "--library-path", &places.join(":")])
        .arg(folder.0.join("usr/bin/pg_dog"))
        .arg("--version")
        .env_clear()
        .output()
        .expect("the loader runs");
    assert!(run.status.success() && said(&run).starts_with("pg_dog "), "{}", said(&run));
    assert!(said(&run).contains(env!("CARGO_PKG_VERSION")));
}

/// The shared libraries below a folder.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("our own folder") {
            let path = entry.expect("our own folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(".so") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_dockerfile_copies_what_exists() {
    let dockerfile = text("Dockerfile");
    let ignored = text(".dockerignore");
    let mut copied = 0;
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{source} is copied and does not exist");
            assert!(ignored.lines().any(|line| line.strip_prefix('!') == Some(source)), "{source} is copied and ignored");
            copied += 1;
        }
    }
    assert!(copied >= 5 && dockerfile.contains("USER 65532"), "{dockerfile}");
}
