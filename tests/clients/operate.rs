//! What an operator does to a running pg_dog, with real servers and clients: who goes, who stays, who waits, and what the console says meanwhile.

use super::house::{House, Watch, error, one, table, tags};
use super::support::raw::{self, Message};
use super::support::{Dog, Login, Postgres, Raw, SOON, Version, admin, config, poll, psql, users, wait_until};
use std::time::Duration;

/// Nothing comes for a while.
fn waits(client: &mut Raw) -> bool {
    client.set_deadline(Duration::from_millis(200));
    let read = client.try_read().err().map(|error| error.kind());
    client.set_deadline(SOON);
    read == Some(std::io::ErrorKind::WouldBlock)
}

/// pg_dog with a second database, `second`, on the same server.
fn two_databases(general: &str) -> House {
    let postgres = Postgres::start(Version::Newest);
    let second = format!("[[databases]]\nname = \"second\"\nhost = \"127.0.0.1\"\nport = {}\ndatabase_name = \"app\"\n", postgres.port);
    let of_both =
        format!("{}{}", users(&postgres, &[("app", "")]), users(&postgres, &[("app", "")]).replace("\"app\"\npassword", "\"second\"\npassword"));
    let general = format!("default_pool_size = 2\nmin_pool_size = 0\n{general}");
    let dog = Dog::start(&config(&postgres, &general, &second), &of_both);
    House { dog, postgres }
}

fn in_second(house: &House) -> Raw {
    Raw::login(&Login { database: "second".into(), ..house.login("app") })
}

fn console(house: &House) -> Raw {
    Raw::login(&house.dog.admin_login())
}

fn said(answer: &[Message]) -> String {
    tags(answer)
}

fn state_of(watch: &mut Watch, key: &str) -> String {
    let rows = watch.show("STATE");
    rows.into_iter().find(|row| row["key"] == key).map(|row| row["value"].clone()).unwrap_or_default()
}

#[test]
fn reconnect_replaces_servers_and_keeps_clients() {
    let house = House::new(Version::Debian, 3, "");
    let mut watch = house.watch();
    let (mut open, mut idle) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    let (busy, rested) = (one(&mut open, "SELECT pg_backend_pid()"), one(&mut idle, "SELECT pg_backend_pid()"));
    let mut console = console(&house);
    assert_eq!(said(&console.query("RECONNECT app")), "CZ");
    watch.wait_for_sessions(0, &format!("pid = {rested}"));
    console.send(&raw::query("WAIT_CLOSE"));
    assert!(waits(&mut console), "a server of before is in a transaction");
    assert_eq!(one(&mut open, "SELECT pg_backend_pid()"), busy);
    let sockets = watch.show("SOCKETS");
    assert!(sockets.iter().any(|row| row["remote_pid"] == busy && row["close_needed"] == "1" && row["type"] == "S"), "{sockets:?}");
    open.rows("COMMIT");
    assert_eq!(said(&console.read_until_ready()), "CZ");
    watch.wait_for_sessions(0, &format!("pid = {busy}"));
    for client in [&mut open, &mut idle] {
        let now = one(client, "SELECT pg_backend_pid()");
        assert!(now != busy && now != rested);
    }
    watch.wait_until_settled();
}

#[test]
fn maintenance_holds_one_database_for_as_long_as_it_takes() {
    let house = two_databases("checkout_timeout = 300");
    let (mut open, mut held, mut other) = (house.client(), house.client(), in_second(&house));
    let mut watch = house.watch();
    assert_eq!((one(&mut held, "SELECT 1"), one(&mut other, "SELECT 1")), ("1".to_string(), "1".to_string()));
    open.rows("BEGIN; SELECT 1");
    admin(&house.dog, "maintenance on app");
    assert_eq!(state_of(&mut watch, "maintenance"), "some");
    held.send(&raw::query("SELECT 'held'"));
    // Much longer than checkout_timeout; the others go on meanwhile.
    let until = std::time::Instant::now() + Duration::from_millis(1500);
    let mut asked = 0;
    poll(SOON, || {
        asked += 1;
        assert_eq!((one(&mut open, "SELECT 2"), one(&mut other, "SELECT 3")), ("2".to_string(), "3".to_string()));
        std::time::Instant::now() > until
    });
    assert!(asked > 10 && waits(&mut held));
    open.rows("COMMIT");
    open.send(&raw::query("SELECT 'as well'"));
    assert!(waits(&mut open));
    // New ones get in, and wait.
    let mut late = house.client();
    late.send(&raw::query("SELECT 'late'"));
    assert!(waits(&mut late));
    admin(&house.dog, "MAINTENANCE OFF");
    for (client, text) in [(&mut held, "held"), (&mut open, "as well"), (&mut late, "late")] {
        assert_eq!(client.read_until_ready()[1].text(), text);
    }
    assert_eq!((state_of(&mut watch, "maintenance"), state_of(&mut watch, "active")), ("no".into(), "yes".into()));
    watch.wait_until_settled();
}

