//! Tests of what is read of pools and cores, and of what a period leaves.

use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use super::*;
use crate::config::{Inputs, Source, load};
use crate::control::publish::Publisher;
use crate::mail::Padded;

fn metrics(databases: usize) -> Metrics {
    let database = |n| format!("[[databases]]\nname = \"d{n}\"\nhost = \"127.0.0.1\"\n");
    let user = |n| format!("[[users]]\nname = \"u\"\ndatabase = \"d{n}\"\npassword = \"p\"\n");
    let (main, users): (String, String) = ((0..databases).map(database).collect(), (0..databases).map(user).collect());
    let (main, users) = (Source { name: "pgdog.toml", text: &main }, Source { name: "users.toml", text: &users });
    let snapshot = load(&Inputs { main: Some(main), users: Some(users), ..Inputs::default() }).expect("the configuration is right").snapshot;
    let shared = Shared {
        published: ArcSwap::from_pointee(Publisher::default().build(snapshot, None)),
        version: AtomicU64::new(1),
        clients: vec![Padded(AtomicUsize::new(3)), Padded(AtomicUsize::new(4))],
        tallies: (0..2).map(|_| CoreTally::default()).collect(),
        clients_max: 100,
        library: Arc::default(),
        clusters: Default::default(),
        next_client: AtomicU64::new(1),
        secret: [7; 32],
    };
    Metrics::new(Arc::new(shared), Arc::new(AtomicU64::new(9)))
}

fn pool(metrics: &Metrics, index: usize) -> Arc<SharedPool> {
    metrics.shared.published.load().pools[index].clone()
}

#[test]
fn cores_add_up_and_what_nobody_uses_is_not_there() {
    let metrics = metrics(3);
    assert!(metrics.stats().is_empty() && metrics.scrape().pools.is_empty());
    let used = pool(&metrics, 1);
    let (one, other) = (used.state.tallies.of(0), used.state.tallies.of(1));
    one.counts.xact_count.add(5);
    other.counts.xact_count.add(6);
    other.counts.xact_time.add(2_500_000);
    other.idle_in_transaction.add(1);
    other.times().wait.record(1_000_000);
    let rows = metrics.stats();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].database.as_str(), rows[0].counts.xact_count, rows[0].counts.xact_time), ("d1", 11, 2500));
    let scrape = metrics.scrape();
    assert_eq!((scrape.clients, scrape.max_clients, scrape.query_log_failed, scrape.cores[1].clients), (7, 100, 9, 4));
    assert!(scrape.pools.len() == 1 && scrape.pools[0].sv_idle_xact == 1 && scrape.pools[0].times.is_some());
}

#[test]
fn averages_are_those_of_the_last_period() {
    let metrics = metrics(1);
    let tally = pool(&metrics, 0).state.tallies.of(1);
    let average = |name: &str| {
        let counter = crate::admin::counts::COUNTERS.iter().find(|counter| counter.avg == name).expect("it is counted");
        metrics.stats()[0].period.average(counter)
    };
    let start = metrics.lately.load().at;
    tally.counts.xact_count.add(100);
    tally.counts.xact_time.add(100 * 2_000_000);
    (0..100).for_each(|_| tally.times().transaction.record(2_000_000));
    assert_eq!(average("avg_xact_count"), 0, "no period is over yet");
    metrics.end_period(start + 10_000_000_000);
    assert_eq!((average("avg_xact_count"), average("avg_xact_time")), (10, 2000));
    let found = metrics.scrape().lately[2].expect("some were timed");
    assert!(found.iter().all(|&ns| (1_900_000..2_200_000).contains(&ns)), "{found:?}");
    assert_eq!(metrics.scrape().lately[0], None);
    tally.counts.xact_count.add(40);
    metrics.end_period(start + 14_000_000_000);
    assert_eq!((average("avg_xact_count"), average("avg_xact_time")), (10, 0));
    assert_eq!(metrics.scrape().lately[2], None, "none in this period");
}

#[test]
fn the_longest_turn_lately_goes_with_its_period() {
    let metrics = metrics(1);
    let core = &metrics.shared.tallies[0];
    let turn = |ns| {
        core.longest_turn.raise(ns);
        core.longest_lately.raise(ns);
    };
    let seen = || (metrics.scrape().cores[0].longest_turn_ns, metrics.scrape().cores[0].longest_lately_ns);
    turn(500);
    turn(20);
    metrics.end_period(1);
    turn(30);
    assert_eq!(seen(), (500, 500));
    metrics.end_period(2);
    assert_eq!(seen(), (500, 30));
}

#[test]
fn down_is_when_no_pool_reaches_its_server() {
    let none = metrics(0);
    assert!(none.is_up(), "no pool is unhealthy");
    let metrics = metrics(2);
    let said = |path: &str| (metrics.health(path).status, metrics.health(path).body);
    let (one, other) = (pool(&metrics, 0), pool(&metrics, 1));
    let soon = crate::io::clock::monotonic_ns() + 100_000_000;
    one.state.ledger.set_retry_at(soon);
    assert_eq!((said("/").0, said("/ready").0), (200, 200));
    other.state.ledger.set_retry_at(1);
    assert_eq!(said("/ready").0, 200, "nobody has tried for a long time, so that somebody should");
    other.state.ledger.set_retry_at(soon);
    assert_eq!((said("/"), said("/ready").0, said("/live").0), ((502, "down".into()), 503, 200));
    one.state.ledger.set_retry_at(0);
    assert_eq!((said("/anything"), said("/ready")), ((200, "up".into()), (200, "ready".into())));
    metrics.not_ready();
    assert_eq!((said("/").0, said("/ready").0, said("/live").0), (200, 503, 200));
}
