// node-postgres with its defaults through pg_dog: statements that are given a name are prepared once per connection. Asserts by itself; the login is in the environment.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const { MANY, each, sessionsKeepTheirParameters } = require('./drive_house.js');

const direct = { port: Number(process.argv[3]) };

// Every client calls its statement 'mine', and each means another one.
async function namedStatements() {
  const clients = await each(async () => {
    const client = new Client();
    await client.connect();
    return client;
  });
  await each(async (number) => {
    for (let round = 0; round < 10; round++) {
      const answer = await clients[number].query({ name: 'mine', text: `SELECT ${number} AS n_${number}, $1::text AS tag`, values: [`${number}-${round}`] });
      assert.deepStrictEqual(answer.rows, [{ [`n_${number}`]: number, tag: `${number}-${round}` }]);
      const shared = await clients[number].query({ name: `also ${number % 3}`, text: 'SELECT $1::int + 1 AS next', values: [number * 100 + round] });
      assert.deepStrictEqual(shared.rows, [{ next: number * 100 + round + 1 }]);
    }
    // A statement that cannot be prepared, one that fails when it runs, and the same name for another text, which the driver refuses by itself.
    await assert.rejects(clients[number].query({ name: 'bad', text: 'SELEC $1', values: [1] }), { code: '42601' });
    await assert.rejects(clients[number].query({ name: 'bad', text: 'SELECT 1 FROM nothing' }), { code: '42P01' });
    for (let round = 0; round < 3; round++) {
      await assert.rejects(clients[number].query({ name: 'half', text: 'SELECT 1 / $1::int', values: [0] }), { code: '22012' });
      assert.deepStrictEqual((await clients[number].query({ name: 'half', text: 'SELECT 1 / $1::int', values: [1] })).rows, [{ '?column?': 1 }]);
    }
    // Many without waiting for answers.
    const queued = await Promise.all(Array.from({ length: 30 }, (_, i) =>
      clients[number].query(i % 3 ? { name: 'mine', text: `SELECT ${number} AS n_${number}, $1::text AS tag`, values: [`${i}`] } : `SELECT '${i}' AS tag`)));
    assert.deepStrictEqual(queued.map((result) => result.rows[0].tag), Array.from({ length: 30 }, (_, i) => `${i}`));
  });
  await each((number) => clients[number].end());
}

async function errorsAndSavepoints(pool) {
  await pool.query("INSERT INTO items (id, name) VALUES (5000, 'there')");
  await each(async (number) => {
    const client = await pool.connect();
    for (let round = 0; round < 5; round++) {
      const twice = { name: 'twice', text: 'INSERT INTO items (id, name) VALUES ($1, $2)', values: [5000, 'twice'] };
      await assert.rejects(client.query(twice), { code: '23505', constraint: 'items_pkey' });
      await client.query('BEGIN');
      await client.query({ ...twice, values: [6000 + number, `${number}`] });
      await client.query('SAVEPOINT before');
      await assert.rejects(client.query(twice), { code: '23505' });
      await client.query('ROLLBACK TO before');
      const seen = await client.query({ name: 'seen', text: 'SELECT name FROM items WHERE id = $1', values: [6000 + number] });
      assert.deepStrictEqual(seen.rows, [{ name: `${number}` }]);
      await client.query('ROLLBACK');
    }
    client.release();
  });
  assert.strictEqual((await pool.query('SELECT FROM items WHERE id >= 6000')).rowCount, 0);
}

// Portals read in portions: inside a transaction, and outside of one, where the answer to Sync closes it.
async function cursors(pool) {
  await each(async (number) => {
    const client = await pool.connect();
    await client.query('BEGIN');
    const cursor = client.query(new Cursor('SELECT i, $1::int AS n FROM generate_series(1, 100) i', [number]));
    const got = [];
    for (let rows = await cursor.read(7); rows.length; rows = await cursor.read(7)) got.push(...rows);
    assert.deepStrictEqual(got, Array.from({ length: 100 }, (_, i) => ({ i: i + 1, n: number })));
    await cursor.close();
    await client.query('COMMIT');
    const alone = client.query(new Cursor('SELECT i FROM generate_series(1, 50) i'));
    assert.deepStrictEqual((await alone.read(3)).map(({ i }) => i), [1, 2, 3]);
    assert.deepStrictEqual((await alone.read(2)).map(({ i }) => i), [4, 5]);
    await alone.close();
    client.release();
  });
}

