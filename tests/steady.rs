//! The steady state allocates nothing: a counting allocator watches the data cores of a pg_dog that runs inside this test, while clients that
//! outnumber the servers wait, are served on both cores, and servers are lent between them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients of a test are threads that wait for each other")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use support::place::{Folder, Port};
use support::postgres::{Postgres, Version};
use support::raw::{self, Raw};
use support::{Login, dog, wait_until};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: passes every call to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count() {
    // A thread that is ending has no locals any more, and is no data core at work.
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count_this_thread() {
    COUNTED.with(|counted| counted.set(true));
}

const CLIENTS: usize = 24;
const WARM_UP: usize = 1500;
const MEASURED: usize = 4000;

/// One simple and one extended request after the other, each checked.
fn work(client: &mut Raw, number: usize, rounds: usize) {
    for round in 0..rounds {
        let value = number * 1_000_000 + round;
        if round % 2 == 0 {
            client.send(&raw::query(&format!("SELECT {value}")));
        } else {
            let batch = [raw::parse("", &format!("SELECT {value}"), &[]), raw::bind("", "", &[]), raw::execute("", 0), raw::sync()].concat();
            client.send(&batch);
        }
        let replies = client.read_until_ready();
        let row = replies.iter().find(|message| message.tag == b'D').expect("a row");
        assert_eq!(row.text(), value.to_string());
    }
}

#[test]
fn the_hot_path_allocates_nothing() {
    let postgres = Postgres::start(Version::Debian);
    let folder = Folder::new("steady", false);
    let port = Port::claim();
    let number = port.number;
    let config = dog::config(&postgres, "", "").replace("{port}", &number.to_string());
    let (config_path, users_path) = (folder.0.join("pgdog.toml"), folder.0.join("users.toml"));
    std::fs::write(&config_path, config).expect("the configuration is written");
    std::fs::write(&users_path, dog::users(&postgres, &[("app", "pool_size = 5")])).expect("the users are written");
    let mut options = pg_dog::boot::Options::new(config_path, users_path);
    options.process = false;
    options.on_data_core = count_this_thread;
    std::thread::spawn(move || pg_dog::boot::start(options));
    let login = Login { port: number, ..postgres.login("app") };
    wait_until("pg_dog accepts", Duration::from_secs(20), || std::net::TcpStream::connect(("127.0.0.1", number)).is_ok());
    let barrier = Arc::new(Barrier::new(CLIENTS + 1));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (barrier, login) = (barrier.clone(), login.clone());
            std::thread::spawn(move || {
                let mut client = Raw::login(&login);
                work(&mut client, number, WARM_UP);
                barrier.wait();
                barrier.wait();
                work(&mut client, number, MEASURED);
                barrier.wait();
                barrier.wait();
            })
        })
        .collect();
    barrier.wait();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(before > 100, "logins do allocate: the counter counts");
    barrier.wait();
    barrier.wait();
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    barrier.wait();
    clients.into_iter().for_each(|client| client.join().expect("a client failed"));
    // Tables may still grow to their full size; that ends, and is far below one per thousand transactions.
    let allowed = 32;
    let made = after - before;
    println!("{made} allocations in {} transactions", CLIENTS * MEASURED);
    assert!(made <= allowed, "{made} allocations in {} transactions", CLIENTS * MEASURED);
}
