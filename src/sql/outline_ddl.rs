//! The tables and schemas that a statement names which is no query: what it makes, changes, removes or speaks of, and what a foreign key of it leads
//! to. Other things in a schema (functions, types) are names of that schema without a name of their own.
//!
//! Invariant: a name that is here decides where a statement goes, and one that is missing leaves it to the others: what stands in no schema (roles,
//! extensions) is not here, and what a view or a function reads is not looked into.

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnDef, CreateStmt, Node, ObjectType as Sort, RangeVar};

use super::outline::Name;
use super::outline_expr::string;
use super::outline_read;

/// All of them.
pub fn named(node: &NodeEnum) -> Vec<Name> {
    let mut names = Vec::new();
    made(node, &mut names);
    changed(node, &mut names);
    names
}

fn made(node: &NodeEnum, names: &mut Vec<Name>) {
    use NodeEnum::*;
    match node {
        CreateStmt(stmt) => create(stmt, names),
        CreateForeignTableStmt(stmt) => stmt.base_stmt.iter().for_each(|stmt| create(stmt, names)),
        CreateTableAsStmt(stmt) => relation(stmt.into.as_ref().and_then(|into| into.rel.as_ref()), names),
        ViewStmt(stmt) => relation(stmt.view.as_ref(), names),
        CreateSeqStmt(stmt) => relation(stmt.sequence.as_ref(), names),
        IndexStmt(stmt) => relation(stmt.relation.as_ref(), names),
        RuleStmt(stmt) => relation(stmt.relation.as_ref(), names),
        CreatePolicyStmt(stmt) => relation(stmt.table.as_ref(), names),
        CreateStatsStmt(stmt) => relations(&stmt.relations, names),
        CreateTrigStmt(stmt) => [&stmt.relation, &stmt.constrrel].into_iter().for_each(|table| relation(table.as_ref(), names)),
        CompositeTypeStmt(stmt) => names.extend(stmt.typevar.as_ref().map(|of_type| within(&of_type.schemaname))),
        CreateSchemaStmt(stmt) => {
            let role = stmt.authrole.as_ref().map_or("", |role| &role.rolename);
            names.push(within(if stmt.schemaname.is_empty() { role } else { &stmt.schemaname }));
        }
        CreateFunctionStmt(stmt) => names.push(thing(&stmt.funcname)),
        DefineStmt(stmt) => names.push(thing(&stmt.defnames)),
        CreateDomainStmt(stmt) => names.push(thing(&stmt.domainname)),
        CreateEnumStmt(stmt) => names.push(thing(&stmt.type_name)),
        CreateRangeStmt(stmt) => names.push(thing(&stmt.type_name)),
        _ => {}
    }
}

fn changed(node: &NodeEnum, names: &mut Vec<Name>) {
    use NodeEnum::*;
    match node {
        AlterTableStmt(stmt) => {
            relation(stmt.relation.as_ref(), names);
            parts(&stmt.cmds, names);
        }
        AlterSeqStmt(stmt) => relation(stmt.sequence.as_ref(), names),
        AlterPolicyStmt(stmt) => relation(stmt.table.as_ref(), names),
        AlterEnumStmt(stmt) => names.push(thing(&stmt.type_name)),
        AlterDomainStmt(stmt) => names.push(thing(&stmt.type_name)),
        AlterFunctionStmt(stmt) => names.extend(stmt.func.as_ref().map(|function| thing(&function.objname))),
        RenameStmt(stmt) if stmt.rename_type == Sort::ObjectSchema as i32 => names.extend([within(&stmt.subname), within(&stmt.newname)]),
        RenameStmt(stmt) => about(stmt.relation.as_ref(), stmt.rename_type, stmt.object.as_deref(), names),
        AlterObjectSchemaStmt(stmt) => {
            about(stmt.relation.as_ref(), stmt.object_type, stmt.object.as_deref(), names);
            names.push(within(&stmt.newschema));
        }
        AlterOwnerStmt(stmt) => about(stmt.relation.as_ref(), stmt.object_type, stmt.object.as_deref(), names),
        CommentStmt(stmt) => about(None, stmt.objtype, stmt.object.as_deref(), names),
        SecLabelStmt(stmt) => about(None, stmt.objtype, stmt.object.as_deref(), names),
        DropStmt(stmt) => stmt.objects.iter().for_each(|one| about(None, stmt.remove_type, Some(one), names)),
        GrantStmt(stmt) => stmt.objects.iter().for_each(|one| match &one.node {
            // ON ALL TABLES IN SCHEMA is about tables, and lists schemas.
            Some(String(schema)) if !schema.sval.is_empty() && is_in_schema(stmt.objtype) => names.push(within(&schema.sval)),
            Some(RangeVar(table)) => relation(Some(table), names),
            Some(ObjectWithArgs(function)) => names.push(thing(&function.objname)),
            _ => {}
        }),
        TruncateStmt(stmt) => relations(&stmt.relations, names),
        LockStmt(stmt) => relations(&stmt.relations, names),
        VacuumStmt(stmt) => stmt.rels.iter().for_each(|one| {
            if let Some(VacuumRelation(one)) = &one.node {
                relation(one.relation.as_ref(), names);
            }
        }),
        ClusterStmt(stmt) => relation(stmt.relation.as_ref(), names),
        ReindexStmt(stmt) => relation(stmt.relation.as_ref(), names),
        RefreshMatViewStmt(stmt) => relation(stmt.relation.as_ref(), names),
        _ => {}
    }
}

