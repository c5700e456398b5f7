//! What an outline means for the route: which keys it is bound to, or that it goes everywhere, anywhere, or nowhere. Right or refused: a plan sends
//! a statement to several shards only when the union of their answers is the answer.
//!
//! Literals are named by their number in the scan, so that one plan serves all texts of a shape. What cannot be named so makes a plan that is not
//! kept (`keep`). Hashing keys and finding shards is left to `route`.

use super::catalog::{Call, Catalog, Fill, Placement, ShardKey, call};
use super::copy::{self, CopyFormat};
use super::explained::Explained;
use super::literal::{Kind as LiteralKind, Literal};
use super::outline::{Block, Cell, Copy, Input, Kind, Name, Relation, Session, Set, Shown, Statement, Term, Value, Values, Write};
use super::outline_kind::Fault;
use super::plan_bind::{Binder, Instance, admits, is_key};
use super::plan_cursor;
use super::plan_fill;
use super::plan_home;
use super::plan_order::depends_on_order;
use super::plan_refusals::{differs, missing, moves, not_a_key, unplaced};
use super::plan_spread::{Spread, sets_in_rows, spread};
use super::view::passes;

/// The plan of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// it needs a server that takes writes
    pub write: bool,
    pub target: Target,
    /// whether it holds for all texts of the shape
    pub keep: bool,
    /// of an EXPLAIN: more than `target` says
    pub explained: Option<Box<Explained>>,
}

/// Where a statement goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// to the shard of this key
    OneKey(Key),
    /// to the shards of all these keys, if they are one, or if `many` allows it
    Keys {
        keys: Vec<Key>,
        many: Many,
    },
    /// rows of an INSERT, each to the shard of its key
    Rows(Vec<Key>),
    /// to all shards; the union of their rows is the answer, and the sum of their counts
    AllShards,
    /// to one shard, whichever
    AnyShard(Any),
    /// to all shards, which do and answer the same; one answer is the answer. `alone`: outside of a transaction
    AllWrite {
        alone: bool,
    },
    /// to this shard
    Shard(u32),
    /// COPY FROM: each row to the shard of the key at this position
    CopyRows {
        rule: u32,
        position: u32,
        format: CopyFormat,
    },
    /// wherever the session says
    Session(Session),
    Refused(Refusal),
}

/// What is done when keys are on several shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Many {
    /// each shard gets the statement; the union of their rows is the answer
    Union,
    Refused(Refusal),
}

/// Which of the shards, where any would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Any {
    /// they give the same answer
    Either,
    /// always the same for one client: a catalog's contents differ in details
    Sticky,
    /// always the first: sequences, locks and the like are there
    First,
    /// that of the cursor which the statement names
    Cursor,
}

/// A key of a statement: where its value is, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `ShardKey::rule`
    pub rule: u32,
    pub source: Source,
    /// the value is an array, whose elements are keys
    pub array: bool,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// this literal of the scan, with a minus before it
    Literal {
        number: u32,
        negative: bool,
    },
    /// `$n`
    Parameter(u32),
    Null,
    Constant(Box<str>),
}

/// Why a statement is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub state: &'static str,
    pub reason: String,
    pub hint: &'static str,
}

pub const PIN: &str = "Compare the sharding key with =, or name the shard: /* pgdog_shard: 0 */ in the statement, or SET pgdog.shard.";

impl Refusal {
    /// What pg_dog cannot do over shards.
    pub fn new(reason: impl Into<String>) -> Refusal {
        Refusal { state: "0A000", reason: reason.into(), hint: PIN }
    }

    /// What the parser says of a text.
    pub fn of(fault: &Fault) -> Refusal {
        let (state, reason, hint) = match fault {
            Fault::Syntax(message) => ("42601", message.clone(), ""),
            Fault::Deep => ("54001", "the statement is nested too deeply".to_string(), "Simplify it, or name its shard: /* pgdog_shard: 0 */."),
            Fault::Parser => ("0A000", "the parser cannot read this statement".to_string(), "Name its shard: /* pgdog_shard: 0 */."),
        };
        Refusal { state, reason, hint }
    }
}

/// A verdict on the way to a plan.
pub type Verdict<T> = Result<T, Refusal>;

