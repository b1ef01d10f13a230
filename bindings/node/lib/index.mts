/** The same for `import`: one copy of the classes, whichever way the package is loaded. */

export * from './index.js';
