//! Texts and what they make suspicious; what cannot be suspicious; and bytes that are no text at all.

use super::*;
use crate::sql::own::{Known, known};

fn may(text: &str) -> May {
    look(text.as_bytes()).may
}

#[track_caller]
fn all(texts: &[&str], expected: May) {
    for text in texts {
        assert_eq!(may(text), expected, "{text}");
    }
}

#[test]
fn what_applications_send_all_day_is_not_suspicious() {
    #[rustfmt::skip]
    let texts = [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 1", "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO s.t (a, b) VALUES ($1, $2), (now(), DEFAULT) RETURNING id", "INSERT INTO \"app\".\"users\" (\"id\", \"Name\") VALUES ($1, $2)",
        "insert into t as x(a) select lower(b) from u on conflict (a) do update set (a) = (1)",
        "UPDATE t SET a = coalesce($1, b), (c, d) = (1, 2) WHERE id IN (1, 2) AND (x OR (y))", "DELETE FROM t USING u WHERE NOT EXISTS (SELECT 1)",
        "UPDATE \"t\" SET (a, b) = (SELECT 1, 2)", "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET (b) = ROW (2)",
        "WITH c(a) AS (SELECT 1), d AS NOT MATERIALIZED (SELECT 2) SELECT count(*) FILTER (WHERE a > 0) OVER (PARTITION BY (a) ORDER BY (b)) FROM c",
        "WITH RECURSIVE c (a) AS MATERIALIZED (VALUES (1)) SELECT pg_catalog.sum(a) FROM c GROUP BY GROUPING SETS ((a), ()), ROLLUP (a), CUBE (a)",
        "SELECT a::numeric(10,2), b::vector(3), CAST(c AS geometry(Point, 4326)), d::character varying(10) FROM t",
        "SELECT * FROM (VALUES (1, 2)) AS v(a, b)", "SELECT * FROM (VALUES (1, 2)) v(a, b)", "SELECT * FROM unnest($1::int[]) x(a)",
        "SELECT a FROM t WHERE b = ANY ($1) AND c LIKE ('x') AND d NOT LIKE ($1)",
        "SELECT * FROM a JOIN (SELECT 1) b USING (x) LEFT JOIN (SELECT 2) c ON (true)", "TABLE t", "VALUES (1)", "(SELECT 1) UNION (SELECT 2)",
        "CREATE TABLE IF NOT EXISTS t (a numeric(10,2) DEFAULT f(), b text REFERENCES u (id), PRIMARY KEY (a))", "CREATE TABLE t (LIKE u)",
        "CREATE INDEX i ON t (f(a))", "CREATE UNIQUE INDEX CONCURRENTLY i ON t USING btree (a)",
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$ SELECT g(1) $$", "COPY t (a, b) FROM STDIN WITH (FORMAT csv)",
        "COPY (SELECT 1) TO STDOUT", "EXPLAIN (ANALYZE) SELECT count(*) FROM t", "SHOW server_version",
        "ALTER TABLE t ADD PRIMARY KEY (a), ADD FOREIGN KEY (b) REFERENCES u (c)", "GRANT EXECUTE ON FUNCTION f(int) TO u",
        "COMMENT ON FUNCTION f(int) IS 'x'", "VACUUM (ANALYZE) t (a)", "ALTER FUNCTION f(int) OWNER TO u", "SELECT temp, temporary FROM weather",
        "SELECT 'create temp table x (pg_temp) set_config(a)'", "INSERT INTO t (a) VALUES ('call me (maybe); set a = 1; listen')",
        "SELECT pg_advisory_xact_lock(1)", "NOTIFY a, 'b'", "SAVEPOINT a", "RELEASE a", "SET TRANSACTION READ ONLY",
        "RESET TRANSACTION ISOLATION LEVEL", "SET LOCAL a.b = 1", "SET CONSTRAINTS ALL DEFERRED", "PREPARE TRANSACTION 'a'",
        "MERGE INTO t USING u ON (a = b) WHEN NOT MATCHED THEN INSERT (a) VALUES (1)", "SELECT 1 -- f(", "SELECT /* f (1) */ 1",
        "SELECT now(), today FROM t", "SELECT 'nowhere', 'yesterdays', 'know', '2024-01-01'", "SELECT '\\xdeadbeef'::bytea",
        "SELECT a OPERATOR(pg_catalog.=) b", "SELECT t AT TIME ZONE (SELECT 1)",
        "SELECT PG_CATALOG.COUNT (*), information_schema._pg_expandarray(a)", "DECLARE c CURSOR FOR SELECT 1", "FETCH 1 FROM c", "LOCK TABLE t",
        "TRUNCATE t", "SELECT * FROM JSON_TABLE($1, '$' COLUMNS (a int PATH '$'))", "SELECT 1; SELECT 2",
        "SELECT x FROM t TABLESAMPLE SYSTEM (1) REPEATABLE (2)",
    ];
    all(&texts, May::NOTHING);
}

