-- Tables of a messenger, on each shard. The columns that rows are spread by stand in pgdog.toml: user_id, recipient_user_id and sender_id, all of
-- the same type, so that everything of one user is on one shard.

-- The same on every shard.
CREATE TABLE message_types (
    id integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);
INSERT INTO message_types VALUES (1, 'text'), (2, 'picture'), (3, 'voice'), (4, 'reaction');

-- What a user sees first: one row for each of his conversations.
CREATE TABLE user_conversation_list (
    user_id bigint NOT NULL,
    conversation_id bigint NOT NULL,
    conversation_name text NOT NULL,
    participant_ids bigint[] NOT NULL,
    last_message_content text,
    last_message_at timestamptz,
    unread_count integer NOT NULL DEFAULT 0,
    is_archived boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, conversation_id)
);
CREATE INDEX ON user_conversation_list (user_id, last_message_at DESC) WHERE NOT is_archived;

-- Every recipient's own copy of a message. Its primary key is what a second delivery of the same copy runs into.
CREATE TABLE user_messages (
    recipient_user_id bigint NOT NULL,
    original_message_id bigint NOT NULL,
    conversation_id bigint NOT NULL,
    sender_id bigint NOT NULL,
    content text NOT NULL,
    has_attachments boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    is_read boolean NOT NULL DEFAULT false,
    PRIMARY KEY (recipient_user_id, original_message_id)
);
CREATE INDEX ON user_messages (recipient_user_id, conversation_id, created_at DESC);

-- What was sent. The id is distinct over all shards (ids.sql).
CREATE SEQUENCE messages_id_seq;
CREATE TABLE messages (
    id bigint PRIMARY KEY DEFAULT dog.next_id('messages_id_seq'),
    conversation_id bigint NOT NULL,
    sender_id bigint NOT NULL,
    type_id integer NOT NULL REFERENCES message_types,
    content text NOT NULL,
    has_attachments boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER SEQUENCE messages_id_seq OWNED BY messages.id;
CREATE INDEX ON messages (sender_id, created_at DESC);

-- Copies that wait for their delivery to the shards of their recipients. They lie where their message was sent.
CREATE TABLE message_outbox (
    message_id bigint NOT NULL,
    recipient_user_id bigint NOT NULL,
    conversation_id bigint NOT NULL,
    sender_id bigint NOT NULL,
    content text NOT NULL,
    has_attachments boolean NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (message_id, recipient_user_id)
);

-- The sender's own list says who is in the conversation: it is on the sender's shard. Who sends into a conversation that is not in it gets a copy alone.
CREATE FUNCTION messages_to_outbox() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    INSERT INTO public.message_outbox (message_id, recipient_user_id, conversation_id, sender_id, content, has_attachments, created_at)
    SELECT NEW.id, recipient, NEW.conversation_id, NEW.sender_id, NEW.content, NEW.has_attachments, NEW.created_at
    FROM (
        SELECT unnest(participant_ids) AS recipient
        FROM public.user_conversation_list
        WHERE user_id = NEW.sender_id AND conversation_id = NEW.conversation_id
        UNION
        SELECT NEW.sender_id
    ) recipients;
    RETURN NULL;
END
$body$;
CREATE TRIGGER messages_to_outbox AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION messages_to_outbox();
