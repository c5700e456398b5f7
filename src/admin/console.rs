//! One text of the simple protocol on the admin database → one command. Invariant: a text is exactly one known command with the right arguments,
//! or it is refused with 08P01 (protocol_violation), the code by which pgcli and others tell a virtual database from a PostgreSQL; nothing is
//! guessed and nothing that acts hides behind a second statement. What a SHOW prints is left to `show`, doing what acts to `control`.

use crate::admin::show::{SHOWS, ShowDef};

/// Longest text that is read, bytes. The longest honest one is a driver's SET at start-up.
const TEXT_MAX: usize = 16 * 1024;

/// How much of an unknown word an error repeats, and is compared with known commands, characters.
const ECHO_MAX: usize = 32;

/// What acts, each with its arguments.
const ACTING: &[(&str, &str)] =
    &[("SET", "SET name TO value"), ("RELOAD", "RELOAD"), ("PAUSE", PAUSE_USAGE), ("RESUME", RESUME_USAGE), ("SHUTDOWN", "SHUTDOWN")];
const PAUSE_USAGE: &str = "PAUSE [[user] database]";
const RESUME_USAGE: &str = "RESUME [[user] database]";

/// What PgDog or PgBouncer show and we do not yet. An empty answer, as unknown variables get, would be taken for the truth.
const UNBUILT_SHOWS: &[&str] = &[
    // PgDog's
    "bans",
    "client memory",
    "instance_id",
    "listeners",
    "mirrors",
    "peers",
    "prepared",
    "qos",
    "query_cache",
    "query_plans",
    "replication",
    "replication_slots",
    "schema_sync",
    "server memory",
    "table_copies",
    "tasks",
    "transactions",
    // PgBouncer's
    "active_sockets",
    "databases",
    "dns_hosts",
    "dns_zones",
    "fds",
    "help",
    "peer_pools",
    "sockets",
    "state",
    "stats_averages",
    "stats_totals",
    "totals",
    "users",
];

/// What PgDog or PgBouncer do and we do not yet.
const UNBUILT_ACTING: &[&str] = &[
    // PgDog's
    "ban",
    "copy_data",
    "cutover",
    "healthcheck",
    "maintenance",
    "probe",
    "reconnect",
    "replicate",
    "reset",
    "reshard",
    "schema_sync",
    "setup",
    "stop_task",
    "unban",
    // PgBouncer's
    "disable",
    "enable",
    "kill",
    "kill_client",
    "suspend",
    "wait_close",
];

/// The settings that PgDog changes while it runs and we do not yet: accepting them would let the operator believe that they hold.
const UNBUILT_SETTINGS: &[&str] = &[
    "auth_type",
    "ban_timeout",
    "canonicalize_type_information",
    "checkout_timeout",
    "client_connection_recovery",
    "client_idle_in_transaction_timeout",
    "connect_timeout",
    "connection_recovery",
    "cross_shard_disabled",
    "default_pool_size",
    "dry_run",
    "healthcheck_interval",
    "idle_healthcheck_delay",
    "idle_healthcheck_interval",
    "load_balancing_strategy",
    "passthrough_auth",
    "prepared_statements",
    "prepared_statements_limit",
    "query_parser",
    "query_timeout",
    "read_write_split",
    "read_write_strategy",
    "reload_schema_on_ddl",
    "rewrite_enabled",
    "rewrite_primary_key",
    "rewrite_shard_key_updates",
    "rewrite_split_inserts",
    "tls_client_required",
    "two_phase_commit",
    "two_phase_commit_auto",
];

/// What a SHOW shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// rows of a report
    Table(&'static ShowDef),
    /// a variable of PostgreSQL's, by name (in lower case unless it was quoted)
    Variable(String),
}

/// One command of the operator. Names are in lower case unless they were in double quotes.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// with the columns to show, if not all; they exist
    Show(Show, Option<Vec<String>>),
    /// a variable that we do not have (a driver's start-up): accepted and ignored, as PgDog does
    Set {
        name: String,
        value: String,
    },
    Reload,
    /// no user: of all users; no database: all databases
    Pause {
        user: Option<String>,
        database: Option<String>,
    },
    /// as `Pause`
    Resume {
        user: Option<String>,
        database: Option<String>,
    },
    Shutdown,
    /// nothing but space and comments
    Empty,
}

impl Command {
    /// The tag of its CommandComplete; empty for `Empty`, which has none.
    pub fn tag(&self) -> &'static str {
        match self {
            Command::Show(..) => "SHOW",
            Command::Set { .. } => "SET",
            Command::Reload => "RELOAD",
            Command::Pause { .. } => "PAUSE",
            Command::Resume { .. } => "RESUME",
            Command::Shutdown => "SHUTDOWN",
            Command::Empty => "",
        }
    }
}

