//! The `md5` password method, both roles: the answer is `md5` and the hex of md5(hex of md5(password and user) and salt). It protects little and is
//! kept because servers and clients still ask for it. Format: PostgreSQL documentation, "Password-Based Authentication", src/common/md5_common.c.

use super::secrets::constant_time_eq;
use md5::{Digest, Md5};

/// Bytes of an answer, and of the stored form: `md5` and 32 hex digits.
pub const LENGTH: usize = 35;

/// The form in which PostgreSQL stores a password under `md5`: the same prefix, and the hex of md5(password and user).
pub fn stored(user: &[u8], password: &[u8]) -> String {
    digest(password, user)
}

/// Whether a configured password is such a stored form rather than a password, by its look, as get_password_type in src/backend/libpq/crypt.c.
pub fn is_stored(password: &str) -> bool {
    password.len() == LENGTH && password.strip_prefix("md5").is_some_and(|hex| hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// What a client answers to a server's salt (the body of a PasswordMessage, without its zero byte).
pub fn response(user: &[u8], password: &[u8], salt: [u8; 4]) -> String {
    response_from_stored(&stored(user, password), salt)
}

/// [`response`], from the [`stored`] form, which is as good as the password. Any other text gives an answer that no server accepts.
pub fn response_from_stored(stored: &str, salt: [u8; 4]) -> String {
    digest(stored.strip_prefix("md5").unwrap_or_default().as_bytes(), &salt)
}

/// Whether a client's answer to our salt proves the password; compared in constant time.
pub fn verify(user: &[u8], password: &[u8], salt: [u8; 4], answer: &[u8]) -> bool {
    constant_time_eq(response(user, password, salt).as_bytes(), answer)
}

/// [`verify`], against the [`stored`] form; false for any text that is not one.
pub fn verify_stored(stored: &str, salt: [u8; 4], answer: &[u8]) -> bool {
    is_stored(stored) & constant_time_eq(response_from_stored(stored, salt).as_bytes(), answer)
}

fn digest(first: &[u8], second: &[u8]) -> String {
    let digest = Md5::new().chain_update(first).chain_update(second).finalize();
    let hex = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    "md5".chars().chain(digest.into_iter().flat_map(|byte| [hex(byte >> 4), hex(byte)])).collect()
}

#[cfg(test)]
#[path = "md5_tests.rs"]
mod tests;
