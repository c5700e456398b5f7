//! What this core has, as plain rows for the admin console. Made in slices of bounded work between two turns of the loop; gathering what all cores
//! say is left to `control`.

use std::collections::HashMap;

use crate::admin::report::{ClientRow, Lists, MemoryRow, PoolRow, Replication, Report, Role, ServerRow, State, TransactionRow, Wants};
use crate::admin::show::moment;
use crate::io::Door;
use crate::mail::{Desk, ServerLink, Word};
use crate::session::exchange::Status;
use crate::wire::startup;

use crate::session::suspicion::Pins;

use super::core::Core;
use super::lend::Pool;
use super::logins::pid;
use super::operate::is_closing;
use super::peers::{ClientPeer, NOBODY, Peer, Sender, SenderStage, ServerPeer, ServerStage, Stage};

/// Peers, or pools, that one turn puts into a report: a few dozen microseconds, so that ten thousand clients stop nobody while they are listed.
const SLICE: usize = 128;

/// A report that is being made, one slice in each turn of the loop.
///
/// Each socket's place is looked at once, so nobody who stays is listed twice or left out. Who comes meanwhile may be listed; a server that another
/// core takes meanwhile may be in both lists, or in none.
pub struct Making {
    request: u64,
    wants: Wants,
    report: Report,
    tally: Tally,
    /// the next socket to look at, then the next pool
    peer: usize,
    pool: usize,
}

/// What is counted while the sockets are looked at.
#[derive(Default)]
struct Tally {
    clients: usize,
    busy_clients: usize,
    servers: usize,
    busy_servers: usize,
    statements: usize,
    statement_bytes: usize,
    /// by pool
    in_transaction: HashMap<u32, u64>,
}

impl Making {
    /// Nothing of it is there yet.
    pub fn new(request: u64, wants: Wants) -> Making {
        Making { request, wants, report: Report::default(), tally: Tally::default(), peer: 0, pool: 0 }
    }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// The next slice of the report that was asked for first; answers the control core when it is whole.
    pub(super) fn report_slice(&mut self) {
        let Some(mut making) = self.operate.reports.pop_front() else { return };
        let mut left = SLICE;
        while left > 0 && making.peer < self.peers.len() {
            self.look_at_peer(&mut making);
            making.peer += 1;
            left -= 1;
        }
        while left > 0 && making.wants.pools && making.pool < self.pools.len() {
            if let Some(pool) = &self.pools[making.pool] {
                making.report.pools.push(self.pool_row(pool, &making.tally));
            }
            making.pool += 1;
            left -= 1;
        }
        if left == 0 {
            return self.operate.reports.push_front(making);
        }
        let Making { request, wants, mut report, tally, .. } = making;
        report.lists = Lists {
            used_clients: tally.busy_clients as u64,
            free_clients: (tally.clients - tally.busy_clients) as u64,
            used_servers: tally.busy_servers as u64,
            free_servers: (tally.servers - tally.busy_servers) as u64,
            panics: self.panics,
            ..Lists::default()
        };
        report.memory = self.memory_rows(&tally);
        if wants.query_cache {
            report.query_cache = self.routers.rows(self.id);
        }
        self.desk.word(Word::Report { request, report: Box::new(report) });
    }

    fn look_at_peer(&self, making: &mut Making) {
        let (slot, tally) = (making.peer, &mut making.tally);
        match &self.peers[slot] {
            Peer::Client(client) if client.owner != super::peers::NOBODY => {}
            Peer::Client(client) => {
                tally.clients += 1;
                tally.busy_clients += usize::from(self.client_state(client) != State::Idle);
                let kept = client.client.memory();
                tally.statements += usize::from(kept > 0);
                tally.statement_bytes += kept;
                if making.wants.transactions
                    && let Stage::Spread(Some(spread)) = &client.stage
                    && let Some((gid, state)) = spread.turn()
                {
                    let shards: Vec<String> = spread.shards().map(|shard| shard.to_string()).collect();
                    making.report.transactions.push(TransactionRow {
                        database: client.database.clone(),
                        user: client.user.clone(),
                        name: gid.to_string(),
                        state,
                        shard: None,
                        client: Some(pid(self.id, slot as u32) as u32),
                        since: moment(spread.since),
                        detail: format!("shards {}", shards.join(", ")),
                    });
                }
                if making.wants.clients {
                    making.report.clients.push(self.client_row(slot as u32, client));
                }
            }
            Peer::Server(server) => {
                let state = server_state(server);
                tally.servers += 1;
                tally.busy_servers += usize::from(state != State::Idle);
                if state == State::IdleInTransaction {
                    *tally.in_transaction.entry(server.pool).or_default() += 1;
                }
                if making.wants.servers {
                    making.report.servers.push(self.server_row(slot as u32, server));
                }
            }
            Peer::Sender(sender) => {
                tally.servers += 1;
                tally.busy_servers += 1;
                if making.wants.servers {
                    making.report.servers.push(self.sender_row(slot as u32, sender));
                }
            }
            _ => {}
        }
    }

