//! What a run is like: how pg_dog is configured, what servers, clients, the network and the operator do in it, all thrown from one seed.

use std::time::Duration;

use pg_dog::config::snapshot::{AuthType, ClientRecovery, NEVER, PoolerMode, Recovery};
use pg_dog::io::Group;
use pg_dog::io::sim::{Answer, Dice, Faults, Limits, Way, World};

use crate::fake_client::Habits;
use crate::fake_server::{Doom, Mischief};
use crate::house::{Happening, House};
use crate::proxy::{Proxy, Setup};

/// What happens to pg_dog in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// servers live for ever, so that no error is right but those that PostgreSQL itself would give; pools may be paused and resized
    Calm,
    /// servers die, refuse and are away
    Storm,
    /// pg_dog is told to end
    Dusk,
    /// whole servers restart or fail over; logins end at any byte
    Quake,
    /// servers and the network hang in the middle of anything, processes take their time to go
    Fog,
    /// servers talk nonsense, and out of turn
    Babel,
    /// clients go at any byte, do not read, send far ahead, cancel what is not theirs; descriptors run out, clocks are set
    Rabble,
    /// any of these together
    Chaos,
}

/// What of all that a run has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    pub storm: bool,
    pub dusk: bool,
    quake: bool,
    fog: bool,
    babel: bool,
    rabble: bool,
    operator: bool,
    resizes: bool,
}

/// SQLSTATEs that tell of a server's end, or of not getting one. Right only where servers die.
const ENDS: [&str; 9] = ["08001", "08006", "08007", "08P01", "57P01", "57P02", "57P03", "57P05", "53300"];
/// Longer than all timeouts of a run together.
const PATIENCE_NS: u64 = 30_000_000_000;
const MS: u64 = 1_000_000;

/// A time that matters within a run, or never.
fn some_time(dice: &mut Dice, below_ms: u64) -> Duration {
    if dice.chance(500) { NEVER } else { Duration::from_millis(dice.below(below_ms)) }
}

impl Mix {
    pub fn of(weather: Weather, dice: &mut Dice) -> Mix {
        let none = Mix::default();
        match weather {
            Weather::Calm => Mix { operator: true, resizes: dice.chance(300), ..none },
            Weather::Storm => Mix { storm: true, ..none },
            Weather::Dusk => Mix { dusk: true, ..none },
            Weather::Quake => Mix { quake: true, ..none },
            Weather::Fog => Mix { fog: true, ..none },
            Weather::Babel => Mix { babel: true, ..none },
            Weather::Rabble => Mix { rabble: true, ..none },
            Weather::Chaos => {
                let mut some = || dice.chance(400);
                Mix { storm: some(), dusk: some(), quake: some(), fog: some(), babel: some(), rabble: some(), operator: true, resizes: some() }
            }
        }
    }

    /// No server has a reason to go but its own and that of a client that was cut off.
    pub fn keeps_servers(self, setup: &Setup) -> bool {
        let lasting = setup.idle_timeout == NEVER && setup.server_lifetime == NEVER && setup.connection_recovery == Recovery::Recover;
        self.is_fair() && !self.resizes && lasting
    }

    /// Nothing goes wrong.
    fn is_fair(self) -> bool {
        !(self.dusk || self.is_hasty())
    }

    /// Things may hang, so that timeouts are set and clients do not wait for ever.
    fn is_hasty(self) -> bool {
        self.storm || self.quake || self.fog || self.babel || self.rabble
    }

    pub fn faults(self, dice: &mut Dice) -> Faults {
        let faults = Faults::seeded(dice);
        let away = self.storm || self.quake;
        Faults {
            no_socket: if away || self.rabble { faults.no_socket } else { 0 },
            refused_connect: if away { faults.refused_connect } else { 0 },
            ..faults
        }
    }

