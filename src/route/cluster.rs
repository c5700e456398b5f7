//! What is known of one database with shards, as all cores see it: its rules, and, once its shards have been asked who they are and what tables
//! they have, its schema. Until then, and whenever something does not fit, nothing is routed there.

use super::request::Refused;
use super::schema::Schema;
use super::topology::Topology;

/// How far a database is known.
#[derive(Clone, Debug)]
pub enum State {
    /// its shards are being asked
    Asking,
    /// something about them is not right, or they could not be asked
    Wrong(String),
    Known(Schema),
}

/// One database with shards.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub topology: Topology,
    pub state: State,
    /// where its shards are, in order: what is known holds for these servers only
    pub servers: Vec<String>,
    /// `shard_local_functions`
    pub listed: Vec<String>,
    /// unlike every other cluster's in the process, also an older one of the same database
    pub number: u64,
}

impl Cluster {
    /// Its schema; or why nothing can be routed.
    pub fn schema(&self) -> Result<&Schema, Box<Refused>> {
        let database = self.topology.database();
        let (message, detail, hint) = match &self.state {
            State::Known(schema) => return Ok(schema),
            State::Asking => (format!("the shards of database \"{database}\" are being asked who they are"), None, "Try again."),
            State::Wrong(why) => (
                format!("the shards of database \"{database}\" are not as they are configured, and get no traffic"),
                Some(why.clone()),
                "Tell the operator: servers have changed places, or settings have; the log of pg_dog says more.",
            ),
        };
        let code = if matches!(self.state, State::Asking) { "57P03" } else { "58000" };
        Err(Box::new(Refused { code, message, detail, hint: Some(hint) }))
    }
}
