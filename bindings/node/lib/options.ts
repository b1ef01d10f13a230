/** Checking option objects: a name nobody reads is a mistake, and must not be dropped silently. */

import { InvalidArgumentError } from './errors.js';

/** Options, of which only these names are known. */
export function known<T extends object>(options: T | undefined, names: readonly (keyof T)[]): Partial<T> {
  if (options === undefined) return {};
  if (options === null || typeof options !== 'object') {
    throw new InvalidArgumentError(`options are an object, not ${options === null ? 'null' : typeof options}`);
  }
  for (const name of Object.keys(options)) {
    if (!(names as readonly string[]).includes(name)) {
      throw new InvalidArgumentError(`unknown option ${JSON.stringify(name)}: use ${names.join(', ')}`);
    }
  }
  return options;
}
