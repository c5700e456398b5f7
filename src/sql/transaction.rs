//! What a text does to the transaction it stands in, and to what another server would have to be told so that it could join that transaction. Read
//! from its words alone; what cannot be told for sure is `Mixed` or `Unclear`, never passed over.

use super::calls::is_one;
use super::lex::{Kind, Lexer, Token};
use super::single::Word;

/// What a text does to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// nothing
    Nothing,
    /// BEGIN, START TRANSACTION
    Begin,
    /// COMMIT, END; with a new transaction behind it?
    Commit {
        chain: bool,
    },
    /// ROLLBACK, ABORT
    Rollback {
        chain: bool,
    },
    Savepoint(Word<'a>),
    Release(Word<'a>),
    RollbackTo(Word<'a>),
    /// SET, RESET: every server of the transaction has to hear of it
    Set,
    /// PREPARE TRANSACTION
    Prepare,
    /// NOTIFY: a transaction with it cannot be prepared
    Notify,
    /// LISTEN, UNLISTEN
    Listen,
    /// one statement that may set parameters besides what it is, by a function: said again elsewhere it does the same
    Sets,
    /// several statements, of which some set parameters
    Unclear,
    /// several statements, of which some begin or end transactions
    Mixed,
}

/// Words that a statement of this file begins with.
const FIRST: &[&str] = &[
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "set",
    "reset",
    "prepare",
    "notify",
    "listen",
    "unlisten",
    "discard",
];

/// Whether a text may be anything but `Nothing`, by its first letters and by one function's name: hardly any text of an application is.
#[inline]
pub fn may_control(text: &[u8]) -> bool {
    starts(text) || goes_on(text) || sets_by_function(text)
}

/// Something stands behind a semicolon.
fn goes_on(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b';');
    end.is_some_and(|end| !text[end + 1..].trim_ascii_start().is_empty())
}

/// Whether a text may begin with a word that bounds a transaction or sets parameters, by its first letters.
#[inline]
pub fn starts(text: &[u8]) -> bool {
    let [first, second, third, ..] = text.trim_ascii_start() else { return false };
    match first | 0x20 {
        b'b' | b'c' | b'a' | b'd' | b'n' | b'u' | b'l' | b'p' => FIRST.iter().any(|word| word.as_bytes()[..2] == [first | 0x20, second | 0x20]),
        b's' => matches!((second | 0x20, third | 0x20), (b'e', b't') | (b'a', _) | (b't', _)),
        b'r' => matches!((second | 0x20, third | 0x20), (b'e', b'l' | b's') | (b'o', _)),
        b'e' => (second | 0x20, third | 0x20) == (b'n', b'd'),
        b'-' | b'/' | b';' => true,
        _ => false,
    }
}

/// `set_config` and `pg_notify` are named somewhere.
fn sets_by_function(text: &[u8]) -> bool {
    names(text, b"set_config") || names(text, b"pg_notify")
}

fn names(text: &[u8], name: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'_') {
        let before = name.iter().position(|byte| *byte == b'_').unwrap_or(0);
        if at >= before && rest[at - before..].get(..name.len()).is_some_and(|part| part.eq_ignore_ascii_case(name)) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// The text sets one of our own parameters, which decide where statements go, by a function, of which nobody is told here.
pub fn hides_route<'a>(text: &[u8], mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let ours = |bytes: &[u8]| bytes.windows(OURS.len()).any(|part| part.eq_ignore_ascii_case(OURS));
    names(text, b"set_config") && (ours(text) || values.any(ours))
}

/// The text sets one of our own parameters by its words.
pub fn names_ours(text: &[u8]) -> bool {
    text.windows(OURS.len()).any(|part| part.eq_ignore_ascii_case(OURS))
}

/// The word that a text begins with, behind comments; empty if it is none.
pub fn first_word(text: &[u8]) -> &[u8] {
    let mut lexer = Lexer::new(text, 0);
    let token = lexer.token();
    if token.kind == Kind::Word { lexer.bytes(token) } else { b"" }
}

/// What the names of our parameters of routes begin with.
const OURS: &[u8] = b"pgdog.";

/// What a whole text does, without the zero byte behind it.
pub fn control(text: &[u8]) -> Control<'_> {
    if !may_control(text) {
        return Control::Nothing;
    }
    let mut lexer = Lexer::new(text, 0);
    let (mut statements, mut bounds, mut sets, mut start) = (0, false, false, 0);
    let mut fresh = true;
    loop {
        let token = lexer.token();
        match token.kind {
            Kind::End => break,
            // Whoever reads it for its route refuses it, or it goes to one server.
            Kind::Lost => return if statements > 1 { Control::Mixed } else { Control::Unclear },
            Kind::Mark(b';') => fresh = true,
            _ if fresh => {
                fresh = false;
                statements += 1;
                if statements == 1 {
                    start = token.start;
                }
                let word = lexer.bytes(token);
                bounds |= token.kind == Kind::Word && is_one(word, &FIRST[..8]);
                sets |= token.kind == Kind::Word && is_one(word, &FIRST[8..]);
            }
            _ => {}
        }
    }
    match statements {
        0 => Control::Nothing,
        1 if bounds || sets => Words::new(text, start).control(),
        1 if names(text, b"pg_notify") => Control::Notify,
        1 if names(text, b"set_config") => Control::Sets,
        1 => Control::Nothing,
        _ if bounds => Control::Mixed,
        _ if sets || sets_by_function(text) => Control::Unclear,
        _ => Control::Nothing,
    }
}

