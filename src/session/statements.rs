//! The texts that clients prepare, each once: `Statement` is what a Parse asks for without its name, `Library` all of them in the process,
//! `Front` what one core has seen of it. A hit in the front locks and allocates nothing; the library is asked when a text is new to a core.
//!
//! Two clients share a statement when text, parameter types and all that parse analysis reads besides are the same: PostgreSQL folds literals
//! when it parses (`'2024-01-01 00:00'::timestamptz` under the first client's TimeZone). Texts are compared, never hashes alone.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use ahash::{AHashMap, AHasher};

use crate::sql::may::May;

/// How statements of ours are called on servers; as PgDog's.
pub const PREFIX: &[u8] = b"__pgdog_";

/// The statement that stands for the one of a DEALLOCATE: nothing, prepared for that purpose.
pub const SCRATCH: u64 = 0;

/// Bytes of texts that a core's front keeps; when there are more it begins anew (whatever a client has prepared stays with that client).
const FRONT_BYTES_MAX: usize = 8 << 20;
/// Bytes of texts that the library keeps.
const LIBRARY_BYTES_MAX: usize = 64 << 20;
/// Parts of the library that are locked one by one.
const SHELVES: usize = 16;
/// What an entry costs besides its text, about.
const ENTRY_BYTES: usize = 200;

/// What parse analysis reads besides the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folds {
    /// of the session's parameters those that matter, see `parameters::Profile::folds`
    pub parameters: Arc<str>,
    /// counts the changes of the schema that were seen
    pub schema: u64,
}

/// A core takes it only for a text that it has never seen, for a look into a table, and the library has many of them.
#[expect(clippy::disallowed_types, reason = "a text that is new to a core is looked for where all cores can find it")]
type Mutex<T> = std::sync::Mutex<T>;

/// Which parameters a text brings back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resets {
    #[default]
    Nothing,
    /// those that it names
    Named,
    /// all but for whom the session speaks (GUC_NO_RESET_ALL in guc_tables.c)
    All,
    Everything,
}

/// What a text does to the session each time it is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    pub may: May,
    /// the parameters it sets or resets, as far as the text shows their names
    pub sets: Vec<Box<[u8]>>,
    /// what it brings back to what it was at the session's start
    pub resets: Resets,
    /// the same of several statements: by name
    pub back: Vec<Box<[u8]>>,
    /// it sets a parameter for the rest of the transaction
    pub local: bool,
    /// names of parameters that it sets may be among its values
    pub values: bool,
    /// the channel of an UNLISTEN; empty: all
    pub unlistens: Option<Box<[u8]>>,
}

/// What leaves nothing in the session.
pub const NO_TRAITS: &Traits =
    &Traits { may: May::NOTHING, sets: Vec::new(), resets: Resets::Nothing, back: Vec::new(), local: false, values: false, unlistens: None };

impl Traits {
    /// The same as [`NO_TRAITS`].
    #[inline]
    pub fn is_nothing(&self) -> bool {
        self.may.is_nothing() && self.is_plain() && !self.values && self.unlistens.is_none()
    }

    /// It leaves nothing in the session.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.may.without(May::NOW.with(May::BEGINS)).is_nothing()
            && self.sets.is_empty()
            && !self.local
            && self.resets == Resets::Nothing
            && self.back.is_empty()
    }
}

/// A statement that nobody shares, where there is no library.
pub fn alone(rest: &[u8], traits: Traits) -> Arc<Statement> {
    Library::new(0, 0).private(rest, traits)
}

/// What clients prepare.
#[derive(Debug)]
pub struct Statement {
    pub id: u64,
    /// on servers
    pub name: Box<[u8]>,
    /// a Parse's body behind the name: text, zero byte, parameter types
    pub rest: Box<[u8]>,
    pub traits: Traits,
    folds: Folds,
    /// fronts that know it
    fronts: AtomicUsize,
}

/// One statement of the library, for who looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub text: String,
    /// names of clients that stand for it
    pub uses: usize,
    pub bytes: usize,
}

/// How a statement is called on servers.
pub fn name_of(id: u64) -> Vec<u8> {
    [PREFIX, id.to_string().as_bytes()].concat()
}

/// The number of a statement of ours that a message names.
pub fn id_in(message: &[u8]) -> Option<u64> {
    let at = message.windows(PREFIX.len()).position(|window| window == PREFIX)? + PREFIX.len();
    let digits = message[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&message[at..at + digits]).ok()?.parse().ok()
}

impl Statement {
    fn new(id: u64, rest: &[u8], folds: Folds, traits: Traits) -> Arc<Statement> {
        Arc::new(Statement { id, name: name_of(id).into(), rest: rest.into(), traits, folds, fronts: AtomicUsize::new(0) })
    }

    /// Its text.
    pub fn text(&self) -> &[u8] {
        let end = self.rest.iter().position(|&byte| byte == 0).unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    /// How many changes of the schema had been seen when it was new.
    pub fn schema(&self) -> u64 {
        self.folds.schema
    }

    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        self.rest.len() + ENTRY_BYTES
    }

    /// How many hold it, but for the library and the fronts.
    fn uses(statement: &Arc<Statement>) -> usize {
        // Counted one after the other while others come and go: never below 0, and right as soon as nothing moves.
        Arc::strong_count(statement).saturating_sub(1 + statement.fronts.load(Ordering::Relaxed))
    }

    fn is(&self, rest: &[u8], folds: &Folds) -> bool {
        *self.rest == *rest && self.folds == *folds
    }
}

