//! A pg_dog for tests: the built program with its own folder, port and log, stopped on drop.

use super::place::{Folder, Kept, Port};
use super::postgres::tail;
use super::{Login, Postgres, SOON, poll};
use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// The admin's password in `config` (the one of a text with an own `[admin]` section is read from it).
const ADMIN_PASSWORD: &str = "admin-secret";

/// A pgdog.toml for one database `app` on `postgres`: `general` holds more lines for `[general]`, `rest` more sections.
pub fn config(postgres: &Postgres, general: &str, rest: &str) -> String {
    config_at(postgres.port, general, rest)
}

/// The same for whatever listens on that port of this machine.
pub fn config_at(server: u16, general: &str, rest: &str) -> String {
    format!(
        "[general]\nhost = \"127.0.0.1\"\nport = {{port}}\nworkers = 2\n{general}\n\
         [admin]\npassword = \"{ADMIN_PASSWORD}\"\n\
         [[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\nport = {server}\n{rest}\n"
    )
}

/// A users.toml for some of the users of `Postgres` in the database `app`: (name, more lines for it).
pub fn users(postgres: &Postgres, names: &[(&str, &str)]) -> String {
    let one = |(name, lines): &(&str, &str)| {
        let login = postgres.login(name);
        let password = if login.password.is_empty() { String::new() } else { format!("password = \"{}\"\n", login.password) };
        format!("[[users]]\nname = \"{name}\"\ndatabase = \"app\"\n{password}{lines}\n")
    };
    names.iter().map(one).collect()
}

/// A running pg_dog.
pub struct Dog {
    pub port: u16,
    admin: Login,
    process: Kept,
    folder: Folder,
    _port: Port,
}

impl Dog {
    /// Starts pg_dog with these two files and waits until it accepts connections. `{port}` in the first is replaced by a port of its own.
    pub fn start(config: &str, users: &str) -> Dog {
        Dog::start_with(config, users, &[])
    }

    /// The same, with environment variables.
    pub fn start_with(config: &str, users: &str, environment: &[(&str, &str)]) -> Dog {
        Dog::spawn(config, users, environment, &[]).accepts()
    }

    /// The same, with no more than so many open files.
    pub fn start_limited(config: &str, users: &str, files: usize) -> Dog {
        Dog::spawn(config, users, &[], &["prlimit", &format!("--nofile={files}:{files}")]).accepts()
    }

    /// The same, started by another program: its words, before those that start pg_dog.
    pub fn start_under(config: &str, users: &str, wrapper: &[&str]) -> Dog {
        Dog::spawn(config, users, &[], wrapper).accepts()
    }

    fn accepts(self) -> Dog {
        let mut dog = self;
        let port = dog.port;
        let up = poll(SOON, || dog.process.exited().is_some() || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        let ended = dog.process.exited();
        assert!(up && ended.is_none(), "pg_dog does not accept connections; it ended: {ended:?}");
        dog
    }

    /// Starts pg_dog with files that it should refuse; its exit status and its log.
    pub fn refused(config: &str, users: &str) -> (ExitStatus, String) {
        Dog::refused_under(config, users, &[])
    }

    /// The same, started by another program.
    pub fn refused_under(config: &str, users: &str, wrapper: &[&str]) -> (ExitStatus, String) {
        let mut dog = Dog::spawn(config, users, &[], wrapper);
        let status = dog.process.end(SOON).expect("pg_dog should have refused to start");
        (status, dog.log())
    }

    /// What one of its commands does with the same files: exit code, standard output and standard error.
    pub fn command(&self, words: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg_dog"));
        command.arg("--config").arg(self.folder.0.join("pgdog.toml")).arg("--users").arg(self.folder.0.join("users.toml")).args(words);
        let piped = || std::process::Stdio::piped();
        let mut process = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("pg_dog is built");
        // It may end without having read it.
        let _ = std::io::Write::write_all(&mut process.stdin.take().expect("a pipe"), input.as_bytes());
        let output = process.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn spawn(config: &str, users: &str, environment: &[(&str, &str)], wrapper: &[&str]) -> Dog {
        assert!(config.contains("{port}"), "the configuration has no place for the port: write `port = {{port}}`");
        let folder = Folder::new("dog", false);
        let port = Port::claim();
        let log = fs::File::create(folder.0.join("pg_dog.log")).expect("our own folder");
        let admin = admin_login(config, port.number);
        fs::write(folder.0.join("pgdog.toml"), config.replace("{port}", &port.number.to_string())).expect("our own folder");
        fs::write(folder.0.join("users.toml"), users).expect("our own folder");
        let program = env!("CARGO_BIN_EXE_pg_dog");
        let mut words = wrapper.iter().copied().chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PGDOG_")) {
            command.env_remove(name);
        }
        command.arg("--config").arg(folder.0.join("pgdog.toml")).arg("--users").arg(folder.0.join("users.toml"));
        command.envs(environment.iter().copied()).env("RUST_BACKTRACE", "1").current_dir(&folder.0);
        command.stdout(log.try_clone().expect("a descriptor is free")).stderr(log);
        let process = Kept::start(command, "KILL");
        Dog { port: port.number, admin, process, folder, _port: port }
    }

    /// A login of a user of the database `app` through this pg_dog.
    pub fn login(&self, user: &str, password: &str) -> Login {
        Login::new(self.port, user, password, "app")
    }

    /// The same user and database as a login to PostgreSQL, but through this pg_dog.
    pub fn instead_of(&self, direct: &Login) -> Login {
        Login { port: self.port, ..direct.clone() }
    }

    /// The admin's login.
    pub fn admin_login(&self) -> Login {
        self.admin.clone()
    }

    /// What pg_dog logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.0.join("pg_dog.log")).unwrap_or_default()
    }

    /// Replaces pgdog.toml; `{port}` as in `start`. Takes effect at the next reload.
    pub fn write_config(&self, config: &str) {
        fs::write(self.folder.0.join("pgdog.toml"), config.replace("{port}", &self.port.to_string())).expect("our own folder");
    }

    /// Replaces users.toml. Takes effect at the next reload.
    pub fn write_users(&self, users: &str) {
        fs::write(self.folder.0.join("users.toml"), users).expect("our own folder");
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends a signal by name: HUP reloads, TERM and INT drain.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// It has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Waits for the end; None (and a kill) if it does not come within `bound`.
    pub fn end(&mut self, bound: Duration) -> Option<ExitStatus> {
        self.process.end(bound)
    }

    /// Stops it in the orderly way.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        self.end(SOON)
    }
}

impl Drop for Dog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- pg_dog on port {} wrote (kept in {}):\n{}", self.port, self.folder.0.display(), tail(&self.log()));
        }
    }
}

/// Asks the admin database; each row by column name. Fails the test on an error.
pub fn admin(dog: &Dog, command: &str) -> Vec<HashMap<String, String>> {
    super::tools::table(&dog.admin, command).unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn admin_login(config: &str, port: u16) -> Login {
    let admin = toml::from_str::<toml::Table>(&config.replace("{port}", "1")).ok().and_then(|table| table.get("admin").cloned());
    let field = |name: &str, default: &str| {
        let value = admin.as_ref().and_then(|admin| admin.get(name)?.as_str());
        value.unwrap_or(default).to_string()
    };
    Login::new(port, &field("user", "admin"), &field("password", ""), &field("name", "admin"))
}
