//! The one statement of a text, if it is of a form that a session has to know. Whoever is given `Begin`, `Commit` or `Rollback` may be sure that
//! PostgreSQL takes the text for what it says (apart from BEGIN SERIALIZABLE or READ WRITE on a standby); the others' tails are not checked.

use std::borrow::Cow;

use super::calls::is_one;
use super::lex::{Kind, Lexer, Token};

/// What a text is, when it is one statement of these forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement<'a> {
    Other,
    /// nothing but blanks, comments and `;`
    Empty,
    /// BEGIN or START TRANSACTION, with any modes
    Begin,
    /// COMMIT or END, without a chain
    Commit,
    /// ROLLBACK or ABORT, without a chain, of the whole transaction
    Rollback,
    /// SET; what has words of its own goes by its parameter's name (TIME ZONE by TimeZone, NAMES by client_encoding, ...)
    Set {
        name: Word<'a>,
        local: bool,
    },
    Reset {
        name: Word<'a>,
    },
    ResetAll,
    DiscardAll,
    Prepare {
        name: Word<'a>,
    },
    Execute {
        name: Word<'a>,
    },
    Deallocate {
        name: Word<'a>,
    },
    DeallocateAll,
    Listen {
        channel: Word<'a>,
    },
    Unlisten {
        channel: Word<'a>,
    },
    UnlistenAll,
}

/// An identifier as it is written, or a parameter's name of several, joined by dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a>(&'a [u8]);

impl<'a> Statement<'a> {
    /// The name of a prepared statement that it speaks of.
    pub fn name_of_statement(&self) -> Option<Word<'a>> {
        match self {
            Statement::Prepare { name } | Statement::Execute { name } | Statement::Deallocate { name } => Some(*name),
            _ => None,
        }
    }
}

impl<'a> Word<'a> {
    /// One that is written so.
    pub fn new(raw: &'a [u8]) -> Word<'a> {
        Word(raw)
    }

    /// As PostgreSQL reads it: lower case unless quoted. Not cut to 63 bytes.
    pub fn name(&self) -> Cow<'a, [u8]> {
        if !self.0.iter().any(|byte| *byte == b'"' || byte.is_ascii_uppercase()) {
            return Cow::Borrowed(self.0);
        }
        let mut name = Vec::with_capacity(self.0.len());
        let (mut quoted, mut at) = (false, 0);
        while let Some(&byte) = self.0.get(at) {
            at += 1;
            match byte {
                b'"' if quoted && self.0.get(at) == Some(&b'"') => {
                    name.push(b'"');
                    at += 1;
                }
                b'"' => quoted = !quoted,
                _ if quoted => name.push(byte),
                _ => name.push(byte.to_ascii_lowercase()),
            }
        }
        Cow::Owned(name)
    }

    /// As it is written.
    pub fn raw(&self) -> &'a [u8] {
        self.0
    }
}

/// Reads the only statement of a text; the lexer stands at its first word.
pub fn read<'a>(lexer: Lexer<'a>) -> Statement<'a> {
    let mut reader = Reader { token: Token::NONE, lexer };
    reader.advance();
    reader.statement().unwrap_or(Statement::Other)
}

/// A lexer with one token read ahead.
struct Reader<'a> {
    lexer: Lexer<'a>,
    token: Token,
}

impl<'a> Reader<'a> {
    fn advance(&mut self) {
        self.token = self.lexer.token();
    }

    /// The next token is one of these words.
    fn is(&self, words: &[&str]) -> bool {
        self.token.kind == Kind::Word && is_one(self.lexer.bytes(self.token), words)
    }

    /// The same, and goes over it.
    fn take(&mut self, words: &[&str]) -> bool {
        let taken = self.is(words);
        if taken {
            self.advance();
        }
        taken
    }

    /// All these words, one behind the other. Goes over those that are there.
    fn take_all(&mut self, words: &[&str]) -> bool {
        words.iter().all(|word| self.take(&[word]))
    }

    fn take_mark(&mut self, mark: u8) -> bool {
        let taken = self.token.kind == Kind::Mark(mark);
        if taken {
            self.advance();
        }
        taken
    }

    /// The statement is over. Whatever follows `;` is empty: there is one statement only.
    fn ends(&self) -> bool {
        matches!(self.token.kind, Kind::End | Kind::Mark(b';'))
    }

    /// `statement`, if nothing follows.
    fn whole(&self, statement: Statement<'a>) -> Option<Statement<'a>> {
        self.ends().then_some(statement)
    }

    /// One identifier.
    fn name(&mut self) -> Option<Word<'a>> {
        // `"` without an end, or nothing in between, is not one.
        let whole = match self.token.kind {
            Kind::Word => true,
            Kind::Quoted => self.token.end - self.token.start > 2 && self.lexer.bytes(self.token).ends_with(b"\""),
            _ => false,
        };
        let word = Word(self.lexer.bytes(self.token));
        self.advance();
        whole.then_some(word)
    }

