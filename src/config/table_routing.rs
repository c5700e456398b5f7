//! Rows of `[general]`, second part: statements, replicas, shards, commits over shards and moving data.
//! Invariant and meaning of a row: see `table`. With one server per database most of these change nothing, which is why they are harmless.

use super::table::Preset::{Bool, Empty, Float, Int, Text, Unset};
use super::table::{BYTES, COUNT, MS, Setting, Type, UNLIMITED, built, harmless, needed};

/// Words for `query_parser`, also in `[[query_parsers]]`.
pub(super) const PARSER_LEVELS: Type = Type::Choice(&["on", "auto", "off", "session_control", "session_control_and_locks"]);
/// Words for `query_parser_engine`, also in `[[query_parsers]]`.
pub(super) const PARSER_ENGINES: Type = Type::Choice(&["pg_query_protobuf", "pg_query_raw"]);

const PREPARED: Type = Type::Choice(&["disabled", "extended", "extended_anonymous", "full"]);
const BALANCING: Type = Type::Choice(&["random", "round_robin", "least_active_connections", "weighted_round_robin"]);
const SPLIT: Type = Type::Choice(&["include_primary", "exclude_primary", "include_primary_if_replica_banned", "prefer_primary"]);
const CATALOGS: Type = Type::Choice(&["omnisharded", "omnisharded_sticky", "sharded"]);

const PUB_SUB: &str = "Notifications of a channel kept for a client that reads slowly, so that clients can LISTEN and share servers; 0 is off.";

/// What had routes that nobody obeyed would put rows on shards on which nobody looks for them: with several shards there is no dry run.
const DRY: &str = "Works out routes on databases with rules and one server, which still gets everything as it is: SHOW QUERY_CACHE counts them, \
    and shows what would be refused. Databases with several shards are routed as ever.";

/// JSON, XML and YAML would not be that any more, and what a session keeps is known to its own server alone.
const EXPLAINS: &str = "Adds the route to the text of EXPLAIN on a database with shards, which then may go to several; not in session mode.";

