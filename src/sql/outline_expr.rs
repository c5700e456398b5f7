//! Expressions of the parser's tree: what a condition says about columns, and what an expression holds somewhere (calls, subqueries, system
//! columns). The walk is iterative; only subqueries recurse, through `outline_read`, which counts.
//!
//! Invariant: a fact is taken only from what must be true for a row to be kept: the terms of an AND, an OR whose arms all say the same of one
//! column. Everything else says nothing.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    AExpr, AExprKind, BoolExpr, BoolExprType, FuncCall, Node, NullTestType, SqlValueFunctionOp, SubLink, SubLinkType, TypeName,
};

use super::outline::{Cast, Column, Fact, Family, Form, Function, Name, Term, Value, Values, What};
use super::outline_read::{Done, Reader};

/// ORs and ANDs in one another that are looked into.
const NESTED_MAX: usize = 4;

/// Columns that every table has and that mean something on one server only.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl Reader {
    /// Conditions that hold for all rows kept of the sources in `reach`.
    pub fn conditions(&mut self, at: usize, node: Option<&Node>, reach: Range<usize>) -> Done<()> {
        for term in terms(node) {
            if let Some(NodeEnum::SubLink(link)) = &term.node
                && let Some(column) = membership(link)
                && let Some(query) = link.subselect.as_deref()
            {
                let block = self.nested(at, Some(at), query)?;
                self.blocks[at].facts.push(Fact { what: What::Within(column, block), reach: reach.clone() });
                self.node(at, link.testexpr.as_deref())?;
                continue;
            }
            let facts = facts(term, NESTED_MAX).into_iter().map(|what| Fact { what, reach: reach.clone() });
            self.blocks[at].facts.extend(facts);
            self.walk(at, Some(at), std::slice::from_ref(term))?;
        }
        Ok(())
    }

    /// Everything in these expressions; their subqueries see the tables of `scope`.
    pub fn walk(&mut self, at: usize, scope: Option<usize>, nodes: &[Node]) -> Done<()> {
        let mut todo: Vec<&Node> = nodes.iter().collect();
        while let Some(node) = todo.pop() {
            match &node.node {
                Some(NodeEnum::SubLink(link)) => {
                    todo.extend(link.testexpr.as_deref());
                    if let Some(query) = link.subselect.as_deref() {
                        self.nested(at, scope, query)?;
                    }
                }
                Some(NodeEnum::JsonArrayQueryConstructor(json)) => {
                    if let Some(query) = json.query.as_deref() {
                        self.nested(at, scope, query)?;
                    }
                }
                Some(NodeEnum::FuncCall(call)) => self.call(at, call, &mut todo),
                Some(NodeEnum::ColumnRef(reference)) => {
                    let last = reference.fields.last().and_then(string);
                    self.marks.system |= last.is_some_and(|name| SYSTEM_COLUMNS.contains(&name));
                }
                Some(NodeEnum::CurrentOfExpr(_)) => self.marks.current = true,
                Some(NodeEnum::SqlvalueFunction(function)) => self.marks.clock |= is_clock(function.op),
                Some(node) if inner(node, &mut todo) => {}
                Some(node) if json(node, &mut todo) => self.json_aggregate(at, node, &mut todo),
                // DISTINCT without ON.
                None => {}
                Some(_) => self.marks.strange = true,
            }
        }
        Ok(())
    }

    fn call<'a>(&mut self, at: usize, call: &'a FuncCall, todo: &mut Vec<&'a Node>) {
        todo.extend(call.args.iter().chain(&call.agg_order).chain(call.agg_filter.as_deref()));
        if let Some(over) = &call.over {
            todo.extend(over.partition_clause.iter().chain(&over.order_clause).chain(over.start_offset.as_deref()).chain(over.end_offset.as_deref()));
        }
        let mut names = call.funcname.iter().rev().filter_map(string);
        let name = names.next().unwrap_or_default().into();
        let schema = names.next().map(Into::into);
        let aggregate = call.agg_star || call.agg_distinct || !call.agg_order.is_empty() || call.agg_filter.is_some();
        self.function(at, Function { name: Name { schema, name }, window: call.over.is_some(), aggregate, sorted: !call.agg_order.is_empty() });
    }

    fn function(&mut self, at: usize, function: Function) {
        let known = &mut self.blocks[at].functions;
        if !known.contains(&function) {
            known.push(function);
        }
    }

    /// JSON_OBJECTAGG and JSON_ARRAYAGG.
    fn json_aggregate<'a>(&mut self, at: usize, node: &'a NodeEnum, todo: &mut Vec<&'a Node>) {
        let (constructor, name) = match node {
            NodeEnum::JsonObjectAgg(json) => (json.constructor.as_deref(), "json_object_agg"),
            NodeEnum::JsonArrayAgg(json) => (json.constructor.as_deref(), "json_agg"),
            _ => return,
        };
        let over = constructor.and_then(|constructor| constructor.over.as_deref());
        if let Some(constructor) = constructor {
            todo.extend(constructor.agg_order.iter().chain(constructor.agg_filter.as_deref()));
        }
        if let Some(over) = over {
            todo.extend(over.partition_clause.iter().chain(&over.order_clause));
        }
        let name = Name { schema: None, name: name.into() };
        let sorted = constructor.is_some_and(|constructor| !constructor.agg_order.is_empty());
        self.function(at, Function { name, window: over.is_some(), aggregate: true, sorted });
    }
}

