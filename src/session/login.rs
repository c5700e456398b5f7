//! One client's login: from its first byte to the proof that it is who it says. Startup packet, encryption requests (answered N), cancel requests,
//! and then plain, md5 or SCRAM-SHA-256. An unknown user and a wrong password look alike: same challenge, same error.
//!
//! ```text
//! Start ──Startup──▶ Who ──identified──▶ Password (──▶ PasswordWaits) │ Md5 │ SaslFirst ──▶ (SaslWaits ──verifier──▶) SaslFinal ──▶ Done
//! ```
//! PBKDF2 is never run here: a verifier that does not exist yet is asked for (`Step::NeedVerifier`) and given later, and so are the keys of a
//! password that was sent in clear for a user of whom only a SCRAM verifier is known (`Step::NeedCheck`). Under `plain` the time of a refusal tells
//! that a user has such a verifier, as it does in PostgreSQL.

use std::sync::{Arc, OnceLock};

use crate::auth::exchange::ServerExchange;
use crate::auth::scram::{Keys, Verifier, nonce};
use crate::auth::{md5, secrets};
use crate::config::snapshot::{AuthType, ClientSecrets, Hash};
use crate::wire::client::{password_message, sasl_initial_response};
use crate::wire::frame::{self, FrameError};
use crate::wire::startup::{CANCEL_KEY, First, LONG_KEYS_MINOR, NEWEST_MINOR, Replication, Startup, StartupError, first, options};
use crate::wire::{frame::HEADER, server};

/// Startup parameters a client may name; PostgreSQL bounds only their bytes (10000).
const PARAMETERS_MAX: usize = 256;

/// Bytes of the secret in the cancel key of a client of protocol 3.2; as PostgreSQL 18.
pub const LONG_KEY: usize = 32;

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// more bytes of the client
    More,
    /// the engine says who that is (`identified`)
    Who,
    /// the engine has the verifier made and calls `verifier_made`
    NeedVerifier,
    /// the engine has `Check::keys` made and calls `verifier_made`
    NeedCheck(Arc<Check>),
    /// the client wants a query cancelled: (pid, secret)
    Cancel(i32, Vec<u8>),
    /// the client is who it says; AuthenticationOk is written
    Done,
    /// the client is told and closed
    Refused { code: &'static str, message: String },
    /// closed without a word
    Close,
}

/// What the configuration knows of a user.
#[derive(Debug, Default)]
pub struct Identity {
    /// there is such a user of such a database
    pub known: bool,
    pub secrets: Arc<ClientSecrets>,
    pub verifier: Option<Arc<Verifier>>,
}

/// A password sent in clear, on its way to whoever can afford PBKDF2.
pub struct Check {
    pub password: Vec<u8>,
    pub salt: Vec<u8>,
    pub iterations: u32,
    /// made of the password under that salt
    pub keys: OnceLock<Keys>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Check(..)")
    }
}

#[derive(Debug)]
enum State {
    Start,
    Who,
    Password(Identity),
    /// until the keys are made
    PasswordWaits(Box<Verifier>, Arc<Check>),
    Md5(Identity, [u8; 4]),
    SaslFirst(Identity),
    /// the client's first message, until the verifier is made
    SaslWaits(Vec<u8>),
    SaslFinal(Box<ServerExchange>),
    Over,
}

/// A login in progress.
#[derive(Debug)]
pub struct Login {
    state: State,
    asked_ssl: bool,
    asked_gss: bool,
    pub user: String,
    pub database: String,
    /// of protocol 3, as it will be spoken
    pub minor: u16,
    /// what the client wants set in its sessions
    pub parameters: Vec<(String, String)>,
    /// what it wants to replicate
    pub replication: Option<Replication>,
}

impl Default for Login {
    fn default() -> Login {
        Login {
            state: State::Start,
            asked_ssl: false,
            asked_gss: false,
            user: String::new(),
            database: String::new(),
            minor: 0,
            parameters: Vec::new(),
            replication: None,
        }
    }
}

impl Login {
    /// Bytes of the secret in this client's cancel key.
    pub fn key_length(&self) -> usize {
        if self.minor >= LONG_KEYS_MINOR { LONG_KEY } else { *CANCEL_KEY.start() }
    }

