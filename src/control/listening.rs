//! One listening connection: it connects, logs in, says what its hub has to say, reads what comes, and does so again when it is lost, until nobody
//! listens any more. A connection that is silent for `healthcheck_interval` is asked whether it lives: a network may have forgotten it without a
//! word, and then notifications would be missing without anybody knowing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::timer::Timer;

use crate::config::snapshot::PoolSpec;
use crate::io::clock;
use crate::mail::SharedPool;
use crate::session::listener::{Listener, Told};

use super::line::{Failure, Line, LoggedIn, SILENCE_MAX, goodbye, log_in, lost, read, within, write};
use super::publish::resolve;
use super::pubsub::{Bags, Entry, Hub, Job};

/// Pause before the next try after a connection was lost or could not be made: at first, and at most; each is twice the last.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The same where the server does not let us in: who asks again and again is locked out by some providers.
const BARRED: Duration = Duration::from_secs(5);
/// How often a connection that its cores do not keep up with looks whether they do again.
const LOOK: Duration = Duration::from_millis(1);
/// Name of the connection in pg_stat_activity.
const NAME: &str = "pg_dog listener";

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

/// Connects and logs in.
async fn open(hub: &Hub) -> Result<Connection, Failure> {
    let pool = hub.pool.borrow().clone();
    let published = hub.hubs.shared.published.load_full();
    let encoding = hub.key.encoding.clone().map(|encoding| ("client_encoding", encoding));
    let LoggedIn { line, bytes, chunk } = log_in(&pool, &published.snapshot, NAME, encoding).await?;
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