/// Puts what a node holds into `todo`; false when it is not known here.
fn inner<'a>(node: &'a NodeEnum, todo: &mut Vec<&'a Node>) -> bool {
    match node {
        NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::AStar(_) | NodeEnum::SetToDefault(_) | NodeEnum::String(_) => {}
        NodeEnum::Integer(_) | NodeEnum::Float(_) | NodeEnum::MergeSupportFunc(_) => {}
        NodeEnum::AExpr(expr) => todo.extend(expr.lexpr.as_deref().into_iter().chain(expr.rexpr.as_deref())),
        NodeEnum::BoolExpr(expr) => todo.extend(&expr.args),
        NodeEnum::TypeCast(cast) => todo.extend(cast.arg.as_deref()),
        NodeEnum::CollateClause(collate) => todo.extend(collate.arg.as_deref()),
        NodeEnum::AIndirection(part) => todo.extend(part.arg.as_deref().into_iter().chain(&part.indirection)),
        NodeEnum::AIndices(indices) => todo.extend(indices.lidx.as_deref().into_iter().chain(indices.uidx.as_deref())),
        NodeEnum::AArrayExpr(array) => todo.extend(&array.elements),
        NodeEnum::List(list) => todo.extend(&list.items),
        NodeEnum::RowExpr(row) => todo.extend(&row.args),
        NodeEnum::ResTarget(target) => todo.extend(target.val.as_deref().into_iter().chain(&target.indirection)),
        NodeEnum::MultiAssignRef(reference) => todo.extend(reference.source.as_deref()),
        NodeEnum::NullTest(test) => todo.extend(test.arg.as_deref()),
        NodeEnum::BooleanTest(test) => todo.extend(test.arg.as_deref()),
        NodeEnum::CaseExpr(case) => todo.extend(case.arg.as_deref().into_iter().chain(&case.args).chain(case.defresult.as_deref())),
        NodeEnum::CaseWhen(when) => todo.extend(when.expr.as_deref().into_iter().chain(when.result.as_deref())),
        NodeEnum::CoalesceExpr(expr) => todo.extend(&expr.args),
        NodeEnum::MinMaxExpr(expr) => todo.extend(&expr.args),
        NodeEnum::NamedArgExpr(argument) => todo.extend(argument.arg.as_deref()),
        NodeEnum::SortBy(sort) => todo.extend(sort.node.as_deref()),
        NodeEnum::GroupingFunc(function) => todo.extend(&function.args),
        NodeEnum::GroupingSet(set) => todo.extend(&set.content),
        NodeEnum::IndexElem(element) => todo.extend(element.expr.as_deref()),
        NodeEnum::XmlExpr(xml) => todo.extend(xml.named_args.iter().chain(&xml.args)),
        NodeEnum::XmlSerialize(xml) => todo.extend(xml.expr.as_deref()),
        NodeEnum::RangeTableFuncCol(column) => todo.extend(column.colexpr.as_deref().into_iter().chain(column.coldefexpr.as_deref())),
        NodeEnum::WindowDef(window) => {
            todo.extend(window.partition_clause.iter().chain(&window.order_clause));
            todo.extend(window.start_offset.as_deref().into_iter().chain(window.end_offset.as_deref()));
        }
        _ => return false,
    }
    true
}

