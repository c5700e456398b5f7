//! Commits over shards: the name that one has on all of them, and the SQL of its turns and of those who finish what another began.
//!
//! Invariant: one shard's transaction, the decider's, holds the row that says "committed", so that its own COMMIT is the decision; whoever finds a
//! prepared transaction without that row takes the row's place first, after which it never can be written. So a name decides one way only, however
//! many look, and whoever of them dies. Two things keep a taken place taken for as long as it matters: the decider has written before anybody
//! prepares (a transaction without a number of its own asks `NUMBER` first), and a refusal is forgotten only when all that ran beside it has ended.
//! Texts only: who sends them when is left to the coordinator (in its three turns `decide` + `prepare`, `COMMIT`, `commit_prepared`) and to recovery.

use std::fmt;
use std::time::Duration;

use super::identity;

/// What every name of ours begins with; clients' own may not.
pub const PREFIX: &str = "dog:";
/// Bytes that PostgreSQL takes as a name, without the zero byte.
pub const GID_MAX: usize = 199;
/// Hexadecimal digits of the cluster's id in a name.
const CLUSTER_DIGITS: usize = 16;
/// And of the random number.
const RANDOM_DIGITS: usize = 32;
/// Orphans of one shard that are looked at at once.
pub const ORPHANS_MAX: usize = 1_000;
/// Decisions that are forgotten at once.
pub const FORGET_MAX: usize = 5_000;
/// A decision or a prepared transaction that is younger belongs to somebody who is at work.
pub const GRACE: Duration = Duration::from_secs(2);

/// Whether the transaction at hand wrote: one row, `t` or `f`.
pub const WROTE: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";
/// Gives a transaction its number: before anybody prepares, for a decider that wrote nothing (it cannot be prepared for another reason).
pub const NUMBER: &str = "SELECT pg_catalog.pg_current_xact_id()";
/// The decision, at the decider, behind `decide`, which has made sure that it is on disk before it is answered.
pub const COMMIT: &str = "COMMIT";
/// Whether a shard can prepare: one row, `t` or `f`. It changes with a restart of the server only.
pub const PREPARES: &str = "SELECT pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int4 > 0";
/// What a name is that is taken back, or done, by somebody who was faster: `COMMIT PREPARED` and `ROLLBACK PREPARED` find nothing.
pub const GONE: &str = "42704";
/// The decider, or its row, finds the place taken: it never can commit.
pub const REFUSED: &str = "23505";

/// One commit over shards, as all of them call it: `dog:<cluster>:<decider>:<random>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gid {
    /// the first half of its id
    cluster: [u8; CLUSTER_DIGITS / 2],
    /// shard whose commit decides
    pub decider: u16,
    random: [u8; RANDOM_DIGITS / 2],
}

impl Gid {
    /// Of sixteen random bytes; a name is never used twice.
    pub fn new(cluster: &[u8; 16], decider: u16, random: [u8; RANDOM_DIGITS / 2]) -> Gid {
        Gid { cluster: half(cluster), decider, random }
    }

    /// Reads the name of a prepared transaction: of which commit it is, and which shard's part. None: it is nobody's of ours, or not written by us.
    pub fn parse(text: &str) -> Option<(Gid, u16)> {
        let mut parts = text.strip_prefix(PREFIX)?.split(':');
        let gid = Gid { cluster: bytes(parts.next()?)?, decider: shard(parts.next()?)?, random: bytes(parts.next()?)? };
        let participant = shard(parts.next()?)?;
        parts.next().is_none().then_some((gid, participant))
    }

    /// It is a commit of this cluster.
    pub fn is_of(&self, cluster: &[u8; 16]) -> bool {
        self.cluster == half(cluster)
    }

    /// Turn 1, at the decider, in its transaction. It fails with `REFUSED` when somebody has taken this commit for dead.
    pub fn decide(&self) -> String {
        format!("SELECT dog.decide('{self}')")
    }

    /// Turn 1, at every other shard that wrote. The tag says whether it did: a failed transaction is rolled back, with the tag ROLLBACK.
    pub fn prepare(&self, participant: u16) -> String {
        format!("PREPARE TRANSACTION '{self}:{participant}'")
    }

    /// Turn 3, when the decider has committed. `GONE` says that recovery was faster.
    pub fn commit_prepared(&self, participant: u16) -> String {
        format!("COMMIT PREPARED '{self}:{participant}'")
    }

    /// When the decider has not committed, and never will.
    pub fn rollback_prepared(&self, participant: u16) -> String {
        format!("ROLLBACK PREPARED '{self}:{participant}'")
    }

