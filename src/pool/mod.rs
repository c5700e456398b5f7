//! Which client may use which server, and when: one pool per (user, database, server), one queue over all cores.
//!
//! **Why not a pool per core.** Forty servers cut into private pools of a few each make the 99th percentile of the wait many times longer
//! at the same load: one core queues while another has servers idle. So a pool is one pool, of which each core holds a changing *slice*;
//! a server belongs to one core at a time and moves, whole, to where it is needed.
//!
//! **How.** `ledger` is what all cores share: a word of permits (connections open, never above the limit) and per core a line with two
//! semaphores, `idle` and `need`, and the time since when the oldest waits. `slice` is one core's part and takes the decisions:
//! - *Checkout*: own idle server, newest first; else another core's idle one, asked for by a TAKE (at once when no server of our own could
//!   come back soon, else after Y); else a new connection if there is a permit and not one being opened per waiter already; else wait.
//! - *Check-in*: the first waiter here, unless one elsewhere has waited longer by more than X; with no waiter here, one elsewhere who has
//!   waited longer than Y; else rest, newest on top.
//! - *Arrival*: the first waiter here, else rest; never straight on to a third core.
//! - *A closed connection's permit* goes to a waiter here, else a nudge goes to a core that could use it.
//!
//! **The numbers** (`Rules`). X is the price of order: a waiter waits at most about X longer than in one queue for all, as long as any core
//! checks in. X = 0 sends servers back and forth, because the heads of two queues always differ by a batch; X = infinity starves a core
//! that once gave its servers away. 3 ms is several batches long and short against a wait that anybody notices. Y keeps a server from
//! leaving for a waiter whom its own core would have served in the next turn anyway; 0.3 ms is about one batch. A waiter younger than Y
//! that sees an idle server elsewhere is not forgotten: who saw the other arms a timer.
//!
//! **The cost**, measured with `pgbench -S`, 128 clients, 20 servers, two data cores on two CPUs shared with PostgreSQL and pgbench, medians of 5: at
//! X = 3 ms 0.06 handovers per transaction (0.04 to 0.10), at X = 0 0.70. The second spends 3.9 us of CPU more per transaction, so a lent checkout
//! costs about 6 us all in (2.2 us in the quietest pair of runs): two cancelled receives, two submissions, one wake-up, and smaller batches on both
//! sides.
//!
//! Sans-io: no clock, no mail, no socket. `engine` carries the verdicts out; the ledger's atomics are tried in every order by
//! `tests/loom.rs`, the slices by a random simulation over several cores beside them.

mod alone;
mod leaving;
pub mod ledger;
pub mod queue;
pub mod slice;
pub mod verdict;

pub use ledger::{Gate, Ledger};
pub use queue::{Ticket, Waiter};
pub use slice::Slice;
pub use verdict::{After, Checkin, Checkout, LinkId, Rules, Take};
