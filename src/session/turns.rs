//! How a transaction over several shards ends: all of it, or none, without a log of our own.
//!
//! A shard that has written knows so itself (`txid_current_if_assigned`). With one such shard its COMMIT is the decision. With more:
//! 1. in parallel, the decider writes the decision into its own transaction (`dog.decide`), the others PREPARE;
//! 2. the decider commits, flushed: from then on it is decided;
//! 3. the others COMMIT PREPARED, and who has only read commits; then the client is answered, so that it sees its own writes.
//!
//! Invariant: nobody commits before the decision, and nobody rolls back after it. What is left in doubt (a server or this process ends in between)
//! is found by its name and ended by recovery, from the decider's row or its absence.

use crate::route::commit::{self, Gid};
use crate::route::request::Refused;
use crate::wire::client::query;
use crate::wire::frame::HEADER;
use crate::wire::server::{ErrorFields, command_complete, error, error_fields, parse_command_complete};

use super::coordinator::{Coordinator, Work};
use super::members::{Act, Acts, Member, Owe, lost};

/// What follows when all is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// ReadyForQuery
    Ready,
    /// the next message of the batch
    Step,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Commit,
    Undo,
    /// a batch ends, and no transaction with it
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// batches are ended
    Syncs,
    /// who has written
    Ask,
    /// the decider gets a number of its own
    Number,
    /// the only one that has written commits
    Last,
    Prepare,
    Decide,
    /// what is decided is done by all others
    Finish,
    Undo,
}

/// A transaction that ends.
#[derive(Debug)]
pub struct Ending {
    goal: Goal,
    turn: Turn,
    then: Then,
    /// what the client is told when it has worked
    answer: Vec<u8>,
    /// or when it has not
    error: Option<Box<[u8]>>,
    gid: Option<Gid>,
    /// its place among the members
    decider: usize,
}

impl Ending {
    /// Something is prepared, or being decided.
    pub fn is_under_way(&self) -> bool {
        self.gid.is_some()
    }

    /// What servers say besides is not for the client: it has not asked for this.
    pub fn is_quiet(&self) -> bool {
        matches!(self.turn, Turn::Ask | Turn::Number | Turn::Finish | Turn::Undo)
    }

    /// Its name and turn, for people.
    pub fn shown(&self) -> Option<(Gid, &'static str)> {
        let turn = match self.turn {
            Turn::Prepare => "prepare",
            Turn::Decide => "decide",
            Turn::Finish => "commit prepared",
            Turn::Undo => "rollback",
            _ => return None,
        };
        self.gid.map(|gid| (gid, turn))
    }
}

impl Member {
    /// Asks it, behind its request, whether it has written.
    pub(super) fn ask_if_wrote(&mut self, acts: &mut Acts) {
        self.wrote = None;
        // Fixed and short.
        acts.tell(self.shard, |words| _ = query(words, commit::WROTE.as_bytes()));
        self.owes.push_back(Owe::Wrote);
    }

    /// Its answer to a turn; `first`: it is the client's own session; `tells`: its notices are for the client.
    pub(super) fn turn_answered(&mut self, message: &[u8], first: bool, tells: bool, acts: &mut Acts) {
        match message[0] {
            b'C' => self.tag = parse_command_complete(&message[HEADER..]).map(Into::into),
            b'E' if self.error.is_none() => self.error = Some(message.into()),
            b'N' if tells => acts.say(|words| words.extend_from_slice(message)),
            b'S' if first => self.late.extend_from_slice(message),
            b'A' if first => acts.say(|words| words.extend_from_slice(message)),
            _ => {}
        }
    }

    fn turn(&mut self, text: &str, acts: &mut Acts) {
        (self.tag, self.error) = (None, None);
        // Names of transactions are short.
        acts.tell(self.shard, |words| _ = query(words, text.as_bytes()));
        self.owes.push_back(Owe::Turn);
    }

    /// Its part of what was decided is done, by us or by recovery.
    fn is_done(&self) -> bool {
        let gone = |error: &[u8]| error_fields(&error[HEADER..]).is_ok_and(|fields| fields.sqlstate() == commit::GONE);
        self.did("COMMIT PREPARED") || self.error.as_deref().is_some_and(gone)
    }

    fn did(&self, tag: &str) -> bool {
        self.error.is_none() && self.tag.as_deref() == Some(tag.as_bytes())
    }
}

