//! PgBouncer's tables: the columns and types that 1.18 answers with (asked over the wire), and what stands in them.

use super::*;
use crate::admin::report::{DatabaseRow, HostRow, PoolRow, UserRow};
use crate::admin::show::Type;
use crate::config::snapshot::PoolerMode;

/// The rows of a SHOW as text, NULL as `-`.
fn rows(report: &Report, name: &str) -> Vec<Vec<String>> {
    let def = shows().find(|def| def.name == name).unwrap();
    let mut rows = Vec::new();
    (def.rows)(report, &mut |cells: &[Cell<'_>]| {
        assert_eq!(cells.len(), def.columns.len(), "{name}");
        let text = |cell: &Cell<'_>| match cell {
            Cell::Null => "-".to_owned(),
            Cell::Text(text) => (*text).to_owned(),
            Cell::Number(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        rows.push(cells.iter().map(text).collect());
    });
    rows
}

fn columns(name: &str) -> Vec<(&'static str, Type)> {
    shows().find(|def| def.name == name).unwrap().columns.to_vec()
}

#[test]
fn columns_are_those_of_pgbouncer() {
    let of = |names: &'static str, types: &str| -> Vec<(&'static str, Type)> {
        let of = |letter| match letter {
            't' => Text,
            'i' => Int4,
            'b' => Int8,
            'n' => Numeric,
            _ => Bytea,
        };
        names.split(' ').zip(types.chars().map(of)).collect()
    };
    let stats = "database xact_count query_count bytes_received bytes_sent xact_time query_time wait_time";
    let sockets = "type user database state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link \
        remote_pid tls application_name recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";
    for (name, names, types) in [
        (
            "databases",
            "name host port database force_user pool_size min_pool_size reserve_pool pool_mode max_connections current_connections paused disabled",
            "ttittiiitiiii",
        ),
        ("users", "name pool_mode", "tt"),
        ("stats_totals", stats, "tnnnnnnn"),
        ("stats_averages", stats, "tnnnnnnn"),
        ("totals", "name value", "tn"),
        ("sockets", sockets, "tttttititt iiittittiiiiiii"),
        ("active_sockets", sockets, "tttttititt iiittittiiiiiii"),
        (
            "fds",
            "fd task user database addr port cancel link client_encoding std_strings datestyle timezone password scram_client_key scram_server_key",
            "ittttibitttttyy",
        ),
        ("dns_hosts", "hostname ttl addrs", "tbt"),
        ("dns_zones", "zonename serial count", "tbi"),
    ] {
        let types: String = types.split(' ').collect();
        assert_eq!(columns(name), of(names, &types), "{name}");
    }
}

#[test]
fn databases_count_the_connections_of_their_pools() {
    let pool = |database: &str, sv_total| PoolRow { database: database.into(), sv_total, ..PoolRow::default() };
    let database = DatabaseRow {
        name: "sales".into(),
        host: Some("10.0.0.1".into()),
        port: 5432,
        server_database: "sales_1".into(),
        force_user: Some("owner".into()),
        pool_size: 10,
        min_pool_size: 1,
        mode: Some(PoolerMode::Session),
        paused: true,
        disabled: false,
    };
    let console = DatabaseRow { name: "admin".into(), port: 6432, server_database: "admin".into(), ..DatabaseRow::default() };
    let report =
        Report { databases: vec![database, console], pools: vec![pool("sales", 3), pool("other", 9), pool("sales", 4)], ..Report::default() };
    let rows = rows(&report, "databases");
    assert_eq!(rows[0], ["sales", "10.0.0.1", "5432", "sales_1", "owner", "10", "1", "0", "session", "0", "7", "1", "0"]);
    assert_eq!(rows[1], ["admin", "-", "6432", "admin", "-", "0", "0", "0", "-", "0", "0", "0", "0"]);
}

