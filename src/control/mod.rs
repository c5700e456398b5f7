//! The control core: everything that is not moving bytes. It publishes snapshots, answers the admin console, resolves names, and says when the
//! process ends. Ordinary async tasks on an executor of its own; nothing here can make a data core wait.

mod console;
mod cores;
pub mod helpers;
pub mod inbox;
mod operate;
pub mod publish;
mod reload;
pub mod run;
mod standing;
mod watch;
