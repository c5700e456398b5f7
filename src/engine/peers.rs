//! Who is at the other end of a socket, and what is between us.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::mail::{Quota, ServerLink, SharedPool};
use crate::pool::queue::Ticket;
use crate::route::large::Question;
use crate::session::client::Client;
use crate::session::greeting::{CancelKey, Greeting, Reported};
use crate::session::login::{LONG_KEY, Login};
use crate::session::parameters::Profile;
use crate::session::relay::Relay;
use crate::session::speaker::Spoken;
use crate::wire::startup::Replication;

use super::accounts::{Pace, Told};
use super::coordinate::Spread;
use super::quote::Quoter;

/// No slot.
pub const NOBODY: u32 = u32::MAX;

/// The other end of one socket.
#[derive(Default)]
pub enum Peer {
    #[default]
    None,
    Client(Box<ClientPeer>),
    /// inline: a server that changes cores brings its own box, and needs no other
    Server(ServerPeer),
    /// a server that is one client's alone, because that client replicates
    Sender(Box<Sender>),
    Leg(Box<CancelLeg>),
}

/// Where a client is.
pub enum Stage {
    /// proves who it is
    Login(Box<Login>),
    /// has proved it and waits for the parameters a server reports
    Greeted,
    /// in its conversation
    Ready,
    /// replicates, with a server that is its alone
    Replicating,
    /// on several shards; None while that is being looked after
    Spread(Option<Box<Spread>>),
    /// talks to the admin console; `busy` while an answer is outstanding
    Admin { busy: bool, skipping: bool },
}

/// One client.
pub struct ClientPeer {
    pub stage: Stage,
    /// unlike every other client's in this process
    pub number: u64,
    /// of its cancel key; a client of protocol 3.0 knows the first bytes only
    pub secret: [u8; LONG_KEY],
    /// bytes of it that the client was told
    pub secret_length: u8,
    pub client: Client,
    pub profile: Arc<Profile>,
    /// the pool it takes its servers from; on a sharded database that of the shard it was routed to last
    pub pool: Option<Arc<SharedPool>>,
    /// those of all shards in their order; empty on a database without shards
    pub shards: Box<[Arc<SharedPool>]>,
    /// what it was told of its servers' parameters
    pub told: Option<Arc<Reported>>,
    /// for whom its sessions speak, as it was told since
    pub spoken: Spoken,
    /// number of that list in its pool, or an older one
    pub told_number: u64,
    /// of the snapshot that `pool` was found in
    pub version: u64,
    /// what it wants to replicate
    pub replicates: Option<Box<Replicates>>,
    /// the server at hand
    pub server: u32,
    /// its place in the queue
    pub ticket: Option<Ticket>,
    pub waits_since: u64,
    /// what a helper reads, so that its next request has a route
    pub unread: Option<Arc<Question>>,
    /// when it last had no server any more, or was greeted
    pub idle_since: u64,
    /// a `Timer::Watch` is armed
    pub watched: bool,
    /// a `Timer::Begun` is armed
    pub begun_watched: bool,
    /// it asked for the admin database, as that was called then
    pub operator: bool,
    pub database: String,
    pub user: String,
    /// None: it came by the Unix socket
    pub address: Option<SocketAddr>,
    /// the bounds in which it has a place: of its database and of its user
    pub quotas: Option<Box<[Arc<Quota>; 2]>>,
    pub connected_wall: u64,
    pub counts: ClientCounts,
    /// while the query log is on
    pub quoter: Option<Box<Quoter>>,
    /// the client that it is a participant of; `NOBODY`: it is a client
    pub owner: u32,
    /// it keeps its server between transactions, because a commit is not over
    pub keeps: bool,
}

/// Counters of one client; times in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientCounts {
    pub last_request_wall: u64,
    pub wait_ns: u64,
    pub transaction_ns: u64,
    pub transactions: u64,
    pub received: u64,
    pub sent: u64,
    pub errors: u64,
}

/// Where a server is.
pub enum ServerStage {
    /// the socket connects
    Connecting,
    /// logs in
    Greeting(Box<Greeting>),
    /// rests in the pool, or waits to be lent
    Idle,
    /// given to a client whose messages have not been read yet
    Granted,
    /// its session is being made to fit the client at hand
    Fitting,
    /// with a client
    Busy,
    /// its client has gone; brought back to a clean state
    Cleaning { discarded: bool },
    /// free, but a cancel request may still hit it
    Cancelled,
    /// told goodbye; the other end has still to let go
    Leaving,
}

