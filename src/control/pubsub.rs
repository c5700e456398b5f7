//! Channels that clients listen to while they share servers: one listening connection for each server, database and user of it (and each encoding
//! that clients read in), whoever of pg_dog's own databases and users leads there. Here stands who listens to what, and what is still to be said to
//! servers; the connections are `listening`'s, the clients the data cores'.
//!
//! Invariants: a client is answered when the server has confirmed its LISTEN, and a notification that comes behind that goes to the client's core
//! behind that answer. A topic belongs to one hub, by the server that its pool has now: channels of two databases, or of two servers, never meet.
//! Of each client there is at most one request here; a core has at most `LETTERS_MAX` letters unread before the connection is no longer read.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
#[allow(clippy::disallowed_types, reason = "see `Topics`")]
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use crate::admin::console::Scope;
use crate::admin::report::ListenerRow;
use crate::admin::show::moment;
use crate::mail::{Airmail, Asker, ListenTo, Mail, Notification, Shared, SharedPool, Topic};
use crate::session::listener::Ask;

use super::cores::Cores;
use super::listening::listen_for;
use super::metrics::Metrics;

/// Letters with notifications that a core has not read yet; each is what one read from a socket had for it.
pub(super) const LETTERS_MAX: usize = 64;
/// A LISTEN is said again on another connection if the first is lost before it was answered; so often in all.
const TRIES: u8 = 2;

/// What leads to one connection: host, port, database and user as the server knows them, encoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    host: String,
    port: u16,
    database: String,
    user: String,
    pub encoding: Option<String>,
}

impl Key {
    fn of(pool: &SharedPool, encoding: Option<String>) -> Key {
        let spec = &pool.spec;
        Key { host: spec.host.clone(), port: spec.port, database: spec.server_database.clone(), user: spec.server_user.clone(), encoding }
    }
}

/// A topic with who listens to it.
pub(super) struct Entry {
    pub topic: Arc<Topic>,
    key: RefCell<Key>,
    /// clients that listen, by core
    cores: RefCell<Vec<u32>>,
    /// requests that are not answered yet
    asked: Cell<u32>,
}

impl Entry {
    fn is_heard(&self) -> bool {
        self.topic.listeners.load(Ordering::Relaxed) > 0
    }

    fn count(&self, core: usize, more: bool) {
        if let Some(count) = self.cores.borrow_mut().get_mut(core) {
            let (listeners, one) = (&self.topic.listeners, if more { 1 } else { u32::from(*count > 0) });
            if more {
                *count += one;
                listeners.fetch_add(u64::from(one), Ordering::Relaxed);
            } else {
                *count -= one;
                listeners.fetch_sub(u64::from(one), Ordering::Relaxed);
            }
        }
    }
}

/// What is to be said to a server.
pub(super) enum Job {
    /// for a client
    Listen {
        entry: Rc<Entry>,
        asker: Asker,
        tries: u8,
    },
    /// for clients that listen already; since then nobody has listened for them, milliseconds since 1970
    Again {
        entry: Rc<Entry>,
        since: u64,
    },
    Unlisten(Box<[u8]>),
    Alive,
}

impl Job {
    /// It is said for clients that listen already.
    pub fn is_again(&self) -> bool {
        matches!(self, Job::Again { .. })
    }

    /// As it is said.
    pub fn ask(&self) -> Ask {
        match self {
            Job::Listen { entry, .. } | Job::Again { entry, .. } => Ask::Listen(entry.topic.channel.clone()),
            Job::Unlisten(channel) => Ask::Unlisten(channel.clone()),
            Job::Alive => Ask::Alive,
        }
    }
}

/// By the channel's name.
type Channels = HashMap<Box<[u8]>, Vec<Rc<Entry>>>;

/// One listening connection, or the wish for it.
pub(super) struct Hub {
    pub key: Key,
    /// any of the pools that lead there, as it is configured now
    pub pool: RefCell<Arc<SharedPool>>,
    /// topics by channel; those of several pools may share one
    channels: RefCell<Channels>,
    jobs: RefCell<VecDeque<Job>>,
    /// nobody listens any more: the connection closes
    over: Cell<bool>,
    /// the operator wants another connection
    pub replace: Cell<bool>,
    /// what of each core's letters is unread
    tickets: Vec<Arc<()>>,
    waker: Cell<Option<Waker>>,
    pub hubs: Hubs,
}

