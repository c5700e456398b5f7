//! What can be seen of pg_dog from outside, without asking a data core: metrics over HTTP, health, the log, the query log.

use super::house::{House, error, general_of, one};
use super::support::raw::{self, Raw};
use super::support::{Dog, Login, Postgres, SOON, Version, admin, config, config_at, pgbench, place, poll, python, users, wait_until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A pg_dog whose metrics and health can be asked for.
struct Watched {
    house: House,
    metrics: place::Port,
    health: place::Port,
}

impl Watched {
    fn new(size: usize, general: &str) -> Watched {
        let (metrics, health) = (place::Port::claim(), place::Port::claim());
        let ports = format!(
            "openmetrics_host = \"127.0.0.1\"\nopenmetrics_port = {}\nhealthcheck_port = {}\nstats_period = 500\n{general}",
            metrics.number, health.number
        );
        Watched { house: House::new(Version::Debian, size, &ports), metrics, health }
    }

    fn page(&self) -> Page {
        Page(get(self.metrics.number, "/metrics", "").1)
    }
}

/// A page of metrics.
struct Page(String);

impl Page {
    /// The sum of the samples of this name whose labels have this text.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let found = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (named, labels) = series.split_once('{').unwrap_or((series, ""));
            (named == name && labels.contains(label)).then(|| value.parse::<f64>().expect("a number"))
        });
        let found: Vec<f64> = found.collect();
        assert!(!found.is_empty(), "{name} with {label:?} is not in\n{}", self.0);
        found.iter().sum()
    }
}

/// Asks; status and body.
fn get(port: u16, path: &str, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    stream.set_read_timeout(Some(SOON)).expect("it is open");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n").expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, to its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a header");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).and_then(|length| length.parse::<usize>().ok());
    assert_eq!(length, Some(body.len()), "{head}");
    (status, body.to_string())
}

/// pgbench's own count, and ours, of the same transactions; how long they took, and that what was added is a part of it.
#[test]
fn the_numbers_are_those_of_pgbench() {
    let watched = Watched::new(3, "checkout_timeout = 20000");
    let login = watched.house.login("app");
    one(&mut Raw::login(&login), "SELECT 1");
    wait_until("the first client is counted", SOON, || watched.page().sum("total_xact_count", "user=\"app\"") >= 1.0);
    let before = watched.page();
    let script = "BEGIN;\nSELECT pg_sleep(0.002);\nSELECT 1;\nCOMMIT;\n";
    let file = std::env::temp_dir().join(format!("pg_dog-metrics-{}.sql", std::process::id()));
    std::fs::write(&file, script).expect("the temporary folder can be written");
    let arguments = ["-n", "-c", "8", "-j", "2", "-t", "150", "-f", file.to_str().expect("its name is text")];
    let said = pgbench(&login, &arguments, Duration::from_secs(60)).expect_success();
    let _ = std::fs::remove_file(&file);
    assert!(said.contains("actually processed: 1200/1200"), "{said}");
    let latency: f64 = said.lines().find_map(|line| line.strip_prefix("latency average = ")?.strip_suffix(" ms")?.parse().ok()).expect("a latency");
    let app = "user=\"app\"";
    let mut after = watched.page();
    let grown = |after: &Page, name: &str| after.sum(name, app) - before.sum(name, app);
    wait_until("the last transaction is counted", SOON, || {
        after = watched.page();
        grown(&after, "total_xact_count") >= 1200.0
    });
    let near = |value: f64, exact: f64| (value - exact).abs() <= exact * 0.01;
    for (name, exact) in [
        ("total_xact_count", 1200.0),
        ("total_query_count", 4800.0),
        ("server_assignments_total", 1200.0),
        ("wait_seconds_count", 1200.0),
        ("query_seconds_count", 4800.0),
        ("transaction_seconds_count", 1200.0),
        ("added_seconds_count", 1200.0),
    ] {
        assert!(near(grown(&after, name), exact), "{name}: {} instead of {exact}", grown(&after, name));
    }
    let mean_ms = |name: &str| grown(&after, &format!("{name}_sum")) * 1000.0 / 1200.0;
    let (wait, query, transaction, added) =
        (mean_ms("wait_seconds"), mean_ms("query_seconds"), mean_ms("transaction_seconds"), mean_ms("added_seconds"));
    // Eight clients, three servers: what a client sees is its wait and its transaction, and pgbench's own time.
    assert!(wait + transaction <= latency * 1.05 && wait + transaction >= latency * 0.8, "{wait} + {transaction} against {latency}");
    assert!((2.0..transaction * 1.01).contains(&query), "{query} of {transaction}");
    assert!(added >= wait && added <= latency, "{added}, of which {wait} waiting, of {latency}");
    let (counted, timed) = (grown(&after, "total_xact_time") / 1200.0, transaction);
    assert!(near(counted, timed), "{counted} {timed}");
    let rests = grown(&after, "total_idle_xact_time") / 1200.0;
    assert!((counted - query - rests).abs() < counted * 0.05, "{counted} = {query} + {rests}");
    let stats = admin(&watched.house.dog, "SHOW STATS");
    let row = stats.iter().find(|row| row["user"] == "app").expect("its pool");
    assert_eq!(row["total_xact_count"].parse::<f64>().ok(), Some(after.sum("total_xact_count", app)), "SHOW STATS has the same source");
}

