//! From a text to its plans: scan, cache, and on a miss parse and plan. One per core; nothing is shared.
//!
//! Cost of a hit: the lexer, one pass over its tokens, one hash, one comparison of the shape. On a miss the text is parsed where the caller is, so
//! the caller says how large it may be there (`scan::CORE`, `scan::HELPER`); what is larger is answered with its size.

use std::sync::Arc;

use super::catalog::Catalog;
use super::directive::Directives;
use super::literal::Literal;
use super::outline_kind::outline;
use super::plan::{Plan, Refusal, Target, plan};
use super::scan::{Limits, Outcome, Scan, Size};
use super::shapes::{Shapes, Space};
use super::wholes::Wholes;

/// Bytes of plans that a core keeps unless it is told otherwise.
pub const SHAPES_BYTES: usize = 16 << 20;

/// What a text asks for.
#[derive(Debug)]
pub enum Found<'a> {
    /// one plan per statement of the text
    Plans(Read<'a>),
    /// it is too large to be read here
    Beyond(Size),
    /// it is not UTF-8
    Foreign,
}

/// A text that was read.
#[derive(Debug)]
pub struct Read<'a> {
    pub plans: Arc<[Plan]>,
    /// what the plans' keys name
    pub literals: &'a [Literal],
    pub directives: &'a Directives,
}

/// Under which circumstances a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// the session's `standard_conforming_strings`
    pub standard: bool,
    pub space: Space,
    pub limits: Limits,
}

/// Reads texts.
#[derive(Debug)]
pub struct Texts {
    scan: Scan,
    shapes: Shapes,
    wholes: Wholes,
    /// texts whose plans were there
    found: u64,
    /// texts that were parsed
    parsed: u64,
    /// what of a hash is used
    mask: u64,
}

impl Texts {
    /// Keeps plans of at most `bytes`.
    pub fn new(bytes: usize) -> Texts {
        Texts { scan: Scan::default(), shapes: Shapes::new(bytes), wholes: Wholes::default(), found: 0, parsed: 0, mask: u64::MAX }
    }

    /// The same, with one hash for all shapes: nothing may depend on a hash. For tests.
    pub fn with_one_hash(bytes: usize) -> Texts {
        Texts { mask: 0, ..Texts::new(bytes) }
    }

    /// How many texts had plans that were kept.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// How many texts were parsed, not found.
    pub fn parsed(&self) -> u64 {
        self.parsed
    }

    /// How many shapes are kept, and their bytes, about.
    pub fn kept(&self) -> (usize, usize) {
        (self.shapes.len(), self.shapes.bytes())
    }

    /// The plans of a whole text, without the zero byte behind it.
    pub fn read(&mut self, text: &[u8], reading: Reading, catalog: &impl Catalog) -> Found<'_> {
        let outcome = self.scan.run(text, reading.standard, reading.limits);
        let hash = self.scan.hash & self.mask;
        let found = match outcome {
            Outcome::Beyond => return Found::Beyond(self.scan.size),
            Outcome::Foreign => return Found::Foreign,
            Outcome::Shape => self.shapes.get(reading.space, hash, &self.scan.shape),
            Outcome::Odd => None,
        };
        let plans = match found {
            Some(plans) => {
                self.found += 1;
                plans
            }
            None => {
                let plans: Arc<[Plan]> = self.parse(text, reading, catalog).into();
                if outcome == Outcome::Shape && plans.iter().all(|plan| plan.keep) {
                    self.shapes.put(reading.space, hash, &self.scan.shape, plans.clone());
                }
                plans
            }
        };
        Found::Plans(Read { plans, literals: &self.scan.literals, directives: &self.scan.directives })
    }

    /// The same of a text that surely comes again as it is: the next time it costs a hash and a comparison.
    pub fn read_again(&mut self, text: &[u8], reading: Reading, catalog: &impl Catalog) -> Found<'_> {
        let Some(place) = Wholes::place(text, self.mask) else { return self.read(text, reading, catalog) };
        if !self.wholes.has(place, text, reading) {
            let plans = match self.read(text, reading, catalog) {
                Found::Plans(read) => read.plans,
                Found::Beyond(size) => return Found::Beyond(size),
                Found::Foreign => return Found::Foreign,
            };
            self.wholes.put(place, text, reading, plans, &self.scan.literals, &self.scan.directives);
        } else {
            self.found += 1;
        }
        // It is there.
        self.wholes.get(place).map_or(Found::Foreign, Found::Plans)
    }

    #[cold]
    fn parse(&mut self, text: &[u8], reading: Reading, catalog: &impl Catalog) -> Vec<Plan> {
        self.parsed += 1;
        let text = String::from_utf8_lossy(text);
        match outline(&text, reading.standard) {
            Ok(statements) => statements.iter().map(|statement| plan(statement, catalog, &self.scan.literals)).collect(),
            // The same shape with other literals is as wrong, but its message may name them.
            Err(fault) => vec![Plan { write: false, target: Target::Refused(Refusal::of(&fault)), keep: false, explained: None }],
        }
    }
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
