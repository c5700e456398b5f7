//! The pieces of a text on the admin database, and how near one word is to another. Invariant: what was in quotes stays in quotes, so that no
//! separator hides in a name, and all work is bounded by the text's length. What the pieces mean is left to `console`.

use super::console::CommandError;

/// How much of an unknown word an error repeats, and is compared with known commands, characters.
pub(super) const ECHO_MAX: usize = 32;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// as it was typed
    Word(String),
    /// without its double quotes
    Name(String),
    /// without its single quotes
    Literal(String),
    /// one of `=` `,` `(` `)`
    Sign(char),
    /// `;`
    End,
}

impl Token {
    /// A word in lower case, as keywords are compared.
    pub(super) fn keyword(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// The name of a user, a database, a variable or a column, which may be quoted to keep its case.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            Token::Name(name) if !name.is_empty() => Some(name.clone()),
            _ => None,
        }
    }
}

/// The pieces of a text: words, quoted names, quoted literals, signs. Comments are space, as in PostgreSQL (they nest).
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, CommandError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if is_space(first) {
            rest = &rest[1..];
        } else if rest.starts_with("--") {
            rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest)?;
        } else if first == '\'' || first == '"' {
            let (inside, after) = quoted(rest, first)?;
            tokens.push(if first == '"' { Token::Name(inside) } else { Token::Literal(inside) });
            rest = after;
        } else if is_sign(first) {
            tokens.push(if first == ';' { Token::End } else { Token::Sign(first) });
            rest = &rest[1..];
        } else {
            let len = word_len(rest);
            tokens.push(Token::Word(rest[..len].to_owned()));
            rest = &rest[len..];
        }
    }
    Ok(tokens)
}

/// Space as PostgreSQL's scanner has it (src/backend/parser/scan.l).
fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn is_sign(char: char) -> bool {
    matches!(char, ';' | ',' | '=' | '(' | ')')
}

/// Bytes of the word that `text` starts with, at least one character.
fn word_len(text: &str) -> usize {
    let ends = |(at, char): &(usize, char)| {
        let comment = text[*at..].starts_with("--") || text[*at..].starts_with("/*");
        is_space(*char) || is_sign(*char) || *char == '\'' || *char == '"' || comment
    };
    text.char_indices().skip(1).find(ends).map_or(text.len(), |(at, _)| at)
}

/// What follows the comment that `text` starts with.
fn after_comment(text: &str) -> Result<&str, CommandError> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Ok(&text[at..]);
        }
    }
    Err(CommandError::Unclosed { what: "comment" })
}

/// The inside of the quotes that `text` starts with (a doubled quote stands for one), and what follows.
fn quoted(text: &str, quote: char) -> Result<(String, &str), CommandError> {
    let mut inside = String::new();
    let mut rest = &text[1..];
    while let Some(end) = rest.find(quote) {
        inside.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with(quote) {
            return Ok((inside, rest));
        }
        inside.push(quote);
        rest = &rest[1..];
    }
    Err(CommandError::Unclosed { what: if quote == '"' { "quoted name" } else { "quoted string" } })
}

pub(super) fn nearest<'a>(said: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| distance(said, name))
}

pub(super) fn echo(said: &str) -> String {
    said.chars().take(ECHO_MAX).collect()
}

/// How many characters have to be put in, taken out or changed to make one text the other, without regard to case (Levenshtein). Both are cut to
/// `ECHO_MAX` characters, so the work is bounded.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_ascii_lowercase().chars().take(ECHO_MAX).collect();
    let mut costs: Vec<usize> = (0..=other.len()).collect();
    for (row, char) in one.to_ascii_lowercase().chars().take(ECHO_MAX).enumerate() {
        let mut diagonal = costs[0];
        costs[0] = row + 1;
        for (at, theirs) in other.iter().enumerate() {
            let change = diagonal + usize::from(char != *theirs);
            diagonal = costs[at + 1];
            costs[at + 1] = change.min(diagonal + 1).min(costs[at] + 1);
        }
    }
    costs.last().copied().unwrap_or_default()
}
