//! One text of the simple protocol on the admin database → one command. Invariant: a text is exactly one known command with the right arguments,
//! or it is refused with 08P01 (protocol_violation), the code by which pgcli and others tell a virtual database from a PostgreSQL; nothing is
//! guessed and nothing that acts hides behind a second statement. What a SHOW prints is left to `show`, doing what acts to `control`.

use crate::admin::show::{ShowDef, shows};
use crate::admin::words::{ECHO_MAX, Token, distance, echo, nearest, tokens};
use crate::config::table::{Kind, section_named};

/// Longest text that is read, bytes. The longest honest one is a driver's SET at start-up.
const TEXT_MAX: usize = 16 * 1024;

/// What acts: its first word, its arguments, and what it does (SHOW HELP).
pub(super) const ACTING: &[(&str, &str, &str)] = &[
    ("SET", "SET name TO value", "changes a setting of [general] until the next RELOAD"),
    ("RELOAD", "RELOAD", "reads both configuration files again; nothing changes unless they are right"),
    ("RESET", RESET_USAGE, "forgets the prepared statements that no client has"),
    ("RECONNECT", RECONNECT_USAGE, "replaces all server connections, each as soon as it is free; clients stay"),
    ("PAUSE", PAUSE_USAGE, "gives out no more servers, and answers when those in use have come back; they stay connected"),
    ("RESUME", RESUME_USAGE, "ends PAUSE, KILL and, without a name, SUSPEND"),
    ("MAINTENANCE", MAINTENANCE_USAGE, "holds every new request, for as long as it takes; transactions that are open go on"),
    ("DISABLE", "DISABLE database", "refuses new clients; those that are there stay"),
    ("ENABLE", "ENABLE database", "ends DISABLE"),
    ("KILL", "KILL database", "drops all clients and servers at once, and pauses until RESUME"),
    ("KILL_CLIENT", "KILL_CLIENT id", "drops one client, by its id in SHOW CLIENTS"),
    ("WAIT_CLOSE", "WAIT_CLOSE [database]", "answers when all server connections that RECONNECT replaces are closed"),
    ("SUSPEND", "SUSPEND", "stops reading all sockets but those of admins, and answers when nothing is left to be sent"),
    ("SHUTDOWN", SHUTDOWN_USAGE, "ends pg_dog: transactions may finish, for shutdown_timeout at most; WAIT_FOR_... sets no limit"),
];
const RESET_USAGE: &str = "RESET PREPARED";
const RECONNECT_USAGE: &str = "RECONNECT [database]";
const PAUSE_USAGE: &str = "PAUSE [[user] database]";
const RESUME_USAGE: &str = "RESUME [[user] database]";
const MAINTENANCE_USAGE: &str = "MAINTENANCE { ON | OFF } [database]";
const SHUTDOWN_USAGE: &str = "SHUTDOWN [WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS]";

/// What PgDog shows and we do not yet. An empty answer, as unknown variables get, would be taken for the truth.
const UNBUILT_SHOWS: &[&str] = &["client memory", "qos", "query_plans", "server memory"];

/// What PgDog does and we do not yet.
const UNBUILT_ACTING: &[&str] =
    &["ban", "copy_data", "cutover", "healthcheck", "probe", "replicate", "reshard", "schema_sync", "setup", "stop_task", "unban"];

/// The settings outside `[general]` that PgDog changes while it runs and we do not yet: accepting them would let the operator believe that they
/// hold. Those of `[general]` are judged by their rows.
const UNBUILT_SETTINGS: &[&str] = &["rewrite_enabled", "rewrite_primary_key", "rewrite_shard_key_updates", "rewrite_split_inserts"];

/// What a SHOW shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// rows of a report
    Table(&'static ShowDef),
    /// a variable of PostgreSQL's, by name (in lower case unless it was quoted)
    Variable(String),
}

