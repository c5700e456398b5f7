-- What the session decides.
BEGIN
   => read session Transaction
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY
   => read session Transaction
START TRANSACTION
   => read session Transaction
COMMIT
   => read session Transaction
END
   => read session Transaction
ROLLBACK
   => read session Transaction
ABORT
   => read session Transaction
SAVEPOINT a
   => read session Transaction
RELEASE a
   => read session Transaction
ROLLBACK TO SAVEPOINT a
   => read session Transaction
PREPARE TRANSACTION 'x'
   => read session Transaction
COMMIT PREPARED 'x'
   => read session Transaction
ROLLBACK PREPARED 'x'
   => read session Transaction
SET search_path TO x
   => read session Path
SET LOCAL statement_timeout = 5
   => read session Set
SET pgdog.shard = 1
   => read session Set
SET TIME ZONE 'UTC'
   => read session Set
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
   => read session Set
SET ROLE x
   => read session Path
SET CONSTRAINTS ALL DEFERRED
   => read session Set
RESET ALL
   => read session Path
RESET search_path
   => read session Path
SHOW search_path
   => read session Show
SHOW ALL
   => read session Show
DISCARD ALL
   => read session Discard
LISTEN c
   => read session Listen
UNLISTEN *
   => read session Listen
NOTIFY c, 'x'
   => read session Notify
DEALLOCATE ALL
   => read session Deallocate
DEALLOCATE a
   => read session Deallocate
FETCH 5 FROM c
   => read session Cursor
MOVE 5 IN c
   => read session Cursor
CLOSE c
   => read session Cursor
CLOSE ALL
   => read session Cursor
-- What every shard has to do.
CREATE TABLE t (a int)
   => write all alike
CREATE TABLE t (a int REFERENCES orders)
   => write all alike
CREATE TABLE IF NOT EXISTS t (LIKE orders)
   => write all alike
CREATE TEMP TABLE t (a int)
   => write refused 0A000: CREATE of a temporary table would be on one server of one shard only
CREATE UNLOGGED TABLE t (a int)
   => write all alike
CREATE TABLE t PARTITION OF p FOR VALUES IN (1)
   => write all alike
CREATE INDEX ON orders (id)
   => write all alike
CREATE UNIQUE INDEX CONCURRENTLY i ON orders (id) WHERE total > 5
   => write all alike, alone
CREATE VIEW v AS SELECT * FROM orders
   => write all alike
CREATE TEMP VIEW v AS SELECT 1
   => write refused 0A000: CREATE of a temporary table would be on one server of one shard only
CREATE MATERIALIZED VIEW m AS SELECT * FROM orders
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders]
CREATE MATERIALIZED VIEW m AS SELECT * FROM countries
   => write all alike [countries]
REFRESH MATERIALIZED VIEW m
   => write all alike
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
   => write all alike
CREATE PROCEDURE f() LANGUAGE plpgsql AS $$ BEGIN END $$
   => write all alike
CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()
   => write all alike
CREATE RULE r AS ON INSERT TO orders DO INSTEAD NOTHING
   => write all alike
CREATE SEQUENCE s
   => write all alike
CREATE TEMP SEQUENCE s
   => write refused 0A000: CREATE of a temporary table would be on one server of one shard only
CREATE TYPE e AS ENUM ('a')
   => write all alike
CREATE TYPE c AS (a int)
   => write all alike
CREATE DOMAIN d AS int CHECK (VALUE > 5)
   => write all alike
CREATE SCHEMA x
   => write all alike
CREATE EXTENSION x
   => write all alike
CREATE ROLE x
   => write all alike
CREATE USER x PASSWORD 'y'
   => write all alike
CREATE DATABASE x
   => write all alike, alone
CREATE POLICY p ON orders USING (tenant_id = 5)
   => write all alike
CREATE PUBLICATION p FOR TABLE orders
   => write all alike
CREATE STATISTICS s ON id, total FROM orders
   => write all alike
CREATE CAST (int AS text) WITH INOUT
   => write all alike
CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)
   => write all alike
CREATE OPERATOR = (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
   => write all alike
ALTER TABLE orders ADD COLUMN x int DEFAULT 5
   => write all alike
ALTER TABLE orders RENAME TO o
   => write all alike
ALTER TABLE orders SET SCHEMA x
   => write all alike
ALTER TABLE orders ATTACH PARTITION p FOR VALUES IN (1)
   => write all alike
ALTER TABLE orders OWNER TO x
   => write all alike
ALTER SEQUENCE s RESTART
   => write all alike
ALTER ROLE x SET search_path = y
   => write all alike
ALTER TYPE e ADD VALUE 'b'
   => write all alike
ALTER DATABASE x SET work_mem = '5MB'
   => write all alike
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x
   => write all alike
DROP TABLE orders
   => write all alike
DROP TABLE IF EXISTS a, b CASCADE
   => write all alike
DROP INDEX i
   => write all alike
DROP FUNCTION f
   => write all alike
DROP OWNED BY x
   => write all alike
TRUNCATE orders
   => write all alike
TRUNCATE orders, items RESTART IDENTITY CASCADE
   => write all alike
COMMENT ON TABLE orders IS 'x'
   => write all alike
GRANT SELECT ON orders TO x
   => write all alike
REVOKE ALL ON orders FROM x
   => write all alike
GRANT x TO y
   => write all alike
LOCK TABLE orders
   => write all alike
LOCK orders IN ACCESS EXCLUSIVE MODE NOWAIT
   => write all alike
VACUUM
   => write all alike, alone
VACUUM (FULL, ANALYZE) orders
   => write all alike, alone
ANALYZE orders
   => write all alike
CLUSTER orders
   => write all alike, alone
REINDEX TABLE orders
   => write all alike, alone
CHECKPOINT
   => write all alike
SECURITY LABEL ON TABLE orders IS 'x'
   => write all alike
-- What nobody sees into, and what makes no sense.
CALL p(5)
   => write refused 0A000: CALL cannot be run on a database of several shards
DO $$ BEGIN DELETE FROM orders; END $$
   => write refused 0A000: DO cannot be run on a database of several shards
PREPARE a AS SELECT * FROM orders WHERE tenant_id = $1
   => read session Prepare
EXECUTE a(5)
   => write refused 0A000: EXECUTE cannot be run on a database of several shards
LOAD 'x'
   => write refused 0A000: LOAD cannot be run on a database of several shards
ALTER SYSTEM SET work_mem = '5MB'
   => write refused 0A000: ALTER SYSTEM cannot be run on a database of several shards
CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p
   => write refused 0A000: SUBSCRIPTION cannot be run on a database of several shards
-- Tables made of queries.
CREATE TABLE t AS SELECT * FROM countries
   => write all alike [countries]
CREATE TABLE t AS SELECT * FROM orders
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders]
CREATE TABLE t AS SELECT * FROM orders WHERE tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders]
CREATE TEMP TABLE t AS SELECT 1
   => write refused 0A000: a temporary table would be on one server of one shard only
CREATE TABLE t AS EXECUTE a(5)
   => write refused 0A000: CREATE TABLE AS EXECUTE cannot be run on a database of several shards
CREATE TABLE t AS SELECT now()
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order
SELECT * INTO t FROM countries
   => write all alike [countries]
SELECT * INTO TEMP t FROM countries
   => write refused 0A000: a temporary table would be on one server of one shard only [countries]
SELECT * INTO t FROM orders WHERE tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders]
-- EXPLAIN.
EXPLAIN SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
EXPLAIN ANALYZE SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
EXPLAIN (FORMAT json) SELECT * FROM orders
   => read refused 0A000: EXPLAIN of a statement that goes to several shards (not kept) [orders]
EXPLAIN (FORMAT 'text') SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) (not kept) [orders]
EXPLAIN SELECT * FROM orders WHERE tenant_id IN (5, 6)
   => read shard of 5 (11), 6 (11) or refused: EXPLAIN of a statement that goes to several shards [orders]
