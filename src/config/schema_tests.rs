//! Tests of the schemas: what `load` takes they take, what they refuse `load` refuses, and the pages that are shipped are those of this table.

use serde_json::Value;

use super::*;
use crate::config::inputs::Inputs;
use crate::config::settings_doc::markdown;
use crate::config::{Source, load};

fn schema(file: File) -> Value {
    serde_json::from_str(&json(file)).expect("JSON")
}

fn toml(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("a value")
}

/// The words of the language that `json` uses; any other fails the test.
fn fits(schema: &Value, value: &Value) -> bool {
    schema.as_object().expect("an object").iter().all(|(key, rule)| match (key.as_str(), rule) {
        ("$schema" | "title" | "description" | "default", _) => true,
        ("type", Value::String(name)) => match name.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("type {other}"),
        },
        ("enum", Value::Array(words)) => words.contains(value),
        ("minimum", rule) => value.as_f64().is_none_or(|number| number >= rule.as_f64().expect("a number")),
        ("maximum", rule) => value.as_f64().is_none_or(|number| number <= rule.as_f64().expect("a number")),
        ("pattern", Value::String(pattern)) => value.as_str().is_none_or(|text| match pattern.as_str() {
            "^[^\\u0000]*$" => !text.contains('\0'),
            "^[^\\u0000]+$" => !text.contains('\0') && !text.is_empty(),
            other => panic!("pattern {other}"),
        }),
        ("items", rule) => value.as_array().is_none_or(|items| items.iter().all(|item| fits(rule, item))),
        ("properties", rule) => {
            value.as_object().is_none_or(|object| object.iter().all(|(key, item)| rule.get(key).is_none_or(|rule| fits(rule, item))))
        }
        ("required", Value::Array(names)) => {
            value.as_object().is_none_or(|object| names.iter().all(|name| object.contains_key(name.as_str().expect("a name"))))
        }
        ("additionalProperties", Value::Bool(any)) => {
            *any || value.as_object().is_none_or(|object| object.keys().all(|key| schema["properties"].get(key).is_some()))
        }
        ("additionalProperties", rule) => value.as_object().is_none_or(|object| object.values().all(|item| fits(rule, item))),
        ("allOf", Value::Array(rules)) => rules.iter().all(|rule| fits(rule, value)),
        ("not", rule) => !fits(rule, value),
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_shipped_pages_are_those_of_this_table() {
    for (name, page, shipped) in [
        ("pgdog.schema.json", json(File::Main), include_str!("../../configs/pgdog.schema.json")),
        ("users.schema.json", json(File::Users), include_str!("../../configs/users.schema.json")),
        ("SETTINGS.md", markdown(), include_str!("../../configs/SETTINGS.md")),
    ] {
        let how = "write it anew: `bash configs/write` (pg_dog schema main, pg_dog schema users, pg_dog settings)";
        let differs = page.lines().zip(shipped.lines()).find(|(new, old)| new != old);
        assert!(page == shipped, "configs/{name} is not what the table says, first here: {differs:?}; {how}");
    }
}

#[test]
fn the_ready_configurations_fit() {
    macro_rules! example {
        ($name:literal) => {
            [
                (File::Main, include_str!(concat!("../../configs/", $name, "/pgdog.toml"))),
                (File::Users, include_str!(concat!("../../configs/", $name, "/users.toml"))),
            ]
        };
    }
    for (file, text) in [example!("minimal"), example!("pooler"), example!("session")].concat() {
        assert!(fits(&schema(file), &toml(text)), "{file:?} {text}");
    }
}

/// Whether both files are of the form that `load` wants; that something is not built is no matter of form.
fn loads(main: &str, users: &str) -> bool {
    let (main, users) = (Source { name: "m", text: main }, Source { name: "u", text: users });
    let problems = load(&Inputs { main: Some(main), users: Some(users), ..Inputs::default() }).err().unwrap_or_default();
    problems.iter().all(|problem| problem.to_string().contains("not built yet"))
}

#[test]
fn what_the_schema_refuses_load_refuses_too() {
    let database = "[[databases]]\nname = \"d\"\nhost = \"h\"\n";
    for (main, right) in [
        ("", true),
        ("[general]\nport = 0\n", true),
        ("[general]\nport = 65536\n", false),
        ("[general]\nport = -1\n", false),
        ("[general]\nport = \"1\"\n", false),
        ("[general]\nhost = \"\"\n", false),
        ("[general]\nprot = 1\n", false),
        ("[general]\nmax_pool_size = 1\n", true),
        ("[general]\nmax_pool_size = 1\ndefault_pool_size = 1\n", false),
        ("[general]\nauth_type = \"trust\"\nmirror_exposure = 0.5\nquery_timeout = 9223372036854775807\n", true),
        ("[general]\nauth_type = \"Trust\"\n", false),
        ("[general]\nmirror_exposure = 1.5\n", false),
        ("[cores]\npin = [0, 1]\n", true),
        ("[cores]\npin = [-1]\n", false),
        ("[[users]]\nname = \"u\"\n", false),
        ("[multi_tenant]\ncolumn = \"c\"\nany = 1\n", true),
        ("[multi_tenant]\nany = 1\n", false),
        ("[otel]\nheaders = { a = \"b\" }\n", true),
        ("[otel]\nheaders = { a = 1 }\n", false),
        ("[[sharded_tables]]\ndatabase = \"d\"\ncolumn = \"c\"\nmapping = [{ shard = 0, values = [1, 2] }]\n", true),
        ("[[sharded_tables]]\ndatabase = \"d\"\nmapping = [{ values = [1] }]\n", false),
        ("[databases]\nname = \"d\"\n", false),
        ("[[databases]]\nname = \"d\"\n", false),
        ("[admin]\nname = \"\"\n", false),
    ] {
        let main = format!("{main}{}", if main.contains("databases]") { "" } else { database });
        assert_eq!((fits(&schema(File::Main), &toml(&main)), loads(&main, "")), (right, right), "{main}");
    }
    for (users, right) in [
        ("[[users]]\nname = \"u\"\ndatabase = \"d\"\npasswords = [\"a\"]\n[admin]\npassword = \"p\"\n", true),
        ("[[users]]\nname = \"u\"\npasswords = [1]\n", false),
        ("[[users]]\ndatabase = \"d\"\n", false),
        ("[general]\nport = 1\n", false),
    ] {
        assert_eq!((fits(&schema(File::Users), &toml(users)), loads(database, users)), (right, right), "{users}");
    }
}

#[test]
fn every_default_fits_its_own_key() {
    for root in [schema(File::Main), schema(File::Users)] {
        for (section, rules) in root["properties"].as_object().expect("sections") {
            let table = if rules["type"] == "array" { &rules["items"] } else { rules };
            for (key, rule) in table["properties"].as_object().expect("keys") {
                assert!(rule.get("default").is_none_or(|default| fits(rule, default)), "[{section}] {key}");
                assert!(rule["description"].as_str().is_some_and(|text| text.len() > 8), "[{section}] {key}");
            }
        }
    }
}

#[test]
fn text_is_quoted() {
    let mut page = String::new();
    quoted("a\"b\\c\nd", &mut page);
    assert_eq!(page, "\"a\\\"b\\\\c\\u000ad\"");
}
