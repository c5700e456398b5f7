//! Byte scripts and the two ways of running them: against PostgreSQL itself, where a mark at the end shows that nothing more comes, and through
//! pg_dog, which has to give exactly those messages. A message is compared by type and body, every byte of it; see `is_alike` for the one exception.

use super::support::Raw;
use super::support::raw::{self, Message};

/// What is sent, in parts; after a part the next reply of that type is waited for (0: nothing is).
#[derive(Clone)]
pub struct Script {
    pub name: String,
    pub parts: Vec<(Vec<u8>, u8)>,
}

impl Script {
    /// Everything in one write.
    pub fn new(name: impl Into<String>, messages: &[Vec<u8>]) -> Script {
        Script { name: name.into(), parts: vec![(messages.concat(), 0)] }
    }

    /// One more part, sent when a reply of type `tag` has come.
    pub fn then(mut self, tag: u8, messages: &[Vec<u8>]) -> Script {
        if let Some(last) = self.parts.last_mut() {
            last.1 = tag;
        }
        self.parts.push((messages.concat(), 0));
        self
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect()
    }

    fn send(&self, client: &mut Raw) -> Vec<Message> {
        let mut replies = Vec::new();
        for (bytes, tag) in &self.parts {
            client.send(bytes);
            let heard = replies.len();
            while *tag != 0 && replies[heard..].last().is_none_or(|message: &Message| message.tag != *tag) {
                replies.push(self.next(client, &replies));
            }
        }
        replies
    }

    fn next(&self, client: &mut Raw, so_far: &[Message]) -> Message {
        client.try_read().unwrap_or_else(|error| panic!("{}: {error}, after {so_far:#?}", self.name))
    }

    /// The replies of a server. It must be idle afterwards.
    pub fn ask(&self, server: &mut Raw) -> Vec<Message> {
        let mut replies = self.send(server);
        // Describing what does not exist changes nothing, so that the state which this script leaves is the next one's.
        server.send(&[raw::describe(b'S', "the end of a script"), raw::sync()].concat());
        let is_mark = |message: &Message| message.tag == b'E' && message.fields().get(&'M').is_some_and(|text| text.contains("the end of a script"));
        while !replies.last().is_some_and(is_mark) {
            replies.push(self.next(server, &replies));
        }
        replies.pop();
        assert_eq!(server.read().tag, b'Z', "{}", self.name);
        assert_eq!(server.status, b'I', "{} leaves a transaction open", self.name);
        replies
    }

    /// Reads and compares the replies that pg_dog gives to this script, which has been sent.
    pub fn hear(&self, mut replies: Vec<Message>, client: &mut Raw, expected: &[Message]) {
        while replies.len() < expected.len() {
            let next = client.try_read().unwrap_or_else(|error| panic!("{}: {error}, after {replies:#?} of {expected:#?}", self.name));
            replies.push(next);
            let at = replies.len() - 1;
            let alike = is_alike(&replies[at], &expected[at]);
            assert!(alike, "{}: reply {at} is {:?}, not {:?}; {replies:#?}, not {expected:#?}", self.name, replies[at], expected[at]);
        }
        assert_eq!(replies.len(), expected.len(), "{}: {replies:#?}, not {expected:#?}", self.name);
    }

    /// Runs it through pg_dog.
    pub fn same(&self, client: &mut Raw, expected: &[Message]) {
        let replies = self.send(client);
        self.hear(replies, client, expected);
    }
}

/// The same message; or pg_dog's own words about a prepared statement, which are PostgreSQL's but for the place in its source.
fn is_alike(got: &Message, expected: &Message) -> bool {
    if got == expected || got.tag != b'E' || expected.tag != b'E' {
        return got == expected;
    }
    let (got, mut expected) = (got.fields(), expected.fields());
    let place = ['F', 'L', 'R'].map(|field| expected.remove(&field));
    got == expected && place.iter().all(Option::is_some) && ["26000", "42P05", "25P02", "0A000"].contains(&got[&'C'].as_str())
}

/// Nothing more has come, and the connection works.
pub fn at_rest(client: &mut Raw) {
    assert_eq!(client.rows("SELECT 'at rest'"), [["at rest"]]);
}

/// A small seeded generator (xorshift64*), so that a failure can be had again.
pub struct Seeded(pub u64);

impl Seeded {
    /// Evenly from 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}
