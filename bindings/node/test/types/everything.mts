// Uses everything there is; it need only compile.
import { createServer } from 'node:http';
import * as grpc from '@grpc/grpc-js';
import fastify from 'fastify';
import { serve } from 'quorate/express';
import type { Registering } from 'quorate/express';
import { quorate } from 'quorate/fastify';
import { createFetch } from 'quorate/fetch';
import { registerResolver } from 'quorate/grpc';
import { interceptor } from 'quorate/undici';
import { Agent } from 'undici';
import {
  Client,
  Compare,
  Election,
  Leadership,
  Lease,
  LockGuard,
  LockLostError,
  Op,
  Pick,
  QuorateError,
  Registration,
  Service,
  setLogger,
  Stream,
} from 'quorate';
import type {
  Bytes,
  ClientOptions,
  Instance,
  InstanceDescription,
  KeyValue,
  Leader,
  LeaseInfo,
  LeaseLike,
  LogRecord,
  Outcome,
  PutResult,
  RangeResult,
  RemovalReason,
  ServerStatus,
  ServiceEvent,
  ServiceSummary,
  ServiceView,
  Txn,
  TxnResult,
  WatchBatch,
} from 'quorate';

const backup: InstanceDescription = { address: 'h:1', id: 'a', weight: 1, ttlMs: 1_000 };
const options: ClientOptions = {
  namespace: 'n',
  cacheDir: '/tmp/x',
  requestTimeoutMs: 1,
  connectTimeoutMs: 1,
  algorithm: 'maglev',
  balancer: { panic_threshold: 0.3 },
  clientName: 'c',
  staticInstances: { shop: [backup] },
};
const { signal } = new AbortController();

export async function discovery(client: Client): Promise<void> {
  await client.connected({ signal });
  const metrics: Record<string, number> = client.metrics();
  const servers: ServerStatus[] = await client.serverStatus({ signal });
  const revision: number | undefined = servers[0]?.info?.revision;
  const member: bigint | undefined = servers[0]?.info?.memberId;
  await using registration: Registration = await client.register('s', 'h:1', {
    id: 'i',
    weight: 1,
    zone: 'z',
    version: 'v',
    metadata: { k: 'v' },
    status: 'starting',
    ttlMs: 1_000,
    signal,
  });
  registration.on('evicted', (reason: RemovalReason) => reason.toUpperCase());
  const why: RemovalReason | null = registration.evicted;
  await registration.update({ status: 'up', weight: 2, metadata: {}, signal });
  await registration.deregister({ signal });
  const view: ServiceView = await client.discover('s', { timeoutMs: 1, signal });
  const one: Instance | undefined = view.instances[0];
  const events: Stream<ServiceEvent> = client.watchService('s', { signal });
  for await (const { kind, added, updated, removed } of events) {
    const reasons: (RemovalReason | null)[] = removed.map(({ reason }) => reason);
    if (kind === 'resync') console.log(added, updated, reasons);
  }
  events.on('data', (event) => event.view.freshness.ageMs).on('end', () => {}).on('error', (e) => e.message);
  const summaries: ServiceSummary[] = await client.listServices({ namespace: '*', signal });
  console.log(metrics, revision, member, why, one, summaries);
}

export async function picking(client: Client): Promise<void> {
  const service: Service = client.service('s');
  const seen: ServiceView | null = service.view;
  using pick: Pick = service.pick({ hash: 'user', exclude: ['a'] });
  const outcome: Outcome = 'overloaded';
  pick.report(outcome, { latencyMs: 1, retryAfterMs: 2 });
  const length: number = await client.pick('s', { hash: 1n }).run(async ({ address }) => address.length);
  console.log(seen, pick.instance.zone, pick.state, pick.why, length, service.mayRetry(), client.mayRetry('s'));
  // @ts-expect-error: shared by all picks of the instance.
  pick.instance.weight = 3;
  // @ts-expect-error: no such outcome.
  pick.report('great');
}