/// Averages come without a data core turning for them.
#[test]
fn averages_are_of_the_last_period() {
    let watched = Watched::new(2, "");
    let mut client = watched.house.client();
    let mut seen = 0.0;
    let found = poll(SOON, || {
        one(&mut client, "SELECT 1");
        let page = watched.page();
        seen = page.sum("avg_xact_count", "user=\"app\"");
        seen > 0.0 && page.sum("recent_transaction_seconds", "quantile=\"0.99\"") > 0.0
    });
    assert!(found, "no average: {seen}");
    wait_until("nothing in a whole period", SOON, || watched.page().sum("avg_xact_count", "user=\"app\"") == 0.0);
}

/// A look at the numbers costs the data cores nothing: idle ones do not even wake up.
#[test]
fn a_scrape_wakes_no_data_core() {
    let watched = Watched::new(2, "");
    let mut client = watched.house.client();
    one(&mut client, "SELECT 1");
    let turns = |page: &Page| (page.sum("core_turn_seconds_count", ""), page.sum("core_letters_total", ""));
    // Timers of the login and of the first server end by themselves.
    let mut last = (0.0, 0.0);
    wait_until("the cores are quiet for twenty scrapes", SOON, || {
        let before = turns(&watched.page());
        (0..20).for_each(|_| last = turns(&watched.page()));
        before == last
    });
    let before = turns(&watched.page());
    one(&mut client, "SELECT 1");
    wait_until("a query makes them turn", SOON, || turns(&watched.page()).0 > before.0);
}

#[test]
fn gauges_show_who_waits_and_who_rests() {
    let watched = Watched::new(1, "checkout_timeout = 20000");
    let app = "user=\"app\"";
    let gauges = || ["cl_waiting", "sv_active", "sv_idle", "sv_idle_xact", "sv_total"].map(|name| watched.page().sum(name, app));
    let (mut open, mut waits) = (watched.house.client(), watched.house.client());
    open.rows("BEGIN; SELECT 1");
    wait_until("it rests in its transaction", SOON, || gauges() == [0.0, 0.0, 0.0, 1.0, 1.0]);
    waits.send(&raw::query("SELECT 'at last'"));
    wait_until("the other one waits", SOON, || gauges()[0] == 1.0 && watched.page().sum("maxwait", app) > 0.0);
    open.rows("SELECT 1");
    wait_until("it rests again", SOON, || gauges() == [1.0, 0.0, 0.0, 1.0, 1.0]);
    // It goes without a word: its server is rolled back, and goes to the other.
    drop(open);
    assert_eq!(waits.read_until_ready()[1].text(), "at last");
    wait_until("all is idle", SOON, || gauges() == [0.0, 0.0, 1.0, 0.0, 1.0]);
    let page = watched.page();
    assert_eq!((page.sum("total_rollbacks", app), page.sum("re_synced_total", app), page.sum("waits_total", app) >= 1.0), (1.0, 1.0, true));
    assert_eq!(page.sum("clients", ""), 1.0);
}