EXPLAIN UPDATE countries SET name = 'x'
   => write any [write countries]
EXPLAIN ANALYZE UPDATE countries SET name = 'x'
   => write refused 0A000: EXPLAIN of a statement that goes to several shards [write countries]
EXPLAIN (ANALYZE, BUFFERS) INSERT INTO orders (tenant_id) VALUES (5), (6)
   => write shard of 5 (11), 6 (11) or refused: the rows and what they are made of are on several shards [write orders]
EXPLAIN SELECT 1
   => read any
EXPLAIN EXECUTE a(5)
   => write refused 0A000: EXPLAIN of a statement that is no query cannot be run on a database of several shards
EXPLAIN CREATE TABLE t AS SELECT 1
   => write refused 0A000: EXPLAIN of a statement that is no query cannot be run on a database of several shards
-- Cursors.
DECLARE c CURSOR FOR SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders
   => read refused 0A000: DECLARE CURSOR of a statement that goes to several shards [orders]
DECLARE c CURSOR FOR SELECT * FROM orders WHERE tenant_id IN (5, 6)
   => read shard of 5 (11), 6 (11) or refused: DECLARE CURSOR of a statement that goes to several shards [orders]
DECLARE c CURSOR FOR SELECT * FROM countries
   => read any [countries]
-- COPY.
COPY orders FROM STDIN
   => write copy by column 0 (11)
COPY orders (id, tenant_id) FROM STDIN WITH (FORMAT csv, HEADER)
   => write copy by column 1 (11) as csv , " " "" true false false
COPY orders (id) FROM STDIN
   => write refused 0A000: rows of "orders" need a value for their sharding key "tenant_id"
COPY orders FROM STDIN WHERE tenant_id = 5
   => write refused 0A000: COPY FROM with WHERE cannot be split over shards (not kept)
COPY orders TO STDOUT
   => read refused 0A000: COPY TO of "orders" would come from several shards
COPY orders FROM STDIN (DELIMITER '|', NULL '')
   => write copy by column 0 (11) as text '|' "" false (not kept)
