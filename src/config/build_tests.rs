//! Tests of whole configurations: defaults, precedence, the checks over several keys, and the ready examples.

use super::*;
use std::sync::Arc;
use std::time::Duration;

use crate::config::limits::Limits;
use crate::config::snapshot::{ClientSecrets, NEVER, PoolSpec, PoolerMode};

const EMPTY: Source<'_> = Source { name: "f", text: "" };
const ADMIN: &str = "[admin]\npassword = \"p\"\n";

fn no_env(_: &str) -> Option<String> {
    None
}

fn run(main: &str, users: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Problem>> {
    let (main, users) = (Source { name: "pgdog.toml", text: main }, Source { name: "users.toml", text: users });
    load(&Inputs { main: Some(main), users: Some(users), env, random: [7; 16], ..Inputs::default() })
}

/// Loads what must be fine.
fn loaded(main: &str, users: &str) -> Loaded {
    run(main, users, &no_env).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn refused(main: &str, users: &str) -> Vec<String> {
    run(main, users, &no_env).expect_err("refused").iter().map(ToString::to_string).collect()
}

fn database(more: &str) -> String {
    format!("[[databases]]\nname = \"db\"\nhost = \"h\"\n{more}\n")
}

fn user(more: &str) -> String {
    format!("{ADMIN}[[users]]\nname = \"u\"\ndatabase = \"db\"\n{more}\n")
}

#[test]
fn an_empty_configuration_has_pgdogs_defaults() {
    let Snapshot { number, general, cores, admin, tcp, pools, by_name, .. } =
        load(&Inputs { main: Some(EMPTY), users: Some(EMPTY), random: [0xab; 16], number: 41, ..Inputs::default() }).unwrap().snapshot;
    assert_eq!((number, pools.len(), by_name.len()), (41, 0, 0));
    assert_eq!(general, General::default());
    assert_eq!((cores.pin.len(), cores.control, cores.spin_us, cores.spread, cores.listeners, cores.fair_us), (0, None, 0, true, 0, 3_000));
    assert_eq!((admin.database.as_str(), admin.user.as_str(), admin.password.as_str()), ("admin", "admin", "ab".repeat(16).as_str()));
    assert!(tcp.keepalive && tcp.time.is_none() && tcp.interval.is_none() && tcp.retries.is_none());
    assert!(tcp.user_timeout.is_none() && tcp.congestion_control.is_none());
}

#[test]
fn missing_files_are_warnings() {
    let warnings = load(&Inputs::default()).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "the main file (pgdog.toml) is missing, so every setting has its default and there are no databases",
            "the users file (users.toml) is missing, so there are no users",
            "the admin database has no password, so nobody can log in to it; set `password` in [admin] or PGDOG_ADMIN_PASSWORD",
        ]
    );
}

