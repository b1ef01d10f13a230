// The operations, as a user of the package calls them. Each takes the command's arguments and the
// signal that withdraws it.
import * as quorate from '../../../../bindings/node/dist/index.mjs';
import { Fields, given, Refused } from './lines.mjs';
import * as values from './values.mjs';

const { Client, Compare, Op } = quorate;
const things = new Map();

function thing(name) {
  const found = things.get(name);
  if (found === undefined) throw new Refused('performer:unknown_name', name);
  return found;
}

const named = (args, key) => thing(args.neededText(key));
const nothing = new Fields();

// Clients

export async function open(args) {
  const name = args.neededText('as');
  const staticInstances = {};
  for (const one of args.numbered('static')) {
    const instance = given({
      address: one.neededText('address'),
      id: one.text('id'),
      weight: one.number('weight'),
    });
    (staticInstances[one.neededText('service')] ??= []).push(instance);
    one.end();
  }
  const balancer = args.chosen('balancer.');
  const settings = balancer && Object.entries(balancer).map(([key, text]) => [key, Number(text)]);
  const endpoints = args.texts('endpoints');
  const options = given({
    namespace: args.text('namespace'),
    cacheDir: args.text('cache_dir'),
    requestTimeoutMs: args.number('request_timeout_ms'),
    connectTimeoutMs: args.number('connect_timeout_ms'),
    algorithm: args.text('algorithm'),
    balancer: settings && Object.fromEntries(settings),
    clientName: args.text('client_name'),
    staticInstances: Object.keys(staticInstances).length > 0 ? staticInstances : undefined,
  });
  args.end();
  things.set(name, new Client(endpoints, options));
  return nothing;
}

export async function connected(args, signal) {
  const client = named(args, 'client');
  args.end();
  await client.connected({ signal });
  return nothing;
}

export async function close(args) {
  const client = named(args, 'client');
  args.end();
  await client.close();
  return nothing;
}

export async function metrics(args) {
  const client = named(args, 'client');
  args.end();
  return new Fields(client.metrics());
}

export async function server_status(args, signal) {
  const client = named(args, 'client');
  args.end();
  const fields = new Fields();
  const all = await client.serverStatus({ signal });
  all.forEach(({ address, info, error }, number) => {
    const told = info && (({ version, leader, term, revision }) => ({ version, leader, term, revision }))(info);
    fields.putUnder(`server.${number}.`, new Fields({ address, ...(told ?? { error }) }));
  });
  return fields;
}

// Registrations

export async function register(args, signal) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const service = args.neededText('service');
  const address = args.neededText('address');
  const options = given({
    id: args.text('id'),
    weight: args.number('weight'),
    zone: args.text('zone'),
    version: args.text('version'),
    metadata: args.chosen('metadata.'),
    status: args.text('status'),
    ttlMs: args.number('ttl_ms'),
  });
  args.end();
  const registration = await client.register(service, address, { ...options, signal });
  things.set(name, registration);
  return new Fields({ id: registration.id, revision: registration.revision });
}

export async function registration(args) {
  const { id, namespace, service, revision, evicted } = named(args, 'registration');
  args.end();
  return new Fields({ id, namespace, service, revision, ...(evicted === null ? {} : { evicted }) });
}

export async function update(args, signal) {
  const registration = named(args, 'registration');
  const options = given({
    status: args.text('status'),
    weight: args.number('weight'),
    metadata: args.chosen('metadata.'),
  });
  args.end();
  await registration.update({ ...options, signal });
  return new Fields({ revision: registration.revision });
}

export async function deregister(args, signal) {
  const registration = named(args, 'registration');
  args.end();
  await registration.deregister({ signal });
  return nothing;
}

// Discovery

export async function discover(args, signal) {
  const client = named(args, 'client');
  const service = args.neededText('service');
  const options = given({ timeoutMs: args.number('timeout_ms') });
  args.end();
  return values.view(await client.discover(service, { ...options, signal }));
}

export async function view(args) {
  const client = named(args, 'client');
  const service = args.neededText('service');
  args.end();
  const { view: shown } = client.service(service);
  return shown === null ? new Fields({ none: true }) : values.view(shown);
}

export async function list_services(args, signal) {
  const client = named(args, 'client');
  const options = given({ namespace: args.text('namespace') });
  args.end();
  const services = await client.listServices({ ...options, signal });
  const fields = new Fields({ services: services.length });
  services.forEach(({ namespace, service: name, instances, up }, number) => {
    fields.putUnder(`service.${number}.`, new Fields({ namespace, name, instances, up }));
  });
  return fields;
}

export async function pick(args) {
  const client = named(args, 'client');
  const service = args.neededText('service');
  const name = args.text('as');
  const options = given({ hash: args.bytes('sticky'), exclude: args.texts('excluding') });
  args.end();
  const pick = client.pick(service, options);
  if (name === undefined) pick[Symbol.dispose]();
  else things.set(name, pick);
  const { address, id, state, why } = pick;
  return new Fields({ address, id, state, why });
}

