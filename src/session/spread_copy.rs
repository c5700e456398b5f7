//! The rows of a COPY from the client, each to the shard of its key.

use std::cell::RefCell;
use std::rc::Rc;

use crate::route::request::{Join, Refused};
use crate::route::router::Router;

use super::members::Acts;

/// A COPY over shards.
#[derive(Debug)]
pub struct SpreadCopy {}

impl SpreadCopy {
    /// For a request that is joined so; None: it is no COPY whose rows are split.
    pub fn new(join: &Join, _shards: &[u16], _router: Rc<RefCell<Router>>) -> Result<Option<Box<SpreadCopy>>, Box<Refused>> {
        match join {
            Join::Copy(_) => Err(Refused::unsupported("COPY over shards", "Name a shard: /* pgdog_shard: 0 */.")),
            _ => Ok(None),
        }
    }

    /// The body of a CopyData.
    pub fn push(&mut self, _body: &[u8], _acts: &mut Acts) -> Result<(), Box<Refused>> {
        Ok(())
    }

    /// The client has no more.
    pub fn end(&mut self, _acts: &mut Acts) -> Result<(), Box<Refused>> {
        Ok(())
    }
}
