//! Plans in words, as the corpus has them.

use pg_dog::sql::copy::CopyFormat;
use pg_dog::sql::outline::{Relation, Statement};
use pg_dog::sql::plan::{Any, Key, Many, Plan, Source, Target};
use pg_dog::sql::texts::Read;
use pg_dog::sql::{Fault, outline};

/// All plans of a text.
pub fn plans(read: &Read<'_>, text: &str) -> String {
    let directives = read.directives;
    let mut said = String::new();
    if let Some(shard) = directives.shard {
        said.push_str(&format!("(shard {shard}) "));
    }
    if let Some(key) = &directives.key {
        said.push_str(&format!("(key {}) ", &text[key.clone()]));
    }
    if let Some(role) = directives.role {
        said.push_str(&format!("({role:?}) "));
    }
    if directives.broken {
        said.push_str("(broken directive) ");
    }
    let all: Vec<String> = read.plans.iter().map(|plan| one(plan, read, text)).collect();
    said + &all.join("; ")
}

fn one(plan: &Plan, read: &Read<'_>, text: &str) -> String {
    let keys = |keys: &[Key]| keys.iter().map(|one| key(one, read, text)).collect::<Vec<_>>().join(", ");
    let target = match &plan.target {
        Target::OneKey(one) => format!("one {}", key(one, read, text)),
        Target::Keys { keys: all, many: Many::Union } => format!("each of {}", keys(all)),
        Target::Keys { keys: all, many: Many::Refused(refusal) } => format!("shard of {} or refused: {}", keys(all), refusal.reason),
        Target::Rows(rows) => format!("rows {}", keys(rows)),
        Target::AllShards => "all shards".to_string(),
        Target::AnyShard(Any::Either) => "any".to_string(),
        Target::AnyShard(Any::Sticky) => "any, sticky".to_string(),
        Target::AnyShard(Any::First) => "the first".to_string(),
        Target::AnyShard(Any::Cursor) => "where the cursor is".to_string(),
        Target::AllWrite { alone: false } => "all alike".to_string(),
        Target::AllWrite { alone: true } => "all alike, alone".to_string(),
        Target::Shard(shard) => format!("shard {shard}"),
        Target::CopyRows { rule, position, format } => format!("copy by column {position} ({rule}){}", copied(format)),
        Target::Session(session) => format!("session {session:?}"),
        Target::Refused(refusal) => format!("refused {}: {}", refusal.state, refusal.reason),
    };
    let mode = if plan.write { "write" } else { "read" };
    let kept = if plan.keep { "" } else { " (not kept)" };
    format!("{mode} {target}{kept}")
}

fn copied(format: &CopyFormat) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match format {
        CopyFormat::Text { delimiter, null, header } => {
            let usual = (*delimiter, &**null, *header) == (b'\t', b"\\N", false);
            if usual { String::new() } else { format!(" as text {:?} {:?} {header}", char::from(*delimiter), text(null)) }
        }
        CopyFormat::Csv { delimiter, quote, escape, null, header, force_null, force_not_null } => {
            let [delimiter, quote, escape] = [delimiter, quote, escape].map(|byte| char::from(*byte));
            format!(" as csv {delimiter} {quote} {escape} {:?} {header} {force_null} {force_not_null}", text(null))
        }
        CopyFormat::Binary => " as binary".to_string(),
    }
}

fn key(key: &Key, read: &Read<'_>, text: &str) -> String {
    let array = if key.array { "array " } else { "" };
    let source = match &key.source {
        Source::Literal { number, negative } => {
            let literal = String::from_utf8_lossy(read.literals[*number as usize].bytes(text.as_bytes()));
            format!("{}{literal}", if *negative { "-" } else { "" })
        }
        Source::Parameter(number) => format!("${number}"),
        Source::Null => "NULL".to_string(),
        Source::Constant(text) => format!("constant {text}"),
    };
    format!("{array}{source} ({})", key.rule)
}

/// The tables that a text names, and which are written.
pub fn tables(text: &str) -> String {
    match outline(text, true) {
        Ok(statements) => {
            let found: Vec<String> = statements.iter().flat_map(named).collect();
            if found.is_empty() { String::new() } else { format!(" [{}]", found.join(", ")) }
        }
        Err(Fault::Syntax(_)) => String::new(),
        Err(fault) => format!(" {fault:?}"),
    }
}

fn named(statement: &Statement) -> Vec<String> {
    let mut found = Vec::new();
    for block in &statement.blocks {
        for (number, source) in block.sources.iter().enumerate() {
            if let Relation::Table(name) = &source.relation {
                let schema = name.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
                let written = if block.write.is_some() && number == 0 { "write " } else { "" };
                found.push(format!("{written}{schema}{}", name.name));
            }
        }
    }
    found
}