export async function report(args) {
  const pick = named(args, 'pick');
  const outcome = args.neededText('outcome');
  const options = given({
    latencyMs: args.number('latency_ms'),
    retryAfterMs: args.number('retry_after_ms'),
  });
  args.end();
  pick.report(outcome, options);
  return nothing;
}

export async function may_retry(args) {
  const client = named(args, 'client');
  const service = args.neededText('service');
  args.end();
  return new Fields({ value: client.mayRetry(service) });
}

export async function pick_many(args) {
  const client = named(args, 'client');
  const service = args.neededText('service');
  const count = args.number('count') ?? 0;
  const prefix = args.bytes('sticky_prefix');
  const options = given({ exclude: args.texts('excluding') });
  const outcomes = args.chosen('outcome.') ?? {};
  const latencies = args.chosen('latency_ms.') ?? {};
  args.end();
  const counts = new Map();
  const whys = new Map();
  let failed = 0;
  const add = (to, key) => to.set(key, (to.get(key) ?? 0) + 1);
  for (let number = 0; number < count; number += 1) {
    if (prefix) options.hash = Buffer.concat([prefix, Buffer.from(String(number))]);
    let pick;
    try {
      pick = client.pick(service, options);
    } catch (error) {
      if (!(error instanceof quorate.NoEndpointsError)) throw error;
      failed += 1;
      continue;
    }
    add(counts, pick.address);
    add(whys, pick.why);
    const latencyMs = Number(latencies[pick.address] ?? 1);
    pick.report(outcomes[pick.address] ?? 'ok', { latencyMs });
  }
  const fields = new Fields({ failed });
  for (const [address, number] of counts) fields.set(`count.${address}`, number);
  for (const [why, number] of whys) fields.set(`why.${why}`, number);
  return fields;
}

// Watches and observers

export async function watch_service(args) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const service = args.neededText('service');
  args.end();
  things.set(name, client.watchService(service));
  return nothing;
}

export async function watch(args) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const key = args.needed('key');
  const options = given({
    prefix: args.flag('prefix'),
    startRevision: args.number('start_revision'),
    previous: args.flag('previous'),
  });
  args.end();
  things.set(name, client.watch(key, options));
  return nothing;
}

export async function observe(args) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const election = args.neededText('name');
  args.end();
  things.set(name, client.election(election).observe());
  return nothing;
}

export async function next(args, signal) {
  const watch = named(args, 'watch');
  const timeout = args.number('timeout_ms');
  args.end();
  const late = timeout === undefined ? undefined : AbortSignal.timeout(timeout);
  const either = late === undefined ? signal : AbortSignal.any([signal, late]);
  let read;
  try {
    read = await watch.next({ signal: either });
  } catch (error) {
    if (error instanceof quorate.CancelledError && late?.aborted && !signal.aborted) {
      throw new Refused('timeout', `no item within ${timeout} ms`);
    }
    throw error;
  }
  return read.done ? new Fields({ end: true }) : values.item(read.value);
}

export async function close_watch(args) {
  const watch = named(args, 'watch');
  args.end();
  watch.close();
  return nothing;
}

// Locks, elections, leases

function hold(name, holding) {
  things.set(name, holding);
  return new Fields({ token: holding.token, key: holding.key });
}

export async function lock(args, signal) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const lock = args.neededText('name');
  const options = given({ ttlMs: args.number('ttl_ms'), timeoutMs: args.number('timeout_ms') });
  args.end();
  return hold(name, await client.lock(lock, { ...options, signal }));
}

export async function try_lock(args, signal) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const lock = args.neededText('name');
  const options = given({ ttlMs: args.number('ttl_ms') });
  args.end();
  return hold(name, await client.tryLock(lock, { ...options, signal }));
}

export async function unlock(args, signal) {
  const holding = named(args, 'holding');
  args.end();
  await holding.unlock({ signal });
  return nothing;
}

export async function campaign(args, signal) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const election = args.neededText('name');
  const value = args.needed('value');
  const ttl = given({ ttlMs: args.number('ttl_ms') });
  const options = given({ timeoutMs: args.number('timeout_ms') });
  args.end();
  return hold(name, await client.election(election, ttl).campaign(value, { ...options, signal }));
}

export async function proclaim(args, signal) {
  const holding = named(args, 'holding');
  const value = args.needed('value');
  args.end();
  await holding.proclaim(value, { signal });
  return nothing;
}

export async function resign(args, signal) {
  const holding = named(args, 'holding');
  args.end();
  await holding.resign({ signal });
  return nothing;
}

export async function leader(args, signal) {
  const client = named(args, 'client');
  const election = client.election(args.neededText('name'));
  args.end();
  const found = await election.leader({ signal });
  return found === null ? new Fields({ none: true }) : values.leader(found);
}

export async function lease(args, signal) {
  const client = named(args, 'client');
  const name = args.neededText('as');
  const ttl = args.number('ttl_ms');
  args.end();
  const lease = await client.lease(ttl, { signal });
  things.set(name, lease);
  return new Fields({ id: lease.id, ttl_ms: lease.ttlMs });
}

