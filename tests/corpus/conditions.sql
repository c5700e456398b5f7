-- Equality with a literal of the key's type.
SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE 5 = tenant_id
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE orders.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders o WHERE o.tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders AS o WHERE o.tenant_id = 5 AND o.total > 10
   => read one 5 (11) [orders]
SELECT * FROM public.orders WHERE public.orders.tenant_id = 5
   => read one 5 (11) [public.orders]
SELECT * FROM public.orders WHERE orders.tenant_id = 5
   => read one 5 (11) [public.orders]
SELECT * FROM orders o WHERE orders.tenant_id = 5
   => read all shards [orders]
SELECT * FROM ONLY orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
TABLE orders
   => read all shards [orders]
SELECT * FROM ORDERS WHERE Tenant_Id = 5
   => read one 5 (11) [orders]
SELECT * FROM "orders" WHERE "tenant_id" = 5
   => read one 5 (11) [orders]
SELECT * FROM "Orders" WHERE tenant_id = 5
   => read refused 0A000: where the rows of "Orders" are is not known: it was made since the schema was read, or is no table or view [Orders]
SELECT * FROM "Quoted" WHERE "Tenant" = 5
   => read one 5 (15) [Quoted]
SELECT * FROM "Quoted" WHERE tenant = 5
   => read all shards [Quoted]
SELECT * FROM orders WHERE "Tenant_id" = 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = -5
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = - 5
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = - - 5
   => read one constant 5 (11) (not kept) [orders]
SELECT * FROM orders WHERE tenant_id = -(5)
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = (-5)
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = +5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = - /* - */ 5
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5000000000
   => read one 5000000000 (11) [orders]
SELECT * FROM orders WHERE tenant_id = -5000000000
   => read one -5000000000 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 9223372036854775807
   => read one 9223372036854775807 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 9223372036854775808
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = -9223372036854775808
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5.0
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5.5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5e0
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 0x10
   => read one 0x10 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 1_000
   => read one 1_000 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 0b101
   => read one 0b101 (11) [orders]
SELECT * FROM orders WHERE tenant_id = '5'
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ' 5 '
   => read one ' 5 ' (11) [orders]
SELECT * FROM orders WHERE tenant_id = E'5'
   => read one E'5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = E'\x35'
   => read one constant 5 (11) (not kept) [orders]
SELECT * FROM orders WHERE tenant_id = $$5$$
   => read one $$5$$ (11) [orders]
SELECT * FROM orders WHERE tenant_id = U&'\0035'
   => read one constant 5 (11) (not kept) [orders]
SELECT * FROM orders WHERE tenant_id = U&'!0035' UESCAPE '!'
   => read one constant 5 (11) (not kept) [orders]
SELECT * FROM orders WHERE tenant_id = B'101'
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = true
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = NULL
   => read one NULL (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE $1 = tenant_id
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 2 + 3
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = abs(-5)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id + 0 = 5
   => read all shards [orders]
SELECT * FROM orders WHERE abs(tenant_id) = 5
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id) = (5)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE (tenant_id = 5)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE ((tenant_id = 5) AND (total > 3))
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id OPERATOR(pg_catalog.=) 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id OPERATOR(public.=) 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id == 5
   => read all shards [orders]
-- Casts.
SELECT * FROM orders WHERE tenant_id = 5::bigint
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = '5'::bigint
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = '5'::int
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = '5'::int2
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = CAST('5' AS bigint)
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = bigint '5'
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = int8 '5'
   => read one '5' (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1::bigint
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1::int4
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = CAST($1 AS int8)
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1::pg_catalog.int8
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = $1::public.int8
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = $1::numeric
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = $1::float8
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = $1::text::bigint
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5::numeric
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5.4::bigint
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = -5::bigint
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = (-5)::bigint
   => read one -5 (11) [orders]
SELECT * FROM orders WHERE tenant_id::text = '5'
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id::bigint = 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = '5'::oid
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = now()
   => read all shards [orders]
-- Other comparisons.
SELECT * FROM orders WHERE tenant_id <> 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id != 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id > 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id >= 5 AND tenant_id <= 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id BETWEEN 5 AND 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id BETWEEN SYMMETRIC 7 AND 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id NOT BETWEEN 5 AND 7
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id IS NULL
   => read one NULL (11) [orders]
SELECT * FROM orders WHERE tenant_id IS NOT NULL
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id ISNULL
   => read one NULL (11) [orders]
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM $1
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id IS NOT DISTINCT FROM NULL
   => read one NULL (11) [orders]
SELECT * FROM orders WHERE tenant_id IS DISTINCT FROM 5
   => read all shards [orders]
SELECT * FROM orders WHERE NOT tenant_id = 5
   => read all shards [orders]
SELECT * FROM orders WHERE NOT (tenant_id <> 5)
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id = 5) IS TRUE
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id = 5) IS NOT FALSE
   => read all shards [orders]