#[test]
fn every_built_key_arrives() {
    let main = "[general]\nhost = \"::1\"\nport = 7000\nworkers = 3\nauth_type = \"md5\"\nconnect_timeout = 1\ncheckout_timeout = 2\n\
        client_login_timeout = 3\nrollback_timeout = 4\nshutdown_timeout = 9223372036854775807\nclient_connection_recovery = \"recover\"\n\
        connection_recovery = \"rollback_only\"\nconnect_attempts = 3\nconnect_attempt_delay = 5\nserver_connects = 6\n\
        healthcheck_interval = 7\nhealthcheck_timeout = 8\nserver_lifetime = 20\nserver_lifetime_jitter = 21\n\
        log_level = \"debug\"\nlog_format = \"json\"\n\
        log_connections = false\nlog_disconnections = false\n\
        [memory]\nlimit = 99\n[tcp]\nkeepalive = false\ntime = 1\ninterval = 2\nretries = 3\nuser_timeout = 4\ncongestion_control = \"bbr\"\n\
        [cores]\npin = [4, 5, 6]\ncontrol = 3\nspin_us = 50\nspread = false\nlisteners = 2\nfair_us = 10\n\
        [[databases]]\nname = \"db\"\nhost = \"h\"\nport = 5433\ndatabase_name = \"real\"\nserver_lifetime = 10\n";
    let users = user(
        "password = \"c\"\nidle_timeout = 9\n\
        server_user = \"su\"\nserver_password = \"sp\"\npool_size = 7\nmin_pool_size = 2\npooler_mode = \"session\"\n\
        statement_timeout = 31\nlock_timeout = 32\nread_only = true",
    );
    let Loaded { snapshot, warnings } = loaded(main, &users);
    assert_eq!(warnings, [""; 0]);
    let general = &snapshot.general;
    assert_eq!((general.host.as_str(), general.port, general.workers, general.auth_type), ("::1", 7000, 3, AuthType::Md5));
    let millis = [general.connect_timeout, general.checkout_timeout, general.client_login_timeout, general.rollback_timeout];
    assert_eq!(millis.map(|limit| limit.as_millis()), [1, 2, 3, 4]);
    assert_eq!((general.shutdown_timeout, general.client_connection_recovery), (NEVER, ClientRecovery::Recover));
    assert_eq!((general.connection_recovery, general.connect_attempts, general.server_connects), (Recovery::RollbackOnly, 3, 6));
    let millis = [general.connect_attempt_delay, general.healthcheck_interval, general.healthcheck_timeout];
    assert_eq!(millis.map(|limit| limit.as_millis()), [5, 7, 8]);
    assert_eq!(general.memory_limit, 99);
    assert_eq!((general.log_level.as_str(), general.log_format), ("debug", LogFormat::Json));
    assert!(!general.log_connections && !general.log_disconnections);
    let tcp = &snapshot.tcp;
    let times = [tcp.time, tcp.interval, tcp.user_timeout].map(|time| time.map(|time| time.as_millis()));
    assert_eq!((tcp.keepalive, times, tcp.retries), (false, [Some(1), Some(2), Some(4)], Some(3)));
    assert_eq!(tcp.congestion_control.as_deref(), Some("bbr"));
    let cores = &snapshot.cores;
    assert_eq!((cores.pin.as_slice(), cores.control, cores.spin_us), ([4, 5, 6].as_slice(), Some(3), 50));
    assert_eq!((cores.spread, cores.listeners, cores.fair_us), (false, 2, 10));
    let expected = PoolSpec {
        database: "db".to_owned(),
        user: "u".to_owned(),
        shard: 0,
        shards: 1,
        host: "h".to_owned(),
        port: 5433,
        server_database: "real".to_owned(),
        server_user: "su".to_owned(),
        server_passwords: ["sp".to_owned()].into(),
        client: Arc::new(ClientSecrets::password("c")),
        parameters: vec![
            ("statement_timeout", "31".to_owned()),
            ("lock_timeout", "32".to_owned()),
            ("default_transaction_read_only", "on".to_owned()),
        ],
        pool_size: 7,
        min_pool_size: 2,
        mode: PoolerMode::Session,
        idle_timeout: Duration::from_millis(9),
        server_lifetime: Duration::from_millis(10),
        server_lifetime_jitter: Duration::from_millis(21),
        warm: true,
        limits: Limits::default(),
        one_shard: false,
        replicates: false,
    };
    assert_eq!(snapshot.pools, std::slice::from_ref(&expected));
    assert_eq!(snapshot.pool("db", "u"), Some(&expected));
    assert_eq!(snapshot.pool("u", "db"), None);
}

#[test]
fn what_others_look_at_us_by() {
    let main = "[general]\nlog_format = \"json_flattened\"\nopenmetrics_host = \"::1\"\nopenmetrics_port = 9090\nopenmetrics_namespace = \"ns_\"\n\
        healthcheck_port = 8080\nstats_period = 1000\nshutdown_delay = 5\nquery_log = \"/q\"\nquery_log_stdout = true\n\
        log_query_sample_length = 70000\nlog_dedup_window = 6\nlog_dedup_threshold = 7\n";
    let Loaded { snapshot, warnings } = loaded(main, ADMIN);
    assert_eq!((warnings, snapshot.general.log_format), (Vec::<String>::new(), LogFormat::Flat));
    let expected = Watch {
        openmetrics_host: "::1".to_owned(),
        openmetrics_port: Some(9090),
        openmetrics_namespace: "ns_".to_owned(),
        healthcheck_port: Some(8080),
        stats_period: Duration::from_secs(1),
        shutdown_delay: Duration::from_millis(5),
        query_log: Some("/q".to_owned()),
        query_log_stdout: true,
        query_sample: SAMPLE_MAX,
        dedup_window: Duration::from_millis(6),
        dedup_threshold: 7,
    };
    assert_eq!((&snapshot.general.watch, expected.logs_queries()), (&expected, Some(SAMPLE_MAX)));
    let short = loaded("[general]\nstats_period = 0\n", ADMIN).snapshot.general.watch;
    assert_eq!((short.stats_period, short.logs_queries()), (PERIOD_MIN, None));
}

