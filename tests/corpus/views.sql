-- Views that show the key of the table they are made of.
SELECT * FROM active_accounts WHERE tenant_id = 7
   => read one 7 (10) [active_accounts]
SELECT * FROM active_accounts
   => read all shards [active_accounts]
SELECT * FROM active_accounts WHERE tenant_id IN (1, 2)
   => read each of 1 (10), 2 (10) [active_accounts]
SELECT name FROM active_accounts ORDER BY name
   => read refused 0A000: rows of "active_accounts" on several shards: ORDER BY needs one place to sort the rows [active_accounts]
SELECT what FROM renamed WHERE t = 7
   => read one 7 (11) [renamed]
SELECT what FROM renamed WHERE what = 'x'
   => read all shards [renamed]
SELECT name FROM of_a_view WHERE tenant = 7
   => read one 7 (10) [of_a_view]
SELECT name FROM of_a_view WHERE tenant_id = 7
   => read all shards [of_a_view]
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.t = a.tenant
   => read all shards [of_a_view, renamed]
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.t = a.tenant WHERE r.t = 7
   => read one 7 (10) [of_a_view, renamed]
SELECT a.name, o.id FROM active_accounts a JOIN orders o USING (tenant_id) WHERE tenant_id = 7
   => read one 7 (10) [active_accounts, orders]
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.what = a.name
   => read refused 0A000: rows of "of_a_view" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [of_a_view, renamed]
SELECT * FROM joined WHERE tenant_id = 7
   => read one 7 (11) [joined]
SELECT * FROM joined
   => read all shards [joined]
SELECT * FROM with_country
   => read all shards [with_country]
SELECT * FROM recent
   => read all shards [recent]
SELECT * FROM recent WHERE tenant_id = 7
   => read one 7 (10) [recent]
SELECT * FROM one_tenant
   => read all shards [one_tenant]
SELECT * FROM one_tenant WHERE tenant_id = 6
   => read one 6 (11) [one_tenant]
SELECT * FROM twice_the_key WHERE a = 7
   => read one 7 (11) [twice_the_key]
SELECT * FROM twice_the_key WHERE b = 7
   => read all shards [twice_the_key]
SELECT * FROM ruled WHERE tenant_id = 7
   => read one 7 (11) [ruled]
SELECT count(*) FROM active_accounts
   => read refused 0A000: rows of "active_accounts" on several shards: aggregates need one place to be finished [active_accounts]
SELECT * FROM active_accounts WHERE tenant_id = 7 FOR UPDATE
   => write one 7 (10) [active_accounts]

-- Views whose rows are not those of the shards' tables one by one, or do not say where they are.
SELECT * FROM counted WHERE tenant_id = 7
   => read refused 0A000: the view "counted" cannot be used over shards: rows of "orders" on several shards: GROUP BY needs one place to join the groups [counted]
SELECT * FROM totals
   => read refused 0A000: the view "totals" cannot be used over shards: rows of "orders" on several shards: aggregates need one place to be finished [totals]
SELECT * FROM of_counted
   => read refused 0A000: the view "of_counted" cannot be used over shards: the view "counted" cannot be used over shards: rows of "orders" on several shards: GROUP BY needs one place to join the groups [of_counted]
SELECT * FROM distinct_notes
   => read refused 0A000: the view "distinct_notes" cannot be used over shards: rows of "orders" on several shards: DISTINCT needs one place to compare the rows [distinct_notes]
SELECT * FROM newest
   => read refused 0A000: the view "newest" cannot be used over shards: rows of "orders" on several shards: LIMIT needs one place to count the rows [newest]
SELECT * FROM sorted
   => read refused 0A000: the view "sorted" cannot be used over shards: rows of "orders" on several shards: ORDER BY needs one place to sort the rows [sorted]
SELECT * FROM everyone WHERE id = 7
   => read refused 0A000: the view "everyone" cannot be used over shards: rows of "users" on several shards: UNION, INTERSECT and EXCEPT need one place to compare the rows [everyone]
SELECT * FROM ranked WHERE tenant_id = 7
   => read refused 0A000: the view "ranked" cannot be used over shards: rows of "orders" on several shards: window functions need one place to see all rows [ranked]
