//! Which kind of statement a tree is, and the outline of all statements of a text. Each kind is named here; what is not named is `Never`.

use std::panic::catch_unwind;

use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, CreateTableAsStmt, DefElem, ExplainStmt, Node, RangeVar, RawStmt, VariableSetKind, VariableSetStmt};

use super::copy::{Given, Setting};
use super::outline::{Copy, Kind, Layout, Place, Session, Statement};
use super::outline_ddl::named;
use super::outline_expr::string;
use super::outline_read::{Deep, Done, Reader, name};

/// Why a text has no outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// what the parser says, as PostgreSQL words it
    Syntax(String),
    /// nested too deeply
    Deep,
    /// the parser failed at a text that it should have read
    Parser,
}

/// Parses a text and outlines its statements. The caller has seen to it that the text is within the limits of where it runs.
pub fn outline(text: &str, standard: bool) -> Result<Vec<Statement>, Fault> {
    let options = if standard { pg_query::ParserOptions::DEFAULT } else { pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS };
    // The wrapper looks for tables by itself and takes some shapes of trees for granted.
    let parsed = catch_unwind(|| pg_query::parse(text, options)).map_err(|_| Fault::Parser)?;
    let tree = parsed.map_err(|error| match error {
        pg_query::Error::Parse(message) if message.starts_with("parse tree is nested too deeply") => Fault::Deep,
        pg_query::Error::Parse(message) if message.starts_with("stack depth limit") => Fault::Deep,
        pg_query::Error::Parse(message) => Fault::Syntax(message),
        _ => Fault::Parser,
    })?;
    tree.protobuf.stmts.iter().map(|raw| statement(raw, text.len())).collect::<Done<_>>().map_err(|Deep| Fault::Deep)
}

fn statement(raw: &RawStmt, length: usize) -> Done<Statement> {
    let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(length);
    let bytes = usize::try_from(raw.stmt_len).unwrap_or(0);
    let end = if bytes == 0 { length } else { (start + bytes).min(length) };
    let mut reader = Reader::default();
    let kind = match raw.stmt.as_deref() {
        Some(node) => kind(&mut reader, node)?,
        None => Kind::Empty,
    };
    let named = match (raw.stmt.as_deref().and_then(|node| node.node.as_ref()), &kind) {
        (Some(NodeEnum::SelectStmt(stmt)), Kind::Into) => leftmost_into(stmt).map(name).into_iter().collect(),
        (Some(node), Kind::Into | Kind::Everywhere(_)) => named(node),
        _ => Vec::new(),
    };
    Ok(Statement { kind, range: start..end, blocks: reader.blocks, marks: reader.marks, named })
}

fn kind(reader: &mut Reader, whole: &Node) -> Done<Kind> {
    let Some(node) = &whole.node else { return Ok(Kind::Empty) };
    reader.marks.alone = is_alone(node);
    Ok(match node {
        NodeEnum::SelectStmt(stmt) => {
            reader.select(stmt, None, None, Place::Root)?;
            match leftmost_into(stmt) {
                Some(table) => {
                    reader.marks.temporary = is_temporary(table);
                    Kind::Into
                }
                None => Kind::Query,
            }
        }
        NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
            root(reader, whole)?;
            Kind::Query
        }
        NodeEnum::ExplainStmt(stmt) => explain(reader, stmt)?,
        NodeEnum::DeclareCursorStmt(stmt) => match stmt.query.as_deref() {
            Some(query) => {
                root(reader, query)?;
                Kind::Cursor
            }
            None => Kind::Never("DECLARE CURSOR"),
        },
        NodeEnum::CreateTableAsStmt(stmt) => create_as(reader, stmt)?,
        NodeEnum::CopyStmt(stmt) => copy(reader, stmt)?,
        NodeEnum::ExecuteStmt(_) => Kind::Code("EXECUTE"),
        NodeEnum::CallStmt(_) => Kind::Code("CALL"),
        NodeEnum::DoStmt(_) => Kind::Code("DO"),
        node => session(node).map(Kind::Session).or_else(|| made(reader, node)).or_else(|| changed(node)).unwrap_or_else(|| never(node)),
    })
}

fn root(reader: &mut Reader, node: &Node) -> Done<()> {
    reader.query(node, None, None, Place::Root).map(|_| ())
}

/// `SELECT ... INTO t`; in a set operation the first arm has it.
fn leftmost_into(stmt: &pg_query::protobuf::SelectStmt) -> Option<&RangeVar> {
    let mut stmt = stmt;
    while let Some(left) = stmt.larg.as_deref() {
        stmt = left;
    }
    stmt.into_clause.as_deref().and_then(|into| into.rel.as_ref())
}

fn is_temporary(table: &RangeVar) -> bool {
    table.relpersistence == "t" || table.schemaname == "pg_temp"
}

fn explain(reader: &mut Reader, stmt: &ExplainStmt) -> Done<Kind> {
    let runs = stmt.options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => option.defname == "analyze",
        _ => true,
    });
    Ok(match stmt.query.as_deref() {
        Some(query)
            if matches!(
                query.node,
                Some(NodeEnum::SelectStmt(_) | NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_))
            ) =>
        {
            root(reader, query)?;
            Kind::Explain { runs, form: layout(&settings(&stmt.options)) }
        }
        _ => Kind::Never("EXPLAIN of a statement that is no query"),
    })
}

