//! What a view is to the planner: its definition is planned like any statement, and where the union of the shards' answers is its answer, and it
//! shows the key of the table whose rows give its rows, it is as good as a table with that key.
//!
//! Invariant: a view is a sharded table only if each of its rows is made on the shard of the key that it shows; whatever cannot be shown to be so
//! is `Rows::Hidden`, with the part of the definition that is to blame. Which views there are, and in which order they are judged, is left to
//! whoever asks: the views that a definition names have to be judged before it.

use super::catalog::{Call, Catalog, Fill, Placement, ShardKey, call};
use super::outline::{Block, Column, Family, Function, Kind, Name, Relation, Shown, Statement, Write};
use super::outline_kind::{Fault, outline};
use super::plan::{Any, Refusal, Target, Verdict, plan};
use super::plan_bind::{Binder, Instance};
use super::plan_order::depends_on_order;
use super::plan_spread::{Spread, spread};
use super::scan::{CORE, Outcome, Scan};

/// Those of PostgreSQL's own that give another value in each transaction, and the same all through it.
const CLOCKS: &[&str] = &["age", "now", "statement_timestamp", "transaction_timestamp"];

/// Why nothing is written through a view that is read on one shard and shows rows of a table of all shards.
const ELSEWHERE: &str = "it can be used on one shard only, and the rows that it shows are on every shard";

/// Where the rows of a view are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// on the shard of the value in a column
    Sharded { column: Box<str>, family: Family, rule: u32, group: u32 },
    /// all of them on every shard
    Omni,
    /// on every shard, but not the same ones each time that they are read
    Loose,
    /// on one shard
    One(u32),
    /// in the catalogs of PostgreSQL
    System,
    /// it cannot be told, and why
    Hidden(String),
}

/// What is known of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub rows: Rows,
    /// by column: what it gets where an INSERT gives nothing, unless the view itself says so
    pub fills: Vec<Fill>,
    /// why nothing can be written through it
    closed: Option<&'static str>,
    /// why no row can be added through it
    keeps: Option<&'static str>,
}

impl Seen {
    /// A view that cannot be looked into.
    pub fn hidden(reason: impl Into<String>) -> Seen {
        Seen { rows: Rows::Hidden(reason.into()), fills: Vec::new(), closed: None, keeps: None }
    }

    /// What the planner is told of it.
    pub fn placement(&self) -> Placement<'_> {
        match &self.rows {
            Rows::Sharded { column, family, rule, group } => Placement::Sharded(ShardKey { column, family: *family, rule: *rule, group: *group }),
            Rows::Omni => Placement::Omni,
            Rows::Loose => Placement::Loose,
            Rows::One(shard) => Placement::One(*shard),
            Rows::System => Placement::System,
            Rows::Hidden(reason) => Placement::View(reason),
        }
    }

    /// The same where its schema lives on one shard, with all that it can rightly read. What is written through it would come to that shard alone,
    /// and what it shows is on all.
    pub fn living_on(mut self, shard: u32) -> Seen {
        match self.rows {
            Rows::Omni | Rows::Loose | Rows::System => {
                self.rows = Rows::One(shard);
                self.closed = self.closed.or(Some(ELSEWHERE));
            }
            Rows::One(other) if other == shard => {}
            Rows::Hidden(_) => {}
            Rows::One(_) | Rows::Sharded { .. } => self = Seen::hidden("its schema lives on one shard, and what it reads is on others too"),
        }
        self
    }

    /// Why nothing can be written through it, or no row be added.
    pub fn barrier(&self, adds: bool) -> Option<&'static str> {
        self.closed.or(self.keeps.filter(|_| adds))
    }
}

/// The definition of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    statement: Statement,
}

impl Definition {
    /// Reads what `pg_get_viewdef` says while search_path is empty. Err: why it cannot be read.
    pub fn read(text: &str) -> Result<Definition, String> {
        if matches!(Scan::default().run(text.as_bytes(), true, CORE), Outcome::Beyond | Outcome::Foreign) {
            return Err("its definition is too large to be looked into".to_owned());
        }
        let statements = outline(text, true).map_err(|fault| match fault {
            Fault::Deep => "its definition is nested too deeply".to_owned(),
            Fault::Syntax(_) | Fault::Parser => "the parser cannot read its definition".to_owned(),
        })?;
        let mut statements = statements.into_iter();
        match (statements.next(), statements.next()) {
            (Some(statement), None) if statement.kind == Kind::Query => Ok(Definition { statement }),
            _ => Err("its definition is no query".to_owned()),
        }
    }

