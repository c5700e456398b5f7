//! A PostgreSQL client that sends any bytes it likes and shows every message that comes back. Blocking, with a deadline on every read, so that a
//! reply that never comes fails a test instead of hanging it. It shares no code with pg_dog: what both get wrong alike would not be seen.
//!
//! Formats: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats"; SCRAM: RFC 5802 and RFC 7677.

use super::Login;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a read may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest message a test expects.
const LONGEST: usize = 256 << 20;

/// One message of a server: its tag and what follows the length.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(200)];
        write!(f, "{}({} bytes: {})", char::from(self.tag), self.body.len(), shown.escape_ascii())
    }
}

impl Message {
    /// The fields of an ErrorResponse or NoticeResponse, by their letter: `C` is the SQLSTATE, `M` the message, `S` the severity.
    pub fn fields(&self) -> HashMap<char, String> {
        let parts = self.body.split(|b| *b == 0).filter(|part| !part.is_empty());
        parts.map(|part| (char::from(part[0]), String::from_utf8_lossy(&part[1..]).into_owned())).collect()
    }

    /// The SQLSTATE of an ErrorResponse.
    pub fn sqlstate(&self) -> String {
        assert_eq!(self.tag, b'E', "{self:?} is not an error");
        self.fields().remove(&'C').unwrap_or_default()
    }

    /// The columns of a DataRow.
    pub fn columns(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, b'D', "{self:?} is not a row");
        let mut at = 2;
        let mut columns = Vec::new();
        for _ in 0..u16::from_be_bytes([self.body[0], self.body[1]]) {
            let len = i32_at(&self.body, at);
            at += 4;
            let value = usize::try_from(len).ok().map(|len| self.body[at..at + len].to_vec());
            at += value.as_ref().map_or(0, Vec::len);
            columns.push(value);
        }
        columns
    }

    /// The text of a CommandComplete or of the first column of a DataRow.
    pub fn text(&self) -> String {
        match self.tag {
            b'D' => String::from_utf8_lossy(&self.columns()[0].clone().unwrap_or_default()).into_owned(),
            _ => String::from_utf8_lossy(self.body.split(|b| *b == 0).next().unwrap_or(&[])).into_owned(),
        }
    }
}

/// A connection.
pub struct Raw {
    stream: TcpStream,
    /// received, not yet returned
    buffer: Vec<u8>,
    /// as the server said at login and later
    parameters: HashMap<String, String>,
    /// process id and secret from BackendKeyData
    pub key: Option<(u32, Vec<u8>)>,
    /// the body of NegotiateProtocolVersion, if there was one
    pub negotiated: Option<Vec<u8>>,
    /// of the last ReadyForQuery: `I`, `T` or `E`
    pub status: u8,
}