impl Coordinator {
    /// The client says COMMIT or ROLLBACK.
    pub(super) fn end(&mut self, commit: bool, then: Then, acts: &mut Acts) {
        let commit = commit && !self.failed;
        let mut answer = Vec::new();
        // Fixed and short.
        let _ = command_complete(&mut answer, if commit { "COMMIT" } else { "ROLLBACK" });
        self.begin_ending(if commit { Goal::Commit } else { Goal::Undo }, then, answer, None, acts);
    }

    /// A transaction of ours ends well; `answer` is what the client is told then.
    pub(super) fn commit(&mut self, answer: Vec<u8>, then: Then, acts: &mut Acts) {
        self.begin_ending(Goal::Commit, then, answer, None, acts);
    }

    /// It ends badly; the client is told `error` if it has not been already.
    pub(super) fn undo(&mut self, error: Option<Box<[u8]>>, then: Then, acts: &mut Acts) {
        self.begin_ending(Goal::Undo, then, Vec::new(), error, acts);
    }

    /// A Sync: batches end, and with them a transaction of ours.
    pub(super) fn end_batch(&mut self, acts: &mut Acts) {
        let goal = match (self.auto, self.failed) {
            (false, _) => Goal::Nothing,
            (true, false) => Goal::Commit,
            (true, true) => Goal::Undo,
        };
        self.begin_ending(goal, Then::Ready, Vec::new(), None, acts);
    }

    fn begin_ending(&mut self, goal: Goal, then: Then, answer: Vec<u8>, error: Option<Box<[u8]>>, acts: &mut Acts) {
        let ending = Ending { goal, turn: Turn::Syncs, then, answer, error, gid: None, decider: 0 };
        self.say_syncs(acts);
        self.work = Work::Ending(Box::new(ending));
        self.settle(acts);
    }

    /// Everybody has answered a turn.
    pub(super) fn turn_done(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        match ending.turn {
            Turn::Syncs => self.synced(ending, acts),
            Turn::Ask => self.asked(ending, acts),
            Turn::Last => {
                let writer = &mut self.members[ending.decider];
                if let Some(error) = writer.error.take() {
                    writer.joined = false;
                    return self.undo_now(ending, Some(error), acts);
                }
                if !writer.did("COMMIT") {
                    // It had failed, and says so by the tag.
                    ending.answer.clear();
                    let _ = command_complete(&mut ending.answer, "ROLLBACK");
                }
                writer.joined = false;
                self.finish_all(ending, acts);
            }
            Turn::Number => {
                if let Some(error) = self.members[ending.decider].error.take() {
                    return self.undo_now(ending, Some(error), acts);
                }
                let writers = self.writers();
                self.prepare(ending, &writers, acts);
            }
            Turn::Prepare => self.prepared(ending, acts),
            Turn::Decide => {
                let decider = &mut self.members[ending.decider];
                if !decider.did("COMMIT") {
                    let error = decider.error.take();
                    return self.undo_now(ending, error, acts);
                }
                decider.joined = false;
                self.finish_all(ending, acts);
            }
            Turn::Finish => {
                let late = self.members.iter().any(|member| member.prepared && (member.lost || !member.is_done()));
                if let Some(gid) = ending.gid.filter(|_| late) {
                    // It is decided: recovery does what is left of it.
                    acts.list.push(Act::InDoubt(gid));
                    acts.say(|words| crate::wire::server::notice(words, &late_notice()));
                }
                self.ended(*ending, acts);
            }
            Turn::Undo => {
                let late = self.members.iter().any(|member| member.prepared && (member.lost || member.error.is_some()));
                if let Some(gid) = ending.gid.filter(|_| late) {
                    acts.list.push(Act::InDoubt(gid));
                }
                self.ended(*ending, acts);
            }
        }
    }

    fn synced(&mut self, ending: Box<Ending>, acts: &mut Acts) {
        // An implicit transaction commits with its Sync, and may fail then.
        let failed = self.members.iter_mut().find_map(|member| member.error.take());
        match ending.goal {
            Goal::Nothing => {
                self.failed = self.began && (self.failed || self.members.iter().any(|member| member.joined && member.status == b'E'));
                if let Some(error) = failed {
                    acts.say(|words| words.extend_from_slice(&error));
                }
                self.now_ready(acts);
            }
            Goal::Undo => {
                let error = ending.error.clone();
                self.undo_now(ending, error, acts);
            }
            Goal::Commit => self.commit_now(ending, acts),
        }
    }

