//! Whether a query depends on the order in which its rows happen to come. The same rows lie in another order on each shard, so that each shard would
//! make something else of them.
//!
//! Invariant: what is not surely free of it is taken to depend on it, ties of an ORDER BY apart. LIMIT is a mark of the whole statement.

use super::catalog::{Call, Catalog, call};
use super::outline::{Block, Function};

/// Aggregates of PostgreSQL's own whose result is the same in whatever order their values come.
#[rustfmt::skip]
const ORDERLESS: &[&str] = &[
    "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp", "cume_dist", "dense_rank", "every",
    "max", "min", "percent_rank", "percentile_cont", "percentile_disc", "range_agg", "range_intersect_agg", "rank", "regr_avgx", "regr_avgy",
    "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop", "stddev_samp", "sum",
    "var_pop", "var_samp", "variance",
];

/// Whether a block's own rows do.
pub(super) fn depends_on_order(block: &Block, catalog: &impl Catalog) -> bool {
    let ordered = |function: &Function| {
        let aggregate = function.aggregate || call(&function.name, catalog) == Call::Aggregate;
        let own = function.name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        let orderless = function.sorted || own && ORDERLESS.contains(&&*function.name.name);
        function.window || aggregate && !orderless
    };
    block.has.window || block.has.distinct_on || block.functions.iter().any(ordered)
}
