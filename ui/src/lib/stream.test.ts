import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parse } from './stream.ts';

test('events come whole, however they are cut on the way', () => {
  const text = 'retry: 1000\nevent: hello\nid: 7-1\ndata: {"missed":0}\n\nid: 7-2\ndata: {"a":1}\n\nid: 7-3\n\n';
  for (let at = 0; at <= text.length; at += 1) {
    const seen: unknown[] = [];
    const rest = parse(text.slice(0, at), (event) => seen.push(event));
    assert.equal(parse(rest + text.slice(at), (event) => seen.push(event)), '');
    assert.deepEqual(seen, [
      { type: 'hello', id: '7-1', data: '{"missed":0}' },
      { type: 'message', id: '7-2', data: '{"a":1}' },
      { type: 'message', id: '7-3', data: '' },
    ]);
  }
});
