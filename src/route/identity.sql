-- Schema `dog` of one shard, whole or not at all. The text before this one begins the transaction, the text behind it writes the shard's own rows
-- and commits. Every name is qualified, and bodies of functions are bound when they are made, so no search_path changes what they mean.
SELECT pg_catalog.pg_advisory_xact_lock(7236845711405969254);
DO $body$
DECLARE
    holder text := (SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'dog');
BEGIN
    IF holder IS NULL THEN
        CREATE SCHEMA dog;
    ELSIF holder <> current_user THEN
        -- What somebody else made under this name would be his to change.
        RAISE insufficient_privilege USING MESSAGE = pg_catalog.format('schema dog belongs to role "%s", not to "%s"', holder, current_user);
    END IF;
END
$body$;
CREATE TABLE IF NOT EXISTS dog.identity (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    cluster uuid NOT NULL,
    shard integer NOT NULL CHECK (shard >= 0),
    first_shards integer NOT NULL CHECK (first_shards > 0),
    slots integer NOT NULL CHECK (slots = first_shards * 1024),
    founded boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS dog.map (
    version bigint PRIMARY KEY CHECK (version > 0),
    shards smallint[] NOT NULL
);
CREATE TABLE IF NOT EXISTS dog.fact (
    name text PRIMARY KEY,
    fact text NOT NULL
);
CREATE TABLE IF NOT EXISTS dog.decided (
    gid text PRIMARY KEY CHECK (pg_catalog.octet_length(gid) BETWEEN 1 AND 199),
    verdict "char" NOT NULL CHECK (verdict IN ('c', 'a')),
    at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    owner name NOT NULL DEFAULT current_user,
    xact xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);
ALTER TABLE dog.decided ADD COLUMN IF NOT EXISTS xact xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id();
COMMENT ON SCHEMA dog IS 'pg_dog: who this shard is, where keys live, and what was decided about commits over shards. Not to be changed by hand.';
COMMENT ON COLUMN dog.identity.first_shards IS 'number of shards when the map was first written';
COMMENT ON COLUMN dog.identity.founded IS 'on shard 0: every shard of the cluster has had its identity';
COMMENT ON COLUMN dog.map.shards IS 'shard of each slot, the first element that of slot 0';
COMMENT ON COLUMN dog.decided.owner IS 'of a c: the role whose prepared transactions it is about; about those of others it says nothing';
COMMENT ON COLUMN dog.decided.xact IS 'of an a: transactions that are younger cannot be the one that it keeps from deciding';

-- The slot of a hash: (h + 0x49a0f4dd15e5a8e3) modulo s as unsigned numbers. Halved, it stays within bigint; s is even.
CREATE OR REPLACE FUNCTION dog.fold(h bigint, s integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (((((h >> 1) + 2652754795717383281 + (h & 1)) & 9223372036854775807) % (s / 2)) * 2 + ((h & 1) # 1))::integer;
-- NULL has slot 0, as with PARTITION BY HASH. Texts count by their bytes.
CREATE OR REPLACE FUNCTION dog.slot(k bigint, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.hashint8extended(k, 8816678312871386365), s), 0);
CREATE OR REPLACE FUNCTION dog.slot(k integer, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.hashint4extended(k, 8816678312871386365), s), 0);
CREATE OR REPLACE FUNCTION dog.slot(k smallint, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.hashint2extended(k, 8816678312871386365), s), 0);
CREATE OR REPLACE FUNCTION dog.slot(k uuid, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.uuid_hash_extended(k, 8816678312871386365), s), 0);
CREATE OR REPLACE FUNCTION dog.slot(k text, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.hashtextextended(k COLLATE pg_catalog."C", 8816678312871386365), s), 0);
CREATE OR REPLACE FUNCTION dog.slot(k character, s integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(dog.fold(pg_catalog.hashbpcharextended(k COLLATE pg_catalog."C", 8816678312871386365), s), 0);

-- Commits over shards. Anybody may call these: a verdict "committed" is that of the caller's own role, who may finish its prepared transactions as
-- it likes anyway; a refusal is safe whoever gives it, as what is refused commits nowhere; and only what nobody needs is forgotten.
CREATE OR REPLACE FUNCTION dog.caller() RETURNS name LANGUAGE sql STABLE
    RETURN (SELECT CASE WHEN r.role = 'none' THEN SESSION_USER ELSE r.role::name END FROM (SELECT pg_catalog.current_setting('role') AS role) r);
-- How the application's transaction decides. It becomes true when that transaction commits, which then is on disk before it is answered.
CREATE OR REPLACE FUNCTION dog.decide(gid text) RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT pg_catalog.set_config('synchronous_commit', 'on', true)
        WHERE pg_catalog.current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
        INSERT INTO dog.decided (gid, verdict, owner) VALUES (gid, 'c', dog.caller());
    END;
-- How recovery asks. What is not decided is refused from now on; while it is being decided this waits. Nothing comes of it if the row was there and
-- is gone again. It needs READ COMMITTED: the second statement sees what the first has waited for.
CREATE OR REPLACE FUNCTION dog.resolve(gid text) RETURNS TABLE (verdict "char", owner name)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO dog.decided (gid, verdict) VALUES (gid, 'a') ON CONFLICT DO NOTHING;
        SELECT d.verdict, d.owner FROM dog.decided d WHERE d.gid = resolve.gid;
    END;
-- What may be forgotten, once no shard has it prepared. Whoever holds a name that was refused began before the refusal, so that it can forget too when
-- all of these have ended; the hour is for transactions without a number.
CREATE OR REPLACE FUNCTION dog.is_past(verdict "char", at timestamptz, owner name, xact xid8, asker name) RETURNS boolean LANGUAGE sql STABLE
    RETURN CASE verdict
        WHEN 'c' THEN at < pg_catalog.now() - interval '1 minute' AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = owner AND NOT pg_catalog.pg_has_role(asker, r.oid, 'MEMBER'))
        ELSE at < pg_catalog.now() - interval '1 hour' AND xact < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
    END;
-- Names that we would not give are left out, so that they hide nothing.
CREATE OR REPLACE FUNCTION dog.decisions(beginning text, most integer) RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT d.gid FROM dog.decided d WHERE d.gid ~ ('^' || beginning || '[0-9]{1,5}:[0-9a-f]{32}$') AND dog.is_past(d.verdict, d.at, d.owner, d.xact, dog.caller()) LIMIT most;
    END;
CREATE OR REPLACE FUNCTION dog.forget(gids text[]) RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        WITH gone AS (
            DELETE FROM dog.decided d WHERE d.gid = ANY (gids) AND dog.is_past(d.verdict, d.at, d.owner, d.xact, dog.caller()) RETURNING d.gid
        )
        SELECT pg_catalog.count(*) FROM gone;
    END;

-- Anybody may ask who a shard is; only the owner may say it. Rights that default privileges gave away are taken back.
DO $body$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT c.oid::regclass AS what, a.grantee FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
        WHERE c.relnamespace = 'dog'::regnamespace AND c.relkind = 'r' AND a.grantee <> c.relowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', given.what, CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END);
    END LOOP;
    FOR given IN
        SELECT DISTINCT a.grantee FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a WHERE n.nspname = 'dog' AND a.grantee <> n.nspowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA dog FROM %s', CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE given.grantee::regrole::text END);
    END LOOP;
END
$body$;
GRANT USAGE ON SCHEMA dog TO PUBLIC;
GRANT SELECT ON dog.identity, dog.map, dog.fact TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dog TO PUBLIC;
