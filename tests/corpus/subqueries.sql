-- In expressions.
SELECT * FROM accounts WHERE tenant_id = 5 AND EXISTS (SELECT 1 FROM orders WHERE orders.tenant_id = accounts.tenant_id)
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = 5)
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = 6)
   => read shard of 5 (10), 6 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (SELECT 1 FROM orders o WHERE o.account_id = a.id)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = a.tenant_id)
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a WHERE EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = a.tenant_id AND o.tenant_id = 5)
   => read all shards [accounts, orders]
SELECT * FROM accounts a WHERE EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = a.tenant_id)
   => read all shards [accounts, orders]
SELECT * FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.tenant_id = a.tenant_id AND o.account_id = a.id)
   => read all shards [accounts, orders]
SELECT * FROM accounts a WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.account_id = a.id)
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE EXISTS (SELECT 1 FROM orders o WHERE a.tenant_id = 5)
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE EXISTS (SELECT 1 FROM orders o WHERE tenant_id = 5) AND a.tenant_id = 5
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id = 5 AND EXISTS (SELECT 1 FROM countries WHERE tenant_id = 5)
   => read one 5 (10) [accounts, countries]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND a.id IN (SELECT account_id FROM orders WHERE tenant_id = 5)
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND a.id IN (SELECT account_id FROM orders)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND a.id IN (SELECT o.account_id FROM orders o WHERE o.tenant_id = a.tenant_id)
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT tenant_id FROM orders WHERE tenant_id = 5)
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT tenant_id FROM orders) AND tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts WHERE tenant_id = ANY (SELECT tenant_id FROM orders) AND tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT tenant_id FROM orders LIMIT 1) AND tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id NOT IN (SELECT tenant_id FROM orders) AND tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id <> ANY (SELECT tenant_id FROM orders) AND tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT tenant_id FROM orders)
   => read all shards [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT tenant_id FROM orders WHERE total > 5)
   => read all shards [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT max(tenant_id) FROM orders)
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id IN (SELECT id FROM tenants WHERE plan = 'x')
   => read all shards [accounts, tenants]
SELECT * FROM accounts WHERE id IN (SELECT id FROM tenants WHERE plan = 'x')
   => read all shards [accounts, tenants]
SELECT * FROM accounts WHERE tenant_id = (SELECT id FROM tenants WHERE name = 'x')
   => read all shards [accounts, tenants]
SELECT * FROM accounts WHERE tenant_id = (SELECT 5)
   => read all shards [accounts]
SELECT * FROM accounts WHERE tenant_id = 5 AND balance > (SELECT avg(total) FROM orders WHERE tenant_id = 5)
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id = 5 AND balance > (SELECT avg(total) FROM orders)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id = 5 AND balance > ALL (SELECT total FROM orders WHERE tenant_id = 5)
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT a.*, (SELECT count(*) FROM orders o WHERE o.tenant_id = a.tenant_id AND o.account_id = a.id) FROM accounts a WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT a.id, (SELECT count(*) FROM orders o WHERE o.tenant_id = a.tenant_id AND o.account_id = a.id) FROM accounts a
   => read all shards [accounts, orders]
SELECT a.id, (SELECT count(*) FROM orders o WHERE o.account_id = a.id) FROM accounts a
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT a.id, (SELECT count(*) FROM countries) FROM accounts a
   => read all shards [accounts, countries]
SELECT a.id, (SELECT count(*) FROM orders) FROM accounts a WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT (SELECT count(*) FROM orders WHERE tenant_id = 5)
   => read one 5 (11) [orders]
SELECT (SELECT count(*) FROM orders WHERE tenant_id = 5), (SELECT count(*) FROM items WHERE tenant_id = 5)
   => read shard of 5 (11), 5 (12) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, items]
SELECT (SELECT count(*) FROM orders WHERE tenant_id = 5), (SELECT count(*) FROM items WHERE tenant_id = 6)
   => read shard of 5 (11), 6 (12) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, items]
SELECT (SELECT count(*) FROM orders)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT ARRAY(SELECT id FROM orders WHERE tenant_id = 5 ORDER BY id)
   => read one 5 (11) [orders]
SELECT EXISTS (SELECT 1 FROM orders WHERE tenant_id = 5)
   => read one 5 (11) [orders]
SELECT EXISTS (SELECT 1 FROM orders)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT JSON_ARRAY(SELECT id FROM orders WHERE tenant_id = 5)
   => read one 5 (11) [orders]
SELECT CASE WHEN EXISTS (SELECT 1 FROM orders WHERE tenant_id = 5) THEN (SELECT 1 FROM items) END
   => read refused 0A000: rows of "items" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [items, orders]
SELECT coalesce((SELECT name FROM accounts WHERE tenant_id = 5 AND id = 1), 'nobody')
   => read one 5 (10) [accounts]
