//! Tests of reading: lines, types, unknown names, and that no value leaks into a message.

use super::*;

/// Reads a text; problems as they are printed.
fn problems(which: Which, text: &str) -> Vec<String> {
    match outcome(which, text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

/// The warnings, or the problems.
fn outcome(which: Which, text: &str) -> Result<Vec<String>, Vec<String>> {
    let mut findings = Findings::new("pgdog.toml", "users.toml");
    let name = if which == Which::Main { "pgdog.toml" } else { "users.toml" };
    read(which, Source { name, text }, &mut findings);
    findings.verdict().map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// A `[general]` with one line in it.
fn general(line: &str) -> Vec<String> {
    problems(Which::Main, &format!("[general]\n{line}\n"))
}

#[test]
fn a_typing_error_names_file_line_key_and_the_nearest_key() {
    let text = "# comment\n[general]\nport = 6432\n\ndefalt_pool_size = 20\n";
    assert_eq!(problems(Which::Main, text), ["pgdog.toml:5: [general]: unknown key `defalt_pool_size`; did you mean `default_pool_size`?"]);
    assert_eq!(general("zzzzzzzzzzzz = 1"), ["pgdog.toml:2: [general]: unknown key `zzzzzzzzzzzz`"]);
}

#[test]
fn lines_are_right_with_any_line_end_and_without_a_last_one() {
    for text in ["\n\n[general]\nx = 1", "\r\n\r\n[general]\r\nx = 1\r\n", "\u{feff}\n\n[general]\nx = 1\n", "\n\n[general]\n\"x\" = 1"] {
        assert_eq!(problems(Which::Main, text), ["pgdog.toml:4: [general]: unknown key `x`"], "{text:?}");
    }
    assert_eq!(problems(Which::Main, "general.x = 1"), ["pgdog.toml:1: [general]: unknown key `x`"]);
}

#[test]
fn wrong_types_say_what_was_expected() {
    for (line, message) in [
        ("port = \"6432\"", "`port` has to be an integer from 0 to 65535, this is a string"),
        ("port = 65536", "`port` has to be an integer from 0 to 65535, this is 65536"),
        ("port = -1", "`port` has to be an integer from 0 to 65535, this is -1"),
        ("port = 1.5", "`port` has to be an integer from 0 to 65535, this is a float"),
        ("connect_timeout = \"5s\"", "`connect_timeout` has to be an integer of milliseconds from 0, this is a string"),
        (
            "connect_timeout = 99999999999999999999",
            "`connect_timeout` has to be an integer of milliseconds from 0, this is an integer of more than 64 bits",
        ),
        ("default_pool_size = 0", "`default_pool_size` has to be an integer of connections from 1 to 262143, this is 0"),
        ("workers = 1025", "`workers` has to be an integer of cores from 0 to 1024, this is 1025"),
        ("log_connections = 1", "`log_connections` has to be true or false, this is an integer"),
        ("host = \"\"", "`host` has to be a string that is not empty and has no zero byte, this is an empty string"),
        ("host = \"a\\u0000b\"", "`host` has to be a string that is not empty and has no zero byte, this is a string with a zero byte"),
        ("pooler_mode = \"Session\"", "`pooler_mode` has to be one of \"transaction\", \"session\", \"statement\", this is \"Session\""),
        ("tls_verify = \"none\"", "`tls_verify` has to be one of \"disabled\", \"prefer\", \"verify_ca\", \"verify_full\", this is \"none\""),
        ("mirror_exposure = 1.5", "`mirror_exposure` has to be a number from 0 to 1, this is 1.5"),
        ("mirror_exposure = nan", "`mirror_exposure` has to be a number from 0 to 1, this is NaN"),
        ("shard_local_functions = [1]", "`shard_local_functions` has to be an array of strings, this is an array with something else in it"),
    ] {
        assert_eq!(general(line), [format!("pgdog.toml:2: [general]: {message}")], "{line}");
    }
    for line in ["port = 0x1920", "port = 6_432", "mirror_exposure = 1", "connect_timeout = 9223372036854775807"] {
        assert_eq!(general(line), [""; 0], "{line}");
    }
}

#[test]
fn aliases_count_as_the_same_key() {
    assert_eq!(general("max_pool_size = 5"), [""; 0]);
    let message = "[general]: `default_pool_size` and `max_pool_size` are the same key; keep one of them";
    assert_eq!(general("default_pool_size = 5\nmax_pool_size = 5"), [format!("pgdog.toml:3: {message}")]);
}

#[test]
fn unknown_keys_are_refused_or_tolerated_section_by_section() {
    let required = |section: &Section| {
        let rows = section.keys().filter(|row| row.default == Preset::Required);
        rows.map(|row| match row.ty {
            Type::Int { .. } => format!("{} = 0\n", row.name),
            Type::Texts => format!("{} = []\n", row.name),
            Type::Choice(words) => format!("{} = \"{}\"\n", row.name, words[0]),
            _ => format!("{} = \"x\"\n", row.name),
        })
        .collect::<String>()
    };
    let tolerated = ["multi_tenant", "omnisharded_tables", "sharded_schemas", "replication", "replica_lag"];
    let enterprise = ["control", "qos", "query_stats", "autodiscovery"];
    for section in SECTIONS.iter().filter(|section| section.shape != Shape::Nested) {
        let which = if section.home == Home::Users { Which::Users } else { Which::Main };
        let text = format!("{}\n{}nobody_knows_this = 1\n", section.heading(), required(section));
        let outcome = outcome(which, &text);
        let (refused, texts) = match outcome {
            Ok(texts) => (false, texts),
            Err(texts) => (true, texts),
        };
        assert_eq!(refused, !tolerated.contains(&section.name) && !enterprise.contains(&section.name), "{}", section.name);
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].contains("unknown key `nobody_knows_this`"), "{texts:?}");
    }
    let nested = "[[sharded_tables]]\ndatabase = \"x\"\n[[sharded_tables.mapping]]\nshard = 0\nvalus = [1]\n";
    assert_eq!(problems(Which::Main, nested), ["pgdog.toml:5: [[sharded_tables.mapping]]: unknown key `valus`; did you mean `values`?"]);
}

#[test]
fn unknown_and_misplaced_sections_are_refused() {
    for (which, text, message) in [
        (Which::Main, "[genral]\nport = 1\n", "pgdog.toml:1: unknown section [genral]; did you mean `general`?"),
        (Which::Main, "[nothing_like_it]\n", "pgdog.toml:1: unknown section [nothing_like_it]"),
        (Which::Main, "port = 6432\n", "pgdog.toml:1: `port` stands outside of any section; it belongs below [general]"),
        (Which::Main, "\n[[users]]\nname = \"a\"\n", "pgdog.toml:2: [[users]] belongs in the users (users.toml) file"),
        (Which::Users, "[general]\n", "users.toml:1: [general] belongs in the main (pgdog.toml) file"),
        (Which::Main, "[databases]\nname = \"a\"\n", "pgdog.toml:1: databases has to be written as [[databases]], this is a table"),
        (Which::Main, "[[general]]\n", "pgdog.toml:1: general has to be written as [general], this is an array"),
        (Which::Main, "databases = [1]\n", "pgdog.toml:1: databases has to be written as [[databases]], this is an integer"),
    ] {
        assert_eq!(problems(which, text), [message], "{text}");
    }
    for which in [Which::Main, Which::Users] {
        assert_eq!(problems(which, "[admin]\npassword = \"x\"\n"), [""; 0]);
    }
}

#[test]
fn missing_keys_are_named_once() {
    let text = "[[databases]]\nname = \"a\"\n\n[[databases]]\nname = 1\nhost = \"h\"\n";
    assert_eq!(
        problems(Which::Main, text),
        [
            "pgdog.toml:1: [[databases]]: `host` is missing",
            "pgdog.toml:5: [[databases]]: `name` has to be a string that is not empty and has no zero byte, this is an integer",
        ]
    );
}

#[test]
fn all_mistakes_of_a_file_come_in_one_run() {
    let text = "[general]\nport = \"a\"\nhots = \"b\"\nworkers = -1\n[tcp]\nkeepalive = 3\n[wrong]\n";
    assert_eq!(problems(Which::Main, text).len(), 5);
}

#[test]
fn text_that_is_not_toml_is_reported_without_its_content() {
    let text = "[[users]]\nname = \"a\"\npassword = \"sesame-open\nport 5\n[broken\n";
    let messages = problems(Which::Users, text);
    assert!(messages.len() > 1, "{messages:?}");
    assert!(messages[0].starts_with("users.toml:3: this is not TOML: "), "{messages:?}");
    assert!(messages.iter().all(|message| !message.contains("sesame")), "{messages:?}");
}

#[test]
fn no_message_repeats_a_string_that_may_be_secret() {
    let text = "[[users]]\nname = 1\npassword = [\"sesame\"]\nserver_password = { a = \"sesame\" }\npasswords = \"sesame\"\npasword = \"sesame\"\n";
    let messages = problems(Which::Users, text);
    assert_eq!(messages.len(), 5, "{messages:?}");
    assert!(messages.iter().all(|message| !message.contains("sesame")), "{messages:?}");
}

#[test]
fn a_file_above_the_bound_is_refused_unread() {
    let text = " ".repeat(MAX_FILE + 1);
    assert_eq!(problems(Which::Main, &text), ["pgdog.toml:1: the file has 33554433 bytes, which is more than 33554432"]);
}

#[test]
fn hostile_text_is_an_error_and_not_a_crash() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let keys = format!("{} = 1", vec!["a"; 100_000].join("."));
    for text in [deep.as_str(), keys.as_str(), "\0", "[general]\nport = 1\nport = 2", "a = '\u{7f}'", "[general", "\u{feff}\u{feff}x = 1", "= ="] {
        assert!(!problems(Which::Main, text).is_empty());
    }
}

