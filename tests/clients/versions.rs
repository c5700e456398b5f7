//! Versions of the protocol: what each client is told, as PostgreSQL 18 tells it, and cancel keys of every length on both legs.

use super::house::{House, cancel, error, one};
use super::support::{Login, Raw, SOON, Version, raw, tools};

/// The length of the secret and the NegotiateProtocolVersion that a client of this version gets.
fn welcomed(login: &Login, version: u32, parameters: &[(&str, &str)]) -> (usize, Option<Vec<u8>>) {
    let client = arrive(login, version, parameters);
    (client.key.expect("it was told its key").1.len(), client.negotiated)
}

fn arrive(login: &Login, version: u32, parameters: &[(&str, &str)]) -> Raw {
    let mut client = Raw::connect(login.port);
    let all = [&[("user", login.user.as_str()), ("database", login.database.as_str())], parameters].concat();
    client.send(&raw::startup_version(version, &all));
    client.authenticate(&login.user, &login.password).unwrap_or_else(|refusal| panic!("{version:#x}: {refusal:?}"));
    client
}

#[test]
fn every_version_is_answered_as_by_postgresql() {
    let house = House::new(Version::Newest, 2, "");
    let (direct, through) = (house.postgres.login("app"), house.login("app"));
    let mut long = 0;
    for minor in [0, 1, 2, 3, 4, 255, 9999, 0xffff] {
        for options in [&[][..], &[("_pq_.a", "1")], &[("_pq_.a", ""), ("application_name", "x"), ("_pq_.b", "2")]] {
            let version = 0x0003_0000 | minor;
            let expected = welcomed(&direct, version, options);
            assert_eq!(welcomed(&through, version, options), expected, "3.{minor} with {options:?}");
            long += usize::from(expected.0 == 32);
        }
    }
    assert_eq!(long, 18, "3.2 and what is newer has keys of 32 bytes");
    // Older than 3 is refused in the form of that version, which nobody has spoken since 2003 and we do not.
    for version in [0x0004_0000, 0x0005_0002, 0xffff_ffff] {
        let refusal = |login: &Login| {
            let mut client = Raw::connect(login.port);
            client.send(&raw::startup_version(version, &[("user", "app")]));
            let end = client.read_until_closed();
            let fields = error(&end);
            ['S', 'C', 'M'].map(|field| fields[&field].clone())
        };
        assert_eq!(refusal(&through), refusal(&direct), "{version:#x}");
    }
    // What the protocol is told is no parameter of the session.
    assert_eq!(one(&mut arrive(&through, 0x0003_0002, &[("_pq_.a", "1")]), "SELECT current_setting('_pq_.a', true) IS NULL"), "t");
}

#[test]
fn long_keys_cancel_and_nearly_right_ones_do_not() {
    let house = House::new(Version::Newest, 2, "");
    let (login, mut watch) = (house.login("app"), house.watch());
    watch.direct.rows("SELECT pg_advisory_lock(7)");
    let mut client = arrive(&login, 0x0003_0002, &[]);
    let (pid, secret) = client.key.clone().expect("it was told its key");
    assert_eq!(secret.len(), 32);
    client.send(&raw::query("SELECT 'whole' FROM pg_advisory_xact_lock(7)"));
    watch.wait_for_sessions(1, "wait_event_type = 'Lock'");
    let mut last = secret.clone();
    last[31] ^= 1;
    let cut = |length: usize| secret.iter().copied().cycle().take(length).collect::<Vec<u8>>();
    for wrong in [last, cut(4), cut(31), cut(33), cut(64), cut(256), vec![0; 32]] {
        // From any core: the kernel spreads connections.
        for _ in 0..4 {
            cancel(&login, &(pid, wrong.clone()));
        }
    }
    assert_eq!(watch.sessions("wait_event_type = 'Lock'"), 1, "a query was cancelled with a wrong key");
    cancel(&login, &(pid, secret));
    assert_eq!(error(&client.read_until_ready())[&'C'], "57014");
    // A client of 3.0 knows four bytes, and zeros behind them are not its key.
    let mut old = house.client();
    let (pid, secret) = old.key.clone().expect("it was told its key");
    old.send(&raw::query("SELECT 'whole' FROM pg_advisory_xact_lock(7)"));
    watch.wait_for_sessions(1, "wait_event_type = 'Lock'");
    cancel(&login, &(pid, [secret.as_slice(), &[0; 28]].concat()));
    assert_eq!(watch.sessions("wait_event_type = 'Lock'"), 1);
    cancel(&login, &(pid, secret));
    assert_eq!(error(&old.read_until_ready())[&'C'], "57014");
    watch.wait_until_settled();
}

/// With `server_protocol = "3.2"` PostgreSQL 18 gives keys of 32 bytes, PostgreSQL 15 answers that it speaks 3.0: both are cancelled.
#[test]
fn servers_are_asked_for_the_configured_version() {
    for version in [Version::Newest, Version::Debian] {
        let house = House::new(version, 2, "server_protocol = \"3.2\"");
        let (login, mut watch) = (house.login("app"), house.watch());
        for mut client in [house.client(), arrive(&login, 0x0003_0002, &[])] {
            client.send(&raw::query("SELECT pg_sleep(600)"));
            watch.wait_for_sessions(1, "query LIKE '%pg_sleep(600)%' AND state = 'active'");
            cancel(&login, client.key.as_ref().expect("it was told its key"));
            assert_eq!(error(&client.read_until_ready())[&'C'], "57014");
            assert_eq!(one(&mut client, "SELECT 'alive'"), "alive");
        }
        watch.wait_until_settled();
    }
}

/// The newest libpq, which is told the versions by its environment, under the system's psql.
#[test]
fn psql_of_every_version_cancels() {
    let library = tools::folder().join("postgres-newest/lib");
    let library = library.to_str().expect("a plain path");
    let house = House::new(Version::Newest, 2, "");
    let mut watch = house.watch();
    for (least, most) in [("3.0", "3.0"), ("3.0", "3.2"), ("3.2", "3.2"), ("3.2", "latest")] {
        let environment = [("LD_LIBRARY_PATH", library), ("PGMINPROTOCOLVERSION", least), ("PGMAXPROTOCOLVERSION", most)];
        for login in [house.postgres.login("app"), house.login("app")] {
            let arguments = ["-v", "ON_ERROR_STOP=0", "-c", "SELECT pg_sleep(600)", "-c", "SELECT 'alive'"];
            let mut client = tools::start_psql_with(&login, &arguments, &environment);
            watch.wait_for_sessions(1, "query LIKE '%pg_sleep(600)%' AND state = 'active'");
            client.signal("INT");
            let output = client.finish(SOON);
            assert!(output.stderr.contains("canceling statement due to user request"), "{least} to {most}: {output:?}");
            watch.wait_for_sessions(0, "state = 'active'");
        }
    }
    watch.wait_until_settled();
}
