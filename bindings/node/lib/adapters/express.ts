/** Express applications, and all other servers of `node:http`, that register themselves. */

import { once } from 'node:events';
import type { Server } from 'node:net';
import type { Client } from '../client.js';
import { known } from '../options.js';
import { Registering } from './registering.js';
import type { ServeOptions } from './registering.js';

export { Registering } from './registering.js';
export type { ServeOptions } from './registering.js';

/** How a server is registered, and when it ends. */
export interface ExpressOptions extends ServeOptions {
  /** Signals at which it is deregistered, and then closed; `['SIGTERM']` by default. */
  signals?: readonly NodeJS.Signals[] | undefined;
}

const OPTIONS = ['address', 'id', 'weight', 'zone', 'version', 'metadata', 'status', 'ttlMs', 'signals'] as const;

/**
 * Registers what `app.listen(…)` returns, as soon as it listens, at the port it listens at:
 *
 *     await serve(app.listen(0), client, 'shop');
 *
 * Rejects if it cannot listen. While no server of Quorate answers, the application works all the same,
 * and is registered later. It is deregistered by `end()`, when the server is closed, and at a signal,
 * which then closes the server: answers under way are finished.
 */
export async function serve(server: Server, client: Client, service: string, options?: ExpressOptions): Promise<Registering> {
  const { signals = ['SIGTERM'], ...register } = known(options, OPTIONS);
  if (!server.listening) {
    const closed = new AbortController();
    const abort = (): void => closed.abort(new Error('the server was closed before it listened'));
    server.once('close', abort);
    try {
      await once(server, 'listening', { signal: closed.signal });
    } finally {
      server.off('close', abort);
    }
  }
  const registering = new Registering(client, service, server.address(), register);
  const end = (): void => {
    registering.end().finally(() => server.close());
  };
  for (const signal of signals) process.once(signal, end);
  server.once('close', () => {
    for (const signal of signals) process.off(signal, end);
    void registering.end();
  });
  return registering;
}
