// Lays out what is published in a folder: the package without an addon, and for each platform in
// npm/ whose addon was built into native/ the package with it. Publish them with `npm publish`.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const here = join(import.meta.dirname, '..');
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: node scripts/stage.mjs FOLDER');
  process.exit(2);
}
const to = resolve(folder);
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

const { scripts, devDependencies, ...published } = read(join(here, 'package.json'));
const optionalDependencies = {};
for (const platform of readdirSync(join(here, 'npm'))) {
  const described = read(join(here, 'npm', platform, 'package.json'));
  optionalDependencies[described.name] = published.version;
  const addon = join(here, 'native', described.main);
  if (!existsSync(addon)) continue;
  const target = join(to, `native-${platform}`);
  mkdirSync(target, { recursive: true });
  cpSync(addon, join(target, described.main));
  cpSync(join(here, '../../LICENSE'), join(target, 'LICENSE'));
  write(join(target, 'package.json'), { ...described, version: published.version });
}
const target = join(to, 'quorate');
for (const path of ['dist', 'native/index.js', 'native/index.d.ts', 'native/platform.js', 'README.md']) {
  cpSync(join(here, path), join(target, path), { recursive: true });
}
cpSync(join(here, '../../LICENSE'), join(target, 'LICENSE'));
write(join(target, 'package.json'), { ...published, optionalDependencies });
