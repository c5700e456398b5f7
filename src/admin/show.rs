//! The answers: one row of `SHOWS` and one function per SHOW command, and their rendering as RowDescription, DataRows, CommandComplete and
//! ReadyForQuery (PostgreSQL: src/backend/libpq/protocol, "Message Formats"). Invariant: every row has exactly the columns of its table, in the
//! same order, and every value is text that its column's type accepts. Names and order of columns are PgDog's, so that dashboards and scripts
//! written for it keep working. Which command a text is, `console` knows; that an acting command was carried out, `control` has seen to.

use crate::admin::console::{Command, CommandError, Show};
use crate::admin::report::{Average, COUNTERS, Counter, Report, Wants};
use crate::admin::{bouncer, listeners, nothing, prepared, query_cache, shards, transactions};
use crate::config::snapshot::PoolerMode;
use crate::wire::frame::EncodeError;
use crate::wire::server;

/// Longest application name that is shown, bytes: as PostgreSQL keeps it (NAMEDATALEN - 1). Clients choose it, so it needs a bound.
const APPLICATION_NAME_MAX: usize = 63;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Int8,
    Numeric,
    Text,
    Bool,
    /// where PgBouncer has them
    Int4,
    Bytea,
}

impl Type {
    /// The type's OID and length in a RowDescription (PostgreSQL: src/include/catalog/pg_type.dat).
    pub fn oid_and_len(self) -> (u32, i16) {
        match self {
            Type::Int8 => (20, 8),
            Type::Numeric => (1700, -1),
            Type::Text => (25, -1),
            Type::Bool => (16, 1),
            Type::Int4 => (23, 4),
            Type::Bytea => (17, -1),
        }
    }
}

use Type::{Bool, Int8, Numeric, Text};

/// A column: its name and type.
pub type Column = (&'static str, Type);

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    Text(&'a str),
    /// a type byte of the protocol
    Letter(u8),
    Number(u64),
    /// microseconds, printed as milliseconds with three decimals
    Millis(u64),
    /// milliseconds since 1970, printed as a date and time in UTC
    Moment(u64),
    Bool(bool),
}

/// Where the rows of a SHOW go, one call per row.
pub type Sink<'a> = dyn FnMut(&[Cell<'_>]) + 'a;

/// One SHOW command.
#[derive(Debug)]
pub struct ShowDef {
    /// in lower case, as it stands after SHOW
    pub name: &'static str,
    pub columns: &'static [Column],
    /// Some: a list of columns may follow the name; these columns are shown in any case
    pub kept: Option<&'static [&'static str]>,
    /// None: nothing that only the data cores know
    pub wants: Option<Wants>,
    pub rows: fn(&Report, &mut Sink<'_>),
}

impl PartialEq for ShowDef {
    fn eq(&self, other: &ShowDef) -> bool {
        self.name == other.name
    }
}