/// Plans one statement. `literals` are those of the text's scan; without them the plan is for this text alone.
pub fn plan(statement: &Statement, catalog: &impl Catalog, literals: &[Literal]) -> Plan {
    let clock = literals.iter().any(|literal| literal.kind == LiteralKind::Clock);
    let planner = Planner { statement, catalog, clock };
    let mut names = Naming { literals, keep: true };
    let mut explained = None;
    let (write, target) = match &statement.kind {
        Kind::Empty => (false, Ok(Target::AnyShard(Any::Either))),
        Kind::Session(session) => (false, Ok(Target::Session(*session))),
        Kind::Everywhere(what) => (true, plan_home::everywhere(statement, catalog, what)),
        Kind::Code(what) | Kind::Never(what) => (true, Err(Refusal::new(format!("{what} cannot be run on a database of several shards")))),
        Kind::Copy(copy) => {
            // Options are literals, whose values decide.
            names.keep = literals.is_empty();
            (copy.from, planner.copy(copy))
        }
        Kind::Query | Kind::Explain { .. } | Kind::Cursor | Kind::Into | Kind::CopyQuery => {
            names.keep = !Explained::names_layout(&statement.kind);
            let target = planner.query(&mut names);
            explained = target.as_ref().ok().and_then(|target| Explained::of(&statement.kind, target));
            (planner.writes(), target.and_then(|target| planner.around(target)))
        }
    };
    Plan { write, target: target.unwrap_or_else(Target::Refused), keep: names.keep, explained }
}

struct Planner<'a, C> {
    statement: &'a Statement,
    catalog: &'a C,
    /// some literal of the text means the time at which it is read
    clock: bool,
}

/// What a statement touches and does, all blocks together.
#[derive(Default)]
struct Touches {
    /// reads or writes catalogs of PostgreSQL
    system: bool,
    /// the only shards of some tables
    one: Vec<u32>,
    /// writes a table that is on every shard
    omni: bool,
    /// calls what acts on the server it runs on
    local: bool,
    /// calls what gives another value each time
    moving: bool,
    /// reads a view that may give other rows on each shard
    loose: bool,
}

impl<'a, C: Catalog> Planner<'a, C> {
    /// Whether it needs a primary.
    fn writes(&self) -> bool {
        let marks = self.statement.marks;
        let calls = |block: &Block| block.functions.iter().any(|function| matches!(call(&function.name, self.catalog), Call::Local | Call::Hidden));
        marks.writes || marks.locks || self.statement.kind == Kind::Into || self.statement.blocks.iter().any(calls)
    }

    fn copy(&self, copy: &Copy) -> Verdict<Target> {
        if self.statement.marks.strange {
            return Err(Refusal::new("COPY FROM with WHERE cannot be split over shards"));
        }
        let placement = self.catalog.table(&copy.table);
        if copy.elsewhere && !matches!(placement, Placement::One(_)) {
            return Err(Refusal::new("COPY with a file or program would use those of one shard's server"));
        }
        if copy.from
            && let Some(reason) = self.catalog.barrier(&copy.table, true)
        {
            return Err(unplaced(&copy.table, Placement::View(reason)));
        }
        match placement {
            Placement::Sharded(key) if copy.from => {
                let position = self.field(copy, key)?;
                let position = position.ok_or_else(|| missing(&copy.table, key))?;
                let format = copy::format(&copy.options, key.column)?;
                Ok(Target::CopyRows { rule: key.rule, position: position as u32, format })
            }
            Placement::Sharded(_) => Err(Refusal::new(format!("COPY TO of \"{}\" would come from several shards", copy.table.name))),
            Placement::Omni if copy.from => match self.moving_default(&copy.table, copy.columns.as_deref()) {
                true => Err(differs(&copy.table)),
                false => Ok(Target::AllWrite { alone: false }),
            },
            Placement::Omni => Ok(Target::AnyShard(Any::Either)),
            Placement::System => Ok(Target::AnyShard(Any::Sticky)),
            Placement::One(shard) => Ok(Target::Shard(shard)),
            placement @ (Placement::Loose | Placement::View(_) | Placement::Unknown) => Err(unplaced(&copy.table, placement)),
        }
    }

