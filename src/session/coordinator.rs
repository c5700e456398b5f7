//! A client whose request, or whose transaction, is on several shards. Each of these is a participant: a whole session of its own with its own
//! server, to which the coordinator speaks as a client does, and whose answers it makes one (`joint`). The first is the client's own session, which
//! goes on alone when all is over. A request of the extended protocol goes step by step (`steps`), a transaction ends in turns (`turns`).
//!
//! Invariants: a participant gets nothing before it stands in the same transaction as the others, with the same settings and savepoints
//! (`journal`). Once a shard has failed, the transaction has failed for the client, whatever the other shards think. What may write on several
//! shards is always in a transaction, and committed by all of them or by none.
//!
//! It never holds bytes: what it has not consumed the engine gives again. What it says, and to whom, are `Acts`.

use std::sync::Arc;

use crate::route::cluster::Cluster;
use crate::route::commit::Gid;
use crate::route::request::{Join, Over, Refused};
use crate::wire::client::query;
use crate::wire::frame::{self, HEADER};
use crate::wire::server::{ErrorFields, error, ready};

use super::client::Client;
use super::exchange::Exchange;
use super::joint::{Joint, Shown};
pub use super::members::{Act, Acts, Halt};
use super::members::{Member, Owe, cannot_join, in_copy, in_transaction, lost, not_atomic, one_snapshot};
use super::pieces::Pieces;
use super::shards::{ROUTED_MAX, Shards, too_large};
use super::steps::Steps;
use super::targets::Target;
use super::turns::Ending;

/// Bytes of one message of a participant's: a row has to be here whole.
pub const MESSAGE_MAX: usize = 256 << 20;

/// What is going on.
#[derive(Debug)]
pub(super) enum Work {
    Idle,
    /// a simple query is with participants
    Query(Joint),
    /// a step of the extended protocol is
    Step(Joint),
    Ending(Box<Ending>),
}

/// Where the client's own session stands when the coordinator takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// in a transaction that it has begun, of which its server knows or not
    pub begun: bool,
    /// in a batch without a Sync
    pub unsynced: bool,
}

/// What is beyond this client: what its commits are made of.
#[derive(Clone, Debug)]
pub struct Means {
    pub cluster: Arc<Cluster>,
    /// sixteen bytes unlike any other coordinator's ever
    pub unique: u128,
    /// transactions that write on several shards are committed atomically
    pub atomic: bool,
}

/// A client on several shards.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) shards: Box<Shards>,
    pub(super) means: Means,
    pub(super) members: Vec<Member>,
    pub(super) work: Work,
    /// the client has begun a transaction
    pub(super) began: bool,
    /// we have, around a request
    pub(super) auto: bool,
    pub(super) failed: bool,
    /// the client sends rows of a COPY
    pub(super) copying: bool,
    pub(super) copy: Option<Box<super::spread_copy::SpreadCopy>>,
    pub(super) steps: Steps,
    /// of a text of several statements, those that are not done
    pub(super) pieces: Option<Box<Pieces>>,
    /// statements of the text at hand that a helper had to read
    pub(super) reads: u32,
    pub(super) commits: u32,
    /// the message at hand has no route before a helper has read its text
    pub(super) unread: bool,
    pub requests: u64,
}

impl Coordinator {
    /// Takes over from a client's own session, which is on shard `home`.
    pub fn new(mut shards: Box<Shards>, means: Means, standing: Standing, settled: &Client) -> Coordinator {
        let mut home = Member::new(shards.at);
        home.unsynced = standing.unsynced;
        if standing.begun {
            (home.joined, home.status) = (true, b'T');
        }
        if settled.has_begun()
            && let Some(text) = settled.begun.as_deref()
        {
            shards.journal.begins(text);
        }
        home.fixed = shards.journal.holds();
        let level = settled.profile.get("default_transaction_isolation");
        shards.one_snapshot = level.is_some_and(|level| level.contains("serializable") || level.contains("repeatable"));
        let steps = Steps::begin(if standing.unsynced { vec![shards.at] } else { Vec::new() });
        Coordinator {
            shards,
            means,
            members: vec![home],
            work: Work::Idle,
            began: standing.begun,
            auto: false,
            failed: settled.status() == b'E',
            copying: false,
            copy: None,
            steps,
            pieces: None,
            reads: 0,
            commits: 0,
            unread: false,
            requests: 0,
        }
    }