#[test]
fn zero_and_one_worker_are_one() {
    for (written, cores) in [(0, 1), (1, 1), (2, 2), (1024, 1024)] {
        assert_eq!(loaded(&format!("[general]\nworkers = {written}"), ADMIN).snapshot.general.workers, cores);
    }
}

#[test]
fn more_workers_than_cpus_are_refused_and_the_default_gives_way() {
    let run = |text, env: &dyn Fn(&str) -> Option<String>| {
        load(&Inputs { main: Some(Source { name: "m", text }), users: Some(EMPTY), env, cpus: 1, ..Inputs::default() })
    };
    let Loaded { snapshot, warnings } = run("", &no_env).unwrap();
    assert_eq!((snapshot.general.workers, warnings.len()), (1, 1));
    assert!(snapshot.shown.contains(&("workers".to_owned(), "1".to_owned())));
    let why = "[general]: `workers` = 2, but this process may use 1 CPUs only: data cores that share a CPU are slower than one; lower it, or allow \
        more CPUs (taskset, cpuset, systemd CPUAffinity=)";
    let problems = run("[general]\nworkers = 2\n", &no_env).unwrap_err();
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("m:2: {why}")]);
    let problems = run("", &|name| (name == "PGDOG_WORKERS").then(|| "2".to_owned())).unwrap_err();
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("environment variable PGDOG_WORKERS: {why}")]);
    assert_eq!(run("[general]\nworkers = 0\n", &no_env).unwrap().snapshot.general.workers, 1);
}

#[test]
fn the_user_beats_the_database_and_that_beats_general() {
    let general = "[general]\ndefault_pool_size = 30\nmin_pool_size = 3\npooler_mode = \"session\"\n";
    let in_database = "pool_size = 20\nmin_pool_size = 2\npooler_mode = \"transaction\"";
    let in_user = "pool_size = 15\nmin_pool_size = 1\npooler_mode = \"session\"";
    for (database_says, user_says, size, min, mode) in [
        ("", "", 30, 3, PoolerMode::Session),
        (in_database, "", 20, 2, PoolerMode::Transaction),
        ("", in_user, 15, 1, PoolerMode::Session),
        (in_database, in_user, 15, 1, PoolerMode::Session),
        ("max_pool_size = 9", "", 9, 3, PoolerMode::Session),
        ("max_pool_size = 9", "max_pool_size = 8", 8, 3, PoolerMode::Session),
    ] {
        let main = format!("{general}{}", database(database_says));
        let pools = loaded(&main, &user(&format!("password = \"p\"\n{user_says}"))).snapshot.pools;
        assert_eq!((pools[0].pool_size, pools[0].min_pool_size, pools[0].mode), (size, min, mode), "{database_says} {user_says}");
    }
}

#[test]
fn the_servers_login_goes_the_other_way_round() {
    let in_database = "user = \"du\"\npassword = \"dp\"";
    let in_user = "server_user = \"su\"\nserver_password = \"sp\"";
    for (database_says, user_says, server_user, server_password) in [
        ("", "password = \"p\"", "u", Some("p")),
        ("", &format!("password = \"p\"\n{in_user}") as &str, "su", Some("sp")),
        (in_database, &format!("password = \"p\"\n{in_user}"), "du", Some("dp")),
        (in_database, "password = \"p\"", "du", Some("dp")),
        ("", "", "u", None),
        ("", "password = \"p\"\nserver_password = \"\"", "u", Some("p")),
    ] {
        let pools = loaded(&database(database_says), &user(user_says)).snapshot.pools;
        assert_eq!(
            (pools[0].server_user.as_str(), pools[0].server_passwords.first().map(String::as_str)),
            (server_user, server_password),
            "{user_says}"
        );
        assert_eq!(pools[0].client.passwords.first().map(String::as_str), user_says.contains("password = \"p\"").then_some("p"));
    }
}

