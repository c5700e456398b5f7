//! What another server has to be told to join a transaction that is open on one: how it began, its settings, its savepoints by name. Kept while the
//! transaction is on one shard only, so that a second one can be attached late.
//!
//! Invariant: said to a fresh session, the entries make it what the first one is, as far as settings and savepoints go; where that is not sure,
//! `replay` says why not, and the second shard is refused.

use crate::sql::cursors::{Act, Acts, acts};
use crate::sql::transaction::{Control, control};

/// Entries, and bytes of them, beyond which a transaction cannot be joined any more.
const ENTRIES_MAX: usize = 1000;
const BYTES_MAX: usize = 64 * 1024;
/// Cursors of one transaction.
pub const CURSORS_MAX: usize = 500;
/// Bytes of a name that PostgreSQL looks at.
const NAME_MAX: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// a savepoint, by its name as PostgreSQL reads it
    Save(Box<[u8]>),
    /// a text that sets parameters
    Say(Box<[u8]>),
    /// a cursor, of which those that join are told nothing
    Cursor { name: Box<[u8]>, shard: u16, holds: bool },
}

/// How the transaction at hand came to be as it is.
#[derive(Debug, Default)]
pub struct Journal {
    begin: Option<Box<[u8]>>,
    entries: Vec<Entry>,
    bytes: usize,
    /// why nobody can join any more
    lost: Option<&'static str>,
}

impl Journal {
    /// No transaction is open.
    pub fn clear(&mut self) {
        if self.begin.is_some() || !self.entries.is_empty() || self.lost.is_some() {
            *self = Journal::default();
        }
    }

    /// The transaction has begun so.
    pub fn begins(&mut self, text: &[u8]) {
        self.clear();
        self.begin = Some(text.into());
    }

    /// It has begun, and is known how.
    pub fn has_begun(&self) -> bool {
        self.begin.is_some()
    }

    /// A text goes to a server; `whole`: no values are bound to it.
    pub fn note(&mut self, text: &[u8], whole: bool) {
        match control(text) {
            Control::Begin if self.begin.is_none() => self.begins(text),
            Control::Commit { chain: true } | Control::Rollback { chain: true } => {
                self.entries.retain(|entry| matches!(entry, Entry::Cursor { holds: true, .. }));
                self.bytes = 0;
            }
            Control::Commit { .. } | Control::Rollback { .. } => self.clear(),
            Control::Savepoint(name) => self.push(Entry::Save(name.name().as_ref().into())),
            Control::Release(name) => self.release(&name.name()),
            Control::RollbackTo(name) => self.back_to(&name.name()),
            Control::Set | Control::Sets if whole => self.push(Entry::Say(text.into())),
            Control::Set | Control::Sets => self.lost = Some("parameters were set by a statement with bound values"),
            Control::Unclear => self.lost = Some("parameters were set among other statements of one query"),
            Control::Mixed => self.lost = Some("it was begun or ended among other statements of one query"),
            _ => {}
        }
    }

