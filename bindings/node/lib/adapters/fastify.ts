/** Fastify applications that register themselves. */

import type { FastifyInstance } from 'fastify';
import type { Client } from '../client.js';
import { InvalidArgumentError } from '../errors.js';
import { Registering } from './registering.js';
import type { ServeOptions } from './registering.js';

export type { ServeOptions } from './registering.js';

/** How an application is registered. */
export interface FastifyOptions extends ServeOptions {
  client: Client;
  /** As what. */
  service: string;
  /** Signals at which the application is closed; `['SIGTERM']` by default. */
  signals?: readonly NodeJS.Signals[] | undefined;
}

/**
 * A plugin: `app.register(quorate, { client, service: 'shop' })`. The application is registered when it
 * listens, at the port it listens at. At a signal it is deregistered first and closed then; `app.close()`
 * by itself begins by refusing requests, and deregisters next. While no server of Quorate answers, it
 * works all the same, and is registered later.
 */
export async function quorate(app: FastifyInstance, options: FastifyOptions): Promise<void> {
  const { client, service, signals = ['SIGTERM'], ...given } = options;
  if (client === undefined || service === undefined) {
    throw new InvalidArgumentError('the plugin needs the options client and service');
  }
  // Fastify passes options of its own along.
  const { address, id, weight, zone, version, metadata, status, ttlMs } = given;
  const register = { address, id, weight, zone, version, metadata, status, ttlMs };
  let registering: Registering | undefined;
  const close = (): void => {
    Promise.resolve(registering?.end()).finally(() => app.close());
  };
  app.addHook('onListen', async () => {
    registering = new Registering(client, service, app.server.address(), register);
    for (const signal of signals) process.once(signal, close);
  });
  app.addHook('preClose', async () => {
    for (const signal of signals) process.off(signal, close);
    await registering?.end();
  });
}

export default quorate;
