// A program that stands for an election, leads when it wins, and tells when.
import { parseArgs } from 'node:util';
import { Client } from '../../bindings/node/dist/index.mjs';

const { values: options } = parseArgs({
  options: {
    server: { type: 'string' },
    election: { type: 'string', default: 'reports' },
    name: { type: 'string' },
    'ttl-ms': { type: 'string', default: '3000' },
  },
});

function tell(what) {
  console.log(JSON.stringify(what));
}

const terminated = new AbortController();
process.once('SIGTERM', () => terminated.abort());
const client = new Client(options.server);
await client.connected();
tell({ stands: options.name });
const election = client.election(options.election, { ttlMs: Number(options['ttl-ms']) });
try {
  const leadership = await election.campaign(options.name, { signal: terminated.signal });
  tell({ leads: options.name, token: leadership.token });
  await leadership.waitLost({ signal: terminated.signal });
  throw new Error('leadership was lost');
} catch (error) {
  if (!terminated.signal.aborted) throw error;
}
// Resigns, if it leads.
await client.close();
