//! What settings of databases and users come to for clients and servers: several databases, several passwords and hashes, what sessions begin with,
//! and databases from the environment.

use super::house::{House, error, one};
use super::support::{Dog, Login, Postgres, Raw, SOON, Version, config, config_at, query, raw, wait_until};

crate::on_both!(sessions_begin_with_the_settings, scram_hashes_of_postgres_let_in, passwords_are_rotated_without_a_pause);

/// The only pool's user with more lines, and more lines for the database `app`.
fn house(version: Version, database: &str, user: &str) -> House {
    let postgres = Postgres::start(version);
    let text = config(&postgres, "default_pool_size = 1\nmin_pool_size = 0\ncheckout_timeout = 20000", database);
    let dog = Dog::start(&text, &app(user));
    House { dog, postgres }
}

fn app(lines: &str) -> String {
    format!("[[users]]\nname = \"app\"\ndatabase = \"app\"\n{lines}\n")
}

/// statement_timeout, lock_timeout and default_transaction_read_only as the session has them.
fn settings(client: &mut Raw) -> String {
    let names = ["statement_timeout", "lock_timeout", "default_transaction_read_only"].map(|name| format!("current_setting('{name}')"));
    one(client, &format!("SELECT concat_ws(' ', {})", names.join(", ")))
}

fn code(client: &mut Raw, sql: &str) -> String {
    client.send(&raw::query(sql));
    error(&client.read_until(b'Z'))[&'C'].clone()
}

fn sessions_begin_with_the_settings(version: Version) {
    let of_database = "statement_timeout = 60000\nlock_timeout = 5000\nread_only = true";
    let house = house(version, of_database, "password = \"app-secret\"\nstatement_timeout = 70000");
    let mut plain = house.client();
    let own = "70s 5s on";
    assert_eq!(settings(&mut plain), own);
    assert_eq!(code(&mut plain, "CREATE TABLE t (a int)"), "25006");
    // A client's own word counts for this client, whether it comes when the client does or later, and for nobody else on the one server.
    let asked = [("statement_timeout", "80s"), ("default_transaction_read_only", "off")];
    let mut asking = Raw::try_login(&house.login("app"), &asked).expect("the login is right");
    let mut setting = house.client();
    for _ in 0..3 {
        assert_eq!(settings(&mut asking), "80s 5s off");
        assert_eq!(settings(&mut plain), own);
        setting.rows("SET statement_timeout = '90s'");
        assert_eq!(settings(&mut plain), own);
        setting.rows("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE");
        assert_eq!(settings(&mut asking), "80s 5s off");
    }
    // Reset, they go back to what the file says.
    plain.rows("SET lock_timeout = '9s'; SET default_transaction_read_only = off; RESET ALL");
    assert_eq!(settings(&mut plain), own);
    // The time is kept: shorter now, and by a reload.
    let pid = one(&mut plain, "SELECT pg_backend_pid()");
    house.dog.write_users(&app("password = \"app-secret\"\nstatement_timeout = 50\nread_only = false"));
    let mut house = house;
    house.dog.signal("HUP");
    wait_until("the reload", SOON, || settings(&mut plain) == "50ms 5s off");
    assert_ne!(one(&mut plain, "SELECT pg_backend_pid()"), pid, "a connection of before");
    assert_eq!(code(&mut plain, "SELECT pg_sleep(20)"), "57014");
    assert_eq!(settings(&mut asking), "80s 5s off");
}

/// Refused as any wrong password is.
fn refused(login: &Login) {
    let refusal = Raw::try_login(login, &[]).err().unwrap_or_else(|| panic!("{login:?} should have been refused"));
    assert_eq!(refusal.sqlstate(), "28000");
}

fn scram_hashes_of_postgres_let_in(version: Version) {
    let postgres = Postgres::start(version);
    let stored = |user: &str| postgres.sql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")).remove(0).remove(0);
    let (scram, md5) = (stored("app"), stored("md5user"));
    assert!(scram.starts_with("SCRAM-SHA-256$") && md5.starts_with("md5"));
    let users = format!(
        "{}[[users]]\nname = \"md5user\"\ndatabase = \"app\"\npassword_hash = \"{md5}\"\nserver_user = \"trusted\"\n",
        app(&format!("password_hash = \"{scram}\"\npasswords = [\"second\"]\nserver_password = \"app-secret\""))
    );
    let users = format!("{users}min_pool_size = 0\n");
    for (how, by_scram, by_md5) in [("scram", true, false), ("plain", true, true), ("md5", false, true)] {
        let dog = Dog::start(&config(&postgres, &format!("auth_type = \"{how}\"\nmin_pool_size = 0"), ""), &users);
        let login = |user: &str, password: &str| Login { password: password.into(), ..dog.instead_of(&postgres.login(user)) };
        for (user, password, right) in [
            ("app", "app-secret", by_scram),
            ("app", "second", true),
            ("app", "wrong", false),
            ("app", scram.as_str(), false),
            ("md5user", "md5-secret", by_md5),
            ("md5user", md5.as_str(), false),
        ] {
            match right {
                // Twice: the first login has a helper make what the second finds.
                true => (0..2).for_each(|_| assert_eq!(one(&mut Raw::login(&login(user, password)), "SELECT 1"), "1", "{how} {user}")),
                false => refused(&login(user, password)),
            }
        }
        assert!(!dog.log().contains("secret") && !dog.log().contains(&scram), "a secret is in the log");
        assert_eq!(dog.log().contains("cannot check a login by"), how != "plain", "{}", dog.log());
    }
}

