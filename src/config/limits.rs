//! Bounds of one pool's clients and connections, in number and in time: the user's own word first, then the database's, then `[general]`'s.
//! Invariant: 0 and "unlimited" are one value here (`u32::MAX`, `NEVER`), so that nobody has to ask twice. Who counts and who looks at the clock is
//! left to the engine.

use std::time::Duration;

use super::file::Block;
use super::snapshot::NEVER;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// clients of the database, and of the user, over all cores
    pub database_clients: u32,
    pub user_clients: u32,
    /// server connections of the database, and of the user, over all their pools
    pub database_servers: u32,
    pub user_servers: u32,
    /// connections beyond `pool_size` while somebody has waited for `reserve_pool_timeout`
    pub reserve: u32,
    pub query_timeout: Duration,
    pub transaction_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub client_idle_in_transaction_timeout: Duration,
}

impl Default for Limits {
    /// None.
    fn default() -> Limits {
        Limits {
            database_clients: u32::MAX,
            user_clients: u32::MAX,
            database_servers: u32::MAX,
            user_servers: u32::MAX,
            reserve: 0,
            query_timeout: NEVER,
            transaction_timeout: NEVER,
            client_idle_timeout: NEVER,
            client_idle_in_transaction_timeout: NEVER,
        }
    }
}

impl Limits {
    pub(super) fn of(user: &Block, database: &Block, general: &Block) -> Limits {
        let count = |own: &Block, key| match own.unsigned(key).or_else(|| general.unsigned(key)) {
            None | Some(0) => u32::MAX,
            Some(count) => count,
        };
        let time = |key| user.millis(key).or_else(|| database.millis(key)).or_else(|| general.millis(key)).filter(|time| !time.is_zero());
        let time = |key| time(key).unwrap_or(NEVER);
        let reserve = "reserve_pool_size";
        Limits {
            database_clients: count(database, "max_db_client_connections"),
            user_clients: count(user, "max_user_client_connections"),
            database_servers: count(database, "max_db_connections"),
            user_servers: count(user, "max_user_connections"),
            reserve: user.unsigned(reserve).or_else(|| database.unsigned(reserve)).or_else(|| general.unsigned(reserve)).unwrap_or_default(),
            query_timeout: time("query_timeout"),
            transaction_timeout: time("transaction_timeout"),
            client_idle_timeout: time("client_idle_timeout"),
            client_idle_in_transaction_timeout: time("client_idle_in_transaction_timeout"),
        }
    }

    /// The shortest time that anything may take; `NEVER` when nothing is bounded.
    pub fn shortest(&self) -> Duration {
        self.query_timeout.min(self.transaction_timeout).min(self.client_idle_timeout).min(self.client_idle_in_transaction_timeout)
    }
}