#[test]
fn a_pause_ends_with_the_admin_who_waits_for_it() {
    let house = House::new(Version::Newest, 2, "checkout_timeout = 20000");
    let mut watch = house.watch();
    let (mut open, mut client) = (house.client(), house.client());
    let mut paused =
        |yes: &str| wait_until("paused or not", SOON, || watch.show("DATABASES").iter().any(|row| row["name"] == "app" && row["paused"] == yes));
    open.rows("BEGIN; SELECT 1");
    // He goes away.
    let mut gone = console(&house);
    gone.send(&raw::query("PAUSE"));
    paused("1");
    drop(gone);
    paused("0");
    assert_eq!(one(&mut client, "SELECT 1"), "1");
    // He presses ^C.
    let mut stays = console(&house);
    stays.send(&raw::query("PAUSE app"));
    paused("1");
    super::house::cancel(&house.dog.admin_login(), &stays.key.clone().expect("a key"));
    assert_eq!(error(&stays.read_until_ready())[&'C'], "57014");
    paused("0");
    // Somebody else says RESUME.
    stays.send(&raw::query("PAUSE"));
    paused("1");
    admin(&house.dog, "RESUME");
    assert_eq!(error(&stays.read_until_ready())[&'C'], "57014");
    // A pause that stood before stays.
    open.rows("COMMIT");
    admin(&house.dog, "PAUSE");
    client.send(&raw::query("SELECT 'later'"));
    assert!(waits(&mut client));
    drop(stays);
    paused("1");
    admin(&house.dog, "RESUME");
    assert_eq!(client.read_until_ready()[1].text(), "later");
    watch.wait_until_settled();
}

/// Behaviour 133: what is paused stays so over a reload, also in a pool that the reload made.
#[test]
fn a_pause_outlives_a_reload() {
    let house = House::with_users(Version::Debian, 2, "checkout_timeout = 20000", &[("app", "")]);
    house.warm_up();
    let mut client = house.client();
    admin(&house.dog, "PAUSE app");
    house.dog.write_users(&users(&house.postgres, &[("app", ""), ("other", "")]));
    admin(&house.dog, "RELOAD");
    client.send(&raw::query("SELECT 'held'"));
    assert!(waits(&mut client));
    let login = house.login("other");
    let login = std::thread::spawn(move || Raw::login(&login));
    let mut watch = house.watch();
    wait_until("the new pool's client waits", SOON, || watch.pools("cl_waiting") == 2);
    admin(&house.dog, "RESUME app");
    assert_eq!(client.read_until_ready()[1].text(), "held");
    assert_eq!(one(&mut login.join().expect("it got in"), "SELECT current_user"), "other");
    watch.wait_until_settled();
}

#[test]
fn kill_drops_a_database_and_nobody_else() {
    let house = two_databases("checkout_timeout = 20000");
    let (mut open, mut idle, mut other) = (house.client(), house.client(), in_second(&house));
    let mut watch = house.watch();
    open.rows("BEGIN; SELECT 1");
    assert_eq!((one(&mut idle, "SELECT 1"), one(&mut other, "SELECT 1")), ("1".to_string(), "1".to_string()));
    let pid = one(&mut other, "SELECT pg_backend_pid()");
    open.send(&raw::query("SELECT pg_sleep(60)"));
    watch.wait_for_sessions(1, "state = 'active' AND query LIKE '%pg_sleep(60)%'");
    admin(&house.dog, "KILL app");
    for client in [&mut open, &mut idle] {
        assert_eq!(error(&client.read_until_closed())[&'C'], "57P01");
    }
    watch.wait_for_sessions(0, &format!("pid <> {pid}"));
    assert_eq!(one(&mut other, "SELECT pg_backend_pid()"), pid);
    let mut late = house.client();
    late.send(&raw::query("SELECT 'after all'"));
    assert!(waits(&mut late));
    admin(&house.dog, "RESUME app");
    assert_eq!(late.read_until_ready()[1].text(), "after all");
    watch.wait_until_settled();
}

