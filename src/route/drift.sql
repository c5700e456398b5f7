-- What a statement does not show: foreign keys (f), unique indexes (u), sequences behind primary keys (s), triggers (t) and rules (r). Lists of
-- columns are apart by the sign 1.
WITH k AS (
    SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'dog')
    AND c.relpersistence <> 't'
)
SELECT 'f', k.nspname, k.relname, o.conname,
    (SELECT pg_catalog.string_agg(a.attname, E'\x01' ORDER BY u.place) FROM pg_catalog.unnest(o.conkey) WITH ORDINALITY u(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = u.number),
    n.nspname, c.relname,
    (SELECT pg_catalog.string_agg(a.attname, E'\x01' ORDER BY u.place) FROM pg_catalog.unnest(o.confkey) WITH ORDINALITY u(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = u.number)
FROM k JOIN pg_catalog.pg_constraint o ON o.conrelid = k.oid AND o.contype = 'f' AND o.conparentid = 0
JOIN pg_catalog.pg_class c ON c.oid = o.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
UNION ALL
SELECT 'u', k.nspname, k.relname, c.relname,
    (SELECT pg_catalog.string_agg(a.attname, E'\x01' ORDER BY u.place) FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY u(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number WHERE u.place <= i.indnkeyatts),
    NULL, NULL, NULL
FROM k JOIN pg_catalog.pg_index i ON i.indrelid = k.oid AND i.indisunique JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
UNION ALL
SELECT 's', k.nspname, k.relname, a.attname, NULL, NULL, NULL, NULL
FROM k JOIN pg_catalog.pg_index i ON i.indrelid = k.oid AND i.indisprimary
JOIN pg_catalog.pg_attribute a ON a.attrelid = k.oid AND a.attnum = ANY (i.indkey::int2[])
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = k.oid AND d.adnum = a.attnum
WHERE a.attidentity <> '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'
UNION ALL
SELECT 't', k.nspname, k.relname, t.tgname, NULL, NULL, p.proname, pg_catalog.left(p.prosrc, 65536)
FROM k JOIN pg_catalog.pg_trigger t ON t.tgrelid = k.oid AND NOT t.tgisinternal JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
UNION ALL
SELECT DISTINCT 'r', k.nspname, k.relname, r.rulename, NULL, n.nspname, c.relname, NULL
FROM k JOIN pg_catalog.pg_rewrite r ON r.ev_class = k.oid AND r.rulename <> '_RETURN'
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
