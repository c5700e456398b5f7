//! What the options of a COPY FROM make of its rows, as far as somebody who looks for one column in them has to know.
//!
//! Invariant: a format is given only when every row can be cut by it as PostgreSQL does; what changes the column's value in a way that is not known
//! here is refused. Options that only PostgreSQL has to judge (a delimiter that is a line feed, a header of a binary COPY) are left to it: it says
//! so before it takes any row.

use super::plan::{Refusal, Verdict};

/// What the options of a COPY make of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text { delimiter: u8, null: Box<[u8]>, header: bool },
    Csv { delimiter: u8, quote: u8, escape: u8, null: Box<[u8]>, header: bool, force_null: bool, force_not_null: bool },
    Binary,
}

/// One option as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: Box<str>,
    pub to: Given,
}

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Nothing,
    Word(Box<str>),
    Names(Vec<Box<str>>),
    /// `*`
    All,
}

/// The names of the encoding that keys are hashed in.
const UTF8: [&str; 3] = ["utf8", "utf-8", "unicode"];

/// The format that options ask for, for the column `key`.
pub fn format(options: &[Setting], key: &str) -> Verdict<CopyFormat> {
    let last = |name: &str| options.iter().rev().find(|option| *option.name == *name);
    let refused = |reason: String, hint: &'static str| Err(Refusal { hint, ..Refusal::new(reason) });
    for option in options {
        match (&*option.name, &option.to) {
            ("format" | "freeze" | "delimiter" | "null" | "header" | "quote" | "escape" | "force_not_null" | "force_null" | "log_verbosity", _) => {}
            ("on_error", Given::Word(word)) if word.eq_ignore_ascii_case("stop") => {}
            ("encoding", Given::Word(word)) if UTF8.iter().any(|known| word.eq_ignore_ascii_case(known)) => {}
            ("encoding", _) => return refused("COPY in another encoding than UTF8 cannot be split over shards".into(), "Send the rows in UTF8."),
            (name, _) => return refused(format!("COPY with the option \"{name}\" cannot be split over shards"), "Leave the option out."),
        }
    }
    let word = |name: &str| match last(name).map(|option| &option.to) {
        Some(Given::Word(word)) => Some(&**word),
        _ => None,
    };
    let one = |name: &str, otherwise: u8| match word(name).map(str::as_bytes) {
        None => Ok(otherwise),
        Some([byte]) => Ok(*byte),
        Some(_) => Err(Refusal { hint: "", ..Refusal::new(format!("COPY {name} must be a single one-byte character")) }),
    };
    let header = last("header").is_some_and(|option| is_on(&option.to));
    let named = |name: &str| match last(name).map(|option| &option.to) {
        Some(Given::Names(names)) => names.iter().any(|name| **name == *key),
        Some(Given::All) => true,
        _ => false,
    };
    let null = |otherwise: &str| word("null").unwrap_or(otherwise).as_bytes().into();
    match word("format").unwrap_or("text") {
        "text" => Ok(CopyFormat::Text { delimiter: one("delimiter", b'\t')?, null: null("\\N"), header }),
        "csv" => {
            let quote = one("quote", b'"')?;
            Ok(CopyFormat::Csv {
                delimiter: one("delimiter", b',')?,
                quote,
                escape: one("escape", quote)?,
                null: null(""),
                header,
                force_null: named("force_null"),
                force_not_null: named("force_not_null"),
            })
        }
        "binary" => Ok(CopyFormat::Binary),
        other => Err(Refusal { state: "22023", reason: format!("COPY format \"{other}\" not recognized"), hint: "" }),
    }
}

/// Whether HEADER is there: a word that PostgreSQL does not know it refuses itself.
fn is_on(to: &Given) -> bool {
    match to {
        Given::Word(word) => !["false", "off", "0"].iter().any(|no| word.eq_ignore_ascii_case(no)),
        _ => true,
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