    /// What this core's memory is used for. Vectors count with their room, not with their length.
    fn memory_rows(&self, tally: &Tally) -> Vec<MemoryRow> {
        let row = |name, size: usize, used: usize, free: usize, bytes: usize| MemoryRow {
            name,
            size: size as u64,
            used: used as u64,
            free: free as u64,
            bytes: bytes as u64,
        };
        let (clients, servers) = (tally.clients, tally.servers);
        let links = self.links.memory();
        let (listeners, notifications) = self.pubsub.memory();
        let pools = self.pools.iter().flatten().count();
        let (slot, client, server, pool) =
            (links.slot_bytes + size_of::<Peer>(), size_of::<ClientPeer>(), size_of::<ServerLink>(), size_of::<Pool>());
        vec![
            row("socket", slot, clients + servers, links.slots.saturating_sub(clients + servers), links.slots * slot),
            row("client", client, clients, 0, clients * client),
            row("server", server, servers, 0, servers * server),
            row("pool", pool, pools, 0, pools * pool),
            row("unnamed_statement", 0, tally.statements, 0, tally.statement_bytes),
            row("listener", 0, listeners, 0, notifications),
            row("received", 0, links.held, 0, links.held_bytes),
            row("unsent", 0, links.backlogs, 0, links.backlog_bytes),
            row("spare_block", 0, 0, 0, links.kept),
        ]
    }

    fn client_state(&self, client: &ClientPeer) -> State {
        match (&client.stage, self.peers.get(client.server as usize)) {
            (Stage::Login(_) | Stage::Greeted, _) => State::Login,
            (Stage::Admin { busy: true, .. }, _) => State::Active,
            _ if client.ticket.is_some() => State::Waiting,
            (Stage::Spread(spread), _) => match spread {
                Some(spread) if spread.slots().all(|seat| self.is_resting(seat)) => State::IdleInTransaction,
                _ => State::Active,
            },
            (_, Some(Peer::Server(server))) => server_state(server),
            (_, Some(Peer::Sender(sender))) => sender_state(sender),
            _ if client.client.has_begun() => State::IdleInTransaction,
            _ => State::Idle,
        }
    }

    /// A participant that has nothing to do.
    fn is_resting(&self, seat: u32) -> bool {
        match self.peers.get(seat as usize) {
            Some(Peer::Client(peer)) => peer.ticket.is_none() && self.links.held(seat) == 0 && self.rests(peer.server),
            _ => true,
        }
    }

    fn rests(&self, server: u32) -> bool {
        !matches!(self.peers.get(server as usize), Some(Peer::Server(server)) if server.link.server.exchange.is_active())
    }

    fn client_row(&self, slot: u32, client: &ClientPeer) -> ClientRow {
        let waiting = if client.ticket.is_some() { self.now.saturating_sub(client.waits_since) } else { 0 };
        let server_pid = match self.peers.get(client.server as usize) {
            Some(Peer::Server(server)) => server.link.server.key.as_ref().map(|(pid, _)| *pid as u32),
            Some(Peer::Sender(sender)) => sender.key.as_ref().map(|(pid, _)| *pid as u32),
            _ => None,
        };
        let pins = match self.peers.get(client.server as usize) {
            Some(Peer::Server(server)) => server.link.server.exchange.pins,
            _ => Pins::NONE,
        };
        ClientRow {
            id: pid(self.id, slot) as u32,
            user: client.user.clone(),
            database: client.database.clone(),
            addr: client.address.map(|address| address.ip().to_string()).unwrap_or_default(),
            port: client.address.map_or(0, |address| address.port()),
            state: self.client_state(client),
            replication: match client.replicates.as_ref().map(|replicates| replicates.kind) {
                None => Replication::None,
                Some(startup::Replication::Logical) => Replication::Logical,
                Some(startup::Replication::Physical) => Replication::Physical,
            },
            connect_ms: client.connected_wall,
            last_request_ms: (client.counts.last_request_wall > 0).then_some(client.counts.last_request_wall),
            queries: client.client.requests,
            transactions: client.counts.transactions,
            wait_us: (client.counts.wait_ns + waiting) / 1000,
            query_us: client.counts.transaction_ns / 1000,
            transaction_us: client.counts.transaction_ns / 1000,
            bytes_received: client.counts.received,
            bytes_sent: client.counts.sent,
            errors: client.counts.errors,
            application_name: client.profile.get("application_name").unwrap_or_default().to_string(),
            waiting_us: waiting / 1000,
            fd: self.links.fd(slot),
            server_pid,
            locked: !pins.is_empty(),
            pinned: pins.words(),
            prepared_statements: client.client.statements() as u64,
            ..ClientRow::default()
        }
    }

