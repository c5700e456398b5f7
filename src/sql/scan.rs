//! One pass of PostgreSQL's own lexer over a text: its **shape** (everything but the values of its literals, comments and blanks left out), where
//! the literals are, what comments say about routing, and how large it is for a parser. Two texts of one shape have one plan.
//!
//! Invariant: equal shapes mean equal trees but for the values of literals of the same kind. Where the lexer cannot know that (a backslash with
//! `standard_conforming_strings` off, `UESCAPE`), the text is `Odd` and parsed each time. The signs of numbers are left to `plan`, the cache to
//! `cache`, what a directive does to the route.

use std::hash::Hasher;
use std::ops::Range;

use ahash::AHasher;
use pg_query::protobuf::{ScanToken, Token};

use super::directive::Directives;
use super::literal::{Kind, Literal};

/// How large a text may be for somebody to parse it. The tree takes some 100 bytes of memory per byte of text, and what walks it some stack per
/// level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub bytes: usize,
    pub tokens: usize,
    pub depth: usize,
}

/// On a data core: what keeps its other clients waiting for less than a millisecond.
pub const CORE: Limits = Limits { bytes: 32 << 10, tokens: 4_000, depth: 250 };
/// On a helper, whose stack has `HELPER_STACK` bytes, as one tree.
pub const HELPER: Limits = Limits { bytes: 4 << 20, tokens: 500_000, depth: 5_000 };
/// On a helper, an INSERT of several rows, which is read some rows at a time; beyond it a text is refused with 54001.
pub const ROWS: Limits = Limits { bytes: 16 << 20, tokens: 4_000_000, depth: 5_000 };
/// What a helper needs to parse a text within `HELPER`.
pub const HELPER_STACK: usize = 64 << 20;

/// How large a text is. `depth` is never less than the depth of its tree: each level of it comes from a parenthesis, an operator or a keyword
/// of the same element of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: usize,
    pub tokens: usize,
    pub depth: usize,
}

impl Size {
    /// Whether a text of this size may be parsed where `limits` hold.
    pub fn within(self, limits: Limits) -> bool {
        self.bytes <= limits.bytes && self.tokens <= limits.tokens && self.depth <= limits.depth
    }
}

/// What became of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// the shape says all but the values of the literals
    Shape,
    /// the text is to be parsed by itself, and its plan not kept
    Odd,
    /// too large for these limits; nothing is known about it
    Beyond,
    /// not UTF-8: the parser cannot read it
    Foreign,
}

/// What a scan finds, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Scan {
    /// compared in full
    pub shape: Vec<u8>,
    /// of the shape
    pub hash: u64,
    /// in the order of the text
    pub literals: Vec<Literal>,
    pub directives: Directives,
    pub size: Size,
    nesting: Nesting,
}

/// In front of a literal's kind in a shape: no token has this number.
const HOLE: u8 = 0xff;

