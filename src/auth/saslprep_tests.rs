//! SASLprep: mapping, what is prohibited, both directions of writing. `scram_tests` compares whole verifiers with PostgreSQL's.

use super::*;
use crate::wire::mutate::survives;

fn prepares(password: &str, expected: &str) {
    assert_eq!(prepared(password.as_bytes()), expected.as_bytes(), "{password:?}");
}

#[test]
fn characters_are_mapped_and_normalized() {
    prepares("", "");
    prepares("a\tb\x7f", "a\tb\x7f");
    prepares("I\u{ad}X", "IX");
    prepares("\u{2168}\u{a0}\u{aa}", "IX a");
    prepares("\u{200b}x\u{200c}", " x");
    prepares("u\u{308}", "\u{fc}");
}

#[test]
fn what_is_prohibited_leaves_the_password_as_it_is() {
    // The soft hyphen would vanish; a control character, a private one, an unassigned one and a tag each forbid that.
    for prohibited in ['\u{7}', '\u{85}', '\u{e000}', '\u{1f100}', '\u{e0041}', '\u{fffd}', '\u{200e}', '\u{2ff0}', '\u{fdd0}'] {
        let password = format!("\u{ad}{prohibited}");
        prepares(&password, &password);
    }
    prepares("\u{ad}", "\u{ad}");
    assert_eq!(&*prepared(b"\xc2\xad\xff"), b"\xc2\xad\xff");
}

#[test]
fn directions_are_not_mixed() {
    prepares("\u{ad}\u{627}\u{628}", "\u{627}\u{628}");
    prepares("\u{ad}\u{627}1\u{628}", "\u{627}1\u{628}");
    for mixed in ["\u{ad}\u{627}x\u{628}", "\u{ad}\u{627}1", "\u{ad}1\u{627}", "\u{ad}\u{627}\u{1d6c1}\u{627}", "\u{ad}\u{627}\u{17b4}\u{627}"] {
        prepares(mixed, mixed);
    }
    prepares("\u{ad}\u{627}\u{2800}\u{627}", "\u{627}\u{2800}\u{627}");
}

#[test]
fn damaged_passwords_are_survived() {
    survives(&["I\u{ad}X\u{2168}\u{627}\u{a0}".as_bytes()], 20_000, |bytes| {
        assert!(!prepared(bytes).is_empty() || bytes.is_empty());
    });
}