/// Why a text is no command. Each is the operator's (or his driver's) to put right; the message says how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("the admin database does not know {said:?}; the nearest command is {nearest}")]
    Unknown { said: String, nearest: String },
    #[error("wrong arguments: the command is {usage}")]
    Arguments { usage: String },
    #[error("SHOW {show} has no column {said:?}; the nearest is {nearest:?}")]
    Column { show: String, said: String, nearest: String },
    #[error("{command} is not built in pg_dog yet")]
    NotBuilt { command: String },
    #[error("SET {name} is not built in pg_dog yet; change it in the configuration file and RELOAD")]
    SettingNotBuilt { name: String },
    #[error("the admin database takes one statement at a time")]
    Several,
    #[error("the admin database understands the simple query protocol only: no prepared statements, no COPY, no function calls")]
    SimpleOnly,
    #[error("a {what} is not closed")]
    Unclosed { what: &'static str },
    #[error("the command is not UTF-8 text without zero bytes")]
    NotText,
    #[error("the command has {len} bytes, the admin database reads up to {TEXT_MAX}")]
    TooLong { len: usize },
}

impl CommandError {
    /// Always protocol_violation, as PgDog answers.
    pub fn sqlstate(&self) -> &'static str {
        "08P01"
    }

    /// What else to tell the operator.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommandError::Unknown { .. } => {
                Some("This is pg_dog's admin database: it takes SHOW, SET, RELOAD, PAUSE, RESUME and SHUTDOWN, and runs no SQL.")
            }
            _ => None,
        }
    }
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// as it was typed
    Word(String),
    /// without its double quotes
    Name(String),
    /// without its single quotes
    Literal(String),
    /// one of `=` `,` `(` `)`
    Sign(char),
    /// `;`
    End,
}

impl Token {
    /// A word in lower case, as keywords are compared.
    fn keyword(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// The name of a user, a database, a variable or a column, which may be quoted to keep its case.
    fn name(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            Token::Name(name) if !name.is_empty() => Some(name.clone()),
            _ => None,
        }
    }
}

/// Reads the text of one Query message (without the zero byte that ends it).
pub fn parse(text: &[u8]) -> Result<Command, CommandError> {
    if text.len() > TEXT_MAX {
        return Err(CommandError::TooLong { len: text.len() });
    }
    let text = std::str::from_utf8(text).map_err(|_| CommandError::NotText)?;
    if text.contains('\0') {
        return Err(CommandError::NotText);
    }
    let tokens = tokens(text)?;
    let mut statements = tokens.split(|token| *token == Token::End).filter(|statement| !statement.is_empty());
    let Some(statement) = statements.next() else { return Ok(Command::Empty) };
    if statements.next().is_some() {
        return Err(CommandError::Several);
    }
    command(statement)
}

fn command(statement: &[Token]) -> Result<Command, CommandError> {
    let Some((head, rest)) = statement.split_first() else { return Ok(Command::Empty) };
    let Some(head) = head.keyword() else { return Err(unknown(statement)) };
    match head.as_str() {
        "show" => show(rest),
        "set" => set(rest),
        "reload" => alone(rest, "RELOAD", Command::Reload),
        "shutdown" => alone(rest, "SHUTDOWN", Command::Shutdown),
        "pause" => {
            let (user, database) = whose(rest, PAUSE_USAGE)?;
            Ok(Command::Pause { user, database })
        }
        "resume" => {
            let (user, database) = whose(rest, RESUME_USAGE)?;
            Ok(Command::Resume { user, database })
        }
        other if UNBUILT_ACTING.contains(&other) => Err(CommandError::NotBuilt { command: other.to_ascii_uppercase() }),
        _ => Err(unknown(statement)),
    }
}

fn arguments(usage: &str) -> CommandError {
    CommandError::Arguments { usage: usage.to_owned() }
}

fn alone(rest: &[Token], usage: &str, command: Command) -> Result<Command, CommandError> {
    if rest.is_empty() { Ok(command) } else { Err(arguments(usage)) }
}

/// `[[user] database]`.
fn whose(rest: &[Token], usage: &str) -> Result<(Option<String>, Option<String>), CommandError> {
    let name = |token: &Token| token.name().ok_or_else(|| arguments(usage));
    match rest {
        [] => Ok((None, None)),
        [database] => Ok((None, Some(name(database)?))),
        [user, database] => Ok((Some(name(user)?), Some(name(database)?))),
        _ => Err(arguments(usage)),
    }
}