impl ShowDef {
    /// A table that the data cores have to be asked for.
    pub(super) const fn asked(name: &'static str, columns: &'static [Column], wants: Wants, rows: fn(&Report, &mut Sink<'_>)) -> ShowDef {
        ShowDef { name, columns, kept: None, wants: Some(wants), rows }
    }

    /// A table that `control` knows by itself.
    pub(super) const fn known(name: &'static str, columns: &'static [Column], rows: fn(&Report, &mut Sink<'_>)) -> ShowDef {
        ShowDef { name, columns, kept: None, wants: None, rows }
    }

    /// The same, and a list of columns may follow the name.
    const fn filtered(mut self) -> ShowDef {
        self.kept = Some(KEPT);
        self
    }
}

/// The columns that no filter takes away: without them a row cannot be told from its neighbours.
const KEPT: &[&str] = &["user", "database", "addr", "port"];

const NUMBERS: Wants = Wants { clients: false, servers: false, pools: false, transactions: false, query_cache: false };
pub(super) const OF_CLIENTS: Wants = Wants { clients: true, ..NUMBERS };
pub(super) const OF_SERVERS: Wants = Wants { servers: true, ..NUMBERS };
pub(super) const OF_TRANSACTIONS: Wants = Wants { transactions: true, ..NUMBERS };
pub(super) const OF_QUERY_CACHE: Wants = Wants { query_cache: true, ..NUMBERS };
pub(super) const OF_POOLS: Wants = Wants { pools: true, ..NUMBERS };

/// PgDog's, and what only we have.
const OWN: &[ShowDef] = &[
    ShowDef::asked("clients", CLIENTS, OF_CLIENTS, clients).filtered(),
    ShowDef::asked("servers", SERVERS, OF_SERVERS, servers).filtered(),
    ShowDef::asked("pools", POOLS, OF_POOLS, pools),
    ShowDef::asked("stats", &STATS, OF_POOLS, stats),
    ShowDef::known("config", &[("name", Text), ("value", Text)], config),
    ShowDef::asked("lists", LISTS, NUMBERS, lists),
    ShowDef::asked("mem", MEM, NUMBERS, mem),
    ShowDef::known("version", &[("version", Text)], version),
    ShowDef::known("instance_id", &[("instance_id", Text)], instance_id),
    ShowDef::asked("replication", REPLICATION, OF_POOLS, replication),
];

/// Every SHOW that is answered with rows of a report.
pub fn shows() -> impl Iterator<Item = &'static ShowDef> + Clone {
    let ours = listeners::SHOWS.iter().chain(prepared::SHOWS).chain(query_cache::SHOWS).chain(shards::SHOWS).chain(transactions::SHOWS);
    OWN.iter().chain(ours).chain(bouncer::SHOWS).chain(nothing::SHOWS)
}

const CLIENTS: &[Column] = &[
    ("id", Int8),
    ("user", Text),
    ("database", Text),
    ("addr", Text),
    ("port", Numeric),
    ("state", Text),
    ("replication", Text),
    ("connect_time", Text),
    ("last_request", Text),
    ("queries", Numeric),
    ("transactions", Numeric),
    ("transactions_2pc", Numeric),
    ("wait_time", Numeric),
    ("query_time", Numeric),
    ("transaction_time", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("errors", Numeric),
    ("application_name", Text),
    ("locked", Bool),
    ("prepared_statements", Numeric),
    ("pinned", Text),
];

fn clients(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.clients.iter().collect();
    rows.sort_by_key(|row| row.id);
    for row in rows {
        sink(&[
            Cell::Number(u64::from(row.id)),
            Cell::Text(&row.user),
            Cell::Text(&row.database),
            Cell::Text(&row.addr),
            Cell::Number(u64::from(row.port)),
            Cell::Text(row.state.name()),
            Cell::Text(row.replication.name()),
            Cell::Moment(row.connect_ms),
            row.last_request_ms.map_or(Cell::Null, Cell::Moment),
            Cell::Number(row.queries),
            Cell::Number(row.transactions),
            Cell::Number(row.transactions_2pc),
            Cell::Millis(row.wait_us),
            Cell::Millis(row.query_us),
            Cell::Millis(row.transaction_us),
            Cell::Number(row.bytes_received),
            Cell::Number(row.bytes_sent),
            Cell::Number(row.errors),
            Cell::Text(cut(&row.application_name)),
            Cell::Bool(row.locked),
            Cell::Number(row.prepared_statements),
            Cell::Text(&row.pinned),
        ]);
    }
}

const SERVERS: &[Column] = &[
    ("pool_id", Int8),
    ("database", Text),
    ("user", Text),
    ("addr", Text),
    ("port", Numeric),
    ("state", Text),
    ("connect_time", Text),
    ("request_time", Text),
    ("remote_pid", Numeric),
    ("client_id", Int8),
    ("transactions", Numeric),
    ("queries", Numeric),
    ("rollbacks", Numeric),
    ("prepared_statements", Numeric),
    ("healthchecks", Numeric),
    ("errors", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("last_sent", Text),
    ("last_received", Text),
    ("age", Numeric),
    ("application_name", Text),
];

fn servers(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.servers.iter().collect();
    rows.sort_by_key(|row| (row.pool_id, row.remote_pid));
    for row in rows {
        sink(&[
            Cell::Number(row.pool_id),
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            Cell::Text(&row.addr),
            Cell::Number(u64::from(row.port)),
            Cell::Text(row.state.name()),
            Cell::Moment(row.connect_ms),
            row.request_ms.map_or(Cell::Null, Cell::Moment),
            Cell::Number(u64::from(row.remote_pid)),
            row.client_id.map_or(Cell::Null, |id| Cell::Number(u64::from(id))),
            Cell::Number(row.transactions),
            Cell::Number(row.queries),
            Cell::Number(row.rollbacks),
            Cell::Number(row.prepared_statements),
            Cell::Number(row.healthchecks),
            Cell::Number(row.errors),
            Cell::Number(row.bytes_received),
            Cell::Number(row.bytes_sent),
            row.last_sent.map_or(Cell::Null, Cell::Letter),
            row.last_received.map_or(Cell::Null, Cell::Letter),
            Cell::Number(row.age_s),
            Cell::Text(cut(&row.application_name)),
        ]);
    }
}

const POOLS: &[Column] = &[
    ("id", Int8),
    ("database", Text),
    ("user", Text),
    ("addr", Text),
    ("port", Numeric),
    ("shard", Numeric),
    ("role", Text),
    ("cl_waiting", Numeric),
    ("sv_idle", Numeric),
    ("sv_active", Numeric),
    ("sv_idle_xact", Numeric),
    ("sv_total", Numeric),
    ("maxwait", Numeric),
    ("maxwait_us", Numeric),
    ("pool_mode", Text),
    ("paused", Bool),
    ("banned", Bool),
    ("healthy", Bool),
    ("errors", Numeric),
    ("re_synced", Numeric),
    ("out_of_sync", Numeric),
    ("force_closed", Numeric),
    ("online", Bool),
    ("schema_admin", Bool),
];

fn pools(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.pools.iter().collect();
    rows.sort_by_key(|row| row.id);
    for row in rows {
        sink(&[
            Cell::Number(row.id),
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            Cell::Text(&row.addr),
            Cell::Number(u64::from(row.port)),
            Cell::Number(u64::from(row.shard)),
            Cell::Text(row.role.name()),
            Cell::Number(row.cl_waiting),
            Cell::Number(row.sv_idle),
            Cell::Number(row.sv_active),
            Cell::Number(row.sv_idle_xact),
            Cell::Number(row.sv_total),
            // Whole seconds in the one, what is left of the last second in the other.
            Cell::Number(row.maxwait_us / 1_000_000),
            Cell::Number(row.maxwait_us % 1_000_000),
            Cell::Text(mode(row.mode)),
            Cell::Bool(row.paused),
            Cell::Bool(row.banned),
            Cell::Bool(row.healthy),
            Cell::Number(row.errors),
            Cell::Number(row.re_synced),
            Cell::Number(row.out_of_sync),
            Cell::Number(row.force_closed),
            Cell::Bool(row.online),
            Cell::Bool(row.schema_admin),
        ]);
    }
}

/// A mode as the configuration file names it.
pub(super) fn mode(mode: PoolerMode) -> &'static str {
    match mode {
        PoolerMode::Transaction => "transaction",
        PoolerMode::Session => "session",
        PoolerMode::Statement => "statement",
    }
}

/// What says whose stats they are; the columns of the counters follow.
const STATS_OF: [Column; 6] = [("database", Text), ("user", Text), ("addr", Text), ("port", Numeric), ("shard", Numeric), ("role", Text)];

/// First all totals, then all averages, in the order of `COUNTERS`.
const STATS: [Column; STATS_OF.len() + 2 * COUNTERS.len()] = {
    let mut columns = [("", Numeric); STATS_OF.len() + 2 * COUNTERS.len()];
    let mut at = 0;
    while at < STATS_OF.len() {
        columns[at] = STATS_OF[at];
        at += 1;
    }
    let mut counter = 0;
    while counter < COUNTERS.len() {
        columns[STATS_OF.len() + counter].0 = COUNTERS[counter].total;
        columns[STATS_OF.len() + COUNTERS.len() + counter].0 = COUNTERS[counter].avg;
        counter += 1;
    }
    columns
};

fn stats(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.stats.iter().collect();
    rows.sort_by_key(|row| row.pool_id);
    let mut cells = Vec::with_capacity(STATS.len());
    for row in rows {
        cells.clear();
        cells.extend([
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            Cell::Text(&row.addr),
            Cell::Number(u64::from(row.port)),
            Cell::Number(u64::from(row.shard)),
            Cell::Text(row.role.name()),
        ]);
        cells.extend(COUNTERS.iter().map(|counter| cell(counter, (counter.value)(&row.counts))));
        cells.extend(COUNTERS.iter().map(|counter| cell(counter, row.period.average(counter))));
        sink(&cells);
    }
}

/// A counter's total or average: a number, or a time.
fn cell(counter: &Counter, value: u64) -> Cell<'static> {
    match counter.average {
        Average::PerSecond => Cell::Number(value),
        Average::Per(_) => Cell::Millis(value),
    }
}

fn config(report: &Report, sink: &mut Sink<'_>) {
    for (name, value) in &report.config {
        sink(&[Cell::Text(name), Cell::Text(value)]);
    }
}

/// One row, as PgDog has it (PgBouncer gives a row per list). PgDog calls its fourth column `used_clients` a second time; here it has the name of
/// what it counts, because a driver that returns rows as maps loses one of two columns with the same name.
const LISTS: &[Column] = &[
    ("databases", Numeric),
    ("users", Numeric),
    ("pools", Numeric),
    ("free_clients", Numeric),
    ("used_clients", Numeric),
    ("free_servers", Numeric),
    ("used_servers", Numeric),
    ("panics", Numeric),
];

fn lists(report: &Report, sink: &mut Sink<'_>) {
    let lists = &report.lists;
    sink(&[
        Cell::Number(lists.databases),
        Cell::Number(lists.users),
        Cell::Number(lists.pools),
        Cell::Number(lists.free_clients),
        Cell::Number(lists.used_clients),
        Cell::Number(lists.free_servers),
        Cell::Number(lists.used_servers),
        Cell::Number(lists.panics),
    ]);
}

/// As PgBouncer has it.
const MEM: &[Column] = &[("name", Text), ("size", Int8), ("used", Int8), ("free", Int8), ("memtotal", Int8)];

fn mem(report: &Report, sink: &mut Sink<'_>) {
    for row in &report.memory {
        sink(&[Cell::Text(row.name), Cell::Number(row.size), Cell::Number(row.used), Cell::Number(row.free), Cell::Number(row.bytes)]);
    }
}

fn version(report: &Report, sink: &mut Sink<'_>) {
    sink(&[Cell::Text(&report.version)]);
}

fn instance_id(report: &Report, sink: &mut Sink<'_>) {
    sink(&[Cell::Text(&report.instance_id)]);
}

const REPLICATION: &[Column] = &[
    ("id", Int8),
    ("database", Text),
    ("user", Text),
    ("addr", Text),
    ("port", Numeric),
    ("shard", Numeric),
    ("role", Text),
    ("replica_lag", Numeric),
    ("pg_lsn", Text),
    ("lsn_age", Numeric),
    ("pg_is_in_recovery", Bool),
];

/// NULL is what PgDog shows of a server whose position it has not asked for; we never ask.
fn replication(report: &Report, sink: &mut Sink<'_>) {
    let mut rows: Vec<_> = report.pools.iter().collect();
    rows.sort_by_key(|row| row.id);
    for row in rows {
        sink(&[
            Cell::Number(row.id),
            Cell::Text(&row.database),
            Cell::Text(&row.user),
            Cell::Text(&row.addr),
            Cell::Number(u64::from(row.port)),
            Cell::Number(u64::from(row.shard)),
            Cell::Text(row.role.name()),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]);
    }
}

/// Appends the whole answer to a command: the rows of a SHOW, or, for a command that acts and was carried out, its tag. An answer that the
/// protocol cannot carry becomes an error.
pub fn answer(report: &Report, command: &Command, out: &mut Vec<u8>) {
    whole(out, |out| match command {
        Command::Show(Show::Table(def), filter) => table(report, def, filter.as_deref(), out),
        Command::Show(Show::Variable(name), _) => variable(report, name, out),
        Command::Empty => {
            server::empty_query(out);
            Ok(())
        }
        acting => server::command_complete(out, acting.tag()),
    });
}

/// Appends the refusal of a text that is no command (SQLSTATE 08P01), and ReadyForQuery.
pub fn error(refusal: &CommandError, out: &mut Vec<u8>) {
    fields(refusal.sqlstate(), &refusal.to_string(), refusal.hint(), out);
}

/// Appends the failure of a command that was understood but could not be carried out, and ReadyForQuery. `message` says why and what to do.
pub fn failed(sqlstate: &str, message: &str, out: &mut Vec<u8>) {
    fields(sqlstate, message, None, out);
}

/// Appends the answer of a command without rows: its tag, and ReadyForQuery.
pub fn done(tag: &str, out: &mut Vec<u8>) {
    whole(out, |out| server::command_complete(out, tag));
}

fn fields(code: &str, message: &str, hint: Option<&str>, out: &mut Vec<u8>) {
    server::error(out, &server::ErrorFields { severity: "ERROR", code, message, detail: None, hint });
    server::ready(out, b'I');
}

/// Appends what `write` writes and ReadyForQuery. When a message cannot be encoded, nothing that was written stays and an error takes its place.
fn whole(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) {
    let start = out.len();
    match write(out) {
        Ok(()) => server::ready(out, b'I'),
        Err(error) => {
            out.truncate(start);
            failed("XX000", &format!("the answer cannot be sent: {error}"), out);
        }
    }
}

/// Appends the rows of one SHOW, of all columns or of the chosen and the kept ones, always in the order of its table.
fn table(report: &Report, def: &ShowDef, filter: Option<&[String]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let shown = |name: &str| match (filter, def.kept) {
        (Some(chosen), Some(kept)) => kept.contains(&name) || chosen.iter().any(|column| column == name),
        _ => true,
    };
    let places: Vec<usize> = (0..def.columns.len()).filter(|place| shown(def.columns[*place].0)).collect();
    describe(places.iter().map(|place| def.columns[*place]), out)?;
    let mut scratch = Vec::new();
    let mut result = Ok(());
    (def.rows)(report, &mut |cells| {
        if result.is_ok() {
            result = row(places.iter().filter_map(|place| cells.get(*place)), &mut scratch, out);
        }
    });
    result?;
    server::command_complete(out, "SHOW")
}

/// A variable that PgDog does not know either has one row with an empty value: drivers ask for variables when they connect, and an error would
/// end the connection.
fn variable(report: &Report, name: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    describe([(name, Text)].into_iter(), out)?;
    let value = if name == "server_version" { report.version.as_str() } else { "" };
    row([Cell::Text(value)].iter(), &mut Vec::new(), out)?;
    server::command_complete(out, "SHOW")
}

fn describe<'a>(columns: impl Iterator<Item = (&'a str, Type)>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let columns: Vec<(&str, u32, i16)> = columns
        .map(|(name, column_type)| {
            let (oid, len) = column_type.oid_and_len();
            (name, oid, len)
        })
        .collect();
    server::row_description(out, &columns)
}

