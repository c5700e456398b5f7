-- Views that show the key of the table they are made of.
SELECT * FROM active_accounts WHERE tenant_id = 7
SELECT * FROM active_accounts
SELECT * FROM active_accounts WHERE tenant_id IN (1, 2)
SELECT name FROM active_accounts ORDER BY name
SELECT what FROM renamed WHERE t = 7
SELECT what FROM renamed WHERE what = 'x'
SELECT name FROM of_a_view WHERE tenant = 7
SELECT name FROM of_a_view WHERE tenant_id = 7
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.t = a.tenant
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.t = a.tenant WHERE r.t = 7
SELECT a.name, o.id FROM active_accounts a JOIN orders o USING (tenant_id) WHERE tenant_id = 7
SELECT a.name, r.what FROM of_a_view a JOIN renamed r ON r.what = a.name
SELECT * FROM joined WHERE tenant_id = 7
SELECT * FROM joined
SELECT * FROM with_country
SELECT * FROM recent
SELECT * FROM recent WHERE tenant_id = 7
SELECT * FROM one_tenant
SELECT * FROM one_tenant WHERE tenant_id = 6
SELECT * FROM twice_the_key WHERE a = 7
SELECT * FROM twice_the_key WHERE b = 7
SELECT * FROM ruled WHERE tenant_id = 7
SELECT count(*) FROM active_accounts
SELECT * FROM active_accounts WHERE tenant_id = 7 FOR UPDATE

-- Views whose rows are not those of the shards' tables one by one, or do not say where they are.
SELECT * FROM counted WHERE tenant_id = 7
SELECT * FROM totals
SELECT * FROM of_counted
SELECT * FROM distinct_notes
SELECT * FROM newest
SELECT * FROM sorted
SELECT * FROM everyone WHERE id = 7
SELECT * FROM ranked WHERE tenant_id = 7
SELECT * FROM some_orders WHERE tenant_id = 7
SELECT * FROM hidden_call WHERE tenant_id = 7
SELECT * FROM keyless WHERE id = 7
SELECT * FROM computed_key WHERE tenant_id = 7
SELECT * FROM other_side WHERE tenant_id = 7
SELECT * FROM apart WHERE tenant_id = 7
SELECT * FROM rows_of_rows WHERE tenant_id = 7
SELECT * FROM unreadable
/* pgdog_shard: 1 */ SELECT * FROM counted

-- Views of what is on every shard, on one, or nowhere.
SELECT * FROM nations
SELECT * FROM nation_counts
SELECT o.id, n.name FROM orders o JOIN nations n ON n.code = o.note
SELECT * FROM fresh
SELECT o.id FROM orders o JOIN some_nation n ON n.code = o.note
SELECT o.id FROM orders o JOIN some_nation n ON n.code = o.note WHERE o.tenant_id = 7
INSERT INTO countries (code, name) SELECT code, name FROM nations
INSERT INTO countries (code, name) SELECT code, 'x' FROM fresh
SELECT * FROM five
SELECT * FROM next_number
SELECT * FROM audited
SELECT * FROM relations

-- What is written through views.
INSERT INTO active_accounts (tenant_id, id, name) VALUES (7, 1, 'a')
INSERT INTO active_accounts VALUES (7, 1, 'a'), (8, 2, 'b')
INSERT INTO active_accounts (name) VALUES ('a')
INSERT INTO renamed (what, t) VALUES ('a', $1)
INSERT INTO of_a_view VALUES (7, 'a') ON CONFLICT (tenant) DO UPDATE SET name = excluded.name
INSERT INTO made_key (v) VALUES ('a')
INSERT INTO keyless VALUES (1, 'a')
UPDATE renamed SET what = 'a' WHERE t = 7
UPDATE renamed SET what = 'a'
UPDATE renamed SET t = 8 WHERE what = 'a'
UPDATE renamed SET t = 8 WHERE t = 7
DELETE FROM of_a_view WHERE tenant = 7
DELETE FROM of_a_view
DELETE FROM counted WHERE tenant_id = 7
UPDATE twice_the_key SET b = 8 WHERE a = 7
INSERT INTO twice_the_key (b) VALUES (7)
INSERT INTO ruled VALUES (7, 1)
UPDATE ruled SET id = 1 WHERE tenant_id = 7
DELETE FROM through_it WHERE tenant_id = 7
UPDATE nations SET name = 'x' WHERE code = 'a'
INSERT INTO nations VALUES ('a', 'x')
INSERT INTO setting_keys VALUES ('a', 'x')
UPDATE setting_keys SET value = 'x'
DELETE FROM fresh
COPY renamed FROM STDIN
COPY ruled FROM STDIN
COPY counted TO STDOUT
