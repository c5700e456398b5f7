//! The `pg_dog` program: arguments in, exit code out. Decisions are elsewhere.

use std::process::ExitCode;

use clap::Parser;
use pg_dog::auth::scram::{DEFAULT_ITERATIONS, Verifier};
use pg_dog::boot::{Options, start};
use pg_dog::config::args::{Args, Command};
use pg_dog::control::publish::{Files, read_files};

fn main() -> ExitCode {
    let args = Args::parse();
    let line = args.line();
    let files = Files::new(args.config, args.users, line);
    match args.command {
        Some(Command::Hash { password }) => hash(&password),
        Some(Command::Configcheck) => check(files),
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

fn check(files: Files) -> ExitCode {
    match read_files(&files, &[], [0; 16], 1) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            println!("the configuration is right: {} pools", loaded.snapshot.pools.len());
            ExitCode::SUCCESS
        }
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            ExitCode::FAILURE
        }
    }
}