/// The words of one statement.
struct Words<'a> {
    lexer: Lexer<'a>,
    token: Token,
}

impl<'a> Words<'a> {
    fn new(text: &'a [u8], start: usize) -> Words<'a> {
        let mut words = Words { lexer: Lexer::new(text, start), token: Token::NONE };
        words.token = words.lexer.token();
        words
    }

    /// The next word is one of these, and is passed.
    fn took(&mut self, words: &[&str]) -> bool {
        let is = self.token.kind == Kind::Word && is_one(self.lexer.bytes(self.token), words);
        if is {
            self.token = self.lexer.token();
        }
        is
    }

    fn name(&self) -> Word<'a> {
        Word::new(self.lexer.bytes(self.token))
    }

    fn control(mut self) -> Control<'a> {
        if self.took(&["begin", "start"]) {
            return Control::Begin;
        }
        if self.took(&["commit", "end"]) {
            return if self.took(&["prepared"]) { Control::Prepare } else { Control::Commit { chain: self.chains() } };
        }
        if self.took(&["rollback", "abort"]) {
            if self.took(&["prepared"]) {
                return Control::Prepare;
            }
            _ = self.took(&["work", "transaction"]);
            if self.took(&["to"]) {
                _ = self.took(&["savepoint"]);
                return Control::RollbackTo(self.name());
            }
            return Control::Rollback { chain: self.chains() };
        }
        if self.took(&["savepoint"]) {
            return Control::Savepoint(self.name());
        }
        if self.took(&["release"]) {
            _ = self.took(&["savepoint"]);
            return Control::Release(self.name());
        }
        if self.took(&["prepare"]) {
            return if self.took(&["transaction"]) { Control::Prepare } else { Control::Nothing };
        }
        if self.took(&["notify"]) {
            return Control::Notify;
        }
        if self.took(&["listen", "unlisten"]) {
            return Control::Listen;
        }
        if self.took(&["discard"]) { Control::Unclear } else { Control::Set }
    }

    /// `AND CHAIN`, not `AND NO CHAIN`.
    fn chains(&mut self) -> bool {
        _ = self.took(&["work", "transaction"]);
        self.took(&["and"]) && self.took(&["chain"])
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
