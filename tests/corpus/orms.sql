-- Django.
SELECT "orders"."tenant_id", "orders"."id", "orders"."total" FROM "orders" WHERE ("orders"."tenant_id" = 5 AND "orders"."id" = 7) LIMIT 21
   => read one 5 (11) [orders]
SELECT COUNT(*) AS "__count" FROM "orders" WHERE "orders"."tenant_id" = 5
   => read one 5 (11) [orders]
SELECT (1) AS "a" FROM "orders" WHERE "orders"."tenant_id" = 5 LIMIT 1
   => read one 5 (11) [orders]
INSERT INTO "orders" ("tenant_id", "account_id", "total", "note") VALUES (5, 1, '3.50'::numeric, NULL) RETURNING "orders"."id"
   => write one 5 (11) [write orders]
INSERT INTO "orders" ("tenant_id", "account_id") VALUES (5, 1), (5, 2), (6, 3) RETURNING "orders"."id"
   => write rows 5 (11), 5 (11), 6 (11) [write orders]
UPDATE "orders" SET "tenant_id" = 5, "total" = '3.50'::numeric, "note" = NULL WHERE ("orders"."tenant_id" = 5 AND "orders"."id" = 7)
   => write shard of 5 (11), 5 (11) or refused: UPDATE would move the row to another shard [write orders]
UPDATE "orders" SET "total" = 1 WHERE "orders"."id" = 7
   => write all shards [write orders]
DELETE FROM "orders" WHERE "orders"."id" IN (7, 8)
   => write all shards [write orders]
DELETE FROM "orders" WHERE ("orders"."tenant_id" = 5 AND "orders"."id" IN (7, 8))
   => write one 5 (11) [write orders]
SELECT "orders"."id", "accounts"."name" FROM "orders" INNER JOIN "accounts" ON ("orders"."account_id" = "accounts"."id") WHERE "orders"."tenant_id" = 5
   => read refused 0A000: rows of "accounts" on several shards: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, accounts]
SELECT "orders"."id" FROM "orders" LEFT OUTER JOIN "accounts" ON ("orders"."account_id" = "accounts"."id" AND "orders"."tenant_id" = ("accounts"."tenant_id")) WHERE ("orders"."tenant_id" = 5 AND "accounts"."name" = 'x') ORDER BY "orders"."id" DESC
   => read one 5 (11) [orders, accounts]
SELECT "orders"."id" FROM "orders" WHERE "orders"."tenant_id" = 5 AND NOT (EXISTS(SELECT 1 AS "a" FROM "items" U1 WHERE (U1."order_id" = ("orders"."id") AND U1."tenant_id" = 5) LIMIT 1))
   => read shard of 5 (11), 5 (12) or refused: what it needs may be on different shards, unless all its sharded tables are joined on their sharding keys [orders, items]
SELECT "orders"."id" FROM "orders" WHERE UPPER("orders"."note"::text) LIKE UPPER('%x%')
   => read all shards [orders]
SAVEPOINT "s140_x1"
   => read session Transaction
SELECT "django_migrations"."id" FROM "django_migrations"
   => read refused 0A000: where the rows of "django_migrations" are is not known: it was made since the schema was read, or is no table or view [django_migrations]
SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND pg_catalog.pg_table_is_visible(c.oid)
   => read any, sticky [pg_catalog.pg_class, pg_catalog.pg_namespace]
-- ActiveRecord.
SELECT "orders".* FROM "orders" WHERE "orders"."tenant_id" = $1 AND "orders"."id" = $2 LIMIT $3
   => read one $1 (11) [orders]
SELECT "orders".* FROM "orders" WHERE "orders"."tenant_id" = $1 ORDER BY "orders"."id" ASC LIMIT $2
   => read one $1 (11) [orders]
SELECT 1 AS one FROM "orders" WHERE "orders"."tenant_id" = $1 LIMIT $2
   => read one $1 (11) [orders]
INSERT INTO "orders" ("tenant_id", "total", "note") VALUES ($1, $2, $3) RETURNING "id"
   => write one $1 (11) [write orders]
INSERT INTO "orders" ("tenant_id","id") VALUES ($1, $2), ($3, $4) ON CONFLICT ("tenant_id","id") DO UPDATE SET "total"=excluded."total" RETURNING "id"
   => write rows $1 (11), $3 (11) [write orders]
UPDATE "orders" SET "total" = $1 WHERE "orders"."tenant_id" = $2 AND "orders"."id" = $3
   => write one $2 (11) [write orders]
DELETE FROM "orders" WHERE "orders"."tenant_id" = $1 AND "orders"."id" = $2
   => write one $1 (11) [write orders]
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '"orders"'::regclass AND a.attnum > 0 ORDER BY a.attnum
   => read any, sticky [pg_attribute, pg_attrdef]
SELECT t.oid, t.typname FROM pg_type as t WHERE t.typname IN ('int2', 'int4', 'int8')
   => read any, sticky [pg_type]
SELECT pg_try_advisory_lock(5749174910)
   => write the first
