//! Connections that replicate, seen message by message: what they may say, whose servers they have, how they end, and that neither side's hurry fills
//! memory. The programs that people use for it are in `replicate`.

use super::house::{House, cancel, error, extended, one, tags};
use super::support::raw::{self, Message, Raw};
use super::support::{Dog, Login, Postgres, SOON, Version, beside, config, pace, wait_until};
use std::time::{Duration, Instant};

crate::on_both!(
    it_is_as_without,
    it_has_a_walsender_that_is_its_alone,
    a_standby_that_reads_slowly_fills_no_memory,
    a_server_that_reads_slowly_fills_no_memory,
    who_goes_leaves_no_walsender,
    what_had_not_begun_when_its_client_went_is_stopped_too,
    a_server_that_ends_ends_its_client,
    places_are_shared_with_everybody_else,
    who_may_not_is_told_why,
    it_is_cancelled,
    the_operator_ends_it,
    the_end_of_pg_dog_waits_for_no_stream,
    physical_replication_finds_its_server,
    a_user_whose_clients_all_replicate,
);

/// For PostgreSQLs that are replicated.
const SETTINGS: &str = "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\nwal_keep_size = '1GB'\nwal_sender_timeout = '60s'\n";

/// A PostgreSQL that lets `app` replicate.
pub fn postgres(version: Version) -> Postgres {
    let postgres = Postgres::start_with(version, SETTINGS);
    postgres.sql("ALTER ROLE app REPLICATION");
    postgres.sql("COPY (SELECT 'host replication all 127.0.0.1/32 scram-sha-256') TO PROGRAM 'cat >> pg_hba.conf'");
    postgres.sql("SELECT pg_reload_conf()");
    let login = postgres.login("app");
    wait_until("its rules are read again", SOON, || Raw::try_login(&login, &[("replication", "true")]).is_ok());
    postgres
}

/// pg_dog in front of one.
pub fn house(version: Version, size: usize, general: &str) -> House {
    House::around(postgres(version), size, general, &[("app", ""), ("other", "")])
}

