//! What is known of one database with shards, as all cores see it: its rules, and, once its shards have been asked who they are and what tables
//! they have, its schema. Until then, and whenever something does not fit, nothing is routed there.

use super::commit::Gid;
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

/// What a commit over shards has to know of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// id of the cluster; none where `shard_identity` = "unchecked"
    pub id: Option<[u8; 16]>,
    /// by shard: it can prepare transactions
    pub prepares: Vec<bool>,
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
    /// what they said of commits over shards; nothing until they were asked
    pub commits: Commits,
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

    /// Whether some type has another number on each shard.
    pub fn renumbers(&self) -> bool {
        matches!(&self.state, State::Known(schema) if !schema.drift.has_one_numbering())
    }

    /// A name for the commit of a transaction that wrote at `decider` and at each of `others`; or why it cannot be committed as one.
    pub fn gid(&self, decider: u16, others: impl IntoIterator<Item = u16>, random: [u8; 16]) -> Result<Gid, Box<Refused>> {
        let database = self.topology.database();
        let refused = |message, hint| Box::new(Refused { code: "55000", message, detail: None, hint: Some(hint) });
        let Some(id) = self.commits.id else {
            let message = format!("a transaction that writes on several shards of \"{database}\" needs schema dog on each of them");
            return Err(refused(message, "Set `shard_identity` = \"checked\", or write on one shard at a time."));
        };
        match others.into_iter().find(|shard| !self.commits.prepares.get(usize::from(*shard)).is_some_and(|prepares| *prepares)) {
            None => Ok(Gid::new(&id, decider, random)),
            Some(shard) => {
                let message = format!(
                    "a transaction that writes on several shards needs prepared transactions, and max_prepared_transactions is 0 on shard {shard} \
                     of \"{database}\""
                );
                Err(refused(message, "Set it there to the number of connections that write, restart that server, and reload pg_dog."))
            }
        }
    }
}
