/* The native addon, generated from bindings/node/src by `npm run build`. The package's own face is
   in lib/. */

/** How instances are picked. */
export type Algorithm = 'p2c' | 'weighted_random' | 'weighted_round_robin' | 'maglev';
/** Whether an instance wants calls. */
export type InstanceStatus = 'up' | 'starting' | 'draining' | 'down';
/** Where the knowledge of a service comes from. */
export type CacheState = 'live' | 'stale' | 'snapshot' | 'static';
/** Why an instance went. */
export type RemovalReason = 'deregistered' | 'lease_expired' | 'session_lost' | 'operator' | 'moved';
/** What records are sorted by. */
export type SortBy = 'key' | 'version' | 'create_revision' | 'mod_revision' | 'value';
/** How a call to a picked instance went. */
export type Outcome = 'ok' | 'fail' | 'timeout' | 'connect_fail' | 'overloaded' | 'cancelled';
/** How a pick came to be this one. */
export type Why = 'normal' | 'slow_start' | 'excluded_fallback' | 'panic' | 'probe';
/** How serious a log record is. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** Withdraws one call: hand it to the call, then `cancel()` it. */
export declare class Cancel {
  /** For one call. */
  constructor()
  /** Rejects the call with `cancelled`; does nothing once it is settled. */
  cancel(): void
}

/** A client. */
export declare class Core {
  /** Does not connect yet. */
  constructor(options: CoreOptions)
  /** Waits until a server answers. */
  connected(cancel?: Cancel | undefined | null): Promise<undefined>
  /** Ends everything this client does. */
  close(): Promise<undefined>
  /** What this client has counted so far. */
  metrics(): Record<string, number>
  /** Asks every server how it is. */
  serverStatus(cancel?: Cancel | undefined | null): Promise<Array<ServerStatus>>
  /** Registers an instance. */
  register(service: string, instance: InstanceDescription, cancel?: Cancel | undefined | null): Promise<Registration>
  /** The instances of a service. */
  discover(service: string, timeoutMs?: number | undefined | null, cancel?: Cancel | undefined | null): Promise<ServiceView>
  /** Follows a service. */
  watchService(service: string): Stream
  /** A handle for those who pick often from one service. */
  service(service: string): Service
  /** The picks of this client. */
  picker(): Picker
  /** Chooses an instance for one call, from memory. */
  pick(service: string, hash?: string | Uint8Array | bigint | undefined, exclude?: string[] | undefined): number
  /** Whether the service can afford one more retry. */
  mayRetry(service: string): boolean
  /** The services of a namespace. */
  listServices(namespace?: string | undefined, cancel?: Cancel | undefined | null): Promise<Array<ServiceSummary>>
  /** Takes a lock, first come, first served. */
  lock(name: string, ttlMs?: number | undefined | null, timeoutMs?: number | undefined | null, cancel?: Cancel | undefined | null): Promise<Guard>
  /** Takes a lock if nobody holds it and nobody waits for it. */
  tryLock(name: string, ttlMs?: number | undefined | null, cancel?: Cancel | undefined | null): Promise<Guard>
  /** Waits to become the leader. */
  campaign(name: string, value: string | Uint8Array, ttlMs?: number | undefined | null, timeoutMs?: number | undefined | null, cancel?: Cancel | undefined | null): Promise<Leadership>
  /** Who leads now. */
  leader(name: string, cancel?: Cancel | undefined | null): Promise<Leader | undefined | null>
  /** The leader there is, then every new leader and every new value. */
  observe(name: string): Stream
  /** Takes a lease, and renews it. */
  lease(ttlMs: number, cancel?: Cancel | undefined | null): Promise<Lease>
  /** What is left of a lease. */
  leaseTimeToLive(id: bigint, cancel?: Cancel | undefined | null): Promise<LeaseInfo | undefined | null>
  /** Writes a key. */
  put(key: string | Uint8Array, value: string | Uint8Array, options: Put, cancel?: Cancel | undefined | null): Promise<PutResult>
  /** Reads a key. */
  get(key: string | Uint8Array, revision?: number | undefined | null, serializable?: boolean | undefined | null, cancel?: Cancel | undefined | null): Promise<KeyValue | undefined | null>
  /** Reads a range. */
  range(range: Range, cancel?: Cancel | undefined | null): Promise<RangeResult>
  /** Deletes a key, or all that begin with it; gives how many are gone. */
  delete(key: string | Uint8Array, prefix: boolean, cancel?: Cancel | undefined | null): Promise<number>
  /** If all comparisons hold, does `then`, otherwise `otherwise`, as one revision. */
  txn(txn: Transaction, cancel?: Cancel | undefined | null): Promise<TxnResult>
  /** Forgets all versions older than a revision. */
  compact(revision: number, cancel?: Cancel | undefined | null): Promise<undefined>
  /** Every change of a key, or of all keys that begin with it. */
  watch(key: string | Uint8Array, prefix?: boolean | undefined | null, startRevision?: number | undefined | null, previous?: boolean | undefined | null): Stream
}

