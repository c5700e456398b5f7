//! The same client twice: once through pg_dog, once at PostgreSQL directly. Both say the same and have to hear the same, while other clients of the
//! one server that pg_dog has come in between and have to find it as if it were fresh. PostgreSQL itself is the model: nothing here knows what a
//! statement does.

use super::support::raw::{self, Message};
use super::support::{Login, Raw};
use std::collections::BTreeMap;

/// Everything a session shows of its settings, a row each. Where a value came from is not asked: pg_dog sets back some parameters to the value that
/// they would have by default. Which languages were loaded is the server's own business.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'plpgsql.%' \
    UNION ALL SELECT 'current_user', current_user UNION ALL SELECT 'session_user', session_user \
    UNION ALL SELECT name, current_setting(name, true) FROM (VALUES ('role'), ('my.param'), ('my.other')) v(name)";

/// What the server reports by itself.
const REPORTED: [&str; 13] = [
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "application_name",
    "client_encoding",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "search_path",
    "server_encoding",
    "session_authorization",
    "standard_conforming_strings",
];

/// By name.
pub type Settings = BTreeMap<String, String>;

/// The settings of a session. A custom one that is no more leaves an empty one behind.
pub fn settings(client: &mut Raw) -> Settings {
    let pair = |mut row: Vec<String>| {
        let value = row.pop().expect("two columns");
        let name = row.pop().expect("two columns");
        let value = if name.starts_with("my.") && value == "NULL" { String::new() } else { value };
        (name, value)
    };
    client.rows(SETTINGS).into_iter().map(pair).collect()
}

/// What differs, in words.
pub fn difference(found: &Settings, expected: &Settings) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let differ = names.into_iter().filter(|name| found.get(*name) != expected.get(*name));
    differ.map(|name| format!("{name}: {:?} instead of {:?}", found.get(name), expected.get(name))).collect()
}

/// What of an answer has to be the same. A parameter's report may come earlier or later.
fn heard(messages: Vec<Message>) -> Vec<Message> {
    messages.into_iter().filter(|message| message.tag != b'S').collect()
}

/// One client in two places.
pub struct Twins {
    pub through: Raw,
    pub direct: Raw,
    /// what they said so far, for whoever has to find out why they differ
    said: Vec<String>,
}

impl Twins {
    /// Logs in at both with the same parameters.
    pub fn new(through: &Login, direct: &Login, parameters: &[(&str, &str)]) -> Twins {
        let login = |login: &Login| Raw::try_login(login, parameters).unwrap_or_else(|refusal| panic!("{login:?} {parameters:?}: {refusal:?}"));
        Twins { through: login(through), direct: login(direct), said: vec![format!("{parameters:?}")] }
    }

    /// A query whose answer has to be the same.
    pub fn say(&mut self, sql: &str) {
        self.said.push(sql.to_string());
        self.send(&raw::query(sql), 1);
    }

    /// Any bytes that are answered by so many ReadyForQuery; the answer.
    pub fn send(&mut self, bytes: &[u8], readies: usize) -> Vec<Message> {
        let mut answers = [&mut self.through, &mut self.direct].map(|client| {
            client.send(bytes);
            heard((0..readies).flat_map(|_| client.read_until_ready()).collect())
        });
        let [through, direct] = &answers;
        assert!(through == direct, "{through:?}\ninstead of {direct:?}\nafter {}", self.story());
        std::mem::take(&mut answers[1])
    }

    /// The same, told by a text of its own.
    pub fn send_as(&mut self, told: &str, bytes: &[u8], readies: usize) -> Vec<Message> {
        self.said.push(told.to_string());
        self.send(bytes, readies)
    }

    /// Both have the same settings and were told the same.
    pub fn same(&mut self) {
        let [found, expected] = [&mut self.through, &mut self.direct].map(settings);
        let differ = difference(&found, &expected);
        assert!(differ.is_empty(), "{differ:#?}\nafter {}", self.story());
        for name in REPORTED {
            let told = [self.through.parameter(name), self.direct.parameter(name)];
            assert!(told[0] == told[1], "{name} was reported as {:?} instead of {:?} after {}", told[0], told[1], self.story());
        }
    }

    /// The end of what was said.
    pub fn story(&self) -> String {
        let from = self.said.len().saturating_sub(60);
        let lines = self.said[from..].iter().map(|line| line.chars().take(400).collect::<String>());
        lines.collect::<Vec<_>>().join("\n  ")
    }

    /// In a transaction.
    pub fn is_inside(&self) -> bool {
        self.direct.status != b'I'
    }
}

/// Those who come in between: each must find what a fresh connection to PostgreSQL has.
pub struct Others {
    clients: Vec<(Raw, Settings)>,
    login: Login,
    fresh: Settings,
    turn: usize,
}

/// What one of the others asks for when it connects.
const ASKED: [(&str, &str); 3] = [("work_mem", "9MB"), ("TimeZone", "Asia/Kolkata"), ("application_name", "it's \"other\"")];

impl Others {
    /// Clients of the same user and server.
    pub fn new(through: &Login, direct: &Login) -> Others {
        let mut fresh = Settings::new();
        let clients = [&[][..], &ASKED[..]].map(|asked| {
            let expected = settings(&mut Raw::try_login(direct, asked).expect("the login is right"));
            if asked.is_empty() {
                fresh = expected.clone();
            }
            (Raw::try_login(through, asked).expect("the login is right"), expected)
        });
        Others { clients: clients.into(), login: through.clone(), fresh, turn: 0 }
    }

    /// One of them, each in its turn and now and then a new one, looks at the server.
    pub fn look(&mut self, after: &dyn Fn() -> String) {
        self.turn += 1;
        let mut new = None;
        let (client, expected) = match self.clients.get_mut(self.turn % 3) {
            Some((client, expected)) => (client, &*expected),
            None => (new.insert(Raw::login(&self.login)), &self.fresh),
        };
        let found = settings(client);
        let differ = difference(&found, expected);
        assert!(differ.is_empty(), "another client finds {differ:#?}\nafter {}", after());
    }
}
