//! Who a shard is, on real PostgreSQL: three databases become the shards of one, what they say is read back and compared, and whatever is wrong
//! with them is found; two proxies that begin a cluster at once end with one.

use pg_dog::config::sharded::{DataType, Hasher, KeyValue, Sharded, ShardedTable};
use pg_dog::route::commit;
use pg_dog::route::identity::{Found, IdentityError, Place, READ, Step, UNDO, compare, next, read, refusal};
use pg_dog::route::topology::Topology;

use super::support::tools::start_program;
use super::support::{Login, Postgres, Raw, SOON, Version};

const PLACES: [Place<'static>; 3] =
    [Place { shard: 0, place: "shard 0 (one)" }, Place { shard: 1, place: "shard 1 (two)" }, Place { shard: 2, place: "shard 2 (three)" }];
/// Rounds of two proxies that begin a cluster at once.
const RACES: usize = 12;

fn topology(shards: u16, hasher: Hasher) -> Topology {
    let table = ShardedTable {
        schema: None,
        table: Some("it's \\ a \"t\"".to_owned()),
        column: "k\u{e4}".to_owned(),
        data_type: DataType::Bigint,
        hasher,
        primary: false,
        mapping: None,
    };
    let sharded = Sharded { database: "app".to_owned(), shards, tables: vec![table], schemas: Vec::new(), omnisharded: Vec::new() };
    Topology::first(&sharded).expect("a good number")
}

fn connect(postgres: &Postgres, user: &str, database: &str) -> Raw {
    Raw::login(&Login { database: database.to_owned(), ..postgres.login(user) })
}

/// One connection to each of three new databases.
fn shards(postgres: &Postgres, user: &str) -> Vec<Raw> {
    ["one", "two", "three"].map(|name| connect(postgres, user, name)).into()
}

fn with_databases(version: Version) -> Postgres {
    let postgres = Postgres::start(version);
    for name in ["one", "two", "three"] {
        postgres.sql(&format!("CREATE DATABASE {name}"));
    }
    postgres
}

/// What a shard says.
fn ask(client: &mut Raw, place: Place<'_>) -> Result<Found, IdentityError> {
    let messages = client.query(READ);
    match messages.iter().find(|message| message.tag == b'E') {
        Some(error) => refusal(place, &error.sqlstate(), &error.fields()[&'M']),
        None => {
            let columns = messages.iter().find(|message| message.tag == b'D').expect("a row").columns();
            read(place, &columns.iter().map(Option::as_deref).collect::<Vec<_>>())
        }
    }
}

fn ask_all(clients: &mut [Raw]) -> Result<Vec<Found>, IdentityError> {
    clients.iter_mut().zip(PLACES).map(|(client, place)| ask(client, place)).collect()
}

/// Goes step by step until the cluster is ready; how many steps, and its id.
fn begin(clients: &mut [Raw], topology: &Topology, fresh: u8) -> Result<(usize, [u8; 16]), IdentityError> {
    for steps in 0..20 {
        let found = ask_all(clients)?;
        match next(&PLACES[..clients.len()], topology, [fresh; 16], &found)? {
            Step::Ready { cluster } => return Ok((steps, cluster)),
            Step::Run { shard, sql } => {
                let messages = clients[usize::from(shard)].query(&sql);
                if let Some(error) = messages.iter().find(|message| message.tag == b'E') {
                    clients[usize::from(shard)].query(UNDO);
                    refusal(PLACES[usize::from(shard)], &error.sqlstate(), &error.fields()[&'M'])?;
                }
            }
        }
    }
    panic!("there is no end to it");
}

fn error(clients: &mut [Raw], topology: &Topology) -> String {
    begin(clients, topology, 7).expect_err("something is wrong").to_string()
}

fn a_cluster_begins_and_is_known_again(version: Version) {
    let postgres = with_databases(version);
    let topology = topology(3, Hasher::Postgres);
    let mut clients = shards(&postgres, "postgres");
    assert_eq!(ask_all(&mut clients), Ok(vec![Found::Nothing; 3]));
    assert_eq!(begin(&mut clients, &topology, 1), Ok((4, [1; 16])), "three shards, and the mark that all were there");
    assert_eq!(begin(&mut clients, &topology, 2), Ok((0, [1; 16])), "nothing is left to do, and the id stays");
    // As the application, by another spelling of strings and with names of its own in front.
    let mut clients = shards(&postgres, "app");
    for (client, place) in clients.iter_mut().zip(PLACES) {
        client.rows("SET standard_conforming_strings = off; SET search_path = pg_temp, public; CREATE TEMP TABLE identity (cluster int)");
        let found = ask(client, place).expect("anybody may ask");
        assert_eq!(compare(place, &[1; 16], &topology, &found), Ok(()));
        for write in [
            "UPDATE dog.identity SET shard = 0",
            "INSERT INTO dog.map VALUES (2, '{}')",
            "DELETE FROM dog.fact",
            "INSERT INTO dog.decided VALUES ('x', 'c')",
            "SELECT * FROM dog.decided",
            "CREATE TABLE dog.mine ()",
        ] {
            let messages = client.query(write);
            assert!(messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == "42501"), "{write}: {messages:?}");
        }
    }
    let what = "SELECT count(*), min(version), bool_and(shards[s + 1] = s % 3), max(cardinality(shards)) FROM dog.map, generate_series(0, 3071) s";
    assert_eq!(clients[1].rows(what), [["3072", "1", "t", "3072"]]);
}

