//! Texts that are too large for a data core: what a router asks a helper about them, and the answers that it keeps for a while.
//!
//! Invariant: a text is answered for as it would have been on the core, under the same settings and with the same schema; who asks again gets the
//! answer only for an equal text under equal circumstances. Nobody waits here: a router without an answer says `Refused::unread`, and whoever
//! routes for a client lets that client wait until a helper has answered.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::sql::large::{Outlook, read};
use crate::sql::plan::{Plan, Source, Target};
use crate::sql::scan::ROWS;
use crate::sql::shapes::Space;
use crate::sql::{directive::Directives, literal::Literal, rows::Rows};

use super::cluster::Cluster;
use super::keys::{Ground, Route};
use super::router::{Says, planned};
use super::schema::View;

/// Answers that a core keeps for one database, and the bytes of their texts; the last one stays, however large it is.
const KEPT_MAX: usize = 16;
const KEPT_BYTES: usize = 32 << 20;

/// A text that a helper should read.
#[derive(Debug)]
pub struct Question {
    cluster: Arc<Cluster>,
    text: Box<[u8]>,
    space: Space,
    standard: bool,
    search_path: Option<Box<str>>,
    user: Box<str>,
    answer: OnceLock<Answer>,
}

/// What a helper found.
#[derive(Debug)]
pub(super) enum Answer {
    Read(Box<Known>),
    /// it is too large for everybody
    Beyond,
    /// it is not UTF-8
    Foreign,
    /// the helper has failed
    Lost,
}

/// A text that was read.
#[derive(Debug)]
pub(super) struct Known {
    pub plans: Arc<[Plan]>,
    pub literals: Vec<Literal>,
    pub directives: Directives,
    pub rows: Option<Rows>,
    /// where it goes, if that does not depend on a Bind
    pub route: Option<Route>,
}

impl Question {
    /// Reads the text; that takes as long as it takes, and a stack of `scan::HELPER_STACK` bytes.
    pub fn read(&self) {
        self.answer.get_or_init(|| self.look());
    }

    /// Whether the database is still what it was when this was asked.
    pub(super) fn is_about(&self, cluster: &Cluster) -> bool {
        self.cluster.number == cluster.number
    }

    /// Nobody will read it; does nothing if somebody has.
    pub fn give_up(&self) {
        self.answer.get_or_init(|| Answer::Lost);
    }

    fn look(&self) -> Answer {
        let cluster = &*self.cluster;
        let Ok(schema) = cluster.schema() else { return Answer::Lost };
        let search_path = self.search_path.as_deref();
        let view = View { schema, topology: &cluster.topology, search_path, user: &self.user, listed: &cluster.listed };
        let large = match read(&self.text, self.standard, &view) {
            Outlook::Read(large) => large,
            Outlook::Beyond(_) => return Answer::Beyond,
            Outlook::Foreign => return Answer::Foreign,
        };
        let says = Says { standard: self.standard, search_path, ..Says::default() };
        let (literals, rows) = (&*large.literals, large.rows.as_ref());
        let ground = Ground { cluster, schema, says: &says, text: &self.text, literals, rows, bound: None };
        let route = match &*large.plans {
            [plan] if is_fixed(plan) => Some(planned(&ground, &plan.target, plan.write)),
            _ => None,
        };
        Answer::Read(Box::new(Known { plans: large.plans.into(), literals: large.literals, directives: large.directives, rows: large.rows, route }))
    }
}

/// Its keys stand in the text, and nothing but they decide.
fn is_fixed(plan: &Plan) -> bool {
    match &plan.target {
        Target::Rows(keys) | Target::Keys { keys, .. } => !keys.iter().any(|key| matches!(key.source, Source::Parameter(_))),
        _ => false,
    }
}

/// The questions of one router.
#[derive(Debug, Default)]
pub(super) struct Larges {
    /// the next one to be given to a helper
    asked: Option<Arc<Question>>,
    /// answered, the last used first
    kept: VecDeque<Arc<Question>>,
}

impl Larges {
    /// Whether there is an answer to a text, which is then at hand.
    pub fn find(&mut self, text: &[u8], space: Space) -> bool {
        let at = self.kept.iter().position(|known| known.space == space && *known.text == *text);
        match at.and_then(|at| self.kept.remove(at)) {
            Some(found) => {
                self.kept.push_front(found);
                true
            }
            None => false,
        }
    }

    /// The answer at hand.
    pub fn found(&self) -> Option<&Answer> {
        self.kept.front()?.answer.get()
    }

    /// Asks about a text; false: it is too large to be asked about.
    pub fn ask(&mut self, cluster: &Arc<Cluster>, text: &[u8], space: Space, says: &Says<'_>, user: &str) -> bool {
        if text.len() > ROWS.bytes {
            return false;
        }
        self.asked = Some(Arc::new(Question {
            cluster: cluster.clone(),
            text: text.into(),
            space,
            standard: says.standard,
            search_path: says.search_path.map(Into::into),
            user: user.into(),
            answer: OnceLock::new(),
        }));
        true
    }

    /// What was asked last, for a helper.
    pub fn take(&mut self) -> Option<Arc<Question>> {
        self.asked.take()
    }

    /// Keeps what a helper has answered.
    pub fn keep(&mut self, question: Arc<Question>) {
        question.give_up();
        self.kept.push_front(question);
        let bytes = |kept: &VecDeque<Arc<Question>>| kept.iter().map(|known| known.text.len()).sum::<usize>();
        while self.kept.len() > KEPT_MAX || self.kept.len() > 1 && bytes(&self.kept) > KEPT_BYTES {
            self.kept.pop_back();
        }
    }

    pub fn forget(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
#[path = "large_tests.rs"]
mod tests;
