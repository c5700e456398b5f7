//! PostgreSQL servers for tests: a fresh data folder each (copied from a template that is made once per version), a port and a socket of its own,
//! durability off. Two versions: the one of the operating system, and the newest, which `bash tests/run` downloads.
//!
//! Users, all with a database `app` that belongs to `app`:
//!
//! | user | password | how PostgreSQL wants it |
//! |---|---|---|
//! | `app` | `app-secret` | SCRAM-SHA-256 |
//! | `other` | `other-secret` | SCRAM-SHA-256 |
//! | `md5user` | `md5-secret` | MD5 |
//! | `plain` | `plain-secret` | clear text |
//! | `trusted` | none | trust |
//! | `postgres` | none | trust; superuser |

use super::place::{Folder, Kept, Port, base, unprivileged_command};
use super::{Login, Output, SOON, poll, psql};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Raised whenever what `template` does changes, so that old templates are not used.
const TEMPLATE: u32 = 3;

/// How often a start is tried when somebody took the port in between.
const ATTEMPTS: usize = 3;

/// Name, password, and how it is stored.
const ROLES: &[(&str, &str, &str)] = &[
    ("app", "app-secret", "scram-sha-256"),
    ("other", "other-secret", "scram-sha-256"),
    ("md5user", "md5-secret", "md5"),
    ("plain", "plain-secret", "scram-sha-256"),
    ("trusted", "", "scram-sha-256"),
];

const HBA: &str = "\
local all all trust
host all postgres,trusted 127.0.0.1/32 trust
host all md5user 127.0.0.1/32 md5
host all plain 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
";

const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
max_connections = 300
shared_buffers = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
log_min_messages = warning
timezone = 'UTC'
max_prepared_transactions = 20
";

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// the operating system's
    Debian,
    /// the newest one there is
    Newest,
}

/// A running server; stopped on drop.
pub struct Postgres {
    pub version: Version,
    pub port: u16,
    process: Kept,
    folder: Folder,
    _port: Port,
}

impl Postgres {
    /// Starts a fresh server and waits until it answers.
    pub fn start(version: Version) -> Postgres {
        Postgres::start_with(version, "")
    }

    /// The same, with more lines for postgresql.conf.
    pub fn start_with(version: Version, settings: &str) -> Postgres {
        let template = template(version);
        for _ in 0..ATTEMPTS {
            if let Some(postgres) = Postgres::attempt(version, &template, settings) {
                return postgres;
            }
        }
        panic!("PostgreSQL {version:?} did not start; its folder lies in {}", base().display());
    }

    fn attempt(version: Version, template: &Path, settings: &str) -> Option<Postgres> {
        let folder = Folder::new("postgres", true);
        let data = folder.0.join("data");
        must(unprivileged_command("cp").arg("-a").arg(template).arg(&data));
        append(&data.join("postgresql.conf"), settings);
        let port = Port::claim();
        let log = fs::File::create(folder.0.join("postgres.log")).expect("our own folder");
        let mut command = unprivileged_command(binaries(version).join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.number.to_string(), "-k"]).arg(&folder.0);
        command.stdout(log.try_clone().expect("a descriptor is free")).stderr(log);
        let process = Kept::start(command, "QUIT");
        let mut postgres = Postgres { version, port: port.number, process, folder, _port: port };
        let up = poll(SOON, || postgres.process.exited().is_some() || postgres.answers());
        if !up || postgres.process.exited().is_some() {
            eprintln!("PostgreSQL {version:?} did not come up:\n{}", postgres.log());
            return None;
        }
        Some(postgres)
    }

    /// Accepts connections: its lock file says so in its last line.
    fn answers(&self) -> bool {
        let state = fs::read_to_string(self.folder.0.join("data/postmaster.pid")).unwrap_or_default();
        state.lines().nth(7).is_some_and(|line| line.trim() == "ready") && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    /// How one of the users above logs in, over TCP, to the database `app`.
    pub fn login(&self, user: &str) -> Login {
        let password = ROLES.iter().find(|(name, ..)| *name == user).map_or("", |(_, password, _)| password);
        Login::new(self.port, user, password, "app")
    }

    /// Runs SQL as the superuser in the database `app`; the rows, as text. Fails the test on an error.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        super::query(&self.login("postgres"), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs psql as the superuser.
    pub fn psql(&self, arguments: &[&str]) -> Output {
        psql(&self.login("postgres"), arguments)
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("postgres.log")).unwrap_or_default()
    }

    /// Where its Unix socket lies.
    pub fn socket_folder(&self) -> &Path {
        &self.folder.0
    }

    /// Process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends the postmaster a signal: STOP and CONT freeze it and let it go on, QUIT ends it at once.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Ends the server as a crash would, and starts it again on the same data and port.
    pub fn crash_and_restart(&mut self) {
        self.restart("QUIT");
    }

    /// Ends the server by a signal (INT: everybody is thrown out in an orderly way; QUIT: as a crash would) and starts it again.
    pub fn restart(&mut self, signal: &str) {
        self.process.signal(signal);
        self.process.end(SOON);
        let log = fs::OpenOptions::new().append(true).open(self.folder.0.join("postgres.log")).expect("our own folder");
        let mut command = unprivileged_command(binaries(self.version).join("postgres"));
        command.arg("-D").arg(self.folder.0.join("data")).args(["-p", &self.port.to_string(), "-k"]).arg(&self.folder.0);
        command.stdout(log.try_clone().expect("a descriptor is free")).stderr(log);
        self.process = Kept::start(command, "QUIT");
        assert!(poll(SOON, || self.answers()), "PostgreSQL did not come back:\n{}", self.log());
    }

    /// Ends the server at once; every connection breaks.
    pub fn stop(&mut self) {
        self.process.signal("QUIT");
        self.process.end(SOON);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- PostgreSQL {:?} on port {} wrote (kept in {}):\n{}", self.version, self.port, self.folder.0.display(), tail(&self.log()));
        }
        self.stop();
    }
}

