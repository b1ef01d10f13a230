/** What the adapters of web frameworks share: registering the address a server listens at. */

import type { AddressInfo } from 'node:net';
import type { Client, RegisterOptions } from '../client.js';
import { InvalidArgumentError, QuorateError } from '../errors.js';
import type { Registration } from '../registration.js';

/** How a server is registered: what `Client.register` takes, and where it is reached. */
export interface ServeOptions extends Omit<RegisterOptions, 'signal'> {
  /** `host` or `host:port`, where others reach it. By default what it listens at; a must for one that
   * listens at all addresses, unless it is for programs on the same machine. */
  address?: string | undefined;
}

/** Milliseconds before another attempt to register. */
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/** A server that is registered as soon as a server of Quorate answers, until it is ended. */
export class Registering implements AsyncDisposable {
  readonly #ended = new AbortController();
  readonly #registered: Promise<Registration | null>;

  constructor(client: Client, service: string, listening: AddressInfo | string | null, options: ServeOptions) {
    const { address, ...register } = options;
    const reached = reachedAt(address, listening);
    this.#registered = this.#register(() => {
      const signal = this.#ended.signal;
      return client.register(service, reached, { ...register, signal });
    });
  }

  /** The registration; `null` if it was ended, or refused, before. */
  get registered(): Promise<Registration | null> {
    return this.#registered;
  }

  /** Deregisters it; does nothing the second time. */
  async end(): Promise<void> {
    this.#ended.abort();
    const registration = await this.#registered;
    try {
      await registration?.deregister();
    } catch (error) {
      // No server answers now: one is told as soon as it does, or the instance goes by its TTL.
      if (!(error instanceof QuorateError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #register(register: () => Promise<Registration>): Promise<Registration | null> {
    for (let pause = SHORTEST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        return await register();
      } catch (error) {
        if (this.#ended.signal.aborted) return null;
        if (!(error instanceof QuorateError) || !error.retryable) {
          process.emitWarning(`the server is not registered: ${String(error)}`, { type: 'QuorateWarning' });
          return null;
        }
      }
      await this.#pause(pause);
      if (this.#ended.signal.aborted) return null;
    }
  }

  /** Does not keep the process alive: the server does. */
  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#ended.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds).unref();
      this.#ended.signal.addEventListener('abort', done);
    });
  }
}

function reachedAt(address: string | undefined, listening: AddressInfo | string | null): string {
  if (listening === null || typeof listening === 'string') {
    throw new InvalidArgumentError('only a server that listens at a TCP port can be registered');
  }
  if (address === undefined) {
    const everywhere = listening.address === '::' || listening.address === '0.0.0.0';
    const host = everywhere ? '127.0.0.1' : listening.address;
    return `${host.includes(':') ? `[${host}]` : host}:${listening.port}`;
  }
  return /:\d+$/.test(address) && (!address.includes('::') || address.startsWith('['))
    ? address
    : `${address.includes(':') && !address.startsWith('[') ? `[${address}]` : address}:${listening.port}`;
}
