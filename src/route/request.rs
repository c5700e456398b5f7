//! What is asked of a route, and what comes of it.

use std::ops::Range;
use std::sync::Arc;

pub use crate::sql::copy::CopyFormat;

/// Which shards a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// whichever: all of them would answer alike
    Any,
    One(u16),
    /// there, and so does all that follows in its transaction: somebody has said so by hand
    Held(u16),
    /// several, each with its part
    Over(Box<Over>),
}

/// What a request over shards is made of: each shard its own part, in one transaction of the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// ascending by shard, at least one, none twice
    pub parts: Vec<Part>,
    pub join: Join,
    /// it may write, so that all of it is committed or nothing
    pub writes: bool,
    /// no transaction block may have it: each shard runs it by itself, so that one may have done it and another not
    pub alone: bool,
}

/// One shard's part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub shard: u16,
    /// what it is sent; None: the request as it is
    pub cut: Option<Cut>,
}

/// A text made for one shard out of a client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub text: Arc<[u8]>,
    /// of the client's parameters (1 is the first) those that this text's `$1`, `$2`, ... are
    pub parameters: Box<[u16]>,
}

/// How the answers of the shards become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// the union of their rows in any order, and the sum of the counts in their tags
    Union,
    /// of an INSERT whose every row becomes one: row `n` is the next one of part `order[n]`; the counts add up
    Rows { order: Box<[u16]> },
    /// they all do and answer the same, and one answer is the answer
    Same,
    /// of an EXPLAIN: the rows of each, one shard after the other, and these lines behind them
    Plans(Box<[Box<str>]>),
    /// COPY FROM STDIN: each row to the shard of its key
    Copy(Box<Split>),
    /// of several statements: where each stands in the text. They go one after the other, each to shards of its own, in one transaction
    Each(Box<[Range<usize>]>),
}

impl Join {
    /// The rows of a COPY are split.
    pub fn is_copy(&self) -> bool {
        matches!(self, Join::Copy(_))
    }
}

/// How the rows of a COPY find their shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// the rule of the key, as the topology counts them
    pub rule: usize,
    /// the key's place in a row, from 0
    pub position: usize,
    pub format: CopyFormat,
}

/// A request that goes nowhere, with what its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// SQLSTATE
    pub code: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<&'static str>,
}

/// What to do where something prepared in SQL would be known to one server alone.
pub const CARRY: &str = "Set prepared_statements = \"full\", so that what SQL prepares goes with its client; or prepare it by the protocol.";

/// SQLSTATE of what is not refused, but not read yet. No client hears of it; if one did, it could try again.
const UNREAD: &str = "55P03";

impl Refused {
    /// The text is too large to be read where it was asked about: somebody else reads it first (`large`).
    pub fn unread() -> Box<Refused> {
        Box::new(Refused { code: UNREAD, message: "the statement has not been read yet".to_owned(), detail: None, hint: Some("Try again.") })
    }

    /// Whether it is that.
    pub fn is_unread(&self) -> bool {
        self.code == UNREAD
    }

    /// What no shard can do by itself, with the reason.
    pub fn unsupported(message: impl Into<String>, hint: &'static str) -> Box<Refused> {
        Box::new(Refused { code: "0A000", message: message.into(), detail: None, hint: Some(hint) })
    }
}
