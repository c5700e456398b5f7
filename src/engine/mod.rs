//! A data core: its sockets, sessions and slices of the pools, joined in one loop. Generic over the machine (`io::Door`) and over how control and
//! helpers are reached (`mail::Desk`), so that the simulator runs this very code.
//!
//! One turn: give to the kernel what the last turn decided, wait, then handle what happened: servers first (what they free is there for the
//! clients that come next, and a server that has ended is known before it is given to anybody), then grants, then clients.

mod accounts;
mod admin_client;
mod cancel;
mod clients;
mod coordinate;
mod core;
mod fit;
mod guard;
mod leaving;
mod lend;
mod logins;
mod operate;
mod peers;
mod pools;
mod post;
mod proofs;
mod pubsub;
mod quote;
mod replication;
mod report;
mod rush;
mod servers;
mod shards;
mod shutdown;
mod timers;
mod watch;

#[cfg(test)]
#[path = "house_tests.rs"]
mod house;

pub use self::core::{Core, Parts};
pub use self::post::{Outside, Post, mailboxes};

/// Bytes of a waiting or blocked client that are held before its socket is no longer read.
const HELD_MAX: usize = 16 * 1024;
/// Bytes of answers that a client has not read while no server is at work for it; beyond it nothing more of it is answered.
const UNREAD_MAX: usize = 64 * 1024;
/// Cores that a client's number has room for.
pub const CORES_MAX: usize = 64;
/// Clients of one core.
const CLIENTS_MAX: usize = 1 << 24;