#[test]
fn logins_that_failed_are_told_apart() {
    let watched = Watched::new(1, "client_login_timeout = 400");
    watched.house.warm_up();
    let right = watched.house.login("app");
    let count = |reason: &str| watched.page().sum("login_failures_total", &format!("reason=\"{reason}\""));
    for (login, reason) in [
        (Login { password: "wrong".into(), ..right.clone() }, "wrong_password"),
        (Login { user: "nobody".into(), ..right.clone() }, "wrong_password"),
        (Login { database: "nothing".into(), ..right.clone() }, "wrong_password"),
        (Login { password: "wrong".into(), ..watched.house.dog.admin_login() }, "wrong_password"),
    ] {
        let before = count(reason);
        assert!(Raw::try_login(&login, &[]).is_err(), "{login:?}");
        assert_eq!(count(reason), before + 1.0, "{login:?}");
    }
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, watched.house.dog.port)).expect("it listens");
    let before = count("gone");
    drop(connect());
    wait_until("who says nothing and goes is gone", SOON, || count("gone") == before + 1.0);
    let before = count("protocol");
    let mut stream = connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is open");
    wait_until("who does not speak the protocol", SOON, || count("protocol") == before + 1.0);
    let waits = connect();
    wait_until("who says nothing for too long", SOON, || count("timeout") == 1.0);
    drop(waits);
    assert!(watched.page().sum("logins_total", "") >= 1.0);
}

/// Both formats, read by the reader that Prometheus's own client library has.
#[test]
fn prometheus_reads_both_formats() {
    let watched = Watched::new(2, "openmetrics_namespace = \"pgdog_\"");
    one(&mut watched.house.client(), "SELECT 1");
    wait_until("the query is counted", SOON, || watched.page().sum("pgdog_total_query_count", "user=\"app\"") >= 1.0);
    let script = r#"
import sys, urllib.request
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
def ask(accept):
    answer = urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:%s/any/path" % sys.argv[1], headers={"Accept": accept}))
    return answer.headers["Content-Type"], answer.read().decode()
def samples(families):
    # The reader of the older format adds a _total to every counter.
    return {(sample.name.removesuffix("_total"), tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}
kind, page = ask("*/*")
assert kind.startswith("text/plain; version=0.0.4"), kind
one = samples(text(page))
kind, page = ask("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
other = samples(openmetrics(page))
assert one == other, one ^ other
print(len(one), all(name.startswith("pgdog_") for name, _ in one))
"#;
    let said = python(&watched.house.login("app"), &["-c", script, &watched.metrics.number.to_string()], SOON).expect_success();
    let (count, named) = said.trim().split_once(' ').expect("two words");
    assert!(count.parse::<usize>().is_ok_and(|count| count > 200) && named == "True", "{said}");
}

/// What the dashboard beside the configurations asks for is exported.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let watched = Watched::new(2, "openmetrics_namespace = \"pgdog_\"");
    let mut client = watched.house.client();
    one(&mut client, "SELECT 1");
    wait_until("something was timed", SOON, || watched.page().0.contains("pgdog_added_seconds_bucket"));
    let page = watched.page().0;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/grafana/pg_dog.json")).expect("it is there");
    let mut names: Vec<&str> = Vec::new();
    let mut panels = 0;
    for line in text.lines().filter(|line| line.trim_start().starts_with("\"expr\"")) {
        panels += 1;
        let found = line.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| word.starts_with("pgdog_"));
        let before = names.len();
        names.extend(found);
        assert!(names.len() > before, "{line} names no metric");
    }
    assert!(panels >= 10, "{panels} expressions");
    for name in names {
        assert!(page.contains(&format!("\n{name}{{")) || page.contains(&format!("\n{name} ")), "{name} is not exported");
    }
}

