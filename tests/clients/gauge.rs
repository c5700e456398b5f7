//! What is measured while something bad happens: the waiting times of clients that have nothing to do with it, and what pg_dog uses of the machine.

use super::house::House;
use super::support::raw::Raw;
use super::support::{Login, pace, raw};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Clients whose requests should not notice what others do.
pub const STEADY: usize = 20;

/// The value below which so many hundredths lie.
pub fn percentile(times: &mut [Duration], hundredths: usize) -> Duration {
    assert!(!times.is_empty(), "nothing was measured");
    times.sort_unstable();
    times[(times.len() - 1) * hundredths / 100]
}

/// Steady clients at work until told to stop; their waiting times.
pub struct Steady<'scope> {
    workers: Vec<ScopedJoinHandle<'scope, Vec<Duration>>>,
}

impl<'scope> Steady<'scope> {
    /// `count` clients, each asking once in ten milliseconds or so, each row checked.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>, login: &'scope Login, count: usize, stop: &'scope AtomicBool) -> Steady<'scope> {
        let one = |number: usize| {
            move || {
                let mut client = Raw::login(login);
                let (mut times, mut i) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    i += 1;
                    let tag = format!("steady {number}-{i}");
                    let asked = Instant::now();
                    client.send(&raw::query(&format!("SELECT '{tag}'")));
                    let answer = client.read_until_ready();
                    times.push(asked.elapsed());
                    assert!(answer.len() == 4 && answer[1].text() == tag, "{tag}: {answer:?}");
                    pace(Duration::from_millis(10));
                }
                times
            }
        };
        Steady { workers: (0..count).map(|number| scope.spawn(one(number))).collect() }
    }

    /// The times of all, once they have been told to stop.
    pub fn times(self) -> Vec<Duration> {
        self.workers.into_iter().flat_map(|worker| worker.join().expect("no steady client fails")).collect()
    }
}

/// The waiting times of steady clients while `work` runs.
pub fn steady_while<T>(login: &Login, work: impl FnOnce() -> T) -> (Vec<Duration>, T) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let steady = Steady::start(scope, login, STEADY, &stop);
        // However the work ends, the clients are told.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        let times = steady.times();
        (times, done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// What pg_dog uses.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// processor time so far
    pub cpu: Duration,
    pub files: usize,
    /// bytes of memory now
    pub memory: usize,
}

/// What a house's pg_dog uses now.
pub fn usage(house: &House) -> Use {
    usage_of(house.dog.pid())
}

/// What a process uses now.
pub fn usage_of(pid: u32) -> Use {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("its name is in brackets").split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number");
    // Linux counts these in hundredths of a second.
    let cpu = Duration::from_millis(ticks * 10);
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours").count();
    Use { cpu, files, memory: super::house::memory(pid, "VmRSS:") }
}
