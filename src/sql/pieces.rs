//! A text of several statements, cut into them.
//!
//! Invariant: PostgreSQL ends a statement at a semicolon, though not at every one (`BEGIN ATOMIC` has some inside). The cuts are at all semicolons
//! outside of parentheses; as many pieces as there are statements are those statements, and anything else is not cut.

use std::ops::Range;

use pg_query::protobuf::Token;

use super::rows::tokens;

/// Where the `count` statements of a text stand, each with the comments in front of it, without its semicolon; None: that is not sure. `standard` is
/// the session's `standard_conforming_strings`.
pub fn pieces(text: &[u8], standard: bool, count: usize) -> Option<Box<[Range<usize>]>> {
    if !standard && text.contains(&b'\\') {
        return None;
    }
    let (mut pieces, mut start, mut words) = (Vec::with_capacity(count), 0, false);
    for token in tokens(text)? {
        if token.kind != Token::Ascii59 || token.depth > 0 {
            words = true;
            continue;
        }
        if std::mem::take(&mut words) {
            pieces.push(start..token.range.start);
        }
        start = token.range.end;
    }
    if words {
        pieces.push(start..text.len());
    }
    (pieces.len() == count).then(|| pieces.into())
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
