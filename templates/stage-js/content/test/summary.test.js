// The stage over a store in memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { run } from '../summary.js';

function runOver(bytes) {
  const store = new Map([['raw/events/a.jsonl', bytes]]);
  globalThis.context = { asOf: '2024-01-01T00:00:00Z', seed: 7, runKey: '0'.repeat(32), resource: 'test' };
  globalThis.objects = {
    get: (key) => store.get(key),
    create: (key, bytes) => {
      store.set(key, bytes);
      return 'written';
    },
  };
  const outcome = run({ key: 'raw/events/a.jsonl', digest: '0'.repeat(64) }, '{"ignore": ["id"]}');
  store.delete('raw/events/a.jsonl');
  return { outcome, store };
}

const bytes = (text) => new TextEncoder().encode(text);

test('lines are summed up', () => {
  const { outcome, store } = runOver(bytes('{"id": 1, "level": 2}\n\n{"id": 2, "level": 4, "site": "größer"}\n'));
  assert.equal(outcome.decision, 'done');
  const [[key, written]] = store;
  const level = { there: 2, least: 2, greatest: 4, mean: 3 };
  assert.deepEqual(JSON.parse(new TextDecoder().decode(written)), { rows: 2, fields: { level, site: { there: 1 } } });
  assert.equal(JSON.parse(outcome.result).summary, key);
});

test('a bad line is a finding, and nothing is written', () => {
  const { outcome, store } = runOver(bytes('{"level": 2}\nno json\n[1]\n'));
  assert.deepEqual([outcome.decision, outcome.findings.length, store.size], ['rejected', 2, 0]);
  assert.match(outcome.findings[0].message, /line 2/);
});

test('what is not UTF-8 is an error of kind input', () => {
  assert.throws(() => runOver(new Uint8Array([0xff, 0xfe])), (error) => error.kind === 'input');
});
