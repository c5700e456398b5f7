//! From a request to its shard, for one database on one core.

use super::request::{Refused, Where};
use crate::sql::scan::{CORE, Scan};
use crate::wire::bind::Values;

/// What a session says about the route of its requests, and about how their texts are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByHand<'a> {
    /// `pgdog.shard`
    pub shard: Option<&'a str>,
    /// `pgdog.sharding_key`
    pub key: Option<&'a str>,
    /// `standard_conforming_strings` is surely on
    pub standard: bool,
}

/// Routes the requests of one database on one core.
#[derive(Debug)]
pub struct Router {
    shards: u16,
    scan: Scan,
}

impl Router {
    /// For a database of so many shards.
    pub fn new(shards: u16) -> Router {
        Router { shards, scan: Scan::default() }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Where a text goes; `values` are those of its Bind, if there is one.
    pub fn route(&mut self, text: &[u8], _values: Option<&Values<'_>>, by_hand: &ByHand<'_>) -> Result<Where, Box<Refused>> {
        let _ = self.scan.run(text, by_hand.standard, CORE);
        Ok(Where::Any)
    }
}