    /// Gives back what it has taken over.
    pub fn into_shards(self) -> Box<Shards> {
        let mut shards = self.shards;
        shards.journal.clear();
        shards
    }

    /// The shards it takes part on, the client's own first.
    pub fn participants(&self) -> impl Iterator<Item = u16> {
        self.members.iter().map(|member| member.shard)
    }

    /// A commit has begun that should not be left half done.
    pub fn is_committing(&self) -> bool {
        matches!(&self.work, Work::Ending(ending) if ending.is_under_way())
    }

    /// Its participants keep their servers from request to request.
    pub fn holds(&self) -> bool {
        self.began || self.auto
    }

    /// The commit at work, and its turn, for people.
    pub fn turn(&self) -> Option<(Gid, &'static str)> {
        match &self.work {
            Work::Ending(ending) => ending.shown(),
            _ => None,
        }
    }

    /// What ReadyForQuery says.
    pub(super) fn status(&self) -> u8 {
        match (self.began, self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        }
    }

    /// Reads a client's bytes; returns how many are consumed and why it stopped. `home` is its own session, `link` that one's server.
    pub fn on_client(&mut self, bytes: &[u8], home: &Client, link: Option<&Exchange>, acts: &mut Acts) -> (usize, Halt) {
        let mut at = 0;
        loop {
            let waits = !matches!(self.work, Work::Idle) && !self.copying;
            if waits || acts.list.contains(&Act::Done) || acts.list.contains(&Act::Close) {
                return (at, Halt::Wait);
            }
            let rest = &bytes[at..];
            let header = match frame::client_header(rest) {
                Ok(Some(header)) => header,
                Ok(None) => return (at, Halt::More(HEADER)),
                Err(error) => return (at, Halt::Broken(error)),
            };
            if header.kind == b'X' {
                return (at, Halt::Terminate);
            }
            if header.total() > ROUTED_MAX {
                // What is too large to be looked at cannot be passed over either: the client would wait for ever.
                self.fatal(&too_large(header.total()), acts);
                return (at, Halt::Wait);
            }
            let Some(body) = rest.get(HEADER..header.total()) else { return (at, Halt::More(header.total())) };
            at += header.total();
            match header.kind {
                b'd' | b'c' | b'f' => self.copy_message(header.kind, body, acts),
                b'H' | b'S' if self.copying => {}
                kind if self.copying => self.fatal(&in_copy(kind), acts),
                b'S' => self.sync(acts),
                _ if self.steps.skipping => {}
                b'Q' => self.query(body.strip_suffix(b"\0").unwrap_or(body), home, link, acts),
                b'F' => self.refuse_query(&super::shards::function_call(), acts),
                _ => at += self.step(header.kind, body, &rest[header.total()..], home, link, acts),
            }
            if std::mem::take(&mut self.unread) {
                return (at - header.total(), Halt::Unread);
            }
        }
    }

    /// A simple query.
    fn query(&mut self, text: &[u8], home: &Client, link: Option<&Exchange>, acts: &mut Acts) {
        self.steps.queried();
        self.shards.forget_parsed();
        let targets = self.targets(text, home, link);
        if matches!(&targets, Err(refused) if refused.is_unread()) {
            self.unread = true;
            return;
        }
        (self.requests, self.reads) = (self.requests + 1, 0);
        match targets {
            Ok(Target::Each(pieces)) => self.ask_pieces(*pieces, acts),
            Ok(Target::End { commit }) => self.end(commit, super::turns::Then::Ready, acts),
            Ok(Target::To(over)) => {
                let utf8 = home.says(link).is_utf8();
                self.ask(text, over, utf8, acts);
            }
            Err(refused) => self.refuse_query(&refused, acts),
        }
    }

