//! `pg_dog route`: where statements would go, by what the shards say of their schema now. Nothing is sent for a client, and nothing is written.
//!
//! Invariant: the verdict on a statement is that of the router that clients have, for a session that has said nothing. Statements are looked at one
//! by one, as psql sends them; what a SET among them says about those behind it is not followed. Starting an executor is left to `boot`.

use std::fmt::Write;
use std::sync::Arc;

use crate::mail::Published;
use crate::route::cluster::Cluster;
use crate::route::request::{Join, Over, Refused, Where};
use crate::route::router::{Router, Says};
use crate::route::schema::View;
use crate::sql::catalog::{Catalog, Placement};
use crate::sql::outline::{Kind, Relation, Statement};
use crate::sql::plan::{Refusal, Source};
use crate::sql::scan::{CORE, HELPER, HELPER_STACK, Outcome, Scan};
use crate::sql::shapes::Space;
use crate::sql::texts::{Found, Reading, Texts};
use crate::sql::{Fault, outline};

use super::shards::Inquiry;

/// Tables or keys of one statement that are shown.
const LISTED_MAX: usize = 20;

/// A database, as its shards have answered for it.
pub struct Known {
    cluster: Arc<Cluster>,
    /// as whom statements are executed
    user: String,
}

/// What is said of a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lines: String,
    /// a statement goes nowhere
    pub refused: bool,
}

/// Asks the shards of a database; or why that cannot be.
pub async fn ask(published: Arc<Published>, database: String, user: Option<String>) -> Result<Known, String> {
    let snapshot = &published.snapshot;
    let Some(sharded) = snapshot.sharded.iter().find(|sharded| sharded.database == database && sharded.shards > 1).cloned() else {
        let known = snapshot.pools.iter().any(|pool| pool.database == database);
        let why = if known { "it has no shards: all statements go to its one server" } else { "it is not configured" };
        return Err(format!("database \"{database}\": {why}"));
    };
    let own = user.map(|user| match snapshot.pool(&database, &user) {
        Some(pool) => Ok(pool.server_user.clone()),
        None => Err(format!("database \"{database}\": it has no user \"{user}\"")),
    });
    let own = own.transpose()?;
    let inquiry = Inquiry { sharded, published: published.clone(), tells: false };
    let cluster = inquiry.ask().await.map_err(|trouble| format!("the shards of database \"{database}\" cannot be asked: {}", trouble.why))?;
    let user = own.or_else(|| inquiry.pools().first().map(|pool| pool.spec.server_user.clone())).unwrap_or_default();
    Ok(Known { cluster: Arc::new(cluster), user })
}

/// Where the statements of a text go. On a thread of its own, whose stack is large enough for a text within the bounds of a helper.
pub fn judge(known: Known, sql: String) -> Result<Verdict, String> {
    let thread = std::thread::Builder::new().name("route".to_owned()).stack_size(HELPER_STACK);
    let judging = thread.spawn(move || known.judge(&sql)).map_err(|error| format!("no thread can be started: {error}"))?;
    judging.join().map_err(|_| "the statements cannot be looked at; this is a bug of pg_dog".to_owned())
}

impl Known {
    fn judge(&self, sql: &str) -> Verdict {
        let mut verdict = Verdict::default();
        let statements = match Scan::default().run(sql.as_bytes(), true, HELPER) {
            Outcome::Beyond => Err(Fault::Deep),
            _ => outline(sql, true),
        };
        let statements = match statements {
            Ok(statements) => statements,
            Err(fault) => {
                let Refusal { state: code, reason: message, hint } = Refusal::of(&fault);
                verdict.refuse(&Refused { code, message, detail: None, hint: Some(hint).filter(|hint| !hint.is_empty()) });
                return verdict;
            }
        };
        let (mut router, mut texts) = (Router::new(self.cluster.clone()), Texts::new(0));
        let mut from = 0;
        for (at, statement) in statements.iter().enumerate() {
            // The parser leaves out the comments in front of a statement, which may say where it goes.
            let text = sql.get(from..statement.range.end).unwrap_or_default();
            from = statement.range.end;
            let text = text.trim_start_matches(|of: char| of == ';' || of.is_whitespace()).trim_end();
            let _ = writeln!(verdict.lines, "{}: {text}", at + 1);
            let look = self.look(&mut texts, text, statement);
            verdict.list("tables", &look.tables);
            verdict.list("keys", &look.keys);
            match router.route(text.as_bytes(), None, &PLAIN, &self.user) {
                Ok(place) => verdict.place(&place, &look),
                Err(refused) => verdict.refuse(&refused),
            }
        }
        verdict
    }