async function notificationsCome(pool) {
  const listener = new Client();
  await listener.connect();
  const got = [];
  const all = new Promise((resolve) => listener.on('notification', ({ channel, payload }) => got.push([channel, payload]) === 4 && resolve()));
  await listener.query('LISTEN news');
  await listener.query('LISTEN "Other News"');
  for (let i = 0; i < 2; i++) {
    await pool.query(`NOTIFY news, '${i}'`);
    await pool.query('SELECT pg_notify($1, $2)', ['Other News', `${i}`]);
  }
  assert.deepStrictEqual((await listener.query("SELECT 'meanwhile' AS t")).rows, [{ t: 'meanwhile' }]);
  await all;
  assert.deepStrictEqual(got, [['news', '0'], ['Other News', '0'], ['news', '1'], ['Other News', '1']]);
  await listener.query('UNLISTEN *');
  await listener.end();
}

// Arrays, json, numeric, bytes, times: in both formats of the wire the same as without pg_dog.
async function theSameAsDirect() {
  const other = new Client(direct);
  const own = new Client();
  await Promise.all([other.connect(), own.connect()]);
  const text = `SELECT $1::numeric AS number, $2::int[] AS list, $3::json AS doc, $4::bytea AS bytes, $5::timestamptz AS at, $6::interval AS span,
    $7::float8 AS real, $8::uuid AS id, $9::text[] AS texts`;
  const values = ['-1234567890123456789.000100', [[1, null], [2, 3]], { a: [1, null] }, Buffer.from([0, 255, 92]), new Date('1999-12-31T23:59:59.999Z'),
    '3 days 04:05:06', 0.1, '00000000-0000-0000-0000-000000000007', ['a"b', '', null]];
  // In the wire's binary format it reads only a few types right.
  const few = 'SELECT $1::int AS number, $2::text AS text, $3::float8 AS real, $4::bool AS yes';
  const queries = [{ name: 'values', text, values }, { name: 'few', text: few, values: [-7, 'ä', 0.1, true], binary: true }];
  for (const query of [...queries, ...queries]) {
    const [a, b] = await Promise.all([own, other].map((client) => client.query(query)));
    assert.deepStrictEqual(a.rows, b.rows);
    assert.deepStrictEqual(a.fields, b.fields);
  }
  await Promise.all([other.end(), own.end()]);
}

async function main() {
  const pool = new Pool({ max: MANY });

  const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => pool.query('SELECT $1::int AS i, repeat($2, $1::int) AS text', [i, 'x'])));
  answers.forEach((answer, i) => assert.deepStrictEqual(answer.rows, [{ i, text: 'x'.repeat(i) }]));

  // Transactions stay on one server; simple and extended queries mixed.
  await Promise.all(Array.from({ length: MANY }, async (_, number) => {
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
  // A query that takes too long is given up on both sides.
  await client.query("SET statement_timeout = '100ms'");
  await assert.rejects(client.query('SELECT pg_sleep(600)'), { code: '57014' });
  await client.query('RESET statement_timeout');
  assert.deepStrictEqual((await client.query('SELECT $1::text AS t', ['after'])).rows, [{ t: 'after' }]);
  await client.end();
  await namedStatements();
  await errorsAndSavepoints(pool);
  await cursors(pool);
  await notificationsCome(pool);
  await theSameAsDirect();
  await pool.end();
  const connect = async () => {
    const own = new Client();
    await own.connect();
    return own;
  };
  const ask = async (own, sql, values) => (await own.query(values ? { name: sql.slice(0, 60), text: sql, values } : sql)).rows;
  await sessionsKeepTheirParameters(connect, ask, (own) => own.end());
  console.log('all is well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
