-- One shard of the messenger, as the superuser in an empty database: functions, tables and data, whole or not at all.
--
--   psql -1 -v ON_ERROR_STOP=1 -v shard=0 -v shards=3 -v app=app -v dog=dog -f shards/shard.sql
--
-- `dog` is the role that pg_dog looks at the shards with, `app` the application's, which owns the database; `users` is how many there are.
\if :{?users}
\else
    \set users 10000
\endif
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public;
SELECT format('GRANT CREATE ON DATABASE %I TO %I', current_database(), :'dog') AS allow \gset
:allow;
SET ROLE :"dog";
\ir ids.sql
SET ROLE :"app";
\ir schema.sql
\ir data.sql
RESET ROLE;
