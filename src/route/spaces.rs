//! Numbers for the settings under which plans are made: plans of one number hold for each other's texts.
//!
//! Invariant: a number is given once, so that what was planned under what is no longer so is never found again.

use std::collections::HashMap;

use crate::sql::shapes::Space;

/// Combinations of settings that plans are kept for; with more of them the cache begins anew.
const SPACES_MAX: usize = 256;

/// Which settings a plan was made under.
type Circumstances = (bool, Option<Box<str>>, Box<str>);

/// Numbers of circumstances.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    known: HashMap<Circumstances, Space>,
    /// the space looked up last, and what for
    last: Option<(Circumstances, Space)>,
    next: u64,
}

impl Spaces {
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.last = None;
        // Numbers are not given again, so that what is left of the cache is never found.
        self.next += 1;
    }

    /// The number of these settings: `standard_conforming_strings`, a search_path of the session's own, and the user.
    pub(super) fn of(&mut self, (standard, search_path): (bool, Option<&str>), user: &str) -> Space {
        if let Some(((conforming, path, known), space)) = &self.last
            && *conforming == standard
            && path.as_deref() == search_path
            && **known == *user
        {
            return *space;
        }
        if self.known.len() >= SPACES_MAX {
            self.forget();
        }
        let circumstances: Circumstances = (standard, search_path.map(Into::into), user.into());
        let next = &mut self.next;
        let space = *self.known.entry(circumstances.clone()).or_insert_with(|| {
            *next += 1;
            Space(*next)
        });
        self.last = Some((circumstances, space));
        space
    }
}
