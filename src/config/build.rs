//! From two files, the environment, what was said besides and sixteen random bytes to one checked snapshot.
//! Invariant: a snapshot comes out only if nothing at all is wrong; otherwise every mistake that can be seen at once is reported at once. Types
//! and lines are `file`'s work, what is built is `judge`'s, pools are put together by `pools`. Reading the files and publishing is left to the
//! caller.

use super::file::{Block, Entry, Source, Value, Which, read};
use super::inputs::Inputs;
use super::judge::{fill, judge, variables};
use super::overrides;
use super::pools::Pools;
use super::problem::{At, Findings, Problem, What, printed};
use super::sharding;
use super::shown;
use super::snapshot::{
    Admin, AuthType, ClientRecovery, Cores, General, LogFormat, NEVER, PERIOD_MIN, PreparedStatements, QUEUE_MAX, Recovery, SAMPLE_MAX, Snapshot,
    Tcp, Watch,
};
use super::table::section_named;
use super::urls;

/// Names of the files in messages when the caller has none.
const MAIN: &str = "pgdog.toml";
const USERS: &str = "users.toml";

/// A configuration that can be used, and what the operator should know about it. The warnings hold no secrets.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub snapshot: Snapshot,
    pub warnings: Vec<String>,
}

/// Builds a snapshot. The errors are all problems of both files, the environment and what was said besides, in the order of the files.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Vec<Problem>> {
    let Inputs { main, users, env, random, number, .. } = *inputs;
    let mut findings = Findings::new(main.map_or(MAIN, |file| file.name), users.map_or(USERS, |file| file.name));
    let urls = urls::given(inputs);
    let main_blocks = read_or_remark(Which::Main, main, !urls.is_empty(), &mut findings);
    let users_blocks = read_or_remark(Which::Users, users, !urls.is_empty(), &mut findings);
    let complete = main_blocks.is_some() && users_blocks.is_some();
    let mut blocks: Vec<Block> = main_blocks.into_iter().flatten().chain(users_blocks.into_iter().flatten()).collect();
    if !urls.is_empty() {
        blocks.retain(|block| !matches!(block.section.name, "databases" | "users"));
        blocks.extend(urls::blocks(&urls, env("USER").filter(|user| !user.is_empty()), &mut findings));
    }

    let mut general = take(&mut blocks, "general");
    let mut admin = admin_block(&mut blocks, &mut findings);
    fill(&mut general, env, &mut findings);
    overrides::apply(&mut general, inputs, &mut findings);
    fill(&mut admin, env, &mut findings);
    variables(env, &mut findings);
    workers(&mut general, inputs.cpus, &mut findings);
    let (tcp, cores, memory) = (take(&mut blocks, "tcp"), take(&mut blocks, "cores"), take(&mut blocks, "memory"));
    let singles = [general, admin, tcp, cores, memory];
    judge(&singles, &mut findings);
    judge(&blocks, &mut findings);
    let [general, admin, tcp, cores, memory] = &singles;

    let settings = General { memory_limit: memory.unsigned("limit").unwrap_or_default(), ..general_settings(general, &mut findings) };
    let admin = admin_settings(admin, random, &mut findings);
    let cores_settings = cores_settings(cores, settings.workers, &mut findings);
    // Half a configuration would only produce wrong remarks about the other half.
    let (pools, by_name) = if complete { Pools::build(general, settings.auth_type, &admin, &blocks, &mut findings) } else { Default::default() };
    let sharded = if complete { sharding::build(&blocks, &mut findings) } else { Vec::new() };
    let shown = shown::rows(&[general, tcp, memory, cores]);
    let snapshot = Snapshot { number, general: settings, cores: cores_settings, admin, tcp: tcp_settings(tcp), pools, by_name, sharded, shown };
    findings.verdict().map(|warnings| Loaded { snapshot, warnings })
}

fn read_or_remark(which: Which, source: Option<Source<'_>>, urls: bool, findings: &mut Findings) -> Option<Vec<Block>> {
    match (which, source) {
        (_, Some(source)) => read(which, source, findings),
        (Which::Main, None) if urls => {
            findings.remark(format!("the main file ({MAIN}) is missing, so every setting has its default"));
            Some(Vec::new())
        }
        (Which::Users, None) if urls => Some(Vec::new()),
        (Which::Main, None) => {
            findings.remark(format!("the main file ({MAIN}) is missing, so every setting has its default and there are no databases"));
            Some(Vec::new())
        }
        (Which::Users, None) => {
            findings.remark(format!("the users file ({USERS}) is missing, so there are no users"));
            Some(Vec::new())
        }
    }
}

/// Takes a section that exists at most once out of the list; an empty one if no file has it.
fn take(blocks: &mut Vec<Block>, name: &'static str) -> Block {
    let at = blocks.iter().position(|block| block.section.name == name);
    match (at, section_named(name)) {
        (Some(index), _) => blocks.remove(index),
        (None, Some(section)) => Block::empty(section, At::Main(0)),
        (None, None) => unreachable!("[{name}] is a section of the table"),
    }
}