/// A client that replicates.
fn standby(login: &Login, word: &str) -> Raw {
    Raw::try_login(login, &[("replication", word)]).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Walsenders that PostgreSQL has.
pub fn walsenders(direct: &mut Raw) -> u64 {
    one(direct, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'").parse().expect("a count")
}

pub fn wait_for_walsenders(direct: &mut Raw, count: u64) {
    wait_until(&format!("{count} walsenders"), SOON, || walsenders(direct) == count);
}

/// Where the write-ahead log ends.
fn position(client: &mut Raw) -> String {
    client.rows("IDENTIFY_SYSTEM")[0][2].clone()
}

fn number(lsn: &str) -> u64 {
    let (high, low) = lsn.split_once('/').expect("two numbers");
    let half = |text: &str| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    half(high) << 32 | half(low)
}

/// Begins to stream the log.
fn stream(client: &mut Raw, from: &str) {
    client.send(&raw::query(&format!("START_REPLICATION PHYSICAL {from}")));
    client.read_until(b'W');
}

/// Writes so many megabytes of log.
fn write_log(direct: &mut Raw, megabytes: usize) {
    for _ in 0..megabytes {
        direct.rows("SELECT pg_logical_emit_message(false, 'x', repeat('y', 1000000))");
    }
}

/// The log in a message of the stream: where it begins, and how long it is.
fn log_of(message: &Message) -> Option<(u64, u64)> {
    assert_eq!(message.tag, b'd', "{message:?}");
    let at = |place: usize| u64::from_be_bytes(message.body[place..place + 8].try_into().expect("eight bytes"));
    (message.body[0] == b'w').then(|| (at(1), message.body.len() as u64 - 25))
}

/// What a client hears of these words: kinds of messages, sizes of rows and of their descriptions, errors but for the line of PostgreSQL's source.
fn heard(client: &mut Raw, words: &[u8], until: u8) -> (Vec<(u8, usize)>, Vec<String>, u8) {
    client.send(words);
    let answer = client.read_until(until);
    let bodies = answer.iter().map(|message| (message.tag, if b"DT".contains(&message.tag) { message.body.len() } else { 0 })).collect();
    let errors = answer.iter().filter(|message| message.tag == b'E').map(Message::fields);
    let errors = errors.map(|fields| format!("{} {} {}", fields[&'S'], fields[&'C'], fields[&'M'])).collect();
    (bodies, errors, client.status)
}

/// The same words to PostgreSQL and through pg_dog: the same answers.
fn it_is_as_without(version: Version) {
    let house = house(version, 4, "");
    house.postgres.sql("CREATE TABLE items (a int); ALTER TABLE items OWNER TO app");
    let (direct, through) = (house.postgres.login("app"), house.login("app"));
    for word in ["database", "true", "on", "1", "YES"] {
        let mut clients = [standby(&direct, word), standby(&through, word)];
        for name in ["server_version", "client_encoding", "TimeZone", "application_name", "is_superuser", "DateStyle"] {
            assert_eq!(clients[0].parameter(name), clients[1].parameter(name), "{name}");
        }
        let mut words: Vec<Vec<u8>> = vec![[extended("SELECT 1", &[]), raw::sync()].concat()];
        let texts = [
            "IDENTIFY_SYSTEM",
            "SHOW wal_level",
            "SELECT 1 AS one, 'two'",
            "SELECT 1/0",
            "START_REPLICATION SLOT missing LOGICAL 0/0",
            "no such command",
            "",
            "COPY items TO STDOUT",
            "BEGIN",
            "SELECT count(*) FROM items",
            "ROLLBACK",
            "TIMELINE_HISTORY 1",
        ];
        words.extend(texts.map(raw::query));
        let [mut without, mut with] = [Vec::new(), Vec::new()];
        for (client, said) in clients.iter_mut().zip([&mut without, &mut with]) {
            if word == "database" {
                said.push(heard(client, &raw::query("COPY items FROM STDIN"), b'G'));
                said.push(heard(client, &[raw::copy_data(b"1\n"), raw::copy_data(b"2\n"), raw::copy_done()].concat(), b'Z'));
            }
            said.extend(words.iter().map(|words| heard(client, words, b'Z')));
            said.push(heard(client, &[raw::query("SHOW port"), raw::query("IDENTIFY_SYSTEM")].concat(), b'Z'));
            client.read_until_ready();
            client.send(&raw::terminate());
            assert_eq!(client.read_until_closed(), []);
            house.postgres.sql("TRUNCATE items");
        }
        assert_eq!(with, without, "{word}");
    }
    let refused = Raw::try_login(&through, &[("replication", "perhaps")]).err().expect("that is no value");
    let without = Raw::try_login(&direct, &[("replication", "perhaps")]).err().expect("nor for PostgreSQL");
    for field in ['S', 'C', 'M'] {
        assert_eq!(refused.fields()[&field], without.fields()[&field]);
    }
    assert!(Raw::try_login(&through, &[("replication", "off")]).is_ok());
}

fn it_has_a_walsender_that_is_its_alone(version: Version) {
    let house = house(version, 4, "");
    let mut watch = house.watch();
    let mut others: Vec<Raw> = (0..6).map(|_| house.client()).collect();
    let words =
        [("replication", "database"), ("application_name", "mine"), ("options", "-c geqo=off -c search_path=pg_temp"), ("TimeZone", "Asia/Tokyo")];
    let mut mine = Raw::try_login(&house.login("app"), &words).expect("it may replicate");
    assert_eq!((mine.parameter("TimeZone"), mine.parameter("application_name")), (Some("Asia/Tokyo"), Some("mine")));
    let pid = one(&mut mine, "SELECT pg_backend_pid()");
    mine.rows("SET work_mem = '77MB'; CREATE TEMP TABLE kept (a int); PREPARE named AS SELECT 7");
    for round in 0..5 {
        for other in &mut others {
            assert_ne!(one(other, "SELECT pg_backend_pid()"), pid, "a walsender was given to somebody else");
            assert_eq!(other.rows("SELECT current_setting('work_mem'), current_setting('TimeZone')"), [["4MB", "UTC"]]);
        }
        let kept = "SELECT pg_backend_pid(), current_setting('work_mem'), current_setting('geqo'), (SELECT count(*) FROM kept)";
        assert_eq!(mine.rows(kept), [[pid.as_str(), "77MB", "off", "0"]], "round {round}");
        assert_eq!(one(&mut mine, "EXECUTE named"), "7");
    }
    let names = watch.direct.rows("SELECT application_name FROM pg_stat_activity WHERE backend_type = 'walsender'");
    assert_eq!(names, [["mine"]]);
    let clients = watch.show("CLIENTS");
    let replicating: Vec<_> = clients.iter().filter(|row| row["replication"] != "none").collect();
    assert_eq!(replicating.len(), 1);
    assert_eq!((replicating[0]["replication"].as_str(), replicating[0]["application_name"].as_str()), ("logical", "mine"));
    let servers = watch.show("SERVERS");
    let own: Vec<_> = servers.iter().filter(|row| row["remote_pid"] == pid).collect();
    assert_eq!((own.len(), &own[0]["client_id"]), (1, &replicating[0]["id"]));
    mine.send(&raw::terminate());
    assert_eq!(mine.read_until_closed(), []);
    wait_for_walsenders(&mut watch.direct, 0);
    watch.wait_until_settled();
    assert!(watch.show("SERVERS").iter().all(|row| row["remote_pid"] != pid));
    // Whoever comes next is told nothing of all this.
    let next = house.client();
    assert_eq!((next.parameter("TimeZone"), next.parameter("application_name")), (Some("UTC"), Some("")));
}

/// Waits until a number that has begun to grow grows no more; the number.
fn stands_still(mut look: impl FnMut() -> u64) -> u64 {
    let (mut last, mut same) = (0, 0);
    wait_until("it stands still", SOON, || {
        let now = look();
        same = if now == last && now > 100_000 { same + 1 } else { 0 };
        last = now;
        same == 60
    });
    last
}

/// Memory that pg_dog may gain meanwhile, bytes.
const SLACK: usize = 24 << 20;

fn a_standby_that_reads_slowly_fills_no_memory(version: Version) {
    let house = house(version, 3, "");
    let mut watch = house.watch();
    house.warm_up();
    let mut slow = standby(&house.login("app"), "true");
    let from = position(&mut slow);
    write_log(&mut watch.direct, 100);
    let to = number(&one(&mut watch.direct, "SELECT pg_current_wal_flush_lsn()"));
    let before = house.peak_memory();
    stream(&mut slow, &from);
    // Its walsender has filled every buffer there is on the way, of which pg_dog's is none.
    let passed = stands_still(|| {
        let clients = watch.show("CLIENTS");
        let row = clients.iter().find(|row| row["replication"] == "physical").expect("it is there");
        row["bytes_sent"].parse().expect("a number")
    });
    assert!(passed < 60 << 20, "{passed} bytes are on the way to a client that does not read");
    for _ in 0..20 {
        pace(Duration::from_millis(10));
        assert_eq!(one(&mut house.client(), "SELECT 'others go on'"), "others go on");
    }
    let mut at = number(&from);
    while at < to {
        if let Some((begins, length)) = log_of(&slow.read()) {
            assert_eq!(begins, at, "a part of the log is missing, or came twice");
            at += length;
        }
    }
    let grown = house.peak_memory() - before;
    assert!(grown < SLACK, "memory grew by {grown} bytes");
    // Both sides end the stream, and the connection can be asked again.
    slow.send(&raw::copy_done());
    let end = slow.read_until_ready();
    assert!(end.iter().any(|message| message.tag == b'c') && end.iter().all(|message| message.tag != b'E'), "{end:?}");
    assert!(number(&position(&mut slow)) >= to);
}

fn a_server_that_reads_slowly_fills_no_memory(version: Version) {
    let house = house(version, 3, "");
    let mut watch = house.watch();
    house.postgres.sql(
        "CREATE TABLE items (a int, b text); ALTER TABLE items OWNER TO app;
         CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(9); RETURN NULL; END';
         CREATE TRIGGER waits BEFORE INSERT ON items FOR EACH STATEMENT EXECUTE FUNCTION waits()",
    );
    watch.direct.rows("SELECT pg_advisory_lock(9)");
    let mut mine = standby(&house.login("app"), "database");
    mine.set_deadline(Duration::from_secs(60));
    mine.send(&raw::query("COPY items FROM STDIN"));
    mine.read_until(b'G');
    let before = house.peak_memory();
    let row = raw::copy_data(format!("1\t{}\n", "z".repeat(10_000)).as_bytes());
    let sender = std::thread::spawn(move || {
        for _ in 0..6_000 {
            mine.send(&row);
        }
        mine.send(&raw::copy_done());
        mine
    });
    let last = stands_still(|| {
        let clients = watch.show("CLIENTS");
        let row = clients.iter().find(|row| row["replication"] == "logical").expect("it is there");
        row["bytes_received"].parse().expect("a number")
    });
    assert!(last < 40 << 20, "the server took {last} bytes without reading them");
    let grown = house.peak_memory() - before;
    assert!(grown < SLACK, "memory grew by {grown} bytes");
    watch.direct.rows("SELECT pg_advisory_unlock(9)");
    let mut mine = sender.join().expect("all of it is sent");
    assert_eq!(mine.read_until_ready()[0].text(), "COPY 6000");
    assert_eq!(one(&mut mine, "SELECT count(*) || ' ' || sum(length(b)) FROM items"), "6000 60000000");
}

/// What a client does before it goes.
type Scene = fn(&mut Raw);

fn who_goes_leaves_no_walsender(version: Version) {
    let house = house(version, 2, "");
    let mut watch = house.watch();
    let login = house.login("app");
    let scenes: [(&str, Scene); 7] = [
        ("idle", |_| {}),
        ("in a stream", |client| {
            let from = position(client);
            stream(client, &from);
        }),
        ("in a stream, and in mid message", |client| {
            let from = position(client);
            stream(client, &from);
            client.send(&raw::copy_data(&[b'r'; 34])[..20]);
        }),
        ("in a query", |client| client.send(&raw::query("SELECT pg_sleep(600)"))),
        ("in mid query", |client| client.send(&raw::query("SELECT 'never whole'")[..9])),
        ("in a transaction", |client| drop(client.query("BEGIN; LOCK TABLE pg_class IN ACCESS SHARE MODE"))),
        ("in a backup", |client| {
            client.send(&raw::query("BASE_BACKUP ( LABEL 'x', CHECKPOINT 'fast', MAX_RATE 32 )"));
            client.read_until(b'd');
        }),
    ];
    for (scene, begin) in scenes {
        for reset in [false, true] {
            let mut clients = [standby(&login, "database"), standby(&login, "database")];
            clients.iter_mut().for_each(begin);
            assert_eq!(walsenders(&mut watch.direct), 2, "{scene}");
            for client in clients {
                if reset { client.reset() } else { drop(client) }
            }
            let left = Instant::now();
            wait_for_walsenders(&mut watch.direct, 0);
            assert!(left.elapsed() < Duration::from_secs(4), "{scene}: they stayed for {:?}", left.elapsed());
            // Both places are free again, for anybody.
            let mut others = [house.client(), house.client()];
            for other in &mut others {
                other.rows("BEGIN; SELECT 1");
            }
        }
    }
    watch.wait_until_settled();
}

/// A cancel request that comes before its query has begun is nobody's: PostgreSQL forgets it. Of these some always do.
fn what_had_not_begun_when_its_client_went_is_stopped_too(version: Version) {
    let house = house(version, 8, "");
    let mut watch = house.watch();
    for _ in 0..4 {
        let mut clients: Vec<Raw> = (0..8).map(|_| standby(&house.login("app"), "database")).collect();
        clients.iter_mut().for_each(|client| client.send(&raw::query("SELECT pg_sleep(600)")));
        drop(clients);
        let left = Instant::now();
        wait_for_walsenders(&mut watch.direct, 0);
        assert!(left.elapsed() < Duration::from_secs(4), "they stayed for {:?}", left.elapsed());
    }
    watch.wait_until_settled();
}

fn a_server_that_ends_ends_its_client(version: Version) {
    let mut house = house(version, 4, "");
    let mut watch = house.watch();
    let login = house.login("app");
    let (mut idle, mut streaming, mut other) = (standby(&login, "database"), standby(&login, "true"), house.client());
    other.rows("SELECT 1");
    let from = position(&mut streaming);
    stream(&mut streaming, &from);
    watch.direct.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'");
    for client in [&mut idle, &mut streaming] {
        let end = client.read_until_closed();
        assert_eq!((error(&end)[&'C'].as_str(), error(&end)[&'S'].as_str()), ("57P01", "FATAL"), "{end:?}");
        assert!(end.last().is_some_and(|message| message.tag == b'E'), "its last words are the last: {end:?}");
    }
    assert_eq!(one(&mut other, "SELECT 'others go on'"), "others go on");
    // A crash: what comes is what comes without pg_dog.
    let mut without = standby(&house.postgres.login("app"), "true");
    let mut with = standby(&login, "true");
    let from = position(&mut with);
    stream(&mut with, &from);
    stream(&mut without, &from);
    drop(watch);
    house.postgres.crash_and_restart();
    let told = |client: &mut Raw| {
        client.read_until_closed().into_iter().filter(|message| b"EN".contains(&message.tag)).map(|m| m.fields().remove(&'C')).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut with), told(&mut without));
    let mut again = standby(&login, "true");
    let from = position(&mut again);
    stream(&mut again, &from);
    wait_until("others are served again", SOON, || Raw::try_login(&login, &[]).is_ok_and(|mut client| client.query("SELECT 1").len() == 4));
}

fn places_are_shared_with_everybody_else(version: Version) {
    let house = house(version, 2, "checkout_timeout = 60000");
    let mut watch = house.watch();
    let login = house.login("app");
    // Both places are at rest, with servers that nobody can replicate with.
    let mut others = [house.client(), house.client()];
    others.iter_mut().for_each(|other| drop(other.rows("BEGIN; SELECT 1")));
    others.iter_mut().for_each(|other| drop(other.rows("COMMIT")));
    assert_eq!((watch.sessions("true"), walsenders(&mut watch.direct)), (2, 0));
    let first = standby(&login, "database");
    assert_eq!((watch.sessions("true"), walsenders(&mut watch.direct)), (1, 1));
    let second = standby(&login, "database");
    assert_eq!((watch.sessions("true"), walsenders(&mut watch.direct)), (0, 2));
    // Three who wait: in the order in which they came.
    others[0].send(&raw::query("SELECT 'first'"));
    // Over cores the order is kept but for 3 ms.
    wait_until("one has waited for longer", SOON, || watch.pools("maxwait_us") > 10_000);
    let third = std::thread::spawn({
        let login = login.clone();
        move || standby(&login, "database")
    });
    wait_until("two wait", SOON, || watch.pools("cl_waiting") == 2);
    drop(first);
    let answer = others[0].read_until_ready();
    assert_eq!((tags(&answer).as_str(), answer[1].text().as_str()), ("TDCZ", "first"));
    let mut third = third.join().expect("its turn has come");
    assert_eq!(one(&mut third, "SELECT 'third'"), "third");
    assert_eq!((watch.sessions("true"), walsenders(&mut watch.direct)), (0, 2), "the place of the first");
    drop((second, third));
    wait_for_walsenders(&mut watch.direct, 0);
    for other in &mut others {
        other.rows("BEGIN; SELECT 1");
    }
    assert_eq!(watch.sessions("true"), 2);
}

fn who_may_not_is_told_why(version: Version) {
    let house = house(version, 2, "");
    let mut other = house.client();
    other.rows("SELECT 1");
    // As anybody else.
    for (user, password) in [("app", "wrong"), ("nobody", "app-secret")] {
        let login = Login { user: user.into(), password: password.into(), ..house.login("app") };
        for word in ["true", "database"] {
            let refused = Raw::try_login(&login, &[("replication", word)]).err().expect("that is not the password");
            assert_eq!(refused.sqlstate(), "28000");
        }
    }
    // As PostgreSQL says it.
    for word in ["true", "database"] {
        let refused = Raw::try_login(&house.login("other"), &[("replication", word)]).err().expect("it may not replicate");
        let without = Raw::try_login(&house.postgres.login("other"), &[("replication", word)]).err().expect("nor without pg_dog");
        for field in ['S', 'C', 'M'] {
            assert_eq!(refused.fields()[&field], without.fields()[&field]);
        }
    }
    let wishes = [("replication", "database"), ("no_such_parameter", "1")];
    let refused = Raw::try_login(&house.login("app"), &wishes).err().expect("there is no such parameter");
    assert_eq!(refused.fields()[&'C'], "42704");
    let admin = Raw::try_login(&house.dog.admin_login(), &[("replication", "true")]).err().expect("nothing is replicated there");
    assert_eq!(admin.sqlstate(), "0A000");
    // Nobody else has noticed.
    assert_eq!(one(&mut other, "SELECT 'others go on'"), "others go on");
    assert_eq!(one(&mut Raw::login(&house.login("other")), "SELECT 'and so does who may not'"), "and so does who may not");
    house.watch().wait_until_settled();
}

fn it_is_cancelled(version: Version) {
    let house = house(version, 3, "");
    let mut watch = house.watch();
    let login = house.login("app");
    let mut clients: Vec<Raw> = (0..3).map(|_| standby(&login, "database")).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.send(&raw::query("SELECT pg_sleep(600)"));
        }
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        wait_until("they sleep", SOON, || one(&mut watch.direct, asleep) == "3");
        for (i, client) in clients.iter_mut().enumerate() {
            cancel(&login, client.key.as_ref().expect("it was told its key"));
            assert_eq!(error(&client.read_until_ready())[&'C'], "57014");
            // What is asked next is not hit.
            assert_eq!(one(client, "SELECT 'next' FROM pg_sleep(0.01)"), "next");
            assert_eq!(one(&mut watch.direct, asleep), (2 - i).to_string(), "somebody else was hit");
        }
    }
}

