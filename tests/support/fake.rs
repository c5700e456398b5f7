//! A PostgreSQL that says what a test wants it to say. Each connection runs the test's script on a thread of its own; the script reads messages and
//! says bytes. Cancel requests are counted and closed, as PostgreSQL does. It shares no code with pg_dog.

use super::place::Port;
use super::raw::frame;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How long a script waits for pg_dog before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; it takes no more connections once dropped.
pub struct Fake {
    pub port: u16,
    state: Arc<State>,
    _port: Port,
}

#[derive(Default)]
struct State {
    over: AtomicBool,
    connections: AtomicUsize,
    open: AtomicUsize,
    cancels: AtomicUsize,
}

/// What a script did about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// nothing: it is answered as usual
    No,
    /// it has been answered
    Done,
    /// the connection ends
    End,
}

/// One connection, as its script sees it.
pub struct Talk {
    stream: TcpStream,
    /// of this connection, from 0
    pub number: usize,
    /// what ReadyForQuery says after an ordinary answer
    status: u8,
}

impl Fake {
    /// Runs `script` on each connection, from its first byte on.
    pub fn start(script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Fake {
        let port = Port::claim();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).expect("the port is ours");
        let (state, script) = (Arc::new(State::default()), Arc::new(script));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                stream.set_nodelay(true).expect("a TCP socket");
                stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
                let (state, script) = (shared.clone(), script.clone());
                std::thread::spawn(move || {
                    let mut code = [0; 8];
                    if stream.peek(&mut code).is_ok_and(|n| n == 8) && code[4..] == 80_877_102_u32.to_be_bytes() {
                        state.cancels.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    let number = state.connections.fetch_add(1, Ordering::Relaxed);
                    state.open.fetch_add(1, Ordering::Relaxed);
                    script(&mut Talk { stream, number, status: b'I' });
                    state.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Fake { port: port.number, state, _port: port }
    }

    /// Connections so far, without cancel requests.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Connections whose scripts have not come to their end.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Cancel requests so far.
    pub fn cancels(&self) -> usize {
        self.state.cancels.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes the one that accepts
    }
}

impl Talk {
    /// Reads the startup packet; false when the connection has ended.
    pub fn startup(&mut self) -> bool {
        self.body().is_some()
    }

    /// The next message; None at the end.
    pub fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut tag = [0];
        self.stream.read_exact(&mut tag).ok()?;
        Some((tag[0], self.body()?))
    }

    fn body(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        self.stream.read_exact(&mut body).ok()?;
        Some(body)
    }

    /// Says bytes; pg_dog may have gone.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Lets the client in, as `trust` does.
    pub fn welcome(&mut self) -> bool {
        let known = self.startup();
        self.say(&welcome());
        known
    }

    /// Answers requests as a server whose every query returns the query's own text. `odd` sees each query first and may do something else. Ends with
    /// the connection; after the answer to `SELECT 'bye'`; or when `odd` wants it.
    pub fn serve(&mut self, mut odd: impl FnMut(&mut Talk, &str) -> Odd) {
        while let Some((tag, body)) = self.message() {
            match tag {
                b'Q' => {
                    let text = String::from_utf8_lossy(&body[..body.len().saturating_sub(1)]).into_owned();
                    match odd(self, &text) {
                        Odd::No => {
                            self.status = match text.as_str() {
                                "BEGIN" => b'T',
                                "COMMIT" | "ROLLBACK" => b'I',
                                _ => self.status,
                            };
                            let mut words = answer(&text);
                            *words.last_mut().expect("it ends with ReadyForQuery") = self.status;
                            self.say(&words);
                        }
                        Odd::Done => continue,
                        Odd::End => return,
                    }
                    if text == "SELECT 'bye'" {
                        return;
                    }
                }
                b'S' => self.say(&ready(self.status)),
                b'X' => return,
                _ => {}
            }
        }
    }

    /// Waits for pg_dog to close, reading what comes.
    pub fn wait_for_end(&mut self) {
        let mut bytes = [0; 4096];
        while matches!(self.stream.read(&mut bytes), Ok(1..)) {}
    }

    /// Ends with a reset.
    pub fn reset(&mut self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// AuthenticationOk.
pub fn let_in() -> Vec<u8> {
    frame(b'R', &[0; 4])
}

/// ParameterStatus.
pub fn parameter(name: &str, value: &str) -> Vec<u8> {
    frame(b'S', format!("{name}\0{value}\0").as_bytes())
}

/// All a server says until the first ReadyForQuery.
pub fn welcome() -> Vec<u8> {
    let parameters = [("server_version", "18.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on"), ("DateStyle", "ISO, MDY")];
    let mut words = let_in();
    words.extend(parameters.iter().flat_map(|(name, value)| parameter(name, value)));
    words.extend(frame(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]));
    words.extend(ready(b'I'));
    words
}

/// ReadyForQuery.
pub fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

/// RowDescription of one column of text.
pub fn description() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(b"text\0");
    body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    frame(b'T', &body)
}

/// DataRow of one column.
pub fn row(text: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((text.len() as u32).to_be_bytes());
    body.extend(text.as_bytes());
    frame(b'D', &body)
}

/// CommandComplete.
pub fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', format!("{tag}\0").as_bytes())
}

/// One row, and the end; no row for what returns none.
pub fn answer(text: &str) -> Vec<u8> {
    match text {
        "BEGIN" => [complete("BEGIN"), ready(b'T')].concat(),
        "COMMIT" | "ROLLBACK" => [complete(text), ready(b'I')].concat(),
        text if text.starts_with("SELECT") => [description(), row(text), complete("SELECT 1"), ready(b'I')].concat(),
        text => [complete(text.split(' ').next().unwrap_or_default()), ready(b'I')].concat(),
    }
}

/// ErrorResponse with these fields.
pub fn error(fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (letter, text) in fields {
        body.push(*letter);
        body.extend(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    frame(b'E', &body)
}