/** A held lock. */
export declare class Guard {
  /** The lock's name. */
  get name(): string
  /** The key that stands for this holder. */
  get key(): Buffer
  /** The fencing token. */
  get token(): number
  /** Whether it is lost. */
  isLost(): boolean
  /** `true` when it is lost; `false` when the time is up or it was given up. */
  waitLost(timeoutMs: number | undefined | null, background: boolean, cancel?: Cancel | undefined | null): Promise<boolean>
  /** Releases it; does nothing the second time. */
  unlock(cancel?: Cancel | undefined | null): Promise<undefined>
}

/** Leadership that is held. */
export declare class Leadership {
  /** The election's name. */
  get name(): string
  /** The key that stands for this leader. */
  get key(): Buffer
  /** The fencing token. */
  get token(): number
  /** Whether it is lost. */
  isLost(): boolean
  /** `true` when it is lost; `false` when the time is up or it was given up. */
  waitLost(timeoutMs: number | undefined | null, background: boolean, cancel?: Cancel | undefined | null): Promise<boolean>
  /** Changes what others see of the leader. */
  proclaim(value: string | Uint8Array, cancel?: Cancel | undefined | null): Promise<undefined>
  /** Gives leadership up; does nothing the second time. */
  resign(cancel?: Cancel | undefined | null): Promise<undefined>
}

/** A lease that is renewed. */
export declare class Lease {
  /** Its id. */
  get id(): bigint
  /** Milliseconds, as granted. */
  get ttlMs(): number
  /** Whether it is lost. */
  isLost(): boolean
  /** `true` when it is lost; `false` when the time is up or it was given up. */
  waitLost(timeoutMs: number | undefined | null, background: boolean, cancel?: Cancel | undefined | null): Promise<boolean>
  /** Ends it now; does nothing the second time. */
  revoke(cancel?: Cancel | undefined | null): Promise<undefined>
}

/** The picks of one client: they are reported, and their instances read, here. */
export declare class Picker {
  /** The instance at this place. */
  instance(place: number): Instance | null
  /**
   * Says how a call went; does nothing the second time. Without `latency_ms`, the time since the
   * pick.
   */
  report(ticket: number, outcome: Outcome, latencyMs?: number | undefined | null, retryAfterMs?: number | undefined | null): void
}

/** A registered instance. */
export declare class Registration {
  /** The instance's id. */
  get id(): string
  /** The service's namespace. */
  get namespace(): string
  /** The service's name. */
  get service(): string
  /** Where it is called. */
  get address(): string
  /** The record's revision; 0 once it was deregistered. */
  revision(): number
  /** Why somebody else removed it, if so. */
  evicted(): RemovalReason | null
  /** `true` when it is evicted; `false` when the time is up or it was deregistered. */
  waitEvicted(timeoutMs: number | undefined | null, background: boolean, cancel?: Cancel | undefined | null): Promise<boolean>
  /** Changes what is given. */
  update(change: InstanceChange, cancel?: Cancel | undefined | null): Promise<undefined>
  /** Removes the instance; does nothing the second time. */
  deregister(cancel?: Cancel | undefined | null): Promise<undefined>
}

