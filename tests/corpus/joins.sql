-- Joined on the key.
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id AND a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a, orders o WHERE o.tenant_id = a.tenant_id AND a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a, orders o WHERE a.tenant_id = 5 AND o.tenant_id = 5
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a, orders o WHERE a.tenant_id = 5 AND o.tenant_id = 6
   => read shard of 5 (10), 6 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a, orders o WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a, orders o WHERE a.tenant_id = $1 AND o.tenant_id = $1
   => read one $1 (10) [accounts, orders]
SELECT * FROM accounts a, orders o WHERE a.tenant_id = $1 AND o.tenant_id = $2
   => read shard of $1 (10), $2 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a JOIN orders o USING (tenant_id) WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a JOIN orders o USING (tenant_id) WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a JOIN orders o USING (tenant_id, id) WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts NATURAL JOIN orders WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a JOIN orders o USING (id) WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a JOIN orders o ON o.account_id = a.id WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a JOIN orders o ON o.account_id = a.id AND o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT a.name, o.total, i.sku FROM accounts a JOIN orders o ON (o.tenant_id, o.account_id) = (a.tenant_id, a.id) JOIN items i ON i.tenant_id = o.tenant_id AND i.order_id = o.id WHERE a.tenant_id = 5 ORDER BY 1
   => read one 5 (10) [accounts, orders, items]
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id JOIN items i ON i.tenant_id = a.tenant_id WHERE i.tenant_id = 5
   => read one 5 (10) [accounts, orders, items]
SELECT * FROM accounts a CROSS JOIN orders o WHERE a.tenant_id = 5 AND o.tenant_id = a.tenant_id
   => read one 5 (10) [accounts, orders]
SELECT * FROM (accounts a JOIN orders o ON o.tenant_id = a.tenant_id) WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM (accounts a JOIN orders o ON o.tenant_id = a.tenant_id) j WHERE j.name = 'x'
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a JOIN orders o USING (tenant_id) AS u WHERE u.tenant_id = 5
   => read all shards [accounts, orders]
SELECT * FROM orders o1, orders o2 WHERE o1.tenant_id = 5 AND o2.tenant_id = o1.tenant_id AND o2.id > o1.id
   => read one 5 (11) [orders, orders]
SELECT * FROM orders, orders o2 WHERE orders.tenant_id = 5 AND o2.tenant_id = 5
   => read shard of 5 (11), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, orders]
SELECT count(*) FROM accounts a JOIN orders o USING (tenant_id) WHERE a.tenant_id IN (5, 6)
   => read shard of 5 (10), 6 (10) or refused: aggregates need one place to be finished [accounts, orders]
SELECT o.id FROM accounts a JOIN orders o USING (tenant_id) WHERE a.tenant_id IN (5, 6)
   => read each of 5 (10), 6 (10) [accounts, orders]
SELECT o.id FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id + 0 WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT o.id FROM accounts a JOIN orders o ON o.tenant_id >= a.tenant_id WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id OR o.id = 1 WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
-- All shards: joined on the key, or with tables that are everywhere.
SELECT o.id FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id
   => read all shards [accounts, orders]
SELECT o.id FROM accounts a JOIN orders o USING (tenant_id) WHERE o.total > 5
   => read all shards [accounts, orders]
SELECT o.id FROM accounts a NATURAL JOIN orders o
   => read all shards [accounts, orders]
SELECT o.id FROM accounts a JOIN orders o ON o.account_id = a.id
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT o.id FROM accounts a, orders o
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT o.id, c.name FROM orders o JOIN countries c ON c.code = o.note
   => read all shards [orders, countries]
SELECT o.id, c.name FROM countries c JOIN orders o ON c.code = o.note
   => read all shards [countries, orders]
SELECT o.id, c.name FROM orders o LEFT JOIN countries c ON c.code = o.note
   => read all shards [orders, countries]
SELECT o.id, c.name FROM countries c LEFT JOIN orders o ON c.code = o.note
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [countries, orders]
SELECT o.id, c.name FROM orders o RIGHT JOIN countries c ON c.code = o.note
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [countries, orders]
SELECT o.id, c.name FROM countries c RIGHT JOIN orders o ON c.code = o.note
   => read all shards [orders, countries]
SELECT o.id, c.name FROM orders o FULL JOIN countries c ON c.code = o.note
   => read refused 0A000: rows of "orders" on several shards: FULL JOIN [orders, countries]
SELECT t.name, o.id FROM tenants t JOIN orders o ON o.tenant_id = t.id
   => read all shards [tenants, orders]
