//! The cursors that a text opens, reads and closes by their names, read from its words alone.
//!
//! Invariant: of a text that can be read to its end no cursor's name is left out. Whether it is open, and where, is for the caller to know.

use super::calls::is_one;
use super::lex::{Kind, Lexer};
use super::single::Word;

/// Mentions of cursors in one text that are read; it may have more.
pub const ACTS_MAX: usize = 1000;

/// What is done with a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// DECLARE; `holds`: WITH HOLD
    Declares {
        name: Word<'a>,
        holds: bool,
    },
    /// FETCH, MOVE, WHERE CURRENT OF
    Uses(Word<'a>),
    Closes(Word<'a>),
    ClosesAll,
}

/// What a text does with cursors, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acts<'a> {
    pub list: Vec<Act<'a>>,
    /// its statements
    pub statements: usize,
    /// not all of it is known: there is more than is read, or it cannot be read
    pub beyond: bool,
}

/// Whether a text may speak of a cursor, by its first letters.
#[inline]
pub fn may_act(text: &[u8]) -> bool {
    let first = text.trim_ascii_start();
    let is = |word: &[u8]| first.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let speaks = match first.first().map(|byte| byte | 0x20) {
        Some(b'd') => is(b"declare") || is(b"delete"),
        Some(b'f') => is(b"fetch"),
        Some(b'm') => is(b"move"),
        Some(b'c') => is(b"close"),
        Some(b'u') => is(b"update"),
        _ => is(b"--") || is(b"/*") || is(b";"),
    };
    speaks || goes_on(text)
}

/// Whether it may open or close one.
#[inline]
pub fn may_open(text: &[u8]) -> bool {
    let reads = matches!(text.trim_ascii_start().first().map(|byte| byte | 0x20), Some(b'f' | b'm' | b'u'));
    if reads { goes_on(text) } else { may_act(text) }
}

/// Something stands behind a semicolon.
fn goes_on(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b';');
    end.is_some_and(|end| !text[end + 1..].trim_ascii_start().is_empty())
}

/// Reads a text.
pub fn acts(text: &[u8]) -> Acts<'_> {
    let mut acts = Acts::default();
    let mut lexer = Lexer::new(text, 0);
    while let Some(ends) = statement(&mut lexer, &mut acts) {
        acts.beyond |= acts.list.len() > ACTS_MAX;
        if ends || acts.beyond {
            break;
        }
    }
    acts
}

/// Reads one statement; whether it is the last; None: it cannot be read.
fn statement<'a>(lexer: &mut Lexer<'a>, acts: &mut Acts<'a>) -> Option<bool> {
    let mut token = lexer.token();
    let first = token;
    let is = |lexer: &Lexer<'a>, token, words: &[&str]| -> bool {
        let super::lex::Token { kind, .. } = token;
        kind == Kind::Word && is_one(lexer.bytes(token), words)
    };
    let declares = is(lexer, first, &["declare"]);
    let writes = is(lexer, first, &["update", "delete"]);
    // The words of the statement, and the last two and what stands behind them.
    let (mut count, mut second, mut before, mut last) = (0_usize, first, first, first);
    let (mut holds, mut ahead) = (false, true);
    let end = loop {
        match token.kind {
            Kind::Lost => {
                acts.beyond = true;
                return None;
            }
            Kind::End | Kind::Mark(b';') => break token.kind == Kind::End,
            _ => {}
        }
        count += 1;
        if count == 2 {
            second = token;
        }
        // Behind FOR stands the query.
        ahead &= !is(lexer, token, &["for"]);
        holds |= declares && ahead && count > 2 && is(lexer, last, &["with"]) && is(lexer, token, &["hold"]);
        if writes && count > 2 && is(lexer, before, &["current"]) && is(lexer, last, &["of"]) && matches!(token.kind, Kind::Word | Kind::Quoted) {
            acts.list.push(Act::Uses(Word::new(lexer.bytes(token))));
        }
        (before, last) = (last, token);
        token = lexer.token();
    };
    acts.statements += usize::from(count > 0);
    // The name is the last word of all but DECLARE.
    let name = |token| Word::new(lexer.bytes(token));
    if count < 2 {
        return Some(end);
    }
    if declares {
        acts.list.push(Act::Declares { name: name(second), holds });
    } else if is(lexer, first, &["fetch", "move"]) {
        acts.list.push(Act::Uses(name(last)));
    } else if is(lexer, first, &["close"]) {
        acts.list.push(if is(lexer, last, &["all"]) { Act::ClosesAll } else { Act::Closes(name(last)) });
    }
    Some(end)
}

#[cfg(test)]
#[path = "cursors_tests.rs"]
mod tests;
