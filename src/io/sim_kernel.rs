//! What the simulated kernel does with a core's submissions: it takes them in order, works on what is pending, and posts completions.
//!
//! Invariant: every operation has at most one last completion, which comes behind its other ones; an operation is pending until that one is
//! handed out. The checks of what the engine may ask are `sim_door`'s.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::super::{BufferId, Completion, Fd, Group, Op, Segment, Token};
use super::memory::{Memory, gather};
use super::pipe::End;
use super::{Answer, Kind, Limits, PeerId, State, is_ignored};

/// Accepts without a descriptor in one second of virtual time, on one core.
const REFUSED_ACCEPTS_MAX: u32 = 100;
/// Never by itself.
const NEVER: u64 = u64::MAX;

/// Something queued and not given to the kernel yet.
pub(super) enum Submission {
    Begin { token: Token, fd: Fd, work: Work },
    Cancel(Token),
    Send { fd: Fd, segments: Vec<Segment>, token: Token },
    Close(Fd),
    Wake(usize),
}

/// What a pending operation waits to do.
pub(super) enum Work {
    Accept,
    Connect { to: SocketAddr, due: u64 },
    Recv(Group),
    SendWait { segment: Segment, done: usize },
    Alarm(u64),
}

impl Work {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Work::Accept => "an accept",
            Work::Connect { .. } => "a connect",
            Work::Recv(_) => "a recv",
            Work::SendWait { .. } => "a send_wait",
            Work::Alarm(_) => "an alarm",
        }
    }
}

/// An operation between its submission and the moment when its last completion is handed out.
pub(super) struct Pending {
    id: u64,
    pub(super) token: Token,
    pub(super) fd: Fd,
    pub(super) work: Work,
    /// its last completion is posted: it does nothing more
    pub(super) over: bool,
}

struct Posted {
    completion: Completion,
    /// the operation that ends with this one
    ends: Option<u64>,
    /// belongs to a `send`, or brings data: must come out of the next turn
    prompt: bool,
}

/// One core, as the kernel sees it.
pub(super) struct CoreState {
    pub(super) has_door: bool,
    pub(super) listener: Option<Fd>,
    /// turns begun
    pub(super) turns: u64,
    /// time when the last turn returned
    pub(super) now: u64,
    /// the last turn waited and would still wait
    pub(super) parked: bool,
    /// turns in a row that did not want to wait and had nothing to do
    pub(super) idle_turns: u64,
    pub(super) queue: VecDeque<Submission>,
    /// the last second with accepts that found no descriptor, and how many those were
    refused_accepts: (u64, u32),
    /// descriptors with a `send` in this turn
    pub(super) sent: BTreeSet<Fd>,
    pub(super) pending: Vec<Pending>,
    posted: VecDeque<Posted>,
    late: Vec<(u64, Posted)>,
    clients: Memory,
    servers: Memory,
    ids: u64,
}

impl CoreState {
    pub(super) fn new(limits: &Limits) -> CoreState {
        CoreState {
            has_door: false,
            listener: None,
            turns: 0,
            now: 1,
            parked: false,
            idle_turns: 0,
            queue: VecDeque::new(),
            refused_accepts: (0, 0),
            sent: BTreeSet::new(),
            pending: Vec::new(),
            posted: VecDeque::new(),
            late: Vec::new(),
            clients: Memory::new(limits.client_buffers),
            servers: Memory::new(limits.server_buffers),
            ids: 0,
        }
    }

    pub(super) fn memory(&self, group: Group) -> &Memory {
        match group {
            Group::Clients => &self.clients,
            Group::Servers => &self.servers,
        }
    }

    pub(super) fn memory_mut(&mut self, group: Group) -> &mut Memory {
        match group {
            Group::Clients => &mut self.clients,
            Group::Servers => &mut self.servers,
        }
    }

    /// Whether `segment` lies in a receive buffer that the engine does not hold.
    pub(super) fn is_stale(&self, segment: Segment) -> bool {
        self.clients.is_stale(segment) || self.servers.is_stale(segment)
    }

    fn post(&mut self, token: Token, res: i32, ends: Option<u64>, prompt: bool) {
        self.posted.push_back(Posted { completion: Completion { token, res, buffer: None, more: ends.is_none() && !prompt }, ends, prompt });
    }
}

