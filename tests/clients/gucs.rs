//! No parameter of one client reaches another one, by whatever means it was set, and each client keeps its own as PostgreSQL would keep it.
//!
//! Every row of pg_settings that a user or a superuser may set is set to another valid value, by every means there is, on a pool of one server;
//! then another client compares everything it can see of the session with a fresh connection, and the first one compares with a twin that has
//! PostgreSQL for itself.

use super::house::House;
use super::support::{Login, Postgres, Raw, Version};
use super::twins::{Others, Twins};

crate::on_both!(every_parameter_by_every_means, superusers_too, roles_are_parameters, odd_ways_of_setting, an_empty_application_name);

/// Ways of setting that the matrix has no column for: the value goes with its client, and is the one that PostgreSQL would have.
fn odd_ways_of_setting(version: Version) {
    let house = House::new(version, 2, "");
    let (mut holder, mut other) = (house.client(), house.client());
    for (text, name) in [
        ("SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE", "TimeZone"),
        ("SET TIME ZONE -7", "TimeZone"),
        ("SELECT pg_catalog.set_config('work_mem', NULL, false)", "work_mem"),
        ("/* before it */ SET /* in it */ work_mem TO '3MB' -- behind it", "work_mem"),
        ("-- a line\nSET DateStyle TO 'German'", "DateStyle"),
        ("SET search_path = fast_default", "search_path"),
        ("SET search_path TO my$default;", "search_path"),
        ("SET search_path TO über_default, größedefault", "search_path"),
        ("SET search_path TO\nDEFAULT ;", "search_path"),
        ("SET custom.name TO 'x'", "custom.name"),
        ("RESET custom.name", "custom.name"),
    ] {
        let (mut client, mut direct) = (house.client(), Raw::login(&house.postgres.login("app")));
        for client in [&mut client, &mut direct] {
            client.rows("SET work_mem TO '5MB'");
            client.rows("SET custom.name TO 'before'");
            client.rows(text);
        }
        let show = format!("SHOW {name}");
        let expected = direct.rows(&show);
        for round in 0..4 {
            // At either server.
            if round % 2 == 0 {
                holder.rows("BEGIN; SELECT 1");
            }
            assert_eq!(client.rows(&show), expected, "{text}");
            assert_eq!(other.rows("SHOW work_mem"), [["4MB"]], "after {text}");
            if round % 2 == 0 {
                holder.rows("COMMIT");
            }
        }
    }
}

fn an_empty_application_name(version: Version) {
    let house = House::new(version, 1, "");
    let mut named = Raw::try_login(&house.login("app"), &[("application_name", "named")]).expect("a login");
    let mut empty = Raw::try_login(&house.login("app"), &[("application_name", "")]).expect("a login");
    for _ in 0..3 {
        assert_eq!(named.rows("SHOW application_name"), [["named"]]);
        assert_eq!(empty.rows("SHOW application_name"), [[""]]);
    }
}

/// These end with their transaction.
const OF_TRANSACTIONS: [&str; 3] = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"];

/// Half of the parameters are about what is logged.
const QUIET: &str = "log_min_messages = fatal\n";

/// Texts: another valid value for each; None where there is none.
const STRINGS: [(&str, Option<&str>); 26] = [
    ("DateStyle", Some("German, YMD")),
    ("TimeZone", Some("Asia/Tokyo")),
    ("application_name", Some("it's \"A\" \\ one")),
    ("backtrace_functions", Some("errfinish")),
    ("client_encoding", Some("LATIN1")),
    ("createrole_self_grant", Some("set, inherit")),
    ("default_table_access_method", None),
    ("default_tablespace", Some("pg_default")),
    ("default_text_search_config", Some("pg_catalog.simple")),
    ("dynamic_library_path", Some("$libdir:/nowhere")),
    ("extension_control_path", Some("$system:/nowhere")),
    ("extension_destdir", Some("/nowhere")),
    ("lc_messages", Some("POSIX")),
    ("lc_monetary", Some("POSIX")),
    ("lc_numeric", Some("POSIX")),
    ("lc_time", Some("POSIX")),
    ("local_preload_libraries", Some("missing")),
    ("oauth_validator_libraries", None),
    ("output_plugin_libraries", Some("pgoutput")),
    ("restrict_nonsystem_relation_kind", Some("view")),
    ("search_path", Some("\"Odd \"\"one\"\"\", pg_catalog, \"it's\"")),
    ("session_preload_libraries", Some("missing")),
    ("synchronized_standby_slots", None),
    ("temp_tablespaces", Some("pg_default")),
    ("timezone_abbreviations", Some("India")),
    ("wal_consistency_checking", Some("heap")),
];

