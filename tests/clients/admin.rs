//! The operator's side with psql: every SHOW, PAUSE, RELOAD with changes and with mistakes, and who may do it.

use super::house::{House, error, general_of, one};
use super::support::{Login, Raw, SOON, Version, admin, config, psql, query, raw, users, wait_until};
use std::time::Duration;

#[test]
fn every_show_shows() {
    let house = House::new(Version::Debian, 3, "");
    let (mut open, mut idle) = (house.client(), house.client());
    open.rows("BEGIN; SELECT 1");
    let pid = one(&mut open, "SELECT pg_backend_pid()");
    assert_eq!(one(&mut idle, "SELECT 1"), "1");
    let row_of = |show: &str, column: &str, value: &str| {
        let rows = admin(&house.dog, show);
        rows.into_iter().find(|row| row.get(column).is_some_and(|found| found == value)).unwrap_or_else(|| panic!("{show}: no {column} = {value}"))
    };
    let clients = admin(&house.dog, "SHOW CLIENTS");
    assert_eq!(clients.iter().filter(|row| row["user"] == "app" && row["database"] == "app").count(), 2);
    let open_row = row_of("SHOW CLIENTS", "state", "idle in transaction");
    assert!(open_row["addr"] == "127.0.0.1" && open_row["queries"] == "2" && open_row["errors"] == "0", "{open_row:?}");
    let server = row_of("SHOW SERVERS", "remote_pid", &pid);
    assert!(server["state"] == "idle in transaction" && server["client_id"] == open_row["id"], "{server:?}");
    let pool = row_of("SHOW POOLS", "user", "app");
    let counts = ["cl_waiting", "sv_idle_xact", "sv_active", "pool_mode", "paused"].map(|column| pool[column].as_str());
    assert_eq!(counts, ["0", "1", "0", "transaction", "f"], "{pool:?}");
    let stats = row_of("SHOW STATS", "user", "app");
    assert!(stats.iter().any(|(name, value)| name.contains("xact_count") && value != "0"), "{stats:?}");
    assert_eq!(row_of("SHOW CONFIG", "name", "default_pool_size")["value"], "3");
    assert!(!admin(&house.dog, "SHOW LISTS").is_empty());
    assert!(admin(&house.dog, "SHOW VERSION")[0]["version"].contains(env!("CARGO_PKG_VERSION")));
    let few = admin(&house.dog, "SHOW CLIENTS state, id");
    assert!(few.iter().all(|row| row.contains_key("state") && !row.contains_key("wait_time")), "{few:?}");
    assert!(admin(&house.dog, "SHOW CONFIG").iter().all(|row| !row["value"].contains("secret")), "a password is shown");
}

#[test]
fn what_it_does_not_know_is_a_protocol_violation() {
    let house = House::new(Version::Debian, 1, "");
    let mut console = Raw::login(&house.dog.admin_login());
    for command in [
        "SELECT 1",
        "SHOW NOTHING AT ALL",
        "SHOW POOLS; SHUTDOWN",
        "RELAOD",
        "BAN x",
        "PAUSE nowhere",
        "KILL nowhere",
        "KILL_CLIENT 4711",
        "MAINTENANCE",
        "DROP TABLE x",
        "RELOAD now",
    ] {
        let refused = console.query(command);
        assert_eq!(error(&refused)[&'C'], "08P01", "{command}");
        assert_eq!(console.status, b'I');
    }
    console.send(&[super::house::extended("SHOW POOLS", &[]), raw::sync()].concat());
    assert_eq!(error(&console.read_until_ready())[&'C'], "08P01");
    assert_eq!(super::house::table(&console.query("SHOW VERSION")).len(), 1);
    let said = psql(&house.dog.admin_login(), &["-c", "SELECT 1"]);
    assert!(!said.success() && said.stderr.contains("admin database does not know"), "{said:?}");
}

#[test]
fn only_the_admin_gets_in() {
    for how in ["scram", "trust"] {
        let house = House::new(Version::Debian, 1, &format!("auth_type = \"{how}\""));
        let right = house.dog.admin_login();
        let wrong = [
            Login { password: "wrong".into(), ..right.clone() },
            Login { password: String::new(), ..right.clone() },
            Login { user: "app".into(), password: "app-secret".into(), ..right.clone() },
            Login { user: "nobody".into(), ..right.clone() },
        ];
        for login in wrong {
            let refusal = Raw::try_login(&login, &[]).err().unwrap_or_else(|| panic!("{how}: {login:?} got in"));
            assert_eq!(refusal.sqlstate(), "28000", "{how} {login:?}");
        }
        assert_eq!(admin(&house.dog, "SHOW VERSION").len(), 1);
    }
}

