//! What the operator asked for: the table of settings, the files, and the checked snapshot made of them.
//! Invariant: nothing here reads a file, the environment or a random source; texts, a lookup and bytes come in, a snapshot or the list of
//! everything that is wrong goes out. Who reads the files and publishes the snapshot is left to `control` and `main`.

pub mod args;
pub mod build;
pub mod changes;
pub mod file;
pub mod hash;
pub mod inputs;
mod judge;
pub mod limits;
mod overrides;
mod pools;
pub mod problem;
pub mod schema;
pub mod settings_doc;
pub mod sharded;
mod sharding;
pub mod shown;
pub mod snapshot;
pub mod table;
mod table_general;
mod table_limits;
mod table_routing;
mod table_sections;
mod typed;
mod urls;

pub use build::{Loaded, load};
pub use changes::changes;
pub use file::Source;
pub use inputs::{Inputs, Line};
pub use problem::Problem;
