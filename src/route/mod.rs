//! Which shards a statement goes to.

pub mod request;
pub mod router;
