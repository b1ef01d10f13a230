/** What HTTP means to the balancer: for the adapters of HTTP libraries, without any of them. */

import type { Client } from '../client.js';
import { InvalidArgumentError, QuorateError } from '../errors.js';
import { native } from '../native.js';
import { known } from '../options.js';
import type { Pick } from '../pick.js';
import type { Outcome } from '../../native/index.js';

/** A second time does no more than the first (RFC 9110, 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** How requests find their service and are repeated. */
export interface HttpOptions {
  /** Other instances a request is sent to at most, after the first; 5 by default. */
  retries?: number | undefined;
  /** Which hosts are services. By default those without a dot that are neither `localhost` nor an IP
   * address. */
  isService?: ((host: string) => boolean) | undefined;
}

/** What an answer, or the lack of one, says of the instance. */
export type Verdict = native.HttpOutcome;

/** As the core judges for all languages. */
export function verdict(status: number, retryAfter: string | null | undefined): Verdict {
  return native.httpOutcome(status, retryAfter ?? undefined);
}

function isService(host: string): boolean {
  return host !== '' && host !== 'localhost' && !host.includes('.') && !host.startsWith('[');
}

/** Host and port of `host:port`; the host of an IPv6 address without its brackets. */
export function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

/** The rules of one adapter. */
export class Rules {
  readonly #client: Client;
  readonly #retries: number;
  readonly #isService: (host: string) => boolean;

  constructor(client: Client, options: HttpOptions | undefined) {
    const { retries = 5, isService: chosen = isService } = known(options, ['retries', 'isService']);
    if (!Number.isInteger(retries) || retries < 0) {
      throw new InvalidArgumentError(`retries is a whole number from 0 on, not ${String(retries)}`);
    }
    this.#client = client;
    this.#retries = retries;
    this.#isService = chosen;
  }

  /** The service a URL names; `null` for one that says where to go. */
  service(url: URL): string | null {
    const http = url.protocol === 'http:' || url.protocol === 'https:';
    return http && url.port === '' && this.#isService(url.hostname) ? url.hostname : null;
  }

  /** The instances for one request. `repeatable`: its body can be sent again. */
  attempts(service: string, method: string, repeatable: boolean): Attempts {
    return new Attempts(this.#client, service, this.#retries, IDEMPOTENT.has(method.toUpperCase()), repeatable);
  }
}

/** The instances one request is sent to: each another one, within the retry budget. */
export class Attempts {
  readonly #tried: string[] = [];

  constructor(
    readonly client: Client,
    readonly service: string,
    private left: number,
    readonly idempotent: boolean,
    readonly repeatable: boolean,
  ) {}

  /** Whether nothing is known of the service yet: `discover` it, and then take the `first`. */
  get isUnknown(): boolean {
    return this.client.service(this.service).view === null;
  }

  /** Throws `NoEndpointsError`. */
  first(): Pick {
    const pick = this.client.pick(this.service);
    this.#tried.push(pick.id);
    return pick;
  }

  /** Another instance to try, if that is worth it, harmless, and can be afforded. */
  another(outcome: Outcome): Pick | null {
    if (this.left <= 0 || !this.#repeats(outcome)) return null;
    let pick: Pick;
    try {
      pick = this.client.pick(this.service, { exclude: this.#tried });
    } catch (error) {
      if (error instanceof QuorateError) return null;
      throw error;
    }
    // The budget is looked at last, because that takes from it.
    if (this.#tried.includes(pick.id) || !this.client.mayRetry(this.service)) {
      pick.report('cancelled');
      return null;
    }
    this.left -= 1;
    this.#tried.push(pick.id);
    return pick;
  }

  #repeats(outcome: Outcome): boolean {
    if (outcome === 'ok' || outcome === 'cancelled' || !this.repeatable) return false;
    // What found no connection was not sent.
    return this.idempotent || outcome === 'connect_fail';
  }
}