    fn push(&mut self, entry: Entry) {
        if let Entry::Save(bytes) | Entry::Say(bytes) = &entry {
            self.bytes += bytes.len();
        }
        if self.entries.len() >= ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.lost = Some("too many savepoints and settings were made in it");
            return;
        }
        self.entries.push(entry);
    }

    fn savepoint(&self, name: &[u8]) -> Option<usize> {
        self.entries.iter().rposition(|entry| matches!(entry, Entry::Save(known) if **known == *name))
    }

    fn release(&mut self, name: &[u8]) {
        let Some(at) = self.savepoint(name) else { return };
        let mut index = 0;
        self.entries.retain(|entry| {
            index += 1;
            index <= at || !matches!(entry, Entry::Save(_))
        });
    }

    fn back_to(&mut self, name: &[u8]) {
        if let Some(at) = self.savepoint(name) {
            self.entries.truncate(at + 1);
        }
    }

    /// It must not read on more than one shard: their snapshots are not one. Looks at the words of its BEGIN and of SET TRANSACTION.
    pub fn needs_one_snapshot(&self) -> bool {
        let strict = |text: &[u8]| {
            let text = text.to_ascii_lowercase();
            let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
            has(b"serializable") || has(b"repeatable")
        };
        let said = |entry: &Entry| matches!(entry, Entry::Say(text) if strict(text));
        self.begin.as_deref().is_some_and(strict) || self.entries.iter().any(said)
    }

    /// The texts by which a fresh session joins, in order; Err: why it cannot.
    pub fn replay(&self) -> Result<Vec<Vec<u8>>, &'static str> {
        let begin = self.begin.as_deref().ok_or("it was not seen how it began")?;
        if let Some(why) = self.lost {
            return Err(why);
        }
        let say = |entry: &Entry| match entry {
            Entry::Say(text) => Some(text.to_vec()),
            Entry::Save(name) => Some([&b"SAVEPOINT "[..], &quoted(name)].concat()),
            Entry::Cursor { .. } => None,
        };
        Ok(std::iter::once(begin.to_vec()).chain(self.entries.iter().filter_map(say)).collect())
    }
}

/// The cursors.
impl Journal {
    /// A text goes to this shard, the only one so far.
    pub fn note_cursors(&mut self, text: &[u8], shard: u16) {
        let acts = acts(text);
        if acts.beyond {
            self.lost = Some("it was not seen which cursors a text of several statements has opened");
        }
        self.opens(&acts, shard);
    }

    /// What a text opens and closes on a shard.
    pub fn opens(&mut self, acts: &Acts<'_>, shard: u16) {
        for act in &acts.list {
            match act {
                Act::Declares { .. } if self.open_cursors() >= CURSORS_MAX => self.lost = Some("too many cursors were opened in it"),
                Act::Declares { name, holds } => {
                    let name = known_by(&name.name()).into();
                    self.entries.push(Entry::Cursor { name, shard, holds: *holds });
                }
                Act::Closes(name) => self.close(&name.name()),
                Act::ClosesAll => self.close_all(),
                Act::Uses(_) => {}
            }
        }
    }

    /// A cursor is closed, whatever becomes of savepoints behind which it was opened.
    pub fn close(&mut self, closed: &[u8]) {
        self.entries.retain(|entry| !matches!(entry, Entry::Cursor { name, .. } if **name == *known_by(closed)));
    }

    /// And so are all.
    pub fn close_all(&mut self) {
        self.entries.retain(|entry| !matches!(entry, Entry::Cursor { .. }));
    }

    /// The shard of an open cursor.
    pub fn cursor(&self, wanted: &[u8]) -> Option<u16> {
        self.entries.iter().rev().find_map(|entry| match entry {
            Entry::Cursor { name, shard, .. } if **name == *known_by(wanted) => Some(*shard),
            _ => None,
        })
    }

    fn cursors(&self) -> impl Iterator<Item = (u16, bool)> {
        self.entries.iter().filter_map(|entry| if let Entry::Cursor { shard, holds, .. } = entry { Some((*shard, *holds)) } else { None })
    }

    /// How many are open.
    pub fn open_cursors(&self) -> usize {
        self.cursors().count()
    }

    /// Some are open on another shard.
    pub fn has_cursors_beside(&self, shard: u16) -> bool {
        self.cursors().any(|(at, _)| at != shard)
    }

    /// A cursor is to outlive the transaction.
    pub fn holds(&self) -> bool {
        self.cursors().any(|(_, holds)| holds)
    }
}

/// As much of a cursor's name as PostgreSQL knows it by.
fn known_by(name: &[u8]) -> &[u8] {
    name.get(..NAME_MAX).unwrap_or(name)
}

/// A name as an identifier that PostgreSQL reads as it is.
fn quoted(name: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for &byte in name {
        quoted.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
