//! The unnamed statement of one client on shared servers: which text it stands for, on whatever server the client is next.
//!
//! PostgreSQL changes it at four messages: a Parse without a name replaces it, or drops it when it fails; a simple query and a Close drop it. None
//! of them counts when it was skipped behind an error, and nobody knows that when it is sent. So nothing is guessed here. What a server holds follows
//! from its replies (`Exchange::unnamed`), and when the server goes back, what it holds by this client's doing is what the client has.
//!
//! Invariant: from the first message that could depend on it, a server holds this client's statement or none. The first such message is never
//! skipped, so what goes in front of it, or a Parse that is itself the first, makes that true; from then on server and client change alike, whatever
//! fails, and all messages pass as they are. In the steady state (Parse first) nothing is added.

use super::Verdicts;
use super::exchange::{Exchange, OUR_FORGET, OUR_PARSE, Status, UNKNOWN};
use crate::wire::client::close_statement;
use crate::wire::frame::HEADER;

/// Bytes of an unnamed statement's Parse that are kept for a later Bind on another server; larger ones cannot be bound after their own batch.
pub const UNNAMED_MAX: usize = 16 * 1024;
/// Parses that are kept while nobody knows which of them counted. In a longer pipeline the oldest go: if then an error makes exactly one of those the
/// statement that is left, and it is bound on another server, that server says 26000 where PostgreSQL would have had it.
const VERSIONS_MAX: usize = 32;
/// And their bytes.
const VERSIONS_BYTES_MAX: usize = 4 * UNNAMED_MAX;

/// A statement that the client has, and that is not known here any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten;

/// A statement that the client may have.
#[derive(Debug)]
struct Version {
    tag: u128,
    /// the whole Parse message
    parse: Vec<u8>,
}

/// How far the server at hand is made to agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Met {
    #[default]
    No,
    /// it holds none, or this client's
    Cleared,
    /// it holds what this client has
    Yes,
}

/// What a client has, and may have.
#[derive(Debug)]
pub struct Unnamed {
    /// what it had when it had no server; unlike every other statement's in the process, 0 = none
    tag: u128,
    /// the next one: the client's own number in the high half
    next: u128,
    versions: Vec<Version>,
    /// a buffer that is free, so that the steady state allocates nothing
    spare: Vec<u8>,
    met: Met,
    /// a simple query went to the server at hand, behind all Parses
    queried: bool,
    /// the last Parse that went there; 0 = none has
    last: u128,
    /// queries of ours that the server at hand had been sent when it was made to agree
    seen: u32,
}

impl Unnamed {
    /// `number` is unlike every other client's in the process.
    pub fn new(number: u64) -> Unnamed {
        let next = (u128::from(number) << 64) | 1;
        Unnamed { tag: 0, next, versions: Vec::new(), spare: Vec::new(), met: Met::No, queried: false, last: 0, seen: 0 }
    }

    /// Bytes kept of its texts.
    pub fn memory(&self) -> usize {
        self.spare.capacity() + self.versions.iter().map(|version| version.parse.capacity()).sum::<usize>()
    }

    /// A Parse goes to the server: `parse` is as much of the message as is here, `whole` its length. Returns its tag.
    pub fn parse(&mut self, parse: &[u8], whole: usize, link: &mut Exchange, out: &mut Verdicts) -> u128 {
        if self.met == Met::No && self.is_foreign(link) && !surely_parsed(parse, whole) {
            forget(link, out);
        }
        self.met = Met::Yes;
        self.seen = link.our_queries;
        self.queried = false;
        let tag = self.next;
        self.next += 1;
        self.last = tag;
        if parse.len() == whole && whole <= UNNAMED_MAX {
            let mut kept = self.room(whole, link);
            kept.extend_from_slice(parse);
            self.versions.push(Version { tag, parse: kept });
        }
        tag
    }

    /// An empty buffer, and room for one more version of so many bytes.
    fn room(&mut self, bytes: usize, link: &Exchange) -> Vec<u8> {
        let now = if link.has_changed() { link.theirs } else { self.tag };
        let all = |versions: &[Version]| versions.iter().map(|version| version.parse.len()).sum::<usize>();
        while self.versions.len() >= VERSIONS_MAX || all(&self.versions) + bytes > VERSIONS_BYTES_MAX {
            // The one that is there now is the likeliest to be left.
            let oldest = usize::from(self.versions[0].tag == now);
            self.spare = self.versions.remove(oldest).parse;
            self.spare.clear();
        }
        std::mem::take(&mut self.spare)
    }

    /// A simple query goes to the server.
    pub fn query(&mut self) {
        self.queried = true;
    }

    /// A Close of the unnamed statement goes to the server, and can only succeed.
    pub fn close(&mut self, link: &Exchange) {
        self.met = Met::Yes;
        self.seen = link.our_queries;
    }

    /// A message goes to the server that the statement means nothing to, and that makes the server skip nothing unless it is malformed.
    pub fn pass(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        if self.met == Met::No && self.is_foreign(link) {
            forget(link, out);
            self.met = Met::Cleared;
        }
    }

    /// A message goes to the server that may use the statement, or make the server skip what follows.
    #[inline]
    pub fn meet(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        if self.met != Met::Yes || self.seen != link.our_queries {
            self.bring(link, out);
        }
    }

