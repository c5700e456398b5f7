//! What a client gets through pg_dog is what PostgreSQL gives, message by message and byte by byte: the same scripts are sent to both.

#![allow(clippy::disallowed_methods, reason = "tests run on real machines with a real clock: how long somebody waited is measured")]

#[path = "parity/leaving.rs"]
mod leaving;
#[path = "parity/named.rs"]
mod named;
#[path = "parity/random.rs"]
mod random;
#[path = "parity/script.rs"]
mod script;
#[path = "parity/scripts.rs"]
mod scripts;
mod support;

use script::{Script, Seeded, at_rest};
use std::time::{Duration, Instant};
use support::raw::{self, Message, bind, close, describe, execute, flush, parse, query, sync};
use support::{Dog, Postgres, Raw, Version, config, users};

/// PostgreSQL 15 and a pg_dog in front of it.
struct House {
    dog: Dog,
    postgres: Postgres,
}

impl House {
    fn new(mode: &str, workers: usize, size: usize) -> House {
        House::with(mode, workers, size, "")
    }

    /// The same with more lines for `[general]`.
    fn with(mode: &str, workers: usize, size: usize, more: &str) -> House {
        let postgres = Postgres::start(Version::Debian);
        postgres.sql(scripts::SCHEMA);
        // Clients log in without a proof, so that thousands of logins take no time.
        let general = format!("auth_type = \"trust\"\npooler_mode = \"{mode}\"\ndefault_pool_size = {size}\nmin_pool_size = 0\n{more}");
        let text = config(&postgres, &general, "").replace("workers = 2", &format!("workers = {workers}"));
        House { dog: Dog::start(&text, &users(&postgres, &[("app", "")])), postgres }
    }

    fn direct(&self) -> Raw {
        Raw::login(&self.postgres.login("app"))
    }

    fn client(&self) -> Raw {
        Raw::login(&self.dog.instead_of(&self.postgres.login("app")))
    }

    /// What PostgreSQL says to each.
    fn ask(&self, scripts: &[Script]) -> Vec<Vec<Message>> {
        let mut direct = self.direct();
        scripts.iter().map(|script| script.ask(&mut direct)).collect()
    }

    /// pg_dog says the same: script by script, so that the server changes hands in between.
    fn same(&self, scripts: &[Script]) {
        let expected = self.ask(scripts);
        let (mut client, mut other) = (self.client(), self.client());
        for (script, expected) in scripts.iter().zip(&expected) {
            script.same(&mut client, expected);
        }
        at_rest(&mut client);
        at_rest(&mut other);
    }

    /// pg_dog says the same to many scripts in one write, none of which may wait for a reply.
    fn same_at_once(&self, scripts: &[Script]) {
        let expected = self.ask(scripts);
        let mut client = self.client();
        for (chunk, expected) in scripts.chunks(50).zip(expected.chunks(50)) {
            client.send(&chunk.iter().flat_map(Script::bytes).collect::<Vec<u8>>());
            for (script, expected) in chunk.iter().zip(expected) {
                script.hear(Vec::new(), &mut client, expected);
            }
        }
        at_rest(&mut client);
    }
}

#[test]
fn every_sequence_of_three_messages_is_answered_alike() {
    let house = House::new("transaction", 2, 2);
    for fresh in [true, false] {
        let scripts = scripts::sequences("", fresh);
        assert!(scripts.len() > 2000, "{}", scripts.len());
        house.same(&scripts);
        house.same_at_once(&scripts);
    }
}

#[test]
fn sequences_are_answered_alike_in_session_mode() {
    let house = House::new("session", 2, 4);
    for (name, seed) in [("", 11), ("named", 12)] {
        for fresh in [true, false] {
            let scripts = scripts::sample(scripts::sequences(name, fresh), 500, seed);
            house.same(&scripts);
            house.same_at_once(&scripts);
        }
    }
    house.same(&scripts::chosen());
}

#[test]
fn chosen_scripts_are_answered_alike() {
    let house = House::new("transaction", 2, 2);
    house.same(&scripts::chosen());
    let at_once: Vec<Script> = scripts::chosen().into_iter().filter(|script| script.parts.len() == 1).collect();
    house.same_at_once(&at_once);
}

