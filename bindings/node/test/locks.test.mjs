// Locks, elections, their loss, and what an abort leaves behind.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  CancelledError,
  Client,
  ConflictError,
  LockGuard,
  LockLostError,
  TimeoutError,
} from 'quorate';
import { name, Server, server, within } from './server.mjs';

const { address } = await server();
const client = new Client(address);
after(() => client.close());

/** Resolves once so many keys stand in the line for a lock or an election. */
async function line(lock, count) {
  const prefix = `${lock}/`;
  const { kvs, revision } = await client.range({ prefix });
  const keys = new Set(kvs.map((kv) => kv.key.toString()));
  if (keys.size === count) return;
  const watch = client.watch(prefix, { prefix: true, startRevision: revision + 1 });
  for (;;) {
    const { value } = await within(watch.next(), `${count} in line for ${lock}`);
    for (const { kind, kv } of value.events) {
      if (kind === 'put') keys.add(kv.key.toString());
      else keys.delete(kv.key.toString());
    }
    if (keys.size === count) return watch.close();
  }
}

test('a lock is handed on in order, with growing tokens', async () => {
  const lock = name();
  const first = await client.lock(lock);
  assert.ok(first instanceof LockGuard);
  assert.equal(first.name, lock);
  assert.ok(first.key.toString().startsWith(`${lock}/`));
  assert.equal(first.isLost, false);
  await assert.rejects(client.tryLock(lock), ConflictError);
  await assert.rejects(client.lock(lock, { timeoutMs: 20 }), (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.equal(error.name, 'TimeoutError');
    assert.equal(error.retryable, true);
    // Where it was called, although the answer came from another thread.
    assert.match(error.stack, /locks\.test\.mjs/);
    return true;
  });
  const second = client.lock(lock);
  await line(lock, 2);
  await first.unlock();
  await first.unlock();
  const guard = await within(second);
  assert.ok(guard.token > first.token);
  await guard[Symbol.asyncDispose]();
  await line(lock, 0);
  await (await client.tryLock(lock, { ttlMs: 5_000 })).unlock();
});

test('an abort leaves the line, and no ticket behind', async () => {
  const lock = name();
  const held = await client.lock(lock);
  const abort = new AbortController();
  const waiting = client.lock(lock, { signal: abort.signal });
  await line(lock, 2);
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(waiting, (error) => {
    assert.ok(error instanceof CancelledError);
    assert.deepEqual([error.name, error.code, error.cause], ['AbortError', 'cancelled', reason]);
    return true;
  });
  await line(lock, 1);
  await held.unlock();
  await line(lock, 0);
  const never = AbortSignal.abort();
  await assert.rejects(client.lock(lock, { signal: never }), CancelledError);
  await line(lock, 0);
});

test('an abort at any moment leaves no ticket behind', async () => {
  const lock = name();
  const election = name();
  const held = await client.lock(lock);
  for (let round = 0; round < 40; round += 1) {
    const abort = new AbortController();
    const { signal } = abort;
    const calls = [
      client.lock(lock, { signal }),
      client.lock(`${lock}-free`, { signal }).then((guard) => guard.unlock()),
      client.election(election).campaign('me', { signal }).then((leadership) => leadership.resign()),
    ];
    // A little further into the calls each time.
    for (let turns = 0; turns < round; turns += 1) await new Promise(setImmediate);
    abort.abort();
    for (const { reason } of await within(Promise.allSettled(calls))) {
      if (reason !== undefined) assert.ok(reason instanceof CancelledError, String(reason));
    }
  }
  await held.unlock();
  for (const left of [lock, `${lock}-free`, election]) await line(left, 0);
});

test('an election has one leader, and says who', async () => {
  const election = client.election(name(), { ttlMs: 5_000 });
  assert.equal(await election.leader(), null);
  const leaders = election.observe();
  const first = await election.campaign('anna');
  const second = election.campaign(Buffer.from('berta'));
  const seen = async () => (await within(leaders.next())).value;
  assert.equal((await seen()).value.toString(), 'anna');
  assert.equal((await election.leader()).token, first.token);
  await first.proclaim('anna again');
  assert.equal((await seen()).value.toString(), 'anna again');
  await first.resign();
  const leadership = await within(second);
  const now = await seen();
  assert.deepEqual([now.value.toString(), now.token], ['berta', leadership.token]);
  assert.deepEqual(now.key, leadership.key);
  await assert.rejects(first.proclaim('late'), LockLostError);
  await leadership.resign();
  leaders.close();
});

test('a loss is told by an event, a signal and to who waits', async () => {
  const lock = name();
  const guard = await client.lock(lock);
  const { signal } = guard;
  const told = new Promise((resolve) => guard.once('lost', resolve));
  const waiting = guard.waitLost();
  assert.equal(await guard.waitLost({ timeoutMs: 1 }), false);
  // Somebody takes the key away, as an operator with etcdctl may.
  await client.delete(guard.key);
  const error = await within(told);
  assert.ok(error instanceof LockLostError);
  assert.equal(signal.aborted, true);
  assert.equal(signal.reason, error);
  assert.equal(await within(waiting), true);
  assert.equal(guard.isLost, true);
  assert.equal(guard.signal.aborted, true);
  await assert.rejects(guard.unlock(), LockLostError);
});

test('leadership without a server is lost in its time', async () => {
  const own = await new Server().start();
  after(() => own.end());
  const lonely = new Client(own.address, { requestTimeoutMs: 500 });
  const leadership = await lonely.election(name(), { ttlMs: 1_000 }).campaign('x');
  const lost = new Promise((resolve) => leadership.once('lost', resolve));
  await own.kill();
  assert.ok((await within(lost)) instanceof LockLostError);
  await assert.rejects(lonely.put('k', 'v'), { code: 'unavailable', retryable: true });
  await lonely.close();
});

test('what is held stays, although nobody refers to it', async () => {
  const lock = name();
  await client.lock(lock);
  const service = name();
  await client.register(service, '127.0.0.1:81');
  globalThis.gc();
  await new Promise(setImmediate);
  globalThis.gc();
  await new Promise(setImmediate);
  await assert.rejects(client.tryLock(lock), ConflictError);
  const { instances } = await client.discover(service);
  assert.equal(instances.length, 1);
});
