// Prints the nanoseconds of one pick with its report: 1,000 endpoints, one thread, no server.
import { Client } from '../../bindings/node/dist/index.mjs';

const ENDPOINTS = 1_000;
const PICKS = 500_000;

const instances = Array.from({ length: ENDPOINTS }, (_, number) => ({
  address: `127.0.0.1:${1_000 + number}`,
  weight: 1 + (number % 5),
}));
// Port 1: nobody is there, the static instances serve.
const client = new Client('127.0.0.1:1', { staticInstances: { bench: instances } });
await client.discover('bench');
const service = client.service('bench');
const runs = [];
let length = 0;
for (let run = 0; run < 5; run += 1) {
  const began = process.hrtime.bigint();
  for (let count = 0; count < PICKS; count += 1) {
    const pick = service.pick();
    length += pick.address.length;
    pick.report('ok');
  }
  runs.push(Number(process.hrtime.bigint() - began) / PICKS);
}
if (length === 0) throw new Error('nothing was picked');
console.log(runs.sort((a, b) => a - b)[2]);
await client.close();