/// The same for the nodes of SQL/JSON.
fn json<'a>(node: &'a NodeEnum, todo: &mut Vec<&'a Node>) -> bool {
    match node {
        NodeEnum::JsonObjectConstructor(json) => todo.extend(&json.exprs),
        NodeEnum::JsonArrayConstructor(json) => todo.extend(&json.exprs),
        NodeEnum::JsonKeyValue(json) => {
            todo.extend(json.key.as_deref().into_iter().chain(json.value.as_ref().and_then(|value| value.raw_expr.as_deref())));
        }
        NodeEnum::JsonValueExpr(json) => todo.extend(json.raw_expr.as_deref()),
        NodeEnum::JsonArgument(json) => todo.extend(json.val.as_ref().and_then(|value| value.raw_expr.as_deref())),
        NodeEnum::JsonFuncExpr(json) => {
            todo.extend(json.context_item.as_ref().and_then(|item| item.raw_expr.as_deref()));
            todo.extend(json.pathspec.as_deref().into_iter().chain(&json.passing));
            todo.extend([&json.on_empty, &json.on_error].into_iter().flatten().filter_map(|behavior| behavior.expr.as_deref()));
        }
        NodeEnum::JsonIsPredicate(json) => todo.extend(json.expr.as_deref()),
        NodeEnum::JsonParseExpr(json) => todo.extend(json.expr.as_ref().and_then(|value| value.raw_expr.as_deref())),
        NodeEnum::JsonScalarExpr(json) => todo.extend(json.expr.as_deref()),
        NodeEnum::JsonSerializeExpr(json) => todo.extend(json.expr.as_ref().and_then(|value| value.raw_expr.as_deref())),
        NodeEnum::JsonObjectAgg(json) => {
            let pair = json.arg.as_deref();
            todo.extend(pair.and_then(|pair| pair.key.as_deref()));
            todo.extend(pair.and_then(|pair| pair.value.as_ref()).and_then(|value| value.raw_expr.as_deref()));
        }
        NodeEnum::JsonArrayAgg(json) => todo.extend(json.arg.as_ref().and_then(|value| value.raw_expr.as_deref())),
        _ => return false,
    }
    true
}

fn is_clock(op: i32) -> bool {
    use SqlValueFunctionOp::*;
    let names_somebody = [SvfopCurrentRole, SvfopCurrentUser, SvfopUser, SvfopSessionUser, SvfopCurrentCatalog, SvfopCurrentSchema];
    !SqlValueFunctionOp::try_from(op).is_ok_and(|op| names_somebody.contains(&op))
}

/// The terms of a condition that all have to be true.
fn terms(node: Option<&Node>) -> Vec<&Node> {
    let (mut todo, mut terms) = (Vec::from_iter(node), Vec::new());
    while let Some(node) = todo.pop() {
        match &node.node {
            Some(NodeEnum::BoolExpr(expr)) if is(expr, BoolExprType::AndExpr) => todo.extend(expr.args.iter().rev()),
            _ => terms.push(node),
        }
    }
    terms
}

fn is(expr: &BoolExpr, kind: BoolExprType) -> bool {
    BoolExprType::try_from(expr.boolop) == Ok(kind)
}

/// What one term says.
fn facts(term: &Node, nested: usize) -> Vec<What> {
    match &term.node {
        Some(NodeEnum::AExpr(expr)) => compared(expr),
        Some(NodeEnum::NullTest(test)) if NullTestType::try_from(test.nulltesttype) == Ok(NullTestType::IsNull) => {
            let column = test.arg.as_deref().and_then(column);
            let values = Values::Some(vec![Value { term: Term::Null, cast: None }]);
            column.map(|column| What::Value { column, values, null: true }).into_iter().collect()
        }
        Some(NodeEnum::BoolExpr(expr)) if is(expr, BoolExprType::OrExpr) && nested > 0 => either(expr, nested - 1),
        _ => Vec::new(),
    }
}

