//! Our own login at a server: startup packet, whatever proof it asks for, what it reports before it is ready, and which shard it is, if that matters;
//! whether it is the right one is left to the engine. PBKDF2 is never run here: keys that
//! do not exist yet for the server's salt are asked for and given later.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::auth::exchange::{Answered, Challenge, ClientExchange};
use crate::auth::md5;
use crate::auth::scram::{ClientKeys, nonce};
use crate::config::snapshot::PoolSpec;
use crate::route::proof::{PROVE, Said, read};
use crate::wire::client;
use crate::wire::frame::{self, EncodeError, HEADER};
use crate::wire::server::{
    Authentication, data_row_values, error_fields, parse_authentication, parse_backend_key_data, parse_negotiate_protocol_version,
    parse_parameter_status,
};
use crate::wire::startup::Replication;

/// No message of a login is larger in good faith.
const MESSAGE_MAX: usize = 64 * 1024;
/// Parameters a server reports; PostgreSQL 18 has about 15.
const PARAMETERS_MAX: usize = 128;

/// What a server reports about its sessions: names and values, in the order of its first report.
pub type Reported = Vec<(String, String)>;

/// Adds one report, which replaces an earlier one of the same name.
pub fn report(known: &mut Reported, name: &str, value: &str) {
    if let Some(known) = known.iter_mut().find(|(other, _)| other == name) {
        known.1 = value.to_string();
    } else if known.len() < PARAMETERS_MAX {
        known.push((name.to_string(), value.to_string()));
    }
}

/// pid and secret for cancel requests.
pub type CancelKey = Option<(i32, Vec<u8>)>;

/// Keys for one salt and count, as they are cached.
#[derive(Debug)]
pub struct SaltedKeys {
    /// which of the pool's passwords they are made of
    pub password: usize,
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub keys: ClientKeys,
}

/// Which of a pool's passwords is used at its server: the one that was right last. Each wrong one leads to the next.
#[derive(Debug, Default)]
pub struct PasswordInUse {
    which: AtomicUsize,
    /// passwords that the server has refused since it last took one
    refused: AtomicUsize,
}

impl PasswordInUse {
    /// The one to try.
    pub fn which(&self) -> usize {
        self.which.load(Ordering::Relaxed)
    }

    /// The server has taken the one that was tried.
    pub fn right(&self) {
        self.refused.store(0, Ordering::Relaxed);
    }

    /// The server has refused `which` of so many. True: another one is worth a try now; false: the server has refused them all.
    pub fn wrong(&self, which: usize, passwords: usize) -> bool {
        let next = (which + 1) % passwords.max(1);
        if self.which.compare_exchange(which, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            // Another connection has gone on to the next one already.
            return passwords > 1;
        }
        self.refused.fetch_add(1, Ordering::Relaxed) + 1 < passwords
    }
}

/// How far the login is.
#[derive(Debug, PartialEq, Eq)]
pub enum Greeted {
    /// more bytes of the server
    More,
    /// keys for this salt and count are needed; `keys_made` goes on
    NeedKeys { salt: Vec<u8>, iterations: u32 },
    /// the server is ready
    Ready,
    /// the server does not let us in, or says what cannot be
    Failed { code: String, message: String },
}

enum State {
    /// the first authentication message
    Asked,
    Sasl(ClientExchange),
    Challenged(Challenge),
    Answered(Answered),
    /// AuthenticationOk may come
    Proven,
    /// parameters and the key, until ReadyForQuery
    In,
    /// the answer to who the server is, until ReadyForQuery
    Told,
}

/// A login in progress.
pub struct Greeting {
    state: State,
    /// which of the pool's passwords is tried
    password: usize,
    /// minor protocol version asked for
    minor: u16,
    key: CancelKey,
    parameters: Reported,
    asks: Asks,
    /// what came back
    said: Option<Said>,
}

/// Whether the login asks the server which shard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Nothing,
    /// as soon as something goes out behind which it can go
    Later,
    Asked,
}

fn failed(code: &str, message: impl Into<String>) -> Greeted {
    Greeted::Failed { code: code.to_string(), message: message.into() }
}

impl Greeting {
    /// Begins; `words` get the startup packet of protocol 3.`minor`.
    pub fn start(spec: &PoolSpec, minor: u16, words: &mut Vec<u8>) -> Greeting {
        let mut parameters = vec![("user", spec.server_user.as_str()), ("database", spec.server_database.as_str())];
        parameters.extend(spec.parameters.iter().map(|(name, value)| (*name, value.as_str())));
        // Names with zero bytes cannot come out of a TOML file that was checked; the server would refuse what is cut.
        let _ = client::startup(words, minor, &parameters);
        Greeting::new(minor)
    }

