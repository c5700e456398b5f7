//! Tests of the three kinds: what is needed is refused, what is harmless is one warning, and defaults are neither.

use super::*;
use crate::config::build::load;
use crate::config::file::Source;
use crate::config::inputs::Inputs;
use crate::config::table::{Home, SECTIONS, Section, Shape};

const DATABASE: &str = "[[databases]]\nname = \"db\"\nhost = \"h\"\n";
const USER: &str = "[[users]]\nname = \"u\"\ndatabase = \"db\"\npassword = \"p\"\n";
const ADMIN: &str = "[admin]\npassword = \"p\"\n";

/// The outcome of a section with these lines, in a configuration that is fine otherwise.
fn outcome(section: &Section, lines: &str) -> Result<Vec<String>, Vec<String>> {
    let heading = section.heading();
    let (mut main, mut users) = (format!("{DATABASE}\n"), format!("{ADMIN}\n{USER}\n"));
    match section.name {
        "databases" => main.push_str(lines),
        "users" => users.push_str(lines),
        "admin" => {}
        _ => main = format!("{heading}\n{lines}\n{main}"),
    }
    run(&main, &users, &|_| None)
}

fn run(main: &str, users: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Vec<String>> {
    let main = Source { name: "pgdog.toml", text: main };
    let users = Source { name: "users.toml", text: users };
    let loaded = load(&Inputs { main: Some(main), users: Some(users), env, ..Inputs::default() });
    loaded.map(|loaded| loaded.warnings).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// A value of this row other than the default, as TOML, on which `kind` and not a special list decides.
fn other(row: &Setting) -> String {
    match (row.ty, row.default) {
        (Type::Bool, Preset::Bool(value)) => (!value).to_string(),
        (Type::Bool, _) => "true".to_owned(),
        (Type::Int { min, max, .. }, default) => {
            let candidates = [min, max, min + 1];
            candidates.into_iter().find(|value| default != Preset::Int(*value)).unwrap_or(max).to_string()
        }
        (Type::Float { min, .. }, _) => format!("{min:?}"),
        (Type::Text | Type::Name, _) => "\"elsewhere\"".to_owned(),
        (Type::Choice(words), default) => {
            let plain = |word: &&&'static str| default != Preset::Text(word) && !row.needs.contains(word) && !row.lacks.contains(word);
            format!("\"{}\"", words.iter().find(plain).unwrap_or(&words[0]))
        }
        (Type::Texts, _) => "[\"elsewhere\"]".to_owned(),
        (Type::Ints | Type::Any, _) => "[1]".to_owned(),
        (Type::Map, _) => "{ a = \"b\" }".to_owned(),
        (Type::Nested(_), _) => "[]".to_owned(),
    }
}

fn required(section: &Section) -> String {
    let lines = section.keys().filter(|row| row.default == Preset::Required).map(|row| match row.ty {
        Type::Int { min, .. } => format!("{} = {min}\n", row.name),
        Type::Texts => format!("{} = []\n", row.name),
        Type::Choice(words) => format!("{} = \"{}\"\n", row.name, words[0]),
        _ => format!("{} = \"x\"\n", row.name),
    });
    lines.collect()
}

#[test]
fn every_needed_key_fails_and_is_named() {
    let mut tried = 0;
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Built) {
        for row in section.keys().filter(|row| row.kind == Kind::Needed) {
            let line = format!("{} = {}\n", row.name, other(row));
            let problems = outcome(section, &line).expect_err(row.name);
            // Entries of a list lack something else besides.
            let problems: Vec<_> = problems.into_iter().filter(|problem| problem.contains("built yet")).collect();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(&format!("{}: `{}`", section.heading(), row.name)), "{problems:?}");
            assert!(problems[0].contains("is not built yet, and to ignore it would not be safe"), "{problems:?}");
            tried += 1;
        }
    }
    assert!(tried > 0);
}

