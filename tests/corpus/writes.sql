-- INSERT.
INSERT INTO orders (tenant_id, id) VALUES (5, 1)
   => write one 5 (11) [write orders]
INSERT INTO orders (id, tenant_id) VALUES (1, 5)
   => write one 5 (11) [write orders]
INSERT INTO orders VALUES (5, 1)
   => write one 5 (11) [write orders]
INSERT INTO orders VALUES ($1, $2, $3)
   => write one $1 (11) [write orders]
INSERT INTO orders (tenant_id) VALUES (-5)
   => write one -5 (11) [write orders]
INSERT INTO orders (tenant_id) VALUES ('5')
   => write one '5' (11) [write orders]
INSERT INTO orders (tenant_id) VALUES (5.4)
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES (5000000000)
   => write one 5000000000 (11) [write orders]
INSERT INTO orders (tenant_id) VALUES (NULL)
   => write one NULL (11) [write orders]
INSERT INTO orders (tenant_id) VALUES (DEFAULT)
   => write one NULL (11) [write orders]
INSERT INTO orders (tenant_id) VALUES ($1::bigint)
   => write one $1 (11) [write orders]
INSERT INTO orders (tenant_id) VALUES ($1::text)
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES (2 + 3)
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES (abs(-5))
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES (nextval('s'))
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES ((SELECT 5))
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id) VALUES ((SELECT id FROM tenants WHERE name = 'x'))
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, tenants]
INSERT INTO orders (tenant_id, total) VALUES (5, (SELECT sum(qty) FROM items WHERE tenant_id = 5))
   => write shard of 5 (11), 5 (12) or refused: the rows and what they are made of are on several shards [write orders, items]
INSERT INTO orders (tenant_id, total) VALUES (5, (SELECT sum(qty) FROM items WHERE tenant_id = 6))
   => write shard of 5 (11), 6 (12) or refused: the rows and what they are made of are on several shards [write orders, items]
INSERT INTO orders (tenant_id, total) VALUES (5, (SELECT sum(qty) FROM items))
   => write refused 0A000: rows of "items" on several shards: the rows and what they are made of are on several shards [write orders, items]
INSERT INTO orders (tenant_id, total) VALUES (5, (SELECT n FROM counters WHERE id = 1))
   => write one 5 (11) [write orders, counters]
INSERT INTO orders (tenant_id, id) VALUES (5, nextval('s'))
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, note) VALUES (5, my_function())
   => write refused 0A000: the function "my_function" may read or write rows of any shard [write orders]
INSERT INTO orders (id) VALUES (1)
   => write one NULL (11) [write orders]
INSERT INTO orders DEFAULT VALUES
   => write one NULL (11) [write orders]
INSERT INTO nullable (v) VALUES ('x')
   => write one NULL (13) [write nullable]
INSERT INTO nullable DEFAULT VALUES
   => write one NULL (13) [write nullable]
INSERT INTO nullable (k, v) VALUES (DEFAULT, 'x'), (5, 'y')
   => write rows NULL (13), 5 (13) [write nullable]
INSERT INTO serial_key (v) VALUES ('x')
   => write refused 0A000: rows of "serial_key" need a value for their sharding key "id" [write serial_key]
INSERT INTO serial_key (id, v) VALUES (DEFAULT, 'x')
   => write refused 0A000: rows of "serial_key" need a value for their sharding key "id" [write serial_key]
INSERT INTO serial_key (id, v) VALUES (5, 'x')
   => write one 5 (14) [write serial_key]
INSERT INTO serial_key DEFAULT VALUES
   => write refused 0A000: rows of "serial_key" need a value for their sharding key "id" [write serial_key]
INSERT INTO mystery (id) VALUES (5)
   => write one 5 (30) [write mystery]
INSERT INTO mystery VALUES (5)
   => write refused 0A000: the columns of "mystery" are not known [write mystery]
INSERT INTO mystery (x) VALUES (5)
   => write refused 0A000: rows of "mystery" need a value for their sharding key "id" [write mystery]
INSERT INTO "Quoted" ("Tenant") VALUES (5)
   => write one 5 (15) [write Quoted]