impl Raw {
    /// Connects, and says nothing yet.
    pub fn connect(port: u16) -> Raw {
        Raw::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_or_else(|error| panic!("port {port}: {error}")))
    }

    fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).expect("a TCP socket");
        let mut raw = Raw { stream, buffer: Vec::new(), parameters: HashMap::new(), key: None, negotiated: None, status: 0 };
        raw.set_deadline(DEADLINE);
        raw
    }

    /// Connects and logs in; fails the test if that is refused.
    pub fn login(login: &Login) -> Raw {
        Raw::try_login(login, &[]).unwrap_or_else(|refusal| panic!("{login:?}: {refusal:?}"))
    }

    /// Connects and logs in with more start-up parameters; the server's ErrorResponse if it refuses.
    pub fn try_login(login: &Login, parameters: &[(&str, &str)]) -> Result<Raw, Message> {
        let mut raw = Raw::connect(login.port);
        let mut all = vec![("user", login.user.as_str()), ("database", login.database.as_str())];
        all.extend(parameters);
        raw.send(&startup(&all));
        raw.authenticate(&login.user, &login.password)?;
        Ok(raw)
    }

    /// The same, and the end of the connection is no failure of the test: for servers that come and go.
    pub fn reach(login: &Login) -> io::Result<Result<Raw, Message>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, login.port))?;
        let mut raw = Raw::over(stream);
        raw.try_send(&startup(&[("user", login.user.as_str()), ("database", login.database.as_str())]))?;
        Ok(raw.try_authenticate(&login.user, &login.password)?.map(|()| raw))
    }

    /// Answers the server's questions until it is ready, or refuses. For use after a start-up message.
    pub fn authenticate(&mut self, user: &str, password: &str) -> Result<(), Message> {
        self.try_authenticate(user, password).unwrap_or_else(|error| panic!("no message during login: {error}"))
    }

    fn try_authenticate(&mut self, user: &str, password: &str) -> io::Result<Result<(), Message>> {
        let mut scram = None;
        loop {
            let message = self.try_read()?;
            let answer = match (message.tag, message.body.get(..4)) {
                (b'E', _) => return Ok(Err(message)),
                (b'Z', _) => return Ok(Ok(())),
                (b'R', Some([0, 0, 0, 3])) => zero(password),
                (b'R', Some([0, 0, 0, 5])) => zero(&md5_answer(user, password, &message.body[4..8])),
                (b'R', Some([0, 0, 0, 10])) => scram.insert(Scram::new(password)).first(),
                (b'R', Some([0, 0, 0, 11])) => {
                    let scram = scram.as_mut().expect("the server continues what it began");
                    scram.answer(&message.body[4..])
                }
                (b'R', Some([0, 0, 0, 12])) => {
                    scram.as_ref().expect("the server ends what it began").check(&message.body[4..]);
                    continue;
                }
                (b'R', Some([0, 0, 0, 0])) | (b'S' | b'K' | b'N' | b'v', _) => continue,
                _ => panic!("unexpected during login: {message:?}"),
            };
            self.try_send(&frame(b'p', &answer))?;
        }
    }

    /// How long a read may take from now on.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.stream.set_read_timeout(Some(deadline)).expect("the deadline is not zero");
        self.stream.set_write_timeout(Some(deadline)).expect("the deadline is not zero");
    }

    /// Sends bytes as they are; fails the test if the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends bytes as they are.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the connection with a reset, as the kernel does for a program that dies with bytes unread. Dropping it ends it in the orderly way.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }

    /// The socket, for what this client does not offer (half-close, options).
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// A value that the server reported (ParameterStatus).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The next message; `Err(UnexpectedEof)` at the end of the stream, `Err(WouldBlock)` at the deadline.
    pub fn try_read(&mut self) -> io::Result<Message> {
        loop {
            if self.buffer.len() >= 5 {
                let len = usize::try_from(i32_at(&self.buffer, 1)).unwrap_or(0);
                assert!((4..LONGEST).contains(&len), "a message with the length {len}: {}", self.buffer[..5].escape_ascii());
                if self.buffer.len() > len {
                    let body = self.buffer[5..=len].to_vec();
                    let message = Message { tag: self.buffer[0], body };
                    self.buffer.drain(..=len);
                    self.note(&message);
                    return Ok(message);
                }
            }
            self.fill()?;
        }
    }

    /// The next message; fails the test if there is none.
    pub fn read(&mut self) -> Message {
        self.try_read().unwrap_or_else(|error| panic!("no message: {error}; unread: {}", self.buffer.escape_ascii()))
    }

    /// Messages up to and including the next ReadyForQuery.
    pub fn read_until_ready(&mut self) -> Vec<Message> {
        self.read_until(b'Z')
    }

    /// Messages up to and including the next one with that tag.
    pub fn read_until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.last().is_none_or(|message: &Message| message.tag != tag) {
            let next = self.try_read().unwrap_or_else(|error| panic!("no `{}` after {messages:?}: {error}", char::from(tag)));
            messages.push(next);
        }
        messages
    }

    /// Messages up to the end of the stream (a reset counts as one). Fails the test if the end does not come.
    pub fn read_until_closed(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.try_read() {
                Ok(message) => messages.push(message),
                Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return messages,
                Err(error) => panic!("the connection is still open after {messages:?}: {error}"),
            }
        }
    }

    /// Messages up to and including the next PortalSuspended or CommandComplete, but not BEGIN's: the end of a portal's page.
    pub fn read_until_page(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let next = self.try_read().unwrap_or_else(|error| panic!("no page after {messages:?}: {error}"));
            let ends = next.tag == b's' || next.tag == b'C' && next.text() != "BEGIN" || next.tag == b'E';
            messages.push(next);
            if ends {
                return messages;
            }
        }
    }

    /// One byte that is not a message: the answer to SSLRequest or GSSENCRequest.
    pub fn read_byte(&mut self) -> u8 {
        while self.buffer.is_empty() {
            self.fill().unwrap_or_else(|error| panic!("no byte: {error}"));
        }
        self.buffer.remove(0)
    }

    /// A simple query and everything up to ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql));
        self.read_until_ready()
    }

    /// The rows of a simple query as text, NULL as `NULL`; fails the test on an error.
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let messages = self.query(sql);
        assert!(messages.iter().all(|message| message.tag != b'E'), "{sql}: {messages:?}");
        let text = |value: Option<Vec<u8>>| value.map_or("NULL".to_string(), |value| String::from_utf8_lossy(&value).into_owned());
        let rows = messages.iter().filter(|message| message.tag == b'D');
        rows.map(|message| message.columns().into_iter().map(text).collect()).collect()
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }

    fn note(&mut self, message: &Message) {
        match message.tag {
            b'S' => {
                let mut parts = message.body.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned());
                self.parameters.insert(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            }
            b'K' => self.key = Some((i32_at(&message.body, 0) as u32, message.body[4..].to_vec())),
            b'v' => self.negotiated = Some(message.body.clone()),
            b'Z' => self.status = message.body[0],
            _ => {}
        }
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

// ---- what a client says ----

fn zero(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// A message with a tag.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(untagged(body));
    bytes
}

/// A message without a tag, as a conversation begins.
pub fn untagged(body: &[u8]) -> Vec<u8> {
    let mut bytes = (u32::try_from(body.len()).expect("tests send less than 4 GiB") + 4).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// StartupMessage of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    startup_version(0x0003_0000, parameters)
}

/// StartupMessage of any protocol version.
pub fn startup_version(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(zero(name));
        body.extend(zero(value));
    }
    body.push(0);
    untagged(&body)
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    untagged(&80_877_103u32.to_be_bytes())
}

