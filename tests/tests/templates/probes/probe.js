// Tries what it was granted and what it was not, and says what it was told. With `careless` it does not catch what it is told.

import { get as fetch } from 'tidemill:stage/fetch@0.1.0';
import { create, get, getRange, head, list, swap } from 'tidemill:stage/objects@0.1.0';
import { get as context } from 'tidemill:stage/run-context@0.1.0';

function told(action) {
  try {
    return `allowed: ${action()}`;
  } catch (error) {
    return error.payload ? `${error.payload.kind}: ${error.payload.message}` : String(error);
  }
}

const text = (bytes) => String.fromCharCode(...bytes);
const bytes = (text) => Uint8Array.from(text, (char) => char.charCodeAt(0));

export function run(trigger, config) {
  const { careless, elsewhere, granted, own } = JSON.parse(config);
  const tries = {
    read: () => get('secrets/key'),
    head: () => head('secrets/key'),
    range: () => getRange('secrets/key', 0, 1),
    list: () => list('secrets/', undefined, 10),
    write: () => create('secrets/made', bytes('x')),
    swap: () => swap('secrets/key', undefined, bytes('x')),
    fetch: () => fetch(`http://${elsewhere}/`, []).status,
  };
  if (careless) {
    tries[careless]();
    return { decision: 'done', reason: 'nobody stopped it', findings: [], result: '{}' };
  }
  // The outcome of the stage before names what that wrote; both were granted.
  const { summary } = JSON.parse(text(get(trigger.key))).result;
  const result = Object.fromEntries(Object.entries(tries).map(([name, action]) => [name, told(action)]));
  Object.assign(result, {
    rows: JSON.parse(text(get(summary))).rows,
    'fetch-granted': told(() => text(fetch(`http://${granted}/`, []).body)),
    // There is no other way out: nothing of Node's, and nothing of the web's.
    others: ['fetch', 'process', 'require', 'XMLHttpRequest', 'WebSocket', 'Deno', 'std', 'os'].filter((name) => name in globalThis),
    clock: new Date().toISOString().replace('.000Z', 'Z'),
    'as-of': context().asOf,
    chance: Math.random(),
  });
  create(`${own}/${context().runKey}.json`, bytes(JSON.stringify(result)));
  return { decision: 'done', reason: 'tried', findings: [], result: JSON.stringify(result) };
}