/// The last word on it counts.
fn layout(options: &[Setting]) -> Layout {
    match options.iter().rev().find(|option| *option.name == *"format").map(|option| &option.to) {
        None => Layout::Usual,
        Some(Given::Word(word)) if **word == *"text" => Layout::Text,
        Some(_) => Layout::Other,
    }
}

fn create_as(reader: &mut Reader, stmt: &CreateTableAsStmt) -> Done<Kind> {
    reader.marks.temporary = stmt.into.as_ref().and_then(|into| into.rel.as_ref()).is_some_and(is_temporary);
    Ok(match stmt.query.as_deref() {
        Some(query) if matches!(query.node, Some(NodeEnum::SelectStmt(_))) => {
            root(reader, query)?;
            Kind::Into
        }
        _ => Kind::Code("CREATE TABLE AS EXECUTE"),
    })
}

fn copy(reader: &mut Reader, stmt: &CopyStmt) -> Done<Kind> {
    let elsewhere = stmt.is_program || !stmt.filename.is_empty();
    if let Some(query) = stmt.query.as_deref() {
        root(reader, query)?;
        return Ok(if elsewhere { Kind::Never("COPY to a file of the server") } else { Kind::CopyQuery });
    }
    reader.marks.writes |= stmt.is_from;
    // What its WHERE calls and asks for is nobody's block.
    reader.marks.strange |= stmt.where_clause.is_some();
    let Some(table) = &stmt.relation else { return Ok(Kind::Never("COPY")) };
    let columns = (!stmt.attlist.is_empty()).then(|| stmt.attlist.iter().map(|node| string(node).unwrap_or_default().into()).collect());
    Ok(Kind::Copy(Copy { table: name(table), columns, from: stmt.is_from, elsewhere, options: settings(&stmt.options) }))
}

fn settings(options: &[Node]) -> Vec<Setting> {
    let of = |option: &DefElem| match option.arg.as_deref().and_then(|node| node.node.as_ref()) {
        None => Given::Nothing,
        Some(NodeEnum::AStar(_)) => Given::All,
        Some(NodeEnum::List(names)) => Given::Names(names.items.iter().map(|node| string(node).unwrap_or_default().into()).collect()),
        Some(NodeEnum::String(word)) => Given::Word(word.sval.as_str().into()),
        Some(NodeEnum::Integer(number)) => Given::Word(number.ival.to_string().into()),
        Some(NodeEnum::Boolean(is)) => Given::Word(is.boolval.to_string().into()),
        Some(_) => Given::Word("".into()),
    };
    let option = |node: &Node| match &node.node {
        Some(NodeEnum::DefElem(option)) => Some(Setting { name: option.defname.as_str().into(), to: of(option) }),
        _ => None,
    };
    options.iter().filter_map(option).collect()
}

/// What PostgreSQL runs in no transaction block, and what leaves every row as it is, so that it need be in none.
fn is_alone(node: &NodeEnum) -> bool {
    use NodeEnum::*;
    let named = |options: &[Node], name: &str| settings(options).iter().any(|option| *option.name == *name);
    let detaches = |command: &Node| match &command.node {
        Some(AlterTableCmd(command)) => match command.def.as_deref().and_then(|def| def.node.as_ref()) {
            Some(PartitionCmd(partition)) => partition.concurrent,
            _ => false,
        },
        _ => false,
    };
    match node {
        CreatedbStmt(_) | DropdbStmt(_) | CreateTableSpaceStmt(_) | DropTableSpaceStmt(_) | ReindexStmt(_) | ClusterStmt(_) => true,
        AlterDatabaseStmt(stmt) => named(&stmt.options, "tablespace"),
        VacuumStmt(stmt) => stmt.is_vacuumcmd,
        IndexStmt(stmt) => stmt.concurrent,
        DropStmt(stmt) => stmt.concurrent,
        AlterTableStmt(stmt) => stmt.cmds.iter().any(detaches),
        _ => false,
    }
}

fn session(node: &NodeEnum) -> Option<Session> {
    Some(match node {
        NodeEnum::TransactionStmt(_) => Session::Transaction,
        NodeEnum::VariableSetStmt(stmt) => set(stmt),
        NodeEnum::ConstraintsSetStmt(_) => Session::Set,
        NodeEnum::VariableShowStmt(_) => Session::Show,
        NodeEnum::DiscardStmt(_) => Session::Discard,
        NodeEnum::ListenStmt(_) | NodeEnum::UnlistenStmt(_) => Session::Listen,
        NodeEnum::NotifyStmt(_) => Session::Notify,
        NodeEnum::PrepareStmt(_) => Session::Prepare,
        NodeEnum::DeallocateStmt(_) => Session::Deallocate,
        NodeEnum::FetchStmt(_) | NodeEnum::ClosePortalStmt(_) => Session::Cursor,
        _ => return None,
    })
}

