//! SCRAM-SHA-256 keys: from passwords (slow on purpose), from stored verifiers, and for users who do not exist. A password is never kept here, only
//! keys derived from it. The conversation that proves a password is left to `exchange`; random salts and threads for the slow part to the callers.
//!
//! RFC 5802 with SHA-256 (RFC 7677); PostgreSQL src/common/scram-common.c and src/backend/libpq/auth-scram.c.

use super::saslprep::prepared;
use super::secrets::constant_time_eq;
use crate::config::snapshot::{ClientSecrets, Hash};
use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The name of the mechanism. Its variant with channel binding, SCRAM-SHA-256-PLUS, is not spoken.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// Iterations of a new verifier: PostgreSQL's default (SCRAM_DEFAULT_ITERATIONS).
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// The most iterations that a server or a verifier may ask of us, about a second of one core. More is refused, for a server could otherwise keep
/// our helpers busy as long as it likes.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Bytes of a new salt (SCRAM_DEFAULT_SALT_LEN).
pub const SALT: usize = 16;

/// Bytes of a key.
pub const KEY: usize = 32;

/// A 32-byte secret of the derivation.
pub type Key = [u8; KEY];

/// Hi(password, salt, iterations): the expensive step, some milliseconds at 4096 iterations. Never on a data core.
///
/// The password is prepared with SASLprep; one that is not UTF-8 or holds prohibited characters is taken as it is, as PostgreSQL does. Zero
/// iterations count as one; the bound from above is [`MAX_ITERATIONS`], which every parser here applies.
pub fn salted_password(password: impl AsRef<[u8]>, salt: &[u8], iterations: u32) -> Key {
    pbkdf2::pbkdf2_hmac_array::<Sha256, KEY>(&prepared(password.as_ref()), salt, iterations.clamp(1, MAX_ITERATIONS))
}

/// HMAC over the concatenation of `parts`.
pub(super) fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    // A key shorter than SHA-256's block is extended with zeros (RFC 2104), so a whole block can be given, for which nothing can fail.
    let mut block = [0; 64];
    block[..KEY].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// H(key).
pub(super) fn hash(key: &Key) -> Key {
    Sha256::digest(key).into()
}

/// What a server keeps of a password: enough to check a proof, not enough to give one.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// H(ClientKey)
    pub stored: Key,
    /// HMAC(SaltedPassword, "Server Key")
    pub server: Key,
}

impl Keys {
    /// From the result of [`salted_password`]; cheap.
    pub fn from_salted(salted: &Key) -> Self {
        let ClientKeys { client, server } = ClientKeys::from_salted(salted);
        Self { stored: hash(&client), server }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// What a client keeps of a password, for one salt and number of iterations: as good as the password against servers that use the same.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {
    /// HMAC(SaltedPassword, "Client Key")
    pub client: Key,
    /// HMAC(SaltedPassword, "Server Key")
    pub server: Key,
}

impl ClientKeys {
    /// From the result of [`salted_password`]; cheap.
    pub fn from_salted(salted: &Key) -> Self {
        Self { client: hmac(salted, &[b"Client Key"]), server: hmac(salted, &[b"Server Key"]) }
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys(..)")
    }
}

/// A stored verifier cannot be used; the operator's fault (users.toml, or rolpassword of the server that it came from).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VerifierError {
    /// Not `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` with base64 of 32 bytes for each key.
    #[error("not a SCRAM-SHA-256 verifier; it must read SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, as pg_authid.rolpassword does")]
    Form,
    /// More iterations than any sane server uses.
    #[error("a SCRAM-SHA-256 verifier with more than {MAX_ITERATIONS} iterations, or none; create it anew with fewer")]
    Iterations,
}

/// How passwords of a user are checked: in the words of PostgreSQL a SCRAM secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// 1 to [`MAX_ITERATIONS`]
    pub iterations: u32,
    /// not empty; [`SALT`] bytes when it is ours
    pub salt: Vec<u8>,
    /// the user's password
    pub keys: Keys,
    /// further passwords that are as good, all under the same salt and number of iterations (the one challenge that SCRAM allows must fit all)
    pub others: Vec<Keys>,
    /// There is no such user: whatever the proof, it fails.
    pub(super) doomed: bool,
}

impl Verifier {
    /// A verifier with one password's keys.
    pub fn new(iterations: u32, salt: impl Into<Vec<u8>>, keys: Keys) -> Self {
        Self { iterations, salt: salt.into(), keys, others: Vec::new(), doomed: false }
    }