    /// What a statement touches, whether it writes, and what its route depends on.
    fn look(&self, texts: &mut Texts, text: &str, statement: &Statement) -> Look {
        let Ok(schema) = self.cluster.schema() else { return Look::default() };
        let topology = &self.cluster.topology;
        let view = View { schema, topology, search_path: None, user: &self.user, listed: &self.cluster.listed };
        let mut look = Look { tables: tables(statement, &view), ..Look::default() };
        let reading = Reading { standard: true, space: Space(0), limits: CORE };
        let Found::Plans(read) = texts.read(text.as_bytes(), reading, &view) else { return look };
        look.writes = read.plans.iter().any(|plan| plan.write);
        look.by_hand = read.directives.shard.is_some() || read.directives.key.is_some();
        for key in read.plans.iter().flat_map(|plan| plan.target.keys()).filter(|_| !look.by_hand) {
            let Some(rule) = topology.rules().get(key.rule as usize) else { continue };
            let value = match &key.source {
                Source::Parameter(number) => format!("${number}"),
                Source::Null => "NULL".to_owned(),
                Source::Constant(value) => value.to_string(),
                Source::Literal { number, negative } => {
                    let literal = read.literals.get(*number as usize).and_then(|literal| text.get(literal.start as usize..literal.end as usize));
                    format!("{}{}", if *negative { "-" } else { "" }, literal.unwrap_or_default())
                }
            };
            if let Source::Parameter(_) = key.source
                && !look.parameters.contains(&value)
            {
                look.parameters.push(value.clone());
            }
            let line = if key.array { format!("{} in {value}", rule.column) } else { format!("{} = {value}", rule.column) };
            if !look.keys.contains(&line) {
                look.keys.push(line);
            }
        }
        look
    }
}

/// The tables of a statement, each once, with where their rows are.
fn tables(statement: &Statement, view: &View<'_>) -> Vec<String> {
    let sources = statement.blocks.iter().flat_map(|block| &block.sources).filter_map(|source| match &source.relation {
        Relation::Table(name) => Some(name),
        _ => None,
    });
    let copied = match &statement.kind {
        Kind::Copy(copy) => Some(&copy.table),
        _ => None,
    };
    let mut all = Vec::new();
    for name in sources.chain(copied) {
        let place = match view.table(name) {
            Placement::Sharded(key) => format!("sharded by {}", key.column),
            Placement::Omni => "on every shard".to_owned(),
            Placement::One(shard) => format!("on shard {shard}"),
            Placement::System => "a catalog".to_owned(),
            Placement::Loose => "a view on every shard".to_owned(),
            Placement::View(reason) => format!("a view: {reason}"),
            Placement::Unknown => "not known".to_owned(),
        };
        let schema = name.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        let line = format!("{schema}{} ({place})", name.name);
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all
}

/// A session that has said nothing.
const PLAIN: Says<'_> = Says::NOTHING;

#[derive(Default)]
struct Look {
    writes: bool,
    tables: Vec<String>,
    /// what they are compared with
    keys: Vec<String>,
    /// of these those whose value nobody knows here
    parameters: Vec<String>,
    /// a comment says where it goes
    by_hand: bool,
}

impl Verdict {
    fn list(&mut self, what: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        let more = if items.len() > LISTED_MAX { format!(", and {} more", items.len() - LISTED_MAX) } else { String::new() };
        let _ = writeln!(self.lines, "   {what}: {}{more}", items[..items.len().min(LISTED_MAX)].join(", "));
    }

    fn refuse(&mut self, refused: &Refused) {
        self.refused = true;
        let _ = writeln!(self.lines, "   refused, {}: {}", refused.code, refused.message);
        for (what, text) in [("detail", refused.detail.as_deref()), ("hint", refused.hint)] {
            if let Some(text) = text {
                let _ = writeln!(self.lines, "   {what}: {text}");
            }
        }
    }

    fn place(&mut self, place: &Where, look: &Look) {
        let writes = look.writes || matches!(place, Where::Over(over) if over.writes);
        let what = if writes { "write" } else { "read" };
        let _ = match place {
            _ if !look.parameters.is_empty() => {
                writeln!(self.lines, "   {what}, shard by the value of {}", look.parameters.join(", "))
            }
            Where::One(shard) if look.by_hand => writeln!(self.lines, "   {what}, shard {shard}, as a comment says"),
            Where::Any => writeln!(self.lines, "   {what}, any shard"),
            Where::One(shard) => writeln!(self.lines, "   {what}, shard {shard}"),
            Where::Held(shard) => writeln!(self.lines, "   {what}, shard {shard}, and so does what follows"),
            Where::Over(over) => return self.over(what, over),
        };
    }

    fn over(&mut self, what: &str, over: &Over) {
        let shards: Vec<String> = over.parts.iter().map(|part| part.shard.to_string()).collect();
        let join = match &over.join {
            Join::Union => "their answers together are the answer",
            Join::Rows { .. } => "each its own rows",
            Join::Same => "each does the same",
            Join::Plans(_) => "each shows its plan",
            Join::Copy(_) => "each row to the shard of its key",
            Join::Each(_) => "each statement to its own shards, in one transaction",
        };
        let _ = writeln!(self.lines, "   {what}, shards {}: {join}", shards.join(", "));
        for part in &over.parts {
            if let Some(cut) = &part.cut {
                let _ = writeln!(self.lines, "   shard {}: {}", part.shard, String::from_utf8_lossy(&cut.text).trim());
            }
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