#[test]
fn what_is_not_postgresqls_own_is_called() {
    #[rustfmt::skip]
    let texts = [
        "SELECT f(1)", "select F (1)", "SELECT f/* */(1)", "SELECT f --\n(1)", "SELECT public.count(1)", "SELECT a . b (1)", "SELECT \"count\"(1)",
        "SELECT a.\"b\"(1)", "SELECT pg_catalog.mine(1)", "SELECT a FROM t WHERE f(a)", "INSERT INTO t (a) VALUES (f(1))",
        "INSERT INTO t (a) SELECT f(b) FROM f", "UPDATE t SET a = f(a)", "DELETE FROM t WHERE (a) = f(a)", "WITH c AS (SELECT f(1)) SELECT 1",
        "VALUES (f(1))", "EXPLAIN ANALYZE SELECT f(1)", "COPY (SELECT f(1)) TO STDOUT",
        "MERGE INTO t USING f(1) AS x ON true WHEN MATCHED THEN DELETE", "DECLARE c CURSOR FOR SELECT f(1)", "CREATE TABLE t AS SELECT f(1)",
        "PREPARE a AS SELECT f(1)", "EXECUTE a (f(1))", "CALL f(1)", "DO $$ BEGIN END $$", "DO LANGUAGE x 'y'", "(SELECT f(1))",
        "SELECT 1; SELECT f(1)", "SELECT 'a', f(1), 'b'", "SELECT DISTINCT ON (a) f(b) FROM t", "UPDATE t SET a = 1 RETURNING WITH (OLD AS o) f(o)",
        "SELECT (1) OPERATOR(x.+) f(1)", "SELECT filter(1)", "SELECT set(1)", "SELECT over(1)", "SELECT by(1)", "SELECT key(1)", "SELECT join(1)",
        "SELECT a FROM t JOIN u ON f(a)", "ALTER TABLE t ADD COLUMN a int DEFAULT f()", "LOAD 'x'", "SELECT * FROM f(1) AS x(a int)",
        "SELECT a, public.f(1)", "SELECT information.abs(1)", "SELECT a.pg_catalog.abs(1)", "SELECT 'it''s', f(1)", "CREATE EXTENSION hstore",
        "SELECT query_to_xml('x', true, true, '')", "SELECT pg_catalog.ts_stat('x')", "SELECT $1::text || f($2)", "SELECT \u{fc}ber(1)",
        "EXPLAIN UPDATE t SET a = f(1)", "SELECT $$a$$, f(1)", "SELECT E'\\'', f(1)", "SELECT '--', f(1)", "SELECT '/*', f(1)",
        "SELECT \"'\", f(1)", "SELECT 1/f(1)", "SELECT a.b.c(1)", "ALTER DOMAIN d ADD CHECK (f(VALUE))", "WITH a AS (SELECT 1) SELECT f(1) FROM a",
        "CREATE TEMP TABLE x AS VALUES (f(1))",
    ];
    for text in texts {
        assert!(may(text).contains(May::CALLS), "{text}: {:?}", may(text));
    }
    assert!(look(b"SELECT \x95\\(1)").may.contains(May::CALLS), "a name whose last byte looks like a mark");
}

