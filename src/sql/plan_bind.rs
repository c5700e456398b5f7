//! Which key values the tables of a statement are bound to. A table is **bound** to values when the answer does not change if its other rows were
//! not there; then the shards of these values hold all that matters.
//!
//! The columns that conditions speak of are nodes of a graph. An edge from one node to another says: where the rows of the first hold K in that
//! column, those of the second with anything else do not matter. Values come in by `column = value` and flow along the edges. Who may be left
//! out by a condition is its `reach` (`outline_read`); a condition in a subquery never binds a table outside of it.
//!
//! Nodes are columns of types in which equality is the same, so nothing flows through a comparison of another type.

use ahash::AHashMap;

use super::catalog::{Call, Catalog, Placement, ShardKey, call};
use super::outline::{Block, Cast, Column, Fact, Family, Form, Relation, Shown, Source, Statement, Term, Value, Values, What};

/// A node of the graph.
#[derive(Clone, Copy, Debug)]
struct Node {
    block: usize,
    source: usize,
    family: Family,
}

/// A sharded table of a statement, each time that it is named.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    pub block: usize,
    pub source: usize,
    pub key: ShardKey<'a>,
    /// the key's node, if conditions can name it
    node: Option<usize>,
}

/// Whether a source has a column of a name.
enum Holds {
    Yes,
    No,
    Perhaps,
}

/// The graph of one statement.
pub struct Binder<'a, C> {
    statement: &'a Statement,
    catalog: &'a C,
    nodes: Vec<Node>,
    known: AHashMap<(usize, usize, &'a str), Option<usize>>,
    /// from each node
    edges: Vec<Vec<usize>>,
    bound: Vec<Option<&'a Values>>,
    pub instances: Vec<Instance<'a>>,
}

impl<'a, C: Catalog> Binder<'a, C> {
    /// Reads all facts and lets the values flow.
    pub fn new(statement: &'a Statement, catalog: &'a C) -> Binder<'a, C> {
        let mut binder =
            Binder { statement, catalog, nodes: Vec::new(), known: AHashMap::new(), edges: Vec::new(), bound: Vec::new(), instances: Vec::new() };
        for (number, block) in statement.blocks.iter().enumerate() {
            for (source, entry) in block.sources.iter().enumerate() {
                if let Relation::Table(name) = &entry.relation
                    && let Placement::Sharded(key) = catalog.table(name)
                {
                    let node = binder.node(number, source, key.column);
                    binder.instances.push(Instance { block: number, source, key, node });
                }
            }
        }
        let mut seeds: Vec<(usize, &'a Values)> = Vec::new();
        for (number, block) in statement.blocks.iter().enumerate() {
            for fact in &block.facts {
                binder.fact(number, fact, &mut seeds);
            }
        }
        // One value is better than several.
        seeds.sort_by_key(|(_, values)| !matches!(values, Values::Some(values) if values.len() == 1));
        for (node, values) in seeds {
            binder.flow(node, values);
        }
        binder
    }

