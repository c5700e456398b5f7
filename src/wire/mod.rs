//! Bytes and PostgreSQL messages: where a message ends, what it says, and how to write one. Everything here is pure: bytes in, borrowed views or
//! appended bytes out. No module keeps state between calls; what a message means for a conversation is left to `session`.
//!
//! Sources of the format: PostgreSQL's documentation, chapter "Frontend/Backend Protocol", and `src/include/libpq`, `src/backend/libpq/pqcomm.c`,
//! `src/backend/tcop/postgres.c`, `src/backend/postmaster/postmaster.c` of PostgreSQL 15.

pub mod bind;
pub mod client;
pub mod copy;
pub mod frame;
pub mod server;
pub mod set;
pub mod startup;

mod copy_key;
mod cursor;

#[cfg(test)]
#[path = "mutate_tests.rs"]
pub(crate) mod mutate;
