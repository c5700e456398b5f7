//! pg_dog: a thread-per-core PostgreSQL pooler. The folders, bottom layer first; a folder imports only what stands above it in this list
//! (`tests/tidy.rs` holds the exact table).

/// answering the operator
pub mod admin;
/// who is this
pub mod auth;
/// all of it started: the one place that knows both engine and control
pub mod boot;
/// what the operator asked for
pub mod config;
/// the control core's jobs
pub mod control;
/// one per data core: sockets, sessions and pools joined
pub mod engine;
/// the machine: ring, buffers, mailboxes, time; and its simulated twin
pub mod io;
/// the messages that cores send each other
pub mod mail;
/// which client may use which server, and when
pub mod pool;
/// which shards a statement goes to
pub mod route;
/// one client's conversation, one server's, and the exchange between them
pub mod session;
/// what a text of SQL says
pub mod sql;
/// bytes ↔ PostgreSQL messages
pub mod wire;
