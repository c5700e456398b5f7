//! PostgreSQL's messages as the simulated clients and servers write and read them. Written for the tests alone and on purpose not with `wire`: a
//! mistake there must not be mirrored here.

/// One whole message with a type byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

/// Bytes that came in and are not read as messages yet.
#[derive(Default)]
pub struct Inbox(Vec<u8>);

impl Inbox {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next whole message.
    pub fn message(&mut self) -> Option<Message> {
        let (kind, length) = (*self.0.first()?, self.0.get(1..5)?);
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        assert!((4..1 << 24).contains(&length), "a message of type {} and length {length}: the stream is out of step", char::from(kind));
        if self.0.len() < 1 + length {
            return None;
        }
        let body = self.0[5..1 + length].to_vec();
        self.0.drain(..1 + length);
        Some(Message { kind, body })
    }

    /// The next whole packet without a type byte: its code and the rest.
    pub fn packet(&mut self) -> Option<(u32, Vec<u8>)> {
        let length = u32::from_be_bytes(self.0.get(..4)?.try_into().expect("four bytes")) as usize;
        assert!((8..10_000).contains(&length), "a startup packet of {length} bytes");
        if self.0.len() < length {
            return None;
        }
        let code = u32::from_be_bytes(self.0[4..8].try_into().expect("four bytes"));
        let body = self.0[8..length].to_vec();
        self.0.drain(..length);
        Some((code, body))
    }
}

/// Appends a message of type `kind` whose body `write` appends.
pub fn put(out: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    put_packet(out, write);
}

/// Appends a packet without a type byte.
pub fn put_packet(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

pub fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u16).to_be_bytes());
}

/// Reads fields from a body; running out of it is a fault of whoever wrote it.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, length: usize) -> &'a [u8] {
        assert!(self.0.len() >= length, "a message ends in the middle of a field");
        let (field, rest) = self.0.split_at(length);
        self.0 = rest;
        field
    }

    pub fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("a text ends with a zero byte");
        let text = String::from_utf8(self.bytes(end).to_vec()).expect("all texts here are UTF-8");
        self.bytes(1);
        text
    }

    pub fn u8(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    pub fn count(&mut self) -> usize {
        usize::from(u16::from_be_bytes(self.bytes(2).try_into().expect("two bytes")))
    }

    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    /// A value with its length in front; NULL is not used here.
    pub fn value(&mut self) -> &'a [u8] {
        let length = self.i32();
        self.bytes(usize::try_from(length).expect("no NULLs here"))
    }
}

/// Severity, SQLSTATE and message of an ErrorResponse.
pub fn error_fields(body: &[u8]) -> (String, String, String) {
    let mut fields = Fields(body);
    let (mut severity, mut code, mut message) = (String::new(), String::new(), String::new());
    loop {
        match fields.u8() {
            0 => return (severity, code, message),
            b'V' => severity = fields.text(),
            b'C' => code = fields.text(),
            b'M' => message = fields.text(),
            _ => drop(fields.text()),
        }
    }
}

/// Appends an ErrorResponse.
pub fn put_error(out: &mut Vec<u8>, severity: &str, code: &str, message: &str) {
    put(out, b'E', |body| {
        for (field, value) in [(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)] {
            body.push(field);
            text(body, value);
        }
        body.push(0);
    });
}
