//! Every SHOW rendered and read back as a client would.

use super::*;
use crate::admin::console::parse;
use crate::admin::report::{
    ClientRow, Counts, ListenerRow, Lists, MemoryRow, Period, PoolRow, PreparedRow, Replication, Role, ServerRow, State, StatsRow,
};

/// An answer, taken apart.
#[derive(Debug, Default)]
struct Answer {
    /// (name, type, length) of each column
    columns: Vec<(String, u32, i16)>,
    rows: Vec<Vec<Option<String>>>,
    tag: Option<String>,
    /// fields of an ErrorResponse
    error: Vec<(u8, String)>,
    /// the type bytes in order
    types: Vec<u8>,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take(&mut self, len: usize) -> &[u8] {
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        head
    }
    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }
    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().unwrap())
    }
    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().unwrap())
    }
    fn text(&mut self) -> String {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(len).to_vec()).unwrap();
        self.u8();
        text
    }
}

fn decode(out: &[u8]) -> Answer {
    let mut answer = Answer::default();
    let mut all = Bytes(out);
    while !all.0.is_empty() {
        let kind = all.u8();
        let len = usize::try_from(all.i32()).unwrap() - 4;
        let mut body = Bytes(all.take(len));
        answer.types.push(kind);
        match kind {
            b'T' => {
                for _ in 0..body.i16() {
                    let name = body.text();
                    assert_eq!((body.i32(), body.i16()), (0, 0), "of no table");
                    let oid = u32::try_from(body.i32()).unwrap();
                    answer.columns.push((name, oid, body.i16()));
                    assert_eq!((body.i32(), body.i16()), (-1, 0), "no modifier, text format");
                }
            }
            b'D' => {
                let count = body.i16();
                let value = |len: i32, body: &mut Bytes<'_>| usize::try_from(len).ok().map(|len| String::from_utf8(body.take(len).to_vec()).unwrap());
                let row = (0..count).map(|_| value(body.i32(), &mut body)).collect();
                answer.rows.push(row);
            }
            b'C' => answer.tag = Some(body.text()),
            b'E' => {
                while body.0[0] != 0 {
                    let field = body.u8();
                    answer.error.push((field, body.text()));
                }
                body.u8();
            }
            b'Z' => assert_eq!(body.u8(), b'I'),
            b'I' => {}
            other => panic!("message {other}"),
        }
        assert!(body.0.is_empty(), "a message of type {kind} has bytes left over");
    }
    answer
}

fn ask(report: &Report, text: &str) -> Answer {
    let mut out = Vec::new();
    answer(report, &parse(text.as_bytes()).unwrap(), &mut out);
    decode(&out)
}

/// Checks columns against `names: type` pairs, and that each row has as many values of those types.
fn check(answer: &Answer, columns: &[(&str, Type)]) {
    let expected: Vec<_> = columns.iter().map(|(name, column_type)| ((*name).to_owned(), oid(*column_type).0, oid(*column_type).1)).collect();
    assert_eq!(answer.columns, expected);
    assert_eq!(answer.tag.as_deref(), Some("SHOW"));
    assert_eq!((answer.types.first(), answer.types.last()), (Some(&b'T'), Some(&b'Z')));
    for row in &answer.rows {
        assert_eq!(row.len(), columns.len());
        for (value, (name, column_type)) in row.iter().zip(columns) {
            let Some(value) = value else { continue };
            let fits = match column_type {
                Type::Int8 => value.parse::<i64>().is_ok(),
                Type::Int4 => value.parse::<i32>().is_ok(),
                Type::Bytea => false,
                Type::Numeric => value.parse::<f64>().is_ok_and(f64::is_finite),
                Type::Bool => value == "t" || value == "f",
                Type::Text => true,
            };
            assert!(fits, "{name} = {value}");
        }
    }
}

fn oid(column_type: Type) -> (u32, i16) {
    match column_type {
        Type::Int8 => (20, 8),
        Type::Int4 => (23, 4),
        Type::Bytea => (17, -1),
        Type::Numeric => (1700, -1),
        Type::Text => (25, -1),
        Type::Bool => (16, 1),
    }
}

