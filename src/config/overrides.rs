//! Keys of `[general]` that were said outside of the files: by the command line, and by SET in the admin database.
//! Invariant: what is accepted here has the type of its row, is built, and (for SET) takes effect without a restart. That the result is put over
//! the file's value is all that happens; whether the whole is a configuration that can be used is judged afterwards, as for any other.

use super::file::{Block, Entry, Value, from_variable};
use super::inputs::Inputs;
use super::judge::{kind, printable};
use super::problem::{At, Findings, What, nearest, printed};
use super::table::{Kind, Setting};

/// Puts everything that was said over what the block holds, the strongest last.
pub(super) fn apply(general: &mut Block, inputs: &Inputs<'_>, findings: &mut Findings) {
    let line = inputs.line;
    let mode = line.session_mode.map(|session| if session { "session" } else { "transaction" });
    for (key, argument, text) in [
        ("default_pool_size", "--pool-size", line.pool_size.map(|size| size.to_string())),
        ("min_pool_size", "--min-pool-size", line.min_pool_size.map(|size| size.to_string())),
        ("pooler_mode", "--session-mode", mode.map(str::to_owned)),
    ] {
        let (Some(text), Some(row)) = (text, general.section.key(key)) else { continue };
        put(general, row, &text, At::Argument(argument), findings);
    }
    for (key, text) in inputs.overrides {
        let Some(row) = general.section.key(key) else {
            let names = general.section.keys().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()));
            findings.problem(At::Set, What::UnknownSetting { key: printed(key), nearest: nearest(key, names) });
            continue;
        };
        if !row.reloadable {
            findings.problem(At::Set, What::NeedsRestart { key: row.name });
            continue;
        }
        put(general, row, text, At::Set, findings);
    }
}

fn put(general: &mut Block, row: &'static Setting, text: &str, at: At, findings: &mut Findings) {
    match from_variable(row, text) {
        Ok(value) if kind(row, &value) == Kind::Built => {
            general.entries.insert(row.name, Entry { value, at });
        }
        Ok(value) => findings.problem(at, What::SettingNotBuilt { key: row.name, value: shown(row, &value) }),
        Err(expected) => findings.problem(at, What::WrongSetting { key: row.name, expected }),
    }
}

fn shown(row: &Setting, value: &Value) -> String {
    printable(row, value).map_or(String::new(), |value| format!(" = {value}"))
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