#[test]
fn no_key_that_safety_hangs_on_is_harmless() {
    let general = "tls_client_required tls_certificate tls_private_key tls_client_ca_certificate tls_server_ca_certificate passthrough_auth \
        query_timeout client_idle_timeout client_idle_in_transaction_timeout cross_shard_disabled two_phase_commit query_size_limit_action \
        pub_sub_channel_size connection_hygiene pooler_mode tls_verify";
    let databases = "shard role read_only statement_timeout lock_timeout pool_size_primary pooler_mode";
    let users = "databases all_databases passwords password_hash identity tls_client_certificate_required server_auth vault_path read_only \
        replication_mode statement_timeout lock_timeout cross_shard_disabled two_phase_commit pool_size_primary pooler_mode";
    for (section, keys) in [("general", general), ("databases", databases), ("users", users)] {
        for key in keys.split_whitespace() {
            let row = section_named(section).and_then(|section| section.key(key)).unwrap_or_else(|| panic!("no {key}"));
            assert_ne!(row.kind, Kind::Harmless, "[{section}] {key}");
        }
    }
    for name in ["sharded_tables", "sharded_mappings", "sharded_schemas", "multi_tenant", "plugins", "mirroring"] {
        assert_ne!(section_named(name).map(|section| section.presence), Some(Kind::Harmless), "[{name}]");
    }
}

#[test]
fn every_needed_value_fails_and_is_named() {
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Built) {
        for (row, value) in section.keys().flat_map(|row| row.needs.iter().map(move |value| (row, value))) {
            // The keys that a table of this section has to have; those of `databases` and `users` stand there already.
            let before = if section.name == "query_parsers" { required(section) } else { String::new() };
            let problems = outcome(section, &format!("{before}{} = \"{value}\"\n", row.name)).expect_err(row.name);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(&format!("`{}` = \"{value}\"", row.name)), "{problems:?}");
        }
    }
}

#[test]
fn every_needed_section_fails_and_is_named() {
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Needed && section.shape != Shape::Nested) {
        let problems = outcome(section, &required(section)).expect_err(section.name);
        assert_eq!(problems, [format!("pgdog.toml:1: {} is not built yet, and to ignore it would not be safe; remove it", section.heading())]);
    }
}

#[test]
fn every_harmless_key_is_one_warning_that_names_it() {
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Built) {
        for row in section.keys().filter(|row| row.kind == Kind::Harmless && row.default != Preset::Required) {
            let before = if section.name == "query_parsers" { required(section) } else { String::new() };
            let warnings = outcome(section, &format!("{before}{} = {}\n", row.name, other(row))).expect(row.name);
            let named = warnings.iter().filter(|text| text.contains(&format!("`{}` is not built yet and changes nothing", row.name)));
            assert_eq!(named.count(), 1, "{}: {warnings:?}", row.name);
        }
    }
}

#[test]
fn every_harmless_section_is_one_warning() {
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Harmless && section.shape != Shape::Nested) {
        let warnings = outcome(section, &required(section)).expect(section.name);
        assert_eq!(warnings, [format!("pgdog.toml:1: {} is not built yet and changes nothing", section.heading())]);
    }
}

#[test]
fn enterprise_sections_only_warn_whatever_they_hold() {
    let text = "[control]\nendpoint = \"https://x\"\ntoken = \"sesame\"\nnew_key = 1\n[qos]\nenabled = true\n\
                [[autodiscovery.databases]]\nname = \"x\"\nreplicas_only = true\n";
    let warnings = run(&format!("{text}\n{DATABASE}"), &format!("{ADMIN}{USER}"), &|_| None).unwrap();
    assert_eq!(
        warnings,
        [
            "pgdog.toml:1: [control] is not built yet and changes nothing",
            "pgdog.toml:4: [control]: unknown key `new_key` (ignored)",
            "pgdog.toml:5: [qos] is not built yet and changes nothing",
            "pgdog.toml:7: [autodiscovery] is not built yet and changes nothing",
        ]
    );
}