#[test]
fn a_cluster_begins_on_the_newest_postgresql() {
    a_cluster_begins_and_is_known_again(Version::Newest);
}

#[test]
fn a_cluster_begins_on_the_older_postgresql() {
    a_cluster_begins_and_is_known_again(Version::Debian);
}

#[test]
fn what_is_wrong_with_servers_is_found() {
    let postgres = with_databases(Version::Newest);
    let three = topology(3, Hasher::Postgres);
    let mut clients = shards(&postgres, "postgres");
    begin(&mut clients, &three, 1).expect("three fresh databases");

    clients.swap(1, 2);
    assert!(error(&mut clients, &three).starts_with("shard 1 (two) says that it is shard 2 of cluster 01010101-"));
    clients.swap(1, 2);
    clients.truncate(2);
    let fewer = error(&mut clients, &topology(2, Hasher::Postgres));
    assert!(fewer.starts_with("shard 0 (one) belongs to a cluster that began with 3 shards (3072 slots), and 2 (2048 slots) are conf"), "{fewer}");
    clients.push(connect(&postgres, "postgres", "one"));
    assert!(error(&mut clients, &three).starts_with("shard 2 (three) says that it is shard 0"), "listed twice");
    clients[2] = connect(&postgres, "postgres", "app");
    assert!(error(&mut clients, &three).starts_with("shard 2 (three) has no identity, and cluster 01010101-"), "an empty one");
    clients.swap(0, 2);
    assert!(error(&mut clients, &three).starts_with("shard 0 (one) has no identity, and shard 1 (two) belongs to cluster 01010101-"));

    let mut clients = shards(&postgres, "postgres");
    let rule = error(&mut clients, &topology(3, Hasher::Sha1));
    assert!(rule.contains("\"bigint hash postgres\"") && rule.contains("say \"bigint hash sha1\""), "{rule}");
    // What was changed under our hands.
    for (change, undo, words) in [
        ("UPDATE dog.map SET shards[1] = 1", "UPDATE dog.map SET shards[1] = 0", "version 1 is in use here, but it is another map"),
        ("INSERT INTO dog.map SELECT 2, shards FROM dog.map", "DELETE FROM dog.map WHERE version = 2", "has version 2 of the map of keys"),
        ("UPDATE dog.identity SET cluster = '00000000-0000-0000-0000-000000000003'", "UPDATE dog.identity SET cluster = $", "shards of one database"),
    ] {
        clients[2].rows(change);
        let error = error(&mut clients, &three);
        assert!(error.starts_with("shard 2 (three)") && error.contains(words), "{error}");
        clients[2].rows(&undo.replace('$', &format!("'{}'", KeyValue::Uuid([1; 16]))));
        assert_eq!(begin(&mut clients, &three, 7), Ok((0, [1; 16])));
    }
    // A shard that somebody emptied comes back only when it is said that this is right.
    clients[1].rows("DROP SCHEMA dog CASCADE");
    assert!(error(&mut clients, &three).contains("UPDATE dog.identity SET founded = false on shard 0 (one)"));
    clients[0].rows("UPDATE dog.identity SET founded = false");
    assert_eq!(begin(&mut clients, &three, 7), Ok((2, [1; 16])));
    // So does a copy of its tables without their rows, as pg_dump --schema-only makes it.
    clients[0].rows("UPDATE dog.identity SET founded = false");
    clients[2].rows("TRUNCATE dog.identity, dog.map, dog.fact");
    assert_eq!(begin(&mut clients, &three, 7), Ok((2, [1; 16])));
    // A new rule is added to what is known.
    clients[0].rows("DELETE FROM dog.fact");
    assert_eq!(begin(&mut clients, &three, 7), Ok((1, [1; 16])));
}