impl Scan {
    /// Reads a whole text, without the zero byte behind it. `standard` is the session's `standard_conforming_strings`.
    pub fn run(&mut self, text: &[u8], standard: bool, limits: Limits) -> Outcome {
        self.clear(text);
        if text.len() > limits.bytes {
            return Outcome::Beyond;
        }
        let Ok(sql) = std::str::from_utf8(text) else { return Outcome::Foreign };
        // The lexer's answer to a text without tokens is a null pointer, of which its wrapper makes a slice.
        if text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
            self.size = Size { bytes: text.len(), tokens: 0, depth: 0 };
            return Outcome::Shape;
        }
        let Ok(tokens) = pg_query::scan_tokens(sql) else { return self.lost(text) };
        let mut odd = false;
        for token in &tokens {
            let Some(bytes) = text.get(range(token)) else { return self.lost(text) };
            match self.token(token, bytes, standard) {
                Seen::Known => {}
                Seen::Odd => odd = true,
                Seen::Lost => return self.lost(text),
            }
        }
        self.size = Size { bytes: text.len(), tokens: tokens.len(), depth: self.nesting.deepest };
        if !self.size.within(limits) {
            return Outcome::Beyond;
        }
        let mut hasher = AHasher::default();
        hasher.write(&self.shape);
        self.hash = hasher.finish();
        if odd { Outcome::Odd } else { Outcome::Shape }
    }

    /// Until more is known a text is as deep as it is long.
    fn clear(&mut self, text: &[u8]) {
        self.shape.clear();
        self.literals.clear();
        self.directives = Directives::default();
        self.nesting.clear();
        self.hash = 0;
        self.size = Size { bytes: text.len(), tokens: text.len(), depth: text.len() };
    }

    /// Where tokens end is not known, so neither is what is a comment.
    fn lost(&mut self, text: &[u8]) -> Outcome {
        self.clear(text);
        self.directives.lost(text);
        Outcome::Odd
    }

    fn token(&mut self, token: &ScanToken, bytes: &[u8], standard: bool) -> Seen {
        let Ok(kind) = Token::try_from(token.token) else { return Seen::Lost };
        self.nesting.token(kind);
        let literal = match kind {
            Token::CComment => {
                self.directives.comment(token.start as usize, bytes);
                return Seen::Known;
            }
            Token::SqlComment => return Seen::Known,
            // The string behind it says how the string or name before it is read.
            Token::Uescape => return Seen::Odd,
            Token::Ident | Token::Uident | Token::Op | Token::Param => {
                self.shape.extend_from_slice(&(token.token as u16).to_le_bytes());
                self.shape.extend_from_slice(bytes);
                self.shape.push(0);
                return Seen::Known;
            }
            Token::Iconst => Kind::Integer,
            Token::Fconst => Kind::of_number(bytes),
            Token::Sconst if !standard && bytes[0] == b'\'' && bytes.contains(&b'\\') => return Seen::Lost,
            Token::Sconst => Kind::of_string(bytes),
            Token::Usconst => Kind::Odd,
            Token::Bconst | Token::Xconst => Kind::Bits,
            _ => {
                self.shape.extend_from_slice(&(token.token as u16).to_le_bytes());
                return Seen::Known;
            }
        };
        self.shape.extend_from_slice(&[HOLE, HOLE, literal as u8]);
        self.literals.push(Literal { start: token.start as u32, end: token.end as u32, kind: literal });
        Seen::Known
    }
}

/// What a token does to the shape's worth.
enum Seen {
    Known,
    Odd,
    Lost,
}

fn range(token: &ScanToken) -> Range<usize> {
    let end = usize::try_from(token.end).unwrap_or(0);
    usize::try_from(token.start).unwrap_or(usize::MAX).min(end)..end
}

/// Counts how deep a tree can be at each token.
#[derive(Debug, Default)]
struct Nesting {
    /// the depth at which the lists around this one go on; at most as many as tokens
    open: Vec<usize>,
    /// where an element of this list begins
    base: usize,
    depth: usize,
    deepest: usize,
}

impl Nesting {
    fn clear(&mut self) {
        self.open.clear();
        (self.base, self.depth, self.deepest) = (0, 0, 0);
    }

    fn restart(&mut self) {
        self.open.clear();
        (self.base, self.depth) = (0, 0);
    }

    fn token(&mut self, kind: Token) {
        match kind {
            Token::Ascii40 | Token::Ascii91 => {
                self.open.push(self.base);
                self.depth += 1;
                self.base = self.depth;
            }
            // What stands behind may have all of it below.
            Token::Ascii41 | Token::Ascii93 => {
                self.depth = self.base;
                self.base = self.open.pop().unwrap_or(0);
            }
            Token::Ascii44 => self.depth = self.base,
            // `SELECT a, b UNION SELECT a, b UNION ...` leans to one side.
            Token::Union | Token::Intersect | Token::Except => {
                self.base += 1;
                self.depth = self.depth.max(self.base);
            }
            Token::Ascii59 => self.restart(),
            Token::CComment | Token::SqlComment | Token::Ascii46 | Token::Ident | Token::Uident | Token::Param => {}
            Token::Iconst | Token::Fconst | Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst => {}
            _ => self.depth += 1,
        }
        self.deepest = self.deepest.max(self.depth);
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