/// Which pools a command is about. No user: of all users; no database: all databases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub user: Option<String>,
    pub database: Option<String>,
}

impl Scope {
    /// All pools of one database, or of all.
    pub fn database(database: Option<String>) -> Scope {
        Scope { user: None, database }
    }

    /// Whether this user's pool of this database is one of them.
    pub fn covers(&self, user: &str, database: &str) -> bool {
        self.user.as_ref().is_none_or(|named| named == user) && self.database.as_ref().is_none_or(|named| named == database)
    }

    /// Every pool there is.
    pub fn is_all(&self) -> bool {
        self.user.is_none() && self.database.is_none()
    }
}

/// What SHUTDOWN waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// transactions, for `shutdown_timeout` at most
    Drain,
    /// transactions, however long they take
    Servers,
    /// all clients, who go on as if nothing had been said
    Clients,
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
    /// a setting of `[general]` that can change while pg_dog runs, by the name of its row
    Configure {
        key: &'static str,
        value: String,
    },
    Reload,
    ResetPrepared,
    Reconnect(Scope),
    Pause(Scope),
    Resume(Scope),
    Maintenance {
        on: bool,
        scope: Scope,
    },
    Disable(String),
    Enable(String),
    Kill(String),
    KillClient(u32),
    WaitClose(Scope),
    Suspend,
    Shutdown(Ending),
    /// nothing but space and comments
    Empty,
}