    /// Begins for a client that replicates: the packet says so, and says what that client wants set, since some of these connections take no SQL to
    /// set it later. What the client says comes last and counts.
    pub fn replicating(
        spec: &PoolSpec,
        minor: u16,
        kind: Replication,
        wishes: &[(String, String)],
        words: &mut Vec<u8>,
    ) -> Result<Greeting, EncodeError> {
        let mut parameters = vec![("user", spec.server_user.as_str()), ("database", spec.server_database.as_str()), ("replication", kind.word())];
        parameters.extend(spec.parameters.iter().map(|(name, value)| (*name, value.as_str())));
        parameters.extend(wishes.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        client::startup(words, minor, &parameters)?;
        Ok(Greeting::new(minor))
    }

    fn new(minor: u16) -> Greeting {
        Greeting { state: State::Asked, password: 0, minor, key: None, parameters: Vec::new(), asks: Asks::Nothing, said: None }
    }

    /// The same, and the server has to say which shard it is. The question goes out with the last proof, so that it costs no round trip of its own.
    pub fn asking_who(self) -> Greeting {
        Greeting { asks: Asks::Later, ..self }
    }

    /// What it said, if it was asked.
    pub fn take_said(&mut self) -> Option<Said> {
        self.said.take()
    }

    fn ask(&mut self, words: &mut Vec<u8>) {
        if self.asks == Asks::Later {
            // Fixed and short.
            let _ = client::query(words, PROVE.as_bytes());
            self.asks = Asks::Asked;
        }
    }

    /// The same with another of the pool's passwords than the first.
    pub fn trying(self, password: usize) -> Greeting {
        Greeting { password, ..self }
    }

    /// Which of the pool's passwords is tried.
    pub fn password_tried(&self) -> usize {
        self.password
    }

    /// What the server told about itself.
    pub fn into_parts(self) -> (CancelKey, Reported) {
        (self.key, self.parameters)
    }

    /// Reads bytes; returns how many are consumed and how far the login is. Our answers are appended to `words`.
    pub fn on_bytes(
        &mut self,
        bytes: &[u8],
        spec: &PoolSpec,
        cached: Option<&SaltedKeys>,
        random: &[u8; 18],
        words: &mut Vec<u8>,
    ) -> (usize, Greeted) {
        let mut at = 0;
        loop {
            let header = match frame::header(&bytes[at..]) {
                Ok(Some(header)) if header.body > MESSAGE_MAX => return (at, failed("08P01", "the server sent an oversized message during login")),
                Ok(Some(header)) if bytes.len() - at >= header.total() => header,
                Ok(_) => return (at, Greeted::More),
                Err(error) => return (at, failed("08P01", format!("the server does not speak PostgreSQL's protocol: {error}"))),
            };
            let body = &bytes[at + HEADER..at + header.total()];
            at += header.total();
            let greeted = self.message(header.kind, body, spec, cached, random, words);
            if greeted != Greeted::More {
                return (at, greeted);
            }
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], spec: &PoolSpec, cached: Option<&SaltedKeys>, random: &[u8; 18], words: &mut Vec<u8>) -> Greeted {
        #[cfg(test)]
        super::panic_if_asked(body);
        match (kind, &self.state) {
            // Nobody is there yet whom a notice or a notification could be for.
            (b'N' | b'A', _) => Greeted::More,
            (b'v', State::Asked) => match parse_negotiate_protocol_version(body) {
                // Whatever it is, we speak it: what differs is the length of a key that is kept as it comes.
                Some(minor) if minor <= self.minor => Greeted::More,
                _ => failed("08P01", "the server wants a version of the protocol that pg_dog did not ask for"),
            },
            (b'E', State::Told) => self.not_told(body),
            (b'E', _) => match error_fields(body) {
                Ok(fields) if fields.message.is_empty() => failed(fields.sqlstate(), "the server refused the login without saying why"),
                Ok(fields) => failed(fields.sqlstate(), fields.text().into_owned()),
                Err(_) => failed("08P01", "the server refused the login, and its reason cannot be read"),
            },
            (b'R', State::In) => failed("08P01", "the server asked for a proof again"),
            (b'R', _) => match parse_authentication(body) {
                Ok(request) => self.prove(request, spec, cached, random, words),
                Err(error) => failed("08P01", error.to_string()),
            },
            (b'S', _) => {
                if let Some((name, value)) = parse_parameter_status(body) {
                    report(&mut self.parameters, name, value);
                }
                Greeted::More
            }
            (b'K', State::In) => {
                self.key = parse_backend_key_data(body).map(|(pid, key)| (pid, key.to_vec()));
                Greeted::More
            }
            (b'Z', State::In) if self.asks == Asks::Nothing => Greeted::Ready,
            (b'Z', State::In) => {
                self.state = State::Told;
                Greeted::More
            }
            (b'D', State::Told) => {
                self.said = Some(data_row_values(body).map_or(Said::Unreadable, |columns| read(&columns)));
                Greeted::More
            }
            (b'T' | b'C', State::Told) => Greeted::More,
            (b'Z', State::Told) => {
                self.said.get_or_insert(Said::Unreadable);
                Greeted::Ready
            }
            _ => failed("08P01", format!("the server sent a message of type {:?} during login", char::from(kind))),
        }
    }

    /// The server does not say which shard it is.
    fn not_told(&mut self, body: &[u8]) -> Greeted {
        let Ok(fields) = error_fields(body) else { return failed("08P01", "the server does not say who it is, and its reason cannot be read") };
        if fields.severity != b"ERROR" {
            return failed(fields.sqlstate(), fields.text().into_owned());
        }
        self.said = Some(Said::Error(fields.sqlstate().to_owned(), fields.text().into_owned()));
        Greeted::More
    }

    fn prove(
        &mut self,
        request: Authentication<'_>,
        spec: &PoolSpec,
        cached: Option<&SaltedKeys>,
        random: &[u8; 18],
        words: &mut Vec<u8>,
    ) -> Greeted {
        let asked = std::mem::replace(&mut self.state, State::Proven);
        match (request, asked) {
            (Authentication::Ok, State::Asked | State::Proven) => {
                self.state = State::In;
                self.ask(words);
                Greeted::More
            }
            // SCRAM proves both sides; a server that skips its own proof is not the one that knows our password.
            (Authentication::Ok, _) => failed("28000", "the server ended SCRAM-SHA-256 without proving that it knows the password"),
            (Authentication::CleartextPassword, State::Asked) => self.password(spec, words, |password| password.to_string()),
            (Authentication::Md5Password { salt }, State::Asked) => {
                self.password(spec, words, |password| md5::response(spec.server_user.as_bytes(), password.as_bytes(), salt))
            }
            (Authentication::Sasl(mechanisms), State::Asked) => {
                if !mechanisms.offers("SCRAM-SHA-256") {
                    return failed("0A000", "the server offers no SASL mechanism that pg_dog speaks (SCRAM-SHA-256)");
                }
                if spec.server_passwords.is_empty() {
                    return no_password(spec);
                }
                match ClientExchange::start(&nonce(*random)) {
                    Ok((exchange, message)) => {
                        self.state = State::Sasl(exchange);
                        let _ = client::sasl_initial(words, "SCRAM-SHA-256", message.as_bytes());
                        Greeted::More
                    }
                    Err(fault) => failed("28000", fault.to_string()),
                }
            }
            (Authentication::SaslContinue(data), State::Sasl(exchange)) => match exchange.challenge(data) {
                Ok(challenge) => {
                    self.state = State::Challenged(challenge);
                    self.keys_made(cached, words)
                }
                Err(fault) => failed("28000", fault.to_string()),
            },
            (Authentication::SaslFinal(data), State::Answered(answered)) => match answered.verify(data) {
                Ok(()) => Greeted::More,
                Err(fault) => failed("28000", fault.to_string()),
            },
            (Authentication::Unsupported(kind), _) => {
                failed("0A000", format!("the server asks for authentication method {kind}, which pg_dog does not speak"))
            }
            _ => failed("08P01", "the server's authentication messages are out of order"),
        }
    }

    /// Goes on with keys that were asked for; None or keys for another salt: asks (again).
    pub fn keys_made(&mut self, keys: Option<&SaltedKeys>, words: &mut Vec<u8>) -> Greeted {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Proven) else {
            return failed("08P01", "keys came that nobody asked for");
        };
        match keys.filter(|keys| keys.password == self.password && keys.salt == challenge.salt && keys.iterations == challenge.iterations) {
            Some(keys) => {
                let (answered, message) = challenge.answer(&keys.keys);
                self.state = State::Answered(answered);
                let _ = client::sasl_response(words, message.as_bytes());
                self.ask(words);
                Greeted::More
            }
            None => {
                let needed = Greeted::NeedKeys { salt: challenge.salt.clone(), iterations: challenge.iterations };
                self.state = State::Challenged(challenge);
                needed
            }
        }
    }

    fn password(&mut self, spec: &PoolSpec, words: &mut Vec<u8>, answer: impl FnOnce(&str) -> String) -> Greeted {
        let Some(password) = spec.server_passwords.get(self.password) else { return no_password(spec) };
        match client::password(words, answer(password).as_bytes()) {
            Ok(()) => {
                self.ask(words);
                Greeted::More
            }
            Err(error) => failed("28000", format!("the configured password cannot be sent: {error}")),
        }
    }
}

fn no_password(spec: &PoolSpec) -> Greeted {
    failed(
        "28000",
        format!(
            "the server asks for a password for user \"{}\", and none is configured (users.toml: password, passwords or server_password)",
            spec.server_user
        ),
    )
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
