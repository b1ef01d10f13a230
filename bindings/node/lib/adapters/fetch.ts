/** `fetch` with service names for hosts. */

import type { Client } from '../client.js';
import { outcomeOf, outcomeOfAbort } from '../pick.js';
import type { Pick } from '../pick.js';
import { known } from '../options.js';
import { hostAndPort, Rules, verdict } from './http.js';
import type { HttpOptions } from './http.js';

export type { HttpOptions } from './http.js';

/** How to fetch. */
export interface FetchOptions extends HttpOptions {
  /** What sends the requests; the global `fetch` by default. */
  fetch?: typeof globalThis.fetch | undefined;
}

/**
 * A `fetch` that sends `http://shop/items` to an instance of the service `shop`, and reports how it
 * went when the head of the answer is there. Idempotent requests that fail go to another instance, as
 * often as `retries` says and the service's retry budget allows; so does any request that could not
 * even connect. A body that is a stream is sent once.
 *
 * A URL with a port, or whose host is `localhost`, an IP address or has a dot, goes where it says.
 * Redirects are followed by their URL. `fetch` allows no other `Host` header, nor another name in a
 * certificate, than those of the instance's address: where the service's are wanted use the
 * interceptor for undici.
 */
export function createFetch(client: Client, options?: FetchOptions): typeof globalThis.fetch {
  const { fetch = globalThis.fetch, ...http } = known(options, ['fetch', 'retries', 'isService']);
  const rules = new Rules(client, http);
  return async (input, init) => {
    const request = input instanceof Request ? input : undefined;
    const url = parse(request?.url ?? String(input));
    const service = url && rules.service(url);
    if (!url || service === null || service === undefined) return fetch(input, init);

    const method = init?.method ?? request?.method ?? 'GET';
    const body = init?.body ?? request?.body;
    const repeatable = !(body instanceof ReadableStream) && !(body && Symbol.asyncIterator in Object(body));
    const attempts = rules.attempts(service, method, repeatable);
    const signal = init?.signal ?? request?.signal;
    if (attempts.isUnknown) await client.discover(service, { signal: signal ?? undefined });
    let pick = attempts.first();
    for (;;) {
      const sent = directed(url, pick, request, init);
      const began = performance.now();
      let response: Response;
      try {
        response = await fetch(...sent);
      } catch (error) {
        const outcome = signal?.aborted ? outcomeOfAbort(signal.reason) : outcomeOf(error);
        // Whoever gave up has no use for another answer.
        const another = signal?.aborted ? null : attempts.another(outcome);
        pick.report(outcome);
        if (another === null) throw error;
        pick = another;
        continue;
      }
      const { outcome, retryAfterMs } = verdict(response.status, response.headers.get('retry-after'));
      const another = attempts.another(outcome);
      pick.report(outcome, { latencyMs: performance.now() - began, retryAfterMs });
      if (another === null) return response;
      // Its connection is given up: an instance in trouble may take long to say more.
      response.body?.cancel().catch(() => {});
      pick = another;
    }
  };
}

/** `null` is for what `fetch` itself has to refuse. */
function parse(url: string): URL | null {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}

/** The arguments that send a request to an instance. */
function directed(
  url: URL,
  pick: Pick,
  request: Request | undefined,
  init: RequestInit | undefined,
): [URL, RequestInit] {
  const target = new URL(url);
  const { host, port } = hostAndPort(pick.address);
  target.hostname = host.includes(':') ? `[${host}]` : host;
  target.port = String(port);
  return [target, request === undefined ? { ...init } : { ...only(request), ...init }];
}

/** What a request says beside its URL. */
function only(request: Request): RequestInit {
  const { method, headers, body, redirect, signal, keepalive, referrer, referrerPolicy } = request;
  const said = { method, headers, redirect, signal, keepalive, referrer, referrerPolicy };
  return body === null ? said : { ...said, body, duplex: 'half' };
}