    fn commit_now(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        let joined = self.members.iter().filter(|member| member.joined).count();
        if joined <= 1 {
            ending.decider = self.members.iter().position(|member| member.joined).unwrap_or(0);
            return self.commit_last(ending, acts);
        }
        let mut asks = false;
        for member in self.members.iter_mut().filter(|member| member.joined && member.wrote.is_none()) {
            member.ask_if_wrote(acts);
            asks = true;
        }
        ending.turn = Turn::Ask;
        if !asks {
            return self.asked(ending, acts);
        }
        self.work = Work::Ending(ending);
    }

    fn commit_last(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        ending.turn = Turn::Last;
        self.members[ending.decider].turn("COMMIT", acts);
        self.work = Work::Ending(ending);
    }

    fn asked(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        let writers = self.writers();
        // A NOTIFY is told by a commit, whether it has written or not.
        let fixed: Vec<usize> = (0..self.members.len()).filter(|at| self.members[*at].joined && self.members[*at].fixed).collect();
        let both = fixed.iter().filter(|at| !writers.contains(at)).count() + writers.len();
        if both <= 1 {
            ending.decider = fixed.first().or(writers.first()).copied().unwrap_or(0);
            return match self.members[ending.decider].joined {
                true => self.commit_last(ending, acts),
                false => self.finish_all(ending, acts),
            };
        }
        ending.decider = fixed.first().copied().unwrap_or_else(|| self.best_decider(&writers));
        if let Some(refused) = self.cannot_commit(&fixed) {
            return self.undo_now(ending, Some(worded(&refused)), acts);
        }
        if self.members[ending.decider].wrote == Some(false) {
            // A decider without a number of its own could be taken for dead and decide all the same.
            self.members[ending.decider].wrote = Some(true);
            self.members[ending.decider].turn(commit::NUMBER, acts);
            ending.turn = Turn::Number;
            self.work = Work::Ending(ending);
            return;
        }
        self.prepare(ending, &writers, acts);
    }

    fn prepare(&mut self, mut ending: Box<Ending>, writers: &[usize], acts: &mut Acts) {
        self.commits += 1;
        let unique = self.means.unique.wrapping_add(u128::from(self.commits));
        let others = writers.iter().filter(|at| **at != ending.decider).map(|at| self.members[*at].shard);
        let gid = match self.means.cluster.gid(self.members[ending.decider].shard, others, unique.to_be_bytes()) {
            Ok(gid) => gid,
            Err(refused) => return self.undo_now(ending, Some(worded(&refused)), acts),
        };
        for &at in writers {
            let member = &mut self.members[at];
            if at == ending.decider {
                continue;
            }
            member.turn(&gid.prepare(member.shard), acts);
            acts.list.push(Act::Keep(member.shard));
        }
        self.members[ending.decider].turn(&gid.decide(), acts);
        ending.turn = Turn::Prepare;
        ending.gid = Some(gid);
        self.work = Work::Ending(ending);
    }

    fn writers(&self) -> Vec<usize> {
        let wrote = |member: &Member| member.joined && member.wrote != Some(false);
        (0..self.members.len()).filter(|at| wrote(&self.members[*at])).collect()
    }

    /// Who cannot prepare decides.
    fn best_decider(&self, writers: &[usize]) -> usize {
        let able = |shard: u16| self.means.cluster.commits.prepares.get(usize::from(shard)).is_some_and(|prepares| *prepares);
        writers.iter().find(|at| !able(self.members[**at].shard)).or(writers.first()).copied().unwrap_or(0)
    }

    /// Why these cannot commit together.
    fn cannot_commit(&self, fixed: &[usize]) -> Option<Box<Refused>> {
        let refused = |code, message: String, hint| Some(Box::new(Refused { code, message, detail: None, hint: Some(hint) }));
        if !self.means.atomic {
            let message = "a transaction that has written on several shards would not be committed atomically: two_phase_commit is off".into();
            return refused("0A000", message, "It is rolled back. Set two_phase_commit = true, or write to one shard per transaction.");
        }
        if fixed.len() > 1 {
            let message = "NOTIFY, or cursors WITH HOLD, on several shards cannot be committed atomically".into();
            return refused("0A000", message, "It is rolled back. Send the NOTIFY, or declare the cursor, in a transaction of its own.");
        }
        None
    }