SELECT t.name, o.id FROM tenants t JOIN orders o ON o.tenant_id = t.id WHERE t.id = 5
   => read one 5 (11) [tenants, orders]
SELECT t.name, o.id, a.name FROM tenants t JOIN orders o ON o.tenant_id = t.id JOIN accounts a ON a.tenant_id = t.id WHERE t.id = 5
   => read one 5 (11) [tenants, orders, accounts]
SELECT t.name, o.id, a.name FROM tenants t JOIN orders o ON o.tenant_id = t.id JOIN accounts a ON a.tenant_id = t.id
   => read all shards [tenants, orders, accounts]
SELECT t.name, o.id FROM tenants t JOIN orders o ON o.tenant_id = t.id WHERE t.name = 'x'
   => read all shards [tenants, orders]
SELECT l.v, o.id FROM legacy l JOIN orders o ON o.tenant_id = l.id
   => read refused 0A000: rows of "legacy" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [legacy, orders]
SELECT l.v, o.id FROM legacy l JOIN orders o ON o.tenant_id = l.id WHERE l.id = 5
   => read shard of 5 (22), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [legacy, orders]
SELECT g.label, s.data FROM tags g JOIN sessions s ON s.data = g.slug WHERE g.slug = 'x'
   => read refused 0A000: rows of "sessions" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [tags, sessions]
-- Outer joins: a condition in ON binds the side that may be missing, in WHERE both.
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id AND a.tenant_id = 5
   => read all shards [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id AND o.tenant_id = 5
   => read all shards [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = 5 WHERE a.tenant_id = 5
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = 6 WHERE a.tenant_id = 5
   => read shard of 5 (10), 6 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.account_id = a.id WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.total = 5 AND a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.tenant_id IS NULL AND a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.tenant_id IS NULL
   => read all shards [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE o.tenant_id IS NOT DISTINCT FROM 5
   => read all shards [accounts, orders]
SELECT * FROM accounts a LEFT JOIN orders o ON o.tenant_id IS NOT DISTINCT FROM 5 AND a.tenant_id = 5
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM orders o RIGHT JOIN accounts a ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM orders o RIGHT JOIN accounts a ON o.tenant_id = a.tenant_id WHERE o.tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM orders o RIGHT JOIN accounts a ON o.tenant_id = a.tenant_id AND o.tenant_id = 5
   => read all shards [accounts, orders]
SELECT * FROM orders o RIGHT JOIN accounts a ON o.tenant_id = a.tenant_id AND a.tenant_id = 5
   => read all shards [accounts, orders]
SELECT * FROM orders o FULL JOIN accounts a ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: FULL JOIN [orders, accounts]
SELECT * FROM orders o FULL JOIN accounts a ON o.tenant_id = a.tenant_id AND a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: FULL JOIN [orders, accounts]
SELECT * FROM orders o FULL JOIN accounts a ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5 AND o.tenant_id = 5
   => read shard of 5 (11), 5 (10) or refused: FULL JOIN [orders, accounts]
SELECT * FROM orders o FULL JOIN accounts a USING (tenant_id) WHERE tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: FULL JOIN [orders, accounts]
SELECT * FROM accounts a LEFT JOIN orders o USING (tenant_id) WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM orders o RIGHT JOIN accounts a USING (tenant_id) WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM countries c LEFT JOIN accounts a ON a.tenant_id = 5
   => read one 5 (10) [countries, accounts]
SELECT * FROM countries c LEFT JOIN accounts a ON a.tenant_id = 5 AND a.name = c.name WHERE c.code = 'DE'
   => read one 5 (10) [countries, accounts]
SELECT * FROM tenants t LEFT JOIN accounts a ON a.tenant_id = t.id WHERE t.id = 5
   => read one 5 (10) [tenants, accounts]
SELECT * FROM tenants t LEFT JOIN accounts a ON a.tenant_id = t.id
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [tenants, accounts]
SELECT a.id, o.id FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id AND o.account_id = a.id
   => read all shards [accounts, orders]
SELECT a.id, o.id FROM accounts a LEFT JOIN orders o ON o.account_id = a.id
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT a.id, o.id, i.sku FROM accounts a LEFT JOIN (orders o JOIN items i ON i.tenant_id = o.tenant_id) ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders, items]
SELECT a.id, o.id, i.sku FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id LEFT JOIN items i ON i.tenant_id = o.tenant_id WHERE a.tenant_id = 5
   => read one 5 (10) [accounts, orders, items]
SELECT a.id, o.id, i.sku FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id JOIN items i ON i.tenant_id = o.tenant_id WHERE i.tenant_id = 5
   => read all shards [accounts, orders, items]
SELECT a.id FROM accounts a LEFT JOIN orders o ON o.tenant_id = 5 JOIN items i ON i.tenant_id = o.tenant_id WHERE a.tenant_id = 5
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders, items]
-- Names.
SELECT * FROM accounts a JOIN orders o ON o.tenant_id = a.tenant_id WHERE tenant_id = 5
   => read one 5 (10) [accounts, orders]
SELECT * FROM countries c JOIN orders o ON o.note = c.code WHERE tenant_id = 5
   => read one 5 (11) [countries, orders]
SELECT * FROM mystery_omni m JOIN orders o ON o.note = m.x WHERE tenant_id = 5
   => read one 5 (11) [mystery_omni, orders]
SELECT * FROM orders AS o (a, b, c) WHERE o.a = 5
   => read all shards [orders]
SELECT * FROM orders AS o (a, tenant_id, c) WHERE o.tenant_id = 5
   => read all shards [orders]
SELECT * FROM orders AS o (a, tenant_id, c) WHERE tenant_id = 5
   => read all shards [orders]
SELECT * FROM (accounts a JOIN countries c ON c.code = a.name) AS j (x, tenant_id) WHERE j.tenant_id = 5
   => read all shards [accounts, countries]
SELECT * FROM (accounts a JOIN countries c ON c.code = a.name) AS j (x, tenant_id) WHERE tenant_id = 5
   => read all shards [accounts, countries]
SELECT * FROM orders o, LATERAL (SELECT * FROM items i WHERE i.tenant_id = o.tenant_id) x WHERE o.tenant_id = 5
   => read one 5 (11) [orders, items]
SELECT * FROM orders o CROSS JOIN LATERAL (SELECT i.sku FROM items i WHERE i.tenant_id = o.tenant_id ORDER BY i.qty LIMIT 3) x WHERE o.tenant_id = 5
   => read one 5 (11) [orders, items]
SELECT o.id, x.sku FROM orders o CROSS JOIN LATERAL (SELECT i.sku FROM items i WHERE i.tenant_id = o.tenant_id ORDER BY i.qty LIMIT 3) x
   => read all shards [orders, items]
SELECT o.id, x.sku FROM orders o CROSS JOIN LATERAL (SELECT i.sku FROM items i WHERE i.order_id = o.id) x
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, items]
SELECT o.id FROM orders o LEFT JOIN LATERAL (SELECT * FROM items i WHERE i.tenant_id = o.tenant_id LIMIT 1) x ON true WHERE o.tenant_id = 5
   => read one 5 (11) [orders, items]
