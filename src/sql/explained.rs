//! What a plan tells those who only look at it: where the statement of an EXPLAIN would go, and the keys that decide about a target.

use super::outline::{Kind, Layout};
use super::plan::{Key, Target};

/// An EXPLAIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// where its statement would go
    pub target: Target,
    /// the statement is run
    pub runs: bool,
    /// its answer are lines of text
    pub text: bool,
}

impl Explained {
    /// Of an EXPLAIN whose statement would go there.
    pub fn of(kind: &Kind, target: &Target) -> Option<Box<Explained>> {
        let Kind::Explain { runs, form } = kind else { return None };
        Some(Box::new(Explained { target: target.clone(), runs: *runs, text: *form != Layout::Other }))
    }

    /// It says how plans are shown, perhaps by a literal, whose value decides then.
    pub fn names_layout(kind: &Kind) -> bool {
        matches!(kind, Kind::Explain { form: Layout::Text | Layout::Other, .. })
    }
}

impl Target {
    /// The keys that decide about it.
    pub fn keys(&self) -> &[Key] {
        match self {
            Target::OneKey(key) => std::slice::from_ref(key),
            Target::Keys { keys, .. } | Target::Rows(keys) => keys,
            _ => &[],
        }
    }
}