/// Names libraries that a session would load when it begins.
fn loads(name: &str) -> bool {
    name.ends_with("_preload_libraries")
}

/// A parameter.
#[derive(Clone, Debug)]
struct Guc {
    name: String,
    other: String,
}

/// Another value for a row of name, setting, vartype, min_val, max_val, enumvals; None if there is none.
fn other_value(row: &[String]) -> Option<String> {
    let [name, setting, vartype, min, max, enumvals] = row else { panic!("{row:?}") };
    let real = |text: &String| text.parse::<f64>().expect("a number");
    match vartype.as_str() {
        "bool" => Some(if setting == "on" { "off" } else { "on" }.to_string()),
        // The last ones say least.
        "enum" => enumvals.split('|').rfind(|value| value != setting).map(String::from),
        // Nobody must be thrown out.
        "integer" if name.contains("timeout") || name.starts_with("tcp_") || name.ends_with("_interval") => Some("600000".to_string()),
        "integer" => {
            let (now, min, max) = (real(setting), real(min), real(max));
            [now + 1.0, now - 1.0].into_iter().find(|value| (min..=max).contains(value)).map(|value| value.to_string())
        }
        "real" => {
            let (now, min, max) = (real(setting), real(min), real(max));
            let middle = (now + min) / 2.0;
            Some(if middle == now { min + 1f64.min((max - min) / 2.0) } else { middle }.to_string())
        }
        "string" => {
            let known = STRINGS.iter().find(|(known, _)| known == name);
            known.unwrap_or_else(|| panic!("{name} is new: what else can it be?")).1.map(String::from)
        }
        _ => panic!("{row:?}"),
    }
}

/// All parameters of some contexts, in groups. Those that exclude each other are never in one.
fn gucs(direct: &Login, contexts: &str, groups: usize) -> Vec<Vec<Guc>> {
    let sql = format!(
        "SELECT name, setting, vartype, coalesce(min_val, ''), coalesce(max_val, ''), coalesce(array_to_string(enumvals, '|'), '')
        FROM pg_settings WHERE context IN ({contexts}) ORDER BY name"
    );
    let mut all = vec![Vec::new(); groups];
    let mut count = 0;
    for row in Raw::login(direct).rows(&sql) {
        let Some(other) = other_value(&row).filter(|_| !OF_TRANSACTIONS.contains(&row[0].as_str())) else { continue };
        let group = match row[0].as_str() {
            // Not together with the three that tell the same in parts.
            "log_statement_stats" => 0,
            name if name.ends_with("er_stats") || name.ends_with("or_stats") => 1,
            _ => count % groups,
        };
        count += 1;
        all[group].push(Guc { name: row[0].clone(), other });
    }
    all[0].push(Guc { name: "my.param".into(), other: "mine".into() });
    all
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The value as SET takes it: lists are written as identifiers.
fn value(guc: &Guc) -> String {
    match guc.name.as_str() {
        "search_path" => guc.other.clone().replace("\"it's\"", "'it''s'"),
        name if name.contains("_spaces") || loads(name) || matches!(name, "DateStyle" | "temp_tablespaces" | "wal_consistency_checking") => {
            guc.other.split(", ").map(literal).collect::<Vec<_>>().join(", ")
        }
        _ => literal(&guc.other),
    }
}

fn sets(group: &[Guc], word: &str) -> Vec<String> {
    group.iter().map(|guc| format!("SET {word} {} = {}", guc.name, value(guc))).collect()
}

fn set_config(guc: &Guc) -> String {
    format!("set_config({}, {}, false)", literal(&guc.name), literal(&guc.other))
}

fn set_configs(group: &[Guc]) -> String {
    group.iter().map(set_config).collect::<Vec<_>>().join(", ")
}

fn performs(group: &[Guc]) -> String {
    group.iter().map(|guc| format!("PERFORM {};", set_config(guc))).collect()
}

fn within(begin: &str, middle: Vec<String>, end: &[&str]) -> Vec<String> {
    [vec![begin.to_string()], middle, end.iter().map(|text| text.to_string()).collect()].concat()
}

/// How parameters are set.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    Set,
    SetSession,
    Committed,
    RolledBack,
    Local,
    SetConfig,
    BiggerSelect,
    FromRows,
    ManyInOne,
    Startup,
    Options,
    Do,
    DoExecute,
    Function,
    SqlFunction,
    FunctionClause,
    FunctionRolledBack,
    Procedure,
    Savepoint,
    SavepointKept,
    FailedMiddle,
    AlterRole,
}

