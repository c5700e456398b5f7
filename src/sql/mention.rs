//! The words of a text that may be names: identifiers as PostgreSQL reads them, also those inside of strings, which a DO or a function may run.
//! Nothing is left out that could be one; what is no name is for the caller to know.

use super::lex::{Kind, Lexer, Token, raw_words};
use super::single::Word;

/// Strings inside of strings that are looked into.
const DEPTH_MAX: usize = 4;

/// Calls `each` with all of them.
pub fn mentions(text: &[u8], mut each: impl FnMut(&[u8])) {
    within(text, &mut each, DEPTH_MAX);
}

/// The names that a text's own statements PREPARE or DEALLOCATE, in order, as their tags come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named<'a> {
    pub prepared: Vec<Word<'a>>,
    pub deallocated: Vec<Word<'a>>,
}

/// Reads them.
pub fn named(text: &[u8]) -> Named<'_> {
    let mut lexer = Lexer::new(text, 0);
    let (mut named, mut first) = (Named::default(), true);
    let is = |lexer: &Lexer<'_>, token: Token, word: &[u8]| token.kind == Kind::Word && lexer.bytes(token).eq_ignore_ascii_case(word);
    let is_name = |token: Token| matches!(token.kind, Kind::Word | Kind::Quoted);
    loop {
        let token = lexer.token();
        match token.kind {
            Kind::End | Kind::Lost => return named,
            _ if first && is(&lexer, token, b"prepare") => {
                let name = lexer.token();
                let mut ahead = lexer;
                // PREPARE TRANSACTION has a tag of its own.
                let transaction = is(&lexer, name, b"transaction") && ahead.token().kind == Kind::Text;
                if is_name(name) && !transaction {
                    named.prepared.push(Word::new(lexer.bytes(name)));
                }
            }
            _ if first && is(&lexer, token, b"deallocate") => {
                let mut name = lexer.token();
                let mut ahead = lexer;
                let next = ahead.token();
                if is(&lexer, name, b"prepare") && is_name(next) {
                    (name, lexer) = (next, ahead);
                }
                if is_name(name) && !is(&lexer, name, b"all") {
                    named.deallocated.push(Word::new(lexer.bytes(name)));
                }
            }
            _ => {}
        }
        first = token.kind == Kind::Mark(b';');
    }
}

fn within(text: &[u8], each: &mut dyn FnMut(&[u8]), depth: usize) {
    let mut lexer = Lexer::new(text, 0);
    loop {
        let start = lexer.at;
        let token = lexer.token();
        let bytes = lexer.bytes(token);
        match token.kind {
            Kind::Word | Kind::Quoted => each(&Word::new(bytes).name()),
            Kind::Text => {
                let inner = bytes.trim_ascii_start();
                // Without the quotes it is a text again; in both readings, since quotes inside are doubled.
                let inner = inner.get(1..inner.len().saturating_sub(1)).unwrap_or_default();
                raw(inner, each);
                if depth > 0 {
                    within(inner, each, depth - 1);
                }
            }
            Kind::Lost => {
                raw(&text[start..], each);
                return;
            }
            Kind::End => return,
            _ => {}
        }
    }
}

fn raw(text: &[u8], each: &mut dyn FnMut(&[u8])) {
    for word in raw_words(text) {
        each(word);
        if word.iter().any(u8::is_ascii_uppercase) {
            each(&word.to_ascii_lowercase());
        }
    }
}

#[cfg(test)]
#[path = "mention_tests.rs"]
mod tests;
