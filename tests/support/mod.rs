//! What integration tests stand on: real PostgreSQL servers, a real pg_dog, real clients, and a client that sends any bytes it likes.
//!
//! Everything started here ends with its owner: on drop, and, should the test process be killed, by a watchdog that notices its end.
//! Nothing waits for time to pass; `wait_until` waits for a condition, with a bound. Panics are how a test fails, so helpers panic.
#![allow(dead_code, unused_imports, reason = "each test file includes this module and uses its own part of it")]
#![allow(clippy::disallowed_methods, reason = "tests run on real machines with a real clock; `poll` is their only wait")]

pub mod dog;
pub mod fake;
pub mod place;
pub mod postgres;
pub mod raw;
pub mod shim;
pub mod tools;

pub use dog::{Dog, admin, config, config_at, users};
pub use fake::Fake;
pub use postgres::{Postgres, Version};
pub use raw::Raw;
pub use shim::{Cut, Shim};
pub use tools::{Login, Output, go, java, node, pgbench, psql, python, query};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything that should happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// How long between two looks at a condition.
const LOOK: Duration = Duration::from_millis(3);

/// Waits until `condition` holds; says whether it did within `bound`.
pub fn poll(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Does `again` over and over beside `work`, until that ends, well or not.
pub fn beside<T>(mut again: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                again();
            }
        });
        work()
    })
}

/// The pace of a client or of somebody who looks on: how fast it asks, reads or looks. No test may need it to have passed.
pub fn pace(pause: Duration) {
    std::thread::sleep(pause);
}

/// Waits until `condition` holds; the test fails, naming `what`, if it does not within `bound`.
pub fn wait_until(what: &str, bound: Duration, condition: impl FnMut() -> bool) {
    assert!(poll(bound, condition), "not within {bound:?}: {what}");
}
