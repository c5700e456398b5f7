//! The real door: one io_uring per data core, made and used by that core's thread alone (SINGLE_ISSUER, DEFER_TASKRUN: completions appear only
//! inside `io_uring_enter`, never as an interruption).
//!
//! Ordinary sends carry `MSG_DONTWAIT | MSG_WAITALL` and skip their completion on success: they are done when the enter returns, in the same
//! system call that waits for the next work. MSG_WAITALL makes a short send count as a failure, so that it cannot be skipped over.
//! No timeout is armed per turn; one `Timeout` operation serves as alarm (a short hrtimer per turn costs about 20 us of CPU in a VM).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd as RingFd, TimeoutFlags, Timespec};
use io_uring::{IoUring, cqueue, opcode};

use super::clock;
use super::provided::Provided;
use super::socket::{self, Address, SocketOptions};
use super::{BufferId, Completion, Door, Fd, Figures, Group, Op, Segment, Token, Unread};

/// Sizes of one core's ring.
#[derive(Clone, Debug)]
pub struct RingSizes {
    /// submission entries; when full, a submission happens early
    pub submissions: u32,
    /// completion entries; beyond them the kernel keeps a list (and says EBUSY until we have reaped)
    pub completions: u32,
    /// receive buffers for clients: number (a power of two) and bytes each
    pub client_buffers: (u16, u32),
    /// receive buffers for servers
    pub server_buffers: (u16, u32),
}

impl Default for RingSizes {
    fn default() -> RingSizes {
        RingSizes { submissions: 1024, completions: 16384, client_buffers: (512, 4096), server_buffers: (256, 16384) }
    }
}

/// Where each data core's ring can be reached; -1 until it exists. Written once by each core, read by whoever wants to wake it.
pub struct Doorbells(Vec<AtomicI32>);

impl Doorbells {
    /// Bells for `cores` data cores.
    pub fn new(cores: usize) -> Arc<Doorbells> {
        Arc::new(Doorbells((0..cores).map(|_| AtomicI32::new(-1)).collect()))
    }

    fn set(&self, core: usize, fd: Fd) {
        self.0[core].store(fd, Ordering::Release);
    }

    fn get(&self, core: usize) -> Fd {
        self.0[core].load(Ordering::Acquire)
    }
}

/// Segments that one message may have; the engine joins more than these before it sends.
pub const SEGMENTS_MAX: usize = 64;
/// Vectors kept for one submission.
const VECTORS: usize = 4096;
/// Gathered messages in one submission.
const MESSAGES: usize = 512;
/// Connects in one submission.
const ADDRESSES: usize = 64;

/// The ring of one data core.
pub struct RingDoor {
    ring: IoUring,
    bells: Arc<Doorbells>,
    now: u64,
    clients: Provided,
    servers: Provided,
    options: SocketOptions,
    /// completions reaped while making room for submissions
    stash: Vec<Completion>,
    // Memory that queued submissions point to; the kernel has copied it once it has consumed them (IORING_FEAT_SUBMIT_STABLE).
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::msghdr>,
    addresses: Vec<socket2::SockAddr>,
    alarm_at: Box<Timespec>,
    spin_ns: u64,
    figures: Figures,
}