/** A followed service: picks without looking it up by name. */
export declare class Service {
  /** The view of this moment, from memory; `null` while nothing is known. */
  view(): ServiceView | null
  /** Chooses an instance for one call, from memory. */
  pick(hash?: string | Uint8Array | bigint | undefined, exclude?: string[] | undefined): number
  /** Whether the service can afford one more retry; takes it out of the budget if so. */
  mayRetry(): boolean
}

/** A stream that ends when it is closed or its client is. */
export declare class Stream {
  /** The next item; `null` at the end. An item whose reader was cancelled is not lost. */
  next(background: boolean, cancel?: Cancel | undefined | null): Promise<unknown>
  /** Ends it; who waits for its next item is told that there is none. */
  close(): void
}

/** One of the stable codes. */
export interface CodeInfo {
  /** The stable name. */
  code: string
  /** The stable number. */
  number: number
  /** Whether the same call may succeed later. */
  retryable: boolean
  /** What the caller can do next. */
  nextStep: string
}

/** A condition on one key, or on every key of a prefix. */
export interface Comparison {
  /** Whether it is there, or what of it is compared. */
  target: 'exists' | 'missing' | 'value' | 'version' | 'create_revision' | 'mod_revision' | 'lease'
  /** The key. */
  key: string | Uint8Array
  /** How it is compared. */
  symbol?: '==' | '!=' | '>' | '<'
  /** With what, if it is the value. */
  value?: string | Uint8Array
  /** With what, if it is a revision or version. */
  number?: number
  /** With what, if it is the lease. */
  lease?: bigint
  /** For every key that begins with `key`. */
  prefix?: boolean
}

/** What a client is told; what is left out has the core's default. */
export interface CoreOptions {
  /** `host:port` of each server of one cluster, in any order. */
  endpoints: Array<string>
  /** That of services. */
  namespace?: string
  /** Where discovered services survive a restart of this program. */
  cacheDir?: string
  /** Milliseconds a call may take, failover included. */
  requestTimeoutMs?: number
  /** Milliseconds one attempt to connect may take. */
  connectTimeoutMs?: number
  /** How instances are picked. */
  algorithm?: Algorithm
  /** Settings of breakers, ejection, slow start and the retry budget, by name. */
  balancer?: Record<string, number>
  /** For people who read the servers' logs. */
  clientName?: string
  /** What a service falls back on while neither a server nor the cache knows it. */
  staticInstances?: Record<string, Array<InstanceDescription>>
}

/** Deletes a key. */
export interface DeleteOperation {
  /** The key. */
  key: string | Uint8Array
  /** All keys that begin with it. */
  prefix: boolean
}

/** All codes. */
export declare function errorCodes(): Array<CodeInfo>

/** How much to trust a view. */
export interface Freshness {
  /**
   * `live`: as the server has it. `stale`: no server answers. `snapshot`: from disk. `static`:
   * from the program's own configuration.
   */
  state: CacheState
  /** The epoch in which the revision counts; 0 if no server vouches for this content. */
  epoch: number
  /** The service's revision. */
  revision: number
  /** Milliseconds since a server last confirmed it. */
  ageMs: number
  /** False while the server has started too recently to know everybody. */
  complete: boolean
}

/**
 * What an HTTP status and `Retry-After` say of an instance: the same for the adapters of all
 * languages.
 */
export declare function httpOutcome(status: number, retryAfter?: string | undefined | null): HttpOutcome

/** What an HTTP status says of the instance that gave it. */
export interface HttpOutcome {
  /** To be reported. */
  outcome: Outcome
  /** Milliseconds it asks to be left alone. */
  retryAfterMs?: number
}

/** One address that serves a service. */
export interface Instance {
  /** Unique within its service. */
  id: string
  /** `host:port` */
  address: string
  /** Relative share of the calls, 0 to 65535. */
  weight: number
  /** Where it runs. */
  zone: string
  /** The program's version. */
  version: string
  /** Labels. */
  metadata: Record<string, string>
  /** Whether it wants calls. */
  status: InstanceStatus
  /** Milliseconds it stays without a sign of life. */
  ttlMs: number
  /** Grows with every change of the record; set by the server. */
  revision: number
}

