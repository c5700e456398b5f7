//! A client on several shards: its participants are clients without sockets, each with a server of its own shard's pool. What the coordinator says to
//! one is fed to it as if it had been received; what one would be sent is caught, and read by the coordinator. The client's own session is the
//! first of them, and comes back when all is over.
//!
//! Nobody waits in a circle: who holds servers and needs more takes them by ascending shards, one after the other, wherever all are known at once.
//! Where a transaction comes to another shard later, it may only wait if of each pool that it holds a server of some other server is not held so:
//! that one comes back, whatever happens. Otherwise it fails at once, as one that PostgreSQL finds in a deadlock (40P01).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::io::Door;
use crate::io::links::Bytes;
use crate::mail::{Desk, SharedPool, Word};
use crate::route::commit::Gid;
use crate::session::client::Client;
use crate::session::coordinator::{Act, Acts, Coordinator, Halt, Means};
use crate::session::shards::Shards;

use super::core::Core;
use super::guard::guard;
use super::peers::{ClientPeer, NOBODY, Peer, Stage};
use super::{HELD_MAX, UNREAD_MAX};

/// Bytes of one participant that are read in one turn.
const HEARD_MAX: usize = 256 * 1024;

/// A client's participants.
pub struct Spread {
    coordinator: Coordinator,
    /// shard and slot, the client's own session first
    seats: Vec<(u16, u32)>,
    /// of the shards, in order
    pools: Box<[Arc<SharedPool>]>,
    acts: Acts,
    /// slots that are fed when those before them have their servers
    later: Vec<u32>,
    /// since when it is on several shards, milliseconds since 1970
    pub since: u64,
    /// the client has gone, and its commit is being finished
    gone: bool,
    /// it ends now, however far it has come
    over: bool,
    /// pools that it holds a server of while it waits for another's
    stuck: Vec<Arc<SharedPool>>,
}

impl Spread {
    fn slot(&self, shard: u16) -> Option<u32> {
        self.seats.iter().find(|(known, _)| *known == shard).map(|(_, slot)| *slot)
    }

    /// Where the client's own session is; None: it has ended.
    fn home(&self) -> Option<u32> {
        self.seats.first().map(|(_, slot)| *slot).filter(|slot| *slot != NOBODY)
    }

    fn unstick(&mut self) {
        for pool in self.stuck.drain(..) {
            pool.state.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Its participants' slots.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.seats.iter().map(|(_, slot)| *slot).filter(|slot| *slot != NOBODY)
    }

    /// What it knows of the shards.
    pub fn knows(&self) -> &Shards {
        self.coordinator.shards()
    }

    /// The commit at work, and its turn.
    pub fn turn(&self) -> Option<(Gid, &'static str)> {
        self.coordinator.turn()
    }

    /// Shards of its participants.
    pub fn shards(&self) -> impl Iterator<Item = u16> {
        self.seats.iter().map(|(shard, _)| *shard)
    }

    /// A commit that should not be left half done.
    pub fn is_committing(&self) -> bool {
        self.coordinator.is_committing()
    }
}

/// A participant has ended.
pub struct Ended {
    client: u32,
    generation: u32,
    shard: u16,
    words: Vec<u8>,
}

impl<D: Door, K: Desk> Core<D, K> {
    /// The next request of a client is for several shards, or for another than its transaction is on.
    pub(super) fn coordinate(&mut self, slot: u32) {
        let mut random = [0; 18];
        self.desk.random(&mut random);
        let unique = random.iter().take(16).fold(0, |all: u128, byte| all << 8 | u128::from(*byte));
        let atomic = self.published.snapshot.general.two_phase_commit;
        let server = self.peers[slot as usize].client().map_or(NOBODY, |peer| peer.server);
        let (Peer::Client(peer), link) = self.pair(slot, server) else { return };
        let link = link.and_then(Peer::server).map(|link| &link.link.server.exchange);
        let standing = peer.client.standing(link);
        let Some(shards) = peer.client.take_shards() else { return };
        let cluster = shards.cluster();
        let coordinator = Coordinator::new(shards, Means { cluster, unique, atomic }, standing, &peer.client);
        let inner = self.links.inner();
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let shard = coordinator.participants().next().unwrap_or_default();
        let placeholder = Client::new(peer.client.mode(), peer.number);
        let mut home = participant(peer, slot);
        home.client = std::mem::replace(&mut peer.client, placeholder);
        home.server = std::mem::replace(&mut peer.server, NOBODY);
        // Without a server at hand it may have been on another shard last.
        home.pool = peer.shards.get(usize::from(shard)).or(peer.pool.as_ref()).cloned();
        (home.told, home.told_number, home.spoken) = (peer.told.clone(), peer.told_number, peer.spoken.take());
        let pools = std::mem::take(&mut peer.shards);
        let since = self.links.door.wall_ms();
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let (seats, acts, later) = (vec![(shard, inner)], Acts::default(), Vec::new());
        peer.stage =
            Stage::Spread(Some(Box::new(Spread { coordinator, seats, pools, acts, later, since, gone: false, over: false, stuck: Vec::new() })));
        let server = home.server;
        self.seat(inner, Peer::Client(Box::new(home)));
        if let Some(link) = self.peers.get_mut(server as usize).and_then(Peer::server) {
            link.client = inner;
        }
    }