#[test]
fn a_variable_counts_when_the_file_leaves_its_key_out() {
    let env = |name: &str| {
        let value = match name {
            "PGDOG_PORT" => "7001",
            "PGDOG_POOLER_MODE" => "session",
            "PGDOG_AUTH_TYPE" => "trust",
            "PGDOG_CLIENT_LOG_TIMEOUT" => "1234",
            "PGDOG_LOG_CONNECTIONS" => "off",
            "RUST_LOG" => "warn",
            "PGDOG_DEFAULT_POOL_SIZE" => "44",
            _ => return None,
        };
        Some(value.to_owned())
    };
    for heading in ["", "[general]\nworkers = 1\n"] {
        let Loaded { snapshot, warnings } = run(&format!("{heading}{}", database("")), &user("password = \"p\""), &env).unwrap();
        assert_eq!(warnings, [""; 0]);
        assert_eq!((snapshot.general.port, snapshot.general.auth_type), (7001, AuthType::Trust));
        assert_eq!(snapshot.general.client_login_timeout.as_millis(), 1234);
        assert_eq!((snapshot.general.log_level.as_str(), snapshot.general.log_connections), ("warn", false));
        assert_eq!((snapshot.pools[0].mode, snapshot.pools[0].pool_size), (PoolerMode::Session, 44));
        assert!(snapshot.shown.contains(&("port".to_owned(), "7001".to_owned())));
    }
    // The file wins, under either name of a key.
    let main = format!("[general]\nport = 7002\nmax_pool_size = 5\npooler_mode = \"transaction\"\n{}", database(""));
    let snapshot = run(&main, &user("password = \"p\""), &env).unwrap().snapshot;
    assert_eq!((snapshot.general.port, snapshot.pools[0].pool_size, snapshot.pools[0].mode), (7002, 5, PoolerMode::Transaction));
}

#[test]
fn the_admin_of_the_users_file_wins_as_a_whole() {
    let env = |name: &str| (name == "PGDOG_ADMIN_PASSWORD").then(|| "from-env".to_owned());
    let here = "[admin]\nname = \"n1\"\nuser = \"u1\"\npassword = \"p1\"\n";
    for (main, users, database, user, password, warnings) in [
        (here, "", "n1", "u1", "p1", 0),
        ("", here, "n1", "u1", "p1", 0),
        (here, "[admin]\nname = \"n2\"\n", "n2", "admin", "from-env", 1),
        ("[admin]\nname = \"n2\"\n", here, "n1", "u1", "p1", 1),
        ("", "", "admin", "admin", "from-env", 0),
        ("[admin]\npassword = \"\"\n", "", "admin", "admin", "from-env", 1),
    ] {
        let Loaded { snapshot: Snapshot { admin, .. }, warnings: found } = run(main, users, &env).unwrap();
        assert_eq!((admin.database.as_str(), admin.user.as_str(), admin.password.as_str()), (database, user, password), "{main} {users}");
        assert_eq!(found.len(), warnings, "{found:?}");
    }
}

#[test]
fn an_admin_without_a_password_gets_a_random_one_that_is_told_to_nobody() {
    for users in ["", "[admin]\npassword = \"\"\n"] {
        let Loaded { snapshot, warnings } = run("", users, &|name| (name == "PGDOG_ADMIN_PASSWORD").then(String::new)).unwrap();
        assert_eq!(snapshot.admin.password, "07".repeat(16));
        assert!(warnings.iter().any(|text| text.contains("the admin database has no password")), "{warnings:?}");
        assert!(!format!("{snapshot:?} {warnings:?}").contains("0707"));
    }
}

#[test]
fn users_that_cannot_log_in_are_warned_about_and_get_no_pool() {
    let users = format!("{ADMIN}[[users]]\nname = \"a\"\npassword = \"p\"\n[[users]]\nname = \"b\"\ndatabase = \"no\"\npassword = \"p\"\n");
    let Loaded { snapshot, warnings } = loaded(&database(""), &users);
    assert!(snapshot.pools.is_empty());
    assert_eq!(
        warnings,
        [
            "users.toml:3: [[users]]: \"a\" has no `database`, so it cannot log in",
            "users.toml:6: [[users]]: \"b\" has the unknown database \"no\", so it cannot log in",
        ]
    );
}