    /// What the statement around a query allows.
    fn around(&self, target: Target) -> Verdict<Target> {
        let what = match &self.statement.kind {
            Kind::Into => return plan_home::into(self.statement, self.catalog, target),
            Kind::Explain { runs: false, .. } if matches!(target, Target::AllWrite { .. }) => return Ok(Target::AnyShard(Any::Either)),
            Kind::Explain { .. } => "EXPLAIN",
            Kind::Cursor => "DECLARE CURSOR",
            Kind::CopyQuery => "COPY TO",
            _ => return Ok(target),
        };
        let refusal = Refusal::new(format!("{what} of a statement that goes to several shards"));
        match target {
            Target::AllShards | Target::Rows(_) | Target::AllWrite { .. } => Err(refusal),
            Target::Keys { keys, many: Many::Union } => Ok(Target::Keys { keys, many: Many::Refused(refusal) }),
            target => Ok(target),
        }
    }

    fn query(&self, names: &mut Naming<'_>) -> Verdict<Target> {
        if self.statement.marks.strange {
            return Err(Refusal::new("the statement holds something that the planner does not know"));
        }
        let touches = self.touches()?;
        if self.statement.marks.current {
            return plan_cursor::current(self.statement, self.catalog);
        }
        let binder = Binder::new(self.statement, self.catalog);
        if !touches.one.is_empty() {
            return self.one(&touches, &binder);
        }
        if touches.omni || self.statement.kind == Kind::Into {
            return self.omni(&touches, &binder);
        }
        if binder.instances.is_empty() {
            let first = touches.local || self.statement.marks.locks;
            return Ok(Target::AnyShard(if first {
                Any::First
            } else if touches.system {
                Any::Sticky
            } else {
                Any::Either
            }));
        }
        self.sharded(&touches, binder, names)
    }

    /// Looks at all tables and calls.
    fn touches(&self) -> Verdict<Touches> {
        let mut touches = Touches { moving: self.statement.marks.clock || self.clock, ..Touches::default() };
        for block in &self.statement.blocks {
            for function in &block.functions {
                match call(&function.name, self.catalog) {
                    Call::Plain | Call::Aggregate => {}
                    Call::Moving => touches.moving = true,
                    Call::Local => touches.local = true,
                    Call::Hidden => {
                        let reason = format!("the function \"{}\" may read or write rows of any shard", function.name.name);
                        let hint = "Name the shard: /* pgdog_shard: 0 */. What stays on the shard it runs on can be listed in shard_local_functions.";
                        return Err(Refusal { hint, ..Refusal::new(reason) });
                    }
                }
            }
            for (number, source) in block.sources.iter().enumerate() {
                let Relation::Table(name) = &source.relation else { continue };
                let written = block.write.is_some() && number == 0;
                block.write.as_ref().filter(|_| number == 0).map_or(Ok(()), |write| passes(name, write, self.catalog))?;
                match self.catalog.table(name) {
                    Placement::Sharded(_) => {}
                    Placement::Omni => touches.omni |= written,
                    Placement::One(shard) => touches.one.push(shard),
                    Placement::System if written => return Err(Refusal::new(format!("\"{}\" is a catalog of each shard's own", name.name))),
                    Placement::System => touches.system = true,
                    Placement::Loose if !written => (touches.loose, touches.moving) = (true, true),
                    placement => return Err(unplaced(name, placement)),
                }
            }
        }
        Ok(touches)
    }

    /// Some tables are on one shard only.
    fn one(&self, touches: &Touches, binder: &Binder<'a, C>) -> Verdict<Target> {
        let shard = touches.one[0];
        if touches.one.iter().any(|other| *other != shard) {
            return Err(Refusal::new("the statement joins tables that are on different shards"));
        }
        if touches.omni || !binder.instances.is_empty() {
            return Err(Refusal::new("the statement joins a table of one shard with tables that are on several"));
        }
        Ok(Target::Shard(shard))
    }

