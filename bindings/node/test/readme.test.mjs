// The examples of the README run.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Program, server } from './server.mjs';

const { address } = await server();
const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');
const parts = readme.split(/^## /m).slice(1);

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
