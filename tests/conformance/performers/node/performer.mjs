// Plays scenarios through the Node package: a command per line on stdin, what came of it on stdout.
// See ../../PERFORMER.md.
import { createInterface } from 'node:readline';
import { QuorateError } from '../../../../bindings/node/dist/index.mjs';
import { Arguments, Fields, Refused } from './lines.mjs';
import * as operations from './operations.mjs';

/** What withdraws the commands under way, by their ids. */
const running = new Map();

function say(line) {
  process.stdout.write(`${line}\n`);
}

async function perform(op, fields, signal) {
  if (op === 'cancel') {
    const args = Arguments.read(fields);
    const id = args.neededText('id');
    args.end();
    running.get(id)?.abort();
    return new Fields();
  }
  const operation = Object.hasOwn(operations, op) ? operations[op] : undefined;
  if (operation === undefined) throw new Refused('performer:unknown_op', op);
  return operation(Arguments.read(fields), signal);
}

function failure(error) {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof QuorateError) return { code: error.code, retryable: error.retryable, message };
  if (error instanceof Refused) return { code: error.code, retryable: error.code === 'timeout', message };
  process.stderr.write(`${error?.stack ?? error}\n`);
  return { code: `host:${error?.constructor?.name}`, retryable: false, message };
}

async function command(line) {
  const [id, op, ...fields] = line.split(' ');
  const abort = new AbortController();
  running.set(id, abort);
  try {
    say(`${id} ok${await perform(op, fields, abort.signal)}`);
  } catch (error) {
    say(`${id} error${new Fields(failure(error))}`);
  } finally {
    running.delete(id);
  }
}

say('hello language=node lacks=drop');
createInterface({ input: process.stdin })
  .on('line', command)
  .on('close', () => process.exit(0));