    /// It waits for the engine, not for the client.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Who | State::SaslWaits(_) | State::PasswordWaits(..) | State::Over)
    }

    /// Reads bytes; returns how many are consumed and what comes next. What the client is told is appended to `words`.
    pub fn on_bytes(&mut self, bytes: &[u8], random: &[u8; 18], secret: &[u8; 32], words: &mut Vec<u8>) -> (usize, Step) {
        if matches!(self.state, State::Start) {
            return self.start(bytes, words);
        }
        let header = match frame::login_header(bytes) {
            Ok(Some(header)) if bytes.len() >= header.total() => header,
            Ok(_) => return (0, Step::More),
            Err(error @ FrameError::NotPassword(_)) => return (0, Step::Refused { code: "08P01", message: error.to_string() }),
            Err(_) => return (0, Step::Close),
        };
        let body = &bytes[HEADER..header.total()];
        (header.total(), self.proof(body, random, secret, words))
    }

    fn start(&mut self, bytes: &[u8], words: &mut Vec<u8>) -> (usize, Step) {
        let (packet, consumed) = match first(bytes) {
            Ok(Some(packet)) => packet,
            Ok(None) => return (0, Step::More),
            Err(error) => return (0, refuse_start(&error)),
        };
        match packet {
            First::Ssl | First::Gss => {
                let ssl = matches!(packet, First::Ssl);
                let asked = if ssl { &mut self.asked_ssl } else { &mut self.asked_gss };
                let again = std::mem::replace(asked, true);
                if again {
                    return (0, refuse_start(&if ssl { StartupError::second_ssl() } else { StartupError::second_gss() }));
                }
                // Bytes sent before our answer could pass for protected ones later on (CVE-2021-23214): nobody sends such in good faith.
                if bytes.len() > consumed {
                    return (0, Step::Close);
                }
                words.push(b'N');
                (consumed, Step::More)
            }
            First::Cancel { pid, key } => (consumed, Step::Cancel(pid, key.to_vec())),
            First::Startup(startup) => (consumed, self.startup(startup, words)),
        }
    }

    fn startup(&mut self, startup: Startup<'_>, words: &mut Vec<u8>) -> Step {
        #[cfg(test)]
        super::panic_if_asked(startup.user());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.user = text(startup.user());
        self.database = text(startup.database());
        for (name, value) in startup.parameters() {
            let (name, value) = (text(name), text(value));
            match name.as_str() {
                "user" | "database" => {}
                "replication" => match Replication::read(&value) {
                    Some(replication) => self.replication = replication,
                    None => return Step::Refused { code: "22023", message: format!("invalid value for parameter \"replication\": \"{value}\"") },
                },
                "options" => match options(&value) {
                    Ok(more) => self.parameters.extend(more),
                    Err(error) => return Step::Refused { code: error.code(), message: error.to_string() },
                },
                // Options of the protocol, not of the session.
                _ if name.starts_with("_pq_.") => {}
                _ => self.parameters.push((name, value)),
            }
        }
        if self.parameters.len() > PARAMETERS_MAX {
            return Step::Refused { code: "54000", message: format!("more than {PARAMETERS_MAX} startup parameters") };
        }
        let unknown: Vec<&[u8]> = startup.protocol_options().collect();
        self.minor = startup.minor.min(NEWEST_MINOR);
        if startup.minor > self.minor || !unknown.is_empty() {
            // Names that came in one startup packet always fit one message.
            let _ = server::negotiate_protocol_version(words, self.minor, &unknown);
        }
        self.state = State::Who;
        Step::Who
    }

    /// The configuration has been asked about `user` and `database`.
    pub fn identified(&mut self, how: AuthType, identity: Identity, random: &[u8; 18], words: &mut Vec<u8>) -> Step {
        match how {
            AuthType::Trust if identity.known => return self.done(words),
            AuthType::Trust => return self.wrong(),
            AuthType::Plain => {
                server::authentication_cleartext_password(words);
                self.state = State::Password(identity);
            }
            AuthType::Md5 => {
                let salt = [random[0], random[1], random[2], random[3]];
                server::authentication_md5_password(words, salt);
                self.state = State::Md5(identity, salt);
            }
            AuthType::Scram => {
                // One fixed name always fits.
                let _ = server::authentication_sasl(words, &["SCRAM-SHA-256"]);
                self.state = State::SaslFirst(identity);
            }
        }
        Step::More
    }

    fn proof(&mut self, body: &[u8], random: &[u8; 18], secret: &[u8; 32], words: &mut Vec<u8>) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Password(identity) => self.password(body, &identity.secrets, words),
            State::Md5(identity, salt) => self.md5(body, &identity.secrets, salt, words),
            State::SaslFirst(identity) => self.sasl_first(body, identity, random, secret, words),
            State::SaslFinal(exchange) => match exchange.finish(body) {
                Ok(proven) => {
                    // A signature of fixed size always fits.
                    let _ = server::authentication_sasl_final(words, proven.server_final.as_bytes());
                    self.done(words)
                }
                Err(fault) => self.fault(&fault),
            },
            State::Start | State::Who | State::SaslWaits(_) | State::PasswordWaits(..) | State::Over => Step::Close,
        }
    }

    fn password(&mut self, body: &[u8], ours: &ClientSecrets, words: &mut Vec<u8>) -> Step {
        let given = match password_message(body) {
            Ok(given) => given,
            Err(error) => return Step::Refused { code: error.code(), message: error.to_string() },
        };
        let in_clear = any(&ours.passwords, |password| secrets::constant_time_eq(given, password.as_bytes()));
        let (hashed, stored) = match &ours.hash {
            Some(Hash::Md5(hash)) => (secrets::constant_time_eq(md5::stored(self.user.as_bytes(), given).as_bytes(), hash.as_bytes()), None),
            Some(Hash::Scram(text)) => (false, Verifier::parse(text).ok()),
            None => (false, None),
        };
        match stored {
            _ if in_clear | hashed => self.done(words),
            None => self.wrong(),
            Some(verifier) => {
                let (salt, iterations) = (verifier.salt.clone(), verifier.iterations);
                let check = Arc::new(Check { password: given.to_vec(), salt, iterations, keys: OnceLock::new() });
                self.state = State::PasswordWaits(Box::new(verifier), check.clone());
                Step::NeedCheck(check)
            }
        }
    }

    fn md5(&mut self, body: &[u8], ours: &ClientSecrets, salt: [u8; 4], words: &mut Vec<u8>) -> Step {
        let given = match password_message(body) {
            Ok(given) => given,
            Err(error) => return Step::Refused { code: error.code(), message: error.to_string() },
        };
        let in_clear = any(&ours.passwords, |password| md5::verify(self.user.as_bytes(), password.as_bytes(), salt, given));
        let hashed = matches!(&ours.hash, Some(Hash::Md5(hash)) if md5::verify_stored(hash, salt, given));
        if in_clear | hashed { self.done(words) } else { self.wrong() }
    }

    fn sasl_first(&mut self, body: &[u8], identity: Identity, random: &[u8; 18], secret: &[u8; 32], words: &mut Vec<u8>) -> Step {
        let (mechanism, data) = match sasl_initial_response(body) {
            Ok(parts) => parts,
            Err(error) => return Step::Refused { code: error.code(), message: error.to_string() },
        };
        if mechanism != b"SCRAM-SHA-256" {
            return Step::Refused { code: "08P01", message: "client selected an invalid SASL authentication mechanism".into() };
        }
        let data = data.unwrap_or_default();
        let secrets = &identity.secrets;
        let is_possible = !secrets.passwords.is_empty() || matches!(secrets.hash, Some(Hash::Scram(_)));
        match identity.verifier {
            Some(verifier) => self.challenge(&verifier, data, random, words),
            None if is_possible => {
                self.state = State::SaslWaits(data.to_vec());
                Step::NeedVerifier
            }
            None => self.challenge(&Verifier::mock(secret, self.user.as_bytes()), data, random, words),
        }
    }

    /// What was asked for is there: the verifier, or the keys of the check.
    pub fn verifier_made(&mut self, verifier: Option<&Verifier>, random: &[u8; 18], words: &mut Vec<u8>) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), verifier) {
            (State::SaslWaits(data), Some(verifier)) => self.challenge(verifier, &data, random, words),
            (State::PasswordWaits(stored, check), _) if check.keys.get().is_some_and(|keys| stored.accepts(keys)) => self.done(words),
            (State::PasswordWaits(..), _) => self.wrong(),
            _ => Step::Close,
        }
    }

    fn challenge(&mut self, verifier: &Verifier, client_first: &[u8], random: &[u8; 18], words: &mut Vec<u8>) -> Step {
        match ServerExchange::start(verifier, client_first, &nonce(*random)) {
            Ok((exchange, server_first)) => {
                if server::authentication_sasl_continue(words, server_first.as_bytes()).is_err() {
                    return Step::Close;
                }
                self.state = State::SaslFinal(Box::new(exchange));
                Step::More
            }
            Err(fault) => self.fault(&fault),
        }
    }

    fn fault(&self, fault: &crate::auth::exchange::ClientFault) -> Step {
        use crate::auth::exchange::ClientFault;
        match fault {
            ClientFault::Proof => self.wrong(),
            other => Step::Refused { code: other.code(), message: other.to_string() },
        }
    }

    fn done(&mut self, words: &mut Vec<u8>) -> Step {
        server::authentication_ok(words);
        self.state = State::Over;
        Step::Done
    }

    /// The one answer for a wrong password, a user that is not there and a database that is not there.
    fn wrong(&self) -> Step {
        let message = format!(
            "password authentication failed for user \"{}\" on database \"{}\", or that user and database are not configured together",
            self.user, self.database
        );
        Step::Refused { code: "28000", message }
    }
}

/// Whether one of them fits; all are looked at, so that the time tells only how many there are.
fn any(passwords: &[String], fits: impl Fn(&String) -> bool) -> bool {
    passwords.iter().fold(false, |found, password| found | fits(password))
}

fn refuse_start(error: &StartupError) -> Step {
    match error.code() {
        Some(code) => Step::Refused { code, message: error.to_string() },
        None => Step::Close,
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
