//! What SQL's PREPARE and EXECUTE say, as far as a route depends on it: the statement inside of a PREPARE with the types of its parameters, and the
//! arguments of an EXECUTE.
//!
//! Invariant: an argument is a constant here only if its text is, letter for letter, what PostgreSQL makes of it for whatever type of key it becomes;
//! all else is `Other`. Whose the name is, and where the statement goes, is left to the session.

use super::calls::is_one;
use super::lex::{Kind, Lexer, Token};
use super::literal::{self, Literal, integer};

/// Arguments that are read: PostgreSQL's protocol counts them in sixteen bits.
const ARGUMENTS_MAX: usize = 65_535;
/// What stands for a type that is not known here. PostgreSQL gives no type this number.
pub const STRANGE: u32 = u32::MAX;

const INT2: u32 = 21;
const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const UUID: u32 = 2950;

/// A PREPARE.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepare<'a> {
    /// the numbers of its parameters' types; 0: PostgreSQL decides, `STRANGE`: one that is not known here
    pub types: Vec<u32>,
    /// the statement inside
    pub query: &'a [u8],
}

/// One argument of an EXECUTE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    Null,
    /// a constant, as its type's input function reads it
    Constant(Vec<u8>),
    /// anything else
    Other,
}

/// Reads a text that is one PREPARE.
pub fn prepare(text: &[u8]) -> Option<Prepare<'_>> {
    let mut lexer = Lexer::new(text, 0);
    let mut token = named(&mut lexer, "prepare")?;
    let mut types = Vec::new();
    if token.kind == Kind::Mark(b'(') {
        types.extend(list(&mut lexer)?.iter().map(|tokens| type_of(&lexer, tokens, true)));
        token = lexer.token();
    }
    is(&lexer, token, "as").then(|| Prepare { types, query: &text[token.end..] })
}

/// Reads the arguments of a text that is one EXECUTE.
pub fn arguments(text: &[u8]) -> Option<Vec<Argument>> {
    let mut lexer = Lexer::new(text, 0);
    let token = named(&mut lexer, "execute")?;
    if token.kind != Kind::Mark(b'(') {
        return Some(Vec::new());
    }
    let all = list(&mut lexer)?;
    (all.len() <= ARGUMENTS_MAX).then(|| all.iter().map(|tokens| argument(&lexer, tokens)).collect())
}

/// Whether a text's first word is one of the two.
#[inline]
pub fn is_either(text: &[u8]) -> bool {
    // What begins otherwise, comments apart, is neither.
    matches!(text.trim_ascii_start().first(), Some(b'e' | b'E' | b'p' | b'P' | b'/' | b'-')) && begins_so(text)
}

fn begins_so(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text, 0);
    let first = lexer.token();
    first.kind == Kind::Word && is_one(lexer.bytes(first), &["execute", "prepare"])
}

/// Goes over this word and a name behind it; returns what follows.
fn named(lexer: &mut Lexer<'_>, word: &str) -> Option<Token> {
    let first = lexer.token();
    let name = is(lexer, first, word).then(|| lexer.token())?;
    matches!(name.kind, Kind::Word | Kind::Quoted).then(|| lexer.token())
}

fn is(lexer: &Lexer<'_>, token: Token, word: &str) -> bool {
    token.kind == Kind::Word && is_one(lexer.bytes(token), &[word])
}

/// What stands between commas up to the parenthesis that closes the one before.
fn list(lexer: &mut Lexer<'_>) -> Option<Vec<Vec<Token>>> {
    let (mut all, mut one, mut depth) = (Vec::new(), Vec::new(), 0u32);
    loop {
        let token = lexer.token();
        match token.kind {
            Kind::End | Kind::Lost | Kind::Mark(b';') => return None,
            Kind::Mark(b',') if depth == 0 => {
                all.push(std::mem::take(&mut one));
                continue;
            }
            Kind::Mark(b')') if depth == 0 => {
                all.push(one);
                return Some(all);
            }
            Kind::Mark(b'(' | b'[') => depth += 1,
            Kind::Mark(b')' | b']') => depth = depth.checked_sub(1)?,
            _ => {}
        }
        one.push(token);
    }
}

/// The number of a type. `lengths`: one with a length is the same without it, as it is for a parameter.
fn type_of(lexer: &Lexer<'_>, tokens: &[Token], lengths: bool) -> u32 {
    let mut words: Vec<String> = Vec::new();
    let (mut array, mut inside) = (false, false);
    for token in tokens {
        match token.kind {
            Kind::Word => words.push(String::from_utf8_lossy(lexer.bytes(*token)).to_ascii_lowercase()),
            // The schema of them all.
            Kind::Mark(b'.') if words == ["pg_catalog"] => words.clear(),
            Kind::Mark(b'(') if lengths && !array => inside = true,
            Kind::Mark(b')') if inside => inside = false,
            Kind::Mark(b'[') if !inside => array = true,
            Kind::Mark(b']') if array => {}
            Kind::Number if inside || array => {}
            _ => return STRANGE,
        }
    }
    let (one, several) = match words.join(" ").as_str() {
        "smallint" | "int2" => (INT2, 1005),
        "integer" | "int" | "int4" => (INT4, 1007),
        "bigint" | "int8" => (INT8, 1016),
        "text" => (TEXT, 1009),
        "varchar" | "character varying" | "char varying" => (VARCHAR, 1015),
        "uuid" => (UUID, 2951),
        "unknown" => (0, STRANGE),
        _ => (STRANGE, STRANGE),
    };
    if array { several } else { one }
}

fn argument(lexer: &Lexer<'_>, tokens: &[Token]) -> Argument {
    let (negative, tokens) = match tokens {
        [minus, rest @ ..] if minus.kind == Kind::Mark(b'-') => (true, rest),
        _ => (false, tokens),
    };
    let [value, rest @ ..] = tokens else { return Argument::Other };
    let cast = match rest {
        [] => None,
        [cast, name @ ..] if cast.kind == Kind::Cast => Some(type_of(lexer, name, false)),
        _ => return Argument::Other,
    };
    let bytes = lexer.bytes(*value);
    let whole = matches!(cast, None | Some(INT2 | INT4 | INT8));
    let number = |number: i64| Argument::Constant(number.to_string().into_bytes());
    match value.kind {
        Kind::Word if !negative && is(lexer, *value, "null") => Argument::Null,
        Kind::Number if whole => match integer(bytes) {
            Some(value) => number(if negative { -value } else { value }),
            None => Argument::Other,
        },
        Kind::Text if !negative => {
            let kind = literal::Kind::of_string(bytes);
            let mut spare = Vec::new();
            let known = Literal { start: 0, end: u32::try_from(bytes.len()).unwrap_or(0), kind };
            match (known.string(bytes, &mut spare), cast) {
                // What it means depends on standard_conforming_strings.
                (Some(string), _) if string.contains(&b'\\') => Argument::Other,
                (Some(string), None | Some(TEXT | VARCHAR)) => Argument::Constant(string.to_vec()),
                (Some(string), Some(UUID)) if is_canonical(string) => Argument::Constant(string.to_vec()),
                (Some(string), Some(INT2 | INT4 | INT8)) => {
                    std::str::from_utf8(string).ok().and_then(|string| string.trim().parse().ok()).map_or(Argument::Other, number)
                }
                _ => Argument::Other,
            }
        }
        _ => Argument::Other,
    }
}

/// A uuid as PostgreSQL writes it.
fn is_canonical(uuid: &[u8]) -> bool {
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    uuid.len() == 36 && uuid.iter().enumerate().all(fits)
}

#[cfg(test)]
#[path = "executes_tests.rs"]
mod tests;