#[test]
fn defaults_by_hand_are_neither_refused_nor_warned_about() {
    for section in SECTIONS.iter().filter(|section| section.presence == Kind::Built && section.home != Home::Both) {
        for row in section.keys() {
            let value = match row.default {
                Preset::Bool(value) => value.to_string(),
                Preset::Int(value) => value.to_string(),
                Preset::Float(value) => format!("{value:?}"),
                Preset::Text(value) => format!("\"{value}\""),
                Preset::Empty if row.ty != Type::Map => "[]".to_owned(),
                _ => continue,
            };
            if row.name == "database" {
                continue;
            }
            let before = if section.name == "query_parsers" { required(section) } else { String::new() };
            // Where something else is missing that is what is said.
            let said = outcome(section, &format!("{before}{} = {value}\n", row.name)).unwrap_or_else(|problems| problems);
            let about: Vec<&String> = said.iter().filter(|text| text.contains(&format!("`{}`", row.name))).collect();
            assert!(about.is_empty(), "{about:?}");
        }
    }
}

#[test]
fn a_harmless_key_that_is_set_often_is_one_warning() {
    let databases: String = (0..3).map(|n| format!("[[databases]]\nname = \"d{n}\"\nhost = \"h\"\nidle_timeout_replica = 5\n")).collect();
    let warnings = run(&databases, ADMIN, &|_| None).unwrap();
    assert_eq!(warnings, ["pgdog.toml:4: [[databases]]: `idle_timeout_replica` is not built yet and changes nothing (set 3 times)"]);
}

#[test]
fn a_needed_key_from_the_environment_fails_too() {
    for (name, value, key) in [
        ("PGDOG_PASSTHROUGH_AUTH", "enabled", "passthrough_auth"),
        ("PGDOG_TLS_CERTIFICATE", "/x.pem", "tls_certificate"),
        ("PGDOG_TLS_VERIFY", "verify_full", "tls_verify"),
        ("PGDOG_TLS_VERIFY", "verify-everything", "tls_verify"),
        ("PGDOG_PASSTHROUGH_AUTH", "perhaps", "passthrough_auth"),
    ] {
        let env = |asked: &str| (asked == name).then(|| value.to_owned());
        let problems = run(DATABASE, &format!("{ADMIN}{USER}"), &env).expect_err(name);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("environment variable {name}: [general]: `{key}`")), "{problems:?}");
    }
    let env = |asked: &str| (asked == "PGDOG_MIRRORING_1").then(|| "source_db=a&destination_db=b".to_owned());
    let problems = run(DATABASE, ADMIN, &env).unwrap_err();
    assert_eq!(problems, ["environment variable PGDOG_MIRRORING_1: the variable is not built yet, and to ignore it would not be safe; unset it"]);
}

#[test]
fn other_variables_warn() {
    for (name, value, warning) in [
        ("PGDOG_BAN_TIMEOUT", "1", "[general]: `ban_timeout` is not built yet and changes nothing"),
        ("PGDOG_PORT", "many", "ignored, because `port` has to be an integer from 0 to 65535"),
    ] {
        let env = |asked: &str| (asked == name).then(|| value.to_owned());
        let warnings = run(DATABASE, &format!("{ADMIN}{USER}"), &env).expect(name);
        assert_eq!(warnings, [format!("environment variable {name}: {warning}")]);
    }
    let empty = |asked: &str| (asked == "PGDOG_TLS_CERTIFICATE").then(String::new);
    assert_eq!(run(DATABASE, &format!("{ADMIN}{USER}"), &empty).unwrap(), [""; 0]);
}

#[test]
fn a_refusal_does_not_repeat_strings() {
    let problems = run(DATABASE, &format!("{ADMIN}{USER}identity = \"sesame\"\nvault_path = \"sesame\"\n"), &|_| None).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|text| !text.contains("sesame")), "{problems:?}");
}
