// Registering, discovering, picking.
import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { after, test } from 'node:test';
import { Client, InvalidArgumentError, NoEndpointsError, TimeoutError } from 'quorate';
import { name, server, within } from './server.mjs';

const { address } = await server();
const client = new Client(address);
after(() => client.close());

/** The first event of a watch for which this holds. */
async function until(watch, holds) {
  for (;;) {
    const { value, done } = await within(watch.next());
    assert.equal(done, false);
    if (holds(value)) return value;
  }
}

test('an instance is registered, discovered, changed and deregistered', async () => {
  const service = name();
  const registration = await client.register(service, '127.0.0.1:8080', {
    id: 'one',
    weight: 3,
    zone: 'fra',
    version: '1.2',
    metadata: { team: 'checkout' },
    ttlMs: 5_000,
  });
  assert.equal(registration.id, 'one');
  assert.equal(registration.service, service);
  assert.equal(registration.namespace, 'default');
  assert.ok(registration.revision > 0);
  assert.equal(registration.evicted, null);
  const watch = client.watchService(service);
  const { view } = await until(watch, (event) => event.view.instances.length === 1);
  assert.deepEqual(view.instances, [
    {
      id: 'one',
      address: '127.0.0.1:8080',
      weight: 3,
      zone: 'fra',
      version: '1.2',
      metadata: { team: 'checkout' },
      status: 'up',
      ttlMs: 5_000,
      revision: registration.revision,
    },
  ]);
  assert.equal(view.freshness.state, 'live');
  await registration.update({ weight: 7, status: 'draining', metadata: {} });
  const changed = await until(watch, (event) => event.kind === 'changed');
  assert.deepEqual(
    changed.updated.map(({ weight, status, metadata }) => ({ weight, status, metadata })),
    [{ weight: 7, status: 'draining', metadata: {} }],
  );
  await registration.deregister();
  await registration.deregister();
  const gone = await until(watch, (event) => event.removed.length > 0);
  assert.deepEqual([gone.removed[0].instance.id, gone.removed[0].reason], ['one', 'deregistered']);
  assert.equal(registration.revision, 0);
  await assert.rejects(registration.update({ weight: 1 }), { code: 'not_found' });
  watch.close();
});