#[test]
fn bad_requests_and_many_connections_hurt_nobody() {
    let watched = Watched::new(1, "");
    let port = watched.metrics.number;
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
    let say = |bytes: &[u8]| {
        let mut stream = connect();
        stream.set_read_timeout(Some(SOON)).expect("it is open");
        // It may have been refused before all was written.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(say(b"POST / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(say(b"\x16\x03\x01\x02\x00\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(say(&vec![b'x'; 8192]).starts_with("HTTP/1.1 431 "));
    // Two requests on one connection, and only the header of the second.
    let both = say(b"GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!((both.matches("HTTP/1.1 200 OK").count(), both.matches("# TYPE clients gauge").count()), (2, 1), "{both}");
    // More than there is room for: those that are there stay, and when they go others come.
    let mut idle: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let last = idle.last_mut().expect("there are some");
    last.set_read_timeout(Some(SOON)).expect("it is open");
    assert!(matches!(last.read(&mut [0]), Ok(0) | Err(_)), "the hundredth has no room");
    assert_eq!(one(&mut watched.house.client(), "SELECT 1"), "1");
    drop(idle);
    wait_until("there is room again", SOON, || say(b"GET / HTTP/1.0\r\n\r\n").contains("clients"));
}

#[test]
fn a_taken_port_is_said_at_the_start() {
    let postgres = Postgres::start(Version::Debian);
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    for key in ["openmetrics_port", "healthcheck_port"] {
        let general = format!("openmetrics_host = \"127.0.0.1\"\n{key} = {port}");
        let (status, log) = Dog::refused(&config(&postgres, &general, ""), &users(&postgres, &[("app", "")]));
        assert!(!status.success() && log.contains(key) && log.contains("it is taken"), "{log}");
    }
}

#[test]
fn health_follows_the_servers_and_the_end() {
    let mut watched = Watched::new(2, "shutdown_delay = 60000\nconnect_timeout = 500");
    let port = watched.health.number;
    assert_eq!((get(port, "/", ""), get(port, "/ready", "").0, get(port, "/live", "").0), ((200, "up".into()), 200, 200));
    one(&mut watched.house.client(), "SELECT 1");
    watched.house.dog.signal("TERM");
    wait_until("readiness says no", SOON, || get(port, "/ready", "").0 == 503);
    // Load balancers have not noticed yet: who comes is served.
    assert_eq!(one(&mut watched.house.client(), "SELECT 2"), "2");
    assert_eq!((get(port, "/", "").0, get(port, "/live", "").0), (200, 200));
    watched.house.dog.signal("TERM");
    assert!(watched.house.dog.end(SOON).is_some(), "a second signal means now");
}

#[test]
fn down_is_when_no_server_can_be_reached() {
    let (health, nobody) = (place::Port::claim(), place::Port::claim());
    let general = general_of(1, &format!("healthcheck_port = {}\nshutdown_delay = 300", health.number));
    let text = "[[users]]\nname = \"app\"\ndatabase = \"app\"\npassword = \"p\"\nserver_password = \"p\"\n";
    let mut dog = Dog::start(&config_at(nobody.number, &general, ""), text);
    assert_eq!(get(health.number, "/", "").0, 200, "nobody has tried");
    assert!(Raw::try_login(&dog.login("app", "p"), &[]).is_err());
    assert_eq!((get(health.number, "/x", ""), get(health.number, "/ready", "").0), ((502, "down".into()), 503));
    // After the delay it ends as without one.
    assert!(dog.stop().is_some_and(|status| status.success()));
}

#[test]
fn texts_are_logged_with_their_database_and_user() {
    let folder = place::Folder::new("query-log", false);
    let file = folder.0.join("queries.log");
    let general = |more: &str| general_of(2, &format!("query_log = {:?}\nlog_query_sample_length = 30\n{more}", file.display().to_string()));
    let house = House::new(Version::Debian, 2, &general("").replacen(&general_of(2, ""), "", 1));
    let mut client = house.client();
    one(&mut client, "SELECT 'tab\there'");
    client.send(&[super::house::extended("SELECT 'prepared'", &[]), raw::sync()].concat());
    client.read_until_ready();
    one(&mut Raw::login(&house.login("other")), "SELECT 'a text that is longer than the sample'");
    client.send(&raw::query("SELECT wrong"));
    assert_eq!(error(&client.read_until_ready())[&'C'], "42703");
    let rows = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| line.split('\t').skip(1).collect::<Vec<_>>().join("|")).collect::<Vec<_>>()
    };
    let expected = ["app|app|SELECT 'tab\\there'", "app|app|SELECT 'prepared'", "app|other|SELECT 'a text that is longer ", "app|app|SELECT wrong"];
    wait_until("all are written", SOON, || rows().len() == expected.len());
    // Two cores write in the order in which they come to it.
    let mut found = rows();
    let mut expected: Vec<String> = expected.map(String::from).into();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // Moved away, it is opened again at a reload; then off, then to the log.
    let old = folder.0.join("old.log");
    std::fs::rename(&file, &old).expect("our own folder");
    admin(&house.dog, "RELOAD");
    one(&mut client, "SELECT 'new file'");
    wait_until("the new file is there", SOON, || rows() == ["app|app|SELECT 'new file'"]);
    house.dog.write_config(&config(&house.postgres, &general_of(2, "query_log_stdout = true"), ""));
    admin(&house.dog, "RELOAD");
    one(&mut client, "SELECT 'to the log'");
    wait_until("it is in the log", SOON, || house.dog.log().contains("SELECT 'to the log'"));
    assert_eq!(rows().len(), 1, "the file is off");
    house.dog.write_config(&config(&house.postgres, &general_of(2, ""), ""));
    admin(&house.dog, "RELOAD");
    one(&mut client, "SELECT 'nowhere'");
    one(&mut client, "SELECT 1");
    assert!(!house.dog.log().contains("nowhere"));
}