#[test]
fn who_may_not_create_is_told() {
    let postgres = with_databases(Version::Newest);
    let topology = topology(3, Hasher::Postgres);
    let mut clients = shards(&postgres, "app");
    let refused = error(&mut clients, &topology);
    assert!(refused.starts_with("shard 0 (one): this server may not be told or asked who it is: permission denied for database one;"), "{refused}");
    assert_eq!(clients[0].rows("SELECT 1"), [["1"]], "the connection goes on");
    // What another role made under our name is not ours.
    for database in ["one", "two", "three"] {
        connect(&postgres, "postgres", database).rows(&format!("GRANT CREATE ON DATABASE {database} TO app, other"));
    }
    connect(&postgres, "other", "one").rows("CREATE SCHEMA dog; GRANT USAGE ON SCHEMA dog TO PUBLIC");
    let refused = error(&mut clients, &topology);
    assert!(refused.contains("schema dog belongs to role \"other\", not to \"app\""), "{refused}");
    connect(&postgres, "other", "one").rows("DROP SCHEMA dog");
    // Rights on everything that a role makes do not reach these tables.
    for client in &mut clients {
        client.rows("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO other, PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO other");
    }
    assert_eq!(begin(&mut clients, &topology, 1), Ok((4, [1; 16])));
    let mut other = connect(&postgres, "other", "one");
    for write in ["DELETE FROM dog.identity", "INSERT INTO dog.decided VALUES ('x', 'c')", "CREATE TABLE dog.mine ()"] {
        let messages = other.query(write);
        assert!(messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == "42501"), "{write}: {messages:?}");
    }
    assert!(matches!(ask(&mut other, PLACES[0]), Ok(Found::Identity(found)) if found.owner == "app"));
}

/// Both make the first step from the same empty shards; one writes each of them, and both end with the same id.
#[test]
fn two_proxies_begin_one_cluster() {
    let postgres = with_databases(Version::Newest);
    let topology = topology(3, Hasher::Postgres);
    let mut taken = [0; 2];
    for round in 0..RACES {
        let start = |fresh: u8| {
            let mut clients = shards(&postgres, "postgres");
            let topology = &topology;
            move || begin(&mut clients, topology, fresh)
        };
        let (mut first, mut second) = (start(1), start(2));
        let (first, second) = std::thread::scope(|scope| {
            let other = std::thread::Builder::new().spawn_scoped(scope, &mut second).expect("a thread");
            (first(), other.join().expect("it did not panic"))
        });
        let (first, second) = (first.expect("both are right"), second.expect("both are right"));
        assert_eq!(first.1, second.1, "round {round}: {first:?} and {second:?}");
        taken[usize::from(first.1[0] == 2)] += 1;
        for (client, place) in shards(&postgres, "postgres").iter_mut().zip(PLACES) {
            let found = ask(client, place).expect("anybody may ask");
            assert_eq!(compare(place, &first.1, &topology, &found), Ok(()), "round {round}");
            client.rows("DROP SCHEMA dog CASCADE");
        }
    }
    assert_eq!(taken.iter().sum::<usize>(), RACES);
}

/// The verdict belongs to the role that gave it, however it came to be that role, and is true when its transaction commits.
#[test]
fn verdicts_belong_to_their_role() {
    let postgres = with_databases(Version::Debian);
    let mut clients = shards(&postgres, "postgres");
    begin(&mut clients, &topology(3, Hasher::Postgres), 1).expect("three fresh databases");
    let mut app = connect(&postgres, "app", "one");
    app.rows("SELECT dog.decide('mine')");
    app.rows("BEGIN");
    app.rows("SELECT dog.decide('undone')");
    app.rows("ROLLBACK");
    clients[0].rows("SET ROLE other");
    clients[0].rows("SELECT dog.decide('theirs')");
    clients[0].rows("RESET ROLE");
    let rows = clients[0].rows("SELECT gid, verdict, owner, at <= now() FROM dog.decided ORDER BY gid");
    assert_eq!(rows, [["mine", "c", "app", "t"], ["theirs", "c", "other", "t"]]);
    // Who recovers gets in first or finds what was decided, never both.
    let mut trusted = connect(&postgres, "trusted", "one");
    let resolve = |client: &mut Raw, gid: &str| client.rows(&format!("SELECT verdict, owner FROM dog.resolve('{gid}')"));
    assert_eq!(resolve(&mut trusted, "mine"), [["c", "app"]]);
    assert_eq!(resolve(&mut trusted, "late"), [["a", "postgres"]]);
    assert_eq!(resolve(&mut clients[0], "late"), [["a", "postgres"]]);
    for (gid, state) in [("late", "23505"), (&*"x".repeat(200), "23514"), ("", "23514")] {
        let messages = app.query(&format!("SELECT dog.decide('{gid}')"));
        assert!(messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == state), "{gid}: {messages:?}");
    }
    assert!(app.query(&format!("SELECT dog.decide('{}')", "x".repeat(199))).iter().all(|message| message.tag != b'E'));
}

