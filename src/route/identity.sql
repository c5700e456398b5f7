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
    owner name NOT NULL DEFAULT current_user
);
COMMENT ON SCHEMA dog IS 'pg_dog: who this shard is, where keys live, and what was decided about commits over shards. Not to be changed by hand.';
COMMENT ON COLUMN dog.identity.first_shards IS 'number of shards when the map was first written';
COMMENT ON COLUMN dog.identity.founded IS 'on shard 0: every shard of the cluster has had its identity';
COMMENT ON COLUMN dog.map.shards IS 'shard of each slot, the first element that of slot 0';
COMMENT ON COLUMN dog.decided.owner IS 'of a c: the role whose prepared transactions it is about; about those of others it says nothing';

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

-- How the application's transaction decides: the verdict is its own role's, whatever it says. It becomes true when that transaction commits.
CREATE OR REPLACE FUNCTION dog.decide(gid text) RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO dog.decided (gid, verdict, owner)
        SELECT gid, 'c', CASE WHEN r.role = 'none' THEN SESSION_USER ELSE r.role::name END FROM (SELECT pg_catalog.current_setting('role') AS role) r;
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
