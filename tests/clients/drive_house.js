// What the node.js scripts beside this file share.
'use strict';
const assert = require('assert');

// More sessions than pg_dog has servers.
const MANY = 12;
const ZONES = ['UTC', 'Asia/Tokyo', 'America/New_York', 'Asia/Kathmandu', 'Europe/Berlin', 'Pacific/Auckland'];
// 2024-01-01 00:00 in each of them, as seconds since 1970: what the literal means is settled when the statement is prepared.
const MIDNIGHT = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::int AS at";
const MIDNIGHTS = [0, -9 * 3600, 5 * 3600, -5.75 * 3600, -3600, -13 * 3600].map((shift) => 1704067200 + shift);

// Runs work(number) for many at once; the first failure fails everything.
const each = (work, many = MANY) => Promise.all(Array.from({ length: many }, (_, number) => work(number)));

// Sessions with parameters of their own take turns on fewer servers. connect() gives a connection, ask(connection, text, values) the rows as
// objects, prepared by a name where the driver does that; close(connection) ends it.
async function sessionsKeepTheirParameters(connect, ask, close) {
  const conn = await connect();
  for (let number = 0; number < MANY; number++) {
    await ask(conn, `DROP SCHEMA IF EXISTS mine_${number} CASCADE`);
    await ask(conn, `CREATE SCHEMA mine_${number}`);
    await ask(conn, `CREATE TABLE mine_${number}.whoami AS SELECT 1 AS id, ${number} AS who`);
  }
  const fresh = await ask(conn, "SELECT current_setting('search_path') AS path, current_setting('TimeZone') AS zone");
  const conns = await each(connect);
  const zone = (number) => ZONES[number % ZONES.length];
  const isMine = async (number) => {
    const own = conns[number];
    assert.deepStrictEqual(await ask(own, 'SELECT who FROM whoami WHERE id = $1', [1]), [{ who: number }]);
    assert.deepStrictEqual(await ask(own, MIDNIGHT, []), [{ at: MIDNIGHTS[number % ZONES.length] }]);
    assert.deepStrictEqual(await ask(own, 'SHOW statement_timeout'), [{ statement_timeout: `${50001 + number}ms` }]);
  };
  await each(async (number) => {
    await ask(conns[number], `SET search_path TO mine_${number}, public`);
    await ask(conns[number], "SELECT set_config('TimeZone', $1, false)", [zone(number)]);
    await ask(conns[number], `SET statement_timeout = ${50001 + number}`);
  });
  for (let round = 0; round < 8; round++) await each(isMine);
  await each((number) => ask(conns[number], "BEGIN; SET LOCAL statement_timeout = 0; SET TimeZone TO 'Antarctica/Troll'; ROLLBACK"));
  await each(isMine);
  await each(async (number) => {
    if (number % 2) await ask(conns[number], number % 4 === 1 ? 'RESET ALL' : 'RESET search_path');
  });
  for (let round = 0; round < 3; round++) {
    await each(async (number) => {
      if (number % 2 === 0) return isMine(number);
      const [now] = await ask(conns[number], "SELECT current_setting('search_path') AS path, current_setting('TimeZone') AS zone");
      assert.deepStrictEqual(now, { path: fresh[0].path, zone: number % 4 === 1 ? fresh[0].zone : zone(number) });
    });
  }
  for (const one of [...conns, conn]) await close(one);
}

module.exports = { MANY, each, sessionsKeepTheirParameters };