SELECT * FROM orders WHERE CASE WHEN tenant_id = 5 THEN true ELSE false END
   => read all shards [orders]
SELECT * FROM orders WHERE COALESCE(tenant_id, 5) = 5
   => read all shards [orders]
SELECT * FROM orders WHERE NULLIF(tenant_id, 5) = 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR total > 100
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR tenant_id = 6
   => read each of 5 (11), 6 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR tenant_id = 6 OR tenant_id = 7
   => read each of 5 (11), 6 (11), 7 (11) [orders]
SELECT * FROM orders WHERE (tenant_id = 5 AND id = 1) OR (tenant_id = 6 AND id = 2)
   => read each of 5 (11), 6 (11) [orders]
SELECT * FROM orders WHERE (tenant_id = 5 AND id = 1) OR id = 2
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 6) OR tenant_id = 7
   => read each of 5 (11), 6 (11), 7 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR (tenant_id = 6 OR tenant_id = 7)
   => read each of 5 (11), 6 (11), 7 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 OR NOT tenant_id = 5
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND (total > 3 OR note = 'x')
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND tenant_id = 6
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND tenant_id IN (5, 6)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 6) AND tenant_id = 5
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = 5 AND false
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id = id
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = tenant_id
   => read all shards [orders]
SELECT * FROM orders WHERE id = 5
   => read all shards [orders]
SELECT * FROM orders WHERE true
   => read all shards [orders]
SELECT * FROM orders
   => read all shards [orders]
-- IN and ANY.
SELECT * FROM orders WHERE tenant_id IN (5)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 6, 7)
   => read each of 5 (11), 6 (11), 7 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 5)
   => read each of 5 (11), 5 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN ($1, $2)
   => read each of $1 (11), $2 (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (5, $1, '7', NULL)
   => read each of 5 (11), $1 (11), '7' (11), NULL (11) [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 6.5)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id IN (5, 2 + 4)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id NOT IN (5, 6)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id IN (-5, -6)
   => read each of -5 (11), -6 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1)
   => read each of array $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1::bigint[])
   => read each of array $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1::int[])
   => read each of array $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1::numeric[])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY($1::text[])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY('{5,6}')
   => read each of array '{5,6}' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY('{5,6}'::bigint[])
   => read each of array '{5,6}' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY('{}')
   => read each of array '{}' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[5, 6])
   => read each of 5 (11), 6 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[5, 6]::bigint[])
   => read each of 5 (11), 6 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[$1, $2])
   => read each of $1 (11), $2 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY['5', '6']::bigint[])
   => read each of '5' (11), '6' (11) [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[]::bigint[])
   => read any [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[5, id])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY(ARRAY[5, 6.5])
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = SOME($1)
   => read each of array $1 (11) [orders]
SELECT * FROM orders WHERE tenant_id = ALL($1)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id <> ANY($1)
   => read all shards [orders]
SELECT * FROM orders WHERE 5 = ANY(ARRAY[tenant_id])
   => read all shards [orders]
SELECT * FROM orders WHERE NOT tenant_id = ANY($1)
   => read all shards [orders]
SELECT * FROM orders WHERE tenant_id = ANY(string_to_array('5,6', ',')::bigint[])
   => read all shards [orders]