#[test]
fn parameters_may_be_set() {
    all(
        &["SELECT set_config('a', 'b', false)", "SELECT pg_catalog.SET_CONFIG ('a', 'b', false)", "SET a = 1; SELECT 1", "SELECT 1; RESET a"],
        May::SETS,
    );
    all(&["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET a", "SET a . b = 1", "SELECT 1;\n/* */ set a = 1"], May::SETS);
    all(
        &["SELECT \"set_config\"('a', 'b', false)", "DO $$ BEGIN SET a = 1; END $$", "DO 'BEGIN RESET a; END'", "SELECT f('SELECT set_config(1)')"],
        May::SETS | May::CALLS,
    );
    all(&["DISCARD ALL; SELECT 1"], May::SETS | May::FREES);
    all(&["SET a = 1", "RESET a", "RESET ALL", "SET LOCAL a = 1; SELECT 1", "SELECT 'a; SET b = 1'", "UPDATE t SET a = 1"], May::NOTHING);
    all(&["UPDATE t SET a = f(1)", "DO $$ BEGIN PERFORM 1; END $$"], May::CALLS);
}

#[test]
fn temporary_objects_may_be_made() {
    #[rustfmt::skip]
    let texts = [
        "CREATE TEMP TABLE a (b int)", "create temporary table a (b int)", "CREATE LOCAL TEMP VIEW a AS SELECT 1",
        "CREATE GLOBAL TEMPORARY SEQUENCE s", "SELECT 1 INTO TEMP a", "SELECT 1 INTO TEMPORARY TABLE a",
        "CREATE OR REPLACE TEMP VIEW a AS SELECT 1", "CREATE TABLE pg_temp.a (b int)", "CREATE TABLE \"pg_temp\".a (b int)",
        "CREATE/**/TEMP TABLE a ()", "CREATE TABLE pg_temp_3.a ()", "SELECT 1; CREATE TEMP TABLE a ()", "SET search_path = pg_temp, public",
        "CREATE TEMP TABLE a AS SELECT 1",
    ];
    all(&texts, May::TEMPORARY);
    all(
        &[
            "DO $$ BEGIN CREATE TEMP TABLE a (); END $$",
            "SELECT f('create temporary table a ()')",
            "SELECT pg_create_logical_replication_slot('a', 'b', true)",
        ],
        May::TEMPORARY | May::CALLS,
    );
}

