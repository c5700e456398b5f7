//! More than fits, from one side while the other does not take it: what pg_dog holds stays bounded, and twenty others on the same two cores are
//! served as before. `PG_DOG_LARGE_GB` makes the results larger.

use super::gauge::{percentile, steady_while};
use super::house::{House, one, tags};
use super::support::raw::{self, Raw};
use super::support::{Postgres, SOON, Shim, Version, pace, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Memory that pg_dog may gain meanwhile, bytes.
const SLACK: usize = 32 << 20;

/// Gigabytes of the largest result.
fn gigabytes() -> usize {
    std::env::var("PG_DOG_LARGE_GB").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Runs `work` beside twenty steady clients; neither memory nor their waiting times may show it. The bound on the times is for a machine whose
/// processors are shared by PostgreSQL, the clients and other tests: it tells being served from being locked out.
fn unnoticed<T>(name: &str, house: &House, work: impl FnOnce() -> T) -> T {
    house.warm_up();
    let login = house.login("other");
    let (mut alone, ()) = steady_while(&login, || pace(Duration::from_secs(1)));
    let before = house.peak_memory();
    let (mut beside, done) = steady_while(&login, work);
    let grown = house.peak_memory() - before;
    let (p99_alone, p99_beside) = (percentile(&mut alone, 99), percentile(&mut beside, 99));
    println!("{name}: memory grew by {} MiB; p99 of the others {p99_alone:?} alone, {p99_beside:?} beside it", grown >> 20);
    assert!(grown < SLACK, "{name}: memory grew by {grown} bytes");
    assert!(p99_beside < p99_alone * 20 + Duration::from_millis(200), "{name}: p99 of the others went from {p99_alone:?} to {p99_beside:?}");
    done
}

/// Reads a result of so many bytes of rows, slowly for its first second; its bytes.
fn read_slowly(client: &Raw) -> usize {
    let mut stream = client.stream();
    let mut buffer = vec![0; 256 << 10];
    let (mut got, mut last, begun) = (0, [0; 6], Instant::now());
    loop {
        let slow = begun.elapsed() < Duration::from_secs(1);
        let size = if slow { 8 << 10 } else { buffer.len() };
        let n = stream.read(&mut buffer[..size]).expect("the result goes on");
        assert_ne!(n, 0, "the connection ended after {got} bytes");
        got += n;
        let kept = n.min(6);
        last.rotate_left(kept);
        last[6 - kept..].copy_from_slice(&buffer[n - kept..n]);
        // Rows are letters and digits: ReadyForQuery stands nowhere in them.
        if last == *b"Z\0\0\0\x05I" {
            return got;
        }
        if slow {
            pace(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_huge_result_to_a_slow_reader() {
    let house = House::new(Version::Newest, 4, "checkout_timeout = 20000");
    let rows = gigabytes() * 1_000_000;
    unnoticed("a huge result", &house, || {
        let mut client = house.client();
        client.set_deadline(SOON);
        client.send(&raw::query(&format!("SELECT repeat('z', 1000), generate_series(1, {rows})")));
        let got = read_slowly(&client);
        // Each row has 5 + 2 + 4 + 1000 + 4 bytes and its number's digits.
        let digits: usize = (1..=9).map(|n| rows.saturating_sub(10_usize.pow(n - 1) - 1)).sum();
        let (description, complete) = (7 + 25 - 4 + 3 + "generate_series".len() + 19, 5 + format!("SELECT {rows}").len() + 1);
        let rest = got - rows * 1015 - digits;
        assert!(rest >= complete + 6 && rest < 200, "{rest} bytes besides the rows, {description} and {} expected", complete + 6);
        assert_eq!(one(&mut client, "SELECT 'after'"), "after");
    });
    house.watch().wait_until_settled();
}

#[test]
fn requests_by_the_hundred_megabytes_before_an_answer_is_read() {
    let house = House::new(Version::Debian, 4, "checkout_timeout = 20000");
    let (count, size) = (1_000, 100_000);
    unnoticed("pipelined requests", &house, || {
        let mut client = house.client();
        client.set_deadline(SOON);
        let mut sender = client.stream().try_clone().expect("a descriptor is free");
        let writer = std::thread::spawn(move || {
            for i in 0..count {
                let bytes = [super::house::extended(&format!("SELECT {i}, '{}'", "q".repeat(size)), &[]), raw::sync()].concat();
                sender.write_all(&bytes).expect("it is taken in the end");
            }
        });
        // It does not read for as long as it takes until nothing more is taken of it.
        let mut watch = house.watch();
        watch.wait_for_sessions(1, "wait_event = 'ClientWrite'");
        for i in 0..count {
            let answer = client.read_until_ready();
            assert_eq!((tags(&answer).as_str(), answer[3].text()), ("12TDCZ", i.to_string()));
        }
        writer.join().expect("all was sent");
    });
    house.watch().wait_until_settled();
}

/// What pg_dog answers itself, by the hundred megabytes, to who reads no answer: it is not read any more either, and all are there in the end.
#[test]
fn answers_of_our_own_that_nobody_reads() {
    let house = House::new(Version::Newest, 1, "checkout_timeout = 20000\npub_sub_channel_size = 10");
    let run = |sql: &str| [super::house::extended(sql, &[]), raw::sync()].concat();
    let (begin, prepared) =
        ([raw::query("BEGIN"), raw::query("ROLLBACK")].concat(), [raw::parse("c", "COMMIT", &[]), raw::sync(), raw::close(b'S', "c")].concat());
    for (name, unit, answer) in [
        ("Syncs", raw::sync(), 6),
        ("transactions", begin, 11 + 6 + 14 + 6),
        ("by the extended protocol", [run("BEGIN"), run("COMMIT")].concat(), 2 * (5 + 5 + 5 + 6) + 11 + 12),
        ("statements that come and go", [prepared, raw::sync()].concat(), 5 + 6 + 5 + 6),
    ] {
        house.warm_up();
        let before = house.peak_memory();
        let mut client = house.client();
        client.set_deadline(SOON);
        let mut stream = client.stream().try_clone().expect("a descriptor is free");
        stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a TCP socket");
        let (piece, all) = (unit.repeat(4096), 200 << 20);
        let mut sent = 0;
        while sent < all {
            match stream.write(&piece[sent % piece.len()..]) {
                Ok(n) => sent += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{name}: {error}"),
            }
        }
        let grown = house.peak_memory().saturating_sub(before);
        println!("{name}: {} MiB were taken, memory grew by {} MiB", sent >> 20, grown >> 20);
        assert!(sent < all && grown < SLACK, "{name}: memory grew by {grown} bytes, {sent} bytes were taken");
        // It reads, and the rest of its last unit is taken.
        let mut reader = client.stream().try_clone().expect("a descriptor is free");
        let rest = unit[sent % unit.len()..].to_vec();
        let expected = (sent / unit.len() + 1) * answer;
        let writer = std::thread::spawn(move || stream.set_write_timeout(None).and_then(|()| stream.write_all(&rest)));
        let (mut got, mut buffer) = (0, vec![0; 256 << 10]);
        while got < expected {
            let most = buffer.len().min(expected - got);
            got += reader.read(&mut buffer[..most]).expect("the answers go on");
        }
        writer.join().expect("it does not panic").expect("it is taken in the end");
        assert_eq!(one(&mut client, "SELECT 'after'"), "after", "{name}");
    }
    house.watch().wait_until_settled();
}

/// PostgreSQL takes nothing for a while: the client is not read any more, instead of being stored.
#[test]
fn a_huge_copy_into_a_stalled_server() {
    let postgres = Postgres::start(Version::Newest);
    let shim = Shim::before(postgres.port);
    let house = House::behind(postgres, shim.port, 4, "checkout_timeout = 20000");
    house.postgres.sql("CREATE TABLE taken (line text); GRANT ALL ON taken TO app");
    let (line, lines) = (format!("{}\n", "c".repeat(9_999)), 25_000 * gigabytes());
    let pieces = raw::copy_data(line.repeat(20).as_bytes());
    house.warm_up();
    let before = house.peak_memory();
    let mut client = house.client();
    // Parsed and thrown away: it is the way there that is tested.
    client.send(&raw::query("COPY taken FROM STDIN WHERE false"));
    client.read_until(b'G');
    shim.stall(true);
    let mut stream = client.stream().try_clone().expect("a descriptor is free");
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a TCP socket");
    let all: usize = pieces.len() * (lines / 20);
    let mut sent = 0;
    // Until nothing is taken for half a second.
    let stuck = loop {
        let at = sent % pieces.len();
        match stream.write(&pieces[at..]) {
            Ok(n) => sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break sent,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < all, "everything was taken, and the server took nothing");
    };
    let held = house.peak_memory() - before;
    println!("with the server stalled {} MiB were taken, memory grew by {} MiB", stuck >> 20, held >> 20);
    assert!(held < SLACK && stuck < SLACK, "memory grew by {held} bytes, {stuck} bytes were taken");
    shim.stall(false);
    stream.set_write_timeout(Some(SOON)).expect("a TCP socket");
    unnoticed("a huge COPY", &house, || {
        while sent < all {
            let at = sent % pieces.len();
            stream.write_all(&pieces[at..]).expect("it is taken again");
            sent += pieces.len() - at;
        }
        client.set_deadline(SOON);
        client.send(&raw::copy_done());
        assert_eq!(client.read_until_ready()[0].text(), "COPY 0");
        assert_eq!(one(&mut client, "SELECT 'after'"), "after");
    });
    house.watch().wait_until_settled();
}

/// The client of a row of 64 MB goes in the middle of it, anywhere: its server is back, or gone, within a second, not counting the time that
/// PostgreSQL needs for such a row.
#[test]
fn a_large_row_cut_anywhere() {
    const ROW: usize = 64 << 20;
    let house = House::new(Version::Debian, 4, "checkout_timeout = 20000");
    let mut watch = house.watch();
    unnoticed("large rows cut", &house, || {
        let asked = Instant::now();
        let mut client = house.client();
        client.set_deadline(Duration::from_secs(60));
        assert_eq!(one(&mut client, &format!("SELECT repeat('y', {ROW})")).len(), ROW);
        let whole = asked.elapsed();
        let mut dice = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
        for round in 0..5 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            // What lies between here and there holds a little more than what is read.
            let offset = [0, 1, 100_000, ROW - (1 << 20)].get(round).copied().unwrap_or((dice % ROW as u64) as usize / 2);
            let mut client = house.client();
            client.set_deadline(Duration::from_secs(60));
            client.send(&raw::query(&format!("SELECT repeat('y', {ROW})")));
            client.read_until(b'T');
            let mut buffer = vec![0; 64 << 10];
            let mut got = 0;
            while got < offset {
                let most = buffer.len().min(offset - got);
                got += client.stream().read(&mut buffer[..most]).expect("the row goes on");
            }
            let cut = Instant::now();
            client.reset();
            // The steady clients use servers of another pool.
            let mut active = || watch.show("POOLS").iter().filter(|row| row["user"] == "app" && row["sv_active"] != "0").count();
            wait_until("its server is back", SOON, || active() == 0);
            let back = cut.elapsed();
            assert!(back < whole + Duration::from_secs(1), "cut at {offset}, its server came back after {back:?}; a whole row takes {whole:?}");
            assert_eq!(one(&mut house.client(), "SELECT 'next'"), "next");
        }
    });
    watch.wait_until_settled();
}
