// Keys, transactions, leases, watches.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  CancelledError,
  Client,
  Compare,
  InvalidArgumentError,
  Op,
  OutOfRangeError,
} from 'quorate';
import { name, server, within } from './server.mjs';

const { address } = await server();
const client = new Client(address);
after(() => client.close());

test('a key is written, read and deleted', async () => {
  const key = name();
  assert.equal(await client.get(key), null);
  const put = await client.put(key, 'hello');
  assert.equal(put.previous, null);
  const again = await client.put(key, Buffer.from([0, 0xff]), { previous: true });
  assert.equal(again.previous.value.toString(), 'hello');
  assert.equal(again.revision, put.revision + 1);
  const kv = await client.get(key);
  assert.deepEqual(kv, {
    key: Buffer.from(key),
    value: Buffer.from([0, 0xff]),
    createRevision: put.revision,
    modRevision: again.revision,
    version: 2,
    lease: 0n,
  });
  assert.equal((await client.get(key, { revision: put.revision })).value.toString(), 'hello');
  assert.equal((await client.get(key, { serializable: true })).version, 2);
  assert.equal(await client.delete(key), 1);
  assert.equal(await client.delete(key), 0);
});

test('ranges are selected, ordered and limited', async () => {
  const prefix = `${name()}/`;
  for (const last of ['b', 'c', 'a']) await client.put(prefix + last, last);
  const keys = (result) => result.kvs.map((kv) => kv.key.toString().slice(prefix.length)).join('');
  assert.equal(keys(await client.range({ prefix })), 'abc');
  assert.equal(keys(await client.range({ prefix, sort: 'create_revision', descending: true })), 'acb');
  const limited = await client.range({ prefix, limit: 2 });
  assert.deepEqual([keys(limited), limited.count, limited.more], ['ab', 3, true]);
  assert.equal(keys(await client.range({ start: `${prefix}b`, end: `${prefix}c` })), 'b');
  const bare = await client.range({ prefix, keysOnly: true });
  assert.equal(bare.kvs[0].value.length, 0);
  const count = await client.range({ prefix, countOnly: true });
  assert.deepEqual([count.kvs, count.count], [[], 3]);
  assert.equal(await client.delete(prefix, { prefix: true }), 3);
});

test('a transaction does one of two things', async () => {
  const key = name();
  const create = {
    when: [Compare.missing(key)],
    then: [Op.put(key, 'mine'), Op.range({ prefix: key })],
    otherwise: [Op.get(key), Op.txn({ then: [Op.delete(key)] })],
  };
  const first = await client.txn(create);
  assert.equal(first.succeeded, true);
  assert.equal(first.results[0].revision, first.revision);
  assert.equal(first.results[1].count, 1);
  const second = await client.txn(create);
  assert.equal(second.succeeded, false);
  assert.equal(second.results[0].kvs[0].value.toString(), 'mine');
  assert.deepEqual(second.results[1].results, [1]);
  const put = await client.put(key, 'a');
  const holds = async (...when) => (await client.txn({ when })).succeeded;
  assert.equal(await holds(Compare.value(key, '==', 'a'), Compare.version(key, '<', 2)), true);
  assert.equal(await holds(Compare.modRevision(key, '>', put.revision)), false);
  assert.equal(await holds(Compare.createRevision(key, '==', put.revision)), true);
  assert.equal(await holds(Compare.lease(key, '!=', 0n)), false);
  assert.equal(await holds(Compare.value(key, '!=', 'b').prefix(), Compare.exists(key)), true);
});

test('a lease takes its keys with it', async () => {
  const key = name();
  const lease = await client.lease(60_000);
  assert.equal(typeof lease.id, 'bigint');
  assert.equal(lease.ttlMs, 60_000);
  await client.put(key, 'here', { lease });
  assert.equal((await client.get(key)).lease, lease.id);
  const left = await lease.timeToLive();
  assert.deepEqual([left.grantedMs, left.keys], [60_000, [Buffer.from(key)]]);
  await lease.revoke();
  await lease.revoke();
  assert.equal(await client.get(key), null);
  assert.equal(await client.leaseTimeToLive(lease), null);
});

test('a lease that was revoked is not lost', async () => {
  const lease = await client.lease(60_000);
  const { signal } = lease;
  const waiting = lease.waitLost();
  await lease.revoke();
  assert.equal(await waiting, false);
  assert.equal(signal.aborted, false);
});