/** What changes of a registered instance. */
export interface InstanceChange {
  /** Whether it wants calls. */
  status?: InstanceStatus
  /** Its share of the calls, 0 to 65535. */
  weight?: number
  /** Replaces all labels. */
  metadata?: Record<string, string>
}

/** An instance, as a program describes it. */
export interface InstanceDescription {
  /** `host:port` */
  address: string
  /** Unique in the service; the address by default. */
  id?: string
  /** Share of calls relative to others, 0 to 65535; 100 by default. */
  weight?: number
  /** Where it runs. */
  zone?: string
  /** The program's version. */
  version?: string
  /** Labels. */
  metadata?: Record<string, string>
  /** Whether it wants calls; `up` by default. */
  status?: InstanceStatus
  /** Milliseconds it stays when the program vanishes, 1,000 to 3,600,000; 10,000 by default. */
  ttlMs?: number
}

/** A change of one key. */
export interface KeyEvent {
  /** What happened. */
  kind: 'put' | 'delete'
  /** After a delete: only key and modRevision. */
  kv: KeyValue
  /** The value before, if it was asked for and there was one. */
  previous: KeyValue | null
}

/** One version of one key. */
export interface KeyValue {
  /** The key. */
  key: Buffer
  /** The value. */
  value: Buffer
  /** The revision at which it was created. */
  createRevision: number
  /** The revision of its last change. */
  modRevision: number
  /** How many changes since the creation. */
  version: number
  /** The lease it goes with; `0n`: none. */
  lease: bigint
}

/** Who leads an election. */
export interface Leader {
  /** What the leader says of itself. */
  value: Buffer
  /** The key that stands for the leader. */
  key: Buffer
  /** The fencing token. */
  token: number
}

/** What is left of a lease, and the keys on it. */
export interface LeaseInfo {
  /** Its id. */
  id: bigint
  /** Milliseconds it was granted. */
  grantedMs: number
  /** Milliseconds that are left, in whole seconds. */
  remainingMs: number
  /** The keys that go with it. */
  keys: Array<Buffer>
}

/** One record. */
export interface LogRecord {
  /** Milliseconds since 1970. */
  time: number
  /** How serious it is. */
  level: LogLevel
  /** The module that wrote it. */
  target: string
  /** What happened, and behind it fields as `name=value`. */
  message: string
}

/** One operation of a transaction: exactly one of its fields. */
export interface Operation {
  /** Writes a key. */
  put?: PutOperation
  /** Reads a key. */
  get?: string | Uint8Array
  /** Reads a range. */
  range?: Range
  /** Deletes a key, or all that begin with it. */
  delete?: DeleteOperation
  /** A transaction within the transaction. */
  txn?: Transaction
}

/** The names behind the numbers. */
export declare function pickNames(): PickNames

/**
 * What JavaScript needs to read a pick's number: `ticket · 2^20 + instance · 2^6 + fresh · 2^5 +
 * why · 2^2 + state`. `fresh` is 1 if the instances before this one are forgotten.
 */
export interface PickNames {
  /** By number. */
  states: CacheState[]
  /** By number. */
  whys: Why[]
}

/** How to write a key. */
export interface Put {
  /** The lease with which the key goes; none by default. */
  lease?: bigint
  /** Also answer what the key was before. */
  previous?: boolean
}

/** Writes a key. */
export interface PutOperation {
  /** The key. */
  key: string | Uint8Array
  /** The value. */
  value: string | Uint8Array
  /** How. */
  options: Put
}

/** What a write did. */
export interface PutResult {
  /** The store's revision right after it. */
  revision: number
  /** The value before, if it was asked for and there was one. */
  previous: KeyValue | null
}

