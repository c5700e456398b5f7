//! Merging the slices of several cores, and averages over a period.

use super::*;

fn counter(total: &str) -> &'static Counter {
    COUNTERS.iter().find(|counter| counter.total == total).unwrap()
}

fn pool(id: u64) -> PoolRow {
    PoolRow { id, database: "d".into(), user: "u".into(), addr: "h".into(), port: 5432, ..PoolRow::default() }
}

#[test]
fn slices_of_a_pool_merge_by_id_and_the_longest_wait_wins() {
    let mine = PoolRow {
        cl_waiting: 1,
        sv_idle: 2,
        sv_active: 3,
        sv_idle_xact: 4,
        sv_total: 9,
        maxwait_us: 700,
        errors: 5,
        re_synced: 6,
        out_of_sync: 7,
        force_closed: 8,
        ..pool(7)
    };
    let theirs = PoolRow {
        cl_waiting: 10,
        sv_idle: 20,
        sv_active: 30,
        sv_idle_xact: 40,
        sv_total: 90,
        maxwait_us: 500,
        errors: 50,
        re_synced: 60,
        out_of_sync: 70,
        force_closed: 80,
        ..pool(7)
    };
    let both = PoolRow {
        cl_waiting: 11,
        sv_idle: 22,
        sv_active: 33,
        sv_idle_xact: 44,
        sv_total: 99,
        maxwait_us: 700,
        errors: 55,
        re_synced: 66,
        out_of_sync: 77,
        force_closed: 88,
        ..pool(7)
    };
    for (first, second) in [(&mine, &theirs), (&theirs, &mine)] {
        let mut report = Report { pools: vec![pool(3), first.clone()], ..Report::default() };
        report.absorb(Report { pools: vec![second.clone(), pool(9)], ..Report::default() });
        assert_eq!(report.pools, [pool(3), both.clone(), pool(9)]);
    }
}

#[test]
fn a_pool_is_paused_healthy_online_when_all_slices_are_and_banned_when_one_is() {
    let mut row = PoolRow { paused: true, ..pool(1) };
    row.merge(&PoolRow { paused: true, ..pool(1) });
    assert!(row.paused && row.healthy && row.online && !row.banned);
    row.merge(&PoolRow { healthy: false, online: false, banned: true, schema_admin: true, ..pool(1) });
    assert!(!row.paused && !row.healthy && !row.online && row.banned && row.schema_admin);
}

#[test]
fn two_rows_of_one_pool_in_one_report_merge_too() {
    let mut report = Report::default();
    report.absorb(Report { pools: vec![PoolRow { sv_idle: 1, ..pool(4) }, PoolRow { sv_idle: 2, ..pool(4) }], ..Report::default() });
    assert_eq!(report.pools, [PoolRow { sv_idle: 3, ..pool(4) }]);
}

#[test]
fn stats_merge_by_pool_and_lists_clients_and_servers_add_up() {
    let stats = |pool_id, query_count, length_us| {
        let counts = Counts { query_count, query_time: 10 * query_count, ..Counts::default() };
        StatsRow { pool_id, counts, period: Period { from: Counts::default(), to: counts, length_us }, ..StatsRow::default() }
    };
    let lists = |used| Lists {
        databases: 0,
        users: 0,
        pools: 0,
        free_clients: 0,
        used_clients: used,
        free_servers: used + 1,
        used_servers: used + 2,
        panics: used + 3,
    };
    let mut report = Report {
        config: vec![("host".into(), "0.0.0.0".into())],
        version: "pg_dog 0.1.0".into(),
        lists: Lists { databases: 4, users: 5, pools: 6, ..Lists::default() },
        ..Report::default()
    };
    report.absorb(Report {
        stats: vec![stats(1, 100, 15_000_000)],
        clients: vec![ClientRow { id: 1, ..ClientRow::default() }],
        servers: vec![ServerRow { remote_pid: 1, ..ServerRow::default() }],
        lists: lists(1),
        ..Report::default()
    });
    report.absorb(Report {
        stats: vec![stats(2, 1, 1), stats(1, 200, 14_999_990)],
        clients: vec![ClientRow { id: 2, ..ClientRow::default() }],
        servers: vec![ServerRow { remote_pid: 2, ..ServerRow::default() }],
        lists: lists(10),
        ..Report::default()
    });
    assert_eq!(report.stats, [stats(1, 300, 15_000_000), stats(2, 1, 1)]);
    assert_eq!(report.clients.iter().map(|row| row.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(report.servers.iter().map(|row| row.remote_pid).collect::<Vec<_>>(), [1, 2]);
    let sum = Lists { databases: 4, users: 5, pools: 6, free_clients: 0, used_clients: 11, free_servers: 13, used_servers: 15, panics: 17 };
    assert_eq!(report.lists, sum);
    assert_eq!((report.config.len(), report.version.as_str()), (1, "pg_dog 0.1.0"));
}

#[test]
fn every_counter_is_merged_and_subtracted() {
    let mut one = Counts::default();
    let ones = Counts { xact_count: 1, rows_deleted: 1, wait_time: 1, ..Counts::default() };
    one.add(&ones);
    one.add(&ones);
    assert_eq!(one.since(&ones), ones);
    assert_eq!(Counts::default().since(&ones), Counts::default(), "a counter that went back has grown by nothing");
    assert_eq!(COUNTERS.len() * size_of::<u64>(), size_of::<Counts>());
}

#[test]
fn counts_average_per_second_and_times_per_item() {
    let from = Counts { query_count: 100, query_time: 5_000, xact_count: 50, xact_time: 9_000, ..Counts::default() };
    let mut period = Period::default();
    assert_eq!(period.average(counter("total_query_count")), 0, "no full period yet");
    period.turn(from, 15_000_000);
    let to = Counts {
        query_count: 400,
        query_time: 65_000,
        xact_count: 50,
        xact_time: 9_999,
        server_assignment_count: 3,
        wait_time: 100,
        connect_count: 2,
        connect_time: 9,
        ..from
    };
    period.turn(to, 15_000_000);
    assert_eq!(period.average(counter("total_query_count")), 20);
    assert_eq!(period.average(counter("total_query_time")), 200);
    assert_eq!(period.average(counter("total_xact_time")), 0, "a time without one finished item has no average");
    assert_eq!(period.average(counter("total_wait_time")), 33);
    assert_eq!(period.average(counter("total_connect_time")), 4);
    let busy = Period { from: Counts::default(), to: Counts { received: u64::MAX, ..Counts::default() }, length_us: 1 };
    assert_eq!(busy.average(counter("total_received")), u64::MAX, "no overflow");
}