#[test]
fn a_user_without_a_password_keeps_no_servers_open() {
    let Loaded { snapshot, warnings } = loaded(&database(""), &user("min_pool_size = 3"));
    let pool = &snapshot.pools[0];
    assert_eq!((pool.min_pool_size, pool.pool_size, pool.client.is_empty(), pool.server_passwords.len()), (0, 10, true, 0));
    assert_eq!(
        warnings,
        [
            "users.toml:3: [[users]]: \"u\" of \"db\" has no password, so it cannot log in",
            "users.toml:3: [[users]]: \"u\" of \"db\" has no password for the server, so its min_pool_size is 0 instead of 3",
        ]
    );
    // An empty password would let everybody in, so it is none.
    let Loaded { snapshot, warnings } = loaded(&database("password = \"dp\""), &user("password = \"\""));
    assert_eq!((snapshot.pools[0].min_pool_size, snapshot.pools[0].client.is_empty()), (1, true));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    // With trust nobody needs one.
    let main = format!("[general]\nauth_type = \"trust\"\nmin_pool_size = 0\n{}", database(""));
    assert_eq!(loaded(&main, &user("")).warnings, [""; 0]);
}

#[test]
fn a_minimum_above_the_size_is_cut() {
    let Loaded { snapshot, warnings } = loaded(&database(""), &user("password = \"p\"\npool_size = 2\nmin_pool_size = 5"));
    assert_eq!((snapshot.pools[0].pool_size, snapshot.pools[0].min_pool_size), (2, 2));
    assert_eq!(warnings, ["users.toml:3: [[users]]: \"u\" of \"db\" has a min_pool_size of 5, which is cut to its pool_size of 2"]);
}

#[test]
fn a_user_of_one_database_stands_once() {
    let users = format!("{}{}", user("password = \"p\""), "[[users]]\nname = \"u\"\ndatabase = \"db\"\npassword = \"q\"\n");
    assert_eq!(refused(&database(""), &users), ["users.toml:7: [[users]]: `name` \"u\" with `database` \"db\" stands on line 3 already; remove one"]);
    // The same name for another database, or another name for the same, is somebody else.
    let two = format!("{}[[databases]]\nname = \"db2\"\nhost = \"h\"\n", database(""));
    let more = "[[users]]\nname = \"u\"\ndatabase = \"db2\"\npassword = \"p\"\n[[users]]\nname = \"v\"\ndatabase = \"db\"\npassword = \"p\"\n";
    let snapshot = loaded(&two, &format!("{}{more}", user("password = \"p\""))).snapshot;
    let names: Vec<(&str, &str)> = snapshot.pools.iter().map(|pool| (pool.database.as_str(), pool.user.as_str())).collect();
    assert_eq!(names, [("db", "u"), ("db2", "u"), ("db", "v")]);
    for (index, pool) in snapshot.pools.iter().enumerate() {
        assert_eq!(snapshot.by_name[&(pool.database.clone(), pool.user.clone())], index);
    }
}

#[test]
fn a_second_server_of_a_database_is_refused_and_a_repeated_line_is_not() {
    let other = "[[databases]]\nname = \"db\"\nhost = \"h2\"\n";
    assert_eq!(
        refused(&format!("{}{other}", database("")), ADMIN),
        ["pgdog.toml:5: [[databases]]: `name` \"db\" with `shard` = 0 is used on line 1 already; give the shards of one database different \
          numbers. \
          A second server for the same shard is not built yet"]
    );
    let Loaded { snapshot, warnings } = loaded(&format!("{}{}", database(""), database("")), &user("password = \"p\""));
    assert_eq!(snapshot.pools.len(), 1);
    assert_eq!(warnings, ["pgdog.toml:5: [[databases]]: \"db\" is the same as on line 1"]);
}