/// The one in the users file wins as a whole, because it comes last: none of its keys is taken from the other.
fn admin_block(blocks: &mut Vec<Block>, findings: &mut Findings) -> Block {
    let mut found = take(blocks, "admin");
    if blocks.iter().any(|block| block.section.name == "admin") {
        let winner = take(blocks, "admin");
        findings.warn(found.at, "[admin] stands in the users file too; that one counts");
        found = winner;
    }
    if found.get("password").is_some_and(|value| matches!(value, Value::Text(text) if text.is_empty())) {
        findings.warn(found.at, "[admin]: an empty `password` counts as none");
        found.entries.remove("password");
    }
    found
}

/// More data cores than CPUs are refused when somebody asked for them; the default gives way.
fn workers(general: &mut Block, cpus: usize, findings: &mut Findings) {
    let workers: usize = general.unsigned("workers").unwrap_or(1);
    if cpus == 0 || workers <= cpus {
        return;
    }
    match general.entries.get("workers").map(|entry| entry.at) {
        Some(at) => findings.problem(at, What::Workers { workers, cpus }),
        None => {
            let value = Value::Int(i64::try_from(cpus).unwrap_or(1));
            general.entries.insert("workers", Entry { value, at: general.at });
        }
    }
}

fn watch_settings(block: &Block) -> Watch {
    let limit = |key| block.millis(key).unwrap_or_default();
    Watch {
        openmetrics_host: block.owned("openmetrics_host").unwrap_or_default(),
        openmetrics_port: block.unsigned("openmetrics_port"),
        openmetrics_namespace: block.owned("openmetrics_namespace").unwrap_or_default(),
        healthcheck_port: block.unsigned("healthcheck_port"),
        stats_period: limit("stats_period").max(PERIOD_MIN),
        shutdown_delay: limit("shutdown_delay"),
        query_log: block.owned("query_log"),
        query_log_stdout: block.flag("query_log_stdout"),
        query_sample: block.unsigned("log_query_sample_length").unwrap_or(SAMPLE_MAX).min(SAMPLE_MAX),
        dedup_window: limit("log_dedup_window"),
        dedup_threshold: block.unsigned("log_dedup_threshold").unwrap_or_default(),
    }
}

fn general_settings(block: &Block, findings: &mut Findings) -> General {
    for key in ["connect_timeout", "checkout_timeout", "client_login_timeout", "rollback_timeout", "healthcheck_timeout"] {
        if let Some(entry) = block.entries.get(key).filter(|entry| entry.value == Value::Int(0)) {
            findings.warn(entry.at, format!("[general]: `{key}` = 0 means at once, not never"));
        }
    }
    let limit = |key| block.millis(key).unwrap_or_default();
    General {
        host: block.owned("host").unwrap_or_default(),
        port: block.unsigned("port").unwrap_or_default(),
        workers: block.unsigned::<usize>("workers").unwrap_or(1).max(1),
        auth_type: match block.words("auth_type") {
            Some("md5") => AuthType::Md5,
            Some("plain") => AuthType::Plain,
            Some("trust") => AuthType::Trust,
            _ => AuthType::Scram,
        },
        connect_timeout: limit("connect_timeout"),
        connect_attempts: block.unsigned("connect_attempts").unwrap_or(1).max(1),
        connect_attempt_delay: limit("connect_attempt_delay"),
        server_connects: block.unsigned("server_connects").unwrap_or(1).max(1),
        healthcheck_interval: limit("healthcheck_interval"),
        healthcheck_timeout: limit("healthcheck_timeout"),
        checkout_timeout: limit("checkout_timeout"),
        client_login_timeout: limit("client_login_timeout"),
        rollback_timeout: limit("rollback_timeout"),
        shutdown_timeout: limit("shutdown_timeout"),
        connection_recovery: match block.words("connection_recovery") {
            Some("rollback_only") => Recovery::RollbackOnly,
            Some("drop") => Recovery::Drop,
            _ => Recovery::Recover,
        },
        client_connection_recovery: match block.words("client_connection_recovery") {
            Some("recover") => ClientRecovery::Recover,
            _ => ClientRecovery::Drop,
        },
        prepared_statements: prepared_statements(block),
        prepared_statements_limit: block.unsigned("prepared_statements_limit").filter(|limit| *limit < NO_LIMIT).unwrap_or(usize::MAX),
        prepared_statements_ttl: block.millis("prepared_statements_ttl").filter(|age| !age.is_zero()).unwrap_or(NEVER),
        prepared_statements_ttl_jitter: limit("prepared_statements_ttl_jitter"),
        shard_identity: block.words("shard_identity") != Some("unchecked"),
        dry_run: block.flag("dry_run"),
        expanded_explain: block.flag("expanded_explain"),
        reload_schema_on_ddl: block.flag("reload_schema_on_ddl"),
        two_phase_commit: block.flag("two_phase_commit"),
        recovery_interval: limit("two_phase_commit_recovery_interval").max(RECOVERY_MIN),
        shard_local_functions: block.texts("shard_local_functions").into_iter().map(str::to_owned).collect(),
        hygiene_always: block.words("connection_hygiene") == Some("always"),
        unix_socket_dir: block.owned("unix_socket_dir"),
        unix_socket_mode: socket_mode(block, findings),
        max_client_conn: block.unsigned("max_client_conn").filter(|clients| *clients > 0).unwrap_or(usize::MAX),
        reserve_pool_timeout: limit("reserve_pool_timeout"),
        query_wait_notify: Some(limit("query_wait_notify")).filter(|time| !time.is_zero()).unwrap_or(NEVER),
        query_size_limit: block.unsigned("query_size_limit").unwrap_or(usize::MAX),
        query_size_block: block.words("query_size_limit_action") == Some("block"),
        pub_sub_channel_size: block.unsigned("pub_sub_channel_size").unwrap_or(QUEUE_MAX).min(QUEUE_MAX),
        config_watch: block.flag("config_watch"),
        memory_limit: 0,
        log_level: block.owned("log_level").unwrap_or_default(),
        log_format: match block.words("log_format") {
            Some("json") => LogFormat::Json,
            Some("json_flattened") => LogFormat::Flat,
            _ => LogFormat::Text,
        },
        log_connections: block.flag("log_connections"),
        log_disconnections: block.flag("log_disconnections"),
        watch: watch_settings(block),
        server_minor: if block.words("server_protocol") == Some("3.2") { 2 } else { 0 },
    }
}