    /// From a password: one [`salted_password`], so never on a data core.
    pub fn from_password(password: impl AsRef<[u8]>, salt: &[u8], iterations: u32) -> Self {
        Self::new(iterations, salt, Keys::from_salted(&salted_password(password, salt, iterations)))
    }

    /// Adds another password that lets the same user in: one [`salted_password`], so never on a data core.
    pub fn add_password(&mut self, password: impl AsRef<[u8]>) {
        self.others.push(Keys::from_salted(&salted_password(password, &self.salt, self.iterations)));
    }

    /// Of a user with these passwords and this stored form, each as good as another: all stand under the salt of the stored form, if there is one
    /// that is SCRAM's, else under `salt`. One [`salted_password`] for each password, so never on a data core. None: there is neither.
    pub fn of_secrets(secrets: &ClientSecrets, salt: &[u8]) -> Option<Self> {
        let stored = match &secrets.hash {
            Some(Hash::Scram(text)) => Self::parse(text).ok(),
            _ => None,
        };
        let mut passwords = secrets.passwords.iter();
        let mut verifier = match stored {
            Some(stored) => stored,
            None => Self::from_password(passwords.next()?, salt, DEFAULT_ITERATIONS),
        };
        passwords.for_each(|password| verifier.add_password(password));
        Some(verifier)
    }

    /// Reads the stored form. The inverse of Display, apart from `others`.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        fn key(text: &str) -> Option<Key> {
            BASE64_STANDARD.decode(text).ok()?.try_into().ok()
        }
        fn fields(text: &str) -> Option<(&str, Vec<u8>, Keys)> {
            let (challenge, keys) = text.strip_prefix(MECHANISM)?.strip_prefix('$')?.split_once('$')?;
            let (iterations, salt) = challenge.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let salt = BASE64_STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
            Some((iterations, salt, Keys { stored: key(stored)?, server: key(server)? }))
        }
        let (iterations, salt, keys) = fields(text).ok_or(VerifierError::Form)?;
        match number(iterations.as_bytes()) {
            None => Err(VerifierError::Form),
            Some(iterations @ 1..=MAX_ITERATIONS) => Ok(Self::new(iterations, salt, keys)),
            Some(_) => Err(VerifierError::Iterations),
        }
    }

    /// Whether a configured password is a verifier rather than a password, by its look, as get_password_type in src/backend/libpq/crypt.c.
    pub fn is_stored(text: &str) -> bool {
        Self::parse(text).is_ok()
    }

    /// For a user who does not exist: a challenge that looks like those of other users, and that nobody can meet.
    ///
    /// `secret` is random and lives as long as the process, so that asking twice gives the same salt. The salts of users whose passwords we know in
    /// clear should come from [`salt_of`] too: then all change together at a restart. (A user with other iterations stands out, as in PostgreSQL.)
    pub fn mock(secret: &Key, user: &[u8]) -> Self {
        let keys = Keys { stored: [0; KEY], server: [0; KEY] };
        Self { doomed: true, ..Self::new(DEFAULT_ITERATIONS, salt_of(secret, user), keys) }
    }

    /// Whether a password sent in clear is this user's: one [`salted_password`], so never on a data core.
    pub fn accepts_password(&self, password: impl AsRef<[u8]>) -> bool {
        self.accepts(&Keys::from_salted(&salted_password(password, &self.salt, self.iterations)))
    }

    /// Whether these keys, made of a password under this verifier's salt and iterations, are of one of this user's passwords; cheap.
    pub fn accepts(&self, offered: &Keys) -> bool {
        self.all_keys().fold(false, |found, keys| found | constant_time_eq(&keys.server, &offered.server)) & !self.doomed
    }

    pub(super) fn all_keys(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.keys).chain(&self.others)
    }
}

impl fmt::Display for Verifier {
    /// The form of pg_authid.rolpassword, which [`Verifier::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let (salt, stored, server) = (encode(&self.salt), encode(&self.keys.stored), encode(&self.keys.server));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        Self::parse(text)
    }
}

/// A salt that depends on a secret of the process and a user's name, and tells nothing about either.
pub fn salt_of(secret: &Key, user: &[u8]) -> [u8; SALT] {
    let mut salt = [0; SALT];
    salt.copy_from_slice(&hmac(secret, &[b"salt of ", user])[..SALT]);
    salt
}

/// A nonce in the alphabet that SCRAM allows, from 18 random bytes (SCRAM_RAW_NONCE_LEN).
pub fn nonce(random: [u8; 18]) -> String {
    BASE64_STANDARD.encode(random)
}

/// An unsigned decimal number of digits alone. None = something else; beyond u32 it stays at the largest u32.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