#[test]
fn one_client_is_killed_by_its_id() {
    let house = House::new(Version::Debian, 2, "");
    let (mut one_of_them, mut other) = (house.client(), house.client());
    one_of_them.rows("BEGIN; SELECT 1");
    let mut watch = house.watch();
    let row = watch.show("CLIENTS").into_iter().find(|row| row["state"] == "idle in transaction").expect("it is shown");
    admin(&house.dog, &format!("KILL_CLIENT {}", row["id"]));
    assert_eq!(error(&one_of_them.read_until_closed())[&'C'], "57P01");
    assert_eq!(one(&mut other, "SELECT 1"), "1");
    assert_eq!(error(&watch.admin.query(&format!("KILL_CLIENT {}", row["id"])))[&'C'], "08P01");
    watch.wait_until_settled();
}

#[test]
fn who_is_disabled_takes_no_new_clients() {
    let house = two_databases("");
    let mut stays = house.client();
    admin(&house.dog, "DISABLE app");
    let refused = Raw::try_login(&house.login("app"), &[]).err().expect("no new clients");
    assert_eq!((refused.sqlstate().as_str(), refused.fields()[&'S'].as_str()), ("57P03", "FATAL"));
    assert_eq!(one(&mut stays, "SELECT 1"), "1");
    assert_eq!(one(&mut in_second(&house), "SELECT 2"), "2");
    // It outlives a reload.
    admin(&house.dog, "RELOAD");
    assert!(Raw::try_login(&house.login("app"), &[]).is_err());
    let rows = admin(&house.dog, "SHOW DATABASES");
    let disabled: Vec<&str> = rows.iter().filter(|row| row["disabled"] == "1").map(|row| row["name"].as_str()).collect();
    assert_eq!((rows.len(), disabled), (3, vec!["app"]));
    admin(&house.dog, "ENABLE app");
    assert_eq!(one(&mut house.client(), "SELECT 3"), "3");
}

#[test]
fn a_suspended_pg_dog_reads_nobody_until_it_is_resumed() {
    let house = House::new(Version::Newest, 2, "checkout_timeout = 300");
    let (mut open, mut idle) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    assert_eq!(one(&mut idle, "SELECT 1"), "1");
    admin(&house.dog, "SUSPEND");
    open.send(&raw::query("SELECT 'in the middle'"));
    idle.send(&raw::query("SELECT 'from the start'"));
    assert!(waits(&mut open) && waits(&mut idle) && waits(&mut open));
    let mut watch = house.watch();
    assert_eq!(state_of(&mut watch, "suspended"), "yes");
    admin(&house.dog, "RESUME");
    assert_eq!(open.read_until_ready()[1].text(), "in the middle");
    assert_eq!(idle.read_until_ready()[1].text(), "from the start");
    open.rows("COMMIT");
    assert_eq!(state_of(&mut watch, "suspended"), "no");
    watch.wait_until_settled();
}

#[test]
fn shutdown_waits_for_clients_or_for_servers() {
    // For clients: nobody new, and those who are there notice nothing.
    let mut house = House::new(Version::Debian, 2, "shutdown_timeout = 100");
    let (mut one_of_them, mut other) = (house.client(), house.client());
    one_of_them.rows("BEGIN; SELECT 1");
    admin(&house.dog, "SHUTDOWN WAIT_FOR_CLIENTS");
    wait_until("nobody is let in", SOON, || std::net::TcpStream::connect(("127.0.0.1", house.dog.port)).is_err());
    for _ in 0..100 {
        assert_eq!((one(&mut one_of_them, "SELECT 1"), one(&mut other, "SELECT 2")), ("1".to_string(), "2".to_string()));
    }
    one_of_them.rows("COMMIT");
    drop(one_of_them);
    assert_eq!(one(&mut other, "SELECT 3"), "3");
    assert!(house.dog.is_running());
    drop(other);
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
    // For servers: transactions are finished, however long they take.
    let mut house = House::new(Version::Debian, 2, "shutdown_timeout = 100");
    let (mut open, mut idle) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    admin(&house.dog, "SHUTDOWN WAIT_FOR_SERVERS");
    assert_eq!(error(&idle.read_until_closed())[&'C'], "57P01");
    let until = std::time::Instant::now() + Duration::from_millis(500);
    poll(SOON, || one(&mut open, "SELECT 4") == "4" && std::time::Instant::now() > until);
    assert!(house.dog.is_running());
    assert_eq!(tags(&open.query("COMMIT")), "CZ");
    assert_eq!(error(&open.read_until_closed())[&'C'], "57P01");
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
}

