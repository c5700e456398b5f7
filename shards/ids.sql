-- Ids that are distinct over all shards, for any application: run this on each shard, as the role that pg_dog logs in with, before or after pg_dog
-- has given the shards their numbers. Then `id bigint DEFAULT dog.next_id('a_sequence')`, with a sequence of each shard's own.
--
-- An id is a number of the sequence, times 1024, plus the number of its shard. So two shards never give the same one, no matter how many shards
-- there are or will be and where rows move, and nobody has to ask another shard. 2^53 ids that JavaScript can hold are 8 million million messages
-- per shard.

CREATE SCHEMA IF NOT EXISTS dog;

CREATE OR REPLACE FUNCTION dog.next_id(sequence regclass) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    mine integer := (SELECT shard FROM dog.identity);
BEGIN
    IF mine IS NULL OR mine >= 1024 THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = pg_catalog.format('shard number %s makes no ids', COALESCE(mine::text, 'of nobody')),
            HINT = 'Start pg_dog with this database as one of its shards: it says which one this is. Ids are for shards 0 to 1023.';
    END IF;
    RETURN pg_catalog.nextval(sequence) * 1024 + mine;
END
$body$;

-- The same for tables whose key is the id itself: it lives on the shard that gives it. Of N shards every Nth id does, by hash, so that about N are
-- tried; those that do not are never given to anybody.
CREATE OR REPLACE FUNCTION dog.next_key(sequence regclass) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $body$
DECLARE
    mine integer := (SELECT shard FROM dog.identity);
    map smallint[] := (SELECT shards FROM dog.map ORDER BY version DESC LIMIT 1);
    id bigint;
BEGIN
    IF map IS NOT NULL AND mine <> ALL (map) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = pg_catalog.format('no key lives on shard %s', mine);
    END IF;
    LOOP
        id := dog.next_id(sequence);
        EXIT WHEN map[dog.slot(id, pg_catalog.cardinality(map)) + 1] = mine;
    END LOOP;
    RETURN id;
END
$body$;

-- By PgDog's name, for schemas that have it as the default of a column.
CREATE SCHEMA IF NOT EXISTS pgdog;
CREATE OR REPLACE FUNCTION pgdog.next_id_seq(sequence regclass) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT dog.next_key(sequence)';

GRANT USAGE ON SCHEMA dog, pgdog TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dog, pgdog TO PUBLIC;