impl RingDoor {
    /// Makes the ring of `core` on the calling thread. Errors are the kernel's; `explain` puts them in the operator's words.
    pub fn new(core: usize, bells: Arc<Doorbells>, sizes: &RingSizes, options: SocketOptions, spin_us: u64) -> io::Result<RingDoor> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(sizes.completions)
            .build(sizes.submissions)?;
        let clients = Provided::new(&ring, Group::Clients, sizes.client_buffers.0, sizes.client_buffers.1)?;
        let servers = Provided::new(&ring, Group::Servers, sizes.server_buffers.0, sizes.server_buffers.1)?;
        bells.set(core, std::os::fd::AsRawFd::as_raw_fd(&ring));
        Ok(RingDoor {
            ring,
            bells,
            now: clock::monotonic_ns(),
            clients,
            servers,
            options,
            stash: Vec::with_capacity(1024),
            vectors: Vec::with_capacity(VECTORS),
            messages: Vec::with_capacity(MESSAGES),
            addresses: Vec::with_capacity(ADDRESSES),
            alarm_at: Box::new(Timespec::new()),
            spin_ns: spin_us * 1000,
            figures: Figures::default(),
        })
    }

    fn push(&mut self, entry: Entry) {
        // SAFETY: whatever the entry points to stays put until the kernel has consumed it: our own vectors by `flush` clearing them only
        // afterwards, the engine's memory by the manners in the folder's head.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.figures.early += 1;
            if self.flush().is_err() {
                // Only a ring that is broken for good refuses here; the next `turn` reports it.
                return;
            }
        }
    }

    /// One enter; EBUSY and EAGAIN mean that completions must be reaped first.
    fn enter(&mut self, want: u32, get_events: bool) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        let flags = if get_events || want > 0 { 1 } else { 0 }; // IORING_ENTER_GETEVENTS
        self.figures.submissions += 1;
        // SAFETY: no extended argument is passed; flags ask for nothing but events.
        match unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, want, flags, None) } {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) | Some(libc::ETIME) => Ok(()),
                Some(libc::EBUSY) | Some(libc::EAGAIN) => {
                    self.figures.overflows += 1;
                    let mut stash = std::mem::take(&mut self.stash);
                    self.reap(&mut stash);
                    self.stash = stash;
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    /// Until the kernel has consumed everything queued.
    fn flush(&mut self) -> io::Result<()> {
        while !self.ring.submission().is_empty() {
            let overflown = self.ring.submission().cq_overflow();
            self.figures.overflows += u64::from(overflown);
            self.enter(0, overflown)?;
        }
        self.vectors.clear();
        self.messages.clear();
        self.addresses.clear();
        Ok(())
    }

    fn reap(&mut self, out: &mut Vec<Completion>) {
        for entry in self.ring.completion() {
            let token = Token(entry.user_data());
            let op = token.op();
            let buffer = cqueue::buffer_select(entry.flags()).map(|index| {
                let group = if op == Op::ServerRecv { Group::Servers } else { Group::Clients };
                BufferId { group, index }
            });
            if op == Op::Ignore && buffer.is_none() {
                continue;
            }
            out.push(Completion { token, res: entry.result(), buffer, more: cqueue::more(entry.flags()) });
        }
    }

    fn provided(&self, group: Group) -> &Provided {
        match group {
            Group::Clients => &self.clients,
            Group::Servers => &self.servers,
        }
    }

    /// Looks at the ring for a bounded time before sleeping; under DEFER_TASKRUN the only sign of work is the TASKRUN flag.
    fn spin(&mut self) {
        let until = clock::monotonic_ns() + self.spin_ns;
        loop {
            for _ in 0..32 {
                if self.ring.submission().taskrun() {
                    return;
                }
                std::hint::spin_loop();
            }
            if clock::monotonic_ns() >= until {
                return;
            }
        }
    }
}

impl Door for RingDoor {
    fn now(&self) -> u64 {
        self.now
    }

