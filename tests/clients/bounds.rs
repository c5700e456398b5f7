//! How many there may be, and how long: clients, connections, pools by the thousand, idle clients by the ten thousand; Unix sockets on both sides.

use super::house::{House, Watch, error, general_of, memory, one};
use super::on_both;
use super::support::place::Folder;
use super::support::{Dog, Login, Postgres, Raw, SOON, Version, config, pace, poll, psql, users, wait_until};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

on_both!(limits_of_time, unix_sockets_on_both_sides);

fn refusal(login: &Login) -> (String, String) {
    let refused = Raw::try_login(login, &[]).err().expect("there is no room");
    (refused.sqlstate(), refused.fields()[&'M'].clone())
}

/// Clients beyond a bound are told which; the operator gets in; who leaves makes room; a reload moves the bound.
#[test]
fn clients_have_bounds() {
    let postgres = Postgres::start(Version::Debian);
    let names = [("app", "max_user_client_connections = 2"), ("other", "")];
    let text = |rest: &str| config(&postgres, &general_of(2, "max_client_conn = 4"), rest);
    let dog = Dog::start(&text("max_db_client_connections = 3"), &users(&postgres, &names));
    let house = House { dog, postgres };
    let mut inside = vec![house.client(), house.client()];
    let (code, text_of) = refusal(&house.login("app"));
    assert!(code == "53300" && text_of.contains("max_user_client_connections"), "{code} {text_of}");
    inside.push(Raw::login(&house.login("other")));
    let (code, text_of) = refusal(&house.login("other"));
    assert!(code == "53300" && text_of.contains("max_db_client_connections"), "{code} {text_of}");
    drop(inside.pop());
    wait_until("there is room again", SOON, || Raw::try_login(&house.login("other"), &[]).is_ok());
    house.dog.write_config(&config(&house.postgres, &general_of(2, "max_client_conn = 2"), ""));
    let mut operator = Raw::login(&house.dog.admin_login());
    operator.query("RELOAD");
    wait_until("the bound of all holds", SOON, || Raw::try_login(&house.login("other"), &[]).is_err_and(|why| why.sqlstate() == "53300"));
    assert_eq!(one(&mut inside[0], "SELECT 'still here'"), "still here");
    house.dog.write_config(&config(&house.postgres, &general_of(2, ""), ""));
    operator.query("RELOAD");
    wait_until("there is no bound", SOON, || Raw::try_login(&house.login("other"), &[]).is_ok());
}

