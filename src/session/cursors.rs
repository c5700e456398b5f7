//! The cursors of a transaction over several shards: each lives on the shard that its query goes to, and what names it goes there.
//!
//! Invariant: a cursor's name is on one shard only, as it is on one PostgreSQL, so that wherever a name leads no other cursor can be meant. A name
//! that is not known goes where what any shard can answer goes, and PostgreSQL says that it is not there. Which cursors are open is in the
//! `journal`, which follows the transaction's savepoints.

use crate::route::request::{Refused, Where};
use crate::sql::Word;
use crate::sql::cursors::{ACTS_MAX, Act, Acts, acts, may_act};

use super::coordinator::Coordinator;
use super::exchange::Exchange;
use super::journal::CURSORS_MAX;
use super::members::ALONE;
use super::suspicion::Pins;

impl Coordinator {
    /// The place of a text whose route is `place`, by the cursors that it names; those that it opens and closes are noted.
    pub(super) fn by_cursors(&mut self, text: &[u8], place: Where, link: Option<&Exchange>) -> Result<Where, Box<Refused>> {
        if !may_act(text) {
            return Ok(place);
        }
        let acts = acts(text);
        if acts.beyond {
            return Err(too_many(format!("more than {ACTS_MAX} cursors are named in one text, or it cannot be read")));
        }
        if acts.list == [Act::ClosesAll] && acts.statements == 1 && place == Where::Any {
            self.shards.journal.close_all();
            return Ok(Where::Over(Box::new(self.all_joined())));
        }
        let known = self.named(&acts)?;
        let place = match (place, known) {
            (place, _) if acts.list.is_empty() => return Ok(place),
            (Where::Any, Some((shard, _))) => Where::One(shard),
            (Where::One(shard) | Where::Held(shard), Some((at, name))) if shard != at => return Err(apart(&name, at, &format!("shard {shard}"))),
            (Where::Over(_), Some((at, name))) => return Err(apart(&name, at, "several shards")),
            (Where::Over(_), None) if acts.list.iter().any(|act| matches!(act, Act::Declares { .. })) => {
                return Err(Refused::unsupported("DECLARE CURSOR beside a statement that goes to several shards", ALONE));
            }
            (place, _) => place,
        };
        self.opens(&acts, &place, link)?;
        Ok(place)
    }

    /// The one shard of those cursors that a text names and does not open itself, and the first of them.
    fn named(&self, acts: &Acts<'_>) -> Result<Option<(u16, Vec<u8>)>, Box<Refused>> {
        let mut fresh: Vec<Word<'_>> = Vec::new();
        let mut known: Option<(u16, Vec<u8>)> = None;
        for act in &acts.list {
            let word = match act {
                Act::Declares { name, .. } => {
                    fresh.push(*name);
                    continue;
                }
                Act::Uses(word) | Act::Closes(word) => word,
                Act::ClosesAll => continue,
            };
            let name = word.name();
            if fresh.iter().any(|fresh| fresh.name() == name) {
                continue;
            }
            let Some(shard) = self.cursor(&name)? else { continue };
            match &known {
                Some((at, first)) if *at != shard => return Err(apart(first, *at, &format!("shard {shard}"))),
                Some(_) => {}
                None => known = Some((shard, name.into_owned())),
            }
        }
        Ok(known)
    }

    /// The shard of a cursor, or of a portal of the extended protocol, which is one as well.
    pub(super) fn cursor(&self, name: &[u8]) -> Result<Option<u16>, Box<Refused>> {
        if let Some(shard) = self.shards.journal.cursor(name) {
            return Ok(Some(shard));
        }
        match self.steps.shards_of_portal(name) {
            Some([shard]) => Ok(Some(*shard)),
            Some(_) => Err(Refused::unsupported("a portal over several shards cannot be read by its name", "Read it by the protocol, all at once.")),
            None => Ok(None),
        }
    }

    /// Notes what a text opens and closes at its place, if it may.
    fn opens(&mut self, acts: &Acts<'_>, place: &Where, link: Option<&Exchange>) -> Result<(), Box<Refused>> {
        let home = self.members[0].shard;
        let at = match place {
            Where::One(shard) | Where::Held(shard) => *shard,
            _ => home,
        };
        if acts.list.contains(&Act::ClosesAll) && self.shards.journal.has_cursors_beside(at) {
            return Err(Refused::unsupported("CLOSE ALL among other statements while cursors are open on several shards", ALONE));
        }
        let declared = acts.list.iter().filter_map(|act| if let Act::Declares { name, holds } = act { Some((name, *holds)) } else { None });
        for (name, holds) in declared.clone() {
            let name = name.name();
            if self.shards.journal.cursor(&name).is_some_and(|shard| shard != at) {
                return Err(duplicate(&name));
            }
            if at != home && holds {
                let message = "a cursor WITH HOLD on another shard than the first of its transaction";
                return Err(Refused::unsupported(message, "Declare it in a transaction on its shard alone, or without WITH HOLD."));
            }
            if at != home && link.is_some_and(|link| link.pins.contains(Pins::CURSORS)) {
                // One of those may have this name.
                let message = format!("a cursor on shard {at} while the session keeps cursors WITH HOLD on shard {home}");
                return Err(Refused::unsupported(message, "Close those first."));
            }
            // A transaction that has opened it cannot be prepared.
            self.members[0].fixed |= holds;
        }
        if self.shards.journal.open_cursors() + declared.count() > CURSORS_MAX {
            return Err(too_many(format!("more than {CURSORS_MAX} cursors in one transaction over shards")));
        }
        self.shards.journal.opens(acts, at);
        Ok(())
    }
}

/// The name is taken on another shard: what one PostgreSQL says of it.
pub(super) fn duplicate(name: &[u8]) -> Box<Refused> {
    let message = format!("cursor \"{}\" already exists", String::from_utf8_lossy(name));
    Box::new(Refused { code: "42P03", message, detail: None, hint: None })
}

fn apart(name: &[u8], at: u16, other: &str) -> Box<Refused> {
    let name = String::from_utf8_lossy(name);
    Refused::unsupported(format!("the cursor \"{name}\" is on shard {at}, and the rest of the text needs {other}"), ALONE)
}

fn too_many(message: String) -> Box<Refused> {
    Box::new(Refused { code: "54000", message, detail: None, hint: Some("Close those that are done.") })
}
