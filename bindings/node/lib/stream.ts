/** Streams: of service events, key changes, leaders. */

import { EventEmitter } from 'node:events';
import { CancelledError } from './errors.js';
import { call, native, run } from './native.js';
import type { Waiting } from './native.js';
import { known } from './options.js';

/** The events of a stream. */
export interface StreamEvents<T> {
  data: [item: T];
  error: [error: Error];
  end: [];
}

/**
 * An async iterator, which ends when it or its client is closed. `for await` keeps the process
 * alive; leaving the loop closes it.
 *
 * With a listener of `data` it is read in the background, and the process may exit meanwhile: then
 * `end` tells of the end, and `error` of a failure. Each item goes to one reader only.
 */
export class Stream<T> extends EventEmitter<StreamEvents<T>> implements AsyncIterableIterator<T, undefined> {
  readonly #native: native.Stream;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.close();
  #flowing = false;

  /** @internal */
  constructor(stream: native.Stream, signal: AbortSignal | undefined) {
    super();
    this.#native = stream;
    this.#signal = signal;
    if (signal?.aborted) {
      stream.close();
      throw new CancelledError('the call was cancelled', { cause: signal.reason });
    }
    signal?.addEventListener('abort', this.#abort, { once: true });
    (this as EventEmitter).on('newListener', (name) => {
      if (name === 'data' && !this.#flowing) void this.#flow();
    });
  }

  /** The next item. `signal` withdraws this call alone: the item it would have given is the next. */
  async next(options?: Waiting): Promise<IteratorResult<T, undefined>> {
    const { signal } = known(options, ['signal']);
    if (this.#signal?.aborted) {
      throw new CancelledError('the call was cancelled', { cause: this.#signal.reason });
    }
    return this.#read(false, signal);
  }

  async #read(background: boolean, signal?: AbortSignal): Promise<IteratorResult<T, undefined>> {
    const item = (await run((cancel) => this.#native.next(background, cancel), signal)) as T | null;
    if (item !== null) return { done: false, value: item };
    this.#signal?.removeEventListener('abort', this.#abort);
    return { done: true, value: undefined };
  }

  async #flow(): Promise<void> {
    this.#flowing = true;
    for (;;) {
      let read: IteratorResult<T, undefined>;
      try {
        read = await this.#read(true);
      } catch (error) {
        this.emit('error', error as Error);
        return;
      }
      if (read.done) break;
      this.emit('data', read.value);
    }
    this.emit('end');
  }

  /** Ends it; who waits for the next item is told that there is none. */
  close(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    call(() => this.#native.close());
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
