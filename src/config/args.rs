//! The command line.
//! Invariant: this says what may be typed and nothing about what it does; the names are PgDog's, so that unit files and scripts keep working.
//! Nothing here is `Debug`, because `hash` takes a password and URLs hold them. Running the command is left to `main`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::inputs::Line;

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

    /// Database and user as a URL; given once or more, they replace those of the files
    #[arg(short, long, value_name = "URL", global = true)]
    pub database_url: Vec<String>,

    /// What to do; start the pooler if nothing is said
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What pg_dog can be told to do.
#[derive(Subcommand)]
pub enum Command {
    /// Start the pooler
    Run {
        /// Most server connections of one pool, in place of default_pool_size
        #[arg(long, value_name = "N")]
        pool_size: Option<u32>,
        /// Server connections that a pool keeps open, in place of min_pool_size
        #[arg(long, value_name = "N")]
        min_pool_size: Option<u32>,
        /// Clients keep their servers for their whole sessions (or, if false, for transactions), in place of pooler_mode
        #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
        session_mode: Option<bool>,
    },
    /// Check both files, say everything that is wrong with them, and exit with 0 or 1
    Configcheck,
    /// Print all settings: what they do, their types, defaults and variables (Markdown)
    Settings,
    /// Print the JSON schema of a file, for editors
    Schema {
        /// Of which file
        #[arg(value_enum)]
        file: SchemaOf,
    },
    /// Ask the shards of a database, and print where statements would go; exit with 0, with 1 if one is refused, or with 2 if that cannot be said
    Route {
        /// The database, as clients name it
        #[arg(long, value_name = "NAME")]
        database: String,
        /// As whom they are executed, as clients name it; any user of the database if none is given
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// A file with the statements
        #[arg(short, long, value_name = "PATH", conflicts_with = "sql")]
        file: Option<PathBuf>,
        /// The statements; those of the standard input if there is no file either
        sql: Option<String>,
    },
    /// Print a SCRAM-SHA-256 verifier of a password
    Hash {
        /// The password
        password: String,
    },
}

/// Which file a schema is of.
#[derive(Clone, Copy, ValueEnum)]
pub enum SchemaOf {
    /// pgdog.toml
    Main,
    /// users.toml
    Users,
}

impl Args {
    /// What is said about the configuration.
    pub fn line(&self) -> Line {
        let database_urls = self.database_url.clone();
        match self.command {
            Some(Command::Run { pool_size, min_pool_size, session_mode }) => Line { database_urls, pool_size, min_pool_size, session_mode },
            _ => Line { database_urls, ..Line::default() },
        }
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
