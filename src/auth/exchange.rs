//! The SCRAM-SHA-256 conversation, both roles, one type per state: a step consumes the state it is allowed in and gives the next, so no step can be
//! taken twice or skipped. No PBKDF2 happens here, the steps take keys; nonces are arguments. Framing is left to `wire`, what a failure costs the
//! client to `session`.
//!
//! RFC 5802, sections 5 to 7; what is tolerated and refused follows PostgreSQL's src/backend/libpq/auth-scram.c for clients' messages and
//! src/interfaces/libpq/fe-auth-scram.c for servers'.

use super::scram::{ClientKeys, KEY, Key, Keys, MAX_ITERATIONS, Verifier, hash, hmac, number};
use super::secrets::constant_time_eq;
use base64::prelude::{BASE64_STANDARD, Engine};
use thiserror::Error;

/// The longest message of a client, in bytes: PG_MAX_SASL_MESSAGE_LENGTH (src/backend/libpq/auth-sasl.c) less the length word.
pub const MAX_CLIENT_MESSAGE: usize = 1024 - 4;

/// The longest message of a server, in bytes; libpq ends at 2000.
pub const MAX_SERVER_MESSAGE: usize = 2000;

/// Why a client's message ends the login. The texts are PostgreSQL's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ClientFault {
    /// The message does not have the form of RFC 5802; `detail()` says where.
    #[error("malformed SCRAM message")]
    Malformed(&'static str),
    /// The client asks for an extension that it cannot do without.
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
    /// The client wants to act as another user.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// The channel-binding flag changed between the client's two messages.
    #[error("unexpected SCRAM channel-binding attribute in client-final-message")]
    Binding,
    /// The nonce is not made of printable ASCII.
    #[error("non-printable characters in SCRAM nonce")]
    UnprintableNonce,
    /// The final message does not repeat both nonces.
    #[error("invalid SCRAM response")]
    Nonce,
    /// Wrong password, or no such user: say the same for both, as for every other method.
    #[error("password authentication failed")]
    Proof,
    /// Not the client's fault: the nonce given to [`ServerExchange::start`] is empty or not printable.
    #[error("the server's SCRAM nonce is not printable; make it with auth::scram::nonce")]
    OurNonce,
}

impl ClientFault {
    /// The SQLSTATE of the FATAL error to answer with.
    pub const fn code(self) -> &'static str {
        match self {
            ClientFault::Malformed(_) | ClientFault::Binding | ClientFault::UnprintableNonce | ClientFault::Nonce => "08P01",
            ClientFault::Extension | ClientFault::AuthorizationIdentity => "0A000",
            ClientFault::Proof => "28P01",
            ClientFault::OurNonce => "XX000",
        }
    }

    /// The detail of the error to answer with.
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            ClientFault::Malformed(detail) => Some(detail),
            ClientFault::Nonce => Some("Nonce does not match."),
            _ => None,
        }
    }
}

/// The rest of a message that is read attribute by attribute.
struct Attributes<'a>(&'a str);

impl<'a> Attributes<'a> {
    /// The bytes of a message as attributes; None = too long, empty, or with a zero byte or other than UTF-8 in it.
    fn new(message: &'a [u8], limit: usize) -> Option<Self> {
        let fits = !message.is_empty() && message.len() <= limit && !message.contains(&0);
        std::str::from_utf8(message).ok().filter(|_| fits).map(Self)
    }

    /// The next `letter=value`, whatever the letter.
    fn any(&mut self) -> Option<(u8, &'a str)> {
        let (attribute, rest) = self.0.split_once(',').unwrap_or((self.0, ""));
        let (letter, value) = attribute.split_once('=')?;
        let &[letter] = letter.as_bytes() else { return None };
        self.0 = rest;
        letter.is_ascii_alphabetic().then_some((letter, value))
    }

    /// The value of the next attribute, which has to be this one.
    fn value(&mut self, letter: u8) -> Option<&'a str> {
        self.any().filter(|(found, _)| *found == letter).map(|(_, value)| value)
    }
}

fn printable(nonce: &str) -> bool {
    nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b',')
}

/// ClientProof = ClientKey XOR ClientSignature, and back.
fn xor(left: &Key, right: &Key) -> Key {
    std::array::from_fn(|at| left[at] ^ right[at])
}

/// AuthMessage with the messages so far; both sides sign it.
fn signature(key: &Key, first_bare: &str, server_first: &str, without_proof: &str) -> Key {
    let parts = [first_bare, ",", server_first, ",", without_proof].map(str::as_bytes);
    hmac(key, &parts)
}

/// The server's role after server-first-message has been made: we have challenged a client and wait for its proof.
#[derive(Debug)]
pub struct ServerExchange {
    verifier: Verifier,
    /// `biws` or `eSws`, what the client's final message has to say about channel binding
    binding: &'static str,
    first_bare: String,
    server_first: String,
    /// client's and server's nonce
    nonce: String,
}

/// A client has proved that it knows the password.
#[derive(Debug, PartialEq, Eq)]
pub struct Proven {
    /// server-final-message, for AuthenticationSASLFinal
    pub server_final: String,
    /// The client's keys, with which one could log in as that user at a server with the same verifier.
    pub keys: ClientKeys,
}