    fn server_row(&self, slot: u32, server: &ServerPeer) -> ServerRow {
        let link = &server.link;
        let client = (server.client != NOBODY).then(|| pid(self.id, server.client) as u32);
        let elapsed = self.now.saturating_sub(link.connected_at);
        ServerRow {
            pool_id: u64::from(server.pool),
            database: link.pool.spec.database.clone(),
            user: link.pool.spec.user.clone(),
            addr: link.pool.spec.host.clone(),
            port: link.pool.spec.port,
            state: server_state(server),
            connect_ms: link.connected_wall,
            request_ms: (link.used_at > 0).then(|| link.connected_wall + link.used_at.saturating_sub(link.connected_at) / 1_000_000),
            remote_pid: link.server.key.as_ref().map_or(0, |(pid, _)| *pid as u32),
            client_id: client,
            transactions: link.server.counts.transactions,
            queries: link.server.counts.queries,
            errors: link.server.counts.errors,
            healthchecks: link.checks,
            prepared_statements: link.server.exchange.shelf.len() as u64,
            bytes_received: link.received,
            bytes_sent: link.sent,
            age_s: elapsed / 1_000_000_000,
            close_needed: is_closing(server),
            fd: self.links.fd(slot),
            ..ServerRow::default()
        }
    }

    fn sender_row(&self, slot: u32, sender: &Sender) -> ServerRow {
        let spec = &sender.pool.spec;
        ServerRow {
            pool_id: u64::from(sender.pool.id),
            database: spec.database.clone(),
            user: spec.user.clone(),
            addr: spec.host.clone(),
            port: spec.port,
            state: sender_state(sender),
            connect_ms: sender.connected_wall,
            remote_pid: sender.key.as_ref().map_or(0, |(pid, _)| *pid as u32),
            client_id: (sender.client != NOBODY).then(|| pid(self.id, sender.client) as u32),
            queries: sender.relay.requests,
            bytes_received: sender.received,
            bytes_sent: sender.sent,
            age_s: self.now.saturating_sub(sender.connected_at) / 1_000_000_000,
            close_needed: matches!(sender.stage, SenderStage::Leaving),
            fd: self.links.fd(slot),
            ..ServerRow::default()
        }
    }

    fn pool_row(&self, pool: &Pool, tally: &Tally) -> PoolRow {
        let spec = &pool.shared.spec;
        let sv_idle_xact = tally.in_transaction.get(&pool.shared.id).copied().unwrap_or_default();
        let slice = &pool.slice;
        PoolRow {
            id: u64::from(pool.shared.id),
            database: spec.database.clone(),
            user: spec.user.clone(),
            addr: spec.host.clone(),
            port: spec.port,
            shard: u32::from(spec.shard),
            role: Role::Primary,
            cl_waiting: u64::from(slice.waiting()),
            sv_idle: u64::from(slice.idle()),
            sv_active: u64::from(slice.active() + slice.alone()).saturating_sub(sv_idle_xact),
            sv_idle_xact,
            sv_total: u64::from(slice.idle() + slice.active() + slice.alone() + slice.opening() + slice.leaving()),
            maxwait_us: slice.oldest_wait(self.now) / 1000,
            mode: spec.mode,
            paused: pool.shared.state.ledger.paused(),
            healthy: pool.shared.state.ledger.retry_at() == 0,
            errors: pool.tally.counts.errors.get(),
            re_synced: pool.tally.re_synced.get(),
            out_of_sync: pool.tally.out_of_sync.get(),
            force_closed: pool.tally.force_closed.get(),
            online: !pool.retired,
            ..PoolRow::default()
        }
    }
}

fn sender_state(sender: &Sender) -> State {
    match sender.stage {
        SenderStage::Connecting | SenderStage::Greeting(_) => State::Login,
        SenderStage::Relaying if sender.relay.is_active() => State::Active,
        SenderStage::Relaying => State::Idle,
        SenderStage::Leaving => State::Closing,
    }
}

fn server_state(server: &ServerPeer) -> State {
    match (&server.stage, server.link.server.exchange.status()) {
        (ServerStage::Connecting | ServerStage::Greeting(_), _) => State::Login,
        (ServerStage::Idle | ServerStage::Cancelled, _) => State::Idle,
        (ServerStage::Leaving, _) => State::Closing,
        _ if server.link.server.exchange.is_active() => State::Active,
        (_, Status::InTransaction) => State::IdleInTransaction,
        (_, Status::Failed) => State::FailedTransaction,
        _ => State::Active,
    }
}
