/** The native addon, and errors of its calls as our classes. */

import * as native from '../native/index.js';
import { CancelledError, fromNative } from './errors.js';

export { native };

/** What every call that waits takes. */
export interface Waiting {
  /** Withdraws the call when it is aborted; it then rejects with `CancelledError`. */
  signal?: AbortSignal | undefined;
}

/** Awaits a call, which its signal withdraws. */
export async function run<T>(
  start: (cancel: native.Cancel | undefined) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) {
    try {
      return await start(undefined);
    } catch (error) {
      throw fromNative(error);
    }
  }
  if (signal.aborted) throw new CancelledError('the call was cancelled', { cause: signal.reason });
  const cancel = new native.Cancel();
  const abort = (): void => cancel.cancel();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await start(cancel);
  } catch (error) {
    throw fromNative(error, signal);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Makes a call that does not wait. */
export function call<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw fromNative(error);
  }
}
