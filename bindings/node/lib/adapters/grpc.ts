/** gRPC channels with service names for targets. */

import type { ChannelOptions, experimental } from '@grpc/grpc-js';
import type { Client } from '../client.js';
import { QuorateError } from '../errors.js';
import type { Stream } from '../stream.js';
import type { ServiceEvent, ServiceView } from '../../native/index.js';
import { hostAndPort } from './http.js';

type Grpc = typeof import('@grpc/grpc-js');

/** Milliseconds before a watch that failed is made again. */
const PAUSE = 1_000;

const ROUND_ROBIN = { loadBalancingConfig: [{ round_robin: {} }], methodConfig: [] };

/**
 * Makes `quorate:///shop` a target for clients of `grpc`, the module `@grpc/grpc-js`: their calls go in
 * turn to the instances of the service `shop` that are up, from the moment they are. `scheme`: another
 * name than `quorate`, for a second client.
 *
 * grpc-js chooses the connection of each call itself, so weights and what other calls met do not
 * count. Whoever wants that makes a channel to `client.pick(…).address`, and reports.
 */
export function registerResolver(client: Client, grpc: Grpc, scheme = 'quorate'): void {
  class Resolver implements experimental.Resolver {
    readonly #listener: experimental.ResolverListener;
    readonly #service: string;
    #events: Stream<ServiceEvent> | undefined;
    #again: NodeJS.Timeout | undefined;

    constructor(target: experimental.GrpcUri, listener: experimental.ResolverListener, _options: ChannelOptions) {
      this.#listener = listener;
      this.#service = target.path;
    }

    /** Follows the service, if it does not already: what changes is told without asking. */
    updateResolution(): void {
      if (this.#events !== undefined || this.#again !== undefined) return;
      try {
        this.#events = client.watchService(this.#service);
      } catch (error) {
        this.#failed(error);
        return;
      }
      // Its events do not keep the process alive.
      this.#events.on('data', ({ view }) => this.#tell(view));
      this.#events.on('error', (error) => this.#failed(error));
    }

    destroy(): void {
      clearTimeout(this.#again);
      this.#again = undefined;
      this.#events?.close();
      this.#events = undefined;
    }

    #tell(view: ServiceView): void {
      const up = view.instances.filter(({ status }) => status === 'up');
      const endpoints = up.map(({ address }) => ({ addresses: [hostAndPort(address)] }));
      const { statusOrFromValue } = grpc.experimental;
      this.#listener(statusOrFromValue(endpoints), {}, statusOrFromValue(ROUND_ROBIN), `quorate: ${this.#service}`);
    }

    #failed(error: unknown): void {
      this.destroy();
      const details = `quorate: ${error instanceof Error ? error.message : String(error)}`;
      const status = { code: grpc.status.UNAVAILABLE, details };
      this.#listener(grpc.experimental.statusOrFromError(status), {}, null, '');
      if (error instanceof QuorateError && !error.retryable) return;
      this.#again = setTimeout(() => {
        this.#again = undefined;
        this.updateResolution();
      }, PAUSE).unref();
    }

    static getDefaultAuthority(target: experimental.GrpcUri): string {
      return target.path;
    }
  }
  grpc.experimental.registerResolver(scheme, Resolver);
}
