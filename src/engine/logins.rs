//! Clients before their first query: a fresh socket, its login, the parameters it is greeted with.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::admin::counts::Refusal;
use crate::auth::scram::salt_of;
use crate::config::snapshot::{Admin, AuthType, ClientSecrets, PoolerMode};
use crate::io::links::Bytes;
use crate::io::{Door, Fd, socket};
use crate::mail::{Asker, Desk, Job, Mail, SharedPool, VerifierCell};
use crate::session::client::Client;
use crate::session::login::{Identity, LONG_KEY, Login, Step};
use crate::session::parameters::Profile;
use crate::session::spelling::spelled;
use crate::wire::server;

use super::core::Core;
use super::guard::guard;
use super::peers::{ClientPeer, Peer, Stage};
use super::replication::pool_of;
use super::report::Making;
use super::timers::{Timer, ns};
use super::{CLIENTS_MAX, CORES_MAX};

/// Bits of a cancel key's pid that name the slot; the rest name the core.
const SLOT_BITS: u32 = CLIENTS_MAX.trailing_zeros();
const _: () = assert!((CORES_MAX as u64) << SLOT_BITS <= i32::MAX as u64, "a pid is positive");

fn admin_secrets(admin: &Admin) -> Arc<ClientSecrets> {
    Arc::new(ClientSecrets::password(admin.password.as_str()))
}

/// The pid that a client is told: which core, which slot.
pub fn pid(core: usize, slot: u32) -> i32 {
    (((core as u32) << SLOT_BITS) | slot) as i32 + 1
}

/// Core and slot behind a pid.
pub fn place(pid: i32) -> Option<(usize, u32)> {
    let number = u32::try_from(pid.checked_sub(1)?).ok()?;
    Some(((number >> SLOT_BITS) as usize, number & (CLIENTS_MAX as u32 - 1)))
}

/// Which refusal that is, for those who count; the client is told the same of a wrong password as of an unknown user.
fn refusal(code: &str) -> Refusal {
    if code.starts_with("28") { Refusal::WrongPassword } else { Refusal::Protocol }
}

impl<D: Door, K: Desk> Core<D, K> {
    /// A fresh socket becomes a client; `Shared::clients` counts it already.
    pub(super) fn seat_client(&mut self, fd: Fd) {
        let slot = self.adopt_client(fd);
        let mut secret = [0; LONG_KEY];
        self.desk.random(&mut secret);
        let number = self.shared.next_client.fetch_add(1, Ordering::Relaxed);
        let peer = ClientPeer {
            secret,
            address: socket::peer(fd),
            connected_wall: self.links.door.wall_ms(),
            ..ClientPeer::new(Client::new(PoolerMode::Transaction, number), number)
        };
        self.clients += 1;
        self.seat(slot, Peer::Client(Box::new(peer)));
        let timeout = ns(self.published.snapshot.general.client_login_timeout);
        self.wheel.arm(self.now.saturating_add(timeout), Timer::Login { slot, generation: self.links.generation(slot) });
        self.links.resume(slot);
    }

    fn random_18(&self) -> [u8; 18] {
        let mut random = [0; 18];
        self.desk.random(&mut random);
        random
    }

    /// Runs one step of a login and says what it says.
    fn login_step(&mut self, slot: u32, step: impl FnOnce(&mut Login, &mut Vec<u8>) -> Step) {
        let mut words = Vec::new();
        let Some(Stage::Login(login)) = self.peers[slot as usize].client().map(|peer| &mut peer.stage) else { return };
        let step = match guard(|| step(login, &mut words)) {
            Ok(step) => step,
            Err(why) => return self.client_panicked(slot, &why),
        };
        self.links.say(slot, &words);
        self.logged(slot, step);
    }

    pub(super) fn feed_login(&mut self, slot: u32, bytes: Bytes) -> usize {
        let generation = self.links.generation(slot);
        let (random, secret) = (self.random_18(), self.shared.secret);
        let mut consumed = 0;
        self.login_step(slot, |login, words| {
            let (taken, step) = login.on_bytes(bytes.view(), &random, &secret, words);
            consumed = taken;
            step
        });
        let rest = consumed > 0 && consumed < bytes.view().len() && self.links.is_open(slot, generation);
        if rest {
            // Whatever follows is read in its turn, by whatever the client is by then.
            self.again.push_back((slot, generation));
        }
        consumed
    }

