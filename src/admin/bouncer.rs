//! The SHOWs that PgBouncer has and PgDog lacks, with the columns, types and units of PgBouncer 1.18 (times are microseconds), so that its
//! dashboards and scripts keep working. Invariant: a column for something that pg_dog does not have is NULL or 0, never made up; a secret is never
//! in a row. Where both have a command of one name, PgDog's is in `show`.

use std::collections::BTreeMap;

use super::console::ACTING;
use super::report::{COUNTERS, ClientRow, Counts, Period, Report, ServerRow, State, StatsRow, Wants};
use super::show::Type::{Bytea, Int4, Int8, Numeric, Text};
use super::show::{Cell, Column, OF_POOLS, ShowDef, Sink, cut, mode, shows};

const SOCKETS_OF: Wants = Wants { clients: true, servers: true, pools: false, transactions: false, query_cache: false };

/// See the head of this file.
pub(super) const SHOWS: &[ShowDef] = &[
    ShowDef::asked("databases", DATABASES, OF_POOLS, databases),
    ShowDef::known("users", &[("name", Text), ("pool_mode", Text)], users),
    ShowDef::asked("stats_totals", STATS, OF_POOLS, stats_totals),
    ShowDef::asked("stats_averages", STATS, OF_POOLS, stats_averages),
    ShowDef::asked("totals", &[("name", Text), ("value", Numeric)], OF_POOLS, totals),
    ShowDef::asked("sockets", SOCKETS, SOCKETS_OF, sockets),
    ShowDef::asked("active_sockets", SOCKETS, SOCKETS_OF, active_sockets),
    ShowDef::asked("fds", FDS, SOCKETS_OF, fds),
    ShowDef::known("state", &[("key", Text), ("value", Text)], state),
    ShowDef::known("dns_hosts", &[("hostname", Text), ("ttl", Int8), ("addrs", Text)], dns_hosts),
    // PgBouncer says it in a notice; rows reach programs as well.
    ShowDef::known("help", &[("command", Text), ("does", Text)], help),
];

const DATABASES: &[Column] = &[
    ("name", Text),
    ("host", Text),
    ("port", Int4),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int4),
    ("min_pool_size", Int4),
    ("reserve_pool", Int4),
    ("pool_mode", Text),
    ("max_connections", Int4),
    ("current_connections", Int4),
    ("paused", Int4),
    ("disabled", Int4),
];

fn databases(report: &Report, sink: &mut Sink<'_>) {
    let mut open: BTreeMap<&str, u64> = BTreeMap::new();
    for pool in &report.pools {
        *open.entry(&pool.database).or_default() += pool.sv_total;
    }
    for row in &report.databases {
        sink(&[
            Cell::Text(&row.name),
            row.host.as_deref().map_or(Cell::Null, Cell::Text),
            Cell::Number(u64::from(row.port)),
            Cell::Text(&row.server_database),
            row.force_user.as_deref().map_or(Cell::Null, Cell::Text),
            Cell::Number(row.pool_size),
            Cell::Number(row.min_pool_size),
            Cell::Number(0),
            row.mode.map_or(Cell::Null, |of| Cell::Text(mode(of))),
            Cell::Number(0),
            Cell::Number(open.get(row.name.as_str()).copied().unwrap_or_default()),
            Cell::Number(u64::from(row.paused)),
            Cell::Number(u64::from(row.disabled)),
        ]);
    }
}

fn users(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.users {
        sink(&[Cell::Text(&row.name), row.mode.map_or(Cell::Null, |of| Cell::Text(mode(of)))]);
    }
}

const STATS: &[Column] = &[
    ("database", Text),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
];

/// The counters of those columns, in their order.
const COUNTED: [&str; 7] =
    ["total_xact_count", "total_query_count", "total_received", "total_sent", "total_xact_time", "total_query_time", "total_wait_time"];

/// All pools of a database in one row, in the order of names.
fn by_database(report: &Report) -> BTreeMap<&str, StatsRow> {
    let mut rows: BTreeMap<&str, StatsRow> = BTreeMap::new();
    for row in &report.stats {
        rows.entry(&row.database).or_default().merge(row);
    }
    rows
}

