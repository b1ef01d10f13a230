/** The client. */

import type {
  Algorithm,
  InstanceDescription,
  KeyValue,
  Leader,
  LeaseInfo,
  PutResult,
  RangeResult,
  ServerStatus,
  ServiceEvent,
  ServiceSummary,
  ServiceView,
  TxnResult,
  WatchBatch,
} from '../native/index.js';
import { fromNative } from './errors.js';
import { closed, opened } from './exit.js';
import { Leadership, Lease, LockGuard } from './held.js';
import type { Keeper } from './held.js';
import { call, native, run } from './native.js';
import type { Waiting } from './native.js';
import { known } from './options.js';
import { Picks, Service, wishes } from './pick.js';
import type { Pick, PickOptions } from './pick.js';
import { Registration } from './registration.js';
import { Stream } from './stream.js';
import { leaseId, RANGE, transaction, writing } from './txn.js';
import type { Bytes, LeaseLike, PutOptions, RangeOptions, Txn } from './txn.js';

/** The options of a client. */
export interface ClientOptions {
  /** That of services; `default` by default. */
  namespace?: string | undefined;
  /** Where discovered services survive a restart of this program; in memory only by default. */
  cacheDir?: string | undefined;
  /** Milliseconds a call may take, failover included; 5,000 by default. */
  requestTimeoutMs?: number | undefined;
  /** Milliseconds one attempt to connect may take; 2,000 by default. */
  connectTimeoutMs?: number | undefined;
  /** How instances are picked; `p2c` by default. */
  algorithm?: Algorithm | undefined;
  /** Settings of breakers, ejection, slow start and the retry budget, by name, such as
   * `{ panic_threshold: 0.3 }`. */
  balancer?: Record<string, number> | undefined;
  /** For people who read the servers' logs. */
  clientName?: string | undefined;
  /** What a service falls back on while neither a server nor the cache knows it. */
  staticInstances?: Record<string, InstanceDescription[]> | undefined;
}

const OPTIONS = [
  'namespace',
  'cacheDir',
  'requestTimeoutMs',
  'connectTimeoutMs',
  'algorithm',
  'balancer',
  'clientName',
  'staticInstances',
] as const;

/** What callers of an instance should know. */
export interface RegisterOptions extends Omit<InstanceDescription, 'address'>, Waiting {}

const REGISTER = ['id', 'weight', 'zone', 'version', 'metadata', 'status', 'ttlMs', 'signal'] as const;

/** Waits at most so long. */
export interface Timeout extends Waiting {
  /** Milliseconds. */
  timeoutMs?: number | undefined;
}

/** What is held outlives a program that vanishes by `ttlMs`. */
export interface Ttl extends Waiting {
  /** Milliseconds, rounded up to whole seconds; 10,000 by default. */
  ttlMs?: number | undefined;
}

/** How to read a key. */
export interface GetOptions extends Waiting {
  /** As it was at this revision; 0: now. */
  revision?: number | undefined;
  /** Whatever the asked server has, which may be stale. */
  serializable?: boolean | undefined;
}

/** How to watch keys. */
export interface WatchOptions extends Waiting {
  /** All keys that begin with the key. */
  prefix?: boolean | undefined;
  /** From this revision on; from now on by default. */
  startRevision?: number | undefined;
  /** With the values before. */
  previous?: boolean | undefined;
}

/**
 * A connection to a Quorate cluster. One serves a whole program. It does not keep the process alive,
 * and is closed when the process ends.
 *
 * Whatever waits takes a `signal`, which withdraws it.
 */