INSERT INTO "Quoted" (tenant) VALUES (5)
   => write one NULL (15) [write Quoted]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (6, 2), (7, 3)
   => write rows 5 (11), 6 (11), 7 (11) [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (5, 2)
   => write rows 5 (11), 5 (11) [write orders]
INSERT INTO orders (tenant_id, id) VALUES ($1, $2), ($3, $4) RETURNING id
   => write rows $1 (11), $3 (11) [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (abs(6), 2)
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (6, (SELECT max(id) FROM orders WHERE tenant_id = 6))
   => write shard of 5 (11), 6 (11), 6 (11) or refused: the rows and what they are made of are on several shards [write orders, orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (6, (SELECT n FROM counters))
   => write rows 5 (11), 6 (11) [write orders, counters]
INSERT INTO orders VALUES (5), (6, 1)
   => write rows 5 (11), 6 (11) [write orders]
INSERT INTO orders AS o (tenant_id, id) VALUES (5, 1) RETURNING o.*
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id) OVERRIDING SYSTEM VALUE VALUES (5, 1)
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1) ORDER BY 1
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id, id) VALUES (5, 1), (6, 2) LIMIT 1
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO tags (slug) VALUES ('news')
   => write one 'news' (21) [write tags]
INSERT INTO tags (slug) VALUES (5)
   => write refused 0A000: what is inserted for the sharding key "slug" is no literal or parameter of its type [write tags]
INSERT INTO tags (slug) VALUES ($1), ($2)
   => write rows $1 (21), $2 (21) [write tags]
INSERT INTO tags (slug) VALUES ('a''b'), (E'c\x64')
   => write rows 'a''b' (21), constant cd (21) (not kept) [write tags]
INSERT INTO sessions (id, data) VALUES ('6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11', 'x')
   => write one '6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11' (20) [write sessions]
INSERT INTO sessions (id, data) VALUES (gen_random_uuid(), 'x')
   => write refused 0A000: what is inserted for the sharding key "id" is no literal or parameter of its type [write sessions]
INSERT INTO sessions VALUES ($1, $2, $3)
   => write one $1 (20) [write sessions]