/// Whoever decides has it on disk before it is said, and does not weaken what was asked for.
#[test]
fn a_decision_is_on_disk() {
    for version in [Version::Debian, Version::Newest] {
        let postgres = with_databases(version);
        let mut clients = shards(&postgres, "postgres");
        begin(&mut clients, &topology(3, Hasher::Postgres), 1).expect("three fresh databases");
        let mut app = connect(&postgres, "app", "one");
        for (before, within) in [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
            app.rows(&format!("SET synchronous_commit = {before}"));
            app.rows("BEGIN");
            app.rows(&format!("SELECT dog.decide('{before}')"));
            assert_eq!(app.rows("SHOW synchronous_commit"), [[within]], "{before}");
            app.rows("COMMIT");
            assert_eq!(app.rows("SHOW synchronous_commit"), [[before]]);
        }
    }
}

/// A decision is forgotten when it is old and by those whose it is; a refusal when nobody is left whom it keeps from deciding.
#[test]
fn what_is_needed_is_not_forgotten() {
    let postgres = with_databases(Version::Newest);
    let mut clients = shards(&postgres, "postgres");
    begin(&mut clients, &topology(3, Hasher::Postgres), 1).expect("three fresh databases");
    let root = &mut clients[0];
    let (mut app, mut other) = (connect(&postgres, "app", "one"), connect(&postgres, "other", "one"));
    let mut late = connect(&postgres, "trusted", "one");
    late.rows("BEGIN");
    late.rows("CREATE TEMP TABLE written ()");
    let name = |digit: &str| format!("dog:{}:7:{}", "0".repeat(16), digit.repeat(32));
    let (young, old, no) = (name("a"), name("b"), name("c"));
    let aged = |root: &mut Raw, gid: &str, age: &str| root.rows(&format!("UPDATE dog.decided SET at = now() - interval '{age}' WHERE gid = '{gid}'"));
    for gid in [&young, &old, "by hand"] {
        app.rows(&format!("SELECT dog.decide('{gid}')"));
    }
    other.rows(&format!("SELECT dog.resolve('{no}')"));
    aged(root, &old, "61 seconds");
    aged(root, "by hand", "61 seconds");
    aged(root, &no, "59 minutes");
    let all = format!("SELECT dog.forget('{{{young},{old},{no},never}}')");
    let listed = |client: &mut Raw| client.rows(&commit::decisions(&[0; 16])).concat().join(" ");
    assert_eq!((listed(&mut app), listed(&mut other), listed(root)), (old.clone(), String::new(), old.clone()));
    assert_eq!(app.rows(&commit::decisions(&[1; 16])), [[""; 0]; 0], "of another cluster");
    assert_eq!(other.rows(&all), [["0"]], "it is not theirs");
    root.rows("GRANT app TO other");
    assert_eq!(other.rows(&all), [["1"]]);
    aged(root, &no, "61 minutes");
    assert_eq!(app.rows(&all), [["0"]], "a transaction from before the refusal could still decide");
    let messages = late.query(&format!("SELECT dog.decide('{no}')"));
    assert!(messages.iter().any(|message| message.tag == b'E' && message.sqlstate() == commit::REFUSED), "{messages:?}");
    late.rows("ROLLBACK");
    assert_eq!(listed(&mut other), no);
    aged(root, &young, "0 seconds");
    assert_eq!(app.rows(&all), [["1"]]);
    assert_eq!(root.rows("SELECT gid FROM dog.decided ORDER BY gid"), [["by hand"], [&*young]]);
    // What an older version has made is brought up to date; what was decided stays.
    root.rows("ALTER TABLE dog.decided DROP COLUMN xact CASCADE");
    root.rows("DROP FUNCTION dog.resolve");
    root.rows(&commit::upgrade());
    assert_eq!(other.rows(&format!("SELECT verdict, owner FROM dog.resolve('{young}')")), [["c", "app"]]);
    assert_eq!(listed(&mut other), "");
}

/// A shard's schema survives a dump and a restore: names in it do not depend on a search_path.
#[test]
fn the_schema_survives_a_dump() {
    let postgres = with_databases(Version::Debian);
    let mut clients = shards(&postgres, "postgres");
    let topology = topology(3, Hasher::Postgres);
    begin(&mut clients, &topology, 1).expect("three fresh databases");
    let login = Login { database: "two".to_owned(), ..postgres.login("postgres") };
    let dump = start_program(&login, "pg_dump", &["--inserts"]).finish(SOON).expect_success();
    let mut copy = connect(&postgres, "postgres", "app");
    // What begins so is for psql.
    copy.rows(&dump.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n"));
    let found = ask(&mut copy, PLACES[1]).expect("it may be asked");
    assert_eq!(compare(PLACES[1], &[1; 16], &topology, &found), Ok(()));
    assert_eq!(copy.rows("SELECT dog.slot(42::bigint, 3072) = dog.slot(42::smallint, 3072), dog.slot(NULL::uuid, 3072)"), [["t", "0"]]);
}
