//! Tests of the table: names are unique, rows are consistent with themselves.

use std::collections::HashSet;

use super::*;

#[test]
fn every_key_and_section_is_unique() {
    let mut sections = HashSet::new();
    for section in SECTIONS {
        assert!(sections.insert(section.name), "[{}] twice", section.name);
        let mut keys = HashSet::new();
        for row in section.keys() {
            for name in std::iter::once(row.name).chain(row.aliases.iter().copied()) {
                assert!(keys.insert(name), "[{}] {name} twice", section.name);
            }
        }
        assert!(!keys.is_empty(), "[{}] has no keys", section.name);
    }
}

#[test]
fn every_variable_is_unique() {
    let mut variables = HashSet::new();
    for row in SECTIONS.iter().flat_map(|section| section.keys()) {
        if let Some(variable) = row.env {
            assert!(variables.insert(variable), "{variable} twice");
            assert!(variable.starts_with("PGDOG_") || variable == "RUST_LOG", "{variable}");
        }
    }
    assert!(variables.contains("PGDOG_CLIENT_LOG_TIMEOUT"));
    assert!(variables.contains("PGDOG_SCHEMA_RELOAD_ON_DDL"));
}

#[test]
fn defaults_have_the_type_of_their_row() {
    for section in SECTIONS {
        for row in section.keys() {
            let fits = match (row.ty, row.default) {
                (_, Preset::Required | Preset::Unset) | (Type::Any, _) => true,
                (Type::Bool, Preset::Bool(_)) => true,
                (Type::Int { min, max, .. }, Preset::Int(value)) => (min..=max).contains(&value),
                (Type::Float { min, max }, Preset::Float(value)) => (min..=max).contains(&value),
                (Type::Text, Preset::Text(_)) => true,
                (Type::Name, Preset::Text(text)) => !text.is_empty(),
                (Type::Choice(words), Preset::Text(word)) => words.contains(&word),
                (Type::Texts | Type::Ints | Type::Map | Type::Nested(_), Preset::Empty) => true,
                _ => false,
            };
            assert!(fits, "[{}] {}", section.name, row.name);
        }
    }
}

#[test]
fn special_values_are_words_of_their_row_and_not_the_default() {
    for row in SECTIONS.iter().flat_map(|section| section.keys()) {
        for value in row.needs.iter().chain(row.lacks) {
            let Type::Choice(words) = row.ty else { panic!("{} is not a choice", row.name) };
            assert!(words.contains(value), "{} cannot be {value}", row.name);
            assert_ne!(row.default, Preset::Text(value), "{}", row.name);
        }
    }
}

#[test]
fn nested_sections_exist_and_nest_no_further() {
    for row in SECTIONS.iter().flat_map(|section| section.keys()) {
        let Type::Nested(name) = row.ty else { continue };
        let nested = section_named(name).unwrap_or_else(|| panic!("no section {name}"));
        assert_eq!(nested.shape, Shape::Nested);
        assert!(nested.keys().all(|row| !matches!(row.ty, Type::Nested(_))));
    }
}

#[test]
fn every_doc_is_one_sentence() {
    for section in SECTIONS {
        for (name, doc) in section.keys().map(|row| (row.name, row.doc)).chain([(section.name, section.doc)]) {
            assert!(doc.ends_with('.') && doc.len() > 8 && !doc.contains(['\n', '|']), "{name}: {doc}");
        }
    }
}

#[test]
fn a_key_is_found_by_its_alias() {
    let general = section_named("general").unwrap();
    assert_eq!(general.key("max_pool_size").unwrap().name, "default_pool_size");
    assert!(general.key("pool_size").is_none());
}
