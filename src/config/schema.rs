//! The two files as JSON schemas (draft 2020-12), for editors and for whoever writes files by a program.
//! Invariant: everything printed comes from the table, so that a file which the schema refuses is one that `load` refuses. The other way round more
//! is said at load: what is not built, and what several keys mean together.

use super::settings_doc::state;
use super::table::{Home, Preset, SECTIONS, Section, Setting, Shape, Type, Unknown, section_named};

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    Main,
    Users,
}

/// A JSON value that is written once.
enum Json {
    /// a literal as it is written
    Word(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The schema of one file, as text with a line per value.
pub fn json(file: File) -> String {
    let (name, other) = match file {
        File::Main => ("pgdog.toml", Home::Users),
        File::Users => ("users.toml", Home::Main),
    };
    let sections = SECTIONS.iter().filter(|section| section.shape != Shape::Nested && section.home != other);
    let properties = sections.map(|section| (section.name.to_owned(), section_schema(section))).collect();
    let root = vec![
        entry("$schema", text("https://json-schema.org/draft/2020-12/schema")),
        entry("title", text(name)),
        entry("description", text("Written by `pg_dog schema` out of pg_dog's table of settings.")),
        entry("type", text("object")),
        entry("properties", Json::Object(properties)),
        entry("additionalProperties", word(false)),
    ];
    let mut page = String::new();
    write(&Json::Object(root), 0, &mut page);
    page.push('\n');
    page
}

fn entry(key: &str, value: Json) -> (String, Json) {
    (key.to_owned(), value)
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn texts(texts: &[&str]) -> Json {
    Json::List(texts.iter().copied().map(text).collect())
}

fn word(value: impl ToString) -> Json {
    Json::Word(value.to_string())
}

fn section_schema(section: &'static Section) -> Json {
    let table = table_schema(section);
    match section.shape {
        Shape::Table => Json::Object(table),
        Shape::Array | Shape::Nested => {
            Json::Object(vec![entry("description", text(section.doc)), entry("type", text("array")), entry("items", Json::Object(table))])
        }
    }
}

fn table_schema(section: &'static Section) -> Vec<(String, Json)> {
    let mut properties = Vec::new();
    // A key and its alias are one key, which stands once.
    let mut once = Vec::new();
    for row in section.keys() {
        properties.push((row.name.to_owned(), row_schema(section, row, row.doc)));
        for alias in row.aliases {
            properties.push((alias.to_string(), row_schema(section, row, &format!("Another name of `{}`.", row.name))));
            once.push(Json::Object(vec![entry("not", Json::Object(vec![entry("required", texts(&[row.name, alias]))]))]));
        }
    }
    let required: Vec<&str> = section.keys().filter(|row| row.default == Preset::Required).map(|row| row.name).collect();
    let mut table = vec![entry("description", text(section.doc)), entry("type", text("object")), entry("properties", Json::Object(properties))];
    if !required.is_empty() {
        table.push(entry("required", texts(&required)));
    }
    if !once.is_empty() {
        table.push(entry("allOf", Json::List(once)));
    }
    table.push(entry("additionalProperties", word(section.unknown == Unknown::Tolerated)));
    table
}

fn row_schema(section: &Section, row: &Setting, doc: &str) -> Json {
    let unit = if row.unit().is_empty() { String::new() } else { format!(" Unit: {}.", row.unit()) };
    let state = match state(section, row) {
        works if works == "works" => String::new(),
        other => format!(" State: {other}."),
    };
    let mut schema = vec![entry("description", Json::Text(format!("{doc}{unit}{state}")))];
    schema.extend(type_schema(row.ty));
    match row.default {
        Preset::Required | Preset::Unset => {}
        Preset::Bool(value) => schema.push(entry("default", word(value))),
        Preset::Int(value) => schema.push(entry("default", word(value))),
        Preset::Float(value) => schema.push(entry("default", word(format!("{value:?}")))),
        Preset::Text(value) => schema.push(entry("default", text(value))),
        Preset::Empty if matches!(row.ty, Type::Map) => schema.push(entry("default", Json::Object(Vec::new()))),
        Preset::Empty => schema.push(entry("default", Json::List(Vec::new()))),
    }
    Json::Object(schema)
}

/// What a value has to be; nothing for one that is not looked at.
fn type_schema(ty: Type) -> Vec<(String, Json)> {
    let of = |name: &str| entry("type", text(name));
    let items = |item: Vec<(String, Json)>| vec![of("array"), entry("items", Json::Object(item))];
    // Zero bytes are refused in every string, because the server would read on behind them as something else.
    let string = |pattern: &str| vec![of("string"), entry("pattern", text(pattern))];
    match ty {
        Type::Bool => vec![of("boolean")],
        Type::Int { min, max: i64::MAX, .. } => vec![of("integer"), entry("minimum", word(min))],
        Type::Int { min, max, .. } => vec![of("integer"), entry("minimum", word(min)), entry("maximum", word(max))],
        Type::Float { min, max } => vec![of("number"), entry("minimum", word(min)), entry("maximum", word(max))],
        Type::Text => string("^[^\\u0000]*$"),
        Type::Name => string("^[^\\u0000]+$"),
        Type::Choice(words) => vec![entry("enum", texts(words))],
        Type::Texts => items(string("^[^\\u0000]*$")),
        Type::Ints => items(vec![of("integer"), entry("minimum", word(0))]),
        Type::Map => vec![of("object"), entry("additionalProperties", Json::Object(vec![of("string")]))],
        Type::Nested(section) => section_named(section).map_or(Vec::new(), |section| items(table_schema(section))),
        Type::Any => Vec::new(),
    }
}

/// Lists of plain values stay on one line, so that a changed word is a changed line.
fn write(value: &Json, depth: usize, page: &mut String) {
    let inner = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    match value {
        Json::Word(word) => page.push_str(word),
        Json::Text(text) => quoted(text, page),
        Json::List(items) if items.iter().all(|item| matches!(item, Json::Word(_) | Json::Text(_))) => {
            page.push('[');
            for (index, item) in items.iter().enumerate() {
                page.push_str(if index > 0 { ", " } else { "" });
                write(item, depth, page);
            }
            page.push(']');
        }
        Json::List(items) => {
            page.push('[');
            for (index, item) in items.iter().enumerate() {
                page.push_str(if index > 0 { ",\n" } else { "\n" });
                page.push_str(&inner);
                write(item, depth + 1, page);
            }
            page.push_str(&format!("\n{end}]"));
        }
        Json::Object(entries) if entries.is_empty() => page.push_str("{}"),
        Json::Object(entries) => {
            page.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                page.push_str(if index > 0 { ",\n" } else { "\n" });
                page.push_str(&inner);
                quoted(key, page);
                page.push_str(": ");
                write(item, depth + 1, page);
            }
            page.push_str(&format!("\n{end}}}"));
        }
    }
}

fn quoted(text: &str, page: &mut String) {
    page.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => page.extend(['\\', letter]),
            control if u32::from(control) < 0x20 => page.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => page.push(other),
        }
    }
    page.push('"');
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