-- Rows.
SELECT * FROM orders WHERE (tenant_id, id) = (5, 6)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE (id, tenant_id) = (6, 5)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE ROW(tenant_id, id) = ROW(5, 6)
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE (tenant_id, id) IN ((5, 6), (7, 8))
   => read each of 5 (11), 7 (11) [orders]
SELECT * FROM orders WHERE (tenant_id, id) IN ((5, 6))
   => read one 5 (11) [orders]
SELECT * FROM orders WHERE (tenant_id, id) IN (($1, $2), ($3, $4))
   => read each of $1 (11), $3 (11) [orders]
SELECT * FROM orders WHERE (tenant_id, id) > (5, 6)
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id, id) <> (5, 6)
   => read all shards [orders]
SELECT * FROM orders WHERE (tenant_id, id) = ($1, id)
   => read one $1 (11) [orders]
SELECT * FROM orders WHERE (tenant_id, id) NOT IN ((5, 6))
   => read all shards [orders]
-- Other types of keys.
SELECT * FROM sessions WHERE id = '6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11'
   => read one '6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11' (20) [sessions]
SELECT * FROM sessions WHERE id = '6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11'::uuid
   => read one '6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11' (20) [sessions]
SELECT * FROM sessions WHERE id = $1
   => read one $1 (20) [sessions]
SELECT * FROM sessions WHERE id = $1::uuid
   => read one $1 (20) [sessions]
SELECT * FROM sessions WHERE id = $1::text
   => read all shards [sessions]
SELECT * FROM sessions WHERE id::text = $1
   => read all shards [sessions]
SELECT * FROM sessions WHERE id = 5
   => read all shards [sessions]
SELECT * FROM sessions WHERE id IN ($1, $2)
   => read each of $1 (20), $2 (20) [sessions]
SELECT * FROM sessions WHERE id = ANY($1::uuid[])
   => read each of array $1 (20) [sessions]
SELECT * FROM tags WHERE slug = 'news'
   => read one 'news' (21) [tags]
SELECT * FROM tags WHERE slug = 'it''s'
   => read one 'it''s' (21) [tags]
SELECT * FROM tags WHERE slug = E'it\'s'
   => read one constant it's (21) (not kept) [tags]
SELECT * FROM tags WHERE slug = ''
   => read one '' (21) [tags]
SELECT * FROM tags WHERE slug = 'a' 'b'
   => read refused 42601: syntax error at or near "'b'" (not kept)
SELECT * FROM tags WHERE slug = 'a'\n'b'
   => read one constant ab (21) (not kept) [tags]
SELECT * FROM tags WHERE slug = 'news'::text
   => read one 'news' (21) [tags]
SELECT * FROM tags WHERE slug = 'news'::varchar
   => read one 'news' (21) [tags]
SELECT * FROM tags WHERE slug = 'news'::varchar(2)
   => read all shards [tags]
SELECT * FROM tags WHERE slug = 'news'::char(4)
   => read all shards [tags]
SELECT * FROM tags WHERE slug = 'news'::name
   => read all shards [tags]
SELECT * FROM tags WHERE slug = N'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug = 'news' COLLATE "C"
   => read all shards [tags]
SELECT * FROM tags WHERE slug COLLATE "C" = 'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug LIKE 'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug ILIKE 'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug SIMILAR TO 'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug ~ '^news$'
   => read all shards [tags]
SELECT * FROM tags WHERE lower(slug) = 'news'
   => read all shards [tags]
SELECT * FROM tags WHERE slug = 5
   => read all shards [tags]
SELECT * FROM tags WHERE slug = 'now'
   => read one 'now' (21) [tags]
SELECT * FROM tags WHERE slug = 'today' OR slug = 'tomorrow'
   => read each of 'today' (21), 'tomorrow' (21) [tags]
SELECT * FROM legacy WHERE id = 5
   => read one 5 (22) [legacy]
SELECT * FROM mystery WHERE id = 5
   => read one 5 (30) [mystery]
SELECT * FROM mystery WHERE x = 5
   => read all shards [mystery]
