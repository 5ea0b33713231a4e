// Stands in for the host where the stage is tested: what it imports is taken from `globalThis`. `node --import` loads it first.

import { register } from 'node:module';

const interfaces = {
  'tidemill:stage/objects@0.1.0':
    'export const get = (key) => globalThis.objects.get(key); export const create = (key, bytes) => globalThis.objects.create(key, bytes);',
  'tidemill:stage/run-context@0.1.0': 'export const get = () => globalThis.context;',
};

const hooks = `
const interfaces = ${JSON.stringify(interfaces)};
export const resolve = (name, context, next) => name in interfaces
  ? { url: 'data:text/javascript,' + encodeURIComponent(interfaces[name]), shortCircuit: true }
  : next(name, context);`;

register('data:text/javascript,' + encodeURIComponent(hooks));