impl ServerExchange {
    /// Reads client-first-message and makes server-first-message, for AuthenticationSASLContinue. `nonce` is ours: fresh, from `scram::nonce`.
    ///
    /// The channel-binding flags `n` and `y` are accepted (we never offer SCRAM-SHA-256-PLUS), `p` is refused. The user's name in the message is
    /// ignored, as PostgreSQL does: the startup packet's counts. A client that sent no initial response gets an empty challenge before this.
    pub fn start(verifier: &Verifier, client_first: &[u8], nonce: &str) -> Result<(Self, String), ClientFault> {
        if nonce.is_empty() || !printable(nonce) {
            return Err(ClientFault::OurNonce);
        }
        let Attributes(message) = Attributes::new(client_first, MAX_CLIENT_MESSAGE).ok_or(ClientFault::Malformed("The message is not text."))?;
        let (binding, rest) = match message.as_bytes() {
            [b'n', b',', ..] => ("biws", &message[2..]),
            [b'y', b',', ..] => ("eSws", &message[2..]),
            [b'p', ..] => {
                let detail = "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.";
                return Err(ClientFault::Malformed(detail));
            }
            _ => return Err(ClientFault::Malformed("Unexpected channel-binding flag.")),
        };
        if rest.starts_with('a') {
            return Err(ClientFault::AuthorizationIdentity);
        }
        let first_bare = rest.strip_prefix(',').ok_or(ClientFault::Malformed("Unexpected attribute in client-first-message."))?;
        if first_bare.starts_with('m') {
            return Err(ClientFault::Extension);
        }
        let mut attributes = Attributes(first_bare);
        attributes.value(b'n').ok_or(ClientFault::Malformed("Expected attribute \"n\" in client-first-message."))?;
        let theirs = attributes.value(b'r').ok_or(ClientFault::Malformed("Expected attribute \"r\" in client-first-message."))?;
        if !printable(theirs) {
            return Err(ClientFault::UnprintableNonce);
        }
        while !attributes.0.is_empty() {
            attributes.any().ok_or(ClientFault::Malformed("Attribute expected in client-first-message."))?;
        }
        let nonce = format!("{theirs}{nonce}");
        let server_first = format!("r={nonce},s={},i={}", BASE64_STANDARD.encode(&verifier.salt), verifier.iterations);
        let exchange = Self { verifier: verifier.clone(), binding, first_bare: first_bare.to_owned(), server_first: server_first.clone(), nonce };
        Ok((exchange, server_first))
    }

    /// Reads client-final-message and checks its proof, in a time that tells neither how much of it is right nor whether the user exists (only how
    /// many passwords the user has).
    pub fn finish(self, client_final: &[u8]) -> Result<Proven, ClientFault> {
        let mut attributes = Attributes::new(client_final, MAX_CLIENT_MESSAGE).ok_or(ClientFault::Malformed("The message is not text."))?;
        let message = attributes.0;
        let binding = attributes.value(b'c').ok_or(ClientFault::Malformed("Expected attribute \"c\" in client-final-message."))?;
        if binding != self.binding {
            return Err(ClientFault::Binding);
        }
        let nonce = attributes.value(b'r').ok_or(ClientFault::Malformed("Expected attribute \"r\" in client-final-message."))?;
        let (without_proof, proof) = loop {
            let before = message.len() - attributes.0.len();
            match attributes.any().ok_or(ClientFault::Malformed("Attribute expected in client-final-message."))? {
                // The comma before the proof belongs to neither part.
                (b'p', proof) => break (&message[..before - 1], proof),
                _ => continue,
            }
        };
        let proof: Key = BASE64_STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(MALFORMED_PROOF)?;
        if !attributes.0.is_empty() {
            return Err(ClientFault::Malformed("Garbage found at the end of client-final-message."));
        }
        if !constant_time_eq(nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(ClientFault::Nonce);
        }
        let mut proven = None;
        for keys in self.verifier.all_keys() {
            proven = self.check(keys, without_proof, &proof).or(proven);
        }
        proven.filter(|_| !self.verifier.doomed).ok_or(ClientFault::Proof)
    }

    fn check(&self, keys: &Keys, without_proof: &str, proof: &Key) -> Option<Proven> {
        let client = xor(proof, &signature(&keys.stored, &self.first_bare, &self.server_first, without_proof));
        if !constant_time_eq(&hash(&client), &keys.stored) {
            return None;
        }
        let verifier = signature(&keys.server, &self.first_bare, &self.server_first, without_proof);
        let server_final = format!("v={}", BASE64_STANDARD.encode(verifier));
        Some(Proven { server_final, keys: ClientKeys { client, server: keys.server } })
    }
}

const MALFORMED_PROOF: ClientFault = ClientFault::Malformed("Malformed proof in client-final-message.");

