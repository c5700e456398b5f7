//! The extended protocol over several shards, one step after the other: a step is a message, or a Bind with the Describe and Execute that stand
//! right behind it. A statement is prepared at the client's own session always, so that it is there when all is over, and elsewhere when it is bound.
//!
//! Invariant: what is executed on one shard is executed after all that was said before has succeeded on every shard it was said to. A batch without
//! a transaction that comes to a second shard becomes a transaction on all of them, and ends with its Sync.

use crate::route::request::{Join, Over, Part, Refused};
use crate::route::router::Bound;
use crate::sql::transaction::{Control, control, hides_route};
use crate::wire::bind::Values;
use crate::wire::client::{bind_again, bind_names, close_statement, execute, flush, parse, parse_again, sync};
use crate::wire::frame::HEADER;
use crate::wire::server::{ErrorFields, bind_complete, command_complete, error, error_fields, no_data};

use super::client::Client;
use super::coordinator::{Coordinator, Work, say_refused};
use super::cuts::{Group, cut_bind, limit_in, types_of, whole};
use super::exchange::Exchange;
use super::joint::{Joint, Reading};
use super::members::{Acts, Member, Owe, aborted};
use super::numbers;
use super::shards::{Shards, forgotten, hidden};
use super::spread_copy::SpreadCopy;
use super::targets::Target;
use super::turns::Then;

/// Portals of one transaction over shards.
const PORTALS_MAX: usize = 1000;
/// The name under which a participant begins a transaction in the middle of a batch.
const BEGINS: &[u8] = b"pg_dog joins";
/// What the names of statements made of parts of a client's begin with.
const CUT: &str = "pg_dog cut ";

/// Where the steps are.
#[derive(Debug, Default)]
pub struct Steps {
    /// to the next Sync
    pub skipping: bool,
    /// statements that were parsed here
    parses: Vec<Parsed>,
    portals: Vec<Portal>,
    /// shards on which something was executed since the last Sync
    pub touched: Vec<u16>,
    cuts: u32,
    /// shards that a text which no transaction may be around still has to go to, the next one last; and that text
    pub alone: Vec<u16>,
    pub alone_text: Box<[u8]>,
}

/// A statement: its name, and what stands behind it in the Parse.
type Parsed = (Box<[u8]>, Box<[u8]>);

/// A portal, and where it is.
#[derive(Debug)]
struct Portal {
    name: Box<[u8]>,
    does: Does,
    /// some of its rows were left out because the client wanted fewer: it cannot go on
    spoiled: bool,
    /// the client wants its rows in parts, and they come shard by shard: which of the shards is being read
    reads: Option<usize>,
}

impl Portal {
    fn new(name: &[u8], does: Does) -> Portal {
        Portal { name: name.into(), does, spoiled: false, reads: None }
    }
}

#[derive(Clone, Debug)]
enum Does {
    Begin(Box<[u8]>),
    End { commit: bool },
    Runs { shards: Vec<u16>, join: Join, writes: bool },
}

impl Steps {
    /// Something was executed on these shards in the batch at hand.
    pub fn begin(touched: Vec<u16>) -> Steps {
        Steps { touched, ..Steps::default() }
    }

    fn portal(&self, name: &[u8]) -> Option<usize> {
        self.portals.iter().position(|portal| *portal.name == *name)
    }

    /// The shards of a portal.
    pub fn shards_of_portal(&self, name: &[u8]) -> Option<&[u16]> {
        match &self.portals[self.portal(name)?].does {
            Does::Runs { shards, .. } => Some(shards),
            _ => None,
        }
    }

    /// All portals end with their transaction.
    pub fn forget_portals(&mut self) {
        self.portals.clear();
    }

    /// A simple query drops the unnamed statement.
    pub fn queried(&mut self) {
        self.parses.retain(|(name, _)| !name.is_empty());
    }