SELECT * FROM some_orders WHERE tenant_id = 7
   => read refused 0A000: the view "some_orders" cannot be used over shards: it calls the volatile function "random" [some_orders]
SELECT * FROM hidden_call WHERE tenant_id = 7
   => read refused 0A000: the view "hidden_call" cannot be used over shards: the function "not_known" may read or write rows of any shard [hidden_call]
SELECT * FROM keyless WHERE id = 7
   => read refused 0A000: the view "keyless" cannot be used over shards: it does not show the sharding key "tenant_id" of its table as a column [keyless]
SELECT * FROM computed_key WHERE tenant_id = 7
   => read refused 0A000: the view "computed_key" cannot be used over shards: it does not show the sharding key "tenant_id" of its table as a column [computed_key]
SELECT * FROM other_side WHERE tenant_id = 7
   => read refused 0A000: the view "other_side" cannot be used over shards: it does not show the sharding key "tenant_id" of its table as a column [other_side]
SELECT * FROM apart WHERE tenant_id = 7
   => read refused 0A000: the view "apart" cannot be used over shards: rows of "orders" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [apart]
SELECT * FROM rows_of_rows WHERE tenant_id = 7
   => read refused 0A000: the view "rows_of_rows" cannot be used over shards: rows of "orders" on several shards: ctid and the like mean another row on each shard [rows_of_rows]
SELECT * FROM unreadable
   => read refused 0A000: the view "unreadable" cannot be used over shards: the parser cannot read its definition [unreadable]
/* pgdog_shard: 1 */ SELECT * FROM counted
   => (shard 1) read refused 0A000: the view "counted" cannot be used over shards: rows of "orders" on several shards: GROUP BY needs one place to join the groups [counted]

-- Views of what is on every shard, on one, or nowhere.
SELECT * FROM nations
   => read any [nations]
SELECT * FROM nation_counts
   => read any [nation_counts]
SELECT o.id, n.name FROM orders o JOIN nations n ON n.code = o.note
   => read all shards [orders, nations]
SELECT * FROM fresh
   => read any [fresh]
SELECT o.id FROM orders o JOIN some_nation n ON n.code = o.note
   => read refused 0A000: rows of "orders" on several shards: a view of the statement may give other rows on each shard [orders, some_nation]
SELECT o.id FROM orders o JOIN some_nation n ON n.code = o.note WHERE o.tenant_id = 7
   => read one 7 (11) [orders, some_nation]
INSERT INTO countries (code, name) SELECT code, name FROM nations
   => write all alike [write countries, nations]
INSERT INTO countries (code, name) SELECT code, 'x' FROM fresh
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, fresh]
SELECT * FROM five
   => read any [five]
SELECT * FROM next_number
   => read refused 0A000: the view "next_number" cannot be used over shards: its definition locks rows, or calls a function that acts on the server it runs on [next_number]
SELECT * FROM audited
   => read shard 1 [audited]
SELECT * FROM relations
   => read any, sticky [relations]

-- What is written through views.
INSERT INTO active_accounts (tenant_id, id, name) VALUES (7, 1, 'a')
   => write one 7 (10) [write active_accounts]
INSERT INTO active_accounts VALUES (7, 1, 'a'), (8, 2, 'b')
   => write rows 7 (10), 8 (10) [write active_accounts]
INSERT INTO active_accounts (name) VALUES ('a')
   => write one NULL (10) [write active_accounts]
INSERT INTO renamed (what, t) VALUES ('a', $1)
   => write one $1 (11) [write renamed]
INSERT INTO of_a_view VALUES (7, 'a') ON CONFLICT (tenant) DO UPDATE SET name = excluded.name
   => write one 7 (10) [write of_a_view]
INSERT INTO made_key (v) VALUES ('a')
   => write refused 0A000: rows of "made_key" need a value for their sharding key "id" [write made_key]
INSERT INTO keyless VALUES (1, 'a')
   => write refused 0A000: the view "keyless" cannot be used over shards: it does not show the sharding key "tenant_id" of its table as a column [write keyless]
