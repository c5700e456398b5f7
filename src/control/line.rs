//! A server connection of the control core's own: made, logged in, asked, and left. It belongs to one job, is in no pool, and takes no permit; jobs
//! are few and their connections short or one per purpose.

use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};
use glommio::net::{TcpStream, UnixStream};
use glommio::timer::Timer;

use crate::auth::scram::{ClientKeys, salted_password};
use crate::config::snapshot::{PoolSpec, Snapshot, Tcp};
use crate::io::random::random;
use crate::io::socket::{self, Address, SocketOptions};
use crate::mail::SharedPool;
use crate::session::greeting::{Greeted, Greeting, SaltedKeys};
use crate::wire::client::{query, terminate};
use crate::wire::frame::{self, HEADER};
use crate::wire::server::{data_row_list, error_fields};

/// The longest time that anything is waited for: a timer needs an end.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(100);
/// Bytes that one read takes.
const READ: usize = 32 * 1024;
/// Bytes of one answer; whoever asks for more is wrong.
const ANSWER_MAX: usize = 64 << 20;

/// A connected socket.
pub(super) trait Line: AsyncRead + AsyncWrite {}
impl Line for TcpStream {}
impl Line for UnixStream {}

/// SQLSTATE and message.
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) message: String,
    /// another of the pool's passwords is worth a try at once
    pub(super) another: bool,
}

impl Failure {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Failure {
        Failure { code: code.to_string(), message: message.into(), another: false }
    }

    /// No matter how soon it is tried again.
    pub(super) fn is_barred(&self) -> bool {
        self.code.starts_with("28") || matches!(self.code.as_str(), "3D000" | "0A000")
    }
}

/// None: it took longer.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::new(limit.min(SILENCE_MAX)).await;
        None
    };
    async { Some(work.await) }.or(late).await
}

/// A connection that is logged in, with what came behind the login.
pub(super) struct LoggedIn {
    pub(super) line: Pin<Box<dyn Line>>,
    pub(super) bytes: Vec<u8>,
    /// what reads go to
    pub(super) chunk: Vec<u8>,
}

/// Connects and logs in under this application_name, with one more parameter if wanted.
pub(super) async fn log_in(
    pool: &Arc<SharedPool>,
    snapshot: &Snapshot,
    name: &str,
    more: Option<(&'static str, String)>,
) -> Result<LoggedIn, Failure> {
    let (minor, tcp) = (snapshot.general.server_minor, &snapshot.tcp);
    let mut line = connect(pool, &socket_options(tcp)).await?;
    let mut spec: PoolSpec = pool.spec.clone();
    spec.parameters.retain(|(name, _)| *name != "application_name");
    spec.parameters.push(("application_name", name.to_string()));
    spec.parameters.extend(more);
    let mut words = Vec::new();
    let mut greeting = Greeting::start(&spec, minor, &mut words).trying(pool.state.password.which());
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; READ]);
    loop {
        write(&mut line, &words).await?;
        words.clear();
        let mut nonce = [0; 18];
        random(&mut nonce);
        let keys = pool.state.server_keys.load_full();
        let (consumed, mut greeted) = greeting.on_bytes(&bytes, &spec, keys.as_deref(), &nonce, &mut words);
        bytes.drain(..consumed);
        if let Greeted::NeedKeys { salt, iterations } = greeted {
            let made = make_keys(pool, greeting.password_tried(), salt, iterations).await;
            greeted = greeting.keys_made(Some(&made), &mut words);
        }
        match greeted {
            Greeted::Ready => break,
            Greeted::Failed { code, message } => {
                let passwords = spec.server_passwords.len();
                let another = code == "28P01" && pool.state.password.wrong(greeting.password_tried(), passwords);
                return Err(Failure { code, message, another });
            }
            Greeted::More | Greeted::NeedKeys { .. } if !words.is_empty() => continue,
            Greeted::More | Greeted::NeedKeys { .. } => {}
        }
        if read(&mut line, &mut chunk, &mut bytes).await.map_err(|error| lost(&error))? == 0 {
            return Err(Failure::new("08006", "the server closed the connection during login"));
        }
    }
    pool.state.password.right();
    Ok(LoggedIn { line, bytes, chunk })
}