export class Client implements AsyncDisposable {
  readonly #core: native.Core;
  readonly #picks: Picks;
  readonly #held = new Set<object>();
  readonly #keeper: Keeper = {
    keep: (handle) => this.#held.add(handle),
    release: (handle) => this.#held.delete(handle),
  };

  /** Does not connect yet: see `connected`. `servers`: `host:port` of each server of one cluster, in
   * any order; `127.0.0.1:2379` by default. */
  constructor(servers: string | readonly string[] = [], options?: ClientOptions) {
    const endpoints = typeof servers === 'string' ? [servers] : [...servers];
    const given = known(options, OPTIONS) as Partial<native.CoreOptions>;
    this.#core = call(() => new native.Core({ ...given, endpoints }));
    this.#picks = new Picks(this.#core);
    opened(this);
  }

  /** Waits until a server answers. No other call needs it. */
  async connected(options?: Waiting): Promise<void> {
    const { signal } = known(options, ['signal']);
    await run((cancel) => this.#core.connected(cancel), signal);
  }

  /** Ends everything this client does for the program: instances are deregistered, locks released,
   * iterators end. Afterwards every call fails with `ClosedError`. */
  async close(): Promise<void> {
    await run(() => this.#core.close(), undefined);
    this.#held.clear();
    closed(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What this client has counted so far. */
  metrics(): Record<string, number> {
    return call(() => this.#core.metrics());
  }

  /** Asks every server how it is. */
  async serverStatus(options?: Waiting): Promise<ServerStatus[]> {
    const { signal } = known(options, ['signal']);
    return run((cancel) => this.#core.serverStatus(cancel), signal);
  }

  // Discovery

  /** Registers an instance at `host:port`; ready when a server has it. */
  async register(service: string, address: string, options?: RegisterOptions): Promise<Registration> {
    const { signal, ...instance } = known(options, REGISTER);
    const registration = await run(
      (cancel) => this.#core.register(service, { ...instance, address }, cancel),
      signal,
    );
    return new Registration(registration, this.#keeper);
  }

  /** The instances of a service, from memory if it is followed already. The first call waits for a
   * server, `timeoutMs`, and at most the request timeout; while none can be reached it answers from
   * disk, or with the static instances: see `freshness`. */
  async discover(service: string, options?: Timeout): Promise<ServiceView> {
    const { timeoutMs, signal } = known(options, ['timeoutMs', 'signal']);
    return run((cancel) => this.#core.discover(service, timeoutMs, cancel), signal);
  }

  /** Follows a service: a snapshot first, then what changes. One who reads slowly skips what
   * happened in between and sees the result. */
  watchService(service: string, options?: Waiting): Stream<ServiceEvent> {
    const { signal } = known(options, ['signal']);
    return new Stream(call(() => this.#core.watchService(service)), signal);
  }

  /** A handle for those who pick often from one service, which is followed from now on. */
  service(name: string): Service {
    return new Service(name, call(() => this.#core.service(name)), this.#picks);
  }

  /** Chooses an instance for one call, from memory: no network, no waiting. Throws
   * `NoEndpointsError`; also for a service that was not followed before: it is from now on. To wait
   * until it is known, `discover` it first. */
  pick(service: string, options?: PickOptions): Pick {
    const { hash, exclude } = wishes(options);
    try {
      return this.#picks.read(this.#core.pick(service, hash, exclude));
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Whether the service can afford one more retry; takes it out of the budget if so. */
  mayRetry(service: string): boolean {
    return call(() => this.#core.mayRetry(service));
  }

  /** The services of a namespace, by name; of the client's own by default, `*`: of all. */
  async listServices(options?: { namespace?: string | undefined } & Waiting): Promise<ServiceSummary[]> {
    const { namespace, signal } = known(options, ['namespace', 'signal']);
    return run((cancel) => this.#core.listServices(namespace, cancel), signal);
  }

  // Locks, elections, leases

  /** Waits for a lock, first come, first served, and takes it. */
  async lock(name: string, options?: Ttl & Timeout): Promise<LockGuard> {
    const { ttlMs, timeoutMs, signal } = known(options, ['ttlMs', 'timeoutMs', 'signal']);
    const guard = await run((cancel) => this.#core.lock(name, ttlMs, timeoutMs, cancel), signal);
    return new LockGuard(guard, this.#keeper);
  }

  /** Takes the lock if nobody holds it and nobody waits for it; otherwise rejects with
   * `ConflictError`. */
  async tryLock(name: string, options?: Ttl): Promise<LockGuard> {
    const { ttlMs, signal } = known(options, ['ttlMs', 'signal']);
    const guard = await run((cancel) => this.#core.tryLock(name, ttlMs, cancel), signal);
    return new LockGuard(guard, this.#keeper);
  }

  /** An election, in which leadership outlives a program that vanishes by `ttlMs`. */
  election(name: string, options?: { ttlMs?: number | undefined }): Election {
    const { ttlMs } = known(options, ['ttlMs']);
    return new Election(this.#core, this.#keeper, name, ttlMs);
  }

  /** Takes a lease of so many milliseconds, and renews it. */
  async lease(ttlMs: number, options?: Waiting): Promise<Lease> {
    const { signal } = known(options, ['signal']);
    const lease = await run((cancel) => this.#core.lease(ttlMs, cancel), signal);
    return new Lease(this.#core, lease, this.#keeper);
  }

  /** What is left of a lease, anybody's; `null` if there is no such lease. */
  async leaseTimeToLive(lease: LeaseLike, options?: Waiting): Promise<LeaseInfo | null> {
    const { signal } = known(options, ['signal']);
    return (await run((cancel) => this.#core.leaseTimeToLive(leaseId(lease), cancel), signal)) ?? null;
  }

  // Keys

  /** Writes a key. After `UnavailableError` and `TimeoutError` the write may still have taken effect
   * if the message says so. */
  async put(key: Bytes, value: Bytes, options?: PutOptions & Waiting): Promise<PutResult> {
    const { signal, ...put } = known(options, ['lease', 'previous', 'signal']);
    return run((cancel) => this.#core.put(key, value, writing(put), cancel), signal);
  }

  /** Reads a key; `null` if it is not there. */
  async get(key: Bytes, options?: GetOptions): Promise<KeyValue | null> {
    const { revision, serializable, signal } = known(options, ['revision', 'serializable', 'signal']);
    return (await run((cancel) => this.#core.get(key, revision, serializable, cancel), signal)) ?? null;
  }

  /** Reads all keys that begin with `prefix`, or from `start`, included, to `end`, excluded. */
  async range(options: RangeOptions & Waiting): Promise<RangeResult> {
    const { signal, ...range } = known(options, [...RANGE, 'signal']);
    return run((cancel) => this.#core.range(range as native.Range, cancel), signal);
  }

  /** Deletes a key, or all keys that begin with it; gives how many are gone. */
  async delete(key: Bytes, options?: { prefix?: boolean | undefined } & Waiting): Promise<number> {
    const { prefix, signal } = known(options, ['prefix', 'signal']);
    return run((cancel) => this.#core.delete(key, prefix ?? false, cancel), signal);
  }

  /** If all of `when` hold, does `then`, otherwise `otherwise`, as one revision. */
  async txn(txn: Txn, options?: Waiting): Promise<TxnResult> {
    const { signal } = known(options, ['signal']);
    return run((cancel) => this.#core.txn(transaction(txn), cancel), signal);
  }

  /** Forgets all versions older than `revision`. */
  async compact(revision: number, options?: Waiting): Promise<void> {
    const { signal } = known(options, ['signal']);
    await run((cancel) => this.#core.compact(revision, cancel), signal);
  }

  /** Every change of a key, or of all keys that begin with it, in order and without gaps, from now
   * or from `startRevision` on. Fails with `OutOfRangeError` if the history it needs was compacted
   * away. */
  watch(key: Bytes, options?: WatchOptions): Stream<WatchBatch> {
    const { prefix, startRevision, previous, signal } = known(options, [
      'prefix',
      'startRevision',
      'previous',
      'signal',
    ]);
    return new Stream(call(() => this.#core.watch(key, prefix, startRevision, previous)), signal);
  }
}

/** One leader at a time, known to all who ask. */
export class Election {
  readonly #core: native.Core;
  readonly #keeper: Keeper;
  readonly #ttlMs: number | undefined;
  readonly name: string;

  /** @internal */
  constructor(core: native.Core, keeper: Keeper, name: string, ttlMs: number | undefined) {
    this.#core = core;
    this.#keeper = keeper;
    this.name = name;
    this.#ttlMs = ttlMs;
  }

  /** Waits to become the leader, in the order of arrival; others then see `value`. */
  async campaign(value: Bytes, options?: Timeout): Promise<Leadership> {
    const { timeoutMs, signal } = known(options, ['timeoutMs', 'signal']);
    const leadership = await run(
      (cancel) => this.#core.campaign(this.name, value, this.#ttlMs, timeoutMs, cancel),
      signal,
    );
    return new Leadership(leadership, this.#keeper);
  }

  /** Who leads now; `null` if nobody does. */
  async leader(options?: Waiting): Promise<Leader | null> {
    const { signal } = known(options, ['signal']);
    return (await run((cancel) => this.#core.leader(this.name, cancel), signal)) ?? null;
  }

  /** The leader there is, then every new leader and every new value. */
  observe(options?: Waiting): Stream<Leader> {
    const { signal } = known(options, ['signal']);
    return new Stream(call(() => this.#core.observe(this.name)), signal);
  }
}
