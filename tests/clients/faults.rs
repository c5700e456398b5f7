//! Servers that hang, lie, mumble, or end in the middle of a word, at login and afterwards. The client at hand hears of it in time, in words a driver
//! can act on; whoever comes next finds a server that is well; nothing of the bad server reaches anybody else.

use super::gauge::usage_of;
use super::house::{error, general_of, one, table, tags};
use super::support::fake::{self, Fake, Odd, Talk, answer, complete, description, let_in, parameter, ready, row, welcome};
use super::support::raw::{self, Raw, frame};
use super::support::{Dog, SOON, config_at, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const USERS: &str = "[[users]]\nname = \"app\"\ndatabase = \"app\"\npassword = \"app-secret\"\n";

/// Memory that pg_dog may gain meanwhile, bytes.
const SLACK: usize = 16 << 20;

/// Connections that may be open in the end and were not at the start: those of the last clients.
const FEW: usize = 4;

/// pg_dog in front of a fake, and what a connection to that shall do that is not ordinary.
struct Stage {
    dog: Dog,
    fake: Fake,
    turn: Arc<AtomicUsize>,
    admin: Raw,
}

impl Stage {
    /// `odd_login` runs instead of a login, `odd_query` instead of an answer to `SELECT 'odd'`, each with the turn, and only when that is not 0.
    fn new(
        size: usize,
        general: &str,
        odd_login: impl Fn(&mut Talk, usize) + Send + Sync + 'static,
        odd_query: impl Fn(&mut Talk, usize) -> Odd + Send + Sync + 'static,
    ) -> Stage {
        let turn = Arc::new(AtomicUsize::new(0));
        let script = turn.clone();
        let fake = Fake::start(move |talk| match script.load(Ordering::SeqCst) {
            0 => {
                talk.welcome();
                talk.serve(|talk, text| match text {
                    "SELECT 'odd'" => odd_query(talk, script.swap(0, Ordering::SeqCst)),
                    _ => Odd::No,
                });
            }
            n => {
                script.store(0, Ordering::SeqCst);
                odd_login(talk, n);
            }
        });
        let more = format!("client_connection_recovery = \"recover\"\nlog_connections = false\nlog_disconnections = false\n{general}");
        let dog = Dog::start(&config_at(fake.port, &general_of(size, &more), ""), USERS);
        let admin = Raw::login(&dog.admin_login());
        Stage { dog, fake, turn, admin }
    }

    fn client(&self) -> Raw {
        Raw::login(&self.dog.login("app", "app-secret"))
    }

    fn set(&self, turn: usize) {
        self.turn.store(turn, Ordering::SeqCst);
    }

    fn pools(&mut self, column: &str) -> u64 {
        table(&self.admin.query("SHOW POOLS")).iter().map(|row| row[column].parse::<u64>().expect("a number")).sum()
    }

    /// Has the servers end that this client can get, and waits until none is left.
    fn without_servers(&mut self, client: &mut Raw) {
        assert_eq!(one(client, "SELECT 'bye'"), "SELECT 'bye'");
        self.wait_for_servers(0);
    }

    fn wait_for_servers(&mut self, count: u64) {
        wait_until(&format!("{count} servers"), SOON, || self.pools("sv_total") == count && self.fake.open() as u64 == count);
    }
}

/// The answer is the query's own text.
fn asks(client: &mut Raw, tag: &str) {
    let text = format!("SELECT '{tag}'");
    assert_eq!(one(client, &text), text);
}

/// Everything a server may say instead of letting us in, and the SQLSTATE that the client gets.
fn bad_logins() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = welcome();
    let fatal = |code| fake::error(&[(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', "not today")]);
    let long = "x".repeat(1 << 20);
    vec![
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "08P01"),
        ("ssh", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "08P01"),
        ("zeros", vec![0; 100], "08P01"),
        ("ones", vec![0xff; 100], "08P01"),
        ("length 0", vec![b'R', 0, 0, 0, 0, 0, 0, 0, 0], "08P01"),
        ("length 3", vec![b'R', 0, 0, 0, 3], "08P01"),
        ("length negative", vec![b'R', 0xff, 0xff, 0xff, 0xff], "08P01"),
        ("length 1 GB", vec![b'R', 0x40, 0, 0, 0], "08P01"),
        ("authentication without a kind", frame(b'R', &[]), "08P01"),
        ("authentication cut", frame(b'R', &[0, 0]), "08P01"),
        ("authentication of no kind", frame(b'R', &[0, 0, 0, 99]), "0A000"),
        ("kerberos", frame(b'R', &[0, 0, 0, 2]), "0A000"),
        ("gss", frame(b'R', &[0, 0, 0, 7]), "0A000"),
        ("md5 without salt", frame(b'R', &[0, 0, 0, 5]), "08P01"),
        ("sasl of no kind", frame(b'R', b"\0\0\0\x0aNONE\0\0"), "0A000"),
        ("sasl without an end", frame(b'R', b"\0\0\0\x0aSCRAM"), "08P01"),
        ("sasl goes on before it begins", frame(b'R', b"\0\0\0\x0br=x,s=eA==,i=4096"), "08P01"),
        ("sasl ends before it begins", frame(b'R', b"\0\0\0\x0cv=AAAA"), "08P01"),
        ("let in twice", [let_in(), let_in()].concat(), "08P01"),
        ("a row", [let_in(), row("secret")].concat(), "08P01"),
        ("ready before let in", ready(b'I'), "08P01"),
        ("copy", [let_in(), frame(b'G', &[0, 0, 0])].concat(), "08P01"),
        ("a message of no kind", [let_in(), frame(b'?', b"what")].concat(), "08P01"),
        ("a parameter of 1 MB", [let_in(), parameter("long", &long)].concat(), "08P01"),
        ("an error without fields", fake::error(&[]), ""),
        ("an error without a code", fake::error(&[(b'S', "FATAL"), (b'M', "no code")]), ""),
        ("an error without an end", frame(b'E', b"SFATAL"), "08P01"),
        ("an error with an empty body", frame(b'E', b""), ""),
        ("an error of 1 MB", fake::error(&[(b'S', "FATAL"), (b'C', "53300"), (b'M', &long)]), "08P01"),
        ("fatal first", fatal("53300"), "53300"),
        ("fatal after let in", [let_in(), fatal("57P03")].concat(), "57P03"),
        ("fatal before ready", [&whole[..whole.len() - 6], &fatal("57P01")].concat(), "57P01"),
    ]
}

#[test]
fn logins_that_go_wrong() {
    let odd = |talk: &mut Talk, turn: usize| {
        talk.startup();
        talk.say(&bad_logins()[turn - 1].1);
        talk.wait_for_end();
    };
    let mut stage = Stage::new(1, "connect_timeout = 3000\ncheckout_timeout = 20000", odd, |_, _| Odd::No);
    let mut client = stage.client();
    let before = usage_of(stage.dog.pid());
    for (i, (name, _, code)) in bad_logins().iter().enumerate() {
        stage.without_servers(&mut client);
        stage.set(i + 1);
        let asked = Instant::now();
        let end = client.query("SELECT 'unanswered'");
        assert!(asked.elapsed() < Duration::from_secs(2), "{name}: the error took {:?}", asked.elapsed());
        let fields = error(&end);
        assert_eq!((tags(&end).as_str(), fields[&'S'].as_str()), ("EZ", "ERROR"), "{name}: {end:?}");
        let (told, message) = (fields[&'C'].as_str(), fields[&'M'].as_str());
        assert!(if code.is_empty() { told.len() == 5 } else { told == *code } && !message.is_empty(), "{name}: {told:?}, {message:?}");
        assert!(!message.contains("secret") && message.len() < 10_000, "{name}: {message}");
        if told == "0A000" {
            // To try the same again at once would be no use: the next one is told without another try, for a while.
            let connections = stage.fake.connections();
            assert_eq!(error(&client.query("SELECT 'at once'"))[&'C'], "0A000");
            assert_eq!(stage.fake.connections(), connections, "{name}: the server was asked again at once");
            wait_until("it is tried again", SOON, || client.query("SELECT 'again'").len() == 4);
        }
        asks(&mut client, name);
    }
    let after = usage_of(stage.dog.pid());
    assert!(after.memory < before.memory + SLACK && after.files <= before.files + FEW, "{before:?}, then {after:?}");
}

/// How a login starts that goes no further.
fn hanging_logins() -> Vec<Vec<u8>> {
    let whole = welcome();
    let cut = [0, 1, 5, 8, 9, 20, whole.len() - 6, whole.len() - 1].map(|at| whole[..at].to_vec());
    cut.into_iter().chain([frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"), frame(b'R', &[0, 0, 0, 3])]).collect()
}

fn hang(talk: &mut Talk, turn: usize) {
    talk.startup();
    talk.say(&hanging_logins()[turn - 1]);
    talk.wait_for_end();
}

/// The server says nothing more at some point of its login. Who waits for it is told after `connect_timeout`.
#[test]
fn logins_that_hang() {
    let mut stage = Stage::new(1, "connect_timeout = 300\ncheckout_timeout = 20000", hang, |_, _| Odd::No);
    let mut client = stage.client();
    for turn in 1..=hanging_logins().len() {
        stage.without_servers(&mut client);
        stage.set(turn);
        let asked = Instant::now();
        let end = client.query("SELECT 'unanswered'");
        let waited = asked.elapsed();
        assert_eq!(tags(&end), "EZ", "at {turn}, after {waited:?}: {end:?}");
        let fields = error(&end);
        assert_eq!(fields[&'C'], "08001", "at {turn}: {fields:?}");
        assert!(fields[&'M'].contains("connect_timeout"), "at {turn}: {fields:?}");
        assert!((Duration::from_millis(280)..Duration::from_secs(3)).contains(&waited), "at {turn}: it was told after {waited:?}");
        // The connection that hung is closed, and another one is made for whoever comes.
        stage.wait_for_servers(0);
        asks(&mut client, "again");
    }
}

/// The same while another client has a server: it goes on, and who waits is served by the next connection instead of being told.
#[test]
fn a_login_that_hangs_beside_a_good_one() {
    for turn in 1..=hanging_logins().len() {
        let mut stage = Stage::new(2, "connect_timeout = 300\ncheckout_timeout = 20000", hang, |_, _| Odd::No);
        let (mut holder, mut client) = (stage.client(), stage.client());
        holder.query("BEGIN");
        asks(&mut holder, "begun");
        stage.set(turn);
        let asked = Instant::now();
        client.send(&raw::query("SELECT 'late'"));
        while asked.elapsed() < Duration::from_millis(200) {
            asks(&mut holder, "not disturbed");
        }
        let answer = client.read_until_ready();
        let waited = asked.elapsed();
        assert_eq!((tags(&answer).as_str(), answer[1].text().as_str()), ("TDCZ", "SELECT 'late'"), "at {turn}");
        assert!((Duration::from_millis(280)..Duration::from_secs(3)).contains(&waited), "at {turn}: it was served after {waited:?}");
        holder.query("COMMIT");
        stage.wait_for_servers(2);
    }
}

/// What a server says instead of an answer, or after one; and then nothing more.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let good = answer("SELECT 'odd'");
    let after = |bytes: Vec<u8>| [good.clone(), bytes].concat();
    vec![
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("zeros", vec![0; 100]),
        ("ones", vec![0xff; 100]),
        ("a message of no kind", frame(b'?', b"what")),
        ("a client's message", raw::query("SELECT 1")),
        ("length 0", vec![b'D', 0, 0, 0, 0]),
        ("length 3", vec![b'D', 0, 0, 0, 3, 0]),
        ("length negative", vec![b'D', 0xff, 0xff, 0xff, 0xff]),
        ("authentication", let_in()),
        ("a key", frame(b'K', &[0; 8])),
        ("ready in a state of no kind", [description(), row("x"), complete("SELECT 1"), ready(b'X')].concat()),
        ("ready without a state", [description(), complete("SELECT 0"), frame(b'Z', &[])].concat()),
        ("parse complete", frame(b'1', &[])),
        ("bind complete", frame(b'2', &[])),
        ("portal suspended", frame(b's', &[])),
        ("a second ready", after(ready(b'I'))),
        ("a row too many", after(row("not yours"))),
        ("an answer too many", after(answer("SELECT 'not yours'"))),
        ("copy after the answer", after(frame(b'G', &[0, 0, 0]))),
        ("half a row after the answer", after(row("not yours")[..8].to_vec())),
        ("half a header after the answer", after(b"D\0\0".to_vec())),
        ("fatal after the answer", after(fake::error(&[(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "57P01"), (b'M', "not yours")]))),
        ("a million nothings", vec![b'\n'; 1 << 20]),
    ]
}

/// Nothing of it reaches the next client, and the next client is served.
#[test]
fn nonsense_instead_of_an_answer() {
    let odd = |talk: &mut Talk, turn: usize| {
        talk.say(&nonsense()[turn - 1].1);
        talk.wait_for_end();
        Odd::End
    };
    let stage = Stage::new(1, "checkout_timeout = 20000\nrollback_timeout = 300", |_, _| {}, odd);
    let before = usage_of(stage.dog.pid());
    let mut next = stage.client();
    for (i, (name, _)) in nonsense().iter().enumerate() {
        let mut client = stage.client();
        asks(&mut client, "before");
        stage.set(i + 1);
        client.send(&raw::query("SELECT 'odd'"));
        // An end with or without a word, or the answer that came before the nonsense; never silence.
        let mut seen = String::new();
        let ended = loop {
            match client.try_read() {
                Ok(message) => {
                    seen.push(char::from(message.tag));
                    if message.tag == b'E' {
                        let (code, fields) = (message.sqlstate(), message.fields());
                        assert!(["08P01", "08006", "57P01"].contains(&code.as_str()), "{name}: {fields:?}");
                    }
                    if message.tag == b'Z' {
                        break false;
                    }
                }
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{name}: silence after {seen:?}");
                    break true;
                }
            }
        };
        assert!(ended || seen == "TDCZ", "{name}: {seen:?}");
        asks(&mut next, name);
        if !ended {
            let tag = format!("{name}, mine");
            asks(&mut client, &tag);
        }
    }
    let after = usage_of(stage.dog.pid());
    assert!(after.memory < before.memory + SLACK && after.files <= before.files + FEW, "{before:?}, then {after:?}");
}

/// Notices, parameters and notifications between any two messages are no nonsense: a server may send them at any time.
#[test]
fn what_may_come_at_any_time() {
    let between = || {
        let notice = frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mby the way\0\0");
        let notification = frame(b'A', b"\0\0\0\x07channel\0text\0");
        [notice, parameter("application_name", "x"), notification].concat()
    };
    let odd_login = move |talk: &mut Talk, _: usize| {
        talk.startup();
        let notice = frame(b'N', b"SNOTICE\0C00000\0Mby the way\0\0");
        for part in [notice.clone(), let_in(), notice.clone(), parameter("server_version", "18.0"), notice, ready(b'I')] {
            talk.say(&part);
        }
        talk.serve(|talk, text| {
            let parts = [description(), row(text), complete("SELECT 1"), ready(b'I')];
            parts.iter().for_each(|part| talk.say(&[between(), part.clone()].concat()));
            talk.say(&between());
            Odd::Done
        });
    };
    let mut stage = Stage::new(1, "checkout_timeout = 20000", odd_login, |_, _| Odd::No);
    let mut client = stage.client();
    stage.without_servers(&mut client);
    stage.set(1);
    for i in 0..20 {
        let mut other = stage.client();
        for asking in [&mut client, &mut other] {
            let text = format!("SELECT '{i}'");
            let answer = asking.query(&text);
            assert_eq!(tags(&answer).replace(['N', 'S', 'A'], ""), "TDCZ", "{answer:?}");
            let own: Vec<_> = answer.iter().filter(|message| message.tag == b'D').collect();
            assert_eq!(own[0].text(), text);
            assert!(answer.iter().filter(|message| message.tag == b'N').count() >= 3, "notices are lost: {answer:?}");
        }
    }
    assert_eq!((stage.fake.connections(), stage.pools("sv_total")), (2, 1), "a connection was given up for a notice");
}

/// Errors of odd forms inside a session pass as they are, and the session goes on.
#[test]
fn odd_errors_pass() {
    let errors = || {
        let long = "x".repeat(1 << 20);
        vec![
            fake::error(&[]),
            frame(b'E', b""),
            fake::error(&[(b'S', "ERROR"), (b'M', "no code")]),
            fake::error(&[(b'C', "XX000")]),
            fake::error(&[(b'S', "ERROR"), (b'V', "ERROR"), (b'C', "XX000"), (b'M', &long)]),
            fake::error(&[(b'S', "FEHLER"), (b'V', "ERROR"), (b'C', "22012"), (b'M', "Division durch Null"), (b'?', "what")]),
            frame(b'E', b"SERROR\0C\xff\xfe\0M\xff\0\0"),
            frame(b'E', b"SERROR"),
        ]
    };
    let odd = move |talk: &mut Talk, turn: usize| {
        talk.say(&[errors()[turn - 1].clone(), ready(b'I')].concat());
        Odd::Done
    };
    let stage = Stage::new(1, "checkout_timeout = 20000", |_, _| {}, odd);
    let (mut client, mut next) = (stage.client(), stage.client());
    for (i, said) in errors().iter().enumerate() {
        stage.set(i + 1);
        let answer = client.query("SELECT 'odd'");
        assert_eq!((tags(&answer).as_str(), &answer[0].body[..]), ("EZ", &said[5..]), "error {i}");
        asks(&mut next, "next");
        asks(&mut client, "same");
    }
    assert_eq!(stage.fake.connections(), 1, "a connection was given up for an error");
}

/// The server ends in the middle of a row. The client must not take words of ours for the rest of it.
#[test]
fn the_end_inside_a_row() {
    let cuts = || {
        let whole = [description(), row(&"r".repeat(30_000))].concat();
        [1, 4, 5, description().len(), description().len() + 3, description().len() + 6, description().len() + 20_000, whole.len() - 1]
            .map(|at| whole[..at].to_vec())
    };
    let count = cuts().len();
    let odd = move |talk: &mut Talk, turn: usize| {
        talk.say(&cuts()[(turn - 1) % count]);
        if turn > count {
            talk.reset();
        }
        Odd::End
    };
    let stage = Stage::new(1, "checkout_timeout = 20000", |_, _| {}, odd);
    let mut next = stage.client();
    for turn in 1..=2 * count {
        let mut client = stage.client();
        stage.set(turn);
        client.send(&raw::query("SELECT 'odd'"));
        let mut seen = String::new();
        while let Ok(message) = client.try_read() {
            seen.push(char::from(message.tag));
            if message.tag == b'E' {
                assert_eq!(message.sqlstate(), "08006", "{message:?}");
            }
        }
        assert!(["", "E", "T", "TE"].contains(&seen.as_str()), "at {turn}: {seen:?}");
        asks(&mut next, "next");
    }
}

/// A server that hangs in the middle of a row. Its client may leave; the server is asked to cancel, and given up in `rollback_timeout`.
#[test]
fn a_reply_that_hangs() {
    let odd = |talk: &mut Talk, turn: usize| {
        let whole = [description(), row(&"r".repeat(30_000)), complete("SELECT 1")].concat();
        talk.say(&whole[..[0, description().len(), description().len() + 20_000, whole.len()][turn - 1]]);
        talk.wait_for_end();
        Odd::End
    };
    let mut stage = Stage::new(2, "checkout_timeout = 20000\nrollback_timeout = 300", |_, _| {}, odd);
    let mut other = stage.client();
    for turn in 1..=4 {
        for leaves_at_once in [true, false] {
            let cancels = stage.fake.cancels();
            let mut client = stage.client();
            stage.set(turn);
            client.send(&raw::query("SELECT 'odd'"));
            wait_until("the server has it", SOON, || stage.turn.load(Ordering::SeqCst) == 0);
            if !leaves_at_once && turn > 1 {
                client.read_until(b'T');
            }
            asks(&mut other, "not disturbed");
            let left = Instant::now();
            client.reset();
            wait_until("the server is given up", SOON, || stage.pools("sv_active") == 0 && stage.fake.open() <= 1);
            let took = left.elapsed();
            assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&took), "at {turn}: it took {took:?}");
            wait_until("its query is cancelled", SOON, || stage.fake.cancels() > cancels);
            asks(&mut other, "not disturbed later");
            asks(&mut stage.client(), "new");
        }
    }
}