#[test]
fn settings_are_set_until_the_next_reload() {
    let house = House::new(Version::Newest, 1, "checkout_timeout = 20000");
    let mut console = console(&house);
    let value = |console: &mut Raw, name: &str| {
        let rows = table(&console.query("SHOW CONFIG"));
        rows.into_iter().find(|row| row["name"] == name).expect("it is shown")["value"].clone()
    };
    let (mut open, mut second) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    second.send(&raw::query("SELECT 'with the second server'"));
    assert!(waits(&mut second));
    // At once, for pools and waiters that are there.
    assert_eq!(said(&console.query("SET default_pool_size TO 2")), "CZ");
    assert_eq!(second.read_until_ready()[1].text(), "with the second server");
    assert_eq!(said(&console.query("SET checkout_timeout = '200'")), "CZ");
    assert_eq!((value(&mut console, "default_pool_size"), value(&mut console, "checkout_timeout")), ("2".to_string(), "200ms".to_string()));
    second.rows("BEGIN; SELECT 1");
    let mut third = house.client();
    third.send(&raw::query("SELECT 1"));
    assert_eq!(error(&third.read_until_closed())[&'C'], "53300");
    // What is wrong changes nothing; what no driver can know is ignored.
    for (text, why) in [
        ("SET checkout_timeout TO soon", "checkout_timeout"),
        ("SET pooler_mode TO sometimes", "pooler_mode"),
        ("SET default_pool_size = 0", "default_pool_size"),
    ] {
        let refused = error(&console.query(text));
        assert!(refused[&'C'] == "22023" && refused[&'M'].contains(why), "{text}: {refused:?}");
    }
    assert_eq!(error(&console.query("SET port TO 1"))[&'C'], "08P01");
    assert_eq!(said(&console.query("SET extra_float_digits = 3")), "CZ");
    assert_eq!(value(&mut console, "checkout_timeout"), "200ms");
    let state = table(&console.query("SHOW STATE"));
    let of = |key: &str| state.iter().find(|row| row["key"] == key).map(|row| row["value"].clone()).unwrap_or_default();
    assert_eq!((of("config_set").as_str(), of("last_reload_by").as_str()), ("default_pool_size, checkout_timeout", "SET"));
    assert!(of("last_reload_result").starts_with("failed"), "{state:?}");
    // A broken file is no obstacle to SET, which goes by the files as they were read.
    house.dog.write_config("[general");
    assert_eq!(said(&console.query("SET checkout_timeout = 300")), "CZ");
    house.dog.write_config(&config(&house.postgres, &super::house::general_of(1, "checkout_timeout = 20000"), ""));
    assert_eq!(said(&console.query("RELOAD")), "CZ");
    assert_eq!((value(&mut console, "default_pool_size"), value(&mut console, "checkout_timeout")), ("1".to_string(), "20s".to_string()));
    open.rows("COMMIT");
    second.rows("COMMIT");
    house.watch().wait_until_settled();
}

