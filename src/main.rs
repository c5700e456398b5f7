//! The `pg_dog` program: arguments in, exit code out. Decisions are elsewhere.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pg_dog::auth::scram::{DEFAULT_ITERATIONS, Verifier};
use pg_dog::boot::{self, Options, start};
use pg_dog::config::args::{Args, Command, SchemaOf};
use pg_dog::config::snapshot::PoolSpec;
use pg_dog::config::{schema, settings_doc};
use pg_dog::control::publish::{Files, read_files};

/// Bytes of statements that `route` reads.
const SQL_MAX: u64 = 64 << 20;
/// Exit code of `route` when it cannot be said where statements go.
const UNSAID: u8 = 2;
/// Most warnings or mistakes that `configcheck` prints.
const LINES_MAX: usize = 50;

fn main() -> ExitCode {
    let args = Args::parse();
    let line = args.line();
    let files = Files::new(args.config, args.users, line);
    match args.command {
        Some(Command::Hash { password }) => hash(&password),
        Some(Command::Configcheck) => check(files),
        Some(Command::Route { database, user, file, sql }) => route(&files, (database, user), file, sql),
        Some(Command::Settings) => {
            print!("{}", settings_doc::markdown());
            ExitCode::SUCCESS
        }
        Some(Command::Schema { file }) => {
            let file = match file {
                SchemaOf::Main => schema::File::Main,
                SchemaOf::Users => schema::File::Users,
            };
            print!("{}", schema::json(file));
            ExitCode::SUCCESS
        }
        Some(Command::Run { .. }) | None => match start(Options::of(files)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pg_dog: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn hash(password: &str) -> ExitCode {
    let mut salt = [0; 16];
    if let Err(error) = getrandom::fill(&mut salt) {
        eprintln!("pg_dog: the kernel gives no random bytes: {error}");
        return ExitCode::FAILURE;
    }
    println!("{}", Verifier::from_password(password, &salt, DEFAULT_ITERATIONS));
    ExitCode::SUCCESS
}

fn route(files: &Files, whose: (String, Option<String>), file: Option<PathBuf>, sql: Option<String>) -> ExitCode {
    let read = |mut from: Box<dyn Read>| {
        let mut text = String::new();
        from.by_ref().take(SQL_MAX).read_to_string(&mut text).map(|_| text)
    };
    let sql = match (sql, file) {
        (Some(sql), _) => Ok(sql),
        (None, Some(path)) => File::open(&path).and_then(|file| read(Box::new(file))).map_err(|error| format!("{}: {error}", path.display())),
        (None, None) => read(Box::new(std::io::stdin())).map_err(|error| format!("the standard input cannot be read: {error}")),
    };
    let said = sql.and_then(|sql| boot::route(files, whose, sql).map_err(|error| error.to_string()));
    match said {
        Ok(verdict) => {
            print!("{}", verdict.lines);
            ExitCode::from(u8::from(verdict.refused))
        }
        Err(why) => {
            eprintln!("pg_dog: {why}");
            ExitCode::from(UNSAID)
        }
    }
}

fn check(files: Files) -> ExitCode {
    match read_files(&files, &[], [0; 16], 1) {
        Ok(loaded) => {
            complain(&loaded.warnings, "warning: ");
            let pools = &loaded.snapshot.pools;
            let names = |name: fn(&PoolSpec) -> &str| pools.iter().map(name).collect::<HashSet<_>>().len();
            let (databases, users) = (names(|pool| &pool.database), names(|pool| &pool.user));
            let most: usize = pools.iter().map(|pool| pool.pool_size).sum();
            let pools = pools.len();
            println!("the configuration is right: {pools} pools, {databases} databases, {users} users, at most {most} server connections");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            complain(&problems, "");
            ExitCode::FAILURE
        }
    }
}

/// The first of them, and how many there are besides: thousands of databases can have the same mistake each.
fn complain(lines: &[String], what: &str) {
    lines.iter().take(LINES_MAX).for_each(|line| eprintln!("{what}{line}"));
    if lines.len() > LINES_MAX {
        eprintln!("{what}and {} more", lines.len() - LINES_MAX);
    }
}
