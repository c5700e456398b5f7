//! The toy language that simulated clients speak to simulated servers, and the little SQL that a pooler may say on its own.

use crate::own_words::{self, Own};

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Empty,
    /// `rows` rows that carry `tag` and `mark`, with `bytes` of filling, after `slow_us`
    Rows {
        tag: Tag,
        mark: u64,
        rows: usize,
        bytes: usize,
        slow_us: u64,
    },
    /// fails with the tag in its message
    Error(u64),
    Begin,
    Commit,
    Rollback,
    /// CopyData of this tag come in
    CopyIn(u64),
    /// `rows` CopyData of this tag go out
    CopyOut {
        tag: u64,
        rows: usize,
    },
    /// a session parameter
    Set(String, String),
    /// SQL's PREPARE, of rows whose tag EXECUTE brings
    Prepare(String, Box<Statement>),
    /// and its EXECUTE, with that tag
    Execute(String, u64),
    Deallocate(String),
    DeallocateAll,
    /// what the pooler says of its own accord
    Own(Own),
}

/// Where a tag comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Is(u64),
    /// the first parameter of Bind
    Bound,
}

impl Statement {
    /// Whether it may run in a failed transaction.
    pub fn ends_transaction(&self) -> bool {
        matches!(self, Statement::Commit | Statement::Rollback)
    }

    /// Whether it answers with rows.
    pub fn has_rows(&self) -> bool {
        matches!(self, Statement::Rows { .. } | Statement::Own(Own::Set(_) | Own::Ask(_)))
    }

    /// As a client writes it.
    pub fn write(&self) -> String {
        match self {
            Statement::Empty => String::new(),
            Statement::Rows { tag, mark, rows, bytes, slow_us } => {
                let tag = match tag {
                    Tag::Is(tag) => tag.to_string(),
                    Tag::Bound => "$1".to_string(),
                };
                format!("tag {tag} mark {mark} rows {rows} bytes {bytes} slow {slow_us}")
            }
            Statement::Error(tag) => format!("error {tag}"),
            Statement::Begin => "begin".to_string(),
            Statement::Commit => "commit".to_string(),
            Statement::Rollback => "rollback".to_string(),
            Statement::CopyIn(tag) => format!("copyin {tag}"),
            Statement::CopyOut { tag, rows } => format!("copyout {tag} {rows}"),
            Statement::Set(name, value) => format!("set {name} to '{value}'"),
            Statement::Prepare(name, statement) => format!("prepare {name} (bigint) as {}", statement.write()),
            Statement::Execute(name, tag) => format!("execute {name} ({tag})"),
            Statement::Deallocate(name) => format!("deallocate {name}"),
            Statement::DeallocateAll => "deallocate all".to_string(),
            Statement::Own(_) => unreachable!("clients here do not say that"),
        }
    }

    /// Reads one statement.
    pub fn read(text: &str) -> Statement {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or_else(|| panic!("no number in {text:?}"));
        match words.as_slice() {
            [] => Statement::Empty,
            ["tag", tag, "mark", _, "rows", _, "bytes", _, "slow", _] => Statement::Rows {
                tag: if *tag == "$1" { Tag::Bound } else { Tag::Is(number(1)) },
                mark: number(3),
                rows: number(5) as usize,
                bytes: number(7) as usize,
                slow_us: number(9),
            },
            ["error", _] => Statement::Error(number(1)),
            ["begin"] => Statement::Begin,
            ["commit"] => Statement::Commit,
            ["rollback"] => Statement::Rollback,
            ["copyin", _] => Statement::CopyIn(number(1)),
            ["copyout", _, _] => Statement::CopyOut { tag: number(1), rows: number(2) as usize },
            ["set", name, "to", ..] => {
                let value = literals(text).pop().unwrap_or_else(|| panic!("no value in {text:?}"));
                Statement::Set(name.to_string(), value)
            }
            ["prepare", name, "(bigint)", "as", ..] => {
                let (_, what) = lower.split_once(" as ").expect("it was just read");
                Statement::Prepare(name.to_string(), Box::new(Statement::read(what)))
            }
            ["execute", name, tag] => {
                let tag = tag.trim_matches(['(', ')']).parse().unwrap_or_else(|_| panic!("no tag in {text:?}"));
                Statement::Execute(name.to_string(), tag)
            }
            ["deallocate", "all"] => Statement::DeallocateAll,
            ["deallocate", name] if !name.starts_with("__pgdog_") => Statement::Deallocate(name.to_string()),
            _ => match own_words::read(text) {
                Some(own) => Statement::Own(own),
                None => panic!("a simulated server was told {text:?}, which nobody here says"),
            },
        }
    }

    /// Reads the statements of one query text.
    pub fn read_all(text: &str) -> Vec<Statement> {
        let mut quoted = false;
        let parts = text.split(|c| {
            quoted ^= c == '\'';
            c == ';' && !quoted
        });
        let all: Vec<Statement> = parts.map(Statement::read).filter(|one| *one != Statement::Empty).collect();
        if all.is_empty() { vec![Statement::Empty] } else { all }
    }
}

/// The quoted strings of a text, none of which holds a quote or a backslash here.
fn literals(text: &str) -> Vec<String> {
    text.split('\'').skip(1).step_by(2).map(str::to_string).collect()
}