/// Why a server's message ends our login to it: the server's fault, or somebody in between. Nothing was given away that helps to log in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ServerFault {
    /// The message does not have the form of RFC 5802.
    #[error("malformed SCRAM message from the server: {0}; check that the address is a PostgreSQL server")]
    Malformed(&'static str),
    /// The server did not take up our nonce.
    #[error("the server's SCRAM nonce does not begin with ours; something answers in its place")]
    Nonce,
    /// More than [`MAX_ITERATIONS`].
    #[error("the server asks for {0} SCRAM iterations, more than the {MAX_ITERATIONS} that are allowed; lower scram_iterations there")]
    Iterations(u32),
    /// The server knows the password's keys not: it is not the server it claims to be.
    #[error("the server does not know the password that it accepted; something answers in its place")]
    Signature,
    /// The server ended the exchange with an error of RFC 5802, such as `invalid-proof`.
    #[error("the server ended the SCRAM exchange: {0}")]
    Refused(String),
    /// Not the server's fault: the nonce given to [`ClientExchange::start`] is empty or not printable.
    #[error("our SCRAM nonce is not printable; make it with auth::scram::nonce")]
    OurNonce,
}

/// The client's role after client-first-message has been made: we wait for a server's challenge.
#[derive(Debug)]
pub struct ClientExchange {
    first_bare: String,
    nonce: String,
}

impl ClientExchange {
    /// Makes client-first-message, for SASLInitialResponse. `nonce` is ours: fresh, from `scram::nonce`. The name in it is empty, as libpq leaves it,
    /// since the server takes the startup packet's; channel binding is declared unsupported.
    pub fn start(nonce: &str) -> Result<(Self, String), ServerFault> {
        Self::start_as("", nonce)
    }

    fn start_as(user: &str, nonce: &str) -> Result<(Self, String), ServerFault> {
        if nonce.is_empty() || !printable(nonce) {
            return Err(ServerFault::OurNonce);
        }
        let first_bare = format!("n={user},r={nonce}");
        let client_first = format!("n,,{first_bare}");
        Ok((Self { first_bare, nonce: nonce.to_owned() }, client_first))
    }

    /// Reads server-first-message, the data of AuthenticationSASLContinue.
    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, ServerFault> {
        let mut attributes = Attributes::new(server_first, MAX_SERVER_MESSAGE).ok_or(ServerFault::Malformed("the challenge is no text"))?;
        let server_first = attributes.0.to_owned();
        let nonce = attributes.value(b'r').ok_or(ServerFault::Malformed("no nonce in the challenge"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() || !printable(nonce) {
            return Err(ServerFault::Nonce);
        }
        let salt = attributes.value(b's').and_then(|salt| BASE64_STANDARD.decode(salt).ok());
        let salt = salt.ok_or(ServerFault::Malformed("no salt in the challenge"))?;
        let iterations = attributes.value(b'i').and_then(|digits| number(digits.as_bytes())).filter(|&number| number > 0);
        let iterations = iterations.ok_or(ServerFault::Malformed("no iterations in the challenge"))?;
        if iterations > MAX_ITERATIONS {
            return Err(ServerFault::Iterations(iterations));
        }
        if !attributes.0.is_empty() {
            return Err(ServerFault::Malformed("garbage after the challenge"));
        }
        let without_proof = format!("c=biws,r={nonce}");
        Ok(Challenge { iterations, salt, first_bare: self.first_bare, server_first, without_proof })
    }
}

/// The client's role with the server's challenge at hand. Needs [`ClientKeys`] for this salt and number of iterations: cached, or from
/// `scram::salted_password` on a helper.
#[derive(Debug)]
pub struct Challenge {
    /// 1 to [`MAX_ITERATIONS`]
    pub iterations: u32,
    /// the server's salt for this user
    pub salt: Vec<u8>,
    first_bare: String,
    server_first: String,
    without_proof: String,
}

impl Challenge {
    /// Makes client-final-message, for SASLResponse.
    pub fn answer(self, keys: &ClientKeys) -> (Answered, String) {
        let Self { first_bare, server_first, without_proof, .. } = self;
        let proof = xor(&keys.client, &signature(&hash(&keys.client), &first_bare, &server_first, &without_proof));
        let expected = signature(&keys.server, &first_bare, &server_first, &without_proof);
        (Answered { expected }, format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)))
    }
}

/// The client's role after the answer: the server still has to prove that it knows the password's keys.
pub struct Answered {
    expected: Key,
}

impl Answered {
    /// Checks server-final-message, the data of AuthenticationSASLFinal. AuthenticationOk without a successful call of this must be refused.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ServerFault> {
        let mut attributes = Attributes::new(server_final, MAX_SERVER_MESSAGE).ok_or(ServerFault::Malformed("the last message is no text"))?;
        let signature = match attributes.any() {
            Some((b'v', value)) => BASE64_STANDARD.decode(value).ok().filter(|value| value.len() == KEY),
            Some((b'e', reason)) => return Err(ServerFault::Refused(reason.to_owned())),
            _ => None,
        };
        let signature = signature.ok_or(ServerFault::Malformed("no signature in the last message"))?;
        if !attributes.0.is_empty() {
            return Err(ServerFault::Malformed("garbage after the last message"));
        }
        if constant_time_eq(&signature, &self.expected) { Ok(()) } else { Err(ServerFault::Signature) }
    }
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answered(..)")
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
