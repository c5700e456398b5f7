//! What the planner asks about tables and functions: a trait, since what is known of a schema is loaded elsewhere; and what needs no asking, the
//! functions of PostgreSQL's own.
//!
//! Whoever answers must answer for the effective search_path: where a name could mean two things, `Unknown` is the answer.

use super::outline::{Family, Name};
use super::own::{Known, known};

/// Answers for one database under one search_path. Names are folded already.
pub trait Catalog {
    /// Where the rows of a table live.
    fn table(&self, name: &Name) -> Placement<'_>;

    /// Where a table of this name is, or would be made. One without a name of its own is anything in its schema.
    fn home(&self, name: &Name) -> Home;

    /// A table's columns in their order; None when they are not known.
    fn columns(&self, name: &Name) -> Option<&[Column]>;

    /// A function that is not PostgreSQL's own.
    fn function(&self, name: &Name) -> Routine;

    /// Whether a function that is not PostgreSQL's own may return a set.
    fn returns_sets(&self, name: &Name) -> bool;

    /// Why nothing can be written by this name, which is that of a view; with `adds`, why no row can be added.
    fn barrier(&self, _name: &Name, _adds: bool) -> Option<&'static str> {
        None
    }
}

/// Where a table's rows live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement<'a> {
    /// on the shard of the value in a column
    Sharded(ShardKey<'a>),
    /// all of them on every shard
    Omni,
    /// on one shard
    One(u32),
    /// a catalog of PostgreSQL
    System,
    /// on every shard, but not the same ones each time: a view that depends on the time or on an order
    Loose,
    /// a view whose rows cannot be told from those of its tables, and why
    View(&'a str),
    /// it is not known, or does not exist
    Unknown,
}

/// Where a schema lives with all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// on every shard
    All,
    One(u32),
    /// which schema is meant is not known, and it matters
    Unknown,
}

/// How a table is sharded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardKey<'a> {
    pub column: &'a str,
    pub family: Family,
    /// names the entry of the configuration, for the route
    pub rule: u32,
    /// tables of one group keep equal keys on one shard
    pub group: u32,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Box<str>,
    /// None for types in which equality means something else
    pub family: Option<Family>,
    pub default: Fill,
}

/// What a row gets where an INSERT gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Null,
    /// the same on every shard
    Constant,
    /// a sequence, the time, chance
    Moving,
    /// what is computed from the row's other columns; nothing can be given for it
    Computed,
}

/// What is known of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    /// its result depends on its arguments alone
    Immutable,
    /// an aggregate that is immutable otherwise
    Aggregate,
    /// the operator says that it stays on the shard it runs on (`shard_local_functions`)
    Listed,
    /// it may read or write any table
    Hidden,
}

/// What a call means for the route of its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// nothing
    Plain,
    Aggregate,
    /// its result is another one each time, or on each server, and nothing else
    Moving,
    /// it does something on, or says something of, the one server where it runs
    Local,
    /// it may read or write any table
    Hidden,
}

/// PostgreSQL's own that are VOLATILE (`provolatile = 'v'` of PostgreSQL 18), one per line, sorted.
const VOLATILE: &str = include_str!("volatile.txt");

/// PostgreSQL's own that return sets (`proretset` of PostgreSQL 15 and 18), one per line, sorted.
const SETS: &str = include_str!("sets.txt");

/// PostgreSQL's own aggregates (`prokind = 'a'` of PostgreSQL 18).
#[rustfmt::skip]
const AGGREGATES: &[&str] = &[
    "any_value", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp",
    "cume_dist", "dense_rank", "every", "json_agg", "json_agg_strict", "json_object_agg", "json_object_agg_strict", "json_object_agg_unique",
    "json_object_agg_unique_strict", "jsonb_agg", "jsonb_agg_strict", "jsonb_object_agg", "jsonb_object_agg_strict", "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict", "max", "min", "mode", "percent_rank", "percentile_cont", "percentile_disc", "range_agg",
    "range_intersect_agg", "rank", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy",
    "regr_syy", "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum", "var_pop", "var_samp", "variance", "xmlagg",
];

/// Of the volatile ones those that do nothing but give another value, and stable ones that give another on each server.
#[rustfmt::skip]
const MOVING: &[&str] = &[
    "age", "array_sample", "array_shuffle", "clock_timestamp", "gen_random_uuid", "inet_server_addr", "inet_server_port", "now",
    "pg_backend_pid", "pg_conf_load_time", "pg_current_snapshot", "pg_postmaster_start_time", "random", "random_normal", "statement_timestamp",
    "timeofday", "transaction_timestamp", "uuidv4", "uuidv7",
];

/// Stable or unmarked ones that take an id of a transaction or run in one place.
#[rustfmt::skip]
const LOCAL: &[&str] = &[
    "pg_current_xact_id", "pg_current_xact_id_if_assigned", "set_config", "txid_current", "txid_current_if_assigned",
];

/// Those that read tables which their arguments name.
#[rustfmt::skip]
const READING: &[&str] = &[
    "cursor_to_xml", "cursor_to_xmlschema", "database_to_xml", "database_to_xml_and_xmlschema", "database_to_xmlschema", "query_to_xml",
    "query_to_xml_and_xmlschema", "query_to_xmlschema", "schema_to_xml", "schema_to_xml_and_xmlschema", "schema_to_xmlschema",
    "table_to_xml", "table_to_xml_and_xmlschema", "table_to_xmlschema", "ts_rewrite", "ts_stat",
];

/// What calling `name` means.
pub fn call(name: &Name, catalog: &impl Catalog) -> Call {
    let word = &*name.name;
    let own = match name.schema.as_deref() {
        None => known(word.as_bytes()) == Known::Function,
        Some("pg_catalog") => true,
        Some("information_schema") => return Call::Plain,
        Some(_) => false,
    };
    let listed = [(READING, Call::Hidden), (MOVING, Call::Moving), (LOCAL, Call::Local), (AGGREGATES, Call::Aggregate)];
    // A schema's name makes it somebody else's.
    if own || name.schema.is_none() {
        if let Some((_, call)) = listed.iter().find(|(names, _)| names.contains(&word)) {
            return *call;
        }
        if VOLATILE.lines().any(|line| line == word) {
            return Call::Local;
        }
    }
    if own {
        return Call::Plain;
    }
    match catalog.function(name) {
        Routine::Immutable => Call::Plain,
        Routine::Aggregate => Call::Aggregate,
        Routine::Listed => Call::Local,
        Routine::Hidden => Call::Hidden,
    }
}

/// Whether a call of `name` may make several rows of one.
pub fn returns_sets(name: &Name, catalog: &impl Catalog) -> bool {
    let own = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    (own && SETS.lines().any(|line| line == &*name.name)) || catalog.returns_sets(name)
}