/// One server.
pub struct ServerPeer {
    pub link: Box<ServerLink>,
    pub pool: u32,
    pub stage: ServerStage,
    /// the client at hand
    pub client: u32,
    /// its number; 0 = nobody is listening
    pub client_number: u64,
    /// when it was given, or last free; its pool's times count from here
    pub granted_at: u64,
    /// when anything was last sent to it or heard from it for its client
    pub moved_at: u64,
    /// what its pool knows of its counters
    pub told: Told,
    /// and how long they have taken
    pub pace: Pace,
    /// its client keeps it between transactions, and that is counted
    pub pinned: bool,
    /// a cancel request is on its way
    pub leg: bool,
    /// a cancel request was given up half way: it may still arrive, so that nobody else gets this server
    pub suspect: bool,
    /// and another should follow it
    pub cancel_again: bool,
    /// one waits until what is ours in front of the client's request is answered
    pub cancel_due: bool,
    /// slot and generation of the client that its permit is for when it has left
    pub heir: Option<(u32, u32)>,
}

/// What a client that replicates has asked for.
#[derive(Clone)]
pub struct Replicates {
    pub kind: Replication,
    /// what it wants set, which goes into the startup packet of its server
    pub wishes: Vec<(String, String)>,
}

/// Where a server is that is one client's alone.
pub enum SenderStage {
    Connecting,
    Greeting(Box<Greeting>),
    /// with its client
    Relaying,
    /// told goodbye; the other end has still to let go
    Leaving,
}

/// A server that is one client's alone: PostgreSQL's walsender, whatever it is asked to do.
pub struct Sender {
    pub pool: Arc<SharedPool>,
    pub stage: SenderStage,
    /// whose it is
    pub client: u32,
    pub relay: Relay,
    /// pid and secret for cancel requests
    pub key: CancelKey,
    /// a cancel request is on its way, and another should follow it
    pub leg: bool,
    pub cancel_again: bool,
    /// its client is told that pg_dog ends as soon as the message at hand has passed
    pub ending: bool,
    /// nanoseconds (monotonic) and milliseconds since 1970 when it was connected
    pub connected_at: u64,
    pub connected_wall: u64,
    /// when it was told goodbye
    pub left_at: u64,
    pub received: u64,
    pub sent: u64,
    /// of these, what its pool knows of: requests, received, sent
    pub told: (u64, u64, u64),
}

/// A connection that carries one cancel request to a server.
pub struct CancelLeg {
    pub server: u32,
    pub generation: u32,
    pub pid: i32,
    pub key: Vec<u8>,
}

impl ClientPeer {
    /// One that has not said who it is.
    pub fn new(client: Client, number: u64) -> ClientPeer {
        ClientPeer {
            stage: Stage::Login(Box::default()),
            number,
            secret: [0; LONG_KEY],
            secret_length: 0,
            client,
            profile: Arc::default(),
            pool: None,
            shards: Box::default(),
            told: None,
            spoken: None,
            told_number: 0,
            version: 0,
            replicates: None,
            server: NOBODY,
            ticket: None,
            waits_since: 0,
            unread: None,
            idle_since: 0,
            watched: false,
            begun_watched: false,
            operator: false,
            database: String::new(),
            user: String::new(),
            address: None,
            quotas: None,
            connected_wall: 0,
            counts: ClientCounts::default(),
            quoter: None,
            owner: NOBODY,
            keeps: false,
        }
    }

    /// It belongs to this pool, and to those of all shards, if there are some.
    pub fn join(&mut self, pool: Arc<SharedPool>, shards: &[Arc<SharedPool>]) {
        for pool in if shards.is_empty() { std::slice::from_ref(&pool) } else { shards } {
            pool.state.clients.fetch_add(1, Ordering::Relaxed);
        }
        (self.pool, self.shards) = (Some(pool), shards.into());
    }

    /// What its cancel requests have to say.
    pub fn secret(&self) -> &[u8] {
        &self.secret[..usize::from(self.secret_length).min(LONG_KEY)]
    }
}

impl Peer {
    pub fn client(&mut self) -> Option<&mut ClientPeer> {
        if let Peer::Client(client) = self { Some(client) } else { None }
    }

    pub fn server(&mut self) -> Option<&mut ServerPeer> {
        if let Peer::Server(server) = self { Some(server) } else { None }
    }

    pub fn sender(&mut self) -> Option<&mut Sender> {
        if let Peer::Sender(sender) = self { Some(sender) } else { None }
    }
}
