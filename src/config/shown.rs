//! What SHOW CONFIG prints, and which changes of it wait for a restart.
//! Invariant: only sections without secrets are listed in `SECTIONS`, so no password can get into the rows. How rows travel is left to `admin`.

use super::file::{Block, Value};
use super::snapshot::Snapshot;
use super::table::{Preset, Setting, section_named};

/// The sections that are shown, in order, and what stands before their keys.
const SECTIONS: [(&str, &str); 4] = [("general", ""), ("tcp", "tcp_"), ("memory", "memory_"), ("cores", "cores_")];
/// A key whose name has one of these is a duration for people.
const DURATIONS: [&str; 5] = ["_timeout", "_interval", "_delay", "_time", "_lifetime"];

/// (name, value) of every key that is shown, set or not.
pub(super) fn rows(blocks: &[&Block]) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (section, prefix) in SECTIONS {
        let block = blocks.iter().find(|block| block.section.name == section);
        for row in section_named(section).into_iter().flat_map(|section| section.keys()) {
            let name = format!("{prefix}{}", row.name);
            let value = match block.and_then(|block| block.get(row.name)) {
                Some(value) => set(&name, value),
                None => unset(&name, row),
            };
            rows.push((name, value));
        }
    }
    rows
}

/// The keys, as SHOW CONFIG names them, that differ and take effect at the next start only. The fault is nobody's; the caller logs them.
pub fn needs_restart(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let fixed = |name: &str| {
        SECTIONS.iter().any(|(section, prefix)| {
            let key = name.strip_prefix(prefix).zip(section_named(section)).and_then(|(key, section)| section.key(key));
            key.is_some_and(|row| !row.reloadable)
        })
    };
    let pairs = old.shown.iter().zip(&new.shown);
    pairs.filter(|(old, new)| old != new && fixed(&new.0)).map(|(_, new)| new.0.clone()).collect()
}

fn set(name: &str, value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => number(name, *value),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.clone(),
        Value::Texts(items) => format!("[{}]", items.join(", ")),
        Value::Ints(items) => format!("{items:?}"),
        Value::List(_) | Value::Blocks(_) | Value::Other(_) => "set".to_owned(),
    }
}

fn unset(name: &str, row: &Setting) -> String {
    match row.default {
        Preset::Bool(value) => value.to_string(),
        Preset::Int(value) => number(name, value),
        Preset::Float(value) => value.to_string(),
        Preset::Text(value) => value.to_owned(),
        Preset::Empty => "[]".to_owned(),
        Preset::Unset | Preset::Required => "default".to_owned(),
    }
}

fn number(name: &str, value: i64) -> String {
    if DURATIONS.iter().any(|part| name.contains(part)) { human(value) } else { value.to_string() }
}

/// Milliseconds in the largest unit that loses nothing: `1d`, `90s`, `1500ms`.
fn human(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match UNITS.iter().find(|(length, _)| ms >= *length && ms % length == 0) {
        Some((length, unit)) => format!("{}{unit}", ms / length),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
#[path = "shown_tests.rs"]
mod tests;
