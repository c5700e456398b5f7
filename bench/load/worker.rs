//! One thread of load: an epoll loop over its connections, the plan of what starts when, and the histograms. What connections say is `client`'s;
//! when windows open and close is told by the main thread.
//!
//! Latency in the open loop counts from when a query was *planned*, also when no connection was free or this thread came late: what a slow answer
//! delays is measured and not omitted.
#![allow(clippy::disallowed_methods, reason = "a load generator lives by the clock")]

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::client::{Client, Shared, Step};

/// Events taken at once.
const EVENTS: usize = 256;
/// Loopback addresses that connections come from: one address has 28,000 ports.
const SOURCES: u32 = 16;
/// Planned queries that may wait for a connection; beyond that the system is lost and the rest is counted as not sent.
const BACKLOG_MAX: usize = 1 << 20;
/// Token of the eventfd that wakes a thread for a word of the main thread.
const BELL: u64 = u64::MAX;

/// What one thread has to do.
pub struct Plan {
    pub port: u16,
    /// connections that ask nothing once they are logged in
    pub idle: usize,
    /// connections that ask
    pub active: usize,
    /// logins under way at the same time
    pub connecting: usize,
    /// None: closed loop. Else queries per second of this thread, at random distances (Poisson)
    pub rate: Option<f64>,
    /// each active connection logs in, asks once, and leaves
    pub reconnect: bool,
}

/// What the main thread tells.
pub enum Word {
    Begin,
    End(SyncSender<Found>),
}

/// What a thread tells when its connections are there.
pub struct Ready {
    pub login: Histogram<u64>,
    pub failed: u64,
    pub error: Option<String>,
}

/// What a thread found in a window.
pub struct Found {
    /// nanoseconds from the start (the planned one, in the open loop) to the end of the answer
    pub latency: Histogram<u64>,
    /// nanoseconds from connect to ReadyForQuery
    pub login: Histogram<u64>,
    pub failed: u64,
    /// the first error
    pub error: Option<String>,
    /// planned in the window (open loop)
    pub planned: u64,
    /// planned and not yet sent at the end of the window
    pub waiting: u64,
    /// keys derived from passwords so far
    pub derived: u64,
}

/// Three digits from a microsecond's part to two minutes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("valid bounds")
}

enum State {
    Empty,
    Connecting,
    LoggingIn,
    Idle,
    Asking,
}

struct Slot {
    fd: Option<OwnedFd>,
    state: State,
    client: Option<Client>,
    /// when the login or the query began
    since: Instant,
    /// when the login of this connection began
    born: Instant,
}

pub struct Worker {
    plan: Plan,
    shared: Shared,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    /// active connections with nothing to do (open loop)
    free: Vec<usize>,
    /// planned starts that found no free connection
    backlog: VecDeque<Instant>,
    next: Instant,
    out: Vec<u8>,
    buffer: Vec<u8>,
    found: Found,
    started: usize,
    logging_in: usize,
    settled: usize,
    told: bool,
}

impl Worker {
    pub fn new(plan: Plan, shared: Shared, bell: &OwnedFd) -> io::Result<Worker> {
        // SAFETY: takes no memory of ours; the result is a new descriptor or an error.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        // SAFETY: takes no memory of ours. Without it sleeps of the open loop end up to 50 us late.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        watch(&epoll, bell.as_raw_fd(), BELL, libc::EPOLLIN)?;
        let now = Instant::now();
        let count = plan.idle + plan.active;
        let slots = (0..count).map(|_| Slot { fd: None, state: State::Empty, client: None, since: now, born: now }).collect();
        let (out, buffer) = (Vec::with_capacity(1 << 10), vec![0; 64 << 10]);
        let (free, backlog, found) = (Vec::new(), VecDeque::new(), nothing());
        Ok(Worker { plan, shared, epoll, slots, free, backlog, next: now, out, buffer, found, started: 0, logging_in: 0, settled: 0, told: false })
    }

    /// Works until the main thread hangs up. `ready` is told once, when every connection is logged in or has failed.
    pub fn run(mut self, bell: &OwnedFd, words: &Receiver<Word>, ready: &SyncSender<Ready>) -> io::Result<()> {
        // SAFETY: plain numbers; zero is a valid event.
        let mut events: Vec<libc::epoll_event> = vec![unsafe { std::mem::zeroed() }; EVENTS];
        loop {
            let now = Instant::now();
            self.connect_more(now);
            if !self.told && self.settled == self.slots.len() {
                self.told = true;
                let begun = std::mem::replace(&mut self.found, nothing());
                let _ = ready.send(Ready { login: begun.login, failed: begun.failed, error: begun.error });
                self.begin_asking();
            }
            let pause = self.issue_planned();
            let count = wait(&self.epoll, &mut events, pause)?;
            for event in &events[..count] {
                if event.u64 == BELL {
                    drain(bell);
                    if !self.obey(words) {
                        return Ok(());
                    }
                } else {
                    self.on_event(event.u64 as usize, event.events as i32);
                }
            }
        }
    }