pub(super) static KEYS: &[Setting] = &[
    // Statements.
    built("prepared_statements", PREPARED, Text("extended"), "Which prepared statements clients may share.").env("PGDOG_PREPARED_STATEMENTS"),
    built("prepared_statements_limit", COUNT, Int(UNLIMITED), "Most prepared statements on one server connection.")
        .env("PGDOG_PREPARED_STATEMENTS_LIMIT"),
    built("prepared_statements_ttl", MS, Unset, "Age at which a statement is prepared again; 0 is off.").env("PGDOG_PREPARED_STATEMENTS_TTL"),
    built("prepared_statements_ttl_jitter", MS, Int(30_000), "Spreads that age by up to this much either way.")
        .env("PGDOG_PREPARED_STATEMENTS_TTL_JITTER"),
    needed("query_parser_enabled", Type::Bool, Bool(false), "Older form of query_parser = \"on\".").env("PGDOG_QUERY_PARSER_ENABLED"),
    harmless("query_parser", PARSER_LEVELS, Text("auto"), "Which statements are parsed."),
    harmless("query_parser_engine", PARSER_ENGINES, Text("pg_query_protobuf"), "Which entrance to the parser PgDog takes."),
    harmless("regex_parser_limit", BYTES, Int(1_000), "Longest query that PgDog looks at before parsing."),
    harmless("query_cache_limit", COUNT, Int(1_000), "Parsed statements kept.").env("PGDOG_QUERY_CACHE_LIMIT"),
    built("pub_sub_channel_size", COUNT, Int(0), PUB_SUB).env("PGDOG_PUB_SUB_CHANNEL_SIZE"),
    built("dry_run", Type::Bool, Bool(false), DRY).env("PGDOG_DRY_RUN"),
    built("expanded_explain", Type::Bool, Bool(false), EXPLAINS).env("PGDOG_EXPANDED_EXPLAIN"),
    // Replicas.
    harmless("load_balancing_strategy", BALANCING, Text("random"), "How reads choose a server.").env("PGDOG_LOAD_BALANCING_STRATEGY"),
    harmless("read_write_strategy", Type::Choice(&["conservative", "aggressive"]), Text("conservative"), "When a transaction counts as a read.")
        .env("PGDOG_READ_WRITE_STRATEGY"),
    harmless("read_write_split", SPLIT, Text("include_primary"), "Whether the primary takes reads too.").env("PGDOG_READ_WRITE_SPLIT"),
    harmless("lsn_check_delay", MS, Int(UNLIMITED), "Wait before WAL positions are compared; never by default.").env("PGDOG_LSN_CHECK_DELAY"),
    harmless("lsn_check_interval", MS, Int(5_000), "Pause between two comparisons.").env("PGDOG_LSN_CHECK_INTERVAL"),
    harmless("lsn_check_timeout", MS, Int(5_000), "Time one comparison may take.").env("PGDOG_LSN_CHECK_TIMEOUT"),
    harmless("mirror_queue", COUNT, Int(128), "Transactions of one client that wait to be mirrored.").env("PGDOG_MIRROR_QUEUE"),
    harmless("mirror_exposure", Type::Float { min: 0.0, max: 1.0 }, Float(1.0), "Part of the transactions that is mirrored.")
        .env("PGDOG_MIRROR_EXPOSURE"),
    // Shards.
    built("cross_shard_disabled", Type::Bool, Bool(false), "Refuses statements that need several shards.").env("PGDOG_CROSS_SHARD_DISABLED"),
    built("shard_identity", Type::Choice(&["checked", "unchecked"]), Text("checked"), "Compares which shard a server is before it is used (ours)."),
    built("shard_local_functions", Type::Texts, Empty, "Functions that touch their own shard only (ours)."),
    harmless("system_catalogs", CATALOGS, Text("omnisharded_sticky"), "Which shard answers questions about the catalogs.")
        .env("PGDOG_SYSTEM_CATALOGS"),
    harmless("omnisharded_sticky", Type::Bool, Bool(false), "Keeps a client's reads of tables that all shards hold on one shard."),
    harmless("sharding_lookup_cache_size", BYTES, Int(67_108_864), "Memory for answers of lookup queries."),
    harmless("sharding_lookup_timeout", MS, Int(5_000), "Time a lookup query may take."),
    harmless("unique_id_min", COUNT, Int(0), "Added to generated ids."),
    harmless("unique_id_function", Type::Choice(&["standard", "compact"]), Text("standard"), "Layout of generated ids.")
        .env("PGDOG_UNIQUE_ID_FUNCTION"),
    // PgDog calls this variable SCHEMA_RELOAD_ON_DDL, with the words in another order than the key.
    built("reload_schema_on_ddl", Type::Bool, Bool(true), "Reads the schema of a database with shards again after DDL.")
        .env("PGDOG_SCHEMA_RELOAD_ON_DDL"),
    harmless("load_schema", Type::Choice(&["on", "off", "auto"]), Text("auto"), "Whether the schema is read at start.").env("PGDOG_LOAD_SCHEMA"),
    harmless("canonicalize_type_information", Type::Bool, Bool(false), "Gives types the OIDs of the first shard.")
        .env("PGDOG_CANONICALIZE_TYPE_INFORMATION"),
    // Commit over shards.
    built("two_phase_commit", Type::Bool, Bool(true), "Commits transactions over several shards in two phases: everywhere or nowhere."),
    built("two_phase_commit_auto", Type::Bool, Bool(true), "A single statement over shards is committed as a transaction is, whatever this says."),
    built("two_phase_commit_recovery_interval", MS, Int(5_000), "Pause between two looks for commits that somebody left unfinished (ours)."),
    harmless("two_phase_commit_wal_dir", Type::Text, Unset, "Where PgDog logs decisions; ours are stored in PostgreSQL.")
        .env("PGDOG_TWO_PHASE_COMMIT_WAL_DIR")
        .restart(),
    harmless("two_phase_commit_wal_segment_size", BYTES, Int(16_777_216), "Size of one file of that log.")
        .env("PGDOG_TWO_PHASE_COMMIT_WAL_SEGMENT_SIZE"),
    harmless("two_phase_commit_wal_fsync_interval", MS, Int(0), "Wait for more decisions before that log is flushed.")
        .env("PGDOG_TWO_PHASE_COMMIT_WAL_FSYNC_INTERVAL"),
    harmless("two_phase_commit_wal_checkpoint_interval", MS, Int(15_000), "Pause between clean-ups of that log.")
        .env("PGDOG_TWO_PHASE_COMMIT_WAL_CHECKPOINT_INTERVAL"),
    // Moving data.
    harmless("resharding_copy_format", Type::Choice(&["binary", "text"]), Text("binary"), "Format of COPY while rows move."),
    harmless("resharding_parallel_copies", COUNT, Int(1), "Tables copied at once per source."),
    harmless("resharding_copy_retry_max_attempts", COUNT, Int(5), "Tries to copy one table."),
    harmless("resharding_copy_retry_min_delay", MS, Int(1_000), "First pause between them."),
    harmless("resharding_replication_retry_max_attempts", COUNT, Int(5), "Tries to keep a stream going; 0 is for ever.")
        .env("PGDOG_RESHARDING_REPLICATION_RETRY_MAX_ATTEMPTS"),
    harmless("resharding_replication_retry_min_delay", MS, Int(1_000), "Pause between them.").env("PGDOG_RESHARDING_REPLICATION_RETRY_MIN_DELAY"),
    harmless("cutover_traffic_stop_threshold", BYTES, Int(1_000_000), "Lag at which traffic is held.").env("PGDOG_CUTOVER_TRAFFIC_STOP_THRESHOLD"),
    harmless("cutover_replication_lag_threshold", BYTES, Int(0), "Lag at which the switch is made.").env("PGDOG_CUTOVER_REPLICATION_LAG_THRESHOLD"),
    harmless("cutover_last_transaction_delay", MS, Int(1_000), "Quiet time that also lets the switch happen.")
        .env("PGDOG_CUTOVER_LAST_TRANSACTION_DELAY"),
    harmless("cutover_timeout", MS, Int(30_000), "Time traffic may be held.").env("PGDOG_CUTOVER_TIMEOUT"),
    harmless("cutover_timeout_action", Type::Choice(&["abort", "cutover"]), Text("abort"), "What happens after that time.")
        .env("PGDOG_CUTOVER_TIMEOUT_ACTION"),
    harmless("cutover_save_config", Type::Bool, Bool(false), "Writes the switched files back."),
];