fn the_operator_ends_it(version: Version) {
    let house = house(version, 3, "");
    let mut watch = house.watch();
    let login = house.login("app");
    let mut streaming = standby(&login, "true");
    let from = position(&mut streaming);
    stream(&mut streaming, &from);
    // A pause waits for transactions, and a stream is none.
    assert_eq!(tags(&watch.admin.query("PAUSE app")), "CZ");
    assert_eq!(tags(&watch.admin.query("RESUME app")), "CZ");
    assert_eq!(walsenders(&mut watch.direct), 1);
    assert_eq!(tags(&watch.admin.query("KILL app")), "CZ");
    let end = streaming.read_until_closed();
    assert_eq!(error(&end)[&'C'], "57P01");
    wait_for_walsenders(&mut watch.direct, 0);
    watch.wait_until_settled();
}

fn the_end_of_pg_dog_waits_for_no_stream(version: Version) {
    let mut house = house(version, 4, "shutdown_timeout = 60000");
    let mut watch = house.watch();
    let login = house.login("app");
    let (mut idle, mut busy, mut open) = (standby(&login, "database"), standby(&login, "true"), house.client());
    open.rows("BEGIN; SELECT 1");
    let from = position(&mut busy);
    stream(&mut busy, &from);
    // The log goes on, so that most of the time a message is on its way.
    let writing = || write_log(&mut watch.direct, 1);
    beside(writing, || {
        (0..50).for_each(|_| drop(busy.read()));
        house.dog.signal("TERM");
        let end = idle.read_until_closed();
        assert_eq!((error(&end)[&'C'].as_str(), end.len()), ("57P01", 1));
        let end = busy.read_until_closed();
        let (last, before) = end.split_last().expect("it is told");
        assert_eq!(last.sqlstate(), "57P01");
        assert!(before.iter().all(|message| message.tag == b'd'), "it was told in the middle of a message");
    });
    assert!(house.dog.is_running(), "somebody is in a transaction");
    open.rows("COMMIT");
    assert_eq!(error(&open.read_until_closed())[&'C'], "57P01");
    drop(watch.admin);
    assert_eq!(house.dog.end(SOON).and_then(|status| status.code()), Some(0));
    wait_for_walsenders(&mut watch.direct, 0);
}

