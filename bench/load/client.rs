//! One client connection's conversation: startup, login, one query at a time. Bytes come in, bytes to send come out; sockets and time are `worker`'s.
//! Invariant: at most one request is unanswered, so everything that is to be sent fits into an empty socket buffer.

use std::collections::HashMap;
use std::io::Write;

use pg_dog::auth::exchange::{Answered, ClientExchange};
use pg_dog::auth::scram::{self, ClientKeys};

/// A message longer than this is no answer to what we ask.
const MESSAGE_MAX: usize = 1 << 20;
/// Salts whose keys are kept. PgBouncer with plain passwords makes a new salt for every login: those would fill the memory for nothing.
const KEYS_MAX: usize = 256;

/// Who logs in, and what they ask.
pub struct Script {
    pub user: String,
    pub password: String,
    pub database: String,
    /// by Parse, Bind, Describe, Execute and Sync, as `pgbench -M extended`
    pub extended: bool,
    /// rows of pgbench_accounts; 0 = ask `SELECT 1`
    pub rows: u64,
}

/// What a thread keeps for all its connections.
pub struct Shared {
    pub script: Script,
    keys: HashMap<(Vec<u8>, u32), ClientKeys>,
    /// how often keys had to be derived from the password, some milliseconds each
    pub derived: u64,
    dice: u64,
}

impl Shared {
    pub fn new(script: Script, seed: u64) -> Shared {
        Shared { script, keys: HashMap::new(), derived: 0, dice: seed | 1 }
    }

