-- What comments say.
/* pgdog_shard: 1 */ SELECT * FROM orders
   => (shard 1) read all shards [orders]
SELECT * FROM orders /* pgdog_shard: 1 */
   => (shard 1) read all shards [orders]
/* pgdog_shard: 0 */ SELECT * FROM orders /* pgdog_shard: 1 */
   => (shard 0) read all shards [orders]
SELECT /* pgdog_shard: 12 */ 1
   => (shard 12) read any
/*pgdog_shard:1*/ SELECT 1
   => (shard 1) read any
/* dddbs='x',pgdog_shard: 1,traceparent='00-1' */ SELECT 1
   => (shard 1) read any
/* pgdog_sharding_key: 5 */ SELECT * FROM orders
   => (key 5) read all shards [orders]
/* pgdog_sharding_key: "a b" */ SELECT * FROM tags
   => (key a b) read all shards [tags]
/* pgdog_sharding_key: 'a' */ SELECT * FROM tags
   => (key a) read all shards [tags]
/* pgdog_sharding_key: 6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11 */ SELECT * FROM sessions
   => (key 6f1c1f9e-0b0a-4f55-8e3c-2f3f3b0c9b11) read all shards [sessions]
/* pgdog_role: replica */ SELECT * FROM countries
   => (Replica) read any [countries]
/* pgdog_role: primary */ SELECT * FROM orders WHERE tenant_id = 5
   => (Primary) read one 5 (11) [orders]
/* pgdog_shard: x */ SELECT 1
   => (broken directive) read any
/* pgdog_shard: 1.5 */ SELECT 1
   => (broken directive) read any
/* pgdog_sharding_key: a_b */ SELECT 1
   => (broken directive) read any
/* pgdog_role: master */ SELECT 1
   => (broken directive) read any
-- pgdog_shard: 1
SELECT '/* pgdog_shard: 1 */'
   => read any
SELECT $$/* pgdog_shard: 1 */$$
   => read any
SELECT "/* pgdog_shard: 1 */" FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
/* /* pgdog_shard: 1 */ */ SELECT 1
   => (shard 1) read any
SELECT 1 --\n/* pgdog_shard: 1 */
   => (shard 1) read any
/* shard: 1 */ SELECT * FROM orders WHERE tenant_id = 5
   => read one 5 (11) [orders]
