//! The part of an exchange that is about statements with names of ours, and about what takes its turn among a server's answers: sending them,
//! what is not sure yet, what is due. The order of all messages is kept by `exchange`.

use super::exchange::{Exchange, OUTSTANDING_MAX, Status};
use super::kinds::*;
use super::suspicion::Pins;
use super::tags::is_ddl;

impl Exchange {
    /// The head is a Describe of a statement with a name of ours.
    pub fn is_describing(&self) -> bool {
        matches!(self.head(), Some(NAMED_DESCRIBE | OUR_DESCRIBE))
    }

    /// In which batch a message would be sent now.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// Something that was done with statements' names in an earlier batch has not been answered yet.
    pub fn is_unsure(&self) -> bool {
        self.barrier || self.marks.has_earlier()
    }

    /// Answers are due that the server gives whatever comes behind what it was sent.
    pub fn owes_answers(&self) -> bool {
        self.has_earlier() && !self.copying
    }

    /// Messages that may fail, and would decide about what follows them, are at work from an earlier batch.
    pub fn has_earlier(&self) -> bool {
        self.expected.iter().any(|&kind| matches!(kind, b'S' | b'Q' | b'F' | REFUSED_QUERY))
    }

    /// Asks the server to answer what it was sent, once, for somebody who waits for that.
    pub fn flush(&mut self, words: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.flushed, true) {
            crate::wire::client::flush(words);
        }
    }

    /// Something of ours whose turn has come; to be asked between two messages.
    #[inline]
    pub fn due(&mut self) -> Option<Due> {
        if self.mid_message || !matches!(self.head()?, HAD_PARSE | HAD_CLOSE | COPY_END) {
            return None;
        }
        let due = match self.head_past_copy_ends()? {
            HAD_PARSE => Due::ParseComplete,
            HAD_CLOSE => Due::CloseComplete,
            _ => return None,
        };
        self.pop();
        self.marks.pop();
        self.outcomes.push_back(Outcome::Done);
        Some(due)
    }

    /// A client comes, or goes: nothing that was its is anybody's any more.
    pub fn meets(&mut self) {
        self.changed = false;
        self.ours_failed = false;
        self.outcomes.clear();
        self.barrier = false;
        self.suspicion.forget();
        self.pins = Pins::NONE;
    }

    /// A text of the client's has dropped statements, or made one, says its tag.
    pub fn tagged(&mut self, outcome: Outcome) {
        // Nobody has so many names; without a client's names nobody takes note of it.
        if self.outcomes.len() < OUTSTANDING_MAX {
            self.outcomes.push_back(outcome);
        }
    }

    /// The shape of the statement at the head has come: 0 = it has no rows, None = it cannot be told. In front of `received`.
    pub fn described(&mut self, shape: Option<u64>) {
        // What cannot be told is taken for changed by who was told something.
        let known = shape.or((self.head() == Some(OUR_DESCRIBE)).then_some(u64::MAX));
        if let (Some(Mark::Named(id, _)), Some(shape)) = (self.marks.front(), known) {
            self.shelf.describe(*id, shape);
        }
        if self.head() == Some(NAMED_DESCRIBE) {
            self.outcomes.push_back(shape.map_or(Outcome::Done, Outcome::Shape));
        }
    }

    /// The tag of a command that has changed something in a schema has come.
    #[cold]
    pub(super) fn altered_by(&mut self, tag: &[u8]) {
        self.altered = true;
        if is_ddl(tag) {
            self.schema_has_changed();
        }
    }

    /// A change of the schema was seen: what is prepared from now on is not what was prepared before.
    #[cold]
    pub fn schema_has_changed(&mut self) {
        self.schema_changed = true;
        self.schema = self.schema.wrapping_add(1);
    }

    /// A Describe of our own is at work.
    pub fn awaits_shape(&self) -> bool {
        self.expected.contains(&OUR_DESCRIBE)
    }

    /// A simple query of ours has not been answered yet.
    pub fn has_our_query(&self) -> bool {
        self.expected.iter().any(|&kind| is_our_query(kind))
    }

    /// The server answers a query of ours that makes its session fit.
    pub fn is_fitting(&self) -> bool {
        self.head() == Some(OUR_QUERY)
    }

    /// The client's BEGIN is on its way.
    pub fn has_begun(&self) -> bool {
        self.expected.contains(&OUR_BEGIN)
    }

    /// The server answers a client's BEGIN that was answered before.
    pub fn is_beginning(&self) -> bool {
        self.head() == Some(OUR_BEGIN)
    }

    /// Nothing of a client's is outstanding.
    pub fn is_quiet_but_for_ours(&self) -> bool {
        !self.unsynced && !self.copying && self.extra == 0 && self.expected.iter().all(|&kind| is_ours(kind))
    }

    /// Since the last Sync statements were prepared and described at most, outside a transaction: a Sync would end nothing that somebody needs.
    pub fn has_only_prepared(&self) -> bool {
        self.unsynced && !self.bound && !self.skipping && !self.copying && self.status == Status::Idle && !self.has_begun()
    }

    /// A query of our own failed that goes in front of a client's messages, whether any have been sent yet or not.
    pub fn ours_failed_in_front(&self) -> bool {
        self.ours_failed
    }

    /// A message about a statement with a name of ours goes to the server.
    pub fn sent_named(&mut self, kind: u8, id: u64) {
        if self.skipping {
            return;
        }
        match kind {
            NAMED_PARSE | OUR_PREPARE => self.shelf.sent(id, self.batch),
            _ => {}
        }
        self.marks.push(Mark::Named(id, self.batch));
        self.sent(kind);
    }

    /// The last of the messages that give the server a statement under a name of the client's goes there.
    pub fn sent_made(&mut self, kind: u8, name: &[u8]) {
        if !self.skipping {
            self.marks.push(Mark::Made(name.into(), self.batch));
        }
        self.sent(kind);
    }

    /// The server has been given that statement, or not.
    pub(super) fn was_made(&mut self, there: bool) {
        if let Some(Mark::Made(name, _)) = self.marks.pop()
            && !there
        {
            self.made.remove(&name);
        }
    }

    /// A message that stands in for a refused one goes to the server.
    pub fn sent_refused(&mut self, kind: u8, why: Refusal) {
        if !self.skipping {
            self.marks.push(Mark::Refusal(why));
        }
        self.sent(kind);
    }
}