    fn prepared(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        let mut failure = None;
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if member.tag.is_none() && member.error.is_none() {
                continue;
            }
            member.prepared = at != ending.decider && member.did("PREPARE TRANSACTION");
            member.joined &= !member.prepared;
            let good = member.prepared || at == ending.decider && member.did("SELECT 1");
            if !good && failure.is_none() {
                failure = Some(member.error.take());
            }
        }
        if let Some(error) = failure {
            return self.undo_now(ending, error, acts);
        }
        ending.turn = Turn::Decide;
        self.members[ending.decider].turn(commit::COMMIT, acts);
        self.work = Work::Ending(ending);
    }

    /// It is decided: all the others do it.
    fn finish_all(&mut self, mut ending: Box<Ending>, acts: &mut Acts) {
        ending.turn = Turn::Finish;
        for member in self.members.iter_mut().filter(|member| !member.lost) {
            match &ending.gid {
                Some(gid) if member.prepared => member.turn(&gid.commit_prepared(member.shard), acts),
                _ if member.joined => member.turn("COMMIT", acts),
                _ => {}
            }
        }
        self.work = Work::Ending(ending);
        self.settle(acts);
    }

    /// Nothing of it is to be left.
    fn undo_now(&mut self, mut ending: Box<Ending>, error: Option<Box<[u8]>>, acts: &mut Acts) {
        (ending.turn, ending.error) = (Turn::Undo, error);
        if ending.error.is_none() && ending.goal == Goal::Commit {
            ending.answer.clear();
            let _ = command_complete(&mut ending.answer, "ROLLBACK");
        }
        for member in self.members.iter_mut().filter(|member| !member.lost) {
            match &ending.gid {
                Some(gid) if member.prepared => member.turn(&gid.rollback_prepared(member.shard), acts),
                _ if member.joined && member.status != b'I' => member.turn("ROLLBACK", acts),
                _ => {}
            }
        }
        self.work = Work::Ending(ending);
        self.settle(acts);
    }

    /// The transaction has ended.
    fn ended(&mut self, ending: Ending, acts: &mut Acts) {
        (self.began, self.auto, self.failed) = (false, false, false);
        self.steps.forget_portals();
        self.shards.journal.clear();
        for member in &mut self.members {
            (member.joined, member.prepared, member.wrote, member.fixed) = (false, false, None, false);
            (member.tag, member.error) = (None, None);
        }
        // Whoever takes part on a lost one's shard next is somebody else; only the client's own session has no other.
        self.members.iter_mut().skip(1).filter(|member| member.lost).for_each(|member| *member = Member::new(member.shard));
        let late: Vec<u8> = self.members.iter_mut().flat_map(|member| std::mem::take(&mut member.late)).collect();
        match &ending.error {
            Some(error) => {
                acts.say(|words| words.extend_from_slice(error));
                self.steps.skipping |= ending.then == Then::Step;
            }
            None => acts.say(|words| words.extend_from_slice(&ending.answer)),
        }
        acts.say(|words| words.extend_from_slice(&late));
        match ending.then {
            Then::Ready => self.now_ready(acts),
            Then::Step => {
                self.work = Work::Idle;
                if self.members[0].lost {
                    // The rest of the batch has nowhere to go.
                    self.fatal(&lost(self.members[0].shard), acts);
                }
            }
        }
    }

    /// A participant has ended in the middle of it; whether the rest goes on.
    pub(super) fn survives(&mut self, at: usize, acts: &mut Acts) -> bool {
        let Work::Ending(ending) = &self.work else { return false };
        let (deciding, decider) = (matches!(ending.turn, Turn::Decide | Turn::Last), ending.decider == at);
        match ending.turn {
            Turn::Finish | Turn::Undo => true,
            Turn::Decide if !decider => true,
            _ => {
                if let Some(gid) = ending.gid {
                    acts.list.push(Act::InDoubt(gid));
                }
                if deciding && decider {
                    self.fatal(&unknown(), acts);
                }
                false
            }
        }
    }
}

fn unknown() -> Box<Refused> {
    let message = "the server closed the connection while it was asked to commit".into();
    let hint = "The transaction may or may not have been committed, on all shards alike: look at the data before it is tried again.";
    Box::new(Refused { code: "08007", message, detail: None, hint: Some(hint) })
}

/// A refusal as an ErrorResponse.
pub(super) fn worded(refused: &Refused) -> Box<[u8]> {
    let mut words = Vec::new();
    let Refused { code, message, detail, hint } = refused;
    error(&mut words, &ErrorFields { severity: "ERROR", code, message, detail: detail.as_deref(), hint: *hint });
    words.into()
}

fn late_notice() -> ErrorFields<'static> {
    let message = "the transaction is committed, and one shard will show it a little later";
    ErrorFields { severity: "WARNING", code: "01000", message, detail: None, hint: Some("SHOW TRANSACTIONS on the admin database lists it.") }
}
