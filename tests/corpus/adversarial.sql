-- Wrong texts.
SELEC 1
   => read refused 42601: syntax error at or near "SELEC" (not kept)
SELECT * FROM
   => read refused 42601: syntax error at end of input (not kept)
SELECT 'no end
   => read refused 42601: unterminated quoted string at or near "'no end" (not kept)
SELECT "no end
   => read refused 42601: unterminated quoted identifier at or near ""no end" (not kept)
SELECT 1 /* no end
   => read refused 42601: unterminated /* comment at or near "/* no end" (not kept)
SELECT $$ no end
   => read refused 42601: unterminated dollar-quoted string at or near "$$ no end" (not kept)
SELECT * FROM orders WHERE tenant_id = 5 AND
   => read refused 42601: syntax error at end of input (not kept)
SELECT 1)
   => read refused 42601: syntax error at or near ")" (not kept)
SELECT ((1)
   => read refused 42601: syntax error at end of input (not kept)
INSERT INTO orders VALUES
   => read refused 42601: syntax error at end of input (not kept)
\
   => read refused 42601: syntax error at or near "\" (not kept)
?
   => read refused 42601: syntax error at or near "?" (not kept)
$1
   => read refused 42601: syntax error at or near "$1" (not kept)
SELECT $0
   => read any
SELECT $99999999999999
   => read refused 42601: parameter number too large at or near "$99999999999999" (not kept)
SELECT 1 FROM orders WHERE tenant_id = $0
   => read all shards [orders]
SELECT "" FROM orders
   => read refused 42601: zero-length delimited identifier at or near """" (not kept)
SELECT U&"d!0061t" UESCAPE '!' FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM U&"order!0073" UESCAPE '!' WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM U&"\006frders" WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT 0x FROM orders
   => read refused 42601: invalid hexadecimal integer at or near "0x" (not kept)
SELECT 1_ FROM orders
   => read refused 42601: trailing junk after numeric literal at or near "1_" (not kept)
SELECT 123abc
   => read refused 42601: trailing junk after numeric literal at or near "123abc" (not kept)
-- Texts that mislead.
SELECT * FROM orders WHERE note = 'tenant_id = 5'
   => read all shards [orders]
SELECT * FROM orders /* WHERE tenant_id = 5 */
   => read all shards [orders]
SELECT * FROM orders -- WHERE tenant_id = 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = /* 6 */ 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 -- OR true
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 --\n OR true
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR true
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR 1 = 1
   => read all shards [orders]
SELECT * FROM orders WHERE note = 'x' AND '5' = 5 AND 5 = 5
   => read all shards [orders]
SELECT * FROM orders "WHERE tenant_id" WHERE id = 5
   => read all shards [orders]
SELECT * FROM orders AS tenant_id WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT tenant_id FROM countries AS orders WHERE tenant_id = 5
   => read any [countries]
SELECT * FROM countries AS orders, orders AS countries WHERE orders.tenant_id = 5
   => read all shards [countries, orders]
SELECT * FROM countries orders JOIN orders o ON orders.code = o.note WHERE orders.tenant_id = 5
   => read all shards [countries, orders]
SELECT 5 AS tenant_id FROM orders WHERE note = 'x' ORDER BY tenant_id
   => read refused 0A000: rows of "orders" on several shards: ORDER BY needs one place to sort the rows [orders]
SELECT id AS tenant_id FROM orders GROUP BY tenant_id
   => read refused 0A000: rows of "orders" on several shards: GROUP BY needs one place to join the groups [orders]
SELECT (orders).tenant_id FROM orders WHERE (orders).tenant_id = 5
   => read all shards [orders]
SELECT * FROM orders WHERE orders = ROW(5, 1, 1, 1, 'x')
   => read all shards [orders]
SELECT * FROM orders WHERE (orders.*) IS NOT NULL AND tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders o WHERE o.tenant_id = 5 AND o.tenant_id[1] = 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id[1] = 5
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id) IN (VALUES (5), (6))
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 COLLATE "C"
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = '5' COLLATE "C"
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = '5x'
   => read one '5x' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ''
   => read one '' (11) [orders]