/// The last lines of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Where the programs of that version lie; reachable by the user who runs them.
pub fn binaries(version: Version) -> PathBuf {
    match version {
        Version::Debian => super::tools::system_postgres(),
        Version::Newest => {
            let unpacked = super::tools::folder().join("postgres-newest");
            assert!(unpacked.join("bin/postgres").exists(), "the newest PostgreSQL is not here: `bash tests/run` downloads it");
            reachable(&unpacked).join("bin")
        }
    }
}

/// `folder`, or a copy of it if the unprivileged user cannot reach it where it is (a checkout below a closed home folder).
fn reachable(folder: &Path) -> PathBuf {
    let program = folder.join("bin/postgres");
    if unprivileged_command(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return folder.to_path_buf();
    }
    let stamp = fs::metadata(&program).and_then(|meta| meta.modified()).expect("the program was just found");
    let stamp = stamp.duration_since(std::time::UNIX_EPOCH).expect("files are younger than 1970").as_nanos();
    let copy = base().join(format!("programs-{stamp}"));
    publish(&copy, |target| must(Command::new("cp").arg("-a").arg(folder).arg(target)));
    must(Command::new("chmod").args(["-R", "a+rX"]).arg(&copy));
    copy
}

/// Makes `path` once, also when several processes want it: made aside, then renamed; whoever comes second throws its own away.
fn publish(path: &Path, make: impl FnOnce(&Path)) {
    if path.exists() {
        return;
    }
    let folder = Folder::new("making", true);
    let made = folder.0.join("made");
    make(&made);
    if let Err(error) = fs::rename(&made, path) {
        assert!(path.exists(), "{}: {error}", path.display());
    }
}

/// A data folder with the roles and the database above, made once per version.
fn template(version: Version) -> PathBuf {
    let programs = binaries(version);
    let output = Command::new(programs.join("postgres")).arg("--version").output().expect("PostgreSQL runs");
    let name = String::from_utf8_lossy(&output.stdout).split_whitespace().nth(2).unwrap_or("unknown").to_string();
    let path = base().join(format!("template-{name}-{TEMPLATE}"));
    publish(&path, |data| {
        let mut initdb = unprivileged_command(programs.join("initdb"));
        initdb.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "-N"]);
        must(&mut initdb);
        fs::write(data.join("pg_hba.conf"), HBA).expect("our own folder");
        append(&data.join("postgresql.conf"), SETTINGS);
        let mut sql = String::new();
        for (name, password, stored) in ROLES {
            let password = if password.is_empty() { String::new() } else { format!(" PASSWORD '{password}'") };
            sql.push_str(&format!("SET password_encryption = '{stored}';\nCREATE ROLE {name} LOGIN{password};\n"));
        }
        sql.push_str("CREATE DATABASE app OWNER app;\n");
        single_user(&programs, data, "postgres", &sql);
        single_user(&programs, data, "app", "GRANT ALL ON SCHEMA public TO PUBLIC;\n");
    });
    path
}

/// Runs SQL, one statement a line, on data whose server does not run.
fn single_user(programs: &Path, data: &Path, database: &str, sql: &str) {
    let mut command = unprivileged_command(programs.join("postgres"));
    command.args(["--single", "-j", "-D"]).arg(data).arg(database);
    command.args(["-c", "exit_on_error=on"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("PostgreSQL runs");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all(sql.replace(";\n", ";\n\n").as_bytes()).expect("it reads its input");
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("our own folder");
    file.write_all(text.as_bytes()).expect("the disk has room");
}

/// Runs a command that has to succeed.
fn must(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}