const MEANS: [Means; 22] = [
    Means::Set,
    Means::SetSession,
    Means::Committed,
    Means::RolledBack,
    Means::Local,
    Means::SetConfig,
    Means::BiggerSelect,
    Means::FromRows,
    Means::ManyInOne,
    Means::Startup,
    Means::Options,
    Means::Do,
    Means::DoExecute,
    Means::Function,
    Means::SqlFunction,
    Means::FunctionClause,
    Means::FunctionRolledBack,
    Means::Procedure,
    Means::Savepoint,
    Means::SavepointKept,
    Means::FailedMiddle,
    Means::AlterRole,
];

impl Means {
    /// What a client says, a query each. Functions and procedures are there already, one for each group.
    fn texts(self, group: &[Guc], number: usize) -> Vec<String> {
        let one = |text: String| vec![text];
        match self {
            Means::Set => sets(group, ""),
            Means::SetSession => sets(group, "SESSION"),
            Means::Committed => within("BEGIN", sets(group, ""), &["COMMIT"]),
            Means::RolledBack => within("BEGIN", sets(group, ""), &["ROLLBACK"]),
            Means::Local => within("BEGIN", sets(group, "LOCAL"), &["COMMIT"]),
            Means::SetConfig => group.iter().map(|guc| format!("SELECT {}", set_config(guc))).collect(),
            Means::BiggerSelect => one(format!("WITH w AS (SELECT 1 AS one) SELECT one, {} FROM w WHERE one = 1 /* bigger */", set_configs(group))),
            Means::FromRows => {
                let rows = group.iter().map(|guc| format!("({}, {})", literal(&guc.name), literal(&guc.other)));
                one(format!("SELECT set_config(n, v, false) FROM (VALUES {}) x(n, v)", rows.collect::<Vec<_>>().join(", ")))
            }
            Means::ManyInOne => one(sets(group, "").join("; ") + "; SELECT 1"),
            Means::Startup | Means::Options => one("SELECT 1".to_string()),
            Means::Do => one(format!("DO $do$ BEGIN {} END $do$", performs(group))),
            Means::DoExecute => {
                let texts = sets(group, "").into_iter().map(|text| format!("EXECUTE $x${text}$x$;")).collect::<String>();
                one(format!("DO $do$ BEGIN {texts} END $do$"))
            }
            Means::Function => one(format!("SELECT set_{number}()")),
            Means::SqlFunction => one(format!("SELECT count(*) FROM sql_{number}()")),
            Means::FunctionClause => one(format!("SELECT clause_{number}()")),
            Means::FunctionRolledBack => within("BEGIN", one(format!("SELECT set_{number}()")), &["ROLLBACK"]),
            Means::Procedure => one(format!("CALL call_{number}()")),
            Means::Savepoint => within("BEGIN; SAVEPOINT a", sets(group, ""), &["ROLLBACK TO a", "COMMIT"]),
            Means::SavepointKept => {
                within("BEGIN; SAVEPOINT a", sets(group, ""), &["RELEASE a", "SAVEPOINT b", "RESET ALL", "ROLLBACK TO b", "COMMIT"])
            }
            Means::FailedMiddle => {
                let survives: Vec<Guc> = group.iter().filter(|guc| guc.name != "exit_on_error").cloned().collect();
                one(sets(&survives, "").join("; ") + "; SELECT 1/0")
            }
            // For later sessions, not for this one.
            Means::AlterRole => {
                let sets = group.iter().map(|guc| format!("ALTER ROLE CURRENT_USER SET {} = {}", guc.name, value(guc)));
                sets.chain(["ALTER ROLE CURRENT_USER RESET ALL".to_string()]).collect()
            }
        }
    }

    /// Functions of users may do anything without a word in the text: what they set is never another client's, but their own client keeps it for
    /// the transaction only.
    fn is_seen(self) -> bool {
        !matches!(self, Means::Function | Means::SqlFunction | Means::Procedure)
    }