SELECT * FROM orders WHERE (SELECT tenant_id = 5)
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id = 5) = true
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id = 5) AND NOT (tenant_id = 5)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 IS NOT NULL
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND (tenant_id = 6 OR true)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 HAVING true
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND xmax = 0
   => read one 5 (11) [orders]
SELECT * FROM other.tags WHERE slug = 'x'
   => read refused 0A000: where the rows of "tags" are is not known: it was made since the schema was read, or is no table or view [other.tags]
SELECT * FROM audit.tags WHERE id = 5
   => read shard 1 [audit.tags]
SELECT * FROM db.public.orders WHERE tenant_id = 5
   => read one 5 (11) [public.orders]
SELECT * FROM db.public.orders o WHERE o.tenant_id = 5
   => read one 5 (11) [public.orders]
SELECT * FROM orders WHERE db.public.orders.tenant_id = 5
   => read all shards [orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (SELECT 1 FROM orders a WHERE a.id = 5)
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND EXISTS (SELECT 1 FROM orders a WHERE a.tenant_id = 5)
   => read shard of 5 (10), 5 (11) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE EXISTS (SELECT 1 FROM orders a WHERE a.tenant_id = 5)
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a, (SELECT * FROM orders o WHERE o.tenant_id = a.tenant_id) x WHERE a.tenant_id = 5
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts a WHERE a.tenant_id = 5 AND (SELECT count(*) FROM orders WHERE orders.tenant_id = tenant_id) > 1
   => read refused 0A000: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [accounts, orders]
SELECT * FROM accounts WHERE tenant_id = 5 AND id IN (SELECT id FROM countries)
   => read one 5 (10) [accounts, countries]
DELETE FROM orders WHERE tenant_id = 5 OR tenant_id IS NULL
   => write each of 5 (11), NULL (11) [write orders]
DELETE FROM orders WHERE tenant_id = 5 OR tenant_id = NULL
   => write each of 5 (11), NULL (11) [write orders]
UPDATE orders SET total = 1 WHERE tenant_id = 5 AND tenant_id = 6
   => write one 5 (11) [write orders]
UPDATE orders SET note = 'tenant_id' WHERE 'tenant_id' = 'tenant_id'
   => write all shards [write orders]
INSERT INTO orders (tenant_id, tenant_id) VALUES (5, 6)
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id) VALUES (5), (6, 7)
   => write rows 5 (11), 6 (11) [write orders]
INSERT INTO orders (id, tenant_id) VALUES (1), (2, 6)
   => write rows NULL (11), 6 (11) [write orders]
INSERT INTO orders (tenant_id[1]) VALUES (5)
   => write one 5 (11) [write orders]
INSERT INTO orders (tenant_id.x) VALUES (5)
   => write one 5 (11) [write orders]
WITH t AS (SELECT 1) DELETE FROM t
   => write refused 0A000: where the rows of "t" are is not known: it was made since the schema was read, or is no table or view [write t]
WITH orders AS (SELECT 1) DELETE FROM orders WHERE tenant_id = 5
   => write one 5 (11) [write orders]
WITH orders AS (SELECT 1) INSERT INTO orders (tenant_id) VALUES (5)
   => write one 5 (11) [write orders]
SELECT * FROM orders FOR UPDATE OF nobody
   => write all shards [orders]
SELECT f.* FROM orders o, LATERAL my_function(o.id) f WHERE o.tenant_id = 5
   => write refused 0A000: the function "my_function" may read or write rows of any shard [orders]
SELECT pg_catalog.set_config('pgdog.shard', '1', false)
   => write the first
SELECT * FROM orders WHERE tenant_id = current_setting('app.tenant')::bigint
   => read all shards [orders]
SELECT nextval('s'), * FROM orders WHERE tenant_id = 5
   => write one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (SELECT 5)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY (SELECT unnest(ARRAY[5]))
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY ('{5}'::text[]::bigint[])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY (ARRAY[ARRAY[5]])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND note = U&'\0441\043B\043E\043D'
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE note = 'слон' AND tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE "tenant_id" = 5 AND "слон" = 1
   => read one 5 (11) [orders]
