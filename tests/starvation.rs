//! Nobody starves: 2,000 clients on 4 servers want a megabyte each and read it slowly, while each data core has 8 receive buffers for its clients
//! and 8 for its servers. Clients that wait must not hold the buffers that replies need, and slow ones must not keep a server's recv from being
//! armed again.
#![allow(clippy::disallowed_methods, reason = "the clients of a test are threads")]

mod support;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pg_dog::boot::{Options, start};
use pg_dog::io::ring::RingSizes;
use support::place::{Folder, Port};
use support::postgres::{Postgres, Version};
use support::raw::{self, Raw};
use support::{Login, dog, wait_until};

const THREADS: usize = 20;
const CLIENTS_PER_THREAD: usize = 100;
/// What a client reads before it looks after the others of its thread.
const SIP: usize = 32 * 1024;
const RESULT: usize = 1_000_000;
const BOUND: Duration = Duration::from_secs(120);

/// One client in its conversation: how much has come, and its last bytes.
struct Reader {
    stream: TcpStream,
    got: usize,
    last: [u8; 6],
}

impl Reader {
    /// Reads a sip; true when the whole answer is there.
    fn sip(&mut self) -> bool {
        let mut bytes = [0; SIP];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the connection ended after {} bytes", self.got),
            Ok(n) => {
                self.got += n;
                let mut tail = self.last.to_vec();
                tail.extend_from_slice(&bytes[..n]);
                self.last.copy_from_slice(&tail[tail.len() - 6..]);
                // ReadyForQuery, idle, is the end and occurs nowhere in a result of letters.
                self.got > RESULT && self.last == *b"Z\0\0\0\x05I"
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("after {} bytes: {error}", self.got),
        }
    }
}

fn drink(login: &Login) {
    let mut readers: Vec<Reader> = (0..CLIENTS_PER_THREAD)
        .map(|_| {
            let mut client = Raw::login(login);
            client.send(&raw::query(&format!("SELECT repeat('x', {RESULT})")));
            let stream = client.stream().try_clone().expect("a descriptor for the reader");
            stream.set_nonblocking(true).expect("a socket of ours");
            Reader { stream, got: 0, last: [0; 6] }
        })
        .collect();
    let end = Instant::now() + BOUND;
    while !readers.is_empty() {
        assert!(Instant::now() < end, "{} clients of this thread have not finished", readers.len());
        readers.retain_mut(|reader| !reader.sip());
        std::thread::yield_now();
    }
}

#[test]
fn all_finish_with_eight_buffers() {
    let postgres = Postgres::start(Version::Debian);
    let folder = Folder::new("starvation", false);
    let port = Port::claim();
    let number = port.number;
    let config = dog::config(&postgres, "auth_type = \"trust\"\ncheckout_timeout = 120000\nclient_login_timeout = 120000", "")
        .replace("{port}", &number.to_string());
    let (config_path, users_path) = (folder.0.join("pgdog.toml"), folder.0.join("users.toml"));
    std::fs::write(&config_path, config).expect("the configuration is written");
    std::fs::write(&users_path, dog::users(&postgres, &[("app", "pool_size = 4")])).expect("the users are written");
    let mut options = Options::new(config_path, users_path);
    options.process = false;
    options.sizes = RingSizes { client_buffers: (8, 2048), server_buffers: (8, 8192), ..RingSizes::default() };
    std::thread::spawn(move || start(options));
    let login = Login { port: number, ..postgres.login("app") };
    wait_until("pg_dog accepts", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", number)).is_ok());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| drink(&login));
        }
    });
}