/// Sends a script in two writes, the second when pg_dog has read the first, and hears its answers.
fn hear_cut(script: &Script, cut: usize, client: &mut Raw, clock: &mut Raw, expected: &[Message]) {
    let bytes = script.bytes();
    client.send(&bytes[..cut]);
    // pg_dog answers this one itself, on the same core: when the answer is here, the first piece has been read.
    clock.send(&sync());
    assert_eq!(clock.read().tag, b'Z');
    client.send(&bytes[cut..]);
    Script { name: format!("{} cut at {cut}", script.name), parts: Vec::new() }.hear(Vec::new(), client, expected);
}

#[test]
fn cuts_do_not_show() {
    let house = House::new("transaction", 1, 2);
    let scripts = scripts::to_be_cut();
    assert!(scripts.len() >= 20, "{}", scripts.len());
    let expected = house.ask(&scripts);
    let (mut client, mut clock) = (house.client(), house.client());
    for (script, expected) in scripts.iter().zip(&expected) {
        let bytes = script.bytes();
        for cut in 1..bytes.len() {
            hear_cut(script, cut, &mut client, &mut clock, expected);
        }
    }
    at_rest(&mut client);
}

/// Whether a long run is asked for: every sequence, every offset.
fn all() -> bool {
    std::env::var_os("PG_DOG_ALL").is_some()
}

/// `PG_DOG_ALL=1` runs every sequence of four and of five, for `PG_DOG_MINUTES` (10) at most.
#[test]
fn sequences_of_four_and_five_are_answered_alike() {
    let house = House::new("transaction", 2, 2);
    let minutes = std::env::var("PG_DOG_MINUTES").ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(10);
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let tally = random::run(&house, 3000, 45, all(), || Instant::now() > end);
    println!("{tally:?}");
    assert!(tally.sequences >= 3000 && tally.closed < tally.sequences / 4, "{tally:?}");
    assert!(tally.lost_copies < tally.sequences / 50, "{tally:?}");
    at_rest(&mut house.client());
}

/// More than pg_dog lets be outstanding (16,384 messages): the rest waits, and goes on without another byte of the client's.
#[test]
fn a_pipeline_deeper_than_what_may_be_outstanding_is_answered() {
    let house = House::new("transaction", 1, 1);
    let mut client = house.client();
    client.send(&[query("BEGIN"), query("").repeat(40_000), query("COMMIT")].concat());
    let mut answers = 0;
    for _ in 0..40_002 {
        answers += client.read_until_ready().iter().filter(|message| message.tag == b'I').count();
    }
    assert_eq!((answers, client.status), (40_000, b'I'));
    at_rest(&mut client);
}

/// Sixty scripts, cut at every offset of their first 400 bytes and at every seventh behind.
#[test]
fn sixty_scripts_are_answered_alike_in_two_writes() {
    let house = House::new("transaction", 1, 2);
    let scripts = leaving::cut_scripts(60);
    assert!(scripts.len() >= 60, "{}", scripts.len());
    let expected = house.ask(&scripts);
    let (mut client, mut clock) = (house.client(), house.client());
    let mut cuts = 0;
    // `cuts_do_not_show` has the first ones.
    let had = if all() { 0 } else { scripts::to_be_cut().len() };
    for (script, expected) in scripts.iter().zip(&expected).skip(had) {
        let bytes = script.bytes();
        for cut in leaving::offsets(bytes.len()) {
            cuts += 1;
            client.send(&bytes[..cut]);
            // pg_dog answers a Sync itself, on the same core: when the answer is here, the first piece has been read. PostgreSQL answers a query: by
            // then it has most often answered the first piece, too.
            clock.send(&if cut % 2 == 0 { sync() } else { query("SELECT 1") });
            clock.read_until_ready();
            client.send(&bytes[cut..]);
            Script { name: format!("{} cut at {cut}", script.name), parts: Vec::new() }.hear(Vec::new(), &mut client, expected);
        }
    }
    println!("{cuts} cuts of {} scripts", scripts.len() - had);
    at_rest(&mut client);
}