    fn take_spread(&mut self, slot: u32) -> Option<Box<Spread>> {
        match self.peers.get_mut(slot as usize).and_then(Peer::client).map(|peer| &mut peer.stage) {
            Some(Stage::Spread(spread)) => spread.take(),
            _ => None,
        }
    }

    fn give_spread(&mut self, slot: u32, spread: Box<Spread>) {
        if let Some(Stage::Spread(place)) = self.peers.get_mut(slot as usize).and_then(Peer::client).map(|peer| &mut peer.stage) {
            *place = Some(spread);
        }
    }

    /// Whether its participants take more.
    pub(super) fn spread_goes_on(&self, spread: &Spread) -> bool {
        spread.slots().all(|seat| {
            let Some(Peer::Client(peer)) = self.peers.get(seat as usize) else { return true };
            self.links.held(seat) < HELD_MAX && (peer.server == NOBODY || self.links.backlog(peer.server) == 0)
        })
    }

    /// Bytes of a client on several shards; returns how many are consumed.
    pub(super) fn feed_spread(&mut self, slot: u32, bytes: Bytes) -> usize {
        let Some(mut spread) = self.take_spread(slot) else { return 0 };
        let Some(home) = spread.home() else {
            // Its end is still to be heard of.
            self.give_spread(slot, spread);
            return 0;
        };
        let server = self.peers[home as usize].client().map_or(NOBODY, |peer| peer.server);
        let (home, link) = self.pair(home, server);
        let link = link.and_then(Peer::server).map(|link| &link.link.server.exchange);
        let Some(home) = home.client() else { return 0 };
        let Spread { coordinator, acts, .. } = &mut *spread;
        let read = guard(|| coordinator.on_client(bytes.view(), &home.client, link, acts));
        let (consumed, halt) = match read {
            Ok(read) => read,
            Err(why) => {
                self.give_spread(slot, spread);
                self.client_panicked(slot, &why);
                return 0;
            }
        };
        if let Some(peer) = self.peers[slot as usize].client() {
            peer.client.wait_for(if let Halt::More(needs) = halt { needs } else { 0 });
        }
        self.carry_out_spread(slot, spread);
        match halt {
            Halt::Terminate => self.client_gone(slot),
            Halt::Broken(broken) => self.client_broke(slot, broken),
            Halt::Wait => {
                if matches!(self.peers[slot as usize].client().map(|peer| &peer.stage), Some(Stage::Spread(_))) {
                    self.links.pause(slot);
                }
            }
            Halt::Unread => self.have_read(slot),
            Halt::More(_) => {}
        }
        consumed
    }

    /// Does what the coordinator wants done, and puts it back, unless it wants to end.
    fn carry_out_spread(&mut self, slot: u32, mut spread: Box<Spread>) {
        let acts = std::mem::take(&mut spread.acts);
        let (mut done, mut close) = (false, false);
        let mut told: Vec<u32> = Vec::new();
        for act in &acts.list {
            match act {
                Act::Tell(shard, range) => {
                    let seat = self.seat_of(slot, &mut spread, *shard);
                    if seat == NOBODY {
                        continue;
                    }
                    self.links.hold(seat, &acts.words[range.clone()]);
                    if !told.contains(&seat) {
                        told.push(seat);
                    }
                }
                Act::Say(_) if spread.gone => {}
                Act::Say(range) => {
                    self.links.say(slot, &acts.words[range.clone()]);
                    if let Some(peer) = self.peers[slot as usize].client() {
                        peer.counts.sent += range.len() as u64;
                    }
                }
                Act::Keep(shard) => {
                    let seat = spread.slot(*shard);
                    if let Some(peer) = seat.and_then(|seat| self.peers[seat as usize].client()) {
                        peer.keeps = true;
                    }
                }
                Act::InDoubt(gid) => self.in_doubt(slot, *gid),
                Act::Done => done = true,
                Act::Close => close = true,
            }
        }
        spread.acts = acts;
        spread.acts.list.clear();
        spread.acts.words.clear();
        if close || done && spread.gone {
            spread.over = true;
            self.give_spread(slot, spread);
            return self.client_gone(slot);
        }
        if done {
            self.feed_seats(told);
            return self.dissolve(slot, *spread);
        }
        // Whoever holds servers waits for the next one before it asks for another.
        let ordered = spread.coordinator.holds();
        self.give_spread(slot, spread);
        if ordered { self.feed_in_order(slot, told) } else { self.feed_seats(told) }
    }

