//! Commands that the data cores carry out: PAUSE, RECONNECT, KILL and the like. Each becomes one order to all cores; their numbers are added up, and
//! a command that waits for something asks again until there is nothing left of it. A PAUSE whose admin client goes while it waits, or says that it
//! does not want to wait, is taken back: nobody is left who would say RESUME.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::console::{Command, Ending, Scope};
use crate::admin::show;
use crate::mail::{Asker, Mail, Order};

use super::console::{ASKED_MAX, answer};
use super::cores::Cores;
use super::inbox::Heard;
use super::run::Control;
use super::standing::{Words, overlaps};

/// How often a command that waits looks again.
const LOOK: Duration = Duration::from_millis(10);

/// What the numbers of all cores are for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Until {
    /// nothing: it is done when all have done it
    Done,
    /// there must be one
    Found,
    /// there must be nothing left
    Nothing,
    /// the same for a PAUSE of this scope; `undo`: nothing of it was paused before, and how often something had been said then: a later word of
    /// somebody stands
    Paused { scope: Scope, undo: Option<u64> },
    /// the same for SUSPEND
    Suspended,
    /// there must be nobody left; then pg_dog ends, whoever has asked for it
    Nobody,
}

/// An order that the cores carry out.
pub struct Ordered {
    asker: Asker,
    tag: &'static str,
    order: Arc<Order>,
    until: Until,
    missing: usize,
    count: u64,
    orphaned: bool,
}