/// The same scripts, whose client is gone at the offset: every one of them with `PG_DOG_ALL`.
#[test]
fn who_leaves_at_any_offset_leaves_a_clean_server() {
    let house = House::new("transaction", 1, 1);
    let mut next = leaving::Next::new(&house);
    let mut seeded = Seeded(61);
    let (mut cuts, step) = (0, if all() { 1 } else { 13 });
    for script in leaving::cut_scripts(60) {
        let bytes = script.bytes();
        for cut in leaving::offsets(bytes.len() + 1) {
            if seeded.below(step) != 0 {
                continue;
            }
            cuts += 1;
            let (guest, reset) = (next.guest(&bytes[..cut]), seeded.below(2) == 0);
            next.leave(guest, reset);
            next.expect_clean(&format!("{} left at {cut}, reset: {reset}", script.name));
        }
    }
    println!("{cuts} clients left, the next one waited {:?} at most", next.slowest);
}

/// Two statements per server, two servers, three names: what a sequence needs has often gone.
#[test]
fn named_statements_are_answered_alike() {
    let house = House::with("transaction", 2, 2, "prepared_statements_limit = 2");
    house.same(&named::chosen());
    house.same_at_once(&named::chosen());
    for cached in [true, false] {
        let scripts = named::sequences(cached);
        assert!(scripts.len() > 9000, "{}", scripts.len());
        let scripts = if all() { scripts } else { scripts::sample(scripts, 2500, 81) };
        house.same(&scripts);
        house.same_at_once(&scripts);
    }
}

/// The same, and other clients use the servers in between: a statement is prepared at one and used at the other.
#[test]
fn named_statements_are_answered_alike_on_servers_that_change() {
    let house = House::with("transaction", 2, 2, "prepared_statements_limit = 2");
    let scripts = [named::chosen(), scripts::sample(named::sequences(true), 400, 82), scripts::sample(named::sequences(false), 400, 83)].concat();
    let expected = house.ask(&scripts);
    let (mut client, mut others) = (house.client(), [house.client(), house.client()]);
    let mut seeded = Seeded(84);
    for (script, expected) in scripts.iter().zip(&expected) {
        // Whoever holds a server leaves the other one to the client.
        let holder = &mut others[seeded.below(2)];
        holder.rows("BEGIN");
        holder.rows("SELECT 1");
        script.same(&mut client, expected);
        holder.rows("COMMIT");
    }
    at_rest(&mut client);
}

/// Chosen ones, cut at every offset.
#[test]
fn cuts_do_not_show_in_named_statements() {
    let house = House::with("transaction", 1, 2, "prepared_statements_limit = 2");
    let mut scripts = named::chosen();
    scripts.retain(|script| script.bytes().len() < 400);
    let expected = house.ask(&scripts);
    let (mut client, mut clock) = (house.client(), house.client());
    for (script, expected) in scripts.iter().zip(&expected) {
        let bytes = script.bytes();
        for cut in (1..bytes.len()).filter(|cut| all() || cut % 3 == script.name.len() % 3) {
            hear_cut(script, cut, &mut client, &mut clock, expected);
        }
    }
    at_rest(&mut client);
}

#[test]
fn a_copy_that_fails_or_is_left_gives_its_server_back_at_once() {
    println!("the next client waited {:?} at most", leaving::copies(&House::new("transaction", 1, 1)));
}

#[test]
fn an_unnamed_statement_stays_its_clients_own() {
    let house = House::new("transaction", 2, 1);
    let mut clients: Vec<(Raw, Option<String>)> = (0..4).map(|_| (house.client(), None)).collect();
    let mut seeded = Seeded(21);
    for round in 0..400 {
        let (client, statement) = &mut clients[seeded.below(4)];
        match seeded.below(5) {
            0 | 1 => {
                client.send(&[parse("", &format!("SELECT 'round {round}'"), &[]), sync()].concat());
                assert_eq!(tags(&client.read_until_ready()), "1Z");
                *statement = Some(format!("round {round}"));
            }
            2 => {
                client.query("SELECT 1");
                *statement = None;
            }
            _ => {
                client.send(&[bind("", "", &[]), execute("", 0), sync()].concat());
                let replies = client.read_until_ready();
                match statement {
                    Some(text) => assert_eq!((tags(&replies), replies[1].text()), ("2DCZ".to_string(), text.clone())),
                    None => assert_eq!((tags(&replies), replies[0].sqlstate()), ("EZ".to_string(), "26000".to_string())),
                }
            }
        }
    }
}

fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// A client that holds a statement from before, a server on which another client has left its own, and an error with no Sync yet.
#[test]
fn what_a_server_skipped_is_not_taken_for_done() {
    let house = House::new("transaction", 2, 1);
    for skipped in [
        bind("", "", &[]),
        parse("", "SELECT 'never'", &[]),
        query("SELECT 'never'"),
        close(b'S', ""),
        [bind("", "", &[]), parse("", "SELECT 'never'", &[])].concat(),
        raw::frame(b'C', b"S\0"),
    ] {
        let (mut mine, mut other) = (house.client(), house.client());
        for (client, text) in [(&mut mine, "SELECT 'mine'"), (&mut other, "SELECT 'other'")] {
            client.send(&[parse("", text, &[]), sync()].concat());
            assert_eq!(tags(&client.read_until_ready()), "1Z");
        }
        mine.send(&[execute("missing", 0), flush()].concat());
        assert_eq!(mine.read().sqlstate(), "34000");
        mine.send(&[skipped.clone(), sync()].concat());
        assert_eq!(tags(&mine.read_until_ready()), "Z");
        for text in ["mine", "other", "mine"] {
            let client = if text == "mine" { &mut mine } else { &mut other };
            client.send(&[bind("", "", &[]), describe(b'P', ""), execute("", 0), sync()].concat());
            let replies = client.read_until_ready();
            assert_eq!((tags(&replies), replies[2].text()), ("2TDCZ".to_string(), text.to_string()), "after {}", skipped.escape_ascii());
        }
    }
}

/// Scripts whose Syncs a failed COPY has read or not, many clients on one server: a ReadyForQuery too many would be the next client's.
#[test]
fn no_reply_strays_to_another_client() {
    let house = House::new("transaction", 2, 1);
    let scripts: Vec<Script> = scripts::chosen().into_iter().filter(|script| script.name.starts_with("COPY")).collect();
    let expected = house.ask(&scripts);
    let (mut client, mut others) = (house.client(), [house.client(), house.client()]);
    for (script, expected) in scripts.iter().zip(&expected) {
        for (at, other) in others.iter_mut().enumerate() {
            other.send(&query(&format!("SELECT 'other {at}'")));
        }
        script.same(&mut client, expected);
        for (at, other) in others.iter_mut().enumerate() {
            let replies = other.read_until_ready();
            assert_eq!((tags(&replies), replies[1].text()), ("TDCZ".to_string(), format!("other {at}")), "{}", script.name);
        }
    }
}

/// Whether the first Sync counts depends on how far the COPY got, and with it whether what follows is carried out: no client that waits for its
/// answers says such a thing. It is refused, the server is given up, and nobody else gets anything of it.
#[test]
fn what_cannot_be_told_apart_is_refused() {
    let house = House::new("transaction", 2, 1);
    let mut other = house.client();
    let copy = [parse("", "COPY copied FROM STDIN", &[]), bind("", "", &[]), execute("", 0)].concat();
    let statement = [parse("", "SELECT 'first'", &[]), bind("", "", &[]), execute("", 0)].concat();
    for (rows, behind) in [("x\n", b'C'), ("x\n", b'Z'), ("1\n", b'C')] {
        let mut client = house.client();
        client.send(&[copy.clone(), raw::copy_data(rows.as_bytes()), sync(), raw::copy_done(), statement.clone(), sync()].concat());
        client.send(&[statement.clone(), sync()].concat());
        if rows == "1\n" {
            assert_eq!(tags(&[client.read_until_ready(), client.read_until_ready()].concat()), "12GC12DCZ12DCZ");
            continue;
        }
        if behind == b'Z' {
            client.send(&query("SELECT 'second'"));
        }
        let replies = client.read_until_closed();
        assert_eq!(replies.last().map(Message::sqlstate), Some("08P01".to_string()), "{replies:?}");
        assert_eq!(replies.iter().filter(|message| message.tag == b'D').count(), 0, "{replies:?}");
        at_rest(&mut other);
    }
}