#[test]
fn the_pools_of_shards_stand_side_by_side() {
    let server = |shard: usize, host: &str| format!("[[databases]]\nname = \"db\"\nhost = \"{host}\"\nshard = {shard}\n");
    let main = format!("{}{}{}", server(2, "c"), server(0, "a"), server(1, "b"));
    let snapshot = loaded(&main, &user("password = \"p\"")).snapshot;
    let pools: Vec<(u16, u16, &str)> = snapshot.pools.iter().map(|pool| (pool.shard, pool.shards, pool.host.as_str())).collect();
    assert_eq!(pools, [(0, 3, "a"), (1, 3, "b"), (2, 3, "c")]);
    assert_eq!(snapshot.by_name[&("db".to_owned(), "u".to_owned())], 0);
    assert_eq!(snapshot.pool_of_shard("db", "u", 1).map(|pool| pool.host.as_str()), Some("b"));
    assert_eq!(snapshot.pool_of_shard("db", "u", 3), None);
}

#[test]
fn a_replica_is_refused() {
    for line in ["role = \"replica\"", "role = \"auto\""] {
        let key = line.split(' ').next().unwrap_or_default();
        let problems = refused(&database(line), &user("password = \"p\""));
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("pgdog.toml:4: [[databases]]: `{key}` = ")), "{problems:?}");
    }
    assert_eq!(loaded(&database("shard = 0\nrole = \"primary\"\nread_only = false"), &user("password = \"p\"")).warnings, [""; 0]);
}

#[test]
fn odd_values_are_warned_about() {
    for (main, warning) in [
        ("[general]\n\ncheckout_timeout = 0\n", "pgdog.toml:3: [general]: `checkout_timeout` = 0 means at once, not never"),
        ("[general]\nworkers = 2\n[cores]\npin = [1]\n", "pgdog.toml:3: [cores]: `pin` names 1 CPUs for 2 data cores"),
        ("[cores]\npin = [1, 1]\n", "pgdog.toml:1: [cores]: `pin` names a CPU twice, so two data cores share it"),
        ("[cores]\nlisteners = 9\n", "pgdog.toml:1: [cores]: `listeners` = 9, but there are only 2 data cores"),
        (
            "[[databases]]\nname = \"admin\"\nhost = \"h\"\n",
            "pgdog.toml:1: [[databases]]: \"admin\" is the name of the admin database, which hides this one",
        ),
    ] {
        assert_eq!(loaded(main, ADMIN).warnings, [warning]);
    }
}

#[test]
fn problems_of_both_files_and_the_environment_come_together() {
    let env = |name: &str| (name == "PGDOG_PASSTHROUGH_AUTH").then(|| "enabled".to_owned());
    let main = format!("[general]\nprot = 1\nlock = 2\ntls_client_required = true\n{}", database("shard = 2"));
    let problems = run(&main, "[[users]]\nnme = \"u\"\n", &env).unwrap_err();
    let places: Vec<String> = problems.iter().map(|problem| problem.place.to_string()).collect();
    assert_eq!(
        places,
        [
            "pgdog.toml:2",
            "pgdog.toml:3",
            "pgdog.toml:4",
            "pgdog.toml:8",
            "users.toml:1",
            "users.toml:2",
            "environment variable PGDOG_PASSTHROUGH_AUTH"
        ]
    );
    // A file that cannot be parsed does not hide what is wrong with the other.
    let problems = run("[general\n", "[[users]]\nname = \"u\"\ndatabase = \"db\"\nidentity = \"x\"\n", &no_env).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn a_thousand_databases_with_five_users_each_load() {
    let main: String = (0..1_000).map(|n| format!("[[databases]]\nname = \"d{n}\"\nhost = \"h\"\n")).collect();
    let pairs = (0..1_000).flat_map(|n| (0..5).map(move |m| (n, m)));
    let users: String = pairs.map(|(n, m)| format!("[[users]]\nname = \"u{m}\"\ndatabase = \"d{n}\"\npassword = \"p\"\n")).collect();
    let Loaded { snapshot, warnings } = loaded(&main, &format!("{ADMIN}{users}"));
    assert_eq!((snapshot.pools.len(), snapshot.by_name.len(), warnings.len()), (5_000, 5_000, 0));
}

#[test]
fn the_ready_configurations_load_without_a_word() {
    macro_rules! example {
        ($name:literal) => {
            (
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/", $name, "/pgdog.toml")),
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/", $name, "/users.toml")),
            )
        };
    }
    for ((main, users), pools) in [(example!("minimal"), 1), (example!("pooler"), 3), (example!("session"), 3)] {
        let Loaded { snapshot, warnings } = loaded(main, users);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(snapshot.pools.len(), pools);
    }
}