impl Command {
    /// The tag of its CommandComplete; empty for `Empty`, which has none.
    pub fn tag(&self) -> &'static str {
        match self {
            Command::Show(..) => "SHOW",
            Command::Set { .. } | Command::Configure { .. } => "SET",
            Command::Reload => "RELOAD",
            Command::ResetPrepared => "RESET",
            Command::Reconnect(_) => "RECONNECT",
            Command::Pause(_) => "PAUSE",
            Command::Resume(_) => "RESUME",
            Command::Maintenance { .. } => "MAINTENANCE",
            Command::Disable(_) => "DISABLE",
            Command::Enable(_) => "ENABLE",
            Command::Kill(_) => "KILL",
            Command::KillClient(_) => "KILL_CLIENT",
            Command::WaitClose(_) => "WAIT_CLOSE",
            Command::Suspend => "SUSPEND",
            Command::Shutdown(_) => "SHUTDOWN",
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
    #[error("SET {name} is not built in pg_dog yet")]
    SettingNotBuilt { name: String },
    #[error("{name} takes effect at the next start only: change it in the configuration file and restart pg_dog")]
    NeedsRestart { name: String },
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
                Some("This is pg_dog's admin database, which runs no SQL: SHOW HELP lists what it takes, from SHOW to SHUTDOWN.")
            }
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
        "reset" => match rest.first().and_then(Token::keyword).as_deref() {
            Some("prepared") => alone(&rest[1..], RESET_USAGE, Command::ResetPrepared),
            Some("query_cache") => Err(CommandError::NotBuilt { command: "RESET QUERY_CACHE".to_owned() }),
            _ => Err(arguments(RESET_USAGE)),
        },
        "reconnect" => Ok(Command::Reconnect(whole(rest, RECONNECT_USAGE)?)),
        "pause" => Ok(Command::Pause(whose(rest, PAUSE_USAGE)?)),
        "resume" => Ok(Command::Resume(whose(rest, RESUME_USAGE)?)),
        "maintenance" => maintenance(rest),
        "disable" => Ok(Command::Disable(named(rest, "DISABLE database")?)),
        "enable" => Ok(Command::Enable(named(rest, "ENABLE database")?)),
        "kill" => Ok(Command::Kill(named(rest, "KILL database")?)),
        "kill_client" => {
            let usage = "KILL_CLIENT id";
            let id = named(rest, usage)?.parse().map_err(|_| arguments(usage))?;
            Ok(Command::KillClient(id))
        }
        "wait_close" => Ok(Command::WaitClose(whole(rest, "WAIT_CLOSE [database]")?)),
        "suspend" => alone(rest, "SUSPEND", Command::Suspend),
        "shutdown" => {
            let keyword = rest.first().map(|token| token.keyword().unwrap_or_default());
            match (keyword.as_deref(), rest.len()) {
                (None, _) => Ok(Command::Shutdown(Ending::Drain)),
                (Some("wait_for_servers"), 1) => Ok(Command::Shutdown(Ending::Servers)),
                (Some("wait_for_clients"), 1) => Ok(Command::Shutdown(Ending::Clients)),
                _ => Err(arguments(SHUTDOWN_USAGE)),
            }
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
fn whose(rest: &[Token], usage: &str) -> Result<Scope, CommandError> {
    let name = |token: &Token| token.name().ok_or_else(|| arguments(usage));
    match rest {
        [] => Ok(Scope::default()),
        [database] => Ok(Scope::database(Some(name(database)?))),
        [user, database] => Ok(Scope { user: Some(name(user)?), database: Some(name(database)?) }),
        _ => Err(arguments(usage)),
    }
}

/// `[database]`.
fn whole(rest: &[Token], usage: &str) -> Result<Scope, CommandError> {
    if rest.len() > 1 { Err(arguments(usage)) } else { whose(rest, usage) }
}

/// `name`.
fn named(rest: &[Token], usage: &str) -> Result<String, CommandError> {
    match rest {
        [name] => name.name().ok_or_else(|| arguments(usage)),
        _ => Err(arguments(usage)),
    }
}

fn maintenance(rest: &[Token]) -> Result<Command, CommandError> {
    let on = match rest.first().and_then(Token::keyword).as_deref() {
        Some("on") => true,
        Some("off") => false,
        _ => return Err(arguments(MAINTENANCE_USAGE)),
    };
    let scope = whole(rest.get(1..).unwrap_or_default(), MAINTENANCE_USAGE)?;
    Ok(Command::Maintenance { on, scope })
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
    if let Some(def) = shows().find(|def| def.name == lower) {
        return Ok(Command::Show(Show::Table(def), columns(def, arguments_of)?));
    }
    if let Some(def) = shows().find(|def| def.name == two_words) {
        return Ok(Command::Show(Show::Table(def), columns(def, &arguments_of[1..])?));
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
    let value = value(values).ok_or_else(usage)?;
    match section_named("general").and_then(|general| general.key(&name)) {
        Some(row) if row.kind != Kind::Built => Err(CommandError::SettingNotBuilt { name }),
        Some(row) if !row.reloadable => Err(CommandError::NeedsRestart { name }),
        Some(row) => Ok(Command::Configure { key: row.name, value }),
        None => Ok(Command::Set { name, value }),
    }
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
    let shown: Vec<String> = shows().map(|def| format!("SHOW {}", def.name.to_ascii_uppercase())).collect();
    let commands = || ACTING.iter().map(|command| command.0).chain(shown.iter().map(String::as_str));
    // The first word alone finds what has lost its SHOW, and RELOAD in "relaod now".
    let first = said.split(' ').next().unwrap_or_default();
    let of_show = shows().map(|def| def.name).min_by_key(|name| distance(first, name));
    let by_name = of_show.map(|name| (distance(first, name), format!("SHOW {}", name.to_ascii_uppercase())));
    let by_text = nearest(&said, commands()).map(|command| (distance(&said, command), command.to_owned()));
    let by_first = nearest(first, commands()).map(|command| (distance(first, command), command.to_owned()));
    let nearest = [by_text, by_first, by_name].into_iter().flatten().min_by_key(|found| found.0).map(|found| found.1);
    let usage = |name: String| ACTING.iter().find(|command| command.0 == name).map_or(name, |command| command.1.to_owned());
    CommandError::Unknown { said, nearest: nearest.map(usage).unwrap_or_default() }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
