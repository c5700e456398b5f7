//! What a statement is made of, as far as its route depends on it: query blocks, the tables in them, what their conditions say about columns, what
//! they write. No catalog is asked: columns are names still, and whose they are is decided in `bind`.
//!
//! Invariant: what is not here was seen and does not matter, or is in `marks`: `read` visits every node and calls what it does not know `strange`.

use std::ops::Range;

use super::copy::Setting;

/// One statement of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    pub kind: Kind,
    /// of the text
    pub range: Range<usize>,
    /// the query blocks; the first is the whole query, if there is one
    pub blocks: Vec<Block>,
    pub marks: Marks,
    /// what a statement that is no query names, and the new table of one that makes one
    pub named: Vec<Name>,
}

/// What a statement does.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kind {
    /// nothing: an empty statement
    #[default]
    Empty,
    /// SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE: the first block
    Query,
    /// EXPLAIN of the first block; `runs` with ANALYZE
    Explain { runs: bool, form: Layout },
    /// DECLARE CURSOR for the first block
    Cursor,
    /// CREATE TABLE AS and SELECT INTO: the first block, into a new table
    Into,
    /// COPY of the first block's rows to the client
    CopyQuery,
    /// COPY of a table
    Copy(Copy),
    /// something that every shard has to do alike: DDL, maintenance, LOCK
    Everywhere(&'static str),
    /// the session's own: transactions, SET, LISTEN, cursors, prepared statements
    Session(Session),
    /// what runs code that nobody sees: CALL, DO, EXECUTE
    Code(&'static str),
    /// what makes no sense over several shards
    Never(&'static str),
}

/// How EXPLAIN shows a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// as text, because nothing else is asked for
    Usual,
    /// as text
    Text,
    /// as one value of JSON, XML or YAML
    Other,
}

/// COPY of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub table: Name,
    pub columns: Option<Vec<Box<str>>>,
    /// FROM, not TO
    pub from: bool,
    /// a file or program of the server, not the client
    pub elsewhere: bool,
    pub options: Vec<Setting>,
}

/// What the session decides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// BEGIN, COMMIT, SAVEPOINT and all that belongs to them
    Transaction,
    /// SET, RESET, SET CONSTRAINTS
    Set,
    /// SET and RESET of what says which table a name means: search_path, and whose `$user` is in it
    Path,
    /// SET and RESET of client_encoding
    Encoding,
    Show,
    Discard,
    Listen,
    Notify,
    /// PREPARE
    Prepare,
    /// DEALLOCATE
    Deallocate,
    /// FETCH, MOVE, CLOSE: where the cursor is
    Cursor,
}

/// What a statement has somewhere that matters as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `ctid`, `xmin`, `tableoid` and their like, which mean something on one server only
    pub system: bool,
    /// `CURRENT_TIMESTAMP` and its like
    pub clock: bool,
    /// TABLESAMPLE
    pub sample: bool,
    /// FOR UPDATE and its like
    pub locks: bool,
    /// LIMIT, OFFSET or FETCH in some block
    pub limits: bool,
    /// INSERT, UPDATE, DELETE or MERGE in some block
    pub writes: bool,
    /// WHERE CURRENT OF a cursor
    pub current: bool,
    /// something that `read` does not know
    pub strange: bool,
    /// a temporary table is made
    pub temporary: bool,
    /// no transaction block may have it, or none need have it
    pub alone: bool,
    /// WITH RECURSIVE
    pub recursive: bool,
}

/// The name of a table or function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    pub schema: Option<Box<str>>,
    pub name: Box<str>,
}

/// A SELECT without its set operations, an arm of them, or a statement that writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// where it is written; its WITH names are looked for from there on
    pub parent: Option<usize>,
    /// whose tables' columns it may name besides its own
    pub scope: Option<usize>,
    pub place: Place,
    pub ctes: Vec<Cte>,
    /// what FROM lists, joins flattened; of a statement that writes the written table is the first
    pub sources: Vec<Source>,
    pub facts: Vec<Fact>,
    pub outputs: Vec<Output>,
    pub functions: Vec<Function>,
    /// the blocks of a set operation, which has nothing else of its own but WITH, ORDER BY and LIMIT
    pub arms: Vec<usize>,
    pub has: Has,
    /// GROUP BY is by these columns alone
    pub groups: Vec<Column>,
    /// some join is FULL
    pub full: bool,
    /// names of whole joins; whose columns they qualify is not looked into
    pub joined: Vec<Box<str>>,
    pub write: Option<Write>,
}

/// How a block stands in the one around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Root,
    /// in FROM
    Derived,
    Cte,
    /// in an expression
    Expression,
    Arm,
    /// what an INSERT inserts
    Input,
}