/// `names` with their types: numeric but for those listed.
fn columns(names: &'static str, int8: &[&str], text: &[&str], bools: &[&str]) -> Vec<(&'static str, Type)> {
    let of = |name: &&str| match () {
        () if int8.contains(name) => Type::Int8,
        () if text.contains(name) => Type::Text,
        () if bools.contains(name) => Type::Bool,
        () => Type::Numeric,
    };
    names.split_whitespace().map(|name| (name, of(&name))).collect()
}

fn value<'a>(answer: &'a Answer, row: usize, name: &str) -> Option<&'a str> {
    let place = answer.columns.iter().position(|column| column.0 == name).unwrap();
    answer.rows[row][place].as_deref()
}

fn client() -> ClientRow {
    ClientRow {
        id: 4_000_000_000,
        user: "bob".into(),
        database: "sales".into(),
        addr: "10.0.0.1".into(),
        port: 50_000,
        state: State::IdleInTransaction,
        replication: Replication::None,
        connect_ms: 951_782_400_001,
        last_request_ms: None,
        queries: 1,
        transactions: 2,
        transactions_2pc: 0,
        wait_us: 3_004,
        query_us: 999,
        transaction_us: 1_000_000,
        bytes_received: 5,
        bytes_sent: 6,
        errors: 7,
        application_name: "psql".into(),
        locked: true,
        prepared_statements: 8,
        pinned: "advisory locks".into(),
        ..ClientRow::default()
    }
}

const CLIENT_NAMES: &str = "id user database addr port state replication connect_time last_request queries transactions transactions_2pc wait_time \
    query_time transaction_time bytes_received bytes_sent errors application_name locked prepared_statements pinned";

#[test]
fn clients() {
    let report = Report {
        clients: vec![client(), ClientRow { id: 1, last_request_ms: Some(0), replication: Replication::Physical, ..client() }],
        ..Report::default()
    };
    let answer = ask(&report, "SHOW CLIENTS");
    let text = &["user", "database", "addr", "state", "replication", "connect_time", "last_request", "application_name", "pinned"];
    check(&answer, &columns(CLIENT_NAMES, &["id"], text, &["locked"]));
    assert_eq!((value(&answer, 0, "id"), value(&answer, 1, "id")), (Some("1"), Some("4000000000")), "by id");
    let row: Vec<_> = answer.rows[1].iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    let expected = "4000000000|bob|sales|10.0.0.1|50000|idle in transaction|none|2000-02-29 00:00:00.001 UTC|NULL|1|2|0|3.004|0.999|1000.000|5|6|7\
        |psql|t|8|advisory locks";
    assert_eq!(row.join("|"), expected);
    assert_eq!(value(&answer, 0, "last_request"), Some("1970-01-01 00:00:00.000 UTC"));
    assert_eq!(value(&answer, 0, "replication"), Some("physical"));
}

#[test]
fn a_filter_keeps_what_tells_rows_apart_and_the_order_of_the_table() {
    let report = Report { clients: vec![client()], servers: vec![ServerRow { age_s: 9, ..ServerRow::default() }], ..Report::default() };
    let answer = ask(&report, "SHOW CLIENTS prepared_statements, id");
    let names: Vec<_> = answer.columns.iter().map(|column| column.0.as_str()).collect();
    assert_eq!(names, ["id", "user", "database", "addr", "port", "prepared_statements"]);
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.rows[0].len(), 6);
    assert_eq!((value(&answer, 0, "prepared_statements"), value(&answer, 0, "user")), (Some("8"), Some("bob")));
    let answer = ask(&report, "SHOW SERVERS age");
    let names: Vec<_> = answer.columns.iter().map(|column| column.0.as_str()).collect();
    assert_eq!(names, ["database", "user", "addr", "port", "age"]);
    assert_eq!(value(&answer, 0, "age"), Some("9"));
}

#[test]
fn an_application_name_is_cut_between_characters() {
    let long = "\u{e9}".repeat(100);
    let report = Report { clients: vec![ClientRow { application_name: long, ..client() }], ..Report::default() };
    let answer = ask(&report, "SHOW CLIENTS");
    assert_eq!(value(&answer, 0, "application_name"), Some("\u{e9}".repeat(31).as_str()));
}

