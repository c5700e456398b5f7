-- One shard does all that it can do.
SELECT count(*) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT count(*), sum(total), avg(total), min(id), max(id) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT account_id, count(*) FROM orders WHERE tenant_id = 5 GROUP BY account_id HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 10
   => read one 5 (11) [orders]
SELECT DISTINCT account_id FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT DISTINCT ON (account_id) * FROM orders WHERE tenant_id = 5 ORDER BY account_id, id DESC
   => read one 5 (11) [orders]
SELECT id, row_number() OVER (PARTITION BY account_id ORDER BY id) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT id, sum(total) OVER w FROM orders WHERE tenant_id = 5 WINDOW w AS (ORDER BY id)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 ORDER BY id LIMIT 10 OFFSET 20
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1 ORDER BY id LIMIT $2 OFFSET $3
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 ORDER BY id FETCH FIRST 5 ROWS WITH TIES
   => read one 5 (11) [orders]
SELECT string_agg(note, ',' ORDER BY id) FILTER (WHERE total > 1) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT account_id, total, grouping(account_id) FROM orders WHERE tenant_id = 5 GROUP BY ROLLUP (account_id, total)
   => read one 5 (11) [orders]
SELECT * FROM orders TABLESAMPLE SYSTEM (10) WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT ctid, xmin, tableoid::regclass, * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT json_agg(o) FROM orders o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT JSON_OBJECTAGG(id: total) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT JSON_ARRAYAGG(id ORDER BY id) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT JSON_OBJECT('a': total) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT my_sum(total) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 FOR UPDATE
   => write one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 FOR UPDATE SKIP LOCKED LIMIT 1
   => write one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 FOR NO KEY UPDATE
   => write one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 FOR SHARE OF orders NOWAIT
   => write one 5 (11) [orders]
SELECT (SELECT 1), ARRAY(SELECT 2), EXISTS (SELECT 3) FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
-- All shards, where a union is all that is needed.
SELECT * FROM orders WHERE total > 100
   => read all shards [orders]
SELECT id, total * 2 AS twice, upper(note) FROM orders
   => read all shards [orders]
SELECT o.*, 1 AS one FROM orders o
   => read all shards [orders]
SELECT now(), random(), gen_random_uuid(), * FROM orders
   => read all shards [orders]
SELECT twice(total) FROM orders
   => read all shards [orders]
SELECT CASE WHEN total > 5 THEN 'much' ELSE 'little' END FROM orders
   => read all shards [orders]
SELECT unnest(ARRAY[1, 2]) FROM orders
   => read all shards [orders]
SELECT generate_series(1, 3), id FROM orders
   => read all shards [orders]
SELECT * FROM orders WHERE total > 100 FOR UPDATE
   => write all shards [orders]
SELECT * FROM users WHERE name = 'x' AND email IS NOT NULL
   => read all shards [users]
-- All shards, where it is not.
SELECT * FROM orders ORDER BY id
   => read refused 0A000: rows of "orders" on several shards: ORDER BY needs one place to sort the rows [orders]
SELECT * FROM orders LIMIT 10
   => read refused 0A000: rows of "orders" on several shards: LIMIT needs one place to count the rows [orders]
SELECT * FROM orders OFFSET 10
   => read refused 0A000: rows of "orders" on several shards: LIMIT needs one place to count the rows [orders]
SELECT * FROM orders FETCH FIRST ROW ONLY
   => read refused 0A000: rows of "orders" on several shards: LIMIT needs one place to count the rows [orders]
SELECT * FROM orders LIMIT ALL
   => read refused 0A000: rows of "orders" on several shards: LIMIT needs one place to count the rows [orders]
SELECT count(*) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT sum(total) FROM orders WHERE note = 'x'
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT max(id) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT my_sum(total) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT pg_catalog.count(*) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT public.count(total) FROM orders
   => write refused 0A000: the function "count" may read or write rows of any shard [orders]
SELECT account_id, count(*) FROM orders GROUP BY account_id
   => read refused 0A000: rows of "orders" on several shards: GROUP BY needs one place to join the groups [orders]
SELECT account_id FROM orders GROUP BY account_id
   => read refused 0A000: rows of "orders" on several shards: GROUP BY needs one place to join the groups [orders]
SELECT tenant_id, count(*) FROM orders GROUP BY tenant_id
   => read refused 0A000: rows of "orders" on several shards: GROUP BY needs one place to join the groups [orders]
SELECT DISTINCT note FROM orders
   => read refused 0A000: rows of "orders" on several shards: DISTINCT needs one place to compare the rows [orders]
