// node-postgres through pg_dog in transaction mode. Asserts by itself; the login is in the environment.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');

async function main() {
  const pool = new Pool({ max: 12 });

  const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => pool.query('SELECT $1::int AS i, repeat($2, $1::int) AS text', [i, 'x'])));
  answers.forEach((answer, i) => assert.deepStrictEqual(answer.rows, [{ i, text: 'x'.repeat(i) }]));

  // Transactions stay on one server; simple and extended queries mixed.
  await Promise.all(Array.from({ length: 12 }, async (_, number) => {
    for (let round = 0; round < 10; round++) {
      const client = await pool.connect();
      await client.query('BEGIN');
      const tag = `${number}-${round}`;
      const first = await client.query('SELECT pg_backend_pid() AS pid, $1::text AS tag', [tag]);
      const second = await client.query(`SELECT pg_backend_pid() AS pid, '${tag}' AS tag`);
      await client.query('INSERT INTO items (id, name) VALUES ($1, $2)', [number * 100 + round, tag]);
      await client.query(round % 2 ? 'COMMIT' : 'ROLLBACK');
      client.release();
      assert.strictEqual(first.rows[0].pid, second.rows[0].pid);
      assert.deepStrictEqual([first.rows[0].tag, second.rows[0].tag], [tag, tag]);
    }
  }));
  const kept = await pool.query('SELECT id, name FROM items ORDER BY id');
  assert.strictEqual(kept.rowCount, 60);
  kept.rows.forEach(({ id, name }) => assert.strictEqual(name, `${Math.floor(id / 100)}-${id % 100}`));

  const client = new Client({ application_name: 'node drive' });
  await client.connect();
  // Values, several results of one text, an error in the middle, the session afterwards.
  const when = new Date('2026-02-28T23:59:59.123Z');
  const values = await client.query('SELECT $1::int8 AS big, $2::bytea AS bytes, $3::timestamptz AS at, $4::jsonb AS doc, $5::text[] AS list, $6::text AS none',
    ['9007199254740993', Buffer.from([0, 1, 255]), when, { a: [1, 'ä'] }, ['x', 'y,z'], null]);
  assert.deepStrictEqual(values.rows, [{ big: '9007199254740993', bytes: Buffer.from([0, 1, 255]), at: when, doc: { a: [1, 'ä'] }, list: ['x', 'y,z'], none: null }]);
  const several = await client.query("SELECT 1 AS a; SELECT 'b' AS b; SELECT");
  assert.deepStrictEqual(several.map((result) => result.rows), [[{ a: 1 }], [{ b: 'b' }], [{}]]);
  await assert.rejects(client.query('SELECT 1 / $1::int', [0]), { code: '22012' });
  await assert.rejects(client.query('SELEC 1'), { code: '42601' });
  await client.query('BEGIN');
  await assert.rejects(client.query('SELECT * FROM nothing'), { code: '42P01' });
  await assert.rejects(client.query('SELECT 1'), { code: '25P02' });
  assert.strictEqual((await client.query('COMMIT')).command, 'ROLLBACK');
  assert.deepStrictEqual((await client.query('SHOW application_name')).rows, [{ application_name: 'node drive' }]);
  // Without waiting for answers: they come in order.
  const queued = await Promise.all(Array.from({ length: 100 }, (_, i) => client.query(i % 2 ? `SELECT ${i} AS i` : { text: 'SELECT $1::int AS i', values: [i] })));
  assert.deepStrictEqual(queued.map((result) => result.rows[0].i), Array.from({ length: 100 }, (_, i) => i));
  const notices = [];
  client.on('notice', (notice) => notices.push(notice.message));
  await client.query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$");
  assert.deepStrictEqual(notices, ['one', 'two']);
  const large = await client.query("SELECT repeat('y', 3000000) AS text, i FROM generate_series(1, 3) i");
  assert.deepStrictEqual(large.rows.map((row) => [row.text.length, row.i]), [[3000000, 1], [3000000, 2], [3000000, 3]]);
  // Named statements need session mode; the refusal leaves the connection usable.
  await assert.rejects(client.query({ name: 'mine', text: 'SELECT 1' }), { code: '0A000' });
  assert.deepStrictEqual((await client.query('SELECT $1::text AS t', ['after'])).rows, [{ t: 'after' }]);
  await client.end();
  await pool.end();
  console.log('all is well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
