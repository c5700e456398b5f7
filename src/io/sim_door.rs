//! One simulated core's door: queues what the engine asks, and refuses with a panic what breaks the manners of the folder's head.
//!
//! Invariant: nothing reaches the simulated kernel that the real one would answer by harming another connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::super::socket::Address;
use super::super::{BufferId, Completion, Door, Fd, Figures, Group, Op, Segment, Token, Unread};
use super::kernel::{Submission, Work};
use super::memory::gather;
use super::pipe::End;
use super::{Kind, State, WALL_START_MS, is_ignored};

/// Segments that one `send` may have, as for the ring.
const SEGMENTS_MAX: usize = 64;
/// What a turn costs at most, in nanoseconds of virtual time.
const TURN_NS: u64 = 5_000;
/// Turns without anything to do that a core may make in a row when it does not want to wait: some 50 ms.
const IDLE_TURNS_MAX: u64 = 20_000;
/// No descriptor.
const NONE: Fd = -1;

/// A core's door to the simulated machine.
pub struct SimDoor {
    core: usize,
    state: Rc<RefCell<State>>,
}

impl SimDoor {
    pub(super) fn new(core: usize, state: Rc<RefCell<State>>) -> SimDoor {
        SimDoor { core, state }
    }

    /// The first `len` bytes of a received buffer, for those who may not touch raw memory.
    pub fn copy(&self, buffer: BufferId, len: usize) -> Vec<u8> {
        let segment = Segment { at: self.bytes(buffer), len };
        let state = self.state.borrow();
        let memory = state.cores[self.core].memory(buffer.group);
        if len > memory.size() || memory.is_stale(segment) {
            state.bug(self.core, &format!("{len} bytes of {buffer:?} are read, which the engine does not hold"));
        }
        gather(&[segment])
    }

    fn push(&self, state: &mut State, submission: Submission) {
        if state.cores[self.core].queue.len() >= state.limits.submissions.max(1) {
            // The queue is full: as on the ring, what is in it goes to the kernel now.
            state.submit(self.core);
        }
        state.cores[self.core].queue.push_back(submission);
    }

    fn begin(&self, state: &mut State, token: Token, fd: Fd, work: Work) {
        let name = work.name();
        let taken = |one: &Submission| matches!(one, Submission::Begin { token: other, .. } if *other == token);
        let core = &state.cores[self.core];
        // Alarms end by themselves, so one more under the same name confuses nobody.
        let may_repeat = is_ignored(token) || token.op() == Op::Alarm;
        if !may_repeat && (core.pending.iter().any(|one| one.token == token) || core.queue.iter().any(taken)) {
            state.bug(self.core, &format!("{name} with token {token:?} ({:?}), which an unfinished operation has", token.op()));
        }
        self.push(state, Submission::Begin { token, fd, work });
    }

    /// At most one recv, and one send_wait, at work per descriptor.
    fn refuse_second(&self, state: &State, fd: Fd, work: &Work) {
        let same = |other: &Work| std::mem::discriminant(other) == std::mem::discriminant(work);
        let core = &state.cores[self.core];
        let pending = core.pending.iter().any(|one| one.fd == fd && !one.over && same(&one.work));
        let queued = core.queue.iter().any(|one| matches!(one, Submission::Begin { fd: on, work, .. } if *on == fd && same(work)));
        if pending || queued {
            state.bug(self.core, &format!("{} on descriptor {fd}, on which another is at work", work.name()));
        }
    }
}

impl Door for SimDoor {
    fn now(&self) -> u64 {
        self.state.borrow().cores[self.core].now
    }

    fn clock(&self) -> u64 {
        self.now()
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }

    fn wall_ms(&self) -> u64 {
        (WALL_START_MS + self.now() / 1_000_000).saturating_add_signed(self.state.borrow().wall_off_ms)
    }

    fn accept(&mut self, listener: Fd, token: Token) {
        let mut state = self.state.borrow_mut();
        if !matches!(state.descriptor(self.core, listener, "accept").kind, Kind::Listener(_)) {
            state.bug(self.core, &format!("accept on descriptor {listener}, which does not listen"));
        }
        self.refuse_second(&state, listener, &Work::Accept);
        self.begin(&mut state, token, listener, Work::Accept);
    }

