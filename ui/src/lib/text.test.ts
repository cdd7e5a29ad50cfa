import assert from 'node:assert/strict';
import { test } from 'node:test';

import { command, quoted, short, visible } from './text.ts';

test('what hides is written out', () => {
  for (const [text, shown] of [
    ['plain ünïcode 日本', 'plain ünïcode 日本'],
    ['a\u202eb', 'a\\u{202e}b'],
    ['\u001b[2J\r\n', '\\u{1b}[2J\\u{d}\\u{a}'],
    ['x\u{e0041}y', 'x\\u{e0041}y'],
    ['\ud800', '\\u{d800}'],
    ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ] as const) {
    assert.equal(visible(text), shown);
  }
  assert.equal(visible('x'.repeat(10_000)).length, 2_001);
});

test('a copied command is one command, whatever it holds', () => {
  for (const [word, written] of [
    ['laptop', 'laptop'],
    ["it's", `'it'\\''s'`],
    ['a b; rm -rf /', `'a b; rm -rf /'`],
    ['$(id)', `'$(id)'`],
    ['a\nb', `$'a\\x0ab'`],
    ["\u202e'", `$'\\xe2\\x80\\xae\\x27'`],
    ['', `''`],
  ] as const) {
    assert.equal(quoted(word), written);
  }
  assert.equal(command('tap', '--agent', 'a b', undefined), `lockgate tap --agent 'a b'`);
});

test('names', () => {
  assert.equal(short('spiffe://lockgate.local/agent/laptop'), 'laptop');
  assert.equal(short('spiffe://lockgate.local/node/a'), 'node/a');
  assert.equal(short('local-user'), 'local-user');
});
