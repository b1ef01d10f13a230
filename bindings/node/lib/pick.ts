/** Choosing an instance for one call. */

import type { CacheState, Instance, Outcome, ServiceView, Why } from '../native/index.js';
import { fromNative } from './errors.js';
import { call, native } from './native.js';
import { known } from './options.js';

/** What one call wants of its instance. */
export interface PickOptions {
  /** What must stick to one instance (algorithm `maglev`): text or bytes to be hashed, or a hash. */
  hash?: string | Uint8Array | bigint | undefined;
  /** Ids of instances this call was at already. */
  exclude?: readonly string[] | undefined;
}

/** How a call went, beside its outcome. */
export interface ReportOptions {
  /** Milliseconds the call took; without it, the time since the pick. */
  latencyMs?: number | undefined;
  /** Milliseconds an overloaded instance asks to be left alone. */
  retryAfterMs?: number | undefined;
}

const { states, whys } = native.pickNames();
const FRESH = 1 << 5;

/** An instance chosen for one call: say how the call went with `report`, or let `run` do so. */
export class Pick implements Disposable {
  readonly #picker: native.Picker;
  readonly #ticket: number;
  /** Everything known of the instance; shared by its picks, and frozen. */
  readonly instance: Readonly<Instance>;
  /** Where the knowledge comes from. */
  readonly state: CacheState;
  /** How it came to be this one. */
  readonly why: Why;

  /** @internal */
  constructor(picker: native.Picker, ticket: number, instance: Instance, state: CacheState, why: Why) {
    this.#picker = picker;
    this.#ticket = ticket;
    this.instance = instance;
    this.state = state;
    this.why = why;
  }

  /** Where to call: `host:port`. */
  get address(): string {
    return this.instance.address;
  }

  /** The instance's id. */
  get id(): string {
    return this.instance.id;
  }

  /** Says how the call went; only the first report counts. */
  report(outcome: Outcome, options?: ReportOptions): void {
    const latency = options?.latencyMs;
    const retryAfter = options?.retryAfterMs;
    try {
      this.#picker.report(this.#ticket, outcome, latency, retryAfter);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Makes the call, and reports how it went by whether and with what it throws. */
  async run<T>(make: (pick: this) => T | PromiseLike<T>): Promise<T> {
    try {
      const result = await make(this);
      this.report('ok');
      return result;
    } catch (error) {
      this.report(outcomeOf(error));
      throw error;
    }
  }

  /** Without a report before, the call counts as cancelled. */
  [Symbol.dispose](): void {
    this.report('cancelled');
  }
}

/** No connection was made, so nothing was sent. */
const CONNECT = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const TIMEOUT = new Set(['ETIMEDOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);

/** What an error of a call says of the instance. `fetch` hides the reason in `cause`. */
export function outcomeOf(error: unknown): Outcome {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < 4; at = at.cause) chain.push(at);
  const has = (codes: Set<string>): boolean =>
    chain.some((at) => codes.has(String((at as NodeJS.ErrnoException).code)));
  if (chain.some((at) => at.name === 'TimeoutError') || has(TIMEOUT)) return 'timeout';
  // The caller's own doing.
  if (chain.some((at) => at.name === 'AbortError')) return 'cancelled';
  return has(CONNECT) ? 'connect_fail' : 'fail';
}

/** What it says of the instance that a signal ended the call: whose time was up waited in vain. */
export function outcomeOfAbort(reason: unknown): Outcome {
  return reason instanceof Error && reason.name === 'TimeoutError' ? 'timeout' : 'cancelled';
}

/** Makes picks of the numbers that cross the border; see `bindings/node/src/pick.rs`. */
export class Picks {
  readonly #picker: native.Picker;
  #instances: Instance[] = [];

  constructor(core: native.Core) {
    this.#picker = core.picker();
  }

  read(number: number): Pick {
    const ticket = Math.floor(number / 0x10_0000);
    const low = number - ticket * 0x10_0000;
    if ((low & FRESH) !== 0) this.#instances = [];
    const instance = this.#instances[low >>> 6] ?? this.#learn(low >>> 6);
    const state = states[low & 3] as CacheState;
    return new Pick(this.#picker, ticket, instance, state, whys[(low >>> 2) & 7] as Why);
  }

  #learn(place: number): Instance {
    const instance = this.#picker.instance(place);
    if (instance === null) throw new Error('a pick without an instance');
    Object.freeze(instance.metadata);
    this.#instances[place] = Object.freeze(instance);
    return instance;
  }
}

/** A followed service: for those who pick often. */
export class Service {
  readonly #native: native.Service;
  readonly #picks: Picks;
  /** The service's name. */
  readonly name: string;

  /** @internal */
  constructor(name: string, service: native.Service, picks: Picks) {
    this.name = name;
    this.#native = service;
    this.#picks = picks;
  }

  /** The view of this moment, from memory; `null` while nothing is known. */
  get view(): ServiceView | null {
    return this.#native.view();
  }

  /** Chooses an instance for one call, from memory: no network, no waiting. Throws
   * `NoEndpointsError`. */
  pick(options?: PickOptions): Pick {
    try {
      if (options === undefined) return this.#picks.read(this.#native.pick());
      const { hash, exclude } = wishes(options);
      return this.#picks.read(this.#native.pick(hash, exclude));
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Whether the service can afford one more retry; takes it out of the budget if so. */
  mayRetry(): boolean {
    return call(() => this.#native.mayRetry());
  }
}

/** What the native addon wants to know. */
export function wishes(options: PickOptions | undefined): { hash?: string | Uint8Array | bigint; exclude?: string[] } {
  return known(options, ['hash', 'exclude']) as { exclude?: string[] };
}