    /// Recovery, at the decider's primary, outside of a transaction: takes the decider's place if it is free, and says what was decided, see
    /// `Verdict::read`. It waits while the decider is in flight: with a lock_timeout, whose 55P03 means "later".
    pub fn resolve(&self) -> String {
        format!("SELECT d.verdict, d.owner FROM dog.resolve('{self}') AS d")
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(PREFIX)?;
        write_hex(&self.cluster, out)?;
        write!(out, ":{}:", self.decider)?;
        write_hex(&self.random, out)
    }
}

/// A client may not use this as the name of a prepared transaction of its own.
pub fn is_ours(gid: &[u8]) -> bool {
    gid.starts_with(PREFIX.as_bytes())
}

/// What is decided about one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// by a transaction of this role: it is believed about prepared transactions of the same role
    Committed {
        owner: String,
    },
    Refused,
    /// nothing any more: others finished it meanwhile; whether that is so is asked anew
    Forgotten,
}

impl Verdict {
    /// Reads the rows of `Gid::resolve`; None: they are not what we ask for.
    pub fn read(rows: &[Vec<Option<Vec<u8>>>]) -> Option<Verdict> {
        match rows {
            [] => Some(Verdict::Forgotten),
            [row] => match row.as_slice() {
                [Some(verdict), Some(owner)] if verdict == b"c" => Some(Verdict::Committed { owner: String::from_utf8(owner.clone()).ok()? }),
                [Some(verdict), _] if verdict == b"a" => Some(Verdict::Refused),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A prepared transaction of ours that nobody has finished yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    pub gid: Gid,
    pub participant: u16,
    /// who prepared it, and who must finish it
    pub owner: String,
    /// as the server prints it
    pub prepared: String,
    /// how long it lies there, by the server's clock
    pub age: Duration,
}

impl Orphan {
    /// Reads a row of `orphans`; None: it is not one of ours, only its name looks so.
    pub fn read(row: &[Option<Vec<u8>>]) -> Option<Orphan> {
        let [gid, owner, prepared, age] = row else { return None };
        let text = |column: &Option<Vec<u8>>| String::from_utf8(column.clone()?).ok();
        let (gid, participant) = Gid::parse(&text(gid)?)?;
        // A clock that was set back makes it young.
        let age = Duration::from_millis(text(age)?.parse::<i64>().ok()?.try_into().unwrap_or(0));
        Some(Orphan { gid, participant, owner: text(owner)?, prepared: text(prepared)?, age })
    }
}

/// The prepared transactions of a cluster in the database at hand, the oldest first: rows for `Orphan::read`.
pub fn orphans(cluster: &[u8; 16]) -> String {
    format!(
        "SELECT p.gid, p.owner, p.prepared, \
         (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.prepared) * 1000)::pg_catalog.int8 \
         FROM pg_catalog.pg_prepared_xacts AS p WHERE p.gid LIKE '{}%' AND p.database = pg_catalog.current_database() \
         ORDER BY p.prepared, p.gid LIMIT {ORPHANS_MAX}",
        Cluster(cluster)
    )
}

/// Decisions about a cluster that are old enough to be forgotten, as far as the one who asks may: one column, `FORGET_MAX` rows at most. Those that
/// no shard lists as prepared, when it is asked afterwards, can go.
pub fn decisions(cluster: &[u8; 16]) -> String {
    format!("SELECT gid FROM dog.decisions('{}', {FORGET_MAX}) AS gid", Cluster(cluster))
}

/// Forgets decisions. What may not go yet stays, whatever is said here.
pub fn forget<'a>(gids: impl IntoIterator<Item = &'a Gid>) -> String {
    let list = gids.into_iter().map(Gid::to_string).collect::<Vec<_>>().join(",");
    format!("SELECT dog.forget('{{{list}}}')")
}

/// Reads the text of a decision: a name without a participant.
pub fn decision(text: &[u8]) -> Option<Gid> {
    Gid::parse(&format!("{}:0", std::str::from_utf8(text).ok()?)).map(|(gid, _)| gid)
}

/// Which cluster a server is of, and which shard: one row. It is asked by every connection that acts on what others decided.
pub const WHO: &str = "SELECT cluster, shard FROM dog.identity";

/// Brings the functions of schema `dog` up to date; only its owner can.
pub fn upgrade() -> String {
    identity::schema()
}

/// The beginning of all names of a cluster.
struct Cluster<'a>(&'a [u8; 16]);

impl fmt::Display for Cluster<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(PREFIX)?;
        write_hex(&half(self.0), out)?;
        out.write_str(":")
    }
}

fn half(cluster: &[u8; 16]) -> [u8; 8] {
    std::array::from_fn(|at| cluster[at])
}

fn write_hex(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// Lower-case digits, just so many: what is written otherwise is not ours.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn shard(text: &str) -> Option<u16> {
    text.parse().ok().filter(|shard: &u16| shard.to_string() == text)
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
