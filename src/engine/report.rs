//! What this core has, as plain rows for the admin console.

use crate::admin::report::{ClientRow, Lists, MemoryRow, PoolRow, Report, Role, ServerRow, State, StatsRow};
use crate::io::Door;
use crate::mail::{Desk, ServerLink, Word};
use crate::session::exchange::Status;

use super::core::Core;
use super::lend::Pool;
use super::logins::pid;
use super::peers::{ClientPeer, NOBODY, Peer, ServerPeer, ServerStage, Stage};

impl<D: Door, K: Desk> Core<D, K> {
    /// Answers the control core.
    pub(super) fn report(&mut self, request: u64) {
        let mut report = Report::default();
        for (slot, peer) in self.peers.iter().enumerate() {
            match peer {
                Peer::Client(client) => report.clients.push(self.client_row(slot as u32, client)),
                Peer::Server(server) => report.servers.push(self.server_row(server)),
                _ => {}
            }
        }
        for pool in self.pools.iter().flatten() {
            report.pools.push(self.pool_row(pool));
            report.stats.push(self.stats_row(pool));
        }
        let used = report.clients.iter().filter(|client| client.state != State::Idle).count() as u64;
        let busy = report.servers.iter().filter(|server| server.state != State::Idle).count() as u64;
        report.lists = Lists {
            used_clients: used,
            free_clients: report.clients.len() as u64 - used,
            used_servers: busy,
            free_servers: report.servers.len() as u64 - busy,
            panics: self.panics,
            ..Lists::default()
        };
        report.memory = self.memory_rows();
        self.desk.word(Word::Report { request, report: Box::new(report) });
    }

    /// What this core's memory is used for. Vectors count with their room, not with their length.
    fn memory_rows(&self) -> Vec<MemoryRow> {
        let row = |name, size: usize, used: usize, free: usize, bytes: usize| MemoryRow {
            name,
            size: size as u64,
            used: used as u64,
            free: free as u64,
            bytes: bytes as u64,
        };
        let (mut clients, mut servers, mut statements, mut statement_bytes) = (0, 0, 0, 0);
        for peer in &self.peers {
            match peer {
                Peer::Client(client) => {
                    clients += 1;
                    let kept = client.client.memory();
                    statements += usize::from(kept > 0);
                    statement_bytes += kept;
                }
                Peer::Server(_) => servers += 1,
                _ => {}
            }
        }
        let links = self.links.memory();
        let pools = self.pools.iter().flatten().count();
        let (slot, client, server, pool) =
            (links.slot_bytes + size_of::<Peer>(), size_of::<ClientPeer>(), size_of::<ServerLink>(), size_of::<Pool>());
        vec![
            row("socket", slot, clients + servers, links.slots.saturating_sub(clients + servers), links.slots * slot),
            row("client", client, clients, 0, clients * client),
            row("server", server, servers, 0, servers * server),
            row("pool", pool, pools, 0, pools * pool),
            row("unnamed_statement", 0, statements, 0, statement_bytes),
            row("received", 0, links.held, 0, links.held_bytes),
            row("unsent", 0, links.backlogs, 0, links.backlog_bytes),
            row("spare_block", 0, 0, 0, links.kept),
        ]
    }

    fn client_row(&self, slot: u32, client: &ClientPeer) -> ClientRow {
        let waiting = if client.ticket.is_some() { self.now.saturating_sub(client.waits_since) } else { 0 };
        let server = self.peers.get(client.server as usize);
        let state = match (&client.stage, server) {
            (Stage::Login(_) | Stage::Greeted, _) => State::Login,
            (Stage::Admin { busy: true, .. }, _) => State::Active,
            _ if client.ticket.is_some() => State::Waiting,
            (_, Some(Peer::Server(server))) => server_state(server),
            _ => State::Idle,
        };
        ClientRow {
            id: pid(self.id, slot) as u32,
            user: client.user.clone(),
            database: client.database.clone(),
            addr: client.address.map(|address| address.ip().to_string()).unwrap_or_default(),
            port: client.address.map_or(0, |address| address.port()),
            state,
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
            ..ClientRow::default()
        }
    }

    fn server_row(&self, server: &ServerPeer) -> ServerRow {
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
            bytes_received: link.received,
            bytes_sent: link.sent,
            age_s: elapsed / 1_000_000_000,
            ..ServerRow::default()
        }
    }

    fn pool_row(&self, pool: &Pool) -> PoolRow {
        let spec = &pool.shared.spec;
        let in_transaction = self.peers.iter().filter(|peer| match peer {
            Peer::Server(server) => server.pool == pool.shared.id && server_state(server) == State::IdleInTransaction,
            _ => false,
        });
        let sv_idle_xact = in_transaction.count() as u64;
        let slice = &pool.slice;
        PoolRow {
            id: u64::from(pool.shared.id),
            database: spec.database.clone(),
            user: spec.user.clone(),
            addr: spec.host.clone(),
            port: spec.port,
            role: Role::Primary,
            cl_waiting: u64::from(slice.waiting()),
            sv_idle: u64::from(slice.idle()),
            sv_active: u64::from(slice.active()).saturating_sub(sv_idle_xact),
            sv_idle_xact,
            sv_total: u64::from(slice.idle() + slice.active() + slice.opening() + slice.leaving()),
            maxwait_us: slice.oldest_wait(self.now) / 1000,
            mode: spec.mode,
            paused: pool.shared.state.ledger.paused(),
            healthy: pool.shared.state.ledger.retry_at() == 0,
            errors: pool.counts.errors,
            re_synced: pool.re_synced,
            out_of_sync: pool.out_of_sync,
            force_closed: pool.force_closed,
            online: !pool.retired,
            ..PoolRow::default()
        }
    }

    fn stats_row(&self, pool: &Pool) -> StatsRow {
        let spec = &pool.shared.spec;
        StatsRow {
            pool_id: u64::from(pool.shared.id),
            database: spec.database.clone(),
            user: spec.user.clone(),
            addr: spec.host.clone(),
            port: spec.port,
            counts: pool.counts,
            period: pool.period,
            ..StatsRow::default()
        }
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
