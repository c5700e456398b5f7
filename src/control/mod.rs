//! The control core: everything that is not moving bytes. It reads the configuration, starts the data cores, publishes snapshots, answers the admin
//! console, resolves names, and ends the process. Ordinary async tasks on an executor of its own; nothing here can make a data core wait.

mod boot;
mod console;
mod helpers;
mod inbox;
mod publish;
mod run;

pub use self::boot::{Options, StartError, start};
pub use self::publish::read_files;
