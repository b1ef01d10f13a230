// The examples for Node run: those of the package's README, and that of the project's.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Program, server } from './server.mjs';

const { address } = await server();
const read = (path) => readFileSync(join(import.meta.dirname, path), 'utf8');
const parts = [read('../README.md'), read('../../../README.md')].flatMap((readme) =>
  readme.split(/^## /m).slice(1),
);

for (const part of parts) {
  const [title] = part.split('\n');
  for (const [, code] of part.matchAll(/^```js\n(.*?)^```$/gms)) {
    test(`the example of "${title}" runs`, async () => {
      const program = new Program(code.replaceAll('127.0.0.1:2379', address));
      const said = [];
      program.process.stdout.on('data', (data) => said.push(data));
      assert.equal(await program.end(), 0, program.errors);
      assert.equal(program.errors, '');
      assert.notEqual(said.length, 0);
    });
  }
}