SELECT * FROM countries WHERE code IN (SELECT note FROM orders WHERE tenant_id = 5)
   => read one 5 (11) [countries, orders]
SELECT * FROM countries WHERE code IN (SELECT note FROM orders)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [countries, orders]
SELECT * FROM orders WHERE tenant_id = 5 ORDER BY (SELECT count(*) FROM items)
   => read refused 0A000: rows of "items" on several shards: ORDER BY needs one place to sort the rows [orders, items]
SELECT * FROM orders WHERE tenant_id = 5 LIMIT (SELECT count(*) FROM items)
   => read refused 0A000: rows of "items" on several shards: LIMIT needs one place to count the rows [orders, items]
SELECT sum(total) FILTER (WHERE id IN (SELECT order_id FROM items)) FROM orders WHERE tenant_id = 5
   => read refused 0A000: rows of "items" on several shards: aggregates need one place to be finished [orders, items]
SELECT sum((SELECT 1 FROM items LIMIT 1)) OVER (ORDER BY (SELECT 2 FROM items)) FROM orders WHERE tenant_id = 5
   => read refused 0A000: rows of "items" on several shards: window functions need one place to see all rows [orders, items, items]
SELECT count(*) FROM orders WHERE tenant_id = 5 GROUP BY (SELECT count(*) FROM items) HAVING (SELECT count(*) FROM items) > 5
   => read refused 0A000: rows of "items" on several shards: GROUP BY needs one place to join the groups [orders, items, items]
-- In FROM.
SELECT * FROM (SELECT * FROM orders WHERE tenant_id = 5) o
   => read one 5 (11) [orders]
SELECT count(*) FROM (SELECT 1 FROM orders WHERE tenant_id = 5 LIMIT 10) o
   => read one 5 (11) [orders]
SELECT * FROM (SELECT * FROM orders) o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT * FROM orders) o WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT tenant_id AS t, total FROM orders) o WHERE o.t = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT tenant_id AS t, total FROM orders) o WHERE o.tenant_id = 5
   => read all shards [orders]
SELECT * FROM (SELECT tenant_id, total FROM orders) o (t, x) WHERE o.t = 5
   => read all shards [orders]
SELECT * FROM (SELECT tenant_id, total FROM orders LIMIT 10) o WHERE o.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: LIMIT without ORDER BY would take other rows on each shard [orders]
SELECT * FROM (SELECT tenant_id, total FROM orders ORDER BY total) o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT DISTINCT tenant_id, note FROM orders) o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT DISTINCT ON (note) tenant_id, note FROM orders) o WHERE o.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT * FROM (SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id) o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT note, count(*) FROM orders GROUP BY note) o WHERE o.note = '5'
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT * FROM (SELECT tenant_id, max(id) FROM orders GROUP BY tenant_id, note) o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM (SELECT tenant_id, max(id) FROM orders GROUP BY ROLLUP (tenant_id)) o WHERE o.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT * FROM (SELECT tenant_id, row_number() OVER (ORDER BY id) FROM orders) o WHERE o.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT * FROM (SELECT max(tenant_id) AS tenant_id FROM orders) o WHERE o.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT * FROM (SELECT tenant_id + 0 AS tenant_id FROM orders) o WHERE o.tenant_id = 5
   => read all shards [orders]
SELECT * FROM (SELECT id AS tenant_id FROM orders) o WHERE o.tenant_id = 5
   => read all shards [orders]
SELECT * FROM (SELECT tenant_id, 1 AS tenant_id FROM orders) o WHERE o.tenant_id = 5
   => read all shards [orders]
SELECT * FROM (SELECT * FROM orders o JOIN countries c ON true) x WHERE x.tenant_id = 5
   => read one 5 (11) [orders, countries]
SELECT * FROM (SELECT * FROM (SELECT * FROM orders) a) b WHERE b.tenant_id = 5
   => read one 5 (11) [orders]
SELECT total FROM (SELECT total FROM orders WHERE total > 5) o
   => read all shards [orders]
SELECT total FROM (SELECT total FROM orders ORDER BY total LIMIT 5) o
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT total FROM (SELECT sum(total) AS total FROM orders) o
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
SELECT o.total FROM countries c JOIN (SELECT total, note FROM orders) o ON o.note = c.code
   => read all shards [countries, orders]
SELECT o.total FROM countries c LEFT JOIN (SELECT total, note FROM orders) o ON o.note = c.code
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [countries, orders]
SELECT a.name, s.n FROM accounts a JOIN (SELECT tenant_id, count(*) AS n FROM orders GROUP BY tenant_id) s ON s.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT a.name, s.n FROM accounts a JOIN (SELECT tenant_id, count(*) AS n FROM orders GROUP BY tenant_id) s ON s.tenant_id = a.tenant_id
   => read all shards [accounts, orders]
