// A real server for a test file, and programs that use it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');
const BINARY = process.env.QUORATE_BINARY ?? join(ROOT, 'target/debug/quorate');

/** Milliseconds any one step may take: long, as the machine may be busy. */
export const SOON = 30_000;

/** A server process that can be killed and started again at the same address. */
export class Server {
  directory = mkdtempSync(join(tmpdir(), 'quorate-node-'));
  address = '127.0.0.1:0';
  process;

  async start() {
    const ready = join(this.directory, 'ready.json');
    rmSync(ready, { force: true });
    const log = openSync(join(this.directory, 'server.log'), 'a');
    this.process = spawn(
      BINARY,
      ['serve', '--data-dir', join(this.directory, 'data'), '--listen-client', this.address].concat(
        ['--listen-peer', '127.0.0.1:0', '--ready-file', ready],
      ),
      { stdio: ['ignore', 'ignore', log] },
    );
    const failed = once(this.process, 'exit').then(() => {
      throw new Error(`the server ended: ${readFileSync(join(this.directory, 'server.log'), 'utf8')}`);
    });
    failed.catch(() => {});
    await within(Promise.race([appears(this.directory, ready), failed]), 'the server starts');
    [this.address] = JSON.parse(readFileSync(ready, 'utf8')).client;
    return this;
  }

  async kill() {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await ended;
    }
  }

  async end() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Until a file is there; it is written under another name and moved. */
async function appears(directory, path) {
  const watcher = watch(directory);
  try {
    while (!existsSync(path)) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

/** The server of a test file, ended with it. */
export async function server() {
  const server = new Server();
  after(() => server.end());
  return server.start();
}

let names = 0;

/** A name no other test uses. */
export function name() {
  names += 1;
  return `test-${process.pid}-${names}`;
}

/** What a promise gives, if that is soon. */
export async function within(promise, what = 'it happens', milliseconds = SOON) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A Node program, run as a process of its own; it says lines. */
export class Program {
  #lines;
  errors = '';

  constructor(code, ...args) {
    this.process = spawn(process.execPath, ['--input-type=module', '--eval', code, ...args], {
      cwd: import.meta.dirname,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.process.stderr.on('data', (data) => (this.errors += data));
    this.ended = once(this.process, 'exit').then(([code, signal]) => signal ?? code);
    after(() => this.process.kill('SIGKILL'));
  }

  /** The next line it says. */
  async line() {
    const { done, value } = await within(this.#lines.next(), 'the program says something');
    if (done) throw new Error(`the program ended: ${this.errors}`);
    return value;
  }

  /** How it ended: its exit code, or the name of the signal. */
  async end(milliseconds = SOON) {
    return within(this.ended, 'the program ends', milliseconds);
  }
}
