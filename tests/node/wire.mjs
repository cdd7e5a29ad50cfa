// What the conformance suite is blind to, byte by byte, through connector and gateway and through
// the foreign listener: what must pass untouched, what must be stopped, and what a server that
// misbehaves may not do to anybody else.
import { readFileSync } from 'node:fs';

import { message, modern, open, rawResult, send, session, until, whole } from './lib/mcp.mjs';
import { binary, connector, gateway, run, start } from './lib/processes.mjs';
import { end, expect, same, section, test } from './lib/tap.mjs';

/** The bound: a client that goes away in the modern era reaches the upstream so fast. */
const DISCONNECT_MS_MAX = 100;
/** How long the fixture waits for something to be observed. */
const OBSERVED_MS_MAX = 10_000;
const LARGE_EVENT_BYTES = 16 * 1024 * 1024 - 64 * 1024;
const EXACT = [
  '{"content":[{"type":"text","text":"caf\\u00e9 \\ud83d\\ude00 \\/ é","vendor":{"n":1.0,"big":18446744073709551616}}],"resultType":"complete"}',
  '{ "content" : [ ] , "x":{"1":1.0,"2":-0,"3":1E-400,"4":0.10},\t"resultType":"complete" }',
  '{"content":[],"structuredContent":{"deep":[[[[{"a":null}]]]],"é\\u0000":"\\u0041"},"resultType":"complete","_meta":{"example.com/x":[1.0]}}',
];

const wire = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
const other = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);

async function observed({ requests = 0, disconnects = 0 }) {
  const query = `requests=${requests}&disconnects=${disconnects}&wait_ms=${OBSERVED_MS_MAX}`;
  const answer = await fetch(`${wire.ready.observed}?${query}`);
  return answer.json();
}
const forget = () => fetch(new URL('/forget', wire.ready.url), { method: 'POST' });
const header = (request, name) => request.headers.find(([held]) => held.toLowerCase() === name)?.[1];

async function bytes(leg) {
  for (const [number, text] of EXACT.entries()) {
    await test(`${leg.name}: result ${number + 1} arrives byte for byte`, async () => {
      const answer = await send(leg, modern('exact', { text }));
      same([answer.status, rawResult(answer.text)], [200, text], 'the result');
    });
  }
  await test(`${leg.name}: a request arrives byte for byte, odd id and unknown members included`, async () => {
    await forget();
    const raw = '{"jsonrpc":"2.0", "id": "a\\u0062c", "method":"tools/call","params":{"name":"echo","arguments":{"n":1.0,"big":123456789012345678901234567890},"x-new":[1E5],'
      + '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"x-cap":{}},"example.com/trace":"\\/"}},"x-top":{}}';
    const answer = await send(leg, modern('echo', {}, { raw }));
    const { requests } = await observed({ requests: 1 });
    same(requests.at(-1).body, raw, 'the body');
    expect(answer.text.includes('"a\\u0062c"'), `the id came back as something else: ${answer.text}`);
  });
  await test(`${leg.name}: comments, ids and retry of a stream arrive`, async () => {
    const stream = ': hello\n\nid: e-1\nretry: 777\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1.0}}\n\n: between\n\nid: e-2\ndata: {"jsonrpc":"2.0",\ndata: "id":$ID,"result":{"content":[],"resultType":"complete"}}\n\n';
    const answer = await send(leg, modern('events', { text: stream }));
    for (const piece of [': hello\n', 'id: e-1\n', 'retry: 777\n', '"data":1.0}', ': between\n', 'id: e-2\n']) {
      expect(answer.text.includes(piece), `${JSON.stringify(piece)} is missing in ${JSON.stringify(answer.text)}`);
    }
    same(message(answer).id, 1, 'the id of the result');
  });
  await test(`${leg.name}: an event of 16 MiB`, async () => {
    const answer = await send(leg, modern('large', { bytes: LARGE_EVENT_BYTES, sse: true }));
    same(message(answer).result.content[0].text.length, LARGE_EVENT_BYTES, 'the length');
  });
  await test(`${leg.name}: a body of 8 MiB`, async () => {
    const answer = await send(leg, modern('large', { bytes: 8 << 20 }));
    same(message(answer).result.content[0].text.length, 8 << 20, 'the length');
  });
}