export async function lease_time_to_live(args, signal) {
  const client = named(args, 'client');
  const id = BigInt(args.neededText('id'));
  args.end();
  const info = await client.leaseTimeToLive(id, { signal });
  if (info === null) return new Fields({ none: true });
  const fields = new Fields({ ttl_ms: info.remainingMs, granted_ms: info.grantedMs });
  return fields.setList('keys', info.keys.sort(Buffer.compare));
}

export async function revoke(args, signal) {
  const holding = named(args, 'holding');
  args.end();
  await holding.revoke({ signal });
  return nothing;
}

export async function held(args) {
  const { isLost: lost, token } = named(args, 'holding');
  args.end();
  return new Fields(given({ lost, token }));
}

export async function wait_lost(args, signal) {
  const holding = named(args, 'holding');
  const options = given({ timeoutMs: args.number('timeout_ms') });
  args.end();
  return new Fields({ value: await holding.waitLost({ ...options, signal }) });
}

// Keys

/** A lease by its number, or by the name of the one that is held. */
function leaseOf(args, key = 'lease') {
  const name = args.text(key);
  if (name === undefined) return undefined;
  return /^-?\d+$/.test(name) ? BigInt(name) : thing(name);
}

function putOptions(args) {
  return given({ lease: leaseOf(args), previous: args.flag('previous') });
}

function rangeOptions(args) {
  return given({
    prefix: args.bytes('prefix'),
    start: args.bytes('start'),
    end: args.bytes('end'),
    limit: args.number('limit'),
    revision: args.number('revision'),
    sort: args.text('sort'),
    descending: args.flag('descending'),
    keysOnly: args.flag('keys_only'),
    countOnly: args.flag('count_only'),
    serializable: args.flag('serializable'),
    maxCreateRevision: args.number('max_create_revision'),
  });
}

export async function put(args, signal) {
  const client = named(args, 'client');
  const key = args.needed('key');
  const value = args.needed('value');
  const options = putOptions(args);
  args.end();
  return values.putResult(await client.put(key, value, { ...options, signal }));
}

export async function get(args, signal) {
  const client = named(args, 'client');
  const key = args.needed('key');
  const options = given({
    revision: args.number('revision'),
    serializable: args.flag('serializable'),
  });
  args.end();
  const kv = await client.get(key, { ...options, signal });
  return kv === null ? new Fields({ none: true }) : values.keyValue(kv);
}

export async function range(args, signal) {
  const client = named(args, 'client');
  const options = rangeOptions(args);
  args.end();
  const result = await client.range({ ...options, signal });
  return values.rangeResult(result).set('revision', result.revision);
}

async function delete_(args, signal) {
  const client = named(args, 'client');
  const key = args.needed('key');
  const options = given({ prefix: args.flag('prefix') });
  args.end();
  return new Fields({ deleted: await client.delete(key, { ...options, signal }) });
}
export { delete_ as delete };

export async function txn(args, signal) {
  const client = named(args, 'client');
  const options = transaction(args);
  args.end();
  const result = await client.txn(options, { signal });
  return values.txnResult(result).set('revision', result.revision);
}

function transaction(args) {
  const list = (key, read) => {
    const all = args.numbered(key).map(read);
    return all.length > 0 ? all : undefined;
  };
  return given({
    when: list('when', comparison),
    then: list('then', operation),
    otherwise: list('otherwise', operation),
  });
}

const COMPARE = {
  version: Compare.version,
  create_revision: Compare.createRevision,
  mod_revision: Compare.modRevision,
};

function comparison(args) {
  const kind = args.neededText('kind');
  const key = args.needed('key');
  const symbol = args.text('symbol') ?? '==';
  const prefix = args.flag('prefix');
  let compare;
  if (kind === 'exists' || kind === 'missing') compare = Compare[kind](key);
  else if (kind === 'value') compare = Compare.value(key, symbol, args.needed('value'));
  else if (kind === 'lease') compare = Compare.lease(key, symbol, leaseOf(args, 'value'));
  else if (kind in COMPARE) compare = COMPARE[kind](key, symbol, args.number('value'));
  else throw new Refused('performer:malformed', kind);
  args.end();
  return prefix ? compare.prefix() : compare;
}

function operation(args) {
  const op = args.neededText('op');
  const made = {
    put: () => Op.put(args.needed('key'), args.needed('value'), putOptions(args)),
    get: () => Op.get(args.needed('key')),
    range: () => Op.range(rangeOptions(args)),
    delete: () => Op.delete(args.needed('key'), given({ prefix: args.flag('prefix') })),
    txn: () => Op.txn(transaction(args)),
  }[op];
  if (made === undefined) throw new Refused('performer:malformed', op);
  const result = made();
  args.end();
  return result;
}

export async function compact(args, signal) {
  const client = named(args, 'client');
  const revision = args.number('revision');
  args.end();
  await client.compact(revision, { signal });
  return nothing;
}
