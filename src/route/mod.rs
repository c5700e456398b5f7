//! Where things live: from the value of a key to the shard that holds its rows, what is sharded and by what, and who a shard is.
//! Invariant: nothing here touches a connection, a clock or a file. The same key gives the same shard in every process and every version of
//! pg_dog, because what it gives is what PostgreSQL's own `PARTITION BY HASH` gives; a value that cannot be placed is an error, never a guess.
//! `router` says where a `request` goes, by its `keys` (or, by `refusals`, why nowhere; `explain` is for EXPLAIN, `remarks` for a dry run, `spaces`
//! for plans that hold together, `views` for what the views of a database are, `large` for texts that a helper reads), `over` what each of several
//! shards gets, `commit` how what was written on several shards becomes true on all of them or none. Which values a statement holds is left to
//! `sql`, which servers a shard has to `pool` and `engine`.

mod apart;
mod array;
mod behind;
pub mod cluster;
pub mod commit;
pub mod drift;
mod explain;
pub mod hash;
pub mod identity;
pub mod key;
mod keys;
pub mod large;
mod over;
pub mod proof;
mod refusals;
pub mod remarks;
pub mod request;
pub mod router;
pub mod schema;
pub mod slots;
mod spaces;
pub mod topology;
pub mod views;