    fn connect(&mut self, to: &Address, token: Token) -> io::Result<Fd> {
        let Address::Tcp(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut state = self.state.borrow_mut();
        let no_socket = state.faults.no_socket;
        if state.dice.chance(no_socket) || state.open >= state.open_max {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let connection = state.add_connection(false);
        let fd = state.add_descriptor(Kind::Socket(connection), self.core);
        self.begin(&mut state, token, fd, Work::Connect { to: *to, due: 0 });
        state.note(|| format!("core {} connects {fd} to {to}", self.core));
        Ok(fd)
    }

    fn recv(&mut self, fd: Fd, group: Group, token: Token) {
        let mut state = self.state.borrow_mut();
        state.socket(self.core, fd, "recv");
        if (token.op() == Op::ServerRecv) != (group == Group::Servers) {
            state.bug(self.core, &format!("recv into {group:?} with a token of {:?}: the ring tells the group by the token", token.op()));
        }
        self.refuse_second(&state, fd, &Work::Recv(group));
        self.begin(&mut state, token, fd, Work::Recv(group));
    }

    fn cancel(&mut self, token: Token) {
        let mut state = self.state.borrow_mut();
        self.push(&mut state, Submission::Cancel(token));
    }

    fn send(&mut self, fd: Fd, segments: &[Segment], token: Token) {
        let mut state = self.state.borrow_mut();
        state.socket(self.core, fd, "send");
        if segments.is_empty() || segments.len() > SEGMENTS_MAX {
            state.bug(self.core, &format!("send of {} segments on descriptor {fd}", segments.len()));
        }
        if segments.iter().any(|segment| segment.len == 0 || state.cores[self.core].is_stale(*segment)) {
            state.bug(self.core, &format!("send on descriptor {fd} of an empty segment, or of one in a buffer that was given back"));
        }
        if !state.cores[self.core].sent.insert(fd) {
            state.bug(self.core, &format!("a second send on descriptor {fd} in one turn"));
        }
        self.refuse_second(&state, fd, &Work::SendWait { segment: segments[0], done: 0 });
        self.push(&mut state, Submission::Send { fd, segments: segments.to_vec(), token });
    }

    fn send_wait(&mut self, fd: Fd, segment: Segment, token: Token) {
        let mut state = self.state.borrow_mut();
        state.socket(self.core, fd, "send_wait");
        if segment.len == 0 || state.cores[self.core].is_stale(segment) {
            state.bug(self.core, &format!("send_wait on descriptor {fd} of an empty segment, or of one in a buffer that was given back"));
        }
        let work = Work::SendWait { segment, done: 0 };
        self.refuse_second(&state, fd, &work);
        self.begin(&mut state, token, fd, work);
    }

    fn shutdown(&mut self, fd: Fd) {
        // A system call of its own, as beside the ring: it overtakes what is queued.
        let mut state = self.state.borrow_mut();
        let index = state.socket(self.core, fd, "shutdown");
        let at = state.latency();
        let connection = &mut state.connections[index];
        connection.shut = true;
        connection.to_peer.finish(at, End::Fin);
    }

    fn unread(&self, fd: Fd) -> Unread {
        let mut state = self.state.borrow_mut();
        let index = state.socket(self.core, fd, "unread");
        let (pipe, now) = (&state.connections[index].to_proxy, state.now);
        match (pipe.first(now), pipe.ended(now)) {
            (Some(byte), _) => Unread::Byte(byte),
            (None, Some(_)) => Unread::End,
            (None, None) => Unread::Nothing,
        }
    }

    fn finish(&mut self, fd: Fd) {
        let mut state = self.state.borrow_mut();
        let index = state.socket(self.core, fd, "finish");
        let at = state.latency();
        state.connections[index].to_peer.finish(at, End::Fin);
    }

    fn close(&mut self, fd: Fd) {
        let mut state = self.state.borrow_mut();
        if matches!(state.descriptor(self.core, fd, "close").kind, Kind::Socket(_)) {
            state.socket(self.core, fd, "close");
        }
        if let Some(pending) = state.pending_on(self.core, fd) {
            state.bug(self.core, &format!("close of descriptor {fd}, which still has {pending} pending"));
        }
        if state.cores.iter().any(|core| core.queue.iter().any(|one| matches!(one, Submission::Close(other) if *other == fd))) {
            state.bug(self.core, &format!("descriptor {fd} is closed twice"));
        }
        self.push(&mut state, Submission::Close(fd));
    }

    fn alarm(&mut self, at: u64, token: Token) {
        let mut state = self.state.borrow_mut();
        self.begin(&mut state, token, NONE, Work::Alarm(at));
    }

    fn wake(&mut self, core: usize) {
        let mut state = self.state.borrow_mut();
        self.push(&mut state, Submission::Wake(core));
    }

    fn submit(&mut self) -> io::Result<()> {
        self.state.borrow_mut().submit_all(self.core);
        Ok(())
    }

    /// Never waits: with `wait` and nothing to return the core counts as parked, and the test asks `World::core_runnable` when to let it run again.
    fn turn(&mut self, wait: bool, out: &mut Vec<Completion>) -> io::Result<()> {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        state.check_homes(self.core, state.cores[self.core].turns);
        state.cores[self.core].turns += 1;
        let (idle, before) = (state.cores[self.core].queue.is_empty(), out.len());
        state.submit_all(self.core);
        state.progress(self.core);
        state.hand_out(self.core, out);
        state.now += state.dice.between(TURN_NS / 20, TURN_NS);
        let now = state.now;
        let core = &mut state.cores[self.core];
        core.sent.clear();
        core.now = now;
        let nothing = out.len() == before;
        core.parked = wait && nothing;
        core.idle_turns = if idle && nothing && !wait { core.idle_turns + 1 } else { 0 };
        if core.idle_turns > IDLE_TURNS_MAX {
            state.bug(self.core, "the core turns and turns without waiting and has nothing to do");
        }
        Ok(())
    }

    fn bytes(&self, buffer: BufferId) -> *const u8 {
        let state = self.state.borrow();
        match state.cores[self.core].memory(buffer.group).at(buffer.index) {
            Some(at) => at,
            None => state.bug(self.core, &format!("bytes of {buffer:?}, which does not exist")),
        }
    }

    fn recycle(&mut self, buffer: BufferId) {
        let mut state = self.state.borrow_mut();
        if !state.cores[self.core].memory_mut(buffer.group).take_home(buffer.index) {
            state.bug(self.core, &format!("{buffer:?} is given back, but the engine does not hold it"));
        }
    }
}
