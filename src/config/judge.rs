//! Which of the set values are built, and what is said about those that are not.
//! Invariant: a value that is needed for right or safe and not built is always a problem, whether it came from a file or a variable; a harmless
//! one is one warning per key, however often it is set. What built values mean is left to `build`.

use std::collections::BTreeMap;

use super::file::{Block, Entry, Value, from_variable};
use super::problem::{At, Findings, What};
use super::table::{Kind, Preset, Setting, Type, section_named};

/// Fills from the environment what the file leaves out.
/// PgDog ignores the variable of many keys (pooler_mode, auth_type, all of TLS) as soon as a `[general]` section exists; here a variable counts
/// whenever its key is not set in the file, because a limit or a check that somebody asked for must not vanish with an unrelated line.
pub(super) fn fill(block: &mut Block, env: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) {
    for row in block.section.keys() {
        let Some(variable) = row.env.filter(|_| !block.entries.contains_key(row.name)) else { continue };
        // An empty variable is how many deployment tools write an unset one.
        let Some(text) = env(variable).filter(|text| !text.is_empty()) else { continue };
        let at = At::Variable(variable);
        match from_variable(row, &text) {
            Ok(value) => {
                block.entries.insert(row.name, Entry { value, at });
            }
            // PgDog ignores a bad variable silently. Where the key is needed that would drop a wish for safety.
            Err(expected) if row.kind == Kind::Needed || !row.needs.is_empty() => {
                let section = block.section.heading();
                findings.problem(at, What::WrongValue { section, key: row.name, expected, found: "something else".to_owned() });
            }
            Err(expected) => findings.warn(at, format!("ignored, because `{}` has to be {expected}", row.name)),
        }
    }
}

/// Variables that stand for whole sections and are not built.
pub(super) fn variables(env: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) {
    const MIRRORING: &str = "PGDOG_MIRRORING_1";
    if env(MIRRORING).is_some() {
        findings.problem(At::Variable(MIRRORING), What::VariableNotBuilt);
    }
}

/// Looks at everything that is set.
pub(super) fn judge(blocks: &[Block], findings: &mut Findings) {
    let mut harmless: BTreeMap<(&str, &str), (At, usize)> = BTreeMap::new();
    for block in blocks {
        match block.section.presence {
            Kind::Built => {}
            Kind::Harmless => {
                harmless.entry((block.section.name, "")).or_insert((block.at, 0)).1 += 1;
                continue;
            }
            Kind::Needed => {
                findings.problem(block.at, What::SectionNotBuilt { heading: block.section.heading() });
                continue;
            }
        }
        for (row, entry) in block.section.keys().filter_map(|row| Some((row, block.entries.get(row.name)?))) {
            match kind(row, &entry.value) {
                Kind::Built => {}
                Kind::Harmless => harmless.entry((block.section.name, row.name)).or_insert((entry.at, 0)).1 += 1,
                Kind::Needed => {
                    let value = printable(row, &entry.value).map_or(String::new(), |value| format!(" = {value}"));
                    let preset = preset(row).map_or(String::new(), |value| format!(" or set it to {value}"));
                    let section = block.section.heading();
                    findings.problem(entry.at, What::NotBuilt { section, key: row.name, value, preset });
                }
            }
        }
    }
    for ((section, key), (at, times)) in harmless {
        let heading = section_named(section).map_or(String::new(), |section| section.heading());
        let more = if times > 1 { format!(" (set {times} times)") } else { String::new() };
        match key {
            "" => findings.warn(at, format!("{heading} is not built yet and changes nothing{more}")),
            key => findings.warn(at, format!("{heading}: `{key}` is not built yet and changes nothing{more}")),
        }
    }
}

/// What a value of a key is; the default is always built.
pub(super) fn kind(row: &Setting, value: &Value) -> Kind {
    if is_default(row, value) {
        return Kind::Built;
    }
    match value {
        Value::Text(word) if row.needs.contains(&word.as_str()) => Kind::Needed,
        Value::Text(word) if row.lacks.contains(&word.as_str()) => Kind::Harmless,
        _ => row.kind,
    }
}

fn is_default(row: &Setting, value: &Value) -> bool {
    match (row.default, value) {
        (Preset::Bool(default), Value::Bool(value)) => default == *value,
        (Preset::Int(default), Value::Int(value)) => default == *value,
        (Preset::Float(default), Value::Float(value)) => default == *value,
        (Preset::Text(default), Value::Text(value)) => default == value,
        (Preset::Empty, Value::Texts(items)) => items.is_empty(),
        (Preset::Empty, Value::Ints(items)) => items.is_empty(),
        (Preset::Empty, Value::List(items)) => items.is_empty(),
        (Preset::Empty, Value::Blocks(blocks)) => blocks.is_empty(),
        (Preset::Empty, Value::Other(empty)) => *empty,
        _ => false,
    }
}

/// The value, if it cannot be a secret.
pub(super) fn printable(row: &Setting, value: &Value) -> Option<String> {
    match (row.ty, value) {
        (_, Value::Bool(value)) => Some(value.to_string()),
        (_, Value::Int(value)) => Some(value.to_string()),
        (Type::Choice(_), Value::Text(value)) => Some(format!("\"{value}\"")),
        _ => None,
    }
}

fn preset(row: &Setting) -> Option<String> {
    match row.default {
        Preset::Bool(value) => Some(value.to_string()),
        Preset::Int(value) => Some(value.to_string()),
        Preset::Float(value) => Some(value.to_string()),
        Preset::Text(value) => Some(format!("\"{value}\"")),
        Preset::Required | Preset::Unset | Preset::Empty => None,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