    fn logged(&mut self, slot: u32, step: Step) {
        match step {
            Step::More => {}
            Step::Who => self.identify(slot),
            Step::NeedVerifier => self.ask_for_verifier(slot),
            Step::NeedCheck(check) => {
                let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
                self.desk.job(asker, Job::Check(check));
            }
            Step::Cancel(pid, key) => {
                self.cancel_requested(pid, &key);
                self.client_gone(slot);
            }
            Step::Done => self.proved(slot),
            Step::Refused { code, message } => {
                if let Some(Stage::Login(login)) = self.peers[slot as usize].client().map(|peer| &peer.stage) {
                    self.shared.tallies[self.id].refuse(refusal(code));
                    tracing::warn!(user = %login.user, database = %login.database, code, "login refused: {message}");
                }
                self.client_fatal(slot, code, &message, None);
            }
            Step::Close => {
                self.shared.tallies[self.id].refuse(Refusal::Protocol);
                self.client_gone(slot);
            }
        }
    }

    fn identify(&mut self, slot: u32) {
        let published = self.published.clone();
        let random = self.random_18();
        if self.draining {
            self.shared.tallies[self.id].refuse(Refusal::ShuttingDown);
            return self.client_fatal(slot, "57P01", "pg_dog is shutting down", None);
        }
        if let Some((code, message, hint)) = self.has_no_room_for(slot) {
            self.shared.tallies[self.id].refuse(Refusal::NoRoom);
            return self.client_fatal(slot, code, message, Some(hint));
        }
        let trusted = self.is_trusted(slot);
        if let Some(peer) = self.peers[slot as usize].client() {
            peer.operator = matches!(&peer.stage, Stage::Login(login) if login.database == published.snapshot.admin.database);
        }
        self.login_step(slot, |login, words| {
            let admin = &published.snapshot.admin;
            let how = published.snapshot.general.auth_type;
            if login.database == admin.database && trusted {
                // Who may read this process's memory anyway needs no password to ask it something.
                return login.identified(AuthType::Trust, Identity { known: true, ..Identity::default() }, &random, words);
            }
            if login.database == admin.database {
                // The console always wants its password, whatever clients of the pools may do without.
                let how = if how == AuthType::Trust { AuthType::Scram } else { how };
                let known = login.user == admin.user;
                let verifier = published.admin_verifier.load_full().filter(|_| known);
                return login.identified(
                    how,
                    Identity { known, secrets: if known { admin_secrets(admin) } else { Arc::default() }, verifier },
                    &random,
                    words,
                );
            }
            let identity = match pool_of(&published, login) {
                Some(pool) => Identity { known: true, secrets: pool.spec.client.clone(), verifier: pool.verifier.load_full() },
                None => Identity::default(),
            };
            login.identified(how, identity, &random, words)
        });
    }

    /// On the Unix socket: somebody of root, or of the account that runs pg_dog.
    fn is_trusted(&self, slot: u32) -> bool {
        matches!(&self.peers[slot as usize], Peer::Client(peer) if peer.address.is_none()) && self.links.is_local(slot)
    }

    /// Why no more clients get in, and what to do about it. The operator gets in all the same.
    fn has_no_room_for(&self, slot: u32) -> Option<(&'static str, &'static str, &'static str)> {
        let admin = &self.published.snapshot.admin.database;
        let operator =
            matches!(&self.peers[slot as usize], Peer::Client(peer) if matches!(&peer.stage, Stage::Login(login) if login.database == *admin));
        let clients: usize = self.shared.clients.iter().map(|clients| clients.0.load(Ordering::Relaxed)).sum();
        if operator {
            None
        } else if clients > self.clients_max {
            let hint = "Fewer clients at once, or a higher limit of open files for pg_dog (`ulimit -n`, systemd LimitNOFILE=).";
            Some(("53300", "sorry, too many clients already", hint))
        } else if self.links.blocks.in_use() > self.memory_max {
            let hint = "Clients that send much before they read, or read slowly, fill pg_dog's memory; try again, or raise [memory] limit.";
            Some(("53200", "sorry, no memory for more clients", hint))
        } else {
            None
        }
    }