#[test]
fn pause_holds_and_resume_lets_go() {
    let house = House::new(Version::Newest, 2, "checkout_timeout = 20000");
    let mut watch = house.watch();
    let (mut open, mut client) = (house.client(), house.client());
    let mut other = Raw::login(&house.login("other"));
    open.rows("BEGIN; SELECT 1");
    let mut console = Raw::login(&house.dog.admin_login());
    console.send(&raw::query("PAUSE app app"));
    wait_until("the pause", SOON, || watch.show("POOLS").iter().any(|row| row["user"] == "app" && row["paused"] == "t"));
    assert!(watch.show("POOLS").iter().filter(|row| row["user"] == "app").all(|row| row["paused"] == "t"));
    client.send(&raw::query("SELECT 'later'"));
    wait_until("the client waits", SOON, || watch.pools("cl_waiting") == 1);
    // Who has a server finishes; another user is not concerned.
    assert_eq!(one(&mut open, "SELECT 'goes on'"), "goes on");
    console.set_deadline(Duration::from_millis(100));
    assert_eq!(console.try_read().err().map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock), "a server is still in use");
    console.set_deadline(SOON);
    open.rows("COMMIT");
    assert_eq!(super::house::tags(&console.read_until_ready()), "CZ");
    assert_eq!(one(&mut other, "SELECT 'other'"), "other");
    client.set_deadline(Duration::from_millis(300));
    assert_eq!(client.try_read().err().map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
    admin(&house.dog, "RESUME app app");
    client.set_deadline(SOON);
    assert_eq!(client.read_until_ready()[1].text(), "later");
    admin(&house.dog, "PAUSE");
    client.send(&raw::query("SELECT 'at last'"));
    wait_until("the client waits", SOON, || watch.pools("cl_waiting") == 1);
    admin(&house.dog, "RESUME");
    assert_eq!(client.read_until_ready()[1].text(), "at last");
    watch.wait_until_settled();
}

#[test]
fn reload_takes_over_passwords_sizes_and_users() {
    let mut house = House::with_users(Version::Debian, 1, "checkout_timeout = 300", &[("app", "")]);
    house.warm_up();
    let mut stays = house.client();
    let pid = one(&mut stays, "SELECT pg_backend_pid()");
    // Another password for clients, the old one for the server; another user; a larger pool.
    let changed =
        users(&house.postgres, &[("app", "server_password = \"app-secret\"\n"), ("other", "")]).replacen("\"app-secret\"", "\"new-secret\"", 1);
    house.dog.write_users(&changed);
    house.dog.write_config(&config(&house.postgres, &general_of(3, "checkout_timeout = 300"), ""));
    admin(&house.dog, "RELOAD");
    let new = Login { password: "new-secret".into(), ..house.login("app") };
    assert_eq!(Raw::try_login(&house.login("app"), &[]).err().expect("the old password is over").sqlstate(), "28000");
    assert_eq!(one(&mut stays, "SELECT pg_backend_pid()"), pid, "a pool that stayed the same lost its server");
    assert_eq!(one(&mut Raw::login(&house.login("other")), "SELECT current_user"), "other");
    let mut three: Vec<Raw> = (0..3).map(|_| Raw::login(&new)).collect();
    three.iter_mut().for_each(|client| drop(client.rows("BEGIN; SELECT 1")));
    // Smaller again, and a user less: who is in a transaction finishes it.
    house.dog.write_users(&users(&house.postgres, &[("app", "")]));
    house.dog.write_config(&config(&house.postgres, &general_of(1, "checkout_timeout = 300"), ""));
    let other = Raw::login(&house.login("other"));
    house.dog.signal("HUP");
    wait_until("the signal has worked", SOON, || Raw::try_login(&house.login("app"), &[]).is_ok());
    three.iter_mut().for_each(|client| drop(client.rows("COMMIT")));
    let mut watch = house.watch();
    wait_until("one server is left", SOON, || watch.sessions("usename = 'app'") == 1);
    assert_eq!(Raw::try_login(&house.login("other"), &[]).err().expect("that user has gone").sqlstate(), "28000");
    let mut other = other;
    other.send(&raw::query("SELECT 1"));
    assert_eq!(error(&other.read_until_closed())[&'C'], "3D000");
    assert_eq!(one(&mut stays, "SELECT 'still here'"), "still here");
    watch.wait_until_settled();
}

