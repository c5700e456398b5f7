//! More than any buffer holds: large texts, values and rows, results that are not read, and many who read slowly at once. Memory stays bounded.

use super::house::{House, extended, one, tags};
use super::support::{Raw, SOON, Version, poll, raw};
use std::io::{ErrorKind, Read};
use std::time::Duration;

crate::on_both!(large_messages_pass, an_unread_result_stays_on_the_server);

/// 64 MB.
const LARGE: usize = 64 << 20;

/// Memory that pg_dog may gain while it passes on much more, bytes.
const SLACK: usize = 24 << 20;

fn large_messages_pass(version: Version) {
    let house = House::new(version, 2, "");
    let mut client = house.client();
    client.set_deadline(Duration::from_secs(30));
    assert_eq!(one(&mut client, "SELECT 1"), "1");
    let before = house.peak_memory();
    let text = "x".repeat(LARGE);
    assert_eq!(one(&mut client, &format!("SELECT length('{text}')")), LARGE.to_string());
    client.send(&[extended("SELECT length($1)", &[Some(&text)]), raw::sync()].concat());
    assert_eq!(client.read_until_ready()[3].text(), LARGE.to_string());
    client.send(&[raw::parse("", &format!("SELECT length('{text}')"), &[]), raw::bind("", "", &[]), raw::execute("", 0), raw::sync()].concat());
    assert_eq!(client.read_until_ready()[2].text(), LARGE.to_string());
    let answer = client.query(&format!("SELECT repeat('y', {LARGE}), 'end'"));
    assert_eq!(tags(&answer), "TDCZ");
    let columns = answer[1].columns();
    let row = columns[0].as_ref().expect("not null");
    assert!(row.len() == LARGE && row.iter().all(|byte| *byte == b'y') && columns[1].as_deref() == Some(b"end"));
    let after = house.peak_memory();
    assert!(after < before + SLACK, "memory grew from {before} to {after} bytes");
    house.watch().wait_until_settled();
}

fn an_unread_result_stays_on_the_server(version: Version) {
    let house = House::new(version, 2, "");
    let mut watch = house.watch();
    let (mut slow, mut other) = (house.client(), house.client());
    assert_eq!(one(&mut slow, "SELECT 1"), "1");
    let before = house.peak_memory();
    slow.send(&raw::query("SELECT repeat('z', 1000) FROM generate_series(1, 200000)"));
    slow.read_until(b'T');
    watch.wait_for_sessions(1, "wait_event = 'ClientWrite'");
    // Nobody else waits for it.
    for i in 0..100 {
        assert_eq!(one(&mut other, &format!("SELECT {i}")), i.to_string());
    }
    assert_eq!(watch.sessions("state = 'active'"), 1, "the server finished although nobody read");
    let blocked = house.peak_memory();
    assert!(blocked < before + SLACK, "memory grew from {before} to {blocked} bytes");
    let (mut rows, mut wrong) = (0, 0);
    let end = loop {
        let message = slow.read();
        match message.tag {
            b'D' if message.body.len() == 1006 && message.body[6..].iter().all(|byte| *byte == b'z') => rows += 1,
            b'D' => wrong += 1,
            _ => break message,
        }
    };
    assert_eq!((rows, wrong, end.text().as_str()), (200_000, 0, "SELECT 200000"));
    slow.read_until_ready();
    let after = house.peak_memory();
    assert!(after < before + SLACK, "memory grew from {before} to {after} bytes");
    watch.wait_until_settled();
}

/// A client that sends and does not read cannot fill memory, and cannot lock itself up either.
#[test]
fn a_hundred_megabytes_of_requests_before_the_first_answer_is_read() {
    let house = House::new(Version::Newest, 2, "");
    let (mut client, mut other) = (house.client(), house.client());
    assert_eq!(one(&mut client, "SELECT 1"), "1");
    let before = house.peak_memory();
    let (count, size) = (2_000, 50_000);
    let mut sender = client.stream().try_clone().expect("a descriptor is free");
    let writer = std::thread::spawn(move || {
        for i in 0..count {
            std::io::Write::write_all(&mut sender, &raw::query(&format!("SELECT {i}, '{}'", "q".repeat(size)))).expect("it is taken in the end");
        }
    });
    for i in 0..50 {
        assert_eq!(one(&mut other, &format!("SELECT {i}")), i.to_string());
    }
    for i in 0..count {
        let answer = client.read_until_ready();
        assert_eq!((tags(&answer).as_str(), answer[1].text()), ("TDCZ", i.to_string()));
        assert_eq!(answer[1].columns()[1].as_ref().map(Vec::len), Some(size));
    }
    writer.join().expect("all was sent");
    let after = house.peak_memory();
    assert!(after < before + SLACK, "memory grew from {before} to {after} bytes");
    house.watch().wait_until_settled();
}

/// Two hundred slow readers of a megabyte each on four servers: everybody gets all of it.
#[test]
fn slow_readers_do_not_starve_each_other() {
    let house = House::new(Version::Debian, 4, "checkout_timeout = 60000");
    let mut clients: Vec<(Raw, usize, bool)> = (0..200).map(|_| (house.client(), 0, false)).collect();
    let before = house.peak_memory();
    for (client, ..) in &mut clients {
        socket2::SockRef::from(client.stream()).set_recv_buffer_size(32 << 10).expect("a TCP socket");
        client.send(&raw::query("SELECT repeat('s', 1000) FROM generate_series(1, 1000)"));
        client.stream().set_nonblocking(true).expect("a TCP socket");
    }
    let mut buffer = vec![0; 64 << 10];
    let all = poll(SOON, || {
        for (client, got, done) in clients.iter_mut().filter(|(_, _, done)| !done) {
            match client.stream().read(&mut buffer) {
                Ok(0) => panic!("a client was closed after {got} bytes"),
                Ok(n) => {
                    *got += n;
                    *done = buffer[..n].ends_with(b"Z\x00\x00\x00\x05I");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        clients.iter().all(|(_, _, done)| *done)
    });
    let sizes: Vec<usize> = clients.iter().map(|(_, got, _)| *got).collect();
    assert!(all, "not everybody got everything: {sizes:?}");
    assert!(sizes.iter().all(|size| *size == sizes[0] && *size > 1_000_000), "not everybody got the same: {sizes:?}");
    let after = house.peak_memory();
    assert!(after < before + SLACK, "memory grew from {before} to {after} bytes");
    drop(clients);
    house.watch().wait_until_settled();
}