SELECT DISTINCT ON (tenant_id) * FROM orders
   => read refused 0A000: rows of "orders" on several shards: DISTINCT needs one place to compare the rows [orders]
SELECT 1 FROM orders HAVING true
   => read refused 0A000: rows of "orders" on several shards: GROUP BY needs one place to join the groups [orders]
SELECT rank() OVER (ORDER BY total) FROM orders
   => read refused 0A000: rows of "orders" on several shards: window functions need one place to see all rows [orders]
SELECT sum(total) OVER () FROM orders
   => read refused 0A000: rows of "orders" on several shards: window functions need one place to see all rows [orders]
SELECT * FROM orders TABLESAMPLE BERNOULLI (10)
   => read refused 0A000: rows of "orders" on several shards: TABLESAMPLE would be taken of each shard [orders]
SELECT ctid FROM orders
   => read refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [orders]
SELECT * FROM orders WHERE ctid = '(0,1)'
   => read refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [orders]
SELECT tableoid FROM orders
   => read refused 0A000: rows of "orders" on several shards: ctid and the like mean another row on each shard [orders]
SELECT JSON_ARRAYAGG(id) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT array_agg(id) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT count(*) FILTER (WHERE total > 5) FROM orders
   => read refused 0A000: rows of "orders" on several shards: aggregates need one place to be finished [orders]
SELECT nextval('s') FROM orders
   => write refused 0A000: rows of "orders" on several shards: the statement calls a function that acts on the one shard it runs on [orders]
SELECT pg_advisory_lock(id) FROM orders
   => write refused 0A000: rows of "orders" on several shards: the statement calls a function that acts on the one shard it runs on [orders]
SELECT relname FROM orders, pg_class
   => read refused 0A000: rows of "orders" on several shards: the catalogs of several shards cannot be joined with their rows [orders, pg_class]
-- Several keys.
SELECT * FROM orders WHERE tenant_id IN (5, 6) ORDER BY id
   => read shard of 5 (11), 6 (11) or refused: ORDER BY needs one place to sort the rows [orders]
SELECT count(*) FROM orders WHERE tenant_id IN (5, 6)
   => read shard of 5 (11), 6 (11) or refused: aggregates need one place to be finished [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 6) LIMIT 1
   => read shard of 5 (11), 6 (11) or refused: LIMIT needs one place to count the rows [orders]
SELECT DISTINCT note FROM orders WHERE tenant_id = ANY($1)
   => read shard of array $1 (11) or refused: DISTINCT needs one place to compare the rows [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1) FOR UPDATE
   => write each of array $1 (11) [orders]
-- No sharded table.
SELECT 1
   => read any
SELECT 1 AS one, 'a' AS a
   => read any
VALUES (1, 'a'), (2, 'b')
   => read any
SELECT now()
   => read any
SELECT version()
   => read any
SELECT current_user, current_database(), current_schema()
   => read any
SELECT $1::int + 1
   => read any
SELECT * FROM generate_series(1, 10)
   => read any
SELECT * FROM countries
   => read any [countries]
SELECT * FROM countries WHERE code = 'DE' ORDER BY name LIMIT 3
   => read any [countries]
SELECT count(*) FROM countries
   => read any [countries]
SELECT c.name, t.name FROM countries c CROSS JOIN tenants t
   => read any [countries, tenants]
SELECT * FROM mystery_omni
   => read any [mystery_omni]
SELECT * FROM countries FOR UPDATE
   => write the first [countries]
SELECT * FROM unnest(ARRAY[1, 2]) AS x(n)
   => read any
SELECT nextval('s')
   => write the first
SELECT setval('s', 5), currval('s'), lastval()
   => write the first
SELECT pg_advisory_lock(5)
   => write the first
SELECT pg_try_advisory_xact_lock(5)
   => write the first
SELECT pg_sleep(1)
   => write the first
SELECT set_config('search_path', 'x', false)
   => write the first
SELECT pg_notify('channel', 'payload')
   => write the first
SELECT pg_backend_pid()
   => read any
SELECT txid_current()
   => write the first
SELECT * FROM pg_class
   => read any, sticky [pg_class]
SELECT * FROM pg_catalog.pg_type WHERE oid = 23
   => read any, sticky [pg_catalog.pg_type]
SELECT * FROM information_schema.tables WHERE table_schema = 'public'
   => read any, sticky [information_schema.tables]
SELECT c.relname, t.name FROM pg_class c, tenants t
   => read any, sticky [pg_class, tenants]
