//! A pg_dog between clients and one PostgreSQL, as most of these tests need it, and a look at both from outside.

use super::support::raw::{self, Message};
use super::support::{Dog, Login, Postgres, Raw, SOON, Version, config, config_at, users, wait_until};
use std::collections::HashMap;

/// Makes one test per PostgreSQL of each function.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod debian { $(#[test] fn $name() { super::$name($crate::support::Version::Debian) })+ }
        mod newest { $(#[test] fn $name() { super::$name($crate::support::Version::Newest) })+ }
    };
}

/// pg_dog and its PostgreSQL. pg_dog ends first.
pub struct House {
    pub dog: Dog,
    pub postgres: Postgres,
}

impl House {
    /// Pools of `size` servers for the users `app` and `other`; `general` holds more lines for `[general]`.
    pub fn new(version: Version, size: usize, general: &str) -> House {
        House::with_users(version, size, general, &[("app", ""), ("other", "")])
    }

    /// The same for other users (see `support::users`).
    pub fn with_users(version: Version, size: usize, general: &str, names: &[(&str, &str)]) -> House {
        House::around(Postgres::start(version), size, general, names)
    }

    /// The same in front of a PostgreSQL that is there already.
    pub fn around(postgres: Postgres, size: usize, general: &str, names: &[(&str, &str)]) -> House {
        let dog = Dog::start(&config(&postgres, &general_of(size, general), ""), &users(&postgres, names));
        House { dog, postgres }
    }

    /// The same, and pg_dog reaches PostgreSQL at another port: somebody stands between them.
    pub fn behind(postgres: Postgres, port: u16, size: usize, general: &str) -> House {
        let users = users(&postgres, &[("app", ""), ("other", "")]);
        House { dog: Dog::start(&config_at(port, &general_of(size, general), ""), &users), postgres }
    }

    /// How a user of `Postgres` logs in through pg_dog.
    pub fn login(&self, user: &str) -> Login {
        self.dog.instead_of(&self.postgres.login(user))
    }

    /// A client of the user `app` through pg_dog.
    pub fn client(&self) -> Raw {
        Raw::login(&self.login("app"))
    }

    /// Waits until a client can log in; from then on logins need no server. For limits of time that a busy machine may need for the first one.
    pub fn warm_up(&self) {
        wait_until("the first login", SOON, || Raw::try_login(&self.login("app"), &[]).is_ok());
    }

    /// Looks at pg_dog and at PostgreSQL from outside.
    pub fn watch(&self) -> Watch {
        Watch { admin: Raw::login(&self.dog.admin_login()), direct: Raw::login(&self.postgres.login("postgres")) }
    }

    /// Bytes of memory that pg_dog has had at most so far.
    pub fn peak_memory(&self) -> usize {
        memory(self.dog.pid(), "VmHWM:")
    }
}

/// Lines for `[general]`.
pub fn general_of(size: usize, more: &str) -> String {
    format!("default_pool_size = {size}\nmin_pool_size = 0\n{more}")
}

/// A line of `/proc/<pid>/status` that is measured in kB, as bytes.
pub fn memory(pid: u32, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("pg_dog runs");
    let value = status.lines().find_map(|text| text.strip_prefix(line)).expect("the kernel tells it");
    value.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Connections that look at both sides. PostgreSQL sees everybody but the superuser come through pg_dog.
pub struct Watch {
    pub admin: Raw,
    pub direct: Raw,
}

impl Watch {
    /// A SHOW's rows by column name.
    pub fn show(&mut self, what: &str) -> Vec<HashMap<String, String>> {
        table(&self.admin.query(&format!("SHOW {what}")))
    }

    /// A column of SHOW POOLS, summed over all pools.
    pub fn pools(&mut self, column: &str) -> u64 {
        self.show("POOLS").iter().map(|row| row[column].parse::<u64>().expect("a number")).sum()
    }

    /// How many of PostgreSQL's sessions that pg_dog holds meet a condition on `pg_stat_activity`.
    pub fn sessions(&mut self, condition: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename <> 'postgres' AND backend_type = 'client backend' AND ({condition})");
        one(&mut self.direct, &sql).parse().expect("a count")
    }

    /// Waits until that many sessions meet the condition.
    pub fn wait_for_sessions(&mut self, count: u64, condition: &str) {
        wait_until(&format!("{count} sessions with {condition}"), SOON, || self.sessions(condition) == count);
    }

    /// Waits until nobody works, nobody waits, and both sides count the same servers.
    pub fn wait_until_settled(&mut self) {
        let mut seen = String::new();
        let settled = super::support::poll(SOON, || {
            let counts = ["sv_active", "sv_idle_xact", "cl_waiting", "sv_total"].map(|column| self.pools(column));
            let (busy, all) = (self.sessions("state IS DISTINCT FROM 'idle'"), self.sessions("true"));
            seen = format!("active, idle in transaction, waiting, total: {counts:?}; PostgreSQL: {busy} busy of {all}");
            counts[..3] == [0, 0, 0] && busy == 0 && counts[3] == all
        });
        assert!(settled, "pg_dog and PostgreSQL do not come to rest: {seen}");
    }
}

/// The only value of the only row.
pub fn one(client: &mut Raw, sql: &str) -> String {
    let mut rows = client.rows(sql);
    assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
    rows.remove(0).remove(0)
}

/// The rows of an answer by column name, NULL as an empty text.
pub fn table(messages: &[Message]) -> Vec<HashMap<String, String>> {
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for message in messages {
        match message.tag {
            b'T' => {
                let mut rest = &message.body[2..];
                names.clear();
                while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                    names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
                    rest = &rest[end + 19..];
                }
            }
            b'D' => {
                let values = message.columns().into_iter().map(|value| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned());
                rows.push(names.iter().cloned().zip(values).collect());
            }
            b'E' => panic!("{message:?}"),
            _ => {}
        }
    }
    rows
}

/// The tags of messages, for comparing their order.
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

/// The one error among these messages.
pub fn error(messages: &[Message]) -> HashMap<char, String> {
    let errors: Vec<&Message> = messages.iter().filter(|message| message.tag == b'E').collect();
    assert_eq!(errors.len(), 1, "{messages:?}");
    errors[0].fields()
}

/// The unnamed statement once through: Parse, Bind, Describe, Execute, without Sync.
pub fn extended(sql: &str, values: &[Option<&str>]) -> Vec<u8> {
    [raw::parse("", sql, &[]), raw::bind("", "", values), raw::describe(b'P', ""), raw::execute("", 0)].concat()
}

/// Asks, over a connection of its own, that a client's query be cancelled; returns when that connection is closed.
pub fn cancel(login: &Login, key: &(u32, Vec<u8>)) {
    let mut leg = Raw::connect(login.port);
    leg.send(&raw::cancel_request(key));
    assert_eq!(leg.read_until_closed(), [], "a cancel request has no answer");
}