    /// The participant on a shard, which may be new.
    pub(super) fn member(&mut self, shard: u16) -> usize {
        if let Some(at) = self.members.iter().position(|member| member.shard == shard) {
            return at;
        }
        self.members.push(Member::new(shard));
        self.members.len() - 1
    }

    /// Whether these shards can take part now; if they can, those that are new join.
    pub(super) fn enlist(&mut self, over: &Over, acts: &mut Acts) -> Result<(), Box<Refused>> {
        if !self.began && over.writes && over.parts.len() > 1 && !over.alone {
            if !self.means.atomic {
                return Err(not_atomic());
            }
            self.auto = true;
        }
        if over.alone && (self.began || self.auto) {
            return Err(in_transaction());
        }
        if !self.began && !self.auto {
            return Ok(());
        }
        let fresh = over.parts.iter().filter(|part| !self.members.iter().any(|member| member.shard == part.shard && member.joined)).count();
        let joined = self.members.iter().filter(|member| member.joined).count();
        if fresh == 0 {
            return Ok(());
        }
        let texts = if self.began {
            if joined + fresh > 1 && (self.shards.journal.needs_one_snapshot() || self.shards.one_snapshot) {
                return Err(one_snapshot());
            }
            self.shards.journal.replay().map_err(cannot_join)?
        } else {
            vec![b"BEGIN".to_vec()]
        };
        for part in &over.parts {
            let at = self.member(part.shard);
            self.join(at, &texts, acts);
        }
        Ok(())
    }

    /// One participant enters the transaction.
    fn join(&mut self, at: usize, texts: &[Vec<u8>], acts: &mut Acts) {
        let member = &mut self.members[at];
        if std::mem::replace(&mut member.joined, true) {
            return;
        }
        if member.unsynced {
            // In the middle of a batch: a simple query would drop its unnamed statement.
            return super::steps::join_in_batch(member, texts, acts);
        }
        for text in texts {
            // Each was a client's message, or is short.
            acts.tell(member.shard, |words| _ = query(words, text));
            member.owes.push_back(Owe::Joining);
        }
    }

    /// A simple query goes to its shards.
    fn ask(&mut self, text: &[u8], over: Over, utf8: bool, acts: &mut Acts) {
        let shards: Vec<u16> = over.parts.iter().map(|part| part.shard).collect();
        self.copy = match super::spread_copy::SpreadCopy::new(&over.join, &shards, self.shards.router.clone(), utf8) {
            Ok(copy) => copy,
            Err(refused) => return self.refuse_query(&refused, acts),
        };
        if let Err(refused) = self.enlist(&over, acts) {
            self.copy = None;
            return self.refuse_query(&refused, acts);
        }
        if over.alone {
            self.steps.alone = over.parts.iter().skip(1).rev().map(|part| part.shard).collect();
            self.steps.alone_text = text.into();
        }
        for part in over.parts.iter().take(if over.alone { 1 } else { usize::MAX }) {
            let at = self.member(part.shard);
            let text = part.cut.as_ref().map_or(text, |cut| &cut.text);
            // Not longer than the client's.
            acts.tell(part.shard, |words| _ = query(words, text));
            self.members[at].owes.push_back(Owe::Query);
            if self.auto && is_whole(text) {
                self.members[at].ask_if_wrote(acts);
            }
        }
        self.work = Work::Query(self.joint(over.join, shards));
    }

    /// For the answers of these shards.
    pub(super) fn joint(&self, join: Join, shards: Vec<u16>) -> Joint {
        let mut joint = Joint::new(join, shards);
        joint.numbers = self.means.cluster.renumbers().then(|| self.means.cluster.clone());
        joint
    }

    /// A simple query that goes nowhere.
    pub(super) fn refuse_query(&mut self, refused: &Refused, acts: &mut Acts) {
        self.failed |= self.began;
        say_refused(refused, acts);
        self.now_ready(acts);
    }