    /// Of a text that ran without a transaction around it, the error says how far it came.
    pub fn explain_alone(&mut self, said: Box<[u8]>, joint: &Joint) -> Box<[u8]> {
        if std::mem::take(&mut self.alone_text).is_empty() {
            return said;
        }
        let left = std::mem::take(&mut self.alone);
        let Ok(fields) = error_fields(&said[HEADER..]) else { return said };
        let list = |shards: &[u16]| shards.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let failed = joint.failed.map(|shard| shard.to_string()).unwrap_or_default();
        let waits: Vec<u16> = left.iter().rev().copied().collect();
        let detail = format!("Done on shards ({}), failed on shard {failed}, not tried on shards ({}).", list(&joint.done), list(&waits));
        let (message, code) = (fields.text(), fields.sqlstate());
        let hint = Some("It cannot run in a transaction, so that what is done stays: repeat it on the other shards by /* pgdog_shard: n */.");
        let mut words = Vec::new();
        error(&mut words, &ErrorFields { severity: "ERROR", code, message: &message, detail: Some(&detail), hint });
        words.into()
    }
}

/// A participant joins in the middle of a batch: by messages of the extended protocol, which leave its unnamed statement alone.
pub(super) fn join_in_batch(member: &mut Member, texts: &[Vec<u8>], acts: &mut Acts) {
    for text in texts {
        acts.tell(member.shard, |words| {
            // A client's own texts, and names of ours: nothing is too long.
            let _ = close_statement(words, BEGINS);
            let _ = parse(words, BEGINS, text, &[]);
            bind_again(words, BEGINS, BEGINS, 6);
            words.extend_from_slice(&[0; 6]);
            let _ = execute(words, BEGINS);
            let _ = crate::wire::client::close_portal(words, BEGINS);
            let _ = close_statement(words, BEGINS);
            flush(words);
        });
        member.owes.extend([b'C', b'P', b'B', b'E', b'C', b'C'].map(|kind| Owe::Step { kind, shown: false }));
    }
}

impl Coordinator {
    /// What it knows of the shards.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// A message of the extended protocol; `following` is what stands behind it. Returns how many bytes of that were taken with it.
    pub(super) fn step(&mut self, kind: u8, body: &[u8], following: &[u8], home: &Client, link: Option<&Exchange>, acts: &mut Acts) -> usize {
        match kind {
            b'P' => self.parse_step(body, acts),
            b'B' => return self.bind_step(body, following, home, link, acts),
            b'D' | b'C' => self.aside(kind, body, acts),
            b'E' => self.execute_step(body, home.says(link).is_utf8(), acts),
            // Every step is flushed.
            _ => {}
        }
        0
    }

    /// A step that goes nowhere.
    fn refuse_step(&mut self, refused: &Refused, acts: &mut Acts) {
        say_refused(refused, acts);
        self.steps.skipping = true;
        self.failed |= self.began || self.auto;
        self.work = Work::Idle;
    }

