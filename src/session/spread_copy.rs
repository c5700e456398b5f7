//! The rows of a COPY from the client, each to the shard of its key.
//!
//! Invariant: a shard gets its rows as they came and in their order, and nothing before it has got what stands in front of all rows. When a row has
//! no place nothing more is sent: all shards give the COPY up.

use std::cell::RefCell;
use std::rc::Rc;

use crate::route::request::{CopyFormat, Join, Refused, Split};
use crate::route::router::Router;
use crate::wire::client::{copy_fail, flush};
use crate::wire::copy::{Fault, Format, Row, Rows};

use super::coordinator::{Coordinator, Work};
use super::cuts::whole;
use super::members::Acts;
use super::turns::worded;

/// A COPY over shards.
#[derive(Debug)]
pub struct SpreadCopy {
    rows: Rows,
    split: Split,
    router: Rc<RefCell<Router>>,
    /// what each shard is to get next
    pending: Vec<(u16, Vec<u8>)>,
    /// the shards have got what stands in front of the rows
    headed: bool,
}

impl SpreadCopy {
    /// For a request that is joined so; None: it is no COPY whose rows are split. `utf8`: the client's texts are as the servers keep them.
    pub fn new(join: &Join, shards: &[u16], router: Rc<RefCell<Router>>, utf8: bool) -> Result<Option<Box<SpreadCopy>>, Box<Refused>> {
        let Join::Copy(split) = join else { return Ok(None) };
        if !utf8 {
            return Err(Refused::unsupported("COPY over shards in another encoding than UTF8", "SET client_encoding TO UTF8."));
        }
        let format = match split.format.clone() {
            CopyFormat::Text { delimiter, null, header } => Format::Text { delimiter, null, header },
            CopyFormat::Csv { delimiter, quote, escape, null, header, force_null, force_not_null } => {
                Format::Csv { delimiter, quote, escape, null, header, force_null, force_not_null }
            }
            CopyFormat::Binary => Format::Binary,
        };
        let pending = shards.iter().map(|shard| (*shard, Vec::new())).collect();
        let rows = Rows::new(format, split.position);
        Ok(Some(Box::new(SpreadCopy { rows, split: (**split).clone(), router, pending, headed: false })))
    }

    /// The body of a CopyData.
    pub fn push(&mut self, body: &[u8], acts: &mut Acts) -> Result<(), Box<Refused>> {
        let SpreadCopy { rows, split, router, pending, .. } = self;
        let mut router = router.borrow_mut();
        let pushed = rows.push(body, &mut |row: Row<'_>| place(split, &mut router, pending, row));
        drop(router);
        pushed?;
        self.say(acts);
        Ok(())
    }

    /// The client has no more.
    pub fn end(&mut self, acts: &mut Acts) -> Result<(), Box<Refused>> {
        let SpreadCopy { rows, split, router, pending, .. } = self;
        let mut router = router.borrow_mut();
        let ended = rows.end(&mut |row: Row<'_>| place(split, &mut router, pending, row));
        drop(router);
        let behind = ended?;
        // A COPY without rows has what stands around them all the same.
        self.say_headers(acts);
        for (_, words) in &mut self.pending {
            words.extend_from_slice(behind);
        }
        self.say(acts);
        Ok(())
    }

    fn say_headers(&mut self, acts: &mut Acts) {
        if std::mem::replace(&mut self.headed, true) || self.rows.header().is_empty() {
            return;
        }
        for (shard, _) in &self.pending {
            acts.tell(*shard, |words| whole(words, b'd', self.rows.header()));
        }
    }

    fn say(&mut self, acts: &mut Acts) {
        if self.pending.iter().all(|(_, words)| words.is_empty()) {
            return;
        }
        self.say_headers(acts);
        for (shard, rows) in self.pending.iter_mut().filter(|(_, rows)| !rows.is_empty()) {
            acts.tell(*shard, |words| whole(words, b'd', rows));
            rows.clear();
        }
    }
}

impl Coordinator {
    /// A COPY that has failed on one shard fails on the others.
    pub(super) fn give_up_copies(&mut self, acts: &mut Acts) {
        let (Work::Query(joint) | Work::Step(joint)) = &mut self.work else { return };
        if joint.error.is_none() || joint.copying.is_empty() {
            return;
        }
        self.copying = false;
        for shard in std::mem::take(&mut joint.copying) {
            if self.members.iter().any(|member| member.shard == shard && !member.owes.is_empty()) {
                // Fixed and short.
                acts.tell(shard, |words| _ = copy_fail(words, "it has failed on another shard"));
            }
        }
    }

    /// A message of a COPY from the client; outside of one PostgreSQL ignores them.
    pub(super) fn copy_message(&mut self, kind: u8, body: &[u8], acts: &mut Acts) {
        let stepwise = matches!(self.work, Work::Step(_));
        let (Work::Query(joint) | Work::Step(joint)) = &mut self.work else { return };
        if !self.copying {
            return;
        }
        if kind != b'd' {
            self.copying = false;
        }
        if kind != b'f'
            && let Some(copy) = &mut self.copy
        {
            let taken = if kind == b'd' { copy.push(body, acts) } else { copy.end(acts) };
            if let Err(refused) = taken {
                joint.error = Some(worded(&refused));
                return self.give_up_copies(acts);
            }
            if kind == b'd' {
                return;
            }
        }
        for shard in std::mem::take(&mut joint.copying) {
            acts.tell(shard, |words| {
                whole(words, kind, body);
                if stepwise && kind != b'd' {
                    flush(words);
                }
            });
            if kind == b'd' {
                joint.copying.push(shard);
            }
        }
    }
}

/// One row is for its shard.
fn place(split: &Split, router: &mut Router, pending: &mut [(u16, Vec<u8>)], row: Row<'_>) -> Result<(), Box<Refused>> {
    let binary = split.format == CopyFormat::Binary;
    let shard = router.place(split.rule, binary, row.key).map_err(|refused| at_line(refused, row.line))?;
    match pending.iter_mut().find(|(known, _)| *known == shard) {
        Some((_, rows)) => rows.extend_from_slice(row.bytes),
        None => return Err(at_line(Refused::unsupported("a row whose shard has no part in this COPY", "Try again."), row.line)),
    }
    Ok(())
}

fn at_line(mut refused: Box<Refused>, line: u64) -> Box<Refused> {
    refused.detail = Some(format!("In line {line} of the COPY; no row of it is stored."));
    refused
}

impl From<Fault> for Box<Refused> {
    fn from(fault: Fault) -> Box<Refused> {
        let message = fault.message("the sharding key");
        at_line(Box::new(Refused { code: fault.code(), message, detail: None, hint: None }), fault.line)
    }
}
