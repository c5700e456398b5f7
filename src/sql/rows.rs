//! The rows of an INSERT as they stand in its text, and texts that have only some of them.
//!
//! Invariant: a text with some of the rows differs from the whole in nothing but the rows that are left out, with the commas between them, and the
//! numbers of its parameters. Rows are found by PostgreSQL's own tokens, in each text anew; that the text is one INSERT of several rows the caller
//! knows from its plan.

use std::ops::Range;

use pg_query::protobuf::Token;

/// The rows of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// each with its parentheses
    rows: Vec<Range<usize>>,
    /// where a parameter stands, and its number
    parameters: Vec<(Range<usize>, u16)>,
    /// the rows have as many values as one another
    pub even: bool,
    /// not each row surely becomes one: ON CONFLICT may leave some out
    pub fewer: bool,
}

/// A token that is no comment.
pub(super) struct Seen {
    pub kind: Token,
    pub range: Range<usize>,
    /// brackets and parentheses around it
    pub depth: usize,
}

impl Rows {
    /// Finds the rows of a text that is one INSERT of two rows or more. `standard` is the session's `standard_conforming_strings`.
    pub fn find(text: &[u8], standard: bool) -> Option<Rows> {
        if !standard && text.contains(&b'\\') {
            return None;
        }
        let tokens = tokens(text)?;
        let insert = tokens.iter().position(|token| token.depth == 0 && token.kind == Token::Insert)?;
        // A table may be called so too, but no list of its columns has a comma behind it.
        let (rows, even, next) = (insert..tokens.len())
            .filter(|at| tokens[*at].depth == 0 && tokens[*at].kind == Token::Values)
            .map(|at| list(&tokens, at + 1))
            .find(|(rows, ..)| rows.len() > 1)?;
        let mut parameters = Vec::new();
        for token in tokens.iter().filter(|token| token.kind == Token::Param) {
            parameters.push((token.range.clone(), number(text.get(token.range.clone())?)?));
        }
        let behind = &tokens[next..];
        let conflict = behind.iter().position(|token| token.depth == 0 && token.kind == Token::Conflict);
        let fewer = conflict.is_some_and(|at| behind[at..].iter().any(|token| matches!(token.kind, Token::Nothing | Token::Where)));
        Some(Rows { rows, parameters, even, fewer })
    }

    /// Where row `number` stands, with its parentheses.
    pub fn place(&self, number: usize) -> Range<usize> {
        self.rows.get(number).cloned().unwrap_or_default()
    }

    /// How many there are: at least two.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// `text` with only the rows for which `keeps` says so, of which there must be one, and what its parameters were called in the whole.
    pub fn cut(&self, text: &[u8], keeps: impl Fn(usize) -> bool) -> (Box<[u8]>, Box<[u16]>) {
        let mut cut = Cutting { text, whole: self, out: Vec::with_capacity(text.len()), numbers: Vec::new(), known: Vec::new() };
        let (first, last) = (self.rows[0].start, self.rows[self.rows.len() - 1].end);
        cut.copy(0..first);
        let mut between: &[u8] = b"";
        for (_, row) in self.rows.iter().enumerate().filter(|(number, _)| keeps(*number)) {
            cut.out.extend_from_slice(between);
            cut.copy(row.clone());
            between = b", ";
        }
        cut.copy(last..text.len());
        (cut.out.into(), cut.numbers.into())
    }
}

struct Cutting<'a> {
    text: &'a [u8],
    whole: &'a Rows,
    out: Vec<u8>,
    /// of the parameters so far, in the order of their new numbers
    numbers: Vec<u16>,
    /// the new number of each old one, 0 if it has none yet
    known: Vec<u16>,
}

impl Cutting<'_> {
    fn copy(&mut self, range: Range<usize>) {
        let mut at = range.start;
        let from = self.whole.parameters.partition_point(|(place, _)| place.start < range.start);
        for (place, old) in self.whole.parameters[from..].iter().take_while(|(place, _)| place.end <= range.end) {
            self.out.extend_from_slice(&self.text[at..place.start]);
            at = place.end;
            let new = self.renumbered(*old);
            self.out.push(b'$');
            self.out.extend_from_slice(new.to_string().as_bytes());
        }
        self.out.extend_from_slice(&self.text[at..range.end]);
    }

    fn renumbered(&mut self, old: u16) -> u16 {
        let place = usize::from(old);
        if self.known.len() <= place {
            self.known.resize(place + 1, 0);
        }
        if self.known[place] == 0 {
            self.numbers.push(old);
            // There are no more of them than numbers of old ones.
            self.known[place] = self.numbers.len() as u16;
        }
        self.known[place]
    }
}

/// The tokens of a text; None: it cannot be read.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<Seen>> {
    let found = pg_query::scan_tokens(std::str::from_utf8(text).ok()?).ok()?;
    let mut seen = Vec::with_capacity(found.len());
    let mut depth = 0usize;
    for token in found {
        let kind = Token::try_from(token.token).ok()?;
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        text.get(range.clone())?;
        match kind {
            Token::CComment | Token::SqlComment => continue,
            Token::Ascii41 | Token::Ascii93 => depth = depth.checked_sub(1)?,
            _ => {}
        }
        seen.push(Seen { kind, range, depth });
        depth += usize::from(matches!(kind, Token::Ascii40 | Token::Ascii91));
    }
    Some(seen)
}

/// Parenthesized rows with commas between them, from token `at` on: where they are, whether they have equally many values, and the token behind.
fn list(tokens: &[Seen], mut at: usize) -> (Vec<Range<usize>>, bool, usize) {
    let mut rows = Vec::new();
    let (mut width, mut even) = (None, true);
    while tokens.get(at).is_some_and(|token| token.kind == Token::Ascii40) {
        let inside = tokens[at].depth + 1;
        let Some(length) = tokens[at..].iter().position(|token| token.kind == Token::Ascii41 && token.depth + 1 == inside) else { break };
        let commas = tokens[at..at + length].iter().filter(|token| token.kind == Token::Ascii44 && token.depth == inside).count();
        even &= *width.get_or_insert(commas) == commas;
        rows.push(tokens[at].range.start..tokens[at + length].range.end);
        at += length + 1;
        if tokens.get(at).is_none_or(|token| token.kind != Token::Ascii44) {
            break;
        }
        at += 1;
    }
    (rows, even, at)
}

/// The number of a `$n`.
fn number(token: &[u8]) -> Option<u16> {
    std::str::from_utf8(token.strip_prefix(b"$")?).ok()?.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