    /// Words of the main thread; false when it has gone.
    fn obey(&mut self, words: &Receiver<Word>) -> bool {
        loop {
            match words.try_recv() {
                Ok(Word::Begin) => {
                    self.found = Found { error: self.found.error.take(), failed: self.found.failed, ..nothing() };
                }
                Ok(Word::End(answer)) => {
                    let mut found = std::mem::replace(&mut self.found, nothing());
                    (found.waiting, found.derived) = (self.backlog.len() as u64, self.shared.derived);
                    let _ = answer.send(found);
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Starts logins up to the allowed number.
    fn connect_more(&mut self, now: Instant) {
        while self.started < self.slots.len() && self.logging_in < self.plan.connecting {
            let slot = self.started;
            self.started += 1;
            self.connect(slot, now);
        }
    }

    fn connect(&mut self, slot: usize, now: Instant) {
        let source = 0x7f00_0002 + slot as u32 % SOURCES;
        self.logging_in += 1;
        (self.slots[slot].since, self.slots[slot].born) = (now, now);
        let made = open_socket(source, self.plan.port).and_then(|fd| {
            let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
            watch(&self.epoll, fd.as_raw_fd(), slot as u64, events).map(|()| fd)
        });
        match made {
            Ok(fd) => {
                self.slots[slot].fd = Some(fd);
                self.slots[slot].state = State::Connecting;
            }
            Err(error) => self.fail(slot, format!("connect: {error}")),
        }
    }

    /// A client that got an error is gone; a reconnecting one too, because errors end the measurement.
    fn fail(&mut self, slot: usize, why: String) {
        self.found.failed += 1;
        self.found.error.get_or_insert(why);
        match self.slots[slot].state {
            State::Idle | State::Asking => {}
            State::Empty | State::Connecting | State::LoggingIn => self.login_is_over(),
        }
        self.slots[slot].fd = None;
        self.slots[slot].client = None;
        self.slots[slot].state = State::Idle;
        self.free.retain(|free| *free != slot);
    }

    fn login_is_over(&mut self) {
        self.logging_in -= 1;
        self.settled += usize::from(!self.told);
    }

    fn on_event(&mut self, slot: usize, events: i32) {
        if matches!(self.slots[slot].state, State::Connecting) {
            if events & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) == 0 {
                return;
            }
            if let Err(error) = self.slots[slot].fd.as_ref().map_or(Ok(()), socket_error) {
                return self.fail(slot, format!("connect: {error}"));
            }
            let mut out = std::mem::take(&mut self.out);
            self.slots[slot].client = Some(Client::start(&self.shared.script, &mut out));
            self.slots[slot].state = State::LoggingIn;
            self.out = out;
            self.send(slot);
        }
        self.receive(slot, events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0);
    }

    /// Reads until there is nothing more: a short read says so, unless the other side has closed.
    fn receive(&mut self, slot: usize, closing: bool) {
        loop {
            let Some(fd) = self.slots[slot].fd.as_ref().map(AsRawFd::as_raw_fd) else { return };
            // SAFETY: the buffer is ours and as long as we say.
            let got = unsafe { libc::recv(fd, self.buffer.as_mut_ptr().cast(), self.buffer.len(), libc::MSG_DONTWAIT) };
            let got = match got {
                0 => return self.fail(slot, "the server closed the connection".to_string()),
                count if count > 0 => count as usize,
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => return,
                    error => return self.fail(slot, format!("recv: {error}")),
                },
            };
            let Some(client) = self.slots[slot].client.as_mut() else { return };
            match client.read(&self.buffer[..got], &mut self.shared, &mut self.out) {
                Ok(Step::Wait) => {}
                Ok(Step::Send) => self.send(slot),
                Ok(Step::Ready) => self.on_ready(slot),
                Err(error) => return self.fail(slot, error),
            }
            // A client that reconnects has another socket by now.
            if (got < self.buffer.len() && !closing) || matches!(self.slots[slot].state, State::Connecting) {
                return;
            }
        }
    }

    fn send(&mut self, slot: usize) {
        let Some(fd) = self.slots[slot].fd.as_ref().map(AsRawFd::as_raw_fd) else { return };
        // SAFETY: the bytes are ours and as many as we say.
        let sent = unsafe { libc::send(fd, self.out.as_ptr().cast(), self.out.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
        if sent != self.out.len() as isize {
            let why = format!("send: {sent} of {} bytes went out: {}", self.out.len(), io::Error::last_os_error());
            self.fail(slot, why);
        }
    }

    fn on_ready(&mut self, slot: usize) {
        let now = Instant::now();
        match self.slots[slot].state {
            State::LoggingIn => {
                record(&mut self.found.login, now - self.slots[slot].since);
                self.slots[slot].state = State::Idle;
                self.login_is_over();
                if self.plan.reconnect && self.told {
                    self.ask(slot, self.slots[slot].born);
                }
            }
            State::Asking => {
                record(&mut self.found.latency, now - self.slots[slot].since);
                self.slots[slot].state = State::Idle;
                if self.plan.reconnect {
                    Client::leave(&mut self.out);
                    self.send(slot);
                    self.slots[slot].fd = None;
                    self.connect(slot, Instant::now());
                } else if self.plan.rate.is_none() {
                    self.ask(slot, now);
                } else if let Some(planned) = self.backlog.pop_front() {
                    self.ask(slot, planned);
                } else {
                    self.free.push(slot);
                }
            }
            State::Empty | State::Connecting | State::Idle => self.fail(slot, "an answer to no question".to_string()),
        }
    }

    fn ask(&mut self, slot: usize, since: Instant) {
        Client::ask(&mut self.shared, &mut self.out);
        self.slots[slot].since = since;
        self.slots[slot].state = State::Asking;
        self.send(slot);
    }

    /// All connections are there: the last ones are active.
    fn begin_asking(&mut self) {
        let now = Instant::now();
        self.next = now;
        for slot in self.plan.idle..self.slots.len() {
            if self.slots[slot].fd.is_some() && self.plan.rate.is_none() {
                self.ask(slot, now);
            } else if self.slots[slot].fd.is_some() {
                self.free.push(slot);
            }
        }
    }

    /// Open loop: starts what is due; how long until the next.
    fn issue_planned(&mut self) -> Option<Duration> {
        let rate = self.plan.rate.filter(|_| self.told)?;
        let now = Instant::now();
        while self.next <= now {
            let planned = self.next;
            self.next += Duration::from_secs_f64(-self.shared.share().ln() / rate);
            self.found.planned += 1;
            match self.free.pop() {
                Some(slot) => self.ask(slot, planned),
                None if self.backlog.len() < BACKLOG_MAX => self.backlog.push_back(planned),
                None => {
                    self.found.failed += 1;
                    self.found.error.get_or_insert_with(|| format!("{BACKLOG_MAX} planned queries wait for a connection"));
                }
            }
        }
        Some(self.next.saturating_duration_since(Instant::now()))
    }
}

fn nothing() -> Found {
    Found { latency: histogram(), login: histogram(), failed: 0, error: None, planned: 0, waiting: 0, derived: 0 }
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(time.as_nanos().min(u128::from(u64::MAX)) as u64);
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn watch(epoll: &OwnedFd, fd: RawFd, token: u64, events: i32) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: token };
    // SAFETY: `event` is valid for the call.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) }).map(drop)
}

/// Waits for events, to the nanosecond; None = as long as it takes.
fn wait(epoll: &OwnedFd, events: &mut [libc::epoll_event], pause: Option<Duration>) -> io::Result<usize> {
    let time = pause.map(|pause| libc::timespec { tv_sec: pause.as_secs() as libc::time_t, tv_nsec: pause.subsec_nanos().into() });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let none = std::ptr::null::<libc::sigset_t>();
    // SAFETY: `events` is as long as we say, `time` is valid or null.
    let count = unsafe { libc::syscall(libc::SYS_epoll_pwait2, epoll.as_raw_fd(), events.as_mut_ptr(), events.len(), time, none, 0usize) };
    match count {
        count if count >= 0 => Ok(count as usize),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        },
    }
}

/// An eventfd.
pub fn bell() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory of ours; the result is a new descriptor or an error.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?)) }
}

/// Wakes the thread of that eventfd.
pub fn ring(bell: &OwnedFd) {
    // SAFETY: eight bytes of a constant.
    unsafe { libc::write(bell.as_raw_fd(), std::ptr::from_ref(&1u64).cast(), 8) };
}

fn drain(bell: &OwnedFd) {
    let mut count = 0u64;
    // SAFETY: eight bytes of ours.
    unsafe { libc::read(bell.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
}

/// A socket from that address of this machine, on its way to the port.
fn open_socket(source: u32, port: u16) -> io::Result<OwnedFd> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    let yes: libc::c_int = 1;
    // The port is chosen at the connect, so that one address serves more than the range of ports. SAFETY: four bytes of ours.
    let set = unsafe {
        let option = std::ptr::from_ref(&yes).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, option, size_of::<libc::c_int>() as u32)
    };
    check(set)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::from(source), 0).into())?;
    match socket.connect(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

/// What became of a connect.
fn socket_error(fd: &OwnedFd) -> io::Result<()> {
    match socket2::SockRef::from(fd).take_error()? {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
