//! The words of a text that may be names: identifiers as PostgreSQL reads them, also those inside of strings, which a DO or a function may run.
//! Nothing is left out that could be one; what is no name is for the caller to know.

use super::lex::{Kind, Lexer, raw_words};
use super::single::Word;

/// Strings inside of strings that are looked into.
const DEPTH_MAX: usize = 4;

/// Calls `each` with all of them.
pub fn mentions(text: &[u8], mut each: impl FnMut(&[u8])) {
    within(text, &mut each, DEPTH_MAX);
}

/// The names that a text's own DEALLOCATE statements drop, in order.
pub fn deallocated(text: &[u8]) -> Vec<Word<'_>> {
    let mut lexer = Lexer::new(text, 0);
    let (mut names, mut first) = (Vec::new(), true);
    loop {
        let token = lexer.token();
        match token.kind {
            Kind::End | Kind::Lost => return names,
            Kind::Word if first && lexer.bytes(token).eq_ignore_ascii_case(b"deallocate") => {
                let mut name = lexer.token();
                let mut ahead = lexer;
                if name.kind == Kind::Word && lexer.bytes(name).eq_ignore_ascii_case(b"prepare") {
                    let next = ahead.token();
                    if matches!(next.kind, Kind::Word | Kind::Quoted) {
                        (name, lexer) = (next, ahead);
                    }
                }
                let all = name.kind == Kind::Word && lexer.bytes(name).eq_ignore_ascii_case(b"all");
                if matches!(name.kind, Kind::Word | Kind::Quoted) && !all {
                    names.push(Word::new(lexer.bytes(name)));
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
