// The adapters, with real servers on both sides.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import express from 'express';
import fastify from 'fastify';
import { Client } from 'quorate';
import { serve } from 'quorate/express';
import { quorate } from 'quorate/fastify';
import { createFetch } from 'quorate/fetch';
import { registerResolver } from 'quorate/grpc';
import { interceptor } from 'quorate/undici';
import { Agent, request } from 'undici';
import { name, Program, server, within } from './server.mjs';

const { address } = await server();
const client = new Client(address);
after(() => client.close());

/** An HTTP server that answers as told, and counts. */
async function provider(service, answer = (_, response) => response.end('fine')) {
  const seen = [];
  const http = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const registration = await client.register(service, `127.0.0.1:${http.address().port}`);
  after(() => {
    http.closeAllConnections();
    http.close();
  });
  return { http, seen, registration };
}

/** Until the service has so many instances. */
async function has(service, count) {
  for await (const { view } of client.watchService(service)) if (view.instances.length === count) return;
}

/** An address at which nobody listens any more. */
async function nobody() {
  const http = createServer();
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address();
  http.close();
  await once(http, 'close');
  return `127.0.0.1:${port}`;
}

const agent = new Agent().compose(interceptor(client));
after(() => agent.close());
/** Both ways to call: status and text of the answer. */
const ways = {
  fetch: async (url, init = {}) => {
    const response = await createFetch(client)(url, init);
    return { status: response.status, text: await response.text() };
  },
  undici: async (url, init = {}) => {
    const { statusCode, body } = await request(url, { ...init, dispatcher: agent });
    return { status: statusCode, text: await body.text() };
  },
};

for (const [way, call] of Object.entries(ways)) {
  test(`${way}: a service name is called as such`, async () => {
    const service = name();
    const { seen } = await provider(service);
    assert.deepEqual(await call(`http://${service}/items?a=1`), { status: 200, text: 'fine' });
    assert.equal(seen[0].url, '/items?a=1');
    if (way === 'undici') assert.equal(seen[0].headers.host, service);
  });

  test(`${way}: a URL that says where to go is left alone`, async () => {
    const { http } = await provider(name());
    assert.equal((await call(`http://127.0.0.1:${http.address().port}/`)).text, 'fine');
  });

  test(`${way}: a dead instance is not noticed by the caller`, async () => {
    const service = name();
    const dead = await client.register(service, await nobody());
    const { seen } = await provider(service);
    await within(has(service, 2), 'both are known');
    for (let round = 0; round < 10; round++) {
      assert.equal((await call(`http://${service}/`, { method: 'POST', body: `${round}` })).status, 200);
    }
    assert.equal(seen.length, 10);
    await dead.deregister();
  });

  test(`${way}: an idempotent request that fails is repeated elsewhere, another is not`, async () => {
    const service = name();
    const failing = await provider(service, (_, response) => response.writeHead(500).end('broken'));
    const working = await provider(service);
    await within(has(service, 2), 'both are known');
    for (let round = 0; round < 4; round++) assert.equal((await call(`http://${service}/`)).status, 200);
    assert.equal(working.seen.length, 4);
    const before = failing.seen.length + working.seen.length;
    await call(`http://${service}/`, { method: 'POST', body: 'once' });
    assert.equal(failing.seen.length + working.seen.length, before + 1);
  });

  test(`${way}: an error of the caller's making is passed on`, async () => {
    const service = name();
    const { seen } = await provider(service, (_, response) => response.writeHead(404).end('no'));
    assert.deepEqual(await call(`http://${service}/`), { status: 404, text: 'no' });
    assert.equal(seen.length, 1);
  });

  test(`${way}: an aborted request ends, and is not repeated`, async () => {
    const service = name();
    const aborting = new AbortController();
    const { seen } = await provider(service, () => aborting.abort());
    await assert.rejects(call(`http://${service}/`, { signal: aborting.signal }), { name: 'AbortError' });
    assert.equal(seen.length, 1);
  });

  test(`${way}: who gives up, for whatever reason, does not try another instance`, async () => {
    const service = name();
    const [one, other] = [await provider(service, () => {}), await provider(service, () => {})];
    await within(has(service, 2), 'both are known');
    await assert.rejects(call(`http://${service}/`, { signal: AbortSignal.timeout(200) }), { name: 'TimeoutError' });
    const aborting = new AbortController();
    setTimeout(() => aborting.abort(new Error('enough')), 200);
    await assert.rejects(call(`http://${service}/`, { signal: aborting.signal }), { message: 'enough' });
    assert.ok(one.seen.length + other.seen.length <= 2);
  });

  test(`${way}: a service without instances is an error that says so`, async () => {
    const service = name();
    await assert.rejects(call(`http://${service}/`), { code: 'no_endpoints' });
  });
}