COPY orders FROM STDIN CSV HEADER QUOTE '''' FORCE NULL tenant_id
   => write copy by column 0 (11) as csv , ' ' "" true true false (not kept)
COPY orders FROM STDIN (FORMAT csv, FORCE_NOT_NULL (note))
   => write copy by column 0 (11) as csv , " " "" false false false
COPY orders FROM STDIN (FORMAT csv, ESCAPE '\', FORCE_NOT_NULL *)
   => write copy by column 0 (11) as csv , " \ "" false false true (not kept)
COPY orders FROM STDIN BINARY
   => write copy by column 0 (11) as binary
COPY orders FROM STDIN (ENCODING 'LATIN1')
   => write refused 0A000: COPY in another encoding than UTF8 cannot be split over shards (not kept)
COPY orders FROM STDIN (DEFAULT 'x')
   => write refused 0A000: COPY with the option "default" cannot be split over shards (not kept)
COPY orders FROM STDIN (DELIMITER '||')
   => write refused 0A000: COPY delimiter must be a single one-byte character (not kept)
COPY computed FROM STDIN
   => write copy by column 1 (16)
COPY computed (a, k) FROM STDIN
   => write copy by column 1 (16)
INSERT INTO computed VALUES (1, DEFAULT, 5)
   => write one 5 (16) [write computed]
COPY mystery FROM STDIN
   => write refused 0A000: the columns of "mystery" are not known
COPY mystery (x, id) FROM STDIN
   => write copy by column 1 (30)
COPY (SELECT * FROM orders WHERE tenant_id = 5) TO STDOUT
   => read one 5 (11) [orders]
COPY (SELECT * FROM orders) TO STDOUT
   => read refused 0A000: COPY TO of a statement that goes to several shards [orders]
COPY (SELECT * FROM countries) TO STDOUT
   => read any [countries]
COPY (DELETE FROM orders WHERE tenant_id = 5 RETURNING *) TO STDOUT
   => write one 5 (11) [write orders]
COPY countries FROM STDIN
   => write all alike
COPY countries TO STDOUT
   => read any
COPY counters (n) FROM STDIN
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value
COPY counters FROM STDIN
   => write all alike
COPY orders FROM '/tmp/x'
   => write refused 0A000: COPY with a file or program would use those of one shard's server (not kept)
COPY countries TO PROGRAM 'cat'
   => read refused 0A000: COPY with a file or program would use those of one shard's server (not kept)
COPY (SELECT 1) TO '/tmp/x'
   => write refused 0A000: COPY to a file of the server cannot be run on a database of several shards
COPY audit.log FROM STDIN
   => write shard 1
COPY audit.log TO '/tmp/x'
   => read shard 1 (not kept)
COPY nowhere FROM STDIN
   => write refused 0A000: where the rows of "nowhere" are is not known: it was made since the schema was read, or is no table or view
COPY pg_class TO STDOUT
   => read any, sticky
-- Several statements.
SELECT 1; SELECT 2
   => read any; read any
SELECT * FROM orders WHERE tenant_id = 5; SELECT * FROM orders WHERE tenant_id = 6;
   => read one 5 (11); read one 6 (11) [orders, orders]
BEGIN; INSERT INTO orders (tenant_id) VALUES (5); COMMIT
   => read session Transaction; write one 5 (11); read session Transaction [write orders]
;;
   => 
SELECT 1;;SELECT 2;
   => read any; read any
-- a comment and nothing else
/* the same */
   => 
-- What is in no transaction block.
CREATE INDEX CONCURRENTLY i ON orders (id)
   => write all alike, alone
DROP INDEX CONCURRENTLY i
   => write all alike, alone
REINDEX TABLE CONCURRENTLY orders
   => write all alike, alone
ALTER TABLE p DETACH PARTITION q CONCURRENTLY
   => write all alike, alone
ALTER TABLE p DETACH PARTITION q
   => write all alike
ALTER DATABASE d SET TABLESPACE s
   => write all alike, alone
ALTER DATABASE d SET work_mem TO 5
   => write all alike
ANALYZE orders
   => write all alike
VACUUM (ANALYZE) orders
   => write all alike, alone
ALTER TYPE mood ADD VALUE 'odd'
   => write all alike
-- What lives on one shard, and what does not.
CREATE TABLE audit.x (a int)
   => write shard 1
CREATE TABLE audit.x (a int REFERENCES audit.log)
   => write shard 1
CREATE TABLE audit.x (a int REFERENCES orders)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
CREATE TABLE x (a int, FOREIGN KEY (a) REFERENCES audit.log)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
CREATE TABLE audit.x (LIKE archive.log)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
CREATE TABLE x PARTITION OF audit.log FOR VALUES IN (1)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
CREATE TABLE audit.x () INHERITS (orders)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
CREATE TABLE somewhere (a int)
   => write refused 0A000: in which schema "somewhere" is, or will be, is not known, and schemas of search_path live on different shards
TRUNCATE audit.log
   => write shard 1
TRUNCATE audit.log, audit.tags
   => write shard 1
TRUNCATE audit.log, orders
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
TRUNCATE audit.log, archive.log
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
DROP TABLE audit.log
   => write shard 1
DROP TABLE IF EXISTS audit.log, countries
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
DROP INDEX CONCURRENTLY audit.i
   => write shard 1
DROP TRIGGER t ON audit.log
   => write shard 1
DROP FUNCTION audit.f(int)
   => write shard 1
DROP TYPE audit.e
   => write shard 1
DROP SCHEMA audit CASCADE
   => write shard 1
ALTER TABLE audit.log ADD COLUMN x int
   => write shard 1
ALTER TABLE audit.log ADD FOREIGN KEY (x) REFERENCES orders
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER TABLE orders ADD COLUMN x int REFERENCES audit.log
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER TABLE audit.log RENAME TO o
   => write shard 1
ALTER TABLE audit.log SET SCHEMA public
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER TABLE orders SET SCHEMA audit
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER TABLE audit.log OWNER TO x
   => write shard 1
ALTER TABLE orders ATTACH PARTITION audit.log FOR VALUES IN (1)
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER TABLE audit.log INHERIT orders
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER SCHEMA audit RENAME TO archive
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
ALTER SCHEMA audit OWNER TO x
   => write shard 1
ALTER SEQUENCE audit.s RESTART
   => write shard 1
ALTER TYPE audit.e ADD VALUE 'b'
   => write shard 1
ALTER FUNCTION audit.f(int) STABLE
   => write shard 1
CREATE SCHEMA audit
   => write shard 1
CREATE INDEX CONCURRENTLY ON audit.log (what)
   => write shard 1
CREATE VIEW audit.v AS SELECT 1
   => write shard 1
CREATE SEQUENCE audit.s
   => write shard 1
CREATE TYPE audit.e AS ENUM ('a')
   => write shard 1
CREATE TYPE audit.c AS (a int)
   => write shard 1
CREATE DOMAIN audit.d AS int
   => write shard 1
CREATE FUNCTION audit.f() RETURNS int LANGUAGE sql AS 'SELECT 1'
   => write shard 1
CREATE AGGREGATE audit.a (int) (SFUNC = int4pl, STYPE = int)
   => write shard 1
CREATE TRIGGER t BEFORE INSERT ON audit.log FOR EACH ROW EXECUTE FUNCTION f()
   => write shard 1
CREATE RULE r AS ON INSERT TO audit.log DO INSTEAD NOTHING
   => write shard 1
CREATE POLICY p ON audit.log USING (true)
   => write shard 1
CREATE STATISTICS s ON id, what FROM audit.log
   => write shard 1
COMMENT ON TABLE audit.log IS 'x'
   => write shard 1
COMMENT ON COLUMN audit.log.what IS 'x'
   => write shard 1
COMMENT ON TRIGGER t ON audit.log IS 'x'
   => write shard 1
COMMENT ON SCHEMA audit IS 'x'
   => write shard 1
COMMENT ON COLUMN orders.id IS 'x'
   => write all alike
GRANT SELECT ON audit.log TO x
   => write shard 1
GRANT SELECT ON audit.log, orders TO x
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
GRANT USAGE ON SCHEMA audit TO x
   => write shard 1
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO x
   => write shard 1
GRANT EXECUTE ON FUNCTION audit.f(int) TO x
   => write shard 1
LOCK TABLE audit.log
   => write shard 1
VACUUM audit.log
   => write shard 1
VACUUM
   => write all alike, alone
ANALYZE audit.log, orders
   => write refused 0A000: the statement names tables of several homes: on every shard, or on different ones
REINDEX TABLE audit.log
   => write shard 1
REFRESH MATERIALIZED VIEW audit.m
   => write shard 1
CREATE TABLE audit.x AS SELECT * FROM audit.log
   => write shard 1 [audit.log]
CREATE TABLE audit.x AS SELECT * FROM countries
   => write shard 1 [countries]
CREATE TABLE audit.x AS SELECT * FROM orders WHERE tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders]
CREATE TABLE x AS SELECT * FROM audit.log
   => write refused 0A000: rows of one shard cannot be made a table that is on every shard [audit.log]
CREATE TABLE archive.x AS SELECT * FROM audit.log
   => write refused 0A000: rows of one shard cannot be made a table of another [audit.log]
SELECT * INTO audit.x FROM countries
   => write shard 1 [countries]
INSERT INTO orders (tenant_id, id) VALUES (5, two_rows(1)), (6, 2)
   => write refused 0A000: set-returning functions are not allowed in VALUES [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, generate_series(1, 2)), (6, 2)
   => write refused 0A000: set-returning functions are not allowed in VALUES [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, generate_series(1, 2))
   => write one 5 (11) [write orders]
SET search_path TO x; SELECT 1
   => read session Path; read any
SET SCHEMA 'x'
   => read session Path
SET NAMES 'LATIN1'
   => read session Encoding