fn show(rest: &[Token]) -> Result<Command, CommandError> {
    let Some((head, arguments_of)) = rest.split_first() else { return Err(arguments("SHOW name")) };
    let name = head.name().ok_or_else(|| arguments("SHOW name"))?;
    let second = arguments_of.first().and_then(Token::keyword);
    let lower = name.to_ascii_lowercase();
    let two_words = second.map(|second| format!("{lower} {second}")).unwrap_or_default();
    if let Some(unbuilt) = UNBUILT_SHOWS.iter().find(|unbuilt| **unbuilt == lower || **unbuilt == two_words) {
        return Err(CommandError::NotBuilt { command: format!("SHOW {}", unbuilt.to_ascii_uppercase()) });
    }
    if let Some(def) = SHOWS.iter().find(|def| def.name == lower) {
        return Ok(Command::Show(Show::Table(def), columns(def, arguments_of)?));
    }
    // PostgreSQL's grammar has three variables whose names are several words (src/backend/parser/gram.y, VariableShowStmt).
    let spelled: Option<Vec<String>> = rest.iter().map(Token::keyword).collect();
    let name = match spelled.unwrap_or_default().join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        _ if arguments_of.is_empty() => name,
        _ => return Err(arguments("SHOW name")),
    };
    Ok(Command::Show(Show::Variable(name), None))
}

/// The columns after a SHOW that takes them, apart by commas or space; None: all.
fn columns(def: &ShowDef, rest: &[Token]) -> Result<Option<Vec<String>>, CommandError> {
    let show = def.name.to_ascii_uppercase();
    if rest.is_empty() {
        return Ok(None);
    }
    if def.kept.is_none() {
        return Err(arguments(&format!("SHOW {show}")));
    }
    let usage = || arguments(&format!("SHOW {show} [column, ...]"));
    let mut chosen = Vec::new();
    // A comma stands between two names: never first, last or twice.
    let mut comma = true;
    for token in rest {
        if *token == Token::Sign(',') {
            if comma {
                return Err(usage());
            }
            comma = true;
            continue;
        }
        comma = false;
        let name = token.name().ok_or_else(usage)?;
        if !def.columns.iter().any(|column| column.0 == name) {
            let nearest = nearest(&name, def.columns.iter().map(|column| column.0)).unwrap_or_default().to_owned();
            return Err(CommandError::Column { show, said: echo(&name), nearest });
        }
        if !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    if comma { Err(usage()) } else { Ok(Some(chosen)) }
}

/// `SET [SESSION | LOCAL] name { TO | = } value [, value ...]`, and the forms without TO that drivers send when they connect.
fn set(rest: &[Token]) -> Result<Command, CommandError> {
    let usage = || arguments("SET name TO value");
    let word = |place: usize| rest.get(place).and_then(Token::keyword).unwrap_or_default();
    let scope = usize::from(matches!(word(0).as_str(), "session" | "local") && rest.len() > 1 && !is_to(&rest[1]));
    let rest_of = |words: usize| rest.get(scope + words..).unwrap_or_default();
    let (name, values) = match (word(scope).as_str(), word(scope + 1).as_str()) {
        ("time", "zone") => ("timezone".to_owned(), rest_of(2)),
        ("characteristics", "as") if scope == 1 => ("session_characteristics".to_owned(), rest_of(2)),
        ("authorization", _) if scope == 1 => ("session_authorization".to_owned(), rest_of(1)),
        ("names", _) if !rest_of(1).first().is_some_and(is_to) => ("client_encoding".to_owned(), rest_of(1)),
        ("role" | "transaction", _) if !rest_of(1).first().is_some_and(is_to) => (word(scope), rest_of(1)),
        _ => {
            let name = rest_of(0).first().and_then(Token::name).ok_or_else(usage)?.to_ascii_lowercase();
            if !rest_of(1).first().is_some_and(is_to) {
                return Err(usage());
            }
            (name, rest_of(2))
        }
    };
    if UNBUILT_SETTINGS.contains(&name.as_str()) {
        return Err(CommandError::SettingNotBuilt { name });
    }
    Ok(Command::Set { name, value: value(values).ok_or_else(usage)? })
}

fn is_to(token: &Token) -> bool {
    *token == Token::Sign('=') || token.keyword().as_deref() == Some("to")
}

/// A value as one text: its pieces as they were typed, without quotes. None: there is no value, or a comma has nothing on one side.
fn value(tokens: &[Token]) -> Option<String> {
    let mut text = String::new();
    let mut comma = true;
    for token in tokens {
        match token {
            Token::Sign(',') if comma => return None,
            Token::Sign(',') => text.push(','),
            Token::Sign('=') | Token::End => return None,
            _ if !text.is_empty() => text.push(' '),
            _ => {}
        }
        comma = *token == Token::Sign(',');
        match token {
            Token::Word(piece) | Token::Name(piece) | Token::Literal(piece) => text.push_str(piece),
            Token::Sign(sign) if !comma => text.push(*sign),
            _ => {}
        }
    }
    if comma { None } else { Some(text) }
}

/// The pieces of a text: words, quoted names, quoted literals, signs. Comments are space, as in PostgreSQL (they nest).
fn tokens(text: &str) -> Result<Vec<Token>, CommandError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if is_space(first) {
            rest = &rest[1..];
        } else if rest.starts_with("--") {
            rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest)?;
        } else if first == '\'' || first == '"' {
            let (inside, after) = quoted(rest, first)?;
            tokens.push(if first == '"' { Token::Name(inside) } else { Token::Literal(inside) });
            rest = after;
        } else if is_sign(first) {
            tokens.push(if first == ';' { Token::End } else { Token::Sign(first) });
            rest = &rest[1..];
        } else {
            let len = word_len(rest);
            tokens.push(Token::Word(rest[..len].to_owned()));
            rest = &rest[len..];
        }
    }
    Ok(tokens)
}

