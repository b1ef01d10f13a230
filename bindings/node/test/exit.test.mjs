// The process and its workers end in bounded time, with everything given up, whatever was going on.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Client } from 'quorate';
import { name, Program, server, within } from './server.mjs';

const { address } = await server();
const client = new Client(address);
after(() => client.close());

const START = `
import { Client, setLogger } from 'quorate';
import { Worker } from 'node:worker_threads';
const [address, name] = process.argv.slice(1);
const client = new Client(address);
`;
/** Milliseconds a program may take to end: a second for its clients, and a busy machine. */
const BOUND = 15_000;

/** Programs that have nothing more to do. */
const ENDINGS = {
  'a client': `await client.put(name, 'x');`,
  'a registration': `await client.register(name, '127.0.0.1:81', { ttlMs: 60_000 });`,
  'a held lock': `await client.lock(name, { ttlMs: 60_000 });`,
  'a lock with listeners': `
    const guard = await client.lock(name, { ttlMs: 60_000 });
    guard.on('lost', () => {}); guard.signal.onabort = () => {};`,
  leadership: `await client.election(name, { ttlMs: 60_000 }).campaign('me');`,
  'a registration with a listener': `
    const registration = await client.register(name, '127.0.0.1:81', { ttlMs: 60_000 });
    registration.on('evicted', () => {});`,
  'a background watch': `
    client.watchService(name).on('data', () => {});
    client.watch(name).on('data', () => {});
    await client.put(name, 'x');`,
  'an unread watch': `client.watch(name); client.watchService(name); await client.get(name);`,
  'a logger': `setLogger(() => {}, 'trace'); await client.get(name);`,
  'a worker that ended': `
    const code = "const { Client } = require('quorate');" +
      "const [address, name] = require('node:worker_threads').workerData;" +
      "new Client(address).lock(name, { ttlMs: 60_000 });";
    const worker = new Worker(code, { eval: true, execArgv: [], workerData: [address, name] });
    await new Promise((resolve) => worker.once('exit', resolve));`,
};

for (const [what, code] of Object.entries(ENDINGS)) {
  test(`a process with only ${what} exits, and leaves nothing`, async () => {
    const lock = name();
    const program = new Program(START + code, address, lock);
    assert.equal(await program.end(BOUND), 0, program.errors);
    await gone(lock);
  });
}

/** Nothing is held under this name: neither lock, leadership nor instance. */
async function gone(of) {
  const guard = await within(client.lock(of), `${of} is free`, 5_000);
  await guard.unlock();
  const watch = client.watchService(of);
  for (;;) {
    const { value } = await within(watch.next(), `${of} has no instance`, 5_000);
    if (value.view.instances.length === 0) break;
  }
  watch.close();
}

const ABRUPT = {
  'process.exit': `process.exit(3);`,
  'process.exit while calls are pending': `
    // Not too many: all of it has one second, on a busy machine too.
    for (let i = 0; i < 10; i += 1) { client.put(name + i, 'x'); client.lock(name + '/x'); }
    client.watch(name).next();
    setImmediate(() => process.exit(3));`,
  'an exception nobody catches': `process.exitCode = 0; throw new Error('intended');`,
};

for (const [what, code] of Object.entries(ABRUPT)) {
  test(`${what} gives up what is held`, async () => {
    const lock = name();
    const hold = `
      await client.lock(name, { ttlMs: 60_000 });
      await client.register(name, '127.0.0.1:81', { ttlMs: 60_000 });`;
    const program = new Program(START + hold + code, address, lock);
    assert.ok([1, 3].includes(await program.end(BOUND)), program.errors);
    await gone(lock);
  });
}

test('for await keeps the process alive', async () => {
  const key = name();
  const program = new Program(
    `${START}
      const watch = client.watch(name);
    console.log('ready');
    for await (const batch of watch) {
      for (const { kv } of batch.events) console.log(kv.value.toString());
      if (batch.events.at(-1).kv.value.toString() === 'end') break;
    }
    console.log('left');`,
    address,
    key,
  );
  assert.equal(await program.line(), 'ready');
  // Its watch may begin later than these writes; one of them is the first it sees.
  let value = '';
  const line = program.line().then((line) => (value = line));
  while (value === '') {
    await client.put(key, 'more');
    assert.equal(program.process.exitCode, null);
    await Promise.race([line, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  assert.equal(value, 'more');
  await client.put(key, 'end');
  let last;
  while ((last = await program.line()) === 'more');
  assert.equal(last, 'end');
  assert.equal(await program.line(), 'left');
  assert.equal(await program.end(BOUND), 0);
});

test('SIGTERM with a handler that closes deregisters at once', async () => {
  const service = name();
  const program = new Program(
    `${START}
    await client.register(name, '127.0.0.1:81', { ttlMs: 60_000 });
    const server = (await import('node:net')).createServer().listen(0);
    process.once('SIGTERM', async () => { await client.close(); server.close(); });
    console.log('ready');`,
    address,
    service,
  );
  await program.line();
  program.process.kill('SIGTERM');
  assert.equal(await program.end(BOUND), 0, program.errors);
  await gone(service);
});

const WORK = `
  const { parentPort, workerData: [address, name] } = require('node:worker_threads');
  const { Client } = require('quorate');
  const client = new Client(address);
  (async () => {
    await client.lock(name, { ttlMs: 60_000 });
    await client.register(name, '127.0.0.1:81', { ttlMs: 60_000 });
    client.watch(name).on('data', () => {});
    parentPort.postMessage('ready');
    for (;;) await Promise.all(Array.from({ length: 20 }, () => client.put(name, 'x')));
  })();
`;

function worker(of) {
  return new Worker(WORK, { eval: true, workerData: [address, of] });
}

test('a worker that is terminated leaves nothing', async () => {
  const names = Array.from({ length: 4 }, name);
  const workers = names.map(worker);
  await within(Promise.all(workers.map((one) => once(one, 'message'))));
  await within(Promise.all(workers.map((one) => one.terminate())), 'they end', BOUND);
  for (const one of names) await gone(one);
  // And the process goes on with its own client.
  await client.put(name(), 'x');
});

test('workers come and go', async () => {
  for (let round = 0; round < 5; round += 1) {
    const one = worker(name());
    await within(once(one, 'message'));
    await within(one.terminate(), 'it ends', BOUND);
  }
});

test('a process with busy workers exits, and what they hold goes', async () => {
  const lock = name();
  const program = new Program(
    `${START}
    const worker = new Worker(${JSON.stringify(WORK)}, {
      eval: true, execArgv: [], workerData: [address, name] });
    worker.once('message', () => process.exit(0));`,
    address,
    lock,
  );
  assert.equal(await program.end(BOUND), 0, program.errors);
  await gone(lock);
});

test('children of child_process inherit nothing', async () => {
  const lock = name();
  const program = new Program(
    `${START}
    import { execFileSync } from 'node:child_process';
    const guard = await client.lock(name, { ttlMs: 60_000 });
    const listing = execFileSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
    // Its own three are sockets, as Node makes them.
    const inherited = listing.split('\\n').filter((line) => / ([3-9]|\\d\\d+) -> socket:/.test(line));
    console.log(inherited.length, guard.isLost);
    await guard.unlock();`,
    address,
    lock,
  );
  assert.equal(await program.line(), '0 false');
  assert.equal(await program.end(BOUND), 0);
});