async fn connect(pool: &SharedPool, options: &SocketOptions) -> Result<Pin<Box<dyn Line>>, Failure> {
    let spec = &pool.spec;
    let failed = |error: &dyn std::fmt::Display| Failure::new("08001", format!("could not connect to the server: {error}"));
    if let Address::Unix(path) = Address::in_directory(&spec.host, spec.port)
        && spec.host.starts_with('/')
    {
        return Ok(Box::pin(UnixStream::connect(path).await.map_err(|error| failed(&error))?));
    }
    let address = pool.state.address.load().as_deref().copied();
    let address = address.ok_or_else(|| failed(&format!("the address of {:?} is not known; see the log", spec.host)))?;
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    socket::tune(stream.as_raw_fd(), options).map_err(|error| failed(&error))?;
    Ok(Box::pin(stream))
}

/// PBKDF2, on a thread that may take its time; kept for other connections of the pool.
async fn make_keys(pool: &Arc<SharedPool>, password: usize, salt: Vec<u8>, iterations: u32) -> Arc<SaltedKeys> {
    let text = pool.spec.server_passwords.get(password).cloned().unwrap_or_default();
    let made = glommio::executor().spawn_blocking(move || {
        let keys = ClientKeys::from_salted(&salted_password(text, &salt, iterations));
        Arc::new(SaltedKeys { password, salt, iterations, keys })
    });
    let made = made.await;
    pool.state.server_keys.store(Some(made.clone()));
    made
}

pub(super) fn lost(error: &std::io::Error) -> Failure {
    Failure::new("08006", format!("the connection to the server broke: {error}"))
}

/// Sends all of it.
pub(super) async fn write(line: &mut Pin<Box<dyn Line>>, words: &[u8]) -> Result<(), Failure> {
    line.write_all(words).await.map_err(|error| lost(&error))
}

/// Appends what comes next; 0 at the end. Whoever does not wait for it to the end loses nothing.
pub(super) async fn read(line: &mut Pin<Box<dyn Line>>, chunk: &mut [u8], bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    let length = poll_fn(|context| line.as_mut().poll_read(context, chunk)).await?;
    bytes.extend_from_slice(&chunk[..length]);
    Ok(length)
}

/// Says goodbye, if the server takes it.
pub(super) async fn goodbye(mut line: Pin<Box<dyn Line>>) {
    let mut words = Vec::new();
    terminate(&mut words);
    let _ = within(GOODBYE, line.write_all(&words)).await;
}

/// `[tcp]` of the configuration, as sockets take it.
pub fn socket_options(tcp: &Tcp) -> SocketOptions {
    SocketOptions {
        keepalive: tcp.keepalive,
        keepalive_time: tcp.time,
        keepalive_interval: tcp.interval,
        keepalive_retries: tcp.retries,
        user_timeout: tcp.user_timeout,
        congestion_control: tcp.congestion_control.clone(),
    }
}

/// Rows of one answer, as text; None is NULL.
pub(super) type Rows = Vec<Vec<Option<Vec<u8>>>>;

impl LoggedIn {
    /// Asks one simple query and waits for its answer: the rows of its last statement that has some.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Rows, Failure> {
        let mut words = Vec::new();
        query(&mut words, sql.as_bytes()).map_err(|_| Failure::new("54000", "a question is too long"))?;
        write(&mut self.line, &words).await?;
        let (mut rows, mut failed, mut taken) = (Rows::new(), None, 0);
        loop {
            let mut at = 0;
            while let Some(header) = frame::header(&self.bytes[at..]).map_err(|error| Failure::new("08P01", error.to_string()))? {
                let Some(body) = self.bytes[at..].get(HEADER..header.total()) else { break };
                at += header.total();
                taken += header.total();
                match header.kind {
                    b'T' => rows.clear(),
                    b'D' => rows.push(data_row_list(body).ok_or_else(|| Failure::new("08P01", "a row cannot be read"))?),
                    b'E' => {
                        let fields = error_fields(body).unwrap_or_default();
                        failed.get_or_insert(Failure::new(fields.sqlstate(), fields.text()));
                    }
                    b'Z' => {
                        self.bytes.drain(..at);
                        return failed.map_or(Ok(rows), Err);
                    }
                    _ => {}
                }
            }
            self.bytes.drain(..at);
            if taken + self.bytes.len() > ANSWER_MAX {
                return Err(Failure::new("54000", "an answer is too long"));
            }
            if read(&mut self.line, &mut self.chunk, &mut self.bytes).await.map_err(|error| lost(&error))? == 0 {
                return Err(failed.unwrap_or_else(|| Failure::new("08006", "the server closed the connection")));
            }
        }
    }

    /// Leaves.
    pub(super) async fn leave(self) {
        goodbye(self.line).await;
    }
}