    /// The tables and views that it names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.statement.blocks.iter().flat_map(|block| &block.sources).filter_map(|source| match &source.relation {
            Relation::Table(name) => Some(name),
            _ => None,
        })
    }

    /// What the view is. It has so many `columns`; `ruled`: triggers or rules of its own decide what becomes of what is written.
    pub fn judge(&self, columns: usize, ruled: bool, catalog: &impl Catalog) -> Seen {
        match self.seen(columns, ruled, catalog) {
            Ok(seen) => seen,
            Err(reason) => Seen::hidden(reason),
        }
    }

    fn seen(&self, columns: usize, ruled: bool, catalog: &impl Catalog) -> Result<Seen, String> {
        let statement = &self.statement;
        let root = statement.root().ok_or("its definition is no query")?;
        let mut binder = Binder::new(statement, catalog);
        let mut closed = ruled.then_some("triggers or rules of its own decide what becomes of it");
        let rows = match plan(statement, catalog, &[]).target {
            Target::Refused(Refusal { reason, .. }) => return Err(reason),
            Target::AnyShard(Any::First) => return Err("its definition locks rows, or calls a function that acts on the server it runs on".into()),
            Target::AnyShard(Any::Sticky) => Rows::System,
            Target::AnyShard(Any::Either) if binder.instances.is_empty() => match self.is_loose(catalog) {
                true => Rows::Loose,
                false => Rows::Omni,
            },
            Target::Shard(shard) => Rows::One(shard),
            Target::AllShards | Target::OneKey(_) | Target::Keys { .. } | Target::AnyShard(_) => {
                self.is_plain(catalog)?;
                if let Spread::Refused(reason) = spread(statement, catalog, &binder) {
                    return Err(reason.to_owned());
                }
                let (shown, several) = key(root, columns, &mut binder)?;
                if several {
                    closed = closed.or(Some("it shows the sharding key twice"));
                }
                shown
            }
            _ => return Err("its definition is more than a query".to_owned()),
        };
        let mut seen = Seen { rows, fills: vec![Fill::Null; columns], closed, keeps: None };
        self.writes(root, catalog, &mut seen);
        Ok(seen)
    }

    /// Whether each shard may give other rows, or others each time.
    fn is_loose(&self, catalog: &impl Catalog) -> bool {
        let marks = self.statement.marks;
        let moves =
            |block: &Block| block.functions.iter().any(|function| call(&function.name, catalog) != Call::Plain && !aggregate(function, catalog));
        let loose = |name: &Name| catalog.table(name) == Placement::Loose;
        let ordered = |block: &Block| depends_on_order(block, catalog);
        marks.clock
            || marks.limits
            || marks.sample
            || marks.system
            || self.statement.blocks.iter().any(|block| moves(block) || ordered(block))
            || self.names().any(loose)
    }

    /// Nothing in it is another thing on each server or in each row's calling.
    fn is_plain(&self, catalog: &impl Catalog) -> Result<(), String> {
        let marks = self.statement.marks;
        if marks.system {
            return Err("ctid and the like mean another row on each shard".to_owned());
        }
        if marks.sample {
            return Err("TABLESAMPLE would be taken of each shard".to_owned());
        }
        if marks.locks {
            return Err("it locks rows".to_owned());
        }
        for function in self.statement.blocks.iter().flat_map(|block| &block.functions) {
            let clock = CLOCKS.contains(&&*function.name.name);
            if matches!(call(&function.name, catalog), Call::Moving | Call::Local | Call::Hidden) && !clock {
                return Err(format!("it calls the volatile function \"{}\"", function.name.name));
            }
        }
        Ok(())
    }

    /// What can be written through it, as PostgreSQL does it with a view of one table; it refuses the others itself.
    fn writes(&self, root: &Block, catalog: &impl Catalog, seen: &mut Seen) {
        let [source] = root.sources.as_slice() else { return };
        let Relation::Table(base) = &source.relation else { return };
        seen.closed = seen.closed.or(catalog.barrier(base, false).map(|_| "what it is made of is a view that lets nothing through"));
        if matches!(seen.rows, Rows::One(_)) && !matches!(catalog.table(base), Placement::One(_)) {
            seen.closed = seen.closed.or(Some(ELSEWHERE));
        }
        let Some(known) = catalog.columns(base) else {
            seen.keeps = Some("the columns of its table are not known");
            return;
        };
        let shown = |output: &Shown| match output {
            Shown::Column(column) => known.iter().find(|one| one.name == column.name),
            _ => None,
        };
        let bases: Vec<_> = root.outputs.iter().map(|output| shown(&output.what)).collect();
        for (fill, base) in seen.fills.iter_mut().zip(&bases) {
            *fill = base.map_or(Fill::Null, |column| column.default);
        }
        let is_shown = |name: &str| bases.iter().flatten().any(|column| *column.name == *name);
        let hides = known.iter().any(|column| column.default == Fill::Moving && !is_shown(&column.name));
        if seen.rows == Rows::Omni && (hides || catalog.barrier(base, true).is_some()) {
            seen.keeps = Some("a column that it does not show has a default that would give each shard another value");
        }
    }
}

fn aggregate(function: &Function, catalog: &impl Catalog) -> bool {
    call(&function.name, catalog) == Call::Aggregate
}

/// The sharding key that the whole query shows, and whether it does so more than once.
fn key<'a, C: Catalog>(root: &'a Block, columns: usize, binder: &mut Binder<'a, C>) -> Result<(Rows, bool), String> {
    if root.outputs.len() != columns {
        return Err("the columns of its definition are not its own".to_owned());
    }
    let mut shown: Vec<(&Column, Box<str>, Instance<'a>)> = Vec::new();
    for output in &root.outputs {
        if let (Shown::Column(column), Some(name)) = (&output.what, &output.name)
            && let Some(instance) = binder.key_shown(0, column)
        {
            shown.push((column, name.clone(), instance));
        }
    }
    let Some((_, column, Instance { key, .. })) = shown.first() else {
        let keys: Vec<&str> = binder.instances.iter().map(|instance| instance.key.column).collect();
        return Err(format!("it does not show the sharding key \"{}\" of its table as a column", keys.first().unwrap_or(&"")));
    };
    let rows = Rows::Sharded { column: column.clone(), family: key.family, rule: key.rule, group: key.group };
    Ok((rows, shown.len() > 1))
}

/// A write is refused where a view does not let it through.
pub fn passes(name: &Name, write: &Write, catalog: &impl Catalog) -> Verdict<()> {
    let adds = matches!(write, Write::Insert { .. } | Write::Merge);
    match catalog.barrier(name, adds) {
        None => Ok(()),
        Some(reason) => Err(Refusal {
            hint: "Write to the table itself, or name the shard: /* pgdog_shard: 0 */ in the statement, or SET pgdog.shard.",
            ..Refusal::new(format!("what is written through the view \"{}\" cannot be routed: {reason}", name.name))
        }),
    }
}
