//! Answering the operator: what a text on the admin database asks for (`console`), the numbers that were gathered for the answer (`report`), and
//! the rows made of them (`show`); what is counted about pools and cores (`counts`, `histogram`), and that as text for Prometheus (`metrics`).
//! Nothing here sees a live pool or a socket: `control` gathers a `Report`, hands it in, and carries out what acts.

mod bouncer;
pub mod console;
pub mod counts;
pub mod histogram;
mod listeners;
pub mod metrics;
mod nothing;
mod prepared;
mod query_cache;
pub mod report;
mod shards;
pub mod show;
mod transactions;
mod words;