    /// The cell in which the verifier of a client's user is, or will be.
    fn verifier_cell(&mut self, slot: u32) -> Option<(Arc<VerifierCell>, Arc<ClientSecrets>, String)> {
        let published = self.published.clone();
        let Some(Stage::Login(login)) = self.peers[slot as usize].client().map(|peer| &peer.stage) else { return None };
        if login.database == published.snapshot.admin.database {
            return Some((published.admin_verifier.clone(), admin_secrets(&published.snapshot.admin), login.user.clone()));
        }
        let pool = pool_of(&published, login)?;
        Some((pool.verifier.clone(), pool.spec.client.clone(), login.user.clone()))
    }

    fn ask_for_verifier(&mut self, slot: u32) {
        let Some((cell, secrets, user)) = self.verifier_cell(slot) else { return self.client_gone(slot) };
        let asker = Asker { core: self.id, slot, generation: self.links.generation(slot) };
        let salt = salt_of(&self.shared.secret, user.as_bytes());
        self.verifying.insert((slot, asker.generation), cell.clone());
        self.desk.job(asker, Job::Verifier { cell, secrets, salt });
    }

    /// A helper has made what this slot waits for.
    pub(super) fn made(&mut self, slot: u32, generation: u32) {
        // The one that was asked for: a reload may have put another in its place.
        let cell = self.verifying.remove(&(slot, generation));
        if !self.links.is_open(slot, generation) {
            return;
        }
        match &self.peers[slot as usize] {
            Peer::Server(_) => return self.server_keys_made(slot),
            Peer::Sender(_) => return self.sender_keys_made(slot),
            _ => {}
        }
        if self.was_read(slot) {
            return;
        }
        let verifier = cell.and_then(|cell| cell.load_full());
        let random = self.random_18();
        self.login_step(slot, |login, words| login.verifier_made(verifier.as_deref(), &random, words));
        self.feed_later(slot);
    }

    /// The client is who it says.
    fn proved(&mut self, slot: u32) {
        let published = self.published.clone();
        let version = self.version;
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let Stage::Login(login) = std::mem::replace(&mut peer.stage, Stage::Greeted) else { return };
        self.shared.tallies[self.id].logins.add(1);
        peer.user = login.user.clone();
        peer.database.clone_from(&login.database);
        peer.secret_length = login.key_length() as u8;
        let operator = login.database == published.snapshot.admin.database;
        if peer.operator != operator {
            // A reload has renamed the admin database meanwhile: what was proved was proved for something else.
            return self.client_fatal(slot, "57P03", "the configuration has changed during the login; connect again", None);
        }
        if operator && login.replication.is_some() {
            return self.client_fatal(slot, "0A000", "the admin database does not speak the replication protocol", None);
        }
        if operator {
            peer.stage = Stage::Admin { busy: false, skipping: false };
            self.clients -= 1;
            return self.greet_admin(slot);
        }
        let Some(pool) = pool_of(&published, &login).cloned() else {
            return self.client_fatal(slot, "3D000", "this database is no longer configured", None);
        };
        if !self.may_replicate(slot, &login, &pool) {
            return;
        }
        if pool.state.ledger.disabled() {
            let hint = "An operator has said DISABLE; ENABLE on the admin database lets clients in again.";
            return self.client_fatal(slot, "57P03", "this database takes no new clients at the moment", Some(hint));
        }
        if let Some(full) = self.take_places(slot, &pool) {
            let hint = "Fewer clients at once, or a higher bound in the configuration.";
            return self.client_fatal(slot, "53300", full, Some(hint));
        }
        let Some(peer) = self.peers[slot as usize].client() else { return };
        peer.client = Client::new(pool.spec.mode, peer.number);
        peer.client.limit_messages(published.snapshot.general.query_size_limit);
        peer.client.share(published.snapshot.general.prepared_statements, self.front.clone());
        peer.version = version;
        let of_shards = if pool.spec.shards > 1 { published.shards(&pool) } else { &[] };
        peer.join(pool.clone(), of_shards);
        self.spread(slot);
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let (user, database, address) = (peer.user.clone(), peer.database.clone(), peer.address);
        let profile = self.intern(Profile::new(login.parameters.iter().cloned()));
        if let Some(peer) = self.peers[slot as usize].client() {
            peer.client.starts_with(profile.clone());
            peer.profile = profile;
        }
        if self.operate.suspended {
            self.links.sleep(slot);
        }
        if published.snapshot.general.log_connections {
            tracing::info!(%user, %database, address = ?address, "client connected");
        }
        if self.replicates(slot) {
            self.checkout(slot);
        } else if pool.state.parameters.load().is_some() {
            self.greet(slot);
        } else if self.checkout(slot) {
            self.begin(slot);
        }
    }