#[derive(Debug, Default)]
struct Part {
    known: AHashMap<u64, Vec<Arc<Statement>>>,
    bytes: usize,
    /// those that nobody uses are looked for when there are more bytes than this
    sweep_at: usize,
}

/// All statements that clients of this process share.
#[derive(Debug)]
pub struct Library {
    parts: [Mutex<Part>; SHELVES],
    next: AtomicU64,
    /// what nobody outside knows, so that nobody can make texts of one hash
    seed: u64,
    /// statements and their bytes
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// how often somebody has had it swept
    sweeps: AtomicUsize,
    bytes_max: usize,
}

impl Default for Library {
    fn default() -> Library {
        Library::seeded(0)
    }
}

impl Library {
    /// The one of a process; `seed` comes by chance.
    pub fn seeded(seed: u64) -> Library {
        Library::new(LIBRARY_BYTES_MAX, seed)
    }

    /// One that keeps so many bytes of texts.
    pub fn new(bytes_max: usize, seed: u64) -> Library {
        let (next, [count, bytes, sweeps]) = (AtomicU64::new(1), [0; 3].map(AtomicUsize::new));
        Library { parts: Default::default(), next, seed, count, bytes, sweeps, bytes_max }
    }

    /// Statements that are shared, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.count.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// A statement of one client alone.
    pub fn private(&self, rest: &[u8], traits: Traits) -> Arc<Statement> {
        Statement::new(self.next.fetch_add(1, Ordering::Relaxed), rest, Folds::default(), traits)
    }

    /// Up to `most` of them.
    pub fn list(&self, most: usize) -> Vec<Listed> {
        let mut list: Vec<Listed> = Vec::new();
        for part in &self.parts {
            let part = lock(part);
            for statement in part.known.values().flatten().take(most - list.len()) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (name, text) = (text(&statement.name), text(statement.text()));
                list.push(Listed { name, text, uses: Statement::uses(statement), bytes: statement.memory() });
            }
        }
        list
    }

    /// Forgets what nobody uses; how many that were.
    pub fn sweep(&self) -> usize {
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        self.parts.iter().map(|part| self.sweep_part(&mut lock(part), |statement| Statement::uses(statement) > 0)).sum()
    }

    fn hash(&self, rest: &[u8], folds: &Folds) -> u64 {
        let mut hasher = AHasher::default();
        (self.seed, rest, &*folds.parameters, folds.schema).hash(&mut hasher);
        hasher.finish()
    }

    fn find(&self, hash: u64, rest: &[u8], folds: &Folds, traits: impl FnOnce() -> Traits) -> Arc<Statement> {
        let mut part = lock(&self.parts[hash as usize % SHELVES]);
        if let Some(known) = part.known.get(&hash).and_then(|known| known.iter().find(|known| known.is(rest, folds))) {
            return known.clone();
        }
        let statement = Statement::new(self.next.fetch_add(1, Ordering::Relaxed), rest, folds.clone(), traits());
        let most = self.bytes_max / SHELVES;
        if part.bytes + statement.memory() > most && part.bytes >= part.sweep_at {
            self.sweep_part(&mut part, |statement| Arc::strong_count(statement) > 1);
            // Not again before as much has come as there was to look at.
            part.sweep_at = most.min(part.bytes + most / 4);
        }
        if part.bytes + statement.memory() <= most {
            part.bytes += statement.memory();
            self.bytes.fetch_add(statement.memory(), Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
            part.known.entry(hash).or_default().push(statement.clone());
        }
        statement
    }

    fn sweep_part(&self, part: &mut Part, is_used: fn(&Arc<Statement>) -> bool) -> usize {
        let (mut gone, mut bytes) = (0, 0);
        part.known.retain(|_, list| {
            list.retain(|statement| {
                let used = is_used(statement);
                (gone, bytes) = if used { (gone, bytes) } else { (gone + 1, bytes + statement.memory()) };
                used
            });
            !list.is_empty()
        });
        part.bytes -= bytes;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.count.fetch_sub(gone, Ordering::Relaxed);
        gone
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    // Nothing is changed half way: what a panicking thread left is whole.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one core has seen of the library.
#[derive(Debug)]
pub struct Front {
    library: Arc<Library>,
    known: AHashMap<u64, Arc<Statement>>,
    bytes: usize,
    /// as the library counted them when this one began
    sweeps: usize,
}

impl Front {
    /// An empty one.
    pub fn new(library: Arc<Library>) -> Front {
        Front { library, known: AHashMap::default(), bytes: 0, sweeps: 0 }
    }

    /// The library behind it.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Forgets what it has seen, so that the library can forget what nobody uses.
    pub fn clear(&mut self) {
        self.known.drain().for_each(|(_, statement)| _ = statement.fronts.fetch_sub(1, Ordering::Relaxed));
        self.bytes = 0;
    }

    /// The statement of a Parse whose body behind the name is `rest`; `traits` are asked for when it is new.
    pub fn find(&mut self, rest: &[u8], folds: &Folds, traits: impl FnOnce() -> Traits) -> Arc<Statement> {
        let sweeps = self.library.sweeps.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.sweeps, sweeps) != sweeps {
            self.clear();
        }
        let hash = self.library.hash(rest, folds);
        if let Some(known) = self.known.get(&hash).filter(|known| known.is(rest, folds)) {
            return known.clone();
        }
        let statement = self.library.find(hash, rest, folds, traits);
        if self.bytes > FRONT_BYTES_MAX {
            self.clear();
        }
        self.bytes += statement.memory();
        statement.fronts.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = self.known.insert(hash, statement.clone()) {
            before.fronts.fetch_sub(1, Ordering::Relaxed);
        }
        statement
    }
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