SET client_min_messages TO 'warning'
   => read session Set
SHOW max_identifier_length
   => read session Show
-- Hibernate, JPA.
select o1_0.tenant_id,o1_0.id,o1_0.total from orders o1_0 where (o1_0.tenant_id,o1_0.id) in (($1,$2),($3,$4))
   => read each of $1 (11), $3 (11) [orders]
select o1_0.id from orders o1_0 where o1_0.tenant_id=$1 order by o1_0.id offset $2 rows fetch first $3 rows only
   => read one $1 (11) [orders]
insert into orders (account_id,note,total,tenant_id,id) values ($1,$2,$3,$4,$5)
   => write one $4 (11) [write orders]
update orders set account_id=$1,note=$2,total=$3 where tenant_id=$4 and id=$5
   => write one $4 (11) [write orders]
select nextval('orders_seq')
   => write the first
select count(o1_0.id) from orders o1_0 join accounts a1_0 on a1_0.tenant_id=o1_0.tenant_id and a1_0.id=o1_0.account_id where a1_0.name=$1 and o1_0.tenant_id=$2
   => read one $2 (11) [orders, accounts]
-- SQLAlchemy.
SELECT orders.tenant_id, orders.id FROM orders WHERE orders.tenant_id = $1::BIGINT AND orders.id = $2::INTEGER
   => read one $1 (11) [orders]
SELECT orders.id FROM orders WHERE orders.tenant_id IN ($1::BIGINT, $2::BIGINT)
   => read each of $1 (11), $2 (11) [orders]
INSERT INTO orders (tenant_id, total) SELECT p0::BIGINT, p1::NUMERIC FROM (VALUES ($1, $2, 0), ($3, $4, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING orders.id
   => write refused 0A000: what is inserted for the sharding key "tenant_id" is no literal or parameter of its type [write orders]
SELECT anon_1.id FROM (SELECT orders.id AS id FROM orders WHERE orders.tenant_id = $1 LIMIT $2) AS anon_1
   => read one $1 (11) [orders]
select pg_catalog.version()
   => read any
select current_schema()
   => read any
show standard_conforming_strings
   => read session Show
SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname = $1::VARCHAR
   => read any, sticky [pg_catalog.pg_class, pg_catalog.pg_namespace]
-- Prisma, Sequelize, TypeORM.
SELECT "public"."orders"."tenant_id", "public"."orders"."id" FROM "public"."orders" WHERE ("public"."orders"."tenant_id" = $1 AND 1=1) LIMIT $2 OFFSET $3
   => read one $1 (11) [public.orders]
SELECT "public"."orders"."id" FROM "public"."orders" WHERE "public"."orders"."tenant_id" IN ($1,$2,$3) OFFSET $4
   => read shard of $1 (11), $2 (11), $3 (11) or refused: LIMIT needs one place to count the rows [public.orders]
SELECT COUNT(*) FROM (SELECT "public"."orders"."id" FROM "public"."orders" WHERE "public"."orders"."tenant_id" = $1 OFFSET $2) AS "sub"
   => read one $1 (11) [public.orders]
INSERT INTO "public"."orders" ("tenant_id","total") VALUES ($1,$2) RETURNING "public"."orders"."id"
   => write one $1 (11) [write public.orders]
UPDATE "public"."orders" SET "total" = $1 WHERE ("public"."orders"."tenant_id" = $2 AND 1=1)
   => write one $2 (11) [write public.orders]
SELECT "t"."id", "t"."n" FROM (SELECT "Order"."id", (SELECT count(*) FROM "items" WHERE "items"."tenant_id" = "Order"."tenant_id") AS "n" FROM "orders" AS "Order" WHERE "Order"."tenant_id" = 5) AS "t"
   => read one 5 (11) [orders, items]
SELECT count("id") AS "count" FROM "orders" AS "Order" WHERE "Order"."tenant_id" = '5'
   => read one '5' (11) [orders]
SELECT DISTINCT "distinctAlias"."Order_id" AS "ids" FROM (SELECT "Order"."id" AS "Order_id" FROM "orders" "Order" WHERE "Order"."tenant_id" = $1) "distinctAlias" ORDER BY "Order_id" ASC LIMIT 1
   => read one $1 (11) [orders]
START TRANSACTION ISOLATION LEVEL REPEATABLE READ
   => read session Transaction
-- Drivers.
SELECT typname, typsend FROM pg_type WHERE oid = ANY($1::oid[])
   => read any, sticky [pg_type]
SELECT t.oid, t.typname, t.typelem, r.rngsubtype FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid WHERE t.oid = $1
   => read any, sticky [pg_catalog.pg_type, pg_catalog.pg_range]
SELECT TYPTYPE FROM PG_CATALOG.PG_TYPE WHERE OID = 5
   => read any, sticky [pg_catalog.pg_type]
SET extra_float_digits = 3
   => read session Set
SET application_name = 'x'
   => read session Set
select 1 as "ping"
   => read any