export async function holding(client: Client): Promise<void> {
  await using guard: LockGuard = await client.lock('l', { ttlMs: 1, timeoutMs: 1, signal });
  guard.once('lost', (error) => error.nextStep);
  const lost: AbortSignal = guard.signal;
  const waited: boolean = await guard.waitLost({ timeoutMs: 1, signal });
  await (await client.tryLock('l', { ttlMs: 1, signal })).unlock({ signal });
  const election: Election = client.election('e', { ttlMs: 1 });
  await using leadership: Leadership = await election.campaign('me', { timeoutMs: 1, signal });
  await leadership.proclaim(Buffer.of(1), { signal });
  const leader: Leader | null = await election.leader({ signal });
  for await (const { value, key, token } of election.observe({ signal })) console.log(value, key, token);
  await using lease: Lease = await client.lease(1_000, { signal });
  const left: LeaseInfo | null = await lease.timeToLive({ signal });
  const other: LeaseInfo | null = await client.leaseTimeToLive(17n, { signal });
  console.log(guard.name, guard.key, guard.token, guard.isLost, lost.aborted, waited, leader, left, other);
  // @ts-expect-error: ids of leases are bigint.
  await client.leaseTimeToLive(17);
}

export async function keys(client: Client): Promise<void> {
  const key: Bytes = 'k';
  const lease: LeaseLike = 3n;
  const put: PutResult = await client.put(key, Buffer.of(0), { lease, previous: true, signal });
  const kv: KeyValue | null = await client.get(key, { revision: 1, serializable: true, signal });
  const range: RangeResult = await client.range({
    prefix: 'a',
    limit: 1,
    revision: 1,
    sort: 'mod_revision',
    descending: true,
    keysOnly: true,
    countOnly: true,
    serializable: true,
    maxCreateRevision: 9,
    signal,
  });
  const gone: number = await client.delete('a', { prefix: true, signal });
  const txn: Txn = {
    when: [Compare.exists('a').prefix(), Compare.missing('b'), Compare.value('a', '==', 'x')],
    then: [Op.put('a', 'x', { lease }), Op.get('a'), Op.range({ start: 'a', end: 'b' })],
    otherwise: [Op.delete('a', { prefix: true }), Op.txn({ then: [Op.get('a')] })],
  };
  const done: TxnResult = await client.txn(txn, { signal });
  const version = [Compare.version('a', '>', 1), Compare.createRevision('a', '<', 1)];
  const more = [Compare.modRevision('a', '!=', 1), Compare.lease('a', '==', lease)];
  await client.compact(1, { signal });
  const watch: Stream<WatchBatch> = client.watch('a', { prefix: true, startRevision: 1, previous: true, signal });
  const read: IteratorResult<WatchBatch, undefined> = await watch.next({ signal });
  if (!read.done) console.log(read.value.events[0]?.previous?.value.toString());
  await watch[Symbol.asyncDispose]();
  console.log(put.previous?.version, kv?.lease === 0n, range.more, gone, done.results.length, version, more);
  // @ts-expect-error: revisions are numbers.
  await client.compact(1n);
}

export async function all(): Promise<void> {
  setLogger(({ time, level, target, message }: LogRecord) => console.log(time, level, target, message), 'debug');
  setLogger(null);
  await using client = new Client(['a:1', 'b:2'], options);
  try {
    await client.close();
  } catch (error) {
    if (error instanceof LockLostError) throw error;
    if (error instanceof QuorateError) console.log(error.code, error.number, error.retryable, error.nextStep);
  }
}

export async function adapters(client: Client): Promise<void> {
  const fetching: typeof globalThis.fetch = createFetch(client, { retries: 1, isService: (host: string) => host === 'shop' });
  const agent = new Agent().compose(interceptor(client, { retries: 0 }));
  registerResolver(client, grpc);
  const registering: Registering = await serve(createServer(), client, 'shop', { address: 'here', signals: [] });
  await fastify().register(quorate, { client, service: 'shop', ttlMs: 1000 });
  console.log(fetching, agent, registering);
}