#[test]
fn the_rest_of_what_a_session_keeps() {
    all(
        &[
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "declare c scroll cursor /* */ with Hold for select 1",
            "SELECT 1; DECLARE c CURSOR WITH HOLD FOR TABLE t",
        ],
        May::HOLDS,
    );
    all(&["BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1"], May::HOLDS | May::BEGINS);
    all(
        &[
            "SELECT pg_advisory_lock(1)",
            "SELECT PG_TRY_ADVISORY_LOCK(1)",
            "SELECT pg_catalog.pg_advisory_lock_shared(1, 2)",
            "WITH a AS (SELECT pg_try_advisory_lock_shared(1)) SELECT 1",
        ],
        May::LOCKS,
    );
    all(
        &[
            "SELECT pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock_all()",
            "CLOSE a",
            "DROP TABLE a",
            "ROLLBACK TO a",
            "ROLLBACK",
            "DISCARD PLANS",
            "DISCARD TEMP",
            "DISCARD ALL",
        ],
        May::FREES,
    );
    all(&["DEALLOCATE a", "UNLISTEN a", "UNLISTEN *", "abort; SELECT 1"], May::FREES);
    all(&["LISTEN a; SELECT 1", "LISTEN"], May::LISTENS);
    all(&["LISTEN a", "EXECUTE a", "PREPARE a AS SELECT 1"], May::NOTHING);
    all(&["UNLISTEN a; SELECT 1"], May::LISTENS | May::FREES);
    all(
        &[
            "PREPARE a AS SELECT 1; EXECUTE a",
            "EXECUTE a; SELECT 1",
            "EXPLAIN EXECUTE a",
            "EXPLAIN (ANALYZE) EXECUTE a(1)",
            "CREATE TABLE t AS EXECUTE a",
        ],
        May::PREPARES,
    );
    all(&["DEALLOCATE a; SELECT 1", "DEALLOCATE"], May::PREPARES | May::FREES);
    all(&["BEGIN; SELECT 1", "SELECT 1; START TRANSACTION", "BEGIN ISOLATION LEVEL x", "SELECT 1;BEGIN"], May::BEGINS);
    all(&["SELECT f('SELECT pg_advisory_lock(1)')", "CALL p($$pg_try_advisory_lock$$)"], May::LOCKS | May::CALLS);
    all(&["DO $$ BEGIN LISTEN a; END $$"], May::LISTENS | May::CALLS);
}

#[test]
fn what_sequences_gave_may_be_asked_for() {
    all(&["SELECT currval('s')", "SELECT pg_catalog.LASTVAL()", "INSERT INTO t (a) VALUES (currval('s'))"], May::SEQUENCES);
    all(&["SELECT nextval('s')", "SELECT currval FROM t"], May::NOTHING);
}

#[test]
fn a_literal_may_mean_another_time() {
    #[rustfmt::skip]
    let texts = [
        "SELECT 'now'::timestamptz", "SELECT ' NOW '", "SELECT timestamp 'today'", "SELECT $1 > '12:00 Tomorrow'", "SELECT '{yesterday}'::date[]",
        "SELECT $$now$$", "SELECT $a$now$a$", "SELECT '[now,infinity)'::tstzrange", "SELECT 'allballs'::time", "SELECT E'n\\x6fw'",
        "SELECT '\\156ow'", "SELECT 'today04:05'", "SELECT U&'n\\006fw'", "SELECT N'now'",
    ];
    all(&texts, May::NOW);
}

#[test]
fn what_cannot_be_read_for_sure_may_be_anything() {
    for text in ["SELECT 'a\\'", "SELECT 'a\\'; SET b = 1 --'", "SELECT U&\"a\"(1)", "SET U&\"a\" = 1", "SELECT u&\"\\0061\""] {
        assert_eq!(look(text.as_bytes()), Look { statement: Statement::Other, may: May::ANYTHING }, "{text}");
    }
}

#[test]
fn sets_of_suspicions_add_up() {
    let both = May::SETS | May::NOW;
    assert!(both.contains(May::SETS) && both.contains(both) && !both.contains(May::CALLS | May::SETS) && both.meets(May::CALLS | May::SETS));
    assert!(!both.meets(May::CALLS) && !both.is_nothing() && both.without(both).is_nothing() && May::default().is_nothing());
    assert!(May::ANYTHING.contains(May::BEGINS) && May::NAMES.iter().fold(May::NOTHING, |all, (bit, _)| all | *bit) == May::ANYTHING);
    assert_eq!(format!("{both:?}"), "{\"SETS\", \"NOW\"}");
}

/// A stream of numbers that is the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

const PIECES: [&str; 48] = [
    "'",
    "\"",
    "\\",
    "$$",
    "$a$",
    "$",
    "/*",
    "*/",
    "--",
    "\n",
    ";",
    "(",
    ")",
    ".",
    "::",
    ":",
    ",",
    " ",
    "E",
    "U&",
    "SET",
    "LOCAL",
    "set_config",
    "f",
    "SELECT",
    "BEGIN",
    "COMMIT",
    "PREPARE",
    "EXECUTE",
    "LISTEN",
    "RESET",
    "DISCARD ALL",
    "DEALLOCATE",
    "CREATE",
    "TEMP",
    "TABLE",
    "INTO",
    "now",
    "DO",
    "DECLARE",
    "hold",
    "\u{fc}",
    "1",
    "TIME ZONE",
    "=",
    "AS",
    "UNLISTEN",
    "*",
];

