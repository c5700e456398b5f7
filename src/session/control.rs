//! What a text begins with, where that is enough to know: a transaction, for statement mode, in which there is none to begin; or its COMMIT. What the
//! first words do not show (BEGIN behind another statement, in a procedure) is left to the status that the server tells in the end.

/// Bytes of a text that are looked at.
pub const LOOK_MAX: usize = 4 * 1024;

/// What a text's first words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    Yes,
    No,
    /// ask again with more of the text
    NeedMore,
}

/// Looks at the first words of `text`, behind blanks, comments and empty statements. `whole`: there is no more of it. A zero byte ends it too.
pub fn begins_transaction(text: &[u8], whole: bool) -> Begins {
    let mut rest = Rest(text);
    let found = rest.begins();
    // What was decided at the end of the text may be otherwise with more of it.
    if rest.0.is_empty() && !whole && text.len() < LOOK_MAX { Begins::NeedMore } else { found }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn begins(&mut self) -> Begins {
        self.skip(true);
        let word = self.word();
        if word.eq_ignore_ascii_case(b"begin") {
            return Begins::Yes;
        }
        if word.eq_ignore_ascii_case(b"start") {
            self.skip(false);
            if self.word().eq_ignore_ascii_case(b"transaction") {
                return Begins::Yes;
            }
        }
        Begins::No
    }

    /// Blanks and comments, and the ends of empty statements if `empty`.
    fn skip(&mut self, empty: bool) {
        loop {
            match self.0 {
                [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, rest @ ..] => self.0 = rest,
                [b';', rest @ ..] if empty => self.0 = rest,
                [b'-', b'-', rest @ ..] => {
                    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                    self.0 = &rest[end..];
                }
                [b'/', b'*', rest @ ..] => self.0 = behind_comment(rest),
                // The first half of a comment's beginning, at the end of what is here.
                [b'-' | b'/'] => self.0 = &[],
                _ => return,
            }
        }
    }

    fn word(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80));
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }
}

/// What follows a comment whose beginning was read; comments nest.
fn behind_comment(mut rest: &[u8]) -> &[u8] {
    let mut depth = 1;
    while depth > 0 {
        match rest {
            [b'*', b'/', more @ ..] => (depth, rest) = (depth - 1, more),
            [b'/', b'*', more @ ..] => (depth, rest) = (depth + 1, more),
            [_, more @ ..] => rest = more,
            [] => break,
        }
    }
    rest
}

/// Whether this text, as far as it is there, begins with COMMIT or END. It only decides what a client is told when its server is lost meanwhile, so
/// that comments and several statements in one text need not be understood.
#[inline]
pub(super) fn commits(sql: &[u8]) -> bool {
    // Hardly any other text begins like that.
    matches!(sql.first(), Some(b'c' | b'C' | b'e' | b'E' | b' ' | b'\n' | b'\t' | b'\r')) && is_commit(sql.trim_ascii_start())
}

fn is_commit(sql: &[u8]) -> bool {
    [&b"COMMIT"[..], b"END"].iter().any(|word| {
        let begins = sql.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        begins && !sql.get(word.len()).is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
    })
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
