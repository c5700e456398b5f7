//! Each command taken and refused, and texts that nobody would type.

use super::*;

fn table(name: &str) -> Show {
    Show::Table(shows().find(|def| def.name == name).unwrap())
}

fn read(text: &str) -> Command {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn refused(text: &str) -> CommandError {
    let error = parse(text.as_bytes()).expect_err(text);
    assert_eq!(error.sqlstate(), "08P01");
    error
}

#[test]
fn every_show_is_taken_however_it_is_typed() {
    for def in shows() {
        let upper = def.name.to_ascii_uppercase();
        for text in [
            format!("SHOW {upper}"),
            format!("show {};", def.name),
            format!("  \t\r\n ShOw\n\n{upper}  ;; ; "),
            format!("-- what is there?\nSHOW/* a /* nested */ ; one */{upper}--;"),
        ] {
            assert_eq!(read(&text), Command::Show(table(def.name), None), "{text:?}");
        }
        assert_eq!(read(&format!("SHOW {upper}")).tag(), "SHOW");
    }
}

#[test]
fn clients_and_servers_take_columns() {
    let chosen = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for text in ["SHOW CLIENTS id,state", "show clients ID , State;", "SHOW CLIENTS id state id"] {
        assert_eq!(read(text), Command::Show(table("clients"), chosen(&["id", "state"])), "{text}");
    }
    assert_eq!(read("SHOW SERVERS \"age\""), Command::Show(table("servers"), chosen(&["age"])));
    for text in ["SHOW CLIENTS id,,state", "SHOW CLIENTS ,id", "SHOW CLIENTS id,", "SHOW CLIENTS (id)", "SHOW SERVERS 'age'", "SHOW POOLS id"] {
        assert!(matches!(refused(text), CommandError::Arguments { .. }), "{text}");
    }
    let error = refused("SHOW CLIENTS id, stat");
    assert_eq!(error.to_string(), "SHOW CLIENTS has no column \"stat\"; the nearest is \"state\"");
    assert!(matches!(refused("SHOW CLIENTS age"), CommandError::Column { .. }), "a column of servers only");
}

#[test]
fn an_unknown_variable_is_shown_by_its_name() {
    for (text, name) in [
        ("SHOW server_version", "server_version"),
        ("SHOW Extra_Float_Digits;", "extra_float_digits"),
        ("SHOW pgdog.shard", "pgdog.shard"),
        ("SHOW \"My.Var\"", "My.Var"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
        ("SHOW TIME ZONE", "timezone"),
        ("SHOW SESSION AUTHORIZATION", "session_authorization"),
        ("SHOW ALL", "all"),
    ] {
        assert_eq!(read(text), Command::Show(Show::Variable(name.to_owned()), None), "{text}");
    }
    for text in ["SHOW", "SHOW ;", "SHOW a b", "SHOW 'a'", "SHOW \"\"", "SHOW =", "SHOW transaction isolation", "SHOW time zone x"] {
        assert!(matches!(refused(text), CommandError::Arguments { .. }), "{text}");
    }
}

#[test]
fn what_others_have_and_we_have_not_is_never_made_up() {
    for name in UNBUILT_SHOWS {
        assert!(!shows().any(|def| def.name == *name), "{name} is built: take it off the list");
        for text in [format!("SHOW {name}"), format!("show {} x;", name.to_ascii_uppercase()), format!("SHOW {}", name.replace(' ', " /**/ "))] {
            let error = refused(&text);
            assert_eq!(error.to_string(), format!("SHOW {} is not built in pg_dog yet", name.to_ascii_uppercase()), "{text}");
        }
    }
    for name in UNBUILT_ACTING {
        for text in [(*name).to_owned(), format!("{} ON x 1", name.to_ascii_uppercase())] {
            assert_eq!(refused(&text).to_string(), format!("{} is not built in pg_dog yet", name.to_ascii_uppercase()), "{text}");
        }
    }
    for name in UNBUILT_SETTINGS {
        for text in [format!("SET {name} TO 1"), format!("set session {} = 'x';", name.to_ascii_uppercase()), format!("SET {name} TO")] {
            assert_eq!(refused(&text), CommandError::SettingNotBuilt { name: (*name).to_owned() }, "{text}");
        }
    }
}

#[test]
fn what_drivers_set_when_they_connect_is_taken() {
    for (text, name, value) in [
        ("SET extra_float_digits = 3", "extra_float_digits", "3"),
        ("SET Application_Name TO 'it''s me; really'", "application_name", "it's me; really"),
        ("SET SESSION search_path TO \"$user\", public", "search_path", "$user, public"),
        ("SET LOCAL x=''", "x", ""),
        ("SET session TO 1", "session", "1"),
        ("SET DateStyle = ISO,MDY;", "datestyle", "ISO, MDY"),
        ("SET TIME ZONE 'Europe/Berlin'", "timezone", "Europe/Berlin"),
        ("SET timezone TO DEFAULT", "timezone", "DEFAULT"),
        ("SET NAMES 'UTF8'", "client_encoding", "UTF8"),
        ("SET ROLE bob", "role", "bob"),
        ("SET TRANSACTION READ ONLY", "transaction", "READ ONLY"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "session_characteristics", "TRANSACTION READ ONLY"),
        ("SET SESSION AUTHORIZATION bob", "session_authorization", "bob"),
    ] {
        assert_eq!(read(text), Command::Set { name: name.to_owned(), value: value.to_owned() }, "{text}");
    }
    assert_eq!(read("SET a TO b").tag(), "SET");
    for text in
        ["SET", "SET x", "SET x y", "SET x TO", "SET x =", "SET = 1", "SET x TO ,", "SET x TO a,", "SET x TO a,,b", "SET 'x' TO 1", "SET ROLE"]
    {
        assert!(matches!(refused(text), CommandError::Arguments { .. }), "{text}");
    }
}

#[test]
fn acting_commands_take_their_arguments_and_no_others() {
    assert_eq!(read("reload ;"), Command::Reload);
    assert_eq!(read("Reset Prepared;"), Command::ResetPrepared);
    assert_eq!(refused("RESET QUERY_CACHE").to_string(), "RESET QUERY_CACHE is not built in pg_dog yet");
    for text in ["RESET", "RESET ALL", "RESET PREPARED x"] {
        assert!(matches!(refused(text), CommandError::Arguments { .. }), "{text}");
    }
    assert_eq!(read("Shutdown"), Command::Shutdown(Ending::Drain));
    assert_eq!(read("shutdown wait_for_servers"), Command::Shutdown(Ending::Servers));
    assert_eq!(read("SHUTDOWN WAIT_FOR_CLIENTS;"), Command::Shutdown(Ending::Clients));
    let scope = |user: &str, database: &str| {
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Scope { user: name(user), database: name(database) }
    };
    assert_eq!(read("PAUSE"), Command::Pause(Scope::default()));
    assert_eq!(read("pause Sales-1.eu"), Command::Pause(scope("", "sales-1.eu")));
    assert_eq!(read("PAUSE bob \"Sales \"\"x\"\"\""), Command::Pause(scope("bob", "Sales \"x\"")));
    assert_eq!(read("RESUME"), Command::Resume(Scope::default()));
    assert_eq!(read("resume sales;"), Command::Resume(scope("", "sales")));
    assert_eq!(read("RESUME bob sales"), Command::Resume(scope("bob", "sales")));
    assert_eq!(read("RECONNECT"), Command::Reconnect(Scope::default()));
    assert_eq!(read("reconnect sales"), Command::Reconnect(scope("", "sales")));
    assert_eq!(read("WAIT_CLOSE Sales"), Command::WaitClose(scope("", "sales")));
    assert_eq!(read("maintenance On"), Command::Maintenance { on: true, scope: Scope::default() });
    assert_eq!(read("MAINTENANCE OFF Sales;"), Command::Maintenance { on: false, scope: scope("", "sales") });
    assert_eq!(read("DISABLE sales"), Command::Disable("sales".to_owned()));
    assert_eq!(read("enable \"Sales\""), Command::Enable("Sales".to_owned()));
    assert_eq!(read("KILL sales"), Command::Kill("sales".to_owned()));
    assert_eq!(read("KILL_CLIENT 16777217"), Command::KillClient(16_777_217));
    for text in ["", " ", ";", ";;\n;", "-- nothing", "/* nothing */;"] {
        assert_eq!(read(text), Command::Empty, "{text:?}");
    }
    let tags: Vec<_> = ["RELOAD", "SHUTDOWN", "PAUSE", "RESUME", ""].iter().map(|text| read(text).tag()).collect();
    assert_eq!(tags, ["RELOAD", "SHUTDOWN", "PAUSE", "RESUME", ""]);
    for text in REFUSED_ARGUMENTS {
        assert!(matches!(refused(text), CommandError::Arguments { .. }), "{text}");
    }
}

/// Right words, wrong arguments.
const REFUSED_ARGUMENTS: &[&str] = &[
    "RELOAD now",
    "SHUTDOWN WAIT_FOR_NOBODY",
    "SHUTDOWN WAIT_FOR_CLIENTS now",
    "SHUTDOWN 'WAIT_FOR_CLIENTS'",
    "PAUSE a b c",
    "PAUSE 'a'",
    "PAUSE a,b",
    "RESUME \"\"",
    "RESUME =",
    "RECONNECT a b",
    "WAIT_CLOSE a b",
    "MAINTENANCE",
    "MAINTENANCE maybe",
    "MAINTENANCE ON a b",
    "MAINTENANCE 'on'",
    "DISABLE",
    "DISABLE a b",
    "ENABLE",
    "KILL",
    "KILL a b",
    "KILL_CLIENT",
    "KILL_CLIENT x",
    "KILL_CLIENT -1",
    "KILL_CLIENT 99999999999",
];

#[test]
fn settings_are_judged_by_their_rows() {
    for row in section_named("general").unwrap().keys() {
        let text = format!("SET {} TO 1", row.name.to_ascii_uppercase());
        match parse(text.as_bytes()) {
            Ok(Command::Configure { key, value }) => {
                assert_eq!((key, value.as_str(), row.kind, row.reloadable), (row.name, "1", Kind::Built, true));
            }
            Err(CommandError::SettingNotBuilt { .. }) => assert_ne!(row.kind, Kind::Built, "{text}"),
            Err(CommandError::NeedsRestart { .. }) => assert!(!row.reloadable, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(read("SET max_pool_size = 7"), Command::Configure { key: "default_pool_size", value: "7".to_owned() });
    assert!(refused("SET port TO 1").to_string().contains("restart"));
}

#[test]
fn an_unknown_command_names_the_nearest() {
    for (text, nearest) in [
        ("SHWO POOLS", "SHOW POOLS"),
        ("clients", "SHOW CLIENTS"),
        ("stat", "SHOW STATS"),
        ("relaod now please", "RELOAD"),
        ("shut down", SHUTDOWN_USAGE),
        ("PAUSED", PAUSE_USAGE),
        ("resum sales", RESUME_USAGE),
        ("\"SHOW\" VERSION", "SHOW VERSION"),
    ] {
        match refused(text) {
            CommandError::Unknown { nearest: found, .. } => assert_eq!(found, nearest, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let error = refused("relaod");
    assert_eq!(error.to_string(), "the admin database does not know \"relaod\"; the nearest command is RELOAD");
    assert!(error.hint().unwrap().contains("SHUTDOWN"));
}

#[test]
fn sql_and_the_probes_of_drivers_are_refused() {
    for text in [
        "SELECT version()",
        "select 1",
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "SELECT d.datname FROM pg_catalog.pg_database d ORDER BY 1;",
        "BEGIN",
        "BEGIN READ ONLY;",
        "COMMIT",
        "ROLLBACK",
        "DISCARD X",
        "DEALLOCATE ALL",
        "LISTEN x",
        "COPY t FROM STDIN",
        "EXPLAIN SELECT 1",
        "(SHOW POOLS)",
        "= = =",
    ] {
        assert!(matches!(refused(text), CommandError::Unknown { .. }), "{text}");
    }
    for text in ["SHOW POOLS; SHOW CLIENTS", "SHOW POOLS; SHUTDOWN", "BEGIN; SELECT 1", "SET x TO 'a'; RELOAD --", "SET x TO E'\\'; SHUTDOWN"] {
        assert_eq!(refused(text), CommandError::Several, "{text}");
    }
    assert_eq!(CommandError::SimpleOnly.sqlstate(), "08P01");
}

#[test]
fn hostile_texts_are_refused_and_never_panic() {
    for text in ["'", "\"", "'''", "SHOW 'a", "SHOW \"a", "PAUSE \"a\"\"", "/*", "/* /* */", "/*/"] {
        assert!(matches!(refused(text), CommandError::Unclosed { .. }), "{text}");
    }
    assert_eq!(refused("SHOW\0POOLS"), CommandError::NotText);
    assert_eq!(refused("SHOW POOLS\0"), CommandError::NotText);
    assert_eq!(parse(b"SHOW \xff\xfe"), Err(CommandError::NotText));
    for unit in ["a", ";", "'", "\"", "/*", "--", "\u{1f415}", "SHOW ", "(", ",", "\\", "\u{a0}", "''", "\"a\" "] {
        let long = unit.repeat(1_000_000 / unit.len());
        assert_eq!(refused(&long), CommandError::TooLong { len: long.len() });
        for head in ["", "SHOW ", "SET x TO ", "PAUSE ", "SHOW CLIENTS ", "SET "] {
            let text = format!("{head}{}", unit.repeat((TEXT_MAX - head.len()) / unit.len()));
            if let Err(error) = parse(text.as_bytes()) {
                assert!(error.to_string().len() < 600, "an error repeats little of what it refuses");
            }
        }
    }
    assert!(matches!(refused("\u{1f415} caf\u{e9}"), CommandError::Unknown { .. }));
    assert_eq!(read("PAUSE \u{1f415}"), Command::Pause(Scope::database(Some("\u{1f415}".to_owned()))));
}

#[test]
fn every_cut_and_every_changed_byte_of_a_command_is_read_or_refused() {
    let text = "/* \u{1f415} */ SET \"a\"\"b\" TO 'c''d', e -- f\n;".as_bytes();
    for cut in 0..=text.len() {
        let _ = parse(&text[..cut]);
        let _ = parse(&text[cut..]);
    }
    let mut read = 0;
    for place in 0..text.len() {
        for byte in 0..=255u8 {
            let mut changed = text.to_vec();
            changed[place] = byte;
            match parse(&changed) {
                Ok(Command::Set { .. } | Command::Empty) => read += 1,
                Ok(other) => panic!("{:?} became {other:?}", String::from_utf8_lossy(&changed)),
                Err(error) => assert_eq!(error.sqlstate(), "08P01"),
            }
        }
    }
    assert!(read > text.len(), "each byte at least once unchanged");
}

#[test]
fn no_mixture_of_pieces_panics_or_acts_by_accident() {
    let pieces = ["SHOW", "SET", "SHUTDOWN", "clients", "session", "TO", "=", ",", ";", "'", "\"", "/*", "*/", "--", "\n", " x ", "\u{1f415}"];
    let count = pieces.len();
    for mixture in 0..count.pow(4) {
        let chosen: Vec<&str> = (0..4u32).map(|place| pieces[mixture / count.pow(place) % count]).collect();
        for between in ["", " "] {
            let text = chosen.join(between);
            let acts = matches!(parse(text.as_bytes()), Ok(Command::Shutdown(_)));
            let bare = |piece: &&str| !matches!(*piece, ";" | "\n" | "/*" | "*/" | "--");
            let first = chosen.iter().copied().find(|piece| bare(piece));
            assert!(!acts || first == Some("SHUTDOWN") || text.contains("/*") || text.contains("--"), "{text:?}");
        }
    }
}