    /// ReadyForQuery; outside of a transaction all is over with it.
    pub(super) fn now_ready(&mut self, acts: &mut Acts) {
        self.work = Work::Idle;
        let status = self.status();
        acts.say(|words| ready(words, status));
        if !self.began {
            acts.list.push(Act::Done);
        }
    }

    /// Reads a participant's bytes; returns how many are consumed.
    pub fn on_server(&mut self, shard: u16, bytes: &[u8], acts: &mut Acts) -> usize {
        let Some(at) = self.members.iter().position(|member| member.shard == shard) else { return bytes.len() };
        let mut taken = 0;
        while let Ok(Some(header)) = frame::header(&bytes[taken..]) {
            if header.total() > MESSAGE_MAX {
                self.fatal(&too_large(header.total()), acts);
                return bytes.len();
            }
            let Some(message) = bytes.get(taken..taken + header.total()) else { break };
            taken += header.total();
            self.heard(at, message, acts);
        }
        taken
    }

    fn heard(&mut self, at: usize, message: &[u8], acts: &mut Acts) {
        let member = &mut self.members[at];
        let owed = member.owes.front().copied();
        match (owed, message[0]) {
            (_, b'Z') => {
                while member.owes.front().is_some_and(|owe| owe.is_step()) {
                    member.owes.pop_front();
                }
                member.owes.pop_front();
                member.status = message[HEADER];
                member.unsynced &= owed != Some(Owe::Sync);
                self.settle(acts);
            }
            (Some(Owe::Step { .. }), _) => self.step_answered(at, message, acts),
            (Some(Owe::Joining), b'E') => self.fails(at, message),
            (Some(Owe::Joining), _) => {}
            (Some(Owe::Wrote), b'D') => member.wrote = Some(message.last() == Some(&b't')),
            (Some(Owe::Wrote), _) => {}
            (Some(Owe::Turn | Owe::Sync), _) => {
                let tells = !matches!(&self.work, Work::Ending(ending) if ending.is_quiet());
                member.turn_answered(message, at == 0, tells, acts);
            }
            (Some(Owe::Query), _) => self.show(at, message, acts),
            (None, b'N' | b'A' | b'S') if at == 0 => acts.say(|words| words.extend_from_slice(message)),
            (None, b'E') => member.error = Some(message.into()),
            (None, _) => {}
        }
    }

    /// A message of the answer to what is at work.
    pub(super) fn show(&mut self, at: usize, message: &[u8], acts: &mut Acts) {
        let shard = self.members[at].shard;
        let (Work::Query(joint) | Work::Step(joint)) = &mut self.work else { return };
        let from = acts.words.len();
        let shown = joint.hear(shard, message, &mut acts.words);
        let to = acts.words.len();
        self.copying |= message[0] == b'G' && shown != Shown::Nothing;
        match shown {
            Shown::Nothing => {}
            Shown::Words => acts.list.push(Act::Say(from..to)),
            Shown::Whole => acts.say(|words| words.extend_from_slice(message)),
        }
        // Another may have refused it before.
        self.give_up_copies(acts);
    }

    /// Something that belongs to the request at work has failed.
    pub(super) fn fails(&mut self, at: usize, message: &[u8]) {
        let shard = self.members[at].shard;
        if let Work::Query(joint) | Work::Step(joint) = &mut self.work
            && joint.error.is_none()
        {
            joint.error = Some(message.into());
            joint.failed = Some(shard);
        }
    }

