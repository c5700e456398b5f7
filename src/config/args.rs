//! The command line.
//! Invariant: this says what may be typed and nothing about what it does; the names are PgDog's, so that unit files and scripts keep working.
//! Nothing here is `Debug`, because `hash` takes a password. Running the command is left to `main`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// pg_dog, a pooler for PostgreSQL.
#[derive(Parser)]
#[command(name = "pg_dog", version, about = "A thread-per-core pooler for PostgreSQL")]
pub struct Args {
    /// File with the settings and databases
    #[arg(short, long, value_name = "PATH", default_value = "pgdog.toml", global = true)]
    pub config: PathBuf,

    /// File with the users
    #[arg(short, long, value_name = "PATH", default_value = "users.toml", global = true)]
    pub users: PathBuf,

    /// What to do; start the pooler if nothing is said
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What pg_dog can be told to do.
#[derive(Subcommand)]
pub enum Command {
    /// Start the pooler
    Run,
    /// Check both files, say everything that is wrong with them, and exit with 0 or 1
    Configcheck,
    /// Print a SCRAM-SHA-256 verifier of a password
    Hash {
        /// The password
        password: String,
    },
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
