//! The table of settings as Markdown, for people.
//! Invariant: everything printed comes from the table, so the page cannot say something else than the code does.

use super::table::{Kind, MAX_POOL_SIZE, Preset, SECTIONS, Section, Setting, Type, UNLIMITED};

/// The whole table: one heading and one table per section.
pub fn markdown() -> String {
    let mut page = String::from("# Settings\n\n");
    page.push_str("`pgdog.toml` holds every section but `[[users]]`, which stands in `users.toml`; `[admin]` may stand in either.\n");
    page.push_str(
        "`[[users]]` is stronger than `[[databases]]`, that is stronger than `[general]`. A variable counts when the file does not set its key.\n",
    );
    page.push_str("Durations are integers, in milliseconds unless the table says otherwise.\n\n");
    page.push_str("State: *works*; *no effect yet* (a warning when set); *refused* (not built, and to ignore it would not be safe).\n");
    for section in SECTIONS {
        page.push_str(&heading(section));
        page.push_str("\n| key | type | default | variable | reload | state | what it does |\n|---|---|---|---|---|---|---|\n");
        for row in section.keys() {
            page.push_str(&line(section, row));
        }
    }
    page
}

fn heading(section: &Section) -> String {
    let state = match section.presence {
        Kind::Built => "",
        Kind::Harmless => " The section has no effect yet.",
        Kind::Needed => " The section is refused.",
    };
    format!("\n## `{}`\n\n{}{state}\n", section.heading(), section.doc)
}

fn line(section: &Section, row: &Setting) -> String {
    let name = std::iter::once(row.name).chain(row.aliases.iter().copied()).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
    let variable = row.env.map_or(String::new(), |variable| format!("`{variable}`"));
    let reload = if row.reloadable { "yes" } else { "restart" };
    let state = state(section, row);
    format!("| {name} | {} | {} | {variable} | {reload} | {state} | {} |\n", type_of(row), default_of(row), row.doc)
}

pub(super) fn state(section: &Section, row: &Setting) -> String {
    let kind = if section.presence == Kind::Built { row.kind } else { section.presence };
    let mut text = match kind {
        Kind::Built => "works",
        Kind::Harmless => "no effect yet",
        Kind::Needed => "refused",
    }
    .to_owned();
    for (values, what) in [(row.needs, "refused"), (row.lacks, "no effect yet")] {
        if !values.is_empty() && kind != Kind::Needed {
            text.push_str(&format!("; `{}` {what}", values.join("`, `")));
        }
    }
    text
}

fn type_of(row: &Setting) -> String {
    let unit = if row.unit().is_empty() { String::new() } else { format!(", {}", row.unit()) };
    match row.ty {
        Type::Bool => "bool".to_owned(),
        Type::Int { min: 0, max: i64::MAX, .. } => format!("integer{unit}"),
        Type::Int { min, max: MAX_POOL_SIZE, .. } => format!("integer from {min}{unit}"),
        Type::Int { min, max, .. } => format!("integer {min} to {max}{unit}"),
        Type::Float { min, max } => format!("number {min} to {max}"),
        Type::Text | Type::Name => "string".to_owned(),
        Type::Choice(words) => words.join(", "),
        Type::Texts => "array of strings".to_owned(),
        Type::Ints => "array of integers".to_owned(),
        Type::Map => "table of strings".to_owned(),
        Type::Nested(section) => format!("array of `{section}`"),
        Type::Any => "any".to_owned(),
    }
}

fn default_of(row: &Setting) -> String {
    match row.default {
        Preset::Required => "required".to_owned(),
        Preset::Unset => String::new(),
        Preset::Bool(value) => value.to_string(),
        Preset::Int(UNLIMITED) => "unlimited".to_owned(),
        Preset::Int(value) => value.to_string(),
        Preset::Float(value) => format!("{value:?}"),
        Preset::Text(value) => format!("`\"{value}\"`"),
        Preset::Empty => "`[]`".to_owned(),
    }
}

#[cfg(test)]
#[path = "settings_doc_tests.rs"]
mod tests;