async function goingAway(leg) {
  for (const after of ['nothing', 'event']) {
    await test(`${leg.name}: a client that goes away (${after} sent) reaches the upstream`, async () => {
      await forget();
      const abort = new AbortController();
      const pending = open(leg, { ...modern('hang', { after }), signal: abort.signal });
      pending.catch(() => {});
      await observed({ requests: 1 });
      if (after === 'event') await until(await pending, 'begun').catch(() => {});
      const left = Date.now();
      abort.abort();
      const { disconnects } = await observed({ disconnects: 1 });
      expect(disconnects.length === 1, 'the upstream never learnt of it');
      const ms = disconnects[0].at_unix_ms - left;
      expect(ms >= 0 && ms <= DISCONNECT_MS_MAX, `it took ${ms} ms`);
      return `${ms} ms`;
    });
  }
}

async function sessions(leg) {
  await test(`${leg.name}: Last-Event-ID reaches the upstream, its stream comes back`, async () => {
    const { headers } = await session(leg);
    await forget();
    const resume = { ...headers, accept: 'text/event-stream', 'last-event-id': 'e-41' };
    const opened = await open(leg, { method: 'GET', headers: resume });
    const got = await until(opened, 'resumedAfter');
    opened.abort();
    const { requests } = await observed({ requests: 1 });
    const get = requests.find((request) => request.method === 'GET');
    same(header(get, 'last-event-id'), 'e-41', 'what the upstream saw');
    expect(got.includes('"resumedAfter":"e-41"'), got);
    expect(got.includes(': the stream is open\n') && got.includes('retry: 1234\n'), got);
  });
  await test(`${leg.name}: DELETE reaches the upstream, and ends the session here too`, async () => {
    const { headers, request } = await session(leg);
    await forget();
    const answer = await send(leg, { method: 'DELETE', headers });
    expect(answer.status >= 200 && answer.status < 300, `status ${answer.status}`);
    const { requests } = await observed({ requests: 1 });
    expect(requests.some((seen) => seen.method === 'DELETE'), JSON.stringify(requests));
    same((await send(leg, request('exact', {}))).status, 404, 'the status of a call afterwards');
  });
  await test(`${leg.name}: the upstream's session id never leaves the gateway`, async () => {
    const { id, answer } = await session(leg);
    expect(id && !id.startsWith('wire-'), `session id ${id}`);
    expect(!answer.text.includes('wire-0'), answer.text);
  });
  await test(`${leg.name}: a made-up or altered session id is 404`, async () => {
    const { headers, request } = await session(leg);
    for (const id of ['made-up', `${headers['mcp-session-id']}x`, headers['mcp-session-id'].slice(1)]) {
      const call = request('exact', {});
      const answer = await send(leg, { ...call, headers: { ...call.headers, 'mcp-session-id': id } });
      same(answer.status, 404, `the status with ${id}`);
    }
  });
  await test(`${leg.name}: a session that the upstream forgot recovers or is 404, as the protocol says`, async () => {
    const { request } = await session(leg);
    await send(leg, request('expire', {}));
    const answer = await send(leg, request('exact', {}));
    expect([200, 404].includes(answer.status), `${answer.status} ${answer.text}`);
    const again = await session(leg);
    same((await send(leg, again.request('exact', {}))).status, 200, 'a new session');
    return `status ${answer.status}`;
  });
  await test(`${leg.name}: two clients with the same ids and progress tokens keep their own`, async () => {
    const [one, two] = await Promise.all([session(leg), session(leg)]);
    const call = (who, label) =>
      send(leg, who.request('progress', { pieces: 20, interval_ms: 5, label }, { number: 7, meta: { progressToken: 7 } }));
    const answers = await Promise.all([call(one, 'one'), call(two, 'two')]);
    for (const [answer, label, foreign] of [[answers[0], 'one', 'two'], [answers[1], 'two', 'one']]) {
      expect(!answer.text.includes(`"${foreign}"`), `${label} got what belongs to ${foreign}`);
      const { id, result } = message(answer);
      same([id, result.content[0].text], [7, label], 'the result');
      same(answer.text.split('"progressToken":7').length - 1, 20, 'the number of its notifications');
    }
  });
  await test(`${leg.name}: answers that wait for each other are not served one by one`, async () => {
    const [one, two] = await Promise.all([session(leg), session(leg)]);
    const call = (who, label) => send(leg, who.request('meet', { key: leg.name, count: 2, label }));
    const answers = await Promise.all([call(one, 'one'), call(two, 'two')]);
    same(answers.map((answer) => message(answer).result.content[0].text), ['one', 'two'], 'the answers');
  });
}