    /// A table that is on every shard is written: all must come to the same.
    fn omni(&self, touches: &Touches, binder: &Binder<'a, C>) -> Verdict<Target> {
        let marks = self.statement.marks;
        if let Some(instance) = binder.instances.first() {
            let table = self.table(instance.block, instance.source);
            return Err(Refusal::new(format!("rows of the sharded table \"{table}\" cannot be written to a table that is on every shard")));
        }
        if marks.temporary {
            return Err(Refusal::new("a temporary table would be on one server of one shard only"));
        }
        if touches.system || marks.system {
            return Err(Refusal::new("what is written to every shard must not depend on a shard's own catalogs and row numbers"));
        }
        let ordered = self.statement.blocks.iter().any(|block| depends_on_order(block, self.catalog));
        if touches.moving || touches.local || marks.sample || marks.limits || ordered {
            let hint = "Compute the values first, and give them to the statement.";
            let reason = "what is written to every shard must not depend on the time, on chance, on sequences or on an order";
            return Err(Refusal { hint, ..Refusal::new(reason) });
        }
        for block in &self.statement.blocks {
            if let (Some(write), Some(Relation::Table(name))) = (&block.write, block.sources.first().map(|source| &source.relation))
                && self.catalog.columns(name).is_none_or(|known| plan_fill::moves(&self.statement.blocks, write, known))
            {
                return Err(differs(name));
            }
        }
        Ok(Target::AllWrite { alone: false })
    }

    /// Whether a row whose `columns` are given gets something from a default that is another one on each shard.
    fn moving_default(&self, table: &Name, columns: Option<&[Box<str>]>) -> bool {
        let Some(known) = self.catalog.columns(table) else { return true };
        let given = |name: &str| columns.is_none_or(|columns| columns.iter().any(|column| **column == *name));
        known.iter().any(|column| column.default == Fill::Moving && !given(&column.name))
    }