-- ON CONFLICT.
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT DO NOTHING
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET total = excluded.total
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = excluded.tenant_id, total = excluded.total
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = 6
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET tenant_id = excluded.id
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT ON CONSTRAINT orders_pkey DO UPDATE SET total = orders.total + 1 WHERE orders.total < 5
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2), (6, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET total = excluded.total RETURNING *
   => write rows 5 (11), 6 (11) [write orders]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET total = (SELECT count(*) FROM items)
   => write refused 0A000: rows of "items" on several shards: the rows and what they are made of are on several shards [write orders, items]
INSERT INTO orders (tenant_id, id, total) VALUES (5, 1, 2) ON CONFLICT (tenant_id, id) DO UPDATE SET total = (SELECT count(*) FROM items WHERE items.tenant_id = 5)
   => write shard of 5 (11), 5 (12) or refused: the rows and what they are made of are on several shards [write orders, items]
-- INSERT ... SELECT.
INSERT INTO orders (tenant_id, id) SELECT 5, id FROM counters
   => write one 5 (11) [write orders, counters]
INSERT INTO orders (tenant_id, id) SELECT tenant_id, id FROM accounts WHERE tenant_id = 5
   => write one 5 (11) [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT tenant_id, id FROM accounts
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT 5, id FROM accounts WHERE tenant_id = 5
   => write shard of 5 (11), 5 (10) or refused: the rows and what they are made of are on several shards [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT 5, id FROM accounts WHERE tenant_id = 6
   => write shard of 5 (11), 6 (10) or refused: the rows and what they are made of are on several shards [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT 5, id FROM accounts
   => write refused 0A000: rows of "accounts" on several shards: the rows and what they are made of are on several shards [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT id, id FROM accounts WHERE tenant_id = 5
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, accounts]
INSERT INTO orders SELECT * FROM orders WHERE tenant_id = 5
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, orders]
INSERT INTO orders (tenant_id, id) SELECT a.tenant_id, a.id FROM accounts a WHERE a.tenant_id = $1
   => write one $1 (11) [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT o.tenant_id, a.id FROM accounts a LEFT JOIN orders o ON o.tenant_id = a.tenant_id WHERE a.tenant_id = 5
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, accounts, orders]
INSERT INTO orders (tenant_id, id) SELECT tenant_id, max(id) FROM accounts WHERE tenant_id = 5 GROUP BY tenant_id
   => write one 5 (11) [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT tenant_id, max(id) FROM accounts WHERE tenant_id = 5 GROUP BY ROLLUP (tenant_id)
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT x.tenant_id, x.id FROM (SELECT * FROM accounts WHERE tenant_id = 5) x
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT tenant_id, id FROM accounts WHERE tenant_id IN (5, 6)
   => write shard of 5 (11), 6 (11) or refused: the rows and what they are made of are on several shards [write orders, accounts]
INSERT INTO orders (tenant_id, id) SELECT 5, 1 UNION ALL SELECT 6, 2
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
INSERT INTO orders (tenant_id, id) SELECT id, 1 FROM tenants WHERE id = 5
   => write one 5 (11) [write orders, tenants]
INSERT INTO orders (tenant_id, id) SELECT id, 1 FROM tenants
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, tenants]
INSERT INTO orders (id) SELECT 5
   => write one NULL (11) [write orders]
INSERT INTO nullable (v) SELECT 'x'
   => write one NULL (13) [write nullable]
INSERT INTO orders (tenant_id, id) SELECT $1, unnest($2::int[])
   => write one $1 (11) [write orders]
INSERT INTO orders (tenant_id, id) WITH a AS (SELECT 1 AS id) SELECT 5, id FROM a
   => write one 5 (11) [write orders]
WITH a AS (SELECT 1 AS id) INSERT INTO orders (tenant_id, id) SELECT 5, id FROM a
   => write one 5 (11) [write orders]
INSERT INTO countries SELECT note, note FROM orders WHERE tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [write countries, orders]
INSERT INTO orders TABLE orders
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders, orders]
-- UPDATE.
UPDATE orders SET total = 5 WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET total = total + 1 WHERE tenant_id = $1 AND id = $2 RETURNING *
   => write one $1 (11) [write orders]
UPDATE orders SET total = 5
   => write all shards [write orders]
UPDATE orders SET total = 5 WHERE id = 1
   => write all shards [write orders]
UPDATE orders SET total = 5 WHERE tenant_id IN (5, 6)
   => write each of 5 (11), 6 (11) [write orders]
UPDATE orders SET total = 5 WHERE id = 1 RETURNING id
   => write all shards [write orders]
UPDATE orders o SET total = 5 WHERE o.tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE ONLY orders SET total = 5 WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET tenant_id = 6 WHERE tenant_id = 5
   => write shard of 6 (11), 5 (11) or refused: UPDATE would move the row to another shard [write orders]
UPDATE orders SET tenant_id = 5, total = 1 WHERE tenant_id = 5
   => write shard of 5 (11), 5 (11) or refused: UPDATE would move the row to another shard [write orders]
UPDATE orders SET tenant_id = $1, total = $2 WHERE tenant_id = $3
   => write shard of $1 (11), $3 (11) or refused: UPDATE would move the row to another shard [write orders]
UPDATE orders SET tenant_id = $1 WHERE tenant_id = $1 AND id = 3
   => write one $1 (11) [write orders]
UPDATE orders SET tenant_id = tenant_id WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET tenant_id = orders.tenant_id WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET tenant_id = id WHERE tenant_id = 5
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET tenant_id = tenant_id + 1 WHERE tenant_id = 5
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET tenant_id = DEFAULT WHERE tenant_id = 5
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET tenant_id = 6
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET tenant_id = 5.4 WHERE tenant_id = 5
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET (tenant_id, total) = (6, 7) WHERE tenant_id = 5
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE orders SET (total, note) = (6, 'x') WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET (total, note) = (SELECT 1, 'x' FROM items WHERE items.tenant_id = 5) WHERE tenant_id = 5
   => write shard of 5 (11), 5 (12) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, items, items]
UPDATE orders SET (total, note) = (SELECT 1, 'x' FROM items) WHERE tenant_id = 5
   => write refused 0A000: rows of "items" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, items, items]
