// Prints the bytes of one more client, and of one more followed service of 1,000 instances: by the
// growth of what is resident. The services are registered before.
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '../../bindings/node/dist/index.mjs';

const CLIENTS = 100;
const SERVICES = 10;
const INSTANCES = 1_000;

async function connected() {
  const client = new Client(process.argv[2]);
  await client.connected();
  return client;
}

const resident = () => process.memoryUsage.rss();

const first = await connected();
const begin = resident();
const clients = [];
for (let count = 0; count < CLIENTS; count += 1) clients.push(await connected());
const allConnected = resident();
const deadline = Date.now() + 60_000;
for (let number = 0; number < SERVICES; number += 1) {
  const service = `memory-${number}`;
  while ((await first.discover(service)).instances.length < INSTANCES) {
    if (Date.now() > deadline) throw new Error(`service ${service} is not complete`);
    await pause(5);
  }
}
const following = resident();
console.log((allConnected - begin) / CLIENTS, (following - allConnected) / SERVICES);
await Promise.all([first, ...clients].map((client) => client.close()));
