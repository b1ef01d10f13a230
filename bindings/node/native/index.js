'use strict';
// Loads the native addon: the one built in this folder, or that of the platform's package.

const { platformName } = require('./platform.js');

function load() {
  const name = platformName();
  let reason;
  for (const place of [`./quorate.${name}.node`, `@quorate/native-${name}`]) {
    try {
      return require(place);
    } catch (error) {
      reason = error;
      if (error.code !== 'MODULE_NOT_FOUND') break;
    }
  }
  throw new Error(
    `quorate: no native addon for ${name}: install the package with its optional dependencies, or ` +
      'build it with `npm run build` in bindings/node, which needs cargo',
    { cause: reason },
  );
}

module.exports = load();
