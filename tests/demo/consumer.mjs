// A program that calls a service over HTTP, on whichever instance its picks name.
//
// It calls all the time, tells of every change it is pushed, and answers each line on its standard
// input with what it counted since the last one.
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client, QuorateError } from '../../bindings/node/dist/index.mjs';

const { values: options } = parseArgs({
  options: {
    server: { type: 'string' },
    service: { type: 'string', default: 'shop' },
    'cache-dir': { type: 'string' },
    callers: { type: 'string', default: '4' },
    'pause-ms': { type: 'string', default: '5' },
  },
});
const service = options.service;

function tell(what) {
  console.log(JSON.stringify(what));
}

/** What happened since the last report: by instance, by state, by error code. */
const nothing = () => ({ answered: {}, failed: {}, states: {}, unserved: {} });
let counted = nothing();

function count(what, name) {
  counted[what][name] = (counted[what][name] ?? 0) + 1;
}

async function get(address) {
  const response = await fetch(`http://${address}/`, { signal: AbortSignal.timeout(2_000) });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`status ${response.status}`);
}

/** One call, with retries on other instances as far as the budget goes. */
async function call(client) {
  const tried = [];
  do {
    let pick;
    try {
      pick = client.pick(service, { exclude: tried });
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error;
      count('unserved', error.code);
      return;
    }
    try {
      // Reports how the call went, with its latency.
      await pick.run(({ address }) => get(address));
      count('answered', pick.id);
      count('states', pick.state);
      return;
    } catch {
      count('failed', pick.id);
      tried.push(pick.id);
    }
  } while (tried.length < 3 && client.mayRetry(service));
  count('unserved', 'given_up');
}

/** Calls, one after the other, until it is told to stop. */
async function keepCalling(client, stop) {
  while (!stop.aborted) {
    await call(client);
    await pause(Number(options['pause-ms']));
  }
}

/** Tells of every change of the service. */
async function follow(client) {
  for await (const { added, removed, view } of client.watchService(service)) {
    for (const { instance, reason } of removed) tell({ event: 'removed', id: instance.id, reason });
    for (const { id } of added) tell({ event: 'added', id });
    const { state, complete } = view.freshness;
    tell({ event: 'instances', count: view.instances.length, state, complete });
  }
}

const client = new Client(options.server, {
  cacheDir: options['cache-dir'],
  algorithm: 'weighted_round_robin',
});
await client.discover(service);
const following = follow(client);
const stop = new AbortController();
const callers = Array.from({ length: Number(options.callers) }, () => keepCalling(client, stop.signal));
tell({ event: 'calling' });
for await (const _ of createInterface({ input: process.stdin })) {
  tell({ event: 'report', ...counted });
  counted = nothing();
}
stop.abort();
await Promise.all(callers);
await client.close();
await following;