/// FATAL at any time: to the client at hand as the server said it, to nobody if there is none.
#[test]
fn fatal_at_every_stage() {
    let fatal = || fake::error(&[(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "57P05"), (b'M', "the server's own words")]);
    let odd = move |talk: &mut Talk, turn: usize| {
        let good = answer("SELECT 'odd'");
        match turn {
            1 => talk.say(&fatal()),
            2 => talk.say(&[description(), fatal()].concat()),
            3 => talk.say(&[description(), row("SELECT 'odd'"), fatal()].concat()),
            4 => talk.say(&[description(), row("SELECT 'odd'"), complete("SELECT 1"), fatal()].concat()),
            _ => talk.say(&[good, fatal()].concat()),
        }
        Odd::End
    };
    let mut stage = Stage::new(1, "checkout_timeout = 20000", |_, _| {}, odd);
    for (turn, seen) in [(1, "E"), (2, "TE"), (3, "TDE"), (4, "TDCE")] {
        for begins in [false, true] {
            let mut client = stage.client();
            if begins {
                client.query("BEGIN");
                asks(&mut client, "begun");
            }
            stage.set(turn);
            client.send(&raw::query("SELECT 'odd'"));
            let end = client.read_until_closed();
            assert_eq!(tags(&end), seen);
            let fields = error(&end);
            assert_eq!((fields[&'S'].as_str(), fields[&'C'].as_str(), fields[&'M'].as_str()), ("FATAL", "57P05", "the server's own words"));
            asks(&mut stage.client(), "next");
        }
    }
    // After its answer nobody is there to hear it.
    let mut client = stage.client();
    stage.set(5);
    assert_eq!(tags(&client.query("SELECT 'odd'")), "TDCZ");
    stage.wait_for_servers(0);
    asks(&mut client, "same client");
}
