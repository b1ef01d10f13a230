/** The end of the process: clients that are open are closed, within a second. */

import { isMainThread } from 'node:worker_threads';
import { native } from './native.js';

/** What must stay although nobody refers to it: a registration without a variable is one still. */
const open = new Set<object>();
let armed = false;

/** Keeps a client, and with it what it holds, until it is closed or the process ends. */
export function opened(client: object): void {
  open.add(client);
  // A worker's clients are closed when its environment ends, also by `terminate()`.
  if (!armed && isMainThread) {
    armed = true;
    process.once('exit', () => native.shutDown());
  }
}

/** It was closed. */
export function closed(client: object): void {
  open.delete(client);
}
