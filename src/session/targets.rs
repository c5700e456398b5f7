//! What a text of a client on several shards is for, before anybody is told of it: which shards, or the transaction's end. It is read for what it
//! does to the transaction first, then for its route.
//!
//! Invariant: what it comes to is decided once; whoever carries it out asks nothing of the text again.

use crate::route::request::{Join, Over, Part, Refused, Where};
use crate::sql::may::May;
use crate::sql::transaction::{Control, control, hides_route, names_ours};

use super::client::Client;
use super::coordinator::Coordinator;
use super::exchange::Exchange;
use super::members::{ALONE, aborted};
use super::pieces::Pieces;
use super::shards::hidden;

/// What a text comes to.
#[derive(Debug)]
pub(super) enum Target {
    To(Over),
    /// its statements, one after the other
    Each(Box<Pieces>),
    /// the transaction ends
    End {
        commit: bool,
    },
}

impl Coordinator {
    /// What a text is for, by what it does to the transaction, or else by its route.
    pub(super) fn targets(&mut self, text: &[u8], home: &Client, link: Option<&Exchange>) -> Result<Target, Box<Refused>> {
        let control = control(text);
        let leaves = matches!(control, Control::Rollback { .. } | Control::RollbackTo(_) | Control::Commit { .. });
        if self.failed && !leaves {
            return Err(aborted());
        }
        if control == Control::Sets && hides_route(text, std::iter::empty()) {
            return Err(hidden());
        }
        // Of several statements each is looked at by itself, where they go apart.
        let several = matches!(control, Control::Mixed | Control::Unclear);
        if !several && let Some(target) = self.controls(text, control, true)? {
            return Ok(target);
        }
        let place = home.route(&self.shards, text, None, link, self.members[0].shard)?;
        if let Where::Over(over) = &place
            && let Join::Each(ranges) = &over.join
        {
            return self.pieces(text, over, ranges, home, link).map(|pieces| Target::Each(Box::new(pieces)));
        }
        if several && let Some(target) = self.controls(text, control, true)? {
            return Ok(target);
        }
        let place = self.by_cursors(text, place, link)?;
        let over = self.over(place, control);
        self.at_home(text, &over, home)?;
        Ok(Target::To(over))
    }

    /// The same for what the words of a text say already; `whole`: no values are bound to it.
    pub(super) fn controls(&mut self, text: &[u8], control: Control<'_>, whole: bool) -> Result<Option<Target>, Box<Refused>> {
        let refused = |what: &str, hint| Err(Refused::unsupported(format!("{what} in a transaction over several shards"), hint));
        match control {
            Control::Commit { chain: false } if self.began => return Ok(Some(Target::End { commit: true })),
            Control::Rollback { chain: false } if self.began => return Ok(Some(Target::End { commit: false })),
            Control::Commit { chain: true } | Control::Rollback { chain: true } => return refused("AND CHAIN", "End it, and begin another."),
            Control::Mixed | Control::Unclear => return refused("several statements of which some bound transactions or set parameters", ALONE),
            Control::Prepare => return refused("PREPARE TRANSACTION", "COMMIT is atomic over the shards by itself."),
            Control::Set if names_ours(text) => {
                return refused("SET of a parameter that decides where statements go", "Name the shard in a comment.");
            }
            Control::Set | Control::Sets if self.auto && !self.members[0].joined => {
                return refused("SET in a batch", "Say it in a batch of its own.");
            }
            Control::Listen => return refused("LISTEN and UNLISTEN", "Say them outside of it."),
            Control::Savepoint(_) | Control::Release(_) | Control::RollbackTo(_) | Control::Set | Control::Sets if self.began || self.auto => {
                self.shards.journal.note(text, whole);
                return Ok(Some(Target::To(self.all_joined())));
            }
            _ => {}
        }
        Ok(None)
    }

    /// What stays in a session is done where the session stays.
    pub(super) fn at_home(&self, text: &[u8], over: &Over, client: &Client) -> Result<(), Box<Refused>> {
        let home = self.members[0].shard;
        if over.parts.iter().all(|part| part.shard == home) {
            return Ok(());
        }
        // Only the first shard's session outlives the transaction.
        if over.parts.len() == 1 && client.may_leave(text).meets(May::LOCKS.with(May::TEMPORARY).with(May::HOLDS).with(May::PREPARES)) {
            let message = "a lock, table or prepared statement that stays in the session, on another shard than the first of its transaction";
            return Err(Refused::unsupported(message, "Take it in a transaction of its own, or use pg_advisory_xact_lock."));
        }
        Ok(())
    }

    /// A request that every shard of the transaction does alike.
    pub(super) fn all_joined(&self) -> Over {
        let mut shards: Vec<u16> = self.members.iter().filter(|member| member.joined && !member.lost).map(|member| member.shard).collect();
        if shards.is_empty() {
            shards.push(self.members[0].shard);
        }
        shards.sort_unstable();
        let parts = shards.into_iter().map(|shard| Part { shard, cut: None }).collect();
        Over { parts, join: Join::Same, writes: false, alone: false }
    }

    /// A route as a request to shards.
    pub(super) fn over(&mut self, place: Where, control: Control<'_>) -> Over {
        let shard = match place {
            Where::Over(over) => return *over,
            Where::Any => self.members[0].shard,
            Where::One(shard) | Where::Held(shard) => shard,
        };
        if control == Control::Notify {
            let member = self.member(shard);
            self.members[member].fixed = true;
        }
        Over { parts: vec![Part { shard, cut: None }], join: Join::Union, writes: false, alone: false }
    }
}