test('express: it is registered where it listens, and deregistered before it is closed', async () => {
  const service = name();
  const app = express();
  app.get('/', (_, response) => response.send('express'));
  const listening = app.listen(0, '127.0.0.1');
  const registering = await serve(listening, client, service, { weight: 3 });
  const registration = await registering.registered;
  assert.equal(registration.address, `127.0.0.1:${listening.address().port}`);
  assert.equal((await createFetch(client)(`http://${service}/`).then((answer) => answer.text())), 'express');
  await registering.end();
  await within(has(service, 0), 'it is deregistered');
  listening.closeAllConnections();
  listening.close();
});

test('express: SIGTERM deregisters at once and ends the process', async () => {
  const service = name();
  const program = new Program(`
    import express from 'express';
    import { Client } from 'quorate';
    import { serve } from 'quorate/express';
    const client = new Client(process.argv[1]);
    const registering = await serve(express().listen(0, '127.0.0.1'), client, process.argv[2], { ttlMs: 60_000 });
    console.log((await registering.registered).id);
  `, address, service);
  await program.line();
  await within(has(service, 1), 'it is registered');
  program.process.kill('SIGTERM');
  assert.equal(await program.end(), 0);
  await within(has(service, 0), 'it is deregistered');
});

test('fastify: it is registered when it listens, and deregistered when it is closed', async () => {
  const service = name();
  const app = fastify();
  app.get('/', async () => 'fastify');
  app.register(quorate, { client, service });
  await app.listen({ port: 0, host: '127.0.0.1' });
  await within(has(service, 1), 'it is registered');
  const answer = await createFetch(client)(`http://${service}/`);
  assert.equal(await answer.text(), 'fastify');
  await app.close();
  await within(has(service, 0), 'it is deregistered');
});

test('grpc: calls follow the instances', async () => {
  const service = name();
  registerResolver(client, grpc, 'quorate-test');
  const text = { requestSerialize: Buffer.from, requestDeserialize: String, responseSerialize: Buffer.from, responseDeserialize: String };
  const definition = { who: { path: '/test.Test/Who', requestStream: false, responseStream: false, ...text } };
  const start = async (answer) => {
    const served = new grpc.Server();
    served.addService(definition, { who: (_, reply) => reply(null, answer) });
    const port = await new Promise((resolve, reject) => {
      served.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    after(() => served.forceShutdown());
    return client.register(service, `127.0.0.1:${port}`);
  };
  const first = await start('first');
  const Test = grpc.makeClientConstructor(definition, 'Test');
  const stub = new Test(`quorate-test:///${service}`, grpc.credentials.createInsecure());
  after(() => stub.close());
  const who = () =>
    new Promise((resolve, reject) => {
      stub.who('anybody', { deadline: Date.now() + 20_000 }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  assert.equal(await who(), 'first');
  await start('second');
  const until = async (answer) => {
    while ((await who()) !== answer);
  };
  await within(until('second'), 'the second is called, too');
  await first.deregister();
  await within(has(service, 1), 'the first is gone');
  await within((async () => {
    // In turn: two of the second in a row mean that the first is not called any more.
    while (!((await who()) === 'second' && (await who()) === 'second'));
  })(), 'only the second is called');
});
