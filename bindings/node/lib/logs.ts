/** What the client's threads have to say. */

import type { LogLevel, LogRecord } from '../native/index.js';
import { call, native } from './native.js';

/**
 * Hands the client's log records of this level and above to a function from now on; `null` ends it.
 * The records are those of the whole process, of all its clients and workers: one function gets
 * them, the last that was set. It does not keep the process alive.
 */
export function setLogger(logger: ((record: LogRecord) => void) | null, level: LogLevel = 'warn'): void {
  if (logger === null) {
    call(() => native.removeLogger());
    return;
  }
  const take = (records: LogRecord[]): void => {
    for (const record of records) {
      try {
        logger(record);
      } catch (error) {
        // As an event's listener that throws.
        process.nextTick(() => {
          throw error;
        });
      }
    }
  };
  call(() => native.setLogger(take, level));
}