/// The server's password is changed, and then ours: who is connected stays, and what was logged in with the old one goes.
#[test]
fn reload_takes_over_a_new_password_of_the_server() {
    let house = House::with_users(Version::Newest, 3, "", &[("app", "server_password = \"app-secret\"\n"), ("other", "")]);
    let mut watch = house.watch();
    let mut clients: Vec<Raw> = (0..3).map(|_| house.client()).collect();
    clients.iter_mut().for_each(|client| drop(client.rows("BEGIN; SELECT 1")));
    let mut pids: Vec<String> = clients.iter_mut().map(|client| one(client, "SELECT pg_backend_pid()")).collect();
    watch.direct.rows("ALTER ROLE app PASSWORD 'rotated'");
    house.dog.write_users(&users(&house.postgres, &[("app", "server_password = \"rotated\"\n"), ("other", "")]));
    admin(&house.dog, "RELOAD");
    // Begun transactions are finished where they are.
    for (client, pid) in clients.iter_mut().zip(&pids) {
        assert_eq!(one(client, "SELECT pg_backend_pid()"), *pid);
        client.rows("COMMIT");
    }
    for client in &mut clients {
        assert!(!pids.contains(&one(client, "SELECT pg_backend_pid()")), "a server of before is still in use");
    }
    pids.sort();
    let old = format!("pid IN ({})", pids.join(", "));
    watch.wait_for_sessions(0, &old);
    assert_eq!(one(&mut house.client(), "SELECT current_user"), "app");
    watch.wait_until_settled();
}

#[test]
fn a_broken_file_changes_nothing() {
    let house = House::new(Version::Newest, 2, "");
    let mut client = house.client();
    let before = admin(&house.dog, "SHOW CONFIG");
    let good = config(&house.postgres, &general_of(2, ""), "");
    let broken = [
        (good.replace("default_pool_size = 2", "default_pool_size = \"two\""), "pgdog.toml:5"),
        (good.replace("default_pool_size = 2", "defualt_pool_size = 2"), "defualt_pool_size"),
        (good.replace("[general]", "[general"), "pgdog.toml:1"),
        (good.replace("default_pool_size = 2", "tls_client_required = true"), "tls_client_required"),
        (format!("{good}\n[[databases]]\nname = \"app\"\nhost = \"127.0.0.2\"\n"), "second server"),
    ];
    for (text, why) in broken {
        assert_ne!(text, good, "{why}: the file is not broken at all");
        house.dog.write_config(&text);
        let said = query(&house.dog.admin_login(), "RELOAD").expect_err("the file is broken");
        assert!(said.contains("nothing was changed") && said.contains(why), "{why}: {said}");
        assert_eq!(admin(&house.dog, "SHOW CONFIG"), before);
        assert_eq!(one(&mut client, "SELECT 1"), "1");
    }
    house.dog.write_config(&good);
    house.dog.write_users("[[users]]\nname = \"app\"\ndatabase = 7\n");
    let said = query(&house.dog.admin_login(), "RELOAD").expect_err("the file is broken");
    assert!(said.contains("users.toml:3"), "{said}");
    assert_eq!(one(&mut house.client(), "SELECT 2"), "2");
}

/// RELOAD again and again, with changes each time, while clients work: nobody notices.
#[test]
fn reloads_under_load() {
    let house = House::new(Version::Debian, 3, "checkout_timeout = 20000");
    let login = &house.login("app");
    let mut console = Raw::login(&house.dog.admin_login());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..10)
            .map(|number| {
                scope.spawn(move || {
                    let mut client = Raw::login(login);
                    for i in 0..150 {
                        let tag = format!("{number}-{i}");
                        assert_eq!(client.rows(&format!("SELECT '{tag}', pg_sleep(0.001)")), [[tag.as_str(), ""]]);
                        if i % 50 == 49 {
                            client = Raw::login(login);
                        }
                    }
                })
            })
            .collect();
        let mut round = 0;
        while !workers.iter().all(|worker| worker.is_finished()) {
            round += 1;
            let more = if round % 2 == 0 { &[("app", ""), ("other", "")][..] } else { &[("app", ""), ("md5user", "")][..] };
            house.dog.write_users(&users(&house.postgres, more));
            house.dog.write_config(&config(&house.postgres, &general_of(1 + round % 4, "checkout_timeout = 20000"), ""));
            let answer = console.query("RELOAD");
            assert!(answer.iter().all(|message| message.tag != b'E'), "{answer:?}");
        }
        workers.into_iter().for_each(|worker| worker.join().expect("nobody noticed"));
    });
    house.watch().wait_until_settled();
}