/// Space as PostgreSQL's scanner has it (src/backend/parser/scan.l).
fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn is_sign(char: char) -> bool {
    matches!(char, ';' | ',' | '=' | '(' | ')')
}

/// Bytes of the word that `text` starts with, at least one character.
fn word_len(text: &str) -> usize {
    let ends = |(at, char): &(usize, char)| {
        let comment = text[*at..].starts_with("--") || text[*at..].starts_with("/*");
        is_space(*char) || is_sign(*char) || *char == '\'' || *char == '"' || comment
    };
    text.char_indices().skip(1).find(ends).map_or(text.len(), |(at, _)| at)
}

/// What follows the comment that `text` starts with.
fn after_comment(text: &str) -> Result<&str, CommandError> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Ok(&text[at..]);
        }
    }
    Err(CommandError::Unclosed { what: "comment" })
}

/// The inside of the quotes that `text` starts with (a doubled quote stands for one), and what follows.
fn quoted(text: &str, quote: char) -> Result<(String, &str), CommandError> {
    let mut inside = String::new();
    let mut rest = &text[1..];
    while let Some(end) = rest.find(quote) {
        inside.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with(quote) {
            return Ok((inside, rest));
        }
        inside.push(quote);
        rest = &rest[1..];
    }
    Err(CommandError::Unclosed { what: if quote == '"' { "quoted name" } else { "quoted string" } })
}

/// The refusal of a statement that begins like no command.
fn unknown(statement: &[Token]) -> CommandError {
    let mut said = String::new();
    for token in statement.iter().take(2) {
        if let Token::Word(piece) | Token::Name(piece) | Token::Literal(piece) = token {
            said.push_str(if said.is_empty() { "" } else { " " });
            said.extend(piece.chars().take(ECHO_MAX));
        }
    }
    let said = echo(&said);
    let shows: Vec<String> = SHOWS.iter().map(|def| format!("SHOW {}", def.name.to_ascii_uppercase())).collect();
    let commands = || ACTING.iter().map(|command| command.0).chain(shows.iter().map(String::as_str));
    // The first word alone finds what has lost its SHOW, and RELOAD in "relaod now".
    let first = said.split(' ').next().unwrap_or_default();
    let of_show = SHOWS.iter().map(|def| def.name).min_by_key(|name| distance(first, name));
    let by_name = of_show.map(|name| (distance(first, name), format!("SHOW {}", name.to_ascii_uppercase())));
    let by_text = nearest(&said, commands()).map(|command| (distance(&said, command), command.to_owned()));
    let by_first = nearest(first, commands()).map(|command| (distance(first, command), command.to_owned()));
    let nearest = [by_text, by_first, by_name].into_iter().flatten().min_by_key(|found| found.0).map(|found| found.1);
    let usage = |name: String| ACTING.iter().find(|command| command.0 == name).map_or(name, |command| command.1.to_owned());
    CommandError::Unknown { said, nearest: nearest.map(usage).unwrap_or_default() }
}

fn nearest<'a>(said: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| distance(said, name))
}

fn echo(said: &str) -> String {
    said.chars().take(ECHO_MAX).collect()
}

/// How many characters have to be put in, taken out or changed to make one text the other, without regard to case (Levenshtein). Both are cut to
/// `ECHO_MAX` characters, so the work is bounded.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_ascii_lowercase().chars().take(ECHO_MAX).collect();
    let mut costs: Vec<usize> = (0..=other.len()).collect();
    for (row, char) in one.to_ascii_lowercase().chars().take(ECHO_MAX).enumerate() {
        let mut diagonal = costs[0];
        costs[0] = row + 1;
        for (at, theirs) in other.iter().enumerate() {
            let change = diagonal + usize::from(char != *theirs);
            diagonal = costs[at + 1];
            costs[at + 1] = change.min(diagonal + 1).min(costs[at] + 1);
        }
    }
    costs.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
