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
        assert!(matches!(args.command, Some(Command::Run)));
    }
}

#[test]
fn commands_are_pgdogs() {
    assert!(matches!(parse(&["configcheck"]).unwrap().command, Some(Command::Configcheck)));
    assert!(matches!(parse(&["hash", "sesame"]).unwrap().command, Some(Command::Hash { password }) if password == "sesame"));
    assert!(parse(&["hash"]).is_none());
    assert!(parse(&["rum"]).is_none());
}