UPDATE orders SET note = (SELECT name FROM accounts a WHERE a.tenant_id = orders.tenant_id AND a.id = orders.account_id) WHERE tenant_id = 5
   => write one 5 (11) [write orders, accounts]
UPDATE orders SET note = (SELECT name FROM accounts a WHERE a.tenant_id = orders.tenant_id AND a.id = orders.account_id)
   => write all shards [write orders, accounts]
UPDATE orders SET note = (SELECT name FROM accounts a WHERE a.id = orders.account_id)
   => write refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, accounts]
UPDATE orders SET note = a.name FROM accounts a WHERE a.tenant_id = orders.tenant_id AND orders.tenant_id = 5
   => write one 5 (11) [write orders, accounts]
UPDATE orders SET note = a.name FROM accounts a WHERE a.tenant_id = orders.tenant_id
   => write all shards [write orders, accounts]
UPDATE orders SET note = a.name FROM accounts a WHERE a.id = orders.account_id
   => write refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, accounts]
UPDATE orders SET note = a.name FROM accounts a WHERE orders.tenant_id = 5 AND a.tenant_id = 6
   => write shard of 5 (11), 6 (10) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, accounts]
UPDATE orders SET note = c.name FROM countries c WHERE c.code = note AND tenant_id = 5
   => write one 5 (11) [write orders, countries]
UPDATE orders SET note = c.name FROM countries c WHERE c.code = note
   => write all shards [write orders, countries]
UPDATE orders SET total = 5 WHERE ctid = '(0,1)'
   => write refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [write orders]
UPDATE orders SET total = 5 WHERE ctid = '(0,1)' AND tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET total = 5 WHERE CURRENT OF c
   => write where the cursor is [write orders]
UPDATE orders SET note = c.name FROM countries c WHERE CURRENT OF c
   => write refused 0A000: WHERE CURRENT OF beside other tables or queries [write orders, countries]
UPDATE orders SET tenant_id = 5 WHERE CURRENT OF c
   => write refused 0A000: the sharding key "tenant_id" cannot be set: the row might belong to another shard [write orders]
UPDATE countries SET name = 'x' WHERE CURRENT OF c
   => write refused 0A000: WHERE CURRENT OF would change a table that is on every shard on the cursor's shard alone [write countries]
DELETE FROM orders WHERE CURRENT OF c RETURNING *
   => write where the cursor is [write orders]
EXPLAIN DELETE FROM orders WHERE CURRENT OF c
   => write refused 0A000: WHERE CURRENT OF beside other tables or queries [write orders]
WITH gone AS (DELETE FROM orders WHERE CURRENT OF c RETURNING *) SELECT * FROM gone
   => write refused 0A000: WHERE CURRENT OF beside other tables or queries [write orders]
UPDATE orders SET total = 5 WHERE tenant_id = 5 AND total IN (SELECT current FROM of)
   => write refused 0A000: where the rows of "of" are is not known: it was made since the schema was read, or is no table or view [write orders, of]
UPDATE orders SET total = nextval('s') WHERE tenant_id = 5
   => write one 5 (11) [write orders]
UPDATE orders SET total = nextval('s')
   => write refused 0A000: rows of "orders" on several shards: the statement calls a function that acts on the one shard it runs on [write orders]
UPDATE orders SET note = now()::text
   => write all shards [write orders]
-- DELETE.
DELETE FROM orders WHERE tenant_id = 5
   => write one 5 (11) [write orders]
DELETE FROM orders WHERE tenant_id = $1 AND id = ANY($2)
   => write one $1 (11) [write orders]
DELETE FROM orders
   => write all shards [write orders]
DELETE FROM orders WHERE id = 5 RETURNING *
   => write all shards [write orders]
DELETE FROM orders o USING items i WHERE i.tenant_id = o.tenant_id AND o.tenant_id = 5
   => write one 5 (11) [write orders, items]
DELETE FROM orders o USING items i WHERE i.tenant_id = o.tenant_id AND i.sku = 'x'
   => write all shards [write orders, items]
DELETE FROM orders o USING items i WHERE i.order_id = o.id
   => write refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, items]
DELETE FROM orders WHERE tenant_id = 5 AND id IN (SELECT order_id FROM items WHERE tenant_id = 5)
   => write shard of 5 (11), 5 (12) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, items]