#[test]
fn no_bytes_make_it_panic_and_a_comment_changes_nothing() {
    let mut numbers = Numbers(7);
    for _ in 0..60_000 {
        let mut text = Vec::new();
        for _ in 0..numbers.below(24) {
            match numbers.below(12) {
                0 => text.push(numbers.below(256) as u8),
                _ => text.extend_from_slice(PIECES[numbers.below(PIECES.len())].as_bytes()),
            }
        }
        let first = look(&text);
        if let Statement::Set { name, .. } | Statement::Reset { name } | Statement::Prepare { name } = first.statement {
            let _ = name.name();
        }
        let commented = [b"/* a /* b */ ' */ ", &text[..], b"\n-- c"].concat();
        let inside_something = first.may == May::ANYTHING
            || matches!(Lexer::new(&text, 0).last_kind(), Kind::Text | Kind::Quoted | Kind::Lost)
            || has_open_comment(&text);
        if !inside_something {
            assert_eq!(look(&commented).may, first.may, "{}", String::from_utf8_lossy(&text));
        }
    }
}

fn has_open_comment(text: &[u8]) -> bool {
    let probe = [text, b"\nprobe"].concat();
    let mut lexer = Lexer::new(&probe, 0);
    let mut last = Token::NONE;
    loop {
        let token = lexer.token();
        if matches!(token.kind, Kind::End | Kind::Lost) {
            return lexer.bytes(last) != b"probe";
        }
        last = token;
    }
}

impl Lexer<'_> {
    fn last_kind(mut self) -> Kind {
        let mut last = Kind::End;
        loop {
            match self.token().kind {
                Kind::End => return last,
                Kind::Lost => return Kind::Lost,
                kind => last = kind,
            }
        }
    }
}

#[test]
fn a_megabyte_of_anything_is_read_in_linear_time() {
    // Each would take minutes if one look went over the text for every piece.
    for piece in PIECES.into_iter().chain([") f (", ";EXPLAIN ", ";DECLARE ", ";ALTER x f(", "/* ", "$a$b", "'now'", ";CREATE TABLE f("]) {
        let text = piece.repeat((1 << 20) / piece.len());
        let _ = look(text.as_bytes());
    }
}

/// `pg_get_keywords()` of PostgreSQL 18, categories U and T: all that may be the name of a function.
const MAY_BE_NAMES: &str = "\
abort absent absolute access action add admin after aggregate also alter always asensitive assertion assignment at atomic attach attribute \
authorization backward before begin binary breadth by cache call called cascade cascaded catalog chain characteristics checkpoint class \
close cluster collation columns comment comments commit committed compression concurrently conditional configuration conflict connection \
constraints content continue conversion copy cost cross csv cube current current_schema cursor cycle data database day deallocate declare \
defaults deferred definer delete delimiter delimiters depends depth detach dictionary disable discard document domain double drop each \
empty enable encoding encrypted enforced enum error escape event exclude excluding exclusive execute explain expression extension external \
family filter finalize first following force format forward freeze full function functions generated global granted groups handler header \
hold hour identity if ilike immediate immutable implicit import include including increment indent index indexes inherit inherits inline \
inner input insensitive insert instead invoker is isnull isolation join keep key keys label language large last leakproof left level like \
listen load local location lock locked logged mapping match matched materialized maxvalue merge method minute minvalue mode month move \
name names natural nested new next nfc nfd nfkc nfkd no normalized nothing notify notnull nowait nulls object objects of off oids old omit \
operator option options ordinality others outer over overlaps overriding owned owner parallel parameter parser partial partition passing \
password path period plan plans policy preceding prepare prepared preserve prior privileges procedural procedure procedures program \
publication quote quotes range read reassign recursive ref referencing refresh reindex relative release rename repeatable replace replica \
reset restart restrict return returns revoke right role rollback rollup routine routines rows rule savepoint scalar schema schemas scroll \
search second security sequence sequences serializable server session set sets share show similar simple skip snapshot source sql stable \
standalone start statement statistics stdin stdout storage stored strict string strip subscription support sysid system tables tablesample \
tablespace target temp template temporary text ties transaction transform trigger truncate trusted type types uescape unbounded \
uncommitted unconditional unencrypted unknown unlisten unlogged until update vacuum valid validate validator value varying verbose version \
view views virtual volatile whitespace within without work wrapper write xml year yes zone";

