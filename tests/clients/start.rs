//! Starts that cannot go well end with exit code 1 and say what to do; `configcheck` and `hash` do what they say.

use super::support::place::{Folder, Port};
use super::support::tools::run;
use super::support::{Dog, Output, SOON};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const GOOD: &str = "[general]\nhost = \"127.0.0.1\"\nport = {port}\nworkers = 2\n[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\n";
const USERS: &str = "[[users]]\nname = \"app\"\ndatabase = \"app\"\npassword = \"hidden-word\"\n";

/// Refused, for a reason that names all of `because`, and without a password in it.
fn refused(config: &str, users: &str, because: &[&str]) {
    let (status, log) = Dog::refused(config, users);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(because.iter().all(|part| log.contains(part)), "{because:?} is not in: {log}");
    assert!(!log.contains("hidden-word") && !log.contains("panicked"), "{log}");
}

#[test]
fn bad_files_are_refused() {
    refused(&GOOD.replace("workers = 2", "workers = \"two\""), USERS, &["pgdog.toml:4", "workers"]);
    refused(&GOOD.replace("workers", "wokers"), USERS, &["pgdog.toml:4", "wokers", "did you mean `workers`"]);
    refused(&GOOD.replace("[general]", "[general"), USERS, &["pgdog.toml:1"]);
    refused(&format!("{GOOD}[nonsense]\na = 1\n"), USERS, &["pgdog.toml:8", "nonsense"]);
    refused(GOOD, &USERS.replace("password = ", "password = 7 # "), &["users.toml:4", "password"]);
    refused(GOOD, &format!("{USERS}{USERS}"), &["users.toml:5", "stands on line 1 already"]);
    // All mistakes at once.
    refused(&GOOD.replace("workers = 2", "wrokers = 2\nauth_type = \"magic\""), &USERS.replace("name", "nmae"), &["wrokers", "auth_type", "nmae"]);
}

#[test]
fn what_would_not_be_safe_to_ignore_is_refused() {
    for line in ["tls_client_required = true", "tls_verify = \"verify_full\"", "passthrough_auth = \"enabled\""] {
        let key = line.split(' ').next().expect("a key");
        refused(&GOOD.replace("workers = 2", line), USERS, &["pgdog.toml:4", key, "not built yet"]);
    }
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let port = Port::claim();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).expect("the port is ours");
    let config = GOOD.replace("port = {port}", &format!("port = {} # {{port}}", port.number));
    refused(&config, USERS, &[&format!("127.0.0.1:{}", port.number), "taken"]);
}

#[test]
fn two_of_them_on_one_port_are_one_too_many() {
    let first = Dog::start(GOOD, USERS);
    let config = GOOD.replace("port = {port}", &format!("port = {} # {{port}}", first.port));
    refused(&config, USERS, &["taken"]);
}

/// Whether the port is free is found out without letting anybody in, who would be thrown out again.
#[test]
fn nobody_is_let_in_before_it_is_time() {
    let port = Port::claim();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let knocking = scope.spawn(|| {
            let mut let_in = 0;
            while !done.load(Ordering::Relaxed) {
                let_in += u32::from(TcpStream::connect(address).is_ok());
            }
            let_in
        });
        for _ in 0..5_000 {
            pg_dog::io::socket::probe(&address).expect("the port is ours");
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(knocking.join().expect("it only knocks"), 0, "clients were let in, and thrown out");
    });
}

#[test]
fn an_address_that_is_not_ours_is_refused() {
    refused(&GOOD.replacen("127.0.0.1", "192.0.2.1", 1), USERS, &["192.0.2.1", "cannot listen"]);
}

/// Runs pg_dog with these arguments in a folder that holds these files.
fn pg_dog(config: &str, users: &str, arguments: &[&str]) -> Output {
    let folder = Folder::new("run", false);
    std::fs::write(folder.0.join("pgdog.toml"), config.replace("{port}", "6432")).expect("our own folder");
    std::fs::write(folder.0.join("users.toml"), users).expect("our own folder");
    program(&folder.0, arguments)
}

fn program(folder: &Path, arguments: &[&str]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_pg_dog")).args(arguments).current_dir(folder), SOON)
}

#[test]
fn configcheck_says_right_or_wrong_and_starts_nothing() {
    let right = pg_dog(GOOD, USERS, &["configcheck"]);
    assert_eq!(right.status.and_then(|status| status.code()), Some(0), "{right:?}");
    assert!(right.stdout.contains("1 pools"), "{right:?}");
    let wrong = pg_dog(&GOOD.replace("workers", "wokers"), USERS, &["configcheck"]);
    assert_eq!(wrong.status.and_then(|status| status.code()), Some(1), "{wrong:?}");
    assert!(wrong.stderr.contains("pgdog.toml:4") && wrong.stderr.contains("wokers"), "{wrong:?}");
    let elsewhere = pg_dog(GOOD, USERS, &["--config", "pgdog.toml", "--users", "missing.toml", "configcheck"]);
    assert_eq!(elsewhere.status.and_then(|status| status.code()), Some(0), "{elsewhere:?}");
    assert!(elsewhere.stderr.contains("missing"), "{elsewhere:?}");
}

#[test]
fn hash_prints_a_verifier() {
    let (one, two) = (pg_dog(GOOD, USERS, &["hash", "my-password"]), pg_dog(GOOD, USERS, &["hash", "my-password"]));
    for output in [&one, &two] {
        assert_eq!(output.status.and_then(|status| status.code()), Some(0), "{output:?}");
        assert!(output.stdout.starts_with("SCRAM-SHA-256$4096:") && !output.stdout.contains("my-password"), "{output:?}");
    }
    assert_ne!(one.stdout, two.stdout, "the salt is not random");
    // PostgreSQL takes it, and knows the password by it.
    let postgres = super::support::Postgres::start(super::support::Version::Newest);
    postgres.sql(&format!("CREATE ROLE hashed LOGIN PASSWORD '{}'", one.stdout.trim()));
    let mut login = postgres.login("app");
    (login.user, login.password) = ("hashed".into(), "my-password".into());
    assert_eq!(super::house::one(&mut super::support::Raw::login(&login), "SELECT current_user"), "hashed");
}

/// A machine that grants too little: what is missing, and what to change, is said. (A kernel that forbids io_uring cannot be had in a test without
/// forbidding it to everybody on the machine.)
#[test]
fn limits_that_are_too_low_are_named() {
    let folder = Folder::new("limits", false);
    let port = Port::claim();
    std::fs::write(folder.0.join("pgdog.toml"), GOOD.replace("{port}", &port.number.to_string())).expect("our own folder");
    std::fs::write(folder.0.join("users.toml"), USERS).expect("our own folder");
    for (limit, because) in [("--nofile=64:64", "LimitNOFILE"), ("--memlock=65536:65536", "LimitMEMLOCK")] {
        let mut command = Command::new("prlimit");
        command.arg(limit).arg(env!("CARGO_BIN_EXE_pg_dog")).current_dir(&folder.0);
        let output = run(&mut command, SOON);
        assert_eq!(output.status.and_then(|status| status.code()), Some(1), "{}", output.stderr);
        assert!(output.stderr.contains(because), "{because} is not in: {}", output.stderr);
    }
}