impl State {
    /// What `core` has pending on a descriptor: queued, at work, or with a last completion that it has not seen.
    pub(super) fn pending_on(&self, core: usize, fd: Fd) -> Option<&'static str> {
        let core = &self.cores[core];
        let pending = core.pending.iter().find(|one| one.fd == fd).map(|one| one.work.name());
        let queued = || {
            core.queue.iter().find_map(|one| match one {
                Submission::Begin { fd: on, work, .. } if *on == fd => Some(work.name()),
                _ => None,
            })
        };
        pending.or_else(queued)
    }

    /// What still works on a descriptor for the core that owns it, or has brought data that the core has not seen. An operation that was cancelled in
    /// an earlier submission does not: its last completion alone is outstanding, and another core may use the descriptor.
    pub(super) fn at_work_on(&self, fd: Fd) -> Option<&'static str> {
        self.cores.iter().find_map(|core| {
            let unseen = |one: &Pending| core.posted.iter().any(|posted| posted.completion.token == one.token && posted.completion.buffer.is_some());
            let pending = core.pending.iter().find(|one| one.fd == fd && (!one.over || unseen(one))).map(|one| one.work.name());
            let queued = || {
                core.queue.iter().find_map(|one| match one {
                    Submission::Begin { fd: on, work, .. } if *on == fd => Some(work.name()),
                    Submission::Send { fd: on, .. } if *on == fd => Some("a send"),
                    _ => None,
                })
            };
            pending.or_else(queued)
        })
    }

    /// Panics if `core` still holds a buffer of a turn before `turn`.
    pub(super) fn check_homes(&self, core: usize, turn: u64) {
        for group in [Group::Clients, Group::Servers] {
            if let Some(index) = self.cores[core].memory(group).overdue(turn) {
                self.bug(core, &format!("buffer {index} of {group:?} was kept beyond the turn that sent its bytes on"));
            }
        }
    }

    /// Gives everything queued by `core` to the kernel.
    pub(super) fn submit(&mut self, core: usize) {
        while let Some(submission) = self.cores[core].queue.pop_front() {
            match submission {
                Submission::Begin { token, fd, work } => self.begin(core, token, fd, work),
                Submission::Cancel(token) => self.cancel(core, token),
                Submission::Send { fd, segments, token } => self.send(core, fd, &segments, token),
                Submission::Close(fd) => self.close(core, fd),
                Submission::Wake(other) => self.wake(other),
            }
        }
    }

    /// The same, when the core asks for it. What has arrived may be taken in first, so that a recv brings bytes and is cancelled in one go.
    pub(super) fn submit_all(&mut self, core: usize) {
        if self.faults.eager > 0 && self.dice.chance(self.faults.eager) {
            self.progress(core);
        }
        self.submit(core);
    }

    fn close(&mut self, core: usize, fd: Fd) {
        self.note(|| format!("core {core} closes {fd}"));
        let descriptor = self.descriptor(core, fd, "close");
        descriptor.closed = true;
        match &mut descriptor.kind {
            Kind::Socket(index) => {
                let index = *index;
                self.open -= 1;
                self.proxy_closes(index);
            }
            // Connections that nobody accepted break.
            Kind::Listener(backlog) => {
                for (_, PeerId(index)) in std::mem::take(backlog) {
                    self.connections[index].to_peer.finish(self.now, End::Reset);
                    self.proxy_closes(index);
                }
            }
        }
    }

    fn begin(&mut self, core: usize, token: Token, fd: Fd, mut work: Work) {
        if let Work::Connect { due, .. } = &mut work {
            *due = self.latency();
        }
        let state = &mut self.cores[core];
        state.ids += 1;
        state.pending.push(Pending { id: state.ids, token, fd, work, over: false });
        let index = state.pending.len() - 1;
        // The kernel tries at once; a poll that comes a moment later is as good.
        if self.dice.chance(500) {
            self.work(core, index);
        }
    }

    fn cancel(&mut self, core: usize, token: Token) {
        let Some(index) = self.cores[core].pending.iter().position(|one| one.token == token && !one.over) else { return };
        let late = self.dice.chance(self.faults.late_last);
        let due = self.now + if late { self.dice.below(self.faults.late_last_ns + 1) } else { 0 };
        let state = &mut self.cores[core];
        let pending = &mut state.pending[index];
        pending.over = true;
        let res = match pending.work {
            Work::SendWait { done, .. } if done > 0 => done as i32,
            _ => -libc::ECANCELED,
        };
        let completion = Completion { token, res, buffer: None, more: false };
        let posted = Posted { completion, ends: Some(pending.id), prompt: false };
        state.late.push((due, posted));
    }

    fn send(&mut self, core: usize, fd: Fd, segments: &[Segment], token: Token) {
        let index = self.socket(core, fd, "send");
        if segments.iter().any(|segment| self.cores[core].is_stale(*segment)) {
            self.bug(core, &format!("send on descriptor {fd} from a buffer that was given back before the submission"));
        }
        let bytes = gather(segments);
        let refused = self.dice.chance(self.faults.refused_send);
        let most = if self.dice.chance(self.faults.short_send) { self.dice.between(1, bytes.len().max(1) as u64) as usize } else { bytes.len() };
        let res = match self.transmit(index, if refused { &[] } else { &bytes[..most.min(bytes.len())] }) {
            Ok(taken) if taken == bytes.len() => return,
            Ok(0) => -libc::EAGAIN,
            Ok(taken) => taken as i32,
            Err(errno) => -errno,
        };
        self.note(|| format!("core {core} send on {fd}: {res} of {}", bytes.len()));
        if !is_ignored(token) {
            self.cores[core].post(token, res, None, true);
        }
    }

    /// Puts bytes into a connection; how many went in, or the errno.
    fn transmit(&mut self, index: usize, bytes: &[u8]) -> Result<usize, i32> {
        let (now, at) = (self.now, self.latency());
        let connection = &mut self.connections[index];
        if !connection.connected {
            return Err(libc::ENOTCONN);
        }
        if connection.to_peer.is_ended() || connection.to_proxy.broken(now) {
            return Err(libc::EPIPE);
        }
        if connection.peer_closed {
            // Nobody there: the bytes go out, and the answer is a reset.
            connection.to_proxy.finish(at, End::Reset);
            return Ok(bytes.len());
        }
        Ok(connection.to_peer.write(at, bytes))
    }

    /// Rings a core's bell.
    pub(super) fn wake(&mut self, core: usize) {
        let due = self.latency();
        let completion = Completion { token: Token::new(Op::Wake, 0, 0), res: 0, buffer: None, more: false };
        self.cores[core].late.push((due, Posted { completion, ends: None, prompt: false }));
    }

    /// Works on everything that `core` has pending, starting anywhere.
    pub(super) fn progress(&mut self, core: usize) {
        let now = self.now;
        let state = &mut self.cores[core];
        // Stable: two that are due at the same time keep their order.
        state.late.sort_by_key(|late| late.0);
        let due = state.late.partition_point(|late| late.0 <= now);
        state.posted.extend(state.late.drain(..due).map(|late| late.1));
        let count = state.pending.len();
        let start = self.dice.below(count as u64) as usize;
        for step in 0..count {
            self.work(core, (start + step) % count);
        }
        let state = &mut self.cores[core];
        let ended: Vec<u64> = state.posted.iter().filter(|one| is_ignored(one.completion.token)).filter_map(|one| one.ends).collect();
        state.pending.retain(|one| !ended.contains(&one.id));
        state.posted.retain(|one| !is_ignored(one.completion.token) || one.completion.buffer.is_some());
    }

    fn work(&mut self, core: usize, index: usize) {
        if self.is_ready(core, index) {
            match self.cores[core].pending[index].work {
                Work::Accept => self.work_accept(core, index),
                Work::Connect { to, .. } => self.work_connect(core, index, to),
                Work::Recv(group) => self.work_recv(core, index, group),
                Work::SendWait { segment, done } => self.work_send(core, index, segment, done),
                Work::Alarm(_) => self.finish(core, index, -libc::ETIME),
            }
        }
    }

    /// Whether an operation could do something now.
    fn is_ready(&self, core: usize, index: usize) -> bool {
        let pending = &self.cores[core].pending[index];
        !pending.over && self.ready_at(pending).is_some_and(|at| at <= self.now)
    }

    /// When an operation can do something, as far as that is known.
    fn ready_at(&self, pending: &Pending) -> Option<u64> {
        let kind = || &self.descriptors[(pending.fd - super::FIRST_FD) as usize].kind;
        match pending.work {
            Work::Alarm(at) => Some(at),
            Work::Connect { due, .. } => match kind() {
                // A shutdown ends a connect that is under way.
                Kind::Socket(index) if self.connections[*index].shut => Some(self.now),
                _ => (due != NEVER).then_some(due),
            },
            Work::Accept => match kind() {
                // Linux takes a descriptor before it looks whether anybody is there.
                Kind::Listener(_) if self.open >= self.open_max => Some(self.now),
                Kind::Listener(backlog) => backlog.front().map(|first| first.0),
                Kind::Socket(_) => None,
            },
            Work::Recv(_) => match kind() {
                Kind::Socket(index) => {
                    let connection = &self.connections[*index];
                    let pipe = &connection.to_proxy;
                    let now = pipe.readable(self.now) > 0 || pipe.ended(self.now).is_some() || connection.shut;
                    if now { Some(self.now) } else { pipe.next_arrival(self.now) }
                }
                Kind::Listener(_) => None,
            },
            Work::SendWait { .. } => match kind() {
                Kind::Socket(index) => {
                    let connection = &self.connections[*index];
                    let broken = connection.to_peer.is_ended() || connection.to_proxy.broken(self.now) || connection.peer_closed;
                    (broken || connection.to_peer.room() > 0).then_some(self.now)
                }
                Kind::Listener(_) => None,
            },
        }
    }

    /// Posts the last completion of an operation.
    fn finish(&mut self, core: usize, index: usize, res: i32) {
        let state = &mut self.cores[core];
        let pending = &mut state.pending[index];
        pending.over = true;
        let (token, id) = (pending.token, pending.id);
        state.post(token, res, Some(id), false);
    }

    fn work_accept(&mut self, core: usize, index: usize) {
        let (fd, token, now) = (self.cores[core].pending[index].fd, self.cores[core].pending[index].token, self.now);
        loop {
            if self.open >= self.open_max {
                self.count_refused_accept(core);
                return self.finish(core, index, -libc::EMFILE);
            }
            let Kind::Listener(backlog) = &mut self.descriptor(core, fd, "accept").kind else { unreachable!("checked when it was queued") };
            if backlog.front().is_none_or(|first| first.0 > now) {
                return;
            }
            let Some((_, PeerId(connection))) = backlog.pop_front() else { return };
            let accepted = self.add_descriptor(Kind::Socket(connection), core);
            self.note(|| format!("core {core} accepts {accepted}"));
            self.cores[core].post(token, accepted, None, false);
        }
    }

    /// A core that accepts again at once while it has no descriptors left burns its CPU: so many times in a second are too many.
    fn count_refused_accept(&mut self, core: usize) {
        let second = self.now / 1_000_000_000;
        let (counted, count) = &mut self.cores[core].refused_accepts;
        if *counted != second {
            (*counted, *count) = (second, 0);
        }
        *count += 1;
        if *count > REFUSED_ACCEPTS_MAX {
            self.bug(core, "accept is tried again and again although no descriptors are left");
        }
    }

    fn work_connect(&mut self, core: usize, index: usize, to: SocketAddr) {
        let Kind::Socket(connection) = self.descriptors[(self.cores[core].pending[index].fd - super::FIRST_FD) as usize].kind else { return };
        if self.connections[connection].shut {
            self.connections[connection].peer_closed = true;
            return self.finish(core, index, -libc::ECONNRESET);
        }
        let refused = self.dice.chance(self.faults.refused_connect);
        match self.acceptors.get_mut(&to) {
            Some(acceptor) if acceptor.answer == Answer::Silent => {
                self.cores[core].pending[index].work = Work::Connect { to, due: NEVER };
            }
            Some(acceptor) if acceptor.answer == Answer::Accept && !refused => {
                acceptor.made.push_back(PeerId(connection));
                self.connections[connection].connected = true;
                self.finish(core, index, 0);
            }
            _ => {
                self.connections[connection].peer_closed = true;
                self.finish(core, index, -libc::ECONNREFUSED);
            }
        }
    }

    fn work_recv(&mut self, core: usize, index: usize, group: Group) {
        let (fd, token, now) = (self.cores[core].pending[index].fd, self.cores[core].pending[index].token, self.now);
        let Kind::Socket(connection) = self.descriptors[(fd - super::FIRST_FD) as usize].kind else { return };
        loop {
            let source = &self.connections[connection];
            let (readable, ended, shut) = (source.to_proxy.readable(now), source.to_proxy.ended(now), source.shut);
            if (readable == 0 && ended.is_none() && !shut) || self.dice.chance(self.faults.late_recv) {
                return;
            }
            let state = &mut self.cores[core];
            if !state.memory(group).has_free() {
                return self.finish(core, index, -libc::ENOBUFS);
            }
            if readable == 0 {
                let res = if ended == Some(End::Reset) { -libc::ECONNRESET } else { 0 };
                return self.finish(core, index, res);
            }
            let whole = readable.min(state.memory(group).size());
            let torn = self.dice.chance(self.faults.torn_recv);
            let size = if torn { self.dice.between(1, whole as u64) as usize } else { whole };
            let bytes = self.connections[connection].to_proxy.read(now, size);
            let state = &mut self.cores[core];
            let buffer = state.memory_mut(group).fill(&bytes).map(|index| BufferId { group, index });
            let completion = Completion { token, res: bytes.len() as i32, buffer, more: true };
            state.posted.push_back(Posted { completion, ends: None, prompt: true });
            self.note(|| format!("core {core} receives {size} on {fd}"));
        }
    }

    fn work_send(&mut self, core: usize, index: usize, segment: Segment, done: usize) {
        let fd = self.cores[core].pending[index].fd;
        let Kind::Socket(connection) = self.descriptors[(fd - super::FIRST_FD) as usize].kind else { return };
        if self.cores[core].is_stale(segment) {
            self.bug(core, &format!("send_wait on descriptor {fd} from a buffer that was given back"));
        }
        let bytes = gather(&[segment]);
        let left = &bytes[done..];
        let most = if self.dice.chance(self.faults.short_send) { self.dice.between(1, left.len().max(1) as u64) as usize } else { left.len() };
        match self.transmit(connection, &left[..most.min(left.len())]) {
            Ok(taken) if done + taken == bytes.len() => self.finish(core, index, bytes.len() as i32),
            // A short count is the kernel's right; so is waiting for the rest.
            Ok(taken) if taken > 0 && self.dice.chance(self.faults.short_send) => self.finish(core, index, (done + taken) as i32),
            Ok(taken) => self.cores[core].pending[index].work = Work::SendWait { segment, done: done + taken },
            Err(_) if done > 0 => self.finish(core, index, done as i32),
            Err(errno) => self.finish(core, index, -errno),
        }
    }

    /// Hands out what one turn returns, in order: a thrown number of completions, and all of those that `send`s caused.
    pub(super) fn hand_out(&mut self, core: usize, out: &mut Vec<Completion>) {
        let thrown = self.dice.between(1, self.limits.completions.max(1) as u64) as usize;
        let state = &mut self.cores[core];
        let prompt = state.posted.iter().rposition(|one| one.prompt).map_or(0, |last| last + 1);
        let count = thrown.max(prompt).min(state.posted.len());
        let turn = state.turns;
        for _ in 0..count {
            let state = &mut self.cores[core];
            let Some(posted) = state.posted.pop_front() else { break };
            let completion = posted.completion;
            if let Some(buffer) = completion.buffer {
                state.memory_mut(buffer.group).hand_out(buffer.index, turn);
            }
            if let Some(id) = posted.ends {
                state.pending.retain(|one| one.id != id);
            }
            self.digest(completion.token.0 ^ ((completion.res as u64) << 20) ^ (core as u64));
            self.digest(self.now);
            out.push(completion);
        }
    }

    /// Whether a turn of `core` would do anything.
    pub(super) fn runnable(&self, core: usize) -> bool {
        let state = &self.cores[core];
        let queued = !state.parked || !state.queue.is_empty() || !state.posted.is_empty();
        queued || state.late.iter().any(|late| late.0 <= self.now) || (0..state.pending.len()).any(|index| self.is_ready(core, index))
    }

    /// The next moment after now at which something happens by itself.
    pub(super) fn next_event(&self) -> Option<u64> {
        let cores = self.cores.iter().flat_map(|core| {
            let late = core.late.iter().map(|late| late.0);
            late.chain(core.pending.iter().filter(|one| !one.over).filter_map(|one| self.ready_at(one)))
        });
        let arrivals = self.live.iter().filter_map(|index| {
            let connection = &self.connections[*index];
            let (one, other) = (connection.to_peer.next_arrival(self.now), connection.to_proxy.next_arrival(self.now));
            one.into_iter().chain(other).min()
        });
        cores.chain(arrivals).filter(|at| *at > self.now).min()
    }
}
