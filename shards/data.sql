-- What one shard holds of the messenger's users, conversations and messages: the same rows at every run, for any number of shards. Each shard draws
-- the same lots for all and keeps the rows whose key is its own. Variables of psql: shard, shards, users.
--
-- A few users are in many conversations and a few conversations have most of the messages, as it is with people.

-- A number from 0 to below 1 for the nth thing of a kind.
CREATE FUNCTION pg_temp.lot(kind integer, n bigint, m bigint DEFAULT 0) RETURNS double precision LANGUAGE sql IMMUTABLE AS
    'SELECT (hashint8extended(n, hashint8extended(m, 20260101 + kind)) & 281474976710655)::double precision / 281474976710656';

CREATE TEMP TABLE keys (k bigint) PARTITION BY HASH (k);
CREATE TEMP TABLE person AS
SELECT id, shard
FROM generate_series(1, :users::bigint) id, generate_series(0, :shards - 1) shard
WHERE satisfies_hash_partition('keys'::regclass, :shards, shard, id);
CREATE UNIQUE INDEX ON person (id);
ANALYZE person;

-- Everybody begins some conversations. Most are between two; the popular are asked more often than others.
CREATE TEMP TABLE talk AS
SELECT id, participants, messages, (sum(messages) OVER (ORDER BY id))::bigint - messages AS before,
    timestamptz '2026-01-01 00:00+00' - pg_temp.lot(1, id) ^ 3 * interval '300 days' AS last_at,
    (20 + floor(pg_temp.lot(2, id) * 3000)) * interval '1 second' AS gap
FROM (
    SELECT id,
        (SELECT array_agg(DISTINCT participant) FROM (
            SELECT (id - 1) % :users + 1 AS participant
            UNION
            SELECT (floor(:users * pg_temp.lot(3, id, seat) ^ 2.5)::bigint * 7919 + id / :users) % :users + 1
            FROM generate_series(1, CASE WHEN pg_temp.lot(4, id) < 0.85 THEN 1
                                    ELSE least(31, floor(2 / (1 - pg_temp.lot(5, id)) ^ 0.6))::integer END) seat
        ) drawn) AS participants,
        least(400, floor(1 + 3 * ((1 - pg_temp.lot(6, id)) ^ -0.6 - 1)))::bigint AS messages
    FROM generate_series(1, :users::bigint * 5 / 2) id
) drawn;
ANALYZE talk;

CREATE TEMP TABLE seat AS
SELECT person.id AS user_id, talk.*, floor((1 - pg_temp.lot(11, talk.id, person.id)) ^ -0.5 - 1) AS unread
FROM talk, unnest(participants) participant, person
WHERE person.id = participant AND person.shard = :shard;
ANALYZE seat;

-- What was said in the conversations of this shard's users, by whomever.
CREATE TEMP TABLE said AS
SELECT (before + m) * 1024 + person.shard AS id, person.shard, talk.id AS conversation_id, sender AS sender_id, messages - m AS newer,
    last_at - (messages - m) * gap AS created_at, pg_temp.lot(7, talk.id, m) < 0.08 AS has_attachments,
    format('[%s] ', talk.id) || (
        SELECT string_agg((ARRAY['we', 'you', 'see', 'that', 'later', 'today', 'maybe', 'photo', 'from', 'the', 'beach', 'party', 'yes', 'no', 'where',
                                 'are', 'home', 'soon', 'call', 'me', 'what', 'a', 'day', 'love', 'it', 'haha', 'ok', 'dinner', 'train', 'rain'])
                          [1 + floor(30 * pg_temp.lot(8, talk.id * 1000 + m, word))], ' ')
        FROM generate_series(0, floor(10 * pg_temp.lot(9, talk.id, m) ^ 2)::bigint) word
    ) AS content
FROM talk, generate_series(1, messages) m,
    LATERAL (SELECT participants[1 + floor(cardinality(participants) * pg_temp.lot(10, talk.id, m))] AS sender) drawn, person
WHERE person.id = sender AND talk.id IN (SELECT id FROM seat);
CREATE INDEX ON said (conversation_id) WHERE newer = 0;
ANALYZE said;

-- Delivered long ago: nothing of it goes into the outbox.
ALTER TABLE messages DISABLE TRIGGER messages_to_outbox;
INSERT INTO messages (id, conversation_id, sender_id, type_id, content, has_attachments, created_at)
SELECT id, conversation_id, sender_id, CASE WHEN has_attachments THEN 2 ELSE 1 END, content, has_attachments, created_at
FROM said WHERE shard = :shard;
ALTER TABLE messages ENABLE TRIGGER messages_to_outbox;
SELECT setval('messages_id_seq', max(before + messages)) IS NOT NULL AS ids_go_on FROM talk \gset

INSERT INTO user_messages (recipient_user_id, original_message_id, conversation_id, sender_id, content, has_attachments, created_at, is_read)
SELECT user_id, said.id, conversation_id, sender_id, content, has_attachments, created_at, newer >= unread OR sender_id = user_id
FROM said JOIN seat ON seat.id = conversation_id;
ANALYZE user_messages;

INSERT INTO user_conversation_list (user_id, conversation_id, conversation_name, participant_ids, last_message_content, last_message_at, unread_count, is_archived)
SELECT user_id, id, 'user' || user_id || coalesce((SELECT string_agg(' & user' || p, '' ORDER BY p) FROM unnest(participants) p WHERE p <> user_id), ''),
    participants, (SELECT content FROM said WHERE conversation_id = seat.id AND newer = 0), last_at,
    0, id > :users AND pg_temp.lot(12, id, user_id) < 0.08
FROM seat;
UPDATE user_conversation_list SET unread_count = unread FROM (
    SELECT recipient_user_id, conversation_id, count(*) AS unread FROM user_messages WHERE NOT is_read GROUP BY 1, 2
) counted WHERE user_id = recipient_user_id AND user_conversation_list.conversation_id = counted.conversation_id;

DROP TABLE keys, person, talk, said, seat;
DROP FUNCTION pg_temp.lot;
ANALYZE user_conversation_list, messages;