    fn parse_step(&mut self, body: &[u8], acts: &mut Acts) {
        let mut parts = body.splitn(2, |byte| *byte == 0);
        let (name, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        let leaves = matches!(control(text), Control::Rollback { .. } | Control::RollbackTo(_) | Control::Commit { .. });
        if self.failed && !leaves {
            return self.refuse_step(&aborted(), acts);
        }
        self.steps.parses.retain(|(known, _)| **known != *name);
        self.steps.parses.push((name.into(), rest.into()));
        self.one_message(0, b'P', body, acts);
    }

    /// A message for one participant, whose answer is the client's.
    fn one_message(&mut self, at: usize, kind: u8, body: &[u8], acts: &mut Acts) {
        let member = &mut self.members[at];
        acts.tell(member.shard, |words| {
            whole(words, kind, body);
            flush(words);
        });
        member.unsynced = true;
        let kind = if kind == b'D' && body.first() == Some(&b'S') { b'd' } else { kind };
        member.owes.push_back(Owe::Step { kind, shown: true });
        let shard = member.shard;
        self.work = Work::Step(self.joint(Join::Union, vec![shard]));
    }

    /// Describe and Close.
    fn aside(&mut self, kind: u8, body: &[u8], acts: &mut Acts) {
        if self.failed && kind == b'D' {
            return self.refuse_step(&aborted(), acts);
        }
        let name = body.get(1..body.len().saturating_sub(1)).unwrap_or_default();
        if body.first() != Some(&b'P') {
            if kind == b'C' {
                if name.is_empty() {
                    self.shards.forget_parsed();
                }
                self.steps.parses.retain(|(known, _)| **known != *name);
                for at in 1..self.members.len() {
                    self.forget_statement(at, name, acts);
                }
            }
            return self.one_message(0, kind, body, acts);
        }
        let Some(portal) = self.steps.portal(name) else {
            let at = self.at_cursor(name);
            if kind == b'C' {
                self.shards.journal.close(name);
            }
            return self.one_message(at, kind, body, acts);
        };
        let (first, others) = match &self.steps.portals[portal].does {
            Does::Runs { shards, .. } => (shards[0], shards[1..].to_vec()),
            _ if kind == b'D' => return acts.say(no_data),
            _ => {
                self.steps.portals.remove(portal);
                return acts.say(crate::wire::server::close_complete);
            }
        };
        if kind == b'C' {
            self.steps.portals.remove(portal);
            for shard in others {
                let at = self.member(shard);
                self.members[at].say_unshown(b'C', body, acts);
            }
        }
        let at = self.member(first);
        self.one_message(at, kind, body, acts);
    }

    /// Who has the cursor that a message names as its portal, or is asked where nobody has.
    fn at_cursor(&self, name: &[u8]) -> usize {
        let shard = self.shards.journal.cursor(name);
        self.members.iter().position(|member| member.joined && Some(member.shard) == shard).unwrap_or(0)
    }

    fn forget_statement(&mut self, at: usize, name: &[u8], acts: &mut Acts) {
        let member = &mut self.members[at];
        if member.known.iter().any(|known| **known == *name) {
            member.known.retain(|known| **known != *name);
            let body = [&b"S"[..], name, &b"\0"[..]].concat();
            member.say_unshown(b'C', &body, acts);
        }
    }

    /// What the statement of a Bind is: text, zero byte, types.
    fn statement(&self, name: &[u8], home: &Client, link: Option<&Exchange>) -> Option<Box<[u8]>> {
        let here = self.steps.parses.iter().find(|(known, _)| **known == *name).map(|(_, rest)| rest.clone());
        let here = here.or_else(|| self.shards.parsed(name).map(Into::into));
        here.or_else(|| home.statement_rest(name, link).map(Into::into))
    }

    fn bind_step(&mut self, body: &[u8], following: &[u8], home: &Client, link: Option<&Exchange>, acts: &mut Acts) -> usize {
        let names = bind_names(body);
        let statement = names.and_then(|(_, name)| self.statement(name, home, link));
        let statement_is_lost = statement.is_none() && names.is_some_and(|(_, name)| home.has_forgotten(name, link));
        let values = names.and_then(|(portal, name)| Values::read(&body[portal.len() + name.len() + 2..]));
        let (Some((portal, name)), Some(rest), Some(values)) = (names, statement, values) else {
            if statement_is_lost {
                self.refuse_step(&forgotten(), acts);
                return 0;
            }
            // Malformed, or of a statement that is not there: a server says so in its own words.
            self.one_message(0, b'B', body, acts);
            return 0;
        };
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let bound = Bound { values, types: rest.get(end + 3..).unwrap_or_default() };
        let does = match self.bound_for(&rest[..end], &bound, home, link) {
            Ok(does) => does,
            Err(refused) if refused.is_unread() => {
                self.unread = true;
                return 0;
            }
            Err(refused) => {
                self.refuse_step(&refused, acts);
                return 0;
            }
        };
        self.steps.portals.retain(|known| *known.name != *portal);
        if self.steps.portals.len() >= PORTALS_MAX {
            self.refuse_step(&too_many_portals(), acts);
            return 0;
        }
        let over = match does {
            Ok(does) => {
                self.steps.portals.push(Portal::new(portal, does));
                acts.say(bind_complete);
                return 0;
            }
            Err(over) => over,
        };
        if over.parts.iter().any(|part| part.shard != self.members[0].shard)
            && let Some(refused) = numbers::refuses(&self.means.cluster, bound.types)
        {
            self.refuse_step(&refused, acts);
            return 0;
        }
        let shards: Vec<u16> = over.parts.iter().map(|part| part.shard).collect();
        if self.shards.journal.cursor(portal).is_some_and(|shard| !portal.is_empty() && shards != [shard]) {
            self.refuse_step(&super::cursors::duplicate(portal), acts);
            return 0;
        }
        let does = Does::Runs { shards: shards.clone(), join: over.join.clone(), writes: over.writes };
        self.steps.portals.push(Portal::new(portal, does));
        let group = Group::read(portal, following);
        if group.execute.is_some()
            && let Err(refused) = self.executes(&over, home.says(link).is_utf8(), acts)
        {
            self.refuse_step(&refused, acts);
            return group.bytes;
        }
        let in_parts = in_parts(&over.join, over.writes, shards.len(), group.execute.unwrap_or(0));
        for (number, part) in over.parts.iter().enumerate() {
            self.bind_part(part, (portal, name), body, &rest, group.said_to(in_parts && number > 0), acts);
        }
        let mut joint = self.joint(over.join, shards);
        joint.limit(group.execute.unwrap_or(0));
        joint.reading = in_parts.then(|| Reading { portal: portal.into(), at: 0 });
        self.work = Work::Step(joint);
        group.bytes
    }

    /// What a Bind is for: what is done here when it is executed, or (Err) a request to shards.
    #[allow(clippy::type_complexity)]
    fn bound_for(&mut self, text: &[u8], bound: &Bound<'_>, home: &Client, link: Option<&Exchange>) -> Result<Result<Does, Over>, Box<Refused>> {
        let control = control(text);
        let leaves = matches!(control, Control::Rollback { .. } | Control::RollbackTo(_) | Control::Commit { .. });
        if self.failed && !leaves {
            return Err(aborted());
        }
        if control == Control::Begin && !self.began && !self.auto {
            return Ok(Ok(Does::Begin(text.into())));
        }
        let values = (1..=bound.values.len()).filter_map(|number| bound.values.get(number).and_then(|value| value.bytes));
        if control == Control::Sets && hides_route(text, values) {
            return Err(hidden());
        }
        match self.controls(text, control, bound.values.is_empty())? {
            Some(Target::End { commit }) => return Ok(Ok(Does::End { commit })),
            Some(Target::To(over)) => return Ok(Err(over)),
            // No server takes several statements in one Parse.
            Some(Target::Each(_)) | None => {}
        }
        let place = home.route(&self.shards, text, Some(bound), link, self.members[0].shard)?;
        let place = self.by_cursors(text, place, link)?;
        let over = self.over(place, control);
        self.at_home(text, &over, home)?;
        if over.alone {
            return Err(Refused::unsupported(
                "what cannot run in a transaction, on several shards by the extended protocol",
                "Send it as a simple query.",
            ));
        }
        Ok(Err(over))
    }

    /// Something is executed on these shards: they stand in one transaction by then, if there is more than one. `utf8`: the client speaks as they do.
    fn executes(&mut self, over: &Over, utf8: bool, acts: &mut Acts) -> Result<(), Box<Refused>> {
        let shards: Vec<u16> = over.parts.iter().map(|part| part.shard).collect();
        let copy = SpreadCopy::new(&over.join, &shards, self.shards.router.clone(), utf8)?;
        let elsewhere = over.parts.iter().any(|part| !self.steps.touched.contains(&part.shard));
        if !self.began && !self.auto && elsewhere && !self.steps.touched.is_empty() {
            // The batch was on other shards so far.
            if !self.means.atomic {
                return Err(Refused::unsupported(
                    "a batch over several shards would not be atomic: two_phase_commit is off",
                    "Send a Sync between them.",
                ));
            }
            self.auto = true;
            let touched: Vec<Part> = self.steps.touched.iter().map(|shard| Part { shard: *shard, cut: None }).collect();
            self.enlist(&Over { parts: touched, join: Join::Same, writes: true, alone: false }, acts)?;
        }
        self.enlist(over, acts)?;
        let fresh: Vec<u16> = shards.into_iter().filter(|shard| !self.steps.touched.contains(shard)).collect();
        self.steps.touched.extend(fresh);
        self.copy = copy;
        Ok(())
    }

    /// One shard's part of a Bind, and what stands `behind` it: messages, and their kinds.
    fn bind_part(&mut self, part: &Part, names: (&[u8], &[u8]), body: &[u8], rest: &[u8], behind: (&[u8], &[u8]), acts: &mut Acts) {
        let (portal, name) = names;
        let at = self.member(part.shard);
        let member = &mut self.members[at];
        let unshown = |kind| Owe::Step { kind, shown: false };
        if let Some(cut) = &part.cut {
            self.steps.cuts += 1;
            let made = format!("{CUT}{}", self.steps.cuts);
            let types = types_of(rest);
            acts.tell(part.shard, |words| cut_bind(words, cut, (portal, made.as_bytes()), &types, &body[portal.len() + name.len() + 2..]));
            member.owes.push_back(unshown(b'P'));
            member.known.push(made.into_bytes().into());
        } else if at > 0 && (name.is_empty() || !member.known.iter().any(|known| **known == *name)) {
            // What the client's own Parse said.
            acts.tell(part.shard, |words| _ = parse_again(words, name, rest));
            member.owes.push_back(unshown(b'P'));
            if !name.is_empty() {
                member.known.push(name.into());
            }
        }
        if part.cut.is_none() {
            acts.tell(part.shard, |words| whole(words, b'B', body));
        }
        member.owes.push_back(Owe::Step { kind: b'B', shown: true });
        acts.tell(part.shard, |words| {
            words.extend_from_slice(behind.0);
            flush(words);
        });
        member.owes.extend(behind.1.iter().map(|kind| Owe::Step { kind: *kind, shown: true }));
        member.unsynced = true;
    }

    fn execute_step(&mut self, body: &[u8], utf8: bool, acts: &mut Acts) {
        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
        let Some(at) = self.steps.portal(name) else {
            return if self.failed { self.refuse_step(&aborted(), acts) } else { self.one_message(self.at_cursor(name), b'E', body, acts) };
        };
        if self.steps.portals[at].spoiled {
            let hint = "Read all rows at once, or from one shard.";
            return self.refuse_step(&Refused::unsupported("a portal over several shards cannot be read in parts", hint), acts);
        }
        let (shards, join, writes) = match self.steps.portals[at].does.clone() {
            Does::Begin(text) => {
                (self.began, self.failed) = (true, false);
                self.shards.journal.begins(&text);
                return acts.say(|words| _ = command_complete(words, "BEGIN"));
            }
            Does::End { commit } => return self.end(commit, Then::Step, acts),
            Does::Runs { .. } if self.failed => return self.refuse_step(&aborted(), acts),
            Does::Runs { shards, join, writes } => (shards, join, writes),
        };
        let limit = body.get(name.len() + 1..).and_then(limit_in).unwrap_or(0);
        let from = self.steps.portals[at].reads.or_else(|| in_parts(&join, writes, shards.len(), limit).then_some(0));
        let parts = shards.iter().map(|shard| Part { shard: *shard, cut: None }).collect();
        if let Err(refused) = self.executes(&Over { parts, join: join.clone(), writes, alone: false }, utf8, acts) {
            return self.refuse_step(&refused, acts);
        }
        let asked = if let Some(at) = from { &shards[at..=at] } else { &shards[..] };
        for shard in asked {
            self.execute_on(*shard, body, acts);
        }
        let mut joint = self.joint(join, shards);
        joint.limit(limit);
        joint.reading = from.map(|at| Reading { portal: name.into(), at });
        self.work = Work::Step(joint);
    }

    fn execute_on(&mut self, shard: u16, body: &[u8], acts: &mut Acts) {
        let at = self.member(shard);
        let member = &mut self.members[at];
        acts.tell(shard, |words| {
            whole(words, b'E', body);
            flush(words);
        });
        member.owes.push_back(Owe::Step { kind: b'E', shown: true });
        member.unsynced = true;
    }

    /// Of rows that are read in parts, the next shard's: as many as the client still wants. False: it has enough, or there are no more.
    fn read_on(&mut self, joint: &mut Joint, acts: &mut Acts) -> bool {
        let Some((shard, reading, wanted)) = joint.reads_on() else { return false };
        let (name, at) = (reading.portal.clone(), reading.at);
        if let Some(portal) = self.steps.portal(&name) {
            self.steps.portals[portal].reads = Some(at);
        }
        let Some(wanted) = wanted else { return false };
        self.execute_on(shard, &[&name[..], &[0], &wanted.to_be_bytes()].concat(), acts);
        true
    }

    /// A participant's answer to a step.
    pub(super) fn step_answered(&mut self, at: usize, message: &[u8], acts: &mut Acts) {
        let Some(Owe::Step { kind, shown }) = self.members[at].owes.front().copied() else { return };
        if message[0] == b'E' {
            self.fails(at, message);
            let owes = &mut self.members[at].owes;
            while owes.front().is_some_and(|owe| matches!(owe, Owe::Step { .. })) {
                owes.pop_front();
            }
            return self.settle(acts);
        }
        if shown {
            self.show(at, message, acts);
        }
        let done = matches!((kind, message[0]), (b'P', b'1') | (b'B', b'2') | (b'C', b'3') | (b'd' | b'D', b'T' | b'n') | (b'E', b'C' | b'I' | b's'));
        if done {
            self.members[at].owes.pop_front();
            self.settle(acts);
        }
    }

    pub(super) fn step_done(&mut self, mut joint: Joint, acts: &mut Acts) {
        if joint.error.is_none() && self.read_on(&mut joint, acts) {
            self.work = Work::Step(joint);
            return;
        }
        (self.copying, self.copy) = (false, None);
        if let Some(error) = joint.error.take() {
            acts.say(|words| words.extend_from_slice(&error));
            self.steps.skipping = true;
            self.failed |= self.began || self.auto;
            return;
        }
        let mut words = Vec::new();
        joint.finish(&mut words);
        acts.say(|all| all.extend_from_slice(&words));
        if joint.left_out
            && joint.reading.is_none()
            && let Some(portal) =
                self.steps.portals.iter_mut().rev().find(|portal| matches!(&portal.does, Does::Runs { shards, .. } if *shards == joint.shards()))
        {
            portal.spoiled = true;
        }
        // A savepoint gone back to mends what had failed.
        if self.failed && self.began {
            self.failed = self.members.iter().any(|member| member.joined && member.status == b'E' && !member.unsynced);
        }
    }

    /// Sync.
    pub(super) fn sync(&mut self, acts: &mut Acts) {
        self.requests += 1;
        self.steps.skipping = false;
        self.steps.touched.clear();
        if !self.began {
            self.steps.forget_portals();
        }
        self.end_batch(acts);
    }

    /// Every participant with messages that have no Sync behind them gets one.
    pub(super) fn say_syncs(&mut self, acts: &mut Acts) -> bool {
        let mut said = false;
        for member in self.members.iter_mut().filter(|member| member.unsynced && !member.lost) {
            let made: Vec<Box<[u8]>> = member.known.iter().filter(|name| name.starts_with(CUT.as_bytes())).cloned().collect();
            member.known.retain(|name| !name.starts_with(CUT.as_bytes()));
            acts.tell(member.shard, |words| {
                for name in &made {
                    // Short, and ours.
                    let _ = close_statement(words, name);
                }
                sync(words);
            });
            member.owes.extend(made.iter().map(|_| Owe::Step { kind: b'C', shown: false }));
            member.owes.push_back(Owe::Sync);
            said = true;
        }
        said
    }
}

impl Member {
    /// A message whose answer is nobody's.
    fn say_unshown(&mut self, kind: u8, body: &[u8], acts: &mut Acts) {
        acts.tell(self.shard, |words| {
            whole(words, kind, body);
            flush(words);
        });
        self.unsynced = true;
        self.owes.push_back(Owe::Step { kind, shown: false });
    }
}

/// Whether rows come shard by shard because the client wants them in parts. What writes has to be done everywhere at once.
fn in_parts(join: &Join, writes: bool, shards: usize, limit: u32) -> bool {
    limit > 0 && shards > 1 && *join == Join::Union && !writes
}

fn too_many_portals() -> Box<Refused> {
    let message = format!("more than {PORTALS_MAX} portals in one transaction over shards");
    Box::new(Refused { code: "54000", message, detail: None, hint: Some("Close those that are done.") })
}
