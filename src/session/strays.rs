//! A client of a database with shards that has a server: whether that server's shard is the right one for a message, and what comes of it where it
//! is not. Where a request goes is found in `shards`.
//!
//! Invariant: a message goes to the server at hand only if its route leads to that one's shard, or nowhere in particular.

use crate::config::snapshot::PoolerMode;
use crate::route::request::{Refused, Where};
use crate::wire::client::{Peek, statement_of, sync};
use crate::wire::frame::{self, HEADER};

use super::Verdicts;
use super::client::{Client, Stop};
use super::exchange::{Exchange, OUR_SYNC, Status};
use super::shards::{Ahead, ROUTED_MAX, Route, Shards, function_call, kept, parse_names, text_of_query, too_large};

impl Client {
    /// Whether a message is for another shard than that of the server at hand, and why it cannot go there. None: it is for this one.
    #[inline]
    pub(super) fn strays(&mut self, header: frame::Header, rest: &[u8], link: &mut Exchange) -> Result<Option<Box<Refused>>, Stop> {
        if self.shards.is_none() || link.is_skipping() {
            return Ok(None);
        }
        let Some(mut shards) = self.shards.take() else { return Ok(None) };
        let strayed = self.strays_from(&mut shards, header, rest, link);
        self.shards = Some(shards);
        strayed
    }

    /// A dry run: a message is looked at, once it is whole, and goes where it goes.
    #[cold]
    fn rehearse(&mut self, shards: &mut Shards, header: frame::Header, rest: &[u8], link: &Exchange) -> Result<Option<Box<Refused>>, Stop> {
        if !matches!(header.kind, b'Q' | b'P' | b'B') || header.total() > ROUTED_MAX {
            return Ok(None);
        }
        let Some(body) = rest.get(HEADER..header.total()) else {
            self.needs = header.total();
            return Err(Stop::More);
        };
        match parse_names(body).filter(|_| header.kind == b'P') {
            Some((b"", text)) => shards.parsed = Some(text.to_vec()),
            Some(_) => {}
            // Whatever comes of it.
            None => _ = self.route_within(shards, header, body, link),
        }
        Ok(None)
    }

    fn strays_from(&mut self, shards: &mut Shards, header: frame::Header, rest: &[u8], link: &mut Exchange) -> Result<Option<Box<Refused>>, Stop> {
        if shards.dry {
            return self.rehearse(shards, header, rest, link);
        }
        match header.kind {
            b'F' => return Ok(Some(function_call())),
            b'Q' | b'P' | b'B' | b'D' | b'C' | b'E' => {}
            kind => {
                // A Flush, for one, ends nothing.
                if kind == b'S' {
                    shards.parsed = None;
                }
                return Ok(None);
            }
        }
        if header.total() > ROUTED_MAX {
            return Ok(Some(too_large(header.total())));
        }
        let Some(body) = rest.get(HEADER..header.total()) else {
            self.needs = header.total();
            return Err(Stop::More);
        };
        if shards.held && (shards.routed > 0 || !link.is_free()) {
            shards.routed -= usize::from(shards.routed > 0 && matches!(header.kind, b'Q' | b'B'));
            return Ok(None);
        }
        shards.held = false;
        let decides = matches!(header.kind, b'Q' | b'B');
        let mut refused = None;
        if shards.routed == 0 && !link.is_unsynced() {
            shards.parsed = None;
            refused = match self.look_ahead(shards, rest, Some(link)) {
                Ahead::Any => None,
                Ahead::One(shard) => self.leaves(shards, Some(shard), link)?,
                Ahead::Over => self.leaves(shards, None, link)?,
                Ahead::More(needs) => {
                    self.needs = needs;
                    return Err(Stop::More);
                }
                Ahead::Wait => return Err(Stop::Full),
                Ahead::Refused(refused) => Some(refused),
            };
        } else if shards.routed == 0 && decides {
            let unnamed = header.kind == b'B' && matches!(statement_of(header, body), Peek::Statement(b""));
            if unnamed && shards.parsed.is_none() && link.is_active() {
                // Which statement it means is known when all is answered.
                return Err(Stop::Full);
            }
            refused = match self.route_within(shards, header, body, link) {
                // See `waits_or_ends`.
                Ok(Some(Where::One(shard) | Where::Held(shard))) if shard != shards.at && link.has_only_prepared() => return Err(Stop::Full),
                Ok(Some(Where::One(shard) | Where::Held(shard))) => self.leaves(shards, Some(shard), link)?,
                Ok(Some(Where::Over(_))) => self.leaves(shards, None, link)?,
                Ok(_) => None,
                Err(refused) => Some(refused),
            };
        }
        if refused.as_ref().is_some_and(|refused| refused.is_unread()) {
            return Err(Stop::Unread);
        }
        shards.routed -= usize::from(decides && shards.routed > 0);
        if header.kind == b'P' {
            shards.keep_parsed(body);
        }
        match refused {
            None => Ok(self.note(shards, header.kind, body, link)),
            refused => Ok(refused),
        }
    }

    /// The route of a message that stands behind others of its batch.
    fn route_within(&self, shards: &mut Shards, header: frame::Header, body: &[u8], link: &Exchange) -> Route {
        if header.kind == b'Q' {
            return self.route(shards, text_of_query(body), None, Some(link), shards.at).map(Some);
        }
        let text = shards.parsed.take();
        let route = self.route_of_bind(shards, body, text.as_deref().map(|text| (&b""[..], text)).as_slice(), Some(link));
        shards.parsed = text;
        route
    }

    /// A message in a batch cannot be routed to the server at hand yet: what was sent is answered first. When it is, the client has been told by any
    /// shard what its statements are, and binds the first (asyncpg asks so before each statement's first use): a Sync of ours ends the batch here,
    /// the server goes back, and the batch goes on at the shard that it needs.
    #[cold]
    pub(super) fn waits_or_ends(&mut self, link: &mut Exchange, out: &mut Verdicts) -> Stop {
        if link.is_active() {
            // What fails of it makes the rest be skipped.
            return self.wait(link, out);
        }
        out.to_server(sync);
        link.sent(OUR_SYNC);
        Stop::Full
    }

    /// A request for `shard` (None: for several), with a server of perhaps another one at hand. Err(`Stop::Over`): whoever can speak to several
    /// takes over, with this very message.
    fn leaves(&self, shards: &mut Shards, shard: Option<u16>, link: &mut Exchange) -> Result<Option<Box<Refused>>, Stop> {
        if shard == Some(shards.at) {
            return Ok(None);
        }
        shards.routed = 0;
        if link.is_active() || link.has_begun() {
            // What is at work is answered first; in a batch that takes a Flush.
            return Err(Stop::Full);
        }
        if !link.is_unsynced() && !link.is_quiet_but_for_ours() {
            return Err(Stop::Full);
        }
        let pinned = link.status() == Status::Idle && !link.is_unsynced() && !link.pins.is_empty();
        match link.status() {
            // The server refuses it in its own words.
            Status::Failed => Ok(None),
            _ if self.mode() == PoolerMode::Session || pinned && shard.is_some() => Ok(Some(kept(shards.at, shard))),
            _ => Err(Stop::Over),
        }
    }
}
