//! SASLprep (RFC 4013) of passwords, as PostgreSQL does it (pg_saslprep, src/common/saslprep.c), deviations included: a client and a server that
//! prepare differently cannot agree on a password. The deviations: ASCII passes unchecked, what is prohibited is looked for before normalization
//! and not after, and a password that maps to nothing counts as prohibited. The tables are those of RFC 3454.

use std::borrow::Cow;
use stringprep::tables;
use unicode_normalization::UnicodeNormalization;

/// The prepared password; the password as it is when it is not UTF-8 or holds something prohibited.
pub(super) fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    match std::str::from_utf8(password).ok().and_then(prepare) {
        Some(prepared) => Cow::Owned(prepared.into_bytes()),
        None => Cow::Borrowed(password),
    }
}

fn prepare(password: &str) -> Option<String> {
    let space = |c| if tables::non_ascii_space_character(c) { ' ' } else { c };
    let mapped: String = password.chars().map(space).filter(|&c| !tables::commonly_mapped_to_nothing(c)).collect();
    if mapped.is_empty() || mapped.contains(prohibited) || !bidi(&mapped) {
        return None;
    }
    Some(mapped.nfkc().collect())
}

/// RFC 3454 tables C.2.1 to C.9, and A.1: unassigned in Unicode 3.2. (C.1.2 has been mapped; a `char` is never a surrogate.)
fn prohibited(c: char) -> bool {
    tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// RFC 3454, section 6: text with right-to-left characters has no left-to-right ones and begins and ends with them.
fn bidi(text: &str) -> bool {
    if !text.contains(tables::bidi_r_or_al) {
        return true;
    }
    !text.contains(left_to_right) && text.starts_with(tables::bidi_r_or_al) && text.ends_with(tables::bidi_r_or_al)
}

/// RFC 3454 table D.2, which is that of Unicode 3.2. `tables::bidi_l` follows a newer Unicode, in which these characters have changed sides.
fn left_to_right(c: char) -> bool {
    match c {
        '\u{cbf}' | '\u{cc6}' | '\u{1734}' | '\u{2132}' | '\u{2800}'..='\u{28ff}' | '\u{302e}' | '\u{302f}' => false,
        '\u{17b4}' | '\u{17b5}' | '\u{1885}' | '\u{1886}' => true,
        '\u{1d6c1}' | '\u{1d6db}' | '\u{1d6fb}' | '\u{1d715}' | '\u{1d735}' | '\u{1d74f}' | '\u{1d76f}' | '\u{1d789}' | '\u{1d7a9}' | '\u{1d7c3}' => {
            true
        }
        _ => tables::bidi_l(c),
    }
}

#[cfg(test)]
#[path = "saslprep_tests.rs"]
mod tests;