/** Which keys to read, and how. */
export interface Range {
  /** All keys that begin with it. */
  prefix?: string | Uint8Array
  /** The first key. */
  start?: string | Uint8Array
  /** The first key that is left out. */
  end?: string | Uint8Array
  /** At most so many records; 0, the default: all of them. */
  limit?: number
  /** As it was at this revision; 0, the default: now. */
  revision?: number
  /** What to sort by; the key by default. */
  sort?: SortBy
  /** Greatest first. */
  descending?: boolean
  /** Without values. */
  keysOnly?: boolean
  /** Only how many there are. */
  countOnly?: boolean
  /** Whatever the asked server has, which may be stale. */
  serializable?: boolean
  /** Only records created at this revision or before; 0, the default: all. */
  maxCreateRevision?: number
}

/** The records read. */
export interface RangeResult {
  /** The records, in the order asked for. */
  kvs: Array<KeyValue>
  /** How many there are in the range, whatever the limit. */
  count: number
  /** Whether the limit left some out. */
  more: boolean
  /** The store's revision at the read. */
  revision: number
}

/** An instance that went. */
export interface Removed {
  /** As it was last seen. */
  instance: Instance
  /** Why it went; `null` if no server said. */
  reason: RemovalReason | null
}

/** Hands records to nobody any more, if they went here. */
export declare function removeLogger(): void

/** A server, as it sees itself. */
export interface ServerInfo {
  /** The program's version. */
  version: string
  /** Its id in the cluster. */
  memberId: bigint
  /** The cluster's id. */
  clusterId: bigint
  /** The leader it knows; `0n`: none. */
  leader: bigint
  /** The consensus term. */
  term: number
  /** The store's revision. */
  revision: number
  /** Bytes. */
  dbSize: number
  /** What is wrong, in its own words. */
  errors: Array<string>
}

/** What a server answered, or why it did not. */
export interface ServerStatus {
  /** The address, as the client was given it. */
  address: string
  /** What it answered; `null` if it could not be asked. */
  info: ServerInfo | null
  /** Why it could not be asked; `null` if it could. */
  error: string | null
}

/**
 * A change of a service. `snapshot` comes first and `resync` after a gap: there `added` holds
 * everything. `state` tells that only the freshness changed.
 */
export interface ServiceEvent {
  /** What happened. */
  kind: 'snapshot' | 'changed' | 'resync' | 'state'
  /** The view after it. */
  view: ServiceView
  /** New instances. */
  added: Array<Instance>
  /** Changed instances, as they are now. */
  updated: Array<Instance>
  /** Instances that went. */
  removed: Array<Removed>
}

/** A service, as a list of services shows it. */
export interface ServiceSummary {
  /** The service's namespace. */
  namespace: string
  /** The service's name. */
  service: string
  /** Its instances. */
  instances: number
  /** Of these, those that are up. */
  up: number
  /** How many clients follow it. */
  subscribers: number
}

/** The instances of a service, as this client knows them. */
export interface ServiceView {
  /** The service's namespace. */
  namespace: string
  /** The service's name. */
  service: string
  /** All of them, by id, also those that are not up. */
  instances: Array<Instance>
  /** How much to trust it. */
  freshness: Freshness
}

/** Hands records of this level and above to a function from now on, in batches; it must not throw. */
export declare function setLogger(logger: (records: LogRecord[]) => void, level: LogLevel): void

/**
 * Ends everything, for the exit of the process: closes all clients, together within a second, so
 * that instances are deregistered and locks released at once, then ends the threads. Afterwards
 * no client can be used.
 */
export declare function shutDown(): void

/** If all comparisons hold, do `then`, otherwise `otherwise`. */
export interface Transaction {
  /** All of these must hold. */
  when: Array<Comparison>
  /** What to do if they do. */
  then: Array<Operation>
  /** What to do if one does not. */
  otherwise: Array<Operation>
}

/** What a transaction did. */
export interface TxnResult {
  /** Whether all comparisons held. */
  succeeded: boolean
  /** The store's revision right after it. */
  revision: number
  /** One for each operation done; of a deletion the number of keys that are gone. */
  results: Array<PutResult | RangeResult | number | TxnResult>
}

/** All changes of one or more revisions. */
export interface WatchBatch {
  /** The newest revision in it. */
  revision: number
  /** The changes, in order. */
  events: Array<KeyEvent>
}