    /// A client's places among those of its database and of its user; what is full, if one is.
    fn take_places(&mut self, slot: u32, pool: &SharedPool) -> Option<&'static str> {
        let [database, user] = &pool.quotas;
        if !database.clients.enter() {
            return Some("sorry, too many clients of this database already (max_db_client_connections)");
        }
        if !user.clients.enter() {
            database.clients.leave();
            return Some("sorry, too many clients of this user already (max_user_client_connections)");
        }
        if let Some(peer) = self.peers[slot as usize].client() {
            peer.quotas = Some(Box::new(pool.quotas.clone()));
        }
        None
    }

    /// Tells a client what a server would tell it, and that it may begin.
    pub(super) fn greet(&mut self, slot: u32) {
        let core = self.id;
        let Some(peer) = self.peers[slot as usize].client() else { return };
        let Some(state) = peer.pool.as_ref().map(|pool| &pool.state) else { return };
        // The number first: a list that is newer than its number is only looked at once more.
        let number = state.reports.load(Ordering::Acquire);
        let Some(parameters) = state.parameters.load_full() else { return };
        let mut words = Vec::new();
        for (name, value) in parameters.iter() {
            let value = peer.profile.get(name).map_or(Cow::from(value), |asked| spelled(name, asked, value));
            // These came in one message from the server, or in one startup packet, so that they fit one now.
            let _ = server::parameter_status(&mut words, name.as_bytes(), value.as_bytes());
        }
        let _ = server::backend_key_data(&mut words, pid(core, slot), peer.secret());
        server::ready(&mut words, b'I');
        peer.stage = Stage::Ready;
        (peer.told, peer.told_number) = (Some(parameters), number);
        peer.idle_since = self.now;
        self.links.say(slot, &words);
        self.watch(slot);
        self.release_if_free(slot);
        self.feed_later(slot);
    }

    /// A letter for this core.
    pub(super) fn read_mail(&mut self) {
        if !self.post.arrived() {
            return;
        }
        while let Some(mail) = self.post.next_letter() {
            self.shared.tallies[self.id].letters.add(1);
            match mail {
                Mail::Hand(moved) => self.handed(moved),
                Mail::Take { pool, from } => self.taken(pool, from),
                Mail::Nudge { pool } => self.nudged(pool),
                Mail::Deserted { pool } => self.deserted(pool),
                Mail::MakeRoom { pool } => self.make_room_for(pool),
                Mail::Refund { pool } => self.refunded(pool),
                Mail::Client { fd } => self.seat_client(fd),
                Mail::Cancel { slot, secret } => self.cancel_client(slot, &secret),
                Mail::Made { slot, generation } => self.made(slot, generation),
                Mail::Published => self.take_published(),
                Mail::Report { request, wants } => self.operate.reports.push_back(Making::new(request, wants)),
                Mail::Answer { slot, generation, bytes } => self.answer_admin(slot, generation, &bytes),
                Mail::Order { request, asker, order } => self.ordered(request, asker, order),
                Mail::Drain => self.drain(),
                Mail::Air(letter) => self.air(letter),
            }
        }
    }
}