/// What all arms of an OR say of one column.
fn either(expr: &BoolExpr, nested: usize) -> Vec<What> {
    let mut arms = expr.args.iter().map(|arm| terms(Some(arm)).into_iter().flat_map(|term| facts(term, nested)).collect::<Vec<_>>());
    let mut common: Vec<(Column, Vec<Value>, bool)> = Vec::new();
    for fact in arms.next().unwrap_or_default() {
        if let What::Value { column, values: Values::Some(values), null } = fact {
            common.push((column, values, null));
        }
    }
    for arm in arms {
        common.retain_mut(|(column, values, null)| {
            arm.iter().any(|fact| match fact {
                What::Value { column: other, values: Values::Some(more), null: nulls } if other == column => {
                    values.extend_from_slice(more);
                    *null |= nulls;
                    true
                }
                _ => false,
            })
        });
    }
    common.into_iter().map(|(column, values, null)| What::Value { column, values: Values::Some(values), null }).collect()
}

/// What a comparison says.
fn compared(expr: &AExpr) -> Vec<What> {
    let (Some(left), Some(right)) = (expr.lexpr.as_deref(), expr.rexpr.as_deref()) else { return Vec::new() };
    if !is_equals(&expr.name) {
        return Vec::new();
    }
    match AExprKind::try_from(expr.kind) {
        Ok(AExprKind::AexprOp) => match (&left.node, &right.node) {
            (Some(NodeEnum::RowExpr(left)), Some(NodeEnum::RowExpr(right))) if left.args.len() == right.args.len() => {
                left.args.iter().zip(&right.args).filter_map(|(left, right)| equal(left, right, false)).collect()
            }
            _ => equal(left, right, false).into_iter().collect(),
        },
        Ok(AExprKind::AexprNotDistinct) => match equal(left, right, true) {
            Some(fact @ What::Value { .. }) => vec![fact],
            _ => Vec::new(),
        },
        Ok(AExprKind::AexprIn) => among(left, right),
        Ok(AExprKind::AexprOpAny) => match (column(left), array(right)) {
            (Some(column), Some(values)) => vec![What::Value { column, values, null: false }],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// `=` of PostgreSQL's own.
fn is_equals(name: &[Node]) -> bool {
    match name {
        [name] => string(name) == Some("="),
        [schema, name] => string(schema) == Some("pg_catalog") && string(name) == Some("="),
        _ => false,
    }
}

fn equal(left: &Node, right: &Node, null: bool) -> Option<What> {
    let one = |column, value| What::Value { column, values: Values::Some(vec![value]), null };
    match (column(left), column(right)) {
        (Some(left), Some(right)) => Some(What::Same(left, right)),
        (Some(column), None) => value(right).map(|value| one(column, value)),
        (None, Some(column)) => value(left).map(|value| one(column, value)),
        (None, None) => None,
    }
}

/// `column IN (...)`, `(column, ...) IN ((...), ...)`.
fn among(left: &Node, right: &Node) -> Vec<What> {
    let Some(NodeEnum::List(list)) = &right.node else { return Vec::new() };
    let fact = |column, values: Option<Vec<Value>>| values.map(|values| What::Value { column, values: Values::Some(values), null: false });
    match &left.node {
        Some(NodeEnum::RowExpr(row)) => {
            let part = |number: usize| {
                list.items.iter().map(move |item| match &item.node {
                    Some(NodeEnum::RowExpr(item)) => item.args.get(number).and_then(value),
                    _ => None,
                })
            };
            let columns = row.args.iter().enumerate().filter_map(|(number, node)| column(node).map(|column| (number, column)));
            columns.filter_map(|(number, column)| fact(column, part(number).collect())).collect()
        }
        _ => column(left).and_then(|column| fact(column, list.items.iter().map(value).collect())).into_iter().collect(),
    }
}

/// What `= ANY (...)` compares with.
fn array(node: &Node) -> Option<Values> {
    let (inner, cast) = match &node.node {
        Some(NodeEnum::TypeCast(typed)) => (typed.arg.as_deref()?, Some(cast(typed.type_name.as_ref()?).filter(|cast| cast.array)?)),
        _ => (node, None),
    };
    if let Some(NodeEnum::AArrayExpr(list)) = &inner.node {
        let element = cast.map(|cast| Cast { array: false, ..cast });
        let values: Option<Vec<Value>> = list.elements.iter().map(value).collect();
        // What is cast twice is whatever the outer cast makes of it.
        let values = values?
            .into_iter()
            .map(|value| if value.cast.is_some() && element.is_some() { None } else { Some(Value { cast: value.cast.or(element), ..value }) });
        return values.collect::<Option<Vec<_>>>().map(Values::Some);
    }
    let value = value(inner).filter(|value| value.cast.is_none())?;
    Some(Values::Array(Value { cast, ..value }))
}

/// The column of `column IN (SELECT ...)`.
fn membership(link: &SubLink) -> Option<Column> {
    let any = SubLinkType::try_from(link.sub_link_type) == Ok(SubLinkType::AnySublink);
    let equals = link.oper_name.is_empty() || is_equals(&link.oper_name);
    if any && equals { link.testexpr.as_deref().and_then(column) } else { None }
}

/// The names that qualify columns which a condition compares: where all columns of a table are NULL it is not true.
pub fn qualifiers(condition: Option<&Node>) -> Vec<Box<str>> {
    let mut names = Vec::new();
    for fact in terms(condition).into_iter().flat_map(|term| facts(term, 0)) {
        let columns = match fact {
            What::Value { column, null: false, .. } => vec![column],
            What::Same(left, right) => vec![left, right],
            _ => Vec::new(),
        };
        names.extend(columns.into_iter().filter_map(|mut column| column.qualifier.pop()));
    }
    names
}

/// A column's name as it is written.
pub fn column(node: &Node) -> Option<Column> {
    let Some(NodeEnum::ColumnRef(reference)) = &node.node else { return None };
    let mut names = reference.fields.iter().map(|field| string(field).map(Box::from)).collect::<Option<Vec<Box<str>>>>()?;
    let name = names.pop()?;
    Some(Column { qualifier: names, name })
}

/// A literal or parameter, cast at most once.
pub fn value(node: &Node) -> Option<Value> {
    let (node, cast) = match &node.node {
        Some(NodeEnum::TypeCast(typed)) => (typed.arg.as_deref()?, Some(cast(typed.type_name.as_ref()?)?)),
        _ => (node, None),
    };
    let term = match &node.node {
        Some(NodeEnum::ParamRef(parameter)) => Term::Parameter(u32::try_from(parameter.number).ok().filter(|number| *number > 0)?),
        Some(NodeEnum::AConst(constant)) if constant.isnull => Term::Null,
        Some(NodeEnum::AConst(constant)) => {
            let (form, text) = match constant.val.as_ref()? {
                Val::Ival(number) => (Form::Integer, number.ival.to_string()),
                Val::Fval(number) => (Form::Number, number.fval.clone()),
                Val::Sval(text) => (Form::String, text.sval.clone()),
                Val::Boolval(_) | Val::Bsval(_) => (Form::Other, String::new()),
            };
            Term::Constant { at: usize::try_from(constant.location).ok()?, form, text: text.into() }
        }
        _ => return None,
    };
    Some(Value { term, cast })
}

/// A cast after which a value is still the key it was.
fn cast(name: &TypeName) -> Option<Cast> {
    let mut names = name.names.iter().rev().filter_map(string);
    let family = match names.next()? {
        "int2" | "int4" | "int8" => Family::Integer,
        "uuid" => Family::Uuid,
        "text" | "varchar" => Family::Text,
        _ => return None,
    };
    let own = names.next().is_none_or(|schema| schema == "pg_catalog") && names.next().is_none();
    // `varchar(3)` cuts off.
    (own && name.typmods.is_empty() && !name.setof && !name.pct_type).then_some(Cast { family, array: !name.array_bounds.is_empty() })
}

/// The text of a name's node.
pub fn string(node: &Node) -> Option<&str> {
    if let Some(NodeEnum::String(text)) = &node.node { Some(&text.sval) } else { None }
}