    /// A parameter's name: identifiers joined by dots, with nothing in between.
    fn parameter(&mut self) -> Option<Word<'a>> {
        let start = self.token.start;
        loop {
            let end = self.token.end;
            self.name()?;
            if self.token.kind != Kind::Mark(b'.') {
                return Some(Word(&self.lexer.text[start..end]));
            }
            let dot = self.token;
            self.advance();
            if dot.start != end || self.token.start != dot.end {
                return None;
            }
        }
    }

    fn statement(&mut self) -> Option<Statement<'a>> {
        let first = self.token;
        self.advance();
        let mut word = [0; 10];
        let length = first.end - first.start;
        word.get_mut(..length)?.copy_from_slice(self.lexer.bytes(first));
        word.make_ascii_lowercase();
        match &word[..length] {
            b"begin" => self.begin(),
            b"start" => {
                if self.is(&["transaction"]) {
                    self.begin()
                } else {
                    None
                }
            }
            b"commit" | b"end" => self.finish(Statement::Commit),
            b"rollback" | b"abort" => self.finish(Statement::Rollback),
            b"set" => self.set(),
            b"reset" => self.reset(),
            b"discard" => {
                if self.take(&["all"]) {
                    self.whole(Statement::DiscardAll)
                } else {
                    None
                }
            }
            b"prepare" => self.prepare(),
            b"execute" => {
                let name = self.name()?;
                (self.ends() || self.token.kind == Kind::Mark(b'(')).then_some(Statement::Execute { name })
            }
            b"deallocate" => self.deallocate(),
            b"listen" => {
                let channel = self.name()?;
                self.whole(Statement::Listen { channel })
            }
            b"unlisten" if self.take_mark(b'*') => self.whole(Statement::UnlistenAll),
            b"unlisten" => {
                let channel = self.name()?;
                self.whole(Statement::Unlisten { channel })
            }
            _ => None,
        }
    }

    /// Each mode at most once: what PostgreSQL makes of contradictions is left to it.
    fn begin(&mut self) -> Option<Statement<'a>> {
        let _ = self.take(&["work", "transaction"]);
        let (mut seen, mut comma) = ([false; 3], false);
        while !self.ends() || comma {
            let mode = if self.take(&["isolation"]) {
                let known = self.take(&["level"]) && self.level();
                known.then_some(0)?
            } else if self.take(&["read"]) {
                self.take(&["write", "only"]).then_some(1)?
            } else {
                let not = self.take(&["not"]);
                let known = self.take(&["deferrable"]);
                known.then_some(not).map(|_| 2)?
            };
            if std::mem::replace(&mut seen[mode], true) {
                return None;
            }
            comma = self.take_mark(b',');
        }
        Some(Statement::Begin)
    }

    fn level(&mut self) -> bool {
        match () {
            () if self.take(&["serializable"]) => true,
            () if self.take(&["repeatable"]) => self.take(&["read"]),
            () => self.take(&["read"]) && self.take(&["committed", "uncommitted"]),
        }
    }

    fn finish(&mut self, statement: Statement<'a>) -> Option<Statement<'a>> {
        let _ = self.take(&["work", "transaction"]);
        if self.take(&["and"]) && !self.take_all(&["no", "chain"]) {
            return None;
        }
        self.whole(statement)
    }

    fn set(&mut self) -> Option<Statement<'a>> {
        let mut local = false;
        if self.is(&["local", "session"]) && !self.is_named_next() && !self.is_next(&["authorization"]) {
            local = self.is(&["local"]);
            self.advance();
        }
        if !self.is_named_next() {
            let name = self.special()?;
            return Some(Statement::Set { name, local });
        }
        let name = self.parameter()?;
        (self.take_mark(b'=') || self.take(&["to"])).then_some(Statement::Set { name, local })
    }

    /// Whether what follows the next token makes it a parameter's name.
    fn is_named_next(&self) -> bool {
        let mut ahead = self.lexer;
        let next = ahead.token();
        matches!(next.kind, Kind::Mark(b'=' | b'.')) || next.kind == Kind::Word && is_one(ahead.bytes(next), &["to"])
    }

    /// One of these words stands behind the next token.
    fn is_next(&self, words: &[&str]) -> bool {
        let mut ahead = self.lexer;
        let next = ahead.token();
        next.kind == Kind::Word && is_one(ahead.bytes(next), words)
    }

    /// Parameters that SET knows by words of their own; the value follows. Nothing of what has no value of the session, like SET TRANSACTION.
    fn special(&mut self) -> Option<Word<'a>> {
        let name: &[u8] = if self.take(&["time"]) {
            self.take(&["zone"]).then_some(b"TimeZone")?
        } else if self.take(&["session"]) {
            self.take(&["authorization"]).then_some(b"session_authorization")?
        } else if self.take(&["xml"]) {
            self.take(&["option"]).then_some(b"xmloption")?
        } else if self.take(&["names"]) {
            // Without a value it means the default.
            return Some(Word(b"client_encoding"));
        } else if self.take(&["role"]) {
            b"role"
        } else if self.take(&["schema"]) {
            b"search_path"
        } else {
            return None;
        };
        (!self.ends()).then_some(Word(name))
    }

    fn reset(&mut self) -> Option<Statement<'a>> {
        if self.take(&["all"]) {
            return self.whole(Statement::ResetAll);
        }
        let mut ahead = Reader { lexer: self.lexer, token: self.token };
        let name = match () {
            () if ahead.take_all(&["time", "zone"]) => Word(b"TimeZone"),
            () if self.is(&["session"]) => {
                ahead.advance();
                ahead.take(&["authorization"]).then_some(Word(b"session_authorization"))?
            }
            () => {
                ahead = Reader { lexer: self.lexer, token: self.token };
                ahead.parameter()?
            }
        };
        ahead.whole(Statement::Reset { name })
    }

    fn prepare(&mut self) -> Option<Statement<'a>> {
        let name = self.name()?;
        (self.token.kind == Kind::Mark(b'(') || self.is(&["as"])).then_some(Statement::Prepare { name })
    }

    fn deallocate(&mut self) -> Option<Statement<'a>> {
        let prepare = Word(self.lexer.bytes(self.token));
        if self.take(&["prepare"]) && self.ends() {
            return Some(Statement::Deallocate { name: prepare });
        }
        if self.take(&["all"]) {
            return self.whole(Statement::DeallocateAll);
        }
        let name = self.name()?;
        self.whole(Statement::Deallocate { name })
    }
}

#[cfg(test)]
#[path = "single_tests.rs"]
mod tests;
