//! One listening connection: it connects, logs in, says what its hub has to say, reads what comes, and does so again when it is lost, until nobody
//! listens any more. A connection that is silent for `healthcheck_interval` is asked whether it lives: a network may have forgotten it without a
//! word, and then notifications would be missing without anybody knowing.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};
use glommio::net::{TcpStream, UnixStream};
use glommio::timer::Timer;

use crate::auth::scram::{ClientKeys, salted_password};
use crate::config::snapshot::{PoolSpec, Tcp};
use crate::io::clock;
use crate::io::random::random;
use crate::io::socket::{self, Address, SocketOptions};
use crate::mail::SharedPool;
use crate::session::greeting::{Greeted, Greeting, SaltedKeys};
use crate::session::listener::{Listener, Told};
use crate::wire::client::terminate;

use super::publish::resolve;
use super::pubsub::{Bags, Entry, Hub, Job};

/// Pause before the next try after a connection was lost or could not be made: at first, and at most; each is twice the last.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The same where the server does not let us in: who asks again and again is locked out by some providers.
const BARRED: Duration = Duration::from_secs(5);
/// The longest time that nobody looks at a connection, whatever `healthcheck_interval` says: a timer needs an end.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a connection that its cores do not keep up with looks whether they do again.
const LOOK: Duration = Duration::from_millis(1);
/// Bytes that one read takes, and what a letter to a core is made of.
const READ: usize = 32 * 1024;
/// Name of the connection in pg_stat_activity.
const NAME: &str = "pg_dog listener";

/// A connected socket.
trait Line: AsyncRead + AsyncWrite {}
impl Line for TcpStream {}
impl Line for UnixStream {}

/// One that is logged in.
struct Connection {
    line: Pin<Box<dyn Line>>,
    /// received, and not read yet
    bytes: Vec<u8>,
    /// what reads go to
    chunk: Vec<u8>,
    listener: Listener,
    /// said, and not answered yet
    said: VecDeque<Job>,
    /// listened to again, and their clients not told since when they were not; all are told together
    again: Vec<(Rc<Entry>, u64)>,
    /// when anything was last heard, ns, and ms since 1970
    heard: u64,
    heard_wall: u64,
    /// when something was said that is not answered yet
    waits_since: u64,
    /// it has answered something
    answered: bool,
}

/// SQLSTATE and message.
struct Failure {
    code: String,
    message: String,
    /// another of the pool's passwords is worth a try at once
    another: bool,
}

impl Failure {
    fn new(code: &str, message: impl Into<String>) -> Failure {
        Failure { code: code.to_string(), message: message.into(), another: false }
    }

    /// No matter how soon it is tried again.
    fn is_barred(&self) -> bool {
        self.code.starts_with("28") || matches!(self.code.as_str(), "3D000" | "0A000")
    }
}

/// Runs a hub's connection until nobody needs it.
pub(super) async fn listen_for(hub: Rc<Hub>) {
    let (mut pause, mut lost) = (PAUSE, None);
    while !hub.is_over() {
        let limit = hub.hubs.shared.published.load().snapshot.general.connect_timeout;
        let opened = within(limit, open(&hub)).await;
        match opened.unwrap_or_else(|| Err(Failure::new("08001", "the server did not answer within connect_timeout"))) {
            Ok(mut connection) => {
                let since = connection.heard;
                hub.replace.set(false);
                hub.connected(lost);
                let why = serve(&hub, &mut connection).await;
                let untold = connection.again.drain(..).map(|(entry, since)| Job::Again { entry, since });
                hub.unanswered(untold.chain(connection.said.drain(..)), &why);
                goodbye(connection.line).await;
                if !hub.is_over() {
                    lost = Some(connection.heard_wall);
                    let PoolSpec { database, user, .. } = &hub.pool.borrow().spec;
                    tracing::warn!(%database, %user, "the listening connection has ended and is made anew: {why}");
                }
                // A server that only throws us out is not asked again at once.
                let lived = Duration::from_nanos(clock::monotonic_ns().saturating_sub(since));
                pause = match connection.answered {
                    _ if lived >= PAUSE_MAX => Duration::ZERO,
                    true => PAUSE,
                    false => (pause * 2).clamp(PAUSE, PAUSE_MAX),
                };
            }
            Err(failure) if failure.another => continue,
            Err(failure) => {
                let pool = hub.pool.borrow().clone();
                let (PoolSpec { database, user, .. }, Failure { code, message, .. }) = (&pool.spec, &failure);
                tracing::warn!(%database, %user, code, "no server to listen at: {message}");
                hub.refuse_all(code, &format!("cannot listen: {message}"));
                resolve_again(pool).await;
                pause = if failure.is_barred() { BARRED } else { (pause * 2).clamp(PAUSE, PAUSE_MAX) };
            }
        }
        wait(&hub, pause).await;
    }
    hub.hubs.ended(&hub);
}