SELECT a.name, s.n FROM accounts a LEFT JOIN (SELECT tenant_id, count(*) AS n FROM orders GROUP BY tenant_id) s ON s.tenant_id = a.tenant_id
   => read all shards [accounts, orders]
SELECT a.name, s.n FROM accounts a JOIN (SELECT note, count(*) AS n FROM orders GROUP BY note) s ON s.note = a.name
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT a.name FROM accounts a JOIN (SELECT tenant_id FROM orders WHERE tenant_id = 5) s ON s.tenant_id = a.tenant_id
   => read one 5 (10) [accounts, orders]
SELECT a.name FROM accounts a JOIN (SELECT 5 AS tenant_id) s ON s.tenant_id = a.tenant_id
   => read all shards [accounts]
-- Set operations.
SELECT id FROM orders WHERE tenant_id = 5 UNION SELECT id FROM items_x WHERE tenant_id = 5
   => read refused 0A000: where the rows of "items_x" are is not known: it was made since the schema was read, or is no table or view [orders, items_x]
SELECT id FROM orders WHERE tenant_id = 5 UNION SELECT id FROM accounts WHERE tenant_id = 5
   => read shard of 5 (11), 5 (10) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, accounts]
SELECT id FROM orders WHERE tenant_id = 5 UNION ALL SELECT id FROM accounts WHERE tenant_id = 5 ORDER BY 1 LIMIT 3
   => read shard of 5 (11), 5 (10) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, accounts]
SELECT id FROM orders WHERE tenant_id = 5 UNION SELECT id FROM orders WHERE tenant_id = 6
   => read shard of 5 (11), 6 (11) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, orders]
SELECT id FROM orders WHERE tenant_id = $1 UNION SELECT id FROM orders WHERE tenant_id = $2
   => read shard of $1 (11), $2 (11) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, orders]
SELECT id FROM orders WHERE tenant_id = $1 UNION SELECT id FROM orders WHERE tenant_id = $1
   => read one $1 (11) [orders, orders]
SELECT id FROM orders WHERE tenant_id = 5 EXCEPT SELECT id FROM orders WHERE tenant_id = 5 AND total > 1
   => read shard of 5 (11), 5 (11) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, orders]
SELECT id FROM orders WHERE tenant_id = 5 INTERSECT SELECT id FROM countries_x
   => read refused 0A000: where the rows of "countries_x" are is not known: it was made since the schema was read, or is no table or view [orders, countries_x]
SELECT name FROM accounts WHERE tenant_id = 5 INTERSECT SELECT name FROM countries
   => read one 5 (10) [accounts, countries]
SELECT id FROM orders UNION ALL SELECT id FROM accounts
   => read refused 0A000: rows of "orders" on several shards: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, accounts]
SELECT id FROM orders UNION SELECT id FROM accounts WHERE tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, accounts]
SELECT name FROM accounts UNION ALL SELECT name FROM countries
   => read refused 0A000: rows of "accounts" on several shards: UNION, INTERSECT and EXCEPT need one place to compare the rows [accounts, countries]
SELECT name FROM tenants UNION SELECT name FROM countries
   => read any [tenants, countries]
(SELECT id FROM orders WHERE tenant_id = 5 LIMIT 1) UNION ALL (SELECT id FROM orders WHERE tenant_id = 5 LIMIT 2)
   => read shard of 5 (11), 5 (11) or refused: UNION, INTERSECT and EXCEPT need one place to compare the rows [orders, orders]
SELECT 1 UNION SELECT 2 UNION ALL SELECT 3
   => read any
SELECT * FROM (SELECT tenant_id FROM orders UNION ALL SELECT tenant_id FROM accounts) u WHERE u.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, accounts]
SELECT * FROM (SELECT tenant_id FROM orders WHERE tenant_id = 5 UNION ALL SELECT tenant_id FROM accounts WHERE tenant_id = 5) u
   => read shard of 5 (11), 5 (10) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, accounts]
-- WITH.
WITH o AS (SELECT * FROM orders WHERE tenant_id = 5) SELECT count(*) FROM o
   => read one 5 (11) [orders]
WITH o AS (SELECT * FROM orders) SELECT * FROM o WHERE tenant_id = 5
   => read one 5 (11) [orders]
WITH o AS (SELECT * FROM orders) SELECT * FROM o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
WITH o AS (SELECT tenant_id FROM orders) SELECT * FROM o a, o b WHERE a.tenant_id = 5 AND b.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
WITH o AS (SELECT tenant_id FROM orders WHERE tenant_id = 5) SELECT * FROM o a, o b
   => read one 5 (11) [orders]
WITH o (t) AS (SELECT tenant_id FROM orders) SELECT * FROM o WHERE t = 5
   => read all shards [orders]