    pub fn setup(self, dice: &mut Dice, limits: &Limits) -> Setup {
        let pool_size = dice.between(1, 6) as usize;
        // Whoever waits for what hangs must have an end.
        let hasty = self.is_hasty();
        let bytes = |group: Group| {
            let (count, size) = if group == Group::Clients { limits.client_buffers } else { limits.server_buffers };
            usize::from(count) * size
        };
        Setup {
            cores: if dice.chance(500) { 2 } else { 4 },
            users: if dice.chance(300) { vec!["app", "other"] } else { vec!["app"] },
            pool_size,
            min_pool_size: if dice.chance(700) { 0 } else { dice.between(1, pool_size as u64) as usize },
            mode: if dice.chance(200) { PoolerMode::Session } else { PoolerMode::Transaction },
            full: dice.chance(500),
            auth: if dice.chance(500) { AuthType::Trust } else { AuthType::Plain },
            recovery: if dice.chance(500) { ClientRecovery::Recover } else { ClientRecovery::Drop },
            spread: dice.chance(500),
            fair_us: dice.below(3000),
            checkout_timeout: if hasty { Some(Duration::from_millis(dice.between(5, 5000))) } else { None },
            connect_timeout: Duration::from_secs(if hasty { 1 } else { 600 }),
            login_timeout: Duration::from_secs(if hasty { 5 } else { 600 }),
            connect_attempts: dice.between(1, 3) as u32,
            connect_attempt_delay: Duration::from_millis(dice.below(2) * dice.below(20)),
            server_connects: dice.between(1, 8) as u32,
            idle_timeout: some_time(dice, 50),
            server_lifetime: some_time(dice, 100),
            healthcheck_interval: some_time(dice, 20),
            connection_recovery: [Recovery::Recover, Recovery::Recover, Recovery::RollbackOnly, Recovery::Drop][dice.below(4) as usize],
            buffers: [bytes(Group::Clients), bytes(Group::Servers)],
        }
    }

    pub fn mischief(self, dice: &mut Dice) -> Mischief {
        let chats_ns = dice.below(2) * dice.between(100_000, 5_000_000);
        let asks_password = dice.chance(300);
        let mut mischief =
            Mischief { login_ns: dice.below(2_000_000), cancel_ns: dice.below(2_000_000), chats_ns, asks_password, ..Mischief::default() };
        let mut some = |most: u64| (dice.below(2) * dice.below(most)) as u32;
        // Nobody may notice.
        mischief.dies_for_pool = some(300);
        if self.storm {
            mischief.dies = some(30);
            mischief.lifetime_ns = u64::from(some(2)) * 20_000_000 + u64::from(some(80_000_000));
            mischief.refuses_login = some(300);
        }
        if self.quake {
            mischief.cut = some(300);
            mischief.refuses_login = some(200);
        }
        if self.fog {
            mischief.cut = some(200);
            mischief.hangs = 700;
            mischief.chats_more = true;
            mischief.reply_hangs = some(10);
            mischief.chats_ns = mischief.chats_ns.max(100_000 + u64::from(some(2_000_000)));
            mischief.cancels_stick = some(800);
        }
        if self.babel {
            mischief.nonsense = some(20);
            mischief.chats_ns = u64::from(some(2_000_000)) + 100_000;
            mischief.chats_more = true;
            mischief.cut = mischief.cut.max(some(100));
        }
        if self.rabble {
            mischief.cancel_ns = u64::from(some(300)) * MS;
        }
        if !self.is_fair() {
            mischief.lingers_ns = u64::from(some(500)) * MS;
        }
        mischief
    }

    pub fn habits(self, dice: &mut Dice) -> Habits {
        let rabble = self.rabble;
        // Long enough for a cancel request that is given up to come late.
        let slow = self.fog && dice.chance(200);
        Habits {
            requests: dice.between(5, 40) as usize,
            anonymous: dice.chance(300),
            vanishes: dice.below(2) as u32 * dice.below(60) as u32,
            cancels: if slow { 200 } else { dice.below(2) as u32 * 50 },
            prepares: 0,
            slow_us: if slow { 1_000_000 } else { 3000 },
            odd_cancels: if rabble { 500 } else { 0 },
            ahead: if rabble && dice.chance(300) { dice.between(5, 60) as usize } else { 4 },
            deaf_ns: if rabble && dice.chance(300) { dice.between(2, 3000) * MS } else { 2 * MS },
            cut: if rabble { dice.below(500) as u32 } else { 0 },
            thinks_ns: dice.below(5_000_000),
            forgives: !self.is_fair(),
            patience_ns: if self.is_hasty() { PATIENCE_NS } else { 0 },
            returns: !self.dusk && !self.is_fair() && dice.chance(700),
            ends: if self.is_fair() { &[] } else { &ENDS },
        }
    }

