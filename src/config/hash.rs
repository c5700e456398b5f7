//! The look of stored passwords, as `pg_authid.rolpassword` holds them.
//! Invariant: what passes here is read by `auth` without an error (a test there compares the two), so a hash that could never let anybody in is a
//! mistake of the file and not of a login. What it proves is left to `auth`.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::snapshot::Hash;

/// Iterations that a verifier may ask for; more would keep a helper busy for seconds.
pub const MAX_ITERATIONS: u32 = 1_000_000;
/// Bytes of each of the two keys.
const KEY: usize = 32;

/// The hash, if it is one.
pub fn parsed(text: &str) -> Option<Hash> {
    match text.strip_prefix("md5") {
        Some(hex) if hex.len() == 32 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) => Some(Hash::Md5(text.to_owned())),
        _ => scram(text).then(|| Hash::Scram(text.to_owned())),
    }
}

fn scram(text: &str) -> bool {
    fn parts(text: &str) -> Option<[&str; 4]> {
        let (challenge, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let ((iterations, salt), (stored, server)) = (challenge.split_once(':')?, keys.split_once(':')?);
        Some([iterations, salt, stored, server])
    }
    let bytes = |text: &str| BASE64_STANDARD.decode(text).map_or(0, |bytes| bytes.len());
    parts(text).is_some_and(|[iterations, salt, stored, server]| {
        let digits = iterations.bytes().all(|digit| digit.is_ascii_digit());
        let count = iterations.parse::<u32>().is_ok_and(|count| (1..=MAX_ITERATIONS).contains(&count));
        digits && count && bytes(salt) > 0 && bytes(stored) == KEY && bytes(server) == KEY
    })
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
