//! Real clients: psql and pgbench of the operating system, Python and node.js with their drivers as `bash tests/run` installed them. Every run
//! has a deadline; what a program wrote comes back as text.

use super::place::Folder;
use super::{SOON, poll};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Who logs in where; every program gets it by the environment variables of libpq, which the drivers read as well.
#[derive(Clone, Debug)]
pub struct Login {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl Login {
    /// A login over TCP on this machine.
    pub fn new(port: u16, user: &str, password: &str, database: &str) -> Login {
        Login { host: "127.0.0.1".into(), port, user: user.into(), password: password.into(), database: database.into() }
    }

    /// The same for a program that a test starts by itself.
    pub fn give_to(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("PGHOST", &self.host).env("PGPORT", self.port.to_string()).env("PGUSER", &self.user).env("PGDATABASE", &self.database);
        command.env("PGPASSWORD", &self.password).env("PGPASSFILE", "/dev/null").env("PGCONNECT_TIMEOUT", "10").env("PGSSLMODE", "disable");
    }
}

/// What a program said.
#[derive(Debug)]
pub struct Output {
    /// None: it was still running at its deadline, and was killed
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// It ended in time, and well.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Its output; fails the test with everything it said if it did not succeed.
    pub fn expect_success(self) -> String {
        assert!(self.success(), "ended with {:?}\n--- stdout:\n{}\n--- stderr:\n{}", self.status, self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a program to its end, or to its deadline.
pub fn run(command: &mut Command, bound: Duration) -> Output {
    Running::start(command).finish(bound)
}

/// A program that was started; killed on drop.
pub struct Running {
    child: Child,
    folder: Folder,
}

impl Running {
    /// Starts a program. Its output goes to files: a pipe that nobody empties would stop it.
    pub fn start(command: &mut Command) -> Running {
        let folder = Folder::new("run", false);
        let file = |name: &str| fs::File::create(folder.0.join(name)).expect("our own folder");
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running { child, folder }
    }

    /// Sends a signal by name (INT is what ^C sends).
    pub fn signal(&mut self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {}", self.child.id());
    }

    /// Waits for the end, or for the deadline and kills it; what it said.
    pub fn finish(mut self, bound: Duration) -> Output {
        let mut status = None;
        poll(bound, || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let text = |name: &str| String::from_utf8_lossy(&fs::read(self.folder.0.join(name)).unwrap_or_default()).into_owned();
        Output { status, stdout: text("out"), stderr: text("err") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `bash tests/run` puts what it downloads.
pub fn folder() -> PathBuf {
    root().join("target/tools")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The programs of the operating system's PostgreSQL, the newest if there are several.
pub fn system_postgres() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let found = versions.map(|entry| entry.path()).filter(|path| path.join("bin/postgres").exists()).max_by_key(|path| number(path));
    if let Some(path) = found {
        return path.join("bin");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).find(|folder| folder.join("postgres").exists());
    in_path.expect("PostgreSQL is not installed: `bash tests/run` does that")
}

/// Runs psql (no start-up file, stop at the first error). Add `--csv`, `-c`, `-f` and the like.
pub fn psql(login: &Login, arguments: &[&str]) -> Output {
    start_psql(login, arguments).finish(SOON)
}

/// Starts psql, as `psql` does, and leaves it running.
pub fn start_psql(login: &Login, arguments: &[&str]) -> Running {
    start_psql_with(login, arguments, &[])
}

/// The same with more environment variables.
pub fn start_psql_with(login: &Login, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new(system_postgres().join("psql"));
    command.args(["-X", "-v", "ON_ERROR_STOP=1"]).args(arguments).current_dir(root());
    login.give_to(&mut command);
    command.envs(environment.iter().copied());
    Running::start(&mut command)
}

/// Runs SQL through psql; its rows as text (NULL is an empty text), or what psql wrote to stderr.
pub fn query(login: &Login, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let output = psql(login, &["-q", "--csv", "-t", "-c", sql]);
    if output.success() { Ok(parse_csv(&output.stdout)) } else { Err(format!("{:?}: {}", output.status, output.stderr)) }
}

/// Runs SQL through psql; each row by column name.
pub fn table(login: &Login, sql: &str) -> Result<Vec<HashMap<String, String>>, String> {
    let output = psql(login, &["-q", "--csv", "-c", sql]);
    if !output.success() {
        return Err(format!("{:?}: {}", output.status, output.stderr));
    }
    let mut rows = parse_csv(&output.stdout).into_iter();
    let names = rows.next().unwrap_or_default();
    Ok(rows.map(|row| names.iter().cloned().zip(row).collect()).collect())
}

/// Reads CSV as psql writes it (RFC 4180).
pub fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap_or('"')),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            _ => field.push(c),
        }
    }
    rows
}

/// Runs pgbench.
pub fn pgbench(login: &Login, arguments: &[&str], bound: Duration) -> Output {
    let mut command = Command::new(system_postgres().join("pgbench"));
    command.args(arguments).current_dir(root());
    login.give_to(&mut command);
    run(&mut command, bound)
}

/// Starts another program of the operating system's PostgreSQL (pg_dump, pg_basebackup, ...) and leaves it running.
pub fn start_program(login: &Login, name: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(system_postgres().join(name));
    command.args(arguments).current_dir(root());
    login.give_to(&mut command);
    Running::start(&mut command)
}

/// Runs Python with its drivers; `arguments` are a script (relative to the package) or `-c` and code.
pub fn python(login: &Login, arguments: &[&str], bound: Duration) -> Output {
    let program = folder().join("venv/bin/python");
    assert!(program.exists(), "the Python drivers are not here: `bash tests/run` installs them");
    let mut command = Command::new(program);
    command.arg("-B").args(arguments).current_dir(root());
    login.give_to(&mut command);
    run(&mut command, bound)
}

/// Runs node.js with its drivers; `arguments` are a script (relative to the package) or `-e` and code.
pub fn node(login: &Login, arguments: &[&str], bound: Duration) -> Output {
    let modules = folder().join("node/node_modules");
    assert!(modules.join("pg").exists(), "node-postgres is not here: `bash tests/run` installs it");
    let mut command = Command::new("node");
    command.args(arguments).current_dir(root()).env("NODE_PATH", modules);
    login.give_to(&mut command);
    run(&mut command, bound)
}

/// Where the operating system's package puts the JDBC driver.
const JDBC: &str = "/usr/share/java/postgresql.jar";

/// Where the operating system's packages put Go's drivers.
const GO: &str = "/usr/share/gocode";

/// Whether a large language runtime and its driver are here. `PG_DOG_DRIVERS=all` says that they have to be.
fn is_here(what: &str, program: &str, driver: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = driver.exists() && std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    let all = std::env::var_os("PG_DOG_DRIVERS").is_some_and(|drivers| drivers == "all");
    assert!(here || !all, "{what} is not here: `bash tests/run` installs it");
    if !here {
        eprintln!("{what} is not here, so it is not tested: `PG_DOG_DRIVERS=all bash tests/run` installs it");
    }
    here
}

/// Runs a Java file (and arguments) with the JDBC driver; None where a JDK or the driver are not installed.
pub fn java(login: &Login, arguments: &[&str], bound: Duration) -> Option<Output> {
    is_here("JDBC", "javac", Path::new(JDBC)).then(|| {
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", "-cp", JDBC]).args(arguments).current_dir(root());
        login.give_to(&mut command);
        run(&mut command, bound)
    })
}

/// How long the first build of the package in tests/sqlx may take.
const BUILD: Duration = Duration::from_secs(900);

/// Runs the package in tests/sqlx; None where cargo does not have the crates that it needs. It is built where that has not been done.
pub fn sqlx(login: &Login, arguments: &[&str], bound: Duration) -> Option<Output> {
    let cargo = |subcommand: &str, more: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args([subcommand, "--quiet", "--offline", "--locked", "--manifest-path", "tests/sqlx/Cargo.toml"]).args(more);
        command.current_dir(root()).env_remove("CARGO_TARGET_DIR");
        run(&mut command, BUILD)
    };
    let here = cargo("metadata", &["--format-version", "1"]).success();
    let all = std::env::var_os("PG_DOG_DRIVERS").is_some_and(|drivers| drivers == "all");
    assert!(here || !all, "the crates of sqlx are not here: `bash tests/run` fetches them");
    if !here {
        eprintln!("the crates of sqlx are not here, so it is not tested: `bash tests/run` fetches them");
        return None;
    }
    cargo("build", &["--target-dir", "target/sqlx"]).expect_success();
    let mut command = Command::new(root().join("target/sqlx/debug/drive_sqlx"));
    command.args(arguments).current_dir(root());
    login.give_to(&mut command);
    Some(run(&mut command, bound))
}

/// Runs a Go file (and arguments) with lib/pq and pgx; None where Go or they are not installed.
pub fn go(login: &Login, arguments: &[&str], bound: Duration) -> Option<Output> {
    let drivers = Path::new(GO).join("src/github.com/jackc/pgx/v4");
    is_here("Go with pgx", "go", &drivers).then(|| {
        let mut command = Command::new("go");
        command.arg("run").args(arguments).current_dir(root());
        login.give_to(&mut command);
        command.env("GO111MODULE", "off").env("GOPATH", GO).env("GOCACHE", folder().join("go")).env("GOFLAGS", "");
        run(&mut command, bound)
    })
}
