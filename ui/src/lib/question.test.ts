import assert from 'node:assert/strict';
import test from 'node:test';

import { question } from './question.ts';

test('fields become a question, the rest are words to look for', () => {
  const asked = question('agent:ann tool:crm/refund since:7d Urgent safe:no');
  assert.equal(asked?.query, 'agent=ann&tool=crm%2Frefund&since=7d&quantum_safe=no');
  assert.deepEqual(asked?.flags, ['--agent', 'ann', '--tool', 'crm/refund', '--since', '7d', '--quantum-safe', 'no']);
  assert.deepEqual(asked?.words, ['urgent']);
});

test('what names no field is no question', () => {
  for (const text of ['', 'ann', 'agent:', ':ann', 'constructor:x', '__proto__:x', 'https://x.example']) {
    assert.equal(question(text), undefined, text);
  }
});

test('a value may hold what a URL cannot', () => {
  assert.equal(question('rule:a&b=c#d')?.query, 'rule=a%26b%3Dc%23d');
  assert.equal(question('agent:spiffe://x/agent/ann')?.query, 'agent=spiffe%3A%2F%2Fx%2Fagent%2Fann');
});