SELECT * FROM orders o, generate_series(1, 3) n WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders o, generate_series(1, 3) n WHERE o.tenant_id = n
   => read all shards [orders]
SELECT * FROM orders o JOIN (VALUES (5), (6)) v(t) ON v.t = o.tenant_id
   => read all shards [orders]
SELECT * FROM XMLTABLE('/r' PASSING '<r/>' COLUMNS a int) x, orders o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a int PATH '$')) x, orders o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
-- Names that are somebody else's: of a join, of what USING made one.
SELECT * FROM mystery_omni m LEFT JOIN (SELECT tenant_id FROM orders WHERE tenant_id = 5) o USING (tenant_id) JOIN accounts a USING (tenant_id)
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [mystery_omni, accounts, orders]
SELECT * FROM mystery_omni m LEFT JOIN (SELECT tenant_id FROM orders WHERE tenant_id = 5) o USING (tenant_id) WHERE EXISTS (SELECT 1 FROM users u WHERE u.id = tenant_id)
   => read refused 0A000: rows of "users" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [mystery_omni, orders, users]
SELECT * FROM mystery_omni m JOIN orders o USING (tenant_id) WHERE o.tenant_id = 5
   => read one 5 (11) [mystery_omni, orders]
SELECT * FROM accounts j WHERE j.tenant_id = 5 AND EXISTS (SELECT 1 FROM (countries c JOIN tenants t ON true) j, orders o WHERE o.tenant_id = j.tenant_id)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, countries, tenants, orders]
SELECT * FROM accounts u WHERE u.tenant_id = 5 AND EXISTS (SELECT 1 FROM tenants t JOIN counters c USING (id) AS u, orders o WHERE o.tenant_id = u.tenant_id)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, tenants, counters, orders]