    /// When everybody has answered, the next thing is done.
    pub(super) fn settle(&mut self, acts: &mut Acts) {
        self.give_up_copies(acts);
        if self.members.iter().any(|member| !member.owes.is_empty()) {
            return;
        }
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => {}
            Work::Query(joint) => self.query_done(joint, acts),
            Work::Step(joint) => self.step_done(joint, acts),
            Work::Ending(ending) => self.turn_done(ending, acts),
        }
    }

    fn query_done(&mut self, mut joint: Joint, acts: &mut Acts) {
        self.copying = false;
        self.copy = None;
        if joint.error.is_none() && self.next_alone(&mut joint, acts) {
            self.work = Work::Query(joint);
            return;
        }
        if let Some(error) = joint.error.take() {
            let error = self.steps.explain_alone(error, &joint);
            let error = self.drop_pieces(error);
            let error = joint.done_before(error);
            if self.auto {
                return self.undo(Some(error), super::turns::Then::Ready, acts);
            }
            self.failed |= self.began;
            acts.say(|words| words.extend_from_slice(&error));
            return self.now_ready(acts);
        }
        let mut answer = Vec::new();
        joint.finish(&mut answer);
        if self.pieces.as_ref().is_some_and(|pieces| !pieces.are_done()) {
            acts.say(|words| words.extend_from_slice(&answer));
            self.next_piece(acts);
            return;
        }
        self.pieces = None;
        if self.auto {
            return self.commit(answer, super::turns::Then::Ready, acts);
        }
        self.failed = self.began && self.members.iter().any(|member| member.joined && member.status == b'E');
        acts.say(|words| words.extend_from_slice(&answer));
        self.now_ready(acts);
    }

    /// Of what no transaction may be around, the next shard's turn; false: there is none.
    fn next_alone(&mut self, joint: &mut Joint, acts: &mut Acts) -> bool {
        let Some(shard) = self.steps.alone.pop() else {
            self.steps.alone_text = Box::default();
            return false;
        };
        let at = self.member(shard);
        let text = self.steps.alone_text.clone();
        // The client's own.
        acts.tell(shard, |words| _ = query(words, &text));
        self.members[at].owes.push_back(Owe::Query);
        debug_assert!(joint.shards().contains(&shard));
        true
    }

    /// A participant has ended; `bytes` are what it said last.
    pub fn on_ended(&mut self, shard: u16, bytes: &[u8], acts: &mut Acts) {
        self.on_server(shard, bytes, acts);
        if acts.list.contains(&Act::Close) {
            return;
        }
        let Some(at) = self.members.iter().position(|member| member.shard == shard) else { return };
        let member = &mut self.members[at];
        (member.lost, member.joined) = (true, false);
        member.owes.clear();
        if self.survives(at, acts) {
            return self.settle(acts);
        }
        if acts.list.contains(&Act::Close) {
            return;
        }
        let own = self.members[at].error.take();
        let told = match &self.work {
            Work::Query(joint) | Work::Step(joint) => joint.error.clone().filter(|_| joint.failed == Some(shard)),
            _ => None,
        };
        match told.or(own) {
            Some(error) => {
                acts.say(|words| words.extend_from_slice(&error));
                acts.list.push(Act::Close);
            }
            None => self.fatal(&lost(shard), acts),
        }
    }

    /// The client is told why, and closed.
    pub(super) fn fatal(&mut self, refused: &Refused, acts: &mut Acts) {
        let Refused { code, message, detail, hint } = refused;
        let fields = ErrorFields { severity: "FATAL", code, message, detail: detail.as_deref(), hint: *hint };
        acts.say(|words| error(words, &fields));
        acts.list.push(Act::Close);
    }
}

/// The answer to this text is all there is to it: nothing of a COPY stands between it and the next.
fn is_whole(text: &[u8]) -> bool {
    let first = text.trim_ascii_start().first().map(u8::to_ascii_lowercase);
    matches!(first, Some(b'u' | b'd' | b'i' | b'm' | b'w' | b's'))
}

/// ErrorResponse for what goes nowhere.
pub(super) fn say_refused(refused: &Refused, acts: &mut Acts) {
    let Refused { code, message, detail, hint } = refused;
    let fields = ErrorFields { severity: "ERROR", code, message, detail: detail.as_deref(), hint: *hint };
    acts.say(|words| error(words, &fields));
}

#[cfg(test)]
#[path = "coordinator_tests.rs"]
mod tests;
