//! Clients that listen to channels while they share servers: who listens to what on this core, and what they have not been given yet.
//!
//! The control core listens at the servers; its letters are read in slices, so that a storm of notifications holds up nobody. A notification goes
//! to a client when PostgreSQL itself would send it: not in a transaction, and never in the middle of a server's message. Until then, and while the
//! client's socket is full, it waits in the client's queue.
//!
//! Bounds: per client and channel `pub_sub_channel_size` notifications wait, on the whole core `QUEUED_MAX` bytes; beyond that a notification is
//! dropped for that client, counted, and the client is told once it reads again. What of the control core's letters may be unread is bounded there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::snapshot::PoolerMode;
use crate::io::Door;
use crate::io::links::Bytes;
use crate::mail::{Airmail, Asker, Desk, ListenTo, Topic, Word};
use crate::session::listener::truncated;
use crate::session::wishes::{Begins, Form, Wish, begins};
use crate::sql::look::{Statement, look};
use crate::wire::frame::{HEADER, client_header};
use crate::wire::server::{ErrorFields, notice};

use super::core::{Core, spare};
use super::peers::{NOBODY, Peer, ServerStage, Stage};

/// Bytes that wait for clients of this core; what several of them wait for counts for each.
const QUEUED_MAX: usize = 64 << 20;
/// What a queued notification takes besides its bytes.
const ENTRY: usize = 64;
/// Notifications, one for each client, that are handed out in one turn, and their bytes.
const SLICE: usize = 4096;
const SLICE_BYTES: usize = 1 << 20;
/// Bytes of its queue that a client is given in one turn.
const GIVE: usize = 64 * 1024;
/// Notices that wait for one client; of more gaps it hears when it reads.
const NOTICES_MAX: usize = 4;
/// A longer Query is no DISCARD ALL that anybody writes.
const TEXT_MAX: usize = 1024;
/// Channels that a notice names.
const NAMED: usize = 10;

/// A topic and the clients of this core that listen to it, by slot.
struct Audience {
    topic: Arc<Topic>,
    clients: Vec<u32>,
}

/// One channel of one client.
#[derive(Default)]
struct Subscribed {
    /// notifications in the client's queue
    queued: usize,
    /// notifications that it will never get
    lost: u64,
}

/// What a client is still to be given: words for it, and the topic of a notification.
struct Waiting {
    topic: Option<u64>,
    words: Arc<[u8]>,
}

/// One client that listens.
#[derive(Default)]
struct Hearer {
    topics: BTreeMap<u64, Subscribed>,
    /// their channels, once somebody has asked
    channels: Option<Arc<[Box<[u8]>]>>,
    queue: VecDeque<Waiting>,
    notices: usize,
    /// it stands in `PubSub::due`
    due: bool,
}

/// Everybody who listens on this core. Empty, and of no cost, where nobody does.
#[derive(Default)]
pub struct PubSub {
    topics: HashMap<u64, Audience>,
    /// by slot
    clients: HashMap<u32, Hearer>,
    /// clients whose LISTEN is not answered yet
    asking: HashMap<u32, Form>,
    letters: VecDeque<Airmail>,
    /// of the first letter, what is handed out already
    handed: usize,
    /// clients that may be given what waits for them
    due: Vec<u32>,
    queued_bytes: usize,
    /// the last look has got somewhere, and another would
    more: bool,
}

impl PubSub {
    /// There is something that the next turn can do.
    pub fn has_work(&self) -> bool {
        self.more
    }