/// GSSENCRequest.
pub fn gss_request() -> Vec<u8> {
    untagged(&80_877_104u32.to_be_bytes())
}

/// CancelRequest; goes alone over a new connection.
pub fn cancel_request(key: &(u32, Vec<u8>)) -> Vec<u8> {
    let mut body = 80_877_102u32.to_be_bytes().to_vec();
    body.extend(key.0.to_be_bytes());
    body.extend(&key.1);
    untagged(&body)
}

/// Query.
pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &zero(sql))
}

/// Parse, with parameter types by their OID (none: PostgreSQL finds out).
pub fn parse(statement: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = zero(statement);
    body.extend(zero(sql));
    body.extend((types.len() as u16).to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    frame(b'P', &body)
}

/// Bind, all values and results as text; None is NULL.
pub fn bind(portal: &str, statement: &str, values: &[Option<&str>]) -> Vec<u8> {
    let mut body = zero(portal);
    body.extend(zero(statement));
    body.extend([0, 0]);
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        body.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
        body.extend(value.unwrap_or_default().as_bytes());
    }
    body.extend([0, 0]);
    frame(b'B', &body)
}

/// Describe; `kind` is `S` for a statement, `P` for a portal.
pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[&[kind], zero(name).as_slice()].concat())
}

/// Close; `kind` as in `describe`.
pub fn close(kind: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[&[kind], zero(name).as_slice()].concat())
}

/// Execute; `rows` 0 means all.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    frame(b'E', &[zero(portal).as_slice(), &rows.to_be_bytes()].concat())
}

/// Sync.
pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    frame(b'X', &[])
}

/// CopyData.
pub fn copy_data(bytes: &[u8]) -> Vec<u8> {
    frame(b'd', bytes)
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    frame(b'c', &[])
}

/// CopyFail.
pub fn copy_fail(why: &str) -> Vec<u8> {
    frame(b'f', &zero(why))
}

// ---- who the client is ----

/// `md5` and md5(md5(password + user) + salt) in hexadecimal digits.
fn md5_answer(user: &str, password: &str, salt: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let inner = hex(&Md5::digest([password.as_bytes(), user.as_bytes()].concat()));
    format!("md5{}", hex(&Md5::digest([inner.as_bytes(), salt].concat())))
}

/// The client's side of SCRAM-SHA-256 without channel binding.
struct Scram {
    password: String,
    nonce: String,
    /// what the server's signature has to be, once known
    signature: Vec<u8>,
}

impl Scram {
    fn new(password: &str) -> Scram {
        let mut random = [0; 18];
        getrandom::fill(&mut random).expect("the kernel has random bytes");
        Scram { password: password.to_string(), nonce: STANDARD.encode(random), signature: Vec::new() }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// SASLInitialResponse.
    fn first(&self) -> Vec<u8> {
        let message = format!("n,,{}", self.bare());
        [zero("SCRAM-SHA-256").as_slice(), &(message.len() as u32).to_be_bytes(), message.as_bytes()].concat()
    }

    /// SASLResponse to the server's first message.
    fn answer(&mut self, challenge: &[u8]) -> Vec<u8> {
        let challenge = String::from_utf8_lossy(challenge).into_owned();
        let field = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name)).expect("the challenge is whole");
        assert!(field("r=").starts_with(&self.nonce), "the server changed our nonce");
        let salt = STANDARD.decode(field("s=")).expect("the salt is base64");
        let mut salted = [0; 32];
        pbkdf2::pbkdf2::<Hmac<Sha256>>(self.password.as_bytes(), &salt, field("i=").parse().expect("a number"), &mut salted)
            .expect("the length is right");
        let without_proof = format!("c=biws,r={}", field("r="));
        let signed = format!("{},{challenge},{without_proof}", self.bare());
        let client_key = hmac(&salted, b"Client Key");
        let client_signature = hmac(&Sha256::digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&client_signature).map(|(a, b)| a ^ b).collect();
        self.signature = hmac(&hmac(&salted, b"Server Key"), signed.as_bytes());
        format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes()
    }

    /// The server must know the password too.
    fn check(&self, last: &[u8]) {
        assert_eq!(String::from_utf8_lossy(last), format!("v={}", STANDARD.encode(&self.signature)), "the server's signature is wrong");
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}