fn total_of(counts: &Counts) -> [u64; 7] {
    COUNTED.map(|name| COUNTERS.iter().find(|counter| counter.total == name).map_or(0, |counter| (counter.value)(counts)))
}

/// As `Period::average`, but for waits, which PgBouncer divides by seconds.
fn average_of(period: &Period) -> [u64; 7] {
    COUNTED.map(|name| {
        let Some(counter) = COUNTERS.iter().find(|counter| counter.total == name) else { return 0 };
        if name != "total_wait_time" {
            return period.average(counter);
        }
        let growth = (counter.value)(&period.to.since(&period.from));
        let per_second = (u128::from(growth) * 1_000_000).checked_div(u128::from(period.length_us));
        per_second.map_or(0, |value| u64::try_from(value).unwrap_or(u64::MAX))
    })
}

fn stats_totals(report: &Report, sink: &mut Sink<'_>) {
    for (name, row) in by_database(report) {
        numbers(name, total_of(&row.counts), sink);
    }
}

fn stats_averages(report: &Report, sink: &mut Sink<'_>) {
    for (name, row) in by_database(report) {
        numbers(name, average_of(&row.period), sink);
    }
}

fn numbers(name: &str, values: [u64; 7], sink: &mut Sink<'_>) {
    let mut cells = vec![Cell::Text(name)];
    cells.extend(values.map(Cell::Number));
    sink(&cells);
}

/// What SHOW TOTALS calls those counters.
const TOTALS: [&str; 7] = ["xact_count", "query_count", "client_bytes", "server_bytes", "xact_time", "query_time", "wait_time"];

fn totals(report: &Report, sink: &mut Sink<'_>) {
    let mut all = StatsRow::default();
    report.stats.iter().for_each(|row| all.merge(row));
    for (prefix, values) in [("total", total_of(&all.counts)), ("avg", average_of(&all.period))] {
        for (name, value) in TOTALS.iter().zip(values) {
            sink(&[Cell::Text(&format!("{prefix}_{name}")), Cell::Number(value)]);
        }
    }
}

const SOCKETS: &[Column] = &[
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int4),
    ("local_addr", Text),
    ("local_port", Int4),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int4),
    ("wait_us", Int4),
    ("close_needed", Int4),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int4),
    ("tls", Text),
    ("application_name", Text),
    ("recv_pos", Int4),
    ("pkt_pos", Int4),
    ("pkt_remain", Int4),
    ("send_pos", Int4),
    ("send_remain", Int4),
    ("pkt_avail", Int4),
    ("send_avail", Int4),
];

fn sockets(report: &Report, sink: &mut Sink<'_>) {
    socket_rows(report, |_| true, sink);
}

fn active_sockets(report: &Report, sink: &mut Sink<'_>) {
    socket_rows(report, |state| state != State::Idle, sink);
}

fn socket_rows(report: &Report, shown: fn(State) -> bool, sink: &mut Sink<'_>) {
    for row in report.clients.iter().filter(|row| shown(row.state)) {
        client_socket(row, sink);
    }
    for row in report.servers.iter().filter(|row| shown(row.state)) {
        server_socket(row, sink);
    }
}

/// What stands for PgBouncer's addresses in memory: names that tell one socket from another.
fn client_name(id: u32) -> String {
    format!("client-{id}")
}

fn server_name(pid: u32) -> String {
    format!("server-{pid}")
}

fn client_socket(row: &ClientRow, sink: &mut Sink<'_>) {
    let state = match row.state {
        State::Login => "cl_login",
        State::Waiting => "cl_waiting",
        _ => "cl_active",
    };
    let (me, link) = (client_name(row.id), row.server_pid.map(server_name));
    sink(&[
        Cell::Text("C"),
        Cell::Text(&row.user),
        Cell::Text(&row.database),
        Cell::Text(state),
        Cell::Text(&row.addr),
        Cell::Number(u64::from(row.port)),
        Cell::Null,
        Cell::Null,
        Cell::Moment(row.connect_ms),
        row.last_request_ms.map_or(Cell::Null, Cell::Moment),
        Cell::Number(row.waiting_us / 1_000_000),
        Cell::Number(row.waiting_us % 1_000_000),
        Cell::Number(0),
        Cell::Text(&me),
        link.as_deref().map_or(Cell::Null, Cell::Text),
        Cell::Number(0),
        Cell::Text(""),
        Cell::Text(cut(&row.application_name)),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]);
}