/// A log on a pipe that nobody reads: the thread that writes stands still, clients do not notice, and what was dropped is counted.
#[test]
fn a_query_log_that_stands_still_holds_up_nobody() {
    let folder = place::Folder::new("query-pipe", false);
    let pipe = folder.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let watched = Watched::new(2, &format!("query_log = {:?}", pipe.display().to_string()));
    let mut client = watched.house.client();
    let many = "SELECT 1;".repeat(100);
    let script = raw::query(&many).repeat(100);
    let dropped = || watched.page().sum("query_log_dropped_total", "");
    wait_until("the queue is full", SOON, || {
        client.send(&script);
        (0..100).for_each(|_| drop(client.read_until_ready()));
        dropped() > 0.0
    });
    assert_eq!(one(&mut client, "SELECT 'still here'"), "still here");
}

#[test]
fn lines_are_text_or_json_and_equal_ones_are_joined() {
    let postgres = Postgres::start(Version::Debian);
    let start = |general: &str| Dog::start(&config(&postgres, &general_of(1, general), ""), &users(&postgres, &[("app", "")]));
    let wrong = |dog: &Dog| Raw::try_login(&dog.login("app", "wrong"), &[]).err().map(|error| error.sqlstate().to_string());
    let line = |dog: &Dog| {
        let find = |log: String| log.lines().find(|line| line.contains("login refused")).map(str::to_string);
        wait_until("it is logged", SOON, || find(dog.log()).is_some());
        find(dog.log()).expect("just seen")
    };
    for (format, has) in [
        ("text", "WARN pg_dog::engine::logins: login refused"),
        ("json", "\"fields\":{\"message\":\"login refused"),
        ("json_flattened", "\"level\":\"WARN\",\"message\":\"login refused"),
    ] {
        let dog = start(&format!("log_format = \"{format}\""));
        assert_eq!(wrong(&dog).as_deref(), Some("28000"));
        assert!(line(&dog).contains(has), "{format}: {}", line(&dog));
    }
    let dog = start("log_dedup_window = 1500\nlog_dedup_threshold = 2");
    (0..6).for_each(|_| assert!(wrong(&dog).is_some()));
    wait_until("it is told how often", SOON, || dog.log().contains("more times: login refused"));
    assert_eq!(dog.log().matches("WARN pg_dog::engine::logins: login refused").count(), 2, "{}", dog.log());
    assert!(dog.log().contains(" 4 more times: login refused"), "{}", dog.log());
}

#[test]
fn the_level_follows_a_reload() {
    let house = House::new(Version::Debian, 1, "log_level = \"warn\"");
    house.warm_up();
    assert!(!house.dog.log().contains("client connected"));
    house.dog.write_config(&config(&house.postgres, &general_of(1, "log_level = \"info\""), ""));
    admin(&house.dog, "RELOAD");
    one(&mut house.client(), "SELECT 1");
    wait_until("it is logged", SOON, || house.dog.log().contains("client connected"));
    house.dog.write_config(&config(&house.postgres, &general_of(1, "log_level = \"info\"\nlog_connections = false"), ""));
    admin(&house.dog, "RELOAD");
    let before = house.dog.log().matches("client connected").count();
    one(&mut house.client(), "SELECT 1");
    wait_until("it has gone", SOON, || house.dog.log().matches("client disconnected").count() >= 2);
    assert_eq!(house.dog.log().matches("client connected").count(), before);
}
