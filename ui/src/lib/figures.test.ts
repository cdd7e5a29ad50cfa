import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ago, bytes, duration, rate, share, span } from './figures.ts';

test('durations', () => {
  for (const [us, text] of [[85, '85 µs'], [1_250, '1.3 ms'], [123_456, '123 ms'], [3_490_000, '3.49 s'], [undefined, '–']] as const) {
    assert.equal(duration(us), text);
  }
});

test('a share is all only when it is all', () => {
  assert.equal(share(9_999_999, 10_000_000), '99.9 %');
  assert.equal(share(1, 10_000_000), '0.1 %');
  assert.equal(share(3, 3), '100 %');
  assert.equal(share(1, 3), '33.3 %');
  assert.equal(share(0, 0), '–');
});

test('spans and rates', () => {
  assert.equal(span(93_600_000), '1 d 2 h');
  assert.equal(span(59_999), '59 s');
  assert.equal(ago(1_000, 61_000), '1 min ago');
  assert.equal(ago(61_000, 1_000), 'in 1 min');
  assert.equal(rate(0.42), '0.4');
  assert.equal(rate(1234.4), '1,234');
  assert.equal(bytes(9_626), '9.4 KiB');
});