impl Hub {
    /// Returns when there may be something to do.
    pub async fn called(&self) {
        poll_fn(|context| {
            if self.over.get() || self.replace.get() || !self.jobs.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn call(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn say(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.call();
    }

    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// A client waits for an answer.
    pub fn is_asked(&self) -> bool {
        self.jobs.borrow().iter().any(|job| matches!(job, Job::Listen { .. }))
    }

    /// The next thing to be said.
    pub fn next_job(&self) -> Option<Job> {
        self.jobs.borrow_mut().pop_front()
    }

    /// A fresh connection in the place of one that was lost: what is listened to already comes first.
    pub fn connected(&self, lost: Option<u64>) {
        let mut jobs = self.jobs.borrow_mut();
        jobs.retain(|job| matches!(job, Job::Listen { .. } | Job::Again { .. }));
        let Some(since) = lost else { return };
        // What was not listened to again before that one was lost too stands there already, since longer ago.
        let known: HashSet<u64> =
            jobs.iter().filter_map(|job| if let Job::Again { entry, .. } = job { Some(entry.topic.id) } else { None }).collect();
        for entry in self.channels.borrow().values().flatten().filter(|entry| entry.is_heard() && !known.contains(&entry.topic.id)) {
            jobs.push_front(Job::Again { entry: entry.clone(), since });
        }
    }

    /// The connection was lost before these were answered.
    pub fn unanswered(&self, jobs: impl DoubleEndedIterator<Item = Job>, message: &str) {
        for job in jobs.rev() {
            match job {
                Job::Listen { entry, asker, tries } if tries < TRIES => {
                    self.jobs.borrow_mut().push_front(Job::Listen { entry, asker, tries: tries + 1 });
                }
                Job::Listen { entry, asker, .. } => self.refuse(&entry, asker, "08006", message),
                again @ Job::Again { .. } => self.jobs.borrow_mut().push_front(again),
                _ => {}
            }
        }
    }

    /// There is no connection: clients that wait are told why.
    pub fn refuse_all(&self, code: &str, message: &str) {
        let jobs = std::mem::take(&mut *self.jobs.borrow_mut());
        for job in jobs {
            match job {
                Job::Listen { entry, asker, .. } => self.refuse(&entry, asker, code, message),
                other => self.jobs.borrow_mut().push_back(other),
            }
        }
    }

    /// A client does not listen, and is told why.
    pub fn refuse(&self, entry: &Rc<Entry>, asker: Asker, code: &str, message: &str) {
        self.answer(asker, Err((code.to_string(), message.to_string())));
        entry.asked.set(entry.asked.get() - 1);
        self.hubs.drop_if_unused(entry);
    }

    /// The server has confirmed a client's LISTEN.
    pub fn confirm(&self, entry: Rc<Entry>, asker: Asker) {
        if *entry.key.borrow() != self.key {
            // The pool has moved to another server meanwhile: it is that one's word that counts.
            return self.hubs.say(entry, asker);
        }
        entry.asked.set(entry.asked.get() - 1);
        entry.count(asker.core, true);
        self.answer(asker, Ok(entry.topic.clone()));
    }

    fn answer(&self, asker: Asker, heard: Result<Arc<Topic>, (String, String)>) {
        let letter = Airmail::Listening { slot: asker.slot, generation: asker.generation, heard };
        self.hubs.cores.clone().post(asker.core, Mail::Air(letter));
    }

    /// The last topic of a channel takes the channel with it, the last channel the connection.
    fn detach(&self, entry: &Rc<Entry>) {
        let mut channels = self.channels.borrow_mut();
        let channel = &entry.topic.channel;
        let Some(entries) = channels.get_mut(channel) else { return };
        entries.retain(|other| !Rc::ptr_eq(other, entry));
        if entries.is_empty() {
            channels.remove(channel);
            self.jobs.borrow_mut().push_back(Job::Unlisten(channel.clone()));
            self.over.set(channels.is_empty());
            drop(channels);
            self.call();
        }
    }

    fn attach(&self, entry: &Rc<Entry>) {
        self.channels.borrow_mut().entry(entry.topic.channel.clone()).or_default().push(entry.clone());
    }

    /// Whether the cores keep up with what comes.
    pub fn keeps_up(&self) -> bool {
        self.tickets.iter().all(|ticket| Arc::strong_count(ticket) <= LETTERS_MAX)
    }

    /// Adds a notification to what goes to the cores.
    pub fn sort(&self, channel: &[u8], frame: &[u8], bags: &mut Bags) {
        let channels = self.channels.borrow();
        let Some(entries) = channels.get(channel) else { return };
        let mut shared: Option<Arc<[u8]>> = None;
        for entry in entries.iter().filter(|entry| entry.is_heard()) {
            entry.topic.received.fetch_add(1, Ordering::Relaxed);
            for (core, _) in entry.cores.borrow().iter().enumerate().filter(|(_, clients)| **clients > 0) {
                let frame = shared.get_or_insert_with(|| frame.into()).clone();
                bags.0.entry(core).or_default().push((entry.topic.id, frame));
            }
        }
    }

    /// Sends what was sorted.
    pub fn send(&self, bags: &mut Bags) {
        for (core, notifications) in std::mem::take(&mut bags.0) {
            let Some(ticket) = self.tickets.get(core).cloned() else { continue };
            self.hubs.cores.clone().post(core, Mail::Air(Airmail::Notified { notifications, ticket }));
        }
    }

    /// Something is still to be listened to again.
    pub fn has_again(&self) -> bool {
        self.jobs.borrow().iter().any(Job::is_again)
    }

    /// These are listened to again; their clients hear since when they were not.
    pub fn tell_gap(&self, again: Vec<(Rc<Entry>, u64)>, now: u64) {
        let mut gaps: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        again.iter().for_each(|(entry, since)| gaps.entry(*since).or_default().push(entry.topic.id));
        for (since, topics) in gaps {
            let (topics, since, until): (Arc<[u64]>, Arc<str>, Arc<str>) = (topics.into(), moment(since).into(), moment(now).into());
            self.hubs.cores.clone().post_all(|| Mail::Air(Airmail::Gap { topics: topics.clone(), since: since.clone(), until: until.clone() }));
        }
    }
}

/// Notifications on their way to the cores.
#[derive(Default)]
pub(super) struct Bags(BTreeMap<usize, Vec<Notification>>);

/// All topics, for those who show them: they have no part in what happens here.
#[derive(Default)]
#[allow(clippy::disallowed_types, reason = "held to add, remove or copy, by tasks of the control core alone")]
pub struct Topics(Mutex<BTreeMap<u64, Arc<Topic>>>);

impl Topics {
    fn add(&self, topic: Arc<Topic>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.id, topic);
    }

    fn remove(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Who listens to what.
    pub fn rows(&self) -> Vec<ListenerRow> {
        let row = |topic: &Arc<Topic>| ListenerRow {
            database: topic.database.clone(),
            user: topic.user.clone(),
            channel: String::from_utf8_lossy(&topic.channel).into_owned(),
            listeners: topic.listeners.load(Ordering::Relaxed),
            received: topic.received.load(Ordering::Relaxed),
            dropped: topic.dropped.load(Ordering::Relaxed),
        };
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<ListenerRow> = topics.values().map(row).collect();
        drop(topics);
        rows.sort();
        rows
    }
}

/// Who a topic is for: database and user as clients say them, encoding, channel.
type Name = (String, String, Option<String>, Box<[u8]>);

#[derive(Default)]
struct State {
    hubs: HashMap<Key, Rc<Hub>>,
    topics: HashMap<u64, Rc<Entry>>,
    names: HashMap<Name, u64>,
    last: u64,
}

/// All hubs.
#[derive(Clone)]
pub struct Hubs {
    pub(super) shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    cores: Cores,
    state: Rc<RefCell<State>>,
}

impl Hubs {
    /// Nobody listens yet.
    pub fn new(shared: Arc<Shared>, metrics: Arc<Metrics>, cores: Cores) -> Hubs {
        Hubs { shared, metrics, cores, state: Rc::default() }
    }

    /// A client wants to listen.
    pub fn listen(&self, listen: ListenTo) {
        let ListenTo { asker, pool, channel, encoding } = listen;
        let (database, user) = (pool.spec.database.clone(), pool.spec.user.clone());
        // A reload may have given the client's name another server that its core has not taken notice of yet.
        let pool = self.shared.published.load().find(&database, &user).cloned().unwrap_or(pool);
        let name = (database, user, encoding, channel);
        let known = self.state.borrow().names.get(&name).and_then(|id| self.state.borrow().topics.get(id).cloned());
        let entry = known.unwrap_or_else(|| self.fresh(name, &pool));
        entry.asked.set(entry.asked.get() + 1);
        self.say(entry, asker);
    }

    fn say(&self, entry: Rc<Entry>, asker: Asker) {
        if let Some(hub) = self.hub_of(&entry) {
            hub.say(Job::Listen { entry, asker, tries: 1 });
        }
    }

    fn hub_of(&self, entry: &Entry) -> Option<Rc<Hub>> {
        self.state.borrow().hubs.get(&*entry.key.borrow()).cloned()
    }

    fn fresh(&self, name: Name, pool: &Arc<SharedPool>) -> Rc<Entry> {
        let key = Key::of(pool, name.2.clone());
        let hub = self.hub(&key, pool);
        let mut state = self.state.borrow_mut();
        state.last += 1;
        let topic = Topic { id: state.last, database: name.0.clone(), user: name.1.clone(), channel: name.3.clone(), ..Topic::default() };
        let cores = RefCell::new(vec![0; self.cores.count()]);
        let entry = Rc::new(Entry { topic: Arc::new(topic), key: RefCell::new(key), cores, asked: Cell::new(0) });
        hub.attach(&entry);
        self.metrics.topics.add(entry.topic.clone());
        state.names.insert(name, entry.topic.id);
        state.topics.insert(entry.topic.id, entry.clone());
        entry
    }

    /// The hub that leads there, as it is or fresh.
    fn hub(&self, key: &Key, pool: &Arc<SharedPool>) -> Rc<Hub> {
        let mut state = self.state.borrow_mut();
        if let Some(hub) = state.hubs.get(key).filter(|hub| !hub.is_over()) {
            *hub.pool.borrow_mut() = pool.clone();
            return hub.clone();
        }
        let hub = Rc::new(Hub {
            key: key.clone(),
            pool: RefCell::new(pool.clone()),
            channels: RefCell::default(),
            jobs: RefCell::default(),
            over: Cell::new(false),
            replace: Cell::new(false),
            tickets: (0..self.cores.count()).map(|_| Arc::default()).collect(),
            waker: Cell::new(None),
            hubs: self.clone(),
        });
        state.hubs.insert(key.clone(), hub.clone());
        glommio::spawn_local(listen_for(hub.clone())).detach();
        hub
    }

    /// The connection of a hub that nobody needs any more is closed.
    pub(super) fn ended(&self, hub: &Rc<Hub>) {
        let mut state = self.state.borrow_mut();
        if state.hubs.get(&hub.key).is_some_and(|known| Rc::ptr_eq(known, hub)) {
            state.hubs.remove(&hub.key);
        }
    }

    /// Of each of these topics, one client of a core listens no more.
    pub fn unlisten(&self, core: usize, topics: &[u64]) {
        for id in topics {
            let Some(entry) = self.state.borrow().topics.get(id).cloned() else { continue };
            entry.count(core, false);
            self.drop_if_unused(&entry);
        }
    }

    /// A topic goes that nobody listens to and nobody has asked for.
    fn drop_if_unused(&self, entry: &Rc<Entry>) {
        if entry.is_heard() || entry.asked.get() > 0 {
            return;
        }
        if let Some(hub) = self.hub_of(entry) {
            hub.detach(entry);
        }
        self.forget(entry);
    }

    fn forget(&self, entry: &Rc<Entry>) {
        self.metrics.topics.remove(entry.topic.id);
        let mut state = self.state.borrow_mut();
        state.topics.remove(&entry.topic.id);
        let (topic, encoding) = (&entry.topic, entry.key.borrow().encoding.clone());
        state.names.remove(&(topic.database.clone(), topic.user.clone(), encoding, topic.channel.clone()));
    }

    /// Another configuration is published: topics whose pool has another server now move there.
    pub fn published(&self, now: u64) {
        let published = self.shared.published.load_full();
        let entries: Vec<Rc<Entry>> = self.state.borrow().topics.values().cloned().collect();
        for entry in entries {
            let Some(pool) = published.find(&entry.topic.database, &entry.topic.user) else { continue };
            let before = entry.key.borrow().clone();
            let key = Key::of(pool, before.encoding.clone());
            // Also where the server stays the same: its password may be another.
            let hub = self.hub(&key, pool);
            if key == before {
                continue;
            }
            let old = self.hub_of(&entry);
            hub.attach(&entry);
            *entry.key.borrow_mut() = key;
            // Who waits for an answer waits for the new server's.
            let moved = old.map(|old| old.give_up(&entry)).unwrap_or_default();
            hub.jobs.borrow_mut().extend(moved);
            if entry.is_heard() {
                hub.say(Job::Again { entry: entry.clone(), since: now });
            }
        }
    }

    /// RECONNECT: the connections of these pools are made anew.
    pub fn replace(&self, scope: &Scope) {
        let state = self.state.borrow();
        for entry in state.topics.values().filter(|entry| scope.covers(&entry.topic.user, &entry.topic.database)) {
            if let Some(hub) = state.hubs.get(&*entry.key.borrow()) {
                hub.replace.set(true);
                hub.call();
            }
        }
    }
}

impl Hub {
    /// A topic moves to another hub; what it still waited for here comes along.
    fn give_up(&self, entry: &Rc<Entry>) -> Vec<Job> {
        let mut moved = Vec::new();
        let jobs = std::mem::take(&mut *self.jobs.borrow_mut());
        for job in jobs {
            match job {
                Job::Listen { entry: other, asker, tries } if Rc::ptr_eq(&other, entry) => moved.push(Job::Listen { entry: other, asker, tries }),
                Job::Again { entry: other, .. } if Rc::ptr_eq(&other, entry) => {}
                other => self.jobs.borrow_mut().push_back(other),
            }
        }
        self.detach(entry);
        moved
    }
}
