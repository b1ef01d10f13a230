/** A registration that is kept alive. */

import { EventEmitter } from 'node:events';
import type { InstanceStatus, RemovalReason } from '../native/index.js';
import { CancelledError } from './errors.js';
import type { Keeper } from './held.js';
import { call, native, run } from './native.js';
import type { Waiting } from './native.js';
import { known } from './options.js';

/** The events of a registration. */
export interface RegistrationEvents {
  evicted: [reason: RemovalReason];
}

/** What of a registered instance changes. */
export interface UpdateOptions extends Waiting {
  status?: InstanceStatus | undefined;
  /** 0 to 65535. */
  weight?: number | undefined;
  /** Replaces all of it. */
  metadata?: Record<string, string> | undefined;
}

/**
 * A registered instance. It stays registered, through broken connections and restarted servers,
 * until it is deregistered, its client is closed, or the process ends. It does not keep the process
 * alive. Emits `evicted` if somebody else removes it for good; it is not put back then.
 */
export class Registration extends EventEmitter<RegistrationEvents> implements AsyncDisposable {
  readonly #native: native.Registration;
  readonly #keeper: Keeper;
  #watched = false;
  readonly id: string;
  readonly namespace: string;
  readonly service: string;
  readonly address: string;

  /** @internal */
  constructor(registration: native.Registration, keeper: Keeper) {
    super();
    this.#native = registration;
    this.#keeper = keeper;
    ({ id: this.id, namespace: this.namespace, service: this.service, address: this.address } = registration);
    keeper.keep(this);
    (this as EventEmitter).on('newListener', (name) => {
      if (name === 'evicted') this.#watch();
    });
  }

  /** Of the record, as the server last said; 0 once deregistered. */
  get revision(): number {
    return call(() => this.#native.revision());
  }

  /** Why somebody else removed it for good, if so. */
  get evicted(): RemovalReason | null {
    return call(() => this.#native.evicted());
  }

  /** Changes what is given. */
  async update(options: UpdateOptions): Promise<void> {
    const { signal, ...change } = known(options, ['status', 'weight', 'metadata', 'signal']);
    await run((cancel) => this.#native.update(change as native.InstanceChange, cancel), signal);
  }

  /** Removes the instance; does nothing the second time. */
  async deregister(options?: Waiting): Promise<void> {
    const { signal } = known(options, ['signal']);
    try {
      await run((cancel) => this.#native.deregister(cancel), signal);
    } catch (error) {
      // Withdrawn, it is still registered. Otherwise a server is told as soon as one answers.
      if (!(error instanceof CancelledError)) this.#keeper.release(this);
      throw error;
    }
    this.#keeper.release(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.deregister();
  }

  #watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    // In the background, so that the process may exit; then nobody is told.
    this.#native.waitEvicted(undefined, true).then(
      (evicted) => {
        const reason = evicted ? this.evicted : null;
        if (reason !== null) this.emit('evicted', reason);
      },
      () => {},
    );
  }
}
