//! The parser's tree → `outline`: query blocks, WITH, FROM, and the statements that write. Expressions are left to `outline_expr`, the statements
//! that are no queries to `outline_kind`.
//!
//! Invariant: `deeper` is asked at each level of recursion, so that a tree of any depth ends in `Deep` and never in an overflown stack.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, DeleteStmt, InsertStmt, JoinExpr, JoinType, MergeStmt, Node, RangeVar, ReturningClause, SelectStmt, SetOperation, UpdateStmt, WithClause,
};

use super::outline::{Block, Cell, Cte, Fact, Has, Input, Marks, Name, Output, Place, Relation, Set, Shown, Source, What, Write};
use super::outline_expr::{column, qualifiers, string, value};

/// The tree is deeper than `DEPTH_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deep;

pub type Done<T> = Result<T, Deep>;

/// Queries in one another. Each level costs some 2 KB of stack here and more in the parser, which `scan` bounds.
pub const DEPTH_MAX: usize = 2_000;

/// Reads one statement.
#[derive(Debug, Default)]
pub struct Reader {
    pub blocks: Vec<Block>,
    pub marks: Marks,
    depth: usize,
}

impl Reader {
    fn deeper(&mut self) -> Done<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Deep) } else { Ok(()) }
    }

    /// A query of any kind as a block of its own.
    pub fn query(&mut self, node: &Node, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        self.deeper()?;
        let at = match &node.node {
            Some(NodeEnum::SelectStmt(stmt)) => self.select(stmt, parent, scope, place)?,
            Some(NodeEnum::InsertStmt(stmt)) => self.insert(stmt, parent, scope, place)?,
            Some(NodeEnum::UpdateStmt(stmt)) => self.update(stmt, parent, scope, place)?,
            Some(NodeEnum::DeleteStmt(stmt)) => self.delete(stmt, parent, scope, place)?,
            Some(NodeEnum::MergeStmt(stmt)) => self.merge(stmt, parent, scope, place)?,
            _ => {
                self.marks.strange = true;
                self.open(parent, scope, place)
            }
        };
        self.depth -= 1;
        Ok(at)
    }

    fn open(&mut self, parent: Option<usize>, scope: Option<usize>, place: Place) -> usize {
        self.blocks.push(Block { parent, scope, place, ..Block::default() });
        self.blocks.len() - 1
    }

    /// A SELECT, VALUES or TABLE.
    pub fn select(&mut self, stmt: &SelectStmt, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        self.deeper()?;
        let at = self.open(parent, scope, place);
        self.with(at, stmt.with_clause.as_ref())?;
        if let (Some(left), Some(right)) = (&stmt.larg, &stmt.rarg) {
            for arm in [left, right] {
                let arm = self.select(arm, Some(at), scope, Place::Arm)?;
                self.blocks[at].arms.push(arm);
            }
        } else {
            self.body(at, stmt)?;
        }
        self.nodes(at, &stmt.sort_clause)?;
        self.node(at, stmt.limit_count.as_deref())?;
        self.node(at, stmt.limit_offset.as_deref())?;
        let limit = stmt.limit_count.is_some() || stmt.limit_offset.is_some();
        self.marks.limits |= limit;
        self.marks.locks |= !stmt.locking_clause.is_empty();
        let distinct = !stmt.distinct_clause.is_empty();
        self.blocks[at].has = Has {
            order: !stmt.sort_clause.is_empty(),
            limit,
            distinct,
            // DISTINCT alone is a list with one empty node.
            distinct_on: distinct && stmt.distinct_clause.iter().any(|node| node.node.is_some()),
            group: !stmt.group_clause.is_empty(),
            having: stmt.having_clause.is_some(),
            window: !stmt.window_clause.is_empty(),
            values: !stmt.values_lists.is_empty(),
            set: !matches!(SetOperation::try_from(stmt.op), Ok(SetOperation::SetopNone | SetOperation::Undefined)),
        };
        self.depth -= 1;
        Ok(at)
    }

    /// What a SELECT without set operations has.
    fn body(&mut self, at: usize, stmt: &SelectStmt) -> Done<()> {
        let strict = qualifiers(stmt.where_clause.as_deref());
        for item in &stmt.from_clause {
            self.from(at, item, &strict)?;
        }
        self.filter(at, stmt.where_clause.as_deref())?;
        self.outputs(at, &stmt.target_list)?;
        self.nodes(at, &stmt.group_clause)?;
        let groups: Vec<_> = stmt.group_clause.iter().map(column).collect();
        self.blocks[at].groups = groups.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default();
        self.node(at, stmt.having_clause.as_deref())?;
        self.nodes(at, &stmt.window_clause)?;
        self.nodes(at, &stmt.distinct_clause)?;
        self.nodes(at, &stmt.values_lists)
    }

    fn filter(&mut self, at: usize, node: Option<&Node>) -> Done<()> {
        let all = 0..self.blocks[at].sources.len();
        self.conditions(at, node, all)
    }

    fn outputs(&mut self, at: usize, targets: &[Node]) -> Done<()> {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else { continue };
            let what = shown(target.val.as_deref());
            let name = match (&what, target.name.as_str()) {
                (Shown::Column(column), "") => Some(column.name.clone()),
                (_, "") => None,
                (_, name) => Some(name.into()),
            };
            self.blocks[at].outputs.push(Output { name, what });
            self.node(at, target.val.as_deref())?;
        }
        Ok(())
    }

    /// The names of WITH. One without RECURSIVE sees only those before it.
    fn with(&mut self, at: usize, clause: Option<&WithClause>) -> Done<()> {
        let Some(clause) = clause else { return Ok(()) };
        self.marks.recursive |= clause.recursive;
        let scope = self.blocks[at].scope;
        let named: Vec<_> =
            clause.ctes.iter().filter_map(|node| if let Some(NodeEnum::CommonTableExpr(cte)) = &node.node { Some(cte) } else { None }).collect();
        if clause.recursive {
            let all = named.iter().map(|cte| Cte { name: cte.ctename.as_str().into(), block: at, columns: None, uses: 2, closed: true });
            self.blocks[at].ctes.extend(all);
        }
        for (number, cte) in named.iter().enumerate() {
            let Some(query) = cte.ctequery.as_deref() else { continue };
            let block = self.query(query, Some(at), scope, Place::Cte)?;
            let columns = names(&cte.aliascolnames);
            let known = &mut self.blocks[at].ctes;
            match known.get_mut(number) {
                Some(cte) if clause.recursive => (cte.block, cte.columns) = (block, columns),
                _ => known.push(Cte { name: cte.ctename.as_str().into(), block, columns, uses: 0, closed: false }),
            }
        }
        Ok(())
    }

    /// One item of FROM: the sources it adds.
    fn from(&mut self, at: usize, node: &Node, strict: &[Box<str>]) -> Done<Range<usize>> {
        self.deeper()?;
        let start = self.blocks[at].sources.len();
        let scope = self.blocks[at].scope;
        match &node.node {
            Some(NodeEnum::RangeVar(table)) => self.table(at, table),
            Some(NodeEnum::JoinExpr(join)) => self.join(at, join, strict)?,
            Some(NodeEnum::RangeSubselect(derived)) => {
                let scope = if derived.lateral { Some(at) } else { scope };
                let Some(query) = derived.subquery.as_deref() else { return Ok(start..start) };
                let block = self.query(query, Some(at), scope, Place::Derived)?;
                self.source(at, Relation::Derived(block), derived.alias.as_ref());
            }
            Some(NodeEnum::RangeFunction(function)) => {
                self.nodes(at, &function.functions)?;
                self.source(at, Relation::Other, function.alias.as_ref());
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                self.marks.sample = true;
                if let Some(relation) = sample.relation.as_deref() {
                    self.from(at, relation, strict)?;
                }
                self.nodes(at, &sample.args)?;
                self.node(at, sample.repeatable.as_deref())?;
            }
            Some(NodeEnum::RangeTableFunc(function)) => {
                self.node(at, function.docexpr.as_deref())?;
                self.node(at, function.rowexpr.as_deref())?;
                self.nodes(at, &function.namespaces)?;
                self.nodes(at, &function.columns)?;
                self.source(at, Relation::Other, function.alias.as_ref());
            }
            Some(NodeEnum::JsonTable(table)) => {
                self.node(at, table.context_item.as_ref().and_then(|item| item.raw_expr.as_deref()))?;
                self.nodes(at, &table.passing)?;
                self.source(at, Relation::Other, table.alias.as_ref());
            }
            _ => {
                self.marks.strange = true;
                self.source(at, Relation::Other, None);
            }
        }
        self.depth -= 1;
        Ok(start..self.blocks[at].sources.len())
    }

    fn table(&mut self, at: usize, table: &RangeVar) {
        let cte = if table.schemaname.is_empty() { Block::cte(&self.blocks, at, &table.relname) } else { None };
        let relation = match cte {
            Some((block, number)) => {
                self.blocks[block].ctes[number].uses += 1;
                Relation::Cte(block, number)
            }
            None => Relation::Table(name(table)),
        };
        let named = matches!(relation, Relation::Cte(..));
        self.source(at, relation, table.alias.as_ref());
        // What WITH names is called by that name, as a table is by its own.
        if let Some(source) = self.blocks[at].sources.last_mut().filter(|source| named && source.alias.is_none()) {
            source.alias = Some(table.relname.as_str().into());
        }
    }

    fn source(&mut self, at: usize, relation: Relation, alias: Option<&Alias>) {
        let columns = alias.and_then(|alias| names(&alias.colnames));
        let alias = alias.map(|alias| alias.aliasname.as_str().into());
        self.blocks[at].sources.push(Source { relation, alias, columns, nullable: false, hidden: false });
    }

    /// A join: which side's rows its condition leaves out depends on its kind.
    fn join(&mut self, at: usize, join: &JoinExpr, strict: &[Box<str>]) -> Done<()> {
        let (Some(left), Some(right)) = (join.larg.as_deref(), join.rarg.as_deref()) else { return Ok(()) };
        let kind = JoinType::try_from(join.jointype).unwrap_or(JoinType::JoinFull);
        // The side that is kept comes first: a column named in USING is its column.
        let (first, second) = if kind == JoinType::JoinRight { (right, left) } else { (left, right) };
        let first = self.from(at, first, strict)?;
        let second = self.from(at, second, strict)?;
        let whole = first.start..second.end;
        let block = &mut self.blocks[at];
        // WHERE rejects the rows that such an outer join adds.
        let rejected =
            block.sources[second.clone()].iter().any(|source| source.visible().is_some_and(|name| strict.iter().any(|one| **one == *name)));
        let reach = match kind {
            JoinType::JoinInner => whole.clone(),
            JoinType::JoinLeft | JoinType::JoinRight if rejected => whole.clone(),
            JoinType::JoinLeft | JoinType::JoinRight => {
                block.sources[second.clone()].iter_mut().for_each(|source| source.nullable = true);
                second.clone()
            }
            _ => {
                block.full = true;
                block.sources[whole.clone()].iter_mut().for_each(|source| source.nullable = true);
                whole.end..whole.end
            }
        };
        let using = names(&join.using_clause).unwrap_or_default();
        let mut named: Vec<_> = using.into_iter().map(Some).collect();
        if join.is_natural {
            named.push(None);
        }
        for name in named {
            let what = What::Using { name, left: first.clone(), right: second.clone() };
            block.facts.push(Fact { what, reach: reach.clone() });
        }
        self.conditions(at, join.quals.as_deref(), reach)?;
        let names = [&join.alias, &join.join_using_alias].into_iter().flatten().map(|alias| alias.aliasname.as_str().into());
        self.blocks[at].joined.extend(names);
        if join.alias.is_some() {
            self.blocks[at].sources[whole].iter_mut().for_each(|source| source.hidden = true);
        }
        Ok(())
    }

    /// The block of a statement that writes, with its WITH and its table.
    fn writes(&mut self, place: (Option<usize>, Option<usize>, Place), with: Option<&WithClause>, table: Option<&RangeVar>) -> Done<usize> {
        self.marks.writes = true;
        let at = self.open(place.0, place.1, place.2);
        self.with(at, with)?;
        if let Some(table) = table {
            // A name of WITH is never written.
            self.source(at, Relation::Table(name(table)), table.alias.as_ref());
        }
        Ok(at)
    }

    fn returning(&mut self, at: usize, clause: Option<&ReturningClause>) -> Done<()> {
        clause.map_or(Ok(()), |clause| self.outputs(at, &clause.exprs))
    }

    fn insert(&mut self, stmt: &InsertStmt, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        let at = self.writes((parent, scope, place), stmt.with_clause.as_ref(), stmt.relation.as_ref())?;
        let columns = (!stmt.cols.is_empty()).then(|| stmt.cols.iter().map(|node| target(node).unwrap_or_default()).collect());
        let input = match stmt.select_stmt.as_deref().and_then(|node| node.node.as_ref()) {
            None => Input::Defaults,
            Some(NodeEnum::SelectStmt(values)) if is_rows(values) => {
                let mut rows = Vec::with_capacity(values.values_lists.len());
                for row in &values.values_lists {
                    let Some(NodeEnum::List(row)) = &row.node else { continue };
                    rows.push(row.items.iter().map(cell).collect());
                    self.walk(at, scope, &row.items)?;
                }
                Input::Rows(rows)
            }
            Some(NodeEnum::SelectStmt(select)) => Input::Query(self.select(select, Some(at), scope, Place::Input)?),
            Some(_) => {
                self.marks.strange = true;
                Input::Defaults
            }
        };
        let mut conflict = Vec::new();
        if let Some(clause) = &stmt.on_conflict_clause {
            conflict = sets(&clause.target_list);
            self.nodes(at, &clause.target_list)?;
            self.node(at, clause.where_clause.as_deref())?;
            if let Some(infer) = &clause.infer {
                self.nodes(at, &infer.index_elems)?;
                self.node(at, infer.where_clause.as_deref())?;
            }
        }
        self.returning(at, stmt.returning_clause.as_ref())?;
        self.blocks[at].write = Some(Write::Insert { columns, input, conflict });
        Ok(at)
    }

    fn update(&mut self, stmt: &UpdateStmt, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        let at = self.writes((parent, scope, place), stmt.with_clause.as_ref(), stmt.relation.as_ref())?;
        let strict = qualifiers(stmt.where_clause.as_deref());
        for item in &stmt.from_clause {
            self.from(at, item, &strict)?;
        }
        self.filter(at, stmt.where_clause.as_deref())?;
        self.nodes(at, &stmt.target_list)?;
        self.returning(at, stmt.returning_clause.as_ref())?;
        self.blocks[at].write = Some(Write::Update(sets(&stmt.target_list)));
        Ok(at)
    }

    fn delete(&mut self, stmt: &DeleteStmt, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        let at = self.writes((parent, scope, place), stmt.with_clause.as_ref(), stmt.relation.as_ref())?;
        let strict = qualifiers(stmt.where_clause.as_deref());
        for item in &stmt.using_clause {
            self.from(at, item, &strict)?;
        }
        self.filter(at, stmt.where_clause.as_deref())?;
        self.returning(at, stmt.returning_clause.as_ref())?;
        self.blocks[at].write = Some(Write::Delete);
        Ok(at)
    }

    /// Its condition leaves no rows out: those that do not match are acted on too.
    fn merge(&mut self, stmt: &MergeStmt, parent: Option<usize>, scope: Option<usize>, place: Place) -> Done<usize> {
        let at = self.writes((parent, scope, place), stmt.with_clause.as_ref(), stmt.relation.as_ref())?;
        if let Some(source) = stmt.source_relation.as_deref() {
            self.from(at, source, &[])?;
        }
        self.node(at, stmt.join_condition.as_deref())?;
        for clause in &stmt.merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else { continue };
            self.node(at, clause.condition.as_deref())?;
            self.nodes(at, &clause.target_list)?;
            self.nodes(at, &clause.values)?;
        }
        self.returning(at, stmt.returning_clause.as_ref())?;
        self.blocks[at].full = true;
        self.blocks[at].write = Some(Write::Merge);
        Ok(at)
    }

    /// An expression of block `at`, whose subqueries see its tables.
    pub fn node(&mut self, at: usize, node: Option<&Node>) -> Done<()> {
        node.map_or(Ok(()), |node| self.walk(at, Some(at), std::slice::from_ref(node)))
    }

    fn nodes(&mut self, at: usize, nodes: &[Node]) -> Done<()> {
        self.walk(at, Some(at), nodes)
    }

    /// A subquery in an expression.
    pub fn nested(&mut self, at: usize, scope: Option<usize>, node: &Node) -> Done<usize> {
        self.query(node, Some(at), scope, Place::Expression)
    }
}