async function refusals(leg) {
  const call = modern('exact', {});
  const cases = [
    ['a foreign Origin', { headers: { origin: 'https://evil.example' } }, 403],
    ['a foreign Host', { headers: { host: 'evil.example' } }, 403],
    ['another method in the header', { headers: { 'mcp-method': 'tools/list' } }, 400, -32020],
    ['another name in the header', { headers: { 'mcp-name': 'echo' } }, 400, -32020],
    ['another version in the header', { headers: { 'mcp-protocol-version': '2025-11-25' } }, 400],
    ['a batch', { body: `[${call.body}]` }, 400, -32600],
    ['a name given twice', { body: call.body.replace('"name":"exact"', '"name":"exact","name":"echo"') }, 400],
    ['a name in another case', { body: call.body.replace('"name":"exact"', '"name":"exact","Name":"echo"') }, 400],
    ['a name with NUL', { body: call.body.replace('"name":"exact"', '"name":"exact","name\\u0000":"echo"') }, 400],
    ['bad UTF-8', { body: Buffer.concat([Buffer.from(call.body.slice(0, -1)), Buffer.from([0xff, 0x7d])]) }, 400],
    ['no JSON', { body: '{"jsonrpc":' }, 400, -32700],
    ['too deep', { body: call.body.replace('{}', '['.repeat(5000) + ']'.repeat(5000)) }, 400],
  ];
  for (const [name, change, status, code] of cases) {
    await test(`${leg.name}: ${name} is refused before the upstream sees it`, async () => {
      await forget();
      const headers = { ...call.headers, ...change.headers };
      const answer = await send(leg, { ...call, ...change, headers });
      same(answer.status, status, `the status, with ${answer.text}`);
      if (code) same(JSON.parse(answer.text).error.code, code, 'the code');
      same((await observed({})).request_count, 0, 'the requests that reached the upstream');
    });
  }
  await test(`${leg.name}: a request that is too large is refused`, async () => {
    const large = modern('exact', { text: 'x'.repeat(32 << 20) });
    const answer = await send(leg, large).catch((error) => ({ status: error.code }));
    expect([400, 413, 'EPIPE', 'ECONNRESET'].includes(answer.status), `status ${answer.status}`);
    return `status ${answer.status}`;
  });
}