/// Appends one DataRow. `scratch` holds the values while the row is built, and keeps its memory for the next.
fn row<'a, 'b: 'a>(cells: impl Iterator<Item = &'a Cell<'b>>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    scratch.clear();
    let ends: Vec<Option<usize>> = cells.map(|cell| print(*cell, scratch).then_some(scratch.len())).collect();
    let mut start = 0;
    let mut values = Vec::with_capacity(ends.len());
    for end in ends {
        values.push(end.and_then(|end| scratch.get(start..end)));
        start = end.unwrap_or(start);
    }
    server::data_row(out, &values)
}

/// Appends a value as text; false for NULL.
fn print(cell: Cell<'_>, out: &mut Vec<u8>) -> bool {
    match cell {
        Cell::Null => return false,
        Cell::Text(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Letter(letter) => out.push(if letter.is_ascii_graphic() { letter } else { b'?' }),
        Cell::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Cell::Millis(us) => out.extend_from_slice(format!("{}.{:03}", us / 1000, us % 1000).as_bytes()),
        Cell::Moment(ms) => out.extend_from_slice(moment(ms).as_bytes()),
        Cell::Bool(value) => out.push(if value { b't' } else { b'f' }),
    }
    true
}

/// Milliseconds since 1970 as `2025-11-22 12:08:00.123 UTC`. The calendar repeats every 400 years (146,097 days) and is counted from the first of
/// March, so that the leap day is a year's last.
pub fn moment(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let since_march_0 = days + 719_468;
    let (era, day_of_era) = (since_march_0 / 146_097, since_march_0 % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second, millis) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC")
}

/// An application name within its bound, cut between two characters.
pub(super) fn cut(name: &str) -> &str {
    let mut end = name.len().min(APPLICATION_NAME_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