    /// xorshift64*: cheap, and the same in every run.
    pub fn random(&mut self) -> u64 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in (0, 1].
    pub fn share(&mut self) -> f64 {
        ((self.random() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn keys(&mut self, salt: &[u8], iterations: u32) -> &ClientKeys {
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        let (password, derived) = (&self.script.password, &mut self.derived);
        self.keys.entry((salt.to_vec(), iterations)).or_insert_with(|| {
            *derived += 1;
            ClientKeys::from_salted(&scram::salted_password(password, salt, iterations))
        })
    }
}

/// How far the login is.
enum Login {
    Started,
    Challenged(ClientExchange),
    Answered(Answered),
    Proven,
}

/// What the bytes of one read meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// more has to come
    Wait,
    /// send what is in `out`
    Send,
    /// ReadyForQuery: logged in, or a query is answered
    Ready,
}

/// One conversation.
pub struct Client {
    login: Login,
    /// the beginning of a message whose end has not come yet
    cut: Vec<u8>,
}

impl Client {
    /// A conversation, with the startup packet in `out`.
    pub fn start(script: &Script, out: &mut Vec<u8>) -> Client {
        out.clear();
        out.extend_from_slice(&[0, 0, 0, 0, 0, 3, 0, 0]);
        for text in ["user", &script.user, "database", &script.database, "application_name", "load"] {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        out.push(0);
        let length = out.len() as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Client { login: Login::Started, cut: Vec::new() }
    }

    /// The next request, into `out`.
    pub fn ask(shared: &mut Shared, out: &mut Vec<u8>) {
        out.clear();
        let row = shared.random() % shared.script.rows.max(1) + 1;
        match (shared.script.extended, shared.script.rows) {
            (false, 0) => message(out, b'Q', |out| out.extend_from_slice(b"SELECT 1\0")),
            (false, _) => message(out, b'Q', |out| {
                let _ = write!(out, "SELECT abalance FROM pgbench_accounts WHERE aid = {row};\0");
            }),
            (true, rows) => {
                let text: &[u8] = if rows == 0 { b"\0SELECT 1\0\0\0" } else { b"\0SELECT abalance FROM pgbench_accounts WHERE aid = $1;\0\0\0" };
                message(out, b'P', |out| out.extend_from_slice(text));
                message(out, b'B', |out| bind(out, row, rows));
                message(out, b'D', |out| out.extend_from_slice(b"P\0"));
                message(out, b'E', |out| out.extend_from_slice(b"\0\0\0\0\0"));
                message(out, b'S', |_| {});
            }
        }
    }

    /// The goodbye, into `out`.
    pub fn leave(out: &mut Vec<u8>) {
        out.clear();
        message(out, b'X', |_| {});
    }

    /// What was received; what it asks us to say goes into `out`. Any error of the server is an Err with its text.
    pub fn read(&mut self, bytes: &[u8], shared: &mut Shared, out: &mut Vec<u8>) -> Result<Step, String> {
        if self.cut.is_empty() {
            let (step, used) = self.messages(bytes, shared, out)?;
            self.cut.extend_from_slice(&bytes[used..]);
            return Ok(step);
        }
        let mut whole = std::mem::take(&mut self.cut);
        whole.extend_from_slice(bytes);
        let (step, used) = self.messages(&whole, shared, out)?;
        whole.drain(..used);
        self.cut = whole;
        Ok(step)
    }

    /// Handles all whole messages; how many bytes they were.
    fn messages(&mut self, bytes: &[u8], shared: &mut Shared, out: &mut Vec<u8>) -> Result<(Step, usize), String> {
        let (mut at, mut step) = (0, Step::Wait);
        while let Some(head) = bytes.get(at..at + 5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if !(4..=MESSAGE_MAX).contains(&length) {
                return Err(format!("a message of type {:?} and {length} bytes", char::from(head[0])));
            }
            let Some(body) = bytes.get(at + 5..at + 1 + length) else { break };
            at += 1 + length;
            match head[0] {
                b'R' => step = self.authentication(body, shared, out)?,
                b'E' => return Err(error_text(body)),
                b'Z' => step = Step::Ready,
                _ => {}
            }
        }
        Ok((step, at))
    }

    fn authentication(&mut self, body: &[u8], shared: &mut Shared, out: &mut Vec<u8>) -> Result<Step, String> {
        let (code, rest) = body.split_first_chunk::<4>().ok_or("an authentication request without a code")?;
        match (u32::from_be_bytes(*code), std::mem::replace(&mut self.login, Login::Started)) {
            (0, Login::Started | Login::Proven) => Ok(Step::Wait),
            (3, Login::Started) => {
                reply(out, |out| out.extend_from_slice(&[shared.script.password.as_bytes(), b"\0"].concat()));
                Ok(Step::Send)
            }
            (10, Login::Started) => {
                let mut random = [0; 18];
                random.fill_with(|| shared.random() as u8);
                let (exchange, first) = ClientExchange::start(&scram::nonce(random)).map_err(|fault| fault.to_string())?;
                self.login = Login::Challenged(exchange);
                reply(out, |out| {
                    out.extend_from_slice(scram::MECHANISM.as_bytes());
                    out.push(0);
                    out.extend_from_slice(&(first.len() as u32).to_be_bytes());
                    out.extend_from_slice(first.as_bytes());
                });
                Ok(Step::Send)
            }
            (11, Login::Challenged(exchange)) => {
                let challenge = exchange.challenge(rest).map_err(|fault| fault.to_string())?;
                let (salt, iterations) = (challenge.salt.clone(), challenge.iterations);
                let (answered, answer) = challenge.answer(shared.keys(&salt, iterations));
                self.login = Login::Answered(answered);
                reply(out, |out| out.extend_from_slice(answer.as_bytes()));
                Ok(Step::Send)
            }
            (12, Login::Answered(answered)) => {
                answered.verify(rest).map_err(|fault| fault.to_string())?;
                self.login = Login::Proven;
                Ok(Step::Wait)
            }
            (code, _) => Err(format!("authentication request {code}, which was not to be expected")),
        }
    }
}

/// One message with its length.
fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// An answer to an authentication request.
fn reply(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    message(out, b'p', body);
}

fn bind(out: &mut Vec<u8>, row: u64, rows: u64) {
    out.extend_from_slice(b"\0\0\0\0");
    if rows == 0 {
        out.extend_from_slice(b"\0\0\0\0");
        return;
    }
    out.extend_from_slice(&[0, 1]);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let _ = write!(out, "{row}");
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(b"\0\0");
}

/// SQLSTATE and text of an ErrorResponse.
fn error_text(body: &[u8]) -> String {
    let field = |kind: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    format!("{} {}", field(b'C'), field(b'M'))
}