    fn feed_seats(&mut self, seats: Vec<u32>) {
        for seat in seats {
            self.feed_held(seat);
        }
    }

    /// Feeds these, those that have servers first, until one has to wait for its server.
    fn feed_in_order(&mut self, slot: u32, mut seats: Vec<u32>) {
        if let Some(Stage::Spread(Some(spread))) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) {
            seats.extend(std::mem::take(&mut spread.later));
        }
        let has = |peers: &[Peer], seat: u32| matches!(&peers[seat as usize], Peer::Client(peer) if peer.server != NOBODY);
        let (ready, mut wanting): (Vec<u32>, Vec<u32>) = seats.into_iter().partition(|seat| has(&self.peers, *seat));
        self.feed_seats(ready);
        let shard = |peers: &[Peer], seat: u32| match &peers[seat as usize] {
            Peer::Client(peer) => peer.pool.as_ref().map_or(0, |pool| pool.spec.shard),
            _ => 0,
        };
        wanting.sort_by_key(|seat| shard(&self.peers, *seat));
        let mut rest = wanting.into_iter();
        for seat in rest.by_ref() {
            self.feed_held(seat);
            if matches!(&self.peers[seat as usize], Peer::Client(peer) if peer.ticket.is_some()) {
                break;
            }
        }
        if let Some(Stage::Spread(Some(spread))) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) {
            spread.later = rest.collect();
        }
        self.look_for_circles(slot);
    }

    /// Whoever holds servers and waits for another must not be the last of a pool that could give one back.
    fn look_for_circles(&mut self, slot: u32) {
        let Some(mut spread) = self.take_spread(slot) else { return };
        spread.unstick();
        let (mut waits, mut holds) = (None, Vec::new());
        for seat in spread.slots() {
            let Some(Peer::Client(peer)) = self.peers.get(seat as usize) else { continue };
            match &peer.pool {
                _ if peer.ticket.is_some() => waits = Some(seat),
                Some(pool) if peer.server != NOBODY => holds.push(pool.clone()),
                _ => {}
            }
        }
        let mut circle = false;
        if waits.is_some() {
            for pool in holds {
                let stuck = pool.state.stuck.fetch_add(1, Ordering::Relaxed) + 1;
                circle |= stuck as usize >= pool.spec.pool_size;
                spread.stuck.push(pool);
            }
        }
        if let Some(seat) = waits.filter(|_| circle) {
            spread.unstick();
            self.give_spread(slot, spread);
            let message = "deadlock detected: every server of a pool is held by a transaction that waits for a server of another shard";
            return self.give_up_waiting(seat, "40P01", message);
        }
        self.give_spread(slot, spread);
    }

    /// A participant has its server: those behind it may ask for theirs.
    pub(super) fn participant_begins(&mut self, seat: u32) {
        let owner = self.peers[seat as usize].client().map_or(NOBODY, |peer| peer.owner);
        let waits = |stage: &Stage| matches!(stage, Stage::Spread(Some(spread)) if !spread.later.is_empty() || !spread.stuck.is_empty());
        if owner != NOBODY && self.peers[owner as usize].client().is_some_and(|peer| waits(&peer.stage)) {
            self.feed_in_order(owner, Vec::new());
        }
    }

    /// The participant of a client on a shard, opened if it is not there.
    fn seat_of(&mut self, slot: u32, spread: &mut Spread, shard: u16) -> u32 {
        if let Some(seat) = spread.slot(shard) {
            return seat;
        }
        let inner = self.links.inner();
        let pool = spread.pools.get(usize::from(shard)).cloned();
        let home = spread.home().and_then(|home| self.peers[home as usize].client());
        let sibling = home.map(|home| (home.client.sibling(), home.profile.clone()));
        let Some(peer) = self.peers[slot as usize].client() else { return inner };
        let mut fresh = participant(peer, slot);
        if let Some((client, profile)) = sibling {
            (fresh.client, fresh.profile) = (client, profile);
        }
        if let Some(pool) = pool {
            fresh.join(pool, &[]);
        }
        self.seat(inner, Peer::Client(Box::new(fresh)));
        spread.seats.push((shard, inner));
        inner
    }

    /// What participants have said is read, and who has ended is noticed.
    pub(super) fn hear_participants(&mut self) {
        let mut later = Vec::new();
        loop {
            // Who has ended first: nothing is to be told to where it was.
            if let Some(ended) = self.ended.pop() {
                self.participant_has_ended(ended);
            } else if let Some(seat) = self.links.spoken.pop() {
                if !later.contains(&seat) && self.hear_participant(seat) {
                    later.push(seat);
                }
            } else {
                break;
            }
        }
        self.links.spoken = later;
    }

    /// Reads what a participant has said; true when the rest of it has to wait for the next turn, which knows whether the client takes it.
    fn hear_participant(&mut self, seat: u32) -> bool {
        let Some(Peer::Client(peer)) = self.peers.get(seat as usize) else { return false };
        let (slot, server) = (peer.owner, peer.server);
        if slot == NOBODY || self.links.backlog(slot) > UNREAD_MAX {
            // It is looked at again when the client has read.
            return false;
        }
        let Some(mut spread) = self.take_spread(slot) else { return false };
        let Some((shard, _)) = spread.seats.iter().find(|(_, known)| *known == seat).copied() else {
            self.give_spread(slot, spread);
            return false;
        };
        let (caught, at) = self.links.read_caught(seat);
        let Spread { coordinator, acts, .. } = &mut *spread;
        let unread = &caught[at..];
        let some = &unread[..unread.len().min(HEARD_MAX)];
        let heard = guard(|| match coordinator.on_server(shard, some, acts) {
            // One message alone is larger.
            0 if some.len() < unread.len() => coordinator.on_server(shard, unread, acts),
            consumed => consumed,
        });
        let consumed = match heard {
            Ok(consumed) => consumed,
            Err(why) => {
                self.give_spread(slot, spread);
                self.client_panicked(slot, &why);
                return false;
            }
        };
        let more = unread.len() > HEARD_MAX && consumed > 0;
        self.links.give_caught(seat, caught, at + consumed);
        if server != NOBODY && self.links.is_paused(server) && self.links.backlog(seat) == 0 {
            self.links.resume(server);
        }
        self.carry_out_spread(slot, spread);
        if matches!(self.peers[slot as usize].client().map(|peer| &peer.stage), Some(Stage::Spread(_))) {
            self.go_on_with(slot);
        }
        more
    }

    /// A client reads again: what its participants have said meanwhile may go on.
    pub(super) fn hear_again_spread(&mut self, slot: u32) {
        let Some(Stage::Spread(Some(spread))) = self.peers[slot as usize].client().map(|peer| &peer.stage) else { return };
        let seats: Vec<u32> = spread.slots().collect();
        self.links.spoken.extend(seats);
    }

    /// A participant's session is over, whatever the reason.
    pub(super) fn participant_ends(&mut self, seat: u32) {
        let words = self.links.take_caught(seat);
        let Some(Peer::Client(peer)) = self.peers.get(seat as usize) else { return };
        let (client, shard) = (peer.owner, peer.pool.as_ref().map_or(0, |pool| pool.spec.shard));
        self.ended.push(Ended { client, generation: self.links.generation(client), shard, words });
        // The slot may be another's by the time the coordinator knows.
        if let Some(Stage::Spread(Some(spread))) = self.peers[client as usize].client().map(|peer| &mut peer.stage) {
            spread.seats.iter_mut().filter(|(_, known)| *known == seat).for_each(|(_, known)| *known = NOBODY);
            spread.later.retain(|known| *known != seat);
        }
        self.unseat(seat);
    }

    fn participant_has_ended(&mut self, ended: Ended) {
        if !self.links.is_open(ended.client, ended.generation) {
            return;
        }
        let Some(mut spread) = self.take_spread(ended.client) else { return };
        spread.unstick();
        // The client's own session keeps its place, though it is gone.
        let home = spread.seats.first().map(|(shard, _)| *shard);
        spread.seats.retain(|(shard, _)| *shard != ended.shard || Some(*shard) == home);
        let Spread { coordinator, acts, .. } = &mut *spread;
        if let Err(why) = guard(|| coordinator.on_ended(ended.shard, &ended.words, acts)) {
            self.give_spread(ended.client, spread);
            return self.client_panicked(ended.client, &why);
        }
        self.carry_out_spread(ended.client, spread);
    }

    /// A participant goes, with its server.
    fn unseat(&mut self, seat: u32) {
        let Peer::Client(mut peer) = std::mem::take(&mut self.peers[seat as usize]) else { return };
        if let Some(ticket) = peer.ticket.take() {
            self.leave_queue(&peer, ticket);
        }
        if peer.server != NOBODY {
            self.client_left(peer.server, &mut peer.client);
        }
        self.left_pools(peer.pool.take(), &[]);
        self.links.close(seat);
    }

    /// All of a client's participants go.
    pub(super) fn unseat_all(&mut self, slot: u32) {
        let Some(mut spread) = self.take_spread(slot) else { return };
        spread.unstick();
        for seat in spread.slots() {
            self.unseat(seat);
        }
        if let Some(peer) = self.peers[slot as usize].client() {
            // It belongs to the pools of all shards again, and leaves them with the rest.
            peer.shards = spread.pools;
        }
    }

    /// A client goes in the middle of a commit: that is finished first. True when it is.
    pub(super) fn finishes_commit(&mut self, slot: u32) -> bool {
        let Some(Stage::Spread(Some(spread))) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) else { return false };
        if !spread.is_committing() || spread.over {
            return false;
        }
        spread.gone = true;
        self.links.pause(slot);
        true
    }

    /// All is over: the client's own session comes back.
    fn dissolve(&mut self, slot: u32, mut spread: Spread) {
        spread.unstick();
        let home = spread.home();
        let others: Vec<u32> = spread.slots().filter(|seat| Some(*seat) != home).collect();
        for seat in others {
            if let Some(peer) = self.peers[seat as usize].client() {
                peer.keeps = false;
            }
            // Its server is as free as any that a transaction gives back.
            self.release_if_free(seat);
            self.unseat(seat);
        }
        let inner = home.map(|home| (home, std::mem::take(&mut self.peers[home as usize])));
        let Some((home, Peer::Client(mut inner))) = inner else {
            // What was committed is; the session that the client had is not there any more.
            if let Some(peer) = self.peers[slot as usize].client() {
                peer.shards = spread.pools;
                peer.stage = Stage::Ready;
            }
            return self.client_fatal(slot, "08006", "the server closed the connection unexpectedly", Some("The transaction before is over."));
        };
        let now = self.now;
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let spent = Client::new(inner.client.mode(), inner.number);
        peer.client = std::mem::replace(&mut inner.client, spent);
        peer.client.requests += spread.coordinator.requests;
        peer.client.give_shards(spread.coordinator.into_shards());
        peer.shards = spread.pools;
        (peer.server, peer.profile) = (inner.server, inner.profile.clone());
        (peer.told, peer.told_number, peer.spoken) = (inner.told.take(), inner.told_number, inner.spoken.take());
        // It has heard of no reload meanwhile, though its participants may have: its version is its own.
        peer.pool = inner.pool.take();
        peer.stage = Stage::Ready;
        peer.idle_since = now;
        let server = peer.server;
        if let Some(link) = self.peers.get_mut(server as usize).and_then(Peer::server) {
            link.client = slot;
        }
        self.links.close(home);
        if self.draining && server == NOBODY {
            return self.client_fatal(slot, "57P01", "pg_dog is shutting down", None);
        }
        self.release_if_free(slot);
        self.watch(slot);
        self.go_on_with(slot);
    }

    /// Cancels what its participants are doing, unless it is being committed.
    pub(super) fn cancel_spread(&mut self, slot: u32) {
        let Some(Stage::Spread(Some(spread))) = self.peers[slot as usize].client().map(|peer| &peer.stage) else { return };
        if spread.is_committing() {
            return;
        }
        let seats: Vec<u32> = spread.slots().collect();
        for seat in seats {
            self.cancel_at(seat);
        }
    }

    /// Something is prepared that nobody here will finish: recovery looks at once.
    fn in_doubt(&mut self, slot: u32, gid: Gid) {
        let Some(peer) = self.peers[slot as usize].client() else { return };
        tracing::warn!(database = %peer.database, %gid, "a commit over shards is in doubt: recovery finishes it");
        let database = peer.database.clone();
        self.desk.word(Word::InDoubt { database, gid: Some(gid) });
    }
}

/// A client without a socket that belongs to `owner`.
fn participant(peer: &ClientPeer, owner: u32) -> ClientPeer {
    ClientPeer {
        stage: Stage::Ready,
        profile: peer.profile.clone(),
        told_number: u64::MAX,
        version: peer.version,
        database: peer.database.clone(),
        user: peer.user.clone(),
        address: peer.address,
        connected_wall: peer.connected_wall,
        owner,
        ..ClientPeer::new(Client::new(peer.client.mode(), peer.number), peer.number)
    }
}

#[cfg(test)]
#[path = "coordinate_tests.rs"]
mod tests;