fn server_socket(row: &ServerRow, sink: &mut Sink<'_>) {
    let state = match row.state {
        State::Login => "sv_login",
        State::Idle => "sv_idle",
        State::Closing => "sv_used",
        _ => "sv_active",
    };
    let (me, link) = (server_name(row.remote_pid), row.client_id.map(client_name));
    sink(&[
        Cell::Text("S"),
        Cell::Text(&row.user),
        Cell::Text(&row.database),
        Cell::Text(state),
        Cell::Text(&row.addr),
        Cell::Number(u64::from(row.port)),
        Cell::Null,
        Cell::Null,
        Cell::Moment(row.connect_ms),
        row.request_ms.map_or(Cell::Null, Cell::Moment),
        Cell::Number(0),
        Cell::Number(0),
        Cell::Number(u64::from(row.close_needed)),
        Cell::Text(&me),
        link.as_deref().map_or(Cell::Null, Cell::Text),
        Cell::Number(u64::from(row.remote_pid)),
        Cell::Text(""),
        Cell::Text(cut(&row.application_name)),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]);
}

const FDS: &[Column] = &[
    ("fd", Int4),
    ("task", Text),
    ("user", Text),
    ("database", Text),
    ("addr", Text),
    ("port", Int4),
    ("cancel", Int8),
    ("link", Int4),
    ("client_encoding", Text),
    ("std_strings", Text),
    ("datestyle", Text),
    ("timezone", Text),
    ("password", Text),
    ("scram_client_key", Bytea),
    ("scram_server_key", Bytea),
];

/// For people who look for a descriptor. PgBouncer hands its state to its successor in these rows, with keys; nothing is handed over here.
fn fds(report: &Report, sink: &mut Sink<'_>) {
    let mut row = |fd: i32, task, user, database, addr, port: u16, link: Option<i32>| {
        let number = |value: i32| u64::try_from(value).map_or(Cell::Null, Cell::Number);
        let mut cells = vec![number(fd), Cell::Text(task), Cell::Text(user), Cell::Text(database), Cell::Text(addr), Cell::Number(u64::from(port))];
        cells.extend([Cell::Number(0), link.map_or(Cell::Number(0), number)]);
        cells.extend([Cell::Null; 7]);
        sink(&cells);
    };
    let by_pid: BTreeMap<u32, i32> = report.servers.iter().map(|server| (server.remote_pid, server.fd)).collect();
    let by_id: BTreeMap<u32, i32> = report.clients.iter().map(|client| (client.id, client.fd)).collect();
    for client in &report.clients {
        let link = client.server_pid.and_then(|pid| by_pid.get(&pid).copied());
        row(client.fd, "client", &client.user, &client.database, &client.addr, client.port, link);
    }
    for server in &report.servers {
        let link = server.client_id.and_then(|id| by_id.get(&id).copied());
        row(server.fd, "server", &server.user, &server.database, &server.addr, server.port, link);
    }
}

fn state(report: &Report, sink: &mut Sink<'_>) {
    for (key, value) in &report.state {
        sink(&[Cell::Text(key), Cell::Text(value)]);
    }
}

/// Names are looked up again when a server cannot be reached, whatever the time to live.
fn dns_hosts(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.hosts {
        sink(&[Cell::Text(&row.name), Cell::Number(0), row.address.as_deref().map_or(Cell::Null, Cell::Text)]);
    }
}

fn help(_: &Report, sink: &mut Sink<'_>) {
    for def in shows() {
        let command = format!("SHOW {}", def.name.to_ascii_uppercase());
        let rows = if def.kept.is_some() { " [column, ...]" } else { "" };
        let columns: Vec<&str> = def.columns.iter().take(5).map(|column| column.0).collect();
        let more = if def.columns.len() > columns.len() { ", ..." } else { "" };
        sink(&[Cell::Text(&format!("{command}{rows}")), Cell::Text(&format!("shows {}{more}", columns.join(", ")))]);
    }
    for (_, usage, does) in ACTING {
        sink(&[Cell::Text(usage), Cell::Text(does)]);
    }
}

#[cfg(test)]
#[path = "bouncer_tests.rs"]
mod tests;