/// Clauses of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    pub order: bool,
    pub limit: bool,
    pub distinct: bool,
    pub distinct_on: bool,
    pub group: bool,
    pub having: bool,
    pub window: bool,
    pub values: bool,
    /// a UNION, INTERSECT or EXCEPT
    pub set: bool,
}

/// A name of WITH.
#[derive(Clone, Debug, PartialEq)]
pub struct Cte {
    pub name: Box<str>,
    pub block: usize,
    /// names its columns anew
    pub columns: Option<Vec<Box<str>>>,
    /// how often it is named; what refers to itself counts twice
    pub uses: usize,
    /// it cannot be seen through
    pub closed: bool,
}

/// One entry of FROM.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub relation: Relation,
    /// the name its columns are qualified with
    pub alias: Option<Box<str>>,
    /// names its columns anew
    pub columns: Option<Vec<Box<str>>>,
    /// an outer join may put NULLs in place of its rows
    pub nullable: bool,
    /// its name is not visible: a join around it has an alias
    pub hidden: bool,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    Table(Name),
    /// a subquery
    Derived(usize),
    /// a name of WITH: the block that has it, which of its names
    Cte(usize, usize),
    /// functions, VALUES, XMLTABLE: no table
    Other,
}

/// A column as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// table, or schema and table
    pub qualifier: Vec<Box<str>>,
    pub name: Box<str>,
}

/// Something that holds for the rows that a block goes on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub what: What,
    /// the sources whose other rows do not matter
    pub reach: Range<usize>,
}

/// What holds.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// a column is one of these values; `null` when NULL counts as equal
    Value { column: Column, values: Values, null: bool },
    /// two columns are equal
    Same(Column, Column),
    /// a column is the first output of a block
    Within(Column, usize),
    /// USING, or NATURAL without a name: a column of the first sources is equal to that of the second ones
    Using { name: Option<Box<str>>, left: Range<usize>, right: Range<usize> },
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// one of these
    Some(Vec<Value>),
    /// one element of this array
    Array(Value),
}

/// A literal or parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub term: Term,
    pub cast: Option<Cast>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// where it begins, with its sign; the value as the parser read it
    Constant {
        at: usize,
        form: Form,
        text: Box<str>,
    },
    Parameter(u32),
    Null,
}

/// What kind of constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Integer,
    Number,
    String,
    Other,
}

/// The types to which a cast leaves a key what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    pub family: Family,
    pub array: bool,
}

/// Types in which equality means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// int2, int4, int8
    Integer,
    Uuid,
    /// text, varchar
    Text,
}

/// One column of a block's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: Option<Box<str>>,
    pub what: Shown,
}

/// What an output column shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    Column(Column),
    Value(Value),
    /// `*`: any number of columns
    Star,
    /// DEFAULT, in SET, or what may be that
    Default,
    Other,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    pub name: Name,
    /// with OVER
    pub window: bool,
    /// written as only an aggregate can be: `(*)`, DISTINCT, ORDER BY, FILTER, WITHIN GROUP
    pub aggregate: bool,
    /// with ORDER BY, or WITHIN GROUP
    pub sorted: bool,
}

/// What a block writes into its first source.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Insert {
        columns: Option<Vec<Box<str>>>,
        input: Input,
        /// what ON CONFLICT DO UPDATE sets
        conflict: Vec<Set>,
    },
    Update(Vec<Set>),
    Delete,
    Merge,
}

/// What is inserted.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// DEFAULT VALUES
    Defaults,
    Rows(Vec<Vec<Cell>>),
    Query(usize),
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Value(Value),
    Default,
    Other,
}

/// `column = value` of SET.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    pub column: Box<str>,
    pub to: Shown,
}

impl Statement {
    /// The block of the whole query.
    pub fn root(&self) -> Option<&Block> {
        self.blocks.first()
    }
}

impl Block {
    /// The name of WITH that `name` means here: the block that has it, and which of its names.
    pub fn cte(blocks: &[Block], from: usize, name: &str) -> Option<(usize, usize)> {
        let mut at = Some(from);
        while let Some(block) = at {
            if let Some(found) = blocks[block].ctes.iter().rposition(|cte| *cte.name == *name) {
                return Some((block, found));
            }
            at = blocks[block].parent;
        }
        None
    }
}

impl Source {
    /// The name that qualifies its columns.
    pub fn visible(&self) -> Option<&str> {
        match (&self.alias, &self.relation) {
            _ if self.hidden => None,
            (Some(alias), _) => Some(alias),
            (None, Relation::Table(name)) => Some(&name.name),
            _ => None,
        }
    }
}