fn passwords_are_rotated_without_a_pause(version: Version) {
    let house = house(version, "", "password = \"app-secret\"\npasswords = [\"next\", \"later\"]");
    let login = |password: &str, house: &House| Login { password: password.into(), ..house.login("app") };
    // Clients may come with any of them. The server takes the last one only: two are refused once each, then never again.
    for password in ["app-secret", "next", "later", "app-secret"] {
        assert_eq!(one(&mut Raw::login(&login(password, &house)), "SELECT 1"), "1");
    }
    refused(&login("wrong", &house));
    let failures = |house: &House| house.postgres.log().matches("password authentication failed").count();
    assert_eq!(failures(&house), 2);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    // A server may die under its client; the next client gets another one.
    let works = |house: &House| query(&house.login("app"), "SELECT 1").is_ok();
    for _ in 0..3 {
        house.postgres.sql(kill);
        wait_until("another server", SOON, || works(&house));
    }
    assert_eq!(failures(&house), 2, "a password that was wrong is tried again and again");
    // The role's password changes: the next connection finds the one that is right now.
    house.postgres.sql("ALTER ROLE app PASSWORD 'later'");
    house.postgres.sql(kill);
    wait_until("the new password", SOON, || works(&house) && failures(&house) == 4);
    // None of them is right any more: the client is told, and the server is not asked again for each client.
    house.postgres.sql("ALTER ROLE app PASSWORD 'unknown'");
    house.postgres.sql(kill);
    let told = || match Raw::try_login(&house.login("app"), &[]) {
        Err(refusal) => refusal.sqlstate(),
        Ok(mut client) => {
            client.send(&raw::query("SELECT 1"));
            client.read_until(b'E').pop().expect("an error").sqlstate()
        }
    };
    wait_until("a refusal", SOON, || told() == "28P01");
    let after = failures(&house);
    (0..20).for_each(|_| assert_eq!(told(), "28P01"));
    assert!(failures(&house) <= after + 2, "{} logins for twenty clients", failures(&house) - after);
}

#[test]
fn one_user_has_several_databases_or_all() {
    let postgres = Postgres::start(Version::Newest);
    postgres.sql("CREATE DATABASE second OWNER app");
    let second = format!("[[databases]]\nname = \"second\"\nhost = \"127.0.0.1\"\nport = {}\npassword = \"app-secret\"", postgres.port);
    let users = format!(
        "{}[[users]]\nname = \"app\"\ndatabase = \"second\"\npassword = \"its-own\"\nserver_user = \"app\"\n[[users]]\nname = \"other\"\n\
         databases = [\"app\"]\npassword = \"other-secret\"\n",
        "[[users]]\nname = \"app\"\nall_databases = true\npassword = \"app-secret\"\n"
    );
    let dog = Dog::start(&config(&postgres, "min_pool_size = 0", &second), &users);
    let login = |user: &str, password: &str, database: &str| Login::new(dog.port, user, password, database);
    for (user, password, database) in [("app", "app-secret", "app"), ("app", "its-own", "second"), ("other", "other-secret", "app")] {
        let mut client = Raw::login(&login(user, password, database));
        assert_eq!(client.rows("SELECT current_user::text, current_database()::text"), [[user, database]]);
    }
    refused(&login("app", "app-secret", "second"));
    refused(&login("other", "other-secret", "second"));
}

#[test]
fn databases_come_from_the_environment() {
    let postgres = Postgres::start(Version::Newest);
    let urls = [
        ("PGDOG_DATABASE_URL_1", format!("postgres://app:app-secret@127.0.0.1:{}/app?pool_size=3", postgres.port)),
        ("PGDOG_DATABASE_URL_2", format!("postgres://o%74her:other-secret@127.0.0.1:{}/app?pool_size=3", postgres.port)),
        ("PGDOG_DATABASE_URL_3", format!("postgres://app:other-side@127.0.0.1:{}/alias?database_name=app&password=app-secret", postgres.port)),
    ];
    let urls: Vec<(&str, &str)> = urls.iter().map(|(name, url)| (*name, url.as_str())).collect();
    // The file's own lists are not looked at, not even where they could not work.
    let dog = Dog::start_with(&config_at(1, "min_pool_size = 0", ""), &app(""), &urls);
    for (user, password, database) in [("app", "app-secret", "app"), ("other", "other-secret", "app"), ("app", "other-side", "alias")] {
        let mut client = Raw::login(&Login::new(dog.port, user, password, database));
        assert_eq!(client.rows("SELECT current_user::text, current_database()::text"), [[user, "app"]]);
    }
    assert!(!dog.log().contains("secret"), "a URL is in the log");
}

#[test]
fn more_data_cores_than_cpus_are_refused() {
    let postgres = "[[databases]]\nname = \"app\"\nhost = \"127.0.0.1\"\n";
    let (status, log) = Dog::refused(&format!("[general]\nport = {{port}}\nworkers = 1024\n{postgres}"), &app("password = \"x\""));
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("`workers` = 1024, but this process may use ") && log.contains("CPUAffinity"), "{log}");
}
