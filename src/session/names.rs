//! What one client's statement names stand for, as PostgreSQL's session would have it. A name is given when its Parse is sent, and taken back
//! when the server has skipped or refused that: changes that are not sure yet are kept with what was before them, and undone in reverse.
//!
//! Invariant: `pending` holds, oldest first, the changes whose outcome has not come. All of them belong to one batch of messages (up to a Sync),
//! since nobody may change names, or use them, while an earlier batch's changes are not sure (`Exchange::is_unsure`).

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;

use super::bounds::may_bound;
use super::exchange::{Dropped, Exchange, Outcome};
use super::made::{News, prepared};
use super::statements::{SCRATCH, Statement, Traits};

/// Bytes of names and texts that one client may have prepared.
pub const CLIENT_BYTES_MAX: usize = 64 << 20;

/// PostgreSQL tells names apart by so many bytes (NAMEDATALEN).
const NAME_MAX: usize = 63;

/// What a name is known by.
#[inline]
pub fn key(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_MAX)]
}

/// A statement of SQL's PREPARE.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// the PREPARE
    pub text: Arc<[u8]>,
    /// what the statement does each time
    pub traits: Traits,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Entry {
    pub statement: Arc<Statement>,
    /// of its rows, as the client was told when it asked
    pub shape: Option<u64>,
}

#[derive(Debug)]
struct Change {
    name: Box<[u8]>,
    /// what the name stood for before; None in a Describe, which changes nothing
    before: Option<Option<Entry>>,
    /// which statement it stands for from then on
    id: u64,
}

/// A name, and its PREPARE if that is kept.
type Preparing = (Box<[u8]>, Option<Arc<[u8]>>);

/// A client's statements.
#[derive(Debug, Default)]
pub struct Names {
    known: AHashMap<Box<[u8]>, Entry>,
    /// statements of SQL's PREPARE (see `made`)
    made: AHashMap<Box<[u8]>, Prepared>,
    pending: VecDeque<Change>,
    bytes: usize,
    /// some name has stood for a statement that may begin or end a transaction
    bounds: bool,
    /// those that a text at work deallocates, in its order
    pub deallocating: VecDeque<Box<[u8]>>,
    /// those that it prepares, each with its PREPARE if that is kept
    pub preparing: VecDeque<Preparing>,
    /// those that have been prepared at the server at hand, of which it has not told yet
    fresh: AHashMap<Box<[u8]>, Option<Prepared>>,
    /// the one that the unnamed statement deallocates each time
    pub unnamed_drops: Option<Box<[u8]>>,
}

