//! What the operator has said that stays said until it is taken back: PAUSE, MAINTENANCE, DISABLE. It lives here and in the pools' ledgers, outlives
//! reloads, also for pools that a reload adds, and ends with the process. The later of two words about a pool counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::admin::console::Scope;
use crate::mail::SharedPool;

/// Words of one kind that stand at once. Each names a user or database that was configured when it was said, so that more is a script gone wild.
const WORDS_MAX: usize = 10_000;

/// Words of one kind, the latest last.
#[derive(Debug, Default)]
pub struct Words(Vec<(Scope, bool)>);

impl Words {
    /// Takes a word. False: there are too many.
    pub fn say(&mut self, scope: &Scope, on: bool) -> bool {
        // Whatever was said about a part of it is over.
        self.0.retain(|(before, _)| !contains(scope, before));
        // What nobody has set needs no word to be taken back.
        if on || self.0.iter().any(|(before, _)| overlaps(scope, before)) {
            self.0.push((scope.clone(), on));
        }
        self.0.len() <= WORDS_MAX
    }

    /// The last word about a pool.
    pub fn says(&self, user: &str, database: &str) -> bool {
        self.0.iter().rev().find(|(scope, _)| scope.covers(user, database)).is_some_and(|(_, on)| *on)
    }

    /// Somebody is concerned.
    pub fn any(&self) -> bool {
        self.0.iter().any(|(_, on)| *on)
    }

    /// Nobody is left out.
    pub fn all(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(_, on)| *on) && self.0.iter().any(|(scope, _)| scope.is_all())
    }
}

fn contains(whole: &Scope, part: &Scope) -> bool {
    let within = |whole: &Option<String>, part: &Option<String>| whole.is_none() || whole == part;
    within(&whole.user, &part.user) && within(&whole.database, &part.database)
}

/// Some pool may be in both.
pub(super) fn overlaps(one: &Scope, other: &Scope) -> bool {
    let meet = |one: &Option<String>, other: &Option<String>| one.is_none() || other.is_none() || one == other;
    meet(&one.user, &other.user) && meet(&one.database, &other.database)
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Standing {
    pub paused: Words,
    /// MAINTENANCE ON
    pub held: Words,
    pub disabled: BTreeSet<String>,
    pub suspended: bool,
    /// how often pools were paused, held, or let go again
    pub said: u64,
}

impl Standing {
    /// Tells the pools.
    pub fn apply(&self, pools: &[Arc<SharedPool>]) {
        for pool in pools {
            let ledger = &pool.state.ledger;
            let (user, database) = (&pool.spec.user, &pool.spec.database);
            let held = self.held.says(user, database);
            // Held before it is paused, and the other way round, so that no waiter is told in between that it has waited too long.
            if held {
                ledger.set_held(true);
            }
            ledger.set_paused(held || self.paused.says(user, database));
            if !held {
                ledger.set_held(false);
            }
            ledger.set_disabled(self.disabled.contains(database));
        }
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