DELETE FROM orders WHERE tenant_id = 5 AND id IN (SELECT order_id FROM items)
   => write refused 0A000: rows of "items" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [write orders, items]
DELETE FROM orders WHERE id IN (SELECT order_id FROM items WHERE items.tenant_id = orders.tenant_id)
   => write all shards [write orders, items]
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE tenant_id = 5 LIMIT 10)
   => write refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [write orders, orders]
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders LIMIT 10)
   => write refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [write orders, orders]
DELETE FROM orders WHERE ctid IN (SELECT ctid FROM orders WHERE tenant_id = 5 LIMIT 10) AND tenant_id = 5
   => write shard of 5 (11), 5 (11) or refused: ctid and the like mean another row on each shard [write orders, orders]
DELETE FROM countries USING orders WHERE orders.note = countries.code AND orders.tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [write countries, orders]
-- MERGE.
MERGE INTO orders o USING items i ON o.tenant_id = i.tenant_id AND o.tenant_id = 5 WHEN MATCHED THEN UPDATE SET total = 1 WHEN NOT MATCHED THEN INSERT (tenant_id) VALUES (5)
   => write refused 0A000: MERGE into a sharded table [write orders, items]
MERGE INTO countries c USING (VALUES ('DE', 'x')) v(code, name) ON v.code = c.code WHEN MATCHED THEN UPDATE SET name = v.name WHEN NOT MATCHED THEN INSERT VALUES (v.code, v.name)
   => write all alike [write countries]
MERGE INTO countries c USING orders o ON o.note = c.code WHEN MATCHED THEN DELETE
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [write countries, orders]
MERGE INTO countries c USING tenants t ON t.name = c.name WHEN MATCHED AND random() > 0.5 THEN DELETE
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, tenants]
-- Tables that are everywhere.
INSERT INTO countries VALUES ('DE', 'Germany')
   => write all alike [write countries]
INSERT INTO countries (code, name) VALUES ($1, $2), ($3, $4) RETURNING *
   => write all alike [write countries]
INSERT INTO countries (code, name) VALUES ('DE', 'now')
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries SELECT code || 'x', name FROM countries
   => write all alike [write countries, countries]
INSERT INTO countries SELECT code, name FROM countries LIMIT 5
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries VALUES ('x', random()::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', now()::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', CURRENT_TIMESTAMP::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', CURRENT_USER)
   => write all alike [write countries]
INSERT INTO countries VALUES ('x', clock_timestamp()::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', gen_random_uuid()::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', nextval('s')::text)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
INSERT INTO countries VALUES ('x', upper('y'))
   => write all alike [write countries]
INSERT INTO countries VALUES ('x', twice(5)::text)
   => write all alike [write countries]
INSERT INTO countries VALUES ('x', my_function())
   => write refused 0A000: the function "my_function" may read or write rows of any shard [write countries]
INSERT INTO countries VALUES ('x', (SELECT relname FROM pg_class LIMIT 1))
   => write refused 0A000: what is written to every shard must not depend on a shard's own catalogs and row numbers [write countries, pg_class]
INSERT INTO counters (n) VALUES (5)
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value [write counters]
INSERT INTO counters (id, n) VALUES (1, 5)
   => write all alike [write counters]
INSERT INTO counters VALUES (1, 5)
   => write all alike [write counters]
INSERT INTO counters DEFAULT VALUES
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value [write counters]
INSERT INTO settings (key, value) VALUES ('a', 'b')
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
INSERT INTO settings (key, value, updated_at) VALUES ('a', 'b', '2024-01-01')
   => write all alike [write settings]
INSERT INTO mystery_omni VALUES (5)
   => write refused 0A000: "mystery_omni" is on every shard, and a default of its columns would give each another value [write mystery_omni]
UPDATE countries SET name = 'x' WHERE code = 'DE'
   => write all alike [write countries]
UPDATE countries SET name = 'x' WHERE random() > 0.5
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries]
UPDATE settings SET updated_at = now()
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write settings]
UPDATE settings SET updated_at = $1
   => write all alike [write settings]
UPDATE counters SET n = n + 1 WHERE id = 1 RETURNING n
   => write all alike [write counters]