impl Names {
    /// What `name` stands for.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.known.get(key(name))
    }

    /// What SQL's PREPARE has made of `name`.
    pub fn made(&self, name: &[u8]) -> Option<&Prepared> {
        self.made.get(key(name))
    }

    /// The same, and what has been prepared since; None also if that is not kept.
    pub fn prepared(&self, name: &[u8]) -> Option<&Prepared> {
        let name = key(name);
        self.fresh.get(name).map_or_else(|| self.made.get(name), Option::as_ref)
    }

    /// It has been prepared at the server at hand, and no other session of the client's knows of it yet.
    pub fn is_fresh(&self, name: &[u8]) -> bool {
        let name = key(name);
        let text = |known: Option<&Prepared>| known.map(|known| known.text.clone());
        self.fresh.get(name).is_some_and(|known| known.is_none() || text(known.as_ref()) != text(self.made.get(name)))
    }

    /// What a session on another shard has of them.
    pub fn carried(&self) -> Option<Names> {
        (!self.made.is_empty()).then(|| Names { made: self.made.clone(), bytes: self.made_bytes(), ..Names::default() })
    }

    fn made_bytes(&self) -> usize {
        self.made.iter().map(|(name, made)| name.len() + made.text.len()).sum()
    }

    /// Something of this name is there.
    pub fn exists(&self, name: &[u8]) -> bool {
        let name = key(name);
        self.known.contains_key(name) || self.made.contains_key(name) || self.fresh.contains_key(name)
    }

    /// A Close goes to the server, of what SQL may have made.
    pub fn closes(&mut self, name: &[u8]) {
        // If that is skipped, the server tells of it again.
        self.fresh.remove(key(name));
        self.unmake(key(name));
    }

    /// The names of all that SQL's PREPARE has made.
    pub fn all_made(&self) -> impl Iterator<Item = &[u8]> {
        self.made.keys().map(|name| &**name)
    }

    fn learn(&mut self, News { name, copy, text }: News) {
        let before = match text {
            // A copy is gone, and so is what it was made of.
            None if copy => return self.forget(&name),
            None => return self.unmake(&name),
            Some(text) if self.has_room(&name, text.len()) => {
                self.bytes += name.len() + text.len();
                self.made.insert(name.clone(), prepared(text))
            }
            Some(_) => None,
        };
        self.bytes -= before.map_or(0, |before| name.len() + before.text.len());
    }

    fn unmake(&mut self, name: &[u8]) {
        self.bytes -= self.made.remove(name).map_or(0, |made| name.len() + made.text.len());
    }

    /// The name that stands for statement `id`.
    pub fn of(&self, id: u64) -> Option<&[u8]> {
        if id == SCRATCH {
            return self.unnamed_drops.as_deref().or(self.deallocating.front().map(|name| &**name));
        }
        self.known.iter().find(|(_, entry)| entry.statement.id == id).map(|(name, _)| &**name)
    }

    /// Some name may stand for a statement that begins or ends a transaction.
    pub fn has_bounds(&self) -> bool {
        self.bounds
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Bytes that they take, texts that are shared included.
    pub fn memory(&self) -> usize {
        self.bytes
    }

    /// There is room for one more.
    pub fn has_room(&self, name: &[u8], rest: usize) -> bool {
        self.bytes + name.len() + rest <= CLIENT_BYTES_MAX
    }

    /// A Parse of `name` was sent, or is answered by us.
    pub fn parse(&mut self, name: &[u8], statement: Arc<Statement>) {
        let id = statement.id;
        let before = self.put(name, Some(Entry { statement, shape: None }));
        self.pending.push_back(Change { name: name.into(), before: Some(before), id });
    }

    /// A Parse of `name` was answered by us without a server.
    pub fn prepare(&mut self, name: &[u8], statement: Arc<Statement>) {
        self.put(name, Some(Entry { statement, shape: None }));
    }

    /// A Close of `name` is answered by us in its turn.
    pub fn close(&mut self, name: &[u8]) {
        let before = self.put(name, None);
        self.pending.push_back(Change { name: name.into(), before: Some(before), id: 0 });
    }

    /// A Describe of `name` was sent.
    pub fn describe(&mut self, name: &[u8]) {
        let id = self.get(name).map_or(0, |entry| entry.statement.id);
        self.pending.push_back(Change { name: name.into(), before: None, id });
    }

    /// The name stands for nothing any more, at once.
    pub fn forget(&mut self, name: &[u8]) {
        self.put(name, None);
    }

    /// Takes note of what has become of the changes.
    #[inline]
    pub fn settle(&mut self, link: &mut Exchange) {
        if !link.outcomes.is_empty() || link.made.told {
            self.settle_all(link);
        }
        if !link.barrier {
            // That text has come to nothing, or was never carried out.
            self.deallocating.clear();
            self.preparing.clear();
        }
    }

    #[cold]
    fn settle_all(&mut self, link: &mut Exchange) {
        let mut undone = Vec::new();
        while let Some(outcome) = link.outcomes.pop_front() {
            if let Outcome::Dropped(dropped) = outcome {
                self.undo(&mut undone);
                self.drop_some(dropped, link);
                continue;
            }
            if outcome == Outcome::Prepared {
                self.fresh.extend(self.preparing.pop_front().map(|(name, text)| (key(&name).into(), text.map(prepared))));
                continue;
            }
            let Some(change) = self.pending.pop_front() else { break };
            match outcome {
                Outcome::Undone => undone.push(change),
                Outcome::Shape(shape) => {
                    // It may stand for another by now.
                    if let Some(entry) = self.known.get_mut(key(&change.name)).filter(|entry| entry.statement.id == change.id) {
                        entry.shape = Some(shape);
                    }
                }
                Outcome::Done | Outcome::Dropped(_) | Outcome::Prepared => {}
            }
        }
        self.undo(&mut undone);
        for news in link.made.news.drain(..) {
            self.learn(news);
        }
        if std::mem::take(&mut link.made.told) {
            self.fresh.retain(|name, _| link.made.holds(name));
        }
    }

    fn undo(&mut self, undone: &mut Vec<Change>) {
        for change in undone.drain(..).rev() {
            if let Some(before) = change.before {
                self.put(&change.name, before);
            }
        }
    }

    fn drop_some(&mut self, dropped: Dropped, link: &mut Exchange) {
        match dropped {
            Dropped::One => {
                if let Some(name) = self.deallocating.pop_front() {
                    self.fresh.remove(key(&name));
                    self.unmake(key(&name));
                    if !link.made.told {
                        // What the server has told since is so.
                        link.made.remove(&name);
                    }
                    self.forget(&name);
                }
            }
            Dropped::All => {
                // What was asked for behind that text is not meant by it.
                let all: Vec<Box<[u8]>> =
                    self.known.keys().filter(|name| !self.pending.iter().any(|change| *key(&change.name) == ***name)).cloned().collect();
                all.iter().for_each(|name| self.forget(name));
                self.fresh.clear();
                self.bytes -= self.made.drain().map(|(name, made)| name.len() + made.text.len()).sum::<usize>();
            }
        }
    }

    /// The server goes back, and nothing is outstanding on it.
    pub fn detached(&mut self, link: &mut Exchange) {
        self.settle(link);
        self.pending.clear();
        self.deallocating.clear();
        self.preparing.clear();
        self.fresh.clear();
    }

    fn put(&mut self, name: &[u8], entry: Option<Entry>) -> Option<Entry> {
        let name = key(name);
        let size = |entry: &Entry| name.len() + entry.statement.memory();
        self.bytes += entry.as_ref().map_or(0, size);
        self.bounds |= entry.as_ref().is_some_and(|entry| may_bound(&entry.statement.rest));
        let before = match entry {
            Some(entry) => self.known.insert(name.into(), entry),
            None => self.known.remove(name),
        };
        self.bytes -= before.as_ref().map_or(0, size);
        before
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
