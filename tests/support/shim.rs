//! A bad network: a TCP relay that stands between pg_dog and its PostgreSQL and can stall, cut, reset and delay what passes, refuse who comes, and
//! lead to another server. Two threads per connection; what they shall do they read from flags, so that a test changes it at any moment and for all
//! connections at once. Bytes are passed on unchanged and in order, or not at all.

use super::place::Port;
use super::{SOON, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How long a thread waits for bytes before it looks at the flags again.
const LOOK: Duration = Duration::from_millis(5);

/// The code of a CancelRequest, where a startup packet has its version.
const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();

/// No limit for `left`.
const ALL: i64 = i64::MAX / 2;

/// What happens where the stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// both sides see a reset
    Reset,
    /// both sides see an orderly end
    Finish,
    /// nothing more comes
    Stall,
}

#[derive(Default)]
struct State {
    target: AtomicU16,
    /// raised at the end of the shim
    over: AtomicBool,
    stalled_up: AtomicBool,
    stalled_down: AtomicBool,
    refusing: AtomicBool,
    /// connections from before this number changed are reset
    epoch: AtomicUsize,
    /// connections from before this number changed are forgotten
    forgotten: AtomicUsize,
    /// bytes that the server may still say, over all connections
    left: AtomicI64,
    cut: AtomicU8,
    /// the longest a cancel request is held up, microseconds
    cancel_delay: AtomicU64,
    connections: AtomicUsize,
    cancels: AtomicUsize,
    cancels_open: AtomicUsize,
    cancels_most: AtomicUsize,
    dice: AtomicU64,
}

/// The relay; everything it holds is reset on drop.
pub struct Shim {
    pub port: u16,
    state: Arc<State>,
    _port: Port,
}

impl Shim {
    /// Relays to that port of this machine.
    pub fn before(target: u16) -> Shim {
        let port = Port::claim();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).expect("the port is ours");
        let state = Arc::new(State { dice: AtomicU64::new(0x9E37_79B9_7F4A_7C15), ..State::default() });
        state.target.store(target, Ordering::Relaxed);
        state.left.store(ALL, Ordering::Relaxed);
        let shared = state.clone();
        std::thread::spawn(move || accept(&listener, &shared));
        Shim { port: port.number, state, _port: port }
    }

    /// Nothing passes in either direction until told otherwise; what was sent meanwhile then passes.
    pub fn stall(&self, stalled: bool) {
        self.stall_ways(stalled, stalled);
    }

    /// The same for the way to the server and the way from it.
    pub fn stall_ways(&self, up: bool, down: bool) {
        self.state.stalled_up.store(up, Ordering::Relaxed);
        self.state.stalled_down.store(down, Ordering::Relaxed);
    }

    /// After so many more bytes from the server its connection is cut; once.
    pub fn cut_after(&self, bytes: u64, how: Cut) {
        self.state.cut.store(how as u8, Ordering::Relaxed);
        self.state.left.store(bytes as i64, Ordering::Relaxed);
    }

    /// The cut has happened.
    pub fn has_cut(&self) -> bool {
        self.state.left.load(Ordering::Relaxed) > ALL / 2
    }

    /// Resets every connection there is.
    pub fn reset_all(&self) {
        self.state.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Passes nothing more on the connections there are, and says nothing about it, as a network that has forgotten them; new ones are well.
    pub fn forget_all(&self) {
        self.state.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    /// New connections are reset at once.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::Relaxed);
    }

    /// New connections lead to another port.
    pub fn aim(&self, target: u16) {
        self.state.target.store(target, Ordering::Relaxed);
    }

    /// Each cancel request is held up for some time up to this.
    pub fn delay_cancels(&self, most: Duration) {
        self.state.cancel_delay.store(most.as_micros() as u64, Ordering::Relaxed);
    }

    /// Connections so far, cancel requests among them.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Cancel requests so far, and how many there were at most at one time.
    pub fn cancels(&self) -> (usize, usize) {
        (self.state.cancels.load(Ordering::Relaxed), self.state.cancels_most.load(Ordering::Relaxed))
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes the one that accepts
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(near) = stream else { continue };
        if state.refusing.load(Ordering::Relaxed) {
            reset_on_close(&near);
            continue;
        }
        state.connections.fetch_add(1, Ordering::Relaxed);
        let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, state.target.load(Ordering::Relaxed))) else {
            reset_on_close(&near);
            continue;
        };
        let (near, far) = (Arc::new(near), Arc::new(far));
        for socket in [&near, &far] {
            socket.set_nodelay(true).expect("a TCP socket");
            socket.set_read_timeout(Some(LOOK)).expect("a TCP socket");
        }
        let (epoch, forgotten) = (state.epoch.load(Ordering::Relaxed), state.forgotten.load(Ordering::Relaxed));
        let line = Line { near, far, state: state.clone(), epoch, forgotten, cancel: Arc::default(), dead: Arc::default() };
        let other = line.clone();
        std::thread::spawn(move || line.relay(true));
        std::thread::spawn(move || other.relay(false));
    }
}