#[test]
fn files_are_watched_when_that_is_wanted() {
    let house = House::new(Version::Newest, 1, "");
    let mut watch = house.watch();
    let size = |wanted: &str, watch: &mut Watch| {
        wait_until(&format!("a pool size of {wanted}"), SOON, || {
            watch.show("CONFIG").iter().any(|row| row["name"] == "default_pool_size" && row["value"] == wanted)
        });
    };
    // A SET starts it, so that the files need not have said so from the start.
    assert_eq!(said(&watch.admin.query("SET config_watch = true")), "CZ");
    // It has to have looked once before there is a change to be seen: write until it is seen.
    let text = |size: usize, more: &str| config(&house.postgres, &super::house::general_of(size, more), "");
    let mut round = 0;
    wait_until("the first change is seen", SOON, || {
        round += 1;
        if round % 500 == 1 {
            house.dog.write_config(&text(2, &format!("config_watch = true\n# {round}")));
        }
        state_of(&mut watch, "last_reload_by") == "config_watch"
    });
    size("2", &mut watch);
    // A bad file changes nothing, and is told.
    let before = state_of(&mut watch, "reloads");
    house.dog.write_config("[general");
    wait_until("the bad file is seen", SOON, || state_of(&mut watch, "reloads_failed") == "1");
    assert!(state_of(&mut watch, "last_reload_result").contains("pgdog.toml:1"));
    assert_eq!(state_of(&mut watch, "reloads"), before);
    house.dog.write_config(&text(3, ""));
    size("3", &mut watch);
    assert_eq!(one(&mut house.client(), "SELECT 1"), "1");
}

/// Every table that PgBouncer has, with something in it.
#[test]
fn pgbouncers_tables_are_filled() {
    let house = two_databases("");
    let (mut open, mut other) = (house.client(), in_second(&house));
    open.rows("BEGIN; SELECT 1");
    assert_eq!(one(&mut other, "SELECT 1"), "1");
    let mut watch = house.watch();
    let databases = watch.show("DATABASES");
    let row = databases.iter().find(|row| row["name"] == "second").expect("the second");
    assert_eq!((row["host"].as_str(), row["database"].as_str(), row["pool_size"].as_str(), row["paused"].as_str()), ("127.0.0.1", "app", "2", "0"));
    assert_eq!(databases.iter().map(|row| row["current_connections"].parse::<u64>().expect("a number")).sum::<u64>(), 2);
    let users = watch.show("USERS");
    assert!(users.len() == 2 && users[0]["name"] == "app" && users[0]["pool_mode"] == "transaction", "{users:?}");
    let totals = watch.show("STATS_TOTALS");
    assert!(totals.iter().any(|row| row["database"] == "second" && row["xact_count"] == "1" && row["query_count"] == "1"), "{totals:?}");
    assert_eq!(watch.show("STATS_AVERAGES").len(), totals.len());
    assert_eq!(watch.show("TOTALS").len(), 14);
    let sockets = watch.show("ACTIVE_SOCKETS");
    let pair: Vec<_> = sockets.iter().filter(|row| row["user"] == "app").collect();
    assert!(pair.len() == 2 && pair[0]["link"] == pair[1]["ptr"] && pair[1]["link"] == pair[0]["ptr"], "{sockets:?}");
    let fds = watch.show("FDS");
    assert!(fds.iter().any(|row| row["task"] == "server" && row["link"] != "0") && fds.iter().all(|row| row["password"].is_empty()), "{fds:?}");
    assert!(watch.show("HELP").len() > 40 && watch.show("BANS").is_empty() && watch.show("REPLICATION").len() == 2);
    assert_eq!(watch.show("INSTANCE_ID")[0]["instance_id"].len(), 8);
    open.rows("COMMIT");
}

/// On the Unix socket the account that runs pg_dog, and root, need no password.
#[test]
fn the_console_on_the_unix_socket_trusts_its_own_account() {
    let folder = std::env::temp_dir().join(format!("pg_dog-socket-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let house = House::new(Version::Debian, 1, &format!("unix_socket_dir = \"{}\"", folder.display()));
    let login = Login { host: folder.display().to_string(), password: String::new(), ..house.dog.admin_login() };
    let said = psql(&login, &["-w", "-c", "SHOW VERSION"]);
    assert!(said.success() && said.stdout.contains("pg_dog"), "{said:?}");
    // Over TCP the same has to prove who it is; and who is no admin does so everywhere.
    let refused = psql(&Login { password: String::new(), ..house.dog.admin_login() }, &["-w", "-c", "SHOW VERSION"]);
    assert!(!refused.success(), "{refused:?}");
    let refused = psql(&Login { user: "app".into(), database: "app".into(), ..login }, &["-w", "-c", "SELECT 1"]);
    assert!(!refused.success(), "{refused:?}");
    drop(house);
    let _ = std::fs::remove_dir_all(&folder);
}
