//! Texts that are too large to be read on a data core, read on a helper: as one tree, or, where an INSERT has so many rows that its tree would fill
//! the memory, some rows at a time.
//!
//! Invariant: what is read so is what reading the whole would have given. An INSERT with some of its rows is one statement with the same head and the
//! same end, and each of its rows is planned by itself, so that the plans of the parts are the plan of the whole; a text of which any part is
//! something else is read as a whole or not at all.

use super::catalog::Catalog;
use super::directive::Directives;
use super::literal::Literal;
use super::outline_kind::outline;
use super::plan::{Key, Plan, Refusal, Source, Target, plan};
use super::rows::Rows;
use super::scan::{HELPER, Limits, Outcome, ROWS, Scan, Size};
use super::shapes::Space;
use super::texts::{Found, Reading, Texts};

/// Texts up to this size are read as one tree, whatever they are.
const TREE: Limits = Limits { bytes: 256 << 10, tokens: 30_000, depth: ROWS.depth };
/// Rows of an INSERT that are read together: so few that many parts have one shape, which is parsed once.
const PART_ROWS: usize = 16;
/// Such a part is at least so many times as long as what stands around its rows, which is read again with each of them.
const PART_TIMES: usize = 4;
/// Bytes of the plans of parts that are kept while a text is read.
const SHAPES_BYTES: usize = 4 << 20;

/// A large text that was read.
#[derive(Debug)]
pub struct Large {
    /// one per statement
    pub plans: Vec<Plan>,
    /// what the plans' keys name
    pub literals: Vec<Literal>,
    pub directives: Directives,
    /// of an INSERT of several rows
    pub rows: Option<Rows>,
}

/// What became of it.
#[derive(Debug)]
pub enum Outlook {
    Read(Large),
    /// nobody reads it
    Beyond(Size),
    /// it is not UTF-8
    Foreign,
}

/// Reads a whole text, without the zero byte behind it. `standard` is the session's `standard_conforming_strings`. The stack has to have
/// `scan::HELPER_STACK` bytes.
pub fn read(text: &[u8], standard: bool, catalog: &impl Catalog) -> Outlook {
    let mut scan = Scan::default();
    let outcome = scan.run(text, standard, ROWS);
    match outcome {
        Outcome::Beyond => return Outlook::Beyond(scan.size),
        Outcome::Foreign => return Outlook::Foreign,
        Outcome::Shape | Outcome::Odd => {}
    }
    let find = || Rows::find(text, standard);
    let (mut plans, mut rows) = (Vec::new(), None);
    if outcome == Outcome::Shape && !scan.size.within(TREE) {
        rows = find();
        plans.extend(rows.as_ref().and_then(|rows| by_rows(text, rows, &scan.literals, standard, catalog)));
    }
    if plans.is_empty() {
        if !scan.size.within(HELPER) {
            return Outlook::Beyond(scan.size);
        }
        plans = whole(text, standard, &scan.literals, catalog);
    }
    rows = match &*plans {
        [Plan { target: Target::Rows(_), .. }] => rows.or_else(find),
        _ => None,
    };
    Outlook::Read(Large { plans, literals: scan.literals, directives: scan.directives, rows })
}

fn whole(text: &[u8], standard: bool, literals: &[Literal], catalog: &impl Catalog) -> Vec<Plan> {
    match outline(&String::from_utf8_lossy(text), standard) {
        Ok(statements) => statements.iter().map(|statement| plan(statement, catalog, literals)).collect(),
        Err(fault) => vec![refused(Refusal::of(&fault))],
    }
}

fn refused(refusal: Refusal) -> Plan {
    Plan { write: false, target: Target::Refused(refusal), keep: false, explained: None }
}

/// The plan of an INSERT, read some rows at a time; None: that is not what it is.
fn by_rows(text: &[u8], rows: &Rows, literals: &[Literal], standard: bool, catalog: &impl Catalog) -> Option<Plan> {
    let (first, last) = (rows.place(0).start, rows.place(rows.count() - 1).end);
    let enough = PART_TIMES * (first + text.len() - last);
    let before = |at: usize| literals.partition_point(|literal| (literal.start as usize) < at);
    let reading = Reading { standard, space: Space(0), limits: HELPER };
    let mut texts = Texts::new(SHAPES_BYTES);
    let mut part = Vec::new();
    let mut keys: Vec<Key> = Vec::new();
    // Where all of it goes, if it goes to one place.
    let mut place: Option<Plan> = None;
    let mut at = 0;
    while at < rows.count() {
        let start = rows.place(at).start;
        let mut end = (at + PART_ROWS).min(rows.count());
        while end < rows.count() && rows.place(end - 1).end - start < enough {
            end += 1;
        }
        if end + 1 == rows.count() {
            // One row alone would be another statement.
            end += 1;
        }
        part.clear();
        part.extend_from_slice(&text[..first]);
        part.extend_from_slice(&text[start..rows.place(end - 1).end]);
        part.extend_from_slice(&text[last..]);
        let Found::Plans(read) = texts.read(&part, reading, catalog) else { return None };
        let [plan] = &*read.plans else { return None };
        match &plan.target {
            Target::Rows(of) if of.len() == end - at && place.is_none() => {
                let (head, skipped) = (before(first), before(start));
                keys.extend(of.iter().map(|key| moved(key, head, skipped)));
            }
            Target::Refused(_) => return Some(Plan { keep: false, ..plan.clone() }),
            Target::AllWrite { .. } | Target::Shard(_) if keys.is_empty() && place.as_ref().is_none_or(|place| place.target == plan.target) => {
                place = Some(plan.clone());
            }
            _ => return None,
        }
        at = end;
    }
    Some(place.unwrap_or(Plan { write: true, target: Target::Rows(keys), keep: false, explained: None }))
}

/// A key of a part, with its literal's number in the whole: `head` literals stand in front of all rows, `skipped` in front of the part's.
fn moved(key: &Key, head: usize, skipped: usize) -> Key {
    let mut key = key.clone();
    if let Source::Literal { number, .. } = &mut key.source {
        let of_part = *number as usize;
        if of_part >= head {
            // No more than tokens.
            *number = (of_part - head + skipped) as u32;
        }
    }
    key
}

#[cfg(test)]
#[path = "large_tests.rs"]
mod tests;