/// VALUES and nothing else.
fn is_rows(stmt: &SelectStmt) -> bool {
    let bare = stmt.with_clause.is_none() && stmt.sort_clause.is_empty() && stmt.limit_count.is_none() && stmt.limit_offset.is_none();
    !stmt.values_lists.is_empty() && bare && stmt.locking_clause.is_empty()
}

fn cell(node: &Node) -> Cell {
    match (&node.node, value(node)) {
        (_, Some(value)) => Cell::Value(value),
        (Some(NodeEnum::SetToDefault(_)), _) => Cell::Default,
        _ => Cell::Other,
    }
}

fn shown(node: Option<&Node>) -> Shown {
    let Some(node) = node else { return Shown::Other };
    if let Some(value) = value(node) {
        return Shown::Value(value);
    }
    match (&node.node, column(node)) {
        (_, Some(column)) => Shown::Column(column),
        (Some(NodeEnum::ColumnRef(_)), None) => Shown::Star,
        (Some(NodeEnum::SetToDefault(_) | NodeEnum::MultiAssignRef(_)), None) => Shown::Default,
        _ => Shown::Other,
    }
}

fn target(node: &Node) -> Option<Box<str>> {
    if let Some(NodeEnum::ResTarget(target)) = &node.node { Some(target.name.as_str().into()) } else { None }
}

fn sets(targets: &[Node]) -> Vec<Set> {
    let mut sets = Vec::with_capacity(targets.len());
    for node in targets {
        let Some(NodeEnum::ResTarget(target)) = &node.node else { continue };
        // A part of the column's value is not the column's value.
        let to = if target.indirection.is_empty() { shown(target.val.as_deref()) } else { Shown::Other };
        sets.push(Set { column: target.name.as_str().into(), to });
    }
    sets
}

/// A list of names, if there is one.
fn names(nodes: &[Node]) -> Option<Vec<Box<str>>> {
    (!nodes.is_empty()).then(|| nodes.iter().map(|node| string(node).unwrap_or_default().into()).collect())
}

/// A table's name.
pub fn name(table: &RangeVar) -> Name {
    let schema = (!table.schemaname.is_empty()).then(|| table.schemaname.as_str().into());
    Name { schema, name: table.relname.as_str().into() }
}