    /// A message goes to the server that does not use the statement, and may make the server skip what follows. In a transaction that is known to
    /// have failed the statement cannot be brought, and what ends that transaction must not fail for it.
    #[inline]
    pub fn meet_aside(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        if link.status() == Status::Failed { self.pass(link, out) } else { self.meet(link, out) }
    }

    #[cold]
    fn bring(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        let before = std::mem::replace(&mut self.met, Met::Yes);
        let cleared = before == Met::Cleared;
        // A query of ours has dropped it since, or will have.
        let dropped = before != Met::No && self.seen != link.our_queries || link.has_our_query();
        self.seen = link.our_queries;
        let theirs = if link.theirs == UNKNOWN { 0 } else { link.theirs };
        let settled = link.is_quiet_but_for_ours();
        let tag = match (link.has_changed(), self.last) {
            // All is answered: what was skipped has changed nothing.
            (true, _) if settled => theirs,
            (false, _) if settled => self.tag,
            // A simple query that is still at work will have dropped it.
            _ if self.queried => 0,
            (true, _) => theirs,
            (false, 0) => self.tag,
            (false, last) => last,
        };
        if tag == link.unnamed && !cleared && !dropped || tag == 0 && dropped {
            return;
        }
        match self.versions.iter().find(|version| version.tag == tag && tag != 0) {
            Some(version) => {
                out.to_server(|words| words.extend_from_slice(&version.parse));
                link.sent_as(OUR_PARSE, tag);
            }
            // The server shall say in its own words that it has none.
            None if !cleared => forget(link, out),
            None => {}
        }
    }

    /// The statement that the client has now (text, zero byte, types); nothing may be outstanding. Err: it has one that is not known here any more.
    pub fn rest(&self, link: Option<&Exchange>) -> Result<Option<&[u8]>, Forgotten> {
        let tag = link.filter(|link| link.has_changed()).map_or(self.tag, |link| link.theirs);
        if tag == 0 {
            return Ok(None);
        }
        let version = self.versions.iter().find(|version| version.tag == tag).ok_or(Forgotten)?;
        // Behind the header and the empty name.
        version.parse.get(HEADER + 1..).map(Some).ok_or(Forgotten)
    }

    /// The client has one, and has done nothing yet that would tell the server at hand of it.
    pub fn is_elsewhere(&self) -> bool {
        self.tag != 0 && self.met != Met::Yes && !self.queried
    }

    /// What has been brought to the server is brought once more, behind what it needs.
    pub fn again(&mut self, link: &mut Exchange, out: &mut Verdicts) {
        let version = self.versions.iter().find(|version| version.tag == self.tag && self.met == Met::Yes);
        if let Some(version) = version {
            out.to_server(|words| words.extend_from_slice(&version.parse));
            link.sent_as(OUR_PARSE, self.tag);
        }
    }

    fn is_foreign(&self, link: &Exchange) -> bool {
        link.unnamed != 0 && link.unnamed != self.tag
    }

    /// A query answered by us, as a server would answer it, drops it.
    pub fn dropped(&mut self) {
        self.tag = 0;
    }

    /// A Parse is answered by us without a server: `parse` is the whole message, a short one.
    pub fn keep(&mut self, parse: &[u8]) {
        let mut kept = self.versions.pop().map_or_else(|| std::mem::take(&mut self.spare), |version| version.parse);
        kept.clear();
        kept.extend_from_slice(parse);
        self.tag = self.next;
        self.next += 1;
        self.versions.clear();
        self.versions.push(Version { tag: self.tag, parse: kept });
    }

    /// The server goes back, and nothing is outstanding on it.
    pub fn settle(&mut self, link: &mut Exchange) {
        self.met = Met::No;
        self.queried = false;
        self.last = 0;
        if link.take_changed() {
            self.tag = if link.theirs == UNKNOWN { 0 } else { link.theirs };
        }
        while let Some(at) = self.versions.iter().position(|version| version.tag != self.tag) {
            self.spare = self.versions.swap_remove(at).parse;
            self.spare.clear();
        }
    }
}

/// Appends a Close of whatever the server holds.
fn forget(link: &mut Exchange, out: &mut Verdicts) {
    // Fixed and short.
    out.to_server(|words| _ = close_statement(words, b""));
    link.sent(OUR_FORGET);
}

/// Whether PostgreSQL gets as far as dropping the statement before this one. It does not for a message that it cannot read: fields that do not end
/// with it, or bytes that are no text in the client's encoding, which ASCII is in all.
fn surely_parsed(parse: &[u8], whole: usize) -> bool {
    let Some(text) = parse.get(6..).filter(|_| parse.len() == whole) else { return false };
    // Its search looks at words, not at bytes.
    let Ok(query) = std::ffi::CStr::from_bytes_until_nul(text) else { return false };
    let end = query.count_bytes();
    let Some((count, types)) = text[end + 1..].split_first_chunk::<2>() else { return false };
    text[..end].is_ascii() && types.len() == 4 * usize::from(u16::from_be_bytes(*count))
}

#[cfg(test)]
#[path = "unnamed_tests.rs"]
mod tests;