SELECT pg_size_pretty(pg_relation_size('orders'))
   => write the first
-- Tables of one shard.
SELECT * FROM audit.log
   => read shard 1 [audit.log]
SELECT count(*) FROM audit.log WHERE what = 'x' ORDER BY 1
   => read shard 1 [audit.log]
SELECT * FROM audit.log l JOIN audit.tags t ON t.id = l.id
   => read shard 1 [audit.log, audit.tags]
SELECT * FROM audit.log a JOIN archive.log b ON a.id = b.id
   => read refused 0A000: the statement joins tables that are on different shards [audit.log, archive.log]
SELECT * FROM audit.log l JOIN orders o ON o.id = l.id WHERE o.tenant_id = 5
   => read refused 0A000: the statement joins a table of one shard with tables that are on several [audit.log, orders]
SELECT * FROM audit.log l JOIN countries c ON c.code = l.what
   => read shard 1 [audit.log, countries]
INSERT INTO audit.log (what) VALUES ('x')
   => write shard 1 [write audit.log]
UPDATE audit.log SET what = 'y' WHERE id = 5
   => write shard 1 [write audit.log]
INSERT INTO countries SELECT what, what FROM audit.log
   => write refused 0A000: the statement joins a table of one shard with tables that are on several [write countries, audit.log]
-- Tables nobody knows, and views.
SELECT * FROM nowhere
   => read refused 0A000: where the rows of "nowhere" are is not known: it was made since the schema was read, or is no table or view [nowhere]
SELECT * FROM nowhere WHERE tenant_id = 5
   => read refused 0A000: where the rows of "nowhere" are is not known: it was made since the schema was read, or is no table or view [nowhere]
SELECT * FROM active_accounts
   => read all shards [active_accounts]
SELECT * FROM active_accounts WHERE tenant_id = 5
   => read one 5 (10) [active_accounts]
SELECT * FROM other.orders WHERE tenant_id = 5
   => read refused 0A000: where the rows of "orders" are is not known: it was made since the schema was read, or is no table or view [other.orders]
SELECT * FROM orders o JOIN nowhere n ON n.id = o.id WHERE o.tenant_id = 5
   => read refused 0A000: where the rows of "nowhere" are is not known: it was made since the schema was read, or is no table or view [orders, nowhere]
SELECT * FROM pg_temp.t
   => read refused 0A000: where the rows of "t" are is not known: it was made since the schema was read, or is no table or view [pg_temp.t]
-- Functions nobody sees into.
SELECT my_function(5)
   => write refused 0A000: the function "my_function" may read or write rows of any shard
SELECT public.my_function(5)
   => write refused 0A000: the function "my_function" may read or write rows of any shard
SELECT * FROM my_function(5)
   => write refused 0A000: the function "my_function" may read or write rows of any shard
SELECT my_function(total) FROM orders WHERE tenant_id = 5
   => write refused 0A000: the function "my_function" may read or write rows of any shard [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND my_check(total)
   => write refused 0A000: the function "my_check" may read or write rows of any shard [orders]
SELECT * FROM orders WHERE tenant_id = my_tenant()
   => write refused 0A000: the function "my_tenant" may read or write rows of any shard [orders]
SELECT local_only(5)
   => write the first
SELECT local_only(total) FROM orders WHERE tenant_id = 5
   => write one 5 (11) [orders]
SELECT local_only(total) FROM orders
   => write refused 0A000: rows of "orders" on several shards: the statement calls a function that acts on the one shard it runs on [orders]
SELECT twice(5)
   => read any
SELECT pg_catalog.upper('x')
   => read any
SELECT public.upper('x')
   => write refused 0A000: the function "upper" may read or write rows of any shard
SELECT query_to_xml('SELECT * FROM orders', true, false, '')
   => write refused 0A000: the function "query_to_xml" may read or write rows of any shard
SELECT table_to_xml('orders', true, false, '')
   => write refused 0A000: the function "table_to_xml" may read or write rows of any shard
SELECT * FROM ts_stat('SELECT v FROM orders')
   => write refused 0A000: the function "ts_stat" may read or write rows of any shard
SELECT dblink('SELECT 1')
   => write refused 0A000: the function "dblink" may read or write rows of any shard
SELECT * FROM ROWS FROM (generate_series(1, 2), my_function(3)) AS x
   => write refused 0A000: the function "my_function" may read or write rows of any shard
SELECT (my_function(5)).a
   => write refused 0A000: the function "my_function" may read or write rows of any shard
