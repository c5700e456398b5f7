//! Cuts a text into tokens as PostgreSQL's lexer does (scan.l), as far as words, strings, comments and `;` are told apart. Never wrong silently:
//! where the end of a string depends on `standard_conforming_strings` or on the encoding, which the bytes do not tell, the token is `Lost` and so
//! is everything behind it.
//!
//! Encodings in which a byte below 0x80 may be the second half of a character (SJIS, BIG5, GBK, GB18030, UHC, JOHAB) never use `'`, `"`, `;` or
//! `$` so, but they do use the backslash: see `escaped`.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// an unquoted identifier or keyword
    Word,
    /// `"..."`, its quotes included
    Quoted,
    /// a string of any form, its quotes included
    Text,
    /// what begins with a digit
    Number,
    /// one byte of anything else
    Mark(u8),
    /// `::`
    Cast,
    /// the text is over
    End,
    /// cannot be read for sure from here on
    Lost,
}

/// One token: `text[start..end]`.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    /// None at all, before the first.
    pub const NONE: Token = Token { kind: Kind::End, start: 0, end: 0 };
}

const BLANK: u8 = 1;
const STARTS_WORD: u8 = 2;
const IN_WORD: u8 = 4;
const DIGIT: u8 = 8;
/// `'`, `"`, `$`, `-`, `/`, `:`: more than one byte may belong to it
const LONG: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => BLANK,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => STARTS_WORD | IN_WORD,
            b'0'..=b'9' => DIGIT | IN_WORD,
            b'$' => LONG | IN_WORD,
            b'\'' | b'"' | b'-' | b'/' | b':' => LONG,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// Whether `byte` may stand inside an unquoted word.
pub fn in_word(byte: u8) -> bool {
    class(byte) & IN_WORD != 0
}

/// Whether `byte` may begin an unquoted word.
pub fn starts_word(byte: u8) -> bool {
    class(byte) & STARTS_WORD != 0
}

/// A text and how far it has been read.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

impl<'a> Lexer<'a> {
    /// Reads from `at` on, which is not inside a token.
    pub fn new(text: &'a [u8], at: usize) -> Lexer<'a> {
        Lexer { text, at }
    }

    /// The bytes of a token.
    #[inline]
    pub fn bytes(&self, token: Token) -> &'a [u8] {
        &self.text[token.start..token.end]
    }

    /// The next token behind blanks and comments.
    pub fn token(&mut self) -> Token {
        self.step()
    }

    /// The same where it is worth its room: in the one loop that every text goes through.
    #[inline(always)]
    pub fn step(&mut self) -> Token {
        loop {
            let start = self.at;
            let Some(&byte) = self.text.get(start) else { return Token { kind: Kind::End, start, end: start } };
            let class = class(byte);
            let kind = if class & BLANK != 0 {
                self.at += 1;
                continue;
            } else if class & STARTS_WORD != 0 {
                self.skip_class(IN_WORD);
                Kind::Word
            } else if class & DIGIT != 0 {
                self.skip_class(STARTS_WORD | DIGIT);
                Kind::Number
            } else if class & LONG != 0 {
                match self.long(byte) {
                    Some(kind) => kind,
                    None => continue,
                }
            } else {
                self.at += 1;
                Kind::Mark(byte)
            };
            return Token { kind, start, end: self.at };
        }
    }

    #[inline]
    fn skip_class(&mut self, classes: u8) {
        while self.text.get(self.at).is_some_and(|byte| class(*byte) & classes != 0) {
            self.at += 1;
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// What begins with one of the bytes that may begin something long; None for a comment.
    fn long(&mut self, byte: u8) -> Option<Kind> {
        match (byte, self.peek(1)) {
            (b'\'', _) => return Some(self.string()),
            (b'"', _) => {
                self.quoted();
                return Some(Kind::Quoted);
            }
            (b'$', _) => return Some(self.dollar()),
            (b'-', Some(b'-')) => {
                while self.peek(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
                    self.at += 1;
                }
                return None;
            }
            (b'/', Some(b'*')) => {
                self.comment();
                return None;
            }
            (b':', Some(b':')) => {
                self.at += 2;
                return Some(Kind::Cast);
            }
            _ => self.at += 1,
        }
        Some(Kind::Mark(byte))
    }

    /// A comment of this form may contain others.
    fn comment(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', Some(b'/')) => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// From one `'` to behind the last one; what has no end ends with the text.
    fn string(&mut self) -> Kind {
        let escapes = self.has_prefix(b'e');
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\'' if self.peek(1) == Some(b'\'') => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    return Kind::Text;
                }
                b'\\' if !self.escaped(escapes) => return Kind::Lost,
                b'\\' => {}
                _ => self.at += 1,
            }
        }
        Kind::Text
    }

    /// Whether the byte before this one is the letter, as a word of its own.
    fn has_prefix(&self, letter: u8) -> bool {
        let before = &self.text[..self.at];
        match before {
            [.., other, byte] => byte.to_ascii_lowercase() == letter && !in_word(*other),
            [byte] => byte.to_ascii_lowercase() == letter,
            [] => false,
        }
    }

    /// Goes over backslashes and what they may escape; false when it cannot be told whether a `'` behind them ends the string. It can be told in
    /// `E'...'`, unless a byte before them may be the first half of a character whose second half is the first backslash; in `'...'` it cannot,
    /// unless they are an even number and so escape each other or nobody.
    fn escaped(&mut self, escapes: bool) -> bool {
        let start = self.at;
        while self.peek(0) == Some(b'\\') {
            self.at += 1;
        }
        if self.peek(0) != Some(b'\'') {
            return true;
        }
        if start > 0 && self.text[start - 1] >= 0x80 {
            return false;
        }
        let odd = (self.at - start) % 2 == 1;
        if odd && escapes {
            self.at += 1;
        }
        escapes || !odd
    }

    /// `"..."`: only `""` is special.
    fn quoted(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'"' {
                if self.peek(0) != Some(b'"') {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// `$1`, `$$...$$`, `$tag$...$tag$`.
    fn dollar(&mut self) -> Kind {
        let start = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(starts_word) {
            self.skip_class(STARTS_WORD | DIGIT);
        }
        if self.peek(0) != Some(b'$') {
            // Not a string: a parameter's number, or a mark that means nothing.
            self.at = start + 1;
            self.skip_class(DIGIT);
            return Kind::Number;
        }
        self.at += 1;
        let tag = &self.text[start..self.at];
        while self.at < self.text.len() {
            if self.text[self.at] == b'$' && self.text[self.at..].starts_with(tag) {
                self.at += tag.len();
                return Kind::Text;
            }
            self.at += 1;
        }
        Kind::Text
    }
}

/// The runs of word bytes of a text, wherever they stand: in strings and comments too.
pub fn raw_words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !in_word(*byte) || *byte == b'$').filter(|word| !word.is_empty())
}

#[cfg(test)]
#[path = "lex_tests.rs"]
mod tests;