test('a watch shows every change in order', async () => {
  const prefix = `${name()}/`;
  const { revision } = await client.put(`${prefix}a`, '1');
  const watch = client.watch(prefix, { prefix: true, startRevision: revision, previous: true });
  await client.put(`${prefix}a`, '2');
  await client.delete(`${prefix}a`);
  const seen = [];
  for await (const batch of watch) {
    for (const { kind, kv, previous } of batch.events) {
      seen.push([kind, kv.value.toString(), previous?.value.toString()]);
    }
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, [
    ['put', '1', undefined],
    ['put', '2', '1'],
    ['delete', '', '2'],
  ]);
  assert.deepEqual(await watch.next(), { done: true, value: undefined });
});

test('a cancelled reader loses nothing', async () => {
  const key = name();
  const watch = client.watch(key);
  const abort = new AbortController();
  const cancelled = watch.next({ signal: abort.signal });
  abort.abort();
  await assert.rejects(cancelled, CancelledError);
  // It may not have begun before this write: every further one is in it.
  const writing = (async () => {
    for (;;) {
      await client.put(key, 'x');
      if (done) return;
    }
  })();
  let done = false;
  const { value } = await within(watch.next());
  done = true;
  await writing;
  assert.equal(value.events[0].kv.key.toString(), key);
  await watch[Symbol.asyncDispose]();
});

test('a watch is read by events, too', async () => {
  const key = name();
  const { revision } = await client.put(key, '1');
  const watch = client.watch(key, { startRevision: revision });
  const batch = await within(new Promise((resolve) => watch.once('data', resolve)));
  assert.equal(batch.events[0].kv.value.toString(), '1');
  const end = new Promise((resolve) => watch.once('end', resolve));
  watch.close();
  await within(end);
});

test('a signal ends a watch, and its reader', async () => {
  const abort = new AbortController();
  const watch = client.watch(name(), { signal: abort.signal });
  const next = watch.next();
  abort.abort();
  assert.equal((await next).done, true);
  await assert.rejects(watch.next(), { name: 'AbortError', code: 'cancelled' });
  assert.throws(() => client.watch(name(), { signal: abort.signal }), CancelledError);
});

test('a watch of what is compacted fails, and ends', async () => {
  const key = name();
  await client.put(key, '1');
  const { revision } = await client.put(key, '2');
  await client.compact(revision);
  const watch = client.watch(key, { startRevision: 1 });
  await assert.rejects(within(watch.next()), OutOfRangeError);
  assert.equal((await watch.next()).done, true);
  const again = client.watch(key, { startRevision: 1 });
  const error = await within(
    new Promise((resolve) => again.on('data', () => {}).once('error', resolve)),
  );
  assert.ok(error instanceof OutOfRangeError);
});

test('bad input is refused with a stable code', async () => {
  const refused = async (promise, about) => {
    await assert.rejects(promise, (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.equal(error.code, 'invalid_argument');
      assert.equal(error.number, 1);
      assert.equal(error.retryable, false);
      assert.match(error.nextStep, /arguments/);
      assert.match(error.message, about);
      return true;
    });
  };
  await refused(client.put('', 'x'), /empty/);
  await refused(client.get(17), /string or a Uint8Array/);
  await refused(client.get('\ud800'), /surrogate/);
  await refused(client.get('k', { revision: 1.5 }), /1\.5/);
  await refused(client.get('k', { revision: Number.NaN }), /NaN/);
  await refused(client.get('k', { revison: 1 }), /revison.*use revision/);
  await refused(client.range({}), /needs a prefix/);
  await refused(client.range({ prefix: 'a', sort: 'size' }), /size/);
  await refused(client.range({ prefix: 'a', limit: -1 }), /limit/);
  await refused(client.lease(-1), /milliseconds/);
  await refused(client.put('k', 'v', { lease: 1n << 64n }), /64 bits/);
  await refused(client.lock('l', { timeoutMs: Number.NaN }), /NaN/);
  await refused(client.txn({ when: [Compare.value('a', '~', 'b')] }), /~/);
  assert.throws(() => new Client('nowhere'), InvalidArgumentError);
  assert.throws(() => new Client(address, { algorithm: 'dice' }), /dice/);
  assert.throws(() => new Client(address, { balancer: { luck: 1 } }), /luck/);
  // A real replacement character is text like any other.
  await client.put(name(), '\ufffd');
});

test('many calls at once are all answered', async () => {
  const key = name();
  const puts = await Promise.all(Array.from({ length: 500 }, (_, i) => client.put(`${key}/${i}`, 'x')));
  assert.equal(new Set(puts.map((put) => put.revision)).size, 500);
});

test('a closed client says so, and its iterators end', async () => {
  const closing = new Client(address);
  const watch = closing.watch(name());
  const next = watch.next();
  await closing.close();
  await closing.close();
  assert.equal((await within(next)).done, true);
  await assert.rejects(closing.get('x'), { code: 'closed' });
});