/// SQLSTATE and message.
type Refusal = (&'static str, String);

impl Control {
    /// Carries out a command of this kind. Err: it cannot be, and why; otherwise it is answered here, now or later.
    pub(super) fn operate(&mut self, command: &Command, asker: Asker, cores: &mut Cores) -> Result<(), Refusal> {
        if self.ordered.len() >= ASKED_MAX {
            return Err(("53000", "too many commands at once; retry".to_string()));
        }
        let (order, until) = match command {
            Command::Reconnect(scope) => {
                self.must_exist(scope)?;
                self.inbox.post(Heard::Relisten(scope.clone()));
                (Order::Replace(scope.clone()), Until::Done)
            }
            Command::WaitClose(scope) => {
                self.must_exist(scope)?;
                (Order::Closing(scope.clone()), Until::Nothing)
            }
            Command::Pause(scope) => {
                self.must_exist(scope)?;
                let fresh = !self.is_paused(scope);
                self.say(|standing| &mut standing.paused, scope, true)?;
                let undo = fresh.then_some(self.standing.said);
                (Order::InUse(scope.clone()), Until::Paused { scope: scope.clone(), undo })
            }
            Command::Resume(scope) => {
                self.must_exist(scope)?;
                self.say(|standing| &mut standing.paused, scope, false)?;
                self.end_pauses(scope, cores);
                if scope.is_all() && self.standing.suspended {
                    self.wake(cores);
                }
                (Order::Look(scope.clone()), Until::Done)
            }
            Command::Maintenance { on, scope } => {
                self.must_exist(scope)?;
                self.say(|standing| &mut standing.held, scope, *on)?;
                (Order::Hold { any: self.standing.held.any(), scope: scope.clone() }, Until::Done)
            }
            Command::Kill(database) => {
                let scope = Scope::database(Some(database.clone()));
                self.must_exist(&scope)?;
                self.say(|standing| &mut standing.paused, &scope, true)?;
                (Order::Drop(scope), Until::Done)
            }
            Command::Suspend => {
                self.standing.suspended = true;
                (Order::Suspend, Until::Suspended)
            }
            Command::KillClient(id) => (Order::DropClient(*id), Until::Found),
            Command::Disable(database) | Command::Enable(database) => {
                self.disable(database, matches!(command, Command::Disable(_)))?;
                done(asker, command.tag(), cores);
                return Ok(());
            }
            Command::Shutdown(ending) => {
                done(asker, command.tag(), cores);
                if *ending != Ending::Clients {
                    self.end(*ending, cores);
                    return Ok(());
                }
                (Order::Close, Until::Nobody)
            }
            other => return Err(("XX000", format!("{} is not an order", other.tag()))),
        };
        let order = Ordered { asker, tag: command.tag(), order: Arc::new(order), until, missing: 0, count: 0, orphaned: false };
        let request = self.next_request;
        self.next_request += 1;
        self.ordered.insert(request, order);
        self.ask_cores(request, cores);
        Ok(())
    }

    /// Refuses new clients of a database, or takes them again.
    fn disable(&mut self, database: &str, disable: bool) -> Result<(), Refusal> {
        self.must_exist(&Scope::database(Some(database.to_string())))?;
        if disable {
            self.standing.disabled.insert(database.to_string());
        } else {
            self.standing.disabled.remove(database);
        }
        self.standing.apply(&self.shared.published.load().pools);
        Ok(())
    }

    /// Sends an order to all cores (again).
    pub(super) fn ask_cores(&mut self, request: u64, cores: &mut Cores) {
        let Some(ordered) = self.ordered.get_mut(&request) else { return };
        (ordered.missing, ordered.count, ordered.orphaned) = (cores.count(), 0, false);
        let (asker, order) = (ordered.asker, ordered.order.clone());
        cores.post_all(|| Mail::Order { request, asker, order: order.clone() });
    }

    /// One core has carried out an order.
    pub(super) fn obeyed(&mut self, request: u64, count: u64, orphaned: bool, cores: &mut Cores) {
        let Some(ordered) = self.ordered.get_mut(&request) else { return };
        ordered.count += count;
        ordered.orphaned |= orphaned;
        ordered.missing -= 1;
        if ordered.missing > 0 {
            return;
        }
        let (left, orphaned) = (ordered.count, ordered.orphaned);
        match &ordered.until {
            Until::Nobody if left > 0 => return self.ask_later(request),
            Until::Nothing | Until::Paused { .. } | Until::Suspended if left > 0 && !orphaned => return self.ask_later(request),
            _ => {}
        }
        let Some(Ordered { asker, tag, until, .. }) = self.ordered.remove(&request) else { return };
        match until {
            Until::Found if left == 0 => {
                let mut bytes = Vec::new();
                show::failed("08P01", "there is no client with that id; SHOW CLIENTS lists them", &mut bytes);
                answer(asker, bytes, cores);
            }
            Until::Nobody => self.end(Ending::Drain, cores),
            Until::Paused { scope, undo } if left > 0 => self.take_back(&scope, undo, cores),
            Until::Suspended if left > 0 => self.wake(cores),
            _ => done(asker, tag, cores),
        }
    }

    fn ask_later(&self, request: u64) {
        let inbox = self.inbox.clone();
        glommio::spawn_local(async move {
            glommio::timer::sleep(LOOK).await;
            inbox.post(Heard::Again(request));
        })
        .detach();
    }

    /// An admin client does not want to wait for its answer any more.
    pub(super) fn interrupted(&mut self, asker: Asker, cores: &mut Cores) {
        let waits = |ordered: &Ordered| ordered.asker == asker && matches!(ordered.until, Until::Nothing | Until::Paused { .. } | Until::Suspended);
        let Some(request) = self.ordered.iter().find(|(_, ordered)| waits(ordered)).map(|(request, _)| *request) else { return };
        match self.ordered.remove(&request).map(|ordered| ordered.until) {
            Some(Until::Paused { scope, undo }) => self.take_back(&scope, undo, cores),
            Some(Until::Suspended) => self.wake(cores),
            _ => {}
        }
        let mut bytes = Vec::new();
        show::failed("57014", "canceling statement due to user request", &mut bytes);
        answer(asker, bytes, cores);
    }

    /// A PAUSE came to nothing.
    fn take_back(&mut self, scope: &Scope, undo: Option<u64>, cores: &mut Cores) {
        if undo != Some(self.standing.said) {
            return;
        }
        tracing::info!(?scope, "a PAUSE was given up while servers were still in use: RESUME");
        if self.say(|standing| &mut standing.paused, scope, false).is_ok() {
            tell(Order::Look(scope.clone()), cores);
        }
    }

    /// The end of SUSPEND.
    fn wake(&mut self, cores: &mut Cores) {
        self.standing.suspended = false;
        tell(Order::Wake, cores);
    }

    /// PAUSEs that still wait for what is now resumed would wait for ever.
    fn end_pauses(&mut self, scope: &Scope, cores: &mut Cores) {
        let over = |ordered: &mut Ordered| match &ordered.until {
            Until::Paused { scope: paused, .. } => overlaps(paused, scope),
            Until::Suspended => scope.is_all(),
            _ => false,
        };
        for (_, ordered) in self.ordered.extract_if(|_, ordered| over(ordered)) {
            let mut bytes = Vec::new();
            show::failed("57014", "RESUME came before all servers had come back", &mut bytes);
            answer(ordered.asker, bytes, cores);
        }
    }

    /// Takes a word that stands, and tells the pools.
    fn say(&mut self, kind: fn(&mut super::standing::Standing) -> &mut Words, scope: &Scope, on: bool) -> Result<(), Refusal> {
        if !kind(&mut self.standing).say(scope, on) {
            return Err(("54000", "too many different databases and users are paused one by one".to_string()));
        }
        self.standing.said += 1;
        self.standing.apply(&self.shared.published.load().pools);
        Ok(())
    }

    /// SHUTDOWN WAIT_FOR_CLIENTS has been said.
    pub(super) fn closing(&self) -> bool {
        self.ordered.values().any(|ordered| ordered.until == Until::Nobody)
    }

    fn is_paused(&self, scope: &Scope) -> bool {
        let published = self.shared.published.load();
        published.pools.iter().any(|pool| {
            let (user, database) = (&pool.spec.user, &pool.spec.database);
            scope.covers(user, database) && self.standing.paused.says(user, database)
        })
    }

    /// A name that stands for nothing is a slip of the operator's.
    fn must_exist(&self, scope: &Scope) -> Result<(), Refusal> {
        let published = self.shared.published.load();
        let known = scope.is_all() || published.pools.iter().any(|pool| scope.covers(&pool.spec.user, &pool.spec.database));
        if known { Ok(()) } else { Err(("08P01", "there is no such database or user; SHOW DATABASES lists them".to_string())) }
    }
}

/// An order that nobody has to be answered; the cores' numbers are for nothing.
fn tell(order: Order, cores: &mut Cores) {
    let (asker, order) = (Asker { core: usize::MAX, slot: 0, generation: 0 }, Arc::new(order));
    cores.post_all(|| Mail::Order { request: u64::MAX, asker, order: order.clone() });
}

fn done(asker: Asker, tag: &str, cores: &mut Cores) {
    let mut bytes = Vec::new();
    show::done(tag, &mut bytes);
    answer(asker, bytes, cores);
}