/// What a SET or RESET changes for the statements behind it.
fn set(stmt: &VariableSetStmt) -> Session {
    let is = |name: &str| stmt.name.eq_ignore_ascii_case(name);
    if VariableSetKind::try_from(stmt.kind) == Ok(VariableSetKind::VarResetAll)
        || ["search_path", "role", "session_authorization"].into_iter().any(is)
    {
        Session::Path
    } else if is("client_encoding") {
        Session::Encoding
    } else {
        Session::Set
    }
}

/// What makes something; tables may be temporary.
fn made(reader: &mut Reader, node: &NodeEnum) -> Option<Kind> {
    use NodeEnum::*;
    let table = match node {
        CreateStmt(stmt) => stmt.relation.as_ref(),
        ViewStmt(stmt) => stmt.view.as_ref(),
        CreateSeqStmt(stmt) => stmt.sequence.as_ref(),
        CreateSchemaStmt(_) | CreateTableSpaceStmt(_) | CreateExtensionStmt(_) | CreateFdwStmt(_) | CreateForeignServerStmt(_) => None,
        CreateForeignTableStmt(_) | CreateUserMappingStmt(_) | ImportForeignSchemaStmt(_) | CreatePolicyStmt(_) | CreateAmStmt(_) => None,
        CreateTrigStmt(_) | CreateEventTrigStmt(_) | CreatePlangStmt(_) | CreateRoleStmt(_) | DefineStmt(_) | CreateDomainStmt(_) => None,
        CreateOpClassStmt(_) | CreateOpFamilyStmt(_) | IndexStmt(_) | CreateStatsStmt(_) | CreateFunctionStmt(_) | RuleStmt(_) => None,
        CompositeTypeStmt(_) | CreateEnumStmt(_) | CreateRangeStmt(_) | CreatedbStmt(_) | CreateConversionStmt(_) | CreateCastStmt(_) => None,
        CreateTransformStmt(_) | CreatePublicationStmt(_) => None,
        _ => return None,
    };
    reader.marks.temporary = table.is_some_and(is_temporary);
    Some(Kind::Everywhere("CREATE"))
}

/// What changes, removes or tends what is there.
fn changed(node: &NodeEnum) -> Option<Kind> {
    use NodeEnum::*;
    let word = match node {
        AlterTableStmt(_) | AlterCollationStmt(_) | AlterDomainStmt(_) | AlterDefaultPrivilegesStmt(_) | AlterTableSpaceOptionsStmt(_) => "ALTER",
        AlterTableMoveAllStmt(_) | AlterExtensionStmt(_) | AlterExtensionContentsStmt(_) | AlterFdwStmt(_) | AlterForeignServerStmt(_) => "ALTER",
        AlterUserMappingStmt(_) | AlterPolicyStmt(_) | AlterEventTrigStmt(_) | AlterRoleStmt(_) | AlterRoleSetStmt(_) | AlterSeqStmt(_) => "ALTER",
        AlterOpFamilyStmt(_) | AlterStatsStmt(_) | AlterFunctionStmt(_) | RenameStmt(_) | AlterObjectSchemaStmt(_) | AlterOwnerStmt(_) => "ALTER",
        AlterObjectDependsStmt(_) | AlterOperatorStmt(_) | AlterTypeStmt(_) | AlterEnumStmt(_) | AlterDatabaseStmt(_) => "ALTER",
        AlterDatabaseRefreshCollStmt(_) | AlterDatabaseSetStmt(_) | AlterTsdictionaryStmt(_) | AlterTsconfigurationStmt(_) => "ALTER",
        AlterPublicationStmt(_) => "ALTER",
        GrantStmt(_) | GrantRoleStmt(_) => "GRANT",
        DropStmt(_) | DropTableSpaceStmt(_) | DropUserMappingStmt(_) | DropRoleStmt(_) | DropdbStmt(_) | DropOwnedStmt(_) => "DROP",
        ReassignOwnedStmt(_) => "REASSIGN OWNED",
        TruncateStmt(_) => "TRUNCATE",
        CommentStmt(_) => "COMMENT",
        SecLabelStmt(_) => "SECURITY LABEL",
        LockStmt(_) => "LOCK TABLE",
        VacuumStmt(_) => "VACUUM",
        ClusterStmt(_) => "CLUSTER",
        ReindexStmt(_) => "REINDEX",
        RefreshMatViewStmt(_) => "REFRESH MATERIALIZED VIEW",
        CheckPointStmt(_) => "CHECKPOINT",
        _ => return None,
    };
    Some(Kind::Everywhere(word))
}

fn never(node: &NodeEnum) -> Kind {
    Kind::Never(match node {
        NodeEnum::LoadStmt(_) => "LOAD",
        NodeEnum::AlterSystemStmt(_) => "ALTER SYSTEM",
        NodeEnum::CreateSubscriptionStmt(_) | NodeEnum::AlterSubscriptionStmt(_) | NodeEnum::DropSubscriptionStmt(_) => "SUBSCRIPTION",
        _ => "this statement",
    })
}
