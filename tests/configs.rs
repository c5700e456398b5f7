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

/// The default of shutdown_timeout, in milliseconds.
fn drain() -> i64 {
    let pg_dog::config::table::Preset::Int(drain) =
        pg_dog::config::table::section_named("general").and_then(|general| general.key("shutdown_timeout")).expect("the setting exists").default
    else {
        panic!("shutdown_timeout is a number");
    };
    drain
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
    // The drain must end before systemd kills, with time to spare.
    let drain = drain();
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

/// The lines of one service of docker-compose.yml.
fn service(compose: &str, name: &str) -> String {
    let begin = compose.find(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("there is no service {name}"));
    let lines = compose[begin + 1..].lines();
    lines.take(1).chain(compose[begin + 1..].lines().skip(1).take_while(|line| line.starts_with("    "))).map(|line| format!("{line}\n")).collect()
}

/// What compose starts fits together: shards, the configuration in front of them, and what pg_dog needs of a container.
#[test]
fn the_containers_fit_together() {
    let compose = text("docker-compose.yml");
    let configuration: toml::Table = text("configs/compose/pgdog.toml").parse().expect("TOML");
    let users: toml::Table = text("configs/compose/users.toml").parse().expect("TOML");
    let databases = configuration["databases"].as_array().expect("databases");
    let user = &users["users"][0];
    assert_eq!(["name", "database", "password"].map(|key| user[key].as_str().unwrap_or_default()), ["postgres"; 3]);
    let dog = service(&compose, "pg_dog");
    for (shard, database) in databases.iter().enumerate() {
        let host = database["host"].as_str().expect("a host");
        let server = service(&compose, host);
        assert_eq!((database["name"].as_str(), database["shard"].as_integer()), (Some("postgres"), i64::try_from(shard).ok()), "{database}");
        let wanted =
            format!("POSTGRES_DB: {}, SHARD: \"{shard}\", SHARDS: \"{}\"", database["database_name"].as_str().expect("a name"), databases.len());
        assert!(server.contains(&wanted) && server.contains("POSTGRES_USER: postgres, POSTGRES_PASSWORD: postgres,"), "{wanted}: {server}");
        assert!(
            server.contains("<<: *shard") && server.contains("- ./shards:/messenger:ro") && server.contains("configs/compose/init.sh:"),
            "{server}"
        );
        assert!(dog.contains(&format!("{host}: {{ condition: service_healthy }}")), "{dog}");
    }
    assert_eq!(databases.len(), compose.matches("<<: *shard").count(), "as many shards are started as are used");
    assert!(compose.contains("image: \"${PARADEDB_IMAGE:-paradedb/paradedb}:${PARADEDB_TAG:-latest-pg17}\""));
    // The shards are the messenger's: what is mounted exists, and rows are spread as they are without containers.
    let mounts: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")?.split(':').next()).collect();
    assert!(mounts.len() > databases.len() && mounts.iter().all(|mount| root().join(mount).exists()), "{mounts:?}");
    assert!(text("configs/compose/init.sh").contains("-f /messenger/shard.sql") && root().join("shards/shard.sql").exists());
    let rules = |table: &toml::Table| -> Vec<String> {
        let rules = table["sharded_tables"].as_array().expect("rules");
        rules.iter().map(|rule| format!("{} {}", rule["name"], rule["column"])).collect()
    };
    assert_eq!(rules(&configuration), rules(&text("shards/pgdog.toml").parse().expect("TOML")));
    // What pg_dog needs.
    let profile = dog.lines().find_map(|line| line.trim().strip_prefix("- seccomp:")).expect("a profile");
    assert!(text(profile).contains("io_uring_setup") && dog.contains("memlock: -1"), "{dog}");
    assert!(dog.contains(":6432\"") && configuration["general"]["port"].as_integer() == Some(6432), "{dog}");
    assert!(dog.contains("build: .") && dog.contains("- ./configs/compose:/etc/pg_dog:ro"), "{dog}");
    assert!(text("Dockerfile").contains("\"/etc/pg_dog/pgdog.toml\", \"--users\", \"/etc/pg_dog/users.toml\""));
    let grace: i64 = dog.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: ")?.strip_suffix('s')?.parse().ok()).expect("seconds");
    assert!(grace * 1000 >= drain() + 10_000, "stop_grace_period: {grace}s");
}
