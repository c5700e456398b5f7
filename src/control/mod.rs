//! The control core: everything that is not moving bytes. It publishes snapshots, answers the admin console, resolves names, and says when the
//! process ends. Ordinary async tasks on an executor of its own; nothing here can make a data core wait.

mod console;
mod cores;
mod endpoint;
pub mod helpers;
pub mod inbox;
pub mod line;
mod listening;
pub mod logs;
pub mod metrics;
mod operate;
pub mod publish;
mod pubsub;
pub mod query_log;
mod recovery;
mod reload;
pub mod route;
pub mod run;
pub mod shards;
mod sights;
mod standing;
mod watch;
