/** What is held until it is given up: locks, leaderships, leases. */

import { EventEmitter } from 'node:events';
import { CancelledError, LockLostError, SessionExpiredError } from './errors.js';
import type { LeaseInfo } from '../native/index.js';
import { call, native, run } from './native.js';
import type { Waiting } from './native.js';
import { known } from './options.js';

/** Waits until something happens or the time is up. */
export interface WaitingLost extends Waiting {
  /** Milliseconds; without it, as long as it takes. */
  timeoutMs?: number | undefined;
}

/** The events of what can be lost. */
export interface HeldEvents {
  lost: [error: LockLostError | SessionExpiredError];
}

/** What of the native handles all have. */
interface Losable {
  isLost(): boolean;
  waitLost(timeoutMs: number | undefined, background: boolean, cancel?: native.Cancel): Promise<boolean>;
}

/** What keeps a handle although the program has no variable for it. */
export interface Keeper {
  keep(handle: object): void;
  release(handle: object): void;
}

/**
 * Something that is renewed in the background until it is given up, or its client is closed. It
 * emits `lost` if it is lost before that.
 */
abstract class Held extends EventEmitter<HeldEvents> {
  readonly #losable: Losable;
  readonly #keeper: Keeper;
  #watched = false;
  #abort: AbortController | undefined;

  constructor(losable: Losable, keeper: Keeper) {
    super();
    this.#losable = losable;
    this.#keeper = keeper;
    keeper.keep(this);
    (this as EventEmitter).on('newListener', (name) => {
      if (name === 'lost') this.#watch();
    });
  }

  /** Whether it is lost. `false` is a snapshot, not a promise. */
  get isLost(): boolean {
    return call(() => this.#losable.isLost());
  }

  /** Aborted when it is lost, with the error as its reason: for calls that must end then. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.isLost) this.#abort.abort(this.lostError());
      else this.#watch();
    }
    return this.#abort.signal;
  }

  /** Waits until it is lost; `false` when the time is up or it was given up. */
  async waitLost(options?: WaitingLost): Promise<boolean> {
    const { timeoutMs, signal } = known(options, ['timeoutMs', 'signal']);
    return run((cancel) => this.#losable.waitLost(timeoutMs, false, cancel), signal);
  }

  #watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    // In the background, so that the process may exit.
    const lost = this.#losable.waitLost(undefined, true);
    lost.then(
      (lost) => {
        if (!lost) return;
        const error = this.lostError();
        this.#abort?.abort(error);
        this.emit('lost', error);
      },
      // The process exits.
      () => {},
    );
  }

  protected async giveUp(
    how: (cancel: native.Cancel | undefined) => Promise<unknown>,
    options: Waiting | undefined,
  ): Promise<void> {
    const { signal } = known(options, ['signal']);
    try {
      await run(how, signal);
    } catch (error) {
      // Withdrawn, it is still held. Otherwise it is lost, or given up in the background.
      if (!(error instanceof CancelledError)) this.#keeper.release(this);
      throw error;
    }
    this.#keeper.release(this);
  }

  protected abstract lostError(): LockLostError | SessionExpiredError;
}

/** A held lock. Locks are lost when no server answers for their time to live. */
export class LockGuard extends Held implements AsyncDisposable {
  readonly #guard: native.Guard;
  /** The lock's name. */
  readonly name: string;
  /** The key that stands for this holder. */
  readonly key: Buffer;
  /** The fencing token: greater than that of every earlier holder. */
  readonly token: number;

  /** @internal */
  constructor(guard: native.Guard, keeper: Keeper) {
    super(guard, keeper);
    this.#guard = guard;
    ({ name: this.name, key: this.key, token: this.token } = guard);
  }

  /** Releases the lock; the next in line has it then. Does nothing the second time. Rejects with
   * `LockLostError` if it was lost before. */
  async unlock(options?: Waiting): Promise<void> {
    await this.giveUp((cancel) => this.#guard.unlock(cancel), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unlock();
  }

  protected override lostError(): LockLostError {
    return new LockLostError(`lock "${this.name}" was lost`);
  }
}

/** Leadership of an election. */
export class Leadership extends Held implements AsyncDisposable {
  readonly #leadership: native.Leadership;
  /** The election's name. */
  readonly name: string;
  /** The key that stands for this leader. */
  readonly key: Buffer;
  /** The fencing token: greater than that of every earlier leader. */
  readonly token: number;

  /** @internal */
  constructor(leadership: native.Leadership, keeper: Keeper) {
    super(leadership, keeper);
    this.#leadership = leadership;
    ({ name: this.name, key: this.key, token: this.token } = leadership);
  }

  /** Changes what others see of the leader. Rejects with `LockLostError`. */
  async proclaim(value: string | Uint8Array, options?: Waiting): Promise<void> {
    const { signal } = known(options, ['signal']);
    await run((cancel) => this.#leadership.proclaim(value, cancel), signal);
  }

  /** Gives leadership up; the next in line leads then. Does nothing the second time. Rejects with
   * `LockLostError` if it was lost before. */
  async resign(options?: Waiting): Promise<void> {
    await this.giveUp((cancel) => this.#leadership.resign(cancel), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resign();
  }

  protected override lostError(): LockLostError {
    return new LockLostError(`leadership of "${this.name}" was lost`);
  }
}

/** A lease; keys put with it are deleted when it ends. */
export class Lease extends Held implements AsyncDisposable {
  readonly #core: native.Core;
  readonly #lease: native.Lease;
  readonly id: bigint;
  /** Milliseconds, as granted. */
  readonly ttlMs: number;

  /** @internal */
  constructor(core: native.Core, lease: native.Lease, keeper: Keeper) {
    super(lease, keeper);
    this.#core = core;
    this.#lease = lease;
    ({ id: this.id, ttlMs: this.ttlMs } = lease);
  }

  /** Ends it now. Does nothing the second time. Rejects with `SessionExpiredError` if it had ended
   * before. */
  async revoke(options?: Waiting): Promise<void> {
    await this.giveUp((cancel) => this.#lease.revoke(cancel), options);
  }

  /** What is left of it; `null` if it has ended. */
  async timeToLive(options?: Waiting): Promise<LeaseInfo | null> {
    const { signal } = known(options, ['signal']);
    return (await run((cancel) => this.#core.leaseTimeToLive(this.id, cancel), signal)) ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.revoke();
  }

  protected override lostError(): SessionExpiredError {
    return new SessionExpiredError(`lease ${this.id.toString(16)} was lost`);
  }
}