#[test]
fn variables_are_read_as_people_write_them() {
    let general = section_named("general").unwrap();
    let value = |key: &str, text: &str| from_variable(general.key(key).unwrap(), text);
    for (text, flag) in [("true", true), ("1", true), ("Yes", true), ("on", true), ("false", false), ("0", false), ("no", false), ("OFF", false)] {
        assert!(value("log_connections", text) == Ok(Value::Bool(flag)), "{text}");
    }
    assert!(value("log_connections", "maybe").is_err());
    assert!(value("port", "7000") == Ok(Value::Int(7_000)));
    assert!(value("port", "70000").is_err());
    assert!(value("port", "5s").is_err());
    assert!(value("connection_recovery", "rollbackonly") == Ok(Value::Text("rollback_only".to_owned())));
    assert!(value("pooler_mode", "Session") == Ok(Value::Text("session".to_owned())));
    assert!(value("pooler_mode", "sessions").is_err());
    assert!(value("mirror_exposure", "0.5") == Ok(Value::Float(0.5)));
    assert!(value("mirror_exposure", "NaN").is_err());
    assert!(value("host", "a\0b").is_err());
}

#[test]
fn a_file_of_mistakes_gets_suggestions_for_the_first_ones_only() {
    let text: String = std::iter::once("[general]\n".to_owned()).chain((0..2_000).map(|n| format!("checkout_timeout{n} = 1\n"))).collect();
    let mut findings = Findings::new("m", "u");
    read(Which::Main, Source { name: "m", text: &text }, &mut findings);
    let problems = findings.verdict().expect_err("unknown keys");
    let suggested = problems.iter().filter(|problem| problem.to_string().ends_with("did you mean `checkout_timeout`?"));
    assert_eq!((problems.len(), suggested.count()), (2_000, SUGGESTIONS_MAX));
}
