//! Tests of the command line.

use clap::CommandFactory;

use super::*;

fn parse(words: &[&str]) -> Option<Args> {
    Args::try_parse_from(std::iter::once("pg_dog").chain(words.iter().copied())).ok()
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn paths_have_defaults_and_may_stand_on_either_side_of_the_command() {
    let args = parse(&[]).unwrap();
    assert_eq!((args.config, args.users), (PathBuf::from("pgdog.toml"), PathBuf::from("users.toml")));
    assert!(args.command.is_none());
    for words in [["-c", "a", "-u", "b", "run"], ["run", "--config", "a", "--users", "b"]] {
        let args = parse(&words).unwrap();
        assert_eq!((args.config, args.users), (PathBuf::from("a"), PathBuf::from("b")));
        assert!(matches!(args.command, Some(Command::Run { .. })));
    }
}

#[test]
fn the_configuration_may_be_said_on_the_line() {
    let line = parse(&["-d", "postgres://a/b", "--database-url", "postgres://c/d", "run", "--pool-size", "7", "--session-mode"]).unwrap().line();
    assert_eq!((line.database_urls.len(), line.pool_size, line.min_pool_size, line.session_mode), (2, Some(7), None, Some(true)));
    let line = parse(&["run", "--min-pool-size=2", "--session-mode", "false"]).unwrap().line();
    assert_eq!((line.database_urls.len(), line.pool_size, line.min_pool_size, line.session_mode), (0, None, Some(2), Some(false)));
    let line = parse(&["configcheck", "-d", "postgres://a/b"]).unwrap().line();
    assert_eq!((line.database_urls.as_slice(), line.session_mode), (["postgres://a/b".to_owned()].as_slice(), None));
    assert!(parse(&["run", "--pool-size", "-1"]).is_none());
}

#[test]
fn commands_are_pgdogs() {
    assert!(matches!(parse(&["configcheck"]).unwrap().command, Some(Command::Configcheck)));
    assert!(matches!(parse(&["hash", "sesame"]).unwrap().command, Some(Command::Hash { password }) if password == "sesame"));
    assert!(matches!(parse(&["schema", "users"]).unwrap().command, Some(Command::Schema { file: SchemaOf::Users })));
    assert!(matches!(parse(&["settings"]).unwrap().command, Some(Command::Settings)));
    let routed = parse(&["route", "--database", "app", "SELECT 1"]).unwrap().command;
    assert!(matches!(routed, Some(Command::Route { database, sql: Some(sql), .. }) if (database.as_str(), sql.as_str()) == ("app", "SELECT 1")));
    assert!(matches!(parse(&["route", "--database", "app"]).unwrap().command, Some(Command::Route { sql: None, .. })));
    let filed = parse(&["route", "--database", "app", "--user", "u", "-f", "x.sql"]).unwrap().command;
    assert!(matches!(filed, Some(Command::Route { user: Some(user), file: Some(file), sql: None, .. }) if user == "u" && file.ends_with("x.sql")));
    assert!(parse(&["route", "SELECT 1"]).is_none());
    assert!(parse(&["route", "--database", "app", "-f", "x.sql", "SELECT 1"]).is_none());
    assert!(parse(&["schema"]).is_none() && parse(&["schema", "other"]).is_none());
    assert!(parse(&["hash"]).is_none());
    assert!(parse(&["rum"]).is_none());
}
