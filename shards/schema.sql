-- Sample data: the tables of pgbench (scale 1, so that `pgbench -n` runs as it is), and a small messenger.

CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int NOT NULL, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int NOT NULL, tbalance int NOT NULL, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int NOT NULL, abalance int NOT NULL, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));

INSERT INTO pgbench_branches SELECT 1, 0;
INSERT INTO pgbench_tellers SELECT i, 1, 0 FROM generate_series(1, 10) i;
INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, 100000) i;

CREATE TABLE users (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender bigint NOT NULL REFERENCES users,
    recipient bigint NOT NULL REFERENCES users,
    body text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON messages (sender, id);
CREATE INDEX ON messages (recipient, id);

INSERT INTO users SELECT i, 'user' || i FROM generate_series(1, 1000) i;

-- Ten messages from everyone, always the same ones.
INSERT INTO messages (sender, recipient, body, sent_at)
SELECT i % 1000 + 1, i * 7919 % 1000 + 1, 'message ' || i, timestamptz '2025-01-01 00:00+00' + i * interval '1 minute'
FROM generate_series(1, 10000) i;
