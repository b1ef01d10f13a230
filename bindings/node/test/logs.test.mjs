// What the client's threads have to say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, InvalidArgumentError, setLogger } from 'quorate';
import { name, Program, server, within } from './server.mjs';

const { address } = await server();

test('records reach a function, from their level on', async () => {
  const records = [];
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  setLogger((record) => {
    records.push(record);
    if (record.message.includes('127.0.0.1:1')) tell();
  }, 'debug');
  const before = Date.now();
  const client = new Client('127.0.0.1:1', { requestTimeoutMs: 500 });
  await assert.rejects(client.connected(), { code: 'unavailable' });
  await within(told, 'a record of it');
  await client.close();
  setLogger(null);
  for (const { time, level, target, message } of records) {
    assert.ok(Math.abs(time - before) < 60_000, String(time));
    assert.ok(['debug', 'info', 'warn', 'error'].includes(level), level);
    assert.match(target, /^quorate/);
    assert.equal(typeof message, 'string');
  }
  const { length } = records;
  const silent = new Client('127.0.0.1:1', { requestTimeoutMs: 200 });
  await assert.rejects(silent.connected());
  await silent.close();
  assert.equal(records.length, length);
});

test('an unknown level is refused', () => {
  assert.throws(() => setLogger(() => {}, 'loud'), InvalidArgumentError);
});

test('a logger that throws is an uncaught exception, and no more', async () => {
  const program = new Program(
    `import { Client, setLogger } from 'quorate';
    const [address, name] = process.argv.slice(1);
    let first = true;
    process.on('uncaughtException', (error) => {
      if (first) console.log(error.message);
      first = false;
    });
    setLogger(() => { throw new Error('the logger threw'); }, 'trace');
    const nowhere = new Client('127.0.0.1:1', { requestTimeoutMs: 300 });
    await nowhere.connected().catch(() => {});
    const client = new Client(address);
    await client.put(name, 'x');
    while (first) await new Promise(setImmediate);
    console.log('went on');`,
    address,
    name(),
  );
  assert.equal(await program.line(), 'the logger threw');
  assert.equal(await program.line(), 'went on');
  assert.equal(await program.end(), 0, program.errors);
});
