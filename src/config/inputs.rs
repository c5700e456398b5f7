//! All that a configuration is made of, as the caller has read it.
//! Invariant: texts and numbers only, and a text that may hold a password cannot be printed. Which of two sayings wins is left to `build`.

use super::file::Source;

/// What the command line says about the configuration; it is stronger than the files and the environment. Not `Debug`, because a URL may hold a
/// password.
#[derive(Clone, Default)]
pub struct Line {
    /// `--database-url`: databases and users in place of those of the files
    pub database_urls: Vec<String>,
    /// `run --pool-size`
    pub pool_size: Option<u32>,
    /// `run --min-pool-size`
    pub min_pool_size: Option<u32>,
    /// `run --session-mode`
    pub session_mode: Option<bool>,
}

/// The inputs of [`load`](super::load).
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// `pgdog.toml`; None = it does not exist, which is a warning
    pub main: Option<Source<'a>>,
    /// `users.toml`; the same
    pub users: Option<Source<'a>>,
    /// looks a variable of the environment up by its whole name
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub line: &'a Line,
    /// what was SET in the admin database: key of `[general]` and value, the last one for a key wins; stronger than everything else
    pub overrides: &'a [(String, String)],
    /// CPUs that this process may use; 0 = not known, so that any number of data cores is taken
    pub cpus: usize,
    /// becomes the password of the admin database when nobody set one; the caller takes it from the kernel and forgets it
    pub random: [u8; 16],
    /// the number of the snapshot
    pub number: u64,
}

impl Default for Inputs<'_> {
    /// No files, no environment, nothing said.
    fn default() -> Self {
        static NOTHING: Line = Line { database_urls: Vec::new(), pool_size: None, min_pool_size: None, session_mode: None };
        Inputs { main: None, users: None, env: &|_| None, line: &NOTHING, overrides: &[], cpus: 0, random: [0; 16], number: 1 }
    }
}