    /// Clients that listen, and bytes that wait for them.
    pub fn memory(&self) -> (usize, usize) {
        (self.clients.len(), self.queued_bytes)
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A client's next message needs a server; `bytes` begin with it. Some: it is a LISTEN or UNLISTEN that needs none and is taken care of, and so
    /// many bytes of it are consumed; 0: more of it must come first.
    pub(super) fn take_listen(&mut self, client: u32, bytes: Bytes) -> Option<usize> {
        let listens = self.pubsub.clients.contains_key(&client);
        if !listens && self.published.snapshot.general.pub_sub_channel_size == 0 {
            return None;
        }
        let peer = self.peers[client as usize].client()?;
        if peer.client.mode() == PoolerMode::Session || peer.server != NOBODY || peer.client.has_begun() || !peer.client.at_boundary() {
            return None;
        }
        match begins(bytes.view(), |name| peer.client.text_of_name(name)) {
            Begins::Wish(wish, form, consumed) => {
                peer.client.was_answered();
                match wish {
                    Wish::Listen(channel) => self.listen(client, &channel, form),
                    Wish::Unlisten(channel) => self.unlisten(client, Some(&channel), form),
                    Wish::UnlistenAll => self.unlisten(client, None, form),
                }
                Some(consumed)
            }
            Begins::More => Some(0),
            Begins::Other => {
                if listens && discards_all(bytes.view()) {
                    self.silence(client);
                }
                None
            }
        }
    }

    /// A client's LISTEN waits for its answer: nothing else of it is read meanwhile.
    #[inline]
    pub(super) fn asks_to_listen(&self, client: u32) -> bool {
        !self.pubsub.asking.is_empty() && self.pubsub.asking.contains_key(&client)
    }

    /// A client without a server says LISTEN: the control core is asked to listen for it, unless it listens already.
    fn listen(&mut self, client: u32, channel: &[u8], form: Form) {
        let channel = truncated(channel);
        let Some(peer) = self.peers[client as usize].client() else { return };
        let Some(pool) = peer.pool.clone() else { return };
        if self.pubsub.topic_of(client, channel).is_some() {
            return self.answer_listener(client, form, "LISTEN");
        }
        let begins = pool.state.parameters.load_full();
        let begins = begins.iter().flat_map(|all| all.iter()).find(|(name, _)| name == "client_encoding").map(|(_, value)| value.as_str());
        let encoding = peer.profile.get("client_encoding").filter(|own| begins.is_none_or(|begins| plain(own) != plain(begins)));
        let asker = Asker { core: self.id, slot: client, generation: self.links.generation(client) };
        let listen = ListenTo { asker, pool, channel: channel.into(), encoding: encoding.map(str::to_string) };
        self.pubsub.asking.insert(client, form);
        self.desk.word(Word::Listen(Box::new(listen)));
    }

    /// A client without a server says UNLISTEN, of one channel or (None) of all.
    fn unlisten(&mut self, client: u32, channel: Option<&[u8]>, form: Form) {
        self.listens_no_more(client, channel);
        self.answer_listener(client, form, "UNLISTEN");
    }

    /// The UNLISTEN of a client has been carried out, here or at a server.
    pub(super) fn listens_no_more(&mut self, client: u32, channel: Option<&[u8]>) {
        match channel.map(truncated) {
            None => self.silence(client),
            Some(channel) => {
                if let Some(topic) = self.pubsub.topic_of(client, channel) {
                    self.unsubscribe(client, &[topic]);
                }
            }
        }
    }

    /// A client listens to nothing any more: it has said so, or has gone.
    pub(super) fn silence(&mut self, client: u32) {
        self.pubsub.asking.remove(&client);
        if self.pubsub.clients.is_empty() {
            return;
        }
        let Some(topics) = self.pubsub.clients.get(&client).map(|hearer| hearer.topics.keys().copied().collect::<Vec<u64>>()) else { return };
        self.unsubscribe(client, &topics);
    }

    /// What waits of these topics goes with them, as PostgreSQL sends nothing of a channel behind its UNLISTEN.
    fn unsubscribe(&mut self, client: u32, topics: &[u64]) {
        for id in topics {
            if let Some(audience) = self.pubsub.topics.get_mut(id) {
                if let Some(at) = audience.clients.iter().position(|slot| *slot == client) {
                    audience.clients.swap_remove(at);
                }
                if audience.clients.is_empty() {
                    self.pubsub.topics.remove(id);
                }
            }
        }
        let PubSub { clients, queued_bytes, .. } = &mut self.pubsub;
        if let Some(hearer) = clients.get_mut(&client) {
            topics.iter().for_each(|id| _ = hearer.topics.remove(id));
            hearer.channels = None;
            let whole = hearer.topics.is_empty();
            hearer.queue.retain(|waiting| {
                let stays = !whole && waiting.topic.is_none_or(|id| hearer.topics.contains_key(&id));
                *queued_bytes -= if stays { 0 } else { waiting.words.len() + ENTRY };
                stays
            });
            if whole {
                clients.remove(&client);
            }
        }
        self.desk.word(Word::Unlisten { core: self.id, topics: topics.to_vec() });
    }

    fn answer_listener(&mut self, client: u32, form: Form, tag: &str) {
        let mut words = Vec::new();
        form.done(tag, &mut words);
        self.links.say(client, &words);
    }

    /// News of channels have come; they are read at the end of the turn.
    pub(super) fn air(&mut self, letter: Airmail) {
        self.pubsub.letters.push_back(letter);
    }

    /// A client whose socket was full has room again.
    pub(super) fn hear_again(&mut self, client: u32) {
        if !self.pubsub.clients.is_empty() {
            self.pubsub.mark(client);
        }
    }

    /// Reads letters and hands out what clients can be given, as much as one turn may.
    pub(super) fn air_slice(&mut self) {
        let nothing = self.pubsub.letters.is_empty() && self.pubsub.due.is_empty();
        if nothing || self.operate.suspended {
            self.pubsub.more = false;
            return;
        }
        let (mut left, mut bytes) = (SLICE, SLICE_BYTES);
        while left > 0 && bytes > 0 {
            match self.pubsub.letters.front() {
                Some(Airmail::Notified { notifications, .. }) => {
                    let next = notifications.get(self.pubsub.handed).cloned();
                    let Some((topic, frame)) = next else {
                        self.pubsub.letters.pop_front();
                        self.pubsub.handed = 0;
                        continue;
                    };
                    self.pubsub.handed += 1;
                    let clients = self.pubsub.topics.get(&topic).map_or(0, |audience| audience.clients.len());
                    left = left.saturating_sub(clients.max(1));
                    bytes = bytes.saturating_sub(clients * frame.len());
                    self.notify(topic, &frame);
                }
                Some(_) => {
                    left -= 1;
                    match self.pubsub.letters.pop_front() {
                        Some(Airmail::Listening { slot, generation, heard }) => self.listening(slot, generation, heard),
                        Some(Airmail::Gap { topics, since, until }) => self.gap(&topics, &since, &until),
                        _ => {}
                    }
                }
                None => break,
            }
        }
        self.give_all();
        self.pubsub.more |= !self.pubsub.letters.is_empty();
    }

    /// The control core has answered a LISTEN.
    fn listening(&mut self, client: u32, generation: u32, heard: Result<Arc<Topic>, (String, String)>) {
        let asked = if self.links.is_open(client, generation) { self.pubsub.asking.remove(&client) } else { None };
        let Some(form) = asked else {
            // It has gone meanwhile.
            if let Ok(topic) = heard {
                self.desk.word(Word::Unlisten { core: self.id, topics: vec![topic.id] });
            }
            return;
        };
        match heard {
            Ok(topic) => {
                let id = topic.id;
                self.pubsub.topics.entry(id).or_insert_with(|| Audience { topic, clients: Vec::new() }).clients.push(client);
                let hearer = self.pubsub.clients.entry(client).or_default();
                hearer.topics.entry(id).or_default();
                hearer.channels = None;
                self.answer_listener(client, form, "LISTEN");
            }
            Err((code, message)) => {
                let mut words = Vec::new();
                let hint = Some("The client does not listen; it may try again.");
                form.failed(&ErrorFields { severity: "ERROR", code: &code, message: &message, detail: None, hint }, &mut words);
                self.links.say(client, &words);
                if let Some(peer) = self.peers[client as usize].client() {
                    peer.counts.errors += 1;
                }
            }
        }
        self.feed_later(client);
        self.listen_to(client);
    }

    /// A notification for all who listen to a topic.
    fn notify(&mut self, topic: u64, frame: &Arc<[u8]>) {
        let limit = self.published.snapshot.general.pub_sub_channel_size;
        let Some(audience) = self.pubsub.topics.get(&topic) else { return };
        for at in 0..audience.clients.len() {
            let Some(client) = self.pubsub.topics.get(&topic).and_then(|audience| audience.clients.get(at)).copied() else { return };
            // Who reads is not to lose anything because much came at once.
            if !self.pubsub.has_room(client, topic, limit, frame.len()) && self.may_be_told(client) {
                self.give(client);
            }
            self.pubsub.queue(client, topic, limit, frame);
        }
    }

    /// Nobody listened for these topics between two moments: who listens to them is told.
    fn gap(&mut self, topics: &[u64], since: &str, until: &str) {
        let mut concerned: BTreeMap<u32, Vec<Arc<Topic>>> = BTreeMap::new();
        for audience in topics.iter().filter_map(|id| self.pubsub.topics.get(id)) {
            for client in &audience.clients {
                concerned.entry(*client).or_default().push(audience.topic.clone());
            }
        }
        for (client, mut topics) in concerned {
            topics.sort_by(|a, b| a.channel.cmp(&b.channel));
            let message = format!("notifications on {} that were sent between {since} and {until} may be missing", names(&topics));
            let hint = "pg_dog had lost the connection on which it listens; what depends on notifications should be looked at again.";
            self.pubsub.queue_notice(client, &message, hint);
        }
    }

    /// Whether PostgreSQL would send a notification to this client now: not in a transaction, not while a request is at work, and its socket takes
    /// it.
    fn may_be_told(&self, client: u32) -> bool {
        let Some(Peer::Client(peer)) = self.peers.get(client as usize) else { return false };
        if !matches!(peer.stage, Stage::Ready) || self.links.backlog(client) > 0 {
            return false;
        }
        match self.peers.get(peer.server as usize) {
            Some(Peer::Server(server)) => {
                let free = server.link.server.at_boundary() && server.link.server.exchange.is_free();
                free && matches!(server.stage, ServerStage::Busy | ServerStage::Granted)
            }
            _ => peer.server == NOBODY,
        }
    }

    /// Gives everybody who is due what waits for him. Who has a server and is at work stays due: there are no more of those than servers. Who has
    /// no room in his socket comes back when he has.
    fn give_all(&mut self) {
        self.pubsub.more = false;
        for client in std::mem::take(&mut self.pubsub.due) {
            let told = self.may_be_told(client);
            if told {
                self.give(client);
            }
            let full = self.links.backlog(client) > 0;
            let Some(hearer) = self.pubsub.clients.get_mut(&client) else { continue };
            hearer.due = !hearer.queue.is_empty() && !full;
            if hearer.due {
                self.pubsub.due.push(client);
                self.pubsub.more |= told;
            }
        }
    }

    /// Gives a client some of what waits for it.
    fn give(&mut self, client: u32) {
        let mut verdicts = spare(&mut self.verdicts);
        let words = &mut verdicts.words;
        self.pubsub.take(client, words);
        self.links.say(client, words);
        if let Some(peer) = self.peers[client as usize].client() {
            peer.counts.sent += words.len() as u64;
        }
        self.verdicts = Some(verdicts);
    }
}

impl PubSub {
    /// The topic by which a client listens to a channel.
    fn topic_of(&self, client: u32, channel: &[u8]) -> Option<u64> {
        let named = |id: &&u64| self.topics.get(id).is_some_and(|audience| *audience.topic.channel == *channel);
        self.clients.get(&client)?.topics.keys().find(named).copied()
    }