/// Three users share the connections of one database: who needs one gets it from who does not, and nobody is served at the cost of another for long.
#[test]
fn connections_of_a_database_are_shared() {
    let postgres = Postgres::start(Version::Debian);
    let third = format!("password = \"three\"\nserver_user = \"app\"\nserver_password = \"{}\"", postgres.login("app").password);
    let dog = Dog::start(
        &config(&postgres, &general_of(3, "idle_timeout = 600000\ncheckout_timeout = 20000"), "max_db_connections = 3"),
        &users(&postgres, &[("app", ""), ("other", ""), ("third", &third)]),
    );
    let house = House { dog, postgres };
    let mut watch = house.watch();
    // All three connections rest with one user; another needs one.
    let mut hoarders: Vec<Raw> = (0..3).map(|_| house.client()).collect();
    hoarders.iter_mut().for_each(|client| drop(client.query("BEGIN; SELECT 1")));
    hoarders.iter_mut().for_each(|client| drop(client.query("COMMIT")));
    watch.wait_for_sessions(3, "usename = 'app'");
    let mut other = Raw::login(&house.login("other"));
    assert_eq!(one(&mut other, "SELECT 'in'"), "in");
    assert!(watch.sessions("true") <= 3);
    // Everybody wants everything all the time, from the moment when all are in: at first the connections have to find their users. What is
    // counted is work, not time, of which a busy machine gives more to one than to another.
    const BEGIN: usize = 600;
    const END: usize = 3000;
    let done = AtomicUsize::new(0);
    let logins = [house.login("app"), house.login("other"), house.dog.login("third", "three")];
    let clients: Vec<Raw> = logins.iter().flat_map(|login| std::iter::repeat_n(login, 6)).map(Raw::login).collect();
    let served: Vec<u32> = std::thread::scope(|scope| {
        let workers: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let done = &done;
                scope.spawn(move || {
                    client.set_deadline(Duration::from_secs(30));
                    let mut served = 0;
                    while done.load(Ordering::Relaxed) < END {
                        client.rows("SELECT pg_sleep(0.002)");
                        served += u32::from((BEGIN..END).contains(&done.fetch_add(1, Ordering::Relaxed)));
                    }
                    served
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            assert!(watch.sessions("true") <= 3);
        }
        let all: Vec<u32> = workers.into_iter().map(|worker| worker.join().expect("every client is served")).collect();
        all.chunks(6).map(|chunk| chunk.iter().sum()).collect()
    });
    let (sum, squares): (f64, f64) = served.iter().fold((0.0, 0.0), |(sum, squares), n| (sum + f64::from(*n), squares + f64::from(*n).powi(2)));
    let fairness = sum * sum / (served.len() as f64 * squares);
    println!("transactions of three users: {served:?}; Jain's index {fairness:.3}");
    // 1.000 on a machine that does nothing else.
    assert!(fairness > 0.9, "{served:?}");
}

/// Two pools want more connections as a minimum than their database may have: they do not take them from each other again and again.
#[test]
fn minimums_above_a_bound_come_to_rest() {
    let postgres = Postgres::start(Version::Debian);
    let general = general_of(4, "").replace("min_pool_size = 0", "min_pool_size = 2");
    let dog = Dog::start(&config(&postgres, &general, "max_db_connections = 3"), &users(&postgres, &[("app", ""), ("other", "")]));
    let house = House { dog, postgres };
    let mut watch = house.watch();
    watch.wait_for_sessions(3, "true");
    let pids = |watch: &mut Watch| {
        let sql = "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE usename IN ('app', 'other')";
        one(&mut watch.direct, sql)
    };
    let before = pids(&mut watch);
    assert!(!poll(Duration::from_millis(2_500), || pids(&mut watch) != before), "something was closed and opened again");
    for user in ["app", "other"] {
        let mut clients: Vec<Raw> = (0..2).map(|_| Raw::login(&house.login(user))).collect();
        clients.iter_mut().for_each(|client| assert_eq!(one(client, "SELECT 'served'"), "served"));
    }
}

fn limits_of_time(version: Version) {
    let names =
        [("app", "client_idle_in_transaction_timeout = 300\nquery_timeout = 700"), ("other", "client_idle_timeout = 400\ntransaction_timeout = 800")];
    let house = House::with_users(version, 2, "", &names);
    house.warm_up();
    let mut watch = house.watch();
    let fatal = |client: &mut Raw| {
        let said = error(&client.read_until_closed());
        (said[&'S'].clone(), said[&'C'].clone())
    };
    let mut client = house.client();
    client.rows("BEGIN; SELECT 1");
    let pid = one(&mut client, "SELECT pg_backend_pid()");
    assert_eq!(fatal(&mut client), ("FATAL".into(), "25P03".into()));
    watch.wait_for_sessions(1, &format!("pid = {pid} AND state = 'idle' AND query = 'ROLLBACK'"));
    let mut client = house.client();
    client.send(&super::support::raw::query("SELECT pg_sleep(60)"));
    assert_eq!(fatal(&mut client), ("FATAL".into(), "57014".into()));
    watch.wait_for_sessions(0, "query LIKE '%pg_sleep(60)%' AND state = 'active'");
    wait_until("it is counted", SOON, || watch.pools("force_closed") == 1);
    let mut client = Raw::login(&house.login("other"));
    assert_eq!(fatal(&mut client), ("FATAL".into(), "57P05".into()));
    let mut client = Raw::login(&house.login("other"));
    client.rows("BEGIN; SELECT 1");
    client.send(&super::support::raw::query("SELECT pg_sleep(60)"));
    assert_eq!(fatal(&mut client), ("FATAL".into(), "25P04".into()));
    // A result that takes longer than any limit, but moves: it is no query without an answer.
    let mut client = house.client();
    let slow = "SELECT i, pg_sleep(0.01), repeat('x', 2000) FROM generate_series(1, 120) i";
    assert_eq!(client.rows(slow).len(), 120);
    watch.wait_until_settled();
}

fn unix_sockets_on_both_sides(version: Version) {
    let postgres = Postgres::start(version);
    let folder = Folder::new("unix", false);
    let general = general_of(2, &format!("unix_socket_dir = \"{}\"\nunix_socket_mode = \"0666\"", folder.0.display()));
    let by_socket = format!("[[databases]]\nname = \"app\"\nhost = \"{}\"", postgres.socket_folder().display());
    let text = config(&postgres, &general, "").replace("[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"", &by_socket);
    let dog = Dog::start(&text, &users(&postgres, &[("app", "")]));
    let login = dog.instead_of(&postgres.login("app"));
    let by_file = Login { host: folder.0.display().to_string(), ..login.clone() };
    let psql = |sql: &str| {
        let said = psql(&by_file, &["-X", "-A", "-t", "-c", sql]);
        assert!(said.success(), "{said:?}");
        said.stdout.trim().to_string()
    };
    assert_eq!(psql("SELECT inet_client_addr() IS NULL, 1"), "t|1");
    assert_eq!(psql("SELECT length(repeat('x', 3000000))"), "3000000");
    assert_eq!(psql("SELECT count(*) FROM (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) all_rows"), "20000");
    // By TCP to the same servers, and the operator sees who came how.
    assert_eq!(one(&mut Raw::login(&login), "SELECT inet_client_addr() IS NULL"), "t");
    let mut admin = Raw::login(&dog.admin_login());
    let mut watch = Watch { admin, direct: Raw::login(&postgres.login("postgres")) };
    watch.wait_until_settled();
    admin = watch.admin;
    admin.query("SHUTDOWN");
    let path = folder.0.join(format!(".s.PGSQL.{}", login.port));
    wait_until("the socket's file is gone", SOON, || !path.exists());
}

/// A thousand databases with five users each: they start at once, take little, and are there when somebody comes; then they are gone again.
#[test]
fn a_thousand_databases() {
    let postgres = Postgres::start(Version::Debian);
    let mut text = config(&postgres, "default_pool_size = 3\nidle_timeout = 300\nlog_connections = false", "");
    let mut people = users(&postgres, &[("app", "")]);
    let login = postgres.login("app");
    for database in 0..1_000 {
        let _ = write!(text, "[[databases]]\nname = \"db{database}\"\nhost = \"127.0.0.1\"\nport = {}\ndatabase_name = \"app\"\n", postgres.port);
        for user in 0..5 {
            let _ = write!(people, "[[users]]\nname = \"u{user}\"\ndatabase = \"db{database}\"\npassword = \"p\"\n");
            let _ = write!(people, "server_user = \"app\"\nserver_password = \"{}\"\n", login.password);
        }
    }
    let begun = Instant::now();
    let dog = Dog::start(&text, &people);
    let (took, used) = (begun.elapsed(), memory(dog.pid(), "VmHWM:"));
    println!("5,001 pools: up after {took:?} with {} KiB", used / 1024);
    assert!(took < Duration::from_secs(5) && used < 64 << 20, "{took:?}, {used} bytes");
    let house = House { dog, postgres };
    let mut watch = house.watch();
    assert_eq!(watch.sessions("true"), 0, "nobody has come, so nothing is open");
    let mut clients: Vec<Raw> =
        (0..40).map(|n| Raw::login(&Login::new(house.dog.port, &format!("u{}", n % 5), "p", &format!("db{}", n * 25)))).collect();
    clients.iter_mut().for_each(|client| assert_eq!(one(client, "SELECT 1"), "1"));
    assert_eq!(watch.sessions("true"), 40, "one for each pool that is used");
    assert!(!poll(Duration::from_secs(1), || watch.sessions("true") != 40), "a minimum of one is kept while there are clients");
    drop(clients);
    watch.wait_for_sessions(0, "true");
    let mut again = Raw::login(&Login::new(house.dog.port, "u3", "p", "db75"));
    assert_eq!(one(&mut again, "SELECT 2"), "2");
}

/// As many descriptors as this process may have; returns how many that are.
fn raise_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("the kernel tells it");
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(|line| line.split_whitespace().nth(1));
    let hard = hard.expect("a hard limit").to_string();
    let raised = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &format!("--nofile={hard}:{hard}")]).status();
    assert!(raised.is_ok_and(|status| status.success()), "the soft limit may be raised to the hard one");
    hard.parse().unwrap_or(usize::MAX)
}