    /// What it asks for when it connects.
    fn asked(self, group: &[Guc]) -> Vec<(String, String)> {
        let at_start = group.iter().filter(|guc| !loads(&guc.name));
        match self {
            Means::Startup => at_start.map(|guc| (guc.name.clone(), guc.other.clone())).collect(),
            Means::Options => {
                let escaped = |text: &str| text.replace('\\', "\\\\").replace(' ', "\\ ");
                let words = at_start.enumerate().map(|(i, guc)| {
                    let dashes = if i % 2 == 0 { "-c " } else { "--" };
                    format!("{dashes}{}={}", guc.name.replace('_', if i % 2 == 0 { "_" } else { "-" }), escaped(&guc.other))
                });
                vec![("options".to_string(), words.collect::<Vec<_>>().join(" "))]
            }
            _ => Vec::new(),
        }
    }
}

/// What a client says to have its own back.
fn undone(group: &[Guc], way: usize) -> Vec<String> {
    match way % 5 {
        0 => group.iter().map(|guc| format!("RESET {}", guc.name)).collect(),
        1 => vec!["RESET ALL".to_string()],
        2 => group.iter().map(|guc| format!("SET {} TO DEFAULT", guc.name)).collect(),
        3 => vec!["DISCARD ALL".to_string()],
        _ => vec!["BEGIN".to_string(), "RESET ALL".to_string(), "COMMIT".to_string()],
    }
}

/// What the means call, made by whoever may.
fn make_functions(postgres: &Postgres, groups: &[Vec<Guc>]) {
    for (number, group) in groups.iter().enumerate() {
        let clauses = group.iter().map(|guc| format!(" SET {} = {}", guc.name, value(guc))).collect::<String>();
        for sql in [
            format!("CREATE FUNCTION set_{number}() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN {} RETURN 1; END $f$", performs(group)),
            format!("CREATE FUNCTION sql_{number}() RETURNS SETOF text LANGUAGE sql AS $f$ SELECT unnest(ARRAY[{}]) $f$", set_configs(group)),
            format!("CREATE FUNCTION clause_{number}() RETURNS int LANGUAGE plpgsql{clauses} AS $f$ BEGIN RETURN 1; END $f$"),
            format!("CREATE PROCEDURE call_{number}() LANGUAGE plpgsql AS $f$ BEGIN {} END $f$", performs(group)),
        ] {
            postgres.psql(&["-q", "-c", &sql]).expect_success();
        }
    }
}

/// One group by one means: set, looked at, kept, undone, looked at; or its client goes.
fn one_turn(means: Means, group: &[Guc], number: usize, turn: usize, at: (&Login, &Login), others: &mut Others) {
    let asked = means.asked(group);
    let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut twins = Twins::new(at.0, at.1, &asked);
    for text in means.texts(group, number) {
        // A transaction shows its own.
        if twins.is_inside() && matches!(text.as_str(), "COMMIT" | "ROLLBACK TO a") {
            twins.same();
        }
        twins.say(&text);
    }
    if turn.is_multiple_of(3) {
        let story = twins.story();
        drop(twins);
        return others.look(&|| format!("{story}\n and its end"));
    }
    others.look(&|| twins.story());
    if means.is_seen() {
        twins.same();
        others.look(&|| twins.story());
    }
    for text in undone(group, turn) {
        twins.say(&text);
    }
    twins.same();
    others.look(&|| twins.story());
    twins.same();
}

fn matrix(house: &House, user: &str, password: &str, groups: &[Vec<Guc>]) {
    let direct = Login::new(house.postgres.port, user, password, "app");
    let through = house.dog.instead_of(&direct);
    let mut others = Others::new(&through, &direct);
    for (m, means) in MEANS.into_iter().enumerate() {
        for (g, group) in groups.iter().enumerate() {
            one_turn(means, group, g, m + g, (&through, &direct), &mut others);
        }
    }
    house.watch().wait_until_settled();
}

fn every_parameter_by_every_means(version: Version) {
    let house = House::around(Postgres::start_with(version, QUIET), 1, "checkout_timeout = 5000", &[("app", "")]);
    let groups = gucs(&house.postgres.login("app"), "'user'", 6);
    assert!(groups.iter().map(Vec::len).sum::<usize>() > 120, "{groups:?}");
    make_functions(&house.postgres, &groups);
    matrix(&house, "app", "app-secret", &groups);
}

fn superusers_too(version: Version) {
    let postgres = Postgres::start_with(version, QUIET);
    postgres.psql(&["-c", "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss-secret'"]).expect_success();
    let house = House::around(postgres, 1, "checkout_timeout = 5000", &[("boss", "password = \"boss-secret\"")]);
    let groups = gucs(&house.postgres.login("postgres"), "'superuser'", 3);
    assert!(groups.iter().map(Vec::len).sum::<usize>() > 35, "{groups:?}");
    make_functions(&house.postgres, &groups);
    matrix(&house, "boss", "boss-secret", &groups);
}