    /// The channels that a client listens to; None, and of no cost, where nobody listens.
    #[inline]
    pub fn channels_of(&mut self, client: u32) -> Option<Arc<[Box<[u8]>]>> {
        let hearer = if self.clients.is_empty() { None } else { self.clients.get_mut(&client) }?;
        let topics = &self.topics;
        let all = |hearer: &Hearer| hearer.topics.keys().filter_map(|id| topics.get(id)).map(|audience| audience.topic.channel.clone()).collect();
        if hearer.channels.is_none() {
            hearer.channels = Some(all(hearer));
        }
        hearer.channels.clone()
    }

    fn mark(&mut self, client: u32) {
        if let Some(hearer) = self.clients.get_mut(&client).filter(|hearer| !hearer.due && !hearer.queue.is_empty()) {
            hearer.due = true;
            self.due.push(client);
        }
    }

    fn has_room(&self, client: u32, topic: u64, limit: usize, bytes: usize) -> bool {
        let subscribed = self.clients.get(&client).and_then(|hearer| hearer.topics.get(&topic));
        subscribed.is_some_and(|subscribed| subscribed.queued < limit) && self.queued_bytes + bytes + ENTRY <= QUEUED_MAX
    }

    /// Queues a notification, or drops it.
    fn queue(&mut self, client: u32, topic: u64, limit: usize, frame: &Arc<[u8]>) {
        let room = self.has_room(client, topic, limit, frame.len());
        let Some(hearer) = self.clients.get_mut(&client) else { return };
        let Some(subscribed) = hearer.topics.get_mut(&topic) else { return };
        if room {
            subscribed.queued += 1;
            self.queued_bytes += frame.len() + ENTRY;
            hearer.queue.push_back(Waiting { topic: Some(topic), words: frame.clone() });
        } else {
            subscribed.lost += 1;
            if let Some(audience) = self.topics.get(&topic) {
                audience.topic.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.mark(client);
    }

    fn queue_notice(&mut self, client: u32, message: &str, hint: &str) {
        let Some(hearer) = self.clients.get_mut(&client).filter(|hearer| hearer.notices < NOTICES_MAX) else { return };
        let mut words = Vec::new();
        notice(&mut words, &ErrorFields { severity: "WARNING", code: "01000", message, detail: None, hint: Some(hint) });
        hearer.notices += 1;
        self.queued_bytes += words.len() + ENTRY;
        hearer.queue.push_back(Waiting { topic: None, words: words.into() });
        self.mark(client);
    }

    /// Appends about `GIVE` bytes of what waits for a client to `words`; behind the last of it, that something was lost.
    fn take(&mut self, client: u32, words: &mut Vec<u8>) {
        let Some(hearer) = self.clients.get_mut(&client) else { return };
        while words.len() < GIVE {
            let Some(waiting) = hearer.queue.pop_front() else { break };
            self.queued_bytes -= waiting.words.len() + ENTRY;
            words.extend_from_slice(&waiting.words);
            match waiting.topic.and_then(|id| hearer.topics.get_mut(&id)) {
                Some(subscribed) => subscribed.queued -= 1,
                None => hearer.notices -= 1,
            }
        }
        if !hearer.queue.is_empty() {
            return;
        }
        let (mut lost, mut count) = (Vec::new(), 0);
        for (id, subscribed) in hearer.topics.iter_mut().filter(|(_, subscribed)| subscribed.lost > 0) {
            count += std::mem::take(&mut subscribed.lost);
            lost.extend(self.topics.get(id).map(|audience| audience.topic.clone()));
        }
        if count > 0 {
            let message = format!("{count} notifications on {} were dropped", names(&lost));
            let hint = "The client reads too slowly, or stays in a transaction for too long; pub_sub_channel_size of them are kept for it.";
            notice(words, &ErrorFields { severity: "WARNING", code: "01000", message: &message, detail: None, hint: Some(hint) });
        }
    }
}

/// A simple DISCARD ALL: it listens to nothing behind it.
fn discards_all(bytes: &[u8]) -> bool {
    let Ok(Some(header)) = client_header(bytes) else { return false };
    let text = bytes.get(HEADER..header.total()).filter(|_| header.kind == b'Q').and_then(|body| body.strip_suffix(b"\0"));
    text.is_some_and(|text| text.len() <= TEXT_MAX && look(text).statement == Statement::DiscardAll)
}

/// Channels as a notice names them.
fn names(topics: &[Arc<Topic>]) -> String {
    let mut text = if topics.len() == 1 { "channel ".to_string() } else { "channels ".to_string() };
    let named: Vec<String> = topics.iter().take(NAMED).map(|topic| format!("\"{}\"", String::from_utf8_lossy(&topic.channel))).collect();
    text.push_str(&named.join(", "));
    if topics.len() > NAMED {
        text.push_str(&format!(" and {} more", topics.len() - NAMED));
    }
    text
}

/// The name of an encoding as PostgreSQL compares it: letters and digits alone (`pg_char_to_encoding`).
fn plain(name: &str) -> String {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect();
    if plain == "unicode" { "utf8".to_string() } else { plain }
}

#[cfg(test)]
#[path = "pubsub_tests.rs"]
mod tests;