UPDATE countries SET name = o.note FROM orders o WHERE o.tenant_id = 5
   => write refused 0A000: rows of the sharded table "orders" cannot be written to a table that is on every shard [write countries, orders]
UPDATE countries SET name = 'x' WHERE ctid = '(0,1)'
   => write refused 0A000: what is written to every shard must not depend on a shard's own catalogs and row numbers [write countries]
DELETE FROM countries WHERE code = 'DE'
   => write all alike [write countries]
DELETE FROM countries
   => write all alike [write countries]
DELETE FROM countries WHERE code IN (SELECT code FROM countries ORDER BY name LIMIT 1)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO pg_class (relname) VALUES ('x')
   => write refused 0A000: "pg_class" is a catalog of each shard's own [write pg_class]
INSERT INTO nowhere VALUES (5)
   => write refused 0A000: where the rows of "nowhere" are is not known: it was made since the schema was read, or is no table or view [write nowhere]
INSERT INTO active_accounts VALUES (5)
   => write one 5 (10) [write active_accounts]
UPDATE active_accounts SET name = 'x'
   => write all shards [write active_accounts]
INSERT INTO counters VALUES (DEFAULT, 5)
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value [write counters]
INSERT INTO counters (id, n) VALUES (1, 5), (DEFAULT, 6)
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value [write counters]
INSERT INTO counters (n, id) VALUES (5, DEFAULT)
   => write refused 0A000: "counters" is on every shard, and a default of its columns would give each another value [write counters]
INSERT INTO counters (n, id) VALUES (DEFAULT, 5)
   => write all alike [write counters]
INSERT INTO settings VALUES ('a', 'b')
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
INSERT INTO settings VALUES ('a', 'b', '2024-01-01')
   => write all alike [write settings]
INSERT INTO settings VALUES ('a', 'b', '2024-01-01'), ('c', 'd', DEFAULT)
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
INSERT INTO settings SELECT 'a', name FROM countries
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings, countries]
INSERT INTO settings SELECT 'a', name, '2024-01-01' FROM countries
   => write all alike [write settings, countries]
INSERT INTO settings SELECT * FROM settings
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings, settings]
INSERT INTO settings (key, value, updated_at) SELECT * FROM settings
   => write all alike [write settings, settings]
INSERT INTO settings (key, value, updated_at) VALUES ('a', 'b', '2024-01-01') ON CONFLICT (key) DO UPDATE SET updated_at = DEFAULT
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
INSERT INTO settings (key, value, updated_at) VALUES ('a', 'b', '2024-01-01') ON CONFLICT (key) DO UPDATE SET value = DEFAULT
   => write all alike [write settings]
UPDATE settings SET updated_at = DEFAULT
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
UPDATE settings SET value = DEFAULT
   => write all alike [write settings]
UPDATE settings SET (value, updated_at) = ('x', DEFAULT)
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings]
MERGE INTO settings s USING countries c ON s.key = c.code WHEN NOT MATCHED THEN INSERT (key) VALUES (c.code)
   => write refused 0A000: "settings" is on every shard, and a default of its columns would give each another value [write settings, countries]
MERGE INTO countries s USING countries c ON s.code = c.code WHEN MATCHED THEN DELETE
   => write all alike [write countries, countries]

-- What is written to every shard must not depend on the order in which rows come.
INSERT INTO countries (code, name) SELECT code, row_number() OVER () FROM countries
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT code, rank() OVER w FROM countries WINDOW w AS (ORDER BY name)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT DISTINCT ON (name) code, name FROM countries
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT 'all', string_agg(name, ',') FROM countries
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT 'all', string_agg(name, ',' ORDER BY name) FROM countries
   => write all alike [write countries, countries]
INSERT INTO countries (code, name) SELECT 'all', array_agg(name) FROM countries
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT 'all', json_arrayagg(name) FROM countries
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, countries]
INSERT INTO countries (code, name) SELECT 'all', count(*) FROM countries
   => write all alike [write countries, countries]
INSERT INTO countries (code, name) SELECT max(code), min(name) FROM countries
   => write all alike [write countries, countries]
UPDATE countries SET name = (SELECT any_value(t.name) FROM tenants t)
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, tenants]
