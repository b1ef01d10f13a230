// Builds the package in place: the native addon with cargo, its types from the Rust code, the
// TypeScript with tsc.
//
// `--types` accepts what the Rust code says as native/index.d.ts; otherwise a difference fails.
//
// It is also what npm runs before the package is used from a folder, and then without what the build
// needs: so that is installed first. QUORATE_NODE_PROFILE=dev builds faster than the default,
// release, and runs slower.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const here = join(import.meta.dirname, '..');

/** Runs a program, and ends if it fails; returns what it printed, if `stdout` is piped. */
function run(command, args, { stdout = 'inherit', env = {} } = {}) {
  const done = spawnSync(command, args, {
    cwd: here,
    stdio: ['ignore', stdout, 'inherit'],
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
  });
  if (done.error?.code === 'ENOENT') {
    console.error(`quorate: ${command} is not installed, and the package is built with it`);
    process.exit(1);
  }
  if (done.error) throw done.error;
  if (done.status !== 0) process.exit(done.status ?? 1);
  return done.stdout?.toString();
}

/** The addon's file, and the folder in which its types were left. */
function cargo() {
  const metadata = run('cargo', ['metadata', '--format-version', '1', '--no-deps'], { stdout: 'pipe' });
  const types = join(JSON.parse(metadata).target_directory, 'napi-types');
  mkdirSync(types, { recursive: true });
  const env = { NAPI_TYPE_DEF_TMP_FOLDER: types };
  if (!existsSync(join(types, 'quorate-node'))) {
    // The types are written when the crate is compiled: so it must be, also if it was before.
    env.NAPI_FORCE_BUILD_QUORATE_NODE = String(Date.now());
  }
  const profile = process.env.QUORATE_NODE_PROFILE ?? 'release';
  const args = ['build', '--package', 'quorate-node', '--profile', profile];
  const messages = run('cargo', [...args, '--message-format', 'json-render-diagnostics'], {
    stdout: 'pipe',
    env,
  });
  const library = messages
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .find(({ reason, target }) => reason === 'compiler-artifact' && target.name === 'quorate_node');
  return { library: library.filenames[0], types };
}

if (!existsSync(join(here, 'Cargo.toml'))) {
  // As it is published: there is nothing to build.
  process.exit(0);
}
if (!existsSync(join(here, 'node_modules/@napi-rs/cli'))) {
  // Not `npm ci`: it refuses a registry that lacks the tools' packages for other platforms.
  run('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']);
}
const { library, types } = cargo();
const { platformName } = await import(join(here, 'native/platform.js')).then((m) => m.default);
const addon = join(here, `native/quorate.${platformName()}.node`);
copyFileSync(library, `${addon}.new`);
// A process that has loaded the old one keeps it.
renameSync(`${addon}.new`, addon);

const { generateTypeDef } = await import('@napi-rs/cli');
const { dts } = await generateTypeDef({
  typeDefDir: types,
  cwd: here,
  dtsHeader: readFileSync(join(here, 'native/names.d.ts'), 'utf8'),
});
const declared = join(here, 'native/index.d.ts');
if (process.argv.includes('--types')) writeFileSync(declared, dts);
if (readFileSync(declared, 'utf8') !== dts) {
  console.error('quorate: native/index.d.ts is not what the Rust code says: `npm run types`');
  process.exit(1);
}
run(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '--project', 'tsconfig.json']);