/// Waits before the next try; not longer than the first pause if somebody asks for it.
async fn wait(hub: &Hub, pause: Duration) {
    let until = clock::monotonic_ns() + pause.as_nanos() as u64;
    let least = clock::monotonic_ns() + PAUSE.min(pause).as_nanos() as u64;
    loop {
        let now = clock::monotonic_ns();
        if now >= until || hub.is_over() || now >= least && hub.is_asked() {
            return;
        }
        Timer::new(Duration::from_nanos(until - now).min(PAUSE)).await;
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::new(limit.min(SILENCE_MAX)).await;
        None
    };
    async { Some(work.await) }.or(late).await
}

/// The server's name may lead somewhere else by now.
async fn resolve_again(pool: Arc<SharedPool>) {
    if pool.spec.host.starts_with('/') || pool.spec.host.parse::<std::net::IpAddr>().is_ok() {
        return;
    }
    let name = (pool.spec.host.clone(), pool.spec.port);
    if let Some(address) = glommio::executor().spawn_blocking(move || resolve(&name.0, name.1)).await {
        pool.state.address.store(Some(Arc::new(address)));
    }
}

/// Connects and logs in.
async fn open(hub: &Hub) -> Result<Connection, Failure> {
    let pool = hub.pool.borrow().clone();
    let published = hub.hubs.shared.published.load_full();
    let (minor, tcp) = (published.snapshot.general.server_minor, &published.snapshot.tcp);
    let mut line = connect(&pool, &socket_options(tcp)).await?;
    let mut spec: PoolSpec = pool.spec.clone();
    spec.parameters.retain(|(name, _)| *name != "application_name");
    spec.parameters.push(("application_name", NAME.to_string()));
    spec.parameters.extend(hub.key.encoding.clone().map(|encoding| ("client_encoding", encoding)));
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
            let made = make_keys(&pool, greeting.password_tried(), salt, iterations).await;
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
    let (heard, heard_wall) = (clock::monotonic_ns(), clock::wall_ms());
    Ok(Connection {
        line,
        bytes,
        chunk,
        listener: Listener::default(),
        said: VecDeque::new(),
        again: Vec::new(),
        heard,
        heard_wall,
        waits_since: heard,
        answered: false,
    })
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

fn lost(error: &std::io::Error) -> Failure {
    Failure::new("08006", format!("the connection to the server broke: {error}"))
}

async fn write(line: &mut Pin<Box<dyn Line>>, words: &[u8]) -> Result<(), Failure> {
    line.write_all(words).await.map_err(|error| lost(&error))
}

/// Appends what comes next; 0 at the end. Whoever does not wait for it to the end loses nothing.
async fn read(line: &mut Pin<Box<dyn Line>>, chunk: &mut [u8], bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    let length = poll_fn(|context| line.as_mut().poll_read(context, chunk)).await?;
    bytes.extend_from_slice(&chunk[..length]);
    Ok(length)
}

/// What ends a wait.
enum Event {
    /// bytes, or the end
    Read(std::io::Result<usize>),
    Called,
    Late,
}

/// Says and reads until the connection is lost or not needed any more; why it ended.
async fn serve(hub: &Rc<Hub>, connection: &mut Connection) -> String {
    loop {
        if hub.is_over() {
            return "nobody listens".to_string();
        }
        if hub.replace.get() {
            return "the operator has asked for it".to_string();
        }
        let published = hub.hubs.shared.published.load_full();
        let general = &published.snapshot.general;
        let mut words = Vec::new();
        while connection.listener.has_room() {
            let Some(job) = hub.next_job() else { break };
            connection.say(job, &mut words);
        }
        let silent = clock::monotonic_ns().saturating_sub(connection.heard);
        let (interval, timeout) = (general.healthcheck_interval.min(SILENCE_MAX), general.healthcheck_timeout.min(SILENCE_MAX));
        if !connection.listener.waits() && Duration::from_nanos(silent) >= interval {
            connection.say(Job::Alive, &mut words);
        }
        // What is outstanding is so little that the socket always has room for it.
        if !words.is_empty() {
            match within(timeout, write(&mut connection.line, &words)).await {
                Some(Ok(())) => {}
                Some(Err(failure)) => return failure.message,
                None => return "the server takes nothing".to_string(),
            }
        }
        let patience = if connection.listener.waits() {
            let waited = Duration::from_nanos(clock::monotonic_ns().saturating_sub(connection.waits_since.max(connection.heard)));
            if waited >= timeout {
                return "the server does not answer".to_string();
            }
            timeout - waited
        } else {
            interval.saturating_sub(Duration::from_nanos(silent))
        };
        match connection.wait(hub, patience).await {
            Event::Read(Ok(0)) => return "the server closed the connection".to_string(),
            Event::Read(Ok(_)) => {
                if let Err(why) = hear(hub, connection) {
                    return why;
                }
                while !hub.keeps_up() && !hub.is_over() {
                    Timer::new(LOOK).await;
                }
            }
            Event::Read(Err(error)) => return lost(&error).message,
            Event::Called | Event::Late => {}
        }
    }
}

impl Connection {
    fn say(&mut self, job: Job, words: &mut Vec<u8>) {
        self.waits_since = clock::monotonic_ns();
        self.listener.ask(&job.ask(), words);
        self.said.push_back(job);
    }

    /// Until something comes, the hub has something to say (if there is room for it), or it takes too long.
    async fn wait(&mut self, hub: &Hub, patience: Duration) -> Event {
        let Connection { line, bytes, chunk, listener, .. } = self;
        let room = listener.has_room();
        let reads = async { Event::Read(read(line, chunk, bytes).await) };
        let called = async {
            if room {
                hub.called().await;
            } else {
                std::future::pending::<()>().await;
            }
            Event::Called
        };
        let late = async {
            Timer::new(patience).await;
            Event::Late
        };
        reads.or(called).or(late).await
    }
}

/// Reads what has come: notifications go to the cores, answers to those who wait for them.
fn hear(hub: &Rc<Hub>, connection: &mut Connection) -> Result<(), String> {
    let Connection { bytes, listener, said, again, .. } = connection;
    let (now, mut bags, mut end) = (clock::wall_ms(), Bags::default(), None);
    let read = listener.on_bytes(bytes, &mut |told| match told {
        Told::Notified { channel, frame } => hub.sort(channel, frame, &mut bags),
        Told::Done => match said.pop_front() {
            Some(Job::Listen { entry, asker, .. }) => {
                // What came before the answer goes before it.
                hub.send(&mut bags);
                hub.confirm(entry, asker);
            }
            Some(Job::Again { entry, since }) => again.push((entry, since)),
            _ => {}
        },
        Told::Refused(code, message) => match said.pop_front() {
            Some(Job::Listen { entry, asker, .. }) => hub.refuse(&entry, asker, &code, &message),
            Some(job @ Job::Again { .. }) => {
                said.push_front(job);
                end.get_or_insert(format!("the server refuses what was listened to before: {message}"));
            }
            _ => {}
        },
        Told::Fatal(_, message) => _ = end.get_or_insert(message),
    });
    hub.send(&mut bags);
    if !again.is_empty() && !hub.has_again() && !said.iter().any(Job::is_again) {
        hub.tell_gap(std::mem::take(again), now);
    }
    let read = read.map_err(|error| error.to_string())?;
    bytes.drain(..read);
    (connection.heard, connection.heard_wall) = (clock::monotonic_ns(), now);
    connection.answered |= !connection.listener.waits();
    end.map_or(Ok(()), Err)
}

/// Says goodbye, if the server takes it.
async fn goodbye(mut line: Pin<Box<dyn Line>>) {
    let mut words = Vec::new();
    terminate(&mut words);
    let _ = within(PAUSE, line.write_all(&words)).await;
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
