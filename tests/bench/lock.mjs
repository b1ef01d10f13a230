// Prints the median milliseconds of acquiring and of releasing a lock that nobody else wants.
import { Client } from '../../bindings/node/dist/index.mjs';

const LOCKS = 300;

function median(values) {
  return values.sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

const client = new Client(process.argv[2]);
await client.connected();
const acquired = [];
const released = [];
for (let count = 0; count < LOCKS; count += 1) {
  const began = performance.now();
  const guard = await client.lock('bench/alone');
  const held = performance.now();
  await guard.unlock();
  acquired.push(held - began);
  released.push(performance.now() - held);
}
console.log(median(acquired), median(released));
await client.close();
