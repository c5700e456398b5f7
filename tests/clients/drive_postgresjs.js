// postgres.js with its defaults through pg_dog: every statement with values is prepared by a name of its own, and many are under way at once on
// each connection. Asserts by itself; the login is in the environment.
'use strict';
const assert = require('assert');
const { Readable } = require('stream');
const { pipeline } = require('stream/promises');
const postgres = require('postgres');
const { MANY, each, sessionsKeepTheirParameters } = require('./drive_house.js');

const direct = { port: Number(process.argv[3]) };

async function statements(sql) {
  // Texts shared by all connections, prepared on each; and texts of their own, which are many.
  const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => sql`SELECT ${i}::int AS i, repeat('x', ${i % 50}::int) AS text`));
  answers.forEach((rows, i) => assert.deepStrictEqual([...rows], [{ i, text: 'x'.repeat(i % 50) }]));
  await Promise.all(Array.from({ length: 400 }, async (_, i) => {
    const rows = await sql.unsafe(`SELECT ${i} AS i, $1::text AS tag`, [`tag ${i}`], { prepare: true });
    assert.deepStrictEqual([...rows], [{ i, tag: `tag ${i}` }]);
  }));
  assert.deepStrictEqual([...(await sql.unsafe("SELECT 1 AS a; SELECT 'b' AS b"))].map((rows) => [...rows]), [[{ a: 1 }], [{ b: 'b' }]]);
  const described = await sql`SELECT 1 AS a, 'b'::text AS b WHERE ${true}`.describe();
  assert.deepStrictEqual(described.columns.map(({ name }) => name), ['a', 'b']);
}

async function transactions(sql) {
  await each(async (number) => {
    for (let round = 0; round < 6; round++) {
      const tag = `${number}-${round}`;
      const id = 100 * number + round;
      const failing = sql.begin(async (own) => {
        const [first] = await own`SELECT pg_backend_pid() AS pid, ${tag}::text AS tag`;
        await own`INSERT INTO items ${own({ id, name: tag })}`;
        await assert.rejects(own.savepoint(async (inner) => {
          await inner`INSERT INTO items ${inner({ id, name: 'twice' })}`;
        }), { code: '23505' });
        const rows = await Promise.all([own`SELECT pg_backend_pid() AS pid, ${tag}::text AS tag`, own`SELECT name FROM items WHERE id = ${id}`]);
        assert.deepStrictEqual(rows.map((found) => found[0]), [first, { name: tag }]);
        if (round % 2) throw new Error('changed my mind');
      });
      if (round % 2) await assert.rejects(failing, { message: 'changed my mind' });
      else await failing;
    }
    await assert.rejects(sql`SELECT 1 / ${0}::int`, { code: '22012' });
    await assert.rejects(sql`SELEC ${number}`, { code: '42601' });
  });
  const rows = await sql`SELECT id, name FROM items ORDER BY id`;
  assert.strictEqual(rows.length, MANY * 3);
  rows.forEach(({ id, name }) => assert.strictEqual(name, `${Math.floor(id / 100)}-${id % 100}`));
  await sql`TRUNCATE items`;
}

async function values(sql) {
  const other = postgres(direct);
  const at = new Date('1999-12-31T23:59:59.999Z');
  const look = (own) => own`SELECT ${'-1234567890123456789.0001'}::numeric AS number, ${[1, 2, 3]}::int[] AS list, ${own.json({ a: [1, null] })}::jsonb AS doc,
    ${Buffer.from([0, 255, 92])}::bytea AS bytes, ${at}::timestamptz AS at, ${['a"b', '', 'ä']}::text[] AS texts, ${null}::text AS none, ${0.1}::float8 AS real`;
  for (let round = 0; round < 3; round++) {
    const [a, b] = await Promise.all([look(sql), look(other)]);
    assert.deepStrictEqual([...a], [...b]);
    assert.deepStrictEqual([a[0].bytes, a[0].at, a[0].doc, a[0].list], [Buffer.from([0, 255, 92]), at, { a: [1, null] }, [1, 2, 3]]);
  }
  await other.end();
}

async function copiesAndCursors(sql) {
  const lines = Array.from({ length: 10000 }, (_, i) => `${i}\tname ${i}\t\\N\n`);
  await pipeline(Readable.from(lines), await sql`COPY items FROM STDIN`.writable());
  // Not more than its stream holds: at the end of a larger one it may leave its socket paused for ever.
  const out = [];
  for await (const piece of await sql`COPY (SELECT * FROM items WHERE id < 500 ORDER BY id) TO STDOUT`.readable()) out.push(piece);
  assert.strictEqual(Buffer.concat(out).toString(), lines.slice(0, 500).join(''));
  // Portals that are read in portions, many at once.
  await each(async (number) => {
    const got = [];
    await sql`SELECT id, ${number}::int AS n FROM items WHERE id < 500 ORDER BY id`.cursor(60, (rows) => { got.push(...rows); });
    assert.deepStrictEqual(got, Array.from({ length: 500 }, (_, id) => ({ id, n: number })));
    let seen = 0;
    for await (const rows of sql`SELECT id FROM items ORDER BY id`.cursor(10)) {
      seen += rows.length;
      if (seen === 30) break;
    }
    assert.strictEqual(seen, 30);
    const one = await sql`SELECT ${number}::int AS n`;
    assert.deepStrictEqual([...one], [{ n: number }]);
  });
  await sql`TRUNCATE items`;
}

async function cancels(sql) {
  for (let round = 0; round < 3; round++) {
    const query = sql`SELECT pg_sleep(600)`;
    const failed = assert.rejects(query, { code: '57014' });
    while ((await sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'`)[0].n === 0);
    query.cancel();
    await failed;
    assert.deepStrictEqual([...(await sql`SELECT ${round}::int AS n`)], [{ n: round }]);
  }
}

async function notificationsCome(sql) {
  const got = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const heard = (channel) => (payload) => got.push([channel, payload]) === 4 && done();
  const one = await sql.listen('news', heard('news'));
  const two = await sql.listen('Other News', heard('Other News'));
  for (let i = 0; i < 2; i++) {
    await sql.notify('news', `${i}`);
    await sql.notify('Other News', `${i}`);
  }
  await all;
  assert.deepStrictEqual(got, [['news', '0'], ['Other News', '0'], ['news', '1'], ['Other News', '1']]);
  await one.unlisten();
  await two.unlisten();
}

async function main() {
  const sql = postgres({ max: MANY });
  await statements(sql);
  await transactions(sql);
  await values(sql);
  await copiesAndCursors(sql);
  await cancels(sql);
  // Its listener is a connection of its own, which ends with the others.
  await notificationsCome(sql);
  // One connection that is set aside for a while.
  const own = await sql.reserve();
  await own`SET search_path TO pg_catalog`;
  assert.deepStrictEqual([...(await own`SHOW search_path`)], [{ search_path: 'pg_catalog' }]);
  await own`RESET search_path`;
  own.release();
  await sql.end();
  const ask = async (connection, text, values) => [...(values ? await connection.unsafe(text, values, { prepare: true }) : await connection.unsafe(text))];
  await sessionsKeepTheirParameters(async () => postgres({ max: 1, onnotice: () => {} }), ask, (connection) => connection.end());
  console.log('all is well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
