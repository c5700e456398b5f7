//! What a text of SQL says, as far as a pooler has to know it, from its bytes alone: no catalog, no parser, no allocation for ordinary texts.
//! Where a text can be read in two ways, the more suspicious one is taken.
//!
//! `look` says what a text may do to the session that runs it; `lex` cuts it into tokens, `single` reads the one statement a session has to know,
//! `calls` says whether a `name (` calls a function that is not PostgreSQL's own, `own` knows those, `may` is the set of suspicions, `mention` finds
//! the words that may be names, `transaction` says what a text does to the transaction it stands in, `cursors` what it does with cursors. What is
//! done about a suspicion is left to `session`.
//!
//! For databases of several shards there is more. `texts` reads a text: `scan` finds its shape, its `literal`s and the `directive`s in its
//! comments; `shapes` has the plans of shapes seen before, `wholes` those of texts that come again as they are; on a miss PostgreSQL's parser reads
//! it, `outline` is what its tree says, and `plan` what that means for the route, given a `catalog`. `explained` is what an EXPLAIN shows of that,
//! `executes` reads PREPARE and EXECUTE, `copy` the options of a COPY, `rows` cuts the rows of an INSERT apart, `large` reads what is too large for
//! a data core, `view` says what the definition of a view makes of it.

mod calls;
pub mod catalog;
pub mod copy;
pub mod cursors;
pub mod directive;
pub mod executes;
pub mod explained;
pub mod large;
mod lex;
pub mod literal;
pub mod look;
pub mod may;
pub mod mention;
pub mod outline;
mod outline_ddl;
mod outline_expr;
mod outline_kind;
mod outline_read;
mod own;
pub mod pieces;
pub mod plan;
mod plan_bind;
mod plan_cursor;
mod plan_fill;
mod plan_home;
mod plan_order;
mod plan_refusals;
mod plan_spread;
pub mod rows;
pub mod scan;
pub mod shapes;
mod single;
pub mod texts;
pub mod transaction;
pub mod view;
mod wholes;

pub use look::{Look, look};
pub use may::May;
pub use outline_kind::{Fault, outline};
pub use single::{Statement, Word};