    fn table(&self, block: usize, source: usize) -> &'a str {
        match &self.statement.blocks[block].sources[source].relation {
            Relation::Table(name) => &name.name,
            _ => "",
        }
    }

    /// Some tables are sharded.
    fn sharded(&self, touches: &Touches, mut binder: Binder<'a, C>, names: &mut Naming<'_>) -> Verdict<Target> {
        let several = |reason: &str| Many::Refused(Refusal::new(reason));
        let mut keys = Found::default();
        let mut many = Many::Union;
        let mut unbound = None;
        for number in 0..binder.instances.len() {
            let instance = binder.instances[number];
            let block = &self.statement.blocks[instance.block];
            let write = block.write.as_ref().filter(|_| instance.source == 0);
            match write {
                Some(Write::Insert { columns, input, conflict }) => {
                    self.keeps_key(&mut binder, &instance, conflict, true)?;
                    let rows = self.inserted(&mut binder, &instance, columns.as_deref(), input, names)?;
                    if instance.block == 0 && binder.instances.len() == 1 && rows.len() > 1 && self.statement.kind == Kind::Query {
                        sets_in_rows(block, self.catalog)?;
                        return Ok(Target::Rows(rows));
                    }
                    many = several("the rows and what they are made of are on several shards");
                    keys.add(instance.key.group, rows);
                    continue;
                }
                Some(Write::Update(sets)) => {
                    let moved = self.keeps_key(&mut binder, &instance, sets, false)?;
                    if !moved.is_empty() {
                        many = several("UPDATE would move the row to another shard");
                        keys.add(instance.key.group, moved.into_iter().map(|value| names.key(instance.key.rule, value)).collect());
                    }
                }
                Some(Write::Merge) => return Err(Refusal::new("MERGE into a sharded table")),
                _ => {}
            }
            match binder.bound(&instance) {
                Some(values) => keys.add(instance.key.group, names.keys(instance.key.rule, values)),
                None => unbound = unbound.or(Some(instance)),
            }
        }
        let over = match many {
            Many::Refused(refusal) => Err(refusal),
            Many::Union => match spread(self.statement, self.catalog, &binder) {
                Spread::Union if touches.local => Err(Refusal::new("the statement calls a function that acts on the one shard it runs on")),
                Spread::Union if touches.loose => Err(Refusal::new("a view of the statement may give other rows on each shard")),
                Spread::Union if touches.system => Err(Refusal::new("the catalogs of several shards cannot be joined with their rows")),
                Spread::Union => Ok(()),
                Spread::Refused(reason) => Err(Refusal::new(reason)),
            },
        };
        match (unbound, over) {
            (None, Ok(())) => Ok(keys.target(Many::Union)),
            (None, Err(refusal)) => Ok(keys.target(Many::Refused(refusal))),
            (Some(_), Ok(())) => Ok(Target::AllShards),
            (Some(instance), Err(refusal)) => {
                let table = self.table(instance.block, instance.source);
                let reason = format!("rows of \"{table}\" on several shards: {}", refusal.reason);
                Err(Refusal { reason, ..refusal })
            }
        }
    }

    /// The keys of the rows that an INSERT adds.
    fn inserted(
        &self,
        binder: &mut Binder<'a, C>,
        instance: &Instance<'a>,
        columns: Option<&[Box<str>]>,
        input: &'a Input,
        names: &mut Naming<'_>,
    ) -> Verdict<Vec<Key>> {
        let key = instance.key;
        let Relation::Table(table) = &self.statement.blocks[instance.block].sources[0].relation else { return Ok(Vec::new()) };
        let position = match input {
            Input::Defaults => None,
            _ => self.position(table, columns, key)?,
        };
        let null = || Key { rule: key.rule, source: Source::Null, array: false };
        let of = |value: &Value, names: &mut Naming<'_>| match is_key(key.family, value) {
            true => Ok(names.key(key.rule, value)),
            false => Err(not_a_key(key)),
        };
        match input {
            Input::Defaults => self.default(table, key).map(|()| vec![null()]),
            Input::Rows(rows) => {
                let cells = rows.iter().map(|row| position.and_then(|position| row.get(position)));
                let keys = cells.map(|cell| match cell {
                    Some(Cell::Value(value)) => of(value, names),
                    Some(Cell::Other) => Err(not_a_key(key)),
                    Some(Cell::Default) | None => self.default(table, key).map(|()| null()),
                });
                keys.collect()
            }
            Input::Query(block) => {
                let select = &self.statement.blocks[*block];
                if position.is_none() {
                    return self.default(table, key).map(|()| vec![null()]);
                }
                let starless = select.arms.is_empty() && !select.has.values && !select.outputs.iter().any(|output| output.what == Shown::Star);
                let Some(position) = position.filter(|_| starless) else { return Err(not_a_key(key)) };
                match select.outputs.get(position).map(|output| &output.what) {
                    Some(Shown::Value(value)) => of(value, names).map(|key| vec![key]),
                    Some(Shown::Column(column)) if !select.has.group || select.groups.contains(column) => match binder.bound_column(*block, column) {
                        Some(values) if admits(key.family, values) => Ok(names.keys(key.rule, values)),
                        _ => Err(not_a_key(key)),
                    },
                    Some(_) => Err(not_a_key(key)),
                    None => self.default(table, key).map(|()| vec![null()]),
                }
            }
        }
    }

    /// Where a row has its key; None when it is not given.
    fn position(&self, table: &Name, columns: Option<&[Box<str>]>, key: ShardKey<'_>) -> Verdict<Option<usize>> {
        if let Some(columns) = columns {
            return Ok(columns.iter().position(|column| **column == *key.column));
        }
        let known = self.catalog.columns(table).and_then(|columns| columns.iter().position(|column| *column.name == *key.column));
        let hint = "Name the columns of the rows: INSERT INTO t (a, b) VALUES ...";
        known.map(Some).ok_or_else(|| Refusal { hint, ..Refusal::new(format!("the columns of \"{}\" are not known", table.name)) })
    }

    /// The same of a COPY, which has no field for what is computed.
    fn field(&self, copy: &Copy, key: ShardKey<'_>) -> Verdict<Option<usize>> {
        let position = self.position(&copy.table, copy.columns.as_deref(), key)?;
        let known = self.catalog.columns(&copy.table).filter(|_| copy.columns.is_none()).unwrap_or_default();
        let computed = |position: usize| known[..position.min(known.len())].iter().filter(|column| column.default == Fill::Computed).count();
        Ok(position.map(|position| position - computed(position)))
    }

    /// A row is given no key: it has NULL, unless the table makes one.
    fn default(&self, table: &Name, key: ShardKey<'_>) -> Verdict<()> {
        let column = self.catalog.columns(table).and_then(|columns| columns.iter().find(|column| *column.name == *key.column));
        if column.is_some_and(|column| column.default == Fill::Null) { Ok(()) } else { Err(missing(table, key)) }
    }

    /// What SET makes of the key: values that must be on the row's shard. Refused when it cannot be told.
    fn keeps_key(&self, binder: &mut Binder<'a, C>, instance: &Instance<'a>, sets: &'a [Set], conflict: bool) -> Verdict<Vec<&'a Value>> {
        let key = instance.key;
        let source = &self.statement.blocks[instance.block].sources[0];
        let mut values = Vec::new();
        for set in sets.iter().filter(|set| *set.column == *key.column) {
            match &set.to {
                Shown::Value(value) if !conflict && is_key(key.family, value) && binder.bound(instance).is_some() => values.push(value),
                // The row that is there already is on the shard of the one that was to be inserted.
                Shown::Column(column) if *column.name == *key.column => {
                    let table = column.qualifier.last().map(|name| &**name);
                    let same = table == source.visible() || (table.is_none() && self.statement.blocks[instance.block].sources.len() == 1);
                    if !same && (!conflict || table != Some("excluded")) {
                        return Err(moves(key));
                    }
                }
                _ => return Err(moves(key)),
            }
        }
        Ok(values)
    }
}