    /// What an instance is bound to.
    pub fn bound(&self, instance: &Instance<'_>) -> Option<&'a Values> {
        instance.node.and_then(|node| self.bound[node])
    }

    /// What a column of block `at` is bound to, and NULL in no row that it has.
    pub fn bound_column(&mut self, at: usize, column: &'a Column) -> Option<&'a Values> {
        let node = self.resolve(at, column)?;
        let Node { block, source, .. } = self.nodes[node];
        let own = block == at && !self.statement.blocks[at].sources[source].nullable;
        let table = matches!(self.statement.blocks[block].sources[source].relation, Relation::Table(_));
        if own && table { self.bound[node] } else { None }
    }

    /// The table whose sharding key a column of block `at` is, if the rows of the block are given by its rows.
    pub fn key_shown(&mut self, at: usize, column: &'a Column) -> Option<Instance<'a>> {
        let node = self.resolve_own(at, column)?;
        let instance = *self.instances.iter().find(|instance| instance.node == Some(node) && instance.block == at)?;
        let nullable = self.statement.blocks[at].sources[instance.source].nullable;
        (!nullable && self.together(&instance)).then_some(instance)
    }

    /// Whether all instances hold the key of `anchor` wherever they matter, whatever that is.
    pub fn together(&self, anchor: &Instance<'_>) -> bool {
        let Some(start) = anchor.node else { return self.instances.len() == 1 };
        let mut reached = vec![false; self.nodes.len()];
        let mut todo = vec![start];
        while let Some(node) = todo.pop() {
            if !std::mem::replace(&mut reached[node], true) {
                todo.extend(&self.edges[node]);
            }
        }
        let same = |instance: &Instance<'_>| instance.block == anchor.block && instance.source == anchor.source;
        let mut others = self.instances.iter().filter(|instance| !same(instance));
        others.all(|other| other.key.group == anchor.key.group && other.node.is_some_and(|node| reached[node]))
    }

    fn flow(&mut self, node: usize, values: &'a Values) {
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            if self.bound[node].is_none() {
                self.bound[node] = Some(values);
                todo.extend(&self.edges[node]);
            }
        }
    }

    fn fact(&mut self, at: usize, fact: &'a Fact, seeds: &mut Vec<(usize, &'a Values)>) {
        match &fact.what {
            What::Value { column, values, null } => {
                let Some(node) = self.resolve(at, column) else { return };
                let source = &self.statement.blocks[at].sources[..];
                let nullable = *null && source.get(self.nodes[node].source).is_none_or(|source| source.nullable);
                if self.reaches(at, fact, node) && !nullable && admits(self.nodes[node].family, values) {
                    seeds.push((node, values));
                }
            }
            What::Same(left, right) => {
                if let (Some(left), Some(right)) = (self.resolve(at, left), self.resolve(at, right)) {
                    self.join(at, fact, left, right);
                }
            }
            What::Within(column, block) => {
                let Some(output) = self.statement.blocks[*block].outputs.first() else { return };
                let Shown::Column(inner) = &output.what else { return };
                let (Some(outer), Some(node)) = (self.resolve(at, column), self.resolve_own(*block, inner)) else { return };
                if self.nodes[outer].family != self.nodes[node].family {
                    return;
                }
                if self.reaches(at, fact, outer) {
                    self.edges[node].push(outer);
                }
                if self.passes(*block, inner) {
                    self.edges[outer].push(node);
                }
            }
            What::Using { name, left, right } => {
                for name in self.names(at, name.as_deref(), left.clone()) {
                    let pair = (self.first(at, left.clone(), name), self.first(at, right.clone(), name));
                    if let (Some(left), Some(right)) = pair {
                        self.join(at, fact, left, right);
                    }
                }
            }
        }
    }

    /// The columns that USING or NATURAL names, as far as they are keys.
    fn names(&self, at: usize, name: Option<&'a str>, left: std::ops::Range<usize>) -> Vec<&'a str> {
        match name {
            Some(name) => vec![name],
            None => self.instances.iter().filter(|one| one.block == at && left.contains(&one.source)).map(|one| one.key.column).collect(),
        }
    }

    /// The column that USING takes of these sources: the first, unless one before it may have it too.
    fn first(&mut self, at: usize, sources: std::ops::Range<usize>, name: &'a str) -> Option<usize> {
        let statement = self.statement;
        for number in sources {
            match self.holds(&statement.blocks[at].sources[number], name) {
                Holds::Yes => return self.node(at, number, name),
                Holds::Perhaps => return None,
                Holds::No => {}
            }
        }
        None
    }

    fn reaches(&self, at: usize, fact: &Fact, node: usize) -> bool {
        self.nodes[node].block == at && fact.reach.contains(&self.nodes[node].source)
    }

    /// Two equal columns.
    fn join(&mut self, at: usize, fact: &Fact, left: usize, right: usize) {
        if self.nodes[left].family != self.nodes[right].family {
            return;
        }
        for (from, to) in [(left, right), (right, left)] {
            if self.reaches(at, fact, to) {
                self.edges[from].push(to);
            }
        }
    }

    /// The node of a column as block `at` sees it.
    fn resolve(&mut self, at: usize, column: &'a Column) -> Option<usize> {
        let mut scope = Some(at);
        while let Some(block) = scope {
            match self.find(block, column) {
                Ok(found) => return found,
                Err(()) => scope = self.statement.blocks[block].scope,
            }
        }
        None
    }

    /// The node of a column of a block's own sources.
    fn resolve_own(&mut self, block: usize, column: &'a Column) -> Option<usize> {
        self.find(block, column).ok().flatten()
    }

    /// A column among a block's own sources; Err when it is none of theirs.
    fn find(&mut self, block: usize, column: &'a Column) -> Result<Option<usize>, ()> {
        let own = &self.statement.blocks[block];
        let Some(table) = column.qualifier.last() else { return self.find_bare(block, &column.name) };
        if own.joined.contains(table) {
            return Ok(None);
        }
        let found = own.sources.iter().position(|source| source.visible() == Some(table) && matches_schema(source, &column.qualifier));
        match found {
            Some(source) => Ok(self.node(block, source, &column.name)),
            None => Err(()),
        }
    }

    fn find_bare(&mut self, block: usize, name: &'a str) -> Result<Option<usize>, ()> {
        let own = &self.statement.blocks[block];
        // What is named in USING of a FULL JOIN is no side's column.
        if own.full && own.sources.len() > 1 {
            return Ok(None);
        }
        let mut perhaps = false;
        let merges = own.facts.iter().any(|fact| matches!(fact.what, What::Using { .. }));
        for (number, source) in own.sources.iter().enumerate() {
            match self.holds(source, name) {
                // The first of several that USING made one: it is the one whose rows are all kept.
                Holds::Yes if perhaps && merges => return Ok(None),
                Holds::Yes => return Ok(self.node(block, number, name)),
                Holds::Perhaps => perhaps = true,
                Holds::No => {}
            }
        }
        if perhaps { Ok(None) } else { Err(()) }
    }

    fn holds(&self, source: &Source, name: &str) -> Holds {
        if source.columns.is_some() || source.hidden {
            return Holds::Perhaps;
        }
        match &source.relation {
            Relation::Table(table) => {
                if matches!(self.catalog.table(table), Placement::Sharded(key) if key.column == name) {
                    return Holds::Yes;
                }
                match self.catalog.columns(table) {
                    Some(columns) if columns.iter().any(|column| *column.name == *name) => Holds::Yes,
                    Some(_) => Holds::No,
                    None => Holds::Perhaps,
                }
            }
            Relation::Derived(block) => self.shows(&self.statement.blocks[*block], name),
            Relation::Cte(block, number) => {
                let cte = &self.statement.blocks[*block].ctes[*number];
                if cte.columns.is_some() || cte.closed { Holds::Perhaps } else { self.shows(&self.statement.blocks[cte.block], name) }
            }
            Relation::Other => Holds::Perhaps,
        }
    }

    fn shows(&self, block: &Block, name: &str) -> Holds {
        if block.outputs.iter().any(|output| output.name.as_deref() == Some(name)) {
            return Holds::Yes;
        }
        // `*` shows what its sources have.
        let stars = block.outputs.iter().any(|output| output.what == Shown::Star);
        if stars && block.sources.iter().any(|source| matches!(self.holds(source, name), Holds::Yes)) {
            return Holds::Yes;
        }
        // An output without a name of its own has one that PostgreSQL makes up.
        let clear = block.arms.is_empty() && !block.has.values && block.outputs.iter().all(|output| output.name.is_some());
        if clear { Holds::No } else { Holds::Perhaps }
    }

    /// The node of a source's column, made when it is first asked for.
    fn node(&mut self, block: usize, source: usize, name: &'a str) -> Option<usize> {
        if let Some(node) = self.known.get(&(block, source, name)) {
            return *node;
        }
        // Names in one another never lead back here, but a cycle must end.
        self.known.insert((block, source, name), None);
        let statement = self.statement;
        let entry = &statement.blocks[block].sources[source];
        let node = match &entry.relation {
            _ if entry.columns.is_some() => None,
            Relation::Table(table) => self.family(table, name).map(|family| self.add(Node { block, source, family })),
            Relation::Derived(inner) => self.derived(block, source, *inner, name, true),
            Relation::Cte(owner, number) => {
                let cte = &statement.blocks[*owner].ctes[*number];
                if cte.closed || cte.columns.is_some() { None } else { self.derived(block, source, cte.block, name, cte.uses == 1) }
            }
            Relation::Other => None,
        };
        self.known.insert((block, source, name), node);
        node
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.edges.push(Vec::new());
        self.bound.push(None);
        self.nodes.len() - 1
    }

    fn family(&self, table: &super::outline::Name, name: &str) -> Option<Family> {
        match self.catalog.table(table) {
            Placement::Sharded(key) if key.column == name => Some(key.family),
            _ => self.catalog.columns(table)?.iter().find(|column| *column.name == *name)?.family,
        }
    }

    /// A column of a subquery: what binds the table's column inside binds it, and the other way round if the subquery lets conditions through.
    fn derived(&mut self, block: usize, source: usize, inner: usize, name: &'a str, once: bool) -> Option<usize> {
        let statement = self.statement;
        let from = &statement.blocks[inner];
        if !from.arms.is_empty() || from.write.is_some() {
            return None;
        }
        let mut named = from.outputs.iter().filter(|output| output.name.as_deref() == Some(name));
        let star = from.outputs.iter().any(|output| output.what == Shown::Star);
        let (inside, column) = match (named.next(), named.next()) {
            (Some(output), None) => match &output.what {
                Shown::Column(column) => (self.resolve_own(inner, column)?, Some(column)),
                _ => return None,
            },
            (None, None) if star => (self.find_bare(inner, name).ok()??, None),
            _ => return None,
        };
        let node = self.add(Node { block, source, family: self.nodes[inside].family });
        self.edges[inside].push(node);
        let passes = match column {
            Some(column) => self.passes(inner, column),
            None => self.is_open(inner) && !from.has.group && !self.aggregates(from),
        };
        if once && passes {
            self.edges[node].push(inside);
        }
        Some(node)
    }

    /// Whether a condition on a column that a block shows could as well stand in its WHERE.
    fn passes(&self, block: usize, column: &Column) -> bool {
        let inner = &self.statement.blocks[block];
        let grouped = inner.has.group || inner.has.having || self.aggregates(inner);
        self.is_open(block) && (!grouped || inner.groups.contains(column))
    }

    /// It has no clause that counts its rows.
    fn is_open(&self, block: usize) -> bool {
        let block = &self.statement.blocks[block];
        let has = block.has;
        let windows = block.functions.iter().any(|function| function.window);
        !(has.limit || has.window || windows || has.distinct_on || has.set || has.values) && block.write.is_none()
    }

    fn aggregates(&self, block: &Block) -> bool {
        aggregates(block, self.catalog)
    }
}

/// Whether a block aggregates.
pub fn aggregates(block: &Block, catalog: &impl Catalog) -> bool {
    block.functions.iter().any(|function| !function.window && (function.aggregate || call(&function.name, catalog) == Call::Aggregate))
}

fn matches_schema(source: &Source, qualifier: &[Box<str>]) -> bool {
    match (qualifier, &source.relation) {
        ([_], _) => true,
        ([.., schema, _], Relation::Table(name)) => source.alias.is_none() && name.schema.as_ref() == Some(schema),
        _ => false,
    }
}

/// Whether all of `values` are keys of `family` when a column of it is compared with them.
pub fn admits(family: Family, values: &Values) -> bool {
    match values {
        Values::Some(values) => values.iter().all(|value| is_key(family, value)),
        Values::Array(value) => {
            let string = matches!(&value.term, Term::Constant { form: Form::String, .. } | Term::Parameter(_));
            string && value.cast.is_none_or(|cast| cast == Cast { family, array: true })
        }
    }
}

/// Whether a value is a key of `family`, compared or stored: of its own type, or a string that PostgreSQL reads as one.
pub fn is_key(family: Family, value: &Value) -> bool {
    let cast = value.cast.is_none_or(|cast| cast == Cast { family, array: false });
    let fits = match &value.term {
        Term::Null | Term::Parameter(_) | Term::Constant { form: Form::String, .. } => true,
        // What no int8 holds is a numeric, and so is the comparison.
        Term::Constant { form: Form::Integer | Form::Number, text, .. } => family == Family::Integer && fits_int8(text),
        Term::Constant { form: Form::Other, .. } => false,
    };
    cast && fits
}

/// `-9223372036854775808` is a minus before a numeric.
fn fits_int8(text: &str) -> bool {
    super::literal::integer(text.strip_prefix('-').unwrap_or(text).as_bytes()).is_some()
}