    fn clock(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn figures(&self) -> Figures {
        self.figures
    }

    fn wall_ms(&self) -> u64 {
        clock::wall_ms()
    }

    fn accept(&mut self, listener: Fd, token: Token) {
        let entry = opcode::AcceptMulti::new(RingFd(listener)).flags(libc::SOCK_CLOEXEC).build().user_data(token.0);
        self.push(entry);
    }

    fn connect(&mut self, to: &Address, token: Token) -> io::Result<Fd> {
        let address = to.to_kernel()?;
        let fd = socket::outgoing(to, &self.options)?;
        if self.addresses.len() == ADDRESSES {
            self.flush()?;
        }
        self.addresses.push(address);
        let address = &self.addresses[self.addresses.len() - 1];
        let entry = opcode::Connect::new(RingFd(fd), address.as_ptr().cast(), address.len()).build().user_data(token.0);
        self.push(entry);
        Ok(fd)
    }

    fn recv(&mut self, fd: Fd, group: Group, token: Token) {
        let entry = opcode::RecvMulti::new(RingFd(fd), group as u16).build().user_data(token.0);
        self.push(entry);
    }

    fn cancel(&mut self, token: Token) {
        let ignored = Token::new(Op::Ignore, 0, 0);
        let entry = opcode::AsyncCancel::new(token.0).build().user_data(ignored.0).flags(Flags::SKIP_SUCCESS);
        self.push(entry);
    }

    fn send(&mut self, fd: Fd, segments: &[Segment], token: Token) {
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let entry = if let [one] = segments {
            opcode::Send::new(RingFd(fd), one.at, one.len as u32).flags(flags).build()
        } else {
            if self.vectors.len() + segments.len() > VECTORS || self.messages.len() == MESSAGES {
                // A broken ring shows in the next turn; nothing is lost by going on here.
                let _ = self.flush();
            }
            let start = self.vectors.len();
            self.vectors.extend(segments.iter().map(|s| libc::iovec { iov_base: s.at as *mut libc::c_void, iov_len: s.len }));
            // SAFETY: an all-zero msghdr is a valid one (no name, no control data).
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = self.vectors[start..].as_mut_ptr();
            message.msg_iovlen = segments.len() as _;
            self.messages.push(message);
            opcode::SendMsg::new(RingFd(fd), &self.messages[self.messages.len() - 1]).flags(flags as u32).build()
        };
        self.push(entry.user_data(token.0).flags(Flags::SKIP_SUCCESS));
    }

    fn send_wait(&mut self, fd: Fd, segment: Segment, token: Token) {
        let entry = opcode::Send::new(RingFd(fd), segment.at, segment.len as u32).flags(libc::MSG_NOSIGNAL).build();
        self.push(entry.user_data(token.0));
    }

    fn shutdown(&mut self, fd: Fd) {
        socket::shutdown(fd, std::net::Shutdown::Both);
    }

    fn unread(&self, fd: Fd) -> Unread {
        socket::unread(fd)
    }

    fn finish(&mut self, fd: Fd) {
        socket::shutdown(fd, std::net::Shutdown::Write);
    }

    fn close(&mut self, fd: Fd) {
        let ignored = Token::new(Op::Ignore, 0, 0);
        let entry = opcode::Close::new(RingFd(fd)).build().user_data(ignored.0).flags(Flags::SKIP_SUCCESS);
        self.push(entry);
    }

    fn alarm(&mut self, at: u64, token: Token) {
        *self.alarm_at = Timespec::new().sec(at / 1_000_000_000).nsec((at % 1_000_000_000) as u32);
        let spec: *const Timespec = &*self.alarm_at;
        let entry = opcode::Timeout::new(spec).flags(TimeoutFlags::ABS).build().user_data(token.0);
        self.push(entry);
    }

    fn wake(&mut self, core: usize) {
        let fd = self.bells.get(core);
        if fd >= 0 {
            self.push(wake_entry(fd));
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn turn(&mut self, wait: bool, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.stash);
        let wait = wait && out.is_empty();
        if wait && self.spin_ns > 0 {
            self.flush()?;
            self.spin();
        }
        self.enter(u32::from(wait), true)?;
        self.flush()?;
        out.append(&mut self.stash);
        self.reap(out);
        self.now = clock::monotonic_ns();
        Ok(())
    }

    fn bytes(&self, buffer: BufferId) -> *const u8 {
        self.provided(buffer.group).at(buffer.index)
    }

    fn recycle(&mut self, buffer: BufferId) {
        match buffer.group {
            Group::Clients => self.clients.give(buffer.index),
            Group::Servers => self.servers.give(buffer.index),
        }
    }
}

fn wake_entry(fd: Fd) -> Entry {
    let token = Token::new(Op::Wake, 0, 0);
    let ignored = Token::new(Op::Ignore, 0, 0);
    opcode::MsgRingData::new(RingFd(fd), 0, token.0, None).build().user_data(ignored.0).flags(Flags::SKIP_SUCCESS)
}

/// A small ring for threads that are not data cores, only to wake data cores.
pub struct Waker {
    ring: IoUring,
    bells: Arc<Doorbells>,
}

impl Waker {
    /// Made and used by one thread.
    pub fn new(bells: Arc<Doorbells>) -> io::Result<Waker> {
        Ok(Waker { ring: IoUring::new(4)?, bells })
    }

    /// Makes `core`'s turn return.
    pub fn wake(&mut self, core: usize) {
        let fd = self.bells.get(core);
        if fd < 0 {
            return;
        }
        // SAFETY: the entry points to no memory of ours.
        let pushed = unsafe { self.ring.submission().push(&wake_entry(fd)) };
        if let Err(error) = pushed.map_err(io::Error::other).and_then(|()| self.ring.submit().map(drop)) {
            tracing::error!("cannot wake data core {core}: {error}");
        }
        self.ring.completion().for_each(drop);
    }
}

/// What an io_uring that cannot be made means, in the operator's words.
pub fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        // Podman's default profile answers as a kernel without io_uring would.
        Some(libc::ENOSYS) => "this kernel has no io_uring, or the container's seccomp profile hides it: pg_dog needs Linux 6.1 or newer with \
             io_uring, and a profile that admits io_uring_setup, io_uring_enter and io_uring_register"
            .to_string(),
        Some(libc::EPERM) | Some(libc::EACCES) => {
            "io_uring is forbidden here: set `sysctl kernel.io_uring_disabled=0`, or run the container with a seccomp \
             profile that admits io_uring_setup, io_uring_enter and io_uring_register (docker: --security-opt seccomp=PROFILE)"
                .to_string()
        }
        Some(libc::ENOMEM) => "io_uring could not lock its memory: raise the memlock limit (`ulimit -l`, systemd LimitMEMLOCK=infinity)".to_string(),
        Some(libc::EINVAL) => "this kernel's io_uring is too old; pg_dog needs Linux 6.1 or newer".to_string(),
        _ => format!("io_uring could not be set up: {error}"),
    }
}