WITH o AS MATERIALIZED (SELECT * FROM orders WHERE tenant_id = 5) SELECT * FROM o
   => read one 5 (11) [orders]
WITH orders AS (SELECT 1 AS tenant_id) SELECT * FROM orders WHERE tenant_id = 5
   => read any
WITH orders AS (SELECT * FROM orders WHERE tenant_id = 5) SELECT * FROM orders
   => read one 5 (11) [orders]
WITH orders AS (SELECT * FROM orders) SELECT * FROM public.orders WHERE tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [public.orders, orders]
WITH a AS (SELECT * FROM accounts WHERE tenant_id = 5), b AS (SELECT * FROM a) SELECT * FROM b
   => read one 5 (10) [accounts]
WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a
   => read refused 0A000: where the rows of "b" are is not known: it was made since the schema was read, or is no table or view [b]
WITH a AS (SELECT * FROM accounts WHERE tenant_id = 5) SELECT * FROM orders o JOIN a ON a.tenant_id = o.tenant_id
   => read one 5 (11) [orders, accounts]
WITH a AS (SELECT * FROM accounts WHERE tenant_id = 5) SELECT * FROM orders o JOIN a ON a.id = o.account_id
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, accounts]
WITH a AS (SELECT tenant_id, id FROM accounts) SELECT o.id FROM orders o JOIN a ON a.tenant_id = o.tenant_id
   => read all shards [orders, accounts]
WITH a AS (SELECT id FROM accounts WHERE total > 5) SELECT a.id FROM a
   => read all shards [accounts]
WITH a AS (SELECT count(*) AS n FROM accounts) SELECT n FROM a
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts]
WITH unused AS (SELECT * FROM orders) SELECT 1
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders]
WITH x AS (SELECT 1) SELECT * FROM x
   => read any
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
   => read any
WITH RECURSIVE t AS (SELECT id, tenant_id FROM accounts WHERE tenant_id = 5 AND id = 1 UNION ALL SELECT a.id, a.tenant_id FROM accounts a JOIN t ON t.id = a.balance WHERE a.tenant_id = 5) SELECT * FROM t
   => read shard of 5 (10), 5 (10) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, accounts]
WITH RECURSIVE t AS (SELECT id, tenant_id FROM accounts WHERE tenant_id = 5 AND id = 1 UNION ALL SELECT a.id, a.tenant_id FROM accounts a JOIN t ON t.id = a.balance AND t.tenant_id = a.tenant_id) SELECT * FROM t
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, accounts]
WITH RECURSIVE t AS (SELECT id FROM countries UNION SELECT 1) SELECT * FROM t
   => read any [countries]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (WITH o AS (SELECT 1 FROM orders WHERE orders.tenant_id = a.tenant_id) SELECT * FROM o)
   => read one 5 (10) [accounts, orders]
SELECT (WITH x AS (SELECT * FROM orders WHERE tenant_id = 5) SELECT count(*) FROM x)
   => read one 5 (11) [orders]
WITH w AS (INSERT INTO orders (tenant_id, id) VALUES (5, 1) RETURNING id) SELECT * FROM w
   => write one 5 (11) [write orders]
WITH w AS (INSERT INTO orders (tenant_id, id) VALUES (5, 1) RETURNING id) SELECT * FROM accounts WHERE tenant_id = 5
   => write shard of 5 (10), 5 (11) or refused: the rows and what they are made of are on several shards [accounts, write orders]
WITH w AS (INSERT INTO orders (tenant_id, id) VALUES (5, 1) RETURNING id) SELECT * FROM accounts WHERE tenant_id = 6
   => write shard of 6 (10), 5 (11) or refused: the rows and what they are made of are on several shards [accounts, write orders]
WITH w AS (DELETE FROM orders WHERE tenant_id = 5 RETURNING *) INSERT INTO items (tenant_id, order_id) SELECT 5, id FROM w
   => write shard of 5 (12), 5 (11) or refused: the rows and what they are made of are on several shards [write items, write orders]
WITH w AS (DELETE FROM orders WHERE tenant_id = 5 RETURNING *) SELECT * FROM w
   => write one 5 (11) [write orders]
WITH w AS (DELETE FROM orders RETURNING *) SELECT * FROM w
   => write refused 0A000: rows of "orders" on several shards: WITH writes [write orders]
WITH w AS (UPDATE orders SET total = 1 WHERE tenant_id = 5 RETURNING *) UPDATE accounts SET balance = 1 FROM w WHERE accounts.tenant_id = 5
   => write shard of 5 (10), 5 (11) or refused: WITH writes [write accounts, write orders]
WITH w AS (UPDATE countries SET name = 'x' RETURNING *) SELECT * FROM w
   => write all alike [write countries]
WITH w AS (UPDATE countries SET name = 'x' RETURNING *) SELECT * FROM orders WHERE tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [orders, write countries]