fn create(stmt: &CreateStmt, names: &mut Vec<Name>) {
    relation(stmt.relation.as_ref(), names);
    relations(&stmt.inh_relations, names);
    parts(&stmt.table_elts, names);
    parts(&stmt.constraints, names);
}

/// The tables that parts of a table's definition name.
fn parts(nodes: &[Node], names: &mut Vec<Name>) {
    let columns = |column: &ColumnDef, names: &mut Vec<Name>| column.constraints.iter().for_each(|node| key(node, names));
    for node in nodes {
        match &node.node {
            Some(NodeEnum::ColumnDef(column)) => columns(column, names),
            Some(NodeEnum::TableLikeClause(like)) => relation(like.relation.as_ref(), names),
            Some(NodeEnum::AlterTableCmd(command)) => match command.def.as_deref().and_then(|def| def.node.as_ref()) {
                Some(NodeEnum::ColumnDef(column)) => columns(column, names),
                Some(NodeEnum::PartitionCmd(partition)) => relation(partition.name.as_ref(), names),
                Some(NodeEnum::RangeVar(parent)) => relation(Some(parent), names),
                _ => command.def.iter().for_each(|node| key(node, names)),
            },
            _ => key(node, names),
        }
    }
}

/// The table that a foreign key leads to.
fn key(node: &Node, names: &mut Vec<Name>) {
    if let Some(NodeEnum::Constraint(constraint)) = &node.node {
        relation(constraint.pktable.as_ref(), names);
    }
}

fn relation(table: Option<&RangeVar>, names: &mut Vec<Name>) {
    names.extend(table.map(outline_read::name));
}

fn relations(nodes: &[Node], names: &mut Vec<Name>) {
    for node in nodes {
        if let Some(NodeEnum::RangeVar(table)) = &node.node {
            relation(Some(table), names);
        }
    }
}

/// Something in a schema.
fn within(schema: &str) -> Name {
    Name { schema: (!schema.is_empty()).then(|| schema.into()), name: "".into() }
}

/// The schema of a function, a type and their like.
fn thing(parts: &[Node]) -> Name {
    let mut parts = parts.iter().rev().filter_map(string);
    parts.next();
    within(parts.next().unwrap_or_default())
}

/// Kinds of things that GRANT finds in schemas, or which are schemas.
fn is_in_schema(kind: i32) -> bool {
    use Sort::*;
    let kinds = [ObjectTable, ObjectSequence, ObjectFunction, ObjectProcedure, ObjectRoutine, ObjectSchema];
    Sort::try_from(kind).is_ok_and(|kind| kinds.contains(&kind))
}

/// What a statement speaks of by its kind: a table as such, or a list of names.
fn about(table: Option<&RangeVar>, kind: i32, object: Option<&Node>, names: &mut Vec<Name>) {
    use Sort::*;
    relation(table, names);
    let (Ok(kind), Some(object)) = (Sort::try_from(kind), object.and_then(|object| object.node.as_ref())) else { return };
    let table = |parts: &[Node]| {
        let mut parts = parts.iter().rev().filter_map(string);
        parts.next().map(|name| Name { name: name.into(), schema: parts.next().map(Into::into) })
    };
    match (object, kind) {
        (NodeEnum::String(schema), ObjectSchema) => names.push(within(&schema.sval)),
        (NodeEnum::ObjectWithArgs(function), _) => names.push(thing(&function.objname)),
        (NodeEnum::TypeName(of_type), _) => names.push(thing(&of_type.names)),
        (NodeEnum::List(list), ObjectTable | ObjectView | ObjectMatview | ObjectIndex | ObjectSequence | ObjectForeignTable) => {
            names.extend(table(&list.items));
        }
        // Behind the table stands what it has.
        (NodeEnum::List(list), ObjectColumn | ObjectTrigger | ObjectRule | ObjectPolicy | ObjectTabconstraint) => {
            names.extend(list.items.split_last().and_then(|(_, parts)| table(parts)));
        }
        (
            NodeEnum::List(list),
            ObjectType | ObjectDomain | ObjectCollation | ObjectConversion | ObjectStatisticExt | ObjectTsconfiguration | ObjectTsdictionary,
        ) => {
            names.push(thing(&list.items));
        }
        _ => {}
    }
}