/** A call without a session, as an operator's tool makes it: `Registry.Deregister`. */
async function deregister(service, id) {
  const field = (number, bytes) => Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
  const key = Buffer.concat([field(1, Buffer.from('default')), field(2, Buffer.from(service))]);
  const message = Buffer.concat([field(1, key), field(2, Buffer.from(id))]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  const session = connect(`http://${address}`);
  const call = session.request({
    ':method': 'POST',
    ':path': '/quorate.v1.Registry/Deregister',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const trailers = new Promise((resolve) => call.on('trailers', resolve));
  call.resume().end(Buffer.concat([frame, message]));
  assert.equal((await within(trailers))['grpc-status'], '0');
  session.close();
}

test('what somebody else removes is told to who registered it', async () => {
  const service = name();
  const registration = await client.register(service, '127.0.0.1:81');
  const evicted = new Promise((resolve) => registration.once('evicted', resolve));
  await deregister(service, registration.id);
  assert.equal(await within(evicted), 'deregistered');
  assert.equal(registration.evicted, 'deregistered');
  await registration.deregister();
});

test('services are listed', async () => {
  const service = name();
  await using(client.register(service, '127.0.0.1:81'), async () => {
    const all = await client.listServices();
    const found = all.find((summary) => summary.service === service);
    assert.deepEqual([found.instances, found.up], [1, 1]);
    const everywhere = await client.listServices({ namespace: '*' });
    assert.ok(everywhere.some((summary) => summary.service === service));
  });
});

/** What `await using` does, in the JavaScript of Node 20. */
async function using(making, body) {
  const made = await making;
  try {
    return await body(made);
  } finally {
    await made[Symbol.asyncDispose]();
  }
}

test('picks follow weights, and say where they come from', async () => {
  const service = name();
  await client.register(service, '127.0.0.1:81', { id: 'a', weight: 300, metadata: { k: 'v' } });
  await client.register(service, '127.0.0.1:82', { id: 'b', weight: 100 });
  const watch = client.watchService(service);
  await until(watch, (event) => event.view.instances.length === 2);
  watch.close();
  const handle = client.service(service);
  assert.equal(handle.name, service);
  assert.equal(handle.view.instances.length, 2);
  const counts = { a: 0, b: 0 };
  for (let i = 0; i < 4000; i += 1) {
    const pick = handle.pick();
    counts[pick.id] += 1;
    assert.equal(pick.state, 'live');
    pick.report('ok', { latencyMs: 1 });
    pick.report('fail');
  }
  assert.ok(counts.a > 2 * counts.b && counts.b > 400, JSON.stringify(counts));
  const pick = client.pick(service, { exclude: ['a'] });
  assert.deepEqual([pick.id, pick.address], ['b', '127.0.0.1:82']);
  const { instance } = client.pick(service, { exclude: ['b'] });
  assert.deepEqual(instance.metadata, { k: 'v' });
  assert.ok(Object.isFrozen(instance));
  assert.equal(client.mayRetry(service), true);
  assert.equal(handle.mayRetry(), true);
  assert.ok(client.metrics().picks >= 4002);
});

test('what sticks, sticks', async () => {
  const maglev = new Client(address, { algorithm: 'maglev' });
  const service = name();
  for (const port of [81, 82, 83]) await maglev.register(service, `127.0.0.1:${port}`);
  const watch = maglev.watchService(service);
  await until(watch, (event) => event.view.instances.length === 3);
  const picked = (hash) => {
    const pick = maglev.pick(service, { hash });
    pick.report('ok');
    return pick.id;
  };
  const seen = new Set();
  for (let i = 0; i < 50; i += 1) {
    const id = picked(`user-${i}`);
    assert.equal(picked(Buffer.from(`user-${i}`)), id);
    seen.add(id);
  }
  assert.equal(seen.size, 3);
  assert.equal(picked(17n), picked(17n));
  assert.throws(() => picked(-1n), InvalidArgumentError);
  await maglev.close();
});

test('a pick reports how its call went', async () => {
  const service = name();
  await client.register(service, '127.0.0.1:81');
  await client.register(service, '127.0.0.1:82');
  const watch = client.watchService(service);
  await until(watch, (event) => event.view.instances.length === 2);
  watch.close();
  const handle = client.service(service);
  assert.equal(await handle.pick().run(async (pick) => pick.address.slice(0, 9)), '127.0.0.1');
  const refused = Object.assign(new Error('fetch failed'), {
    cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  });
  // One instance is never there: after a few calls nobody is sent to it.
  let failures = 0;
  for (let i = 0; i < 200; i += 1) {
    const call = handle.pick().run((pick) => {
      if (pick.address.endsWith(':82')) throw refused;
    });
    await call.catch((error) => {
      assert.equal(error, refused);
      failures += 1;
    });
  }
  assert.ok(failures > 0 && failures < 40, String(failures));
  handle.pick()[Symbol.dispose]();
  assert.throws(() => handle.pick().report('great'), InvalidArgumentError);
});

test('without instances there is nothing to pick', async () => {
  const service = name();
  assert.throws(() => client.pick(service), (error) => {
    assert.ok(error instanceof NoEndpointsError);
    assert.equal(error.retryable, true);
    return true;
  });
  const view = await client.discover(service);
  assert.deepEqual(view.instances, []);
  assert.throws(() => client.pick('a b'), InvalidArgumentError);
  assert.equal(client.mayRetry(name()), false);
});

test('static instances and waiting for a server that is not there', async () => {
  const lonely = new Client('127.0.0.1:1', {
    staticInstances: { shop: [{ address: '10.0.0.1:80', weight: 2, metadata: { a: 'b' } }] },
    requestTimeoutMs: 60_000,
  });
  const view = await within(lonely.discover('shop'));
  assert.deepEqual([view.freshness.state, view.instances[0].weight], ['static', 2]);
  assert.equal(lonely.pick('shop').state, 'static');
  await assert.rejects(lonely.discover('other', { timeoutMs: 1 }), TimeoutError);
  const [status] = await lonely.serverStatus();
  assert.equal(status.info, null);
  assert.match(status.error, /127\.0\.0\.1:1/);
  await lonely.close();
});

test('more picks than are remembered', async () => {
  const service = name();
  await client.register(service, '127.0.0.1:81');
  const watch = client.watchService(service);
  await until(watch, (event) => event.view.instances.length === 1);
  watch.close();
  const handle = client.service(service);
  const first = handle.pick();
  // Nobody reports these: they are bounded, and the first one counts as cancelled.
  for (let i = 0; i < 70_000; i += 1) handle.pick();
  first.report('fail');
  handle.pick().report('ok');
});

test('the server says how it is', async () => {
  await client.connected();
  const [status] = await client.serverStatus();
  assert.equal(status.error, null);
  assert.equal(typeof status.info.memberId, 'bigint');
  assert.equal(status.info.leader, status.info.memberId);
  assert.ok(status.info.dbSize > 0);
});