/// Steps of `app`, who is a member of `other`; each list is said by a new client.
const ROLES: &[&[&str]] = &[
    &["SET ROLE other", "RESET ROLE", "SET SESSION ROLE other", "SET ROLE NONE"],
    &["SET ROLE 'other'", "RESET ALL", "DISCARD ALL"],
    &["SELECT set_config('role', 'other', false)", "SET role = 'none'"],
    &["BEGIN; SET ROLE other; COMMIT", "BEGIN; RESET ROLE; ROLLBACK", "SET ROLE app"],
    &["BEGIN; SET ROLE other; ROLLBACK", "BEGIN; SET LOCAL ROLE other; COMMIT"],
    &["BEGIN; SAVEPOINT a; SET ROLE other; ROLLBACK TO a; COMMIT", "SET ROLE postgres", "SET ROLE nobody"],
    &["DO $$ BEGIN SET ROLE other; END $$", "SET ROLE other"],
    &["DO $$ BEGIN PERFORM set_config('role', 'other', false); END $$"],
    &["BEGIN; SELECT become('other'); ROLLBACK", "BEGIN; SELECT become('none'); ROLLBACK"],
    &["SET SESSION AUTHORIZATION app", "SET SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION other"],
];

/// The same for a superuser.
const AUTHORIZATIONS: &[&[&str]] = &[
    &["SET SESSION AUTHORIZATION app", "SET ROLE other", "RESET ROLE", "RESET SESSION AUTHORIZATION"],
    &["SET SESSION AUTHORIZATION 'app'", "SET work_mem = '5MB'", "RESET ALL", "DISCARD ALL"],
    &["BEGIN; SET SESSION AUTHORIZATION app; COMMIT", "SET SESSION AUTHORIZATION DEFAULT"],
    &["BEGIN; SET LOCAL SESSION AUTHORIZATION app; COMMIT", "BEGIN; SET SESSION AUTHORIZATION app; ROLLBACK"],
    &["SELECT set_config('session_authorization', 'app', false)", "SET SESSION AUTHORIZATION postgres"],
    &["SET ROLE app", "SET log_statement = 'all'", "SET SESSION AUTHORIZATION other", "SET ROLE app", "DISCARD ALL"],
    &["SET log_statement = 'all'", "SET SESSION AUTHORIZATION app", "SET log_statement = 'ddl'", "RESET log_statement", "SELECT 1"],
    &["DO $$ BEGIN SET SESSION AUTHORIZATION app; END $$", "RESET SESSION AUTHORIZATION"],
    &["SET SESSION AUTHORIZATION app", "SELECT 1; RESET SESSION AUTHORIZATION", "SET ROLE NONE", "SET SESSION AUTHORIZATION DEFAULT"],
    &["SET SESSION AUTHORIZATION app", "BEGIN; SET SESSION AUTHORIZATION DEFAULT; COMMIT", "RESET SESSION AUTHORIZATION; SET ROLE app"],
    &["SET SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION other", "SELECT set_config('role', 'none', false)"],
];

fn roles_are_parameters(version: Version) {
    let postgres = Postgres::start(version);
    let become_ = "CREATE FUNCTION become(text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN set_config('role', $1, false); END $f$";
    let boss = "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss-secret'";
    postgres.psql(&["-c", "GRANT other TO app", "-c", become_, "-c", boss]).expect_success();
    let house = House::around(postgres, 1, "checkout_timeout = 5000", &[("app", ""), ("boss", "password = \"boss-secret\"")]);
    for (user, password, scripts) in [("app", "app-secret", ROLES), ("boss", "boss-secret", AUTHORIZATIONS)] {
        let direct = Login::new(house.postgres.port, user, password, "app");
        let through = house.dog.instead_of(&direct);
        let mut others = Others::new(&through, &direct);
        for (asks, stays) in [(false, true), (false, false), (true, true)] {
            for script in scripts {
                let asked: &[(&str, &str)] = if asks { &[("options", "-c role=other")] } else { &[] };
                let mut twins = Twins::new(&through, &direct, asked);
                for text in *script {
                    twins.say(text);
                    others.look(&|| twins.story());
                    twins.same();
                    if !stays {
                        break;
                    }
                }
                let story = twins.story();
                drop(twins);
                others.look(&|| format!("{story}\n and its end"));
            }
        }
    }
    house.watch().wait_until_settled();
}