fn prepared_statements(block: &Block) -> PreparedStatements {
    match block.words("prepared_statements") {
        Some("disabled") => PreparedStatements::Disabled,
        Some("extended_anonymous") => PreparedStatements::ExtendedAnonymous,
        Some("full") => PreparedStatements::Full,
        _ => PreparedStatements::Extended,
    }
}

/// Looking for unfinished commits more often than this would be work for nothing.
const RECOVERY_MIN: std::time::Duration = std::time::Duration::from_millis(100);
/// A limit on statements from which on there is none.
const NO_LIMIT: usize = i64::MAX as usize;

/// Octal digits, as `chmod` takes them.
fn socket_mode(block: &Block, findings: &mut Findings) -> u32 {
    let text = block.words("unix_socket_mode").unwrap_or_default();
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            let at = block.entries.get("unix_socket_mode").map_or(block.at, |entry| entry.at);
            let (expected, found) = ("octal digits up to \"0777\"".to_owned(), format!("\"{}\"", printed(text)));
            findings.problem(at, What::WrongValue { section: block.section.heading(), key: "unix_socket_mode", expected, found });
            0
        }
    }
}

fn cores_settings(block: &Block, workers: usize, findings: &mut Findings) -> Cores {
    let pin: Vec<usize> = match block.get("pin") {
        Some(Value::Ints(cpus)) => cpus.iter().filter_map(|cpu| usize::try_from(*cpu).ok()).collect(),
        _ => Vec::new(),
    };
    if !pin.is_empty() && pin.len() != workers {
        findings.warn(block.at, format!("[cores]: `pin` names {} CPUs for {workers} data cores", pin.len()));
    }
    let mut sorted = pin.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != pin.len() {
        findings.warn(block.at, "[cores]: `pin` names a CPU twice, so two data cores share it");
    }
    let listeners: usize = block.unsigned("listeners").unwrap_or_default();
    if listeners > workers {
        findings.warn(block.at, format!("[cores]: `listeners` = {listeners}, but there are only {workers} data cores"));
    }
    Cores {
        pin,
        control: block.unsigned("control"),
        spin_us: block.unsigned("spin_us").unwrap_or_default(),
        spread: block.flag("spread"),
        listeners: listeners.min(workers),
        fair_us: block.unsigned("fair_us").unwrap_or_default(),
    }
}

fn tcp_settings(block: &Block) -> Tcp {
    Tcp {
        keepalive: block.flag("keepalive"),
        time: block.millis("time"),
        interval: block.millis("interval"),
        retries: block.unsigned("retries"),
        user_timeout: block.millis("user_timeout"),
        congestion_control: block.owned("congestion_control"),
    }
}

fn admin_settings(block: &Block, random: [u8; 16], findings: &mut Findings) -> Admin {
    let set = block.owned("password");
    let is_set = set.is_some();
    let password = set.unwrap_or_else(|| {
        findings.remark("the admin database has no password, so nobody can log in to it; set `password` in [admin] or PGDOG_ADMIN_PASSWORD");
        random.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    Admin { database: block.owned("name").unwrap_or_default(), user: block.owned("user").unwrap_or_default(), password, is_set }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
