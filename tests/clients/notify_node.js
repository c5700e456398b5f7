// node-postgres that listens through pg_dog in transaction mode. Asserts by itself; the login is in the environment.
'use strict';
const assert = require('assert');
const { Client } = require('pg');

const COUNT = 50;

async function main() {
  const [listener, notifier] = [new Client(), new Client()];
  await Promise.all([listener.connect(), notifier.connect()]);
  const heard = [];
  const all = new Promise((done) => {
    listener.on('notification', ({ channel, payload }) => {
      heard.push([channel, payload]);
      if (heard.length === COUNT) done();
    });
  });
  await listener.query('LISTEN from_node');
  for (let i = 0; i < COUNT; i++) {
    await notifier.query(`NOTIFY from_node, '${i}'`);
    const answer = await listener.query('SELECT $1::int AS i', [i]);
    assert.strictEqual(answer.rows[0].i, i);
  }
  await all;
  assert.deepStrictEqual(heard, Array.from({ length: COUNT }, (_, i) => ['from_node', String(i)]));
  await listener.query('UNLISTEN from_node');
  await Promise.all([listener.end(), notifier.end()]);
  console.log('all is well');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