/// The keys of a statement's tables, each set of them once.
#[derive(Default)]
struct Found {
    /// with the group of its tables: equal keys of one group are on one shard
    sets: Vec<(u32, Vec<Key>)>,
}

impl Found {
    fn add(&mut self, group: u32, keys: Vec<Key>) {
        let same = |one: &Key, other: &Key| one.source == other.source && one.array == other.array;
        let equal =
            |(of, set): &(u32, Vec<Key>)| *of == group && set.len() == keys.len() && set.iter().zip(&keys).all(|(one, other)| same(one, other));
        if !self.sets.iter().any(equal) {
            self.sets.push((group, keys));
        }
    }

    fn target(self, many: Many) -> Target {
        let mut keys: Vec<Key> = self.sets.into_iter().flat_map(|(_, keys)| keys).collect();
        match keys.len() {
            // Compared with no value at all.
            0 => Target::AnyShard(Any::Either),
            1 if !keys[0].array => Target::OneKey(keys.remove(0)),
            _ => Target::Keys { keys, many },
        }
    }
}

/// Names values by the literals of the scan.
struct Naming<'a> {
    literals: &'a [Literal],
    /// every value that was named is one of them
    keep: bool,
}

impl Naming<'_> {
    fn keys(&mut self, rule: u32, values: &Values) -> Vec<Key> {
        match values {
            Values::Some(values) => values.iter().map(|value| self.key(rule, value)).collect(),
            Values::Array(value) => vec![Key { array: true, ..self.key(rule, value) }],
        }
    }

    fn key(&mut self, rule: u32, value: &Value) -> Key {
        let source = match &value.term {
            Term::Null => Source::Null,
            Term::Parameter(number) => Source::Parameter(*number),
            Term::Constant { at, form, text } => self.literal(*at, *form, text).unwrap_or_else(|| {
                self.keep = false;
                Source::Constant(text.clone())
            }),
        };
        Key { rule, source, array: false }
    }

    /// The first literal from where the constant begins: before it there can only be signs.
    fn literal(&self, at: usize, form: super::outline::Form, text: &str) -> Option<Source> {
        use super::outline::Form;
        let number = self.literals.partition_point(|literal| (literal.start as usize) < at);
        let literal = self.literals.get(number)?;
        let negative = text.starts_with('-');
        let fits = match literal.kind {
            // Whether there is a minus before a zero its value does not tell.
            LiteralKind::Integer | LiteralKind::Wide => form != Form::String && (negative || literal.start as usize == at),
            LiteralKind::Text | LiteralKind::Clock | LiteralKind::Dollar => form == Form::String,
            LiteralKind::Numeric | LiteralKind::Odd | LiteralKind::Bits => false,
        };
        fits.then_some(Source::Literal { number: number as u32, negative })
    }
}