/// A PostgreSQL that replicates, and another one; a user of two databases on the first and one on the second, and a user of one on each.
fn physical_replication_finds_its_server(version: Version) {
    let (first, second) = (postgres(version), Postgres::start(version));
    let more = format!(
        "[[databases]]\nname = \"twin\"\ndatabase_name = \"app\"\nhost = \"127.0.0.1\"\nport = {}\n\
         [[databases]]\nname = \"far\"\ndatabase_name = \"app\"\nhost = \"127.0.0.1\"\nport = {}\n",
        first.port, second.port
    );
    let one_place = "[[users]]\nname = \"app\"\ndatabases = [\"app\", \"twin\"]\npassword = \"app-secret\"\n";
    let two_places = "[[users]]\nname = \"wide\"\ndatabases = [\"app\", \"far\"]\npassword = \"wide-secret\"\nserver_user = \"app\"\n\
        server_password = \"app-secret\"\n";
    let dog = Dog::start(&config(&first, "default_pool_size = 3\nmin_pool_size = 0", &more), &format!("{one_place}{two_places}"));
    let (app, wide) = (dog.login("app", "app-secret"), dog.login("wide", "wide-secret"));
    let at = |login: &Login, database: &str| Login { database: database.into(), ..login.clone() };
    let system = first.sql("SELECT system_identifier FROM pg_control_system()")[0][0].clone();
    let there = |login: &Login| standby(login, "true").rows("IDENTIFY_SYSTEM")[0][0].clone();
    for database in ["app", "twin", "replication"] {
        assert_eq!(there(&at(&app, database)), system, "{database}");
    }
    // Without any: the protocol then says the user's name, and `wide` has no database of that.
    for login in [&app, &wide] {
        let mut client = Raw::connect(login.port);
        client.send(&raw::startup(&[("user", &login.user), ("replication", "true")]));
        let told = client.authenticate(&login.user, &login.password);
        match login.user.as_str() {
            "app" => assert_eq!((told.is_ok(), client.rows("IDENTIFY_SYSTEM")[0][0].as_str()), (true, system.as_str())),
            _ => assert_eq!(told.err().map(|refusal| refusal.sqlstate()).as_deref(), Some("3D000")),
        }
    }
    let refused = Raw::try_login(&at(&wide, "replication"), &[("replication", "true")]).err().expect("it is not clear which one");
    assert!(refused.fields()[&'H'].contains("dbname="), "{refused:?}");
    assert_eq!(there(&at(&wide, "app")), system);
    // Nor is a wrong name taken for none, and logical replication always names one.
    for (database, word) in [("shop", "true"), ("replication", "database"), ("far", "true")] {
        assert_eq!(Raw::try_login(&at(&app, database), &[("replication", word)]).err().map(|refusal| refusal.sqlstate()).as_deref(), Some("28000"));
    }
}

/// `replication_mode`: as if each of its clients had asked for it.
fn a_user_whose_clients_all_replicate(version: Version) {
    let house = House::around(postgres(version), 2, "", &[("app", "replication_mode = true"), ("other", "")]);
    let mut watch = house.watch();
    let (mut first, mut second) = (house.client(), house.client());
    assert_eq!(walsenders(&mut watch.direct), 2);
    let pids = [&mut first, &mut second].map(|client| {
        assert_eq!(client.rows("IDENTIFY_SYSTEM").len(), 1);
        one(client, "SELECT pg_backend_pid()")
    });
    assert_ne!(pids[0], pids[1]);
    assert_eq!(
        one(&mut Raw::login(&house.login("other")), "SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
        "client backend"
    );
    drop((first, second));
    wait_for_walsenders(&mut watch.direct, 0);
}