#[test]
fn servers() {
    let names = "pool_id database user addr port state connect_time request_time remote_pid client_id transactions queries rollbacks \
        prepared_statements healthchecks errors bytes_received bytes_sent last_sent last_received age application_name";
    let row = ServerRow {
        pool_id: 3,
        database: "sales".into(),
        user: "bob".into(),
        addr: "db1".into(),
        port: 5432,
        state: State::Active,
        connect_ms: 1_763_813_280_123,
        request_ms: None,
        remote_pid: 77,
        client_id: Some(12),
        transactions: 1,
        queries: 2,
        rollbacks: 3,
        prepared_statements: 4,
        healthchecks: 5,
        errors: 6,
        bytes_received: 7,
        bytes_sent: 8,
        last_sent: Some(b'Q'),
        last_received: Some(0xff),
        age_s: 9,
        application_name: "psql".into(),
        ..ServerRow::default()
    };
    let idle = ServerRow { pool_id: 2, client_id: None, last_sent: None, request_ms: Some(1), ..row.clone() };
    let report = Report { servers: vec![row, idle], ..Report::default() };
    let answer = ask(&report, "SHOW SERVERS");
    let text = &["database", "user", "addr", "state", "connect_time", "request_time", "last_sent", "last_received", "application_name"];
    check(&answer, &columns(names, &["pool_id", "client_id"], text, &[]));
    let row: Vec<_> = answer.rows[1].iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(row.join("|"), "3|sales|bob|db1|5432|active|2025-11-22 12:08:00.123 UTC|NULL|77|12|1|2|3|4|5|6|7|8|Q|?|9|psql");
    assert_eq!((value(&answer, 0, "client_id"), value(&answer, 0, "last_sent")), (None, None));
    assert_eq!(value(&answer, 0, "request_time"), Some("1970-01-01 00:00:00.001 UTC"));
}

#[test]
fn pools() {
    let names = "id database user addr port shard role cl_waiting sv_idle sv_active sv_idle_xact sv_total maxwait maxwait_us pool_mode paused \
        banned healthy errors re_synced out_of_sync force_closed online schema_admin";
    let row = PoolRow {
        id: 5,
        database: "sales".into(),
        user: "bob".into(),
        addr: "db1".into(),
        port: 5432,
        shard: 1,
        role: Role::Replica,
        cl_waiting: 2,
        sv_idle: 3,
        sv_active: 4,
        sv_idle_xact: 6,
        sv_total: 13,
        maxwait_us: 12_000_345,
        mode: PoolerMode::Session,
        paused: true,
        banned: false,
        healthy: true,
        errors: 7,
        re_synced: 8,
        out_of_sync: 9,
        force_closed: 10,
        online: false,
        schema_admin: false,
    };
    let report = Report { pools: vec![row, PoolRow { id: 1, ..PoolRow::default() }], ..Report::default() };
    let answer = ask(&report, "SHOW POOLS");
    let bools = &["paused", "banned", "healthy", "online", "schema_admin"];
    check(&answer, &columns(names, &["id"], &["database", "user", "addr", "role", "pool_mode"], bools));
    let row: Vec<_> = answer.rows[1].iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(row.join("|"), "5|sales|bob|db1|5432|1|replica|2|3|4|6|13|12|345|session|t|f|t|7|8|9|10|f|f");
    assert_eq!((value(&answer, 0, "role"), value(&answer, 0, "pool_mode")), (Some("primary"), Some("transaction")));
}

#[test]
fn stats() {
    let counters = "xact_count xact_2pc_count query_count server_assignment_count received sent xact_time idle_xact_time query_time wait_time \
        server_parse_count bind_count close_count errors cleaned rollbacks connect_time connect_count reads writes auth_attempts rows_inserted \
        rows_updated rows_deleted";
    let all = |prefix: &str| counters.split_whitespace().map(|name| format!("{prefix}_{name} ")).collect::<String>();
    let names: &'static str = format!("database user addr port shard role {}{}", all("total"), all("avg")).leak();
    let from = Counts { xact_count: 10, xact_time: 1_000, ..Counts::default() };
    let to = Counts { xact_count: 40, xact_time: 46_000, ..Counts::default() };
    let now = Counts { xact_count: 41, xact_time: 46_001, rows_deleted: 3, ..Counts::default() };
    let row = StatsRow {
        pool_id: 2,
        database: "sales".into(),
        user: "bob".into(),
        addr: "db1".into(),
        port: 5432,
        shard: 0,
        role: Role::Auto,
        counts: now,
        period: Period { from, to, length_us: 15_000_000 },
    };
    let report = Report { stats: vec![row, StatsRow { pool_id: 1, ..StatsRow::default() }], ..Report::default() };
    let answer = ask(&report, "SHOW STATS");
    check(&answer, &columns(names, &[], &["database", "user", "addr", "role"], &[]));
    assert_eq!(answer.columns.len(), 6 + 48);
    assert_eq!((value(&answer, 1, "database"), value(&answer, 1, "role")), (Some("sales"), Some("auto")));
    assert_eq!((value(&answer, 1, "total_xact_count"), value(&answer, 1, "avg_xact_count")), (Some("41"), Some("2")));
    assert_eq!((value(&answer, 1, "total_xact_time"), value(&answer, 1, "avg_xact_time")), (Some("46.001"), Some("1.500")));
    assert_eq!((value(&answer, 1, "total_rows_deleted"), value(&answer, 1, "avg_rows_deleted")), (Some("3"), Some("0")));
    assert_eq!(value(&answer, 0, "avg_wait_time"), Some("0.000"));
}

