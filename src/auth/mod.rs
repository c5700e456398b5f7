//! Who is this: the proofs that a client gives us and that we give a server. Pure: nonces, salts and secrets are arguments, and the expensive part of
//! SCRAM (PBKDF2) stands apart from the exchanges so that it can run off the data cores. Which user may do what is left to `session`.

pub mod exchange;
pub mod md5;
pub mod scram;
pub mod secrets;

mod saslprep;