/// Idle clients by the ten thousand: a KiB each at most, and no work.
#[test]
fn ten_thousand_idle_clients() {
    let files = raise_files();
    let count = 10_000.min(files.saturating_sub(600));
    let postgres = Postgres::start(Version::Debian);
    let general = general_of(4, "auth_type = \"trust\"\nlog_connections = false\nlog_disconnections = false");
    let house = House { dog: Dog::start(&config(&postgres, &general, ""), &users(&postgres, &[("app", "")])), postgres };
    let login = house.login("app");
    // Buffers that all have in common are there once they have been used.
    for _ in 0..40 {
        let mut client = Raw::login(&login);
        (0..50).for_each(|_| drop(client.query("SELECT 1")));
    }
    let pid = house.dog.pid();
    let before = memory(pid, "VmRSS:");
    let mut clients: Vec<Raw> = (0..count).map(|_| Raw::login(&login)).collect();
    let each = memory(pid, "VmRSS:").saturating_sub(before) / count;
    let (cpu, begun) = (super::gauge::usage_of(pid).cpu, Instant::now());
    pace(Duration::from_secs(2));
    let used = super::gauge::usage_of(pid).cpu - cpu;
    println!("{count} idle clients: {each} bytes each, {used:?} of processor time in {:?}", begun.elapsed());
    assert!(each <= 1024, "{each} bytes for each client");
    assert!(used <= Duration::from_millis(20), "{used:?} of processor time for nothing");
    for client in clients.iter_mut().step_by(997) {
        assert_eq!(one(client, "SELECT 'awake'"), "awake");
    }
}