fn reset_on_close(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One connection; both of its threads have one. The sockets close when the second lets go, and not before: a reset is a reset then.
#[derive(Clone)]
struct Line {
    near: Arc<TcpStream>,
    far: Arc<TcpStream>,
    state: Arc<State>,
    epoch: usize,
    forgotten: usize,
    /// it carries a cancel request and is counted
    cancel: Arc<AtomicBool>,
    dead: Arc<AtomicBool>,
}

impl Line {
    fn relay(self, up: bool) {
        let (mut from, mut to) = if up { (&*self.near, &*self.far) } else { (&*self.far, &*self.near) };
        let mut bytes = vec![0; 16 << 10];
        let mut first = up;
        while self.goes_on() {
            if self.is_stalled(up) {
                self.await_the_end_of_a_stall(up);
                continue;
            }
            let n = match from.read(&mut bytes) {
                Ok(0) => {
                    // Before the other side can know, and open another.
                    self.uncount();
                    let _ = to.shutdown(Shutdown::Write);
                    break;
                }
                Ok(n) => n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => continue,
                Err(_) => {
                    self.kill();
                    break;
                }
            };
            if std::mem::take(&mut first) && bytes[..n].get(4..8) == Some(&CANCEL) {
                self.hold_up_cancel();
            }
            while self.is_stalled(up) && self.goes_on() {
                self.await_the_end_of_a_stall(up);
            }
            let (n, cut) = if up { (n, None) } else { self.allowed(n) };
            if !self.goes_on() || write_all(&mut to, &bytes[..n], &self).is_err() {
                self.kill();
                break;
            }
            match cut {
                None => {}
                Some(Cut::Reset) => self.kill(),
                Some(Cut::Stall) => self.state.stalled_down.store(true, Ordering::Relaxed),
                Some(Cut::Finish) => {
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                    break;
                }
            }
        }
    }

    fn goes_on(&self) -> bool {
        if self.state.over.load(Ordering::Relaxed) || self.state.epoch.load(Ordering::Relaxed) != self.epoch {
            self.kill();
        }
        !self.dead.load(Ordering::Relaxed)
    }

    fn uncount(&self) {
        if self.cancel.swap(false, Ordering::Relaxed) {
            self.state.cancels_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn kill(&self) {
        self.uncount();
        reset_on_close(&self.near);
        reset_on_close(&self.far);
        self.dead.store(true, Ordering::Relaxed);
    }

    fn is_stalled(&self, up: bool) -> bool {
        let flag = if up { &self.state.stalled_up } else { &self.state.stalled_down };
        flag.load(Ordering::Relaxed) || self.state.forgotten.load(Ordering::Relaxed) != self.forgotten
    }

    fn await_the_end_of_a_stall(&self, up: bool) {
        poll(SOON, || !self.is_stalled(up) || !self.goes_on());
    }

    fn hold_up_cancel(&self) {
        self.state.cancels.fetch_add(1, Ordering::Relaxed);
        self.cancel.store(true, Ordering::Relaxed);
        let open = self.state.cancels_open.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.cancels_most.fetch_max(open, Ordering::Relaxed);
        let most = self.state.cancel_delay.load(Ordering::Relaxed);
        if most > 0 {
            let dice = self.state.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            // As long as a slow network takes, unless it is torn down first.
            poll(Duration::from_micros((dice >> 32) % most), || !self.goes_on());
        }
    }

    /// How many of `n` bytes of the server pass, and what happens then.
    fn allowed(&self, n: usize) -> (usize, Option<Cut>) {
        let left = self.state.left.load(Ordering::Relaxed);
        if left > ALL / 2 {
            return (n, None);
        }
        if left >= n as i64 {
            self.state.left.fetch_sub(n as i64, Ordering::Relaxed);
            return (n, None);
        }
        self.state.left.store(ALL, Ordering::Relaxed);
        let cuts = [Cut::Reset, Cut::Finish, Cut::Stall];
        let how = cuts.into_iter().find(|cut| *cut as u8 == self.state.cut.load(Ordering::Relaxed));
        (left.max(0) as usize, how)
    }
}

/// Writes all, also to somebody who takes nothing for a long time, unless the line dies.
fn write_all(to: &mut &TcpStream, bytes: &[u8], line: &Line) -> std::io::Result<()> {
    to.set_write_timeout(Some(LOOK))?;
    let mut at = 0;
    while at < bytes.len() {
        match to.write(&bytes[at..]) {
            Ok(n) => at += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if !line.goes_on() {
            return Ok(());
        }
    }
    Ok(())
}