#[test]
fn a_function_may_have_the_name_of_a_keyword() {
    for word in MAY_BE_NAMES.split(' ') {
        // Those that PostgreSQL has a function of are taken for that.
        let called = known(word.as_bytes()) != Known::Function;
        assert_ne!(known(word.as_bytes()), Known::Keyword, "{word}");
        for text in [format!("SELECT {word}(1)"), format!("SELECT a, {word} (b, c) FROM t"), format!("UPDATE t SET a = {word}(a)")] {
            assert_eq!(look(text.as_bytes()).may.contains(May::CALLS), called, "{text}");
        }
        let text = format!("SELECT * FROM t WHERE {word}(a) AND (SELECT {word}(b)) OR NOT {word}(c)");
        assert_eq!(look(text.as_bytes()).may.contains(May::CALLS), called, "{text}");
    }
}

#[test]
fn what_groups_elsewhere_is_a_function() {
    for text in [
        "SELECT a FROM t GROUP BY lower(cube(a))",
        "SELECT a FROM t GROUP BY a + cube(b)",
        "SELECT a FROM t GROUP BY a HAVING cube(a) > 1",
        "SELECT a FROM t GROUP BY a ORDER BY rollup(a)",
        "SELECT (SELECT 1 FROM t GROUP BY a), cube(b) FROM u",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a, f(cube(b))))",
        "SELECT 'group by', cube(1)",
        "SELECT s.cube(1) FROM t GROUP BY a",
        "SELECT 1 GROUP BY a; SELECT a, cube(1)",
        "SELECT a FROM t GROUP BY (SELECT a), cube(b)",
    ] {
        assert_eq!(look(text.as_bytes()).may, May::CALLS, "{text}");
    }
}

#[test]
fn keywords_of_the_grammar_call_nothing() {
    for text in [
        "COPY (SELECT 1) TO STDOUT",
        "SELECT 1; COPY (TABLE t) TO STDOUT",
        "EXPLAIN (ANALYZE, COSTS off) SELECT 1",
        "SELECT a, b, count(*) FROM t GROUP BY CUBE (a, b)",
        "SELECT a, b FROM t GROUP BY ALL a, cube (b, (c, a)), (b), GROUPING SETS (cube (a), (b), rollup (a, b)) ORDER BY 1",
        "SELECT a, b, count(*) FROM t GROUP BY rollup (a, b)",
        "SELECT a, b FROM t GROUP BY GROUPING SETS ((a), (b), ())",
        "SELECT a::character varying(10), CAST(b AS bit varying (5)), c::char varying(1) FROM t",
        "SELECT * FROM JSON_TABLE(j, '$[*]' COLUMNS (a int PATH '$.a', NESTED PATH '$.b' COLUMNS (c int))) t",
        "SELECT * FROM json_table(j, '$' AS root columns (a int)) t",
        "CREATE TABLE t (a varchar (3), b character varying (5))",
    ] {
        assert_eq!(look(text.as_bytes()).may, May::NOTHING, "{text}");
    }
}
