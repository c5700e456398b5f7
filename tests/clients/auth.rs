//! Who may come in: every way for clients against every way that PostgreSQL asks, refusals that tell nothing, and what a login costs.

use super::house::{House, memory, one};
use super::support::raw::Message;
use super::support::{Login, Raw, SOON, Version, poll};
use hmac::Hmac;
use sha2::Sha256;
use std::time::{Duration, Instant};

crate::on_both!(scram_clients, md5_clients, plain_clients, trusted_clients);

/// Users by the way PostgreSQL asks for them: SCRAM, MD5, clear text, not at all. The last has a password that only pg_dog knows.
const USERS: [(&str, &str); 4] = [("app", ""), ("md5user", ""), ("plain", ""), ("trusted", "password = \"known-here\"\n")];

fn scram_clients(version: Version) {
    logins(version, "scram");
}

fn md5_clients(version: Version) {
    logins(version, "md5");
}

fn plain_clients(version: Version) {
    logins(version, "plain");
}

fn trusted_clients(version: Version) {
    logins(version, "trust");
}

fn login_of(house: &House, user: &str) -> Login {
    let mut login = house.login(user);
    if user == "trusted" {
        login.password = "known-here".to_string();
    }
    login
}

fn refusal(login: &Login) -> Message {
    Raw::try_login(login, &[]).err().unwrap_or_else(|| panic!("{login:?} should have been refused"))
}

fn logins(version: Version, how: &str) {
    let names = [&USERS[..], &[("postgres", "")]].concat();
    let house = House::with_users(version, 2, &format!("auth_type = \"{how}\""), &names);
    for (user, _) in USERS {
        let login = login_of(&house, user);
        let mut client = Raw::login(&login);
        assert_eq!(client.rows("SELECT current_user::text, current_database()::text"), [[user, "app"]], "{how}");
        assert!(client.key.is_some() && client.parameter("server_version").is_some() && client.status == b'I');
    }
    // Refused alike: a wrong password, a user who is not there, one of another database, a database that is not there, a user without a password.
    let mut refused =
        vec![Login { user: "nobody".into(), ..login_of(&house, "app") }, Login { database: "nowhere".into(), ..login_of(&house, "app") }];
    let mut wordless = Vec::new();
    if how != "trust" {
        refused.extend(USERS.map(|(user, _)| Login { password: "wrong".into(), ..login_of(&house, user) }));
        refused.push(Login { password: "anything".into(), ..login_of(&house, "postgres") });
        wordless.extend(["app", "nobody", "postgres"].map(|user| Login { user: user.into(), password: String::new(), ..login_of(&house, "app") }));
    }
    let shape = |login: &Login| {
        let fields = refusal(login).fields();
        assert_eq!(fields[&'S'], "FATAL", "{how} {login:?}");
        let message = fields[&'M'].replace(&format!("user \"{}\"", login.user), "USER");
        let mut letters: Vec<char> = fields.keys().copied().collect();
        letters.sort_unstable();
        (fields[&'C'].clone(), message.replace(&format!("database \"{}\"", login.database), "DATABASE"), letters)
    };
    let mut shapes: Vec<_> = refused.iter().map(shape).collect();
    shapes.dedup();
    assert!(shapes.len() == 1 && shapes[0].0 == "28000", "{how}: the refusals differ: {shapes:?}");
    // An empty password may be answered in its own way, as PostgreSQL does, as long as it is the same for everybody.
    let mut shapes: Vec<_> = wordless.iter().map(shape).collect();
    shapes.dedup();
    assert!(shapes.len() <= 1 && shapes.iter().all(|(code, ..)| code.starts_with("28")), "{how}: the refusals differ: {shapes:?}");
    assert_eq!(one(&mut Raw::login(&login_of(&house, "app")), "SELECT 1"), "1");
}

#[test]
fn a_wrong_password_is_wrong_on_warm_servers_too() {
    let house = House::new(Version::Debian, 2, "");
    for _ in 0..3 {
        assert_eq!(one(&mut house.client(), "SELECT 1"), "1");
        assert_eq!(refusal(&Login { password: "app-secreT".into(), ..house.login("app") }).sqlstate(), "28000");
        assert_eq!(refusal(&Login { password: house.login("other").password, ..house.login("app") }).sqlstate(), "28000");
    }
}

#[test]
fn a_server_that_refuses_us_says_so_to_the_client() {
    let house = House::with_users(Version::Newest, 2, "", &[("app", "server_password = \"wrong\"\n"), ("other", "")]);
    let fields = refusal(&house.login("app")).fields();
    assert_eq!(fields[&'C'], "28P01");
    assert!(fields[&'M'].contains("password authentication failed"), "{fields:?}");
    assert_eq!(one(&mut Raw::login(&house.login("other")), "SELECT 1"), "1");
}

/// CPU time of a process's threads whose name begins so.
fn cpu_time(pid: u32, name: &str) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("pg_dog runs").flatten();
    let read = |thread: &std::fs::DirEntry, file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
    let mine = threads.filter(|thread| read(thread, "comm").starts_with(name));
    let nanoseconds = |thread: std::fs::DirEntry| read(&thread, "schedstat").split(' ').next().and_then(|text| text.parse::<u64>().ok());
    Duration::from_nanos(mine.map(|thread| nanoseconds(thread).expect("the kernel keeps schedstat")).sum())
}

#[test]
fn two_hundred_scram_logins_cost_one_password_hash() {
    let house = House::new(Version::Debian, 2, "");
    let started = Instant::now();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2::<Hmac<Sha256>>(b"app-secret", b"sixteen bytes ..", 4096, &mut salted).expect("the length is right");
    let one_hash = started.elapsed();
    drop(house.client());
    let before = cpu_time(house.dog.pid(), "helper-");
    assert!(before > Duration::ZERO, "the first login was not hashed by a helper");
    for _ in 0..200 {
        drop(house.client());
    }
    let (helpers, all) = (cpu_time(house.dog.pid(), "helper-") - before, cpu_time(house.dog.pid(), ""));
    assert!(helpers < one_hash * 5, "200 logins cost the helpers {helpers:?}, one hash costs {one_hash:?}");
    assert!(all < one_hash * 150, "200 logins cost {all:?}, one hash costs {one_hash:?}");
}

#[test]
fn fifty_first_logins_at_once_hash_once() {
    let house = House::new(Version::Newest, 3, "");
    let started = Instant::now();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2::<Hmac<Sha256>>(b"app-secret", b"sixteen bytes ..", 4096, &mut salted).expect("the length is right");
    let one_hash = started.elapsed();
    let login = house.login("app");
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(one(&mut Raw::login(&login), "SELECT 7"), "7"));
        }
    });
    // Two helpers may begin at the same moment, and the servers' logins need keys of their own.
    let helpers = cpu_time(house.dog.pid(), "helper-");
    assert!(helpers < one_hash * 20, "50 logins cost the helpers {helpers:?}, one hash costs {one_hash:?}");
}

#[test]
fn refused_logins_leave_nothing_behind() {
    let house = House::new(Version::Debian, 2, "");
    let mut watch = house.watch();
    drop(house.client());
    let before = memory(house.dog.pid(), "VmRSS:");
    for i in 0..200 {
        refusal(&Login { user: format!("nobody-{i}"), ..house.login("app") });
    }
    assert!(poll(SOON, || watch.show("CLIENTS").len() == 1), "{:?}", watch.show("CLIENTS"));
    assert!(memory(house.dog.pid(), "VmRSS:") < before + (8 << 20));
    assert!(!house.dog.log().contains("secret"), "a password is in the log");
}
