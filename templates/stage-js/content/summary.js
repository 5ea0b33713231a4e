// Sums up JSON lines: how often each field is there, and the least, greatest and mean number in it.
//
// Tidemill calls `run`. `tidemill.toml` grants what it may read and write. The clock is the data's, and randomness comes from the run's
// seed, so that the same object gives the same outcome each time.

import { create, get } from 'tidemill:stage/objects@0.1.0';
import { get as context } from 'tidemill:stage/run-context@0.1.0';

export function run(trigger, config) {
  // An error of the host (no such object, no grant) that is not caught becomes the stage's error.
  // `throw { kind: 'input', message: '…' }` makes one; any other exception counts as a bug.
  const text = decode(get(trigger.key));
  const { summary, wrong } = summarise(text, JSON.parse(config).ignore ?? []);
  if (wrong.length > 0) {
    // Bad data is an outcome, not an error.
    const findings = wrong.map((message) => ({ check: 'json', target: trigger.key, severity: 'error', message, count: 1 }));
    return { decision: 'rejected', reason: `${wrong.length} lines are no JSON objects`, findings, result: '{}' };
  }
  // Named by the run's key, so that a run which is repeated after a crash writes the same object again.
  const key = `{{project-name | kebab_case}}/${context().runKey}.json`;
  create(key, encode(JSON.stringify(summary, null, 2) + '\n'));
  const result = JSON.stringify({ rows: summary.rows, summary: key });
  return { decision: 'done', reason: `summed up ${summary.rows} rows`, findings: [], result };
}

// The summary, and a message for each line that is no JSON object.
function summarise(text, ignore) {
  const values = new Map();
  const wrong = [];
  let rows = 0;
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return;
    const row = parse(line);
    if (row === null || typeof row !== 'object' || Array.isArray(row)) {
      wrong.push(`line ${index + 1} is no JSON object: \`${line.slice(0, 40)}\``);
      return;
    }
    rows += 1;
    for (const [name, value] of Object.entries(row)) {
      if (ignore.includes(name) || value === null) continue;
      values.set(name, [...(values.get(name) ?? []), value]);
    }
  });
  const names = [...values.keys()].sort();
  const fields = Object.fromEntries(names.map((name) => [name, { there: values.get(name).length, ...numbers(values.get(name)) }]));
  return { summary: { rows, fields }, wrong };
}

// Least, greatest and mean; nothing where a value is no number.
function numbers(values) {
  if (!values.every((value) => typeof value === 'number')) return {};
  const sum = values.reduce((sum, value) => sum + value, 0);
  return { least: Math.min(...values), greatest: Math.max(...values), mean: sum / values.length };
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

// QuickJS has no TextDecoder and TextEncoder.
function decode(bytes) {
  const hex = Array.from(bytes, (byte) => '%' + byte.toString(16).padStart(2, '0'));
  try {
    return decodeURIComponent(hex.join(''));
  } catch {
    throw { kind: 'input', message: 'the object is not UTF-8' };
  }
}

function encode(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
}