    /// What the operator, the network and the machine do in a run.
    pub fn plan(self, house: &mut House, proxy: &Proxy) {
        let mut fate = house.dice.fork();
        let told = |tell: fn(&Proxy, &World)| -> Happening {
            let proxy = proxy.clone();
            Box::new(move |house| tell(&proxy, &house.world))
        };
        let mut at = |from: u64, to: u64, what: Happening| {
            let at = house.dice.between(from * MS, to * MS);
            house.later(at, what);
        };
        if self.operator {
            if fate.chance(200) {
                at(5, 40, told(|proxy, _| proxy.pause()));
                at(45, 90, told(|proxy, world| proxy.resume(world)));
            }
            if self.resizes {
                at(5, 60, told(|proxy, world| proxy.resize(world, 1)));
                at(60, 120, told(|proxy, world| proxy.resize(world, 4)));
            }
        }
        if self.dusk {
            at(52, 150, told(|proxy, world| proxy.drain(world)));
        }
        if self.storm {
            for answer in [Answer::Refuse, Answer::Silent] {
                if fate.chance(200) {
                    at(0, 40, Box::new(move |house| house.servers[0].answer(answer)));
                    at(41, 3000, Box::new(|house| house.servers[0].answer(Answer::Accept)));
                }
            }
        }
        if self.quake {
            for _ in 0..fate.between(1, 4) {
                let doom = [Doom::Told, Doom::Warned, Doom::Reset][fate.below(3) as usize];
                let away = [Some(Answer::Accept), Some(Answer::Refuse), Some(Answer::Silent), None][fate.below(4) as usize];
                let from = fate.between(5, 150);
                at(from, from, Box::new(move |house| house.servers[0].fall(doom, away)));
                at(from + 1, from + if fate.chance(500) { 20 } else { 2000 }, Box::new(|house| house.servers[0].rise()));
            }
        }
        if self.fog {
            for _ in 0..fate.below(4) {
                at(2, 200, Box::new(|house| house.servers[0].stall_one()));
            }
            if fate.chance(200) {
                at(10, 100, Box::new(|house| house.servers[0].fall(Doom::Silent, Some(Answer::Accept))));
            }
        }
        // Both at once, and each perhaps more than once: connections close under whoever waits, clients are listed while they come and go.
        if self.operator && fate.chance(300) {
            for _ in 0..fate.between(1, 3) {
                let (tell, proxy): (fn(&Proxy, &World), _) =
                    if fate.chance(500) { (Proxy::replace, proxy.clone()) } else { (Proxy::report, proxy.clone()) };
                house.later(
                    fate.between(5, 120) * MS,
                    Box::new(move |house| {
                        house.census.borrow_mut().told = true;
                        tell(&proxy, &house.world);
                    }),
                );
            }
        }
        if self.rabble {
            self.plan_machine(house, &mut fate);
        }
    }

    /// Descriptors run out, clocks are set, networks of clients stall.
    fn plan_machine(self, house: &mut House, fate: &mut Dice) {
        if fate.chance(400) {
            let (most, from) = (fate.below(20) as usize, fate.between(1, 60));
            house.later(from * MS, Box::new(move |house| house.world.limit_sockets(Some(most))));
            house.later((from + fate.between(1, 3000)) * MS, Box::new(|house| house.world.limit_sockets(None)));
        }
        for _ in 0..fate.below(4) {
            let (at, by) = (fate.below(150) * MS, fate.below(200_000_000) as i64 - 100_000_000);
            house.later(at, Box::new(move |house| house.world.step_wall(by)));
        }
        for _ in 0..fate.below(4) {
            let (at, way, lasts) = (fate.below(150) * MS, fate.below(3) as usize, fate.below(10_000) * MS);
            let stall = move |house: &mut House| {
                let until = house.world.now() + lasts;
                let which = house.dice.below(house.clients.len() as u64) as usize;
                if let Some(client) = house.clients.get_mut(which) {
                    client.stall([Way::Both, Way::ToPeer, Way::ToProxy][way], until);
                }
            };
            house.later(at, Box::new(stall));
        }
    }
}
