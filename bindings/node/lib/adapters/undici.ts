/** undici with service names for hosts. */

import type { Dispatcher } from 'undici';
import type { Client } from '../client.js';
import { outcomeOf, outcomeOfAbort } from '../pick.js';
import type { Pick } from '../pick.js';
import { hostAndPort, Rules, verdict } from './http.js';
import type { Attempts, HttpOptions, Verdict } from './http.js';

export type { HttpOptions } from './http.js';

type Dispatch = Dispatcher['dispatch'];
type Controller = Dispatcher.DispatchController;
type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2];

/**
 * An interceptor: `new Agent().compose(interceptor(client))`. It sends requests for `http://shop` to
 * instances of the service `shop`, and reports how they went when their answers have been read.
 * Idempotent requests that fail go to another instance, as often as `retries` says and the service's
 * retry budget allows; so does any request that could not even connect. A body that is a stream is
 * sent once.
 *
 * An origin with a port, or whose host is `localhost`, an IP address or has a dot, is left as it is.
 * The `Host` header, and the name a certificate is checked for, stay the service's.
 */
export function interceptor(client: Client, options?: HttpOptions): Dispatcher.DispatcherComposeInterceptor {
  const rules = new Rules(client, options);
  return (dispatch) => (request, handler) => {
    const origin = request.origin === undefined ? null : new URL(request.origin);
    const service = origin && rules.service(origin);
    if (!origin || service === null || service === undefined || request.method === 'CONNECT') {
      return dispatch(request, handler);
    }
    const attempts = rules.attempts(service, request.method, isRepeatable(request.body));
    new Call(dispatch, request, handler, origin, attempts).begin();
    return true;
  };
}

/** One request, on its way from instance to instance. */
class Call implements Dispatcher.DispatchHandler {
  #pick!: Pick;
  #began = 0;
  #verdict: Verdict | undefined;
  /** The instance to try next, once the answer of this one is out of the way. */
  #next: Pick | null = null;

  constructor(
    private readonly dispatch: Dispatch,
    private readonly request: Dispatcher.DispatchOptions,
    private readonly handler: Dispatcher.DispatchHandler,
    private readonly origin: URL,
    private readonly attempts: Attempts,
  ) {}

  begin(): void {
    if (!this.attempts.isUnknown) {
      this.#first();
      return;
    }
    this.attempts.client.discover(this.attempts.service).then(
      () => this.#first(),
      (error: Error) => this.#fail(error),
    );
  }

  #first(): void {
    let pick: Pick;
    try {
      pick = this.attempts.first();
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#send(pick);
  }

  #send(pick: Pick): void {
    this.#pick = pick;
    this.#next = null;
    this.#verdict = undefined;
    this.#began = performance.now();
    const { host, port } = hostAndPort(pick.address);
    const address = host.includes(':') ? `[${host}]` : host;
    try {
      const directed = {
        ...this.request,
        origin: `${this.origin.protocol}//${address}:${port}`,
        headers: withHost(this.request.headers, this.origin.host),
        // A certificate is the service's, not the instance's.
        servername: this.origin.hostname,
      };
      this.dispatch(directed, this);
    } catch (error) {
      pick.report('cancelled');
      this.#fail(error as Error);
    }
  }

  /** Before there was anything to control. */
  #fail(error: Error): void {
    const nobody = { aborted: true, paused: false, reason: error, abort() {}, pause() {}, resume() {} };
    this.handler.onResponseError?.(nobody, error);
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.handler.onRequestStart?.(controller, context);
  }

  onRequestUpgrade(...upgrade: Parameters<NonNullable<Dispatcher.DispatchHandler['onRequestUpgrade']>>): void {
    this.#pick.report('ok', { latencyMs: performance.now() - this.#began });
    this.handler.onRequestUpgrade?.(...upgrade);
  }

  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void {
    if (status < 200) {
      this.handler.onResponseStart?.(controller, status, headers, message);
      return;
    }
    const retryAfter = headers['retry-after'];
    this.#verdict = verdict(status, Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
    this.#next = this.attempts.another(this.#verdict.outcome);
    if (this.#next === null) {
      this.#began = performance.now() - this.#began;
      this.handler.onResponseStart?.(controller, status, headers, message);
      return;
    }
    const { outcome, retryAfterMs } = this.#verdict;
    this.#pick.report(outcome, { latencyMs: performance.now() - this.#began, retryAfterMs });
    // Its connection is given up: an instance in trouble may take long to say more.
    controller.abort(new Error('the request goes to another instance'));
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#next === null) this.handler.onResponseData?.(controller, chunk);
  }

  onResponseEnd(controller: Controller, trailers: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>[1]): void {
    if (this.#next !== null) {
      this.#send(this.#next);
      return;
    }
    if (this.#verdict !== undefined) {
      const { outcome, retryAfterMs } = this.#verdict;
      // Until the answer's head was there.
      this.#pick.report(outcome, { latencyMs: this.#began, retryAfterMs });
    }
    this.handler.onResponseEnd?.(controller, trailers);
  }

  /** Without a controller before there is a connection. */
  onResponseError(controller: Controller | null, error: Error): void {
    if (this.#next !== null) {
      this.#send(this.#next);
      return;
    }
    // Only the caller aborts: `next` is set when this does.
    const aborted = controller?.aborted === true;
    const outcome = aborted ? outcomeOfAbort(error) : outcomeOf(error);
    // After its head an answer has been passed on, and cannot be asked for again.
    const another = aborted || this.#verdict !== undefined ? null : this.attempts.another(outcome);
    this.#pick.report(outcome);
    if (another !== null) {
      this.#send(another);
      return;
    }
    this.handler.onResponseError?.(controller as Controller, error);
  }
}

function isRepeatable(body: unknown): boolean {
  return body === null || body === undefined || typeof body === 'string' || body instanceof Uint8Array;
}

function withHost(headers: Dispatcher.DispatchOptions['headers'], host: string): Dispatcher.DispatchOptions['headers'] {
  if (headers === null || headers === undefined) return { host };
  if (Array.isArray(headers)) {
    const flat = headers as string[];
    return flat.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'host') ? flat : [...flat, 'host', host];
  }
  const entries = Symbol.iterator in headers ? Array.from(headers as Iterable<[string, string | string[] | undefined]>) : Object.entries(headers);
  const named = Object.fromEntries(entries) as Record<string, string | string[]>;
  return Object.keys(named).some((name) => name.toLowerCase() === 'host') ? named : { ...named, host };
}