UPDATE renamed SET what = 'a' WHERE t = 7
   => write one 7 (11) [write renamed]
UPDATE renamed SET what = 'a'
   => write all shards [write renamed]
UPDATE renamed SET t = 8 WHERE what = 'a'
   => write refused 0A000: the sharding key "t" cannot be set: the row might belong to another shard [write renamed]
UPDATE renamed SET t = 8 WHERE t = 7
   => write shard of 8 (11), 7 (11) or refused: UPDATE would move the row to another shard [write renamed]
DELETE FROM of_a_view WHERE tenant = 7
   => write one 7 (10) [write of_a_view]
DELETE FROM of_a_view
   => write all shards [write of_a_view]
DELETE FROM counted WHERE tenant_id = 7
   => write refused 0A000: the view "counted" cannot be used over shards: rows of "orders" on several shards: GROUP BY needs one place to join the groups [write counted]
UPDATE twice_the_key SET b = 8 WHERE a = 7
   => write refused 0A000: what is written through the view "twice_the_key" cannot be routed: it shows the sharding key twice [write twice_the_key]
INSERT INTO twice_the_key (b) VALUES (7)
   => write refused 0A000: what is written through the view "twice_the_key" cannot be routed: it shows the sharding key twice [write twice_the_key]
INSERT INTO ruled VALUES (7, 1)
   => write refused 0A000: what is written through the view "ruled" cannot be routed: triggers or rules of its own decide what becomes of it [write ruled]
UPDATE ruled SET id = 1 WHERE tenant_id = 7
   => write refused 0A000: what is written through the view "ruled" cannot be routed: triggers or rules of its own decide what becomes of it [write ruled]
DELETE FROM through_it WHERE tenant_id = 7
   => write refused 0A000: what is written through the view "through_it" cannot be routed: what it is made of is a view that lets nothing through [write through_it]
UPDATE nations SET name = 'x' WHERE code = 'a'
   => write all alike [write nations]
INSERT INTO nations VALUES ('a', 'x')
   => write all alike [write nations]
INSERT INTO setting_keys VALUES ('a', 'x')
   => write refused 0A000: what is written through the view "setting_keys" cannot be routed: a column that it does not show has a default that would give each shard another value [write setting_keys]
UPDATE setting_keys SET value = 'x'
   => write all alike [write setting_keys]
DELETE FROM fresh
   => write refused 0A000: the view "fresh" may give other rows on each shard, and what is written to them would differ [write fresh]
COPY renamed FROM STDIN
   => write copy by column 0 (11)
COPY ruled FROM STDIN
   => write refused 0A000: the view "ruled" cannot be used over shards: triggers or rules of its own decide what becomes of it
COPY counted TO STDOUT
   => read refused 0A000: the view "counted" cannot be used over shards: rows of "orders" on several shards: GROUP BY needs one place to join the groups

-- What is read on one shard only, and is on every shard.
SELECT * FROM picked
   => read shard 1 [picked]
UPDATE picked SET name = 'x'
   => write refused 0A000: what is written through the view "picked" cannot be routed: it can be used on one shard only, and the rows that it shows are on every shard [write picked]
INSERT INTO picked VALUES ('a', 'x')
   => write refused 0A000: what is written through the view "picked" cannot be routed: it can be used on one shard only, and the rows that it shows are on every shard [write picked]
DELETE FROM picked WHERE code = 'a'
   => write refused 0A000: what is written through the view "picked" cannot be routed: it can be used on one shard only, and the rows that it shows are on every shard [write picked]

-- What each shard would make of its rows in another order.
SELECT * FROM numbered
   => read any [numbered]
SELECT * FROM listed
   => read any [listed]
INSERT INTO countries (code, name) SELECT code, n::text FROM numbered
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, numbered]
INSERT INTO countries (code, name) SELECT codes, 'x' FROM listed
   => write refused 0A000: what is written to every shard must not depend on the time, on chance, on sequences or on an order [write countries, listed]
INSERT INTO countries (code, name) SELECT codes, 'x' FROM listed_in_order
   => write all alike [write countries, listed_in_order]
