-- The messenger: send, a conversation, an inbox.
INSERT INTO messages (sender, recipient, body) VALUES (17, 42, 'hello')
   => write one 17 (5) [write messages]
INSERT INTO messages (sender, recipient, body) VALUES ($1, $2, $3) RETURNING id, sent_at
   => write one $1 (5) [write messages]
SELECT id, sender, recipient, body, sent_at FROM messages WHERE sender = $1 AND recipient = $2 ORDER BY id DESC LIMIT 50
   => read one $1 (5) [messages]
SELECT m.id, u.name, m.body FROM messages m JOIN users u ON u.id = m.sender WHERE m.sender = 5 ORDER BY m.id DESC LIMIT 20
   => read one 5 (5) [messages, users]
SELECT m.id, m.body FROM messages m WHERE m.recipient = 42 ORDER BY m.id DESC LIMIT 20
   => read refused 0A000: rows of "messages" on several shards: LIMIT needs one place to count the rows [messages]
SELECT count(*) FROM messages WHERE sender = 5
   => read one 5 (5) [messages]
SELECT u.name, count(*) FROM users u JOIN messages m ON m.sender = u.id WHERE u.id = 7 GROUP BY u.name
   => read one 7 (4) [users, messages]
SELECT u.name, m.body FROM users u JOIN messages m ON m.recipient = u.id WHERE u.id = 7
   => read refused 0A000: rows of "messages" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [users, messages]
DELETE FROM messages WHERE sender = 3 AND id = 12
   => write one 3 (5) [write messages]
UPDATE messages SET body = 'edited' WHERE sender = 3 AND id = 12
   => write one 3 (5) [write messages]
INSERT INTO users (id, name) VALUES (1001, 'nobody')
   => write one 1001 (4) [write users]
SELECT name FROM users WHERE id = 12
   => read one 12 (4) [users]
SELECT id FROM users WHERE name = 'user12'
   => read all shards [users]
-- pgbench.
SELECT abalance FROM pgbench_accounts WHERE aid = 31337
   => read one 31337 (0) [pgbench_accounts]
SELECT abalance FROM pgbench_accounts WHERE aid = 31337;
   => read one 31337 (0) [pgbench_accounts]
UPDATE pgbench_accounts SET abalance = abalance + -2042 WHERE aid = 31337;
   => write one 31337 (0) [write pgbench_accounts]
UPDATE pgbench_tellers SET tbalance = tbalance + 2042 WHERE tid = 7;
   => write one 7 (2) [write pgbench_tellers]
UPDATE pgbench_branches SET bbalance = bbalance + 2042 WHERE bid = 1;
   => write one 1 (1) [write pgbench_branches]
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (7, 1, 31337, -2042, CURRENT_TIMESTAMP);
   => write one 31337 (3) [write pgbench_history]
SELECT abalance FROM pgbench_accounts WHERE aid = $1;
   => read one $1 (0) [pgbench_accounts]
UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2
   => write one $2 (0) [write pgbench_accounts]
BEGIN;
   => read session Transaction
END;
   => read session Transaction
BEGIN; UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1; END;
   => read session Transaction; write one 1 (0); read session Transaction [write pgbench_accounts]
select count(*) from pgbench_branches
   => read refused 0A000: rows of "pgbench_branches" on several shards: aggregates need one place to be finished [pgbench_branches]
vacuum pgbench_branches
   => write all alike, alone
truncate pgbench_history
   => write all alike
alter table pgbench_accounts add primary key (aid)
   => write all alike
-- sysbench.
SELECT c FROM sbtest1 WHERE id=5004
   => read one 5004 (6) [sbtest1]
SELECT c FROM sbtest1 WHERE id BETWEEN 5004 AND 5103
   => read all shards [sbtest1]
SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 5004 AND 5103
   => read refused 0A000: rows of "sbtest1" on several shards: aggregates need one place to be finished [sbtest1]
SELECT c FROM sbtest1 WHERE id BETWEEN 5004 AND 5103 ORDER BY c
   => read refused 0A000: rows of "sbtest1" on several shards: ORDER BY needs one place to sort the rows [sbtest1]
SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN 5004 AND 5103 ORDER BY c
   => read refused 0A000: rows of "sbtest1" on several shards: DISTINCT needs one place to compare the rows [sbtest1]
UPDATE sbtest1 SET k=k+1 WHERE id=5013
   => write one 5013 (6) [write sbtest1]
UPDATE sbtest1 SET c='83868641912-28773972837' WHERE id=4962
   => write one 4962 (6) [write sbtest1]
DELETE FROM sbtest1 WHERE id=5010
   => write one 5010 (6) [write sbtest1]
INSERT INTO sbtest1 (id, k, c, pad) VALUES (5010, 4957, 'c', 'pad')
   => write one 5010 (6) [write sbtest1]
INSERT INTO sbtest1(k, c, pad) VALUES(1,'c1','p1'),(2,'c2','p2')
   => write refused 0A000: rows of "sbtest1" need a value for their sharding key "id" [write sbtest1]
INSERT INTO sbtest1(id, k, c, pad) VALUES(1, 1,'c1','p1'),(2, 2,'c2','p2'),(3, 3,'c3','p3')
   => write rows 1 (6), 2 (6), 3 (6) [write sbtest1]
SELECT c FROM sbtest1 WHERE id IN ($1, $2, $3, $4)
   => read each of $1 (6), $2 (6), $3 (6), $4 (6) [sbtest1]