#[test]
fn config_lists_and_version() {
    let report = Report {
        config: vec![("port".into(), "6432".into()), ("checkout_timeout".into(), "5s".into())],
        lists: Lists { databases: 1, users: 2, pools: 3, free_clients: 0, used_clients: 5, free_servers: 6, used_servers: 7, panics: 8 },
        version: "pg_dog 0.1.0".into(),
        ..Report::default()
    };
    let answer = ask(&report, "SHOW CONFIG");
    check(&answer, &columns("name value", &[], &["name", "value"], &[]));
    let rows: Vec<_> = answer.rows.iter().map(|row| (row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    assert_eq!(rows, [("port", "6432"), ("checkout_timeout", "5s")], "in the order of the configuration");
    let answer = ask(&report, "SHOW LISTS");
    check(&answer, &columns("databases users pools free_clients used_clients free_servers used_servers panics", &[], &[], &[]));
    assert_eq!(answer.rows, [["1", "2", "3", "0", "5", "6", "7", "8"].map(|value| Some(value.to_owned())).to_vec()]);
    let answer = ask(&report, "SHOW VERSION");
    check(&answer, &columns("version", &[], &["version"], &[]));
    assert_eq!(answer.rows, [[Some("pg_dog 0.1.0".to_owned())].to_vec()]);
}

#[test]
fn memory_is_shown_as_pgbouncer_shows_it_and_adds_up_over_cores() {
    let row = |name, used, bytes| MemoryRow { name, size: 8, used, free: 1, bytes };
    let mut report = Report { memory: vec![row("client", 2, 30), row("server", 1, 10)], ..Report::default() };
    report.absorb(Report { memory: vec![row("client", 3, 40), row("pool", 1, 5)], ..Report::default() });
    let answer = ask(&report, "SHOW MEM");
    check(&answer, &columns("name size used free memtotal", &["size", "used", "free", "memtotal"], &["name"], &[]));
    let expected = [["client", "8", "5", "2", "70"], ["server", "8", "1", "1", "10"], ["pool", "8", "1", "1", "5"]];
    assert_eq!(answer.rows, expected.map(|row| row.map(|value| Some(value.to_owned())).to_vec()));
}

#[test]
fn listeners_are_shown_with_pgdogs_columns() {
    let row = ListenerRow { database: "d".into(), user: "u".into(), channel: "news".into(), listeners: 2, received: 30, dropped: 4 };
    let answer = ask(&Report { listeners: vec![row], ..Report::default() }, "SHOW LISTENERS");
    check(&answer, &columns("database user shard channel listeners received dropped", &[], &["database", "user", "channel"], &[]));
    let values = ["database", "user", "shard", "channel", "listeners", "received", "dropped"].map(|name| value(&answer, 0, name).unwrap_or("NULL"));
    assert_eq!(values, ["d", "u", "0", "news", "2", "30", "4"]);
}

#[test]
fn prepared_statements_are_shown_with_pgdogs_columns() {
    let row = PreparedRow { name: "__pgdog_1".into(), statement: "SELECT 1".into(), used_by: 2, memory_used: 30 };
    let answer = ask(&Report { prepared: vec![row], ..Report::default() }, "SHOW PREPARED");
    check(&answer, &columns("name statement rewrite used_by memory_used", &[], &["name", "statement", "rewrite"], &[]));
    let values = ["name", "statement", "rewrite", "used_by", "memory_used"].map(|name| value(&answer, 0, name).unwrap_or("NULL"));
    assert_eq!(values, ["__pgdog_1", "SELECT 1", "NULL", "2", "30"]);
}

#[test]
fn every_show_of_an_empty_report_has_its_columns() {
    for def in shows() {
        let answer = ask(&Report::default(), &format!("SHOW {}", def.name));
        check(&answer, def.columns);
        let expected = match def.name {
            "lists" | "version" | "instance_id" => 1,
            "totals" => 14,
            "help" => answer.rows.len().max(30),
            _ => 0,
        };
        assert_eq!(answer.rows.len(), expected, "{}", def.name);
        for (place, column) in def.columns.iter().enumerate() {
            assert!(def.columns[..place].iter().all(|other| other.0 != column.0), "{} has {} twice", def.name, column.0);
        }
    }
}

#[test]
fn variables_have_one_row() {
    let report = Report { version: "pg_dog 0.1.0".into(), ..Report::default() };
    for (text, name, value) in
        [("SHOW server_version", "server_version", "pg_dog 0.1.0"), ("SHOW standard_conforming_strings", "standard_conforming_strings", "")]
    {
        let answer = ask(&report, text);
        assert_eq!(answer.columns, [(name.to_owned(), 25, -1)]);
        assert_eq!(answer.rows, [[Some(value.to_owned())].to_vec()]);
        assert_eq!(answer.types, b"TDCZ");
    }
}

#[test]
fn commands_that_act_are_answered_by_their_tag() {
    for (text, tag) in [("SET x TO 1", "SET"), ("RELOAD", "RELOAD"), ("PAUSE", "PAUSE"), ("RESUME a", "RESUME"), ("SHUTDOWN", "SHUTDOWN")] {
        let answer = ask(&Report::default(), text);
        assert_eq!((answer.types.as_slice(), answer.tag.as_deref()), (b"CZ".as_slice(), Some(tag)));
    }
    assert_eq!(ask(&Report::default(), " ;").types, b"IZ");
}

#[test]
fn refusals_are_errors_that_leave_the_connection_usable() {
    let refusal = parse(b"SELECT 1").unwrap_err();
    let mut out = b"kept".to_vec();
    error(&refusal, &mut out);
    let answer = decode(out.strip_prefix(b"kept").unwrap());
    assert_eq!(answer.types, b"EZ");
    let field = |wanted: u8| answer.error.iter().find(|field| field.0 == wanted).map(|field| field.1.as_str());
    assert_eq!((field(b'S'), field(b'C')), (Some("ERROR"), Some("08P01")));
    assert_eq!((field(b'M'), field(b'H')), (Some(refusal.to_string().as_str()), refusal.hint()));
    let mut out = Vec::new();
    failed("F0000", "pgdog.toml does not parse", &mut out);
    let answer = decode(&out);
    assert_eq!(answer.types, b"EZ");
    assert!(answer.error.contains(&(b'C', "F0000".to_owned())) && answer.error.contains(&(b'M', "pgdog.toml does not parse".to_owned())));
    assert!(!answer.error.iter().any(|field| field.0 == b'H'));
}

#[test]
fn an_answer_that_cannot_be_encoded_becomes_an_error_and_nothing_else() {
    let mut out = b"kept".to_vec();
    answer(&Report::default(), &Command::Show(Show::Variable("a\0b".to_owned()), None), &mut out);
    done("a\0b", &mut out);
    let answer = decode(out.strip_prefix(b"kept").unwrap());
    assert_eq!(answer.types, b"EZEZ");
    assert!(answer.error.contains(&(b'C', "XX000".to_owned())));
}

#[test]
fn moments_are_dates_over_leap_years_and_to_the_end_of_time() {
    for (ms, text) in [
        (0, "1970-01-01 00:00:00.000 UTC"),
        (951_868_799_999, "2000-02-29 23:59:59.999 UTC"),
        (951_868_800_000, "2000-03-01 00:00:00.000 UTC"),
        (1_735_689_599_999, "2024-12-31 23:59:59.999 UTC"),
        (1_735_689_600_000, "2025-01-01 00:00:00.000 UTC"),
        (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
    ] {
        assert_eq!(moment(ms), text);
    }
    assert!(moment(u64::MAX).ends_with(" UTC"));
}