async function misbehaviour(leg) {
  const healthy = () => send(leg, modern('exact', {}));
  const cases = [
    ['dies before its answer', 'die', { after: 'nothing' }],
    ['dies in its body', 'die', { after: 'body' }],
    ['states too great a length', 'lie', { extra: 50 }],
    ['answers without JSON', 'raw', { text: 'not json', headers: [['content-type', 'application/json']] }],
    ['answers for another request', 'raw', { text: '{"jsonrpc":"2.0","id":"other","result":{}}', headers: [['content-type', 'application/json']] }],
    ['answers with HTML', 'raw', { status: 502, text: '<html>bad</html>', headers: [['content-type', 'text/html']] }],
    ['gives two results', 'raw', { text: '{"jsonrpc":"2.0","id":$ID,"result":{},"result":{}}', headers: [['content-type', 'application/json']] }],
  ];
  for (const [name, tool, args] of cases) {
    await test(`${leg.name}: a server that ${name} is reported as an error`, async () => {
      const answer = await send(leg, modern(tool, args));
      const error = answer.broken ? undefined : JSON.parse(answer.text).error;
      expect(error?.code && error.message, `status ${answer.status}, ${answer.broken ? 'broken off' : answer.text}`);
      same((await healthy()).status, 200, 'the next call');
      return error.message;
    });
  }
  await test(`${leg.name}: a stream that breaks off ends here too`, async () => {
    const answer = await send(leg, modern('die', { after: 'event' }));
    expect(answer.broken || /"error"/.test(answer.text), `a whole answer: ${answer.text}`);
    same((await healthy()).status, 200, 'the next call');
  });
  await test(`${leg.name}: a client that does not read holds up nobody else`, async () => {
    const slow = await open(leg, modern('flood', { bytes: 256 << 20 }));
    slow.response.pause();
    const began = Date.now();
    for (let call = 0; call < 20; call += 1) same((await healthy()).status, 200, 'the status');
    const ms = Date.now() - began;
    slow.abort();
    return `20 calls beside it in ${ms} ms`;
  });
  await test(`${leg.name}: a flood can be read to its end`, async () => {
    const { bytes, broken } = await whole(await open(leg, modern('flood', { bytes: 32 << 20 })));
    expect(!broken && bytes.length >= 32 << 20, `${bytes.length} bytes, broken: ${broken}`);
  });
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until a process is gone, as long as the fixture waits for anything. */
async function gone(pid) {
  for (const end = Date.now() + OBSERVED_MS_MAX; Date.now() < end; ) {
    if (!alive(pid)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

async function children() {
  const target = `child=stdio:${binary('wire-server')} --stdio`;
  const begin = async () => {
    const node = await gateway([target]);
    const leg = { name: 'child', url: node.foreign('child'), ca: readFileSync(node.ready.authority) };
    const client = await session(leg);
    const ask = async (tool, args = {}) => send(leg, client.request(tool, args));
    return { node, ask, pid: async () => Number(message(await ask('who')).result.content[0].text) };
  };
  const { node, ask, pid } = await begin();
  await test('stdio server: its result arrives byte for byte', async () => {
    for (const text of EXACT) same(rawResult((await ask('exact', { text })).text), text, 'the result');
  });
  await test('stdio server: what it writes to standard error does not stop it', async () => {
    same(message(await ask('stderr')).result.content[0].text, 'Written.', 'its answer');
  });
  await test('stdio server: one that dies is an error, and the next session has a new one', async () => {
    const first = await pid();
    const answer = await ask('die');
    expect(message(answer)?.error?.message ?? answer.status >= 400, answer.text);
    expect(await gone(first), `process ${first} is still there`);
    const leg = { url: node.foreign('child'), ca: readFileSync(node.ready.authority) };
    const next = await session(leg);
    const second = message(await send(leg, next.request('who', {}))).result.content[0].text;
    expect(Number(second) !== first, `process ${second} again`);
    return message(answer)?.error?.message;
  });
  await test('stdio server: it ends with the gateway, even if it ignores the end of its input', async () => {
    const { node: other, ask: askOther, pid: otherPid } = await begin();
    await askOther('stay');
    const child = await otherPid();
    const { code } = await other.stop();
    same(code, 0, 'the exit code');
    expect(await gone(child), `process ${child} is still there`);
  });
  await test('stdio server: it ends with a gateway that is killed', async () => {
    const { node: other, pid: otherPid } = await begin();
    const child = await otherPid();
    other.child.kill('SIGKILL');
    await other.ended;
    expect(await gone(child), `process ${child} is still there`);
    await verified(other.state);
  });
  await node.stop();
}

/** The audit log of a gateway that has ended: every record chained to the one before. */
async function verified(state) {
  const { code, stdout, stderr } = await run(binary('lockgate'), ['audit', 'verify', '--state', state, '--output', 'json']);
  expect(code === 0, `${stdout}${stderr}`);
  return stdout.trim();
}

let gate;
await test('the gateway starts in front of two fixtures and a closed port', async () => {
  gate = await gateway([`wire=${wire.ready.url}`, `other=${other.ready.url}`, 'gone=http://127.0.0.1:9/mcp']);
});
if (gate) {
  const ca = readFileSync(gate.ready.authority);
  const local = await connector(gate.url('wire'), gate.state);
  const legs = [
    { name: 'connector', url: local.ready.endpoint },
    { name: 'foreign', url: gate.foreign('wire'), ca },
  ];
  for (const leg of legs) {
    for (const part of [bytes, goingAway, sessions, refusals, misbehaviour]) {
      await section(`${leg.name}: ${part.name}`, () => part(leg));
    }
  }
  const [, foreign] = legs;
  await test('a session id on another server\'s route is 404', async () => {
    const { request } = await session(foreign);
    const answer = await send(foreign, { ...request('exact', {}), path: gate.foreign('other') });
    same(answer.status, 404, 'the status');
  });
  await test('a server that cannot be reached is an error, and the others answer', async () => {
    const answer = await send(foreign, { ...modern('exact', {}), path: gate.foreign('gone') });
    const { error } = JSON.parse(answer.text);
    expect(error?.message, answer.text);
    same((await send(foreign, modern('exact', {}))).status, 200, 'another server');
    return error.message;
  });
  await local.stop();
  await test('the gateway drains and stops', async () => {
    const { code, signal } = await gate.stop();
    expect(code === 0, `exit code ${code ?? signal}:\n${gate.output.stderr}`);
  });
  await test('the audit log of all this is whole', () => verified(gate.state));
}
await section('children', children);
await wire.stop();
await other.stop();
end();
