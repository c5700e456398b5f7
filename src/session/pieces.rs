//! A text of several statements that go to different shards: one after the other, in one transaction, answered as one text.
//!
//! Invariant: every statement has its route before the first is sent, and the next is sent when the one before it has succeeded on all of its
//! shards. Outside of a transaction they are in one of ours, so that an error undoes all of them; the last one's tag is told when that is committed.

use std::collections::VecDeque;
use std::ops::Range;

use crate::route::request::{Join, Over, Part, Refused, Where};
use crate::sql::cursors::may_act;
use crate::sql::transaction::{Control, control, hides_route};
use crate::wire::client::query;
use crate::wire::frame::HEADER;

use super::client::Client;
use super::coordinator::{Coordinator, Work};
use super::exchange::Exchange;
use super::members::{ALONE, Acts, Owe, one_snapshot};
use super::shards::hidden;

/// Statements of one text that are too large to be read here. The answers about them are kept for a while only, and all are needed at once.
const READS_MAX: u32 = 8;

/// The statements of a text that are not done.
#[derive(Debug)]
pub(super) struct Pieces {
    text: Box<[u8]>,
    rest: VecDeque<Piece>,
    /// some may write
    writes: bool,
    /// where the characters of the statement at work begin in the text; 0: in front of it, or its own text was sent in parts
    before: usize,
}

#[derive(Debug)]
struct Piece {
    range: Range<usize>,
    over: Over,
}

impl Pieces {
    /// All have been sent.
    pub fn are_done(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Coordinator {
    /// The statements of a text, `whole` as its route has it, with the route of each.
    pub(super) fn pieces(&mut self, text: &[u8], whole: &Over, ranges: &[Range<usize>], home: &Client, link: Option<&Exchange>) -> Verdict {
        if hides_route(text, std::iter::empty()) {
            return Err(hidden());
        }
        let mut rest = VecDeque::with_capacity(ranges.len());
        for range in ranges {
            let piece = text.get(range.clone()).unwrap_or_default();
            let over = match self.piece(piece, whole, home, link) {
                Err(refused) if refused.is_unread() && self.reads >= READS_MAX => return Err(too_many_large()),
                Err(refused) => {
                    self.reads += u32::from(refused.is_unread());
                    return Err(refused);
                }
                Ok(over) => over,
            };
            rest.push_back(Piece { range: range.clone(), over });
        }
        Ok(Pieces { text: text.into(), rest, writes: whole.writes, before: 0 })
    }

    fn piece(&mut self, text: &[u8], whole: &Over, home: &Client, link: Option<&Exchange>) -> Result<Over, Box<Refused>> {
        let control = control(text);
        if !matches!(control, Control::Nothing | Control::Notify) {
            return Err(Refused::unsupported("several statements for several shards, of which some set parameters", ALONE));
        }
        let place = home.route(&self.shards, text, None, link, self.members[0].shard)?;
        let place = match (self.by_cursors(text, place, link)?, whole.parts.first()) {
            // Nothing is kept at a shard that the client has no server of, unless a cursor has been noted there.
            (Where::Any, Some(part)) if link.is_none() && !self.began && !may_act(text) => Where::One(part.shard),
            (place, _) => place,
        };
        let over = self.over(place, control);
        self.at_home(text, &over, home)?;
        match over.alone || matches!(over.join, Join::Copy(_) | Join::Each(_)) {
            true => Err(Refused::unsupported("a statement that has to stand alone, among others for several shards", ALONE)),
            false => Ok(over),
        }
    }

    /// A text's statements go to their shards.
    pub(super) fn ask_pieces(&mut self, pieces: Pieces, acts: &mut Acts) {
        let mut shards: Vec<u16> = pieces.rest.iter().flat_map(|piece| piece.over.parts.iter().map(|part| part.shard)).collect();
        shards.sort_unstable();
        shards.dedup();
        if !self.began && self.shards.one_snapshot && shards.len() > 1 {
            return self.refuse_query(&one_snapshot(), acts);
        }
        let parts = shards.into_iter().map(|shard| Part { shard, cut: None }).collect();
        let all = Over { parts, join: Join::Same, writes: pieces.writes, alone: false };
        let before = std::mem::replace(&mut self.auto, !self.began);
        if let Err(refused) = self.enlist(&all, acts) {
            self.auto = before;
            return self.refuse_query(&refused, acts);
        }
        self.pieces = Some(Box::new(pieces));
        self.next_piece(acts);
    }

    /// The next statement goes to its shards; false: there is none.
    pub(super) fn next_piece(&mut self, acts: &mut Acts) -> bool {
        let Some(mut pieces) = self.pieces.take() else { return false };
        let Some(Piece { range, over }) = pieces.rest.pop_front() else { return false };
        let piece = &pieces.text[range.clone()];
        let whole = over.parts.iter().all(|part| part.cut.is_none());
        pieces.before = if whole { characters(&pieces.text[..range.start]) } else { 0 };
        for part in &over.parts {
            let at = self.member(part.shard);
            let text = part.cut.as_ref().map_or(piece, |cut| &cut.text);
            // Not longer than the client's.
            acts.tell(part.shard, |words| _ = query(words, text));
            self.members[at].owes.push_back(Owe::Query);
        }
        let shards = over.parts.iter().map(|part| part.shard).collect();
        let mut joint = self.joint(over.join, shards);
        joint.keep_tag();
        self.work = Work::Query(joint);
        self.pieces = Some(pieces);
        true
    }

    /// A statement has failed: those behind it are not run. Its error, as the whole text would have met it.
    pub(super) fn drop_pieces(&mut self, error: Box<[u8]>) -> Box<[u8]> {
        match self.pieces.take() {
            Some(pieces) if pieces.before > 0 => moved(&error, pieces.before).unwrap_or(error),
            _ => error,
        }
    }
}

type Verdict = Result<Pieces, Box<Refused>>;

fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// An ErrorResponse whose position is so many characters further on; None: it has none.
fn moved(message: &[u8], by: usize) -> Option<Box<[u8]>> {
    let mut at = HEADER;
    while *message.get(at)? != b'P' {
        at += 1 + message.get(at + 1..)?.iter().position(|byte| *byte == 0)? + 1;
    }
    let end = at + message.get(at..)?.iter().position(|byte| *byte == 0)?;
    let position: usize = std::str::from_utf8(&message[at + 1..end]).ok()?.parse().ok()?;
    let mut words = message[..=at].to_vec();
    words.extend_from_slice(position.saturating_add(by).to_string().as_bytes());
    words.extend_from_slice(&message[end..]);
    let length = u32::try_from(words.len() - 1).ok()?;
    words[1..HEADER].copy_from_slice(&length.to_be_bytes());
    Some(words.into())
}

fn too_many_large() -> Box<Refused> {
    let message = format!("more than {READS_MAX} large statements for several shards in one query");
    Box::new(Refused { code: "54000", message, detail: None, hint: Some("Send them one by one, in a transaction.") })
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
