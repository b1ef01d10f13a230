// The package as others get it: imported, required, typed, and installed from what is published.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as imported from 'quorate';
import { platformName } from '../native/platform.js';

const HERE = join(import.meta.dirname, '..');
const require = createRequire(import.meta.url);
const run = (command, args, cwd = HERE) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

test('import and require give the same classes', () => {
  const required = require('quorate');
  const names = Object.keys(required).filter((name) => name !== '__esModule');
  assert.ok(names.length > 30);
  for (const name of names) assert.equal(imported[name], required[name], name);
});

test('every error code has its class', () => {
  const { errorCodes } = require('../native/index.js');
  const classes = Object.values(imported).filter((one) => one.prototype instanceof imported.QuorateError);
  const coded = new Map(classes.map((one) => [one.prototype.code, one.prototype]));
  for (const { code, number, retryable, nextStep } of errorCodes()) {
    const found = coded.get(code);
    assert.ok(found, `no class for ${code}`);
    assert.deepEqual([found.number, found.retryable, found.nextStep], [number, retryable, nextStep]);
  }
  assert.equal(coded.size, errorCodes().length);
  const error = new imported.LockLostError('gone');
  assert.equal(String(error), 'LockLostError: gone');
});

test('the declared addon is the real one', () => {
  const native = require('../native/index.js');
  const declared = readFileSync(join(HERE, 'native/index.d.ts'), 'utf8');
  const names = Array.from(declared.matchAll(/^export declare (?:class|function) (\w+)/gm), ([, name]) => name);
  assert.deepEqual(Object.keys(native).sort(), names.sort());
});

test('a program that uses everything compiles', () => {
  try {
    run(process.execPath, ['node_modules/typescript/bin/tsc', '--project', 'test/types/tsconfig.json']);
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test('what is published can be installed, and finds its platform', () => {
  const staged = mkdtempSync(join(tmpdir(), 'quorate-npm-'));
  after(() => rmSync(staged, { recursive: true, force: true }));
  run(process.execPath, ['scripts/stage.mjs', staged]);
  const packages = readdirSync(staged);
  assert.ok(packages.includes(`native-${platformName()}`), String(packages));
  const tarballs = packages.map((name) => {
    const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json'], join(staged, name)));
    const addons = files.filter(({ path }) => path.endsWith('.node'));
    assert.equal(addons.length, name === 'quorate' ? 0 : 1);
    return join(staged, name, filename);
  });
  const program = join(staged, 'program');
  mkdirSync(program);
  writeFileSync(join(program, 'package.json'), '{ "private": true }');
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], program);
  const code = `import { Client } from 'quorate'; await new Client().close(); console.log('closed');`;
  writeFileSync(join(program, 'program.mjs'), code);
  assert.equal(run(process.execPath, ['program.mjs'], program), 'closed\n');
});

test('without an addon it is said what to do', () => {
  const staged = mkdtempSync(join(tmpdir(), 'quorate-npm-'));
  after(() => rmSync(staged, { recursive: true, force: true }));
  run(process.execPath, ['scripts/stage.mjs', staged]);
  assert.throws(
    () => run(process.execPath, ['--eval', `require(${JSON.stringify(join(staged, 'quorate'))})`], staged),
    (error) => {
      assert.match(error.stderr, /no native addon for .*optional dependencies.*npm run build/s);
      return true;
    },
  );
});