#[test]
fn totals_and_averages_add_up_over_the_pools_of_a_database() {
    let row = |database: &str, xacts, wait_us| StatsRow {
        database: database.into(),
        counts: Counts { xact_count: xacts, received: 5, wait_time: wait_us, ..Counts::default() },
        period: Period { to: Counts { xact_count: xacts, wait_time: wait_us, ..Counts::default() }, length_us: 2_000_000, ..Period::default() },
        ..StatsRow::default()
    };
    let report = Report { stats: vec![row("b", 10, 1000), row("a", 4, 0), row("b", 30, 500)], ..Report::default() };
    assert_eq!(rows(&report, "stats_totals"), [["a", "4", "0", "5", "0", "0", "0", "0"], ["b", "40", "0", "10", "0", "0", "0", "1500"]]);
    // Per second; waits too, unlike PgDog's average.
    assert_eq!(rows(&report, "stats_averages"), [["a", "2", "0", "0", "0", "0", "0", "0"], ["b", "20", "0", "0", "0", "0", "0", "750"]]);
    let totals = rows(&report, "totals");
    assert_eq!(totals.len(), 14);
    assert_eq!((&totals[0], &totals[2]), (&vec!["total_xact_count".to_owned(), "44".into()], &vec!["total_client_bytes".to_owned(), "15".into()]));
    assert_eq!(totals[7], ["avg_xact_count", "22"]);
}

#[test]
fn sockets_name_their_other_end() {
    let client = ClientRow { id: 3, user: "u".into(), state: State::Waiting, waiting_us: 2_000_007, fd: 9, ..ClientRow::default() };
    let busy = ClientRow { id: 4, state: State::Active, server_pid: Some(77), fd: 10, ..ClientRow::default() };
    let idle = ClientRow { id: 5, fd: 11, ..ClientRow::default() };
    let server = ServerRow { remote_pid: 77, client_id: Some(4), state: State::Active, close_needed: true, fd: 12, ..ServerRow::default() };
    let report = Report { clients: vec![client, busy, idle], servers: vec![server], ..Report::default() };
    let of =
        |rows: &[Vec<String>], columns: [usize; 7]| -> Vec<String> { rows.iter().map(|row| columns.map(|at| row[at].clone()).join(" ")).collect() };
    let shown = rows(&report, "sockets");
    assert_eq!(
        of(&shown, [0, 3, 10, 11, 12, 13, 14]),
        [
            "C cl_waiting 2 7 0 client-3 -",
            "C cl_active 0 0 0 client-4 server-77",
            "C cl_active 0 0 0 client-5 -",
            "S sv_active 0 0 1 server-77 client-4"
        ]
    );
    assert_eq!(rows(&report, "active_sockets").len(), 3);
    let fds = rows(&report, "fds");
    assert_eq!(of(&fds, [0, 1, 7, 12, 13, 14, 6]), ["9 client 0 - - - 0", "10 client 12 - - - 0", "11 client 0 - - - 0", "12 server 10 - - - 0"]);
}

#[test]
fn what_control_knows_is_shown_as_it_is() {
    let report = Report {
        users: vec![UserRow { name: "u".into(), mode: Some(PoolerMode::Statement) }, UserRow { name: "admin".into(), mode: None }],
        hosts: vec![HostRow { name: "db.example".into(), address: Some("10.0.0.2".into()) }, HostRow { name: "lost".into(), address: None }],
        state: vec![("active", "yes".into())],
        ..Report::default()
    };
    assert_eq!(rows(&report, "users"), [["u", "statement"], ["admin", "-"]]);
    assert_eq!(rows(&report, "dns_hosts"), [["db.example", "0", "10.0.0.2"], ["lost", "0", "-"]]);
    assert_eq!(rows(&report, "state"), [["active", "yes"]]);
    let help = rows(&Report::default(), "help");
    for command in ["SHOW SOCKETS", "SHOW CLIENTS [column, ...]", "MAINTENANCE { ON | OFF } [database]", "KILL_CLIENT id"] {
        assert!(help.iter().any(|row| row[0] == command), "{command}");
    }
}
